//! `paceline replay --events`: files of events through both stages, in virtual time.
//!
//! What always holds: rows become records exactly as `paceline import` makes them, and are decoded again as stage 1 does;
//! a file with a mistake replays nothing. Stage 1 runs on this thread; journal partitions are shared out to the others,
//! and each gets its records in their order, so the result does not depend on how many there are. All records are in
//! memory, encoded: about 200 bytes an event.

use super::{cores, out, stopped};
use crate::cli::{Import, Replay};
use crate::commands::campaigns;
use crate::commands::import::map::Kind;
use crate::commands::import::{self, Encoded};
use crate::commands::replay::progress::Progress;
use crate::commands::run::BUILD;
use crate::failure::{Failure, Outcome};
use crate::service::context::Stop;
use crate::service::{idle_after_ms, semantics};
use crate::settings::Settings;
use avro_codec::Codec;
use controller::{JournalPosition, Setup};
use model::fact::{CampaignSpec, ControlTopic, Fact};
use model::journal::JournalRecord;
use model::time::{DAY_MS, Millis};
use replay::{Figures, Part, Stages, StagesSetup};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Files, read and checked.
pub struct Events {
    settings: Settings,
    specs: Vec<CampaignSpec>,
    records: Vec<Encoded>,
    stages: StagesSetup,
}

/// A record on its way to the thread of its partition.
struct Parcel {
    partition: i32,
    at: JournalPosition,
    record: JournalRecord,
    /// It closes the last windows.
    closes: bool,
}

/// Records that may wait for a partition: enough to bridge a slow one, few enough for memory.
const WAITING_MAX: usize = 256;
/// A longer silence is a wrong instant, and would be cut minute by minute.
const GAP_MAX_MS: Millis = 90 * DAY_MS;
/// Names of files that are taken out of a folder.
const EXTENSIONS: [&str; 4] = ["csv", "jsonl", "ndjson", "avro"];

impl Events {
    /// Reads all files; `policy` is the text of the policy, the built-in defaults where empty.
    pub fn read(arguments: &Replay, policy: &str) -> Outcome<Self> {
        let (settings, _) = Settings::load(&arguments.config.files)?;
        let specs = campaigns::checked(&arguments.campaigns)?.into_iter().map(|(_, spec)| spec).collect();
        let import = Import {
            config: arguments.config.clone(),
            kind: arguments.kind,
            map: arguments.map.clone(),
            shift_weeks: None,
            inputs: files(&arguments.files)?,
        };
        let records = import::records(&import)?;
        if records.is_empty() {
            return Err(Failure::failed("the files hold no events", "give --files other files, or correct the map"));
        }
        if let Some(pair) = records.windows(2).find(|pair| pair[1].at.saturating_sub(pair[0].at) > GAP_MAX_MS) {
            return Err(Failure::failed(
                format!("nothing happened for more than 90 days between {} and {} (epoch ms)", pair[0].at, pair[1].at),
                "correct the column of the time or its format in the map, or replay the files apart",
            ));
        }
        let stage1 = policy::settings::check(policy).map(|policy| policy.stage1).unwrap_or_default();
        let topics = &settings.topics;
        let stages = StagesSetup {
            partitions: settings.journal_partitions,
            build: BUILD.to_owned(),
            topics: [topics.impressions.clone(), topics.clicks.clone(), topics.conversions.clone()],
            semantics: semantics(0, &stage1),
            idle_after_ms: idle_after_ms(&stage1),
        };
        Ok(Self { settings, specs, records, stages })
    }

    /// Replays up to `to`.
    pub fn run(&self, work: &Place<'_>, threads: Option<u16>) -> Outcome<Figures> {
        let threads = threads.map_or_else(cores, usize::from).min(self.stages.partitions.max(1) as usize).max(1);
        let progress = Progress::new("events", self.records.len() as u64, None);
        let done = std::thread::scope(|scope| {
            let (senders, workers): (Vec<_>, Vec<_>) = (0..threads)
                .map(|thread| {
                    let (sender, receiver) = sync_channel(WAITING_MAX);
                    (sender, scope.spawn(move || self.decide(work, receiver, thread, threads)))
                })
                .unzip();
            let fed = self.feed(work, &senders, &progress);
            drop(senders);
            let done: Vec<Outcome<Vec<Figures>>> = workers.into_iter().map(joined).collect();
            // A worker that failed says more than the sender that found it gone.
            let done = done.into_iter().collect::<Outcome<Vec<_>>>();
            done.and_then(|done| fed.map(|()| done))
        });
        progress.end();
        let mut parts: Vec<_> = done?.into_iter().map(Vec::into_iter).collect();
        let mut figures = Figures::default();
        for partition in 0..self.stages.partitions.max(1) as usize {
            figures.take(parts[partition % threads].next().unwrap_or_default());
        }
        Ok(figures)
    }

