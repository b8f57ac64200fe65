//! State is a fold of logs: a snapshot saves time and changes nothing, a lost one loses nothing, and a gap is told.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use system_tests::avro::{Fields, schemas};
use system_tests::deployment::JOURNAL_PARTITIONS;
use system_tests::kpis::{self, Kpis, Row, RowKey};
use system_tests::logs::Writer;
use system_tests::truth::{self, Cell, Cells, MINUTE_MS};
use system_tests::{Broker, Chance, Deployment, Service, journal, logs, snapshots, wait};

#[test]
fn snapshot_and_replay_of_the_controller_equal_a_fold_of_the_whole_journal() {
    let Some(broker) = Broker::shared() else { return };
    let seed = Chance::of_this_run("controller").seed();
    let deployment = Deployment::new(broker, "controller");
    // Several lives, so that the state is a snapshot of a snapshot with a replay on top.
    let mut expected = Cells::new();
    for life in 0..3 {
        let mut service = deployment.start("0");
        truth::add(&mut expected, &generate(&deployment, seed + life));
        journal::wait_for_minutes(&deployment, &expected, LIMIT);
        if life == 1 { service.kill() } else { service.stop() }
    }
    // The journal rests now: the controller alone reads to its end, each time another way.
    let rows = kpis::read(&deployment);
    let by_snapshot = fold_by_controller(&deployment);
    assert!(by_snapshot.values().map(Vec::len).sum::<usize>() > 10_000);
    remove_newest(&deployment, "controller");
    assert_same(&fold_by_controller(&deployment), &by_snapshot, "an older snapshot and a longer replay");
    remove_all(&deployment, "controller");
    assert_same(&fold_by_controller(&deployment), &by_snapshot, "no snapshot and the whole journal");
    assert_eq!(kpis::read(&deployment).rows, rows.rows, "a replay publishes nothing");
    journal::check(&deployment).assert_clean();
    deployment.clean();
}

