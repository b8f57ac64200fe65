//! Campaigns of one pool: money moves to where it returns more, lowered before midnight and raised after it; what is lost
//! goes back; the sum never rises.

mod losses;

use super::recovery::logged;
use super::world::*;
use crate::{Authority, Controller, JournalPosition, Outputs};
use model::fact::{CampaignSpec, Decision, EntitySpec, Fact, PolicyVersion};
use model::journal::JournalRecord;
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

const EUR: i64 = 1_000_000;
const STEP: Millis = 10 * MINUTE_MS;
const NAMES: [&str; 3] = ["a", "b", "c"];
/// Conversions of a thousand clicks: the last campaign is worth the most.
const RATES: [i64; 3] = [20, 40, 80];

fn member(id: &str) -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: Some(100 * EUR),
        portfolio_id: Some("pool".into()),
        budget_control: "paceline".into(),
        bid_strategy: "max_conversions".into(),
        forbidden_dimensions: vec!["hour".into()],
        bid_micros: EUR / 2,
        bid_min_micros: EUR / 20,
        bid_max_micros: 5 * EUR,
        bid_step_micros: 1_000,
        ..spec(id, 1)
    }
}

fn pool() -> Fact {
    Fact::EntitySpec(Box::new(EntitySpec {
        entity_id: "pool".into(),
        account_id: "acme".into(),
        kind: "portfolio".into(),
        version: 1,
        status: "active".into(),
        currency: "EUR".into(),
        ..EntitySpec::default()
    }))
}

/// Evaluations begin on the second day: stories need no month.
fn soon() -> Fact {
    let body = "[defaults.portfolio]\nage_min_ms = 90000000\nbound_share_min = 0.0\nconversions_min = 5\n".into();
    Fact::PolicyVersion(Box::new(PolicyVersion {
        name: "default".into(),
        version: 1,
        body,
        ..PolicyVersion::default()
    }))
}

/// A pool that spends its budgets evenly; which commands are answered, and how, is the story's.
struct Pool {
    world: World,
    now: Millis,
    queue: Vec<Fact>,
    records: Vec<(Millis, JournalRecord)>,
    outputs: Vec<Outputs>,
    commands: Vec<Adjustment>,
    proposals: Vec<Adjustment>,
}

impl Pool {
    fn of(specs: impl IntoIterator<Item = CampaignSpec>) -> Self {
        let queue = [soon(), pool()].into_iter().chain(specs.into_iter().map(specified)).collect();
        Pool {
            world: World::new(),
            now: MONDAY,
            queue,
            records: Vec::new(),
            outputs: Vec::new(),
            commands: Vec::new(),
            proposals: Vec::new(),
        }
    }

    fn until(self, end: Millis, answer: impl Fn(&Adjustment) -> bool) -> Self {
        let step =
            |now: Millis| if (now + 12 * MINUTE_MS).rem_euclid(DAY_MS) < 90 * MINUTE_MS { MINUTE_MS } else { STEP };
        self.with(
            end,
            step,
            |_| true,
            |_, outputs| outputs.adjustments.iter().filter(|command| answer(command)).map(applied).collect(),
        )
    }

    /// Until an instant, with instants at which money is spent, and what the subscriber says to each record's outputs.
    fn with(
        mut self,
        end: Millis,
        step: impl Fn(Millis) -> Millis,
        spends: impl Fn(Millis) -> bool,
        mut answer: impl FnMut(Millis, &Outputs) -> Vec<Fact>,
    ) -> Self {
        while self.now < end {
            let at = self.now - MINUTE_MS;
            let rows: Vec<Row> = NAMES
                .iter()
                .zip(RATES)
                .filter(|_| spends(self.now))
                .flat_map(|(name, rate)| {
                    let credited =
                        (at - HOUR_MS > MONDAY).then(|| credit(name, at, at - HOUR_MS, 3_000 * rate, 40_000 * rate));
                    [touches(name, at, 6, 3, 680_000)].into_iter().chain(credited)
                })
                .collect();
            let facts = std::mem::take(&mut self.queue);
            let record = self.world.journal.cut(self.now, self.now - 5_000, &rows, &facts);
            self.records.push((self.now, record.clone()));
            let outputs = self.world.apply(self.now, &record);
            self.queue = answer(self.now, &outputs);
            self.commands.extend(outputs.adjustments.clone());
            self.proposals.extend(outputs.proposals.clone());
            self.outputs.push(outputs);
            self.now += step(self.now);
        }
        self
    }

    fn budgets(&self) -> Vec<&Adjustment> {
        self.commands.iter().filter(|command| command.kind == "set_daily_budget").collect()
    }

