//! underspend_risk: the budget will not be spent, and that is more than chance.
//!
//! Two forecasts, from the pacing window and from four hours, must both be below 0.85 of the budget, and need and spend of
//! the four hours at least four standard deviations apart, after a quarter of the plan, for an hour. The bare forecast
//! cries up to 11 times a week on small campaigns. The alert names what binds: if it is the budget's own loop, section 4
//! is acting already and the alert is only a note. Where something else comes to bind while it stands, it is told again.

use super::{Change, Detector, Finding, Kind, Latch, Severity, Since};
use crate::arithmetic::{half_to_even, ppm};
use crate::composition::Binding;
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// One window with its share of the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WindowForecast {
    /// Spend of the window, today's part.
    pub spend_micros: i64,
    /// f: its share of the plan.
    pub share: f64,
}

/// Where the day will end if a window's pace goes on: E + S_w (1 - F) / f.
pub trait Forecast {
    /// Spend of the whole day; none where the window held no planned time.
    fn day_micros(&self, exposed_micros: i64, share_left: f64) -> Option<i64>;
}

impl Forecast for WindowForecast {
    fn day_micros(&self, exposed_micros: i64, share_left: f64) -> Option<i64> {
        let planned = self.share > 0.0;
        let to_come = planned.then(|| self.spend_micros as f64 * share_left / self.share)?;
        half_to_even(exposed_micros as f64 + to_come).ok()
    }
}

/// What the row reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UnderspendEvidence {
    /// B.
    pub budget_micros: i64,
    /// E.
    pub exposed_micros: i64,
    /// c.
    pub cost_micros: i64,
    /// F(W).
    pub plan_share: f64,
    /// The window of the pacing.
    pub window: WindowForecast,
    /// The window of four hours.
    pub long_window: WindowForecast,
    /// What binds the bid.
    pub binding: Binding,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderspendRisk {
    latch: Latch,
    since: Since,
    /// What bound the bid when the row was last told.
    told: Binding,
}

impl Detector for UnderspendRisk {
    type Evidence = UnderspendEvidence;