#[test]
fn a_rebuilt_aggregator_counts_and_credits_as_one_that_was_never_interrupted() {
    let Some(broker) = Broker::shared() else { return };
    let seed = Chance::of_this_run("aggregator").seed();
    let steady = Deployment::new(broker, "steady");
    let broken = steady.twin("broken");
    let mut undisturbed = steady.start("0");
    let mut service = broken.start("0");
    let mut expected = generate(&steady, seed);
    journal::wait_for_minutes(&broken, &expected, LIMIT);

    // Copies of earlier events and conversions of earlier clicks come in each life, so what was remembered counts.
    type Way = (&'static str, fn(&Deployment));
    let ways: [Way; 4] = [
        ("with its snapshots", |_| {}),
        ("with torn and corrupt newest snapshots", |deployment| {
            damage(deployment, "aggregator");
            damage(deployment, "controller");
        }),
        ("after a kill", |_| {}),
        ("with every snapshot deleted", |deployment| {
            remove_all(deployment, "aggregator");
            remove_all(deployment, "controller");
        }),
    ];
    for (life, (way, disturb)) in (1..).zip(ways) {
        if life == 3 {
            service.kill()
        } else {
            service.stop()
        }
        disturb(&broken);
        // While it is away, more comes.
        truth::add(&mut expected, &generate(&steady, seed + life));
        truth::add(&mut expected, &recall(&steady, life));
        let logged = service.log().len();
        service.start_again(&[], &[]);
        service.wait_until_ready();
        journal::wait_for_minutes(&broken, &expected, LIMIT);
        let log = service.log()[logged..].to_owned();
        assert!(life != 2 || log.contains("passed over"), "{way}: {log}");
        assert_eq!(log.contains("snapshot restored"), life != 4, "{way}: {log}");
        println!("recovery: {way}: exact");
    }
    // One was never interrupted, a third meets all of it as one backlog: the same sums, the same credits.
    let backlog = steady.twin("backlog");
    let mut late = backlog.start("0");
    kpis::wait_for_minutes(&steady, &expected, LIMIT);
    for (other, what) in [(&broken, "interrupted"), (&backlog, "as a backlog")] {
        journal::wait_for_minutes(other, &expected, LIMIT);
        [&steady, other].into_iter().for_each(wait_for_credits);
        // Rows follow the journal, each service's at its own pace.
        let rows = wait::until_ok("sums and credits are the same", LIMIT, || {
            let rows = kpis::read(other);
            same_sums(&rows, &kpis::read(&steady)).map(|()| rows)
        });
        println!("recovery: {what}: {} windows with the same sums and credits", rows.rows.len());
    }
    late.stop();
    undisturbed.stop();
    service.stop();
    // Other cuts, the same ids remembered; the same cuts, the same bytes: its lives against one fold of its whole logs.
    assert_same(&remembered(&broken, &["dedupe/"]), &remembered(&steady, &["dedupe/"]), "ids of an interrupted one");
    let lived = remembered(&broken, &[""]);
    remove_all(&broken, "aggregator");
    service.start_again(&[], &[]);
    service.wait_until_ready();
    service.stop();
    assert_same(&remembered(&broken, &[""]), &lived, "what an interrupted aggregator remembers");
    for deployment in [steady, broken, backlog] {
        journal::check(&deployment).assert_clean();
        deployment.clean();
    }
}

#[test]
fn a_gap_in_the_logs_with_no_snapshot_is_refused_and_accepted_only_on_demand() {
    let Some(broker) = Broker::shared() else { return };
    let seed = Chance::of_this_run("gap").seed();
    let deployment = Deployment::new(broker, "gap");
    let mut service = deployment.start("0");
    let expected = generate(&deployment, seed);
    journal::wait_for_minutes(&deployment, &expected, LIMIT);
    service.stop();
    // Retention takes the first half of the journal and of the cuts; with snapshots that is nothing.
    for word in ["journal", "epochs"] {
        let topic = deployment.topic(word).to_owned();
        let places = (0..JOURNAL_PARTITIONS).map(|partition| {
            let (low, high) = logs::ends(&deployment.brokers, &topic, partition);
            (topic.clone(), partition, (low + high) / 2)
        });
        logs::delete_before(&deployment.brokers, &places.collect::<Vec<_>>());
    }
    service.start_again(&[], &[]);
    service.wait_until_ready();
    service.stop();

    for (word, says) in [("controller", "journal partition"), ("aggregator", "event partition")] {
        let kept = deployment.folder.join(format!("kept-{word}"));
        move_snapshots(&deployment, word, &kept);
        let logged = service.log().len();
        service.start_again(&[], &[]);
        let status = service.wait_for_end(Duration::from_secs(60));
        assert_eq!(status.code(), Some(78), "{}", service.last_words());
        let words = service.log()[logged..].to_owned();
        let last = words.lines().last().unwrap_or_default();
        println!("recovery: {word}: {last}");
        for part in ["paceline: ", "cannot be rebuilt", says, "--accept-loss"] {
            assert!(last.contains(part), "{part:?} is not in: {last}");
        }
        restore_snapshots(&deployment, &kept);
    }
    // With the snapshots back, it goes on and is exact.
    service.start_again(&[], &[]);
    service.wait_until_ready();
    let mut expected = expected;
    truth::add(&mut expected, &generate(&deployment, seed + 1));
    kpis::wait_for_minutes(&deployment, &expected, LIMIT);
    service.stop();
    // A person decides otherwise: it starts, and says what is lost.
    remove_all(&deployment, "aggregator");
    service.start_again(&["--accept-loss"], &[]);
    service.wait_until_ready();
    assert!(service.log().contains("as --accept-loss says"), "{}", service.last_words());
    service.stop();
    deployment.clean();
}

/// A few seconds of events with copies; returns the truth.
fn generate(deployment: &Deployment, seed: u64) -> Cells {
    let file = deployment.folder.join(format!("truth-{seed}.csv"));
    let printed = deployment.run(&[
        "generate",
        "--rate",
        "4000",
        "--for",
        "5s",
        "--campaigns",
        "20",
        "--users",
        USERS,
        "--seed",
        &seed.to_string(),
        "--duplicates-ppm",
        "50000",
        "--disorder-ppm",
        "50000",
        "--truth",
        &file.display().to_string(),
    ]);
    let report: Value = serde_json::from_str(printed.trim()).expect("one JSON document");
    assert!(report["duplicates"].as_u64() > Some(100));
    truth::read(&file, "all")
}

/// Sends copies of events that are there, which count nothing, and conversions of clicks that are there, which count.
fn recall(deployment: &Deployment, life: u64) -> Cells {
    let writer = Writer::open(&deployment.brokers);
    for (word, every) in [("impressions", 40), ("clicks", 3), ("conversions", 1)] {
        let entries = logs::read(&deployment.brokers, &[deployment.topic(word)]);
        for entry in entries.iter().step_by(every) {
            writer.send(&entry.topic, None, entry.key.as_deref(), entry.payload.as_deref());
        }
    }
    let mut sent = Cells::new();
    let clicks = logs::read(&deployment.brokers, &[deployment.topic("clicks")]);
    for (number, entry) in clicks.iter().step_by(clicks.len() / 30).enumerate() {
        let (_, click) = schemas().decode(entry.bytes()).expect("a click decodes");
        let (at, campaign) = (click.long("event_time") + 1, click.text("campaign_id"));
        let value = 1_000_000 * (number as i64 + 1);
        let conversion = json!({
            "event_id": format!("recalled-{life}-{number}"), "event_time": at, "account_id": click.text("account_id"),
            "user_key": click.optional_text("user_key"), "click_id": click.text("event_id"), "conversion_type": "purchase",
            "value_micros": value, "currency": "EUR", "campaign_id": campaign,
        });
        let bytes = schemas().encode("Conversion", conversion);
        writer.send(deployment.topic("conversions"), None, entry.key.as_deref(), Some(&bytes));
        let cell = Cell { conversions: 1, value_micros: value, ..Cell::default() };
        *sent.entry((campaign.to_owned(), at.div_euclid(MINUTE_MS) * MINUTE_MS)).or_default() += cell;
    }
    writer.flush();
    sent
}

/// Lets the controller alone read the resting journal to its end; returns its state, byte for byte.
fn fold_by_controller(deployment: &Deployment) -> BTreeMap<String, Vec<u8>> {
    let mut service = Service::spawn(deployment, "0", &["--role", "controller"], &[]);
    service.wait_until_ready();
    service.stop();
    state(deployment, "controller")
}

/// The chunks of the newest snapshots, by folder and chunk.
fn state(deployment: &Deployment, word: &str) -> BTreeMap<String, Vec<u8>> {
    let mut state = BTreeMap::new();
    for folder in snapshots::folders(&deployment.state_folder(), word) {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        let partition = name.rsplit('-').next().expect("a name ends with a partition").to_owned();
        let chunks = snapshots::newest(&folder).into_iter();
        state.extend(chunks.map(|(id, bytes)| (format!("{partition}/{id}"), bytes)));
    }
    state
}

/// Names and values carry marks of the sweep that is under way, 0 or 1 each: it goes on with every cut, empty ones too, and
/// each life ends some cuts later than its events. No byte of a text is 0 or 1, so another order or another text is seen.
fn differs(name: &str, (one, other): (&u8, &u8)) -> bool {
    let is_mark = ["/names", "/values"].iter().any(|chunk| name.ends_with(chunk)) && *one <= 1 && *other <= 1;
    one != other && !is_mark
}

fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>, way: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{way}");
    for (name, bytes) in expected {
        let pairs = || bytes.iter().zip(&found[name]);
        let at = pairs().position(|pair| differs(name, pair));
        let is_same = at.is_none() && found[name].len() == bytes.len();
        assert!(is_same, "{way}: {name} differs at byte {at:?} of {} and {}", found[name].len(), bytes.len());
    }
    println!("recovery: {way}: {} bytes are the same", expected.values().map(Vec::len).sum::<usize>());
}

