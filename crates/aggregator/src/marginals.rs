//! Touches counted by the values of their dimensions, up to a minute long: what the hot path adds to.
//!
//! Each campaign is told once a minute, at a second of its own ([`Due`]): all at once, the rows of ten thousand campaigns
//! made a cut that commands of that second waited two seconds for.
//!
//! A campaign has a run of cells in one arena, found by its code: a cell a value, for the quarter of an hour that the
//! campaign is in; what belongs to other quarters goes to a map. Every touch adds to five cells of one run: touches are
//! logged first and settled campaign by campaign, since a run is a dozen lines of the cache.
//!
//! What always holds: what is held is a function of the touches alone, not of their order, but for the cap of an epoch;
//! a clone is a handful of plain copies. Beyond [`EPOCH_CELLS_MAX`] new cells within an epoch a touch counts under
//! [`OTHER`] of its campaign, so sums stay whole. At the end, values of a campaign and dimension beyond
//! [`VALUES_MAX`] (those with the fewest clicks, then impressions) are put together under [`OTHER`]; how many touches
//! fell into it is counted.
//!
//! Memory: 28 B a cell at a load of one half to three quarters. A busy partition of 10,000 campaigns with 21 values each
//! holds 9 MB, and the caps allow 200 MB: an epoch that ends with [`CELLS_MAX`] tells all, and room beyond [`ARENA_MIN`] is
//! given back. A campaign that was told keeps its run, empty, since it is mostly needed again.

use crate::bytes::{Corrupt, Reader, Writer};
use crate::names::{Named, Names};
use crate::sums::{EpochSums, TouchCodes};
use crate::tally::Counts;
use crate::values::{Codes, Texts, Values};
use hashbrown::HashMap;
use model::journal::NO_TOUCH;
use model::marginal::{DIMENSIONS, GRAIN_MINUTES, OTHER};
use model::partition::murmur2;
use model::time::{MINUTE_MS, Millis};

/// Counts that were not told yet.
#[derive(Clone)]
pub(crate) struct Marginals {
    pub values: Values,
    runs: Vec<Run>,
    cells: Vec<Cell>,
    /// Codes whose run holds something.
    touched: Vec<u32>,
    /// By code, start of the quarter, value.
    others: HashMap<(u32, i64, u32), Cell>,
    /// Cells in use, in runs and beside them.
    used: usize,
    /// Cells that this epoch may still begin.
    room: usize,
    /// Touches on their way into the cells; empty between epochs.
    log: Vec<Logged>,
    /// With so many values, those that no row is of are forgotten.
    values_max: usize,
    /// With room for so many cells, what is not needed of it is given back.
    arena_max: usize,
}

/// Whose second of the minute has come: bit by bit, for as many shares as a minute has seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due(u64);

impl Due {
    /// All campaigns.
    pub const ALL: Due = Due(!0);

    /// The shares of the seconds after `told` up to and with `second`.
    pub fn between(told: i64, second: i64) -> Due {
        match second.saturating_sub(told) {
            ..=0 => Due(0),
            1..SHARES => Due((told + 1..=second).fold(0, |bits, at| bits | 1 << at.rem_euclid(SHARES))),
            SHARES.. => Due::ALL,
        }
    }

    /// None at all.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The share that begins a minute is due.
    pub fn begins_minute(self) -> bool {
        self.0 & 1 != 0
    }

    fn is(self, campaign: &str) -> bool {
        self.0 >> (i64::from(murmur2(campaign.as_bytes())) % SHARES) & 1 != 0
    }
}

/// A touch on its way.
#[derive(Clone, Copy)]
struct Logged {
    quarter: i64,
    spend_micros: i64,
    code: u32,
    values: Codes,
    is_click: bool,
}

/// Where a campaign's cells are: a power of two of them, open-addressed by value.
#[derive(Clone, Copy)]
struct Run {
    quarter: i64,
    start: u32,
    bits: u8,
    used: u32,
}

/// What one value adds up to; 32 bits hold what a minute can count.
#[derive(Clone, Copy, Default)]
struct Cell {
    value: u32,
    impressions: u32,
    clicks: u32,
    billable: u32,
    spend_micros: i64,
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

impl Marginals {
    pub fn new(seed: u64) -> Self {
        Self {
            values: Values::new(seed),
            runs: Vec::new(),
            cells: Vec::new(),
            touched: Vec::new(),
            others: HashMap::new(),
            used: 0,
            room: EPOCH_CELLS_MAX,
            log: Vec::new(),
            values_max: VALUES_MIN,
            arena_max: ARENA_MIN,
        }
    }

