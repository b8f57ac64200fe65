//! Users' rules and goals: asked at their instants, answered through the guard, remembered by the ledger.

use super::recovery::logged;
use super::world::*;
use crate::{Authority, Controller, JournalPosition, Outputs, RuleSaid};
use model::fact::{CampaignSpec, Fact, PolicyVersion, SmartGoal, StateReport};
use model::journal::JournalRecord;
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use proptest::prelude::*;

const EUR: i64 = 1_000_000;

fn ruled_spec() -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: Some(240 * EUR),
        bid_micros: EUR,
        bid_min_micros: EUR / 5,
        bid_max_micros: 5 * EUR,
        bid_step_micros: 10_000,
        ..spec("c", 1)
    }
}

fn policy(version: i64, body: &str) -> Fact {
    policy::settings::check(body).expect("the policy of a test has no mistakes");
    let body = body.to_owned();
    Fact::PolicyVersion(Box::new(PolicyVersion { name: "default".into(), version, body, ..PolicyVersion::default() }))
}

/// A campaign under rules, with a buyer that applies what is issued.
struct Play {
    world: World,
    now: Millis,
    queue: Vec<Fact>,
    records: Vec<(Millis, JournalRecord)>,
    issued: Vec<Adjustment>,
    proposed: Vec<Adjustment>,
    outputs: Vec<Outputs>,
}

impl Play {
    fn of(spec: CampaignSpec, body: &str) -> Self {
        let mut play = Play {
            world: World::new(),
            now: MONDAY,
            queue: vec![policy(1, body), specified(spec)],
            records: Vec::new(),
            issued: Vec::new(),
            proposed: Vec::new(),
            outputs: Vec::new(),
        };
        play.step(0, 0);
        play
    }

    fn step(&mut self, clicks: i64, spend_micros: i64) {
        let at = self.now - MINUTE_MS;
        let rows = if clicks == 0 { vec![] } else { vec![touches("c", at, 20 * clicks, clicks, spend_micros)] };
        let facts = std::mem::take(&mut self.queue);
        let record = self.world.journal.cut(self.now, self.now - 5_000, &rows, &facts);
        self.records.push((self.now, record.clone()));
        let outputs = self.world.apply(self.now, &record);
        self.queue.extend(outputs.adjustments.iter().map(applied));
        self.issued.extend(outputs.adjustments.clone());
        self.proposed.extend(outputs.proposals.clone());
        self.outputs.push(outputs);
        self.now += MINUTE_MS;
    }

    fn minutes(&mut self, count: i64) {
        (0..count).for_each(|_| self.step(2, EUR / 3));
    }

    fn ruled(&self) -> Vec<&Adjustment> {
        self.issued.iter().filter(|command| command.reason == "rule").collect()
    }

    fn said(&self) -> Vec<RuleSaid> {
        self.world.controller.view().campaign("acme", "c").unwrap().rules
    }
}

fn rule(name: &str, rest: &str) -> String {
    format!("[[rule]]\nname = '{name}'\nmode = 'auto'\n{rest}\n")
}

#[test]
fn a_rule_s_bid_is_clamped_by_the_guard_and_left_alone_by_the_loops_for_its_cool_down() {
    let body = rule("halve", "when = 'today.clicks >= 20'\nthen = { scale_bid = 0.5 }\ncool_down = '1h'")
        + &rule("raise", "priority = -1\nwhen = 'today.clicks >= 20'\nthen = { set_bid = 3 }\ncool_down = '1h'");
    let mut play = Play::of(ruled_spec(), &body);
    play.minutes(30);
    let first = play.ruled()[0].clone();
    let loops = play.issued.iter().filter(|command| command.reason != "rule" && command.issued_at > first.issued_at);
    assert_eq!(loops.count(), 0, "the loops leave the bid alone");
    assert_eq!(play.world.controller.view().why("acme", "c")[0].reason, "rule_holds");
    assert_eq!((first.kind.as_str(), first.mode.as_str()), ("set_bid", "auto"));
    let before = first.expected_previous.value_micros.unwrap();
    assert!(first.value_micros.unwrap() + 10_000 >= before * 6 / 10, "no step below 40 %, but for the unit: {first:?}");
    assert!(first.explanation.guard_edits.contains(&"step_down".to_owned()));
    let names: Vec<&str> = first.explanation.terms.iter().map(|term| term.name.as_str()).take(3).collect();
    assert_eq!(names, ["rule/halve", "rule_lost/raise", "rule_until_ms"], "the loser is told");
    assert!(first.explanation.text.contains("Rule halve holds: today.clicks >= 20; today.clicks "), "{first:?}");
    play.minutes(25);
    assert_eq!(play.ruled().len(), 1, "it cools down");
    let said = play.said();
    assert_eq!([said[0].word, said[1].word], ["cooling_down", "lost"], "and the other does not undo it meanwhile");
    play.minutes(45);
    assert!(play.ruled().len() >= 2, "and speaks again");
}

