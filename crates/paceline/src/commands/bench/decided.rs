//! When stage 2 has committed its positions behind what the journal holds: all of it was applied and decided.

use super::{Fixture, JOURNAL_PARTITIONS, PATIENCE, connect};
use crate::failure::Outcome;
use kafka_io::{From, GroupPositions, LogReader, Stands, TopicPartition, Until};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

impl Fixture {
    /// Waits until stage 2 is past all that the journal holds now; `false` where it is not by the deadline. Positions of
    /// a transaction that is open are those before it, so the wait ends with the commit and not with a retry after it.
    pub(super) fn wait_for_decisions(&mut self, reader: &mut LogReader, deadline: Instant) -> Outcome<bool> {
        let ends = self.journal_ends(reader)?;
        let places: Vec<TopicPartition> = ends.keys().cloned().collect();
        let group = format!("{}-controller", self.settings.group);
        let positions = GroupPositions::open(&connect(&self.settings, "bench"), &group, Stands::SoFar)?;
        loop {
            self.still_runs()?;
            let stands = positions.ask(&places, PATIENCE, None)?;
            let is_past = |(place, end): (&TopicPartition, &i64)| stands.get(place).is_some_and(|(at, _)| at >= end);
            if ends.iter().all(is_past) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The position after the last record of each journal partition; what ends a transaction is no record.
    fn journal_ends(&self, reader: &mut LogReader) -> Outcome<BTreeMap<TopicPartition, i64>> {
        let mut ends = BTreeMap::new();
        for partition in 0..JOURNAL_PARTITIONS {
            let (mut end, mut span) = (0, TAIL);
            let (low, high) = reader.watermarks(&self.settings.topics.journal, partition)?;
            // The last records only: to read a whole journal here would be time that counts as the service's.
            while end == 0 && low < high {
                let from = high.saturating_sub(span).max(low);
                reader.read(
                    &self.settings.topics.journal,
                    partition,
                    From::Offset(from),
                    Until::StableEnd,
                    |record| {
                        end = record.offset + 1;
                        ControlFlow::Continue(())
                    },
                )?;
                if from == low {
                    break;
                }
                span *= 8;
            }
            ends.insert(TopicPartition::new(self.settings.topics.journal.clone(), partition), end);
        }
        Ok(ends)
    }
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// A transaction's end takes an offset after its records, one that was aborted some more.
const TAIL: i64 = 8;
