//! Snapshots: a cached fold at a committed position. Losing all of them costs time, never truth, while the logs are whole.
//!
//! A snapshot is a manifest and the packs it refers to. Each write puts the chunks that changed into one new pack, so an
//! unchanged chunk is never written again; when too many packs are referred to, all is written anew. Every chunk and the
//! manifest carry a checksum; a torn, corrupt or foreign-format snapshot is skipped and the one before it is tried.
//! Kept: the two newest generations, and the last of each day for as long as the journal lives.

mod store;

pub use store::{Directory, SnapshotStore};

use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

/// Format of the manifest; another format is skipped, never guessed at.
const FORMAT: u32 = 1;
/// Generations always kept: the newest may turn out torn.
const GENERATIONS_KEPT: usize = 2;
/// Days of daily snapshots kept: the journal's least retention.
const DAYS_KEPT: i64 = 35;
/// More packs than this in one manifest and all chunks are written anew, which bounds dead bytes on disk.
const PACKS_MAX: usize = 8;
const DAY_MS: i64 = 86_400_000;

/// A piece of state with a stable id and a version that changes when the piece does.
pub struct Chunk<'a> {
    /// Stable name.
    pub id: String,
    /// Grows when the content changes.
    pub version: u64,
    /// Encodes the content; only called for changed chunks.
    pub encode: Box<dyn FnOnce() -> Vec<u8> + 'a>,
}

/// A snapshot that was read whole.
pub struct Loaded {
    /// What the writer said about the position.
    pub header: Vec<u8>,
    places: Vec<ChunkPlace>,
    packs: BTreeMap<u64, Vec<u8>>,
}

impl Loaded {
    /// Id, version and content of each chunk; checksums were compared.
    pub fn chunks(&self) -> impl Iterator<Item = (&str, u64, &[u8])> {
        self.places.iter().filter_map(|place| {
            let bytes = self.packs.get(&place.pack)?.get(place.range()?)?;
            Some((place.id.as_str(), place.version, bytes))
        })
    }
}

