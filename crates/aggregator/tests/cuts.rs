//! Credits do not depend on where the cuts fall, also of users with far more touches than are remembered of them.
//!
//! All events here are on time: none is behind its source's watermark, and no conversion's wait runs out.

mod common;

use aggregator::{Semantics, SiblingSet};
use common::naive::{has_ties, recount};
use common::{Cut, Outcome, Record, START, hasher, identity, run, set, stored, totals};
use model::event::EventKind;
use model::time::HOUR_MS;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeSet, VecDeque};

/// How late an event may arrive: inside the allowed delay.
const LATE_MS: i64 = 5_000;
/// How far ahead of its record an event may be: some clocks are wrong.
const AHEAD_MS: i64 = 30_000;

/// One event as drawn; turned into a record by its place in the stream.
#[derive(Clone, Debug)]
struct Draw {
    gap: i64,
    late_ms: i64,
    ahead_ms: Option<i64>,
    kind: u8,
    campaign: u8,
    user: Option<Index>,
    click_steps: Option<i64>,
    claims: bool,
    copy_of: Option<Index>,
    money: i64,
}

/// What all events of a stream have in common.
#[derive(Clone, Debug)]
struct Mood {
    /// Of the time between two events.
    gap_ms: i64,
    users: usize,
    /// How late most events are, in parts of [`LATE_MS`].
    late_tenths: i64,
    /// There are events that are ahead of their records.
    skews: bool,
    /// Events of one instant are there; the naive engine has no word on their order.
    ties: bool,
}

fn draw() -> impl Strategy<Value = Draw> {
    (
        (0..=10_i64, 0..LATE_MS, 0..20_u8, 0..4_u8),
        prop::option::weighted(0.05, 0..AHEAD_MS),
        prop::option::weighted(0.95, any::<Index>()),
        prop::option::weighted(0.5, -12..6_i64),
        any::<bool>(),
        prop::option::weighted(0.05, any::<Index>()),
        0..3_000_i64,
    )
        .prop_map(|((gap, late_ms, kind, campaign), ahead_ms, user, click_steps, claims, copy_of, money)| Draw {
            gap,
            late_ms,
            ahead_ms,
            kind,
            campaign,
            user,
            click_steps,
            claims,
            copy_of,
            money,
        })
}

fn mood() -> impl Strategy<Value = Mood> {
    (prop::sample::select(vec![1_i64, 4, 20]), 1..=3_usize, 0..=10_i64, any::<bool>(), prop::bool::weighted(0.2))
        .prop_map(|(gap_ms, users, late_tenths, skews, ties)| Mood { gap_ms, users, late_tenths, skews, ties })
}

/// By arrival.
fn stream() -> impl Strategy<Value = Vec<Record>> {
    (mood(), prop::collection::vec(draw(), 1..500)).prop_map(|(mood, draws)| {
        let (mut now, mut offsets, mut times) = (START, [0_i64; 3], BTreeSet::new());
        let mut records = Vec::<Record>::new();
        for draw in draws {
            now += draw.gap * mood.gap_ms;
            let mut record = match draw.copy_of.filter(|_| !records.is_empty()) {
                Some(original) => original.get(&records).clone(),
                None => {
                    let record = record(&draw, &mood, now, offsets);
                    if !times.insert(record.time) && !mood.ties {
                        continue;
                    }
                    record
                }
            };
            let offset = &mut offsets[record.kind.index()];
            (record.offset, record.timestamp) = (*offset, now);
            *offset += 1;
            records.push(record);
        }
        records
    })
}

fn record(draw: &Draw, mood: &Mood, now: i64, offsets: [i64; 3]) -> Record {
    let kind = EventKind::ALL[match draw.kind {
        0..=10 => 0,
        11..=16 => 1,
        _ => 2,
    }];
    let user = draw.user.map_or(String::new(), |user| format!("user-{}", user.index(mood.users)));
    let campaign = if kind == EventKind::Conversion && !draw.claims { "" } else { &format!("c-{}", draw.campaign) };
    let late_ms = draw.late_ms * mood.late_tenths / 10;
    let time = now + draw.ahead_ms.filter(|_| mood.skews).unwrap_or(-late_ms);
    let click = draw.click_steps.filter(|_| kind == EventKind::Conversion);
    Record {
        // Some of these clicks come later than the conversion, and some never.
        click: click.map(|steps| format!("Click-{}", offsets[1] + steps)),
        money: draw.money,
        ..Record::new(kind, offsets[kind.index()], time, campaign, &user)
    }
}

