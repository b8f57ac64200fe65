//! The controller's worker: journal records in, KPI rows, commands, desired state and alerts out, in one transaction
//! with the journal position.
//!
//! What always holds: one transaction in flight; the next records are applied meanwhile, and what they bring waits. A
//! position is committed only with all outputs up to it. On anything unknown the process ends and starts again from the
//! journal and the committed decisions.

use super::already::{Already, Word};
use super::context::Context;
use super::gauges;
use super::history::History;
use super::outputs::{OutTopics, count_acks, tell};
use super::recovery::{self, Recovered};
use super::shadow::Shadow;
use super::snapshot_writer::{Frozen, SnapshotWriter};
use super::span::{SPAN_HEADER, Span};
use super::stage1::{late_commit, start_committer};
use super::tally::Tally;
use crate::failure::{Failure, Kind, Outcome};
use crate::published::{AccountGoal, CampaignEntry, ExperimentView, HaltView};
use crate::snapshots::Chunk;
use controller::{Authority, Controller, Counters, JournalPosition, Outputs};
use kafka_io::{
    Committer, Fault, Life, Membership, OffsetOut, OutRecord, Outcome as Committed, SourceConsumer, TopicPartition,
    Transaction,
};
use model::time::Millis;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Journal records taken at once; each may carry thousands of deltas.
const BATCH_RECORDS: usize = 256;
const BATCH_WAIT: Duration = Duration::from_millis(10);
/// Positions without outputs are committed this often: a restart then replays less than a second.
const QUIET_COMMIT: Duration = Duration::from_millis(500);
/// A journal is at rest after this time without a record; while the aggregator lives, each cut brings one.
const REST_AFTER: Duration = Duration::from_secs(5);
/// What health hears of a take-over.
const DOING: &str = "recovering journal partitions";
/// What waits behind the transaction in flight; above it the loop stops reading.
const WAITING_RECORDS_MAX: usize = 20_000;
/// A snapshot that did not come by itself in this share of its interval, or of its rows, is waited for.
const OVERDUE_PER_CENT: u64 = 110;
/// A partition is written, before its interval is over, when as many journal rows came for each of its campaigns: about a
/// minute of them, so that a restart replays no more than that.
const SNAPSHOT_ROWS_OF_EACH: u64 = 64;
/// Where few campaigns are held a replay is short however long it is.
const SNAPSHOT_CAMPAIGNS_MIN: u64 = 64;
/// In a backlog a minute's rows go by within a second: the work of writing them would only prolong it, and states that
/// wait for the writer would pile up.
const SNAPSHOT_REST: Duration = Duration::from_secs(20);
/// Partitions are frozen for a snapshot in one turn until this is over.
const FREEZE_MAX: Duration = Duration::from_millis(2);
const REFUSALS_MAX: u32 = 10;
const DRAIN_LIMIT: Duration = Duration::from_secs(25);
/// How often the read views are renewed.
const VIEWS_EVERY: Duration = Duration::from_millis(1_000);
/// With many campaigns they are renewed less often, so that the views take at most this part of the thread's time: ten
/// thousand take some 40 ms.
const VIEWS_SHARE: u32 = 50;

/// One owned journal partition.
pub struct OwnedPartition {
    /// The state machine.
    pub controller: Controller,
    /// What is already on the output topics, by the journal offset that it names.
    pub already: Already,
    /// Committed, or about to be: after the last applied record and the control records behind it.
    next: i64,
    snapshot_taken: Instant,
    /// Journal rows since then, and how many are allowed.
    snapshot_rows: u64,
    snapshot_rows_max: u64,
    last_timestamp_ms: Millis,
    last_clock_ms: Millis,
    /// When nothing more was to be applied, by the service's clock.
    caught_up_ms: Millis,
}

impl OwnedPartition {
    fn is_due(&self, interval_ms: i64, per_cent: u64) -> bool {
        let rows = (self.snapshot_rows, self.snapshot_rows_max);
        is_due(self.snapshot_taken.elapsed(), interval_ms, rows, per_cent)
    }
}

/// Whether a snapshot of this age is older than so many per cent of what is allowed, in time or in rows.
fn is_due(age: Duration, interval_ms: i64, (rows, rows_max): (u64, u64), per_cent: u64) -> bool {
    let is_past = |waited: u64, limit: u64| waited.saturating_mul(100) >= limit.saturating_mul(per_cent);
    is_past(age.as_millis() as u64, interval_ms.unsigned_abs()) || age >= SNAPSHOT_REST && is_past(rows, rows_max)
}

