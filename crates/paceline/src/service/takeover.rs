//! Taking over partitions: fence, ask the logs where the sources stand, rebuild the state, repair what was torn.
//!
//! Order matters. The committer was started before, so a predecessor of the same slot can write no more and its open
//! transaction is aborted; a predecessor of another slot is waited for by asking for *stable* committed positions. Only
//! then the ends of the logs are asked for and read. A torn cut is emitted again, the same, before anything new.

use super::context::Context;
use super::cut::{CutWriter, DeadLetter};
use super::evidence::{Cut, SourceKey, Standing, standing};
use super::letters;
use super::policy_feed::PolicyFeed;
use super::position_note::PositionNote;
use super::rebuild;
use super::sibling::OwnedSet;
use super::stage1::OwnedControl;
use crate::failure::{Failure, Kind, Outcome};
use crate::settings::StartFrom;
use aggregator::{EpochSums, SiblingSet};
use avro_codec::RecordName;
use kafka_io::failpoint::WITHOUT_REPAIR;
use kafka_io::{Committer, Failpoints, From, LogReader, Outcome as Committed, TopicPartition, Until};
use model::event::EventKind;
use model::fact::Fact;
use model::journal::{CopiedFact, Epoch, NO_WATERMARK, Range};
use model::time::{MINUTE_MS, Millis};
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rayon::slice::ParallelSlice;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// No progress for this long while reading a log: longer than a dead predecessor's transaction can stay open.
const PATIENCE: Duration = Duration::from_secs(25);
/// The journal is read from this long before the last known cut: clocks of workers and brokers may differ by minutes.
const CLOCK_SLACK_MS: Millis = 5 * MINUTE_MS;
/// Records looked at first when searching a topic's last record; most of the time it is among them.
const TAIL_FIRST: i64 = 8;
/// Offsets of a journal partition that are looked at first for the last cut of every group, and then: dozens of cuts of
/// every worker, of which each writes to every partition.
const JOURNAL_TAILS: [i64; 2] = [64, 1_024];
const REPAIR_LIMIT: Duration = Duration::from_secs(25);

/// Whether nobody has cut a parked set since: its last Epoch record is its own last cut.
pub fn is_untouched(context: &Context, partition: i32, epoch: i64) -> Outcome<bool> {
    let mut reader = context.reader("takeover", PATIENCE)?;
    Ok(last_epoch(context, &mut reader, partition)?.is_some_and(|last| last.epoch == epoch))
}

/// After a loss that was accepted: reading begins at the oldest record kept, and the next cut tells of the hole.
pub fn skip_lost(
    context: &Context,
    sets: &mut BTreeMap<i32, OwnedSet>,
    controls: &mut BTreeMap<(usize, i32), OwnedControl>,
    starts: &mut [(TopicPartition, i64)],
) -> Outcome {
    let reader = context.reader("takeover", PATIENCE)?;
    for (place, start) in starts {
        let (low, _) = reader.watermarks(&place.topic, place.partition)?;
        if low <= *start {
            continue;
        }
        tracing::error!(%place, lost_from = *start, lost_to = low, "records are gone; going on without them, as --accept-loss says");
        *start = low;
        let siblings =
            sets.values_mut().flat_map(|owned| &mut owned.siblings).filter(|sibling| sibling.place == *place);
        siblings.for_each(|sibling| sibling.next = low);
        let controls = controls.values_mut().filter(|control| control.place == *place);
        controls.for_each(|control| control.next = low);
    }
    Ok(())
}

/// What was taken over.
#[derive(Default)]
pub struct Owned {
    /// Sibling sets by partition.
    pub sets: Vec<(i32, SiblingSet)>,
    /// Control partitions with the index of their source.
    pub controls: Vec<(usize, OwnedControl)>,
    /// Greatest clock of the cuts found.
    pub last_clock_ms: Millis,
}

