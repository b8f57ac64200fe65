//! What the journal carries once a minute: sums by the values of dimensions, credits of all attribution models, and
//! statistics of paths.
//!
//! What always holds: rows are additive; adding up the rows of one dimension gives the touches of the campaign, whatever
//! was put together under [`OTHER`]. Codes point into the record's dictionary.
//!
//! What is missing on purpose: clicks called invalid (corrections say the campaign and no dimension), and what an
//! impression's touch was shown on once it is remembered for a conversion ([`NOT_KEPT`]).

use serde::{Deserialize, Serialize};

/// The dimensions that touches are counted by, in the order of their numbers.
pub const DIMENSIONS: [&str; 5] = ["device", "geo", "placement", "creative", "channel"];

/// What had no room of its own.
pub const OTHER: &str = "(other)";

/// Conversions whose touch does not tell: credited to an impression, or to no touch of the claimed campaign.
pub const NOT_KEPT: &str = "(not kept)";

/// Minutes of the grain that [`Marginal::minute`] is rounded down to: every time zone's midnight falls on it.
pub const GRAIN_MINUTES: i64 = 15;

/// The models whose credits come once a minute, so that they can be held side by side; `last` and `linear` come with every
/// cut, too.
pub const MINUTE_MODELS: [&str; 5] = ["last", "first", "linear", "position", "time_decay"];

/// Longest path that is told apart: longer ones count as this long.
pub const PATH_LENGTH_MAX: i64 = 16;

/// The start of the grain that an epoch minute lies in.
pub fn grain_of(minute: i64) -> i64 {
    minute.div_euclid(GRAIN_MINUTES).saturating_mul(GRAIN_MINUTES)
}

/// Number of a dimension's name.
pub fn dimension_named(name: &str) -> Option<usize> {
    DIMENSIONS.iter().position(|known| *known == name)
}

/// Measures of one campaign and value of a dimension, in the three forms of [`crate::journal::Delta`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/journal_record.avsc.
pub struct Marginal {
    pub account: i32,
    pub campaign: i32,
    pub currency: i32,
    pub conversion_type: i32,
    pub dimension: i32,
    pub value: i32,
    pub minute: i64,
    pub touch_minute: i64,
    pub impressions: i64,
    pub clicks: i64,
    pub billable: i64,
    pub spend_micros: i64,
    pub conversions: i64,
    pub value_micros: i64,
    pub last_conversions_micro: i64,
    pub last_value_micros: i64,
}

/// What one attribution model credits a campaign with, at the time of the conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/journal_record.avsc.
pub struct Credit {
    pub account: i32,
    pub campaign: i32,
    pub currency: i32,
    pub conversion_type: i32,
    pub model: i32,
    pub minute: i64,
    pub conversions_micro: i64,
    pub value_micros: i64,
}

/// Paths of an account's conversions: how many went from one campaign to the next (`length` 0; the empty string is the
/// start and the conversion), or how many had so many touches (`from` and `to` empty).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/journal_record.avsc.
pub struct PathCount {
    pub account: i32,
    pub conversion_type: i32,
    pub from: i32,
    pub to: i32,
    pub length: i64,
    pub paths: i64,
}
