//! What a schema registry's answers mean; the client that gets them lives outside.
//!
//! The protocol is Confluent's, which Apicurio, Karapace and Redpanda speak too. What always holds: "not there" is
//! believed only of an answer that a registry gives (a JSON object with an `error_code`); a proxy's page, a wrong path or
//! a failing server never make a record undecodable. Codes are matched, never words, which differ between registries.
//!
//! Missing on purpose: references between subjects, and schema types other than Avro; their texts do not parse, so
//! their records are refused as undecodable.

use crate::ids::SchemaLookup;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a registry says of a subject and our schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdAnswer {
    /// Its id.
    Id(u32),
    /// The subject, or our schema under it, is not there.
    NotThere,
    /// The subject's rule of compatibility, or its validation, refuses the schema.
    Refused(String),
    /// The credentials are refused, or may not do this.
    Credentials(String),
    /// Cannot be asked now.
    Away(String),
    /// Something answers that is no registry, or not at this path.
    NoRegistry(String),
}

#[derive(Deserialize)]
struct SchemaBody {
    schema: String,
}

#[derive(Deserialize)]
struct IdBody {
    id: u32,
}

/// Codes under which a registry says that a subject, version or schema does not exist.
const NOT_THERE: [i64; 4] = [404, 40401, 40402, 40403];

/// The answer to `GET /schemas/ids/{id}`.
pub fn read_schema(status: u16, body: &[u8]) -> SchemaLookup {
    match (status, serde_json::from_slice::<SchemaBody>(body)) {
        (200, Ok(found)) => SchemaLookup::Found(Arc::from(found.schema)),
        (404, _) if is_not_there(body) => SchemaLookup::Unknown,
        _ => SchemaLookup::Unavailable(words_of(status, body)),
    }
}

/// The answer to `POST /subjects/{subject}` and `POST /subjects/{subject}/versions`.
pub fn read_id(status: u16, body: &[u8]) -> IdAnswer {
    let words = || words_of(status, body);
    match status {
        200 => serde_json::from_slice::<IdBody>(body)
            .map_or_else(|_| IdAnswer::NoRegistry(words()), |found| IdAnswer::Id(found.id)),
        401 | 403 => IdAnswer::Credentials(words()),
        404 if is_not_there(body) => IdAnswer::NotThere,
        409 | 422 => IdAnswer::Refused(words()),
        408 | 425 | 429 | 500..=599 => IdAnswer::Away(words()),
        _ => IdAnswer::NoRegistry(words()),
    }
}

/// The body that asks for a schema's id, or registers it.
pub fn request_body(schema_json: &str) -> String {
    // The type is left out: Avro is the default, and older registries do not know the field.
    json!({ "schema": schema_json }).to_string()
}

fn is_not_there(body: &[u8]) -> bool {
    error_code(body).is_some_and(|code| NOT_THERE.contains(&code))
}

fn error_code(body: &[u8]) -> Option<i64> {
    serde_json::from_slice::<Value>(body).ok()?.get("error_code")?.as_i64()
}

/// Status and the registry's own words, on one line and not long: a body may be somebody's page.
fn words_of(status: u16, body: &[u8]) -> String {
    let message = serde_json::from_slice::<Value>(body).ok().and_then(|body| Some(body.get("message")?.to_string()));
    match message {
        Some(message) => format!("status {status}, {}", message.chars().take(WORDS_MAX).collect::<String>()),
        None => format!("status {status}, not in a registry's form"),
    }
}

/// A refusal for incompatibility names the fields; more than this is noise.
const WORDS_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: &[u8] = br#"{"error_code":40403,"message":"Schema not found"}"#;

    #[test]
    fn a_schema_is_found_unknown_or_not_to_be_had_now() {
        let found = read_schema(200, br#"{"schema":"\"string\""}"#);
        assert_eq!(found, SchemaLookup::Found(Arc::from("\"string\"")));
        assert_eq!(read_schema(404, GONE), SchemaLookup::Unknown);
        for (status, body) in [
            (404, &b"<h1>no such page</h1>"[..]),
            (404, br#"{"error_code":"x"}"#),
            (200, b"<h1>we are away</h1>"),
            (200, br#"{"schema":7}"#),
            (302, b""),
            (401, br#"{"error_code":401,"message":"who?"}"#),
            (500, GONE),
            (503, b""),
        ] {
            assert!(matches!(read_schema(status, body), SchemaLookup::Unavailable(_)), "{status}");
        }
    }

    #[test]
    fn an_id_is_told_from_refusals_and_from_what_is_no_registry() {
        assert_eq!(read_id(200, br#"{"id":41,"version":1}"#), IdAnswer::Id(41));
        assert_eq!(read_id(404, GONE), IdAnswer::NotThere);
        assert!(matches!(read_id(404, b"nginx"), IdAnswer::NoRegistry(_)));
        assert!(matches!(read_id(200, b"<html>"), IdAnswer::NoRegistry(_)));
        assert!(matches!(read_id(200, br#"{"id":-1}"#), IdAnswer::NoRegistry(_)));
        assert!(matches!(read_id(301, b""), IdAnswer::NoRegistry(_)));
        assert!(matches!(read_id(401, b""), IdAnswer::Credentials(_)));
        assert!(matches!(read_id(409, b"{}"), IdAnswer::Refused(_)));
        assert!(matches!(read_id(429, b""), IdAnswer::Away(_)));
        assert!(matches!(read_id(502, b"<html>"), IdAnswer::Away(_)));
    }

    #[test]
    fn words_are_short_and_on_one_line() {
        let body = json!({ "message": format!("a\nb{}", "x".repeat(10_000)) }).to_string();
        let IdAnswer::Refused(words) = read_id(409, body.as_bytes()) else { panic!("refused") };
        assert!(words.len() < 500 && !words.contains('\n'), "{words}");
    }
}
