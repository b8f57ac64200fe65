//! What the terminal is told while the demo runs: commands, proposals, alerts, and the table of campaigns.

use crate::published::CampaignView;
use crate::service::context::Context;
use model::output::{Adjustment, Alert};
use model::time::{MINUTE_MS, Millis};
use policy::explain::amount as money;
use std::collections::{BTreeMap, BTreeSet};

/// What the terminal has shown already.
#[derive(Default)]
pub struct Told {
    pub commands: BTreeSet<String>,
    pub alerts: BTreeSet<(String, String)>,
    pub alerts_opened: BTreeSet<String>,
    /// Those of them that only say that data came late.
    pub data_gaps: BTreeSet<String>,
    /// Proposals and what has become of them.
    pub proposals: BTreeMap<String, String>,
}

impl Told {
    /// Lines for what is new: commands and alerts.
    pub fn tell(&mut self, context: &Context) {
        for command in context.published.adjustments().iter().rev() {
            if self.commands.insert(command.command_id.clone()) {
                let value = command
                    .value_micros
                    .map(|micros| format!(" {}", money(micros, &command.currency)))
                    .unwrap_or_default();
                eprintln!(
                    "{}  {:<16} {}{}  {}: {}",
                    time(command.issued_at),
                    command.campaign_id,
                    command.kind,
                    value,
                    command.reason,
                    command.explanation.text
                );
            }
        }
        for proposal in context.published.proposals().iter().rev() {
            let (id, state) = (&proposal.command_id, &proposal.state);
            if !WORDS_OF_PROPOSALS.iter().any(|(known, _)| known == state) || self.proposals.get(id) == Some(state) {
                continue;
            }
            self.proposals.insert(id.clone(), state.clone());
            eprintln!("{}", proposal_line(proposal, context.clock.now_ms()));
        }
        let mut fresh = Vec::new();
        for alert in context.published.alerts().into_iter().rev() {
            if self.alerts.insert((alert.alert_id.clone(), alert.state.clone())) {
                self.alerts_opened.insert(alert.alert_id.clone());
                if alert.kind == "data_gap" {
                    self.data_gaps.insert(alert.alert_id.clone());
                }
                fresh.push(alert);
            }
        }
        alert_lines(&fresh).iter().for_each(|line| eprintln!("{line}"));
    }
}

/// What a person is told of a proposal, by its state. What only observing campaigns would have done is not told.
const WORDS_OF_PROPOSALS: [(&str, &str); 4] = [
    ("proposed", "waits for your yes on the dashboard, under Proposals"),
    ("approved", "approved"),
    ("rejected", "rejected, by a person or the guard"),
    ("expired", "nobody decided in time: nothing was done"),
];

fn proposal_line(proposal: &Adjustment, now_ms: Millis) -> String {
    let words = WORDS_OF_PROPOSALS.iter().find(|(state, _)| *state == proposal.state).map_or("", |(_, words)| words);
    let value = proposal.value_micros.map(|micros| format!(" {}", money(micros, &proposal.currency)));
    let (kind, value) = (&proposal.kind, value.unwrap_or_default());
    let why = match proposal.state.as_str() {
        "proposed" => format!("{}; {words}", proposal.explanation.text.trim_end_matches('.')),
        _ => words.to_owned(),
    };
    format!("{}  {:<16} PROPOSAL {kind}{value}  {why}", time(now_ms), proposal.campaign_id)
}

/// A line for each kind, state and instant: what befell all campaigns at once is one thing to read.
fn alert_lines(alerts: &[Alert]) -> Vec<String> {
    let mut groups: Vec<Vec<&Alert>> = Vec::new();
    for alert in alerts {
        let is_of = |other: &Alert| {
            (&other.kind, &other.state, other.updated_at) == (&alert.kind, &alert.state, alert.updated_at)
        };
        match groups.iter_mut().find(|group| is_of(group[0])) {
            Some(group) => group.push(alert),
            None => groups.push(vec![alert]),
        }
    }
    let line = |group: &Vec<&Alert>| {
        let first = group[0];
        let subject = |alert: &Alert| {
            let named = alert.campaign_id.clone().or_else(|| alert.account_id.clone());
            named.unwrap_or_else(|| "all".into())
        };
        let who = if group.len() == 1 { subject(first) } else { format!("{} campaigns", group.len()) };
        let words = match first.state.as_str() {
            // What it began with is no news of its end.
            "resolved" => format!("over after {}", span(first.updated_at.saturating_sub(first.opened_at))),
            _ => first.text.clone(),
        };
        let others = match group.len() {
            1 => String::new(),
            _ => format!("  ({})", group.iter().map(|alert| subject(alert)).collect::<Vec<_>>().join(", ")),
        };
        format!("{}  {who:<16} ALERT {} {}  {words}{others}", time(first.updated_at), first.kind, first.state)
    };
    groups.iter().map(line).collect()
}

