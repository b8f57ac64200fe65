//! Why a step of a decision gives no value.
//!
//! A closed set of words: they become metric labels and the "why nothing" of an explanation.

use serde::{Deserialize, Serialize};

/// The reason why a computation yields nothing; nothing downstream then sees a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hold {
    /// A number was infinite, not a number, or beyond its type.
    NotFinite,
    /// A ratio had nothing below the line.
    EmptyDenominator,
    /// The value is below one billable unit of the currency.
    BelowUnit,
    /// The campaign has no budget, or one of zero.
    NoBudget,
    /// Bounds are missing, zero, or the lower is above the upper.
    NoBounds,
    /// No bid between the bounds differs from the one in force.
    BidFixed,
    /// No hour of the day is open.
    DayClosed,
    /// The plan of the day has ended, or its window holds no open time.
    PlanOver,
    /// The budget of the day buys fewer events than pacing by bid needs.
    TinyBudget,
    /// Paused, halted or on hold: the loop is frozen and does not wind up.
    Frozen,
    /// Not one event of the campaign and no known cost of its neighbours.
    NoCost,
    /// The instant is before the last evaluation, or on it.
    NoTimePassed,
    /// Conversions are claimed, but none is credited to a click.
    NoCredits,
}

impl Hold {
    /// The word for labels and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Hold::NotFinite => "not_finite",
            Hold::EmptyDenominator => "empty_denominator",
            Hold::BelowUnit => "below_unit",
            Hold::NoBudget => "no_budget",
            Hold::NoBounds => "no_bounds",
            Hold::BidFixed => "bid_fixed",
            Hold::DayClosed => "day_closed",
            Hold::PlanOver => "plan_over",
            Hold::TinyBudget => "tiny_budget",
            Hold::Frozen => "frozen",
            Hold::NoCost => "no_cost",
            Hold::NoTimePassed => "no_time_passed",
            Hold::NoCredits => "no_credits",
        }
    }
}
