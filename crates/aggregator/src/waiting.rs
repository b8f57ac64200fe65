//! Clicks and conversions of the open epoch, owned and compact, until its end puts them in canonical order.

use crate::semantics::Semantics;
use model::time::Millis;

/// The bounded buffer.
#[derive(Default)]
pub(crate) struct Waiting {
    pub clicks: Vec<WaitingClick>,
    pub conversions: Vec<WaitingConversion>,
    pub texts: Texts,
    /// Values of the clicks' dimensions: apart, because what has no room is decided by the names alone, as it always was.
    pub values: Texts,
}

/// Texts one after the other.
#[derive(Default)]
pub(crate) struct Texts(String);

/// A piece of the buffer's texts.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    start: u32,
    end: u32,
}

pub(crate) struct WaitingClick {
    pub offset: i64,
    pub time: Millis,
    pub id: u64,
    /// 0 without one.
    pub user: u64,
    pub cost_micros: i64,
    pub account: Text,
    pub campaign: Text,
    pub currency: Text,
    /// As [`crate::marginals::packed`].
    pub values: Text,
}

pub(crate) struct WaitingConversion {
    pub offset: i64,
    pub time: Millis,
    pub id: u64,
    /// 0 without one.
    pub user: u64,
    /// 0 without one.
    pub click: u64,
    pub value_micros: i64,
    pub account: Text,
    pub currency: Text,
    pub conversion_type: Text,
    /// Empty where nothing is claimed.
    pub claimed: Text,
}

impl Waiting {
    /// One more with `texts` has room. The answer does not depend on the order in which clicks and conversions came.
    pub fn has_room(&self, texts: &[&str], semantics: &Semantics) -> bool {
        let bytes = self.texts.0.len() + texts.iter().map(|text| text.len()).sum::<usize>();
        let events = self.clicks.len() + self.conversions.len();
        (events as i64) < semantics.buffer_events_max && (bytes as i64) <= semantics.buffer_bytes_max.min(BYTES_MAX)
    }

    /// By offset, the canonical order.
    pub fn sort(&mut self) {
        self.clicks.sort_unstable_by_key(|click| click.offset);
        self.conversions.sort_unstable_by_key(|conversion| conversion.offset);
    }

    /// Empties it; the memory stays for the next epoch.
    pub fn clear(&mut self) {
        self.clicks.clear();
        self.conversions.clear();
        self.texts.clear();
        self.values.clear();
    }
}

impl Texts {
    /// Keeps a text.
    pub fn keep(&mut self, text: &str) -> Text {
        let start = self.0.len() as u32;
        self.0.push_str(text);
        Text { start, end: self.0.len() as u32 }
    }

    pub fn get(&self, text: Text) -> &str {
        &self.0[text.start as usize..text.end as usize]
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Positions of texts are 32 bits wide.
const BYTES_MAX: i64 = u32::MAX as i64;
