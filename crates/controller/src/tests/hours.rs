//! Clicks that are worth more at some hours: a table of factors, leased and explained, and none where nothing differs.

use super::world::*;
use crate::Controller;
use model::fact::{Ack, CampaignSpec, Fact};
use model::journal::JournalRecord;
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

const EUR: i64 = 1_000_000;
const STEP: Millis = 10 * MINUTE_MS;

fn converting() -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: Some(700 * EUR),
        bid_strategy: "max_conversions".into(),
        bid_micros: EUR,
        bid_min_micros: EUR / 20,
        bid_max_micros: 3 * EUR / 2,
        bid_step_micros: 1_000,
        ..spec("c", 1)
    }
}

/// Twelve clicks for 4 EUR every ten minutes; each cut also credits what clicks of an hour before brought.
struct Days {
    world: World,
    now: Millis,
    queue: Vec<Fact>,
    records: Vec<(Millis, JournalRecord)>,
    commands: Vec<Adjustment>,
    proposed: Vec<Adjustment>,
}

impl Days {
    fn of(spec: CampaignSpec) -> Self {
        let queue = vec![specified(spec)];
        Days {
            world: World::new(),
            now: MONDAY,
            queue,
            records: Vec::new(),
            commands: Vec::new(),
            proposed: Vec::new(),
        }
    }

    /// Some days; a click of an hour brings so many thousandths of a conversion.
    fn days(self, days: i64, rate_milli: impl Fn(i64) -> i64) -> Self {
        self.steps(days * DAY_MS / STEP, rate_milli)
    }

    fn steps(mut self, steps: i64, rate_milli: impl Fn(i64) -> i64) -> Self {
        for _ in 0..steps {
            let touched = self.now - MINUTE_MS - HOUR_MS;
            let hour = touched.rem_euclid(DAY_MS) / HOUR_MS;
            let micro = 12 * 1_000 * rate_milli(hour);
            let mut rows = vec![touches("c", self.now - MINUTE_MS, 30, 12, 4 * EUR)];
            rows.extend((touched > MONDAY).then(|| credit("c", self.now - MINUTE_MS, touched, micro, 40 * micro)));
            let facts = std::mem::take(&mut self.queue);
            let record = self.world.journal.cut(self.now, self.now - 5_000, &rows, &facts);
            self.records.push((self.now, record.clone()));
            let outputs = self.world.apply(self.now, &record);
            self.queue = outputs.adjustments.iter().map(applied).collect();
            self.commands.extend(outputs.adjustments);
            self.proposed.extend(outputs.proposals);
            self.now += STEP;
        }
        self
    }

    fn tables(&self) -> Vec<&Adjustment> {
        self.commands.iter().filter(|command| command.kind == "set_modifier_table").collect()
    }
}

fn applied(command: &Adjustment) -> Fact {
    Fact::Ack(Box::new(Ack {
        command_id: command.command_id.clone(),
        account_id: command.account_id.clone(),
        campaign_id: command.campaign_id.clone(),
        sequence: command.sequence,
        result: "applied".into(),
        actor: "paceline".into(),
        ..Ack::default()
    }))
}

fn evening(hour: i64) -> i64 {
    if (17..20).contains(&hour) { 150 } else { 50 }
}

#[test]
fn an_evening_that_converts_three_times_as_often_gets_a_leased_table_that_says_why() {
    let days = Days::of(converting()).days(14, evening);
    let tables = days.tables();
    let last = tables.last().expect("a table was sent");
    let table = last.table.as_ref().expect("it has its factors");
    assert_eq!((table.len(), last.state.as_str(), last.reason.as_str()), (24, "issued", "modifiers"));
    // The highest bid leaves room for about a quarter above the bid in force.
    assert!(table[18] > table[3] * 5 / 4, "{table:?}");
    let rise = tables.iter().find(|command| command.fallback.is_some()).expect("a rise is leased");
    assert_eq!(rise.fallback.as_ref().unwrap().value_micros, None);
    assert!(last.explanation.terms.iter().any(|term| term.name == "hour_18_e_value_milli"));
}

