//! The journal as files: one Avro container for each partition, and a manifest that says what they hold.
//!
//! What always holds: offsets, timestamps and bytes are those of the topic, so a replay of the files equals a replay of
//! the topics; a file that was changed, cut or exchanged is refused by its checksum before anything is replayed.

use super::{Span, needed};
use crate::cli::Export;
use crate::commands::history::History;
use crate::commands::replay::hex;
use crate::commands::replay::out::{Out, unwritable};
use crate::commands::replay::source::whole;
use crate::commands::run::BUILD;
use crate::failure::{Failure, Outcome};
use avro_codec::{ArchiveWriter, Archived, read_archive};
use controller::Setup;
use kafka_io::{From, Until};
use model::time::{HOUR_MS, Millis};
use replay::EventCounts;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What to do where an export's files do not fit.
pub const FILES_ADVICE: &str = "write the export again with `paceline export journal --out DIR`";
const MANIFEST: &str = "manifest.json";
/// Version of the manifest's form.
const FORMAT: u32 = 1;

/// What an export holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// The build that wrote it; any build may read it.
    build: String,
    topic: String,
    /// Settings of the service that a replay must repeat.
    event_partitions: i32,
    minute_rows: bool,
    partitions: Vec<Entry>,
    /// What stage 1 counted, by the hour; exports of earlier builds have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<BTreeMap<Millis, EventCounts>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    partition: i32,
    file: String,
    records: u64,
    next_offset: i64,
    sha256: String,
}

/// An export that is read.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    manifest: Manifest,
}

/// Writes the journal.
pub fn write(mut history: History, arguments: &Export, span: Span) -> Outcome {
    if span.from.is_some() {
        return Err(Failure::usage(
            "--from was given, but a journal is exported from its beginning",
            "leave it out; `paceline replay --from` reports from an instant on",
        ));
    }
    let target = needed(arguments.out.as_deref(), "an exported journal is a folder")?;
    let out = Out::begin(target)?;
    let mut manifest = Manifest {
        format: FORMAT,
        build: BUILD.to_owned(),
        topic: history.settings.topics.journal.clone(),
        event_partitions: history.setup(0).input_partitions,
        minute_rows: history.settings.minute_rows,
        partitions: Vec::new(),
        events: Some(history.event_counts(None, span.to)?),
    };
    for partition in 0..history.settings.journal_partitions {
        let entry = partition_file(&mut history, &manifest.topic, partition, span, out.folder())?;
        manifest.partitions.push(entry);
    }
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
    out.write(MANIFEST, &text)?;
    out.finish()?;
    let records: u64 = manifest.partitions.iter().map(|entry| entry.records).sum();
    eprintln!("{records} records of {} partitions of {}", manifest.partitions.len(), manifest.topic);
    Ok(())
}

