//! The weight of each hour of the week, learned from the traffic that was there to be bought.
//!
//! Fed with eligible impressions of the account and channel, never with a campaign's own spend: a throttled campaign would
//! learn its own throttle. Impressions are counted as if the bid had been the same in all hours ([`at_equal_bid`]): a bid
//! that follows a wrong plan would otherwise confirm it. Only whole local hours without pause or exhaustion are to be
//! recorded. Half of what was seen is forgotten in 28 days. Every hour of the week starts from one week of the same hour
//! of the other days, and that from one day of the shape without history, so the second day knows what the first one
//! showed; every hour keeps at least a quarter of the mean.
//!
//! A day's own hours teach the next one: a plan that they changed would ask less of the window that ends in them, just when
//! traffic or prices have moved.

use super::{HOURS_OF_WEEK, Weights, without_history};
use crate::arithmetic::half_to_even;
use crate::settings::{Millis, Plan};
use serde::{Deserialize, Serialize};

/// Gives the weight of each hour of the week.
pub trait Shape {
    /// Weights of mean about 1, all finite and positive, by what was seen until an instant no older than a day.
    fn weights(&self, until_ms: Millis, settings: &Plan) -> Weights;
}

/// Impressions that `bid_micros` would have brought had it been `reference_micros`.
///
/// Spend goes with the bid to the power that the pressure assumes, and an impression costs about the bid, so impressions
/// go with one power less. Bids more than a factor of four apart say little about each other.
pub fn at_equal_bid(impressions: i64, bid_micros: i64, reference_micros: i64, spend_elasticity: f64) -> i64 {
    if bid_micros <= 0 || reference_micros <= 0 {
        return impressions;
    }
    let ratio = (reference_micros as f64 / bid_micros as f64).clamp(1.0 / BID_RATIO_MAX, BID_RATIO_MAX);
    let factor = libm::pow(ratio, (spend_elasticity - 1.0).max(0.0));
    half_to_even(impressions as f64 * factor).unwrap_or(impressions)
}

const BID_RATIO_MAX: f64 = 4.0;

/// What was seen, decayed to one instant. A value that the caller keeps for each account and channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShapeState {
    /// Empty before the first record, 168 after it: most accounts have channels that never speak.
    seen: Vec<f64>,
    /// Decayed number of weeks in which each hour was recorded.
    weeks: Vec<f64>,
    as_of_ms: Millis,
    /// Hours of about the last day, by their ends, which are in no sum yet.
    fresh: Vec<Hour>,
}

/// What all campaigns saw of one hour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Hour {
    of_week: usize,
    end_ms: Millis,
    impressions: i64,
    length: f64,
}

/// The longest local day: no plan asks for less than what was seen until so long ago.
const FRESH_MS: Millis = 25 * 3_600_000;
/// Hours kept apart; those of a day, in the time zones that the campaigns of one channel may have.
const FRESH_MAX: usize = 25 * 38;

impl ShapeState {
    /// Adds one complete local hour (part of an hour where the clock was set: its share as `length`, 0 to 1).
    pub fn record_hour(&mut self, hour_of_week: usize, end_ms: Millis, impressions: i64, length: f64, settings: &Plan) {
        if hour_of_week >= HOURS_OF_WEEK || impressions < 0 || !(length > 0.0 && length <= 1.0) {
            return;
        }
        let known = self.fresh.iter_mut().rfind(|hour| (hour.of_week, hour.end_ms) == (hour_of_week, end_ms));
        match known {
            Some(hour) => {
                hour.impressions = hour.impressions.saturating_add(impressions);
                hour.length += length;
            }
            None => {
                let at = self.fresh.partition_point(|hour| hour.end_ms <= end_ms);
                self.fresh.insert(at, Hour { of_week: hour_of_week, end_ms, impressions, length });
            }
        }
        let newest_ms = self.fresh.last().map_or(end_ms, |hour| hour.end_ms);
        let old = self.fresh.partition_point(|hour| hour.end_ms <= newest_ms.saturating_sub(FRESH_MS));
        for hour in self.fresh.drain(..old.max(self.fresh.len().saturating_sub(FRESH_MAX))).collect::<Vec<_>>() {
            self.settle(&hour, settings);
        }
    }

    /// Adds an hour to the sums.
    fn settle(&mut self, hour: &Hour, settings: &Plan) {
        if self.seen.len() != HOURS_OF_WEEK || self.weeks.len() != HOURS_OF_WEEK {
            self.seen = vec![0.0; HOURS_OF_WEEK];
            self.weeks = vec![0.0; HOURS_OF_WEEK];
            self.as_of_ms = hour.end_ms;
        }
        let weight = self.forget_until(hour.end_ms, settings.shape_half_life_ms);
        self.seen[hour.of_week] += weight * hour.impressions as f64;
        self.weeks[hour.of_week] += weight * hour.length;
    }

    /// Decays everything to the instant; the weight of a record that is older than that.
    fn forget_until(&mut self, at_ms: Millis, half_life_ms: Millis) -> f64 {
        let half_lives = (at_ms.saturating_sub(self.as_of_ms)) as f64 / half_life_ms.max(1) as f64;
        if half_lives <= 0.0 {
            return libm::exp2(half_lives.max(-1_000.0));
        }
        let factor = libm::exp2(-half_lives);
        self.seen.iter_mut().chain(&mut self.weeks).for_each(|x| *x *= factor);
        self.as_of_ms = at_ms;
        1.0
    }
}

