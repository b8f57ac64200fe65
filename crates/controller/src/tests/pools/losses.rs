//! A subscriber by the contract's rule to whom commands come late, twice, in another order or never, and whose answers may be
//! lost: the sum in force never passes the pool's, and what was lost comes back.

use super::*;
use model::fact::StateReport;
use std::collections::{BTreeMap, BTreeSet};

/// What comes to grief, in parts of a hundred.
#[derive(Clone, Copy, Debug)]
struct Grief {
    commands_lost: u64,
    commands_twice: u64,
    answers_lost: u64,
    reports_lost: u64,
    late_max_minutes: u64,
}

struct Subscriber {
    seed: u64,
    held: BTreeMap<String, Held>,
    on_the_way: Vec<(Millis, Adjustment)>,
    applied: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Held {
    value: i64,
    sequence: i64,
    fallback: Option<(i64, Millis)>,
}

impl Subscriber {
    fn new(seed: u64) -> Self {
        let held = |name: &&str| (name.to_string(), Held { value: 100 * EUR, sequence: 0, fallback: None });
        let (held, on_the_way, applied) = (NAMES.iter().map(held).collect(), Vec::new(), BTreeSet::new());
        Subscriber { seed: seed * 2 + 1, held, on_the_way, applied }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below.max(1)
    }

    fn sum(&self) -> i64 {
        self.held.values().map(|held| held.value).sum()
    }

    /// What it says, having done all that was due.
    fn hear(&mut self, now: Millis, outputs: &Outputs, grief: &Grief) -> Vec<Fact> {
        let mut said = Vec::new();
        for (key, desired) in &outputs.desired {
            let until = desired.lease_until.filter(|_| key.starts_with("lease/"));
            for held in self.held.values_mut().filter(|held| held.sequence <= desired.sequence) {
                if let (Some((_, when)), Some(until)) = (&mut held.fallback, until) {
                    *when = until.max(*when);
                }
            }
        }
        for held in self.held.values_mut() {
            if let Some((value, _)) = held.fallback.take_if(|(_, when)| *when < now) {
                held.value = value;
            }
        }
        for command in &outputs.adjustments {
            if command.kind != "set_daily_budget" {
                said.push(applied(command));
                continue;
            }
            let copies = 1 + u64::from(self.draw(100) < grief.commands_twice);
            for _ in 0..copies {
                if self.draw(100) >= grief.commands_lost {
                    let late = self.draw(grief.late_max_minutes + 1) as i64 * MINUTE_MS;
                    self.on_the_way.push((now + late, command.clone()));
                }
            }
        }
        let mut due: Vec<(Millis, Adjustment)> = self.on_the_way.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        for (_, command) in due {
            let answer = self.judge(now, &command);
            if self.draw(100) >= grief.answers_lost {
                said.push(answer);
            }
        }
        for name in NAMES {
            if self.draw(100) >= grief.reports_lost {
                said.push(Fact::StateReport(Box::new(StateReport {
                    account_id: "acme".into(),
                    campaign_id: name.into(),
                    reported_at: now,
                    daily_budget_micros: Some(self.held[name].value),
                    actor: Some("paceline".into()),
                    ..StateReport::default()
                })));
            }
        }
        said
    }

