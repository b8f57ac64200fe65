//! What a customer is still worth: how often they will buy again (BG/NBD) and for how much (Gamma-Gamma).
//!
//! Both models are fitted by maximum likelihood without a penalty, on customers counted by equal histories, from fixed
//! starts: the same customers in any order give the same bytes. Missing on purpose: discounting, covariates, and any
//! claim for customers whose spend depends on how often they buy (see [`gamma_gamma::frequency_correlation`]).

pub mod bg_nbd;
pub mod gamma_gamma;
mod simplex;

pub use bg_nbd::BgNbd;
pub use gamma_gamma::GammaGamma;

/// What is known of one customer; times in one unit, weeks by custom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Customer {
    /// Purchases after the first.
    pub repeats: f64,
    /// From the first purchase to the last.
    pub last: f64,
    /// From the first purchase to the end of what was seen.
    pub age: f64,
}

/// A fitted model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit<M> {
    /// Its parameters.
    pub model: M,
    /// Natural log of the likelihood, summed over customers.
    pub log_likelihood: f64,
}

/// Rows that are equal, counted; sorted, so that their order does not matter.
fn counted<const N: usize>(rows: impl Iterator<Item = [f64; N]>) -> Vec<([f64; N], f64)> {
    let mut rows: Vec<[f64; N]> = rows.collect();
    let order = |one: &[f64; N], other: &[f64; N]| {
        one.iter()
            .zip(other)
            .map(|(x, y)| x.total_cmp(y))
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal)
    };
    rows.sort_unstable_by(order);
    let mut counted: Vec<([f64; N], f64)> = Vec::new();
    for row in rows {
        match counted.last_mut() {
            Some((last, times)) if order(last, &row).is_eq() => *times += 1.0,
            _ => counted.push((row, 1.0)),
        }
    }
    counted
}
