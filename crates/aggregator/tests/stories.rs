//! Short stories of a few events each.

mod common;

use aggregator::{CutEnd, CutError, EpochSums, RecordMeta, Semantics, SiblingSet, Verdict, reason};
use common::{Cut, Outcome, Record, START, set, stored, totals};
use model::event::EventKind::{Click, Conversion, Impression};
use model::journal::{NO_TOUCH, NO_WATERMARK};
use model::time::{MINUTE_MS, minute_of};

const MINUTE: i64 = START / MINUTE_MS;

fn cut(clock: i64, records: Vec<Record>) -> Cut {
    let mut to = [0; 3];
    for record in &records {
        to[record.kind.index()] = to[record.kind.index()].max(record.offset + 1);
    }
    Cut { clock, records, to, idle: [false; 3] }
}

/// Folds a cut that ends where its records or the set's positions do.
fn run_cut(set: &mut SiblingSet, cut: &Cut) -> Outcome {
    let mut cut = cut.clone();
    cut.to.iter_mut().zip(set.positions()).for_each(|(to, position)| *to = position.max(*to));
    common::run_cut(set, &cut)
}

fn run(set: &mut SiblingSet, cuts: &[Cut]) -> Vec<Outcome> {
    cuts.iter().map(|cut| run_cut(set, cut)).collect()
}

/// Everybody is silent until all that waited is credited.
fn settle(set: &mut SiblingSet, from: i64) -> Vec<Outcome> {
    let quiet = |step: i64| Cut { idle: [true; 3], ..cut(from + step * 6_000, Vec::new()) };
    let cuts: Vec<Cut> = (1..5).map(quiet).collect();
    run(set, &cuts)
}

fn conversion(offset: i64, time: i64, claim: &str, user: &str, click: Option<&str>) -> Record {
    Record { click: click.map(str::to_owned), ..Record::new(Conversion, offset, time, claim, user) }
}

/// Campaign, touch minute, conversions, last credit, linear credit of each conversion row.
fn credits(outcomes: &[Outcome]) -> Vec<(String, i64, i64, i64, i64)> {
    totals(outcomes)
        .into_iter()
        .filter(|(place, _)| !place.2.is_empty())
        .map(|((_, campaign, _, _, touch), sums)| (campaign, touch, sums[4], sums[6], sums[8]))
        .collect()
}

fn row(campaign: &str, touch: i64, conversions: i64, last: i64, linear: i64) -> (String, i64, i64, i64, i64) {
    (campaign.to_owned(), touch, conversions, last, linear)
}

/// One epoch with these records, then silence.
fn told(records: Vec<Record>) -> Vec<Outcome> {
    let mut set = set(Semantics::default());
    let mut outcomes = vec![run_cut(&mut set, &cut(START, records))];
    outcomes.extend(settle(&mut set, START));
    outcomes
}

#[test]
fn an_impression_is_counted_at_its_own_minute_and_its_copy_is_not() {
    let seen = Record::new(Impression, 0, START - 61_000, "c", "u");
    let copy = Record { offset: 1, timestamp: START, ..seen.clone() };
    let outcomes = told(vec![seen, copy]);
    let totals = totals(&outcomes);
    let place = ("acme".to_owned(), "c".to_owned(), String::new(), minute_of(START - 61_000), NO_TOUCH);
    assert_eq!(totals[&place][..4], [1, 0, 1, 1_000]);
    assert_eq!(totals.len(), 1);
    let counts = outcomes[0].0.epoch.impressions;
    assert_eq!((counts.accepted, counts.duplicate), (1, 1));
}

#[test]
fn a_conversion_credits_the_click_it_names_even_without_a_user() {
    let click = Record::new(Click, 0, START - 500, "shoes", "");
    let sold = conversion(0, START, "", "", Some("Click-0"));
    assert_eq!(
        credits(&told(vec![click, sold])),
        [row("shoes", NO_TOUCH, 1, 0, 0), row("shoes", MINUTE - 1, 0, 1_000_000, 1_000_000)]
    );
}

