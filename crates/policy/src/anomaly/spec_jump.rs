//! spec_jump: a budget, highest bid or target that changes by more than five times in one specification looks like a slip.
//!
//! The old values stay in force until a person confirms, or until a later version is near the old values again. A value
//! that appears or disappears is a decision, not a slip.

use super::{Change, Finding, Kind, Latch, Severity};
use crate::settings::{Anomaly as Settings, Millis};
use model::fact::CampaignSpec;
use serde::{Deserialize, Serialize};

/// The numbers that are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named as the fields of the specification.
pub struct SpecNumbers {
    pub daily_budget_micros: Option<i64>,
    pub weekly_budget_micros: Option<i64>,
    pub monthly_budget_micros: Option<i64>,
    pub flight_budget_micros: Option<i64>,
    pub bid_max_micros: Option<i64>,
    pub target_cpa_micros: Option<i64>,
    pub target_roas_ppm: Option<i64>,
}

/// One number that jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JumpedField {
    /// The specification's field.
    pub field: &'static str,
    /// In force.
    pub old: i64,
    /// Asked for.
    pub new: i64,
}

/// The state of the row: which version waits for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecJump {
    latch: Latch,
    waiting_version: Option<i64>,
}

impl SpecNumbers {
    /// The numbers of a specification.
    pub fn of(spec: &CampaignSpec) -> SpecNumbers {
        SpecNumbers {
            daily_budget_micros: spec.daily_budget_micros,
            weekly_budget_micros: spec.weekly_budget_micros,
            monthly_budget_micros: spec.monthly_budget_micros,
            flight_budget_micros: spec.flight_budget_micros,
            bid_max_micros: Some(spec.bid_max_micros).filter(|bid| *bid > 0),
            target_cpa_micros: spec.target_cpa_micros,
            target_roas_ppm: spec.target_roas_ppm,
        }
    }

    fn fields(&self) -> [(&'static str, Option<i64>); 7] {
        [
            ("daily_budget_micros", self.daily_budget_micros),
            ("weekly_budget_micros", self.weekly_budget_micros),
            ("monthly_budget_micros", self.monthly_budget_micros),
            ("flight_budget_micros", self.flight_budget_micros),
            ("bid_max_micros", self.bid_max_micros),
            ("target_cpa_micros", self.target_cpa_micros),
            ("target_roas_ppm", self.target_roas_ppm),
        ]
    }
}

/// Every number that changed by more than the factor, up or down.
pub fn jumps(old: &SpecNumbers, new: &SpecNumbers, settings: &Settings) -> Vec<JumpedField> {
    let beyond = |a: i64, b: i64| a.max(b) as f64 > settings.spec_jump.factor * a.min(b).max(1) as f64;
    let pairs = old.fields().into_iter().zip(new.fields());
    pairs
        .filter_map(|((field, old), (_, new))| Some(JumpedField { field, old: old?, new: new? }))
        .filter(|jump| jump.old > 0 && jump.new > 0 && beyond(jump.old, jump.new))
        .collect()
}

impl SpecJump {
    /// A new version has arrived; true in `waits` means: keep the old values until [`SpecJump::confirm`].
    pub fn arrive(
        &mut self,
        version: i64,
        (old, new): (&SpecNumbers, &SpecNumbers),
        settings: &Settings,
        _now_ms: Millis,
    ) -> (bool, Change) {
        let jumps = jumps(old, new, settings);
        let first = jumps.first().copied().unwrap_or(JumpedField { field: "", old: 0, new: 0 });
        self.waiting_version = (!jumps.is_empty()).then_some(version);
        (!jumps.is_empty(), self.latch.set(!jumps.is_empty(), finding(first.old, first.new)))
    }

    /// A person has confirmed a version; true if it was the one that waits.
    pub fn confirm(&mut self, version: i64) -> (bool, Change) {
        if self.waiting_version != Some(version) {
            return (false, Change::None);
        }
        self.waiting_version = None;
        (true, self.latch.set(false, finding(0, 0)))
    }

    /// The version that waits for a person.
    pub fn waiting_version(&self) -> Option<i64> {
        self.waiting_version
    }
}

fn finding(old: i64, new: i64) -> Finding {
    let at_stake_micros = new.saturating_sub(old).max(0);
    Finding { kind: Kind::SpecJump, severity: Severity::Warning, observed: new, expected: old, at_stake_micros }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(budget: i64) -> SpecNumbers {
        SpecNumbers { daily_budget_micros: Some(budget), bid_max_micros: Some(2), ..SpecNumbers::default() }
    }

    #[test]
    fn five_times_is_a_change_and_more_is_a_slip() {
        let fields = |old, new| jumps(&old, &new, &Settings::default()).len();
        assert_eq!([fields(daily(100), daily(500)), fields(daily(100), daily(501))], [0, 1]);
        assert_eq!([fields(daily(500), daily(100)), fields(daily(501), daily(100))], [0, 1]);
        let appears = SpecNumbers { monthly_budget_micros: Some(9), bid_max_micros: None, ..daily(100) };
        assert_eq!(fields(daily(100), appears), 0);
    }

    #[test]
    fn a_slip_waits_for_a_person_or_for_its_correction() {
        let mut row = SpecJump::default();
        let settings = Settings::default();
        let (waits, change) = row.arrive(2, (&daily(100), &daily(1_000)), &settings, 0);
        assert!(waits && matches!(change, Change::Opened(f) if f.observed == 1_000));
        assert_eq!(row.confirm(1), (false, Change::None));
        let (waits, change) = row.arrive(3, (&daily(100), &daily(110)), &settings, 1);
        assert!(!waits && matches!(change, Change::Resolved(_)));
        row.arrive(4, (&daily(110), &daily(1_000)), &settings, 2);
        assert!(matches!(row.confirm(4), (true, Change::Resolved(_))));
        assert_eq!(row.waiting_version(), None);
    }
}
