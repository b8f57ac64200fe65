//! Which partitions are ours, and what is in them: a member of a group that reads in batches.
//!
//! A rebalance is a named life. The client's event is only written down; the caller hears of it from
//! [`SourceConsumer::poll_life`], does its take-over or its drain, and answers:
//!
//! ```text
//! Assigned(partitions) ── take over ──► begin(partitions with their positions)   reading
//! Revoked(partitions)  ── drain, commit ──► release()                            the group goes on
//! Lost(partitions)     ── drop all, commit nothing ──► release()
//! ```
//!
//! Until the answer the group waits for us, for `max.poll.interval.ms` at most; heartbeats go on by themselves, and
//! `poll_life` must still be called now and then.
//!
//! What always holds: a record is handed out only for a partition that was begun, and only at an offset not below the
//! one that is expected next; all else is dropped and counted. Nothing is ever committed here.
//!
//! What is missing on purpose: cooperative rebalancing (the whole assignment moves at once), and any position but the
//! caller's: with `auto.offset.reset=error` a position that is gone is a failure that a person decides about.

use crate::connection::Connection;
use crate::ends::Ends;
use crate::fault::{Error, Fault, classify_error};
use crate::members::positioned;
pub use crate::membership::{Failure, GroupHandle, Life, Membership};
use crate::membership::{GroupContext, Offer, settle};
use crate::native::{self, MessageQueue, Messages, OwnedMessage, TopicHandle};
use crate::record::{Parts, PlainRecord, Record, TopicPartition};
use crate::statistics::ClientStatistics;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A member of a group that reads in batches.
pub struct SourceConsumer {
    /// Taken out, and so destroyed, before the consumer is.
    queue: Option<MessageQueue>,
    consumer: Option<Arc<BaseConsumer<GroupContext>>>,
    /// Ends with the consumer.
    ends: Option<Ends>,
    topics: Vec<Arc<str>>,
    /// By source, then by partition; `None` is not ours.
    progress: Vec<Vec<Option<Progress>>>,
    handles: Vec<(TopicHandle, usize)>,
    incoming: Messages,
    /// What is handed out.
    taken: SharedBatch,
    /// Partitions that were resumed while messages of theirs were held.
    catching_up: Vec<(usize, usize)>,
    failures: VecDeque<Failure>,
    open_offer: Option<Offer>,
    dropped: u64,
}

impl SourceConsumer {
    /// Joins a group for these topics; the order of `topics` is the numbering of sources.
    pub fn join(connection: &Connection, membership: &Membership, topics: &[&str]) -> Result<SourceConsumer, Error> {
        let doing = || format!("joining group {}", membership.group);
        let config = connection.checked()?.member(&membership.group, membership.instance.as_deref());
        let consumer: BaseConsumer<GroupContext> =
            config.create_with_context(GroupContext::default()).map_err(|error| Error::kafka(doing(), &error))?;
        consumer.subscribe(topics).map_err(|error| Error::kafka(doing(), &error))?;
        let consumer = Arc::new(consumer);
        Ok(SourceConsumer {
            queue: Some(MessageQueue::new(consumer.client().native_ptr())),
            ends: Some(Ends::start(Arc::clone(&consumer), END_LIMIT)),
            consumer: Some(consumer),
            topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
            progress: topics.iter().map(|_| Vec::new()).collect(),
            handles: Vec::new(),
            incoming: Messages::default(),
            taken: SharedBatch::default(),
            catching_up: Vec::new(),
            failures: VecDeque::new(),
            open_offer: None,
            dropped: 0,
        })
    }

    /// Serves the client's events and tells the next thing that happened to our membership.
    pub fn poll_life(&mut self) -> Option<Life> {
        self.serve_events();
        self.hear_ends();
        if let Some(failure) = self.failures.pop_front() {
            return Some(Life::Failed(failure));
        }
        if self.open_offer.is_some() {
            return None;
        }
        let offer = self.consumer().context().next_offer()?;
        self.open_offer = Some(offer.clone());
        Some(match offer {
            Offer::Assign(places) => Life::Assigned(places),
            Offer::Revoke(places) => Life::Revoked(places),
            Offer::Lose(places) => Life::Lost(places),
        })
    }

