//! Bounded reading of Avro's primitives from a slice.
//!
//! What always holds: the position never passes the end, no read panics, nothing is allocated, and every length is
//! compared with its limit and with what is left before it is used.

use crate::limits::Limits;
use std::fmt;

/// Why reading stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The record ends inside a value.
    Truncated,
    /// A varint of more than 64 bits, or more than 32 where the schema says int.
    Overflow,
    /// A negative length, or a block whose stated size is not its size.
    BadLength,
    /// A boolean that is neither 0 nor 1, or a branch or symbol that the schema does not have.
    BadTag,
    /// Not UTF-8.
    BadText,
    /// The name of the limit that was passed.
    TooLarge(&'static str),
    /// The writer wrote a branch or symbol that the reader's type does not have.
    Unresolvable(String),
    /// What the model's own types said.
    Model(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Truncated => f.write_str("the record ends inside a value"),
            Fault::Overflow => f.write_str("an integer is too large for its type"),
            Fault::BadLength => f.write_str("a length is negative or not what was said"),
            Fault::BadTag => f.write_str("a boolean, branch or symbol is out of range"),
            Fault::BadText => f.write_str("a string is not UTF-8"),
            Fault::TooLarge(limit) => write!(f, "limit passed: {limit}"),
            Fault::Unresolvable(what) | Fault::Model(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Fault {}

/// A position in a record's bytes, with what may still be read.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    items_left: usize,
    depth_left: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self { bytes, at: 0, limits, items_left: limits.items_total_max, depth_left: limits.depth_max }
    }

    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes on at a place where a caller has read by itself.
    #[inline]
    pub(crate) fn jump_to(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64, Fault> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(unzigzag(u64::from(byte)))
            }
            _ => self.long_of_many_bytes(),
        }
    }

    fn long_of_many_bytes(&mut self) -> Result<i64, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (short, length) = short_varint(rest);
        if length > 0 {
            self.at += length;
            return Ok(short);
        }
        let mut value = 0_u64;
        for (index, &byte) in rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index == VARINT_BYTES_MAX - 1 && byte > 1 {
                    return Err(Fault::Overflow);
                }
                self.at += index + 1;
                return Ok(unzigzag(value));
            }
        }
        Err(if rest.len() < VARINT_BYTES_MAX { Fault::Truncated } else { Fault::Overflow })
    }

    pub(crate) fn int(&mut self) -> Result<i32, Fault> {
        i32::try_from(self.long()?).map_err(|_| Fault::Overflow)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Fault> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Fault::BadTag),
        }
    }

    pub(crate) fn float(&mut self) -> Result<f32, Fault> {
        let bytes = self.take(4)?.first_chunk().ok_or(Fault::Truncated)?;
        Ok(f32::from_le_bytes(*bytes))
    }

    pub(crate) fn double(&mut self) -> Result<f64, Fault> {
        let bytes = self.take(8)?.first_chunk().ok_or(Fault::Truncated)?;
        Ok(f64::from_le_bytes(*bytes))
    }

    /// The next `count` bytes; the count comes from a schema or has been checked.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// A length in front and then as many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.long()?;
        // One comparison for negative and for too long: a negative length is a huge unsigned one.
        if length as u64 > self.limits.text_bytes_max as u64 {
            return Err(length_fault(length));
        }
        self.take(length as usize)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Fault::BadText)
    }

    pub(crate) fn fixed(&mut self, size: usize) -> Result<&'a [u8], Fault> {
        if size > self.limits.text_bytes_max {
            return Err(Fault::TooLarge("text_bytes_max"));
        }
        self.take(size)
    }

    /// Index of a branch or symbol among `count`.
    #[inline]
    pub(crate) fn tag(&mut self, count: usize) -> Result<usize, Fault> {
        let tag = self.long()?;
        if (tag as u64) < count as u64 { Ok(tag as usize) } else { Err(Fault::BadTag) }
    }

    pub(crate) fn descend(&mut self) -> Result<(), Fault> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or(Fault::TooLarge("depth_max"))?;
        Ok(())
    }

    pub(crate) fn ascend(&mut self) {
        self.depth_left += 1;
    }

    /// Goes through the blocks of an array or map without looking into blocks that state their size.
    pub(crate) fn skip_blocks(
        &mut self,
        mut skip_item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut blocks = Blocks::default();
        while let Some(block) = blocks.next_block(self)? {
            match block.end {
                Some(end) => {
                    self.at = end;
                    blocks.end_of_block(self)?;
                }
                None => {
                    for _ in 0..block.items {
                        skip_item(self)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A varint of 64 bits takes at most ten bytes.
const VARINT_BYTES_MAX: usize = 10;

/// An integer of at most eight bytes with eight bytes before the end, and its length; length 0 where it is not that.
///
/// An instant takes six bytes: reading them at once and closing the gaps of the high bits by shifts saves a branch a
/// byte.
#[inline(always)]
pub(crate) fn short_varint(bytes: &[u8]) -> (i64, usize) {
    let Some(word) = bytes.first_chunk().map(|word| u64::from_le_bytes(*word)) else { return (0, 0) };
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return (0, 0);
    }
    let high_bit_of_last = ends.trailing_zeros();
    let sevens = word & (u64::MAX >> (63 - high_bit_of_last)) & 0x7f7f_7f7f_7f7f_7f7f;
    let fourteens = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
    let twenty_eights = (fourteens & 0x0000_3fff_0000_3fff) | ((fourteens & 0x3fff_0000_3fff_0000) >> 2);
    let value = (twenty_eights & 0x0fff_ffff) | ((twenty_eights & 0x0fff_ffff_0000_0000) >> 4);
    (unzigzag(value), (high_bit_of_last as usize + 1) / 8)
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cold]
fn length_fault(length: i64) -> Fault {
    if length < 0 { Fault::BadLength } else { Fault::TooLarge("text_bytes_max") }
}

/// One block of an array or map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) items: usize,
    /// Where it ends, if it says so.
    pub(crate) end: Option<usize>,
}

/// Progress through the blocks of one array or map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    items_seen: usize,
    end: Option<usize>,
}

impl Blocks {
    /// The next block's head; `None` at the end of the collection.
    pub(crate) fn next_block(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Block>, Fault> {
        self.end_of_block(cursor)?;
        let count = cursor.long()?;
        if count == 0 {
            return Ok(None);
        }
        let items = usize::try_from(count.unsigned_abs()).map_err(|_| Fault::TooLarge("items_max"))?;
        self.items_seen = self.items_seen.saturating_add(items);
        if self.items_seen > cursor.limits.items_max {
            return Err(Fault::TooLarge("items_max"));
        }
        cursor.items_left = cursor.items_left.checked_sub(items).ok_or(Fault::TooLarge("items_total_max"))?;
        if count < 0 {
            let size = usize::try_from(cursor.long()?).map_err(|_| Fault::BadLength)?;
            let end = cursor.at.checked_add(size).filter(|end| *end <= cursor.bytes.len());
            self.end = Some(end.ok_or(Fault::Truncated)?);
        }
        Ok(Some(Block { items, end: self.end }))
    }

    /// A block that stated its size must have had it.
    fn end_of_block(&mut self, cursor: &Cursor<'_>) -> Result<(), Fault> {
        match self.end.take() {
            Some(end) if end != cursor.at => Err(Fault::BadLength),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(bytes: &[u8]) -> Cursor<'_> {
        Cursor::new(bytes, Limits::INPUT)
    }

    #[test]
    fn integers_read_at_their_extremes_and_no_further() {
        assert_eq!(cursor(&[0x01]).long(), Ok(-1));
        assert_eq!(cursor(&[0x80, 0x01]).long(), Ok(64));
        let all = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(cursor(&all).long(), Ok(i64::MIN));
        assert_eq!(cursor(&[0xff; 10]).long(), Err(Fault::Overflow));
        assert_eq!(cursor(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).long(), Err(Fault::Overflow));
        assert_eq!(cursor(&[0xff; 9]).long(), Err(Fault::Truncated));
        assert_eq!(cursor(&[0xff, 0xff, 0xff, 0xff, 0x0f]).int(), Ok(i32::MIN));
        assert_eq!(cursor(&[0x80, 0x80, 0x80, 0x80, 0x10]).int(), Err(Fault::Overflow));
    }

    #[test]
    fn integers_of_all_lengths_read_the_same_near_the_end_and_far_from_it() {
        for shift in 0..64 {
            for value in [1_u64 << shift, (1 << shift) - 1, 0xdead_beef_cafe_f00d >> shift] {
                let mut bytes = Vec::new();
                let mut rest = value;
                while rest >= 0x80 {
                    bytes.push(rest as u8 | 0x80);
                    rest >>= 7;
                }
                bytes.push(rest as u8);
                let length = bytes.len();
                for padding in [0, 1, 9] {
                    let padded = [&bytes[..], &vec![0xff; padding]].concat();
                    let mut cursor = cursor(&padded);
                    assert_eq!((cursor.long(), cursor.at()), (Ok(unzigzag(value)), length), "{value:x} {padding}");
                }
            }
        }
    }

    #[test]
    fn lengths_are_compared_with_limits_before_use() {
        assert_eq!(cursor(&[0x01]).bytes(), Err(Fault::BadLength));
        assert_eq!(cursor(&[0x04, b'a']).bytes(), Err(Fault::Truncated));
        assert_eq!(cursor(&[0x82, 0x40]).bytes(), Err(Fault::TooLarge("text_bytes_max")));
        assert_eq!(cursor(&[0x02, 0xff]).text(), Err(Fault::BadText));
    }

    #[test]
    fn empty_items_cannot_multiply_work() {
        // A million nulls take no bytes at all.
        let nulls = [0x80, 0x89, 0x7a, 0x00];
        let mut steps = 0;
        let skipped = cursor(&nulls).skip_blocks(|_| {
            steps += 1;
            Ok(())
        });
        assert_eq!((skipped, steps), (Err(Fault::TooLarge("items_max")), 0));
    }

    #[test]
    fn a_stated_block_size_must_lie_inside_the_record() {
        assert_eq!(cursor(&[0x03, 0x14, 0x02]).skip_blocks(|_| Ok(())), Err(Fault::Truncated));
        assert_eq!(cursor(&[0x03, 0x01]).skip_blocks(|_| Ok(())), Err(Fault::BadLength));
        let mut whole = cursor(&[0x03, 0x04, 0x02, 0x04, 0x00]);
        assert_eq!(whole.skip_blocks(|_| Err(Fault::BadTag)), Ok(()));
        assert!(whole.is_at_end());
    }
}
