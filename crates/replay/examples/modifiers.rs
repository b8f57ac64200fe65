//! How much of the gain of the best hour table is captured, and how often a table comes where hours are alike.
//!
//! `cargo run --release -p replay --example modifiers -- [SEEDS] [FIRST_SEED] [ARM]`; figures stand in
//! `benches/scores/modifiers.md`.

use market::{Trial, TrialHours};
use replay::trial::{DayScore, Score, run};
use std::sync::atomic::{AtomicU64, Ordering};

/// The day that the policy judges.
const DAY: usize = 13;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (seeds, first) = (number(0, 20_u64), number(1, 1_u64));
    let arm = arguments.get(2).map_or("", String::as_str);
    for (name, trial) in arms().into_iter().filter(|(name, _)| name.contains(arm)) {
        let scores = play(&trial, first, seeds);
        if trial.hours.is_empty() {
            println!("{}", no_effect(name, &scores));
        } else {
            let twin = Trial { forbidden_dimensions: vec!["hour".into()], ..trial };
            println!("{}", gains(name, &scores, &play(&twin, first, seeds)));
        }
    }
}

fn arms() -> Vec<(&'static str, Trial)> {
    let trial = |events_a_day: f64, factor: f64, days| {
        let hours = vec![TrialHours { from: 17, to: 20, conversion: factor }];
        let hours = if factor == 1.0 { Vec::new() } else { hours };
        Trial {
            bid_strategy: "max_conversions".into(),
            events_a_day,
            conversion_rate: Some(0.05),
            hours,
            days,
            ..Trial::default()
        }
    };
    vec![
        ("x3, 100 a day", trial(1_600.0, 3.0, 21)),
        ("x3, 150 a day", trial(2_400.0, 3.0, 21)),
        ("x3, 40 a day", trial(640.0, 3.0, 21)),
        ("x2, 150 a day", trial(2_700.0, 2.0, 21)),
        ("no effect, 100 a day", trial(2_000.0, 1.0, 28)),
    ]
}

fn play(trial: &Trial, first: u64, seeds: u64) -> Vec<Score> {
    let next = AtomicU64::new(first);
    let mut scores = std::thread::scope(|scope| {
        let worker = || {
            let mut scores = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds {
                    return scores;
                }
                scores.push(run(trial, seed, None));
            }
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().expect("a run ends")).collect::<Vec<Score>>()
    });
    scores.sort_by_key(|score| score.seed);
    scores
}

/// One row: gain of the best table; share of it that the table in force would bring with one bid a day; share by which the
/// service's own conversions beat those of its twin that may not use factors; share over one bid known beforehand.
fn gains(name: &str, scores: &[Score], twins: &[Score]) -> String {
    let gain = |day: &DayScore| day.table_conversions / day.flat_conversions.max(1e-9) - 1.0;
    let best = middle(scores.iter().map(|score| gain(&score.days[DAY])));
    let of_table = |day: &DayScore| {
        (day.own_table_conversions - day.flat_conversions) / (day.table_conversions - day.flat_conversions).max(1e-9)
    };
    let table = middle(scores.iter().map(|score| of_table(&score.days[DAY])));
    let pairs = || scores.iter().zip(twins);
    let paired = |days: std::ops::RangeInclusive<usize>| {
        middle(pairs().map(|(score, twin)| {
            let over_flat = |score: &Score| {
                let sum = |of: fn(&DayScore) -> f64| score.days[days.clone()].iter().map(of).sum::<f64>();
                sum(|day| day.conversions) / sum(|day| day.flat_conversions).max(1e-9)
            };
            let best = score.days[days.clone()].iter().map(gain).sum::<f64>() / days.clone().count() as f64;
            (over_flat(score) / over_flat(twin) - 1.0) / best.max(1e-9)
        }))
    };
    let strict = middle(scores.iter().map(|score| score.days[DAY].share_of_hour_gain()));
    let tables = middle(scores.iter().map(|score| score.days.iter().map(|day| day.tables).sum::<u64>() as f64));
    let first =
        scores.iter().map(|score| score.days.iter().position(|day| day.hours_off > 0).map_or(99, |day| day + 1));
    let spend = middle(scores.iter().map(|score| score.days[DAY].share()));
    let show = |[p10, p50, p90]: [f64; 3]| format!("{p50:.2} ({p10:.2} to {p90:.2})");
    format!(
        "| {name} | {:.1} % | {} | {} | {} | {} | {:.0} | {:.0} | {:.3} |",
        100.0 * best[1],
        show(table),
        show(paired(DAY..=DAY)),
        show(paired(DAY..=DAY + 6)),
        show(strict),
        middle(first.map(|day| day as f64))[1],
        tables[1],
        spend[1],
    )
}

fn no_effect(name: &str, scores: &[Score]) -> String {
    let any = scores.iter().filter(|score| score.days.iter().any(|day| day.tables > 0)).count();
    let off: u64 = scores.iter().flat_map(|score| &score.days).map(|day| day.hours_off).sum();
    let hours = scores.iter().map(|score| score.days.len() * 24).sum::<usize>().max(1);
    let share = 100.0 * off as f64 / hours as f64;
    format!("| {name} | a table in {any} of {} campaigns | {share:.2} % of hours off 1 |", scores.len())
}

/// A tenth, half and nine tenths.
fn middle(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1) as f64;
    [0.1, 0.5, 0.9].map(|share| figures.get((last * share).round() as usize).copied().unwrap_or(0.0))
}
