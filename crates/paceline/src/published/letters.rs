//! The newest refused records, masked: a sample for people, not the truth, which is the dead-letter topic.

use model::time::Millis;
use serde::Serialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::Mutex;

/// Refused records kept, some kB each at most.
const KEPT_MAX: usize = 200;
/// A sample longer than this says only how long it is.
const SAMPLE_BYTES_MAX: usize = 4_096;

/// A refused record as people may see it.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // As the headers of the record on its topic.
pub struct LetterView {
    pub refused_at: Millis,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Millis,
    pub reason: String,
    pub detail: String,
    pub bytes: i64,
    /// The record with personal fields hidden, or its length and framing where it does not decode.
    pub sample: Value,
}

/// The ring.
#[derive(Default)]
pub struct Letters(Mutex<VecDeque<LetterView>>);

impl Letters {
    /// Takes one; the oldest goes.
    pub fn put(&self, mut letter: LetterView) {
        if letter.sample.to_string().len() > SAMPLE_BYTES_MAX {
            letter.sample = serde_json::json!({ "too_long_to_show_bytes": letter.bytes });
        }
        let Ok(mut held) = self.0.lock() else { return };
        if held.len() >= KEPT_MAX {
            held.pop_front();
        }
        held.push_back(letter);
    }

    /// Newest first.
    pub fn newest(&self) -> Vec<LetterView> {
        self.0.lock().map(|held| held.iter().rev().cloned().collect()).unwrap_or_default()
    }
}
