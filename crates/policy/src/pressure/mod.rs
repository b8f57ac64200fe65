//! The bid at which the rest of the budget is spent exactly over the rest of the plan (section 4).
//!
//! One default, [`Linear`], and beside it the published methods that it is measured against, with the numbers that they
//! were published with. What always holds: the result lies between the campaign's lowest and highest bid, and does not
//! rise while something blocks it, whichever method is chosen; under the default one evaluation moves it by at most the
//! set steps (on its way back in the morning, by `wind_up_max`), and spending more, or a smaller budget, never gives a
//! higher bid. Missing on purpose: a learned elasticity and a logarithmic error; both were tried and cost value.

mod exposure;
mod fixed;
mod linear;
mod mirror_descent;
mod mystique;
mod pid;
mod supply;
mod threshold;
mod throttle;

pub use exposure::{Exposure, ExposureInput, Rate, rate_window_ms};
pub use fixed::Fixed;
pub use linear::Linear;
pub use mirror_descent::MirrorDescent;
pub use mystique::Mystique;
pub use pid::Pid;
pub use supply::{Block, Supply, raise_block};
pub use threshold::Threshold;
pub use throttle::Throttle;

use crate::arithmetic::{self, LogBid, NAT, finite, half_to_even, log_bid, ratio, saturate};
use crate::hold::Hold;
use crate::plan::tiny::is_tiny;
use crate::settings::{Millis, Pressure as Settings};
use model::output::Term;
use serde::{Deserialize, Serialize};

/// Moves the budget's bid by one step.
pub trait Pressure {
    /// The next log-bid, or why there is none; `memory` is the method's own and survives from one evaluation to the next.
    fn evaluate(&self, input: &Input, memory: &mut Memory, settings: &Settings) -> Result<Step, Hold>;
}

/// The methods by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// [`Linear`], the default.
    #[default]
    Linear,
    /// [`Fixed`].
    Fixed,
    /// [`Threshold`].
    Threshold,
    /// [`Throttle`].
    Throttle,
    /// [`Pid`].
    Pid,
    /// [`Mystique`].
    Mystique,
    /// [`MirrorDescent`].
    MirrorDescent,
}

impl Method {
    /// All of them, the default first.
    pub const ALL: [Method; 7] = [
        Method::Linear,
        Method::Fixed,
        Method::Threshold,
        Method::Throttle,
        Method::Pid,
        Method::Mystique,
        Method::MirrorDescent,
    ];

    /// The word of the policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Linear => "linear",
            Method::Fixed => "fixed",
            Method::Threshold => "threshold",
            Method::Throttle => "throttle",
            Method::Pid => "pid",
            Method::Mystique => "mystique",
            Method::MirrorDescent => "mirror_descent",
        }
    }

    /// The method of that word.
    pub fn parse(word: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.as_str() == word)
    }

    /// The method itself.
    pub fn pressure(self) -> &'static dyn Pressure {
        match self {
            Method::Linear => &Linear,
            Method::Fixed => &Fixed,
            Method::Threshold => &Threshold,
            Method::Throttle => &Throttle,
            Method::Pid => &Pid,
            Method::Mystique => &Mystique,
            Method::MirrorDescent => &MirrorDescent,
        }
    }
}

/// What a method remembers of its last move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// D0 of the day of its last move.
    pub day_start_ms: Option<Millis>,
    /// How much of that day was seen then.
    pub elapsed_ms: Millis,
    /// S then.
    pub spent_micros: i64,
    /// F then.
    pub share_done: f64,
    /// The method's own signal: a pass-through rate, a pacing signal, the log-bid it turns around.
    pub signal: f64,
    /// Its last error.
    pub error: f64,
    /// Sum of its errors over the day.
    pub error_sum: f64,
    /// Sum of its signals of the day, and how many.
    pub signal_sum: f64,
    /// How many, or how heavy.
    pub signals: i64,
    /// The default's: the log-bid that bought the middle of the day before.
    pub home: Option<LogBid>,
    /// The bid is still to return to it.
    pub is_returning: bool,
}

/// What happened since a method's last move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Since {
    pub(crate) elapsed_ms: Millis,
    pub(crate) spent_micros: i64,
    pub(crate) share: f64,
    /// The day is another one than at the last move, or there was none.
    pub(crate) new_day: bool,
}

