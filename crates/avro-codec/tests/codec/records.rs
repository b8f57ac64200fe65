//! Every type of the model and its schema agree, in both directions and in every framing.

use crate::common::{bare, fixed, full, random};
use apache_avro::Schema;
use avro_codec::{Codec, RecordName, RejectReason, fingerprint};
use model::event::{Click, Conversion, Impression};
use model::fact::*;
use model::journal::{Epoch, JournalRecord};
use model::output::{Adjustment, Alert, DesiredState, KpiRow};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fmt::Debug;

#[test]
fn a_full_and_a_bare_value_of_each_type_come_back_equal() {
    let codec = fixed();
    let mut seen = 0;
    for_each_record!(|record, T| {
        seen += 1;
        for seed in 0..20 {
            comes_back(codec, record, &full::<T>(seed));
            comes_back(codec, record, &bare::<T>(seed));
            comes_back(codec, record, &random::<T>(seed));
        }
    });
    assert_eq!(seen, RecordName::ALL.len());
}

#[test]
fn fields_stand_in_the_order_of_the_schema() {
    for_each_record!(|record, T| {
        // serde_json keeps text order: what the derivation writes first is the type's first field.
        let text = serde_json::to_string(&full::<T>(1)).unwrap();
        let Schema::Record(schema) = record.schema() else { panic!("{record}") };
        let mut after = 0;
        for field in &schema.fields {
            let at = text[after..].find(&format!("\"{}\":", field.name));
            after += at.unwrap_or_else(|| panic!("{record}.{} is missing or out of order", field.name));
        }
        let object: serde_json::Map<String, Json> = serde_json::from_str(&text).unwrap();
        assert_eq!(object.len(), schema.fields.len(), "{record}");
    });
}

#[test]
fn every_fact_is_a_branch_of_the_journal() {
    let codec = fixed();
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let record: JournalRecord = full(seed);
        seen.extend(record.facts.iter().map(|fact| fact.record.schema_name()));
        let bytes = codec.encode(RecordName::JournalRecord, &record).unwrap();
        assert_eq!(codec.journal(&bytes).as_ref(), Ok(&record));
    }
    assert_eq!(seen.len(), 10, "{seen:?}");
}

#[test]
fn records_inside_the_journal_have_the_form_that_they_have_alone() {
    let journal: Json = serde_json::from_str(RecordName::JournalRecord.schema_json()).unwrap();
    let facts = field(&journal, "facts")["type"]["items"].clone();
    for branch in field(&facts, "record")["type"].as_array().unwrap() {
        let name = RecordName::from_name(branch["name"].as_str().unwrap()).unwrap();
        let mut alone: Json = serde_json::from_str(name.schema_json()).unwrap();
        assert_eq!(alone.as_object_mut().unwrap().remove("namespace"), Some("paceline.v1".into()));
        assert_eq!(*branch, alone, "{name}");
    }
}

#[test]
fn every_field_is_documented_and_every_nullable_defaults_to_null() {
    for record in RecordName::ALL {
        let schema: Json = serde_json::from_str(record.schema_json()).unwrap();
        assert_eq!(schema["namespace"], "paceline.v1", "{record}");
        assert_eq!(schema["name"], record.as_str());
        check_docs(&schema, record.as_str());
    }
}

fn check_docs(schema: &Json, path: &str) {
    match schema {
        Json::Array(branches) => branches.iter().for_each(|branch| check_docs(branch, path)),
        Json::Object(object) if object.contains_key("fields") => {
            assert!(object["doc"].is_string(), "{path}");
            for field in object["fields"].as_array().unwrap() {
                let path = format!("{path}.{}", field["name"].as_str().unwrap());
                let doc = field["doc"].as_str().unwrap_or_else(|| panic!("{path} has no doc"));
                check_unit(field, doc, &path);
                if field["type"].as_array().is_some_and(|branches| branches[0] == "null") {
                    assert_eq!(field.get("default"), Some(&Json::Null), "{path}");
                }
                check_docs(&field["type"], &path);
            }
        }
        Json::Object(object) => {
            assert_ne!(object["type"], "enum", "{path}: words are strings");
            for inner in ["items", "values"] {
                check_docs(object.get(inner).unwrap_or(&Json::Null), path);
            }
        }
        _ => {}
    }
}

/// A name that ends with a unit has a doc that says it.
fn check_unit(field: &Json, doc: &str, path: &str) {
    let name = field["name"].as_str().unwrap();
    for (ending, unit) in [("_micros", "icros"), ("_ppm", "parts per million"), ("_micro", "micro-conversions")] {
        if name.ends_with(ending) {
            assert!(doc.contains(unit), "{path}: {doc}");
        }
    }
    if field["type"].to_string().contains("timestamp-millis") && !field["type"].to_string().contains("fields") {
        assert!(doc.contains("UTC epoch milliseconds"), "{path}: {doc}");
    }
    if ["user_key", "ip_key", "user_agent", "customer_key", "author"].contains(&name) {
        assert!(doc.contains("PII"), "{path}: {doc}");
    }
}

fn field<'j>(record: &'j Json, name: &str) -> &'j Json {
    record["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap()
}

/// Confluent, single-object and JSON give the value back; cut or continued records do not.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(codec: &Codec, record: RecordName, value: &T) {
    let bytes = codec.encode(record, value).unwrap();
    assert_eq!(codec.record::<T>(record, &bytes).as_ref(), Ok(value), "{record}");
    let mut single = vec![0xc3, 0x01];
    single.extend(fingerprint(record.schema()).to_le_bytes());
    single.extend(&bytes[5..]);
    assert_eq!(codec.record::<T>(record, &single).as_ref(), Ok(value), "{record}");
    let json = codec.to_json(&bytes).unwrap();
    assert_eq!(codec.record::<T>(record, json.to_string().as_bytes()).as_ref(), Ok(value), "{record}");
    assert_eq!(json, serde_json::to_value(value).unwrap(), "{record}");
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(codec.record::<T>(record, &longer).unwrap_err().reason, RejectReason::TrailingBytes);
}

proptest! {
    #[test]
    fn a_record_cut_at_any_byte_is_refused(seed: u64, which in 0..RecordName::ALL.len()) {
        let codec = fixed();
        for_each_record!(|record, T| {
            if RecordName::ALL[which] == record {
                let bytes = codec.encode(record, &random::<T>(seed)).unwrap();
                for end in 0..bytes.len() {
                    prop_assert!(codec.record::<T>(record, &bytes[..end]).is_err(), "{} cut at {}", record, end);
                    prop_assert!(codec.to_json(&bytes[..end]).is_err(), "{} cut at {}", record, end);
                }
            }
        });
    }

    #[test]
    fn flipped_bits_and_random_bytes_never_panic(
        seed: u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..9),
        noise in prop::collection::vec(any::<u8>(), 0..300),
        id in 0_u8..21,
    ) {
        let codec = fixed();
        let mut random_bytes = vec![0, 0, 0, 0, id];
        random_bytes.extend(&noise);
        for_each_record!(|record, T| {
            let mut bytes = codec.encode(record, &random::<T>(seed)).unwrap();
            for (at, bit) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            for payload in [&bytes, &random_bytes, &noise] {
                let _ = codec.record::<T>(record, payload);
                let _ = codec.to_json(payload);
                for topic in ControlTopic::ALL {
                    let _ = codec.fact(topic, payload);
                }
            }
        });
    }
}
