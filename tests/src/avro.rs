//! Records by `apache-avro`, from the files in `schemas/`: slow, generic, and no code of the service.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// All schemas by their fixed ids.
pub struct Schemas {
    by_id: BTreeMap<u32, Known>,
}

struct Known {
    name: String,
    schema: &'static Schema,
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

impl Known {
    /// Parsed once and kept for the life of the process.
    fn of(name: String, text: &str) -> Known {
        let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(text).expect("a schema parses")));
        let reader = GenericDatumReader::builder(schema).build().expect("a schema resolves");
        let writer = GenericDatumWriter::builder(schema).build().expect("a schema resolves");
        Known { name, schema, reader, writer }
    }
}

/// The schemas of this checkout, parsed once.
pub fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(Schemas::load)
}

impl Schemas {
    fn load() -> Schemas {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("schemas/ can be read");
        let index: toml::Table = read("index.toml").parse().expect("schemas/index.toml is TOML");
        let entries = index["schema"].as_array().expect("schemas/index.toml has [[schema]] blocks");
        let by_id = entries.iter().map(|entry| {
            let id = entry["id"].as_integer().and_then(|id| u32::try_from(id).ok()).expect("an id is a small number");
            let record = entry["record"].as_str().expect("a record has a name").to_owned();
            let text = read(&format!("{}.avsc", file_name(&record)));
            (id, Known::of(record, &text))
        });
        Schemas { by_id: by_id.collect() }
    }

    /// Name and content of a record in Confluent framing, or what is wrong with it.
    pub fn decode(&self, payload: &[u8]) -> Result<(&str, Value), &'static str> {
        if payload.is_empty() {
            return Err("empty");
        }
        let (Some((0, frame)), true) = (payload.split_first(), payload.len() >= 5) else { return Err("bad_frame") };
        let id = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
        let known = self.by_id.get(&id).ok_or("unknown_schema")?;
        let mut body = &frame[4..];
        let value = known.reader.read_value(&mut body).map_err(|_| "decode_error")?;
        if body.is_empty() { Ok((&known.name, value)) } else { Err("trailing_bytes") }
    }

    /// A record in Confluent framing from JSON; fields that are left out take their defaults.
    ///
    /// # Panics
    /// Where the JSON does not fit the schema.
    pub fn encode(&self, name: &str, json: serde_json::Value) -> Vec<u8> {
        let value = Value::try_from(json).expect("JSON is a value");
        self.encode_value(name, value)
    }

    /// As [`Schemas::encode`], from a value.
    ///
    /// # Panics
    /// Where the value does not fit the schema.
    pub fn encode_value(&self, name: &str, value: Value) -> Vec<u8> {
        let (id, known) = self.by_id.iter().find(|(_, known)| known.name == name).expect("the record is known");
        let value = value.resolve(known.schema).unwrap_or_else(|error| panic!("not a {name}: {error}"));
        let mut bytes = vec![0];
        bytes.extend(id.to_be_bytes());
        bytes.extend(known.writer.write_value_to_vec(value).expect("a resolved value encodes"));
        bytes
    }
}

/// Reading fields of a decoded record; a field that is not there is a mistake of the test.
pub trait Fields {
    /// A field by name.
    fn field(&self, name: &str) -> &Value;
    /// A text.
    fn text(&self, name: &str) -> &str;
    /// A text that may be null.
    fn optional_text(&self, name: &str) -> Option<&str>;
    /// A whole number or an instant.
    fn long(&self, name: &str) -> i64;
    /// A list.
    fn list(&self, name: &str) -> &[Value];
}

impl Fields for Value {
    fn field(&self, name: &str) -> &Value {
        let Value::Record(fields) = self else { panic!("{name}: not a record: {self:?}") };
        let found = fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value).unwrap_or_else(|| panic!("there is no field {name}"))
    }

    fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_else(|| panic!("{name} is null"))
    }

    fn optional_text(&self, name: &str) -> Option<&str> {
        match self.field(name) {
            Value::String(text) => Some(text),
            Value::Null => None,
            Value::Union(_, inner) => match &**inner {
                Value::String(text) => Some(text),
                Value::Null => None,
                other => panic!("{name} is not a text: {other:?}"),
            },
            other => panic!("{name} is not a text: {other:?}"),
        }
    }

    fn long(&self, name: &str) -> i64 {
        as_long(self.field(name)).unwrap_or_else(|| panic!("{name} is not a whole number"))
    }

    fn list(&self, name: &str) -> &[Value] {
        let Value::Array(items) = self.field(name) else { panic!("{name} is not a list") };
        items
    }
}

fn as_long(value: &Value) -> Option<i64> {
    match value {
        Value::Long(number) | Value::TimestampMillis(number) => Some(*number),
        Value::Int(number) => Some((*number).into()),
        Value::Union(_, inner) => as_long(inner),
        _ => None,
    }
}

fn file_name(record: &str) -> String {
    let mut name = String::new();
    for letter in record.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let click = json!({"event_id": "e", "event_time": 5, "account_id": "a", "campaign_id": "c", "channel": "search",
            "device": "mobile", "geo": "", "cost_micros": 7, "currency": "EUR", "user_key": "u"});
        let bytes = schemas().encode("Click", click);
        let (name, value) = schemas().decode(&bytes).unwrap();
        assert_eq!((name, value.text("campaign_id"), value.long("event_time")), ("Click", "c", 5));
        assert_eq!((value.optional_text("user_key"), value.optional_text("creative_id")), (Some("u"), None));
        assert_eq!(schemas().decode(&[]).unwrap_err(), "empty");
        assert_eq!(schemas().decode(&[bytes, vec![0]].concat()).unwrap_err(), "trailing_bytes");
    }
}