#[test]
fn an_observing_rule_records_what_it_would_do_and_sends_nothing() {
    let body = "[[rule]]\nname = 'try'\nwhen = 'today.clicks >= 20'\nthen = { scale_bid = 0.9 }\ncool_down = '30m'\n";
    let mut play = Play::of(ruled_spec(), body);
    play.minutes(70);
    assert!(play.ruled().is_empty());
    let observed: Vec<_> = play.proposed.iter().filter(|proposal| proposal.reason == "rule").collect();
    assert!((1..=2).contains(&observed.len()), "once in a cool-down: {}", observed.len());
    assert_eq!((observed[0].state.as_str(), observed[0].mode.as_str()), ("observed", "observe"));
    assert!(play.issued.iter().any(|command| command.kind == "set_bid"), "the loops go on meanwhile");
}

#[test]
fn a_rule_that_wants_approval_proposes_and_the_approved_value_is_the_rule_s() {
    let body = rule("ask", "when = 'today.clicks >= 20'\nthen = { scale_bid = 0.8 }\ncool_down = '2h'")
        .replace("'auto'", "'approve'");
    let mut play = Play::of(ruled_spec(), &body);
    play.minutes(20);
    let proposal = play.proposed.iter().find(|proposal| proposal.reason == "rule").unwrap().clone();
    assert_eq!(proposal.state, "proposed");
    play.queue.push(Fact::Decision(Box::new(model::fact::Decision {
        command_id: proposal.command_id.clone(),
        account_id: "acme".into(),
        campaign_id: Some("c".into()),
        decision: "approve".into(),
        actor: "ann".into(),
        ..model::fact::Decision::default()
    })));
    play.minutes(10);
    let command = play.issued.iter().find(|command| command.reason == "person").expect("the approval is issued");
    assert_eq!(command.explanation.terms[0].name, "rule/ask");
    assert_eq!(play.world.controller.view().why("acme", "c")[0].reason, "rule_holds");
}

#[test]
fn a_rule_s_pause_ends_by_itself_and_a_person_may_end_it_before() {
    let body = rule("rest", "when = 'hour == 1'\nthen = { pause = '90m' }\ncool_down = '12h'");
    let mut play = Play::of(ruled_spec(), &body);
    play.minutes(62);
    (0..120).for_each(|_| play.step(0, 0));
    let kinds: Vec<&str> = play.issued.iter().filter(|c| c.holder.is_some()).map(|c| c.kind.as_str()).collect();
    let [pause, resume] = [0, 1].map(|at| play.issued.iter().filter(|c| c.holder.is_some()).nth(at).unwrap());
    assert_eq!(kinds, ["pause", "resume"]);
    assert_eq!((pause.holder.as_deref(), resume.reason.as_str()), (Some("rule"), "rule"));
    let lasted = resume.issued_at - pause.issued_at;
    assert!((90 * MINUTE_MS..95 * MINUTE_MS).contains(&lasted), "{lasted}");

    let mut play = Play::of(ruled_spec(), &body);
    play.minutes(75);
    assert_eq!(play.world.controller.view().campaign("acme", "c").unwrap().holders, ["rule"]);
    let report = StateReport {
        account_id: "acme".into(),
        campaign_id: "c".into(),
        reported_at: play.now,
        status: Some("active".into()),
        actor: Some("person".into()),
        ..StateReport::default()
    };
    play.queue.push(Fact::StateReport(Box::new(report)));
    play.minutes(10);
    assert!(play.world.controller.view().campaign("acme", "c").unwrap().holders.is_empty());
    assert_eq!(play.ruled().len(), 1, "it is not paused again");
}

