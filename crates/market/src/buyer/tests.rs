//! The subscriber's rule as stories, and its invariants under any order of delivery.

use super::state::Ad;
use super::*;
use crate::scenario::CampaignWorld;
use model::output::{DesiredValue, ExpectedPrevious, Fallback, Target};
use model::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use proptest::prelude::*;

const LAG: Millis = 10 * SECOND_MS;

/// The demonstration's buyer with a fixed lag and no reports; tells of `acme-brand` only.
fn buyer() -> AdBuyer {
    let mut scenario = Scenario::demo(1, 0, 10 * HOUR_MS);
    scenario.buyer = BuyerManners { lag_min_ms: LAG, lag_max_ms: LAG, ignored_share: 0.0, report_every_ms: 0 };
    AdBuyer::new(&scenario, 1)
}

fn command(kind: &str, sequence: i64, value: Option<i64>) -> Adjustment {
    Adjustment {
        command_id: format!("{kind}-{sequence}"),
        account_id: "acme-shop".into(),
        campaign_id: "acme-brand".into(),
        target: Target { level: "campaign".into(), id: "acme-brand".into(), external_id: None },
        kind: kind.into(),
        value_micros: value,
        currency: "EUR".into(),
        sequence,
        state: "issued".into(),
        expires_at: HOUR_MS,
        ..Adjustment::default()
    }
}

fn bid(sequence: i64, value: i64) -> Adjustment {
    command("set_bid", sequence, Some(value))
}

/// The results answered so far, with the value found.
fn answers(buyer: &mut AdBuyer) -> Vec<(String, String, Option<i64>)> {
    let facts = buyer.take_feedback(Millis::MAX).into_iter();
    facts
        .filter_map(|fact| match fact {
            Fact::Ack(ack) => Some((ack.command_id, ack.result, ack.found_value_micros)),
            _ => None,
        })
        .collect()
}

fn results(buyer: &mut AdBuyer) -> Vec<String> {
    answers(buyer).into_iter().map(|(_, result, _)| result).collect()
}

fn bid_in_force(buyer: &AdBuyer) -> i64 {
    buyer.state("acme-brand").expect("a campaign of the demonstration").bid_micros
}

fn is_paused(buyer: &AdBuyer) -> bool {
    buyer.state("acme-brand").expect("a campaign of the demonstration").paused
}

