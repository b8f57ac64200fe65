//! Small shifts of budgets whose answers tell response curves apart (section 11).
//!
//! What always holds: the shifts of a pool sum to nothing (they pass [`super::settle`]); up or down is the hash's word, one
//! half each, so the propensity of a shift's sign is known and a replay draws the same; nobody is shifted whose shifts would
//! tell too little ([`worth_learning`]). Missing on purpose: shifts of bids.

use super::response::{Marginal, looks};
use crate::settings::Portfolio as Settings;
use libm::{erfc, sqrt};

/// Whose shifts may tell enough: within the days that are looked at they would prove, by some chance, that a campaign's
/// money returns so much more or less than the others' that moving it is worth a person's look. Without such a chance a
/// shift is a command for nothing. `movable` is the most that nights together may move; nothing is known of a campaign without a
/// [`Marginal`].
///
/// Shifts of d on T days take the variance v of a marginal return to v / (1 + v T d^2 / n), n the variance of a day's worth,
/// and so its mean moves by sqrt(v - v') on average. While some would learn too little, the worst quarter of these is left
/// out, for the others' shifts are larger without them.
pub fn worth_learning(
    known: &[Option<Marginal>],
    centers_micros: &[i64],
    movable_micros: &[i64],
    settings: &Settings,
) -> Vec<bool> {
    let mut part: Vec<bool> =
        known.iter().zip(centers_micros).map(|(known, center)| known.is_some() && *center > 0).collect();
    while part.iter().filter(|part| **part).count() >= 2 {
        let chances = chances(known, &part, centers_micros, movable_micros, settings);
        let mut poor: Vec<(f64, usize)> =
            chances.iter().enumerate().filter(|(at, _)| part[*at]).map(|(at, chance)| (*chance, at)).collect();
        poor.retain(|(chance, _)| *chance < settings.explore_chance_min);
        if poor.is_empty() {
            return part;
        }
        poor.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        poor.iter().take(poor.len().div_ceil(4)).for_each(|(_, at)| part[*at] = false);
    }
    vec![false; known.len()]
}

/// Chance of each campaign to be proven other than the rest, if those that take `part` are shifted.
fn chances(
    known: &[Option<Marginal>],
    part: &[bool],
    centers_micros: &[i64],
    movable_micros: &[i64],
    settings: &Settings,
) -> Vec<f64> {
    let pool = centers_micros.iter().map(|center| (*center).max(0) as f64).sum::<f64>();
    let raw = |at: usize| if part[at] { centers_micros[at].max(0) as f64 * settings.explore_share } else { 0.0 };
    let side = (0..part.len()).map(raw).sum::<f64>() / 2.0;
    let scale = (pool * settings.explore_pool_share / side).min(1.0);
    // Weight, return, variance now and after the shifts, variance before any day.
    let each: Vec<Option<(f64, Marginal, f64)>> = known
        .iter()
        .enumerate()
        .map(|(at, known)| {
            let known = (*known)?;
            let shift = raw(at) * scale;
            let told = settings.days.max(0) as f64 * shift * shift / known.noise;
            let after = known.variance / (1.0 + known.variance * told);
            Some((centers_micros[at].max(0) as f64, known, after)).filter(|_| after.is_finite())
        })
        .collect();
    let sums = each.iter().flatten().fold([0.0; 5], |sums, (weight, known, after)| {
        let square = weight * weight;
        let parts =
            [*weight, weight * known.mean, square * known.variance, square * after, square * known.variance_before];
        std::array::from_fn(|at| sums[at] + parts[at])
    });
    let value = each.iter().flatten().map(|(_, known, _)| known.value).sum::<f64>();
    let chance = |(of, movable): (&Option<(f64, Marginal, f64)>, &i64)| {
        let Some((weight, known, after)) = of else { return 0.0 };
        let others = sums[0] - weight;
        let apart = known.mean - (sums[1] - weight * known.mean) / others;
        let of_others = |at: usize, own: f64| own + (sums[at] - weight * weight * own) / (others * others);
        let (now, then) = (of_others(2, known.variance), of_others(3, *after));
        let before = of_others(4, known.variance_before);
        let enough = settings.gain_min * value / (*movable).max(0) as f64;
        let needs = |variance: f64| (looks(before, variance) * sqrt(variance)).max(enough);
        let learned = sqrt((now - then).max(0.0));
        // What is proven already needs no shift.
        if apart.abs() >= needs(now) || learned <= 0.0 {
            return 0.0;
        }
        let beyond = |gap: f64| erfc(gap / (learned * core::f64::consts::SQRT_2)) / 2.0;
        let chance = beyond(needs(then) - apart) + beyond(needs(then) + apart);
        if chance.is_finite() { chance } else { 0.0 }
    };
    each.iter().zip(movable_micros).map(chance).collect()
}

/// The change that each campaign's hash asks for: its share of the budget up or down, all scaled so that no more than the
/// pool's share moves. `center` is the budget without exploration; `up` nothing where the campaign does not take part.
pub fn shifts(centers_micros: &[i64], up: &[Option<bool>], settings: &Settings) -> Vec<f64> {
    let raw = |center: &i64, up: &Option<bool>| match up {
        Some(up) => (*center).max(0) as f64 * settings.explore_share * if *up { 1.0 } else { -1.0 },
        None => 0.0,
    };
    let raw: Vec<f64> = centers_micros.iter().zip(up).map(|(center, up)| raw(center, up)).collect();
    let pool = centers_micros.iter().map(|center| (*center).max(0) as f64).sum::<f64>();
    let side = |sign: f64| raw.iter().map(|shift| (shift * sign).max(0.0)).sum::<f64>();
    let (less, more) = (side(-1.0), side(1.0));
    let moved = less.min(more).min(pool * settings.explore_pool_share);
    let scale = |shift: f64| if shift < 0.0 { moved / less } else { moved / more };
    raw.iter().map(|shift| if *shift == 0.0 { 0.0 } else { shift * scale(*shift) }).collect()
}

/// Chance of the sign that was drawn.
pub const PROPENSITY_PPM: i64 = 500_000;
