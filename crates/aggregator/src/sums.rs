//! What one worker's cut adds up to: the accumulator that all its sibling sets share.
//!
//! What always holds: sums are integers and commute, so neither the order of events nor that of sets matters; what
//! leaves is sorted by name, so the same sums give the same bytes.

use hashbrown::HashMap;
use model::journal::{Delta, NO_TOUCH};
use model::partition::partition_of;

/// Sums of one cut.
#[derive(Clone, Debug, Default)]
pub struct EpochSums {
    strings: Vec<Box<str>>,
    codes: HashMap<Box<str>, u32>,
    /// Account and currency of the last row of touches: mostly also those of the next.
    last: [u32; 2],
    /// The code of the empty string, once there is one.
    empty: Option<u32>,
    rows: HashMap<Row, Measures>,
}

/// Sums of one cut for one journal partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionSums {
    /// Sorted; the empty string is code 0.
    pub dictionary: Vec<String>,
    /// Sorted by their codes.
    pub deltas: Vec<Delta>,
}

/// What a row is about, in codes of [`EpochSums`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub account: u32,
    pub campaign: u32,
    pub currency: u32,
    pub conversion_type: u32,
    pub minute: i64,
    pub touch_minute: i64,
}

/// What a row adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measures {
    pub impressions: i64,
    pub clicks: i64,
    pub billable: i64,
    pub spend_micros: i64,
    pub conversions: i64,
    pub value_micros: i64,
    pub last_conversions_micro: i64,
    pub last_value_micros: i64,
    pub linear_conversions_micro: i64,
    pub linear_value_micros: i64,
}

impl EpochSums {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing was added since it was made or drained.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows held: what the next journal records will carry.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// One sum for each journal partition, also where it is empty, because each partition is told of each cut. Leaves
    /// nothing behind.
    ///
    /// # Panics
    /// If `journal_partitions` is not positive.
    pub fn drain(&mut self, journal_partitions: i32) -> Vec<PartitionSums> {
        let Self { strings, rows, .. } = self.take();
        let partitions: Vec<i32> =
            strings.iter().map(|text| partition_of(text.as_bytes(), journal_partitions)).collect();
        let mut of_partition: Vec<Vec<(Row, Measures)>> = (0..journal_partitions).map(|_| Vec::new()).collect();
        for (row, measures) in rows {
            of_partition[partitions[row.account as usize] as usize].push((row, measures));
        }
        let mut by_text: Vec<u32> = (0..strings.len() as u32).collect();
        by_text.sort_unstable_by_key(|code| &strings[*code as usize]);
        of_partition.into_iter().map(|rows| partition_sums(&strings, &by_text, &rows)).collect()
    }

    /// Leaves a sum without anything but room: the next cut mostly holds as much as this one.
    fn take(&mut self) -> Self {
        let (strings, rows) = (self.strings.len(), self.rows.len());
        let room = Self {
            strings: Vec::with_capacity(strings),
            codes: HashMap::with_capacity(strings),
            rows: HashMap::with_capacity(rows),
            ..Self::default()
        };
        std::mem::replace(self, room)
    }

    /// The code of a string.
    pub(crate) fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let code = self.strings.len() as u32;
        self.strings.push(text.into());
        self.codes.insert(text.into(), code);
        code
    }

    /// A row of touches: no conversion type, no credited touch.
    pub(crate) fn touch_row(&mut self, account: &str, campaign: &str, currency: &str, minute: i64) -> Row {
        for (at, text) in [account, currency].into_iter().enumerate() {
            if self.strings.get(self.last[at] as usize).is_none_or(|last| **last != *text) {
                self.last[at] = self.code(text);
            }
        }
        let [account, currency] = self.last;
        let campaign = self.code(campaign);
        let conversion_type = self.empty.unwrap_or_else(|| self.code(""));
        self.empty = Some(conversion_type);
        Row { account, campaign, currency, conversion_type, minute, touch_minute: NO_TOUCH }
    }

    pub(crate) fn add(&mut self, row: Row, measures: &Measures) {
        self.rows.entry(row).or_default().add(measures);
    }

    /// Adds all of `other` and empties it.
    pub(crate) fn absorb(&mut self, other: &mut EpochSums) {
        let Self { strings, rows, .. } = std::mem::take(other);
        let codes: Vec<u32> = strings.iter().map(|text| self.code(text)).collect();
        let code = |old: u32| codes[old as usize];
        for (row, measures) in rows {
            let row = Row {
                account: code(row.account),
                campaign: code(row.campaign),
                currency: code(row.currency),
                conversion_type: code(row.conversion_type),
                ..row
            };
            self.add(row, &measures);
        }
    }
}

