//! The whole service in the markets of `crates/market/trials`, one seed each: what must hold in every one of them.
//!
//! Scores over many seeds are printed by `paceline simulate`; here stand the limits that no market may break.

use market::Trial;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use replay::trial::{Score, run};
use std::path::Path;

fn trials() -> Vec<Trial> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../market/trials");
    let entries = std::fs::read_dir(folder).expect("the trials are there").map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| std::fs::read_to_string(file).expect("a trial can be read");
    files.iter().map(|file| toml::from_str(&read(file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()))).collect()
}

/// Another seed than those of the published scores.
const SEED: u64 = 4_711;

#[test]
fn no_market_makes_a_day_overspend_beyond_what_its_lag_explains() {
    for trial in trials().into_iter().map(shortened) {
        let score = run(&trial, SEED, None);
        let worst = score.days.iter().map(|day| day.overspend()).fold(0.0, f64::max);
        // A click of slack for the smallest budgets; what an hour of lag may cost is in the policy's own words.
        let budget_events = trial.events_a_day / trial.supply_over_budget.max(1.0);
        let limit = (0.006 + 3.0 / budget_events).max(trial.feed_lag_minutes / 60.0 * 0.14);
        assert!(worst <= limit, "{}: {worst:.4} above {limit:.4}", trial.name);
        assert!(score.days.iter().any(|day| day.commands > 0), "{}: nothing was steered", trial.name);
    }
}

#[test]
fn a_wrong_first_bid_is_put_right_within_days() {
    let score: Score = run(&Trial { days: 4, ..Trial::default() }, SEED, None);
    let last = score.days.last().expect("days were played");
    assert!((0.9..=1.005).contains(&last.share()), "{:?}", score.days);
    assert!(score.value_ratio > 0.85, "{}", score.value_ratio);
}

#[test]
fn a_target_that_binds_alone_is_met_once_its_conversions_are_seen() {
    let score = run(&named("target alone"), SEED, None);
    let cost = cost_over_target(&score, 7);
    // Over seeds the last week comes to about 1.0 to 1.1; the budget alone would pay 1.5 times the target.
    assert!((0.85..1.25).contains(&cost), "{cost} {:?}", score.days);
}

#[test]
fn a_conversion_rate_that_halves_is_answered_by_the_bid() {
    let trial = named("S5");
    let day = trial.shocks[0].day as usize;
    let score = run(&Trial { days: 28, ..trial }, SEED, None);
    let cost = cost_over_target(&score, 7);
    assert!((0.75..1.3).contains(&cost), "{cost} {:?}", score.days);
    assert!(score.days[27].bid_micros < score.days[day - 1].bid_micros, "{:?}", score.days);
}

#[test]
fn a_feed_that_dies_upstream_and_looks_idle_is_not_answered_with_a_raise() {
    let trial = named("S21");
    let dies = trial.shocks[0].day * DAY_MS + (trial.shocks[0].hour * HOUR_MS as f64) as i64;
    let lives = dies + (trial.shocks[0].hours * HOUR_MS as f64) as i64;
    let score = run(&trial, SEED, None);
    // A quarter of an hour is the span in which one sign of life still counts.
    let within = |at: i64| (dies + 15 * MINUTE_MS..lives).contains(&at);
    let raises: Vec<_> = score.bids.windows(2).filter(|pair| within(pair[1].0) && pair[1].1 > pair[0].1).collect();
    assert!(raises.is_empty(), "{raises:?}");
    assert!(
        score.openings.iter().any(|told| told.kind == "delivery_stopped" && (dies..lives).contains(&told.after_ms))
    );
}

#[test]
fn conversions_that_are_not_told_are_one_break_and_the_bid_hardly_moves() {
    let trial = named("outage");
    let day = trial.shocks[0].day as usize;
    let score = run(&trial, SEED, None);
    let breaks: Vec<_> = score.openings.iter().filter(|told| told.kind == "tracking_break").collect();
    assert_eq!(breaks.len(), 1, "{breaks:?}");
    assert_eq!(breaks[0].after_ms / DAY_MS, day as i64);
    let [before, after] = [day - 1, day + 1].map(|day| score.days[day].bid_micros as f64);
    assert!((0.8..1.25).contains(&(after / before)), "{before} {after}");
}

#[test]
fn a_tiny_budget_is_not_paced_by_bid_but_its_days_take_turns() {
    let trial = named("S8 12 events");
    let score = run(&trial, SEED, None);
    let sum = |of: &dyn Fn(&replay::trial::DayScore) -> i64| score.days.iter().map(of).sum::<i64>() as f64;
    let (spent, budgets) = (sum(&|day| day.spend_micros), sum(&|day| day.budget_micros));
    // The stop falls one event early; the week is judged, not the day.
    assert!((0.75..=1.0).contains(&(spent / budgets)), "{}", spent / budgets);
    let first_half = sum(&|day| day.spend_first_half_micros) / spent;
    // One day in three begins in the morning; a campaign let alone spends nearly all of it before noon every day.
    assert!((0.2..0.6).contains(&first_half), "{first_half}");
    let commands: Vec<u64> = score.days.iter().map(|day| day.bid_commands).collect();
    // What a click costs is learned first: a low first bid makes clicks look cheap, and a budget of cheap clicks is none
    // of a few events.
    // Later a day counts as one of more events where a few cheap clicks came together: so in 9 of 40 markets (seeds 300 to
    // 339), whatever a day begins with.
    let moved = commands[5..].iter().filter(|of_day| **of_day > 0).count();
    assert!(moved <= 4 && commands[5..].iter().all(|of_day| *of_day <= 8), "{commands:?}");
    let worst = score.days.iter().map(|day| day.overspend()).fold(0.0, f64::max);
    assert!(worst <= 1.0 / 12.0, "one event at most: {worst}");
}

fn named(name: &str) -> Trial {
    trials().into_iter().find(|trial| trial.name == name).expect("the trial is there")
}

/// Expected cost of a conversion over the target, in the last days.
fn cost_over_target(score: &Score, days: usize) -> f64 {
    let (first, rest) = (score.days.len() - days, &score.days);
    let spend: f64 = rest[first..].iter().map(|day| day.spend_micros as f64).sum();
    let conversions: f64 = rest[first..].iter().map(|day| day.conversions).sum();
    let target = score.target_cpa_micros.expect("the trial has a target") as f64;
    spend / conversions.max(1e-9) / target
}

#[test]
fn the_same_seed_gives_the_same_score_and_another_another() {
    let trial = Trial { days: 1, events_a_day: 300.0, ..Trial::default() };
    assert_eq!(run(&trial, 1, None), run(&trial, 1, None));
    assert_ne!(run(&trial, 1, None).days, run(&trial, 2, None).days);
}

/// Days after the last change are cut: the limits here do not need a month.
fn shortened(trial: Trial) -> Trial {
    Trial { days: trial.days.min(5), events_a_day: trial.events_a_day.min(3_000.0), ..trial }
}
