//! How fast impressions fold, and what a million users cost: `cargo run --release -p aggregator --example fold_speed`.
//!
//! A million users, 10,000 campaigns, ids as long as UUIDs, 2 % duplicates; epochs of 500,000 events; the making of the
//! events is not in the time, hashing them is. One thread, and only the time it was on a core (Linux): so a busy machine
//! slows it through its caches alone.
#![allow(clippy::disallowed_methods)] // A measurement reads the clock; the crate does not.

use aggregator::{CutEnd, EpochSums, Identity, RecordMeta, Semantics, SiblingSet, Verdict};
use model::event::{Event, EventKind, Touch};
use model::keyed::KeyedHasher;
use std::time::{Duration, Instant};

const USERS: u64 = 1_000_000;
const CAMPAIGNS: u64 = 10_000;
const EVENTS_PER_EPOCH: usize = 500_000;
const EPOCHS: usize = 24;
/// After this every table has its size.
const EPOCHS_WARM: usize = 8;
/// Ten seconds before a minute's end: the rows of the minute go out once within what is measured.
const START: i64 = 1_760_000_030_000;
/// Events of one epoch span this much event time: 600,000 a second.
const EPOCH_MS: i64 = 800;

const SECRET: &[u8] = b"bench";

/// As records lie in a fetched batch: one text after the other.
struct Made {
    text: String,
    /// Where each event's texts end: id, campaign, user; and its time.
    events: Vec<([usize; 4], i64)>,
}

fn main() {
    let mut set = SiblingSet::new(identity(), KeyedHasher::new(SECRET), Semantics::default());
    let mut random = 88_172_645_463_325_252_u64;
    let (mut offset, mut before, mut spent, mut closing) = (0, resident_bytes(), Duration::ZERO, Duration::ZERO);
    let mut longest = Duration::ZERO;
    // One for all cuts, as a worker has.
    let mut sums = EpochSums::new();
    for epoch in 0..EPOCHS {
        let made = make(&mut random, START + epoch as i64 * EPOCH_MS);
        if epoch == 0 {
            before = resident_bytes();
        }
        let started = on_core();
        set.open(START + epoch as i64 * EPOCH_MS);
        for (ends, time) in &made.events {
            let [id, campaign, user] = [0, 1, 2].map(|at| &made.text[ends[at]..ends[at + 1]]);
            let meta = RecordMeta { offset, timestamp_ms: *time, key: Some(user.as_bytes()) };
            let event = touch(id, campaign, user, *time, offset as usize);
            assert_eq!(set.fold(EventKind::Impression, meta, Ok(event)), Verdict::Taken);
            offset += 1;
        }
        let folded = on_core();
        let end = CutEnd { to: set.folded_to(), idle: [false, true, true], next_semantics: None, lag_records: 0 };
        set.close(end, &mut sums).expect("the cut ends behind its records");
        let rows: usize = sums.drain(16).iter().map(|part| part.deltas.len()).sum();
        assert!(rows > 0);
        if epoch >= EPOCHS_WARM {
            spent += on_core() - started;
            let close = on_core() - folded;
            closing += close;
            longest = longest.max(close);
        }
    }
    let epochs = (EPOCHS - EPOCHS_WARM) as u32;
    let rate = f64::from(epochs) * EVENTS_PER_EPOCH as f64 / spent.as_secs_f64();
    println!("{rate:.0} impressions/s, of it closing {:?} an epoch, the longest {longest:?}", closing / epochs);
    println!("{:?}, {} MB resident beside the input", set.sizes(), (resident_bytes() - before) / 1_000_000);
    snapshot(&set);
}

fn identity() -> Identity {
    Identity { partitions: 1, ..Identity::default() }
}

fn snapshot(set: &SiblingSet) {
    let (started, clock) = (on_core(), Instant::now());
    let snapshot = set.snapshot().expect("no epoch is open");
    let paused = clock.elapsed();
    let chunks: Vec<_> = snapshot.chunks().iter().map(|chunk| chunk.stored()).collect();
    let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
    println!("snapshot: pause {paused:?}, {} MB encoded in {:?}", bytes / 1_000_000, on_core() - started);
    let started = on_core();
    let restored = SiblingSet::restore(identity(), KeyedHasher::new(SECRET), chunks).expect("it was just encoded");
    println!("restored in {:?}", on_core() - started);
    assert_eq!(restored.sizes(), set.sizes());
}

fn make(random: &mut u64, start: i64) -> Made {
    let mut next = |below: u64| {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random % below
    };
    let mut made = Made { text: String::new(), events: Vec::new() };
    for at in 0..EVENTS_PER_EPOCH {
        let mut ends = [made.text.len(); 4];
        if at > 0 && next(50) == 0 {
            let (of, time) = made.events[next(at as u64) as usize];
            let copy = made.text[of[0]..of[3]].to_owned();
            made.text.push_str(&copy);
            made.events.push(([0, 1, 2, 3].map(|at| ends[0] + of[at] - of[0]), time));
            continue;
        }
        let texts = [
            format!("{:016x}-{:019x}", next(u64::MAX), next(u64::MAX)),
            format!("campaign-{:05}", next(CAMPAIGNS)),
            format!("user-{:012}", next(USERS)),
        ];
        for (text, end) in texts.iter().zip(&mut ends[1..]) {
            made.text.push_str(text);
            *end = made.text.len();
        }
        let time = start - (next(2_000) as i64) + at as i64 * EPOCH_MS / EVENTS_PER_EPOCH as i64;
        made.events.push((ends, time));
    }
    made
}

/// Values as the load of `bench` has them: three devices, five places, four creatives, eight placements.
fn touch<'a>(id: &'a str, campaign: &'a str, user: &'a str, event_time: i64, number: usize) -> Event<'a> {
    let by_user = usize::from(user.as_bytes()[user.len() - 1]);
    Event::Impression(Touch {
        event_id: id,
        event_time,
        account_id: "account-0001",
        campaign_id: campaign,
        creative_id: Some(["cr-0", "cr-1", "cr-2", "cr-3"][number % 4]),
        channel: "display",
        device: ["mobile", "desktop", "mobile", "tablet"][by_user % 4],
        geo: ["DE", "FR", "GB", "US-CA", "NL"][by_user % 5],
        user_key: Some(user),
        cost_micros: 1_500,
        currency: "EUR",
        placement: Some(["pl-0", "pl-1", "pl-2", "pl-3", "pl-4", "pl-5", "pl-6", "pl-7"][number % 8]),
    })
}

/// How long this thread has run.
fn on_core() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default())
}

/// 0 where the system does not tell.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok()).unwrap_or_default() * 4096
}
