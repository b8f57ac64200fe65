//! Nothing lost, nothing twice: two workers under load, killed, stopped, torn, and recounted by other means.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use system_tests::avro::{Fields, schemas};
use system_tests::deployment::{EVENT_PARTITIONS, JOURNAL_PARTITIONS};
use system_tests::journal::{self, Checker};
use system_tests::logs::{self, Entry, Writer};
use system_tests::recount::{self, Place, Recount};
use system_tests::truth::{self, Cells};
use system_tests::watcher::Watcher;
use system_tests::{Broker, Chance, Deployment, Service, kpis, wait};

#[test]
fn kills_restarts_and_a_broker_restart_lose_nothing_and_count_nothing_twice() {
    let Some(broker) = Broker::own(&[]) else { return };
    let mut chance = Chance::of_this_run("kills");
    let mut deployment = Deployment::new(&broker, "kills");
    deployment.set("user_key.secret", "a secret of this story");
    steer(&deployment);
    let mut workers = [deployment.start("a"), deployment.start("b")];
    let watcher = Watcher::start(&deployment);
    let load = Load::start(&deployment, chance.seed(), 4_000, "90s");

    let mut faults: Vec<Fault> = Vec::new();
    faults.extend([Fault::Kill; 20]);
    faults.extend([Fault::Stop; 5]);
    faults.extend(FAILPOINTS.map(Fault::FailPoint));
    faults.push(Fault::Broker);
    faults.push(Fault::Leave);
    chance.shuffle(&mut faults);
    let (started, mut slowest) = (Instant::now(), Duration::ZERO);
    for fault in &faults {
        // Some come while a worker is still taking over, most while it counts.
        thread::sleep(Duration::from_millis(200 + chance.below(2_500)));
        let victim = &mut workers[chance.below(2) as usize];
        match fault {
            Fault::Kill => {
                victim.kill();
                victim.start_again(&[], &[]);
            }
            Fault::Stop => {
                // A stop in good order begins with a worker that runs.
                ready(victim);
                victim.stop();
                victim.start_again(&[], &[]);
                slowest = slowest.max(ready(victim));
            }
            Fault::FailPoint(spot) => die_at(victim, spot, 1 + chance.below(6)),
            Fault::Broker => {
                broker.stop();
                broker.restart();
                // Crash-only: a worker that gave up is started again, as its supervisor would.
                revive(&mut workers);
            }
            Fault::Leave => {
                // The other slot takes over once the session of this one is over.
                victim.kill();
                thread::sleep(Duration::from_secs(13));
                victim.start_again(&[], &[]);
            }
        }
        revive(&mut workers);
    }
    println!("kills: {} faults in {:.0?}, slowest ready {slowest:.1?}", faults.len(), started.elapsed());
    let (report, expected) = wait_for_load(load, &mut workers);
    println!("kills: load {report}");
    workers.iter_mut().for_each(|worker| {
        ready(worker);
    });
    let recount = recount::events(&deployment);
    truth::compare(&recount.minutes, &expected).expect("the recount equals what was sent");
    let started = Instant::now();
    let rows = kpis::wait_for_minutes(&deployment, &expected, LIMIT);
    println!(
        "kills: exact {:.1?} after the load: {} rows in {} records",
        started.elapsed(),
        rows.rows.len(),
        rows.records
    );
    workers.iter_mut().for_each(Service::stop);
    assert_exact(&journal::check(&deployment), &recount);
    assert_letters(&deployment, &recount, 0);
    let seen = watcher.finish();
    assert_exact(&seen, &recount);
    assert!(seen.commands > 20, "campaigns were steered: {} commands", seen.commands);
    // Whoever decided them, between which faults: each is decided again, byte for byte.
    let verified = crate::verify::equal(&deployment);
    let compared = &verified["topics"][deployment.topic("adjustments")];
    assert_eq!(compared["equal"], seen.commands, "every command is compared: {verified}");
    println!(
        "kills: {} events, {} duplicates; {} journal records and cuts, {} repeated; {} rows, {} commands",
        recount.events, recount.duplicates, seen.journal_records, seen.repetitions, seen.rows, seen.commands
    );
    deployment.clean();
}

