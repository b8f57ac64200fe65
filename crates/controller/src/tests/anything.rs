//! Whatever comes in: no panic, no command out of bounds, none that raises while halted, ids and sequences unique, and the
//! same state from a snapshot and from the log.

use super::world::*;
use crate::{Authority, Controller, JournalPosition};
use model::fact::*;
use model::journal::{Delta, NO_TOUCH};
use model::output::Adjustment;
use model::time::{MINUTE_MS, Millis};
use proptest::prelude::*;
use std::collections::BTreeSet;

const NAMES: [&str; 2] = ["c", "d"];

#[derive(Clone, Debug)]
enum Op {
    Spec(usize, [i64; 8], u8),
    Events(usize, [i64; 6]),
    Sane(usize, i64, i64),
    Ack(u8, i64),
    Report(usize, [i64; 3], u8),
    Stats(usize, [i64; 6], u8),
    Correct(usize, i64, i64),
    Halt(bool),
    Decide(u8, i64),
    Wait(i64),
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![2 => any::<i64>(), 3 => 0..100_000_000_i64, 1 => Just(0), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

fn op() -> impl Strategy<Value = Op> {
    let which = || 0..2_usize;
    prop_oneof![
        2 => (which(), prop::array::uniform8(number()), any::<u8>()).prop_map(|(w, n, k)| Op::Spec(w, n, k)),
        2 => (which(), prop::array::uniform6(number())).prop_map(|(w, n)| Op::Events(w, n)),
        6 => (which(), 1..30_i64, 0..9_000_000_i64).prop_map(|(w, n, s)| Op::Sane(w, n, s)),
        4 => (any::<u8>(), number()).prop_map(|(k, n)| Op::Ack(k, n)),
        1 => (which(), prop::array::uniform3(number()), any::<u8>()).prop_map(|(w, n, k)| Op::Report(w, n, k)),
        1 => (which(), prop::array::uniform6(number()), any::<u8>()).prop_map(|(w, n, k)| Op::Stats(w, n, k)),
        1 => (which(), number(), number()).prop_map(|(w, a, n)| Op::Correct(w, a, n)),
        1 => any::<bool>().prop_map(Op::Halt),
        1 => (any::<u8>(), number()).prop_map(|(k, n)| Op::Decide(k, n)),
        6 => (1..40_i64).prop_map(Op::Wait),
    ]
}

fn wild_spec(which: usize, n: &[i64; 8], kind: u8, version: i64) -> CampaignSpec {
    let pick = |bit: u8, value: i64| (kind >> bit & 1 == 1).then_some(value);
    CampaignSpec {
        daily_budget_micros: pick(0, n[0]),
        monthly_budget_micros: pick(1, n[1]),
        flight_budget_micros: pick(2, n[2]),
        flight_end: pick(3, n[3]),
        bid_micros: n[4],
        bid_min_micros: n[5],
        bid_max_micros: n[6],
        overdelivery_ppm: pick(4, n[7]),
        bid_step_micros: pick(1, n[2]).unwrap_or(1),
        target_cpa_micros: pick(2, n[3]),
        target_roas_ppm: pick(3, n[1]),
        bid_strategy: ["max_clicks", "target_cpa", "target_roas", "max_value"][usize::from(kind % 4)].into(),
        budget_control: if kind & 32 == 0 { "none" } else { "paceline" }.into(),
        mode: ["auto", "approve", "observe", "auto"][usize::from(kind >> 6)].into(),
        time_zone: if kind & 8 == 0 { "UTC" } else { "America/New_York" }.into(),
        spend_source: if kind % 5 == 4 { "stats" } else { "events" }.into(),
        ..spec(NAMES[which], version)
    }
}

fn sane_spec(which: usize) -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: Some(500_000_000),
        bid_micros: 1_000_000,
        bid_min_micros: 200_000,
        bid_max_micros: 4_000_000,
        ..spec(NAMES[which], 1)
    }
}

fn facts_of(op: &Op, issued: &[Adjustment], proposed: &[Adjustment], now: Millis, version: i64) -> Vec<Fact> {
    let ids = |which: usize| (String::from("acme"), String::from(NAMES[which]));
    match op {
        Op::Spec(which, n, kind) => vec![specified(wild_spec(*which, n, *kind, version))],
        Op::Ack(kind, found) => issued
            .iter()
            .rev()
            .nth(usize::from(kind % 4))
            .map(|command| {
                Fact::Ack(Box::new(Ack {
                    command_id: command.command_id.clone(),
                    account_id: command.account_id.clone(),
                    campaign_id: command.campaign_id.clone(),
                    sequence: command.sequence,
                    result: ["applied", "conflict", "rejected", "applied"][usize::from(kind / 64)].into(),
                    found_value_micros: (kind % 3 == 0).then_some(*found),
                    applied_at: (kind % 5 == 0).then_some(*found),
                    ..Ack::default()
                }))
            })
            .into_iter()
            .collect(),
        Op::Report(which, n, kind) => {
            let (account_id, campaign_id) = ids(*which);
            vec![Fact::StateReport(Box::new(StateReport {
                account_id,
                campaign_id,
                reported_at: n[0],
                bid_micros: (kind & 1 == 1).then_some(n[1]),
                daily_budget_micros: (kind & 2 == 2).then_some(n[2]),
                status: [None, Some("active".into()), Some("paused".into()), Some("ENABLED".into())]
                    [usize::from(kind % 4)]
                .clone(),
                actor: Some(["person", "platform", "paceline"][usize::from(kind / 90)].into()),
                ..StateReport::default()
            }))]
        }
        Op::Stats(which, n, kind) => {
            let (account_id, campaign_id) = ids(*which);
            let start = if kind & 1 == 0 { now - now.rem_euclid(3_600_000) } else { n[0] };
            vec![Fact::StatsReport(Box::new(StatsReport {
                report_id: n[1].to_string(),
                revision: n[2],
                account_id,
                campaign_id,
                window_start: start,
                window_end: start.saturating_add(n[3].rem_euclid(9_000_000)),
                clicks: n[4],
                cost_micros: n[5],
                currency: "EUR".into(),
                semantics: if kind & 2 == 0 { "snapshot" } else { "delta" }.into(),
                ..StatsReport::default()
            }))]
        }
        Op::Correct(which, at, amount) => {
            let (account_id, campaign_id) = ids(*which);
            vec![Fact::Correction(Box::new(Correction {
                correction_id: amount.to_string(),
                account_id,
                campaign_id,
                applies_at: *at,
                cost_micros: *amount,
                clicks: *amount,
                currency: "EUR".into(),
                reason: "invalid_traffic".into(),
                ..Correction::default()
            }))]
        }
        Op::Halt(set) => vec![Fact::Halt(Box::new(Halt {
            scope: "global".into(),
            action: if *set { "set" } else { "release" }.into(),
            ..Halt::default()
        }))],
        Op::Decide(kind, value) => proposed
            .iter()
            .rev()
            .nth(usize::from(kind % 4))
            .map(|proposal| {
                Fact::Decision(Box::new(Decision {
                    command_id: proposal.command_id.clone(),
                    account_id: proposal.account_id.clone(),
                    decision: ["approve", "reject", "edit", "snooze"][usize::from(kind / 64)].into(),
                    value_micros: Some(*value),
                    until: Some(*value),
                    ..Decision::default()
                }))
            })
            .into_iter()
            .collect(),
        Op::Events(..) | Op::Sane(..) | Op::Wait(_) => vec![],
    }
}

