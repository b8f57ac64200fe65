//! Events as the fold sees them: every framing, every writer's schema that resolves, every refusal with its word.

use crate::common::{fixed, random};
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use avro_codec::{Codec, FixedIds, RecordName, RejectReason, Rejected, SchemaIds, SchemaLookup, Scratch, fingerprint};
use model::event::{Click, Conversion, Event, EventKind, Goal, Impression, Touch};
use model::fact::{CampaignSpec, ControlTopic, Fact, Halt, StateReport};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::sync::Arc;

#[test]
fn an_impression_reads_the_same_in_all_three_framings() {
    let codec = fixed();
    let event = impression();
    let confluent = codec.encode(RecordName::Impression, &event).unwrap();
    let mut single = vec![0xc3, 0x01];
    single.extend(fingerprint(RecordName::Impression.schema()).to_le_bytes());
    single.extend(&confluent[5..]);
    let json = serde_json::to_vec(&event).unwrap();
    for payload in [confluent, single, json] {
        let mut scratch = Scratch::default();
        let read = codec.event(EventKind::Impression, &payload, &mut scratch);
        assert_eq!(read, Ok(Event::Impression(touch_of(&event))), "{payload:02x?}");
    }
}

#[test]
fn json_may_escape_omit_what_is_nullable_and_carry_more() {
    let payload = br#"{"event_id":"e\u0031","event_time":5,"account_id":"a","campaign_id":"c\"\n","channel":"search",
        "device":"tv","geo":"","cost_micros":7,"currency":"EUR","user_key":null,"unknown":{"deep":[1,2]},"placement":"\u00e4"}"#;
    let mut scratch = Scratch::default();
    let read = fixed().event(EventKind::Click, payload, &mut scratch);
    let Ok(Event::Click(touch)) = read else { panic!("{read:?}") };
    assert_eq!((touch.event_id, touch.campaign_id, touch.user_key), ("e1", "c\"\n", None));
    assert_eq!((touch.creative_id, touch.placement, touch.cost_micros), (None, Some("ä"), 7));
}

#[test]
fn each_refusal_has_its_word() {
    let good = fixed().encode(RecordName::Impression, &impression()).unwrap();
    let with = |change: &dyn Fn(&mut Impression)| {
        let mut event = impression();
        change(&mut event);
        fixed().encode(RecordName::Impression, &event).unwrap()
    };
    let continued = [&good[..], &[0]].concat();
    let long = "x".repeat(5_000);
    for (payload, reason) in [
        (vec![], RejectReason::Empty),
        (b"Obj\x01avro.schema".to_vec(), RejectReason::BadFrame),
        (b"[]".to_vec(), RejectReason::BadFrame),
        (vec![0, 0, 0, 1], RejectReason::BadFrame),
        (vec![0xc3, 0x01, 1, 2], RejectReason::BadFrame),
        (vec![0, 0, 0, 1, 0], RejectReason::UnknownSchema),
        (vec![0xc3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 9], RejectReason::UnknownSchema),
        (vec![0, 0, 0, 0, 1], RejectReason::DecodeError),
        (good[..good.len() - 1].to_vec(), RejectReason::DecodeError),
        (b"{\"event_id\":1}".to_vec(), RejectReason::DecodeError),
        (b"{".to_vec(), RejectReason::DecodeError),
        (continued, RejectReason::TrailingBytes),
        ([&serde_json::to_vec(&impression()).unwrap()[..], b"{}"].concat(), RejectReason::TrailingBytes),
        (vec![0; (1 << 20) + 1], RejectReason::TooLarge),
        (with(&|event| event.user_agent = Some(long.clone())), RejectReason::TooLarge),
        (with(&|event| event.event_id = String::new()), RejectReason::InvalidValue),
        (with(&|event| event.event_id = "x".repeat(65)), RejectReason::InvalidValue),
        (with(&|event| event.account_id = String::new()), RejectReason::InvalidValue),
        (with(&|event| event.campaign_id = "x".repeat(257)), RejectReason::InvalidValue),
        (with(&|event| event.cost_micros = -1), RejectReason::InvalidValue),
    ] {
        let mut scratch = Scratch::default();
        let read = fixed().event(EventKind::Impression, &payload, &mut scratch);
        let head = &payload[..payload.len().min(20)];
        assert_eq!(read.map_err(|rejected| rejected.reason).unwrap_err(), reason, "{head:02x?}");
    }
    let at_limit = with(&|event| event.event_id = "x".repeat(64));
    assert!(fixed().event(EventKind::Impression, &at_limit, &mut Scratch::default()).is_ok());
}

