//! All to the last click; where there is none, to the last impression.

use crate::{Model, Touch, TouchKind};

/// A click outranks every impression, also a later one: it says interest, an impression says presence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last;

impl Last {
    /// Which touch it credits; `None` where there is none.
    pub fn chosen(touches: &[Touch]) -> Option<usize> {
        touches.iter().rposition(|touch| touch.kind == TouchKind::Click).or(touches.len().checked_sub(1))
    }
}

impl Model for Last {
    fn name(&self) -> &'static str {
        "last"
    }

    fn weights(&self, touches: &[Touch]) -> Vec<u64> {
        let chosen = Self::chosen(touches);
        (0..touches.len()).map(|at| u64::from(Some(at) == chosen)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Journey, Lookbacks};

    const LOOKBACKS: Lookbacks = Lookbacks { click_ms: 1_000, impression_ms: 100 };

    fn touch(time: i64, kind: TouchKind, id: u64) -> Touch {
        Touch { time, id, kind, tag: 0 }
    }

    #[test]
    fn a_click_outranks_a_later_impression() {
        let journey =
            Journey::new(1_000, LOOKBACKS, [touch(990, TouchKind::Impression, 1), touch(500, TouchKind::Click, 2)]);
        assert_eq!(Last.credits(&journey, 10), [10, 0]);
    }

    #[test]
    fn a_click_outside_its_lookback_leaves_the_last_impression() {
        let journey = Journey::new(
            2_000,
            LOOKBACKS,
            [
                touch(999, TouchKind::Click, 1),
                touch(1_950, TouchKind::Impression, 2),
                touch(1_960, TouchKind::Impression, 3),
            ],
        );
        assert_eq!(Last.credits(&journey, 10), [0, 10]);
    }

    #[test]
    fn of_two_clicks_in_one_instant_the_greater_id_is_last() {
        let journey = Journey::new(10, LOOKBACKS, [touch(5, TouchKind::Click, 9), touch(5, TouchKind::Click, 3)]);
        assert_eq!(journey.touches()[Last::chosen(journey.touches()).expect("two touches")].id, 9);
    }
}