    /// Stage 1, from the first event to the last.
    fn feed(&self, work: &Place<'_>, senders: &[SyncSender<Parcel>], progress: &Progress) -> Outcome {
        let mut stages = Stages::new(self.stages.clone());
        for spec in &self.specs {
            stages.tell(&self.settings.topics.campaigns, Fact::CampaignSpec(Box::new(spec.clone())));
        }
        let send = |closes: bool| {
            move |partition: i32, at: JournalPosition, record: JournalRecord| {
                let parcel = Parcel { partition, at, record, closes };
                senders[partition as usize % senders.len()].send(parcel).map_err(|_| stopped())
            }
        };
        let (codec, mut scratch) = (Codec::fixed(), Default::default());
        for event in self.records.iter().take_while(|event| work.to.is_none_or(|to| event.at <= to)) {
            if work.stop.is_asked() {
                return Err(stopped());
            }
            let unreadable =
                |what: &dyn std::fmt::Display| Failure::failed(format!("a record does not decode: {what}"), "");
            match event.kind {
                Kind::Event(kind) => {
                    let decoded =
                        codec.event(kind, &event.payload, &mut scratch).map_err(|error| unreadable(&error))?;
                    stages.fold(event.at, decoded, &mut send(false))?;
                }
                Kind::Stats => {
                    let report = codec.fact(ControlTopic::Stats, &event.payload).map_err(|error| unreadable(&error))?;
                    stages.advance(event.at, &mut send(false))?;
                    stages.tell(&self.settings.topics.stats, report);
                }
            }
            progress.tick(0);
        }
        stages.finish(&mut send(false), &mut send(true))?;
        for (reason, count) in stages.refused() {
            eprintln!("warning: {count} events were refused: {reason}");
        }
        Ok(())
    }

    /// Stage 2 of the partitions of one thread, in their order.
    fn decide(
        &self,
        work: &Place<'_>,
        parcels: Receiver<Parcel>,
        thread: usize,
        threads: usize,
    ) -> Outcome<Vec<Figures>> {
        let partitions = 0..self.stages.partitions.max(1);
        let own = partitions.filter(|partition| *partition as usize % threads == thread);
        let mut parts: Vec<Part> = own
            .map(|partition| {
                let setup = Setup {
                    partition,
                    build: BUILD.to_owned(),
                    tzdb: window::calendar::tzdb_version().to_owned(),
                    input_partitions: 1,
                    ..Setup::default()
                };
                Part::new(work.out, setup, Some(work.policy), work.from)
            })
            .collect();
        let unwritable = |error: std::io::Error| out::unwritable(work.out, &error);
        for Parcel { partition, at, record, closes } in parcels {
            let part = &mut parts[partition as usize / threads];
            if closes { part.close(at, &record) } else { part.apply(at, record) }.map_err(unwritable)?;
        }
        parts.into_iter().map(|part| part.finish().map_err(unwritable)).collect()
    }
}

/// Where and how far.
pub struct Place<'a> {
    /// The run's folder.
    pub out: &'a Path,
    /// Text of the policy.
    pub policy: &'a str,
    /// First instant that is reported on.
    pub from: Option<Millis>,
    /// Last instant.
    pub to: Option<Millis>,
    /// Asked by Ctrl-C.
    pub stop: &'a Stop,
}

fn joined(worker: std::thread::ScopedJoinHandle<'_, Outcome<Vec<Figures>>>) -> Outcome<Vec<Figures>> {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The files, and those in the folders, by name.
fn files(given: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable =
            |error: std::io::Error| Failure::failed(format!("cannot read {}: {error}", path.display()), "");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) {
                found.push(path);
            }
        }
        if found.is_empty() {
            let advice = "give --files a folder of .csv, .jsonl, .ndjson or .avro files";
            return Err(Failure::failed(format!("{} holds no file of events", path.display()), advice));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}
