//! The API's own description, OpenAPI 3.1, in `openapi.json` beside this file.
//!
//! What always holds: it names every path and method that is served and no other, and answers have the fields that it
//! says; tests walk the routes and check both.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The document.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`
pub async fn get() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