#[test]
fn a_torn_cut_is_emitted_again_and_totals_stay_exact() {
    let Some(broker) = Broker::own(&[]) else { return };
    let mut chance = Chance::of_this_run("torn");
    let whole = whole_run(&broker, chance.seed());
    let count = whole.clocks.len() as u64;
    println!("torn: {count} cuts, {} events, {} refused", whole.recount.events, whole.recount.rejected.len());

    // The last cut reached some journal partitions only; positions of the group were never moved.
    for holding in [vec![0], vec![1, 3], vec![0, 1, 2]] {
        let clock = whole.clocks[(count / 4 + chance.below(count / 2)) as usize];
        let torn = whole.deployment.twin("torn");
        whole.copy(&torn, |entry| {
            let at = journal::clock(entry);
            at < clock || (at == clock && entry.topic.ends_with("journal") && holding.contains(&entry.partition))
        });
        let checker = whole.finish(torn, &format!("journal partitions {holding:?} hold the cut"));
        assert!(checker.repetitions as usize >= holding.len(), "the torn cut was emitted again");
    }
    // The journal has the cut, the cuts' own topic does not; and the other way round.
    for log in ["journal", "epochs"] {
        let clock = whole.clocks[(count / 2) as usize];
        let torn = whole.deployment.twin("torn");
        whole.copy(&torn, |entry| {
            let at = journal::clock(entry);
            at < clock || (at == clock && entry.topic.ends_with(log))
        });
        whole.finish(torn, &format!("only {log} holds the cut"));
    }
    // Journal and cuts are whole, dead letters of the last cut are missing: that of a fact, or every second of the events'.
    let refused_fact = (whole.deployment.topic("feedback").to_owned(), 0, 0);
    let busiest =
        whole.clocks.iter().copied().max_by_key(|clock| whole.letters_of(*clock).len()).expect("there are cuts");
    let of_fact = whole.clocks.iter().copied().find(|clock| holds(&whole.ranges_of(*clock), &refused_fact));
    let of_events: Vec<Place> = whole.letters_of(busiest).into_iter().step_by(2).collect();
    assert!(of_events.len() > 1, "a cut refused records");
    for (clock, lacking) in [(of_fact.expect("it is in a cut"), vec![refused_fact]), (busiest, of_events)] {
        let torn = whole.deployment.twin("torn");
        whole.copy(&torn, |entry| journal::clock(entry) <= clock);
        let ends = whole.ends_at(clock);
        whole.copy_letters(&torn, |place| {
            let is_read = ends.get(&(place.0.clone(), place.1)).is_some_and(|end| place.2 < *end);
            is_read && !lacking.contains(place)
        });
        let named = torn.clone();
        whole.finish(torn, &format!("{} dead letters of the cut are missing", lacking.len()));
        assert_letters(&named, &whole.recount, 1);
    }
    // The reverse: the group's positions moved, the logs hold nothing of it. The journal is the truth.
    let clock = whole.clocks[(count / 2) as usize];
    let torn = whole.deployment.twin("torn");
    whole.copy(&torn, |entry| journal::clock(entry) < clock);
    let moved = whole.positions_after(clock);
    assert!(moved.len() as i32 >= 3 * EVENT_PARTITIONS);
    logs::commit(&torn.brokers, &torn.group("aggregator"), &moved);
    whole.finish(torn, "positions moved, nothing in the logs");
    whole.deployment.clean();
}

