//! conversions_without_clicks and cpa_break: what arrives does not fit what was clicked, and it is no dead tracking.
//!
//! Both read the day's window of the evidence of `tracking_break`. Far more conversions than the clicks explain come from
//! a pixel that fires twice, an import, or a fraud: the target must not learn from them. Clearly fewer, and not so few that
//! the tracking is dead, are a cost of a conversion that has risen by half: a fact, which the target loop answers; the
//! alert says so. Each opens once and is over when half of its distance is gone.

use super::tracking_break::{TrackingEvidence, window_of_a_day};
use super::{Change, Detector, Finding, Kind, Latch, Severity};
use crate::arithmetic::half_to_even;
use crate::detect::poisson;
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// conversions_without_clicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnexplainedConversions {
    latch: Latch,
    ln_chance: f64,
}

/// cpa_break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpaBreak {
    latch: Latch,
    ln_chance: f64,
}

impl UnexplainedConversions {
    /// ln of the chance of so many, when it was seen last.
    pub fn ln_chance(&self) -> f64 {
        self.ln_chance
    }
}

impl CpaBreak {
    /// ln of the chance of so few, when it was seen last.
    pub fn ln_chance(&self) -> f64 {
        self.ln_chance
    }
}

impl Detector for UnexplainedConversions {
    type Evidence = TrackingEvidence;

    fn observe(&mut self, evidence: &TrackingEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let s = &settings.surplus;
        let window = window_of_a_day(evidence);
        let chance = poisson::ln_at_least(window.arrived, window.expected_most);
        let times = window.arrived as f64 / window.expected_most.max(1.0);
        let unlikely = evidence.is_known && chance.is_some_and(|ln| ln <= libm::log(s.chance_max));
        let stays = self.latch.open && times >= libm::sqrt(s.factor);
        self.ln_chance = chance.unwrap_or(0.0);
        let expected = half_to_even(window.expected).unwrap_or(0);
        let surplus = window.arrived.saturating_sub(expected).max(0);
        let finding = Finding {
            kind: Kind::UnexplainedConversions,
            severity: Severity::Warning,
            observed: window.arrived,
            expected,
            at_stake_micros: surplus.saturating_mul(evidence.conversion_micros.max(0)),
        };
        self.latch.set(unlikely && times >= s.factor || stays, finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

impl Detector for CpaBreak {
    type Evidence = TrackingEvidence;

    fn observe(&mut self, evidence: &TrackingEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let s = &settings.cpa_break;
        let window = window_of_a_day(evidence);
        let chance = poisson::ln_at_most(window.arrived, window.expected);
        let times = window.expected / (window.arrived.max(0) as f64).max(0.5);
        let dead = window.arrived as f64 <= settings.tracking.share_max * window.expected;
        let unlikely = chance.is_some_and(|ln| ln <= libm::log(s.chance_max));
        let stays = self.latch.open && times >= libm::sqrt(s.factor);
        self.ln_chance = chance.unwrap_or(0.0);
        let expected = half_to_even(window.expected).unwrap_or(0);
        let finding = Finding {
            kind: Kind::CpaBreak,
            severity: Severity::Warning,
            observed: window.arrived,
            expected,
            at_stake_micros: expected
                .saturating_sub(window.arrived)
                .max(0)
                .saturating_mul(evidence.conversion_micros.max(0)),
        };
        self.latch.set(unlikely && times >= s.factor && !dead || stays && !dead, finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

#[cfg(test)]
mod tests {
    use super::super::ArrivalWindow;
    use super::*;

    const DAY: Millis = 24 * 3_600_000;

    fn day(arrived: i64, expected: f64) -> TrackingEvidence {
        let window = ArrivalWindow {
            length_ms: DAY,
            arrived,
            expected,
            expected_most: expected,
            clicks: 1_000,
            expected_clicks: 1_000.0,
        };
        let mut windows = [ArrivalWindow::default(); 4];
        windows[3] = window;
        TrackingEvidence { windows, is_known: true, ..TrackingEvidence::default() }
    }

    #[test]
    fn five_times_the_conversions_of_the_clicks_are_unexplained_until_they_are_gone() {
        let (mut row, settings) = (UnexplainedConversions::default(), Settings::default());
        let mut look = |arrived, expected| {
            row.observe(&day(arrived, expected), &settings, 0);
            row.is_open()
        };
        assert!(!look(8, 4.0), "twice is a good day");
        assert!(!look(4, 0.2), "four are too few to say");
        assert!(look(40, 4.0) && look(10, 4.0) && !look(8, 4.0));
        assert!(look(12, 0.1) && !look(0, 0.0));
        let unknown = TrackingEvidence { is_known: false, ..day(100, 0.0) };
        row.observe(&unknown, &settings, 0);
        assert!(!row.is_open(), "what nothing is known of is no surplus");
    }

    #[test]
    fn half_the_conversions_are_a_break_of_the_cost_and_none_at_all_are_not() {
        let opens = |arrived, expected| {
            let mut row = CpaBreak::default();
            matches!(row.observe(&day(arrived, expected), &Settings::default(), 0), Change::Opened(_))
        };
        assert!(opens(50, 100.0) && !opens(80, 100.0) && !opens(5, 10.0));
        assert!(!opens(3, 100.0), "that is a tracking break");
        assert!(!opens(0, 0.0) && !opens(1, f64::NAN) && !opens(-1, 50.0));
    }
}
