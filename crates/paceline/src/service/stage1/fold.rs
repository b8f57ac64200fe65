//! Folding what was read: one lane for each sibling set, so that several cores fold at once.
//!
//! A turn takes batch after batch from the client and spreads each over the lanes; nobody waits for the slowest lane of a
//! batch but the turn's end. With one barrier a batch a core idled a third of the time, since a fetch brings some twenty
//! thousand records of one partition in a row.
//!
//! What always holds: a lane touches its own set only, by one thread at a time, and what the lanes add up to commutes; so
//! the cut is the same whatever the number of threads and whoever is quicker. Records of one partition stay in their order.

use super::{CARRIED_BYTES_MAX, OpenEpoch, OwnedControl, Source, Stage1};
use crate::failure::Outcome;
use crate::service::cut::{CutWriter, DeadLetter};
use crate::service::sibling::{Held, OwnedSet};
use aggregator::{RecordMeta, Verdict};
use avro_codec::{Codec, RejectReason};
use kafka_io::{PlainRecord, SharedBatch};
use model::event::EventKind;
use model::fact::ControlTopic;
use model::journal::CopiedFact;
use model::time::Millis;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// Records taken from the client at once: a due cut waits for tens of milliseconds.
const BATCH_RECORDS: usize = 1 << 15;
/// Batches that are spread and not yet folded: one at work, one that waits, so that no lane is without work while the
/// client is asked.
const BATCHES_OUT_MAX: usize = 2;
/// A turn takes no further batch after this long: a rebalance, the ends of partitions and a due cut wait for it.
const TURN_MAX: Duration = Duration::from_millis(100);
/// A smaller batch is folded sooner by one thread than it is handed to others.
const PARALLEL_MIN: usize = 1 << 10;
/// This many records ahead of the one that is folded a payload is touched.
const FETCH_AHEAD: usize = 6;
/// How long a turn waits for the first record.
const BATCH_WAIT: Duration = Duration::from_millis(10);

/// A record on its way into the fold, from the client's buffers or from those held.
#[derive(Clone, Copy)]
struct Input<'a> {
    kind: EventKind,
    offset: i64,
    timestamp_ms: i64,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
}

/// What all lanes of a turn share.
struct Turn<'a> {
    codec: &'a Codec,
    writer: &'a CutWriter,
    clock_ms: Millis,
    epoch_clock_ms: Millis,
    skew_ms: Millis,
    /// Something was held, refused or found no room: no further batch in this turn.
    ends: AtomicBool,
}

/// What a lane adds to the open epoch.
#[derive(Default)]
struct Folded {
    dead: Vec<DeadLetter>,
    carried_bytes: usize,
    records_of: [u64; 3],
    bytes_of: [u64; 3],
    oldest_ms: Option<Millis>,
    /// The set has no room: cut first.
    is_full: bool,
}

/// One set and what came for it.
struct Lane<'a> {
    owned: &'a mut OwnedSet,
    folded: Folded,
}

/// A lane that is worked on by one thread at a time.
struct SharedLane<'a> {
    lane: Mutex<Lane<'a>>,
    inbox: Mutex<Inbox>,
}

/// What waits for a lane.
#[derive(Default)]
struct Inbox {
    parts: VecDeque<Part>,
    /// A thread is at it, and will see what is put here.
    is_worked_on: bool,
}

/// The records of one lane in a batch, by their place in it.
struct Part {
    batch: Arc<SharedBatch>,
    records: Vec<u32>,
}

/// Threads that fold beside the worker's own.
pub(super) fn fold_threads() -> Result<ThreadPool, ThreadPoolBuildError> {
    ThreadPoolBuilder::new().thread_name(|number| format!("fold-{number}")).build()
}

impl Stage1 {
    /// Folds what was held and may go on now, and pauses or resumes partitions by how much is held.
    pub(super) fn fold_held(&mut self) -> Outcome {
        while self.sets.values().any(OwnedSet::holds_something) {
            let clock_ms = self.context.clock.now_ms();
            let mut is_full = false;
            self.begin_epoch(clock_ms);
            let Self { context, sets, dead, epoch, writer, waits, .. } = self;
            let turn = turn(&context.codec, writer, clock_ms, epoch, waits.sibling_skew_ms);
            for owned in sets.values_mut() {
                let mut lane = Lane::of(owned);
                lane.fold_held(&turn);
                is_full |= lane.folded.is_full;
                epoch.absorb(lane.folded, dead);
            }
            if !is_full {
                break;
            }
            self.cut(true)?;
        }
        self.steer();
        Ok(())
    }

