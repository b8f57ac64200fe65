//! Journal records that are too large for a broker, in parts.
//!
//! What always holds: each part carries the ranges and its own dictionary, so it can be read alone; the parts together
//! hold each delta and fact once, in order; the division depends on the record alone.

use model::journal::{CopiedFact, Delta, JournalRecord};
use model::marginal::{Credit, Marginal, PathCount};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// What a part may hold by estimate: a broker takes 1 MiB by default, and headers and the estimate need room.
pub const RECORD_BYTES_MAX: usize = 900_000;

/// Splits into parts of at most about `bytes_max`; a single delta or fact is never divided.
pub fn split(record: JournalRecord, bytes_max: usize) -> Vec<JournalRecord> {
    if is_whole(&record, bytes_max) {
        return vec![JournalRecord { part: 0, parts: 1, ..record }];
    }
    let JournalRecord { dictionary, deltas, facts, marginals, credits, paths, .. } = record;
    let frame = JournalRecord {
        dictionary: Vec::new(),
        deltas: Vec::new(),
        facts: Vec::new(),
        marginals: Vec::new(),
        credits: Vec::new(),
        paths: Vec::new(),
        ..record
    };
    let frame_bytes = frame_bytes(&frame);
    let mut parts = vec![Part::new(frame_bytes)];
    put(deltas, &mut parts, (frame_bytes, bytes_max), &dictionary, |part| &mut part.deltas);
    put(marginals, &mut parts, (frame_bytes, bytes_max), &dictionary, |part| &mut part.marginals);
    put(credits, &mut parts, (frame_bytes, bytes_max), &dictionary, |part| &mut part.credits);
    put(paths, &mut parts, (frame_bytes, bytes_max), &dictionary, |part| &mut part.paths);
    for fact in facts {
        let bytes = fact_bytes(&fact);
        let open = open_part(&mut parts, frame_bytes, bytes_max, |_| bytes);
        open.bytes += bytes;
        open.facts.push(fact);
    }
    let count = parts.len() as i32;
    let numbered = parts.into_iter().zip(0..);
    numbered.map(|(part, at)| JournalRecord { part: at, parts: count, ..part.record(&frame, &dictionary) }).collect()
}

/// Whether one part will hold everything under the dictionary as it stands: nearly always, so it is asked first.
fn is_whole(record: &JournalRecord, bytes_max: usize) -> bool {
    let strings: usize = record.dictionary.iter().map(|text| text.len() + COUNT_BYTES_MAX).sum();
    let deltas: usize = record.deltas.iter().map(Coded::bytes).sum();
    let minute = record.marginals.iter().map(Coded::bytes).sum::<usize>()
        + record.credits.iter().map(Coded::bytes).sum::<usize>()
        + record.paths.iter().map(Coded::bytes).sum::<usize>();
    let facts: usize = record.facts.iter().map(fact_bytes).sum();
    if frame_bytes(record) + strings + deltas + minute + facts > bytes_max {
        return false;
    }
    // A part's dictionary has the empty string, where there are deltas, and what they use.
    let mut used = vec![false; record.dictionary.len()];
    if let Some(first) = used.first_mut() {
        *first = has_rows(record) && record.dictionary[0].is_empty();
    }
    let deltas = record.deltas.iter().flat_map(Coded::codes);
    let marginals = record.marginals.iter().flat_map(Coded::codes);
    let credits = record.credits.iter().flat_map(Coded::codes);
    for code in deltas.chain(marginals).chain(credits).chain(record.paths.iter().flat_map(Coded::codes)) {
        match usize::try_from(code).ok().and_then(|code| used.get_mut(code)) {
            Some(used) => *used = true,
            None => return false,
        }
    }
    used.into_iter().all(|used| used)
}

/// The last part, or a new one where the last would grow too large.
fn open_part(parts: &mut Vec<Part>, frame_bytes: usize, bytes_max: usize, bytes: impl Fn(&Part) -> usize) -> &mut Part {
    let full = parts.last().is_none_or(|part| !part.is_empty() && part.bytes + bytes(part) > bytes_max);
    if full {
        parts.push(Part::new(frame_bytes));
    }
    let last = parts.len() - 1;
    &mut parts[last]
}

