//! The bid at which the rest of the budget is spent exactly over the rest of the plan (section 4).
//!
//! What always holds: the result lies between the campaign's lowest and highest bid; one evaluation moves it by at most the
//! set steps; spending more, or a smaller budget, never gives a higher bid. Missing on purpose: a learned elasticity and a
//! logarithmic error; both were tried and cost value.

mod exposure;
mod linear;
mod supply;

pub use exposure::{Exposure, ExposureInput, Rate, rate_window_ms};
pub use linear::Linear;
pub use supply::{Block, Supply, raise_block};

use crate::arithmetic::{self, LogBid, NAT, ratio};
use crate::hold::Hold;
use crate::settings::{Millis, Pressure as Settings};
use model::output::Term;

/// Moves the budget's bid by one step.
pub trait Pressure {
    /// The next log-bid, or why there is none.
    fn evaluate(&self, input: &Input, settings: &Settings) -> Result<Step, Hold>;
}

/// What one evaluation reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Time since the last evaluation (the interval itself at the first).
    pub since_last_ms: Millis,
    /// T - W.
    pub lag_ms: Millis,
    /// Measured median from command to acknowledgement, the profile's until there is one.
    pub apply_ms: Millis,
    /// B.
    pub budget_micros: i64,
    /// E.
    pub exposed_micros: i64,
    /// Length of the window that was read, from [`window_start_ms`] to W.
    pub window_ms: Millis,
    /// Spend of that window.
    pub window_spend_micros: i64,
    /// f: share of the plan inside that window.
    pub window_share: f64,
    /// 1 - F(W).
    pub share_left: f64,
    /// c, see [`mean_cost_micros`].
    pub cost_micros: i64,
    /// The bid that this loop stands at.
    pub log_bid: LogBid,
    /// spec.bid_min.
    pub bid_min_micros: i64,
    /// spec.bid_max.
    pub bid_max_micros: i64,
    /// Why the bid may not rise now.
    pub block: Option<Block>,
    /// Least of the special limits on a rise, e.g. after recovery.
    pub step_up_limit: Option<f64>,
    /// Paused, halted or on hold.
    pub frozen: bool,
}

/// One evaluation with all its terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// u_B after it.
    pub log_bid: LogBid,
    /// R.
    pub need_micros: i64,
    /// e.
    pub error: f64,
    /// k.
    pub gain: f64,
    /// Change of the log-bid that was wanted, before bounds.
    pub step: f64,
    /// What kept the bid from rising, if something did.
    pub blocked: Option<Block>,
    /// The bid is at the campaign's highest and wants up.
    pub at_max: bool,
    /// The bid is at the campaign's lowest and wants down.
    pub at_min: bool,
}

impl Step {
    /// The terms in the order they were computed, for the explanation.
    pub fn terms(&self) -> Vec<Term> {
        let term = |name: &str, value| Term { name: name.into(), value };
        vec![
            term("need_micros", self.need_micros),
            term("error_ppm", arithmetic::ppm(self.error)),
            term("gain_ppm", arithmetic::ppm(self.gain)),
            term("step_micro_nats", arithmetic::ppm(self.step)),
            term("budget_log_bid_micro_nats", self.log_bid),
        ]
    }
}

/// c = (S + 5 c0) / (n + 5): mean cost of a billable event, from the neighbours' until there are own ones.
pub fn mean_cost_micros(
    spend_micros: i64,
    events: i64,
    neighbours_micros: i64,
    settings: &Settings,
) -> Result<i64, Hold> {
    let (events, prior) = (i128::from(events.max(0)), i128::from(settings.cost_prior_events.max(1)));
    let total = i128::from(spend_micros.max(0)) + prior * i128::from(neighbours_micros.max(0));
    ratio(total, events + prior).filter(|cost| *cost > 0).ok_or(Hold::NoCost)
}

/// w: a quarter of an hour if it holds 30 billable events, else an hour; for reported statistics whole hours, and at
/// least two periods.
pub fn window_ms(events_in_short: i64, stats_period_ms: Option<Millis>, settings: &Settings) -> Millis {
    const HOUR: Millis = 3_600_000;
    match stats_period_ms {
        Some(period) => {
            let least = period.max(0).saturating_mul(settings.window_periods).max(settings.window_long_ms);
            least.saturating_add(HOUR - 1) / HOUR * HOUR
        }
        None if events_in_short >= settings.window_short_events_min => settings.window_short_ms,
        None => settings.window_long_ms,
    }
}

/// Start of the window that ends at W: never before the plan's, or yesterday's spend would answer for today's need.
pub fn window_start_ms(watermark_ms: Millis, window_ms: Millis, plan_start_ms: Millis) -> Millis {
    watermark_ms.saturating_sub(window_ms).max(plan_start_ms).min(watermark_ms)
}

/// Keeps the loop's bid within 0.20 of the bid in force (or one billable unit, where that is more); to be applied after
/// every composition, so that hours bound by something else do not wind it up.
pub fn without_wind_up(log_bid: LogBid, in_force_micros: i64, unit_micros: i64, settings: &Settings) -> LogBid {
    let Ok(in_force) = arithmetic::log_bid(in_force_micros) else { return log_bid };
    let most = arithmetic::half_to_even(settings.wind_up_max * NAT).unwrap_or(0);
    // Two micro-nats more, so that the next unit survives being rounded down after the exponential.
    let next_unit = arithmetic::log_bid(in_force_micros.saturating_add(unit_micros.max(0)).saturating_add(1));
    let high = in_force.saturating_add(most).max(next_unit.map_or(in_force, |next| next.saturating_add(2)));
    log_bid.clamp(in_force.saturating_sub(most).min(high), high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    #[test]
    fn a_new_campaign_costs_what_its_neighbours_cost() {
        let cost = |spend, events, neighbours| mean_cost_micros(spend, events, neighbours, &Settings::default());
        assert_eq!(cost(0, 0, 400), Ok(400));
        // (10,000 + 5 x 400) / (15 + 5).
        assert_eq!(cost(10_000, 15, 400), Ok(600));
        assert_eq!(cost(0, 0, 0), Err(Hold::NoCost));
        assert_eq!(cost(i64::MAX, i64::MIN, i64::MAX), Err(Hold::NoCost));
    }

    #[test]
    fn thirty_events_make_a_short_window_and_statistics_a_long_one() {
        let window =
            |events, period: Option<i64>| window_ms(events, period.map(|m| m * MINUTE), &Settings::default()) / MINUTE;
        assert_eq!([window(30, None), window(29, None)], [15, 60]);
        assert_eq!([window(99, Some(15)), window(99, Some(60)), window(0, Some(75))], [60, 120, 180]);
        assert_eq!(
            [window_start_ms(100, 60, 0), window_start_ms(100, 60, 70), window_start_ms(100, 60, 170)],
            [40, 70, 100]
        );
    }

    #[test]
    fn the_loop_stays_near_the_bid_in_force() {
        let settings = Settings::default();
        let in_force = arithmetic::log_bid(1_000_000).unwrap();
        let kept = |by: i64| without_wind_up(in_force + by, 1_000_000, 10_000, &settings) - in_force;
        assert_eq!([kept(500_000), kept(-500_000), kept(7)], [200_000, -200_000, 7]);
        // Three cents cannot rise by a fifth, but they can become four.
        let four = without_wind_up(i64::MAX, 30_000, 10_000, &settings);
        assert_eq!(arithmetic::round_down(arithmetic::bid_micros(four).unwrap(), 10_000), Ok(40_000));
        assert_eq!(without_wind_up(5, 0, 0, &settings), 5);
    }
}
