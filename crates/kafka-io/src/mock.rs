//! The broker inside the process, for the demo where there is no Kafka.
//!
//! It speaks the real protocol on a loopback port: groups and transactions answer. What it cannot, and so what it proves
//! nothing about: it stores no transactional offsets, aborted records stay visible, the last stable offset is the high
//! watermark, questions for topics' settings and ids time out, offsets for times are always the end, timestamps stay as
//! the producer set them, and a partition keeps about 5 MB.

use crate::connection::Connection;
use crate::fault::Error;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A broker inside the process; ends when dropped.
pub struct MockBroker(MockCluster<'static, DefaultProducerContext>);

// SAFETY: the mock cluster runs in the client's own threads and its C interface locks itself; the wrapper holds a
// pointer to it and the client that owns it.
unsafe impl Send for MockBroker {}

impl MockBroker {
    /// Starts one broker on a free loopback port.
    pub fn start() -> Result<MockBroker, Error> {
        MockCluster::new(1).map(MockBroker).map_err(|error| Error::kafka("starting the broker of the demo", &error))
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Result<(), Error> {
        self.0
            .create_topic(name, partitions, 1)
            .map_err(|error| Error::kafka(format!("creating {name} on the broker of the demo"), &error))
    }

    /// How to reach it.
    pub fn connection(&self, client_id: impl Into<String>) -> Connection {
        Connection::new(self.0.bootstrap_servers(), client_id)
    }

    /// `host:port`.
    pub fn brokers(&self) -> String {
        self.0.bootstrap_servers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::committer::{Committer, CommitterSettings, OffsetOut, OutRecord, Outcome, Transaction};
    use crate::fault::Fault;
    use crate::reader::{From, LogReader, Sign, Until};
    use crate::record::TopicPartition;
    use crate::sender::Sender;
    use crate::source::{Life, Membership, SharedBatch, SourceConsumer};
    use rdkafka::types::RDKafkaApiKey as Api;
    use rdkafka::types::RDKafkaRespErr as Code;
    use std::ops::ControlFlow;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(30);

    fn settings() -> CommitterSettings {
        CommitterSettings { transaction_limit: Duration::from_secs(4), ..CommitterSettings::default() }
    }

    fn one_record() -> Transaction {
        let record = OutRecord { topic: "out".into(), payload: Some(b"x".to_vec()), ..OutRecord::default() };
        Transaction { records: vec![record], offsets: Vec::new() }
    }

    fn finish(committer: &mut Committer, transaction: Transaction) -> Outcome {
        committer.submit(transaction).unwrap();
        committer.outcome(LONG).unwrap()
    }

    #[test]
    fn the_demo_path_works_from_sender_to_reader() {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("in", 2).unwrap();
        broker.create_topic("out", 1).unwrap();
        let connection = broker.connection("demo");
        let mut sender = Sender::start(&connection).unwrap();
        for n in 0..100 {
            sender.send("in", Some(n % 2), None, Some(&n.to_le_bytes()), Some(1_000 + i64::from(n))).unwrap();
        }
        sender.flush(LONG).unwrap();

        let membership = Membership { group: "demo".into(), instance: Some("slot-0".into()) };
        let mut consumer = SourceConsumer::join(&connection, &membership, &["in"]).unwrap();
        let mut committer = Committer::start(&connection, "demo", Some(consumer.group()), settings()).unwrap();
        let mut seen = 0;
        let started = Instant::now();
        while seen < 100 {
            assert!(started.elapsed() < LONG);
            if let Some(Life::Assigned(places)) = consumer.poll_life() {
                assert_eq!(places.len(), 2);
                consumer.begin(places.into_iter().map(|place| (place, 0)).collect()).unwrap();
            }
            let batch = consumer.next_batch(7, Duration::from_millis(20));
            for record in batch.iter() {
                assert_eq!(record.timestamp_ms, 1_000 + record.offset * 2 + i64::from(record.partition));
                seen += 1;
            }
        }
        let place = TopicPartition::new("in", 0);
        let offsets = vec![OffsetOut { place, next_offset: 50, metadata: String::new() }];
        let outcome = finish(&mut committer, Transaction { offsets, ..one_record() });
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        let signs = Arc::new(Mutex::new(Vec::new()));
        let seen = signs.clone();
        let see = move |sign: Sign<'_>| match sign {
            Sign::Answer => {}
            Sign::Begin(place, offsets) => seen.lock().unwrap().push((place.to_string(), offsets)),
            Sign::Further(offsets) => seen.lock().unwrap().push(("further".into(), offsets)),
        };
        let mut reader = LogReader::open(&connection, LONG).unwrap().watched_by(see);
        let report = reader.read("out", 0, From::Earliest, Until::StableEnd, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((report.records, report.next_offset), (1, 1));
        assert_eq!(*signs.lock().unwrap(), [("out/0".to_owned(), 1), ("further".to_owned(), 1)]);
        assert!(consumer.close(LONG));
    }

    #[test]
    fn a_batch_of_many_pieces_is_in_order_without_gap_and_never_larger_than_asked_for() {
        const RECORDS: i64 = 3_000;
        let broker = MockBroker::start().unwrap();
        broker.create_topic("in", 1).unwrap();
        let connection = broker.connection("pieces");
        let mut sender = Sender::start(&connection).unwrap();
        for n in 0..RECORDS {
            sender.send("in", Some(0), Some(b"key"), Some(&n.to_le_bytes()), None).unwrap();
        }
        sender.flush(LONG).unwrap();
        let membership = Membership { group: "pieces".into(), instance: None };
        let mut consumer = SourceConsumer::join(&connection, &membership, &["in"]).unwrap();
        let (mut next, mut largest, place) = (0, 0, TopicPartition::new("in", 0));
        let mut kept = SharedBatch::default();
        let started = Instant::now();
        while next < RECORDS {
            assert!(started.elapsed() < LONG);
            if let Some(Life::Assigned(places)) = consumer.poll_life() {
                consumer.begin(places.into_iter().map(|place| (place, 0)).collect()).unwrap();
            }
            let batch = consumer.next_batch(1_000, Duration::from_millis(20));
            largest = largest.max(batch.len());
            for record in batch.iter() {
                assert_eq!((record.offset, record.key), (next, Some(&b"key"[..])));
                assert_eq!(record.payload, Some(&next.to_le_bytes()[..]));
                next += 1;
            }
            drop(batch);
            // What is fetched meanwhile is held, and comes first afterwards.
            consumer.pause(std::slice::from_ref(&place));
            assert!(consumer.next_batch(1_000, Duration::from_millis(1)).is_empty());
            consumer.resume(std::slice::from_ref(&place));
            // The same into a batch that the caller keeps: what it held is gone, and nothing is handed out twice.
            consumer.fill(&mut kept, 500, Duration::from_millis(20));
            largest = largest.max(kept.len());
            for at in 0..kept.len() {
                let record = kept.get(at);
                assert_eq!((record.source, record.offset, record.key), (0, next, Some(&b"key"[..])));
                assert_eq!(record.payload, Some(&next.to_le_bytes()[..]));
                next += 1;
            }
        }
        assert!(largest <= 1_000, "{largest}");
        kept.clear();
        assert!(consumer.close(LONG));
    }

    #[test]
    fn nothing_is_begun_or_released_that_was_not_offered() {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("in", 1).unwrap();
        let membership = Membership { group: "demo".into(), instance: None };
        let mut consumer = SourceConsumer::join(&broker.connection("demo"), &membership, &["in"]).unwrap();
        assert!(consumer.begin(Vec::new()).is_err());
        assert!(consumer.release().is_err());
        let started = Instant::now();
        let places = loop {
            assert!(started.elapsed() < LONG);
            if let Some(Life::Assigned(places)) = consumer.poll_life() {
                break places;
            }
        };
        assert!(consumer.begin(vec![(TopicPartition::new("in", 7), 0)]).is_err());
        assert!(consumer.begin(vec![(places[0].clone(), -1)]).is_err());
        // The offer still stands: a refusal of it all is an answer.
        consumer.release().unwrap();
        assert!(consumer.next_offset(&places[0]).is_none());
        assert!(consumer.close(LONG), "a consumer that refused its assignment closes in time");
    }

    #[test]
    fn a_close_with_an_unanswered_offer_ends_in_time() {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("in", 1).unwrap();
        let membership = Membership { group: "demo".into(), instance: None };
        let mut consumer = SourceConsumer::join(&broker.connection("demo"), &membership, &["in"]).unwrap();
        let started = Instant::now();
        while consumer.poll_life().is_none() {
            assert!(started.elapsed() < LONG);
        }
        assert!(consumer.close(LONG));
    }

    /// The error matrix: whatever a broker answers, the outcome is one of three, in time, and never a hang.
    #[test]
    fn every_answer_of_a_broker_ends_in_a_named_outcome() {
        let cases: &[(Api, Code, &str)] = &[
            (Api::EndTxn, Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "committed"),
            (Api::EndTxn, Code::RD_KAFKA_RESP_ERR_NOT_COORDINATOR, "committed"),
            (Api::EndTxn, Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fatal"),
            (Api::EndTxn, Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "fatal"),
            (Api::AddPartitionsToTxn, Code::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, "committed"),
            (Api::AddPartitionsToTxn, Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "refused"),
            (Api::AddPartitionsToTxn, Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fatal"),
            (Api::Produce, Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, "committed"),
            (Api::Produce, Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, "refused"),
        ];
        for (api, code, expected) in cases {
            let broker = MockBroker::start().unwrap();
            broker.create_topic("out", 1).unwrap();
            let connection = broker.connection("matrix");
            let mut committer = Committer::start(&connection, "matrix", None, settings()).unwrap();
            assert!(matches!(finish(&mut committer, one_record()), Outcome::Committed { .. }));
            broker.0.request_errors(*api, &[*code]);
            let outcome = finish(&mut committer, one_record());
            let word = match &outcome {
                Outcome::Committed { .. } => "committed",
                Outcome::Refused { .. } => "refused",
                Outcome::Fatal { .. } => "fatal",
            };
            assert_eq!(word, *expected, "{api:?} {code:?}: {outcome:?}");
            if word != "fatal" {
                let next = finish(&mut committer, one_record());
                assert!(matches!(next, Outcome::Committed { .. }), "{api:?} {code:?}: {next:?}");
            }
        }
    }

    #[test]
    fn a_broker_that_falls_silent_is_never_taken_for_a_commit_nor_waited_for_without_end() {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("out", 1).unwrap();
        let mut committer = Committer::start(&broker.connection("silent"), "silent", None, settings()).unwrap();
        assert!(matches!(finish(&mut committer, one_record()), Outcome::Committed { .. }));
        broker.0.broker_down(1).unwrap();
        let started = Instant::now();
        let outcome = finish(&mut committer, one_record());
        assert!(!matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
        // Back again, it goes on with a new producer, or says that it cannot.
        broker.0.broker_up(1).unwrap();
        if let Outcome::Refused { transaction, .. } = outcome {
            let again = finish(&mut committer, transaction);
            assert!(!matches!(again, Outcome::Refused { .. }), "{again:?}");
        }
    }

    #[test]
    fn a_topic_that_is_missing_is_an_error_for_reader_and_sender() {
        let broker = MockBroker::start().unwrap();
        broker.create_topic("in", 1).unwrap();
        let connection = broker.connection("missing");
        let mut reader = LogReader::open(&connection, Duration::from_secs(5)).unwrap();
        let error = reader.read("in", 9, From::Earliest, Until::StableEnd, |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.fault, Fault::TopicMissing, "{error}");
        let mut sender = Sender::start(&connection).unwrap();
        let refused = sender.send("in", Some(9), None, Some(b"x"), None).and_then(|()| sender.flush(LONG).map(|_| ()));
        assert_eq!(refused.unwrap_err().fault, Fault::TopicMissing);
    }
}
