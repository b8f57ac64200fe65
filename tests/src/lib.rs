//! Shared tools of the system tests.
//!
//! The stories in `tests/` run the real binary against a real Kafka that `tests/run` fetches.
//!
//! | module | question |
//! | --- | --- |
//! | [`broker`] | where does a real Kafka come from? |
//! | [`deployment`] | which topics, group and folders does one story have to itself? |
//! | [`service`] | how is the binary started, killed and stopped? |
//! | [`logs`] | what do the topics hold, and how does a story write to them? |
//! | [`avro`] | what does a record say? |
//! | [`recount`], [`truth`] | what should have been counted? |
//! | [`kpis`], [`journal`] | what was counted? |
//! | [`watcher`] | what does a subscriber see while faults happen? |
//! | [`snapshots`] | what is in a folder of snapshots? |
//! | [`chance`], [`wait`], [`http`] | seeds, deadlines, questions over HTTP |
//!
//! What always holds: what checks the service shares no code with it. Topics are read with the plain client, records
//! are decoded by `apache-avro` from `schemas/`, sums are made here.

// The rim of the tests: deadlines are read from a clock.
#![allow(clippy::disallowed_methods)]

pub mod avro;
pub mod broker;
pub mod chance;
pub mod deployment;
pub mod http;
pub mod journal;
pub mod kpis;
pub mod logs;
pub mod recount;
pub mod service;
pub mod snapshots;
pub mod truth;
pub mod wait;
pub mod watcher;

pub use broker::Broker;
pub use chance::Chance;
pub use deployment::Deployment;
pub use service::Service;
