//! Committed decisions can be reproduced: `verify` finds a run with a kill equal, while the service still decides and
//! after it; and it finds one altered command in a copy of the decision log.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use serde_json::{Value, json};
use std::fs;
use std::process::{Output, Stdio};
use std::time::Duration;
use system_tests::avro::schemas;
use system_tests::deployment::JOURNAL_PARTITIONS;
use system_tests::logs::{self, Entry, Writer};
use system_tests::{Broker, Deployment, wait};

/// A difference was found.
const DIFFERENCE: i32 = 3;
/// Budgets of the story are gone within seconds; a take-over after the kill may take some more.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_run_with_a_kill_is_reproduced_and_one_altered_command_is_found() {
    let Some(broker) = Broker::shared() else { return };
    let mut deployment = Deployment::new(broker, "verify");
    deployment.set("user_key.secret", "a secret of this story");
    steer(&deployment);
    let mut service = deployment.start("0");
    let mut load = deployment
        .command(&["generate", "--campaigns", "20", "--users", "2000", "--for", "10s", "--rate", "1000"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    wait_for_commands(&deployment, 1);
    service.kill();
    service.start_again(&[], &[]);
    service.wait_until_ready();
    let while_it_decides = equal(&deployment);
    assert!(load.wait().expect("a child can be waited for").success(), "the load ends well");
    wait_for_commands(&deployment, 2);
    service.stop();

    let commands = logs::read(&deployment.brokers, &[deployment.topic("adjustments")]);
    let report = equal(&deployment);
    let compared = &report["topics"][deployment.topic("adjustments")];
    assert_eq!(compared["equal"], commands.len(), "every command is compared: {report}");
    assert_eq!(compared["not_comparable"], 0);
    assert!(report["journal_records"].as_u64() > while_it_decides["journal_records"].as_u64());

    let altered = commands.len() / 2;
    let copy = copied_with_one_altered(broker, &deployment, &commands, altered);
    let output = copy.output(&["verify", "--output", "json"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(DIFFERENCE), "{words}");
    assert!(words.contains("1 committed record(s) differ"), "{words}");
    let report = document(&output);
    let difference = &report["first_difference"];
    assert_eq!(difference["topic"], copy.topic("adjustments"));
    assert_eq!(difference["journal_partition"], commands[altered].partition);
    let (replayed, committed) = (&difference["replayed"], &difference["committed"]);
    assert_eq!(replayed["command_id"], committed["command_id"], "it is the same command from both sides");
    assert_eq!((&committed["reason"], replayed["reason"] == json!(FORGED)), (&json!(FORGED), false));
    assert_eq!(report["topics"][copy.topic("adjustments")]["different"], 1);
    assert_eq!(report["topics"][copy.topic("kpis")]["different"], 0);
    println!("verify: {} journal records, {} commands, one altered", report["journal_records"], commands.len());
    copy.clean();
    deployment.clean();
}

const FORGED: &str = "forged";

/// Publishes specifications of the load's campaigns, newer than its own, with budgets that do not last.
fn steer(deployment: &Deployment) {
    let campaign = |number: i64| {
        json!({
            "campaign_id": format!("campaign-{number:05}"), "account_id": "account-0000", "version": 9,
            "channel": "search", "time_zone": "UTC", "currency": "EUR",
            "daily_budget_micros": 100_000 * (1 + number % 7), "daily_cap": "hard",
            "bid_control": "paceline", "budget_control": "paceline", "bid_strategy": "max_clicks", "bid_micros": 2_000,
            "bid_min_micros": 200, "bid_max_micros": 20_000, "bid_step_micros": 10, "mode": "auto",
        })
    };
    let file = deployment.folder.join("campaigns.json");
    let campaigns: Vec<Value> = (0..20).map(campaign).collect();
    fs::write(&file, json!(campaigns).to_string()).expect("a file can be written");
    deployment.run(&["campaigns", "apply", &file.display().to_string()]);
}

fn wait_for_commands(deployment: &Deployment, at_least: usize) {
    wait::until("commands are issued", LIMIT, || {
        let found = logs::read(&deployment.brokers, &[deployment.topic("adjustments")]).len();
        (found >= at_least).then_some(())
    });
}

/// The report of a comparison that finds no difference.
fn equal(deployment: &Deployment) -> Value {
    let output = deployment.output(&["verify", "--output", "json"]);
    let report = document(&output);
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}: {report}");
    assert_eq!(report["first_difference"], Value::Null);
    report
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("not one JSON document ({}): {}", output.status, String::from_utf8_lossy(&output.stderr))
    })
}

/// The same deployment with another topic of commands: all of them in their places, the reason of one changed.
fn copied_with_one_altered(broker: &Broker, of: &Deployment, commands: &[Entry], altered: usize) -> Deployment {
    let mut copy = of.clone();
    let topic = broker.fresh_topic("forged", JOURNAL_PARTITIONS, &[("message.timestamp.type", "LogAppendTime")]);
    copy.rename("adjustments", &topic);
    let writer = Writer::open(&copy.brokers);
    for (at, entry) in commands.iter().enumerate() {
        let payload = if at == altered { with_forged_reason(entry) } else { entry.bytes().to_vec() };
        writer.send(&topic, Some(entry.partition), entry.key.as_deref(), Some(&payload));
    }
    writer.flush();
    copy
}

fn with_forged_reason(entry: &Entry) -> Vec<u8> {
    use apache_avro::types::Value;
    let (_, mut command) = schemas().decode(entry.bytes()).expect("a command of ours decodes");
    let Value::Record(fields) = &mut command else { panic!("a command is a record") };
    for (name, value) in fields {
        if name == "reason" {
            *value = Value::String(FORGED.into());
        }
    }
    schemas().encode_value("Adjustment", command)
}
