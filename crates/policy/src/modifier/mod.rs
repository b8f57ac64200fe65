//! Factors on the bid by hour, device, place: what a click of one kind is worth against the mean (section 7).
//!
//! Three questions, one file each: is the difference real ([`evidence`]: an e-value from newly seen conversions, so that a
//! look a day for ever gives no false answer), how large is it ([`estimate`]: by stretches of the day, or value by value, as
//! far as differences are more than chance), which factors follow ([`factors`]: within bounds, only where it is real).
//!
//! Two errors are kept apart. That a campaign without any difference *ever* gets a factor is a matter of the family: the
//! mean of a dimension's e-values is one itself, so by Ville's inequality it ever reaches `x` with a chance of at most
//! `1 / x`, whatever the dependence of its cells and however often one looks; the dimensions share the allowance evenly.
//! Which cells of a family differ, once one surely does, is e-BH's. The second rule alone let a table through in up to 5 %
//! of campaigns by hours alone, and each such table moved all hours.
//!
//! What always holds: a cell of which nothing is proven has the factor 1, and one that is proven to be better never gets
//! less, nor a worse one more; every result is finite for any input. Factors are relative to what is usual ([`usual_hour`],
//! [`usual_value`]); the bid that they multiply is found by the loop, so what they add to spend it takes back.
//!
//! Missing on purpose: interactions between dimensions (the product of main effects stands for them), factors on top of a
//! platform's own bidding (most platforms ignore them).

pub mod estimate;
pub mod evidence;

pub use estimate::{Measured, rates_over_mean, shrunk_over_mean};
pub use evidence::{Evidence, POINTS};

use crate::arithmetic::ppm;
use crate::detect::discovery::e_bh;
use crate::settings::Modifiers as Settings;
use model::WHOLE_PPM;

/// Families that share the error that a campaign may make: hour, device, geo, placement, creative, weather.
pub const FAMILIES: usize = 6;

/// What is proven of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proven {
    /// Nothing.
    #[default]
    No,
    /// Its clicks are worth more than those of the dimension's mean.
    Above,
    /// Less.
    Below,
}

/// Which cells are proven to differ: none before the family is; then by e-BH over the cells of a dimension.
pub fn proven(cells: &[Evidence], settings: &Settings) -> Vec<Proven> {
    let e_values: Vec<f64> = cells.iter().map(|cell| cell.e_value()).collect();
    if !is_family_proven(&e_values, settings) {
        return vec![Proven::No; cells.len()];
    }
    let direction = |cell: &Evidence| if cell.is_above() { Proven::Above } else { Proven::Below };
    let holds = e_bh(&e_values, settings.false_discovery_rate);
    cells.iter().zip(holds).map(|(cell, holds)| if holds { direction(cell) } else { Proven::No }).collect()
}

/// Whether some cell of the family surely differs: the mean e-value against this family's part of the allowance.
fn is_family_proven(e_values: &[f64], settings: &Settings) -> bool {
    let mean = e_values.iter().sum::<f64>() / e_values.len().max(1) as f64;
    mean * settings.any_false_share >= FAMILIES as f64
}

/// Factors of hours: each proven hour's estimated rate over that of a usual hour; the others 1.
pub fn hour_factors(cells: &[Measured], proven: &[Proven], settings: &Settings) -> Vec<f64> {
    let raw = bounded(&rates_over_mean(cells), settings);
    let usual = usual_hour(&raw);
    relative(&raw, proven, usual, settings)
}

/// Factors of values in no order: each proven value's estimated rate over that of what is usual; the others 1.
pub fn value_factors(cells: &[Measured], proven: &[Proven], settings: &Settings) -> Vec<f64> {
    let raw = bounded(&shrunk_over_mean(cells), settings);
    let usual = usual_value(&raw, cells, proven);
    relative(&raw, proven, usual, settings)
}

fn bounded(rates: &[f64], settings: &Settings) -> Vec<f64> {
    rates.iter().map(|rate| clamp(*rate, settings.least, settings.most)).collect()
}

fn relative(raw: &[f64], proven: &[Proven], usual: f64, settings: &Settings) -> Vec<f64> {
    let factor = |(raw, proven): (&f64, &Proven)| {
        let over = clamp(raw / usual, settings.product_least, settings.product_most);
        // What is no half of a step away is not worth telling, nor is the hour that it would set off 1.
        if libm::log(over).abs() < settings.publish_step / 2.0 {
            return 1.0;
        }
        match proven {
            Proven::No => 1.0,
            Proven::Above => over.max(1.0),
            Proven::Below => over.min(1.0),
        }
    };
    raw.iter().zip(proven).map(factor).collect()
}

/// The mean of the middle half of the hours. Not weighed by spend, which follows the factors: a strong evening would come to
/// be what is usual, and all other hours would get a factor for it.
pub fn usual_hour(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    let middle = sorted.get(quarter..sorted.len() - quarter).unwrap_or_default();
    let mean = libm::exp(middle.iter().map(|rate| libm::log(*rate)).sum::<f64>() / middle.len().max(1) as f64);
    if mean > 0.0 && mean.is_finite() { mean } else { 1.0 }
}

/// The spend-weighted mean of the values of which nothing is proven, so that they need no factor; where nearly all are
/// proven, that of all.
pub fn usual_value(rates: &[f64], cells: &[Measured], proven: &[Proven]) -> f64 {
    let (mut logs, mut weights) = (0.0, 0.0);
    for ((rate, cell), proven) in rates.iter().zip(cells).zip(proven) {
        let counts = if *proven == Proven::No { 1.0 } else { PROVEN_COUNTS };
        let weight = cell.spend.max(0.0) * counts;
        logs += weight * libm::log(*rate);
        weights += weight;
    }
    let mean = libm::exp(logs / weights);
    if mean > 0.0 && mean.is_finite() { mean } else { 1.0 }
}

/// A value that is proven to differ says so little of what is usual: enough where there is nothing else.
const PROVEN_COUNTS: f64 = 0.05;

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

/// Bounds come from a file: they may be in any order, and the value may be no number.
fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if value.is_finite() { value.max(least).min(most.max(least)) } else { 1.0 }
}

#[cfg(test)]
mod tests;