    fn observe(&mut self, evidence: &UnderspendEvidence, settings: &Settings, now_ms: Millis) -> Change {
        let s = &settings.underspend;
        let share_left = 1.0 - evidence.plan_share;
        let forecast = |window: WindowForecast| window.day_micros(evidence.exposed_micros, share_left);
        let (short, long) = (forecast(evidence.window), forecast(evidence.long_window));
        let low = s.forecast_share_max * evidence.budget_micros as f64;
        let behind = |day: Option<i64>| day.is_some_and(|day| (day as f64) < low);
        let all = evidence.plan_share >= s.plan_share_min
            && behind(short)
            && behind(long)
            && deviations(evidence, share_left).is_some_and(|z| z >= s.deviations_min);
        let held = self.since.note(all, now_ms).is_some_and(|held| held >= s.hold_ms);
        let ends_at = short.unwrap_or(0).max(long.unwrap_or(0));
        let finding = Finding {
            kind: Kind::UnderspendRisk,
            severity: if evidence.binding == Binding::Budget { Severity::Info } else { Severity::Warning },
            observed: ends_at,
            expected: evidence.budget_micros,
            at_stake_micros: evidence.budget_micros.saturating_sub(ends_at).max(0),
        };
        // Once told, it is over only when the conditions are: flapping at the edge of the hour would page twice.
        let stays = self.latch.open && all;
        match self.latch.set(held || stays, finding) {
            // What binds has changed: money would now help, or would no longer. Whoever keeps the alerts tells the same
            // words and severity only once.
            Change::None if self.latch.open && self.told != evidence.binding => {
                self.told = evidence.binding;
                Change::Opened(finding)
            }
            change => {
                self.told = evidence.binding;
                change
            }
        }
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

/// z = (R - S) / sqrt(2 c R) over the long window; events of cost c arrive with twice the variance of a Poisson count.
fn deviations(evidence: &UnderspendEvidence, share_left: f64) -> Option<f64> {
    let rest = evidence.budget_micros.saturating_sub(evidence.exposed_micros).max(0) as f64;
    let need = rest * evidence.long_window.share / share_left;
    let variance = 2.0 * evidence.cost_micros as f64 * need;
    let usable = share_left > 0.0 && variance > 0.0 && variance.is_finite();
    usable.then(|| (need - evidence.long_window.spend_micros as f64) / libm::sqrt(variance))
}

impl UnderspendRisk {
    /// z as parts per million, for explanations.
    pub fn deviations_ppm(evidence: &UnderspendEvidence) -> Option<i64> {
        deviations(evidence, 1.0 - evidence.plan_share).map(ppm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;
    const EUR: i64 = 1_000_000;

    /// Half of the plan is over and 60 of 240 is spent; the last hour cost 4 and the last four hours 16.
    fn poor() -> UnderspendEvidence {
        UnderspendEvidence {
            budget_micros: 240 * EUR,
            exposed_micros: 60 * EUR,
            cost_micros: EUR / 2,
            plan_share: 0.5,
            window: WindowForecast { spend_micros: 4 * EUR, share: 1.0 / 24.0 },
            long_window: WindowForecast { spend_micros: 16 * EUR, share: 4.0 / 24.0 },
            binding: Binding::BidMax,
        }
    }

    fn opens_at(evidence: UnderspendEvidence) -> Option<i64> {
        let mut row = UnderspendRisk::default();
        (0..300)
            .step_by(5)
            .find(|minute| matches!(row.observe(&evidence, &Settings::default(), minute * MINUTE), Change::Opened(_)))
    }

    #[test]
    fn an_hour_of_certain_underspend_is_told_with_what_it_leaves() {
        assert_eq!(opens_at(poor()), Some(60));
        // 60 + 4 x 12 = 108 of 240; R = 180 / 3 = 60, z = (60 - 16) / sqrt(2 x 0.5 x 60) = 5.68.
        assert_eq!(poor().window.day_micros(60 * EUR, 0.5), Some(108 * EUR));
        // Money is in micros: the deviation in micros is 44e6 / sqrt(2 x 5e5 x 6e7).
        assert_eq!(UnderspendRisk::deviations_ppm(&poor()).map(|z| z / 1_000), Some(5_680));
    }

    #[test]
    fn each_guard_keeps_quiet_alone() {
        assert_eq!(opens_at(UnderspendEvidence { plan_share: 0.24, ..poor() }), None);
        let busy_hour = WindowForecast { spend_micros: 20 * EUR, ..poor().window };
        assert_eq!(opens_at(UnderspendEvidence { window: busy_hour, ..poor() }), None);
        assert_eq!(opens_at(UnderspendEvidence { cost_micros: 2 * EUR, ..poor() }), None);
        assert_eq!(opens_at(UnderspendEvidence::default()), None);
    }

    #[test]
    fn a_budget_that_stops_binding_while_it_is_open_makes_the_note_a_warning() {
        let mut row = UnderspendRisk::default();
        let mut look = |minute: i64, binding| {
            let change = row.observe(&UnderspendEvidence { binding, ..poor() }, &Settings::default(), minute * MINUTE);
            if let Change::Opened(finding) = change { Some(finding.severity) } else { None }
        };
        assert_eq!([look(0, Binding::Budget), look(60, Binding::Budget)], [None, Some(Severity::Info)]);
        assert_eq!(look(65, Binding::Target), Some(Severity::Warning));
        assert_eq!(look(70, Binding::Target), None);
    }

    #[test]
    fn it_resolves_when_the_pace_is_back() {
        let mut row = UnderspendRisk::default();
        row.observe(&poor(), &Settings::default(), 0);
        assert!(matches!(row.observe(&poor(), &Settings::default(), 60 * MINUTE), Change::Opened(f)
            if f.severity == Severity::Warning && f.at_stake_micros == 132 * EUR));
        let back = UnderspendEvidence { exposed_micros: 120 * EUR, binding: Binding::Budget, ..poor() };
        let paced = UnderspendEvidence { window: WindowForecast { spend_micros: 10 * EUR, ..poor().window }, ..back };
        assert!(matches!(row.observe(&paced, &Settings::default(), 65 * MINUTE), Change::Resolved(_)));
    }
}
