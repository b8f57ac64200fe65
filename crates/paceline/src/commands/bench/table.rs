//! The measurement as a table for people.

use serde_json::Value;

/// One line a figure: what, how much, and what it means where that is not plain.
pub fn table(document: &Value) -> Vec<String> {
    let number = |pointer: &str| document.pointer(pointer).and_then(Value::as_f64);
    let note = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rate = |pointer: &str| number(pointer).map_or("-".into(), |rate| format!("{} events/s", grouped(rate)));
    let millis = |pointer: &str| number(pointer).map_or("-".into(), |millis| format!("{} ms", grouped(millis)));
    let bytes = |pointer: &str| number(pointer).map_or("-".into(), |bytes| format!("{:.1} MB", bytes / 1e6));
    let plain = |pointer: &str| number(pointer).map_or("-".into(), grouped);
    let ratio = number("/ratio_to_bare_batch").map_or("-".into(), |ratio| format!("{ratio:.2}"));
    let commands = format!("{} pauses timed", plain("/latency_ms/commands"));
    let load = format!("at {} events/s", plain("/settings/latency_events_per_second"));
    let campaigns = format!("{} campaigns, {} users", plain("/settings/campaigns"), plain("/settings/users"));
    let partitions =
        format!("{} event and {} journal", plain("/settings/event_partitions"), plain("/settings/journal_partitions"));
    let version = note("/versions/paceline");
    let rows: [(&str, String, String); 14] = [
        ("events", plain("/events"), campaigns),
        ("partitions", partitions, String::new()),
        ("service", rate("/service_per_second"), note("/service_note")),
        ("its cuts alone", rate("/cuts_per_second"), "until the last event is in the journal".into()),
        ("bare batch reading", rate("/bare_batch_per_second"), "impressions alone, before and after".into()),
        ("bare poll reading", rate("/bare_poll_per_second"), "impressions alone, record by record".into()),
        ("ratio", ratio, "service to bare batch reading".into()),
        ("event to command p50", millis("/latency_ms/p50"), commands),
        ("event to command p99", millis("/latency_ms/p99"), load),
        ("event to command max", millis("/latency_ms/max"), String::new()),
        ("resident memory", bytes("/rss_bytes"), "after all events".into()),
        ("journal", bytes("/journal_bytes"), "payloads, the latency load included".into()),
        ("version", version, String::new()),
        ("note", note("/latency_ms/note"), String::new()),
    ];
    let told = rows.into_iter().filter(|(name, value, _)| *name != "note" || !value.is_empty());
    told.map(|(name, value, about)| format!("{name:<22}{value:>22}  {about}").trim_end().to_owned()).collect()
}

/// Digits in threes.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_says_what_and_how_much() {
        let document = json!({ "events": 4_000_000, "service_per_second": 530_112.4, "ratio_to_bare_batch": 0.171,
            "latency_ms": { "p50": null, "commands": 0, "note": "no campaign reached its budget" } });
        let lines = table(&document);
        let line = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap().clone();
        assert!(line("events ").contains("4,000,000"));
        assert!(line("service").contains("530,112 events/s"));
        assert!(line("ratio").contains("0.17"));
        assert!(line("event to command p50").contains(" - "));
        assert!(line("note").contains("no campaign reached its budget"));
    }

    #[test]
    fn a_complete_measurement_has_no_note() {
        assert!(table(&json!({})).iter().all(|line| !line.starts_with("note")));
    }
}
