use super::*;
use crate::kpi::Sums;
use crate::settings::check;
use proptest::prelude::*;
use std::collections::BTreeMap;

const RULES: &str = r#"
[[rule]]
name = "cut what is dear"
priority = 5
match = { account = ["acme"], campaign = "north-*", labels = { brand = ["north", "south"] } }
when = """
last_7d.cpa > 25 &&
last_7d.conversions >= 10"""
then = { scale_bid = 0.9 }
min_data = { window = "last_7d", clicks = 100, days = 7 }
cool_down = "6h"
mode = "auto"

  [[rule.test]]
  name = "dear with evidence"
  given = { last_7d.cpa = 30.0, last_7d.conversions = 12 }
  expect = "match"

  [[rule.test]]
  given = { "last_7d.conversions" = 12 }
  expect = "absent"

[[rule]]
name = "tell"
when = "today.spend > 100"
then = { alert = "info" }
"#;

fn situation(labels: &BTreeMap<String, String>) -> Situation<'_> {
    let sums = Sums {
        impressions: 10_000,
        clicks: 200,
        billable: 200,
        spend_micros: 600_000_000,
        conversions_micro: 20_000_000,
        value_micros: 0,
    };
    Situation {
        now_ms: 0,
        account_id: "acme",
        campaign_id: "north-display",
        name: "North",
        channel: "display",
        platform: None,
        currency: "EUR",
        status: "active",
        mode: "auto",
        strategy: "max_clicks",
        labels,
        paused: false,
        target_cpa_micros: None,
        target_roas_ppm: None,
        bid_micros: Some(500_000),
        bid_min_micros: None,
        bid_max_micros: None,
        budget_day_micros: None,
        exposed_micros: 0,
        plan_share: None,
        pace: "unknown",
        goal_chance: None,
        local_hour: Some(9),
        weekday: 0,
        days_running: 9,
        flight_end_ms: None,
        windows: [Some(Figures::of(sums, None)); WINDOWS.len()],
    }
}

fn told(body: &str) -> Vec<String> {
    check(body).expect_err(body).iter().map(ToString::to_string).collect()
}

#[test]
fn a_rule_is_read_with_all_its_parts_and_judges_a_campaign() {
    let policy = check(RULES).unwrap();
    let rule = &policy.rules[0];
    let labels = BTreeMap::from([("brand".to_owned(), "north".to_owned())]);
    let there = situation(&labels);
    assert_eq!(
        (rule.priority, rule.mode, rule.cool_down_ms, rule.then),
        (5, Mode::Auto, 21_600_000, Then::ScaleBid(0.9))
    );
    assert_eq!(rule.judge(&there), Judgement::Yes);
    assert_eq!(rule.told(&there), "last_7d.cpa 30, last_7d.conversions 20");
    assert_eq!(rule.judge(&Situation { campaign_id: "south", ..there }), Judgement::Elsewhere);
    assert_eq!(rule.judge(&Situation { labels: &BTreeMap::new(), ..there }), Judgement::Elsewhere);
    assert_eq!(rule.judge(&Situation { days_running: 6, ..there }), Judgement::TooLittle("days"));
    let few = Figures::of(Sums { clicks: 99, ..Sums::default() }, None);
    assert_eq!(rule.judge(&Situation { windows: [Some(few); 7], ..there }), Judgement::TooLittle("clicks"));
    let none = Figures::of(Sums { clicks: 100, spend_micros: 1, ..Sums::default() }, None);
    assert_eq!(
        rule.judge(&Situation { windows: [Some(none); 7], ..there }),
        Judgement::No,
        "no CPA is needed for that"
    );
    let absent = Judgement::Absent(Absent::Name("today.spend".into()));
    assert_eq!(policy.rules[1].judge(&Situation { windows: [None; 7], ..there }), absent, "never NaN, never 0");
    let law = &policy.laws[0];
    assert_eq!((law.rule.as_str(), law.then.as_str(), law.mode), (rule.name.as_str(), "scale_bid 0.9", "auto"));
    assert!(!law.when.contains('\n') && law.when.starts_with("last_7d.cpa > 25"), "{}", law.when);
    assert_eq!(policy.windows_read, [false, false, true, false, true, false, false]);
    let cases: Vec<_> = rule.tests.iter().map(|case| (rule.try_case(case).0, case.expect)).collect();
    assert_eq!(cases, [(Expected::Match, Expected::Match), (Expected::Absent, Expected::Absent)]);
}

#[test]
fn mistakes_are_told_with_rule_line_and_nearest_name() {
    let body = RULES
        .replace("last_7d.conversions >= 10\"", "last_7d.converions >= 10\"")
        .replace("then = { alert", "then = { alret");
    let told = told(&body);
    assert_eq!(
        told,
        [
            "rule.cut what is dear (line 2): when: line 8, character 1: last_7d.converions is no name; did you mean last_7d.conversions?",
            "rule.tell (line 23): then.alret: unknown name; did you mean \"alert\"?; known are scale_bid, set_bid, scale_budget, set_budget, pause, alert",
        ]
    );
}

