//! Events in the order of their times through stage 1, in virtual time: the journal that they would have made.
//!
//! What always holds: the state machine is the service's; an event reaches its topic when it happened; equal events and
//! facts give an equal journal. A cut comes every [`CUT_MS`] while events come and once a minute while none do, so that
//! days begin, and silence is noticed, as they would have been.
//!
//! Missing on purpose: Kafka's delays, more than one worker and one event partition, the bytes of refused events (their
//! reasons are counted), and parts of records, since no broker limits them.

use crate::closed_loop::CUT_MS;
use crate::figures::EventCounts;
use aggregator::{CutEnd, EpochSums, Identity, PartitionSums, RecordMeta, Semantics, SiblingSet, Verdict};
use controller::JournalPosition;
use model::event::{Event, EventKind};
use model::fact::Fact;
use model::journal::{CopiedFact, JournalRecord, NO_WATERMARK, Range};
use model::keyed::KeyedHasher;
use model::partition::partition_of;
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use std::collections::BTreeMap;

/// Takes each record with its journal partition; an error ends the run.
pub type Take<'t, E> = dyn FnMut(i32, JournalPosition, JournalRecord) -> Result<(), E> + 't;

/// What stage 1 is set up with.
#[derive(Clone, Debug, Default)]
pub struct StagesSetup {
    /// Journal partitions, at least one.
    pub partitions: i32,
    /// Name of this build.
    pub build: String,
    /// Topics of impressions, clicks, conversions.
    pub topics: [String; 3],
    /// What the events' verdicts follow.
    pub semantics: Semantics,
    /// A topic without events for so long is idle.
    pub idle_after_ms: [Millis; 3],
}

/// Stage 1 on its way.
pub struct Stages {
    setup: StagesSetup,
    set: SiblingSet,
    sums: EpochSums,
    offsets: [i64; 3],
    newest_ms: [Millis; 3],
    waiting: Vec<(String, Fact)>,
    /// Next offsets of the topics of facts.
    controls: BTreeMap<String, i64>,
    /// Instant of the last cut, `None` before the first event.
    now: Option<Millis>,
    has_news: bool,
    cuts: i64,
    refused: BTreeMap<&'static str, u64>,
    counts: EventCounts,
}

impl Stages {
    /// Before the first event.
    pub fn new(setup: StagesSetup) -> Self {
        let identity = Identity {
            partitions: 1,
            worker: WORKER.into(),
            build: setup.build.clone(),
            topics: setup.topics.clone(),
            ..Identity::default()
        };
        Self {
            set: SiblingSet::new(identity, KeyedHasher::new(WORKER.as_bytes()), setup.semantics),
            setup,
            sums: EpochSums::new(),
            offsets: [0; 3],
            newest_ms: [Millis::MIN / 2; 3],
            waiting: Vec::new(),
            controls: BTreeMap::new(),
            now: None,
            has_news: false,
            cuts: 0,
            refused: BTreeMap::new(),
            counts: EventCounts::default(),
        }
    }

    /// A fact, as if it were read from `topic` just now; it is in the next record.
    pub fn tell(&mut self, topic: &str, fact: Fact) {
        self.waiting.push((topic.to_owned(), fact));
    }

