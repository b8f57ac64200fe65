//! Looks that would find nothing new, and so are not made: most of them, since each record that touches a campaign and
//! each minute asks for one.
//!
//! What always holds: a look is left out only where it would decide nothing, tell nothing and leave the same memory
//! behind, but for the word of the pace and the minute up to which a runaway was looked for. Who publishes a row is
//! looked at, so only a view meets that word: it is five minutes old at most. A look leaves behind what the next ones
//! depend on: until when nothing is due, and how much may be spent before the hard stop or a runaway could open. Amounts are added as they come; whatever else
//! changes (specification, ledger, corrections, amounts of other days, habits of a channel, the policy) ends the quiet.
//! It is belief and part of the state, so it is the same live, after a restart and in a replay.
//!
//! The bounds err towards looking: all that was spent in the last quarter of an hour is taken to have been spent in each
//! shorter window, and every amount since to lie in all of them.
//!
//! Whoever adds to a look what may act between a campaign's instants, or reads what others change, adds here when it ends
//! the quiet; debug builds and this crate's tests make some of the looks that were left out, and tell what was forgotten.
//!
//! Missing on purpose: campaigns that count reports, share a budget, are in a pool, are held still, have a tiny budget
//! or a trouble that stands: each of their looks is made.

use crate::calendar::Day;
use crate::campaign::Live;
use crate::ledger::{CampaignLedger, RUNNING, ack_limit_ms};
use crate::measures::{GROSS_SPEND, SPEND_CORRECTION};
use crate::pacing::{Around, Pacing};
use crate::picture::{MINUTES_BACK_MS, Picture};
use crate::slot::Slot;
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use policy::anomaly::Detector;
use policy::gates::Freshness;
use policy::guard::Mode;
use policy::pressure::Rate;
use serde::{Deserialize, Serialize};

/// Until when, and up to which spend, looks at a campaign would find nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    /// The local day's first instant; amounts before it end the quiet.
    day_start: Millis,
    /// First instant after the local day.
    day_end: Millis,
    /// First instant at which something is due.
    until: Millis,
    /// End of what was seen.
    seen_from: Millis,
    /// An hour closes when this is seen.
    seen_until: Millis,
    /// Data older than this are another case.
    age_max_ms: Millis,
    learned: i64,
    policy_version: i64,
    /// A pause that is sent acts after this time.
    wait_ms: Millis,
    /// The shortest spans that rates are taken over: of the usual one, and of the fastest.
    spans_ms: [Millis; 2],
    ceiling_micros: i64,
    runaway_micros: i64,
    /// Spent today, at most.
    spent_micros: i64,
    /// Spent within any window that the loops read, at most.
    recent_micros: i64,
}

/// The instant at which campaigns are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Glance {
    /// T.
    pub now: Millis,
    /// Watermark of the events.
    pub watermark: Option<Millis>,
    /// Version of the policy.
    pub policy_version: i64,
    /// Hours that the account's channels have learned.
    pub learned: i64,
}

/// Windows of the fastest rate are no longer than this.
const WINDOW_MS: Millis = 15 * MINUTE_MS;
/// Nor shorter than this.
const WINDOW_LEAST_MS: Millis = 5 * MINUTE_MS;