/// How a stream is read.
#[derive(Clone, Debug)]
struct Reading {
    /// How many of one sibling come together, sibling by sibling.
    turns: Vec<usize>,
    /// How many events each cut has; the rest is in one.
    cut_sizes: Vec<usize>,
    /// The clock stands behind all of it, as for a backlog; otherwise it is that of the last event.
    is_backlog: bool,
    /// After this cut all is restored from a snapshot.
    restored_after: Index,
}

fn reading() -> impl Strategy<Value = Reading> {
    let turns = prop_oneof![prop::collection::vec(0..4_usize, 1..40), prop::collection::vec(0..400_usize, 1..10)];
    let cut_sizes = prop_oneof![
        Just(vec![1; 1_000]),
        prop::collection::vec(0..60_usize, 0..60),
        prop::collection::vec(0..300_usize, 0..5),
        Just(Vec::new())
    ];
    (turns, cut_sizes, any::<bool>(), any::<Index>()).prop_map(|(turns, cut_sizes, is_backlog, restored_after)| {
        Reading { turns, cut_sizes, is_backlog, restored_after }
    })
}

/// The siblings in another interleaving; each keeps its own order.
fn interleaved(records: &[Record], turns: &[usize]) -> VecDeque<Record> {
    let mut of_kind: [VecDeque<Record>; 3] = Default::default();
    for record in records {
        of_kind[record.kind.index()].push_back(record.clone());
    }
    let (mut all, mut turn) = (VecDeque::new(), 0);
    while all.len() < records.len() {
        // Nobody's turn is empty for ever.
        let count = turns[turn % turns.len()].max(usize::from(turn >= turns.len()));
        let sibling = &mut of_kind[turn % 3];
        all.extend(sibling.drain(..count.min(sibling.len())));
        turn += 1;
    }
    all
}

/// And then empty cuts until everything has ripened.
fn cuts(records: &[Record], reading: &Reading) -> Vec<Cut> {
    let last = records.last().map_or(START, |record| record.timestamp);
    let mut rest = interleaved(records, &reading.turns);
    let (mut cuts, mut clock, mut to) = (Vec::new(), START, [0; 3]);
    for size in reading.cut_sizes.iter().copied().chain([usize::MAX]) {
        let records: Vec<Record> = rest.drain(..size.min(rest.len())).collect();
        for record in &records {
            clock = clock.max(record.timestamp);
            to[record.kind.index()] = record.offset + 1;
        }
        let clock = if reading.is_backlog { last } else { clock };
        cuts.push(Cut { clock, records, to, idle: [false; 3] });
    }
    let quiet = |step: i64| Cut { clock: last + step * 5_000, records: Vec::new(), to, idle: [true; 3] };
    cuts.extend((1..=8).map(quiet));
    cuts
}

/// All of it, with a restart from a snapshot.
fn read(records: &[Record], reading: &Reading, semantics: Semantics) -> Vec<Outcome> {
    let cuts = cuts(records, reading);
    let (before, after) = cuts.split_at(reading.restored_after.index(cuts.len()));
    let mut first = set(semantics);
    let mut outcomes = run(&mut first, before);
    let chunks = stored(&first);
    let mut second = SiblingSet::restore(identity(), hasher(), chunks.clone()).expect("just written");
    assert_eq!(stored(&second), chunks);
    outcomes.extend(run(&mut second, after));
    run(&mut first, after);
    assert_eq!(stored(&first), stored(&second));
    assert_eq!((second.sizes().pending, second.sizes().touches_spilled), (0, 0));
    for (closed, _) in &outcomes {
        let counters = &closed.counters;
        assert_eq!(
            (counters.conversions_waited, counters.conversions_crowded, counters.touches_spilled_out),
            (0, 0, 0)
        );
    }
    outcomes
}

fn semantics() -> impl Strategy<Value = Semantics> {
    let counts = prop_oneof![Just((4_i64, 16_i64)), (1..=4_i64, 1..=16_i64)];
    counts.prop_map(|(impressions_per_user, clicks_per_user_max)| Semantics {
        impressions_per_user,
        clicks_per_user_max,
        conversion_wait_ms: HOUR_MS,
        ..Semantics::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn sums_and_credits_are_the_same_however_the_stream_is_cut(
        records in stream(), semantics in semantics(), readings in prop::collection::vec(reading(), 3),
    ) {
        let all_at_once = Reading { cut_sizes: Vec::new(), ..readings[0].clone() };
        let one_by_one = Reading { cut_sizes: vec![1; records.len()], ..readings[1].clone() };
        let expected = totals(&read(&records, &one_by_one, semantics));
        for reading in readings.iter().chain([&all_at_once]) {
            prop_assert_eq!(&totals(&read(&records, reading, semantics)), &expected);
        }
        if !has_ties(&records) {
            prop_assert_eq!(&expected, &recount(&records, &semantics));
        }
    }
}
