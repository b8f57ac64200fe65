//! One owned sibling set as the worker sees it: how far each sibling was read, and which may go on.
//!
//! Siblings advance together: none is folded more than the allowed skew of record time ahead of the slowest that still
//! has something to read. What comes too early is held here; when much is held, the partition is paused.

use aggregator::SiblingSet;
use avro_codec::Scratch;
use kafka_io::TopicPartition;
use model::event::EventKind;
use model::time::{HOUR_MS, Millis};
use std::collections::VecDeque;

/// A record that came before its time.
pub struct Held {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub payload: Option<Vec<u8>>,
}

impl Held {
    /// Copies a record out of the client's buffers.
    pub fn of(offset: i64, timestamp_ms: i64, key: Option<&[u8]>, payload: Option<&[u8]>) -> Self {
        Self { offset, timestamp_ms, key: key.map(<[u8]>::to_vec), payload: payload.map(<[u8]>::to_vec) }
    }
}

impl Held {
    fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.payload.as_ref().map_or(0, Vec::len)
    }
}

/// Above this many held records the partition is paused: about 10 MB at 200 B.
const HELD_MAX: usize = 50_000;
/// And above this many bytes, where records are large.
const HELD_BYTES_MAX: usize = 16 << 20;
/// Below this it is resumed, so that there is always something to fold.
const HELD_LOW: usize = 5_000;

/// One of the three partitions.
pub struct Sibling {
    /// Where it is.
    pub place: TopicPartition,
    /// Next position after what was folded.
    pub next: i64,
    /// Record time of the last folded record.
    pub time_ms: Millis,
    /// When it last brought something, by the worker's clock.
    pub quiet_since_ms: Millis,
    /// Nothing more to read, as far as the broker has told.
    pub at_end: bool,
    /// Whether fetching is paused.
    pub paused: bool,
    /// What came too early.
    pub held: VecDeque<Held>,
    held_bytes: usize,
}

