//! How generators, imports and commands write: a plain idempotent producer, spread by murmur2 as every writer agrees.
//!
//! What always holds: a full client makes the caller wait, never lose; every record is delivered or counted as failed.
//! What is missing on purpose: transactions (see [`crate::committer`]).

use crate::connection::Connection;
use crate::fault::{Error, Fault};
use crate::producer::{Outgoing, PolledProducer};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// A plain producer.
pub struct Sender {
    producer: PolledProducer,
    sent: u64,
}

/// What became of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendReport {
    /// Handed over since the start.
    pub sent: u64,
    /// Acknowledged since the start.
    pub delivered: u64,
}

impl Sender {
    /// A producer for this cluster; connects when the first record comes.
    pub fn start(connection: &Connection) -> Result<Sender, Error> {
        let producer = PolledProducer::start(&connection.checked()?.producer(), "starting a producer")?;
        Ok(Sender { producer, sent: 0 })
    }

    /// Hands over one record. Without a partition, murmur2 of the key chooses it (a random one without a key). Waits
    /// while the client is full.
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        timestamp_ms: Option<i64>,
    ) -> Result<(), Error> {
        self.send_with_headers(topic, partition, key, payload, timestamp_ms, &[])
    }

    /// As [`Sender::send`], with headers.
    pub fn send_with_headers(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        timestamp_ms: Option<i64>,
        headers: &[(Cow<'static, str>, Vec<u8>)],
    ) -> Result<(), Error> {
        let record = Outgoing { topic, partition, key, payload, headers, timestamp_ms };
        self.producer
            .send(&record, Instant::now() + FULL_LIMIT)
            .map_err(|error| Error::kafka(format!("writing to {topic}"), &error))?;
        self.sent += 1;
        Ok(())
    }

    /// Waits until all is delivered. An error names the first record that failed since the last flush.
    pub fn flush(&mut self, limit: Duration) -> Result<SendReport, Error> {
        let flushed = self.producer.flush(limit);
        let ledger = self.producer.ledger();
        if let Some((place, code)) = ledger.take_first_failure() {
            let failed = ledger.failed();
            let error = Error::code(format!("writing to {place}"), code);
            let detail = format!("{}; {failed} of {} records failed", error.detail, self.sent);
            return Err(Error { detail, ..error });
        }
        if !flushed {
            let (fault, words) = ledger.witness.trouble().unwrap_or((Fault::Unreachable, String::new()));
            return Err(Error::new(fault, "waiting for acknowledgements", words));
        }
        Ok(SendReport { sent: self.sent, delivered: ledger.delivered() })
    }
}

/// The client gives a record up after 30 s itself; a queue that stays full longer will not empty.
const FULL_LIMIT: Duration = Duration::from_secs(40);
