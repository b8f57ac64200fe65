//! Campaigns without an event stream: what their platforms report is their spend, and they are paced by it.

use super::world::*;
use model::fact::{CampaignSpec, Fact, StatsReport};
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use proptest::prelude::*;
use std::collections::BTreeMap;

const EUR: i64 = 1_000_000;
const NOON: Millis = MONDAY + 12 * HOUR_MS;

fn fed_by_reports() -> CampaignSpec {
    CampaignSpec {
        platform: Some("google_ads".into()),
        daily_budget_micros: Some(240 * EUR),
        bid_micros: EUR,
        bid_min_micros: EUR / 5,
        bid_max_micros: 5 * EUR,
        bid_step_micros: 10_000,
        spend_source: "stats".into(),
        ..spec("c", 1)
    }
}

fn report(id: &str, start: Millis, end: Millis, cost_micros: i64) -> StatsReport {
    StatsReport {
        report_id: id.into(),
        revision: 1,
        account_id: "acme".into(),
        campaign_id: "c".into(),
        platform: "google_ads".into(),
        window_start: start,
        window_end: end,
        impressions: 20 * cost_micros / EUR,
        clicks: cost_micros / EUR,
        cost_micros,
        currency: "EUR".into(),
        basis: "click_time".into(),
        semantics: "snapshot".into(),
        ..StatsReport::default()
    }
}

/// Days of hours, each reported ten minutes after its end, with a buyer that applies every command.
fn days(hours: i64, cost_of_hour: impl Fn(i64) -> i64) -> (World, Vec<Adjustment>) {
    let mut world = World::new();
    let mut queue = vec![specified(fed_by_reports())];
    let mut issued = Vec::new();
    for minute in 0..hours * 60 {
        let now = MONDAY + minute * MINUTE_MS;
        let hour = minute / 60 - 1;
        if minute % 60 == 10 && hour >= 0 {
            let start = MONDAY + hour * HOUR_MS;
            queue.push(Fact::StatsReport(Box::new(report(
                &hour.to_string(),
                start,
                start + HOUR_MS,
                cost_of_hour(hour),
            ))));
        }
        let outputs = world.feed(now, &[], &std::mem::take(&mut queue));
        queue.extend(outputs.adjustments.iter().map(applied));
        issued.extend(outputs.adjustments);
    }
    (world, issued)
}

#[test]
fn a_campaign_that_falls_behind_by_its_reports_is_raised_and_never_above_its_limit() {
    let (world, issued) = days(60, |_| EUR);
    let raises: Vec<_> = issued.iter().filter(|command| command.reason == "pacing_behind").collect();
    let why = world.controller.view().why("acme", "c");
    assert!(!raises.is_empty(), "why: {why:?}; {issued:?}");
    assert!(raises.iter().all(|raise| raise.value_micros.is_some_and(|bid| bid <= 5 * EUR)));
}

#[test]
fn a_campaign_that_runs_away_by_its_reports_is_paused_before_its_day_is_spent_twice() {
    let (world, issued) = days(24, |_| 40 * EUR);
    let pause = issued.iter().find(|command| command.kind == "pause").expect("a pause");
    assert!(pause.issued_at < MONDAY + 8 * HOUR_MS, "six hours cost the day's 240");
    assert_eq!(world.controller.view().campaign("acme", "c").unwrap().spend_day_micros, 23 * 40 * EUR);
}

#[test]
fn reports_of_an_hour_that_is_still_open_are_no_knowledge_of_its_rest() {
    let mut world = World::new();
    world.feed(NOON, &[], &[specified(fed_by_reports())]);
    let now = NOON + 20 * MINUTE_MS;
    let open = Fact::StatsReport(Box::new(report("a", NOON, NOON + HOUR_MS, 10 * EUR)));
    world.feed(now, &[], &[open]);
    assert_eq!(world.controller.view().campaign("acme", "c").unwrap().watermark, Some(now));
    assert_eq!(world.row("c", "hour", NOON, "conversion_time"), None, "the hour is not closed");
    let whole = StatsReport { revision: 2, ..report("a", NOON, NOON + HOUR_MS, 30 * EUR) };
    world.feed(NOON + HOUR_MS + MINUTE_MS, &[], &[Fact::StatsReport(Box::new(whole))]);
    let row = world.row("c", "hour", NOON, "conversion_time").unwrap();
    assert_eq!((row.spend_micros, row.clicks, row.billable), (30 * EUR, 30, 30));
}

/// Window (start hour, hours), report, revision, whether a delta, cost.
type Told = (i64, u8, i64, bool, i64);

/// What a person would add up: per window the last snapshot and the deltas after it, each at its last revision.
fn recount(told: &[Told]) -> i64 {
    let mut windows = BTreeMap::<i64, (Option<i64>, i64)>::new();
    let mut deltas = BTreeMap::<(i64, u8), (i64, i64)>::new();
    for (hour, id, revision, delta, cost) in told {
        let (last, sum) = windows.entry(*hour).or_default();
        if *delta {
            let (known, before) = deltas.get(&(*hour, *id)).copied().unwrap_or((0, 0));
            if *revision > known {
                *sum += cost - before;
                deltas.insert((*hour, *id), (*revision, *cost));
            }
        } else if last.is_none_or(|last| last < *revision) {
            (*last, *sum) = (Some(*revision), *cost);
        }
    }
    windows.values().map(|(_, sum)| sum).sum()
}

fn stories() -> impl Strategy<Value = Vec<Told>> {
    prop::collection::vec((0..6_i64, 0..3_u8, 1..5_i64, any::<bool>(), 1..100 * EUR), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn totals_equal_the_last_revisions_whatever_came_before_and_twice(told in stories(), twice in any::<bool>()) {
        let mut world = World::new();
        world.feed(NOON - HOUR_MS, &[], &[specified(fed_by_reports())]);
        for (at, (hour, id, revision, delta, cost)) in told.iter().enumerate() {
            // A window's snapshots bear one id; the windows of this story are two hours long, so each touches two panes.
            let name = if *delta { format!("delta-{hour}-{id}") } else { format!("window-{hour}") };
            let start = MONDAY + hour * 2 * HOUR_MS;
            let semantics = if *delta { "delta" } else { "snapshot" };
            let report = StatsReport {
                revision: *revision,
                semantics: semantics.into(),
                ..report(&name, start, start + 2 * HOUR_MS, *cost)
            };
            let fact = Fact::StatsReport(Box::new(report));
            let now = NOON + at as i64 * MINUTE_MS;
            let facts = if twice { vec![fact.clone(), fact] } else { vec![fact] };
            world.feed(now, &[], &facts);
        }
        let expected = recount(&told);
        prop_assert_eq!(world.controller.view().campaign("acme", "c").unwrap().spend_day_micros, expected);
        world.feed(NOON + DAY_MS, &[], &[]);
        world.feed(NOON + DAY_MS + MINUTE_MS, &[], &[]);
        let hours: i64 = world.rows.iter().filter(|((_, granularity, ..), _)| granularity == "hour").map(|(_, row)| row.spend_micros).sum();
        prop_assert_eq!(hours, expected, "the hours' rows sum to the same");
    }
}
