//! One stream of server-sent events for everything that a page shows.
//!
//! What always holds: a slow reader costs a place and nothing else; it is told to read the lists again (`resync`).

use super::problem::{Asked, Problem};
use super::{Shared, overview};
use crate::published::Told;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Streams held open at once; each costs a connection.
const STREAMS_MAX: usize = 64;
/// Overview and health are compared this often and told when they changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Proxies close what is silent, most after 30 to 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const EVENTS: [&str; 8] = ["overview", "campaign", "adjustment", "alert", "proposal", "halt", "health", "resync"];

/// Places for streams.
#[derive(Clone)]
pub struct Streams(Arc<Semaphore>);

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

impl Streams {
    /// Streams open now.
    pub fn held(&self) -> usize {
        STREAMS_MAX.saturating_sub(self.0.available_permits())
    }
}

/// What a listener wants to hear.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// Kinds of events, separated by commas; all where absent.
    events: Option<String>,
    /// Only this campaign's, of events that concern a campaign.
    account: Option<String>,
    campaign: Option<String>,
}

struct Listener {
    shared: Shared,
    receiver: Receiver<Told>,
    wants: Option<BTreeSet<String>>,
    query: StreamQuery,
    look: Interval,
    /// The overview and health told last.
    last: [Value; 2],
    ready: VecDeque<Told>,
    _place: OwnedSemaphorePermit,
}

/// `GET /stream`
pub async fn get(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Asked(query): Asked<StreamQuery>,
) -> Result<Response, Problem> {
    let wants = wants(query.events.as_deref())?;
    let place = shared.streams.0.clone().try_acquire_owned().map_err(|_| {
        shared.metrics.http_refused.with_label_values(&["streams"]).inc();
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", "close another stream, or try later")
    })?;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let receiver = shared.published.hub.listen();
    let last = [Value::Null, Value::Null];
    let ready = VecDeque::new();
    let mut listener = Listener { shared, receiver, wants, query, look, last, ready, _place: place };
    if headers.contains_key("last-event-id") {
        listener.tell("resync", &json!({ "what": "all", "why": "reconnected" }));
    }
    listener.tell("halt", &json!({ "halts": listener.shared.published.halts() }));
    let events = stream::unfold(listener, |mut listener| async move {
        let told = listener.next().await?;
        let event = Event::default().id(told.id.to_string()).event(told.event).data(&*told.data);
        Some((Ok::<Event, Infallible>(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn wants(events: Option<&str>) -> Result<Option<BTreeSet<String>>, Problem> {
    let Some(events) = events else { return Ok(None) };
    let words: BTreeSet<String> = events.split(',').map(str::to_owned).collect();
    match words.iter().find(|word| !EVENTS.contains(&word.as_str())) {
        Some(word) => Err(Problem::bad(format!("events: {word:?} is not one of {}", EVENTS.join(", ")))),
        None => Ok(Some(words)),
    }
}

impl Listener {
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Some(told);
            }
            tokio::select! {
                told = self.receiver.recv() => match told {
                    Ok(told) if self.concerns(&told) => return Some(told),
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => {
                        self.shared.metrics.http_resyncs.inc();
                        self.tell("resync", &json!({ "what": "all", "why": "slow", "missed": missed }));
                    }
                    Err(RecvError::Closed) => return None,
                },
                _ = self.look.tick() => self.look_again(),
            }
        }
    }

    fn look_again(&mut self) {
        let overview = overview::overview(&self.shared);
        let health = overview["health"].clone();
        if health != self.last[1] {
            self.tell("health", &health);
        }
        if overview != self.last[0] {
            let mut timed = overview.clone();
            timed["server_time"] = json!(self.shared.clock.now_ms());
            self.tell("overview", &timed);
        }
        self.last = [overview, health];
    }

    fn tell(&mut self, event: &'static str, data: &Value) {
        let id = self.shared.published.hub.next_id();
        let told = Told { id, event, data: data.to_string().into() };
        if self.concerns(&told) {
            self.ready.push_back(told);
        }
    }

    fn concerns(&self, told: &Told) -> bool {
        if told.event == "resync" {
            return true;
        }
        if self.wants.as_ref().is_some_and(|wants| !wants.contains(told.event)) {
            return false;
        }
        let of_one = matches!(told.event, "campaign" | "adjustment" | "proposal" | "alert");
        let (account, campaign) = (&self.query.account, &self.query.campaign);
        if !of_one || (account.is_none() && campaign.is_none()) {
            return true;
        }
        let Ok(record) = serde_json::from_str::<Whose>(&told.data) else { return true };
        let same = |wanted: &Option<String>, id: Option<String>| wanted.is_none() || id.is_none() || *wanted == id;
        same(account, record.account_id) && same(campaign, record.campaign_id)
    }
}

#[derive(Deserialize)]
struct Whose {
    account_id: Option<String>,
    campaign_id: Option<String>,
}
