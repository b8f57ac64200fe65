//! Stories and models of the whole state machine.

mod anomalies;
mod anything;
mod hours;
mod kpis;
mod limits;
mod memory;
mod recovery;
mod stories;
mod targets;
pub mod world;