fn partition_file(history: &mut History, topic: &str, partition: i32, span: Span, folder: &Path) -> Outcome<Entry> {
    let (low, _) = history.reader().watermarks(topic, partition)?;
    whole(topic, partition, low)?;
    let name = format!("journal-{partition:05}.avro");
    let path = folder.join(&name);
    let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
    let wrong = |words: String| unwritable(&path, &std::io::Error::other(words));
    let mut writer = ArchiveWriter::new(Summed::new(BufWriter::new(file))).map_err(wrong)?;
    let mut entry = Entry { partition, file: name, ..Entry::default() };
    let mut result = Ok(());
    history.reader().read(topic, partition, From::Earliest, Until::StableEnd, |record| {
        if span.to.is_some_and(|to| record.timestamp_ms > to) {
            return ControlFlow::Break(());
        }
        entry.records += 1;
        entry.next_offset = record.offset + 1;
        let payload = record.payload.map(<[u8]>::to_vec);
        let archived = Archived { offset: record.offset, timestamp_ms: record.timestamp_ms, payload };
        result = writer.push(archived);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result.map_err(wrong)?;
    let mut summed = writer.finish().map_err(wrong)?;
    summed.flush().map_err(|error| unwritable(&path, &error))?;
    entry.sha256 = hex(&summed.digest.finalize());
    Ok(entry)
}

impl Archive {
    /// Reads the manifest, and each file once to see that it is what was written.
    pub fn open(folder: &Path) -> Outcome<Self> {
        let path = folder.join(MANIFEST);
        let wrong = |words: String| Failure::failed(format!("{}: {words}", path.display()), FILES_ADVICE);
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|error| wrong(format!("is no manifest of an export: {error}")))?;
        if manifest.format != FORMAT {
            return Err(wrong(format!("is of format {}, this build reads {FORMAT}", manifest.format)));
        }
        let archive = Self { folder: folder.to_owned(), manifest };
        archive.manifest.partitions.iter().try_for_each(|entry| archive.check(entry))?;
        Ok(archive)
    }

    /// The topic that was exported.
    pub fn topic(&self) -> &str {
        &self.manifest.topic
    }

    /// The files by their checksums.
    pub fn identity(&self) -> String {
        let files = self.manifest.partitions.iter().map(|entry| format!("{}:{}", entry.partition, entry.sha256));
        files.collect::<Vec<_>>().join(" ")
    }

    /// Partitions, in their order.
    pub fn partitions(&self) -> Vec<i32> {
        let mut partitions: Vec<i32> = self.manifest.partitions.iter().map(|entry| entry.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }

    /// What stage 1 counted in the hours of a window; `None` where the export does not hold it.
    pub fn event_counts(&self, from: Option<Millis>, to: Option<Millis>) -> Option<EventCounts> {
        let mut sum = EventCounts::default();
        for (hour, counts) in self.manifest.events.as_ref()? {
            if from.is_none_or(|from| *hour + HOUR_MS > from) && to.is_none_or(|to| *hour <= to) {
                sum.add(counts);
            }
        }
        Some(sum)
    }

    /// Records of all partitions.
    pub fn records(&self) -> u64 {
        self.manifest.partitions.iter().map(|entry| entry.records).sum()
    }

    /// What the service's controller of a partition was set up with.
    pub fn setup(&self, partition: i32) -> Setup {
        Setup {
            partition,
            build: BUILD.to_owned(),
            tzdb: window::calendar::tzdb_version().to_owned(),
            minute_rows: self.manifest.minute_rows,
            input_partitions: self.manifest.event_partitions,
            rules_dry_run: false,
        }
    }

    /// Gives every record of a partition to `show`, until it says `false`.
    pub fn read(&self, partition: i32, mut show: impl FnMut(Archived) -> Outcome<bool>) -> Outcome {
        let Some(entry) = self.manifest.partitions.iter().find(|entry| entry.partition == partition) else {
            return Ok(());
        };
        let path = self.path(entry)?;
        let file = File::open(&path).map_err(|error| unreadable(&path, error))?;
        let mut result = Ok(());
        read_archive(BufReader::with_capacity(READ_BYTES, file), &mut |record| match show(record) {
            Ok(go_on) => go_on,
            Err(failure) => {
                result = Err(failure);
                false
            }
        })
        .map_err(|words| unreadable(&path, words))?;
        result
    }

    fn path(&self, entry: &Entry) -> Outcome<PathBuf> {
        // A manifest names files beside it and no others.
        match Path::new(&entry.file).file_name() {
            Some(name) if name == entry.file.as_str() => Ok(self.folder.join(name)),
            _ => Err(Failure::failed(
                format!("{MANIFEST} names a file outside of its folder: {}", entry.file),
                FILES_ADVICE,
            )),
        }
    }

    fn check(&self, entry: &Entry) -> Outcome {
        let path = self.path(entry)?;
        let mut file = File::open(&path).map_err(|error| unreadable(&path, error))?;
        let (mut digest, mut buffer) = (Sha256::new(), vec![0; READ_BYTES]);
        loop {
            match file.read(&mut buffer).map_err(|error| unreadable(&path, error))? {
                0 => break,
                read => digest.update(&buffer[..read]),
            }
        }
        if hex(&digest.finalize()) == entry.sha256 {
            return Ok(());
        }
        Err(Failure::failed(
            format!("{} is not what was exported: its checksum differs from the manifest's", path.display()),
            FILES_ADVICE,
        ))
    }
}

/// A block of a file at a time.
const READ_BYTES: usize = 1 << 20;

fn unreadable(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("cannot read {}: {error}", path.display()), FILES_ADVICE)
}

/// Sums what goes through.
struct Summed<W> {
    output: W,
    digest: Sha256,
}

impl<W> Summed<W> {
    fn new(output: W) -> Self {
        Self { output, digest: Sha256::new() }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}
