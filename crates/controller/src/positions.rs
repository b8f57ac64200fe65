//! How far each source is applied, and the watermark that follows from it.
//!
//! What always holds: an applied position never falls; a record is applied at most once for each source position that
//! it covers; the watermark never falls and is undefined until every source of the input generation has reported.

use model::journal::{JournalRecord, NO_WATERMARK, Range};
use model::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Positions per source topic-partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Positions {
    topics: BTreeMap<String, BTreeMap<i32, Source>>,
    watermark: Option<Millis>,
}

/// What is known of one source topic-partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Next position to apply.
    pub applied: i64,
    /// Event time below which it has shown everything; [`NO_WATERMARK`] for control topics.
    pub watermark: Millis,
    /// Its owner found nothing for the idle time.
    pub idle: bool,
    /// The last applied cut: tells a repeated cut from the next where neither read a record.
    pub epoch: i64,
}

/// What is to be done with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It begins where the sources stand.
    Apply,
    /// All of it is applied already.
    Duplicate,
    /// Positions are missing before it: something was lost, what it brings is still news.
    Gap(String),
    /// A part of it is applied already: the rest cannot be told apart.
    Overlap(String),
}

impl Positions {
    /// What is to be done with a record, by its ranges alone.
    ///
    /// A cut that read nothing both begins and ends where the sources stand; its epoch tells it from its repetition.
    pub fn verdict(&self, record: &JournalRecord) -> Verdict {
        let known: Vec<(&Range, &Source)> = record
            .ranges
            .iter()
            .filter_map(|range| Some((range, self.source(&range.topic, range.partition)?)))
            .collect();
        let complete = !known.is_empty() && known.len() == record.ranges.len();
        let over = complete && known.iter().all(|(range, source)| range.to <= source.applied);
        let repeated = known.iter().all(|(range, source)| range.epoch <= source.epoch);
        if over && (repeated || !known.iter().all(|(range, source)| begins(range, source))) {
            return Verdict::Duplicate;
        }
        match known.iter().find(|(range, source)| !begins(range, source) || misses_a_cut(range, source)) {
            None => Verdict::Apply,
            Some((range, source)) => {
                let overlap = known.iter().any(|(range, source)| range.from < source.applied || range.to < range.from);
                let words = describe(range, source);
                if overlap { Verdict::Overlap(words) } else { Verdict::Gap(words) }
            }
        }
    }

    /// Moves the sources to the ends of the ranges, and the watermark with them.
    pub fn advance(&mut self, record: &JournalRecord, input_partitions: i32) {
        for range in &record.ranges {
            let source = self.source_mut(range);
            source.applied = source.applied.max(range.to);
            source.watermark = source.watermark.max(range.watermark);
            source.idle = range.idle;
            source.epoch = source.epoch.max(range.epoch);
        }
        if let Some(least) = self.least(input_partitions) {
            self.watermark = Some(self.watermark.map_or(least, |before| before.max(least)));
        }
    }

    /// Event time below which all sources of the input generation have shown everything.
    pub fn watermark(&self) -> Option<Millis> {
        self.watermark
    }

    /// One source, `None` before its first record.
    pub fn source(&self, topic: &str, partition: i32) -> Option<&Source> {
        self.topics.get(topic)?.get(&partition)
    }

    /// All sources, by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i32, &Source)> {
        self.topics
            .iter()
            .flat_map(|(topic, sources)| sources.iter().map(move |(p, source)| (topic.as_str(), *p, source)))
    }

    /// The least watermark of the event sources, once each topic of the generation has reported each partition.
    fn least(&self, input_partitions: i32) -> Option<Millis> {
        let events = || self.iter().filter(|(_, _, source)| source.watermark != NO_WATERMARK);
        let topics: BTreeSet<&str> = events().map(|(topic, ..)| topic).collect();
        let partitions: BTreeSet<i32> = events().map(|(_, partition, _)| partition).collect();
        let expected = (partitions.len()).max(usize::try_from(input_partitions).unwrap_or(0));
        if events().count() < topics.len() * expected {
            return None;
        }
        events().map(|(_, _, source)| source.watermark).min()
    }

    fn source_mut(&mut self, range: &Range) -> &mut Source {
        if !self.topics.contains_key(&range.topic) {
            self.topics.insert(range.topic.clone(), BTreeMap::new());
        }
        let sources = self.topics.entry(range.topic.clone()).or_default();
        sources.entry(range.partition).or_insert(Source {
            applied: range.from,
            watermark: NO_WATERMARK,
            idle: false,
            epoch: i64::MIN,
        })
    }
}

