//! Which of the bids is sent, what binds it, and whether the change is worth a command (section 6).
//!
//! What always holds: the composed bid is not above any of its parts and lies between the campaign's bounds. Missing on
//! purpose: modifiers, which multiply the composed bid at the ad-buying system.

mod min_pacing;

pub use min_pacing::MinPacing;

use crate::arithmetic::{LogBid, NAT, half_to_even};
use crate::hold::Hold;
use crate::settings::Composition as Settings;
use serde::{Deserialize, Serialize};

/// Makes one bid of those that the loops ask for.
pub trait Composition {
    /// The bid and what binds it.
    fn compose(&self, parts: &Parts) -> Result<Composed, Hold>;
}

/// The bids that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// u_B, if the campaign has a budget to pace.
    pub budget_log_bid: Option<LogBid>,
    /// u_T, if the campaign has a target of its own (section 5).
    pub target_log_bid: Option<LogBid>,
    /// spec.bid_min.
    pub bid_min_micros: i64,
    /// The campaign's ceiling ([`bid_ceiling_micros`]).
    pub bid_max_micros: i64,
    /// The budget asks for more and there is nothing to buy, or nothing to see ([`crate::pressure::Block`]).
    pub supply_bound: bool,
}

/// The bid before the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Composed {
    /// u.
    pub log_bid: LogBid,
    /// What it would take to change it.
    pub binding: Binding,
    /// It stands at one of the campaign's bounds.
    pub at_bound: bool,
}

/// What bounds a campaign: it says what money would and would not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Binding {
    /// More budget would be spent.
    Budget,
    /// A looser target would be used.
    Target,
    /// A higher highest bid would be used.
    BidMax,
    /// A lower lowest bid would save.
    BidMin,
    /// There is no more to buy.
    Supply,
    /// Nothing is known.
    #[default]
    None,
}

impl Binding {
    /// The word of the KPI row.
    pub fn as_str(self) -> &'static str {
        match self {
            Binding::Budget => "budget",
            Binding::Target => "target",
            Binding::BidMax => "bid_max",
            Binding::BidMin => "bid_min",
            Binding::Supply => "supply",
            Binding::None => "none",
        }
    }
}

/// The most that a campaign may bid. A manual bid is its own ceiling unless a higher one is given; the strategies that
/// follow the budget alone have spec.bid_max as their safety. 0: there is none, and so no bid is commanded.
pub fn bid_ceiling_micros(bid_strategy: &str, bid_micros: i64, bid_max_micros: i64) -> i64 {
    if bid_strategy == "manual" { bid_micros.max(bid_max_micros) } else { bid_max_micros }
}

/// Whether a bid is worth a command: it has moved by 0.06, or reached a bound, or it is an emergency.
pub fn is_worth_a_command(
    composed: &Composed,
    published: Option<LogBid>,
    emergency: bool,
    settings: &Settings,
) -> bool {
    let Some(published) = published else { return true };
    let moved = (i128::from(composed.log_bid) - i128::from(published)).unsigned_abs();
    let step = half_to_even(settings.publish_step * NAT).unwrap_or(i64::MAX).unsigned_abs();
    // Rounding down to a unit moves a bid without anybody wanting it: at a bound a thousandth is still no change.
    moved >= u128::from(step) || (composed.at_bound && moved > AT_BOUND_MICRO_NATS) || (emergency && moved > 0)
}

/// Half of the default publishing step, so that a bid at a bound whose rounding differs is not sent for ever.
const AT_BOUND_MICRO_NATS: u128 = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_bid_is_its_own_ceiling_unless_a_higher_one_is_given() {
        assert_eq!(bid_ceiling_micros("manual", 500, 0), 500);
        assert_eq!(bid_ceiling_micros("manual", 500, 900), 900);
        assert_eq!(bid_ceiling_micros("manual", 500, 400), 500);
        assert_eq!(bid_ceiling_micros("manual", 0, 0), 0);
        for strategy in ["max_clicks", "max_conversions", "max_value", "target_cpa"] {
            assert_eq!(bid_ceiling_micros(strategy, 500, 0), 0, "{strategy}");
            assert_eq!(bid_ceiling_micros(strategy, 500, 400), 400, "{strategy}");
        }
    }
}
