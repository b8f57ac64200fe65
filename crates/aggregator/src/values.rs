//! Numbers for the values of dimensions: devices, places, placements, creatives, channels.
//!
//! What always holds: a value's number stands until [`Values::clear`], or until what is held is put into a fresh table; 0 is no
//! value. Values are told apart by 64 bits of a keyed hash and not compared as texts: among a hundred thousand the chance
//! that any two share them is below 10^-9, and what it costs is two values in one row until the table is made anew. No
//! number reaches an output.
//!
//! What is missing on purpose: a cap. Rows are capped ([`crate::marginals`]), and there values without a row are
//! forgotten once there are more of them than of those with one.

use model::event::Touch;
use model::marginal::{DIMENSIONS, OTHER};

/// How many dimensions there are.
pub(crate) const DIMENSION_COUNT: usize = DIMENSIONS.len();

/// The values of one touch, by the number of the dimension.
pub(crate) type Texts<'a> = [&'a str; DIMENSION_COUNT];

/// Numbers of the values of one touch.
pub(crate) type Codes = [u32; DIMENSION_COUNT];

/// Longest value that is told apart; longer ones are [`OTHER`]: a name, not a document.
const VALUE_BYTES_MAX: usize = 128;

/// The values of a touch; what is absent is the empty string.
pub(crate) fn values_of<'a>(touch: &Touch<'a>) -> Texts<'a> {
    let values =
        [touch.device, touch.geo, touch.placement.unwrap_or(""), touch.creative_id.unwrap_or(""), touch.channel];
    values.map(|value| if value.len() > VALUE_BYTES_MAX { OTHER } else { value })
}

/// The values of a minute.
#[derive(Clone)]
pub(crate) struct Values {
    /// Open-addressed: hash and number, 0 where free.
    index: Vec<(u64, u32)>,
    /// By number less one: dimension, and the end of the text.
    ends: Vec<(u8, u32)>,
    texts: String,
    seed: u64,
}

impl Values {
    pub fn new(seed: u64) -> Self {
        Self { index: vec![(0, 0); SLOTS_MIN], ends: Vec::new(), texts: String::new(), seed }
    }

    /// Numbers of all values of a touch.
    pub fn codes(&mut self, values: &Texts<'_>) -> Codes {
        std::array::from_fn(|dimension| self.code(dimension, values[dimension]))
    }

    /// The number of a value.
    pub fn code(&mut self, dimension: usize, text: &str) -> u32 {
        let hash = hash(self.seed, dimension, text);
        let mask = self.index.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (known, code) = self.index[at];
            if code == 0 {
                return self.add(hash, at, dimension, text);
            }
            if known == hash {
                return code;
            }
            at = (at + 1) & mask;
        }
    }

    /// Dimension and text of a number.
    pub fn get(&self, code: u32) -> Option<(usize, &str)> {
        let at = (code as usize).checked_sub(1)?;
        let (dimension, end) = *self.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].1);
        Some((usize::from(dimension), &self.texts[start as usize..end as usize]))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = self.emptied();
    }

    /// One that knows nothing yet, of the same seed.
    pub fn emptied(&self) -> Self {
        Self { index: vec![(0, 0); self.index.len().min(SLOTS_KEPT)], ..Self::new(self.seed) }
    }

    #[cold]
    fn add(&mut self, hash: u64, at: usize, dimension: usize, text: &str) -> u32 {
        self.texts.push_str(text);
        self.ends.push((dimension as u8, self.texts.len() as u32));
        let code = self.ends.len() as u32;
        self.index[at] = (hash, code);
        if self.ends.len() * 2 > self.index.len() {
            let doubled = vec![(0, 0); self.index.len() * 2];
            let mask = doubled.len() - 1;
            for entry in std::mem::replace(&mut self.index, doubled).into_iter().filter(|(_, code)| *code != 0) {
                let mut at = entry.0 as usize & mask;
                while self.index[at].1 != 0 {
                    at = (at + 1) & mask;
                }
                self.index[at] = entry;
            }
        }
        code
    }
}

const SLOTS_MIN: usize = 1 << 8;
/// A minute mostly tells of as many values as the one before.
const SLOTS_KEPT: usize = 1 << 14;

/// A few nanoseconds for a short text: whole words where there are some, and the last eight bytes once more.
fn hash(seed: u64, dimension: usize, text: &str) -> u64 {
    let bytes = text.as_bytes();
    let start = seed ^ ((dimension as u64 + 1) << 56) ^ bytes.len() as u64;
    let last = match (bytes.last_chunk::<8>(), bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(last), _, _) => u64::from_le_bytes(*last),
        (None, Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        }
        _ => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    let mut sum = start;
    for word in bytes.as_chunks::<8>().0 {
        sum = fold(sum ^ u64::from_le_bytes(*word), ODD);
    }
    fold(fold(sum ^ last, ODD) ^ seed.rotate_left(29), OTHER_ODD)
}

/// The two halves of the product.
fn fold(word: u64, by: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * u128::from(by);
    (product as u64) ^ ((product >> 64) as u64)
}

const ODD: u64 = 0xd6e8_feb8_6659_fd93;
const OTHER_ODD: u64 = 0xa076_1d64_78bd_642f;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_keeps_its_number_and_its_text_in_its_dimension() {
        let mut values = Values::new(7);
        let texts: Vec<String> = (0..2_000).map(|at| format!("{}{at}", "x".repeat(at % 23))).collect();
        let codes: Vec<u32> = texts.iter().map(|text| values.code(2, text)).collect();
        for (text, code) in texts.iter().zip(&codes) {
            assert_eq!((values.code(2, text), values.get(*code)), (*code, Some((2, text.as_str()))));
        }
        assert_ne!(values.code(0, "x"), values.code(1, "x"));
        values.clear();
        assert_eq!((values.len(), values.get(1)), (0, None));
        assert_eq!(values.code(4, ""), 1);
        assert_eq!(values.get(1), Some((4, "")));
    }
}
