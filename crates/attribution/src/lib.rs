//! Touches of a user to credit for a conversion.
//!
//! A [`Journey`] is what one conversion may credit, in one fixed order; a [`Model`] gives each touch a weight;
//! [`distribute`] turns weights into integers that sum to the whole, exactly.
//!
//! What always holds: credits sum to what is distributed, none has the wrong sign, and the order in which touches were
//! given does not matter. The same input gives the same credits on every machine: integers, and one function of the
//! pinned `libm` in [`TimeDecay`]. Over many journeys, a [`PathModel`] sums what the rules give, or asks the journeys
//! together ([`Markov`], [`Shapley`]). What is missing on purpose: any claim of cause (credits say who touched), and users:
//! who a touch belongs to is settled before.

mod decay;
mod distribute;
mod first;
mod journey;
mod last;
mod linear;
mod markov;
mod paths;
mod position;
mod printed;
mod shapley;
mod sum;

pub use decay::TimeDecay;
pub use distribute::distribute;
pub use first::First;
pub use journey::{Journey, Lookbacks, Touch, TouchKind};
pub use last::Last;
pub use linear::Linear;
pub use markov::Markov;
pub use paths::{ChannelCredit, Path, PathModel, RuleCredits, path_model_named};
pub use position::Position;
pub use printed::{decimal, printed};
pub use shapley::Shapley;

/// How the credit of one conversion is spread over the touches before it.
pub trait Model {
    /// The word of the contract: `last`, `first`, `linear`, `position`, `time_decay`.
    fn name(&self) -> &'static str;

    /// One weight a touch; `touches` are those of a [`Journey`], in its order, at least one of them. Not all are zero.
    fn weights(&self, touches: &[Touch]) -> Vec<u64>;

    /// What each touch of the journey receives of `whole`; empty for an empty journey.
    fn credits(&self, journey: &Journey, whole: i64) -> Vec<i64> {
        match journey.touches() {
            [] => Vec::new(),
            touches => distribute(whole, &self.weights(touches)),
        }
    }
}

/// The model of a contract's word, with the default half-life for `time_decay`; `None` for any other word.
pub fn model_named(name: &str) -> Option<Box<dyn Model>> {
    match name {
        "last" => Some(Box::new(Last)),
        "first" => Some(Box::new(First)),
        "linear" => Some(Box::new(Linear)),
        "position" => Some(Box::new(Position)),
        "time_decay" => Some(Box::new(TimeDecay::default())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [&str; 5] = ["last", "first", "linear", "position", "time_decay"];
    const LOOKBACKS: Lookbacks = Lookbacks { click_ms: 1_000, impression_ms: 200 };

    fn touches() -> impl Strategy<Value = Vec<Touch>> {
        let touch = (0..1_500_i64, any::<bool>(), 0..4_u64, 0..3_u32).prop_map(|(time, click, id, tag)| {
            let kind = if click { TouchKind::Click } else { TouchKind::Impression };
            Touch { time, kind, id, tag }
        });
        prop::collection::vec(touch, 0..12)
    }

    #[test]
    fn every_word_names_its_model() {
        for word in WORDS {
            assert_eq!(model_named(word).map(|model| model.name()), Some(word));
        }
        assert!(model_named("markov").is_none());
    }

    proptest! {
        #[test]
        fn credits_sum_to_the_whole_and_none_is_negative(touches in touches(), whole in 0..=i64::MAX) {
            let journey = Journey::new(1_200, LOOKBACKS, touches);
            for word in WORDS {
                let credits = model_named(word).expect("a word of the list").credits(&journey, whole);
                prop_assert!(credits.iter().all(|credit| *credit >= 0), "{word}");
                let sum: i128 = credits.iter().map(|credit| i128::from(*credit)).sum();
                let expected = if journey.touches().is_empty() { 0 } else { i128::from(whole) };
                prop_assert_eq!(sum, expected, "{}", word);
            }
        }

        #[test]
        fn the_order_in_which_touches_were_given_does_not_matter(
            (touches, shuffled) in touches().prop_flat_map(|touches| (Just(touches.clone()), Just(touches).prop_shuffle())),
            whole in 0..10_000_000_i64,
        ) {
            let (one, other) = (Journey::new(1_200, LOOKBACKS, touches), Journey::new(1_200, LOOKBACKS, shuffled));
            prop_assert_eq!(one.touches(), other.touches());
            for word in WORDS {
                let model = model_named(word).expect("a word of the list");
                prop_assert_eq!(model.credits(&one, whole), model.credits(&other, whole));
            }
        }
    }
}
