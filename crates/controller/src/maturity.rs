//! How long an account's conversions take after the touch that is credited, and so how much of a window has matured.
//!
//! What always holds: counts only, halved together when large, so the newest months weigh most. The share is of the
//! delays that were seen: young accounts, whose slow conversions have not come yet, look a little more mature than they
//! are. Estimators that correct for this replace it where a decision depends on it.

use model::WHOLE_PPM;
use model::time::{HOUR_MS, Millis};
use serde::{Deserialize, Serialize};

/// Credited micro-conversions by delay: under 1 h, 2 h, 4 h, and so on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Delays {
    credits_micro: [i64; BUCKETS],
}

/// The last one begins at 512 h, three weeks.
const BUCKETS: usize = 11;
/// Halve at 10,000 conversions.
const CREDITS_MICRO_MAX: i64 = 10_000 * 1_000_000;

impl Delays {
    /// Notes credits with their delay.
    pub fn note(&mut self, delay: Millis, credits_micro: i64) {
        let bucket = (0..BUCKETS - 1).find(|bucket| delay < limit(*bucket)).unwrap_or(BUCKETS - 1);
        self.credits_micro[bucket] = self.credits_micro[bucket].saturating_add(credits_micro.max(0));
        if self.credits_micro[bucket] > CREDITS_MICRO_MAX {
            self.credits_micro.iter_mut().for_each(|credits| *credits /= 2);
        }
    }

    /// Share of the credits that come within `age` of their touch; `None` before the first conversion.
    pub fn matured_ppm(&self, age: Millis) -> Option<i64> {
        let total: i128 = self.credits_micro.iter().map(|credits| i128::from(*credits)).sum();
        if total == 0 {
            return None;
        }
        let full = (0..BUCKETS).filter(|bucket| limit(*bucket) <= age);
        let seen: i128 = full.map(|bucket| i128::from(self.credits_micro[bucket])).sum();
        Some((seen * i128::from(WHOLE_PPM) / total) as i64)
    }
}

fn limit(bucket: usize) -> Millis {
    HOUR_MS << bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_rises_with_age_and_is_unknown_without_conversions() {
        let mut delays = Delays::default();
        assert_eq!(delays.matured_ppm(HOUR_MS), None);
        delays.note(0, 3_000_000);
        delays.note(30 * HOUR_MS, 1_000_000);
        assert_eq!(delays.matured_ppm(0), Some(0));
        assert_eq!(delays.matured_ppm(HOUR_MS), Some(750_000));
        assert_eq!(delays.matured_ppm(64 * HOUR_MS), Some(1_000_000));
    }
}
