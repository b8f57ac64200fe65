//! Is a cell's rate another than that of the rest: an e-value that may be looked at every day.
//!
//! Each day's newly seen conversions fall into the cell with its share of the newly matured exposure, if there is no
//! difference. The likelihood ratio of "the cell converts theta times as often" against that is `theta^x / (1 - rho + rho
//! theta)^K`; its mean over theta is 1 without a difference, whatever the shares of the days were, and so is the product
//! over days. The mixture over `ln theta ~ N(0, sd)` keeps that. Conversions count once, when they are first seen.
//!
//! No day counts for more than [`Settings::day_evidence_most`]: the mean of a ratio that was cut is still at most 1, so the
//! guarantee stays, and an evening on which something else happened proves nothing alone.

use crate::settings::Modifiers as Settings;
use serde::{Deserialize, Serialize};

/// Points of the mixture.
pub const POINTS: usize = 21;
/// The mixture reaches this many standard deviations to each side.
const REACH: f64 = 3.0;
/// `exp` of more has no `f64`, and tells nothing more.
const LOG_MAX: f64 = 600.0;

/// The log likelihood ratios of a cell so far, at each point of the mixture. In `f32`: there is one for every hour of every
/// campaign, and a millionth of a nat decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    logs: [f32; POINTS],
}

impl Evidence {
    /// Takes a day: `seen` of the day's `all` conversions fell into the cell, `share` of the exposure did.
    pub fn take(&mut self, seen: f64, all: f64, share: f64, settings: &Settings) {
        let (seen, share) = (seen.clamp(0.0, all.max(0.0)), share.clamp(0.0, 1.0));
        let tells = all > 0.0 && share > 0.0 && share < 1.0 && all.is_finite();
        if !tells || seen.is_nan() {
            return;
        }
        let most = libm::log(settings.day_evidence_most.max(1.0));
        for (point, log) in self.logs.iter_mut().enumerate() {
            let log_theta = log_theta(point, settings);
            let day = seen * log_theta - all * libm::log(1.0 - share + share * libm::exp(log_theta));
            let sum = f64::from(*log) + day.min(most);
            *log = if sum.is_finite() { sum as f32 } else { 0.0 };
        }
    }

    /// The mean likelihood ratio: above 1/alpha with a probability of at most alpha where there is no difference.
    pub fn e_value(&self) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (point, log) in self.logs.iter().enumerate() {
            let deviations = deviations(point);
            let weight = libm::exp(-deviations * deviations / 2.0);
            sum += weight * libm::exp(f64::from(*log).min(LOG_MAX));
            weights += weight;
        }
        sum / weights
    }
}

impl Evidence {
    /// Whether what was seen speaks for more than the others, not for less: the middle of the mixture's weight.
    pub fn is_above(&self) -> bool {
        let top = self.logs.iter().copied().fold(f32::MIN, f32::max);
        let weighed = self.logs.iter().enumerate().map(|(point, log)| {
            let deviations = deviations(point);
            deviations * libm::exp(f64::from(*log - top) - deviations * deviations / 2.0)
        });
        weighed.sum::<f64>() > 0.0
    }
}

fn deviations(point: usize) -> f64 {
    REACH * (2.0 * point as f64 / (POINTS - 1) as f64 - 1.0)
}

fn log_theta(point: usize, settings: &Settings) -> f64 {
    deviations(point) * settings.log_ratio_sd.clamp(0.0, 10.0)
}
