//! LinkedIn's throttle ("Budget Pacing for Targeted Online Advertisements", KDD 2014): a campaign takes part in a share
//! of its auctions, which each minute moves by a tenth towards the plan. Numbers as published, not fitted to our trials.
//!
//! Who commands bids cannot toss a coin for each auction: the share stands on the highest bid here, bid = share x
//! bid_max, which buys the same money more cheaply than a toss would. The slow start is 0.10, each day anew. The fast
//! finish is the plan's own tail; the paper's two hours would cost this method spend.

use super::{Input, Memory, Pressure, Step, admitted, moved, moved_to};
use crate::arithmetic::{NAT, half_to_even};
use crate::hold::Hold;
use crate::settings::{Millis, Pressure as Settings};

/// One tenth up or down a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle;

const STEP_MS: Millis = 60_000;
const RATE: f64 = 0.10;
const SLOW_START: f64 = 0.10;

impl Pressure for Throttle {
    fn evaluate(&self, input: &Input, memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        let bounds = admitted(input, settings)?;
        let since = memory.since(input);
        if !since.new_day && since.elapsed_ms < STEP_MS {
            return moved(input, bounds, 0.0, 0.0, 0.0);
        }
        let plan = input.budget_micros as f64 * (1.0 - input.share_left);
        let behind = input.spent_micros as f64 <= plan;
        let factor = if behind { 1.0 + RATE } else { 1.0 - RATE };
        memory.signal = if since.new_day { SLOW_START } else { (memory.signal * factor).clamp(1e-4, 1.0) };
        memory.note(input);
        let share = half_to_even(libm::log(memory.signal) * NAT)?;
        moved_to(input, bounds, bounds.1.saturating_add(share), plan / input.budget_micros as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINUTE, at};
    use super::*;
    use crate::arithmetic::log_bid;

    #[test]
    fn each_minute_moves_the_share_by_a_tenth_towards_the_plan() {
        let (mut memory, settings) = (Memory::default(), Settings::default());
        let mut share = |minute: i64, spent_eur: i64| {
            let input = at(minute * MINUTE, spent_eur);
            let step = Throttle.evaluate(&input, &mut memory, &settings).unwrap();
            (libm::exp((step.log_bid - log_bid(input.bid_max_micros).unwrap()) as f64 / NAT) * 1e4).round() / 1e4
        };
        // Half of 240 EUR are planned by noon.
        assert_eq!([share(720, 100), share(721, 100), share(722, 130)], [0.1, 0.11, 0.099]);
    }
}