/// What the aggregators remember, of the kinds asked for; not where they stand, nor what waits for its second of the minute
/// to be told, for time goes on after the last event (a property test of the crate holds that what waits is the same).
/// Touches point to names by the order in which the cuts brought these, so only the same cuts give the same bytes of all.
fn remembered(deployment: &Deployment, kinds: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let mut state = state(deployment, "aggregator");
    state.retain(|name, _| {
        let kind = name.split_once('/').expect("a partition and a chunk").1;
        !["head", "minute"].contains(&kind) && kinds.iter().any(|start| kind.starts_with(start))
    });
    assert!(!state.is_empty());
    state
}

/// All sums and credits of minutes, hours and days.
fn same_sums(found: &Kpis, expected: &Kpis) -> Result<(), String> {
    let strip = |rows: &BTreeMap<RowKey, Row>| -> BTreeMap<RowKey, Row> {
        rows.iter().map(|(key, row)| (key.clone(), Row { revision: 0, ..row.clone() })).collect()
    };
    let (found, expected) = (strip(&found.rows), strip(&expected.rows));
    let differ: Vec<_> = expected.iter().filter(|(key, row)| found.get(*key) != Some(row)).collect();
    match differ.first() {
        None => Ok(()),
        Some((key, row)) => {
            Err(format!("{} rows differ, first {key:?}: {:?}, expected {row:?}", differ.len(), found.get(*key)))
        }
    }
}

