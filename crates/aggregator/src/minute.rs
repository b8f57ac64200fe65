//! Rows that go into the journal once a minute: marginals, credits of all models, statistics of paths.
//!
//! What always holds: sums are integers and commute; what leaves is sorted by name. A set keeps its own until the clock
//! of its cuts enters a new minute, and counts by dimension until it enters the campaign's own second of one ([`Minute`]);
//! so they are state: in snapshots, and the same when a cut is emitted again.
//!
//! What is missing on purpose: paths that led to no conversion. A user's touches just expire, and nobody is told.

use crate::bytes::{Corrupt, Reader, Writer};
use crate::marginals::{Due, Marginals};
use crate::names::Names;
use crate::sums::{EpochSums, Measures, PartitionSums, Row};
use hashbrown::HashMap;
use model::marginal::{Credit, Marginal, PathCount};
use model::time::{Millis, SECOND_MS};

/// A row with the codes of its dimension and value.
type MarginalKey = (Row, u32, u32);
/// A row with the code of its model.
type CreditKey = (Row, u32);
/// Account, conversion type, from, to, length.
type PathKey = (u32, u32, u32, u32, i64);

/// Rows in codes of the sums that they are part of.
#[derive(Debug, Default)]
pub(crate) struct MinuteRows {
    marginals: HashMap<MarginalKey, Measures>,
    credits: HashMap<CreditKey, [i64; 2]>,
    paths: HashMap<PathKey, i64>,
}

/// What waits for the minute's end in one set.
pub(crate) struct Minute {
    pub marginals: Marginals,
    /// Conversions by dimension, credits, paths: few, so they are rows already.
    pub rows: EpochSums,
    /// The second of the clock up to which all was told; the least before the first epoch.
    pub told: i64,
}

impl MinuteRows {
    pub fn is_empty(&self) -> bool {
        self.marginals.is_empty() && self.credits.is_empty() && self.paths.is_empty()
    }

    pub fn add_marginal(&mut self, key: MarginalKey, measures: &Measures) {
        self.marginals.entry(key).or_default().add(measures);
    }

    pub fn add_credit(&mut self, key: CreditKey, credits: [i64; 2]) {
        let sums = self.credits.entry(key).or_default();
        *sums = [sums[0].saturating_add(credits[0]), sums[1].saturating_add(credits[1])];
    }

    pub fn add_path(&mut self, key: PathKey, paths: i64) {
        let sum = self.paths.entry(key).or_default();
        *sum = sum.saturating_add(paths);
    }

    /// All codes that the rows use.
    pub fn codes(&self) -> impl Iterator<Item = u32> {
        let row = |row: &Row| [row.account, row.campaign, row.currency, row.conversion_type];
        let marginals = self
            .marginals
            .keys()
            .flat_map(move |(key, dimension, value)| row(key).into_iter().chain([*dimension, *value]));
        let credits = self.credits.keys().flat_map(move |(key, model)| row(key).into_iter().chain([*model]));
        let paths = self.paths.keys().flat_map(|(account, kind, from, to, _)| [*account, *kind, *from, *to]);
        marginals.chain(credits).chain(paths)
    }

    /// A copy whose codes `code` has translated.
    pub fn translated(&self, code: impl Fn(u32) -> u32) -> MinuteRows {
        let mut copy =
            MinuteRows { marginals: self.marginals.clone(), credits: self.credits.clone(), paths: self.paths.clone() };
        let mut translated = MinuteRows::default();
        translated.absorb(&mut copy, code);
        translated
    }

    /// Adds all of `other`, whose codes `code` translates, and empties it.
    pub fn absorb(&mut self, other: &mut MinuteRows, code: impl Fn(u32) -> u32) {
        let translated = |row: Row| Row {
            account: code(row.account),
            campaign: code(row.campaign),
            currency: code(row.currency),
            conversion_type: code(row.conversion_type),
            ..row
        };
        for ((row, dimension, value), measures) in other.marginals.drain() {
            self.add_marginal((translated(row), code(dimension), code(value)), &measures);
        }
        for ((row, model), credits) in other.credits.drain() {
            self.add_credit((translated(row), code(model)), credits);
        }
        for ((account, kind, from, to, length), paths) in other.paths.drain() {
            self.add_path((code(account), code(kind), code(from), code(to), length), paths);
        }
    }