impl Memory {
    /// What happened since the last move; on a new day, since its start.
    pub(crate) fn since(&self, input: &Input) -> Since {
        let new_day = self.day_start_ms != Some(input.day_start_ms);
        let (elapsed, spent, share) =
            if new_day { (0, 0, 0.0) } else { (self.elapsed_ms, self.spent_micros, self.share_done) };
        Since {
            elapsed_ms: input.elapsed_ms.saturating_sub(elapsed).max(0),
            spent_micros: input.spent_micros.saturating_sub(spent).max(0),
            share: (1.0 - input.share_left - share).max(0.0),
            new_day,
        }
    }

    /// A move was made at this input.
    pub(crate) fn note(&mut self, input: &Input) {
        self.day_start_ms = Some(input.day_start_ms);
        self.elapsed_ms = input.elapsed_ms;
        self.spent_micros = input.spent_micros;
        self.share_done = 1.0 - input.share_left;
    }
}

/// ln bid_min and ln bid_max, where the bid may be moved at all.
fn admitted(input: &Input, settings: &Settings) -> Result<(LogBid, LogBid), Hold> {
    let (min, max) = (input.bid_min_micros, input.bid_max_micros);
    if min <= 0 || max < min {
        return Err(Hold::NoBounds);
    }
    if min == max {
        return Err(Hold::BidFixed);
    }
    let bounds = (log_bid(min)?, log_bid(max)?);
    if input.frozen {
        Err(Hold::Frozen)
    } else if input.budget_micros <= 0 {
        Err(Hold::NoBudget)
    } else if input.cost_micros <= 0 {
        Err(Hold::NoCost)
    } else if is_tiny(input.budget_micros, input.cost_micros, settings) {
        Err(Hold::TinyBudget)
    } else if input.since_last_ms <= 0 {
        Err(Hold::NoTimePassed)
    } else {
        Ok(bounds)
    }
}

/// R = (B - E) f / (1 - F(W)), not below 0: what the window should have cost at the pace that spends the rest.
fn need(input: &Input) -> Result<f64, Hold> {
    // Compared so that NaN holds, too.
    let planned = input.window_share > 0.0 && input.share_left > 0.0;
    if !planned {
        return Err(Hold::PlanOver);
    }
    let rest = input.budget_micros.saturating_sub(input.exposed_micros).max(0);
    finite(rest as f64 * input.window_share / input.share_left)
}

/// Moves the log-bid by `wanted`: within the bounds, and not up while something blocks it.
fn moved(input: &Input, bounds: (LogBid, LogBid), wanted: f64, error: f64, gain: f64) -> Result<Step, Hold> {
    let (low, high) = bounds;
    let blocked = input.block.filter(|_| wanted > 0.0);
    let step = if blocked.is_some() { 0.0 } else { wanted.min(input.step_up_limit.unwrap_or(f64::MAX).max(0.0)) };
    let log_bid = saturate(i128::from(input.log_bid) + i128::from(half_to_even(finite(step)? * NAT)?));
    Ok(Step {
        log_bid: log_bid.clamp(low, high),
        need_micros: half_to_even(need(input).unwrap_or(0.0))?,
        window_spend_micros: input.window_spend_micros,
        is_at_bid: input.is_at_bid,
        error,
        gain,
        step,
        blocked,
        returns: false,
        at_max: log_bid >= high && wanted > 0.0,
        at_min: log_bid <= low && wanted < 0.0,
    })
}

