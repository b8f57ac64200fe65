//! Sparse panes of integer measures: what happened in each minute, hour or day that something happened in.
//!
//! What always holds: a pane that nothing was added to costs nothing; sums saturate and never wrap or panic; the bytes
//! of two `Panes` are equal if and only if the same sums stand in the same panes, whatever the order of additions
//! (canonical, so that snapshots compare). A pane is a bit mask of its non-zero measures and a variable-length integer
//! for each: a typical minute of a campaign takes 12 bytes and 8 for its place, where 19 plain integers took 152.
//!
//! What is missing on purpose: time. The caller says what an index means and when a pane is too old to be kept.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Panes of `N` measures (at most 32), sorted by an index of the caller's meaning: epoch minute, epoch hour, or the
/// minute at which a local day starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panes<const N: usize> {
    marks: Vec<Mark>,
    bytes: Vec<u8>,
}

/// Where a pane ends in the bytes; it begins where the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    index: i32,
    end: u32,
}

/// Room taken at a time when the bytes are full: doubling would waste up to half of a campaign's memory.
const GROWTH_BYTES: usize = 48;
/// The same for the marks.
const GROWTH_MARKS: usize = 4;
/// A mask of 32 bits.
const MASK_BYTES_MAX: usize = 5;
/// A mask and 32 measures of at most 10 bytes.
const ENCODED_BYTES_MAX: usize = MASK_BYTES_MAX + 32 * 10;
/// Few measures at once are the rule, and room for all takes longer to clear than they take to be written.
const FEW: usize = 6;
const ENCODED_BYTES_FEW: usize = MASK_BYTES_MAX + FEW * 10;

impl<const N: usize> Panes<N> {
    /// No panes.
    pub fn new() -> Self {
        const { assert!(N <= 32, "the mask has 32 bits") };
        Self { marks: Vec::new(), bytes: Vec::new() }
    }

    /// Adds to the pane of `index`, which comes to be if nothing stood there.
    pub fn add(&mut self, index: i32, measures: &[i64; N]) {
        match self.find(index) {
            Ok(at) => self.merge(at, measures),
            Err(at) => {
                let start = self.start_of(at);
                if self.marks.len() == self.marks.capacity() {
                    self.marks.reserve_exact(GROWTH_MARKS);
                }
                self.marks.insert(at, Mark { index, end: start as u32 });
                self.replace(at, measures);
            }
        }
    }

    /// The sums of one pane, `None` where nothing was added.
    pub fn get(&self, index: i32) -> Option<[i64; N]> {
        self.find(index).ok().map(|at| self.decode(at))
    }

    /// The sums over all panes of a half-open range of indices.
    pub fn sum(&self, range: Range<i32>) -> [i64; N] {
        let mut total = [0_i64; N];
        let (from, to) = (self.lower_bound(range.start), self.lower_bound(range.end));
        for at in from..to.max(from) {
            add_to(self.encoded(at), &mut total);
        }
        total
    }

    /// Sums of two measures over half-open ranges that end alike, one for each start, in one pass over the longest.
    pub fn sums_until<const K: usize>(&self, starts: [i32; K], end: i32, pair: [usize; 2]) -> [[i64; 2]; K] {
        let mut totals = [[0_i64; 2]; K];
        let oldest = starts.iter().copied().min().unwrap_or(end);
        let (from, to) = (self.lower_bound(oldest), self.lower_bound(end));
        // Oldest first, as [`Self::sum`] adds: the order counts where sums saturate.
        for at in from..to.max(from) {
            let index = self.marks[at].index;
            let sums = two_of(self.encoded(at), pair);
            for (start, total) in starts.iter().zip(&mut totals) {
                if index >= *start {
                    *total = [total[0].saturating_add(sums[0]), total[1].saturating_add(sums[1])];
                }
            }
        }
        totals
    }

