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
mod registry;
mod service;
mod settings;
mod snapshots;
mod telemetry;

use clap::FromArgMatches;
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = cli::handbook::command().get_matches();
    let cli = cli::Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match commands::dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("paceline: {failure}");
            ExitCode::from(failure.kind.exit_code())
        }
    }
}
