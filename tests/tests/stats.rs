//! A campaign without an event stream: its platform's hourly reports are its spend, whatever is sent twice.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use system_tests::avro::schemas;
use system_tests::logs::Writer;
use system_tests::truth::{self, Cell, Cells, HOUR_MS};
use system_tests::{Broker, Deployment, http, kpis, wait};

#[test]
fn a_campaign_fed_by_reports_alone_shows_their_spend_and_no_report_twice() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::new(broker, "stats");
    specify(&deployment);
    let mut service = deployment.start("0");
    let early = refuse_an_event_of_tomorrow(&deployment);
    let hour = now_ms() / HOUR_MS;
    // Six whole hours, the last of them the one before this.
    let hours: Vec<i64> = (hour - 6..hour).map(|hour| hour * HOUR_MS).collect();

    // By the command, as a connector without a producer would.
    let file = deployment.folder.join("reports.csv");
    let mut rows = String::from(
        "report_id,account_id,campaign_id,platform,window_start,window_end,impressions,clicks,cost_micros,conversions,value_micros,currency\n",
    );
    for (at, start) in hours.iter().enumerate() {
        let (cost, end) = (1_000_000 * (at as i64 + 1), start + HOUR_MS);
        rows += &format!("r{at},shop,reported,google_ads,{start},{end},{},{at},{cost},1,5000000,EUR\n", 100 * (at + 1));
    }
    fs::write(&file, rows).expect("a file can be written");
    let import = ["import", "--kind", "stats", &file.display().to_string()];
    deployment.run(&import);
    let mut expected: Cells = hours
        .iter()
        .enumerate()
        .map(|(at, start)| {
            let cell = Cell {
                impressions: 100 * (at as i64 + 1),
                clicks: at as i64,
                spend_micros: 1_000_000 * (at as i64 + 1),
                conversions: 1,
                value_micros: 5_000_000,
            };
            (("reported".to_owned(), *start), cell)
        })
        .collect();
    let rows = wait_for_hours(&deployment, "reports are counted", &expected);
    assert!(rows.rows.keys().all(|(_, _, granularity, _)| granularity != "minute"), "a report has no minutes");

    // The same again, twice; a revision of one hour; an older revision after it; and own events, which are compared
    // and not added.
    deployment.run(&import);
    let writer = Writer::open(&deployment.brokers);
    let snapshot = |revision: i64, cost: i64| report("r2", "reported", hours[2], revision, cost, "snapshot");
    for (revision, cost) in [(1, 3_000_000), (2, 4_500_000), (2, 4_500_000), (1, 3_000_000)] {
        send(&writer, &deployment, "StatsReport", "stats", "reported", snapshot(revision, cost));
    }
    // Deltas add, each report once, and a higher revision of one replaces what it added.
    for (id, revision, cost) in
        [("d1", 1, 700_000), ("d1", 1, 700_000), ("d2", 1, 300_000), ("d1", 2, 600_000), ("d1", 1, 700_000)]
    {
        let delta = report(id, "added", hours[3], revision, cost, "delta");
        send(&writer, &deployment, "StatsReport", "stats", "added", delta);
    }
    for number in 0..50 {
        let id = format!("own-{number}");
        let event = json!({"event_id": id, "event_time": hours[4] + number, "account_id": "shop", "campaign_id": "reported",
            "channel": "search", "device": "mobile", "geo": "DE", "cost_micros": 100_000, "currency": "EUR", "user_key": id});
        send(&writer, &deployment, "Impression", "impressions", &id, event);
    }
    writer.flush();
    let cell = expected.get_mut(&("reported".to_owned(), hours[2])).expect("an hour of it");
    *cell = Cell { impressions: 10, clicks: 1, spend_micros: 4_500_000, conversions: 0, value_micros: 0 };
    let added = Cell { impressions: 20, clicks: 2, spend_micros: 900_000, ..Cell::default() };
    expected.insert(("added".to_owned(), hours[3]), added);
    wait_for_hours(&deployment, "revisions replace, deltas add, copies and own events do not", &expected);

    // A marker behind everything above: once it is through, nothing above is still on its way.
    let marker = report("m", "added", hours[5], 1, 1, "delta");
    send(&writer, &deployment, "StatsReport", "stats", "added", marker);
    writer.flush();
    expected.insert(
        ("added".to_owned(), hours[5]),
        Cell { impressions: 10, clicks: 1, spend_micros: 1, ..Cell::default() },
    );
    wait_for_hours(&deployment, "and nothing changes after it", &expected);
    paced(service.http_port(), truth::total(&reported(&expected)).spend_micros);
    sent_back_once(&deployment, service.http_port(), early);
    service.stop();
    deployment.clean();
}

