//! What the controller publishes: commands, desired state, alerts, KPI rows.
//!
//! Every record names the journal partition and offset that it was decided at, so that a restart can tell what is
//! already out and `verify` can compare.

use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// What a command is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/adjustment.avsc.
pub struct Target {
    /// campaign, budget, ad_group, keyword, creative, portfolio.
    pub level: String,
    pub id: String,
    pub external_id: Option<String>,
}

/// A dimension and its value, for modifiers and exclusions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Dimension {
    pub name: String,
    pub value: String,
}

/// Compare-and-set: what must be in force for the command to apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ExpectedPrevious {
    pub value_micros: Option<i64>,
    pub value_ppm: Option<i64>,
    /// Sequence of the last confirmed command, 0 before the first.
    pub sequence: i64,
}

/// What holds from the end of the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Fallback {
    pub value_micros: Option<i64>,
    pub when: Millis,
}

/// Money at stake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Risk {
    /// Spend that silence from now on could still cause in this budget period.
    pub worst_case_micros: i64,
    pub at_stake_micros: i64,
}

/// What the command should bring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ExpectedEffect {
    pub metric: String,
    pub low: i64,
    pub mid: i64,
    pub high: i64,
}

/// A number that went into a decision, with its name and unit in the name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Term {
    pub name: String,
    pub value: i64,
}

/// One window that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct WindowSums {
    pub name: String,
    pub start: Millis,
    pub end: Millis,
    pub impressions: i64,
    pub clicks: i64,
    pub spend_micros: i64,
    pub conversions_micro: i64,
    pub value_micros: i64,
}

/// Why: everything needed to say it to a person and to reproduce it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Explanation {
    /// One plain sentence.
    pub text: String,
    pub windows: Vec<WindowSums>,
    pub watermark: Millis,
    pub journal_partition: i32,
    pub journal_offset: i64,
    /// Terms of the controller, in the order they were computed.
    pub terms: Vec<Term>,
    /// What the guard changed, as words.
    pub guard_edits: Vec<String>,
    /// What happens without the command.
    pub without: String,
    pub policy_version: i64,
    pub build: String,
    pub tzdb: String,
    pub propensity_ppm: Option<i64>,
}

/// A bid or budget adjustment: issued on `ads.adjustments`, every other state on `ads.proposals`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/adjustment.avsc.
pub struct Adjustment {
    pub command_id: String,
    pub account_id: String,
    pub campaign_id: String,
    pub target: Target,
    /// set_bid, set_modifier, set_modifier_table, set_daily_budget, set_flight_budget, set_target, set_weight, pause,
    /// resume, exclude, cancel.
    pub kind: String,
    pub dimension: Option<Dimension>,
    pub value_micros: Option<i64>,
    pub value_ppm: Option<i64>,
    pub table: Option<Vec<i64>>,
    pub expected_previous: ExpectedPrevious,
    pub currency: String,
    pub sequence: i64,
    pub group_id: Option<String>,
    pub requires: Vec<String>,
    /// observe, approve, auto.
    pub mode: String,
    /// issued, observed, proposed, approved, rejected, expired.
    pub state: String,
    pub issued_at: Millis,
    pub decided_at_event_time: Millis,
    pub effective_from: Millis,
    pub expires_at: Millis,
    pub fallback: Option<Fallback>,
    pub holder: Option<String>,
    pub reason: String,
    pub risk: Risk,
    pub expected_effect: Option<ExpectedEffect>,
    pub explanation: Explanation,
    pub decide_by: Option<Millis>,
}

/// One value of a desired state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/desired_state.avsc.
pub struct DesiredValue {
    pub target: Target,
    pub kind: String,
    pub dimension: Option<Dimension>,
    pub wanted_micros: Option<i64>,
    pub confirmed_micros: Option<i64>,
    pub confirmed_at: Option<Millis>,
    pub command_id: String,
    pub sequence: i64,
    pub lease_until: Option<Millis>,
    pub fallback: Option<Fallback>,
    pub holders: Vec<String>,
    #[serde(default)]
    pub wanted_ppm: Option<i64>,
    #[serde(default)]
    pub confirmed_ppm: Option<i64>,
    #[serde(default)]
    pub wanted_table: Option<Vec<i64>>,
    #[serde(default)]
    pub confirmed_table: Option<Vec<i64>>,
}

