//! How much of the gain of the best factors is captured, and how often factors come where nothing differs.
//!
//! `cargo run --release -p replay --example modifiers -- [SEEDS] [FIRST_SEED] [ARM]`; figures stand in
//! `benches/scores/modifiers.md`.

use market::{Billing, Trial, TrialHours, TrialValue, TrialWeather};
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
        if !trial.has_differences() {
            println!("{}", no_effect(name, &scores));
        } else {
            let twin = Trial { forbidden_dimensions: DIMENSIONS.map(str::to_owned).to_vec(), ..trial };
            println!("{}", gains(name, &scores, &play(&twin, first, seeds)));
        }
    }
}

const DIMENSIONS: [&str; 6] = ["hour", "device", "geo", "placement", "creative", "weather"];

fn values(values: &[(&str, f64)]) -> Vec<TrialValue> {
    values.iter().map(|(name, conversion)| TrialValue { name: (*name).into(), conversion: *conversion }).collect()
}

/// So many places, the first of which converts so many times as often.
fn places(count: usize, first: f64) -> Vec<TrialValue> {
    let factor = |at: usize| if at == 0 { first } else { 1.0 };
    (0..count).map(|at| TrialValue { name: format!("DE-{at:02}"), conversion: factor(at) }).collect()
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
    // Impressions are paid for, so one that is clicked twice as often is worth twice as much.
    let rain = |clicks: f64, billing: Billing, days| {
        let (click_rate, events_a_day) = if billing == Billing::Cpm { (0.25, 6_400.0) } else { (0.25, 2_000.0) };
        let weather = Some(TrialWeather { clicks, ..TrialWeather::default() });
        // Of devices and creatives some are clicked oftener, too: they are left out, so that the weather alone is judged.
        let forbidden_dimensions = ["device", "creative", "placement", "geo", "hour"].map(str::to_owned).to_vec();
        Trial { billing, click_rate, weather, forbidden_dimensions, ..trial(events_a_day, 1.0, days) }
    };
    vec![
        ("x3, 100 a day", trial(1_600.0, 3.0, 21)),
        ("x3, 150 a day", trial(2_400.0, 3.0, 21)),
        ("x3, 40 a day", trial(640.0, 3.0, 21)),
        ("x2, 150 a day", trial(2_700.0, 2.0, 21)),
        ("no effect, 100 a day", trial(2_000.0, 1.0, 28)),
        ("no effect, 12 places", Trial { geos: places(12, 1.0), ..trial(2_000.0, 1.0, 28) }),
        ("desktop x2", Trial { devices: values(&[("desktop", 2.0)]), ..trial(1_370.0, 1.0, 21) }),
        ("one place of 6 x3", Trial { geos: places(6, 3.0), ..trial(1_500.0, 1.0, 21) }),
        ("one placement of 8 x3", Trial { placements: values(&[("pl-3", 3.0)]), ..trial(1_600.0, 1.0, 21) }),
        ("one creative of 3 x2", Trial { creatives: values(&[("cr-1", 2.0)]), ..trial(1_500.0, 1.0, 21) }),
        ("rain, clicks x2, impressions paid", rain(2.0, Billing::Cpm, 21)),
        ("rain, clicks x2, clicks paid", rain(2.0, Billing::Cpc, 21)),
        ("rain without effect, impressions paid", rain(1.0, Billing::Cpm, 28)),
        ("rain without effect, clicks paid", rain(1.0, Billing::Cpc, 28)),
        ("evening x3 and desktop x2", Trial { devices: values(&[("desktop", 2.0)]), ..trial(1_100.0, 3.0, 21) }),
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
    if std::env::var_os("BY_SEED").is_some() {
        scores.iter().for_each(|score| eprintln!("{}", by_day(score)));
    }
    scores
}

/// Hours off 1 and commands of factors by day, and the share of the gain that the table brings.
fn by_day(score: &Score) -> String {
    let share = |day: &DayScore| {
        (day.own_table_conversions - day.flat_conversions) / (day.table_conversions - day.flat_conversions).max(1e-9)
    };
    let days = score.days.iter().map(|day| {
        let weather = format!("{}x{:.2}", day.weather, day.under_weather);
        format!("{}+{}/{}+{}/{weather}/{:.2}", day.hours_off, day.values_off, day.tables, day.modifiers, share(day))
    });
    format!("seed {}: {}", score.seed, days.collect::<Vec<_>>().join(" "))
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
    let values =
        middle(scores.iter().map(|score| score.days.iter().map(|day| day.modifiers + day.weather).sum::<u64>() as f64));
    let is_off = |day: &DayScore| day.hours_off + day.values_off > 0;
    let first = scores.iter().map(|score| score.days.iter().position(is_off).map_or(99, |day| day + 1));
    let spend = middle(scores.iter().map(|score| score.days[DAY].share()));
    let show = |[p10, p50, p90]: [f64; 3]| format!("{p50:.2} ({p10:.2} to {p90:.2})");
    format!(
        "| {name} | {:.1} % | {} | {} | {} | {} | {:.0} | {:.0} | {:.0} | {:.3} |",
        100.0 * best[1],
        show(table),
        show(paired(DAY..=DAY)),
        show(paired(DAY..=DAY + 6)),
        show(strict),
        middle(first.map(|day| day as f64))[1],
        tables[1],
        values[1],
        spend[1],
    )
}

fn no_effect(name: &str, scores: &[Score]) -> String {
    let has_any = |day: &DayScore| day.tables + day.modifiers + day.weather > 0;
    let any = scores.iter().filter(|score| score.days.iter().any(has_any)).count();
    let off: u64 = scores.iter().flat_map(|score| &score.days).map(|day| day.hours_off).sum();
    let hours = scores.iter().map(|score| score.days.len() * 24).sum::<usize>().max(1);
    let share = 100.0 * off as f64 / hours as f64;
    let values = scores.iter().filter(|score| score.days.iter().any(|day| day.modifiers > 0)).count();
    let weather = scores.iter().filter(|score| score.days.iter().any(|day| day.weather > 0)).count();
    let count = scores.len();
    format!(
        "| {name} | a factor in {any} of {count} campaigns, of a value in {values}, of a weather in {weather} | {share:.2} % of hours off 1 |"
    )
}

/// A tenth, half and nine tenths.
fn middle(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1) as f64;
    [0.1, 0.5, 0.9].map(|share| figures.get((last * share).round() as usize).copied().unwrap_or(0.0))
}