    fn steer(&mut self) {
        for sibling in self.sets.values_mut().flat_map(|owned| &mut owned.siblings) {
            match sibling.wants_pause() {
                Some(true) => self.consumer.pause(std::slice::from_ref(&sibling.place)),
                Some(false) => self.consumer.resume(std::slice::from_ref(&sibling.place)),
                None => continue,
            }
            sibling.paused = !sibling.paused;
        }
    }

    /// Takes what the client has, batch after batch in a backlog, and folds it, or holds what may not go on yet.
    pub(super) fn fold_batches(&mut self) {
        // What is read borrows nothing of the worker, so that the lanes can have the sets meanwhile.
        let Self { consumer, context, sets, controls, sources, facts, dead, epoch, writer, waits, threads, .. } = self;
        let (spare, sources) = (&mut self.spare, &sources[..]);
        let mut batch = spare.pop().unwrap_or_default();
        consumer.fill(&mut batch, BATCH_RECORDS, BATCH_WAIT);
        if batch.is_empty() {
            return spare.push(batch);
        }
        let (started, clock_ms) = (Instant::now(), context.clock.now_ms());
        epoch.begin(clock_ms, sets);
        let room = context.settings.epoch.records_max.saturating_sub(epoch.records);
        let turn = turn(&context.codec, writer, clock_ms, epoch, waits.sibling_skew_ms);
        let places: Vec<i32> = sets.keys().copied().collect();
        let lanes: Vec<SharedLane<'_>> = sets.values_mut().map(SharedLane::of).collect();
        let mut copier = Copier { codec: &context.codec, writer, facts, dead, epoch };
        let (give_back, given_back) = mpsc::channel();
        threads.in_place_scope(|scope| {
            let (mut taken, mut out) = (0, 0);
            loop {
                taken += batch.len();
                let is_small = batch.len() < PARALLEL_MIN;
                let mut records_of: Vec<Vec<u32>> = lanes.iter().map(|_| Vec::new()).collect();
                for at in 0..batch.len() {
                    let record = batch.get(at);
                    match sources[record.source] {
                        Source::Event(_) => {
                            if let Ok(lane) = places.binary_search(&record.partition) {
                                records_of[lane].push(at as u32);
                            }
                        }
                        Source::Control(topic) => {
                            if let Some(control) = controls.get_mut(&(record.source, record.partition)) {
                                copier.copy(topic, control, &record);
                            }
                        }
                    }
                }
                let shared = Arc::new(std::mem::take(&mut batch));
                for (lane, records) in lanes.iter().zip(records_of).filter(|(_, records)| !records.is_empty()) {
                    let (give_back, turn) = (&give_back, &turn);
                    if !lane.put(Part { batch: Arc::clone(&shared), records }) {
                        continue;
                    }
                    if is_small && out == 0 {
                        lane.work(sources, turn, give_back);
                    } else {
                        scope.spawn(move |_| lane.work(sources, turn, give_back));
                    }
                }
                out += 1;
                hand_back(shared, &give_back);
                let carried_full = copier.epoch.carried_bytes >= CARRIED_BYTES_MAX;
                let is_over = carried_full || taken >= room || started.elapsed() >= TURN_MAX;
                if is_small || is_over || turn.ends.load(Ordering::Relaxed) {
                    return;
                }
                while out >= BATCHES_OUT_MAX {
                    // A lane that panicked gives nothing back; the scope's end says so.
                    let Ok(done) = given_back.recv_timeout(TURN_MAX) else { return };
                    out -= 1;
                    keep(spare, done);
                }
                batch = spare.pop().unwrap_or_default();
                consumer.fill(&mut batch, BATCH_RECORDS, Duration::ZERO);
                if batch.is_empty() {
                    return spare.push(std::mem::take(&mut batch));
                }
            }
        });
        given_back.try_iter().for_each(|done| keep(spare, done));
        for lane in lanes {
            epoch.absorb(lane.lane.into_inner().unwrap_or_else(PoisonError::into_inner).folded, dead);
        }
    }

