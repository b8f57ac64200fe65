//! The aggregator's worker: one thread, one consumer, one transactional producer.
//!
//! A turn of the loop: hear of rebalances, fold what may be folded, and when a cut is due close it and hand it to the
//! committer; the next epoch is folded while the one before is being committed. A transaction is opened only after the
//! fold, so it is open for milliseconds. Anything unknown ends the process: the next one reads the truth from the logs.
//!
//! What always holds: at most one cut is in flight; a snapshot is written only for a committed cut; a record is either
//! in a cut's sums, counted as a copy, or on the dead-letter topic, and its position moves with that in one transaction.

use super::context::Context;
use super::cut::{CutWriter, DeadLetter};
use super::policy_feed::{PolicyFeed, Waits};
use super::recopy::Recopy;
use super::sibling::{Held, OwnedSet, Sibling};
use super::snapshot_writer::{SnapshotJob, SnapshotWriter};
use super::takeover::{self, Owned};
use crate::failure::{Failure, Kind, Outcome};
use aggregator::{Counters, CutEnd, EpochSums, RecordMeta, Verdict};
use avro_codec::{RejectReason, Scratch};
use kafka_io::{
    Committer, CommitterSettings, Failpoints, Life, Membership, Outcome as Committed, SourceConsumer, TopicPartition,
    Transaction,
};
use model::event::EventKind;
use model::fact::ControlTopic;
use model::journal::{CopiedFact, Epoch, NO_WATERMARK, Range};
use model::time::Millis;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Records taken from the client at once: small enough that a due cut does not wait, large enough to amortise the call.
const BATCH_RECORDS: usize = 8_192;
/// This many records ahead of the one that is folded a payload is touched.
const FETCH_AHEAD: usize = 6;
/// Dead letters and facts travel as they are: above this the cut is due, so that a bad schema upstream in a backlog does
/// not make a transaction that outlives its time-out.
const CARRIED_BYTES_MAX: usize = 16 << 20;
/// How long a turn waits for the first record.
const BATCH_WAIT: Duration = Duration::from_millis(10);
/// How often the ends of partitions are looked at.
const ENDS_EVERY: Duration = Duration::from_millis(50);
/// Cuts without records are made this much less often.
const QUIET_FACTOR: i64 = 2;
/// A refused transaction is submitted again this often while the partitions are still ours.
const REFUSALS_MAX: u32 = 10;
/// A graceful end waits this long for the last commit.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// What a source index of the consumer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Event(EventKind),
    Control(ControlTopic),
}

/// A control partition that this worker copies.
pub struct OwnedControl {
    /// Where it is.
    pub place: TopicPartition,
    /// Next position to read.
    pub next: i64,
    /// Position at the last closed cut.
    pub from: i64,
    /// Count of cuts.
    pub epoch: i64,
}

/// The worker.
pub struct Stage1 {
    context: Context,
    consumer: SourceConsumer,
    committer: Option<Committer>,
    writer: CutWriter,
    policy: PolicyFeed,
    snapshots: SnapshotWriter,
    recopy: Recopy,
    sources: Vec<Source>,
    sets: BTreeMap<i32, OwnedSet>,
    controls: BTreeMap<(usize, i32), OwnedControl>,
    /// Released at a rebalance and still ours if the next assignment says so.
    parked: Parked,
    sums: EpochSums,
    facts: Vec<CopiedFact>,
    dead: Vec<DeadLetter>,
    scratch: Scratch,
    epoch: OpenEpoch,
    worker_epoch: i64,
    in_flight: Option<InFlight>,
    ends_looked_at: Instant,
    /// Records that wait behind what was read, as of the last look at the ends.
    lag_records: u64,
    /// Time between two cuts: grows while there is a backlog.
    interval_ms: i64,
    snapshot_taken_at: Instant,
    log_bytes_since_snapshot: i64,
    waits_for_siblings: Option<String>,
    waits: Waits,
}

#[derive(Default)]
struct Parked {
    sets: BTreeMap<i32, OwnedSet>,
    controls: BTreeMap<(usize, i32), OwnedControl>,
}

/// The epoch that is being folded.
struct OpenEpoch {
    clock_ms: Millis,
    begun: bool,
    /// Bytes of dead letters and facts that go into the transaction as they are.
    carried_bytes: usize,
    opened: Instant,
    records: usize,
    records_of: [u64; 3],
    bytes: u64,
    oldest_ms: Option<Millis>,
}

