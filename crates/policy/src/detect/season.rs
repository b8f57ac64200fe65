//! What is usual at an hour of the week, learned robustly and shrunk while young.
//!
//! Two layers: hours of the day, and what hours of the week add to them. A visit of an hour, however many rows it has,
//! teaches once, when it is over. Its gain is 1/(visits + prior): the first day says half of an hour of the day; an hour of
//! the week is believed by half after three weeks.

use super::settings::Settings;
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

const HOURS_OF_WEEK: usize = 168;
const HOURS_OF_DAY: usize = 24;
const HOUR_MS: Millis = 3_600_000;
/// A doubted hour takes a third of its next residual.
const DOUBTED_VISITS: u8 = 1;

/// The learned season; empty before the first hour is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Season {
    day: Slots,
    week: Slots,
    visit: Option<Visit>,
}

/// Hours with what they add and how often they were seen, side by side: five bytes an hour, and there are 192 in each
/// series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Slots {
    offsets: Vec<f32>,
    /// Beyond 255 a visit's gain no longer changes.
    visits: Vec<u8>,
}

/// The hour that is being seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Visit {
    hour: i64,
    sum: f64,
    rows: u32,
}

/// Hour of the day, UTC.
pub(super) fn hour_of_day(at_ms: Millis) -> usize {
    at_ms.div_euclid(HOUR_MS).rem_euclid(HOURS_OF_DAY as i64) as usize
}

/// Hour of the week, UTC, counted from a Thursday as the epoch is; only names the slot.
fn hour_of_week(hour: i64) -> usize {
    hour.rem_euclid(HOURS_OF_WEEK as i64) as usize
}

impl Season {
    /// What the hour adds to the level.
    pub(super) fn at(&self, at_ms: Millis) -> f64 {
        let hour = hour_of_week(at_ms.div_euclid(HOUR_MS));
        self.day.at(hour % HOURS_OF_DAY) + self.week.at(hour)
    }

    /// Turns to the hour of a row; the hour before it is learned if it is over.
    pub(super) fn turn_to(&mut self, at_ms: Millis, settings: &Settings) {
        let hour = at_ms.div_euclid(HOUR_MS);
        if self.visit.is_none_or(|visit| visit.hour != hour)
            && let Some(over) = self.visit.replace(Visit { hour, ..Visit::default() })
        {
            self.learn(over, settings);
        }
    }

    /// Notes a row's clipped residual for the hour that is being seen.
    pub(super) fn note(&mut self, residual: f64) {
        if let Some(visit) = &mut self.visit {
            visit.sum += residual;
            visit.rows = visit.rows.saturating_add(1);
        }
    }

    /// Hours of the day are to be learned again quickly: the series has become another.
    pub(super) fn doubt(&mut self) {
        self.day.visits.iter_mut().for_each(|visits| *visits = (*visits).min(DOUBTED_VISITS));
    }

    /// Heap memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.day.held_bytes() + self.week.held_bytes()
    }

    fn learn(&mut self, visit: Visit, settings: &Settings) {
        if visit.rows == 0 {
            return;
        }
        self.day.grow(HOURS_OF_DAY);
        self.week.grow(HOURS_OF_WEEK);
        let (hour, residual) = (hour_of_week(visit.hour), visit.sum / f64::from(visit.rows));
        let taken = self.day.learn(hour % HOURS_OF_DAY, residual, settings.day_prior_visits, settings.day_gain_min);
        self.week.learn(hour, residual - taken, settings.week_prior_visits, settings.week_gain_min);
    }
}

impl Slots {
    fn at(&self, i: usize) -> f64 {
        self.offsets.get(i).map_or(0.0, |offset| f64::from(*offset))
    }

    fn grow(&mut self, hours: usize) {
        if self.offsets.len() != hours || self.visits.len() != hours {
            (self.offsets, self.visits) = (vec![0.0; hours], vec![0; hours]);
        }
    }

    /// An hour takes its part of a residual; returns that part.
    fn learn(&mut self, i: usize, residual: f64, prior_visits: f64, gain_min: f64) -> f64 {
        let (Some(offset), Some(visits)) = (self.offsets.get_mut(i), self.visits.get_mut(i)) else { return 0.0 };
        *visits = visits.saturating_add(1);
        let gain = (1.0 / (f64::from(*visits) + prior_visits)).max(gain_min).min(1.0);
        *offset += (residual * gain) as f32;
        residual * gain
    }

    fn held_bytes(&self) -> usize {
        self.offsets.capacity() * size_of::<f32>() + self.visits.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_weeks(weeks: i64, residual: impl Fn(i64, f64) -> f64) -> Season {
        let mut season = Season::default();
        for hour in 0..weeks * 168 {
            season.turn_to(hour * HOUR_MS, &Settings::default());
            let usual = season.at(hour * HOUR_MS);
            season.note(residual(hour, usual));
        }
        season
    }

    #[test]
    fn days_are_learned_before_weeks() {
        let noon_is_high = |hour: i64, usual: f64| f64::from(u8::from(hour % 24 == 12)) - usual;
        assert!(after_weeks(1, noon_is_high).at(12 * HOUR_MS) > 0.8);
        let one_noon_a_week = |hour: i64, usual: f64| f64::from(u8::from(hour % 168 == 12)) - usual;
        let (young, old) = (after_weeks(2, one_noon_a_week), after_weeks(20, one_noon_a_week));
        assert!(young.at(12 * HOUR_MS) < 0.7 && old.at(12 * HOUR_MS) > 0.85, "{}", old.at(12 * HOUR_MS));
        assert!(old.at(36 * HOUR_MS) < 0.1, "{}", old.at(36 * HOUR_MS));
    }

    #[test]
    fn sixty_rows_of_an_hour_teach_as_much_as_one() {
        let (mut minutes, mut hours) = (Season::default(), Season::default());
        for minute in 0..3 * 60 {
            minutes.turn_to(minute * 60_000, &Settings::default());
            minutes.note(1.0);
        }
        for hour in 0..3 {
            hours.turn_to(hour * HOUR_MS, &Settings::default());
            hours.note(1.0);
        }
        assert_eq!(minutes.at(HOUR_MS), hours.at(HOUR_MS));
        assert_eq!(hours.at(2 * HOUR_MS), 0.0);
    }
}
