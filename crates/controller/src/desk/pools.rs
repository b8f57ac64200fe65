//! Moves of budgets within pools: decreases before local midnight, increases after it, through the guard (section 8).
//!
//! A command that is lost is asked again, a decrease until half an hour after midnight, an increase until the group ends.
//! Increases wait for the decreases; those that do not come by then take their share of the increases with them (`pools`).
//!
//! What always holds: an increase is sent only as far as decreases were confirmed, and names them (`requires`); all parts of
//! a night share a `group_id`; what was given before stands in each explanation. A group that a person decides, or that is
//! only observed, leaves as proposals, all of it.
//!
//! Missing on purpose: a command that withdraws a group. Each part can be undone by its own value, which it names; what is
//! lost undoes itself (`pools`).

use super::{Case, Desk};
use crate::campaign::Live;
use crate::ledger::{AccountLedger, Lever};
use crate::pools::{Group, Leg, is_confirmed};
use model::output::{Adjustment, ExpectedEffect, Term};
use model::time::{MINUTE_MS, Millis};
use policy::explain::{Reason, pool_sentence};
use policy::gates::{Permission, WhyNothing};
use policy::guard::{Action, Checked, Mode, Proposal, Verdict, check};
use policy::portfolio::explore::PROPENSITY_PPM;

/// What "why nothing" calls it.
const WORD: &str = "budget";
/// A budget is not brought to what is given within this time before midnight: it would count for the day that ends.
const QUIET_BEFORE_MS: Millis = 15 * MINUTE_MS;

/// A command that nobody answered is asked again after twice the time each: half a dozen times within the hour, and few
/// enough for the account's breaker. The gate waits for the time that an answer takes.
fn asked_again_at(asked_at: Millis, begun: Millis) -> Millis {
    asked_at.saturating_add(asked_at.saturating_sub(begun).max(MINUTE_MS))
}

