//! Looks that are left out: each record of these days makes some of them on a copy, and they must find nothing
//! (`quiet.rs`). Rows of minutes are off, since who publishes one is looked at.

use super::stories::{EUR, paced};
use super::world::*;
use crate::{Controller, Setup};
use model::fact::{CampaignSpec, Correction, Fact, Halt, StateReport};
use model::output::Adjustment;
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use proptest::prelude::*;

const NAMES: [&str; 3] = ["c", "d", "e"];

/// What happens in a step of a day.
#[derive(Clone, Debug)]
enum Step {
    /// Clicks and their cost, some minutes old.
    Touch(usize, i64, i64),
    /// Answers to all that was asked for.
    Answer,
    /// A new budget.
    Respecify(usize, i64),
    Correct(usize, i64),
    Halt(bool),
    ReadBack(usize, i64),
    /// Sources tell nothing for a while.
    Lag(i64),
}

fn step() -> impl Strategy<Value = (Step, Millis)> {
    let which = || 0..3_usize;
    let step = prop_oneof![
        24 => (which(), 0..3_i64, 0..EUR).prop_map(|(at, age, spend)| Step::Touch(at, age, spend)),
        6 => Just(Step::Answer),
        1 => (which(), 20 * EUR..600 * EUR).prop_map(|(at, budget)| Step::Respecify(at, budget)),
        1 => (which(), -EUR..EUR).prop_map(|(at, cost)| Step::Correct(at, cost)),
        1 => any::<bool>().prop_map(Step::Halt),
        1 => (which(), EUR / 4..3 * EUR).prop_map(|(at, bid)| Step::ReadBack(at, bid)),
        1 => (0..30 * MINUTE_MS).prop_map(Step::Lag),
    ];
    (step, prop_oneof![8 => 1_000..100_000_i64, 1 => 0..40 * MINUTE_MS])
}

fn world() -> World {
    World::with(Controller::new(Setup { minute_rows: false, ..setup() }))
}

fn campaign(which: usize, version: i64, daily: i64) -> CampaignSpec {
    let spec = CampaignSpec { campaign_id: NAMES[which].into(), daily_budget_micros: Some(daily), ..paced(version) };
    match which {
        1 => CampaignSpec { monthly_budget_micros: Some(20 * daily), flight_end: Some(MONDAY + 30 * HOUR_MS), ..spec },
        2 => CampaignSpec { mode: "observe".into(), target_cpa_micros: Some(9 * EUR), ..spec },
        _ => spec,
    }
}

fn is_quiet(world: &World, which: usize) -> bool {
    let campaign = world.controller.state.belief.campaign("acme", NAMES[which]);
    campaign.is_some_and(crate::campaign::Campaign::has_quiet)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_look_that_is_left_out_would_have_found_nothing(steps in prop::collection::vec(step(), 60..400)) {
        let mut world = world();
        let (mut now, mut watermark, mut version) = (MONDAY, MONDAY - 5_000, 1);
        let specs: Vec<Fact> = (0..3).map(|which| specified(campaign(which, 1, 240 * EUR))).collect();
        world.feed(now, &[], &specs);
        let mut waiting: Vec<Adjustment> = Vec::new();
        for (step, after) in steps {
            now += after;
            let (mut rows, mut facts, mut lag) = (Vec::new(), Vec::new(), 5_000);
            match step {
                Step::Touch(which, age, spend) => rows.push(touches(NAMES[which], now - age * MINUTE_MS, 40, 2, spend)),
                Step::Answer => facts.extend(waiting.drain(..).map(|command| acked(&command, "applied", command.value_micros))),
                Step::Respecify(which, daily) => {
                    version += 1;
                    facts.push(specified(campaign(which, version, daily)));
                }
                Step::Correct(which, cost_micros) => facts.push(Fact::Correction(Box::new(Correction {
                    correction_id: format!("k{now}"),
                    account_id: "acme".into(),
                    campaign_id: NAMES[which].into(),
                    applies_at: now - 3 * MINUTE_MS,
                    currency: "EUR".into(),
                    cost_micros,
                    ..Correction::default()
                }))),
                Step::Halt(is_set) => facts.push(Fact::Halt(Box::new(Halt {
                    scope: "campaign".into(),
                    account_id: Some("acme".into()),
                    campaign_id: Some("d".into()),
                    action: if is_set { "set" } else { "release" }.into(),
                    ..Halt::default()
                }))),
                Step::ReadBack(which, bid) => facts.push(Fact::StateReport(Box::new(StateReport {
                    account_id: "acme".into(),
                    campaign_id: NAMES[which].into(),
                    reported_at: now,
                    bid_micros: Some(bid),
                    actor: Some("person".into()),
                    ..StateReport::default()
                }))),
                Step::Lag(by) => lag = by,
            }
            watermark = watermark.max(now - lag);
            // The looks that are left out are made in here.
            let outputs = world.feed_behind(now, watermark, &rows, &facts);
            waiting.extend(outputs.adjustments);
        }
    }
}

#[test]
fn between_its_instants_a_campaign_on_its_plan_is_left_alone() {
    let mut world = world();
    world.feed(MONDAY, &[], &[specified(campaign(0, 1, 240 * EUR))]);
    let (mut quiet, mut all, mut facts) = (0, 0, Vec::new());
    for at in 1..6 * 3_600 / 20 {
        let now = MONDAY + at * 20_000;
        let outputs = world.feed(now, &[touches("c", now - 5_000, 20, 1, 240 * EUR / 24 / 180)], &facts);
        facts = outputs.adjustments.iter().map(|command| acked(command, "applied", command.value_micros)).collect();
        all += 1;
        quiet += i32::from(is_quiet(&world, 0));
    }
    assert!(quiet * 10 >= all * 7, "{quiet} of {all}");
}

#[test]
fn what_waits_for_no_look_is_looked_at_as_soon_as_its_ceiling_is_near() {
    let mut world = world();
    world.feed(MONDAY, &[], &[specified(campaign(0, 1, 240 * EUR))]);
    for minute in 1..3 * 60 {
        let now = MONDAY + minute * MINUTE_MS;
        world.feed(now, &[touches("c", now - 5_000, 20, 1, 240 * EUR / 24 / 60)], &[]);
    }
    // Between two evaluations; just after one it may not be.
    let mut now = MONDAY + 3 * HOUR_MS - MINUTE_MS;
    while !is_quiet(&world, 0) {
        now += MINUTE_MS;
        assert!(now < MONDAY + 4 * HOUR_MS, "never quiet");
        world.feed(now, &[touches("c", now - 5_000, 20, 1, 240 * EUR / 24 / 60)], &[]);
    }
    let now = now + MINUTE_MS / 2;
    let outputs = world.feed(now, &[touches("c", now - 5_000, 900, 90, 220 * EUR)], &[]);
    assert!(outputs.adjustments.iter().any(|command| command.kind == "pause"), "{:?}", outputs.adjustments);
}
