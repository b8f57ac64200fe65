//! All measures of the closed loop in one table: `cargo run --release -p replay --example scores -- [SEEDS] [FIRST] [EVENTS]`.
//! What it prints stands in `benches/scores/README.md`. Trials of more than so many events a run are left out.

use market::Trial;
use replay::scoreboard::Board;
use std::path::Path;

fn main() {
    let words: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (seeds, first) = (words.first().copied().unwrap_or(20), words.get(1).copied().unwrap_or(1));
    let events_max = words.get(2).map_or(f64::INFINITY, |events| *events as f64);
    let table = Board::new(first..first + seeds, events_max).table(read, |line| eprintln!("{line}"));
    print!("{table}");
}

fn read(name: &str) -> Trial {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../market/trials").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