fn rows_of(op: &Op, now: Millis) -> Vec<Row> {
    match op {
        Op::Events(which, n) => {
            let delta = Delta {
                minute: n[0],
                touch_minute: if n[1] % 2 == 0 { NO_TOUCH } else { n[1] },
                impressions: n[2],
                clicks: n[3],
                billable: n[4],
                spend_micros: n[5],
                last_conversions_micro: n[2],
                linear_value_micros: n[3],
                ..Delta::default()
            };
            let conversion_type = if n[1] % 3 == 0 { "purchase" } else { "" };
            vec![Row { campaign: NAMES[*which], conversion_type, delta, ..Row::default() }]
        }
        Op::Sane(which, clicks, spend) => vec![touches(NAMES[*which], now - MINUTE_MS, 10 * clicks, *clicks, *spend)],
        _ => vec![],
    }
}

fn check(command: &Adjustment, world: &World, halted: bool, seen: &mut BTreeSet<(String, i64)>) {
    assert_eq!(command.state, "issued");
    assert!(seen.insert((command.account_id.clone(), command.sequence)), "a sequence twice");
    assert!(!command.command_id.is_empty() && command.explanation.journal_offset == world.offset - 1);
    let spec = world.controller.view().campaign("acme", &command.campaign_id).unwrap().spec;
    if halted {
        assert_eq!((command.kind.as_str(), command.holder.as_deref()), ("pause", Some("halt")));
    }
    if command.kind == "set_bid" {
        let value = command.value_micros.unwrap();
        assert!(spec.bid_min_micros <= value && value <= spec.bid_max_micros, "{value} out of bounds");
        assert_eq!(spec.bid_control, "paceline");
    }
    assert_ne!(spec.mode, "observe", "nothing applicable in observe mode");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nothing_panics_and_nothing_leaves_its_bounds(ops in prop::collection::vec(op(), 1..120), cut in 0..120_usize) {
        let mut world = World::new();
        let mut now = MONDAY;
        let (mut issued, mut proposed, mut halted) = (Vec::new(), Vec::new(), false);
        let (mut seen, mut copy) = (BTreeSet::new(), None::<Controller>);
        let mut follower = Controller::new(setup());
        let first = world.journal.cut(now, now - 5_000, &[], &[specified(sane_spec(0)), specified(sane_spec(1))]);
        let at = JournalPosition { offset: world.offset, timestamp_ms: now };
        let outputs = world.apply(now, &first);
        follower.apply(at, &first, Authority::Log(&outputs.decisions()));
        for (step, op) in ops.iter().enumerate() {
            now += if let Op::Wait(minutes) = op { minutes * MINUTE_MS } else { 20_000 };
            let facts = facts_of(op, &issued, &proposed, now, step as i64 + 2);
            if let Op::Halt(set) = op {
                halted = *set;
            }
            let record = world.journal.cut(now, now - 5_000, &rows_of(op, now), &facts);
            let at = JournalPosition { offset: world.offset, timestamp_ms: now };
            let outputs = world.apply(now, &record);
            let silent = follower.apply(at, &record, Authority::Log(&outputs.decisions()));
            prop_assert_eq!(&silent.kpis, &outputs.kpis);
            if let Some(copy) = &mut copy {
                prop_assert_eq!(&copy.apply(at, &record, Authority::Decide), &outputs);
            }
            if step == cut {
                copy = Controller::restore(setup(), &world.controller.snapshot()).ok();
                prop_assert!(copy.is_some());
            }
            outputs.adjustments.iter().for_each(|command| check(command, &world, halted, &mut seen));
            issued.extend(outputs.adjustments);
            proposed.extend(outputs.proposals);
            world.controller.view().campaigns().count();
        }
        prop_assert!(follower.snapshot() == world.controller.snapshot(), "who follows the log is alike");
        if let Some(copy) = copy {
            prop_assert_eq!(copy.snapshot(), world.controller.snapshot());
        }
    }
}
