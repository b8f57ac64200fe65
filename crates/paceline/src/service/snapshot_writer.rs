//! Writes snapshots of stage 1 on a thread of its own: the fold only freezes, which takes microseconds.

use super::context::Context;
use crate::failure::{Failure, Outcome};
use crate::snapshots::{Chunk, Directory, Snapshots};
use aggregator::SetSnapshot;
use model::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

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
    jobs: Option<Sender<SnapshotJob>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotWriter {
    /// Starts the thread; the folder must be writable.
    pub fn start(context: &Context) -> Outcome<Self> {
        let folder = context.settings.state_dir.clone();
        std::fs::create_dir_all(&folder).map_err(|error| {
            Failure::setup(
                format!("cannot create state.dir {}: {error}", folder.display()),
                "set state.dir to a folder that can be written",
            )
        })?;
        let (jobs, queue) = channel::<SnapshotJob>();
        let metrics = context.metrics.clone();
        let group = context.settings.group.clone();
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            let mut of_partition: BTreeMap<i32, Snapshots> = BTreeMap::new();
            while let Ok(job) = queue.recv() {
                let started = Instant::now();
                match write(&mut of_partition, &folder, &group, &job) {
                    Ok(bytes) => {
                        metrics.snapshot_seconds.observe(started.elapsed().as_secs_f64());
                        metrics.snapshot_bytes.set(bytes as i64);
                        metrics.snapshot_last_success.set(job.taken_at_ms as f64 / 1e3);
                    }
                    Err(error) => {
                        metrics.snapshot_failures.inc();
                        tracing::error!(partition = job.partition, %error, "snapshot not written; the log stays the truth");
                    }
                }
            }
        });
        let thread =
            thread.map_err(|error| Failure::failed(format!("cannot start the snapshot thread: {error}"), ""))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a snapshot.
    pub fn write(&self, job: SnapshotJob) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
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
pub fn set_folder(state_dir: &std::path::Path, group: &str, partition: i32) -> PathBuf {
    state_dir.join(format!("{group}-aggregator-{partition}"))
}

fn write(
    of_partition: &mut BTreeMap<i32, Snapshots>,
    state_dir: &std::path::Path,
    group: &str,
    job: &SnapshotJob,
) -> std::io::Result<u64> {
    let snapshots = match of_partition.entry(job.partition) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let store = Directory::open(&set_folder(state_dir, group, job.partition))?;
            new.insert(Snapshots::open(Box::new(store))?)
        }
    };
    let header = SetHeader { epoch: job.snapshot.epoch(), positions: job.snapshot.positions() };
    let header = postcard::to_allocvec(&header).map_err(std::io::Error::other)?;
    let chunks = job.snapshot.chunks().into_iter().map(|chunk| Chunk {
        id: chunk.id.clone(),
        version: chunk.version,
        encode: Box::new(move || chunk.encode()),
    });
    Ok(snapshots.write(header, job.taken_at_ms, chunks.collect())?.bytes)
}
