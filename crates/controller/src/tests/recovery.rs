//! The same state, whatever happened to the process: repetitions, parts, snapshots.

use super::world::*;
use crate::{Authority, Controller, JournalPosition, LoggedDecision, SnapshotError};
use model::fact::{Fact, Halt, PolicyVersion};
use model::journal::{CopiedFact, JournalRecord};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use proptest::prelude::*;

/// A journal of an hour and a half with specifications, an unknown campaign and late events.
pub fn journal(seed: &[(u8, i64)]) -> Vec<(Millis, JournalRecord)> {
    let mut journal = Journal::default();
    let mut records = vec![(MONDAY, journal.cut(MONDAY, MONDAY - 5_000, &[], &[specified(spec("a", 1))]))];
    for (at, (kind, amount)) in seed.iter().enumerate() {
        let clock = MONDAY + (at as i64 + 1) * 47_000;
        let rows = match kind % 4 {
            0 => vec![touches("a", clock - 7_000, 10, 1, *amount)],
            1 => vec![touches("b", clock - 7_000, 5, 0, *amount), touches("a", clock - 20 * MINUTE_MS, 1, 1, *amount)],
            2 => vec![credit("a", clock - 7_000, clock - HOUR_MS, 1_000_000, *amount)],
            _ => vec![],
        };
        let facts = if at == seed.len() / 2 { vec![specified(spec("b", 1))] } else { vec![] };
        records.push((clock, journal.cut(clock, clock - 5_000, &rows, &facts)));
    }
    records
}

fn run(controller: &mut Controller, records: &[(Millis, JournalRecord)], from: usize) -> Vec<crate::Outputs> {
    let applied = records.iter().enumerate().skip(from).map(|(offset, (timestamp_ms, record))| {
        let at = JournalPosition { offset: offset as i64, timestamp_ms: *timestamp_ms };
        controller.apply(at, record, Authority::Decide)
    });
    applied.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn snapshot_and_replay_equal_an_uninterrupted_run(
        seed in prop::collection::vec((any::<u8>(), 1..5_000_000_i64), 1..120), cut in 0..120_usize,
    ) {
        let records = journal(&seed);
        let cut = cut.min(records.len());
        let mut whole = Controller::new(setup());
        let outputs = run(&mut whole, &records, 0);

        let mut first = Controller::new(setup());
        run(&mut first, &records[..cut], 0);
        let bytes = first.snapshot();
        let mut second = Controller::restore(setup(), &bytes).unwrap();
        prop_assert_eq!(&second.snapshot(), &bytes, "canonical");
        let rest = run(&mut second, &records, cut);
        prop_assert_eq!(second.snapshot(), whole.snapshot());
        prop_assert_eq!(&outputs[cut..], &rest[..]);
    }

    #[test]
    fn the_decision_log_rebuilds_the_same_ledger(
        seed in prop::collection::vec((any::<u8>(), 1..5_000_000_i64), 1..120), cut in 0..120_usize,
    ) {
        let records = journal(&seed);
        let cut = cut.min(records.len());
        let mut whole = Controller::new(setup());
        let outputs = run(&mut whole, &records, 0);
        let mut restarted = Controller::new(setup());
        for (offset, (timestamp_ms, record)) in records[..cut].iter().enumerate() {
            let at = JournalPosition { offset: offset as i64, timestamp_ms: *timestamp_ms };
            let log = logged(&outputs[offset]);
            let silent = restarted.apply(at, record, Authority::Log(&log));
            prop_assert!(silent.alerts.is_empty() && silent.adjustments.is_empty());
        }
        let rest = run(&mut restarted, &records, cut);
        prop_assert_eq!(restarted.snapshot(), whole.snapshot());
        prop_assert_eq!(&outputs[cut..], &rest[..]);
    }
}

/// What the output topics hold after a record.
pub fn logged(outputs: &crate::Outputs) -> Vec<LoggedDecision> {
    outputs.decisions()
}

