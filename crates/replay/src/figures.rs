//! What a replay counts while it goes: everything that the summary, the report and a comparison say.
//!
//! What always holds: figures of a partition depend on its journal alone, and those of a run on its partitions in their
//! order; money is whole micros. The tables hold every decision, row and alert; here are sums, marks for a time line,
//! and the few that matter most. Missing on purpose: sums over currencies.

use controller::Counters;
use model::fact::CampaignSpec;
use model::journal::{Epoch, EpochCounts};
use model::output::{Adjustment, Alert, KpiRow};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How often spend is laid beside its plan.
pub const SAMPLE_MS: Millis = 15 * MINUTE_MS;
/// Commands and alerts that a report lists one by one; the tables hold all.
pub const LISTED_MAX: usize = 300;

/// An account and its campaign.
pub type Name = (String, String);

/// Counts of words.
pub type Words = BTreeMap<String, u64>;

/// All figures of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// What was read of each journal partition.
    pub spans: Vec<Span>,
    /// By account and campaign.
    pub campaigns: BTreeMap<Name, Campaign>,
    /// Spend and plan of the day so far, by currency, then instant.
    pub samples: BTreeMap<String, BTreeMap<Millis, Sample>>,
    /// Commands with most money at stake.
    pub commands: Vec<Adjustment>,
    /// Stake and instant of the least of them, once there are as many as are kept.
    #[serde(skip)]
    least: Option<(i64, Millis)>,
    /// Alerts that opened, those with most money at stake.
    pub alerts: Vec<Alert>,
    /// Alerts that opened: by UTC day, account, campaign, kind.
    pub opened: BTreeMap<(i64, String, String, String), u64>,
    /// Severities of alerts that opened.
    pub severities: Words,
    /// Alerts that opened about an account or about all: when, account (empty for all), kind.
    pub wide_marks: Vec<(Millis, String, String)>,
    /// Alerts still open at the end.
    pub still_open: u64,
    /// Versions of the policy that decided, with how many records.
    pub policy_versions: BTreeMap<i64, u64>,
    /// What was counted aside.
    pub quality: Quality,
    /// Experiments of the recorded policy: what their tosses identify.
    pub experiments: Vec<Experiment>,
}

/// An experiment: campaign-days were tossed to arms with chances that are logged, so what its arms brought is comparable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Experiment {
    pub account_id: String,
    pub id: String,
    pub metric: String,
    /// planned, running, decided, void, over.
    pub verdict: String,
    pub winner: Option<String>,
    /// Name, chance of a day, days judged, mean outcome of a day.
    pub arms: Vec<(String, f64, i64, Option<f64>)>,
    /// Of each arm but the first against it: low, mean and high of the effect, as a share of what was expected.
    pub effects: Vec<Option<[f64; 3]>>,
}

/// Events that stage 1 read, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct EventCounts {
    pub impressions: EpochCounts,
    pub clicks: EpochCounts,
    pub conversions: EpochCounts,
}

impl EventCounts {
    /// Adds what a cut counted.
    pub fn take(&mut self, epoch: &Epoch) {
        self.add(&Self { impressions: epoch.impressions, clicks: epoch.clicks, conversions: epoch.conversions });
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.impressions, other.impressions),
            (&mut self.clicks, other.clicks),
            (&mut self.conversions, other.conversions),
        ] {
            sum.accepted = sum.accepted.saturating_add(more.accepted);
            sum.duplicate = sum.duplicate.saturating_add(more.duplicate);
            sum.late = sum.late.saturating_add(more.late);
            sum.rejected = sum.rejected.saturating_add(more.rejected);
            sum.evicted = sum.evicted.saturating_add(more.evicted);
        }
    }

    /// The kinds with their names.
    pub fn kinds(&self) -> [(&'static str, EpochCounts); 3] {
        [("impressions", self.impressions), ("clicks", self.clicks), ("conversions", self.conversions)]
    }
}

