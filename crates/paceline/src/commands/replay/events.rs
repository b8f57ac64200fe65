//! `paceline replay --events`: events of files or of the broker's topics through both stages, in virtual time.
//!
//! What always holds: rows become records exactly as `paceline import` makes them, and are decoded again as stage 1 does;
//! a file with a mistake replays nothing. Stage 1 runs on this thread; journal partitions are shared out to the others,
//! and each gets its records in their order, so the result does not depend on how many there are. All records are in
//! memory, encoded: about 200 bytes an event. Where a run is to be gone on with, the journal is written down first and
//! each of its partitions is kept when it is done; both ways give the same bytes.

use super::resume::{Kept, put};
use super::topics::Topics;
use super::{cores, hex, interrupted, out, side_by_side_over, stopped};
use crate::cli::{Import, Replay};
use crate::commands::campaigns;
use crate::commands::import::map::Kind as RecordKind;
use crate::commands::import::{self, Encoded};
use crate::commands::replay::progress::Progress;
use crate::commands::run::BUILD;
use crate::failure::{Failure, Kind, Outcome};
use crate::service::context::Stop;
use crate::service::{idle_after_ms, semantics};
use crate::settings::Settings;
use avro_codec::{ArchiveWriter, Archived, Codec, RecordName, read_archive};
use controller::{JournalPosition, Setup};
use model::event::EventKind;
use model::fact::{CampaignSpec, ControlTopic, Fact};
use model::journal::JournalRecord;
use model::time::{DAY_MS, Millis};
use replay::{EventCounts, Figures, Part, Stages, StagesSetup};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, sync_channel};

/// Files, read and checked.
pub struct Events {
    settings: Settings,
    specs: Vec<CampaignSpec>,
    records: Vec<Encoded>,
    stages: StagesSetup,
    /// Text of the policy; the built-in defaults where empty.
    policy: String,
    codec: Codec,
    /// What became of the events, once they are through stage 1.
    counts: OnceLock<EventCounts>,
}

/// A record on its way to the thread of its partition.
struct Parcel {
    partition: i32,
    at: JournalPosition,
    record: JournalRecord,
    /// It closes the last windows.
    closes: bool,
}

/// What stage 1 has made of all events, where it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Made {
    records: u64,
    /// Offsets of the records that close the last windows, by partition.
    closing: BTreeMap<i32, i64>,
    /// Events that were refused, by reason.
    refused: BTreeMap<String, u64>,
    counts: EventCounts,
}

impl Made {
    const FOLDER: &str = "journal";
    const FILE: &str = "journal.json";

    fn file(partition: i32) -> String {
        format!("{}/journal-{partition:05}.avro", Self::FOLDER)
    }

    /// It is written when all files are, so that it stands for them.
    fn write(&self, kept: &Kept) -> Outcome {
        put(&kept.beside(Self::FILE), serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    fn read(kept: &Kept) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(kept.beside(Self::FILE)).ok()?).ok()
    }
}

fn warn_of(refused: &BTreeMap<String, u64>) {
    for (reason, count) in refused {
        eprintln!("warning: {count} events were refused: {reason}");
    }
}

/// Records are read with the limit of those that a broker holds, and here nothing splits them.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Records that may wait for a partition: enough to bridge a slow one, few enough for memory.
const WAITING_MAX: usize = 256;
/// A longer silence is a wrong instant, and would be cut minute by minute.
const GAP_MAX_MS: Millis = 90 * DAY_MS;
/// Names of files that are taken out of a folder.
const EXTENSIONS: [&str; 5] = ["csv", "jsonl", "ndjson", "avro", "parquet"];

impl Events {
    /// Reads all files, or the broker's topics up to `to` where none are named; `policy` is the text of the policy.
    pub fn read(arguments: &Replay, policy: Option<&str>, to: Option<Millis>) -> Outcome<Self> {
        let (settings, _) = Settings::load(&arguments.config.files)?;
        if arguments.files.is_empty() {
            return Self::of_topics(arguments, settings, policy, to);
        }
        let specs = specified(arguments)?;
        if specs.is_empty() {
            return Err(Failure::usage(
                "--files needs --campaigns: events tell nothing of budgets and bids",
                "give the specifications that `paceline campaigns apply` takes",
            ));
        }
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
        Self::of(settings, specs, records, policy.unwrap_or_default().to_owned(), Codec::fixed())
    }

    /// The broker's topics: events as they arrived, with the specifications, the platform's reports and the policy beside them.
    fn of_topics(arguments: &Replay, settings: Settings, policy: Option<&str>, to: Option<Millis>) -> Outcome<Self> {
        let mut recorded = Topics::open(&settings)?;
        let mut specs = specified(arguments)?;
        if specs.is_empty() {
            specs = recorded.specs()?;
        }
        let policy = match policy {
            Some(policy) => policy.to_owned(),
            None => recorded.policy()?,
        };
        let mut records = Vec::new();
        for kind in [EventKind::Impression, EventKind::Click, EventKind::Conversion] {
            recorded.events(kind, to, &mut records)?;
        }
        recorded.reports(to, &mut records)?;
        if records.is_empty() {
            return Err(Failure::failed("the event topics hold nothing of that time", "give --files, or another --to"));
        }
        // Of one instant: impressions before clicks before conversions, each in its log's order.
        records.sort_by_key(|record| record.at);
        let codec = recorded.codec().clone();
        Self::of(settings, specs, records, policy, codec)
    }

