//! Many policies tried on the same markets or the same journal: ranked, and judged by how much the ranking is worth.
//!
//! What always holds: candidates are compared on the same units (markets, or campaigns of a journal), so differences are
//! paired; every unit is split in time, candidates are ranked by the first part alone, and the second one, which nobody
//! has looked at, says what the ranking was worth. The best of many looks better than it is, so how much of the winner's
//! lead luck alone would give is told beside it. Equal input gives equal output: nothing here draws a number.

mod journal;
mod rank;

pub use journal::{Counted, Counts, METRICS as JOURNAL_METRICS, count};
pub use rank::{Interval, Place, Ranking, Scores, rank};