/// A time of the market in words.
pub fn span(ms: Millis) -> String {
    match ms / MINUTE_MS {
        0 => format!("{} s", ms / 1_000),
        minutes @ 1..120 => format!("{minutes} min"),
        minutes => format!("{} h", minutes / 60),
    }
}

/// What the service knows of each campaign, all of one row as of one instant: the pace is the spend beside the plan.
pub fn table(context: &Context, now_ms: Millis) {
    eprintln!(
        "{}  {:<16} {:>14} {:>14} {:>14}  {:<9} {:<8} {:>7}",
        time(now_ms),
        "campaign",
        "spent today",
        "planned by now",
        "day's budget",
        "pace",
        "bound by",
        "clicks"
    );
    context.published.campaigns().iter().for_each(|view| eprintln!("{:14}{}", "", table_row(view)));
}

fn table_row(view: &CampaignView) -> String {
    let amount = |micros: Option<i64>| micros.map_or("none".into(), |micros| money(micros, &view.currency));
    format!(
        "{:<16} {:>14} {:>14} {:>14}  {:<9} {:<8} {:>7}",
        view.campaign_id,
        money(view.spend_day_micros, &view.currency),
        amount(view.plan_micros),
        amount(view.budget_day_micros),
        view.pace,
        view.binding,
        view.clicks_day,
    )
}

fn time(at_ms: Millis) -> String {
    let seconds = at_ms.div_euclid(1_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02} UTC", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::Explanation;
    use model::time::HOUR_MS;

    fn alert(kind: &str, state: &str, campaign: &str, updated_at: Millis) -> Alert {
        Alert {
            kind: kind.into(),
            state: state.into(),
            campaign_id: Some(campaign.into()),
            updated_at,
            text: "data are 7 min old".into(),
            ..Alert::default()
        }
    }

    #[test]
    fn what_befalls_all_campaigns_at_once_is_one_line_and_an_end_has_words_of_its_own() {
        let opened = alert("data_gap", "opened", "a", HOUR_MS);
        let others = [
            alert("data_gap", "opened", "b", HOUR_MS),
            alert("data_gap", "opened", "a", 2 * HOUR_MS),
            Alert { opened_at: HOUR_MS, ..alert("data_gap", "resolved", "b", HOUR_MS + 12 * MINUTE_MS) },
        ];
        let lines = alert_lines(&[std::slice::from_ref(&opened), &others[..]].concat());
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("2 campaigns") && lines[0].ends_with("data are 7 min old  (a, b)"), "{lines:?}");
        assert!(lines[1].ends_with("data are 7 min old"), "{lines:?}");
        assert!(lines[2].contains("resolved  over after 12 min") && !lines[2].contains("7 min old"), "{lines:?}");
    }

    #[test]
    fn a_proposal_is_told_with_what_is_asked_of_the_person() {
        let proposal = Adjustment {
            campaign_id: "tea-display".into(),
            kind: "set_bid".into(),
            value_micros: Some(1_980),
            currency: "EUR".into(),
            state: "proposed".into(),
            explanation: Explanation {
                text: "Bid up from 0.001800 to 0.001980 EUR: behind.".into(),
                ..Explanation::default()
            },
            ..Adjustment::default()
        };
        let line = proposal_line(&proposal, HOUR_MS);
        assert!(
            line.contains("PROPOSAL set_bid 0.001980 EUR  Bid up from") && line.contains("waits for your yes"),
            "{line}"
        );
        let line = proposal_line(&Adjustment { state: "expired".into(), ..proposal }, HOUR_MS);
        assert!(line.ends_with("nobody decided in time: nothing was done"), "{line}");
    }
}