struct Part {
    bytes: usize,
    /// Codes of the whole record that this part uses.
    used: BTreeMap<i32, i32>,
    deltas: Vec<Delta>,
    marginals: Vec<Marginal>,
    credits: Vec<Credit>,
    paths: Vec<PathCount>,
    facts: Vec<CopiedFact>,
}

/// Puts rows into the last part, and into new ones where it is full.
fn put<R: Coded>(
    rows: Vec<R>,
    parts: &mut Vec<Part>,
    (frame_bytes, bytes_max): (usize, usize),
    dictionary: &[String],
    into: impl Fn(&mut Part) -> &mut Vec<R>,
) {
    for row in rows {
        let open = open_part(parts, frame_bytes, bytes_max, |part| part.bytes_of(&row, dictionary));
        open.note(&row, dictionary);
        into(open).push(row);
    }
}

impl Part {
    fn new(frame_bytes: usize) -> Self {
        Self {
            bytes: frame_bytes,
            used: BTreeMap::new(),
            deltas: Vec::new(),
            marginals: Vec::new(),
            credits: Vec::new(),
            paths: Vec::new(),
            facts: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        !self.has_rows() && self.facts.is_empty()
    }

    fn has_rows(&self) -> bool {
        !(self.deltas.is_empty() && self.marginals.is_empty() && self.credits.is_empty() && self.paths.is_empty())
    }

    fn bytes_of(&self, row: &impl Coded, dictionary: &[String]) -> usize {
        let strings: usize = row
            .codes()
            .filter(|code| !self.used.contains_key(code))
            .map(|code| text_of(dictionary, code).len() + COUNT_BYTES_MAX)
            .sum();
        row.bytes() + strings
    }

    fn note(&mut self, row: &impl Coded, dictionary: &[String]) {
        self.bytes += self.bytes_of(row, dictionary);
        for code in row.codes() {
            self.used.insert(code, 0);
        }
    }

    fn record(mut self, frame: &JournalRecord, whole: &[String]) -> JournalRecord {
        let mut dictionary = Vec::new();
        if self.has_rows() {
            // Code 0 is the empty string in every dictionary.
            self.used.insert(0, 0);
        }
        for (code, new) in &mut self.used {
            *new = dictionary.len() as i32;
            dictionary.push(text_of(whole, *code).to_owned());
        }
        let new = |code: i32| self.used.get(&code).copied().unwrap_or_default();
        self.deltas.iter_mut().for_each(|row| row.recode(new));
        self.marginals.iter_mut().for_each(|row| row.recode(new));
        self.credits.iter_mut().for_each(|row| row.recode(new));
        self.paths.iter_mut().for_each(|row| row.recode(new));
        JournalRecord {
            dictionary,
            deltas: self.deltas,
            marginals: self.marginals,
            credits: self.credits,
            paths: self.paths,
            facts: self.facts,
            ..frame.clone()
        }
    }
}

/// A row with codes of the dictionary, and numbers.
trait Coded {
    fn codes(&self) -> impl Iterator<Item = i32>;
    fn recode(&mut self, new: impl Fn(i32) -> i32);
    /// As Avro writes it: codes at their largest, then each number's own length.
    fn bytes(&self) -> usize;
}

macro_rules! coded {
    ($row:ident, [$($code:ident),*], [$($number:ident),*]) => {
        impl Coded for $row {
            fn codes(&self) -> impl Iterator<Item = i32> {
                [$(self.$code),*].into_iter()
            }

            fn recode(&mut self, new: impl Fn(i32) -> i32) {
                $(self.$code = new(self.$code);)*
            }

            fn bytes(&self) -> usize {
                self.codes().count() * COUNT_BYTES_MAX + [$(self.$number),*].into_iter().map(number_bytes).sum::<usize>()
            }
        }
    };
}

coded!(
    Delta,
    [account, campaign, currency, conversion_type],
    [
        minute,
        touch_minute,
        impressions,
        clicks,
        billable,
        spend_micros,
        conversions,
        value_micros,
        last_conversions_micro,
        last_value_micros,
        linear_conversions_micro,
        linear_value_micros
    ]
);
coded!(
    Marginal,
    [account, campaign, currency, conversion_type, dimension, value],
    [
        minute,
        touch_minute,
        impressions,
        clicks,
        billable,
        spend_micros,
        conversions,
        value_micros,
        last_conversions_micro,
        last_value_micros
    ]
);
coded!(Credit, [account, campaign, currency, conversion_type, model], [minute, conversions_micro, value_micros]);
coded!(PathCount, [account, conversion_type, from, to], [length, paths]);

fn has_rows(record: &JournalRecord) -> bool {
    !(record.deltas.is_empty() && record.marginals.is_empty() && record.credits.is_empty() && record.paths.is_empty())
}

fn text_of(dictionary: &[String], code: i32) -> &str {
    usize::try_from(code).ok().and_then(|code| dictionary.get(code)).map_or("", String::as_str)
}

fn frame_bytes(frame: &JournalRecord) -> usize {
    let ranges: usize = frame.ranges.iter().map(|range| range.topic.len() + 5 * NUMBER_BYTES_MAX).sum();
    frame.worker.len() + frame.build.len() + ranges + 12 * NUMBER_BYTES_MAX
}

/// Length of a zigzag variable-length number.
fn number_bytes(number: i64) -> usize {
    let zigzag = (number.wrapping_shl(1) ^ (number >> 63)) as u64;
    (64 - zigzag.leading_zeros() as usize).div_ceil(7).max(1)
}

/// The length of a fact's debug text: it names each field, so it is longer than the fact's bytes.
fn fact_bytes(fact: &CopiedFact) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = write!(count, "{fact:?}");
    count.0
}

