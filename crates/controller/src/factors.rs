//! A campaign's factors on the bid, by hour or of one value of a dimension: what we asked for, what was confirmed, what
//! holds when the lease ends.
//!
//! What always holds: as for single values ([`crate::slot`]); when the lease of a table with a raise ends, each hour goes
//! back to the least of its factor before, its new one and 1, so silence raises no hour; the bid is bounded by the greatest
//! factor that may be in force, confirmed or not. Missing on purpose: tables that somebody else set (no read-back tells them).

use crate::slot::{Answer, Issued, applied_after, lease_end};
use model::WHOLE_PPM;
use model::fact::Ack;
use model::output::Adjustment;
use model::time::{DAY_MS, Millis};
use policy::explain::Reason;
use serde::{Deserialize, Serialize};

/// What ended is remembered so long.
const IDLE_MS: Millis = 2 * DAY_MS;
/// What a weather's factor was is remembered so long.
const REMEMBERED_MS: Millis = 28 * DAY_MS;

/// The life of one table. Empty tables are tables of ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorSlot {
    /// What the ad-buying system has said that it has.
    pub confirmed: Vec<i64>,
    /// Sequence of the last confirmed command, 0 before the first.
    pub confirmed_sequence: i64,
    /// The last issued table.
    pub last: Option<IssuedTable>,
    /// The greatest factor of tables that nobody answered and newer ones replaced, until a newer one is confirmed.
    pub unsure_most: i64,
    /// What was confirmed when a lease ended, until something else is: to come back to it is no new height.
    pub lapsed: Vec<i64>,
    /// What was last observed or proposed, where nothing may be issued, and when.
    pub shown: Option<(Vec<i64>, Millis)>,
    /// When a person last took a table back.
    pub taken_back_at: Option<Millis>,
    /// Of a weather, the last factor other than 1 that was confirmed; 0 before the first.
    pub reached: i64,
    /// When the last factor was confirmed.
    pub confirmed_at: Option<Millis>,
}

/// An issued table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedTable {
    /// Command, sequence, instants and the lease's own end; its values are not used.
    pub issued: Issued,
    /// Parts per million.
    pub table: Vec<i64>,
    /// What was in force before, for the lease's end.
    pub before: Vec<i64>,
    /// Nobody has answered yet.
    pub is_pending: bool,
    /// The lease has run out.
    pub has_lapsed: bool,
    /// It holds while a weather does.
    pub is_of_weather: bool,
}

impl FactorSlot {
    /// The table to reckon with: the unanswered one, else the confirmed one.
    pub fn assumed(&self) -> &[i64] {
        match &self.last {
            Some(last) if last.is_pending => &last.table,
            _ => &self.confirmed,
        }
    }

    /// Takes an issued command; `true` if it replaces one that nobody answered.
    pub fn issue(&mut self, command: &Adjustment) -> bool {
        let before = self.assumed().to_vec();
        let replaced = self.last.as_ref().filter(|last| last.is_pending);
        let unanswered = replaced.is_some();
        let most = replaced.and_then(|last| last.table.iter().copied().max()).unwrap_or(0);
        self.unsure_most = self.unsure_most.max(most);
        self.last = Some(IssuedTable {
            issued: Issued {
                command_id: command.command_id.clone(),
                sequence: command.sequence,
                issued_at: command.issued_at,
                expires_at: command.expires_at,
                fallback: command.fallback.as_ref().map(|fallback| (0, fallback.when)),
                ..Issued::default()
            },
            // A factor of one value is a table of one.
            table: command.table.clone().unwrap_or_else(|| command.value_ppm.into_iter().collect()),
            before,
            is_pending: true,
            has_lapsed: false,
            is_of_weather: command.dimension.as_ref().is_some_and(|of| of.name == crate::by_weather::DIMENSION),
        });
        if command.reason == Reason::Undo.as_str() {
            self.taken_back_at = Some(command.issued_at);
        }
        unanswered
    }

