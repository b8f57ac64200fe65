//! Gamma-Gamma (Fader and Hardie 2013): money a purchase varies around a mean of each customer's own.
//!
//! A purchase is Gamma(p, nu), and nu is Gamma(q, gamma) over customers.

use super::{Fit, counted, simplex::minimize};

/// What the repeat purchases of one customer cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spender {
    /// Purchases after the first.
    pub repeats: f64,
    /// Their mean money.
    pub mean: f64,
}

/// Parameters of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GammaGamma {
    /// Shape of a purchase.
    pub p: f64,
    /// Shape of its scale over customers.
    pub q: f64,
    /// Rate of that, in the unit of money.
    pub gamma: f64,
}

/// The parameters under which these customers are likeliest; those without repeats say nothing and are left out. `None`
/// where nobody is left, or a mean is not above zero.
pub fn fit(spenders: &[Spender]) -> Option<Fit<GammaGamma>> {
    let buyers: Vec<Spender> = spenders.iter().copied().filter(|s| s.repeats > 0.0).collect();
    if buyers.is_empty() || !buyers.iter().all(|s| s.mean > 0.0 && s.mean.is_finite() && s.repeats.is_finite()) {
        return None;
    }
    let rows = counted(buyers.iter().map(|s| [s.repeats, s.mean]));
    let mean = rows.iter().map(|([_, mean], times)| times * mean).sum::<f64>() / buyers.len() as f64;
    let misfit = |logs: &[f64; 3]| {
        let model = GammaGamma::from_logs(logs);
        if logs[0].abs() > FARTHEST_LOG || logs[1].abs() > FARTHEST_LOG {
            return f64::INFINITY;
        }
        -log_likelihood_of(&model, &rows)
    };
    let start = [2.0, 2.0, mean].map(libm::log);
    let (logs, misfit) = minimize(&misfit, start);
    misfit.is_finite().then(|| Fit { model: GammaGamma::from_logs(&logs), log_likelihood: -misfit })
}

impl GammaGamma {
    /// Natural log of the likelihood, summed over customers with repeats.
    pub fn log_likelihood(&self, spenders: &[Spender]) -> f64 {
        let buyers = spenders.iter().filter(|s| s.repeats > 0.0);
        log_likelihood_of(self, &counted(buyers.map(|s| [s.repeats, s.mean])))
    }

    /// Mean money a purchase to expect; the population's without repeats. `None` where the mean is infinite.
    pub fn expected_spend(&self, spender: &Spender) -> Option<f64> {
        let purchases = self.p * spender.repeats;
        let below = purchases + self.q - 1.0;
        let money = if spender.repeats > 0.0 { purchases * spender.mean } else { 0.0 };
        (below > 0.0).then(|| (self.p * self.gamma + money) / below)
    }

    fn from_logs(logs: &[f64; 3]) -> Self {
        let [p, q, gamma] = logs.map(libm::exp);
        Self { p, q, gamma }
    }
}

/// Correlation of how often and for how much customers buy again, which the model takes to be 0; `None` where either does
/// not vary.
pub fn frequency_correlation(spenders: &[Spender]) -> Option<f64> {
    let buyers: Vec<&Spender> = spenders.iter().filter(|s| s.repeats > 0.0).collect();
    let mean = |of: &dyn Fn(&Spender) -> f64| buyers.iter().map(|s| of(s)).sum::<f64>() / buyers.len() as f64;
    let (often, much) = (mean(&|s| s.repeats), mean(&|s| s.mean));
    let product = mean(&|s| (s.repeats - often) * (s.mean - much));
    let square = |of: &dyn Fn(&Spender) -> f64| mean(&|s| of(s) * of(s));
    let spread = square(&|s| s.repeats - often) * square(&|s| s.mean - much);
    (spread > 0.0).then(|| product / spread.sqrt())
}

fn log_likelihood_of(model: &GammaGamma, rows: &[([f64; 2], f64)]) -> f64 {
    let GammaGamma { p, q, gamma } = *model;
    let fixed = q * libm::log(gamma) - libm::lgamma(q);
    let mut sum = 0.0;
    for ([x, mean], times) in rows {
        let shape = p * x;
        sum += times
            * (fixed + libm::lgamma(shape + q) - libm::lgamma(shape)
                + (shape - 1.0) * libm::log(*mean)
                + shape * libm::log(*x)
                - (shape + q) * libm::log(gamma + x * mean));
    }
    sum
}

/// Shapes beyond e^12 say that the data have no answer; the search stays inside.
const FARTHEST_LOG: f64 = 12.0;
