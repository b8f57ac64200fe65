//! Amounts that no specification explains yet: of an unknown campaign, or in a currency other than the campaign's.
//!
//! What always holds: what is held is applied exactly once, when a specification arrives that explains it; nothing held
//! reaches a window before that; what did not fit is counted, and its account is told. Minutes are kept as they came, so
//! the rows that follow the release equal those of a campaign that was known from the start.
//!
//! Each account has a room of its own, so that one account's strays leave the others theirs. An account whose room is
//! full puts its oldest minutes together: to quarters of an hour, which no time zone's hour or day divides, then to
//! hours, days and [`MONTH`]s ([`STEPS`]). No amount is lost by that; delays of conversions that are learned from such
//! rows are as coarse as the rows are. Only where that makes no room is a row refused.

use crate::shared::{Shared, SharedMap};
use model::fact::Fact;
use model::journal::Delta;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that is held.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Quarantine {
    held: SharedMap<Arc<Owner>, Shared<Held>>,
    rows: usize,
    /// By account, from the first that it held.
    rooms: BTreeMap<String, Room>,
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

/// In place of the name of an account that holds nothing.
pub const OTHERS: &str = "";

/// What one account takes of the room.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Room {
    rows: usize,
    /// When its rows were last put together.
    coarsened_at: Option<Millis>,
    refusal: Option<Refusal>,
}

/// What an account has lost since its quarantine was full, until an hour has gone by without another loss.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The last one.
    pub at: Millis,
    /// Rows and facts.
    pub rows: i64,
    /// Their spend in micros, whatever the currency.
    pub spend_micros: i64,
    /// The campaign of the last one.
    pub campaign: String,
}

/// 200,000 rows are about 50 MB.
const ROWS_MAX: usize = 200_000;
/// Rows of one account: a quarter of all, so that four would have to go astray at once before a fifth has no room.
const ACCOUNT_ROWS_MAX: usize = ROWS_MAX / 4;
/// Rows are put together at most this often, since that reads all of an account's.
const COARSEN_EVERY_MS: Millis = HOUR_MS;
/// Nothing was refused for this long: there is room again.
const REFUSAL_MS: Millis = HOUR_MS;
/// Facts older than this make room for others where nothing else does: platforms restate no such window.
const FACT_AGE_MS_MAX: Millis = 62 * DAY_MS;
/// Minutes of the longest span that amounts are put together to.
const MONTH: i64 = 32 * 24 * 60;
/// Spans in minutes.
const SPANS: [i64; 4] = [15, 60, 24 * 60, MONTH];
/// Ages in minutes from which on amounts are put together to each of [`SPANS`]; the next step only where the one before
/// left more than half of the room taken.
const STEPS: [[i64; 4]; 4] = [
    [120, 2 * 1_440, 14 * 1_440, 62 * 1_440],
    [60, 720, 4 * 1_440, 32 * 1_440],
    [0, 60, 1_440, MONTH],
    [0, 0, 0, 1_440],
];

impl Quarantine {
    /// Holds a row.
    pub fn hold(&mut self, owner: [&str; 3], conversion_type: &str, delta: &Delta, now: Millis) {
        if self.join(owner, conversion_type, delta, &[1]) {
            return;
        }
        let Some(held) = self.room(owner, now) else {
            // Beside what the campaign holds already, if only it is of the same span.
            if !self.join(owner, conversion_type, delta, &SPANS) {
                self.refuse(owner, delta.spend_micros, now);
            }
            return;
        };
        held.add(conversion_type, delta, 1);
        self.count(owner[0], 1);
    }

    /// Holds a report or a correction.
    pub fn hold_fact(&mut self, owner: [&str; 3], fact: &Fact, cost_micros: i64, now: Millis) {
        let Some(held) = self.room(owner, now) else { return self.refuse(owner, cost_micros, now) };
        held.facts.push(fact.clone());
        held.spend_micros = held.spend_micros.saturating_add(cost_micros);
        self.count(owner[0], 1);
    }