/// The cut that is being committed.
struct InFlight {
    epochs: Vec<Epoch>,
    counters: Counters,
    snapshots: Vec<SnapshotJob>,
    dead: BTreeMap<(String, &'static str), u64>,
    facts: BTreeMap<String, u64>,
    records_of: [u64; 3],
    bytes: u64,
    opened: Instant,
    oldest_ms: Option<Millis>,
    refusals: u32,
}

impl Stage1 {
    /// Joins the group; nothing is read before the first assignment was taken over.
    pub fn start(context: Context) -> Outcome<Self> {
        let connection = context.connection("aggregator");
        let settings = &context.settings;
        let membership = Membership {
            group: format!("{}-aggregator", settings.group),
            instance: Some(format!("{}-aggregator-{}", settings.group, settings.slot)),
        };
        let kinds = EventKind::ALL.map(Source::Event).into_iter().chain(ControlTopic::ALL.map(Source::Control));
        let sources: Vec<Source> = kinds.collect();
        let names: Vec<&str> = sources.iter().map(|source| topic_of(&context, *source)).collect();
        let consumer = SourceConsumer::join(&connection, &membership, &names)?;
        let writer = CutWriter::new(&context)?;
        let policy = PolicyFeed::start(&context)?;
        let snapshots = SnapshotWriter::start(&context)?;
        let now = Instant::now();
        let waits = policy.waits().ok_or_else(no_committer)?;
        Ok(Self {
            epoch: OpenEpoch::new(context.clock.now_ms()),
            consumer,
            committer: None,
            writer,
            policy,
            snapshots,
            recopy: Recopy::start(&context),
            sources,
            sets: BTreeMap::new(),
            controls: BTreeMap::new(),
            parked: Parked::default(),
            sums: EpochSums::new(),
            facts: Vec::new(),
            dead: Vec::new(),
            scratch: Scratch::default(),
            worker_epoch: 0,
            in_flight: None,
            lag_records: 0,
            interval_ms: context.settings.epoch.interval_ms,
            ends_looked_at: now,
            snapshot_taken_at: now,
            log_bytes_since_snapshot: 0,
            waits_for_siblings: None,
            waits,
            context,
        })
    }

    /// Runs until asked to stop, or until something only a restart can mend.
    pub fn run(mut self) -> Outcome {
        while !self.context.stop.is_asked() {
            while let Some(life) = self.consumer.poll_life() {
                self.live(life)?;
            }
            self.look_at_ends();
            self.fold_held()?;
            self.fold_batch()?;
            self.hear_committer(Duration::ZERO)?;
            if self.is_due() {
                self.cut(false)?;
            }
            self.speak();
        }
        self.leave()
    }

    fn live(&mut self, life: Life) -> Outcome {
        match life {
            Life::Assigned(places) => {
                self.context.metrics.rebalances.with_label_values(&["assigned"]).inc();
                self.take_over(places)
            }
            Life::Revoked(places) => {
                self.context.metrics.rebalances.with_label_values(&["revoked"]).inc();
                tracing::info!(partitions = places.len(), "assignment revoked: draining");
                self.drain()?;
                self.recopy.forget();
                self.parked =
                    Parked { sets: std::mem::take(&mut self.sets), controls: std::mem::take(&mut self.controls) };
                Ok(self.consumer.release()?)
            }
            Life::Lost(_) => Err(Failure::new(
                Kind::TryLater,
                "the group gave this worker's partitions to others (it was silent for longer than the session)",
                "start it again; it takes up from the journal",
            )),
            Life::Failed(failure) if failure.is_fatal || !failure.error.fault.may_pass() => Err(failure.error.into()),
            Life::Failed(failure) => {
                tracing::warn!(error = %failure.error, "consumer trouble");
                Ok(())
            }
        }
    }