#[test]
fn an_event_of_another_kind_is_refused() {
    let codec = fixed();
    let click = codec.encode(RecordName::Click, &random::<Click>(1)).unwrap();
    let rejected = codec.event(EventKind::Impression, &click, &mut Scratch::default()).unwrap_err();
    assert_eq!(rejected, Rejected::new(RejectReason::DecodeError, "the writer's record is Click, not Impression"));
}

#[test]
fn a_registry_that_is_down_is_not_an_unknown_schema() {
    struct Down;
    impl SchemaIds for Down {
        fn by_id(&self, _: u32) -> SchemaLookup {
            SchemaLookup::Unavailable("connection refused".into())
        }
        fn by_fingerprint(&self, _: u64) -> SchemaLookup {
            SchemaLookup::Unknown
        }
        fn id_of(&self, _: RecordName) -> Option<u32> {
            None
        }
    }
    let codec = Codec::new(Arc::new(Down));
    let rejected = codec.event(EventKind::Click, &[0, 0, 0, 0, 2, 0], &mut Scratch::default()).unwrap_err();
    assert_eq!(rejected.reason, RejectReason::SchemaUnavailable);
    assert!(codec.encode(RecordName::Click, &Click::default()).is_err());
}

#[test]
fn one_scratch_serves_two_codecs_and_all_kinds() {
    let other = Codec::new(Arc::new(One(WRITERS[0].to_string())));
    let codec = fixed();
    let mut scratch = Scratch::default();
    let event = impression();
    let ours = codec.encode(RecordName::Impression, &event).unwrap();
    let theirs = encode(&Schema::parse_str(WRITERS[0]).unwrap(), &event);
    for _ in 0..3 {
        assert_eq!(codec.event(EventKind::Impression, &ours, &mut scratch), Ok(Event::Impression(touch_of(&event))));
        assert!(other.event(EventKind::Impression, &theirs, &mut scratch).is_ok());
    }
}

#[test]
fn a_union_that_is_null_where_a_value_is_needed_is_refused_alone() {
    let schema = Schema::parse_str(WRITERS[1]).unwrap();
    let codec = Codec::new(Arc::new(One(WRITERS[1].into())));
    let event = impression();
    let good = encode(&schema, &event);
    assert!(codec.event(EventKind::Impression, &good, &mut Scratch::default()).is_ok());
    // The branch of event_id comes first on the wire: ["null", "string"].
    assert_eq!(good[5], 2);
    let mut null = good.clone();
    null[5] = 0;
    null.drain(6..7 + event.event_id.len());
    let rejected = codec.event(EventKind::Impression, &null, &mut Scratch::default()).unwrap_err();
    assert_eq!(rejected.detail, "null cannot be read as string");
}

#[test]
fn a_string_that_is_not_utf8_is_refused_also_where_its_neighbours_complete_it() {
    let codec = fixed();
    let mut event = impression();
    event.account_id = "ä".into();
    event.campaign_id = "b".into();
    let good = codec.encode(RecordName::Impression, &event).unwrap();
    let at = good.windows(4).position(|window| window == [4, 0xc3, 0xa4, 2]).unwrap();
    for bad in [[4, b'x', 0xc3, 2], [4, 0xff, b'x', 2], [4, 0xa4, b'x', 2]] {
        let mut payload = good.clone();
        payload[at..at + 4].copy_from_slice(&bad);
        let rejected = codec.event(EventKind::Impression, &payload, &mut Scratch::default()).unwrap_err();
        assert_eq!(rejected.detail, "a string is not UTF-8");
    }
    // Lengths 97 give the length bytes 0xc2 0x01: the run as a whole is no UTF-8, its strings are.
    event.campaign_id = "y".repeat(97);
    let payload = codec.encode(RecordName::Impression, &event).unwrap();
    let mut scratch = Scratch::default();
    assert_eq!(codec.event(EventKind::Impression, &payload, &mut scratch), Ok(Event::Impression(touch_of(&event))));
}