    /// Answers [`Life::Assigned`]: reads these partitions from these offsets on. What is left out is not read.
    pub fn begin(&mut self, starts: Vec<(TopicPartition, i64)>) -> Result<(), Error> {
        let doing = "beginning an assignment";
        let Some(Offer::Assign(offered)) = &self.open_offer else {
            return Err(Error::new(Fault::Other, doing, "no assignment waits for an answer"));
        };
        if let Some((place, offset)) = starts.iter().find(|(place, from)| *from < 0 || !offered.contains(place)) {
            return Err(Error::new(Fault::Other, doing, format!("{place} at {offset} was not offered")));
        }
        let client = self.client();
        let queue = self.queue.as_ref().expect("the queue lives until the consumer is shut");
        // Before the assignment: a forwarding that is set by the application is kept when the fetch starts.
        for (place, _) in &starts {
            queue.adopt(client, &place.topic, place.partition);
        }
        self.forget_progress();
        let list = positioned(starts.iter().map(|(place, offset)| (place, *offset)));
        self.consumer().assign(&list).map_err(|error| Error::kafka(doing, &error))?;
        for (place, offset) in starts {
            self.remember(&place, offset);
        }
        self.open_offer = None;
        Ok(())
    }

    /// Answers [`Life::Revoked`] and [`Life::Lost`], or refuses an assignment as a whole.
    pub fn release(&mut self) -> Result<(), Error> {
        let doing = "releasing an assignment";
        let Some(offer) = self.open_offer.take() else {
            return Err(Error::new(Fault::Other, doing, "nothing waits for an answer"));
        };
        self.forget_progress();
        settle(self.consumer(), &offer).map_err(|error| Error::kafka(doing, &error))
    }