/// How many rows may come before the next snapshot.
fn snapshot_rows_max(controller: &Controller) -> u64 {
    (controller.view().campaign_count() as u64).max(SNAPSHOT_CAMPAIGNS_MIN) * SNAPSHOT_ROWS_OF_EACH
}

/// What a manifest says of a journal partition's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionHeader {
    /// Next journal offset.
    pub next_offset: i64,
    /// Timestamp of the last applied record.
    pub timestamp_ms: Millis,
}

/// The worker.
pub struct Stage2 {
    context: Context,
    consumer: SourceConsumer,
    committer: Option<Committer>,
    snapshots: SnapshotWriter,
    shadow: Shadow,
    history: History,
    journal: Arc<str>,
    topics: OutTopics,
    partitions: BTreeMap<i32, OwnedPartition>,
    parked: BTreeMap<i32, OwnedPartition>,
    waiting: Vec<OutRecord>,
    waiting_clock_ms: Option<Millis>,
    /// What `waiting` says, for people.
    untold: Vec<Outputs>,
    /// What the next transaction covers, by partition.
    moved: BTreeMap<i32, Span>,
    in_flight: Option<InFlight>,
    committed_at: Instant,
    /// When they are to be renewed next.
    views_at: Instant,
    /// Partitions whose campaigns are not in the views yet.
    taken_over: Vec<i32>,
    /// Currencies that have series.
    currencies: BTreeSet<String>,
}

struct InFlight {
    refusals: u32,
    untold: Vec<Outputs>,
    oldest_clock_ms: Option<Millis>,
    submitted: Instant,
}

impl Stage2 {
    /// Joins the group; nothing is read before the first assignment was recovered.
    pub fn start(context: Context) -> Outcome<Self> {
        let settings = &context.settings;
        let membership = Membership {
            group: format!("{}-controller", settings.group),
            instance: Some(format!("{}-controller-{}", settings.group, settings.slot)),
        };
        let topics = &settings.topics;
        // Who joins under a slot throws out who runs under it: nothing that can fail by itself comes after.
        let snapshots = SnapshotWriter::start(&context)?;
        let shadow = Shadow::start(&context)?;
        let history = History::start(&context)?;
        let consumer = SourceConsumer::join(&context.connection("controller"), &membership, &[&topics.journal])?;
        let (journal, topics) = (Arc::from(topics.journal.as_str()), OutTopics::of(topics));
        Ok(Self {
            consumer,
            committer: None,
            snapshots,
            shadow,
            history,
            journal,
            topics,
            partitions: BTreeMap::new(),
            parked: BTreeMap::new(),
            waiting: Vec::new(),
            waiting_clock_ms: None,
            untold: Vec::new(),
            moved: BTreeMap::new(),
            in_flight: None,
            committed_at: Instant::now(),
            views_at: Instant::now() + VIEWS_EVERY,
            taken_over: Vec::new(),
            currencies: BTreeSet::new(),
            context,
        })
    }

    /// Runs until asked to stop, or until something only a restart can mend.
    pub fn run(mut self) -> Outcome {
        while !self.context.stop.is_asked() {
            while let Some(life) = self.consumer.poll_life() {
                self.live(life)?;
            }
            let applies = self.waiting.len() < WAITING_RECORDS_MAX && !self.rests_for_snapshot();
            if applies {
                self.apply_batch()?;
            }
            self.hear_committer(if applies { Duration::ZERO } else { BATCH_WAIT })?;
            self.submit_if_due()?;
            self.speak();
        }
        self.leave()
    }

    fn live(&mut self, life: Life) -> Outcome {
        match life {
            Life::Assigned(places) => self.take_over(&places),
            Life::Revoked(places) => {
                self.drain()?;
                self.shadow.leave();
                gauges::forget(&self.context.metrics, &places);
                self.parked = std::mem::take(&mut self.partitions);
                Ok(self.consumer.release()?)
            }
            Life::Lost(_) => Err(Failure::new(
                Kind::TryLater,
                "the group gave this controller's partitions away: for longer than the session it was not heard, because no broker \
                 answered or because it hung",
                "start it again; it takes up from the journal",
            )),
            Life::Failed(failure) if failure.is_fatal || !failure.error.fault.may_pass() => Err(failure.error.into()),
            Life::Failed(failure) => {
                tracing::warn!(error = %failure.error, "consumer trouble");
                Ok(())
            }
        }
    }