    /// Takes an acknowledgement.
    pub fn answer(&mut self, ack: &Ack, now: Millis) -> Answer {
        let Some(last) = self.last.as_mut().filter(|last| last.issued.command_id == ack.command_id) else {
            return Answer::NotMine;
        };
        if !last.is_pending {
            return Answer::NotMine;
        }
        last.is_pending = ack.result == "deferred";
        if ack.result != "applied" {
            // What was refused holds nothing that could end.
            last.issued.fallback = last.issued.fallback.filter(|_| last.is_pending);
            // What is found there is what the next command has to expect: a lease may have ended on the way.
            if let ("conflict", Some(found), 0..=1) = (ack.result.as_str(), ack.found_value_ppm, self.confirmed.len()) {
                self.confirmed = vec![found];
            }
            return Answer::Refused;
        }
        self.confirmed.clone_from(&last.table);
        self.lapsed.clear();
        self.confirmed_sequence = last.issued.sequence;
        self.confirmed_at = Some(now);
        if last.is_of_weather && self.confirmed != [WHOLE_PPM] {
            self.reached = self.confirmed.first().copied().unwrap_or(0);
        }
        self.unsure_most = 0;
        Answer::Applied(applied_after(ack, last.issued.issued_at, now))
    }

    /// Whether the lease of a table with a raise has run out.
    pub fn is_over(&self, lease: (Option<Millis>, i64), now: Millis) -> bool {
        self.ends_at(lease).is_some_and(|end| now > end)
    }

    /// When a raise that lives here ends, where nothing keeps it longer.
    pub fn ends_at(&self, lease: (Option<Millis>, i64)) -> Option<Millis> {
        self.last.as_ref().and_then(|last| lease_end(&last.issued, lease))
    }

    /// The greatest factor that may be in force: confirmed, or asked for and not known to be refused.
    pub fn most(&self) -> i64 {
        let pending = self.last.as_ref().filter(|last| last.is_pending).map_or(&[][..], |last| &last.table);
        let known = self.confirmed.iter().chain(pending).copied().max().unwrap_or(WHOLE_PPM);
        known.max(self.unsure_most).max(WHOLE_PPM)
    }

    /// Goes back to what silence leaves once the lease has run out; `true` if it did.
    pub fn lapse(&mut self, lease: (Option<Millis>, i64), now: Millis) -> bool {
        if !self.is_over(lease, now) {
            return false;
        }
        let Some(last) = &mut self.last else { return false };
        last.issued.fallback = None;
        (last.is_pending, last.has_lapsed) = (false, true);
        self.lapsed.clone_from(&self.confirmed);
        self.confirmed = after_lease(&[&last.table, &last.before, &self.confirmed]);
        last.before.clear();
        true
    }

