//! early_stop: the day's money is gone, or will be, long before the day is.
//!
//! Opens where the hard stop fired before 0.9 of the plan (budgets of at least 200 events: smaller ones end early by
//! chance), or where for 15 minutes more was spent than needed although the bid is at its lowest. A forecast above the
//! budget alone is no alarm: it cries 15 to 40 times a week.

use super::{Change, Detector, Finding, Kind, Latch, Severity, Since};
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What the row reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EarlyStopEvidence {
    /// The hard stop is open.
    pub hard_stopped: bool,
    /// F(W).
    pub plan_share: f64,
    /// B.
    pub budget_micros: i64,
    /// c; 0 where unknown.
    pub cost_micros: i64,
    /// R of the last evaluation.
    pub need_micros: i64,
    /// S_w of the last evaluation.
    pub window_spend_micros: i64,
    /// The bid in force is the campaign's lowest.
    pub at_bid_min: bool,
    /// E.
    pub exposed_micros: i64,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyStop {
    latch: Latch,
    at_floor: Since,
}

impl Detector for EarlyStop {
    type Evidence = EarlyStopEvidence;

    fn observe(&mut self, evidence: &EarlyStopEvidence, settings: &Settings, now_ms: Millis) -> Change {
        let settings = &settings.early_stop;
        let events = i128::from(settings.budget_events_min) * i128::from(evidence.cost_micros.max(0));
        let large = evidence.cost_micros > 0 && i128::from(evidence.budget_micros) >= events;
        let stopped = evidence.hard_stopped && large && evidence.plan_share < settings.plan_share_max;
        let fast = evidence.at_bid_min && evidence.need_micros < evidence.window_spend_micros;
        let too_fast = self.at_floor.note(fast, now_ms).is_some_and(|held| held >= settings.floor_bid_ms);
        let finding = Finding {
            kind: Kind::EarlyStop,
            severity: Severity::Warning,
            observed: evidence.exposed_micros,
            expected: crate::arithmetic::half_to_even(evidence.budget_micros as f64 * evidence.plan_share).unwrap_or(0),
            at_stake_micros: evidence.budget_micros.saturating_sub(evidence.exposed_micros).max(0),
        };
        // A stop that came early stays early: the plan's share goes on rising behind it.
        let stays = self.latch.open && evidence.hard_stopped;
        self.latch.set(stopped || too_fast || stays, finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn gone_at(plan_share: f64) -> EarlyStopEvidence {
        EarlyStopEvidence {
            hard_stopped: true,
            plan_share,
            budget_micros: 200,
            cost_micros: 1,
            ..EarlyStopEvidence::default()
        }
    }

    #[test]
    fn a_stop_at_six_in_the_evening_is_early_and_one_at_midnight_is_not() {
        let look = |evidence| EarlyStop::default().observe(&evidence, &Settings::default(), 0);
        assert!(matches!(look(gone_at(0.7)), Change::Opened(f) if f.expected == 140));
        assert_eq!(look(gone_at(0.9)), Change::None);
        assert_eq!(look(EarlyStopEvidence { budget_micros: 199, ..gone_at(0.7) }), Change::None);
    }

    #[test]
    fn it_stays_while_the_stop_does() {
        let mut row = EarlyStop::default();
        row.observe(&gone_at(0.7), &Settings::default(), 0);
        assert_eq!(row.observe(&gone_at(0.95), &Settings::default(), 1), Change::None);
        let over = EarlyStopEvidence { hard_stopped: false, ..gone_at(0.0) };
        assert!(matches!(row.observe(&over, &Settings::default(), 2), Change::Resolved(_)));
    }

    #[test]
    fn a_quarter_of_an_hour_too_fast_at_the_lowest_bid_is_early() {
        let fast = EarlyStopEvidence { at_bid_min: true, need_micros: 1, window_spend_micros: 2, ..Default::default() };
        let mut row = EarlyStop::default();
        let mut look = |evidence, minute: i64| row.observe(&evidence, &Settings::default(), minute * MINUTE);
        assert_eq!([look(fast, 0), look(fast, 14)], [Change::None; 2]);
        assert_eq!(look(EarlyStopEvidence { need_micros: 2, ..fast }, 15), Change::None);
        assert_eq!([look(fast, 20), look(fast, 34)], [Change::None; 2]);
        assert!(matches!(look(fast, 35), Change::Opened(_)));
    }
}
