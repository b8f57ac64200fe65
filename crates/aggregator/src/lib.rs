//! Stage 1: events of one sibling set to deltas, a pure state machine.
