//! Factors on the bid by hour: from what is wanted, through the guard, to a command (section 7).
//!
//! What always holds: one table for all hours, not a command each hour; a table is sent again within the day only where the
//! last was lost or its lease ran out.

use super::{Case, Desk};
use crate::ledger::{CampaignLedger, Lever, TABLE_KIND};
use crate::pacing::bid_ceiling;
use model::WHOLE_PPM;
use model::output::{Adjustment, ExpectedPrevious, Fallback};
use model::time::{HOUR_MS, Millis};
use policy::explain::Reason;
use policy::gates::{Gate, Permission, WhyNothing};
use policy::guard::{Action, Checked, FactorView, LedgerView, Limits, Mode, Proposal, Verdict, check_factors};
use policy::modifier::{is_worth_a_command, to_ppm};

/// Tables follow daily evaluations; a little less than a day, so that the instant of the day stays where it is.
pub(super) const COOL_DOWN_MS: Millis = 20 * HOUR_MS;
/// A new table comes within this time after the instant of the evaluation or waits for the next: in the middle of the day
/// the plan would change under the loop.
pub(super) const WINDOW_MS: Millis = 4 * HOUR_MS;
/// After a lease that ran out: whatever let it run out may last, and each table is a command.
pub(super) const RETRY_MS: Millis = 4 * HOUR_MS;
/// What "why nothing" calls it.
const WORD: &str = "hours";
/// A factor of nothing would be a pause.
const FACTOR_LEAST: f64 = 0.01;

/// Whether even the lowest bid, with the greatest factor, is above the highest: a specification has changed.
fn is_too_high(case: &Case<'_>, ledger: &CampaignLedger) -> bool {
    let spec = &case.live.spec;
    let ceiling = bid_ceiling(spec);
    ceiling > 0 && crate::factors::below(ceiling, &[ledger.factor_most()]) < spec.bid_min_micros
}

