//! `paceline proposals list|approve|reject`: people in the loop, from a shell.

use super::why::is_other_half;
use super::{actor, connect, printable, say, say_json, sender};
use crate::cli::{Output, ProposalArgs, ProposalsCommand};
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::settings::Settings;
use avro_codec::RecordName;
use kafka_io::{Admin, From, LogReader, Until};
use model::fact::{ControlTopic, Decision, Fact};
use model::output::Adjustment;
use policy::explain;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

/// As for the shell's halt: with what the start and the end need, a person waits for less than ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// Lists or decides.
pub fn run(command: &ProposalsCommand) -> Outcome {
    match command {
        ProposalsCommand::List { config, output } => {
            let (settings, _) = Settings::load(&config.files)?;
            list(&settings, *output)
        }
        ProposalsCommand::Approve(arguments) => decide(arguments, "approve"),
        ProposalsCommand::Reject(arguments) => decide(arguments, "reject"),
        ProposalsCommand::Undo(arguments) => undo(arguments),
    }
}

/// Asks for the value before a command again. Only the service knows whether the command is still the last of its lever;
/// what it refuses it says on the proposals topic.
fn undo(arguments: &ProposalArgs) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let id = &arguments.command_id;
    // A person has the proposal's id, which `approve` told; what can be undone is the command that it became.
    let approved = latest(&settings)?.remove(id).filter(|proposal| proposal.state == "approved");
    let is_meant = |command: &Adjustment| match &approved {
        Some(proposal) => is_other_half(proposal, command),
        None => command.command_id == *id,
    };
    let codec = registry::codec(&settings, &[])?;
    let mut reader = LogReader::open(&connect(&settings, "proposals"), PATIENCE)?;
    let mut found = None;
    for partition in 0..settings.journal_partitions {
        reader.read(&settings.topics.adjustments, partition, From::Earliest, Until::StableEnd, |record| {
            let command = record.payload.and_then(|payload| codec.adjustment(payload).ok());
            found = command.filter(|command| is_meant(command));
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if found.is_some() {
            break;
        }
    }
    let command = found.ok_or_else(|| {
        Failure::failed(
            format!("no issued command, and no approved proposal that became one, has the id {id}"),
            "see `paceline tap` of the adjustments topic",
        )
    })?;
    send(&settings, arguments, &command.command_id, "undo", command.account_id, command.campaign_id)
}

/// The last state of each proposal, from the topic.
fn latest(settings: &Settings) -> Outcome<BTreeMap<String, Adjustment>> {
    let codec = registry::codec(settings, &[])?;
    let mut reader = LogReader::open(&connect(settings, "proposals"), PATIENCE)?;
    let mut latest = BTreeMap::new();
    for partition in 0..settings.journal_partitions {
        reader.read(&settings.topics.proposals, partition, From::Earliest, Until::StableEnd, |record| {
            if let Some(Ok(proposal)) = record.payload.map(|payload| codec.adjustment(payload)) {
                latest.insert(proposal.command_id.clone(), proposal);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(latest)
}

fn list(settings: &Settings, output: Output) -> Outcome {
    let now = Clock::System.now_ms();
    let open: Vec<Adjustment> = latest(settings)?
        .into_values()
        .filter(|proposal| proposal.state == "proposed" && proposal.decide_by.is_none_or(|by| by > now))
        .collect();
    if output == Output::Json {
        return say_json(&json!({ "proposals": open }), output);
    }
    for proposal in &open {
        let value = proposal.value_micros.map(|micros| format!(" {}", explain::amount(micros, &proposal.currency)));
        say(&format!(
            "{}  {}/{}  {}{}  {}: {}",
            proposal.command_id,
            printable(&proposal.account_id),
            printable(&proposal.campaign_id),
            proposal.kind,
            value.unwrap_or_default(),
            proposal.reason,
            printable(&proposal.explanation.text)
        ))?;
    }
    if open.is_empty() { say("no proposal waits") } else { Ok(()) }
}

fn decide(arguments: &ProposalArgs, decision: &str) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    if let Some((campaign_id, version)) = specification(&arguments.command_id) {
        let mut accounts = accounts_of(&settings, campaign_id, version)?;
        accounts.retain(|account| arguments.account.as_ref().is_none_or(|asked| asked == account));
        let account_id = only(accounts, campaign_id, version)?;
        return send(&settings, arguments, &arguments.command_id, decision, account_id, campaign_id.to_owned());
    }
    let proposal = latest(&settings)?.remove(&arguments.command_id).ok_or_else(|| {
        Failure::failed(format!("no proposal has the id {}", arguments.command_id), "see `paceline proposals list`")
    })?;
    if proposal.state != "proposed" {
        return Err(Failure::failed(
            format!("the proposal {} is {} already", arguments.command_id, proposal.state),
            "`paceline proposals list` shows those that wait",
        ));
    }
    send(&settings, arguments, &proposal.command_id, decision, proposal.account_id, proposal.campaign_id)
}

/// `spec/CAMPAIGN/VERSION` names a specification whose numbers jumped and wait for a person.
pub fn specification(id: &str) -> Option<(&str, i64)> {
    let (campaign_id, version) = id.strip_prefix("spec/")?.rsplit_once('/')?;
    Some((campaign_id, version.parse().ok()?))
}

/// Accounts that published this version of a campaign of this name: two may have the same name.
fn accounts_of(settings: &Settings, campaign_id: &str, version: i64) -> Outcome<BTreeSet<String>> {
    let connection = connect(settings, "proposals");
    let topic = &settings.topics.campaigns;
    let partitions = Admin::connect(&connection, PATIENCE)?.partitions(&[topic])?.remove(topic).flatten().unwrap_or(0);
    let codec = registry::codec(settings, &[])?;
    let mut reader = LogReader::open(&connection, PATIENCE)?;
    let mut accounts = BTreeSet::new();
    for partition in 0..partitions {
        reader.read(topic, partition, From::Earliest, Until::StableEnd, |record| {
            if let Some(Ok(Fact::CampaignSpec(spec))) =
                record.payload.map(|payload| codec.fact(ControlTopic::Campaigns, payload))
                && (spec.campaign_id.as_str(), spec.version) == (campaign_id, version)
            {
                accounts.insert(spec.account_id);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(accounts)
}

/// The one account that is meant; a yes to another's jump would be worse than none.
fn only(accounts: BTreeSet<String>, campaign_id: &str, version: i64) -> Outcome<String> {
    let mut all: Vec<String> = accounts.into_iter().collect();
    match all.len() {
        1 => Ok(all.remove(0)),
        0 => Err(Failure::failed(
            format!("no version {version} of a campaign {campaign_id} is published"),
            "see `paceline tap` of the campaigns topic, and the alert spec_jump for the id",
        )),
        _ => Err(Failure::failed(
            format!("the accounts {} each have a version {version} of a campaign {campaign_id}", all.join(", ")),
            "say which one with --account",
        )),
    }
}

fn send(
    settings: &Settings,
    arguments: &ProposalArgs,
    command_id: &str,
    decision: &str,
    account_id: String,
    campaign_id: String,
) -> Outcome {
    let record = Decision {
        command_id: command_id.to_owned(),
        account_id,
        campaign_id: Some(campaign_id.clone()),
        decision: decision.to_owned(),
        value_micros: None,
        until: None,
        actor: actor(arguments.actor.as_deref()),
        reason: arguments.reason.as_deref().map(super::halt::in_short),
        decided_at: Clock::System.now_ms(),
    };
    let payload =
        registry::codec(settings, &[RecordName::Decision])?.encode_fact(&Fact::Decision(Box::new(record))).map_err(
            |error| Failure::failed(format!("encoding the decision: {error}"), "this is a defect; please report it"),
        )?;
    let mut sender = sender(&connect(settings, "proposals"))?;
    sender.send(&settings.topics.feedback, None, Some(campaign_id.as_bytes()), Some(&payload), None)?;
    sender.flush(PATIENCE)?;
    say(&json!({ "command_id": command_id, "decision": decision }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_s_jump_is_confirmed_for_one_account_that_has_it_or_for_none() {
        let of = |accounts: &[&str]| only(accounts.iter().map(|id| (*id).to_owned()).collect(), "spring", 7);
        assert_eq!(of(&["acme"]).unwrap(), "acme");
        assert!(of(&[]).unwrap_err().to_string().contains("no version 7 of a campaign spring"));
        let refused = of(&["acme", "tea"]).unwrap_err().to_string();
        assert!(refused.contains("acme, tea") && refused.contains("--account"), "{refused}");
    }
}
