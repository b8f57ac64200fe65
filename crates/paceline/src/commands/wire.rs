//! Simulated events as bytes, for the commands that send them.

use crate::failure::{Failure, Outcome};
use avro_codec::{Codec, RecordName};
use market::Record;

/// Encodes an event into a buffer that is reused.
pub fn encode_event(codec: &Codec, record: &Record<'_>, payload: &mut Vec<u8>) -> Outcome {
    payload.clear();
    let encoded = match record {
        Record::Impression(impression) => codec.encode_into(RecordName::Impression, *impression, payload),
        Record::Click(click) => codec.encode_into(RecordName::Click, *click, payload),
        Record::Conversion(conversion) => codec.encode_into(RecordName::Conversion, *conversion, payload),
    };
    encoded
        .map_err(|error| Failure::failed(format!("encoding an event: {error}"), "this is a defect; please report it"))
}