    fn take_over(&mut self, places: Vec<TopicPartition>) -> Outcome {
        let started = Instant::now();
        // Two epochs of one source never share a clock, also where the predecessor's machine was ahead of ours.
        let mut last_clock_ms = self.epoch.clock_ms;
        self.context.metrics.enter("restoring");
        self.context.published.health.say("aggregator", Some("taking over partitions".into()));
        if self.committer.is_none() {
            self.committer = Some(start_committer(&self.context, "aggregator", &self.consumer)?);
        }
        let (partitions, controls, incomplete) = self.sort_places(&places);
        self.waits_for_siblings = incomplete;
        let parked = std::mem::take(&mut self.parked);
        let (mut kept_sets, mut kept_controls) = (parked.sets, parked.controls);
        kept_sets.retain(|partition, _| partitions.contains(partition));
        // A generation can pass without a word to us, and others may have cut these sources since.
        for (partition, epoch) in kept_sets.iter().map(|(p, owned)| (*p, owned.set.epoch())).collect::<Vec<_>>() {
            if !takeover::is_untouched(&self.context, partition, epoch)? {
                kept_sets.remove(&partition);
            }
        }
        kept_controls.clear();
        kept_controls.retain(|key, _| controls.iter().any(|(source, place)| (*source, place.partition) == *key));
        let new_sets: Vec<i32> = partitions.iter().copied().filter(|p| !kept_sets.contains_key(p)).collect();
        let new_controls: Vec<(usize, TopicPartition)> = controls
            .into_iter()
            .filter(|(source, place)| !kept_controls.contains_key(&(*source, place.partition)))
            .collect();
        if !new_sets.is_empty() || !new_controls.is_empty() {
            let committer = self.committer.as_mut().ok_or_else(no_committer)?;
            let found: Owned =
                takeover::take_over(&self.context, committer, &self.writer, &self.policy, &new_sets, &new_controls)?;
            last_clock_ms = last_clock_ms.max(found.last_clock_ms);
            self.adopt(found, &mut kept_sets, &mut kept_controls);
        }
        (self.sets, self.controls) = (kept_sets, kept_controls);
        let now_ms = self.context.clock.now_ms();
        let mut starts = Vec::new();
        for owned in self.sets.values_mut() {
            for sibling in &mut owned.siblings {
                *sibling = Sibling::new(sibling.place.clone(), sibling.next, now_ms);
                starts.push((sibling.place.clone(), sibling.next));
            }
        }
        starts.extend(self.controls.values().map(|control| (control.place.clone(), control.next)));
        self.context.metrics.assigned_partitions.set(starts.len() as i64);
        if self.context.accept_loss {
            takeover::skip_lost(&self.context, &mut self.sets, &mut self.controls, &mut starts)?;
        }
        self.consumer.begin(starts)?;
        self.epoch = OpenEpoch::new(now_ms.max(last_clock_ms));
        let took = started.elapsed();
        self.context.metrics.restore_seconds.set(took.as_secs_f64());
        if self.sets.values().any(|owned| owned.set.epoch() == 0) {
            // The first cut has no records: it adopts the policy in force before anything is judged by it.
            self.cut(true)?;
        }
        tracing::info!(
            sets = self.sets.len(),
            controls = self.controls.len(),
            took_ms = took.as_millis() as u64,
            "partitions taken over"
        );
        self.context.metrics.enter("running");
        Ok(())
    }

    /// Splits an assignment into complete sibling sets and control partitions, and says which sets are incomplete.
    fn sort_places(&self, places: &[TopicPartition]) -> (Vec<i32>, Vec<(usize, TopicPartition)>, Option<String>) {
        let mut siblings: BTreeMap<i32, usize> = BTreeMap::new();
        let mut controls = Vec::new();
        for place in places {
            match self.consumer.source_of(place).map(|source| (source, self.sources[source])) {
                Some((_, Source::Event(_))) => *siblings.entry(place.partition).or_default() += 1,
                Some((source, Source::Control(_))) => controls.push((source, place.clone())),
                None => {}
            }
        }
        let torn: Vec<String> = siblings.iter().filter(|(_, count)| **count < 3).map(|(p, _)| p.to_string()).collect();
        let incomplete = (!torn.is_empty()).then(|| {
            format!(
                "partitions {} of impressions, clicks and conversions are not all assigned here: they are not read",
                torn.join(", ")
            )
        });
        if let Some(words) = &incomplete {
            tracing::error!("{words}");
        }
        (siblings.into_iter().filter(|(_, count)| *count == 3).map(|(p, _)| p).collect(), controls, incomplete)
    }

    fn adopt(
        &self,
        found: Owned,
        sets: &mut BTreeMap<i32, OwnedSet>,
        controls: &mut BTreeMap<(usize, i32), OwnedControl>,
    ) {
        let now_ms = self.context.clock.now_ms();
        for set in found.sets {
            let partition = set.0;
            let places =
                EventKind::ALL.map(|kind| TopicPartition::new(self.context.settings.topics.event(kind), partition));
            sets.insert(partition, OwnedSet::new(set.1, places, now_ms));
        }
        for (source, control) in found.controls {
            controls.insert((source, control.place.partition), control);
        }
    }

