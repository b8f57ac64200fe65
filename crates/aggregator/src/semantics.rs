//! What the fold means: horizons, lookbacks, waits and caps, versioned by the policy that sets them.
//!
//! All of it decides verdicts, so all of it is state: adopted at an epoch's end and part of every snapshot.

use crate::bytes::{Corrupt, Reader, Writer};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};

/// Semantic configuration of stage 1; the default is the design's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Semantics {
    /// Policy version; the Epoch record that adopts it names it.
    pub version: i64,
    /// How long the watermark waits for events that are out of order.
    pub allowed_delay_ms: Millis,
    /// How long a conversion waits for the touch watermark before it is credited with what is known.
    pub conversion_wait_ms: Millis,
    /// How far before a conversion a click may lie.
    pub click_lookback_ms: Millis,
    /// How far before a conversion an impression may lie.
    pub impression_lookback_ms: Millis,
    /// Newest impressions remembered of a user, at most [`IMPRESSIONS_PER_USER_MAX`].
    pub impressions_per_user: i64,
    /// Newest clicks remembered of a user. A person clicks a few ads a month; a robot must not fill the table.
    pub clicks_per_user_max: i64,
    /// How long an event id is remembered, in event time: impressions, clicks, conversions.
    pub dedupe_horizons_ms: [Millis; 3],
    /// Event ids remembered; at 8 B each and three quarters load, 2^24 are 180 to 360 MB.
    pub dedupe_entries_max: i64,
    /// How far an event may lie ahead of min(record timestamp, clock).
    pub future_max_ms: Millis,
    /// How far an event may lie behind it.
    pub age_max_ms: Millis,
    /// Users whose impressions are remembered, at 64 B a slot.
    pub users_max: i64,
    /// Clicks that can be named by a conversion, and users whose clicks are remembered.
    pub clicks_max: i64,
    /// Conversions that wait for the touch watermark; above it the oldest are credited at once.
    pub pending_max: i64,
    /// Clicks and conversions that wait for the epoch's end; above it the fold asks for an early cut.
    pub buffer_events_max: i64,
    /// Bytes of their names.
    pub buffer_bytes_max: i64,
    /// Distinct (account, campaign, currency) that touches may point to.
    pub names_max: i64,
    /// Distinct (campaign, minute) of one epoch beside each campaign's newest; above it the fold asks for an early cut.
    pub epoch_rows_max: i64,
}

/// What a slot of the users' table has room for: it makes the slot one cache line.
pub const IMPRESSIONS_PER_USER_MAX: usize = 4;

impl Default for Semantics {
    fn default() -> Self {
        Self {
            version: 0,
            allowed_delay_ms: 5 * SECOND_MS,
            conversion_wait_ms: 10 * SECOND_MS,
            click_lookback_ms: 30 * DAY_MS,
            impression_lookback_ms: DAY_MS,
            impressions_per_user: 4,
            clicks_per_user_max: 16,
            dedupe_horizons_ms: [10 * MINUTE_MS, 24 * HOUR_MS, 30 * DAY_MS],
            dedupe_entries_max: 1 << 24,
            future_max_ms: 5 * MINUTE_MS,
            age_max_ms: 90 * DAY_MS,
            users_max: 1 << 22,
            clicks_max: 1 << 22,
            pending_max: 1 << 18,
            buffer_events_max: 1 << 17,
            buffer_bytes_max: 1 << 24,
            names_max: 1 << 18,
            epoch_rows_max: 1 << 18,
        }
    }
}

impl Semantics {
    /// Newest impressions of a user that are remembered, and that a conversion may credit.
    pub(crate) fn impressions_remembered(&self) -> usize {
        self.impressions_per_user.clamp(1, IMPRESSIONS_PER_USER_MAX as i64) as usize
    }

    /// Newest clicks of a user that are remembered, and that a conversion may credit beside the one it names.
    pub(crate) fn clicks_remembered(&self) -> usize {
        self.clicks_per_user_max.max(1) as usize
    }

    fn fields(&mut self) -> [&mut i64; 20] {
        let [impressions, clicks, conversions] = &mut self.dedupe_horizons_ms;
        [
            &mut self.version,
            &mut self.allowed_delay_ms,
            &mut self.conversion_wait_ms,
            &mut self.click_lookback_ms,
            &mut self.impression_lookback_ms,
            &mut self.impressions_per_user,
            &mut self.clicks_per_user_max,
            impressions,
            clicks,
            conversions,
            &mut self.dedupe_entries_max,
            &mut self.future_max_ms,
            &mut self.age_max_ms,
            &mut self.users_max,
            &mut self.clicks_max,
            &mut self.pending_max,
            &mut self.buffer_events_max,
            &mut self.buffer_bytes_max,
            &mut self.names_max,
            &mut self.epoch_rows_max,
        ]
    }

    pub(crate) fn write(mut self, out: &mut Writer) {
        for field in self.fields() {
            out.i64(*field);
        }
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let mut semantics = Self::default();
        for field in semantics.fields() {
            *field = input.i64()?;
        }
        Ok(semantics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_reads_back() {
        let mut semantics = Semantics::default();
        for (at, field) in semantics.fields().into_iter().enumerate() {
            *field = at as i64;
        }
        let mut out = Writer::default();
        semantics.write(&mut out);
        assert_eq!(out.0.len(), size_of::<Semantics>());
        assert_eq!(Semantics::read(&mut Reader::new(&out.0)), Ok(semantics));
    }
}