    /// The clock of an epoch is read once, before its first record.
    fn begin_epoch(&mut self, clock_ms: Millis) {
        self.epoch.begin(clock_ms, &mut self.sets);
    }
}

fn turn<'a>(codec: &'a Codec, writer: &'a CutWriter, clock_ms: Millis, epoch: &OpenEpoch, skew_ms: Millis) -> Turn<'a> {
    Turn { codec, writer, clock_ms, epoch_clock_ms: epoch.clock_ms, skew_ms, ends: AtomicBool::new(false) }
}

/// The last to be done with a batch gives it back to the worker's thread, which frees it.
fn hand_back(batch: Arc<SharedBatch>, give_back: &mpsc::Sender<SharedBatch>) {
    if let Some(batch) = Arc::into_inner(batch) {
        // Nobody listens at the turn's end: then it is freed here.
        let _ = give_back.send(batch);
    }
}

/// Frees the records and keeps the room that they had.
fn keep(spare: &mut Vec<SharedBatch>, mut batch: SharedBatch) {
    batch.clear();
    if spare.len() <= BATCHES_OUT_MAX {
        spare.push(batch);
    }
}

impl<'a> SharedLane<'a> {
    fn of(owned: &'a mut OwnedSet) -> Self {
        Self { lane: Mutex::new(Lane::of(owned)), inbox: Mutex::default() }
    }

    /// Leaves work; `true` where no thread is at the lane, so that one must be sent.
    fn put(&self, part: Part) -> bool {
        let mut inbox = lock(&self.inbox);
        inbox.parts.push_back(part);
        !std::mem::replace(&mut inbox.is_worked_on, true)
    }

    fn next(&self) -> Option<Part> {
        let mut inbox = lock(&self.inbox);
        let part = inbox.parts.pop_front();
        inbox.is_worked_on = part.is_some();
        part
    }

    /// Folds what waits, until nothing does.
    fn work(&self, sources: &[Source], turn: &Turn<'_>, give_back: &mpsc::Sender<SharedBatch>) {
        while let Some(Part { batch, records }) = self.next() {
            lock(&self.lane).fold_all(&batch, &records, sources, turn);
            hand_back(batch, give_back);
        }
    }
}

/// A lane that panicked ends the process by way of the scope, so what it left is not looked at.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenEpoch {
    fn absorb(&mut self, folded: Folded, dead: &mut Vec<DeadLetter>) {
        dead.extend(folded.dead);
        self.carried_bytes += folded.carried_bytes;
        for (sum, bytes) in self.bytes_of.iter_mut().zip(folded.bytes_of) {
            *sum += bytes;
        }
        self.records += folded.records_of.iter().sum::<u64>() as usize;
        for (sum, records) in self.records_of.iter_mut().zip(folded.records_of) {
            *sum += records;
        }
        self.oldest_ms = [self.oldest_ms, folded.oldest_ms].into_iter().flatten().min();
    }
}

impl<'a> Lane<'a> {
    fn of(owned: &'a mut OwnedSet) -> Self {
        Lane { owned, folded: Folded::default() }
    }

