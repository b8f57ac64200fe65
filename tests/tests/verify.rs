//! Committed decisions can be reproduced: `verify` finds a run with a kill equal, while the service still decides and
//! after it; and it finds one bit of one command in a copy of the decision log.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use system_tests::avro::schemas;
use system_tests::deployment::JOURNAL_PARTITIONS;
use system_tests::logs::{self, Entry, Writer};
use system_tests::{Broker, Deployment, Service, journal, wait};

/// A difference was found.
const DIFFERENCE: i32 = 3;
/// Budgets of the story are gone within seconds; a take-over after the kill may take some more.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_run_with_a_kill_is_reproduced_and_one_altered_command_is_found() {
    let Some(broker) = Broker::shared() else { return };
    let mut deployment = Deployment::new(broker, "verify");
    deployment.set("user_key.secret", "a secret of this story");
    // States from within the run, not its end alone.
    deployment.set("snapshots.interval", "2s");
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
    // A replay decides the whole journal: what stage 1 cut last is decided first.
    let mut service = Service::spawn(&deployment, "0", &["--role", "controller"], &[]);
    journal::wait_for_rest(&deployment, LIMIT);
    service.stop();

    let commands = logs::read(&deployment.brokers, &[deployment.topic("adjustments")]);
    let report = equal(&deployment);
    let compared = &report["topics"][deployment.topic("adjustments")];
    assert_eq!(compared["equal"], commands.len(), "every command is compared: {report}");
    assert_eq!(compared["not_comparable"], 0);
    assert!(report["journal_records"].as_u64() > while_it_decides["journal_records"].as_u64());
    replays_are_the_same_bytes(&deployment, commands.len());

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
    assert_eq!(committed["reason"], forged(&replayed["reason"]), "one bit of it is another");
    assert_eq!(report["topics"][copy.topic("adjustments")]["different"], 1);
    assert_eq!(report["topics"][copy.topic("kpis")]["different"], 0);
    what_is_left_is_verified_replayed_and_reported(&deployment);
    println!("verify: {} journal records, {} commands, one altered", report["journal_records"], commands.len());
    copy.clean();
    deployment.clean();
}