#[test]
fn the_checker_sees_what_a_missing_defence_would_do() {
    let Some(broker) = Broker::own(&[]) else { return };
    let mut chance = Chance::of_this_run("negative");
    let whole = whole_run(&broker, chance.seed());
    let deployment = &whole.deployment;
    let entries = logs::read(&deployment.brokers, &journal::checked_topics(deployment));
    assert_exact(&journal::check_entries(&entries), &whole.recount);

    let find = |word: &str, skip: u64| -> usize {
        let of_topic: Vec<usize> = (0..entries.len())
            .filter(|at| entries[*at].topic == deployment.topic(word) && counts(&entries[*at]))
            .collect();
        of_topic[of_topic.len() / 3 + skip as usize % (of_topic.len() / 3).max(1)]
    };
    // Without the journal as the truth of positions: a cut is lost.
    let mut lost = entries.clone();
    lost.remove(find("journal", chance.below(1_000)));
    assert_caught(&lost, &whole.recount, "a lost journal record");
    // Without emitting the same cut again: its events come once more, under the next range.
    let at = find("journal", chance.below(1_000));
    let mut shifted = entries.clone();
    shifted.insert(at + 1, shifted_once(&entries[at]));
    assert_caught(&shifted, &whole.recount, "a cut counted again under new positions");
    // Without fencing: another worker writes its own version of a cut.
    let mut forked = entries.clone();
    forked[at] = shifted_once(&entries[at]);
    assert!(!journal::check_entries(&forked).violations.is_empty(), "a cut of other positions is seen");
    // An exact repetition is dropped by every reader and changes nothing; a reader that does not drop it is wrong.
    let mut repeated = entries.clone();
    repeated.insert(at + 1, entries[at].clone());
    let checker = journal::check_entries(&repeated);
    assert_exact(&checker, &whole.recount);
    assert_eq!(checker.repetitions, 1);
    let mut careless = Checker::default();
    careless.take(&entries[at]);
    let once = truth::total(&careless.minutes);
    careless = Checker::default();
    [&entries[at], &shifted_once(&entries[at])].into_iter().for_each(|entry| careless.take(entry));
    assert_ne!(once, truth::total(&careless.minutes), "a cut that is folded twice changes the totals");
    // Without one transaction for outputs and positions: a row or a command comes twice.
    let mut twice = entries.clone();
    let row = find_any(&entries, deployment.topic("kpis"));
    twice.push(entries[row].clone());
    assert!(!journal::check_entries(&twice).violations.is_empty(), "a row twice is seen");
    let command = command();
    let mut commands = vec![entries[row].clone(); 2];
    commands.iter_mut().for_each(|entry| entry.payload = Some(command.clone()));
    assert_eq!(journal::check_entries(&commands).violations.len(), 2, "sequence and id of a command twice are seen");
    assert_caught_without_repair(&whole);
    whole.deployment.clean();
}

/// The service itself with one defence switched off: it finds a torn cut and does not emit it again.
fn assert_caught_without_repair(whole: &WholeRun) {
    // A cut that brings something to the partitions that will lack it: many have no events.
    let busy: Vec<i64> =
        whole.journal.iter().filter(|entry| entry.partition != 0 && counts(entry)).map(journal::clock).collect();
    let clock = busy[busy.len() / 2];
    let torn = whole.deployment.twin("careless");
    whole.copy(&torn, |entry| {
        let at = journal::clock(entry);
        at < clock || (at == clock && entry.topic.ends_with("journal") && entry.partition == 0)
    });
    let service = Service::spawn(&torn, "0", &[], &[("PACELINE_FAILPOINT", "without_repair:1")]);
    let counted = || -> i64 { truth::total(&journal::check(&torn).minutes).impressions };
    let (mut before, most) = (-1, whole.recount.minutes.values().map(|cell| cell.impressions).sum::<i64>() * 9 / 10);
    wait::until("the careless service has read everything", LIMIT, || {
        thread::sleep(Duration::from_secs(2));
        let now = counted();
        (std::mem::replace(&mut before, now) == now && now > most).then_some(())
    });
    drop(service);
    let checker = journal::check(&torn);
    assert!(!checker.violations.is_empty(), "ranges that miss in some journal partitions are seen");
    assert!(truth::compare(&checker.minutes, &whole.recount.minutes).is_err(), "and so are the totals");
    println!("negative: without repair {} violations", checker.violations.len());
    torn.clean();
}

/// Publishes specifications of the load's campaigns, newer than its own: steered, with budgets that do not last.
fn steer(deployment: &Deployment) {
    let campaign = |number: i64| {
        json!({
            "campaign_id": format!("campaign-{number:05}"), "account_id": format!("account-{:04}", number % 3), "version": 9,
            "channel": "search", "time_zone": "UTC", "currency": "EUR", "daily_budget_micros": 1_000_000 * (1 + number % 7),
            "daily_cap": "hard", "bid_control": "paceline", "budget_control": "paceline", "bid_strategy": "max_clicks",
            "bid_micros": 2_000, "bid_min_micros": 200, "bid_max_micros": 20_000, "bid_step_micros": 10, "mode": "auto",
        })
    };
    let file = deployment.folder.join("campaigns.json");
    let campaigns: Vec<Value> = (0..60).map(campaign).collect();
    fs::write(&file, json!(campaigns).to_string()).expect("a file can be written");
    deployment.run(&["campaigns", "apply", &file.display().to_string()]);
}