    /// Whether a raise lives here that ends without a lease.
    pub fn is_leased(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.issued.fallback.is_some())
    }

    /// When the last table was issued.
    pub fn issued_at(&self) -> Option<Millis> {
        self.last.as_ref().map(|last| last.issued.issued_at)
    }

    /// What taking the last table back would lead from and to, as wholes: within a day, and where it is still the table to
    /// reckon with.
    pub fn way_back(&self, now: Millis) -> Option<(&IssuedTable, Vec<i64>)> {
        let last = self.last.as_ref().filter(|last| !last.has_lapsed && self.assumed() == last.table)?;
        let before: Vec<i64> = (0..last.table.len()).map(|hour| ppm_of_hour(&last.before, hour)).collect();
        let is_young = now.saturating_sub(last.issued.issued_at) < DAY_MS;
        (is_young && before != last.table).then_some((last, before))
    }

    /// Whether the last table has waited this long for an answer.
    pub fn is_lost(&self, now: Millis, limit_ms: Millis) -> bool {
        self.last.as_ref().is_some_and(|last| last.is_pending && now.saturating_sub(last.issued.issued_at) >= limit_ms)
    }

    /// What is certain to be in force, where the last command was lost; else what is assumed.
    pub fn known(&self, is_lost: bool) -> &[i64] {
        if is_lost { &self.confirmed } else { self.assumed() }
    }

    /// Whether it has long said no more than no slot would: nothing but 1 is in force, on its way or shown. A refusal and
    /// a lease that ended are remembered meanwhile, so that the one is not asked for again at once and the other comes back; so is
    /// a person's word.
    pub fn is_idle(&self, now: Millis) -> bool {
        // A weather that comes back within weeks finds its factor.
        let idle_ms = if self.reached > 0 { REMEMBERED_MS } else { IDLE_MS };
        let is_quiet = |last: &IssuedTable| !last.is_pending && now.saturating_sub(last.issued.issued_at) >= idle_ms;
        let shown = self.shown.iter().flat_map(|(table, _)| table);
        let is_past = |at: Millis| now.saturating_sub(at) >= IDLE_MS;
        self.last.as_ref().is_none_or(is_quiet)
            && self.taken_back_at.is_none_or(is_past)
            && self.confirmed.iter().chain(shown).all(|ppm| *ppm == WHOLE_PPM)
    }

    /// The greatest and the least factor to reckon with.
    pub fn span(&self) -> (i64, i64) {
        let least = self.assumed().iter().copied().min().unwrap_or(WHOLE_PPM).min(WHOLE_PPM);
        (self.most(), least)
    }
}

/// The product of factors in parts per million, saturated.
pub fn product(factors: impl IntoIterator<Item = i64>) -> i64 {
    let times =
        |product: i128, ppm: i64| (product * i128::from(ppm.max(0)) / i128::from(WHOLE_PPM)).min(i64::MAX.into());
    i64::try_from(factors.into_iter().fold(i128::from(WHOLE_PPM), times)).unwrap_or(i64::MAX)
}

/// What a table with a raise leaves when its lease ends: in each hour the least of the tables and 1.
fn after_lease(tables: &[&[i64]]) -> Vec<i64> {
    let hours = tables.iter().map(|table| table.len()).max().unwrap_or(0);
    let least = |hour: usize| tables.iter().filter_map(|table| table.get(hour)).fold(WHOLE_PPM, |a, b| a.min(*b));
    (0..hours).map(least).collect()
}

/// The factor of an hour of the week; an empty table is one of ones.
pub fn of_hour(table: &[i64], hour_of_week: usize) -> f64 {
    ppm_of_hour(table, hour_of_week).max(0) as f64 / WHOLE_PPM as f64
}

fn ppm_of_hour(table: &[i64], hour_of_week: usize) -> i64 {
    *table.get(hour_of_week % table.len().max(1)).unwrap_or(&WHOLE_PPM)
}

