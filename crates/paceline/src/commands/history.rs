//! Recorded journal and decisions, read for `verify`, `why`, `replay` and `export`.

use super::connect;
use super::run::BUILD;
use super::states::{Begun, States};
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::service::recovery::setup_of;
use crate::service::topology::{self, ANSWER_LIMIT, Topology};
use crate::settings::Settings;
use avro_codec::Codec;
use controller::{Controller, JournalPosition, LoggedDecision, Setup};
use kafka_io::{Admin, From, LogReader, TopicPartition, Until};
use model::journal::JournalRecord;
use model::time::{HOUR_MS, Millis};
use replay::{Committed, EventCounts, OutputTopic, logged};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A controller before the first record that is to be replayed.
pub struct Begin {
    /// It.
    pub controller: Controller,
    /// The first offset to give it; 0 for the journal's beginning, wherever that is.
    pub next_offset: i64,
    /// Timestamp of the last record of the kept state that it is; `None` where it begins with nothing.
    pub state_ms: Option<Millis>,
}

impl Begin {
    /// From where the journal is to be read.
    pub fn place(&self) -> From {
        if self.state_ms.is_some() { From::Offset(self.next_offset) } else { From::Earliest }
    }
}

/// An open history.
pub struct History {
    /// Where it is.
    pub settings: Settings,
    /// Bytes to model.
    pub codec: Codec,
    topology: Topology,
    reader: LogReader,
}

impl History {
    /// Connects, and checks that the topics are there.
    pub fn open(settings: Settings, part: &str) -> Outcome<Self> {
        let connection = connect(&settings, part);
        let mut topology = topology::inspect(&settings, &Admin::connect(&connection, ANSWER_LIMIT)?)?;
        let reader = LogReader::open(&connection, PATIENCE)?;
        // What was decided was decided with the number of then.
        if let Some(recorded) = topology::recorded_event_partitions(&settings, topology, &reader)? {
            topology.event_partitions = recorded;
        }
        let codec = registry::codec_of_the_logs(&settings)?;
        Ok(Self { settings, codec, topology, reader })
    }

    /// Gives up soon after this says so.
    pub fn stop_when(self, asked: impl Fn() -> bool + Send + 'static) -> Self {
        Self { reader: self.reader.stop_when(asked), ..self }
    }

    /// What a controller of a journal partition is set up with.
    pub fn setup(&self, partition: i32) -> Setup {
        setup_of(&self.settings, BUILD, partition, self.topology.event_partitions)
    }

    /// The way to any partition of any topic.
    pub fn reader(&mut self) -> &mut LogReader {
        &mut self.reader
    }

