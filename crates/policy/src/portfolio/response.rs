//! What a campaign's money brings, where the bids are a platform's: value a (1 - e^(-s/b)) of a day's budget s, with honest
//! uncertainty.
//!
//! Counts of a day are taken as Poisson with mean F a (1 - e^(-s/b)), F the share of them that is visible yet. Under a flat
//! prior a drops out: given b it is K / sum F (1 - e^(-s/b)), and ln L(b) = sum k ln(1 - e^(-s/b)) - K ln(sum F (1 - e^(-s/b))).
//! b has a wide log-normal prior around the mean budget. Days differ by more than chance: by how much, the days themselves
//! say, and at least what the settings do.
//!
//! s is the budget that was in force, not what was spent: budgets are what we (or people) set, while a day's spend strays
//! because its events do, so that a curve over spend would look straight whatever it is.
//!
//! A gain is looked at every night. Its interval therefore holds at all looks together: with the variance of the gain
//! before and after the days were seen, v0 and v, it is z sqrt(v) wide on each side, z^2 = 2 ln(1/0.1) + ln(v0/v): the normal
//! mixture of Robbins, in which a test at z = 1.645 each night would sooner or later prove anything.
//!
//! What always holds: figures are finite or there are none; days that are all alike leave the prior as wide as it was, and
//! then no gain is proven; curves only rise, so money that nobody gives up is no loss. Missing on purpose: days that affect
//! later days, and markets that drift while budgets do (the shifts of [`super::explore`] are tossed, moves are not).

use crate::settings::Portfolio as Settings;
use libm::{exp, expm1, log, sqrt};

/// One day of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Day {
    /// Budget in force.
    pub budget_micros: i64,
    /// Conversions that are visible, or value in conversions of mean worth.
    pub worth: f64,
    /// Share of what the day brings that is visible yet.
    pub seen_share: f64,
}

/// What is believed of one campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    curves: Vec<Curve>,
    /// Conversions that were seen, each counted as far as chance alone would have it.
    conversions: f64,
    dispersion: f64,
    /// Worth of a conversion, in the unit of the values.
    unit: f64,
}

/// One curve, and how much it is believed after and before the days: each sums to 1 over all curves.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Curve {
    a: f64,
    b: f64,
    weight: f64,
    prior: f64,
}

/// A gain with its uncertainty: 5 % each below low and above high, at all looks together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gain {
    /// The least.
    pub low: f64,
    /// Mean.
    pub mid: f64,
    /// The most.
    pub high: f64,
}

/// What is known of the last unit of money of one campaign, and what a shift of its budget would tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Marginal {
    /// Value of one more micro.
    pub mean: f64,
    /// Its variance now.
    pub variance: f64,
    /// Its variance before any day was seen.
    pub variance_before: f64,
    /// Variance of what one day brings.
    pub noise: f64,
    /// Mean value of a day.
    pub value: f64,
}

/// Curves between very steep and nearly straight.
const GRID: i32 = 60;
/// ln(b / mean budget) of the first and the last.
const LN_B: (f64, f64) = (-2.0, 3.0);
/// -2 ln of the chance of an interval that does not hold at some look.
const LOOKS: f64 = 4.605;

impl Response {
    /// Learned from days; `None` without budgets and worth.
    pub fn of(days: &[Day], settings: &Settings) -> Option<Self> {
        let sound =
            |day: &&Day| day.budget_micros > 0 && day.worth.is_finite() && day.worth >= 0.0 && day.seen_share > 0.0;
        let days: Vec<&Day> = days.iter().filter(sound).collect();
        let mean = days.iter().map(|day| day.budget_micros as f64).sum::<f64>() / days.len() as f64;
        let conversions: f64 = days.iter().map(|day| day.worth).sum();
        if days.is_empty() || conversions <= 0.0 {
            return None;
        }
        let grid: Vec<(Curve, f64, f64)> =
            (0..=GRID).map(|step| seen(&days, mean, conversions, step, settings)).collect();
        let most = grid.iter().map(|(_, likelihood, _)| *likelihood).fold(f64::NEG_INFINITY, f64::max);
        let best = grid.iter().find(|(_, likelihood, _)| *likelihood >= most).map(|(curve, ..)| *curve)?;
        let dispersion = settings.curve_dispersion.max(best.dispersion(&days));
        let ln_weight = |likelihood: f64, prior: f64| (likelihood - most) / dispersion + prior;
        let sum: f64 = grid.iter().map(|(_, likelihood, prior)| exp(ln_weight(*likelihood, *prior))).sum();
        let before: f64 = grid.iter().map(|(.., prior)| exp(*prior)).sum();
        let curves: Vec<Curve> = grid
            .iter()
            .map(|(curve, likelihood, prior)| Curve {
                weight: exp(ln_weight(*likelihood, *prior)) / sum,
                prior: exp(*prior) / before,
                ..*curve
            })
            .collect();
        let finite = |of: &Curve| [of.a, of.b, of.weight, of.prior].iter().all(|figure| figure.is_finite());
        let sound = curves.iter().all(finite) && dispersion.is_finite();
        sound.then_some(Self { curves, conversions: conversions / dispersion, dispersion, unit: 1.0 })
    }

    /// The same answers in another unit of worth.
    pub fn worth_times(&self, factor: f64) -> Self {
        let curves = self.curves.iter().map(|curve| Curve { a: curve.a * factor, ..*curve }).collect();
        Self { curves, unit: self.unit * factor, ..*self }
    }

