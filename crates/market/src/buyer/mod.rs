//! The ad buyer: takes commands, applies them after a while by the subscriber's rule, answers, and reports what it has.
//!
//! What always holds: commands alone (and people, where a test lets them) change what is in force; each command that is
//! not lost gets an answer; a value whose lease ends falls back by itself. Everything happens at instants that follow
//! from the command and the seed, never from how the run is cut into steps.
//! Missing on purpose: targets below the campaign, platform-side smart bidding, `set_target`, `set_weight` and
//! `exclude`, which are answered `rejected` with the reason `unknown_kind`.

mod desired;
mod rule;
pub(crate) mod state;
#[cfg(test)]
mod tests;

use crate::random::{Draws, mix_text};
use crate::scenario::{BuyerManners, Scenario};
use model::WHOLE_PPM;
use model::fact::{Ack, CampaignSpec, Fact, StateReport};
use model::output::{Adjustment, DesiredState};
use model::time::Millis;
use rule::{Judge, Verdict, place_of};
use state::{CampaignState, Held, Place, Value};
use std::collections::{BTreeMap, VecDeque};

/// Answers that nobody takes are dropped from the oldest on; a run left alone takes none.
const FEEDBACK_MAX: usize = 100_000;

/// The simulated ad buyer of all campaigns of a market.
#[derive(Clone, Debug)]
pub struct AdBuyer {
    manners: BuyerManners,
    seed: u64,
    now: Millis,
    desks: Vec<Desk>,
    states: Vec<CampaignState>,
    numbers: BTreeMap<String, usize>,
    agenda: BTreeMap<(Millis, u64), Task>,
    tasks: u64,
    waiting: Vec<Adjustment>,
    applied: BTreeMap<String, Millis>,
    feedback: VecDeque<(Millis, Fact)>,
    counts: BuyerCounts,
}

/// What became of the commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuyerCounts {
    /// Deliveries.
    pub received: u64,
    /// Lost on purpose.
    pub ignored: u64,
    /// Put in force.
    pub applied: u64,
    /// Answered with anything else.
    pub refused: u64,
    /// Values that fell back at the end of their lease.
    pub lapsed: u64,
    /// Answers dropped because nobody took them.
    pub feedback_dropped: u64,
}

/// What the buyer knows of one campaign beside its state.
#[derive(Clone, Debug)]
struct Desk {
    account_id: String,
    campaign_id: String,
    currency: String,
    held: BTreeMap<Place, Held>,
    sequence: i64,
    paused_by_person: bool,
}

/// Something to do at an instant.
#[derive(Clone, Debug)]
enum Task {
    Command(Box<Adjustment>),
    Desired(Box<DesiredState>),
    /// The lease of a place may end.
    Lapse(usize, Place),
    /// What a waiting command requires has not come in time.
    GiveUp(String),
    Report(usize),
    Person(usize, PersonAct),
}

#[derive(Clone, Copy, Debug)]
enum PersonAct {
    Bid(i64),
    Paused(bool),
}

