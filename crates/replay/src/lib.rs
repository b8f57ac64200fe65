//! The same two state machines, over recorded topics and in simulated markets.
//!
//! A [`ClosedLoop`] plays both stages, a market and an ad buyer in virtual time; a [`trial`] scores it. An [`auction_log`]
//! is played again under control. A [`Verifier`] feeds one journal partition through the controller and compares what it
//! decides with what was committed, byte for byte. [`wire`] is the one place where outputs become records, for the service
//! and for this. A [`Part`] replays one journal partition into tables ([`tables`]) and [`Figures`], of which [`summary`]
//! and [`report`] tell, and which [`compare`] lays beside those of another run; a [`sweep`] ranks
//! many policies, and a [`rehearsal`] lays alerts beside known troubles. [`Stages`] makes the journal of recorded
//! events first.
//!
//! What always holds: nothing here can write to a topic; what was committed by another build is reported as not
//! comparable, never as equal or different; a run's files depend on the journal, the build and the policy alone. What
//! is missing on purpose: reading (the caller's), and any claim about what a market would have answered to other
//! commands.

pub mod auction_log;
mod baseline;
mod closed_loop;
pub mod compare;
mod counter;
pub mod extent;
pub mod figures;
mod part;
pub mod rehearsal;
mod replayer;
pub mod report;
pub mod scoreboard;
mod stages;
pub mod summary;
pub mod sweep;
pub mod tables;
pub mod trial;
mod verifier;
mod wire;

pub use closed_loop::{CUT_MS, ClosedLoop, Delays, Watch};
pub use figures::{Begun, EventCounts, Figures};
pub use part::{Part, Telling, complete};
pub use replayer::{GIVEN_VERSION, Replayer};
pub use stages::{Stages, StagesSetup, Take};
pub use verifier::{Committed, Difference, Tally, Verifier, logged};
pub use wire::{OutputTopic, Wire, wire};
