//! The specification's bid, and the hard stop alone: what a campaign without a controller does.

use super::{Input, Memory, Pressure, Step, admitted, moved};
use crate::hold::Hold;
use crate::settings::Pressure as Settings;

/// Never moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fixed;

impl Pressure for Fixed {
    fn evaluate(&self, input: &Input, _memory: &mut Memory, settings: &Settings) -> Result<Step, Hold> {
        moved(input, admitted(input, settings)?, 0.0, 0.0, 0.0)
    }
}
