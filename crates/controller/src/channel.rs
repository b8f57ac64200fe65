//! Signs of life and habits of one channel of an account: when events come, how often, what they cost.
//!
//! What always holds: it is fed by every campaign of the channel, so that one that stands still can be told from a feed
//! that died. Part of belief.

use model::time::{MINUTE_MS, Millis};
use policy::plan::ShapeState;
use serde::{Deserialize, Serialize};

/// One channel of an account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Channel {
    /// Event time of the newest event.
    pub newest_event: Option<Millis>,
    /// Usual time between events, slowly following.
    pub gap_ms: Millis,
    /// Traffic by hour of the week.
    pub shape: ShapeState,
    /// Hours that the shape was told: names its version.
    pub hours_learned: i64,
    spend_micros: i64,
    billable: i64,
}

/// One gap moves the usual one by an eighth: a night does not become the habit.
const GAP_WEIGHT: i64 = 8;
/// Sums are halved here, so that costs of long ago fade.
const BILLABLE_MAX: i64 = 1_000_000;
/// From so many billable events on the mean is a habit, and a minute whose events cost this many times more is no part of
/// it: one wrong amount must not make every neighbour's events seem dear.
const HABIT_EVENTS: i64 = 100;
const COST_TIMES_MAX: i64 = 100;

impl Channel {
    /// Notes events of one minute; no event of theirs is believed to cost more than `dearest_micros`.
    pub fn note(&mut self, at: Millis, events: i64, billable: i64, spend_micros: i64, dearest_micros: i64) {
        if events <= 0 {
            return;
        }
        if let Some(before) = self.newest_event.filter(|before| *before < at) {
            let gap = at.saturating_sub(before) / events.max(1);
            self.gap_ms = self.gap_ms.saturating_add((gap - self.gap_ms) / GAP_WEIGHT);
        }
        self.newest_event = Some(self.newest_event.map_or(at, |before| before.max(at)));
        let billable = billable.max(0);
        let habit = self.mean_cost_micros().filter(|_| self.billable >= HABIT_EVENTS);
        let dearest = habit.map_or(i64::MAX, |mean| mean.saturating_mul(COST_TIMES_MAX)).min(dearest_micros);
        self.billable = self.billable.saturating_add(billable);
        let believed = spend_micros.clamp(0, billable.saturating_mul(dearest).max(0));
        self.spend_micros = self.spend_micros.saturating_add(believed);
        if self.billable > BILLABLE_MAX {
            (self.billable, self.spend_micros) = (self.billable / 2, self.spend_micros / 2);
        }
    }

    /// Mean cost of a billable event, `None` before the first.
    pub fn mean_cost_micros(&self) -> Option<i64> {
        let cost = self.spend_micros.checked_div(self.billable)?;
        (cost > 0).then_some(cost)
    }

    /// First instant after the minute of the newest event: events are known by the minute.
    pub fn alive_until(&self) -> Option<Millis> {
        self.newest_event.map(|at| at.saturating_add(MINUTE_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_gap_follows_slowly_and_costs_are_means() {
        let mut channel = Channel::default();
        assert_eq!((channel.newest_event, channel.mean_cost_micros()), (None, None));
        for minute in 0..100 {
            channel.note(minute * MINUTE_MS, 1, 1, 500, i64::MAX);
        }
        assert!((50_000..=60_000).contains(&channel.gap_ms), "{}", channel.gap_ms);
        channel.note(500 * MINUTE_MS, 1, 1, 500, i64::MAX);
        assert!(channel.gap_ms < 60 * MINUTE_MS, "one night");
        assert_eq!(channel.mean_cost_micros(), Some(500));
    }

    #[test]
    fn one_wrong_amount_leaves_the_channel_s_mean_where_it_was() {
        let mut channel = Channel::default();
        channel.note(0, 1, 1, i64::MAX, 20_000_000);
        assert_eq!(channel.mean_cost_micros(), Some(20_000_000), "no event costs more than a day may");
        let mut channel = Channel::default();
        for minute in 0..20 {
            channel.note(minute * MINUTE_MS, 100, 100, 100_000, i64::MAX);
        }
        channel.note(20 * MINUTE_MS, 1, 1, 1_000_000_000_000, i64::MAX);
        assert!((1_000..1_100).contains(&channel.mean_cost_micros().unwrap()), "{channel:?}");
    }
}
