//! A touch counts half as much for each half-life that lies between it and the conversion.

use crate::{Model, Touch};
use model::time::{DAY_MS, Millis};

/// Weights 2^(-age / half-life).
#[derive(Clone, Copy, Debug)]
pub struct TimeDecay {
    half_life_ms: Millis,
}

impl TimeDecay {
    /// A half-life below a millisecond is taken as one.
    pub fn new(half_life_ms: Millis) -> Self {
        Self { half_life_ms: half_life_ms.max(1) }
    }
}

impl Default for TimeDecay {
    /// A week: what analytics packages use.
    fn default() -> Self {
        Self::new(7 * DAY_MS)
    }
}

impl Model for TimeDecay {
    fn name(&self) -> &'static str {
        "time_decay"
    }

    fn weights(&self, touches: &[Touch]) -> Vec<u64> {
        // Ages count from the newest touch, not from the conversion: the common factor cancels, and the newest always
        // weighs one whole, so that not all can vanish.
        let newest = touches.iter().map(|touch| touch.time).max().unwrap_or_default();
        touches
            .iter()
            .map(|touch| {
                let age_ms = newest.saturating_sub(touch.time);
                let weight = libm::exp2(-(age_ms as f64) / self.half_life_ms as f64);
                libm::rint(weight * WEIGHT_WHOLE) as u64
            })
            .collect()
    }
}

/// Weight of the newest touch: 2^40, fine enough that rounding moves less than one micro-conversion.
const WEIGHT_WHOLE: f64 = 1_099_511_627_776.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Journey, Lookbacks, TouchKind};

    #[test]
    fn a_week_before_counts_half() {
        let touch = |time| Touch { time, id: 0, kind: TouchKind::Click, tag: 0 };
        let lookbacks = Lookbacks { click_ms: 100 * DAY_MS, impression_ms: 0 };
        let journey = Journey::new(14 * DAY_MS, lookbacks, [touch(0), touch(7 * DAY_MS), touch(14 * DAY_MS)]);
        assert_eq!(TimeDecay::default().credits(&journey, 700), [100, 200, 400]);
    }

    #[test]
    fn extremes_do_not_panic() {
        let touch = |time| Touch { time, id: 0, kind: TouchKind::Click, tag: 0 };
        assert_eq!(TimeDecay::new(-5).weights(&[touch(i64::MIN), touch(i64::MAX)]), [0, 1 << 40]);
    }
}
