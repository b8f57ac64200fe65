//! A producer whose events are served by a thread of its own, and the ledger of what became of its records.
//!
//! The thread matters: a flush, and an abort, wait for delivery reports that somebody must serve meanwhile, and tokens
//! are refreshed only while events are served.

use crate::fault::Error;
use crate::native;
use crate::record::TopicPartition;
use crate::witness::Witness;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What a producer sends, borrowed.
pub(crate) struct Outgoing<'a, H> {
    pub topic: &'a str,
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    pub headers: &'a [(H, Vec<u8>)],
    pub timestamp_ms: Option<i64>,
}

/// A producer with its thread.
pub(crate) struct PolledProducer {
    producer: Arc<BaseProducer<Ledger>>,
    stop: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
}

impl PolledProducer {
    pub fn start(config: &ClientConfig, doing: &str) -> Result<PolledProducer, Error> {
        let producer: BaseProducer<Ledger> =
            config.create_with_context(Ledger::default()).map_err(|error| Error::kafka(doing, &error))?;
        let producer = Arc::new(producer);
        let stop = Arc::new(AtomicBool::new(false));
        let (served, stopped) = (Arc::clone(&producer), Arc::clone(&stop));
        let poller = thread::Builder::new()
            .name("kafka-producer".into())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    served.poll(POLL_SPAN);
                }
            })
            .expect("a process that cannot start a thread cannot run");
        Ok(PolledProducer { producer, stop, poller: Some(poller) })
    }

    pub fn inner(&self) -> &BaseProducer<Ledger> {
        &self.producer
    }

    pub fn ledger(&self) -> &Ledger {
        self.producer.context()
    }

    /// Hands a record to the client; waits while the client is full, up to the deadline.
    pub fn send<H: AsRef<str>>(&self, record: &Outgoing<'_, H>, deadline: Instant) -> Result<(), KafkaError> {
        let mut native = BaseRecord::<[u8], [u8]>::to(record.topic);
        native.partition = record.partition;
        native.key = record.key;
        native.payload = record.payload;
        native.timestamp = record.timestamp_ms;
        if !record.headers.is_empty() {
            native.headers = Some(headers(record.headers));
        }
        loop {
            match self.producer.send(native) {
                Ok(()) => return Ok(()),
                Err((error, back)) if is_full(&error) && Instant::now() < deadline => {
                    native = back;
                    thread::sleep(FULL_PAUSE);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Waits until every record handed over is delivered or failed.
    pub fn flush(&self, limit: Duration) -> bool {
        native::flush(self.producer.client().native_ptr(), limit)
    }
}

impl Drop for PolledProducer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(poller) = self.poller.take() {
            let _ = poller.join();
        }
    }
}

fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

fn headers<H: AsRef<str>>(list: &[(H, Vec<u8>)]) -> OwnedHeaders {
    list.iter().fold(OwnedHeaders::new_with_capacity(list.len()), |headers, (name, value)| {
        headers.insert(Header { key: name.as_ref(), value: Some(value) })
    })
}

/// What became of the records.
#[derive(Default)]
pub(crate) struct Ledger {
    pub witness: Witness,
    delivered: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<(TopicPartition, RDKafkaErrorCode)>>,
}

impl Ledger {
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Acquire)
    }

    /// The first failure since the last call.
    pub fn take_first_failure(&self) -> Option<(TopicPartition, RDKafkaErrorCode)> {
        self.first_failure.lock().expect("no code panics while it holds this lock").take()
    }
}

impl ProducerContext for Ledger {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Release);
            }
            // An abort purges what was not sent: no failure of delivery.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight), _)) => {
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                let place = TopicPartition::new(message.topic(), message.partition());
                self.first_failure
                    .lock()
                    .expect("no code panics while it holds this lock")
                    .get_or_insert((place, code));
                self.failed.fetch_add(1, Ordering::Release);
            }
        }
    }
}

impl ClientContext for Ledger {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.witness.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.witness.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.witness.error(error, reason);
    }
}

/// How long a producer that is told to stop may take to hear it. The binding waits for whole milliseconds and asks without
/// pause for what is left of the last one: the little above them makes the wait end after the span instead of just before
/// it, where a producer with nothing to do took a fiftieth of a core.
const POLL_SPAN: Duration = Duration::from_micros(50_030);
/// The client is full for milliseconds, while a request is under way.
const FULL_PAUSE: Duration = Duration::from_millis(2);
