//! Writes snapshots on a thread of its own: the loops only freeze; encoding, checksums and the disk are waited for here.

use super::context::Context;
use crate::failure::{Failure, Outcome};
use crate::snapshots::{Chunk, Directory, Snapshots};
use aggregator::SetSnapshot;
use model::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

/// A state that was frozen at a committed position.
pub trait Frozen: Send {
    /// The folder of its snapshots, below `state.dir`.
    fn folder(&self, state_dir: &Path, group: &str) -> PathBuf;
    /// What the manifest says of the position.
    fn header(&self) -> Result<Vec<u8>, postcard::Error>;
    /// The state.
    fn chunks(&self) -> Vec<Chunk<'_>>;
    /// When it was frozen.
    fn taken_at_ms(&self) -> Millis;
}

/// A frozen set whose cut is committed.
pub struct SnapshotJob {
    /// Of which sibling set.
    pub partition: i32,
    /// The frozen state.
    pub snapshot: SetSnapshot,
    /// When it was frozen.
    pub taken_at_ms: Millis,
}

/// What a manifest says of a sibling set's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetHeader {
    /// Count of cuts.
    pub epoch: i64,
    /// Positions of the siblings.
    pub positions: [i64; 3],
}

/// The writing thread.
pub struct SnapshotWriter {
    jobs: Option<Sender<Box<dyn Frozen>>>,
    /// Queued, or being written.
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Makes the folder where it is not there, and tries to write in it.
pub fn make_usable(folder: &Path) -> Outcome {
    let probe = folder.join(format!(".writable-{}", std::process::id()));
    let tried = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, b""));
    let _ = std::fs::remove_file(&probe);
    tried.map_err(|error| {
        Failure::setup(
            format!("state.dir {} cannot be made or written in: {error}", folder.display()),
            "set state.dir to a folder that can be written",
        )
    })
}

impl SnapshotWriter {
    /// Starts the thread; the folder must be writable.
    pub fn start(context: &Context) -> Outcome<Self> {
        let folder = context.settings.state_dir.clone();
        make_usable(&folder)?;
        let (jobs, queue) = channel::<Box<dyn Frozen>>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let metrics = context.metrics.clone();
        let group = context.settings.group.clone();
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            let mut of_folder: BTreeMap<PathBuf, Snapshots> = BTreeMap::new();
            while let Ok(job) = queue.recv() {
                let started = Instant::now();
                let place = job.folder(&folder, &group);
                match write(&mut of_folder, &place, &*job) {
                    Ok(bytes) => {
                        metrics.snapshot_seconds.observe(started.elapsed().as_secs_f64());
                        metrics.snapshot_bytes.set(bytes as i64);
                        metrics.snapshot_last_success.set(job.taken_at_ms() as f64 / 1e3);
                    }
                    Err(error) => {
                        metrics.snapshot_failures.inc();
                        tracing::error!(folder = %place.display(), %error, "snapshot not written; the log stays the truth");
                    }
                }
                drop(job);
                written.fetch_sub(1, Ordering::SeqCst);
            }
        });
        let thread =
            thread.map_err(|error| Failure::failed(format!("cannot start the snapshot thread: {error}"), ""))?;
        Ok(Self { jobs: Some(jobs), waiting, thread: Some(thread) })
    }

    /// Queues a snapshot.
    pub fn write(&self, job: impl Frozen + 'static) {
        if let Some(jobs) = &self.jobs {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            let _ = jobs.send(Box::new(job));
        }
    }

    /// Whether all that was queued is written: what it froze is held no more.
    pub fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Waits until all queued snapshots are written.
    pub fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where the snapshots of a sibling set are.
pub fn set_folder(state_dir: &Path, group: &str, partition: i32) -> PathBuf {
    state_dir.join(format!("{group}-aggregator-{partition}"))
}

impl Frozen for SnapshotJob {
    fn folder(&self, state_dir: &Path, group: &str) -> PathBuf {
        set_folder(state_dir, group, self.partition)
    }

    fn header(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_allocvec(&SetHeader { epoch: self.snapshot.epoch(), positions: self.snapshot.positions() })
    }

    fn chunks(&self) -> Vec<Chunk<'_>> {
        let chunks = self.snapshot.chunks().into_iter().map(|chunk| Chunk {
            id: chunk.id.clone(),
            version: chunk.version,
            encode: Box::new(move || chunk.encode()),
        });
        chunks.collect()
    }

    fn taken_at_ms(&self) -> Millis {
        self.taken_at_ms
    }
}

fn write(of_folder: &mut BTreeMap<PathBuf, Snapshots>, folder: &Path, job: &dyn Frozen) -> std::io::Result<u64> {
    let snapshots = match of_folder.entry(folder.to_owned()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let directory = Directory::open(folder)?;
            directory.remove_unfinished()?;
            new.insert(Snapshots::open(Box::new(directory))?)
        }
    };
    let header = job.header().map_err(std::io::Error::other)?;
    Ok(snapshots.write(header, job.taken_at_ms(), job.chunks())?.bytes)
}
