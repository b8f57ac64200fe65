//! All to the first touch.

use crate::{Model, Touch};

/// Credits what made the user known; of whatever kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct First;

impl Model for First {
    fn name(&self) -> &'static str {
        "first"
    }

    fn weights(&self, touches: &[Touch]) -> Vec<u64> {
        (0..touches.len()).map(|at| u64::from(at == 0)).collect()
    }
}
