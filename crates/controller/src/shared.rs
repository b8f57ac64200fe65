//! State that a frozen copy shares until somebody changes it: an ordered map in blocks, and a value.
//!
//! What always holds: a clone costs a reference for each block, not for each entry, and never changes; whoever writes
//! first copies the one block that it writes to, which is a few dozen entries. Entries are iterated by key, and the map
//! is serialized as an ordered map is, so nothing that leaves tells that there are blocks.
//!
//! What is missing on purpose: the whole interface of an ordered map. Writing to everything ([`SharedMap::iter_mut`])
//! copies every block that is shared: where few entries are meant, read first.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An ordered map whose clone shares its blocks.
pub struct SharedMap<K, V> {
    /// By key; none of them empty.
    blocks: Vec<Arc<Block<K, V>>>,
    len: usize,
    /// Block times [`BLOCK_MAX`] plus place of the key that was found last. A look asks for one key many times and looks
    /// go by key, so nearly every question is about this entry or the next one; what is found never depends on it.
    latest: AtomicUsize,
}

/// Entries by key.
type Block<K, V> = Vec<(K, V)>;

/// Copying a block of references takes about a microsecond, and ten thousand entries make two to four hundred blocks.
const BLOCK_MAX: usize = 48;

impl<K: Ord, V> SharedMap<K, V> {
    /// How many entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (block, at) = self.find(key).ok()?;
        Some(&self.blocks[block][at].1)
    }

    /// The entry of `key`.
    pub fn get_entry<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (block, at) = self.find(key).ok()?;
        let (key, value) = &self.blocks[block][at];
        Some((key, value))
    }

    /// Whether `key` is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// All entries by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.blocks.iter().flat_map(|block| block.iter()).map(|(key, value)| (key, value))
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entries from `key` on.
    pub fn from<Q: Ord + ?Sized>(&self, key: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (block, at) = self.find(key).unwrap_or_else(|place| place);
        let first = self.blocks.get(block).map_or(&[][..], |block| &block[at..]);
        let rest = self.blocks.get(block + 1..).unwrap_or_default();
        first.iter().chain(rest.iter().flat_map(|block| block.iter())).map(|(key, value)| (key, value))
    }

    /// The first entry whose key is not before something, where those that are stand first: a question that needs no key.
    pub fn first_after(&self, is_before: impl Fn(&K) -> bool) -> Option<(&K, &V)> {
        let block = self.blocks.partition_point(|block| block.last().is_some_and(|(last, _)| is_before(last)));
        let entries = self.blocks.get(block)?;
        let (key, value) = entries.get(entries.partition_point(|(key, _)| is_before(key)))?;
        Some((key, value))
    }

    /// Block and place in it where `key` is, or where it would be put.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<(usize, usize), (usize, usize)>
    where
        K: Borrow<Q>,
    {
        if let Some(place) = self.find_near_latest(key) {
            return Ok(place);
        }
        let after = self.blocks.partition_point(|block| block.first().is_some_and(|(first, _)| first.borrow() <= key));
        let block = after.saturating_sub(1);
        let entries = self.blocks.get(block).map_or(&[][..], |block| &block[..]);
        match entries.binary_search_by(|(known, _)| known.borrow().cmp(key)) {
            Ok(at) => {
                self.latest.store(block * BLOCK_MAX + at, Ordering::Relaxed);
                Ok((block, at))
            }
            Err(at) => Err((block, at)),
        }
    }

    /// The key that was found last, or the one after it.
    fn find_near_latest<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(usize, usize)>
    where
        K: Borrow<Q>,
    {
        let latest = self.latest.load(Ordering::Relaxed);
        let (block, at) = (latest / BLOCK_MAX, latest % BLOCK_MAX);
        let entries = self.blocks.get(block)?;
        match entries.get(at)?.0.borrow().cmp(key) {
            std::cmp::Ordering::Equal => return Some((block, at)),
            std::cmp::Ordering::Greater => return None,
            std::cmp::Ordering::Less => {}
        }
        let (block, at) = if at + 1 < entries.len() { (block, at + 1) } else { (block + 1, 0) };
        let (next, _) = self.blocks.get(block)?.get(at)?;
        (next.borrow() == key).then(|| {
            self.latest.store(block * BLOCK_MAX + at, Ordering::Relaxed);
            (block, at)
        })
    }
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { blocks: self.blocks.clone(), len: self.len, latest: AtomicUsize::new(0) }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (block, at) = self.find(key).ok()?;
        Some(self.value_mut(block, at))
    }

    /// All entries, to be changed: no block stays shared.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let blocks = self.blocks.iter_mut().flat_map(|block| Arc::make_mut(block).iter_mut());
        blocks.map(|(key, value)| (&*key, value))
    }

    /// All values, to be changed: no block stays shared.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Puts a value; gives the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok((block, at)) => Some(std::mem::replace(self.value_mut(block, at), value)),
            Err((block, at)) => {
                self.put((block, at), key, value);
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (block, at) = self.find(key).ok()?;
        let (_, value) = Arc::make_mut(&mut self.blocks[block]).remove(at);
        if self.blocks[block].is_empty() {
            self.blocks.remove(block);
        }
        self.len -= 1;
        Some(value)
    }

    /// The value of `key`, begun by `begin` if there is none.
    pub fn get_or_insert_with<Q: Ord + ?Sized>(&mut self, key: &Q, begin: impl FnOnce() -> (K, V)) -> &mut V
    where
        K: Borrow<Q>,
    {
        let (block, at) = match self.find(key) {
            Ok(place) => place,
            Err(place) => {
                let (key, value) = begin();
                self.put(place, key, value)
            }
        };
        self.value_mut(block, at)
    }

    fn value_mut(&mut self, block: usize, at: usize) -> &mut V {
        &mut Arc::make_mut(&mut self.blocks[block])[at].1
    }

    /// Puts an entry where [`Self::find`] says, and says where it is then.
    fn put(&mut self, (mut block, mut at): (usize, usize), key: K, value: V) -> (usize, usize) {
        self.len += 1;
        if self.blocks.is_empty() {
            self.blocks.push(Arc::default());
        }
        if self.blocks[block].len() >= BLOCK_MAX {
            // Keys that come in order leave full blocks behind.
            let appended = block + 1 == self.blocks.len() && at == BLOCK_MAX;
            let split = if appended { BLOCK_MAX } else { BLOCK_MAX / 2 };
            let mut upper = Vec::with_capacity(BLOCK_MAX);
            upper.extend(Arc::make_mut(&mut self.blocks[block]).drain(split..));
            self.blocks.insert(block + 1, Arc::new(upper));
            if at > split || appended {
                (block, at) = (block + 1, at - split);
            }
        }
        Arc::make_mut(&mut self.blocks[block]).insert(at, (key, value));
        (block, at)
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0, latest: AtomicUsize::new(0) }
    }
}