#[test]
fn feedback_is_told_apart_by_its_writer_or_its_type() {
    let codec = fixed();
    let halt = Halt {
        scope: "account".into(),
        account_id: Some("a".into()),
        action: "set".into(),
        actor: "me".into(),
        reason: "test".into(),
        issued_at: 1,
        ..Halt::default()
    };
    let expected = Fact::Halt(Box::new(halt.clone()));
    let bytes = codec.encode_fact(&expected).unwrap();
    assert_eq!(codec.fact(ControlTopic::Feedback, &bytes), Ok(expected.clone()));
    let mut json = serde_json::to_value(&halt).unwrap();
    json["type"] = "Halt".into();
    assert_eq!(codec.fact(ControlTopic::Feedback, json.to_string().as_bytes()), Ok(expected));
    json["type"] = "Impression".into();
    let rejected = codec.fact(ControlTopic::Feedback, json.to_string().as_bytes()).unwrap_err();
    assert_eq!(rejected.detail, "the record is none of Ack, StateReport, Decision, Halt");
    // A kill switch does what was said, or says that it was not understood.
    let refused = |halt: &Halt| {
        let payload = codec.encode(RecordName::Halt, halt).unwrap();
        codec.fact(ControlTopic::Feedback, &payload).unwrap_err().detail
    };
    for action in ["halt", "SET", ""] {
        assert_eq!(refused(&Halt { action: action.into(), ..halt.clone() }), "action is none of set, release");
    }
    assert!(refused(&Halt { scope: "Account".into(), ..halt.clone() }).starts_with("scope is none of global, account"));
    assert!(refused(&Halt { scope: "campaign".into(), ..halt.clone() }).starts_with("campaign_id is null"));
    let report = StateReport {
        account_id: "a".into(),
        campaign_id: "c".into(),
        status: Some("ENABLED".into()),
        ..Default::default()
    };
    let payload = codec.encode(RecordName::StateReport, &report).unwrap();
    let rejected = codec.fact(ControlTopic::Feedback, &payload).unwrap_err();
    assert_eq!(rejected.detail, "status is none of active, paused, ended");
    let unbound = Halt { account_id: None, ..halt };
    let payload = codec.encode(RecordName::Halt, &unbound).unwrap();
    let rejected = codec.fact(ControlTopic::Feedback, &payload).unwrap_err();
    assert_eq!(rejected.reason, RejectReason::InvalidValue);
}

