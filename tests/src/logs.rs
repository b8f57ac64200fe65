//! Topics, read and written with the plain client.

use crate::wait;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

/// One record as it lies in a topic.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Timestamp of the broker or producer.
    pub timestamp_ms: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub payload: Option<Vec<u8>>,
    /// Headers as text.
    pub headers: BTreeMap<String, String>,
}

impl Entry {
    fn of(message: &BorrowedMessage<'_>) -> Entry {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let headers =
            message.headers().map(|headers| headers.iter().map(|one| (one.key.to_owned(), text(one.value))).collect());
        Entry {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }

    /// The value, empty where it is null.
    pub fn bytes(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }
}

/// Reads topics from their beginning, committed records only, and goes on where it stopped.
pub struct Tail {
    readers: Vec<Reader>,
}

/// A topic has a client of its own, since an end of file names the partition alone.
struct Reader {
    consumer: BaseConsumer,
    at_end: Vec<bool>,
}

impl Tail {
    /// Begins at the oldest record of each partition.
    ///
    /// # Panics
    /// Where a topic is not there.
    pub fn open(brokers: &str, topics: &[&str]) -> Tail {
        Tail { readers: topics.iter().map(|topic| Reader::open(brokers, topic)).collect() }
    }

    /// Hands out what comes within `patience` a topic; returns how many.
    pub fn poll(&mut self, patience: Duration, mut take: impl FnMut(Entry)) -> usize {
        self.readers.iter_mut().map(|reader| reader.poll(patience, &mut take)).sum()
    }

    /// Reads until every partition has been read to its end.
    ///
    /// # Panics
    /// Where that takes too long.
    pub fn drain(&mut self, mut take: impl FnMut(Entry)) {
        wait::until("topics are read to their ends", READ_LIMIT, || {
            for reader in self.readers.iter_mut().filter(|reader| !reader.is_at_end()) {
                reader.poll(Duration::from_millis(100), &mut take);
            }
            self.readers.iter().all(Reader::is_at_end).then_some(())
        });
    }
}

impl Reader {
    fn open(brokers: &str, topic: &str) -> Reader {
        let consumer: BaseConsumer = client(brokers)
            .set("group.id", "paceline-tests-reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "50")
            .create()
            .expect("a consumer starts");
        let count = partitions(&consumer, topic);
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("a beginning is an offset");
        }
        consumer.assign(&list).expect("partitions can be assigned");
        Reader { consumer, at_end: vec![false; count as usize] }
    }

    fn is_at_end(&self) -> bool {
        self.at_end.iter().all(|at_end| *at_end)
    }

    fn poll(&mut self, patience: Duration, take: &mut impl FnMut(Entry)) -> usize {
        let mut taken = 0;
        let mut wait = patience;
        while let Some(event) = self.consumer.poll(wait) {
            wait = Duration::ZERO;
            match event {
                Ok(message) => {
                    self.at_end[message.partition() as usize] = false;
                    take(Entry::of(&message));
                    taken += 1;
                }
                Err(KafkaError::PartitionEOF(partition)) => self.at_end[partition as usize] = true,
                // The client reconnects by itself; what never comes is found by the deadline of who waits.
                Err(_) => {}
            }
        }
        taken
    }
}

/// All records of topics, committed ones only, in the order of each partition.
pub fn read(brokers: &str, topics: &[&str]) -> Vec<Entry> {
    let mut entries = Vec::new();
    read_each(brokers, topics, |entry| entries.push(entry));
    entries.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
    entries
}

/// Hands out all records of topics, committed ones only.
pub fn read_each(brokers: &str, topics: &[&str], take: impl FnMut(Entry)) {
    Tail::open(brokers, topics).drain(take);
}

/// Writes records as any system would.
pub struct Writer {
    producer: BaseProducer,
}

impl Writer {
    /// A plain producer.
    pub fn open(brokers: &str) -> Writer {
        let mut config = client(brokers);
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("linger.ms", "5");
        Writer { producer: config.create().expect("a producer starts") }
    }

    /// Sends a record to the partition of its key, or to a given one.
    pub fn send(&self, topic: &str, partition: Option<i32>, key: Option<&[u8]>, payload: Option<&[u8]>) {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        record.key = key;
        record.payload = payload;
        record.partition = partition;
        let mut pending = Some(record);
        while let Some(record) = pending.take() {
            match self.producer.send(record) {
                Ok(()) => {}
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(20));
                    pending = Some(back);
                }
                Err((error, _)) => panic!("a record was not taken: {error}"),
            }
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Sends a copy of a record, headers included, to the same partition of another topic.
    ///
    /// # Panics
    /// Where it is not taken.
    pub fn copy(&self, entry: &Entry, topic: &str) {
        let headers = entry.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_bytes()) })
        });
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).headers(headers).partition(entry.partition);
        record.key = entry.key.as_deref();
        record.payload = entry.payload.as_deref();
        if let Err((error, _)) = self.producer.send(record) {
            panic!("a record was not taken: {error}");
        }
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until everything is in the log.
    pub fn flush(&self) {
        self.producer.flush(READ_LIMIT).expect("records are delivered");
    }
}

