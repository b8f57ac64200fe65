//! The market as a whole: determinism, common random numbers, the demonstration's stories, truth.

use crate::emit::{Emitted, OwnedRecord, Record, Recorder};
use crate::shape::LocalShape;
use crate::totals::planned_micros;
use crate::{Cell, Load, LoadScenario, Market, Scenario, Shock, Truth};
use model::fact::CampaignSpec;
use model::output::{Adjustment, Target};
use model::time::{HOUR_MS, MINUTE_MS, Millis, SECOND_MS, minute_of};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// 2026-01-06T06:00:00Z, a Tuesday.
const START: Millis = 1_767_679_200_000;

fn nobody(_: Emitted<'_>) {}

fn left_alone(seed: u64, start: Millis, flight: Millis) -> Market {
    let mut market = Market::new(Scenario::demo(seed, start, flight), seed);
    market.advance(start + flight, &mut nobody);
    market
}

fn bid(campaign: &str, account: &str, currency: &str, sequence: i64, micros: i64) -> Adjustment {
    Adjustment {
        command_id: format!("{campaign}-{sequence}"),
        account_id: account.into(),
        campaign_id: campaign.into(),
        target: Target { level: "campaign".into(), id: campaign.into(), external_id: None },
        kind: "set_bid".into(),
        value_micros: Some(micros),
        currency: currency.into(),
        sequence,
        state: "issued".into(),
        expires_at: Millis::MAX,
        ..Adjustment::default()
    }
}

/// Runs an hour and a half with a command for the overspender after the first half hour, in steps of the given length.
fn commanded(step: Millis, command: Option<i64>) -> (Recorder, Market) {
    let mut market = Market::new(Scenario::demo(5, START, 2 * HOUR_MS), 5);
    let mut recorder = Recorder::default();
    let half_hour = START + 30 * MINUTE_MS;
    let mut now = START;
    while now < START + 90 * MINUTE_MS {
        if now == half_hour
            && let Some(micros) = command
        {
            market.buyer_mut().receive(&bid("acme-generic", "acme-shop", "EUR", 1, micros), now);
        }
        now = (now + step).min(if now < half_hour { half_hour } else { START + 90 * MINUTE_MS });
        market.advance(now, &mut recorder);
    }
    (recorder, market)
}

#[test]
fn the_same_commands_give_the_same_events_however_the_run_is_cut() {
    let (whole, mut market) = commanded(2 * HOUR_MS, Some(700_000));
    let (cut, mut other) = commanded(7_919, Some(700_000));
    assert!(whole.events.len() > 20_000);
    assert!(whole == cut, "events differ");
    assert_eq!(market.totals(), other.totals());
    assert_eq!(market.truth(), other.truth());
    assert_eq!(market.take_feedback(Millis::MAX), other.take_feedback(Millis::MAX));
    assert!(whole != commanded(2 * HOUR_MS, None).0);
}

#[test]
fn another_seed_is_another_market() {
    assert_ne!(left_alone(1, START, HOUR_MS).totals(), left_alone(2, START, HOUR_MS).totals());
}

#[test]
fn a_lower_bid_wins_a_part_of_the_same_auctions_at_the_same_prices() {
    let (alone, _) = commanded(HOUR_MS, None);
    let (lowered, _) = commanded(HOUR_MS, Some(700_000));
    let applied_at = START + 30 * MINUTE_MS;
    let before = |run: &Recorder| run.events.iter().filter(|event| event.0 < applied_at).cloned().collect::<Vec<_>>();
    assert!(before(&alone) == before(&lowered), "the past differs");
    let all: BTreeMap<String, OwnedRecord> = alone.events.iter().map(|(_, event)| (id(event), event.clone())).collect();
    for (_, event) in &lowered.events {
        assert_eq!(all.get(&id(event)), Some(event), "an event that the other market does not know");
    }
    assert!(lowered.events.len() + 500 < alone.events.len());
}

fn id(event: &OwnedRecord) -> String {
    match event {
        OwnedRecord::Impression(event) => event.event_id.clone(),
        OwnedRecord::Click(event) => event.event_id.clone(),
        OwnedRecord::Conversion(event) => event.event_id.clone(),
    }
}

#[test]
fn left_alone_the_overspender_overspends_and_the_underspender_underspends_at_any_hour() {
    for (seed, start) in [(1, START), (2, START + 15 * HOUR_MS), (3, START + 101 * HOUR_MS), (4, START + 1_234_567)] {
        let market = left_alone(seed, start, 10 * HOUR_MS);
        let totals = market.totals();
        let ratio = |id: &str| {
            let campaign = totals.campaigns.iter().find(|campaign| campaign.campaign_id == id).expect(id);
            campaign.spend_ratio_ppm().expect("has a budget") as f64 / 1e6
        };
        assert!(ratio("acme-generic") > 1.3, "{seed}: {}", ratio("acme-generic"));
        assert!(ratio("acme-social") < 0.7, "{seed}: {}", ratio("acme-social"));
        assert!((0.99..1.03).contains(&ratio("tea-search")), "{seed}: {}", ratio("tea-search"));
        assert!((0.8..1.25).contains(&ratio("acme-brand")), "{seed}: {}", ratio("acme-brand"));
        let events = market.events() / 120;
        assert!((1_000..3_000).contains(&events), "{events} events a second at speed 300");
    }
}

#[test]
fn the_shorter_demonstration_tells_the_same_story() {
    let totals = left_alone(9, START, HOUR_MS).totals();
    assert!(totals.campaigns[1].spend_ratio_ppm() > Some(1_300_000));
    assert!(totals.campaigns[3].spend_ratio_ppm() < Some(700_000));
    assert!(totals.overspend_micros > 0 && totals.underspend_micros > 0);
}

#[test]
fn every_campaign_of_the_demonstration_can_be_steered() {
    for spec in Scenario::demo(1, START, 10 * HOUR_MS).specs().iter().filter(|spec| spec.channel != "owned") {
        assert!(0 < spec.bid_min_micros && spec.bid_min_micros < spec.bid_micros, "{}", spec.campaign_id);
        assert!(spec.bid_micros < spec.bid_max_micros, "{}", spec.campaign_id);
        assert_eq!(spec.bid_micros % spec.bid_step_micros, 0, "{}", spec.campaign_id);
        assert!(spec.flight_budget_micros.or(spec.daily_budget_micros) > Some(0), "{}", spec.campaign_id);
        let mode = if spec.campaign_id == "tea-display" { "approve" } else { "auto" };
        assert_eq!((spec.mode.as_str(), spec.bid_control.as_str()), (mode, "paceline"));
        assert_eq!(spec.flight_end, Some(START + 10 * HOUR_MS));
    }
}

#[test]
fn the_elasticities_of_the_demonstration_are_those_of_real_markets() {
    for world in Scenario::demo(1, START, HOUR_MS).campaigns {
        if let Some(auction) = world.auction {
            let elasticity = auction.spend_elasticity(world.spec.bid_micros);
            assert!((1.0..4.0).contains(&elasticity), "{}: {elasticity}", world.spec.campaign_id);
        }
    }
}

/// One campaign that wins every auction, without noise.
fn plain(start: Millis, flight: Millis) -> Scenario {
    let mut scenario = Scenario::demo(1, start, flight);
    scenario.campaigns.truncate(1);
    scenario.shocks.clear();
    scenario.supply_noise_sd = 0.0;
    scenario.campaigns[0].spec.bid_micros = 1_000_000_000;
    scenario.campaigns[0].spec.time_zone = "Asia/Kolkata".into();
    scenario.campaigns[0].opportunities_per_week = 200_000.0;
    scenario
}

#[test]
fn supply_follows_the_hours_of_the_campaigns_own_week() {
    let week = 7 * 24 * HOUR_MS;
    let mut counts = vec![0_i64; 168];
    let mut market = Market::new(plain(START, week), 11);
    let mut shape = LocalShape::new("Asia/Kolkata");
    market.advance(START + week, &mut |emitted: Emitted<'_>| {
        if let Record::Impression(event) = emitted.record {
            counts[shape.hour_at(event.event_time).hour_of_week()] += 1;
        }
    });
    for (hour, count) in counts.iter().enumerate() {
        let expected = f64::from(crate::HOUR_OF_WEEK_PPM[hour]) / 5.0;
        assert!((*count as f64 - expected).abs() < 5.0 * expected.sqrt(), "hour {hour}: {count} of {expected}");
    }
}

