//! What one worker's cut adds up to: the accumulator that all its sibling sets share.
//!
//! What always holds: sums are integers and commute, so neither the order of events nor that of sets matters; what
//! leaves is sorted by name, so the same sums give the same bytes.

use crate::minute::MinuteRows;
use crate::names::Named;
use hashbrown::HashMap;
use model::journal::{Delta, NO_TOUCH};
use model::marginal::{Credit, Marginal, PathCount};
use model::partition::partition_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sums of one cut.
#[derive(Debug)]
pub struct EpochSums {
    /// Kept over cuts, since the next cut mostly tells of the same campaigns; the first is the empty string.
    strings: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32>,
    /// Codes in the order of their strings, as far as there were any at the last cut.
    by_text: Vec<u32>,
    /// Tells these codes from those of other sums and from those before the strings were forgotten.
    coding: u64,
    rows: HashMap<Row, Measures>,
    /// What comes once a minute.
    pub(crate) minute: MinuteRows,
}

/// Codes of a name that sums have given, for who adds the same name again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TouchCodes {
    /// 0 is no coding's.
    coding: u64,
    account: u32,
    campaign: u32,
    currency: u32,
}

/// Sums of one cut for one journal partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionSums {
    /// Sorted; the empty string is code 0.
    pub dictionary: Vec<String>,
    /// Sorted by their codes.
    pub deltas: Vec<Delta>,
    /// Once a minute, sorted likewise.
    pub marginals: Vec<Marginal>,
    /// Once a minute, sorted likewise.
    pub credits: Vec<Credit>,
    /// Once a minute, sorted likewise.
    pub paths: Vec<PathCount>,
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
        let mut sums = Self {
            strings: Vec::new(),
            codes: HashMap::new(),
            by_text: Vec::new(),
            coding: next_coding(),
            rows: HashMap::new(),
            minute: MinuteRows::default(),
        };
        sums.code("");
        sums
    }

    /// Nothing was added since it was made or drained.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.minute.is_empty()
    }

    /// Rows held: what the next journal records will carry.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// One sum for each journal partition, also where it is empty, because each partition is told of each cut. Leaves
    /// no row behind.
    ///
    /// # Panics
    /// If `journal_partitions` is not positive.
    pub fn drain(&mut self, journal_partitions: i32) -> Vec<PartitionSums> {
        self.sort_strings();
        // Only those of accounts are asked for.
        let mut partitions: Vec<Option<i32>> = vec![None; self.strings.len()];
        let mut of_partition: Vec<Vec<(Row, Measures)>> = (0..journal_partitions).map(|_| Vec::new()).collect();
        let mut used = vec![false; self.strings.len()];
        let rows = self.rows.len();
        for (row, measures) in self.rows.drain() {
            for code in [row.account, row.campaign, row.currency, row.conversion_type] {
                used[code as usize] = true;
            }
            let account = row.account as usize;
            let partition = partitions[account]
                .get_or_insert_with(|| partition_of(self.strings[account].as_bytes(), journal_partitions));
            of_partition[*partition as usize].push((row, measures));
        }
        self.minute.codes().for_each(|code| used[code as usize] = true);
        let strings = &self.strings;
        let minutes = self.minute.split(journal_partitions, |account| {
            *partitions[account as usize]
                .get_or_insert_with(|| partition_of(strings[account as usize].as_bytes(), journal_partitions))
        });
        let parts = of_partition.into_iter().zip(minutes);
        let sums = parts.map(|(rows, minute)| partition_sums(&self.strings, &self.by_text, &rows, minute)).collect();
        // The next cut mostly holds as much as this one, not as the largest ever.
        self.rows.shrink_to(rows * 2);
        if self.strings.len() > STRINGS_MIN + 2 * used.into_iter().filter(|used| *used).count() {
            self.forget_strings();
        }
        sums
    }

    /// Most strings were sorted at the last cut; those that came since are few once every campaign was seen.
    fn sort_strings(&mut self) {
        let Self { strings, by_text, .. } = self;
        if by_text.len() < strings.len() {
            by_text.extend(by_text.len() as u32..strings.len() as u32);
            // Stable, because that one finds the sorted run at the beginning and merges.
            by_text.sort_by(|one, other| strings[*one as usize].cmp(&strings[*other as usize]));
        }
    }

    /// Names come and go: what no recent cut told of must not be kept for ever.
    fn forget_strings(&mut self) {
        // Called with no rows left: only their memory is kept.
        let rows = std::mem::take(&mut self.rows);
        *self = Self { rows, ..Self::new() };
    }

    /// The code of a string.
    pub(crate) fn code(&mut self, text: &str) -> u32 {
        if let Some(code) = self.codes.get(text) {
            return *code;
        }
        let code = self.strings.len() as u32;
        let text: Arc<str> = text.into();
        self.strings.push(text.clone());
        self.codes.insert(text, code);
        code
    }

    /// A row of touches: no conversion type, no credited touch. `known` remembers what was looked up.
    pub(crate) fn touch_row(&mut self, named: Named<'_>, minute: i64, known: &mut TouchCodes) -> Row {
        if known.coding != self.coding {
            let [account, campaign, currency] =
                [named.account, named.campaign, named.currency].map(|text| self.code(text));
            *known = TouchCodes { coding: self.coding, account, campaign, currency };
        }
        let TouchCodes { account, campaign, currency, .. } = *known;
        Row { account, campaign, currency, conversion_type: EMPTY, minute, touch_minute: NO_TOUCH }
    }

    pub(crate) fn add(&mut self, row: Row, measures: &Measures) {
        self.rows.entry(row).or_default().add(measures);
    }

    /// The same sums once more.
    pub(crate) fn copy(&self) -> Self {
        let mut copy = Self::new();
        let codes: Vec<u32> = self.strings.iter().map(|text| copy.code(text)).collect();
        debug_assert!(self.rows.is_empty());
        copy.minute = self.minute.translated(|old| codes[old as usize]);
        copy
    }

    /// Adds all of `other` and empties it.
    pub(crate) fn absorb(&mut self, other: &mut EpochSums) {
        if other.is_empty() {
            return;
        }
        let codes: Vec<u32> = other.strings.iter().map(|text| self.code(text)).collect();
        let code = |old: u32| codes[old as usize];
        for (row, measures) in other.rows.drain() {
            let row = Row {
                account: code(row.account),
                campaign: code(row.campaign),
                currency: code(row.currency),
                conversion_type: code(row.conversion_type),
                ..row
            };
            self.add(row, &measures);
        }
        self.minute.absorb(&mut other.minute, code);
        other.forget_strings();
    }
}

