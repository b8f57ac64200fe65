//! The read endpoints.

use super::*;
use crate::published::RuleView;
use model::output::{Alert, KpiRow, ModelCredit};
use policy::rule::Law;
use std::time::Instant;

#[test]
fn the_list_is_filtered_sorted_and_paged() {
    let api = Api::new();
    for n in 0..5 {
        api.published().put_campaign(campaign("acme", &format!("c{n}"), 10 - n), 0);
    }
    api.published().put_campaign(campaign("other", "c0", 99), 0);
    let ids = |answer: &Value| -> Vec<String> {
        let id = |c: &Value| format!("{}/{}", c["account_id"].as_str().unwrap(), c["campaign_id"].as_str().unwrap());
        answer["campaigns"].as_array().unwrap().iter().map(id).collect()
    };
    let first = api.document("/campaigns?account=acme&sort=spend&order=desc&limit=3");
    assert_eq!((ids(&first), &first["total"]), (vec!["acme/c0".into(), "acme/c1".into(), "acme/c2".into()], &5.into()));
    let cursor = first["next"].as_str().unwrap();
    let second = api.document(&format!("/campaigns?account=acme&sort=spend&order=desc&limit=3&cursor={cursor}"));
    assert_eq!((ids(&second), &second["next"]), (vec!["acme/c3".into(), "acme/c4".into()], &Value::Null));
    assert_eq!(ids(&api.document("/campaigns?q=OTHER")), ["other/c0"]);
    assert_eq!(api.document("/campaigns?pace=ahead")["total"], 0);
}

#[test]
fn ten_thousand_campaigns_are_a_quick_page() {
    let api = Api::new();
    for n in 0..10_000 {
        api.published().put_campaign(campaign("acme", &format!("c{n}"), n), 0);
    }
    let started = Instant::now();
    let answer = api.document("/campaigns?sort=share&order=desc&q=name&limit=50");
    assert_eq!((answer["total"].as_i64(), answer["campaigns"].as_array().unwrap().len()), (Some(10_000), 50));
    assert!(started.elapsed().as_millis() < 1_000, "{:?}", started.elapsed());
}

#[test]
fn who_was_not_seen_in_the_last_pass_is_gone() {
    let api = Api::new();
    api.published().put_campaign(campaign("acme", "c1", 1), 0);
    api.published().put_campaign(campaign("acme", "c2", 1), 0);
    api.published().end_pass(3, 7);
    api.published().put_campaign(campaign("acme", "c2", 1), 0);
    api.published().end_pass(3, 7);
    assert_eq!(api.document("/campaigns")["total"], 1);
    assert_eq!(api.get("/campaigns/acme/c1").0, 404);
}

#[test]
fn a_campaign_shows_its_commands_alerts_and_who_held_it() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 5);
    entry.view.pause_holders = vec!["daily_cap".into()];
    api.published().put_campaign(entry, 0);
    let pause = Adjustment { holder: Some("runaway".into()), ..command("p1", "pause", "issued", 10) };
    api.published().put_adjustment(&pause);
    api.published().put_adjustment(&command("r1", "resume", "issued", 20));
    api.published().put_adjustment(&Adjustment { campaign_id: "other".into(), ..command("x", "pause", "issued", 30) });
    api.published().put_alert(&Alert { alert_id: "all".into(), scope: "global".into(), ..Alert::default() });
    let other = Alert { alert_id: "o".into(), campaign_id: Some("other".into()), ..Alert::default() };
    api.published().put_alert(&other);
    let document = api.document("/campaigns/acme/c1");
    assert_eq!(document["commands"].as_array().unwrap().len(), 2);
    assert_eq!(document["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(document["last_command"]["command_id"], "r1");
    let holders = document["holders"].as_array().unwrap();
    assert_eq!(
        (&holders[0]["holder"], &holders[0]["since_reason"]),
        (&"daily_cap".into(), &"no_command_in_memory".into())
    );
    assert_eq!(
        (&holders[1]["holder"], &holders[1]["since"], &holders[1]["until"]),
        (&"runaway".into(), &10.into(), &20.into())
    );
}

#[test]
fn a_series_joins_what_was_counted_with_what_will_have_come() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 5);
    entry.spec.attribution_model = "last".into();
    let row = |start: i64, basis: &str| KpiRow {
        account_id: "acme".into(),
        campaign_id: "c1".into(),
        granularity: "hour".into(),
        window_start: start,
        basis: basis.into(),
        conversions: 3,
        ..KpiRow::default()
    };
    entry.open = vec![row(7_200_000, "conversion_time")];
    api.published().put_campaign(entry, 0);
    api.published().put_row(&row(0, "conversion_time"));
    let credit = ModelCredit { model: "last".into(), conversions_micro: 2_000_000, value_micros: 0 };
    api.published().put_row(&KpiRow { matured_ppm: Some(500_000), attributed: vec![credit], ..row(0, "touch_time") });
    let series = api.document("/campaigns/acme/c1/series?window=hour");
    let points = series["points"].as_array().unwrap();
    assert_eq!((points.len(), &points[0]["open"], &points[1]["open"]), (2, &false.into(), &true.into()));
    assert_eq!((&points[0]["conversions"], &points[0]["conversions_corrected_micro"]), (&3.into(), &4_000_000.into()));
    assert_eq!(points[1]["conversions_corrected_reason"], "no_credits");
    assert_eq!(api.document("/campaigns/acme/c1/series?from=3600000")["points"].as_array().unwrap().len(), 1);
    assert_eq!(
        api.document("/campaigns/acme/c1/series?window=day")["points_reason"],
        "no_window_has_closed_since_this_process_started"
    );
}