    /// Logarithm of the value of one more micro at a budget, in the mean of the curves.
    pub fn ln_return(&self, budget_micros: i64) -> f64 {
        log(self.mean(|curve| curve.slope(budget_micros as f64)))
    }

    /// Mean value of a budget.
    pub fn value(&self, budget_micros: i64) -> f64 {
        self.mean(|curve| -curve.a * expm1(-(budget_micros as f64) / curve.b))
    }

    /// What is known of the last unit of a budget.
    pub fn marginal(&self, budget_micros: i64) -> Marginal {
        let slope = |curve: &Curve| curve.slope(budget_micros as f64);
        let value = self.value(budget_micros);
        let [mean, variance, variance_before] = self.moments(slope);
        Marginal { mean, variance, variance_before, noise: self.dispersion * value * self.unit, value }
    }

    /// Mean of what a change brings, its variance now and before the days, and the least of all curves.
    fn change(&self, from_micros: i64, to_micros: i64) -> [f64; 4] {
        let of = |curve: &Curve| curve.a * (exp(-(from_micros as f64) / curve.b) - exp(-(to_micros as f64) / curve.b));
        let [mean, variance, before] = self.moments(of);
        let least = self.curves.iter().map(of).fold(f64::INFINITY, f64::min);
        [mean, variance, before, if to_micros > from_micros { least.max(0.0) } else { f64::NEG_INFINITY }]
    }

    /// Mean and variance now, variance before the days.
    fn moments(&self, of: impl Fn(&Curve) -> f64) -> [f64; 3] {
        let sums = self.curves.iter().fold([0.0; 4], |[mean, square, mean_before, square_before], curve| {
            let value = of(curve);
            let (now, before) = (curve.weight * value, curve.prior * value);
            [mean + now, square + now * value, mean_before + before, square_before + before * value]
        });
        // a given b varies by a share of one over its conversions.
        let variance = |mean: f64, square: f64| (square - mean * mean).max(0.0) + square / self.conversions;
        let now = variance(sums[0], sums[1]);
        [sums[0], now, variance(sums[2], sums[3]).max(now)]
    }

    fn mean(&self, of: impl Fn(&Curve) -> f64) -> f64 {
        self.curves.iter().map(|curve| curve.weight * of(curve)).sum()
    }
}

/// One curve of the grid, the logarithm of its likelihood and that of its prior.
fn seen(days: &[&Day], mean: f64, conversions: f64, step: i32, settings: &Settings) -> (Curve, f64, f64) {
    let ln_b = LN_B.0 + (LN_B.1 - LN_B.0) * f64::from(step) / f64::from(GRID);
    let b = mean * exp(ln_b);
    let answer = |day: &Day| -expm1(-(day.budget_micros as f64) / b);
    let expected: f64 = days.iter().map(|day| day.seen_share * answer(day)).sum();
    let likelihood = days.iter().map(|day| day.worth * log(answer(day))).sum::<f64>() - conversions * log(expected);
    let prior = -ln_b * ln_b / (2.0 * settings.curve_prior_sd * settings.curve_prior_sd);
    (Curve { a: conversions / expected, b, weight: 0.0, prior: 0.0 }, likelihood, prior)
}

impl Curve {
    fn slope(&self, budget_micros: f64) -> f64 {
        self.a / self.b * exp(-budget_micros / self.b)
    }

    /// Variance of the days around it, over that of chance (Pearson).
    fn dispersion(&self, days: &[&Day]) -> f64 {
        let strayed = |day: &&Day| {
            let expected = -day.seen_share * self.a * expm1(-(day.budget_micros as f64) / self.b);
            (day.worth - expected) * (day.worth - expected) / expected
        };
        // a and b were fitted to the same days.
        days.iter().map(strayed).sum::<f64>() / (days.len() as f64 - 2.0).max(1.0)
    }
}

/// How many standard deviations prove something at all looks together, from the variance before and now.
pub(super) fn looks(variance_before: f64, variance: f64) -> f64 {
    sqrt(LOOKS + log((variance_before / variance).max(1.0)))
}

/// What moving budgets brings, as a share of what the pool brings now. Campaigns without a curve bring `beside` together,
/// whatever moves.
pub fn gain(
    responses: &[Option<&Response>],
    budgets_micros: &[i64],
    moves_micros: &[i64],
    beside: f64,
) -> Option<Gain> {
    let (mut value, mut sums) = (beside, [0.0; 4]);
    for ((response, budget), change) in responses.iter().zip(budgets_micros).zip(moves_micros) {
        let Some(response) = response else { continue };
        value += response.value(*budget);
        if *change != 0 {
            let change = response.change(*budget, budget.saturating_add(*change));
            sums.iter_mut().zip(change).for_each(|(sum, part)| *sum += part);
        }
    }
    let [mean, variance, before, least] = sums;
    let off = looks(before, variance) * sqrt(variance);
    let gain = Gain { low: (mean - off).max(least) / value, mid: mean / value, high: (mean + off) / value };
    [gain.low, gain.mid, gain.high].iter().all(|figure| figure.is_finite()).then_some(gain)
}

/// Whether its interval does not touch nothing.
pub fn is_proven(gain: &Gain) -> bool {
    gain.mid > 0.0 && gain.low > 0.0
}
