//! Where a replay's journal comes from: the broker's topics or an export's files.
//!
//! What always holds: both give the same records at the same offsets with the same timestamps. A journal partition that
//! has lost its beginning begins with a state that the service has kept; where none is left it is refused, but for who
//! asks for a cold start, or for what is left and tells it by what was committed. It reads only.

use crate::commands::export::archive::{Archive, FILES_ADVICE};
use crate::commands::history::History;
use crate::failure::{Failure, Kind, Outcome};
use crate::service::context::Stop;
use crate::settings::Settings;
use avro_codec::Codec;
use controller::{Controller, JournalPosition, LoggedDecision, Setup};
use kafka_io::From;
use model::journal::JournalRecord;
use model::time::Millis;
use replay::{Begun, EventCounts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open source.
pub enum Source {
    /// The broker.
    Topics(Box<Topics>),
    /// An export.
    Files(Archive),
}

/// What is known of the broker's journal.
pub struct Topics {
    settings: Settings,
    setups: Vec<Setup>,
    records: u64,
    /// Where reading ends, by partition; the stable end where absent.
    ends: Vec<(i32, i64)>,
    /// The high watermarks as of the opening.
    high: Vec<(i32, i64)>,
    /// First offsets, of partitions whose beginning is gone.
    begins: Vec<(i32, i64)>,
}

/// How a journal partition's replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// With its first record; with a kept state where that is gone.
    Whole,
    /// With the newest kept state before what is asked about.
    Short,
    /// With its first record; with nothing where that is gone.
    Cold,
}

/// A stretch of a journal partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stretch {
    /// First offset; the first that is kept where absent.
    pub from_offset: Option<i64>,
    /// Offset before which it ends.
    pub to_offset: Option<i64>,
    /// Last instant.
    pub to: Option<Millis>,
}

impl Source {
    /// Opens the export in `files`, or asks the broker; a journal without its beginning is refused.
    pub fn open(config: &[PathBuf], files: Option<&Path>) -> Outcome<Self> {
        let source = Self::open_what_is_left(config, files)?;
        if let Source::Topics(topics) = &source {
            let journal = &topics.settings.topics.journal;
            topics.begins.iter().try_for_each(|(partition, low)| whole(journal, *partition, *low))?;
        }
        Ok(source)
    }

    /// A partition's controller, the offset that it goes on from where that is not the first, and with what it began.
    pub fn begin(&self, partition: i32, from: Option<Millis>, way: Way) -> Outcome<(Controller, Option<i64>, Begun)> {
        let nothing = || Controller::new(self.setup(partition));
        let Source::Topics(topics) = self else { return Ok((nothing(), None, Begun::Whole)) };
        match (way, self.begins(partition)) {
            (Way::Cold, Some(_)) => return Ok((nothing(), None, Begun::Cold)),
            (Way::Whole | Way::Cold, None) => return Ok((nothing(), None, Begun::Whole)),
            (Way::Short, _) | (Way::Whole, Some(_)) => {}
        }
        let begin = History::open(topics.settings.clone(), "replay")?.begin(partition, from, way == Way::Short)?;
        let begun = begin.state_ms.map_or(Begun::Whole, Begun::State);
        let from_offset = begin.state_ms.map(|_| begin.next_offset);
        Ok((begin.controller, from_offset, begun))
    }

    /// The same for a journal whose beginning retention may have taken.
    pub fn open_what_is_left(config: &[PathBuf], files: Option<&Path>) -> Outcome<Self> {
        if let Some(files) = files {
            return Archive::open(files).map(Source::Files);
        }
        let (settings, _) = Settings::load(config)?;
        let mut history = History::open(settings.clone(), "replay")?;
        let mut records = 0;
        let (mut setups, mut ends, mut begins) = (Vec::new(), Vec::new(), Vec::new());
        for partition in 0..settings.journal_partitions {
            let (low, high) = history.reader().watermarks(&settings.topics.journal, partition)?;
            begins.extend((low > 0).then_some((partition, low)));
            records += (high - low).max(0) as u64;
            setups.push(history.setup(partition));
            ends.push((partition, high));
        }
        Ok(Source::Topics(Box::new(Topics { settings, setups, records, ends: Vec::new(), high: ends, begins })))
    }

    /// The journal's topic.
    pub fn journal(&self) -> &str {
        match self {
            Source::Topics(topics) => &topics.settings.topics.journal,
            Source::Files(archive) => archive.topic(),
        }
    }

    /// What the journal is made of: equal texts name the same records.
    pub fn identity(&self) -> String {
        match self {
            Source::Topics(topics) => format!("{} at {}", topics.settings.topics.journal, topics.settings.brokers),
            Source::Files(archive) => archive.identity(),
        }
    }

    /// Where each partition ends by now; nothing for files, which do not grow.
    pub fn ends(&self) -> Vec<(i32, i64)> {
        match self {
            Source::Topics(topics) => topics.high.clone(),
            Source::Files(_) => Vec::new(),
        }
    }

