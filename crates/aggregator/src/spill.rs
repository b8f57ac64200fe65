//! Touches that a user's slot has no room for any more, as long as a conversion may need them.
//!
//! A slot keeps the newest N touches of its user that have arrived, but a conversion at T needs the newest N at or before
//! T, and its credit waits: touches later than T push out those it needs, more of them the longer the cuts. What is
//! pushed out, or refused because it is older than all N, goes here with `until`, the time of the newest touch then in
//! the slot.
//!
//! What always holds: slot and spill together have the newest N at or before T of all that has arrived, for every T at
//! or after [`Verdicts::needed_from`] (as long as N stays the same, and but for what caps have thrown out). For let
//! `until` of a touch be at or before T. When it came here, its slot had N newer touches, none of them later than
//! `until`: those are at or before T too, so the touch is not among the newest N. So a touch that T needs has
//! `until > T >= needed_from` and is neither turned away nor dropped. What is kept longer than needed changes nothing:
//! it is older than the newest N.
//!
//! No conversion that is on time is before `needed_from`: those that wait are not, because it is at most the least of
//! their times, and those to come are not, because it is at most the watermark, which an event on time is not behind.
//! By the time a conversion is credited for the touch watermark's sake, every touch on time that is at or before it has
//! arrived. So cuts leave no trace in its credit.
//!
//! Adding costs one write to the end of a list. The lists are cut into pieces that do not change, which go whole when all
//! in them has had its time; what few are left of a piece (their users have touches from the future) move to `rest`, so
//! that they do not hold the others back. Finding is one pass over all, made only where conversions are credited.
//!
//! What is missing on purpose: exactness beyond the limit (what it throws out is counted), for events behind the
//! watermark, and for conversions that were credited before the touch watermark passed them (they are counted too).

use crate::bytes::{Corrupt, Reader, Writer};
use crate::table::Table;
use crate::touches::Verdicts;
use model::time::Millis;
use std::collections::VecDeque;
use std::sync::Arc;

/// A touch as it can be spilled; by time first, in its order.
pub(crate) trait Spillable: Copy + Ord {
    /// Of its encoded form.
    const BYTES: usize;
    fn time(&self) -> Millis;
    fn code(&self) -> u32;
    fn write(&self, out: &mut Writer);
    fn read(input: &mut Reader<'_>) -> Result<Self, Corrupt>;
}

/// Spilled touches of one kind.
#[derive(Clone)]
pub(crate) struct Spill<T> {
    /// At most this many; above it the oldest go first.
    touches_max: usize,
    /// Closed, oldest first.
    pieces: VecDeque<Arc<Piece<T>>>,
    /// What was left of older ones.
    rest: Arc<Piece<T>>,
    /// Of the open epoch; empty between epochs.
    open: Vec<Spilled<T>>,
    /// What the limit threw out although a conversion could have needed it, since the last [`Self::take_evicted`].
    evicted: i64,
}

/// Some touches, spilled one after the other.
#[derive(Clone)]
pub(crate) struct Piece<T> {
    /// The epoch they came in, and which piece of it this is; both 0 of the rest.
    epoch: u64,
    number: u64,
    /// Epoch that last wrote it.
    pub version: u64,
    until_min: Millis,
    until_max: Millis,
    touches: Vec<Spilled<T>>,
}

#[derive(Clone, Copy)]
struct Spilled<T> {
    user: u64,
    until: Millis,
    touch: T,
}

impl<T: Spillable> Spill<T> {
    pub fn new(touches_max: usize) -> Self {
        Self {
            touches_max,
            pieces: VecDeque::new(),
            rest: Arc::new(Piece::of(0, 0, Vec::new())),
            open: Vec::new(),
            evicted: 0,
        }
    }

    /// Takes a touch that a slot has no room for; `until` is the time of the slot's newest.
    pub fn add(&mut self, user: u64, until: Millis, touch: T, epoch: &Verdicts<'_>) {
        if until <= epoch.needed_from {
            return;
        }
        if self.open.len() >= self.piece_touches() {
            self.close_piece(epoch.version);
            self.limit(epoch.needed_from);
        }
        self.open.push(Spilled { user, until, touch });
    }

    /// The epoch ends; `needed_from` is that of the next.
    pub fn close(&mut self, needed_from: Millis, version: u64) {
        self.close_piece(version);
        self.forget(needed_from, version);
        self.limit(needed_from);
    }

