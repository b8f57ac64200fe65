//! What stands before the data: three framings, told apart by their first bytes.

use crate::limits::PAYLOAD_BYTES_MAX;
use crate::reject::{RejectReason, Rejected};

/// Who wrote the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Writer {
    /// Schema id of a Confluent frame.
    Id(u32),
    /// CRC-64-AVRO fingerprint of a single-object frame.
    Fingerprint(u64),
}

/// A payload taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Avro(Writer, &'a [u8]),
    Json(&'a [u8]),
}

/// First byte of a Confluent frame.
pub(crate) const CONFLUENT_MAGIC: u8 = 0x00;
/// First bytes of Avro's single-object encoding, version 1.
pub(crate) const SINGLE_OBJECT_MAGIC: [u8; 2] = [0xc3, 0x01];

/// Takes a payload apart; zero bytes stand for a tombstone too.
#[inline]
pub(crate) fn parse(payload: &[u8]) -> Result<Frame<'_>, Rejected> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(too_large(payload.len()));
    }
    match payload {
        [CONFLUENT_MAGIC, a, b, c, d, body @ ..] => {
            Ok(Frame::Avro(Writer::Id(u32::from_be_bytes([*a, *b, *c, *d])), body))
        }
        [b'{', ..] => Ok(Frame::Json(payload)),
        _ => parse_rare(payload),
    }
}

#[cold]
fn parse_rare(payload: &[u8]) -> Result<Frame<'_>, Rejected> {
    if let Some((fingerprint, body)) =
        payload.strip_prefix(&SINGLE_OBJECT_MAGIC).and_then(|rest| rest.split_first_chunk())
    {
        return Ok(Frame::Avro(Writer::Fingerprint(u64::from_le_bytes(*fingerprint)), body));
    }
    Err(match payload {
        [] => Rejected::new(RejectReason::Empty, "the record has no value"),
        [CONFLUENT_MAGIC, ..] => Rejected::new(RejectReason::BadFrame, "the record ends inside its schema id"),
        [0xc3, 0x01, ..] => Rejected::new(RejectReason::BadFrame, "the record ends inside its fingerprint"),
        [b'O', b'b', b'j', 1, ..] => {
            Rejected::new(RejectReason::BadFrame, "an Avro file inside a record; send one datum a record")
        }
        [first, ..] => {
            Rejected::new(RejectReason::BadFrame, format!("no known framing begins with byte 0x{first:02x}"))
        }
    })
}

#[cold]
fn too_large(bytes: usize) -> Rejected {
    Rejected::new(RejectReason::TooLarge, format!("{bytes} bytes, limit {PAYLOAD_BYTES_MAX} (PAYLOAD_BYTES_MAX)"))
}
