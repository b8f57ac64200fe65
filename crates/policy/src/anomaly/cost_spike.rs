//! cost_spike: an event costs far more than is usual for the hour, its season and the campaign's own noise.
//!
//! The price of each closed hour goes through the detector of [`crate::detect`], with the number of events behind it, so
//! that a price of three events is no news. An alert is told, and raises are held for an hour: money, not bids, is what a
//! wrong price costs. Cheaper events are no trouble.

use super::{Change, Finding, Kind, Latch, Severity};
use crate::arithmetic::{half_to_even, ratio};
use crate::detect::{Direction, Row, SeriesDetector};
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// One closed hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceHour {
    /// Its start.
    pub start_ms: Millis,
    /// Money spent in it.
    pub spend_micros: i64,
    /// Events that cost something.
    pub billable: i64,
    /// The bid over the bid of a day before, in parts per million: what our own raise explains is no spike. 0 is unknown.
    pub raised_ppm: i64,
}

/// The state of the row; the detector is made at the first hour with events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CostSpike {
    latch: Latch,
    detector: Option<Box<SeriesDetector>>,
    last_start_ms: Option<Millis>,
    opened_at_ms: Option<Millis>,
    ln_chance: f64,
}

impl CostSpike {
    /// Takes the next closed hour; an hour that was taken, or lies before it, changes nothing.
    pub fn take(&mut self, hour: &PriceHour, settings: &Settings, now_ms: Millis) -> Change {
        let old = self.last_start_ms.is_some_and(|last| hour.start_ms <= last);
        let price = ratio(i128::from(hour.spend_micros), i128::from(hour.billable)).filter(|price| *price > 0);
        let (Some(price), false) = (price.filter(|_| hour.billable > 0), old) else { return Change::None };
        self.last_start_ms = Some(hour.start_ms);
        let s = &settings.cost_spike.detector;
        let detector = self.detector.get_or_insert_with(|| Box::new(SeriesDetector::new(s)));
        let row = Row { at_ms: hour.start_ms, value: price as f64, count: Some(hour.billable as f64) };
        let reading = detector.observe(&row, s);
        let raised = (hour.raised_ppm as f64 / 1e6).max(1.0);
        let is_ours = |expected: f64| price as f64 <= expected * raised;
        let alert = reading.alert.filter(|alert| alert.direction == Direction::Above && !is_ours(alert.expected));
        let open = alert.is_some() || self.latch.open && detector.is_in_incident();
        if alert.is_some() {
            self.opened_at_ms = Some(now_ms);
            self.ln_chance = libm::log(reading.calm_days_share.max(f64::MIN_POSITIVE));
        }
        let expected = alert.and_then(|alert| half_to_even(alert.expected).ok()).unwrap_or(price);
        let excess = i128::from(price.saturating_sub(expected).max(0)) * i128::from(hour.billable);
        self.latch.set(
            open,
            Finding {
                kind: Kind::CostSpike,
                severity: Severity::Warning,
                observed: price,
                expected,
                at_stake_micros: crate::arithmetic::saturate(excess),
            },
        )
    }

    /// Whether raises are held.
    pub fn holds_raises(&self, settings: &Settings, now_ms: Millis) -> bool {
        let since = |at: Millis| now_ms.saturating_sub(at) < settings.cost_spike.hold_raises_ms;
        self.opened_at_ms.is_some_and(since)
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

    /// A price of about 0.40, twice that from hour 500 to 506.
    fn hour(hour: i64, billable: i64, factor: i64) -> PriceHour {
        let price = (400_000 + 4_000 * (hour * 7 % 11)) * if (500..506).contains(&hour) { factor } else { 100 } / 100;
        PriceHour { start_ms: hour * HOUR, spend_micros: price * billable, billable, raised_ppm: 0 }
    }

    fn run(billable: i64, factor: i64) -> (CostSpike, Vec<(i64, Change)>) {
        let (mut row, settings) = (CostSpike::default(), Settings::default());
        let look = |at: i64| (at, row.take(&hour(at, billable, factor), &settings, (at + 1) * HOUR));
        let told = (0..600).map(look).filter(|(_, change)| *change != Change::None).collect();
        (row, told)
    }

    #[test]
    fn a_doubled_price_is_told_once_and_holds_raises_for_an_hour() {
        let (_, told) = run(500, 200);
        let [(500, Change::Opened(finding)), (_, Change::Resolved(_))] = told[..] else { panic!("{told:?}") };
        assert!((800_000..900_000).contains(&finding.observed) && (400_000..450_000).contains(&finding.expected));
        assert!(finding.at_stake_micros > 500 * 350_000);
        let (mut row, settings) = (CostSpike::default(), Settings::default());
        (0..=500).for_each(|at| _ = row.take(&hour(at, 500, 200), &settings, (at + 1) * HOUR));
        assert!(
            row.is_open() && row.holds_raises(&settings, 502 * HOUR - 1) && !row.holds_raises(&settings, 502 * HOUR)
        );
    }

    #[test]
    fn a_halved_price_is_no_trouble_and_neither_is_one_dear_event() {
        assert_eq!(run(500, 50).1, []);
        let (mut row, settings) = (CostSpike::default(), Settings::default());
        for at in 0..600 {
            let dear = if at == 550 { 200 } else { 100 };
            let hour = PriceHour { start_ms: at * HOUR, spend_micros: 4_000 * dear, billable: 1, raised_ppm: 0 };
            assert_eq!(row.take(&hour, &settings, 0), Change::None, "{at}");
        }
    }

    #[test]
    fn a_price_that_our_own_raise_explains_is_no_spike() {
        let (mut row, settings) = (CostSpike::default(), Settings::default());
        for at in 0..505 {
            let raised_ppm = if at >= 500 { 2_200_000 } else { 1_000_000 };
            let hour = PriceHour { raised_ppm, ..hour(at, 500, 200) };
            assert_eq!(row.take(&hour, &settings, 0), Change::None, "{at}");
        }
    }

    #[test]
    fn empty_repeated_and_impossible_hours_change_nothing() {
        let (mut row, settings) = (CostSpike::default(), Settings::default());
        row.take(&hour(3, 10, 100), &settings, 0);
        let before = row.clone();
        for (start_ms, spend_micros, billable) in
            [(3 * HOUR, 5, 1), (2 * HOUR, 5, 1), (4 * HOUR, 5, 0), (4 * HOUR, -5, 1), (4 * HOUR, i64::MIN, -1)]
        {
            assert_eq!(
                row.take(&PriceHour { start_ms, spend_micros, billable, raised_ppm: 0 }, &settings, 0),
                Change::None
            );
        }
        assert_eq!(row, before);
    }
}
