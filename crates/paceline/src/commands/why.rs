//! `paceline why`: a command's explanation, or why a campaign got none.

use super::history::History;
use super::import::time::instant;
use super::{say, say_json};
use crate::cli::{Output, Why};
use crate::failure::{Failure, Outcome};
use crate::published::{CampaignView, RuleView};
use crate::settings::Settings;
use controller::{Authority, LOST_TERM, RULE_TERM};
use kafka_io::From;
use model::output::Adjustment;
use model::time::Millis;
use policy::explain::{self, Reason};
use policy::rule::Law;
use replay::OutputTopic;
use serde_json::{Value, json};

/// Explains.
pub fn run(arguments: &Why) -> Outcome {
    let at = arguments.at.as_deref().map(instant).transpose();
    let at = at.map_err(|reason| Failure::usage(format!("--at {reason}"), ""))?;
    let open = || History::open(Settings::load(&arguments.config.files)?.0, "why");
    match (&arguments.command_id, &arguments.campaign) {
        (Some(id), _) => command(&mut open()?, id, arguments.output),
        (None, Some(campaign)) => nothing(&mut open()?, campaign, at, arguments.output),
        (None, None) => Err(Failure::usage(
            "neither a command id nor --campaign was given",
            "give an id that `paceline tap ads.adjustments` shows, or --campaign ID",
        )),
    }
}

fn command(history: &mut History, id: &str, output: Output) -> Outcome {
    let codec = history.codec.clone();
    let mut records: Vec<Adjustment> = Vec::new();
    for topic in [OutputTopic::Proposals, OutputTopic::Adjustments] {
        for partition in 0..history.settings.journal_partitions {
            history.decisions(topic, partition, From::Earliest, |record| {
                if let Ok(adjustment) = codec.adjustment(&record.payload) {
                    // A proposal's other half is found once it is approved; all else is kept by its id alone.
                    if adjustment.command_id == id || matches!(adjustment.state.as_str(), "approved" | "issued") {
                        records.push(adjustment);
                    }
                }
            })?;
        }
    }
    let Some(last) = records.iter().rfind(|record| record.command_id == id) else {
        return Err(Failure::failed(
            format!("no command and no proposal has the id {id}"),
            "see `paceline tap ads.adjustments` and `paceline tap ads.proposals`",
        ));
    };
    let other = other_half(last, &records);
    match output {
        Output::Json => say_json(&with_other_half(last, other), output),
        Output::Text => {
            note(last)?;
            other.map_or(Ok(()), |other| say(&link(last, other)))
        }
    }
}

/// The command that an approved proposal was issued as, or the proposal that a command was approved from.
fn other_half<'r>(one: &Adjustment, records: &'r [Adjustment]) -> Option<&'r Adjustment> {
    records.iter().find(|other| is_other_half(one, other))
}

/// Whether one is the proposal and the other the command it was issued as: both are decided at the same journal record,
/// about the same value of the same campaign.
pub fn is_other_half(one: &Adjustment, other: &Adjustment) -> bool {
    let wanted = match one.state.as_str() {
        "approved" => "issued",
        "issued" if [Reason::Person, Reason::Undo].iter().any(|reason| one.reason == reason.as_str()) => "approved",
        _ => return false,
    };
    let decided = |record: &Adjustment| (record.explanation.journal_partition, record.explanation.journal_offset);
    other.state == wanted
        && decided(other) == decided(one)
        && (&other.account_id, &other.campaign_id, &other.kind) == (&one.account_id, &one.campaign_id, &one.kind)
}

/// The record itself, and the other's id beside it.
fn with_other_half(one: &Adjustment, other: Option<&Adjustment>) -> Value {
    let mut document = json!(one);
    if let (Value::Object(fields), Some(other)) = (&mut document, other) {
        let name = if other.state == "issued" { "issued_as" } else { "approved_from" };
        fields.insert(name.into(), json!(other.command_id));
    }
    document
}

fn link(one: &Adjustment, other: &Adjustment) -> String {
    let value = |record: &Adjustment| {
        record.value_micros.map_or(String::new(), |value| format!(" with {}", explain::amount(value, &record.currency)))
    };
    match one.state.as_str() {
        "approved" => format!("approved and issued as command {}{}", other.command_id, value(other)),
        _ => format!("issued after a person approved proposal {}{}", other.command_id, value(other)),
    }
}

/// A good analyst's note of a few lines; the numbers as they were computed are in the JSON.
fn note(command: &Adjustment) -> Outcome {
    lines(command).iter().try_for_each(|line| say(line))
}

