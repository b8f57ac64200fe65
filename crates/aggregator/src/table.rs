//! A flat open-addressed table of fixed slots under 64-bit keys that are already hashes, and its copy-on-write form.
//!
//! What always holds: one probe is one cache line where the slot fits one; nothing is removed in place (tables are
//! rebuilt), so there are no tombstones; what a table answers does not depend on its capacity or on the order of
//! insertion, so a restored table behaves as the one it was made from. Key 0 marks a free slot. A key's place follows
//! from its upper bits, so slots lie nearly in the order of keys: growing, sorting and reading back, which all go by key,
//! pass through memory once.

use crate::bytes::{Corrupt, Reader, Writer};
use std::sync::Arc;

/// What a table holds; the key is a hash of which all bits are good, never 0.
pub(crate) trait Slot: Clone + Default {
    /// Fewest bytes of an encoded slot, key included.
    const BYTES_MIN: usize;
    fn key(&self) -> u64;
    fn with_key(key: u64) -> Self;
    /// All but the key.
    fn write(&self, out: &mut Writer);
    fn read(key: u64, input: &mut Reader<'_>) -> Result<Self, Corrupt>;
}

impl Slot for u64 {
    const BYTES_MIN: usize = 8;

    fn key(&self) -> u64 {
        *self
    }

    fn with_key(key: u64) -> Self {
        key
    }

    fn write(&self, _out: &mut Writer) {}