#[test]
fn history_is_asked_by_its_ends_and_answers_the_last_revision_of_each_window() {
    const HOUR: i64 = 3_600_000;
    let api = Api::new();
    api.published().put_campaign(campaign("acme", "c1", 5), 0);
    let row = |hour: i64, revision, clicks| KpiRow {
        account_id: "acme".into(),
        campaign_id: "c1".into(),
        granularity: "hour".into(),
        basis: "conversion_time".into(),
        window_start: hour * HOUR,
        revision,
        clicks,
        ..KpiRow::default()
    };
    // As read again after a start: newest first, with revisions in any order, and more than a week of it.
    for hour in (0..200).rev() {
        api.published().put_row(&row(hour, 2, 20 + hour));
        api.published().put_row(&row(hour, 1, 7));
    }
    let path = "/kpis?account_id=acme&campaign_id=c1&granularity=hour&basis=conversion_time";
    let rows = |query: &str| api.document(&format!("{path}{query}"))["rows"].as_array().unwrap().clone();
    assert_eq!(rows("").len(), 200);
    let some = rows(&format!("&from={}&to={}", 10 * HOUR, 12 * HOUR));
    let clicks: Vec<i64> = some.iter().map(|row| row["clicks"].as_i64().unwrap()).collect();
    assert_eq!(clicks, [30, 31], "from its first instant to before its last, oldest first");
    assert!(rows(&format!("&from={}", 200 * HOUR)).is_empty());
    assert!(rows("&to=0").is_empty(), "an end before all is an empty answer, not a mistake");
    assert!(rows(&format!("&from={}&to=0", 5 * HOUR)).is_empty());
    let series = api.document(&format!("/campaigns/acme/c1/series?from={}&to={}", 190 * HOUR, 195 * HOUR));
    assert_eq!((series["points"].as_array().unwrap().len(), &series["points"][0]["revision"]), (5, &2.into()));
    for wrong in ["from=x", "from=1e99", "limit=3"] {
        assert_eq!(api.get(&format!("/kpis?{wrong}")).0, 400, "{wrong}");
    }
}

#[test]
fn a_rule_says_on_the_campaign_s_page_what_it_asks_and_what_came_of_it() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 5);
    let said = |rule: &str, word| RuleView { rule: rule.into(), word, detail: "last_7d.cpa 30".into(), action: None };
    entry.view.rules = vec![said("dear", "cooling_down"), said("gone", "no_match")];
    entry.laws = [Law {
        rule: "dear".into(),
        when: "last_7d.cpa > 25".into(),
        then: "scale_bid 0.9".into(),
        mode: "approve",
        cool_down_ms: 86_400_000,
    }]
    .into();
    api.published().put_campaign(entry, 0);
    let rules = api.document("/campaigns/acme/c1")["rules"].clone();
    assert_eq!((&rules[0]["when"], &rules[0]["matched"]), (&"last_7d.cpa > 25".into(), &true.into()));
    assert_eq!((&rules[0]["then"], &rules[0]["word"]), (&"scale_bid 0.9".into(), &"cooling_down".into()));
    assert_eq!(
        (&rules[1]["when"], &rules[1]["matched"]),
        (&Value::Null, &false.into()),
        "a newer policy has it no more"
    );
}

