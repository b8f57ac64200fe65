//! The usual size of what is left of a row, overall and by hour of the day.
//!
//! Sizes are mean absolute deviations of clipped values, so that one spike does not blind the series. Nights of few events
//! are noisier than days: each hour of the day has a factor of its own, learned slowly and bounded.

use super::running::Mean;
use super::settings::Settings;
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

/// Standard deviations in a mean absolute deviation of normal noise, the square root of pi/2.
const DEVIATIONS: f64 = 1.253_314_137_315_500_3;
/// A row counts as at most this many sizes.
const CLIP: f64 = 6.0;
/// Share of a row that an hour's factor learns; a new hour of 12 rows' belief in 1.
const HOUR_GAIN: f64 = 0.05;
/// An hour of the day is at most this many times noisier or calmer than the series.
const HOUR_FACTOR_MAX: f64 = 3.0;

/// Sizes of residuals (against season and level) and of surprises (against the rows before, too).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Noise {
    residual: Mean,
    surprise: Mean,
    hours: Vec<f64>,
}

impl Noise {
    /// Heap memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.hours.capacity() * size_of::<f64>()
    }

    /// The usual residual, for clipping what is learned.
    pub(super) fn residual_size(&self, settings: &Settings) -> f64 {
        self.residual.value().max(settings.scale_floor)
    }

    /// Residual and surprise in standard deviations of this hour of the day.
    pub(super) fn standardised(&self, residual: f64, surprise: f64, hour: usize, settings: &Settings) -> (f64, f64) {
        let factor = DEVIATIONS * self.hours.get(hour).copied().unwrap_or(1.0);
        let size = self.surprise.value().max(settings.scale_floor);
        (residual / (self.residual_size(settings) * factor), surprise / (size * factor))
    }

    /// Learns the sizes of a row; a young series takes them as they are.
    pub(super) fn learn(&mut self, row: (f64, f64), hour: usize, step_ms: Millis, young: bool, settings: &Settings) {
        let (residual, surprise) = (libm::fabs(row.0), libm::fabs(row.1));
        let own = self.surprise.value().max(settings.scale_floor);
        let limit = |size: f64| if young { f64::MAX } else { CLIP * size };
        let clipped = residual.min(limit(self.residual_size(settings)));
        self.residual.feed(clipped, step_ms, settings.scale_half_life_ms);
        self.surprise.feed(surprise.min(limit(own)), step_ms, settings.scale_half_life_ms);
        if self.hours.len() != 24 {
            self.hours = vec![1.0; 24];
        }
        if let Some(factor) = self.hours.get_mut(hour).filter(|_| !young) {
            *factor += ((surprise / own).min(CLIP) - *factor) * HOUR_GAIN;
            *factor = factor.clamp(1.0 / HOUR_FACTOR_MAX, HOUR_FACTOR_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_disaster_moves_the_size_by_little() {
        let (mut noise, settings) = (Noise::default(), Settings::default());
        for i in 0..1_000 {
            let row = if i % 2 == 0 { 0.1 } else { -0.1 };
            noise.learn((row, row), 3, 3_600_000, i < 24, &settings);
        }
        let before = noise.residual_size(&settings);
        noise.learn((50.0, 50.0), 3, 3_600_000, false, &settings);
        assert!((before - 0.1).abs() < 1e-9 && noise.residual_size(&settings) < 1.02 * before);
        let (z, _) = noise.standardised(1.0, 1.0, 5, &settings);
        assert!((z - 10.0 / DEVIATIONS).abs() < 0.2, "{z}");
    }
}