fn lines(command: &Adjustment) -> Vec<String> {
    let why = &command.explanation;
    let money = |micros| explain::amount(micros, &command.currency);
    let kind = command.kind.replace('_', " ");
    let (account, campaign) = (&command.account_id, &command.campaign_id);
    let mut lines = vec![format!("{kind} of {account}/{campaign} ({}, {})", command.state, command.reason)];
    lines.push(why.text.clone());
    lines.extend(rule_of(command));
    lines.extend(why.windows.iter().map(|window| {
        let (impressions, clicks) = (window.impressions, window.clicks);
        let spent = money(window.spend_micros);
        format!("seen in {}: {impressions} impressions, {clicks} clicks, {spent} spent", window.name)
    }));
    let terms = why.terms.iter().filter(|term| !term.name.contains('/') && !term.name.ends_with("_until_ms"));
    let terms: Vec<String> =
        terms.map(|term| explain::term_in_words(&term.name, term.value, &command.currency)).collect();
    if !terms.is_empty() {
        lines.push(format!("computed: {}", terms.join(", ")));
    }
    if !why.guard_edits.is_empty() {
        lines.push(format!("the guard changed: {}", why.guard_edits.join("; ")));
    }
    lines.push(format!("without it: {}", why.without));
    lines.push(format!(
        "worst case under silence {}; decided at journal {}/{}, policy version {}, build {}",
        money(command.risk.worst_case_micros),
        why.journal_partition,
        why.journal_offset,
        why.policy_version,
        why.build
    ));
    lines
}

/// Replays the campaign's journal partition to the instant and asks the state.
fn nothing(history: &mut History, campaign: &str, at: Option<Millis>, output: Output) -> Outcome {
    for partition in 0..history.settings.journal_partitions {
        let begin = history.begin(partition, at, false)?;
        if let Some(gone) = begin.state_ms.filter(|state| at.is_some_and(|at| *state > at)) {
            return Err(Failure::failed(
                format!(
                    "the journal does not reach back to then: the oldest state that is left is of {gone} (epoch ms)"
                ),
                "ask for a later instant",
            ));
        }
        let (place, mut controller) = (begin.place(), begin.controller);
        history.records(partition, place, None, at, |position, record| {
            controller.apply(position, &record, Authority::Decide);
            Ok(())
        })?;
        let state = controller.view();
        let Some(summary) = state.campaigns().find(|one| is_named(campaign, &one.account_id, &one.campaign_id)) else {
            continue;
        };
        let whys = state.why(&summary.account_id, &summary.campaign_id);
        let view = CampaignView::of(&summary, &whys);
        let around = state.said_around(&summary.account_id, &summary.campaign_id);
        if output == Output::Json {
            let mut document = json!(view);
            document["around"] = json!(around);
            return say_json(&document, output);
        }
        say(&format!(
            "{}/{}: {}, bound by {}",
            view.account_id,
            view.campaign_id,
            view.pace.replace('_', " "),
            view.binding
        ))?;
        say(&spent_of_day(&view))?;
        for holder in &view.pause_holders {
            say(&format!("paused by {holder}"))?;
        }
        for why in &whys {
            // Between two evaluations the word of the last one stays, though the data have come since.
            let when = if why.is_of_evaluation { ", when it was last computed" } else { "" };
            say(&format!("no command for the {}{when}: {}", why.lever, why.reason.replace('_', " ")))?;
        }
        for said in &around {
            say(said)?;
        }
        for said in view.rules.iter().filter(|said| said.is_match()) {
            say(&ruling(said, &summary.laws))?;
        }
        return Ok(());
    }
    Err(Failure::failed(format!("no campaign {campaign} was known at that time"), "see /api/v1/campaigns"))
}

/// Whether `name` is the campaign's id, or ACCOUNT/ID where several accounts have one of that id.
fn is_named(name: &str, account_id: &str, campaign_id: &str) -> bool {
    let of_account = name.strip_prefix(account_id).and_then(|rest| rest.strip_prefix('/'));
    name == campaign_id || of_account == Some(campaign_id)
}

/// A rule that holds, what came of it, and what it asks.
fn ruling(said: &RuleView, laws: &[Law]) -> String {
    let did = said.action.as_deref().map_or(String::new(), |action| format!(" ({action})"));
    let law = laws.iter().find(|law| law.rule == said.rule);
    let law = law.map_or(String::new(), |law| format!("; when {}, then {}, mode {}", law.when, law.then, law.mode));
    format!("rule {} holds: {}{did}; {}{law}", said.rule, said.word.replace('_', " "), said.detail)
}

/// Which rule a command is of, and which ones it won against.
fn rule_of(command: &Adjustment) -> Option<String> {
    let named = |start: &str| -> Vec<&str> {
        command.explanation.terms.iter().filter_map(|term| term.name.strip_prefix(start)).collect()
    };
    let rule = *named(RULE_TERM).first()?;
    let lost = named(LOST_TERM);
    Some(if lost.is_empty() { format!("by rule {rule}") } else { format!("by rule {rule}, above {}", lost.join(", ")) })
}