/// What was read of a journal partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Span {
    pub partition: i32,
    /// First offset read, and the one after the last.
    pub from_offset: i64,
    pub next_offset: i64,
    pub records: u64,
    pub deltas: u64,
    pub facts: u64,
    /// Timestamps of the first and the last record that is reported on.
    pub first_ms: Option<Millis>,
    pub last_ms: Option<Millis>,
    /// With what it began.
    pub begun: Begun,
}

/// With what a journal partition's replay began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begun {
    /// With nothing, before the journal's first record.
    #[default]
    Whole,
    /// With a state that the service had kept, of this instant.
    State(Millis),
    /// With nothing, though records before it are gone.
    Cold,
}

/// Spend beside its plan at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Spent in the local days so far, of campaigns that have a plan.
    pub spend_micros: i64,
    /// Planned by then.
    pub planned_micros: i64,
    /// Planned for the whole days.
    pub whole_micros: i64,
}

/// One campaign of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Campaign {
    pub spec: CampaignSpec,
    /// Local days by their start, and UTC hours.
    pub days: BTreeMap<Millis, Window>,
    pub hours: BTreeMap<Millis, Window>,
    /// Issued commands in their order.
    pub steps: Vec<Step>,
    /// Issued commands by kind, by reason; proposals by state.
    pub kinds: Words,
    pub reasons: Words,
    pub proposals: Words,
    /// What the guard changed.
    pub guard_edits: Words,
    /// Why nothing was commanded, sampled each hour, as `lever: word`.
    pub nothing: Words,
    /// Alerts that opened, by kind.
    pub alerts: Words,
    /// Plans of local days as they stood last, by the day's start.
    pub plans: BTreeMap<Millis, i64>,
    /// Instants at which an alert opened, and its kind.
    pub alert_marks: Vec<(Millis, String)>,
}

/// The last word on an hour or a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Window {
    pub revision: i64,
    pub end: Millis,
    /// As the campaign's own calendar writes its start.
    pub local: String,
    /// Still open where the replay ends.
    pub is_open: bool,
    pub spend_micros: i64,
    pub plan_micros: Option<i64>,
    pub impressions: i64,
    pub clicks: i64,
    pub invalid_clicks: i64,
    /// Conversions (in micro-conversions) and value: as claimed, and as credited by the models.
    pub claimed: (i64, i64),
    pub last: (i64, i64),
    pub linear: (i64, i64),
    /// Platform reports count, not events.
    pub is_reported: bool,
    pub pace: String,
    pub binding: String,
}

/// An issued command on the time line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Step {
    pub at: Millis,
    pub lever: Lever,
    /// Bid or budget, where it is one.
    pub value_micros: Option<i64>,
    pub reason: String,
}

/// What a command moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Lever {
    Bid,
    Budget,
    Pause,
    Resume,
    Other,
}

/// What was counted aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Quality {
    pub counters: Counters,
    pub quarantined_rows: u64,
    pub refused_by_quarantine: i64,
    pub integrity_holds: u64,
    pub answers_set_aside: u64,
    /// The furthest that the aggregator said it was behind.
    pub lag_records_max: i64,
}

impl Window {
    /// Conversions (in micro-conversions) and value by the rule of the rows' own ratios: by the campaign's model, or as
    /// claimed where it has no credits.
    pub fn outcome(&self, spec: &CampaignSpec) -> (i64, i64) {
        let credited = if spec.attribution_model == "linear" { self.linear } else { self.last };
        if self.is_reported || credited == (0, 0) { self.claimed } else { credited }
    }
}

impl Step {
    /// Of a command.
    pub fn of(command: &Adjustment) -> Self {
        let (value_micros, reason) = (command.value_micros, command.reason.clone());
        Self { at: command.issued_at, lever: Lever::of(&command.kind), value_micros, reason }
    }
}

impl Lever {
    /// Of a kind of command.
    pub fn of(kind: &str) -> Self {
        match kind {
            "set_bid" => Lever::Bid,
            "set_daily_budget" | "set_flight_budget" => Lever::Budget,
            "pause" => Lever::Pause,
            "resume" => Lever::Resume,
            _ => Lever::Other,
        }
    }
}

