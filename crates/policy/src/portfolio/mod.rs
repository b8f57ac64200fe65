//! How much of a pool's daily money each of its campaigns gets tomorrow (section 8).
//!
//! Where bids are ours, no curve is needed: the last event that a campaign buys costs about its bid, so one more unit of
//! money returns what an event is worth over the bid ([`ln_return`]), and money moves from where it returns less to where
//! it returns more ([`moves`]). Where bids are a platform's ([`platform`]), curves are learned ([`response`]) and only proposed,
//! as is what nobody spends ([`idle_moves`]). Small shifts that tell the curves apart come from [`explore`].
//!
//! What always holds, for any input: the moves sum to exactly 0, are whole steps, leave every campaign between its floor
//! and its ceiling (or where it was), and none is larger than its limit; a pool of one moves nothing. The same input gives
//! the same bytes.
//!
//! Missing on purpose: auctions in which the winner pays its own bid (the return of the last unit is then lower by
//! (eps - 1)/eps, and no eps is learned from moves of ours), money between currencies.

pub mod explore;
pub mod platform;
pub mod response;

use crate::settings::Portfolio as Settings;
use libm::{exp, floor, log};
use serde::{Deserialize, Serialize};

/// One campaign of a pool, as the split sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Member {
    /// Daily budget that the pool has given it.
    pub budget_micros: i64,
    /// It is not lowered below this.
    pub floor_micros: i64,
    /// It is not raised above this.
    pub ceiling_micros: i64,
    /// Most that one night may move.
    pub move_max_micros: i64,
    /// It would spend more.
    pub may_take: bool,
    /// Logarithm of the value of one more unit of money; not finite where it is unknown, and then it is left alone.
    pub ln_return: f64,
}

/// Why a pool's budgets stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stays {
    /// Fewer than two campaigns have shown enough.
    Alone,
    /// Returns are as good as equal.
    Balanced,
    /// Nobody who returns more could spend more, or nobody who returns less could do with less.
    NoTaker,
    /// What would move is less than a step.
    BelowStep,
    /// The proven gain is too small, or not proven.
    NoGain,
    /// No gain is proven, and shifts that explore would tell too little to prove one.
    TooLittleToLearn,
    /// Tracking is broken, or some other anomaly hides what money returns.
    Anomaly,
    /// A person's value, an unanswered command or a halt stands in the way of some campaign.
    Unsettled,
}

impl Stays {
    /// The closed word of "why nothing".
    pub fn as_str(self) -> &'static str {
        match self {
            Stays::Alone => "pool_of_one",
            Stays::Balanced => "returns_alike",
            Stays::NoTaker => "no_taker",
            Stays::BelowStep => "below_step",
            Stays::NoGain => "gain_not_proven",
            Stays::TooLittleToLearn => "too_little_to_learn",
            Stays::Anomaly => "anomaly",
            Stays::Unsettled => "unsettled",
        }
    }
}

/// What is known of a campaign's events, for its return.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Billable events, each counted as far as its conversions have become visible.
    pub matured_events: f64,
    /// What they brought: conversions, or value in any unit.
    pub worth: f64,
    /// Mean logarithm of the bid of the last days, weighted by spend.
    pub ln_bid: f64,
}

/// Logarithm of the value of one more unit of money for each campaign: worth of an event, with one conversion's worth at the
/// pool's rate added to each, over its bid. Not finite where nothing is known.
pub fn ln_return(members: &[Evidence], worth_of_conversion: f64) -> Vec<f64> {
    let (events, worth) = members.iter().fold((0.0, 0.0), |sum, of| (sum.0 + of.matured_events, sum.1 + of.worth));
    let rate = worth / events;
    let prior_events = worth_of_conversion / rate;
    let of = |member: &Evidence| {
        let per_event = (member.worth + worth_of_conversion) / (member.matured_events + prior_events);
        log(per_event) - member.ln_bid
    };
    members.iter().map(of).collect()
}

/// What each campaign's budget changes by tomorrow. `step` divides all of them.
pub fn moves(members: &[Member], step_micros: i64, settings: &Settings) -> Result<Vec<i64>, Stays> {
    let active = active(members);
    let part = || members.iter().zip(&active).filter(|(_, active)| **active).map(|(member, _)| member);
    if part().count() < 2 {
        return Err(if members.iter().filter(|member| is_known(member)).count() < 2 {
            Stays::Alone
        } else {
            Stays::NoTaker
        });
    }
    let bounds = part().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), member| {
        (low.min(member.ln_return), high.max(member.ln_return))
    });
    if bounds.1 - bounds.0 < settings.hold_ln_return {
        return Err(Stays::Balanced);
    }
    let wanted: Vec<f64> =
        by_return(members, &active).iter().zip(members).map(|(to, of)| to - of.budget_micros as f64).collect();
    settle(members, &wanted, step_micros, settings)
}

