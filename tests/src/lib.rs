//! Shared tools of the system tests.
//!
//! The stories in `tests/` run against a real Kafka that `tests/run` fetches; see [`broker`].

// The rim of the tests: deadlines are read from a clock.
#![allow(clippy::disallowed_methods)]

pub mod broker;

pub use broker::Broker;