impl Desk<'_> {
    /// Once a minute: what the groups that are under way ask for now.
    pub fn move_pools(&mut self) {
        let accounts = self.belief.accounts.iter();
        let open: Vec<(String, Group)> = accounts
            .flat_map(|(account_id, account)| {
                let groups = account.pools.by_id.values().filter_map(|pool| pool.group.clone());
                groups.map(move |group| (account_id.clone(), group))
            })
            .collect();
        for (account_id, group) in &open {
            self.move_group(account_id, group);
        }
    }

    fn move_group(&mut self, account_id: &str, group: &Group) {
        let nothing = AccountLedger::default();
        let ledger = self.ledger.accounts.get(account_id).map_or(&nothing, |account| &**account);
        let gave: Vec<String> = group
            .legs
            .iter()
            .filter(|leg| leg.gives() && is_confirmed(leg, ledger))
            .filter_map(|leg| {
                ledger.campaigns.get(&leg.campaign_id)?.budget.last.as_ref().map(|last| last.command_id.clone())
            })
            .collect();
        let settings = &self.policy.for_account(account_id).portfolio;
        let lowers = self.now < if group.is_proposed { group.day_end } else { group.lowered_by(settings) };
        let all_gave = group.legs.iter().filter(|leg| leg.gives()).count() == gave.len();
        let raises = self.now >= group.raised_from(settings) && !gave.is_empty() && (all_gave || !lowers);
        let waits = |leg: &Leg| {
            let slot = ledger.campaigns.get(&leg.campaign_id).map(|ledger| &ledger.budget);
            let shown =
                slot.and_then(|slot| slot.shown).is_some_and(|(value, at)| value == leg.to && at >= group.opened_at);
            let asked = slot.and_then(|slot| slot.last.as_ref()).filter(|last| last.issued_at >= group.opened_at);
            let begun = if leg.gives() { group.opened_at } else { group.raised_from(settings) };
            let again = asked.is_some_and(|last| self.now >= asked_again_at(last.issued_at, begun));
            if group.is_proposed { shown } else { is_confirmed(leg, ledger) || asked.is_some() && !again }
        };
        let due = |leg: &&Leg| match (group.is_proposed, leg.gives()) {
            (true, _) | (false, true) => lowers,
            (false, false) => raises,
        };
        let legs: Vec<Leg> = group.legs.iter().filter(due).filter(|leg| !waits(leg)).cloned().collect();
        for leg in &legs {
            let requires = if leg.gives() { Vec::new() } else { gave.clone() };
            self.at_case(account_id, &leg.campaign_id, false, |desk, case| desk.submit_leg(case, group, leg, requires));
        }
    }

    fn submit_leg(&mut self, case: &Case<'_>, group: &Group, leg: &Leg, requires: Vec<String>) {
        if self.is_ruled(case, Lever::Budget) {
            return self.note(WORD, "rule_holds");
        }
        // Where the day's highest budget counts, one that is lowered late does not bound the day.
        if leg.gives() && self.now >= group.day_end && case.picture.profile.ceiling_by_highest_budget {
            return;
        }
        let gate = self.gate(case.account_id, case.campaign_id, case.live, case.picture, Lever::Budget);
        let needed = if leg.gives() { Permission::DecreasesOnly } else { Permission::All };
        if gate.permission > needed {
            return self.note(WORD, gate.why.map_or("held", WhyNothing::as_str));
        }
        let reason = if group.explores { Reason::Exploration } else { Reason::Reallocation };
        let action = Action::SetDailyBudget(leg.to as f64);
        let sum = group.legs.iter().fold(0_i64, |sum, leg| sum.saturating_add(leg.to.saturating_sub(leg.from)));
        let proposal = Proposal { action, reason, group_sum_micros: Some(sum), approved: false };
        let mut limits = self.limits(case, Lever::Budget, reason);
        limits.mode = match (group.is_observed, group.is_proposed) {
            (true, _) => Mode::Observe,
            (false, true) => Mode::Approve,
            (false, false) => limits.mode,
        };
        let view = self.ledger_view(case, Lever::Budget);
        match check(&proposal, &limits, &view, self.now) {
            Verdict::Hold(why) => self.note(WORD, why.as_str()),
            Verdict::Emit(command) => {
                let written = self.written_leg(case, group, leg, command.checked(), ("issued", None));
                self.issue(Adjustment { requires, ..written });
            }
            Verdict::Propose(guarded) => {
                let word =
                    if group.is_observed { ("observed", None) } else { ("proposed", Some(guarded.decide_by_ms())) };
                let written = self.written_leg(case, group, leg, guarded.checked(), word);
                self.propose(written);
            }
        }
    }

    fn written_leg(
        &self,
        case: &Case<'_>,
        group: &Group,
        leg: &Leg,
        checked: &Checked,
        (state, decide_by): (&str, Option<Millis>),
    ) -> Adjustment {
        let mut written = self.written(case, Lever::Budget, checked, state, decide_by);
        written.group_id = Some(group.id.clone());
        let term = |name: &str, value: i64| Term { name: name.to_owned(), value };
        written.explanation.terms.extend([
            term("budget_before_micros", leg.from),
            term("return_over_pool_ppm", leg.return_ppm),
            term("pool_sum_micros", group.sum_micros),
            term("group_sum_micros", 0),
            term("group_parts", group.legs.len() as i64),
        ]);
        let sentence =
            pool_sentence(leg.return_ppm, group.legs.len(), group.explores.then_some(leg.drawn), group.gain_ppm);
        written.explanation.text = format!("{} {sentence}", written.explanation.text);
        if leg.drawn {
            written.explanation.propensity_ppm = Some(PROPENSITY_PPM);
        }
        if let Some([low, mid, high]) = group.gain_ppm {
            written.expected_effect = Some(ExpectedEffect { metric: "pool_value_gain_ppm".into(), low, mid, high });
        }
        written
    }

    /// Brings a budget in force to what the pool gives: after a lost move, an ended lease or a changed specification.
    /// `true` for a campaign in a pool.
    pub(super) fn follow_pool(&mut self, case: &Case<'_>) -> bool {
        let Some((given, moves)) = self.given_to(case) else { return false };
        let day = &case.picture.day;
        let since = self.now.saturating_sub(day.start);
        let settings = self.policy.for_account(case.account_id);
        let quiet = day.end.saturating_sub(self.now) <= QUIET_BEFORE_MS || since < settings.portfolio.raise_after_ms;
        if case.evaluation.is_none() || moves || quiet {
            return true;
        }
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let own = case.live.spec.daily_budget_micros;
        let in_force = ledger.and_then(|ledger| match self.is_lost(case, &ledger.budget) {
            true => ledger.budget.confirmed,
            false => ledger.budget.assumed(),
        });
        let Some(in_force) = in_force.or(own).filter(|in_force| *in_force != given) else { return true };
        let gate = self.gate(case.account_id, case.campaign_id, case.live, case.picture, Lever::Budget);
        let needed = if given > in_force { Permission::All } else { Permission::DecreasesOnly };
        if gate.permission > needed {
            self.note(WORD, gate.why.map_or("held", WhyNothing::as_str));
        } else {
            self.submit(case, Lever::Budget, Action::SetDailyBudget(given as f64), Reason::PoolReturn);
        }
        true
    }

    /// What the pool gives a campaign, and whether a group is about to change it.
    fn given_to(&self, case: &Case<'_>) -> Option<(i64, bool)> {
        let account = self.belief.accounts.get(case.account_id)?;
        let (pool, member) = account.pools.member(&case.live.spec, case.campaign_id)?;
        let moves = pool.group.as_ref().is_some_and(|group| group.leg(case.campaign_id).is_some());
        Some((member.given_micros, moves))
    }

    /// What may still be added to budgets of the campaign's pool: its sum less what may be in force, each campaign at the
    /// highest value that may be. `None` for a campaign in no pool.
    pub(super) fn pool_left(&self, account_id: &str, campaign_id: &str, live: &Live) -> Option<i64> {
        let account = self.belief.accounts.get(account_id)?;
        let (pool, _) = account.pools.member(&live.spec, campaign_id)?;
        let ledger = self.ledger.accounts.get(account_id);
        let in_force = pool.members.iter().map(|(id, member)| {
            let slot = ledger.and_then(|ledger| ledger.campaigns.get(id)).map(|ledger| &ledger.budget);
            // What was asked of the campaign itself before passed the same rule, and a new command replaces it.
            let own = slot.filter(|_| **id == *campaign_id).map(|slot| slot.confirmed.unwrap_or(member.own_micros));
            own.or(slot.map(|slot| slot.highest(member.own_micros))).unwrap_or(member.own_micros)
        });
        Some(pool.sum_micros().saturating_sub(in_force.fold(0, i64::saturating_add)))
    }

    /// The sum of the campaign's pool, which no budget in it can exceed.
    pub(super) fn pool_sum(&self, case: &Case<'_>) -> Option<i64> {
        let account = self.belief.accounts.get(case.account_id)?;
        Some(account.pools.member(&case.live.spec, case.campaign_id)?.0.sum_micros())
    }
}
