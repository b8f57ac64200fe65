//! What one cell of a dimension (an hour, a device, a weather) was worth, forgotten slowly, and what that proves.
//!
//! What always holds: sums are finite and never negative, whatever comes; what is forgotten is forgotten of all sums alike,
//! so a rate does not move by forgetting. 100 bytes.
//!
//! Missing on purpose: when what was seen, which dimension the cell is of and which factor follows; who keeps cells knows.

use model::output::Term;
use model::time::{DAY_MS, Millis};
use policy::arithmetic::half_to_even;
use policy::modifier::{Evidence, Measured};
use serde::{Deserialize, Serialize};

/// What was seen before, decayed, and what it proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    exposure: f32,
    worth: f32,
    squares: f32,
    spend: f32,
    /// What is proven; whoever keeps the cell says what was to be expected.
    pub evidence: Evidence,
}

/// What became visible since the evaluation before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fresh {
    /// Events, each by the share of its conversions that became visible.
    pub matured: f64,
    /// What they brought, in conversions or in whole units of the currency.
    pub worth: f64,
    /// Sum of the squares of single worths.
    pub squares: f64,
    /// What they cost, in whole units of the currency.
    pub spend: f64,
}

impl Worth {
    /// Adds what is new to what is kept of the old.
    pub fn add(&mut self, fresh: &Fresh, kept: f64) {
        let add = |sum: &mut f32, new: f64| {
            let new = f64::from(*sum) * kept + new;
            *sum = if new.is_finite() { new.max(0.0) as f32 } else { 0.0 };
        };
        add(&mut self.exposure, fresh.matured);
        add(&mut self.worth, fresh.worth);
        add(&mut self.squares, fresh.squares);
        add(&mut self.spend, fresh.spend);
    }

    /// What the cell has shown.
    pub fn measured(&self) -> Measured {
        Measured {
            exposure: f64::from(self.exposure),
            worth: f64::from(self.worth),
            squares: f64::from(self.squares),
            spend: f64::from(self.spend),
        }
    }

    /// What speaks for the cell's factor, for explanations: events, rate over the mean, evidence.
    pub fn terms(&self, name: &str, events: &str, rate_over_mean: f64) -> [Term; 3] {
        let milli = |x: f64| half_to_even(x * 1e3).unwrap_or(i64::MAX);
        let term = |what: &str, value| Term { name: format!("{name}_{what}"), value };
        [
            term(&format!("{events}_matured_milli"), milli(f64::from(self.exposure))),
            term("rate_over_mean_ppm", policy::arithmetic::ppm(rate_over_mean)),
            term("e_value_milli", milli(self.evidence.e_value().min(1e12))),
        ]
    }
}

/// What is kept of the past after some time.
pub fn kept_after(passed: Millis, half_life_ms: Millis) -> f64 {
    libm::exp2(-(passed.clamp(0, 365 * DAY_MS) as f64) / half_life_ms.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_moves_no_rate_and_nothing_makes_a_sum_that_is_none() {
        let mut cell = Worth::default();
        cell.add(&Fresh { matured: 200.0, worth: 10.0, squares: 10.0, spend: 50.0 }, 1.0);
        cell.add(&Fresh::default(), kept_after(DAY_MS, DAY_MS));
        let measured = cell.measured();
        assert_eq!((measured.exposure, measured.worth, measured.spend), (100.0, 5.0, 25.0));
        cell.add(&Fresh { matured: f64::INFINITY, worth: f64::NAN, squares: -99.0, spend: f64::MIN }, 1.0);
        assert_eq!(cell.measured(), Measured::default());
        assert!((0.0..=1.0).contains(&kept_after(Millis::MAX, 0)) && kept_after(-1, DAY_MS) == 1.0);
    }

    #[test]
    fn a_cell_is_as_large_as_is_said() {
        assert_eq!(size_of::<Worth>(), 100);
    }
}
