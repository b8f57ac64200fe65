//! What the registry has answered, on disk: read where the registry cannot be asked, so that a start in its absence still
//! decodes what is known.
//!
//! What always holds: only what a registry has said is kept, in a folder of that registry's address, so that ids of two
//! registries never mix; a file that is torn, altered by accident or of another id is passed over as if it were not there;
//! an id that is not here is not unknown, it was only never asked for. Refusals are never kept. Only the service writes: a
//! command that another user runs leaves nothing in its folder. A write that fails costs the next start its help, no more.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of one registry.
pub struct Disk {
    folder: PathBuf,
    writes: bool,
}

/// Something that was kept, and when the registry said it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// What it said.
    pub said: T,
    /// UTC epoch milliseconds.
    pub at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct File {
    at_ms: i64,
    /// The id of a schema, or of our schema under a subject.
    id: u32,
    /// The schema's text.
    schema: String,
    /// Of all of the above.
    sha256: String,
}

/// More files than this of one registry are not written: far above what one deployment has, and what a flood can reach.
const FILES_MAX: usize = 4096;

impl Disk {
    /// The folder below `state_dir` for the registry at `url`; it is created with the first write.
    pub fn at(state_dir: &Path, url: &str, writes: bool) -> Self {
        Self { folder: state_dir.join("registry").join(&hex(url)[..16]), writes }
    }

    /// The text of a schema.
    pub fn schema(&self, id: u32) -> Option<Kept<String>> {
        let (file, at_ms) = self.read(&name_of(id))?;
        (file.id == id).then_some(Kept { said: file.schema, at_ms })
    }

    /// The id of a text of ours under a subject; another text of ours, as of another release, is not known here.
    pub fn id(&self, subject: &str, text: &str) -> Option<Kept<u32>> {
        let (file, at_ms) = self.read(&subject_name(subject, text))?;
        (file.schema == text).then_some(Kept { said: file.id, at_ms })
    }

    /// Keeps the text of a schema; where it could not, why.
    pub fn keep_schema(&self, id: u32, text: &str, at_ms: i64) -> Result<(), String> {
        self.write(&name_of(id), id, text, at_ms)
    }

    /// Keeps the id of a text of ours under a subject; where it could not, why.
    pub fn keep_id(&self, subject: &str, text: &str, id: u32, at_ms: i64) -> Result<(), String> {
        self.write(&subject_name(subject, text), id, text, at_ms)
    }

    fn read(&self, name: &str) -> Option<(File, i64)> {
        let bytes = fs::read(self.folder.join(name)).ok()?;
        let file: File = serde_json::from_slice(&bytes).ok()?;
        let is_whole = file.sha256 == checksum(file.at_ms, file.id, &file.schema);
        let at_ms = file.at_ms;
        is_whole.then_some((file, at_ms))
    }

    fn write(&self, name: &str, id: u32, text: &str, at_ms: i64) -> Result<(), String> {
        if !self.writes {
            return Ok(());
        }
        let failed = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let path = self.folder.join(name);
        if !path.exists() && fs::read_dir(&self.folder).map_err(failed)?.count() >= FILES_MAX {
            return Err(format!("{} holds {FILES_MAX} files already", self.folder.display()));
        }
        let sha256 = checksum(at_ms, id, text);
        let file = File { at_ms, id, schema: text.to_owned(), sha256 };
        let bytes = serde_json::to_vec(&file).map_err(|error| error.to_string())?;
        // Two services of one machine may write the same: each its own file, and whole ones replace each other.
        let unfinished = self.folder.join(format!(".{name}.{}", std::process::id()));
        let put = || fs::File::create(&unfinished)?.write_all(&bytes).and_then(|()| fs::rename(&unfinished, &path));
        put().map_err(failed)
    }
}

fn name_of(id: u32) -> String {
    format!("id-{id}.json")
}

/// A subject may hold any character.
fn subject_name(subject: &str, text: &str) -> String {
    format!("ours-{}.json", &hex(&format!("{subject}\n{text}"))[..24])
}

fn checksum(at_ms: i64, id: u32, text: &str) -> String {
    hex(&format!("{at_ms}\n{id}\n{text}"))
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("paceline-registry-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_kept_is_read_by_the_next_process_and_by_its_own_registry_only() {
        let folder = Folder::new("kept");
        let disk = Disk::at(folder.path(), "http://one", true);
        disk.keep_schema(7, "\"string\"", 5).unwrap();
        disk.keep_id("a/b-value", "\"long\"", 9, 6).unwrap();
        let again = Disk::at(folder.path(), "http://one", false);
        assert_eq!(again.schema(7), Some(Kept { said: "\"string\"".into(), at_ms: 5 }));
        assert_eq!(again.id("a/b-value", "\"long\""), Some(Kept { said: 9, at_ms: 6 }));
        assert_eq!(again.id("a/b-value", "\"int\""), None, "another release's text was never registered there");
        assert_eq!((again.schema(8), Disk::at(folder.path(), "http://two", true).schema(7)), (None, None));
    }

    #[test]
    fn a_torn_or_altered_file_is_as_none() {
        let folder = Folder::new("torn");
        let disk = Disk::at(folder.path(), "http://one", true);
        disk.keep_schema(7, "\"string\"", 5).unwrap();
        let path = disk.folder.join(name_of(7));
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(disk.schema(7), None, "{length} bytes");
        }
        fs::write(&path, String::from_utf8(whole.clone()).unwrap().replace("string", "double")).unwrap();
        assert_eq!(disk.schema(7), None);
        fs::write(disk.folder.join(name_of(8)), &whole).unwrap();
        assert_eq!(disk.schema(8), None, "a file of another id");
    }

    #[test]
    fn a_command_that_only_reads_leaves_nothing_behind() {
        let folder = Folder::new("reads");
        Disk::at(folder.path(), "http://one", false).keep_schema(7, "\"string\"", 5).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