    /// An epoch begins.
    pub fn open(&mut self) {
        self.room = EPOCH_CELLS_MAX;
    }

    /// More is held than a minute is worth waiting for. Asked of what is held, never of the room for it: a state that was
    /// restored has less room, and must tell at the same cut.
    pub fn is_crowded(&self) -> bool {
        self.used >= CELLS_MAX
    }

    /// Forgets values that no row is of (what only copies of events told, which a restored state does not know either), and
    /// the room of runs that grew or are empty.
    pub fn compact(&mut self, names: &Names) {
        if self.values.len() < self.values_max && self.cells.len() < self.arena_max {
            return;
        }
        let mut rows = Writer::default();
        self.write(names, &mut rows);
        let mut compact = Self { values: self.values.emptied(), ..Self::new(0) };
        // Just written, so it reads back.
        if compact.read(names, &mut Reader::new(&rows.0)).is_ok() {
            *self = compact;
        }
        self.values_max = (self.values.len() * 2).max(VALUES_MIN);
        self.arena_max = (self.cells.len() * 2).max(ARENA_MIN);
    }

    /// Takes a touch with what it cost.
    pub fn log(&mut self, code: u32, at: Millis, values: &Codes, is_click: bool, spend_micros: i64) {
        self.log.push(Logged { quarter: at.div_euclid(GRAIN_MS), spend_micros, code, values: *values, is_click });
        if self.log.len() >= LOG_MAX {
            self.settle();
        }
    }

