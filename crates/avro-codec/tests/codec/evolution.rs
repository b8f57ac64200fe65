//! Schemas grow only in ways that `schemas/README.md` allows, checked from the files of every release.
//!
//! Inputs (others write, we read) are BACKWARD_TRANSITIVE: the schema of today reads every release. So are the journal
//! and the epochs, which are ours on both sides: a new kind of fact is a new branch, which an older build refuses.
//! Outputs (we write, others read) are FULL_TRANSITIVE: also every release reads the schema of today.

use crate::common::full;
use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use avro_codec::{Codec, RecordName};
use model::event::{Click, Conversion, Impression};
use model::fact::*;
use model::journal::{Epoch, JournalRecord};
use model::output::{Adjustment, Alert, DesiredState, KpiRow};
use serde_json::Value as Json;
use std::fs;
use std::path::PathBuf;

#[test]
fn the_schema_of_today_reads_every_release() {
    for record in RecordName::ALL {
        for (release, schema) in history(*record) {
            assert_eq!(reads(&schema, record.schema()), Ok(()), "{record} release {release}");
        }
    }
}

#[test]
fn every_release_of_an_output_reads_the_schema_of_today() {
    for record in RecordName::ALL.iter().filter(|record| is_output(**record)) {
        for (release, schema) in history(*record) {
            assert_eq!(reads(record.schema(), &schema), Ok(()), "{record} release {release}");
        }
    }
}

#[test]
fn the_schema_of_today_is_the_newest_release() {
    for record in RecordName::ALL {
        let (release, _) = history(*record).pop().expect("a first release");
        let path = schemas().join("history").join(record.file_stem()).join(format!("{release}.avsc"));
        let newest: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let today: Json = serde_json::from_str(record.schema_json()).unwrap();
        let same = without_docs(newest) == without_docs(today);
        assert!(same, "{record} differs from release {release}: add the next release and give it an id in index.toml");
    }
}

/// Words for people may be bettered without a release.
fn without_docs(mut schema: Json) -> Json {
    match &mut schema {
        Json::Object(object) => {
            object.remove("doc");
            object.values_mut().for_each(|inner| *inner = without_docs(inner.take()));
        }
        Json::Array(items) => items.iter_mut().for_each(|item| *item = without_docs(item.take())),
        _ => {}
    }
    schema
}

#[test]
fn releases_are_counted_without_gaps_and_belong_to_records() {
    for record in RecordName::ALL {
        let numbers: Vec<u32> = history(*record).into_iter().map(|(release, _)| release).collect();
        assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>(), "{record}");
    }
    for folder in fs::read_dir(schemas().join("history")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(RecordName::ALL.iter().any(|record| record.file_stem() == name), "{name}");
    }
}

#[test]
fn the_check_refuses_what_the_rules_forbid() {
    let first = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
    let record =
        |fields: &str| Schema::parse_str(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)).unwrap();
    let first = Schema::parse_str(first).unwrap();
    let added = record(r#"{"name":"a","type":"int"},{"name":"b","type":["null","string"],"default":null}"#);
    assert_eq!((reads(&first, &added), reads(&added, &first)), (Ok(()), Ok(())));
    let added_without_default = record(r#"{"name":"a","type":"int"},{"name":"b","type":"string"}"#);
    assert!(reads(&first, &added_without_default).is_err());
    let widened = record(r#"{"name":"a","type":"long"}"#);
    assert_eq!(reads(&first, &widened), Ok(()));
    assert!(reads(&widened, &first).is_err());
    let nullable = record(r#"{"name":"a","type":["null","int"]}"#);
    assert!(reads(&nullable, &first).is_err(), "what resolves only in some branches is no compatibility");
}

#[test]
fn bytes_of_every_release_read_as_they_did() {
    let codec = Codec::fixed();
    for record in RecordName::ALL {
        for (release, _) in history(*record) {
            let (payload, value) = fixture(*record, release);
            assert_eq!(codec.to_json(&payload), Ok(value), "{record} release {release}");
        }
    }
}

/// For a new release: writes its fixture, from a full value of today, where there is none yet.
#[test]
#[ignore = "writes files; run by hand after adding a release"]
fn write_missing_fixtures() {
    let codec = Codec::fixed();
    for_each_record!(|record, T| {
        let release = history(record).pop().expect("a first release").0;
        let path = fixture_path(record, release);
        if !path.exists() {
            let value = full::<T>(u64::from(release));
            let payload: String =
                codec.encode(record, &value).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
            let fixture = serde_json::json!({"payload": payload, "value": value});
            fs::write(path, serde_json::to_string_pretty(&fixture).unwrap() + "\n").unwrap();
        }
    });
}

/// The bytes that a release wrote, and what they say.
fn fixture(record: RecordName, release: u32) -> (Vec<u8>, Json) {
    let path = fixture_path(record, release);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut fixture: Json = serde_json::from_str(&text).unwrap();
    let hex = fixture["payload"].as_str().unwrap();
    let payload = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    (payload, fixture["value"].take())
}

fn fixture_path(record: RecordName, release: u32) -> PathBuf {
    schemas().join("history").join(record.file_stem()).join(format!("{release}.example.json"))
}

fn is_output(record: RecordName) -> bool {
    use RecordName::{Adjustment, Alert, DesiredState, KpiRow};
    matches!(record, Adjustment | DesiredState | Alert | KpiRow)
}

fn reads(writer: &Schema, reader: &Schema) -> Result<(), String> {
    match SchemaCompatibility::can_read(writer, reader) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => Err("only some records could be read".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Releases in order.
fn history(record: RecordName) -> Vec<(u32, Schema)> {
    let folder = schemas().join("history").join(record.file_stem());
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut releases: Vec<(u32, Schema)> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "avsc"))
        .map(|path| {
            let release = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let schema = Schema::parse_str(&fs::read_to_string(&path).unwrap()).unwrap();
            (release.unwrap_or_else(|| panic!("{} is no release number", path.display())), schema)
        })
        .collect();
    releases.sort_by_key(|(release, _)| *release);
    releases
}

fn schemas() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}