#[test]
fn a_shock_changes_its_campaigns_its_span_and_nothing_else() {
    let mut scenario = Scenario::demo(1, START, 3 * HOUR_MS);
    scenario.shocks = vec![Shock {
        from_ms: START + HOUR_MS,
        to_ms: START + 2 * HOUR_MS,
        campaign_ids: vec!["acme-brand".into()],
        supply_factor: 3.0,
        ..Shock::default()
    }];
    let mut quiet = scenario.clone();
    quiet.shocks.clear();
    let run = |scenario| {
        let mut market = Market::new(scenario, 1);
        market.advance(START + 3 * HOUR_MS, &mut nobody);
        market.truth().coarsened(60)
    };
    let (shocked, quiet) = (run(scenario), run(quiet));
    let hour = minute_of(START);
    let impressions = |truth: &Truth, id: &str, at: i64| truth.cell(id, hour + 60 * at).impressions as f64;
    assert!((impressions(&shocked, "acme-brand", 1) / impressions(&quiet, "acme-brand", 1) - 3.0).abs() < 0.3);
    for (id, at) in [("acme-brand", 0), ("acme-brand", 2), ("acme-generic", 1)] {
        assert_eq!(impressions(&shocked, id, at), impressions(&quiet, id, at));
    }
}

#[test]
fn realised_sums_are_near_the_expected_ones() {
    let totals = left_alone(3, START, 10 * HOUR_MS).totals();
    for campaign in totals.campaigns.iter().filter(|campaign| campaign.is_budgeted) {
        let near = |realised: i64, expected: f64, tolerance: f64, what: &str| {
            let ratio = realised as f64 / expected;
            assert!((ratio - 1.0).abs() < tolerance, "{} {what}: {ratio}", campaign.campaign_id);
        };
        near(campaign.impressions, campaign.expected.impressions as f64, 0.03, "impressions");
        let clicks = campaign.expected.clicks as f64;
        near(campaign.clicks, clicks, 5.0 / clicks.sqrt(), "clicks");
        near(campaign.spend_micros, campaign.expected.spend_micros as f64, 0.03 + 5.0 / clicks.sqrt(), "spend");
    }
    let conversions = totals.expected.conversions_micro as f64 / 1e6;
    assert!((totals.conversions as f64) < conversions + 5.0 * conversions.sqrt());
    assert!((totals.conversions as f64) > 0.6 * conversions, "most come within the run");
}

