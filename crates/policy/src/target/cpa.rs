//! Cost of a conversion: mu conversions should have been seen by now, k were.

use super::{Sums, Target, Weighed};
use crate::settings::Target as Settings;

/// target_cpa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpa {
    /// The promised cost of a conversion.
    pub target_micros: i64,
}

impl Target for Cpa {
    fn weigh(&self, sums: &Sums, settings: &Settings) -> Option<Weighed> {
        (self.target_micros > 0).then(|| Weighed {
            due: sums.matured_spend_micros / self.target_micros as f64,
            seen: sums.conversions,
            prior: settings.prior_conversions,
            enough: settings.conversions_min,
        })
    }

    fn conversion_worth_micros(&self, _sums: &Sums) -> Option<f64> {
        (self.target_micros > 0).then_some(self.target_micros as f64)
    }
}
