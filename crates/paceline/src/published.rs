//! Read views: what the workers last published, for the API, the page and the demo's lines.
//!
//! The only place with concurrent maps; no guard is held across an await, and no worker reads from here.

mod experiments;
mod halts;
mod hub;
mod letters;
mod view;

pub use experiments::ExperimentView;
pub use halts::HaltView;
pub use hub::{Hub, Told};
pub use letters::{LetterView, Letters};
pub use view::{AccountGoal, CampaignEntry, CampaignView, Forecast, RuleView};

use dashmap::DashMap;
use halts::Halts;
use model::output::{Adjustment, Alert, KpiRow};
use model::time::Millis;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// KPI rows kept for the API; about 700 B each. Older rows are on the topic.
const ROWS_MAX: usize = 100_000;
/// Commands and alerts kept for the API.
const RECENT_MAX: usize = 500;
/// Rows in one answer: some 4 MB, so that many slow readers take no gigabytes.
const ANSWER_ROWS_MAX: usize = 4_000;
/// Points of a campaign's trace: a day and the point that is still moving.
const TRACE_POINTS_MAX: usize = 97;
/// Event time between two points of a trace: what a small chart of a day can show.
const TRACE_STEP_MS: Millis = 15 * 60_000;
/// Changed campaigns told one by one in a pass; more are told as "read the lists again".
const TOLD_CAMPAIGNS_MAX: usize = 500;
/// A worker that has not said a word for this long is not live: its loop turns at least every second.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Which KPI rows are wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
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
/// Account and campaign.
type CampaignKey = (String, String);

/// All views of one process.
#[derive(Default)]
pub struct Published {
    /// What the workers say of themselves.
    pub health: Health,
    /// Who listens to changes.
    pub hub: Hub,
    /// Records that were refused.
    pub letters: Letters,
    campaigns: DashMap<CampaignKey, Held>,
    traces: DashMap<CampaignKey, VecDeque<TracePoint>>,
    last_commands: DashMap<CampaignKey, LastCommand>,
    rows: DashMap<CampaignKey, BTreeMap<RowKey, KpiRow>>,
    rows_held: AtomicUsize,
    adjustments: Mutex<VecDeque<Arc<Adjustment>>>,
    proposals: Mutex<VecDeque<Arc<Adjustment>>>,
    alerts: Mutex<Alerts>,
    halts: Halts,
    experiments: experiments::Experiments,
    goals: Mutex<Vec<AccountGoal>>,
    pass: AtomicU64,
    told_in_pass: AtomicUsize,
    policy_version: AtomicI64,
    event_time: AtomicI64,
}

/// A campaign and the pass that it was last seen in.
struct Held {
    entry: Arc<CampaignEntry>,
    pass: u64,
}

/// Spend and plan of the local day at an instant of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct TracePoint {
    pub at: Millis,
    pub spend_day_micros: i64,
    pub plan_micros: Option<i64>,
}