    /// Up to `max` records; waits up to `wait` for the first one only.
    pub fn next_batch(&mut self, max: usize, wait: Duration) -> Batch<'_> {
        self.take(max.max(1), wait);
        Batch { taken: &mut self.taken, one_thread: PhantomData }
    }

    /// As [`SourceConsumer::next_batch`], into a batch that the caller keeps: what it held is freed. The consumer's close waits
    /// for what is kept, so it is to be cleared or dropped before.
    pub fn fill(&mut self, batch: &mut SharedBatch, max: usize, wait: Duration) {
        std::mem::swap(&mut self.taken, batch);
        self.take(max.max(1), wait);
        std::mem::swap(&mut self.taken, batch);
    }

    fn take(&mut self, max: usize, wait: Duration) {
        self.taken.clear();
        self.take_held(max);
        if self.taken.is_empty() {
            self.take_incoming(max, wait);
        }
    }

    /// Takes from the client in small pieces: the client looks at each message of a piece twice, we once, and a piece
    /// stays in the cache meanwhile, which a batch does not.
    fn take_incoming(&mut self, max: usize, wait: Duration) {
        let mut wait = wait;
        while self.taken.len() < max {
            let queue = self.queue.as_ref().expect("the queue lives until the consumer is shut");
            let piece = (max - self.taken.len()).min(PIECE);
            queue.take(&mut self.incoming, piece, wait);
            let is_last = self.incoming.len() < piece;
            self.sort_incoming();
            if is_last {
                return;
            }
            wait = Duration::ZERO;
        }
    }

    /// What came while its partition was paused goes first, before anything newer of it is taken.
    fn take_held(&mut self, max: usize) {
        while let Some((source, partition)) = self.catching_up.last().copied() {
            let slot = self.progress[source].get_mut(partition).and_then(Option::as_mut);
            if let Some(progress) = slot.filter(|progress| !progress.paused) {
                let room = max - self.taken.len();
                for message in progress.held.drain(..room.min(progress.held.len())) {
                    progress.next = message.view().offset() + 1;
                    self.taken.push(message, source);
                }
                if !progress.held.is_empty() {
                    return;
                }
            }
            self.catching_up.pop();
        }
    }

    /// Each message that came is handed out, held back, or dropped and counted.
    fn sort_incoming(&mut self) {
        let Self { incoming, taken, progress, handles, topics, failures, dropped, .. } = self;
        for message in incoming.drain() {
            let view = message.view();
            if let Some((code, text)) = view.error() {
                let place = TopicPartition::new(view.topic(), view.partition());
                let error = Error { detail: text, ..Error::code(format!("reading {place}"), code) };
                if !matches!(error.fault, Fault::Unreachable | Fault::Unsettled) {
                    failures.push_back(Failure { error, place: Some(place), is_fatal: false });
                }
                continue;
            }
            let offset = view.offset();
            let source = source_of(handles, topics, view.topic_handle(), || view.topic());
            let slot = source
                .and_then(|source| Some((source, progress[source].get_mut(view.partition() as usize)?.as_mut()?)));
            match slot {
                Some((_, progress)) if progress.paused => progress.held.push_back(message),
                Some((source, progress)) if offset >= progress.next => {
                    progress.next = offset + 1;
                    taken.push(message, source);
                }
                _ => *dropped += 1,
            }
        }
    }

    /// Whether everything up to the partition's end was handed out, as far as the broker has told.
    ///
    /// The end is the high watermark: records of an open transaction keep it away. An end that the client remembers
    /// is not believed alone, since it may be from before this assignment or from a leader that is gone: the broker is
    /// asked aside, and until [`SourceConsumer::poll_life`] has heard the answer this says no. The end of a paused
    /// partition is unknown.
    pub fn at_end(&mut self, place: &TopicPartition) -> bool {
        let now = Instant::now();
        let Some(progress) = self.progress_of(place).filter(|progress| !progress.paused && now >= progress.trusted_at)
        else {
            return false;
        };
        let age = progress.confirmed_at.map(|at| now.duration_since(at));
        let reached = self.reached(place, progress);
        if self.end_of(place).is_none_or(|end| reached < end) {
            return false;
        }
        if let Some(ends) = self.ends.as_mut().filter(|_| age.is_none_or(|age| age >= CONFIRMATION_AGES)) {
            ends.want(place);
        }
        age.is_some_and(|age| age < CONFIRMATION_LIVES)
    }

    /// Records between what was handed out and the partition's end; `None` where not ours or not yet told.
    pub fn lag(&self, place: &TopicPartition) -> Option<u64> {
        let progress = self.progress_of(place)?;
        Some(self.end_of(place)?.saturating_sub(self.reached(place, progress)).max(0) as u64)
    }

    /// Where reading stands: after all that was handed out, and after control records that followed it, which are no
    /// records. `None` where not ours, and just after an assignment began: what the client remembers may still be from
    /// before it, beyond records that were fetched then and never used.
    pub fn position(&self, place: &TopicPartition) -> Option<i64> {
        let progress = self.progress_of(place).filter(|progress| Instant::now() >= progress.trusted_at)?;
        Some(self.reached(place, progress))
    }

    /// The offset expected next; `None` where not ours.
    pub fn next_offset(&self, place: &TopicPartition) -> Option<i64> {
        self.progress_of(place).map(|progress| progress.next)
    }

    /// Hands out nothing more of these partitions. What was fetched is kept, and the fetcher stops by itself when the
    /// partition's own queue is full: the client's pause would throw all of it away and fetch it again.
    pub fn pause(&mut self, places: &[TopicPartition]) {
        for place in places {
            if let Some(progress) = self.progress_mut(place).filter(|progress| !progress.paused) {
                progress.paused = true;
                let queue = self.queue.as_ref().expect("the queue lives until the consumer is shut");
                queue.disown(self.client(), &place.topic, place.partition);
            }
        }
    }

    /// Hands out again, from the record after the last one handed out.
    pub fn resume(&mut self, places: &[TopicPartition]) {
        for place in places {
            let source = self.source_of(place);
            let Some(progress) = self.progress_mut(place).filter(|progress| progress.paused) else { continue };
            progress.paused = false;
            if !progress.held.is_empty() {
                self.catching_up.extend(source.map(|source| (source, place.partition as usize)));
            }
            let queue = self.queue.as_ref().expect("the queue lives until the consumer is shut");
            queue.adopt(self.client(), &place.topic, place.partition);
        }
    }

    /// The group's identity for a committer; stays valid over rebalances.
    pub fn group(&self) -> GroupHandle {
        GroupHandle::of(self.consumer.as_ref().expect("the consumer lives until it is shut"))
    }

    /// Index of a place's topic in the list given to [`SourceConsumer::join`].
    pub fn source_of(&self, place: &TopicPartition) -> Option<usize> {
        self.topics.iter().position(|topic| *topic == place.topic)
    }

    /// Messages that were dropped because they were not ours or came again.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The last trouble with the cluster since [`SourceConsumer::forget_trouble`].
    pub fn trouble(&self) -> Option<(Fault, String)> {
        self.consumer().context().witness.trouble()
    }

    /// Forgets the trouble.
    pub fn forget_trouble(&self) {
        self.consumer().context().witness.clear();
    }

    /// Figures of the client, where `statistics.interval.ms` asks for them.
    pub fn statistics(&self) -> Option<ClientStatistics> {
        self.consumer().context().witness.statistics()
    }

    /// Leaves. A static member stays known to the group for its session. `false` where the client did not end in time
    /// and was left behind: then the process should end soon.
    pub fn close(mut self, limit: Duration) -> bool {
        self.shut(limit)
    }

    fn serve_events(&mut self) {
        let consumer = Arc::clone(self.consumer.as_ref().expect("the consumer lives until it is shut"));
        let witness = &consumer.context().witness;
        for _ in 0..EVENTS_AT_ONCE {
            let before = witness.served();
            match consumer.poll(Duration::ZERO) {
                // Partitions are forwarded before they are assigned, so no record comes this way; if one does, its
                // offset was not handed out and the gap would show, so it must not pass in silence.
                Some(Ok(message)) => {
                    self.dropped += 1;
                    tracing::error!(partition = message.partition(), offset = message.offset(), "stray record");
                }
                Some(Err(error)) => self.note(&error, witness.trouble()),
                None if witness.served() == before => break,
                None => {}
            }
        }
    }

    /// Takes what the brokers have told of the ends that were asked for.
    fn hear_ends(&mut self) {
        let Some((asked_at, told)) = self.ends.as_mut().and_then(Ends::turn) else { return };
        for (place, end) in told {
            let Some(progress) = self.progress_of(&place) else { continue };
            let is_confirmed = end.is_some_and(|end| self.reached(&place, progress) >= end);
            let Some(progress) = self.progress_mut(&place) else { continue };
            if is_confirmed {
                progress.confirmed_at = Some(asked_at);
            } else {
                // An unreachable leader is asked again after a pause: silence is not the end.
                progress.confirmed_at = None;
                progress.trusted_at = Instant::now() + WATERMARK_SETTLES;
            }
        }
    }

    fn note(&mut self, error: &KafkaError, trouble: Option<(Fault, String)>) {
        let is_fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let fault = classify_error(error);
        if is_fatal || !matches!(fault, Fault::Unreachable | Fault::Unsettled) {
            let mut told = Error::kafka("consuming in the group", error);
            if let Some((_, words)) = trouble.filter(|(known, _)| *known == fault) {
                told.detail = words;
            }
            self.failures.push_back(Failure { error: told, place: None, is_fatal });
        }
    }

    fn remember(&mut self, place: &TopicPartition, next: i64) {
        let source = self.source_of(place).expect("only subscribed topics are offered");
        let slots = &mut self.progress[source];
        let at = place.partition as usize;
        if slots.len() <= at {
            slots.resize_with(at + 1, || None);
        }
        slots[at] = Some(Progress::from(next));
    }

    fn forget_progress(&mut self) {
        self.handles.clear();
        self.catching_up.clear();
        self.ends.iter_mut().for_each(Ends::forget);
        self.progress.iter_mut().for_each(Vec::clear);
    }

    fn progress_of(&self, place: &TopicPartition) -> Option<&Progress> {
        self.progress[self.source_of(place)?].get(usize::try_from(place.partition).ok()?)?.as_ref()
    }

    fn progress_mut(&mut self, place: &TopicPartition) -> Option<&mut Progress> {
        let source = self.source_of(place)?;
        self.progress[source].get_mut(usize::try_from(place.partition).ok()?)?.as_mut()
    }

    /// Control records at the tail move the client's position but are no records; held ones move it too early.
    fn reached(&self, place: &TopicPartition, progress: &Progress) -> i64 {
        let position = || native::position(self.client(), &place.topic, place.partition);
        let position = if progress.held.is_empty() { position() } else { None };
        position.map_or(progress.next, |position| position.max(progress.next))
    }

    fn end_of(&self, place: &TopicPartition) -> Option<i64> {
        native::cached_watermarks(self.client(), &place.topic, place.partition).map(|(_, end)| end)
    }

    fn consumer(&self) -> &BaseConsumer<GroupContext> {
        self.consumer.as_deref().expect("the consumer lives until it is shut")
    }

    fn client(&self) -> native::ClientPointer {
        self.consumer().client().native_ptr()
    }

    /// The client's close can hang (a topic deleted, a broker gone), so it runs aside and is waited for with a limit.
    fn shut(&mut self, limit: Duration) -> bool {
        let Some(consumer) = self.consumer.take() else { return true };
        consumer.context().close();
        let waiting = std::iter::from_fn(|| consumer.context().next_offer());
        for offer in self.open_offer.take().into_iter().chain(waiting) {
            let _ = settle(&consumer, &offer);
        }
        self.taken.clear();
        self.incoming.clear();
        self.forget_progress();
        self.queue = None;
        let asker = self.ends.take().map(Ends::end);
        let (tell, told) = mpsc::channel();
        let closer = thread::Builder::new().name("kafka-close".into()).spawn(move || {
            // The last hold on the consumer is ours, so that its end is over when we say so.
            let _ = asker.map(JoinHandle::join);
            drop(consumer);
            let _ = tell.send(());
        });
        closer.is_ok() && told.recv_timeout(limit).is_ok()
    }
}