impl Sibling {
    /// A sibling that is to be read from `next` on.
    pub fn new(place: TopicPartition, next: i64, now_ms: Millis) -> Self {
        Self {
            place,
            next,
            time_ms: Millis::MIN,
            quiet_since_ms: now_ms,
            at_end: false,
            paused: false,
            held: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// Keeps a record for later.
    pub fn hold(&mut self, record: Held) {
        self.held_bytes += record.bytes();
        self.held.push_back(record);
    }

    /// Puts back what [`Self::take_held`] gave.
    pub fn hold_first(&mut self, record: Held) {
        self.held_bytes += record.bytes();
        self.held.push_front(record);
    }

    /// Takes the first held record.
    fn take_held(&mut self) -> Option<Held> {
        let record = self.held.pop_front()?;
        self.held_bytes -= record.bytes();
        Some(record)
    }

    /// A record's time for keeping siblings together: a wild stamp moves it by an hour back or to the clock at most.
    pub fn record_time(&self, timestamp_ms: i64, clock_ms: Millis) -> Millis {
        let earliest = self.time_ms.max(Millis::MIN + HOUR_MS) - HOUR_MS;
        timestamp_ms.clamp(earliest.min(clock_ms), clock_ms)
    }

    /// The record time that others must wait for; `None` where there is nothing to wait for.
    fn frontier(&self, clock_ms: Millis) -> Option<Millis> {
        match self.held.front() {
            Some(held) => Some(self.record_time(held.timestamp_ms, clock_ms)),
            None if self.at_end => None,
            None => Some(self.time_ms),
        }
    }

    /// Whether fetching should change: `Some(true)` pause, `Some(false)` resume.
    pub fn wants_pause(&self) -> Option<bool> {
        match (self.paused, self.held.len()) {
            (false, held) if held >= HELD_MAX || self.held_bytes >= HELD_BYTES_MAX => Some(true),
            (true, held) if held <= HELD_LOW && self.held_bytes < HELD_BYTES_MAX / 2 => Some(false),
            _ => None,
        }
    }
}

/// A set with its reading state.
pub struct OwnedSet {
    /// The fold.
    pub set: SiblingSet,
    /// In the order of [`EventKind::ALL`].
    pub siblings: [Sibling; 3],
    /// Greatest record time that may be folded, per sibling; renewed once a turn.
    pub limits: [Millis; 3],
    /// Room for decoding.
    pub scratch: Scratch,
}

impl OwnedSet {
    /// Wraps a set whose siblings continue at the set's positions.
    pub fn new(set: SiblingSet, places: [TopicPartition; 3], now_ms: Millis) -> Self {
        let positions = set.positions();
        let mut at = 0;
        let siblings = places.map(|place| {
            at += 1;
            Sibling::new(place, positions[at - 1], now_ms)
        });
        Self { set, siblings, limits: [Millis::MIN; 3], scratch: Scratch::default() }
    }

    /// Whether a record of this time may be folded by the limits as they are.
    pub fn may_go(&self, kind: EventKind, timestamp_ms: i64, clock_ms: Millis) -> bool {
        let sibling = &self.siblings[kind.index()];
        sibling.held.is_empty() && sibling.record_time(timestamp_ms, clock_ms) <= self.limits[kind.index()]
    }

    /// Whether any sibling holds something.
    pub fn holds_something(&self) -> bool {
        self.siblings.iter().any(|sibling| !sibling.held.is_empty())
    }

    /// Takes a held record that may go on by the limits as they are.
    pub fn next_held(&mut self, clock_ms: Millis) -> Option<(EventKind, Held)> {
        EventKind::ALL.into_iter().find_map(|kind| {
            let sibling = &mut self.siblings[kind.index()];
            let first = sibling.held.front()?;
            let may_go = sibling.record_time(first.timestamp_ms, clock_ms) <= self.limits[kind.index()];
            if may_go { Some((kind, sibling.take_held()?)) } else { None }
        })
    }

    /// Renews the limits from what the siblings have shown.
    pub fn renew_limits(&mut self, clock_ms: Millis, skew_ms: Millis) {
        let frontiers = EventKind::ALL.map(|kind| self.siblings[kind.index()].frontier(clock_ms));
        for kind in EventKind::ALL {
            let others = EventKind::ALL.iter().filter(|other| **other != kind);
            let slowest = others.filter_map(|other| frontiers[other.index()]).min();
            self.limits[kind.index()] = slowest.map_or(Millis::MAX, |time| time.saturating_add(skew_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aggregator::{Identity, Semantics};
    use model::keyed::KeyedHasher;

    fn owned() -> OwnedSet {
        let set = SiblingSet::new(Identity::default(), KeyedHasher::new(b"k"), Semantics::default());
        OwnedSet::new(set, ["i", "c", "g"].map(|topic| TopicPartition::new(topic, 0)), 0)
    }

    fn hold(owned: &mut OwnedSet, kind: EventKind, timestamp_ms: i64) {
        owned.siblings[kind.index()].held.push_back(Held { offset: 0, timestamp_ms, key: None, payload: None });
    }

    #[test]
    fn a_sibling_waits_for_the_slowest_that_has_something_to_read() {
        let mut owned = owned();
        for (sibling, time) in owned.siblings.iter_mut().zip([100_000, 60_000, 0]) {
            sibling.time_ms = time;
        }
        owned.siblings[2].at_end = true;
        owned.renew_limits(200_000, 5_000);
        assert_eq!(owned.limits, [65_000, 105_000, 65_000]);
    }

    #[test]
    fn two_gaps_at_once_never_block_each_other() {
        let mut owned = owned();
        owned.siblings[2].at_end = true;
        hold(&mut owned, EventKind::Impression, 500_000);
        hold(&mut owned, EventKind::Click, 900_000);
        owned.renew_limits(1_000_000, 5_000);
        assert!(owned.limits[0] >= 500_000, "the earliest of all held records may always go on");
        assert!(owned.limits[1] < 900_000);
    }

    #[test]
    fn a_wild_record_time_moves_a_sibling_by_an_hour_back_at_most_and_never_past_the_clock() {
        let mut sibling = Sibling::new(TopicPartition::new("i", 0), 0, 0);
        sibling.time_ms = 10 * HOUR_MS;
        assert_eq!(sibling.record_time(0, 11 * HOUR_MS), 9 * HOUR_MS);
        assert_eq!(sibling.record_time(i64::MAX, 11 * HOUR_MS), 11 * HOUR_MS);
        assert_eq!(Sibling::new(TopicPartition::new("i", 0), 0, 0).record_time(-1, 5), -1);
    }
}