impl<K: Ord + fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Serialize, V: Serialize> Serialize for SharedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Counted { entries: self.iter(), left: self.len })
    }
}

/// An iterator that knows how much is left, as formats that write the count first want it.
struct Counted<I> {
    entries: I,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.left = self.left.saturating_sub(1);
        self.entries.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de> for SharedMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// Reads entries one by one: nothing is allocated by a count that was read.
struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K: Ord + Clone + Deserialize<'de>, V: Clone + Deserialize<'de>> Visitor<'de> for Entries<K, V> {
    type Value = SharedMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = SharedMap::default();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(map)
    }
}

impl<'m, K: Ord, V> IntoIterator for &'m SharedMap<K, V> {
    type Item = (&'m K, &'m V);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'm>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

/// A value that a clone shares until it is changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Shared with nobody yet.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Clone> Shared<T> {
    /// The value, copied where it is shared.
    pub fn into_inner(self) -> T {
        Arc::unwrap_or_clone(self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

/// A map of which [`entry`] begins what is not there.
pub trait Begin {
    /// What is begun.
    type Value;
    /// The value of `key`, begun if there is none; looking up a known key copies nothing.
    fn begin(&mut self, key: &str) -> &mut Self::Value;
}

impl<K: Ord + Borrow<str> + for<'k> From<&'k str>, V: Default> Begin for BTreeMap<K, V> {
    type Value = V;

    fn begin(&mut self, key: &str) -> &mut V {
        if !self.contains_key(key) {
            self.insert(key.into(), V::default());
        }
        self.entry(key.into()).or_default()
    }
}

impl<K: Ord + Clone + Borrow<str> + for<'k> From<&'k str>, V: Clone + Default> Begin for SharedMap<K, V> {
    type Value = V;

    fn begin(&mut self, key: &str) -> &mut V {
        self.get_or_insert_with(key, || (key.into(), V::default()))
    }
}

/// A map's value, begun if there is none; looking up a known key copies nothing.
pub fn entry<'m, M: Begin>(map: &'m mut M, key: &str) -> &'m mut M::Value {
    map.begin(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_shared_map_is_an_ordered_map(
            steps in prop::collection::vec((0..3_u8, 0..200_u16, any::<u8>()), 0..600), from in 0..200_u16,
        ) {
            let (mut map, mut model) = (SharedMap::<u16, u8>::default(), BTreeMap::new());
            for (kind, key, value) in steps {
                match kind {
                    0 => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    1 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    _ => *map.get_or_insert_with(&key, || (key, 0)) = { *model.entry(key).or_default() = value; value },
                }
                prop_assert_eq!((map.len(), map.get(&key)), (model.len(), model.get(&key)));
            }
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.from(&from).eq(model.range(from..)));
            prop_assert_eq!(map.first_after(|key| *key < from), model.range(from..).next());
            prop_assert_eq!(map.contains_key(&from), model.contains_key(&from));
            prop_assert_eq!(map.get_entry(&from), model.get_key_value(&from));
            map.values_mut().for_each(|value| *value = value.wrapping_add(1));
            model.values_mut().for_each(|value| *value = value.wrapping_add(1));
            let bytes = postcard::to_stdvec(&map).unwrap();
            prop_assert_eq!(&bytes, &postcard::to_stdvec(&model).unwrap());
            prop_assert_eq!(postcard::from_bytes::<SharedMap<u16, u8>>(&bytes).unwrap(), map);
        }

        #[test]
        fn what_is_written_after_a_clone_does_not_reach_it(
            keys in prop::collection::vec(0..2_000_u16, 1..300), changed in prop::collection::vec(0..2_000_u16, 1..50),
        ) {
            let mut map = SharedMap::<u16, u16>::default();
            keys.iter().for_each(|key| _ = map.insert(*key, 0));
            let (clone, then) = (map.clone(), map.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>());
            for key in changed {
                map.get_or_insert_with(&key, || (key, 0));
                *map.get_mut(&key).unwrap() += 1;
                map.remove(&(key + 1));
            }
            prop_assert_eq!(clone.iter().map(|(key, value)| (*key, *value)).collect::<Vec<_>>(), then);
        }
    }

    #[test]
    fn keys_in_order_fill_their_blocks() {
        let mut map = SharedMap::<u32, ()>::default();
        (0..1_000).for_each(|key| _ = map.insert(key, ()));
        assert_eq!(map.blocks.len(), 1_000_usize.div_ceil(BLOCK_MAX));
    }

    #[test]
    fn a_shared_value_is_copied_by_who_changes_it() {
        let mut one = Shared::new(vec![1]);
        let other = one.clone();
        one.push(2);
        assert_eq!((one.len(), other.len()), (2, 1));
    }
}
