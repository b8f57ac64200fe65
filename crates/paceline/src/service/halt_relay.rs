//! Halts from this machine's folder: what `paceline halt` and the API leave there when they cannot reach the broker.
//!
//! Only the journal makes a halt a fact, so the service, which may still have the broker, sends it on to the feedback
//! topic and then puts its file away. Each halt has a file of its own, so none takes the place of another. A file that
//! cannot be read is reported, stays, and holds up no other.

use super::context::Context;
use crate::commands::connect;
use crate::failure::{Failure, Outcome};
use kafka_io::Sender;
use model::fact::{Fact, Halt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// A file for a halt, which no other halt has; in the order of their names they are in the order of their times.
pub fn halt_file(state_dir: &Path, halt: &Halt) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    state_dir.join(format!("halt-{:020}-{}-{number}.json", halt.issued_at.max(0), std::process::id()))
}

/// Halts that wait to be sent, the oldest first.
fn waiting(state_dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(state_dir) else { return Vec::new() };
    let is_halt = |name: &str| name.starts_with("halt") && name.ends_with(".json");
    let mut files: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_halt))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

/// Puts away the halts of this machine that a release speaks of: sent later, they would stop what was let go.
pub fn put_away(state_dir: &Path, release: &Halt) -> usize {
    let scope = |halt: &Halt| (halt.scope.clone(), halt.account_id.clone(), halt.campaign_id.clone());
    let is_released = |file: &PathBuf| {
        let halt = std::fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<Halt>(&text).ok());
        halt.is_some_and(|halt| scope(&halt) == scope(release) && halt.issued_at <= release.issued_at)
    };
    let released = waiting(state_dir).into_iter().filter(is_released);
    released.filter(|file| std::fs::rename(file, file.with_extension("released")).is_ok()).count()
}

/// Looks for files for as long as the service runs.
pub fn start(context: &Context) -> Outcome {
    let context = context.clone();
    let look = move || {
        while !context.stop.is_asked() {
            for file in waiting(&context.settings.state_dir) {
                if let Err(failure) = relay(&context, &file) {
                    tracing::error!(%failure, "a halt waits in {}", file.display());
                }
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    };
    let started = std::thread::Builder::new().name("halt-relay".into()).spawn(look);
    started.map(|_| ()).map_err(|error| Failure::failed(format!("cannot start the halt relay: {error}"), ""))
}

fn relay(context: &Context, file: &Path) -> Outcome {
    let failed = |what: &dyn std::fmt::Display| Failure::failed(format!("{}: {what}", file.display()), "");
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    let halt: Halt = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    let key = halt.campaign_id.clone().or_else(|| halt.account_id.clone()).unwrap_or_else(|| "global".into());
    let payload = context.codec.encode_fact(&Fact::Halt(Box::new(halt))).map_err(|error| failed(&error))?;
    let mut sender = Sender::start(&connect(&context.settings, "halt"))?;
    let topic = &context.settings.topics.feedback;
    sender.send(topic, None, Some(key.as_bytes()), Some(&payload), context.record_timestamp())?;
    sender.flush(SEND_LIMIT)?;
    tracing::warn!("a halt of this machine was sent to {topic}");
    std::fs::rename(file, file.with_extension("sent")).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halts_of_one_instant_wait_in_two_files_the_older_first() {
        let folder = std::env::temp_dir().join(format!("paceline-halts-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let halt = |issued_at| Halt { issued_at, ..Halt::default() };
        let files = [halt(9), halt(9), halt(10)].map(|halt| halt_file(&folder, &halt));
        files.iter().rev().for_each(|file| std::fs::write(file, "{}").unwrap());
        std::fs::write(folder.join("halt-1.sent"), "{}").unwrap();
        assert_eq!(waiting(&folder), files);
        let _ = std::fs::remove_dir_all(folder);
    }

    #[test]
    fn a_release_puts_away_the_older_halts_of_its_scope_that_were_not_sent() {
        let folder = std::env::temp_dir().join(format!("paceline-released-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let word = |account: Option<&str>, issued_at| Halt {
            scope: if account.is_some() { "account" } else { "global" }.into(),
            account_id: account.map(str::to_owned),
            issued_at,
            ..Halt::default()
        };
        let halts = [word(None, 5), word(Some("a"), 6), word(None, 10)];
        let files = halts.map(|halt| {
            let file = halt_file(&folder, &halt);
            std::fs::write(&file, serde_json::json!(halt).to_string()).unwrap();
            file
        });
        assert_eq!(put_away(&folder, &word(None, 9)), 1);
        assert_eq!(waiting(&folder), files[1..], "another scope's, and a newer one, are sent");
        let _ = std::fs::remove_dir_all(folder);
    }
}
