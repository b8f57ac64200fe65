//! The aggregator's worker: one thread, one consumer, one transactional producer.
//!
//! A turn of the loop: hear of rebalances, fold what may be folded, and when a cut is due close it and hand it to the
//! committer; the next epoch is folded while the one before is being committed. A transaction is opened only after the
//! fold, so it is open for milliseconds. Anything unknown ends the process: the next one reads the truth from the logs.
//!
//! What always holds: at most one cut is in flight; a snapshot is written only for a committed cut; a record is either
//! in a cut's sums, counted as a copy, or on the dead-letter topic, and its position moves with that in one transaction.

mod assignment;
mod commit;
mod fold;
mod lane;
mod refused;

use super::context::Context;
use super::cut::{CutWriter, DeadLetter};
use super::policy_feed::{PolicyFeed, Waits};
use super::recopy::Recopy;
use super::sibling::OwnedSet;
use super::snapshot_writer::SnapshotWriter;
use crate::failure::{Failure, Outcome};
use aggregator::EpochSums;
use commit::InFlight;
pub use commit::late_commit;
use kafka_io::{Committer, CommitterSettings, Failpoints, Membership, SharedBatch, SourceConsumer, TopicPartition};
use model::event::EventKind;
use model::fact::ControlTopic;
use model::journal::CopiedFact;
use model::time::Millis;
use rayon::ThreadPool;
use refused::Refused;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Dead letters and facts travel as they are: above this the cut is due, so that a bad schema upstream in a backlog does
/// not make a transaction that outlives its time-out.
const CARRIED_BYTES_MAX: usize = 16 << 20;
/// What a dead letter or a fact takes beside its payload: headers, coordinates, the record's own frame.
const CARRIED_OVERHEAD_BYTES: usize = 256;
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
    parked: BTreeMap<i32, OwnedSet>,
    sums: EpochSums,
    facts: Vec<CopiedFact>,
    dead: Vec<DeadLetter>,
    /// What the log says of them.
    refused: Refused,
    /// Fold the sets of a batch side by side.
    threads: ThreadPool,
    /// Batches that were folded, for the room they have.
    spare: Vec<SharedBatch>,
    epoch: OpenEpoch,
    worker_epoch: i64,
    in_flight: Option<InFlight>,
    ends_looked_at: Instant,
    /// Records that wait behind what was read, as of the last look at the ends.
    lag_records: u64,
    /// Time between two cuts: grows while there is a backlog.
    interval_ms: i64,
    snapshot_taken_at: Instant,
    /// Sets whose turn to be written comes, the next one last.
    snapshots_due: Vec<i32>,
    log_bytes_since_snapshot: i64,
    waits_for_siblings: Option<String>,
    waits: Waits,
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
    /// Payloads, by event kind.
    bytes_of: [u64; 3],
    oldest_ms: Option<Millis>,
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
        // Who joins under a slot throws out who runs under it: nothing that can fail by itself comes after.
        let snapshots = SnapshotWriter::start(&context)?;
        let writer = CutWriter::new(&context)?;
        let policy = PolicyFeed::start(&context)?;
        let consumer = SourceConsumer::join(&connection, &membership, &names)?;
        let threads = fold::fold_threads().map_err(|error| {
            Failure::failed(format!("cannot start the threads that fold: {error}"), "raise the limit of threads")
        })?;
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
            parked: BTreeMap::new(),
            sums: EpochSums::new(),
            facts: Vec::new(),
            dead: Vec::new(),
            refused: Refused::default(),
            threads,
            spare: Vec::new(),
            worker_epoch: 0,
            in_flight: None,
            lag_records: 0,
            interval_ms: context.settings.epoch.interval_ms,
            ends_looked_at: now,
            snapshot_taken_at: now,
            snapshots_due: Vec::new(),
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
            self.fold_batches();
            self.hear_committer(Duration::ZERO)?;
            if self.is_due() {
                self.cut(false)?;
            }
            self.speak();
        }
        self.leave()
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

    pub(super) fn speak(&self) {
        let health = &self.context.published.health;
        let reason = if self.committer.is_none() {
            Some("waiting for an assignment".to_owned())
        } else if let Some(words) = &self.waits_for_siblings {
            Some(words.clone())
        } else {
            let trouble = self.consumer.trouble().map(|(fault, words)| format!("{}: {words}", fault.words()));
            trouble.or_else(|| self.in_flight.as_ref().and_then(InFlight::trouble))
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
        self.context.enter("draining");
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
            bytes_of: [0; 3],
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
