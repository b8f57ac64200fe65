//! What a log holds, up to its stable end: the way in which state is rebuilt.
//!
//! The stable end is the high watermark, asked for with uncommitted eyes, then reached by a reader of committed
//! records. While a dead predecessor's transaction is open the committed end stands still before it; the reader waits,
//! and gives up with the partition's name. The last stable offset alone is never taken for the end.
//!
//! What always holds: only committed records are shown, each once, in order. What is missing on purpose: groups.

use crate::connection::{Connection, Isolation};
use crate::fault::{Error, Fault, classify_error};
use crate::native::{MessageQueue, Messages, SimpleFetch};
use crate::positions::{GroupPositions, Positions, Stands};
use crate::record::{Record, TopicPartition};
use crate::witness::Witness;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the oldest record that is kept.
    Earliest,
    /// At this offset; an error where it is no longer kept.
    Offset(i64),
    /// At the first record whose time is not before this one, epoch milliseconds.
    Time(i64),
}

/// Where reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The high watermark as of the call, once everything before it is decided.
    StableEnd,
    /// Before this offset, or at the stable end where that comes first.
    Offset(i64),
}

/// What a reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadReport {
    /// The first offset that was read.
    pub from: i64,
    /// The first offset that was not read: everything below it was shown, or was aborted, or was no record.
    pub next_offset: i64,
    /// Records shown.
    pub records: u64,
    /// Whether the caller stopped it.
    pub is_stopped: bool,
}

/// A sign of life of a reader, for who has to tell that a long reading goes on.
#[derive(Clone, Copy, Debug)]
pub enum Sign<'a> {
    /// The broker answered a question.
    Answer,
    /// A reading begins, of at most this many offsets.
    Begin(&'a TopicPartition, u64),
    /// So many offsets further.
    Further(u64),
}

