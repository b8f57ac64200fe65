//! A lane: one sibling set, and the thread that folds what came for it.
//!
//! What always holds: a lane is worked on by one thread at a time, and takes its records in the order of their spreading, so
//! those of one partition stay in theirs. What cannot be folded yet is held by the set, and says that the turn should end.

use super::{CARRIED_OVERHEAD_BYTES, Source};
use crate::service::cut::{CutWriter, DeadLetter};
use crate::service::sibling::{Held, OwnedSet};
use aggregator::{RecordMeta, Verdict};
use avro_codec::Codec;
use kafka_io::{PlainRecord, SharedBatch};
use model::event::EventKind;
use model::time::Millis;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

/// This many records ahead of the one that is folded a payload is touched.
const FETCH_AHEAD: usize = 6;

/// A record on its way into the fold, from the client's buffers or from those held.
#[derive(Clone, Copy)]
struct Input<'a> {
    kind: EventKind,
    offset: i64,
    timestamp_ms: i64,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
}

/// What all lanes of a turn share.
pub(super) struct Turn<'a> {
    pub codec: &'a Codec,
    pub writer: &'a CutWriter,
    /// Where each source index of the client leads.
    pub sources: &'a [Source],
    pub clock_ms: Millis,
    pub epoch_clock_ms: Millis,
    pub skew_ms: Millis,
    /// Something was held, refused or found no room: no further batch in this turn.
    pub ends: AtomicBool,
}

/// What a lane adds to the open epoch.
#[derive(Default)]
pub(super) struct Folded {
    pub dead: Vec<DeadLetter>,
    pub carried_bytes: usize,
    pub records_of: [u64; 3],
    pub bytes_of: [u64; 3],
    pub oldest_ms: Option<Millis>,
    /// The set has no room: cut first.
    pub is_full: bool,
}

/// One set and what came for it.
pub(super) struct Lane<'a> {
    owned: &'a mut OwnedSet,
    pub folded: Folded,
}

/// A lane that is worked on by one thread at a time.
pub(super) struct SharedLane<'a> {
    lane: Mutex<Lane<'a>>,
    inbox: Mutex<Inbox>,
}

/// What waits for a lane.
#[derive(Default)]
struct Inbox {
    parts: VecDeque<Part>,
    /// A thread is at it, and will see what is put here.
    is_worked_on: bool,
}

/// The records of one lane in a batch, by their place in it.
pub(super) struct Part {
    pub batch: Arc<SharedBatch>,
    pub records: Vec<u32>,
}

impl<'a> SharedLane<'a> {
    pub fn of(owned: &'a mut OwnedSet) -> Self {
        Self { lane: Mutex::new(Lane::of(owned)), inbox: Mutex::default() }
    }

    /// Leaves work; `true` where no thread is at the lane, so that one must be sent.
    pub fn put(&self, part: Part) -> bool {
        let mut inbox = lock(&self.inbox);
        inbox.parts.push_back(part);
        !std::mem::replace(&mut inbox.is_worked_on, true)
    }

    fn next(&self) -> Option<Part> {
        let mut inbox = lock(&self.inbox);
        let part = inbox.parts.pop_front();
        inbox.is_worked_on = part.is_some();
        part
    }

    /// What it added to the epoch.
    pub fn folded(self) -> Folded {
        self.lane.into_inner().unwrap_or_else(PoisonError::into_inner).folded
    }

    /// Folds what waits, until nothing does.
    pub fn work(&self, turn: &Turn<'_>, give_back: &mpsc::Sender<SharedBatch>) {
        while let Some(Part { batch, records }) = self.next() {
            lock(&self.lane).fold_all(&batch, &records, turn);
            hand_back(batch, give_back);
        }
    }
}

/// A lane that panicked ends the process by way of the scope, so what it left is not looked at.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last to be done with a batch gives it back to the worker's thread, which frees it.
pub(super) fn hand_back(batch: Arc<SharedBatch>, give_back: &mpsc::Sender<SharedBatch>) {
    if let Some(batch) = Arc::into_inner(batch) {
        // Nobody listens at the turn's end: then it is freed here.
        let _ = give_back.send(batch);
    }
}