    /// Those of some users.
    pub fn of_users(&self, users: &Table<u64>) -> Recalled<T> {
        let mut found = Vec::new();
        let closed = std::iter::once(&self.rest).chain(&self.pieces).map(|piece| &piece.touches);
        for touches in closed.chain([&self.open]) {
            let mine = touches.iter().filter(|spilled| users.get(spilled.user).is_some());
            found.extend(mine.map(|spilled| (spilled.user, spilled.touch)));
        }
        found.sort_unstable();
        Recalled(found)
    }

    pub fn len(&self) -> usize {
        self.closed_count() + self.open.len()
    }

    /// Codes of names that are pointed to.
    pub fn codes(&self) -> impl Iterator<Item = u32> {
        std::iter::once(&self.rest).chain(&self.pieces).flat_map(|piece| &piece.touches).map(|one| one.touch.code())
    }

    /// All that is in closed pieces.
    pub fn touches(&self) -> impl Iterator<Item = T> {
        std::iter::once(&self.rest).chain(&self.pieces).flat_map(|piece| &piece.touches).map(|one| one.touch)
    }

    /// And forgets the count.
    pub fn take_evicted(&mut self) -> i64 {
        std::mem::take(&mut self.evicted)
    }

    /// Name and content of each chunk.
    pub fn chunks(&self) -> impl Iterator<Item = (String, &Arc<Piece<T>>)> {
        let rest = (!self.rest.touches.is_empty()).then(|| (REST.to_owned(), &self.rest));
        let pieces = self.pieces.iter().map(|piece| (format!("{}/{}", piece.epoch, piece.number), piece));
        rest.into_iter().chain(pieces)
    }

    /// Puts a chunk back; chunks may come in any order.
    pub fn restore(&mut self, name: &str, version: u64, bytes: &[u8]) -> Result<(), Corrupt> {
        let touches = decode(bytes)?;
        if name == REST {
            self.rest = Arc::new(Piece { version, ..Piece::of(0, 0, touches) });
            return Ok(());
        }
        let number = |word: &str| word.parse::<u64>().map_err(|_| Corrupt("its name is unknown"));
        let (epoch, piece) = name.split_once('/').ok_or(Corrupt("its name is unknown"))?;
        let piece = Piece { version, ..Piece::of(number(epoch)?, number(piece)?, touches) };
        let at = self.pieces.partition_point(|other| (other.epoch, other.number) < (piece.epoch, piece.number));
        self.pieces.insert(at, Arc::new(piece));
        Ok(())
    }

    fn piece_touches(&self) -> usize {
        (self.touches_max / PIECES).max(1)
    }

    fn closed_count(&self) -> usize {
        self.rest.touches.len() + self.pieces.iter().map(|piece| piece.touches.len()).sum::<usize>()
    }

    fn close_piece(&mut self, epoch: u64) {
        if self.open.is_empty() {
            return;
        }
        // The next piece mostly holds as much as this one.
        let next = Vec::with_capacity(self.open.len());
        let touches = std::mem::replace(&mut self.open, next);
        let number =
            self.pieces.back().filter(|last| last.epoch == epoch).map_or(0, |last| last.number.saturating_add(1));
        self.pieces.push_back(Arc::new(Piece::of(epoch, number, touches)));
    }

    /// Drops pieces that have had their time; stops at the first of which much is needed.
    fn forget(&mut self, needed_from: Millis, version: u64) {
        while let Some(piece) = self.pieces.front() {
            let left = piece.needed(needed_from);
            if left > piece.touches.len() / REST_DIVISOR {
                break;
            }
            let Some(piece) = self.pieces.pop_front() else { break };
            if left > 0 {
                self.rest = Arc::new(self.rest.and(&piece, needed_from, version));
            }
        }
        let is_due = version.is_multiple_of(REST_EPOCHS) && self.rest.until_min <= needed_from;
        if !self.rest.touches.is_empty() && (is_due || self.rest.until_max <= needed_from) {
            self.rest = Arc::new(self.rest.and(&Piece::of(0, 0, Vec::new()), needed_from, version));
        }
    }

