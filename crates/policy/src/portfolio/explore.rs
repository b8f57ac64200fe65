//! Small shifts of budgets whose answers tell response curves apart (section 11).
//!
//! What always holds: the shifts of a pool sum to nothing (they pass [`super::settle`]); up or down is the hash's word, one
//! half each, so the propensity of a shift's sign is known and a replay draws the same. Missing on purpose: shifts of bids.

use crate::settings::Portfolio as Settings;

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
