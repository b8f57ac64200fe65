//! Two running sums (Page 1954): a small change in one direction adds up, noise does not.

use super::settings::Settings;
use serde::{Deserialize, Serialize};

/// One sum for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    up: f64,
    down: f64,
}

impl Sums {
    /// Adds a row in standard deviations.
    pub(super) fn add(&mut self, z: f64, settings: &Settings) {
        let z = z.clamp(-settings.sum_clip, settings.sum_clip);
        self.up = (self.up + z - settings.sum_slack).max(0.0);
        self.down = (self.down - z - settings.sum_slack).max(0.0);
    }

    /// The greater one.
    pub(super) fn greatest(&self) -> f64 {
        self.up.max(self.down)
    }

    /// Whether the greater one is that above.
    pub(super) fn is_up(&self) -> bool {
        self.up >= self.down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_change_adds_up_and_noise_does_not() {
        let settings = Settings::default();
        let run = |z: fn(i32) -> f64| {
            let mut sums = Sums::default();
            (0..20).for_each(|i| sums.add(z(i), &settings));
            sums
        };
        let low = run(|_| -1.0);
        assert!(low.greatest() == 10.0 && !low.is_up());
        assert!(run(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).greatest() <= 0.5);
        assert_eq!(run(|i| if i == 19 { 1e9 } else { 0.0 }).greatest(), settings.sum_clip - settings.sum_slack);
    }
}