    fn take_over(&mut self, places: &[TopicPartition]) -> Outcome {
        let started = Instant::now();
        self.context.enter("restoring");
        self.context.progress.begin(DOING, places.len());
        if self.committer.is_none() {
            self.committer = Some(start_committer(&self.context, "controller", &self.consumer)?);
        }
        let mut parked = std::mem::take(&mut self.parked);
        // A generation can pass without a word to us, and others may have gone on with these partitions.
        let positions = parked.iter().map(|(partition, owned)| (*partition, owned.next)).collect();
        let untouched = recovery::untouched(&self.context, &positions)?;
        parked.retain(|partition, _| untouched.contains(partition));
        let mut starts = Vec::new();
        let fresh: Vec<i32> = places.iter().map(|place| place.partition).filter(|p| !parked.contains_key(p)).collect();
        self.context.progress.begin(DOING, fresh.len());
        let recovered = recovery::recover(&self.context, &fresh)?;
        for place in places {
            let owned = parked.remove(&place.partition);
            self.partitions.extend(owned.map(|owned| (place.partition, owned)));
        }
        for Recovered { partition, controller, already, timestamp_ms, rows } in recovered {
            let owned = OwnedPartition {
                next: controller.next_offset().max(already.starts_at),
                snapshot_rows_max: snapshot_rows_max(&controller),
                controller,
                already,
                snapshot_taken: Instant::now(),
                snapshot_rows: rows,
                last_timestamp_ms: timestamp_ms,
                last_clock_ms: timestamp_ms,
                caught_up_ms: 0,
            };
            self.partitions.insert(partition, owned);
        }
        for place in places {
            if let Some(owned) = self.partitions.get(&place.partition) {
                starts.push((place.clone(), owned.next));
            }
        }
        self.taken_over.extend(fresh);
        self.shadow.taken_over(&self.context, places)?;
        self.consumer.begin(starts)?;
        self.context.progress.end();
        self.context.enter("running");
        let took_ms = started.elapsed().as_millis() as u64;
        tracing::info!(partitions = self.partitions.len(), took_ms, "journal partitions taken over");
        Ok(())
    }

    fn apply_batch(&mut self) -> Outcome {
        let Self {
            consumer,
            partitions,
            context,
            waiting,
            moved,
            journal: name,
            topics,
            waiting_clock_ms,
            untold,
            shadow,
            ..
        } = self;
        let batch = consumer.next_batch(BATCH_RECORDS, BATCH_WAIT);
        for record in batch.iter() {
            let Some(owned) = partitions.get_mut(&record.partition) else { continue };
            let journal = context.codec.journal(record.payload.unwrap_or_default()).map_err(|rejected| {
                Failure::failed(
                    format!(
                        "record {} of {name}/{} does not decode: {}",
                        record.offset, record.partition, rejected.detail
                    ),
                    "only Paceline may write this topic; remove what another program wrote there",
                )
            })?;
            context.published.note_halts(&journal);
            count_acks(&context.metrics, &journal);
            let at = JournalPosition { offset: record.offset, timestamp_ms: record.timestamp_ms };
            owned.last_timestamp_ms = record.timestamp_ms;
            owned.last_clock_ms = journal.clock;
            owned.snapshot_rows += journal.deltas.len() as u64;
            let (outputs, publishes) = match owned.already.word(record.offset) {
                Word::Silent => {
                    shadow.decides(context, record.partition, &owned.controller);
                    (owned.controller.apply(at, &journal, Authority::Decide), true)
                }
                Word::Whole(log) => (owned.controller.apply(at, &journal, Authority::Log(log)), false),
                Word::Torn(log, holds) => (owned.controller.mend(at, &journal, log, holds), true),
            };
            let span = moved.entry(record.partition).or_insert_with(|| Span::of(record.offset));
            span.to = record.offset;
            if !outputs.adjustments.is_empty() {
                let clock = journal.clock;
                *waiting_clock_ms = Some(waiting_clock_ms.map_or(clock, |earlier| earlier.min(clock)));
            }
            if publishes {
                topics.add(context, (record.partition, record.offset), &outputs, span, waiting)?;
                // People hear of it once it is a fact.
                untold.push(outputs);
            } else {
                tell(context, &outputs);
            }
        }
        Ok(())
    }

