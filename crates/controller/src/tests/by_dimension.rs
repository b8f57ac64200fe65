//! Rows that the journal has once a minute: by dimension, by model, paths.

use super::world::*;
use crate::Controller;
use model::fact::CampaignSpec;
use model::journal::{JournalRecord, NO_TOUCH};
use model::marginal::{Credit, Marginal, PathCount, grain_of};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

/// A row of one value: words of the campaign, the conversion type, the dimension, the value.
pub fn marginal(record: &mut JournalRecord, words: [&str; 4], at: Millis, touched: Option<Millis>, row: Marginal) {
    let mut code = |word: &str| {
        let known = record.dictionary.iter().position(|known| known == word);
        known.unwrap_or_else(|| {
            record.dictionary.push(word.into());
            record.dictionary.len() - 1
        }) as i32
    };
    let row = Marginal {
        account: code("acme"),
        campaign: code(words[0]),
        currency: code("EUR"),
        conversion_type: code(words[1]),
        dimension: code(words[2]),
        value: code(words[3]),
        minute: grain_of(at / MINUTE_MS),
        touch_minute: touched.map_or(NO_TOUCH, |at| grain_of(at / MINUTE_MS)),
        ..row
    };
    record.marginals.push(row);
}

fn credit_of(record: &mut JournalRecord, model: &str, at: Millis, conversions_micro: i64) {
    credit_to(record, "c", model, at, conversions_micro);
}

fn credit_to(record: &mut JournalRecord, campaign: &str, model: &str, at: Millis, conversions_micro: i64) {
    let mut code = |word: &str| {
        record.dictionary.push(word.into());
        record.dictionary.len() as i32 - 1
    };
    let credit = Credit {
        account: code("acme"),
        campaign: code(campaign),
        currency: code("EUR"),
        conversion_type: code("purchase"),
        model: code(model),
        minute: grain_of(at / MINUTE_MS),
        conversions_micro,
        value_micros: 7 * conversions_micro,
    };
    record.credits.push(credit);
}

fn feed(world: &mut World, clock: Millis, rows: &[Row], fill: impl FnOnce(&mut JournalRecord)) {
    let mut record = world.journal.cut(clock, clock - 5_000, rows, &[]);
    fill(&mut record);
    world.apply(clock, &record);
}

fn world() -> World {
    let mut world = World::new();
    world.feed(MONDAY, &[], &[specified(spec("c", 1))]);
    world
}

#[test]
fn values_are_counted_by_local_day_and_conversions_at_their_own_and_at_the_click_s() {
    let mut world = world();
    let (yesterday, today) = (MONDAY + 3 * HOUR_MS, MONDAY + DAY_MS + 3 * HOUR_MS);
    feed(&mut world, yesterday, &[], |record| {
        let clicked = Marginal { impressions: 90, clicks: 9, spend_micros: 900, ..Marginal::default() };
        marginal(record, ["c", "", "device", "mobile"], yesterday, None, clicked);
    });
    feed(&mut world, today, &[], |record| {
        let credited = Marginal { last_conversions_micro: 1_000_000, last_value_micros: 50, ..Marginal::default() };
        marginal(record, ["c", "purchase", "device", "mobile"], today, Some(yesterday), credited.clone());
        marginal(record, ["c", "newsletter", "device", "tv"], today, Some(i64::MAX), credited.clone());
        marginal(record, ["nobody", "purchase", "device", "tv"], today, Some(today), credited.clone());
        marginal(record, ["c", "purchase", "weather", "rain"], today, Some(today), credited);
    });
    let view = world.controller.view();
    let kept = view.by_dimension("acme", "c");
    let days: Vec<_> = kept.breakdown.unwrap().days(0).collect();
    assert_eq!(days.len(), 2);
    let [(name, first)] = days[0].values.as_slice() else { panic!("{days:?}") };
    assert_eq!((name.as_str(), first.clicks, first.touched_micro, first.credited_micro), ("mobile", 9, 1_000_000, 0));
    let (_, second) = &days[1].values[0];
    assert_eq!((second.clicks, second.touched_micro, second.credited_micro), (0, 0, 1_000_000));
    assert_eq!(kept.today, days[1].date);
    let counters = view.counters();
    assert_eq!((counters.unexplained_breakdowns, counters.malformed_deltas), (1, 2));
}

