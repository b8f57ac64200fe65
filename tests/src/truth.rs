//! What `paceline generate --truth` wrote: sums per campaign and minute of what it sent.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::Path;

/// Sums of one campaign and minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Named as in the contract.
pub struct Cell {
    pub impressions: i64,
    pub clicks: i64,
    pub spend_micros: i64,
    pub conversions: i64,
    pub value_micros: i64,
}

/// Sums by campaign and start of the window, in epoch milliseconds.
pub type Cells = BTreeMap<(String, i64), Cell>;

impl AddAssign for Cell {
    fn add_assign(&mut self, other: Cell) {
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.spend_micros += other.spend_micros;
        self.conversions += other.conversions;
        self.value_micros += other.value_micros;
    }
}

/// Reads the rows of a share: `all`, or `late` (which is part of it).
///
/// # Panics
/// Where the file is not of the form that `generate` writes.
pub fn read(path: &Path, share: &str) -> Cells {
    let mut reader = csv::Reader::from_path(path).expect("the truth was written");
    let mut cells = Cells::new();
    for row in reader.records() {
        let row = row.expect("a row of the truth");
        let number = |at: usize| row[at].parse::<i64>().expect("a number in the truth");
        if &row[0] == share {
            let cell = Cell {
                impressions: number(3),
                clicks: number(4),
                spend_micros: number(5),
                conversions: number(6),
                value_micros: number(7),
            };
            *cells.entry((row[1].to_owned(), number(2) * MINUTE_MS)).or_default() += cell;
        }
    }
    cells
}

/// Sums of several maps.
pub fn add(into: &mut Cells, other: &Cells) {
    for (key, cell) in other {
        *into.entry(key.clone()).or_default() += *cell;
    }
}

/// The same in wider windows.
pub fn coarsened(cells: &Cells, window_ms: i64) -> Cells {
    let mut coarse = Cells::new();
    for ((campaign, start), cell) in cells {
        *coarse.entry((campaign.clone(), start.div_euclid(window_ms) * window_ms)).or_default() += *cell;
    }
    coarse
}

/// The sum of all.
pub fn total(cells: &Cells) -> Cell {
    let mut total = Cell::default();
    cells.values().for_each(|cell| total += *cell);
    total
}

/// Whether two maps are equal, and if not, in how many windows they differ and how in the first few.
pub fn compare(found: &Cells, expected: &Cells) -> Result<(), String> {
    let keys: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let of = |cells: &Cells, key: &(String, i64)| cells.get(key).copied().unwrap_or_default();
    let differ: Vec<_> = keys.into_iter().filter(|key| of(found, key) != of(expected, key)).collect();
    if differ.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = differ
        .iter()
        .take(3)
        .map(|key| format!("{} at {}: found {:?}, expected {:?}", key.0, key.1, of(found, key), of(expected, key)))
        .collect();
    let (found, expected) = (total(found), total(expected));
    Err(format!(
        "{} windows differ; totals: found {found:?}, expected {expected:?}; {}",
        differ.len(),
        shown.join("; ")
    ))
}

/// A minute.
pub const MINUTE_MS: i64 = 60_000;
/// An hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told() {
        let cell = |impressions| Cell { impressions, ..Cell::default() };
        let one = Cells::from([(("a".into(), 0), cell(1)), (("a".into(), MINUTE_MS), cell(2))]);
        let other = Cells::from([(("a".into(), 0), cell(1)), (("b".into(), 0), Cell::default())]);
        assert!(compare(&one, &one).is_ok());
        assert!(compare(&one, &other).unwrap_err().starts_with("1 windows differ"));
        assert_eq!(coarsened(&one, HOUR_MS), Cells::from([(("a".into(), 0), cell(3))]));
    }
}
