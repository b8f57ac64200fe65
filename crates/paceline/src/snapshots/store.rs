//! Where snapshots are kept: a directory here, an object store behind the same trait later.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Named blobs; a name is either whole or absent.
pub trait SnapshotStore: Send {
    /// Writes a blob durably under a name that did not exist before.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Reads a blob; `None` where there is none.
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// All names, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Removes a blob; absent is fine.
    fn delete(&self, name: &str) -> io::Result<()>;
}

/// A folder on a local or mounted disk.
pub struct Directory {
    folder: PathBuf,
}

impl Directory {
    /// Opens or creates the folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Removes what earlier writers left half written. For who writes here alone: another writer's blob in the making
    /// would go too, and its write would fail.
    pub fn remove_unfinished(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().strip_prefix('.').is_some_and(|name| name.ends_with(UNFINISHED)) {
                gone(fs::remove_file(entry.path()))?;
            }
        }
        Ok(())
    }
}

/// What the name of a blob in the making ends with, a dot before it.
const UNFINISHED: &str = ".unfinished";

/// That something is absent already is fine.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Writes a file to the disk.
fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Pseudonyms of users are personal data: nobody else reads them.
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl SnapshotStore for Directory {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(format!(".{name}{UNFINISHED}"));
        let written = write_through(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, self.folder.join(name)));
        if let Err(error) = written {
            // What did not fit must not keep a full disk full. Of two errors the first says more.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        File::open(&self.folder)?.sync_all()
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.folder.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        gone(fs::remove_file(self.folder.join(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, and the names in it, hidden ones too.
    fn folder(name: &str) -> (PathBuf, impl Fn() -> Vec<String>) {
        let folder = std::env::temp_dir().join(format!("paceline-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let place = folder.clone();
        let names = move || {
            let entries = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name());
            entries.map(|name| name.to_string_lossy().into_owned()).collect()
        };
        (folder, names)
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let (folder, names) = folder("store-fails");
        let store = Directory::open(&folder).unwrap();
        // No file can take the name of a folder.
        fs::create_dir(folder.join("pack-1")).unwrap();
        assert!(store.put("pack-1", b"bytes").is_err());
        assert_eq!(names(), ["pack-1"]);
        store.put("pack-2", b"bytes").unwrap();
        assert_eq!(store.get("pack-2").unwrap().as_deref(), Some(&b"bytes"[..]));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_an_earlier_writer_left_half_written_goes_and_whole_blobs_stay() {
        let (folder, names) = folder("store-left");
        let store = Directory::open(&folder).unwrap();
        store.put("pack-1", b"bytes").unwrap();
        fs::write(folder.join(".pack-2.unfinished"), b"by").unwrap();
        store.remove_unfinished().unwrap();
        assert_eq!(names(), ["pack-1"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
