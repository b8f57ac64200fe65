//! What a window would have cost at another bid.
//!
//! A window remembers bids that are gone. Judged by its plain spend, a loop that has just cut goes on cutting until the
//! window forgets the dear hour, and comes back from too low. So each stretch between two moves of the bid counts as if it
//! had been spent at the bid that the loop stands at, by the elasticity that the loop assumes (section 4).
//!
//! What always holds: at an unmoved bid that the loop stands at, the spend itself; a stretch never counts for more than e
//! times or less than 1/e of itself. Missing on purpose: windows of hours, whose panes are longer than a move's life, and
//! the spend of other campaigns of a shared budget, which this bid does not move.

use crate::calendar::minute_index;
use crate::campaign::Live;
use crate::ledger::CampaignLedger;
use crate::measures::net_spend;
use crate::pacing::assumed_bid;
use crate::picture::{MINUTES_BACK_MS, Picture, Window};
use model::time::Millis;
use policy::arithmetic::{LogBid, NAT, half_to_even, log_bid};

/// Spend of a campaign's window at `stands_at`, micros; `None` for a window of hours.
pub fn spend_at_bid(
    live: &Live,
    picture: &Picture,
    ledger: &CampaignLedger,
    window: &Window,
    (stands_at, elasticity): (LogBid, f64),
) -> Option<i64> {
    if live.counts_reports() || window.end.saturating_sub(window.start) > MINUTES_BACK_MS {
        return None;
    }
    let inside = |at: &Millis| *at > window.start && *at < window.end;
    let moves = ledger.bid.moves.iter().map(|known| known.at.saturating_add(picture.apply_ms)).filter(inside);
    let (mut from, mut at_bid) = (window.start, 0.0);
    for until in moves.chain([window.end]) {
        let stretch = live.minutes.sum(minute_index(from)..minute_index(until));
        let bid = ledger.bid.value_at(until.saturating_sub(picture.apply_ms)).or(assumed_bid(live, ledger));
        at_bid += net_spend(&stretch) as f64 * answer(bid, stands_at, elasticity);
        from = until;
    }
    half_to_even(at_bid).ok()
}

/// By what spend at `bid` is multiplied where the bid is another: its ratio to the power of the elasticity, 1/e to e; 1 where
/// there is no bid.
fn answer(bid: Option<i64>, stands_at: LogBid, elasticity: f64) -> f64 {
    let Some(Ok(bid)) = bid.map(log_bid) else { return 1.0 };
    libm::exp((stands_at.saturating_sub(bid) as f64 / NAT * elasticity).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_bid_answers_by_its_power_within_e() {
        let stands_at = log_bid(1_100_000).unwrap();
        let of = |bid: i64| answer(Some(bid), stands_at, 2.0);
        assert_eq!(of(1_100_000), 1.0);
        assert!((of(1_000_000) - 1.21).abs() < 1e-5 && (of(1_210_000) - 1.0 / 1.21).abs() < 1e-5);
        assert_eq!([of(1), of(900_000_000)], [libm::exp(1.0), libm::exp(-1.0)]);
        assert_eq!([answer(None, stands_at, 2.0), answer(Some(0), stands_at, 2.0)], [1.0; 2]);
    }
}