impl<'a> Lane<'a> {
    pub fn of(owned: &'a mut OwnedSet) -> Self {
        Lane { owned, folded: Folded::default() }
    }

    fn fold_all(&mut self, batch: &SharedBatch, records: &[u32], turn: &Turn<'_>) {
        for (place, at) in records.iter().enumerate() {
            // Another core wrote the payload: reading of it early overlaps the wait with the folding before.
            let ahead = records.get(place + FETCH_AHEAD);
            fetch(ahead.and_then(|at| batch.get(*at as usize).payload));
            let PlainRecord { source, offset, timestamp_ms, key, payload, .. } = batch.get(*at as usize);
            let Source::Event(kind) = turn.sources[source] else { continue };
            let input = Input { kind, offset, timestamp_ms, key, payload };
            if self.must_wait(&input, turn) || !self.fold(&input, turn) {
                turn.ends.store(true, Ordering::Relaxed);
                self.owned.siblings[kind.index()].hold(Held::of(offset, timestamp_ms, key, payload));
            }
        }
    }

    /// Whether a record is too early. What was folded since the limits were last looked at may let it go on.
    fn must_wait(&mut self, input: &Input<'_>, turn: &Turn<'_>) -> bool {
        if self.owned.may_go(input.kind, input.timestamp_ms, turn.clock_ms) {
            return false;
        }
        if !self.folded.is_full {
            self.fold_held(turn);
        }
        !self.owned.may_go(input.kind, input.timestamp_ms, turn.clock_ms)
    }

    /// Folds what is held as far as it may go on.
    pub fn fold_held(&mut self, turn: &Turn<'_>) {
        self.owned.renew_limits(turn.clock_ms, turn.skew_ms);
        while let Some((kind, held)) = self.owned.next_held(turn.clock_ms) {
            let Held { offset, timestamp_ms, .. } = held;
            let (key, payload) = (held.key.as_deref(), held.payload.as_deref());
            if !self.fold(&Input { kind, offset, timestamp_ms, key, payload }, turn) {
                self.owned.siblings[kind.index()].hold_first(held);
                return;
            }
            self.owned.renew_limits(turn.clock_ms, turn.skew_ms);
        }
    }

    /// Folds one event; `false` where the set is full and asks for a cut first.
    fn fold(&mut self, input: &Input<'_>, turn: &Turn<'_>) -> bool {
        let Input { kind, offset, timestamp_ms, key, .. } = *input;
        let OwnedSet { set, siblings, scratch, .. } = &mut *self.owned;
        let payload = input.payload.unwrap_or_default();
        let meta = RecordMeta { offset, timestamp_ms, key };
        let mut detail = String::new();
        let verdict = match turn.codec.event(kind, payload, scratch) {
            Ok(event) => set.fold(kind, meta, Ok(event)),
            Err(rejected) => {
                let verdict = set.fold(kind, meta, Err(rejected.reason.as_str()));
                detail = rejected.detail;
                verdict
            }
        };
        let (sibling, folded) = (&mut siblings[kind.index()], &mut self.folded);
        match verdict {
            Verdict::Full => {
                folded.is_full = true;
                return false;
            }
            Verdict::Stray => return true,
            Verdict::Rejected(reason) => {
                folded.carried_bytes += payload.len() + CARRIED_OVERHEAD_BYTES;
                turn.ends.store(true, Ordering::Relaxed);
                let place = &sibling.place;
                let letter = turn.writer.dead_letter(place, offset, timestamp_ms, key, input.payload, reason, detail);
                folded.dead.push(letter);
            }
            Verdict::Taken => {}
        }
        sibling.next = offset + 1;
        sibling.time_ms = sibling.record_time(timestamp_ms, turn.epoch_clock_ms.max(sibling.time_ms));
        sibling.quiet_since_ms = turn.epoch_clock_ms;
        folded.records_of[kind.index()] += 1;
        folded.bytes_of[kind.index()] += payload.len() as u64;
        folded.oldest_ms = folded.oldest_ms.or(Some(timestamp_ms));
        true
    }
}

/// Brings the first two lines of a payload into the cache.
fn fetch(payload: Option<&[u8]>) {
    if let Some(bytes) = payload {
        std::hint::black_box((bytes.first(), bytes.get(64)));
    }
}
