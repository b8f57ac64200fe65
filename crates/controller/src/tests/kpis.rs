//! Events to exact rows: stories of lateness, calendars, quarantine, reports and corrections, and a naive recount.

use super::world::*;
use crate::Controller;
use model::fact::{Correction, Fact, StatsReport};
use model::journal::NO_TOUCH;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOON: Millis = MONDAY + 12 * HOUR_MS;

fn known(spec: model::fact::CampaignSpec) -> World {
    let mut world = World::new();
    world.feed(NOON - HOUR_MS, &[], &[specified(spec)]);
    world
}

#[test]
fn an_hour_s_row_is_published_once_the_watermark_has_closed_it() {
    let mut world = known(spec("c", 1));
    world.feed(NOON + 10 * MINUTE_MS, &[touches("c", NOON, 100, 4, 2_000_000)], &[]);
    world.feed(NOON + HOUR_MS + 5 * SECOND_MS - 1, &[touches("c", NOON + 30 * MINUTE_MS, 100, 1, 500_000)], &[]);
    assert_eq!(world.row("c", "hour", NOON, "conversion_time"), None, "the watermark is a millisecond short");
    world.feed(NOON + HOUR_MS + 5 * SECOND_MS, &[], &[]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!((row.impressions, row.clicks, row.spend_micros, row.revision), (200, 5, 2_500_000, 1));
    assert_eq!((row.ctr_ppm, row.cpc_micros, row.cpa_micros), (Some(25_000), Some(500_000), None));
    assert_eq!(row.window_start_local, "2026-03-02T12:00:00+00:00");
}

#[test]
fn a_day_that_closes_after_the_next_one_was_planned_says_its_plan_and_so_does_its_revision() {
    let budget = |micros: i64| model::fact::CampaignSpec { daily_budget_micros: Some(micros), ..spec("c", 1) };
    let mut world = World::new();
    world.feed(NOON, &[], &[specified(budget(20_000_000))]);
    let midnight = MONDAY + DAY_MS;
    for minute in 0..13 * 60 {
        let now = NOON + minute * MINUTE_MS;
        // Half an hour of silence of one source: the watermark stays behind.
        world.feed_behind(now, now - 30 * MINUTE_MS, &[touches("c", now, 10, 1, 1_000)], &[]);
        let day = world.row("c", "day", MONDAY, "conversion_time");
        assert_eq!(day.is_some(), now >= midnight + 30 * MINUTE_MS);
    }
    let plan = |world: &World| world.row("c", "day", MONDAY, "conversion_time").unwrap().plan_micros;
    assert_eq!(plan(&world), Some(20_000_000));
    let restored = Controller::restore(setup(), &world.controller.snapshot()).unwrap();
    world.controller = restored;
    let now = NOON + 13 * HOUR_MS + MINUTE_MS;
    world.feed(now, &[touches("c", midnight - HOUR_MS, 1, 1, 1_000)], &[]);
    world.feed(now + 2 * MINUTE_MS, &[], &[]);
    assert_eq!(world.row("c", "day", MONDAY, "conversion_time").unwrap().revision, 2);
    assert_eq!(plan(&world), Some(20_000_000));
}

#[test]
fn a_late_event_inside_its_lateness_brings_one_replacement_a_minute() {
    let mut world = known(spec("c", 1));
    world.feed(NOON + 1, &[touches("c", NOON, 1, 0, 10)], &[]);
    let later = NOON + 3 * HOUR_MS + MINUTE_MS;
    world.feed(later, &[], &[]);
    assert_eq!(world.row("c", "hour", NOON, "conversion_time").unwrap().revision, 1);
    for second in 1..30 {
        let outputs = world.feed(later + second * SECOND_MS, &[touches("c", NOON, 1, 0, 10)], &[]);
        assert!(outputs.kpis.is_empty(), "batched");
    }
    world.feed(later + MINUTE_MS, &[], &[]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!((row.impressions, row.spend_micros, row.revision), (30, 300, 2));
    assert_eq!(world.row("c", "minute", NOON, "conversion_time").unwrap().impressions, 30, "a sparse minute lives on");
}

#[test]
fn what_is_later_than_any_pane_is_in_the_long_totals_and_counted() {
    let mut world = known(spec("c", 1));
    for hour in 0..100 {
        let at = NOON + hour * HOUR_MS;
        world.feed(at + MINUTE_MS, &[touches("c", at, 1, 0, 10)], &[]);
    }
    let end = NOON + 100 * HOUR_MS;
    world.feed(end, &[touches("c", NOON, 1, 0, 5)], &[]);
    world.feed(end + MINUTE_MS, &[], &[]);
    assert_eq!(world.row("c", "hour", NOON, "conversion_time").unwrap().spend_micros, 10, "never a part of the truth");
    assert_eq!(world.row("c", "day", MONDAY, "conversion_time").unwrap().spend_micros, 125, "its day lives");
    assert_eq!(world.controller.view().campaign("acme", "c").unwrap().spend_flight_micros, 1_005);
    assert_eq!(world.controller.view().counters().late.hours, 1);
}

#[test]
fn days_are_the_campaign_s_own_also_when_clocks_change() {
    let spring = MONDAY + 27 * DAY_MS; // Sunday 2026-03-29.
    let mut world = World::new();
    let berlin = model::fact::CampaignSpec { time_zone: "Europe/Berlin".into(), ..spec("c", 1) };
    world.feed(spring - 2 * DAY_MS, &[], &[specified(berlin)]);
    for hour in -24..48 {
        let at = spring + hour * HOUR_MS;
        world.feed(at + MINUTE_MS, &[touches("c", at, 1, 0, 1_000)], &[]);
    }
    world.feed(spring + 3 * DAY_MS, &[], &[]);
    let hours = |start: Millis| world.row("c", "day", start, "conversion_time").map(|row| row.impressions);
    assert_eq!(hours(spring - 25 * HOUR_MS), Some(23), "the first hour of that day had no event");
    assert_eq!(hours(spring - HOUR_MS), Some(23), "the day of the change");
    assert_eq!(hours(spring + 22 * HOUR_MS), Some(24));
    let row = world.row("c", "day", spring - HOUR_MS, "conversion_time").unwrap();
    assert_eq!(row.window_start_local, "2026-03-29T00:00:00+01:00");
    assert_eq!(row.window_end_local, "2026-03-30T00:00:00+02:00");
}

#[test]
fn spend_is_never_in_two_days_when_the_zone_changes() {
    let mut world = World::new();
    world.feed(MONDAY, &[], &[specified(spec("c", 1))]);
    for hour in 0..96 {
        if hour == 30 {
            let moved = model::fact::CampaignSpec { time_zone: "America/New_York".into(), ..spec("c", 2) };
            world.feed(MONDAY + hour * HOUR_MS, &[], &[specified(moved)]);
        }
        let at = MONDAY + hour * HOUR_MS;
        world.feed(at + MINUTE_MS, &[touches("c", at, 1, 0, 1_000)], &[]);
    }
    world.feed(MONDAY + 7 * DAY_MS, &[], &[]);
    let days = world.rows.iter().filter(|((_, granularity, ..), _)| granularity == "day");
    let days: Vec<_> = days.map(|((.., start, _), row)| ((start - MONDAY) / HOUR_MS, row.impressions)).collect();
    assert_eq!(days, [(0, 24), (24, 24), (48, 5), (53, 24), (77, 19)]);
}

#[test]
fn amounts_of_an_unknown_campaign_wait_and_reappear_exactly() {
    let mut world = World::new();
    for hour in 0..200 {
        let at = NOON + hour * HOUR_MS;
        world.feed(at + 2 * MINUTE_MS, &[touches("late", at, 7, 1, 700), claimed("late", at, "purchase", 50)], &[]);
    }
    assert!(world.rows.is_empty());
    assert_eq!(world.alerts("unknown_campaign")[..2], ["opened", "updated"], "more and more money waits");
    assert_eq!(world.controller.view().quarantine().map(|waiting| waiting.spend_micros).sum::<i64>(), 140_000);
    let arrival = NOON + 200 * HOUR_MS;
    world.feed(arrival, &[], &[specified(spec("late", 1))]);
    world.feed(arrival + MINUTE_MS, &[], &[]);
    assert_eq!(world.alerts("unknown_campaign").last().map(String::as_str), Some("resolved"));
    for hour in 0..199 {
        let row = world.row("late", "hour", NOON + hour * HOUR_MS, "conversion_time").unwrap();
        assert_eq!((row.impressions, row.spend_micros, row.conversions, row.value_micros), (7, 700, 1, 50), "{hour}");
    }
    assert_eq!(world.controller.view().quarantine().count(), 0);
}

#[test]
fn strays_of_a_day_and_the_forty_days_after_leave_room_for_a_campaign_that_is_specified_late() {
    let mut world = World::new();
    let names: Vec<&'static str> = (0..150).map(|n| &*Box::leak(format!("stray-{n}").into_boxed_str())).collect();
    for minute in 0..400 {
        let now = NOON + minute * MINUTE_MS;
        let rows: Vec<Row> = names.iter().map(|name| touches(name, now - MINUTE_MS, 1, 1, 10)).collect();
        world.feed(now, &rows, &[]);
    }
    let mut now = NOON + 400 * MINUTE_MS + 40 * DAY_MS;
    for _ in 0..5 {
        now += MINUTE_MS;
        world.feed(now, &[touches("late", now - MINUTE_MS, 10, 5, 7_000_000)], &[]);
    }
    world.feed(now + MINUTE_MS, &[], &[specified(spec("late", 1))]);
    assert_eq!(world.controller.view().campaign("acme", "late").unwrap().spend_day_micros, 35_000_000);
    let waits = world.controller.view().quarantine().map(|waiting| waiting.spend_micros).sum::<i64>();
    assert_eq!((waits, world.controller.view().quarantine_counts().1), (150 * 400 * 10, 0));
    let again = Controller::restore(setup(), &world.controller.snapshot()).unwrap();
    assert_eq!(again.snapshot(), world.controller.snapshot());
}

#[test]
fn an_account_that_has_no_room_for_strays_is_told_what_it_loses_until_an_hour_after_the_last() {
    let mut world = World::new();
    let names: Vec<&'static str> = (0..250).map(|n| &*Box::leak(format!("{n}").into_boxed_str())).collect();
    let rows = names.iter().flat_map(|campaign| names[..201].iter().map(|kind| claimed(campaign, NOON, kind, 1)));
    world.feed(NOON, &rows.collect::<Vec<_>>(), &[]);
    let told = &world.outputs[0].alerts;
    let text = told.iter().find(|alert| alert.kind == "quarantine_full").map(|alert| alert.text.clone()).unwrap();
    assert!(text.contains("account acme") && text.contains(": 250 rows, the last of campaign 249"), "{text}");
    assert_eq!(world.controller.view().quarantine_counts(), (50_000, 250));
    world.feed(NOON + HOUR_MS - 1, &[], &[]);
    assert_eq!(world.alerts("quarantine_full"), ["opened"]);
    world.feed(NOON + HOUR_MS, &[], &[]);
    assert_eq!(world.alerts("quarantine_full"), ["opened", "resolved"]);
}

#[test]
fn another_currency_waits_for_the_specification_that_names_it() {
    let mut world = known(spec("c", 1));
    let dollars = |spend| Row { currency: Some("USD"), ..touches("c", NOON, 1, 0, spend) };
    world.feed(NOON + MINUTE_MS, &[touches("c", NOON, 1, 0, 10), dollars(99)], &[]);
    assert_eq!(world.alerts("currency_mismatch"), ["opened"]);
    world.feed(NOON + 2 * HOUR_MS, &[], &[]);
    assert_eq!(world.row("c", "hour", NOON, "conversion_time").unwrap().spend_micros, 10);
    let moved = model::fact::CampaignSpec { currency: "USD".into(), ..spec("c", 2) };
    world.feed(NOON + 2 * HOUR_MS + 1, &[], &[specified(moved)]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!((row.spend_micros, row.currency.as_str(), row.revision), (99, "USD", 2), "above the revisions before");
    assert_eq!(world.alerts("currency_mismatch"), ["opened", "resolved"]);
}

#[test]
fn a_lower_version_of_a_specification_is_ignored() {
    let mut world = known(spec("c", 5));
    let old = model::fact::CampaignSpec { currency: "USD".into(), ..spec("c", 4) };
    world.feed(NOON, &[touches("c", NOON, 1, 0, 10)], &[specified(old)]);
    assert_eq!(world.controller.view().campaign("acme", "c").unwrap().spec.currency, "EUR");
    assert_eq!(world.controller.view().counters().stale_specs, 1);
}

#[test]
fn credits_stand_at_the_conversion_and_at_the_touch() {
    let mut world = known(spec("c", 1));
    let (clicked, converted) = (NOON, NOON + 2 * HOUR_MS);
    world.feed(NOON + MINUTE_MS, &[touches("c", clicked, 10, 1, 2_000_000)], &[]);
    world.feed(converted + MINUTE_MS, &[credit("c", converted, clicked, 1_000_000, 8_000_000)], &[]);
    world.feed(converted + 3 * HOUR_MS, &[], &[]);
    world.feed(converted + 3 * HOUR_MS + MINUTE_MS, &[], &[]);
    let touch = world.row("c", "hour", clicked, "touch_time").unwrap();
    assert_eq!(touch.attributed[0].conversions_micro, 1_000_000);
    assert_eq!(touch.attributed[1].value_micros, 4_000_000);
    assert_eq!((touch.cpa_micros, touch.roas_ppm), (Some(2_000_000), Some(4_000_000)));
    assert_eq!(touch.matured_ppm, Some(0), "when it was written, the hour was too young for such a delay");
    let conversion = world.row("c", "hour", converted, "conversion_time").unwrap();
    assert_eq!((conversion.attributed[0].value_micros, conversion.spend_micros), (8_000_000, 0));
    let day = world.row("c", "day", MONDAY, "conversion_time");
    assert_eq!(day, None, "the day is still open");
}

#[test]
fn micro_conversions_are_no_conversions() {
    let micro = model::fact::CampaignSpec { micro_conversion_types: vec!["add_to_cart".into()], ..spec("c", 1) };
    let mut world = known(micro);
    world.feed(NOON, &[claimed("c", NOON, "add_to_cart", 1), claimed("c", NOON, "purchase", 2)], &[]);
    world.feed(NOON + 2 * HOUR_MS, &[], &[]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!((row.conversions, row.value_micros), (1, 2));
}

fn report(id: &str, revision: i64, at: Millis, cost_micros: i64) -> Fact {
    Fact::StatsReport(Box::new(StatsReport {
        report_id: id.into(),
        revision,
        account_id: "acme".into(),
        campaign_id: "c".into(),
        platform: "google_ads".into(),
        window_start: at,
        window_end: at + HOUR_MS,
        impressions: 1_000,
        clicks: 50,
        cost_micros,
        conversions: 2,
        value_micros: 9,
        currency: "EUR".into(),
        basis: "click_time".into(),
        semantics: "snapshot".into(),
        ..StatsReport::default()
    }))
}

#[test]
fn a_campaign_of_reports_counts_each_window_s_last_revision_once() {
    let stats = model::fact::CampaignSpec { spend_source: "stats".into(), ..spec("c", 1) };
    let mut world = known(stats);
    let events = [touches("c", NOON, 900, 40, 11_000_000)];
    world.feed(NOON + HOUR_MS + MINUTE_MS, &events, &[report("a", 1, NOON, 10_000_000)]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!((row.impressions, row.clicks, row.spend_micros, row.conversions), (1_000, 50, 10_000_000, 2));
    assert_eq!(row.reconciliation_ratio_ppm, Some(1_100_000), "compared, never added");
    world.feed(NOON + HOUR_MS + 2 * MINUTE_MS, &[], &[report("a", 1, NOON, 10_000_000)]);
    world.feed(NOON + HOUR_MS + 3 * MINUTE_MS, &[], &[report("b", 2, NOON, 12_000_000)]);
    world.feed(NOON + HOUR_MS + 4 * MINUTE_MS, &[], &[]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!((row.impressions, row.spend_micros, row.revision), (1_000, 12_000_000, 2));
    assert_eq!(world.controller.view().counters().repeated_reports, 1);
    assert_eq!(world.controller.view().campaign("acme", "c").unwrap().watermark, Some(NOON + HOUR_MS));
}

#[test]
fn a_correction_counts_once_and_releases_budget() {
    let mut world = known(spec("c", 1));
    world.feed(NOON, &[touches("c", NOON, 10, 5, 5_000_000)], &[]);
    let refund = |id: &str| {
        Fact::Correction(Box::new(Correction {
            correction_id: id.into(),
            account_id: "acme".into(),
            campaign_id: "c".into(),
            applies_at: NOON,
            clicks: -2,
            cost_micros: -2_000_000,
            currency: "EUR".into(),
            reason: "invalid_traffic".into(),
            ..Correction::default()
        }))
    };
    world.feed(NOON + 3 * HOUR_MS, &[], &[refund("x"), refund("x")]);
    world.feed(NOON + 3 * HOUR_MS + MINUTE_MS, &[], &[refund("x")]);
    world.feed(NOON + 3 * HOUR_MS + 2 * MINUTE_MS, &[], &[]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!(
        (row.gross_spend_micros, row.spend_micros, row.clicks, row.invalid_clicks),
        (5_000_000, 3_000_000, 3, 2)
    );
    assert_eq!(world.controller.view().campaign("acme", "c").unwrap().spend_day_micros, 3_000_000);
    assert_eq!(world.controller.view().counters().repeated_corrections, 2);
}

/// One event of the generated worlds: campaign, minute after noon, kind, amount.
type Event = (usize, i64, u8, i64);

const NAMES: [&str; 3] = ["a", "b", "c"];

fn row_of((campaign, minute, kind, amount): &Event) -> Row {
    let (name, at) = (NAMES[*campaign], NOON + minute * MINUTE_MS);
    match kind {
        0 => touches(name, at, 1, 0, *amount),
        1 => touches(name, at, 0, 1, *amount),
        2 => claimed(name, at, "purchase", *amount),
        _ => credit(name, at, at - 90 * MINUTE_MS, 1_000_000, *amount),
    }
}

/// Campaign, granularity, window start; impressions, clicks, spend, conversions, credits, value.
type Recount = BTreeMap<(String, String, Millis), (i64, i64, i64, i64, i64, i64)>;

/// The naive recount: sums by campaign, granularity and window.
fn recount(events: &[Event]) -> Recount {
    let mut sums = Recount::new();
    for event in events {
        let Row { campaign, conversion_type, delta, .. } = row_of(event);
        let at = delta.minute * MINUTE_MS;
        for (granularity, length) in [("minute", MINUTE_MS), ("hour", HOUR_MS), ("day", DAY_MS)] {
            let key = (campaign.to_owned(), granularity.to_owned(), at.div_euclid(length) * length);
            let sum = sums.entry(key).or_default();
            sum.0 += delta.impressions;
            sum.1 += delta.clicks;
            sum.2 += delta.spend_micros;
            let credit = delta.touch_minute != NO_TOUCH && !conversion_type.is_empty();
            sum.3 += delta.conversions;
            sum.4 += if credit { delta.last_conversions_micro } else { 0 };
            sum.5 += delta.value_micros + delta.last_value_micros;
        }
    }
    sums
}

/// Feeds the events in cuts of the given sizes, then lets all windows close.
fn told(events: &[Event], sizes: &[usize], late_spec: bool) -> World {
    let mut world = World::new();
    let specs = NAMES.map(|name| specified(spec(name, 1)));
    let (early, late) = if late_spec { specs.split_at(1) } else { specs.split_at(3) };
    world.feed(NOON - HOUR_MS, &[], early);
    let (mut rest, mut sizes) = (events, sizes.iter().cycle());
    let mut clock = NOON;
    while !rest.is_empty() {
        let size = (*sizes.next().unwrap()).clamp(1, rest.len());
        let (cut, after) = rest.split_at(size);
        rest = after;
        clock += 20 * SECOND_MS;
        let newest = cut.iter().map(|event| NOON + event.1 * MINUTE_MS).max().unwrap();
        clock = clock.max(newest);
        world.feed_behind(clock, clock - HOUR_MS, &cut.iter().map(row_of).collect::<Vec<_>>(), &[]);
    }
    world.feed(clock + MINUTE_MS, &[], late);
    world.feed(clock + 2 * DAY_MS, &[], &[]);
    world.feed(clock + 2 * DAY_MS + MINUTE_MS, &[], &[]);
    world
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec((0..3_usize, 0..60_i64, 0..4_u8, 1..1_000_i64), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn rows_equal_a_naive_recount(events in events(), sizes in prop::collection::vec(1..9_usize, 1..5), late in any::<bool>()) {
        let world = told(&events, &sizes, late);
        for ((campaign, granularity, start), sums) in recount(&events) {
            let row = world.row(&campaign, &granularity, start, "conversion_time");
            let row = row.unwrap_or_else(|| panic!("{campaign} {granularity} {start} is missing"));
            let last = &row.attributed[0];
            prop_assert_eq!(
                (row.impressions, row.clicks, row.spend_micros, row.conversions, last.conversions_micro,
                    row.value_micros + last.value_micros),
                sums
            );
        }
        let touched: i64 = world.rows.iter().filter(|((_, granularity, _, basis), _)| granularity == "day" && basis == "touch_time")
            .map(|(_, row)| row.attributed[0].conversions_micro).sum();
        let credited = events.iter().filter(|event| event.2 == 3).count() as i64 * 1_000_000;
        prop_assert_eq!(touched, credited);
    }

    #[test]
    fn any_split_into_records_gives_the_same_rows(events in events(), one in 1..9_usize, other in 1..60_usize) {
        let (one, other) = (told(&events, &[one], false), told(&events, &[other, 1], false));
        prop_assert_eq!(one.final_rows(), other.final_rows());
    }
}
