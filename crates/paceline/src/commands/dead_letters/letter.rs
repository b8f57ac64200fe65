//! A record of the dead-letter topic: a refusal, or the note that it was sent back.

use model::time::Millis;
use sha2::{Digest, Sha256};

/// Reason of a note.
pub const SENT_BACK: &str = "sent_back";
/// Header of a note: what the record is, in hex.
pub const HASH: &str = "paceline-record";
/// A key of this length may have been cut when it was set aside.
const KEY_BYTES_MAX: usize = 1_024;

/// A refused record.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    /// Where it lies: partition and offset of the dead-letter topic.
    pub place: (i32, i64),
    /// When it was refused.
    pub refused_at: Millis,
    /// Where it came from.
    pub topic: String,
    /// Where it came from.
    pub partition: i32,
    /// Where it came from.
    pub offset: i64,
    /// When it was written there.
    pub timestamp: Option<Millis>,
    /// Closed word.
    pub reason: String,
    /// More words.
    pub detail: String,
    /// How long it was, where it was cut.
    pub cut_from: Option<i64>,
    /// The original key.
    pub key: Option<Vec<u8>>,
    /// The original value.
    pub payload: Option<Vec<u8>>,
}

/// What stands on the topic.
pub enum Record {
    /// A refusal.
    Letter(Letter),
    /// A refusal was answered by an attempt.
    SentBack {
        /// Topic, partition and offset of the refused record.
        origin: (String, i32, i64),
        /// What the record is.
        hash: [u8; 32],
    },
}

impl Letter {
    /// As people name it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.place.0, self.place.1)
    }

    /// Topic, partition and offset that it came from.
    pub fn origin(&self) -> (String, i32, i64) {
        (self.topic.clone(), self.partition, self.offset)
    }

    /// The same for the same bytes on the same topic.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [Some(self.topic.as_bytes()), self.key.as_deref(), self.payload.as_deref()] {
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            hash.update(part.unwrap_or_default());
        }
        hash.finalize().into()
    }

    /// Whether something of the original is missing.
    pub fn is_cut(&self) -> bool {
        self.cut_from.is_some() || self.key.as_ref().is_some_and(|key| key.len() >= KEY_BYTES_MAX)
    }
}

impl Record {
    /// Reads the headers; `None` for a record that is none of ours.
    pub fn of(record: &kafka_io::Record<'_>) -> Option<Record> {
        let mut letter = Letter {
            place: (record.partition, record.offset),
            refused_at: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            ..Letter::default()
        };
        let (mut hash, mut has_origin) = (None, false);
        for (name, value) in record.headers() {
            let text = String::from_utf8_lossy(value.unwrap_or_default());
            match name {
                "topic" => letter.topic = text.into_owned(),
                "partition" => letter.partition = text.parse().ok()?,
                "offset" => (letter.offset, has_origin) = (text.parse().ok()?, true),
                "timestamp" => letter.timestamp = text.parse().ok(),
                "reason" => letter.reason = text.into_owned(),
                "detail" => letter.detail = text.into_owned(),
                "cut_from_bytes" => letter.cut_from = text.parse().ok(),
                HASH => hash = unhex(&text),
                _ => {}
            }
        }
        match (letter.reason.as_str(), hash, has_origin) {
            (SENT_BACK, Some(hash), true) => Some(Record::SentBack { origin: letter.origin(), hash }),
            (SENT_BACK, ..) | (.., false) => None,
            _ => Some(Record::Letter(letter)),
        }
    }
}

/// Topic, partition and offset of the record that a refusal, or the note of its return, is about.
pub fn origin(record: &kafka_io::Record<'_>) -> Option<(String, i32, i64)> {
    match Record::of(record)? {
        Record::Letter(letter) => Some(letter.origin()),
        Record::SentBack { origin, .. } => Some(origin),
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> =
        (0..32).map(|at| text.get(2 * at..2 * at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok())).collect();
    bytes?.try_into().ok()
}
