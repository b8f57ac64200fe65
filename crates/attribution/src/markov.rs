//! Removal effects of an absorbing Markov chain of order 1: start, channels, null, conversion.
//!
//! Transitions are counted, null paths too; one inverse of I - Q gives the removal of every channel. With
//! N = (I - Q)^-1 and a = N r (chance of conversion from each channel), the chance that is lost when every arrival at
//! channel c goes to null is N[start,c] a_c / N[c,c], so RE_c = N[start,c] a_c / (N[c,c] a_start).
//!
//! What always holds: the state is one count per pair of channels, whatever the number of paths; the chain is solved, not
//! simulated; repeats of a channel in a row change no removal effect. What is missing on purpose: higher orders, and any
//! claim of cause.

use crate::paths::{ChannelCredit, Path, PathModel};
use crate::sum::Sum;

/// The counted chain.
#[derive(Clone, Debug, Default)]
pub struct Markov {
    /// Per channel, where journeys went from it.
    rows: Vec<Row>,
    start: Vec<f64>,
    conversions: Sum,
    value: Sum,
}

#[derive(Clone, Debug, Default)]
struct Row {
    /// By number of the next channel.
    next: Vec<f64>,
    conversions: f64,
    nulls: f64,
}

impl PathModel for Markov {
    fn add(&mut self, path: &Path<'_>) {
        let Some(last) = path.touches.last() else { return };
        let times = path.conversions + path.nulls;
        let mut from: Option<u32> = None;
        for touch in path.touches {
            self.grow(touch.tag);
            let next = match from {
                None => &mut self.start,
                Some(channel) => &mut self.rows[channel as usize].next,
            };
            count(next, touch.tag, times);
            from = Some(touch.tag);
        }
        let row = &mut self.rows[last.tag as usize];
        row.conversions += path.conversions;
        row.nulls += path.nulls;
        self.conversions.add(path.conversions);
        self.value.add(path.value);
    }

    fn credits(&self) -> Vec<ChannelCredit> {
        let effects = self.removal_effects();
        let mut sum = Sum::default();
        effects.iter().for_each(|effect| sum.add(*effect));
        let whole = sum.total();
        let credit = |effect: &f64| {
            let share = if whole > 0.0 { effect / whole } else { 0.0 };
            ChannelCredit {
                conversions: self.conversions.total() * share,
                value: self.value.total() * share,
                removal_effect: Some(*effect),
            }
        };
        effects.iter().map(credit).collect()
    }
}

impl Markov {
    /// Counts a step by itself, where paths are known by their steps only: `None` is the start, or the conversion.
    pub fn add_step(&mut self, from: Option<u32>, to: Option<u32>, times: f64) {
        [from, to].into_iter().flatten().for_each(|channel| self.grow(channel));
        match (from, to) {
            (None, Some(first)) => count(&mut self.start, first, times),
            (Some(channel), Some(next)) => count(&mut self.rows[channel as usize].next, next, times),
            (Some(channel), None) => {
                self.rows[channel as usize].conversions += times;
                self.conversions.add(times);
            }
            (None, None) => {}
        }
    }

    /// Share of conversions lost without each channel; zeros where nothing converted.
    pub fn removal_effects(&self) -> Vec<f64> {
        let size = self.rows.len();
        let chain = self.chain();
        let inverse = invert(chain.leave);
        let reach: Vec<f64> = inverse.iter().map(|row| dot(row, &chain.convert)).collect();
        let from_start = dot(&chain.start, &reach);
        (0..size)
            .map(|channel| {
                let arrivals: f64 = (0..size).map(|first| chain.start[first] * inverse[first][channel]).sum();
                let effect = arrivals * reach[channel] / (inverse[channel][channel] * from_start);
                if effect.is_finite() { effect.clamp(0.0, 1.0) } else { 0.0 }
            })
            .collect()
    }

    fn grow(&mut self, channel: u32) {
        let needed = channel as usize + 1;
        if self.rows.len() < needed {
            self.rows.resize(needed, Row::default());
        }
    }

    /// I - Q, r and the first steps, as chances.
    fn chain(&self) -> Chain {
        let size = self.rows.len();
        let mut leave = vec![vec![0.0; size]; size];
        let mut convert = vec![0.0; size];
        for (from, row) in self.rows.iter().enumerate() {
            // Staying in place is taken out of the chain: it changes no chance of ever reaching a state.
            let others = row.next.iter().enumerate().filter(|(to, _)| *to != from).map(|(_, times)| times);
            let departures: f64 = others.sum::<f64>() + row.conversions + row.nulls;
            leave[from][from] = 1.0;
            if departures > 0.0 {
                for (to, times) in row.next.iter().enumerate().filter(|(to, _)| *to != from) {
                    leave[from][to] = -times / departures;
                }
                convert[from] = row.conversions / departures;
            }
        }
        let begun: f64 = self.start.iter().sum();
        let first = |at: usize| self.start.get(at).copied().unwrap_or_default();
        let start = (0..size).map(|at| if begun > 0.0 { first(at) / begun } else { 0.0 }).collect();
        Chain { leave, convert, start }
    }
}

struct Chain {
    leave: Vec<Vec<f64>>,
    convert: Vec<f64>,
    start: Vec<f64>,
}

