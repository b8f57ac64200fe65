//! From the id in a frame to the schema that wrote the record.
//!
//! A registry's client implements [`SchemaIds`] outside; without one, [`FixedIds`] holds what `schemas/index.toml` says.

use crate::record::{RELEASES, RecordName};
use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

/// What is known of a schema id or fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaLookup {
    /// The schema's text. For one id it never changes: what is compiled from it is kept.
    Found(Arc<str>),
    /// Asked and not there: the record can never be read.
    Unknown,
    /// Cannot be asked now, with the reason: the record may be good, so hold it.
    Unavailable(String),
}

/// Who knows the schemas that writers used. Asked once for each id that is known; answers must not wait for long.
pub trait SchemaIds: Send + Sync {
    /// The schema of a Confluent frame.
    fn by_id(&self, id: u32) -> SchemaLookup;

    /// The schema of a single-object frame, by its CRC-64-AVRO fingerprint.
    fn by_fingerprint(&self, fingerprint: u64) -> SchemaLookup;

    /// The id under which our own schema of today is written; `None` where it has none (yet).
    fn id_of(&self, record: RecordName) -> Option<u32>;
}

/// The ids of `schemas/index.toml`, embedded when the crate is built.
#[derive(Clone, Debug)]
pub struct FixedIds {
    by_id: HashMap<u32, &'static str>,
    by_fingerprint: HashMap<u64, &'static str>,
    newest: HashMap<RecordName, u32>,
}

/// The text of `schemas/index.toml`.
pub const INDEX_TOML: &str = include_str!("../../../schemas/index.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    schema: Vec<IndexEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexEntry {
    id: u32,
    record: String,
    release: u32,
}

impl FixedIds {
    /// Reads the embedded index.
    pub fn new() -> Self {
        // The text is embedded, and a test goes through all of it.
        let index: Index = toml::from_str(INDEX_TOML).expect("embedded index parses");
        let mut ids = Self { by_id: HashMap::new(), by_fingerprint: HashMap::new(), newest: HashMap::new() };
        for entry in &index.schema {
            let release = RELEASES
                .iter()
                .find(|(record, release, _)| record.as_str() == entry.record && *release == entry.release);
            if let Some((record, _, text)) = release {
                ids.add(entry.id, *record, text);
            }
        }
        ids
    }

    fn add(&mut self, id: u32, record: RecordName, text: &'static str) {
        self.by_id.insert(id, text);
        if let Ok(schema) = Schema::parse_str(text) {
            self.by_fingerprint.insert(fingerprint(&schema), text);
        }
        let newest = self.newest.entry(record).or_insert(id);
        *newest = id.max(*newest);
    }
}

impl Default for FixedIds {
    fn default() -> Self {
        Self::new()
    }
}

impl SchemaIds for FixedIds {
    fn by_id(&self, id: u32) -> SchemaLookup {
        found(self.by_id.get(&id))
    }

    fn by_fingerprint(&self, fingerprint: u64) -> SchemaLookup {
        found(self.by_fingerprint.get(&fingerprint))
    }

    fn id_of(&self, record: RecordName) -> Option<u32> {
        self.newest.get(&record).copied()
    }
}

fn found(text: Option<&&'static str>) -> SchemaLookup {
    text.map_or(SchemaLookup::Unknown, |text| SchemaLookup::Found(Arc::from(*text)))
}

/// The CRC-64-AVRO fingerprint of a schema's canonical form, as single-object frames carry it.
pub fn fingerprint(schema: &Schema) -> u64 {
    let bytes = schema.fingerprint::<Rabin>().bytes;
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_has_the_fixed_id_of_the_contract() {
        let ids = FixedIds::new();
        for (index, record) in RecordName::ALL.iter().enumerate() {
            let first = index as u32 + 1;
            assert!(matches!(ids.by_id(first), SchemaLookup::Found(_)), "{record} keeps the id of its first release");
            let later = RELEASES.iter().any(|(name, release, _)| name == record && *release > 1);
            let newest = ids.id_of(*record).unwrap();
            assert!(if later { newest as usize > RecordName::ALL.len() } else { newest == first }, "{record}");
            let by_id = ids.by_id(newest);
            let SchemaLookup::Found(text) = &by_id else { panic!("{record}") };
            assert_eq!(Schema::parse_str(text).unwrap(), *record.schema(), "{record}");
            assert_eq!(ids.by_fingerprint(fingerprint(record.schema())), by_id, "{record}");
        }
        assert_eq!(ids.by_id(0), SchemaLookup::Unknown);
    }

    #[test]
    fn the_index_names_every_release_once() {
        let index: Index = toml::from_str(INDEX_TOML).unwrap();
        let mut seen: Vec<u32> = index.schema.iter().map(|entry| entry.id).collect();
        seen.dedup();
        assert!(seen.is_sorted() && seen.len() == index.schema.len(), "ids rise and are not reused");
        let mut listed: Vec<(String, u32)> =
            index.schema.into_iter().map(|entry| (entry.record, entry.release)).collect();
        let mut known: Vec<(String, u32)> = RELEASES.iter().map(|(name, n, _)| (name.to_string(), *n)).collect();
        listed.sort();
        known.sort();
        assert_eq!(listed, known);
    }
}