/// Waits until no conversion waits for a touch any more: each partition was cut so long after its last conversion.
fn wait_for_credits(deployment: &Deployment) {
    const WAIT_MS: i64 = 10_000;
    wait::until("every conversion was credited", LIMIT, || {
        let (mut last_conversion, mut last_cut) = (BTreeMap::new(), BTreeMap::new());
        for entry in logs::read(&deployment.brokers, &[deployment.topic("epochs")]) {
            let (_, epoch) = schemas().decode(entry.bytes()).expect("a record of ours decodes");
            last_cut.insert(entry.partition, epoch.long("clock"));
            if epoch.field("conversions").long("accepted") > 0 {
                last_conversion.insert(entry.partition, epoch.long("clock"));
            }
        }
        last_conversion.iter().all(|(partition, clock)| last_cut[partition] >= clock + WAIT_MS).then_some(())
    });
}

fn remove_all(deployment: &Deployment, word: &str) {
    let folders = snapshots::folders(&deployment.state_folder(), word);
    assert!(!folders.is_empty(), "there are snapshots of the {word}");
    folders.iter().for_each(|folder| fs::remove_dir_all(folder).expect("a folder can be removed"));
}

fn remove_newest(deployment: &Deployment, word: &str) {
    for folder in snapshots::folders(&deployment.state_folder(), word) {
        let manifests = snapshots::manifests(&folder);
        assert!(manifests.len() > 1, "two generations are kept");
        fs::remove_file(&manifests[manifests.len() - 1]).expect("a file can be removed");
    }
}

/// The newest snapshot of each partition is torn or corrupt, by turns.
fn damage(deployment: &Deployment, word: &str) {
    for (at, folder) in snapshots::folders(&deployment.state_folder(), word).iter().enumerate() {
        let manifest = snapshots::manifests(folder).pop().expect("there is a snapshot");
        let mut bytes = fs::read(&manifest).expect("a manifest can be read");
        let middle = bytes.len() / 2;
        if at % 2 == 0 {
            bytes.truncate(middle)
        } else {
            bytes[middle] ^= 0x20
        }
        fs::write(&manifest, bytes).expect("a manifest can be written");
    }
}

fn move_snapshots(deployment: &Deployment, word: &str, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for folder in snapshots::folders(&deployment.state_folder(), word) {
        fs::rename(&folder, to.join(folder.file_name().expect("a folder has a name"))).expect("a folder can be moved");
    }
}

fn restore_snapshots(deployment: &Deployment, from: &Path) {
    for folder in fs::read_dir(from).expect("a folder can be read").flatten() {
        let home = deployment.state_folder().join(folder.file_name());
        let _ = fs::remove_dir_all(&home);
        fs::rename(folder.path(), home).expect("a folder can be moved");
    }
}

/// So many that nobody reaches the caps of remembered touches. The conversions that each life recalls are late ones, and
/// which touches a late conversion still meets above the caps depends on where the watermark stood; that of events on
/// time does not (`crates/aggregator/tests/cuts.rs`).
const USERS: &str = "1000000000000";

/// Idle sources close the last minute after some seconds; rows that changed later are replaced once a minute.
const LIMIT: Duration = Duration::from_secs(300);
