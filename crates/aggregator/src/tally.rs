//! Touches counted inside one set and one epoch: what the hot path adds to.
//!
//! A cell a code holds the minute that the campaign is in; what belongs to other minutes goes to a map. Empty between
//! epochs.

use crate::names::Names;
use crate::sums::{EpochSums, Measures};
use hashbrown::HashMap;

/// Counts of one epoch by code and minute.
#[derive(Default)]
pub(crate) struct Tally {
    cells: Vec<Cell>,
    /// Codes whose cell holds something.
    touched: Vec<u32>,
    others: HashMap<(u32, i64), Counts>,
}

/// What touches add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub impressions: i64,
    pub clicks: i64,
    pub billable: i64,
    pub spend_micros: i64,
}

/// Half a cache line, so that none lies across two: 32 bits hold what one epoch can count.
#[derive(Clone, Copy)]
#[repr(align(32))]
struct Cell {
    minute: i64,
    spend_micros: i64,
    impressions: u32,
    clicks: u32,
    billable: u32,
}

impl Counts {
    pub fn impression(cost_micros: i64) -> Self {
        Self { impressions: 1, clicks: 0, billable: i64::from(cost_micros > 0), spend_micros: cost_micros }
    }

    pub fn click(cost_micros: i64) -> Self {
        Self { impressions: 0, clicks: 1, billable: i64::from(cost_micros > 0), spend_micros: cost_micros }
    }

    pub fn measures(self) -> Measures {
        let Self { impressions, clicks, billable, spend_micros } = self;
        Measures { impressions, clicks, billable, spend_micros, ..Measures::default() }
    }

    fn add(&mut self, other: Self) {
        // Counts of one epoch cannot reach the limit; money may, from hostile input.
        self.impressions += other.impressions;
        self.clicks += other.clicks;
        self.billable += other.billable;
        self.spend_micros = self.spend_micros.saturating_add(other.spend_micros);
    }
}

impl Cell {
    fn add(&mut self, counts: Counts) {
        self.impressions = self.impressions.saturating_add(counts.impressions as u32);
        self.clicks = self.clicks.saturating_add(counts.clicks as u32);
        self.billable = self.billable.saturating_add(counts.billable as u32);
        self.spend_micros = self.spend_micros.saturating_add(counts.spend_micros);
    }

    fn counts(self) -> Counts {
        Counts {
            impressions: i64::from(self.impressions),
            clicks: i64::from(self.clicks),
            billable: i64::from(self.billable),
            spend_micros: self.spend_micros,
        }
    }
}

impl Tally {
    pub fn add(&mut self, code: u32, minute: i64, counts: Counts) {
        let at = code as usize;
        if at >= self.cells.len() {
            // Codes come one after the other while a set is young.
            self.cells.resize((at + 1).next_power_of_two().max(CELLS_MIN), EMPTY);
        }
        let cell = &mut self.cells[at];
        if cell.minute == minute {
            cell.add(counts);
        } else if cell.minute < minute {
            // The campaign has moved on: the cell follows, so that in-order input meets the map once a minute.
            let before = std::mem::replace(cell, Cell { minute, ..EMPTY });
            cell.add(counts);
            if before.minute == NO_MINUTE {
                self.touched.push(code);
            } else {
                self.others.entry((code, before.minute)).or_default().add(before.counts());
            }
        } else {
            self.others.entry((code, minute)).or_default().add(counts);
        }
    }

    /// Reads where `code` is counted: brings its line into the cache.
    pub fn touch(&self, code: u32) -> i64 {
        self.cells.get(code as usize).map_or(0, |cell| cell.minute)
    }

    /// Rows beside the cells.
    pub fn others(&self) -> usize {
        self.others.len()
    }

    /// Moves all into the worker's sums.
    pub fn drain(&mut self, names: &mut Names, sums: &mut EpochSums) {
        // Neighbours in memory one after the other.
        self.touched.sort_unstable();
        for code in self.touched.drain(..) {
            let cell = std::mem::replace(&mut self.cells[code as usize], EMPTY);
            add(names, sums, code, cell.minute, cell.counts());
        }
        for ((code, minute), counts) in self.others.drain() {
            add(names, sums, code, minute, counts);
        }
    }
}

fn add(names: &mut Names, sums: &mut EpochSums, code: u32, minute: i64, counts: Counts) {
    if let Some((named, known)) = names.with_codes(code) {
        let row = sums.touch_row(named, minute, known);
        sums.add(row, &counts.measures());
    }
}

/// A set with fewer campaigns than this saves nothing by being smaller.
const CELLS_MIN: usize = 256;
/// Earlier than the minute of any instant.
const NO_MINUTE: i64 = i64::MIN;
const EMPTY: Cell = Cell { minute: NO_MINUTE, spend_micros: 0, impressions: 0, clicks: 0, billable: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_half_a_cache_line() {
        assert_eq!(size_of::<Cell>(), 32);
    }
}