type Watch = Box<dyn Fn(Sign<'_>) + Send>;

/// Reads partitions one after the other.
pub struct LogReader {
    connection: Connection,
    queue: MessageQueue,
    messages: Messages,
    committed: BaseConsumer<Witness>,
    uncommitted: BaseConsumer<Witness>,
    patience: Duration,
    stop: Option<Box<dyn Fn() -> bool + Send>>,
    watch: Watch,
}

impl LogReader {
    /// A reader; `patience` is how long it waits without any progress.
    pub fn open(connection: &Connection, patience: Duration) -> Result<LogReader, Error> {
        let open = |isolation| -> Result<BaseConsumer<Witness>, Error> {
            let mut config = connection.checked()?.reader(isolation);
            // Only here: this reader never pauses, and the end after aborted records shows in no other way.
            config.set("enable.partition.eof", "true");
            // An end shows in an empty answer, for which the broker would wait.
            config.set("fetch.wait.max.ms", "10");
            config.create_with_context(Witness::default()).map_err(|error| Error::kafka("opening a log reader", &error))
        };
        let committed = open(Isolation::Committed)?;
        let queue = MessageQueue::new(committed.client().native_ptr());
        let uncommitted = open(Isolation::Uncommitted)?;
        Ok(LogReader {
            connection: connection.clone(),
            queue,
            messages: Messages::default(),
            committed,
            uncommitted,
            patience,
            stop: None,
            watch: Box::new(|_| {}),
        })
    }

    /// Tells every sign of progress, and nothing while it only waits; called in the reader's own thread, so `see` must
    /// be quick.
    pub fn watched_by(mut self, see: impl Fn(Sign<'_>) + Send + 'static) -> LogReader {
        self.watch = Box::new(see);
        self
    }

    /// Gives up with [`Fault::Stopped`] soon after this says so.
    pub fn stop_when(mut self, asked: impl Fn() -> bool + Send + 'static) -> LogReader {
        self.stop = Some(Box::new(asked));
        self
    }

    /// Shows every committed record in the range to `show`, which may stop the reading.
    pub fn read(
        &mut self,
        topic: &str,
        partition: i32,
        from: From,
        until: Until,
        mut show: impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> Result<ReadReport, Error> {
        let place = TopicPartition::new(topic, partition);
        // The end first: what is appended later belongs to the next reading.
        let (low, high) = self.watermarks(topic, partition)?;
        let from = match from {
            From::Earliest => low,
            From::Offset(offset) if offset < low => return Err(gone(&place, offset, low)),
            From::Offset(offset) => offset,
            From::Time(time_ms) => self.offset_for_time(topic, partition, time_ms)?.unwrap_or(high).max(low),
        };
        let end = match until {
            Until::StableEnd => high,
            Until::Offset(offset) => offset.min(high),
        };
        let mut report = ReadReport { from, next_offset: from, records: 0, is_stopped: false };
        if from >= end {
            return Ok(report);
        }
        (self.watch)(Sign::Begin(&place, end.abs_diff(from)));
        let client = self.committed.client().native_ptr();
        let fetch = SimpleFetch::start(client, &self.queue, topic, partition, from)
            .map_err(|code| Error::code(format!("reading {place}"), code))?;
        let result = follow(
            &Following {
                queue: &self.queue,
                client: &self.committed,
                place: &place,
                end,
                patience: self.patience,
                stop: self.stop.as_deref(),
                watch: &self.watch,
            },
            &mut self.messages,
            &mut report,
            &mut show,
        );
        drop(fetch);
        self.discard_rest();
        result.map(|()| report)
    }

    /// The oldest kept offset and the high watermark, open transactions included.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        self.ends(&self.uncommitted, topic, partition)
    }

    /// The oldest kept offset and the last stable one.
    pub fn stable_watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        self.ends(&self.committed, topic, partition)
    }

    /// The first offset whose record is not older than this; `None` where there is none.
    pub fn offset_for_time(&self, topic: &str, partition: i32, time_ms: i64) -> Result<Option<i64>, Error> {
        let place = TopicPartition::new(topic, partition);
        let doing = || format!("asking for the offset at a time in {place}");
        let mut asked = TopicPartitionList::new();
        asked
            .add_partition_offset(topic, partition, Offset::Offset(time_ms.max(0)))
            .map_err(|error| Error::kafka(doing(), &error))?;
        let answer = self
            .once_led(&self.uncommitted, (topic, partition), || {
                self.uncommitted.offsets_for_times(asked.clone(), self.patience)
            })
            .map_err(|error| self.explain(Error::kafka(doing(), &error)))?;
        let elements = answer.elements();
        let element = elements.first().ok_or_else(|| Error::new(Fault::Other, doing(), "no answer"))?;
        element.error().map_err(|error| Error::kafka(doing(), &error))?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    }

    /// The group's committed positions with their metadata, once no transaction can change them any more. A partition
    /// without a position is absent.
    pub fn committed(&self, group: &str, places: &[TopicPartition]) -> Result<Positions, Error> {
        self.positions(group, places, Stands::Settled)
    }

    /// As [`LogReader::committed`], without waiting for a transaction that is open: what it will move is told as it was.
    pub fn committed_so_far(&self, group: &str, places: &[TopicPartition]) -> Result<Positions, Error> {
        self.positions(group, places, Stands::SoFar)
    }

    fn positions(&self, group: &str, places: &[TopicPartition], stands: Stands) -> Result<Positions, Error> {
        let positions = GroupPositions::open(&self.connection, group, stands)?
            .ask(places, self.patience, self.stop.as_deref())
            .map_err(|error| self.explain(error))?;
        (self.watch)(Sign::Answer);
        Ok(positions)
    }

    fn ends(&self, client: &BaseConsumer<Witness>, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        serve(client);
        self.once_led(client, (topic, partition), || client.fetch_watermarks(topic, partition, self.patience))
            .map_err(|error| self.explain(Error::kafka(format!("asking for the end of {topic}/{partition}"), &error)))
    }

    fn once_led<T>(
        &self,
        client: &BaseConsumer<Witness>,
        (topic, partition): (&str, i32),
        ask: impl Fn() -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let is_there = || {
            let found = client.fetch_metadata(Some(topic), self.patience.min(MISSING_PATIENCE))?;
            let of_topic = found.topics().iter().find(|of| of.name() == topic && of.error().is_none());
            Ok(of_topic.is_some_and(|of| of.partitions().iter().any(|one| one.id() == partition)))
        };
        let answer = once_led(self.patience, MISSING_PATIENCE, is_there, ask);
        (self.watch)(Sign::Answer);
        answer
    }

    /// A question that timed out: the connections know why.
    fn explain(&self, error: Error) -> Error {
        serve(&self.uncommitted);
        match self.uncommitted.context().trouble() {
            Some((fault, words)) if error.fault == Fault::Unreachable => Error::new(fault, error.doing, words),
            _ => error,
        }
    }

    /// What was fetched beyond the end must not meet the next reading.
    fn discard_rest(&mut self) {
        loop {
            self.queue.take(&mut self.messages, BATCH, Duration::ZERO);
            if self.messages.len() == 0 {
                return;
            }
        }
    }
}

/// One partition being followed to its end.
struct Following<'a> {
    queue: &'a MessageQueue,
    client: &'a BaseConsumer<Witness>,
    place: &'a TopicPartition,
    end: i64,
    patience: Duration,
    stop: Option<&'a (dyn Fn() -> bool + Send)>,
    watch: &'a Watch,
}

