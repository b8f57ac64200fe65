//! `paceline policy apply|show|check`.

use super::{actor, connect, say, sender};
use crate::cli::PolicyCommand;
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::service::topology::ANSWER_LIMIT;
use crate::settings::Settings;
use avro_codec::RecordName;
use kafka_io::{Admin, From, LogReader, Until};
use model::fact::{ControlTopic, Fact, PolicyVersion};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Applies, shows or checks.
pub fn run(command: &PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::Check { file } => {
            checked(file)?;
            say("the policy is complete")
        }
        PolicyCommand::Show { config, name } => {
            let (settings, _) = Settings::load(&config.files)?;
            match newest(&settings, name)? {
                Some(policy) => {
                    eprintln!(
                        "{} version {}, by {}, sha256 {}",
                        policy.name, policy.version, policy.author, policy.sha256
                    );
                    say(policy.body.trim_end())
                }
                None => say("no policy was applied; the built-in defaults hold"),
            }
        }
        PolicyCommand::Apply { config, name, file } => {
            let (settings, _) = Settings::load(&config.files)?;
            apply(&settings, name, file)
        }
    }
}

/// The text of a policy file that has no mistakes.
pub fn checked(file: &Path) -> Outcome<String> {
    let body = std::fs::read_to_string(file)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display()), "check the path"))?;
    policy::settings::check(&body).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Failure::failed(
            format!("{} has {} mistake(s), nothing was sent", file.display(), lines.len()),
            "correct each line above; deploy/policy/default.toml shows every name with its default",
        )
        .listing(lines)
    })?;
    if body.parse::<toml::Table>().is_ok_and(|table| table.is_empty()) {
        eprintln!(
            "warning: {} sets nothing: the built-in numbers hold, without rules, goals and experiments",
            file.display()
        );
    }
    Ok(body)
}

fn apply(settings: &Settings, name: &str, file: &Path) -> Outcome {
    let body = checked(file)?;
    let version = newest(settings, name)?.map_or(1, |last| last.version + 1);
    let sha256 = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let policy = PolicyVersion {
        name: name.to_owned(),
        version,
        body,
        sha256,
        author: actor(None),
        applied_at: Clock::System.now_ms(),
    };
    let payload = registry::codec(settings, &[RecordName::PolicyVersion])?
        .encode_fact(&Fact::PolicyVersion(Box::new(policy)))
        .map_err(|error| {
            Failure::failed(format!("encoding the policy: {error}"), "a policy file may have at most 512 KiB")
        })?;
    let mut sender = sender(&connect(settings, "policy"))?;
    sender.send(&settings.topics.policy, None, Some(name.as_bytes()), Some(&payload), None)?;
    sender.flush(PATIENCE)?;
    say(&json!({ "policy": name, "version": version }).to_string())
}

fn newest(settings: &Settings, name: &str) -> Outcome<Option<PolicyVersion>> {
    let connection = connect(settings, "policy");
    let topic = &settings.topics.policy;
    let partitions =
        Admin::connect(&connection, ANSWER_LIMIT)?.partitions(&[topic])?.remove(topic).flatten().ok_or_else(|| {
            Failure::setup(
                format!("the topic {topic} does not exist on {}", settings.brokers),
                "create it with `paceline topics apply`",
            )
        })?;
    let codec = registry::codec(settings, &[])?;
    let mut reader = LogReader::open(&connection, PATIENCE)?;
    let mut newest: Option<PolicyVersion> = None;
    for partition in 0..partitions {
        reader.read(topic, partition, From::Earliest, Until::StableEnd, |record| {
            if let Some(Ok(Fact::PolicyVersion(policy))) =
                record.payload.map(|bytes| codec.fact(ControlTopic::Policy, bytes))
                && policy.name == name
                && newest.as_ref().is_none_or(|last| last.version < policy.version)
            {
                newest = Some(*policy);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(newest)
}
