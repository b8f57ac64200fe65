//! Model to bytes: Confluent frame, then the datum as apache-avro writes it along our schema.

use crate::frame::CONFLUENT_MAGIC;
use crate::record::RecordName;
use crate::reject::Rejected;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;
use std::sync::OnceLock;

/// A value that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The registry or the index has no id for the record.
    #[error("{0} has no schema id")]
    NoSchemaId(RecordName),
    /// The value does not follow the schema: a mistake in the program.
    #[error("writing {record}")]
    Value {
        /// Which record.
        record: RecordName,
        /// What apache-avro said.
        #[source]
        source: Box<apache_avro::Error>,
    },
    /// Written, and who reads it would refuse it.
    #[error("the service would refuse it: {}", .0.detail)]
    Refused(Rejected),
}

/// Appends the framed record.
pub(crate) fn append<T: Serialize + ?Sized>(
    record: RecordName,
    id: u32,
    value: &T,
    into: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = into.len();
    into.push(CONFLUENT_MAGIC);
    into.extend_from_slice(&id.to_be_bytes());
    let written = writer(record).write_ser(into, &value);
    match written {
        Ok(_) => Ok(()),
        Err(source) => {
            into.truncate(start);
            Err(EncodeError::Value { record, source: Box::new(source) })
        }
    }
}

/// One writer a record, made once: resolving a schema's names costs far more than writing a record.
fn writer(record: RecordName) -> &'static GenericDatumWriter<'static> {
    static WRITERS: OnceLock<Vec<GenericDatumWriter<'static>>> = OnceLock::new();
    let writers = WRITERS.get_or_init(|| {
        // The schemas are embedded, and a test encodes each record.
        let build = |record: &RecordName| {
            GenericDatumWriter::builder(record.schema())
                .human_readable(false)
                .build()
                .expect("embedded schema resolves")
        };
        RecordName::ALL.iter().map(build).collect()
    });
    &writers[record as usize]
}