#[test]
fn a_day_s_row_tells_the_credits_of_all_models_and_is_revised_when_they_come_late() {
    let mut world = world();
    let at = MONDAY + 20 * HOUR_MS;
    world.feed(at, &[touches("c", at, 100, 10, 5_000_000), credit("c", at, at - HOUR_MS, 1_000_000, 9)], &[]);
    world.feed(MONDAY + DAY_MS + HOUR_MS, &[], &[]);
    let words = |world: &World| -> Vec<String> {
        let row = world.row("c", "day", MONDAY, "conversion_time").expect("the day has closed");
        row.attributed.iter().map(|credit| credit.model.clone()).collect()
    };
    assert_eq!(words(&world), ["last", "linear"]);
    feed(&mut world, MONDAY + DAY_MS + HOUR_MS + MINUTE_MS, &[], |record| {
        credit_of(record, "first", at, 600_000);
        credit_of(record, "last", at, 1_000_000);
        credit_of(record, "a_model_of_tomorrow", at, 1);
    });
    assert_eq!(words(&world), ["last", "linear", "first"]);
    let row = world.row("c", "day", MONDAY, "conversion_time").unwrap();
    assert_eq!(
        (row.revision, row.attributed[2].conversions_micro, row.attributed[2].value_micros),
        (2, 600_000, 4_200_000)
    );
}

#[test]
fn a_snapshot_holds_all_of_it_and_goes_on_the_same() {
    let mut world = world();
    let fill = |record: &mut JournalRecord, at: Millis| {
        for (value, clicks) in [("mobile", 3), ("desktop", 4)] {
            let row = Marginal { clicks, ..Marginal::default() };
            marginal(record, ["c", "", "device", value], at, None, row);
        }
        credit_of(record, "position", at, 400_000);
        let mut code = |word: &str| {
            record.dictionary.push(word.into());
            record.dictionary.len() as i32 - 1
        };
        let path = PathCount {
            account: code("acme"),
            conversion_type: code("purchase"),
            from: code(""),
            to: code("c"),
            length: 0,
            paths: 2,
        };
        record.paths.push(path);
    };
    feed(&mut world, MONDAY + HOUR_MS, &[], |record| fill(record, MONDAY + HOUR_MS));
    let bytes = world.controller.snapshot();
    let mut again = Controller::restore(setup(), &bytes).expect("just written");
    assert_eq!(again.snapshot(), bytes);
    let at = MONDAY + 2 * DAY_MS;
    let mut record = world.journal.cut(at, at - 5_000, &[], &[]);
    fill(&mut record, at);
    let position = crate::JournalPosition { offset: again.next_offset(), timestamp_ms: at };
    let outputs = again.apply(position, &record, crate::Authority::Decide);
    assert_eq!(outputs, world.apply(at, &record));
    assert_eq!(again.snapshot(), world.controller.snapshot());
    let kept = again.view().by_dimension("acme", "c");
    let types: Vec<(String, i64)> = kept
        .paths
        .iter()
        .flat_map(|paths| paths.types())
        .map(|(kind, of)| (kind.to_owned(), of.steps()[0].2))
        .collect();
    assert_eq!(types, [("purchase".to_owned(), 3_805_000)], "the first two have lost a twentieth twice");
}

#[test]
fn those_who_began_at_a_webinar_and_convert_three_times_as_often_are_told_as_no_cause() {
    let told = |of_webinar: i64| {
        let mut world = world();
        let webinar = CampaignSpec { channel: "owned".into(), bid_control: "none".into(), ..spec("w", 1) };
        world.feed(MONDAY + MINUTE_MS, &[], &[specified(webinar)]);
        let at = MONDAY + 9 * HOUR_MS;
        let rows = [touches("c", at, 90_000, 10_000, 9_000_000), touches("w", at, 0, 499, 0)];
        world.feed(at + MINUTE_MS, &rows, &[]);
        feed(&mut world, at + 2 * MINUTE_MS, &[], |record| {
            credit_to(record, "c", "first", at, 400_000_000);
            credit_to(record, "w", "first", at, of_webinar * 1_000_000);
        });
        for minute in [0, 10, 20] {
            let at = MONDAY + DAY_MS + 5 * HOUR_MS + minute * MINUTE_MS;
            world.feed(at, &[touches("w", at, 0, 1, 0)], &[]);
        }
        let alerts: Vec<_> = world.outputs.iter().flat_map(|outputs| &outputs.alerts).collect();
        let found = alerts.iter().find(|alert| alert.kind == "first_touch_association");
        found.map(|alert| (alert.severity.clone(), alert.text.clone()))
    };
    let (severity, text) = told(60).expect("three times as many as the 20 of others");
    assert_eq!(severity, "info");
    assert!(text.contains("3.0 times as often") && text.contains("not a cause"), "{text}");
    assert_eq!(told(21), None);
}
