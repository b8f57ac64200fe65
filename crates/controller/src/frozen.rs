//! A snapshot in two steps: what the loop must wait for, and what a thread of its own does later.
//!
//! What always holds: a frozen state never changes. Campaigns, their ledgers and alerts are shared until somebody changes
//! them, so freezing copies names and counts references; whoever changes one first copies that one.

use crate::controller::{Controller, State};

/// First bytes of a snapshot; the last is the format version.
pub(crate) const MAGIC: [u8; 4] = *b"PLC\x11";

/// A state as it was when it was frozen.
#[derive(Clone, Debug)]
pub struct Frozen {
    partition: i32,
    state: State,
}

impl Controller {
    /// The state as of now, for another thread to encode.
    pub fn freeze(&self) -> Frozen {
        Frozen { partition: self.setup.partition, state: self.state.clone() }
    }

    /// The whole state as bytes, equal for equal states.
    pub fn snapshot(&self) -> Vec<u8> {
        encode(self.setup.partition, &self.state)
    }
}

impl Frozen {
    /// The bytes that [`Controller::snapshot`] would have given then.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.partition, &self.state)
    }
}

fn encode(partition: i32, state: &State) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&partition.to_be_bytes());
    // The state is plain data: serialization into memory has no way to fail.
    bytes.extend(postcard::to_stdvec(state).unwrap_or_default());
    bytes
}

#[cfg(test)]
mod tests {
    use crate::tests::world::*;
    use crate::{Controller, Frozen};
    use model::time::{HOUR_MS, MINUTE_MS};

    fn is_send<T: Send>() {}

    #[test]
    fn what_was_frozen_stays_as_it_was_while_the_state_goes_on() {
        is_send::<Frozen>();
        let mut world = World::new();
        world.feed(MONDAY, &[touches("a", MONDAY, 1, 1, 10)], &[specified(spec("a", 1)), specified(spec("b", 1))]);
        let (frozen, then) = (world.controller.freeze(), world.controller.snapshot());
        for minute in 1..120 {
            let at = MONDAY + minute * MINUTE_MS;
            world.feed(at, &[touches("a", at, 9, 3, 1_000_000), touches("b", at - HOUR_MS, 1, 1, 5)], &[]);
        }
        assert_ne!(world.controller.snapshot(), then);
        assert_eq!(frozen.encode(), then);
        assert!(Controller::restore(setup(), &frozen.encode()).is_ok());
    }
}
