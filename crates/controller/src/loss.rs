//! History that is gone and whose loss a person accepted: what is left of it, and that it is told.
//!
//! What always holds: sequences of commands go on after the greatest that any record still tells, so a subscriber never
//! meets one twice; the loss stands in an alert for a day, where every later reader of the alerts finds it.

use crate::LoggedDecision;
use crate::alerts::{Condition, subject};
use crate::controller::{Controller, Round};
use model::time::{DAY_MS, Millis};
use serde::{Deserialize, Serialize};

/// An accepted loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loss {
    words: String,
    /// Its alert ends then; unknown before the first record.
    until: Option<Millis>,
}

impl Controller {
    /// Takes decisions whose journal records are gone. Values in force are learned again from answers and read-backs.
    pub fn anchor(&mut self, log: &[LoggedDecision]) {
        self.apply_log(log);
    }

    /// Notes a loss that a person accepted; the next decided record tells it.
    pub fn accept_loss(&mut self, words: &str) {
        self.state.loss = Some(Loss { words: words.to_owned(), until: None });
    }

    pub(crate) fn tell_loss(&mut self, round: &mut Round) {
        let now = self.state.now;
        let Some(loss) = &mut self.state.loss else { return };
        let until = *loss.until.get_or_insert(now.saturating_add(DAY_MS));
        let condition = Condition {
            severity: "critical",
            text: format!("History was lost, and a person accepted it: {}. Windows and totals begin anew.", loss.words),
            ..Condition::default()
        };
        let holds = now < until;
        if !holds {
            self.state.loss = None;
        }
        self.settle(&subject("history_lost", None, None), Some(&condition).filter(|_| holds), round);
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::world::*;
    use crate::{Controller, LoggedDecision};
    use model::output::DesiredState;
    use model::time::{DAY_MS, MINUTE_MS};

    #[test]
    fn sequences_go_on_after_those_that_only_desired_states_remember() {
        let desired = |key: &str, campaign: Option<&str>, sequence: i64| {
            let state = DesiredState {
                account_id: "acme".into(),
                campaign_id: campaign.map(Into::into),
                sequence,
                ..DesiredState::default()
            };
            LoggedDecision::Desired(key.into(), Box::new(state))
        };
        let mut controller = Controller::new(setup());
        controller.anchor(&[desired("a", Some("a"), 41), desired("b", Some("b"), 77), desired("lease/acme", None, 70)]);
        let mut world = World::with(controller);
        let mut steered = spec("a", 1);
        (steered.daily_budget_micros, steered.bid_micros) = (Some(1_000_000), 10_000);
        (steered.bid_min_micros, steered.bid_max_micros, steered.bid_step_micros) = (1_000, 100_000, 10);
        world.feed(MONDAY, &[], &[specified(steered)]);
        for minute in 1..30 {
            let at = MONDAY + minute * MINUTE_MS;
            world.feed(at, &[touches("a", at - MINUTE_MS, 100, 10, 300_000)], &[]);
        }
        let sequences: Vec<i64> =
            world.outputs.iter().flat_map(|outputs| &outputs.adjustments).map(|command| command.sequence).collect();
        assert_eq!(sequences.first(), Some(&78), "{sequences:?}");
    }

    #[test]
    fn an_accepted_loss_is_told_once_and_for_a_day() {
        let mut controller = Controller::new(setup());
        controller.accept_loss("the journal begins at offset 7");
        let mut world = World::with(Controller::restore(setup(), &controller.snapshot()).unwrap());
        for hour in 0..30 {
            world.feed(MONDAY + hour * DAY_MS / 24, &[], &[]);
        }
        assert_eq!(world.alerts("history_lost"), ["opened", "resolved"]);
    }
}
