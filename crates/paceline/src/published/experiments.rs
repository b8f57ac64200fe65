//! Experiments as people see them: what the controllers told last.

use super::Published;
use controller::ExperimentNow;
use serde::Serialize;
use std::sync::Mutex;

/// One experiment; numbers that are not known are null.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)] // Names carry meaning and unit.
pub struct ExperimentView {
    pub account_id: String,
    pub id: String,
    pub metric: &'static str,
    pub unit: &'static str,
    pub start: String,
    pub days: i32,
    pub mature_days: i32,
    pub alpha: f64,
    pub verdict: &'static str,
    pub winner: Option<String>,
    pub decided_on: Option<String>,
    pub arms: Vec<ArmView>,
    pub comparisons: Vec<ComparisonView>,
    pub sample_ratio_ln_e: f64,
}

/// One arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct ArmView {
    pub name: String,
    pub share: f64,
    pub days_judged: i64,
    /// Mean outcome of its days, in the metric's unit.
    pub mean: Option<f64>,
}

/// An arm against the first one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct ComparisonView {
    pub arm: String,
    pub ln_e: f64,
    /// Always valid: min(1, 1/e) times the number of comparisons.
    pub p_value: f64,
    pub effect: Option<Effect>,
}

/// As a share of what was expected, with a confidence sequence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Effect {
    pub low: f64,
    pub mid: f64,
    pub high: f64,
}

/// What is held of experiments.
pub type Experiments = Mutex<Vec<ExperimentView>>;

impl From<ExperimentNow> for ExperimentView {
    fn from(now: ExperimentNow) -> Self {
        let compared = now.comparisons.len();
        let others = now.arms.iter().skip(1).map(|(name, ..)| name.clone());
        let comparisons = others.zip(&now.comparisons).map(|(arm, comparison)| ComparisonView {
            arm,
            ln_e: comparison.ln_e,
            p_value: comparison.p_value(compared),
            effect: comparison.effect.map(|[low, mid, high]| Effect { low, mid, high }),
        });
        let comparisons = comparisons.collect();
        let arm = |(name, share, days_judged, mean)| ArmView { name, share, days_judged, mean };
        Self {
            account_id: now.account_id,
            id: now.id,
            metric: now.metric,
            unit: "campaign_day",
            start: date(now.start_day),
            days: now.days,
            mature_days: now.mature_days,
            alpha: now.alpha,
            verdict: now.verdict,
            winner: now.winner,
            decided_on: now.decided_day.map(date),
            arms: now.arms.into_iter().map(arm).collect(),
            comparisons,
            sample_ratio_ln_e: now.sample_ratio_ln_e,
        }
    }
}

impl Published {
    /// Replaces the experiments; an account's are told by one partition.
    pub fn put_experiments(&self, mut experiments: Vec<ExperimentView>) {
        experiments.sort_by(|one, other| (&one.account_id, &one.id).cmp(&(&other.account_id, &other.id)));
        if let Ok(mut held) = self.experiments.lock() {
            *held = experiments;
        }
    }

    /// All experiments by account and name.
    pub fn experiments(&self) -> Vec<ExperimentView> {
        self.experiments.lock().map(|held| held.clone()).unwrap_or_default()
    }
}

/// A date of days since 1970, as people write it (Howard Hinnant's `civil_from_days`).
fn date(days: i32) -> String {
    let shifted = i64::from(days) + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_people_do() {
        assert_eq!([0, 20_514, 19_782, -1].map(date), ["1970-01-01", "2026-03-02", "2024-02-29", "1969-12-31"]);
    }
}
