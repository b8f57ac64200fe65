//! What silence from now on could still cost in this day (section 12).
//!
//! Printed is the room below the day's ceiling, and what is in flight when a pause acts there: a lease ends, but the value
//! that it falls back to spends on, and no rate seen so far bounds a market that turns (prices that collapse while a raise
//! lives were seen to spend eight times what the rate foretold).
//!
//! A raise is judged by what may come until its lease ends, at the fastest rate seen: with traffic that doubles beyond its
//! usual shape, a bid that rose since the rate was taken and is answered by its fourth power, and the chance in small counts
//! of events. A rate of nothing bounds nothing: after a pause or a silent hour nobody knows what comes. What is in flight at
//! the ceiling is no reason to hold a raise, which would be held for it at every end of a day.

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
    /// New value over the lowest since the rate's span began, where that is a bid; below 1 counts as 1.
    pub growth: f64,
    /// Usual traffic until the end over that of the rate's span; below 1 counts as 1.
    pub traffic: f64,
    /// c: what an event costs in the mean; 0 where nobody knows.
    pub event_micros: i64,
    /// Until a pause that is sent acts.
    pub pause_ms: Millis,
}

/// What silence could cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Until the value's life ends, by the fastest rate and below the ceiling: this a raise must find within its allowance.
    pub lease_micros: i64,
    /// Until the day ends, with what may be in flight when the ceiling is met: this is printed.
    pub worst_case_micros: i64,
}

impl Silence {
    /// The room below the ceiling, and beyond it what is in flight; for a lease the room, capped by the rate until its end.
    pub fn of(input: &WorstCase, settings: &Settings) -> Silence {
        let room = input.day_ceiling_micros.max(0).saturating_sub(input.exposure.exposed_micros().max(0)).max(0);
        let rate = &input.exposure.rate_max;
        let answer = libm::pow(input.growth.max(1.0), settings.worst_case_elasticity)
            * settings.worst_case_traffic
            * input.traffic.max(1.0);
        let in_flight = input.exposure.unseen_micros.saturating_add(rate.over(input.pause_ms));
        let beyond = most(in_flight, answer, input.event_micros, settings).saturating_sub(in_flight).max(0);
        let by_rate = match rate.over(input.until_ms.saturating_sub(input.now_ms)) {
            0 => i64::MAX,
            expected => most(expected, answer, input.event_micros, settings),
        };
        Silence { lease_micros: by_rate.min(room), worst_case_micros: room.saturating_add(beyond) }
    }
}

/// The most that comes of an expected spend: that times the answer, and as much more as counts of dear events exceed their
/// mean with the given chance (Bernstein's inequality for a compound Poisson sum).
fn most(expected_micros: i64, answer: f64, event_micros: i64, settings: &Settings) -> i64 {
    let mean = expected_micros.max(0) as f64 * answer;
    let dear = event_micros.max(0) as f64 * DEAR_OVER_MEAN * -libm::log(settings.worst_case_chance);
    let beyond = dear / 3.0 + libm::sqrt(dear * dear / 9.0 + 2.0 * dear * mean);
    half_to_even(mean + beyond).unwrap_or(i64::MAX)
}

/// A dear event over a mean one. Within one bid prices differ little: no price is above it, few are far below.
const DEAR_OVER_MEAN: f64 = 2.0;

/// A share of a value, for limits: 0.2 of 50,000 is 10,000.
pub(super) fn share_of(value: i64, share: f64) -> i64 {
    of_ppm(value.max(0), ppm(share))
}
