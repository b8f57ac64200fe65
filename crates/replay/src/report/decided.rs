//! What the run decided: the time line, commands, what the guard changed, alerts.

use super::chart::{self, Lane};
use super::sections::*;
use super::words::*;
use crate::figures::{Campaign, Figures, LISTED_MAX, Lever, Name, Step, Words};
use crate::summary::words;
use crate::tables::day_name;
use model::time::DAY_MS;
use std::fmt::Write;

/// Lanes of the time line.
const LANES_MAX: usize = 14;
/// Commands and alerts over time, of the campaigns with most of them.
pub fn time_line(figures: &Figures) -> String {
    let Some((first, last)) = figures.range() else { return String::new() };
    let mut busy: Vec<(&Name, &Campaign)> =
        figures.campaigns.iter().filter(|(_, c)| !c.steps.is_empty() || !c.alert_marks.is_empty()).collect();
    let weight = |campaign: &Campaign| campaign.steps.len() + campaign.alert_marks.len();
    busy.sort_by(|a, b| (weight(b.1), a.0).cmp(&(weight(a.1), b.0)));
    if busy.is_empty() {
        return String::new();
    }
    let lanes: Vec<Lane<'_>> = busy
        .iter()
        .take(LANES_MAX)
        .map(|(name, campaign)| Lane { name: label(name, campaign).to_owned(), campaign })
        .collect();
    let lead = "The busiest campaigns. Each mark is a command or an alert, or several of a kind close together; rest the \
                pointer on one to read its reason.";
    let drawn = chart::lanes(&lanes, first, last);
    let rest = left_out(busy.len(), LANES_MAX);
    format!("{}<div class=\"card\">{drawn}{}</div>{rest}", heading("time", "Time line", lead), chart::key())
}

/// Commands with their reasons.
pub fn commands(figures: &Figures) -> String {
    let reasons = words(figures, |campaign| &campaign.reasons);
    let total: u64 = reasons.values().sum();
    let lead = match total as usize {
        0 => "None was issued.".to_owned(),
        total if total <= LISTED_MAX => "Every issued command, in its order.".to_owned(),
        total => format!(
            "The {LISTED_MAX} of {} issued commands with most money at stake, in their order; the table of decisions, of a \
             replay or an export, holds all.",
            whole(total as i64)
        ),
    };
    let mut page = heading("commands", "Commands and their reasons", &lead);
    let _ = write!(
        page,
        "<div class=\"cols\"><div>{}</div><div>{}</div></div>",
        counts("By kind", &words(figures, |campaign| &campaign.kinds)),
        counts("By reason", &reasons)
    );
    if figures.commands.is_empty() {
        return page;
    }
    let mut lines = String::new();
    for command in &figures.commands {
        let name = (command.account_id.clone(), command.campaign_id.clone());
        let value = command.value_micros.map_or(String::new(), money);
        let before = command.expected_previous.value_micros.filter(|_| command.value_micros.is_some());
        let edits = match command.explanation.guard_edits.as_slice() {
            [] => String::new(),
            edits => format!("<small>guard: {}</small>", escape(&spoken(&edits.join(", ")))),
        };
        let _ = write!(
            lines,
            "<tr><td class=w>{}</td><td>{}</td><td class=w>{}</td><td class=n>{}{value}</td><td class=w>{}</td>\
             <td>{}{edits}</td><td class=n>{}</td></tr>",
            second(command.issued_at),
            campaign_name(figures, &name),
            escape(&spoken(&command.kind)),
            before.map_or(String::new(), |before| format!("{} \u{2192} ", money(before))),
            escape(&spoken(&command.reason)),
            escape(&command.explanation.text),
            money(command.risk.at_stake_micros),
        );
    }
    let head = "<tr><th>UTC</th><th>Campaign</th><th>Command</th><th class=n>Value</th><th>Reason</th><th>Why</th>\
                <th class=n>At stake</th></tr>";
    let _ = write!(page, "<div class=\"card\"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>");
    page
}

/// Campaigns with moves of budgets that get a line.
const BUDGETS_MAX: usize = 60;