    /// Moves positions past the control records behind the last record: with transactions there always are some, and
    /// where retention leaves nothing else, a position before them would be gone.
    fn pass_control_records(&mut self) {
        let rests = self.moved.is_empty() && self.committed_at.elapsed() >= REST_AFTER;
        for (partition, owned) in &mut self.partitions {
            let place = TopicPartition::new(self.journal.clone(), *partition);
            let next = self.consumer.position(&place).unwrap_or(0).max(owned.controller.next_offset());
            if next > owned.next && (rests || self.moved.contains_key(partition)) {
                self.moved.entry(*partition).or_insert_with(|| Span::at_rest(next));
                owned.next = next;
            }
        }
    }

    fn submit_if_due(&mut self) -> Outcome {
        if self.in_flight.is_none() {
            self.pass_control_records();
        }
        let due = !self.waiting.is_empty() || self.committed_at.elapsed() >= QUIET_COMMIT;
        if self.in_flight.is_some() || self.moved.is_empty() || !due {
            return Ok(());
        }
        let moved = std::mem::take(&mut self.moved);
        let mut records = std::mem::take(&mut self.waiting);
        let texts: BTreeMap<i32, String> = moved.iter().map(|(partition, span)| (*partition, span.text())).collect();
        for record in &mut records {
            let text = texts.get(&record.partition).map(|text| text.as_bytes().to_vec());
            record.headers.extend(text.map(|text| (Cow::Borrowed(SPAN_HEADER), text)));
        }
        let offsets = moved.iter().map(|(partition, span)| OffsetOut {
            place: TopicPartition::new(self.journal.clone(), *partition),
            next_offset: self.partitions.get(partition).map_or(0, |owned| owned.next).max(span.to + 1),
            metadata: texts.get(partition).cloned().unwrap_or_default(),
        });
        let transaction = Transaction { offsets: offsets.collect(), records };
        self.in_flight = Some(InFlight {
            refusals: 0,
            untold: std::mem::take(&mut self.untold),
            oldest_clock_ms: self.waiting_clock_ms.take(),
            submitted: Instant::now(),
        });
        self.submit(transaction)
    }

    fn submit(&mut self, transaction: Transaction) -> Outcome {
        let committer = self
            .committer
            .as_mut()
            .ok_or_else(|| Failure::failed("no committer", "this is a defect; please report it"))?;
        committer.submit(transaction).map_err(|_| {
            Failure::failed(
                "a second transaction was submitted while one is in flight",
                "this is a defect; please report it",
            )
        })
    }

    fn hear_committer(&mut self, wait: Duration) -> Outcome {
        let Some(committer) = self.committer.as_mut() else { return Ok(()) };
        let result = |word: &str| self.context.metrics.transactions.with_label_values(&["controller", word]).inc();
        match committer.outcome(wait) {
            None => Ok(()),
            Some(Committed::Committed { took }) => {
                result("committed");
                self.committed(took);
                Ok(())
            }
            Some(Committed::Refused { transaction, error }) => {
                result("aborted");
                let refusals = self.in_flight.as_mut().map_or(REFUSALS_MAX, |flight| {
                    flight.refusals += 1;
                    flight.refusals
                });
                if refusals >= REFUSALS_MAX || !error.fault.may_pass() || error.fault == Fault::Replaced {
                    return Err(error.into());
                }
                tracing::warn!(%error, refusals, "decisions refused, submitting them again");
                self.context.enter("stalled_retrying");
                self.submit(transaction)
            }
            Some(Committed::Fatal { error }) => {
                result("fatal");
                Err(Failure::new(Kind::TryLater, error, "start it again; it takes up from the journal"))
            }
        }
    }

    fn committed(&mut self, took: Duration) {
        self.committed_at = Instant::now();
        self.context.metrics.transaction_seconds.with_label_values(&["controller"]).observe(took.as_secs_f64());
        let flight = self.in_flight.take();
        if flight.as_ref().is_some_and(|flight| flight.refusals > 0) {
            self.context.enter("running");
        }
        for outputs in flight.iter().flat_map(|flight| &flight.untold) {
            tell(&self.context, outputs);
            outputs.alerts.iter().for_each(|alert| self.context.notifier.take(alert));
        }
        if let Some(clock) = flight.and_then(|flight| flight.oldest_clock_ms) {
            let latency_ms = (self.context.clock.now_ms() - clock).max(0);
            self.context.metrics.latency.with_label_values(&["broker_to_published"]).observe(latency_ms as f64 / 1e3);
        }
        // Only now, with nothing waiting, is every state at a committed position.
        if self.moved.is_empty() && self.waiting.is_empty() {
            self.snapshot_if_due(false);
        }
    }