/// Takes over sibling sets and control partitions that are new to this worker, several at a time.
pub fn take_over(
    context: &Context,
    threads: &ThreadPool,
    committer: &mut Committer,
    writer: &CutWriter,
    policy: &PolicyFeed,
    partitions: &[i32],
    controls: &[(usize, TopicPartition)],
) -> Outcome<Owned> {
    let mut reader = context.reader("takeover", PATIENCE)?;
    let mut groups: Vec<Group> = partitions.iter().map(|partition| Group::siblings(context, *partition)).collect();
    groups.extend(controls.iter().map(|(source, place)| Group::control(*source, place)));
    ask_group(context, &reader, &mut groups)?;
    for group in groups.iter_mut().filter(|group| group.partition.is_some()) {
        group.last_epoch = last_epoch(context, &mut reader, group.partition.unwrap_or_default())?;
    }
    drop(reader);
    threads.install(|| read_journal(context, &mut groups, policy))?;
    let settle_one = |group: &Group| {
        let settled = settle(context, writer, policy, group);
        context.progress.part_done();
        settled
    };
    let settled: Vec<Settled> =
        threads.install(|| groups.par_iter().with_max_len(1).map(settle_one).collect::<Outcome<_>>())?;
    let mut owned = Owned::default();
    let mut parts = Vec::new();
    for Settled { set, controls, clock_ms, part } in settled {
        owned.sets.extend(set);
        owned.controls.extend(controls);
        owned.last_clock_ms = owned.last_clock_ms.max(clock_ms);
        parts.extend(part);
    }
    if Failpoints::from_environment()?.is_due(WITHOUT_REPAIR) {
        tracing::error!(cuts = parts.len(), "a test asked for it: torn cuts are not emitted again");
    } else {
        emit_again(parts, context, committer, writer)?;
    }
    Ok(owned)
}

/// Sources that move together: three siblings, or one control partition.
struct Group {
    sources: Vec<SourceKey>,
    /// Number of the sibling set, `None` for a control partition.
    partition: Option<i32>,
    /// Index of the control source.
    source: usize,
    /// Where in the journal to begin, by the clock of a cut that is known; `None` is the beginning.
    clock_hint: Option<Millis>,
    last_epoch: Option<Epoch>,
    /// Last cut in each journal partition.
    journal: Vec<Option<Cut>>,
}

impl Group {
    fn siblings(context: &Context, partition: i32) -> Self {
        let topics = &context.settings.topics;
        let sources = EventKind::ALL.iter().map(|kind| (topics.event(*kind).to_owned(), partition)).collect();
        Self { sources, partition: Some(partition), source: 0, clock_hint: None, last_epoch: None, journal: Vec::new() }
    }

    fn control(source: usize, place: &TopicPartition) -> Self {
        let sources = vec![(place.topic.to_string(), place.partition)];
        Self { sources, partition: None, source, clock_hint: None, last_epoch: None, journal: Vec::new() }
    }

    fn name(&self) -> String {
        match self.partition {
            Some(partition) => format!("events of partition {partition}"),
            None => self.sources.first().map(|(topic, partition)| format!("{topic}/{partition}")).unwrap_or_default(),
        }
    }

    fn places(&self) -> Vec<TopicPartition> {
        self.sources.iter().map(|(topic, partition)| TopicPartition::new(topic.as_str(), *partition)).collect()
    }
}

/// Waits for stable committed positions; their metadata tell where in the journal to look.
fn ask_group(context: &Context, reader: &LogReader, groups: &mut [Group]) -> Outcome {
    let name = format!("{}-aggregator", context.settings.group);
    let places: Vec<TopicPartition> = groups.iter().flat_map(Group::places).collect();
    let committed = reader.committed(&name, &places)?;
    let hints: BTreeMap<&TopicPartition, Millis> = committed
        .iter()
        .filter_map(|(place, (_, metadata))| Some((place, PositionNote::parse(metadata)?.clock)))
        .collect();
    for group in groups {
        group.clock_hint = group.places().iter().filter_map(|place| hints.get(place).copied()).min();
    }
    Ok(())
}

/// The last record of a partition of `paceline.epochs`.
fn last_epoch(context: &Context, reader: &mut LogReader, partition: i32) -> Outcome<Option<Epoch>> {
    let topic = &context.settings.topics.epochs;
    let (low, high) = reader.watermarks(topic, partition)?;
    let mut span = TAIL_FIRST;
    loop {
        let from = (high - span).max(low);
        let mut last = None;
        let mut undecodable = None;
        reader.read(topic, partition, From::Offset(from), Until::Offset(high), |record| {
            match context.codec.epoch(record.payload.unwrap_or_default()) {
                Ok(epoch) => last = Some(epoch),
                Err(rejected) => undecodable = Some(rejected.detail),
            }
            ControlFlow::Continue(())
        })?;
        if let Some(detail) = undecodable {
            return Err(unreadable(topic, partition, &detail));
        }
        if last.is_some() || from == low {
            return Ok(last);
        }
        span *= 8;
    }
}

