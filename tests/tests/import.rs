//! Files of events, imported as a user would: JSON lines and Avro object container files of every kind give the records
//! that stand in them, read back from the topics field by field.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use apache_avro::types::Value as Avro;
use apache_avro::{Schema, Writer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use system_tests::avro::schemas;
use system_tests::{Broker, Deployment, logs};

/// Rows of each kind in each format.
const ROWS: i64 = 300;
/// Word of `--kind` and of the topic, name of the schema, name of its file.
const KINDS: [(&str, &str, &str); 4] = [
    ("impressions", "Impression", "impression"),
    ("clicks", "Click", "click"),
    ("conversions", "Conversion", "conversion"),
    ("stats", "StatsReport", "stats_report"),
];

#[test]
fn every_kind_in_json_lines_and_in_avro_arrives_as_it_stands_in_the_file() {
    let Some(broker) = Broker::shared() else { return };
    for format in ["jsonl", "avro"] {
        let deployment = Deployment::new(broker, &format!("import-{format}"));
        for (word, schema, file_name) in KINDS {
            let rows: Vec<Value> = (0..ROWS).map(|at| row(word, at)).collect();
            let file = deployment.folder.join(format!("{word}.{format}"));
            match format {
                "jsonl" => write_json_lines(&file, &rows),
                _ => write_avro(&file, &rows, file_name),
            }
            let printed = deployment.run(&["import", "--kind", word, &file.display().to_string()]);
            let report: Value = serde_json::from_str(printed.trim()).expect("one JSON document");
            assert_eq!(report, json!({ "sent": { deployment.topic(word): ROWS }, "shift_weeks": 0 }));
            let expected: BTreeMap<String, Value> = rows.into_iter().map(|row| (id(&row), row)).collect();
            let found = read_back(&deployment, word, schema);
            assert_eq!(found.len(), expected.len(), "{word} from {format}: each row is one record");
            for (id, row) in &expected {
                assert_eq!(&found[id], row, "{word} from {format}");
            }
        }
        deployment.clean();
    }
}

#[test]
fn a_file_with_one_bad_row_sends_nothing_and_names_the_row() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::new(broker, "import-bad");
    let mut rows: Vec<Value> = (0..5).map(|at| row("clicks", at)).collect();
    rows[3]["cost_micros"] = json!("cheap");
    let file = deployment.folder.join("clicks.jsonl");
    write_json_lines(&file, &rows);
    let output = deployment.output(&["import", "--kind", "clicks", &file.display().to_string()]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("row 4") && words.contains("cost_micros") && words.contains("nothing was sent"), "{words}");
    assert!(logs::read(&deployment.brokers, &[deployment.topic("clicks")]).is_empty());
    deployment.clean();
}

/// A row with every field of its kind; what may be null is so in every third row.
fn row(word: &str, at: i64) -> Value {
    let time = now_ms() / 60_000 * 60_000 - 3_600_000 + at * 1_000;
    let perhaps = |text: &str| if at % 3 == 0 { Value::Null } else { json!(format!("{text}-{at}")) };
    let touch = json!({
        "event_id": format!("{word}-{at}"), "event_time": time, "account_id": "shop", "campaign_id": format!("c-{}", at % 7),
        "ad_group_id": perhaps("group"), "creative_id": perhaps("creative"), "channel": "display",
        "platform": perhaps("platform"), "device": "mobile", "geo": "DE-BE", "user_key": perhaps("user"),
        "variant": perhaps("arm"), "cost_micros": at * 1_001, "currency": "EUR", "user_agent": perhaps("agent, \"quoted\" – ü"),
        "ip_key": perhaps("ip"), "audience": perhaps("audience"), "placement": perhaps("placement"),
    });
    match word {
        "impressions" => touch,
        "clicks" => {
            with(touch, json!({ "impression_id": perhaps("impressions"), "landing": perhaps("https://shop/?a=1&b=") }))
        }
        "conversions" => json!({
            "event_id": format!("{word}-{at}"), "event_time": time, "account_id": "shop", "user_key": perhaps("user"),
            "click_id": perhaps("clicks"), "order_id": perhaps("order"), "conversion_type": "lead",
            "value_micros": at * 1_000_003, "currency": "EUR", "campaign_id": perhaps("c"),
            "new_customer": if at % 3 == 0 { Value::Null } else { json!(at % 2 == 0) }, "customer_key": perhaps("customer"),
        }),
        _ => json!({
            "report_id": format!("report-{at}"), "revision": 1 + at % 3, "account_id": "shop",
            "campaign_id": format!("c-{}", at % 7), "ad_group_id": perhaps("group"), "creative_id": perhaps("creative"),
            "platform": "meta", "window_start": time, "window_end": time + 3_600_000,
            "dimensions": if at % 3 == 0 { json!({}) } else { json!({ "device": "mobile", "geo": "DE" }) },
            "impressions": at * 100, "clicks": at, "cost_micros": at * 5_000, "conversions": at / 10,
            "value_micros": at * 70_000, "currency": "EUR", "basis": "click_time", "semantics": "snapshot",
            "is_final": at % 2 == 0,
        }),
    }
}

fn with(mut row: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut row, more) {
        fields.extend(more);
    }
    row
}

/// What names a row of any kind.
fn id(row: &Value) -> String {
    let id = row.get("event_id").or_else(|| row.get("report_id")).and_then(Value::as_str);
    id.expect("every row has an id").to_owned()
}

/// Null fields are left out, as most writers of JSON lines do.
fn write_json_lines(file: &Path, rows: &[Value]) {
    let lines: Vec<String> = rows.iter().map(|row| json!(without_nulls(row)).to_string()).collect();
    fs::write(file, lines.join("\n")).expect("a file can be written");
}

fn without_nulls(row: &Value) -> Map<String, Value> {
    let fields = row.as_object().expect("a row is an object");
    fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn write_avro(file: &Path, rows: &[Value], schema_file: &str) {
    let text = fs::read_to_string(schema_path(schema_file)).expect("schemas/ can be read");
    let schema = Schema::parse_str(&text).expect("a schema parses");
    let mut writer = Writer::new(&schema, Vec::new()).expect("a schema resolves");
    for row in rows {
        let value =
            Avro::try_from(row.clone()).and_then(|value| value.resolve(&schema)).expect("a row fits its schema");
        writer.append_value(value).expect("a row can be written");
    }
    fs::write(file, writer.into_inner().expect("blocks can be written")).expect("a file can be written");
}

fn schema_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas").join(format!("{name}.avsc"))
}

/// All records of a topic by their ids, as JSON with unions unwrapped.
fn read_back(deployment: &Deployment, word: &str, schema: &str) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    logs::read_each(&deployment.brokers, &[deployment.topic(word)], |entry| {
        let (name, record) = schemas().decode(entry.bytes()).expect("an imported record decodes");
        assert_eq!(name, schema);
        let row = Value::try_from(record).expect("a record is JSON");
        let before = found.insert(id(&row), row);
        assert!(before.is_none(), "a row came twice: {before:?}");
    });
    found
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis() as i64
}