    /// Two measures of each pane of a half-open range of indices, oldest first.
    pub fn pairs(&self, range: Range<i32>, pair: [usize; 2]) -> impl Iterator<Item = [i64; 2]> + '_ {
        let (from, to) = (self.lower_bound(range.start), self.lower_bound(range.end));
        (from..to.max(from)).map(move |at| two_of(self.encoded(at), pair))
    }

    /// The panes of a half-open range of indices, oldest first.
    pub fn range(&self, range: Range<i32>) -> impl Iterator<Item = (i32, [i64; N])> + '_ {
        let (from, to) = (self.lower_bound(range.start), self.lower_bound(range.end));
        (from..to.max(from)).map(|at| (self.marks[at].index, self.decode(at)))
    }

    /// All panes, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (i32, [i64; N])> + '_ {
        (0..self.marks.len()).map(|at| (self.marks[at].index, self.decode(at)))
    }

    /// Drops the panes before `index`; tells how many there were.
    pub fn forget_before(&mut self, index: i32) -> usize {
        let count = self.lower_bound(index);
        self.forget_oldest(count);
        count
    }

    /// Drops the oldest panes beyond `limit`; tells how many there were.
    pub fn keep_newest(&mut self, limit: usize) -> usize {
        let count = self.marks.len().saturating_sub(limit);
        self.forget_oldest(count);
        count
    }

    /// Index of the oldest pane.
    pub fn first(&self) -> Option<i32> {
        self.marks.first().map(|mark| mark.index)
    }

    /// Index of the newest pane.
    pub fn last(&self) -> Option<i32> {
        self.marks.last().map(|mark| mark.index)
    }

    /// Number of panes.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Heap memory held, room for growth included.
    pub fn held_bytes(&self) -> usize {
        self.marks.capacity() * size_of::<Mark>() + self.bytes.capacity()
    }

    fn find(&self, index: i32) -> Result<usize, usize> {
        // Nearly every addition is to the newest pane.
        match self.marks.last() {
            Some(last) if last.index == index => Ok(self.marks.len() - 1),
            Some(last) if last.index < index => Err(self.marks.len()),
            _ => self.marks.binary_search_by_key(&index, |mark| mark.index),
        }
    }

    fn lower_bound(&self, index: i32) -> usize {
        self.marks.partition_point(|mark| mark.index < index)
    }

    fn start_of(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.marks[at - 1].end as usize }
    }

    fn decode(&self, at: usize) -> [i64; N] {
        let mut sums = [0_i64; N];
        add_to(self.encoded(at), &mut sums);
        sums
    }

    fn encoded(&self, at: usize) -> &[u8] {
        &self.bytes[self.start_of(at)..self.marks[at].end as usize]
    }

    fn replace(&mut self, at: usize, sums: &[i64; N]) {
        let mask = mask_of(sums);
        if mask.count_ones() as usize <= FEW {
            let mut buffer = [0; ENCODED_BYTES_FEW];
            self.put_encoded(at, encode(mask, sums, &mut buffer));
        } else {
            let mut buffer = [0; ENCODED_BYTES_MAX];
            self.put_encoded(at, encode(mask, sums, &mut buffer));
        }
    }

    /// Adds to a pane from bytes to bytes: only what is not zero here or there is looked at.
    fn merge(&mut self, at: usize, measures: &[i64; N]) {
        let more = mask_of(measures);
        let mut bytes = self.encoded(at);
        let known = take(&mut bytes);
        if (known | more).count_ones() as usize <= FEW {
            let mut buffer = [0; ENCODED_BYTES_FEW];
            let merged = merge_into(known, bytes, more, measures, &mut buffer);
            self.put_encoded(at, merged);
        } else {
            let mut buffer = [0; ENCODED_BYTES_MAX];
            let merged = merge_into(known, bytes, more, measures, &mut buffer);
            self.put_encoded(at, merged);
        }
    }

    fn put_encoded(&mut self, at: usize, encoded: &[u8]) {
        let (start, end, length) = (self.start_of(at), self.marks[at].end as usize, encoded.len());
        if length == end - start {
            self.bytes[start..end].copy_from_slice(encoded);
            return;
        }
        if self.bytes.len() + length > self.bytes.capacity() {
            self.bytes.reserve_exact(length + GROWTH_BYTES);
        }
        self.bytes.splice(start..end, encoded.iter().copied());
        for mark in &mut self.marks[at..] {
            mark.end = mark.end - (end - start) as u32 + length as u32;
        }
    }

    fn forget_oldest(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let cut = self.start_of(count);
        self.bytes.drain(..cut);
        self.marks.drain(..count);
        for mark in &mut self.marks {
            mark.end -= cut as u32;
        }
        self.bytes.shrink_to(self.bytes.len() + GROWTH_BYTES);
        self.marks.shrink_to(self.marks.len() + GROWTH_MARKS);
    }
}

