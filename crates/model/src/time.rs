//! Instants and spans, all `i64` milliseconds.

/// UTC epoch milliseconds.
pub type Millis = i64;

/// Milliseconds in a second.
pub const SECOND_MS: Millis = 1_000;
/// Milliseconds in a minute.
pub const MINUTE_MS: Millis = 60 * SECOND_MS;
/// Milliseconds in an hour.
pub const HOUR_MS: Millis = 60 * MINUTE_MS;
/// Milliseconds in 24 hours; a campaign's local day may be shorter or longer.
pub const DAY_MS: Millis = 24 * HOUR_MS;

/// Epoch minute of an instant, rounded down (also before 1970).
pub fn minute_of(at: Millis) -> i64 {
    at.div_euclid(MINUTE_MS)
}
