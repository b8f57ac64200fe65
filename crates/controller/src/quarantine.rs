//! Amounts that no specification explains yet: of an unknown campaign, or in a currency other than the campaign's.
//!
//! What always holds: what is held is applied exactly once, when a specification arrives that explains it; nothing held
//! reaches a window before that; what did not fit is counted. Minutes are kept as they came, so the rows that follow
//! the release equal those of a campaign that was known from the start.

use crate::shared::{Shared, SharedMap};
use model::fact::Fact;
use model::journal::Delta;
use model::time::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that is held.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Quarantine {
    held: SharedMap<Arc<Owner>, Shared<Held>>,
    rows: usize,
    /// Rows and facts that found no room.
    pub refused: i64,
}

/// Rows with their conversion types, and facts.
pub type Released = (Vec<(String, Delta)>, Vec<Fact>);

/// Account, campaign, currency.
type Owner = (String, String, String);

/// What one campaign and currency wait with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Held {
    /// By minute, touched minute and conversion type; the codes in the deltas mean nothing.
    rows: BTreeMap<(i64, i64, String), Delta>,
    facts: Vec<Fact>,
    /// Since when.
    pub since: Millis,
    /// Spend that waits, in micros.
    pub spend_micros: i64,
}

/// 200,000 rows are about 50 MB: a day of 140 unknown campaigns, every minute of it.
const ROWS_MAX: usize = 200_000;

impl Quarantine {
    /// Holds a row.
    pub fn hold(&mut self, owner: [&str; 3], conversion_type: &str, delta: &Delta, now: Millis) {
        let Some(held) = self.room(owner, now) else { return };
        let before = held.rows.len();
        let key = (delta.minute, delta.touch_minute, conversion_type.to_owned());
        let sums = held.rows.entry(key).or_insert_with(|| Delta {
            minute: delta.minute,
            touch_minute: delta.touch_minute,
            ..Delta::default()
        });
        accumulate(sums, delta);
        held.spend_micros = held.spend_micros.saturating_add(delta.spend_micros);
        let rows = held.rows.len();
        self.rows += rows - before;
    }

    /// Holds a report or a correction.
    pub fn hold_fact(&mut self, owner: [&str; 3], fact: &Fact, cost_micros: i64, now: Millis) {
        let Some(held) = self.room(owner, now) else { return };
        held.facts.push(fact.clone());
        held.spend_micros = held.spend_micros.saturating_add(cost_micros);
        self.rows += 1;
    }

    /// Gives up what waits for this campaign in this currency.
    pub fn release(&mut self, owner: [&str; 3]) -> Option<Released> {
        let held = self.held.remove(&owned(owner))?.into_inner();
        self.rows -= held.rows.len() + held.facts.len();
        let rows = held.rows.into_iter().map(|((_, _, conversion_type), delta)| (conversion_type, delta)).collect();
        Some((rows, held.facts))
    }

    /// What waits for a campaign, of all currencies together.
    pub fn of_campaign(&self, account: &str, campaign: &str) -> Option<(Millis, i64)> {
        if self.held.is_empty() {
            return None;
        }
        let first = owned([account, campaign, ""]);
        let all = self.held.from(&first).take_while(|(owner, _)| owner.0 == account && owner.1 == campaign);
        all.fold(None, |sums, (_, held)| {
            let (since, spend) = sums.unwrap_or((Millis::MAX, 0));
            Some((since.min(held.since), i64::saturating_add(spend, held.spend_micros)))
        })
    }

    /// All that waits: account, campaign, currency.
    pub fn iter(&self) -> impl Iterator<Item = ([&str; 3], &Held)> {
        self.held.iter().map(|(owner, held)| {
            let (account, campaign, currency) = &**owner;
            ([account.as_str(), campaign.as_str(), currency.as_str()], &**held)
        })
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Rows and facts held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn room(&mut self, owner: [&str; 3], now: Millis) -> Option<&mut Held> {
        if self.rows >= ROWS_MAX {
            self.refused += 1;
            return None;
        }
        let owner = owned(owner);
        let begin = || (Arc::new(owner.clone()), Shared::new(Held { since: now, ..Held::default() }));
        Some(self.held.get_or_insert_with(&owner, begin))
    }
}

fn owned([account, campaign, currency]: [&str; 3]) -> Owner {
    (account.to_owned(), campaign.to_owned(), currency.to_owned())
}

fn accumulate(sums: &mut Delta, more: &Delta) {
    let pairs = [
        (&mut sums.impressions, more.impressions),
        (&mut sums.clicks, more.clicks),
        (&mut sums.billable, more.billable),
        (&mut sums.spend_micros, more.spend_micros),
        (&mut sums.conversions, more.conversions),
        (&mut sums.value_micros, more.value_micros),
        (&mut sums.last_conversions_micro, more.last_conversions_micro),
        (&mut sums.last_value_micros, more.last_value_micros),
        (&mut sums.linear_conversions_micro, more.linear_conversions_micro),
        (&mut sums.linear_value_micros, more.linear_value_micros),
    ];
    for (sum, more) in pairs {
        *sum = sum.saturating_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: [&str; 3] = ["a", "c", "EUR"];

    fn spend(minute: i64, spend_micros: i64) -> Delta {
        Delta { minute, touch_minute: -1, spend_micros, ..Delta::default() }
    }

    #[test]
    fn what_is_held_is_given_up_once_and_whole() {
        let mut quarantine = Quarantine::default();
        for (minute, micros) in [(5, 10), (3, 20), (5, 30)] {
            quarantine.hold(OWNER, "", &spend(minute, micros), 1);
        }
        assert_eq!(quarantine.rows(), 2);
        assert_eq!(quarantine.of_campaign("a", "c"), Some((1, 60)));
        let (rows, facts) = quarantine.release(OWNER).unwrap();
        assert_eq!(rows.iter().map(|(_, row)| (row.minute, row.spend_micros)).collect::<Vec<_>>(), [(3, 20), (5, 40)]);
        assert!(facts.is_empty());
        assert_eq!((quarantine.rows(), quarantine.release(OWNER)), (0, None));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut quarantine = Quarantine::default();
        (0..ROWS_MAX as i64 + 7).for_each(|minute| quarantine.hold(OWNER, "", &spend(minute, 1), 1));
        assert_eq!((quarantine.rows(), quarantine.refused), (ROWS_MAX, 7));
    }
}
