//! Credits of many journeys at once: what a file of journeys, or a table of counted paths, is asked.
//!
//! A [`Path`] is one journey, or many equal ones counted; a [`PathModel`] takes them one by one and says each channel's
//! credit at the end. [`RuleCredits`] asks the very [`Model`] that credits single conversions; [`crate::Markov`] and
//! [`crate::Shapley`] need the journeys together.
//!
//! What always holds: memory does not grow with the number of paths, credits sum to the conversions that were added (up
//! to the last bits of an `f64`; [`crate::printed`] settles those), and the same paths in the same order give the same
//! bits. What is missing on purpose: any claim of cause.

use crate::sum::Sum;
use crate::{Markov, Model, Shapley, TimeDecay, Touch, model_named};
use model::time::Millis;

/// One journey, or several with the same touches; [`Touch::tag`] numbers the channel, from 0 without large gaps.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    /// In order of time, as [`crate::Journey::touches`] gives them; a path without touches is ignored.
    pub touches: &'a [Touch],
    /// How often it ended in a conversion.
    pub conversions: f64,
    /// What these conversions were worth together.
    pub value: f64,
    /// How often it ended without one.
    pub nulls: f64,
}

/// What one channel receives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChannelCredit {
    /// Conversions.
    pub conversions: f64,
    /// Value, in the unit of the paths.
    pub value: f64,
    /// Share of conversions that would be lost without the channel; only [`crate::Markov`] says it.
    pub removal_effect: Option<f64>,
}

/// Spreads the conversions of many paths over channels.
pub trait PathModel {
    /// Takes one path in.
    fn add(&mut self, path: &Path<'_>);

    /// One entry a channel, by number.
    fn credits(&self) -> Vec<ChannelCredit>;
}

/// The path model of a contract's word; `half_life_ms` is for `time_decay` alone. `None` for any other word.
pub fn path_model_named(name: &str, half_life_ms: Option<Millis>) -> Option<Box<dyn PathModel>> {
    match (name, half_life_ms) {
        ("markov", _) => Some(Box::new(Markov::default())),
        ("shapley", _) => Some(Box::new(Shapley::default())),
        ("time_decay", Some(half_life_ms)) => Some(Box::new(RuleCredits::new(Box::new(TimeDecay::new(half_life_ms))))),
        _ => model_named(name).map(|model| Box::new(RuleCredits::new(model)) as Box<dyn PathModel>),
    }
}

/// A rule of [`crate::Model`] over many paths; shares are its weights, not yet rounded to micro-conversions.
pub struct RuleCredits {
    model: Box<dyn Model>,
    totals: Totals,
}

impl RuleCredits {
    /// With one rule.
    pub fn new(model: Box<dyn Model>) -> Self {
        Self { model, totals: Totals::default() }
    }
}

impl PathModel for RuleCredits {
    fn add(&mut self, path: &Path<'_>) {
        let weights = self.model.weights(path.touches);
        let whole: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        for (touch, weight) in path.touches.iter().zip(weights) {
            let share = if whole == 0 { 0.0 } else { weight as f64 / whole as f64 };
            self.totals.add(touch.tag, path.conversions * share, path.value * share);
        }
    }

    fn credits(&self) -> Vec<ChannelCredit> {
        self.totals.credits()
    }
}

/// Running credits per channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    channels: Vec<(Sum, Sum)>,
}

impl Totals {
    /// Adds to one channel, which exists from then on also with nothing.
    pub fn add(&mut self, channel: u32, conversions: f64, value: f64) {
        let at = channel as usize;
        if at >= self.channels.len() {
            self.channels.resize(at + 1, Default::default());
        }
        self.channels[at].0.add(conversions);
        self.channels[at].1.add(value);
    }

    /// One entry a channel.
    pub fn credits(&self) -> Vec<ChannelCredit> {
        let credit = |(conversions, value): &(Sum, Sum)| ChannelCredit {
            conversions: conversions.total(),
            value: value.total(),
            removal_effect: None,
        };
        self.channels.iter().map(credit).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Journey, Lookbacks, TouchKind};
    use model::time::DAY_MS;
    use proptest::prelude::*;

    const WORDS: [&str; 7] = ["first", "last", "linear", "position", "time_decay", "markov", "shapley"];