#[test]
fn words_of_a_refusal_are_short_and_carry_no_value_of_the_record() {
    let (codec, mut scratch) = (fixed(), Scratch::default());
    let mut words = |json: String| {
        codec.event(EventKind::Conversion, json.as_bytes(), &mut scratch).map(|_| ()).unwrap_err().detail
    };
    let long = "ann@example.com\\\"`".repeat(40_000);
    assert_eq!(
        words(format!(r#"{{"event_time":"{long}"}}"#)).split(" at ").next(),
        Some("invalid type: string \u{2026}, expected i64")
    );
    assert_eq!(
        words(r#"{"event_id":4711}"#.into()).split(" at ").next(),
        Some("invalid type: integer \u{2026}, expected a string")
    );
    assert!(words(r#"{"event_id":"e"}"#.into()).starts_with("missing field event_time"));
    let whole = Rejected::new(RejectReason::DecodeError, "\u{e9}".repeat(5_000)).detail;
    assert!((380..410).contains(&whole.len()) && whole.ends_with('\u{2026}'), "{whole}");
}

#[test]
fn a_fact_that_no_journal_record_could_carry_is_refused_by_who_writes_and_who_reads_it() {
    let codec = fixed();
    let labels = |count: usize| (0..count).map(|at| (format!("label-{at}"), "x".repeat(1_000))).collect();
    let spec = |count| CampaignSpec {
        campaign_id: "c".into(),
        account_id: "a".into(),
        labels: labels(count),
        ..Default::default()
    };
    let fact = |count| Fact::CampaignSpec(Box::new(spec(count)));
    assert!(codec.encode_fact(&fact(200)).is_ok());
    let refused = codec.encode_fact(&fact(990)).unwrap_err().to_string();
    assert!(refused.contains("limit 262144 of a control topic"), "{refused}");
    let written = codec.encode(RecordName::CampaignSpec, &spec(990)).unwrap();
    assert!(written.len() < 1 << 20, "a broker takes it");
    assert_eq!(codec.fact(ControlTopic::Campaigns, &written).unwrap_err().reason, RejectReason::TooLarge);
    let long = Fact::Halt(Box::new(Halt {
        scope: "global".into(),
        action: "set".into(),
        reason: "x".repeat(5_000),
        ..Halt::default()
    }));
    assert!(codec.encode_fact(&long).is_err(), "the service takes no text above 4 kB");
}

#[test]
fn a_specification_in_json_needs_only_what_has_no_default() {
    let payload = br#"{"campaign_id":"c","account_id":"a","version":1,"name":"n","channel":"search","status":"active",
        "time_zone":"Europe/Berlin","currency":"EUR","flight_start":0,"labels":{"team":"x"}}"#;
    let Ok(Fact::CampaignSpec(spec)) = fixed().fact(ControlTopic::Campaigns, payload) else { panic!() };
    assert_eq!((spec.mode.as_str(), spec.bid_control.as_str(), spec.labels["team"].as_str()), ("observe", "none", "x"));
    // The same by Avro: a writer that has only these fields gets the same defaults.
    let mut writer: Json = serde_json::from_str(RecordName::CampaignSpec.schema_json()).unwrap();
    writer["fields"].as_array_mut().unwrap().retain(|field| field.get("default").is_none());
    let schema = Schema::parse(&writer).unwrap();
    let mut bytes = vec![0, 0, 0, 0, 77];
    let datum = GenericDatumWriter::builder(&schema).build().unwrap();
    let value = Value::try_from(serde_json::from_slice::<Json>(payload).unwrap()).unwrap().resolve(&schema).unwrap();
    bytes.extend(datum.write_value_to_vec(value).unwrap());
    let codec = Codec::new(Arc::new(One(writer.to_string())));
    let Ok(Fact::CampaignSpec(mut by_avro)) = codec.fact(ControlTopic::Campaigns, &bytes) else { panic!() };
    by_avro.labels = spec.labels.clone();
    assert_eq!(by_avro, spec);
}

/// Writers of impressions as they are met: reordered, aliased types, unions turned around, unknown fields of all kinds.
const WRITERS: [&str; 3] = [
    r#"{"type":"record","name":"Impression","namespace":"com.example","fields":[
        {"name":"cost_micros","type":"int"},
        {"name":"extra","type":{"type":"record","name":"Extra","fields":[
            {"name":"list","type":{"type":"array","items":{"type":"map","values":["null","double"]}}},
            {"name":"word","type":{"type":"enum","name":"Word","symbols":["a","b"]}},
            {"name":"sum","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}},
            {"name":"hash","type":{"type":"fixed","name":"Hash","size":3}}]}},
        {"name":"currency","type":"bytes"},
        {"name":"event_time","type":"long"},
        {"name":"placement","type":"string"},
        {"name":"geo","type":"string"},{"name":"device","type":"string"},{"name":"channel","type":"string"},
        {"name":"user_key","type":["string","null"]},
        {"name":"again","type":["null","com.example.Extra"]},
        {"name":"campaign_id","type":"string"},{"name":"account_id","type":"string"},{"name":"event_id","type":"string"}]}"#,
    r#"{"type":"record","name":"Impression","fields":[
        {"name":"event_id","type":["null","string"]},
        {"name":"event_time","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
        {"name":"account_id","type":["bytes","string","null"]},
        {"name":"campaign_id","type":"string"},
        {"name":"channel","type":"string"},{"name":"device","type":"string"},{"name":"geo","type":"string"},
        {"name":"user_key","type":["null","bytes","string"]},
        {"name":"user_agent","type":"int"},
        {"name":"cost_micros","type":["int","long"]},
        {"name":"currency","type":"string"}]}"#,
    r#"{"type":"record","name":"Impression","fields":[
        {"name":"flag","type":"boolean"},{"name":"ratio","type":"float"},
        {"name":"event_id","type":"string"},{"name":"event_time","type":"long"},{"name":"account_id","type":"string"},
        {"name":"campaign_id","type":"string"},{"name":"creative_id","type":"null"},{"name":"channel","type":"string"},
        {"name":"device","type":"string"},{"name":"geo","type":"string"},{"name":"cost_micros","type":"long"},
        {"name":"currency","type":"string"},{"name":"placement","type":["null","string"]},
        {"name":"tail","type":{"type":"array","items":"string"}}]}"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_projection_equals_the_whole_record(seed: u64) {
        let codec = fixed();
        let mut scratch = Scratch::default();
        let mut event: Impression = random(seed);
        event.cost_micros = event.cost_micros.saturating_abs();
        for payload in payloads(codec, RecordName::Impression, &event) {
            prop_assert_eq!(codec.event(EventKind::Impression, &payload, &mut scratch), Ok(Event::Impression(touch_of(&event))));
        }
        let mut event: Click = random(seed);
        event.cost_micros = event.cost_micros.saturating_abs();
        let same: Impression = serde_json::from_value(serde_json::to_value(&event).unwrap()).unwrap();
        for payload in payloads(codec, RecordName::Click, &event) {
            prop_assert_eq!(codec.event(EventKind::Click, &payload, &mut scratch), Ok(Event::Click(touch_of(&same))));
        }
        let mut event: Conversion = random(seed);
        event.value_micros = event.value_micros.saturating_abs();
        for payload in payloads(codec, RecordName::Conversion, &event) {
            prop_assert_eq!(codec.event(EventKind::Conversion, &payload, &mut scratch), Ok(Event::Conversion(goal_of(&event))));
        }
    }

    #[test]
    fn other_writers_resolve_as_apache_avro_resolves_them(seed: u64, which in 0..WRITERS.len()) {
        let schema = Schema::parse_str(WRITERS[which]).unwrap();
        let codec = Codec::new(Arc::new(One(WRITERS[which].into())));
        let mut event: Impression = random(seed);
        event.cost_micros = i64::from(event.cost_micros as i32 & i32::MAX);
        let payload = encode(&schema, &event);
        // The reader of the oracle has only the projected fields: the others may be of any type.
        let mut reader: Json = serde_json::from_str(RecordName::Impression.schema_json()).unwrap();
        reader["fields"].as_array_mut().unwrap().retain(|field| {
            !["ad_group_id", "platform", "variant", "user_agent", "ip_key", "audience"].contains(&field["name"].as_str().unwrap())
        });
        let reader = Schema::parse(&reader).unwrap();
        let theirs = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
            .reader_schema(&reader).build().unwrap().read_value(&mut &payload[5..]).unwrap();
        let theirs: Impression = serde_json::from_value(Json::try_from(theirs).unwrap()).unwrap();
        let mut scratch = Scratch::default();
        prop_assert_eq!(codec.event(EventKind::Impression, &payload, &mut scratch), Ok(Event::Impression(touch_of(&theirs))));
        for end in 0..payload.len() {
            prop_assert!(codec.event(EventKind::Impression, &payload[..end], &mut Scratch::default()).is_err());
        }
    }

    #[test]
    fn whatever_arrives_an_event_is_read_or_refused(
        seed: u64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..6),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let codec = fixed();
        let mut scratch = Scratch::default();
        let mut bytes = codec.encode(RecordName::Impression, &random::<Impression>(seed)).unwrap();
        for (at, bit) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let framed = [&[0, 0, 0, 0, 1], &noise[..]].concat();
        let json = [b"{", &noise[..]].concat();
        for kind in EventKind::ALL {
            for payload in [&bytes, &noise, &framed, &json] {
                let _ = codec.event(kind, payload, &mut scratch);
            }
        }
    }

    #[test]
    fn an_event_cut_at_any_byte_is_refused(seed: u64) {
        let codec = fixed();
        let mut scratch = Scratch::default();
        let bytes = codec.encode(RecordName::Conversion, &random::<Conversion>(seed)).unwrap();
        let impression = codec.encode(RecordName::Impression, &random::<Impression>(seed)).unwrap();
        for (kind, bytes) in [(EventKind::Conversion, bytes), (EventKind::Impression, impression)] {
            for end in 0..bytes.len() {
                prop_assert!(codec.event(kind, &bytes[..end], &mut scratch).is_err(), "cut at {}", end);
            }
        }
    }
}

