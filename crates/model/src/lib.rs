//! The nouns: events, facts, journal records, commands, reasons.
//!
//! What always holds: no I/O, no clock, no async. Money is an integer in micros of its currency, ratios are integers
//! in parts per million, instants are UTC epoch milliseconds; names end with the unit. Open sets (channels, kinds,
//! reasons) are strings in the records, so that readers survive additions; closed words that we alone write are enums
//! in the crates that decide.
//!
//! Field order and names are those of `schemas/*.avsc`; the codec turns these types into bytes and back through their
//! serde derivation, so a renamed field here is a changed format. What is missing on purpose: a raw user identifier in
//! anything that outlives one record (see [`keyed`]).

pub mod event;
pub mod fact;
pub mod journal;
pub mod keyed;
pub mod marginal;
pub mod output;
pub mod partition;
pub mod time;

/// One unit of currency in micros.
pub const UNIT_MICROS: i64 = 1_000_000;
/// One whole in parts per million.
pub const WHOLE_PPM: i64 = 1_000_000;
/// One whole conversion in micro-conversions, the unit of credit.
pub const CONVERSION_MICRO: i64 = 1_000_000;
