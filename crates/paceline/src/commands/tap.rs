//! `paceline tap`: records of any of our topics as JSON lines.

use super::import::time::instant;
use super::{connect, mask, say};
use crate::cli::Tap;
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::service::topology::ANSWER_LIMIT;
use crate::settings::Settings;
use avro_codec::Codec;
use kafka_io::{Admin, From, LogReader, Record, Until};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

/// Prints the topic from the beginning, or from an instant, to its present end.
pub fn run(arguments: &Tap) -> Outcome {
    let from = arguments.from.as_deref().map(instant).transpose();
    let from = from.map_err(|reason| Failure::usage(format!("--from {reason}"), ""))?;
    let from = from.map_or(From::Earliest, From::Time);
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let connection = connect(&settings, "tap");
    let admin = Admin::connect(&connection, ANSWER_LIMIT)?;
    let partitions = admin.partitions(&[&arguments.topic])?.remove(&arguments.topic).flatten().ok_or_else(|| {
        Failure::setup(
            format!("the topic {} does not exist on {}", arguments.topic, settings.brokers),
            "check the name; `paceline topics plan` lists ours",
        )
    })?;
    let codec = registry::codec(&settings, &[])?;
    let mut reader = LogReader::open(&connection, PATIENCE)?;
    let mut left = arguments.max.unwrap_or(u64::MAX);
    let mut failed = Ok(());
    for partition in 0..partitions {
        if left == 0 {
            break;
        }
        reader.read(&arguments.topic, partition, from, Until::StableEnd, |record| {
            if arguments.key.as_ref().is_some_and(|key| record.key != Some(key.as_bytes())) {
                return ControlFlow::Continue(());
            }
            failed = say(&line(&codec, &record, arguments.unmask).to_string());
            left -= 1;
            if left == 0 || failed.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    failed
}

fn line(codec: &Codec, record: &Record<'_>, unmask: bool) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: serde_json::Map<String, Value> = record
        .headers()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.map_or(Value::Null, |value| json!(text(value)))))
        .collect();
    let mut line = json!({
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "key": record.key.map(text),
    });
    if !headers.is_empty() {
        line["headers"] = Value::Object(headers);
    }
    match record.payload.map(|payload| codec.to_json(payload)) {
        None => line["value"] = Value::Null,
        Some(Ok(mut value)) => {
            if !unmask {
                let key = line["key"].clone();
                mask::hide(&mut value, &mut |hidden| {
                    // A key that repeats what is hidden is hidden too.
                    if key == *hidden {
                        line["key"] = json!(mask::HIDDEN);
                    }
                });
            }
            line["value"] = value;
        }
        Some(Err(rejected)) => line["undecodable"] = json!(rejected.to_string()),
    }
    line
}