    /// What each campaign is given, and what may be in force at most.
    fn sums(&self) -> (i64, i64) {
        let account = self.world.controller.state.belief.accounts.get("acme").unwrap();
        let given = account.pools.by_id["pool"].sum_micros();
        let ledger = &self.world.controller.state.ledger;
        let highest = |name: &&str| {
            let slot = ledger.campaign("acme", name).map(|ledger| &ledger.budget);
            let confirmed = slot.and_then(|slot| slot.confirmed).unwrap_or(100 * EUR);
            slot.and_then(|slot| slot.pending.as_ref()).map_or(confirmed, |pending| pending.value.max(confirmed))
        };
        (given, NAMES.iter().map(highest).sum())
    }
}

fn is_rise(command: &Adjustment) -> bool {
    command.value_micros > command.expected_previous.value_micros
}

fn three() -> Vec<CampaignSpec> {
    NAMES.iter().map(|name| member(name)).collect()
}

#[test]
fn money_is_lowered_before_midnight_and_raised_after_it_and_the_sum_stays() {
    let pool = Pool::of(three()).until(MONDAY + 2 * DAY_MS + 3 * HOUR_MS, |_| true);
    // Cuts of ten minutes let leases of five end: what falls back is given again, by commands of another reason.
    let budgets: Vec<&Adjustment> =
        pool.budgets().into_iter().filter(|command| command.reason == "reallocation").collect();
    assert!(budgets.len() >= 2, "{budgets:?}");
    let night = MONDAY + 2 * DAY_MS;
    let moves: i64 = budgets
        .iter()
        .map(|command| command.value_micros.unwrap() - command.expected_previous.value_micros.unwrap())
        .sum();
    let told: Vec<_> = budgets
        .iter()
        .map(|command| (&command.campaign_id, command.issued_at - night, &command.reason, command.value_micros))
        .collect();
    assert_eq!((moves, pool.sums().0), (0, 300 * EUR), "{told:?}");
    for command in &budgets {
        assert_eq!(command.group_id, budgets[0].group_id);
        assert!(
            command.explanation.terms.iter().any(|term| term.name == "budget_before_micros" && term.value == 100 * EUR)
        );
        assert!(command.explanation.text.contains("times the pool's mean here"), "{}", command.explanation.text);
        if is_rise(command) {
            assert!(command.issued_at >= night + 2 * MINUTE_MS && command.issued_at < night + HOUR_MS);
            let lowered = budgets.iter().filter(|other| !is_rise(other)).map(|other| other.command_id.clone());
            assert_eq!(command.requires, lowered.collect::<Vec<_>>());
        } else {
            assert!(command.issued_at >= night - 10 * MINUTE_MS && command.issued_at < night);
            assert!(command.requires.is_empty());
        }
    }
    let of = |name: &str| {
        budgets.iter().find(|command| command.campaign_id == name).and_then(|command| command.value_micros)
    };
    assert!(of("a") < Some(100 * EUR) && of("c") > Some(100 * EUR), "{:?} {:?}", of("a"), of("c"));
    let planned = pool.world.controller.view().campaign("acme", "c").unwrap().planned_day_micros;
    assert_eq!(planned, of("c"));
}

#[test]
fn increases_are_dropped_where_nobody_answers_the_decreases_and_all_stays_as_it_was() {
    let pool =
        Pool::of(three()).until(MONDAY + 2 * DAY_MS + 20 * HOUR_MS, |command| command.kind != "set_daily_budget");
    assert!(!pool.budgets().is_empty());
    assert!(pool.budgets().iter().all(|command| !is_rise(command)));
    assert_eq!(pool.sums(), (300 * EUR, 300 * EUR));
}

#[test]
fn a_lost_increase_goes_back_to_those_that_gave_and_never_raises_the_sum() {
    let lost = |command: &Adjustment| {
        !(command.kind == "set_daily_budget" && is_rise(command) && command.reason == "reallocation")
    };
    let mut pool = Pool::of(three());
    for hour in 40..70 {
        pool = pool.until(MONDAY + hour * HOUR_MS, lost);
        let (given, in_force) = pool.sums();
        assert!(given == 300 * EUR && in_force <= 300 * EUR, "{given} {in_force} after {hour} h");
    }
    let budgets = pool.budgets();
    assert!(budgets.iter().any(|command| is_rise(command) && command.reason == "reallocation"));
}

#[test]
fn a_pool_of_one_and_a_pool_of_equals_move_nothing() {
    let alone = [
        CampaignSpec { portfolio_id: None, ..member("a") },
        CampaignSpec { portfolio_id: None, ..member("b") },
        member("c"),
    ];
    let pool = Pool::of(alone).until(MONDAY + 2 * DAY_MS + 3 * HOUR_MS, |_| true);
    assert!(pool.budgets().is_empty());
    let whys = pool.world.controller.view().why("acme", "c");
    assert!(whys.iter().any(|why| why.lever == "pool" && why.reason == "pool_of_one"), "{whys:?}");
}

