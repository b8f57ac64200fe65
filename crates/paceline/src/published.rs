//! Read views: what the workers last published, for the API, the page and the demo's lines.
//!
//! The only place with concurrent maps; no guard is held across an await, and no worker reads from here.

use controller::{CampaignSummary, Why};
use dashmap::DashMap;
use model::output::{Adjustment, Alert, KpiRow};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// KPI rows kept for the API; about 700 B each. Older rows are on the topic.
const ROWS_MAX: usize = 100_000;
/// Commands and alerts kept for the API.
const RECENT_MAX: usize = 500;
/// Rows in one answer.
const ANSWER_ROWS_MAX: usize = 20_000;
/// A worker that has not said a word for this long is not live: its loop turns at least every second.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A campaign as the page shows it; a missing number is null with the word that says why in `pace` or `why_nothing`.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)] // Names carry meaning and unit.
pub struct CampaignView {
    pub account_id: String,
    pub campaign_id: String,
    pub name: String,
    pub currency: String,
    pub time_zone: String,
    pub status: String,
    pub mode: String,
    pub bid_strategy: String,
    pub spend_day_micros: i64,
    pub spend_flight_micros: i64,
    pub budget_day_micros: Option<i64>,
    pub plan_micros: Option<i64>,
    pub pace: String,
    pub binding: String,
    pub bid_micros: Option<i64>,
    pub bid_confirmed_micros: Option<i64>,
    pub pause_holders: Vec<String>,
    pub halted: bool,
    pub why_nothing: Vec<String>,
    pub impressions_day: i64,
    pub clicks_day: i64,
    pub conversions_day: i64,
}

impl CampaignView {
    /// What the controller says of a campaign; `whys` are its reasons for doing nothing now.
    pub fn of(summary: &CampaignSummary, whys: &[Why]) -> Self {
        let spec = &summary.spec;
        let day = summary.day.as_ref();
        Self {
            account_id: summary.account_id.clone(),
            campaign_id: summary.campaign_id.clone(),
            name: spec.name.clone(),
            currency: spec.currency.clone(),
            time_zone: spec.time_zone.clone(),
            status: spec.status.clone(),
            mode: spec.mode.clone(),
            bid_strategy: spec.bid_strategy.clone(),
            spend_day_micros: summary.spend_day_micros,
            spend_flight_micros: summary.spend_flight_micros,
            budget_day_micros: summary.planned_day_micros.or(summary.daily_budget_micros),
            plan_micros: summary.planned_by_now_micros,
            pace: summary.pace.clone(),
            binding: summary.binding.clone(),
            bid_micros: summary.bid_wanted_micros.or(summary.bid_confirmed_micros),
            bid_confirmed_micros: summary.bid_confirmed_micros,
            pause_holders: summary.holders.clone(),
            halted: summary.halted,
            why_nothing: whys.iter().map(|why| format!("{}: {}", why.lever, why.reason)).collect(),
            impressions_day: day.map_or(0, |row| row.impressions),
            clicks_day: day.map_or(0, |row| row.clicks),
            conversions_day: day.map_or(0, |row| row.conversions),
        }
    }
}

/// Which KPI rows are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[allow(missing_docs)]
pub struct KpiQuery {
    pub campaign_id: Option<String>,
    pub account_id: Option<String>,
    pub granularity: Option<String>,
    pub basis: Option<String>,
    pub from: Option<i64>,
    pub to: Option<i64>,
}

type RowKey = (i64, String, String);

/// All views of one process.
#[derive(Default)]
pub struct Published {
    /// What the workers say of themselves.
    pub health: Health,
    campaigns: DashMap<String, CampaignView>,
    rows: DashMap<String, BTreeMap<RowKey, KpiRow>>,
    rows_held: std::sync::atomic::AtomicUsize,
    adjustments: Mutex<VecDeque<Adjustment>>,
    proposals: Mutex<VecDeque<Adjustment>>,
    alerts: Mutex<Alerts>,
}

/// Alerts by id, and the same in the order in which they may go: resolved ones first, then those longest unchanged.
#[derive(Default)]
struct Alerts {
    by_id: BTreeMap<String, Alert>,
    by_age: BTreeSet<(bool, i64, String)>,
}

impl Alerts {
    fn put(&mut self, alert: &Alert) {
        if let Some(before) = self.by_id.insert(alert.alert_id.clone(), alert.clone()) {
            self.by_age.remove(&age(&before));
        }
        self.by_age.insert(age(alert));
        if self.by_id.len() > RECENT_MAX
            && let Some((.., id)) = self.by_age.pop_first()
        {
            self.by_id.remove(&id);
        }
    }
}

fn age(alert: &Alert) -> (bool, i64, String) {
    (alert.state != "resolved", alert.updated_at, alert.alert_id.clone())
}

impl Published {
    /// Replaces the view of a campaign.
    pub fn put_campaign(&self, view: CampaignView) {
        self.campaigns.insert(view.campaign_id.clone(), view);
    }

    /// Takes a KPI row, unless a later revision is held.
    pub fn put_row(&self, row: &KpiRow) {
        let key = (row.window_start, row.granularity.clone(), row.basis.clone());
        let mut rows = self.rows.entry(row.campaign_id.clone()).or_default();
        match rows.get(&key) {
            Some(held) if held.revision >= row.revision => return,
            Some(_) => {}
            None => {
                let held = self.rows_held.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if held >= ROWS_MAX {
                    rows.pop_first();
                }
            }
        }
        rows.insert(key, row.clone());
    }

    /// Takes an issued command.
    pub fn put_adjustment(&self, adjustment: &Adjustment) {
        push(&self.adjustments, adjustment.clone());
    }

