//! Do those who began in one place convert more often than those who began elsewhere: said as what goes together, never as
//! what causes what.
//!
//! Rates are conversions credited to the first touch over touches. The interval is that of the logarithm of a ratio of two
//! Poisson counts, at [`DEVIATIONS`] standard deviations: so wide that a look a day over a month at a hundred series tells
//! about one false one in five (each look alone: 1 in 16,000). What always holds: every number that is told is finite.
//!
//! Missing on purpose: any factor or bid that would follow. Who visits a webinar may be who would have bought anyway; only an
//! experiment tells.

use crate::arithmetic::ppm;

/// What a place has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Touches.
    pub touches: i64,
    /// Conversions of those who began here, micro-conversions.
    pub first_micro: i64,
}

/// A difference that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association {
    /// Rate of those who began here over that of the others.
    pub ratio_ppm: i64,
    /// The least that it may be.
    pub least_ppm: i64,
    /// Conversions that the others' rate would have given.
    pub expected: i64,
}

/// Standard deviations of the interval.
pub const DEVIATIONS: f64 = 4.0;
/// Less than this is no news to a person.
const LEAST_TOLD: f64 = 1.25;
/// With fewer conversions on one side the interval is none.
const CONVERSIONS_MIN: f64 = 10.0;

/// The association, where the least of its interval is worth telling.
pub fn of(own: Begun, others: Begun) -> Option<Association> {
    let (first, rest) = (own.first_micro as f64 / 1e6, others.first_micro as f64 / 1e6);
    if own.touches <= 0 || others.touches <= 0 || first < CONVERSIONS_MIN || rest < CONVERSIONS_MIN {
        return None;
    }
    let rate = rest / others.touches as f64;
    let expected = own.touches as f64 * rate;
    let ratio = first / expected;
    let least = ratio * libm::exp(-DEVIATIONS * libm::sqrt(1.0 / first + 1.0 / rest));
    (least >= LEAST_TOLD && ratio.is_finite()).then(|| Association {
        ratio_ppm: ppm(ratio),
        least_ppm: ppm(least),
        expected: crate::arithmetic::half_to_even(expected).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(touches: i64, conversions: i64) -> Begun {
        Begun { touches, first_micro: conversions.saturating_mul(1_000_000) }
    }

    #[test]
    fn those_who_convert_three_times_as_often_are_told_with_the_least_that_it_may_be() {
        let told = of(begun(1_000, 120), begun(20_000, 800)).unwrap();
        assert_eq!((told.ratio_ppm, told.expected), (3_000_000, 40));
        assert!((1_900_000..2_100_000).contains(&told.least_ppm), "{told:?}");
    }

    #[test]
    fn few_conversions_small_differences_and_odd_numbers_tell_nothing() {
        for (own, others) in [
            (begun(100, 9), begun(20_000, 800)),
            (begun(100, 12), begun(20_000, 800)),
            (begun(10_000, 460), begun(20_000, 800)),
            (begun(0, 100), begun(0, 100)),
            (begun(i64::MIN, i64::MIN), begun(i64::MAX, i64::MAX)),
        ] {
            assert_eq!(of(own, others), None, "{own:?} {others:?}");
        }
    }
}