#[test]
fn a_command_is_applied_after_the_lag_and_answered() {
    let mut buyer = buyer();
    buyer.receive(&bid(1, 300_000), MINUTE_MS);
    buyer.settle(MINUTE_MS + LAG - 1);
    assert_eq!(bid_in_force(&buyer), 450_000);
    assert!(buyer.take_feedback(Millis::MAX).is_empty());
    buyer.settle(MINUTE_MS + LAG);
    assert_eq!(bid_in_force(&buyer), 300_000);
    assert!(buyer.take_feedback(MINUTE_MS + LAG - 1).is_empty());
    match buyer.take_feedback(MINUTE_MS + LAG).as_slice() {
        [Fact::Ack(ack)] => {
            assert_eq!((ack.result.as_str(), ack.sequence, ack.found_value_micros), ("applied", 1, Some(300_000)));
            assert_eq!(ack.applied_at, Some(MINUTE_MS + LAG));
            assert_eq!(ack.actor, "paceline");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_command_again_gets_the_same_answer_and_changes_nothing() {
    let mut buyer = buyer();
    buyer.receive(&bid(1, 300_000), 0);
    buyer.receive(&bid(2, 310_000), MINUTE_MS);
    buyer.receive(&bid(1, 300_000), 2 * MINUTE_MS);
    buyer.settle(HOUR_MS);
    assert_eq!(bid_in_force(&buyer), 310_000);
    assert_eq!(results(&mut buyer), ["applied", "applied", "applied"]);
    assert_eq!(buyer.counts().applied, 2);
}

#[test]
fn an_older_command_after_a_newer_one_is_superseded() {
    let mut buyer = buyer();
    buyer.receive(&bid(7, 310_000), 0);
    buyer.receive(&bid(6, 300_000), MINUTE_MS);
    buyer.settle(HOUR_MS);
    assert_eq!(bid_in_force(&buyer), 310_000);
    assert_eq!(results(&mut buyer), ["applied", "superseded"]);
}

#[test]
fn an_expired_or_merely_proposed_command_is_not_applied() {
    let mut buyer = buyer();
    buyer.receive(&Adjustment { expires_at: LAG, ..bid(1, 300_000) }, 0);
    buyer.receive(&Adjustment { state: "proposed".into(), ..bid(2, 300_000) }, 0);
    buyer.settle(HOUR_MS);
    assert_eq!(bid_in_force(&buyer), 450_000);
    assert_eq!(results(&mut buyer), ["expired", "rejected"]);
}

#[test]
fn another_value_than_expected_is_a_conflict_that_names_what_was_found() {
    let mut buyer = buyer();
    let expecting = |sequence, value, previous, of| Adjustment {
        expected_previous: ExpectedPrevious { value_micros: Some(previous), value_ppm: None, sequence: of },
        ..bid(sequence, value)
    };
    buyer.person_sets_bid("acme-brand", 500_000, 0);
    buyer.receive(&expecting(1, 300_000, 450_000, 0), 0);
    buyer.settle(MINUTE_MS);
    assert_eq!(answers(&mut buyer), [("set_bid-1".into(), "conflict".into(), Some(500_000))]);
    buyer.receive(&expecting(2, 400_000, 500_000, 0), MINUTE_MS);
    // A command that builds on one that this buyer never applied.
    buyer.receive(&expecting(4, 350_000, 400_000, 3), MINUTE_MS + 1);
    buyer.settle(HOUR_MS);
    assert_eq!(results(&mut buyer), ["applied", "conflict"]);
    assert_eq!(bid_in_force(&buyer), 400_000);
}

#[test]
fn a_command_waits_for_what_it_requires_and_gives_up_at_its_expiry() {
    let mut buyer = buyer();
    let raise = |sequence, requires: &str| Adjustment { requires: vec![requires.into()], ..bid(sequence, 470_000) };
    let cut = Adjustment {
        campaign_id: "acme-generic".into(),
        target: Target { level: "campaign".into(), id: "acme-generic".into(), external_id: None },
        ..bid(1, 900_000)
    };
    buyer.receive(&Adjustment { command_id: "raise".into(), ..raise(2, "cut") }, 0);
    buyer.receive(&Adjustment { command_id: "cut".into(), ..cut }, MINUTE_MS);
    buyer.settle(2 * MINUTE_MS);
    assert_eq!(results(&mut buyer), ["deferred", "applied", "applied"]);
    assert_eq!(bid_in_force(&buyer), 470_000);
    buyer.receive(&raise(3, "never"), 2 * MINUTE_MS);
    buyer.settle(HOUR_MS);
    assert_eq!(results(&mut buyer), ["deferred", "expired"]);
}

#[test]
fn a_raise_falls_back_at_the_end_of_its_lease_unless_it_is_renewed() {
    let mut buyer = buyer();
    let raise =
        Adjustment { fallback: Some(Fallback { value_micros: Some(440_000), when: 5 * MINUTE_MS }), ..bid(1, 480_000) };
    buyer.receive(&raise, 0);
    let lease = DesiredState {
        account_id: "acme-shop".into(),
        sequence: 1,
        lease_until: Some(9 * MINUTE_MS),
        ..DesiredState::default()
    };
    buyer.receive_desired(&lease, 3 * MINUTE_MS);
    // A lease of another account is none of ours.
    let other = DesiredState { account_id: "tea-house".into(), lease_until: Some(HOUR_MS), ..lease };
    buyer.receive_desired(&other, 4 * MINUTE_MS);
    buyer.settle(9 * MINUTE_MS - 1);
    assert_eq!(bid_in_force(&buyer), 480_000);
    buyer.settle(9 * MINUTE_MS);
    assert_eq!(bid_in_force(&buyer), 440_000);
    assert_eq!(buyer.counts().lapsed, 1);
}

#[test]
fn a_lease_that_names_older_commands_does_not_keep_a_newer_value() {
    let mut buyer = buyer();
    let fallback = Some(Fallback { value_micros: None, when: 5 * MINUTE_MS });
    buyer.receive(&Adjustment { fallback, ..bid(8, 480_000) }, 0);
    let lease = DesiredState {
        account_id: "acme-shop".into(),
        sequence: 7,
        lease_until: Some(HOUR_MS),
        ..DesiredState::default()
    };
    buyer.receive_desired(&lease, MINUTE_MS);
    buyer.settle(5 * MINUTE_MS);
    assert_eq!(bid_in_force(&buyer), 450_000, "without a value the one before holds");
}

#[test]
fn a_cut_without_fallback_stays() {
    let mut buyer = buyer();
    buyer.receive(&bid(1, 200_000), 0);
    buyer.settle(1_000 * HOUR_MS);
    assert_eq!(bid_in_force(&buyer), 200_000);
}

#[test]
fn a_budget_pause_ends_at_the_start_of_the_next_period_and_an_old_pause_cannot_overtake_a_resume() {
    let mut buyer = buyer();
    let until = Some(Fallback { value_micros: None, when: 30 * MINUTE_MS });
    buyer.receive(&Adjustment { fallback: until, ..command("pause", 1, None) }, 0);
    buyer.settle(LAG);
    assert!(is_paused(&buyer));
    buyer.settle(30 * MINUTE_MS);
    assert!(!is_paused(&buyer));
    buyer.receive(&command("resume", 4, None), 31 * MINUTE_MS);
    buyer.receive(&command("pause", 3, None), 32 * MINUTE_MS);
    buyer.settle(HOUR_MS);
    assert!(!is_paused(&buyer));
    assert_eq!(results(&mut buyer), ["applied", "applied", "superseded"]);
}

#[test]
fn no_command_lifts_a_persons_pause() {
    let mut buyer = buyer();
    buyer.person_pauses("acme-brand", true, 0);
    buyer.receive(&command("resume", 1, None), MINUTE_MS);
    buyer.settle(HOUR_MS);
    assert!(is_paused(&buyer));
    assert_eq!(results(&mut buyer), ["rejected"]);
}

#[test]
fn a_cancel_withdraws_what_is_on_its_way_and_ends_leases() {
    let mut buyer = buyer();
    let fallback = Some(Fallback { value_micros: Some(440_000), when: HOUR_MS });
    buyer.receive(&Adjustment { fallback, ..bid(1, 480_000) }, 0);
    buyer.receive(&Adjustment { effective_from: 20 * MINUTE_MS, ..bid(2, 490_000) }, MINUTE_MS);
    buyer.receive(&command("cancel", 3, None), 2 * MINUTE_MS);
    buyer.settle(HOUR_MS);
    assert_eq!(bid_in_force(&buyer), 440_000);
    assert_eq!(results(&mut buyer), ["applied", "superseded", "applied"]);
}

#[test]
fn what_the_buyer_cannot_do_is_rejected_with_a_reason() {
    let mut buyer = buyer();
    buyer.receive(&command("set_target", 1, Some(1)), 0);
    buyer.receive(&Adjustment { campaign_id: "nobody".into(), ..bid(2, 1) }, 0);
    buyer.receive(&Adjustment { currency: "USD".into(), ..bid(3, 1) }, 0);
    buyer.receive(&bid(4, -5), 0);
    buyer.receive(&Adjustment { table: Some(vec![1; 7]), ..command("set_modifier_table", 5, None) }, 0);
    buyer.settle(HOUR_MS);
    let facts = buyer.take_feedback(Millis::MAX);
    let reasons: Vec<&str> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Ack(ack) => ack.reason.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["unknown_kind", "unknown_campaign", "currency", "bad_value", "bad_value"]);
}

#[test]
fn a_buyer_that_joins_late_takes_over_confirmed_values_only() {
    let mut buyer = buyer();
    let value = |kind: &str, wanted, confirmed, sequence| DesiredValue {
        target: Target { level: "campaign".into(), id: "acme-brand".into(), external_id: None },
        kind: kind.into(),
        wanted_micros: Some(wanted),
        confirmed_micros: Some(confirmed),
        confirmed_at: Some(1),
        command_id: format!("late-{sequence}"),
        sequence,
        ..DesiredValue::default()
    };
    let desired = DesiredState {
        account_id: "acme-shop".into(),
        campaign_id: Some("acme-brand".into()),
        values: vec![value("set_bid", 222_000, 222_000, 5), value("set_flight_budget", 9, 8, 6)],
        sequence: 6,
        ..DesiredState::default()
    };
    buyer.receive_desired(&desired, 0);
    buyer.receive(&bid(4, 333_000), MINUTE_MS);
    buyer.settle(HOUR_MS);
    assert_eq!(bid_in_force(&buyer), 222_000);
    assert_ne!(buyer.state("acme-brand").unwrap().flight_budget_micros, Some(9));
    assert_eq!(results(&mut buyer), ["superseded"]);
}

#[test]
fn the_ignored_share_gets_no_answer() {
    let mut scenario = Scenario::demo(1, 0, HOUR_MS);
    scenario.buyer = BuyerManners { ignored_share: 0.3, report_every_ms: 0, ..BuyerManners::default() };
    let mut buyer = AdBuyer::new(&scenario, 3);
    (1..=1_000).for_each(|sequence| buyer.receive(&bid(sequence, 1_000 + sequence), 0));
    buyer.settle(HOUR_MS);
    let ignored = buyer.counts().ignored;
    assert!((220..=380).contains(&ignored), "{ignored}");
    assert_eq!(answers(&mut buyer).len() as u64, 1_000 - ignored);
}

#[test]
fn reports_come_at_their_period_and_say_who_changed_what() {
    let mut scenario = Scenario::demo(1, 0, HOUR_MS);
    scenario.campaigns.retain(|world: &CampaignWorld| world.spec.campaign_id == "acme-brand");
    let mut buyer = AdBuyer::new(&scenario, 1);
    buyer.person_pauses("acme-brand", true, 30 * MINUTE_MS);
    buyer.settle(HOUR_MS - 1);
    let reports: Vec<StateReport> = buyer
        .take_feedback(Millis::MAX)
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::StateReport(report) => Some(*report),
            _ => None,
        })
        .collect();
    assert_eq!(reports.len(), 4);
    assert!(reports.windows(2).all(|pair| pair[1].reported_at - pair[0].reported_at == 15 * MINUTE_MS));
    for report in reports {
        let expected = if report.reported_at < 30 * MINUTE_MS { "active" } else { "paused" };
        assert_eq!(report.status.as_deref(), Some(expected));
        assert_eq!(report.bid_micros, Some(450_000));
    }
}