    /// Under load something has always moved when a commit ends: where a snapshot is overdue nothing is applied until one
    /// commit has ended, or there would be none for as long as the load lasts.
    fn rests_for_snapshot(&self) -> bool {
        let interval_ms = self.context.settings.snapshot_interval_ms;
        self.in_flight.is_some() && self.partitions.values().any(|owned| owned.is_due(interval_ms, OVERDUE_PER_CENT))
    }

    fn snapshot_if_due(&mut self, at_end: bool) {
        let interval_ms = self.context.settings.snapshot_interval_ms;
        let begun = Instant::now();
        for (partition, owned) in &mut self.partitions {
            if !at_end && !owned.is_due(interval_ms, 100) {
                continue;
            }
            owned.snapshot_taken = Instant::now();
            (owned.snapshot_rows, owned.snapshot_rows_max) = (0, snapshot_rows_max(&owned.controller));
            let job = PartitionJob {
                partition: *partition,
                header: PartitionHeader { next_offset: owned.next, timestamp_ms: owned.last_timestamp_ms },
                frozen: owned.controller.freeze(),
                taken_at_ms: self.context.clock.now_ms(),
            };
            self.context.metrics.snapshot_pause_seconds.observe(owned.snapshot_taken.elapsed().as_secs_f64());
            self.snapshots.write(job);
            if !at_end && begun.elapsed() >= FREEZE_MAX {
                // The rest at the next turn: the loop must not stand still for all of them.
                return;
            }
        }
    }

    fn speak(&mut self) {
        let reason = if self.committer.is_none() {
            Some("waiting for an assignment".to_owned())
        } else {
            let trouble = self.consumer.trouble().map(|(fault, words)| format!("{}: {words}", fault.words()));
            let late = |flight: &InFlight| late_commit("a batch of decisions", flight.submitted);
            trouble.or_else(|| self.in_flight.as_ref().and_then(late))
        };
        if self.in_flight.is_none() && reason.is_some() && self.committer.is_some() {
            self.consumer.forget_trouble();
        }
        self.context.published.health.say("controller", reason);
        let started = Instant::now();
        if started < self.views_at {
            return;
        }
        let mut tally = Tally::default();
        let published = &self.context.published;
        let (mut halts, mut experiments, mut goals) = (Vec::new(), Vec::new(), Vec::new());
        let (mut policy_version, mut now) = (0, 0);
        for owned in self.partitions.values() {
            let state = owned.controller.view();
            for summary in state.campaigns() {
                let whys = state.why(&summary.account_id, &summary.campaign_id);
                tally.campaign(&summary);
                let by_dimension = state.by_dimension(&summary.account_id, &summary.campaign_id);
                published.put_campaign(CampaignEntry::of(summary, &whys, by_dimension), state.now());
            }
            tally.state(state);
            halts.extend(state.halts().into_iter().map(HaltView::from));
            experiments.extend(state.experiments().map(ExperimentView::from));
            halts.extend(state.integrity_hold().map(HaltView::integrity));
            goals.extend(state.goals().into_iter().map(AccountGoal::from));
            state.proposals().for_each(|proposal| published.know_proposal(proposal));
            state.alerts().for_each(|alert| published.know_alert(alert));
            policy_version = policy_version.max(state.policy_version());
            now = now.max(state.now());
        }
        published.put_halts(halts);
        published.put_experiments(experiments);
        published.put_goals(goals);
        published.end_pass(policy_version, now);
        tally.publish(&self.context.metrics, &mut self.currencies);
        self.count_states();
        self.count_lag();
        self.history.want(std::mem::take(&mut self.taken_over));
        self.views_at = started + VIEWS_EVERY.max(started.elapsed() * VIEWS_SHARE);
    }

