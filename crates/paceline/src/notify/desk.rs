//! Which alerts are news, and when they are told: one message for an incident, not one for each campaign.
//!
//! What always holds: an incident is told when it opens, when it becomes graver and when its last alert is resolved, and
//! not in between; one that resolves before it was told is not told at all. The number of incidents is bounded.
//! Time is an argument.

use crate::settings::{NotificationSettings, Snooze};
use model::output::Alert;
use model::time::Millis;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Critical news wait this long at most: others of the same cause come within the same second.
const URGENT_MS: Millis = 2_000;
/// Incidents remembered, some kB each at most; beyond them the one longest unchanged is forgotten.
const INCIDENTS_MAX: usize = 5_000;
/// Alerts and campaigns remembered of one incident.
const MEMBERS_MAX: usize = 1_000;
/// Campaigns named in a message.
const NAMED_MAX: usize = 10;
/// Incidents in one message.
const MESSAGE_MAX: usize = 50;

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It will be told.
    News,
    /// Its incident was told, or it is not grave enough.
    Known,
    /// A setting says to be silent.
    Snoozed,
}

/// An incident as a message tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // Fields of an alert, of all alerts of the incident together.
pub struct Told {
    pub incident_id: String,
    pub kind: String,
    pub severity: String,
    /// opened, graver, resolved.
    pub state: &'static str,
    pub alerts_open: usize,
    pub accounts: Vec<String>,
    pub campaigns: Vec<String>,
    pub money_at_stake_micros: i64,
    pub opened_at: Millis,
    pub updated_at: Millis,
    pub text: String,
    pub suggested_command: Option<String>,
}

/// The state machine.
pub struct Desk {
    severity_min: usize,
    digest_ms: Millis,
    snoozes: Vec<Snooze>,
    incidents: BTreeMap<String, Incident>,
    /// Ends of incidents that were told in a message which nobody took.
    untold_ends: Vec<Told>,
    due_at: Option<Millis>,
}

struct Incident {
    worst: Alert,
    open: BTreeMap<String, i64>,
    accounts: BTreeSet<String>,
    campaigns: BTreeSet<String>,
    updated_at: Millis,
    /// Rank of the severity that was told.
    told: Option<usize>,
    is_news: bool,
}

impl Desk {
    /// A desk that has heard nothing.
    pub fn new(settings: &NotificationSettings) -> Self {
        Self {
            severity_min: settings.severity,
            digest_ms: settings.digest_ms,
            snoozes: settings.snoozes.clone(),
            incidents: BTreeMap::new(),
            untold_ends: Vec::new(),
            due_at: None,
        }
    }

    /// Takes back what nobody took: it is news again, and is told with the next message, after `wait_ms` at the latest.
    pub fn give_back(&mut self, untold: Vec<Told>, now: Millis, wait_ms: Millis) {
        for told in untold {
            match (self.incidents.get_mut(&told.incident_id), told.state) {
                // It may have opened anew; that it ended in between is no news then.
                (None, "resolved") if self.untold_ends.len() < INCIDENTS_MAX => self.untold_ends.push(told),
                (Some(incident), "opened" | "graver") => {
                    let before = rank(&told.severity).checked_sub(1);
                    incident.told = before.filter(|_| told.state == "graver");
                    incident.is_news = incident.told.is_some() || !incident.open.is_empty();
                }
                _ => {}
            }
        }
        if self.untold_ends.is_empty() && self.incidents.values().all(|incident| !incident.is_news) {
            return;
        }
        let due_at = now.saturating_add(wait_ms);
        self.due_at = Some(self.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
    }

    /// Whether something critical is due.
    pub fn has_urgent(&self, now: Millis) -> bool {
        self.due_at.is_some_and(|due_at| due_at <= now)
            && self.incidents.values().any(|incident| incident.is_news && rank(&incident.worst.severity) == 2)
    }

    /// Hears an alert record.
    pub fn take(&mut self, alert: &Alert, now: Millis) -> Taken {
        if self.snoozes.iter().any(|snooze| covers(snooze, alert, now)) {
            return Taken::Snoozed;
        }
        let is_new = !self.incidents.contains_key(&alert.incident_id);
        if is_new && (rank(&alert.severity) < self.severity_min || alert.state == "resolved") {
            return Taken::Known;
        }
        if is_new && self.incidents.len() >= INCIDENTS_MAX {
            let oldest =
                self.incidents.iter().min_by_key(|(_, incident)| incident.updated_at).map(|(id, _)| id.clone());
            self.incidents.remove(&oldest.unwrap_or_default());
        }
        let incident = self.incidents.entry(alert.incident_id.clone()).or_insert_with(|| Incident::of(alert));
        let was_news = incident.is_news;
        incident.hear(alert);
        if !incident.is_news {
            if incident.told.is_none() {
                self.incidents.remove(&alert.incident_id);
            }
            return Taken::Known;
        }
        let wait_ms = if rank(&incident.worst.severity) == 2 { URGENT_MS.min(self.digest_ms) } else { self.digest_ms };
        let due_at = now.saturating_add(wait_ms);
        self.due_at = Some(self.due_at.map_or(due_at, |earlier| earlier.min(due_at)));
        if was_news { Taken::Known } else { Taken::News }
    }

    /// When there is something to tell.
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.due_at
    }

