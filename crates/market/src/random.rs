//! Counter-based random numbers and the few distributions that the market needs.
//!
//! What always holds: a draw depends on its key alone, never on how many draws were made elsewhere; so two runs of one
//! seed meet the same opportunities, prices and people, whatever was bought. Logarithms and exponentials are libm's.
//! Missing on purpose: cryptographic strength.

/// Odd constant of the golden ratio, the step of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: every bit of the input moves about half the bits of the output.
pub(crate) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// One word for a text, for keys that are names.
pub(crate) fn mix_text(text: &str) -> u64 {
    text.bytes().fold(GOLDEN, |hash, byte| mix(hash ^ u64::from(byte)))
}

/// The stream of draws of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    /// The stream of `(seed, a, b, c)`.
    pub(crate) fn keyed(seed: u64, a: u64, b: u64, c: u64) -> Self {
        let one = mix(seed.wrapping_add(GOLDEN) ^ a.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let two = mix(one ^ b.wrapping_mul(0xa076_1d64_78bd_642f));
        Self { state: mix(two ^ c.wrapping_mul(0xe703_7ed1_a0b4_28db)) }
    }

    /// 64 random bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in the open interval (0, 1): its logarithm is always finite.
    pub(crate) fn unit(&mut self) -> f64 {
        unit_of(self.word())
    }

    /// Uniform in [0, bound); 0 where the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// Standard normal, from one draw.
    pub(crate) fn normal(&mut self) -> f64 {
        normal_quantile(self.unit())
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -libm::log(self.unit())
    }

    /// Log-normal factor of mean 1 whose logarithm has the standard deviation `sd`.
    pub(crate) fn noise(&mut self, sd: f64) -> f64 {
        libm::exp(sd * self.normal() - sd * sd / 2.0)
    }

    /// A count with the given mean; from one draw, so that a larger mean never moves later draws.
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        if mean.is_nan() || mean <= 0.0 {
            return 0;
        }
        if mean >= POISSON_NORMAL_FROM {
            return (mean + mean.sqrt() * self.normal()).round().clamp(0.0, f64::from(POISSON_MAX)) as u32;
        }
        let unit = self.unit();
        let mut probability = libm::exp(-mean);
        let mut cumulative = probability;
        let mut count = 0;
        while unit > cumulative && count < POISSON_SMALL_MAX {
            count += 1;
            probability *= mean / f64::from(count);
            cumulative += probability;
        }
        count
    }
}

/// From here on the normal approximation is closer than the hour's noise, and exp(-mean) need not be summed.
const POISSON_NORMAL_FROM: f64 = 50.0;
/// Ends the search where rounding keeps the cumulated probability below a draw next to 1.
const POISSON_SMALL_MAX: u32 = 300;
/// Bounds the memory of one minute of one campaign.
const POISSON_MAX: u32 = 10_000_000;

/// 53 random bits as a number in (0, 1).
pub(crate) fn unit_of(word: u64) -> f64 {
    ((word >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0
}

/// Share of a standard normal below `z`.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// Density of a standard normal.
pub(crate) fn normal_density(z: f64) -> f64 {
    libm::exp(-0.5 * z * z) * 0.398_942_280_401_432_7
}

/// The inverse of [`normal_cdf`] by Acklam's rational approximation; relative error below 1.2e-9.
pub(crate) fn normal_quantile(share: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e+02,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1.0];
    /// Below this share, and above its mirror image, the tails have a formula of their own.
    const TAIL: f64 = 0.02425;
    let tail = |q: f64| horner(&C, q) / horner(&D, q);
    if share <= 0.0 {
        f64::NEG_INFINITY
    } else if share >= 1.0 {
        f64::INFINITY
    } else if share < TAIL {
        tail((-2.0 * libm::log(share)).sqrt())
    } else if share > 1.0 - TAIL {
        -tail((-2.0 * libm::log1p(-share)).sqrt())
    } else {
        let q = share - 0.5;
        let r = q * q;
        q * horner(&A, r) / horner(&B, r)
    }
}

fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_undoes_the_distribution() {
        for step in 1..2_000 {
            let share = f64::from(step) / 2_000.0;
            assert!((normal_cdf(normal_quantile(share)) - share).abs() < 1e-8, "{share}");
        }
        assert!((normal_quantile(0.975) - 1.959_963_985).abs() < 1e-7);
    }

    #[test]
    fn counts_have_the_mean_and_the_variance_of_poisson() {
        for mean in [0.2, 3.0, 40.0, 400.0] {
            let counts: Vec<f64> = (0..20_000).map(|n| f64::from(Draws::keyed(7, 1, n, 0).poisson(mean))).collect();
            let average = counts.iter().sum::<f64>() / 20_000.0;
            let variance = counts.iter().map(|c| (c - average) * (c - average)).sum::<f64>() / 20_000.0;
            assert!((average / mean - 1.0).abs() < 0.03, "mean {average} for {mean}");
            assert!((variance / mean - 1.0).abs() < 0.06, "variance {variance} for {mean}");
        }
        assert_eq!(Draws::keyed(1, 2, 3, 4).poisson(f64::NAN), 0);
    }

    #[test]
    fn neighbouring_keys_are_independent() {
        let n = 50_000_u64;
        let product: f64 =
            (0..n).map(|i| (Draws::keyed(1, 2, 3, i).unit() - 0.5) * (Draws::keyed(1, 2, 3, i + 1).unit() - 0.5)).sum();
        // Standard error of the covariance is 1/12/sqrt(n).
        assert!((product / n as f64).abs() < 5.0 / 12.0 / (n as f64).sqrt());
    }
}
