//! Stage 1 without a broker: what decoding, hashing and folding cost an event, on one thread.
//!
//! `cargo bench -p replay --bench stage1 -- [EVENTS]`. The parts are timed in one run over the same payloads, so their
//! ratios can be compared where absolute figures cannot.

// A bench reads a clock.
#![allow(clippy::disallowed_methods)]

use aggregator::{CutEnd, EpochSums, Identity, RecordMeta, Semantics, SiblingSet};
use avro_codec::{Codec, RecordName, Scratch};
use market::{Emitted, Load, LoadScenario, Record};
use model::event::EventKind;
use model::keyed::KeyedHasher;
use model::partition::partition_of;
use std::hint::black_box;
use std::time::Instant;

const PARTITIONS: i32 = 4;
const CAMPAIGNS: u32 = 10_000;
const USERS: u64 = 1_000_000;
const EVENTS_PER_SECOND: u64 = 20_000;
/// Events of one cut.
const CUT_EVENTS: usize = 1_000_000;
/// A fetch brings so many events of one partition in a row.
const RUN_EVENTS: usize = 8_192;

struct Stored {
    kind: EventKind,
    partition: i32,
    at_ms: i64,
    key: Box<[u8]>,
    payload: Box<[u8]>,
}

fn main() {
    let events = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(2_000_000);
    let start_ms = 1_760_000_000_000;
    let stored = stored(events, start_ms);
    let bytes: usize = stored.iter().map(|one| one.payload.len()).sum();
    println!("{} events, {} bytes each", stored.len(), bytes / stored.len());
    for round in 0..3 {
        let touched = timed(&stored, touch);
        let decoded = timed(&stored, decode);
        let whole = timed(&stored, fold);
        println!(
            "round {round}: ns an event: reading a payload {touched:.0}, with decoding {decoded:.0}, with folding and cuts {whole:.0}"
        );
    }
}

fn timed(stored: &[Stored], work: fn(&[Stored])) -> f64 {
    let started = Instant::now();
    work(stored);
    started.elapsed().as_secs_f64() * 1e9 / stored.len() as f64
}

fn touch(stored: &[Stored]) {
    for one in stored {
        black_box((one.payload[0], one.payload.get(64)));
    }
}

fn decode(stored: &[Stored]) {
    let (codec, mut scratch) = (Codec::fixed(), Scratch::default());
    for one in stored {
        let _ = black_box(codec.event(one.kind, &one.payload, &mut scratch));
    }
}

fn fold(stored: &[Stored]) {
    let (codec, mut scratch) = (Codec::fixed(), Scratch::default());
    let mut sums = EpochSums::new();
    let mut sets: Vec<SiblingSet> = (0..PARTITIONS)
        .map(|partition| {
            let identity = Identity { partition, partitions: PARTITIONS, ..Identity::default() };
            SiblingSet::new(identity, KeyedHasher::new(b"bench"), Semantics::default())
        })
        .collect();
    let mut next = vec![[0_i64; 3]; PARTITIONS as usize];
    for cut in stored.chunks(CUT_EVENTS) {
        let clock_ms = cut.last().map_or(0, |one| one.at_ms);
        sets.iter_mut().for_each(|set| set.open(clock_ms));
        for one in cut {
            let offset = &mut next[one.partition as usize][one.kind.index()];
            let meta = RecordMeta { offset: *offset, timestamp_ms: one.at_ms, key: Some(&one.key) };
            *offset += 1;
            let decoded =
                codec.event(one.kind, &one.payload, &mut scratch).map_err(|rejected| rejected.reason.as_str());
            black_box(sets[one.partition as usize].fold(one.kind, meta, decoded));
        }
        for (set, to) in sets.iter_mut().zip(&next) {
            let end = CutEnd { to: *to, idle: [false; 3], next_semantics: None, lag_records: 0 };
            set.close(end, &mut sums).expect("positions only rise");
        }
        black_box(sums.drain(PARTITIONS));
    }
}

fn stored(events: u64, start_ms: i64) -> Vec<Stored> {
    let codec = Codec::fixed();
    let mut load = Load::new(LoadScenario::new(CAMPAIGNS, USERS, EVENTS_PER_SECOND, start_ms), 1);
    let mut stored = Vec::with_capacity(events as usize);
    load.advance_events(events, &mut |emitted: Emitted<'_>| {
        let record = &emitted.record;
        let payload = match record {
            Record::Impression(event) => codec.encode(RecordName::Impression, *event),
            Record::Click(event) => codec.encode(RecordName::Click, *event),
            Record::Conversion(event) => codec.encode(RecordName::Conversion, *event),
        };
        stored.push(Stored {
            kind: record.kind(),
            partition: partition_of(record.key().as_bytes(), PARTITIONS),
            at_ms: emitted.arrived_at,
            key: record.key().as_bytes().into(),
            payload: payload.expect("the market's events fit their schemas").into(),
        });
    });
    for run in stored.chunks_mut(RUN_EVENTS * PARTITIONS as usize) {
        run.sort_by_key(|one| one.partition);
    }
    // Copied in the new order, so that they lie in memory as a client's do.
    stored.into_iter().map(|one| Stored { key: one.key.clone(), payload: one.payload.clone(), ..one }).collect()
}