/// What one write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes written.
    pub bytes: u64,
    /// Chunks written, and chunks taken over from earlier packs.
    pub chunks_written: usize,
    /// Chunks that had not changed.
    pub chunks_kept: usize,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Manifest {
    format: u32,
    taken_at_ms: i64,
    header: Vec<u8>,
    chunks: Vec<ChunkPlace>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct ChunkPlace {
    id: String,
    version: u64,
    pack: u64,
    offset: u64,
    length: u64,
    checksum: u32,
}

impl ChunkPlace {
    fn range(&self) -> Option<Range<usize>> {
        let start = usize::try_from(self.offset).ok()?;
        Some(start..start.checked_add(usize::try_from(self.length).ok()?)?)
    }
}

/// All snapshots of one partition.
pub struct Snapshots {
    store: Box<dyn SnapshotStore>,
    /// What the last generation of this process refers to; a new process writes all once.
    written: BTreeMap<String, ChunkPlace>,
    next: u64,
}

impl Snapshots {
    /// Opens what a store holds.
    pub fn open(store: Box<dyn SnapshotStore>) -> io::Result<Self> {
        let next = store.list()?.iter().filter_map(|name| sequence_of(name)).max().map_or(1, |newest| newest + 1);
        Ok(Self { store, written: BTreeMap::new(), next })
    }

    /// Writes a generation and forgets those no longer kept.
    pub fn write(&mut self, header: Vec<u8>, taken_at_ms: i64, chunks: Vec<Chunk<'_>>) -> io::Result<Written> {
        // Another worker may have owned the partition, and written here, in between.
        let newest = self.store.list()?.iter().filter_map(|name| sequence_of(name)).max().unwrap_or(0);
        let sequence = self.next.max(newest + 1);
        if sequence != self.next {
            // Somebody else wrote, and may have removed the packs that we know.
            self.written.clear();
        }
        self.next = sequence + 1;
        if self.packs_in_use() >= PACKS_MAX {
            self.written.clear();
        }
        let mut pack = Vec::new();
        let mut places = BTreeMap::new();
        let mut summary = Written { bytes: 0, chunks_written: 0, chunks_kept: 0 };
        for chunk in chunks {
            let known = self.written.get(&chunk.id).filter(|place| place.version == chunk.version);
            let place = match known {
                Some(place) => {
                    summary.chunks_kept += 1;
                    place.clone()
                }
                None => {
                    let bytes = (chunk.encode)();
                    summary.chunks_written += 1;
                    let place = ChunkPlace {
                        id: chunk.id.clone(),
                        version: chunk.version,
                        pack: sequence,
                        offset: pack.len() as u64,
                        length: bytes.len() as u64,
                        checksum: crc32fast::hash(&bytes),
                    };
                    pack.extend_from_slice(&bytes);
                    place
                }
            };
            places.insert(chunk.id, place);
        }
        if !pack.is_empty() {
            self.store.put(&pack_name(sequence), &pack)?;
        }
        let manifest = Manifest { format: FORMAT, taken_at_ms, header, chunks: places.values().cloned().collect() };
        let bytes = seal(&manifest)?;
        if let Err(error) = self.store.put(&manifest_name(sequence), &bytes) {
            // No manifest names the pack, and on a full disk its room is what the next write needs.
            let _ = self.store.delete(&pack_name(sequence));
            return Err(error);
        }
        summary.bytes = (pack.len() + bytes.len()) as u64;
        self.written = places;
        self.forget_old()?;
        Ok(summary)
    }

    /// The newest valid snapshot that `fits` accepts by its header, and what was skipped on the way, with the reason.
    pub fn newest(&self, mut fits: impl FnMut(&[u8]) -> bool) -> io::Result<(Option<Loaded>, Vec<String>)> {
        let mut skipped = Vec::new();
        for sequence in self.manifests()?.into_iter().rev() {
            let loaded = self.manifest(sequence).and_then(|manifest| match fits(&manifest.header) {
                true => self.read(manifest),
                false => Err("its position does not fit".into()),
            });
            match loaded {
                Ok(loaded) => return Ok((Some(loaded), skipped)),
                Err(reason) => skipped.push(format!("{}: {reason}", manifest_name(sequence))),
            }
        }
        Ok((None, skipped))
    }

    /// Headers of the generations whose manifests are whole, oldest first, by their numbers.
    pub fn headers(&self) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let manifests = self.manifests()?;
        let read = |sequence: u64| self.manifest(sequence).ok().map(|manifest| (sequence, manifest.header));
        Ok(manifests.into_iter().filter_map(read).collect())
    }

    /// The snapshot of a generation, or what is wrong with it.
    pub fn load(&self, sequence: u64) -> Result<Loaded, String> {
        self.read(self.manifest(sequence)?)
    }

    fn read(&self, manifest: Manifest) -> Result<Loaded, String> {
        let mut packs: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for place in &manifest.chunks {
            let pack = match packs.entry(place.pack) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let name = pack_name(place.pack);
                    let bytes = self.store.get(&name).map_err(|error| format!("{name}: {error}"))?;
                    new.insert(bytes.ok_or_else(|| format!("{name} is missing"))?)
                }
            };
            let bytes = place.range().and_then(|range| pack.get(range));
            if bytes.is_none_or(|bytes| crc32fast::hash(bytes) != place.checksum) {
                return Err(format!("chunk {} of {} is corrupt", place.id, pack_name(place.pack)));
            }
        }
        Ok(Loaded { header: manifest.header, places: manifest.chunks, packs })
    }

    fn manifest(&self, sequence: u64) -> Result<Manifest, String> {
        let bytes = self.store.get(&manifest_name(sequence)).map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or("it is missing")?;
        let split = bytes.len().checked_sub(4).ok_or("it is too short")?;
        let (body, checksum) = bytes.split_at(split);
        if crc32fast::hash(body).to_le_bytes() != checksum {
            return Err("its checksum is wrong".into());
        }
        let manifest: Manifest = postcard::from_bytes(body).map_err(|error| format!("it does not decode: {error}"))?;
        if manifest.format != FORMAT {
            return Err(format!("its format is {}, this build reads {FORMAT}", manifest.format));
        }
        Ok(manifest)
    }

    fn manifests(&self) -> io::Result<Vec<u64>> {
        Ok(self
            .store
            .list()?
            .iter()
            .filter(|name| name.starts_with("manifest-"))
            .filter_map(|n| sequence_of(n))
            .collect())
    }

    fn packs_in_use(&self) -> usize {
        self.written.values().map(|place| place.pack).collect::<BTreeSet<_>>().len()
    }

    fn forget_old(&self) -> io::Result<()> {
        let names: BTreeSet<String> = self.store.list()?.into_iter().collect();
        let manifests = self.manifests()?;
        let newest_at = manifests.last().and_then(|newest| self.manifest(*newest).ok()).map_or(0, |m| m.taken_at_ms);
        let recent = manifests.len().saturating_sub(GENERATIONS_KEPT);
        let mut packs_kept = BTreeSet::new();
        let mut last_of_day: BTreeMap<i64, u64> = BTreeMap::new();
        let mut readable = BTreeMap::new();
        for sequence in &manifests {
            if let Ok(manifest) = self.manifest(*sequence)
                && manifest.chunks.iter().all(|place| names.contains(&pack_name(place.pack)))
            {
                if newest_at - manifest.taken_at_ms <= DAYS_KEPT * DAY_MS {
                    last_of_day.insert(manifest.taken_at_ms.div_euclid(DAY_MS), *sequence);
                }
                readable.insert(*sequence, manifest);
            }
        }
        for (at, sequence) in manifests.iter().enumerate() {
            let daily = last_of_day.values().any(|kept| kept == sequence);
            match readable.get(sequence) {
                Some(manifest) if at >= recent || daily => {
                    packs_kept.extend(manifest.chunks.iter().map(|place| place.pack));
                }
                _ => self.store.delete(&manifest_name(*sequence))?,
            }
        }
        for name in self.store.list()? {
            if name.starts_with("pack-") && sequence_of(&name).is_some_and(|pack| !packs_kept.contains(&pack)) {
                self.store.delete(&name)?;
            }
        }
        Ok(())
    }
}