#[test]
fn truth_is_what_a_recount_of_the_events_finds() {
    let mut recorder = Recorder::default();
    let mut market = Market::new(Scenario::demo(8, START, 3 * HOUR_MS), 8);
    market.advance(START + 5 * HOUR_MS, &mut recorder);
    assert_eq!(rows(market.truth()), recount(&recorder));
    let total = market.truth().total();
    let campaigns = market.totals().campaigns;
    assert_eq!(total.spend_micros, campaigns.iter().map(|campaign| campaign.spend_micros).sum::<i64>());
    assert_eq!(total.conversions, campaigns.iter().map(|campaign| campaign.conversions).sum::<i64>());
    assert_eq!(market.events(), recorder.events.len() as u64);
}

fn rows(truth: &Truth) -> BTreeMap<(String, i64), Cell> {
    truth.rows().map(|row| ((row.campaign_id.to_owned(), row.minute), row.cell)).collect()
}

/// Counts events once each by their ids, from the records alone.
fn recount(recorder: &Recorder) -> BTreeMap<(String, i64), Cell> {
    let mut seen = BTreeSet::new();
    let mut cells: BTreeMap<(String, i64), Cell> = BTreeMap::new();
    for (_, event) in recorder.events.iter().filter(|(_, event)| seen.insert(id(event))) {
        let (campaign, at) = match event {
            OwnedRecord::Impression(event) => (event.campaign_id.clone(), event.event_time),
            OwnedRecord::Click(event) => (event.campaign_id.clone(), event.event_time),
            OwnedRecord::Conversion(event) => (event.campaign_id.clone().expect("claimed"), event.event_time),
        };
        let cell = cells.entry((campaign, at.div_euclid(60_000))).or_default();
        match event {
            OwnedRecord::Impression(event) => {
                cell.impressions += 1;
                cell.spend_micros += event.cost_micros;
            }
            OwnedRecord::Click(event) => {
                cell.clicks += 1;
                cell.spend_micros += event.cost_micros;
            }
            OwnedRecord::Conversion(event) => {
                cell.conversions += 1;
                cell.value_micros += event.value_micros;
            }
        }
    }
    cells
}

