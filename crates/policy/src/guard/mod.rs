//! The only way out: takes a proposal and lets it pass, shrinks it, holds it, or hands it to a person (section 12).
//!
//! What always holds, for any input: an emitted value lies within its bounds and limits (never finer than one billable
//! unit), is rounded down to a unit, and is but for that rounding not further from the value in force than what was
//! proposed; while halted nothing leaves but what the halt itself asks for; nothing that could raise spend leaves on
//! stale data, beyond the account's hourly increases, or with a worst case above the allowance; a second pass changes
//! nothing. A [`GuardedCommand`] can be made by [`check`] alone. Pauses, and decreases by hard stop, runaway or halt, skip
//! cool-down and limits on cuts, nothing else; a person who takes a raise back skips the cool-down.
//!
//! Missing on purpose: anything that would correct a proposal upwards; identities, sequences and time stamps of records,
//! which the ledger gives.

mod breaker;
mod command;
mod factors;
mod rules;
mod worst_case;

pub use breaker::{BreakerCause, BreakerCounts, breaker};
pub use command::{Checked, Edit, Fallback, GuardedCommand, GuardedProposal, ROUNDED_DOWN, WhyProposed};
pub use factors::{FactorView, check_factors};
pub use worst_case::{Silence, WorstCase};

use crate::explain::Reason;
use crate::gates::Freshness;
use crate::pause::Holder;
use crate::pressure::Exposure;
use crate::settings::{Guard as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What a decision wants to send. Values are `f64`, as they come from the loops: the guard is the one that rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// For a move between campaigns: sum of all its deltas.
    pub group_sum_micros: Option<i64>,
    /// A person has approved exactly this.
    pub approved: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// A bid in micros.
    SetBid(f64),
    /// A daily budget in micros.
    SetDailyBudget(f64),
    /// A target cost per conversion in micros.
    SetTargetCpa(f64),
    /// A target return in parts per million: here more is less spend.
    SetTargetRoas(f64),
    /// Factors on the bid by hour; they pass [`check_factors`], not [`check`].
    SetModifierTable,
    /// A factor on the bid of one value of a dimension; it passes [`check_factors`] as a table of one.
    SetModifier,
    /// Stop, on behalf of a holder, until an instant if its cause ends by itself.
    Pause(Holder, Option<Millis>),
    /// Run again: a holder's cause is over and it was the last.
    Resume(Holder),
}

/// How far a campaign lets this program go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mode {
    /// Decisions are recorded and never applicable.
    #[default]
    Observe,
    /// A person decides.
    Approve,
    /// Commands are issued.
    Auto,
}

/// Bounds of one value of one campaign.
#[derive(Clone, Copy, Debug)]
pub struct Limits<'a> {
    /// How far we may go.
    pub mode: Mode,
    /// Never touch.
    pub protected: bool,
    /// Lowest value; without one nothing is sent.
    pub floor: Option<i64>,
    /// Highest value; without one nothing is sent.
    pub ceiling: Option<i64>,
    /// Billable unit.
    pub unit: i64,
    /// Least time between two commands for this value.
    pub cool_down_ms: Millis,
    /// How long a raise lives.
    pub raise_life_ms: Millis,
    /// Usual time from a command to its effect.
    pub apply_ms: Millis,
    /// Numbers of the policy.
    pub settings: &'a Settings,
}

/// What the ledger and the belief say about this value, its campaign and its account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LedgerView {
    /// A halt of any scope covers the campaign.
    pub halted: bool,
    /// Value in force: confirmed, else the specification's.
    pub in_force: Option<i64>,
    /// Value in force an hour ago.
    pub hour_ago: Option<i64>,
    /// Value in force at the local day's start.
    pub at_day_start: Option<i64>,
    /// Value that bought the middle of the day before: to go back there is no rise of the day.
    pub day_before: Option<i64>,
    /// Value with which the platform bid least since the span of r_max began, what the rate was spent with: the lowest bid
    /// or cost target, the highest return target.
    pub mildest_of_rate: Option<i64>,
    /// The specification's value, to which raises fall back.
    pub baseline: Option<i64>,
    /// When the last command for this value was issued.
    pub last_command_ms: Option<Millis>,
    /// How old the data are.
    pub freshness: Freshness,
    /// Increases are held: a gap, a jump of the clock, missing answers, a foreign value, an anomaly.
    pub increases_held: bool,
    /// D1.
    pub day_end_ms: Millis,
    /// E and r_max.
    pub exposure: Exposure,
    /// Usual traffic of a lease that begins now over that of r_max's span.
    pub traffic_of_lease: f64,
    /// The same of the rest of the day.
    pub traffic_of_day: f64,
    /// c: what an event costs in the mean; 0 where nobody knows.
    pub event_micros: i64,
    /// Most that the day may cost, once the command is in force.
    pub day_ceiling_micros: i64,
    /// Most that silence may cost.
    pub allowance_micros: i64,
    /// What week, month and flight leave for a daily budget.
    pub period_left_micros: Option<i64>,
    /// Changes of this value that the last hour has seen, and how many its platform accepts in one; 0 for no bound.
    pub changes_hour: (i64, i64),
    /// Sum of the account's budget increases of the last hour.
    pub account_increases_hour_micros: i64,
    /// Sum of the account's daily budgets.
    pub account_budgets_micros: i64,
    /// What may be added to the budgets of the campaign's pool; none where it is in no pool.
    pub pool_left_micros: Option<i64>,
    /// A runaway has come back: a person has to look.
    pub runaway_latched: bool,
    /// Counts of the account for the breaker.
    pub breaker: BreakerCounts,
}

