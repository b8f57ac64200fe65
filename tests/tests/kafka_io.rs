//! `kafka-io` against a real broker: rebalances, transactions, fencing, stable ends.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use kafka_io::committer::{CommitterSettings, OffsetOut, OutRecord, Outcome, Transaction};
use kafka_io::{
    Committer, Connection, Error, Failpoints, Fault, From, Life, LogReader, Membership, Sender, SourceConsumer,
    TopicPartition, Until,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use system_tests::{Broker, wait};

const LONG: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(20);

#[test]
fn batches_survive_members_that_come_and_go_without_a_gap_or_a_repeat() {
    let Some(broker) = Broker::shared() else { return };
    let topics = [broker.fresh_topic("views", 4, &[]), broker.fresh_topic("clicks", 4, &[])];
    let connection = broker.connection("rebalance");
    let mut sender = Sender::start(&connection).unwrap();
    let mut positions = Positions::default();
    fill(&mut sender, &topics, 0..20_000);

    let mut first = Member::join(&connection, "rebalance", &topics);
    while positions.total() < 10_000 {
        first.step(&mut positions);
    }
    let mut second = Member::join(&connection, "rebalance", &topics);
    fill(&mut sender, &topics, 20_000..40_000);
    until("both members have read", || {
        first.step(&mut positions);
        second.step(&mut positions);
        first.records > 0 && second.records > 5_000
    });
    // `range`: the same partitions of both topics stay with one member.
    let siblings = |member: &Member, topic: &str| -> Vec<i32> {
        member.owned.iter().filter(|place| &*place.topic == topic).map(|place| place.partition).collect()
    };
    assert_eq!(siblings(&second, &topics[0]), siblings(&second, &topics[1]));
    assert_eq!(second.owned.len() + first.owned.len(), 8);

    fill(&mut sender, &topics, 40_000..50_000);
    second.consumer.close(LONG);
    until("the one that stays has read everything", || {
        first.step(&mut positions);
        positions.total() == 100_000
    });
    assert_eq!(first.owned.len(), 8);
    let places = first.owned.clone();
    until("the ends are seen", || {
        first.step(&mut positions);
        places.iter().all(|place| first.consumer.at_end(place) && first.consumer.lag(place) == Some(0))
    });
    assert!(first.rebalances >= 3, "{} rebalances", first.rebalances);
}

#[test]
fn the_group_waits_for_a_slow_take_over_and_for_a_slow_drain_that_still_commits() {
    let Some(broker) = Broker::shared() else { return };
    let (input, output) = (broker.fresh_topic("slow", 2, &[]), broker.fresh_topic("out", 1, &[]));
    let connection = broker.connection("slow");
    let mut sender = Sender::start(&connection).unwrap();
    fill(&mut sender, std::slice::from_ref(&input), 0..1_000);
    let membership = Membership { group: "slow".into(), instance: None };
    let join = || SourceConsumer::join(&connection, &membership, &[&input]).unwrap();
    let mut first = join();
    let Life::Assigned(places) = next_life(&mut first) else { panic!("an assignment comes first") };
    assert_eq!(places.len(), 2);
    // Longer than a heartbeat: nothing is read and nothing else happens until the answer.
    let pause = Instant::now() + Duration::from_secs(4);
    while Instant::now() < pause {
        assert_eq!(first.poll_life(), None);
        assert!(first.next_batch(100, TICK).is_empty());
    }
    first.begin(places.into_iter().map(|place| (place, 0)).collect()).unwrap();
    let mut read = 0;
    until("all is read", || {
        assert_eq!(first.poll_life(), None);
        read += first.next_batch(100, TICK).len();
        read == 1_000
    });

    let mut committer =
        Committer::start(&connection, "slow", Some(first.group()), CommitterSettings::default()).unwrap();
    let mut second = join();
    let Life::Revoked(revoked) = next_life(&mut first) else { panic!("the second member's share is wanted back") };
    assert_eq!(revoked.len(), 2);
    let pause = Instant::now() + Duration::from_secs(4);
    while Instant::now() < pause {
        assert_eq!(first.poll_life(), None);
        assert_eq!(second.poll_life(), None, "the group waits");
        assert!(first.next_batch(100, TICK).is_empty());
    }
    let drained: Vec<_> = revoked.iter().map(|place| (place.clone(), first.next_offset(place).unwrap())).collect();
    assert!(matches!(finish(&mut committer, transaction(&output, &["drained"], &drained)), Outcome::Committed { .. }));
    first.release().unwrap();
    let (mut ours, mut theirs) = (None, None);
    until("both have a share", || {
        ours = ours.take().or_else(|| first.poll_life());
        theirs = theirs.take().or_else(|| second.poll_life());
        ours.is_some() && theirs.is_some()
    });
    for life in [ours, theirs] {
        assert!(matches!(life, Some(Life::Assigned(places)) if places.len() == 1));
    }
    let reader = LogReader::open(&connection, LONG).unwrap();
    for (place, next) in drained {
        assert_eq!(position(&reader, "slow", &place), Some((next, "note".into())));
    }
}

#[test]
fn pausing_and_resuming_loses_nothing() {
    let Some(broker) = Broker::shared() else { return };
    let topics = [broker.fresh_topic("paused", 2, &[])];
    let connection = broker.connection("pause");
    let mut sender = Sender::start(&connection).unwrap();
    fill(&mut sender, &topics, 0..30_000);
    let mut positions = Positions::default();
    let mut member = Member::join(&connection, "pause", &topics);
    let mut rounds = 0;
    until("all is read between pauses", || {
        member.step(&mut positions);
        if !member.owned.is_empty() {
            rounds += 1;
            let place = [member.owned[rounds % 2].clone()];
            if rounds % 4 < 2 {
                member.consumer.pause(&place)
            } else {
                member.consumer.resume(&place)
            }
            if rounds % 16 == 15 {
                member.consumer.resume(&member.owned.clone());
            }
        }
        positions.total() == 30_000
    });
    // A pause at the end must not skip what comes next.
    member.consumer.pause(&member.owned.clone());
    member.step(&mut positions);
    assert!(!member.consumer.at_end(&member.owned[0].clone()), "the end of a paused partition is not known");
    fill(&mut sender, &topics, 30_000..30_100);
    member.consumer.resume(&member.owned.clone());
    until("what came during the pause is read", || {
        member.step(&mut positions);
        positions.total() == 30_100
    });
}

#[test]
fn records_and_positions_are_committed_together_or_not_at_all() {
    let Some(broker) = Broker::shared() else { return };
    let (input, output) = (broker.fresh_topic("in", 1, &[]), broker.fresh_topic("out", 2, &[]));
    let connection = broker.connection("atomic");
    let mut sender = Sender::start(&connection).unwrap();
    fill(&mut sender, std::slice::from_ref(&input), 0..100);
    let mut positions = Positions::default();
    let mut member = Member::join(&connection, "atomic", std::slice::from_ref(&input));
    until("the input is read", || {
        member.step(&mut positions);
        positions.total() == 100
    });
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    let place = TopicPartition::new(input.as_str(), 0);

    let mut committer =
        Committer::start(&connection, "atomic", Some(member.consumer.group()), CommitterSettings::default()).unwrap();
    let committed = transaction(&output, &["a", "b"], &[(place.clone(), 60)]);
    assert!(matches!(finish(&mut committer, committed), Outcome::Committed { .. }));
    assert_eq!(position(&reader, "atomic", &place), Some((60, "note".into())));
    assert_eq!(values(&mut reader, &output), ["a", "b"]);

    // The records are in the log when the positions are refused: they must be aborted, and invisible.
    let gone =
        SourceConsumer::join(&connection, &Membership { group: "gone".into(), instance: None }, &[&input]).unwrap();
    let handle = gone.group();
    assert!(gone.close(LONG));
    drop(committer);
    let mut orphan = Committer::start(&connection, "atomic", Some(handle), CommitterSettings::default()).unwrap();
    let prepared = transaction(&output, &["c"], &[(place.clone(), 100)]);
    let Outcome::Refused { transaction, error } = finish(&mut orphan, prepared.clone()) else {
        panic!("a transaction without its group is refused")
    };
    assert_eq!(error.fault, Fault::Unsettled);
    assert_eq!(transaction, prepared);
    assert_eq!(position(&reader, "atomic", &place), Some((60, "note".into())));
    assert_eq!(values(&mut reader, &output), ["a", "b"]);
    let (_, end) = reader.watermarks(&output, 0).unwrap();
    assert!(end >= 4, "the aborted record and its marker are in the log: {end}");

    // The same committer goes on after an abort; without positions no group is asked.
    assert!(matches!(finish(&mut orphan, self::transaction(&output, &["d"], &[])), Outcome::Committed { .. }));
    assert_eq!(values(&mut reader, &output), ["a", "b", "d"]);
}

#[test]
fn a_member_that_lost_its_place_cannot_commit() {
    let Some(broker) = Broker::shared() else { return };
    let (input, output) = (broker.fresh_topic("in", 2, &[]), broker.fresh_topic("out", 1, &[]));
    let connection = broker.connection("stale");
    let mut positions = Positions::default();
    let instance = |name: &str| Membership { group: "stale".into(), instance: Some(name.into()) };
    let mut old = Member::join_as(&connection, &instance("slot-0"), std::slice::from_ref(&input));
    until("the first owns all", || {
        old.step(&mut positions);
        old.owned.len() == 2
    });
    let mut committer =
        Committer::start(&connection, "stale-old", Some(old.consumer.group()), CommitterSettings::default()).unwrap();
    // The same slot again: the group fences the first.
    let mut new = Member::join_as(&connection, &instance("slot-0"), std::slice::from_ref(&input));
    until("the second owns all", || {
        new.step(&mut positions);
        new.owned.len() == 2
    });
    let place = TopicPartition::new(input.as_str(), 0);
    let refused = finish(&mut committer, transaction(&output, &["zombie"], &[(place, 1)]));
    assert!(!matches!(refused, Outcome::Committed { .. }), "{refused:?}");
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    assert!(values(&mut reader, &output).is_empty());
    until(
        "the first is told that it is fenced",
        || matches!(old.consumer.poll_life(), Some(Life::Failed(failure)) if failure.is_fatal),
    );
}

#[test]
fn the_same_slot_fences_its_predecessor() {
    let Some(broker) = Broker::shared() else { return };
    let output = broker.fresh_topic("fenced", 1, &[]);
    let connection = broker.connection("fence");
    let start = || Committer::start(&connection, "slot-0", None, CommitterSettings::default()).unwrap();
    let mut old = start();
    assert!(matches!(finish(&mut old, transaction(&output, &["old"], &[])), Outcome::Committed { .. }));
    let mut new = start();
    let Outcome::Fatal { error } = finish(&mut old, transaction(&output, &["zombie"], &[])) else {
        panic!("a fenced committer must end")
    };
    assert_eq!(error.fault, Fault::Fenced, "{error}");
    let again = finish(&mut old, transaction(&output, &["zombie"], &[]));
    assert!(matches!(again, Outcome::Fatal { .. }), "a committer that ended stays ended");
    assert!(matches!(finish(&mut new, transaction(&output, &["new"], &[])), Outcome::Committed { .. }));
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    assert_eq!(values(&mut reader, &output), ["old", "new"]);
}

#[test]
fn a_record_that_is_too_large_is_refused_and_the_committer_goes_on() {
    let Some(broker) = Broker::shared() else { return };
    let output = broker.fresh_topic("large", 1, &[]);
    let connection = broker.connection("large");
    let mut committer = Committer::start(&connection, "large", None, CommitterSettings::default()).unwrap();
    let mut large = transaction(&output, &["small", "large"], &[]);
    large.records[1].payload = Some(vec![0; 2_000_000]);
    assert!(matches!(finish(&mut committer, large), Outcome::Refused { .. }));
    assert!(matches!(finish(&mut committer, transaction(&output, &["next"], &[])), Outcome::Committed { .. }));
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    assert_eq!(values(&mut reader, &output), ["next"]);
}

#[test]
fn a_reader_waits_for_the_open_transaction_of_a_dead_process_and_passes_once_its_slot_is_back() {
    let Some(broker) = Broker::shared() else { return };
    let output = broker.fresh_topic("torn", 1, &[]);
    let connection = broker.connection("torn");
    let mut committer = Committer::start(&connection, "torn-before", None, CommitterSettings::default()).unwrap();
    assert!(matches!(finish(&mut committer, transaction(&output, &["before"], &[])), Outcome::Committed { .. }));

    for spot in ["after_produce:1", "after_send_offsets:1"] {
        // The broker writes a transaction's marker after it has told of the commit.
        let calm = LogReader::open(&connection, LONG).unwrap();
        let end_before = wait::until_ok("no transaction is open", LONG, || {
            let (high, stable) =
                (calm.watermarks(&output, 0).unwrap().1, calm.stable_watermarks(&output, 0).unwrap().1);
            if high == stable { Ok(high) } else { Err(format!("{high} {stable}")) }
        });
        die_in_a_transaction(broker, &output, spot);
        // Long enough to connect on a machine with a dozen other stories.
        let mut impatient = LogReader::open(&connection, Duration::from_secs(3)).unwrap();
        let (_, high) = impatient.watermarks(&output, 0).unwrap();
        let (_, stable) = impatient.stable_watermarks(&output, 0).unwrap();
        assert!(high > end_before && stable == end_before, "{spot}: {high} {stable} {end_before}");
        let error = read_values(&mut impatient, &output, From::Earliest).unwrap_err();
        assert_eq!(error.fault, Fault::Unsettled);
        assert!(error.to_string().contains(&format!("{output}/0")), "{error}");

        // The same slot aborts it at its start; then the end is stable.
        let _back = Committer::start(&connection, "dying", None, CommitterSettings::default()).unwrap();
        let mut reader = LogReader::open(&connection, LONG).unwrap();
        assert_eq!(values(&mut reader, &output), ["before"]);
    }
    // A commit that was acknowledged, or was on its way, is whole or absent, never torn.
    die_in_a_transaction(broker, &output, "after_commit:1");
    let _back = Committer::start(&connection, "dying", None, CommitterSettings::default()).unwrap();
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    assert_eq!(values(&mut reader, &output), ["before", "dying-0", "dying-1"]);
    die_in_a_transaction(broker, &output, "during_commit:1");
    let _back = Committer::start(&connection, "dying", None, CommitterSettings::default()).unwrap();
    let after = values(&mut reader, &output).len();
    assert!(after == 3 || after == 5, "{after}");
}

/// Not a story: the process that dies in the one above.
#[test]
#[ignore = "it is run, and dies, inside another story"]
fn dies_in_a_transaction() {
    let (Ok(address), Ok(output)) = (std::env::var("DYING_BROKER"), std::env::var("DYING_TOPIC")) else { return };
    let settings =
        CommitterSettings { failpoints: Failpoints::from_environment().unwrap(), ..CommitterSettings::default() };
    let mut committer = Committer::start(&Connection::new(address, "dying"), "dying", None, settings).unwrap();
    finish(&mut committer, transaction(&output, &["dying-0", "dying-1"], &[]));
    std::thread::sleep(LONG);
}

fn die_in_a_transaction(broker: &Broker, output: &str, spot: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "kafka_io::dies_in_a_transaction", "--nocapture"])
        .env("DYING_BROKER", broker.address())
        .env("DYING_TOPIC", output)
        .env("PACELINE_FAILPOINT", spot)
        .output()
        .unwrap()
        .status;
    assert!(status.code().is_none(), "{spot}: the process was to die of a signal, not with {status}");
}

