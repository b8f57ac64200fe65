//! What one conversion may credit: the touches inside the lookbacks, in one fixed order.

use model::time::Millis;

/// What kind of touch it was; a click outranks an impression in [`crate::Last`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TouchKind {
    /// An ad was seen.
    Impression,
    /// An ad was clicked, or an own touch happened.
    Click,
}

/// One touch of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Touch {
    /// When it happened.
    pub time: Millis,
    /// Orders touches of the same instant.
    pub id: u64,
    /// Impression or click.
    pub kind: TouchKind,
    /// What the caller credits (a campaign, a channel); opaque here.
    pub tag: u32,
}

/// How far before a conversion a touch may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookbacks {
    /// For clicks.
    pub click_ms: Millis,
    /// For impressions.
    pub impression_ms: Millis,
}

/// The touches of one conversion, by time, then by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journey {
    touches: Vec<Touch>,
}

impl Journey {
    /// Keeps what lies at or before the conversion and inside its kind's lookback.
    pub fn new(converted_at: Millis, lookbacks: Lookbacks, touches: impl IntoIterator<Item = Touch>) -> Self {
        let inside = |touch: &Touch| {
            let lookback_ms = match touch.kind {
                TouchKind::Click => lookbacks.click_ms,
                TouchKind::Impression => lookbacks.impression_ms,
            };
            touch.time <= converted_at && converted_at.saturating_sub(touch.time) <= lookback_ms
        };
        let mut touches: Vec<Touch> = touches.into_iter().filter(inside).collect();
        touches.sort_unstable();
        Self { touches }
    }

    /// By time, then by id.
    pub fn touches(&self) -> &[Touch] {
        &self.touches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookbacks_are_inclusive_and_nothing_after_the_conversion_counts() {
        let touch = |time, kind| Touch { time, id: 1, kind, tag: 0 };
        let lookbacks = Lookbacks { click_ms: 100, impression_ms: 10 };
        let journey = Journey::new(
            1_000,
            lookbacks,
            [
                touch(1_001, TouchKind::Click),
                touch(1_000, TouchKind::Click),
                touch(990, TouchKind::Impression),
                touch(989, TouchKind::Impression),
                touch(900, TouchKind::Click),
                touch(899, TouchKind::Click),
            ],
        );
        assert_eq!(journey.touches().iter().map(|touch| touch.time).collect::<Vec<_>>(), [900, 990, 1_000]);
    }

    #[test]
    fn extremes_of_time_are_outside_and_do_not_panic() {
        let lookbacks = Lookbacks { click_ms: 100, impression_ms: 10 };
        for (at, time) in [(i64::MAX, i64::MIN), (i64::MIN, i64::MAX)] {
            let touch = Touch { time, id: 0, kind: TouchKind::Click, tag: 0 };
            assert!(Journey::new(at, lookbacks, [touch]).touches().is_empty());
        }
    }
}
