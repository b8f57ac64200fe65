//! Quiet partitions: control records at the end are no records, and retention may leave nothing else.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use kafka_io::{From, Life, LogReader, Membership, SourceConsumer, TopicPartition, Until};
use serde_json::json;
use std::ops::ControlFlow;
use std::time::Duration;
use system_tests::avro::{Fields, schemas};
use system_tests::deployment::{EVENT_PARTITIONS, JOURNAL_PARTITIONS};
use system_tests::{Broker, Deployment, Service, journal, logs, wait};

#[test]
fn a_partition_that_holds_nothing_but_a_commit_marker_has_an_end() {
    let Some(broker) = Broker::shared() else { return };
    let topic = broker.fresh_topic("marker", 1, &[]);
    logs::write_transactions(&broker.address(), &topic, 0, &[b"gone".to_vec()]);
    logs::delete_before(&broker.address(), &[(topic.clone(), 0, 1)]);
    assert_eq!(logs::ends(&broker.address(), &topic, 0), (1, 2));
    let connection = broker.connection("marker");
    let mut reader = LogReader::open(&connection, Duration::from_secs(10)).unwrap();
    let report = reader.read(&topic, 0, From::Earliest, Until::StableEnd, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.from, report.next_offset, report.records), (1, 2, 0));

    let membership = Membership { group: "marker".into(), instance: None };
    let mut consumer = SourceConsumer::join(&connection, &membership, &[&topic]).unwrap();
    let place = TopicPartition::new(topic.as_str(), 0);
    wait::until("the end is reached without a record", LIMIT, || {
        if let Some(Life::Assigned(_)) = consumer.poll_life() {
            consumer.begin(vec![(place.clone(), 1)]).unwrap();
        }
        assert!(consumer.next_batch(10, Duration::from_millis(20)).is_empty());
        (consumer.at_end(&place) && consumer.position(&place) == Some(2)).then_some(())
    });
}

#[test]
fn retention_that_leaves_only_control_records_stops_nobody() {
    let Some(broker) = Broker::own(&[]) else { return };
    let deployment = Deployment::new(&broker, "quiet");
    let brokers = &deployment.brokers;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let impression = |number: i64| {
        schemas().encode(
            "Impression",
            json!({"event_id": format!("e{number}"), "event_time": now, "account_id": "a", "campaign_id": "c",
                "channel": "search", "device": "mobile", "geo": "", "cost_micros": 7, "currency": "EUR"}),
        )
    };
    let impressions = deployment.topic("impressions").to_owned();
    logs::write_transactions(brokers, &impressions, 0, &[impression(1), impression(2)]);
    let mut service = deployment.start("0");
    let (_, high) = logs::ends(brokers, &impressions, 0);
    assert_eq!(high, 4, "two records, each with its marker");
    wait::until("a cut ends behind the marker", LIMIT, || {
        let epochs = logs::read(brokers, &[deployment.topic("epochs")]);
        let last = epochs.iter().rfind(|entry| entry.partition == 0)?;
        let (_, epoch) = schemas().decode(last.bytes()).expect("a record of ours decodes");
        (epoch.list("ranges")[0].long("to") == high).then_some(())
    });
    service.stop();
    // The controller alone comes to rest behind the journal's last marker.
    let topic = deployment.topic("journal").to_owned();
    let ends = (0..JOURNAL_PARTITIONS).map(|partition| (partition, logs::ends(brokers, &topic, partition).1));
    let mut service = Service::spawn(&deployment, "0", &["--role", "controller"], &[]);
    journal::wait_for_rest(&deployment, LIMIT);
    service.stop();

    // All that the events' topics and the journal held goes.
    let mut gone: Vec<(String, i32, i64)> = Vec::new();
    for word in ["impressions", "clicks", "conversions"] {
        let topic = deployment.topic(word);
        gone.extend((0..EVENT_PARTITIONS).map(|p| (topic.to_owned(), p, logs::ends(brokers, topic, p).1)));
    }
    gone.extend(ends.map(|(partition, end)| (topic.clone(), partition, end)));
    logs::delete_before(brokers, &gone);
    service.start_again(&[], &[]);
    service.wait_until_ready();
    logs::write_transactions(brokers, &impressions, 0, &[impression(3)]);
    wait::until("events are counted again", LIMIT, || {
        let entries = logs::read(brokers, &[&topic]);
        let counted = entries.iter().any(|entry| {
            let (_, record) = schemas().decode(entry.bytes()).expect("a record of ours decodes");
            record.list("deltas").iter().any(|delta| delta.long("impressions") == 1)
        });
        counted.then_some(())
    });
    assert!(!service.log().contains("integrity"), "{}", service.last_words());
    deployment.clean();
    // A broker that is gone: readiness says so while the process still tries.
    broker.kill();
    wait::until("readiness tells of the broker", LIMIT, || (!service.is_ready()).then_some(()));
    assert_eq!(service.ended(), None, "it is told by a process that lives");
    service.kill();
}

const LIMIT: Duration = Duration::from_secs(60);