/// As [`moved`], to where a method wants the bid to stand.
fn moved_to(input: &Input, bounds: (LogBid, LogBid), target: LogBid, error: f64) -> Result<Step, Hold> {
    let by = i128::from(target.clamp(bounds.0, bounds.1)) - i128::from(input.log_bid);
    moved(input, bounds, by as f64 / NAT, error, 1.0)
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
    /// D0.
    pub day_start_ms: Millis,
    /// W - D0.
    pub elapsed_ms: Millis,
    /// D1 - D0.
    pub day_ms: Millis,
    /// B.
    pub budget_micros: i64,
    /// S.
    pub spent_micros: i64,
    /// E.
    pub exposed_micros: i64,
    /// Length of the window that was read, from [`window_start_ms`] to W.
    pub window_ms: Millis,
    /// Spend of that window.
    pub window_spend_micros: i64,
    /// It is told as if it had been spent at [`Self::log_bid`]: only then may the loop be quick, or it would answer bids that
    /// are gone.
    pub is_at_bid: bool,
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
    /// S_w, as if spent at the bid that the loop stood at.
    pub window_spend_micros: i64,
    /// S_w is what the window would have cost at the bid that the loop stood at.
    pub is_at_bid: bool,
    /// e.
    pub error: f64,
    /// k.
    pub gain: f64,
    /// Change of the log-bid that was wanted, before bounds.
    pub step: f64,
    /// What kept the bid from rising, if something did.
    pub blocked: Option<Block>,
    /// The bid returns to that of the day before, whatever the need.
    pub returns: bool,
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
            term("window_spend_at_bid_micros", self.window_spend_micros),
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
pub fn without_wind_up(own: LogBid, in_force_micros: i64, unit_micros: i64, settings: &Settings) -> LogBid {
    let Ok(in_force) = log_bid(in_force_micros) else { return own };
    let most = half_to_even(settings.wind_up_max * NAT).unwrap_or(0);
    // Two micro-nats more, so that the next unit survives being rounded down after the exponential.
    let next_unit = log_bid(in_force_micros.saturating_add(unit_micros.max(0)).saturating_add(1));
    let high = in_force.saturating_add(most).max(next_unit.map_or(in_force, |next| next.saturating_add(2)));
    own.clamp(in_force.saturating_sub(most).min(high), high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) const MINUTE: Millis = 60_000;
    const EUR: i64 = 1_000_000;

    /// A day of 240 EUR with an even plan, so long after its start, with so much spent.
    pub(super) fn at(elapsed_ms: Millis, spent_eur: i64) -> Input {
        let share_done = elapsed_ms as f64 / 86_400_000.0;
        Input {
            since_last_ms: MINUTE,
            day_ms: 86_400_000,
            elapsed_ms,
            apply_ms: MINUTE,
            budget_micros: 240 * EUR,
            spent_micros: spent_eur * EUR,
            exposed_micros: spent_eur * EUR,
            window_ms: 15 * MINUTE,
            window_share: 1.0 / 96.0,
            share_left: 1.0 - share_done,
            cost_micros: EUR / 2,
            log_bid: log_bid(EUR / 2).unwrap(),
            bid_min_micros: EUR / 10,
            bid_max_micros: 2 * EUR,
            ..Input::default()
        }
    }

    proptest! {
        #[test]
        fn every_method_stays_within_bounds_and_rises_at_no_block(
            minutes in prop::collection::vec((0..1_500_i64, -10..400_i64, any::<bool>(), 0..3_i64), 1..40),
        ) {
            for method in Method::ALL {
                let mut memory = Memory::default();
                let mut stood = at(0, 0).log_bid;
                for (minute, spent, blocked, day) in &minutes {
                    let input = Input {
                        log_bid: stood,
                        day_start_ms: day * 86_400_000,
                        block: blocked.then_some(Block::NoEvents),
                        ..at(minute * MINUTE, *spent)
                    };
                    let Ok(step) = method.pressure().evaluate(&input, &mut memory, &Settings::default()) else { continue };
                    let bounds = log_bid(input.bid_min_micros).unwrap()..=log_bid(input.bid_max_micros).unwrap();
                    prop_assert!(bounds.contains(&step.log_bid), "{method:?}");
                    prop_assert!(!blocked || step.log_bid <= stood, "{method:?}");
                    stood = step.log_bid;
                }
            }
        }
    }

    #[test]
    fn a_method_is_chosen_by_its_word() {
        assert!(Method::ALL.into_iter().all(|method| Method::parse(method.as_str()) == Some(method)));
        assert_eq!(Method::parse("magic"), None);
    }

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
        let in_force = log_bid(1_000_000).unwrap();
        let kept = |by: i64| without_wind_up(in_force + by, 1_000_000, 10_000, &settings) - in_force;
        assert_eq!([kept(500_000), kept(-500_000), kept(7)], [200_000, -200_000, 7]);
        // Three cents cannot rise by a fifth, but they can become four.
        let four = without_wind_up(i64::MAX, 30_000, 10_000, &settings);
        assert_eq!(arithmetic::round_down(arithmetic::bid_micros(four).unwrap(), 10_000), Ok(40_000));
        assert_eq!(without_wind_up(5, 0, 0, &settings), 5);
    }
}