/// What each campaign's budget changes by where some have money that they never spend: `idle` of each goes to those that would
/// spend more, by budget and what a unit returns there.
pub fn idle_moves(
    members: &[Member],
    idle_micros: &[i64],
    step_micros: i64,
    settings: &Settings,
) -> Result<Vec<i64>, Stays> {
    let takes = |member: &&Member| member.may_take && is_known(member);
    let mean = {
        let logs = members.iter().filter(takes).map(|member| member.ln_return);
        logs.clone().sum::<f64>() / logs.count() as f64
    };
    let weight = |member: &Member| member.budget_micros as f64 * exp((member.ln_return - mean).clamp(-LN_MAX, LN_MAX));
    let weights = members.iter().filter(takes).map(weight).sum::<f64>();
    let idle = idle_micros.iter().map(|idle| (*idle).max(0) as f64).sum::<f64>();
    let wanted = |(member, own): (&Member, &i64)| {
        if *own > 0 {
            -(*own as f64)
        } else if takes(&member) {
            weight(member) / weights * idle
        } else {
            0.0
        }
    };
    let wanted: Vec<f64> = members.iter().zip(idle_micros).map(wanted).collect();
    settle(members, &wanted, step_micros, settings)
}

fn is_known(member: &Member) -> bool {
    member.ln_return.is_finite() && member.budget_micros > 0
}

/// Whose budgets the split is about: known returns, without those that return more than the others and would not spend
/// more: they would raise the mean above everybody who could.
fn active(members: &[Member]) -> Vec<bool> {
    let mut active: Vec<bool> = members.iter().map(is_known).collect();
    loop {
        let wanted = by_return(members, &active);
        let mut changed = false;
        for ((member, to), active) in members.iter().zip(&wanted).zip(&mut active) {
            if *active && !member.may_take && *to > member.budget_micros as f64 {
                (*active, changed) = (false, true);
            }
        }
        if !changed {
            return active;
        }
    }
}

/// Budgets in proportion to budget times return; those that are not active keep theirs.
fn by_return(members: &[Member], active: &[bool]) -> Vec<f64> {
    let part = || members.iter().zip(active).filter(|(_, active)| **active).map(|(member, _)| member);
    let of = |value: &dyn Fn(&Member) -> f64| part().map(value).sum::<f64>();
    let budget = of(&|member| member.budget_micros as f64);
    let mean = of(&|member| member.budget_micros as f64 * member.ln_return) / budget;
    let raw = |member: &Member| member.budget_micros as f64 * exp((member.ln_return - mean).clamp(-LN_MAX, LN_MAX));
    let scale = budget / of(&raw);
    let each = members.iter().zip(active);
    each.map(|(member, active)| if *active { raw(member) * scale } else { member.budget_micros as f64 }).collect()
}

/// Far beyond what one night may move, and far from what overflows.
const LN_MAX: f64 = 20.0;

/// Wanted changes, bounded, both sides scaled to the smaller one, in whole steps that sum to nothing.
pub fn settle(members: &[Member], wanted: &[f64], step_micros: i64, settings: &Settings) -> Result<Vec<i64>, Stays> {
    let step = step_micros.max(1);
    let sides: Vec<(f64, i64)> =
        members.iter().zip(wanted).map(|(member, wanted)| bounded(member, *wanted, step)).collect();
    let pool = members.iter().map(|member| member.budget_micros.max(0) as f64).sum::<f64>();
    let side = |sign: f64| sides.iter().map(|(wanted, _)| (wanted * sign).max(0.0)).sum::<f64>();
    let (given, taken) = (side(-1.0), side(1.0));
    let moved = given.min(taken).min(pool * settings.pool_share_max);
    if given <= 0.0 || taken <= 0.0 || !moved.is_finite() {
        return Err(Stays::NoTaker);
    }
    let mut steps = floor(moved / step as f64) as i64;
    let share = |sign: f64, sum: f64| -> Vec<(f64, i64)> {
        sides
            .iter()
            .map(|(wanted, cap)| ((wanted * sign).max(0.0) / sum, if wanted * sign > 0.0 { *cap } else { 0 }))
            .collect()
    };
    let (givers, takers) = (share(-1.0, given), share(1.0, taken));
    let room = |side: &[(f64, i64)]| side.iter().fold(0_i64, |sum, (_, cap)| sum.saturating_add(*cap));
    steps = steps.min(room(&givers)).min(room(&takers));
    if steps <= 0 {
        return Err(Stays::BelowStep);
    }
    let (less, more) = (largest_remainder(&givers, steps), largest_remainder(&takers, steps));
    // Each cap times the step came from an i64 amount, so neither product nor difference can overflow.
    Ok(more.iter().zip(&less).map(|(more, less)| (more - less) * step).collect())
}