/// What leaves the guard.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// May be issued.
    Emit(GuardedCommand),
    /// Nothing leaves, and why.
    Hold(GuardHold),
    /// May be recorded or shown to a person, never applied as it is.
    Propose(GuardedProposal),
}

/// Why the guard lets nothing out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Each word says it.
pub enum GuardHold {
    NotFinite,
    NotPositive,
    Halted,
    Breaker,
    Protected,
    NoBounds,
    OutsideBounds,
    NothingInForce,
    NoChange,
    RaiseLimit,
    CutLimit,
    BelowUnit,
    StaleData,
    DeadData,
    IncreasesHeld,
    CeilingReached,
    PeriodSpent,
    AccountIncreases,
    WorstCase,
    Conservation,
    CoolDown,
    ChangeLimit,
}

/// Passes one proposal through all rules, in the order of section 12.
pub fn check(proposal: &Proposal, limits: &Limits<'_>, ledger: &LedgerView, now_ms: Millis) -> Verdict {
    if matches!(proposal.action, Action::SetModifierTable | Action::SetModifier) {
        return Verdict::Hold(GuardHold::NoBounds);
    }
    match rules::pass(proposal, limits, ledger, now_ms) {
        Ok(passed) => command::verdict(passed, proposal, limits, ledger, now_ms),
        Err(why) => Verdict::Hold(why),
    }
}

impl Action {
    /// The contract's word for the command's kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::SetBid(_) => "set_bid",
            Action::SetDailyBudget(_) => "set_daily_budget",
            Action::SetTargetCpa(_) | Action::SetTargetRoas(_) => "set_target",
            Action::SetModifierTable => "set_modifier_table",
            Action::SetModifier => "set_modifier",
            Action::Pause(..) => "pause",
            Action::Resume(_) => "resume",
        }
    }

    /// The value that is asked for, if it is one of a value.
    pub fn value(&self) -> Option<f64> {
        match self {
            Action::SetBid(v) | Action::SetDailyBudget(v) | Action::SetTargetCpa(v) | Action::SetTargetRoas(v) => {
                Some(*v)
            }
            Action::SetModifierTable | Action::SetModifier | Action::Pause(..) | Action::Resume(_) => None,
        }
    }

    /// The same action with another value.
    pub fn with_value(self, value: f64) -> Action {
        match self {
            Action::SetBid(_) => Action::SetBid(value),
            Action::SetDailyBudget(_) => Action::SetDailyBudget(value),
            Action::SetTargetCpa(_) => Action::SetTargetCpa(value),
            Action::SetTargetRoas(_) => Action::SetTargetRoas(value),
            same => same,
        }
    }
}

impl Mode {
    /// The mode of a specification's word; an unknown one is the most careful.
    pub fn parse(word: &str) -> Mode {
        match word {
            "auto" => Mode::Auto,
            "approve" => Mode::Approve,
            _ => Mode::Observe,
        }
    }

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Approve => "approve",
            Mode::Auto => "auto",
        }
    }
}

impl GuardHold {
    /// The word for labels and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            GuardHold::NotFinite => "not_finite",
            GuardHold::NotPositive => "not_positive",
            GuardHold::Halted => "halted",
            GuardHold::Breaker => "breaker",
            GuardHold::Protected => "protected",
            GuardHold::NoBounds => "no_bounds",
            GuardHold::OutsideBounds => "outside_bounds",
            GuardHold::NothingInForce => "nothing_in_force",
            GuardHold::NoChange => "no_change",
            GuardHold::RaiseLimit => "raise_limit",
            GuardHold::CutLimit => "cut_limit",
            GuardHold::BelowUnit => "below_unit",
            GuardHold::StaleData => "stale_data",
            GuardHold::DeadData => "dead_data",
            GuardHold::IncreasesHeld => "increases_held",
            GuardHold::CeilingReached => "ceiling_reached",
            GuardHold::PeriodSpent => "period_spent",
            GuardHold::AccountIncreases => "account_increases",
            GuardHold::WorstCase => "worst_case",
            GuardHold::Conservation => "conservation",
            GuardHold::CoolDown => "cool_down",
            GuardHold::ChangeLimit => "change_limit",
        }
    }

    /// Whether the guard refused something that was asked for in earnest (for the breaker's count of clamps).
    pub fn is_clamp(self) -> bool {
        matches!(
            self,
            GuardHold::NotFinite
                | GuardHold::NotPositive
                | GuardHold::OutsideBounds
                | GuardHold::RaiseLimit
                | GuardHold::CutLimit
                | GuardHold::Conservation
        )
    }
}

#[cfg(test)]
mod tests;
