//! Transactions that the broker tore: what is missing comes once, and what is there does not come again.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use apache_avro::types::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};
use system_tests::avro::{Fields, schemas};
use system_tests::deployment::JOURNAL_PARTITIONS;
use system_tests::logs::{self, Entry, Writer};
use system_tests::truth::{self, Cells};
use system_tests::{Broker, Chance, Deployment, Service, http, journal, kpis, wait};

#[test]
fn decisions_that_reached_some_topics_only_are_completed_and_no_command_comes_twice() {
    let Some(broker) = Broker::own(&[]) else { return };
    let mut chance = Chance::of_this_run("decisions");
    let whole = decided(&broker, chance.seed());
    let lacking: [&[&str]; 6] = [
        &["adjustments"],
        &["kpis"],
        &["alerts", "desired_state"],
        &["adjustments", "desired_state"],
        &["adjustments", "proposals", "desired_state", "alerts"],
        &["kpis", "alerts", "desired_state"],
    ];
    for lacking in lacking {
        for moved in [false, true] {
            // One transaction is the last of each journal partition.
            let torn = whole.torn_transactions(lacking, &mut chance);
            let deployment = whole.copy(&torn, lacking, moved);
            let mut service = Service::spawn(&deployment, "0", &["--role", "controller"], &[]);
            let expected: usize = whole.outputs.values().map(Vec::len).sum();
            wait::until_ok("everything is decided", LIMIT, || {
                let found: usize = outputs(&deployment).values().map(Vec::len).sum();
                if found >= expected { Ok(()) } else { Err(format!("{found} of {expected}; {}", service.last_words())) }
            });
            service.stop();
            let found = outputs(&deployment);
            for (place, payloads) in &whole.outputs {
                let same = found.get(place) == Some(payloads);
                let count = found.get(place).map_or(0, Vec::len);
                assert!(same, "{place:?}: {count} records, expected {}: {lacking:?}, moved {moved}", payloads.len());
            }
            let told = service.log().matches("get what they lack").count();
            // Where nothing of a transaction is left, it is one that never was.
            let seen = |span: &Span| span.has(lacking) && (moved || span.has(&others(lacking)));
            assert_eq!(told, torn.values().filter(|span| seen(span)).count(), "{}", service.last_words());
            println!("torn: {lacking:?} lacked {told} transactions, position moved: {moved}: byte for byte the same");
            deployment.clean();
        }
    }
    whole.deployment.clean();
}

#[test]
fn a_torn_first_cut_of_sources_that_begin_late_is_emitted_again() {
    let Some(broker) = Broker::own(&[]) else { return };
    let seed = Chance::of_this_run("first").seed();
    let early = Deployment::new(&broker, "early");
    generate(&early, seed, "2s", 2_000);
    let mut late = early.twin("late");
    late.set("start_from", "latest");
    let mut service = late.start("0");
    let expected = generate(&early, seed + 1, "3s", 2_000);
    journal::wait_for_minutes(&late, &expected, LIMIT);
    service.stop();
    // The first cut reached one journal partition; nothing else was ever written.
    let entries = logs::read(&late.brokers, &[late.topic("journal")]);
    let first = journal::clocks(&entries, 0)[0];
    let mut torn = early.twin("torn");
    torn.set("start_from", "latest");
    let writer = Writer::open(&torn.brokers);
    for entry in entries.iter().filter(|entry| entry.partition == 0 && journal::clock(entry) == first) {
        writer.copy(entry, torn.topic("journal"));
    }
    writer.flush();
    let mut service = torn.start("0");
    assert!(service.log().contains("the last cut is torn"), "{}", service.last_words());
    journal::wait_for_minutes(&torn, &expected, LIMIT);
    service.stop();
    journal::check(&torn).assert_clean();
    for deployment in [early, late, torn] {
        deployment.clean();
    }
}