    fn read(key: u64, _input: &mut Reader<'_>) -> Result<Self, Corrupt> {
        Ok(key)
    }
}

/// One flat table.
#[derive(Clone, Default)]
pub(crate) struct Table<S> {
    slots: Vec<S>,
    count: usize,
    /// Upper bits that all keys of the table have in common, as those of one shard do.
    common_bits: u32,
}

impl<S: Slot> Table<S> {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, key: u64) -> Option<&S> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = &self.slots[self.position(key)];
        // Key 0 is in no table, but equals that of a free slot.
        (key != 0 && slot.key() == key).then_some(slot)
    }

    /// The slot of `key`, made if absent, and whether it was.
    pub fn entry(&mut self, key: u64) -> (&mut S, bool) {
        if (self.count + 1) * 4 > self.slots.len() * LOAD_QUARTERS_MAX {
            self.resize((self.slots.len() * 2).max(SLOTS_MIN));
        }
        let at = self.position(key);
        let slot = &mut self.slots[at];
        let created = slot.key() == 0;
        if created {
            *slot = S::with_key(key);
            self.count += 1;
        }
        (slot, created)
    }

    /// Reads where `key` would be: brings its line into the cache; many of these in a row overlap their waits.
    pub fn touch(&self, key: u64) -> u64 {
        if self.slots.is_empty() { 0 } else { self.slots[self.home(key)].key() }
    }

    /// Keeps what `keep` says; a table that shrinks much gives memory back.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut S) -> bool) {
        let mut kept: Vec<S> = Vec::with_capacity(self.count);
        for slot in self.slots.drain(..) {
            let mut slot = slot;
            if slot.key() != 0 && keep(&mut slot) {
                kept.push(slot);
            }
        }
        *self = Self { slots: Vec::new(), count: 0, common_bits: self.common_bits };
        self.reserve(kept.len());
        for slot in kept {
            let key = slot.key();
            *self.entry(key).0 = slot;
        }
    }

    /// In no order that may reach an output.
    pub fn iter(&self) -> impl Iterator<Item = &S> {
        self.slots.iter().filter(|slot| slot.key() != 0)
    }

    /// Room for `count` slots without growing again.
    pub fn reserve(&mut self, count: usize) {
        let needed = slots_for(count);
        if needed > self.slots.len() {
            self.resize(needed);
        }
    }

    /// By key. Slots lie in that order but inside a run of neighbours, and but for what ran over the end.
    pub fn sorted(&self) -> Vec<&S> {
        let is_over = |(at, slot): &(usize, &S)| self.home(slot.key()) > *at;
        let filled = self.slots.iter().enumerate().filter(|(_, slot)| slot.key() != 0);
        let over = self.slots.iter().enumerate().take_while(|(_, slot)| slot.key() != 0).filter(is_over);
        let mut sorted: Vec<&S> = Vec::with_capacity(self.count);
        for (_, slot) in filled.filter(|found| !is_over(found)).chain(over) {
            sorted.push(slot);
            let mut at = sorted.len() - 1;
            while at > 0 && sorted[at - 1].key() > slot.key() {
                sorted.swap(at - 1, at);
                at -= 1;
            }
        }
        sorted
    }

    /// Where `key` is or would be; there is always a free slot.
    fn position(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(key);
        loop {
            let found = self.slots[at].key();
            if found == key || found == 0 {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn home(&self, key: u64) -> usize {
        home(key, self.common_bits, self.slots.len())
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![S::default(); slots]);
        for slot in old {
            if slot.key() != 0 {
                let at = self.position(slot.key());
                self.slots[at] = slot;
            }
        }
    }
}

/// Takes slots in the order of keys and writes each where it belongs, in one pass through memory.
struct Filling<S> {
    table: Table<S>,
    /// Slots of the whole table.
    slots: usize,
    /// What runs over the end.
    over: Vec<S>,
}

impl<S: Slot> Filling<S> {
    fn new(count: usize, common_bits: u32) -> Self {
        let slots = slots_for(count);
        Self { table: Table { slots: Vec::with_capacity(slots), count: 0, common_bits }, slots, over: Vec::new() }
    }

    /// Of a key that is greater than all before.
    fn put(&mut self, slot: S) {
        let home = home(slot.key(), self.table.common_bits, self.slots);
        let filled = &mut self.table.slots;
        if filled.len() < home {
            filled.resize(home, S::default());
        }
        if filled.len() == self.slots {
            return self.over.push(slot);
        }
        filled.push(slot);
        self.table.count += 1;
    }

    fn end(mut self) -> Table<S> {
        self.table.slots.resize(self.slots, S::default());
        for slot in self.over {
            let key = slot.key();
            *self.table.entry(key).0 = slot;
        }
        self.table
    }
}

/// Where `key` is in a table of so many slots, unless others were there before: a power of two above one.
fn home(key: u64, common_bits: u32, slots: usize) -> usize {
    ((key << common_bits) >> (64 - slots.trailing_zeros())) as usize
}

/// Slots of a table for so many keys.
fn slots_for(count: usize) -> usize {
    match count {
        0 => 0,
        _ => (count * 4).div_ceil(LOAD_QUARTERS_MAX).next_power_of_two().max(SLOTS_MIN),
    }
}

/// Above three quarters linear probing runs into its own clusters.
const LOAD_QUARTERS_MAX: usize = 3;
/// Below this a table is not worth doubling for.
const SLOTS_MIN: usize = 16;

/// A table in `2^bits` shards by the key's top bits. A clone shares the shards; writing to a shared one copies it first.
#[derive(Clone)]
pub(crate) struct Sharded<S> {
    bits: u32,
    shards: Vec<Arc<Shard<S>>>,
}

/// One shard and the epoch that last wrote to it.
#[derive(Clone)]
pub(crate) struct Shard<S> {
    pub version: u64,
    pub table: Table<S>,
}

impl<S: Slot> Sharded<S> {
    pub fn new(bits: u32) -> Self {
        let empty = || Arc::new(Shard { version: 0, table: Table { slots: Vec::new(), count: 0, common_bits: bits } });
        Self { bits, shards: (0..1_usize << bits).map(|_| empty()).collect() }
    }

    pub fn get(&self, key: u64) -> Option<&S> {
        self.shards[self.shard_of(key)].table.get(key)
    }

    pub fn touch(&self, key: u64) -> u64 {
        self.shards[self.shard_of(key)].table.touch(key)
    }

    /// The shard of `key`, to be written by epoch `version`.
    pub fn write(&mut self, key: u64, version: u64) -> &mut Table<S> {
        self.write_shard(self.shard_of(key), version)
    }

    pub fn write_shard(&mut self, shard: usize, version: u64) -> &mut Table<S> {
        let shard = Arc::make_mut(&mut self.shards[shard]);
        shard.version = version;
        &mut shard.table
    }

    pub fn shard(&self, shard: usize) -> &Arc<Shard<S>> {
        &self.shards[shard]
    }

    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    pub fn shard_of(&self, key: u64) -> usize {
        (key >> (64 - self.bits)) as usize
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.len()).sum()
    }

    pub fn reserve_shards(&mut self, count: usize) {
        for shard in &mut self.shards {
            Arc::make_mut(shard).table.reserve(count);
        }
    }

    /// Shards that hold something, as snapshot chunks do.
    pub fn filled(&self) -> impl Iterator<Item = (usize, &Arc<Shard<S>>)> {
        self.shards.iter().enumerate().filter(|(_, shard)| shard.table.len() > 0)
    }

    /// Puts back a shard that [`encode`] made.
    pub fn restore(&mut self, shard: usize, version: u64, bytes: &[u8]) -> Result<(), Corrupt> {
        if shard >= self.shards.len() {
            return Err(Corrupt("there is no such shard"));
        }
        let mut input = Reader::new(bytes);
        let count = input.count(S::BYTES_MIN)?;
        let mut filling = Filling::new(count, self.bits);
        let mut before = 0;
        for _ in 0..count {
            let key = input.u64()?;
            if key <= before || self.shard_of(key) != shard {
                return Err(Corrupt("a key is out of place"));
            }
            before = key;
            filling.put(S::read(key, &mut input)?);
        }
        input.end()?;
        let table = filling.end();
        self.shards[shard] = Arc::new(Shard { version, table });
        Ok(())
    }
}

