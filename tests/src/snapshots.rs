//! Folders of snapshots, read by hand: which chunks the newest manifest names, and their bytes.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// As the service writes it; a test that cannot read it says so.
#[derive(Deserialize)]
struct Manifest {
    format: u32,
    _taken_at_ms: i64,
    _header: Vec<u8>,
    chunks: Vec<ChunkPlace>,
}

#[derive(Deserialize)]
struct ChunkPlace {
    id: String,
    _version: u64,
    pack: u64,
    offset: u64,
    length: u64,
    _checksum: u32,
}

/// The chunks of the newest snapshot in a folder, by id.
///
/// # Panics
/// Where there is none, or it cannot be read.
pub fn newest(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let manifest = manifests(folder).pop().unwrap_or_else(|| panic!("{} has no snapshot", folder.display()));
    let bytes = fs::read(&manifest).expect("a manifest can be read");
    let manifest: Manifest = postcard::from_bytes(&bytes[..bytes.len() - 4]).expect("a manifest decodes");
    assert_eq!(manifest.format, 1, "the tests read format 1");
    let chunk = |place: ChunkPlace| {
        let pack = fs::read(folder.join(format!("pack-{:020}", place.pack))).expect("a pack can be read");
        let start = place.offset as usize;
        (place.id, pack[start..start + place.length as usize].to_vec())
    };
    manifest.chunks.into_iter().map(chunk).collect()
}

/// The manifests of a folder, oldest first.
pub fn manifests(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    let mut found = entries.unwrap_or_default();
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("manifest-")));
    found.sort();
    found
}

/// The folders of snapshots below a state folder whose names contain a word: `aggregator` or `controller`.
pub fn folders(state: &Path, word: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(state).expect("the state folder can be read");
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(&format!("-{word}-"))));
    found.sort();
    found
}
