//! Stories and models of the whole state machine.

mod anomalies;
mod anything;
mod by_dimension;
mod context;
mod hours;
mod kpis;
mod limits;
mod memory;
mod policies;
mod pools;
mod quiet;
mod recovery;
mod reports;
mod rules;
mod stories;
mod targets;
mod twin;
mod undo;
pub mod world;
