//! Real impressions and clicks of a shop, imported as a user would: what the service counts equals a plain recount of
//! the file, on the topic and over HTTP; and so does a replay of the file without any broker.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use parquet::record::RowAccessor;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::truth::{self, Cell, Cells, HOUR_MS};
use system_tests::{Broker, Deployment, http, journal, kpis, service};

#[test]
fn impressions_and_clicks_of_each_policy_item_and_position_are_those_of_the_file() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::new(broker, "bandit");
    let mut service = deployment.start("0");
    let rows = rows();
    let campaigns = specify(&deployment, &rows);
    assert_eq!(campaigns, 204);

    let started = Instant::now();
    let data = data();
    let printed = deployment.run(&[
        "import",
        "--map",
        &data.join("men.toml").display().to_string(),
        "--shift-weeks",
        "auto",
        &data.join("men.csv").display().to_string(),
    ]);
    let report: Value = serde_json::from_str(printed.trim()).expect("one JSON document");
    let clicks = rows.iter().filter(|row| row.click).count();
    assert_eq!(report["sent"][deployment.topic("impressions")], rows.len());
    assert_eq!(report["sent"][deployment.topic("clicks")], clicks);
    let expected = recount(&rows, report["shift_weeks"].as_i64().expect("whole weeks"));

    let found =
        kpis::wait_for(&deployment, "hours are exact", LIMIT, |rows| truth::compare(&rows.cells("hour"), &expected));
    println!(
        "bandit: {} impressions, {clicks} clicks, {} hours of {campaigns} campaigns exact after {:.1?}, in {} records",
        rows.len(),
        expected.len(),
        started.elapsed(),
        found.records
    );
    truth::compare(&over_http(service.http_port(), &campaign_ids(&rows)), &expected).expect("the API says the same");
    service.stop();
    journal::check(&deployment).assert_clean();
    // The same topics through both stages again, without the service.
    let out = deployment.folder.join("of-topics");
    let printed = deployment.run(&["replay", "--events", "--output", "json", "--out", &out.display().to_string()]);
    let summary: Value = serde_json::from_str(&printed).expect("one JSON document");
    assert_eq!(summary["events"]["impressions"]["accepted"], rows.len(), "{}", summary["events"]);
    assert_eq!(summary["events"]["clicks"]["accepted"], clicks);
    truth::compare(&replayed_hours(&out.join("kpis.parquet")), &expected)
        .expect("a replay of the topics says the same");
    deployment.clean();
}