/// What happens to a worker.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Stop,
    FailPoint(&'static str),
    Broker,
    Leave,
}

const FAILPOINTS: [&str; 4] = ["after_produce", "after_send_offsets", "during_commit", "after_commit"];

/// Starts a worker that dies at the nth pass of a spot, waits for its death and starts it again.
fn die_at(victim: &mut Service, spot: &str, pass: u64) {
    if victim.ended().is_none() && victim.process().is_some() {
        victim.kill();
    }
    victim.start_again(&[], &[("PACELINE_FAILPOINT", &format!("{spot}:{pass}"))]);
    let status = victim.wait_for_end(Duration::from_secs(40));
    assert_eq!(status.code(), None, "it dies by a signal, not in good order: {}", victim.last_words());
    assert!(victim.log().contains(&format!("failpoint {spot}")), "it dies at {spot}: {}", victim.last_words());
    victim.start_again(&[], &[]);
}

/// Starts again whoever ended by itself, which only trouble with the broker may cause.
fn revive(workers: &mut [Service]) {
    for worker in workers {
        if let Some(status) = worker.ended() {
            println!("kills: slot {} ended by itself ({status}): {}", worker.slot(), worker.last_words());
            assert_eq!(status.code(), Some(75), "a worker that gives up says that it may be tried again");
            worker.start_again(&[], &[]);
        }
    }
}

/// Waits until a worker is ready, and starts it again where it gave up: the broker's restart can be felt seconds later.
fn ready(worker: &mut Service) -> Duration {
    let started = Instant::now();
    wait::until_ok(&format!("slot {} is ready", worker.slot()), LIMIT, || {
        revive(std::slice::from_mut(worker));
        if worker.is_ready() { Ok(()) } else { Err(worker.last_words()) }
    });
    started.elapsed()
}

/// `paceline generate` in the background.
struct Load {
    child: Child,
    truth: PathBuf,
}

impl Load {
    fn start(deployment: &Deployment, seed: u64, rate: u64, span: &str) -> Load {
        let truth = deployment.folder.join("truth.csv");
        let mut command = deployment.command(&["generate", "--campaigns", "60", "--users", "5000", "--for", span]);
        command.args(["--rate", &rate.to_string(), "--seed", &seed.to_string()]);
        command.args(["--duplicates-ppm", "30000", "--disorder-ppm", "30000", "--late-ppm", "1000"]);
        command.args(["--poison-ppm", "10000", "--truth"]);
        let child = command.arg(&truth).stdout(Stdio::piped()).spawn().expect("the binary runs");
        Load { child, truth }
    }

    fn finish(self) -> (Value, Cells) {
        let output = self.child.wait_with_output().expect("a child can be waited for");
        assert!(output.status.success(), "the load ends well");
        let report = serde_json::from_slice(&output.stdout).expect("one JSON document");
        (report, truth::read(&self.truth, "all"))
    }
}

fn wait_for_load(mut load: Load, workers: &mut [Service]) -> (Value, Cells) {
    wait::until("the load has been sent", Duration::from_secs(180), || {
        revive(workers);
        load.child.try_wait().expect("a child can be asked")
    });
    load.finish()
}

/// A run without faults, and what it left in the logs.
struct WholeRun {
    deployment: Deployment,
    recount: Recount,
    expected: Cells,
    journal: Vec<Entry>,
    epochs: Vec<Entry>,
    clocks: Vec<i64>,
}

