//! Folding what was read: one lane for each sibling set, so that several cores fold at once.
//!
//! What always holds: a lane touches its own set only, and what the lanes add up to commutes; so the cut is the same
//! whatever the number of threads and whoever is quicker. Records of one partition stay in their order.

use super::{OpenEpoch, OwnedControl, Source, Stage1};
use crate::failure::Outcome;
use crate::service::cut::{CutWriter, DeadLetter};
use crate::service::sibling::{Held, OwnedSet};
use aggregator::{RecordMeta, Verdict};
use avro_codec::{Codec, RejectReason};
use model::event::EventKind;
use model::fact::ControlTopic;
use model::journal::CopiedFact;
use model::time::Millis;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::time::Duration;

/// Records taken from the client at once. A fetch brings some ten thousand records of one partition in a row: fewer than
/// this would often hold one partition only, and the other lanes would idle. A due cut waits for tens of milliseconds.
const BATCH_RECORDS: usize = 1 << 15;
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
    inputs: Vec<Input<'a>>,
    folded: Folded,
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
                let mut lane = Lane { owned, inputs: Vec::new(), folded: Folded::default() };
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

    /// Takes a batch from the client and folds it, or holds what may not go on yet.
    pub(super) fn fold_batch(&mut self) {
        // The batch borrows the consumer; what the fold needs is the rest of the worker.
        let Self { consumer, context, sets, controls, sources, facts, dead, epoch, writer, waits, threads, .. } = self;
        let batch = consumer.next_batch(BATCH_RECORDS, BATCH_WAIT);
        if batch.is_empty() {
            return;
        }
        let clock_ms = context.clock.now_ms();
        epoch.begin(clock_ms, sets);
        let places: Vec<i32> = sets.keys().copied().collect();
        let mut lanes: Vec<Lane<'_>> = sets
            .values_mut()
            .map(|owned| Lane { owned, inputs: Vec::with_capacity(batch.len()), folded: Folded::default() })
            .collect();
        let mut copier = Copier { codec: &context.codec, writer, facts, dead, epoch };
        for record in batch.iter() {
            let (offset, timestamp_ms) = (record.offset, record.timestamp_ms);
            match sources[record.source] {
                Source::Event(kind) => {
                    let input = Input { kind, offset, timestamp_ms, key: record.key, payload: record.payload };
                    if let Ok(at) = places.binary_search(&record.partition) {
                        lanes[at].inputs.push(input);
                    }
                }
                Source::Control(topic) => {
                    if let Some(control) = controls.get_mut(&(record.source, record.partition)) {
                        copier.copy(topic, control, &record);
                    }
                }
            }
        }
        let turn = turn(&context.codec, writer, clock_ms, epoch, waits.sibling_skew_ms);
        let busy = lanes.iter().filter(|lane| !lane.inputs.is_empty()).count();
        if busy > 1 && batch.len() >= PARALLEL_MIN {
            threads.install(|| lanes.par_iter_mut().for_each(|lane| lane.fold_all(&turn)));
        } else {
            lanes.iter_mut().for_each(|lane| lane.fold_all(&turn));
        }
        for lane in lanes {
            epoch.absorb(lane.folded, dead);
        }
    }

    /// The clock of an epoch is read once, before its first record.
    fn begin_epoch(&mut self, clock_ms: Millis) {
        self.epoch.begin(clock_ms, &mut self.sets);
    }
}

fn turn<'a>(codec: &'a Codec, writer: &'a CutWriter, clock_ms: Millis, epoch: &OpenEpoch, skew_ms: Millis) -> Turn<'a> {
    Turn { codec, writer, clock_ms, epoch_clock_ms: epoch.clock_ms, skew_ms }
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

impl Lane<'_> {
    fn fold_all(&mut self, turn: &Turn<'_>) {
        let inputs = std::mem::take(&mut self.inputs);
        for (at, input) in inputs.iter().enumerate() {
            // Another core wrote the payload: reading of it early overlaps the wait with the folding before.
            fetch(inputs.get(at + FETCH_AHEAD).and_then(|input| input.payload));
            if self.must_wait(input, turn) || !self.fold(input, turn) {
                let Input { kind, offset, timestamp_ms, key, payload } = *input;
                self.owned.siblings[kind.index()].hold(Held::of(offset, timestamp_ms, key, payload));
            }
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
    fn copy(&mut self, topic: ControlTopic, control: &mut OwnedControl, record: &kafka_io::Record<'_>) {
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