    /// The rows by journal partition, and nothing is left. `partition` knows where an account belongs.
    pub fn split(&mut self, parts: i32, mut partition: impl FnMut(u32) -> i32) -> Vec<MinuteRows> {
        let mut split: Vec<MinuteRows> = (0..parts).map(|_| MinuteRows::default()).collect();
        for (key, measures) in self.marginals.drain() {
            split[partition(key.0.account) as usize].marginals.insert(key, measures);
        }
        for (key, credits) in self.credits.drain() {
            split[partition(key.0.account) as usize].credits.insert(key, credits);
        }
        for (key, paths) in self.paths.drain() {
            split[partition(key.0) as usize].paths.insert(key, paths);
        }
        split
    }

    /// As the journal has them, by the codes of its dictionary.
    pub fn put_into(self, sums: &mut PartitionSums, code: impl Fn(u32) -> i32) {
        let marginal = |((row, dimension, value), measures): (MarginalKey, Measures)| Marginal {
            account: code(row.account),
            campaign: code(row.campaign),
            currency: code(row.currency),
            conversion_type: code(row.conversion_type),
            dimension: code(dimension),
            value: code(value),
            minute: row.minute,
            touch_minute: row.touch_minute,
            impressions: measures.impressions,
            clicks: measures.clicks,
            billable: measures.billable,
            spend_micros: measures.spend_micros,
            conversions: measures.conversions,
            value_micros: measures.value_micros,
            last_conversions_micro: measures.last_conversions_micro,
            last_value_micros: measures.last_value_micros,
        };
        sums.marginals = self.marginals.into_iter().map(marginal).collect();
        sums.marginals.sort_unstable_by_key(|row| {
            let names = (row.account, row.campaign, row.currency, row.conversion_type);
            (names, row.dimension, row.value, row.minute, row.touch_minute)
        });
        let credit = |((row, model), [conversions_micro, value_micros]): (CreditKey, [i64; 2])| Credit {
            account: code(row.account),
            campaign: code(row.campaign),
            currency: code(row.currency),
            conversion_type: code(row.conversion_type),
            model: code(model),
            minute: row.minute,
            conversions_micro,
            value_micros,
        };
        sums.credits = self.credits.into_iter().map(credit).collect();
        sums.credits.sort_unstable_by_key(|row| {
            (row.account, row.campaign, row.currency, row.conversion_type, row.model, row.minute)
        });
        let path = |((account, kind, from, to, length), paths): (PathKey, i64)| PathCount {
            account: code(account),
            conversion_type: code(kind),
            from: code(from),
            to: code(to),
            length,
            paths,
        };
        sums.paths = self.paths.into_iter().map(path).collect();
        sums.paths.sort_unstable_by_key(|row| (row.account, row.conversion_type, row.from, row.to, row.length));
    }
}

impl Minute {
    pub fn new(seed: u64) -> Self {
        Self { marginals: Marginals::new(seed), rows: EpochSums::new(), told: i64::MIN }
    }

    /// An epoch begins.
    pub fn open(&mut self, clock: Millis) {
        self.marginals.open();
        if self.told == i64::MIN {
            self.told = clock.div_euclid(SECOND_MS);
        }
    }

    /// The epoch of this clock ends: what is due goes to the worker's sums. Gives how many touches were put together.
    pub fn close(&mut self, clock: Millis, names: &mut Names, sums: &mut EpochSums) -> i64 {
        let second = clock.div_euclid(SECOND_MS);
        let due = if self.marginals.is_crowded() { Due::ALL } else { Due::between(self.told, second) };
        self.told = self.told.max(second);
        if due.begins_minute() {
            sums.absorb(&mut self.rows);
        }
        let merged = if due.is_none() { 0 } else { self.marginals.drain(due, names, sums) };
        self.marginals.compact(names);
        merged
    }

