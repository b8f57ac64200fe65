//! Breakdowns by dimension, and the attribution models side by side.

use super::*;
use controller::{Breakdown, ByDimension, DimensionSums, Part, Paths};
use std::sync::Arc;

const TODAY: i32 = 20_000;

/// Two devices today, one of them eight days ago, and a conversion.
pub fn kept() -> ByDimension {
    let mut breakdown = Breakdown::default();
    let sums = |impressions, clicks, spend_micros, credited: i64| DimensionSums {
        impressions,
        clicks,
        spend_micros,
        conversions: credited,
        credited_micro: credited * 1_000_000,
        credited_value_micros: credited * 50_000_000,
        touched_micro: credited * 1_000_000,
        ..DimensionSums::default()
    };
    let part = |value, sums| Part { dimension: 0, value, sums };
    breakdown.add((TODAY - 8) * 1_440, TODAY - 8, &[part("tv", sums(9, 0, 1_000_000, 0))]);
    let today = [part("mobile", sums(1_000, 10, 30_000_000, 2)), part("tv", sums(0, 0, 10_000_000, 0))];
    breakdown.add(TODAY * 1_440, TODAY, &today);
    for model in 0..5 {
        breakdown.add_credit(TODAY * 1_440, TODAY, model, [2_000_000 - 250_000 * model as i64, 100_000_000]);
    }
    let mut paths = Paths::default();
    paths.add("purchase", ("", "c1"), 0, 3);
    paths.add("purchase", ("c1", ""), 0, 3);
    paths.add("purchase", ("", ""), 2, 3);
    paths.add("add_to_cart", ("", "c1"), 0, 9);
    ByDimension { today: TODAY, breakdown: Some(Arc::new(breakdown)), paths: Some(Arc::new(paths)) }
}

fn api() -> Api {
    let api = Api::new();
    let mut entry = campaign("acme", "c1", 5);
    entry.spec.micro_conversion_types = vec!["add_to_cart".into()];
    entry.by_dimension = kept();
    api.published().put_campaign(entry, 0);
    api.published().put_campaign(campaign("acme", "empty", 0), 0);
    api
}

#[test]
fn values_stand_by_spend_add_up_and_what_cannot_be_divided_says_why() {
    let api = api();
    let answer = api.document("/campaigns/acme/c1/breakdown?dimension=device&window=today");
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!((&rows[0]["value"], &rows[1]["value"], rows.len()), (&"mobile".into(), &"tv".into(), 2));
    assert_eq!((&rows[0]["cpa_micros"], &rows[0]["spend_share_ppm"]), (&15_000_000.into(), &750_000.into()));
    assert_eq!((&rows[0]["cvr_ppm"], &rows[0]["roas_ppm"]), (&200_000.into(), &3_333_333.into()));
    assert_eq!((&rows[1]["cpa_micros"], &rows[1]["cpa_reason"]), (&Value::Null, &"no_conversions".into()));
    assert_eq!((&rows[1]["ctr_ppm"], &rows[1]["ctr_reason"]), (&Value::Null, &"no_impressions".into()));
    assert_eq!((&answer["total"]["spend_micros"], &answer["total"]["clicks"]), (&40_000_000.into(), &10.into()));
    let month = api.document("/campaigns/acme/c1/breakdown?window=28d");
    assert_eq!(month["total"]["spend_micros"], 41_000_000);
    assert_eq!(api.document("/campaigns/acme/c1/breakdown?dimension=geo")["rows_reason"], "no_events_in_the_window");
}

#[test]
fn models_stand_side_by_side_with_what_each_would_have_cost() {
    let api = api();
    let answer = api.document("/campaigns/acme/c1/attribution?window=today");
    let models = answer["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["last", "first", "linear", "position", "time_decay"]);
    assert_eq!((&models[0]["cpa_micros"], &models[0]["in_force"]), (&20_000_000.into(), &true.into()));
    assert_eq!(models[4]["cpa_micros"], 40_000_000);
    let paths = answer["paths"].as_array().unwrap();
    assert_eq!((paths.len(), &paths[0]["conversion_type"]), (1, &"purchase".into()), "micro conversions are no goal");
    assert_eq!(
        (&paths[0]["removal_effect_ppm"], &paths[0]["lengths_micro"][1]),
        (&1_000_000.into(), &3_000_000.into())
    );
    assert_eq!(paths[0]["steps"].as_array().unwrap().len(), 2);
    let empty = api.document("/campaigns/acme/empty/attribution");
    assert_eq!(empty["models_reason"], "no_conversion_was_credited_in_the_window");
    assert_eq!(
        (&empty["models"][0]["cpa_micros"], &empty["models"][0]["cpa_reason"]),
        (&Value::Null, &"no_conversions".into())
    );
}

#[test]
fn unknown_campaigns_dimensions_and_windows_are_refused() {
    let api = api();
    for (path, status) in [
        ("/campaigns/acme/none/breakdown", 404),
        ("/campaigns/acme/none/attribution", 404),
        ("/campaigns/acme/c1/breakdown?dimension=weather", 400),
        ("/campaigns/acme/c1/breakdown?window=year", 400),
        ("/campaigns/acme/c1/attribution?dimension=geo", 400),
    ] {
        assert_eq!(api.get(path).0, status, "{path}");
    }
}
