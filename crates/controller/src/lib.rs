//! Stage 2: belief, ledger, decide, apply; a pure function of the journal and of the committed decisions.
//!
//! One [`Controller`] a journal partition. [`Controller::apply`] takes one journal record and gives what is to be
//! published; a restart takes the last snapshot, then the journal with [`Authority::Log`] as far as the output topics
//! speak, then decides again.
//!
//! What always holds: no I/O, no clock, no async; the same records give the same bytes, however they were split into
//! polls. *Belief* (`belief`, `campaign`, `pacing`) is a fold of the journal. The *ledger* (`ledger`, `slot`, `alerts`)
//! changes only by facts: journal records and decision records. A `desk` looks at one campaign: belief moves first, then
//! the policy is asked, and whatever leaves has passed the guard and is in the ledger. An amount is counted once, or it
//! is counted as dropped.
//!
//! Missing on purpose: targets that a platform follows by itself, modifiers by hour of the week, exploration
//! of anything but budgets (the policy leaves their places); invalid traffic by placement (no input says it); lowering a platform's
//! daily budget before midnight (it is lowered after); rebuilding a ledger from desired states
//! alone; snapshots in chunks (one state is one piece of bytes).

mod alerts;
mod allowances;
mod assembly;
mod at_bid;
mod belief;
mod breakdown;
mod by_minute;
mod by_value;
mod by_weather;
mod calendar;
mod campaign;
mod ceilings;
mod channel;
mod context;
mod controller;
mod desired;
mod desk;
mod experiments;
mod factors;
mod frozen;
mod goals;
mod group;
mod halts;
mod hour_table;
mod hours;
mod ledger;
mod loss;
mod maturity;
mod measures;
mod mend;
mod pacing;
mod paths;
mod picture;
mod pools;
mod positions;
mod quarantine;
mod quiet;
mod rows;
mod rule_memory;
mod seen;
mod shared;
mod situation;
mod slot;
mod stats;
mod surroundings;
mod target;
#[cfg(test)]
mod tests;
mod underperformer;
mod value_cap;
mod view;
mod worth;

pub use belief::Counters;
pub use breakdown::{Breakdown, DayOfDimension, Part, Sums as DimensionSums};
pub use campaign::{Granularity, Late, is_goal};
pub use controller::Controller;
pub use desk::{RuleSaid, Undo};
pub use experiments::ExperimentNow;
pub use frozen::Frozen;
pub use goals::GoalNow;
pub use halts::is_outdated;
pub use ledger::Lever;
pub use mend::Holds;
pub use paths::{OfType, Paths};
pub use policy::switchback::Comparison;
pub use rule_memory::{LOST_TERM, RULE_TERM};
pub use view::{AccountGoalNow, ByDimension, CampaignSummary, DayNow, HaltInForce, Hold, View, Waiting, Why};

use model::output::{Adjustment, Alert, DesiredState, KpiRow};
use model::time::Millis;
use serde::{Deserialize, Serialize};

/// What does not change while the process lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The journal partition.
    pub partition: i32,
    /// Name of this build, written into every output.
    pub build: String,
    /// Version of the time zone data.
    pub tzdb: String,
    /// Whether rows of single minutes are published.
    pub minute_rows: bool,
    /// Partitions of the event topics, 0 where unknown: the watermark waits for all of them.
    pub input_partitions: i32,
    /// For a preview: whatever their mode, users' rules only observe.
    pub rules_dry_run: bool,
}

/// Where a journal record stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalPosition {
    /// Offset in the partition.
    pub offset: i64,
    /// The record's own timestamp.
    pub timestamp_ms: Millis,
}

/// Who decides what follows from a record.
#[derive(Clone, Copy, Debug)]
pub enum Authority<'a> {
    /// This state.
    Decide,
    /// What was committed at this record's offset: applied as it stands, nothing is decided anew.
    Log(&'a [LoggedDecision]),
}

/// One committed output record that is a fact of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoggedDecision {
    /// From `ads.adjustments`.
    Adjustment(Box<Adjustment>),
    /// From `ads.proposals`.
    Proposal(Box<Adjustment>),
    /// From `ads.desired-state`, with its key.
    Desired(String, Box<DesiredState>),
    /// From `ads.alerts`.
    Alert(Box<Alert>),
}

/// What one record led to, in the order in which it was decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// For `ads.adjustments`: issued commands.
    pub adjustments: Vec<Adjustment>,
    /// For `ads.proposals`.
    pub proposals: Vec<Adjustment>,
    /// For `ads.desired-state`, with keys.
    pub desired: Vec<(String, DesiredState)>,
    /// For `ads.alerts`.
    pub alerts: Vec<Alert>,
    /// For `ads.kpis`.
    pub kpis: Vec<KpiRow>,
}

impl Outputs {
    /// What the decision log will hold of this: the facts of the ledger, without the KPI rows.
    pub fn decisions(&self) -> Vec<LoggedDecision> {
        let adjustments = self.adjustments.iter().map(|command| LoggedDecision::Adjustment(Box::new(command.clone())));
        let proposals = self.proposals.iter().map(|command| LoggedDecision::Proposal(Box::new(command.clone())));
        let desired = self.desired.iter();
        let desired = desired.map(|(key, state)| LoggedDecision::Desired(key.clone(), Box::new(state.clone())));
        let alerts = self.alerts.iter().map(|alert| LoggedDecision::Alert(Box::new(alert.clone())));
        adjustments.chain(proposals).chain(desired).chain(alerts).collect()
    }
}

/// A snapshot that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Not a snapshot of a controller, or of another format version.
    Format,
    /// The bytes do not decode.
    Corrupt,
    /// It belongs to another journal partition.
    Partition(i32),
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SnapshotError::Format => f.write_str("not a controller snapshot of this format version"),
            SnapshotError::Corrupt => f.write_str("controller snapshot does not decode"),
            SnapshotError::Partition(partition) => write!(f, "snapshot belongs to journal partition {partition}"),
        }
    }
}

impl std::error::Error for SnapshotError {}
