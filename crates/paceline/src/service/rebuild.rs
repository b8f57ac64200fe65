//! A sibling set's state at a cut: the newest valid snapshot, then the recorded cuts over the recorded events.
//!
//! Nothing is written: what the replayed cuts brought is in the journal already. The events are read by three threads,
//! since a cut needs all siblings and their order inside it is canonical.

use super::context::Context;
use super::cut::{CutWriter, DeadLetter};
use super::evidence::Cut;
use super::policy_feed::PolicyFeed;
use super::snapshot_writer::{SetHeader, set_folder};
use crate::failure::{Failure, Outcome};
use crate::snapshots::{Directory, Snapshots};
use aggregator::{Corrupt, EpochSums, Identity, RecordMeta, RecordedCut, Semantics, SiblingSet, StoredChunk, Verdict};
use avro_codec::Scratch;
use kafka_io::{From, LogReader, TopicPartition, Until};
use model::event::EventKind;
use model::fact::Fact;
use model::journal::Epoch;
use model::keyed::KeyedHasher;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(25);
/// Records handed over at once by a reading thread.
const CHUNK_RECORDS: usize = 1_000;
/// Chunks that wait between a reading thread and the fold: about 10 MB a topic.
const CHUNKS_WAITING: usize = 32;
/// Used where no secret is set; the service warns, and refuses it on secured clusters.
const BUILT_IN_SECRET: &str = "paceline built-in key: set user_key.secret";

/// A set that has seen nothing. It begins with the built-in semantics and adopts the policy's at its first cut, which
/// has no records, so that a replay from the beginning never has to guess.
pub fn empty_set(context: &Context, partition: i32) -> SiblingSet {
    SiblingSet::new(identity(context, partition), hasher(context), Semantics::default())
}

/// A set that stands before the first cut of all, which says where the sources began.
pub fn first_set(context: &Context, partition: i32, first: &Cut) -> Outcome<SiblingSet> {
    let from: Vec<i64> = first.ranges.iter().map(|range| range.from).collect();
    let mut set = empty_set(context, partition);
    set.start_at(0, from.try_into().map_err(|_| defect("a cut of siblings has three ranges"))?);
    Ok(set)
}

/// The hasher of this deployment.
pub fn hasher(context: &Context) -> KeyedHasher {
    KeyedHasher::new(context.settings.user_key_secret.as_deref().unwrap_or(BUILT_IN_SECRET).as_bytes())
}

fn identity(context: &Context, partition: i32) -> Identity {
    Identity {
        partition,
        partitions: context.topology.event_partitions,
        worker: context.settings.slot.clone(),
        build: context.build.to_string(),
        topics: EventKind::ALL.map(|kind| context.settings.topics.event(kind).to_owned()),
    }
}

/// The state after cut `epoch`, by snapshot and replay.
pub fn rebuild(
    context: &Context,
    reader: &mut LogReader,
    policy: &PolicyFeed,
    partition: i32,
    epoch: i64,
) -> Outcome<SiblingSet> {
    let mut set = restore(context, partition, epoch)?;
    let cuts = recorded_cuts(context, reader, partition, set.epoch(), epoch)?;
    match cuts.first() {
        None => {}
        Some(first) if set.epoch() == 0 && first.epoch == 1 => {
            // Nothing was restored: the first cut of all says where the sources began.
            set = empty_set(context, partition);
            set.start_at(0, first.from);
        }
        // A later one would begin with a memory that is not there: counted below as cuts that are missing.
        Some(_) => {}
    }
    let reached = set.epoch() + cuts.len() as i64;
    if reached != epoch || !kept(context, reader, partition, &set)? {
        return lost(context, partition, epoch, reader);
    }
    if !cuts.is_empty() {
        tracing::info!(partition, cuts = cuts.len(), from = set.epoch(), "replaying recorded cuts");
        replay(context, policy, partition, &mut set, &cuts)?;
    }
    Ok(set)
}

