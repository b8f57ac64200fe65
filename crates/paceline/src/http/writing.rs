//! What people change: proposals decided, scopes halted and released. Each is audited, and seen in the views once the
//! controller has taken it.

use super::Shared;
use super::access::{Caller, Deed, ENGINE};
use super::courier::Parcel;
use super::problem::{Problem, Told};
use crate::commands::{REASON_CHARS_MAX, parse_scope, specification};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::fact::{Decision, Fact, Halt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;

/// Proposals decided in one call.
const BULK_MAX: usize = 200;
/// Longer than any id or scope that is ours.
const ID_CHARS_MAX: usize = 1_024;

/// Why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    reason: String,
}

impl Reason {
    /// As it was given.
    pub fn as_given(&self) -> &str {
        &self.reason
    }
}

/// Many at once.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    ids: Vec<String>,
    action: Word,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
    Reject,
}

impl Word {
    fn as_str(self) -> &'static str {
        match self {
            Word::Approve => "approve",
            Word::Reject => "reject",
        }
    }
}

/// What to stop or let go on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    scope: String,
    reason: String,
}

/// What became of one subject of a call.
#[derive(Debug, Serialize)]
struct Sent {
    action: &'static str,
    subject: String,
    /// sent, unknown, ambiguous, already_decided, own_proposal, busy.
    outcome: &'static str,
}

/// `POST /proposals/{id}/approve`
pub async fn approve(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Told(body): Told<Reason>,
) -> Result<Response, Problem> {
    decide_one(&shared, &caller, id, Word::Approve, &body.reason)
}

/// `POST /proposals/{id}/reject`
pub async fn reject(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Told(body): Told<Reason>,
) -> Result<Response, Problem> {
    decide_one(&shared, &caller, id, Word::Reject, &body.reason)
}

fn decide_one(shared: &Shared, caller: &Caller, id: String, word: Word, reason: &str) -> Result<Response, Problem> {
    caller.must(Deed::Decide)?;
    let reason = checked(reason)?;
    let sent = decide(shared, caller, id, word, reason);
    match sent.outcome {
        "sent" => Ok(accepted(&[sent])),
        "unknown" => Err(Problem::unknown(format!("no proposal {} is held in memory", sent.subject))),
        "ambiguous" => {
            let words = format!(
                "{} waits in more than one account; decide with `paceline proposals … --account ID`",
                sent.subject
            );
            Err(Problem::new(StatusCode::CONFLICT, "ambiguous", words))
        }
        "busy" => Err(busy(shared)),
        "own_proposal" => {
            Err(Problem::new(StatusCode::FORBIDDEN, "own_proposal", "who made a proposal does not decide it"))
        }
        _ => Err(Problem::new(StatusCode::CONFLICT, "already_decided", format!("{} no longer waits", sent.subject))),
    }
}

/// `POST /proposals/bulk`: each id by itself; what cannot be sent is told and stops nothing.
pub async fn bulk(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Told(body): Told<Bulk>,
) -> Result<Response, Problem> {
    caller.must(Deed::Decide)?;
    let reason = checked(&body.reason)?;
    if body.ids.is_empty() || body.ids.len() > BULK_MAX {
        return Err(Problem::bad(format!("ids: {} of them; send 1 to {BULK_MAX}", body.ids.len())));
    }
    let ids: BTreeSet<String> = body.ids.into_iter().collect();
    let sent: Vec<Sent> = ids.into_iter().map(|id| decide(&shared, &caller, id, body.action, reason)).collect();
    Ok(accepted(&sent))
}

fn decide(shared: &Shared, caller: &Caller, id: String, word: Word, reason: &str) -> Sent {
    let action = word.as_str();
    let (account_id, campaign_id) = match subject(shared, caller, &id) {
        Ok(found) => found,
        Err(outcome) => return Sent { action, subject: id, outcome },
    };
    let decision = Decision {
        command_id: id.clone(),
        account_id,
        campaign_id: Some(campaign_id.clone()),
        decision: action.to_owned(),
        value_micros: None,
        until: None,
        actor: caller.name.clone(),
        reason: Some(reason.to_owned()),
        decided_at: shared.clock.now_ms(),
    };
    let is_taken = send(shared, caller, action, &id, reason, Fact::Decision(Box::new(decision)), campaign_id);
    Sent { action, subject: id, outcome: if is_taken { "sent" } else { "busy" } }
}