/// The bytes of a shard: the same for the same content, whatever its history.
pub(crate) fn encode<S: Slot>(shard: &Shard<S>) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(8 + shard.table.len() * S::BYTES_MIN));
    out.count(shard.table.len());
    for slot in shard.table.sorted() {
        out.u64(slot.key());
        slot.write(&mut out);
    }
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_table_is_a_set(keys in prop::collection::vec(1..400_u64, 0..300), gone in 1..400_u64) {
            let (mut table, mut model) = (Table::<u64>::default(), BTreeSet::new());
            for key in keys {
                prop_assert_eq!(table.entry(key).1, model.insert(key));
                prop_assert_eq!(table.len(), model.len());
            }
            table.retain(|key| *key != gone);
            model.remove(&gone);
            prop_assert_eq!(table.sorted().into_iter().copied().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            for key in 1..400 {
                prop_assert_eq!(table.get(key).is_some(), model.contains(&key));
            }
        }

        #[test]
        fn a_shard_reads_back_and_no_damage_panics(
            keys in prop::collection::btree_set(1..1_000_u64, 0..50), cut in any::<prop::sample::Index>(), flip: u8,
        ) {
            let mut one = Sharded::<u64>::new(2);
            for key in keys {
                one.write(key, 7).entry(key);
            }
            let bytes = encode(one.shard(0));
            let mut other = Sharded::<u64>::new(2);
            prop_assert_eq!(other.restore(0, 7, &bytes), Ok(()));
            prop_assert_eq!(encode(other.shard(0)), bytes.clone());
            prop_assert!(other.restore(0, 7, &bytes[..cut.index(bytes.len())]).is_err());
            let mut damaged = bytes.clone();
            damaged[cut.index(bytes.len())] ^= flip;
            let _ = other.restore(0, 7, &damaged);
            prop_assert!(other.restore(4, 7, &bytes).is_err());
        }
    }

    proptest! {
        #[test]
        fn a_table_read_back_finds_all_and_runs_over_its_end(
            upper in prop::collection::btree_set(any::<u64>(), 0..80), last in prop::collection::btree_set(0..40_u64, 0..40),
        ) {
            // Many of the greatest keys of their shard: they have one home, the last slot.
            let keys: BTreeSet<u64> = upper.into_iter().chain(last.iter().map(|key| u64::MAX >> 2 & !0xff | key)).collect();
            let keys: BTreeSet<u64> = keys.into_iter().map(|key| key & (u64::MAX >> 2)).filter(|key| *key > 0).collect();
            let mut one = Sharded::<u64>::new(2);
            for key in keys.iter().rev() {
                one.write(*key, 7).entry(*key);
            }
            prop_assert_eq!(one.shard(0).table.sorted().into_iter().copied().collect::<Vec<_>>(), keys.iter().copied().collect::<Vec<_>>());
            let mut other = Sharded::<u64>::new(2);
            prop_assert_eq!(other.restore(0, 7, &encode(one.shard(0))), Ok(()));
            prop_assert_eq!(other.len(), keys.len());
            for key in &keys {
                prop_assert_eq!(other.get(*key), Some(key));
                prop_assert_eq!(other.get(key ^ 0x100).is_some(), keys.contains(&(key ^ 0x100)));
            }
        }
    }

    #[test]
    fn writing_after_a_clone_leaves_the_clone_alone() {
        let mut one = Sharded::<u64>::new(1);
        one.write(5, 1).entry(5);
        let frozen = one.clone();
        one.write(6, 2).entry(6);
        assert_eq!((frozen.len(), frozen.shard(0).version), (1, 1));
        assert_eq!((one.len(), one.shard(0).version), (2, 2));
    }
}