#[test]
fn sequences_go_on_where_only_desired_states_are_left_and_the_loss_is_told() {
    let Some(broker) = Broker::own(&[]) else { return };
    let seed = Chance::of_this_run("anchor").seed();
    let mut before = Deployment::new(&broker, "before");
    before.set("user_key.secret", SECRET);
    steer(&before);
    let mut service = before.start("0");
    generate(&before, seed, "12s", 3_000);
    let sequences = |deployment: &Deployment, word: &str| {
        let entries = logs::read(&deployment.brokers, &[deployment.topic(word)]);
        let decoded = entries.iter().map(|entry| schemas().decode(entry.bytes()).expect("a record of ours decodes").1);
        decoded.map(|value| (value.text("account_id").to_owned(), value.long("sequence"))).collect::<Vec<_>>()
    };
    wait::until("commands are issued", LIMIT, || (sequences(&before, "desired_state").len() > 5).then_some(()));
    service.stop();
    // Journal, snapshots and commands are gone; the compacted topic remains.
    let mut after = before.twin("after");
    after.set("user_key.secret", SECRET);
    let writer = Writer::open(&after.brokers);
    for entry in logs::read(&before.brokers, &[before.topic("desired_state")]) {
        writer.copy(&entry, after.topic("desired_state"));
    }
    writer.flush();
    let mut last = BTreeMap::new();
    for (account, sequence) in sequences(&after, "desired_state") {
        let known = last.entry(account).or_insert(0);
        *known = sequence.max(*known);
    }
    assert!(last.values().any(|sequence| *sequence > 0));
    let mut service = Service::spawn(&after, "0", &["--role", "controller"], &[]);
    let status = service.wait_for_end(Duration::from_secs(60));
    assert_eq!(status.code(), Some(78), "{}", service.last_words());
    assert!(service.log().contains("a journal that is no more"), "{}", service.last_words());
    service.start_again(&["--accept-loss"], &[]);
    service.wait_until_ready();
    wait::until("commands are issued again", LIMIT, || (sequences(&after, "adjustments").len() > 3).then_some(()));
    service.stop();
    for (account, sequence) in sequences(&after, "adjustments") {
        assert!(sequence > last.get(&account).copied().unwrap_or(0), "{account}: {sequence}, {last:?}");
    }
    let alerts = logs::read(&after.brokers, &[after.topic("alerts")]);
    let told = alerts.iter().map(|entry| schemas().decode(entry.bytes()).expect("a record of ours decodes").1);
    assert!(told.map(|alert| alert.text("kind").to_owned()).any(|kind| kind == "history_lost"));
    before.clean();
    after.clean();
}

#[test]
fn a_take_over_that_waits_for_a_log_ends_soon_after_it_is_asked_to_stop() {
    let Some(broker) = Broker::own(&[]) else { return };
    let deployment = Deployment::new(&broker, "stop");
    deployment.start("0").stop();
    let open = logs::open_transaction(&deployment.brokers, deployment.topic("journal"), 0);
    let mut service = Service::spawn(&deployment, "0", &[], &[]);
    // What it reads is the journal, several partitions at a time, and for a second it comes no further.
    let stuck = format!("records of {}/", deployment.topic("journal"));
    let mut since = Instant::now();
    let mut last = String::new();
    wait::until("the aggregator stands before the open transaction", LIMIT, || {
        let (_, words) = http::get(service.http_port(), "/health/ready")?;
        let worker = words.split("aggregator").nth(1).unwrap_or_default().to_owned();
        if worker != last || !worker.contains(&stuck) {
            (last, since) = (worker, Instant::now());
        }
        (since.elapsed() >= Duration::from_secs(1)).then_some(())
    });
    let asked = Instant::now();
    service.stop();
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(8), "{took:.1?}: {}", service.last_words());
    println!("torn: a waiting take-over ended {took:.1?} after it was asked");
    drop(open);
    deployment.clean();
}

