//! The calls of one transaction, in their order, and the one table that says what an error means.

use crate::committer::{CommitterSettings, OffsetOut, Outcome, Transaction};
use crate::connection::Connection;
use crate::failpoint;
use crate::fault::{Error, Fault};
use crate::producer::{Outgoing, PolledProducer};
use crate::source::GroupHandle;
use crate::watchdog::Watchdog;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The same call again, until the deadline.
    Retry,
    /// Abort; the same transaction may be tried again.
    Abort,
    /// This producer is of no use any more, or nobody knows.
    Fatal,
}

/// The one table. What is not known to be harmless is fatal.
fn judge(error: &KafkaError) -> Verdict {
    match error {
        KafkaError::Transaction(inner) if inner.is_fatal() => Verdict::Fatal,
        KafkaError::Transaction(inner) if inner.txn_requires_abort() => Verdict::Abort,
        KafkaError::Transaction(inner) if inner.is_retriable() => Verdict::Retry,
        KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Verdict::Retry,
        KafkaError::MessageProduction(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced) => Verdict::Fatal,
        // Refused by the client before it was sent: too large, an unknown partition, or no room in time.
        KafkaError::MessageProduction(_) => Verdict::Abort,
        _ => Verdict::Fatal,
    }
}

/// Why an attempt did not commit.
enum Failed {
    Abort(Error),
    Fatal(Error),
}

/// A transactional producer and the rules of its use.
pub(crate) struct Transactor {
    config: ClientConfig,
    id: String,
    producer: Option<PolledProducer>,
    group: Option<GroupHandle>,
    settings: CommitterSettings,
    watchdog: Watchdog,
    /// A commit this slow was retried inside the client, without a word.
    slow: Duration,
    /// The last transaction met trouble: replace the producer before the next.
    is_doubtful: bool,
}

impl Transactor {
    pub fn start(
        connection: &Connection,
        id: &str,
        group: Option<GroupHandle>,
        settings: CommitterSettings,
    ) -> Result<Transactor, Error> {
        let connection = connection.checked()?;
        let watchdog = Watchdog::start(settings.call_limit, Arc::clone(&settings.on_expiry));
        let mut transactor = Transactor {
            config: connection.transactional(id),
            id: id.to_owned(),
            producer: None,
            group,
            settings,
            watchdog,
            slow: Duration::from_millis(connection.timeouts()?.socket_ms),
            is_doubtful: false,
        };
        transactor.renew()?;
        Ok(transactor)
    }

    pub fn commit(&mut self, transaction: Transaction) -> Outcome {
        if self.is_doubtful
            && let Err(error) = self.renew()
        {
            return Outcome::Fatal { error };
        }
        let started = Instant::now();
        let deadline = started + self.settings.transaction_limit;
        let lost_before = self.producer().ledger().witness.transport_errors();
        let attempt = self.attempt(&transaction, deadline);
        let took = started.elapsed();
        self.is_doubtful |= took >= self.slow || self.producer().ledger().witness.transport_errors() != lost_before;
        match attempt {
            Ok(()) => {
                self.settings.failpoints.pass(failpoint::AFTER_COMMIT);
                Outcome::Committed { took }
            }
            Err(Failed::Fatal(error)) => Outcome::Fatal { error },
            Err(Failed::Abort(error)) => match self.abort() {
                Ok(()) => {
                    // After a failed delivery the client renews its own epoch, and can stand still over it.
                    self.is_doubtful = true;
                    Outcome::Refused { transaction, error }
                }
                Err(Failed::Abort(abort) | Failed::Fatal(abort)) => {
                    let detail = format!("after {error}: {}", abort.detail);
                    Outcome::Fatal { error: Error { detail, ..abort } }
                }
            },
        }
    }

    /// A new producer of the same id, which fences the old one and whatever of it is still on its way.
    fn renew(&mut self) -> Result<(), Error> {
        let doing = format!("fencing predecessors of {}", self.id);
        self.producer = None;
        self.producer = Some(PolledProducer::start(&self.config, &doing)?);
        let deadline = Instant::now() + self.settings.start_limit;
        let answer =
            self.call("init_transactions", deadline, |producer, left| producer.inner().init_transactions(left));
        self.is_doubtful = false;
        answer.map_err(|failed| match failed {
            // The client says "timed out"; its connections know why.
            Failed::Abort(error) | Failed::Fatal(error) => match self.producer().ledger().witness.trouble() {
                Some((fault, words)) if error.fault == Fault::Unreachable => Error::new(fault, doing, words),
                _ => Error { doing, ..error },
            },
        })
    }

    fn attempt(&mut self, transaction: &Transaction, deadline: Instant) -> Result<(), Failed> {
        if let Some((code, words)) = self.producer().inner().client().fatal_error() {
            return Err(Failed::Fatal(Error { detail: words, ..Error::code("beginning a transaction", code) }));
        }
        self.call("begin_transaction", deadline, |producer, _| producer.inner().begin_transaction())?;
        self.produce(transaction, deadline)?;
        self.settings.failpoints.pass(failpoint::AFTER_PRODUCE);
        if !transaction.offsets.is_empty() {
            self.send_offsets(&transaction.offsets, deadline)?;
        }
        self.settings.failpoints.pass(failpoint::AFTER_SEND_OFFSETS);
        if self.settings.failpoints.is_due(failpoint::DURING_COMMIT) {
            die_soon();
        }
        let commit =
            self.call("commit_transaction", deadline, |producer, left| producer.inner().commit_transaction(left));
        commit.map_err(|failed| match failed {
            // The deadline is over and the commit may be under way: nobody knows, so nobody guesses.
            Failed::Abort(error) if Instant::now() >= deadline => Failed::Fatal(error),
            other => other,
        })
    }

