//! A person's word on a proposal, and proposals that nobody decided in time.
//!
//! What always holds: an approved proposal passes the guard again and goes out as a command of its own; a person may lower
//! its value, not raise it; after its time no yes counts.

use super::{Desk, rules};
use crate::ledger::{GUARD_REFUSED_TERM, Lever, TABLE_KIND, VALUE_KIND, value_of};
use crate::rule_memory::terms_of_rule;
use model::fact::Decision;
use model::output::{Adjustment, Term};
use model::time::{DAY_MS, Millis};
use policy::explain::Reason;
use policy::guard::{Action, Mode, Proposal};
use policy::pause::Holder;
/// A proposal is put off for so long at most; a later instant is taken for a mistake of units.
const SNOOZE_MAX_MS: Millis = 35 * DAY_MS;

impl Desk<'_> {
    /// Takes a person's word on a proposal.
    pub fn hear(&mut self, decision: &Decision) {
        let Some(campaign_id) = decision.campaign_id.clone().or_else(|| self.campaign_of(decision)) else { return };
        if decision.decision == "undo" {
            return self.undo(decision, &campaign_id);
        }
        let found = self.ledger.campaign(&decision.account_id, &campaign_id);
        let Some(proposal) = found.and_then(|campaign| campaign.proposals.get(&decision.command_id)).cloned() else {
            return;
        };
        match decision.decision.as_str() {
            "approve" => self.approve(proposal, None),
            "edit" => self.approve(proposal, decision.value_micros),
            "snooze" => {
                let until = decision.until.unwrap_or(self.now).clamp(self.now, self.now.saturating_add(SNOOZE_MAX_MS));
                self.propose(Adjustment { decide_by: Some(until), ..proposal });
            }
            _ => self.propose(Adjustment { state: "rejected".into(), ..proposal }),
        }
    }

    /// Proposals that nobody decided in time.
    pub fn expire_proposals(&mut self) {
        let now = self.now;
        let late = |proposal: &Adjustment| proposal.decide_by.is_some_and(|by| by <= now);
        let campaigns = self.ledger.accounts.values().flat_map(|account| account.campaigns.values());
        let expired: Vec<Adjustment> = campaigns
            .flat_map(|campaign| campaign.proposals.values())
            .filter(|proposal| late(proposal))
            .cloned()
            .collect();
        for proposal in expired {
            self.propose(Adjustment { state: "expired".into(), ..proposal });
        }
    }

    fn approve(&mut self, proposal: Adjustment, edited: Option<i64>) {
        let late = proposal.decide_by.is_some_and(|by| by <= self.now);
        let smaller = match (edited, proposal.value_micros) {
            (Some(value), Some(proposed)) => value > 0 && value <= proposed,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if late || !smaller {
            return self.propose(Adjustment { state: if late { "expired" } else { "rejected" }.into(), ..proposal });
        }
        let (account_id, campaign_id) = (proposal.account_id.clone(), proposal.campaign_id.clone());
        let Some(action) = action_of(&proposal, edited) else { return };
        let lever = Lever::of(&proposal.kind).unwrap_or(Lever::State);
        let reason = if proposal.reason == Reason::Undo.as_str() { Reason::Undo } else { Reason::Person };
        let approved = Proposal { action, reason, group_sum_micros: None, approved: true };
        let issued = self.at_case(&account_id, &campaign_id, true, |desk, case| {
            // Which rule it was, and how long the value is the rule's, the command says again; the person decides the mode.
            let terms = terms_of_rule(&proposal, desk.now, case.picture.day.end);
            desk.ruling = (!terms.is_empty()).then(|| rules::Ruling { mode: Mode::Auto, terms, text: String::new() });
            let before = desk.outputs.adjustments.len();
            match (&approved.action, &proposal.table) {
                (Action::SetModifierTable, Some(table)) => desk.submit_persons_hours(case, table, reason, true),
                (Action::SetModifier, _) => match (&proposal.dimension, proposal.value_ppm) {
                    (Some(of), Some(ppm)) => desk.submit_persons_value(case, of, ppm, reason, true),
                    _ => false,
                },
                _ => desk.submit_proposal(case, lever, &approved),
            };
            // By what went out: a campaign that only observes by now writes down what it would have done.
            let issued = desk.outputs.adjustments.len() > before;
            if let Some(command) = desk.outputs.adjustments.last_mut().filter(|_| issued) {
                command.group_id.clone_from(&proposal.group_id);
            }
            issued
        });
        self.ruling = None;
        let Some(issued) = issued else { return };
        let state = if issued { "approved" } else { "rejected" };
        let mut proposal = Adjustment { state: state.into(), ..proposal };
        if !issued {
            // A person said yes: what the guard refuses now is no word against the campaign's next proposal.
            proposal.explanation.terms.push(Term { name: GUARD_REFUSED_TERM.into(), value: 1 });
        }
        self.propose(proposal);
    }
}

fn action_of(proposal: &Adjustment, edited: Option<i64>) -> Option<Action> {
    if proposal.kind == TABLE_KIND {
        return Some(Action::SetModifierTable);
    }
    if proposal.kind == VALUE_KIND {
        return Some(Action::SetModifier);
    }
    let value = edited.or(value_of(proposal))?;
    let holder = || proposal.holder.as_deref().and_then(Holder::parse).unwrap_or(Holder::Person);
    match proposal.kind.as_str() {
        "set_bid" => Some(Action::SetBid(value as f64)),
        "set_daily_budget" => Some(Action::SetDailyBudget(value as f64)),
        "pause" => Some(Action::Pause(holder(), None)),
        "resume" => Some(Action::Resume(holder())),
        _ => None,
    }
}
