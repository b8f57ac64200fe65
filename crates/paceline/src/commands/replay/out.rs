//! A folder or file that appears whole or not at all.

use crate::failure::{Failure, Outcome};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What is in the making in this process: removed where a signal ends it.
static MAKING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// For commands that a signal simply ends: what is in the making is removed first. One that drains by itself does not
/// call this.
pub fn tidy_on_signal() -> Outcome {
    let failed = |error: io::Error| Failure::failed(format!("cannot listen for signals: {error}"), "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let wait = move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut interrupt)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return;
            };
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            remove_all();
            std::process::exit(1);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(|_| ()).map_err(failed)
}

/// The lock is kept until the process ends, so that nothing new begins.
fn remove_all() {
    let making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    for path in making.iter() {
        // The writer may add a file meanwhile.
        for _ in 0..3 {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
    std::mem::forget(making);
}

fn note(path: &Path, is_making: bool) {
    let mut making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if is_making {
        making.insert(path.to_owned());
    } else {
        making.remove(path);
    }
}

/// Where something is made before it gets its name.
fn hidden(target: &Path) -> Option<PathBuf> {
    beside(target, &format!(".partial-{}", std::process::id()))
}

fn beside(target: &Path, suffix: &str) -> Option<PathBuf> {
    let mut hidden = OsString::from(".");
    hidden.push(target.file_name()?);
    hidden.push(suffix);
    Some(target.with_file_name(hidden))
}

/// A file in the making; dropped, it is removed.
pub struct OutFile {
    target: PathBuf,
    making: PathBuf,
}

impl OutFile {
    /// Begins a file that must not be there yet, and opens it for writing.
    pub fn begin(target: &Path) -> Outcome<(Self, fs::File)> {
        if target.symlink_metadata().is_ok() {
            return Err(Failure::failed(
                format!("{} is there already", target.display()),
                "give --out a new name, or remove the old file",
            ));
        }
        let making = hidden(target).ok_or_else(|| Failure::usage("--out names no file", "add a name"))?;
        let file = fs::File::create(&making).map_err(|error| unwritable(&making, &error))?;
        note(&making, true);
        Ok((Self { target: target.to_owned(), making }, file))
    }

    /// Puts the file in its place; what was written must have been flushed. Whoever took the name meanwhile keeps it.
    pub fn finish(self) -> Outcome {
        let synced = fs::File::open(&self.making).and_then(|file| file.sync_all());
        let placed = synced.and_then(|()| fs::hard_link(&self.making, &self.target));
        placed.map_err(|error| unwritable(&self.target, &error))
    }
}

impl Drop for OutFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.making);
        note(&self.making, false);
    }
}

/// A folder in the making, beside the place where it will be; dropped, it is removed, unless it is to be gone on with.
pub struct Out {
    target: PathBuf,
    making: PathBuf,
    /// Held while a folder that others may find by its name is written to.
    lock: Option<fs::File>,
}

impl Out {
    /// Begins a folder that must not hold anything yet.
    pub fn begin(target: &Path) -> Outcome<Self> {
        free(target)?;
        let making = hidden(target).ok_or_else(|| taken(target))?;
        fs::create_dir_all(&making).map_err(|error| unwritable(&making, &error))?;
        note(&making, true);
        Ok(Self { target: target.to_owned(), making, lock: None })
    }

    /// The same under a name that stays: what an interrupted run leaves there, the next one finds.
    pub fn begin_or_go_on(target: &Path) -> Outcome<Self> {
        free(target)?;
        let making = beside(target, ".partial").ok_or_else(|| taken(target))?;
        fs::create_dir_all(&making).map_err(|error| unwritable(&making, &error))?;
        let path = making.join(LOCK);
        let lock = fs::File::create(&path).map_err(|error| unwritable(&path, &error))?;
        if lock.try_lock().is_err() {
            return Err(Failure::failed(
                format!("another run writes to {}", making.display()),
                "wait for it, or give --out another folder",
            ));
        }
        Ok(Self { target: target.to_owned(), making, lock: Some(lock) })
    }

    /// Where to write.
    pub fn folder(&self) -> &Path {
        &self.making
    }

    /// Writes a text.
    pub fn write(&self, name: &str, text: &str) -> Outcome {
        let path = self.making.join(name);
        fs::write(&path, text).map_err(|error| unwritable(&path, &error))
    }

    /// Puts the folder in its place.
    pub fn finish(self) -> Outcome {
        if self.lock.is_some() {
            let path = self.making.join(LOCK);
            fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
        }
        // An empty folder may be there; one with something in it refuses the name.
        fs::rename(&self.making, &self.target).map_err(|error| unwritable(&self.target, &error))
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // What is to be gone on with stays; after a finish there is nothing of this name any more.
        if self.lock.is_some() {
            return;
        }
        let _ = fs::remove_dir_all(&self.making);
        note(&self.making, false);
    }
}

/// Who writes to a folder that others may find holds this file.
const LOCK: &str = ".lock";

/// Refuses a place that holds something.
fn free(target: &Path) -> Outcome {
    match fs::read_dir(target) {
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| Err(taken(target))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(unwritable(target, &error)),
    }
}

fn taken(target: &Path) -> Failure {
    Failure::failed(format!("{} is not empty", target.display()), "give --out a new folder, or remove the old one")
}

/// What to tell where a place cannot be written.
pub fn unwritable(place: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        format!("cannot write to {}: {error}", place.display()),
        "check the folder, its rights and the disk",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all_and_takes_nobody_s_name() {
        use std::io::Write;
        let base = std::env::temp_dir().join(format!("paceline-out-file-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let target = base.join("rows.csv");
        let (dropped, mut file) = OutFile::begin(&target).unwrap();
        file.write_all(b"a,b\n").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
        let (finished, mut file) = OutFile::begin(&target).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!target.exists(), "not before it is whole");
        finished.finish().unwrap();
        assert_eq!((fs::read_to_string(&target).unwrap().as_str(), fs::read_dir(&base).unwrap().count()), ("whole", 1));
        assert!(OutFile::begin(&target).is_err_and(|failure| failure.what.contains("is there already")));
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let base = std::env::temp_dir().join(format!("paceline-out-{}", std::process::id()));
        let target = base.join("run");
        let dropped = Out::begin(&target).unwrap();
        dropped.write("a", "text").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(&base).unwrap().count(), 0);
        let finished = Out::begin(&target).unwrap();
        finished.write("a", "text").unwrap();
        finished.finish().unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "text");
        assert!(Out::begin(&target).is_err_and(|failure| failure.what.contains("is not empty")));
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn what_is_to_be_gone_on_with_stays_and_has_one_writer() {
        let base = std::env::temp_dir().join(format!("paceline-out-kept-{}", std::process::id()));
        let target = base.join("run");
        let first = Out::begin_or_go_on(&target).unwrap();
        first.write("a", "text").unwrap();
        assert!(Out::begin_or_go_on(&target).is_err_and(|failure| failure.what.contains("another run")));
        drop(first);
        let second = Out::begin_or_go_on(&target).unwrap();
        assert_eq!(fs::read_to_string(second.folder().join("a")).unwrap(), "text");
        second.finish().unwrap();
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "the lock is gone");
        fs::remove_dir_all(&base).unwrap();
    }
}
