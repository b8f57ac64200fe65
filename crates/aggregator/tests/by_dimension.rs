//! What goes out once a minute: sums by dimension, credits of the other models, paths.

mod common;

use aggregator::{CutEnd, EpochSums, PartitionSums, RecordMeta, Semantics, SiblingSet, Verdict};
use common::{START, hasher, identity, set, stored};
use model::event::{Event, EventKind, Goal, Touch};
use model::journal::NO_TOUCH;
use model::marginal::{DIMENSIONS, NOT_KEPT, OTHER};
use model::time::{DAY_MS, Millis};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One event, small numbers for names.
#[derive(Clone, Debug)]
struct Told {
    kind: EventKind,
    at: Millis,
    campaign: u8,
    value: u16,
    user: u8,
    claims: bool,
}

fn told(kind: EventKind, at: Millis, campaign: u8, value: u16) -> Told {
    Told { kind, at, campaign, value, user: 1, claims: false }
}

fn fold(set: &mut SiblingSet, offset: i64, told: &Told) {
    let (id, user) = (format!("{:?}-{offset}", told.kind), format!("u{}", told.user));
    let (campaign, value) = (format!("c{}", told.campaign), format!("v{}", told.value));
    let touch = Touch {
        event_id: &id,
        event_time: told.at,
        account_id: "acme",
        campaign_id: &campaign,
        creative_id: Some(&value),
        channel: "display",
        device: ["mobile", "desktop", "tv"][usize::from(told.value % 3)],
        geo: "",
        user_key: Some(&user),
        cost_micros: 7,
        currency: "EUR",
        placement: None,
    };
    let event = match told.kind {
        EventKind::Impression => Event::Impression(touch),
        EventKind::Click => Event::Click(touch),
        EventKind::Conversion => Event::Conversion(Goal {
            event_id: &id,
            event_time: told.at,
            account_id: "acme",
            user_key: Some(&user),
            click_id: None,
            conversion_type: "purchase",
            value_micros: 1_000,
            currency: "EUR",
            campaign_id: told.claims.then_some(campaign.as_str()),
        }),
    };
    let meta = RecordMeta { offset, timestamp_ms: told.at, key: None };
    assert_eq!(set.fold(told.kind, meta, Ok(event)), Verdict::Taken);
}

/// Folds in cuts that end where `ends` says, then closes until everything is out.
fn run(set: &mut SiblingSet, events: &[Told], ends: &[Millis]) -> Vec<PartitionSums> {
    let (mut next, mut rest, mut parts) = ([0_i64; 3], events, Vec::new());
    let end_of_all = START + 2 * DAY_MS;
    for end in ends.iter().copied().chain([end_of_all, end_of_all + 30_000, end_of_all + 120_000]) {
        let (now, later) = rest.split_at(rest.partition_point(|told| told.at < end));
        rest = later;
        set.open(end);
        for told in now {
            let offset = &mut next[told.kind.index()];
            fold(set, *offset, told);
            *offset += 1;
        }
        let mut sums = EpochSums::new();
        let cut = CutEnd { to: next, idle: [end >= end_of_all; 3], next_semantics: None, lag_records: 0 };
        set.close(cut, &mut sums).expect("positions only rise");
        parts.extend(sums.drain(1));
    }
    parts
}

/// By dimension, value, campaign, form: impressions, clicks, spend, conversions, last credits.
type ByValue = BTreeMap<(String, String, String, bool), [i64; 5]>;

