//! A journal partition's state after a restart: the newest valid snapshot, then the journal, with the committed
//! decisions as the authority wherever they speak.
//!
//! Order: stable committed position, stable ends of the decision log, snapshot, replay with outputs suppressed, live.
//! A torn transaction shows as decisions beyond the committed position; they are applied at the journal offset that
//! they name, and each topic goes on after the last offset that it holds.

use super::context::Context;
use super::stage2::{PartitionHeader, partition_folder};
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;
use crate::snapshots::{Directory, Snapshots};
use controller::{Authority, Controller, JournalPosition, LoggedDecision, Setup};
use kafka_io::{From, LogReader, TopicPartition, Until};
use model::time::{DAY_MS, MINUTE_MS, Millis};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(25);
/// KPI rows this young are read back for the API; older ones are on the topic.
const ROWS_READ_BACK_MS: Millis = 8 * DAY_MS;
/// Broker clocks may differ by minutes.
const CLOCK_SLACK_MS: Millis = 5 * MINUTE_MS;

/// One recovered partition.
pub struct Recovered {
    /// Which.
    pub partition: i32,
    /// At the committed position.
    pub controller: Controller,
    /// What is on the output topics already.
    pub already: Already,
    /// Timestamp of the last applied journal record.
    pub timestamp_ms: Millis,
}

/// What an earlier life has committed, by the journal offset that it names.
#[derive(Default)]
pub struct Already {
    /// Where reading starts at least.
    pub starts_at: i64,
    decisions: BTreeMap<i64, Vec<LoggedDecision>>,
    last_of_topic: BTreeMap<String, i64>,
}

impl Already {
    /// What was decided at a journal offset, where the log reaches that far.
    pub fn decisions(&self, offset: i64) -> Option<&[LoggedDecision]> {
        let reaches = self.last_of_topic.values().any(|last| *last >= offset);
        reaches.then(|| self.decisions.get(&offset).map_or(&[][..], Vec::as_slice))
    }

    /// Whether a topic holds the outputs of a journal offset.
    pub fn holds(&self, topic: &str, offset: i64) -> bool {
        self.last_of_topic.get(topic).is_some_and(|last| *last >= offset)
    }

    fn note(&mut self, topic: &str, offset: i64, decision: Option<LoggedDecision>) {
        let last = self.last_of_topic.entry(topic.to_owned()).or_insert(offset);
        *last = (*last).max(offset);
        if let Some(decision) = decision {
            self.decisions.entry(offset).or_default().push(decision);
        }
    }
}

/// Whether nobody has gone on with parked partitions since: the stable committed position is each one's own.
pub fn untouched(context: &Context, parked: &BTreeMap<i32, i64>) -> Outcome<Vec<i32>> {
    if parked.is_empty() {
        return Ok(Vec::new());
    }
    let reader = LogReader::open(&context.connection("recovery"), PATIENCE)?;
    let topic = &context.settings.topics.journal;
    let places: Vec<TopicPartition> = parked.keys().map(|p| TopicPartition::new(topic.as_str(), *p)).collect();
    let committed = reader.committed(&format!("{}-controller", context.settings.group), &places)?;
    let stands = |place: &TopicPartition, offset: i64| parked.get(&place.partition) == Some(&offset);
    Ok(committed
        .iter()
        .filter(|(place, (offset, _))| stands(place, *offset))
        .map(|(place, _)| place.partition)
        .collect())
}

/// Recovers journal partitions that are new to this worker.
pub fn recover(context: &Context, partitions: &[i32]) -> Outcome<Vec<Recovered>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = LogReader::open(&context.connection("recovery"), PATIENCE)?;
    let topic = &context.settings.topics.journal;
    let places: Vec<TopicPartition> = partitions.iter().map(|p| TopicPartition::new(topic.as_str(), *p)).collect();
    let group = format!("{}-controller", context.settings.group);
    let committed: BTreeMap<i32, i64> =
        reader.committed(&group, &places)?.into_iter().map(|(place, (offset, _))| (place.partition, offset)).collect();
    partitions
        .iter()
        .map(|partition| one(context, &mut reader, *partition, committed.get(partition).copied()))
        .collect()
}

