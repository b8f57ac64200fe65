//! Refused records as a table: where each came from, why, and, where asked for, what it was.

use super::{Sink, Span, each};
use crate::cli::Export;
use crate::commands::connect;
use crate::commands::dead_letters::SENT_BACK;
use crate::commands::history::History;
use crate::failure::{Failure, Outcome};
use crate::service::topology::ANSWER_LIMIT;
use kafka_io::{Admin, Record};
use model::time::Millis;
use replay::tables::{Cell, Column, Kind, Row};

/// One refused record.
#[derive(Debug, Default)]
struct DeadLetter {
    refused_at: Millis,
    topic: Option<String>,
    partition: Option<i64>,
    offset: Option<i64>,
    timestamp: Option<Millis>,
    reason: Option<String>,
    detail: Option<String>,
    bytes: i64,
    key: Option<String>,
    payload: Option<String>,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

impl Row for DeadLetter {
    const COLUMNS: &'static [Column] = &[
        column("refused_at", Kind::Time),
        column("topic", Kind::Text),
        column("partition", Kind::Whole),
        column("offset", Kind::Whole),
        column("timestamp", Kind::Time),
        column("reason", Kind::Text),
        column("detail", Kind::Text),
        column("bytes", Kind::Whole),
        column("key", Kind::Text),
        column("payload_hex", Kind::Text),
    ];

    fn at(&self) -> Millis {
        self.refused_at
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::time(self.refused_at),
            Cell::maybe(self.topic.as_deref()),
            Cell::whole(self.partition),
            Cell::whole(self.offset),
            Cell::time(self.timestamp),
            Cell::maybe(self.reason.as_deref()),
            Cell::maybe(self.detail.as_deref()),
            Cell::whole(self.bytes),
            Cell::maybe(self.key.as_deref()),
            Cell::maybe(self.payload.as_deref()),
        ]
    }
}

/// Writes the table.
pub fn write(mut history: History, arguments: &Export, span: Span) -> Outcome {
    let topic = history.settings.topics.dead_letters.clone();
    let admin = Admin::connect(&connect(&history.settings, "export"), ANSWER_LIMIT)?;
    let partitions = admin.partitions(&[&topic])?.remove(&topic).flatten().ok_or_else(|| {
        Failure::setup(format!("the topic {topic} does not exist"), "create the topics with `paceline topics apply`")
    })?;
    let mut sink = Sink::begin(arguments)?;
    for partition in 0..partitions {
        each(&mut history, &topic, partition, span, |record| {
            let row = row(record, arguments.unmask);
            // A note of an attempt is no refusal.
            let is_note = row.reason.as_deref() == Some(SENT_BACK);
            if span.has(row.refused_at) && !is_note { sink.push(&row) } else { Ok(()) }
        })?;
    }
    sink.finish()
}

fn row(record: &Record<'_>, unmask: bool) -> DeadLetter {
    let payload = record.payload.unwrap_or_default();
    let mut row = DeadLetter { refused_at: record.timestamp_ms, bytes: payload.len() as i64, ..DeadLetter::default() };
    for (name, value) in record.headers() {
        let text = value.map(|value| String::from_utf8_lossy(value).into_owned());
        let number = || text.as_deref().and_then(|text| text.parse().ok());
        match name {
            "topic" => row.topic = text,
            "partition" => row.partition = number(),
            "offset" => row.offset = number(),
            "timestamp" => row.timestamp = number(),
            "reason" => row.reason = text,
            "detail" => row.detail = text,
            // Longer ones are cut; what they were counts.
            "cut_from_bytes" => row.bytes = number().unwrap_or(row.bytes),
            _ => {}
        }
    }
    if unmask {
        row.key = record.key.map(|key| String::from_utf8_lossy(key).into_owned());
        row.payload = record.payload.map(crate::commands::replay::hex);
    }
    row
}
