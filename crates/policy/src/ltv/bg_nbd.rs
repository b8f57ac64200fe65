//! BG/NBD (Fader, Hardie and Lee 2005): a customer buys at a rate of their own until, after some purchase, they leave.
//!
//! Rates are Gamma(r, alpha), the chance of leaving after a purchase is Beta(a, b).

use super::{Customer, Fit, counted, simplex::minimize};

/// Parameters of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BgNbd {
    /// Shape of the purchase rate.
    pub r: f64,
    /// Its scale, in the unit of time.
    pub alpha: f64,
    /// Beta's first parameter: of leaving.
    pub a: f64,
    /// Beta's second parameter: of staying.
    pub b: f64,
}

/// The parameters under which these customers are likeliest; `None` where no customer bought again, or a history is not
/// possible: then nothing is known of leaving.
pub fn fit(customers: &[Customer]) -> Option<Fit<BgNbd>> {
    let possible = |c: &Customer| c.repeats >= 0.0 && c.last >= 0.0 && c.age >= c.last && c.age.is_finite();
    if !customers.iter().all(|c| possible(c) && c.repeats.is_finite()) || !customers.iter().any(|c| c.repeats > 0.0) {
        return None;
    }
    let rows = counted(customers.iter().map(|c| [c.repeats, c.last, c.age]));
    let age = rows.iter().map(|([_, _, age], times)| times * age).sum::<f64>() / customers.len() as f64;
    let misfit = |logs: &[f64; 4]| {
        if logs.iter().any(|log| log.abs() > FARTHEST_LOG) {
            return f64::INFINITY;
        }
        -log_likelihood_of(&BgNbd::from_logs(logs), &rows)
    };
    let (logs, misfit) = STARTS
        .iter()
        .map(|[r, per_age, a, b]| minimize(&misfit, [*r, per_age * age.max(f64::MIN_POSITIVE), *a, *b].map(libm::log)))
        .reduce(|best, next| if next.1 < best.1 { next } else { best })?;
    misfit.is_finite().then(|| Fit { model: BgNbd::from_logs(&logs), log_likelihood: -misfit })
}

impl BgNbd {
    /// Natural log of the likelihood, summed over customers.
    pub fn log_likelihood(&self, customers: &[Customer]) -> f64 {
        log_likelihood_of(self, &counted(customers.iter().map(|c| [c.repeats, c.last, c.age])))
    }

    /// The chance that a customer has not left.
    pub fn p_alive(&self, customer: &Customer) -> f64 {
        if customer.repeats <= 0.0 {
            return 1.0;
        }
        let silence = libm::log((self.alpha + customer.age) / (self.alpha + customer.last));
        let odds = self.a / (self.b + customer.repeats - 1.0) * libm::exp((self.r + customer.repeats) * silence);
        1.0 / (1.0 + odds)
    }

    /// Purchases to expect of a customer within a span after what was seen.
    pub fn expected_purchases(&self, customer: &Customer, span: f64) -> f64 {
        if span <= 0.0 {
            return 0.0;
        }
        // The published form has (a + b + x - 1)/(a - 1) before 1 - (1-z)^(r+x) 2F1(r+x, b+x; a+b+x-1; z). Euler's
        // transformation gives (1-z)^(a-1) 2F1(a+b-1-r, a-1; a+b+x-1; z) instead; its first term is taken out, so that
        // neither a = 1 nor a + b + x = 1 divides by zero, and the series left converges as fast as powers of z.
        let c = self.a + self.b + customer.repeats - 1.0;
        let known = self.alpha + customer.age;
        let (z, ln_rest) = (span / (known + span), libm::log(known / (known + span)));
        let power = self.a - 1.0;
        let first = if power.abs() < 1e-12 { -ln_rest } else { -libm::expm1(power * ln_rest) / power };
        let expected = c * first - libm::exp(power * ln_rest) * self.series(c, z);
        (expected * self.p_alive(customer)).max(0.0)
    }

    /// c (2F1(a+b-1-r, a-1; c; z) - 1) / (a - 1).
    fn series(&self, c: f64, z: f64) -> f64 {
        let (upper, mut sum) = (self.a + self.b - 1.0 - self.r, 0.0);
        let mut term = upper * z;
        for k in 1..TERMS_MAX {
            sum += term;
            let k = f64::from(k);
            let factor = (upper + k) * (self.a + k - 1.0) / ((c + k) * (k + 1.0)) * z;
            term *= factor;
            if term == 0.0 || (term.abs() <= 1e-17 * sum.abs() && factor.abs() < 1.0) {
                break;
            }
        }
        sum
    }

    fn from_logs(logs: &[f64; 4]) -> Self {
        let [r, alpha, a, b] = logs.map(libm::exp);
        Self { r, alpha, a, b }
    }
}

fn log_likelihood_of(model: &BgNbd, rows: &[([f64; 3], f64)]) -> f64 {
    let BgNbd { r, alpha, a, b } = *model;
    let fixed = r * libm::log(alpha) - libm::lgamma(r) + libm::lgamma(a + b) - libm::lgamma(b);
    let mut sum = 0.0;
    // Rows are sorted by repeats: what depends on these alone is computed once for all of them.
    let (mut repeats, mut common, mut ln_leave) = (f64::NAN, 0.0, 0.0);
    for ([x, last, age], times) in rows {
        if *x != repeats {
            repeats = *x;
            common = fixed + libm::lgamma(r + x) + libm::lgamma(b + x) - libm::lgamma(a + b + x);
            ln_leave = libm::log(a) - libm::log(b + x - 1.0);
        }
        let stayed = -(r + x) * libm::log(alpha + age);
        let history = if *x > 0.0 { ln_sum(stayed, ln_leave - (r + x) * libm::log(alpha + last)) } else { stayed };
        sum += times * (common + history);
    }
    sum
}

/// ln(e^x + e^y).
fn ln_sum(x: f64, y: f64) -> f64 {
    x.max(y) + libm::log1p(libm::exp(-(x - y).abs()))
}

/// Common shapes: the second number is a part of the customers' mean age.
const STARTS: [[f64; 4]; 2] = [[0.5, 0.3, 1.0, 3.0], [2.0, 1.0, 0.5, 5.0]];
/// Parameters beyond e^12 say that the data have no answer; the search stays inside.
const FARTHEST_LOG: f64 = 12.0;
/// z at most .9999 is settled to the last bit within it.
const TERMS_MAX: i32 = 400_000;
