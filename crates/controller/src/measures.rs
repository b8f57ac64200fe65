//! The measures of a pane: what is counted for a campaign in each minute, hour, day, week, month and flight.
//!
//! An array and not a struct, because panes store what is not zero and know no names. Revisions of the published rows
//! stand beside the sums that they describe, so that they live exactly as long.

/// Measures of one pane.
pub type Measures = [i64; MEASURES];

/// How many there are.
pub const MEASURES: usize = 19;

/// Ads shown, as the authority of the campaign's spend counts them.
pub const IMPRESSIONS: usize = 0;
/// Clicks, corrections included.
pub const CLICKS: usize = 1;
/// Events that cost something.
pub const BILLABLE: usize = 2;
/// Spend as reported, in micros.
pub const GROSS_SPEND: usize = 3;
/// What corrections added to the spend (refunds are negative), in micros.
pub const SPEND_CORRECTION: usize = 4;
/// Conversions of goal types as claimed by the events' own campaign or by the platform's report.
pub const CONVERSIONS: usize = 5;
/// Their value in micros.
pub const VALUE: usize = 6;
/// Credits at the conversion's own time: last touch conversions, last touch value, linear conversions, linear value.
pub const CREDITS_CONVERSION_TIME: usize = 7;
/// The same credits at the credited touch's time.
pub const CREDITS_TOUCH_TIME: usize = 11;
/// Clicks that a correction called invalid traffic.
pub const INVALID_CLICKS: usize = 15;
/// Spend of the source that is not the authority, in micros: compared, never added.
pub const OTHER_SPEND: usize = 16;
/// Revision of the last published row of basis `conversion_time`; 0 before the first.
pub const REVISION: usize = 17;
/// The same for basis `touch_time`.
pub const REVISION_TOUCH: usize = 18;

/// Nothing.
pub const NONE: Measures = [0; MEASURES];

/// One measure alone.
pub fn only(measure: usize, value: i64) -> Measures {
    let mut measures = NONE;
    measures[measure] = value;
    measures
}

/// Spend after corrections.
pub fn net_spend(measures: &Measures) -> i64 {
    measures[GROSS_SPEND].saturating_add(measures[SPEND_CORRECTION])
}

/// `numerator x scale / denominator`, rounded to the nearest, `None` where the denominator is not positive.
pub fn ratio(numerator: i64, scale: i64, denominator: i64) -> Option<i64> {
    if denominator <= 0 {
        return None;
    }
    let (numerator, denominator) = (i128::from(numerator) * i128::from(scale), i128::from(denominator));
    let rounded = (numerator * 2 + denominator).div_euclid(denominator * 2);
    Some(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_rounded_to_the_nearest_and_absent_without_a_denominator() {
        assert_eq!(ratio(1, 1_000_000, 3), Some(333_333));
        assert_eq!(ratio(2, 1_000_000, 3), Some(666_667));
        assert_eq!(ratio(-1, 3, 2), Some(-1));
        assert_eq!(ratio(5, 1, 0), None);
        assert_eq!(ratio(i64::MAX, 1_000_000, 1), Some(i64::MAX));
    }
}
