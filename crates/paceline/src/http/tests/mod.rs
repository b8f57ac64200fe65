//! The API as a client sees it, over views in memory: no broker, no socket.

mod breakdown;
mod description;
mod doors;
mod reading;
pub mod sockets;
mod writing;

use super::access::Access;
use super::audit::Audit;
use super::courier::{Courier, Parcel};
use super::{Shared, endpoints};
use crate::clock::Clock;
use crate::published::{CampaignEntry, CampaignView, LetterView, Published};
use crate::settings::Settings;
use crate::telemetry::Metrics;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, header};
use model::output::Adjustment;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use tower::ServiceExt;

/// The routes of the API with views that a test fills.
struct Api {
    shared: Shared,
    routes: Router,
    parcels: Receiver<Parcel>,
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
        let (courier, parcels) = Courier::queue();
        let shared = Shared {
            metrics: Arc::new(Metrics::new()),
            published: Arc::new(Published::default()),
            clock: Clock::System,
            build: Arc::from("test"),
            access: Access::of(&settings.http, settings.http_listen),
            audit: Arc::new(Audit::default()),
            courier,
            streams: super::Streams::default(),
        };
        let routes = endpoints(&settings, shared.clone()).expect("no TLS in these tests").remove(0).routes;
        Self { shared, routes, parcels }
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

    /// Status and document of a call with a JSON body, as a program on this machine sends it.
    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.post_with(path, body, &[])
    }

    /// The same with further headers.
    fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = request("POST", path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(self.send(request.body(Body::from(body.to_string())).unwrap()))
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

fn undoable(id: &str, kind: &'static str, values: Option<(i64, i64)>) -> controller::Undo {
    controller::Undo {
        command_id: id.into(),
        issued_at: 1,
        lever: if values.is_some() { controller::Lever::Bid } else { controller::Lever::State },
        kind,
        from_micros: values.map(|(from, _)| from),
        to_micros: values.map(|(_, to)| to),
        tables: Default::default(),
        dimension: None,
    }
}

fn refused(topic: &str, reason: &str) -> LetterView {
    LetterView {
        refused_at: 5,
        topic: topic.into(),
        partition: 0,
        offset: 1,
        timestamp: 4,
        reason: reason.into(),
        detail: String::new(),
        bytes: 9,
        sample: serde_json::json!({ "user_key": "***" }),
    }
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
