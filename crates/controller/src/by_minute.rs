//! Rows that the journal has once a minute: by dimension, by attribution model, paths.
//!
//! What always holds: nothing here decides anything by itself, and money is counted elsewhere: what makes no sense or
//! belongs to no known campaign is counted and left out.

use crate::belief::{Account, Belief, MINUTE_MAX};
use crate::breakdown::{Breakdown, Part, Sums};
use crate::calendar::minute_index;
use crate::campaign::{Granularity, Live, RowKey};
use model::journal::{JournalRecord, NO_TOUCH};
use model::marginal::{Credit, MINUTE_MODELS, Marginal, dimension_named};
use model::time::{DAY_MS, MINUTE_MS, Millis};
use std::sync::Arc;

impl Belief {
    /// Adds the rows of a record that come once a minute.
    pub fn fold_minute(&mut self, record: &JournalRecord, now: Millis) {
        let word =
            |code: i32| usize::try_from(code).ok().and_then(|code| record.dictionary.get(code)).map(String::as_str);
        for group in record.marginals.chunk_by(|one, other| owner(one) == owner(other)) {
            self.group(group.first().map(owner), &word, |live| live.fold_marginals(group, &word), group.len());
        }
        let owner = |row: &Credit| (row.account, row.campaign, row.currency);
        for group in record.credits.chunk_by(|one, other| owner(one) == owner(other)) {
            self.group(group.first().map(owner), &word, |live| live.fold_credits(group, &word), group.len());
        }
        for row in &record.paths {
            let words = (word(row.account), word(row.conversion_type), word(row.from), word(row.to));
            let (Some(account), Some(kind), Some(from), Some(to)) = words else {
                self.counters.malformed_deltas += 1;
                continue;
            };
            let Some(account) = self.accounts.get_mut(account) else { continue };
            let paths = Arc::make_mut(account.paths.get_or_insert_default());
            paths.decay_until(now.div_euclid(DAY_MS));
            paths.add(kind, (from, to), row.length, row.paths);
        }
    }

    fn group<'r>(
        &mut self,
        owner: Option<(i32, i32, i32)>,
        word: &impl Fn(i32) -> Option<&'r str>,
        fold: impl FnOnce(&mut Live) -> i64,
        rows: usize,
    ) {
        let Some((account, campaign, currency)) = owner else { return };
        let (Some(account), Some(campaign), Some(currency)) = (word(account), word(campaign), word(currency)) else {
            self.counters.malformed_deltas += rows as i64;
            return;
        };
        let live = self.accounts.get_mut(account).and_then(|account| {
            let account: &mut Account = &mut *account;
            account.campaigns.get_mut(campaign).filter(|campaign| campaign.explains(currency))?.live_mut()
        });
        match live {
            Some(live) => self.counters.malformed_deltas += fold(live),
            None => self.counters.unexplained_breakdowns += rows as i64,
        }
    }
}

fn owner(row: &Marginal) -> (i32, i32, i32) {
    (row.account, row.campaign, row.currency)
}

impl Live {
    /// Adds rows by dimension; gives how many made no sense.
    fn fold_marginals<'r>(&mut self, rows: &'r [Marginal], word: &impl Fn(i32) -> Option<&'r str>) -> i64 {
        let mut malformed = 0;
        let mut parts: Vec<(i32, i32, Part<'r>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let words = (word(row.conversion_type), word(row.dimension).map(dimension_named), word(row.value));
            let (Some(kind), Some(Some(dimension)), Some(value)) = words else {
                malformed += 1;
                continue;
            };
            let touched = (row.touch_minute != NO_TOUCH).then_some(row.touch_minute);
            if !(0..=MINUTE_MAX).contains(&row.minute) || touched.is_some_and(|at| !(0..=MINUTE_MAX).contains(&at)) {
                malformed += 1;
                continue;
            }
            if !kind.is_empty() && !self.is_goal(kind) {
                continue;
            }
            let (at_event, at_touch) = Sums::of(row);
            let mut put = |minute: i64, sums: Sums| {
                let day = self.calendar.day_of_event(minute * MINUTE_MS);
                parts.push((day.index(), day.date, Part { dimension, value, sums }));
            };
            put(row.minute, at_event);
            if let Some(touched) = touched {
                put(touched, at_touch);
            }
        }
        parts.sort_by_key(|(start, date, _)| (*start, *date));
        let breakdown = Arc::make_mut(self.breakdown.get_or_insert_default());
        let mut of_day = Vec::new();
        for group in parts.chunk_by(|one, other| one.0 == other.0) {
            of_day.clear();
            of_day.extend(group.iter().map(|(_, _, part)| *part));
            breakdown.add(group[0].0, group[0].1, &of_day);
        }
        malformed
    }

    /// Adds credits of the other models; gives how many rows made no sense.
    fn fold_credits<'r>(&mut self, rows: &'r [Credit], word: &impl Fn(i32) -> Option<&'r str>) -> i64 {
        let mut malformed = 0;
        for row in rows {
            let (Some(kind), Some(model)) = (word(row.conversion_type), word(row.model)) else {
                malformed += 1;
                continue;
            };
            if !(0..=MINUTE_MAX).contains(&row.minute) {
                malformed += 1;
                continue;
            }
            // A model that this build does not know is one of a later build.
            let Some(at) = MINUTE_MODELS.iter().position(|known| *known == model).filter(|_| self.is_goal(kind)) else {
                continue;
            };
            let day = self.calendar.day_of_event(row.minute * MINUTE_MS);
            let breakdown: &mut Breakdown = Arc::make_mut(self.breakdown.get_or_insert_default());
            if breakdown.add_credit(day.index(), day.date, at, [row.conversions_micro, row.value_micros]) {
                let key = RowKey { start: day.index(), end: minute_index(day.end), granularity: Granularity::Day };
                self.note_day(key);
            }
        }
        malformed
    }
}