#[test]
fn a_named_click_brings_its_users_other_touches() {
    let seen = Record::new(Impression, 0, START - 900, "shirts", "u");
    let click = Record::new(Click, 0, START - 500, "shoes", "u");
    let sold = conversion(0, START, "hats", "", Some("Click-0"));
    assert_eq!(
        credits(&told(vec![seen, click, sold])),
        [
            row("hats", NO_TOUCH, 1, 0, 0),
            row("shirts", MINUTE - 1, 0, 0, 500_000),
            row("shoes", MINUTE - 1, 0, 1_000_000, 500_000)
        ]
    );
}

#[test]
fn an_unmatched_conversion_is_counted_once_and_credits_nothing() {
    let outcomes = told(vec![
        conversion(0, START, "hats", "nobody", None),
        conversion(1, START, "", "nobody", Some("no such click")),
    ]);
    assert_eq!(credits(&outcomes), [row("", NO_TOUCH, 1, 0, 0), row("hats", NO_TOUCH, 1, 0, 0)]);
    assert_eq!(outcomes.iter().map(|(closed, _)| closed.counters.conversions_unmatched).sum::<i64>(), 2);
}

#[test]
fn touches_of_another_account_are_never_credited() {
    let click = Record { account: "other".to_owned(), ..Record::new(Click, 0, START - 500, "shoes", "u") };
    let outcomes = told(vec![click, conversion(0, START, "", "u", Some("Click-0"))]);
    assert_eq!(credits(&outcomes), [row("", NO_TOUCH, 1, 0, 0)]);
}

#[test]
fn a_conversion_waits_for_a_touch_that_comes_out_of_order() {
    let mut set = set(Semantics::default());
    let mut outcomes = run(
        &mut set,
        &[
            cut(START, vec![conversion(0, START, "", "u", None)]),
            cut(START + 2_000, vec![Record::new(Click, 0, START - 1, "shoes", "u")]),
        ],
    );
    assert_eq!(credits(&outcomes), []);
    assert_eq!(set.sizes().pending, 1);
    outcomes.extend(settle(&mut set, START + 2_000));
    assert_eq!(set.sizes().pending, 0);
    assert_eq!(credits(&outcomes).len(), 2);
}

#[test]
fn touches_after_a_conversion_do_not_push_out_those_before_it() {
    let campaign = |at: i64, newest: i64, what: &str| match at {
        0.. => "after".to_owned(),
        _ if at < -newest => "long before".to_owned(),
        _ => format!("{what} before"),
    };
    let seen = |at: i64| Record::new(Impression, at + 5, START + at, &campaign(at, 4, "seen"), "u");
    let clicked = |at: i64| Record::new(Click, at + 20, START + at, &campaign(at, 16, "clicked"), "u");
    let mut records: Vec<Record> = (-5..20).map(seen).chain((-20..20).map(clicked)).collect();
    records.push(conversion(0, START - 1, "", "u", None));
    assert_eq!(
        credits(&told(records)),
        [
            row("clicked before", NO_TOUCH, 1, 0, 0),
            row("clicked before", MINUTE - 1, 0, 1_000_000, 800_000),
            row("seen before", MINUTE - 1, 0, 0, 200_000)
        ]
    );
}

#[test]
fn a_click_after_the_conversion_that_names_it_counts_for_nothing() {
    let seen = Record::new(Impression, 0, START - 9, "shirts", "u");
    let click = Record::new(Click, 0, START + 1, "shoes", "u");
    let outcomes = told(vec![seen, click, conversion(0, START, "hats", "", Some("Click-0"))]);
    assert_eq!(credits(&outcomes), [row("hats", NO_TOUCH, 1, 0, 0)]);
}

