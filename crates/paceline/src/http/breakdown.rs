//! A campaign by the values of one dimension, and its attribution models side by side.
//!
//! What always holds: sums are those of events, before corrections; a ratio that has nothing to divide by is null, with
//! the word that says why; the rows of a dimension add up to `total`. Missing on purpose: clicks called invalid, since
//! corrections name no value of a dimension.

use super::Shared;
use super::campaigns::unknown;
use super::problem::{Asked, Problem};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use controller::{ByDimension, DimensionSums, OfType, is_goal};
use model::fact::CampaignSpec;
use model::marginal::{MINUTE_MODELS, dimension_named};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Steps between campaigns that an answer tells of.
const STEPS_SHOWN: usize = 20;

/// Which part of the four weeks is wanted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
enum Span {
    #[serde(rename = "today")]
    Today,
    #[default]
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "28d")]
    FourWeeks,
}

impl Span {
    /// The first local date, in days since 1970; today counts as one.
    fn from(self, today: i32) -> i32 {
        let days = match self {
            Span::Today => 1,
            Span::Week => 7,
            Span::FourWeeks => 28,
        };
        today.saturating_sub(days - 1)
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Dimension {
    #[default]
    Device,
    Geo,
    Placement,
    Creative,
    Channel,
}

impl Dimension {
    fn word(self) -> &'static str {
        match self {
            Dimension::Device => "device",
            Dimension::Geo => "geo",
            Dimension::Placement => "placement",
            Dimension::Creative => "creative",
            Dimension::Channel => "channel",
        }
    }
}

/// What is asked of a breakdown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakdownQuery {
    #[serde(default)]
    dimension: Dimension,
    #[serde(default)]
    window: Span,
}

/// What is asked of the models.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributionQuery {
    #[serde(default)]
    window: Span,
}

/// `GET /campaigns/{account}/{campaign}/breakdown`
pub async fn by_dimension(
    State(shared): State<Shared>,
    Path((account, campaign)): Path<(String, String)>,
    Asked(query): Asked<BreakdownQuery>,
) -> Result<Response, Problem> {
    let entry = shared.published.entry(&account, &campaign).ok_or_else(|| unknown(&account, &campaign))?;
    let ByDimension { today, breakdown, .. } = &entry.by_dimension;
    let number = dimension_named(query.dimension.word()).unwrap_or_default();
    let sums = breakdown.as_ref().map(|kept| kept.sums_since(number, query.window.from(*today))).unwrap_or_default();
    let mut total = DimensionSums::default();
    sums.values().for_each(|more| total.add(more));
    let mut rows: Vec<(&String, &DimensionSums)> = sums.iter().collect();
    rows.sort_by_key(|(value, sums)| (std::cmp::Reverse((sums.spend_micros, sums.impressions)), *value));
    let rows: Vec<Value> = rows.into_iter().map(|(value, sums)| row(Some(value), sums, &total)).collect();
    Ok(axum::Json(json!({
        "account_id": account, "campaign_id": campaign, "currency": entry.view.currency,
        "time_zone": entry.view.time_zone, "dimension": query.dimension, "window": query.window,
        "rows_reason": rows.is_empty().then_some("no_events_in_the_window"),
        "rows": rows, "total": row(None, &total, &total),
        "invalid_clicks": null, "invalid_clicks_reason": "corrections_name_no_dimension",
    }))
    .into_response())
}

/// One value, or all of them.
fn row(value: Option<&str>, sums: &DimensionSums, total: &DimensionSums) -> Value {
    let spend = sums.spend_micros;
    let ctr = ratio(sums.clicks, 1_000_000, sums.impressions);
    let cvr = ratio(sums.touched_micro, 1, sums.clicks);
    let cpc = ratio(spend, 1, sums.clicks);
    let cpa = ratio(spend, 1_000_000, sums.credited_micro);
    let roas = ratio(sums.credited_value_micros, 1_000_000, spend);
    let why = |ratio: Option<i64>, reason: &'static str| ratio.is_none().then_some(reason);
    let mut row = json!({
        "impressions": sums.impressions, "clicks": sums.clicks, "spend_micros": spend,
        "conversions": sums.conversions, "value_micros": sums.value_micros,
        "credited_conversions_micro": sums.credited_micro, "credited_value_micros": sums.credited_value_micros,
        "touched_conversions_micro": sums.touched_micro, "touched_value_micros": sums.touched_value_micros,
        "spend_share_ppm": ratio(spend, 1_000_000, total.spend_micros),
        "spend_share_reason": why(ratio(1, 1, total.spend_micros), "nothing_spent"),
        "ctr_ppm": ctr, "ctr_reason": why(ctr, "no_impressions"),
        "cvr_ppm": cvr, "cvr_reason": why(cvr, "no_clicks"),
        "cpc_micros": cpc, "cpc_reason": why(cpc, "no_clicks"),
        "cpa_micros": cpa, "cpa_reason": why(cpa, "no_conversions"),
        "roas_ppm": roas, "roas_reason": why(roas, "nothing_spent"),
    });
    if let Some(value) = value {
        row["value"] = json!(value);
    }
    row
}

