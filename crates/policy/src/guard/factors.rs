//! Factors on a bid, by the rules of the bid itself: no hour's bid leaves the campaign's bounds or moves further at once
//! than it may.
//!
//! The order is that of [`super::rules`]. What always holds: an emitted factor is within the policy's bounds, times the bid
//! in force not above the campaign's highest bid, a whole hundredth, and not further from the one in force than what was
//! proposed.

use super::command::{self, Edit};
use super::rules::{Draft, cool_down, fresh, grown, halted, held_account, money_of};
use super::{Action, GuardHold, LedgerView, Limits, Proposal, Verdict};
use crate::arithmetic::half_to_even;
use crate::settings::{Millis, Modifiers};
use model::WHOLE_PPM;

/// What the factors are and were, beside the ledger's view of the bid.
#[derive(Clone, Copy, Debug)]
pub struct FactorView<'a> {
    /// Factors that are wanted, one for each hour; of a value one.
    pub wanted: &'a [f64],
    /// Factors in force, parts per million; none are all 1.
    pub in_force: &'a [i64],
    /// Factors that were in force until their lease ended: to come back to them is no new height. Empty for none.
    pub known: &'a [i64],
    /// What the factors were for is over, as a weather is: they go back in one step.
    pub is_over: bool,
    /// Numbers of the policy.
    pub settings: &'a Modifiers,
}

/// Passes a table of factors through the rules. `limits` are those of the bid, `ledger.in_force` is the bid in force and
/// `ledger.last_command_ms` the instant of the last table.
pub fn check_factors(
    proposal: &Proposal,
    view: &FactorView<'_>,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    now_ms: Millis,
) -> Verdict {
    match pass(proposal, view, limits, ledger, now_ms) {
        Ok(draft) => command::verdict(draft, proposal, limits, ledger, now_ms),
        Err(why) => Verdict::Hold(why),
    }
}

fn pass(
    proposal: &Proposal,
    view: &FactorView<'_>,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    now_ms: Millis,
) -> Result<Draft, GuardHold> {
    halted(proposal, ledger, false)?;
    held_account(limits, ledger, false)?;
    let is_of_a_value = proposal.action == Action::SetModifier;
    if is_of_a_value && view.wanted.len() != 1 || !is_of_a_value && !TABLES.contains(&view.wanted.len()) {
        return Err(GuardHold::NoBounds);
    }
    let bid = ledger.in_force.filter(|bid| *bid > 0).ok_or(GuardHold::NothingInForce)?;
    let ceiling = limits.ceiling.filter(|ceiling| *ceiling > 0).ok_or(GuardHold::NoBounds)?;
    let highest = saturated(i128::from(ceiling) * i128::from(WHOLE_PPM) / i128::from(bid));
    let mut draft = Draft::default();
    let mut growth = 1.0_f64;
    for (hour, wanted) in view.wanted.iter().enumerate() {
        let before = of_hour(view.in_force, hour, view.wanted.len());
        let is_known = !view.known.is_empty();
        let known = if is_known { before.max(of_hour(view.known, hour, view.wanted.len())) } else { before };
        let factor = bounded(*wanted, (before, known), highest, view, limits, &mut draft)?;
        growth = growth.max(factor as f64 / before.max(1) as f64);
        draft.factors.push(factor);
    }
    let changes = |(hour, factor): (usize, &i64)| *factor != of_hour(view.in_force, hour, view.wanted.len());
    if !draft.factors.iter().enumerate().any(changes) {
        return Err(GuardHold::NoChange);
    }
    draft.raises_spend = growth > 1.0;
    fresh(&draft, ledger, false)?;
    let growth = growth * grown(ledger.mildest_of_rate, ledger.in_force, false);
    money_of(&mut draft, growth, limits, ledger, now_ms)?;
    cool_down(limits, ledger, false, now_ms)?;
    Ok(draft)
}

/// Hours of a day, or of a week.
const TABLES: [usize; 2] = [24, 168];
/// A hundredth is the finest factor that all platforms take.
const UNIT_PPM: i64 = 10_000;

/// The factor of an hour in a table that may be of a day while the other is of a week.
fn of_hour(table: &[i64], hour: usize, hours: usize) -> i64 {
    let at = if table.len() < hours { hour % table.len().max(1) } else { hour };
    *table.get(at).unwrap_or(&WHOLE_PPM)
}

fn bounded(
    wanted: f64,
    (before, known): (i64, i64),
    highest: i64,
    view: &FactorView<'_>,
    limits: &Limits<'_>,
    draft: &mut Draft,
) -> Result<i64, GuardHold> {
    let ppm = |factor: f64| half_to_even(factor * WHOLE_PPM as f64).map_err(|_| GuardHold::NotFinite);
    let mut factor = ppm(wanted)?;
    let settings = view.settings;
    let (least, most) = (ppm(settings.product_least)?.max(UNIT_PPM), ppm(settings.product_most)?.min(highest));
    for (limit, edit, over) in [(least, Edit::Floor, false), (most, Edit::Ceiling, true)] {
        if (over && factor > limit) || (!over && factor < limit) {
            factor = limit;
            draft.edited(edit);
        }
    }
    let (up, down) = (limits.settings.modifier_step_up, limits.settings.modifier_step_down);
    let (high, low) =
        (ppm(known as f64 / WHOLE_PPM as f64 * (1.0 + up))?, ppm(before as f64 / WHOLE_PPM as f64 * (1.0 - down))?);
    if factor > before && factor > high {
        factor = high.max(before);
        draft.edited(Edit::StepUp);
    } else if factor < before && factor < low && before <= most && !view.is_over {
        factor = low.min(before);
        draft.edited(Edit::StepDown);
    }
    // Rounding never turns a rise into a fall, nor a fall into a hold of nothing.
    let whole = factor / UNIT_PPM * UNIT_PPM;
    Ok(if factor >= before && whole < before { before.min(factor) } else { whole.max(UNIT_PPM) })
}

fn saturated(x: i128) -> i64 {
    x.clamp(0, i128::from(i64::MAX)) as i64
}
