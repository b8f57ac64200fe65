//! 40 % to the first touch, 40 % to the last, 20 % to those between; half and half for two.

use crate::{Model, Touch};

/// U-shaped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position;

impl Model for Position {
    fn name(&self) -> &'static str {
        "position"
    }

    fn weights(&self, touches: &[Touch]) -> Vec<u64> {
        let count = touches.len();
        // .4 : .2 / (n - 2) as whole numbers: 2 (n - 2) : 1.
        let end = 2 * (count as u64).saturating_sub(2).max(1);
        (0..count).map(|at| if count < 3 || (at > 0 && at + 1 < count) { 1 } else { end }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Journey, Lookbacks, TouchKind};

    fn credits(count: i64) -> Vec<i64> {
        let touches = (0..count).map(|time| Touch { time, id: 0, kind: TouchKind::Click, tag: 0 });
        Position.credits(&Journey::new(100, Lookbacks { click_ms: 100, impression_ms: 100 }, touches), 1_000_000)
    }

    #[test]
    fn shares_are_those_of_the_contract() {
        assert_eq!(credits(1), [1_000_000]);
        assert_eq!(credits(2), [500_000, 500_000]);
        assert_eq!(credits(3), [400_000, 200_000, 400_000]);
        assert_eq!(credits(6), [400_000, 50_000, 50_000, 50_000, 50_000, 400_000]);
    }
}
