//! Which event ids were accepted, in buckets of event time.
//!
//! What always holds: an id is remembered only when its event was accepted; a bucket is dropped whole, when the
//! watermark has left it behind by its kind's horizon, or when the cap is reached (then the oldest bucket of
//! impressions goes first, and what it held is counted). Impressions, the hot path, are looked up in the bucket of
//! their own event time only: a copy carries the same event time. Clicks and conversions are looked up in all buckets.
//! What is missing on purpose: memory beyond the horizon. An event older than it is accepted unseen, and counted.

use crate::bytes::Corrupt;
use crate::table::{Shard, Sharded, encode};
use model::event::EventKind;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use std::sync::Arc;

/// What the memory says of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Not before; it is remembered now.
    New,
    /// Before, within the horizon.
    Duplicate,
    /// Nobody can say: its bucket is gone.
    Unknown,
}

/// The memory of one sibling set.
#[derive(Clone)]
pub(crate) struct Dedupe {
    kinds: [Buckets; 3],
    entries: usize,
    /// What the cap has thrown out since the last [`Self::take_evicted`].
    evicted: [i64; 3],
}

/// Buckets of one kind, by start.
#[derive(Clone)]
struct Buckets {
    width_ms: Millis,
    buckets: Vec<Bucket>,
    /// Where the last probe was; a guess, no state.
    hint: usize,
}

#[derive(Clone)]
struct Bucket {
    number: i64,
    ids: Sharded<u64>,
}

impl Dedupe {
    pub fn new() -> Self {
        let buckets = |width_ms| Buckets { width_ms, buckets: Vec::new(), hint: 0 };
        // A bucket is a twelfth to a thirtieth of the default horizon: little is kept for longer than needed.
        Self { kinds: [buckets(MINUTE_MS), buckets(HOUR_MS), buckets(DAY_MS)], entries: 0, evicted: [0; 3] }
    }

    /// Looks up and remembers. `watermark` is that of the epoch before; `horizons_ms` by kind.
    pub fn check(&mut self, kind: EventKind, id: u64, time: Millis, limits: &Limits, version: u64) -> Seen {
        let buckets = &mut self.kinds[kind.index()];
        let number = time.div_euclid(buckets.width_ms);
        let at = buckets.find(number);
        let horizon_ms = limits.horizons_ms[kind.index()];
        if let (EventKind::Impression, Ok(at)) = (kind, at)
            && self.entries < limits.entries_max
            && !buckets.is_dead(number, limits.watermark, horizon_ms)
        {
            // The usual case, in one probe.
            let (_, created) = buckets.buckets[at].ids.write(id, version).entry(id);
            self.entries += usize::from(created);
            return if created { Seen::New } else { Seen::Duplicate };
        }
        let seen = match kind {
            EventKind::Impression => at.is_ok_and(|at| buckets.buckets[at].ids.get(id).is_some()),
            _ => buckets.buckets.iter().any(|bucket| bucket.ids.get(id).is_some()),
        };
        if seen {
            return Seen::Duplicate;
        }
        if buckets.is_dead(number, limits.watermark, horizon_ms) {
            return Seen::Unknown;
        }
        if self.entries >= limits.entries_max {
            self.evict();
        }
        let buckets = &mut self.kinds[kind.index()];
        let at = buckets.find(number).unwrap_or_else(|at| buckets.open(at, number));
        buckets.buckets[at].ids.write(id, version).entry(id);
        self.entries += 1;
        Seen::New
    }

    /// See [`crate::table::Table::touch`].
    pub fn touch(&self, kind: EventKind, id: u64, time: Millis) -> u64 {
        let buckets = &self.kinds[kind.index()];
        buckets.find_hinted(time.div_euclid(buckets.width_ms)).map_or(0, |at| buckets.buckets[at].ids.touch(id))
    }

    /// Drops what the watermark has left behind.
    pub fn expire(&mut self, watermark: Millis, horizons_ms: &[Millis; 3]) {
        for (buckets, horizon_ms) in self.kinds.iter_mut().zip(horizons_ms) {
            let dead = buckets.buckets.iter().take_while(|b| buckets.is_dead(b.number, watermark, *horizon_ms)).count();
            for bucket in buckets.buckets.drain(..dead) {
                self.entries -= bucket.ids.len();
            }
            buckets.hint = 0;
        }
    }

    /// By kind, and forgets the counts.
    pub fn take_evicted(&mut self) -> [i64; 3] {
        std::mem::take(&mut self.evicted)
    }

    pub fn len(&self) -> usize {
        self.entries
    }

    /// Name, version and content of each chunk.
    pub fn chunks(&self) -> impl Iterator<Item = (String, &Arc<Shard<u64>>)> {
        EventKind::ALL.into_iter().flat_map(move |kind| {
            let buckets = &self.kinds[kind.index()].buckets;
            buckets.iter().flat_map(move |bucket| {
                let name = move |shard| format!("dedupe/{}/{}/{shard}", kind.index(), bucket.number);
                bucket.ids.filled().map(move |(shard, content)| (name(shard), content))
            })
        })
    }

