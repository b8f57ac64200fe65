//! Ceilings of weeks, budgets of a few events, budgets of several campaigns: weeks and days with what they may cost.

use super::stories::{Day, again, paced};
use super::world::*;
use crate::{Authority, Controller, JournalPosition, Outputs};
use model::fact::{Ack, CampaignSpec, Decision, EntitySpec, Fact, PolicyVersion};
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
    CampaignSpec { campaign_id: name.into(), daily_budget_micros: own, budget_id: Some("pool".into()), ..paced(1) }
}

fn pool(daily: Option<i64>, monthly: Option<i64>) -> Fact {
    pool_of(1, daily, monthly)
}

fn pool_of(version: i64, daily: Option<i64>, monthly: Option<i64>) -> Fact {
    Fact::EntitySpec(Box::new(EntitySpec {
        entity_id: "pool".into(),
        account_id: "acme".into(),
        kind: "budget".into(),
        version,
        currency: "EUR".into(),
        daily_budget_micros: daily,
        monthly_budget_micros: monthly,
        ..Default::default()
    }))
}

fn answers(outputs: &Outputs) -> Vec<Fact> {
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

/// Two members, one far beyond its plan from some minute on, the other at its own ceiling `later` minutes after; who was
/// paused in one record. At each record a reader of the log must come to the same state.
fn paused_together(later: i64) -> Vec<String> {
    let (mut world, mut logged) = (World::new(), Controller::new(setup()));
    let specs = [specified(member("a", None)), specified(member("b", Some(5 * EUR)))];
    let mut facts = [&specs[..], &[pool(Some(1_000 * EUR), None)]].concat();
    let mut together = Vec::new();
    for minute in 0..100 {
        let now = MONDAY + minute * MINUTE_MS;
        let runs_away = minute >= 90 && together.is_empty();
        let (clicks, spend) = if runs_away { (90, 100 * EUR) } else { (1, EUR / 10) };
        let of_b = if minute == 90 + later { 6 * EUR } else { EUR / 100 };
        let rows =
            [touches("a", now - MINUTE_MS, 10 * clicks, clicks, spend), touches("b", now - MINUTE_MS, 20, 1, of_b)];
        let record = world.journal.cut(now, now - 5_000, &rows, &facts);
        let at = JournalPosition { offset: world.offset, timestamp_ms: now };
        let outputs = world.apply(now, &record);
        let read = logged.apply(at, &record, Authority::Log(&outputs.decisions()));
        assert_eq!(read.kpis, outputs.kpis, "minute {minute}");
        assert!(logged.snapshot() == world.controller.snapshot(), "minute {minute}");
        let pauses = outputs.adjustments.iter().filter(|command| command.kind == "pause");
        let paused: Vec<String> = pauses.map(|command| command.campaign_id.clone()).collect();
        if paused.len() > together.len() {
            together = paused;
        }
        facts = answers(&outputs);
    }
    together
}

#[test]
fn members_paused_in_one_record_are_the_same_from_the_log() {
    let most = (0..5).map(paused_together).max_by_key(Vec::len).unwrap();
    assert_eq!(most, ["a", "b"]);
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
        let rows = [touches("a", now - MINUTE_MS, 20, 1, EUR / 10 * 4), touches("b", now - MINUTE_MS, 20, 1, EUR / 10)];
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

/// Members on a platform that promises seven budgets a week; they spend while nothing holds them, and answer.
struct Members {
    world: World,
    now: Millis,
    facts: Vec<Fact>,
    names: Vec<&'static str>,
}

impl Members {
    fn of(names: &[&'static str], daily: i64) -> Self {
        let mut facts: Vec<Fact> = names.iter().map(|name| specified(Self::spec(name, 1))).collect();
        facts.push(pool(Some(daily * EUR), None));
        Self { world: World::new(), now: MONDAY, facts, names: names.to_vec() }
    }

    fn spec(name: &str, version: i64) -> CampaignSpec {
        let platform = Some("meta".into());
        CampaignSpec { platform, daily_cap: "profile".into(), version, ..member(name, None) }
    }

    /// What each of the days cost, in EUR, where each member would spend 1,440.
    fn days(&mut self, count: i64) -> Vec<i64> {
        (0..count).map(|_| (0..1_440).map(|_| self.minute()).sum::<i64>() / EUR).collect()
    }

    fn minute(&mut self) -> i64 {
        let view = self.world.controller.view();
        let runs = |name: &&str| view.campaign("acme", name).is_none_or(|campaign| campaign.holders.is_empty());
        let running: Vec<&'static str> = self.names.iter().copied().filter(runs).collect();
        let rows: Vec<Row> = running.iter().map(|name| touches(name, self.now - MINUTE_MS, 20, 1, EUR)).collect();
        let facts = std::mem::take(&mut self.facts);
        self.facts = answers(&self.world.feed(self.now, &rows, &facts));
        self.now += MINUTE_MS;
        running.len() as i64 * EUR
    }
}

#[test]
fn a_shared_budget_that_is_lowered_within_its_week_leaves_what_was_spent_under_the_old_one() {
    let mut members = Members::of(&["a", "b"], 400);
    let before = members.days(3);
    assert!(before.iter().sum::<i64>() > 700, "more than a week of the later budget: {before:?}");
    members.facts.push(pool_of(2, Some(100 * EUR), None));
    let after = members.days(4);
    assert!(after[0] >= 100, "nobody stands still to the week's end: {after:?}");
    assert!(after.iter().sum::<i64>() <= 405, "four budgets, and an event in flight for each: {after:?}");
    assert!(members.days(1)[0] >= 160, "a new week");
}

#[test]
fn who_joins_a_shared_budget_brings_no_spend_and_who_leaves_takes_none_along() {
    let mut members = Members::of(&["a", "b"], 100);
    // "c" has spent a thousand on its own before it joins on the third evening.
    let own = CampaignSpec { budget_id: None, daily_budget_micros: Some(1_000 * EUR), ..Members::spec("c", 1) };
    members.facts.push(specified(own));
    members.names.push("c");
    let alone = members.days(3);
    assert!(alone.iter().sum::<i64>() > 2_000, "{alone:?}");
    members.facts.push(specified(Members::spec("c", 2)));
    let joined = members.days(1);
    assert!((40..=180).contains(&joined[0]), "the others go on, within their budget: {joined:?}");
    // "b" leaves; what it spent stays spent.
    let left = CampaignSpec { budget_id: None, daily_budget_micros: Some(EUR), ..Members::spec("b", 2) };
    members.facts.push(specified(left));
    let after = members.days(3);
    assert!(after.iter().sum::<i64>() <= 420, "no second week by leaving: {after:?}");
    assert!(after[0] >= 20, "{after:?}");
}

fn policy(body: &str) -> Fact {
    Fact::PolicyVersion(Box::new(PolicyVersion {
        name: "default".into(),
        version: 1,
        body: body.into(),
        ..PolicyVersion::default()
    }))
}

/// 20 EUR a conversion are promised; clicks cost 0.10 EUR whatever is bid.
fn promising() -> CampaignSpec {
    CampaignSpec { bid_strategy: "target_cpa".into(), target_cpa_micros: Some(20 * EUR), ..paced(1) }
}

fn decided(day: &Day, decision: &str) -> Fact {
    let proposal = day.proposed.iter().rev().find(|proposal| proposal.state == "proposed").expect("a proposal");
    Fact::Decision(Box::new(Decision {
        command_id: proposal.command_id.clone(),
        account_id: "acme".into(),
        campaign_id: Some("c".into()),
        decision: decision.into(),
        actor: "ann".into(),
        ..Decision::default()
    }))
}

/// Days of clicks, with so many conversions every ten hours; stops when a pause is proposed.
fn until_proposed(day: &mut Day, days: i64, conversions: i64) -> Option<i64> {
    for minute in 0..days * 1_440 {
        day.conversions = if minute % 600 == 300 { conversions } else { 0 };
        day.step(minute % 2, minute % 2 * EUR / 10);
        if day.proposed.iter().any(|proposal| proposal.state == "proposed") {
            return Some(minute / 1_440);
        }
    }
    None
}

fn without_controls() -> Fact {
    policy("[defaults.pause.underperformer]\ncontrol_one_in = 0\n")
}

#[test]
fn money_that_brings_nothing_is_proposed_for_a_pause_that_a_person_decides() {
    let mut day = Day::of(promising());
    day.queue.push(without_controls());
    let after = until_proposed(&mut day, 14, 0).expect("a proposal");
    assert!((4..10).contains(&after), "the bid is cut for three days before: {after}");
    let proposal = day.proposed.last().unwrap().clone();
    assert_eq!(
        (proposal.kind.as_str(), proposal.reason.as_str(), proposal.holder.as_deref()),
        ("pause", "underperformer", Some("underperformer"))
    );
    assert_eq!(day.world.alerts("underperformer"), ["opened"]);
    assert!(!day.kinds().contains(&"pause"), "a person has to look");
    day.queue.push(decided(&day, "approve"));
    day.minutes(3, 1, EUR / 10);
    let holders = |day: &Day| day.world.controller.view().campaign("acme", "c").unwrap().holders.clone();
    assert_eq!(holders(&day), ["underperformer"]);
    day.minutes(2 * 1_440, 0, 0);
    assert_eq!(holders(&day), ["underperformer"], "a new day is no cause to run again");
    let logs: Vec<_> = day.world.outputs.iter().map(Outputs::decisions).collect();
    let whole = day.world.controller.snapshot();
    let cut = day.records.len() - 2_000;
    assert_eq!(again(&day.records, &logs, cut, false), whole);
    assert_eq!(again(&day.records, &logs, cut, true), whole);
}

#[test]
fn a_no_holds_for_four_weeks_and_a_campaign_that_keeps_its_promise_is_never_asked_about() {
    let mut day = Day::of(promising());
    day.queue.push(without_controls());
    until_proposed(&mut day, 14, 0).expect("a proposal");
    day.queue.push(decided(&day, "reject"));
    day.minutes(3, 1, EUR / 10);
    let before = day.proposed.len();
    day.minutes(5 * 1_440, 1, EUR / 20);
    assert_eq!(day.proposed.len(), before);
    // 72 EUR a day and two to three conversions: a little above the target.
    let mut good = Day::of(promising());
    good.queue.push(without_controls());
    assert_eq!(until_proposed(&mut good, 14, 1), None);
    assert!(good.world.alerts("underperformer").is_empty());
}

#[test]
fn a_control_runs_on_with_a_twentieth_of_its_budget() {
    let mut day = Day::of(promising());
    day.queue.push(policy("[defaults.pause.underperformer]\ncontrol_one_in = 1\n"));
    assert_eq!(until_proposed(&mut day, 10, 0), None, "a control is not paused");
    let told = day.world.alerts("underperformer");
    assert!(told[0] == "opened" && !told.contains(&"resolved".to_owned()), "{told:?}");
    day.minutes(10, 0, 0);
    let summary = day.world.controller.view().campaign("acme", "c").unwrap();
    assert_eq!(summary.planned_day_micros, Some(12 * EUR), "a twentieth of 240");
}

const TWO_ARMS: &str = "
[[experiment]]
id = 'still'
account = 'acme'
salt = 's'
metric = 'clicks_per_budget'
start = 2026-03-03
mature_days = 1
stop = { days = 6 }
[[experiment.arm]]
name = 'moves'
share = 0.5
[[experiment.arm]]
name = 'stands still'
share = 0.5
policy.pressure.method = 'fixed'
";

#[test]
fn days_of_an_experiment_go_by_their_arm_and_say_so_and_are_judged_once() {
    let mut day = Day::of(paced(1));
    day.queue.push(policy(TWO_ARMS));
    day.minutes(10 * 1_440, 1, EUR / 8);
    let experiment = policy::settings::check(TWO_ARMS).unwrap().experiments.remove(0);
    let (mut moved, mut in_arm) = ([0; 2], [0; 2]);
    for date in 20_515..20_521 {
        let arm = experiment.arm_of("c", date);
        in_arm[arm] += 1;
        let start = i64::from(date) * DAY_MS;
        let bids = day.issued.iter().filter(|command| command.kind == "set_bid");
        // The first minutes still have the evaluation of the day before.
        let own: Vec<_> =
            bids.filter(|command| (start + HOUR_MS..start + DAY_MS).contains(&command.issued_at)).collect();
        moved[arm] += own.len();
        for command in own {
            let term = format!("experiment/still/{}", experiment.arms[arm].name);
            assert!(command.explanation.terms.iter().any(|known| known.name == term && known.value == 500_000));
            assert_eq!(command.explanation.propensity_ppm, Some(500_000));
        }
    }
    assert!(in_arm[0] > 0 && in_arm[1] > 0, "the salt tosses both: {in_arm:?}");
    assert!(moved[0] > 0 && moved[1] == 0, "{moved:?}");
    let now = day.world.controller.view().experiments().next().unwrap();
    assert_eq!((now.verdict, now.arms.iter().map(|arm| arm.2).sum::<i64>()), ("over", 6));
    assert_eq!(day.world.alerts("experiment_over"), ["opened"]);
    let logs: Vec<_> = day.world.outputs.iter().map(Outputs::decisions).collect();
    let whole = day.world.controller.snapshot();
    let cut = day.records.len() / 2;
    assert_eq!(again(&day.records, &logs, cut, false), whole);
    assert_eq!(again(&day.records, &logs, cut, true), whole);
}

#[test]
fn answers_about_campaigns_that_nobody_knows_take_no_memory() {
    let mut world = World::new();
    world.feed(MONDAY, &[], &[specified(spec("a", 1))]);
    let before = world.controller.snapshot().len();
    let answer = |at: i64| {
        let (account_id, campaign_id) = (format!("account-{at}"), format!("campaign-{at}"));
        Fact::Ack(Box::new(Ack {
            command_id: "c".into(),
            account_id,
            campaign_id,
            sequence: 1,
            result: "applied".into(),
            ..Ack::default()
        }))
    };
    let answers: Vec<Fact> = (0..2_000).map(answer).collect();
    world.feed(MONDAY + MINUTE_MS, &[], &answers);
    let grown = world.controller.snapshot().len() - before;
    assert!(grown < 1_000, "{grown} bytes");
}

#[test]
fn one_wrong_amount_of_a_neighbour_pauses_nobody() {
    let mut world = World::new();
    let named = |name: &str| CampaignSpec { campaign_id: name.into(), name: name.into(), ..paced(1) };
    world.feed(MONDAY, &[], &["a", "b"].map(|name| specified(named(name))));
    let at = MONDAY + 10 * MINUTE_MS;
    // A million times too much, once.
    let rows = [touches("a", at, 4_000, 2_000, 1_000_000_000), touches("b", at, 1, 1, 1_000_000_000_000)];
    world.feed(at + MINUTE_MS, &rows, &[specified(named("c"))]);
    let mut issued = Vec::new();
    for minute in 12..60 {
        let at = MONDAY + minute * MINUTE_MS;
        let outputs = world.feed(at + MINUTE_MS, &[touches("c", at, 2, 1, EUR / 2)], &[]);
        issued.extend(outputs.adjustments.into_iter().filter(|command| command.campaign_id == "c"));
    }
    assert!(issued.iter().all(|command| command.kind != "pause"), "{issued:?}");
}

#[test]
fn after_a_runaway_a_campaign_runs_again_today_only_where_another_would_be_stopped_in_time() {
    let after = |spent_before: i64| {
        let mut day = Day::of(paced(1));
        day.minutes(180, 1, spent_before * EUR / 180);
        while !day.kinds().contains(&"pause") {
            day.step(20, 15 * EUR);
        }
        assert_eq!(day.issued.last().unwrap().reason, "runaway", "{:?}", day.kinds());
        // What was on its way when the pause was asked for.
        day.step(20, 15 * EUR);
        day.minutes(90, 0, 0);
        let resumes = |day: &Day| day.issued.iter().filter(|command| command.kind == "resume").count();
        let today = resumes(&day);
        let why = day.why();
        while day.now < MONDAY + 25 * HOUR_MS {
            day.step(0, 0);
        }
        (day.spent(), today, why.contains(&"runaway_no_room".to_owned()), resumes(&day))
    };
    assert_eq!(after(30), (0, 1, false, 1), "the money for another is there");
    assert_eq!(after(165), (0, 0, true, 1), "the next day has new money");
}
