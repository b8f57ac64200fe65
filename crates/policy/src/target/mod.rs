//! The bid at which the cost of matured conversions meets the target (section 5).
//!
//! What always holds: cells lie by the time of the click, so a conversion that is still to come is no conversion that
//! failed; the result moves by at most the set steps and lies between the campaign's bounds; more conversions never give
//! a lower bid; no input gives a bid that is not a number. What a cell remembers is the highest bid that the target
//! allowed, not the bid that was sent: money that a day bound by its budget bought cheaply is spent on days with room.
//!
//! What people declare comes in here as they said it: a season makes more conversions due of a cell's clicks, and its factor is
//! added to the bid outside of the memory ([`in_season`]); a cell in a data exclusion has shown nothing.
//!
//! Missing on purpose: what a tracking break swallows (it is taken off the share that a cell should have shown, before it
//! comes here), a cap on single values, targets that a platform follows by itself (`set_target`).

mod cpa;
mod curve;
mod roas;

pub use cpa::Cpa;
pub use curve::{BUCKETS, SeenShare, bucket_of};
pub use roas::Roas;

use crate::arithmetic::{self, LogBid, NAT, finite, half_to_even, log_bid};
use crate::hold::Hold;
use crate::settings::{Millis, Target as Settings};

/// What the campaign promises: how much should have come of its spend, and how much that says.
pub trait Target {
    /// What the cells say of the promise; `None` while they say nothing at all.
    fn weigh(&self, sums: &Sums, settings: &Settings) -> Option<Weighed>;
    /// The worth of one conversion under the promise, in micros.
    fn conversion_worth_micros(&self, sums: &Sums) -> Option<f64>;
}

/// One hour or day of clicks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    /// From its first instant to W.
    pub begun_ago_ms: Millis,
    /// Spend after corrections, S.
    pub spend_micros: i64,
    /// Clicks.
    pub clicks: i64,
    /// Conversions of its clicks that have been seen, k, in micro-conversions.
    pub conversions_micro: i64,
    /// Their value, V.
    pub value_micros: i64,
    /// Sum of the squares of the single values, in thousands of micros squared.
    pub value_squares: i64,
    /// Spend for which the cap is remembered.
    pub capped_micros: i64,
    /// That spend times the cap, in micro-nats, divided by a million.
    pub capped_times_cap: i64,
    /// F: share of its conversions that should have been seen by now; 0 where nothing may be learned from it.
    pub seen_share: f64,
    /// ln m: the declared season of its clicks; 0 for none.
    pub log_season: f64,
}

/// What one evaluation reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// Newest first.
    pub cells: Vec<Cell>,
    /// u_T.
    pub log_bid: LogBid,
    /// u_B, where a budget is paced.
    pub budget_log_bid: Option<LogBid>,
    /// The bid to reckon with.
    pub in_force_micros: i64,
    /// spec.bid_min.
    pub bid_min_micros: i64,
    /// The most that the campaign may bid.
    pub bid_max_micros: i64,
    /// Conversions of a click in the account, delays accounted for; `None` where it is not known.
    pub account_rate: Option<f64>,
    /// Paused, halted or on hold.
    pub frozen: bool,
}

/// Sums over the cells that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Sum of S F.
    pub matured_spend_micros: f64,
    /// Sum of clicks x F, N.
    pub matured_clicks: f64,
    /// k.
    pub conversions: f64,
    /// V.
    pub value_micros: f64,
    /// Sum of squared values, in micros squared.
    pub value_squares: f64,
    /// Spend for which a cap is remembered.
    capped_micros: i128,
    /// That spend times the cap.
    capped_times_cap: i128,
    /// From the first instant of the oldest cell to W.
    pub begun_ago_ms: Millis,
}

/// The evidence of the cells, in conversions, or in whole units of the currency of their value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// What should have been seen by now.
    pub due: f64,
    /// What was seen.
    pub seen: f64,
    /// What both are pulled by.
    pub prior: f64,
    /// Enough to end the window.
    pub enough: f64,
}

impl Weighed {
    /// e_T = ln((seen + prior) / (due + prior)).
    fn error(&self) -> Result<f64, Hold> {
        let (above, below) = (self.seen.max(0.0) + self.prior, self.due.max(0.0) + self.prior);
        if !(above > 0.0 && below > 0.0) {
            return Err(Hold::EmptyDenominator);
        }
        finite(libm::log(above / below))
    }

    /// What is added to e_T: some standard errors of it, as a Poisson count of mu + prior conversions has them, less the
    /// more of the evidence is there.
    fn optimism(&self, settings: &Settings) -> f64 {
        let due = self.due.max(0.0);
        let conversions = (due + self.prior) / self.prior * settings.prior_conversions;
        let missing = (1.0 - due / self.enough).max(0.0);
        finite(settings.optimism * missing / libm::sqrt(conversions)).unwrap_or(0.0)
    }
}

/// One evaluation with all its terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// u_T after it.
    pub log_bid: LogBid,
    /// Mean cap of the cells.
    pub mean_cap: LogBid,
    /// e_T.
    pub error: f64,
    /// mu (for a ROAS: the value that was due, in whole units of the currency).
    pub due: f64,
    /// k (for a ROAS: the value that was seen).
    pub seen: f64,
    /// Length of the window.
    pub window_ms: Millis,
}

