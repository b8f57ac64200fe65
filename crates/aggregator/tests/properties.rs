//! What must hold for any stream: order of arrival, cuts and restarts leave no trace.

mod common;

use aggregator::{EpochSums, RecordMeta, RecordedCut, Semantics, SiblingSet};
use common::naive::{has_ties, recount};
use common::{Cut, Record, START, cuts, hasher, identity, run, run_cut, set, stored, totals};
use model::event::{Event, EventKind, Goal, Touch};
use proptest::prelude::*;
use proptest::sample::Index;

/// How late an event may arrive: inside the allowed delay.
const LATE_MS: i64 = 3_000;

/// One event as drawn; turned into a record by its place in the stream.
#[derive(Clone, Debug)]
struct Draw {
    gap_ms: i64,
    late_ms: i64,
    kind: u8,
    campaign: u8,
    user: Option<Index>,
    click: Option<Index>,
    claims: bool,
    copy_of: Option<Index>,
    money: i64,
}

fn draw() -> impl Strategy<Value = Draw> {
    let copy = prop::option::weighted(0.15, any::<Index>());
    (
        0..400_i64,
        0..LATE_MS,
        0..8_u8,
        0..3_u8,
        prop::option::weighted(0.8, any::<Index>()),
        any::<Option<Index>>(),
        any::<bool>(),
        copy,
        0..3_000_i64,
    )
        .prop_map(|(gap_ms, late_ms, kind, campaign, user, click, claims, copy_of, money)| Draw {
            gap_ms,
            late_ms,
            kind,
            campaign,
            user,
            click,
            claims,
            copy_of,
            money,
        })
}

/// By arrival. A user has at most four impressions, so that none is pushed out.
fn stream() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(draw(), 1..150).prop_map(|draws| {
        let (mut now, mut offsets, mut records) = (START, [0_i64; 3], Vec::<Record>::new());
        let (mut impressions, mut clicks) = (0_usize, Vec::<(String, String)>::new());
        for draw in draws {
            now += draw.gap_ms;
            let kind = EventKind::ALL[match draw.kind {
                0..=4 => 0,
                5..=6 => 1,
                _ => 2,
            }];
            if let Some(original) = draw.copy_of.filter(|_| !records.is_empty()) {
                let mut copy = original.get(&records).clone();
                copy.offset = offsets[copy.kind.index()];
                copy.timestamp = now;
                offsets[copy.kind.index()] += 1;
                records.push(copy);
                continue;
            }
            let account = format!("account-{}", draw.campaign % 2);
            let known = impressions / 4 + 1;
            let user = draw.user.map(|user| match kind {
                EventKind::Impression => format!("user-{}", impressions / 4),
                // One of the last three, so that touches and conversions of a user meet within the waits.
                _ => format!("user-{}", known - 1 - user.index(known.min(3))),
            });
            if kind == EventKind::Impression {
                impressions += 1;
            }
            let id = format!("{kind:?}-{}", offsets[kind.index()]);
            if kind == EventKind::Click {
                clicks.push((id.clone(), account.clone()));
            }
            let click = draw.click.filter(|_| kind == EventKind::Conversion && !clicks.is_empty());
            let campaign = format!("campaign-{}", draw.campaign);
            records.push(Record {
                kind,
                offset: offsets[kind.index()],
                timestamp: now,
                id,
                time: now - draw.late_ms,
                account,
                campaign: (kind != EventKind::Conversion || draw.claims).then_some(campaign),
                user,
                click: click.map(|click| click.get(&clicks).0.clone()),
                money: draw.money,
            });
            offsets[kind.index()] += 1;
        }
        records
    })
}

fn cut_times() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(100..2_000_i64, 120).prop_map(|steps| {
        steps
            .into_iter()
            .scan(START, |at, step| {
                *at += step;
                Some(*at)
            })
            .collect()
    })
}

