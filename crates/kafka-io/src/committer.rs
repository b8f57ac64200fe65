//! Outputs and positions as one transaction, on a thread of its own.
//!
//! ```text
//! submit ─► begin ─► produce ─► flush, audit ─► send offsets (fresh group identity) ─► commit ─► Committed
//!                        └────────── refused ──────────┴─► abort ─► Refused, the transaction comes back
//! unknown, fatal, or no answer from the client: Fatal, or the watchdog's hook; the process ends and starts again
//! ```
//!
//! What always holds: at most one transaction is in flight; nothing is guessed about a commit whose outcome is unknown;
//! a producer whose transaction met trouble is replaced before the next one begins, so that a commit request which
//! is still on its way cannot end the wrong transaction (the client lacks the protocol that would prevent it).
//!
//! What is missing on purpose: repair inside the process. A restart reads the truth from the logs; see the design of
//! recovery.

use crate::connection::Connection;
use crate::failpoint::Failpoints;
use crate::fault::{Error, Fault};
use crate::record::TopicPartition;
use crate::source::GroupHandle;
use crate::transaction::Transactor;
pub use crate::watchdog::OnExpiry;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutRecord {
    /// Where to.
    pub topic: Arc<str>,
    /// Always explicit: mixing with a partitioner would break the order.
    pub partition: i32,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// Its time; `None` is the client's clock.
    pub timestamp_ms: Option<i64>,
}

/// A position that is committed with the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetOut {
    /// Of which partition.
    pub place: TopicPartition,
    /// The offset to be read next: last one plus one.
    pub next_offset: i64,
    /// Free text, at most 4096 bytes.
    pub metadata: String,
}

/// What is committed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// In the order in which they are written.
    pub records: Vec<OutRecord>,
    /// May be empty; then no group is asked.
    pub offsets: Vec<OffsetOut>,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Outcome {
    /// Records and positions are there, all of them.
    Committed {
        /// From begin to the acknowledgement.
        took: Duration,
    },
    /// Nothing of it is there; it was aborted. Whoever still owns its partitions may submit it again.
    Refused {
        /// As it was submitted.
        transaction: Transaction,
        /// Why.
        error: Error,
    },
    /// Unknown, or this producer is of no use any more (fenced by its successor): end the process.
    Fatal {
        /// Why.
        error: Error,
    },
}

/// Limits and hooks of a committer.
#[derive(Clone)]
pub struct CommitterSettings {
    /// How long the fencing of a predecessor may take.
    pub start_limit: Duration,
    /// How long one transaction may take, retries included.
    pub transaction_limit: Duration,
    /// How long one call may take before the watchdog takes it for hung. Longer than the other two.
    pub call_limit: Duration,
    /// What the watchdog does then.
    pub on_expiry: OnExpiry,
    /// Spots at which a test lets the process die.
    pub failpoints: Failpoints,
}

/// Exit code of a process whose client hangs: started again, it goes on.
pub const EXIT_HUNG: i32 = 75;

impl Default for CommitterSettings {
    /// Limits that outlive the restart of a broker; the hook ends the process with [`EXIT_HUNG`].
    fn default() -> Self {
        CommitterSettings {
            start_limit: Duration::from_secs(20),
            transaction_limit: Duration::from_secs(20),
            call_limit: Duration::from_secs(30),
            on_expiry: Arc::new(|call| {
                eprintln!("the Kafka client did not come back from {call}: the process ends and must be started again");
                std::process::exit(EXIT_HUNG);
            }),
            failpoints: Failpoints::none(),
        }
    }
}

/// One transactional producer on its own thread.
pub struct Committer {
    to: Option<SyncSender<Transaction>>,
    from: Receiver<Outcome>,
    is_busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts, which fences every predecessor of the same id: its open transaction is aborted before this returns.
    pub fn start(
        connection: &Connection,
        transactional_id: &str,
        group: Option<GroupHandle>,
        settings: CommitterSettings,
    ) -> Result<Committer, Error> {
        if settings.call_limit <= settings.transaction_limit.max(settings.start_limit) {
            let detail = "the watchdog's limit must be longer than those of start and transaction";
            return Err(Error::new(Fault::Settings, "starting a committer", detail));
        }
        let transactor = Transactor::start(connection, transactional_id, group, settings)?;
        let (to, submitted) = sync_channel(1);
        let (tell, from) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("kafka-committer".into())
            .spawn(move || serve(transactor, &submitted, &tell))
            .expect("a process that cannot start a thread cannot run");
        Ok(Committer { to: Some(to), from, is_busy: false, thread: Some(thread) })
    }

    /// Takes a transaction, or gives it back where one is in flight already.
    pub fn submit(&mut self, transaction: Transaction) -> Result<(), Transaction> {
        if self.is_busy {
            return Err(transaction);
        }
        self.is_busy = true;
        let to = self.to.as_ref().expect("the channel lives until the drop");
        // Where the thread has ended after a fatal outcome, the next outcome says so again.
        let _ = to.send(transaction);
        Ok(())
    }

    /// Whether a transaction is in flight.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// What became of the transaction in flight; `None` while there is none, or not yet.
    pub fn outcome(&mut self, wait: Duration) -> Option<Outcome> {
        if !self.is_busy {
            return None;
        }
        let outcome = match self.from.recv_timeout(wait) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Outcome::Fatal {
                error: Error::new(Fault::Other, "committing", "the committer has ended after an earlier failure"),
            },
        };
        self.is_busy = false;
        Some(outcome)
    }
}

impl Drop for Committer {
    /// Waits for the transaction in flight, at most as long as its limits allow.
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut transactor: Transactor, submitted: &Receiver<Transaction>, tell: &SyncSender<Outcome>) {
    while let Ok(transaction) = submitted.recv() {
        let outcome = transactor.commit(transaction);
        let is_last = matches!(outcome, Outcome::Fatal { .. });
        if tell.send(outcome).is_err() || is_last {
            return;
        }
    }
}
