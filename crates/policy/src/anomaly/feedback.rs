//! data_gap, ack_missing, value_mismatch: what the world tells us does not fit; increases are held until it does.
//!
//! A gap is a difference of positions, or time without data; a missing answer is counted in commands; a value that is not
//! ours belongs to somebody else and is left alone (the override rule of the gates).

use super::{Change, Detector, Finding, Kind, Latch, Severity};
use crate::gates::Freshness;
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What data_gap reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapEvidence {
    /// Journal positions do not join, or a source has not reported.
    pub positions_broken: bool,
    /// How old the data are.
    pub freshness: Freshness,
    /// T - W.
    pub data_age_ms: Millis,
    /// The age that is allowed.
    pub allowed_age_ms: Millis,
    /// Money that may be spent unseen.
    pub unseen_micros: i64,
}

/// data_gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataGap {
    latch: Latch,
}

impl Detector for DataGap {
    type Evidence = GapEvidence;

    fn observe(&mut self, evidence: &GapEvidence, _settings: &Settings, _now_ms: Millis) -> Change {
        // A feed that never began is a set-up in progress, not a gap; increases are held all the same.
        let began = evidence.data_age_ms < Millis::MAX;
        let dead = evidence.positions_broken || (began && evidence.freshness == Freshness::Dead);
        let finding = Finding {
            kind: Kind::DataGap,
            severity: if dead { Severity::Critical } else { Severity::Warning },
            observed: evidence.data_age_ms,
            expected: evidence.allowed_age_ms,
            at_stake_micros: evidence.unseen_micros.max(0),
        };
        self.latch.set(dead || (began && evidence.freshness == Freshness::Stale), finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

/// What ack_missing reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckEvidence {
    /// Commands in a row without an answer beyond their limit.
    pub unanswered: i64,
    /// The last command is a pause that was not answered within its limit, or was answered and not applied.
    pub pause_ignored: bool,
    /// Worst case of the values that may or may not be in force.
    pub at_stake_micros: i64,
}

/// ack_missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckMissing {
    latch: Latch,
}

impl Detector for AckMissing {
    type Evidence = AckEvidence;

    fn observe(&mut self, evidence: &AckEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let least = settings.feedback.acks_missing_min.max(1);
        let finding = Finding {
            kind: Kind::AckMissing,
            // Whoever does not pause goes on spending: that is worth waking somebody.
            severity: if evidence.pause_ignored { Severity::Critical } else { Severity::Warning },
            observed: evidence.unanswered,
            expected: 0,
            at_stake_micros: evidence.at_stake_micros.max(0),
        };
        let many = if self.latch.open { evidence.unanswered > 0 } else { evidence.unanswered >= least };
        match self.latch.set(many || evidence.pause_ignored, finding) {
            // An open row becomes graver; whoever keeps the alerts tells the same severity only once.
            Change::None if evidence.pause_ignored => Change::Opened(finding),
            change => change,
        }
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

/// What value_mismatch reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundEvidence {
    /// Value found in force.
    pub found_micros: i64,
    /// Value that we last knew confirmed.
    pub confirmed_micros: i64,
    /// Value of a command on its way.
    pub pending_micros: Option<i64>,
    /// Who changed it, where the report says so.
    pub by_us: Option<bool>,
}

/// value_mismatch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueMismatch {
    latch: Latch,
}

impl ValueMismatch {
    /// Whether the value found is somebody else's.
    pub fn is_foreign(evidence: &FoundEvidence, settings: &Settings) -> bool {
        let near = |ours: i64| {
            let tolerance = crate::arithmetic::of_ppm(ours.max(0), settings.feedback.mismatch_tolerance_ppm);
            ours.abs_diff(evidence.found_micros) <= tolerance.max(1).unsigned_abs()
        };
        let ours = near(evidence.confirmed_micros) || evidence.pending_micros.is_some_and(near);
        !ours && evidence.by_us != Some(true)
    }
}

impl Detector for ValueMismatch {
    type Evidence = FoundEvidence;

    fn observe(&mut self, evidence: &FoundEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let finding = Finding {
            kind: Kind::ValueMismatch,
            severity: Severity::Warning,
            observed: evidence.found_micros,
            expected: evidence.confirmed_micros,
            at_stake_micros: 0,
        };
        self.latch.set(Self::is_foreign(evidence, settings), finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_opens_on_broken_positions_and_on_old_data() {
        let look = |evidence| DataGap::default().observe(&evidence, &Settings::default(), 0);
        assert_eq!(look(GapEvidence::default()), Change::None);
        let stale = GapEvidence { freshness: Freshness::Stale, ..GapEvidence::default() };
        assert!(matches!(look(stale), Change::Opened(f) if f.severity == Severity::Warning));
        let broken = GapEvidence { positions_broken: true, ..GapEvidence::default() };
        assert!(matches!(look(broken), Change::Opened(f) if f.severity == Severity::Critical));
    }

    #[test]
    fn three_missing_answers_are_an_alert_until_one_comes() {
        let mut row = AckMissing::default();
        let mut look = |unanswered| {
            row.observe(&AckEvidence { unanswered, ..AckEvidence::default() }, &Settings::default(), 0);
            row.is_open()
        };
        assert_eq!([look(2), look(3), look(1), look(0)], [false, true, true, false]);
    }

    #[test]
    fn one_pause_that_is_not_obeyed_is_critical_at_once_also_where_the_row_is_open() {
        let ignored = AckEvidence { unanswered: 0, pause_ignored: true, at_stake_micros: 7 };
        for before in [0, 3] {
            let mut row = AckMissing::default();
            let bids = AckEvidence { unanswered: before, ..AckEvidence::default() };
            row.observe(&bids, &Settings::default(), 0);
            let change = row.observe(&AckEvidence { unanswered: before, ..ignored }, &Settings::default(), 0);
            assert!(matches!(change, Change::Opened(f) if f.severity == Severity::Critical && f.at_stake_micros == 7));
            let answered = row.observe(&AckEvidence::default(), &Settings::default(), 0);
            assert!(matches!(answered, Change::Resolved(_)) && !row.is_open());
        }
    }

    #[test]
    fn a_value_that_is_neither_confirmed_nor_pending_is_somebody_elses() {
        let found = |found_micros| FoundEvidence {
            found_micros,
            confirmed_micros: 1_000_000,
            pending_micros: Some(1_100_000),
            by_us: None,
        };
        let foreign = |evidence| ValueMismatch::is_foreign(&evidence, &Settings::default());
        assert_eq!(
            [1_000_000, 1_000_900, 1_100_000, 1_050_000].map(|v| foreign(found(v))),
            [false, false, false, true]
        );
        assert!(!foreign(FoundEvidence { by_us: Some(true), ..found(7) }));
        assert!(foreign(FoundEvidence { pending_micros: None, ..found(i64::MIN) }));
    }
}