    fn count_states(&self) {
        let metrics = &self.context.metrics;
        let (mut proposals, mut campaigns, mut bytes, mut quarantined) = (0, 0, 0, 0);
        let (mut all, mut held, mut refused) = (Counters::default(), 0, 0);
        for owned in self.partitions.values() {
            let state = owned.controller.view();
            proposals += state.proposals().count();
            let (live, held_bytes) = state.memory();
            campaigns += live;
            bytes += held_bytes;
            let (rows, without_room) = state.quarantine_counts();
            quarantined += rows;
            refused += without_room;
            all.add(&state.counters());
            held += i64::from(state.integrity_hold().is_some());
        }
        metrics.proposals_pending.set(proposals as i64);
        for (store, count) in [("campaigns", campaigns), ("campaign_bytes", bytes), ("quarantine", quarantined)] {
            metrics.state_keys.with_label_values(&[store]).set(count as i64);
        }
        metrics.quarantine_refused.set(refused);
        for (outcome, count) in [
            ("applied", all.records),
            ("dropped_as_repeated", all.duplicate_records),
            ("partitions_on_integrity_hold", held),
        ] {
            metrics.journal_records.with_label_values(&[outcome]).set(count);
        }
        for (reason, count) in all.set_aside() {
            metrics.journal_set_aside.with_label_values(&[reason]).set(count);
        }
    }

    /// How far each journal partition was applied, and what waits in it; absent while the broker has not told.
    fn count_lag(&mut self) {
        let now_ms = self.context.clock.now_ms();
        let metrics = &self.context.metrics;
        for (partition, owned) in &mut self.partitions {
            let place = TopicPartition::new(self.journal.clone(), *partition);
            let label = partition.to_string();
            if let Some(lag) = self.consumer.lag(&place) {
                metrics.lag_records.with_label_values(&[&*place.topic, label.as_str()]).set(lag as i64);
            }
            if self.consumer.at_end(&place) {
                owned.caught_up_ms = now_ms;
            }
            // A journal that was quiet is not behind when a record comes.
            let applied_ms = owned.caught_up_ms.max(owned.last_timestamp_ms);
            if applied_ms > 0 {
                metrics.journal_applied.with_label_values(&[label.as_str()]).set(applied_ms as f64 / 1e3);
            }
        }
    }

    fn drain(&mut self) -> Outcome {
        let started = Instant::now();
        loop {
            self.hear_committer(Duration::from_millis(20))?;
            if self.in_flight.is_none() {
                if self.moved.is_empty() {
                    return Ok(());
                }
                self.committed_at = started.checked_sub(QUIET_COMMIT).unwrap_or(started);
                self.submit_if_due()?;
            }
            if started.elapsed() > DRAIN_LIMIT {
                return Err(Failure::new(
                    Kind::TryLater,
                    "decisions were not committed in time",
                    "check the cluster, then start again",
                ));
            }
        }
    }

    fn leave(mut self) -> Outcome {
        self.context.enter("draining");
        self.drain()?;
        self.snapshot_if_due(true);
        self.snapshots.finish();
        self.committer = None;
        self.consumer.close(Duration::from_secs(5));
        tracing::info!("controller drained and left");
        Ok(())
    }
}

/// Where the snapshots of a journal partition are.
pub fn partition_folder(state_dir: &Path, group: &str, partition: i32) -> PathBuf {
    state_dir.join(format!("{group}-controller-{partition}"))
}

/// A frozen controller at a committed position.
struct PartitionJob {
    partition: i32,
    header: PartitionHeader,
    frozen: controller::Frozen,
    taken_at_ms: Millis,
}

impl Frozen for PartitionJob {
    fn folder(&self, state_dir: &Path, group: &str) -> PathBuf {
        partition_folder(state_dir, group, self.partition)
    }

    fn header(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(&self.header)
    }

    fn chunks(&self) -> Vec<Chunk<'_>> {
        let encode = Box::new(|| self.frozen.encode());
        vec![Chunk { id: "state".into(), version: self.header.next_offset as u64, encode }]
    }

    fn taken_at_ms(&self) -> Millis {
        self.taken_at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_by_time_or_by_rows_but_in_a_backlog_not_at_once() {
        let due = |seconds, rows, per_cent| is_due(Duration::from_secs(seconds), 600_000, (rows, 4_096), per_cent);
        assert!(due(600, 0, 100) && !due(599, 0, 100) && !due(600, 0, OVERDUE_PER_CENT));
        assert!(due(20, 4_096, 100) && !due(20, 4_095, 100) && !due(20, 4_096, OVERDUE_PER_CENT));
        assert!(!due(19, u64::MAX, 100), "states would pile up before the writer");
    }
}
