//! What the process shows over HTTP: metrics, health that tells the truth, the API, the dashboard's page.
//!
//! Views are snapshots published by the workers; a request never touches a worker's state, and what a person decides
//! goes to the feedback topic as from the shell. `API.md` beside this file lists the endpoints.

mod campaigns;
mod overview;
mod page;
mod paging;
mod problem;
mod quality;
mod records;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub use server::{Endpoint, serve};

use crate::clock::Clock;
use crate::published::Published;
use crate::service::context::Context;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde_json::json;
use std::sync::Arc;
use stream::Streams;

/// What handlers need.
#[derive(Clone)]
pub struct Shared {
    /// Metrics of this process.
    pub metrics: Arc<Metrics>,
    /// Views of the workers.
    pub published: Arc<Published>,
    /// The only clock.
    pub clock: Clock,
    /// `version+revision` of this build.
    pub build: Arc<str>,
    streams: Streams,
}

impl Shared {
    /// What the workers share, as far as handlers need it.
    pub fn of(context: &Context) -> Self {
        Self {
            metrics: context.metrics.clone(),
            published: context.published.clone(),
            clock: context.clock,
            build: context.build.clone(),
            streams: Streams::default(),
        }
    }
}

/// The two endpoints of the service.
pub fn endpoints(settings: &Settings, shared: Shared) -> Vec<Endpoint> {
    let health = Router::new().route("/health/live", get(live)).route("/health/ready", get(ready));
    let metrics = health.clone().route("/metrics", get(metrics)).with_state(shared.clone());
    let mut api = health.merge(page::routes());
    for (path, methods) in routes() {
        api = api.route(&format!("/api/v1{path}"), methods);
    }
    let api = api
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(shared);
    vec![
        Endpoint { setting: "http.listen", address: settings.http_listen, routes: api },
        Endpoint { setting: "metrics.listen", address: settings.metrics_listen, routes: metrics },
    ]
}

/// Every path of the API below `/api/v1`.
fn routes() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/overview", get(overview::get)),
        ("/campaigns", get(campaigns::list)),
        ("/campaigns/{account}/{campaign}", get(campaigns::one)),
        ("/campaigns/{account}/{campaign}/series", get(campaigns::series)),
        ("/kpis", get(records::kpis)),
        ("/adjustments", get(records::adjustments)),
        ("/alerts", get(records::alerts)),
        ("/proposals", get(records::proposals)),
        ("/proposals/{id}", get(records::proposal)),
        ("/halts", get(records::halts)),
        ("/explanations/{command_id}", get(records::explanation)),
        ("/data-quality", get(quality::get)),
        ("/stream", get(stream::get)),
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