fn seal(manifest: &Manifest) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_allocvec(manifest).map_err(io::Error::other)?;
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

fn manifest_name(sequence: u64) -> String {
    format!("manifest-{sequence:020}")
}

fn pack_name(sequence: u64) -> String {
    format!("pack-{sequence:020}")
}

fn sequence_of(name: &str) -> Option<u64> {
    name.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

    impl SnapshotStore for Memory {
        fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.0.lock().unwrap().insert(name.into(), bytes.into());
            Ok(())
        }
        fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
            Ok(self.0.lock().unwrap().get(name).cloned())
        }
        fn list(&self) -> io::Result<Vec<String>> {
            Ok(self.0.lock().unwrap().keys().cloned().collect())
        }
        fn delete(&self, name: &str) -> io::Result<()> {
            self.0.lock().unwrap().remove(name);
            Ok(())
        }
    }

    fn chunk(id: &str, version: u64, content: &'static str) -> Chunk<'static> {
        Chunk { id: id.into(), version, encode: Box::new(move || content.as_bytes().to_vec()) }
    }

    fn contents(snapshots: &Snapshots) -> (Vec<u8>, Vec<String>, Vec<String>) {
        let (loaded, skipped) = snapshots.newest(|_| true).unwrap();
        let loaded = loaded.expect("one is valid");
        let text = |(id, _, bytes): (&str, u64, &[u8])| format!("{id}={}", String::from_utf8_lossy(bytes));
        let texts = loaded.chunks().map(text).collect();
        (loaded.header, texts, skipped)
    }

    #[test]
    fn only_changed_chunks_are_written_again() {
        let memory = Memory::default();
        let mut snapshots = Snapshots::open(Box::new(memory.clone())).unwrap();
        snapshots.write(vec![1], 10, vec![chunk("a", 1, "one"), chunk("b", 1, "two")]).unwrap();
        let second =
            snapshots.write(vec![2], 20, vec![chunk("a", 1, "never encoded"), chunk("b", 2, "three")]).unwrap();
        assert_eq!((second.chunks_written, second.chunks_kept), (1, 1));
        assert_eq!(contents(&snapshots), (vec![2], vec!["a=one".into(), "b=three".into()], vec![]));
    }

    #[test]
    fn every_torn_or_flipped_byte_falls_back_to_the_generation_before() {
        let memory = Memory::default();
        let mut snapshots = Snapshots::open(Box::new(memory.clone())).unwrap();
        snapshots.write(vec![1], 10, vec![chunk("a", 1, "one")]).unwrap();
        snapshots.write(vec![2], 20, vec![chunk("a", 2, "two")]).unwrap();
        for name in [manifest_name(2), pack_name(2)] {
            let whole = memory.get(&name).unwrap().unwrap();
            for at in 0..whole.len() {
                for damage in [whole[..at].to_vec(), {
                    let mut b = whole.clone();
                    b[at] ^= 0x40;
                    b
                }] {
                    memory.put(&name, &damage).unwrap();
                    let (header, chunks, skipped) = contents(&snapshots);
                    assert_eq!((header, chunks), (vec![1], vec!["a=one".to_owned()]), "{name} at {at}");
                    assert_eq!(skipped.len(), 1);
                }
            }
            memory.put(&name, &whole).unwrap();
        }
    }

    #[test]
    fn old_generations_go_and_the_last_of_each_day_stays() {
        let memory = Memory::default();
        let mut snapshots = Snapshots::open(Box::new(memory.clone())).unwrap();
        for n in 0..12_u64 {
            snapshots.write(vec![n as u8], n as i64 * DAY_MS / 4, vec![chunk("a", n, "x")]).unwrap();
        }
        let manifests = snapshots.manifests().unwrap();
        assert_eq!(manifests, [4, 8, 11, 12], "the last of days 0 and 1, and the two newest");
        assert_eq!(memory.list().unwrap().iter().filter(|name| name.starts_with("pack-")).count(), 4);
    }

    #[test]
    fn a_new_process_continues_the_sequence_and_writes_all() {
        let memory = Memory::default();
        Snapshots::open(Box::new(memory.clone())).unwrap().write(vec![1], 1, vec![chunk("a", 9, "one")]).unwrap();
        let mut again = Snapshots::open(Box::new(memory.clone())).unwrap();
        let written = again.write(vec![2], 2, vec![chunk("a", 9, "other content, same version")]).unwrap();
        assert_eq!(written.chunks_written, 1);
        assert_eq!(contents(&again).1, ["a=other content, same version"]);
    }

    #[test]
    fn a_partition_that_went_away_and_came_back_is_written_whole() {
        let memory = Memory::default();
        let mut ours = Snapshots::open(Box::new(memory.clone())).unwrap();
        ours.write(vec![1], 1, vec![chunk("a", 1, "one")]).unwrap();
        let mut theirs = Snapshots::open(Box::new(memory.clone())).unwrap();
        for n in 2..5 {
            theirs.write(vec![n], i64::from(n), vec![chunk("a", 1, "one"), chunk("b", u64::from(n), "x")]).unwrap();
        }
        let written = ours.write(vec![9], 9, vec![chunk("a", 1, "one"), chunk("b", 4, "x")]).unwrap();
        assert_eq!((written.chunks_written, written.chunks_kept), (2, 0));
        assert_eq!(contents(&ours), (vec![9], vec!["a=one".into(), "b=x".into()], vec![]));
    }

    #[test]
    fn a_pack_without_a_manifest_does_not_stay() {
        struct NoManifest(Memory);
        impl SnapshotStore for NoManifest {
            fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
                if name.starts_with("manifest-") {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0.put(name, bytes)
            }
            fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
                self.0.get(name)
            }
            fn list(&self) -> io::Result<Vec<String>> {
                self.0.list()
            }
            fn delete(&self, name: &str) -> io::Result<()> {
                self.0.delete(name)
            }
        }
        let memory = Memory::default();
        let mut snapshots = Snapshots::open(Box::new(NoManifest(memory.clone()))).unwrap();
        assert!(snapshots.write(vec![1], 1, vec![chunk("a", 1, "one")]).is_err());
        assert!(memory.list().unwrap().is_empty());
    }

    #[test]
    fn a_snapshot_whose_position_does_not_fit_is_passed_over() {
        let mut snapshots = Snapshots::open(Box::new(Memory::default())).unwrap();
        snapshots.write(vec![1], 1, vec![]).unwrap();
        snapshots.write(vec![2], 2, vec![]).unwrap();
        let (loaded, _) = snapshots.newest(|header| header[0] < 2).unwrap();
        assert_eq!(loaded.unwrap().header, [1]);
    }
}
