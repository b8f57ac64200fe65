//! What the process shows over HTTP: metrics, health that tells the truth, the API, the dashboard's page.
//!
//! Views are snapshots published by the workers; a request never touches a worker's state, and what a person decides
//! goes to the feedback topic as from the shell. `API.md` beside this file lists the endpoints.

mod access;
mod audit;
mod breakdown;
mod campaigns;
mod courier;
mod guard;
mod openapi;
mod overview;
mod page;
mod paging;
mod problem;
mod quality;
mod records;
mod server;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod undo;
mod write_limit;
mod writing;

pub use access::Access;
pub use server::{Endpoint, serve};
#[cfg(test)]
pub use tests::sockets::certificate as test_certificate;
pub use tls::acceptor;

use crate::clock::Clock;
use crate::failure::Outcome;
use crate::published::Published;
use crate::service::context::Context;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use audit::Audit;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use courier::Courier;
use serde_json::json;
use std::sync::Arc;
use stream::Streams;

/// A bulk decision of the largest size fits with ids of ours several times over.
const BODY_BYTES_MAX: usize = 64 * 1_024;

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
    access: Access,
    audit: Arc<Audit>,
    courier: Courier,
    streams: Streams,
}

impl Shared {
    /// At the end: waits for people's words that are still on their way; halts that cannot be sent go to their file.
    pub fn drain(&self) {
        self.courier.drain();
    }

    /// What the workers share, as far as handlers need it; starts the thread that brings people's words to the topic.
    pub fn of(context: &Context) -> Outcome<Self> {
        let audit = Arc::new(Audit::default());
        let courier = Courier::start(context, audit.clone())?;
        Ok(Self {
            metrics: context.metrics.clone(),
            published: context.published.clone(),
            clock: context.clock,
            build: context.build.clone(),
            access: Access::of(&context.settings.http, context.settings.http_listen),
            audit,
            courier,
            streams: Streams::default(),
        })
    }
}

/// The two endpoints of the service.
pub fn endpoints(settings: &Settings, shared: Shared) -> Outcome<Vec<Endpoint>> {
    let health = Router::new().route("/health/live", get(live)).route("/health/ready", get(ready));
    let metrics = health.clone().route("/metrics", get(metrics)).with_state(shared.clone());
    let mut api = health.merge(page::routes());
    for (path, _, methods) in routes() {
        api = api.route(&format!("/api/v1{path}"), methods);
    }
    let api = api
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared);
    let tls = settings.http.tls.as_ref().map(acceptor).transpose()?;
    Ok(vec![
        Endpoint { setting: "http.listen", address: settings.http_listen, tls, routes: api },
        Endpoint { setting: "metrics.listen", address: settings.metrics_listen, tls: None, routes: metrics },
    ])
}

type Route = (&'static str, &'static [&'static str], MethodRouter<Shared>);

/// Every path of the API below `/api/v1`, and its methods.
fn routes() -> Vec<Route> {
    const GET: &[&str] = &["get"];
    const POST: &[&str] = &["post"];
    vec![
        ("/overview", GET, get(overview::get)),
        ("/campaigns", GET, get(campaigns::list)),
        ("/campaigns/{account}/{campaign}", GET, get(campaigns::one)),
        ("/campaigns/{account}/{campaign}/series", GET, get(campaigns::series)),
        ("/campaigns/{account}/{campaign}/breakdown", GET, get(breakdown::by_dimension)),
        ("/campaigns/{account}/{campaign}/attribution", GET, get(breakdown::attribution)),
        ("/kpis", GET, get(records::kpis)),
        ("/adjustments", GET, get(records::adjustments)),
        ("/adjustments/{id}/undo", &["get", "post"], get(undo::preview).post(undo::undo)),
        ("/alerts", GET, get(records::alerts)),
        ("/proposals", GET, get(records::proposals)),
        ("/proposals/bulk", POST, post(writing::bulk)),
        ("/proposals/{id}", GET, get(records::proposal)),
        ("/proposals/{id}/approve", POST, post(writing::approve)),
        ("/proposals/{id}/reject", POST, post(writing::reject)),
        ("/halts", &["get", "post"], get(records::halts).post(writing::halt)),
        ("/halts/release", POST, post(writing::release)),
        ("/explanations/{command_id}", GET, get(records::explanation)),
        ("/data-quality", GET, get(quality::get)),
        ("/experiments", GET, get(records::experiments)),
        ("/dead-letters", GET, get(quality::letters)),
        ("/audit", GET, get(audit::list)),
        ("/session", &["get", "post", "delete"], get(session::get).post(session::login).delete(session::logout)),
        ("/stream", GET, get(stream::get)),
        ("/openapi.json", GET, get(openapi::get)),
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
