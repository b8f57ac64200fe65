//! When a bid may not rise although the budget asks for it (section 4, section 14).
//!
//! A feed that died upstream looks like an idle campaign: without a sign of life from the account's channel a raise would
//! answer missing data with money. Eight usual gaps without an event are a sign: arrivals by chance leave three of them
//! empty once in twenty gaps, three times a day at 60 clicks, and each time raises ended (spend over budget in S8 with 60
//! clicks 0.86 instead of 0.94, with 300 clicks 0.97 and 0.96; seeds 6001 to 6008 and 6101 to 6114).

use crate::settings::{Millis, Pressure as Settings};
use serde::{Deserialize, Serialize};

/// Signs of life of the campaign and its neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Supply {
    /// W, or the end of the last reported window.
    pub watermark_ms: Millis,
    /// Events of the campaign in the 15 minutes (with statistics: the window) before W.
    pub events_recent: i64,
    /// Events due in the same time by the campaign's own rate.
    pub due_recent: f64,
    /// Newest event of the account and channel.
    pub neighbour_event_ms: Option<Millis>,
    /// Usual gap between such events (with statistics: the period).
    pub neighbour_gap_ms: Millis,
    /// The campaign's first day.
    pub first_day: bool,
    /// Its billable events today.
    pub events_today: i64,
    /// Open time of today up to W.
    pub open_today_ms: Millis,
    /// The anomaly of that name is open.
    pub delivery_stopped: bool,
    /// Increases are held: stale data, a gap, a jump of the clock, a missing answer.
    pub increases_held: bool,
}

/// Why a bid may not rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Block {
    /// Increases are held for the account or campaign.
    IncreasesHeld,
    /// Delivery has stopped.
    DeliveryStopped,
    /// Not one event of the account and channel where some were due: perhaps the feed is dead.
    NoSignOfLife,
    /// Not one event of the campaign where some were due.
    NoEvents,
    /// The first day has shown too little.
    FirstDay,
}

impl Block {
    /// The word for labels and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Block::IncreasesHeld => "increases_held",
            Block::DeliveryStopped => "delivery_stopped",
            Block::NoSignOfLife => "no_sign_of_life",
            Block::NoEvents => "no_events",
            Block::FirstDay => "first_day",
        }
    }
}

/// The first reason against a raise.
pub fn raise_block(supply: &Supply, settings: &Settings) -> Option<Block> {
    let alive_ms = supply.neighbour_gap_ms.max(0).saturating_mul(settings.neighbour_gaps);
    let alive_ms = alive_ms.max(settings.neighbour_window_min_ms);
    let alive = supply.neighbour_event_ms.is_some_and(|at| supply.watermark_ms.saturating_sub(at) <= alive_ms);
    let first_day_over = !supply.first_day
        || supply.events_today >= settings.first_day_events_min
        || supply.open_today_ms >= settings.first_day_patience_ms;
    // Compared so that an unknown number of due events counts as enough of them.
    let few_due = supply.due_recent < settings.due_events_min;
    if supply.increases_held {
        Some(Block::IncreasesHeld)
    } else if supply.delivery_stopped {
        Some(Block::DeliveryStopped)
    } else if !alive {
        Some(Block::NoSignOfLife)
    } else if supply.events_recent <= 0 && !few_due {
        Some(Block::NoEvents)
    } else if !first_day_over {
        Some(Block::FirstDay)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn lively() -> Supply {
        Supply {
            watermark_ms: 1_000 * MINUTE,
            events_recent: 3,
            due_recent: 5.0,
            neighbour_event_ms: Some(999 * MINUTE),
            neighbour_gap_ms: MINUTE,
            ..Supply::default()
        }
    }

    fn block(supply: Supply) -> Option<Block> {
        raise_block(&supply, &Settings::default())
    }

    #[test]
    fn a_lively_campaign_may_rise() {
        assert_eq!(block(lively()), None);
    }

    #[test]
    fn a_feed_that_died_upstream_does_not_raise() {
        let last = |minutes| Supply { neighbour_event_ms: Some(minutes * MINUTE), ..lively() };
        assert_eq!([block(last(985)), block(last(984))], [None, Some(Block::NoSignOfLife)]);
        assert_eq!(block(Supply { neighbour_event_ms: None, ..lively() }), Some(Block::NoSignOfLife));
        // A channel with an event every half hour may be silent for four hours.
        let slow = |minutes| block(Supply { neighbour_gap_ms: 30 * MINUTE, ..last(minutes) });
        assert_eq!([slow(760), slow(759)], [None, Some(Block::NoSignOfLife)]);
    }

    #[test]
    fn silence_where_three_were_due_does_not_raise() {
        let silent = |due_recent| Supply { events_recent: 0, due_recent, ..lively() };
        assert_eq!(
            [block(silent(2.9)), block(silent(3.0)), block(silent(f64::NAN))],
            [None, Some(Block::NoEvents), Some(Block::NoEvents)]
        );
    }

    #[test]
    fn the_first_day_waits_for_five_events_or_an_hour() {
        let first = Supply { first_day: true, events_today: 4, open_today_ms: 59 * MINUTE, ..lively() };
        assert_eq!(block(first), Some(Block::FirstDay));
        assert_eq!(block(Supply { events_today: 5, ..first }), None);
        assert_eq!(block(Supply { open_today_ms: 60 * MINUTE, ..first }), None);
    }
}
