//! The workers of a process, started and ended together.

mod already;
#[cfg(test)]
mod asyncapi;
pub mod context;
mod cut;
mod evidence;
mod gauges;
pub mod halt_relay;
mod history;
mod letters;
mod outputs;
mod policy_feed;
mod position_note;
pub mod progress;
mod rebuild;
mod recopy;
pub mod recovery;
mod shadow;
mod sibling;
pub mod snapshot_writer;
mod span;
mod stage1;
pub mod stage2;
mod takeover;
mod tally;
pub mod topology;

pub use policy_feed::{idle_after_ms, semantics};

pub use policy_feed::POLICY_NAME;

use crate::cli::Role;
use crate::failure::{Failure, Kind, Outcome};
use context::Context;
use stage1::Stage1;
use stage2::Stage2;
use std::sync::mpsc::channel;

/// Name, whether the role has it, and its life.
type Stage = (&'static str, bool, fn(Context) -> Outcome);

/// Runs the stages of a role until asked to stop or until one of them ends; then all are asked to stop.
pub fn run(context: &Context, role: Role) -> Outcome {
    halt_relay::start(context)?;
    let (tell, told) = channel();
    let mut running = 0;
    let stages: [Stage; 2] = [
        ("aggregator", role != Role::Controller, |context| Stage1::start(context)?.run()),
        ("controller", role != Role::Aggregator, |context| Stage2::start(context)?.run()),
    ];
    for (name, wanted, stage) in stages {
        if !wanted {
            continue;
        }
        context.published.health.say(name, Some("starting".into()));
        context.metrics.enter(name, "starting");
        let (context, tell) = (context.of_worker(name), tell.clone());
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage(context)));
                let outcome = ended.unwrap_or_else(|_| {
                    Err(Failure::new(
                        Kind::Failed,
                        format!("the {name} panicked"),
                        "start it again, and please report the panic above",
                    ))
                });
                let _ = tell.send((name, outcome));
            })
            .map_err(|error| Failure::failed(format!("cannot start the {name}: {error}"), ""))?;
        running += 1;
    }
    drop(tell);
    let mut result = Ok(());
    for _ in 0..running {
        let Ok((name, outcome)) = told.recv() else { break };
        context.stop.ask();
        if let Err(failure) = outcome {
            if failure.kind == Kind::Stopped {
                tracing::info!(worker = name, %failure, "ended while it was taking over");
                continue;
            }
            context.metrics.enter(name, "failed");
            tracing::error!(worker = name, %failure, "worker ended");
            result = result.and(Err(failure));
        }
    }
    result
}
