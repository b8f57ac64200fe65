//! hard_stop: the money that is spent or on its way reaches the day's ceiling before a pause could act.
//!
//! Fires on estimated exposure alone, also while data are dead. It stays open until the local day ends, or until the
//! exposure is clearly below the ceiling: a larger budget, clawed-back money, an estimate that proved too high. The pause
//! that it asks for has its own rules.

use super::{Change, Detector, Finding, Kind, Latch, Severity};
use crate::arithmetic::{of_ppm, ppm};
use crate::pressure::Exposure;
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What the row reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardStopEvidence {
    /// E and r_max.
    pub exposure: Exposure,
    /// Most that the day may cost; for a tiny budget one event less ([`crate::plan::tiny::ceiling_micros`]).
    pub ceiling_micros: i64,
    /// Usual time until a pause acts.
    pub apply_ms: Millis,
    /// D0 of the day that all this is about.
    pub day_start_ms: Millis,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardStop {
    latch: Latch,
    day_start_ms: Millis,
}

impl HardStop {
    /// E + r_max x (apply + 1 min): what the day will have cost when a pause sent now has acted.
    pub fn reach_micros(evidence: &HardStopEvidence, settings: &Settings) -> i64 {
        let wait_ms = evidence.apply_ms.max(0).saturating_add(settings.hard_stop.reserve_ms);
        evidence.exposure.exposed_micros().saturating_add(evidence.exposure.rate_max.over(wait_ms))
    }
}

impl Detector for HardStop {
    type Evidence = HardStopEvidence;

    fn observe(&mut self, evidence: &HardStopEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let reach = Self::reach_micros(evidence, settings);
        let ceiling = evidence.ceiling_micros.max(0);
        let finding = Finding {
            kind: Kind::HardStop,
            severity: Severity::Info,
            observed: reach,
            expected: ceiling,
            at_stake_micros: reach.saturating_sub(ceiling).max(0),
        };
        let new_day = std::mem::replace(&mut self.day_start_ms, evidence.day_start_ms) != evidence.day_start_ms;
        let stops = reach >= ceiling;
        if !self.latch.open {
            return self.latch.set(stops, finding);
        }
        let release = of_ppm(ceiling, ppm(settings.hard_stop.release_share));
        let stays = if new_day { stops } else { stops || evidence.exposure.exposed_micros() >= release };
        self.latch.set(stays, finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pressure::Rate;

    const MINUTE: Millis = 60_000;
    const EUR: i64 = 1_000_000;

    fn evidence(seen: i64, per_minute: i64) -> HardStopEvidence {
        let rate = Rate { spend_micros: per_minute * EUR, span_ms: MINUTE };
        let exposure = Exposure { seen_micros: seen * EUR, unseen_micros: 0, rate, rate_max: rate };
        HardStopEvidence { exposure, ceiling_micros: 100 * EUR, apply_ms: MINUTE, day_start_ms: 0 }
    }

    fn look(stop: &mut HardStop, evidence: HardStopEvidence) -> Change {
        stop.observe(&evidence, &Settings::default(), 0)
    }

    #[test]
    fn the_stop_falls_two_minutes_of_spend_before_the_ceiling() {
        let mut stop = HardStop::default();
        assert_eq!(look(&mut stop, evidence(95, 2)), Change::None);
        assert!(matches!(look(&mut stop, evidence(96, 2)), Change::Opened(f) if f.observed == 100 * EUR));
        // The pause has acted: the rate is gone, the room of four remains unused.
        assert_eq!(look(&mut stop, evidence(96, 0)), Change::None);
        assert!(stop.is_open());
    }

    #[test]
    fn it_ends_with_the_day_or_with_a_larger_budget() {
        let mut stop = HardStop::default();
        look(&mut stop, evidence(99, 2));
        assert!(matches!(look(&mut stop, HardStopEvidence { day_start_ms: 1, ..evidence(0, 0) }), Change::Resolved(_)));
        look(&mut stop, HardStopEvidence { day_start_ms: 1, ..evidence(99, 2) });
        let richer = HardStopEvidence { day_start_ms: 1, ceiling_micros: 200 * EUR, ..evidence(99, 2) };
        assert!(matches!(look(&mut stop, richer), Change::Resolved(_)));
    }

    #[test]
    fn a_budget_of_zero_stops_at_once() {
        let mut stop = HardStop::default();
        assert!(matches!(look(&mut stop, HardStopEvidence { ceiling_micros: 0, ..evidence(0, 0) }), Change::Opened(_)));
    }
}