fn whole_run(broker: &Broker, seed: u64) -> WholeRun {
    let deployment = Deployment::new(broker, "whole");
    let mut service = deployment.start("0");
    let load = Load::start(&deployment, seed, 4_000, "12s");
    let writer = Writer::open(&deployment.brokers);
    writer.send(deployment.topic("feedback"), Some(0), Some(b"x"), Some(b"no answer"));
    writer.flush();
    let (_, expected) = load.finish();
    kpis::wait_for_minutes(&deployment, &expected, LIMIT);
    service.stop();
    let recount = recount::events(&deployment);
    assert_exact(&journal::check(&deployment), &recount);
    let journal = logs::read(&deployment.brokers, &[deployment.topic("journal")]);
    let epochs = logs::read(&deployment.brokers, &[deployment.topic("epochs")]);
    let clocks = journal::clocks(&journal, 0);
    WholeRun { deployment, recount, expected, journal, epochs, clocks }
}

/// Offsets of a cut by topic and partition.
type Ranges = BTreeMap<(String, i32), std::ops::Range<i64>>;

fn holds(ranges: &Ranges, (topic, partition, offset): &Place) -> bool {
    ranges.get(&(topic.clone(), *partition)).is_some_and(|range| range.contains(offset))
}

impl WholeRun {
    /// Copies what a choice keeps of journal and cuts into another deployment's topics, byte for byte.
    fn copy(&self, to: &Deployment, keep: impl Fn(&Entry) -> bool) {
        let writer = Writer::open(&to.brokers);
        for (word, entries) in [("journal", &self.journal), ("epochs", &self.epochs)] {
            for entry in entries.iter().filter(|entry| keep(entry)) {
                writer.send(to.topic(word), Some(entry.partition), entry.key.as_deref(), entry.payload.as_deref());
            }
        }
        writer.flush();
    }

    /// Copies what a choice keeps of the dead letters, by where they came from.
    fn copy_letters(&self, to: &Deployment, keep: impl Fn(&Place) -> bool) {
        let writer = Writer::open(&to.brokers);
        for entry in logs::read(&self.deployment.brokers, &[self.deployment.topic("dead_letters")]) {
            let number = |name: &str| entry.headers[name].parse::<i64>().expect("a coordinate is a number");
            if keep(&(entry.headers["topic"].clone(), number("partition") as i32, number("offset"))) {
                writer.copy(&entry, to.topic("dead_letters"));
            }
        }
        writer.flush();
    }

    /// Ranges that a cut covers, by topic and partition.
    fn ranges_of(&self, clock: i64) -> Ranges {
        let cut = self.journal.iter().find(|entry| journal::clock(entry) == clock).expect("the cut is in the journal");
        let (_, record) = schemas().decode(cut.bytes()).expect("a record of ours decodes");
        let range = |range: &apache_avro::types::Value| {
            ((range.text("topic").to_owned(), range.long("partition") as i32), range.long("from")..range.long("to"))
        };
        record.list("ranges").iter().map(range).collect()
    }

    /// Events that a cut refused.
    fn letters_of(&self, clock: i64) -> Vec<Place> {
        let ranges = self.ranges_of(clock);
        self.recount.rejected.keys().filter(|place| holds(&ranges, place)).cloned().collect()
    }

    /// How far the sources were read by this cut and those before.
    fn ends_at(&self, clock: i64) -> BTreeMap<(String, i32), i64> {
        let cuts = self.clocks.iter().filter(|at| **at <= clock);
        cuts.flat_map(|at| self.ranges_of(*at)).map(|(place, range)| (place, range.end)).collect()
    }

    /// Where the sources stood after a cut, as the group would have them.
    fn positions_after(&self, clock: i64) -> Vec<(String, i32, i64, String)> {
        let cut = self.journal.iter().find(|entry| journal::clock(entry) == clock).expect("the cut is in the journal");
        let (_, record) = schemas().decode(cut.bytes()).expect("a record of ours decodes");
        let position = |range: &apache_avro::types::Value| {
            let place = (range.text("topic").to_owned(), range.long("partition") as i32);
            (place.0, place.1, range.long("to"), format!("clock={clock}"))
        };
        record.list("ranges").iter().map(position).collect()
    }