fn one(context: &Context, reader: &mut LogReader, partition: i32, committed: Option<i64>) -> Outcome<Recovered> {
    let topic = &context.settings.topics.journal;
    let (low, high) = reader.watermarks(topic, partition)?;
    // Snapshots are taken at committed positions only, so where the group has forgotten its own, the newest stands.
    let (mut controller, header) = restore(context, partition, committed.unwrap_or(high))?;
    let from = header.map_or(low, |header| header.next_offset);
    let target = committed.unwrap_or(from);
    if from < low || (header.is_none() && low > 0) {
        refuse_gap(context, partition, low)?;
    }
    let mut already = read_log(context, reader, partition, header.map(|header| header.timestamp_ms))?;
    already.starts_at = from.max(low);
    // Without its beginning the journal cannot tell what was decided then; the log can: sequences must never run again.
    let mut before: Vec<LoggedDecision> = match header {
        None if low > 0 => already.decisions.range(..low).flat_map(|(_, decisions)| decisions.clone()).collect(),
        _ => Vec::new(),
    };
    let mut timestamp_ms = header.map_or(0, |header| header.timestamp_ms);
    let mut wrong = None;
    reader.read(topic, partition, From::Offset(already.starts_at), Until::Offset(target), |record| {
        match context.codec.journal(record.payload.unwrap_or_default()) {
            Ok(journal) => {
                let at = JournalPosition { offset: record.offset, timestamp_ms: record.timestamp_ms };
                before.extend_from_slice(already.decisions.get(&record.offset).map_or(&[][..], Vec::as_slice));
                controller.apply(at, &journal, Authority::Log(&before));
                before.clear();
                timestamp_ms = record.timestamp_ms;
                ControlFlow::Continue(())
            }
            Err(rejected) => {
                wrong = Some(format!(
                    "record {} of {topic}/{partition} does not decode: {}",
                    record.offset, rejected.detail
                ));
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(words) = wrong {
        return Err(Failure::failed(
            words,
            "only Paceline may write this topic; remove what another program wrote there",
        ));
    }
    already.starts_at = target.max(from).max(controller.next_offset());
    // What lies before the committed position was only needed for the replay.
    already.decisions = already.decisions.split_off(&already.starts_at);
    Ok(Recovered { partition, controller, already, timestamp_ms })
}

fn setup(context: &Context, partition: i32) -> Setup {
    setup_of(&context.settings, &context.build, partition, context.topology.event_partitions)
}

/// What a controller of this build is set up with.
pub fn setup_of(settings: &Settings, build: &str, partition: i32, input_partitions: i32) -> Setup {
    Setup {
        partition,
        build: build.to_owned(),
        tzdb: window::calendar::tzdb_version().to_owned(),
        minute_rows: settings.minute_rows,
        input_partitions,
    }
}

fn restore(context: &Context, partition: i32, target: i64) -> Outcome<(Controller, Option<PartitionHeader>)> {
    let folder = partition_folder(context, partition);
    let unreadable = |error: std::io::Error| {
        Failure::setup(format!("cannot read snapshots in {}: {error}", folder.display()), "check state.dir")
    };
    let snapshots = Snapshots::open(Box::new(Directory::open(&folder).map_err(unreadable)?)).map_err(unreadable)?;
    let mut ceiling = target;
    loop {
        let read = |header: &[u8]| postcard::from_bytes::<PartitionHeader>(header).ok();
        let fits = |header: &[u8]| read(header).is_some_and(|header| header.next_offset <= ceiling);
        let (loaded, skipped) = snapshots.newest(fits).map_err(unreadable)?;
        for reason in skipped {
            tracing::warn!(partition, reason, "snapshot passed over");
        }
        let Some(loaded) = loaded else { return Ok((Controller::new(setup(context, partition)), None)) };
        let Some(header) = read(&loaded.header) else { return Ok((Controller::new(setup(context, partition)), None)) };
        let state = loaded.chunks.iter().find(|(id, ..)| id == "state").map(|(.., bytes)| bytes.as_slice());
        match Controller::restore(setup(context, partition), state.unwrap_or_default()) {
            Ok(controller) => return Ok((controller, Some(header))),
            Err(error) => {
                tracing::warn!(partition, ?error, "snapshot does not restore, trying the one before");
                ceiling = header.next_offset - 1;
            }
        }
    }
}

fn refuse_gap(context: &Context, partition: i32, low: i64) -> Outcome {
    let words = format!(
        "the state of journal partition {partition} cannot be rebuilt: no valid snapshot in {} and the journal begins at offset {low}",
        context.settings.state_dir.display()
    );
    if context.accept_loss {
        tracing::error!("{words}; going on without it, as --accept-loss says");
        return Ok(());
    }
    Err(Failure::setup(words, "restore a snapshot, or start once with --accept-loss: windows and totals begin anew"))
}

/// The decision log of one partition, from a snapshot's time on, and young KPI rows for the API.
fn read_log(context: &Context, reader: &mut LogReader, partition: i32, since: Option<Millis>) -> Outcome<Already> {
    let mut already = Already::default();
    let topics = &context.settings.topics;
    let by_time = |at: Millis| if context.clock.stamps_records() { From::Earliest } else { From::Time(at.max(0)) };
    let start = |since: Option<Millis>| since.map_or(From::Earliest, |at| by_time(at - CLOCK_SLACK_MS));
    for topic in topics.decision_log() {
        let rows = topic == topics.kpis;
        let from = if rows {
            let young = context.clock.now_ms() - ROWS_READ_BACK_MS;
            by_time(since.map_or(young, |since| since.min(young)))
        } else {
            start(since)
        };
        reader.read(topic, partition, from, Until::StableEnd, |record| {
            let payload = record.payload.unwrap_or_default();
            let key = || String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            if let Some((offset, decision)) = logged(context, topic, payload, key) {
                already.note(topic, offset, decision);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(already)
}

/// The journal offset that a record names, and the decision that it is.
fn logged(
    context: &Context,
    topic: &str,
    payload: &[u8],
    key: impl Fn() -> String,
) -> Option<(i64, Option<LoggedDecision>)> {
    let (topics, codec, published) = (&context.settings.topics, &context.codec, &context.published);
    if topic == topics.kpis {
        let row = codec.kpi_row(payload).ok()?;
        published.put_row(&row);
        return Some((row.journal_offset, None));
    }
    if topic == topics.alerts {
        let alert = codec.alert(payload).ok()?;
        published.put_alert(&alert);
        return Some((alert.journal_offset, Some(LoggedDecision::Alert(Box::new(alert)))));
    }
    if topic == topics.desired_state {
        let state = codec.desired_state(payload).ok()?;
        return Some((state.journal_offset, Some(LoggedDecision::Desired(key(), Box::new(state)))));
    }
    let command = codec.adjustment(payload).ok()?;
    let offset = command.explanation.journal_offset;
    if topic == topics.adjustments {
        published.put_adjustment(&command);
        return Some((offset, Some(LoggedDecision::Adjustment(Box::new(command)))));
    }
    published.put_proposal(&command);
    Some((offset, Some(LoggedDecision::Proposal(Box::new(command)))))
}