#[test]
fn events_are_whole_ordered_and_belong_together() {
    let mut recorder = Recorder::default();
    let mut market = Market::new(Scenario::demo(8, START, 6 * HOUR_MS), 8);
    market.advance(START + 9 * HOUR_MS, &mut recorder);
    let (mut ids, mut shown, mut clicks) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let (mut anonymous, mut slow, mut last) = (0, 0, Millis::MIN);
    for (arrived_at, event) in &recorder.events {
        let record = event.as_record();
        assert!(last <= *arrived_at && *arrived_at == record.event_time());
        last = *arrived_at;
        let event_id = id(event);
        assert!(event_id.len() <= 64 && ids.insert(event_id), "{event:?}");
        match event {
            OwnedRecord::Impression(event) => {
                anonymous += usize::from(event.user_key.is_none());
                assert!(event.event_time < START + 6 * HOUR_MS, "the flight is over");
                shown.insert(event.event_id.clone(), event.user_key.clone());
            }
            OwnedRecord::Click(event) if event.channel == "owned" => assert_eq!(event.cost_micros, 0),
            OwnedRecord::Click(event) => {
                let impression = event.impression_id.as_ref().expect("a click has an impression");
                assert_eq!(shown.get(impression), Some(&event.user_key));
                clicks.insert(event.event_id.clone(), event.clone());
            }
            OwnedRecord::Conversion(event) => {
                let click =
                    clicks.get(event.click_id.as_ref().expect("a conversion has a click")).expect("seen before");
                assert_eq!((&click.user_key, Some(&click.campaign_id)), (&event.user_key, event.campaign_id.as_ref()));
                slow += usize::from(event.event_time - click.event_time > HOUR_MS);
                let key = event.user_key.as_deref().unwrap_or(&click.event_id);
                assert_eq!(record.key(), key, "a conversion lies where its click lies");
            }
        }
    }
    let share = anonymous as f64 / shown.len() as f64;
    assert!((0.15..0.25).contains(&share), "{share} without consent");
    assert!(slow > 30, "{slow} conversions take more than an hour");
}

#[test]
fn nobody_pays_more_than_the_bid_and_everything_shown_under_cpm_costs() {
    let scenario = Scenario::demo(4, START, 2 * HOUR_MS);
    let bids: BTreeMap<String, i64> =
        scenario.specs().into_iter().map(|spec| (spec.campaign_id, spec.bid_micros)).collect();
    let mut market = Market::new(scenario, 4);
    market.advance(START + 2 * HOUR_MS, &mut |emitted: Emitted<'_>| match emitted.record {
        Record::Impression(event) => {
            assert!((0..=bids[&event.campaign_id]).contains(&event.cost_micros));
            let is_cpm = matches!(event.channel.as_str(), "display" | "video" | "social");
            assert_eq!(event.cost_micros > 0, is_cpm, "{event:?}");
        }
        Record::Click(event) => assert!((0..=bids[&event.campaign_id]).contains(&event.cost_micros)),
        Record::Conversion(event) => assert!(event.value_micros > 0),
    });
}