    /// Reads no further than this, whatever has come since.
    pub fn end_at(&mut self, ends: &[(i32, i64)]) {
        if let Source::Topics(topics) = self {
            topics.ends = ends.to_vec();
        }
    }

    /// First offset that is left of a partition whose beginning is gone.
    pub fn begins(&self, partition: i32) -> Option<i64> {
        match self {
            Source::Topics(topics) => topics.begins.iter().find(|(known, _)| *known == partition).map(|(_, low)| *low),
            Source::Files(_) => None,
        }
    }

    /// What was committed for a partition, as far as its topics still hold it, by journal offset; nothing for files.
    pub fn decided(&self, partition: i32) -> Outcome<BTreeMap<i64, Vec<LoggedDecision>>> {
        match self {
            Source::Topics(topics) => History::open(topics.settings.clone(), "replay")?.decided(partition),
            Source::Files(_) => Ok(BTreeMap::new()),
        }
    }

    /// What stage 1 counted in a window; whole hours of an export, `None` where it holds none.
    pub fn event_counts(&self, from: Option<Millis>, to: Option<Millis>) -> Outcome<Option<EventCounts>> {
        match self {
            Source::Files(archive) => Ok(archive.event_counts(from, to)),
            Source::Topics(topics) => {
                let hours = History::open(topics.settings.clone(), "replay")?.event_counts(from, to)?;
                let mut sum = EventCounts::default();
                hours.values().for_each(|counts| sum.add(counts));
                Ok(Some(sum))
            }
        }
    }

    /// All partitions.
    pub fn partitions(&self) -> Vec<i32> {
        match self {
            Source::Topics(topics) => topics.setups.iter().map(|setup| setup.partition).collect(),
            Source::Files(archive) => archive.partitions(),
        }
    }

    /// How many records there are, at most.
    pub fn records(&self) -> u64 {
        match self {
            Source::Topics(topics) => topics.records,
            Source::Files(archive) => archive.records(),
        }
    }

    /// How many rows these records hold, where the source says it.
    pub fn deltas(&self) -> Option<u64> {
        None
    }

    /// What a controller of a partition is set up with.
    pub fn setup(&self, partition: i32) -> Setup {
        match self {
            Source::Topics(topics) => {
                topics.setups.iter().find(|setup| setup.partition == partition).cloned().unwrap_or_default()
            }
            Source::Files(archive) => archive.setup(partition),
        }
    }

    /// Gives every record of a stretch of a partition to `show`, up to the first that is younger than its `to`.
    pub fn read(
        &self,
        partition: i32,
        stretch: Stretch,
        stop: Arc<Stop>,
        mut show: impl FnMut(JournalPosition, JournalRecord) -> Outcome,
    ) -> Outcome {
        match self {
            Source::Topics(topics) => {
                let asked = stop.clone();
                let history = History::open(topics.settings.clone(), "replay")?;
                let mut history = history.stop_when(move || asked.is_asked());
                let end = topics.ends.iter().find(|(known, _)| *known == partition).map(|(_, end)| *end);
                let end = end.into_iter().chain(stretch.to_offset).min();
                let begin = stretch.from_offset.map_or(From::Earliest, From::Offset);
                history.records(partition, begin, end, stretch.to, |at, record| {
                    heard(&stop).and_then(|()| show(at, record))
                })?;
                Ok(())
            }
            Source::Files(archive) => {
                let codec = Codec::fixed();
                archive.read(partition, |archived| {
                    heard(&stop)?;
                    let is_over = stretch.to.is_some_and(|to| archived.timestamp_ms > to)
                        || stretch.to_offset.is_some_and(|to| archived.offset >= to);
                    if is_over {
                        return Ok(false);
                    }
                    let at = JournalPosition { offset: archived.offset, timestamp_ms: archived.timestamp_ms };
                    let record =
                        codec.journal(archived.payload.as_deref().unwrap_or_default()).map_err(|rejected| {
                            Failure::failed(
                                format!(
                                    "record {} of journal partition {partition} does not decode: {rejected}",
                                    at.offset
                                ),
                                FILES_ADVICE,
                            )
                        })?;
                    show(at, record).map(|()| true)
                })
            }
        }
    }
}

/// Refuses a partition whose beginning is gone.
pub fn whole(topic: &str, partition: i32, low: i64) -> Outcome {
    if low <= 0 {
        return Ok(());
    }
    Err(Failure::setup(
        format!("partition {partition} of {topic} begins at offset {low}: what came before is gone"),
        "this needs the journal from its beginning; export it (`paceline export journal`) before its retention takes it",
    ))
}

fn heard(stop: &Stop) -> Outcome {
    if stop.is_asked() {
        return Err(Failure::new(Kind::Stopped, "stopped before the end, nothing was written", "start it again"));
    }
    Ok(())
}