#[test]
fn every_part_of_a_rule_is_checked() {
    let rule = |rest: &str| format!("[[rule]]\nname = 'x'\n{rest}");
    let whole = "when = 'hour > 1'\nthen = { pause = '1h' }\n";
    assert!(check(&rule(whole)).is_ok());
    for (rest, word) in [
        ("then = { pause = '1h' }", "when: needs a condition"),
        ("when = 'hour > 1'", "then: needs exactly one"),
        ("when = 'hour'\nthen = { pause = 'day' }", "compare it with something"),
        ("when = 'hour > 1'\nthen = { scale_bid = 1 }", "a factor from 0.1 to 10"),
        ("when = 'hour > 1'\nthen = { set_bid = -1 }", "an amount above 0"),
        ("when = 'hour > 1'\nthen = { pause = '8d' }", "\"15m\" to \"7d\""),
        ("when = 'hour > 1'\nthen = { pause = '1h', alert = 'info' }", "exactly one"),
        ("when = 'hour > 1'\nthen = { alert = 'info' }\nmode = 'auto'", "an alert changes nothing"),
        (&format!("{whole}mode = 'on'"), "observe, approve or auto"),
        (&format!("{whole}cool_down = '1m'"), "\"5m\" to \"35d\""),
        (&format!("{whole}min_data = {{ clicks = 1.5 }}"), "min_data.clicks"),
        (&format!("{whole}min_data = {{ window = 'last_2h' }}"), "last_1h, last_24h"),
        (&format!("{whole}match = {{ chanel = 'x' }}"), "did you mean \"channel\""),
        (&format!("{whole}prioritty = 1"), "did you mean \"priority\""),
        (&format!("{whole}[[rule.test]]\ngiven = {{ hour = 'x' }}\nexpect = 'match'"), "must be a whole number"),
        (&format!("{whole}[[rule.test]]\nexpect = 'yes'"), "match, no_match or absent"),
        (&format!("{whole}[[rule]]\nname = 'x'\n{whole}"), "stands above"),
    ] {
        let told = told(&rule(rest));
        assert!(told.iter().any(|line| line.contains(word)), "{rest}: {told:?}");
    }
}

#[test]
fn at_most_one_rule_speaks_for_a_target_by_priority_then_name() {
    let rule = |name: &str, priority: i64, then: &str| {
        format!("[[rule]]\nname = '{name}'\npriority = {priority}\nwhen = 'hour >= 0'\nthen = {{ {then} }}\n")
    };
    let body = [
        rule("b", 1, "scale_bid = 0.9"),
        rule("a", 1, "set_bid = 2"),
        rule("c", 0, "scale_bid = 2"),
        rule("d", 0, "pause = 'day'"),
        rule("e", 9, "alert = 'info'"),
        rule("f", 8, "alert = 'info'"),
    ]
    .concat();
    let policy = check(&body).unwrap();
    let names = |mut rules: Vec<&Rule>| {
        rules.reverse();
        let settled = settle(rules).into_iter();
        settled
            .map(|(won, lost)| (won.name.clone(), lost.iter().map(|rule| rule.name.as_str()).collect::<String>()))
            .collect::<Vec<_>>()
    };
    let settled = names(policy.rules.iter().collect());
    let expected = [("d", ""), ("a", "bc"), ("e", ""), ("f", "")].map(|(won, lost)| (won.to_owned(), lost.to_owned()));
    assert_eq!(settled, expected);
}

#[test]
fn every_name_of_a_rule_has_a_kind_and_a_value_somewhere() {
    let labels = BTreeMap::new();
    let full = Situation {
        platform: Some("meta"),
        target_cpa_micros: Some(1),
        target_roas_ppm: Some(1),
        bid_min_micros: Some(1),
        bid_max_micros: Some(1),
        budget_day_micros: Some(100),
        exposed_micros: 10,
        plan_share: Some(0.5),
        goal_chance: Some(0.5),
        flight_end_ms: Some(1),
        ..situation(&labels)
    };
    for name in all_names() {
        assert!(kind_of(&name).is_some() && rules::Facts::value(&full, &name).is_some(), "{name}");
    }
}

proptest! {
    #[test]
    fn any_condition_is_a_rule_or_a_mistake(when in "[a-z0-9_.()<>=&|!?:'\" +*/\\[\\]-]{0,40}", then in "[a-z_]{1,12}", value in any::<f64>()) {
        let when = when.replace("'''", "");
        let _ = check(&format!("[[rule]]\nname = 'x'\nwhen = '''{when}'''\nthen = {{ {then} = {value:?} }}\n"));
    }
}