    /// Makes room for one more piece.
    fn limit(&mut self, needed_from: Millis) {
        let mut count = self.closed_count();
        while count + self.piece_touches() > self.touches_max {
            let oldest = if self.rest.touches.is_empty() {
                self.pieces.pop_front()
            } else {
                Some(std::mem::replace(&mut self.rest, Arc::new(Piece::of(0, 0, Vec::new()))))
            };
            let Some(oldest) = oldest else { return };
            count -= oldest.touches.len();
            self.evicted += oldest.needed(needed_from) as i64;
        }
    }
}

impl<T: Spillable> Piece<T> {
    fn of(epoch: u64, number: u64, touches: Vec<Spilled<T>>) -> Self {
        let untils = || touches.iter().map(|spilled| spilled.until);
        let (until_min, until_max) = (untils().min().unwrap_or(Millis::MAX), untils().max().unwrap_or(Millis::MIN));
        Self { epoch, number, version: epoch, until_min, until_max, touches }
    }

    /// How many a conversion may need.
    fn needed(&self, needed_from: Millis) -> usize {
        if self.until_max <= needed_from {
            0
        } else if self.until_min > needed_from {
            self.touches.len()
        } else {
            self.touches.iter().filter(|spilled| spilled.until > needed_from).count()
        }
    }

    /// A rest: what is needed of this one and of a piece after it.
    fn and(&self, other: &Self, needed_from: Millis, version: u64) -> Self {
        let all = self.touches.iter().chain(&other.touches);
        let needed = all.filter(|spilled| spilled.until > needed_from).copied().collect();
        Self { version, ..Self::of(0, 0, needed) }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(8 + self.touches.len() * (16 + T::BYTES)));
        out.count(self.touches.len());
        for Spilled { user, until, touch } in &self.touches {
            out.u64(*user);
            out.i64(*until);
            touch.write(&mut out);
        }
        out.0
    }
}

fn decode<T: Spillable>(bytes: &[u8]) -> Result<Vec<Spilled<T>>, Corrupt> {
    let mut input = Reader::new(bytes);
    let count = input.count(16 + T::BYTES)?;
    let mut touches = Vec::with_capacity(count);
    for _ in 0..count {
        let (user, until, touch) = (input.u64()?, input.i64()?, T::read(&mut input)?);
        if user == 0 || until < touch.time() {
            return Err(Corrupt("a spilled touch is of nobody or from after its time"));
        }
        touches.push(Spilled { user, until, touch });
    }
    input.end()?;
    if touches.is_empty() {
        return Err(Corrupt("a piece of spilled touches is empty"));
    }
    Ok(touches)
}

/// What was found of some users, by user and touch.
pub(crate) struct Recalled<T>(Vec<(u64, T)>);

impl<T> Default for Recalled<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Spillable> Recalled<T> {
    /// The newest `count_max` touches of a user at or before `at`, in order.
    pub fn newest(&self, user: u64, at: Millis, count_max: usize) -> impl Iterator<Item = T> {
        let start = self.0.partition_point(|(other, _)| *other < user);
        let end = self.0.partition_point(|(other, touch)| (*other, touch.time()) <= (user, at));
        let start = start.max(end.saturating_sub(count_max)).min(end);
        self.0[start..end].iter().map(|(_, touch)| *touch)
    }
}

