//! The rules in their order. Each may shrink the draft or hold it, none may enlarge it.

use super::command::Edit;
use super::worst_case::share_of;
use super::{Action, GuardHold, LedgerView, Limits, Proposal, Silence, WorstCase, breaker};
use crate::arithmetic::{half_to_even, round_down};
use crate::gates::Freshness;
use crate::pause::Holder;
use crate::settings::{Guard as Settings, Millis};

/// A proposal on its way through the rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Draft {
    /// The value as it stands now; none for pause and resume.
    pub(super) value: Option<i64>,
    /// Factors in parts per million; empty where the command is none of factors.
    pub(super) factors: Vec<i64>,
    pub(super) edits: Vec<Edit>,
    pub(super) raises_spend: bool,
    pub(super) worst_case_micros: i64,
    pub(super) lease_spend_micros: Option<i64>,
}

pub(super) fn pass(
    proposal: &Proposal,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    now_ms: Millis,
) -> Result<Draft, GuardHold> {
    let asked = finite(&proposal.action)?;
    let raises_spend = raises_spend(proposal, asked.map(|asked| bounded(asked, limits)), ledger);
    let mut draft = Draft { value: asked, raises_spend, ..Draft::default() };
    let emergency = proposal.reason.is_emergency() && !draft.raises_spend;
    halted(proposal, ledger, emergency)?;
    held_account(limits, ledger, emergency)?;
    if let Some(asked) = asked {
        let in_force = ledger.in_force.filter(|value| *value > 0).ok_or(GuardHold::NothingInForce)?;
        bounds(&mut draft, asked, limits)?;
        steps(&mut draft, in_force, proposal, limits, ledger, emergency)?;
        period(&mut draft, in_force, proposal, ledger)?;
        account(&mut draft, in_force, proposal, limits, ledger)?;
        whole_units(&mut draft, in_force, limits)?;
    }
    // The end of a flight is a matter of the clock: no data could say otherwise.
    let by_clock = matches!(proposal.action, Action::Pause(Holder::Flight, _));
    fresh(&draft, ledger, emergency || by_clock)?;
    money(&mut draft, proposal, limits, ledger, now_ms)?;
    conservation(&draft, proposal, ledger)?;
    // Who takes a raise back does not wait: the cool-down spares the platform our own changes of mind, not a person's.
    let taken_back = proposal.reason == crate::explain::Reason::Undo && !draft.raises_spend;
    let skips = emergency || taken_back || matches!(proposal.action, Action::Pause(..));
    cool_down(limits, ledger, skips, now_ms)?;
    changes(&draft, ledger)?;
    Ok(draft)
}

/// Finite, positive, and a whole number of micros.
fn finite(action: &Action) -> Result<Option<i64>, GuardHold> {
    let Some(value) = action.value() else { return Ok(None) };
    let micros = half_to_even(value).map_err(|_| GuardHold::NotFinite)?;
    if micros > 0 { Ok(Some(micros)) } else { Err(GuardHold::NotPositive) }
}

/// The bounds decide on which side of the value in force a proposal ends; the later rules stay on that side.
fn bounded(asked: i64, limits: &Limits<'_>) -> i64 {
    match (limits.floor, limits.ceiling) {
        (Some(floor), Some(ceiling)) if floor <= ceiling => asked.clamp(floor, ceiling),
        _ => asked,
    }
}

/// A resume always does; a value does on the side where more money flows. Unknown means yes.
fn raises_spend(proposal: &Proposal, asked: Option<i64>, ledger: &LedgerView) -> bool {
    match (proposal.action, asked, ledger.in_force) {
        (Action::Pause(..), ..) => false,
        (Action::Resume(_), ..) => true,
        (Action::SetTargetRoas(_), Some(asked), Some(in_force)) => asked < in_force,
        (_, Some(asked), Some(in_force)) => asked > in_force,
        _ => true,
    }
}

pub(super) fn halted(proposal: &Proposal, ledger: &LedgerView, emergency: bool) -> Result<(), GuardHold> {
    let by_the_halt = emergency && proposal.reason == crate::explain::Reason::Halt;
    if ledger.halted && !by_the_halt { Err(GuardHold::Halted) } else { Ok(()) }
}

pub(super) fn held_account(limits: &Limits<'_>, ledger: &LedgerView, emergency: bool) -> Result<(), GuardHold> {
    if limits.protected {
        Err(GuardHold::Protected)
    } else if !emergency && breaker(&ledger.breaker, limits.settings).is_some() {
        Err(GuardHold::Breaker)
    } else {
        Ok(())
    }
}

fn bounds(draft: &mut Draft, asked: i64, limits: &Limits<'_>) -> Result<(), GuardHold> {
    let (Some(floor), Some(ceiling)) = (limits.floor, limits.ceiling) else { return Err(GuardHold::NoBounds) };
    if floor <= 0 || ceiling < floor {
        return Err(GuardHold::NoBounds);
    }
    if asked < floor {
        draft.set(floor, Edit::Floor);
    } else if asked > ceiling {
        draft.set(ceiling, Edit::Ceiling);
    }
    Ok(())
}