impl Figures {
    /// Takes another partition's figures; partitions come in their order.
    pub fn take(&mut self, other: Figures) {
        self.spans.extend(other.spans);
        // Campaigns lie in one partition each; a name that comes twice is one that has moved with its account's id.
        self.campaigns.extend(other.campaigns);
        merge_samples(&mut self.samples, other.samples);
        self.commands.extend(other.commands);
        self.alerts.extend(other.alerts);
        add(&mut self.opened, other.opened);
        add(&mut self.severities, other.severities);
        add(&mut self.policy_versions, other.policy_versions);
        self.wide_marks.extend(other.wide_marks);
        self.experiments.extend(other.experiments);
        self.still_open += other.still_open;
        self.quality.take(&other.quality);
        self.keep_few();
    }

    /// First and last instant that is reported on.
    pub fn range(&self) -> Option<(Millis, Millis)> {
        let first = self.spans.iter().filter_map(|span| span.first_ms).min()?;
        let last = self.spans.iter().filter_map(|span| span.last_ms).max()?;
        Some((first, last))
    }

    pub(crate) fn campaign(&mut self, account: &str, campaign: &str) -> &mut Campaign {
        self.campaigns.entry((account.to_owned(), campaign.to_owned())).or_default()
    }

    pub(crate) fn command(&mut self, command: &Adjustment) {
        let campaign = self.campaign(&command.account_id, &command.campaign_id);
        *campaign.kinds.entry(command.kind.clone()).or_default() += 1;
        *campaign.reasons.entry(command.reason.clone()).or_default() += 1;
        for edit in &command.explanation.guard_edits {
            *campaign.guard_edits.entry(edit.clone()).or_default() += 1;
        }
        campaign.steps.push(Step::of(command));
        // A copy of a command is dear, and nearly all of them would be put away again.
        let (stake, at) = (command.risk.at_stake_micros, command.issued_at);
        if self.least.is_some_and(|(least, before)| stake < least || stake == least && at > before) {
            return;
        }
        self.commands.push(command.clone());
        if self.commands.len() >= LISTED_MAX * 4 {
            self.keep_few();
        }
    }

    pub(crate) fn alert(&mut self, alert: &Alert) {
        if alert.state != "opened" {
            return;
        }
        let (account, name) = (alert.account_id.clone(), alert.campaign_id.clone());
        if let Some((account, name)) = account.as_ref().zip(name.as_ref()) {
            let campaign = self.campaign(account, name);
            *campaign.alerts.entry(alert.kind.clone()).or_default() += 1;
            campaign.alert_marks.push((alert.opened_at, alert.kind.clone()));
        } else {
            self.wide_marks.push((alert.opened_at, account.clone().unwrap_or_default(), alert.kind.clone()));
        }
        let day = alert.opened_at.div_euclid(DAY_MS);
        let key = (day, account.unwrap_or_default(), name.unwrap_or_default(), alert.kind.clone());
        *self.opened.entry(key).or_default() += 1;
        *self.severities.entry(alert.severity.clone()).or_default() += 1;
        self.alerts.push(alert.clone());
        if self.alerts.len() >= LISTED_MAX * 4 {
            self.keep_few();
        }
    }

    pub(crate) fn row(&mut self, row: &KpiRow, is_open: bool) {
        if row.basis != "conversion_time" {
            return;
        }
        let campaign = self.campaign(&row.account_id, &row.campaign_id);
        let windows = match row.granularity.as_str() {
            "hour" => &mut campaign.hours,
            "day" => &mut campaign.days,
            _ => return,
        };
        let window = windows.entry(row.window_start).or_default();
        if row.revision < window.revision {
            return;
        }
        let plan_micros = row.plan_micros.or(window.plan_micros);
        let credit = |model: &str| {
            let credit = row.attributed.iter().find(|credit| credit.model == model);
            credit.map(|credit| (credit.conversions_micro, credit.value_micros)).unwrap_or_default()
        };
        *window = Window {
            revision: row.revision,
            end: row.window_end,
            local: row.window_start_local.clone(),
            is_open,
            spend_micros: row.spend_micros,
            plan_micros,
            impressions: row.impressions,
            clicks: row.clicks,
            invalid_clicks: row.invalid_clicks,
            claimed: (row.conversions.saturating_mul(model::CONVERSION_MICRO), row.value_micros),
            last: credit("last"),
            linear: credit("linear"),
            is_reported: row.spend_source == "stats",
            pace: row.pace.clone(),
            binding: row.binding.clone(),
        };
    }