fn begins(range: &Range, source: &Source) -> bool {
    range.from == source.applied && range.to >= range.from
}

/// A cut of an event source that was never seen: it read nothing, but may have credited conversions that waited.
fn misses_a_cut(range: &Range, source: &Source) -> bool {
    range.watermark != NO_WATERMARK && source.epoch != i64::MIN && range.epoch > source.epoch.saturating_add(1)
}

fn describe(range: &Range, source: &Source) -> String {
    format!(
        "{} {} brought positions {} to {} of cut {} where {} after cut {} was next",
        range.topic, range.partition, range.from, range.to, range.epoch, source.applied, source.epoch
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: i64, ranges: &[(&str, i32, i64, i64, Millis)]) -> JournalRecord {
        let ranges = ranges.iter().map(|(topic, partition, from, to, watermark)| Range {
            topic: (*topic).into(),
            partition: *partition,
            from: *from,
            to: *to,
            watermark: *watermark,
            idle: false,
            epoch,
        });
        JournalRecord { parts: 1, ranges: ranges.collect(), ..Default::default() }
    }

    fn positions(records: &[JournalRecord]) -> Positions {
        let mut positions = Positions::default();
        records.iter().for_each(|record| positions.advance(record, 0));
        positions
    }

    #[test]
    fn a_new_source_is_taken_where_it_begins_and_a_repetition_is_dropped() {
        let first = record(1, &[("i", 0, 40, 50, 9)]);
        let known = positions(std::slice::from_ref(&first));
        assert_eq!(Positions::default().verdict(&first), Verdict::Apply);
        assert_eq!(known.verdict(&first), Verdict::Duplicate);
        assert_eq!(known.verdict(&record(2, &[("i", 0, 50, 60, 9)])), Verdict::Apply);
        assert!(matches!(known.verdict(&record(2, &[("i", 0, 51, 60, 9)])), Verdict::Gap(_)));
        assert!(matches!(known.verdict(&record(2, &[("i", 0, 45, 60, 9)])), Verdict::Overlap(_)));
        assert!(matches!(known.verdict(&record(2, &[("i", 0, 50, 60, 9), ("i", 1, 0, 1, 9)])), Verdict::Apply));
    }

    #[test]
    fn one_range_ahead_and_one_behind_is_neither_news_nor_a_repetition() {
        let known = positions(&[record(1, &[("i", 0, 0, 5, 9), ("c", 0, 0, 5, 9)])]);
        assert!(matches!(known.verdict(&record(2, &[("i", 0, 5, 9, 9), ("c", 0, 0, 5, 9)])), Verdict::Overlap(_)));
    }

    #[test]
    fn a_cut_that_read_nothing_is_applied_once_by_its_epoch() {
        let empty = record(2, &[("i", 0, 5, 5, 10)]);
        let known = positions(&[record(1, &[("i", 0, 0, 5, 9)])]);
        assert_eq!(known.verdict(&empty), Verdict::Apply);
        let known = positions(&[record(1, &[("i", 0, 0, 5, 9)]), empty.clone()]);
        assert_eq!(known.verdict(&empty), Verdict::Duplicate);
        assert_eq!(known.verdict(&record(3, &[("i", 0, 5, 5, 11)])), Verdict::Apply);
        assert!(matches!(known.verdict(&record(4, &[("i", 0, 5, 5, 11)])), Verdict::Gap(_)), "cut 3 was lost");
    }

    #[test]
    fn the_watermark_waits_for_every_sibling_and_is_the_least() {
        let mut positions = positions(&[record(1, &[("i", 0, 0, 5, 9), ("c", 0, 0, 5, 7)])]);
        assert_eq!(positions.watermark(), Some(7));
        let mut waiting = Positions::default();
        waiting.advance(&record(1, &[("i", 0, 0, 5, 9), ("c", 0, 0, 5, 7)]), 2);
        assert_eq!(waiting.watermark(), None, "two partitions are expected");
        waiting.advance(&record(1, &[("i", 1, 0, 5, 8), ("c", 1, 0, 5, 8)]), 2);
        assert_eq!(waiting.watermark(), Some(7));
        positions.advance(&record(2, &[("i", 1, 0, 5, 3)]), 0);
        assert_eq!(positions.watermark(), Some(7), "clicks of partition 1 have not reported");
        positions.advance(&record(2, &[("c", 1, 0, 5, 3), ("campaigns", 0, 0, 9, NO_WATERMARK)]), 0);
        assert_eq!(positions.watermark(), Some(7), "it never falls");
    }
}
