//! What silence from now on could still cost in this day (section 12).
//!
//! The room below the day's ceiling; where a lease ends the value earlier, no more than the fastest rate seen, with traffic
//! doubled and a raised bid answered by its fourth power, until that end. A rate of nothing bounds nothing: after a pause
//! or a silent hour nobody knows what comes.

use crate::arithmetic::{half_to_even, of_ppm, ppm};
use crate::pressure::Exposure;
use crate::settings::{Guard as Settings, Millis};

/// What it is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WorstCase {
    /// E and r_max.
    pub exposure: Exposure,
    /// Most that the day may cost.
    pub day_ceiling_micros: i64,
    /// End of the lease, or of the day where the value has none.
    pub until_ms: Millis,
    /// T.
    pub now_ms: Millis,
    /// New over old value, where that is a bid and it rises; else 1.
    pub growth: f64,
}

/// ceiling - E, capped by the rate until the end.
pub fn worst_case_micros(input: &WorstCase, settings: &Settings) -> i64 {
    let room = input.day_ceiling_micros.max(0).saturating_sub(input.exposure.exposed_micros().max(0)).max(0);
    let time_ms = input.until_ms.saturating_sub(input.now_ms).max(0);
    let by_rate = input.exposure.rate_max.over(time_ms);
    if by_rate <= 0 {
        return room;
    }
    let answer = libm::pow(input.growth.max(1.0), settings.worst_case_elasticity) * settings.worst_case_traffic;
    half_to_even(by_rate as f64 * answer).map_or(room, |cap| cap.min(room))
}

/// A share of a value, for limits: 0.2 of 50,000 is 10,000.
pub(super) fn share_of(value: i64, share: f64) -> i64 {
    of_ppm(value.max(0), ppm(share))
}