impl Desk<'_> {
    /// Sends the table that the last evaluation wants, where it differs from the one in force.
    pub(super) fn move_hours(&mut self, case: &Case<'_>, gate: &Gate) {
        if case.evaluation.is_none() {
            return;
        }
        let nothing = CampaignLedger::default();
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id).unwrap_or(&nothing);
        let wanted = case.live.by_hour.as_ref().map_or([1.0; 24], |by_hour| by_hour.wanted());
        // Even the lowest bid must not lead above the highest.
        let most = bid_ceiling(&case.live.spec) as f64 / case.live.spec.bid_min_micros.max(1) as f64;
        let wanted = wanted.map(|factor| factor.min(most.max(FACTOR_LEAST)));
        if !is_worth_a_command(&to_ppm(&wanted), self.told(case, ledger), &case.settings.modifiers) {
            return;
        }
        if self.is_taken_back(case, ledger) && !is_too_high(case, ledger) {
            return self.note(WORD, WhyNothing::HumanOverride.as_str());
        }
        if ledger.is_paused() {
            return self.note(WORD, "paused");
        }
        if gate.permission > Permission::DecreasesOnly {
            return self.note(WORD, gate.why.map_or("held", WhyNothing::as_str));
        }
        let is_held = gate.permission != Permission::All;
        let before = self.in_force(case, ledger);
        let raises = |(hour, wanted): (usize, &f64)| *wanted > crate::factors::of_hour(before, hour);
        if is_held && wanted.iter().enumerate().any(raises) {
            return self.note(WORD, gate.why.map_or("held", WhyNothing::as_str));
        }
        if !self.may_send_now(case, self.ledger.campaign(case.account_id, case.campaign_id).unwrap_or(&nothing)) {
            return self.note(WORD, "waits_for_the_instant");
        }
        self.submit_hours(case, &wanted, Reason::Modifiers, false);
    }

    /// A table that a person took back is not sent again while a value set by hand would be left alone.
    fn is_taken_back(&self, case: &Case<'_>, ledger: &CampaignLedger) -> bool {
        let hold_ms = case.settings.gates.override_hold_ms;
        ledger.hours.taken_back_at.is_some_and(|at| self.now.saturating_sub(at) < hold_ms)
    }

    /// At the instant of the day; a table that was lost, or whose lease ran out, at any time.
    fn may_send_now(&self, case: &Case<'_>, ledger: &CampaignLedger) -> bool {
        let has_lapsed = ledger.hours.last.as_ref().is_some_and(|last| last.has_lapsed);
        let instant = case.settings.modifiers.local_hour.clamp(0, 23) * HOUR_MS;
        let since = self.now.saturating_sub(case.picture.day.start);
        has_lapsed
            || is_too_high(case, ledger)
            || self.is_table_lost(case, ledger)
            || (instant..instant.saturating_add(WINDOW_MS)).contains(&since)
    }

    /// A table that a person asks for, by an approval or by taking the last one back, passes the guard like any other.
    pub(super) fn submit_persons_hours(
        &mut self,
        case: &Case<'_>,
        table: &[i64],
        reason: Reason,
        approved: bool,
    ) -> bool {
        let wanted: Vec<f64> = table.iter().map(|ppm| *ppm as f64 / WHOLE_PPM as f64).collect();
        self.submit_hours(case, &wanted, reason, approved)
    }

    fn submit_hours(&mut self, case: &Case<'_>, wanted: &[f64], reason: Reason, approved: bool) -> bool {
        let nothing = CampaignLedger::default();
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id).unwrap_or(&nothing);
        let (before, known) = (self.in_force(case, ledger).to_vec(), ledger.hours.lapsed.clone());
        let proposal = Proposal { action: Action::SetModifierTable, reason, group_sum_micros: None, approved };
        let settings = self.bounds_of(case, crate::hour_table::DIMENSION);
        let view = FactorView { wanted, in_force: &before, known: &known, is_over: false, settings: &settings };
        let limits = self.limits_of_hours(case, ledger, reason);
        let ledger_view = self.view_of_hours(case, ledger);
        match check_factors(&proposal, &view, &limits, &ledger_view, self.now) {
            Verdict::Hold(why) => self.note(WORD, why.as_str()),
            Verdict::Emit(command) if self.is_far(case, command.checked()) => {
                let adjustment = self.written_hours(case, command.checked(), "issued", None);
                self.issue(adjustment);
                return true;
            }
            Verdict::Propose(guarded) if self.is_far(case, guarded.checked()) => {
                return self.propose_hours(case, guarded.checked(), guarded.decide_by_ms());
            }
            Verdict::Emit(_) | Verdict::Propose(_) => self.note(WORD, "dead_band"),
        }
        false
    }

    fn propose_hours(&mut self, case: &Case<'_>, checked: &Checked, decide_by: Millis) -> bool {
        let observed = Mode::parse(&case.live.spec.mode) == Mode::Observe;
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let waits = ledger.is_some_and(|ledger| {
            ledger.is_quiet(TABLE_KIND, self.now) || ledger.proposals.values().any(|known| known.kind == TABLE_KIND)
        });
        if !observed && waits {
            self.note(WORD, "awaiting_approval");
            return false;
        }
        let (state, by) = if observed { ("observed", None) } else { ("proposed", Some(decide_by)) };
        let adjustment = self.written_hours(case, checked, state, by);
        self.propose(adjustment);
        true
    }

    /// What the guard has left of the change is still worth a command.
    fn is_far(&self, case: &Case<'_>, checked: &Checked) -> bool {
        let nothing = CampaignLedger::default();
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id).unwrap_or(&nothing);
        is_worth_a_command(checked.factors(), self.told(case, ledger), &case.settings.modifiers)
    }

    /// The table that the world was last told, as far as it can have heard it.
    fn told<'l>(&self, case: &Case<'_>, ledger: &'l CampaignLedger) -> &'l [i64] {
        match &ledger.hours.shown {
            Some((shown, _)) if Mode::parse(&case.live.spec.mode) != Mode::Auto && !case.approved => shown,
            _ => self.in_force(case, ledger),
        }
    }

    fn in_force<'l>(&self, case: &Case<'_>, ledger: &'l CampaignLedger) -> &'l [i64] {
        ledger.hours.known(self.is_table_lost(case, ledger))
    }

    fn is_table_lost(&self, case: &Case<'_>, ledger: &CampaignLedger) -> bool {
        let limit = self.ack_limit(case);
        ledger.hours.is_lost(self.now, limit)
    }

    fn limits_of_hours<'l>(&self, case: &Case<'l>, ledger: &CampaignLedger, reason: Reason) -> Limits<'l> {
        let has_lapsed = ledger.hours.last.as_ref().is_some_and(|last| last.has_lapsed);
        // The cool-down spares the platform our own changes of mind, not a person's.
        let by_person = case.approved || reason == Reason::Undo;
        let is_urgent = self.is_table_lost(case, ledger) || is_too_high(case, ledger) || by_person;
        let cool_down_ms = match (is_urgent, has_lapsed) {
            (true, _) => 0,
            (false, true) => RETRY_MS,
            (false, false) => COOL_DOWN_MS,
        };
        let ceiling = Some(self.ceiling_beside(case, crate::hour_table::DIMENSION)).filter(|ceiling| *ceiling > 0);
        Limits { ceiling, cool_down_ms, ..self.limits(case, Lever::Bid, reason) }
    }

    fn view_of_hours(&self, case: &Case<'_>, ledger: &CampaignLedger) -> LedgerView {
        let shown = ledger.hours.shown.as_ref().filter(|_| Mode::parse(&case.live.spec.mode) != Mode::Auto);
        let shown = shown.filter(|_| !case.approved).map(|(_, at)| *at);
        // The higher of the bids that may be in force: no hour's bid may lead above the campaign's highest.
        let view = self.ledger_view(case, Lever::Bid);
        let in_force = view.in_force.max(ledger.bid.assumed());
        LedgerView { in_force, last_command_ms: shown.or(ledger.hours.issued_at()), ..view }
    }

    fn written_hours(&self, case: &Case<'_>, checked: &Checked, state: &str, decide_by: Option<Millis>) -> Adjustment {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let sequence = ledger.map_or(0, |ledger| ledger.hours.confirmed_sequence);
        let mut written = self.written(case, Lever::Bid, checked, state, decide_by);
        written.value_micros = None;
        written.table = Some(checked.factors().to_vec());
        written.expected_previous = ExpectedPrevious { sequence, ..ExpectedPrevious::default() };
        // What was in force before: the subscriber knows it, and one value could not say it.
        written.fallback = checked.lease_until_ms().map(|when| Fallback { value_micros: None, when });
        if let Some(by_hour) = &case.live.by_hour {
            written.explanation.terms.extend(by_hour.terms(&case.settings.modifiers));
        }
        written
    }
}