/// The siblings of a cut in another interleaving; each keeps its own order.
fn shuffled(cut: &Cut, picks: &[u8]) -> Cut {
    let mut of_kind: [std::collections::VecDeque<Record>; 3] = Default::default();
    for record in &cut.records {
        of_kind[record.kind.index()].push_back(record.clone());
    }
    let mut records = Vec::new();
    let mut picks = picks.iter().cycle();
    while of_kind.iter().any(|records| !records.is_empty()) {
        let pick = usize::from(*picks.next().expect("it goes on for ever")) % 3;
        let next = (pick..pick + 3).find_map(|kind| of_kind[kind % 3].pop_front());
        records.extend(next);
    }
    Cut { records, ..cut.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn how_the_siblings_interleave_leaves_no_trace(records in stream(), at in cut_times(), picks in prop::collection::vec(any::<u8>(), 1..40)) {
        let (mut one, mut other) = (set(Semantics::default()), set(Semantics::default()));
        for cut in cuts(&records, &at) {
            prop_assert_eq!(run_cut(&mut one, &cut), run_cut(&mut other, &shuffled(&cut, &picks)));
        }
        prop_assert_eq!(stored(&one), stored(&other));
    }

    #[test]
    fn totals_and_credits_are_those_of_the_naive_engine_however_the_stream_is_cut(
        records in stream(), one in cut_times(), other in cut_times(),
    ) {
        prop_assume!(!has_ties(&records));
        let of = |at: &[i64]| totals(&run(&mut set(Semantics::default()), &cuts(&records, at)));
        let expected = recount(&records, &Semantics::default());
        prop_assert_eq!(&of(&one), &expected);
        prop_assert_eq!(&of(&other), &expected);
    }

    #[test]
    fn a_snapshot_and_a_replay_of_the_recorded_cuts_equal_an_uninterrupted_run(
        records in stream(), at in cut_times(), stop: Index, caps: bool,
    ) {
        let semantics = if caps { crowded() } else { Semantics::default() };
        let cuts = cuts(&records, &at);
        let stop = stop.index(cuts.len());
        let mut whole = set(semantics);
        let before = run(&mut whole, &cuts[..stop]);
        let chunks = stored(&whole);
        let after = run(&mut whole, &cuts[stop..]);

        let mut restored = SiblingSet::restore(identity(), hasher(), chunks.clone()).expect("just written");
        prop_assert_eq!(&stored(&restored), &chunks);
        for (closed, parts) in &after {
            let cut = RecordedCut::of(&closed.epoch).expect("it has three ranges");
            prop_assert_eq!(restored.positions(), cut.from);
            restored.open(cut.clock);
            for record in &records {
                let at = record.kind.index();
                if (cut.from[at]..cut.to[at]).contains(&record.offset) {
                    record.fold(&mut restored);
                }
            }
            let mut sums = EpochSums::new();
            let again = restored.close(cut.end(None), &mut sums);
            prop_assert_eq!(again.as_ref(), Ok(closed));
            prop_assert_eq!(&sums.drain(common::JOURNAL_PARTITIONS), parts);
        }
        prop_assert_eq!(stored(&restored), stored(&whole));
        drop(before);
    }

    #[test]
    fn damaged_snapshots_are_errors_or_states_but_no_panics(
        records in stream(), at in cut_times(), chunk: Index, place: Index, flip in 1..=255_u8,
    ) {
        let mut set = set(Semantics::default());
        let cuts = cuts(&records, &at);
        run(&mut set, &cuts);
        let chunks = stored(&set);
        let restore = |chunks| SiblingSet::restore(identity(), hasher(), chunks);

        let mut missing = chunks.clone();
        missing.remove(chunk.index(chunks.len()));
        prop_assert!(restore(missing).is_err());
        let mut doubled = chunks.clone();
        doubled.push(chunk.get(&chunks).clone());
        prop_assert!(restore(doubled).is_err());
        let mut cut = chunks.clone();
        let bytes = cut[chunk.index(chunks.len())].bytes.to_mut();
        bytes.truncate(place.index(bytes.len()));
        prop_assert!(restore(cut).is_err());
        let mut flipped = chunks.clone();
        let bytes = flipped[chunk.index(chunks.len())].bytes.to_mut();
        let at = place.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(mut set) = restore(flipped) {
            set.open(i64::MAX);
            let end = aggregator::CutEnd { to: [i64::MAX; 3], idle: [true; 3], next_semantics: None, lag_records: 0 };
            let _ = set.close(end, &mut EpochSums::new());
        }
        let other = model::keyed::KeyedHasher::new(b"other");
        prop_assert!(SiblingSet::restore(identity(), other, chunks).is_err());
    }

    #[test]
    fn a_restart_under_any_policy_goes_on_as_if_there_had_been_none(
        records in stream(), at in cut_times(), semantics in strange(), stop: Index,
    ) {
        let cuts = cuts(&records, &at);
        let stop = stop.index(cuts.len());
        let mut whole = set(semantics);
        run(&mut whole, &cuts[..stop]);
        let mut again = SiblingSet::restore(identity(), hasher(), stored(&whole)).expect("just written");
        prop_assert_eq!(run(&mut again, &cuts[stop..]), run(&mut whole, &cuts[stop..]));
        prop_assert_eq!(stored(&again), stored(&whole));
    }

    #[test]
    fn no_numbers_and_no_strings_panic(
        events in prop::collection::vec((0..3_usize, extreme(), extreme(), extreme(), extreme(), "\\PC{0,70}", any::<bool>()), 0..60),
        clocks in prop::collection::vec(extreme(), 1..6),
        caps: bool,
    ) {
        let mut set = set(if caps { crowded() } else { Semantics::default() });
        for clock in clocks {
            set.open(clock);
            for (kind, time, timestamp_ms, offset, money, text, named) in &events {
                let kind = EventKind::ALL[*kind];
                let meta = RecordMeta { offset: *offset, timestamp_ms: *timestamp_ms, key: Some(text.as_bytes()) };
                set.fold(kind, meta, Ok(odd_event(kind, *time, *money, text, *named)));
            }
            let end = aggregator::CutEnd { to: set.folded_to(), idle: [clock % 2 == 0; 3], next_semantics: None, lag_records: 0 };
            prop_assert!(set.close(end, &mut EpochSums::new()).is_ok());
        }
        let chunks = stored(&set);
        prop_assert_eq!(stored(&SiblingSet::restore(identity(), hasher(), chunks.clone()).expect("just written")), chunks);
    }
}

/// What a policy may set, at the ends of what it may set.
fn strange() -> impl Strategy<Value = Semantics> {
    let span = || prop_oneof![Just(0), Just(1), Just(i64::MAX), 0..10_000_i64, any::<u32>().prop_map(i64::from)];
    prop::array::uniform9(span()).prop_map(|n| Semantics {
        allowed_delay_ms: n[0],
        conversion_wait_ms: n[1],
        click_lookback_ms: n[2],
        impression_lookback_ms: n[2].min(n[3]),
        impressions_per_user: n[4],
        dedupe_horizons_ms: [n[5], n[6], n[7]],
        age_max_ms: n[8].max(model::time::DAY_MS),
        ..Semantics::default()
    })
}

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), Just(0), START - 1_000..START + 1_000]
}

fn odd_event(kind: EventKind, time: i64, money: i64, text: &str, named: bool) -> Event<'_> {
    let touch = Touch {
        event_id: text,
        event_time: time,
        account_id: text,
        campaign_id: text,
        creative_id: None,
        channel: text,
        device: text,
        geo: text,
        user_key: named.then_some(text),
        cost_micros: money,
        currency: text,
        placement: None,
    };
    match kind {
        EventKind::Impression => Event::Impression(touch),
        EventKind::Click => Event::Click(touch),
        EventKind::Conversion => Event::Conversion(Goal {
            event_id: text,
            event_time: time,
            account_id: text,
            user_key: named.then_some(text),
            click_id: Some(text),
            conversion_type: text,
            value_micros: money,
            currency: text,
            campaign_id: named.then_some(text),
        }),
    }
}

/// Every cap so low that it is met.
fn crowded() -> Semantics {
    Semantics {
        impressions_per_user: 2,
        clicks_per_user_max: 1,
        dedupe_entries_max: 12,
        users_max: 1,
        clicks_max: 1,
        pending_max: 2,
        names_max: 2,
        ..Semantics::default()
    }
}
