//! Where an epoch ends: what the caller says, what it gets, and how a recorded cut is said again.

use crate::counters::Counters;
use crate::semantics::Semantics;
use model::event::EventKind;
use model::journal::Epoch;
use model::time::Millis;
use std::fmt;

/// The end of an epoch, as its owner decides it. Arrays are in the order of [`EventKind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutEnd {
    /// Next position to read of each sibling; at or behind the last folded record, holes of control records included.
    pub to: [i64; 3],
    /// The owner has read the sibling to its stable end and found nothing for the idle time.
    pub idle: [bool; 3],
    /// What holds from the next epoch on; `None` leaves it. A version not above the present one is ignored.
    pub next_semantics: Option<Semantics>,
    /// Records behind the cut, for people.
    pub lag_records: i64,
}

/// What an epoch has come to. The dead letters were told at once by [`crate::Verdict::Rejected`].
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// The record for the topic of epochs; its ranges are also those of the journal records.
    pub epoch: Epoch,
    /// What happened beside it.
    pub counters: Counters,
}

/// Why an epoch cannot end so; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutError {
    /// No epoch is open.
    NotOpen,
    /// The cut ends before a record that it has folded.
    Behind {
        /// Of which sibling.
        kind: EventKind,
        /// Where the cut would end.
        to: i64,
        /// Next position after what was folded.
        folded_to: i64,
    },
}

impl fmt::Display for CutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("closing an epoch that is not open"),
            Self::Behind { kind, to, folded_to } => {
                write!(f, "cutting {kind:?} at {to}, before the folded position {folded_to}")
            }
        }
    }
}

impl std::error::Error for CutError {}

/// A cut as an Epoch record tells it, for a replay: open with `clock`, fold the records from `from` to before `to`,
/// close with [`Self::end`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedCut {
    /// Its number.
    pub epoch: i64,
    /// For [`crate::SiblingSet::open`].
    pub clock: Millis,
    /// Where each sibling starts.
    pub from: [i64; 3],
    /// Where each sibling ends.
    pub to: [i64; 3],
    /// Which siblings were idle.
    pub idle: [bool; 3],
    /// Version of the semantics that hold after it.
    pub policy_version: i64,
    /// Records behind the cut.
    pub lag_records: i64,
}

impl RecordedCut {
    /// `None` where the record does not have the three ranges of a sibling set.
    pub fn of(epoch: &Epoch) -> Option<Self> {
        let [impressions, clicks, conversions] = epoch.ranges.as_slice() else { return None };
        let ranges = [impressions, clicks, conversions];
        Some(Self {
            epoch: epoch.epoch,
            clock: epoch.clock,
            from: ranges.map(|range| range.from),
            to: ranges.map(|range| range.to),
            idle: ranges.map(|range| range.idle),
            policy_version: epoch.policy_version,
            lag_records: epoch.lag_records,
        })
    }

    /// The argument of [`crate::SiblingSet::close`]; `adopted` are the semantics of [`Self::policy_version`].
    pub fn end(&self, adopted: Option<Semantics>) -> CutEnd {
        CutEnd { to: self.to, idle: self.idle, next_semantics: adopted, lag_records: self.lag_records }
    }
}
