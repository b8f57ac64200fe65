//! Stage 1: events of one sibling set to deltas, a pure state machine.
//!
//! A [`SiblingSet`] holds the same-numbered partitions of impressions, clicks and conversions. Its life is a sequence
//! of epochs: [`SiblingSet::open`] with a clock, [`SiblingSet::fold`] for each record, [`SiblingSet::close`] with the
//! cut. What a worker's sets bring in one cut meets in [`EpochSums`] and becomes one journal record a partition
//! ([`split`] where too large).
//!
//! What always holds:
//! - Inside an epoch the order is canonical: impressions, clicks, conversions, each by offset. So neither how the three
//!   topics interleave nor how a host batches them can be seen in a result.
//! - Every verdict of an epoch uses the watermark and the semantics of the epoch before, and the clock of its own.
//! - The same cuts over the same records give the same sums, epochs and snapshot bytes; a snapshot stands at an epoch's
//!   end, and what follows it is the same as if it had never been taken.
//! - Other cuts over the same records give the same sums and credits all the same, as long as events are on time (not
//!   behind the watermark), no conversion's wait runs out and no cap is met.
//! - Every table and buffer has a named cap in [`Semantics`] and a counter of what it refused or evicted.
//! - No user key and no event id outlives the call that brought it: keyed hashes stay.
//!
//! What is missing on purpose: I/O, clocks, threads; bytes of dead letters (the caller has them and writes them); the
//! pausing of siblings that run ahead, and the choice of when to cut (the caller's); specifications of campaigns (the
//! controller's); paths that led to no conversion; what invalid clicks were shown on, which no input says.

mod bytes;
mod counters;
mod credit;
mod cut;
mod dedupe;
mod fold;
mod marginals;
mod minute;
mod names;
mod pending;
mod semantics;
mod set;
mod slots;
mod snapshot;
mod spill;
mod split;
mod sums;
mod table;
mod tally;
mod touches;
mod values;
mod waiting;

pub use bytes::Corrupt;
pub use counters::{Counters, Sizes};
pub use cut::{Closed, CutEnd, CutError, RecordedCut};
pub use fold::{MONEY_MICROS_MAX, RecordMeta, Verdict, reason};
pub use semantics::{IMPRESSIONS_PER_USER_MAX, Semantics};
pub use set::{Identity, SiblingSet};
pub use snapshot::{Chunk, SetSnapshot, StoredChunk};
pub use split::{RECORD_BYTES_MAX, split};
pub use sums::{EpochSums, PartitionSums};
