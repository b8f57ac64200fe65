//! The Shapley value of the additive game: a set of channels is worth the conversions of journeys that need no other.
//!
//! For this game the value is known without enumeration: each journey's conversions are split equally over its distinct
//! channels. What is missing on purpose: the game of conversion rates, whose sparse sets give negative credit.

use crate::paths::{ChannelCredit, Path, PathModel, Totals};

/// Equal shares of the distinct channels of each journey.
#[derive(Clone, Debug, Default)]
pub struct Shapley {
    totals: Totals,
}

impl PathModel for Shapley {
    fn add(&mut self, path: &Path<'_>) {
        let mut set: Vec<u32> = path.touches.iter().map(|touch| touch.tag).collect();
        set.sort_unstable();
        set.dedup();
        let size = set.len() as f64;
        for channel in set {
            self.totals.add(channel, path.conversions / size, path.value / size);
        }
    }

    fn credits(&self) -> Vec<ChannelCredit> {
        self.totals.credits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::tests::clicks;
    use proptest::prelude::*;

    /// The definition: the mean over all orders of what a channel adds to the worth of those before it.
    fn by_enumeration(paths: &[(Vec<u32>, f64)], channels: u32) -> Vec<f64> {
        let worth = |set: u32| -> f64 {
            paths.iter().filter(|(path, _)| path.iter().all(|c| set & (1 << c) != 0)).map(|(_, k)| k).sum()
        };
        let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
        (0..channels)
            .map(|channel| {
                (0..1_u32 << channels)
                    .filter(|set| set & (1 << channel) == 0)
                    .map(|set| {
                        let before = set.count_ones();
                        let weight = factorial(before) * factorial(channels - before - 1) / factorial(channels);
                        weight * (worth(set | 1 << channel) - worth(set))
                    })
                    .sum()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn it_equals_enumeration(
            paths in prop::collection::vec((prop::collection::vec(0_u32..5, 1..7), 0.0..100_f64), 1..20),
        ) {
            let mut model = Shapley::default();
            for (channels, conversions) in &paths {
                let touches = clicks(channels);
                model.add(&Path { touches: &touches, conversions: *conversions, value: 0.0, nulls: 9.0 });
            }
            let credits = model.credits();
            for (channel, expected) in by_enumeration(&paths, 5).iter().enumerate() {
                let got = credits.get(channel).map_or(0.0, |credit| credit.conversions);
                prop_assert!((got - expected).abs() < 1e-9, "{} {}", got, expected);
            }
        }
    }
}
