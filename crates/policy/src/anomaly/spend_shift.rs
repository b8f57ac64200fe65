//! spend_shift: an hour's spend against its plan is unlike the hours before it, up or down.
//!
//! What is judged is spend over the plan of the same hour, so that another budget or another time of the day is no shift;
//! the detector's season takes what remains of the shape. Hours in which the campaign was paused, exhausted or closed are
//! not given. Jumps show alone, slow drifts add up, in both directions ([`crate::detect`]). Nothing follows but an alert:
//! the budget loop, runaway and hard stop act already; this tells that something moved them.

use super::{Change, Finding, Kind, Latch, Severity};
use crate::arithmetic::half_to_even;
use crate::detect::{Row, SeriesDetector};
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// One closed hour of plain running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpendHour {
    /// Its start.
    pub start_ms: Millis,
    /// Money spent in it.
    pub spend_micros: i64,
    /// What the plan of the day gives to it.
    pub planned_micros: i64,
    /// Events that cost something.
    pub billable: i64,
}

/// The state of the row; the detector is made at the first hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SpendShift {
    latch: Latch,
    detector: Option<Box<SeriesDetector>>,
    last_start_ms: Option<Millis>,
    ln_chance: f64,
}

impl SpendShift {
    /// Takes the next closed hour; an hour that was taken, lies before it, or has no plan changes nothing.
    pub fn take(&mut self, hour: &SpendHour, settings: &Settings) -> Change {
        let old = self.last_start_ms.is_some_and(|last| hour.start_ms <= last);
        if old || hour.planned_micros <= 0 || hour.spend_micros < 0 || hour.billable < 0 {
            return Change::None;
        }
        self.last_start_ms = Some(hour.start_ms);
        let s = &settings.spend_shift.detector;
        let detector = self.detector.get_or_insert_with(|| Box::new(SeriesDetector::new(s)));
        let value = hour.spend_micros as f64 / hour.planned_micros as f64;
        let reading =
            detector.observe(&Row { at_ms: hour.start_ms, value, count: Some(hour.billable as f64) }, s);
        if reading.alert.is_some() {
            self.ln_chance = libm::log(reading.calm_days_share.max(f64::MIN_POSITIVE));
        }
        let open = reading.alert.is_some() || self.latch.open && detector.is_in_incident();
        let usual = reading.alert.map_or(value, |alert| alert.expected);
        let expected = half_to_even(usual * hour.planned_micros as f64).unwrap_or(0);
        let finding = Finding {
            kind: Kind::SpendShift,
            severity: Severity::Warning,
            observed: hour.spend_micros,
            expected,
            at_stake_micros: hour.spend_micros.saturating_sub(expected).saturating_abs(),
        };
        self.latch.set(open, finding)
    }

    /// Whether the trouble stands.
    pub fn is_open(&self) -> bool {
        self.latch.open
    }

    /// ln of the share of calm days that get as high, when it opened.
    pub fn ln_chance(&self) -> f64 {
        self.ln_chance
    }

    /// Heap memory.
    pub fn held_bytes(&self) -> usize {
        self.detector.as_ref().map_or(0, |detector| detector.held_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    fn run(factor: impl Fn(i64) -> i64) -> Vec<(i64, bool)> {
        let (mut row, settings) = (SpendShift::default(), Settings::default());
        let look = |at: i64| {
            // The plan halves at noon of the 20th day, as a budget does; spend follows it.
            let planned = if at > 480 { 500_000 } else { 1_000_000 };
            let spend_micros = planned / 100 * factor(at) * (95 + at * 7 % 11) / 100;
            let hour = SpendHour { start_ms: at * HOUR, spend_micros, planned_micros: planned, billable: 200 };
            match row.take(&hour, &settings) {
                Change::None => None,
                change => Some((at, matches!(change, Change::Opened(_)))),
            }
        };
        (0..700).filter_map(look).collect()
    }

    #[test]
    fn spend_that_doubles_or_halves_against_its_plan_is_told_and_a_halved_budget_is_not() {
        assert_eq!(run(|_| 100), []);
        for factor in [200, 45] {
            let told = run(|at| if (600..606).contains(&at) { factor } else { 100 });
            let [(600 | 601, true), (_, false)] = told[..] else { panic!("{factor}: {told:?}") };
        }
    }

    #[test]
    fn an_hour_without_plan_says_nothing() {
        let mut row = SpendShift::default();
        let hour = SpendHour { spend_micros: 5, ..SpendHour::default() };
        assert_eq!(row.take(&hour, &Settings::default()), Change::None);
        assert_eq!(row, SpendShift::default());
    }
}