fn spent_of_day(view: &CampaignView) -> String {
    let amount = |micros| explain::amount(micros, &view.currency);
    let budget =
        view.budget_day_micros.map_or("a day without budget".into(), |budget| format!("the day's {}", amount(budget)));
    format!("{} of {budget} spent", amount(view.spend_day_micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::Explanation;

    #[test]
    fn a_campaign_is_named_by_its_id_or_with_its_account() {
        assert!(is_named("c", "acme", "c") && is_named("acme/c", "acme", "c") && is_named("a/c", "acme", "a/c"));
        assert!(
            !is_named("other/c", "acme", "c") && !is_named("acme/", "acme", "c") && !is_named("acmec", "acme", "c")
        );
    }

    #[test]
    fn money_of_the_day_is_told_in_the_currency_s_own_digits() {
        let view = |currency: &str, budget_day_micros| CampaignView {
            currency: currency.into(),
            spend_day_micros: 12_340_000,
            budget_day_micros,
            ..CampaignView::default()
        };
        assert_eq!(spent_of_day(&view("EUR", Some(50_000_000))), "12.34 EUR of the day's 50.00 EUR spent");
        assert_eq!(spent_of_day(&view("JPY", None)), "12 JPY of a day without budget spent");
    }

    fn record(id: &str, state: &str, kind: &str, offset: i64) -> Adjustment {
        Adjustment {
            command_id: id.into(),
            campaign_id: "c".into(),
            kind: kind.into(),
            state: state.into(),
            reason: "person".into(),
            value_micros: Some(1_500_000),
            currency: "EUR".into(),
            explanation: Explanation { journal_offset: offset, ..Explanation::default() },
            ..Adjustment::default()
        }
    }

    #[test]
    fn a_proposal_and_the_command_issued_after_its_approval_name_each_other() {
        let records = [
            record("other", "approved", "set_bid", 7),
            record("p", "approved", "set_daily_budget", 9),
            record("x", "issued", "pause", 9),
            record("k", "issued", "set_daily_budget", 9),
        ];
        let (proposal, command) = (&records[1], &records[3]);
        assert_eq!(other_half(proposal, &records), Some(command));
        assert_eq!(other_half(command, &records), Some(proposal));
        assert_eq!(with_other_half(proposal, Some(command))["issued_as"], "k");
        assert_eq!(with_other_half(command, Some(proposal))["approved_from"], "p");
        assert_eq!(link(proposal, command), "approved and issued as command k with 1.50 EUR");
        assert!(link(command, proposal).starts_with("issued after a person approved proposal p"));
    }

    #[test]
    fn a_command_is_told_in_a_few_lines_with_amounts_and_shares() {
        let mut command = record("k", "issued", "set_bid", 9);
        let term = |name: &str, value| model::output::Term { name: name.into(), value };
        command.explanation.terms = vec![term("rule/dear", 5), term("budget_day_micros", 20_000_000)];
        command.explanation.without = "The value in force stays.".into();
        assert_eq!(
            lines(&command)[2..],
            [
                "by rule dear",
                "computed: budget day 20.00 EUR",
                "without it: The value in force stays.",
                "worst case under silence 0.00 EUR; decided at journal 0/9, policy version 0, build "
            ]
        );
        assert_eq!(lines(&command)[0], "set bid of /c (issued, person)");
    }

    #[test]
    fn a_rule_is_named_where_it_acted_and_where_it_would_have() {
        let term = |name: &str| model::output::Term { name: name.into(), value: 1 };
        let mut command = record("k", "issued", "set_bid", 9);
        assert_eq!(rule_of(&command), None);
        command.explanation.terms = vec![term("plan_share_ppm"), term("rule/dear"), term("rule_lost/weak")];
        assert_eq!(rule_of(&command).as_deref(), Some("by rule dear, above weak"));
        let said = RuleView { rule: "dear".into(), word: "cooling_down", detail: "bid.now 2".into(), action: None };
        let law = Law {
            rule: "dear".into(),
            when: "bid.now > 1".into(),
            then: "scale_bid 0.9".into(),
            mode: "auto",
            ..Law::default()
        };
        assert_eq!(
            ruling(&said, &[law]),
            "rule dear holds: cooling down; bid.now 2; when bid.now > 1, then scale_bid 0.9, mode auto"
        );
    }

    #[test]
    fn a_command_of_its_own_and_an_open_proposal_have_no_other_half() {
        let records = [record("p", "approved", "set_bid", 9), record("q", "proposed", "set_bid", 9)];
        assert_eq!(other_half(&records[1], &records), None);
        let own = Adjustment { reason: "daily_cap".into(), ..record("k", "issued", "set_bid", 9) };
        assert_eq!(other_half(&own, &records), None);
    }
}