#[test]
fn a_changed_specification_moves_what_is_given_by_as_much() {
    let pool = Pool::of(three()).until(MONDAY + 2 * DAY_MS + 3 * HOUR_MS, |_| true);
    let given = |pool: &Pool| {
        let account = pool.world.controller.state.belief.accounts.get("acme").unwrap();
        account.pools.by_id["pool"].members.values().map(|member| member.given_micros).collect::<Vec<_>>()
    };
    let before = given(&pool);
    let mut changed = pool;
    changed.queue.push(specified(CampaignSpec { version: 2, daily_budget_micros: Some(130 * EUR), ..member("a") }));
    let changed = changed.until(MONDAY + 2 * DAY_MS + 8 * HOUR_MS, |_| true);
    assert_eq!(given(&changed), [before[0] + 30 * EUR, before[1], before[2]]);
    let returned = changed.budgets().into_iter().rfind(|command| command.campaign_id == "a").cloned().unwrap();
    assert_eq!((returned.reason.as_str(), is_rise(&returned)), ("pool_return", true));
}

#[test]
fn one_campaign_that_a_person_decides_makes_the_whole_group_a_proposal_and_a_raise_waits_for_the_decreases() {
    let specs = [CampaignSpec { mode: "approve".into(), ..member("a") }, member("b"), member("c")];
    let pool = Pool::of(specs).until(MONDAY + 2 * DAY_MS - 5 * MINUTE_MS, |_| true);
    let group: Vec<&Adjustment> =
        pool.proposals.iter().filter(|proposal| proposal.kind == "set_daily_budget").collect();
    assert!(group.len() >= 2 && pool.budgets().is_empty());
    assert!(group.iter().all(|proposal| proposal.state == "proposed" && proposal.group_id == group[0].group_id));
    let word = |proposal: &Adjustment| {
        Fact::Decision(Box::new(Decision {
            command_id: proposal.command_id.clone(),
            account_id: "acme".into(),
            campaign_id: Some(proposal.campaign_id.clone()),
            decision: "approve".into(),
            ..Decision::default()
        }))
    };
    let (rises, cuts): (Vec<&Adjustment>, Vec<&Adjustment>) = group.iter().partition(|proposal| is_rise(proposal));
    let (rises, cuts): (Vec<Fact>, Vec<Fact>) =
        (rises.iter().map(|p| word(p)).collect(), cuts.iter().map(|p| word(p)).collect());
    let mut early = pool;
    early.queue.extend(rises);
    let mut early = early.until(MONDAY + 2 * DAY_MS - 4 * MINUTE_MS, |_| true);
    assert!(early.budgets().is_empty(), "nothing has been lowered yet");
    early.queue.extend(cuts);
    let late = early.until(MONDAY + 2 * DAY_MS + 8 * HOUR_MS, |_| true);
    assert!(
        !late.budgets().is_empty()
            && late.budgets().iter().all(|command| command.group_id.is_some() || command.reason == "pool_return")
    );
    let (given, in_force) = late.sums();
    assert!(given == 300 * EUR && in_force <= 300 * EUR, "{given} {in_force}");
}

#[test]
fn a_restart_amid_a_move_from_a_snapshot_and_from_the_log_goes_on_as_if_nothing_had_been() {
    let pool = Pool::of(three()).until(MONDAY + 2 * DAY_MS + 3 * HOUR_MS, |_| true);
    assert!(!pool.budgets().is_empty());
    let night = MONDAY + 2 * DAY_MS;
    let cut = pool.records.iter().position(|(at, _)| *at >= night - 5 * MINUTE_MS).unwrap();
    let mut first = Controller::new(setup());
    let mut told = Controller::new(setup());
    for (offset, (timestamp_ms, record)) in pool.records[..cut].iter().enumerate() {
        let at = JournalPosition { offset: offset as i64, timestamp_ms: *timestamp_ms };
        first.apply(at, record, Authority::Decide);
        told.apply(at, record, Authority::Log(&logged(&pool.outputs[offset])));
    }
    let mut second = Controller::restore(setup(), &first.snapshot()).expect("a snapshot restores");
    for (offset, (timestamp_ms, record)) in pool.records.iter().enumerate().skip(cut) {
        let at = JournalPosition { offset: offset as i64, timestamp_ms: *timestamp_ms };
        assert_eq!(second.apply(at, record, Authority::Decide), pool.outputs[offset]);
        assert_eq!(told.apply(at, record, Authority::Decide), pool.outputs[offset]);
    }
    assert_eq!(second.snapshot(), pool.world.controller.snapshot());
    assert_eq!(told.snapshot(), pool.world.controller.snapshot());
}