#[test]
fn a_touch_without_room_keeps_its_name_until_the_conversions_have_come() {
    let mut set = set(Semantics::default());
    let old = Record::new(Impression, 0, START, "old", "u");
    run_cut(&mut set, &cut(START, vec![old, Record::new(Click, 0, START, "new", "")]));
    let seen = |at: i64| Record::new(Impression, at, START + at, "new", "u");
    run_cut(&mut set, &cut(START, (1..10).map(seen).collect()));
    assert_eq!((set.sizes().touches_spilled, set.sizes().names), (6, 2));
    for step in 0..3 * 256 {
        // Touches go on, conversions do not come and are not idle.
        let touches = vec![
            Record::new(Impression, 10 + step, START + 10_000 + step, "new", ""),
            Record::new(Click, 1 + step, START + 10_000 + step, "new", ""),
        ];
        run_cut(&mut set, &cut(START + 20_000, touches));
    }
    let mut outcomes = vec![run_cut(&mut set, &cut(START + 20_000, vec![conversion(0, START, "", "u", None)]))];
    outcomes.extend(settle(&mut set, START + 20_000));
    assert_eq!(credits(&outcomes), [row("old", NO_TOUCH, 1, 0, 0), row("old", MINUTE, 0, 1_000_000, 1_000_000)]);
    assert_eq!(set.sizes().touches_spilled, 0);
}

#[test]
fn after_ten_seconds_it_is_credited_with_what_is_known_and_never_again() {
    let mut set = set(Semantics::default());
    let outcomes = run(
        &mut set,
        &[
            cut(START, vec![conversion(0, START, "", "u", None), Record::new(Click, 0, START - 9, "shoes", "u")]),
            cut(START + 9_999, Vec::new()),
            cut(START + 10_000, Vec::new()),
            cut(START + 20_000, vec![Record::new(Click, 100, START - 1, "late", "u")]),
            cut(START + 40_000, Vec::new()),
        ],
    );
    let credited: Vec<i64> = outcomes.iter().map(|(closed, _)| closed.counters.conversions_credited).collect();
    assert_eq!(credited, [0, 0, 1, 0, 0]);
    assert_eq!(outcomes[2].0.counters.conversions_waited, 1);
    assert!(credits(&outcomes).iter().all(|credit| credit.0 == "shoes"));
}

#[test]
fn one_event_from_the_future_is_a_dead_letter_and_moves_nothing() {
    let mut set = set(Semantics::default());
    set.open(START);
    let ahead = |offset, time, timestamp| Record { timestamp, ..Record::new(Impression, offset, time, "c", "u") };
    let five_minutes = 5 * MINUTE_MS;
    assert_eq!(ahead(0, START + five_minutes, START).fold(&mut set), Verdict::Taken);
    assert_eq!(ahead(1, START + five_minutes + 1, START).fold(&mut set), Verdict::Rejected(reason::FUTURE));
    assert_eq!(ahead(2, START, START - five_minutes - 1).fold(&mut set), Verdict::Rejected(reason::FUTURE));
    assert_eq!(ahead(3, i64::MAX, i64::MAX).fold(&mut set), Verdict::Rejected(reason::FUTURE));
    assert_eq!(
        ahead(4, START - 90 * 24 * 60 * MINUTE_MS - 1, START).fold(&mut set),
        Verdict::Rejected(reason::TOO_OLD)
    );
    let end = CutEnd { to: [5, 0, 0], idle: [false, true, true], next_semantics: None, lag_records: 0 };
    let closed = set.close(end, &mut EpochSums::new()).expect("it ends behind its records");
    assert_eq!(closed.epoch.watermark, START - 5_000);
    assert_eq!((closed.epoch.impressions.accepted, closed.epoch.impressions.rejected), (1, 4));
}

#[test]
fn what_is_no_event_is_refused_with_a_reason() {
    let mut set = set(Semantics::default());
    set.open(START);
    let good = Record::new(Click, 0, START, "c", "u");
    let meta = |offset| RecordMeta { offset, timestamp_ms: START, key: None };
    assert_eq!(set.fold(Click, meta(0), Err("undecodable")), Verdict::Rejected("undecodable"));
    assert_eq!(set.fold(Impression, meta(0), Ok(good.event())), Verdict::Rejected(reason::WRONG_KIND));
    for (record, expected) in [
        (Record { money: -1, ..good.clone() }, reason::NEGATIVE_MONEY),
        (Record { money: i64::MAX, ..good.clone() }, reason::EXCESSIVE_MONEY),
        (Record { id: String::new(), ..good.clone() }, reason::EMPTY_ID),
        (Record { id: "x".repeat(65), ..good.clone() }, reason::OVERSIZED_ID),
        (Record { campaign: None, ..good.clone() }, reason::EMPTY_ID),
        (Record { account: "x".repeat(257), ..good.clone() }, reason::OVERSIZED_ID),
    ] {
        let offset = set.folded_to()[1];
        assert_eq!(Record { offset, ..record }.fold(&mut set), Verdict::Rejected(expected));
    }
}

