//! Seeded chance: a failed run is repeated with `PACELINE_TEST_SEED`.

use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of random numbers (xorshift64*), good enough to pick moments and victims.
#[derive(Clone, Debug)]
pub struct Chance {
    state: u64,
    seed: u64,
}

impl Chance {
    /// From `PACELINE_TEST_SEED` where it is set, else from the clock; the seed is printed.
    pub fn of_this_run(story: &str) -> Chance {
        let given: Option<u64> = std::env::var("PACELINE_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| u64::from(since.subsec_nanos()));
        let seed = given.unwrap_or_else(clock);
        println!("{story}: seed {seed} (PACELINE_TEST_SEED repeats it)");
        Chance { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, seed }
    }

    /// What began it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound.max(1)
    }

    /// Puts a list into random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