/// Finds the last cut of every group in every journal partition: at its end, where nearly always it is, then from the
/// time of a known cut on, then from the beginning.
fn read_journal(context: &Context, groups: &mut [Group], policy: &PolicyFeed) -> Outcome {
    let known: Option<Vec<Millis>> = groups
        .iter()
        .map(|group| group.clock_hint.into_iter().chain(group.last_epoch.as_ref().map(|epoch| epoch.clock)).min())
        .collect();
    let mut begins = Vec::new();
    // A group that nothing tells of may have cut at any time.
    if let Some(clock) = known.and_then(|clocks| clocks.into_iter().min()) {
        begins.extend(JOURNAL_TAILS.map(Begin::Tail));
        // The demo's broker cannot look up offsets by time, and its journal is short.
        begins.extend((!context.clock.stamps_records()).then_some(Begin::At(From::Time(clock - CLOCK_SLACK_MS))));
    }
    let is_known = !begins.is_empty();
    begins.push(Begin::At(From::Earliest));
    let all = context.settings.journal_partitions;
    groups.iter_mut().for_each(|group| group.journal = (0..all).map(|_| None).collect());
    let mut unseen: Vec<i32> = (0..all).collect();
    for begin in begins {
        if is_known && matches!(begin, Begin::At(From::Earliest)) {
            // A worker's clock that ran ahead of the broker's leads past the end; and a partition that lacks the first cut
            // after a long pause holds nothing since. What retention has emptied is read in no time.
            tracing::warn!(partitions = ?unseen, "no cut where one is known to be: reading these from their beginning");
        }
        let size = unseen.len().div_ceil(rayon::current_num_threads()).max(1);
        let read = |partitions: &[i32]| read_journal_from(context, groups, policy, partitions, begin);
        let found = unseen.par_chunks(size).map(read).collect::<Outcome<Vec<_>>>()?;
        for (partition, last) in found.into_iter().flatten() {
            for (group, last) in groups.iter_mut().zip(last) {
                if let Some(known) = group.journal.get_mut(partition as usize) {
                    *known = last;
                }
            }
        }
        unseen.retain(|partition| is_unseen(groups, *partition));
        if unseen.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Where the reading of a journal partition begins.
#[derive(Clone, Copy)]
enum Begin {
    /// So many offsets before its end.
    Tail(i64),
    At(From),
}

/// Whether a journal partition showed no cut of a group that is known to have cut.
fn is_unseen(groups: &[Group], partition: i32) -> bool {
    let of_partition = |group: &Group| group.journal.get(partition as usize).is_some_and(Option::is_none);
    groups.iter().any(|group| (group.clock_hint.is_some() || group.last_epoch.is_some()) && of_partition(group))
}

/// The last cut of each group in these partitions.
fn read_journal_from(
    context: &Context,
    groups: &[Group],
    policy: &PolicyFeed,
    partitions: &[i32],
    begin: Begin,
) -> Outcome<Vec<(i32, Vec<Option<Cut>>)>> {
    let topic = &context.settings.topics.journal;
    let mut reader = context.reader("takeover", PATIENCE)?;
    let mut found = Vec::with_capacity(partitions.len());
    for &partition in partitions {
        let from = match begin {
            Begin::At(from) => from,
            Begin::Tail(offsets) => {
                let (low, high) = reader.watermarks(topic, partition)?;
                From::Offset((high - offsets).max(low))
            }
        };
        let mut last: Vec<Option<Cut>> = groups.iter().map(|_| None).collect();
        let mut wrong = None;
        reader.read(topic, partition, from, Until::StableEnd, |record| {
            match context.codec.journal(record.payload.unwrap_or_default()) {
                Ok(journal) => {
                    for (group, last) in groups.iter().zip(&mut last) {
                        keep_later(last, Cut::of_record(&journal, &group.sources));
                    }
                    for fact in &journal.facts {
                        if let Fact::PolicyVersion(version) = &fact.record {
                            policy.learn(version);
                        }
                    }
                    ControlFlow::Continue(())
                }
                Err(rejected) => {
                    wrong = Some(rejected.detail);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(detail) = wrong {
            return Err(unreadable(topic, partition, &detail));
        }
        found.push((partition, last));
    }
    Ok(found)
}

fn keep_later(last: &mut Option<Cut>, found: Option<Cut>) {
    if let Some(found) = found
        && last.as_ref().is_none_or(|last| last.epoch() <= found.epoch())
    {
        *last = Some(found);
    }
}

/// What one group came to.
#[derive(Default)]
struct Settled {
    set: Option<(i32, SiblingSet)>,
    controls: Vec<(usize, OwnedControl)>,
    clock_ms: Millis,
    /// What must be emitted again.
    part: Option<Part>,
}

/// Decides where one group stands, rebuilds its state, and tells what must be emitted again.
fn settle(context: &Context, writer: &CutWriter, policy: &PolicyFeed, group: &Group) -> Outcome<Settled> {
    let mut logs = group.journal.clone();
    if group.partition.is_some() {
        logs.push(group.last_epoch.as_ref().map(Cut::of_epoch));
    }
    let stands = standing(&logs);
    let clock_ms = match &stands {
        Standing::Whole(cut) | Standing::Torn { cut, .. } => cut.clock,
        _ => 0,
    };
    let reader = || context.reader("takeover", PATIENCE);
    match (group.partition, stands) {
        (_, Standing::Broken(reason)) => Err(Failure::new(
            Kind::Failed,
            format!("{} cannot be taken up: {reason}", group.name()),
            "the journal lost records that it had; restore them, or begin a new journal",
        )),
        (Some(partition), Standing::New) => {
            let positions = first_positions(context, &reader()?, group)?;
            let mut set = rebuild::empty_set(context, partition);
            set.start_at(0, positions);
            tracing::info!(partition, ?positions, "first start of an event partition");
            Ok(Settled { set: Some((partition, set)), clock_ms, ..Settled::default() })
        }
        (Some(partition), Standing::Whole(cut)) => {
            let set = rebuild::rebuild(context, &mut reader()?, policy, partition, cut.epoch())?;
            let last = group.last_epoch.as_ref().filter(|epoch| epoch.epoch == cut.epoch());
            let dead = last.map(|epoch| letters::lacking_of_siblings(context, writer, policy, epoch)).transpose()?;
            let part = Part::of_letters(group, dead.unwrap_or_default());
            Ok(Settled { set: Some((partition, set)), clock_ms, part, ..Settled::default() })
        }
        (Some(partition), Standing::Torn { cut, missing }) => {
            tracing::warn!(partition, epoch = cut.epoch(), missing, "the last cut is torn: emitting it again");
            let mut set = match cut.epoch() {
                ..=1 => rebuild::first_set(context, partition, &cut)?,
                epoch => rebuild::rebuild(context, &mut reader()?, policy, partition, epoch - 1)?,
            };
            let in_epochs = group.last_epoch.as_ref().is_some_and(|epoch| epoch.epoch == cut.epoch());
            let part = Part::of_siblings(context, writer, policy, &mut set, &cut, in_epochs)?;
            Ok(Settled { set: Some((partition, set)), clock_ms, part: Some(part), ..Settled::default() })
        }
        (None, stands) => {
            let mut part = None;
            let (next, epoch) = match stands {
                Standing::Whole(cut) => {
                    let (_, dead) = letters::copied(context, writer, &mut reader()?, &cut)?;
                    part = Part::of_letters(group, dead);
                    (cut.to().first().copied().unwrap_or(0), cut.epoch())
                }
                Standing::Torn { cut, missing } => {
                    tracing::warn!(source = group.name(), missing, "the last cut is torn: emitting it again");
                    part = Some(Part::of_control(context, writer, &mut reader()?, &cut)?);
                    (cut.to().first().copied().unwrap_or(0), cut.epoch())
                }
                _ => (first_positions_of(context, &reader()?, group)?.first().copied().unwrap_or(0), 0),
            };
            let own = |place| (group.source, OwnedControl { place, next, from: next, epoch });
            let controls = group.places().into_iter().map(own).collect();
            Ok(Settled { set: None, controls, clock_ms, part })
        }
    }
}

fn first_positions(context: &Context, reader: &LogReader, group: &Group) -> Outcome<[i64; 3]> {
    let all = first_positions_of(context, reader, group)?;
    all.try_into().map_err(|_| Failure::failed("a sibling set has three sources", "this is a defect; please report it"))
}

fn first_positions_of(context: &Context, reader: &LogReader, group: &Group) -> Outcome<Vec<i64>> {
    let mut positions = Vec::new();
    for (topic, partition) in &group.sources {
        let (low, high) = reader.watermarks(topic, *partition)?;
        // Specifications and policies are state, not a stream: without the old ones nothing can be steered.
        let events = group.partition.is_some();
        positions.push(if events && context.settings.start_from == StartFrom::Latest { high } else { low });
    }
    Ok(positions)
}

/// A torn cut that is emitted again, as a transaction of its own.
#[derive(Default)]
struct Part {
    epochs: Vec<Epoch>,
    ranges: Vec<Range>,
    sums: EpochSums,
    facts: Vec<CopiedFact>,
    dead: Vec<DeadLetter>,
    clock: Millis,
}

impl Part {
    fn of_siblings(
        context: &Context,
        writer: &CutWriter,
        policy: &PolicyFeed,
        set: &mut SiblingSet,
        cut: &Cut,
        in_epochs: bool,
    ) -> Outcome<Self> {
        let mut sums = EpochSums::new();
        let mut dead = Vec::new();
        let closed = rebuild::fold_cut(context, writer, policy, set, cut, &mut sums, &mut dead)?;
        letters::keep_lacking(context, cut, &mut dead)?;
        // Where the Epoch record is there already, its ranges still have to reach the journal.
        let ranges = if in_epochs { closed.ranges.clone() } else { Vec::new() };
        let epochs = if in_epochs { Vec::new() } else { vec![closed] };
        Ok(Self { epochs, ranges, sums, dead, clock: cut.clock, ..Self::default() })
    }

    fn of_control(context: &Context, writer: &CutWriter, reader: &mut LogReader, cut: &Cut) -> Outcome<Self> {
        let (facts, dead) = letters::copied(context, writer, reader, cut)?;
        let ranges = cut.ranges.iter().map(|range| Range { watermark: NO_WATERMARK, ..range.clone() }).collect();
        Ok(Self { ranges, facts, dead, clock: cut.clock, ..Self::default() })
    }

    /// Of a cut that lacks nothing else.
    fn of_letters(group: &Group, dead: Vec<DeadLetter>) -> Option<Self> {
        if dead.is_empty() {
            return None;
        }
        tracing::warn!(
            source = group.name(),
            letters = dead.len(),
            "the last cut's dead letters are torn: writing them"
        );
        Some(Self { dead, ..Self::default() })
    }

    /// Whether journal and cuts have all of it.
    fn is_letters_alone(&self) -> bool {
        self.epochs.is_empty() && self.ranges.is_empty()
    }
}

fn emit_again(parts: Vec<Part>, context: &Context, committer: &mut Committer, writer: &CutWriter) -> Outcome {
    let count = parts.len() as u64;
    for mut part in parts {
        let transaction = if part.is_letters_alone() {
            writer.letters(context, part.dead)
        } else {
            let sums = part.sums.drain(context.settings.journal_partitions);
            writer.write(context, 0, part.clock, &part.epochs, part.ranges, sums, part.facts, part.dead)?
        };
        submit_and_wait(committer, transaction)?;
        context.progress.alive();
    }
    context.metrics.repaired_epochs.inc_by(count);
    Ok(())
}

fn submit_and_wait(committer: &mut Committer, transaction: kafka_io::Transaction) -> Outcome {
    let mut pending = Some(transaction);
    let started = Instant::now();
    while started.elapsed() < REPAIR_LIMIT {
        if let Some(transaction) = pending.take()
            && let Err(back) = committer.submit(transaction)
        {
            pending = Some(back);
        }
        match committer.outcome(Duration::from_millis(200)) {
            Some(Committed::Committed { .. }) => return Ok(()),
            Some(Committed::Refused { transaction, error }) => {
                tracing::warn!(%error, "repair refused, submitting it again");
                pending = Some(transaction);
            }
            Some(Committed::Fatal { error }) => {
                return Err(Failure::new(Kind::TryLater, error, "start it again; it takes up from the journal"));
            }
            None => {}
        }
    }
    Err(Failure::new(
        Kind::TryLater,
        "a torn cut could not be emitted again in time",
        "check the cluster, then start again",
    ))
}

fn unreadable(topic: &str, partition: i32, detail: &str) -> Failure {
    Failure::failed(
        format!(
            "a record of {topic}/{partition} does not decode as a {}: {detail}",
            RecordName::JournalRecord.as_str()
        ),
        "only Paceline may write this topic; remove what another program wrote there",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(clock_hint: Option<Millis>, journal: Vec<Option<Cut>>) -> Group {
        Group { sources: Vec::new(), partition: Some(0), source: 0, clock_hint, last_epoch: None, journal }
    }

    #[test]
    fn a_partition_without_a_known_group_s_cut_is_read_again_and_that_of_a_new_group_is_not() {
        let cut = || Some(Cut { ranges: Vec::new(), clock: 7, policy_version: 0 });
        let groups = [group(Some(7), vec![cut(), None]), group(None, vec![None, None])];
        assert_eq!([0, 1].map(|partition| is_unseen(&groups, partition)), [false, true]);
    }
}
