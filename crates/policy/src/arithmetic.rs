//! Arithmetic that gives the same bytes on replay (section 0).
//!
//! What always holds: a log-bid is an `i64` of micro-nats; a step is computed in `f64` and rounded half to even once, at
//! its end; `ln` and `exp` are `libm`'s; what is not finite or does not fit becomes a [`Hold`], never a saturated bid.

use crate::hold::Hold;

/// Natural logarithm of a bid in micros, in millionths.
pub type LogBid = i64;

/// Micro-nats in one nat.
pub const NAT: f64 = 1_000_000.0;

/// The log of a bid; a bid that is not positive has none.
pub fn log_bid(bid_micros: i64) -> Result<LogBid, Hold> {
    if bid_micros <= 0 {
        return Err(Hold::BelowUnit);
    }
    half_to_even(libm::log(bid_micros as f64) * NAT)
}

/// The bid of a log, in micros, not yet rounded to a unit.
pub fn bid_micros(log_bid: LogBid) -> Result<i64, Hold> {
    half_to_even(libm::exp(log_bid as f64 / NAT))
}

/// A number for words, the same on every machine and in every build: FNV-1a, then splitmix64's finish, so that close words
/// are far apart. A separator keeps ("ab", "c") from ("a", "bc"). Not secret.
pub fn stable_hash(words: &[&str]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0x1f]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The nearest integer, the even one of two; a number that does not fit is a hold.
pub fn half_to_even(x: f64) -> Result<i64, Hold> {
    // 2^63 as f64 is exact; i64::MAX is not, so the comparison is strict.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let rounded = x.round_ties_even();
    if (-LIMIT..LIMIT).contains(&rounded) { Ok(rounded as i64) } else { Err(Hold::NotFinite) }
}

/// A finite number passes, anything else is a hold.
pub fn finite(x: f64) -> Result<f64, Hold> {
    if x.is_finite() { Ok(x) } else { Err(Hold::NotFinite) }
}

/// A publishable value: the greatest whole number of units that is not above `value_micros`; never zero.
pub fn round_down(value_micros: i64, unit_micros: i64) -> Result<i64, Hold> {
    let unit = unit_micros.max(1);
    let whole = value_micros.div_euclid(unit).checked_mul(unit).ok_or(Hold::BelowUnit)?;
    if whole < unit { Err(Hold::BelowUnit) } else { Ok(whole) }
}

/// `numerator / denominator`, rounded half to even; `None` where the denominator is zero or the result does not fit.
pub fn ratio(numerator: i128, denominator: i128) -> Option<i64> {
    let (floor, rest) = (numerator.checked_div_euclid(denominator)?, numerator.checked_rem_euclid(denominator)?);
    let (twice, size) = (rest.checked_mul(2)?, denominator.checked_abs()?);
    // Euclid's rest is never negative; with a negative denominator its quotient is the ceiling.
    let away = if denominator < 0 { -1 } else { 1 };
    let up = twice > size || (twice == size && floor.rem_euclid(2) == 1);
    i64::try_from(if up { floor + away } else { floor }).ok()
}

/// `value * ppm / 1,000,000`, rounded down, at the ends of `i64` where it does not fit.
pub fn of_ppm(value: i64, ppm: i64) -> i64 {
    saturate((i128::from(value) * i128::from(ppm)).div_euclid(1_000_000))
}

/// The nearest `i64`.
pub fn saturate(x: i128) -> i64 {
    x.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// A share such as 0.25 as whole parts per million, half to even; shares beyond a million wholes are cut there.
pub fn ppm(share: f64) -> i64 {
    half_to_even(share.clamp(-1e6, 1e6) * 1e6).unwrap_or(0)
}

/// The smallest amount that can be billed in a currency: a cent for most, a yen, a thousandth of a dinar.
pub fn unit_of_currency(iso_code: &str) -> i64 {
    if WITHOUT_DECIMALS.contains(&iso_code) {
        1_000_000
    } else if WITH_THREE_DECIMALS.contains(&iso_code) {
        1_000
    } else {
        10_000
    }
}

/// ISO 4217 currencies whose minor unit is the unit itself.
const WITHOUT_DECIMALS: [&str; 17] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
/// ISO 4217 currencies with three digits behind the point.
const WITH_THREE_DECIMALS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_is_rounded_down_to_the_unit_and_never_to_zero() {
        assert_eq!(round_down(1_239_999, 10_000), Ok(1_230_000));
        assert_eq!(round_down(1_999_999, 1_000_000), Ok(1_000_000));
        assert_eq!(round_down(999_999, 1_000_000), Err(Hold::BelowUnit));
        assert_eq!(round_down(-5, 10_000), Err(Hold::BelowUnit));
        assert_eq!(round_down(7, 0), Ok(7));
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        assert_eq!([half_to_even(0.5), half_to_even(1.5), half_to_even(-2.5)], [Ok(0), Ok(2), Ok(-2)]);
        assert_eq!([ratio(1, 2), ratio(3, 2), ratio(5, 2), ratio(-1, 2)], [Some(0), Some(2), Some(2), Some(0)]);
        assert_eq!([ratio(-3, 2), ratio(3, -2), ratio(7, 3), ratio(7, 0)], [Some(-2), Some(-2), Some(2), None]);
        assert_eq!(ratio(i128::MIN, -1), None);
    }

    #[test]
    fn what_does_not_fit_is_a_hold() {
        for x in [f64::NAN, f64::INFINITY, -f64::INFINITY, 9.3e18, -9.3e18] {
            assert_eq!(half_to_even(x), Err(Hold::NotFinite));
        }
        assert_eq!(bid_micros(50_000_000), Err(Hold::NotFinite));
        assert_eq!(log_bid(0), Err(Hold::BelowUnit));
    }

    #[test]
    fn currencies_have_their_units() {
        assert_eq!(["EUR", "JPY", "KWD", "???"].map(unit_of_currency), [10_000, 1_000_000, 1_000, 10_000]);
    }

    proptest! {
        #[test]
        fn a_bid_survives_its_log(bid in 1_i64..1_000_000_000_000) {
            let back = bid_micros(log_bid(bid).unwrap()).unwrap();
            // Half a micro-nat is half a millionth of the bid.
            prop_assert!((back - bid).abs() <= 1 + bid / 1_000_000);
        }

        #[test]
        fn rounding_down_is_total_idempotent_and_never_up(value in any::<i64>(), unit in any::<i64>()) {
            if let Ok(whole) = round_down(value, unit) {
                prop_assert!(whole <= value && whole > 0);
                prop_assert_eq!(round_down(whole, unit), Ok(whole));
            }
        }

        #[test]
        fn a_ratio_is_the_nearest_integer(n in any::<i64>(), d in any::<i64>()) {
            if let Some(r) = ratio(i128::from(n), i128::from(d)) {
                let off = i128::from(n) - i128::from(r) * i128::from(d);
                prop_assert!(off.abs() * 2 <= i128::from(d).abs());
            } else {
                prop_assert!(d == 0 || (n == i64::MIN && d == -1));
            }
        }
    }
}
