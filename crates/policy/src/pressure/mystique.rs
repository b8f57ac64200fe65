//! Mystique (Yahoo, "Mystique: A Budget Pacing System for Performance Optimization in Online Advertising", WWW 2024): a
//! pacing signal in (0, 1] that moves each minute by the distance to the plan and by the distance to the plan's slope.
//! Numbers of the published simulator, not fitted to our trials.
//!
//! Bid = signal x bid_max. Shares are of the budget, time is in days. The slopes are those of our plan, within 0.1 and 12
//! as there; the published system learns its own, no better. New campaigns start at 0.0001, all but the largest.

use super::{Input, Memory, Pressure, Since, Step, admitted, moved, moved_to};
use crate::arithmetic::{NAT, half_to_even};
use crate::hold::Hold;
use crate::settings::{Millis, Pressure as Settings};

/// Yahoo's two-term correction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mystique;

const STEP_MS: Millis = 60_000;
const MINUTES_A_DAY: f64 = 1_440.0;
const SIGNAL_MIN: f64 = 1e-4;
/// A budget above this, in units of currency, starts unpaced.
const LARGE_BUDGET_MICROS: i64 = 10_000_000_000;
const CORRECTION_MAX: f64 = 0.025;
const CORRECTION_MIN: f64 = 0.01;
const FULL_SPEND_ERROR: f64 = 0.25;
const FULL_SLOPE_ERROR: f64 = 1.5;
const SLOPES: (f64, f64) = (0.1, 12.0);
/// In the last minutes the mean signal of the time below this share of the budget is taken.
const LAST_MS: Millis = 3 * 60_000;
const NEARLY_SPENT: f64 = 0.95;
/// A slope this far above the plan's, ahead of it, is a runaway.
const RUNAWAY: f64 = 12.0;

impl Pressure for Mystique {
    fn evaluate(&self, input: &Input, memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        let bounds = admitted(input, settings)?;
        if memory.day_start_ms.is_none() {
            memory.signal = if input.budget_micros > LARGE_BUDGET_MICROS { 1.0 } else { SIGNAL_MIN };
        }
        let since = memory.since(input);
        if since.elapsed_ms < STEP_MS {
            return moved(input, bounds, 0.0, 0.0, 0.0);
        }
        if since.new_day {
            (memory.signal_sum, memory.signals) = (0.0, 0);
        }
        memory.note(input);
        let spent = input.spent_micros as f64 / input.budget_micros as f64;
        let target = 1.0 - input.share_left;
        let signal = signal(memory, &since, spent, target, input);
        if spent < NEARLY_SPENT {
            memory.signal_sum += signal;
            memory.signals += 1;
        }
        let at = bounds.1.saturating_add(half_to_even(libm::log(signal.max(SIGNAL_MIN)) * NAT)?);
        moved_to(input, bounds, at, target - spent)
    }
}

/// The signal after this minute; the memory keeps the last one that was no emergency.
fn signal(memory: &mut Memory, since: &Since, spent: f64, target: f64, input: &Input) -> f64 {
    if input.day_ms.saturating_sub(input.elapsed_ms) < LAST_MS && memory.signals > 0 {
        memory.signal = (memory.signal_sum / memory.signals as f64).min(1.0);
        return memory.signal;
    }
    if spent >= 1.0 {
        return memory.signal;
    }
    let minutes = since.elapsed_ms as f64 / STEP_MS as f64;
    let slope = |share: f64| share * MINUTES_A_DAY / minutes;
    let spend_error = spent - target;
    let slope_error =
        slope(since.spent_micros as f64 / input.budget_micros as f64) - slope(since.share).clamp(SLOPES.0, SLOPES.1);
    let minutes_to_target =
        if slope_error.abs() < 1e-9 { f64::MAX } else { -MINUTES_A_DAY * spend_error / slope_error };
    if slope_error > RUNAWAY && minutes_to_target < 3_600.0 && spend_error > 0.0 {
        return SIGNAL_MIN;
    }
    let weight = if minutes_to_target < 0.0 { 0.5 } else { (0.2 * minutes_to_target).min(0.9) };
    let by_spend = CORRECTION_MAX * (spend_error.abs() / FULL_SPEND_ERROR).min(1.0);
    let by_slope = (CORRECTION_MAX * slope_error.abs().min(1.0) / FULL_SLOPE_ERROR).max(CORRECTION_MIN);
    let correction = weight * by_spend * sign(spend_error) + (1.0 - weight) * by_slope * sign(slope_error);
    memory.signal = (memory.signal - correction).clamp(SIGNAL_MIN, 1.0);
    memory.signal
}

/// The sign of nothing is nothing.
fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINUTE, at};
    use super::*;

    fn after(before: Memory, minute: i64, spent_eur: i64) -> f64 {
        let mut memory = before;
        Mystique.evaluate(&at(minute * MINUTE, spent_eur), &mut memory, &Settings::default()).unwrap();
        memory.signal
    }

    #[test]
    fn the_correction_is_the_one_worked_by_hand() {
        let mut memory = Memory { signal: 0.5, ..Memory::default() };
        memory.note(&at(719 * MINUTE, 96));
        // Nothing spent in the minute: slope error -1; 0.1 of the budget behind, so the target is 144 minutes behind us.
        let by_spend = 0.025 * (0.4_f64 - 0.5).abs() / 0.25;
        let by_slope = 0.025 / 1.5;
        assert!((after(memory, 720, 96) - (0.5 + 0.5 * by_spend + 0.5 * by_slope)).abs() < 1e-9);
    }

    #[test]
    fn a_new_campaign_starts_closed_and_a_depleted_one_stands_still() {
        assert!(after(Memory::default(), 1, 0) < 0.05);
        let mut memory = Memory { signal: 0.5, ..Memory::default() };
        memory.note(&at(719 * MINUTE, 240));
        assert_eq!(after(memory, 720, 240), 0.5);
    }
}
