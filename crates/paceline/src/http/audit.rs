//! Who did what, why, and what became of it: the last thousand in memory, all in the log, at any level, in lines that
//! begin with `audit:`; the id joins a call and what became of it.

use super::Shared;
use super::access::{Caller, Deed};
use super::paging::{Page, page};
use super::problem::{Asked, Problem};
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use model::time::Millis;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Mutex;

/// Entries in memory; all are in the log.
const ENTRIES_MAX: usize = 1_000;

/// One state-changing call.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Entry {
    pub id: u64,
    pub at: Millis,
    pub actor: String,
    pub role: &'static str,
    /// approve, reject, halt, release, or the method and path of what was refused.
    pub action: String,
    pub subject: String,
    pub reason: String,
    /// queued, sent, left_in_file, failed, refused.
    pub outcome: &'static str,
    pub detail: Option<String>,
}

/// The ring.
#[derive(Default)]
pub struct Audit {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    next_id: u64,
    entries: VecDeque<Entry>,
}

impl Audit {
    /// Notes a call; its number serves to say later what became of it.
    pub fn note(
        &self,
        at: Millis,
        caller: &Caller,
        action: &str,
        subject: &str,
        reason: &str,
        outcome: &'static str,
    ) -> u64 {
        let role = caller.role.as_str();
        let Ok(mut held) = self.held.lock() else { return 0 };
        held.next_id += 1;
        let id = held.next_id;
        tracing::info!(target: "audit", id, actor = caller.name, role, action, subject, reason, outcome, "audit: call");
        let entry = Entry {
            id,
            at,
            actor: caller.name.clone(),
            role,
            action: action.to_owned(),
            subject: subject.to_owned(),
            reason: reason.to_owned(),
            outcome,
            detail: None,
        };
        if held.entries.len() >= ENTRIES_MAX {
            held.entries.pop_front();
        }
        held.entries.push_back(entry);
        id
    }

    /// Says what became of a call.
    pub fn conclude(&self, id: u64, outcome: &'static str, detail: Option<String>) {
        tracing::info!(target: "audit", id, outcome, detail, "audit: concluded");
        let Ok(mut held) = self.held.lock() else { return };
        if let Some(entry) = held.entries.iter_mut().rev().find(|entry| entry.id == id) {
            entry.outcome = outcome;
            entry.detail = detail;
        }
    }

    /// Newest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.held.lock().map(|held| held.entries.iter().rev().cloned().collect()).unwrap_or_default()
    }
}

/// Which entries are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /audit`
pub async fn list(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<AuditQuery>,
) -> Result<Response, Problem> {
    caller.must(Deed::ReadAudit)?;
    let Page { items, total, next } = page(shared.audit.entries(), query.limit, query.cursor.as_deref())?;
    Ok(axum::Json(json!({ "entries": items, "total": total, "next": next })).into_response())
}