    /// What a snapshot needs, for another thread to encode.
    pub fn frozen(&self) -> Frozen {
        Frozen {
            marginals: self.marginals.clone(),
            rows: self.rows.copy().drain(1).pop().unwrap_or_default(),
            told: self.told,
        }
    }

    pub fn decode(seed: u64, names: &Names, bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut input = Reader::new(bytes);
        let mut minute = Self { told: input.i64()?, ..Self::new(seed) };
        minute.marginals.read(names, &mut input)?;
        let rows = &mut minute.rows;
        let mut codes = Vec::new();
        for _ in 0..input.count(4)? {
            codes.push(rows.code(input.text()?));
        }
        let code = |at: i64| -> Result<u32, Corrupt> {
            let at = usize::try_from(at).ok().and_then(|at| codes.get(at));
            at.copied().ok_or(Corrupt("a row of the minute points to no name"))
        };
        for _ in 0..input.count(14 * 8)? {
            let n = numbers::<16>(&mut input)?;
            let measures = Measures {
                impressions: n[8],
                clicks: n[9],
                billable: n[10],
                spend_micros: n[11],
                conversions: n[12],
                value_micros: n[13],
                last_conversions_micro: n[14],
                last_value_micros: n[15],
                ..Measures::default()
            };
            let row =
                Row { minute: n[6], touch_minute: n[7], ..row([code(n[0])?, code(n[1])?, code(n[2])?, code(n[3])?]) };
            rows.minute.add_marginal((row, code(n[4])?, code(n[5])?), &measures);
        }
        for _ in 0..input.count(8 * 8)? {
            let n = numbers::<8>(&mut input)?;
            let row = Row { minute: n[5], ..row([code(n[0])?, code(n[1])?, code(n[2])?, code(n[3])?]) };
            rows.minute.add_credit((row, code(n[4])?), [n[6], n[7]]);
        }
        for _ in 0..input.count(6 * 8)? {
            let n = numbers::<6>(&mut input)?;
            rows.minute.add_path((code(n[0])?, code(n[1])?, code(n[2])?, code(n[3])?, n[4]), n[5]);
        }
        input.end()?;
        Ok(minute)
    }
}

/// What waited when a snapshot was taken.
pub(crate) struct Frozen {
    marginals: Marginals,
    rows: PartitionSums,
    told: i64,
}

impl Frozen {
    pub fn encode(&self, names: &Names) -> Vec<u8> {
        let mut out = Writer::default();
        out.i64(self.told);
        self.marginals.write(names, &mut out);
        out.count(self.rows.dictionary.len());
        self.rows.dictionary.iter().for_each(|text| out.text(text));
        out.count(self.rows.marginals.len());
        for row in &self.rows.marginals {
            let codes = [row.account, row.campaign, row.currency, row.conversion_type, row.dimension, row.value];
            codes.into_iter().for_each(|code| out.i64(i64::from(code)));
            let measures = [row.impressions, row.clicks, row.billable, row.spend_micros];
            let brought = [row.conversions, row.value_micros, row.last_conversions_micro, row.last_value_micros];
            [row.minute, row.touch_minute]
                .into_iter()
                .chain(measures)
                .chain(brought)
                .for_each(|number| out.i64(number));
        }
        out.count(self.rows.credits.len());
        for row in &self.rows.credits {
            let codes = [row.account, row.campaign, row.currency, row.conversion_type, row.model];
            codes.into_iter().for_each(|code| out.i64(i64::from(code)));
            [row.minute, row.conversions_micro, row.value_micros].into_iter().for_each(|number| out.i64(number));
        }
        out.count(self.rows.paths.len());
        for row in &self.rows.paths {
            [row.account, row.conversion_type, row.from, row.to].into_iter().for_each(|code| out.i64(i64::from(code)));
            [row.length, row.paths].into_iter().for_each(|number| out.i64(number));
        }
        out.0
    }
}

fn numbers<const N: usize>(input: &mut Reader<'_>) -> Result<[i64; N], Corrupt> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = input.i64()?;
    }
    Ok(numbers)
}

fn row([account, campaign, currency, conversion_type]: [u32; 4]) -> Row {
    Row { account, campaign, currency, conversion_type, minute: 0, touch_minute: model::journal::NO_TOUCH }
}
