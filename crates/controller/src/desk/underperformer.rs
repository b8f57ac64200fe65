//! What is done about a campaign that is not worth its money (section 10).
//!
//! What always holds: a pause is a proposal unless the policy says otherwise; asked for once a day at most, and not again
//! for four weeks after a person said no or let the campaign run.

use super::{Case, Desk};
use crate::alerts::Condition;
use crate::ledger::Lever;
use crate::underperformer::{EPOCH_MS, Watched};
use model::time::{HOUR_MS, Millis};
use policy::explain::{Reason, amount};
use policy::gates::{Gate, Permission};
use policy::guard::{Action, Mode, Proposal};
use policy::pause::Holder;
use policy::underperformer::is_control;

/// A proposal a day; a little less, so that the instant stays.
const TOLD_AGAIN_MS: Millis = 20 * HOUR_MS;
/// A person's no holds as long as an epoch.
const QUIET_MS: Millis = EPOCH_MS;

impl Desk<'_> {
    /// Whether an underperformer's own hold stands and its cause with it.
    pub(super) fn keeps_underperformer(&self, case: &Case<'_>) -> bool {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let held = ledger.is_some_and(|ledger| ledger.holders.since(Holder::Underperformer).is_some());
        held && case.pacing.underperformer.is_some_and(|watched| watched.is_open)
    }

    /// Tells of money that brings too little, and asks for a pause.
    pub(super) fn stop_underperformer(&mut self, case: &Case<'_>, gate: &Gate) {
        let Some(watched) = case.pacing.underperformer else { return };
        let settings = &case.settings.pause.underperformer;
        let control = is_control(case.campaign_id, case.picture.day.month, settings);
        let condition = watched.is_open.then(|| told(&watched, case, control));
        self.settle("underperformer", case.account_id, case.campaign_id, condition.as_ref());
        if !watched.is_open || control || gate.permission > Permission::DecreasesOnly {
            return;
        }
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return };
        let waits = |at: Option<Millis>, span: Millis| at.is_some_and(|at| self.now.saturating_sub(at) < span);
        if ledger.is_paused()
            || waits(ledger.underperformer_told, TOLD_AGAIN_MS)
            || waits(ledger.underperformer_refused, QUIET_MS)
        {
            return;
        }
        let approved = settings.automatic && Mode::parse(&case.live.spec.mode) == Mode::Auto;
        let action = Action::Pause(Holder::Underperformer, None);
        let proposal = Proposal { action, reason: Reason::Underperformer, group_sum_micros: None, approved };
        self.submit_proposal(case, Lever::State, &proposal);
    }
}

fn told(watched: &Watched, case: &Case<'_>, control: bool) -> Condition {
    let tenths = |micro: i64| format!("{}.{}", micro / 1_000_000, micro / 100_000 % 10);
    let spent = amount(watched.matured_micros, &case.live.spec.currency);
    let share = case.settings.pause.underperformer.control_budget_share;
    let then = match control {
        true => format!("it runs on with {:.0} % of its budget, as a control of such pauses", share * 100.0),
        false => "a pause is proposed".to_owned(),
    };
    Condition {
        severity: "warning",
        observed: Some(watched.seen_micro),
        expected: Some(watched.due_micro),
        money_at_stake_micros: case.picture.budget.unwrap_or(0),
        text: format!(
            "Campaign {}: {spent} of matured spend brought {} conversions, half of the target's rate would be {}, and the \
             lowest bid did not help; {then}.",
            case.campaign_id,
            tenths(watched.seen_micro),
            tenths(watched.due_micro)
        ),
        ..Condition::default()
    }
}