impl Shape for ShapeState {
    fn weights(&self, until_ms: Millis, settings: &Plan) -> Weights {
        let mut sums = ShapeState { fresh: Vec::new(), ..self.clone() };
        self.fresh.iter().filter(|hour| hour.end_ms <= until_ms).for_each(|hour| sums.settle(hour, settings));
        sums.settled(settings)
    }
}

impl ShapeState {
    fn settled(&self, settings: &Plan) -> Weights {
        let before = without_history(settings);
        if self.seen.len() != HOURS_OF_WEEK || self.weeks.len() != HOURS_OF_WEEK {
            return before;
        }
        // By what the hours seen should have brought: hours of the night alone are no mean.
        let due: f64 = self.weeks.iter().zip(&before).map(|(weeks, weight)| weeks * weight).sum();
        let mean = self.seen.iter().sum::<f64>() / due;
        if !(mean > 0.0 && mean.is_finite()) {
            return before;
        }
        let prior = settings.shape_prior_weeks;
        let mut weights = before;
        for (hour, weight) in weights.iter_mut().enumerate() {
            let days = (hour % 24..HOURS_OF_WEEK).step_by(24);
            let (seen, weeks) = days.fold((0.0, 0.0), |sum, at| (sum.0 + self.seen[at], sum.1 + self.weeks[at]));
            let of_day = (seen / mean + prior * before[hour]) / (weeks + prior);
            let learned = (self.seen[hour] / mean + prior * of_day) / (self.weeks[hour] + prior);
            *weight = learned.max(settings.shape_floor);
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;
    const END: Millis = Millis::MAX;

    fn weeks_of(count: i64, traffic: impl Fn(usize) -> i64) -> ShapeState {
        let mut state = ShapeState::default();
        for hour in 0..count * 168 {
            let of_week = (hour % 168) as usize;
            state.record_hour(of_week, (hour + 1) * HOUR, traffic(of_week), 1.0, &Plan::default());
        }
        state
    }

    #[test]
    fn without_history_the_shape_is_half_curve_and_half_flat() {
        let weights = ShapeState::default().weights(END, &Plan::default());
        assert!((weights.iter().sum::<f64>() / 168.0 - 1.0).abs() < 1e-12);
        // 22 of a mean of 100 and 2/3: half of 0.2185 and half of one.
        assert!((weights[3] - (0.5 * 22.0 * 24.0 / 2360.0 + 0.5)).abs() < 1e-9, "{}", weights[3]);
        assert_eq!(weights[3], weights[3 + 24 * 6]);
    }

    #[test]
    fn twelve_weeks_of_traffic_outweigh_the_prior() {
        let state = weeks_of(12, |hour| if hour % 24 >= 12 { 3_000 } else { 1_000 });
        let weights = state.weights(END, &Plan::default());
        assert!((weights[36] / weights[26] - 3.0).abs() < 0.6, "{} to {}", weights[36], weights[26]);
    }

    #[test]
    fn the_second_day_knows_what_the_first_one_showed() {
        let mut state = ShapeState::default();
        let traffic = |hour: usize| if hour >= 12 { 3_000 } else { 1_000 };
        (0..24).for_each(|hour| {
            state.record_hour(hour, (hour as i64 + 1) * HOUR, traffic(hour), 1.0, &Plan::default());
        });
        let (weights, before) = (state.weights(END, &Plan::default()), without_history(&Plan::default()));
        // Tuesday's morning, of which nothing was seen, lies half way between Monday's and the prior.
        for (hour, seen) in [(9, 0.5), (20, 1.5)] {
            let half_way = 0.5 * (seen + before[24 + hour]);
            assert!((weights[24 + hour] / half_way - 1.0).abs() < 0.02, "{} of {half_way}", weights[24 + hour]);
        }
    }

    #[test]
    fn a_night_alone_is_no_mean() {
        let (mut state, before) = (ShapeState::default(), without_history(&Plan::default()));
        for (hour, weight) in before.iter().enumerate().take(6) {
            state.record_hour(hour, 0, (1_000.0 * weight) as i64, 1.0, &Plan::default());
        }
        let weights = state.weights(END, &Plan::default());
        assert!(weights.iter().zip(&before).all(|(learned, before)| (learned / before - 1.0).abs() < 0.01));
    }

    #[test]
    fn impressions_at_a_raised_bid_count_less() {
        let at = |bid| at_equal_bid(1_000, bid, 100, 2.0);
        assert_eq!([at(100), at(125), at(50), at(1), at(0)], [1_000, 800, 2_000, 4_000, 1_000]);
        assert_eq!(at_equal_bid(1_000, 50, 100, 1.0), 1_000, "an elasticity of one: each bid buys the same");
        assert_eq!(at_equal_bid(i64::MAX, 1, 100, f64::NAN), i64::MAX);
    }

    #[test]
    fn an_empty_hour_keeps_a_quarter_of_the_mean() {
        let state = weeks_of(40, |hour| if hour == 5 { 0 } else { 1_000 });
        assert_eq!(state.weights(END, &Plan::default())[5], 0.25);
    }

    #[test]
    fn nonsense_is_not_learned() {
        let mut state = ShapeState::default();
        for (hour, at, impressions, length) in
            [(168, 0, 5, 1.0), (1, 0, -5, 1.0), (1, 0, 5, f64::NAN), (1, 0, 5, 0.0), (2, i64::MIN, 0, 1.0)]
        {
            state.record_hour(hour, at, impressions, length, &Plan::default());
        }
        state.record_hour(3, i64::MAX, i64::MAX, 1.0, &Plan::default());
        state.record_hour(3, i64::MIN, i64::MAX, 1.0, &Plan::default());
        assert!(state.weights(END, &Plan::default()).iter().all(|w| w.is_finite() && *w > 0.0));
    }
}