/// An event that is refused now, since it is too far ahead of the clock, and would be taken some time later.
fn refuse_an_event_of_tomorrow(deployment: &Deployment) -> i64 {
    let due = now_ms() + 25_000;
    let event = json!({"event_id": "early", "event_time": due + 5 * 60_000, "account_id": "shop", "campaign_id": "elsewhere",
        "channel": "search", "device": "mobile", "geo": "DE", "cost_micros": 1, "currency": "EUR", "user_key": "person-7"});
    let writer = Writer::open(&deployment.brokers);
    let payload = event.to_string();
    writer.send(deployment.topic("clicks"), None, Some(b"person-7"), Some(payload.as_bytes()));
    writer.flush();
    due
}

/// It is listed without the person, sent back when its time has come, and not a second time.
fn sent_back_once(deployment: &Deployment, port: u16, due: i64) {
    let list = || deployment.run(&["dead-letters", "list", "--reason", "future"]);
    let listed = wait::until_ok("the refused event is listed", LIMIT, || {
        let listed = list();
        if listed.contains("\"early\"") { Ok(listed) } else { Err(listed) }
    });
    assert!(listed.contains("\"user_key\":\"***\"") && !listed.contains("person-7"), "{listed}");
    let shown = http::get_json(port, "/api/v1/dead-letters?reason=future");
    assert_eq!(shown["dead_letters"][0]["sample"]["user_key"], "***", "{shown}");
    wait::until("its time has come", LIMIT, || (now_ms() > due).then_some(()));
    let retry = || deployment.run(&["dead-letters", "retry", "--reason", "future"]);
    let sent = retry();
    assert!(sent.contains("\"attempt\":1") && sent.contains("\"sent\":true"), "{sent}");
    assert_eq!(retry(), "", "nothing goes back twice");
    let clicks = deployment.run(&["tap", deployment.topic("clicks")]);
    assert_eq!(clicks.matches("\"early\"").count(), 2, "the original and one attempt: {clicks}");
    assert_eq!(clicks.matches("\"paceline-attempt\":\"1\"").count(), 1, "{clicks}");
    assert!(list().contains("\"sent_back\":true"));
}

/// The campaign is seen by those who pace: its spend is known over HTTP.
fn paced(port: u16, spend_micros: i64) {
    wait::until_ok("the campaign's spend is shown", LIMIT, || {
        let answer = http::get_json(port, "/api/v1/campaigns");
        let campaigns = answer["campaigns"].as_array().cloned().unwrap_or_default();
        let mine = campaigns.iter().find(|campaign| campaign["campaign_id"] == "reported").cloned().unwrap_or_default();
        if mine["spend_flight_micros"] == spend_micros { Ok(()) } else { Err(format!("{mine}, not {spend_micros}")) }
    });
}

fn reported(cells: &Cells) -> Cells {
    cells.iter().filter(|((campaign, _), _)| campaign == "reported").map(|(key, cell)| (key.clone(), *cell)).collect()
}

fn wait_for_hours(deployment: &Deployment, what: &str, expected: &Cells) -> kpis::Kpis {
    kpis::wait_for(deployment, what, LIMIT, |rows| truth::compare(&rows.cells("hour"), expected))
}

fn specify(deployment: &Deployment) {
    let campaign = |id: &str| {
        json!({"campaign_id": id, "account_id": "shop", "channel": "search", "platform": "google_ads", "time_zone": "UTC",
            "currency": "EUR", "daily_budget_micros": 50_000_000, "spend_source": "stats", "mode": "observe"})
    };
    let file = deployment.folder.join("campaigns.json");
    fs::write(&file, json!([campaign("reported"), campaign("added")]).to_string()).expect("a file can be written");
    deployment.run(&["campaigns", "apply", &file.display().to_string()]);
}

fn report(id: &str, campaign: &str, start: i64, revision: i64, cost: i64, semantics: &str) -> Value {
    json!({"report_id": id, "revision": revision, "account_id": "shop", "campaign_id": campaign, "platform": "google_ads",
        "window_start": start, "window_end": start + HOUR_MS, "dimensions": {}, "impressions": 10, "clicks": 1,
        "cost_micros": cost, "conversions": 0, "value_micros": 0, "currency": "EUR", "basis": "impression_time",
        "semantics": semantics, "is_final": false})
}

fn send(writer: &Writer, deployment: &Deployment, record: &str, topic: &str, key: &str, json: Value) {
    let bytes = schemas().encode(record, json);
    writer.send(deployment.topic(topic), None, Some(key.as_bytes()), Some(&bytes));
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// Rows that changed after they were published are replaced once a minute.
const LIMIT: Duration = Duration::from_secs(150);
