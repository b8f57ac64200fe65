//! How good the data are: what the metrics say of each source, in one answer.

use super::Shared;
use super::paging::{Page, page};
use super::problem::{Asked, Problem};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use prometheus::proto::MetricFamily;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// `GET /data-quality`
pub async fn get(State(shared): State<Shared>) -> Response {
    axum::Json(quality(&shared.metrics.families())).into_response()
}

/// Which dead letters are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LetterQuery {
    topic: Option<String>,
    reason: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /dead-letters`: the newest that this process set aside, personal fields hidden.
pub async fn letters(State(shared): State<Shared>, Asked(query): Asked<LetterQuery>) -> Result<Response, Problem> {
    let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
    let mut found = shared.published.letters.newest();
    found.retain(|letter| is(&query.topic, &letter.topic) && is(&query.reason, &letter.reason));
    let Page { items, total, next } = page(found, query.limit, query.cursor.as_deref())?;
    Ok(axum::Json(json!({ "dead_letters": items, "total": total, "next": next })).into_response())
}

fn quality(families: &[MetricFamily]) -> Value {
    let lag: f64 = series(families, "paceline_consumer_lag_records").map(|one| one.value).sum();
    let delay = series(families, "paceline_watermark_delay_seconds").next().map(|one| one.value);
    json!({
        "watermark_delay_seconds": delay,
        "lag_records": lag as i64,
        "sources": sources(families),
        "events": events(families),
        "dead_letters": counts(families, "paceline_events_rejected_total"),
        "facts": counts(families, "paceline_facts_copied_total"),
        "transactions": counts(families, "paceline_transactions_total"),
        "stage1": counts(families, "paceline_stage1_events_total"),
    })
}

/// Each topic and partition with its watermark, lag and whether it is silent.
fn sources(families: &[MetricFamily]) -> Vec<Value> {
    let mut sources: BTreeMap<(String, i64), Map<String, Value>> = BTreeMap::new();
    for (name, field, scale) in [
        ("paceline_watermark_timestamp_seconds", "watermark", 1e3),
        ("paceline_consumer_lag_records", "lag_records", 1.0),
        ("paceline_partition_idle", "idle", 1.0),
    ] {
        for one in series(families, name) {
            let topic = one.labels.get("topic").copied().unwrap_or_default().to_owned();
            let partition = one.labels.get("partition").and_then(|text| text.parse().ok()).unwrap_or(-1);
            let value = if field == "idle" { json!(one.value != 0.0) } else { json!((one.value * scale) as i64) };
            sources.entry((topic, partition)).or_default().insert(field.into(), value);
        }
    }
    let row = |((topic, partition), found): ((String, i64), Map<String, Value>)| {
        let of = |field: &str| found.get(field).cloned().unwrap_or(Value::Null);
        let missing = |field: &str, why: &str| found.get(field).is_none().then(|| why.to_owned());
        json!({
            "topic": topic, "partition": partition,
            "watermark": of("watermark"), "watermark_reason": missing("watermark", "nothing_read_yet"),
            "lag_records": of("lag_records"), "lag_reason": missing("lag_records", "not_measured_yet"),
            "idle": found.get("idle").cloned().unwrap_or(json!(false)),
        })
    };
    sources.into_iter().map(row).collect()
}

fn events(families: &[MetricFamily]) -> Vec<Value> {
    let fields = [
        ("paceline_events_consumed_total", "consumed"),
        ("paceline_events_late_total", "late"),
        ("paceline_events_duplicate_total", "duplicate"),
        ("paceline_dedupe_evictions_total", "dedupe_evicted"),
    ];
    let mut rows: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (name, field) in fields {
        for one in series(families, name) {
            let kind = one.labels.get("event_type").copied().unwrap_or_default().to_owned();
            rows.entry(kind).or_default().insert(field.into(), json!(one.value as i64));
        }
    }
    let row = |(kind, mut row): (String, Map<String, Value>)| {
        row.insert("event_type".into(), json!(kind));
        Value::Object(row)
    };
    rows.into_iter().map(row).collect()
}

/// A family of counters: its labels, and `count`.
fn counts(families: &[MetricFamily], name: &str) -> Vec<Value> {
    let row = |one: Series<'_>| {
        let labels = one.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
        Value::Object(labels.chain([("count".to_owned(), json!(one.value as i64))]).collect())
    };
    series(families, name).map(row).collect()
}

struct Series<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    value: f64,
}

fn series<'a>(families: &'a [MetricFamily], name: &str) -> impl Iterator<Item = Series<'a>> {
    let family = families.iter().find(|family| family.name() == name);
    family.into_iter().flat_map(|family| family.get_metric()).map(|metric| Series {
        labels: metric.get_label().iter().map(|label| (label.name(), label.value())).collect(),
        // A series is one of the two; the other is 0.
        value: metric.get_counter().get_value() + metric.get_gauge().get_value(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn a_source_without_a_watermark_says_so_and_counters_keep_their_labels() {
        let metrics = Metrics::new();
        metrics.lag_records.with_label_values(&["ads.clicks", "1"]).set(7);
        metrics.rejected.with_label_values(&["ads.clicks", "too_old"]).inc_by(2);
        let quality = quality(&metrics.families());
        assert_eq!(quality["lag_records"], 7);
        assert_eq!(quality["sources"][0]["watermark"], Value::Null);
        assert_eq!(quality["sources"][0]["watermark_reason"], "nothing_read_yet");
        assert_eq!(quality["dead_letters"], json!([{ "topic": "ads.clicks", "reason": "too_old", "count": 2 }]));
    }
}
