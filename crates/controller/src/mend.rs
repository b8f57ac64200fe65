//! A record whose outputs reached some topics and not others: the broker tore the transaction.
//!
//! What always holds: what a topic holds stays as it is, and only what it lacks comes out; the ledger takes the facts
//! that the log holds, and of the rest only what is published now. Commands and proposals that this build would decide
//! otherwise than the log says are not brought: control is level-triggered, and the next record decides on the ledger
//! as it stands.

use crate::controller::{Controller, Round};
use crate::{Authority, JournalPosition, LoggedDecision, Outputs};
use model::journal::JournalRecord;

/// Which output topics hold what a record led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Named as the topics.
pub struct Holds {
    pub adjustments: bool,
    pub proposals: bool,
    pub desired: bool,
    pub alerts: bool,
    pub kpis: bool,
}

impl Controller {
    /// Applies a journal record whose outputs are on the topics that `holds` names, as `log`, and gives what the others
    /// lack.
    pub fn mend(
        &mut self,
        at: JournalPosition,
        record: &JournalRecord,
        log: &[LoggedDecision],
        holds: Holds,
    ) -> Outputs {
        if at.offset < self.next_offset() {
            return Outputs::default();
        }
        // A copy decides: what it would have said about the topics that speak must not touch the ledger. Rare enough
        // to pay for a copy of everything.
        let decided = self.clone().apply(at, record, Authority::Decide);
        let agrees = agrees(&decided, log, holds);
        let fresh = lacking(decided, holds, agrees);
        let mut facts = log.to_vec();
        facts.extend(fresh.decisions());
        facts.sort_by_key(rank);
        let told = self.apply(at, record, Authority::Log(&facts));
        let mut outputs = Outputs { kpis: if holds.kpis { Vec::new() } else { told.kpis }, ..fresh };
        if !agrees && !holds.desired {
            outputs.desired = self.desired_after(at, log);
        }
        outputs
    }

    /// Desired states of the campaigns that commands of the log changed.
    fn desired_after(&self, at: JournalPosition, log: &[LoggedDecision]) -> Vec<(String, model::output::DesiredState)> {
        let changed = log.iter().filter_map(|decision| match decision {
            LoggedDecision::Adjustment(command) => Some((command.account_id.clone(), command.campaign_id.clone())),
            _ => None,
        });
        let mut round = Round { at, decide: true, changed: changed.collect(), ..Round::default() };
        self.publish_desired(&mut round);
        round.outputs.desired
    }
}

/// Whether this build decides what the log holds. Of desired states compaction may have taken some.
fn agrees(decided: &Outputs, log: &[LoggedDecision], holds: Holds) -> bool {
    let decided = decided.decisions();
    let same =
        |of: fn(&LoggedDecision) -> bool| decided.iter().filter(|one| of(one)).eq(log.iter().filter(|one| of(one)));
    let commands = !holds.adjustments || same(|one| matches!(one, LoggedDecision::Adjustment(_)));
    let proposals = !holds.proposals || same(|one| matches!(one, LoggedDecision::Proposal(_)));
    let mut desired = log.iter().filter(|one| matches!(one, LoggedDecision::Desired(..)));
    commands && proposals && desired.all(|one| decided.contains(one))
}

/// The part of what was decided that its topics lack. Alerts are brought in any case: they move no money.
fn lacking(decided: Outputs, holds: Holds, agrees: bool) -> Outputs {
    fn part<T>(lacks: bool, decided: Vec<T>) -> Vec<T> {
        if lacks { decided } else { Vec::new() }
    }
    Outputs {
        adjustments: part(agrees && !holds.adjustments, decided.adjustments),
        proposals: part(agrees && !holds.proposals, decided.proposals),
        desired: part(agrees && !holds.desired, decided.desired),
        alerts: part(!holds.alerts, decided.alerts),
        kpis: Vec::new(),
    }
}

/// The order in which a whole log is applied.
fn rank(decision: &LoggedDecision) -> u8 {
    match decision {
        LoggedDecision::Adjustment(_) => 0,
        LoggedDecision::Proposal(_) => 1,
        LoggedDecision::Desired(..) => 2,
        LoggedDecision::Alert(_) => 3,
    }
}