#[test]
fn before_the_end_the_budget_is_the_planned_share() {
    let mut market = Market::new(Scenario::demo(1, START, 10 * HOUR_MS), 1);
    let full: i64 = market.scenario().campaigns[0].spec.flight_budget_micros.expect("a flight budget");
    market.advance(START + 5 * HOUR_MS, &mut nobody);
    let half = market.totals().campaigns[0].budget_micros;
    assert!((0.3..0.7).contains(&(half as f64 / full as f64)), "{half} of {full}");
    market.advance(START + 10 * HOUR_MS, &mut nobody);
    assert_eq!(market.totals().campaigns[0].budget_micros, full);
}

#[test]
fn a_daily_budget_is_planned_for_whole_days_and_shares_of_days() {
    let day = 24 * HOUR_MS;
    let midnight = START - 6 * HOUR_MS;
    let spec = CampaignSpec {
        time_zone: "UTC".into(),
        daily_budget_micros: Some(10_000_000),
        flight_start: midnight,
        ..CampaignSpec::default()
    };
    let mut shape = LocalShape::new("UTC");
    assert_eq!(planned_micros(&spec, &mut shape, midnight, midnight + 3 * day), 30_000_000);
    let morning = planned_micros(&spec, &mut shape, midnight, midnight + 6 * HOUR_MS);
    assert!((0..1_000_000).contains(&morning), "little happens at night: {morning}");
    assert_eq!(planned_micros(&spec, &mut shape, midnight, midnight), 0);
}

#[test]
fn a_paused_campaign_does_not_bid() {
    let mut market = Market::new(Scenario::demo(1, START, 2 * HOUR_MS), 1);
    let pause =
        Adjustment { kind: "pause".into(), value_micros: None, ..bid("acme-generic", "acme-shop", "EUR", 1, 0) };
    market.buyer_mut().receive(&pause, START);
    market.advance(START + MINUTE_MS, &mut nobody);
    market.advance(START + 2 * HOUR_MS, &mut |emitted: Emitted<'_>| {
        if let Record::Impression(event) = emitted.record {
            assert_ne!(event.campaign_id, "acme-generic");
        }
    });
    let applied = market.take_feedback(START + 2 * HOUR_MS).len();
    assert!(applied > 1, "an answer and reports");
}

/// The least that a controller can do: every five minutes, the bid a little towards the rest of the budget over the rest
/// of the plan, never beyond half as much again or a fifth of the first bid, and a pause at the end of the budget.
fn steered(seed: u64, start: Millis, flight: Millis) -> Market {
    const TICK: Millis = 5 * MINUTE_MS;
    let mut market = Market::new(Scenario::demo(seed, start, flight), seed);
    let specs = market.scenario().specs();
    let full: Vec<i64> = specs
        .iter()
        .map(|spec| planned_micros(spec, &mut LocalShape::new(&spec.time_zone), start, start + flight))
        .collect();
    let mut history = vec![market.totals().campaigns];
    let mut factors = vec![1.0_f64; specs.len()];
    for tick in 1..flight / TICK {
        let now = start + tick * TICK;
        market.advance(now, &mut nobody);
        history.push(market.totals().campaigns);
        let earlier = &history[history.len().saturating_sub(4)];
        for (index, campaign) in history.last().expect("just pushed").iter().enumerate() {
            if !campaign.is_budgeted {
                continue;
            }
            let share = (campaign.budget_micros - earlier[index].budget_micros) as f64;
            let left = (full[index] - campaign.budget_micros).max(1) as f64;
            let need = (full[index] - campaign.spend_micros).max(0) as f64 * share / left;
            let spent = (campaign.spend_micros - earlier[index].spend_micros) as f64;
            let billable = (campaign.impressions + campaign.clicks).max(1);
            let quantum = 2.0 * campaign.spend_micros as f64 / billable as f64 + 1.0;
            let error = ((need - spent) / (need + quantum)).clamp(-2.0, 1.0);
            factors[index] = (factors[index] * (1.0 + (0.1 * error).clamp(-0.2, 0.1))).clamp(0.2, 1.5);
            let micros = (specs[index].bid_micros as f64 * factors[index]) as i64;
            let command = bid(&campaign.campaign_id, &campaign.account_id, &campaign.currency, tick, micros);
            market.buyer_mut().receive(&command, now);
            if campaign.spend_micros >= full[index] {
                let pause = Adjustment { kind: "pause".into(), command_id: format!("{index}-pause-{tick}"), ..command };
                market.buyer_mut().receive(&Adjustment { value_micros: None, ..pause }, now);
            }
        }
    }
    market.advance(start + flight, &mut nobody);
    market
}

