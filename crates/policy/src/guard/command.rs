//! What leaves the guard: fields are private, so that nothing else can make it.

use super::rules::Draft;
use super::{Action, LedgerView, Limits, Mode, Proposal, Verdict};
use crate::explain::Reason;
use crate::pause::Holder;
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

/// A command that may be issued.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardedCommand(Checked);

/// A decision that may be recorded or shown to a person.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardedProposal {
    checked: Checked,
    why: WhyProposed,
    decide_by_ms: Millis,
}

/// The parts that both have.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    kind: &'static str,
    value: Option<i64>,
    factors: Vec<i64>,
    is_ppm: bool,
    holder: Option<Holder>,
    reason: Reason,
    raises_spend: bool,
    issued_at_ms: Millis,
    expires_at_ms: Millis,
    lease_until_ms: Option<Millis>,
    fallback: Option<Fallback>,
    worst_case_micros: i64,
    lease_spend_micros: Option<i64>,
    edits: Vec<Edit>,
}

/// What holds from the end of a raise's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// min(previous, baseline).
    pub value: i64,
    /// From when.
    pub when_ms: Millis,
}

/// Why it is a proposal and no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WhyProposed {
    /// The campaign is only observed.
    ObserveMode,
    /// A person decides everything about the campaign.
    ApproveMode,
    /// The budget moves far.
    LargeBudgetMove,
    /// A target of the platform's own bidding.
    SetTarget,
    /// A runaway has come back.
    RunawayLatched,
    /// The move of an underperformer.
    Underperformer,
}

/// What the guard changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Each word says it.
pub enum Edit {
    Floor,
    Ceiling,
    StepUp,
    StepDown,
    HourUp,
    HourDown,
    DayUp,
    DayDown,
    Period,
    AccountIncreases,
    RoundedDown,
}

/// Approval, mode and expiry: the last rules, which decide by which door a draft leaves.
pub(super) fn verdict(
    draft: Draft,
    proposal: &Proposal,
    limits: &Limits<'_>,
    ledger: &LedgerView,
    now_ms: Millis,
) -> Verdict {
    let why = why_proposed(&draft, proposal, limits, ledger);
    let checked = checked(draft, proposal, limits, ledger, now_ms);
    match why {
        None => Verdict::Emit(GuardedCommand(checked)),
        Some(why) => {
            let decide_by_ms = now_ms.saturating_add(limits.settings.decide_within_ms);
            Verdict::Propose(GuardedProposal { checked, why, decide_by_ms })
        }
    }
}

fn why_proposed(draft: &Draft, proposal: &Proposal, limits: &Limits<'_>, ledger: &LedgerView) -> Option<WhyProposed> {
    if limits.mode == Mode::Observe {
        return Some(WhyProposed::ObserveMode);
    }
    if proposal.approved {
        return None;
    }
    match proposal.action {
        Action::SetTargetCpa(_) | Action::SetTargetRoas(_) => Some(WhyProposed::SetTarget),
        Action::SetDailyBudget(_) if is_large(draft, limits, ledger) => Some(WhyProposed::LargeBudgetMove),
        Action::Resume(Holder::Runaway) if ledger.runaway_latched => Some(WhyProposed::RunawayLatched),
        Action::Pause(Holder::Underperformer, _) => Some(WhyProposed::Underperformer),
        _ => (limits.mode == Mode::Approve).then_some(WhyProposed::ApproveMode),
    }
}

fn is_large(draft: &Draft, limits: &Limits<'_>, ledger: &LedgerView) -> bool {
    let (Some(value), Some(in_force)) = (draft.value, ledger.in_force) else { return true };
    let moved = value.abs_diff(in_force);
    let share = super::worst_case::share_of(in_force, limits.settings.approval_budget_share);
    let units = limits.settings.approval_budget_units.saturating_mul(model::UNIT_MICROS);
    moved > share.unsigned_abs() || moved > units.unsigned_abs()
}

fn checked(draft: Draft, proposal: &Proposal, limits: &Limits<'_>, ledger: &LedgerView, now_ms: Millis) -> Checked {
    let (holder, until_ms) = match proposal.action {
        Action::Pause(holder, until_ms) => (Some(holder), until_ms),
        Action::Resume(holder) => (Some(holder), None),
        _ => (None, None),
    };
    let life_end_ms = now_ms.saturating_add(limits.raise_life_ms.max(0));
    let cut_end_ms = now_ms.saturating_add(limits.settings.cut_expires_ms);
    let leased = draft.is_leased();
    // Factors fall back to those in force before, which no single value can say.
    let fallback = match (leased && draft.value.is_some(), ledger.in_force) {
        (true, Some(in_force)) => {
            Some(Fallback { value: harmless(proposal, in_force, ledger.baseline), when_ms: life_end_ms })
        }
        _ => None,
    };
    Checked {
        kind: proposal.action.kind(),
        value: draft.value,
        factors: draft.factors,
        is_ppm: matches!(proposal.action, Action::SetTargetRoas(_)),
        holder,
        reason: proposal.reason,
        raises_spend: draft.raises_spend,
        issued_at_ms: now_ms,
        // A raise that arrives late would outlive what it was judged by; a pause until an instant is void after it.
        expires_at_ms: if draft.raises_spend { life_end_ms } else { cut_end_ms.min(until_ms.unwrap_or(cut_end_ms)) },
        lease_until_ms: leased.then_some(life_end_ms),
        fallback,
        worst_case_micros: draft.worst_case_micros,
        lease_spend_micros: draft.lease_spend_micros,
        edits: draft.edits,
    }
}

