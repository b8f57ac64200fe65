//! Facts of the control topics: specifications, platform reports, corrections, context, feedback, policies.
//!
//! They reach the controller only through the journal. Field order is the contract's.

use crate::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The control topics that the copier brings into the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Named as their topics.
pub enum ControlTopic {
    Stats,
    Corrections,
    Campaigns,
    Entities,
    Context,
    Feedback,
    Policy,
}

impl ControlTopic {
    /// All control topics.
    pub const ALL: [ControlTopic; 7] = [
        ControlTopic::Stats,
        ControlTopic::Corrections,
        ControlTopic::Campaigns,
        ControlTopic::Entities,
        ControlTopic::Context,
        ControlTopic::Feedback,
        ControlTopic::Policy,
    ];
}

/// One decoded record of a control topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Named as their schemas.
pub enum Fact {
    CampaignSpec(Box<CampaignSpec>),
    EntitySpec(Box<EntitySpec>),
    StatsReport(Box<StatsReport>),
    Correction(Box<Correction>),
    ContextSignal(Box<ContextSignal>),
    Ack(Box<Ack>),
    StateReport(Box<StateReport>),
    Decision(Box<Decision>),
    Halt(Box<Halt>),
    PolicyVersion(Box<PolicyVersion>),
}

impl Fact {
    /// The account whose journal partition takes the fact; `None` goes to all.
    ///
    /// A context signal is bound to an account only by a scope that names one.
    pub fn account_id(&self) -> Option<&str> {
        match self {
            Fact::CampaignSpec(fact) => Some(&fact.account_id),
            Fact::EntitySpec(fact) => Some(&fact.account_id),
            Fact::StatsReport(fact) => Some(&fact.account_id),
            Fact::Correction(fact) => Some(&fact.account_id),
            Fact::ContextSignal(fact) => fact.scope.get("account").map(String::as_str),
            Fact::Ack(fact) => Some(&fact.account_id),
            Fact::StateReport(fact) => Some(&fact.account_id),
            Fact::Decision(fact) => Some(&fact.account_id),
            Fact::Halt(fact) => fact.account_id.as_deref(),
            Fact::PolicyVersion(_) => None,
        }
    }

    /// The topic that it is a record of.
    pub fn topic(&self) -> ControlTopic {
        match self {
            Fact::CampaignSpec(_) => ControlTopic::Campaigns,
            Fact::EntitySpec(_) => ControlTopic::Entities,
            Fact::StatsReport(_) => ControlTopic::Stats,
            Fact::Correction(_) => ControlTopic::Corrections,
            Fact::ContextSignal(_) => ControlTopic::Context,
            Fact::Ack(_) | Fact::StateReport(_) | Fact::Decision(_) | Fact::Halt(_) => ControlTopic::Feedback,
            Fact::PolicyVersion(_) => ControlTopic::Policy,
        }
    }

    /// The record's schema name.
    pub fn schema_name(&self) -> &'static str {
        match self {
            Fact::CampaignSpec(_) => "CampaignSpec",
            Fact::EntitySpec(_) => "EntitySpec",
            Fact::StatsReport(_) => "StatsReport",
            Fact::Correction(_) => "Correction",
            Fact::ContextSignal(_) => "ContextSignal",
            Fact::Ack(_) => "Ack",
            Fact::StateReport(_) => "StateReport",
            Fact::Decision(_) => "Decision",
            Fact::Halt(_) => "Halt",
            Fact::PolicyVersion(_) => "PolicyVersion",
        }
    }
}