    fn look_at_ends(&mut self) {
        if self.ends_looked_at.elapsed() < ENDS_EVERY {
            return;
        }
        self.ends_looked_at = Instant::now();
        let clock_ms = self.context.clock.now_ms();
        self.lag_records = 0;
        for owned in self.sets.values_mut() {
            for sibling in &mut owned.siblings {
                sibling.at_end = sibling.held.is_empty() && self.consumer.at_end(&sibling.place);
                // Past control records too: where retention leaves nothing else, a position before them would be gone.
                if let Some(position) = self.consumer.position(&sibling.place).filter(|_| sibling.held.is_empty()) {
                    sibling.next = sibling.next.max(position);
                }
                self.lag_records += self.consumer.lag(&sibling.place).unwrap_or(0);
            }
            owned.renew_limits(clock_ms, self.waits.sibling_skew_ms);
        }
        for control in self.controls.values_mut() {
            control.next = control.next.max(self.consumer.position(&control.place).unwrap_or(0));
        }
    }

    /// Folds what was held and may go on now, and pauses or resumes partitions by how much is held.
    fn fold_held(&mut self) -> Outcome {
        let partitions: Vec<i32> = self.sets.keys().copied().collect();
        for partition in partitions {
            for kind in EventKind::ALL {
                while let Some(held) = self.next_held(partition, kind) {
                    let record = Input {
                        partition,
                        offset: held.offset,
                        timestamp_ms: held.timestamp_ms,
                        key: held.key.as_deref(),
                        payload: held.payload.as_deref(),
                    };
                    while !self.fold_event(kind, &record) {
                        self.cut(true)?;
                    }
                }
            }
            self.steer(partition)?;
        }
        Ok(())
    }

    fn next_held(&mut self, partition: i32, kind: EventKind) -> Option<Held> {
        let clock_ms = self.epoch.clock_ms;
        let skew_ms = self.waits.sibling_skew_ms;
        let owned = self.sets.get_mut(&partition)?;
        owned.siblings[kind.index()].held.front()?;
        owned.renew_limits(clock_ms.max(self.context.clock.now_ms()), skew_ms);
        let sibling = &mut owned.siblings[kind.index()];
        let held = sibling.held.front()?;
        let time = sibling.record_time(held.timestamp_ms, self.context.clock.now_ms());
        if time <= owned.limits[kind.index()] { sibling.next_held() } else { None }
    }

    fn steer(&mut self, partition: i32) -> Outcome {
        let Some(owned) = self.sets.get_mut(&partition) else { return Ok(()) };
        for sibling in &mut owned.siblings {
            match sibling.wants_pause() {
                Some(true) => self.consumer.pause(std::slice::from_ref(&sibling.place)),
                Some(false) => self.consumer.resume(std::slice::from_ref(&sibling.place)),
                None => continue,
            }
            sibling.paused = !sibling.paused;
        }
        Ok(())
    }

    fn fold_batch(&mut self) -> Outcome {
        // The batch borrows the consumer; what the fold needs is the rest of the worker.
        let Self { consumer, context, sets, controls, sources, facts, dead, scratch, epoch, writer, .. } = self;
        let batch = consumer.next_batch(BATCH_RECORDS, BATCH_WAIT);
        if batch.is_empty() {
            return Ok(());
        }
        let clock_ms = context.clock.now_ms();
        if epoch.records == 0 {
            epoch.begin(clock_ms, sets);
        }
        let mut fold = Fold { context, sets, facts, dead, scratch, epoch, writer };
        let mut ahead = batch.iter().skip(FETCH_AHEAD);
        for record in batch.iter() {
            // Another core wrote the payload: reading of it early overlaps the wait with the folding before.
            fetch(ahead.next().and_then(|record| record.payload));
            let input = Input {
                partition: record.partition,
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                key: record.key,
                payload: record.payload,
            };
            match sources[record.source] {
                // Where the set is full, the record is held like one that came too early, and folded after a cut.
                Source::Event(kind) => {
                    if fold.must_wait(kind, &input, clock_ms) || !fold.event(kind, &input) {
                        fold.hold(kind, &record);
                    }
                }
                Source::Control(topic) => {
                    if let Some(control) = controls.get_mut(&(record.source, record.partition)) {
                        fold.control(topic, control, &input);
                    }
                }
            }
        }
        Ok(())
    }

