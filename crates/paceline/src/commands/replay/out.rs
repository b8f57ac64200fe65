//! A folder that appears whole or not at all.

use crate::failure::{Failure, Outcome};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder in the making, beside the place where it will be; dropped, it is removed.
pub struct Out {
    target: PathBuf,
    making: PathBuf,
}

impl Out {
    /// Begins a folder that must not hold anything yet.
    pub fn begin(target: &Path) -> Outcome<Self> {
        let is_taken = match fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(unwritable(target, &error)),
        };
        let Some(name) = target.file_name().filter(|_| !is_taken) else {
            return Err(Failure::failed(
                format!("{} is not empty", target.display()),
                "give --out a new folder, or remove the old one",
            ));
        };
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".partial-{}", std::process::id()));
        let making = target.with_file_name(hidden);
        fs::create_dir_all(&making).map_err(|error| unwritable(&making, &error))?;
        Ok(Self { target: target.to_owned(), making })
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
        // An empty folder may be there; one with something in it refuses the name.
        fs::rename(&self.making, &self.target).map_err(|error| unwritable(&self.target, &error))
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // After a finish there is nothing of this name any more.
        let _ = fs::remove_dir_all(&self.making);
    }
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
}