/// What a campaign may spend, bid and aim at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/campaign_spec.avsc.
pub struct CampaignSpec {
    pub campaign_id: String,
    pub account_id: String,
    pub version: i64,
    pub name: String,
    #[serde(default)]
    pub external_ids: BTreeMap<String, String>,
    #[serde(default)]
    pub platform: Option<String>,
    pub channel: String,
    pub status: String,
    pub time_zone: String,
    pub currency: String,
    pub flight_start: Millis,
    #[serde(default)]
    pub flight_end: Option<Millis>,
    #[serde(default)]
    pub open_hours: Option<String>,
    #[serde(default)]
    pub budget_id: Option<String>,
    #[serde(default)]
    pub portfolio_id: Option<String>,
    #[serde(default)]
    pub daily_budget_micros: Option<i64>,
    #[serde(default)]
    pub weekly_budget_micros: Option<i64>,
    #[serde(default)]
    pub monthly_budget_micros: Option<i64>,
    #[serde(default)]
    pub flight_budget_micros: Option<i64>,
    #[serde(default = "default_daily_cap")]
    pub daily_cap: String,
    #[serde(default)]
    pub overdelivery_ppm: Option<i64>,
    #[serde(default = "default_control")]
    pub bid_control: String,
    #[serde(default = "default_control")]
    pub budget_control: String,
    #[serde(default = "default_strategy")]
    pub bid_strategy: String,
    #[serde(default)]
    pub target_cpa_micros: Option<i64>,
    #[serde(default)]
    pub target_roas_ppm: Option<i64>,
    #[serde(default)]
    pub margin_ppm: Option<i64>,
    #[serde(default)]
    pub bid_micros: i64,
    #[serde(default)]
    pub bid_min_micros: i64,
    #[serde(default)]
    pub bid_max_micros: i64,
    #[serde(default)]
    pub bid_step_micros: i64,
    #[serde(default)]
    pub budget_min_micros: Option<i64>,
    #[serde(default)]
    pub budget_max_micros: Option<i64>,
    #[serde(default)]
    pub budget_step_micros: i64,
    #[serde(default)]
    pub goal_conversion_types: Vec<String>,
    #[serde(default)]
    pub micro_conversion_types: Vec<String>,
    #[serde(default = "default_attribution")]
    pub attribution_model: String,
    #[serde(default = "default_spend_source")]
    pub spend_source: String,
    #[serde(default = "default_mode")]
    pub mode: String,
    #[serde(default)]
    pub protected: bool,
    #[serde(default)]
    pub forbidden_dimensions: Vec<String>,
    #[serde(default)]
    pub goal: Option<SmartGoal>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn default_daily_cap() -> String {
    "profile".into()
}
fn default_control() -> String {
    "none".into()
}
fn default_strategy() -> String {
    "manual".into()
}
fn default_attribution() -> String {
    "last".into()
}
fn default_spend_source() -> String {
    "events".into()
}
fn default_mode() -> String {
    "observe".into()
}

/// A specific, measurable goal with a deadline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/campaign_spec.avsc.
pub struct SmartGoal {
    pub metric: String,
    pub direction: String,
    #[serde(default)]
    pub target_micros: Option<i64>,
    #[serde(default)]
    pub target_ppm: Option<i64>,
    #[serde(default)]
    pub baseline: Option<i64>,
    #[serde(default)]
    pub deadline: Option<Millis>,
}

/// Shared budgets, portfolios, ad groups, keywords and creatives, with their own bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/entity_spec.avsc.
pub struct EntitySpec {
    pub entity_id: String,
    pub account_id: String,
    pub kind: String,
    #[serde(default)]
    pub campaign_id: Option<String>,
    #[serde(default)]
    pub parent_id: Option<String>,
    pub version: i64,
    pub name: String,
    #[serde(default)]
    pub external_ids: BTreeMap<String, String>,
    pub status: String,
    pub currency: String,
    #[serde(default)]
    pub daily_budget_micros: Option<i64>,
    #[serde(default)]
    pub monthly_budget_micros: Option<i64>,
    #[serde(default)]
    pub bid_min_micros: Option<i64>,
    #[serde(default)]
    pub bid_max_micros: Option<i64>,
    #[serde(default)]
    pub budget_min_micros: Option<i64>,
    #[serde(default)]
    pub budget_max_micros: Option<i64>,
    #[serde(default)]
    pub protected: bool,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a platform reports for one window, for users without event streams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/stats_report.avsc.
pub struct StatsReport {
    pub report_id: String,
    pub revision: i64,
    pub account_id: String,
    pub campaign_id: String,
    #[serde(default)]
    pub ad_group_id: Option<String>,
    #[serde(default)]
    pub creative_id: Option<String>,
    pub platform: String,
    pub window_start: Millis,
    pub window_end: Millis,
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    pub impressions: i64,
    pub clicks: i64,
    pub cost_micros: i64,
    pub conversions: i64,
    pub value_micros: i64,
    pub currency: String,
    pub basis: String,
    pub semantics: String,
    pub is_final: bool,
}

/// A refund, restated value, late fraud verdict or cost credit; releases budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/correction.avsc.
pub struct Correction {
    pub correction_id: String,
    pub account_id: String,
    pub campaign_id: String,
    #[serde(default)]
    pub references: Option<String>,
    pub applies_at: Millis,
    pub clicks: i64,
    pub conversions: i64,
    pub cost_micros: i64,
    pub value_micros: i64,
    pub currency: String,
    pub reason: String,
}

/// Seasonality, events, weather, data exclusions, freezes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/context_signal.avsc.
pub struct ContextSignal {
    pub signal_id: String,
    pub kind: String,
    #[serde(default)]
    pub scope: BTreeMap<String, String>,
    pub valid_from: Millis,
    pub valid_to: Millis,
    #[serde(default)]
    pub value_ppm: Option<i64>,
    #[serde(default)]
    pub text: Option<String>,
    pub source: String,
    pub issued_at: Millis,
}

/// An ad-buying system's answer to one command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/ack.avsc.
pub struct Ack {
    pub command_id: String,
    pub account_id: String,
    pub campaign_id: String,
    pub sequence: i64,
    /// applied, rejected, conflict, expired, superseded, deferred.
    pub result: String,
    #[serde(default)]
    pub found_value_micros: Option<i64>,
    #[serde(default)]
    pub found_value_ppm: Option<i64>,
    #[serde(default)]
    pub found_at: Option<Millis>,
    #[serde(default)]
    pub applied_at: Option<Millis>,
    /// paceline, person, platform.
    pub actor: String,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub retry_after: Option<Millis>,
}

/// Periodic read-back of what an ad-buying system has in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/state_report.avsc.
pub struct StateReport {
    pub account_id: String,
    pub campaign_id: String,
    pub reported_at: Millis,
    #[serde(default)]
    pub bid_micros: Option<i64>,
    #[serde(default)]
    pub daily_budget_micros: Option<i64>,
    /// active, paused, ended.
    #[serde(default)]
    pub status: Option<String>,
    /// learning, limited, disapproved, ok.
    #[serde(default)]
    pub platform_state: Option<String>,
    /// Who changed it last: paceline, person, platform.
    #[serde(default)]
    pub actor: Option<String>,
}

/// A person's word on a proposal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/decision.avsc.
pub struct Decision {
    pub command_id: String,
    pub account_id: String,
    #[serde(default)]
    pub campaign_id: Option<String>,
    /// approve, reject, edit, snooze.
    pub decision: String,
    /// With edit: the smaller value.
    #[serde(default)]
    pub value_micros: Option<i64>,
    /// With snooze: until when.
    #[serde(default)]
    pub until: Option<Millis>,
    pub actor: String,
    #[serde(default)]
    pub reason: Option<String>,
    pub decided_at: Millis,
}

/// The kill switch, latched: global, an account, or a campaign.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/halt.avsc.
pub struct Halt {
    /// global, account, campaign.
    pub scope: String,
    #[serde(default)]
    pub account_id: Option<String>,
    #[serde(default)]
    pub campaign_id: Option<String>,
    /// set, release.
    pub action: String,
    pub actor: String,
    pub reason: String,
    pub issued_at: Millis,
}

/// One version of a policy file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each field is documented, with its unit, in schemas/policy_version.avsc.
pub struct PolicyVersion {
    pub name: String,
    pub version: i64,
    pub body: String,
    pub sha256: String,
    pub author: String,
    pub applied_at: Millis,
}
