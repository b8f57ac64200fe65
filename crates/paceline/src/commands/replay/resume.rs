//! What an interrupted replay has kept: the journal partitions that it had finished, and where it was made of events, the
//! journal that stage 1 made of them.
//!
//! What always holds: a partition's files and figures depend on its journal alone, so a run that takes kept ones over
//! ends in the same bytes as one that was never interrupted. What is kept belongs to one build, journal, policy and
//! window; anything else is refused. A partition counts as kept once its figures are there under their name, which they
//! get when its tables are complete. Missing on purpose: checkpoints within a partition (a Parquet file that is being
//! written cannot be gone on with), so what was under way begins anew.

use super::out::unwritable;
use super::source::Way;
use crate::failure::{Failure, Outcome};
use replay::Figures;
use replay::summary::About;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What is kept, or where it is to be.
pub struct Kept {
    folder: PathBuf,
}

/// Whose work it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    format: u32,
    about: About,
    /// What the journal is made of.
    source: String,
    /// How its partitions begin.
    way: Way,
    /// Where each partition ends for this run: a topic may have grown since.
    ends: Ends,
}

/// Where partitions end.
type Ends = Vec<(i32, i64)>;

/// Version of these files' form.
const FORMAT: u32 = 2;
const FOLDER: &str = ".kept";
const IDENTITY: &str = "run.json";

impl Kept {
    /// Begins, or finds what an interrupted run with the same arguments has kept; `what` and `way` name the input, `ends` is
    /// where its partitions end. Given back is where they end for this run: where they did at its beginning.
    pub fn open(making: &Path, about: &About, (what, way): (String, Way), ends: Ends) -> Outcome<(Self, Ends)> {
        let folder = making.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
        let path = folder.join(IDENTITY);
        let own = Identity { format: FORMAT, about: about.clone(), source: what, way, ends };
        let kept = match fs::read(&path) {
            Err(_) => None,
            Ok(bytes) => Some(serde_json::from_slice::<Identity>(&bytes).ok()),
        };
        let ends = match kept {
            None => {
                let text = serde_json::to_string_pretty(&own).unwrap_or_default();
                put(&path, text.as_bytes())?;
                own.ends
            }
            Some(Some(kept)) if kept == (Identity { ends: kept.ends.clone(), ..own }) => kept.ends,
            Some(_) => {
                return Err(Failure::failed(
                    format!(
                        "{} holds a part of another run: its build, input, policy or window differ",
                        making.display()
                    ),
                    format!("give the arguments of that run, or remove {}", making.display()),
                ));
            }
        };
        Ok((Self { folder }, ends))
    }

    /// A file or folder of what is kept, beside the figures.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The figures of a partition that was finished.
    pub fn figures(&self, partition: i32) -> Option<Figures> {
        postcard::from_bytes(&fs::read(self.place(partition)).ok()?).ok()
    }

    /// Keeps a partition whose tables are complete.
    pub fn keep(&self, partition: i32, figures: &Figures) -> Outcome {
        let path = self.place(partition);
        let bytes = postcard::to_stdvec(figures).map_err(|error| unwritable(&path, &std::io::Error::other(error)))?;
        put(&path, &bytes)
    }

    /// How many partitions are kept.
    pub fn count(&self) -> usize {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == EXTENSION)).count()
    }

    /// Nothing is to be gone on with any more.
    pub fn remove(self) -> Outcome {
        fs::remove_dir_all(&self.folder).map_err(|error| unwritable(&self.folder, &error))
    }

    fn place(&self, partition: i32) -> PathBuf {
        self.folder.join(format!("partition-{partition:05}.{EXTENSION}"))
    }
}

const EXTENSION: &str = "figures";

/// A file that is whole or not there.
pub fn put(path: &Path, bytes: &[u8]) -> Outcome {
    let making = path.with_extension("new");
    let written = fs::write(&making, bytes).and_then(|()| fs::rename(&making, path));
    written.map_err(|error| unwritable(path, &error))
}