    /// Takes a record of the proposals topic; the newest state of a command replaces the one before.
    pub fn put_proposal(&self, proposal: &Adjustment) {
        if let Ok(mut held) = self.proposals.lock() {
            held.retain(|other| other.command_id != proposal.command_id);
        }
        push(&self.proposals, proposal.clone());
    }

    /// Takes an alert record.
    pub fn put_alert(&self, alert: &Alert) {
        if let Ok(mut alerts) = self.alerts.lock() {
            alerts.put(alert);
        }
    }

    /// All campaigns by id.
    pub fn campaigns(&self) -> Vec<CampaignView> {
        let mut all: Vec<CampaignView> = self.campaigns.iter().map(|entry| entry.value().clone()).collect();
        all.sort_by(|a, b| a.campaign_id.cmp(&b.campaign_id));
        all
    }

    /// Rows that match, by campaign and window, and whether there were more.
    pub fn kpis(&self, query: &KpiQuery) -> (Vec<KpiRow>, bool) {
        let mut found: Vec<KpiRow> = Vec::new();
        let mut take = |rows: &BTreeMap<RowKey, KpiRow>| {
            found.extend(rows.values().filter(|row| query.matches(row)).cloned());
        };
        match &query.campaign_id {
            Some(campaign) => {
                if let Some(rows) = self.rows.get(campaign) {
                    take(&rows);
                }
            }
            None => self.rows.iter().for_each(|entry| take(entry.value())),
        }
        found.sort_by(|a, b| {
            (&a.campaign_id, a.window_start, &a.granularity).cmp(&(&b.campaign_id, b.window_start, &b.granularity))
        });
        let more = found.len() > ANSWER_ROWS_MAX;
        found.truncate(ANSWER_ROWS_MAX);
        (found, more)
    }

    /// Recent commands, newest first.
    pub fn adjustments(&self) -> Vec<Adjustment> {
        self.adjustments.lock().map(|held| held.iter().rev().cloned().collect()).unwrap_or_default()
    }

    /// Proposals that wait for a person, newest first.
    pub fn proposals(&self) -> Vec<Adjustment> {
        let waits = |proposal: &&Adjustment| proposal.state == "proposed";
        self.proposals.lock().map(|held| held.iter().rev().filter(waits).cloned().collect()).unwrap_or_default()
    }

    /// Recent alerts, newest first.
    pub fn alerts(&self) -> Vec<Alert> {
        let mut all: Vec<Alert> =
            self.alerts.lock().map(|held| held.by_id.values().cloned().collect()).unwrap_or_default();
        all.sort_by(|a, b| b.updated_at.cmp(&a.updated_at).then_with(|| a.alert_id.cmp(&b.alert_id)));
        all
    }
}

impl KpiQuery {
    fn matches(&self, row: &KpiRow) -> bool {
        let same = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        same(&self.account_id, &row.account_id)
            && same(&self.granularity, &row.granularity)
            && same(&self.basis, &row.basis)
            && self.from.is_none_or(|from| row.window_start >= from)
            && self.to.is_none_or(|to| row.window_start < to)
    }
}

fn push(list: &Mutex<VecDeque<Adjustment>>, record: Adjustment) {
    let Ok(mut held) = list.lock() else { return };
    if held.len() == RECENT_MAX {
        held.pop_front();
    }
    held.push_back(record);
}

/// What each worker last said: a reason not to be ready, or nothing.
#[derive(Default)]
pub struct Health {
    workers: Mutex<BTreeMap<String, WorkerHealth>>,
}

struct WorkerHealth {
    reason: Option<String>,
    spoke: Instant,
}

impl Health {
    /// A worker's word, repeated each turn of its loop: `None` is ready.
    pub fn say(&self, worker: &str, reason: Option<String>) {
        let Ok(mut workers) = self.workers.lock() else { return };
        workers.insert(worker.to_owned(), WorkerHealth { reason, spoke: Instant::now() });
    }

    /// Whether every worker's loop turns.
    pub fn live(&self) -> Result<(), Vec<String>> {
        self.collect(|name, health| {
            let silent = health.spoke.elapsed();
            (silent > SILENCE_MAX).then(|| format!("{name}: silent for {} s", silent.as_secs()))
        })
    }

    /// Whether every worker is live and takes part.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        self.live()?;
        let none = self.workers.lock().map_or(true, |workers| workers.is_empty());
        if none {
            return Err(vec!["starting".into()]);
        }
        self.collect(|name, health| health.reason.as_ref().map(|reason| format!("{name}: {reason}")))
    }

    fn collect(&self, problem: impl Fn(&str, &WorkerHealth) -> Option<String>) -> Result<(), Vec<String>> {
        let Ok(workers) = self.workers.lock() else { return Err(vec!["a worker panicked".into()]) };
        let problems: Vec<String> = workers.iter().filter_map(|(name, health)| problem(name, health)).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_revision_never_replaces_a_higher_one() {
        let published = Published::default();
        let row = |revision, clicks| KpiRow { campaign_id: "c".into(), revision, clicks, ..KpiRow::default() };
        published.put_row(&row(2, 20));
        published.put_row(&row(1, 10));
        let (rows, more) = published.kpis(&KpiQuery::default());
        assert_eq!((rows.len(), rows[0].clicks, more), (1, 20, false));
    }

    #[test]
    fn ready_needs_every_worker() {
        let health = Health::default();
        assert!(health.ready().is_err());
        health.say("aggregator", None);
        health.say("controller", Some("restoring".into()));
        assert_eq!(health.ready(), Err(vec!["controller: restoring".into()]));
        health.say("controller", None);
        assert_eq!(health.ready(), Ok(()));
    }
}
