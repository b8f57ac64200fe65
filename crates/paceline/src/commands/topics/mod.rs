//! `paceline topics plan|apply`.

mod acls;

use super::{connect, say, say_json};
use crate::cli::{Output, TopicsArgs, TopicsCommand};
use crate::failure::{Failure, Outcome};
use crate::service::topology::{ANSWER_LIMIT, TopicNeed, judge, needs};
use crate::settings::Settings;
use kafka_io::{Admin, TopicPlan};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// `max.message.bytes` of a broker that nobody has changed: asked for by name, so that a smaller one of the cluster's is not
/// inherited.
const BROKER_DEFAULT_BYTES: u64 = 1_048_588;

/// Between two looks for what was created.
const KNOWN_WAIT: Duration = Duration::from_millis(100);

/// Plans or applies.
pub fn run(command: &TopicsCommand) -> Outcome {
    let (arguments, apply) = match command {
        TopicsCommand::Plan(arguments) => (arguments, false),
        TopicsCommand::Apply(arguments) => (arguments, true),
    };
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let admin = Admin::connect(&connect(&settings, "topics"), ANSWER_LIMIT)?;
    let needs = needs(&settings, arguments.event_partitions);
    let names: Vec<&str> = needs.iter().map(|need| need.name.as_str()).collect();
    let found = admin.describe(&names)?;
    let (refusals, warnings) = judge(&settings, &found);
    let missing: Vec<&TopicNeed> =
        needs.iter().filter(|need| !matches!(found.get(&need.name), Some(Some(_)))).collect();
    let mut created = Vec::new();
    if apply && !missing.is_empty() {
        let plans: Vec<TopicPlan> = missing.iter().map(|need| plan(need, arguments)).collect();
        created = admin.create(&plans)?;
        wait_until_known(&admin, &created)?;
    }
    let absent: Vec<&str> =
        missing.iter().map(|need| need.name.as_str()).filter(|name| !created.iter().any(|made| made == name)).collect();
    report(&settings, &needs, arguments, &created, &absent, &refusals, &warnings)?;
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Failure::setup(
        format!("the topics have {} wrong setting(s)", refusals.len()),
        "correct them with your cluster's own tools, for example kafka-configs",
    )
    .listing(refusals))
}

/// A created topic is known everywhere a little later; who starts the service next shall find it.
fn wait_until_known(admin: &Admin, created: &[String]) -> Outcome {
    let names: Vec<&str> = created.iter().map(String::as_str).collect();
    let started = Instant::now();
    while started.elapsed() < ANSWER_LIMIT {
        let found = admin.partitions(&names)?;
        if names.iter().all(|name| matches!(found.get(*name), Some(Some(_)))) {
            break;
        }
        std::thread::sleep(KNOWN_WAIT);
    }
    Ok(())
}

fn plan(need: &TopicNeed, arguments: &TopicsArgs) -> TopicPlan {
    let mut settings = BTreeMap::from([("cleanup.policy".to_owned(), need.cleanup.to_owned())]);
    if let Some(retention_ms) = need.retention_ms {
        settings.insert("retention.ms".into(), retention_ms.to_string());
    }
    if need.append_time {
        settings.insert("message.timestamp.type".into(), "LogAppendTime".into());
    }
    if let Some(bytes) = need.batch_bytes {
        settings.insert("max.message.bytes".into(), bytes.max(BROKER_DEFAULT_BYTES).to_string());
    }
    TopicPlan { name: need.name.clone(), partitions: need.partitions, replication: arguments.replication, settings }
}

fn report(
    settings: &Settings,
    needs: &[TopicNeed],
    arguments: &TopicsArgs,
    created: &[String],
    absent: &[&str],
    refusals: &[String],
    warnings: &[String],
) -> Outcome {
    let state = |name: &str| match (created.iter().any(|made| made == name), absent.contains(&name)) {
        (true, _) => "created",
        (_, true) => "missing",
        _ => "exists",
    };
    if arguments.output == Output::Json {
        let rows: Vec<_> = needs
            .iter()
            .map(|need| {
                json!({ "topic": need.name, "partitions": need.partitions, "cleanup": need.cleanup, "retention_ms": need.retention_ms,
                    "log_append_time": need.append_time, "writer": need.writer, "reader": need.reader, "state": state(&need.name) })
            })
            .collect();
        return say_json(
            &json!({ "topics": rows, "refusals": refusals, "warnings": warnings, "permissions": acls::lines(settings) }),
            arguments.output,
        );
    }
    for need in needs {
        let retention = need.retention_ms.map_or("compact".to_owned(), |ms| format!("{} d", ms / 86_400_000));
        say(&format!(
            "{:<8} {:<18} {:>3} {:<10}  {:<8} written by {}; read by {}",
            state(&need.name),
            need.name,
            need.partitions,
            if need.partitions == 1 { "partition" } else { "partitions" },
            retention,
            need.writer,
            need.reader
        ))?;
    }
    for warning in warnings {
        say(&format!("warning: {warning}"))?;
    }
    acls::lines(settings).iter().try_for_each(|line| say(line))
}