/// Sums and latches that must survive every restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/desired_state.avsc.
pub struct LedgerTotals {
    pub spend_day_micros: i64,
    pub spend_month_micros: i64,
    pub spend_flight_micros: i64,
    pub allowances: Vec<Term>,
    pub latches: Vec<String>,
}

/// Every value now in force for one key (campaign, shared budget), or, with key `lease/<account_id>`, the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/desired_state.avsc.
pub struct DesiredState {
    pub account_id: String,
    pub campaign_id: Option<String>,
    pub values: Vec<DesiredValue>,
    pub sequence: i64,
    pub lease_until: Option<Millis>,
    pub ledger: LedgerTotals,
    pub journal_partition: i32,
    pub journal_offset: i64,
    pub policy_version: i64,
    pub build: String,
}

/// Something a person should know, with a life: opened, updated, resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/alert.avsc.
pub struct Alert {
    pub alert_id: String,
    pub kind: String,
    /// info, warning, critical.
    pub severity: String,
    /// opened, updated, resolved.
    pub state: String,
    /// global, account, campaign.
    pub scope: String,
    pub account_id: Option<String>,
    pub campaign_id: Option<String>,
    pub opened_at: Millis,
    pub updated_at: Millis,
    pub resolved_at: Option<Millis>,
    pub observed: Option<i64>,
    pub expected: Option<i64>,
    pub money_at_stake_micros: i64,
    pub incident_id: String,
    pub suggested_command: Option<String>,
    pub text: String,
    pub journal_partition: i32,
    pub journal_offset: i64,
    pub policy_version: i64,
    pub build: String,
}

/// Conversions and value credited by one attribution model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/kpi_row.avsc.
pub struct ModelCredit {
    pub model: String,
    pub conversions_micro: i64,
    pub value_micros: i64,
}

/// KPIs of a campaign for one closed hour, local day or (opt-in) minute; a correction is a full row of higher revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/kpi_row.avsc.
pub struct KpiRow {
    pub account_id: String,
    pub campaign_id: String,
    pub currency: String,
    /// minute, hour (of UTC), day (of the campaign's time zone).
    pub granularity: String,
    pub window_start: Millis,
    pub window_end: Millis,
    /// RFC 3339 with offset, in the campaign's time zone.
    pub window_start_local: String,
    pub window_end_local: String,
    pub time_zone: String,
    pub revision: i64,
    pub watermark: Millis,
    /// conversion_time, touch_time.
    pub basis: String,
    pub impressions: i64,
    pub clicks: i64,
    pub invalid_clicks: i64,
    pub billable: i64,
    /// As reported, before corrections.
    pub gross_spend_micros: i64,
    /// After corrections.
    pub spend_micros: i64,
    /// Claimed by the events' own `campaign_id`.
    pub conversions: i64,
    pub value_micros: i64,
    pub attributed: Vec<ModelCredit>,
    /// Share of the credits that have arrived, rows of basis `touch_time`.
    pub matured_ppm: Option<i64>,
    /// Ratios, null where the denominator is zero.
    pub ctr_ppm: Option<i64>,
    pub cvr_ppm: Option<i64>,
    pub cpc_micros: Option<i64>,
    pub cpm_micros: Option<i64>,
    pub cpa_micros: Option<i64>,
    pub roas_ppm: Option<i64>,
    pub roi_ppm: Option<i64>,
    pub plan_micros: Option<i64>,
    /// ahead, on_plan, behind, unknown, paused, exhausted.
    pub pace: String,
    /// budget, target, bid_max, bid_min, supply, none.
    pub binding: String,
    pub spend_source: String,
    /// The other source's spend over the authority's, where both exist.
    pub reconciliation_ratio_ppm: Option<i64>,
    pub journal_partition: i32,
    pub journal_offset: i64,
    pub policy_version: i64,
    pub build: String,
}