    /// The oldest kept offset of a partition, and the one after its newest.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Outcome<(i64, i64)> {
        Ok(self.reader.watermarks(topic, partition)?)
    }

    /// The topic's name.
    pub fn topic(&self, topic: OutputTopic) -> &str {
        self.settings.topics.output(topic)
    }

    /// A controller that stands before the first record that matters where `from` on is asked about: before the journal's
    /// first one, or after a state that the service has kept, where the journal has lost its beginning or where
    /// `is_short` asks for the shortest way.
    pub fn begin(&self, partition: i32, from: Option<Millis>, is_short: bool) -> Outcome<Begin> {
        let topic = &self.settings.topics.journal;
        let (low, _) = self.reader.watermarks(topic, partition)?;
        let setup = self.setup(partition);
        let whole = |setup: Setup| Begin { controller: Controller::new(setup), next_offset: 0, state_ms: None };
        if low == 0 && !is_short {
            return Ok(whole(setup));
        }
        let states = States::open(&self.settings, partition)?;
        let begun = states.begin(&setup, low, from);
        // Where the beginning is there, a state from after `from` would leave out what was asked for.
        match begun.filter(|begun| low > 0 || from.is_some_and(|from| begun.timestamp_ms < from)) {
            Some(Begun { controller, next_offset, timestamp_ms }) => {
                Ok(Begin { controller, next_offset, state_ms: Some(timestamp_ms) })
            }
            None if low == 0 => Ok(whole(setup)),
            None => Err(Failure::setup(
                format!(
                    "partition {partition} of {topic} begins at offset {low}, what came before is gone, and no state in {} \
                     goes on from there",
                    states.folder()
                ),
                "set state.dir to the folder in which the service keeps its states (`paceline config show`)",
            )),
        }
    }

    /// The journal position before which every record has been decided; `None` where the cluster does not know one,
    /// because no controller ran yet or its group is forgotten. Positions and decisions are committed together.
    pub fn decided_to(&self, partition: i32) -> Outcome<Option<i64>> {
        let place = TopicPartition::new(self.settings.topics.journal.clone(), partition);
        let group = format!("{}-controller", self.settings.group);
        let mut positions = self.reader.committed(&group, std::slice::from_ref(&place))?;
        Ok(positions.remove(&place).map(|(offset, _)| offset))
    }

    /// Gives the journal of a partition away, to its stable end, or before an offset, or to a record that is younger than
    /// `until`; says where the next record is.
    pub fn records(
        &mut self,
        partition: i32,
        begin: From,
        end: Option<i64>,
        until: Option<Millis>,
        mut show: impl FnMut(JournalPosition, JournalRecord) -> Outcome,
    ) -> Outcome<i64> {
        let Self { settings, codec, reader, .. } = self;
        let topic = &settings.topics.journal;
        let mut result = Ok(());
        let mut next_offset = 0;
        let end = end.map_or(Until::StableEnd, Until::Offset);
        reader.read(topic, partition, begin, end, |record| {
            if until.is_some_and(|until| record.timestamp_ms > until) {
                return ControlFlow::Break(());
            }
            let at = JournalPosition { offset: record.offset, timestamp_ms: record.timestamp_ms };
            next_offset = record.offset + 1;
            result = match codec.journal(record.payload.unwrap_or_default()) {
                Ok(journal) => show(at, journal),
                Err(rejected) => Err(Failure::failed(
                    format!("record {} of {topic}/{partition} does not decode: {}", record.offset, rejected.detail),
                    "only Paceline may write this topic",
                )),
            };
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result.map(|()| next_offset)
    }

    /// What stage 1 counted in the cuts of a window, of all event partitions.
    pub fn event_counts(&mut self, from: Option<Millis>, to: Option<Millis>) -> Outcome<BTreeMap<Millis, EventCounts>> {
        let mut hours: BTreeMap<Millis, EventCounts> = BTreeMap::new();
        let Self { settings, codec, reader, topology, .. } = self;
        for partition in 0..topology.event_partitions {
            let begin = from.map_or(From::Earliest, From::Time);
            reader.read(&settings.topics.epochs, partition, begin, Until::StableEnd, |record| {
                if to.is_some_and(|to| record.timestamp_ms > to) {
                    return ControlFlow::Break(());
                }
                if let Ok(epoch) = codec.epoch(record.payload.unwrap_or_default()) {
                    hours.entry(record.timestamp_ms.div_euclid(HOUR_MS) * HOUR_MS).or_default().take(&epoch);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(hours)
    }

    /// Shows the committed records of one output topic's partition.
    pub fn decisions(
        &mut self,
        topic: OutputTopic,
        partition: i32,
        begin: From,
        mut show: impl FnMut(Committed),
    ) -> Outcome {
        let name = self.topic(topic).to_owned();
        let Self { codec, reader, .. } = self;
        reader.read(&name, partition, begin, Until::StableEnd, |record| {
            let payload = record.payload.unwrap_or_default();
            if let Some((journal_offset, build)) = stamp(codec, topic, payload) {
                let key = record.key.unwrap_or_default().to_vec();
                show(Committed { journal_offset, build, key, payload: payload.to_vec() });
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }
}

impl History {
    /// What was decided in a partition, as far as its topics still hold it, by journal offset and in the order in which a
    /// controller takes it.
    pub fn decided(&mut self, partition: i32) -> Outcome<BTreeMap<i64, Vec<LoggedDecision>>> {
        let mut decided: BTreeMap<i64, Vec<LoggedDecision>> = BTreeMap::new();
        for topic in OutputTopic::ALL.into_iter().filter(|topic| *topic != OutputTopic::Kpis) {
            let name = self.topic(topic).to_owned();
            let Self { codec, reader, .. } = self;
            reader.read(&name, partition, From::Earliest, Until::StableEnd, |record| {
                let (key, payload) = (record.key.unwrap_or_default(), record.payload.unwrap_or_default());
                if let Some((offset, decision)) = logged(codec, topic, key, payload) {
                    decided.entry(offset).or_default().push(decision);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(decided)
    }
}

/// The journal offset and build that a record names.
pub fn stamp(codec: &Codec, topic: OutputTopic, payload: &[u8]) -> Option<(i64, String)> {
    Some(match topic {
        OutputTopic::Adjustments | OutputTopic::Proposals => {
            let command = codec.adjustment(payload).ok()?;
            (command.explanation.journal_offset, command.explanation.build)
        }
        OutputTopic::DesiredState => {
            let state = codec.desired_state(payload).ok()?;
            (state.journal_offset, state.build)
        }
        OutputTopic::Alerts => {
            let alert = codec.alert(payload).ok()?;
            (alert.journal_offset, alert.build)
        }
        OutputTopic::Kpis => {
            let row = codec.kpi_row(payload).ok()?;
            (row.journal_offset, row.build)
        }
    })
}
