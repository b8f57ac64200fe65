//! Recorded journal and decisions, read for `verify`, `why`, `replay` and `export`.

use super::connect;
use super::run::BUILD;
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::service::recovery::setup_of;
use crate::service::topology::{self, ANSWER_LIMIT, Topology};
use crate::settings::Settings;
use avro_codec::Codec;
use controller::{Controller, JournalPosition, LoggedDecision, Setup};
use kafka_io::{Admin, From, LogReader, TopicPartition, Until};
use model::journal::JournalRecord;
use model::time::Millis;
use replay::{Committed, OutputTopic};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

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

    /// The topic's name.
    pub fn topic(&self, topic: OutputTopic) -> &str {
        let topics = &self.settings.topics;
        match topic {
            OutputTopic::Adjustments => &topics.adjustments,
            OutputTopic::Proposals => &topics.proposals,
            OutputTopic::DesiredState => &topics.desired_state,
            OutputTopic::Alerts => &topics.alerts,
            OutputTopic::Kpis => &topics.kpis,
        }
    }

    /// A controller that stands before the first record of the journal, which must be whole.
    pub fn controller(&self, partition: i32) -> Outcome<Controller> {
        let (low, _) = self.reader.watermarks(&self.settings.topics.journal, partition)?;
        if low > 0 {
            return Err(Failure::setup(
                format!(
                    "partition {partition} of {} begins at offset {low}: what came before is gone",
                    self.settings.topics.journal
                ),
                "a replay needs the journal from its beginning; export it before its retention takes it",
            ));
        }
        Ok(Controller::new(self.setup(partition)))
    }

    /// The journal position before which every record has been decided; `None` where the cluster does not know one,
    /// because no controller ran yet or its group is forgotten. Positions and decisions are committed together.
    pub fn decided_to(&self, partition: i32) -> Outcome<Option<i64>> {
        let place = TopicPartition::new(self.settings.topics.journal.clone(), partition);
        let group = format!("{}-controller", self.settings.group);
        let mut positions = self.reader.committed(&group, std::slice::from_ref(&place))?;
        Ok(positions.remove(&place).map(|(offset, _)| offset))
    }

    /// Shows the journal of a partition to its stable end, or before an offset, or to a record that is younger than
    /// `until`.
    pub fn journal(
        &mut self,
        partition: i32,
        end: Option<i64>,
        until: Option<Millis>,
        mut show: impl FnMut(JournalPosition, &JournalRecord) -> Outcome,
    ) -> Outcome<i64> {
        self.records(partition, end, until, |at, record| show(at, &record))
    }

    /// The same, each record given away.
    pub fn records(
        &mut self,
        partition: i32,
        end: Option<i64>,
        until: Option<Millis>,
        mut show: impl FnMut(JournalPosition, JournalRecord) -> Outcome,
    ) -> Outcome<i64> {
        let Self { settings, codec, reader, .. } = self;
        let topic = &settings.topics.journal;
        let mut result = Ok(());
        let mut next_offset = 0;
        let end = end.map_or(Until::StableEnd, Until::Offset);
        reader.read(topic, partition, From::Earliest, end, |record| {
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

    /// Shows the committed records of one output topic's partition.
    pub fn decisions(&mut self, topic: OutputTopic, partition: i32, mut show: impl FnMut(Committed)) -> Outcome {
        let name = self.topic(topic).to_owned();
        let Self { codec, reader, .. } = self;
        reader.read(&name, partition, From::Earliest, Until::StableEnd, |record| {
            let payload = record.payload.unwrap_or_default();
            if let Some((journal_offset, build)) = stamp(codec, topic, payload) {
                show(Committed { journal_offset, build, payload: payload.to_vec() });
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
                if let Some((offset, decision)) = logged(codec, topic, record.key, record.payload.unwrap_or_default()) {
                    decided.entry(offset).or_default().push(decision);
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(decided)
    }
}

/// The decision that a record is, and the journal offset that it names; `None` for KPI rows and what does not decode.
fn logged(codec: &Codec, topic: OutputTopic, key: Option<&[u8]>, payload: &[u8]) -> Option<(i64, LoggedDecision)> {
    Some(match topic {
        OutputTopic::Adjustments => {
            let command = codec.adjustment(payload).ok()?;
            (command.explanation.journal_offset, LoggedDecision::Adjustment(Box::new(command)))
        }
        OutputTopic::Proposals => {
            let proposal = codec.adjustment(payload).ok()?;
            (proposal.explanation.journal_offset, LoggedDecision::Proposal(Box::new(proposal)))
        }
        OutputTopic::DesiredState => {
            let state = codec.desired_state(payload).ok()?;
            let key = String::from_utf8_lossy(key.unwrap_or_default()).into_owned();
            (state.journal_offset, LoggedDecision::Desired(key, Box::new(state)))
        }
        OutputTopic::Alerts => {
            let alert = codec.alert(payload).ok()?;
            (alert.journal_offset, LoggedDecision::Alert(Box::new(alert)))
        }
        OutputTopic::Kpis => return None,
    })
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