/// The journal of the run with a kill: from the topics with one thread, with four, and from an export; and the tables of
/// an export hold what was committed.
fn replays_are_the_same_bytes(deployment: &Deployment, commands: usize) {
    let folder = |name: &str| deployment.folder.join(name).display().to_string();
    let replay = |out: &str, more: &[&str]| {
        let out = folder(out);
        let words = [&["replay", "--journal", "--out", &out, "--output", "json"], more].concat();
        let summary: Value = serde_json::from_str(&deployment.run(&words)).expect("a summary is one JSON document");
        (files(Path::new(&out)), summary)
    };
    let (one, summary) = replay("run-1", &["--threads", "1"]);
    let (four, _) = replay("run-4", &["--threads", "4"]);
    let exported = folder("journal");
    deployment.run(&["export", "journal", "--out", &exported]);
    let (of_files, _) = replay("run-files", &["--files", &exported]);
    assert!(one == four, "threads change nothing");
    assert!(one == of_files, "an export is the journal");
    let issued: u64 =
        summary["commands"]["issued"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    assert_eq!(issued, commands as u64, "{}", summary["commands"]);
    let (_, compared) = replay("run-compared", &["--files", &exported, "--compare", &folder("run-1")]);
    let total = &compared["comparison"]["totals"][0];
    assert_eq!(total["spend_bounds"]["least_micros"], total["recorded_spend_micros"]["same"], "{total}");
    let lines = deployment.run(&["export", "decisions", "--format", "ndjson"]);
    let issued = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is a JSON object"));
    assert_eq!(issued.filter(|row| row["state"] == "issued").count(), commands);
    let broken = Path::new(&exported).join("journal-00000.avro");
    let mut bytes = fs::read(&broken).expect("an export has this file");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(&broken, bytes).expect("a file can be written");
    let refused = deployment.output(&["replay", "--journal", "--files", &exported, "--out", &folder("none")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not what was exported"));
    assert!(!Path::new(&folder("none")).exists());
}

/// Retention takes the first half of every journal partition; the service has kept states since.
fn what_is_left_is_verified_replayed_and_reported(deployment: &Deployment) {
    let journal = deployment.topic("journal");
    let half = |partition: i32| logs::ends(&deployment.brokers, journal, partition).1 / 2;
    let places: Vec<(String, i32, i64)> =
        (0..JOURNAL_PARTITIONS).map(|partition| (journal.to_owned(), partition, half(partition))).collect();
    logs::delete_before(&deployment.brokers, &places);
    let report = equal(deployment);
    assert_eq!(report["begun_with_states"].as_array().map(Vec::len), Some(JOURNAL_PARTITIONS as usize), "{report}");
    let folder = |name: &str| deployment.folder.join(name).display().to_string();
    let replayed = |more: &[&str], name: &str| {
        let out = folder(name);
        let words = [&["replay", "--journal", "--out", &out, "--output", "json"], more].concat();
        serde_json::from_str::<Value>(&deployment.run(&words)).expect("a summary is one JSON document")
    };
    let going_on = replayed(&[], "run-state");
    assert!(going_on["journal"]["partitions"][0]["begun"]["state_of_ms"].is_number(), "{}", going_on["journal"]);
    assert!(going_on["limits"][0].as_str().is_some_and(|words| words.contains("begin with a state")), "{going_on}");
    let cold = replayed(&["--cold"], "run-cold");
    assert_eq!(cold["journal"]["partitions"][0]["begun"], json!("cold"));
    assert!(cold["limits"][0].as_str().is_some_and(|words| words.contains("begun with nothing")), "{cold}");
    let page: Value =
        serde_json::from_str(&deployment.run(&["report", "--output", "json", "--out", &folder("left.html")]))
            .expect("a report tells of itself");
    assert!(page["journal_begins_ms"].is_number() && page["campaigns"].as_u64() > Some(0), "{page}");
    let html = fs::read_to_string(folder("left.html")).expect("the page is there");
    assert!(html.contains("beginning is gone"), "it says what it cannot know");
    let refused = deployment.output(&["export", "journal", "--out", &folder("gone")]);
    assert_eq!(refused.status.code(), Some(78), "{}", String::from_utf8_lossy(&refused.stderr));
    let without = deployment.command(&["verify"]).env("PACELINE__STATE__DIR", folder("nowhere")).output();
    let without = without.expect("the binary runs");
    let words = String::from_utf8_lossy(&without.stderr).into_owned();
    assert_eq!(without.status.code(), Some(78), "{words}");
    assert!(words.contains("what came before is gone, and no state in") && words.contains("state.dir"), "{words}");
}

/// All files of a folder with their bytes.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("it lies in the folder").to_owned();
                found.insert(name, fs::read(&path).expect("a file can be read"));
            }
        }
    }
    found
}

/// Publishes specifications of the load's campaigns, newer than its own, with budgets that do not last.
pub fn steer(deployment: &Deployment) {
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

/// Waits until so many commands are committed.
pub fn wait_for_commands(deployment: &Deployment, at_least: usize) {
    wait::until("commands are issued", LIMIT, || {
        let found = logs::read(&deployment.brokers, &[deployment.topic("adjustments")]).len();
        (found >= at_least).then_some(())
    });
}

/// The report of a comparison that finds no difference.
pub fn equal(deployment: &Deployment) -> Value {
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

/// The bytes of the command with one bit of its reason the other way round.
pub fn with_forged_reason(entry: &Entry) -> Vec<u8> {
    let reason = reason_of(entry.bytes()).expect("a command of ours decodes");
    let forged = (0..entry.bytes().len()).find_map(|at| {
        let mut bytes = entry.bytes().to_vec();
        let is_its_first_letter = bytes[at..].starts_with(reason.as_bytes());
        bytes[at] ^= 1;
        // The same word may stand elsewhere, as the holder of a pause.
        (is_its_first_letter && reason_of(&bytes).is_some_and(|found| found != reason)).then_some(bytes)
    });
    forged.expect("a text stands in the record as it is")
}

fn reason_of(bytes: &[u8]) -> Option<String> {
    use apache_avro::types::Value;
    let Some((_, Value::Record(fields))) = schemas().decode(bytes).ok() else { return None };
    fields.into_iter().find_map(|(name, value)| match value {
        Value::String(reason) if name == "reason" => Some(reason),
        _ => None,
    })
}

/// The reason as [`with_forged_reason`] leaves it.
fn forged(reason: &Value) -> Value {
    let mut bytes = reason.as_str().expect("a reason is a text").as_bytes().to_vec();
    bytes[0] ^= 1;
    json!(String::from_utf8(bytes).expect("reasons are plain words"))
}
