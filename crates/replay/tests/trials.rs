//! The whole service in the markets of `crates/market/trials`, one seed each: what must hold in every one of them.
//!
//! Scores over many seeds are printed by `paceline simulate`; here stand the limits that no market may break.

use market::Trial;
use replay::trial::{Score, run};
use std::path::Path;

fn trials() -> Vec<Trial> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../market/trials");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the trials are there").map(|f| f.unwrap().path()).collect();
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
        let limit = (0.006 + 3.0 / trial.events_a_day).max(trial.feed_lag_minutes / 60.0 * 0.14);
        assert!(worst <= limit, "{}: {worst:.4} above {limit:.4}", trial.name);
        assert!(score.days.iter().any(|day| day.bid_commands > 0), "{}: nothing was steered", trial.name);
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