/// The value that spends less: of a return target the higher, else the lower of what was and what the specification says.
fn harmless(proposal: &Proposal, in_force: i64, baseline: Option<i64>) -> i64 {
    let baseline = baseline.filter(|value| *value > 0).unwrap_or(in_force);
    if matches!(proposal.action, Action::SetTargetRoas(_)) { in_force.max(baseline) } else { in_force.min(baseline) }
}

impl GuardedCommand {
    /// What it says.
    pub fn checked(&self) -> &Checked {
        &self.0
    }
}

impl GuardedProposal {
    /// What it would say.
    pub fn checked(&self) -> &Checked {
        &self.checked
    }

    /// Why it is no command.
    pub fn why(&self) -> WhyProposed {
        self.why
    }

    /// Unanswered, it expires then.
    pub fn decide_by_ms(&self) -> Millis {
        self.decide_by_ms
    }
}

impl Checked {
    /// The contract's word: set_bid, set_modifier_table, set_daily_budget, set_target, pause, resume.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The value in micros, if it is one of money.
    pub fn value_micros(&self) -> Option<i64> {
        self.value.filter(|_| !self.is_ppm)
    }

    /// The value in parts per million, if it is a ratio.
    pub fn value_ppm(&self) -> Option<i64> {
        self.value.filter(|_| self.is_ppm)
    }

    /// Factors in parts per million, empty for every other kind.
    pub fn factors(&self) -> &[i64] {
        &self.factors
    }

    /// Whose pause it is, or was.
    pub fn holder(&self) -> Option<Holder> {
        self.holder
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether more money can flow through it.
    pub fn raises_spend(&self) -> bool {
        self.raises_spend
    }

    /// T.
    pub fn issued_at_ms(&self) -> Millis {
        self.issued_at_ms
    }

    /// Last instant to apply it.
    pub fn expires_at_ms(&self) -> Millis {
        self.expires_at_ms
    }

    /// End of a raise's life unless it is affirmed; none for what stays.
    pub fn lease_until_ms(&self) -> Option<Millis> {
        self.lease_until_ms
    }

    /// What holds from then.
    pub fn fallback(&self) -> Option<Fallback> {
        self.fallback
    }

    /// Spend that silence from now on could still cause today.
    pub fn worst_case_micros(&self) -> i64 {
        self.worst_case_micros
    }

    /// Of a raise that ends: what it may spend until then, by the fastest rate seen. By this it was let out.
    pub fn lease_spend_micros(&self) -> Option<i64> {
        self.lease_spend_micros
    }

    /// What the guard changed.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// The same as words.
    pub fn edit_words(&self) -> Vec<String> {
        self.edits.iter().map(|edit| edit.as_str().to_owned()).collect()
    }

    /// Whether a limit was hit (rounding is none), for the breaker's count.
    pub fn was_clamped(&self) -> bool {
        self.edits.iter().any(|edit| *edit != Edit::RoundedDown)
    }
}

/// The word of an edit that only rounded to a billable unit.
pub const ROUNDED_DOWN: &str = "rounded_down";

impl WhyProposed {
    /// The word for labels and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            WhyProposed::ObserveMode => "observe_mode",
            WhyProposed::ApproveMode => "approve_mode",
            WhyProposed::LargeBudgetMove => "large_budget_move",
            WhyProposed::SetTarget => "set_target",
            WhyProposed::RunawayLatched => "runaway_latched",
            WhyProposed::Underperformer => "underperformer",
        }
    }
}

impl Edit {
    /// The word of the explanation.
    pub fn as_str(self) -> &'static str {
        match self {
            Edit::Floor => "floor",
            Edit::Ceiling => "ceiling",
            Edit::StepUp => "step_up",
            Edit::StepDown => "step_down",
            Edit::HourUp => "hour_up",
            Edit::HourDown => "hour_down",
            Edit::DayUp => "day_up",
            Edit::DayDown => "day_down",
            Edit::Period => "period",
            Edit::AccountIncreases => "account_increases",
            Edit::RoundedDown => ROUNDED_DOWN,
        }
    }
}
