//! The share of an account's conversions that has been seen by an age of the click: a chain ladder over uneven steps.
//!
//! What always holds: the share rises with age from 0 to 1 and is a number for any counts; a step is estimated only from
//! clicks that are old enough to show all of it, so a young account does not look mature because its slow conversions
//! are still to come. Steps that nothing has been seen of follow the built-in curve. Missing on purpose: a campaign's own
//! curve (all follow their account's), and delays beyond four weeks.

use crate::settings::{Millis, Target as Settings};

const HOUR: Millis = 3_600_000;

/// Ages between which the ladder steps; conversions that come later than the last are not waited for.
const STEPS: [Millis; 11] = [
    HOUR,
    2 * HOUR,
    4 * HOUR,
    8 * HOUR,
    16 * HOUR,
    32 * HOUR,
    64 * HOUR,
    128 * HOUR,
    256 * HOUR,
    512 * HOUR,
    672 * HOUR,
];

/// Conversions are counted by the step that their delay falls into; the last takes what comes later.
pub const BUCKETS: usize = STEPS.len() + 1;

/// The bucket of a delay.
pub fn bucket_of(delay_ms: Millis) -> usize {
    STEPS.iter().position(|step| delay_ms < *step).unwrap_or(STEPS.len())
}

/// F.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenShare {
    /// At the steps.
    shares: [f64; STEPS.len()],
}

impl SeenShare {
    /// From cells of clicks: the age of the youngest click, and micro-conversions by bucket.
    pub fn of(cells: &[(Millis, [i64; BUCKETS])], settings: &Settings) -> Self {
        let built_in = STEPS.map(|step| built_in(step, settings));
        let mut shares = [1.0; STEPS.len()];
        for step in (1..STEPS.len()).rev() {
            let (mut before, mut all) = (0_i128, 0_i128);
            for (_, buckets) in cells.iter().filter(|(age, _)| *age >= STEPS[step]) {
                let sum = |to: usize| buckets[..to].iter().map(|count| i128::from(*count)).sum::<i128>();
                before += sum(step);
                all += sum(step + 1);
            }
            let (before, all) = (before.max(0) as f64 / 1e6, all.max(0) as f64 / 1e6);
            let prior = settings.development_prior.max(f64::MIN_POSITIVE);
            let ratio = (before + prior * built_in[step - 1] / built_in[step]) / (all + prior);
            shares[step - 1] = shares[step] * ratio.clamp(0.0, 1.0);
        }
        Self { shares }
    }

    /// Of clicks of this age; straight between the steps.
    pub fn at(&self, age_ms: Millis) -> f64 {
        let step = bucket_of(age_ms);
        let Some(to) = self.shares.get(step) else { return 1.0 };
        let (from, start) = step.checked_sub(1).map_or((0.0, 0), |before| (self.shares[before], STEPS[before]));
        from + (to - from) * (age_ms.max(0) - start) as f64 / (STEPS[step] - start) as f64
    }

    /// Mean over clicks that are spread evenly between two ages.
    pub fn between(&self, youngest_ms: Millis, oldest_ms: Millis) -> f64 {
        let span = oldest_ms.saturating_sub(youngest_ms).max(0) / PARTS;
        (0..PARTS).map(|part| self.at(youngest_ms.saturating_add(span * part + span / 2))).sum::<f64>() / PARTS as f64
    }
}

/// Six parts of a day are four hours, which is the error of no step that a day cell is read for.
const PARTS: Millis = 6;

/// Log-normal, and 1 at the last step.
fn built_in(age: Millis, settings: &Settings) -> f64 {
    let normal = |age: Millis| {
        let z = libm::log(age as f64 / settings.delay_median_ms.max(1) as f64) / settings.delay_sigma;
        0.5 * libm::erfc(-z / core::f64::consts::SQRT_2)
    };
    (normal(age) / normal(STEPS[STEPS.len() - 1])).clamp(f64::MIN_POSITIVE, 1.0)
}