    /// Clicks of these channels, an hour apart.
    pub fn clicks(channels: &[u32]) -> Vec<Touch> {
        let touch = |(at, tag): (usize, &u32)| Touch {
            time: at as i64 * 3_600_000,
            id: at as u64,
            kind: TouchKind::Click,
            tag: *tag,
        };
        channels.iter().enumerate().map(touch).collect()
    }

    fn credits(word: &str, paths: &[(&[u32], f64, f64, f64)]) -> Vec<ChannelCredit> {
        let mut model = path_model_named(word, None).expect("a word of the list");
        for (channels, conversions, value, nulls) in paths {
            let touches = clicks(channels);
            model.add(&Path { touches: &touches, conversions: *conversions, value: *value, nulls: *nulls });
        }
        model.credits()
    }

    fn conversions(word: &str, paths: &[(&[u32], f64, f64, f64)]) -> Vec<f64> {
        credits(word, paths).iter().map(|credit| credit.conversions).collect()
    }

    #[test]
    fn rules_split_as_the_contract_says() {
        let paths: [(&[u32], f64, f64, f64); 2] = [(&[0, 1, 2], 10.0, 50.0, 3.0), (&[1, 0], 4.0, 8.0, 0.0)];
        assert_eq!(conversions("first", &paths), [10.0, 4.0, 0.0]);
        assert_eq!(conversions("last", &paths), [4.0, 0.0, 10.0]);
        assert_eq!(conversions("position", &paths), [6.0, 4.0, 4.0]);
        let linear = conversions("linear", &paths);
        assert!((linear[0] - (10.0 / 3.0 + 2.0)).abs() < 1e-12, "{linear:?}");
        assert_eq!(credits("first", &paths)[0].value, 50.0);
    }

    #[test]
    fn half_lives_halve_and_are_settable() {
        let touch = |time, tag| Touch { time, id: 0, kind: TouchKind::Click, tag };
        let lookbacks = Lookbacks { click_ms: i64::MAX, impression_ms: 0 };
        let journey = Journey::new(9 * DAY_MS, lookbacks, [touch(0, 0), touch(7 * DAY_MS, 1)]);
        for (half_life_ms, share) in [(7 * DAY_MS, 1.0 / 3.0), (7 * DAY_MS / 2, 0.2)] {
            let mut model = path_model_named("time_decay", Some(half_life_ms)).expect("known");
            model.add(&Path { touches: journey.touches(), conversions: 1.0, value: 30.0, nulls: 0.0 });
            let credits = model.credits();
            assert!((credits[0].conversions - share).abs() < 1e-12, "{credits:?}");
            assert!((credits[1].value - 30.0 * (1.0 - share)).abs() < 1e-10, "{credits:?}");
        }
    }

    #[test]
    fn a_file_of_nulls_credits_nobody() {
        for word in WORDS {
            assert_eq!(conversions(word, &[(&[0, 1], 0.0, 0.0, 5.0)]), [0.0, 0.0], "{word}");
            assert!(conversions(word, &[]).is_empty(), "{word}");
            assert!(conversions(word, &[(&[], 3.0, 3.0, 0.0)]).is_empty(), "{word}");
        }
        assert!(path_model_named("median", None).is_none());
    }

    proptest! {
        #[test]
        fn credits_sum_to_the_conversions_and_none_is_negative(
            paths in prop::collection::vec(
                (prop::collection::vec(0_u32..6, 1..8), 0_u32..40, 0.0..1e6_f64, 0_u32..400), 1..40),
        ) {
            let total: f64 = paths.iter().map(|path| f64::from(path.1)).sum();
            let value: f64 = paths.iter().map(|path| if path.1 > 0 { path.2 } else { 0.0 }).sum();
            for word in WORDS {
                let paths: Vec<(&[u32], f64, f64, f64)> = paths
                    .iter()
                    .map(|(channels, k, v, nulls)| {
                        (channels.as_slice(), f64::from(*k), if *k > 0 { *v } else { 0.0 }, f64::from(*nulls))
                    })
                    .collect();
                let credits = credits(word, &paths);
                let sum: f64 = credits.iter().map(|credit| credit.conversions).sum();
                prop_assert!((sum - total).abs() <= 1e-9 * total.max(1.0), "{} {} {}", word, sum, total);
                let sum: f64 = credits.iter().map(|credit| credit.value).sum();
                prop_assert!((sum - value).abs() <= 1e-9 * value.max(1.0), "{} {} {}", word, sum, value);
                prop_assert!(credits.iter().all(|credit| credit.conversions >= 0.0 && credit.value >= 0.0));
            }
        }
    }
}
