//! A person takes the last command of a lever back.
//!
//! What always holds: only the last command of a lever is taken back, and only within a day; what goes out is a decision
//! like any other, through the guard and in the campaign's mode, so in mode approve another person decides; a campaign
//! whose stop still has its cause is not let go. A value that was taken back is left alone for a day, as one that a person
//! set. What is refused is said in a record of `ads.proposals` in state rejected.

use super::{Case, Desk};
use crate::factors::FactorSlot;
use crate::ledger::{CampaignLedger, Lever, TABLE_KIND, VALUE_KIND};
use model::WHOLE_PPM;
use model::fact::Decision;
use model::output::{Adjustment, Dimension, Explanation};
use model::time::{DAY_MS, Millis};
use policy::explain::Reason;
use policy::guard::{Action, Proposal};
use policy::pause::Holder;

/// What taking a command back would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The command.
    pub command_id: String,
    /// When it was issued.
    pub issued_at: Millis,
    /// Which value it set.
    pub lever: Lever,
    /// What the command to come is: set_bid, set_daily_budget, set_modifier_table, set_modifier, pause, resume.
    pub kind: &'static str,
    /// Asked for now; micros, `None` for a state.
    pub from_micros: Option<i64>,
    /// Asked for then; micros, `None` for a state.
    pub to_micros: Option<i64>,
    /// Factors on the bid by hour, asked for now and then, as wholes; of a single value its one factor. Parts per million,
    /// empty for all else.
    pub tables: (Vec<i64>, Vec<i64>),
    /// The dimension and value that a single factor is of.
    pub dimension: Option<Dimension>,
}

impl CampaignLedger {
    /// What can be taken back at an instant: the last command of each lever, the last table and the last factor of each
    /// value, where it changed something.
    pub fn undos(&self, now: Millis) -> Vec<Undo> {
        let levers = [Lever::Bid, Lever::Budget, Lever::State];
        let of_values = self.values.iter().filter_map(|((name, value), slot)| {
            let dimension = Dimension { name: name.clone(), value: value.clone() };
            undo_of_factors(slot, Some(dimension), now)
        });
        let of_hours = undo_of_factors(&self.hours, None, now);
        levers.into_iter().filter_map(|lever| self.undo_of(lever, now)).chain(of_hours).chain(of_values).collect()
    }

    fn undo_of(&self, lever: Lever, now: Millis) -> Option<Undo> {
        let slot = self.slot(lever);
        let last = slot.last.as_ref().filter(|last| now.saturating_sub(last.issued_at) < DAY_MS)?;
        let undo = |kind, values: Option<(i64, i64)>| Undo {
            command_id: last.command_id.clone(),
            issued_at: last.issued_at,
            lever,
            kind,
            from_micros: values.map(|(from, _)| from),
            to_micros: values.map(|(_, to)| to),
            tables: Default::default(),
            dimension: None,
        };
        match lever {
            Lever::State => Some(undo(if last.value == 0 { "resume" } else { "pause" }, None)),
            Lever::Bid | Lever::Budget => {
                let moved = slot.moves.last().filter(|moved| (moved.at, moved.to) == (last.issued_at, last.value))?;
                let kind = if lever == Lever::Bid { "set_bid" } else { "set_daily_budget" };
                Some(undo(kind, Some((moved.to, moved.from))))
            }
        }
    }
}

/// The way back of a table, or of the factor of one value of a dimension.
fn undo_of_factors(slot: &FactorSlot, dimension: Option<Dimension>, now: Millis) -> Option<Undo> {
    let (last, before) = slot.way_back(now)?;
    // The end of a weather is nobody's decision.
    if last.is_of_weather && last.table == [WHOLE_PPM] {
        return None;
    }
    Some(Undo {
        command_id: last.issued.command_id.clone(),
        issued_at: last.issued.issued_at,
        lever: Lever::Bid,
        kind: if dimension.is_some() { VALUE_KIND } else { TABLE_KIND },
        from_micros: None,
        to_micros: None,
        tables: (last.table.clone(), before),
        dimension,
    })
}

