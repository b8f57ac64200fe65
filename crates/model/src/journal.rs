//! The ordered log between the two stages: what one worker's cut brought, and the cuts themselves.

use crate::fact::Fact;
use crate::marginal::{Credit, Marginal, PathCount};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// A half-open range of positions of one source topic-partition: `from` is the next to read before, `to` after.
/// Holes left by control records are normal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/journal_record.avsc.
pub struct Range {
    pub topic: String,
    pub partition: i32,
    pub from: i64,
    pub to: i64,
    /// Event time below which this source has shown everything, `NO_WATERMARK` where it says nothing (control topics).
    pub watermark: Millis,
    /// The owner has read to the stable end and found nothing for the idle time.
    pub idle: bool,
    /// The source's count of cuts, no gaps: tells a repeated cut from the next where no record was read (a cut without
    /// records can still credit conversions that have waited).
    pub epoch: i64,
}

/// Watermark of a source that has none.
pub const NO_WATERMARK: Millis = i64::MIN;

/// Measures of one (account, campaign, currency, conversion type, minute), summed over one cut.
///
/// Rows of three forms: touches (`conversion_type` code 0, the empty string), claimed conversions (type set,
/// `touch_minute` [`NO_TOUCH`]), credits (type and `touch_minute` set; `minute` is the conversion's own).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/journal_record.avsc.
pub struct Delta {
    /// Codes into the record's dictionary.
    pub account: i32,
    pub campaign: i32,
    pub currency: i32,
    pub conversion_type: i32,
    /// Epoch minute of the events' own time.
    pub minute: i64,
    /// Epoch minute of the credited touch, [`NO_TOUCH`] in the other forms.
    pub touch_minute: i64,
    pub impressions: i64,
    pub clicks: i64,
    /// Events that cost something.
    pub billable: i64,
    pub spend_micros: i64,
    /// As claimed by the events' own `campaign_id`.
    pub conversions: i64,
    pub value_micros: i64,
    /// Credits in micro-conversions and micros.
    pub last_conversions_micro: i64,
    pub last_value_micros: i64,
    pub linear_conversions_micro: i64,
    pub linear_value_micros: i64,
}

/// `touch_minute` of a row that is no credit.
pub const NO_TOUCH: i64 = -1;

/// A fact of a control topic with its coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/journal_record.avsc.
pub struct CopiedFact {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Timestamp of the source record.
    pub timestamp: Millis,
    pub record: Fact,
}

/// One worker's cut as one journal partition sees it, possibly empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/journal_record.avsc.
pub struct JournalRecord {
    pub worker: String,
    /// The worker's own count of cuts since it started; for people, not for positions.
    pub epoch: i64,
    /// 0-based part of a split record, and how many there are. Ranges stand in each; apply when all are there.
    pub part: i32,
    pub parts: i32,
    /// The clock when the epoch was opened.
    pub clock: Millis,
    pub ranges: Vec<Range>,
    pub lag_records: i64,
    pub policy_version: i64,
    pub build: String,
    pub dictionary: Vec<String>,
    pub deltas: Vec<Delta>,
    pub facts: Vec<CopiedFact>,
    /// Once a minute.
    #[serde(default)]
    pub marginals: Vec<Marginal>,
    #[serde(default)]
    pub credits: Vec<Credit>,
    #[serde(default)]
    pub paths: Vec<PathCount>,
}

/// Counts of one topic in one cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/epoch.avsc.
pub struct EpochCounts {
    pub accepted: i64,
    pub duplicate: i64,
    pub late: i64,
    pub rejected: i64,
    pub evicted: i64,
}

/// Every cut of a sibling set, in `paceline.epochs`, partition = input partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Documented in schemas/epoch.avsc.
pub struct Epoch {
    pub worker: String,
    pub partition: i32,
    /// No gaps within a partition.
    pub epoch: i64,
    /// Impressions, clicks, conversions.
    pub ranges: Vec<Range>,
    /// Watermark after this cut: the least of the siblings.
    pub watermark: Millis,
    /// The clock when the epoch was opened; verdicts and idle sources use it.
    pub clock: Millis,
    pub policy_version: i64,
    pub impressions: EpochCounts,
    pub clicks: EpochCounts,
    pub conversions: EpochCounts,
    pub lag_records: i64,
    pub build: String,
}
