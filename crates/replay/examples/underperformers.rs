//! How soon bad money is told, and how often good money is accused: over many seeds, as lines for a table.
//!
//! `cargo run --release -p replay --example underperformers -- [SEEDS]`: the trial "bad money" as it is, and without
//! its turn.

use market::Trial;
use model::time::DAY_MS;
use replay::trial::run;
use std::path::Path;

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(20);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../market/trials/bad-money.toml");
    let text = std::fs::read_to_string(file).expect("the trial is there");
    let bad: Trial = toml::from_str(&text).expect("the trial can be read");
    let good = Trial { shocks: Vec::new(), ..bad.clone() };
    println!("| campaign | told in | median day |\n| --- | --- | --- |");
    for (name, trial) in [("turns bad on day 4", &bad), ("keeps its promise", &good)] {
        let mut days: Vec<i64> = (0..seeds).filter_map(|seed| told(trial, seed)).collect();
        days.sort_unstable();
        let median = days.get(days.len() / 2).map_or("-".to_owned(), i64::to_string);
        println!("| {name} | {} of {seeds} | {median} |", days.len());
    }
}

/// The day on which it was told first.
fn told(trial: &Trial, seed: u64) -> Option<i64> {
    let score = run(trial, seed, None);
    score.openings.iter().find(|told| told.kind == "underperformer").map(|told| told.after_ms / DAY_MS)
}