    /// Lets a worker go on from what a deployment's logs hold, to the end of the events.
    fn finish(&self, deployment: Deployment, what: &str) -> Checker {
        let mut service = deployment.start("0");
        kpis::wait_for_minutes(&deployment, &self.expected, LIMIT);
        service.stop();
        let checker = journal::check(&deployment);
        println!(
            "torn: {what}: {} journal records and cuts, {} repeated",
            checker.journal_records, checker.repetitions
        );
        assert_exact(&checker, &self.recount);
        drop(service);
        deployment.clean();
        checker
    }
}

/// The logs are whole and say what the recount says.
fn assert_exact(checker: &Checker, recount: &Recount) {
    checker.assert_clean();
    assert!(checker.journal_records > 0);
    truth::compare(&checker.minutes, &recount.minutes).expect("the journal's sums equal the recount");
}

/// Each refused record is on the dead-letter topic, once; and so many that are no events.
fn assert_letters(deployment: &Deployment, recount: &Recount, facts: usize) {
    let (letters, feedback) = (recount::dead_letters(deployment), deployment.topic("feedback"));
    let (of_facts, of_events): (Vec<&Place>, Vec<&Place>) = letters.keys().partition(|(topic, ..)| topic == feedback);
    assert_eq!(of_facts.len(), facts, "what is no answer of a platform");
    let refused: Vec<&Place> = recount.rejected.keys().collect();
    assert!(of_events == refused, "{} letters, {} refused", of_events.len(), refused.len());
    assert!(!letters.is_empty());
}

fn assert_caught(entries: &[Entry], recount: &Recount, what: &str) {
    let checker = journal::check_entries(entries);
    assert!(!checker.violations.is_empty(), "{what} is seen in the positions");
    assert!(truth::compare(&checker.minutes, &recount.minutes).is_err(), "{what} is seen in the totals");
}

/// Whether a journal record carries touches or claims.
fn counts(entry: &Entry) -> bool {
    let (name, record) = schemas().decode(entry.bytes()).expect("a record of ours decodes");
    name == "JournalRecord" && record.list("deltas").iter().any(|delta| delta.long("touch_minute") == -1)
}

fn find_any(entries: &[Entry], topic: &str) -> usize {
    entries.iter().position(|entry| entry.topic == topic).expect("the topic has records")
}

/// The same record, its ranges moved on by their own length: what a worker would write that trusts other positions.
fn shifted_once(entry: &Entry) -> Entry {
    use apache_avro::types::Value;
    let (_, mut record) = schemas().decode(entry.bytes()).expect("a record of ours decodes");
    let Value::Record(fields) = &mut record else { panic!("a record is a record") };
    let ranges = fields.iter_mut().find(|(name, _)| name == "ranges").map(|(_, ranges)| ranges);
    let Some(Value::Array(ranges)) = ranges else { panic!("a journal record has ranges") };
    for range in ranges {
        let length = range.long("to") - range.long("from");
        let Value::Record(fields) = range else { panic!("a range is a record") };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("from" | "to", Value::Long(offset)) => *offset += length + 1,
                ("epoch", Value::Long(epoch)) => *epoch += 1,
                _ => {}
            }
        }
    }
    Entry { payload: Some(schemas().encode_value("JournalRecord", record)), ..entry.clone() }
}

fn command() -> Vec<u8> {
    schemas().encode(
        "Adjustment",
        json!({
            "command_id": "c", "account_id": "a", "campaign_id": "c", "target": {"level": "campaign", "id": "c"},
            "kind": "set_bid", "value_micros": 5, "expected_previous": {"sequence": 0}, "currency": "EUR", "sequence": 1,
            "requires": [], "mode": "auto", "state": "issued", "issued_at": 0, "decided_at_event_time": 0,
            "effective_from": 0, "expires_at": 0, "reason": "pacing",
            "risk": {"worst_case_micros": 0, "at_stake_micros": 0},
            "explanation": {"text": "", "windows": [], "watermark": 0, "journal_partition": 0, "journal_offset": 0,
                "terms": [], "guard_edits": [], "without": "", "policy_version": 0, "build": "", "tzdb": ""}
        }),
    )
}

/// Idle sources close the last minute after some seconds; rows that changed later are replaced once a minute.
const LIMIT: Duration = Duration::from_secs(300);
/// Partitions that the torn cuts are spread over.
const _: () = assert!(JOURNAL_PARTITIONS == 4);