impl Quiet {
    /// What a look leaves behind; `next` is when the next of the campaign's instants comes.
    pub fn after(
        live: &Live,
        pacing: &Pacing,
        picture: &Picture,
        around: &Around<'_>,
        glance: &Glance,
        next: Millis,
    ) -> Option<Self> {
        let (settings, ledger, now) = (around.settings, around.ledger, picture.now);
        let ceiling_micros = calm_ceiling(live, pacing, picture, around)?;
        let until = until(live, picture, around, next)?;
        let covered = settings.pressure.rate_window_min_ms.max(WINDOW_MS);
        let usual = settings.pressure.rate_window_min_ms.max(1);
        if covered > MINUTES_BACK_MS || settings.anomaly.runaway.window_ms > covered || !is_settled(ledger, around, now)
        {
            return None;
        }
        let day: &Day = &picture.day;
        let share = settings.anomaly.runaway.budget_share * picture.budget.ok()?.max(0) as f64;
        let gates = &settings.gates;
        let stale_ms = gates.stale_min_ms.max(picture.period_ms.max(0).saturating_mul(gates.stale_periods));
        let quiet = Self {
            day_start: day.start,
            day_end: day.end,
            until: until.min(day.end),
            seen_from: picture.seen_until,
            seen_until: picture.seen_until.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS),
            age_max_ms: stale_ms.min(usual / settings.pressure.rate_window_ages.max(1)),
            learned: glance.learned,
            policy_version: glance.policy_version,
            wait_ms: picture.apply_ms.max(0).saturating_add(settings.anomaly.hard_stop.reserve_ms.max(0)),
            spans_ms: [usual, usual.min(WINDOW_LEAST_MS)],
            ceiling_micros,
            runaway_micros: share as i64,
            spent_micros: picture.spent_day,
            recent_micros: spent_since(live, picture.seen_until.saturating_sub(covered)),
        };
        (now < quiet.until && quiet.is_far()).then_some(quiet)
    }

    /// An amount of an event; `false` where it ends the quiet.
    pub fn take(&mut self, at: Millis, spend_micros: i64) -> bool {
        let spend_micros = spend_micros.max(0);
        self.spent_micros = self.spent_micros.saturating_add(spend_micros);
        self.recent_micros = self.recent_micros.saturating_add(spend_micros);
        (self.day_start..self.day_end).contains(&at)
    }

    fn holds(&self, live: &Live, glance: &Glance) -> bool {
        let Some(watermark) = glance.watermark else { return false };
        let seen_until = watermark.min(glance.now).div_euclid(MINUTE_MS) * MINUTE_MS;
        glance.now < self.until
            && (self.seen_from..self.seen_until).contains(&seen_until)
            && glance.now.saturating_sub(watermark) <= self.age_max_ms
            && (self.policy_version, self.learned) == (glance.policy_version, glance.learned)
            // Rows tell the pace, which is that of the last look: who is about to publish one is looked at.
            && live.open.first().is_none_or(|row| Millis::from(row.end) * MINUTE_MS > glance.now)
            && live.revised.is_empty()
            && self.is_far()
    }

    /// Neither the hard stop nor a runaway can open.
    fn is_far(&self) -> bool {
        let [usual, fastest] = self.spans_ms.map(|span_ms| Rate { spend_micros: self.recent_micros, span_ms });
        let unseen = usual.over(self.age_max_ms);
        let reach = self.spent_micros.saturating_add(unseen).saturating_add(fastest.over(self.wait_ms));
        reach < self.ceiling_micros && self.recent_micros < self.runaway_micros
    }
}

impl Live {
    /// Whether a look, at an instant that is none of the campaign's own, would find nothing new.
    pub fn is_quiet(&self, glance: &Glance) -> bool {
        self.quiet.is_some_and(|quiet| quiet.holds(self, glance))
    }

    /// What is spent may end the quiet.
    pub fn stir(&mut self, at: Millis, spend_micros: i64) {
        if self.quiet.as_mut().is_some_and(|quiet| !quiet.take(at, spend_micros)) {
            self.quiet = None;
        }
    }
}

/// The ceiling of a campaign for which nothing but its own spend and time can change anything; `None` for any other.
fn calm_ceiling(live: &Live, pacing: &Pacing, picture: &Picture, around: &Around<'_>) -> Option<i64> {
    let stands = pacing.hard_stop.is_open() || pacing.runaway.is_open() || around.integrity_gap;
    let is_plain = !live.counts_reports() && live.spec.budget_id.is_none() && !picture.is_shared && !picture.is_tiny;
    let is_judged = pacing.hours.is_some() && picture.watermark.is_some() && around.freshness == Freshness::Fresh;
    let underperforms = pacing.underperformer.is_some_and(|watched| watched.is_open);
    let is_calm = is_plain && is_judged && !stands && !underperforms && picture.cost.is_ok();
    (is_calm && picture.budget.is_ok()).then_some(picture.ceiling)
}

/// Nothing in the ledger waits for anything but an answer to a bid or a budget.
fn is_settled(ledger: &CampaignLedger, around: &Around<'_>, now: Millis) -> bool {
    let over = |slot: &Slot| {
        slot.override_at.is_none_or(|at| now.saturating_sub(at) >= around.settings.gates.override_hold_ms)
    };
    let state = &ledger.state;
    [&ledger.bid, &ledger.budget, state].into_iter().all(over)
        && !ledger.halted
        && !ledger.is_paused()
        && state.pending.is_none()
        && state.last.as_ref().is_none_or(|last| last.value == RUNNING)
        && now >= ledger.rules.bid_until.max(ledger.rules.budget_until)
}

/// The first instant at which something is due by the clock; `None` where each look may act.
fn until(live: &Live, picture: &Picture, around: &Around<'_>, next: Millis) -> Option<Millis> {
    let (spec, now, ledger) = (&live.spec, picture.now, around.ledger);
    let flight = [Some(spec.flight_start), spec.flight_end].into_iter().flatten().filter(|at| *at > now);
    let limit = ack_limit_ms(picture.apply_ms, around.settings.gates.ack_limit_applies);
    let lost_at = ledger.bid.pending.as_ref().map(|pending| pending.issued_at.saturating_add(limit));
    // A cut that was lost is sent again with any look; a raise waits for its instant.
    let before = ledger.bid.confirmed.or(Some(spec.bid_micros)).filter(|bid| *bid > 0);
    let is_raise =
        ledger.bid.pending.as_ref().is_some_and(|pending| before.is_none_or(|before| pending.value > before));
    let waits = !is_raise && Mode::parse(&spec.mode) == Mode::Auto;
    let lost_at = lost_at.filter(|_| waits);
    let first = flight.chain(lost_at).fold(next, Millis::min);
    (first > now).then_some(first)
}

