//! Our reading against apache-avro's, over random pairs of schemas and random values.
//!
//! Each case is made from one seed: a reader's record, a writer's record that Avro resolves to it (fields dropped where
//! there is a default, added, reordered, narrowed, wrapped in unions), and a value of the writer's. The properties:
//! 1. What apache-avro resolves, we read, and equal; what it refuses, we refuse.
//! 2. Read as it is (no reader), the value equals apache-avro's too.
//! 3. A record cut anywhere or continued is refused; a record with flipped bits never panics.
//!
//! Not compared, because apache-avro does otherwise: field aliases (it does not apply them; written cases below) and
//! floats read from strings.

use crate::cursor::{Cursor, Fault};
use crate::limits::Limits;
use crate::plan::Program;
use crate::read::Reader;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value as Json, json};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn what_apache_avro_resolves_we_read_equally(seed: u64) {
        let case = Case::from_seed(seed);
        let program = Program::resolving(&case.writer, &case.reader);
        let program = program.unwrap_or_else(|why| panic!("{why}\nwriter {:?}\nreader {:?}", case.writer, case.reader));
        let theirs = GenericDatumReader::builder(&case.writer)
            .reader_schema(&case.reader)
            .build()
            .unwrap()
            .read_value(&mut &case.bytes[..]);
        match (read(&program, &case.bytes), theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, json_of(&theirs)),
            (Err(Fault::Unresolvable(_)), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "ours {:?}\ntheirs {:?}\nwriter {:?}", ours, theirs, case.writer),
        }
    }

    #[test]
    fn read_as_it_is_a_value_equals_apache_avros(seed: u64) {
        let case = Case::from_seed(seed);
        let ours = read(&Program::plain(&case.writer).unwrap(), &case.bytes).unwrap();
        prop_assert_eq!(ours, json_of(&case.value));
    }

    #[test]
    fn a_record_that_was_cut_or_continued_is_refused(seed: u64) {
        let case = Case::from_seed(seed);
        for program in [Program::resolving(&case.writer, &case.reader).unwrap(), Program::plain(&case.writer).unwrap()] {
            for end in 0..case.bytes.len() {
                prop_assert!(read(&program, &case.bytes[..end]).is_err(), "cut at {} of {}", end, case.bytes.len());
            }
            let mut longer = case.bytes.clone();
            longer.push(0);
            prop_assert!(read(&program, &longer).is_err());
        }
    }

    #[test]
    fn flipped_bits_never_panic(seed: u64, flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..6)) {
        let mut case = Case::from_seed(seed);
        if !case.bytes.is_empty() {
            for (at, bit) in flips {
                let at = at.index(case.bytes.len());
                case.bytes[at] ^= 1 << bit;
            }
        }
        let _ = read(&Program::resolving(&case.writer, &case.reader).unwrap(), &case.bytes);
        let _ = read(&Program::plain(&case.writer).unwrap(), &case.bytes);
    }
}

#[test]
fn a_field_is_found_under_an_alias_but_its_own_name_goes_first() {
    let reader = record(json!([{"name": "new", "aliases": ["older", "old"], "type": "long"}]));
    let old = record(json!([{"name": "old", "type": "int"}, {"name": "other", "type": "string"}]));
    let both = record(json!([{"name": "old", "type": "long"}, {"name": "new", "type": "long"}]));
    assert_eq!(read(&Program::resolving(&old, &reader).unwrap(), &[0x0e, 0x02, b'x']), Ok(json!({"new": 7})));
    assert_eq!(read(&Program::resolving(&both, &reader).unwrap(), &[0x02, 0x04]), Ok(json!({"new": 2})));
}

#[test]
fn a_record_is_found_under_an_alias_and_not_under_a_strange_name() {
    let writer = record(json!([{"name": "a", "type": "long"}]));
    let mut text =
        json!({"type": "record", "name": "Renamed", "aliases": ["R"], "fields": [{"name": "a", "type": "long"}]});
    let reader = Schema::parse(&text).unwrap();
    assert_eq!(read(&Program::resolving(&writer, &reader).unwrap(), &[0x02]), Ok(json!({"a": 1})));
    text.as_object_mut().unwrap().remove("aliases");
    let why = Program::resolving(&writer, &Schema::parse(&text).unwrap()).unwrap_err();
    assert_eq!(why, "the writer's record is R, not Renamed");
}

