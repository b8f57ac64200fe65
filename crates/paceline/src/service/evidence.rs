//! Where a source stands: what the journal and the cuts say, and what to do where they disagree.
//!
//! The journal, not the group offset, is the truth of positions. Every cut writes one record to every journal partition
//! and one to `paceline.epochs`, in one transaction. A client without transactions V2 can tear a transaction: then some
//! partitions hold the last cut and others do not, and the *same* cut must be emitted again before anything new. At most
//! one cut is in flight, so anything worse than one missing cut is refused.

use model::journal::{Epoch, JournalRecord, Range};
use model::time::Millis;
use std::collections::BTreeMap;

/// A source topic-partition.
pub type SourceKey = (String, i32);

/// One cut as a log remembers it: the ranges of the sources that move together (three siblings, or one control source).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Ranges in the order of the sources asked for.
    pub ranges: Vec<Range>,
    /// The clock when the epoch was opened.
    pub clock: Millis,
    /// Semantics in force after it.
    pub policy_version: i64,
}

impl Cut {
    /// The cut of `sources` inside a journal record, where it is there.
    pub fn of_record(record: &JournalRecord, sources: &[SourceKey]) -> Option<Self> {
        let ranges = pick(&record.ranges, sources)?;
        Some(Self { ranges, clock: record.clock, policy_version: record.policy_version })
    }

    /// The cut of an epoch record.
    pub fn of_epoch(epoch: &Epoch) -> Self {
        Self { ranges: epoch.ranges.clone(), clock: epoch.clock, policy_version: epoch.policy_version }
    }

    /// Positions after the cut.
    pub fn to(&self) -> Vec<i64> {
        self.ranges.iter().map(|range| range.to).collect()
    }

    /// The count of the cut: all ranges of one cut carry the same.
    pub fn epoch(&self) -> i64 {
        self.ranges.iter().map(|range| range.epoch).max().unwrap_or(0)
    }
}

fn pick(ranges: &[Range], sources: &[SourceKey]) -> Option<Vec<Range>> {
    let by_source: BTreeMap<(&str, i32), &Range> =
        ranges.iter().map(|range| ((range.topic.as_str(), range.partition), range)).collect();
    sources
        .iter()
        .map(|(topic, partition)| by_source.get(&(topic.as_str(), *partition)).map(|r| (*r).clone()))
        .collect()
}

/// What the logs say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No log knows the source.
    New,
    /// All agree: go on after this cut.
    Whole(Cut),
    /// The last cut is missing somewhere: emit it again, then go on after it.
    Torn {
        /// The cut to repeat.
        cut: Cut,
        /// How many logs lack it.
        missing: usize,
    },
    /// More than one cut is missing somewhere: only a person can decide.
    Broken(String),
}

/// Compares the last cut in each log (`None`: the log does not know the sources).
///
/// By the count of the cut and not by positions alone: a cut without records can still bring credits.
pub fn standing(last_cuts: &[Option<Cut>]) -> Standing {
    let Some(newest) = last_cuts.iter().flatten().max_by_key(|cut| cut.epoch()) else { return Standing::New };
    let mut missing = 0;
    for (log, last) in last_cuts.iter().enumerate() {
        match last {
            Some(cut) if cut.epoch() == newest.epoch() && cut.to() == newest.to() => {}
            Some(cut) if cut.epoch() + 1 == newest.epoch() => missing += 1,
            // A transaction lacks one cut at most: a log that knows none of many has lost them to retention.
            None if newest.epoch() > 1 => {}
            None => missing += 1,
            Some(cut) => {
                return Standing::Broken(format!(
                    "log {log} ends with cut {} at {:?}, the newest is cut {} at {:?}",
                    cut.epoch(),
                    cut.to(),
                    newest.epoch(),
                    newest.to()
                ));
            }
        }
    }
    match missing {
        0 => Standing::Whole(newest.clone()),
        _ => Standing::Torn { cut: newest.clone(), missing },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(epoch: i64, to: i64) -> Cut {
        let range = |topic: &str| Range { topic: topic.into(), to, epoch, ..Range::default() };
        Cut { ranges: vec![range("i"), range("c"), range("g")], clock: 5, policy_version: 0 }
    }

    #[test]
    fn agreement_is_whole() {
        assert_eq!(standing(&[Some(cut(1, 2)), Some(cut(1, 2))]), Standing::Whole(cut(1, 2)));
        assert_eq!(standing(&[None, None]), Standing::New);
    }

    #[test]
    fn a_log_one_cut_behind_is_torn() {
        assert_eq!(
            standing(&[Some(cut(1, 2)), Some(cut(2, 5)), Some(cut(1, 2))]),
            Standing::Torn { cut: cut(2, 5), missing: 2 }
        );
        assert_eq!(standing(&[None, Some(cut(1, 5))]), Standing::Torn { cut: cut(1, 5), missing: 1 });
    }

    #[test]
    fn a_torn_cut_without_records_is_seen() {
        assert_eq!(standing(&[Some(cut(1, 5)), Some(cut(2, 5))]), Standing::Torn { cut: cut(2, 5), missing: 1 });
    }

    #[test]
    fn a_log_that_retention_has_emptied_is_not_torn() {
        assert_eq!(standing(&[None, Some(cut(7, 5)), Some(cut(7, 5))]), Standing::Whole(cut(7, 5)));
        assert_eq!(standing(&[None, Some(cut(7, 5)), Some(cut(6, 4))]), Standing::Torn { cut: cut(7, 5), missing: 1 });
    }

    #[test]
    fn two_cuts_behind_is_refused() {
        assert!(matches!(standing(&[Some(cut(1, 2)), Some(cut(3, 5))]), Standing::Broken(_)));
    }

    #[test]
    fn a_cut_is_found_inside_a_merged_record() {
        let mut record = JournalRecord { clock: 9, ..JournalRecord::default() };
        for (topic, partition) in [("c", 0), ("i", 1), ("g", 0), ("i", 0)] {
            record.ranges.push(Range { topic: topic.into(), partition, from: 1, to: 7, ..Range::default() });
        }
        let sources = [("i".to_owned(), 0), ("c".to_owned(), 0), ("g".to_owned(), 0)];
        let found = Cut::of_record(&record, &sources).unwrap();
        assert_eq!(found.ranges.iter().map(|r| r.topic.as_str()).collect::<Vec<_>>(), ["i", "c", "g"]);
        assert_eq!(Cut::of_record(&record, &[("i".to_owned(), 2)]), None);
    }
}