/// All that was spent in the minutes since, clawed-back money left out.
fn spent_since(live: &Live, from: Millis) -> i64 {
    let first = crate::calendar::minute_index(from);
    let spent = live.minutes.pairs(first..i32::MAX, [GROSS_SPEND, SPEND_CORRECTION]);
    spent.map(|[gross, correction]| gross.saturating_add(correction).max(0)).fold(0, i64::saturating_add)
}

#[cfg(any(test, debug_assertions))]
mod held_against {
    //! Debug builds make some of the looks that are left out, on a copy, and hold what they find against nothing.

    use crate::belief::Touched;
    use crate::campaign::Live;
    use crate::controller::{ByAccount, Controller, Round};
    use crate::desk::{Due, intervals, last_instant};
    use crate::seen::fingerprint;
    use std::sync::Arc;

    /// So many a record: a copy is dear.
    const LOOKS_MAX: usize = 3;

    impl Controller {
        pub(crate) fn make_looks_left_out(
            &self,
            restless: &ByAccount,
            touched: &Touched<'_>,
            (everyone, minute): (bool, bool),
            round: &Round,
        ) {
            let is_asked = |account: &str, campaign: &str| everyone || touched.contains(&(account, campaign));
            let is_made = |account: &str, campaign: &str| {
                restless.iter().any(|(id, own)| id == account && own.iter().any(|id| **id == *campaign))
            };
            let mut left_out = Vec::new();
            for (account_id, account) in self.state.belief.accounts.iter() {
                for (id, _) in account.campaigns.iter().filter(|(_, campaign)| campaign.live.is_some()) {
                    if is_asked(account_id, id) && !is_made(account_id, id) {
                        left_out.push((account_id.clone(), id.clone()));
                    }
                }
            }
            let first = usize::try_from(round.at.offset).unwrap_or_default();
            for at in 0..left_out.len().min(LOOKS_MAX) {
                let (account_id, campaign_id) = &left_out[(first + at) % left_out.len()];
                self.make_look(account_id, campaign_id, minute, round);
            }
        }

        fn make_look(&self, account_id: &str, campaign_id: &Arc<str>, minute: bool, round: &Round) {
            let mut copy = self.clone();
            let mut own = Round { at: round.at, decide: round.decide, ..Round::default() };
            let now = self.state.now;
            let mut desk = copy.desk(&mut own);
            if minute {
                let instants =
                    |name: &str| intervals(&self.policy).map(|every| last_instant(fingerprint(name), now, every));
                let due = desk.due(account_id, campaign_id, instants);
                assert!(!due.pacing && !due.rules, "{campaign_id} at {now}: {due:?}");
            }
            assert!(!desk.attend(account_id, campaign_id, Due::default()));
            let outputs = format!("{:?}", own.outputs);
            assert_eq!(outputs, format!("{:?}", crate::Outputs::default()), "{campaign_id} at {now}");
            let live = |controller: &Controller| {
                let campaign = controller.state.belief.campaign(account_id, campaign_id);
                campaign.and_then(|campaign| campaign.live.as_deref().cloned()).unwrap_or_default()
            };
            let (before, mut after) = (live(self), live(&copy));
            let memory = |live: &Live| postcard::to_stdvec(live).unwrap_or_default();
            let words = |live: &Live| {
                live.whys
                    .iter()
                    .filter(|(lever, _)| crate::desk::is_asked_at_evaluations(lever))
                    .copied()
                    .collect::<Vec<_>>()
            };
            assert!(!round.decide || words(&before) == after.whys, "{campaign_id} at {now}: {:?}", after.whys);
            (after.pacing.pace, after.pacing.runaway) = (before.pacing.pace, before.pacing.runaway);
            after.quiet = before.quiet;
            assert_eq!(memory(&before), memory(&after), "{campaign_id} at {now}");
            let facts = |controller: &Controller| {
                let incidents = controller.state.belief.accounts.get(account_id).map(|account| &account.incidents);
                postcard::to_stdvec(&(&controller.state.ledger, &controller.state.alerts, incidents))
                    .unwrap_or_default()
            };
            assert_eq!(facts(self), facts(&copy), "{campaign_id} at {now}");
        }
    }
}
