//! How soon anomalies are told, and how often calm markets cry: over many seeds, as lines for a table.
//!
//! `cargo run --release -p replay --example anomalies -- [SEEDS] [FIRST] [TRIAL...]`; trials are names of files in
//! `crates/market/trials`, all of the table where none are given. `openings` as the last word prints each opening.

use market::{Trial, TrialShock};
use model::time::{DAY_MS, HOUR_MS, Millis};
use replay::trial::{Opening, Score, run};
use std::collections::BTreeMap;
use std::path::Path;

/// The rows that are judged; hard stops and missing answers are no false alarms here.
const ROWS: [&str; 10] = [
    "delivery_stopped",
    "tracking_break",
    "cost_spike",
    "conversions_without_clicks",
    "cpa_break",
    "click_rate_spike",
    "feed_silent",
    "early_stop",
    "runaway",
    "underspend_risk",
];

/// Trials without any change, and those with one.
const TRIALS: [&str; 11] = [
    "s1-steady",
    "s8-few-300",
    "s8-few-60",
    "s1-both-bind",
    "s8-both-bind-300",
    "tracking-outage",
    "s5-rate-halves",
    "bot-burst",
    "prices-double",
    "s2-traffic-doubles",
    "s21-feed-dies",
];

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let openings = words.last().is_some_and(|word| word == "openings") && words.pop().is_some();
    let number = |at: usize, default: u64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (seeds, first) = (number(0, 20), number(1, 1_000));
    let named: Vec<&str> = words.iter().skip(2).map(String::as_str).collect();
    for name in if named.is_empty() { TRIALS.to_vec() } else { named } {
        let trial = read(name);
        let scores: Vec<Score> = (first..first + seeds).map(|seed| run(&trial, seed, None)).collect();
        println!("{}", line(&trial, &scores));
        if openings {
            scores.iter().for_each(print_openings);
        }
    }
}

fn read(name: &str) -> Trial {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../market/trials").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Before the first change: openings a campaign-week. From it on for two days: share of seeds and median delay by row.
fn line(trial: &Trial, scores: &[Score]) -> String {
    let change = trial.shocks.first().map(begin);
    let end = change.unwrap_or(trial.days * DAY_MS);
    let weeks = scores.len() as f64 * end as f64 / (7 * DAY_MS) as f64;
    let mut calm: BTreeMap<&str, f64> = BTreeMap::new();
    for opening in scores.iter().flat_map(|score| &score.openings).filter(|opening| opening.after_ms < end) {
        *calm.entry(row_of(opening)).or_default() += 1.0 / weeks;
    }
    let rows = ROWS.iter().filter_map(|row| Some(format!("{row} {:.2}", calm.get(row)?)));
    let rows: Vec<String> = rows.collect();
    let mut words =
        format!("{:<11} {weeks:>5.1}  {}", trial.name, if rows.is_empty() { "-".into() } else { rows.join(", ") });
    if let Some(change) = change {
        words.push_str(&format!("\n{:<18} -> {}", "", detected(change, scores)));
    }
    words
}

fn detected(change: Millis, scores: &[Score]) -> String {
    let mut found = Vec::new();
    for row in ROWS {
        let first = |score: &Score| {
            let after = score
                .openings
                .iter()
                .find(|opening| row_of(opening) == row && (change..change + 2 * DAY_MS).contains(&opening.after_ms));
            after.map(|opening| (opening.after_ms - change) as f64 / HOUR_MS as f64)
        };
        let mut delays: Vec<f64> = scores.iter().filter_map(first).collect();
        delays.sort_by(f64::total_cmp);
        if let Some(median) = delays.get(delays.len() / 2) {
            let worst = delays[delays.len() - 1];
            found.push(format!("{row} {}/{} after {median:.1} h ({worst:.1})", delays.len(), scores.len()));
        }
    }
    if found.is_empty() { "-".into() } else { found.join(", ") }
}

fn begin(shock: &TrialShock) -> Millis {
    shock.day * DAY_MS + (shock.hour * HOUR_MS as f64) as Millis
}

fn row_of(opening: &Opening) -> &str {
    &opening.kind
}

fn print_openings(score: &Score) {
    for opening in score.openings.iter().filter(|opening| ROWS.contains(&row_of(opening))) {
        let minutes = opening.after_ms / 60_000;
        let (day, hour, minute) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
        println!("  {} day {day} {hour:02}:{minute:02} {}: {}", score.seed, opening.kind, opening.text);
    }
}