/// `GET /campaigns/{account}/{campaign}/attribution`
pub async fn attribution(
    State(shared): State<Shared>,
    Path((account, campaign)): Path<(String, String)>,
    Asked(query): Asked<AttributionQuery>,
) -> Result<Response, Problem> {
    let entry = shared.published.entry(&account, &campaign).ok_or_else(|| unknown(&account, &campaign))?;
    let ByDimension { today, breakdown, paths } = &entry.by_dimension;
    let from = query.window.from(*today);
    let credits = breakdown.as_ref().map(|kept| kept.credits_since(from)).unwrap_or_default();
    let device = dimension_named("device").unwrap_or_default();
    let mut spent = DimensionSums::default();
    let by_device = breakdown.as_ref().map(|kept| kept.sums_since(device, from)).unwrap_or_default();
    by_device.values().for_each(|more| spent.add(more));
    let model = |(name, [conversions_micro, value_micros]): (&str, [i64; 2])| {
        let cpa = ratio(spent.spend_micros, 1_000_000, conversions_micro);
        let roas = ratio(value_micros, 1_000_000, spent.spend_micros);
        json!({
            "model": name, "conversions_micro": conversions_micro, "value_micros": value_micros,
            "in_force": name == model_in_force(&entry.spec),
            "cpa_micros": cpa, "cpa_reason": cpa.is_none().then_some("no_conversions"),
            "roas_ppm": roas, "roas_reason": roas.is_none().then_some("nothing_spent"),
        })
    };
    let models: Vec<Value> = MINUTE_MODELS.into_iter().zip(credits).map(model).collect();
    let types = paths.iter().flat_map(|paths| paths.types()).filter(|(kind, _)| is_goal(&entry.spec, kind));
    let paths: Vec<Value> = types.map(|(kind, of_type)| seen(kind, of_type, &campaign)).collect();
    Ok(axum::Json(json!({
        "account_id": account, "campaign_id": campaign, "currency": entry.view.currency,
        "time_zone": entry.view.time_zone, "window": query.window, "spend_micros": spent.spend_micros,
        "models": models,
        "models_reason": credits.iter().all(|of| *of == [0, 0]).then_some("no_conversion_was_credited_in_the_window"),
        "paths_reason": paths.is_empty().then_some("no_path_led_to_a_conversion"),
        "paths": paths,
    }))
    .into_response())
}

/// The model whose credits the campaign is steered by.
fn model_in_force(spec: &CampaignSpec) -> &'static str {
    if spec.attribution_model == "linear" { "linear" } else { "last" }
}

/// The account's converting paths to one type of conversion; weights halve in two weeks.
fn seen(kind: &str, of_type: &OfType, campaign: &str) -> Value {
    let effect = of_type.removal_effects().get(campaign).copied().filter(|effect| effect.is_finite());
    let steps = of_type.steps().into_iter().take(STEPS_SHOWN);
    let step = |(from, to, micro): (&str, &str, i64)| {
        json!({
            "from": (!from.is_empty()).then_some(from), "to": (!to.is_empty()).then_some(to), "paths_micro": micro,
        })
    };
    json!({
        "conversion_type": kind, "paths_micro": of_type.paths_micro(), "lengths_micro": of_type.lengths,
        "steps": steps.map(step).collect::<Vec<_>>(), "other_steps_micro": of_type.other_steps,
        "removal_effect_ppm": effect.map(|effect| (effect * 1e6) as i64),
        "removal_effect_reason": effect.is_none().then_some("no_path_with_this_campaign"),
    })
}

/// `numerator x scale / denominator` to the nearest; `None` where the denominator is not positive.
fn ratio(numerator: i64, scale: i64, denominator: i64) -> Option<i64> {
    if denominator <= 0 {
        return None;
    }
    let (numerator, denominator) = (i128::from(numerator) * i128::from(scale), i128::from(denominator));
    let rounded = (numerator * 2 + denominator).div_euclid(denominator * 2);
    Some(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
}
