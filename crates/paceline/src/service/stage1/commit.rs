//! The end of an epoch: the cut, its transaction, and what follows from the commit.

use super::{DRAIN_LIMIT, OpenEpoch, REFUSALS_MAX, Source, Stage1, no_committer};
use crate::failure::{Failure, Kind, Outcome};
use crate::published::LetterView;
use crate::service::gauges;
use crate::service::sibling::Sibling;
use crate::service::snapshot_writer::SnapshotJob;
use aggregator::{Counters, CutEnd};
use kafka_io::{Fault, Outcome as Committed, Transaction};
use model::event::EventKind;
use model::journal::{Epoch, NO_WATERMARK, Range};
use model::time::Millis;
use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Dead letters of one cut that are shown to people; a flood of them must not hold up the data.
const LETTERS_SHOWN_MAX: usize = 20;
/// In a backlog a snapshot's bytes of log go by within seconds: the work of writing them all would only prolong it.
const SNAPSHOT_REST: Duration = Duration::from_secs(12);

/// The cut that is being committed.
pub(super) struct InFlight {
    epochs: Vec<Epoch>,
    counters: Counters,
    snapshots: Vec<SnapshotJob>,
    dead: BTreeMap<(String, &'static str), u64>,
    /// The first of them, as people may see them.
    letters: Vec<LetterView>,
    facts: BTreeMap<String, u64>,
    records_of: [u64; 3],
    bytes_of: [u64; 3],
    opened: Instant,
    oldest_ms: Option<Millis>,
    refusals: u32,
    submitted: Instant,
}

impl InFlight {
    /// What to tell of a commit that does not come.
    pub(super) fn trouble(&self) -> Option<String> {
        late_commit("a cut", self.submitted)
    }
}

/// Words about a commit that is asked for longer than any healthy one takes; `what` begins them.
pub fn late_commit(what: &str, submitted: Instant) -> Option<String> {
    let waited = submitted.elapsed();
    (waited >= COMMIT_LATE)
        .then(|| format!("{what} is not committed after {} s: no answer from the cluster", waited.as_secs()))
}

/// A healthy commit takes milliseconds, and a second where the broker is busy.
const COMMIT_LATE: Duration = Duration::from_secs(3);

impl Stage1 {
    /// Closes the epoch and hands it to the committer. `in_batch`: more records wait, so no source is idle.
    pub(super) fn cut(&mut self, in_batch: bool) -> Outcome {
        self.wait_for_commit()?;
        self.interval_ms = self.next_interval_ms();
        let clock_ms = self.context.clock.now_ms();
        self.epoch.begin(clock_ms, &mut self.sets);
        self.worker_epoch += 1;
        let mut epochs = Vec::with_capacity(self.sets.len());
        let mut counters = Counters::default();
        let next_semantics = self.policy.semantics();
        self.waits = self.policy.waits().unwrap_or(self.waits);
        let idle_after_ms = self.waits.idle_after_ms;
        let sets = &mut self.sets;
        self.threads.install(|| sets.par_iter_mut().for_each(|(_, owned)| owned.set.gather()));
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
        let letters = self.dead.iter().take(LETTERS_SHOWN_MAX);
        let letters = letters.map(|letter| self.writer.sample(&self.context, letter, clock_ms)).collect();
        let dead = count(self.dead.iter().map(|letter| (letter.origin.0.clone(), letter.reason)));
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
            letters,
            facts,
            records_of: self.epoch.records_of,
            bytes_of: self.epoch.bytes_of,
            opened: self.epoch.opened,
            oldest_ms: self.epoch.oldest_ms,
            refusals: 0,
            submitted: Instant::now(),
        });
        self.log_bytes_since_snapshot += self.epoch.bytes_of.iter().sum::<u64>() as i64;
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

