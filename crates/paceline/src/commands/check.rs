//! `paceline check`: everything that is wrong with a set-up, at once.

use super::{connect, say, say_json};
use crate::cli::{Check, Output};
use crate::failure::{Failure, Outcome};
use crate::service::topology;
use crate::settings::Settings;
use avro_codec::Codec;
use kafka_io::{Admin, From, LogReader, Until};
use model::fact::{ControlTopic, Fact};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::ControlFlow;

/// Checks files and variables, then the cluster, the topics and the ports.
pub fn run(arguments: &Check) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    connection_properties(&settings)?;
    let mut warnings = Vec::new();
    if !arguments.no_environment {
        warnings = environment(&settings)?;
    }
    if arguments.output == Output::Json {
        return say_json(&json!({ "ok": true, "warnings": warnings }), arguments.output);
    }
    for warning in &warnings {
        say(&format!("warning: {warning}"))?;
    }
    say("the set-up is complete")
}

/// Whether the client takes the connection's properties.
pub fn connection_properties(settings: &Settings) -> Outcome {
    connect(settings, "check").check().map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        Failure::setup(
            format!("kafka.properties has {} mistake(s):\n  - {}", lines.len(), lines.join("\n  - ")),
            "correct them",
        )
    })?;
    secret(settings)
}

/// A secured cluster holds real users: the built-in hash secret, which everybody knows, is refused there.
fn secret(settings: &Settings) -> Outcome {
    match (&settings.user_key_secret, settings.is_secured()) {
        (None, true) => Err(secret_wanted("the cluster is secured")),
        _ => Ok(()),
    }
}

fn environment(settings: &Settings) -> Outcome<Vec<String>> {
    let admin = Admin::connect(&connect(settings, "check"), topology::ANSWER_LIMIT)?;
    topology::inspect(settings, &admin)?;
    let warnings = topics(settings, &admin)?;
    automatic_campaigns(settings, &admin)?;
    for (setting, address) in [("http.listen", settings.http_listen), ("metrics.listen", settings.metrics_listen)] {
        TcpListener::bind(address).map_err(|error| {
            Failure::new(
                crate::failure::Kind::TryLater,
                format!("cannot listen on {address} ({setting}): {error}"),
                format!("free the port or set {setting} to another address"),
            )
        })?;
    }
    Ok(warnings)
}

/// Where commands are applied by themselves, the built-in hash key is refused too: whoever knows it could forge touches.
pub fn automatic_campaigns(settings: &Settings, admin: &Admin) -> Outcome {
    if settings.user_key_secret.is_some() {
        return Ok(());
    }
    let topic = &settings.topics.campaigns;
    let partitions = admin.partitions(&[topic])?.remove(topic).flatten().unwrap_or(0);
    let codec = Codec::fixed();
    let mut reader = LogReader::open(&connect(settings, "check"), topology::ANSWER_LIMIT)?;
    let mut automatic = BTreeMap::new();
    for partition in 0..partitions {
        reader.read(topic, partition, From::Earliest, Until::StableEnd, |record| {
            if let Some(Ok(Fact::CampaignSpec(spec))) =
                record.payload.map(|payload| codec.fact(ControlTopic::Campaigns, payload))
            {
                automatic.insert(spec.campaign_id.clone(), spec.mode == "auto" && spec.status == "active");
            }
            ControlFlow::Continue(())
        })?;
    }
    match automatic.iter().find(|(_, automatic)| **automatic) {
        Some((campaign_id, _)) => Err(secret_wanted(&format!("campaign {campaign_id} is in mode auto"))),
        None => Ok(()),
    }
}

/// The refusal of the built-in hash key, with its reason.
pub fn secret_wanted(reason: &str) -> Failure {
    Failure::setup(
        format!("user_key.secret is not set, and {reason}: user keys would be hashed with a key that everybody knows"),
        "set user_key.secret, the same for all workers, for example to @file:PATH",
    )
}

/// Checks the topics' settings: refusals end the command, warnings are returned.
pub fn topics(settings: &Settings, admin: &Admin) -> Outcome<Vec<String>> {
    let needs = topology::needs(settings, 0);
    let names: Vec<&str> = needs.iter().map(|need| need.name.as_str()).collect();
    let facts = admin.describe(&names)?;
    let (refusals, mut warnings) = topology::judge(settings, &facts);
    if !refusals.is_empty() {
        return Err(Failure::setup(refusals.join("; "), "correct the topics' settings; see `paceline topics plan`"));
    }
    if settings.user_key_secret.is_none() {
        warnings
            .push("user_key.secret is not set: user keys are hashed with a built-in key that everybody knows".into());
    }
    Ok(warnings)
}