/// Which measures are not zero.
fn mask_of<const N: usize>(sums: &[i64; N]) -> u64 {
    sums.iter().enumerate().fold(0_u64, |mask, (bit, sum)| mask | (u64::from(*sum != 0) << bit))
}

fn encode<'b, const N: usize>(mask: u64, sums: &[i64; N], buffer: &'b mut [u8]) -> &'b [u8] {
    let mut at = put(mask, buffer, 0);
    for sum in sums.iter().filter(|sum| **sum != 0) {
        at = put(zigzag(*sum), buffer, at);
    }
    &buffer[..at]
}

/// The sums of an encoded pane, whose mask is read already, and of measures. The mask stands in front and is known last,
/// since sums can come to zero: its room is kept free.
fn merge_into<'b, const N: usize>(
    known: u64,
    mut bytes: &[u8],
    more: u64,
    measures: &[i64; N],
    buffer: &'b mut [u8],
) -> &'b [u8] {
    let (mut left, mut mask, mut at) = (known | more, 0_u64, MASK_BYTES_MAX);
    while left != 0 {
        let bit = left.trailing_zeros();
        let mut sum = measures.get(bit as usize).copied().unwrap_or_default();
        if known >> bit & 1 == 1 {
            sum = sum.saturating_add(unzigzag(take(&mut bytes)));
        }
        if sum != 0 {
            mask |= 1 << bit;
            at = put(zigzag(sum), buffer, at);
        }
        left &= left - 1;
    }
    let mut front = [0; MASK_BYTES_MAX];
    let length = put(mask, &mut front, 0);
    let start = MASK_BYTES_MAX - length;
    buffer[start..MASK_BYTES_MAX].copy_from_slice(&front[..length]);
    &buffer[start..at]
}