fn by_value(parts: &[PartitionSums]) -> ByValue {
    let mut sums = ByValue::new();
    for part in parts {
        let word = |code: i32| part.dictionary[code as usize].clone();
        for row in &part.marginals {
            let key = (word(row.dimension), word(row.value), word(row.campaign), row.touch_minute != NO_TOUCH);
            let sum = sums.entry(key).or_default();
            let more = [row.impressions, row.clicks, row.spend_micros, row.conversions, row.last_conversions_micro];
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }
    sums
}

/// The same of the deltas, which know no dimension.
fn by_campaign(parts: &[PartitionSums]) -> BTreeMap<(String, bool), [i64; 5]> {
    let mut sums: BTreeMap<(String, bool), [i64; 5]> = BTreeMap::new();
    for part in parts {
        for row in &part.deltas {
            let key = (part.dictionary[row.campaign as usize].clone(), row.touch_minute != NO_TOUCH);
            if key.0.is_empty() || (key.1 && row.last_conversions_micro == 0) {
                continue;
            }
            let sum = sums.entry(key).or_default();
            let more = [row.impressions, row.clicks, row.spend_micros, row.conversions, row.last_conversions_micro];
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }
    sums
}

fn events() -> impl Strategy<Value = Vec<Told>> {
    let one = (0..3_usize, 0..3_000_000_i64, 0..3_u8, 0..6_u16, 0..4_u8, any::<bool>()).prop_map(
        |(kind, after, campaign, value, user, claims)| Told {
            kind: EventKind::ALL[kind],
            at: START + after,
            campaign,
            value,
            user,
            claims,
        },
    );
    prop::collection::vec(one, 0..60).prop_map(|mut events| {
        events.sort_by_key(|told| told.at);
        events
    })
}

fn ends() -> impl Strategy<Value = Vec<Millis>> {
    prop::collection::btree_set(START..START + 3_000_000, 0..12).prop_map(|ends| ends.into_iter().collect())
}

proptest! {
    #[test]
    fn each_dimension_adds_up_to_the_campaign_and_cuts_leave_no_trace(
        events in events(), one in ends(), other in ends(),
    ) {
        let first = run(&mut set(Semantics::default()), &events, &one);
        let second = run(&mut set(Semantics::default()), &events, &other);
        prop_assert_eq!(by_value(&first), by_value(&second));
        let whole = by_campaign(&first);
        for dimension in DIMENSIONS {
            let mut sums: BTreeMap<(String, bool), [i64; 5]> = BTreeMap::new();
            for ((_, _, campaign, form), more) in by_value(&first).into_iter().filter(|(key, _)| key.0 == dimension) {
                let sum = sums.entry((campaign, form)).or_default();
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            }
            prop_assert_eq!(&sums, &whole, "{}", dimension);
        }
        let models = |parts: &[PartitionSums]| {
            let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
            for part in parts {
                for row in &part.credits {
                    let word = |code: i32| part.dictionary[code as usize].clone();
                    *sums.entry((word(row.model), word(row.campaign))).or_default() += row.conversions_micro;
                }
            }
            sums
        };
        let credits = models(&first);
        prop_assert_eq!(&credits, &models(&second));
        let last: i64 = first.iter().flat_map(|part| &part.deltas).map(|row| row.last_conversions_micro).sum();
        for model in model::marginal::MINUTE_MODELS {
            prop_assert_eq!(credits.iter().filter(|(key, _)| key.0 == model).map(|(_, sum)| sum).sum::<i64>(), last);
        }
    }

    #[test]
    fn a_snapshot_within_a_minute_leaves_no_trace(events in events(), ends in ends(), stop in 0..12_usize) {
        let (before, after) = ends.split_at(stop.min(ends.len()));
        let mut whole = set(Semantics::default());
        let cut = |set: &mut SiblingSet, next: &mut [i64; 3], from: Millis, end: Millis| {
            set.open(end);
            for told in events.iter().filter(|told| (from..end).contains(&told.at)) {
                fold(set, next[told.kind.index()], told);
                next[told.kind.index()] += 1;
            }
            let mut sums = EpochSums::new();
            let cut = CutEnd { to: *next, idle: [false; 3], next_semantics: None, lag_records: 0 };
            set.close(cut, &mut sums).expect("positions only rise");
            sums.drain(1)
        };
        let (mut next, mut from) = ([0; 3], 0);
        for end in before {
            cut(&mut whole, &mut next, from, *end);
            from = *end;
        }
        let mut restored = SiblingSet::restore(identity(), hasher(), stored(&whole)).expect("just written");
        prop_assert_eq!(stored(&restored), stored(&whole));
        let mut again = next;
        for end in after {
            let one = cut(&mut whole, &mut next, from, *end);
            prop_assert_eq!(one, cut(&mut restored, &mut again, from, *end));
            from = *end;
        }
        prop_assert_eq!(stored(&restored), stored(&whole));
    }
}

#[test]
fn each_campaign_is_told_once_a_minute_at_a_second_of_its_own() {
    let mut set = set(Semantics::default());
    let events: Vec<Told> = (0..180)
        .flat_map(|second| {
            (0..20).map(move |campaign| told(EventKind::Impression, START + second * 1_000, campaign, 1))
        })
        .collect();
    let ends: Vec<Millis> = (1..=180).map(|second| START + second * 1_000).collect();
    let parts = run(&mut set, &events, &ends);
    let mut seconds_of: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (second, part) in parts.iter().take(180).enumerate() {
        for row in part.marginals.iter().filter(|row| part.dictionary[row.dimension as usize] == "device") {
            let seconds = seconds_of.entry(part.dictionary[row.campaign as usize].clone()).or_default();
            // Two quarters of an hour are two rows.
            if seconds.last() != Some(&second) {
                seconds.push(second);
            }
        }
    }
    assert_eq!(seconds_of.len(), 20);
    for (campaign, seconds) in &seconds_of {
        assert!(seconds[0] < 60 && seconds.windows(2).all(|pair| pair[1] - pair[0] == 60), "{campaign}: {seconds:?}");
    }
    let mut firsts: Vec<usize> = seconds_of.values().map(|seconds| seconds[0]).collect();
    firsts.sort_unstable();
    firsts.dedup();
    assert!(firsts.len() > 10, "they are spread: {firsts:?}");
}

#[test]
fn values_beyond_the_cap_are_put_together_and_the_smallest_of_them() {
    let mut set = set(Semantics::default());
    let mut events: Vec<Told> = (0..200).map(|value| told(EventKind::Impression, START, 1, value)).collect();
    events.extend((150..200).map(|value| told(EventKind::Click, START, 1, value)));
    let sums = by_value(&run(&mut set, &events, &[]));
    let of = |value: &str| sums.get(&("creative".into(), value.into(), "c1".into(), false)).copied();
    assert_eq!(of("v199"), Some([1, 1, 14, 0, 0]));
    let told_apart = sums.keys().filter(|key| key.0 == "creative" && key.1 != OTHER).count();
    assert_eq!((told_apart, of(OTHER)), (64, Some([136, 0, 7 * 136, 0, 0])));
}

#[test]
fn a_conversion_stands_where_its_click_stood_and_a_seen_ad_is_not_kept() {
    let mut first = set(Semantics::default());
    let conversion = Told { claims: true, ..told(EventKind::Conversion, START + 9_000, 1, 0) };
    let clicked = [told(EventKind::Click, START, 1, 5), conversion.clone()];
    let sums = by_value(&run(&mut first, &clicked, &[]));
    let of = |sums: &ByValue, value: &str, form| sums.get(&("device".into(), value.into(), "c1".into(), form)).copied();
    assert_eq!(of(&sums, "tv", false), Some([0, 1, 7, 1, 0]));
    assert_eq!(of(&sums, "tv", true), Some([0, 0, 0, 0, 1_000_000]));
    let mut second = set(Semantics::default());
    let seen = [told(EventKind::Impression, START, 1, 5), conversion];
    let sums = by_value(&run(&mut second, &seen, &[]));
    assert_eq!(of(&sums, NOT_KEPT, false), Some([0, 0, 0, 1, 0]));
    assert_eq!(of(&sums, NOT_KEPT, true), Some([0, 0, 0, 0, 1_000_000]));
}

#[test]
fn paths_tell_steps_and_lengths() {
    let mut set = set(Semantics::default());
    let events = [
        told(EventKind::Click, START, 1, 0),
        told(EventKind::Click, START + 1_000, 1, 0),
        told(EventKind::Click, START + 2_000, 2, 0),
        told(EventKind::Conversion, START + 3_000, 2, 0),
    ];
    let parts = run(&mut set, &events, &[]);
    let rows = parts.iter().flat_map(|part| {
        part.paths.iter().map(|row| {
            let word = |code: i32| part.dictionary[code as usize].as_str();
            (word(row.from), word(row.to), row.length, row.paths)
        })
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_unstable();
    assert_eq!(rows, [("", "", 3, 1), ("", "c1", 0, 1), ("c1", "c2", 0, 1), ("c2", "", 0, 1)]);
}

/// Impressions on one device, each of six placements and creatives, by `campaigns`.
fn show_all(set: &mut SiblingSet, next: &mut i64, at: Millis, campaigns: std::ops::Range<usize>) {
    for campaign in campaigns {
        let campaign = format!("c{campaign}");
        for value in 0..6 {
            let (id, placement, creative) = (format!("i{next}"), format!("p{value}"), format!("k{value}"));
            let touch = Touch {
                event_id: &id,
                event_time: at,
                account_id: "acme",
                campaign_id: &campaign,
                creative_id: Some(&creative),
                channel: "display",
                device: "mobile",
                geo: "DE",
                user_key: None,
                cost_micros: 7,
                currency: "EUR",
                placement: Some(&placement),
            };
            let meta = RecordMeta { offset: *next, timestamp_ms: at, key: None };
            assert_eq!(set.fold(EventKind::Impression, meta, Ok(Event::Impression(touch))), Verdict::Taken);
            *next += 1;
        }
    }
}

#[test]
fn a_restored_set_tells_at_the_same_cut_whatever_room_the_other_has_kept() {
    fn close(set: &mut SiblingSet, to: i64) -> i64 {
        let mut sums = EpochSums::new();
        let end = CutEnd { to: [to, 0, 0], idle: [false, true, true], next_semantics: None, lag_records: 0 };
        set.close(end, &mut sums).unwrap();
        sums.drain(1).iter().flat_map(|part| &part.marginals).map(|row| row.impressions).sum()
    }
    // Room for two million cells, nearly all of it of campaigns that were told and of runs that grew.
    let (mut live, mut next, mut now) = (set(Semantics::default()), 0, START);
    live.open(now);
    show_all(&mut live, &mut next, now, 0..40_000);
    close(&mut live, next);
    for _ in 0..130 {
        now += 500;
        live.open(now);
        show_all(&mut live, &mut next, now, 0..4);
        close(&mut live, next);
    }
    let mut again = SiblingSet::restore(identity(), hasher(), stored(&live)).unwrap();
    for cut in 0..3 {
        now += 500;
        live.open(now);
        again.open(now);
        if cut == 0 {
            show_all(&mut again, &mut next.clone(), now, 100_000..104_000);
            show_all(&mut live, &mut next, now, 100_000..104_000);
        }
        assert_eq!(close(&mut live, next), close(&mut again, next), "cut {cut}");
    }
}