/// A cut that reads nothing and carries facts of earlier cuts again.
fn again(world: &mut World, at: Millis, copies: &[CopiedFact]) -> crate::Outputs {
    let record = world.journal.cut(at, at - 5_000, &[], &[]);
    world.apply(at, &JournalRecord { facts: copies.to_vec(), ..record })
}

fn halted(action: &str, at: Millis) -> Fact {
    let scope = "campaign".to_owned();
    let (account_id, campaign_id) = (Some("acme".to_owned()), Some("a".to_owned()));
    Fact::Halt(Box::new(Halt {
        scope,
        account_id,
        campaign_id,
        action: action.into(),
        issued_at: at,
        ..Halt::default()
    }))
}

#[test]
fn a_halt_that_waited_for_the_broker_does_not_undo_the_release_that_was_given_meanwhile() {
    let mut world = World::new();
    world.feed(MONDAY, &[], &[specified(spec("a", 1)), halted("set", MONDAY)]);
    world.feed(MONDAY + DAY_MS, &[], &[halted("release", MONDAY + DAY_MS)]);
    let is_halted = |world: &World| world.controller.view().campaign("acme", "a").map(|campaign| campaign.halted);
    world.feed(MONDAY + DAY_MS + MINUTE_MS, &[], &[halted("set", MONDAY + MINUTE_MS)]);
    assert_eq!((is_halted(&world), world.alerts("halt_outdated")), (Some(false), vec!["opened".to_owned()]));
    let again = Controller::restore(setup(), &world.controller.snapshot()).unwrap();
    assert_eq!(again.snapshot(), world.controller.snapshot());
    world.feed(MONDAY + DAY_MS + 2 * MINUTE_MS, &[], &[halted("set", MONDAY + DAY_MS + 2 * MINUTE_MS)]);
    assert_eq!((is_halted(&world), world.alerts("halt_outdated").len()), (Some(true), 2), "a newer halt counts");
}

#[test]
fn facts_that_are_copied_again_change_nothing_where_they_are_known_and_are_news_where_they_are_not() {
    let policy = PolicyVersion { name: "default".into(), version: 3, ..PolicyVersion::default() };
    let facts = [specified(spec("a", 4)), Fact::PolicyVersion(Box::new(policy)), halted("set", MONDAY)];
    let mut world = World::new();
    let told = world.journal.cut(MONDAY, MONDAY - 5_000, &[], &facts);
    world.apply(MONDAY, &told);
    let copies = told.facts.clone();
    let is_halted = |world: &World| world.controller.view().campaign("acme", "a").map(|campaign| campaign.halted);
    assert_eq!(is_halted(&world), Some(true));
    world.feed(MONDAY + MINUTE_MS, &[], &[halted("release", MONDAY + MINUTE_MS), specified(spec("a", 5))]);
    let before =
        world.controller.view().positions().map(|(topic, p, at)| (topic.to_owned(), p, at)).collect::<Vec<_>>();
    let outputs = again(&mut world, MONDAY + MINUTE_MS + 1, &copies);
    assert_eq!(is_halted(&world), Some(false), "an older halt does not come back");
    assert!(outputs.alerts.is_empty() && outputs.adjustments.is_empty() && outputs.proposals.is_empty());
    let of = |controller: &Controller, topic: &str| {
        controller.view().positions().find(|(name, ..)| *name == topic).map(|(_, _, at)| at)
    };
    let campaigns = before.iter().find(|(topic, ..)| topic == "ads.campaigns").map(|(.., at)| *at);
    assert_eq!(of(&world.controller, "ads.campaigns"), campaigns, "copies move no position");
    assert_eq!(world.controller.view().integrity_hold(), None);

    // A controller whose journal begins after the facts learns them from the copies.
    let mut late = World { journal: world.journal.clone(), ..World::new() };
    again(&mut late, MONDAY + HOUR_MS, &copies);
    assert_eq!(is_halted(&late), Some(true));
    again(&mut late, MONDAY + HOUR_MS + 1, &copies);
    assert_eq!(is_halted(&late), Some(true));
    assert_eq!(late.controller.view().integrity_hold(), None);
}

