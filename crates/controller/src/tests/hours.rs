//! Clicks that are worth more at some hours: a table of factors, leased and explained, and none where nothing differs.

use super::by_dimension::marginal;
use super::world::*;
use crate::Controller;
use model::fact::{CampaignSpec, Fact};
use model::journal::JournalRecord;
use model::marginal::Marginal;
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

const EUR: i64 = 1_000_000;
const STEP: Millis = 10 * MINUTE_MS;

pub(super) fn converting() -> CampaignSpec {
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
pub(super) struct Days {
    pub(super) world: World,
    pub(super) now: Millis,
    pub(super) queue: Vec<Fact>,
    /// What a click on the desktop converts over one on a phone; rows by device come with each cut.
    pub(super) desktop: i64,
    pub(super) refuses: bool,
    /// Hours since the first in which it rains, which is told as they begin, and doubles what a click brings.
    pub(super) rains: Option<fn(i64) -> bool>,
    pub(super) records: Vec<(Millis, JournalRecord)>,
    pub(super) commands: Vec<Adjustment>,
    pub(super) proposed: Vec<Adjustment>,
}

impl Days {
    pub(super) fn of(spec: CampaignSpec) -> Self {
        let queue = vec![specified(spec)];
        Days {
            world: World::new(),
            now: MONDAY,
            queue,
            desktop: 1,
            refuses: false,
            rains: None,
            records: Vec::new(),
            commands: Vec::new(),
            proposed: Vec::new(),
        }
    }

    /// Some days; a click of an hour brings so many thousandths of a conversion.
    pub(super) fn days(self, days: i64, rate_milli: impl Fn(i64) -> i64) -> Self {
        self.steps(days * DAY_MS / STEP, rate_milli)
    }

    pub(super) fn steps(mut self, steps: i64, rate_milli: impl Fn(i64) -> i64) -> Self {
        for _ in 0..steps {
            let touched = self.now - MINUTE_MS - HOUR_MS;
            let hour = touched.rem_euclid(DAY_MS) / HOUR_MS;
            let hours_since = |at: Millis| (at - MONDAY).div_euclid(HOUR_MS);
            let rains = |at: Millis| self.rains.is_some_and(|rains| rains(hours_since(at)));
            let micro = 12 * 1_000 * rate_milli(hour) * if rains(touched) { 2 } else { 1 };
            if hours_since(self.now) != hours_since(self.now - STEP) && rains(self.now) {
                self.queue.push(rain(self.now.div_euclid(HOUR_MS) * HOUR_MS));
            }
            let mut rows = vec![touches("c", self.now - MINUTE_MS, 30, 12, 4 * EUR)];
            rows.extend((touched > MONDAY).then(|| credit("c", self.now - MINUTE_MS, touched, micro, 40 * micro)));
            let facts = std::mem::take(&mut self.queue);
            let mut record = self.world.journal.cut(self.now, self.now - 5_000, &rows, &facts);
            self.by_device(&mut record, touched, micro);
            self.records.push((self.now, record.clone()));
            let outputs = self.world.apply(self.now, &record);
            let answers = outputs.adjustments.iter().map(|command| answer(command, self.refuses));
            self.queue = answers.collect();
            self.commands.extend(outputs.adjustments);
            self.proposed.extend(outputs.proposals);
            self.now += STEP;
        }
        self
    }

    /// Two thirds of the clicks are made on phones.
    fn by_device(&self, record: &mut JournalRecord, touched: Millis, micro: i64) {
        let at = self.now - MINUTE_MS;
        for (device, clicks, part) in [("mobile", 8, 2), ("desktop", 4, self.desktop)] {
            let shown = Marginal { clicks, spend_micros: 4 * EUR * clicks / 12, ..Marginal::default() };
            marginal(record, ["c", "", "device", device], at, None, shown);
            let credits = micro * part / (2 + self.desktop);
            let row =
                Marginal { last_conversions_micro: credits, last_value_micros: 40 * credits, ..Marginal::default() };
            if touched > MONDAY {
                marginal(record, ["c", "purchase", "device", device], at, Some(touched), row);
            }
        }
    }

    pub(super) fn factors(&self) -> Vec<&Adjustment> {
        self.commands.iter().filter(|command| command.kind == "set_modifier").collect()
    }

    fn tables(&self) -> Vec<&Adjustment> {
        self.commands.iter().filter(|command| command.kind == "set_modifier_table").collect()
    }
}

fn rain(from: Millis) -> Fact {
    Fact::ContextSignal(Box::new(model::fact::ContextSignal {
        signal_id: from.to_string(),
        kind: "weather".into(),
        scope: [("account".to_owned(), "acme".to_owned())].into(),
        valid_from: from,
        valid_to: from + HOUR_MS,
        text: Some("rain".into()),
        ..Default::default()
    }))
}

fn answer(command: &Adjustment, refuses: bool) -> Fact {
    acked(command, if refuses && command.kind == "set_modifier" { "rejected" } else { "applied" }, None)
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
    assert!(table[18] >= table[3] * 5 / 4, "{table:?}");
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

fn by_desktop(times: i64) -> Days {
    // A highest bid with room for a factor of two above the bid.
    let spec = CampaignSpec { bid_max_micros: 6 * EUR, ..converting() };
    Days { desktop: times, ..Days::of(spec) }
}

#[test]
fn clicks_of_a_device_that_are_worth_three_times_as_much_get_a_factor_that_says_why() {
    let days = by_desktop(3).days(14, |_| 60);
    let factors = days.factors();
    let last = |device: &str| {
        let of = |command: &&&Adjustment| command.dimension.as_ref().is_some_and(|of| of.value == device);
        factors.iter().rev().find(of).and_then(|command| command.value_ppm).unwrap_or(1_000_000)
    };
    assert!(last("desktop") > last("mobile") * 17 / 10, "{} {}", last("desktop"), last("mobile"));
    let first = factors[0];
    assert_eq!((first.state.as_str(), first.reason.as_str()), ("issued", "modifiers"));
    assert_eq!(first.expected_previous.value_ppm, Some(1_000_000));
    assert!(first.explanation.text.starts_with("Factor "), "{}", first.explanation.text);
    assert!(first.explanation.terms.iter().any(|term| term.name == "device_e_value_milli"));
    let rise = factors.iter().find(|command| command.fallback.is_some()).expect("a rise is leased");
    assert_eq!(rise.fallback.as_ref().unwrap().value_micros, None);
    let ledger = days.world.controller.state.ledger.campaign("acme", "c").unwrap();
    let highest = ledger.bid.assumed().unwrap() as f64 * ledger.factor_most() as f64 / 1e6;
    assert!(highest <= 6e6, "no ad's bid is above the campaign's highest: {highest}");
    let live = days.world.controller.state.belief.campaign("acme", "c").unwrap().live.clone().unwrap();
    assert!(live.by_value.as_ref().unwrap().held_bytes() < 1_000);
}

#[test]
fn devices_that_are_alike_or_forbidden_or_of_a_platform_without_such_factors_get_none() {
    assert!(by_desktop(1).days(10, |_| 60).factors().is_empty());
    let none = |change: fn(&mut CampaignSpec)| {
        let mut spec = CampaignSpec { bid_max_micros: 6 * EUR, ..converting() };
        change(&mut spec);
        Days { desktop: 3, ..Days::of(spec) }.days(10, |_| 60).factors().is_empty()
    };
    assert!(none(|spec| spec.forbidden_dimensions = vec!["device".into()]));
    assert!(none(|spec| spec.platform = Some("meta".into())));
    assert!(none(|spec| spec.bid_control = "platform".into()));
}

#[test]
fn a_factor_that_the_buyer_cannot_carry_out_is_asked_for_once_a_day_at_most() {
    let days = Days { refuses: true, ..by_desktop(3) }.days(12, |_| 60);
    assert!((1..=24).contains(&days.factors().len()), "{}", days.factors().len());
    assert!(
        days.world
            .controller
            .state
            .ledger
            .campaign("acme", "c")
            .unwrap()
            .values
            .values()
            .all(|slot| slot.confirmed.is_empty())
    );
}

#[test]
fn a_snapshot_amid_tables_changes_nothing() {
    let days = Days { desktop: 3, ..Days::of(converting()) }.days(9, evening);
    assert!(!days.tables().is_empty() && !days.factors().is_empty());
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

pub(super) fn taken_back(command: &Adjustment) -> Fact {
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
