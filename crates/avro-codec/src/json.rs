//! Records written as JSON objects: Avro's field names, unions unwrapped, unknown fields ignored, absent nullable
//! fields null.
//!
//! Events lend their strings from the payload where nothing was escaped, and from the scratch otherwise. Everything
//! else goes through a checked JSON tree: those records are rare.

use crate::limits::Limits;
use crate::project::{Slots, TEXTS_MAX};
use crate::reject::{RejectReason, Rejected};
use model::event::EventKind;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::fmt;

/// An event's projected fields; `scratch` takes over what had to be unescaped.
pub(crate) fn event<'a>(kind: EventKind, payload: &'a [u8], scratch: &'a mut String) -> Result<Slots<'a>, Rejected> {
    let (texts, longs) = match kind {
        EventKind::Impression | EventKind::Click => whole::<JsonTouch<'a>>(payload)?.into_slots(),
        EventKind::Conversion => whole::<JsonGoal<'a>>(payload)?.into_slots(),
    };
    if texts.iter().flatten().any(|text| text.0.len() > Limits::INPUT.text_bytes_max) {
        return Err(too_large("text_bytes_max"));
    }
    Ok(Slots { texts: lend(texts, scratch), longs })
}

/// Any other record.
pub(crate) fn record<T: DeserializeOwned>(payload: &[u8], limits: Limits) -> Result<T, Rejected> {
    serde_json::from_value(tree(payload, limits)?).map_err(|error| Rejected::decode(words(&error)))
}

/// The field `type` of a record on the feedback topic.
pub(crate) fn type_of(payload: &[u8]) -> Result<String, Rejected> {
    whole::<Typed>(payload).map(|typed| typed.name)
}

/// A JSON object within limits.
pub(crate) fn tree(payload: &[u8], limits: Limits) -> Result<Json, Rejected> {
    let tree = whole(payload)?;
    let mut items_left = limits.items_total_max;
    check(&tree, limits, limits.depth_max, &mut items_left).map_err(too_large)?;
    Ok(tree)
}

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    name: String,
}

fn whole<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, Rejected> {
    let mut deserializer = serde_json::Deserializer::from_slice(payload);
    let value = T::deserialize(&mut deserializer).map_err(|error| Rejected::decode(words(&error)))?;
    match deserializer.end() {
        Ok(()) => Ok(value),
        Err(_) => Err(Rejected::new(RejectReason::TrailingBytes, "bytes follow the JSON object")),
    }
}

/// The parser's words without what they quote, which is the record's: only names of fields are ours.
#[cold]
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text.replace('`', "");
    }
    // A text is quoted with its own quotes inside, so all from the first to the last is hidden; numbers stand in backticks.
    let hidden = match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => format!("{}\u{2026}{}", &text[..first], &text[last + 1..]),
        _ => text,
    };
    let parts = hidden.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part } else { "\u{2026}" }).collect()
}

fn check(json: &Json, limits: Limits, depth_left: usize, items_left: &mut usize) -> Result<(), &'static str> {
    let depth_left = depth_left.checked_sub(1).ok_or("depth_max")?;
    let mut count = |items: usize| {
        *items_left = items_left.checked_sub(items).ok_or("items_total_max")?;
        if items > limits.items_max { Err("items_max") } else { Ok(()) }
    };
    match json {
        Json::String(text) if text.len() > limits.text_bytes_max => Err("text_bytes_max"),
        Json::Array(items) => {
            count(items.len())?;
            items.iter().try_for_each(|item| check(item, limits, depth_left, items_left))
        }
        Json::Object(fields) => {
            count(fields.len())?;
            if fields.keys().any(|key| key.len() > limits.text_bytes_max) {
                return Err("text_bytes_max");
            }
            fields.values().try_for_each(|field| check(field, limits, depth_left, items_left))
        }
        _ => Ok(()),
    }
}

#[cold]
fn too_large(limit: &str) -> Rejected {
    Rejected::new(RejectReason::TooLarge, format!("limit passed: {limit}"))
}

type Texts<'a> = [Option<Text<'a>>; TEXTS_MAX];

fn lend<'a>(texts: Texts<'a>, scratch: &'a mut String) -> [Option<&'a str>; TEXTS_MAX] {
    scratch.clear();
    let places = texts.map(|text| match text?.0 {
        Cow::Borrowed(text) => Some(Ok(text)),
        Cow::Owned(text) => {
            let start = scratch.len();
            scratch.push_str(&text);
            Some(Err(start..scratch.len()))
        }
    });
    let scratch: &'a str = scratch;
    places.map(|place| match place? {
        Ok(text) => Some(text),
        Err(range) => scratch.get(range),
    })
}

#[derive(Deserialize)]
struct JsonTouch<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_time: i64,
    #[serde(borrow)]
    account_id: Text<'a>,
    #[serde(borrow)]
    campaign_id: Text<'a>,
    #[serde(borrow, default)]
    creative_id: Option<Text<'a>>,
    #[serde(borrow)]
    channel: Text<'a>,
    #[serde(borrow)]
    device: Text<'a>,
    #[serde(borrow)]
    geo: Text<'a>,
    #[serde(borrow, default)]
    user_key: Option<Text<'a>>,
    cost_micros: i64,
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow, default)]
    placement: Option<Text<'a>>,
}

impl<'a> JsonTouch<'a> {
    fn into_slots(self) -> (Texts<'a>, [i64; 2]) {
        let texts = [
            Some(self.event_id),
            Some(self.account_id),
            Some(self.campaign_id),
            self.creative_id,
            Some(self.channel),
            Some(self.device),
            Some(self.geo),
            self.user_key,
            Some(self.currency),
            self.placement,
        ];
        (texts, [self.event_time, self.cost_micros])
    }
}

#[derive(Deserialize)]
struct JsonGoal<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    event_time: i64,
    #[serde(borrow)]
    account_id: Text<'a>,
    #[serde(borrow, default)]
    user_key: Option<Text<'a>>,
    #[serde(borrow, default)]
    click_id: Option<Text<'a>>,
    #[serde(borrow)]
    conversion_type: Text<'a>,
    value_micros: i64,
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow, default)]
    campaign_id: Option<Text<'a>>,
}

impl<'a> JsonGoal<'a> {
    fn into_slots(self) -> (Texts<'a>, [i64; 2]) {
        let texts = [
            Some(self.event_id),
            Some(self.account_id),
            self.user_key,
            self.click_id,
            Some(self.conversion_type),
            Some(self.currency),
            self.campaign_id,
            None,
            None,
            None,
        ];
        (texts, [self.event_time, self.value_micros])
    }
}

/// A string that borrows where it can; serde's own `Cow` does not inside an `Option`.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.into())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}
