//! Which ids were already counted: corrections and reports that are sent twice count once.
//!
//! What always holds: an id is remembered for at least [`GENERATION_IDS_MAX`] newer ids or [`GENERATION_MS`] of journal
//! time, whichever ends first, and memory is bounded. Hashes of 64 bits: among 100,000 ids a false repetition has a
//! probability below one in a billion.

use crate::shared::Shared;
use model::keyed::KeyedHasher;
use model::time::{DAY_MS, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Two generations of hashed ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    current: Shared<BTreeSet<u64>>,
    previous: Shared<BTreeSet<u64>>,
    began: Millis,
}

/// Longer than the 90 days within which an event is accepted at all.
const GENERATION_MS: Millis = 95 * DAY_MS;
/// 1.6 MB a generation and account at the very most.
const GENERATION_IDS_MAX: usize = 100_000;

impl Seen {
    /// Remembers an id; `false` if it was known.
    pub fn insert(&mut self, id: &str, now: Millis) -> bool {
        let hash = fingerprint(id);
        if self.current.contains(&hash) || self.previous.contains(&hash) {
            return false;
        }
        if self.current.is_empty() {
            self.began = now;
        }
        if self.current.len() >= GENERATION_IDS_MAX || now.saturating_sub(self.began) > GENERATION_MS {
            self.previous = std::mem::take(&mut self.current);
            self.began = now;
        }
        self.current.insert(hash)
    }
}

/// A fingerprint that is the same on every machine; not secret, since ids of reports name no person.
pub fn fingerprint(text: &str) -> u64 {
    KeyedHasher::new(b"paceline.ids").id(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_counts_once_until_two_generations_have_passed() {
        let mut seen = Seen::default();
        assert!(seen.insert("a", 0));
        assert!(!seen.insert("a", DAY_MS));
        assert!(seen.insert("b", 96 * DAY_MS), "begins a generation");
        assert!(!seen.insert("a", 100 * DAY_MS));
        assert!(seen.insert("c", 200 * DAY_MS));
        assert!(seen.insert("a", 200 * DAY_MS), "forgotten");
    }
}
