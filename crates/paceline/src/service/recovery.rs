//! A journal partition's state after a restart: the newest valid snapshot, then the journal, with the committed
//! decisions as the authority wherever they speak.
//!
//! Order: stable committed position, snapshot, the decision log to its stable ends, replay with outputs suppressed,
//! live. Where the last transaction of decisions was torn, live begins at its first journal record, and each topic gets
//! what it lacks (see [`super::already`]).

use super::already::{self, Already};
use super::context::Context;
use super::span::Span;
use super::stage2::{PartitionHeader, partition_folder};
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;
use crate::snapshots::{Directory, Snapshots};
use controller::{Authority, Controller, JournalPosition, Setup};
use kafka_io::{From, LogReader, TopicPartition, Until};
use model::time::Millis;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(25);

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
    /// Rows that were replayed on top of the snapshot.
    pub rows: u64,
}

/// Whether nobody has gone on with parked partitions since: the stable committed position is each one's own.
pub fn untouched(context: &Context, parked: &BTreeMap<i32, i64>) -> Outcome<Vec<i32>> {
    if parked.is_empty() {
        return Ok(Vec::new());
    }
    let reader = context.reader("recovery", PATIENCE)?;
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
    let topic = &context.settings.topics.journal;
    let places: Vec<TopicPartition> = partitions.iter().map(|p| TopicPartition::new(topic.as_str(), *p)).collect();
    let group = format!("{}-controller", context.settings.group);
    let committed: BTreeMap<i32, Committed> = context
        .reader("recovery", PATIENCE)?
        .committed(&group, &places)?
        .into_iter()
        .map(|(place, (offset, metadata))| (place.partition, Committed { offset, span: Span::parse(&metadata) }))
        .collect();
    let several = |partitions: &[i32]| -> Outcome<Vec<Recovered>> {
        let mut reader = context.reader("recovery", PATIENCE)?;
        let mut one = |partition: &i32| {
            let recovered = one(context, &mut reader, *partition, committed.get(partition));
            context.progress.part_done();
            recovered
        };
        partitions.iter().map(&mut one).collect()
    };
    let size = partitions.len().div_ceil(side_by_side());
    let recovered: Vec<Outcome<Vec<Recovered>>> = std::thread::scope(|scope| {
        let started: Vec<_> = partitions.chunks(size).map(|chunk| scope.spawn(move || several(chunk))).collect();
        started.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked()))).collect()
    });
    Ok(recovered.into_iter().collect::<Outcome<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Partitions that are recovered at a time: as many as there are processors.
fn side_by_side() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn panicked() -> Failure {
    Failure::failed("a thread that recovered a journal partition panicked", "this is a defect; please report it")
}

/// A committed position, and what its transaction covered.
struct Committed {
    offset: i64,
    span: Option<Span>,
}

/// Where a replay begins and ends.
struct Begin {
    controller: Controller,
    header: Option<PartitionHeader>,
    already: Already,
    /// First offset that is not replayed but lived.
    target: i64,
}

fn one(context: &Context, reader: &mut LogReader, partition: i32, committed: Option<&Committed>) -> Outcome<Recovered> {
    let topic = &context.settings.topics.journal;
    let (low, high) = reader.watermarks(topic, partition)?;
    let Begin { mut controller, header, mut already, target } =
        begin(context, reader, partition, committed, (low, high))?;
    let from = header.map_or(low, |header| header.next_offset);
    let replaced = committed.is_none() && header.is_none() && already.is_of_another_journal();
    let lost = if from < low || (header.is_none() && low > 0) {
        Some(format!("the journal begins at offset {low}"))
    } else if replaced {
        Some(format!("decisions name a journal that is no more, this one ends at offset {high}"))
    } else {
        None
    };
    if let Some(words) = &lost {
        refuse_loss(context, partition, words)?;
        controller.accept_loss(words);
    }
    already.starts_at = from.max(low);
    // Without its beginning the journal cannot tell what was decided then; the log can: sequences must never run again.
    if header.is_none() {
        controller.anchor(&already.anchors(low));
    }
    let mut timestamp_ms = header.map_or(0, |header| header.timestamp_ms);
    let mut rows = 0;
    let mut wrong = None;
    reader.read(topic, partition, From::Offset(already.starts_at), Until::Offset(target), |record| {
        match context.codec.journal(record.payload.unwrap_or_default()) {
            Ok(journal) => {
                let at = JournalPosition { offset: record.offset, timestamp_ms: record.timestamp_ms };
                controller.apply(at, &journal, Authority::Log(already.at(record.offset)));
                timestamp_ms = record.timestamp_ms;
                rows += journal.deltas.len() as u64;
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
    already.go_on_from(target.max(from).max(controller.next_offset()));
    Ok(Recovered { partition, controller, already, timestamp_ms, rows })
}

/// Finds a snapshot and reads the decision log; where that was torn, an older snapshot may be needed.
fn begin(
    context: &Context,
    reader: &mut LogReader,
    partition: i32,
    committed: Option<&Committed>,
    (low, high): (i64, i64),
) -> Outcome<Begin> {
    // Snapshots are taken at committed positions only, so where the group has forgotten its own, the newest stands.
    let newest = committed.map_or(high, |committed| committed.offset);
    let span = committed.and_then(|committed| committed.span.as_ref());
    let at = |reader: &mut LogReader, ceiling: i64| -> Outcome<Begin> {
        let (controller, header) = restore(context, partition, ceiling)?;
        let already = already::read(context, reader, partition, high, header.map(|header| header.timestamp_ms), span)?;
        let target = committed.map_or(header.map_or(low, |header| header.next_offset), |committed| committed.offset);
        Ok(Begin { controller, header, already, target })
    };
    let mut begin = at(reader, newest)?;
    let Some(torn_from) = begin.already.torn_from() else { return Ok(begin) };
    if begin.header.is_some_and(|header| header.next_offset > torn_from) {
        let older = at(reader, torn_from)?;
        if older.header.is_none() && low > 0 {
            tracing::error!(
                partition,
                torn_from,
                topics = ?begin.already.lacking(),
                "the last decisions did not reach all topics, and no state before them is left: they stay as they are"
            );
            begin.already.leave_torn();
            return Ok(begin);
        }
        begin = older;
    }
    tracing::warn!(
        partition,
        torn_from,
        topics = ?begin.already.lacking(),
        "the last decisions did not reach all topics: these get what they lack"
    );
    context.metrics.repaired_decisions.inc();
    begin.target = begin.target.min(torn_from);
    Ok(begin)
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
        rules_dry_run: false,
    }
}

fn restore(context: &Context, partition: i32, target: i64) -> Outcome<(Controller, Option<PartitionHeader>)> {
    let folder = partition_folder(&context.settings.state_dir, &context.settings.group, partition);
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
        let state = loaded.chunks().find(|(id, ..)| *id == "state").map(|(.., bytes)| bytes);
        match Controller::restore(setup(context, partition), state.unwrap_or_default()) {
            Ok(controller) => return Ok((controller, Some(header))),
            Err(error) => {
                tracing::warn!(partition, ?error, "snapshot does not restore, trying the one before");
                ceiling = header.next_offset - 1;
            }
        }
    }
}

fn refuse_loss(context: &Context, partition: i32, why: &str) -> Outcome {
    let words = format!(
        "the state of journal partition {partition} cannot be rebuilt: no valid snapshot in {} and {why}",
        context.settings.state_dir.display()
    );
    if context.accept_loss {
        tracing::error!("{words}; going on without it, as --accept-loss says");
        return Ok(());
    }
    Err(Failure::setup(words, "restore a snapshot, or start once with --accept-loss: windows and totals begin anew"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::commands::run::context;
    use crate::service::topology::{Topology, needs};
    use kafka_io::{MockBroker, Sender};

    #[test]
    fn a_long_recovery_says_that_it_lives_and_what_it_reads() {
        let broker = MockBroker::start().unwrap();
        let folder = std::env::temp_dir().join(format!("paceline-recovery-{}", std::process::id()));
        let environment = [("KAFKA__BROKERS", broker.brokers()), ("STATE__DIR", folder.display().to_string())];
        let environment = environment.map(|(name, value)| (format!("PACELINE__{name}"), value)).into();
        let (settings, _) = Settings::load_with(&[], &environment).unwrap();
        for need in needs(&settings, 1) {
            broker.create_topic(&need.name, need.partitions).unwrap();
        }
        let mut sender = Sender::start(&broker.connection("test")).unwrap();
        for _ in 0..3 {
            sender.send(&settings.topics.kpis, Some(0), None, Some(b"not a row"), Some(1)).unwrap();
        }
        sender.flush(PATIENCE).unwrap();
        let topology = Topology { event_partitions: 1, policy_partitions: 1, dead_letter_partitions: 1 };
        // Its topics are read from their beginnings, whatever the time.
        let clock = Clock::accelerated(Clock::System.now_ms(), 1);
        let context = context(settings, clock, topology, avro_codec::Codec::fixed(), false).of_worker("controller");
        let health = &context.published.health;
        context.progress.begin("recovering journal partitions", 2);
        health.age(Duration::from_secs(61));
        assert!(health.live().is_err());
        let recovered = recover(&context, &[0, 1]).unwrap();
        assert_eq!((recovered.len(), health.live()), (2, Ok(())));
        assert_eq!(health.ready(), Err(vec!["controller: recovering journal partitions, 2 of 2 done".into()]));
        assert!(context.metrics.text().contains("paceline_takeover_records_total{stage=\"controller\"} 3"));
        let _ = std::fs::remove_dir_all(folder);
    }
}