/// A registry of one schema, under every id.
struct One(String);

impl SchemaIds for One {
    fn by_id(&self, _: u32) -> SchemaLookup {
        SchemaLookup::Found(self.0.as_str().into())
    }

    fn by_fingerprint(&self, _: u64) -> SchemaLookup {
        SchemaLookup::Unknown
    }

    fn id_of(&self, record: RecordName) -> Option<u32> {
        FixedIds::new().id_of(record)
    }
}

fn payloads<T: serde::Serialize>(codec: &Codec, record: RecordName, event: &T) -> [Vec<u8>; 2] {
    [codec.encode(record, event).unwrap(), serde_json::to_vec(event).unwrap()]
}

/// The event under another writer's schema; fields that an impression lacks get values of their own.
fn encode(schema: &Schema, event: &Impression) -> Vec<u8> {
    let event = serde_json::to_value(event).unwrap();
    let Schema::Record(record) = schema else { panic!() };
    let fields = record.fields.iter().map(|field| {
        let value = match field.name.as_str() {
            "extra" => extra(),
            "again" => Value::Union(1, Box::new(extra())),
            "flag" => Value::Boolean(true),
            "ratio" => Value::Float(0.25),
            "tail" => Value::Array(vec![Value::String("t".into())]),
            "user_agent" => Value::Int(7),
            name => avro_of(&event[name], &field.schema),
        };
        (field.name.clone(), value)
    });
    let value = Value::Record(fields.collect());
    let mut bytes = vec![0, 0, 0, 0, 99];
    bytes.extend(GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap());
    bytes
}