/// Where budgets went: from the first move's value to the last one's.
pub fn budgets(figures: &Figures) -> String {
    let moved = figures.campaigns.iter().filter_map(|(name, campaign)| {
        let moves: Vec<&Step> = campaign.steps.iter().filter(|step| step.lever == Lever::Budget).collect();
        Some((name, campaign, moves.last()?.value_micros?, moves))
    });
    let mut moved: Vec<_> = moved.collect();
    let first = |campaign: &Campaign| campaign.spec.daily_budget_micros;
    let far = |campaign: &Campaign, last: i64| first(campaign).unwrap_or(last).abs_diff(last);
    moved.sort_by(|a, b| (far(b.1, b.2), a.0).cmp(&(far(a.1, a.2), b.0)));
    let lead = match moved.len() {
        0 => "No budget was moved.",
        _ => "Budgets that were commanded, beside the daily budget of the specification; the farthest moves first.",
    };
    let mut page = heading("budgets", "Budget moves", lead);
    if moved.is_empty() {
        return page;
    }
    let mut lines = String::new();
    for (name, campaign, last, moves) in moved.iter().take(BUDGETS_MAX) {
        let mut reasons = Words::new();
        moves.iter().for_each(|step| *reasons.entry(spoken(&step.reason)).or_default() += 1);
        let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let values = || moves.iter().filter_map(|step| step.value_micros);
        let _ = write!(
            lines,
            "<tr><td>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{} to {}</td><td class=n>{}</td><td>{}</td></tr>",
            escape(label(name, campaign)),
            first(campaign).map_or_else(|| "\u{2013}".into(), money),
            money(*last),
            values().min().map_or_else(String::new, money),
            values().max().map_or_else(String::new, money),
            whole(moves.len() as i64),
            escape(&reasons.join(", ")),
        );
    }
    let head = "<tr><th>Campaign</th><th class=n>Specified</th><th class=n>Last</th><th class=n>Between</th>\
                <th class=n>Moves</th><th>Reasons</th></tr>";
    let _ = write!(page, "<div class=\"card\"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>");
    page + &left_out(moved.len(), BUDGETS_MAX)
}

/// What the guard changed and held back.
pub fn guard(figures: &Figures) -> String {
    let lead = "The guard is the only way out. What it changed in issued commands, what became proposals instead of \
                commands, and, looked at once an hour in each campaign, why nothing was commanded.";
    let mut page = heading("guard", "What the guard stopped", lead);
    let _ = write!(
        page,
        "<div class=\"cols\"><div>{}</div><div>{}</div><div>{}</div></div>",
        counts("Changed by the guard", &words(figures, |campaign| &campaign.guard_edits)),
        counts("Proposals by state", &words(figures, |campaign| &campaign.proposals)),
        counts("Why nothing, hourly looks", &words(figures, |campaign| &campaign.nothing))
    );
    page
}

/// Alerts by day, kind and campaign, and the worst of them.
pub fn alerts(figures: &Figures) -> String {
    let total: u64 = figures.opened.values().sum();
    let lead = match figures.range() {
        Some((first, last)) if total > 0 => {
            let days = ((last - first) / DAY_MS + 1).max(1) as u64;
            let tenths = total.saturating_mul(10) / days;
            format!(
                "{} opened in {days} days with one, {}.{} a day, under the policy of this run: what a person would have been \
                 told.",
                whole(total as i64),
                tenths / 10,
                tenths % 10
            )
        }
        _ => "None opened.".to_owned(),
    };
    let mut page = heading("alerts", "Alerts", &lead);
    if total == 0 {
        return page;
    }
    let (mut kinds, mut days, mut campaigns) = (Words::new(), Words::new(), Words::new());
    for ((day, account, campaign, kind), count) in &figures.opened {
        *kinds.entry(kind.clone()).or_default() += count;
        *days.entry(day_name(*day)).or_default() += count;
        let name = match (account.as_str(), campaign.as_str()) {
            ("", _) => "everything".into(),
            (account, "") => format!("account {account}"),
            (_, campaign) => campaign.to_owned(),
        };
        *campaigns.entry(name).or_default() += count;
    }
    let _ = write!(
        page,
        "<div class=\"cols\"><div>{}</div><div>{}</div><div>{}</div></div>",
        counts("By kind", &kinds),
        counts("By campaign", &campaigns),
        in_order("By day, UTC", &days)
    );
    let mut lines = String::new();
    for alert in &figures.alerts {
        let name = match (&alert.account_id, &alert.campaign_id) {
            (Some(account), Some(campaign)) => campaign_name(figures, &(account.clone(), campaign.clone())),
            (Some(account), None) => escape(account),
            _ => "all".into(),
        };
        let class = if alert.severity == "critical" { "bad" } else { "soft" };
        let _ = write!(
            lines,
            "<tr><td class=w>{}</td><td>{name}</td><td class=w>{}<small class=\"{class}\">{}</small></td><td>{}</td>\
             <td class=n>{}</td></tr>",
            second(alert.opened_at),
            escape(&spoken(&alert.kind)),
            escape(&alert.severity),
            escape(&alert.text),
            money(alert.money_at_stake_micros),
        );
    }
    let head =
        "<tr><th>Opened, UTC</th><th>About</th><th>Alert</th><th>What was seen</th><th class=n>At stake</th></tr>";
    let _ = write!(page, "<div class=\"card\"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>");
    page + &left_out(total as usize, LISTED_MAX)
}
