//! A running mean that forgets by time.
//!
//! A young mean weighs all that it saw alike; later it forgets by half-life. Its gain lies between 0 and 1, so it stays
//! between what it was and what it is fed.

use crate::settings::Millis;
use serde::{Deserialize, Serialize};

/// The mean and how many rows stand behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mean {
    value: f64,
    weight: f64,
}

impl Mean {
    pub(super) fn value(&self) -> f64 {
        self.value
    }

    /// Feeds a value that came `step_ms` after the one before.
    pub(super) fn feed(&mut self, value: f64, step_ms: Millis, half_life_ms: Millis) {
        self.weight = self.weight * kept(step_ms, half_life_ms) + 1.0;
        self.value += (value - self.value) / self.weight;
    }

    /// Goes on from another value, as sure of it as `rows` rows make it.
    pub(super) fn restart(&mut self, value: f64, rows: f64) {
        *self = Mean { value, weight: self.weight.min(rows) };
    }
}

/// The share that is not forgotten in a time.
pub(super) fn kept(step_ms: Millis, half_life_ms: Millis) -> f64 {
    libm::exp2(-(step_ms.max(0) as f64) / half_life_ms.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_mean_is_the_plain_mean_and_an_old_one_forgets_half() {
        let mut mean = Mean::default();
        [1.0, 2.0, 6.0].into_iter().for_each(|value| mean.feed(value, 0, 1_000));
        assert_eq!(mean.value(), 3.0);
        // Three rows become one and a half, against one new row.
        mean.feed(8.0, 1_000, 1_000);
        assert!((mean.value() - 5.0).abs() < 1e-12);
    }
}
