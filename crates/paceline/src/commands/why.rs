//! `paceline why`: a command's explanation, or why a campaign got none.

use super::history::History;
use super::import::time::instant;
use super::{say, say_json};
use crate::cli::{Output, Why};
use crate::failure::{Failure, Outcome};
use crate::published::CampaignView;
use crate::settings::Settings;
use controller::Authority;
use model::output::Adjustment;
use model::time::Millis;
use replay::OutputTopic;
use serde_json::json;

/// Explains.
pub fn run(arguments: &Why) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let mut history = History::open(settings, "why")?;
    match (&arguments.command_id, &arguments.campaign) {
        (Some(id), _) => command(&mut history, id, arguments.output),
        (None, Some(campaign)) => {
            let at = arguments.at.as_deref().map(instant).transpose();
            let at = at.map_err(|reason| Failure::failed(format!("--at {reason}"), ""))?;
            nothing(&mut history, campaign, at, arguments.output)
        }
        (None, None) => {
            Err(Failure::failed("neither a command id nor --campaign was given", "see `paceline why --help`"))
        }
    }
}

fn command(history: &mut History, id: &str, output: Output) -> Outcome {
    let codec = history.codec.clone();
    let mut found: Vec<Adjustment> = Vec::new();
    for topic in [OutputTopic::Proposals, OutputTopic::Adjustments] {
        for partition in 0..history.settings.journal_partitions {
            history.decisions(topic, partition, |record| {
                if let Ok(adjustment) = codec.adjustment(&record.payload)
                    && adjustment.command_id == id
                {
                    found.push(adjustment);
                }
            })?;
        }
    }
    let Some(last) = found.last() else {
        return Err(Failure::failed(format!("no command has the id {id}"), "see `paceline tap ads.adjustments`"));
    };
    match output {
        Output::Json => say_json(&json!(last), output),
        Output::Text => note(last),
    }
}

/// A good analyst's note of a few lines.
fn note(command: &Adjustment) -> Outcome {
    let why = &command.explanation;
    say(&format!(
        "{} of {}/{} ({}, {})",
        command.kind, command.account_id, command.campaign_id, command.state, command.reason
    ))?;
    say(&why.text)?;
    for window in &why.windows {
        say(&format!(
            "seen in {}: {} impressions, {} clicks, {} {} spent",
            window.name,
            window.impressions,
            window.clicks,
            amount(window.spend_micros),
            command.currency
        ))?;
    }
    let terms: Vec<String> = why.terms.iter().map(|term| format!("{} {}", term.name, term.value)).collect();
    say(&format!("computed: {}", terms.join(", ")))?;
    if !why.guard_edits.is_empty() {
        say(&format!("the guard changed: {}", why.guard_edits.join("; ")))?;
    }
    say(&format!("without it: {}", why.without))?;
    say(&format!(
        "worst case under silence {} {}; decided at journal {}/{}, policy version {}, build {}",
        amount(command.risk.worst_case_micros),
        command.currency,
        why.journal_partition,
        why.journal_offset,
        why.policy_version,
        why.build
    ))
}

/// Replays the campaign's journal partition to the instant and asks the state.
fn nothing(history: &mut History, campaign: &str, at: Option<Millis>, output: Output) -> Outcome {
    for partition in 0..history.settings.journal_partitions {
        let mut controller = history.controller(partition)?;
        history.journal(partition, None, at, |position, record| {
            controller.apply(position, record, Authority::Decide);
            Ok(())
        })?;
        let state = controller.view();
        let Some(summary) = state.campaigns().find(|summary| summary.campaign_id == campaign) else { continue };
        let view = CampaignView::of(&summary, &state.why(&summary.account_id, campaign));
        if output == Output::Json {
            return say_json(&json!(view), output);
        }
        say(&format!(
            "{}/{}: {}, bound by {}",
            view.account_id,
            view.campaign_id,
            view.pace.replace('_', " "),
            view.binding
        ))?;
        say(&format!(
            "{} of {} {} of the day spent",
            amount(view.spend_day_micros),
            view.budget_day_micros.map_or("no budget".into(), amount),
            view.currency
        ))?;
        for holder in &view.pause_holders {
            say(&format!("paused by {holder}"))?;
        }
        for why in &view.why_nothing {
            say(&format!("no command for the {}", why.replace('_', " ")))?;
        }
        return Ok(());
    }
    Err(Failure::failed(format!("no campaign {campaign} was known at that time"), "see /api/v1/campaigns"))
}

fn amount(micros: i64) -> String {
    format!(
        "{}{}.{:06}",
        if micros < 0 { "-" } else { "" },
        micros.unsigned_abs() / 1_000_000,
        micros.unsigned_abs() % 1_000_000
    )
}