#[test]
fn a_silent_source_holds_the_watermark_and_an_idle_one_does_not() {
    let mut set = set(Semantics::default());
    let busy = cut(START, vec![Record::new(Impression, 0, START, "c", "u")]);
    assert_eq!(run_cut(&mut set, &busy).0.epoch.watermark, NO_WATERMARK);
    let idle = Cut { idle: [false, true, true], ..cut(START + 1_000, Vec::new()) };
    let epoch = run_cut(&mut set, &idle).0.epoch;
    assert_eq!(epoch.watermark, START - 5_000);
    assert_eq!(epoch.ranges.iter().map(|range| range.watermark).max(), Some(START - 4_000));
    assert_eq!((epoch.epoch, epoch.ranges[0].epoch, epoch.clock), (2, 2, START + 1_000));
}

#[test]
fn a_full_buffer_asks_for_a_cut_and_takes_the_record_after_it() {
    let mut set = set(Semantics { buffer_events_max: 1, ..Semantics::default() });
    set.open(START);
    let (one, two) = (Record::new(Click, 0, START, "c", "u"), Record::new(Click, 1, START, "c", "u"));
    assert_eq!(one.fold(&mut set), Verdict::Taken);
    assert_eq!(two.fold(&mut set), Verdict::Full);
    let end = CutEnd { to: set.folded_to(), idle: [false; 3], next_semantics: None, lag_records: 0 };
    let closed = set.close(end, &mut EpochSums::new()).expect("it ends behind its records");
    assert_eq!(closed.epoch.clicks.accepted, 1);
    set.open(START);
    assert_eq!(two.fold(&mut set), Verdict::Taken);
}

#[test]
fn records_before_the_position_are_strays_and_a_cut_may_not_end_before_its_records() {
    let mut set = set(Semantics::default());
    let record = Record::new(Impression, 7, START, "c", "u");
    assert_eq!(record.fold(&mut set), Verdict::Stray);
    set.start_at(3, [7, 0, 0]);
    set.open(START);
    assert_eq!(Record { offset: 6, ..record.clone() }.fold(&mut set), Verdict::Stray);
    assert_eq!(record.fold(&mut set), Verdict::Taken);
    assert_eq!(record.fold(&mut set), Verdict::Stray);
    let end = |to| CutEnd { to: [to, 0, 0], idle: [false; 3], next_semantics: None, lag_records: 0 };
    let behind = CutError::Behind { kind: Impression, to: 7, folded_to: 8 };
    assert_eq!(set.close(end(7), &mut EpochSums::new()), Err(behind));
    let closed = set.close(end(12), &mut EpochSums::new()).expect("holes are normal");
    assert_eq!((closed.epoch.epoch, closed.epoch.ranges[0].from, closed.epoch.ranges[0].to), (4, 7, 12));
    assert_eq!(set.close(end(12), &mut EpochSums::new()), Err(CutError::NotOpen));
}

#[test]
fn new_semantics_hold_from_the_next_epoch_and_a_lower_version_is_ignored() {
    let mut set = set(Semantics { version: 5, ..Semantics::default() });
    let next = |version, future_max_ms| Some(Semantics { version, future_max_ms, ..Semantics::default() });
    let close = |set: &mut SiblingSet, next_semantics| {
        let end = CutEnd { to: set.folded_to(), idle: [false; 3], next_semantics, lag_records: 0 };
        set.close(end, &mut EpochSums::new()).expect("it ends behind its records").epoch.policy_version
    };
    let ahead = |offset| Record { timestamp: START, ..Record::new(Impression, offset, START + 1_000, "c", "u") };
    set.open(START);
    assert_eq!(ahead(0).fold(&mut set), Verdict::Taken);
    assert_eq!(close(&mut set, next(6, 0)), 6);
    set.open(START);
    assert_eq!(ahead(1).fold(&mut set), Verdict::Rejected(reason::FUTURE));
    assert_eq!(close(&mut set, next(4, 9_999)), 6);
}