/// Longest a 64-bit number gets.
const NUMBER_BYTES_MAX: usize = 10;
/// Longest a 32-bit number gets.
const COUNT_BYTES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use model::fact::Fact;
    use model::journal::Range;
    use proptest::prelude::*;

    fn record(deltas: usize, facts: usize) -> JournalRecord {
        let dictionary: Vec<String> =
            std::iter::once(String::new()).chain((0..deltas).map(|at| format!("campaign-{at:06}"))).collect();
        let delta = |at| Delta {
            account: 1,
            campaign: at as i32 + 1,
            minute: 29_000_000,
            impressions: at as i64,
            ..Delta::default()
        };
        let fact = |offset| CopiedFact {
            topic: "ads.feedback".to_owned(),
            partition: 0,
            offset,
            timestamp: 0,
            record: Fact::Halt(Box::default()),
        };
        JournalRecord {
            ranges: vec![Range { topic: "ads.clicks".to_owned(), from: 3, to: 9, ..Range::default() }],
            parts: 1,
            dictionary,
            deltas: (0..deltas).map(delta).collect(),
            facts: (0..facts as i64).map(fact).collect(),
            ..JournalRecord::default()
        }
    }

    /// With names in place of codes.
    fn spelled(record: &JournalRecord) -> Vec<(String, String, i64)> {
        let name = |code| text_of(&record.dictionary, code).to_owned();
        record.deltas.iter().map(|delta| (name(delta.account), name(delta.campaign), delta.impressions)).collect()
    }

    #[test]
    fn what_fits_stays_whole() {
        let whole = record(10, 2);
        assert_eq!(split(whole.clone(), RECORD_BYTES_MAX), [whole]);
        let empty = record(0, 0);
        assert_eq!(split(empty, 10).len(), 1);
    }

    proptest! {
        #[test]
        fn parts_hold_everything_once_and_none_is_too_large(deltas in 0..200_usize, facts in 0..20_usize, bytes_max in 600..3_000_usize) {
            let whole = record(deltas, facts);
            let parts = split(whole.clone(), bytes_max);
            prop_assert_eq!(parts.iter().flat_map(spelled).collect::<Vec<_>>(), spelled(&whole));
            prop_assert_eq!(parts.iter().flat_map(|part| part.facts.clone()).collect::<Vec<_>>(), whole.facts);
            for (at, part) in parts.iter().enumerate() {
                prop_assert_eq!((part.part, part.parts), (at as i32, parts.len() as i32));
                prop_assert_eq!(&part.ranges, &whole.ranges);
                prop_assert!(part.deltas.is_empty() || part.dictionary[0].is_empty());
                let strings: usize = part.dictionary.iter().map(|text| text.len() + 1).sum();
                let deltas: usize = part.deltas.iter().map(Coded::bytes).sum();
                prop_assert!(strings + deltas <= bytes_max);
            }
        }
    }
}
