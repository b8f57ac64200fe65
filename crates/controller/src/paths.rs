//! Paths of an account's conversions: how long they are, and from which campaign to which they went.
//!
//! What always holds: a fold of the journal in integers, the same wherever it is computed; once a UTC day all of it loses
//! a twentieth, so that it forgets by half in two weeks. Memory is bounded: [`TYPES_MAX`] conversion types of
//! [`STEPS_MAX`] steps, 40 kB at the worst. A step that is larger than the least of a full table takes its place; what
//! finds none is counted together, so totals stay whole.
//!
//! Missing on purpose: paths that led to no conversion (stage 1 does not see them end), so removal effects made from these
//! ([`Paths::removal_effects`]) say which share of converting paths a campaign lies on, and no more.

use attribution::Markov;
use model::marginal::PATH_LENGTH_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Steps that are told apart.
const STEPS_MAX: usize = 128;
/// Conversion types that are told apart; others are not counted.
const TYPES_MAX: usize = 4;
/// A path in the unit of the sums, which decay.
const PATH_MICRO: i64 = 1_000_000;
/// A twentieth a day.
const DECAY_DIVISOR: i64 = 20;

/// The paths of one account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Paths {
    /// UTC day of the last decay.
    day: i64,
    types: BTreeMap<String, OfType>,
}

/// The paths to one type of conversion.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OfType {
    /// By number of touches less one, millionths of paths.
    pub lengths: [i64; PATH_LENGTH_MAX as usize],
    /// By campaign before and after; empty for the start and for the conversion.
    steps: BTreeMap<(String, String), i64>,
    /// Steps that found no room.
    pub other_steps: i64,
}

impl Paths {
    /// Adds a row of the journal.
    pub fn add(&mut self, conversion_type: &str, (from, to): (&str, &str), length: i64, paths: i64) {
        if !self.types.contains_key(conversion_type) {
            if self.types.len() >= TYPES_MAX {
                return;
            }
            self.types.insert(conversion_type.to_owned(), OfType::default());
        }
        let Some(of_type) = self.types.get_mut(conversion_type) else { return };
        let micro = paths.max(0).saturating_mul(PATH_MICRO);
        if length == 0 {
            return of_type.step(from, to, micro);
        }
        let at = usize::try_from(length.clamp(1, PATH_LENGTH_MAX) - 1).unwrap_or(0);
        of_type.lengths[at] = of_type.lengths[at].saturating_add(micro);
    }

    /// A UTC day (days since 1970) has come: all of it decays once for each day that has passed.
    pub fn decay_until(&mut self, day: i64) {
        let passed = if self.day == 0 { 0 } else { day.saturating_sub(self.day).clamp(0, DAYS_TO_NOTHING) };
        self.day = self.day.max(day);
        for _ in 0..passed {
            for of_type in self.types.values_mut() {
                of_type.lengths.iter_mut().for_each(|sum| *sum -= *sum / DECAY_DIVISOR);
                of_type.steps.values_mut().for_each(|sum| *sum -= *sum / DECAY_DIVISOR);
                of_type.other_steps -= of_type.other_steps / DECAY_DIVISOR;
                of_type.steps.retain(|_, sum| *sum >= PATH_MICRO / 1_000);
            }
        }
    }

    /// By conversion type.
    pub fn types(&self) -> impl Iterator<Item = (&str, &OfType)> {
        self.types.iter().map(|(name, of_type)| (name.as_str(), of_type))
    }

    /// Heap memory.
    pub fn held_bytes(&self) -> usize {
        let steps = self.types.values().flat_map(|of_type| of_type.steps.keys());
        steps.map(|(from, to)| from.len() + to.len() + 64).sum::<usize>() + self.types.len() * size_of::<OfType>()
    }
}

/// After a year nothing is left.
const DAYS_TO_NOTHING: i64 = 366;