#[test]
fn modifiers_multiply_the_bid() {
    let mut buyer = buyer();
    let dimension = Some(model::output::Dimension { name: "device".into(), value: "mobile".into() });
    let mobile = Adjustment { dimension, value_ppm: Some(500_000), ..command("set_modifier", 1, None) };
    let mut hours = vec![1_000_000; 24];
    hours[3] = 2_000_000;
    buyer.receive(&mobile, 0);
    buyer.receive(&Adjustment { table: Some(hours), ..command("set_modifier_table", 2, None) }, 0);
    buyer.settle(HOUR_MS);
    let state = buyer.state("acme-brand").unwrap();
    let ad = |device, hour_of_week| Ad { device, geo: "DE", hour_of_week, ..Ad::default() };
    assert_eq!(state.modifier(&ad("mobile", 24 + 3)), 1.0);
    assert_eq!(state.modifier(&ad("mobile", 4)), 0.5);
    assert_eq!(state.modifier(&ad("desktop", 27)), 2.0);
}

proptest! {
    /// 1 Every delivery is answered. 2 No command is applied twice. 3 The sequence in force never falls.
    /// 4 What is in force is the value of the newest command applied.
    #[test]
    fn any_order_with_duplicates_ends_at_the_newest_applied(
        deliveries in prop::collection::vec((1_i64..12, 0_i64..120_000), 1..60),
    ) {
        let mut buyer = buyer();
        for &(sequence, at) in &deliveries {
            buyer.receive(&bid(sequence, 100_000 + sequence), at);
        }
        buyer.settle(HOUR_MS - 1);
        let answers = answers(&mut buyer);
        prop_assert_eq!(answers.len(), deliveries.len());
        // In order of delivery, a naive reader: apply what is newer than the last.
        let mut ordered: Vec<(i64, usize, i64)> =
            deliveries.iter().enumerate().map(|(index, &(sequence, at))| (at, index, sequence)).collect();
        ordered.sort_unstable();
        let (mut last, mut applied) = (0, Vec::new());
        for (answer, (_, _, sequence)) in answers.iter().zip(&ordered) {
            let expected = if *sequence > last || applied.contains(sequence) { "applied" } else { "superseded" };
            if *sequence > last {
                last = *sequence;
                applied.push(*sequence);
            }
            prop_assert_eq!(&answer.1, expected);
        }
        prop_assert_eq!(bid_in_force(&buyer), 100_000 + last);
        prop_assert_eq!(buyer.counts().applied as usize, applied.len());
    }
}
