//! `deploy/clients/asyncapi.yaml` says what the binary does: held against the topic plan, the records and the headers.

use super::cut::DEAD_LETTER_HEADERS;
use super::outputs::cloud_event;
use super::span::SPAN_HEADER;
use super::topology::needs;
use crate::registry::topics_of;
use crate::settings::Settings;
use avro_codec::RecordName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Where the document lies; its references are relative to it.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/clients");
/// What `paceline topics plan` proposes.
const EVENT_PARTITIONS: i32 = 4;

fn document() -> Value {
    let text = std::fs::read_to_string(Path::new(FOLDER).join("asyncapi.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn settings() -> Settings {
    Settings::load_with(&[], &BTreeMap::new()).unwrap().0
}

fn members(of: &Value) -> impl Iterator<Item = (&String, &Value)> {
    of.as_object().unwrap().iter()
}

#[test]
fn the_channels_are_the_topics_with_their_partitions_and_retentions() {
    let document = document();
    let mut told = BTreeMap::new();
    for (_, channel) in members(&document["channels"]) {
        let kafka = &channel["bindings"]["kafka"];
        let entry = (kafka["partitions"].clone(), kafka["topicConfiguration"].clone());
        assert!(told.insert(channel["address"].as_str().unwrap().to_owned(), entry).is_none(), "twice: {channel}");
    }
    let needed: BTreeMap<_, _> = needs(&settings(), EVENT_PARTITIONS)
        .into_iter()
        .map(|need| {
            let mut configuration = json!({ "cleanup.policy": [need.cleanup] });
            if let Some(retention_ms) = need.retention_ms {
                configuration["retention.ms"] = retention_ms.into();
            }
            (need.name, (json!(need.partitions), configuration))
        })
        .collect();
    assert_eq!(told, needed);
}

#[test]
fn each_channel_carries_its_records_and_paceline_receives_or_sends_them() {
    let (document, topics) = (document(), settings().topics);
    let mut carried: BTreeMap<&str, BTreeSet<String>> =
        BTreeMap::from([(topics.dead_letters.as_str(), ["DeadLetter".to_owned()].into())]);
    for record in RecordName::ALL {
        for topic in topics_of(&topics, *record) {
            carried.entry(topic).or_default().insert(record.to_string());
        }
    }
    let written = [&topics.journal, &topics.epochs, &topics.dead_letters].map(String::as_str);
    for (id, channel) in members(&document["channels"]) {
        let address = channel["address"].as_str().unwrap();
        let told: BTreeSet<String> = members(&channel["messages"]).map(|(name, _)| name.clone()).collect();
        assert_eq!(Some(&told), carried.get(address), "{address}");
        for (name, message) in members(&channel["messages"]) {
            assert_eq!(message["$ref"], format!("#/components/messages/{name}"));
        }
        let sends = written.contains(&address) || topics.decision_log().contains(&address);
        let reference = format!("#/channels/{id}");
        let actions: Vec<&Value> = members(&document["operations"])
            .filter(|(_, operation)| operation["channel"]["$ref"] == reference.as_str())
            .map(|(_, operation)| &operation["action"])
            .collect();
        assert_eq!(actions, [if sends { "send" } else { "receive" }], "{address}");
    }
}

#[test]
fn each_message_names_its_schema_and_its_headers() {
    let (document, topics) = (document(), settings().topics);
    let messages = &document["components"]["messages"];
    for record in RecordName::ALL {
        let message = &messages[record.as_str()];
        assert_eq!(message["name"], format!("paceline.v1.{record}"));
        let schema = message["payload"]["schema"]["$ref"].as_str().unwrap();
        let text = std::fs::read_to_string(Path::new(FOLDER).join(schema)).unwrap();
        assert_eq!(text, record.schema_json(), "{schema}");
        let is_decision = topics_of(&topics, *record).iter().any(|topic| topics.decision_log().contains(topic));
        let headers = if is_decision { json!("#/components/schemas/CloudEvent") } else { Value::Null };
        assert_eq!(message["headers"]["$ref"], headers, "{record}");
    }
    assert_eq!(members(messages).count(), RecordName::ALL.len() + 1);
}

#[test]
fn the_headers_are_those_that_are_written() {
    let document = document();
    let properties = |schema: &str| {
        let names = members(&document["components"]["schemas"][schema]["properties"]).map(|(name, _)| name.clone());
        names.collect::<BTreeSet<String>>()
    };
    let written = cloud_event(RecordName::Alert, "id");
    let mut names: BTreeSet<String> = written.iter().map(|(name, _)| name.to_string()).collect();
    names.insert(SPAN_HEADER.into());
    assert_eq!(properties("CloudEvent"), names);
    for (name, value) in &written {
        let told = &document["components"]["schemas"]["CloudEvent"]["properties"][name.as_ref()]["const"];
        assert!(told.is_null() || told.as_str().unwrap().as_bytes() == value, "{name}");
    }
    assert_eq!(properties("DeadLetterHeaders"), DEAD_LETTER_HEADERS.map(str::to_owned).into());
}
