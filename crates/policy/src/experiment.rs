//! Which arm of an experiment is better: a test that may be looked at at any time.
//!
//! Successes arrive in arms that split the traffic by fixed shares. Whatever the common rate and however it moves with the
//! hour or with the delay of conversions, under no effect each success falls in arm i with probability rho_i. The e-value
//! of a Dirichlet mixture against that (share e-process; Lindon and Malek 2022) stays below 1/alpha for ever with
//! probability 1 - alpha, so one may stop at the first look that crosses. The split of the exposures is tested in the
//! same way; where it is off, the experiment is void.
//!
//! What always holds: two counts per arm are the whole state; the same counts give the same bytes. What is missing on
//! purpose: the minimum over earlier looks (the caller keeps it), tests of value per click, several metrics at once.

/// What one arm has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// Its part of the traffic, as planned; parts of all arms sum to 1.
    pub share: f64,
    /// Units shown.
    pub exposures: u64,
    /// Units that did what was hoped for.
    pub successes: u64,
}

/// How carefully to judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Chance of ever deciding where there is no effect.
    pub alpha: f64,
    /// Weight of the mixture: a smaller one waits for larger effects.
    pub kappa: f64,
}

impl Default for Settings {
    /// 5 %, and the mixture that published implementations use.
    fn default() -> Self {
        Self { alpha: 0.05, kappa: KAPPA }
    }
}

/// What may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough seen.
    Undecided,
    /// The arms differ.
    Decided,
    /// The traffic was not split as planned: nothing may be concluded.
    Void,
}

impl Verdict {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Undecided => "undecided",
            Verdict::Decided => "decided",
            Verdict::Void => "void",
        }
    }
}

/// An interval; an infinite bound is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Lower end.
    pub lower: Option<f64>,
    /// Upper end.
    pub upper: Option<f64>,
}

/// One look at an experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// Logarithm of the e-value of the successes.
    pub ln_e: f64,
    /// min(1, 1/e) of this look; the always-valid p is its minimum over looks.
    pub p_value: f64,
    /// Share of all successes that fall in the first arm, where there are two arms.
    pub theta: Option<Bounds>,
    /// Log of the first arm's rate over the second's, where there are two arms.
    pub log_rate_ratio: Option<Bounds>,
    /// Logarithm of the e-value of the exposures, at the default kappa.
    pub sample_ratio_ln_e: f64,
    /// What may be said.
    pub verdict: Verdict,
    /// Which arm won, once decided.
    pub winner: Option<usize>,
}

/// Why an experiment cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Fewer than two arms.
    FewArms,
    /// A share is not between 0 and 1, or they do not sum to 1.
    Shares,
    /// alpha is not between 0 and 1, or kappa is not above 0.
    Settings,
}

impl Fault {
    /// What is wrong, for a person.
    pub fn words(self) -> &'static str {
        match self {
            Fault::FewArms => "an experiment needs two arms or more",
            Fault::Shares => "shares must lie between 0 and 1 and sum to 1",
            Fault::Settings => "alpha must lie between 0 and 1, kappa above 0",
        }
    }
}

