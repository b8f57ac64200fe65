//! A halt from this machine's folder: what `paceline halt` leaves there when it cannot reach the broker.
//!
//! Only the journal makes a halt a fact, so the service, which may still have the broker, sends it on to the feedback
//! topic and then puts the file away. A file that cannot be read is reported and stays.

use super::context::Context;
use crate::commands::connect;
use crate::failure::{Failure, Outcome};
use kafka_io::Sender;
use model::fact::{Fact, Halt};
use std::path::PathBuf;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// The file that stands for a halt.
pub fn halt_file(state_dir: &std::path::Path) -> PathBuf {
    state_dir.join("halt.json")
}

/// Looks for the file for as long as the service runs.
pub fn start(context: &Context) -> Outcome {
    let context = context.clone();
    let look = move || {
        while !context.stop.is_asked() {
            if let Err(failure) = relay(&context) {
                tracing::error!(%failure, "a halt waits in {}", context.settings.state_dir.display());
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    };
    let started = std::thread::Builder::new().name("halt-relay".into()).spawn(look);
    started.map(|_| ()).map_err(|error| Failure::failed(format!("cannot start the halt relay: {error}"), ""))
}

fn relay(context: &Context) -> Outcome {
    let file = halt_file(&context.settings.state_dir);
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(()) };
    let failed = |what: &dyn std::fmt::Display| Failure::failed(format!("{}: {what}", file.display()), "");
    let halt: Halt = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    let key = halt.campaign_id.clone().or_else(|| halt.account_id.clone()).unwrap_or_else(|| "global".into());
    let payload = context.codec.encode_fact(&Fact::Halt(Box::new(halt))).map_err(|error| failed(&error))?;
    let mut sender = Sender::start(&connect(&context.settings, "halt"))?;
    let topic = &context.settings.topics.feedback;
    sender.send(topic, None, Some(key.as_bytes()), Some(&payload), context.record_timestamp())?;
    sender.flush(SEND_LIMIT)?;
    tracing::warn!("a halt of this machine was sent to {topic}");
    std::fs::rename(&file, file.with_extension("sent")).map_err(|error| failed(&error))
}