    fn fold_event(&mut self, kind: EventKind, input: &Input<'_>) -> bool {
        let Self { context, sets, facts, dead, scratch, epoch, writer, .. } = self;
        if epoch.records == 0 {
            epoch.begin(context.clock.now_ms(), sets);
        }
        Fold { context, sets, facts, dead, scratch, epoch, writer }.event(kind, input)
    }

    fn is_due(&self) -> bool {
        if self.sets.is_empty() && self.controls.is_empty() {
            return false;
        }
        let settings = &self.context.settings.epoch;
        let age_ms = self.epoch.opened.elapsed().as_millis() as i64;
        let busy = self.in_flight.is_some();
        let quiet = self.epoch.records == 0;
        // Asked again and not remembered: the cut that ends a backlog must not wait for its grown length.
        let interval_ms = match (quiet, self.is_behind()) {
            (true, _) => settings.interval_ms * QUIET_FACTOR,
            (false, true) => self.interval_ms,
            (false, false) => settings.interval_ms,
        };
        let full = self.epoch.records >= settings.records_max || self.epoch.carried_bytes >= CARRIED_BYTES_MAX;
        let wanted = age_ms >= interval_ms || full;
        // While the cut before is being committed, this one may grow, up to its limit.
        wanted && (!busy || age_ms >= settings.interval_max_ms || full)
    }

    /// In a backlog nobody waits for the newest second, and each cut costs both stages a row of every campaign: cuts then
    /// grow step by step, so that the first after a start comes soon, up to the longest allowed.
    fn next_interval_ms(&self) -> i64 {
        let settings = &self.context.settings.epoch;
        if self.is_behind() { (self.interval_ms * 2).min(settings.interval_max_ms) } else { settings.interval_ms }
    }

    /// More waits than the longest cut would hold at the present rate.
    fn is_behind(&self) -> bool {
        let age_ms = (self.epoch.opened.elapsed().as_millis() as u64).max(1);
        let longest_ms = self.context.settings.epoch.interval_max_ms as u64;
        self.epoch.records > 0 && self.lag_records > self.epoch.records as u64 * longest_ms / age_ms
    }

    /// Closes the epoch and hands it to the committer. `in_batch`: more records wait, so no source is idle.
    fn cut(&mut self, in_batch: bool) -> Outcome {
        self.wait_for_commit()?;
        self.interval_ms = self.next_interval_ms();
        let clock_ms = self.context.clock.now_ms();
        if self.epoch.records == 0 {
            self.epoch.begin(clock_ms, &mut self.sets);
        }
        self.worker_epoch += 1;
        let mut epochs = Vec::with_capacity(self.sets.len());
        let mut counters = Counters::default();
        let next_semantics = self.policy.semantics();
        self.waits = self.policy.waits().unwrap_or(self.waits);
        let idle_after_ms = self.waits.idle_after_ms;
        for owned in self.sets.values_mut() {
            let is_idle = |at: usize, s: &Sibling| {
                !in_batch && s.at_end && s.held.is_empty() && clock_ms - s.quiet_since_ms >= idle_after_ms[at]
            };
            let end = CutEnd {
                to: [0, 1, 2].map(|at| owned.siblings[at].next),
                idle: [0, 1, 2].map(|at| is_idle(at, &owned.siblings[at])),
                next_semantics,
                lag_records: owned.siblings.iter().filter_map(|s| self.consumer.lag(&s.place)).sum::<u64>() as i64,
            };
            let closed = owned.set.close(end, &mut self.sums).map_err(|error| {
                Failure::failed(format!("closing an epoch: {error}"), "this is a defect; please report it")
            })?;
            add(&mut counters, &closed.counters);
            epochs.push(closed.epoch);
        }
        let control_ranges = self.close_controls();
        self.copy_again(clock_ms);
        let snapshots = self.due_snapshots(false);
        let facts = count(self.facts.iter().map(|fact| fact.topic.clone()));
        let dead = count(self.dead.iter().map(|letter| (letter.topic.clone(), letter.reason)));
        let transaction = self.writer.write(
            &self.context,
            self.worker_epoch,
            self.epoch.clock_ms,
            &epochs,
            control_ranges,
            self.sums.drain(self.context.settings.journal_partitions),
            std::mem::take(&mut self.facts),
            std::mem::take(&mut self.dead),
        )?;
        self.in_flight = Some(InFlight {
            epochs,
            counters,
            snapshots,
            dead,
            facts,
            records_of: self.epoch.records_of,
            bytes: self.epoch.bytes,
            opened: self.epoch.opened,
            oldest_ms: self.epoch.oldest_ms,
            refusals: 0,
        });
        self.log_bytes_since_snapshot += self.epoch.bytes as i64;
        self.epoch = OpenEpoch::new(clock_ms);
        self.submit(transaction)
    }