/// Judges the counts as they stand.
pub fn look(arms: &[Arm], settings: Settings) -> Result<Look, Fault> {
    let shares = shares(arms)?;
    let usable = settings.alpha > 0.0 && settings.alpha < 1.0 && settings.kappa > 0.0 && settings.kappa.is_finite();
    if !usable {
        return Err(Fault::Settings);
    }
    let successes: Vec<f64> = arms.iter().map(|arm| arm.successes as f64).collect();
    let exposures: Vec<f64> = arms.iter().map(|arm| arm.exposures as f64).collect();
    let ln_e = share_ln_e(&shares, &successes, settings.kappa);
    let sample_ratio_ln_e = share_ln_e(&shares, &exposures, KAPPA);
    let threshold = -libm::log(settings.alpha);
    let verdict = if sample_ratio_ln_e >= threshold {
        Verdict::Void
    } else if ln_e >= threshold {
        Verdict::Decided
    } else {
        Verdict::Undecided
    };
    let interval = (arms.len() == 2).then(|| logit_interval(&shares, &successes, settings));
    let prior = logit(shares[0], shares[1]);
    Ok(Look {
        ln_e,
        p_value: libm::exp(-ln_e).min(1.0),
        theta: interval.map(|ends| Bounds {
            lower: Some(ends.lower.map_or(0.0, logistic)),
            upper: Some(ends.upper.map_or(1.0, logistic)),
        }),
        log_rate_ratio: interval
            .map(|ends| Bounds { lower: ends.lower.map(|z| z - prior), upper: ends.upper.map(|z| z - prior) }),
        sample_ratio_ln_e,
        verdict,
        winner: (verdict == Verdict::Decided).then(|| best(&shares, &successes)),
    })
}

/// ln of the e-value of counts against the shares: lnB(kappa rho + x) - lnB(kappa rho) - sum x ln rho.
pub fn share_ln_e(shares: &[f64], counts: &[f64], kappa: f64) -> f64 {
    let fixed: f64 = shares.iter().zip(counts).map(|(share, count)| count * libm::log(*share)).sum();
    // Adding zero turns a negative zero into zero.
    mixture_ln_gain(shares, counts, kappa) - fixed + 0.0
}

/// lnB(kappa rho + x) - lnB(kappa rho).
fn mixture_ln_gain(shares: &[f64], counts: &[f64], kappa: f64) -> f64 {
    let before: Vec<f64> = shares.iter().map(|share| kappa * share).collect();
    let after: Vec<f64> = before.iter().zip(counts).map(|(weight, count)| weight + count).collect();
    ln_beta(&after) - ln_beta(&before)
}

fn ln_beta(weights: &[f64]) -> f64 {
    weights.iter().map(|weight| libm::lgamma(*weight)).sum::<f64>() - libm::lgamma(weights.iter().sum())
}

fn shares(arms: &[Arm]) -> Result<Vec<f64>, Fault> {
    if arms.len() < 2 {
        return Err(Fault::FewArms);
    }
    let sum: f64 = arms.iter().map(|arm| arm.share).sum();
    let inside = arms.iter().all(|arm| arm.share > 0.0 && arm.share < 1.0);
    if !inside || (sum - 1.0).abs() > SHARES_SUM_TOLERANCE {
        return Err(Fault::Shares);
    }
    Ok(arms.iter().map(|arm| if sum == 1.0 { arm.share } else { arm.share / sum }).collect())
}

fn best(shares: &[f64], successes: &[f64]) -> usize {
    let rate = |at: usize| successes[at] / shares[at];
    (0..shares.len()).fold(0, |best, at| if rate(at) > rate(best) { at } else { best })
}

/// The confidence sequence {t: x_1 ln t + x_2 ln(1 - t) >= lnB(a + x) - lnB(a) + ln alpha} as logits of t, where no digit
/// is lost near 0 and 1. Without successes in an arm its side is open.
fn logit_interval(shares: &[f64], successes: &[f64], settings: Settings) -> Bounds {
    let floor = mixture_ln_gain(shares, successes, settings.kappa) + libm::log(settings.alpha);
    let height = |z: f64| -successes[0] * softplus(-z) - successes[1] * softplus(z);
    let peak = match (successes[0] > 0.0, successes[1] > 0.0) {
        (true, true) => libm::log(successes[0]) - libm::log(successes[1]),
        (true, false) => FARTHEST_LOGIT,
        (false, true) => -FARTHEST_LOGIT,
        (false, false) => 0.0,
    };
    Bounds {
        lower: (successes[0] > 0.0).then(|| crossing(&height, floor, peak, -1.0)),
        upper: (successes[1] > 0.0).then(|| crossing(&height, floor, peak, 1.0)),
    }
}