#[test]
fn what_can_never_resolve_is_refused_when_compiled() {
    let reader = record(json!([{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]));
    for (writer, why) in [
        (json!("string"), "R: at: string cannot be read as timestampmillis"),
        (
            json!({"type": "long", "logicalType": "timestamp-micros"}),
            "R: at: timestampmicros cannot be read as timestampmillis",
        ),
        (
            json!(["null", "double"]),
            "R: at: null cannot be read as timestampmillis; double cannot be read as timestampmillis",
        ),
    ] {
        let writer = record(json!([{"name": "at", "type": writer}]));
        assert_eq!(Program::resolving(&writer, &reader).map(drop), Err(why.into()));
    }
    let missing = record(json!([{"name": "other", "type": "long"}]));
    assert_eq!(Program::resolving(&missing, &reader).map(drop), Err("R: at is missing and has no default".into()));
}

#[test]
fn a_recursive_schema_compiles_and_its_depth_is_bounded() {
    let list = record(json!([{"name": "next", "type": ["null", "R"], "default": null}]));
    for program in [Program::resolving(&list, &list).unwrap(), Program::plain(&list).unwrap()] {
        assert_eq!(read(&program, &[2, 2, 0]), Ok(json!({"next": {"next": {"next": null}}})));
        assert_eq!(read(&program, &[2; 1_000]), Err(Fault::TooLarge("depth_max")));
        let outer = record(json!([{"name": "skipped", "type": list_under("Q")}]));
        let skipping = Program::resolving(&outer, &record(json!([]))).unwrap();
        assert_eq!(read(&skipping, &[2, 2, 0]), Ok(json!({})));
        assert_eq!(read(&skipping, &[2; 1_000]), Err(Fault::TooLarge("depth_max")));
    }
}

#[test]
fn an_enum_resolves_by_symbol_and_falls_back_to_the_readers_default() {
    let symbols = |words: Json, default: Option<&str>| {
        let mut word = json!({"type": "enum", "name": "E", "symbols": words});
        if let Some(default) = default {
            word["default"] = json!(default);
        }
        record(json!([{"name": "e", "type": word}]))
    };
    let writer = symbols(json!(["a", "b", "c"]), None);
    let program = Program::resolving(&writer, &symbols(json!(["c", "b"]), None)).unwrap();
    assert_eq!(read(&program, &[4]), Ok(json!({"e": "c"})));
    assert!(matches!(read(&program, &[0]), Err(Fault::Unresolvable(_))));
    let program = Program::resolving(&writer, &symbols(json!(["c", "b"]), Some("b"))).unwrap();
    assert_eq!(read(&program, &[0]), Ok(json!({"e": "b"})));
    assert_eq!(read(&program, &[6]), Err(Fault::BadTag));
}

fn record(fields: Json) -> Schema {
    Schema::parse(&json!({"type": "record", "name": "R", "fields": fields})).unwrap()
}

fn list_under(name: &str) -> Json {
    json!({"type": "record", "name": name, "fields": [{"name": "next", "type": ["null", name]}]})
}

fn read(program: &Program, bytes: &[u8]) -> Result<Json, Fault> {
    let mut cursor = Cursor::new(bytes, Limits::INPUT);
    let value = Json::deserialize(Reader::new(program, &mut cursor))?;
    if cursor.is_at_end() { Ok(value) } else { Err(Fault::Truncated) }
}

/// apache-avro's value as our JSON shows it.
fn json_of(value: &Value) -> Json {
    let latin = |bytes: &[u8]| json!(bytes.iter().copied().map(char::from).collect::<String>());
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Int(value) | Value::Date(value) | Value::TimeMillis(value) => json!(value),
        Value::Long(value) | Value::TimestampMillis(value) | Value::TimestampMicros(value) => json!(value),
        Value::Float(value) => json!(f64::from(*value)),
        Value::Double(value) => json!(value),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => latin(bytes),
        Value::Decimal(decimal) => latin(&<Vec<u8>>::try_from(decimal).unwrap()),
        Value::String(text) | Value::Enum(_, text) => json!(text),
        Value::Union(_, value) => json_of(value),
        Value::Array(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), json_of(value))).collect(),
        Value::Record(fields) => fields.iter().map(|(name, value)| (name.clone(), json_of(value))).collect(),
        other => panic!("not generated: {other:?}"),
    }
}

struct Case {
    writer: Schema,
    reader: Schema,
    value: Value,
    bytes: Vec<u8>,
}

impl Case {
    fn from_seed(seed: u64) -> Case {
        let mut random = Random { state: seed, names: 0 };
        let (mut writer_fields, mut reader_fields) = (Vec::new(), Vec::new());
        for index in 0..1 + random.below(6) {
            let name = format!("f{index}");
            match random.below(6) {
                0 => writer_fields.push(json!({"name": name, "type": random.schema(2)})),
                1 => {
                    let (schema, default) = random.schema_with_default();
                    reader_fields.push(json!({"name": name, "type": schema, "default": default}));
                }
                _ => {
                    let (from, into) = random.pair(2);
                    writer_fields.push(json!({"name": name, "type": from}));
                    reader_fields.push(json!({"name": name, "type": into}));
                }
            }
        }
        let turn = random.below(writer_fields.len().max(1));
        writer_fields.rotate_left(turn);
        let (writer, reader) = (record(json!(writer_fields)), record(json!(reader_fields)));
        let value = random.value(&writer);
        let bytes = GenericDatumWriter::builder(&writer).build().unwrap().write_value_to_vec(value.clone()).unwrap();
        Case { writer, reader, value, bytes }
    }
}