    /// What is to be told now, the gravest first; what finds no room is told next.
    pub fn handle_timeout(&mut self, now: Millis) -> Vec<Told> {
        if self.due_at.is_none_or(|due_at| now < due_at) {
            return Vec::new();
        }
        let mut news: Vec<(usize, String)> = self
            .incidents
            .iter()
            .filter(|(_, incident)| incident.is_news)
            .map(|(id, incident)| (2 - rank(&incident.worst.severity), id.clone()))
            .collect();
        news.sort();
        self.due_at = (news.len() > MESSAGE_MAX).then_some(now);
        news.truncate(MESSAGE_MAX);
        let mut told: Vec<Told> = news.iter().filter_map(|(_, id)| self.tell(id)).collect();
        let room = MESSAGE_MAX.saturating_sub(told.len()).min(self.untold_ends.len());
        told.extend(self.untold_ends.drain(..room));
        if !self.untold_ends.is_empty() {
            self.due_at = Some(now);
        }
        told
    }

    fn tell(&mut self, id: &str) -> Option<Told> {
        let incident = self.incidents.get_mut(id)?;
        let told = incident.tell();
        if incident.open.is_empty() {
            self.incidents.remove(id);
        }
        Some(told)
    }
}

impl Incident {
    fn of(alert: &Alert) -> Self {
        Self {
            worst: alert.clone(),
            open: BTreeMap::new(),
            accounts: BTreeSet::new(),
            campaigns: BTreeSet::new(),
            updated_at: alert.updated_at,
            told: None,
            is_news: false,
        }
    }

    fn hear(&mut self, alert: &Alert) {
        self.updated_at = self.updated_at.max(alert.updated_at);
        if alert.state == "resolved" {
            self.open.remove(&alert.alert_id);
        } else {
            if self.open.len() < MEMBERS_MAX || self.open.contains_key(&alert.alert_id) {
                self.open.insert(alert.alert_id.clone(), alert.money_at_stake_micros);
            }
            if self.campaigns.len() < MEMBERS_MAX {
                self.accounts.extend(alert.account_id.clone());
                self.campaigns.extend(alert.campaign_id.clone());
            }
            if rank(&alert.severity) > rank(&self.worst.severity) {
                self.worst = alert.clone();
            }
        }
        self.is_news = match (self.told, self.open.is_empty()) {
            (None, empty) => !empty,
            (Some(_), true) => true,
            (Some(told), false) => rank(&self.worst.severity) > told,
        };
    }

    fn tell(&mut self) -> Told {
        let state = match (self.open.is_empty(), self.told) {
            (true, _) => "resolved",
            (false, None) => "opened",
            (false, Some(_)) => "graver",
        };
        self.told = Some(rank(&self.worst.severity));
        self.is_news = false;
        let first = |all: &BTreeSet<String>| all.iter().take(NAMED_MAX).cloned().collect();
        Told {
            incident_id: self.worst.incident_id.clone(),
            kind: self.worst.kind.clone(),
            severity: self.worst.severity.clone(),
            state,
            alerts_open: self.open.len(),
            accounts: first(&self.accounts),
            campaigns: first(&self.campaigns),
            money_at_stake_micros: self.open.values().fold(0, |sum, micros| sum.saturating_add(*micros)),
            opened_at: self.worst.opened_at,
            updated_at: self.updated_at,
            text: self.worst.text.clone(),
            suggested_command: self.worst.suggested_command.clone(),
        }
    }
}

fn covers(snooze: &Snooze, alert: &Alert, now: Millis) -> bool {
    (snooze.kind == "*" || snooze.kind == alert.kind)
        && snooze.account.as_ref().is_none_or(|account| alert.account_id.as_ref() == Some(account))
        && snooze.until_ms.is_none_or(|until| now < until)
}