/// What was last done, or would have been.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct LastCommand {
    pub command_id: String,
    pub kind: String,
    pub state: String,
    pub reason: String,
    pub text: String,
    pub at: Millis,
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
    /// Replaces the view of a campaign, as it stands at an instant of event time.
    pub fn put_campaign(&self, entry: CampaignEntry, event_time: Millis) {
        let key = (entry.view.account_id.clone(), entry.view.campaign_id.clone());
        self.trace(&key, &entry.view, event_time);
        let held = Held { entry: Arc::new(entry), pass: self.pass.load(Ordering::Relaxed) };
        let entry = held.entry.clone();
        let before = self.campaigns.insert(key, held);
        let is_news = before.is_none_or(|before| before.entry.view != entry.view);
        if is_news && self.hub.is_heard() {
            match self.told_in_pass.fetch_add(1, Ordering::Relaxed) {
                told if told < TOLD_CAMPAIGNS_MAX => self.hub.tell("campaign", &entry.view),
                TOLD_CAMPAIGNS_MAX => self.hub.tell("resync", &json!({ "what": "campaigns" })),
                _ => {}
            }
        }
    }

    /// A pass over all campaigns of this process is over: who was not seen in it belongs to another process now.
    pub fn end_pass(&self, policy_version: i64, event_time: Millis) {
        let pass = self.pass.fetch_add(1, Ordering::Relaxed);
        self.told_in_pass.store(0, Ordering::Relaxed);
        self.policy_version.store(policy_version, Ordering::Relaxed);
        self.event_time.store(event_time, Ordering::Relaxed);
        self.campaigns.retain(|_, held| held.pass == pass);
        // Rows may be read before their campaign is told: they go only where room is needed.
        if self.rows_held.load(Ordering::Relaxed) >= ROWS_MAX {
            self.rows.retain(|key, rows| {
                let stays = self.campaigns.contains_key(key);
                if !stays {
                    self.rows_held.fetch_sub(rows.len(), Ordering::Relaxed);
                }
                stays
            });
        }
        if self.traces.len() > self.campaigns.len() {
            self.traces.retain(|key, _| self.campaigns.contains_key(key));
            self.last_commands.retain(|key, _| self.campaigns.contains_key(key));
        }
    }

    fn trace(&self, key: &CampaignKey, view: &CampaignView, at: Millis) {
        let point = TracePoint { at, spend_day_micros: view.spend_day_micros, plan_micros: view.plan_micros };
        let mut trace = self.traces.entry(key.clone()).or_default();
        match trace.back_mut() {
            Some(last) if last.at.div_euclid(TRACE_STEP_MS) == at.div_euclid(TRACE_STEP_MS) => *last = point,
            _ => trace.push_back(point),
        }
        if trace.len() > TRACE_POINTS_MAX {
            trace.pop_front();
        }
    }

    /// Takes a KPI row, unless a later revision is held. Where all are held that may be, the oldest row of a campaign that has
    /// its part or more goes: its own, or another's.
    pub fn put_row(&self, row: &KpiRow) {
        let key = (row.window_start, row.granularity.clone(), row.basis.clone());
        let campaign = (row.account_id.clone(), row.campaign_id.clone());
        let held = match self.rows.get(&campaign) {
            Some(rows) if rows.get(&key).is_some_and(|held| held.revision >= row.revision) => return,
            Some(rows) => (rows.contains_key(&key), rows.len()),
            None => (false, 0),
        };
        let (is_held, own) = held;
        if !is_held && self.rows_held.load(Ordering::Relaxed) >= ROWS_MAX {
            let part = ROWS_MAX / self.rows.len().max(1);
            let from_own = (own >= part).then(|| campaign.clone());
            let from = from_own.or_else(|| {
                self.rows.iter().find(|other| other.value().len() >= part).map(|other| other.key().clone())
            });
            let gone = from.and_then(|from| self.rows.get_mut(&from)?.pop_first());
            if gone.is_none() {
                return;
            }
            self.rows_held.fetch_sub(1, Ordering::Relaxed);
        }
        if self.rows.entry(campaign).or_default().insert(key, row.clone()).is_none() {
            self.rows_held.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes an issued command.
    pub fn put_adjustment(&self, adjustment: &Adjustment) {
        self.note_command(adjustment);
        self.hub.tell("adjustment", adjustment);
        push(&self.adjustments, adjustment.clone());
    }

    /// Takes a record of the proposals topic; the newest state of a command replaces the one before.
    pub fn put_proposal(&self, proposal: &Adjustment) {
        self.note_command(proposal);
        self.hub.tell("proposal", proposal);
        if let Ok(mut held) = self.proposals.lock() {
            held.retain(|other| other.command_id != proposal.command_id);
        }
        push(&self.proposals, proposal.clone());
    }

    /// After a restart: what still waits, as the recovered state knows it.
    pub fn know_proposal(&self, proposal: &Adjustment) {
        let known = |held: &VecDeque<Arc<Adjustment>>| {
            held.len() >= RECENT_MAX || held.iter().any(|one| one.command_id == proposal.command_id)
        };
        if self.proposals.lock().is_ok_and(|held| !known(&held)) {
            self.put_proposal(proposal);
        }
    }

    /// After a restart: an alert that is still open, as the recovered state knows it.
    pub fn know_alert(&self, alert: &Alert) {
        let known = |held: &Alerts| held.by_id.len() >= RECENT_MAX || held.by_id.contains_key(&alert.alert_id);
        if self.alerts.lock().is_ok_and(|held| !known(&held)) {
            self.put_alert(alert);
        }
    }

    fn note_command(&self, command: &Adjustment) {
        let last = LastCommand {
            command_id: command.command_id.clone(),
            kind: command.kind.clone(),
            state: command.state.clone(),
            reason: command.reason.clone(),
            text: command.explanation.text.clone(),
            at: command.issued_at,
        };
        self.last_commands.insert((command.account_id.clone(), command.campaign_id.clone()), last);
    }

    /// Takes an alert record.
    pub fn put_alert(&self, alert: &Alert) {
        self.hub.tell("alert", alert);
        if let Ok(mut alerts) = self.alerts.lock() {
            alerts.put(alert);
        }
    }

    /// All campaigns by id.
    pub fn campaigns(&self) -> Vec<CampaignView> {
        self.entries().iter().map(|entry| entry.view.clone()).collect()
    }

    /// Takes the goals of all accounts.
    pub fn put_goals(&self, mut goals: Vec<AccountGoal>) {
        goals.sort_by(|one, other| (&one.account_id, &one.name).cmp(&(&other.account_id, &other.name)));
        *self.goals.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = goals;
    }

    /// Goals of accounts, by account and name.
    pub fn goals(&self) -> Vec<AccountGoal> {
        self.goals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// All campaigns by campaign and account id, without copies.
    pub fn entries(&self) -> Vec<Arc<CampaignEntry>> {
        let mut all: Vec<_> = self.campaigns.iter().map(|held| held.entry.clone()).collect();
        all.sort_by(|a, b| (&a.view.campaign_id, &a.view.account_id).cmp(&(&b.view.campaign_id, &b.view.account_id)));
        all
    }

    /// One campaign.
    pub fn entry(&self, account_id: &str, campaign_id: &str) -> Option<Arc<CampaignEntry>> {
        self.campaigns.get(&key(account_id, campaign_id)).map(|held| held.entry.clone())
    }

    /// Spend and plan of the day through the last 24 hours of event time, one point each 15 minutes.
    pub fn trace_of(&self, account_id: &str, campaign_id: &str) -> Vec<TracePoint> {
        self.traces.get(&key(account_id, campaign_id)).map(|trace| trace.iter().copied().collect()).unwrap_or_default()
    }

    /// The last command or proposal of a campaign.
    pub fn last_command(&self, account_id: &str, campaign_id: &str) -> Option<LastCommand> {
        self.last_commands.get(&key(account_id, campaign_id)).map(|last| last.clone())
    }

    /// Version of the policy in force, 0 before the first pass.
    pub fn policy_version(&self) -> i64 {
        self.policy_version.load(Ordering::Relaxed)
    }

    /// Running maximum of the journal's timestamps, 0 before the first pass.
    pub fn event_time(&self) -> Millis {
        self.event_time.load(Ordering::Relaxed)
    }

    /// Rows that match, by campaign and window, and whether there were more.
    pub fn kpis(&self, query: &KpiQuery) -> (Vec<KpiRow>, bool) {
        // Keys first, so that no more rows are copied than are answered, and those of one campaign more.
        let mut keys: Vec<CampaignKey> = match (&query.account_id, &query.campaign_id) {
            (Some(account), Some(campaign)) => vec![key(account, campaign)],
            (account, campaign) => {
                let is = |wanted: &Option<String>, id: &str| wanted.as_deref().is_none_or(|wanted| wanted == id);
                let wanted = |(of, id): &CampaignKey| is(account, of) && is(campaign, id);
                self.rows.iter().map(|rows| rows.key().clone()).filter(wanted).collect()
            }
        };
        keys.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
        let mut found: Vec<KpiRow> = Vec::new();
        for campaign in keys.chunk_by(|one, next| one.1 == next.1) {
            for rows in campaign.iter().filter_map(|key| self.rows.get(key)) {
                found.extend(rows.values().filter(|row| query.matches(row)).cloned());
            }
            if found.len() > ANSWER_ROWS_MAX {
                break;
            }
        }
        found.sort_by(|a, b| {
            (&a.campaign_id, a.window_start, &a.granularity, &a.account_id, &a.basis).cmp(&(
                &b.campaign_id,
                b.window_start,
                &b.granularity,
                &b.account_id,
                &b.basis,
            ))
        });
        let more = found.len() > ANSWER_ROWS_MAX;
        found.truncate(ANSWER_ROWS_MAX);
        (found, more)
    }

    /// Recent commands, newest first.
    pub fn adjustments(&self) -> Vec<Arc<Adjustment>> {
        self.adjustments.lock().map(|held| held.iter().rev().cloned().collect()).unwrap_or_default()
    }

    /// Proposals in whatever state, newest first.
    pub fn proposals(&self) -> Vec<Arc<Adjustment>> {
        self.proposals.lock().map(|held| held.iter().rev().cloned().collect()).unwrap_or_default()
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

fn key(account_id: &str, campaign_id: &str) -> CampaignKey {
    (account_id.to_owned(), campaign_id.to_owned())
}

fn push(list: &Mutex<VecDeque<Arc<Adjustment>>>, record: Adjustment) {
    let Ok(mut held) = list.lock() else { return };
    if held.len() == RECENT_MAX {
        held.pop_front();
    }
    held.push_back(Arc::new(record));
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

    /// As if everybody had been silent for so long.
    #[cfg(test)]
    pub fn age(&self, by: Duration) {
        self.workers.lock().unwrap().values_mut().for_each(|health| health.spoke -= by);
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
    fn a_campaign_that_comes_when_all_room_is_taken_gets_its_part() {
        let published = Published::default();
        let row =
            |campaign: &str, window_start| KpiRow { campaign_id: campaign.into(), window_start, ..KpiRow::default() };
        (0..ROWS_MAX as i64).for_each(|hour| published.put_row(&row("old", hour)));
        (0..100).for_each(|hour| published.put_row(&row("new", hour)));
        published.put_row(&row("old", ROWS_MAX as i64));
        let held = |campaign: &str| published.rows.get(&(String::new(), campaign.into())).map_or(0, |rows| rows.len());
        assert_eq!((held("new"), held("old")), (100, ROWS_MAX - 100));
        published.end_pass(1, 0);
        assert_eq!((held("new"), held("old")), (0, 0), "campaigns that are held no more make room");
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