#[test]
fn an_alert_of_a_rule_lives_while_it_holds_and_ends_with_its_rule() {
    let alert = |hour: i64| {
        format!("[[rule]]\nname = 'dear'\nwhen = 'hour < {hour}'\nthen = {{ alert = 'info' }}\ncool_down = '10m'\n")
    };
    let mut play = Play::of(ruled_spec(), &alert(1));
    play.minutes(80);
    assert_eq!(play.world.alerts("rule:dear"), ["opened", "resolved"]);
    let mut play = Play::of(ruled_spec(), &alert(9));
    play.minutes(10);
    play.queue.push(policy(2, ""));
    play.minutes(1);
    assert_eq!(play.world.alerts("rule:dear"), ["opened", "resolved"], "no rule, no alert");
}

#[test]
fn a_figure_that_is_not_known_matches_nothing_and_says_so() {
    let body = rule("dear", "when = 'last_7d.cpa > 1'\nthen = { scale_bid = 0.9 }")
        + &rule("few", "when = 'today.clicks > 0'\nthen = { scale_bid = 0.9 }\nmin_data = { days = 3 }")
        + &rule("other", "when = 'true'\nthen = { scale_bid = 0.9 }\nmatch = { campaign = 'x*' }");
    let mut play = Play::of(ruled_spec(), &body);
    play.minutes(30);
    let said: Vec<_> = play.said().into_iter().map(|said| (said.rule, said.word, said.detail)).collect();
    let expected = [("dear", "absent", "last_7d.cpa is not known"), ("few", "too_little", "days")];
    assert_eq!(said, expected.map(|(rule, word, detail)| (rule.to_owned(), word, detail.to_owned())));
    assert!(play.ruled().is_empty());
}

#[test]
fn a_goal_at_risk_is_told_once_and_its_chance_is_a_figure_of_rules() {
    let goal = SmartGoal {
        metric: "clicks".into(),
        direction: "at_least".into(),
        target_micros: Some(1_000_000 * EUR),
        deadline: Some(MONDAY + 20 * DAY_MS),
        ..SmartGoal::default()
    };
    let body = "[[rule]]\nname = 'goal'\nwhen = 'goal.chance < 0.5'\nthen = { alert = 'warning' }\n\
                [[goal]]\nname = 'spring'\naccount = 'acme'\ncurrency = 'EUR'\nmetric = 'clicks'\n\
                direction = 'at_least'\ntarget = 10\nfrom = 2026-03-01\ndeadline = 2026-03-30\n";
    let mut play = Play::of(CampaignSpec { goal: Some(goal), ..ruled_spec() }, body);
    for _ in 0..6 * 24 {
        play.now += HOUR_MS - 5 * MINUTE_MS;
        play.minutes(5);
    }
    assert_eq!(play.world.alerts("goal_at_risk"), ["opened"]);
    assert_eq!(play.world.alerts("rule:goal"), ["opened"]);
    let view = play.world.controller.view();
    let summary = view.campaign("acme", "c").unwrap();
    let own = summary.goal.unwrap();
    assert_eq!((own.outlook.standing.as_str(), own.outlook.chance_ppm), ("at_risk", Some(0)));
    assert_eq!(own.limit, Some("bid_max"), "a hundred times the clicks are beyond any bid: {own:?}");
    let account = &view.goals()[0];
    assert_eq!((account.name.as_str(), account.now.outlook.standing.as_str()), ("spring", "met"));
}

