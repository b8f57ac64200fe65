//! invalid_traffic: a placement brings three times its own usual share of invalid events, and that is no chance.
//!
//! Each placement has an e-value: how much better a share of three times the usual explains its invalid events than the
//! usual share does (Poisson, both). Over the placements of a campaign e-BH keeps the share of false ones at a tenth,
//! whatever their dependence. A modifier of one half is proposed for each that is told; its money stays counted as spent.
//!
//! Missing on purpose: how events come to be marked invalid (lists, rates of click, times between click and conversion).

use super::{Change, Finding, Kind, Severity};
use crate::arithmetic::half_to_even;
use crate::detect::discovery::e_bh;
use crate::settings::{Anomaly as Settings, InvalidTraffic as Numbers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of one placement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementCounts {
    /// Its name.
    pub placement: String,
    /// Events of the window that is looked at, valid and invalid.
    pub events: i64,
    /// Invalid ones of them.
    pub invalid: i64,
    /// Events of the time before it, the placement's own.
    pub usual_events: i64,
    /// Invalid ones of them.
    pub usual_invalid: i64,
    /// What the window's invalid events cost.
    pub invalid_micros: i64,
}

/// The state of the row: the placements that are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidTraffic {
    told: BTreeMap<String, i64>,
}

impl InvalidTraffic {
    /// Looks at all placements of a campaign at once; `account_share` is the usual share of invalid events in the account.
    /// The changes are in the order of the placements' names.
    pub fn look(
        &mut self,
        counts: &[PlacementCounts],
        account_share: f64,
        settings: &Settings,
    ) -> Vec<(String, Change)> {
        let s = &settings.invalid_traffic;
        let usual: Vec<f64> = counts.iter().map(|c| usual_share(c, account_share, s)).collect();
        let e_values: Vec<f64> = counts.iter().zip(&usual).map(|(c, share)| e_value(c, *share, s)).collect();
        let real = e_bh(&e_values, s.false_discovery_rate);
        let mut changes = BTreeMap::new();
        for ((c, share), real) in counts.iter().zip(&usual).zip(real) {
            let high = c.events > 0 && c.invalid as f64 >= s.share_factor * share * c.events as f64;
            // What is told stays so while its share stays high: a quiet window proves nothing.
            let open = high && (real || self.told.contains_key(&c.placement));
            let due = half_to_even(share * c.events.max(0) as f64).unwrap_or(0);
            let finding = Finding {
                kind: Kind::InvalidTraffic,
                severity: Severity::Warning,
                observed: c.invalid,
                expected: due,
                at_stake_micros: c.invalid_micros.max(0),
            };
            if open && !self.told.contains_key(&c.placement) && self.told.len() < TOLD_MAX {
                self.told.insert(c.placement.clone(), c.invalid);
                changes.insert(c.placement.clone(), Change::Opened(finding));
            } else if !open && c.events > 0 && self.told.remove(&c.placement).is_some() {
                changes.insert(c.placement.clone(), Change::Resolved(finding));
            }
        }
        changes.into_iter().collect()
    }

    /// Placements for which the modifier is proposed, by name.
    pub fn suspects(&self) -> impl Iterator<Item = &str> {
        self.told.keys().map(String::as_str)
    }

    /// Whether any placement is told.
    pub fn is_open(&self) -> bool {
        !self.told.is_empty()
    }
}

/// A campaign's dimensions keep their 32 greatest values; no more can be told.
const TOLD_MAX: usize = 32;

/// A placement's own share, which starts from the account's.
fn usual_share(c: &PlacementCounts, account_share: f64, s: &Numbers) -> f64 {
    let prior = s.prior_events.max(1.0);
    let known = if (0.0..=1.0).contains(&account_share) { account_share } else { 0.0 };
    let invalid = c.usual_invalid.clamp(0, c.usual_events.max(0)) as f64;
    // Half an event, so that a share of nothing is no certainty.
    (invalid + prior * known + 0.5) / (c.usual_events.max(0) as f64 + prior)
}

/// Likelihood of the invalid events at `share_factor` times the usual share, by that at the usual share.
fn e_value(c: &PlacementCounts, share: f64, s: &Numbers) -> f64 {
    let (factor, events) = (s.share_factor.max(1.0), c.events.max(0) as f64);
    let invalid = c.invalid.clamp(0, c.events.max(0)) as f64;
    libm::exp(invalid * libm::log(factor) - (factor - 1.0) * share * events)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One percent is usual.
    fn placement(name: &str, events: i64, invalid: i64) -> PlacementCounts {
        PlacementCounts {
            placement: name.into(),
            events,
            invalid,
            usual_events: 50_000,
            usual_invalid: 500,
            invalid_micros: invalid * 1_000,
        }
    }

    fn opened(counts: &[PlacementCounts]) -> Vec<String> {
        let changes = InvalidTraffic::default().look(counts, 0.01, &Settings::default());
        changes.into_iter().filter(|(_, change)| matches!(change, Change::Opened(_))).map(|(name, _)| name).collect()
    }

    #[test]
    fn the_one_placement_with_the_fraud_is_found_among_thirty() {
        let mut counts: Vec<PlacementCounts> =
            (0..30).map(|i| placement(&format!("p{i:02}"), 1_000, 8 + i % 5)).collect();
        counts[17] = placement("p17", 1_000, 60);
        assert_eq!(opened(&counts), ["p17"]);
    }

    #[test]
    fn three_times_the_share_is_needed_and_more_than_a_handful() {
        assert!(opened(&[placement("a", 10_000, 280)]).is_empty(), "2.8 times the share is not three times");
        assert!(opened(&[placement("a", 100, 3)]).is_empty(), "three of a hundred are chance");
        assert_eq!(opened(&[placement("a", 1_000, 40)]), ["a"]);
    }

    #[test]
    fn it_is_told_once_stays_and_resolves() {
        let (mut row, settings) = (InvalidTraffic::default(), Settings::default());
        let mut look = |invalid, events| {
            let changes = row.look(&[placement("a", events, invalid)], 0.01, &settings);
            (changes.into_iter().next().map(|(_, change)| matches!(change, Change::Opened(_))), row.is_open())
        };
        assert_eq!(look(60, 1_000), (Some(true), true));
        // High but few, then nothing at all: it stays; then usual: it is over.
        assert_eq!([look(4, 100), look(0, 0)], [(None, true); 2]);
        assert_eq!(look(10, 1_000), (Some(false), false));
    }

    #[test]
    fn by_chance_hardly_any_placement_is_ever_told() {
        let mut state = 3_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut told = 0;
        for _ in 0..300 {
            let counts: Vec<PlacementCounts> = (0..20)
                .map(|i| {
                    let invalid = (0..400).filter(|_| uniform() < 0.01).count() as i64;
                    placement(&format!("p{i}"), 400, invalid)
                })
                .collect();
            told += opened(&counts).len();
        }
        assert!(told <= 3, "{told} of 6000 looks");
    }

    #[test]
    fn nonsense_tells_nothing() {
        let none = PlacementCounts { events: -5, invalid: i64::MAX, usual_events: -1, ..PlacementCounts::default() };
        assert!(InvalidTraffic::default().look(&[none], f64::NAN, &Settings::default()).is_empty());
    }
}
