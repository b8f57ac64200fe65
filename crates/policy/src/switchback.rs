//! Which arm of a running experiment is better, where arms alternate from day to day: a test that may be looked at daily.
//!
//! A unit is a campaign's local day; a hash tosses it into an arm. Under the hypothesis that the arm changes no day's
//! outcome, outcomes are fixed and the toss alone is random, so betting on the toss gains nothing on average: with
//! z = (A - rho) d / max(rho, 1 - rho), d the day's outcome less what the campaign's earlier days let expect, in two of
//! their standard deviations and cut at 1, the product of 1 + b z over the days is a fair game for every bet b within
//! (-1, 1), and so is the mean over a grid of bets (a test martingale; Waudby-Smith and Ramdas 2024). It ever passes 1/alpha
//! with probability alpha at most, whatever the outcomes' distribution, however they depend on each other, and whenever
//! one looks. Several arms are compared with the first, at alpha over their number.
//!
//! The effect is told besides as a share of what was expected, with an asymptotic confidence sequence (Waudby-Smith and
//! others 2024). What always holds: fixed state (some 100 bytes an arm, 24 a campaign); the same days in the same order
//! give the same bytes. Missing on purpose: effects that last into the next day (they make arms look alike), outcomes of
//! users.

use crate::experiment::share_ln_e;
use serde::{Deserialize, Serialize};

/// What a campaign's earlier days let expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    days: i64,
    mean: f64,
    variance: f64,
}

/// What has been seen of all arms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// By arm: days, and the sum of their outcomes.
    pub arms: Vec<(i64, f64)>,
    /// Of each arm but the first, against it.
    against: Vec<Against>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Against {
    /// Logarithm of what each bet has come to.
    ln_wealth: [f64; BETS.len()],
    days: i64,
    sum: f64,
    squares: f64,
}

/// How an experiment stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Not enough seen.
    #[default]
    Running,
    /// This arm won.
    Decided(u32),
    /// Days did not fall into arms as planned: nothing may be concluded.
    Void,
    /// Its days are over and nothing was decided.
    Over,
}

/// An arm against the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Logarithm of the e-value.
    pub ln_e: f64,
    /// Mean effect as a share of what was expected, and its confidence sequence; `None` before two days.
    pub effect: Option<[f64; 3]>,
}

/// Bets, for and against: small ones for small effects that last, large ones for plain effects.
const BETS: [f64; 8] = [-0.9, -0.45, -0.2, -0.08, 0.08, 0.2, 0.45, 0.9];
/// Days before a campaign's own days say what to expect.
const BASELINE_DAYS_MIN: i64 = 4;
/// Older days fade: a campaign of last month is another one.
const BASELINE_MEMORY: i64 = 14;
/// Standard deviations of a campaign's days that count as one.
const SCALE: f64 = 2.0;
/// Effects beyond these many times what was expected count as so many: one day must not carry the interval.
const RATIO_MAX: f64 = 3.0;
/// Mixture of the confidence sequence: tightest at about ten weeks of days.
const INTERVAL_RHO: f64 = 0.2;

impl Baseline {
    /// What to expect of the next day, and how far days stray; `None` before there is anything to say.
    pub fn expected(&self) -> Option<(f64, f64)> {
        let sd = self.variance.max(0.0).sqrt();
        (self.days >= BASELINE_DAYS_MIN && sd > 0.0 && sd.is_finite()).then_some((self.mean, sd))
    }

    /// Learns a day.
    pub fn learn(&mut self, outcome: f64) {
        self.days = self.days.saturating_add(1);
        let weight = 1.0 / self.days.min(BASELINE_MEMORY) as f64;
        let off = outcome - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
    }
}

impl Evidence {
    /// Before the first day.
    pub fn new(arms: usize) -> Evidence {
        Evidence { arms: vec![(0, 0.0); arms], against: vec![Against::default(); arms.saturating_sub(1)] }
    }

