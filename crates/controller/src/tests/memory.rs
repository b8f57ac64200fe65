//! What a campaign costs to keep.

use super::world::*;
use crate::controller::UNEXPLAINED_LEDGERS_MAX;
use model::fact::{Fact, StateReport};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS};

#[test]
fn an_active_campaign_takes_less_than_fifteen_kilobytes() {
    let mut world = World::new();
    world.feed(MONDAY, &[], &[specified(spec("c", 1))]);
    for minute in 0..40 * 24 * 6 {
        let at = MONDAY + minute * 10 * MINUTE_MS;
        let rows = [touches("c", at, 9_000, 120, 60_123_456), credit("c", at, at - HOUR_MS, 1_234_567, 80_000_000)];
        world.feed(at + MINUTE_MS, &rows, &[]);
    }
    for minute in 0..80 {
        let at = MONDAY + 40 * DAY_MS + minute * MINUTE_MS;
        let rows = [touches("c", at, 900, 12, 6_123_456), claimed("c", at, "purchase", 80_000_000)];
        world.feed(at + MINUTE_MS, &rows, &[]);
    }
    let live = world.controller.state.belief.campaign("acme", "c").unwrap().live.as_ref().unwrap();
    assert!(live.held_bytes() < 15_000, "{} bytes", live.held_bytes());
    assert!(world.controller.snapshot().len() < 20_000, "{}", world.controller.snapshot().len());
}

#[test]
fn an_idle_campaign_takes_about_three_hundred_bytes() {
    let mut world = World::new();
    let specs: Vec<_> = (0..100).map(|n| specified(spec(&format!("campaign-{n}"), 1))).collect();
    let empty = world.controller.snapshot().len();
    world.feed(MONDAY, &[], &specs);
    let packed = (world.controller.snapshot().len() - empty) / 100;
    let fixed = size_of::<crate::campaign::Campaign>() + size_of::<String>();
    assert!(packed + fixed < 300, "{packed} + {fixed}");
}

#[test]
fn read_backs_of_what_nobody_specified_have_a_bound_and_those_of_campaigns_do_not() {
    let read_back = |campaign: &str, bid_micros| {
        Fact::StateReport(Box::new(StateReport {
            account_id: "acme".into(),
            campaign_id: campaign.into(),
            reported_at: MONDAY,
            bid_micros: Some(bid_micros),
            ..StateReport::default()
        }))
    };
    let mut world = World::new();
    let many: Vec<_> = (0..UNEXPLAINED_LEDGERS_MAX + 5).map(|n| read_back(&format!("unknown-{n}"), 1)).collect();
    world.feed(MONDAY, &[], &many);
    assert_eq!(world.controller.state.ledger.campaign_count(), UNEXPLAINED_LEDGERS_MAX);
    assert_eq!(world.controller.view().counters().unexplained_read_backs, 5);
    world.feed(MONDAY + MINUTE_MS, &[], &[specified(spec("c", 1)), read_back("c", 700_000), read_back("unknown-3", 2)]);
    assert_eq!(world.controller.view().campaign("acme", "c").unwrap().bid_confirmed_micros, Some(700_000));
    assert_eq!(world.controller.view().counters().unexplained_read_backs, 5, "one that is held is not new");
}