/// Folds one recorded cut and returns its Epoch record; what it brings goes to `sums`, what it refuses to `dead`.
pub fn fold_cut(
    context: &Context,
    writer: &CutWriter,
    policy: &PolicyFeed,
    set: &mut SiblingSet,
    cut: &Cut,
    sums: &mut EpochSums,
    dead: &mut Vec<DeadLetter>,
) -> Outcome<Epoch> {
    let epoch = Epoch {
        epoch: cut.epoch(),
        ranges: cut.ranges.clone(),
        clock: cut.clock,
        policy_version: cut.policy_version,
        ..Epoch::default()
    };
    let recorded = RecordedCut::of(&epoch).ok_or_else(|| defect("a cut of siblings has three ranges"))?;
    let partition = cut.ranges.first().map_or(0, |range| range.partition);
    let mut feeds = feeds(context, partition, recorded.from, recorded.to)?;
    let mut refused = |kind: EventKind, record: &Owned, reason: &'static str, detail: String| {
        let place = TopicPartition::new(context.settings.topics.event(kind), partition);
        let (key, payload) = (record.key.as_deref(), Some(record.payload.as_slice()));
        dead.push(writer.dead_letter(&place, record.offset, record.timestamp_ms, key, payload, reason, detail));
    };
    fold_one(context, policy, set, &recorded, &mut feeds, sums, &mut refused)
}

/// What a recorded cut refuses. That depends on each record, the cut's clock and the semantics before it alone, so a set
/// that has seen nothing says the same as the one that made the cut.
pub fn refused_by(
    context: &Context,
    writer: &CutWriter,
    policy: &PolicyFeed,
    reader: &mut LogReader,
    partition: i32,
    cut: &Cut,
) -> Outcome<Vec<DeadLetter>> {
    let before = recorded_cuts(context, reader, partition, cut.epoch() - 2, cut.epoch() - 1)?;
    let version = before.last().map_or(0, |before| before.policy_version);
    let semantics = if version == 0 { None } else { version_of(context, policy, version)? };
    let mut set = SiblingSet::new(identity(context, partition), hasher(context), semantics.unwrap_or_default());
    let from: Vec<i64> = cut.ranges.iter().map(|range| range.from).collect();
    let from = from.try_into().map_err(|_| defect("a cut of siblings has three ranges"))?;
    set.start_at(cut.epoch() - 1, from);
    let mut dead = Vec::new();
    fold_cut(context, writer, policy, &mut set, cut, &mut EpochSums::new(), &mut dead)?;
    Ok(dead)
}

fn restore(context: &Context, partition: i32, epoch: i64) -> Outcome<SiblingSet> {
    let folder = set_folder(&context.settings.state_dir, &context.settings.group, partition);
    let unreadable = |error: std::io::Error| {
        Failure::setup(format!("cannot read snapshots in {}: {error}", folder.display()), "check state.dir")
    };
    let store = Directory::open(&folder).map_err(unreadable)?;
    let snapshots = Snapshots::open(Box::new(store)).map_err(unreadable)?;
    let mut ceiling = epoch;
    loop {
        let fits = |header: &[u8]| postcard::from_bytes(header).is_ok_and(|header: SetHeader| header.epoch <= ceiling);
        let (loaded, skipped) = snapshots.newest(fits).map_err(unreadable)?;
        // What stands above one that did not restore was told in the round before.
        for reason in skipped.iter().filter(|_| ceiling == epoch) {
            tracing::warn!(partition, reason, "snapshot passed over");
        }
        let Some(loaded) = loaded else { return Ok(empty_set(context, partition)) };
        let of = postcard::from_bytes::<SetHeader>(&loaded.header).map_or(0, |header| header.epoch);
        let chunks = loaded.chunks().map(|(id, version, bytes)| {
            context.progress.alive();
            StoredChunk { id: id.to_owned(), version, bytes: bytes.into() }
        });
        match SiblingSet::restore(identity(context, partition), hasher(context), chunks) {
            Ok(set) => {
                tracing::info!(partition, epoch = set.epoch(), "snapshot restored");
                return Ok(set);
            }
            Err(error) => {
                if error == Corrupt::OTHER_SECRET {
                    tracing::warn!(
                        partition,
                        epoch = of,
                        "user_key.secret was changed since this snapshot was taken: its ids and touches cannot be matched, so older snapshots and then the logs are tried"
                    );
                } else {
                    tracing::warn!(partition, %error, "snapshot does not restore, trying the one before");
                }
                ceiling = of - 1;
            }
        }
    }
}

