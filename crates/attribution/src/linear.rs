//! The same to each touch.

use crate::{Model, Touch};

/// Equal shares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linear;

impl Model for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn weights(&self, touches: &[Touch]) -> Vec<u64> {
        vec![1; touches.len()]
    }
}
