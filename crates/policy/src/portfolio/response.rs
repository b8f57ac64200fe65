//! What a campaign's money brings, where the bids are a platform's: value a (1 - e^(-s/b)) of a day's spend s, with honest
//! uncertainty.
//!
//! Counts of a day are taken as Poisson with mean F a (1 - e^(-s/b)), F the share of them that is visible yet. Under a flat
//! prior a drops out: given b it is K / sum F (1 - e^(-s/b)), and ln L(b) = sum k ln(1 - e^(-s/b)) - K ln(sum F (1 - e^(-s/b))).
//! b has a wide log-normal prior around the mean spend. What always holds: figures are finite or there are none; days that
//! are all alike leave the prior as wide as it was, and then no gain is proven. Missing on purpose: days that affect later
//! days, and the demand that spend follows (days that were not bound by the budget are not asked).

use crate::settings::Portfolio as Settings;
use libm::{exp, expm1, log, sqrt};

/// One day of a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Day {
    /// Spent.
    pub spend_micros: i64,
    /// Conversions that are visible, or value in conversions of mean worth.
    pub worth: f64,
    /// Share of what the day brings that is visible yet.
    pub seen_share: f64,
}

/// What is believed of one campaign: curves and their weights, which sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    curves: Vec<(f64, f64, f64)>,
    conversions: f64,
}

/// A gain with its uncertainty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gain {
    /// 5 % below.
    pub low: f64,
    /// Mean.
    pub mid: f64,
    /// 5 % above.
    pub high: f64,
}

/// Curves between very steep and nearly straight.
const GRID: i32 = 60;
/// ln(b / mean spend) of the first and the last.
const LN_B: (f64, f64) = (-2.0, 3.0);
/// Two-sided 90 % of a normal.
const Z: f64 = 1.645;

impl Response {
    /// Learned from days; `None` without spend and worth.
    pub fn of(days: &[Day], settings: &Settings) -> Option<Self> {
        let sound =
            |day: &&Day| day.spend_micros > 0 && day.worth.is_finite() && day.worth >= 0.0 && day.seen_share > 0.0;
        let days: Vec<&Day> = days.iter().filter(sound).collect();
        let mean = days.iter().map(|day| day.spend_micros as f64).sum::<f64>() / days.len() as f64;
        let conversions: f64 = days.iter().map(|day| day.worth).sum();
        if days.is_empty() || conversions <= 0.0 {
            return None;
        }
        let mut curves = Vec::with_capacity(GRID as usize + 1);
        for step in 0..=GRID {
            let ln_b = LN_B.0 + (LN_B.1 - LN_B.0) * f64::from(step) / f64::from(GRID);
            let b = mean * exp(ln_b);
            let answer = |day: &Day| -expm1(-(day.spend_micros as f64) / b);
            let expected: f64 = days.iter().map(|day| day.seen_share * answer(day)).sum();
            let likelihood =
                days.iter().map(|day| day.worth * log(answer(day))).sum::<f64>() - conversions * log(expected);
            let prior = -ln_b * ln_b / (2.0 * settings.curve_prior_sd * settings.curve_prior_sd);
            // Days differ by more than chance: their counts say less than as many independent ones would.
            curves.push((conversions / expected, b, likelihood / settings.curve_dispersion + prior));
        }
        let most = curves.iter().map(|(_, _, ln)| *ln).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = curves.iter().map(|(_, _, ln)| exp(ln - most)).sum();
        curves.iter_mut().for_each(|(_, _, weight)| *weight = exp(*weight - most) / sum);
        let finite = curves.iter().all(|(a, b, weight)| a.is_finite() && b.is_finite() && weight.is_finite());
        finite.then_some(Self { curves, conversions: conversions / settings.curve_dispersion })
    }

    /// The same answers in another unit of worth.
    pub fn worth_times(&self, factor: f64) -> Self {
        let curves = self.curves.iter().map(|(a, b, weight)| (a * factor, *b, *weight)).collect();
        Self { curves, conversions: self.conversions }
    }

    /// Logarithm of the value of one more micro at a spend, in the mean of the curves.
    pub fn ln_return(&self, spend_micros: i64) -> f64 {
        log(self.mean(|a, b| a / b * exp(-(spend_micros as f64) / b)))
    }

    /// Mean value of a spend.
    pub fn value(&self, spend_micros: i64) -> f64 {
        self.mean(|a, b| -a * expm1(-(spend_micros as f64) / b))
    }

    /// Mean and variance of what a change brings.
    fn change(&self, from_micros: i64, to_micros: i64) -> (f64, f64) {
        let of = |a: f64, b: f64| a * (exp(-(from_micros as f64) / b) - exp(-(to_micros as f64) / b));
        let mean = self.mean(of);
        let square = self.mean(|a, b| of(a, b) * of(a, b));
        // a given b varies by a share of one over its conversions.
        (mean, (square - mean * mean).max(0.0) + square / self.conversions)
    }

    fn mean(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        self.curves.iter().map(|(a, b, weight)| weight * of(*a, *b)).sum()
    }
}

/// What moving budgets brings, as a share of what the pool brings now.
pub fn gain(responses: &[Option<Response>], budgets_micros: &[i64], moves_micros: &[i64]) -> Option<Gain> {
    let (mut value, mut mean, mut variance) = (0.0, 0.0, 0.0);
    for ((response, budget), change) in responses.iter().zip(budgets_micros).zip(moves_micros) {
        let Some(response) = response else { continue };
        value += response.value(*budget);
        let (gained, spread) = response.change(*budget, budget.saturating_add(*change));
        mean += gained;
        variance += spread;
    }
    let off = Z * sqrt(variance);
    let gain = Gain { low: (mean - off) / value, mid: mean / value, high: (mean + off) / value };
    [gain.low, gain.mid, gain.high].iter().all(|figure| figure.is_finite()).then_some(gain)
}

/// Whether it is worth a person's look: large enough, and its interval does not touch nothing.
pub fn is_worth_it(gain: &Gain, settings: &Settings) -> bool {
    gain.mid >= settings.gain_min && gain.low > 0.0
}