#[test]
fn even_a_simple_controller_saves_most_of_what_a_market_left_alone_loses() {
    for (seed, start) in [(1, START), (2, START + 15 * HOUR_MS)] {
        let (alone, with) =
            (left_alone(seed, start, 10 * HOUR_MS).totals(), steered(seed, start, 10 * HOUR_MS).totals());
        assert!(with.overspend_micros * 10 < alone.overspend_micros, "{with:#?}");
        for campaign in with.campaigns.iter().filter(|campaign| campaign.is_budgeted) {
            let ratio = campaign.spend_ratio_ppm().expect("has a budget");
            assert!((800_000..1_060_000).contains(&ratio), "{seed} {}: {ratio}", campaign.campaign_id);
        }
    }
}

#[test]
fn a_disturbed_load_counts_each_event_once_and_arrives_in_order() {
    let scenario = LoadScenario::new(200, 10_000, 1_000, START).disturbed();
    let mut load = Load::new(scenario.clone(), 17);
    let mut recorder = Recorder::default();
    load.advance_events(60_000, &mut recorder);
    load.finish(&mut recorder);
    assert_eq!(load.emitted(), recorder.events.len() as u64);
    assert!(recorder.events.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    assert_eq!(rows(load.truth()), recount(&recorder));
    let (mut unordered, mut late, mut newest) = (0, Recorder::default(), Millis::MIN);
    for (arrived_at, event) in &recorder.events {
        let at = event.as_record().event_time();
        unordered += usize::from(at < newest);
        newest = newest.max(at);
        // Duplicates come at most 23 s after the event, late ones at least a minute.
        if arrived_at - at >= 60 * SECOND_MS {
            late.events.push((*arrived_at, event.clone()));
        }
    }
    assert_eq!(rows(load.truth_late()), recount(&late));
    let share = |count: usize| count as f64 / 60_000.0;
    assert!((0.045..0.055).contains(&share(load.duplicates() as usize)), "{}", load.duplicates());
    assert!((0.0012..0.0028).contains(&share(late.events.len())), "{}", late.events.len());
    assert!((0.08..0.12).contains(&share(unordered)), "{unordered}");
    let in_time = load.truth().without(load.truth_late());
    assert_eq!(in_time.total().impressions + load.truth_late().total().impressions, load.truth().total().impressions);
}

#[test]
fn a_plain_load_has_its_shares_and_its_events_belong_together() {
    let mut load = Load::new(LoadScenario::new(10_000, 1_000_000, 10_000, START), 3);
    let mut recorder = Recorder::default();
    load.advance(START + 20 * SECOND_MS, &mut recorder);
    assert_eq!(recorder.events.len(), 200_000);
    let total = load.truth().total();
    assert!((3_700..4_300).contains(&total.clicks), "{total:?}");
    assert!((140..270).contains(&total.conversions), "{total:?}");
    let events: BTreeMap<String, OwnedRecord> =
        recorder.events.iter().map(|(_, event)| (id(event), event.clone())).collect();
    assert_eq!(events.len(), 200_000, "ids are unique");
    let mut matched = 0;
    for (_, event) in &recorder.events {
        match event {
            OwnedRecord::Click(click) => {
                let Some(OwnedRecord::Impression(shown)) = click.impression_id.as_ref().and_then(|id| events.get(id))
                else {
                    continue;
                };
                assert!(shown.event_time <= click.event_time);
                assert_eq!((&shown.user_key, &shown.campaign_id), (&click.user_key, &click.campaign_id));
            }
            OwnedRecord::Conversion(goal) => {
                let Some(OwnedRecord::Click(click)) = goal.click_id.as_ref().and_then(|id| events.get(id)) else {
                    continue;
                };
                matched += 1;
                assert!(click.event_time <= goal.event_time);
                assert_eq!((&click.user_key, Some(&click.campaign_id)), (&goal.user_key, goal.campaign_id.as_ref()));
            }
            OwnedRecord::Impression(_) => {}
        }
    }
    assert!(matched as i64 > total.conversions * 9 / 10, "{matched}");
    let most = load.truth().rows().filter(|row| row.campaign_id == "campaign-00000").count();
    assert!(most > 0, "the first campaign is the busiest");
}

#[test]
fn a_load_is_the_same_however_it_is_cut() {
    let scenario = LoadScenario::new(50, 1_000, 500, START).disturbed();
    let run = |steps: i64| {
        let (mut load, mut recorder) = (Load::new(scenario.clone(), 1), Recorder::default());
        for step in 1..=steps {
            load.advance(START + 60 * SECOND_MS * step / steps, &mut recorder);
        }
        load.finish(&mut recorder);
        (recorder, load.truth().clone())
    };
    assert!(run(1) == run(97));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Any bids and lags, in any steps: no panic, events in order, no cost above a bid that was ever in force.
    #[test]
    fn any_commands_leave_a_sound_market(
        bids in prop::collection::vec((0_i64..3_600_000, 1_i64..i64::MAX), 0..12),
        step in 1_000_i64..1_000_000,
    ) {
        let mut market = Market::new(Scenario::demo(1, START, HOUR_MS), 1);
        let highest = bids.iter().map(|bid| bid.1).max().unwrap_or(0).max(1_900_000);
        for (sequence, (at, micros)) in bids.iter().enumerate() {
            let command = bid("acme-generic", "acme-shop", "EUR", sequence as i64 + 1, *micros);
            market.buyer_mut().receive(&command, START + at);
        }
        let (mut now, mut last) = (START, START);
        while now < START + HOUR_MS {
            now += step;
            market.advance(now, &mut |emitted: Emitted<'_>| {
                assert!(last <= emitted.arrived_at && emitted.arrived_at < now);
                last = emitted.arrived_at;
                if let Record::Click(event) = emitted.record {
                    assert!((0..=highest).contains(&event.cost_micros));
                }
            });
        }
    }
}