/// A wanted change within the campaign's bounds, and its limit in whole steps.
fn bounded(member: &Member, wanted: f64, step: i64) -> (f64, i64) {
    if !wanted.is_finite() || member.budget_micros <= 0 {
        return (0.0, 0);
    }
    let room = if wanted > 0.0 {
        if member.may_take { member.ceiling_micros.saturating_sub(member.budget_micros) } else { 0 }
    } else {
        member.budget_micros.saturating_sub(member.floor_micros.max(step))
    };
    let cap = room.min(member.move_max_micros).max(0) / step;
    let most = cap as f64 * step as f64;
    (wanted.clamp(-most, most), cap)
}

/// `steps` shared out by weight, none above its cap; what rounding leaves goes by the largest remainder, ties by place.
/// The caps hold at least `steps` together.
fn largest_remainder(side: &[(f64, i64)], steps: i64) -> Vec<i64> {
    let exact: Vec<f64> = side.iter().map(|(share, _)| share * steps as f64).collect();
    let mut shares: Vec<i64> =
        exact.iter().zip(side).map(|(exact, (_, cap))| (floor(*exact) as i64).clamp(0, *cap)).collect();
    let mut left = steps - shares.iter().fold(0_i64, |sum, share| sum.saturating_add(*share));
    let mut order: Vec<usize> = (0..side.len()).filter(|at| side[*at].1 > 0).collect();
    order.sort_by(|one, other| {
        let rest = |at: &usize| exact[*at] - shares[*at] as f64;
        rest(other).total_cmp(&rest(one)).then(one.cmp(other))
    });
    // Floating sums can be a little too high, or leave more than one step each: bounded passes settle both.
    while left != 0 {
        let before = left;
        for at in &order {
            let more = left.signum();
            let fits = if more > 0 { shares[*at] < side[*at].1 } else { shares[*at] > 0 };
            if more != 0 && fits {
                let each =
                    if left.abs() > order.len() as i64 { spread(left, &shares, side, *at, order.len()) } else { more };
                shares[*at] += each;
                left -= each;
            }
        }
        if left == before {
            break;
        }
    }
    shares
}

/// A part of a large rest: as much of an equal share as fits.
fn spread(left: i64, shares: &[i64], side: &[(f64, i64)], at: usize, count: usize) -> i64 {
    let each = (left / count.max(1) as i64).max(left.signum()).max(-shares[at]);
    if left > 0 { each.min(side[at].1 - shares[at]) } else { (left / count.max(1) as i64).min(-1).max(-shares[at]) }
}

/// Smallest amount that is a whole number of steps of every campaign; `None` where it would be larger than any budget of
/// sense.
pub fn common_step(steps_micros: impl IntoIterator<Item = i64>) -> Option<i64> {
    steps_micros.into_iter().try_fold(1_i64, |common, step| {
        let step = step.max(1);
        let (mut a, mut b) = (common, step);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        (common / a).checked_mul(step).filter(|common| *common <= COMMON_STEP_MAX)
    })
}

/// A thousand units of a currency.
const COMMON_STEP_MAX: i64 = 1_000 * model::UNIT_MICROS;

/// A missing sum goes back to those that are below their own: in proportion, whole micros, never beyond what each lacks.
pub fn give_back(lacking_micros: &[i64], sum_micros: i64) -> Vec<i64> {
    let lacking: i128 = lacking_micros.iter().map(|lack| i128::from((*lack).max(0))).sum();
    let sum = i128::from(sum_micros.max(0)).min(lacking);
    let mut left = sum;
    let mut shares: Vec<i64> = lacking_micros
        .iter()
        .map(|lack| {
            let share = if lacking > 0 { i128::from((*lack).max(0)) * sum / lacking } else { 0 };
            left -= share;
            share as i64
        })
        .collect();
    for (share, lack) in shares.iter_mut().zip(lacking_micros) {
        // Rounding leaves less than one micro each.
        let more = left.min(i128::from((*lack).max(0).saturating_sub(*share))).clamp(0, 1);
        *share += more as i64;
        left -= more;
    }
    shares
}

#[cfg(test)]
mod tests;
