//! Brings people's words to the feedback topic, as the shell commands do, on a thread of its own.
//!
//! What always holds: a request never waits for the broker; the queues are bounded and their fullness is told to the caller;
//! halts and releases have a queue and a thread of their own and never wait for decisions on proposals; a halt that cannot
//! be sent is left in a local file, which the service sends on as soon as it can.

use super::audit::Audit;
use crate::commands::{connect, leave_halt_file};
use crate::failure::{Failure, Outcome};
use crate::service::context::Context;
use crate::service::halt_relay::put_away;
use kafka_io::Sender;
use model::fact::Fact;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(test)]
use std::sync::mpsc::Receiver;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// A bulk decision of the largest size and some halts beside it.
const WAITING_MAX: usize = 256;
/// As for the shell's halt: after this a person is told that the broker is away.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// At the end of the process: one answer of the broker that does not come, and the file that is written then.
const DRAIN_LIMIT: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(12) };

/// One word on its way.
pub struct Parcel {
    /// Of the audit entry.
    pub audit_id: u64,
    /// What is said.
    pub fact: Fact,
    /// Key of the record.
    pub key: String,
}

/// Takes parcels.
#[derive(Clone)]
pub struct Courier {
    halts: SyncSender<Parcel>,
    others: SyncSender<Parcel>,
    /// Parcels that were taken and of which nothing is known yet.
    waiting: Arc<AtomicUsize>,
}

impl Courier {
    /// A courier and where all its parcels come out.
    #[cfg(test)]
    pub fn queue() -> (Self, Receiver<Parcel>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self { halts: sender.clone(), others: sender, waiting: Arc::default() }, receiver)
    }

    /// Starts the threads that deliver.
    pub fn start(context: &Context, audit: Arc<Audit>) -> Outcome<Self> {
        let waiting = Arc::<AtomicUsize>::default();
        let halts = Self::deliverer(context, audit.clone(), waiting.clone(), "http-halts")?;
        let others = Self::deliverer(context, audit, waiting.clone(), "http-courier")?;
        Ok(Self { halts, others, waiting })
    }

    fn deliverer(
        context: &Context,
        audit: Arc<Audit>,
        waiting: Arc<AtomicUsize>,
        name: &str,
    ) -> Outcome<SyncSender<Parcel>> {
        let (queue, parcels) = sync_channel::<Parcel>(WAITING_MAX);
        let context = context.clone();
        let deliver = move || {
            let mut sender = None;
            while let Ok(parcel) = parcels.recv() {
                match deliver(&context, &mut sender, &parcel) {
                    Ok(()) => audit.conclude(parcel.audit_id, "sent", None),
                    Err(failure) => {
                        // A client that failed is not asked again.
                        sender = None;
                        let (outcome, detail) = fall_back(&context, &parcel.fact, &failure);
                        audit.conclude(parcel.audit_id, outcome, Some(detail));
                    }
                }
                waiting.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(deliver);
        thread.map_err(|error| Failure::failed(format!("cannot start the courier: {error}"), ""))?;
        Ok(queue)
    }

    /// Hands a parcel over; `false` where too many wait.
    pub fn take(&self, parcel: Parcel) -> bool {
        let queue = if matches!(parcel.fact, Fact::Halt(_)) { &self.halts } else { &self.others };
        self.waiting.fetch_add(1, Ordering::SeqCst);
        match queue.try_send(parcel) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                false
            }
        }
    }

    /// Waits until all that was taken is delivered or has fallen back, within a limit.
    pub fn drain(&self) {
        let until = Instant::now() + DRAIN_LIMIT;
        while self.waiting.load(Ordering::SeqCst) > 0 {
            if Instant::now() >= until {
                let waiting = self.waiting.load(Ordering::SeqCst);
                return tracing::error!(
                    waiting,
                    "people's words were not delivered before the end; the audit names them"
                );
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

fn deliver(context: &Context, held: &mut Option<Sender>, parcel: &Parcel) -> Outcome {
    let payload = context.codec.encode_fact(&parcel.fact).map_err(|error| {
        Failure::failed(format!("encoding a person's word: {error}"), "this is a defect; please report it")
    })?;
    let sender = match held {
        Some(sender) => sender,
        None => held.insert(Sender::start(&connect(&context.settings, "api"))?),
    };
    let topic = &context.settings.topics.feedback;
    sender.send(topic, None, Some(parcel.key.as_bytes()), Some(&payload), context.record_timestamp())?;
    sender.flush(ANSWER_LIMIT)?;
    if let Fact::Halt(halt) = &parcel.fact
        && halt.action == "release"
    {
        put_away(&context.settings.state_dir, halt);
    }
    Ok(())
}

/// A release needs the broker, and so does a decision; a halt must not.
fn fall_back(context: &Context, fact: &Fact, failure: &Failure) -> (&'static str, String) {
    tracing::error!(%failure, "a person's word could not be sent");
    match fact {
        Fact::Halt(halt) if halt.action == "set" => match leave_halt_file(&context.settings, halt) {
            Ok(()) => ("left_in_file", failure.to_string()),
            Err(worse) => ("failed", format!("{failure}; {worse}")),
        },
        _ => ("failed", failure.to_string()),
    }
}