    /// Whether no row was published of this window: it is still open.
    pub(crate) fn misses(&self, row: &KpiRow) -> bool {
        let known = self.campaigns.get(&(row.account_id.clone(), row.campaign_id.clone()));
        known.is_none_or(|campaign| {
            let windows = if row.granularity == "hour" { &campaign.hours } else { &campaign.days };
            !windows.contains_key(&row.window_start)
        })
    }

    /// Keeps those with most money at stake, then orders them by time.
    pub(crate) fn keep_few(&mut self) {
        self.commands.sort_by(|a, b| {
            let stake = |command: &Adjustment| command.risk.at_stake_micros;
            (stake(b), a.issued_at, &a.command_id).cmp(&(stake(a), b.issued_at, &b.command_id))
        });
        self.commands.truncate(LISTED_MAX);
        let least = self.commands.get(LISTED_MAX - 1);
        self.least = least.map(|command| (command.risk.at_stake_micros, command.issued_at));
        self.commands.sort_by(|a, b| (a.issued_at, &a.command_id).cmp(&(b.issued_at, &b.command_id)));
        self.alerts.sort_by(|a, b| {
            let rank = |alert: &Alert| (alert.severity == "critical", alert.money_at_stake_micros);
            rank(b).cmp(&rank(a)).then_with(|| (a.opened_at, &a.alert_id).cmp(&(b.opened_at, &b.alert_id)))
        });
        self.alerts.truncate(LISTED_MAX);
        self.alerts.sort_by(|a, b| (a.opened_at, &a.alert_id).cmp(&(b.opened_at, &b.alert_id)));
    }
}

impl Quality {
    fn take(&mut self, other: &Quality) {
        self.counters.add(&other.counters);
        self.refused_by_quarantine = self.refused_by_quarantine.saturating_add(other.refused_by_quarantine);
        self.quarantined_rows += other.quarantined_rows;
        self.integrity_holds += other.integrity_holds;
        self.answers_set_aside += other.answers_set_aside;
        self.lag_records_max = self.lag_records_max.max(other.lag_records_max);
    }
}

fn add<K: Ord, V: std::ops::AddAssign + Default>(sum: &mut BTreeMap<K, V>, more: BTreeMap<K, V>) {
    for (key, value) in more {
        *sum.entry(key).or_default() += value;
    }
}

/// Adds series of two partitions; where one says nothing at an instant, its last word of the same day stands.
fn merge_samples(
    sum: &mut BTreeMap<String, BTreeMap<Millis, Sample>>,
    more: BTreeMap<String, BTreeMap<Millis, Sample>>,
) {
    for (currency, series) in more {
        let known = sum.entry(currency).or_default();
        let instants: std::collections::BTreeSet<Millis> = known.keys().chain(series.keys()).copied().collect();
        let at = |series: &BTreeMap<Millis, Sample>, at: Millis| {
            let before = series.range(..=at).next_back();
            before.filter(|(when, _)| at - **when < CARRIED_MS).map(|(_, sample)| *sample).unwrap_or_default()
        };
        let merged = instants.into_iter().map(|when| {
            let (a, b) = (at(known, when), at(&series, when));
            let sample = Sample {
                spend_micros: a.spend_micros.saturating_add(b.spend_micros),
                planned_micros: a.planned_micros.saturating_add(b.planned_micros),
                whole_micros: a.whole_micros.saturating_add(b.whole_micros),
            };
            (when, sample)
        });
        *known = merged.collect();
    }
}

/// A partition that is silent so long has stopped.
const CARRIED_MS: Millis = HOUR_MS;