    /// Hands over all records, waits for all reports, and counts: every record must be acknowledged.
    fn produce(&mut self, transaction: &Transaction, deadline: Instant) -> Result<(), Failed> {
        let producer = self.producer();
        let ledger = producer.ledger();
        ledger.take_first_failure();
        let (delivered, failed) = (ledger.delivered(), ledger.failed());
        for record in &transaction.records {
            let outgoing = Outgoing {
                topic: &record.topic,
                partition: Some(record.partition),
                key: record.key.as_deref(),
                payload: record.payload.as_deref(),
                headers: &record.headers,
                timestamp_ms: record.timestamp_ms,
            };
            producer.send(&outgoing, deadline).map_err(|error| {
                let told = Error::kafka(format!("writing to {}/{}", record.topic, record.partition), &error);
                if judge(&error) == Verdict::Fatal { Failed::Fatal(told) } else { Failed::Abort(told) }
            })?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let flushed = self.watchdog.guard("flush", || producer.flush(left));
        let missing =
            transaction.records.len() as u64 - (ledger.delivered() - delivered).min(transaction.records.len() as u64);
        if flushed && missing == 0 && ledger.failed() == failed {
            return Ok(());
        }
        let doing = "waiting for acknowledgements";
        let error = match (ledger.take_first_failure(), ledger.witness.trouble()) {
            (Some((place, code)), _) => Error::code(format!("writing to {place}"), code),
            (None, Some((fault, words))) => Error::new(fault, doing, words),
            (None, None) => Error::new(Fault::Unsettled, doing, format!("{missing} records are not acknowledged")),
        };
        Err(Failed::Abort(error))
    }

    fn send_offsets(&mut self, offsets: &[OffsetOut], deadline: Instant) -> Result<(), Failed> {
        let doing = "adding positions to the transaction";
        let list = position_list(offsets).map_err(|error| Failed::Abort(Error::kafka(doing, &error)))?;
        let metadata = self.group.as_ref().and_then(GroupHandle::metadata);
        let Some(metadata) = metadata else {
            return Err(Failed::Abort(Error::new(Fault::Unsettled, doing, "we are no member of the group now")));
        };
        self.call("send_offsets_to_transaction", deadline, |producer, left| {
            producer.inner().send_offsets_to_transaction(&list, &metadata, left)
        })
    }

    fn abort(&mut self) -> Result<(), Failed> {
        let deadline = Instant::now() + self.settings.transaction_limit;
        self.call("abort_transaction", deadline, |producer, left| producer.inner().abort_transaction(left))
    }

    /// One call under guard, again and again while it may be retried and there is time.
    fn call(
        &mut self,
        name: &'static str,
        deadline: Instant,
        call: impl Fn(&PolledProducer, Duration) -> KafkaResult<()>,
    ) -> Result<(), Failed> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Err(error) = self.watchdog.guard(name, || call(self.producer(), left)) else { return Ok(()) };
            let verdict = judge(&error);
            tracing::debug!(target: "kafka", call = name, ?verdict, "{error}");
            match verdict {
                Verdict::Retry if Instant::now() < deadline => {
                    self.is_doubtful = true;
                    thread::sleep(RETRY_PAUSE);
                }
                Verdict::Retry | Verdict::Abort => return Err(Failed::Abort(Error::kafka(name, &error))),
                Verdict::Fatal => return Err(Failed::Fatal(Error::kafka(name, &error))),
            }
        }
    }

    fn producer(&self) -> &PolledProducer {
        self.producer.as_ref().expect("there is a producer from the first renewal on")
    }
}

fn position_list(offsets: &[OffsetOut]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for offset in offsets {
        let mut element = list.add_partition(&offset.place.topic, offset.place.partition);
        element.set_offset(Offset::Offset(offset.next_offset))?;
        element.set_metadata(&offset.metadata);
    }
    Ok(list)
}

/// Ends the process while the commit is under way: a loopback commit takes about a millisecond.
fn die_soon() {
    thread::spawn(|| {
        thread::sleep(Duration::from_micros(500));
        eprintln!("failpoint {}: the process ends here", failpoint::DURING_COMMIT);
        std::process::abort();
    });
}

/// A coordinator that moves answers "again" at once, for tens of milliseconds.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_harmless_is_fatal() {
        assert_eq!(judge(&KafkaError::Canceled), Verdict::Fatal);
        assert_eq!(judge(&KafkaError::Global(RDKafkaErrorCode::InvalidTransactionalState)), Verdict::Fatal);
        assert_eq!(judge(&KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)), Verdict::Fatal);
        assert_eq!(judge(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)), Verdict::Abort);
        assert_eq!(judge(&KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)), Verdict::Retry);
    }
}
