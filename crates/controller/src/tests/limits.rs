//! Ceilings of weeks, budgets of a few events, budgets of several campaigns: weeks and days with what they may cost.

use super::stories::{Day, paced};
use super::world::*;
use crate::Outputs;
use model::fact::{Ack, CampaignSpec, EntitySpec, Fact};
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

const EUR: i64 = 1_000_000;

/// Spends as long as it runs; what a day cost.
fn day_of(day: &mut Day, every: i64, micros: i64) -> i64 {
    let end = (day.now.div_euclid(DAY_MS) + 1) * DAY_MS;
    let mut spent = 0;
    while day.now < end {
        let holders = day.world.controller.view().campaign("acme", "c").unwrap().holders.clone();
        let clicks = i64::from(holders.is_empty() && (day.now / MINUTE_MS) % every == 0);
        day.step(clicks, clicks * micros);
        spent += clicks * micros;
    }
    spent
}

#[test]
fn a_platform_that_overspends_days_keeps_to_seven_budgets_a_week() {
    let spec = CampaignSpec {
        platform: Some("meta".into()),
        daily_cap: "profile".into(),
        daily_budget_micros: Some(100 * EUR),
        ..paced(1)
    };
    let mut day = Day::of(spec);
    let days: Vec<i64> = (0..7).map(|_| day_of(&mut day, 1, EUR / 5) / EUR).collect();
    assert!((160..=176).contains(&days[0]), "one and three quarters of the budget: {days:?}");
    assert!(days.windows(2).skip(1).all(|pair| pair[1] <= pair[0]), "the rest is shared out: {days:?}");
    let week: i64 = days.iter().sum();
    assert!((600..=700).contains(&week), "{week}: {days:?}");
    let told = day.issued.iter().find(|command| command.explanation.text.contains("The platform's week leaves"));
    let told = told.expect("the ceiling is named");
    assert!(told.explanation.terms.iter().any(|term| term.name == "week_ceiling_left_micros"));
    let monday = day_of(&mut day, 1, EUR / 5) / EUR;
    assert!(monday >= 160, "a new week: {monday}");
}

#[test]
fn a_budget_of_five_clicks_begins_at_another_part_of_each_day_and_moves_no_bid() {
    let mut day = Day::of(CampaignSpec { daily_budget_micros: Some(5 * EUR), ..paced(1) });
    let mut spent = Vec::new();
    for _ in 0..3 {
        spent.push(day_of(&mut day, 20, EUR) / EUR);
    }
    let turns = day.issued.iter().filter(|command| command.reason == "tiny_budget_turn");
    let turns: Vec<(&str, i64)> =
        turns.map(|command| (command.kind.as_str(), (command.issued_at - MONDAY) / HOUR_MS)).collect();
    assert!(matches!(turns[..], [("resume", 30..=36), ("resume", 60..=68)]), "{turns:?}");
    assert!(spent.iter().all(|spent| (3..=5).contains(spent)), "{spent:?}");
    assert!(!day.kinds().contains(&"set_bid"), "{:?}", day.kinds());
    assert!(day.why().iter().any(|why| why == "paused" || why == "tiny_budget"), "{:?}", day.why());
    // A day without traffic leaves it running; the next one's turn comes later.
    day_of(&mut day, 100_000, EUR);
    day.step(0, 0);
    let last = day.issued.last().unwrap();
    assert_eq!((last.kind.as_str(), last.reason.as_str()), ("pause", "tiny_budget_turn"));
}

fn member(name: &str, own: Option<i64>) -> CampaignSpec {
    CampaignSpec {
        campaign_id: name.into(),
        daily_budget_micros: own,
        budget_id: Some("pool".into()),
        ..paced(1)
    }
}

fn pool(daily: Option<i64>, monthly: Option<i64>) -> Fact {
    Fact::EntitySpec(Box::new(EntitySpec {
        entity_id: "pool".into(),
        account_id: "acme".into(),
        kind: "budget".into(),
        version: 1,
        currency: "EUR".into(),
        daily_budget_micros: daily,
        monthly_budget_micros: monthly,
        ..Default::default()
    }))
}