fn avro_of(json: &Json, schema: &Schema) -> Value {
    match schema {
        Schema::Null => Value::Null,
        Schema::Int => Value::Int(json.as_i64().unwrap() as i32),
        Schema::Long => Value::Long(json.as_i64().unwrap()),
        Schema::TimestampMillis => Value::TimestampMillis(json.as_i64().unwrap()),
        Schema::Bytes => Value::Bytes(json.as_str().unwrap_or_default().into()),
        Schema::String => Value::String(json.as_str().unwrap_or_default().into()),
        Schema::Union(union) => {
            let fits = |branch: &&Schema| matches!(branch, Schema::Null) == json.is_null();
            let branch = union.variants().iter().rev().find(fits).unwrap();
            let at = union.variants().iter().position(|other| std::ptr::eq(other, branch)).unwrap();
            Value::Union(at as u32, Box::new(avro_of(json, branch)))
        }
        other => panic!("{other:?}"),
    }
}

fn extra() -> Value {
    let numbers = [("k".to_string(), Value::Union(1, Box::new(Value::Double(0.5))))];
    Value::Record(vec![
        ("list".into(), Value::Array(vec![Value::Map(numbers.into()), Value::Map([].into())])),
        ("word".into(), Value::Enum(1, "b".into())),
        ("sum".into(), Value::Decimal(vec![1, 2].into())),
        ("hash".into(), Value::Fixed(3, vec![1, 2, 3])),
    ])
}

fn impression() -> Impression {
    let mut event: Impression = random(7);
    event.cost_micros = 1_200;
    event.user_key = Some("u-1".into());
    event
}

fn touch_of(event: &Impression) -> Touch<'_> {
    Touch {
        event_id: &event.event_id,
        event_time: event.event_time,
        account_id: &event.account_id,
        campaign_id: &event.campaign_id,
        creative_id: event.creative_id.as_deref(),
        channel: &event.channel,
        device: &event.device,
        geo: &event.geo,
        user_key: event.user_key.as_deref(),
        cost_micros: event.cost_micros,
        currency: &event.currency,
        placement: event.placement.as_deref(),
    }
}

fn goal_of(event: &Conversion) -> Goal<'_> {
    Goal {
        event_id: &event.event_id,
        event_time: event.event_time,
        account_id: &event.account_id,
        user_key: event.user_key.as_deref(),
        click_id: event.click_id.as_deref(),
        conversion_type: &event.conversion_type,
        value_micros: event.value_micros,
        currency: &event.currency,
        campaign_id: event.campaign_id.as_deref(),
    }
}
