//! Stories and models of the whole state machine.

mod anomalies;
mod anything;
mod hours;
mod kpis;
mod memory;
mod recovery;
mod rules;
mod stories;
mod targets;
pub mod world;
