//! Value per spend: as for the cost of a conversion, but in money; the more single values differ, the less they say.

use super::{Sums, Target, Weighed};
use crate::settings::Target as Settings;

/// target_roas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roas {
    /// The promised value per spend, in parts per million.
    pub target_ppm: i64,
}

impl Target for Roas {
    /// Nothing before the first conversion: what one is worth is not known, so silence says nothing.
    fn weigh(&self, sums: &Sums, settings: &Settings) -> Option<Weighed> {
        let mean = mean_value(sums)?;
        let dispersion = (sums.conversions * sums.value_squares / (sums.value_micros * sums.value_micros))
            .clamp(1.0, settings.dispersion_max.max(1.0));
        let one = dispersion * mean / 1e6;
        (self.target_ppm > 0 && one.is_finite()).then(|| Weighed {
            due: self.target_ppm as f64 / 1e6 * sums.matured_spend_micros / 1e6,
            seen: sums.value_micros / 1e6,
            prior: settings.prior_conversions * one,
            enough: settings.conversions_min * one,
        })
    }

    fn conversion_worth_micros(&self, sums: &Sums) -> Option<f64> {
        let mean = mean_value(sums)?;
        (self.target_ppm > 0).then(|| mean / (self.target_ppm as f64 / 1e6))
    }
}

/// v.
fn mean_value(sums: &Sums) -> Option<f64> {
    (sums.conversions > 0.0 && sums.value_micros > 0.0).then(|| sums.value_micros / sums.conversions)
}
