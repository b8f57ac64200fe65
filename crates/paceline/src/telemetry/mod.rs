//! What operators see: log lines on stderr and Prometheus metrics, declared here and nowhere else.
//!
//! Hot counters are kept by the workers and flushed once per cut, so no label is looked up per event. Identifiers of
//! users, events, campaigns or accounts are never labels.

mod metrics;
mod words;

pub use metrics::{Metrics, event_word};
pub use words::{ACK_RESULTS, ALERT_KINDS, OTHER, alert_kind, known};

use crate::failure::{Failure, Outcome};
use tracing_subscriber::EnvFilter;

/// Starts logging to stderr, once per process.
pub fn start_logging(level: &str, format: &str) -> Outcome {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::setup(
            format!("log.level {level:?} is no filter: {error}"),
            "use for example info or paceline=debug,warn",
        )
    };
    // Who changed what is told at any level.
    let audit = "audit=info".parse().map_err(|error| unusable(&error))?;
    let filter = EnvFilter::try_new(level).map_err(|error| unusable(&error))?.add_directive(audit);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = if format == "json" { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    started.map_err(|error| Failure::failed(format!("cannot start logging: {error}"), ""))
}