#[test]
fn a_table_s_way_back_is_shown_as_a_whole() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 5);
    let mut undo = undoable("t", "set_modifier_table", None);
    undo.lever = controller::Lever::Bid;
    undo.tables = (vec![1_200_000; 24], vec![1_000_000; 24]);
    entry.undos = vec![undo];
    api.published().put_campaign(entry, 0);
    api.published().put_adjustment(&command("t", "set_modifier_table", "issued", 1));
    let shown = api.document("/adjustments/t/undo");
    assert_eq!((&shown["possible"], &shown["kind"]), (&true.into(), &"set_modifier_table".into()));
    assert_eq!((&shown["from_table_ppm"][23], &shown["to_table_ppm"][0]), (&1_200_000.into(), &1_000_000.into()));
    assert_eq!((&shown["to_micros"], &shown["left_alone_hours"]), (&Value::Null, &24.into()));
    assert_eq!(api.post("/adjustments/t/undo", &serde_json::json!({ "reason": "a strange evening" })).0, 202);
}

#[test]
fn the_overview_sums_money_within_a_currency_only() {
    let api = Api::new();
    api.published().put_campaign(campaign("acme", "c1", 3), 0);
    let mut dollars = campaign("acme", "c2", 4);
    dollars.view.currency = "USD".into();
    dollars.view.budget_day_micros = None;
    api.published().put_campaign(dollars, 0);
    api.published().put_proposal(&command("p", "set_bid", "proposed", 1));
    let overview = api.document("/overview");
    let currencies = overview["currencies"].as_array().unwrap();
    assert_eq!((&currencies[0]["spend_day_micros"], &currencies[1]["spend_day_micros"]), (&3.into(), &4.into()));
    assert_eq!(
        (&currencies[1]["budget_day_micros"], &currencies[1]["budget_day_reason"]),
        (&Value::Null, &"no_budget".into())
    );
    assert_eq!((&overview["proposals_pending"], &overview["campaigns_by_pace"]["on_plan"]), (&1.into(), &2.into()));
    assert_eq!(overview["health"]["reasons"][0], "starting");
}

#[test]
fn proposals_that_wait_are_listed_and_an_explanation_names_its_other_half() {
    let api = Api::new();
    api.published().put_proposal(&command("p1", "set_bid", "proposed", 1));
    api.published().put_proposal(&command("p2", "set_bid", "approved", 1));
    let issued = Adjustment { reason: "person".into(), ..command("k2", "set_bid", "issued", 2) };
    api.published().put_adjustment(&issued);
    api.published().put_campaign(campaign("acme", "c1", 1), 0);
    assert_eq!(api.document("/proposals")["campaigns"]["acme/c1"]["name"], "Name of c1");
    assert_eq!(api.document("/adjustments")["campaigns"]["acme/c1"]["name"], "Name of c1");
    assert_eq!(api.document("/proposals")["total"], 1);
    assert_eq!(api.document("/proposals?state=all")["total"], 2);
    assert_eq!(api.document("/proposals/p2")["state"], "approved");
    assert_eq!(api.document("/explanations/p2")["issued_as"], "k2");
    assert_eq!(api.document("/explanations/k2")["approved_from"], "p2");
    assert_eq!(api.get("/explanations/zzz").0, 404);
}

#[test]
fn mistakes_are_problems() {
    let api = Api::new();
    for (path, status) in [
        ("/campaigns?limit=0", 400),
        ("/campaigns?limit=-1", 400),
        ("/campaigns?sort=beauty", 400),
        ("/campaigns?colour=red", 400),
        ("/campaigns?cursor=x", 400),
        ("/kpis?from=yesterday", 400),
        ("/stream?events=gossip", 400),
        ("/campaigns/nobody/nothing", 404),
        ("/nothing", 404),
    ] {
        let (found, problem) = api.get(path);
        assert_eq!((found, problem["status"].as_u64()), (status, Some(u64::from(status))), "{path}: {problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    let answer = api.send(request("DELETE", "/campaigns").body(Body::empty()).unwrap());
    assert_eq!(answer.headers()[header::ALLOW], "GET,HEAD");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
}

#[test]
fn the_way_back_of_one_value_s_factor_names_the_value() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 5);
    let mut undo = undoable("f", "set_modifier", None);
    undo.lever = controller::Lever::Bid;
    undo.tables = (vec![1_500_000], vec![1_000_000]);
    undo.dimension = Some(model::output::Dimension { name: "device".into(), value: "desktop".into() });
    entry.undos = vec![undo];
    api.published().put_campaign(entry, 0);
    api.published().put_adjustment(&command("f", "set_modifier", "issued", 1));
    let shown = api.document("/adjustments/f/undo");
    assert_eq!((&shown["possible"], &shown["dimension"]["value"]), (&true.into(), &"desktop".into()));
    assert_eq!((&shown["from_ppm"], &shown["to_ppm"]), (&1_500_000.into(), &1_000_000.into()));
    assert_eq!((&shown["from_table_ppm"], &shown["to_micros"]), (&Value::Null, &Value::Null));
}
