//! One journal partition through the controller again, under the policy that was recorded or under another one.
//!
//! What always holds: virtual time; the journal alone decides what comes out. Under the recorded policy nothing of the
//! journal is changed, so the outputs are those that were published. Under another policy the answers of the ad-buying
//! system belong to commands that were never given: they are set aside, and each command of the replay is taken as
//! applied with the next record. What was spent stays what was recorded: how the market would have answered is not known.

use controller::{Authority, Controller, JournalPosition, LoggedDecision, Outputs, Setup, View};
use model::fact::{Ack, Fact, PolicyVersion, StateReport};
use model::journal::{CopiedFact, JournalRecord};
use model::output::{Adjustment, Alert, DesiredState};

/// Version of a policy that a replay was given, in its outputs: below all that are published.
pub const GIVEN_VERSION: i64 = -1;

/// A controller in a replay.
pub struct Replayer {
    controller: Controller,
    given: Option<Given>,
}

/// Another policy, and the answers to what it commands.
struct Given {
    policy: Option<PolicyVersion>,
    answers: Vec<Ack>,
    set_aside: u64,
}

impl Replayer {
    /// Before the first record of a partition; `policy` is the text of another policy.
    pub fn new(setup: Setup, policy: Option<&str>) -> Self {
        Self::going_on(Controller::new(setup), policy)
    }

    /// The same from a state on.
    pub fn going_on(mut controller: Controller, policy: Option<&str>) -> Self {
        if policy.is_some() {
            controller.forget_policy_versions();
        }
        let given = policy.map(|body| Given {
            policy: Some(PolicyVersion {
                name: "default".into(),
                version: GIVEN_VERSION,
                body: body.to_owned(),
                ..PolicyVersion::default()
            }),
            answers: Vec::new(),
            set_aside: 0,
        });
        Self { controller, given }
    }

    /// Applies the next record.
    pub fn apply(&mut self, at: JournalPosition, mut record: JournalRecord) -> Outputs {
        if let Some(given) = &mut self.given {
            given.rewrite(at, &mut record);
        }
        let outputs = self.controller.apply(at, &record, Authority::Decide);
        if let Some(given) = &mut self.given {
            given.answers.extend(outputs.adjustments.iter().map(|command| applied(command, at)));
        }
        outputs
    }

    /// Before the first record that is left of a journal whose beginning is gone; `before` was decided at records that are.
    pub fn from_what_is_left(setup: Setup, before: &[LoggedDecision]) -> Self {
        let mut controller = Controller::new(setup);
        controller.anchor(before);
        Self { controller, given: None }
    }

    /// Takes the next record with what was decided at it: rows come out anew, and nothing else is decided.
    pub fn follow(&mut self, at: JournalPosition, record: &JournalRecord, decided: &[LoggedDecision]) -> Outputs {
        let mut outputs = self.controller.apply(at, record, Authority::Log(decided));
        for decision in decided {
            match decision {
                LoggedDecision::Adjustment(command) => outputs.adjustments.push(Adjustment::clone(command)),
                LoggedDecision::Proposal(proposal) => outputs.proposals.push(Adjustment::clone(proposal)),
                LoggedDecision::Alert(alert) => outputs.alerts.push(Alert::clone(alert)),
                LoggedDecision::Desired(key, state) => {
                    outputs.desired.push((key.clone(), DesiredState::clone(state)));
                }
            }
        }
        outputs
    }

    /// Takes a record for what it closes: rows come out, and nothing is decided.
    pub fn close(&mut self, at: JournalPosition, record: &JournalRecord) -> Outputs {
        self.controller.apply(at, record, Authority::Log(&[]))
    }

    /// Whether it decides under the policies that were recorded.
    pub fn is_recorded(&self) -> bool {
        self.given.is_none()
    }

    /// The state as it stands.
    pub fn view(&self) -> View<'_> {
        self.controller.view()
    }

    /// Recorded answers and read-backs that were set aside, because they answer commands of another policy.
    pub fn answers_set_aside(&self) -> u64 {
        self.given.as_ref().map_or(0, |given| given.set_aside)
    }
}

impl Given {
    /// Puts the policy in place of all recorded ones, and our answers in place of the recorded ones.
    fn rewrite(&mut self, at: JournalPosition, record: &mut JournalRecord) {
        record.facts.retain_mut(|fact| match &mut fact.record {
            Fact::PolicyVersion(_) => false,
            Fact::Ack(_) => {
                self.set_aside += 1;
                false
            }
            Fact::StateReport(report) => {
                self.set_aside += u64::from(strip(report));
                true
            }
            _ => true,
        });
        let policy = self.policy.take().map(|policy| Fact::PolicyVersion(Box::new(policy)));
        let answers = self.answers.drain(..).map(|ack| Fact::Ack(Box::new(ack)));
        record.facts.extend(policy.into_iter().chain(answers).map(|fact| copied(fact, at)));
    }
}

/// Takes from a read-back what our own commands have set; `true` where something was taken. What a person or the
/// platform has set stays: they would have done it all the same.
fn strip(report: &mut StateReport) -> bool {
    if matches!(report.actor.as_deref(), Some("person" | "platform")) {
        return false;
    }
    let values = [report.bid_micros.take(), report.daily_budget_micros.take()];
    let status = report.status.take();
    values.iter().any(Option::is_some) || status.is_some()
}

fn applied(command: &Adjustment, at: JournalPosition) -> Ack {
    Ack {
        command_id: command.command_id.clone(),
        account_id: command.account_id.clone(),
        campaign_id: command.campaign_id.clone(),
        sequence: command.sequence,
        result: "applied".into(),
        found_value_micros: command.value_micros,
        found_value_ppm: command.value_ppm,
        found_at: Some(at.timestamp_ms),
        applied_at: Some(at.timestamp_ms),
        actor: "paceline".into(),
        ..Ack::default()
    }
}

/// Coordinates that no topic has: nothing looks at them but the rule for halts.
fn copied(record: Fact, at: JournalPosition) -> CopiedFact {
    CopiedFact { topic: String::new(), partition: -1, offset: at.offset, timestamp: at.timestamp_ms, record }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_policy_takes_the_place_of_all_recorded_ones_once() {
        let mut replayer = Replayer::new(Setup::default(), Some("# all defaults"));
        let recorded = Fact::PolicyVersion(Box::new(PolicyVersion {
            name: "default".into(),
            version: 4,
            ..PolicyVersion::default()
        }));
        for offset in 0..2 {
            let at = JournalPosition { offset, timestamp_ms: 1_000 + offset };
            let record = JournalRecord { facts: vec![copied(recorded.clone(), at)], ..JournalRecord::default() };
            replayer.apply(at, record);
            assert_eq!(replayer.view().policy_version(), GIVEN_VERSION);
        }
    }

    #[test]
    fn recorded_answers_are_set_aside_and_what_a_person_did_stays() {
        let mut replayer = Replayer::new(Setup::default(), Some(""));
        let report =
            |actor: &str| StateReport { bid_micros: Some(7), actor: Some(actor.into()), ..StateReport::default() };
        let facts = [
            Fact::Ack(Box::default()),
            Fact::StateReport(Box::new(report("paceline"))),
            Fact::StateReport(Box::new(report("person"))),
        ];
        let at = JournalPosition::default();
        let facts = facts.into_iter().map(|fact| copied(fact, at)).collect();
        replayer.apply(at, JournalRecord { facts, ..JournalRecord::default() });
        assert_eq!(replayer.answers_set_aside(), 2);
    }
}