    /// Takes a day of a campaign that the hash tossed into `arm`; `shares` are the arms' planned ones.
    pub fn add(&mut self, arm: usize, outcome: f64, before: &Baseline, shares: &[f64]) {
        let Some(sums) = self.arms.get_mut(arm).filter(|_| outcome.is_finite()) else { return };
        sums.0 = sums.0.saturating_add(1);
        sums.1 += outcome;
        let Some((mean, sd)) = before.expected() else { return };
        let strayed = ((outcome - mean) / (SCALE * sd)).clamp(-1.0, 1.0);
        let ratio = if mean > 0.0 { ((outcome - mean) / mean).clamp(-RATIO_MAX, RATIO_MAX) } else { 0.0 };
        for (other, against) in self.against.iter_mut().enumerate().map(|(at, against)| (at + 1, against)) {
            let (Some(first), Some(second)) = (shares.first(), shares.get(other)) else { continue };
            if arm == 0 || arm == other {
                against.add(arm == other, second / (first + second), strayed, ratio);
            }
        }
    }

    /// Each arm but the first against it.
    pub fn comparisons(&self, alpha: f64) -> Vec<Comparison> {
        let alpha = alpha / self.against.len().max(1) as f64;
        let one = |against: &Against| Comparison { ln_e: against.ln_e(), effect: against.effect(alpha) };
        self.against.iter().map(one).collect()
    }

    /// Logarithm of the e-value of the split: days by arm against their planned shares.
    pub fn sample_ratio_ln_e(&self, shares: &[f64]) -> f64 {
        let days: Vec<f64> = self.arms.iter().map(|(days, _)| *days as f64).collect();
        share_ln_e(shares, &days, SPLIT_KAPPA)
    }

    /// How it stands now; may be asked after every day.
    pub fn verdict(&self, alpha: f64, shares: &[f64]) -> Verdict {
        if self.sample_ratio_ln_e(shares) >= -libm::log(alpha) {
            return Verdict::Void;
        }
        let needed = libm::log(self.against.len().max(1) as f64 / alpha);
        let sure = self.against.iter().enumerate().filter(|(_, against)| against.ln_e() >= needed);
        let mean = |against: &Against| against.sum / against.days.max(1) as f64;
        let best = sure.max_by(|(_, one), (_, other)| mean(one).total_cmp(&mean(other)));
        match best {
            None => Verdict::Running,
            Some((at, against)) if mean(against) > 0.0 => Verdict::Decided(at as u32 + 1),
            Some(_) => Verdict::Decided(0),
        }
    }
}

impl Comparison {
    /// Always-valid p of this look, as one of so many comparisons.
    pub fn p_value(&self, comparisons: usize) -> f64 {
        (libm::exp(-self.ln_e) * comparisons.max(1) as f64).min(1.0)
    }
}

impl Against {
    fn add(&mut self, second: bool, share: f64, strayed: f64, ratio: f64) {
        let toss = if second { 1.0 - share } else { -share };
        let z = toss * strayed / share.max(1.0 - share);
        for (wealth, bet) in self.ln_wealth.iter_mut().zip(BETS) {
            *wealth += libm::log1p(bet * z);
        }
        let effect = if second { ratio / share } else { -ratio / (1.0 - share) };
        self.days = self.days.saturating_add(1);
        self.sum += effect;
        self.squares += effect * effect;
    }

    fn ln_e(&self) -> f64 {
        let most = self.ln_wealth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = self.ln_wealth.iter().map(|wealth| libm::exp(wealth - most)).sum();
        most + libm::log(sum / BETS.len() as f64)
    }

    fn effect(&self, alpha: f64) -> Option<[f64; 3]> {
        if self.days < 2 {
            return None;
        }
        let n = self.days as f64;
        let mean = self.sum / n;
        let sd = (self.squares / n - mean * mean).max(0.0).sqrt();
        let weighed = n * INTERVAL_RHO * INTERVAL_RHO + 1.0;
        let log = libm::log(weighed.sqrt() / alpha);
        let half = sd * (2.0 * weighed * log / (n * n * INTERVAL_RHO * INTERVAL_RHO)).max(0.0).sqrt();
        Some([mean - half, mean, mean + half])
    }
}