    fn fold_all(&mut self, batch: &SharedBatch, records: &[u32], sources: &[Source], turn: &Turn<'_>) {
        for (place, at) in records.iter().enumerate() {
            // Another core wrote the payload: reading of it early overlaps the wait with the folding before.
            let ahead = records.get(place + FETCH_AHEAD);
            fetch(ahead.and_then(|at| batch.get(*at as usize).payload));
            let PlainRecord { source, offset, timestamp_ms, key, payload, .. } = batch.get(*at as usize);
            let Source::Event(kind) = sources[source] else { continue };
            let input = Input { kind, offset, timestamp_ms, key, payload };
            if self.must_wait(&input, turn) || !self.fold(&input, turn) {
                turn.ends.store(true, Ordering::Relaxed);
                self.owned.siblings[kind.index()].hold(Held::of(offset, timestamp_ms, key, payload));
            }
        }
        if self.folded.carried_bytes > 0 {
            turn.ends.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a record is too early. What was folded since the limits were last looked at may let it go on.
    fn must_wait(&mut self, input: &Input<'_>, turn: &Turn<'_>) -> bool {
        if self.owned.may_go(input.kind, input.timestamp_ms, turn.clock_ms) {
            return false;
        }
        if !self.folded.is_full {
            self.fold_held(turn);
        }
        !self.owned.may_go(input.kind, input.timestamp_ms, turn.clock_ms)
    }

    /// Folds what is held as far as it may go on.
    fn fold_held(&mut self, turn: &Turn<'_>) {
        self.owned.renew_limits(turn.clock_ms, turn.skew_ms);
        while let Some((kind, held)) = self.owned.next_held(turn.clock_ms) {
            let Held { offset, timestamp_ms, .. } = held;
            let (key, payload) = (held.key.as_deref(), held.payload.as_deref());
            if !self.fold(&Input { kind, offset, timestamp_ms, key, payload }, turn) {
                self.owned.siblings[kind.index()].hold_first(held);
                return;
            }
            self.owned.renew_limits(turn.clock_ms, turn.skew_ms);
        }
    }

    /// Folds one event; `false` where the set is full and asks for a cut first.
    fn fold(&mut self, input: &Input<'_>, turn: &Turn<'_>) -> bool {
        let Input { kind, offset, timestamp_ms, key, .. } = *input;
        let OwnedSet { set, siblings, scratch, .. } = &mut *self.owned;
        let payload = input.payload.unwrap_or_default();
        let meta = RecordMeta { offset, timestamp_ms, key };
        let mut detail = String::new();
        let verdict = match turn.codec.event(kind, payload, scratch) {
            Ok(event) => set.fold(kind, meta, Ok(event)),
            Err(rejected) => {
                let verdict = set.fold(kind, meta, Err(rejected.reason.as_str()));
                detail = rejected.detail;
                verdict
            }
        };
        let (sibling, folded) = (&mut siblings[kind.index()], &mut self.folded);
        match verdict {
            Verdict::Full => {
                folded.is_full = true;
                return false;
            }
            Verdict::Stray => return true,
            Verdict::Rejected(reason) => {
                folded.carried_bytes += payload.len();
                let place = &sibling.place;
                let letter = turn.writer.dead_letter(place, offset, timestamp_ms, key, input.payload, reason, detail);
                folded.dead.push(letter);
            }
            Verdict::Taken => {}
        }
        sibling.next = offset + 1;
        sibling.time_ms = sibling.record_time(timestamp_ms, turn.epoch_clock_ms.max(sibling.time_ms));
        sibling.quiet_since_ms = turn.epoch_clock_ms;
        folded.records_of[kind.index()] += 1;
        folded.bytes_of[kind.index()] += payload.len() as u64;
        folded.oldest_ms = folded.oldest_ms.or(Some(timestamp_ms));
        true
    }
}

/// Brings the first two lines of a payload into the cache.
fn fetch(payload: Option<&[u8]>) {
    if let Some(bytes) = payload {
        std::hint::black_box((bytes.first(), bytes.get(64)));
    }
}

/// Brings control topics into the journal.
struct Copier<'a> {
    codec: &'a Codec,
    writer: &'a CutWriter,
    facts: &'a mut Vec<CopiedFact>,
    dead: &'a mut Vec<DeadLetter>,
    epoch: &'a mut OpenEpoch,
}

impl Copier<'_> {
    fn copy(&mut self, topic: ControlTopic, control: &mut OwnedControl, record: &PlainRecord<'_>) {
        control.next = record.offset + 1;
        self.epoch.records += 1;
        // A tombstone withdraws a compacted key; what it withdrew is superseded by versions, so it carries nothing.
        let Some(payload) = record.payload else { return };
        self.epoch.carried_bytes += payload.len();
        match self.codec.fact(topic, payload) {
            Ok(fact) => self.facts.push(CopiedFact {
                topic: control.place.topic.to_string(),
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp_ms,
                record: fact,
            }),
            Err(rejected) => {
                let (place, reason) = (&control.place, rejected.reason.as_str());
                let (offset, at) = (record.offset, record.timestamp_ms);
                let letter =
                    self.writer.dead_letter(place, offset, at, record.key, record.payload, reason, rejected.detail);
                self.dead.push(letter);
                if rejected.reason == RejectReason::SchemaUnavailable {
                    tracing::error!(topic = %control.place.topic, "a schema could not be looked up");
                }
            }
        }
    }
}
