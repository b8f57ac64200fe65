//! PID with exponential actuator ("Feedback Control of Real-Time Display Advertising", WSDM 2016): a multiplier
//! exp(phi) on the first bid, phi from error, sum and difference of errors, 40 rounds a day. Numbers of the authors'
//! demonstration, not fitted to our trials.
//!
//! The controlled figure is the spend so far over the plan so far; the demonstration controls the cost of a click around
//! a reference of 40,000, so an error of one means 40,000 of its units here. A day starts with a sum of zero.

use super::{Input, Memory, Pressure, Step, admitted, moved, moved_to};
use crate::arithmetic::{NAT, half_to_even};
use crate::hold::Hold;
use crate::settings::{Millis, Pressure as Settings};

/// The gains of the demonstration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pid;

/// A day has 40 rounds.
const ROUND_MS: Millis = 36 * 60_000;
const REFERENCE: f64 = 40_000.0;
const GAIN: f64 = 5e-4;
const GAIN_SUM: f64 = 1e-6;
const GAIN_DIFFERENCE: f64 = 1e-4;
const PHI: (f64, f64) = (-2.0, 5.0);

impl Pressure for Pid {
    fn evaluate(&self, input: &Input, memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        let bounds = admitted(input, settings)?;
        if memory.day_start_ms.is_none() {
            memory.signal = input.log_bid as f64 / NAT;
        }
        let since = memory.since(input);
        if since.elapsed_ms < ROUND_MS {
            return moved(input, bounds, 0.0, 0.0, 0.0);
        }
        let plan = (input.budget_micros as f64 * (1.0 - input.share_left)).max(1.0);
        let error = REFERENCE * (1.0 - input.spent_micros as f64 / plan);
        let before = if since.new_day { (error, 0.0) } else { (memory.error, memory.error_sum) };
        memory.note(input);
        memory.error = error;
        memory.error_sum = before.1 + error;
        let phi = GAIN * error + GAIN_SUM * memory.error_sum + GAIN_DIFFERENCE * (error - before.0);
        let target = half_to_even((memory.signal + phi.clamp(PHI.0, PHI.1)) * NAT)?;
        moved_to(input, bounds, target, error / REFERENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINUTE, at};
    use super::*;

    #[test]
    fn the_bid_is_the_first_one_times_the_exponential_of_the_errors() {
        let settings = Settings::default();
        let mut memory = Memory::default();
        let first = at(0, 0);
        assert_eq!(Pid.evaluate(&first, &mut memory, &settings).unwrap().log_bid, first.log_bid);
        // Noon: 120 EUR planned, 118.8 spent: an error of 400; sum the same, no difference yet.
        let input = Input { spent_micros: 118_800_000, ..at(720 * MINUTE, 0) };
        let step = Pid.evaluate(&input, &mut memory, &settings).unwrap();
        assert_eq!(step.log_bid - first.log_bid, ((5e-4 * 400.0 + 1e-6 * 400.0) * 1e6_f64).round() as i64);
    }
}