impl Drop for SourceConsumer {
    fn drop(&mut self) {
        self.shut(CLOSE_LIMIT);
    }
}

/// Records that were read together; freed when dropped.
pub struct Batch<'a> {
    taken: &'a mut SharedBatch,
    /// One thread only: the C library reads headers when it is first asked, and writes down where they are.
    one_thread: PhantomData<Cell<()>>,
}

impl Batch<'_> {
    /// How many records.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// The records, in the order of their arrival: ordered inside each partition.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        // SAFETY: the two lists are filled together, one part for each message, and the messages are freed by our drop.
        unsafe { self.taken.messages.records(&self.taken.parts) }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.taken.clear();
    }
}

/// Records that were read together, for several threads to read; freed when dropped, or when filled again.
#[derive(Default)]
pub struct SharedBatch {
    messages: Messages,
    /// What each of `messages` says of itself.
    parts: Vec<Parts>,
}

// SAFETY: by a shared reference only plain records are lent, which nobody writes to; headers, which the C library reads
// when it is first asked, are lent by `Batch` alone, which has the only reference and stays with one thread.
unsafe impl Sync for SharedBatch {}

impl SharedBatch {
    /// How many records.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The record at `at`, in the order of arrival: ordered inside each partition.
    pub fn get(&self, at: usize) -> PlainRecord<'_> {
        // SAFETY: the two lists are filled together, one part for each message, and the borrow of `self` keeps them.
        *unsafe { self.parts[at].record() }
    }

    /// Frees all.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.messages.clear();
    }

    fn push(&mut self, message: OwnedMessage, source: usize) {
        self.parts.push(message.parts(source));
        self.messages.push(message);
    }
}

