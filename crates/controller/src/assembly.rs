//! Records that were too large for one message: held until all parts are there.
//!
//! What always holds: a set is given out once, in the order of its parts; what is held is bounded, and what falls out
//! is counted (the positions then show the gap, so nothing is lost in silence).

use model::journal::JournalRecord;
use model::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Parts that wait for their siblings, by worker, epoch and the epoch's clock (a worker counts epochs anew when it
/// starts).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Assembly {
    sets: BTreeMap<(String, i64, Millis), BTreeMap<i32, Arc<JournalRecord>>>,
    /// Sets that were given up.
    pub abandoned: i64,
}

/// One transaction writes all parts, so hardly more than one set per worker is ever open.
const SETS_MAX: usize = 64;
/// 1,000 parts of 900 kB are more than an epoch can hold in memory.
const PARTS_MAX: i32 = 1_000;

impl Assembly {
    /// Takes a part of a split record; all parts, once this was the last that missed.
    pub fn take(&mut self, record: &JournalRecord) -> Option<Vec<JournalRecord>> {
        if record.parts > PARTS_MAX || !(0..record.parts).contains(&record.part) {
            self.abandoned += 1;
            return None;
        }
        let key = (record.worker.clone(), record.epoch, record.clock);
        let set = self.sets.entry(key.clone()).or_default();
        set.insert(record.part, Arc::new(record.clone()));
        if set.len() == record.parts as usize {
            return self.sets.remove(&key).map(|set| set.into_values().map(Arc::unwrap_or_clone).collect());
        }
        if self.sets.len() > SETS_MAX {
            self.sets.pop_first();
            self.abandoned += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(epoch: i64, part: i32, parts: i32) -> JournalRecord {
        JournalRecord { worker: "w".into(), epoch, part, parts, ..Default::default() }
    }

    #[test]
    fn parts_are_given_out_once_and_in_order_when_all_are_there() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(&part(1, 2, 3)), None);
        assert_eq!(assembly.take(&part(1, 0, 3)), None);
        assert_eq!(assembly.take(&part(1, 0, 3)), None, "a repeated part is the same part");
        assert_eq!(assembly.take(&part(2, 1, 2)), None, "another epoch's");
        let whole = assembly.take(&part(1, 1, 3)).unwrap();
        assert_eq!(whole.iter().map(|record| record.part).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(assembly.sets.len(), 1);
    }

    #[test]
    fn nonsense_and_excess_are_counted() {
        let mut assembly = Assembly::default();
        assembly.take(&part(1, 5, 3));
        (0..100).for_each(|epoch| assert_eq!(assembly.take(&part(epoch, 0, 2)), None));
        assert_eq!(assembly.abandoned, 1 + 100 - SETS_MAX as i64);
    }
}
