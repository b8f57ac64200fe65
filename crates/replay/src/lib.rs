//! The same two state machines over recorded topics.
