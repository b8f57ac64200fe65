//! When stage 2 has committed its positions behind what the journal holds: all of it was applied and decided.

use super::{Fixture, JOURNAL_PARTITIONS};
use crate::failure::Outcome;
use kafka_io::{From, LogReader, TopicPartition, Until};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

impl Fixture {
    /// Waits until stage 2 is past all that the journal holds now; `false` where it is not by the deadline.
    pub(super) fn wait_for_decisions(&mut self, reader: &mut LogReader, deadline: Instant) -> Outcome<bool> {
        let ends = self.journal_ends(reader)?;
        let places: Vec<TopicPartition> = ends.keys().cloned().collect();
        let group = format!("{}-controller", self.settings.group);
        loop {
            self.still_runs()?;
            let positions = reader.committed(&group, &places)?;
            let is_past = |(place, end): (&TopicPartition, &i64)| positions.get(place).is_some_and(|(at, _)| at >= end);
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
            let mut end = 0;
            reader.read(&self.settings.topics.journal, partition, From::Earliest, Until::StableEnd, |record| {
                end = record.offset + 1;
                ControlFlow::Continue(())
            })?;
            ends.insert(TopicPartition::new(self.settings.topics.journal.clone(), partition), end);
        }
        Ok(ends)
    }
}

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
