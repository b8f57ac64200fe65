//! Many series: which of their alarms are real, and which belong together.
//!
//! With a thousand series and one false alarm in a thousand looks, every look has one. Benjamini and Hochberg's rule keeps
//! the share of false ones among those that are told: for p-values of series that move together in the form of Benjamini
//! and Yekutieli, for e-values in the form of Wang and Ramdas (e-BH), which holds whatever the dependence.
//! What always holds: the answer depends on the multiset of values only; what is not a number is never told.

use crate::settings::Millis;
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

/// Alarms that may share a cause.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Causes {
    open: BTreeMap<String, Vec<(String, Millis)>>,
}

/// What an alarm belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An incident of its own: tell it.
    Alone,
    /// With it the group breaks as a whole, as so many members did at about the same time: tell the group, once.
    Group {
        /// Members that broke, sorted, with this one.
        members: Vec<String>,
    },
    /// The group was told already: add it there and tell nothing.
    Joined,
}

impl Causes {
    /// Takes an alarm of a member of a group (an account, an exchange), in time order. A group breaks as a whole where at
    /// least `members_min` of its members alarm within `together_ms`; it stays told while alarms follow at that distance.
    pub fn take(&mut self, group: &str, member: &str, at_ms: Millis, members_min: usize, together_ms: Millis) -> Cause {
        self.forget(at_ms, together_ms);
        let alarms = self.open.entry(group.to_owned()).or_default();
        let before = alarms.len();
        alarms.retain(|(known, _)| known != member);
        alarms.push((member.to_owned(), at_ms));
        let needed = members_min.max(2);
        if alarms.len() < needed {
            return Cause::Alone;
        }
        if before >= needed {
            return Cause::Joined;
        }
        let mut members: Vec<String> = alarms.iter().map(|(member, _)| member.clone()).collect();
        members.sort();
        Cause::Group { members }
    }

    /// A group whose last alarm is older than that is forgotten; so is a lone alarm.
    fn forget(&mut self, now_ms: Millis, together_ms: Millis) {
        self.open
            .retain(|_, alarms| alarms.last().is_some_and(|(_, at_ms)| now_ms.saturating_sub(*at_ms) <= together_ms));
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

    #[test]
    fn three_campaigns_of_one_account_are_one_incident() {
        let (mut causes, hour) = (Causes::default(), 3_600_000);
        let mut take = |member: &str, at: i64| causes.take("account", member, at * hour, 2, 2 * hour);
        assert_eq!(take("a", 0), Cause::Alone);
        assert_eq!(take("b", 1), Cause::Group { members: vec!["a".into(), "b".into()] });
        assert_eq!([take("c", 2), take("c", 3)], [Cause::Joined, Cause::Joined]);
        assert_eq!(take("a", 6), Cause::Alone);
        assert_eq!(take("a", 7), Cause::Alone);
        assert_eq!(causes.take("other", "z", 7 * hour, 2, 2 * hour), Cause::Alone);
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
