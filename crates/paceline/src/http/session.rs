//! Who am I, and the page's way in: a token becomes a cookie that scripts cannot read and other sites cannot send.

use super::Shared;
use super::access::{COOKIE, Caller, Deed};
use super::problem::{Problem, Told};
use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// A token to come in with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    token: String,
}

/// `GET /session`
pub async fn get(State(shared): State<Shared>, Extension(caller): Extension<Caller>) -> Response {
    axum::Json(describe(&shared, &caller)).into_response()
}

fn describe(shared: &Shared, caller: &Caller) -> Value {
    let can: Vec<&str> = [
        ("approve", Deed::Decide),
        ("reject", Deed::Decide),
        ("halt", Deed::Halt),
        ("release", Deed::Release),
        ("release_all", Deed::ReleaseAll),
        ("read_audit", Deed::ReadAudit),
    ]
    .into_iter()
    .filter_map(|(word, deed)| caller.may(deed).then_some(word))
    .collect();
    json!({ "name": caller.name, "role": caller.role.as_str(), "tokens": shared.access.has_tokens(), "can": can })
}

/// `POST /session`
pub async fn login(State(shared): State<Shared>, Told(body): Told<Login>) -> Result<Response, Problem> {
    let Some(caller) = shared.access.holder(&body.token) else {
        shared.metrics.http_refused.with_label_values(&["token"]).inc();
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "token", "this token is not known"));
    };
    Ok(with_cookie(&shared, &body.token, "Max-Age=43200", axum::Json(describe(&shared, &caller)).into_response()))
}

/// `DELETE /session`
pub async fn logout(State(shared): State<Shared>) -> Response {
    with_cookie(&shared, "", "Max-Age=0", StatusCode::NO_CONTENT.into_response())
}

fn with_cookie(shared: &Shared, value: &str, age: &str, mut response: Response) -> Response {
    let secure = if shared.access.is_encrypted() { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/api/v1; HttpOnly; SameSite=Strict; {age}{secure}");
    if let Ok(cookie) = cookie.parse() {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
