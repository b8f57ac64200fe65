//! Stories and models of the whole state machine.

mod anything;
mod kpis;
mod memory;
mod recovery;
mod stories;
mod targets;
pub mod world;
mod anomalies;
