//! Many series: which of their alarms are real, and which belong together.
//!
//! With a thousand series and one false alarm in a thousand looks, every look has one. Benjamini and Hochberg's rule keeps
//! the share of false ones among those that are told: for p-values of series that move together in the form of Benjamini
//! and Yekutieli, for e-values in the form of Wang and Ramdas (e-BH), which holds whatever the dependence.
//! What always holds: the answer depends on the multiset of values only; what is not a number is never told.

use crate::settings::{Incidents as Settings, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which of these e-values hold at a false-discovery rate of `q`: the largest i whose i-th greatest is at least M/(i q).
pub fn e_bh(e_values: &[f64], q: f64) -> Vec<bool> {
    let m = e_values.len() as f64;
    let mut sorted: Vec<f64> = e_values.iter().copied().filter(|e| !e.is_nan()).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let holds = |(i, e): &(usize, &f64)| **e * (*i as f64 + 1.0) * q >= m && **e > 0.0;
    let limit = sorted.iter().enumerate().filter(holds).map(|(_, e)| *e).next_back();
    e_values.iter().map(|e| limit.is_some_and(|limit| *e >= limit)).collect()
}

/// Which of these p-values hold at a false-discovery rate of `q` under any dependence (Benjamini and Yekutieli).
pub fn benjamini_yekutieli(p_values: &[f64], q: f64) -> Vec<bool> {
    let harmonic: f64 = (1..=p_values.len()).map(|i| 1.0 / i as f64).sum();
    benjamini_hochberg(p_values, q / harmonic.max(1.0))
}

/// The same where the series are independent or move together (Benjamini and Hochberg).
pub fn benjamini_hochberg(p_values: &[f64], q: f64) -> Vec<bool> {
    let m = p_values.len() as f64;
    let mut sorted: Vec<f64> = p_values.iter().copied().filter(|p| (0.0..=1.0).contains(p)).collect();
    sorted.sort_by(f64::total_cmp);
    let holds = |(i, p): &(usize, &f64)| **p * m <= (*i as f64 + 1.0) * q;
    let limit = sorted.iter().enumerate().filter(holds).map(|(_, p)| *p).next_back();
    p_values.iter().map(|p| limit.is_some_and(|limit| *p <= limit)).collect()
}

/// One account's standing alarms by kind: which of them are told, alone or as one.
///
/// With `series` campaigns an alarm is told alone where Benjamini and Yekutieli's rule lets its chance pass among the
/// standing alarms of its kind, the campaigns without an alarm counting as chance 1. A large account so needs a smaller
/// chance than a small one, and alarms that come together need less. Where so many campaigns alarm within a short time
/// that one cause is likely, they are one incident of the account: told once, joined in silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incidents<T> {
    kinds: BTreeMap<String, Family<T>>,
}