    fn of(
        settings: Settings,
        specs: Vec<CampaignSpec>,
        records: Vec<Encoded>,
        policy: String,
        codec: Codec,
    ) -> Outcome<Self> {
        if let Some(pair) = records.windows(2).find(|pair| pair[1].at.saturating_sub(pair[0].at) > GAP_MAX_MS) {
            return Err(Failure::failed(
                format!("nothing happened for more than 90 days between {} and {} (epoch ms)", pair[0].at, pair[1].at),
                "correct the column of the time or its format in the map, or replay the files apart",
            ));
        }
        let stage1 = policy::settings::check(&policy).map(|policy| policy.stage1).unwrap_or_default();
        let topics = &settings.topics;
        let stages = StagesSetup {
            partitions: settings.journal_partitions,
            build: BUILD.to_owned(),
            topics: [topics.impressions.clone(), topics.clicks.clone(), topics.conversions.clone()],
            semantics: semantics(0, &stage1),
            idle_after_ms: idle_after_ms(&stage1),
        };
        Ok(Self { settings, specs, records, stages, policy, codec, counts: OnceLock::new() })
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
            let fed = self.feed(work, &progress, &mut |parcel| {
                senders[parcel.partition as usize % senders.len()].send(parcel).map_err(|_| stopped())
            });
            let fed = fed.map(|refused| warn_of(&refused));
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

    /// The same in two steps that are kept: stage 1, whose journal is written down, then each journal partition by itself.
    pub fn run_and_keep(&self, work: &Place<'_>, kept: &Kept, threads: Option<u16>) -> Outcome<Figures> {
        let made = match Made::read(kept) {
            Some(made) => made,
            None => self.make(work, kept)?,
        };
        warn_of(&made.refused);
        let _ = self.counts.set(made.counts);
        let progress = Progress::new("journal records", made.records, None);
        let partitions: Vec<i32> = (0..self.stages.partitions.max(1)).collect();
        let threads = threads.map_or_else(cores, usize::from);
        let done = side_by_side_over(
            &partitions,
            threads,
            work.stop,
            || Ok(Codec::fixed()),
            |codec, partition| {
                if let Some(figures) = kept.figures(partition) {
                    figures.spans.iter().for_each(|span| progress.pass(span.records, span.deltas));
                    return Ok(figures);
                }
                let figures = self.decide_one(work, kept, &made, (codec, partition), &progress)?;
                kept.keep(partition, &figures)?;
                Ok(figures)
            },
        );
        progress.end();
        let done = done.map_err(|failure| match failure.kind {
            Kind::Stopped => interrupted(kept.count(), partitions.len()),
            _ => failure,
        });
        let mut figures = Figures::default();
        done?.into_iter().for_each(|one| figures.take(one));
        Ok(figures)
    }

    /// Stage 1 into files.
    fn make(&self, work: &Place<'_>, kept: &Kept) -> Outcome<Made> {
        let folder = kept.beside(Made::FOLDER);
        let begun = match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::create_dir_all(&folder),
        };
        begun.map_err(|error| out::unwritable(&folder, &error))?;
        let wrong = |words: String| out::unwritable(&folder, &std::io::Error::other(words));
        let open = |partition: i32| {
            let path = kept.beside(&Made::file(partition));
            let file = File::create(&path).map_err(|error| out::unwritable(&path, &error))?;
            ArchiveWriter::new(BufWriter::new(file)).map_err(wrong)
        };
        let mut writers = (0..self.stages.partitions.max(1)).map(open).collect::<Outcome<Vec<_>>>()?;
        let progress = Progress::new("events", self.records.len() as u64, None);
        let (codec, mut made) = (Codec::fixed(), Made::default());
        let fed = self.feed(work, &progress, &mut |Parcel { partition, at, record, closes }| {
            let payload = codec.encode(RecordName::JournalRecord, &record).map_err(|error| wrong(error.to_string()))?;
            if payload.len() > KEPT_BYTES_MAX {
                return Err(Failure::failed(
                    format!(
                        "a record of {} bytes, of journal partition {partition}, is too large to be kept",
                        payload.len()
                    ),
                    "leave --resume out",
                ));
            }
            made.records += 1;
            if closes {
                made.closing.insert(partition, at.offset);
            }
            let archived = Archived { offset: at.offset, timestamp_ms: at.timestamp_ms, payload: Some(payload) };
            writers[partition as usize].push(archived).map_err(wrong)
        });
        progress.end();
        made.refused = fed?;
        made.counts = self.counts().unwrap_or_default();
        for writer in writers {
            let written = writer.finish().map_err(wrong)?.into_inner();
            let synced = written.map_err(|error| error.into_error()).and_then(|file| file.sync_all());
            synced.map_err(|error| out::unwritable(&folder, &error))?;
        }
        made.write(kept)?;
        Ok(made)
    }

