//! How far a source, and several sources together, have shown everything.
//!
//! What always holds: a watermark never goes back; it never passes the clock minus the allowed delay, nor the newest
//! record's own timestamp minus it, so one event from the future cannot move it. Idle is an argument: only who has read
//! to the end of a source may say it. What is missing on purpose: lateness (see [`crate::panes`]) and any clock.

/// UTC epoch milliseconds.
type Millis = i64;

/// Where a source stands that has shown nothing; it holds back every source it is combined with.
pub const UNKNOWN: Millis = Millis::MIN;

/// The watermark of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceWatermark {
    newest: Millis,
    at: Millis,
}

impl SourceWatermark {
    /// A source that has shown nothing.
    pub const fn new() -> Self {
        Self { newest: UNKNOWN, at: UNKNOWN }
    }

    /// A source as [`Self::parts`] described it.
    pub const fn from_parts(newest: Millis, at: Millis) -> Self {
        Self { newest, at }
    }

    /// The newest instant seen and the watermark, for a snapshot.
    pub const fn parts(self) -> (Millis, Millis) {
        (self.newest, self.at)
    }

    /// Takes note of one event; the watermark itself moves only in [`Self::advance`], so that all verdicts between two
    /// cuts see the same one.
    pub fn observe(&mut self, event_time: Millis, record_time: Millis, clock: Millis) {
        self.newest = self.newest.max(event_time.min(record_time).min(clock));
    }

    /// Moves up to what was seen, less the allowed delay; an idle source stands at the clock less the delay.
    pub fn advance(&mut self, clock: Millis, delay_ms: Millis, idle: bool) {
        let newest = if idle { self.newest.max(clock) } else { self.newest };
        if newest != UNKNOWN {
            self.at = self.at.max(newest.saturating_sub(delay_ms));
        }
    }

    /// Event time below which the source has shown everything, [`UNKNOWN`] before its first event.
    pub const fn at(self) -> Millis {
        self.at
    }
}

impl Default for SourceWatermark {
    fn default() -> Self {
        Self::new()
    }
}

/// The watermark of sources together: the least of them, [`UNKNOWN`] of none.
pub fn least(sources: &[SourceWatermark]) -> Millis {
    sources.iter().map(|source| source.at).min().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_future_event_moves_it_no_further_than_clock_and_record() {
        let mut source = SourceWatermark::new();
        source.observe(9_000_000, 50_000, 60_000);
        source.advance(60_000, 5_000, false);
        assert_eq!(source.at(), 45_000);
        source.observe(9_000_000, 9_000_000, 60_000);
        source.advance(60_000, 5_000, false);
        assert_eq!(source.at(), 55_000);
    }

    #[test]
    fn a_silent_source_holds_the_others_and_an_idle_one_does_not() {
        let (mut busy, mut quiet) = (SourceWatermark::new(), SourceWatermark::new());
        busy.observe(100_000, 100_000, 100_000);
        busy.advance(100_000, 5_000, false);
        quiet.advance(100_000, 5_000, false);
        assert_eq!(least(&[busy, quiet]), UNKNOWN);
        quiet.advance(100_000, 5_000, true);
        assert_eq!(least(&[busy, quiet]), 95_000);
        assert_eq!(least(&[]), UNKNOWN);
    }

    #[test]
    fn idleness_ends_without_going_back() {
        let mut source = SourceWatermark::new();
        source.advance(100_000, 5_000, true);
        source.observe(80_000, 101_000, 101_000);
        source.advance(101_000, 5_000, false);
        assert_eq!(source.at(), 95_000);
        source.observe(101_000, 101_000, 102_000);
        source.advance(102_000, 5_000, false);
        assert_eq!(source.at(), 96_000);
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_never_passes_the_greatest_clock(
            steps in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>(), any::<bool>()), 0..50),
        ) {
            let (mut source, mut before, mut clock_max) = (SourceWatermark::new(), UNKNOWN, i64::MIN);
            for (event_time, record_time, clock, idle) in steps {
                source.observe(event_time, record_time, clock);
                source.advance(clock, 0, idle);
                clock_max = clock_max.max(clock);
                prop_assert!(source.at() >= before);
                prop_assert!(source.at() <= clock_max);
                before = source.at();
            }
        }
    }
}