    fn judge(&mut self, now: Millis, command: &Adjustment) -> Fact {
        let held = self.held.get_mut(&command.campaign_id).unwrap();
        let (value, found) = (command.value_micros.unwrap(), held.value);
        let result = if self.applied.contains(&command.command_id) {
            "applied"
        } else if now >= command.expires_at {
            "expired"
        } else if command.sequence <= held.sequence {
            "superseded"
        } else if !command.requires.iter().all(|id| self.applied.contains(id)) {
            "rejected"
        } else if command.expected_previous.value_micros.is_some_and(|expected| expected != found) {
            "conflict"
        } else {
            let fallback = command.fallback.as_ref().map(|fallback| (fallback.value_micros.unwrap(), fallback.when));
            *held = Held { value, sequence: command.sequence, fallback };
            self.applied.insert(command.command_id.clone());
            "applied"
        };
        let Fact::Ack(mut ack) = applied(command) else { unreachable!() };
        ack.result = result.into();
        ack.found_value_micros = Some(self.held[&command.campaign_id].value);
        Fact::Ack(ack)
    }
}

fn every_ten_minutes(now: Millis) -> bool {
    now.rem_euclid(STEP) == 0
}

/// Three days with two nights of moves; from the last hours on nothing comes to grief any more.
fn play(seed: u64, grief: Grief) -> (Pool, Subscriber) {
    let mut subscriber = Subscriber::new(seed);
    let healed = MONDAY + 3 * DAY_MS + 2 * HOUR_MS;
    let none = Grief { commands_lost: 0, commands_twice: 0, answers_lost: 0, reports_lost: 90, late_max_minutes: 0 };
    let pool = Pool::of(three()).with(
        MONDAY + 3 * DAY_MS + 12 * HOUR_MS,
        |_| 2 * MINUTE_MS,
        every_ten_minutes,
        |now, outputs| {
            let said = subscriber.hear(now, outputs, if now < healed { &grief } else { &none });
            assert!(
                subscriber.sum() <= 300 * EUR,
                "{} at {} min, seed {seed}",
                subscriber.sum(),
                (now - MONDAY) / MINUTE_MS
            );
            said
        },
    );
    (pool, subscriber)
}

#[test]
fn whatever_is_lost_late_twice_or_unanswered_the_sum_in_force_never_passes_the_pool_s_and_comes_back() {
    let griefs = [
        Grief { commands_lost: 30, commands_twice: 0, answers_lost: 0, reports_lost: 87, late_max_minutes: 1 },
        Grief { commands_lost: 10, commands_twice: 20, answers_lost: 50, reports_lost: 95, late_max_minutes: 9 },
        Grief { commands_lost: 20, commands_twice: 30, answers_lost: 30, reports_lost: 100, late_max_minutes: 30 },
        Grief { commands_lost: 0, commands_twice: 0, answers_lost: 100, reports_lost: 90, late_max_minutes: 3 },
    ];
    let mut moved = 0;
    for (seed, grief) in (0..6).map(|seed| (seed, griefs[seed as usize % griefs.len()])) {
        let (pool, subscriber) = play(seed, grief);
        let (given, _) = pool.sums();
        assert_eq!((given, subscriber.sum()), (300 * EUR, 300 * EUR), "seed {seed}, {grief:?}, {:?}", subscriber.held);
        moved += pool.budgets().iter().filter(|command| command.reason == "reallocation" && is_rise(command)).count();
    }
    assert!(moved >= 6, "{moved} increases");
}

#[test]
fn a_lost_decrease_is_asked_again_and_the_night_moves_after_all() {
    let mut lost = BTreeSet::new();
    // The first command to each campaign is lost, the second arrives.
    let pool = Pool::of(three()).with(
        MONDAY + 2 * DAY_MS + 50 * MINUTE_MS,
        |_| MINUTE_MS,
        every_ten_minutes,
        |_, outputs| {
            let told = outputs.adjustments.iter().filter(|command| {
                command.kind != "set_daily_budget" || !lost.insert((command.campaign_id.clone(), is_rise(command)))
            });
            told.map(applied).collect()
        },
    );
    let moves: Vec<&Adjustment> =
        pool.budgets().into_iter().filter(|command| command.reason == "reallocation").collect();
    let night = MONDAY + 2 * DAY_MS;
    let last =
        |gives: bool| moves.iter().rfind(|command| is_rise(command) != gives).map(|command| command.issued_at - night);
    assert!(last(true) < Some(0) && last(false) > Some(2 * MINUTE_MS), "{:?} {:?}", last(true), last(false));
    let (given, in_force) = pool.sums();
    assert_eq!((given, in_force), (300 * EUR, 300 * EUR));
    let account = pool.world.controller.state.belief.accounts.get("acme").unwrap();
    assert!(account.pools.by_id["pool"].members["c"].given_micros > 100 * EUR);
}