#[test]
fn a_repeated_record_is_dropped_and_counted() {
    let mut world = World::new();
    world.feed(MONDAY, &[], &[specified(spec("a", 1))]);
    let record = world.journal.cut(MONDAY + 1, MONDAY, &[touches("a", MONDAY, 1, 0, 10)], &[]);
    world.apply(MONDAY + 1, &record);
    world.apply(MONDAY + 2, &record);
    world.feed(MONDAY + 2 * HOUR_MS, &[], &[]);
    assert_eq!(world.row("a", "hour", MONDAY, "conversion_time").unwrap().spend_micros, 10);
    assert_eq!(world.controller.view().counters().duplicate_records, 1);
    assert_eq!(world.controller.view().integrity_hold(), None);
}

#[test]
fn a_gap_latches_the_integrity_hold_once() {
    let mut world = World::new();
    world.feed(MONDAY, &[touches("a", MONDAY, 1, 0, 10)], &[specified(spec("a", 1))]);
    world.journal.cut(MONDAY + 1, MONDAY, &[touches("a", MONDAY, 1, 0, 10)], &[]); // Lost.
    for second in 2..6 {
        world.feed(MONDAY + second, &[touches("a", MONDAY, 1, 0, 10)], &[]);
    }
    assert!(world.controller.view().integrity_hold().is_some());
    assert_eq!(world.alerts("integrity_hold"), ["opened"]);
    world.feed(MONDAY + 2 * HOUR_MS, &[], &[]);
    assert_eq!(world.row("a", "hour", MONDAY, "conversion_time").unwrap().spend_micros, 50, "what came is counted");
}

#[test]
fn a_split_record_counts_when_its_last_part_is_there() {
    let mut world = World::new();
    world.feed(MONDAY, &[], &[specified(spec("a", 1))]);
    let rows = [touches("a", MONDAY, 1, 0, 10), touches("a", MONDAY + MINUTE_MS, 1, 0, 20)];
    let whole = world.journal.cut(MONDAY + 1, MONDAY, &rows, &[]);
    let part = |part: i32| JournalRecord {
        part,
        parts: 2,
        deltas: vec![whole.deltas[part as usize].clone()],
        ..whole.clone()
    };
    world.apply(MONDAY + 1, &part(1));
    assert_eq!(world.controller.view().campaign("acme", "a").unwrap().spend_day_micros, 0);
    let copy = Controller::restore(setup(), &world.controller.snapshot()).unwrap();
    world.controller = copy;
    world.apply(MONDAY + 1, &part(0));
    assert_eq!(world.controller.view().campaign("acme", "a").unwrap().spend_day_micros, 30);
    world.apply(MONDAY + 1, &part(0));
    world.apply(MONDAY + 1, &part(1));
    assert_eq!(world.controller.view().campaign("acme", "a").unwrap().spend_day_micros, 30, "sent twice");
}

#[test]
fn a_record_before_the_state_s_position_changes_nothing() {
    let mut controller = Controller::new(setup());
    let records = journal(&[(0, 5), (1, 6)]);
    run(&mut controller, &records, 0);
    let before = controller.snapshot();
    run(&mut controller, &records, 0);
    assert_eq!(controller.snapshot(), before);
    assert_eq!(controller.next_offset(), 3);
}

#[test]
fn a_snapshot_that_is_not_ours_is_refused() {
    let bytes = Controller::new(setup()).snapshot();
    let refuse = |setup, bytes: &[u8]| Controller::restore(setup, bytes).err();
    assert_eq!(refuse(setup(), b"PLC\x00"), Some(SnapshotError::Format));
    assert_eq!(refuse(setup(), &bytes[..bytes.len() - 1]), Some(SnapshotError::Corrupt));
    let other = crate::Setup { partition: 3, ..setup() };
    assert_eq!(refuse(other, &bytes), Some(SnapshotError::Partition(0)));
}