fn count(next: &mut Vec<f64>, channel: u32, times: f64) {
    let at = channel as usize;
    if next.len() <= at {
        next.resize(at + 1, 0.0);
    }
    next[at] += times;
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    let mut sum = Sum::default();
    one.iter().zip(other).for_each(|(x, y)| sum.add(x * y));
    sum.total()
}

/// Gauss and Jordan with row exchange; every path ends, so the matrix has an inverse (a pivot of zero leaves its row out).
fn invert(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let size = matrix.len();
    let mut inverse: Vec<Vec<f64>> =
        (0..size).map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect()).collect();
    for at in 0..size {
        let pivot =
            (at..size).fold(at, |best, row| if matrix[row][at].abs() > matrix[best][at].abs() { row } else { best });
        if matrix[pivot][at] == 0.0 {
            continue;
        }
        matrix.swap(at, pivot);
        inverse.swap(at, pivot);
        let scale = matrix[at][at];
        let normal = |row: &mut Vec<f64>| row.iter_mut().for_each(|x| *x /= scale);
        normal(&mut matrix[at]);
        normal(&mut inverse[at]);
        let (pivot_row, pivot_inverse) = (matrix[at].clone(), inverse[at].clone());
        for row in (0..size).filter(|row| *row != at) {
            let factor = matrix[row][at];
            if factor != 0.0 {
                matrix[row].iter_mut().zip(&pivot_row).for_each(|(x, y)| *x -= factor * y);
                inverse[row].iter_mut().zip(&pivot_inverse).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::tests::clicks;
    use proptest::prelude::*;

    type Counted = (Vec<u32>, u32, u32);

    fn chain(paths: &[Counted]) -> Markov {
        let mut markov = Markov::default();
        for (channels, conversions, nulls) in paths {
            let (conversions, nulls) = (f64::from(*conversions), f64::from(*nulls));
            markov.add(&Path { touches: &clicks(channels), conversions, value: 2.0 * conversions, nulls });
        }
        markov
    }

    /// Removal by its definition: every arrival at `removed` ends in null; iterated until nothing moves.
    fn chance_without(paths: &[Counted], removed: Option<u32>) -> f64 {
        let markov = chain(paths);
        let mut reach = vec![0.0; markov.rows.len()];
        let mut moved = 1.0;
        while moved > 1e-16 {
            moved = 0.0;
            for (from, row) in markov.rows.iter().enumerate() {
                let all: f64 = row.next.iter().sum::<f64>() + row.conversions + row.nulls;
                if Some(from as u32) != removed && all > 0.0 {
                    let onward: f64 = row.next.iter().zip(&reach).map(|(times, chance)| times * chance).sum();
                    let chance = (onward + row.conversions) / all;
                    moved = f64::max(moved, chance - reach[from]);
                    reach[from] = chance;
                }
            }
        }
        let begun: f64 = markov.start.iter().sum();
        markov.start.iter().zip(&reach).map(|(times, chance)| times * chance).sum::<f64>() / begun
    }

    #[test]
    fn the_textbook_chain_of_three_channels() {
        // One conversion over c1 > c2 > c3, nulls over c1 and c2 > c3: removal effects 1/2, 1 and 1.
        let effects = chain(&[(vec![0, 1, 2], 1, 0), (vec![0], 0, 1), (vec![1, 2], 0, 1)]).removal_effects();
        for (effect, expected) in effects.iter().zip([0.5, 1.0, 1.0]) {
            assert!((effect - expected).abs() < 1e-15, "{effects:?}");
        }
    }

    #[test]
    fn null_paths_count() {
        let with = chain(&[(vec![0, 1], 5, 0), (vec![0], 5, 20)]).removal_effects();
        let without = chain(&[(vec![0, 1], 5, 0), (vec![0], 5, 0)]).removal_effects();
        assert!((without[1] - 0.5).abs() < 1e-15 && (with[1] - 0.5).abs() < 1e-15, "{with:?} {without:?}");
        let mixed = chain(&[(vec![0, 1], 5, 10), (vec![1], 5, 0)]).removal_effects();
        assert!((mixed[0] - 0.75).abs() < 1e-15, "{mixed:?}");
    }

    proptest! {
        #[test]
        fn one_inverse_gives_every_removal(
            paths in prop::collection::vec((prop::collection::vec(0_u32..5, 1..6), 0_u32..9, 0_u32..9), 1..12),
        ) {
            let whole = chance_without(&paths, None);
            prop_assume!(whole > 0.0);
            for (channel, effect) in chain(&paths).removal_effects().iter().enumerate() {
                let expected = 1.0 - chance_without(&paths, Some(channel as u32)) / whole;
                prop_assert!((effect - expected).abs() < 1e-11, "{} {} {}", channel, effect, expected);
            }
        }

        #[test]
        fn repeats_in_a_row_change_no_removal_effect(
            paths in prop::collection::vec((prop::collection::vec(0_u32..4, 1..6), 1_u32..9, 0_u32..9), 1..9),
        ) {
            let mut merged = paths.clone();
            merged.iter_mut().for_each(|path| path.0.dedup());
            for (one, other) in chain(&paths).removal_effects().iter().zip(chain(&merged).removal_effects()) {
                prop_assert!((one - other).abs() < 1e-12);
            }
        }
    }
}
