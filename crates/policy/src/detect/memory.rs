//! How much of a row's residual was to be expected from the rows just before it.
//!
//! Campaigns drift: an hour above its season is followed by others. Three memories of past residuals (the last row, about
//! three, about seven) each learn which share of themselves comes again; the one that errs least is asked, none if none
//! helps. So both a series of independent noise and one that wanders leave surprises that look alike.

use super::running::kept;
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

/// How far each memory moves towards a new residual.
const GAINS: [f64; 3] = [1.0, 0.4, 0.15];
/// A share is shrunk to none, as if this many rows had shown none: a dozen rows can look like a memory by chance.
const PRIOR_ROWS: f64 = 12.0;
/// A memory may say a little more than itself, since it lags behind a drift; more would be a runaway.
const SHARE_MAX: f64 = 1.2;

/// The three memories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    traces: [Trace; 3],
    /// Rows and their squares, forgotten alike.
    rows: f64,
    square: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Trace {
    past: f64,
    past_square: f64,
    product: f64,
    error_square: f64,
}

impl Memory {
    /// The residual that the next row should have.
    pub(super) fn expects(&self) -> f64 {
        let (mut least, mut expected) = (self.square, 0.0);
        for trace in &self.traces {
            if trace.error_square < least {
                (least, expected) = (trace.error_square, trace.share(self.rows) * trace.past);
            }
        }
        expected
    }

    /// Learns from a residual, already clipped.
    pub(super) fn learn(&mut self, residual: f64, step_ms: Millis, half_life_ms: Millis) {
        let keep = kept(step_ms, half_life_ms);
        for trace in &mut self.traces {
            let error = residual - trace.share(self.rows) * trace.past;
            trace.error_square = trace.error_square * keep + error * error;
            trace.past_square = trace.past_square * keep + trace.past * trace.past;
            trace.product = trace.product * keep + trace.past * residual;
        }
        self.rows = self.rows * keep + 1.0;
        self.square = self.square * keep + residual * residual;
        self.follow(residual);
    }

    /// Remembers a residual without learning from it.
    pub(super) fn follow(&mut self, residual: f64) {
        for (trace, gain) in self.traces.iter_mut().zip(GAINS) {
            trace.past += gain * (residual - trace.past);
        }
    }

    /// Forgets the rows before, not what they taught: after a gap or an incident nothing is known of now.
    pub(super) fn cut(&mut self) {
        self.traces.iter_mut().for_each(|trace| trace.past = 0.0);
    }
}

impl Trace {
    fn share(&self, rows: f64) -> f64 {
        let shrunk = self.past_square * (1.0 + PRIOR_ROWS / rows.max(1.0));
        if shrunk > 0.0 { (self.product / shrunk).clamp(0.0, SHARE_MAX) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(residuals: impl Iterator<Item = f64>) -> Memory {
        let mut memory = Memory::default();
        residuals.for_each(|residual| memory.learn(residual, 1, 1_000_000));
        memory
    }

    #[test]
    fn a_wave_is_expected_to_go_on_and_a_seesaw_is_not() {
        let wave = after((0..500).map(|i| libm::sin(f64::from(i) / 20.0)));
        let next = libm::sin(500.0 / 20.0);
        assert!((wave.expects() - next).abs() < 0.15, "{} for {next}", wave.expects());
        let seesaw = after((0..500).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }));
        assert_eq!(seesaw.expects(), 0.0);
    }

    #[test]
    fn a_cut_forgets_now_and_keeps_the_lesson() {
        let mut memory = after((0..500).map(|i| libm::sin(f64::from(i) / 20.0)));
        memory.cut();
        assert_eq!(memory.expects(), 0.0);
        memory.follow(0.5);
        assert!(memory.expects() > 0.3);
    }
}