/// The next u_T, or why it stays.
pub fn evaluate(target: &dyn Target, input: &Input, settings: &Settings) -> Result<Step, Hold> {
    let (low, high) = bounds(input)?;
    if input.frozen {
        return Err(Hold::Frozen);
    }
    let sums = window(target, &input.cells, settings);
    let weighed = target.weigh(&sums, settings).ok_or(Hold::NoCost)?;
    let mean_cap = mean_cap(&sums)?;
    let error = weighed.error()?;
    let hoped = error + weighed.optimism(settings);
    let wanted = finite(mean_cap as f64 + hoped / settings.elasticity * NAT)?;
    let step = (wanted - input.log_bid as f64).clamp(-settings.step_down_max * NAT, settings.step_up_max * NAT);
    let moved = half_to_even(input.log_bid as f64 + step)?;
    let limit = [beside_budget(input, settings), beside_account(target, &sums, input, settings)];
    let limited = limit.into_iter().flatten().fold(moved, i64::min);
    Ok(Step {
        log_bid: limited.clamp(low, high),
        mean_cap,
        error,
        due: weighed.due,
        seen: weighed.seen,
        window_ms: sums.begun_ago_ms,
    })
}

/// A declared season is no less than a hundredth and no more than a hundred.
const LOG_SEASON_MAX: f64 = 4.7;

/// The bid while a season of ln m lasts, within the campaign's bounds: what is remembered stays without it.
pub fn in_season(bid: LogBid, log_season: f64, (bid_min_micros, bid_max_micros): (i64, i64)) -> LogBid {
    let season = half_to_even(log_season.clamp(-LOG_SEASON_MAX, LOG_SEASON_MAX) * NAT).unwrap_or(0);
    let (Ok(low), Ok(high)) = (log_bid(bid_min_micros), log_bid(bid_max_micros)) else { return bid };
    if season == 0 || low > high { bid } else { bid.saturating_add(season).clamp(low, high) }
}

fn bounds(input: &Input) -> Result<(LogBid, LogBid), Hold> {
    let (min, max) = (input.bid_min_micros, input.bid_max_micros);
    if min <= 0 || max < min {
        return Err(Hold::NoBounds);
    }
    Ok((log_bid(min)?, log_bid(max)?))
}

/// Newest first until the evidence is enough and the window long enough, never beyond the longest.
fn window(target: &dyn Target, cells: &[Cell], settings: &Settings) -> Sums {
    let mut sums = Sums::default();
    for cell in cells {
        let enough = target.weigh(&sums, settings).is_some_and(|weighed| weighed.due >= weighed.enough);
        if enough && sums.begun_ago_ms >= settings.window_min_ms || cell.begun_ago_ms > settings.window_max_ms {
            break;
        }
        // Compared so that NaN is left out, too.
        if cell.seen_share >= settings.seen_share_min {
            sums.add(cell);
        }
    }
    sums
}

impl Sums {
    fn add(&mut self, cell: &Cell) {
        let season = libm::exp(cell.log_season.clamp(-LOG_SEASON_MAX, LOG_SEASON_MAX));
        let share = cell.seen_share.min(1.0) * if season.is_finite() { season } else { 1.0 };
        self.matured_spend_micros += cell.spend_micros as f64 * share;
        self.matured_clicks += cell.clicks.max(0) as f64 * share;
        self.conversions += cell.conversions_micro as f64 / 1e6;
        self.value_micros += cell.value_micros as f64;
        self.value_squares += cell.value_squares as f64 * 1e6;
        self.capped_micros += i128::from(cell.capped_micros.max(0));
        self.capped_times_cap += if cell.capped_micros > 0 { i128::from(cell.capped_times_cap) } else { 0 };
        self.begun_ago_ms = self.begun_ago_ms.max(cell.begun_ago_ms);
    }
}

/// The spend-weighted mean of the caps that were in force.
fn mean_cap(sums: &Sums) -> Result<LogBid, Hold> {
    let scaled = sums.capped_times_cap.checked_mul(NAT as i128).ok_or(Hold::NotFinite)?;
    arithmetic::ratio(scaled, sums.capped_micros).ok_or(Hold::EmptyDenominator)
}

/// With a budget the cap stays near what is bid, so that it is not far away on the day on which it binds.
fn beside_budget(input: &Input, settings: &Settings) -> Option<LogBid> {
    let budget = input.budget_log_bid?;
    let near = log_bid(input.in_force_micros).map_or(budget, |in_force| in_force.min(budget));
    Some(near.saturating_add(half_to_even(settings.above_budget_max * NAT).unwrap_or(0)))
}

/// No click is worth more than a few times what the target pays for it at the rate of campaign and account.
fn beside_account(target: &dyn Target, sums: &Sums, input: &Input, settings: &Settings) -> Option<LogBid> {
    let prior = settings.prior_conversions;
    let clicks = sums.matured_clicks + prior / input.account_rate.filter(|rate| *rate > 0.0)?;
    let rate = (sums.conversions.max(0.0) + prior) / clicks;
    let most = settings.click_worths_max * target.conversion_worth_micros(sums)? * rate;
    half_to_even(libm::log(most) * NAT).ok()
}

#[cfg(test)]
mod tests;