/// Account and campaign of what is to be decided, or why it cannot be.
fn subject(shared: &Shared, caller: &Caller, id: &str) -> Result<(String, String), &'static str> {
    if let Some((campaign_id, version)) = specification(id) {
        let mut waiting =
            shared.published.entries().into_iter().filter(|entry| {
                entry.view.campaign_id == campaign_id && entry.view.spec_waits_version == Some(version)
            });
        let one = waiting.next().ok_or("unknown")?;
        // The id has no account: a yes to another's jump would be worse than none.
        let is_only = waiting.next().is_none();
        return is_only.then(|| (one.view.account_id.clone(), campaign_id.to_owned())).ok_or("ambiguous");
    }
    let proposal = shared.published.proposals().into_iter().find(|proposal| proposal.command_id == id);
    let proposal = proposal.ok_or("unknown")?;
    let now = shared.clock.now_ms();
    if proposal.state != "proposed" || proposal.decide_by.is_some_and(|by| by <= now) {
        return Err("already_decided");
    }
    // A proposal is the engine's, or of who asked for an undo. The engine's name is refused for tokens, so that this also
    // holds for who holds one; without tokens nobody can be told from another.
    let author = proposal.group_id.as_deref().and_then(|group| group.strip_prefix("undo/")?.split_once('/'));
    let is_own = author.is_some_and(|(_, author)| shared.access.has_tokens() && author == caller.name);
    if caller.name == ENGINE || is_own {
        return Err("own_proposal");
    }
    Ok((proposal.account_id.clone(), proposal.campaign_id.clone()))
}

/// `POST /halts`
pub async fn halt(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Told(body): Told<Scope>,
) -> Result<Response, Problem> {
    caller.must(Deed::Halt)?;
    say(&shared, &caller, &body, "set")
}

/// `POST /halts/release`
pub async fn release(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Told(body): Told<Scope>,
) -> Result<Response, Problem> {
    let is_wide = matches!(body.scope.as_str(), "global" | "integrity");
    caller.must(if is_wide { Deed::ReleaseAll } else { Deed::Release })?;
    say(&shared, &caller, &body, "release")
}

fn say(shared: &Shared, caller: &Caller, body: &Scope, action: &str) -> Result<Response, Problem> {
    let reason = checked(&body.reason)?;
    let (scope, account_id, campaign_id) = parse_scope(&body.scope)
        .map_err(|failure| Problem::bad(format!("scope: {}; {}", failure.what, failure.advice)))?;
    in_one_line("scope", &body.scope)?;
    if body.scope.chars().count() > ID_CHARS_MAX {
        return Err(Problem::bad("scope: too long"));
    }
    if scope == "integrity" && action == "set" {
        return Err(Problem::bad("scope: an integrity hold is set by the service alone; use global"));
    }
    let key = campaign_id.clone().or_else(|| account_id.clone()).unwrap_or_else(|| "global".into());
    let halt = Halt {
        scope: scope.to_owned(),
        account_id,
        campaign_id,
        action: action.to_owned(),
        actor: caller.name.clone(),
        reason: reason.to_owned(),
        issued_at: shared.clock.now_ms(),
    };
    let word = if action == "set" { "halt" } else { "release" };
    if !send(shared, caller, word, &body.scope, reason, Fact::Halt(Box::new(halt)), key) {
        return Err(busy(shared));
    }
    Ok(accepted(&[Sent { action: word, subject: body.scope.clone(), outcome: "sent" }]))
}

/// Notes a word in the audit and puts it on its way; `false` where too many wait.
pub fn send(
    shared: &Shared,
    caller: &Caller,
    action: &str,
    subject: &str,
    reason: &str,
    fact: Fact,
    key: String,
) -> bool {
    let audit_id = shared.audit.note(shared.clock.now_ms(), caller, action, subject, reason, "queued");
    let is_taken = shared.courier.take(Parcel { audit_id, fact, key });
    if !is_taken {
        shared.audit.conclude(audit_id, "refused", Some("too many words wait for the broker".into()));
    }
    is_taken
}

/// A reason that can be kept.
pub fn checked(reason: &str) -> Result<&str, Problem> {
    if reason.trim().is_empty() {
        return Err(Problem::bad("reason: say why, for whoever reads the audit"));
    }
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(Problem::bad(format!("reason: longer than {REASON_CHARS_MAX} characters")));
    }
    in_one_line("reason", reason)?;
    Ok(reason.trim())
}

/// Line breaks and the like would make one line of a log or a terminal look like two.
fn in_one_line(what: &str, text: &str) -> Result<(), Problem> {
    match text.chars().any(char::is_control) {
        false => Ok(()),
        true => Err(Problem::bad(format!("{what}: line breaks and control characters are not taken"))),
    }
}

fn accepted(sent: &[Sent]) -> Response {
    (StatusCode::ACCEPTED, axum::Json(json!({ "sent": sent }))).into_response()
}

/// The answer that an undo was sent.
pub fn accepted_undo(subject: String) -> Response {
    accepted(&[Sent { action: "undo", subject, outcome: "sent" }])
}

/// Too many words wait.
pub fn busy(shared: &Shared) -> Problem {
    shared.metrics.http_refused.with_label_values(&["busy"]).inc();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many words wait for the broker; try again")
}