    /// Lets time pass until `at`: an instant at which an event, or a fact, comes. Time does not go back.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn advance<E>(&mut self, at: Millis, take: &mut Take<'_, E>) -> Result<(), E> {
        let boundary = at.div_euclid(CUT_MS).saturating_mul(CUT_MS);
        let Some(mut last) = self.now else { return self.cut(boundary, take) };
        while last.saturating_add(CUT_MS) <= at {
            last = if self.has_news {
                last.saturating_add(CUT_MS)
            } else {
                let minute = last.div_euclid(MINUTE_MS).saturating_add(1).saturating_mul(MINUTE_MS);
                minute.min(boundary)
            };
            self.cut(last, take)?;
        }
        Ok(())
    }

    /// Folds the next event, which happened at `at`; what ended before it is cut.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn fold<E>(&mut self, at: Millis, event: Event<'_>, take: &mut Take<'_, E>) -> Result<(), E> {
        self.advance(at, take)?;
        let end = self.now.unwrap_or(at).saturating_add(CUT_MS);
        let kind = kind_of(&event);
        let offset = self.offsets[kind.index()];
        let meta = RecordMeta { offset, timestamp_ms: at, key: None };
        self.set.open(end);
        let mut verdict = self.set.fold(kind, meta, Ok(event));
        if verdict == Verdict::Full {
            self.close(end, take)?;
            self.set.open(end);
            verdict = self.set.fold(kind, meta, Ok(event));
        }
        if let Verdict::Rejected(reason) = verdict {
            *self.refused.entry(reason).or_default() += 1;
        }
        self.offsets[kind.index()] = offset.saturating_add(1);
        self.newest_ms[kind.index()] = at;
        self.has_news = true;
        Ok(())
    }

    /// The last events are cut. Gives the record, by partition, of an instant at which the last hour with events is
    /// closed: for its rows, not for decisions, since nobody knows what would have come after the last event.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn finish<E>(&mut self, take: &mut Take<'_, E>, close: &mut Take<'_, E>) -> Result<(), E> {
        let Some(last) = self.now else { return Ok(()) };
        if self.has_news {
            self.cut(last.saturating_add(CUT_MS), take)?;
        }
        let hour = last.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS);
        let idle = self.setup.idle_after_ms.into_iter().max().unwrap_or(0).max(0);
        let behind = idle.saturating_add(self.setup.semantics.allowed_delay_ms.max(0));
        self.cut(hour.saturating_add(behind).saturating_add(MINUTE_MS), close)
    }

    /// Counts an event that cannot be read.
    pub fn refuse(&mut self, reason: &'static str) {
        *self.refused.entry(reason).or_default() += 1;
    }

    /// What became of the events.
    pub fn counts(&self) -> EventCounts {
        self.counts
    }

    /// Events that were refused, by reason.
    pub fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    fn cut<E>(&mut self, now: Millis, take: &mut Take<'_, E>) -> Result<(), E> {
        self.now = Some(now);
        self.has_news = false;
        self.close(now, take)
    }

    fn close<E>(&mut self, now: Millis, take: &mut Take<'_, E>) -> Result<(), E> {
        self.set.open(now);
        let silent = |at: usize| now.saturating_sub(self.newest_ms[at]) >= self.setup.idle_after_ms[at];
        let end = CutEnd { to: self.offsets, idle: [0, 1, 2].map(silent), next_semantics: None, lag_records: 0 };
        // The epoch is open and its positions only rise: there is nothing that could be refused.
        let Ok(closed) = self.set.close(end, &mut self.sums) else { return Ok(()) };
        self.counts.take(&closed.epoch);
        let mut ranges = closed.epoch.ranges;
        let facts = self.facts(now, &mut ranges);
        let sums = self.sums.drain(self.setup.partitions.max(1));
        let at = JournalPosition { offset: self.cuts, timestamp_ms: now };
        self.cuts += 1;
        for ((partition, sums), facts) in (0..).zip(sums).zip(facts) {
            take(partition, at, self.record(now, ranges.clone(), sums, facts))?;
        }
        Ok(())
    }

    /// What waits, by journal partition, and the ranges that it fills; what has no account goes to all.
    fn facts(&mut self, now: Millis, ranges: &mut Vec<Range>) -> Vec<Vec<CopiedFact>> {
        let partitions = self.setup.partitions.max(1);
        let mut facts: Vec<Vec<CopiedFact>> = (0..partitions).map(|_| Vec::new()).collect();
        let before = self.controls.clone();
        for (topic, record) in std::mem::take(&mut self.waiting) {
            let next = self.controls.entry(topic.clone()).or_default();
            let fact = CopiedFact { topic, partition: 0, offset: *next, timestamp: now, record };
            *next += 1;
            match fact.record.account_id().map(|account| partition_of(account.as_bytes(), partitions)) {
                Some(partition) => facts[partition as usize].push(fact),
                None => facts.iter_mut().for_each(|facts| facts.push(fact.clone())),
            }
        }
        ranges.extend(self.controls.iter().map(|(topic, to)| Range {
            topic: topic.clone(),
            partition: 0,
            from: before.get(topic).copied().unwrap_or_default(),
            to: *to,
            watermark: NO_WATERMARK,
            idle: false,
            epoch: self.cuts,
        }));
        facts
    }

    fn record(&self, now: Millis, ranges: Vec<Range>, sums: PartitionSums, facts: Vec<CopiedFact>) -> JournalRecord {
        JournalRecord {
            worker: WORKER.into(),
            epoch: self.cuts,
            parts: 1,
            clock: now,
            ranges,
            build: self.setup.build.clone(),
            dictionary: sums.dictionary,
            deltas: sums.deltas,
            marginals: sums.marginals,
            credits: sums.credits,
            paths: sums.paths,
            facts,
            ..JournalRecord::default()
        }
    }
}