fn follow(
    following: &Following<'_>,
    messages: &mut Messages,
    report: &mut ReadReport,
    show: &mut impl FnMut(Record<'_>) -> ControlFlow<()>,
) -> Result<(), Error> {
    let Following { queue, client, place, end, patience, stop, watch } = *following;
    let mut last_progress = Instant::now();
    loop {
        if stop.is_some_and(|asked| asked()) {
            return Err(stopped(format!("reading {place}")));
        }
        queue.take(messages, BATCH, TICK);
        serve(client);
        let before = report.next_offset;
        for at in 0..messages.len() {
            let message = messages.get(at);
            if message.partition() != place.partition || message.topic() != *place.topic {
                continue;
            }
            match message.error() {
                None if message.offset() >= end => report.next_offset = end,
                None if message.offset() >= report.next_offset => {
                    report.next_offset = message.offset() + 1;
                    report.records += 1;
                    if show(messages.record(at, 0)).is_break() {
                        report.is_stopped = true;
                        return Ok(());
                    }
                }
                None => {}
                // Everything below the place of this event is decided and shown; it may be a last stable offset.
                Some((RDKafkaErrorCode::PartitionEOF, _)) => {
                    report.next_offset = report.next_offset.max(message.offset().min(end));
                }
                Some((code, words)) => {
                    let error = Error { detail: words, ..Error::code(format!("reading {place}"), code) };
                    if error.fault != Fault::Unreachable && error.fault != Fault::Unsettled {
                        return Err(error);
                    }
                }
            }
            if report.next_offset >= end {
                watch(Sign::Further(report.next_offset.abs_diff(before)));
                return Ok(());
            }
        }
        if report.next_offset > before {
            last_progress = Instant::now();
            watch(Sign::Further(report.next_offset.abs_diff(before)));
            client.context().clear();
        } else if last_progress.elapsed() >= patience {
            return Err(stuck(client, place, report.next_offset, end));
        }
    }
}

fn stuck(client: &BaseConsumer<Witness>, place: &TopicPartition, at: i64, end: i64) -> Error {
    let doing = format!("reading {place} to its stable end");
    match client.context().trouble() {
        Some((fault, words)) => Error::new(fault, doing, words),
        None => {
            let words = format!("standing at {at} of {end}: a transaction may still be open there");
            Error::new(Fault::Unsettled, doing, words)
        }
    }
}

fn gone(place: &TopicPartition, offset: i64, low: i64) -> Error {
    Error::new(
        Fault::OffsetGone,
        format!("reading {place}"),
        format!("{offset} was asked for, {low} is the oldest kept"),
    )
}

fn stopped(doing: String) -> Error {
    Error::new(Fault::Stopped, doing, "")
}

fn is_missing(error: &KafkaError) -> bool {
    classify_error(error) == Fault::TopicMissing
}

fn changes_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::UnknownLeaderEpoch
        )
    )
}

