//! runaway: within minutes far more is spent than planned; an emergency.
//!
//! The trigger is the greatest of three: ten times the plan, a twentieth of the budget, twenty events; two looks in a row.
//! So neither a small plan (night), nor a small budget, nor one dear event is a runaway. Looks that see the same
//! watermark count once.

use super::{Change, Detector, Finding, Kind, Latch, Severity};
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What the row reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunawayEvidence {
    /// Spend of the last 5 minutes that are seen.
    pub spend_micros: i64,
    /// End of those minutes.
    pub seen_until_ms: Millis,
    /// Plan of the same minutes: B x share.
    pub plan_micros: i64,
    /// B.
    pub budget_micros: i64,
    /// c; 0 where unknown.
    pub cost_micros: i64,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunawayDetector {
    latch: Latch,
    looks: i64,
    seen_until_ms: Option<Millis>,
    fastest_micros: i64,
}

impl RunawayDetector {
    /// Most that 5 minutes of the last runaway cost, those after the pause was asked for included: what the next one may cost
    /// before it is seen and stopped.
    pub fn fastest_micros(&self) -> i64 {
        self.fastest_micros
    }
}

impl Detector for RunawayDetector {
    type Evidence = RunawayEvidence;

    fn observe(&mut self, evidence: &RunawayEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let s = &settings.runaway;
        let limit = (s.plan_factor * evidence.plan_micros.max(0) as f64)
            .max(s.budget_share * evidence.budget_micros.max(0) as f64)
            .max(s.events * evidence.cost_micros.max(0) as f64);
        let beyond = evidence.spend_micros > 0 && evidence.spend_micros as f64 >= limit;
        let news = self.seen_until_ms.replace(evidence.seen_until_ms) != Some(evidence.seen_until_ms);
        self.looks = match (beyond, news) {
            (false, _) => 0,
            (true, true) => self.looks.saturating_add(1),
            (true, false) => self.looks.max(1),
        };
        let finding = Finding {
            kind: Kind::Runaway,
            severity: Severity::Critical,
            observed: evidence.spend_micros,
            expected: evidence.plan_micros,
            at_stake_micros: evidence.budget_micros,
        };
        let change = self.latch.set(self.looks >= s.ticks.max(1), finding);
        if matches!(change, Change::Opened(_)) {
            self.fastest_micros = evidence.spend_micros;
        } else if self.latch.open {
            self.fastest_micros = self.fastest_micros.max(evidence.spend_micros);
        }
        change
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst(spend: i64, until: Millis) -> RunawayEvidence {
        // Plan 1, budget 400 (a twentieth is 20), an event costs 1 (twenty of them: 20).
        RunawayEvidence {
            spend_micros: spend,
            seen_until_ms: until,
            plan_micros: 1,
            budget_micros: 400,
            cost_micros: 1,
        }
    }

    #[test]
    fn two_looks_at_new_data_are_a_runaway() {
        let mut row = RunawayDetector::default();
        let mut look = |evidence| row.observe(&evidence, &Settings::default(), 0);
        assert_eq!([look(burst(20, 1)), look(burst(20, 1)), look(burst(19, 2)), look(burst(20, 3))], [Change::None; 4]);
        assert!(matches!(look(burst(20, 4)), Change::Opened(f) if f.severity == Severity::Critical));
        assert!(matches!(look(burst(1, 5)), Change::Resolved(_)));
    }

    #[test]
    fn what_its_fastest_minutes_cost_is_remembered_until_the_next_one() {
        let mut row = RunawayDetector::default();
        let mut look = |spend, until| {
            row.observe(&burst(spend, until), &Settings::default(), 0);
            row.fastest_micros()
        };
        assert_eq!([look(20, 1), look(30, 2), look(90, 3), look(50, 4), look(1, 5)], [0, 30, 90, 90, 90]);
        assert_eq!([look(40, 6), look(40, 7)], [90, 40]);
    }

    #[test]
    fn each_of_the_three_limits_guards_alone() {
        let fires = |evidence: RunawayEvidence| {
            let mut row = RunawayDetector::default();
            row.observe(&evidence, &Settings::default(), 0);
            row.observe(&RunawayEvidence { seen_until_ms: 9, ..evidence }, &Settings::default(), 0);
            row.is_open()
        };
        assert!(fires(burst(20, 1)));
        assert!(!fires(RunawayEvidence { plan_micros: 3, ..burst(20, 1) }));
        assert!(!fires(RunawayEvidence { budget_micros: 500, ..burst(20, 1) }));
        assert!(!fires(RunawayEvidence { cost_micros: 2, ..burst(20, 1) }));
        assert!(!fires(RunawayEvidence::default()));
    }
}