/// Rules of all kinds, sane and not.
fn any_rules() -> impl Strategy<Value = String> {
    let when = prop::sample::select(vec![
        "true",
        "today.clicks > 5",
        "hour % 2 == 0",
        "last_1h.cpc > 0.1 || bid.now > 1",
        "pace.ratio < 1",
        "has(last_24h.cpa)",
    ]);
    let then = prop_oneof![
        (0.1..10.0_f64).prop_map(|factor| format!("scale_bid = {factor:?}")),
        (0.000_01..1e6_f64).prop_map(|bid| format!("set_bid = {bid:?}")),
        (0.1..10.0_f64).prop_map(|factor| format!("scale_budget = {factor:?}")),
        (0.01..1e6_f64).prop_map(|budget| format!("set_budget = {budget:?}")),
        Just("pause = '15m'".to_owned()),
        Just("pause = 'day'".to_owned()),
    ];
    let mode = prop::sample::select(vec!["auto", "approve", "observe"]);
    let one = (when, then, mode, -2..3_i64, 5..90_i64);
    prop::collection::vec(one, 1..5).prop_map(|rules| {
        let text = |(at, (when, then, mode, priority, cool_down)): (usize, (&str, String, &str, i64, i64))| {
            format!(
                "[[rule]]\nname = 'r{at}'\nwhen = '{when}'\nthen = {{ {then} }}\nmode = '{mode}'\n\
                 priority = {priority}\ncool_down = '{cool_down}m'\n"
            )
        };
        rules.into_iter().enumerate().map(text).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_rule_gets_past_the_guard_and_the_same_journal_gives_the_same_bytes(
        body in any_rules(), minutes in prop::collection::vec((0..9_i64, 0..4_000_000_i64), 60..200), cut in 0..200_usize,
    ) {
        let spec = CampaignSpec { budget_control: "paceline".into(), budget_max_micros: Some(300 * EUR), ..ruled_spec() };
        let mut play = Play::of(spec.clone(), &body);
        minutes.iter().for_each(|(clicks, spend)| play.step(*clicks, *spend));
        for command in play.issued.iter().filter(|command| command.reason == "rule") {
            let (value, before) = (command.value_micros, command.expected_previous.value_micros);
            match command.kind.as_str() {
                "set_bid" => {
                    let (value, before) = (value.unwrap(), before.unwrap());
                    prop_assert!((spec.bid_min_micros..=spec.bid_max_micros).contains(&value) && value % 10_000 == 0);
                    prop_assert!(value * 100 <= before * 120 + 1_000_000 && value * 100 >= before * 60 - 1_000_000);
                }
                "set_daily_budget" => prop_assert!(value.unwrap() <= 300 * EUR && value.unwrap() * 10 <= before.unwrap() * 12),
                "pause" => prop_assert_eq!(command.holder.as_deref(), Some("rule")),
                kind => prop_assert_eq!(kind, "resume"),
            }
        }
        // From a snapshot, and from the decision log.
        let cut = cut.min(play.records.len());
        let mut first = Controller::new(setup());
        let at = |offset: usize, now: Millis| JournalPosition { offset: offset as i64, timestamp_ms: now };
        for (offset, (now, record)) in play.records[..cut].iter().enumerate() {
            first.apply(at(offset, *now), record, Authority::Decide);
        }
        let mut restored = Controller::restore(setup(), &first.snapshot()).unwrap();
        let mut logged_one = Controller::new(setup());
        for (offset, (now, record)) in play.records.iter().enumerate() {
            let log = logged(&play.outputs[offset]);
            logged_one.apply(at(offset, *now), record, Authority::Log(&log));
            if offset >= cut {
                let outputs = restored.apply(at(offset, *now), record, Authority::Decide);
                prop_assert_eq!(&outputs, &play.outputs[offset]);
            }
        }
        let whole = play.world.controller.snapshot();
        prop_assert!(restored.snapshot() == whole, "from a snapshot");
        prop_assert!(logged_one.snapshot() == whole, "from the decision log");
    }
}