/// What the controller published, by topic word and partition, in order.
type OutputBytes = BTreeMap<(&'static str, i32), Vec<Vec<u8>>>;

/// A run with commands, alerts and rows, and everything that it published.
struct Decided {
    deployment: Deployment,
    entries: Vec<(&'static str, Entry)>,
    outputs: OutputBytes,
}

/// What a transaction says that it covers.
#[derive(Clone, Debug)]
struct Span {
    text: String,
    from: i64,
    to: i64,
}

fn decided(broker: &Broker, seed: u64) -> Decided {
    let mut deployment = Deployment::new(broker, "decided");
    deployment.set("user_key.secret", SECRET);
    steer(&deployment);
    let mut service = deployment.start("0");
    let expected = generate(&deployment, seed, "15s", 3_000);
    kpis::wait_for_minutes(&deployment, &expected, LIMIT);
    service.stop();
    // What the aggregator's last cut brings is decided by a controller alone, that all copies have the same to decide.
    let mut service = Service::spawn(&deployment, "0", &["--role", "controller"], &[]);
    service.wait_until_ready();
    journal::wait_for_rest(&deployment, LIMIT);
    service.stop();
    let entries: Vec<(&'static str, Entry)> = OUTPUTS
        .into_iter()
        .flat_map(|word| logs::read(&deployment.brokers, &[deployment.topic(word)]).into_iter().map(move |e| (word, e)))
        .collect();
    let count = |wanted: &str| entries.iter().filter(|(word, _)| *word == wanted).count();
    println!("torn: {} commands, {} alerts, {} rows", count("adjustments"), count("alerts"), count("kpis"));
    assert!(count("adjustments") > 10 && count("alerts") > 10 && count("kpis") > 30);
    let outputs = outputs(&deployment);
    Decided { deployment, entries, outputs }
}

impl Decided {
    /// One transaction that wrote the first of these topics, for each journal partition that has any.
    fn torn_transactions(&self, lacking: &[&str], chance: &mut Chance) -> BTreeMap<i32, Span> {
        let mut torn = BTreeMap::new();
        for partition in 0..JOURNAL_PARTITIONS {
            let entries = self.entries.iter().filter(|(word, entry)| {
                *word == lacking[0] && entry.partition == partition && entry.headers.contains_key(SPAN_HEADER)
            });
            let entries: Vec<&Entry> = entries.map(|(_, entry)| entry).collect();
            if let Some(entry) = entries.get(chance.below(entries.len().max(1) as u64) as usize) {
                torn.insert(partition, Span::of(entry));
            }
        }
        assert!(!torn.is_empty(), "the topic has records");
        torn
    }

    /// A deployment on the same journal whose topics end with the torn transactions, of which `lacking` have nothing.
    fn copy(&self, torn: &BTreeMap<i32, Span>, lacking: &[&str], moved: bool) -> Deployment {
        let mut deployment = self.deployment.twin("torn");
        deployment.set("user_key.secret", SECRET);
        deployment.set("topics.journal", self.deployment.topic("journal"));
        let writer = Writer::open(&deployment.brokers);
        for (word, entry) in &self.entries {
            let keep = torn.get(&entry.partition).is_some_and(|span| {
                let offset = journal_offset(entry);
                offset < span.from || offset <= span.to && !lacking.contains(word)
            });
            if keep {
                writer.copy(entry, deployment.topic(word));
            }
        }
        writer.flush();
        let journal = self.deployment.topic("journal");
        let positions = torn.iter().map(|(partition, span)| {
            let (offset, text) = if moved { (span.to + 1, span.text.clone()) } else { (span.from, String::new()) };
            (journal.to_owned(), *partition, offset, text)
        });
        logs::commit(&deployment.brokers, &deployment.group("controller"), &positions.collect::<Vec<_>>());
        deployment
    }
}

impl Span {
    fn of(entry: &Entry) -> Span {
        let text = entry.headers[SPAN_HEADER].clone();
        let part = |name: &str| text.split(';').find_map(|part| part.strip_prefix(name)?.parse().ok());
        let (from, to) = (part("from="), part("to="));
        Span { from: from.expect("a beginning"), to: to.expect("an end"), text: text.clone() }
    }

    fn has(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(&format!(";{word}=")))
    }
}

fn others<'w>(words: &[&'w str]) -> Vec<&'w str> {
    OUTPUTS.into_iter().filter(|word| !words.contains(word)).collect()
}

/// The journal offset that an output names.
fn journal_offset(entry: &Entry) -> i64 {
    let (name, value) = schemas().decode(entry.bytes()).expect("a record of ours decodes");
    let holder: &Value = if name == "Adjustment" { value.field("explanation") } else { &value };
    holder.long("journal_offset")
}

fn outputs(deployment: &Deployment) -> OutputBytes {
    let mut outputs = OutputBytes::new();
    for word in OUTPUTS {
        for entry in logs::read(&deployment.brokers, &[deployment.topic(word)]) {
            outputs.entry((word, entry.partition)).or_default().push(entry.bytes().to_vec());
        }
    }
    outputs
}

fn generate(deployment: &Deployment, seed: u64, span: &str, rate: u32) -> Cells {
    let file = deployment.folder.join(format!("truth-{seed}.csv"));
    let (rate, seed, path) = (rate.to_string(), seed.to_string(), file.display().to_string());
    let words = ["generate", "--campaigns", "40", "--users", "5000", "--for", span, "--rate", &rate, "--seed", &seed];
    deployment.run(&[&words[..], &["--truth", &path]].concat());
    truth::read(&file, "all")
}

/// Specifications of the load's campaigns, newer than its own: steered, with budgets that do not last.
fn steer(deployment: &Deployment) {
    let campaign = |number: i64| {
        json!({
            "campaign_id": format!("campaign-{number:05}"), "account_id": format!("account-{:04}", number % 3), "version": 9,
            "channel": "search", "time_zone": "UTC", "currency": "EUR", "daily_budget_micros": 20_000 * (1 + number % 7),
            "daily_cap": "hard", "bid_control": "paceline", "budget_control": "paceline", "bid_strategy": "max_clicks",
            "bid_micros": 2_000, "bid_min_micros": 200, "bid_max_micros": 20_000, "bid_step_micros": 10, "mode": "auto",
        })
    };
    let file = deployment.folder.join("campaigns.json");
    let campaigns: Vec<_> = (0..40).map(campaign).collect();
    fs::write(&file, json!(campaigns).to_string()).expect("a file can be written");
    deployment.run(&["campaigns", "apply", &file.display().to_string()]);
}

/// Topics that the controller writes, by their words.
const OUTPUTS: [&str; 5] = ["adjustments", "proposals", "desired_state", "alerts", "kpis"];
/// Where a record says what its transaction covers.
const SPAN_HEADER: &str = "paceline-span";
const SECRET: &str = "a secret of this story";
/// Idle sources close the last minute after some seconds; rows that changed later are replaced once a minute.
const LIMIT: Duration = Duration::from_secs(150);
