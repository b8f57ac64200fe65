//! What the log says of refused records: the first of each reason at once, then a line a minute at most.

use crate::published::LetterView;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Topic and reason.
type Of = (String, &'static str);

const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Refusals since they were last told.
#[derive(Default)]
pub(super) struct Refused {
    kinds: BTreeMap<Of, Kind>,
}

#[derive(Default)]
struct Kind {
    told_at: Option<Instant>,
    untold: u64,
}

impl Refused {
    /// Counts what a committed cut refused; `letters` are samples of it.
    pub(super) fn tell(&mut self, dead: &BTreeMap<Of, u64>, letters: &[LetterView], now: Instant) {
        for ((topic, reason), records) in self.due(dead, now) {
            let sample = letters.iter().find(|letter| letter.topic == topic && letter.reason == reason);
            let at = sample.map(|letter| format!("{}/{}", letter.partition, letter.offset)).unwrap_or_default();
            let detail = sample.map(|letter| letter.detail.as_str()).unwrap_or_default();
            tracing::warn!(
                topic,
                reason,
                records,
                at,
                detail,
                "records were refused and kept as dead letters: see `paceline dead-letters list`"
            );
        }
    }

    fn due(&mut self, dead: &BTreeMap<Of, u64>, now: Instant) -> Vec<(Of, u64)> {
        let mut due = Vec::new();
        for (of, records) in dead {
            let kind = self.kinds.entry(of.clone()).or_default();
            kind.untold += records;
            if kind.told_at.is_none_or(|at| now.duration_since(at) >= TOLD_AGAIN_AFTER) {
                kind.told_at = Some(now);
                due.push((of.clone(), std::mem::take(&mut kind.untold)));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_rest_once_a_minute_with_their_count() {
        let (mut refused, start) = (Refused::default(), Instant::now());
        let dead = |reason: &'static str, records| BTreeMap::from([(("ads.clicks".to_owned(), reason), records)]);
        let mut told = |dead, seconds| -> Vec<u64> {
            let due = refused.due(&dead, start + Duration::from_secs(seconds));
            due.into_iter().map(|(_, records)| records).collect()
        };
        assert_eq!(told(dead("bad_frame", 3), 0), [3]);
        assert!(told(dead("bad_frame", 5), 1).is_empty());
        assert_eq!(told(dead("decode_error", 1), 2), [1], "another reason is news");
        assert_eq!(told(dead("bad_frame", 1), 60), [6]);
    }
}