    /// Gives up what waits for this campaign in this currency.
    pub fn release(&mut self, owner: [&str; 3]) -> Option<Released> {
        let held = self.held.remove(&owned(owner))?.into_inner();
        self.uncount(owner[0], held.len());
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

    /// Accounts whose quarantine is full, with what they lost.
    pub fn refusals(&self, now: Millis) -> impl Iterator<Item = (&str, &Refusal)> {
        let fresh = move |refusal: &&Refusal| now.saturating_sub(refusal.at) < REFUSAL_MS;
        self.rooms
            .iter()
            .filter_map(move |(account, room)| Some((account.as_str(), room.refusal.as_ref().filter(fresh)?)))
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

    /// Adds to a row that is there; `false` where there is none.
    fn join(&mut self, owner: [&str; 3], conversion_type: &str, delta: &Delta, spans: &[i64]) -> bool {
        let owner = owned(owner);
        let Some(held) = self.held.get(&owner) else { return false };
        let has = |span: &&i64| held.rows.contains_key(&key(conversion_type, delta, (**span, **span)));
        let Some(span) = spans.iter().find(has).copied() else { return false };
        self.held.get_mut(&owner).is_some_and(|held| {
            held.add(conversion_type, delta, span);
            true
        })
    }

    fn room(&mut self, owner: [&str; 3], now: Millis) -> Option<&mut Held> {
        if !self.has_room(owner[0]) {
            let is_full = self.rooms.get(owner[0]).is_some_and(|room| room.rows >= ACCOUNT_ROWS_MAX);
            // Where all of them together are too many, the largest gives way.
            let largest = || self.rooms.iter().max_by_key(|(_, room)| room.rows).map(|(account, _)| account.clone());
            let account = if is_full { Some(owner[0].to_owned()) } else { largest() };
            self.coarsen(&account?, now);
        }
        if !self.has_room(owner[0]) {
            return None;
        }
        let owner = owned(owner);
        let begin = || (Arc::new(owner.clone()), Shared::new(Held { since: now, ..Held::default() }));
        Some(self.held.get_or_insert_with(&owner, begin))
    }

    fn has_room(&self, account: &str) -> bool {
        self.rows < ROWS_MAX && self.rooms.get(account).is_none_or(|room| room.rows < ACCOUNT_ROWS_MAX)
    }

    fn refuse(&mut self, [account, campaign, _]: [&str; 3], spend_micros: i64, now: Millis) {
        self.refused = self.refused.saturating_add(1);
        // Accounts that hold nothing share an entry: names that nobody specified must not fill the memory here either.
        let account = if self.rooms.contains_key(account) { account } else { OTHERS };
        let room = self.rooms.entry(account.to_owned()).or_default();
        let refusal = room.refusal.get_or_insert_default();
        if now.saturating_sub(refusal.at) >= REFUSAL_MS {
            *refusal = Refusal::default();
        }
        refusal.at = now;
        refusal.rows = refusal.rows.saturating_add(1);
        refusal.spend_micros = refusal.spend_micros.saturating_add(spend_micros);
        campaign.clone_into(&mut refusal.campaign);
    }

    /// Puts an account's rows together, the oldest first, until half of its room is free.
    fn coarsen(&mut self, account: &str, now: Millis) {
        let Some(room) = self.rooms.get_mut(account) else { return };
        if room.coarsened_at.is_some_and(|at| now.saturating_sub(at) < COARSEN_EVERY_MS) {
            return;
        }
        room.coarsened_at = Some(now);
        let first = owned([account, "", ""]);
        let owners = self.held.from(&first).map(|(owner, _)| owner.clone());
        let owners: Vec<_> = owners.take_while(|owner| owner.0 == account).collect();
        for ages in &STEPS {
            for owner in &owners {
                let Some(held) = self.held.get_mut(owner) else { continue };
                let before = held.len();
                let dropped = held.coarsen(ages, now);
                let after = held.len();
                let owner = [&*owner.0, &*owner.1, &*owner.2];
                self.uncount(account, before - after);
                dropped.iter().for_each(|cost_micros| self.refuse(owner, *cost_micros, now));
            }
            if self.rooms.get(account).is_none_or(|room| room.rows <= ACCOUNT_ROWS_MAX / 2) {
                return;
            }
        }
    }

    fn count(&mut self, account: &str, rows: usize) {
        self.rows += rows;
        self.rooms.entry(account.to_owned()).or_default().rows += rows;
    }

    fn uncount(&mut self, account: &str, rows: usize) {
        self.rows = self.rows.saturating_sub(rows);
        if let Some(room) = self.rooms.get_mut(account) {
            room.rows = room.rows.saturating_sub(rows);
            if room.rows == 0 && room.refusal.is_none() {
                self.rooms.remove(account);
            }
        }
    }
}

impl Held {
    fn len(&self) -> usize {
        self.rows.len() + self.facts.len()
    }

    fn add(&mut self, conversion_type: &str, delta: &Delta, span: i64) {
        self.spend_micros = self.spend_micros.saturating_add(delta.spend_micros);
        put(&mut self.rows, key(conversion_type, delta, (span, span)), delta);
    }

    /// Puts rows together by their age, and forgets what a report of a later revision restates; gives the costs of the
    /// facts that it gave up.
    fn coarsen(&mut self, ages: &[i64; 4], now: Millis) -> Vec<i64> {
        let now_minute = now.div_euclid(MINUTE_MS);
        let span = |minute: i64| {
            let age = now_minute.saturating_sub(minute);
            let reached = ages.iter().zip(SPANS).filter(|(from, _)| age >= **from);
            reached.map(|(_, span)| span).max().unwrap_or(1)
        };
        let mut rows = BTreeMap::new();
        for ((_, _, conversion_type), delta) in std::mem::take(&mut self.rows) {
            put(&mut rows, key(&conversion_type, &delta, (span(delta.minute), span(delta.touch_minute))), &delta);
        }
        self.rows = rows;
        self.forget_restated();
        let mut dropped = Vec::new();
        self.facts.retain(|fact| {
            let (at, cost_micros) = match fact {
                Fact::StatsReport(report) => (report.window_end, report.cost_micros),
                Fact::Correction(correction) => (correction.applies_at, correction.cost_micros),
                _ => return true,
            };
            let keeps = now.saturating_sub(at) <= FACT_AGE_MS_MAX;
            if !keeps {
                dropped.push(cost_micros);
            }
            keeps
        });
        dropped.iter().for_each(|cost_micros| self.spend_micros = self.spend_micros.saturating_sub(*cost_micros));
        dropped
    }

    /// Of the snapshots of one report only the highest revision counts.
    fn forget_restated(&mut self) {
        let mut latest: BTreeMap<(String, Millis, Millis), i64> = BTreeMap::new();
        let of = |fact: &Fact| match fact {
            Fact::StatsReport(report) if report.semantics == "snapshot" => {
                Some(((report.report_id.clone(), report.window_start, report.window_end), report.revision))
            }
            _ => None,
        };
        for (report, revision) in self.facts.iter().filter_map(of) {
            let known = latest.entry(report).or_insert(revision);
            *known = revision.max(*known);
        }
        let Self { facts, spend_micros, .. } = self;
        facts.retain(|fact| {
            let is_last = of(fact).is_none_or(|(report, revision)| latest.get(&report) == Some(&revision));
            if let (false, Fact::StatsReport(report)) = (is_last, fact) {
                *spend_micros = spend_micros.saturating_sub(report.cost_micros);
            }
            is_last
        });
    }
}

fn owned([account, campaign, currency]: [&str; 3]) -> Owner {
    (account.to_owned(), campaign.to_owned(), currency.to_owned())
}

/// The key of a row whose minute and touched minute are put together to spans of so many minutes.
fn key(conversion_type: &str, delta: &Delta, (span, touch_span): (i64, i64)) -> (i64, i64, String) {
    let minute = middle(delta.minute, span);
    let touch = if delta.touch_minute < 0 { delta.touch_minute } else { middle(delta.touch_minute, touch_span) };
    // No touch comes after its conversion, whatever their spans.
    (minute, if delta.touch_minute <= delta.minute { touch.min(minute) } else { touch }, conversion_type.to_owned())
}

/// The minute that stands for a span: its middle, which lies in the same span whatever span it was put together to before.
fn middle(minute: i64, span: i64) -> i64 {
    minute.checked_sub(minute.rem_euclid(span)).and_then(|first| first.checked_add(span / 2)).unwrap_or(minute)
}

fn put(rows: &mut BTreeMap<(i64, i64, String), Delta>, key: (i64, i64, String), delta: &Delta) {
    let (minute, touch_minute) = (key.0, key.1);
    let sums = rows.entry(key).or_insert_with(|| Delta { minute, touch_minute, ..Delta::default() });
    accumulate(sums, delta);
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
    use model::fact::StatsReport;

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
    fn a_full_account_puts_its_oldest_minutes_together_and_loses_nothing() {
        let mut quarantine = Quarantine::default();
        let minutes = 3 * ACCOUNT_ROWS_MAX as i64;
        (0..minutes).for_each(|minute| quarantine.hold(OWNER, "", &spend(minute, 1), minute * MINUTE_MS));
        assert_eq!((quarantine.refused, quarantine.of_campaign("a", "c")), (0, Some((0, minutes))));
        assert!(quarantine.rows() <= ACCOUNT_ROWS_MAX);
        let (rows, _) = quarantine.release(OWNER).unwrap();
        assert_eq!(rows.iter().map(|(_, row)| row.spend_micros).sum::<i64>(), minutes);
        let quarters = rows.iter().filter(|(_, row)| row.spend_micros == 15).collect::<Vec<_>>();
        assert!(!quarters.is_empty() && quarters.iter().all(|(_, row)| row.minute % 15 == 7));
        assert_eq!((quarantine.rows(), quarantine.rooms.len()), (0, 0));
    }

    #[test]
    fn one_account_s_strays_leave_the_others_their_room() {
        let mut quarantine = Quarantine::default();
        for campaign in 0..ACCOUNT_ROWS_MAX + 7 {
            quarantine.hold(["strays", &campaign.to_string(), "EUR"], "", &spend(1, 10), DAY_MS);
        }
        quarantine.hold(OWNER, "", &spend(1, 1), DAY_MS);
        assert_eq!((quarantine.rows(), quarantine.refused), (ACCOUNT_ROWS_MAX + 1, 7));
        let told = |quarantine: &Quarantine, now| {
            quarantine.refusals(now).map(|(account, lost)| (account.to_owned(), lost.clone())).collect::<Vec<_>>()
        };
        let campaign = (ACCOUNT_ROWS_MAX + 6).to_string();
        let lost = Refusal { at: DAY_MS, rows: 7, spend_micros: 70, campaign };
        assert_eq!(told(&quarantine, DAY_MS), [("strays".to_owned(), lost)]);
        assert_eq!(told(&quarantine, DAY_MS + HOUR_MS), []);
        // A campaign that is known to wait finds a place beside its own row.
        for account in ["b", "c", "d"] {
            (0..ACCOUNT_ROWS_MAX).for_each(|at| quarantine.hold([account, &at.to_string(), ""], "", &spend(1, 1), 0));
        }
        // All is full, and those without a room of their own have one entry together.
        quarantine.hold(["e", "c", "EUR"], "", &spend(1, 1), DAY_MS + HOUR_MS);
        quarantine.hold(["f", "c", "EUR"], "", &spend(1, 2), DAY_MS + HOUR_MS);
        let (account, lost) = quarantine.refusals(DAY_MS + HOUR_MS).next().unwrap();
        assert_eq!((account, lost.rows, lost.spend_micros), (OTHERS, 2, 3));
        let refused = quarantine.refused;
        quarantine.coarsen("strays", DAY_MS + HOUR_MS);
        quarantine.hold(["strays", "5", "EUR"], "", &spend(2, 1), DAY_MS + HOUR_MS);
        assert_eq!((quarantine.of_campaign("strays", "5").unwrap().1, quarantine.refused), (11, refused));
    }

    #[test]
    fn of_facts_the_last_revision_and_the_last_two_months_are_kept_where_room_is_short() {
        let report = |id: &str, revision, window_end| {
            let (report_id, semantics) = (id.to_owned(), "snapshot".to_owned());
            let report = StatsReport { report_id, semantics, revision, window_end, cost_micros: 5, ..<_>::default() };
            Fact::StatsReport(Box::new(report))
        };
        let (now, mut quarantine) = (100 * DAY_MS, Quarantine::default());
        for fact in [report("old", 1, DAY_MS), report("new", 1, now), report("new", 2, now)] {
            quarantine.hold_fact(OWNER, &fact, 5, now);
        }
        quarantine.coarsen("a", now);
        assert_eq!((quarantine.rows(), quarantine.refused, quarantine.of_campaign("a", "c")), (1, 1, Some((now, 5))));
        assert_eq!(quarantine.release(OWNER).unwrap().1, [report("new", 2, now)]);
    }

    #[test]
    fn a_minute_is_put_together_to_the_same_span_whatever_it_was_put_together_to_before() {
        for minute in [0, 1, 7, 59, 60, 1_439, 46_079, 46_080, 20_514 * 1_440 + 77] {
            for (at, span) in SPANS.iter().enumerate() {
                for before in &SPANS[..=at] {
                    assert_eq!(middle(middle(minute, *before), *span), middle(minute, *span));
                }
            }
        }
        // What no calendar has makes no panic.
        assert_eq!((middle(i64::MIN, MONTH), middle(i64::MAX, 60)), (i64::MIN, i64::MAX));
    }
}
