//! A million events through the whole service: what it counts is what was sent, exactly, and what it refuses is kept.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use system_tests::avro::schemas;
use system_tests::logs::Writer;
use system_tests::recount::{self, Place, Recount};
use system_tests::truth::{self, Cell, Cells, DAY_MS, HOUR_MS, MINUTE_MS};
use system_tests::{Broker, Chance, Deployment, journal, kpis};

#[test]
fn a_million_events_are_counted_exactly_and_every_poison_record_is_kept() {
    let Some(broker) = Broker::shared() else { return };
    let seed = Chance::of_this_run("truth").seed();
    let deployment = Deployment::new(broker, "truth");
    let mut service = deployment.start("0");
    let started = Instant::now();
    let (report, expected) = generate(&deployment, seed);
    let late_hours = send_hours_late(&deployment);
    let poison = send_poison(&deployment);
    println!("truth: generated in {:.0?}: {report}", started.elapsed());

    // The counting itself, by other means.
    let recount = recount::events(&deployment);
    let late = truth::total(&late_hours).impressions as u64;
    assert_eq!(recount.events, report["events"].as_u64().unwrap() + late);
    assert_eq!(recount.duplicates, report["duplicates"].as_u64().unwrap());
    assert_eq!(recount.rejected.len() as u64, report["poison"].as_u64().unwrap() + poison.len() as u64);
    let mut all = expected.clone();
    truth::add(&mut all, &late_hours);
    truth::compare(&recount.minutes, &all).expect("the recount equals what the generator says it sent");

    let rows = kpis::wait_for(&deployment, "minutes and hours are exact", LIMIT, |rows| {
        let (mut minutes, mut hours) = (rows.cells("minute"), rows.cells("hour"));
        minutes.retain(|key, _| expected.contains_key(key));
        truth::compare(&minutes, &expected)?;
        // What is hours late has no minute any more, and still its hour.
        let late = truth::coarsened(&late_hours, HOUR_MS);
        hours.retain(|key, _| late.contains_key(key));
        truth::compare(&hours, &late)
    });
    println!(
        "truth: exact after {:.0?}: {} rows in {} records, {} replaced",
        started.elapsed(),
        rows.rows.len(),
        rows.records,
        rows.replaced
    );
    assert!(rows.replaced > 0, "late events replaced rows");
    check_dead_letters(&deployment, &recount, &poison);
    service.stop();
    let checker = journal::check(&deployment);
    checker.assert_clean();
    truth::compare(&checker.minutes, &all).expect("the journal's sums are the truth");
    assert_eq!(checker.repetitions, 0);
    deployment.clean();
}

/// A million events, 5 % of them twice, 5 % out of order, 0.2 % late by minutes, 200 spoilt; returns what was printed
/// and the truth.
fn generate(deployment: &Deployment, seed: u64) -> (Value, Cells) {
    let file = deployment.folder.join("truth.csv");
    let printed = deployment.run(&[
        "generate",
        "--rate",
        "12500",
        "--for",
        "80s",
        "--campaigns",
        "200",
        "--users",
        "50000",
        "--seed",
        &seed.to_string(),
        "--duplicates-ppm",
        "50000",
        "--disorder-ppm",
        "50000",
        "--late-ppm",
        "2000",
        "--poison-ppm",
        "200",
        "--truth",
        &file.display().to_string(),
    ]);
    let report: Value = serde_json::from_str(printed.trim()).expect("one JSON document");
    assert_eq!(report["events"], 1_000_000);
    assert!(report["late"].as_u64().unwrap() > 1_000);
    (report, truth::read(&file, "all"))
}

