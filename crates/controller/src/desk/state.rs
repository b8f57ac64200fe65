//! Who holds a campaign still, and when it runs again.
//!
//! What always holds: what a person or the platform paused is not resumed; a pause that was lost is sent again; a resume
//! passes the gate like a raise.

use super::{Case, Desk};
use crate::ledger::{Lever, RUNNING};
use crate::pacing::assumed_bid;
use model::time::{HOUR_MS, Millis};
use policy::anomaly::Detector;
use policy::explain::Reason;
use policy::gates::{Gate, Permission, WhyNothing};
use policy::guard::{Action, Mode};
use policy::pause::{Holder, Resume, ResumeInput, resume_daily_cap, resume_runaway};
impl Desk<'_> {
    /// Pauses of the hard stop, the runaway, the flight's end and the halt, and the resumes when their causes are over.
    pub(super) fn stop_or_start(&mut self, case: &Case<'_>) {
        let gate = self.gate(case.account_id, case.campaign_id, case.live, case.picture, Lever::State);
        let spec = &case.live.spec;
        let controlled = [&spec.bid_control, &spec.budget_control].iter().any(|control| *control == "paceline");
        match self.must_stand(case, &gate) {
            Some((holder, reason, until)) if controlled && spec.status == "active" => {
                if self.needs_pause(case, holder) {
                    self.submit(case, Lever::State, Action::Pause(holder, until), reason);
                }
            }
            Some(_) => {}
            None if self.keeps_underperformer(case) => {}
            None => {
                self.resume(case, &gate);
                self.stop_underperformer(case, &gate);
            }
        }
    }

    /// Who holds the campaign still now, why, and until when if that ends by itself.
    pub(super) fn must_stand(&self, case: &Case<'_>, gate: &Gate) -> Option<(Holder, Reason, Option<Millis>)> {
        let halted = self.ledger.halt_of(case.account_id, case.campaign_id).is_some();
        let over = case.live.spec.flight_end.is_some_and(|end| self.now >= end);
        let stopped = case.pacing.hard_stop.is_open();
        let may_stop = gate.permission <= Permission::HardStopOnly;
        if halted {
            Some((Holder::Halt, Reason::Halt, None))
        } else if over {
            Some((Holder::Flight, Reason::FlightEnd, None))
        } else if may_stop && case.pacing.runaway.is_open() {
            Some((Holder::Runaway, Reason::Runaway, None))
        } else if may_stop && stopped {
            Some((Holder::DailyCap, Reason::DailyCap, Some(case.picture.day.end)))
        } else if gate.permission <= Permission::DecreasesOnly && !case.picture.has_its_turn() {
            Some((Holder::DailyCap, Reason::TinyBudgetTurn, None))
        } else {
            // What was refused is answered: asked again at each look it would trip the breaker.
            let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
            let lost = ledger.filter(|ledger| {
                ledger.holders.since(Holder::Person).is_some()
                    && ledger.state.assumed() == Some(0)
                    && self.is_lost(case, &ledger.state)
            });
            let ruled = self.rule_pause(case).map(|until| (Holder::Rule, Reason::Rule, Some(until)));
            ruled.or(lost.map(|_| (Holder::Person, Reason::Person, None)))
        }
    }

    /// Whether a pause is still to be sent: nobody of ours holds yet, or the pause was lost.
    fn needs_pause(&self, case: &Case<'_>, holder: Holder) -> bool {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return true };
        if Mode::parse(&case.live.spec.mode) != Mode::Auto && holder != Holder::Halt || self.observes(case) {
            let shown = ledger.state.shown.filter(|(_, at)| *at >= case.picture.day.start);
            return shown.is_none_or(|(value, _)| value != 0) && ledger.state.assumed() != Some(0);
        }
        // Who holds from outside has it stand already; only what we were to ask for, and got no answer to, stops nothing.
        if ledger.holders.since(Holder::Person).or(ledger.holders.since(Holder::Platform)).is_some() {
            return ledger.state.is_pause_unheard(self.now, self.ack_limit(case));
        }
        match &ledger.state.pending {
            Some(pending) if pending.value == 0 => self.is_lost(case, &ledger.state),
            Some(_) => true,
            None => ledger.state.confirmed != Some(0) || ledger.holders.since(holder).is_none() && !ledger.is_paused(),
        }
    }

    fn resume(&mut self, case: &Case<'_>, gate: &Gate) {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return };
        let foreign = ledger.holders.since(Holder::Person).or(ledger.holders.since(Holder::Platform)).is_some();
        let resume_lost = ledger.state.pending.as_ref().is_some_and(|pending| pending.value == RUNNING)
            && self.is_lost(case, &ledger.state);
        let held =
            [Holder::Runaway, Holder::DailyCap, Holder::Halt, Holder::Flight, Holder::Underperformer, Holder::Rule];
        let held = held.into_iter().find_map(|holder| Some((holder, ledger.holders.since(holder)?)));
        let held = held.or(resume_lost.then_some((Holder::DailyCap, Millis::MIN)));
        let (Some((holder, since)), false) = (held, foreign) else { return };
        if gate.permission != Permission::All {
            return self.note("state", gate.why.map_or("held", WhyNothing::as_str));
        }
        if let Some((value, at)) = ledger.state.shown.filter(|_| Mode::parse(&case.live.spec.mode) != Mode::Auto)
            && value == RUNNING
            && at >= since
        {
            return;
        }
        let day = case.live.calendar.day_of(since.max(0));
        let input = ResumeInput {
            now_ms: self.now,
            paused_at_ms: since,
            day_end_ms: if case.pacing.hard_stop.is_open() { case.picture.day.end } else { day.end.min(self.now) },
            flight_end_ms: case.live.spec.flight_end,
            bid_in_force_micros: assumed_bid(case.live, ledger),
            bid_yesterday_micros: ledger.bid.value_at(self.now.saturating_sub(24 * HOUR_MS)),
            runaway_resumes: ledger.runaway_resumes_at(self.now),
            runaway_again_micros: case
                .picture
                .exposure
                .exposed_micros()
                .saturating_add(case.pacing.runaway.fastest_micros()),
            ceiling_micros: case.picture.ceiling,
        };
        let (resume, reason) = match holder {
            Holder::Runaway => {
                (resume_runaway(&input, &case.settings.anomaly.runaway, &case.settings.pause), Reason::RunawayOver)
            }
            Holder::Halt => (resume_daily_cap(&input, &case.settings.pause), Reason::Person),
            Holder::Underperformer => (resume_daily_cap(&input, &case.settings.pause), Reason::UnderperformerOver),
            Holder::Rule => {
                let input = ResumeInput { day_end_ms: ledger.rules.pause_until, ..input };
                (resume_daily_cap(&input, &case.settings.pause), Reason::Rule)
            }
            _ if case.picture.is_tiny => (resume_daily_cap(&input, &case.settings.pause), Reason::TinyBudgetTurn),
            _ => (resume_daily_cap(&input, &case.settings.pause), Reason::DayStarted),
        };
        match resume {
            Resume::With(bid) => {
                let lower = bid.filter(|bid| assumed_bid(case.live, ledger).is_some_and(|in_force| *bid < in_force));
                if let Some(bid) = lower.filter(|_| case.live.spec.bid_control == "paceline") {
                    self.submit(case, Lever::Bid, Action::SetBid(bid as f64), reason);
                }
                self.submit(case, Lever::State, Action::Resume(holder), reason);
            }
            Resume::Latched => {
                self.note("state", "runaway_latched");
                if self.needs_resume_proposal(case) {
                    self.submit(case, Lever::State, Action::Resume(holder), reason);
                }
            }
            Resume::NoRoom => self.note("state", "runaway_no_room"),
            Resume::NotYet => self.note("state", "pause_dwells"),
            Resume::FlightEnds => self.note("state", "flight_ends"),
        }
    }

    fn needs_resume_proposal(&self, case: &Case<'_>) -> bool {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        ledger.is_some_and(|ledger| !ledger.proposals.values().any(|proposal| proposal.kind == "resume"))
    }
}
