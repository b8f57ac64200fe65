//! How the market hands out its events: borrowed records, one at a time, to a sink.
//!
//! Records are built in place and reused, so that a generator of a million events a second does not allocate for each.

use model::event::{Click, Conversion, EventKind, Impression, partition_key};
use model::time::Millis;

/// One event of any topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record<'a> {
    /// For `ads.impressions`.
    Impression(&'a Impression),
    /// For `ads.clicks`.
    Click(&'a Click),
    /// For `ads.conversions`.
    Conversion(&'a Conversion),
}

/// An event at the instant at which it reaches the topic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Emitted<'a> {
    /// When it is written; never before it happened.
    pub arrived_at: Millis,
    /// The event.
    pub record: Record<'a>,
}

/// Takes events in the order of their arrival. Every closure over [`Emitted`] is one.
pub trait Sink {
    /// Takes one event; the borrow ends with the call.
    fn take(&mut self, emitted: Emitted<'_>);
}

impl<F: FnMut(Emitted<'_>)> Sink for F {
    fn take(&mut self, emitted: Emitted<'_>) {
        self(emitted);
    }
}

/// An event of any topic, owned.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // Named as the borrowed ones.
pub enum OwnedRecord {
    Impression(Impression),
    Click(Click),
    Conversion(Conversion),
}

/// A sink that keeps everything, for tests and small runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorder {
    /// The events with their arrival.
    pub events: Vec<(Millis, OwnedRecord)>,
}

impl Sink for Recorder {
    fn take(&mut self, emitted: Emitted<'_>) {
        self.events.push((emitted.arrived_at, emitted.record.to_owned()));
    }
}

impl<'a> Record<'a> {
    /// The topic's kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Record::Impression(_) => EventKind::Impression,
            Record::Click(_) => EventKind::Click,
            Record::Conversion(_) => EventKind::Conversion,
        }
    }

    /// When it happened.
    pub fn event_time(&self) -> Millis {
        match self {
            Record::Impression(event) => event.event_time,
            Record::Click(event) => event.event_time,
            Record::Conversion(event) => event.event_time,
        }
    }

    /// The record's key on its topic, by the contract.
    pub fn key(&self) -> &'a str {
        match *self {
            Record::Impression(event) => partition_key(event.user_key.as_deref(), None, &event.event_id),
            Record::Click(event) => partition_key(event.user_key.as_deref(), None, &event.event_id),
            Record::Conversion(event) => {
                partition_key(event.user_key.as_deref(), event.click_id.as_deref(), &event.event_id)
            }
        }
    }

    /// The event with strings of its own.
    pub fn to_owned(&self) -> OwnedRecord {
        match *self {
            Record::Impression(event) => OwnedRecord::Impression(event.clone()),
            Record::Click(event) => OwnedRecord::Click(event.clone()),
            Record::Conversion(event) => OwnedRecord::Conversion(event.clone()),
        }
    }
}

impl OwnedRecord {
    /// The event, borrowed.
    pub fn as_record(&self) -> Record<'_> {
        match self {
            OwnedRecord::Impression(event) => Record::Impression(event),
            OwnedRecord::Click(event) => Record::Click(event),
            OwnedRecord::Conversion(event) => Record::Conversion(event),
        }
    }
}

/// Appends `word` in hexadecimal without leading zeros; `format!` would be the slowest part of the generator.
pub(crate) fn push_hex(text: &mut String, word: u64) {
    let digits = (16 - word.leading_zeros() / 4).clamp(1, 16);
    for digit in (0..digits).rev() {
        let nibble = (word >> (4 * digit)) as u32 & 15;
        text.push(char::from_digit(nibble, 16).unwrap_or('0'));
    }
}

/// Replaces the text by another without giving its memory back.
pub(crate) fn set(text: &mut String, to: &str) {
    text.clear();
    text.push_str(to);
}

/// The text to write into, emptied, its memory kept where there is some.
pub(crate) fn some(text: &mut Option<String>) -> &mut String {
    let text = text.get_or_insert_default();
    text.clear();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_as_the_standard_library_writes_it() {
        for word in [0, 1, 15, 16, 0xabc, u64::from(u32::MAX), u64::MAX] {
            let mut text = String::new();
            push_hex(&mut text, word);
            assert_eq!(text, format!("{word:x}"));
        }
    }
}
