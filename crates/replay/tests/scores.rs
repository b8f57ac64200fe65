//! The table of scores that every run of the tests makes again: `tests/scores.md`, one seed of each trial that is quick.
//!
//! What always holds: simulated markets are exact, so a table that differs means that something is decided otherwise. A change
//! that is meant writes the file again (`PACELINE_SCORES=write cargo test --release -p replay --test scores`), and its
//! difference belongs into the commit that made it; a figure that was reached and is not any more is a regression, whatever
//! the file says. Figures over many seeds stand in `benches/scores/README.md`: one seed only watches.

// The rim of the tests: files are read, and written where that is asked for.
#![allow(clippy::disallowed_methods)]

use market::Trial;
use replay::scoreboard::Board;
use std::fs;
use std::path::{Path, PathBuf};

/// What takes seconds.
const EVENTS_MAX: f64 = 25_000.0;
const SEEDS: std::ops::Range<u64> = 71..72;

#[test]
fn the_table_of_scores_is_what_this_build_scores_and_nothing_that_was_reached_is_lost() {
    let table = Board::new(SEEDS, EVENTS_MAX).table(read, |_| ());
    let file = at("../../tests/scores.md");
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let lost = lost(&kept, &table);
    assert!(lost.is_empty(), "reached by tests/scores.md, and not by this build:\n{}", lost.join("\n"));
    let told = format!("{HEADER}{table}");
    if std::env::var("PACELINE_SCORES").is_ok_and(|word| word == "write") {
        fs::write(&file, &told).unwrap();
        return;
    }
    let differs: Vec<&str> = told.lines().filter(|line| !kept.lines().any(|known| known == *line)).collect();
    assert!(
        told == kept,
        "this build scores otherwise than tests/scores.md says; where that is meant, write it again (see this test's \
         header). What is new:\n{}",
        differs.join("\n")
    );
}

const HEADER: &str = "\
# Scores that every run of the tests makes again

One seed of each quick trial, one default configuration; `crates/replay/tests/scores.rs` says how it is made and compared.
One seed watches for changes and proves nothing: figures over many seeds stand in `benches/scores/README.md`.

";

/// Rows that were reached and are not.
fn lost(kept: &str, told: &str) -> Vec<String> {
    let row = |line: &str| -> Option<(String, bool)> {
        let cells: Vec<&str> = line.split(" | ").collect();
        Some((cells.get(..4)?.join(" | "), *cells.get(5)? == "yes"))
    };
    let now: Vec<(String, bool)> = told.lines().filter_map(row).collect();
    let were = kept.lines().filter_map(|line| Some((row(line)?, line)));
    were.filter(|((name, reached), _)| *reached && now.iter().any(|(known, reached)| known == name && !reached))
        .map(|(_, line)| line.to_owned())
        .collect()
}

#[test]
fn a_row_that_is_reached_no_more_is_a_loss_and_one_that_never_was_is_none() {
    let table = |word: &str| format!("| overspend | S1 | 2 | at most 0.005 | 0.0040 | {word} | 0, 0, 0, 0 |\n");
    assert_eq!(lost(&table("yes"), &table("**no**")).len(), 1);
    assert!(lost(&table("**no**"), &table("**no**")).is_empty());
    assert!(lost(&table("yes"), &table("yes")).is_empty());
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(name: &str) -> Trial {
    let path = at("../market/trials").join(format!("{name}.toml"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
