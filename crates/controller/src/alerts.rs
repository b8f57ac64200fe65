//! The lives of alerts: opened when a condition begins, updated when it changes much, resolved when it ends.
//!
//! What always holds: one condition has one open alert, however often it is seen; an alert's life changes only by
//! applying an alert record, whether it was just decided or read back from the log.

use crate::shared::SharedMap;
use model::output::Alert;
use model::time::{MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Open alerts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Alerts {
    /// Shared with a frozen state: an alert is replaced, never changed.
    open: SharedMap<Arc<Subject>, Arc<Alert>>,
}

/// Kind, account, campaign; empty where the alert concerns all.
pub type Subject = (String, String, String);

/// What is wrong now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// info, warning, critical.
    pub severity: &'static str,
    /// What was seen.
    pub observed: Option<i64>,
    /// What should have been seen.
    pub expected: Option<i64>,
    /// What it may cost.
    pub money_at_stake_micros: i64,
    /// One plain sentence.
    pub text: String,
    /// What a person could do.
    pub suggested_command: Option<String>,
    /// The incident that it belongs to, where another alert began it.
    pub incident_id: Option<String>,
}

/// What stands in every alert of one record.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Time of the controller.
    pub now: Millis,
    /// Where it was decided.
    pub journal_partition: i32,
    /// Where it was decided.
    pub journal_offset: i64,
    /// The policy in force.
    pub policy_version: i64,
    /// This build.
    pub build: &'a str,
}

/// An alert is updated at most this often, unless its severity changes.
const UPDATE_MS_MIN: Millis = 15 * MINUTE_MS;

impl Alerts {
    /// The record that this condition, or its end, calls for.
    pub fn settle(&self, subject: &Subject, condition: Option<&Condition>, origin: &Origin<'_>) -> Option<Alert> {
        match (self.open.get(subject), condition) {
            (None, None) => None,
            (None, Some(condition)) => Some(opened(subject, condition, origin)),
            (Some(open), None) => Some(Alert {
                state: "resolved".to_owned(),
                resolved_at: Some(origin.now),
                ..stamped(Alert::clone(open), origin)
            }),
            (Some(open), Some(condition)) => changed_much(open, condition, origin.now).then(|| Alert {
                state: "updated".to_owned(),
                severity: condition.severity.to_owned(),
                observed: condition.observed,
                expected: condition.expected,
                money_at_stake_micros: condition.money_at_stake_micros,
                text: condition.text.clone(),
                ..stamped(Alert::clone(open), origin)
            }),
        }
    }

    /// Takes a record, decided or read back.
    pub fn apply(&mut self, alert: &Alert) {
        let subject = subject(&alert.kind, alert.account_id.as_deref(), alert.campaign_id.as_deref());
        if alert.state == "resolved" {
            self.open.remove(&subject);
        } else {
            self.open.insert(Arc::new(subject), Arc::new(alert.clone()));
        }
    }

    /// Whether the condition's alert is open.
    pub fn is_open(&self, subject: &Subject) -> bool {
        self.open.contains_key(subject)
    }

    /// When a condition's open alert was opened.
    pub fn opened_at(&self, subject: &Subject) -> Option<Millis> {
        self.open.get(subject).map(|alert| alert.opened_at)
    }

    /// Accounts and campaigns of open alerts whose kind begins with a word, with their kinds.
    pub fn beginning(&self, start: &str) -> Vec<Subject> {
        let first = subject(start, None, None);
        let open = self.open.from(&first).map(|(subject, _)| subject);
        open.take_while(|subject| subject.0.starts_with(start)).map(|subject| Subject::clone(subject)).collect()
    }

    /// The incident of a condition's open alert.
    pub fn incident_of(&self, subject: &Subject) -> Option<&str> {
        self.open.get(subject).map(|alert| alert.incident_id.as_str())
    }