/// Impressions of the first campaign, some hours old: too late for their minutes, in time for their hours.
fn send_hours_late(deployment: &Deployment) -> Cells {
    let writer = Writer::open(&deployment.brokers);
    let mut sent = Cells::new();
    for hours in [2, 3, 30] {
        for number in 0..100 {
            let at = (now_ms() / HOUR_MS - hours) * HOUR_MS + number * 30_000;
            let id = format!("hours-late-{hours}-{number}");
            let mut event = impression(&id, at);
            event["cost_micros"] = json!(1_000 + number);
            send(&writer, deployment, &id, &schemas().encode("Impression", event));
            let cell = Cell { impressions: 1, spend_micros: 1_000 + number, ..Cell::default() };
            *sent.entry((CAMPAIGN.to_owned(), at / MINUTE_MS * MINUTE_MS)).or_default() += cell;
        }
    }
    writer.flush();
    sent
}

/// One record for each thing that the contract refuses; returns the reasons by event id or bytes.
fn send_poison(deployment: &Deployment) -> BTreeMap<Vec<u8>, &'static str> {
    let writer = Writer::open(&deployment.brokers);
    let with = |name: &str, value: Value| {
        let mut event = impression("poison", now_ms());
        event[name] = value;
        schemas().encode("Impression", event)
    };
    let good = schemas().encode("Impression", impression("poison", now_ms()));
    let spoilt = [
        (with("cost_micros", json!(-1)), "invalid_value"),
        (with("event_id", json!("")), "invalid_value"),
        (with("event_id", json!("x".repeat(65))), "invalid_value"),
        (with("account_id", json!("")), "invalid_value"),
        (with("event_time", json!(now_ms() + 20 * MINUTE_MS)), "future"),
        (with("event_time", json!(now_ms() - 91 * DAY_MS)), "too_old"),
        (b"no record at all".to_vec(), "bad_frame"),
        ([good.clone(), b"more".to_vec()].concat(), "trailing_bytes"),
        // In the middle: `apache-avro` takes a record that lacks null fields at its end for a whole one.
        (good[..good.len() / 2].to_vec(), "decode_error"),
        (b"{\"event_id\": 7}".to_vec(), "decode_error"),
        // A parser's words that repeat the value would not fit into a record beside it.
        (format!("{{\"event_time\": \"{}\"}}", "x".repeat(700_000)).into_bytes(), "decode_error"),
    ];
    for (bytes, _) in &spoilt {
        send(&writer, deployment, "poison", bytes);
    }
    writer.flush();
    spoilt.into_iter().collect()
}

fn check_dead_letters(deployment: &Deployment, recount: &Recount, poison: &BTreeMap<Vec<u8>, &'static str>) {
    let letters = recount::dead_letters(deployment);
    let places = |places: Vec<&Place>| places.into_iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        places(letters.keys().collect()),
        places(recount.rejected.keys().collect()),
        "each record that is no event is on the dead-letter topic, with its coordinates, and no other"
    );
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = BTreeMap::new();
    for (place, (reason, bytes)) in &letters {
        *words.entry(reason).or_default() += 1;
        match poison.get(bytes) {
            Some(expected) => {
                assert_eq!(reason, expected, "{place:?}");
                found.insert(bytes.clone(), *expected);
            }
            None => assert_eq!(reason, recount.rejected[place], "{place:?}"),
        }
    }
    println!("truth: {} dead letters: {words:?}", letters.len());
    assert_eq!(found.len(), poison.len(), "the original bytes are kept");
}

fn impression(id: &str, at: i64) -> Value {
    json!({"event_id": id, "event_time": at, "account_id": ACCOUNT, "campaign_id": CAMPAIGN, "channel": "search",
        "device": "mobile", "geo": "DE", "cost_micros": 1_000, "currency": "EUR", "user_key": id})
}

fn send(writer: &Writer, deployment: &Deployment, key: &str, bytes: &[u8]) {
    writer.send(deployment.topic("impressions"), None, Some(key.as_bytes()), Some(bytes));
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// The generator's first campaign and its account.
const CAMPAIGN: &str = "campaign-00000";
const ACCOUNT: &str = "account-0000";
/// Idle sources close the last minute after some seconds; rows that changed later are replaced once a minute.
const LIMIT: Duration = Duration::from_secs(180);
