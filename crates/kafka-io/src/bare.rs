//! Bare consumption, to measure the service against: the same client, the same settings, nothing done with a record.

use crate::connection::{Connection, Isolation};
use crate::fault::Error;
use crate::native::{MessageQueue, Messages, SimpleFetch};
use crate::witness::Witness;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// Nothing for this long and the count is not reached any more.
const SILENCE_LIMIT: Duration = Duration::from_secs(20);
const BATCH: usize = 10_000;

/// Records per second of the client's own poll, over `records` records of a topic, from the first to the last.
pub fn poll_per_second(connection: &Connection, topic: &str, partitions: i32, records: u64) -> Result<f64, Error> {
    let consumer = consumer(connection)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(|error| Error::kafka("polling bare", &error))?;
    }
    consumer.assign(&list).map_err(|error| Error::kafka("polling bare", &error))?;
    let mut meter = Meter::default();
    while meter.seen < records && !meter.is_silent() {
        if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {
            meter.add(1);
        }
    }
    Ok(meter.rate())
}

/// Records per second of batches from one queue, over `records` records of a topic, from the first to the last.
pub fn batch_per_second(connection: &Connection, topic: &str, partitions: i32, records: u64) -> Result<f64, Error> {
    let consumer = consumer(connection)?;
    let client = consumer.client().native_ptr();
    let queue = MessageQueue::new(client);
    let mut fetches = Vec::new();
    for partition in 0..partitions {
        let fetch = SimpleFetch::start(client, &queue, topic, partition, 0)
            .map_err(|code| Error::code(format!("reading {topic}/{partition}"), code))?;
        fetches.push(fetch);
    }
    let mut messages = Messages::default();
    let mut meter = Meter::default();
    while meter.seen < records && !meter.is_silent() {
        queue.take(&mut messages, BATCH, Duration::from_millis(100));
        meter.add(messages.len() as u64);
        messages.clear();
    }
    drop(fetches);
    Ok(meter.rate())
}

fn consumer(connection: &Connection) -> Result<BaseConsumer<Witness>, Error> {
    let mut config = connection.checked()?.reader(Isolation::Committed);
    // An assignment by hand wants a name, though nothing is committed under it.
    config.set("group.id", "paceline-bare");
    config.create_with_context(Witness::default()).map_err(|error| Error::kafka("opening a bare consumer", &error))
}

#[derive(Default)]
struct Meter {
    seen: u64,
    first: u64,
    started: Option<Instant>,
    last: Option<Instant>,
}

impl Meter {
    fn add(&mut self, records: u64) {
        if records == 0 {
            self.last.get_or_insert_with(Instant::now);
            return;
        }
        let now = Instant::now();
        if self.started.is_none() {
            (self.started, self.first) = (Some(now), records);
        }
        self.last = Some(now);
        self.seen += records;
    }

    fn is_silent(&self) -> bool {
        self.last.is_some_and(|last| last.elapsed() > SILENCE_LIMIT)
    }

    fn rate(&self) -> f64 {
        match (self.started, self.last) {
            (Some(started), Some(last)) if last > started => {
                (self.seen - self.first) as f64 / last.duration_since(started).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}