/// The cuts after `after` up to `until`, from `paceline.epochs`; fewer where retention has taken some.
fn recorded_cuts(
    context: &Context,
    reader: &mut LogReader,
    partition: i32,
    after: i64,
    until: i64,
) -> Outcome<Vec<RecordedCut>> {
    let topic = &context.settings.topics.epochs;
    let (low, high) = reader.watermarks(topic, partition)?;
    // A cut takes at least one offset, its commit marker another.
    let from = (high - (until - after + 16).saturating_mul(2)).clamp(low, high);
    let mut cuts = Vec::new();
    for start in [from, low] {
        cuts.clear();
        reader.read(topic, partition, From::Offset(start), Until::StableEnd, |record| {
            let epoch = record.payload.and_then(|payload| context.codec.epoch(payload).ok());
            if let Some(cut) = epoch.as_ref().and_then(RecordedCut::of)
                && cut.epoch > after
                && cut.epoch <= until
                && cuts.last().is_none_or(|last: &RecordedCut| last.epoch < cut.epoch)
            {
                cuts.push(cut);
            }
            ControlFlow::Continue(())
        })?;
        if cuts.first().is_some_and(|cut| cut.epoch == after + 1) || after == until {
            break;
        }
    }
    Ok(cuts)
}

/// Whether the events from the set's positions on are still kept.
fn kept(context: &Context, reader: &LogReader, partition: i32, set: &SiblingSet) -> Outcome<bool> {
    for kind in EventKind::ALL {
        let (low, _) = reader.watermarks(context.settings.topics.event(kind), partition)?;
        if set.positions()[kind.index()] < low {
            return Ok(false);
        }
    }
    Ok(true)
}

/// No snapshot, and logs that no longer reach back: a person decides.
fn lost(context: &Context, partition: i32, epoch: i64, reader: &mut LogReader) -> Outcome<SiblingSet> {
    let words = format!(
        "the state of event partition {partition} cannot be rebuilt: no valid snapshot in {}, and {} or the event topics no longer reach back to where it would begin",
        context.settings.state_dir.display(),
        context.settings.topics.epochs,
    );
    if !context.accept_loss {
        return Err(Failure::setup(
            words,
            "restore a snapshot, or start once with --accept-loss: remembered touches and ids are lost, counts go on",
        ));
    }
    tracing::error!("{words}; going on without it, as --accept-loss says");
    let positions = last_positions(context, reader, partition, epoch)?;
    let mut set = empty_set(context, partition);
    set.start_at(epoch, positions);
    Ok(set)
}

fn last_positions(context: &Context, reader: &mut LogReader, partition: i32, epoch: i64) -> Outcome<[i64; 3]> {
    let cuts = recorded_cuts(context, reader, partition, epoch - 1, epoch)?;
    cuts.last().map(|cut| cut.to).ok_or_else(|| {
        Failure::setup(
            format!("the cut {epoch} of event partition {partition} is not in {}", context.settings.topics.epochs),
            "restore the topic",
        )
    })
}

fn replay(
    context: &Context,
    policy: &PolicyFeed,
    partition: i32,
    set: &mut SiblingSet,
    cuts: &[RecordedCut],
) -> Outcome {
    let (Some(first), Some(last)) = (cuts.first(), cuts.last()) else { return Ok(()) };
    let mut feeds = feeds(context, partition, first.from, last.to)?;
    let mut sums = EpochSums::new();
    context.progress.reading(format!("events of partition {partition}"), offsets(first.from, last.to));
    for cut in cuts {
        // Dead letters of a replayed cut are on their topic.
        fold_one(context, policy, set, cut, &mut feeds, &mut sums, &mut |_, _, _, _| {})?;
        // What a replayed cut brought stands in the journal.
        sums.drain(1);
        context.progress.further(offsets(cut.from, cut.to));
    }
    Ok(())
}

fn offsets(from: [i64; 3], to: [i64; 3]) -> u64 {
    from.into_iter().zip(to).map(|(from, to)| to.saturating_sub(from).max(0) as u64).sum()
}

