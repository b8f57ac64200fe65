//! The API as a client sees it, over views in memory: no broker, no socket.

mod reading;

use super::{Shared, endpoints};
use crate::clock::Clock;
use crate::published::{CampaignEntry, CampaignView, Published};
use crate::settings::Settings;
use crate::telemetry::Metrics;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use model::output::Adjustment;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tower::ServiceExt;

/// The routes of the API with views that a test fills.
struct Api {
    shared: Shared,
    routes: Router,
}

impl Api {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With settings as the environment gives them.
    fn with(environment: &[(&str, &str)]) -> Self {
        let environment: BTreeMap<String, String> =
            environment.iter().map(|(name, value)| (format!("PACELINE__{name}"), (*value).to_owned())).collect();
        let (settings, _) = Settings::load_with(&[], &environment).expect("settings of a test are right");
        let shared = Shared {
            metrics: Arc::new(Metrics::new()),
            published: Arc::new(Published::default()),
            clock: Clock::System,
            build: Arc::from("test"),
            streams: super::Streams::default(),
        };
        let routes = endpoints(&settings, shared.clone()).remove(0).routes;
        Self { shared, routes }
    }

    fn published(&self) -> &Published {
        &self.shared.published
    }

    fn send(&self, request: Request<Body>) -> Response<Body> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.routes.clone().oneshot(request)).unwrap()
    }

    /// Status and document of `GET /api/v1…`.
    fn get(&self, path: &str) -> (u16, Value) {
        read(self.send(request("GET", path).body(Body::empty()).unwrap()))
    }

    /// The document of a path that must answer.
    fn document(&self, path: &str) -> Value {
        let (status, document) = self.get(path);
        assert_eq!(status, 200, "GET {path}: {document}");
        document
    }
}

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(format!("/api/v1{path}")).header(header::HOST, "localhost:8080")
}

fn read(response: Response<Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(to_bytes(response.into_body(), usize::MAX)).unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn campaign(account: &str, id: &str, spend: i64) -> CampaignEntry {
    let view = CampaignView {
        account_id: account.into(),
        campaign_id: id.into(),
        name: format!("Name of {id}"),
        currency: "EUR".into(),
        mode: "auto".into(),
        status: "active".into(),
        pace: "on_plan".into(),
        spend_day_micros: spend,
        budget_day_micros: Some(100_000_000),
        ..CampaignView::default()
    };
    CampaignEntry { view, ..CampaignEntry::default() }
}

fn command(id: &str, kind: &str, state: &str, at: i64) -> Adjustment {
    Adjustment {
        command_id: id.into(),
        account_id: "acme".into(),
        campaign_id: "c1".into(),
        kind: kind.into(),
        state: state.into(),
        issued_at: at,
        ..Adjustment::default()
    }
}