/// Log lines and errors of the client, for its witness.
fn serve(client: &BaseConsumer<Witness>) {
    let witness = client.context();
    for _ in 0..EVENTS_AT_ONCE {
        let before = witness.served();
        if client.poll(Duration::ZERO).is_none() && witness.served() == before {
            return;
        }
    }
}

/// Records taken at once.
const BATCH: usize = 1_000;
/// Asks again while a partition changes its leader, as one does that was just created, and for a while where it is said
/// not to be there: a broker that has just come up does not know all of its partitions yet. That while begins with the
/// first such answer, since the question may have waited for the broker before. Then `is_there` asks a broker: what the
/// client remembers is no proof while none answers.
fn once_led<T>(
    patience: Duration,
    missing_patience: Duration,
    is_there: impl Fn() -> Result<bool, KafkaError>,
    ask: impl Fn() -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let started = Instant::now();
    let mut missing_since = None;
    loop {
        match ask() {
            Err(error) if changes_leader(&error) && started.elapsed() < patience => {}
            Err(error) if is_missing(&error) => {
                if missing_since.get_or_insert_with(Instant::now).elapsed() >= missing_patience {
                    match is_there() {
                        Err(_) | Ok(true) if started.elapsed() < patience => missing_since = None,
                        Err(silent) => return Err(silent),
                        Ok(_) => return Err(error),
                    }
                }
            }
            answer => return answer,
        }
        thread::sleep(LEADER_WAIT);
    }
}

/// How long one look into an empty queue takes.
const TICK: Duration = Duration::from_millis(50);
/// Long beside a broker's start, short beside the ten seconds in which a set-up that cannot work should be told.
const MISSING_PATIENCE: Duration = Duration::from_secs(5);
/// A new leader is known within a few of these.
const LEADER_WAIT: Duration = Duration::from_millis(100);
/// Events served in one round.
const EVENTS_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const MISSING: KafkaError = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition);

    const SILENCE: KafkaError = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
    const LONG: Duration = Duration::from_secs(9);
    const SHORT: Duration = Duration::from_millis(150);

    #[test]
    fn a_broker_that_comes_up_after_a_long_wait_may_still_learn_its_partitions() {
        let asked = Cell::new(0);
        let ask = || match asked.replace(asked.get() + 1) {
            0 => {
                thread::sleep(Duration::from_millis(400));
                Err(MISSING)
            }
            1 => Err(MISSING),
            _ => Ok(7),
        };
        assert_eq!(once_led(LONG, Duration::from_millis(350), || Ok(false), ask), Ok(7));
    }

    #[test]
    fn what_is_missing_for_good_is_told() {
        let answer: Result<(), _> = once_led(LONG, SHORT, || Ok(false), || Err(MISSING));
        assert_eq!(answer, Err(MISSING));
    }

    #[test]
    fn while_no_broker_answers_nothing_is_missing() {
        let looked = Cell::new(0);
        let is_there = || {
            looked.set(looked.get() + 1);
            Err(SILENCE)
        };
        let ask = || if looked.get() < 2 { Err(MISSING) } else { Ok(7) };
        assert_eq!(once_led(LONG, SHORT, is_there, ask), Ok(7));
        let answer: Result<(), _> = once_led(SHORT, SHORT, || Err(SILENCE), || Err(MISSING));
        assert_eq!(answer, Err(SILENCE), "and in the end it is the silence that is told");
    }
}