fn fold_one(
    context: &Context,
    policy: &PolicyFeed,
    set: &mut SiblingSet,
    cut: &RecordedCut,
    feeds: &mut [Feed; 3],
    sums: &mut EpochSums,
    refused: &mut dyn FnMut(EventKind, &Owned, &'static str, String),
) -> Outcome<Epoch> {
    let adopted = match cut.policy_version > set.semantics().version {
        false => None,
        true => Some(version_of(context, policy, cut.policy_version)?.ok_or_else(|| {
            Failure::setup(
                format!(
                    "policy version {} that cut {} names is neither on the policy topic nor in the journal",
                    cut.policy_version, cut.epoch
                ),
                "publish that version again, or restore a newer snapshot",
            )
        })?),
    };
    set.open(cut.clock);
    let mut scratch = Scratch::default();
    for kind in EventKind::ALL {
        let feed = &mut feeds[kind.index()];
        while let Some(record) = feed.next_before(cut.to[kind.index()])? {
            let meta =
                RecordMeta { offset: record.offset, timestamp_ms: record.timestamp_ms, key: record.key.as_deref() };
            let decoded = context.codec.event(kind, &record.payload, &mut scratch);
            let (verdict, detail) = match decoded {
                Ok(event) => (set.fold(kind, meta, Ok(event)), String::new()),
                Err(rejected) => (set.fold(kind, meta, Err(rejected.reason.as_str())), rejected.detail),
            };
            if let Verdict::Rejected(reason) = verdict {
                refused(kind, &record, reason, detail);
            }
            if verdict == Verdict::Full {
                return Err(defect("a recorded cut does not fit the buffers that it was made with"));
            }
        }
    }
    let closed = set.close(cut.end(adopted), sums).map_err(|error| defect(&error.to_string()))?;
    Ok(closed.epoch)
}

/// A version of the semantics: from the policy topic, or, where compaction has taken it there, from the journal's copies.
fn version_of(context: &Context, policy: &PolicyFeed, version: i64) -> Outcome<Option<Semantics>> {
    if let Some(semantics) = policy.version(version) {
        return Ok(Some(semantics));
    }
    let mut reader = context.reader("policy", PATIENCE)?;
    // Facts without an account stand in every journal partition.
    reader.read(&context.settings.topics.journal, 0, From::Earliest, Until::StableEnd, |record| {
        let journal = record.payload.and_then(|payload| context.codec.journal(payload).ok());
        for fact in journal.into_iter().flat_map(|journal| journal.facts) {
            if let Fact::PolicyVersion(found) = &fact.record {
                policy.learn(found);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(policy.version(version))
}

struct Owned {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
}

/// Records of one topic-partition in order, read ahead by a thread.
struct Feed {
    chunks: Receiver<Result<Vec<Owned>, kafka_io::Error>>,
    ready: VecDeque<Owned>,
}

impl Feed {
    fn next_before(&mut self, to: i64) -> Outcome<Option<Owned>> {
        if self.ready.is_empty()
            && let Ok(chunk) = self.chunks.recv()
        {
            self.ready.extend(chunk?);
        }
        Ok(self.ready.front().is_some_and(|record| record.offset < to).then(|| self.ready.pop_front()).flatten())
    }
}

fn feeds(context: &Context, partition: i32, from: [i64; 3], to: [i64; 3]) -> Outcome<[Feed; 3]> {
    let feeds = EventKind::ALL.map(|kind| {
        let at = kind.index();
        feed(context, context.settings.topics.event(kind).to_owned(), partition, from[at], to[at])
    });
    let [impressions, clicks, conversions] = feeds;
    Ok([impressions?, clicks?, conversions?])
}

fn feed(context: &Context, topic: String, partition: i32, from: i64, to: i64) -> Outcome<Feed> {
    let (sender, chunks) = sync_channel(CHUNKS_WAITING);
    if from >= to {
        return Ok(Feed { chunks, ready: VecDeque::new() });
    }
    let (connection, stop) = (context.connection("replay"), context.stop.clone());
    let read = move || {
        let mut chunk = Vec::with_capacity(CHUNK_RECORDS);
        let open = LogReader::open(&connection, PATIENCE).map(|reader| reader.stop_when(move || stop.is_asked()));
        let result = open.and_then(|mut reader| {
            reader.read(&topic, partition, From::Offset(from), Until::Offset(to), |record| {
                chunk.push(Owned {
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    key: record.key.map(<[u8]>::to_vec),
                    payload: record.payload.unwrap_or_default().to_vec(),
                });
                if chunk.len() == CHUNK_RECORDS && sender.send(Ok(std::mem::take(&mut chunk))).is_err() {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
        });
        let whole = result.and_then(|report| {
            if report.is_stopped || report.next_offset >= to {
                return Ok(chunk);
            }
            let detail = format!("the log of {topic}/{partition} ends at {}, the cut at {to}", report.next_offset);
            Err(kafka_io::Error { fault: kafka_io::Fault::OffsetGone, doing: "replaying a cut".into(), detail })
        });
        let _ = sender.send(whole);
    };
    std::thread::Builder::new()
        .name("replay".into())
        .spawn(read)
        .map_err(|error| Failure::failed(format!("cannot start a replay thread: {error}"), ""))?;
    Ok(Feed { chunks, ready: VecDeque::new() })
}

fn defect(words: &str) -> Failure {
    Failure::failed(format!("replaying a cut: {words}"), "this is a defect; please report it")
}
