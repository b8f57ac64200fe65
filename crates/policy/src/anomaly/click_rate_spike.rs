//! click_rate_spike: far more clicks than the impressions explain; suspect traffic, or a feed of impressions that died.
//!
//! The share of clicks among the impressions of a closed hour is held against the campaign's own: at least three times as
//! large, and three times the share must explain the clicks ten thousand times better than the usual share does (Poisson,
//! both; such a ratio is reached by chance in at most one of ten thousand series). Raises are held for an hour, the money
//! stays counted as spent. What stays for two days is the new usual.

use super::{Change, Finding, Kind, Latch, Severity};
use crate::arithmetic::half_to_even;
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// One closed hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClickHour {
    /// Its start.
    pub start_ms: Millis,
    /// Ads shown.
    pub impressions: i64,
    /// Clicks.
    pub clicks: i64,
    /// Money spent in it.
    pub spend_micros: i64,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClickRateSpike {
    latch: Latch,
    impressions: f64,
    clicks: f64,
    ln_ratio: f64,
    last_start_ms: Option<Millis>,
    opened_at_ms: Option<Millis>,
}

impl ClickRateSpike {
    /// Takes the next closed hour; an hour that was taken, or lies before it, changes nothing.
    pub fn take(&mut self, hour: &ClickHour, settings: &Settings, now_ms: Millis) -> Change {
        let s = &settings.click_rate;
        let old = self.last_start_ms.is_some_and(|last| hour.start_ms <= last);
        if old || hour.impressions < 0 || hour.clicks < 0 || hour.impressions.saturating_add(hour.clicks) == 0 {
            return Change::None;
        }
        let since = self.last_start_ms.map_or(0, |last| hour.start_ms.saturating_sub(last));
        self.last_start_ms = Some(hour.start_ms);
        let (shown, clicked) = (hour.impressions as f64, hour.clicks as f64);
        let usual = (self.clicks + 0.5) / (self.impressions + 1.0);
        // Where there are more clicks than impressions, impressions are not told (mail, web push): there is no share.
        let known = self.clicks >= s.clicks_min && self.impressions >= self.clicks;
        let due = usual * shown;
        let factor = s.factor.max(1.0);
        self.ln_ratio = clicked * libm::log(factor) - (factor - 1.0) * due;
        let high = known && clicked >= factor * due && self.ln_ratio >= -libm::log(s.chance_max);
        let stays = self.latch.open && clicked >= libm::sqrt(factor) * due;
        let adopted = self.opened_at_ms.is_some_and(|at| now_ms.saturating_sub(at) >= s.adopt_ms);
        let open = (high || stays) && !(self.latch.open && adopted);
        if open && !self.latch.open {
            self.opened_at_ms = Some(now_ms);
        }
        if !open {
            if self.latch.open && adopted {
                (self.impressions, self.clicks) = (0.0, 0.0);
            }
            let keep = libm::exp2(-(since.max(0) as f64) / s.half_life_ms.max(1) as f64);
            self.impressions = self.impressions * keep + shown;
            self.clicks = self.clicks * keep + clicked;
        }
        let excess = (clicked - due).max(0.0) / clicked.max(1.0);
        let finding = Finding {
            kind: Kind::ClickRateSpike,
            severity: Severity::Warning,
            observed: hour.clicks,
            expected: half_to_even(due).unwrap_or(0),
            at_stake_micros: half_to_even(hour.spend_micros.max(0) as f64 * excess).unwrap_or(0),
        };
        self.latch.set(open, finding)
    }

    /// Whether raises are held.
    pub fn holds_raises(&self, settings: &Settings, now_ms: Millis) -> bool {
        let since = |at: Millis| now_ms.saturating_sub(at) < settings.click_rate.hold_raises_ms;
        self.opened_at_ms.is_some_and(since)
    }

    /// Usual clicks and the impressions that they came of.
    pub fn usual(&self) -> (f64, f64) {
        (self.clicks, self.impressions)
    }

    /// Whether the trouble stands.
    pub fn is_open(&self) -> bool {
        self.latch.open
    }

    /// ln of the chance of the last hour, at most.
    pub fn ln_chance(&self) -> f64 {
        (-self.ln_ratio).min(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    fn run(hours: impl Fn(i64) -> (i64, i64), count: i64) -> (ClickRateSpike, Vec<(i64, bool)>) {
        let (mut row, settings) = (ClickRateSpike::default(), Settings::default());
        let look = |at: i64| {
            let (impressions, clicks) = hours(at);
            let hour = ClickHour { start_ms: at * HOUR, impressions, clicks, spend_micros: clicks * 1_000 };
            match row.take(&hour, &settings, (at + 1) * HOUR) {
                Change::None => None,
                change => Some((at, matches!(change, Change::Opened(_)))),
            }
        };
        let told = (0..count).filter_map(look).collect();
        (row, told)
    }

    #[test]
    fn a_burst_of_clicks_is_told_in_its_first_hour_and_is_over_with_it() {
        let (_, told) = run(|at| (1_000, if (50..53).contains(&at) { 80 } else { 18 + at % 5 }), 80);
        assert_eq!(told, [(50, true), (53, false)]);
    }

    #[test]
    fn twice_the_clicks_and_a_handful_are_no_spike() {
        assert_eq!(run(|at| (1_000, if at > 50 { 40 } else { 20 }), 80).1, []);
        assert_eq!(run(|at| (50, if at == 70 { 4 } else { 1 }), 80).1, []);
        assert_eq!(run(|_| (100, 100), 80).1, []);
    }

    #[test]
    fn clicks_of_a_channel_that_tells_no_impressions_are_no_spike() {
        assert_eq!(run(|hour| (0, if hour == 60 { 900 } else { 90 }), 72).1, []);
        assert_eq!(run(|hour| (hour % 3, 90), 72).1, []);
    }

    #[test]
    fn what_stays_for_two_days_is_the_new_usual() {
        let (row, told) = run(|at| (1_000, if at >= 50 { 80 } else { 20 }), 200);
        assert_eq!(told, [(50, true), (98, false)]);
        assert!(!row.is_open() && row.usual().0 / row.usual().1 > 0.07);
    }

    #[test]
    fn nonsense_changes_nothing() {
        let (mut row, settings) = (ClickRateSpike::default(), Settings::default());
        let hour = ClickHour { start_ms: HOUR, impressions: 10, clicks: 1, spend_micros: 1 };
        row.take(&hour, &settings, 0);
        let before = row;
        let looks = [
            hour,
            ClickHour { start_ms: 9 * HOUR, impressions: -1, ..hour },
            ClickHour { start_ms: 9 * HOUR, clicks: i64::MIN, ..hour },
            ClickHour { start_ms: 9 * HOUR, impressions: 0, clicks: 0, ..hour },
        ];
        looks.iter().for_each(|look| assert_eq!(row.take(look, &settings, 0), Change::None));
        assert_eq!(row, before);
        row.take(
            &ClickHour { impressions: i64::MAX, clicks: i64::MAX, start_ms: i64::MAX, ..hour },
            &settings,
            i64::MAX,
        );
    }
}