    /// The daily copies of what a journal with finite retention must not forget.
    fn copy_again(&mut self, clock_ms: Millis) {
        let (controls, sources) = (&self.controls, &self.sources);
        let owned = || {
            let places = controls.iter().filter_map(|((source, _), control)| match sources[*source] {
                Source::Control(topic) => Some((topic, control.place.clone())),
                Source::Event(_) => None,
            });
            places.collect()
        };
        self.facts.extend(self.recopy.due(clock_ms, owned));
    }

    fn close_controls(&mut self) -> Vec<Range> {
        let mut ranges = Vec::with_capacity(self.controls.len());
        for control in self.controls.values_mut() {
            control.epoch += 1;
            ranges.push(Range {
                topic: control.place.topic.to_string(),
                partition: control.place.partition,
                from: control.from,
                to: control.next,
                watermark: NO_WATERMARK,
                idle: false,
                epoch: control.epoch,
            });
            control.from = control.next;
        }
        ranges
    }

    fn due_snapshots(&mut self, at_end: bool) -> Vec<SnapshotJob> {
        let settings = &self.context.settings;
        let due = self.snapshot_taken_at.elapsed().as_millis() as i64 >= settings.snapshot_interval_ms
            || self.log_bytes_since_snapshot >= settings.snapshot_log_bytes;
        if !(due || at_end) {
            return Vec::new();
        }
        self.snapshot_taken_at = Instant::now();
        self.log_bytes_since_snapshot = 0;
        let started = Instant::now();
        let taken_at_ms = self.context.clock.now_ms();
        let jobs = self.sets.iter().filter_map(|(partition, owned)| {
            owned.set.snapshot().map(|snapshot| SnapshotJob { partition: *partition, snapshot, taken_at_ms })
        });
        let jobs: Vec<SnapshotJob> = jobs.collect();
        self.context.metrics.snapshot_pause_seconds.observe(started.elapsed().as_secs_f64());
        jobs
    }

    fn submit(&mut self, transaction: Transaction) -> Outcome {
        let committer = self.committer.as_mut().ok_or_else(no_committer)?;
        committer.submit(transaction).map_err(|_| {
            Failure::failed("a second cut was submitted while one is in flight", "this is a defect; please report it")
        })
    }

    fn hear_committer(&mut self, wait: Duration) -> Outcome {
        let Some(committer) = self.committer.as_mut() else { return Ok(()) };
        match committer.outcome(wait) {
            None => Ok(()),
            Some(Committed::Committed { took }) => {
                self.committed(took);
                Ok(())
            }
            Some(Committed::Refused { transaction, error }) => {
                self.context.metrics.transactions.with_label_values(&["aggregator", "aborted"]).inc();
                let refusals = self.in_flight.as_mut().map_or(REFUSALS_MAX, |cut| {
                    cut.refusals += 1;
                    cut.refusals
                });
                if refusals >= REFUSALS_MAX || !error.fault.may_pass() {
                    return Err(error.into());
                }
                tracing::warn!(%error, refusals, "cut refused, submitting it again");
                self.submit(transaction)
            }
            Some(Committed::Fatal { error }) => {
                self.context.metrics.transactions.with_label_values(&["aggregator", "fatal"]).inc();
                Err(Failure::new(Kind::TryLater, error, "start it again; it takes up from the journal"))
            }
        }
    }

    fn wait_for_commit(&mut self) -> Outcome {
        let started = Instant::now();
        while self.in_flight.is_some() {
            self.hear_committer(Duration::from_millis(20))?;
            if started.elapsed() > DRAIN_LIMIT {
                return Err(Failure::new(
                    Kind::TryLater,
                    "a cut was not committed in time",
                    "check the cluster, then start again",
                ));
            }
        }
        Ok(())
    }

