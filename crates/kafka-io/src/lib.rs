//! Consumers, transactions and rebalance life; the only crate that knows Kafka's client, and the only one with unsafe.
//!
//! | module | question |
//! | --- | --- |
//! | [`connection`] | how do we reach the cluster, and which settings may a user not touch? |
//! | [`source`] | which partitions are ours, and what is in them? (a group member that reads in batches) |
//! | [`committer`] | how do outputs and positions become one transaction? |
//! | [`reader`] | what does a log hold up to its stable end? |
//! | [`positions`] | where does a group stand? |
//! | [`admin`] | are the topics there, and are they what we need? |
//! | [`sender`] | how do generators, imports and commands write? |
//! | [`mock`] | what does the demo use where there is no Kafka? |
//!
//! What always holds: threads, no async; every wait has a limit; a call that does not come back ends the process rather
//! than the promise; secrets are never in an error or a debug text. No record is interpreted here: bytes in, bytes out.
//!
//! What is missing on purpose: cooperative rebalancing and the newer group protocol (siblings stay together by the
//! `range` assignment), removal of a member from a group (the client cannot; a scale-in waits for the session to end),
//! access lists, and any broker but Apache Kafka.

// The rim reads clocks: deadlines and watchdogs are its business.
#![allow(clippy::disallowed_methods)]

pub mod admin;
pub mod bare;
pub mod committer;
pub mod connection;
pub mod failpoint;
pub mod fault;
pub mod mock;
pub mod positions;
pub mod reader;
pub mod record;
pub mod sender;
pub mod source;
pub mod statistics;

mod block_on;
mod ends;
mod members;
mod membership;
mod native;
mod producer;
mod topic_id;
mod transaction;
mod watchdog;
mod witness;

pub use admin::{Admin, TopicFacts, TopicPlan};
pub use committer::{Committer, CommitterSettings, EXIT_HUNG, OffsetOut, OutRecord, Outcome, Transaction};
pub use connection::{BATCH_BYTES, Connection};
pub use failpoint::Failpoints;
pub use fault::{Error, Fault};
pub use mock::MockBroker;
pub use positions::{GroupPositions, Positions, Stands};
pub use reader::{From, LogReader, ReadReport, Sign, Until};
pub use record::{PlainRecord, Record, TopicPartition};
pub use sender::{SendReport, Sender};
pub use source::{Batch, Failure, GroupHandle, Life, Membership, SharedBatch, SourceConsumer};
pub use statistics::ClientStatistics;