impl<T> Default for Incidents<T> {
    fn default() -> Self {
        Self { kinds: BTreeMap::new() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Family<T> {
    members: BTreeMap<String, Standing<T>>,
    /// They were told as one.
    is_one: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Standing<T> {
    at_ms: Millis,
    ln_chance: f64,
    is_told: bool,
    what: T,
}

/// One alarm as it comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm<'a, T> {
    /// The row.
    pub kind: &'a str,
    /// The campaign.
    pub member: &'a str,
    /// When it was raised.
    pub at_ms: Millis,
    /// ln of the probability of it without a cause; what is not a number is never told alone.
    pub ln_chance: f64,
    /// What is to be told.
    pub what: T,
}

/// What is to be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Telling<T> {
    /// An incident of one campaign.
    Alone(String, T),
    /// So many campaigns, sorted, with one cause, and the newest alarm of them.
    Together(Vec<String>, T),
}

impl<T: Clone> Incidents<T> {
    /// Takes an alarm, or news of one that stands; `series` is the number of campaigns that could have raised it.
    pub fn offer(&mut self, alarm: &Alarm<'_, T>, series: usize, settings: &Settings) -> Vec<Telling<T>> {
        let family = self
            .kinds
            .entry(alarm.kind.to_owned())
            .or_insert_with(|| Family { members: BTreeMap::new(), is_one: false });
        // Who comes later than a cause in common would explain is told by itself.
        let joins = family.is_one && family.has_recent_other(alarm.member, alarm.at_ms, settings);
        let fresh = Standing { at_ms: alarm.at_ms, ln_chance: 0.0, is_told: joins, what: alarm.what.clone() };
        let member = family.members.entry(alarm.member.to_owned()).or_insert(fresh);
        // Compared so that NaN changes nothing.
        if alarm.ln_chance < member.ln_chance {
            member.ln_chance = alarm.ln_chance;
        }
        member.what = alarm.what.clone();
        if joins {
            return Vec::new();
        }
        if !family.is_one && family.is_together(alarm.at_ms, series, settings) {
            family.is_one = true;
            family.members.values_mut().for_each(|member| member.is_told = true);
            return vec![Telling::Together(family.members.keys().cloned().collect(), alarm.what.clone())];
        }
        family.tell_alone(series, settings)
    }

    /// An alarm is over; true where with it the last of an incident of several ends.
    pub fn end(&mut self, kind: &str, member: &str) -> bool {
        let Some(family) = self.kinds.get_mut(kind) else { return false };
        family.members.remove(member);
        let is_over = family.members.is_empty();
        let was_one = family.is_one;
        if is_over {
            self.kinds.remove(kind);
        }
        is_over && was_one
    }

    /// Whether an alarm stands; its news are to be offered.
    pub fn stands(&self, kind: &str, member: &str) -> bool {
        self.kinds.get(kind).is_some_and(|family| family.members.contains_key(member))
    }
}

impl<T: Clone> Family<T> {
    fn is_together(&self, now_ms: Millis, series: usize, settings: &Settings) -> bool {
        let recent = |member: &&Standing<T>| now_ms.saturating_sub(member.at_ms) <= settings.together_ms;
        let share = libm::ceil(settings.members_share * series as f64);
        let needed = (settings.members_min.max(2) as f64).max(share);
        self.members.values().filter(recent).count() as f64 >= needed
    }

    fn has_recent_other(&self, name: &str, now_ms: Millis, settings: &Settings) -> bool {
        let is_recent = |member: &Standing<T>| now_ms.saturating_sub(member.at_ms) <= settings.together_ms;
        self.members.iter().any(|(other, member)| other != name && is_recent(member))
    }

    fn tell_alone(&mut self, series: usize, settings: &Settings) -> Vec<Telling<T>> {
        let series = series.max(self.members.len()).max(1);
        let harmonic: f64 = (1..=series).map(|i| 1.0 / i as f64).sum();
        let mut chances: Vec<f64> = self.members.values().map(|member| member.ln_chance).collect();
        chances.sort_by(f64::total_cmp);
        let level = libm::log(settings.false_discovery_rate / (series as f64 * harmonic));
        let holds = |(i, ln): &(usize, &f64)| **ln <= level + libm::log(*i as f64 + 1.0);
        let Some(limit) = chances.iter().enumerate().filter(holds).map(|(_, ln)| *ln).next_back() else {
            return Vec::new();
        };
        let mut told = Vec::new();
        for (name, member) in &mut self.members {
            if member.ln_chance <= limit && !std::mem::replace(&mut member.is_told, true) {
                told.push(Telling::Alone(name.clone(), member.what.clone()));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rules_of_the_papers_on_small_sets() {
        // 4/(1 x 0.1) = 40 fails for 39, 4/(2 x 0.1) = 20 holds for the second.
        assert_eq!(e_bh(&[39.0, 1.0, 20.0, 0.5], 0.1), [true, false, true, false]);
        assert_eq!(e_bh(&[39.0, 1.0, 19.9, f64::NAN], 0.1), [false; 4]);
        assert_eq!(e_bh(&[f64::INFINITY, 0.0], 0.1), [true, false]);
        assert_eq!(benjamini_hochberg(&[0.04, 0.01, 0.9, f64::NAN], 0.05), [false, true, false, false]);
        // The harmonic sum of 4 is 2.083.
        assert_eq!(benjamini_yekutieli(&[0.04, 0.007, 0.9, 0.5], 0.05), [false, false, false, false]);
        assert_eq!(benjamini_yekutieli(&[0.04, 0.006, 0.9, 0.5], 0.05), [false, true, false, false]);
        assert!(e_bh(&[], 0.1).is_empty() && benjamini_hochberg(&[], 0.1).is_empty());
    }

    const HOUR: Millis = 3_600_000;

    fn offer(incidents: &mut Incidents<i64>, member: &str, hour: i64, chance: f64, series: usize) -> Vec<Telling<i64>> {
        let (at_ms, ln_chance) = (hour * HOUR, libm::log(chance));
        let alarm = Alarm { kind: "row", member, at_ms, ln_chance, what: hour };
        incidents.offer(&alarm, series, &Settings::default())
    }

    #[test]
    fn campaigns_of_one_account_that_alarm_together_are_one_incident() {
        let mut incidents = Incidents::default();
        assert_eq!(offer(&mut incidents, "a", 0, 1e-4, 5), [Telling::Alone("a".into(), 0)]);
        let both = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(offer(&mut incidents, "b", 1, 1e-4, 5), [Telling::Together(both, 1)]);
        assert_eq!(offer(&mut incidents, "c", 2, 1e-4, 5), [], "joined");
        assert!(!incidents.end("row", "a") && !incidents.end("row", "b") && incidents.end("row", "c"));
        assert_eq!(offer(&mut incidents, "a", 9, 1e-4, 5).len(), 1, "a new one");
        assert!(!incidents.end("row", "a") && !incidents.end("other", "a"));
    }

    #[test]
    fn alarms_far_apart_in_time_or_few_of_many_have_causes_of_their_own() {
        let mut incidents = Incidents::default();
        offer(&mut incidents, "a", 0, 1e-9, 5);
        assert_eq!(offer(&mut incidents, "b", 3, 1e-9, 5), [Telling::Alone("b".into(), 3)]);
        let mut many = Incidents::default();
        offer(&mut many, "a", 0, 1e-9, 100);
        assert_eq!(offer(&mut many, "b", 0, 1e-9, 100), [Telling::Alone("b".into(), 0)]);
    }

    #[test]
    fn a_large_account_needs_a_smaller_chance_and_news_or_neighbours_bring_it() {
        let mut incidents = Incidents::default();
        // 0.1 / (1000 x 7.49) is 1.3e-5; for the second of two 2.7e-5.
        assert_eq!(offer(&mut incidents, "a", 0, 2e-5, 1_000), []);
        assert!(incidents.stands("row", "a") && !incidents.stands("row", "b"));
        let both = [Telling::Alone("a".into(), 0), Telling::Alone("b".into(), 5)];
        assert_eq!(offer(&mut incidents, "b", 5, 2e-5, 1_000), both);
        assert_eq!(offer(&mut incidents, "c", 9, 1e-4, 1_000), []);
        assert_eq!(offer(&mut incidents, "c", 10, 1e-6, 1_000), [Telling::Alone("c".into(), 10)]);
        assert_eq!(offer(&mut incidents, "c", 11, 1e-7, 1_000), [], "once");
        assert_eq!(offer(&mut incidents, "d", 20, f64::NAN, 1), [], "what is no number is no news");
    }

    #[test]
    fn under_no_effect_few_looks_tell_anything() {
        // 500 looks at 100 uniform p-values each: at most about a twentieth may tell.
        let mut state = 1_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut told = [0, 0];
        for _ in 0..500 {
            let p: Vec<f64> = (0..100).map(|_| uniform()).collect();
            // 0.5 p^-0.5 is an e-value of a p-value.
            let e: Vec<f64> = p.iter().map(|p| 0.5 / libm::sqrt(p.max(1e-300))).collect();
            told[0] += usize::from(benjamini_hochberg(&p, 0.05).contains(&true));
            told[1] += usize::from(e_bh(&e, 0.05).contains(&true));
        }
        assert!(told[0] <= 40 && told[1] <= told[0], "{told:?}");
    }

    proptest! {
        #[test]
        fn a_greater_value_never_falls_out(e in proptest::collection::vec(0.0..1e4_f64, 1..50), q in 0.01..0.5_f64) {
            let told = e_bh(&e, q);
            for i in 0..e.len() {
                for j in 0..e.len() {
                    prop_assert!(!(told[i] && e[j] >= e[i] && !told[j]));
                }
            }
        }
    }
}
