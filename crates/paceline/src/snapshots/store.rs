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
}

impl SnapshotStore for Directory {
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(format!(".{name}.unfinished"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Pseudonyms of users are personal data: nobody else reads them.
            options.mode(0o600);
        }
        let mut file = options.open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(name))?;
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
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
