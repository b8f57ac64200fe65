//! What people and feeds say of the world, as it reaches what is learned, planned and sent.

use super::hours::{Days, converting, taken_back};
use super::stories::{Day, EUR, paced};
use super::world::*;
use crate::Controller;
use model::fact::{CampaignSpec, ContextSignal, Fact};
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

fn said(kind: &str, (from, to): (Millis, Millis), value_ppm: Option<i64>) -> Fact {
    Fact::ContextSignal(Box::new(ContextSignal {
        signal_id: kind.into(),
        kind: kind.into(),
        scope: [("campaign".to_owned(), "c".to_owned())].into(),
        valid_from: from,
        valid_to: to,
        value_ppm,
        source: "ann".into(),
        ..ContextSignal::default()
    }))
}

fn showers(hour: i64) -> bool {
    (hour / 24 * 7 + hour % 24) % 9 < 3
}

/// Room for a factor of two above the bid.
fn roomy() -> CampaignSpec {
    CampaignSpec { bid_max_micros: 6 * EUR, ..converting() }
}

fn of_weather(days: &Days) -> Vec<&Adjustment> {
    let is = |command: &&Adjustment| command.dimension.as_ref().is_some_and(|of| of.name == "weather");
    days.factors().into_iter().filter(is).collect()
}

#[test]
fn rain_that_doubles_what_a_click_brings_gets_a_factor_that_holds_while_it_rains() {
    let days = Days { rains: Some(showers), ..Days::of(roomy()) }.days(16, |_| 60);
    let sent = of_weather(&days);
    let greatest = sent.iter().filter_map(|command| command.value_ppm).max().unwrap_or(0);
    assert!((1_600_000..=2_300_000).contains(&greatest), "{greatest} of {}", sent.len());
    for command in &sent {
        let raised = command.value_ppm != Some(1_000_000);
        let hour = (command.issued_at - MONDAY).div_euclid(HOUR_MS);
        assert_eq!(raised, showers(hour), "{} at hour {hour}", command.explanation.text);
        assert_eq!(command.fallback.is_some(), raised, "a raise is leased, its end is not");
    }
    let told = sent.iter().find(|command| command.value_ppm != Some(1_000_000)).unwrap();
    assert!(told.explanation.text.contains(" on the bid while the weather is rain: "), "{}", told.explanation.text);
    assert!(told.explanation.terms.iter().any(|term| term.name == "weather_e_value_milli"));
    let live = days.world.controller.state.belief.campaign("acme", "c").unwrap().live.clone().unwrap();
    assert!(live.by_weather.as_ref().unwrap().held_bytes() < 15_000);
}

#[test]
fn rain_that_changes_nothing_or_may_not_count_gets_none() {
    let forbidden = CampaignSpec { forbidden_dimensions: vec!["weather".into()], ..roomy() };
    let days = Days { rains: Some(showers), ..Days::of(forbidden) }.days(12, |_| 60);
    assert!(of_weather(&days).is_empty());
    let live = days.world.controller.state.belief.campaign("acme", "c").unwrap().live.clone().unwrap();
    assert!(live.by_weather.is_none());
}

#[test]
fn a_snapshot_amid_the_rain_changes_nothing() {
    let days = Days { rains: Some(showers), ..Days::of(roomy()) }.days(12, |_| 60);
    assert!(!of_weather(&days).is_empty());
    for cut in [days.records.len() / 2, days.records.len() * 3 / 4 + 1, days.records.len() - 20] {
        let mut first = World::new();
        let mut commands = Vec::new();
        days.records[..cut].iter().for_each(|(at, record)| commands.extend(first.apply(*at, record).adjustments));
        let bytes = first.controller.snapshot();
        let mut restored = World::with(Controller::restore(setup(), &bytes).expect("a snapshot restores"));
        days.records[cut..].iter().for_each(|(at, record)| commands.extend(restored.apply(*at, record).adjustments));
        assert_eq!(commands, days.commands, "cut at {cut}");
        assert!(restored.controller.snapshot() == days.world.controller.snapshot(), "cut at {cut}");
    }
}