/// SplitMix64: a stream of choices from one seed.
struct Random {
    state: u64,
    names: usize,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'x>(&mut self, words: &[&'x str]) -> &'x str {
        words[self.below(words.len())]
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("N{}", self.names)
    }

    fn primitive(&mut self) -> Json {
        json!(self.pick(&["null", "boolean", "int", "long", "float", "double", "bytes", "string"]))
    }

    /// Any type that a writer might have.
    fn schema(&mut self, depth: usize) -> Json {
        match self.below(if depth == 0 { 6 } else { 10 }) {
            0 => json!({"type": "fixed", "name": self.name(), "size": self.below(9)}),
            1 => json!({"type": "enum", "name": self.name(), "symbols": ["a", "b", "c"]}),
            2 => json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}),
            3..6 => self.primitive(),
            6 => json!({"type": "array", "items": self.schema(depth - 1)}),
            7 => json!({"type": "map", "values": self.schema(depth - 1)}),
            8 => [json!(["null", "string"]), json!(["int", "string"]), json!(["null", "long", "bytes"])][self.below(3)]
                .clone(),
            _ => {
                let name = self.name();
                let fields: Vec<Json> = (0..self.below(3))
                    .map(|index| json!({"name": format!("g{index}"), "type": self.schema(depth - 1)}))
                    .collect();
                json!({"type": "record", "name": name, "fields": fields})
            }
        }
    }

    /// A reader's type with a default of its own.
    fn schema_with_default(&mut self) -> (Json, Json) {
        match self.below(7) {
            0 => (json!("long"), json!(-5)),
            1 => (json!("string"), json!("given")),
            2 => (json!("boolean"), json!(true)),
            3 => (json!({"type": "array", "items": "int"}), json!([1, 2])),
            4 => (json!({"type": "map", "values": "string"}), json!({"k": "v"})),
            5 => (json!("double"), json!(0.5)),
            _ => (json!(["null", "string"]), Json::Null),
        }
    }

    /// What a writer has and what the reader has, such that the first resolves to the second, at least in a branch.
    fn pair(&mut self, depth: usize) -> (Json, Json) {
        match self.below(if depth == 0 { 6 } else { 11 }) {
            0 => (json!(self.pick(&["int", "long", "float", "double"])), json!("double")),
            1 => (json!(self.pick(&["int", "long"])), json!(self.pick(&["long", "float"]))),
            // Characters as bytes and back; both on the wire alike.
            2 => (json!("string"), json!(self.pick(&["string", "bytes"]))),
            3 => (json!("int"), json!({"type": "long", "logicalType": "timestamp-millis"})),
            4 | 5 => {
                let same = self.schema(depth);
                (same.clone(), same)
            }
            6 => {
                let (from, into) = self.pair(depth - 1);
                (json!({"type": "array", "items": from}), json!({"type": "array", "items": into}))
            }
            7 => {
                let (from, into) = self.pair(depth - 1);
                (json!({"type": "map", "values": from}), json!({"type": "map", "values": into}))
            }
            // A union on one side, on the other, on both.
            8 => (json!(["null", "string"]), json!("string")),
            9 => (json!("string"), json!([["null", "string"], ["string", "null"]][self.below(2)])),
            _ => (
                json!([["null", "string"], ["string", "null"], ["string", "null"]][self.below(3)]),
                json!([["null", "string"], ["string", "null"]][self.below(2)]),
            ),
        }
    }

    fn value(&mut self, schema: &Schema) -> Value {
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.below(2) == 1),
            Schema::Int => Value::Int(self.next() as i32 >> self.below(32)),
            Schema::Long => Value::Long(self.next() as i64 >> self.below(64)),
            Schema::Float => Value::Float((self.next() as i32) as f32 / 8.0),
            Schema::Double => Value::Double((self.next() as i64) as f64 / 8.0),
            Schema::Bytes => Value::Bytes((0..self.below(70)).map(|_| self.next() as u8).collect()),
            Schema::String => {
                Value::String((0..self.below(70)).map(|_| self.pick(&["a", "ß", "語", "\u{1f600}", "\n"])).collect())
            }
            Schema::Fixed(fixed) => Value::Fixed(fixed.size, (0..fixed.size).map(|_| self.next() as u8).collect()),
            Schema::Decimal(_) => Value::Decimal(vec![self.next() as u8, self.next() as u8].into()),
            Schema::Enum(words) => {
                let at = self.below(words.symbols.len());
                Value::Enum(at as u32, words.symbols[at].clone())
            }
            Schema::Array(array) => Value::Array((0..self.below(4)).map(|_| self.value(&array.items)).collect()),
            Schema::Map(map) => {
                Value::Map((0..self.below(4)).map(|n| (format!("k{n}"), self.value(&map.types))).collect())
            }
            Schema::Union(union) => {
                let at = self.below(union.variants().len());
                Value::Union(at as u32, Box::new(self.value(&union.variants()[at])))
            }
            Schema::Record(record) => Value::Record(
                record.fields.iter().map(|field| (field.name.clone(), self.value(&field.schema))).collect(),
            ),
            other => panic!("not generated: {other:?}"),
        }
    }
}