fn rank(severity: &str) -> usize {
    match severity {
        "critical" => 2,
        "warning" => 1,
        _ => 0,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::settings::Settings;
    use std::collections::BTreeMap;

    /// Settings as the environment gives them.
    pub fn settings(pairs: &[(&str, &str)]) -> NotificationSettings {
        let environment: BTreeMap<String, String> = pairs
            .iter()
            .map(|(name, value)| (format!("PACELINE__NOTIFICATIONS__{name}"), (*value).to_owned()))
            .collect();
        Settings::load_with(&[], &environment).expect("settings of a test are right").0.notifications
    }

    /// An alert about a campaign.
    pub fn alert(incident: &str, campaign: &str, severity: &str, state: &str) -> Alert {
        Alert {
            alert_id: format!("{incident}-{campaign}"),
            kind: "cost_spike".into(),
            severity: severity.into(),
            state: state.into(),
            account_id: Some("acme".into()),
            campaign_id: Some(campaign.into()),
            incident_id: incident.into(),
            money_at_stake_micros: 5,
            text: "a <click> costs twice".into(),
            ..Alert::default()
        }
    }

    fn told(desk: &mut Desk, now: Millis) -> Vec<(String, &'static str, usize)> {
        desk.handle_timeout(now).into_iter().map(|told| (told.incident_id, told.state, told.alerts_open)).collect()
    }

    #[test]
    fn an_incident_of_many_campaigns_is_told_once_and_once_more_when_it_is_over() {
        let mut desk = Desk::new(&settings(&[]));
        assert_eq!(desk.take(&alert("i", "c1", "warning", "opened"), 0), Taken::News);
        assert_eq!(desk.take(&alert("i", "c2", "warning", "opened"), 1_000), Taken::Known);
        assert_eq!((desk.poll_timeout(), told(&mut desk, 59_999)), (Some(60_000), vec![]));
        assert_eq!(told(&mut desk, 60_000), [("i".to_owned(), "opened", 2)]);
        assert_eq!(desk.take(&alert("i", "c3", "warning", "opened"), 61_000), Taken::Known);
        assert_eq!(desk.take(&alert("i", "c1", "warning", "updated"), 61_000), Taken::Known);
        assert_eq!(desk.poll_timeout(), None);
        for campaign in ["c1", "c2", "c3"] {
            desk.take(&alert("i", campaign, "warning", "resolved"), 70_000);
        }
        assert_eq!(told(&mut desk, 130_000), [("i".to_owned(), "resolved", 0)]);
        assert!(desk.incidents.is_empty());
    }

    #[test]
    fn what_becomes_critical_is_told_again_and_soon() {
        let mut desk = Desk::new(&settings(&[]));
        desk.take(&alert("i", "c1", "warning", "opened"), 0);
        told(&mut desk, 60_000);
        assert_eq!(desk.take(&alert("i", "c1", "critical", "updated"), 60_000), Taken::News);
        assert_eq!(told(&mut desk, 62_000), [("i".to_owned(), "graver", 1)]);
    }

    #[test]
    fn what_passes_within_the_window_is_not_told() {
        let mut desk = Desk::new(&settings(&[]));
        desk.take(&alert("i", "c1", "warning", "opened"), 0);
        desk.take(&alert("i", "c1", "warning", "resolved"), 1_000);
        assert_eq!(told(&mut desk, 60_000), []);
        assert!(desk.incidents.is_empty());
    }

    #[test]
    fn what_is_snoozed_or_not_grave_is_not_told() {
        let mut desk = Desk::new(&settings(&[("SNOOZE", "cost_spike@acme=1970-01-01T00:00:10Z")]));
        assert_eq!(desk.take(&alert("i", "c1", "critical", "opened"), 9_999), Taken::Snoozed);
        assert_eq!(desk.take(&alert("i", "c1", "critical", "updated"), 10_000), Taken::News);
        assert_eq!(desk.take(&alert("j", "c1", "info", "opened"), 10_000), Taken::Known);
        assert_eq!(told(&mut desk, 12_000).len(), 1);
    }

    #[test]
    fn a_flood_is_told_in_messages_of_bounded_size_the_gravest_first_and_memory_is_bounded() {
        let mut desk = Desk::new(&settings(&[]));
        for number in 0..INCIDENTS_MAX + 10 {
            let severity = if number == INCIDENTS_MAX { "critical" } else { "warning" };
            let updated_at = number as i64;
            desk.take(&Alert { updated_at, ..alert(&format!("i{number}"), "c", severity, "opened") }, 0);
        }
        assert_eq!(desk.incidents.len(), INCIDENTS_MAX);
        let first = desk.handle_timeout(60_000);
        assert_eq!((first.len(), first[0].severity.as_str()), (MESSAGE_MAX, "critical"));
        assert_eq!((desk.poll_timeout(), desk.handle_timeout(60_000).len()), (Some(60_000), MESSAGE_MAX));
    }
}
