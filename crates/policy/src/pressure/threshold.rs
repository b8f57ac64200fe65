//! Uniform threshold: two comparisons and two factors a half-hour, as AuctionNet's baseline for a budget has them
//! (NeurIPS 2024 auto-bidding competition, PID baseline). Numbers as published, not fitted to our trials.
//!
//! The last step's cost, carried on over the plan's rest, below 0.7 of what remains: bid x 1.2; carried on over the steps
//! that remain, each alike, above 1.1 of it: bid x 0.7. Nothing between them.

use super::{Input, Memory, Pressure, Step, admitted, moved};
use crate::hold::Hold;
use crate::settings::{Millis, Pressure as Settings};

/// The two factors of AuctionNet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threshold;

/// 48 steps a day.
const STEP_MS: Millis = 30 * 60_000;
const TOO_SLOW: f64 = 0.7;
const TOO_FAST: f64 = 1.1;
const RAISE: f64 = 1.2;
const CUT: f64 = 0.7;

impl Pressure for Threshold {
    fn evaluate(&self, input: &Input, memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        let bounds = admitted(input, settings)?;
        let since = memory.since(input);
        if since.elapsed_ms < STEP_MS {
            return moved(input, bounds, 0.0, 0.0, 0.0);
        }
        memory.note(input);
        let rest = input.budget_micros.saturating_sub(input.spent_micros).max(1) as f64;
        let cost = since.spent_micros as f64;
        let by_plan = if since.share > 0.0 { cost * input.share_left / since.share / rest } else { 1.0 };
        let steps_left = input.day_ms.saturating_sub(input.elapsed_ms).max(0) as f64 / STEP_MS as f64;
        let by_steps = cost * steps_left / rest;
        let wanted = if by_plan < TOO_SLOW {
            libm::log(RAISE)
        } else if by_steps > TOO_FAST {
            libm::log(CUT)
        } else {
            0.0
        };
        moved(input, bounds, wanted, 1.0 - by_plan, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINUTE, at};
    use super::*;

    #[test]
    fn a_slow_half_hour_raises_by_a_fifth_and_a_fast_one_cuts_by_three_tenths() {
        let settings = Settings::default();
        let after = |spent_eur| {
            let mut memory = Memory::default();
            memory.note(&at(690 * MINUTE, 115));
            Threshold.evaluate(&at(720 * MINUTE, spent_eur), &mut memory, &settings).unwrap().step
        };
        // 125 EUR are left for 24 half-hours: 5.2 a step would be right.
        assert_eq!([after(116), after(120), after(121)], [libm::log(1.2), 0.0, libm::log(0.7)]);
    }

    #[test]
    fn between_two_steps_nothing_moves() {
        let mut memory = Memory::default();
        memory.note(&at(700 * MINUTE, 0));
        assert_eq!(Threshold.evaluate(&at(720 * MINUTE, 0), &mut memory, &Settings::default()).unwrap().step, 0.0);
    }
}
