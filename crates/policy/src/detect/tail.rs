//! How often does a statistic get this high on calm days? Judged from the greatest value of each of the series' own days.
//!
//! The greatest of many is nearly Gumbel: P(greatest of a day > x) = 1 - exp(-exp(-(x - place)/width)). Mean and mean
//! deviation of the daily greatest give place and width. A young series starts from those of calm noise; a day with an
//! incident teaches nothing, and neither does half a day.

use super::settings::Settings;
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

const DAY_MS: Millis = 86_400_000;
/// Euler's constant: the mean of a standard Gumbel variable.
const GUMBEL_MEAN: f64 = 0.577_215_664_901_532_9;
/// Mean absolute deviation of a standard Gumbel variable from its mean, by numerical integration.
const GUMBEL_DEVIATION: f64 = 0.983_6;
/// A day's greatest counts as at most this many widths above the place: a disaster that slipped through must not blind.
const CLIP_WIDTHS: f64 = 5.0;
/// Rows of a whole day of hourly data, which the priors speak of.
const ROWS_OF_PRIOR: f64 = 24.0;
/// A day of fewer rows does not show its greatest.
const ROWS_MIN: u32 = 12;

/// The tail of one statistic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    mean: f64,
    deviation: f64,
    /// Days behind mean and deviation, the prior's included.
    days: f64,
    /// No day has been learned.
    untaught: bool,
    today: Option<Today>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Today {
    day: i64,
    greatest: f64,
    rows: u32,
    spoiled: bool,
}

impl Tail {
    /// A tail that believes in the mean and mean deviation of the daily greatest of hourly rows.
    pub(super) fn prior(mean: f64, deviation: f64, settings: &Settings) -> Tail {
        Tail { mean, deviation, days: settings.tail_prior_days.max(0.0), untaught: true, today: None }
    }

    /// -ln of the number of times that a calm day gets this high.
    pub(super) fn surprise(&self, value: f64) -> f64 {
        (value - self.place()) / self.width()
    }

    /// Notes a row; `calm` says that no incident stands and the series is not young.
    pub(super) fn note(&mut self, at_ms: Millis, value: f64, calm: bool, settings: &Settings) {
        let day = at_ms.div_euclid(DAY_MS);
        if let Some(over) = self.today.filter(|today| today.day != day) {
            self.learn(over, settings);
            self.today = None;
        }
        let today = self.today.get_or_insert(Today { day, greatest: 0.0, rows: 0, spoiled: false });
        today.greatest = today.greatest.max(value);
        today.rows = today.rows.saturating_add(1);
        today.spoiled |= !calm;
    }

    fn learn(&mut self, over: Today, settings: &Settings) {
        if over.spoiled || over.rows < ROWS_MIN {
            return;
        }
        if std::mem::take(&mut self.untaught) {
            // More rows a day reach higher by chance; Gumbel's place moves by its width for each factor e.
            self.mean += self.width() * libm::log(f64::from(over.rows) / ROWS_OF_PRIOR);
        }
        let greatest = over.greatest.min(self.place() + CLIP_WIDTHS * self.width());
        self.days = self.days * libm::exp2(-1.0 / settings.tail_half_life_days.max(1.0)) + 1.0;
        let off = greatest - self.mean;
        self.mean += off / self.days;
        self.deviation += (libm::fabs(off) - self.deviation) / self.days;
    }

    fn width(&self) -> f64 {
        (self.deviation / GUMBEL_DEVIATION).max(WIDTH_MIN)
    }

    fn place(&self) -> f64 {
        self.mean - GUMBEL_MEAN * self.width()
    }
}

/// Daily greatest values that never differ would make any excess a certainty; both statistics are in standard deviations.
const WIDTH_MIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_reach_higher_raise_the_bar() {
        let settings = Settings::default();
        let mut tail = Tail::prior(2.3, 0.45, &settings);
        let before = tail.surprise(5.0);
        for hour in 0..24 * 60_i64 {
            let day = hour / 24;
            let greatest = 4.0 + 0.5 * (day % 3) as f64;
            tail.note(hour * 3_600_000, if hour % 24 == 7 { greatest } else { 1.0 }, true, &settings);
        }
        assert!(before > 5.0 && (0.0..3.0).contains(&tail.surprise(5.0)), "{before} {}", tail.surprise(5.0));
    }

    #[test]
    fn a_day_with_an_incident_and_half_a_day_teach_nothing() {
        let settings = Settings::default();
        let mut tail = Tail::prior(2.3, 0.45, &settings);
        let before = tail.surprise(5.0);
        for hour in 0..24_i64 {
            tail.note(hour * 3_600_000, 40.0, hour != 3, &settings);
        }
        for hour in 24..35_i64 {
            tail.note(hour * 3_600_000, 40.0, true, &settings);
        }
        tail.note(48 * 3_600_000, 40.0, true, &settings);
        assert_eq!(tail.surprise(5.0), before);
    }
}
