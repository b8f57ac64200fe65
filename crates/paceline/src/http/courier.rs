//! Brings people's words to the feedback topic, as the shell commands do, on a thread of its own.
//!
//! What always holds: a request never waits for the broker; the queues are bounded and their fullness is told to the caller;
//! halts and releases have a queue and a thread of their own and never wait for decisions on proposals; a halt that cannot
//! be sent is left in a local file, which the service sends on as soon as it can.

use super::audit::Audit;
use crate::commands::{connect, leave_halt_file};
use crate::failure::{Failure, Outcome};
use crate::service::context::Context;
use kafka_io::Sender;
use model::fact::Fact;
use std::sync::Arc;
#[cfg(test)]
use std::sync::mpsc::Receiver;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// A bulk decision of the largest size and some halts beside it.
const WAITING_MAX: usize = 256;
/// As for the shell's halt: after this a person is told that the broker is away.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

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
}

impl Courier {
    /// A courier and where all its parcels come out.
    #[cfg(test)]
    pub fn queue() -> (Self, Receiver<Parcel>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self { halts: sender.clone(), others: sender }, receiver)
    }

    /// Starts the threads that deliver.
    pub fn start(context: &Context, audit: Arc<Audit>) -> Outcome<Self> {
        let halts = Self::deliverer(context, audit.clone(), "http-halts")?;
        Ok(Self { halts, others: Self::deliverer(context, audit, "http-courier")? })
    }

    fn deliverer(context: &Context, audit: Arc<Audit>, name: &str) -> Outcome<SyncSender<Parcel>> {
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
            }
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn(deliver);
        thread.map_err(|error| Failure::failed(format!("cannot start the courier: {error}"), ""))?;
        Ok(queue)
    }

    /// Hands a parcel over; `false` where too many wait.
    pub fn take(&self, parcel: Parcel) -> bool {
        let queue = if matches!(parcel.fact, Fact::Halt(_)) { &self.halts } else { &self.others };
        match queue.try_send(parcel) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
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