/// How far one partition was handed out, what of it is held back, and whether its remembered end can be believed.
struct Progress {
    next: i64,
    held: VecDeque<OwnedMessage>,
    paused: bool,
    confirmed_at: Option<Instant>,
    trusted_at: Instant,
}

impl Progress {
    fn from(next: i64) -> Progress {
        Progress {
            next,
            held: VecDeque::new(),
            paused: false,
            confirmed_at: None,
            trusted_at: Instant::now() + WATERMARK_SETTLES,
        }
    }
}

fn source_of(
    handles: &mut Vec<(TopicHandle, usize)>,
    topics: &[Arc<str>],
    handle: TopicHandle,
    name: impl FnOnce() -> String,
) -> Option<usize> {
    if let Some((_, source)) = handles.iter().find(|(known, _)| *known == handle) {
        return Some(*source);
    }
    let name = name();
    let source = topics.iter().position(|topic| **topic == *name)?;
    handles.push((handle, source));
    Some(source)
}

/// Messages taken from the client at once: some 500 bytes of the client's each, so that a piece fits a core's own cache.
const PIECE: usize = 256;
/// A round of the loop serves at most this many events, so that a storm of log lines cannot hold it up.
const EVENTS_AT_ONCE: usize = 64;
/// Some fetches of an idle partition (200 ms each) have answered by then and renewed the remembered end.
const WATERMARK_SETTLES: Duration = Duration::from_secs(1);
/// An end that was confirmed is believed for this long; a leader that is gone must not look like a quiet one.
const CONFIRMATION_LIVES: Duration = Duration::from_secs(3);
/// An older confirmation is asked for again, long before it lives no more.
const CONFIRMATION_AGES: Duration = Duration::from_secs(1);
/// One question to one broker.
const END_LIMIT: Duration = Duration::from_millis(500);
/// A close that takes longer hangs.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
