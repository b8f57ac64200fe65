//! Bytes to model and back, compiled per writer schema and bounded; the only crate that knows Avro.
//!
//! A payload is framed in one of three ways (Confluent, Avro single-object, JSON object; told apart per record). For
//! Avro, the writer's schema is found by id or fingerprint ([`SchemaIds`]) and compiled once, together with ours, into
//! a program that follows Avro's resolution: for events a flat projection that lends strings from the payload
//! ([`Codec::event`]), for everything else a program that drives serde into the model's own types.
//!
//! What always holds: no input panics; no number that was read decides an allocation; every length, count and depth
//! has a named limit ([`limits`]); a record that is cut, continued or outside its limits is [`Rejected`] with a closed
//! word. What is written is apache-avro's work; what is read is ours, and apache-avro is the oracle of its tests.
//!
//! What is missing on purpose: a registry's HTTP (the client implements [`SchemaIds`] outside; what its answers mean is in
//! [`registry`]), schema references between registry subjects, and judgement of times (the aggregator's).

mod codec;
mod container;
mod cursor;
#[cfg(test)]
mod differential;
mod encode;
mod frame;
mod ids;
mod json;
pub mod limits;
mod plan;
mod project;
mod read;
mod record;
pub mod registry;
mod reject;
mod validate;

pub use codec::{Codec, Scratch};
pub use container::{ArchiveWriter, Archived, read_archive, read_object_container};
pub use encode::EncodeError;
pub use ids::{FixedIds, INDEX_TOML, SchemaIds, SchemaLookup, fingerprint};
pub use record::RecordName;
pub use reject::{RejectReason, Rejected};
