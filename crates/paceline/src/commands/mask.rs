//! What of a record may be shown to whoever looks after it: everything but who it was about.
//!
//! What always holds: personal fields are hidden at any depth. Of a refused record only fields that our own schemas have
//! are shown, since nobody knows what a writer put into others; of bytes that are no record, only their framing.

use avro_codec::{Codec, RecordName};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Fields that name a person, or that a person can be found by: ids, orders, pages with parameters.
const PERSONAL: [&str; 7] = ["user_key", "ip_key", "customer_key", "user_agent", "order_id", "landing", "references"];
/// Instead of what is hidden.
pub const HIDDEN: &str = "***";
/// Of bytes that are no record: the framing, in which nothing is said.
const FRAME_BYTES: usize = 5;

/// Hides personal fields; what was hidden is handed to `hidden`, so that a key which repeats it can be hidden too.
pub fn hide(value: &mut Value, hidden: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if PERSONAL.contains(&name.as_str()) && !field.is_null() {
                    hidden(field);
                    *field = json!(HIDDEN);
                } else {
                    hide(field, hidden);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, hidden)),
        _ => {}
    }
}

/// A refused payload as far as it may be shown.
pub fn sample(codec: &Codec, payload: &[u8]) -> Value {
    let decoded = codec.to_json(payload).ok().or_else(|| serde_json::from_slice(payload).ok());
    match decoded {
        Some(Value::Object(fields)) => known(Value::Object(fields)),
        _ => {
            let frame: String = payload.iter().take(FRAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
            json!({ "undecodable_bytes": payload.len(), "begins_with_hex": frame })
        }
    }
}

/// Hides what our schemas do not have, and what is personal.
fn known(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let shown = fields.into_iter().map(|(name, field)| {
                let is_shown = field.is_null() || ours().contains(&name) && !PERSONAL.contains(&name.as_str());
                (name, if is_shown { known(field) } else { json!(HIDDEN) })
            });
            Value::Object(shown.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(known).collect()),
        other => other,
    }
}

/// Names of fields in our schemas.
fn ours() -> &'static BTreeSet<String> {
    static NAMES: OnceLock<BTreeSet<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = BTreeSet::from(["type".to_owned()]);
        for record in RecordName::ALL {
            let schema: Value = serde_json::from_str(record.schema_json()).unwrap_or_default();
            collect(&schema, &mut names);
        }
        names
    })
}

fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    for field in schema["fields"].as_array().into_iter().flatten() {
        names.extend(field["name"].as_str().map(str::to_owned));
    }
    match schema {
        Value::Object(parts) => parts.values().for_each(|part| collect(part, names)),
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, names)),
        _ => {}
    }
}

/// The words of a refusal without what they quote: a decoder names the value that it stumbled over.
pub fn unquoted(detail: &str) -> String {
    let mut parts = detail.split(['"', '`']);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        text += if at % 2 == 0 { "\u{2026}" } else { part };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_it_was_about_is_hidden_at_any_depth() {
        let mut value =
            json!({"order_id": "o", "spec": [{"landing": "https://x/?mail=a@b"}], "user_key": null, "geo": "DE"});
        let mut seen = Vec::new();
        hide(&mut value, &mut |hidden| seen.push(hidden.clone()));
        assert_eq!(value, json!({"order_id": "***", "spec": [{"landing": "***"}], "user_key": null, "geo": "DE"}));
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn only_what_our_schemas_have_is_shown_of_a_refused_record() {
        let codec = Codec::fixed();
        let record = br#"{"mail": "ann@example.com", "geo": "DE", "userKey": 7, "user_key": "u", "labels": {"x": "y"}, "event_id": "e"}"#;
        let shown = sample(&codec, record);
        let wanted = json!({"mail": "***", "geo": "DE", "userKey": "***", "user_key": "***", "labels": {"x": "***"}, "event_id": "e"});
        assert_eq!(shown, wanted);
        let bytes = sample(&codec, b"\x00\x00\x00\x00\x63ann@example.com");
        assert_eq!(bytes, json!({"undecodable_bytes": 20, "begins_with_hex": "0000000063"}));
    }

    #[test]
    fn a_refusal_is_told_without_what_it_quotes() {
        assert_eq!(
            unquoted("invalid type: string \"ann\", expected `i64` at 3"),
            "invalid type: string \u{2026}, expected \u{2026} at 3"
        );
        assert_eq!(unquoted("plain"), "plain");
    }
}