impl Measures {
    /// Saturating: all parts are of one sign, so the order of additions does not matter even at the limit.
    pub fn add(&mut self, other: &Self) {
        let Self {
            impressions,
            clicks,
            billable,
            spend_micros,
            conversions,
            value_micros,
            last_conversions_micro,
            last_value_micros,
            linear_conversions_micro,
            linear_value_micros,
        } = self;
        for (sum, part) in [
            (impressions, other.impressions),
            (clicks, other.clicks),
            (billable, other.billable),
            (spend_micros, other.spend_micros),
            (conversions, other.conversions),
            (value_micros, other.value_micros),
            (last_conversions_micro, other.last_conversions_micro),
            (last_value_micros, other.last_value_micros),
            (linear_conversions_micro, other.linear_conversions_micro),
            (linear_value_micros, other.linear_value_micros),
        ] {
            *sum = sum.saturating_add(part);
        }
    }
}

fn partition_sums(strings: &[Box<str>], by_text: &[u32], rows: &[(Row, Measures)]) -> PartitionSums {
    let mut used = vec![false; strings.len()];
    for (row, _) in rows {
        for code in [row.account, row.campaign, row.currency, row.conversion_type] {
            used[code as usize] = true;
        }
    }
    let mut dictionary = Vec::new();
    let mut codes = vec![0_i32; strings.len()];
    if !rows.is_empty() {
        dictionary.push(String::new());
    }
    for code in by_text.iter().map(|code| *code as usize).filter(|code| used[*code]) {
        if !strings[code].is_empty() {
            codes[code] = dictionary.len() as i32;
            dictionary.push(strings[code].to_string());
        }
    }
    let mut deltas: Vec<Delta> =
        rows.iter().map(|(row, measures)| delta(row, measures, |code| codes[code as usize])).collect();
    deltas.sort_unstable_by_key(|d| (d.account, d.campaign, d.currency, d.conversion_type, d.minute, d.touch_minute));
    PartitionSums { dictionary, deltas }
}

fn delta(row: &Row, measures: &Measures, code: impl Fn(u32) -> i32) -> Delta {
    Delta {
        account: code(row.account),
        campaign: code(row.campaign),
        currency: code(row.currency),
        conversion_type: code(row.conversion_type),
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
        linear_conversions_micro: measures.linear_conversions_micro,
        linear_value_micros: measures.linear_value_micros,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(accounts: &[&str]) -> EpochSums {
        let mut sums = EpochSums::new();
        for account in accounts {
            let row = sums.touch_row(account, "c", "EUR", 5);
            sums.add(row, &Measures { impressions: 1, spend_micros: i64::MAX, ..Measures::default() });
        }
        sums
    }

    #[test]
    fn the_order_of_additions_leaves_no_trace() {
        let one = sums(&["a", "b", "c", "a"]).drain(3);
        assert_eq!(one, sums(&["c", "a", "a", "b"]).drain(3));
        let mut parts = sums(&["c", "a"]);
        parts.absorb(&mut sums(&["b", "a"]));
        assert_eq!(one, parts.drain(3));
        assert!(parts.is_empty());
    }

    #[test]
    fn each_account_goes_to_its_partition_and_empty_ones_are_there() {
        let parts = sums(&["a", "b", "c"]).drain(16);
        assert_eq!(parts.len(), 16);
        for (at, part) in parts.iter().enumerate() {
            for delta in &part.deltas {
                let account = &part.dictionary[delta.account as usize];
                assert_eq!(partition_of(account.as_bytes(), 16), at as i32);
                assert_eq!(part.dictionary[delta.conversion_type as usize], "");
                assert_eq!(delta.conversion_type, 0);
            }
        }
        assert_eq!(parts.iter().map(|part| part.deltas.len()).sum::<usize>(), 3);
    }
}