fn zigzag(sum: i64) -> u64 {
    ((sum << 1) ^ (sum >> 63)) as u64
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Adds a pane's measures; only those that are not zero are looked at, which are few.
fn add_to<const N: usize>(mut bytes: &[u8], sums: &mut [i64; N]) {
    let mut mask = take(&mut bytes);
    while mask != 0 {
        let Some(sum) = sums.get_mut(mask.trailing_zeros() as usize) else { return };
        *sum = sum.saturating_add(unzigzag(take(&mut bytes)));
        mask &= mask - 1;
    }
}

/// Two measures of a pane; what stands behind both is not read.
fn two_of(mut bytes: &[u8], pair: [usize; 2]) -> [i64; 2] {
    let mut sums = [0_i64; 2];
    let mut mask = take(&mut bytes);
    let last = pair[0].max(pair[1]);
    while mask != 0 {
        let measure = mask.trailing_zeros() as usize;
        if measure > last {
            break;
        }
        let value = unzigzag(take(&mut bytes));
        for (wanted, sum) in pair.iter().zip(&mut sums) {
            if *wanted == measure {
                *sum = value;
            }
        }
        mask &= mask - 1;
    }
    sums
}

fn put(mut value: u64, buffer: &mut [u8], mut at: usize) -> usize {
    while value >= 0x80 {
        buffer[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    buffer[at] = value as u8;
    at + 1
}

fn take(bytes: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    let mut shift = 0;
    while let Some((first, rest)) = bytes.split_first() {
        *bytes = rest;
        value |= u64::from(first & 0x7f) << (shift & 63);
        shift += 7;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Add(i32, [i64; 5]),
        ForgetBefore(i32),
        KeepNewest(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let measure = prop_oneof![3 => Just(0_i64), 3 => -300..300_i64, 1 => any::<i64>()];
        prop_oneof![
            8 => (-20..20, prop::array::uniform5(measure)).prop_map(|(at, sums)| Step::Add(at, sums)),
            1 => (-20..20).prop_map(Step::ForgetBefore),
            1 => (0..20_usize).prop_map(Step::KeepNewest),
        ]
    }

    proptest! {
        #[test]
        fn panes_equal_a_plain_map(steps in prop::collection::vec(step(), 0..120), from in -25..25, width in 0..30) {
            let (mut panes, mut map) = (Panes::<5>::new(), BTreeMap::<i32, [i64; 5]>::new());
            for step in steps {
                match step {
                    Step::Add(index, measures) => {
                        panes.add(index, &measures);
                        let sums = map.entry(index).or_default();
                        for (sum, measure) in sums.iter_mut().zip(measures) {
                            *sum = sum.saturating_add(measure);
                        }
                    }
                    Step::ForgetBefore(index) => {
                        let kept = map.split_off(&index);
                        prop_assert_eq!(panes.forget_before(index), map.len());
                        map = kept;
                    }
                    Step::KeepNewest(limit) => {
                        let excess = map.len().saturating_sub(limit);
                        prop_assert_eq!(panes.keep_newest(limit), excess);
                        map = map.into_iter().skip(excess).collect();
                    }
                }
                prop_assert_eq!(panes.iter().collect::<Vec<_>>(), map.clone().into_iter().collect::<Vec<_>>());
            }
            let expected: Vec<_> = map.range(from..from + width).map(|(index, sums)| (*index, *sums)).collect();
            prop_assert_eq!(panes.range(from..from + width).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn sums_of_two_measures_are_those_of_all(
            adds in prop::collection::vec((0..40, prop::array::uniform5(-300..300_i64)), 0..60),
            starts in prop::array::uniform3(-5..45_i32),
            end in -5..45_i32,
        ) {
            let mut panes = Panes::<5>::new();
            adds.iter().for_each(|(at, measures)| panes.add(*at, measures));
            let expected = starts.map(|start| {
                let sums = panes.sum(start..end);
                [sums[1], sums[3]]
            });
            prop_assert_eq!(panes.sums_until(starts, end, [1, 3]), expected);
            let pairs = panes.range(starts[0]..end).map(|(_, sums)| [sums[1], sums[3]]);
            prop_assert!(panes.pairs(starts[0]..end, [1, 3]).eq(pairs));
        }

        #[test]
        fn the_order_of_additions_leaves_no_trace(adds in prop::collection::vec((0..9, -9..9_i64, -9..9_i64), 0..40)) {
            let (mut ahead, mut back) = (Panes::<2>::new(), Panes::<2>::new());
            adds.iter().for_each(|(at, a, b)| ahead.add(*at, &[*a, *b]));
            adds.iter().rev().for_each(|(at, a, b)| back.add(*at, &[*a, *b]));
            prop_assert_eq!(ahead, back);
        }
    }

    #[test]
    fn the_extremes_of_a_measure_survive() {
        let mut panes = Panes::<3>::new();
        panes.add(7, &[i64::MAX, i64::MIN, -1]);
        assert_eq!(panes.get(7), Some([i64::MAX, i64::MIN, -1]));
        panes.add(7, &[1, -1, 1]);
        assert_eq!(panes.get(7), Some([i64::MAX, i64::MIN, 0]), "saturated, not wrapped");
        assert_eq!(panes.get(8), None);
    }

    #[test]
    fn a_busy_campaign_s_panes_stay_small() {
        let mut panes = Panes::<19>::new();
        for minute in 0..158 {
            let mut sums = [0; 19];
            (sums[0], sums[1], sums[2], sums[3]) = (900 + i64::from(minute), 31, 31, 12_345_678);
            panes.add(minute, &sums);
        }
        assert!(panes.held_bytes() < 158 * 28, "{}", panes.held_bytes());
    }
}