/// The highest bid at which no hour's factor leads above `ceiling`.
pub fn below(ceiling: i64, table: &[i64]) -> i64 {
    let most = table.iter().copied().max().unwrap_or(WHOLE_PPM).max(WHOLE_PPM);
    let bid = i128::from(ceiling) * i128::from(WHOLE_PPM) / i128::from(most);
    i64::try_from(bid).unwrap_or(ceiling)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::Fallback;

    fn command(sequence: i64, factor: i64, leased: bool) -> Adjustment {
        Adjustment {
            command_id: format!("c{sequence}"),
            sequence,
            table: Some(vec![factor; 24]),
            issued_at: sequence * 1_000,
            fallback: leased.then_some(Fallback { value_micros: None, when: sequence * 1_000 + 500 }),
            ..Adjustment::default()
        }
    }

    fn ack(sequence: i64, result: &str) -> Ack {
        Ack { command_id: format!("c{sequence}"), result: result.into(), ..Ack::default() }
    }

    #[test]
    fn silence_raises_no_hour() {
        let mut slot = FactorSlot::default();
        let table = |sequence, factors: Vec<i64>| Adjustment { table: Some(factors), ..command(sequence, 0, true) };
        slot.issue(&table(1, vec![1_500_000, 600_000]));
        slot.answer(&ack(1, "applied"), 1_200);
        slot.issue(&table(2, vec![1_600_000, 700_000]));
        slot.answer(&ack(2, "applied"), 2_200);
        assert!(slot.lapse((None, 0), 9_000));
        assert_eq!(slot.assumed(), [1_000_000, 600_000]);
    }

    #[test]
    fn a_table_that_may_be_in_force_bounds_the_bid() {
        let mut slot = FactorSlot::default();
        slot.issue(&command(1, 1_500_000, true));
        slot.answer(&ack(1, "applied"), 1_200);
        slot.issue(&command(2, 900_000, false));
        assert_eq!(slot.most(), 1_500_000, "the lower one is not confirmed");
        slot.issue(&command(3, 800_000, false));
        slot.answer(&ack(3, "applied"), 3_200);
        assert_eq!(slot.most(), 1_000_000);
    }

    #[test]
    fn a_table_with_a_raise_goes_back_to_the_one_before_when_its_lease_ends() {
        let mut slot = FactorSlot::default();
        slot.issue(&command(1, 900_000, false));
        assert_eq!(slot.answer(&ack(1, "applied"), 1_200), Answer::Applied(200));
        assert!(!slot.issue(&command(2, 1_500_000, true)));
        assert_eq!((slot.assumed()[0], slot.known(true)[0]), (1_500_000, 900_000));
        slot.answer(&ack(2, "applied"), 2_200);
        assert!(!slot.lapse((Some(9_000), 2), 8_000), "the account's lease covers it");
        assert!(slot.lapse((None, 0), 8_000));
        assert_eq!(slot.assumed()[0], 900_000);
        assert!(!slot.lapse((None, 0), 9_000), "once");
    }

    #[test]
    fn the_last_table_leads_back_to_the_one_before_while_it_is_young_and_in_force() {
        let mut slot = FactorSlot::default();
        assert!(slot.way_back(0).is_none());
        slot.issue(&command(1, 900_000, false));
        let (_, before) = slot.way_back(1_500).expect("asked for is enough");
        assert_eq!(before, [WHOLE_PPM; 24]);
        assert!(slot.way_back(1_000 + DAY_MS).is_none(), "a day has passed over it");
        slot.answer(&ack(1, "rejected"), 1_200);
        assert!(slot.way_back(1_500).is_none(), "nothing came of it");
        slot.issue(&command(2, WHOLE_PPM, false));
        assert!(slot.way_back(2_500).is_none(), "it changed nothing");
        slot.issue(&command(3, 1_500_000, true));
        slot.answer(&ack(3, "applied"), 3_200);
        slot.lapse((None, 0), 9_000);
        assert!(slot.way_back(9_000).is_none(), "its lease has taken it back");
    }

    #[test]
    fn a_refused_table_is_not_in_force_and_an_old_answer_changes_nothing() {
        let mut slot = FactorSlot::default();
        slot.issue(&command(1, 900_000, false));
        assert_eq!(slot.answer(&ack(1, "rejected"), 1_200), Answer::Refused);
        assert!(slot.assumed().is_empty());
        assert_eq!(slot.answer(&ack(1, "applied"), 1_300), Answer::NotMine);
        slot.issue(&command(2, 800_000, false));
        assert!(slot.is_lost(5_000, 3_000) && !slot.is_lost(2_500, 3_000));
        assert!(slot.issue(&command(3, 700_000, false)), "nobody answered the second");
    }

    #[test]
    fn the_bid_stays_below_the_ceiling_of_the_best_hour() {
        assert_eq!(below(3_000_000, &[500_000, 1_500_000]), 2_000_000);
        assert_eq!(below(3_000_000, &[500_000]), 3_000_000);
        assert_eq!((below(3, &[]), of_hour(&[], 7), of_hour(&[500_000; 24], 167)), (3, 1.0, 0.5));
    }
}