/// Step, hour and day limits: a rise stops at the lowest of its three limits, a cut at the highest; never finer than one
/// unit, or a bid of three cents could not move at all. A value beyond a bound comes back to it whatever the limits say,
/// if that lowers it; if it would have to rise too far, it is held.
fn steps(
    draft: &mut Draft,
    in_force: i64,
    proposal: &Proposal,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    emergency: bool,
) -> Result<(), GuardHold> {
    let value = draft.value.unwrap_or(in_force);
    let bases = [in_force, ledger.hour_ago.unwrap_or(in_force), ledger.at_day_start.unwrap_or(in_force)];
    let usual = bases[2].max(ledger.day_before.unwrap_or(0));
    let edits = [(Edit::StepUp, Edit::StepDown), (Edit::HourUp, Edit::HourDown), (Edit::DayUp, Edit::DayDown)];
    let shares = shares(&proposal.action, limits.settings);
    let unit = limits.unit.max(1);
    let highs = [bases[0], bases[1], usual];
    for (((base, risen_from), (up_edit, down_edit)), share) in bases.into_iter().zip(highs).zip(edits).zip(shares) {
        let Some((up, down)) = share else { continue };
        let value = draft.value.unwrap_or(in_force);
        let high = risen_from.max(0).saturating_add(share_of(risen_from, up).max(unit));
        let low = base.max(0).saturating_sub(share_of(base, down).max(unit));
        if value > in_force && value > high {
            draft.set(high.max(in_force), up_edit);
        } else if value < in_force && value < low && !emergency {
            draft.set(low.min(in_force), down_edit);
        }
    }
    settle(draft, value, in_force, limits)
}

/// After the limits: still a change, still on the side of the bound that it must be on.
fn settle(draft: &mut Draft, wanted: i64, in_force: i64, limits: &Limits<'_>) -> Result<(), GuardHold> {
    let value = draft.value.unwrap_or(in_force);
    let (floor, ceiling) = (limits.floor.unwrap_or(i64::MAX), limits.ceiling.unwrap_or(0));
    if value > ceiling {
        draft.set(ceiling, Edit::Ceiling);
    } else if value < floor {
        return Err(GuardHold::OutsideBounds);
    } else if value == in_force && wanted > in_force {
        return Err(GuardHold::RaiseLimit);
    } else if value == in_force && wanted < in_force {
        return Err(GuardHold::CutLimit);
    }
    Ok(())
}

/// Step, hour, day; targets have a step alone.
fn shares(action: &Action, s: &Settings) -> [Option<(f64, f64)>; 3] {
    match action {
        Action::SetBid(_) => [
            Some((s.bid_step_up, s.bid_step_down)),
            Some((s.bid_hour_up, s.bid_hour_down)),
            Some((s.bid_day_up, s.bid_day_down)),
        ],
        Action::SetDailyBudget(_) => {
            [Some((s.budget_step_up, s.budget_step_down)), None, Some((s.budget_day_up, s.budget_day_down))]
        }
        _ => [Some((s.target_step, s.target_step)), None, None],
    }
}

/// A daily budget is not raised above what week, month or flight have left.
fn period(draft: &mut Draft, in_force: i64, proposal: &Proposal, ledger: &LedgerView) -> Result<(), GuardHold> {
    let (Action::SetDailyBudget(_), Some(left)) = (proposal.action, ledger.period_left_micros) else { return Ok(()) };
    let value = draft.value.unwrap_or(in_force);
    if value > in_force && value > left {
        if left <= in_force {
            return Err(GuardHold::PeriodSpent);
        }
        draft.set(left, Edit::Period);
    }
    Ok(())
}

/// Sum of an account's budget increases within an hour.
fn account(
    draft: &mut Draft,
    in_force: i64,
    proposal: &Proposal,
    limits: &Limits<'_>,
    ledger: &LedgerView,
) -> Result<(), GuardHold> {
    let value = draft.value.unwrap_or(in_force);
    if !matches!(proposal.action, Action::SetDailyBudget(_)) || value <= in_force {
        return Ok(());
    }
    let allowed = share_of(ledger.account_budgets_micros, limits.settings.account_increase_share);
    let left = allowed.saturating_sub(ledger.account_increases_hour_micros.max(0)).max(0);
    if left == 0 {
        return Err(GuardHold::AccountIncreases);
    }
    let most = in_force.saturating_add(left);
    if value > most {
        draft.set(most, Edit::AccountIncreases);
    }
    Ok(())
}

/// Rounded down; a rise that is rounded away is no change, a value below the floor or one unit is held.
fn whole_units(draft: &mut Draft, in_force: i64, limits: &Limits<'_>) -> Result<(), GuardHold> {
    let value = draft.value.unwrap_or(in_force);
    let whole = round_down(value, limits.unit).map_err(|_| GuardHold::BelowUnit)?;
    let was_rise = value > in_force;
    if whole == in_force || (was_rise && whole < in_force) {
        return Err(GuardHold::NoChange);
    }
    if limits.floor.is_none_or(|floor| whole < floor) {
        return Err(GuardHold::BelowUnit);
    }
    if whole != value {
        draft.set(whole, Edit::RoundedDown);
    }
    Ok(())
}