/// Where a curve that falls on both sides of its peak falls below the floor, on the side of `sign`.
fn crossing(height: &dyn Fn(f64) -> f64, floor: f64, peak: f64, sign: f64) -> f64 {
    let mut step = 1.0;
    while height(peak + sign * step) >= floor && step < 4.0 * FARTHEST_LOGIT {
        step *= 2.0;
    }
    let (mut inside, mut outside) = (peak, peak + sign * step);
    loop {
        let middle = 0.5 * (inside + outside);
        if middle == inside || middle == outside {
            return inside;
        }
        if height(middle) >= floor { inside = middle } else { outside = middle }
    }
}

/// ln(1 + e^z).
fn softplus(z: f64) -> f64 {
    z.max(0.0) + libm::log1p(libm::exp(-z.abs()))
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

fn logit(share: f64, other: f64) -> f64 {
    libm::log(share / other)
}

/// Mixture weight of the published implementations; also that of the test of the split, so that no setting hides it.
const KAPPA: f64 = 100.0;
/// Thirds written with three digits pass; a forgotten arm does not.
const SHARES_SUM_TOLERANCE: f64 = 2e-3;
/// Beyond it a share is 0 or 1 in an f64.
const FARTHEST_LOGIT: f64 = 745.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arm(share: f64, exposures: u64, successes: u64) -> Arm {
        Arm { share, exposures, successes }
    }

    fn two(share: f64, x1: u64, x2: u64) -> Look {
        look(&[arm(share, 0, x1), arm(1.0 - share, 0, x2)], Settings::default()).expect("judged")
    }

    #[test]
    fn one_success_of_two_equal_arms_says_nothing() {
        // E = B(51, 50) / B(50, 50) / .5 = 1 exactly.
        assert!(two(0.5, 1, 0).ln_e.abs() < 1e-12);
        // Two in the same arm: (50 x 51) / (100 x 101) / .25 = 1.00990...
        assert!((two(0.5, 2, 0).ln_e - libm::log(2_550.0 / 10_100.0 * 4.0)).abs() < 1e-12);
        let empty = two(0.3, 0, 0);
        assert_eq!((empty.ln_e, empty.p_value, empty.verdict), (0.0, 1.0, Verdict::Undecided));
        assert_eq!(empty.theta, Some(Bounds { lower: Some(0.0), upper: Some(1.0) }));
        assert_eq!(empty.log_rate_ratio, Some(Bounds { lower: None, upper: None }));
    }

    #[test]
    fn it_decides_and_names_the_arm_with_the_best_rate_for_its_share() {
        let look = look(&[arm(0.8, 8_000, 400), arm(0.2, 2_000, 220)], Settings::default()).expect("judged");
        assert_eq!((look.verdict, look.winner), (Verdict::Decided, Some(1)));
        let ratio = look.log_rate_ratio.expect("two arms");
        assert!(ratio.upper.expect("finite") < 0.0 && ratio.lower.expect("finite") < libm::log(0.05 / 0.11));
        assert!((look.p_value - libm::exp(-look.ln_e)).abs() < 1e-18);
    }

    #[test]
    fn a_broken_split_voids_the_experiment() {
        let arms = [arm(0.5, 60_000, 900), arm(0.5, 50_000, 100)];
        let look = look(&arms, Settings::default()).expect("judged");
        assert_eq!((look.verdict, look.winner), (Verdict::Void, None));
        assert!(look.ln_e > 300.0 && look.p_value < 1e-130, "{look:?}");
    }

    #[test]
    fn more_arms_have_no_interval_but_a_winner() {
        let arms = [arm(0.333, 0, 100), arm(0.333, 0, 100), arm(0.334, 0, 300)];
        let look = look(&arms, Settings::default()).expect("judged");
        assert_eq!((look.theta, look.log_rate_ratio, look.winner), (None, None, Some(2)));
    }

    #[test]
    fn what_cannot_be_judged_is_a_fault() {
        let judge = |arms: &[Arm], alpha| look(arms, Settings { alpha, kappa: 100.0 }).unwrap_err();
        assert_eq!(judge(&[arm(1.0, 0, 0)], 0.05), Fault::FewArms);
        assert_eq!(judge(&[arm(0.5, 0, 0), arm(0.3, 0, 0)], 0.05), Fault::Shares);
        assert_eq!(judge(&[arm(f64::NAN, 0, 0), arm(0.3, 0, 0)], 0.05), Fault::Shares);
        assert_eq!(judge(&[arm(0.5, 0, 0), arm(0.5, 0, 0)], 1.0), Fault::Settings);
    }

    /// Counter-based generator (splitmix64): the tests' coin.
    struct Coin(u64);

    impl Coin {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn under_no_effect_the_e_value_is_fair_and_peeking_is_safe() {
        let (mut coin, runs, successes) = (Coin(11), 4_000, 400_u64);
        let (mut sum_e, mut crossed, mut covered) = (0.0, 0_u32, 0_u32);
        for _ in 0..runs {
            let (mut first, mut ever) = (0_u64, false);
            for seen in 1..=successes {
                first += u64::from(coin.unit() < 0.3);
                let counts = [first as f64, (seen - first) as f64];
                ever |= share_ln_e(&[0.3, 0.7], &counts, 100.0) >= libm::log(20.0);
            }
            crossed += u32::from(ever);
            let last = two(0.3, first, successes - first);
            sum_e += libm::exp(last.ln_e);
            let theta = last.theta.expect("two arms");
            covered += u32::from(theta.lower.unwrap_or(0.0) <= 0.3 && 0.3 <= theta.upper.unwrap_or(1.0));
        }
        let mean = sum_e / f64::from(runs);
        assert!((0.8..1.1).contains(&mean), "mean e-value {mean}");
        assert!(f64::from(crossed) / f64::from(runs) < 0.05, "{crossed} of {runs} looks ever crossed");
        assert!(f64::from(covered) / f64::from(runs) > 0.95, "{covered} of {runs} intervals covered");
    }

    proptest! {
        #[test]
        fn the_interval_leaves_the_planned_share_exactly_when_the_test_decides(
            share in 0.05..0.95_f64, x1 in 0_u64..3_000, x2 in 0_u64..3_000,
        ) {
            let look = two(share, x1, x2);
            let ratio = look.log_rate_ratio.expect("two arms");
            let excluded = ratio.lower.is_some_and(|z| z > 0.0) || ratio.upper.is_some_and(|z| z < 0.0);
            if (look.ln_e - libm::log(20.0)).abs() > 1e-6 {
                prop_assert_eq!(excluded, look.verdict == Verdict::Decided);
            }
        }

        #[test]
        fn the_ends_of_the_interval_are_roots(share in 0.05..0.95_f64, x1 in 1_u64..100_000, x2 in 1_u64..100_000) {
            let ratio = two(share, x1, x2).log_rate_ratio.expect("two arms");
            let (x1, x2) = (x1 as f64, x2 as f64);
            let floor = mixture_ln_gain(&[share, 1.0 - share], &[x1, x2], 100.0) + libm::log(0.05);
            for end in [ratio.lower, ratio.upper] {
                let z = end.expect("finite") + logit(share, 1.0 - share);
                let height = -x1 * softplus(-z) - x2 * softplus(z);
                prop_assert!((height - floor).abs() < 1e-9 * (x1 + x2), "{} {}", height, floor);
            }
        }

        #[test]
        fn no_counts_break_it(counts in prop::collection::vec((any::<u64>(), any::<u64>()), 2..6)) {
            let share = 1.0 / counts.len() as f64;
            let arms: Vec<Arm> = counts.iter().map(|(n, x)| arm(share, *n, *x)).collect();
            let look = look(&arms, Settings::default()).expect("judged");
            prop_assert!(look.ln_e.is_finite() && (0.0..=1.0).contains(&look.p_value));
        }
    }
}