#[test]
fn a_replay_of_the_file_gives_the_sums_of_each_campaign_and_hour_that_the_topics_would_give() {
    let folder = std::env::temp_dir().join(format!("paceline-bandit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let (rows, specs, out) = (rows(), folder.join("campaigns.csv"), folder.join("run"));
    write_specifications(&specs, &rows);
    let replayed = Command::new(service::binary())
        .args(["replay", "--events", "--map"])
        .arg(data().join("men.toml"))
        .arg("--campaigns")
        .arg(&specs)
        .arg("--files")
        .arg(data().join("men.csv"))
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the program is built");
    let words = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert!(replayed.status.success(), "{words}");
    let found = replayed_hours(&out.join("kpis.parquet"));
    truth::compare(&found, &recount(&rows, 0)).expect("each hour is that of the file");
    let summary = std::fs::read_to_string(out.join("summary.json")).expect("a run has a summary");
    let summary: Value = serde_json::from_str(&summary).expect("it is JSON");
    assert_eq!(summary["policy"]["is_recorded"], false);
    assert_eq!(summary["totals"][0]["spend_micros"], rows.len() as i64 * 2_000, "{words}");
    assert_eq!(summary["events"]["impressions"]["accepted"], rows.len(), "{}", summary["events"]);
    std::fs::remove_dir_all(&folder).expect("ours");
}

/// The last revision of each hour in a run's table, without those in which nothing happened.
fn replayed_hours(table: &Path) -> Cells {
    let mut newest = BTreeMap::new();
    replay::tables::scan(table, &mut |row| {
        let text = |at: usize| row.get_string(at).expect("a text").clone();
        if text(2) != "hour" || text(3) != "conversion_time" {
            return;
        }
        let money = |at: usize| {
            let bytes = row.get_decimal(at).expect("a decimal");
            i64::from_be_bytes(bytes.data().try_into().expect("eight bytes"))
        };
        let cell = Cell {
            impressions: row.get_long(12).expect("a number"),
            clicks: row.get_long(13).expect("a number"),
            spend_micros: money(17),
            conversions: row.get_long(19).expect("a number"),
            value_micros: money(20),
        };
        let start = row.get_timestamp_micros(0).expect("an instant") / 1_000;
        let (key, revision) = ((text(5), start), row.get_long(7).expect("a number"));
        let known: &mut (i64, Cell) = newest.entry(key).or_default();
        if revision > known.0 {
            *known = (revision, cell);
        }
    })
    .expect("a run has a table of KPIs");
    newest.into_iter().map(|(key, (_, cell))| (key, cell)).collect()
}

/// A row of the file.
struct Row {
    policy: String,
    item: String,
    position: String,
    at: i64,
    click: bool,
}

impl Row {
    fn campaign(&self) -> String {
        format!("{}-{}-{}", self.policy, self.item, self.position)
    }
}

fn rows() -> Vec<Row> {
    let mut reader = csv::Reader::from_path(data().join("men.csv")).expect("the file is there");
    let rows = reader.records().map(|row| {
        let row = row.expect("a row");
        Row {
            policy: row[0].into(),
            at: instant(&row[1]),
            item: row[2].into(),
            position: row[3].into(),
            click: &row[4] == "1",
        }
    });
    rows.collect()
}

fn campaign_ids(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().map(Row::campaign).collect()
}

/// Publishes a specification of each policy, item and position.
fn specify(deployment: &Deployment, rows: &[Row]) -> usize {
    let file = deployment.folder.join("campaigns.csv");
    let count = write_specifications(&file, rows);
    deployment.run(&["campaigns", "apply", &file.display().to_string()]);
    count
}

fn write_specifications(file: &Path, rows: &[Row]) -> usize {
    let mut writer = csv::Writer::from_path(file).expect("the story's folder can be written");
    let head = ["campaign_id", "account_id", "name", "channel", "time_zone", "currency", "daily_budget_micros", "mode"];
    writer.write_record(head).expect("a file can be written");
    let campaigns: BTreeSet<(&str, String)> = rows.iter().map(|row| (row.policy.as_str(), row.campaign())).collect();
    for (policy, id) in &campaigns {
        let account = format!("shop-{policy}");
        let row = [id, &account, id, "display", "Asia/Tokyo", "JPY", "1000000000", "observe"];
        writer.write_record(row).expect("a file can be written");
    }
    writer.flush().expect("a file can be written");
    campaigns.len()
}

/// Impressions, clicks and cost by campaign and UTC hour, the file's times moved by whole weeks.
fn recount(rows: &[Row], weeks: i64) -> Cells {
    let mut cells = Cells::new();
    for row in rows {
        let hour = (row.at + weeks * WEEK_MS).div_euclid(HOUR_MS) * HOUR_MS;
        let cell = Cell { impressions: 1, clicks: row.click.into(), spend_micros: 2_000, ..Cell::default() };
        *cells.entry((row.campaign(), hour)).or_default() += cell;
    }
    cells
}

/// What `/api/v1/kpis` says, campaign by campaign.
fn over_http(port: u16, campaigns: &BTreeSet<String>) -> Cells {
    let mut cells = Cells::new();
    for campaign in campaigns {
        let path = format!("/api/v1/kpis?campaign_id={campaign}&granularity=hour&basis=conversion_time");
        let answer = http::get_json(port, &path);
        assert_eq!(answer["truncated"], false);
        for row in answer["rows"].as_array().expect("a list of rows") {
            let number = |name: &str| row[name].as_i64().unwrap_or_else(|| panic!("a row without {name}"));
            let cell = Cell {
                impressions: number("impressions"),
                clicks: number("clicks"),
                spend_micros: number("spend_micros"),
                conversions: number("conversions"),
                value_micros: number("value_micros"),
            };
            assert_eq!(row["campaign_id"], *campaign);
            *cells.entry((campaign.clone(), number("window_start"))).or_default() += cell;
        }
    }
    cells
}

/// Epoch milliseconds of `2019-11-24 00:01:03.979311+00:00`, cut below the millisecond; days by the civil calendar.
fn instant(text: &str) -> i64 {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    assert!(text.ends_with("+00:00"), "{text} is not UTC");
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = (days * 24 + number(11, 13)) * 3_600 + number(14, 16) * 60 + number(17, 19);
    let fraction = text[19..text.len() - 6].strip_prefix('.').unwrap_or("0");
    let millis: i64 = format!("{fraction:0<3}")[..3].parse().expect("digits");
    seconds * 1_000 + millis
}

#[test]
fn instants_are_read_as_they_stand() {
    assert_eq!(instant("1970-01-01 00:00:00+00:00"), 0);
    assert_eq!(instant("2019-11-24 00:01:03.979311+00:00"), 1_574_553_663_979);
    assert_eq!(instant("2020-02-29 12:00:00.5+00:00"), 1_582_977_600_500);
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/bandit")
}

const WEEK_MS: i64 = 7 * 24 * HOUR_MS;
/// Seconds would do; rows that changed after they were published are replaced once a minute.
const LIMIT: Duration = Duration::from_secs(150);
