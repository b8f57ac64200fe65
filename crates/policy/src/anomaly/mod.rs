//! What is wrong, one small state machine a row of section 9, and a few rows beside it.
//!
//! What always holds: an anomaly opens once and resolves once; each keeps its own guard against false alarms; evidence is a
//! typed struct that the caller fills from its windows. The statistics behind tracking_break, cost_spike and
//! invalid_traffic are those of [`crate::detect`].

mod click_rate_spike;
mod cost_spike;
mod delivery_stopped;
mod early_stop;
mod feed_silent;
mod feedback;
mod hard_stop;
mod invalid_traffic;
mod rate_shift;
mod runaway;
mod spec_jump;
mod tracking_break;
mod underspend;

pub use click_rate_spike::{ClickHour, ClickRateSpike};
pub use cost_spike::{CostSpike, PriceHour};
pub use delivery_stopped::{DeliveryEvidence, DeliveryStopped, due_given};
pub use early_stop::{EarlyStop, EarlyStopEvidence};
pub use feed_silent::{FeedSilent, SilenceEvidence};
pub use feedback::{AckEvidence, AckMissing, DataGap, FoundEvidence, GapEvidence, ValueMismatch};
pub use hard_stop::{HardStop, HardStopEvidence};
pub use invalid_traffic::{InvalidTraffic, PlacementCounts};
pub use rate_shift::{CpaBreak, UnexplainedConversions};
pub use runaway::{RunawayDetector, RunawayEvidence};
pub use spec_jump::{JumpedField, SpecJump, SpecNumbers, jumps};
pub use tracking_break::{ArrivalWindow, TrackingBreak, TrackingEvidence};
pub use underspend::{Forecast, UnderspendEvidence, UnderspendRisk, WindowForecast};

use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// Watches one kind of trouble of one campaign.
pub trait Detector {
    /// What it reads.
    type Evidence;

    /// Looks once.
    fn observe(&mut self, evidence: &Self::Evidence, settings: &Settings, now_ms: Millis) -> Change;

    /// Whether the trouble stands.
    fn is_open(&self) -> bool;
}

/// What a look changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// Trouble began.
    Opened(Finding),
    /// Trouble is over.
    Resolved(Finding),
}

/// What was found: enough for an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which row.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// What was seen, in the unit of the row.
    pub observed: i64,
    /// What was to be expected.
    pub expected: i64,
    /// Money that the trouble can cost.
    pub at_stake_micros: i64,
}

/// The rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Named as the rows.
pub enum Kind {
    EarlyStop,
    HardStop,
    Runaway,
    UnderspendRisk,
    DeliveryStopped,
    TrackingBreak,
    CostSpike,
    InvalidTraffic,
    SpecJump,
    DataGap,
    AckMissing,
    ValueMismatch,
    UnexplainedConversions,
    CpaBreak,
    ClickRateSpike,
    FeedSilent,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Named as the words of the contract.
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Kind {
    /// The word of the alert.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::EarlyStop => "early_stop",
            Kind::HardStop => "hard_stop",
            Kind::Runaway => "runaway",
            Kind::UnderspendRisk => "underspend_risk",
            Kind::DeliveryStopped => "delivery_stopped",
            Kind::TrackingBreak => "tracking_break",
            Kind::CostSpike => "cost_spike",
            Kind::InvalidTraffic => "invalid_traffic",
            Kind::SpecJump => "spec_jump",
            Kind::DataGap => "data_gap",
            Kind::AckMissing => "ack_missing",
            Kind::ValueMismatch => "value_mismatch",
            Kind::UnexplainedConversions => "conversions_without_clicks",
            Kind::CpaBreak => "cpa_break",
            Kind::ClickRateSpike => "click_rate_spike",
            Kind::FeedSilent => "feed_silent",
        }
    }

    /// Whether chance opens the row now and then, and one cause can open it in many campaigns: such alarms are told as
    /// [`crate::detect::discovery::Incidents`] says.
    pub fn is_statistical(self) -> bool {
        matches!(
            self,
            Kind::DeliveryStopped
                | Kind::TrackingBreak
                | Kind::CostSpike
                | Kind::UnexplainedConversions
                | Kind::CpaBreak
                | Kind::ClickRateSpike
                | Kind::FeedSilent
        )
    }
}

impl Severity {
    /// The word of the alert.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// Open or not: the part that all rows share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Latch {
    open: bool,
}

impl Latch {
    fn set(&mut self, open: bool, finding: Finding) -> Change {
        let was = std::mem::replace(&mut self.open, open);
        match (was, open) {
            (false, true) => Change::Opened(finding),
            (true, false) => Change::Resolved(finding),
            _ => Change::None,
        }
    }
}

/// A condition that must hold without a break for some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Since {
    at_ms: Option<Millis>,
}

impl Since {
    /// How long the condition has held; none if it does not.
    fn note(&mut self, holds: bool, now_ms: Millis) -> Option<Millis> {
        self.at_ms = if holds { Some(self.at_ms.unwrap_or(now_ms).min(now_ms)) } else { None };
        self.at_ms.map(|at| now_ms.saturating_sub(at))
    }
}