impl AdBuyer {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let specs = || scenario.campaigns.iter().map(|world| &world.spec);
        let mut buyer = Self {
            manners: scenario.buyer,
            seed,
            now: scenario.start_ms,
            desks: specs().map(Desk::of).collect(),
            states: specs().map(CampaignState::of).collect(),
            numbers: specs().enumerate().map(|(number, spec)| (spec.campaign_id.clone(), number)).collect(),
            agenda: BTreeMap::new(),
            tasks: 0,
            waiting: Vec::new(),
            applied: BTreeMap::new(),
            feedback: VecDeque::new(),
            counts: BuyerCounts::default(),
        };
        if scenario.buyer.report_every_ms > 0 {
            for (number, world) in scenario.campaigns.iter().enumerate().filter(|(_, world)| world.auction.is_some()) {
                // Campaigns report one after another, not all at once.
                let mut draws = Draws::keyed(seed, mix_text(&world.spec.campaign_id), REPORT, 0);
                let wait = draws.below(scenario.buyer.report_every_ms as u64) as Millis;
                buyer.plan(scenario.start_ms.saturating_add(wait), Task::Report(number));
            }
        }
        buyer
    }

    /// Takes a command that becomes visible to the buyer at `at`.
    pub fn receive(&mut self, command: &Adjustment, at: Millis) {
        self.counts.received += 1;
        let mut draws = Draws::keyed(self.seed, mix_text(&command.command_id), COMMAND, 0);
        if draws.unit() < self.manners.ignored_share {
            self.counts.ignored += 1;
            return;
        }
        let due = self.due(at, &mut draws).max(command.effective_from);
        self.plan(due, Task::Command(Box::new(command.clone())));
    }

    /// Takes a record of desired state: leases, and confirmed values for a buyer that joined late.
    pub fn receive_desired(&mut self, desired: &DesiredState, at: Millis) {
        let name = desired.campaign_id.as_deref().unwrap_or(&desired.account_id);
        let mut draws = Draws::keyed(self.seed, mix_text(name), DESIRED, desired.sequence as u64);
        let due = self.due(at, &mut draws);
        self.plan(due, Task::Desired(Box::new(desired.clone())));
    }

    /// A person sets a bid in the buyer's own tool.
    pub fn person_sets_bid(&mut self, campaign_id: &str, bid_micros: i64, at: Millis) {
        self.plan_person(campaign_id, PersonAct::Bid(bid_micros), at);
    }

    /// A person pauses or resumes a campaign in the buyer's own tool; no command lifts a person's pause.
    pub fn person_pauses(&mut self, campaign_id: &str, paused: bool, at: Millis) {
        self.plan_person(campaign_id, PersonAct::Paused(paused), at);
    }

    /// Answers and reports up to `until`, for `ads.feedback`, in order; each is handed out once.
    pub fn take_feedback(&mut self, until: Millis) -> Vec<Fact> {
        let count = self.feedback.partition_point(|(at, _)| *at <= until);
        self.feedback.drain(..count).map(|(_, fact)| fact).collect()
    }

    /// What is in force for a campaign.
    pub fn state(&self, campaign_id: &str) -> Option<&CampaignState> {
        self.numbers.get(campaign_id).and_then(|&number| self.states.get(number))
    }

    /// What became of the commands so far.
    pub fn counts(&self) -> BuyerCounts {
        self.counts
    }

    pub(crate) fn states(&self) -> &[CampaignState] {
        &self.states
    }

    /// The next instant at which something may change.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does everything that is due at or before `now`.
    pub(crate) fn settle(&mut self, now: Millis) {
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), task) = entry.remove_entry();
            self.now = at; // What follows from a task is planned from its own instant on, not from the step's end.
            self.act(at, task);
        }
        self.now = self.now.max(now);
    }

    fn act(&mut self, at: Millis, task: Task) {
        match task {
            Task::Command(command) => self.consider(at, *command),
            Task::Desired(desired) => self.follow(at, &desired),
            Task::Lapse(number, place) => self.lapse(at, number, &place),
            Task::GiveUp(command_id) => self.give_up(at, &command_id),
            Task::Report(number) => self.report(at, number),
            Task::Person(number, act) => self.obey_person(number, act),
        }
    }

    fn consider(&mut self, at: Millis, command: Adjustment) {
        if let Some(&applied_at) = self.applied.get(&command.command_id) {
            return self.answer(at, &command, "applied", None, Some(applied_at)); // The same answer to the same command.
        }
        let Some(&number) = self.numbers.get(&command.campaign_id) else {
            return self.refuse(at, &command, "rejected", Some("unknown_campaign"));
        };
        let (desk, state) = (&self.desks[number], &self.states[number]);
        let judge = Judge {
            state,
            held: &desk.held,
            sequence: desk.sequence,
            currency: &desk.currency,
            campaign_id: &desk.campaign_id,
            paused_by_person: desk.paused_by_person,
        };
        match judge.judge(&command, at, |id| self.applied.contains_key(id)) {
            Verdict::Apply(place, value) => self.apply(at, number, command, place, value),
            Verdict::Cancel => self.cancel(at, number, &command),
            Verdict::Wait => self.wait(at, command),
            Verdict::Refuse(result, reason) => self.refuse(at, &command, result, reason),
        }
    }

    fn apply(&mut self, at: Millis, number: usize, command: Adjustment, place: Place, value: Value) {
        let before = self.states[number].get(&place);
        self.states[number].put(&place, &value);
        self.states[number].actor = "paceline".into();
        let fallback = command.fallback.as_ref().map(|fallback| {
            let value = match value {
                Value::Paused(paused) => Value::Paused(!paused),
                Value::Micros(_) => fallback.value_micros.map_or(before, |micros| Value::Micros(Some(micros))),
                Value::Table(ref table) => match before {
                    Value::Table(before) => Value::Table(after_lease(table, &before)),
                    other => other,
                },
                Value::Ppm(factor) => match before {
                    Value::Ppm(before) => Value::Ppm(before.min(factor).min(WHOLE_PPM)),
                    other => other,
                },
            };
            (value, fallback.when)
        });
        if let Some((_, when)) = &fallback {
            self.plan((*when).max(at), Task::Lapse(number, place.clone()));
        }
        let desk = &mut self.desks[number];
        desk.sequence = desk.sequence.max(command.sequence);
        desk.held.insert(place, Held { sequence: command.sequence, fallback });
        self.counts.applied += 1;
        self.applied.insert(command.command_id.clone(), at);
        self.answer(at, &command, "applied", None, Some(at));
        self.wake_waiting(at);
    }

    /// Withdraws what was not applied yet and ends the leases of what was.
    fn cancel(&mut self, at: Millis, number: usize, command: &Adjustment) {
        let is_older = |other: &Adjustment| {
            other.campaign_id == command.campaign_id && other.sequence < command.sequence && other.kind != "cancel"
        };
        let mut withdrawn: Vec<Adjustment> = self.waiting.extract_if(.., |other| is_older(other)).collect();
        self.agenda.retain(|_, task| match task {
            Task::Command(other) if is_older(other) => {
                withdrawn.push((**other).clone());
                false
            }
            _ => true,
        });
        for other in withdrawn {
            self.refuse(at, &other, "superseded", Some("cancelled"));
        }
        let leased: Vec<Place> = self.desks[number].held.keys().cloned().collect();
        for place in leased {
            self.fall_back(number, &place);
        }
        self.desks[number].sequence = command.sequence;
        self.counts.applied += 1;
        self.applied.insert(command.command_id.clone(), at);
        self.answer(at, command, "applied", None, Some(at));
    }

    fn wait(&mut self, at: Millis, command: Adjustment) {
        if self.waiting.iter().any(|other| other.command_id == command.command_id) {
            return;
        }
        self.answer(at, &command, "deferred", Some("requires"), None);
        self.plan(command.expires_at.max(at), Task::GiveUp(command.command_id.clone()));
        self.waiting.push(command);
    }

    fn wake_waiting(&mut self, at: Millis) {
        let applied = &self.applied;
        let ready: Vec<Adjustment> =
            self.waiting.extract_if(.., |command| command.requires.iter().all(|id| applied.contains_key(id))).collect();
        for command in ready {
            self.plan(at, Task::Command(Box::new(command)));
        }
    }

    fn give_up(&mut self, at: Millis, command_id: &str) {
        if let Some(found) = self.waiting.iter().position(|command| command.command_id == command_id) {
            let command = self.waiting.remove(found);
            self.refuse(at, &command, "expired", Some("requires"));
        }
    }

    /// The lease of a place ends, unless it was renewed or the value replaced.
    fn lapse(&mut self, at: Millis, number: usize, place: &Place) {
        let Some((_, when)) = self.desks[number].held.get(place).and_then(|held| held.fallback.as_ref()) else {
            return;
        };
        if *when <= at {
            self.fall_back(number, place);
            self.counts.lapsed += 1;
        } else {
            // A renewed lease is looked at again at its end; a second look at the same instant finds nothing to do.
            let when = *when;
            self.plan(when, Task::Lapse(number, place.clone()));
        }
    }

    fn fall_back(&mut self, number: usize, place: &Place) {
        let desk = &mut self.desks[number];
        if let Some((value, _)) = desk.held.get_mut(place).and_then(|held| held.fallback.take()) {
            let value = if desk.paused_by_person && *place == Place::Status { Value::Paused(true) } else { value };
            self.states[number].put(place, &value);
        }
    }

    fn obey_person(&mut self, number: usize, act: PersonAct) {
        let place = match act {
            PersonAct::Bid(bid) => {
                self.states[number].bid_micros = bid.max(0);
                Place::Bid
            }
            PersonAct::Paused(paused) => {
                self.desks[number].paused_by_person = paused;
                self.states[number].paused = paused;
                Place::Status
            }
        };
        self.states[number].actor = "person".into();
        if let Some(held) = self.desks[number].held.get_mut(&place) {
            held.fallback = None; // What a person set is under no lease.
        }
    }

    fn report(&mut self, at: Millis, number: usize) {
        let (desk, state) = (&self.desks[number], &self.states[number]);
        let report = StateReport {
            account_id: desk.account_id.clone(),
            campaign_id: desk.campaign_id.clone(),
            reported_at: at,
            bid_micros: Some(state.bid_micros),
            daily_budget_micros: state.daily_budget_micros,
            status: Some(if state.paused { "paused" } else { "active" }.into()),
            platform_state: Some("ok".into()),
            actor: Some(state.actor.clone()),
        };
        self.say(at, Fact::StateReport(Box::new(report)));
        self.plan(at.saturating_add(self.manners.report_every_ms.max(1)), Task::Report(number));
    }

    fn refuse(&mut self, at: Millis, command: &Adjustment, result: &str, reason: Option<&str>) {
        self.counts.refused += 1;
        self.answer(at, command, result, reason, None);
    }

    fn answer(
        &mut self,
        at: Millis,
        command: &Adjustment,
        result: &str,
        reason: Option<&str>,
        applied_at: Option<Millis>,
    ) {
        let state = self.numbers.get(&command.campaign_id).map(|&number| &self.states[number]);
        let place = place_of(&command.kind, command.dimension.as_ref());
        let (found_value_micros, found_value_ppm) = match state.zip(place).map(|(state, place)| state.get(&place)) {
            Some(Value::Micros(micros)) => (micros, None),
            Some(Value::Ppm(ppm)) => (None, Some(ppm)),
            _ => (None, None),
        };
        let ack = Ack {
            command_id: command.command_id.clone(),
            account_id: command.account_id.clone(),
            campaign_id: command.campaign_id.clone(),
            sequence: command.sequence,
            result: result.into(),
            found_value_micros,
            found_value_ppm,
            found_at: Some(at),
            applied_at,
            actor: state.map_or("platform", |state| state.actor.as_str()).into(),
            reason: reason.map(Into::into),
            retry_after: None,
        };
        self.say(at, Fact::Ack(Box::new(ack)));
    }

    fn say(&mut self, at: Millis, fact: Fact) {
        if self.feedback.len() >= FEEDBACK_MAX {
            self.feedback.pop_front();
            self.counts.feedback_dropped += 1;
        }
        self.feedback.push_back((at, fact));
    }

    fn plan_person(&mut self, campaign_id: &str, act: PersonAct, at: Millis) {
        if let Some(&number) = self.numbers.get(campaign_id) {
            self.plan(at, Task::Person(number, act));
        }
    }

    /// The past cannot be changed: what comes for it is done now.
    fn plan(&mut self, at: Millis, task: Task) {
        self.tasks += 1;
        self.agenda.insert((at.max(self.now), self.tasks), task);
    }

    fn due(&self, at: Millis, draws: &mut Draws) -> Millis {
        let spread = self.manners.lag_max_ms.saturating_sub(self.manners.lag_min_ms).max(0) as u64;
        let lag = self.manners.lag_min_ms.max(0).saturating_add(draws.below(spread + 1) as Millis);
        at.saturating_add(lag)
    }
}

/// Tell the draws of commands, desired states and reports apart.
const COMMAND: u64 = 1;
const DESIRED: u64 = 2;
const REPORT: u64 = 3;

impl Desk {
    fn of(spec: &CampaignSpec) -> Self {
        Self {
            account_id: spec.account_id.clone(),
            campaign_id: spec.campaign_id.clone(),
            currency: spec.currency.clone(),
            held: BTreeMap::new(),
            sequence: 0,
            paused_by_person: false,
        }
    }
}

/// Factors when a lease ends: in each hour the least of before, now and 1, so silence raises none.
fn after_lease(table: &[i64], before: &[i64]) -> Vec<i64> {
    let least = |(hour, factor): (usize, &i64)| (*factor).min(*before.get(hour).unwrap_or(&WHOLE_PPM)).min(WHOLE_PPM);
    table.iter().enumerate().map(least).collect()
}