    /// Puts a chunk back; `path` is its name without `dedupe/`.
    pub fn restore(&mut self, path: &str, version: u64, bytes: &[u8]) -> Result<(), Corrupt> {
        let mut words = path.split('/');
        let mut number =
            || words.next().and_then(|word| word.parse::<i64>().ok()).ok_or(Corrupt("its name is unknown"));
        let (kind, bucket, shard) = (number()?, number()?, number()?);
        let kind = usize::try_from(kind).ok().filter(|kind| *kind < 3).ok_or(Corrupt("its kind is unknown"))?;
        let shard = usize::try_from(shard).map_err(|_| Corrupt("there is no such shard"))?;
        let buckets = &mut self.kinds[kind];
        let at = buckets.find(bucket).unwrap_or_else(|at| buckets.open(at, bucket));
        let ids = &mut buckets.buckets[at].ids;
        ids.restore(shard, version, bytes)?;
        self.entries += ids.shard(shard).table.len();
        Ok(())
    }

    /// Makes room by one bucket.
    fn evict(&mut self) {
        for (buckets, evicted) in self.kinds.iter_mut().zip(&mut self.evicted) {
            if !buckets.buckets.is_empty() {
                let bucket = buckets.buckets.remove(0);
                buckets.hint = 0;
                let count = bucket.ids.len();
                self.entries -= count;
                *evicted += count as i64;
                return;
            }
        }
    }
}

/// What bounds the memory.
pub(crate) struct Limits {
    /// Watermark of the epoch before.
    pub watermark: Millis,
    pub horizons_ms: [Millis; 3],
    pub entries_max: usize,
}

impl Buckets {
    fn find(&mut self, number: i64) -> Result<usize, usize> {
        if let Some(at) = self.find_hinted(number) {
            return Ok(at);
        }
        let found = self.buckets.binary_search_by_key(&number, |bucket| bucket.number);
        if let Ok(at) = found {
            self.hint = at;
        }
        found
    }

    fn find_hinted(&self, number: i64) -> Option<usize> {
        self.buckets.get(self.hint).filter(|bucket| bucket.number == number).map(|_| self.hint)
    }

    fn open(&mut self, at: usize, number: i64) -> usize {
        let mut ids = Sharded::new(SHARD_BITS);
        if let Some(before) = at.checked_sub(1) {
            // As large as its predecessor became: saves the doublings of a busy feed.
            let entries = self.buckets[before].ids.len();
            if entries >= PRESIZE_MIN {
                ids.reserve_shards(entries >> SHARD_BITS);
            }
        }
        self.buckets.insert(at, Bucket { number, ids });
        at
    }

    fn is_dead(&self, number: i64, watermark: Millis, horizon_ms: Millis) -> bool {
        number.saturating_add(1).saturating_mul(self.width_ms) <= watermark.saturating_sub(horizon_ms)
    }
}

/// 64 shards: at a million ids a minute and bucket, copying one after a snapshot moves 128 to 256 kB.
const SHARD_BITS: u32 = 6;
/// Below this a bucket's doublings cost nothing.
const PRESIZE_MIN: usize = 1 << 16;

/// The bytes of a chunk.
pub(crate) fn encode_chunk(shard: &Shard<u64>) -> Vec<u8> {
    encode(shard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventKind::{Click, Impression};

    fn limits(watermark: Millis, entries_max: usize) -> Limits {
        Limits { watermark, horizons_ms: [10 * MINUTE_MS, 24 * HOUR_MS, 30 * DAY_MS], entries_max }
    }

    #[test]
    fn a_copy_is_a_duplicate_and_a_click_is_one_whatever_time_it_carries() {
        let (mut dedupe, limits) = (Dedupe::new(), limits(0, 100));
        assert_eq!(dedupe.check(Impression, 7, 1_000, &limits, 1), Seen::New);
        assert_eq!(dedupe.check(Impression, 7, 1_000, &limits, 1), Seen::Duplicate);
        assert_eq!(dedupe.check(Click, 7, 1_000, &limits, 1), Seen::New);
        assert_eq!(dedupe.check(Click, 7, 5 * HOUR_MS, &limits, 1), Seen::Duplicate);
    }

    #[test]
    fn beyond_the_horizon_nobody_can_say() {
        let mut dedupe = Dedupe::new();
        assert_eq!(dedupe.check(Impression, 7, 30_000, &limits(0, 100), 1), Seen::New);
        let later = limits(11 * MINUTE_MS, 100);
        dedupe.expire(later.watermark, &later.horizons_ms);
        assert_eq!(dedupe.len(), 0);
        assert_eq!(dedupe.check(Impression, 7, 30_000, &later, 1), Seen::Unknown);
        assert_eq!(dedupe.check(Impression, 7, 60_000, &later, 1), Seen::New);
    }

    #[test]
    fn at_the_cap_the_oldest_impressions_go_first_and_clicks_after() {
        let (mut dedupe, limits) = (Dedupe::new(), limits(0, 3));
        dedupe.check(Click, 1, 0, &limits, 1);
        dedupe.check(Impression, 2, 5 * MINUTE_MS, &limits, 1);
        dedupe.check(Impression, 3, 6 * MINUTE_MS, &limits, 1);
        assert_eq!(dedupe.check(Impression, 4, 7 * MINUTE_MS, &limits, 1), Seen::New);
        assert_eq!(dedupe.take_evicted(), [1, 0, 0]);
        assert_eq!(dedupe.check(Impression, 2, 5 * MINUTE_MS, &limits, 1), Seen::New);
        assert_eq!(dedupe.len(), 3);
        for id in 10..20 {
            dedupe.check(Click, id, 0, &limits, 1);
            assert!(dedupe.len() <= 3);
        }
        assert!(dedupe.take_evicted()[1] > 0);
    }
}
