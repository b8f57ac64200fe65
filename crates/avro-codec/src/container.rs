//! Avro object container files: rows as JSON for imports, and logs of records as they lie in a topic. A file is read
//! and written by a person's command, not on the hot path, so apache-avro does it.

use apache_avro::types::Value;
use apache_avro::{Codec, Schema, Writer};
use std::io::{Read, Write};
use std::sync::LazyLock;

/// A record of a log as it lay in its topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Its offset.
    pub offset: i64,
    /// Its own timestamp, epoch milliseconds.
    pub timestamp_ms: i64,
    /// Its framed bytes; `None` for a record without a value.
    pub payload: Option<Vec<u8>>,
}

/// Any Avro reader finds offset, time and bytes of each record.
const ARCHIVE_SCHEMA: &str = r#"{"type": "record", "name": "ArchivedRecord", "namespace": "paceline.v1", "fields": [
    {"name": "offset", "type": "long"},
    {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "payload", "type": ["null", "bytes"]}]}"#;

static ARCHIVE: LazyLock<Schema> = LazyLock::new(|| Schema::parse_str(ARCHIVE_SCHEMA).expect("our schema parses"));
/// Between blocks; fixed, so that equal logs are equal files. Each file has a checksum of its own beside it.
const ARCHIVE_MARKER: [u8; 16] = *b"paceline.journal";

/// Writes a log's records into a container file.
pub struct ArchiveWriter<W: Write> {
    writer: Writer<'static, W>,
}

impl<W: Write> ArchiveWriter<W> {
    /// A writer at the file's beginning.
    ///
    /// # Errors
    /// The library's words.
    pub fn new(output: W) -> Result<Self, String> {
        let writer = Writer::builder().schema(&ARCHIVE).writer(output).codec(Codec::Null).marker(ARCHIVE_MARKER);
        Ok(Self { writer: writer.build().map_err(|error| error.to_string())? })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// The library's words, where the output refuses.
    pub fn push(&mut self, record: Archived) -> Result<(), String> {
        let payload = match record.payload {
            None => Value::Union(0, Box::new(Value::Null)),
            Some(bytes) => Value::Union(1, Box::new(Value::Bytes(bytes))),
        };
        let fields = vec![
            ("offset".to_owned(), Value::Long(record.offset)),
            ("timestamp".to_owned(), Value::TimestampMillis(record.timestamp_ms)),
            ("payload".to_owned(), payload),
        ];
        self.writer.append_value(Value::Record(fields)).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Writes what is left, and gives the output back.
    ///
    /// # Errors
    /// The library's words, where the output refuses.
    pub fn finish(self) -> Result<W, String> {
        self.writer.into_inner().map_err(|error| error.to_string())
    }
}

/// Shows every record of a log's container file in its order, until `show` says `false`.
///
/// # Errors
/// Words, where the file is no such container or is damaged.
pub fn read_archive<R: Read>(input: R, show: &mut dyn FnMut(Archived) -> bool) -> Result<(), String> {
    let reader = apache_avro::Reader::new(input).map_err(|error| error.to_string())?;
    if reader.writer_schema() != &*ARCHIVE {
        return Err("the file holds other records than a journal's".into());
    }
    for value in reader {
        if !show(archived(value.map_err(|error| error.to_string())?)?) {
            break;
        }
    }
    Ok(())
}

fn archived(value: Value) -> Result<Archived, String> {
    let Value::Record(fields) = value else { return Err("a row is no record".into()) };
    let mut record = Archived::default();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("offset", Value::Long(offset)) => record.offset = offset,
            ("timestamp", Value::TimestampMillis(at)) => record.timestamp_ms = at,
            ("payload", Value::Union(_, inner)) => {
                record.payload = if let Value::Bytes(bytes) = *inner { Some(bytes) } else { None };
            }
            (name, _) => return Err(format!("field {name} is of another type")),
        }
    }
    Ok(record)
}

/// Shows every record of a container file as a JSON object with its own field names, unions unwrapped.
///
/// # Errors
/// The library's words, where the file is no container or is damaged.
pub fn read_object_container<R: Read>(input: R, show: &mut dyn FnMut(serde_json::Value)) -> Result<(), String> {
    let reader = apache_avro::Reader::new(input).map_err(|error| error.to_string())?;
    for value in reader {
        let value: Value = value.map_err(|error| error.to_string())?;
        show(serde_json::Value::try_from(value).map_err(|error| error.to_string())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordName;
    use model::event::Impression;

    #[test]
    fn a_log_comes_back_as_it_was_and_equal_logs_are_equal_files() {
        let records: Vec<Archived> = (0..3)
            .map(|at| Archived {
                offset: at * 2,
                timestamp_ms: 1_000 + at,
                payload: (at != 1).then(|| vec![0, 7, 255]),
            })
            .collect();
        let write = || {
            let mut writer = ArchiveWriter::new(Vec::new()).unwrap();
            records.iter().for_each(|record| writer.push(record.clone()).unwrap());
            writer.finish().unwrap()
        };
        let bytes = write();
        assert_eq!(bytes, write());
        let mut read = Vec::new();
        read_archive(bytes.as_slice(), &mut |record| {
            read.push(record);
            read.len() < 3
        })
        .unwrap();
        assert_eq!(read, records);
        let cut = &bytes[..bytes.len() - 5];
        assert!(read_archive(cut, &mut |_| true).is_err(), "a torn file is told");
    }

    #[test]
    fn rows_of_a_container_are_json_objects() {
        let row =
            Impression { event_id: "e".into(), user_key: Some("u".into()), cost_micros: 7, ..Impression::default() };
        let mut writer = Writer::new(RecordName::Impression.schema(), Vec::new()).unwrap();
        writer.append_ser(&row).unwrap();
        let bytes = writer.into_inner().unwrap();
        let mut rows = Vec::new();
        read_object_container(bytes.as_slice(), &mut |row| rows.push(row)).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (&rows[0]["event_id"], &rows[0]["user_key"], &rows[0]["cost_micros"]),
            (&"e".into(), &"u".into(), &7.into())
        );
        assert!(rows[0]["geo"] == "" && rows[0]["placement"].is_null());
        assert!(read_object_container(&b"nonsense"[..], &mut |_| ()).is_err());
    }
}
