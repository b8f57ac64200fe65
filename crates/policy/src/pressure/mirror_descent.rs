//! Dual mirror descent (Balseiro, Lu, Mirrokni: "The Best of Many Worlds", ICML 2020; Balseiro and Gur, 2019): a price of
//! money that rises where a step cost more than its part of the plan, and falls where it cost less.
//!
//! The entropic form, mu <- mu exp(-eta g), so the bid, which goes with 1 / mu, moves by exp(eta g); g = planned less
//! paid of the minute, in mean minutes' money; eta = 1 / sqrt(T) as the theory has it, T the minutes of a day. The plan
//! is the campaign's ("Robust Budget Pacing with a Single Sample", ICML 2023). Nothing is fitted to our trials.

use super::{Input, Memory, Pressure, Step, admitted, moved};
use crate::hold::Hold;
use crate::settings::{Millis, Pressure as Settings};

/// Multiplicative updates, one a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorDescent;

const STEP_MS: Millis = 60_000;

impl Pressure for MirrorDescent {
    fn evaluate(&self, input: &Input, memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        let bounds = admitted(input, settings)?;
        let since = memory.since(input);
        if since.elapsed_ms < STEP_MS {
            return moved(input, bounds, 0.0, 0.0, 0.0);
        }
        let steps = (input.day_ms.max(STEP_MS) / STEP_MS) as f64;
        let budget = input.budget_micros as f64;
        let error = (budget * since.share - since.spent_micros as f64) * steps / budget;
        memory.note(input);
        let gain = 1.0 / libm::sqrt(steps);
        moved(input, bounds, gain * error, error, gain)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINUTE, at};
    use super::*;

    #[test]
    fn a_minute_that_cost_nothing_raises_by_its_planned_part() {
        let settings = Settings::default();
        let mut memory = Memory::default();
        memory.note(&at(719 * MINUTE, 119));
        let step = |spent, memory: &mut Memory| {
            MirrorDescent.evaluate(&at(720 * MINUTE, spent), memory, &settings).unwrap().step
        };
        // A mean minute costs a sixth of a EUR: one that cost a whole EUR is five mean minutes too dear.
        assert!((step(119, &mut memory.clone()) - 1.0 / libm::sqrt(1440.0)).abs() < 1e-9);
        assert!((step(120, &mut memory) + 5.0 / libm::sqrt(1440.0)).abs() < 1e-9);
    }
}