fn answers(outputs: &Outputs) -> Vec<Fact> {
    let applied = |command: &Adjustment| {
        Fact::Ack(Box::new(Ack {
            command_id: command.command_id.clone(),
            account_id: command.account_id.clone(),
            campaign_id: command.campaign_id.clone(),
            sequence: command.sequence,
            result: "applied".into(),
            actor: "paceline".into(),
            ..Ack::default()
        }))
    };
    outputs.adjustments.iter().map(applied).collect()
}

#[test]
fn the_stop_of_a_shared_budget_pauses_those_that_the_record_did_not_touch() {
    let mut world = World::new();
    let specs = ["a", "b", "z"].map(|name| specified(member(name, None)));
    world.feed(MONDAY, &[], &[&specs[..], &[pool(Some(100 * EUR), None)]].concat());
    world.feed(MONDAY + 1, &[touches("b", MONDAY, 1, 1, EUR), touches("z", MONDAY, 1, 1, EUR)], &[]);
    let mut now: Millis = MONDAY + 90_000;
    for _ in 0..200 {
        // Between the minutes nobody is looked at but "b".
        let outputs = world.feed(now, &[touches("b", now - MINUTE_MS, 20, 1, EUR)], &[]);
        let paused: Vec<_> = outputs.adjustments.iter().filter(|command| command.kind == "pause").collect();
        if !paused.is_empty() {
            let mut all: Vec<_> = paused.iter().map(|command| command.campaign_id.as_str()).collect();
            all.sort_unstable();
            assert_eq!(all, ["b", "z"], "\"a\" has no event and so is not alive");
            return;
        }
        now += 20_000;
    }
    panic!("nothing stopped");
}

#[test]
fn members_of_a_budget_are_moved_by_one_controller() {
    let mut world = World::new();
    let specs = ["a", "b"].map(|name| specified(member(name, None)));
    world.feed(MONDAY, &[], &[&specs[..], &[pool(Some(240 * EUR), None)]].concat());
    let (mut bids, mut facts) = (Vec::new(), Vec::new());
    for minute in 1..180 {
        let now = MONDAY + minute * MINUTE_MS;
        // One of them has four fifths of the traffic.
        let rows =
            [touches("a", now - MINUTE_MS, 20, 1, EUR / 10 * 4), touches("b", now - MINUTE_MS, 20, 1, EUR / 10)];
        let outputs = world.feed(now, &rows, &facts);
        facts = answers(&outputs);
        let set = outputs.adjustments.iter().filter(|command| command.kind == "set_bid");
        bids.extend(set.map(|command| (minute, command.campaign_id.clone(), command.value_micros)));
    }
    let of = |name: &str| {
        let own = bids.iter().filter(|(_, campaign, _)| campaign == name);
        own.map(|(minute, _, value)| (*minute, *value)).collect::<Vec<_>>()
    };
    assert!(of("a").len() >= 3, "{bids:?}");
    assert_eq!(of("a"), of("b"), "the same steps at the same instants");
}

#[test]
fn a_member_with_a_budget_of_its_own_stops_alone_and_the_month_bounds_all() {
    let mut world = World::new();
    let specs = [specified(member("a", Some(20 * EUR))), specified(member("b", None))];
    // 31 days of March: a tenth of the day's budget is what the month gives.
    world.feed(MONDAY, &[], &[&specs[..], &[pool(Some(600 * EUR), Some(31 * 60 * EUR))]].concat());
    let mut stopped = Vec::new();
    for minute in 1..120 {
        let now = MONDAY + minute * MINUTE_MS;
        let rows = [touches("a", now - MINUTE_MS, 20, 1, EUR / 2), touches("b", now - MINUTE_MS, 20, 1, EUR / 2)];
        let outputs = world.feed(now, &rows, &[]);
        let pauses = outputs.adjustments.iter().filter(|command| command.kind == "pause");
        stopped.extend(pauses.map(|command| (minute, command.campaign_id.clone())));
    }
    let first = |name: &str| stopped.iter().find(|(_, campaign)| campaign == name).map(|(minute, _)| *minute);
    assert!(matches!(first("a"), Some(34..=40)), "its own twenty: {stopped:?}");
    assert!(matches!(first("b"), Some(52..=92)), "the month's part of about sixty: {stopped:?}");
}
