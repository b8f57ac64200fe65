//! What happened in one epoch beside the counts of its Epoch record, and how much is held: for metrics.

/// Counts of one epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Impressions, clicks, conversions whose record key belongs to another partition. Of impressions one in sixteen is
    /// tried.
    pub misplaced: [i64; 3],
    /// Accepted although the dedupe memory no longer reaches back to them.
    pub dedupe_unknown: [i64; 3],
    /// Touches of a user that came behind the touch watermark: a conversion may have been credited without them.
    pub touches_late: i64,
    /// Touches that no conversion will find because the table of names was full. They are counted all the same.
    pub touches_unnamed: i64,
    /// Touches, once for each dimension, whose value went under the word for all others because its campaign had too many.
    pub values_merged: i64,
    /// Clicks whose conversions will stand under no value, because the table of values was full.
    pub clicks_without_values: i64,
    /// Users forgotten at the cap.
    pub users_evicted: i64,
    /// Clicks forgotten at the cap.
    pub clicks_evicted: i64,
    /// Clicks that gave way to newer ones of their user: but for conversions that are still to be credited, forgotten.
    pub clicks_of_user_evicted: i64,
    /// Touches beyond what is remembered of their user that had to go although a conversion on time could still have
    /// needed them: its credit may depend on where the cuts fell.
    pub touches_spilled_out: i64,
    /// Conversions credited, to whatever touches.
    pub conversions_credited: i64,
    /// Conversions for which nothing was found: no credit; they keep the campaign they claim.
    pub conversions_unmatched: i64,
    /// Of both, those whose wait ended before the touch watermark passed them.
    pub conversions_waited: i64,
    /// Of both, those that had to go because too many waited.
    pub conversions_crowded: i64,
}

/// What a set holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Users whose impressions are remembered.
    pub viewers: usize,
    /// Users whose clicks are remembered.
    pub clickers: usize,
    /// Clicks that a conversion can name.
    pub clicks: usize,
    /// Touches beyond what is remembered of their user, kept for conversions that may need them.
    pub touches_spilled: usize,
    /// Event ids remembered.
    pub dedupe_entries: usize,
    /// Conversions that wait for the touch watermark.
    pub pending: usize,
    /// (account, campaign, currency) in use.
    pub names: usize,
}