    /// Adds what was logged to the cells, campaign by campaign, so that a run is brought into the cache once for all of
    /// its touches; those of one campaign stay in their order.
    pub fn settle(&mut self) {
        let mut log = std::mem::take(&mut self.log);
        let codes = log.iter().map(|touch| touch.code as usize + 1).max().unwrap_or(0);
        let mut starts = vec![0_u32; codes + 1];
        log.iter().for_each(|touch| starts[touch.code as usize + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut order = vec![0_u32; log.len()];
        for (at, touch) in (0..).zip(&log) {
            let start = &mut starts[touch.code as usize];
            order[*start as usize] = at;
            *start += 1;
        }
        for (place, at) in order.iter().enumerate() {
            // Read early, so that the waits for memory overlap.
            let ahead = order.get(place + LOG_AHEAD).and_then(|ahead| log.get(*ahead as usize));
            std::hint::black_box(ahead.map(|touch| touch.code));
            let touch = &log[*at as usize];
            let counts =
                if touch.is_click { Counts::click(touch.spend_micros) } else { Counts::impression(touch.spend_micros) };
            self.add(touch.code, touch.quarter, &touch.values, counts);
        }
        log.clear();
        self.log = log;
    }

    /// Adds a touch to the cells of its values.
    fn add(&mut self, code: u32, quarter: i64, codes: &Codes, counts: Counts) {
        let index = code as usize;
        if index >= self.runs.len() {
            self.runs.resize((index + 1).next_power_of_two().max(RUNS_MIN), Run::EMPTY);
        }
        if self.runs[index].quarter < quarter {
            self.move_on(code, quarter);
        }
        let is_now = self.runs[index].quarter == quarter;
        for value in codes {
            if is_now {
                self.add_to_run(index, *value, counts);
            } else {
                self.add_beside((code, quarter, *value), counts);
            }
        }
    }

    /// All codes that something is held of.
    pub fn codes(&self) -> impl Iterator<Item = u32> {
        self.touched.iter().copied().chain(self.others.keys().map(|(code, _, _)| *code))
    }

    /// Moves what is due into the worker's sums; gives how many touches (by dimension) were put together under [`OTHER`].
    pub fn drain(&mut self, due: Due, names: &mut Names, sums: &mut EpochSums) -> i64 {
        // A campaign without a name has nobody to be told to.
        let is_due = |code: u32, names: &Names| names.get(code).is_none_or(|named| due.is(named.campaign));
        let (mut told, kept) =
            std::mem::take(&mut self.touched).into_iter().partition::<Vec<u32>, _>(|code| is_due(*code, names));
        self.touched = kept;
        told.sort_unstable();
        let mut into = Into { values: Vec::new(), dimensions: DIMENSIONS.map(|name| sums.code(name)), merged: 0 };
        into.values.resize(self.values.len() + 1, u32::MAX);
        let mut cells = Vec::new();
        for code in told {
            let run = self.runs[code as usize];
            cells.clear();
            for cell in self.cells[run.range()].iter_mut().filter(|cell| cell.value != 0) {
                cells.push(std::mem::take(cell));
            }
            self.used -= cells.len();
            self.runs[code as usize] = Run { quarter: NO_QUARTER, used: 0, ..run };
            into.put(&self.values, names, sums, (code, run.quarter), &mut cells);
        }
        let mut others: Vec<((u32, i64, u32), Cell)> =
            self.others.extract_if(|(code, ..), _| is_due(*code, names)).collect();
        self.used -= others.len();
        others.sort_unstable_by_key(|(key, _)| *key);
        for group in others.chunk_by(|one, other| (one.0.0, one.0.1) == (other.0.0, other.0.1)) {
            let Some(((code, quarter, _), _)) = group.first().copied() else { continue };
            cells.clear();
            cells.extend(group.iter().map(|((_, _, value), cell)| Cell { value: *value, ..*cell }));
            into.put(&self.values, names, sums, (code, quarter), &mut cells);
        }
        if self.touched.is_empty() && self.others.is_empty() {
            self.forget();
        }
        self.room = EPOCH_CELLS_MAX;
        into.merged
    }

    /// Nothing is held: the room that grew beyond what a minute takes is given back, and values are learned anew.
    fn forget(&mut self) {
        if self.cells.len() >= CELLS_MAX {
            self.cells = Vec::new();
            self.runs = Vec::new();
        }
        self.values.clear();
    }

    /// Bytes of a snapshot: the same for the same content.
    pub fn write(&self, names: &Names, out: &mut Writer) {
        let mut rows = Vec::with_capacity(self.used);
        for code in &self.touched {
            let run = self.runs[*code as usize];
            let cells = self.cells[run.range()].iter().filter(|cell| cell.value != 0);
            rows.extend(cells.filter_map(|cell| Some((*code, run.quarter, self.values.get(cell.value)?, *cell))));
        }
        let others = self.others.iter();
        rows.extend(
            others
                .filter_map(|((code, quarter, value), cell)| Some((*code, *quarter, self.values.get(*value)?, *cell))),
        );
        rows.retain(|(code, ..)| names.contains(*code));
        rows.sort_unstable_by_key(|(code, quarter, value, _)| (*code, *quarter, *value));
        out.count(rows.len());
        for (code, quarter, (dimension, text), cell) in rows {
            out.u32(code);
            out.i64(quarter);
            out.u16(dimension as u16);
            out.text(text);
            out.u32(cell.impressions);
            out.u32(cell.clicks);
            out.u32(cell.billable);
            out.i64(cell.spend_micros);
        }
    }

    pub fn read(&mut self, names: &Names, input: &mut Reader<'_>) -> Result<(), Corrupt> {
        for _ in 0..input.count(ROW_BYTES_MIN)? {
            let (code, quarter, dimension) = (input.u32()?, input.i64()?, usize::from(input.u16()?));
            if !names.contains(code) || dimension >= DIMENSIONS.len() {
                return Err(Corrupt("a count by dimension points nowhere"));
            }
            let value = self.values.code(dimension, input.text()?);
            let counts = Counts {
                impressions: i64::from(input.u32()?),
                clicks: i64::from(input.u32()?),
                billable: i64::from(input.u32()?),
                spend_micros: input.i64()?,
            };
            self.room = EPOCH_CELLS_MAX;
            self.add_one(code, quarter, value, counts);
        }
        Ok(())
    }

    fn add_one(&mut self, code: u32, quarter: i64, value: u32, counts: Counts) {
        let none: &Codes = &Default::default();
        // Makes the run and moves it on, and adds to no cell: 0 is no value.
        self.add(code, quarter, none, Counts::default());
        if self.runs[code as usize].quarter == quarter {
            self.add_to_run(code as usize, value, counts);
        } else {
            self.add_beside((code, quarter, value), counts);
        }
    }

    #[inline]
    fn add_to_run(&mut self, index: usize, value: u32, counts: Counts) {
        if value == 0 {
            return;
        }
        let run = self.runs[index];
        let (start, mask) = (run.start as usize, (1_usize << run.bits) - 1);
        let mut at = place(value, run.bits);
        loop {
            let cell = &mut self.cells[start + at];
            if cell.value == value {
                return cell.add(counts);
            }
            if cell.value == 0 {
                return self.begin(index, value, counts);
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn begin(&mut self, index: usize, value: u32, counts: Counts) {
        let Some(value) = self.with_room(value) else { return };
        if self.runs[index].used as usize * 4 >= (3_usize << self.runs[index].bits) {
            self.grow(index);
        }
        let run = self.runs[index];
        let (start, mask) = (run.start as usize, (1_usize << run.bits) - 1);
        let mut at = place(value, run.bits);
        while self.cells[start + at].value != 0 && self.cells[start + at].value != value {
            at = (at + 1) & mask;
        }
        let cell = &mut self.cells[start + at];
        if cell.value == 0 {
            cell.value = value;
            self.runs[index].used += 1;
            self.used += 1;
        }
        self.cells[start + at].add(counts);
    }

    fn add_beside(&mut self, key: (u32, i64, u32), counts: Counts) {
        if key.2 == 0 {
            return;
        }
        if let Some(cell) = self.others.get_mut(&key) {
            return cell.add(counts);
        }
        let Some(value) = self.with_room(key.2) else { return };
        let before = self.others.len();
        self.others.entry((key.0, key.1, value)).or_default().add(counts);
        self.used += self.others.len() - before;
    }

    /// The value, or [`OTHER`] of its dimension where this epoch has begun too many cells.
    fn with_room(&mut self, value: u32) -> Option<u32> {
        if self.room > 0 {
            self.room -= 1;
            return Some(value);
        }
        let (dimension, _) = self.values.get(value)?;
        Some(self.values.code(dimension, OTHER))
    }

    /// A larger run at the arena's end; the old one is left until all is drained.
    fn grow(&mut self, index: usize) {
        let old = self.runs[index];
        let bits = old.bits + 1;
        let start = self.cells.len();
        self.cells.resize(start + (1 << bits), Cell::default());
        let mask = (1_usize << bits) - 1;
        for at in old.range() {
            let cell = self.cells[at];
            if cell.value != 0 {
                let mut at = place(cell.value, bits);
                while self.cells[start + at].value != 0 {
                    at = (at + 1) & mask;
                }
                self.cells[start + at] = cell;
            }
        }
        self.runs[index] = Run { start: start as u32, bits, ..old };
    }

    /// The campaign is in a newer quarter: what it holds goes aside.
    #[cold]
    fn move_on(&mut self, code: u32, quarter: i64) {
        let run = self.runs[code as usize];
        if run.quarter == NO_QUARTER {
            self.runs[code as usize] = if run.bits > 0 { Run { quarter, ..run } } else { self.new_run(quarter) };
            return self.touched.push(code);
        }
        for at in run.range() {
            let cell = std::mem::take(&mut self.cells[at]);
            if cell.value != 0 {
                self.used -= 1;
                let before = self.others.len();
                self.others.entry((code, run.quarter, cell.value)).or_default().add(cell.counts());
                self.used += self.others.len() - before;
            }
        }
        self.runs[code as usize] = Run { quarter, used: 0, ..run };
    }

    fn new_run(&mut self, quarter: i64) -> Run {
        let start = self.cells.len();
        self.cells.resize(start + (1 << BITS_MIN), Cell::default());
        Run { quarter, start: start as u32, bits: BITS_MIN, used: 0 }
    }
}

impl Run {
    const EMPTY: Run = Run { quarter: NO_QUARTER, start: 0, bits: 0, used: 0 };

    fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        if self.quarter == NO_QUARTER { 0..0 } else { start..start + (1 << self.bits) }
    }
}

/// Where cells go, and what is known there.
struct Into {
    /// By number of the value: its code in the sums.
    values: Vec<u32>,
    dimensions: [u32; DIMENSIONS.len()],
    merged: i64,
}

impl Into {
    fn put(&mut self, values: &Values, names: &mut Names, sums: &mut EpochSums, of: (u32, i64), cells: &mut [Cell]) {
        let (code, quarter) = of;
        let Some((named, known)) = names.with_codes(code) else { return };
        let mut counts = [0_usize; DIMENSIONS.len()];
        let dimension = |cell: &Cell| values.get(cell.value).map_or(0, |(dimension, _)| dimension);
        if cells.len() > VALUES_MAX {
            cells.iter().for_each(|cell| counts[dimension(cell)] += 1);
            cells.sort_unstable_by(|one, other| {
                let weight = |cell: &Cell| (cell.clicks, cell.impressions, cell.spend_micros);
                weight(other).cmp(&weight(one)).then_with(|| values.get(one.value).cmp(&values.get(other.value)))
            });
        }
        let mut rank = [0_usize; DIMENSIONS.len()];
        for cell in cells.iter() {
            let Some((dimension, text)) = values.get(cell.value) else { continue };
            rank[dimension] += 1;
            let is_merged = counts[dimension] > VALUES_MAX && rank[dimension] > VALUES_MAX;
            let value = if is_merged {
                self.merged = self.merged.saturating_add(i64::from(cell.impressions) + i64::from(cell.clicks));
                sums.code(OTHER)
            } else {
                let slot = &mut self.values[cell.value as usize];
                if *slot == u32::MAX {
                    *slot = sums.code(text);
                }
                *slot
            };
            add(sums, named, known, (self.dimensions[dimension], value), quarter, cell.counts());
        }
    }
}

fn add(sums: &mut EpochSums, named: Named<'_>, known: &mut TouchCodes, of: (u32, u32), quarter: i64, counts: Counts) {
    let minute = quarter.saturating_mul(GRAIN_MINUTES);
    let row = sums.touch_row(named, minute, known);
    debug_assert_eq!(row.touch_minute, NO_TOUCH);
    sums.minute.add_marginal((row, of.0, of.1), &counts.measures());
}

/// Fibonacci hashing: neighbours are spread.
fn place(value: u32, bits: u8) -> usize {
    (value.wrapping_mul(0x9e37_79b1) >> (32 - u32::from(bits))) as usize
}

/// Values of one campaign and dimension that one partition tells apart in a minute; a quarter of an hour of a busy
/// campaign has more placements, and none of them enough to be judged by.
pub(crate) const VALUES_MAX: usize = 64;
/// With so many cells no minute is waited for.
const CELLS_MAX: usize = 1 << 20;
/// Room is given back beyond so many cells, or beyond twice what was needed the last time: runs that grew leave their old
/// room behind, and campaigns that were told keep theirs.
const ARENA_MIN: usize = 2 * CELLS_MAX;
/// Campaigns are told in as many shares, one a second.
const SHARES: i64 = 60;
/// Values are learned anew beyond this many, or beyond twice as many as there were rows of.
const VALUES_MIN: usize = 1 << 16;
/// New cells that one epoch may begin.
const EPOCH_CELLS_MAX: usize = 1 << 20;
/// Touches that are put into the cells together, at 48 B.
const LOG_MAX: usize = 1 << 17;
/// This many touches ahead the log is read.
const LOG_AHEAD: usize = 12;
const GRAIN_MS: Millis = GRAIN_MINUTES * MINUTE_MS;
/// Earlier than the quarter of any instant.
const NO_QUARTER: i64 = i64::MIN;
/// Sixteen cells: two devices, three places and a few of the others, in six lines of the cache.
const BITS_MIN: u8 = 4;
const RUNS_MIN: usize = 256;
/// Code, quarter, dimension, length of the text, three counts, money.
const ROW_BYTES_MIN: usize = 38;

/// The values of a click as one text, as the waiting click and the table of names hold it.
pub(crate) fn packed(values: &Texts<'_>) -> String {
    values.join(SEPARATOR)
}

/// The values of [`packed`].
pub(crate) fn unpacked(text: &str) -> Texts<'_> {
    let mut values = text.splitn(DIMENSIONS.len(), SEPARATOR);
    std::array::from_fn(|_| values.next().unwrap_or(""))
}

/// A character that no value of use has; one that has it only moves what follows to the next dimension.
const SEPARATOR: &str = "\u{1f}";