    /// Stage 2 of one partition, from the journal that was written down.
    fn decide_one(
        &self,
        work: &Place<'_>,
        kept: &Kept,
        made: &Made,
        (codec, partition): (&Codec, i32),
        progress: &Progress,
    ) -> Outcome<Figures> {
        let path = kept.beside(&Made::file(partition));
        let unreadable = |words: &dyn std::fmt::Display| {
            Failure::failed(format!("cannot read {}: {words}", path.display()), "remove the folder that it lies in")
        };
        let file = File::open(&path).map_err(|error| unreadable(&error))?;
        let mut part = self.part(work, partition);
        let closing = made.closing.get(&partition).copied();
        let mut result = Ok(());
        let read = read_archive(BufReader::new(file), &mut |archived| {
            let at = JournalPosition { offset: archived.offset, timestamp_ms: archived.timestamp_ms };
            let record = codec.journal(archived.payload.as_deref().unwrap_or_default());
            result = record.map_err(|rejected| unreadable(&rejected)).and_then(|record| {
                progress.tick(record.deltas.len());
                let taken = if closing == Some(at.offset) { part.close(at, &record) } else { part.apply(at, record) };
                taken.map_err(|error| out::unwritable(work.out, &error))
            });
            if work.stop.is_asked() {
                result = Err(stopped());
            }
            result.is_ok()
        });
        result?;
        read.map_err(|words| unreadable(&words))?;
        part.finish().map_err(|error| out::unwritable(work.out, &error))
    }

    /// What became of the events; `None` before they went through stage 1.
    pub fn counts(&self) -> Option<EventCounts> {
        self.counts.get().copied()
    }

    /// What it is made of: equal texts are equal events under equal settings.
    pub fn identity(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(format!("{:?} {:?}", self.stages, self.specs));
        for record in &self.records {
            digest.update(record.at.to_be_bytes());
            digest.update((record.payload.len() as u64).to_be_bytes());
            digest.update(&record.payload);
        }
        format!("events {}", hex(&digest.finalize()))
    }

    /// Stage 1, from the first event to the last; gives how many events were refused, by reason.
    fn feed(
        &self,
        work: &Place<'_>,
        progress: &Progress,
        send: &mut dyn FnMut(Parcel) -> Outcome,
    ) -> Outcome<BTreeMap<String, u64>> {
        let mut stages = Stages::new(self.stages.clone());
        for spec in &self.specs {
            stages.tell(&self.settings.topics.campaigns, Fact::CampaignSpec(Box::new(spec.clone())));
        }
        let (codec, mut scratch) = (&self.codec, Default::default());
        for event in self.records.iter().take_while(|event| work.to.is_none_or(|to| event.at <= to)) {
            if work.stop.is_asked() {
                return Err(stopped());
            }
            let mut take = |partition, at, record| send(Parcel { partition, at, record, closes: false });
            let unreadable =
                |what: &dyn std::fmt::Display| Failure::failed(format!("a record does not decode: {what}"), "");
            match event.kind {
                RecordKind::Event(kind) => {
                    match codec.event(kind, &event.payload, &mut scratch) {
                        Ok(decoded) => stages.fold(event.at, decoded, &mut take)?,
                        // Of a topic; files were checked. A dead letter stops nothing.
                        Err(rejected) => stages.refuse(rejected.reason.as_str()),
                    }
                }
                RecordKind::Stats => {
                    let report = codec.fact(ControlTopic::Stats, &event.payload).map_err(|error| unreadable(&error))?;
                    stages.advance(event.at, &mut take)?;
                    stages.tell(&self.settings.topics.stats, report);
                }
            }
            progress.tick(0);
        }
        let send = std::cell::RefCell::new(send);
        let put = |closes: bool| {
            let send = &send;
            move |partition, at, record| (send.borrow_mut())(Parcel { partition, at, record, closes })
        };
        stages.finish(&mut put(false), &mut put(true))?;
        let _ = self.counts.set(stages.counts());
        Ok(stages.refused().iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect())
    }

    fn part(&self, work: &Place<'_>, partition: i32) -> Part {
        let setup = Setup {
            partition,
            build: BUILD.to_owned(),
            tzdb: window::calendar::tzdb_version().to_owned(),
            input_partitions: 1,
            ..Setup::default()
        };
        Part::new(work.out, setup, Some(&self.policy), work.from)
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
        let mut parts: Vec<Part> = own.map(|partition| self.part(work, partition)).collect();
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
    /// First instant that is reported on.
    pub from: Option<Millis>,
    /// Last instant.
    pub to: Option<Millis>,
    /// Asked by Ctrl-C.
    pub stop: &'a Stop,
}

/// The specifications of the files that were named.
fn specified(arguments: &Replay) -> Outcome<Vec<CampaignSpec>> {
    if arguments.campaigns.is_empty() {
        return Ok(Vec::new());
    }
    Ok(campaigns::checked(&arguments.campaigns)?.into_iter().map(|(_, spec)| spec).collect())
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