    /// One set at a time, and the next when that is written: what is written to while it is frozen is held twice.
    pub(super) fn due_snapshots(&mut self, at_end: bool) -> Vec<SnapshotJob> {
        let settings = &self.context.settings;
        let since = self.snapshot_taken_at.elapsed();
        let due = since.as_millis() as i64 >= settings.snapshot_interval_ms
            || since >= SNAPSHOT_REST && self.log_bytes_since_snapshot >= settings.snapshot_log_bytes;
        if due || at_end {
            self.snapshots_due = self.sets.keys().rev().copied().collect();
            self.snapshot_taken_at = Instant::now();
            self.log_bytes_since_snapshot = 0;
        }
        let turns = match (at_end, self.snapshots.is_idle()) {
            (true, _) => self.snapshots_due.len(),
            (false, true) => self.snapshots_due.len().min(1),
            (false, false) => 0,
        };
        if turns == 0 {
            return Vec::new();
        }
        let started = Instant::now();
        let taken_at_ms = self.context.clock.now_ms();
        let jobs = self.snapshots_due.drain(self.snapshots_due.len() - turns..).rev().filter_map(|partition| {
            let snapshot = self.sets.get(&partition)?.set.snapshot()?;
            Some(SnapshotJob { partition, snapshot, taken_at_ms })
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

    pub(super) fn hear_committer(&mut self, wait: Duration) -> Outcome {
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
                if refusals >= REFUSALS_MAX || !error.fault.may_pass() || error.fault == Fault::Replaced {
                    return Err(error.into());
                }
                tracing::warn!(%error, refusals, "cut refused, submitting it again");
                self.context.enter("stalled_retrying");
                self.submit(transaction)
            }
            Some(Committed::Fatal { error }) => {
                self.context.metrics.transactions.with_label_values(&["aggregator", "fatal"]).inc();
                Err(Failure::new(Kind::TryLater, error, "start it again; it takes up from the journal"))
            }
        }
    }

    pub(super) fn wait_for_commit(&mut self) -> Outcome {
        let started = Instant::now();
        while self.in_flight.is_some() {
            self.hear_committer(Duration::from_millis(20))?;
            self.speak();
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
        if cut.refusals > 0 {
            self.context.enter("running");
        }
        let metrics = &self.context.metrics;
        metrics.epochs.inc();
        metrics.epoch_seconds.observe(cut.opened.elapsed().as_secs_f64());
        metrics.transactions.with_label_values(&["aggregator", "committed"]).inc();
        metrics.transaction_seconds.with_label_values(&["aggregator"]).observe(took.as_secs_f64());
        if let Some(oldest_ms) = cut.oldest_ms {
            let latency_ms = (self.context.clock.now_ms() - oldest_ms).max(0);
            metrics.latency.with_label_values(&["broker_to_journal"]).observe(latency_ms as f64 / 1e3);
        }
        gauges::cut(metrics, &cut.epochs, &cut.counters, cut.records_of, &cut.dead, &cut.facts);
        for kind in EventKind::ALL {
            let topic = self.context.settings.topics.event(kind);
            metrics.consumed_bytes.with_label_values(&[topic]).inc_by(cut.bytes_of[kind.index()]);
        }
        self.refused.tell(&cut.dead, &cut.letters, Instant::now());
        for letter in cut.letters {
            self.context.published.letters.put(letter);
        }
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
    total.touches_spilled_out += one.touches_spilled_out;
    total.values_merged += one.values_merged;
    total.clicks_without_values += one.clicks_without_values;
    total.touches_unnamed += one.touches_unnamed;
    total.users_evicted += one.users_evicted;
    total.clicks_evicted += one.clicks_evicted;
    total.clicks_of_user_evicted += one.clicks_of_user_evicted;
    total.conversions_credited += one.conversions_credited;
    total.conversions_unmatched += one.conversions_unmatched;
    total.conversions_waited += one.conversions_waited;
    total.conversions_crowded += one.conversions_crowded;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_late_after_some_seconds_and_not_before() {
        let now = Instant::now();
        assert_eq!(late_commit("a cut", now), None);
        let before = now.checked_sub(COMMIT_LATE).expect("the machine has been up for some seconds");
        assert_eq!(
            late_commit("a cut", before).as_deref(),
            Some("a cut is not committed after 3 s: no answer from the cluster")
        );
    }
}
