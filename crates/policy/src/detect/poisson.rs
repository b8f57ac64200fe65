//! Exact tails of a Poisson count: how likely is it that chance alone brings so few or so many?
//!
//! Logarithms throughout, so that a tail of e^-900 is a number. What always holds: a mean that is negative or not finite,
//! and a negative count, give no tail; neither do means and counts above a billion.

/// ln P(N <= n) for a mean of `expected`.
pub fn ln_at_most(n: i64, expected: f64) -> Option<f64> {
    let (n, mean) = valid(n, expected)?;
    if mean == 0.0 {
        return Some(0.0);
    }
    if n >= mean {
        return Some(libm::log1p(-libm::exp(ln_above(n, mean)).min(1.0)));
    }
    Some(ln_below(n, mean).min(0.0))
}

/// ln P(N >= n) for a mean of `expected`.
pub fn ln_at_least(n: i64, expected: f64) -> Option<f64> {
    let (n, mean) = valid(n, expected)?;
    if n == 0.0 {
        return Some(0.0);
    }
    if mean == 0.0 {
        return Some(f64::NEG_INFINITY);
    }
    if n - 1.0 >= mean {
        return Some(ln_above(n - 1.0, mean).min(0.0));
    }
    Some(libm::log1p(-libm::exp(ln_below(n - 1.0, mean)).min(1.0)))
}

/// Above this a tail would take too many terms (they are some ten times the root of the mean); nobody counts a billion
/// conversions in a day.
const COUNT_MAX: i64 = 1_000_000_000;

fn valid(n: i64, mean: f64) -> Option<(f64, f64)> {
    let usable = (0..=COUNT_MAX).contains(&n) && mean >= 0.0 && mean <= COUNT_MAX as f64;
    usable.then_some((n as f64, mean))
}

/// ln P(N <= n), n below the mean: the term at n times 1 + n/mean + n (n-1)/mean^2 + ...; all its ratios are below 1.
fn ln_below(n: f64, mean: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, n);
    while k > 0.0 && term > NEGLIGIBLE * sum {
        term *= k / mean;
        sum += term;
        k -= 1.0;
    }
    ln_term(n, mean) + libm::log(sum)
}

/// ln P(N > n), n at the mean or above: the term at n + 1 times 1 + mean/(n+2) + ...
fn ln_above(n: f64, mean: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, n + 2.0);
    while term > NEGLIGIBLE * sum {
        term *= mean / k;
        sum += term;
        k += 1.0;
    }
    ln_term(n + 1.0, mean) + libm::log(sum)
}

/// ln P(N = n).
fn ln_term(n: f64, mean: f64) -> f64 {
    n * libm::log(mean) - mean - libm::lgamma(n + 1.0)
}

/// Terms below this share of the sum change no digit.
const NEGLIGIBLE: f64 = 1e-17;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tails_worked_by_hand() {
        let near = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-12 * b.abs().max(1.0), "{a:?} {b}");
        near(ln_at_most(0, 9.3), -9.3);
        near(ln_at_most(1, 2.0), libm::log(3.0) - 2.0);
        near(ln_at_least(1, 2.0), libm::log(1.0 - libm::exp(-2.0)));
        near(ln_at_least(2, 2.0), libm::log(1.0 - 3.0 * libm::exp(-2.0)));
        assert_eq!((ln_at_least(0, 5.0), ln_at_least(3, 0.0)), (Some(0.0), Some(f64::NEG_INFINITY)));
        assert_eq!((ln_at_most(-1, 1.0), ln_at_most(1, -1.0), ln_at_most(1, f64::NAN)), (None, None, None));
    }

    #[test]
    fn a_tail_too_small_for_a_probability_still_has_a_logarithm() {
        assert_eq!(ln_at_most(0, 900.0), Some(-900.0));
        assert!(ln_at_least(5_000, 900.0).unwrap() < -4_000.0);
    }

    proptest! {
        #[test]
        fn the_two_tails_make_a_whole(n in 0_i64..300, mean in 0.01..300.0_f64) {
            let whole = libm::exp(ln_at_most(n, mean).unwrap()) + libm::exp(ln_at_least(n + 1, mean).unwrap());
            prop_assert!((whole - 1.0).abs() < 1e-9, "{}", whole);
        }

        #[test]
        fn any_input_has_a_tail_or_none(n in any::<i64>(), mean in prop_oneof![any::<f64>(), 0.0..1e6_f64]) {
            for tail in [ln_at_most(n, mean), ln_at_least(n, mean), ln_at_most(n % 2_000_000_000, 1e9)].into_iter().flatten() {
                prop_assert!(tail <= 0.0);
            }
        }
    }
}