#[test]
fn a_record_in_another_keys_place_is_counted() {
    let mut set = SiblingSet::new(
        aggregator::Identity { partitions: 3, ..common::identity() },
        common::hasher(),
        Semantics::default(),
    );
    set.open(START);
    for offset in 0..30 {
        let record = Record::new(Click, offset, START, "c", "u");
        let key = format!("user-{offset}");
        let meta = RecordMeta { offset, timestamp_ms: START, key: Some(key.as_bytes()) };
        assert_eq!(set.fold(Click, meta, Ok(record.event())), Verdict::Taken);
    }
    let end = CutEnd { to: set.folded_to(), idle: [false; 3], next_semantics: None, lag_records: 0 };
    let misplaced = set.close(end, &mut EpochSums::new()).expect("it ends behind its records").counters.misplaced;
    assert!((10..30).contains(&misplaced[1]), "{misplaced:?}");
}

#[test]
fn touches_without_a_name_are_counted_all_the_same() {
    let mut set = set(Semantics { names_max: 1, ..Semantics::default() });
    let records = vec![
        Record::new(Impression, 0, START, "known", "u"),
        Record::new(Impression, 1, START, "new", "u"),
        Record::new(Impression, 2, START, "new", "u"),
        Record { offset: 3, ..Record::new(Impression, 1, START, "new", "u") },
        Record::new(Click, 0, START, "new", "u"),
    ];
    let outcome = run_cut(&mut set, &cut(START, records));
    assert_eq!(outcome.0.counters.touches_unnamed, 3);
    assert_eq!(outcome.0.epoch.impressions.duplicate, 1);
    let totals = totals(&[outcome]);
    let place = |campaign: &str| ("acme".to_owned(), campaign.to_owned(), String::new(), MINUTE, NO_TOUCH);
    assert_eq!(totals[&place("new")][..2], [2, 1]);
    assert_eq!(totals[&place("known")][..2], [1, 0]);
}

#[test]
fn expired_touches_and_their_names_are_gone_after_two_rounds_of_sweeps() {
    let mut set = set(Semantics::default());
    run_cut(
        &mut set,
        &cut(START, vec![Record::new(Impression, 0, START, "c", "u"), Record::new(Click, 0, START, "d", "u")]),
    );
    assert_eq!((set.sizes().viewers, set.sizes().clicks, set.sizes().names), (1, 1, 2));
    let month = 40 * 24 * 60 * MINUTE_MS;
    for _ in 0..3 * 256 {
        let quiet = Cut { idle: [true; 3], ..cut(START + month, Vec::new()) };
        run_cut(&mut set, &quiet);
    }
    assert_eq!(set.sizes(), aggregator::Sizes::default());
    assert_eq!(stored(&set).len(), 4, "head, names, values, minute");
}

#[test]
fn only_what_was_written_has_a_new_version_and_no_snapshot_is_taken_inside_an_epoch() {
    let mut set = set(Semantics::default());
    let many = (0..200).map(|at| Record::new(Impression, at, START, "c", &format!("u{at}"))).collect();
    run_cut(&mut set, &cut(START, many));
    let before = stored(&set);
    run_cut(&mut set, &cut(START + 100, vec![Record::new(Impression, 300, START, "c", "u7")]));
    let after = stored(&set);
    let rewritten: Vec<&str> = after
        .iter()
        .filter(|chunk| !before.iter().any(|old| old.id == chunk.id && old.version == chunk.version))
        .map(|chunk| chunk.id.as_str())
        .collect();
    assert_eq!(rewritten.len(), 6, "{rewritten:?}");
    for old in &before {
        let new = after.iter().find(|chunk| chunk.id == old.id).expect("nothing has gone");
        assert!(old.version != new.version || old.bytes == new.bytes);
    }
    set.open(START);
    assert!(set.snapshot().is_none());
}