    /// Whether any alert of this kind is open: one question where else each campaign would be asked about.
    pub fn any_open(&self, kind: &str) -> bool {
        self.open.first_after(|known| known.0.as_str() < kind).is_some_and(|(found, _)| found.0 == kind)
    }

    /// Open alerts by kind, account and campaign.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.open.values().map(|alert| &**alert)
    }
}

/// What an alert is about.
pub fn subject(kind: &str, account: Option<&str>, campaign: Option<&str>) -> Subject {
    (kind.to_owned(), account.unwrap_or_default().to_owned(), campaign.unwrap_or_default().to_owned())
}

fn opened(subject: &Subject, condition: &Condition, origin: &Origin<'_>) -> Alert {
    let (kind, account, campaign) = subject;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let scope = match (account.is_empty(), campaign.is_empty()) {
        (true, _) => "global",
        (false, true) => "account",
        (false, false) => "campaign",
    };
    let seed = format!(
        "{kind}\u{1f}{account}\u{1f}{campaign}\u{1f}{}\u{1f}{}",
        origin.journal_partition, origin.journal_offset
    );
    let id = format!("{:016x}", crate::seen::fingerprint(&seed));
    let alert = Alert {
        alert_id: id.clone(),
        kind: kind.clone(),
        severity: condition.severity.to_owned(),
        state: "opened".to_owned(),
        scope: scope.to_owned(),
        account_id: some(account),
        campaign_id: some(campaign),
        opened_at: origin.now,
        observed: condition.observed,
        expected: condition.expected,
        money_at_stake_micros: condition.money_at_stake_micros,
        incident_id: condition.incident_id.clone().unwrap_or(id),
        suggested_command: condition.suggested_command.clone(),
        text: condition.text.clone(),
        ..Alert::default()
    };
    stamped(alert, origin)
}

fn stamped(mut alert: Alert, origin: &Origin<'_>) -> Alert {
    alert.updated_at = origin.now;
    alert.journal_partition = origin.journal_partition;
    alert.journal_offset = origin.journal_offset;
    alert.policy_version = origin.policy_version;
    alert.build = origin.build.to_owned();
    alert
}

/// Another severity at once; twice or half the money or the observation after a while.
fn changed_much(open: &Alert, condition: &Condition, now: Millis) -> bool {
    let far = |before: i64, after: i64| {
        let (before, after) = (before.unsigned_abs(), after.unsigned_abs());
        before.max(after) > before.min(after).saturating_mul(2)
    };
    let observed = far(open.observed.unwrap_or(0), condition.observed.unwrap_or(0));
    let money = far(open.money_at_stake_micros, condition.money_at_stake_micros);
    open.severity != condition.severity || ((observed || money) && now.saturating_sub(open.updated_at) >= UPDATE_MS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_has_one_alert_with_a_life() {
        let mut alerts = Alerts::default();
        let about = subject("early_stop", Some("a"), Some("c"));
        let origin = |now| Origin { now, journal_partition: 0, journal_offset: now, policy_version: 1, build: "b" };
        let mut step = |condition: Option<&Condition>, now| {
            let alert = alerts.settle(&about, condition, &origin(now));
            alert.inspect(|alert| alerts.apply(alert)).map(|alert| (alert.state, alert.alert_id))
        };
        let wrong = Condition { severity: "warning", money_at_stake_micros: 10, ..Condition::default() };
        let worse = Condition { money_at_stake_micros: 50, ..wrong.clone() };
        let (state, id) = step(Some(&wrong), 1).unwrap();
        assert_eq!(state, "opened");
        assert_eq!(step(Some(&wrong), 2), None);
        assert_eq!(step(Some(&worse), 3), None, "not every few seconds");
        assert_eq!(step(Some(&worse), 3 + UPDATE_MS_MIN), Some(("updated".into(), id.clone())));
        assert_eq!(step(None, 4 + UPDATE_MS_MIN), Some(("resolved".into(), id)));
        assert_eq!(step(None, 5 + UPDATE_MS_MIN), None);
    }
}