#[test]
fn a_reader_finds_ends_times_and_losses() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.fresh_topic("log", 2, &[("message.timestamp.type", "CreateTime")]);
    let connection = broker.connection("reader");
    let mut sender = Sender::start(&connection).unwrap();
    for n in 0..1_000 {
        let time_ms = 1_700_000_000_000 + n * 1_000;
        sender.send(&topic, Some(0), Some(b"key"), Some(format!("{n}").as_bytes()), Some(time_ms)).unwrap();
    }
    assert_eq!(sender.flush(LONG).unwrap().delivered, 1_000);
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    let mut read = |from, until| {
        let mut seen = Vec::new();
        let report = reader
            .read(&topic, 0, from, until, |record| {
                assert_eq!(record.timestamp_ms, 1_700_000_000_000 + record.offset * 1_000);
                assert!(!record.is_append_time);
                seen.push(record.offset);
                if record.offset == 900 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        (seen, report)
    };
    let (seen, report) = read(From::Offset(10), Until::Offset(20));
    assert_eq!(seen, (10..20).collect::<Vec<i64>>());
    assert_eq!((report.from, report.next_offset, report.records, report.is_stopped), (10, 20, 10, false));
    // Again, the same: nothing of an earlier reading is left in the reader.
    assert_eq!(read(From::Offset(10), Until::Offset(20)).0, seen);
    let (seen, _) = read(From::Time(1_700_000_500_500), Until::Offset(600));
    assert_eq!(seen, (501..600).collect::<Vec<i64>>());
    let (seen, report) = read(From::Offset(890), Until::StableEnd);
    assert_eq!((seen.len(), report.is_stopped), (11, true));
    assert_eq!(read(From::Offset(1_000), Until::StableEnd).0, [0; 0]);
    assert_eq!(read(From::Time(1_900_000_000_000), Until::StableEnd).1.records, 0);
    let empty = reader.read(&topic, 1, From::Earliest, Until::StableEnd, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((empty.from, empty.next_offset), (0, 0));
    let missing = reader.watermarks("no-such-topic", 0).unwrap_err();
    assert_eq!(missing.fault, Fault::TopicMissing, "{missing}");
}

#[test]
fn a_stable_end_comes_after_markers_and_aborted_records() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.fresh_topic("markers", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let connection = broker.connection("markers");
    let mut committer = Committer::start(&connection, "markers", None, CommitterSettings::default()).unwrap();
    let membership = Membership { group: "none".into(), instance: None };
    let gone = SourceConsumer::join(&connection, &membership, &[&topic]).unwrap();
    let mut orphan =
        Committer::start(&connection, "markers-orphan", Some(gone.group()), CommitterSettings::default()).unwrap();
    drop(gone);
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    let place = TopicPartition::new(topic.as_str(), 0);
    for round in 1..=20usize {
        assert!(matches!(finish(&mut committer, transaction(&topic, &["kept"], &[])), Outcome::Committed { .. }));
        let aborted = transaction(&topic, &["aborted", "aborted"], &[(place.clone(), 1)]);
        assert!(matches!(finish(&mut orphan, aborted), Outcome::Refused { .. }));
        let (_, high) = reader.watermarks(&topic, 0).unwrap();
        let mut records = 0;
        let report = reader
            .read(&topic, 0, From::Earliest, Until::StableEnd, |record| {
                assert!(record.is_append_time);
                records += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        // A marker may be written a moment after the answer to its commit or abort.
        assert!(records == round && report.next_offset >= high, "{records} records, {report:?}, {high}");
    }
    // A group's reader comes to the end too, past the markers at the tail.
    let mut positions = Positions { contiguous: false, ..Positions::default() };
    let mut member = Member::join(&connection, "markers", std::slice::from_ref(&topic));
    until("the end is seen", || {
        member.step(&mut positions);
        member.owned.contains(&place) && member.consumer.at_end(&place)
    });
    assert_eq!(positions.records, 20);
}

#[test]
fn set_up_faults_are_told_apart_in_time() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.fresh_topic("plan", 3, &[("retention.ms", "3600000"), ("cleanup.policy", "compact,delete")]);
    let admin = broker.admin();
    let described = admin.describe(&[&topic, "no-such-topic"]).unwrap();
    let facts = described[&topic].as_ref().unwrap();
    assert_eq!((facts.partitions, facts.replication), (3, 1));
    assert_eq!(facts.retention_ms(), Some(3_600_000));
    assert_eq!((facts.is_compacted(), facts.is_append_time()), (Some(true), Some(false)));
    assert!(described["no-such-topic"].is_none());
    let id = facts.id.clone().expect("a broker of today tells ids");
    assert_eq!(admin.delete(&[&topic, "no-such-topic"]).unwrap(), [topic.as_str()]);
    until("the topic is gone", || admin.partitions(&[&topic]).unwrap()[&topic].is_none());
    broker.create_topic(&topic, 1, &[]);
    until("the topic is back", || admin.partitions(&[&topic]).unwrap()[&topic] == Some(1));
    let again = admin.describe(&[&topic]).unwrap();
    assert_ne!(again[&topic].as_ref().unwrap().id, Some(id), "a topic made anew has another id");

    let started = Instant::now();
    let nobody = Connection::new("127.0.0.1:1", "nobody");
    let error = kafka_io::Admin::connect(&nobody, Duration::from_secs(2)).err().unwrap();
    assert_eq!(error.fault, Fault::Unreachable, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));

    let mut lost = SourceConsumer::join(
        &broker.connection("lost"),
        &Membership { group: "lost".into(), instance: None },
        &["no-such-topic"],
    )
    .unwrap();
    let mut failure = None;
    until("the missing topic is named", || {
        if let Some(Life::Failed(told)) = lost.poll_life() {
            failure = Some(told);
        }
        failure.is_some()
    });
    let failure = failure.unwrap();
    assert_eq!(failure.error.fault, Fault::TopicMissing);
    assert!(failure.error.to_string().contains("no-such-topic"), "{}", failure.error);
}

#[test]
fn a_wrong_password_is_refused_in_time_and_the_right_one_works() {
    let Some(broker) = Broker::with_passwords() else {
        return;
    };
    let topic = broker.fresh_topic("guarded", 1, &[]);
    assert_eq!(broker.admin().partitions(&[&topic]).unwrap()[&topic], Some(1));
    let mut wrong = broker.connection("wrong");
    wrong.properties.insert("sasl.password".into(), "wrong-hunter2".into());
    let started = Instant::now();
    let error = kafka_io::Admin::connect(&wrong, Duration::from_secs(8)).err().unwrap();
    assert_eq!(error.fault, Fault::Credentials, "{error}");
    assert!(!error.fault.may_pass());
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(!format!("{error} {error:?} {wrong:?}").contains("hunter2"));
    let settings = CommitterSettings { start_limit: Duration::from_secs(3), ..CommitterSettings::default() };
    let error = Committer::start(&wrong, "wrong", None, settings).err().unwrap();
    assert_eq!(error.fault, Fault::Credentials, "{error}");
}

#[test]
fn a_broker_that_restarts_is_waited_for() {
    let Some(broker) = Broker::own(&[]) else { return };
    let topic = broker.fresh_topic("restart", 1, &[]);
    let connection = broker.connection("restart");
    let mut positions = Positions { contiguous: false, ..Positions::default() };
    let mut member = Member::join(&connection, "restart", std::slice::from_ref(&topic));
    let mut committer = Committer::start(&connection, "restart", None, CommitterSettings::default()).unwrap();
    assert!(matches!(finish(&mut committer, transaction(&topic, &["1"], &[])), Outcome::Committed { .. }));
    for (round, end) in [Broker::stop, Broker::kill].into_iter().enumerate() {
        end(&broker);
        broker.restart();
        let value = format!("{}", round + 2);
        let mut next = transaction(&topic, &[&value], &[]);
        loop {
            match finish(&mut committer, next) {
                Outcome::Committed { .. } => break,
                Outcome::Refused { transaction, .. } => next = transaction,
                // Crash-only: the process would start again.
                Outcome::Fatal { .. } => {
                    committer = Committer::start(&connection, "restart", None, CommitterSettings::default()).unwrap();
                    next = transaction(&topic, &[&value], &[]);
                }
            }
        }
        until("the member reads on", || {
            member.step(&mut positions);
            positions.records as usize == round + 2
        });
    }
    let mut reader = LogReader::open(&connection, LONG).unwrap();
    assert_eq!(values(&mut reader, &topic), ["1", "2", "3"]);
}

/// Next offsets of all partitions, as a journal would keep them: a take-over starts there.
struct Positions {
    next: BTreeMap<TopicPartition, i64>,
    records: u64,
    /// Off where markers leave holes.
    contiguous: bool,
}

impl Default for Positions {
    fn default() -> Self {
        Positions { next: BTreeMap::new(), records: 0, contiguous: true }
    }
}

impl Positions {
    fn total(&self) -> i64 {
        self.next.values().sum()
    }
}

/// A member that behaves as the service does: takes over from the positions, reads, gives back.
struct Member {
    consumer: SourceConsumer,
    owned: Vec<TopicPartition>,
    records: u64,
    rebalances: u32,
    topics: Vec<Arc<str>>,
}

impl Member {
    fn join(connection: &Connection, group: &str, topics: &[String]) -> Member {
        Member::join_as(connection, &Membership { group: group.into(), instance: None }, topics)
    }

    fn join_as(connection: &Connection, membership: &Membership, topics: &[String]) -> Member {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let consumer = SourceConsumer::join(connection, membership, &names).unwrap();
        let topics = names.into_iter().map(Arc::from).collect();
        Member { consumer, owned: Vec::new(), records: 0, rebalances: 0, topics }
    }

    fn step(&mut self, positions: &mut Positions) {
        match self.consumer.poll_life() {
            Some(Life::Assigned(places)) => {
                self.rebalances += 1;
                self.owned.clone_from(&places);
                let starts = places.into_iter().map(|place| {
                    let next = positions.next.get(&place).copied().unwrap_or(0);
                    (place, next)
                });
                self.consumer.begin(starts.collect()).unwrap();
            }
            Some(Life::Revoked(_) | Life::Lost(_)) => {
                self.owned.clear();
                self.consumer.release().unwrap();
            }
            Some(Life::Failed(failure)) => panic!("{failure:?}"),
            None => {}
        }
        for record in self.consumer.next_batch(500, TICK).iter() {
            let place = TopicPartition::new(Arc::clone(&self.topics[record.source]), record.partition);
            assert!(self.owned.contains(&place), "{place} is not owned");
            let next = positions.next.entry(place).or_insert(0);
            assert!(record.offset >= *next, "offset {} came twice", record.offset);
            assert!(!positions.contiguous || record.offset == *next, "offset {} came, {next} was due", record.offset);
            *next = record.offset + 1;
            positions.records += 1;
            self.records += 1;
        }
    }
}

/// `count` records of each topic, spread evenly, so that the sum of all next offsets counts them.
fn fill(sender: &mut Sender, topics: &[String], range: std::ops::Range<u32>) {
    for topic in topics {
        for n in range.clone() {
            sender.send(topic, None, Some(&n.to_le_bytes()), Some(b"payload"), None).unwrap();
        }
    }
    sender.flush(LONG).unwrap();
}

fn transaction(topic: &str, values: &[&str], offsets: &[(TopicPartition, i64)]) -> Transaction {
    let record = |value: &&str| OutRecord {
        topic: topic.into(),
        key: Some(b"key".to_vec()),
        payload: Some(value.as_bytes().to_vec()),
        headers: vec![("kind".into(), b"test".to_vec())],
        ..OutRecord::default()
    };
    let offset = |(place, next): &(TopicPartition, i64)| OffsetOut {
        place: place.clone(),
        next_offset: *next,
        metadata: "note".into(),
    };
    Transaction { records: values.iter().map(record).collect(), offsets: offsets.iter().map(offset).collect() }
}

fn finish(committer: &mut Committer, transaction: Transaction) -> Outcome {
    committer.submit(transaction).expect("nothing is in flight");
    committer.outcome(LONG).expect("an outcome within the limits")
}

fn values(reader: &mut LogReader, topic: &str) -> Vec<String> {
    read_values(reader, topic, From::Earliest).unwrap()
}

fn read_values(reader: &mut LogReader, topic: &str, from: From) -> Result<Vec<String>, Error> {
    let mut values = Vec::new();
    reader.read(topic, 0, from, Until::StableEnd, |record| {
        assert_eq!(record.headers(), [("kind", Some(b"test".as_slice()))]);
        assert_eq!(record.key, Some(b"key".as_slice()));
        values.push(String::from_utf8(record.payload.unwrap().to_vec()).unwrap());
        ControlFlow::Continue(())
    })?;
    Ok(values)
}

fn position(reader: &LogReader, group: &str, place: &TopicPartition) -> Option<(i64, String)> {
    reader.committed(group, std::slice::from_ref(place)).unwrap().remove(place)
}

fn next_life(consumer: &mut SourceConsumer) -> Life {
    let mut life = None;
    until("something happens to the membership", || {
        life = consumer.poll_life();
        life.is_some()
    });
    life.unwrap()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
    }
}
