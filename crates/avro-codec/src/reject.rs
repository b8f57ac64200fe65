//! Why a record was refused: a closed word for labels and headers, and a sentence for people.
//!
//! Bad input is data: no error here ends a batch. Only [`RejectReason::SchemaUnavailable`] says that the record may be
//! good and should be tried again.

use std::fmt;

/// A record that could not become a value of the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejected {
    /// Closed word.
    pub reason: RejectReason,
    /// What exactly, for people; never carries values of the record.
    pub detail: String,
}

impl Rejected {
    /// A refusal with its words, which end after [`DETAIL_BYTES_MAX`].
    pub fn new(reason: RejectReason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > DETAIL_BYTES_MAX {
            let end = (0..=DETAIL_BYTES_MAX).rev().find(|end| detail.is_char_boundary(*end));
            detail.truncate(end.unwrap_or(0));
            detail.push('\u{2026}');
        }
        Self { reason, detail }
    }

    #[cold]
    pub(crate) fn decode(detail: impl Into<String>) -> Self {
        Self::new(RejectReason::DecodeError, detail)
    }

    #[cold]
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(RejectReason::InvalidValue, detail)
    }
}

/// Longest words of a refusal: they stand in a header beside up to 900 kB of the record, and both must fit into one record.
const DETAIL_BYTES_MAX: usize = 400;

/// Closed set of reasons, as they stand in dead-letter headers and metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The first bytes are none of the three framings.
    BadFrame,
    /// No payload: null or zero bytes.
    Empty,
    /// The frame names a schema that nobody knows.
    UnknownSchema,
    /// The registry cannot be asked now; the record itself may be good.
    SchemaUnavailable,
    /// The bytes do not follow the schema, or the schema does not resolve to ours.
    DecodeError,
    /// A whole record, then more.
    TrailingBytes,
    /// A length, count or depth above its limit.
    TooLarge,
    /// Decoded, but a value is outside what the contract allows.
    InvalidValue,
}

impl RejectReason {
    /// All reasons, for counters that exist from the start.
    pub const ALL: [RejectReason; 8] = [
        RejectReason::BadFrame,
        RejectReason::Empty,
        RejectReason::UnknownSchema,
        RejectReason::SchemaUnavailable,
        RejectReason::DecodeError,
        RejectReason::TrailingBytes,
        RejectReason::TooLarge,
        RejectReason::InvalidValue,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            RejectReason::BadFrame => "bad_frame",
            RejectReason::Empty => "empty",
            RejectReason::UnknownSchema => "unknown_schema",
            RejectReason::SchemaUnavailable => "schema_unavailable",
            RejectReason::DecodeError => "decode_error",
            RejectReason::TrailingBytes => "trailing_bytes",
            RejectReason::TooLarge => "too_large",
            RejectReason::InvalidValue => "invalid_value",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
