//! What every request passes before and after its handler: whose name it used, who sends it and from which page; then
//! the headers that keep an answer where it belongs.
//!
//! What always holds: nothing that changes something runs for a foreign page, a foreign name or an unknown caller. That a
//! body is JSON, which a foreign page cannot send without asking first, each handler's `Told` sees to (tested for all).

use super::Shared;
use super::access::Caller;
use super::problem::Problem;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A body of these sizes arrives at once; who needs longer holds a place on purpose.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The largest answer is a page of KPI rows.
const TAGGED_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// The door of the API's address.
pub async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let if_none_match = request.headers().get(header::IF_NONE_MATCH).cloned();
    let method = request.method().clone();
    let answer = match pass(&shared, request, next).await {
        Ok(answer) => answer,
        Err(problem) => problem.into_response(),
    };
    let reads = method == Method::GET || method == Method::HEAD;
    let answer = if reads { tagged(answer, if_none_match).await } else { answer };
    with_headers(answer)
}

async fn pass(shared: &Shared, mut request: Request, next: Next) -> Result<Response, Problem> {
    let refused = |word: &str| shared.metrics.http_refused.with_label_values(&[word]).inc();
    let host = host(&request).filter(|host| shared.access.knows_host(host)).ok_or_else(|| {
        refused("host");
        let detail = "the Host header names another service; set http.hosts if it is a name of this one";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", detail)
    })?;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes {
        from_our_page(request.headers(), &host).inspect_err(|_| refused("origin"))?;
    }
    let path = request.uri().path().to_owned();
    let is_way_in = path == "/api/v1/session" && changes;
    if !path.starts_with("/api/") || is_way_in {
        return in_time(shared, request, next).await;
    }
    let caller = shared.access.caller(request.headers()).inspect_err(|_| refused("token"))?;
    let method = request.method().clone();
    request.extensions_mut().insert(caller.clone());
    let answer = in_time(shared, request, next).await;
    if changes {
        note_refusal(shared, &caller, &method, &path, &answer);
    }
    answer
}

async fn in_time(shared: &Shared, request: Request, next: Next) -> Result<Response, Problem> {
    tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await.map_err(|_| {
        shared.metrics.http_refused.with_label_values(&["too_slow"]).inc();
        Problem::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the request did not arrive in time")
    })
}

/// What a known caller was refused is audited as well; what was sent, the handler has noted.
fn note_refusal(shared: &Shared, caller: &Caller, method: &Method, path: &str, answer: &Result<Response, Problem>) {
    let status = match answer {
        Ok(answer) if answer.status().is_success() => return,
        Ok(answer) => answer.status(),
        Err(_) => StatusCode::REQUEST_TIMEOUT,
    };
    if status == StatusCode::FORBIDDEN {
        shared.metrics.http_refused.with_label_values(&["role"]).inc();
    }
    // A full queue has been noted with its reason.
    if status != StatusCode::SERVICE_UNAVAILABLE {
        let reason = format!("status {}", status.as_u16());
        shared.audit.note(shared.clock.now_ms(), caller, &format!("{method} {path}"), "", &reason, "refused");
    }
}

fn host(request: &Request) -> Option<String> {
    let of_header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    of_header.or_else(|| request.uri().authority().map(|authority| authority.as_str())).map(str::to_owned)
}

/// A browser says where a call comes from; a program says nothing and holds a token or a place on this machine.
fn from_our_page(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let foreign = || {
        let detail = "calls that change something are taken from this service's own page or from programs";
        Problem::new(StatusCode::FORBIDDEN, "origin", detail)
    };
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return Err(foreign());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    if authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) { Ok(()) } else { Err(foreign()) }
}

/// JSON that was read gets a tag of its content, and is not sent again to who holds it.
async fn tagged(answer: Response, if_none_match: Option<HeaderValue>) -> Response {
    let is_json = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if answer.status() != StatusCode::OK || !is_json {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(bytes) = to_bytes(body, TAGGED_BYTES_MAX).await else {
        let problem =
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "too_large", "the answer is too large; ask for less");
        return problem.into_response();
    };
    let digest = Sha256::digest(&bytes);
    let tag = digest.iter().take(16).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
    let known = if_none_match.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known =
        known.split(',').any(|one| matches!(one.trim().trim_start_matches("W/"), one if one == tag || one == "*"));
    if let Ok(tag) = tag.parse() {
        parts.headers.insert(header::ETAG, tag);
    }
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn with_headers(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        // The page brings a policy of its own; an answer of the API is no page at all.
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        // What it says is true now; a tag makes asking again cheap.
        ("cache-control", "no-cache, private"),
    ] {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    if answer.status() == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}
