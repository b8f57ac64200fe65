//! Folding what was read: one lane for each sibling set, so that several cores fold at once.
//!
//! A turn takes batch after batch from the client and spreads each over the lanes; nobody waits for the slowest lane of a
//! batch but the turn's end. With one barrier a batch a core idled a third of the time, since a fetch brings some twenty
//! thousand records of one partition in a row.
//!
//! What always holds: a lane touches its own set only, by one thread at a time, and what the lanes add up to commutes; so
//! the cut is the same whatever the number of threads and whoever is quicker. Records of one partition stay in their order.

use super::lane::{Folded, Lane, Part, SharedLane, Turn, hand_back};
use super::{CARRIED_BYTES_MAX, CARRIED_OVERHEAD_BYTES, OpenEpoch, OwnedControl, Source, Stage1};
use crate::failure::Outcome;
use crate::service::cut::{CutWriter, DeadLetter};
use crate::service::sibling::OwnedSet;
use avro_codec::{Codec, RejectReason};
use kafka_io::{PlainRecord, SharedBatch};
use model::fact::ControlTopic;
use model::journal::CopiedFact;
use model::time::Millis;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
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
/// How long a turn waits for the first record.
const BATCH_WAIT: Duration = Duration::from_millis(10);

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
            let Self { context, sets, sources, dead, epoch, writer, waits, .. } = self;
            let turn = turn(&context.codec, writer, sources, clock_ms, epoch, waits.sibling_skew_ms);
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
        let Self { consumer, context, sets, controls, sources, facts, dead, epoch, writer, waits, threads, .. } = self;
        let spare = &mut self.spare;
        let mut batch = spare.pop().unwrap_or_default();
        consumer.fill(&mut batch, BATCH_RECORDS, BATCH_WAIT);
        if batch.is_empty() {
            return spare.push(batch);
        }
        let (started, clock_ms) = (Instant::now(), context.clock.now_ms());
        epoch.begin(clock_ms, sets);
        let room = context.settings.epoch.records_max.saturating_sub(epoch.records);
        let turn = turn(&context.codec, writer, sources, clock_ms, epoch, waits.sibling_skew_ms);
        let places: Vec<i32> = sets.keys().copied().collect();
        let lanes: Vec<SharedLane<'_>> = sets.values_mut().map(SharedLane::of).collect();
        let journal_partitions = context.settings.journal_partitions as usize;
        let mut copier = Copier { codec: &context.codec, writer, journal_partitions, controls, facts, dead, epoch };
        let (give_back, given_back) = mpsc::channel();
        threads.in_place_scope(|scope| {
            let (mut taken, mut out) = (0, 0);
            loop {
                taken += batch.len();
                let is_small = batch.len() < PARALLEL_MIN;
                let records_of = spread(&batch, sources, &places, &mut copier);
                let shared = Arc::new(std::mem::take(&mut batch));
                for (lane, records) in lanes.iter().zip(records_of).filter(|(_, records)| !records.is_empty()) {
                    let (give_back, turn) = (&give_back, &turn);
                    match lane.put(Part { batch: Arc::clone(&shared), records }) {
                        false => {}
                        true if is_small && out == 0 => lane.work(turn, give_back),
                        true => scope.spawn(move |_| lane.work(turn, give_back)),
                    }
                }
                hand_back(shared, &give_back);
                out += 1;
                if is_small || copier.is_full() || taken >= room {
                    return;
                }
                while out >= BATCHES_OUT_MAX {
                    // A lane that panicked gives nothing back; the scope's end says so.
                    let Ok(done) = given_back.recv_timeout(TURN_MAX) else { return };
                    out -= 1;
                    keep(spare, done);
                }
                if turn.ends.load(Ordering::Relaxed) || started.elapsed() >= TURN_MAX {
                    return;
                }
                batch = spare.pop().unwrap_or_default();
                consumer.fill(&mut batch, BATCH_RECORDS, Duration::ZERO);
                if batch.is_empty() {
                    return spare.push(std::mem::take(&mut batch));
                }
            }
        });
        given_back.try_iter().for_each(|done| keep(spare, done));
        lanes.into_iter().for_each(|lane| epoch.absorb(lane.folded(), dead));
    }

    /// The clock of an epoch is read once, before its first record.
    fn begin_epoch(&mut self, clock_ms: Millis) {
        self.epoch.begin(clock_ms, &mut self.sets);
    }
}

fn turn<'a>(
    codec: &'a Codec,
    writer: &'a CutWriter,
    sources: &'a [Source],
    clock_ms: Millis,
    epoch: &OpenEpoch,
    skew_ms: Millis,
) -> Turn<'a> {
    let ends = AtomicBool::new(false);
    Turn { codec, writer, sources, clock_ms, epoch_clock_ms: epoch.clock_ms, skew_ms, ends }
}

/// Places of each lane's records in the batch; what is no event is copied at once.
fn spread(batch: &SharedBatch, sources: &[Source], places: &[i32], copier: &mut Copier<'_>) -> Vec<Vec<u32>> {
    let mut records_of = vec![Vec::new(); places.len()];
    for at in 0..batch.len() {
        let record = batch.get(at);
        match sources[record.source] {
            Source::Event(_) => {
                if let Ok(lane) = places.binary_search(&record.partition) {
                    records_of[lane].push(at as u32);
                }
            }
            Source::Control(topic) => copier.copy(topic, &record),
        }
    }
    records_of
}

/// Frees the records and keeps the room that they had.
fn keep(spare: &mut Vec<SharedBatch>, mut batch: SharedBatch) {
    batch.clear();
    if spare.len() <= BATCHES_OUT_MAX {
        spare.push(batch);
    }
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

/// Brings control topics into the journal.
struct Copier<'a> {
    codec: &'a Codec,
    writer: &'a CutWriter,
    journal_partitions: usize,
    controls: &'a mut BTreeMap<(usize, i32), OwnedControl>,
    facts: &'a mut Vec<CopiedFact>,
    dead: &'a mut Vec<DeadLetter>,
    epoch: &'a mut OpenEpoch,
}

impl Copier<'_> {
    /// The transaction should not carry more.
    fn is_full(&self) -> bool {
        self.epoch.carried_bytes >= CARRIED_BYTES_MAX
    }

    fn copy(&mut self, topic: ControlTopic, record: &PlainRecord<'_>) {
        let Some(control) = self.controls.get_mut(&(record.source, record.partition)) else { return };
        control.next = record.offset + 1;
        self.epoch.records += 1;
        // A tombstone withdraws a compacted key; what it withdrew is superseded by versions, so it carries nothing.
        let Some(payload) = record.payload else { return };
        let bytes = payload.len() + CARRIED_OVERHEAD_BYTES;
        match self.codec.fact(topic, payload) {
            Ok(fact) => {
                // What concerns all accounts stands in every partition of the journal.
                let copies = if fact.account_id().is_some() { 1 } else { self.journal_partitions };
                self.epoch.carried_bytes += bytes * copies;
                self.facts.push(CopiedFact {
                    topic: control.place.topic.to_string(),
                    partition: record.partition,
                    offset: record.offset,
                    timestamp: record.timestamp_ms,
                    record: fact,
                });
            }
            Err(rejected) => {
                self.epoch.carried_bytes += bytes;
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
