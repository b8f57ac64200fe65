//! The description and what is served are the same.

use super::*;
use model::output::{Alert, KpiRow};
use serde_json::json;
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::from_str(super::super::openapi::DOCUMENT).unwrap()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let served: BTreeSet<(String, String)> = super::super::routes()
        .into_iter()
        .flat_map(|(path, methods, _)| methods.iter().map(move |method| (path.to_owned(), (*method).to_owned())))
        .collect();
    let described: BTreeSet<(String, String)> = document()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())))
        .collect();
    assert_eq!(served, described);
    let api = Api::new();
    for (path, method) in served {
        let path =
            path.replace("{account}", "a").replace("{campaign}", "c").replace("{id}", "i").replace("{command_id}", "k");
        let answer = api.send(request(&method.to_uppercase(), &path).body(Body::empty()).unwrap());
        assert_ne!(answer.status(), 405, "{method} {path} is described and not served");
    }
}

#[test]
fn answers_have_the_fields_that_are_described() {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 5);
    entry.view.pause_holders = vec!["daily_cap".into()];
    let row =
        KpiRow { account_id: "acme".into(), campaign_id: "c1".into(), granularity: "hour".into(), ..KpiRow::default() };
    entry.open = vec![row];
    entry.holds = vec![controller::Hold { lever: "state", holder: "daily_cap", since: 1, until: None }];
    entry.undos = vec![undoable("k", "resume", None)];
    entry.by_dimension = breakdown::kept();
    api.published().put_campaign(entry.clone(), 0);
    api.published().letters.put(refused("ads.clicks", "too_old"));
    api.published().put_adjustment(&command("k", "pause", "issued", 1));
    api.published().put_proposal(&command("p", "set_bid", "proposed", 1));
    api.published().put_alert(&Alert { alert_id: "a".into(), ..Alert::default() });
    let experiment = controller::ExperimentNow {
        account_id: "acme".into(),
        id: "x".into(),
        metric: "clicks_per_budget",
        start_day: 20_514,
        days: 28,
        mature_days: 3,
        alpha: 0.05,
        verdict: "running",
        winner: None,
        decided_day: None,
        arms: vec![("a".into(), 0.5, 3, Some(1.0)), ("b".into(), 0.5, 0, None)],
        comparisons: vec![controller::Comparison { ln_e: 0.5, effect: Some([-0.1, 0.1, 0.3]) }],
        sample_ratio_ln_e: 0.0,
    };
    api.published().put_experiments(vec![experiment.into()]);
    assert_eq!(api.post("/halts", &json!({ "scope": "global", "reason": "x" })).0, 202);
    let document = document();
    for path in [
        "/overview",
        "/campaigns",
        "/campaigns/{account}/{campaign}",
        "/campaigns/{account}/{campaign}/series",
        "/campaigns/{account}/{campaign}/breakdown",
        "/campaigns/{account}/{campaign}/attribution",
        "/kpis",
        "/adjustments",
        "/adjustments/{id}/undo",
        "/dead-letters",
        "/alerts",
        "/proposals",
        "/explanations/{command_id}",
        "/halts",
        "/data-quality",
        "/experiments",
        "/audit",
        "/session",
    ] {
        let asked = path
            .replace("{account}", "acme")
            .replace("{campaign}", "c1")
            .replace("{command_id}", "k")
            .replace("{id}", "k");
        let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        conforms(&document, schema, &api.document(&asked), path);
    }
}

/// Required fields are there, and no field is there that is not described. The types are schemathesis' business.
fn conforms(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        return conforms(document, &document["components"]["schemas"][name], value, at);
    }
    if let (Some(schemas), false) = (schema["anyOf"].as_array(), value.is_null()) {
        return conforms(document, &schemas[0], value, at);
    }
    let is_nothing = value.is_null() && schema["type"].as_array().is_some_and(|types| types.contains(&"null".into()));
    for required in schema["required"].as_array().into_iter().flatten().filter(|_| !is_nothing) {
        assert!(value.get(required.as_str().unwrap()).is_some(), "{at}: {required} is missing");
    }
    if let (Some(fields), Some(described)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, field) in fields {
            match described.get(name) {
                Some(schema) => conforms(document, schema, field, &format!("{at}.{name}")),
                None => assert!(schema["additionalProperties"] != false, "{at}: {name} is not described"),
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(document, &schema["items"], item, &format!("{at}[]"));
    }
}
