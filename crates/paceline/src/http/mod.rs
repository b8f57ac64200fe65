//! What the process shows over HTTP: metrics, health that tells the truth, read-only views, the first page.
//!
//! Views are snapshots published by the workers; a request never touches a worker's state. Missing on purpose: writing,
//! roles and streams.

mod page;
mod server;

pub use server::{Endpoint, serve};

use crate::published::{KpiQuery, Published};
use crate::settings::Settings;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::sync::Arc;

/// What handlers need.
#[derive(Clone)]
pub struct Shared {
    /// Metrics of this process.
    pub metrics: Arc<Metrics>,
    /// Views of the workers.
    pub published: Arc<Published>,
}

/// The two endpoints of the service.
pub fn endpoints(settings: &Settings, shared: Shared) -> Vec<Endpoint> {
    let health = Router::new().route("/health/live", get(live)).route("/health/ready", get(ready));
    let metrics = health.clone().route("/metrics", get(metrics)).with_state(shared.clone());
    let api = health
        .route("/", get(page::index))
        .route("/api/v1/campaigns", get(campaigns))
        .route("/api/v1/kpis", get(kpis))
        .route("/api/v1/adjustments", get(adjustments))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/proposals", get(proposals))
        .with_state(shared);
    vec![
        Endpoint { setting: "http.listen", address: settings.http_listen, routes: api },
        Endpoint { setting: "metrics.listen", address: settings.metrics_listen, routes: metrics },
    ]
}

async fn metrics(State(shared): State<Shared>) -> Response {
    shared.metrics.ready.set(i64::from(shared.published.health.ready().is_ok()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.text()).into_response()
}

/// The process runs and its workers' loops turn.
async fn live(State(shared): State<Shared>) -> Response {
    answer(shared.published.health.live())
}

/// The workers own their partitions, have caught up with their take-over, and can commit.
async fn ready(State(shared): State<Shared>) -> Response {
    answer(shared.published.health.ready())
}

fn answer(verdict: Result<(), Vec<String>>) -> Response {
    let (status, reasons) = match verdict {
        Ok(()) => (StatusCode::OK, Vec::new()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    };
    (status, axum::Json(json!({ "ok": reasons.is_empty(), "reasons": reasons }))).into_response()
}

async fn campaigns(State(shared): State<Shared>) -> Response {
    axum::Json(json!({ "campaigns": shared.published.campaigns() })).into_response()
}

async fn kpis(State(shared): State<Shared>, Query(query): Query<KpiQuery>) -> Response {
    let (rows, more) = shared.published.kpis(&query);
    axum::Json(json!({ "rows": rows, "truncated": more })).into_response()
}

async fn adjustments(State(shared): State<Shared>) -> Response {
    axum::Json(json!({ "adjustments": shared.published.adjustments() })).into_response()
}

async fn alerts(State(shared): State<Shared>) -> Response {
    axum::Json(json!({ "alerts": shared.published.alerts() })).into_response()
}

async fn proposals(State(shared): State<Shared>) -> Response {
    axum::Json(json!({ "proposals": shared.published.proposals() })).into_response()
}
