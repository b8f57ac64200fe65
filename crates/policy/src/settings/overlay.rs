//! Lays a table of overrides over a table of defaults, and tells every mistake by its path.
//!
//! What always holds: the result has exactly the keys and types of the defaults. Missing on purpose: optional keys.

use super::Mistake;
use toml::{Table, Value};

/// `base` with the values of `over`; unknown names, wrong types and numbers out of range go to `mistakes`.
pub(super) fn overlay(base: &Table, over: &Table, path: &str, mistakes: &mut Vec<Mistake>) -> Table {
    let mut merged = base.clone();
    for (key, value) in over {
        let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let Some(default) = base.get(key) else {
            mistakes.push(Mistake::new(at, unknown(key, base.keys())));
            continue;
        };
        match fit(default, value, &at, mistakes) {
            Ok(fitted) => _ = merged.insert(key.clone(), fitted),
            Err(what) => mistakes.push(Mistake::new(at, what)),
        }
    }
    merged
}

fn fit(default: &Value, value: &Value, at: &str, mistakes: &mut Vec<Mistake>) -> Result<Value, String> {
    match (default, value) {
        (Value::Table(base), Value::Table(over)) => Ok(Value::Table(overlay(base, over, at, mistakes))),
        (Value::Integer(_), Value::Integer(n)) => in_range(*n as f64).map(|()| value.clone()),
        (Value::Float(_), Value::Integer(n)) => in_range(*n as f64).map(|()| Value::Float(*n as f64)),
        (Value::Float(_), Value::Float(x)) => in_range(*x).map(|()| value.clone()),
        (Value::Boolean(_), Value::Boolean(_)) | (Value::String(_), Value::String(_)) => Ok(value.clone()),
        _ => Err(format!("is of type {}, but must be of type {}", value.type_str(), default.type_str())),
    }
}

/// All settings are magnitudes. A thousand billion is above every sensible one and leaves room for products.
fn in_range(x: f64) -> Result<(), String> {
    if x.is_finite() && (0.0..=1e12).contains(&x) { Ok(()) } else { Err(format!("is {x}, but must be 0 to 1e12")) }
}

/// What to say about a name that does not exist.
pub(super) fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> String {
    match rules::nearest(name, known.map(String::as_str)) {
        Some(known) => format!("unknown name; did you mean {known:?}?"),
        None => "unknown name".into(),
    }
}