#[test]
fn a_factor_is_told_in_the_desired_state_and_one_alone_is_taken_back() {
    let mut days = Days { rains: Some(showers), ..Days::of(roomy()) };
    while of_weather(&days).is_empty() {
        days = days.steps(1, |_| 60);
    }
    days.now += MINUTE_MS - 10 * MINUTE_MS;
    days = days.steps(1, |_| 60);
    let sent = of_weather(&days)[0].clone();
    let desired = days.world.outputs.iter().flat_map(|outputs| &outputs.desired);
    let values: Vec<_> =
        desired.flat_map(|(_, state)| &state.values).filter(|value| value.dimension.is_some()).collect();
    let first = values.first().expect("a factor is in the desired state");
    assert_eq!((&first.dimension, first.wanted_ppm, first.confirmed_ppm), (&sent.dimension, sent.value_ppm, None));
    assert!(values.iter().any(|value| value.confirmed_ppm == sent.value_ppm && value.confirmed_at.is_some()));
    let undos = days.world.controller.view().campaign("acme", "c").unwrap().undos;
    let undo = undos.iter().find(|undo| undo.kind == "set_modifier").expect("it can be taken back");
    assert_eq!((&undo.command_id, &undo.dimension), (&sent.command_id, &sent.dimension));
    assert_eq!((undo.tables.0.first(), undo.tables.1.first()), (sent.value_ppm.as_ref(), Some(&1_000_000)));
    days.queue.push(taken_back(&sent));
    days.now += MINUTE_MS - 10 * MINUTE_MS;
    let days = days.steps(1, |_| 60);
    let back = of_weather(&days).last().copied().unwrap().clone();
    assert_eq!((back.reason.as_str(), back.value_ppm), ("undo", Some(1_000_000)));
    let holds = days.world.controller.view().campaign("acme", "c").unwrap().holds;
    assert!(holds.iter().any(|hold| (hold.lever, hold.holder) == ("modifiers", "person")), "{holds:?}");
    let days = days.days(2, |_| 60);
    let again: Vec<_> = of_weather(&days).iter().map(|one| one.issued_at).filter(|at| *at > back.issued_at).collect();
    assert!(again.iter().all(|at| *at >= back.issued_at + DAY_MS) && !again.is_empty(), "{again:?}");
}

#[test]
fn an_event_that_people_expect_is_planned_for_and_its_traffic_is_no_habit() {
    let plan = |facts: Vec<Fact>| {
        let mut day = Day::of(paced(1));
        day.queue.extend(facts);
        day.minutes(60, 4, EUR / 10);
        let live = day.world.controller.state.belief.campaign("acme", "c").unwrap().live.clone().unwrap();
        let plan = live.outlook.as_ref().unwrap().plan.clone().unwrap();
        let noon = MONDAY + 12 * HOUR_MS;
        plan.share_between(noon, noon + HOUR_MS)
    };
    let usual = plan(Vec::new());
    let noon = MONDAY + 12 * HOUR_MS;
    let event = plan(vec![said("event", (noon, noon + HOUR_MS), Some(3_000_000))]);
    assert!((event / usual / (3.0 / (1.0 + 2.0 * usual)) - 1.0).abs() < 1e-6, "{usual} {event}");
    let back = said("event", (noon, noon), None);
    let event = said("event", (noon, noon + HOUR_MS), Some(3_000_000));
    assert_eq!(plan(vec![event, back]), usual, "it is taken back");
}

#[test]
fn nothing_but_stops_leaves_while_people_want_no_changes() {
    let mut day = Day::of(paced(1));
    day.queue.push(said("freeze", (MONDAY, MONDAY + 6 * HOUR_MS), None));
    day.minutes(5 * 60, 1, EUR / 100);
    assert!(day.issued.is_empty() && day.why().iter().any(|why| why == "change_freeze"), "{:?}", day.why());
    day.minutes(90, 1, EUR / 100);
    assert!(day.issued.iter().any(|command| command.kind == "set_bid"), "it is over: {:?}", day.why());
}

#[test]
fn nights_of_broken_numbers_that_people_exclude_teach_the_hours_nothing() {
    let evening = |hour: i64| if (17..20).contains(&hour) { 150 } else { 50 };
    // Six nights that look as if they converted three times as often.
    let broken = |days: Days| days.days(6, |hour| if (2..5).contains(&hour) { 150 } else { evening(hour) });
    let learned = |days: &Days| {
        let live = days.world.controller.state.belief.campaign("acme", "c").unwrap().live.clone().unwrap();
        live.by_hour.as_ref().unwrap().wanted()
    };
    let plain = broken(Days::of(roomy()).days(8, evening)).days(2, evening);
    let mut days = Days::of(roomy()).days(8, evening);
    let (from, to) = (days.now, days.now + 6 * DAY_MS);
    days.queue.push(said("data_exclusion", (from, to), None));
    let excluded = broken(days).days(2, evening);
    let (plain, excluded) = (learned(&plain), learned(&excluded));
    assert!(plain[3] > 1.2, "what is not excluded is learned: {plain:?}");
    assert!(excluded[3] == 1.0 && excluded[18] > 1.5, "{excluded:?}");
}