#[test]
fn hours_that_are_alike_get_no_table_and_neither_do_those_that_may_not_differ() {
    assert!(Days::of(converting()).days(10, |_| 60).tables().is_empty());
    let forbidden = CampaignSpec { forbidden_dimensions: vec!["hour".into()], ..converting() };
    assert!(Days::of(forbidden).days(10, evening).tables().is_empty());
    let by_platform = CampaignSpec { bid_control: "platform".into(), ..converting() };
    assert!(Days::of(by_platform).days(10, evening).tables().is_empty());
}

#[test]
fn a_snapshot_amid_tables_changes_nothing() {
    let days = Days::of(converting()).days(9, evening);
    assert!(!days.tables().is_empty());
    let mut halfway = World::new();
    let cut = days.records.len() * 2 / 3;
    let mut commands = Vec::new();
    for (at, record) in &days.records[..cut] {
        commands.extend(halfway.apply(*at, record).adjustments);
    }
    let bytes = halfway.controller.snapshot();
    let mut restored = World::with(Controller::restore(setup(), &bytes).expect("a snapshot restores"));
    for (at, record) in &days.records[cut..] {
        commands.extend(restored.apply(*at, record).adjustments);
    }
    assert_eq!(commands, days.commands);
    let live = restored.controller.state.belief.campaign("acme", "c").unwrap().live.clone().unwrap();
    let by_hour = live.by_hour.as_ref().expect("hours are followed");
    assert!(by_hour.held_bytes() < 6_000, "{}", by_hour.held_bytes());
}

/// Days of strong evenings, up to the first table that stands.
fn with_a_table() -> (Days, Adjustment) {
    let mut days = Days::of(converting());
    while days.tables().is_empty() {
        days = days.steps(1, evening);
    }
    let table = days.tables().last().copied().expect("a table was sent").clone();
    (days, table)
}

fn taken_back(command: &Adjustment) -> Fact {
    Fact::Decision(Box::new(model::fact::Decision {
        command_id: command.command_id.clone(),
        account_id: command.account_id.clone(),
        campaign_id: Some(command.campaign_id.clone()),
        decision: "undo".into(),
        actor: "ann".into(),
        ..Default::default()
    }))
}

#[test]
fn a_table_is_taken_back_as_a_whole_shown_before_and_left_alone_for_a_day() {
    let (mut days, table) = with_a_table();
    let shown = days.world.controller.view().campaign("acme", "c").unwrap().undos;
    let undo = shown.iter().find(|undo| undo.kind == "set_modifier_table").expect("it can be taken back");
    assert_eq!((&undo.command_id, Some(&undo.tables.0)), (&table.command_id, table.table.as_ref()));
    assert_eq!(undo.tables.1.len(), 24);
    let back = undo.tables.1.clone();
    days.queue.push(taken_back(&table));
    // A raise lives minutes here, where no lease is renewed.
    days.now += MINUTE_MS - STEP;
    days = days.steps(1, evening);
    let holds = days.world.controller.view().campaign("acme", "c").unwrap().holds;
    assert!(holds.iter().any(|hold| (hold.lever, hold.holder) == ("hours", "person")), "{holds:?} {:?}", days.proposed);
    let sent = days.tables().last().copied().unwrap().clone();
    assert_eq!((sent.reason.as_str(), sent.table.as_ref()), ("undo", Some(&back)));
    assert_eq!(sent.group_id.as_deref(), Some(format!("undo/{}/ann", table.command_id).as_str()));
    days = days.days(3, evening);
    let later: Vec<Millis> = days.tables().iter().map(|one| one.issued_at).filter(|at| *at > sent.issued_at).collect();
    assert!(later.iter().all(|at| *at >= sent.issued_at + DAY_MS), "{later:?} within a day of {}", sent.issued_at);
    assert!(!later.is_empty(), "then hours are steered again");
}

#[test]
fn an_older_table_is_not_taken_back() {
    let (days, table) = with_a_table();
    let mut days = days.days(3, evening);
    assert_ne!(days.tables().last().unwrap().command_id, table.command_id, "a later one passed over it");
    days.queue.push(taken_back(&table));
    let count = days.commands.len();
    days = days.days(1, evening);
    assert!(days.commands[count..].iter().all(|command| command.reason != "undo"));
}