/// Names the worker, and keys hashes that leave no trace in what comes out.
const WORKER: &str = "replay";

fn kind_of(event: &Event<'_>) -> EventKind {
    match event {
        Event::Impression(_) => EventKind::Impression,
        Event::Click(_) => EventKind::Click,
        Event::Conversion(_) => EventKind::Conversion,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::event::{Goal, Touch};
    use std::convert::Infallible;

    fn touch<'a>(event_id: &'a str, event_time: Millis) -> Event<'a> {
        Event::Click(Touch {
            event_id,
            event_time,
            account_id: "account",
            campaign_id: "campaign",
            creative_id: None,
            channel: "search",
            device: "other",
            geo: "",
            user_key: None,
            cost_micros: 7,
            currency: "EUR",
            placement: None,
        })
    }

    /// Clocks of the records and their spend, of the journal and of the closing record.
    fn journal(events: &[(&str, Millis)]) -> (Vec<(Millis, i64)>, Vec<Millis>) {
        let setup = StagesSetup { partitions: 1, idle_after_ms: [5_000; 3], ..StagesSetup::default() };
        let mut stages = Stages::new(setup);
        let (mut records, mut closing) = (Vec::new(), Vec::new());
        let mut take = |_: i32, at: JournalPosition, record: JournalRecord| {
            records.push((at.timestamp_ms, record.deltas.iter().map(|delta| delta.spend_micros).sum()));
            Ok::<(), Infallible>(())
        };
        for (id, at) in events {
            stages.fold(*at, touch(id, *at), &mut take).unwrap();
        }
        let mut close = |_: i32, at: JournalPosition, _: JournalRecord| {
            closing.push(at.timestamp_ms);
            Ok::<(), Infallible>(())
        };
        stages.finish(&mut take, &mut close).unwrap();
        (records, closing)
    }

    /// 2026-01-05 00:00 UTC.
    const START: Millis = 1_767_571_200_000;

    #[test]
    fn each_event_is_in_the_cut_of_its_time_once_and_silence_is_told_by_the_minute() {
        let (records, closing) = journal(&[("a", START + 3_000), ("b", START + 3_500), ("b", START + 150_000)]);
        let expected = [(0, 0), (10_000, 14), (60_000, 0), (120_000, 0), (150_000, 0), (160_000, 0)];
        assert_eq!(records, expected.map(|(after, spend)| (START + after, spend)), "the copy of b counts for nothing");
        assert!(closing.len() == 1 && closing[0] > START + HOUR_MS, "{closing:?}");
    }

    #[test]
    fn a_conversion_that_is_the_last_event_is_credited() {
        let setup = StagesSetup { partitions: 1, idle_after_ms: [5_000; 3], ..StagesSetup::default() };
        let mut stages = Stages::new(setup);
        let mut credits_micro = 0;
        let mut take = |_: i32, _: JournalPosition, record: JournalRecord| {
            credits_micro += record.deltas.iter().map(|delta| delta.last_conversions_micro).sum::<i64>();
            Ok::<(), Infallible>(())
        };
        stages.fold(START + 9_000, touch("click", START + 9_000), &mut take).unwrap();
        let goal = Goal {
            event_id: "goal",
            event_time: START + 9_500,
            account_id: "account",
            conversion_type: "purchase",
            value_micros: 9,
            currency: "EUR",
            user_key: None,
            click_id: Some("click"),
            campaign_id: None,
        };
        stages.fold(START + 9_500, Event::Conversion(goal), &mut take).unwrap();
        stages.finish(&mut |_, _, _| Ok(()), &mut take).unwrap();
        assert!(credits_micro > 0, "too few cuts come after it, or too early ones");
    }

    #[test]
    fn nothing_gives_no_journal() {
        assert_eq!(journal(&[]), (Vec::new(), Vec::new()));
    }
}