impl Default for EpochSums {
    fn default() -> Self {
        Self::new()
    }
}

/// The code of the empty string.
const EMPTY: u32 = 0;
/// Fewer strings than these are not worth forgetting.
const STRINGS_MIN: usize = 1 << 10;

/// A number that no other sums have: codes of one mean nothing in another. It reaches no output.
fn next_coding() -> u64 {
    static CODINGS: AtomicU64 = AtomicU64::new(1);
    CODINGS.fetch_add(1, Ordering::Relaxed)
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

fn partition_sums(
    strings: &[Arc<str>],
    by_text: &[u32],
    rows: &[(Row, Measures)],
    minute: MinuteRows,
) -> PartitionSums {
    let mut used = vec![false; strings.len()];
    for (row, _) in rows {
        for code in [row.account, row.campaign, row.currency, row.conversion_type] {
            used[code as usize] = true;
        }
    }
    minute.codes().for_each(|code| used[code as usize] = true);
    let mut dictionary = Vec::new();
    let mut codes = vec![0_i32; strings.len()];
    if !rows.is_empty() || !minute.is_empty() {
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
    let mut sums = PartitionSums { dictionary, deltas, ..PartitionSums::default() };
    minute.put_into(&mut sums, |code| codes[code as usize]);
    sums
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
            let named = Named { account, campaign: "c", currency: "EUR" };
            let row = sums.touch_row(named, 5, &mut TouchCodes::default());
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
    fn strings_that_no_cut_tells_of_any_more_are_forgotten_and_leave_no_trace() {
        let mut kept = EpochSums::new();
        let mut known = TouchCodes::default();
        for cut in 0..5_000 {
            let campaign = format!("campaign-{cut}");
            let named = Named { account: "a", campaign: &campaign, currency: "EUR" };
            let always = Named { account: "b", campaign: "always", currency: "EUR" };
            let mut fresh = EpochSums::new();
            for (sums, known) in [(&mut kept, &mut known), (&mut fresh, &mut TouchCodes::default())] {
                let rows = [sums.touch_row(named, 1, &mut TouchCodes::default()), sums.touch_row(always, 2, known)];
                rows.into_iter().for_each(|row| sums.add(row, &Measures { clicks: 1, ..Measures::default() }));
            }
            assert_eq!(kept.drain(2), fresh.drain(2));
            assert!(kept.strings.len() < 2 * STRINGS_MIN);
        }
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