    fn committed(&mut self, took: Duration) {
        let Some(cut) = self.in_flight.take() else { return };
        let metrics = &self.context.metrics;
        metrics.epochs.inc();
        metrics.epoch_seconds.observe(cut.opened.elapsed().as_secs_f64());
        metrics.transactions.with_label_values(&["aggregator", "committed"]).inc();
        metrics.transaction_seconds.with_label_values(&["aggregator"]).observe(took.as_secs_f64());
        if let Some(oldest_ms) = cut.oldest_ms {
            let latency_ms = (self.context.clock.now_ms() - oldest_ms).max(0);
            metrics.latency.with_label_values(&["broker_to_journal"]).observe(latency_ms as f64 / 1e3);
        }
        super::gauges::cut(metrics, &cut.epochs, &cut.counters, cut.records_of, &cut.dead, &cut.facts);
        metrics.consumed_bytes.with_label_values(&["events"]).inc_by(cut.bytes);
        for job in cut.snapshots {
            self.snapshots.write(job);
        }
        self.count_lag();
    }

    /// Lag by partition, absent while the broker has not told.
    fn count_lag(&self) {
        let mut paused = 0;
        for owned in self.sets.values() {
            for sibling in &owned.siblings {
                paused += i64::from(sibling.paused);
                let Some(lag) = self.consumer.lag(&sibling.place) else { continue };
                let partition = sibling.place.partition.to_string();
                let labels = [&*sibling.place.topic, partition.as_str()];
                self.context.metrics.lag_records.with_label_values(&labels).set(lag as i64);
            }
        }
        self.context.metrics.paused_partitions.set(paused);
    }

    fn speak(&self) {
        let health = &self.context.published.health;
        let reason = if self.committer.is_none() {
            Some("waiting for an assignment".to_owned())
        } else if let Some(words) = &self.waits_for_siblings {
            Some(words.clone())
        } else {
            self.consumer.trouble().map(|(fault, words)| format!("{}: {words}", fault.words()))
        };
        if reason.is_some() && self.consumer.trouble().is_some() && self.in_flight.is_none() {
            self.consumer.forget_trouble();
        }
        health.say("aggregator", reason);
    }

    fn drain(&mut self) -> Outcome {
        if !self.sets.is_empty() || !self.controls.is_empty() {
            self.cut(true)?;
        }
        self.wait_for_commit()
    }

    fn leave(mut self) -> Outcome {
        self.context.metrics.enter("draining");
        self.drain()?;
        for job in self.due_snapshots(true) {
            self.snapshots.write(job);
        }
        self.snapshots.finish();
        self.committer = None;
        self.consumer.close(Duration::from_secs(5));
        tracing::info!("aggregator drained and left");
        Ok(())
    }
}

impl OpenEpoch {
    fn new(clock_ms: Millis) -> Self {
        Self {
            clock_ms,
            begun: false,
            carried_bytes: 0,
            opened: Instant::now(),
            records: 0,
            records_of: [0; 3],
            bytes: 0,
            oldest_ms: None,
        }
    }

    /// The clock of an epoch is read once, before its first record; two epochs never share one.
    fn begin(&mut self, clock_ms: Millis, sets: &mut BTreeMap<i32, OwnedSet>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.clock_ms = clock_ms.max(self.clock_ms + 1);
        for owned in sets.values_mut() {
            owned.set.open(self.clock_ms);
        }
    }
}

/// Brings the first two lines of a payload into the cache.
fn fetch(payload: Option<&[u8]>) {
    if let Some(bytes) = payload {
        std::hint::black_box((bytes.first(), bytes.get(64)));
    }
}

/// A record on its way into the fold, from the client's buffers or from those held.
struct Input<'a> {
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
}

/// The parts of the worker that folding one record needs.
struct Fold<'a> {
    context: &'a Context,
    sets: &'a mut BTreeMap<i32, OwnedSet>,
    facts: &'a mut Vec<CopiedFact>,
    dead: &'a mut Vec<DeadLetter>,
    scratch: &'a mut Scratch,
    epoch: &'a mut OpenEpoch,
    writer: &'a CutWriter,
}

