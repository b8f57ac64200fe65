//! Taking a command back: what it would do, and the word that asks for it.
//!
//! What always holds: what is shown is what the controller would do now, and the word carries the value that was shown,
//! so that a word about another state is void; whether it is done the guard decides, in the campaign's mode.

use super::Shared;
use super::access::{Caller, Deed};
use super::campaigns::{factor_of, table_of};
use super::problem::{Problem, Told};
use super::writing::{Reason, accepted_undo, busy, checked, send};
use crate::published::CampaignEntry;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use controller::{Lever, Undo};
use model::fact::{Decision, Fact};
use model::output::Adjustment;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /adjustments/{id}/undo`
pub async fn preview(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let (command, entry) = found(&shared, &id)?;
    let undo = entry.undos.iter().find(|undo| undo.command_id == id);
    Ok(axum::Json(document(&command, &entry, undo)).into_response())
}

/// `POST /adjustments/{id}/undo`
pub async fn undo(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Told(body): Told<Reason>,
) -> Result<Response, Problem> {
    caller.must(Deed::Decide)?;
    let reason = checked(body.as_given())?;
    let (command, entry) = found(&shared, &id)?;
    let Some(undo) = entry.undos.iter().find(|undo| undo.command_id == id) else {
        let detail = "a later command, another hand or a day has passed over it; see what is in force now";
        return Err(Problem::new(StatusCode::CONFLICT, "not_the_last", detail));
    };
    let decision = Decision {
        command_id: id.clone(),
        account_id: command.account_id.clone(),
        campaign_id: Some(command.campaign_id.clone()),
        decision: "undo".to_owned(),
        value_micros: undo.to_micros,
        until: None,
        actor: caller.name.clone(),
        reason: Some(reason.to_owned()),
        decided_at: shared.clock.now_ms(),
    };
    let fact = Fact::Decision(Box::new(decision));
    if !send(&shared, &caller, "undo", &id, reason, fact, command.campaign_id.clone()) {
        return Err(busy(&shared));
    }
    Ok(accepted_undo(id))
}

fn found(shared: &Shared, id: &str) -> Result<(Arc<Adjustment>, Arc<CampaignEntry>), Problem> {
    let command = shared.published.adjustments().into_iter().find(|command| command.command_id == id);
    let command = command.ok_or_else(|| Problem::unknown(format!("no issued command {id} is held in memory")))?;
    let entry = shared.published.entry(&command.account_id, &command.campaign_id);
    let entry = entry.ok_or_else(|| Problem::unknown("its campaign is not known to this process"))?;
    Ok((command, entry))
}

fn document(command: &Adjustment, entry: &CampaignEntry, undo: Option<&Undo>) -> Value {
    let view = &entry.view;
    let goes_as = match view.mode.as_str() {
        "auto" => "command",
        "approve" => "proposal",
        _ => "record",
    };
    let held = if view.halted {
        Some("halted")
    } else if entry.spec.protected {
        Some("protected")
    } else if undo.is_some_and(|undo| undo.kind == "resume") && view.pause_holders.iter().any(|one| one == "platform") {
        Some("platform")
    } else {
        None
    };
    let is_value = undo.is_some_and(|undo| undo.lever != Lever::State);
    json!({
        "command_id": command.command_id, "account_id": command.account_id, "campaign_id": command.campaign_id,
        "currency": command.currency,
        "possible": undo.is_some() && held.is_none(),
        "possible_reason": if undo.is_none() { Some("not_the_last") } else { held },
        "kind": undo.map(|undo| undo.kind),
        "from_micros": undo.and_then(|undo| undo.from_micros),
        "to_micros": undo.and_then(|undo| undo.to_micros),
        "from_table_ppm": undo.and_then(|undo| table_of(undo, &undo.tables.0)),
        "to_table_ppm": undo.and_then(|undo| table_of(undo, &undo.tables.1)),
        "dimension": undo.and_then(|undo| undo.dimension.as_ref()),
        "from_ppm": undo.and_then(|undo| factor_of(undo, &undo.tables.0)),
        "to_ppm": undo.and_then(|undo| factor_of(undo, &undo.tables.1)),
        "goes_as": goes_as,
        "left_alone_hours": is_value.then_some(24),
    })
}
