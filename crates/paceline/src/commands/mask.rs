//! What of a record may be shown to whoever looks after it: everything but who it was about.
//!
//! What always holds: personal fields of a record that decodes are hidden at any depth; of one that does not decode only
//! fields that cannot name a person are shown, since nobody knows what the others hold.

use avro_codec::Codec;
use serde_json::{Value, json};

/// Fields that name a person, or that a person can be found by: ids, orders, pages with parameters.
const PERSONAL: [&str; 7] = ["user_key", "ip_key", "customer_key", "user_agent", "order_id", "landing", "references"];
/// Fields that say what a record is about and never about whom.
const PLAIN: [&str; 22] = [
    "type",
    "event_time",
    "account_id",
    "campaign_id",
    "ad_group_id",
    "creative_id",
    "channel",
    "platform",
    "device",
    "geo",
    "variant",
    "cost_micros",
    "value_micros",
    "currency",
    "conversion_type",
    "version",
    "status",
    "kind",
    "window_start",
    "window_end",
    "revision",
    "semantics",
];
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
    if let Ok(mut value) = codec.to_json(payload) {
        hide(&mut value, &mut |_| {});
        return value;
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(Value::Object(fields)) => {
            let shown = fields.into_iter().map(|(name, value)| {
                let is_plain = PLAIN.contains(&name.as_str()) && !value.is_object() && !value.is_array();
                (name, if is_plain || value.is_null() { value } else { json!(HIDDEN) })
            });
            Value::Object(shown.collect())
        }
        _ => {
            let frame: String = payload.iter().take(FRAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
            json!({ "undecodable_bytes": payload.len(), "begins_with_hex": frame })
        }
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
    fn of_what_does_not_decode_only_plain_fields_are_shown() {
        let codec = Codec::fixed();
        let shown =
            sample(&codec, br#"{"mail": "ann@example.com", "geo": "DE", "userKey": 7, "campaign_id": {"x": "y"}}"#);
        assert_eq!(shown, json!({"mail": "***", "geo": "DE", "userKey": "***", "campaign_id": "***"}));
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