/// As the test of the split on files.
const SPLIT_KAPPA: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// Counter-based generator (splitmix64): the tests' dice.
    struct Dice(u64);

    impl Dice {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// Heavy on the right, as days of conversions are.
        fn day(&mut self) -> f64 {
            -0.3 * libm::log(self.unit().max(1e-12)) + 0.7
        }
    }

    const SHARES: [f64; 2] = [0.5, 0.5];

    /// Six campaigns for eight weeks, looked at after every day; a week that is common to all moves them together.
    fn run(seed: u64, effect: f64, shares: &[f64]) -> (Verdict, Evidence) {
        let mut dice = Dice(seed);
        let (mut evidence, mut baselines) = (Evidence::new(shares.len()), [Baseline::default(); 6]);
        let mut verdict = Verdict::Running;
        for day in 0..70 {
            let common = if day % 7 < 5 { 1.1 } else { 0.75 } * (0.9 + 0.2 * dice.unit());
            for (campaign, baseline) in baselines.iter_mut().enumerate() {
                let toss = dice.unit();
                let second = toss >= shares[0];
                let arm = if !second { 0 } else { 1 + usize::from(shares.len() > 2 && toss >= shares[0] + shares[1]) };
                let outcome = dice.day() * common * (campaign + 1) as f64 * if arm == 1 { 1.0 + effect } else { 1.0 };
                if day >= 14 && verdict == Verdict::Running {
                    evidence.add(arm, outcome, baseline, shares);
                    verdict = evidence.verdict(0.05, shares);
                }
                baseline.learn(outcome);
            }
        }
        (verdict, evidence)
    }

    fn share_of(runs: u64, effect: f64, shares: &[f64], wanted: impl Fn(Verdict) -> bool) -> f64 {
        (0..runs).filter(|seed| wanted(run(*seed, effect, shares).0)).count() as f64 / runs as f64
    }

    #[test]
    fn two_equal_arms_looked_at_after_every_day_are_told_apart_in_one_run_of_twenty_at_most() {
        let stopped = |verdict| verdict != Verdict::Running;
        let two = share_of(2_000, 0.0, &SHARES, stopped);
        let three = share_of(1_000, 0.0, &[0.5, 0.25, 0.25], stopped);
        let uneven = share_of(1_000, 0.0, &[0.8, 0.2], stopped);
        assert!(two <= 0.05 && three <= 0.05 && uneven <= 0.05, "{two} {three} {uneven}");
    }

    #[test]
    fn an_arm_that_is_a_third_better_wins_and_one_that_is_worse_loses() {
        let [better, worse] = [0.35, -0.3].map(|effect| {
            let winner = u32::from(effect > 0.0);
            share_of(200, effect, &SHARES, |verdict| verdict == Verdict::Decided(winner))
        });
        assert!(better > 0.8 && worse > 0.8, "{better} {worse}");
        let (_, evidence) = run(3, 0.35, &SHARES);
        let effect = evidence.comparisons(0.05)[0].effect.unwrap();
        assert!(effect[0] < 0.35 && effect[1] > 0.0 && 0.35 < effect[2], "{effect:?}");
    }

    #[test]
    fn intervals_of_equal_arms_hold_nothing_in_nearly_all_runs() {
        let covers = |seed: &u64| {
            let (_, evidence) = run(*seed, 0.0, &SHARES);
            let effect = evidence.comparisons(0.05)[0].effect.unwrap();
            effect[0] <= 0.0 && 0.0 <= effect[2]
        };
        let covered = (0..1_000).filter(covers).count();
        assert!(covered >= 940, "{covered} of 1000");
    }

    #[test]
    fn a_broken_toss_voids_the_experiment() {
        let mut evidence = Evidence::new(2);
        for _ in 0..60 {
            evidence.add(0, 1.0, &Baseline::default(), &SHARES);
        }
        assert_eq!(evidence.verdict(0.05, &SHARES), Verdict::Void);
        assert_eq!(evidence.arms, [(60, 60.0), (0, 0.0)]);
    }

    #[test]
    fn nothing_is_concluded_from_days_that_nothing_let_expect() {
        let mut evidence = Evidence::new(2);
        let mut young = Baseline::default();
        (0..3).for_each(|_| young.learn(5.0));
        evidence.add(1, 1e9, &young, &SHARES);
        evidence.add(7, 1.0, &young, &SHARES);
        evidence.add(0, f64::NAN, &young, &SHARES);
        assert_eq!(evidence.comparisons(0.05), [Comparison { ln_e: 0.0, effect: None }]);
        assert_eq!(evidence.arms[1].0, 1);
    }
}