/// Writes records in one transaction each: a control record follows each of them.
pub fn write_transactions(brokers: &str, topic: &str, partition: i32, payloads: &[Vec<u8>]) {
    let mut config = client(brokers);
    config.set("transactional.id", format!("tests-{topic}-{partition}"));
    let producer: BaseProducer = config.create().expect("a producer starts");
    producer.init_transactions(ANSWER_LIMIT).expect("the broker knows transactions");
    for payload in payloads {
        producer.begin_transaction().expect("a transaction begins");
        let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition).payload(payload);
        assert!(producer.send(record).is_ok(), "a record is taken");
        producer.commit_transaction(ANSWER_LIMIT).expect("a transaction is committed");
    }
}

/// Writes a record in a transaction that stays open for as long as what is returned lives.
pub fn open_transaction(brokers: &str, topic: &str, partition: i32) -> impl Drop {
    struct Open(BaseProducer);
    impl Drop for Open {
        fn drop(&mut self) {
            let _ = self.0.abort_transaction(ANSWER_LIMIT);
        }
    }
    let mut config = client(brokers);
    config.set("transactional.id", format!("tests-open-{topic}-{partition}"));
    let producer: BaseProducer = config.create().expect("a producer starts");
    producer.init_transactions(ANSWER_LIMIT).expect("the broker knows transactions");
    producer.begin_transaction().expect("a transaction begins");
    let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition).payload(b"open");
    assert!(producer.send(record).is_ok(), "a record is taken");
    producer.flush(ANSWER_LIMIT).expect("a record is delivered");
    Open(producer)
}

/// The committed positions of a group.
pub fn committed(brokers: &str, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = client(brokers).set("group.id", group).create().expect("a consumer starts");
    let mut list = TopicPartitionList::new();
    (0..partitions).for_each(|partition| _ = list.add_partition(topic, partition));
    let found = consumer.committed_offsets(list, ANSWER_LIMIT).expect("the broker tells positions");
    let position = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    found.elements().iter().filter_map(|one| Some((one.partition(), position(one.offset())?))).collect()
}

/// Sets positions of a group that has no members.
pub fn commit(brokers: &str, group: &str, positions: &[(String, i32, i64, String)]) {
    let consumer: BaseConsumer =
        client(brokers).set("group.id", group).set("enable.auto.commit", "false").create().expect("a consumer starts");
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset, metadata) in positions {
        let mut one = list.add_partition(topic, *partition);
        one.set_offset(Offset::Offset(*offset)).expect("an offset is an offset");
        one.set_metadata(metadata);
    }
    consumer.commit(&list, CommitMode::Sync).expect("a group without members takes positions");
}

/// Takes the records before an offset away, as retention would.
pub fn delete_before(brokers: &str, places: &[(String, i32, i64)]) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().expect("an admin client starts");
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in places {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("an offset is an offset");
    }
    let done = admin.delete_records(&list, &AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT)));
    let done = block_on(done).expect("the broker deletes records");
    for one in done.elements() {
        one.error().expect("the broker deletes records");
    }
}

/// Gives topics more partitions.
pub fn grow(brokers: &str, topics: &[&str], partitions: usize) {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create().expect("an admin client starts");
    let wanted: Vec<NewPartitions> = topics.iter().map(|topic| NewPartitions::new(topic, partitions)).collect();
    let done = admin.create_partitions(&wanted, &AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT)));
    for one in block_on(done).expect("the broker adds partitions") {
        one.expect("the broker adds partitions");
    }
}

/// Oldest and next offset of a partition.
pub fn ends(brokers: &str, topic: &str, partition: i32) -> (i64, i64) {
    let consumer: BaseConsumer = client(brokers).create().expect("a consumer starts");
    consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT).expect("the broker tells the ends")
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("client.id", "paceline-tests").set("log_level", "2");
    config
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT).expect("the broker answers");
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    assert!(count > 0, "topic {topic} is not there");
    count as i32
}

/// Waits for a future of the client, which its own thread completes.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const READ_LIMIT: Duration = Duration::from_secs(120);
