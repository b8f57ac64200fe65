//! Factors on the bid by hour, device, place: what a click of one kind is worth against the mean (section 7).
//!
//! Three questions, one file each: is the difference real ([`evidence`]: an e-value from newly seen conversions, so that a
//! look a day for ever gives no false answer), how large is it ([`estimate`]: by stretches of the day, as far as differences
//! are more than chance), which factors follow ([`factors`]: within bounds, only where it is real, neutral on the whole).
//!
//! What always holds: with no difference, or none that is proven, all factors are 1; factors move money and do not create
//! it (their spend-weighted geometric mean is 1 before the last clamp); every result is finite for any input.
//!
//! Missing on purpose: interactions between dimensions (the product of main effects stands for them), factors on top of a
//! platform's own bidding (most platforms ignore them).

pub mod estimate;
pub mod evidence;

pub use estimate::{Measured, rates_over_mean};
pub use evidence::{Evidence, POINTS};

use crate::arithmetic::ppm;
use crate::detect::discovery::e_bh;
use crate::settings::Modifiers as Settings;
use model::WHOLE_PPM;

/// Which cells are proven to differ: e-BH over the cells of a dimension.
pub fn proven(cells: &[Evidence], settings: &Settings) -> Vec<bool> {
    let e_values: Vec<f64> = cells.iter().map(|cell| cell.e_value()).collect();
    e_bh(&e_values, settings.false_discovery_rate)
}

/// Factors of a dimension's cells: all 1 until some cell is proven to differ, then each cell's estimated rate over the mean,
/// divided by their spend-weighted geometric mean. A cell that nothing is proven of has its stretch's rate, not 1: the cells
/// that are better have raised the mean, so 1 would be too much.
pub fn factors(cells: &[Measured], on: &[bool], settings: &Settings) -> Vec<f64> {
    if !on.iter().any(|on| *on) {
        return vec![1.0; cells.len()];
    }
    let rates = rates_over_mean(cells);
    let raw: Vec<f64> = rates.iter().map(|rate| clamp(*rate, settings.least, settings.most)).collect();
    let mean = geometric_mean(&raw, cells);
    raw.iter().map(|factor| clamp(factor / mean, settings.product_least, settings.product_most)).collect()
}

/// As it is published.
pub fn to_ppm(factors: &[f64]) -> Vec<i64> {
    factors.iter().map(|factor| ppm(*factor)).collect()
}

/// Whether some factor has moved far enough from what was published; an empty table is one of ones.
pub fn is_worth_a_command(wanted: &[i64], published: &[i64], settings: &Settings) -> bool {
    wanted.iter().enumerate().any(|(cell, wanted)| {
        let before = *published.get(cell).unwrap_or(&WHOLE_PPM);
        let moved = libm::log((*wanted).max(1) as f64 / before.max(1) as f64).abs();
        moved >= settings.publish_step
    })
}

fn geometric_mean(factors: &[f64], cells: &[Measured]) -> f64 {
    let (mut logs, mut spend) = (0.0, 0.0);
    for (factor, cell) in factors.iter().zip(cells) {
        let weight = cell.spend.max(0.0);
        logs += weight * libm::log(*factor);
        spend += weight;
    }
    if spend > 0.0 && logs.is_finite() { libm::exp(logs / spend) } else { 1.0 }
}

/// Bounds come from a file: they may be in any order, and the value may be no number.
fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if value.is_finite() { value.max(least).min(most.max(least)) } else { 1.0 }
}

#[cfg(test)]
mod tests;