#[test]
fn what_is_on_its_way_settles_at_its_own_time_and_nothing_new_is_made() {
    let scenario = LoadScenario { late_ppm: 100_000, ..LoadScenario::new(3, 100, 100, 1_000_000) };
    let mut load = Load::new(scenario, 5);
    let mut handed_out = 0_u64;
    load.advance(1_010_000, &mut |_: Emitted<'_>| handed_out += 1);
    let made = load.events();
    assert!(handed_out < made, "some are late");
    let mut until = 1_010_000;
    let mut settled = false;
    while !settled {
        until += 20;
        settled = load.settle(until, &mut |emitted: Emitted<'_>| {
            assert!((until - 20..until).contains(&emitted.arrived_at), "not before its time and not after it");
            handed_out += 1;
        });
    }
    assert_eq!((handed_out, load.events()), (made, made));
    assert!((60_000..=610_000).contains(&(until - 1_010_000 + 10_000)), "the last is late by 1 to 10 minutes");
}

#[test]
fn weather_is_told_before_each_of_its_hours_and_clicks_follow_it() {
    use crate::{Billing, Trial, TrialWeather};
    let weather = Some(TrialWeather { clicks: 2.0, ..TrialWeather::default() });
    let trial =
        Trial { days: 6, events_a_day: 4_000.0, click_rate: 0.25, billing: Billing::Cpm, weather, ..Trial::default() };
    let scenario = trial.market(3).scenario;
    let rains = |at: Millis| scenario.weather.iter().any(|spell| (spell.from_ms..spell.to_ms).contains(&at));
    let mut market = Market::new(scenario.clone(), 3);
    let mut counts = [[0_u32; 2]; 2];
    market.advance(scenario.end_ms, &mut |emitted: Emitted<'_>| {
        let at = emitted.record.event_time();
        match emitted.record {
            Record::Impression(_) => counts[usize::from(rains(at))][0] += 1,
            Record::Click(_) => counts[usize::from(rains(at))][1] += 1,
            Record::Conversion(_) => {}
        }
    });
    let rate = |[shown, clicked]: [u32; 2]| f64::from(clicked) / f64::from(shown);
    let ratio = rate(counts[1]) / rate(counts[0]);
    assert!((1.85..2.15).contains(&ratio), "{ratio} {counts:?}");
    let told = market.take_context(scenario.end_ms);
    let hours: Millis = scenario.weather.iter().map(|spell| (spell.to_ms - spell.from_ms) / HOUR_MS).sum();
    assert_eq!(told.len() as i64, hours);
    for fact in &told {
        let model::fact::Fact::ContextSignal(signal) = fact else { panic!("{fact:?}") };
        assert!(signal.issued_at < signal.valid_from && rains(signal.valid_from) && signal.scope["geo"] == "DE");
    }
    assert!(market.take_context(Millis::MAX).is_empty(), "each is told once");
}