impl Desk<'_> {
    /// Takes a person's word that a command is to be taken back. A word on a command that is not the last of its lever, or
    /// with another value than would come back, is void: it was said about another state.
    pub(super) fn undo(&mut self, decision: &Decision, campaign_id: &str) {
        let ledger = self.ledger.campaign(&decision.account_id, campaign_id);
        let undos = ledger.map(|ledger| ledger.undos(self.now)).unwrap_or_default();
        let Some(undo) = undos.into_iter().find(|undo| undo.command_id == decision.command_id) else { return };
        if decision.value_micros.is_some() && decision.value_micros != undo.to_micros {
            return;
        }
        let author = format!("undo/{}/{}", undo.command_id, decision.actor);
        self.at_case(&decision.account_id, campaign_id, false, |desk, case| {
            let known = (desk.outputs.adjustments.len(), desk.outputs.proposals.len());
            let refused = match desk.ask_back(case, &undo) {
                Ok(true) => return desk.sign(known, case, &author),
                Ok(false) => desk.noted.last().map_or("held", |(_, why)| why),
                Err(why) => why,
            };
            desk.refuse(case, &undo, refused, &author);
            false
        });
    }

    /// Whether something went out; else why nothing was asked for.
    fn ask_back(&mut self, case: &Case<'_>, undo: &Undo) -> Result<bool, &'static str> {
        if undo.kind == TABLE_KIND {
            return Ok(self.submit_persons_hours(case, &undo.tables.1, Reason::Undo, false));
        }
        if let (Some(of), Some(ppm)) = (&undo.dimension, undo.tables.1.first()) {
            return Ok(self.submit_persons_value(case, of, *ppm, Reason::Undo, false));
        }
        let action = self.action_back(case, undo)?;
        let proposal = Proposal { action, reason: Reason::Undo, group_sum_micros: None, approved: false };
        Ok(self.submit_proposal(case, undo.lever, &proposal))
    }

    fn action_back(&self, case: &Case<'_>, undo: &Undo) -> Result<Action, &'static str> {
        let value = undo.to_micros.map(|value| value as f64);
        match (undo.kind, value) {
            ("set_bid", Some(value)) => Ok(Action::SetBid(value)),
            ("set_daily_budget", Some(value)) => Ok(Action::SetDailyBudget(value)),
            ("pause", _) => Ok(Action::Pause(Holder::Person, None)),
            _ => {
                let gate = self.gate(case.account_id, case.campaign_id, case.live, case.picture, Lever::State);
                match self.must_stand(case, &gate) {
                    // A person's word is above a rule's, and above an earlier one of a person.
                    Some((Holder::Rule | Holder::Person, ..)) => Ok(Action::Resume(Holder::Person)),
                    Some((holder, ..)) => Err(holder.as_str()),
                    None => Ok(Action::Resume(Holder::Person)),
                }
            }
        }
    }

    /// Writes on the record that has just left whose word it was.
    fn sign(&mut self, (commands, proposals): (usize, usize), case: &Case<'_>, author: &str) -> bool {
        let records = self.outputs.adjustments[commands..].iter_mut().chain(&mut self.outputs.proposals[proposals..]);
        records.for_each(|record| record.group_id = Some(author.to_owned()));
        let ledger = self.ledger.campaign_mut(case.account_id, case.campaign_id);
        let waiting = self.outputs.proposals[proposals..].iter().filter(|record| record.state == "proposed");
        for record in waiting {
            ledger.proposals.insert(record.command_id.clone(), record.clone());
        }
        true
    }

    /// A record that says why nothing was taken back.
    fn refuse(&mut self, case: &Case<'_>, undo: &Undo, why: &str, author: &str) {
        let spec = &case.live.spec;
        let account = self.ledger.accounts.get(case.account_id);
        let sequence = account.map_or(0, |account| account.sequence).saturating_add(1);
        let refused = Adjustment {
            command_id: self.command_id(case, "undo", sequence),
            account_id: case.account_id.to_owned(),
            campaign_id: case.campaign_id.to_owned(),
            target: super::target(case.campaign_id, spec),
            kind: undo.kind.to_owned(),
            value_micros: undo.to_micros,
            table: Some(undo.tables.1.clone()).filter(|table| !table.is_empty() && undo.dimension.is_none()),
            value_ppm: undo.tables.1.first().copied().filter(|_| undo.dimension.is_some()),
            dimension: undo.dimension.clone(),
            currency: spec.currency.clone(),
            sequence,
            group_id: Some(author.to_owned()),
            mode: spec.mode.clone(),
            state: "rejected".to_owned(),
            issued_at: self.now,
            decided_at_event_time: case.picture.watermark.unwrap_or(self.now),
            effective_from: self.now,
            expires_at: self.now,
            reason: Reason::Undo.as_str().to_owned(),
            explanation: Explanation {
                text: format!("The command {} is not taken back: {why}.", undo.command_id),
                journal_partition: self.setup.partition,
                without: "The value in force stays.".to_owned(),
                policy_version: self.policy_version,
                build: self.setup.build.clone(),
                tzdb: self.setup.tzdb.clone(),
                ..Explanation::default()
            },
            ..Adjustment::default()
        };
        self.propose(refused);
    }
}