impl OfType {
    /// From, to, millionths of paths; the largest first.
    pub fn steps(&self) -> Vec<(&str, &str, i64)> {
        let mut steps: Vec<(&str, &str, i64)> =
            self.steps.iter().map(|((from, to), sum)| (from.as_str(), to.as_str(), *sum)).collect();
        steps.sort_by_key(|(_, _, sum)| std::cmp::Reverse(*sum));
        steps
    }

    /// Paths, in millionths.
    pub fn paths_micro(&self) -> i64 {
        self.lengths.iter().fold(0, |sum, of| i64::saturating_add(sum, *of))
    }

    /// Share of the paths that would be lost without each campaign, by campaign.
    pub fn removal_effects(&self) -> BTreeMap<&str, f64> {
        let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
        for (from, to) in self.steps.keys() {
            for campaign in [from, to].into_iter().filter(|campaign| !campaign.is_empty()) {
                let next = numbers.len() as u32;
                numbers.entry(campaign).or_insert(next);
            }
        }
        let mut chain = Markov::default();
        for ((from, to), sum) in &self.steps {
            chain.add_step(numbers.get(from.as_str()).copied(), numbers.get(to.as_str()).copied(), *sum as f64);
        }
        let effects = chain.removal_effects();
        numbers.into_iter().map(|(campaign, at)| (campaign, effects.get(at as usize).copied().unwrap_or(0.0))).collect()
    }

    fn step(&mut self, from: &str, to: &str, micro: i64) {
        let key = (from.to_owned(), to.to_owned());
        if let Some(sum) = self.steps.get_mut(&key) {
            *sum = sum.saturating_add(micro);
            return;
        }
        if self.steps.len() >= STEPS_MAX {
            let least = self.steps.iter().min_by_key(|(_, sum)| **sum).map(|(key, sum)| (key.clone(), *sum));
            let Some((least, sum)) = least.filter(|(_, sum)| *sum < micro) else {
                self.other_steps = self.other_steps.saturating_add(micro);
                return;
            };
            self.steps.remove(&least);
            self.other_steps = self.other_steps.saturating_add(sum);
        }
        self.steps.insert(key, micro);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_on_every_path_is_worth_all_of_them() {
        let mut paths = Paths::default();
        paths.add("purchase", ("", "video"), 0, 6);
        paths.add("purchase", ("video", "search"), 0, 6);
        paths.add("purchase", ("", "search"), 0, 4);
        paths.add("purchase", ("search", ""), 0, 10);
        paths.add("purchase", ("", ""), 2, 6);
        let of_type = paths.types["purchase"].clone();
        let effects = of_type.removal_effects();
        assert!((effects["search"] - 1.0).abs() < 1e-9, "{effects:?}");
        assert!((effects["video"] - 0.6).abs() < 1e-9, "{effects:?}");
        assert_eq!((of_type.lengths[1], of_type.paths_micro()), (6_000_000, 6_000_000));
    }

    #[test]
    fn steps_are_bounded_and_what_has_no_room_is_counted() {
        let mut paths = Paths::default();
        for at in 0..300 {
            paths.add("lead", ("", &format!("c{at}")), 0, at + 1);
        }
        let of_type = &paths.types["lead"];
        let told: i64 = of_type.steps().iter().map(|(_, _, sum)| sum).sum();
        assert_eq!((of_type.steps.len(), told + of_type.other_steps), (STEPS_MAX, (1..=300).sum::<i64>() * PATH_MICRO));
        assert_eq!(of_type.steps()[0].1, "c299");
        assert!(paths.held_bytes() < 40_000);
    }

    #[test]
    fn two_weeks_halve_it_and_a_year_leaves_nothing() {
        let mut paths = Paths::default();
        paths.decay_until(20_000);
        paths.add("lead", ("", "c"), 0, 1_000);
        paths.decay_until(20_014);
        let left = paths.types["lead"].steps()[0].2;
        assert!((480_000_000..500_000_000).contains(&left), "{left}");
        paths.decay_until(21_000);
        assert!(paths.types["lead"].steps().is_empty());
    }
}