pub(super) fn fresh(draft: &Draft, ledger: &LedgerView, emergency: bool) -> Result<(), GuardHold> {
    match ledger.freshness {
        Freshness::Dead if !emergency => Err(GuardHold::DeadData),
        Freshness::Stale if draft.raises_spend => Err(GuardHold::StaleData),
        _ if ledger.increases_held && draft.raises_spend => Err(GuardHold::IncreasesHeld),
        _ => Ok(()),
    }
}

/// Worst case under silence; a raise must find it within the allowance.
fn money(
    draft: &mut Draft,
    proposal: &Proposal,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    now_ms: Millis,
) -> Result<(), GuardHold> {
    let inverse = matches!(proposal.action, Action::SetTargetRoas(_));
    let growth = grown(ledger.in_force, draft.value, inverse) * grown(ledger.mildest_of_rate, ledger.in_force, inverse);
    money_of(draft, growth, limits, ledger, now_ms)
}

/// How many times the bid of one value is that of another; a platform bids twice as much for half the return.
pub(super) fn grown(from: Option<i64>, to: Option<i64>, inverse: bool) -> f64 {
    match (from, to) {
        (Some(from), Some(to)) if inverse && to > 0 => from as f64 / to as f64,
        (Some(from), Some(to)) if !inverse && from > 0 => to as f64 / from as f64,
        _ => 1.0,
    }
}

/// The same for bids that are `growth` times those which the rate was spent with.
pub(super) fn money_of(
    draft: &mut Draft,
    growth: f64,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    now_ms: Millis,
) -> Result<(), GuardHold> {
    let leased = draft.is_leased();
    let until_ms = if leased { now_ms.saturating_add(limits.raise_life_ms.max(0)) } else { ledger.day_end_ms };
    let until_ms = until_ms.min(ledger.day_end_ms.max(now_ms));
    let silence = Silence::of(
        &WorstCase {
            exposure: ledger.exposure,
            day_ceiling_micros: ledger.day_ceiling_micros,
            until_ms,
            now_ms,
            growth,
            traffic: if leased { ledger.traffic_of_lease } else { ledger.traffic_of_day },
            event_micros: ledger.event_micros,
            pause_ms: limits.apply_ms,
        },
        limits.settings,
    );
    draft.worst_case_micros = silence.worst_case_micros;
    draft.lease_spend_micros = leased.then_some(silence.lease_micros);
    if !draft.raises_spend {
        return Ok(());
    }
    if ledger.exposure.exposed_micros() >= ledger.day_ceiling_micros {
        Err(GuardHold::CeilingReached)
    } else if silence.lease_micros > ledger.allowance_micros {
        Err(GuardHold::WorstCase)
    } else {
        Ok(())
    }
}

/// A move between campaigns creates no money, and a part of it that was clamped would.
/// Within a pool no rise may lift the sum of what may be in force.
fn conservation(draft: &Draft, proposal: &Proposal, ledger: &LedgerView) -> Result<(), GuardHold> {
    if let (Action::SetDailyBudget(_), Some(left), Some(value), Some(in_force)) =
        (proposal.action, ledger.pool_left_micros, draft.value, ledger.in_force)
        && value > in_force
        && value.saturating_sub(in_force) > left
    {
        return Err(GuardHold::Conservation);
    }
    match proposal.group_sum_micros {
        Some(sum) if sum != 0 || !draft.edits.is_empty() => Err(GuardHold::Conservation),
        _ => Ok(()),
    }
}

pub(super) fn cool_down(
    limits: &Limits<'_>,
    ledger: &LedgerView,
    skips: bool,
    now_ms: Millis,
) -> Result<(), GuardHold> {
    let too_soon = |last: Millis| limits.cool_down_ms > 0 && now_ms.saturating_sub(last) < limits.cool_down_ms;
    if !skips && ledger.last_command_ms.is_some_and(too_soon) { Err(GuardHold::CoolDown) } else { Ok(()) }
}

/// A platform that is told too much blocks every change for an hour, the needed ones too.
fn changes(draft: &Draft, ledger: &LedgerView) -> Result<(), GuardHold> {
    let (seen, most) = ledger.changes_hour;
    if draft.value.is_some() && most > 0 && seen >= most { Err(GuardHold::ChangeLimit) } else { Ok(()) }
}

impl Draft {
    /// A raise of a value, or of some factor, lives only as long as it is affirmed.
    pub(super) fn is_leased(&self) -> bool {
        self.raises_spend && (self.value.is_some() || !self.factors.is_empty())
    }

    /// Notes what was changed, once.
    pub(super) fn edited(&mut self, edit: Edit) {
        if !self.edits.contains(&edit) {
            self.edits.push(edit);
        }
    }

    fn set(&mut self, value: i64, edit: Edit) {
        self.value = Some(value);
        self.edited(edit);
    }
}
