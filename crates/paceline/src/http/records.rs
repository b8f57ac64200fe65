//! Commands, proposals, alerts, halts, experiments and KPI rows, as they were published.

use super::Shared;
use super::paging::{Page, page};
use super::problem::{Asked, Problem};
use crate::commands::is_other_half;
use crate::published::KpiQuery;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use model::output::{Adjustment, Alert};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which records are wanted; each kind uses what it knows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandQuery {
    account: Option<String>,
    campaign: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl CommandQuery {
    fn matches(&self, command: &Adjustment) -> bool {
        is(&self.account, &command.account_id)
            && is(&self.campaign, &command.campaign_id)
            && is(&self.kind, &command.kind)
    }
}

/// Name and time zone of each campaign of a page, by `ACCOUNT/CAMPAIGN`: records carry ids alone.
fn named<'a>(shared: &Shared, ids: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, Value> {
    let mut campaigns = BTreeMap::new();
    for (account, campaign) in ids {
        let key = format!("{account}/{campaign}");
        if let (false, Some(entry)) = (campaigns.contains_key(&key), shared.published.entry(account, campaign)) {
            campaigns.insert(key, json!({ "name": entry.view.name, "time_zone": entry.view.time_zone }));
        }
    }
    campaigns
}

fn is(wanted: &Option<String>, value: &str) -> bool {
    wanted.as_deref().is_none_or(|wanted| wanted == value)
}

/// `GET /adjustments`
pub async fn adjustments(State(shared): State<Shared>, Asked(query): Asked<CommandQuery>) -> Result<Response, Problem> {
    if query.state.is_some() {
        return Err(Problem::bad("state: every command of this list is issued; see /api/v1/proposals"));
    }
    let mut found = shared.published.adjustments();
    found.retain(|command| query.matches(command));
    let Page { items, total, next } = page(found, query.limit, query.cursor.as_deref())?;
    let campaigns = named(&shared, items.iter().map(|one| (one.account_id.as_str(), one.campaign_id.as_str())));
    Ok(axum::Json(json!({ "adjustments": items, "total": total, "next": next, "campaigns": campaigns }))
        .into_response())
}

/// `GET /proposals`: those that wait, unless another state is asked for.
pub async fn proposals(State(shared): State<Shared>, Asked(query): Asked<CommandQuery>) -> Result<Response, Problem> {
    let state = query.state.as_deref().unwrap_or("proposed");
    let mut found = shared.published.proposals();
    found.retain(|proposal| query.matches(proposal) && (state == "all" || proposal.state == state));
    let Page { items, total, next } = page(found, query.limit, query.cursor.as_deref())?;
    let campaigns = named(&shared, items.iter().map(|one| (one.account_id.as_str(), one.campaign_id.as_str())));
    Ok(axum::Json(json!({ "proposals": items, "total": total, "next": next, "campaigns": campaigns })).into_response())
}

/// `GET /proposals/{id}`
pub async fn proposal(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let found = shared.published.proposals().into_iter().find(|proposal| proposal.command_id == id);
    let found = found.ok_or_else(|| Problem::unknown(format!("no proposal {id} is held in memory")))?;
    Ok(axum::Json(json!(found)).into_response())
}

/// `GET /explanations/{command_id}`: a command or proposal in full, and its other half once a person approved.
pub async fn explanation(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let mut all: Vec<Arc<Adjustment>> = shared.published.adjustments();
    all.extend(shared.published.proposals());
    let found = all.iter().find(|command| command.command_id == id).ok_or_else(|| {
        Problem::unknown(format!("no command {id} is held in memory; `paceline why {id}` reads the topics"))
    })?;
    let other = all.iter().find(|other| is_other_half(found, other));
    let other_in = |state: &str| other.filter(|other| other.state == state).map(|other| &other.command_id);
    Ok(axum::Json(json!({
        "command": found, "issued_as": other_in("issued"), "approved_from": other_in("approved"),
    }))
    .into_response())
}

/// Which alerts are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertQuery {
    severity: Option<String>,
    state: Option<String>,
    kind: Option<String>,
    account: Option<String>,
    campaign: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl AlertQuery {
    fn matches(&self, alert: &Alert) -> bool {
        let of = |id: &Option<String>| id.clone().unwrap_or_default();
        let state = match self.state.as_deref() {
            Some("open") => alert.state != "resolved",
            _ => is(&self.state, &alert.state),
        };
        state
            && is(&self.severity, &alert.severity)
            && is(&self.kind, &alert.kind)
            && is(&self.account, &of(&alert.account_id))
            && is(&self.campaign, &of(&alert.campaign_id))
    }
}

/// `GET /alerts`
pub async fn alerts(State(shared): State<Shared>, Asked(query): Asked<AlertQuery>) -> Result<Response, Problem> {
    let mut found = shared.published.alerts();
    found.retain(|alert| query.matches(alert));
    let Page { items, total, next } = page(found, query.limit, query.cursor.as_deref())?;
    let campaigns =
        named(&shared, items.iter().filter_map(|one| one.account_id.as_deref().zip(one.campaign_id.as_deref())));
    Ok(axum::Json(json!({ "alerts": items, "total": total, "next": next, "campaigns": campaigns })).into_response())
}

/// `GET /halts`
pub async fn halts(State(shared): State<Shared>) -> Response {
    axum::Json(json!({ "halts": shared.published.halts() })).into_response()
}

/// `GET /experiments`
pub async fn experiments(State(shared): State<Shared>) -> Response {
    axum::Json(json!({ "experiments": shared.published.experiments() })).into_response()
}

/// `GET /kpis`
pub async fn kpis(State(shared): State<Shared>, Asked(query): Asked<KpiQuery>) -> Response {
    let (rows, more) = shared.published.kpis(&query);
    axum::Json(json!({ "rows": rows, "truncated": more })).into_response()
}