#[test]
fn placements_and_creatives_convert_as_the_trial_says_and_the_buyer_takes_their_factors() {
    use crate::{Trial, TrialValue};
    let value = |name: &str, conversion| TrialValue { name: name.into(), conversion };
    let trial = Trial {
        days: 5,
        conversion_rate: Some(0.1),
        placements: vec![value("pl-3", 3.0)],
        creatives: vec![value("cr-0", 0.0)],
        ..Trial::default()
    };
    let scenario = trial.market(5).scenario;
    let mut market = Market::new(scenario.clone(), 5);
    let mut by_placement = BTreeMap::<String, [u32; 2]>::new();
    let mut placement_of = BTreeMap::new();
    market.advance(scenario.end_ms, &mut |emitted: Emitted<'_>| match emitted.record {
        Record::Click(click) => {
            let placement = click.placement.clone().unwrap_or_default();
            by_placement.entry(placement.clone()).or_default()[0] += 1;
            placement_of.insert(click.event_id.clone(), (placement, click.creative_id.clone()));
        }
        Record::Conversion(conversion) => {
            let (placement, creative) = &placement_of[conversion.click_id.as_deref().unwrap_or_default()];
            assert_ne!(creative.as_deref(), Some("cr-0"), "it never converts");
            by_placement.entry(placement.clone()).or_default()[1] += 1;
        }
        Record::Impression(_) => {}
    });
    assert_eq!(by_placement.len(), 8);
    let rate = |[clicks, conversions]: [u32; 2]| f64::from(conversions) / f64::from(clicks);
    let others: Vec<f64> = by_placement.iter().filter(|(name, _)| *name != "pl-3").map(|(_, of)| rate(*of)).collect();
    let mean = others.iter().sum::<f64>() / 7.0;
    assert!((2.0..4.5).contains(&(rate(by_placement["pl-3"]) / mean)), "{by_placement:?}");
}
