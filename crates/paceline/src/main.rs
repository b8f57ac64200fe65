//! The service and its commands.
//!
//! This crate is the rim: it reads clocks, files, sockets and Kafka, and feeds two pure state machines. What always
//! holds: one loop per worker, one Kafka transaction per cut, and on anything unknown the process ends and starts again
//! from the logs (crash-only).

// The rim is where clocks are read.
#![allow(clippy::disallowed_methods)]

mod cli;
mod clock;
mod commands;
mod failure;
mod http;
mod published;
mod service;
mod settings;
mod snapshots;
mod telemetry;

use clap::Parser;
use std::process::ExitCode;

/// Also for the C client: what its threads allocate is freed on ours, and the system's allocator pays for that with locks
/// and with page faults at each growth of a table. Without huge pages: each large buffer of the client would be cleared
/// by 2 MB anew, which took a third of all time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("paceline: {failure}");
            ExitCode::from(failure.kind.exit_code())
        }
    }
}