impl Fold<'_> {
    fn must_wait(&self, kind: EventKind, input: &Input<'_>, clock_ms: Millis) -> bool {
        self.sets.get(&input.partition).is_some_and(|owned| {
            let sibling = &owned.siblings[kind.index()];
            !sibling.held.is_empty() || sibling.record_time(input.timestamp_ms, clock_ms) > owned.limits[kind.index()]
        })
    }

    fn hold(&mut self, kind: EventKind, record: &kafka_io::Record<'_>) {
        if let Some(owned) = self.sets.get_mut(&record.partition) {
            owned.siblings[kind.index()].hold(Held::of(record));
        }
    }

    /// Folds one event; `false` where the set is full and asks for a cut first.
    fn event(&mut self, kind: EventKind, input: &Input<'_>) -> bool {
        let Some(owned) = self.sets.get_mut(&input.partition) else { return true };
        let payload = input.payload.unwrap_or_default();
        let decoded = self.context.codec.event(kind, payload, self.scratch);
        let mut detail = String::new();
        let meta = RecordMeta { offset: input.offset, timestamp_ms: input.timestamp_ms, key: input.key };
        let verdict = match decoded {
            Ok(event) => owned.set.fold(kind, meta, Ok(event)),
            Err(rejected) => {
                let verdict = owned.set.fold(kind, meta, Err(rejected.reason.as_str()));
                detail = rejected.detail;
                verdict
            }
        };
        let sibling = &mut owned.siblings[kind.index()];
        match verdict {
            Verdict::Full => return false,
            Verdict::Stray => return true,
            Verdict::Rejected(reason) => {
                self.epoch.carried_bytes += payload.len();
                self.dead.push(self.writer.dead_letter(
                    &sibling.place,
                    input.offset,
                    input.timestamp_ms,
                    input.key,
                    input.payload,
                    reason,
                    detail,
                ));
            }
            Verdict::Taken => {}
        }
        sibling.next = input.offset + 1;
        sibling.time_ms = sibling.record_time(input.timestamp_ms, self.epoch.clock_ms.max(sibling.time_ms));
        sibling.quiet_since_ms = self.epoch.clock_ms;
        self.epoch.records += 1;
        self.epoch.records_of[kind.index()] += 1;
        self.epoch.bytes += payload.len() as u64;
        if self.epoch.oldest_ms.is_none() {
            self.epoch.oldest_ms = Some(input.timestamp_ms);
        }
        true
    }

    fn control(&mut self, topic: ControlTopic, control: &mut OwnedControl, input: &Input<'_>) {
        control.next = input.offset + 1;
        self.epoch.records += 1;
        // A tombstone withdraws a compacted key; what it withdrew is superseded by versions, so it carries nothing.
        let Some(payload) = input.payload else { return };
        self.epoch.carried_bytes += payload.len();
        match self.context.codec.fact(topic, payload) {
            Ok(record) => self.facts.push(CopiedFact {
                topic: control.place.topic.to_string(),
                partition: input.partition,
                offset: input.offset,
                timestamp: input.timestamp_ms,
                record,
            }),
            Err(rejected) => {
                let reason = rejected.reason.as_str();
                self.dead.push(self.writer.dead_letter(
                    &control.place,
                    input.offset,
                    input.timestamp_ms,
                    input.key,
                    input.payload,
                    reason,
                    rejected.detail,
                ));
                if rejected.reason == RejectReason::SchemaUnavailable {
                    tracing::error!(topic = %control.place.topic, "a schema could not be looked up");
                }
            }
        }
    }
}

/// A transactional producer under the id of this slot; starting it fences the predecessor.
pub fn start_committer(context: &Context, stage: &str, consumer: &SourceConsumer) -> Outcome<Committer> {
    let settings = &context.settings;
    let id = format!("{}.{}.{stage}", settings.group, settings.slot);
    let limits = CommitterSettings { failpoints: Failpoints::from_environment()?, ..CommitterSettings::default() };
    Ok(Committer::start(&context.connection(stage), &id, Some(consumer.group()), limits)?)
}

fn topic_of(context: &Context, source: Source) -> &str {
    match source {
        Source::Event(kind) => context.settings.topics.event(kind),
        Source::Control(topic) => context.settings.topics.control(topic),
    }
}

fn no_committer() -> Failure {
    Failure::failed("nothing was taken over yet", "this is a defect; please report it")
}

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, u64> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

fn add(total: &mut Counters, one: &Counters) {
    for (sum, value) in total.misplaced.iter_mut().zip(one.misplaced) {
        *sum += value;
    }
    for (sum, value) in total.dedupe_unknown.iter_mut().zip(one.dedupe_unknown) {
        *sum += value;
    }
    total.touches_late += one.touches_late;
    total.touches_unnamed += one.touches_unnamed;
    total.users_evicted += one.users_evicted;
    total.clicks_evicted += one.clicks_evicted;
    total.clicks_of_user_evicted += one.clicks_of_user_evicted;
    total.conversions_credited += one.conversions_credited;
    total.conversions_unmatched += one.conversions_unmatched;
    total.conversions_waited += one.conversions_waited;
    total.conversions_crowded += one.conversions_crowded;
}