/// In how many pieces the limit is counted: what goes at the limit is a thirty-second of all.
const PIECES: usize = 32;
/// A piece goes when at most an eighth of it is needed; that is moved, once.
const REST_DIVISOR: usize = 8;
/// The rest is looked through every so many epochs: it is small, but need not be.
const REST_EPOCHS: u64 = 16;
/// Name of the rest's chunk.
const REST: &str = "rest";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::Semantics;
    use crate::slots::ImpressionTouch;
    use proptest::prelude::*;

    /// Touches of user 1, whose time tells them apart, each needed until its second number.
    fn added(touches_max: usize, epochs: &[&[(Millis, Millis)]], needed_from: Millis) -> Spill<ImpressionTouch> {
        let semantics = Semantics::default();
        let mut spill = Spill::new(touches_max);
        for (touches, version) in epochs.iter().zip(1..) {
            let epoch = Verdicts { semantics: &semantics, touch_watermark: 0, needed_from: Millis::MIN, version };
            for (time, until) in *touches {
                spill.add(1, *until, ImpressionTouch { time: *time, id: 0, code: 0 }, &epoch);
            }
            spill.close(if version as usize == epochs.len() { needed_from } else { Millis::MIN }, version);
        }
        spill
    }

    fn times(spill: &Spill<ImpressionTouch>) -> Vec<Millis> {
        let mut users = Table::default();
        users.entry(1);
        spill.of_users(&users).newest(1, Millis::MAX, usize::MAX).map(|touch| touch.time).collect()
    }

    fn names(spill: &Spill<ImpressionTouch>) -> Vec<String> {
        spill.chunks().map(|(name, _)| name).collect()
    }

    fn restored(spill: &Spill<ImpressionTouch>) -> Spill<ImpressionTouch> {
        let mut other = Spill::new(spill.touches_max);
        for (name, piece) in spill.chunks().collect::<Vec<_>>().into_iter().rev() {
            assert_eq!(other.restore(&name, piece.version, &piece.encode()), Ok(()));
        }
        other
    }

    #[test]
    fn a_piece_goes_when_all_of_it_has_had_its_time() {
        let epochs: [&[_]; 2] = [&[(1, 10), (2, 20)], &[(3, 30)]];
        assert_eq!(names(&added(64, &epochs, 19)), ["1/0", "2/0"]);
        assert_eq!(times(&added(64, &epochs, 19)), [1, 2, 3]);
        assert_eq!(times(&added(64, &epochs, 20)), [3]);
        assert_eq!(added(64, &epochs, 30).len(), 0);
    }

    #[test]
    fn one_touch_from_the_future_does_not_hold_the_others() {
        let mut first: Vec<_> = (1..=8).map(|time| (time, 10)).collect();
        first[3].1 = 9_000;
        let spill = added(1_000, &[&first, &[(9, 11)], &[(10, 50)]], 11);
        assert_eq!((names(&spill), times(&spill)), (vec!["rest".to_owned(), "3/0".to_owned()], vec![4, 10]));
        let mut later = spill.clone();
        later.close(9_000, 5);
        assert_eq!(later.len(), 0);
    }

    #[test]
    fn at_the_limit_the_oldest_go_and_are_counted_where_they_were_needed() {
        let touches: Vec<_> = (0..70).map(|time| (time, 100)).collect();
        let mut spill = added(64, &[&touches], 100);
        assert_eq!((spill.len(), spill.take_evicted()), (0, 6));
        let mut spill = added(64, &[&touches[..40], &touches[40..]], 0);
        assert_eq!(times(&spill), (8..70).collect::<Vec<_>>());
        assert_eq!((spill.take_evicted(), spill.take_evicted()), (8, 0));
        assert_eq!(names(&spill).last().map(String::as_str), Some("2/14"));
    }

    proptest! {
        #[test]
        fn what_is_needed_is_found_and_a_snapshot_behaves_as_what_it_was_taken_of(
            epochs in prop::collection::vec((prop::collection::vec((0..30_i64, 0..200_i64), 0..20), 0..30_i64), 1..40),
            cut: prop::sample::Index, flip: u8,
        ) {
            let semantics = Semantics::default();
            let (mut spill, mut needed_from, mut time) = (Spill::new(2_000), 0, 0);
            let mut expected = Vec::<(Millis, Millis)>::new();
            for ((touches, step), version) in epochs.iter().zip(1..) {
                spill = restored(&spill);
                let epoch = Verdicts { semantics: &semantics, touch_watermark: 0, needed_from, version };
                for (sooner, later) in touches {
                    time += 1;
                    // Most are needed for a while, few for long.
                    let until = time.max(needed_from + if *later < 20 { *later * 20 } else { *sooner });
                    spill.add(1, until, ImpressionTouch { time, id: 0, code: 0 }, &epoch);
                    expected.push((time, until));
                }
                needed_from += step;
                spill.close(needed_from, version);
                expected.retain(|(_, until)| *until > needed_from);
                let found = times(&spill);
                prop_assert!(expected.iter().all(|(time, _)| found.binary_search(time).is_ok()));
                prop_assert_eq!((spill.len(), spill.take_evicted()), (found.len(), 0));
            }
            for (name, piece) in spill.chunks() {
                let bytes = piece.encode();
                prop_assert!(Spill::<ImpressionTouch>::new(9).restore(&name, 1, &bytes[..cut.index(bytes.len())]).is_err());
                let mut damaged = bytes.clone();
                damaged[cut.index(bytes.len())] ^= flip;
                let _ = Spill::<ImpressionTouch>::new(9).restore(&name, 1, &damaged);
            }
            let last = (needed_from + 1_000, 1_000);
            spill.close(last.0, last.1);
            prop_assert_eq!(spill.len(), 0);
        }
    }
}
