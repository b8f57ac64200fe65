//! A real schema registry: its ids are written and read, and its absence is never taken for an unknown id.
//!
//! `tests/run` fetches Apicurio Registry for it, `tests/registry` runs it alone; without one it says that it was skipped. What the client
//! does with every kind of answer is tested beside it (`crates/paceline/src/registry`), without a registry.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use system_tests::avro::schemas;
use system_tests::deployment::EVENT_PARTITIONS;
use system_tests::service::free_ports;
use system_tests::{Broker, Deployment, http, logs, wait};

const API: &str = "/apis/ccompat/v7";
/// Of each wait; a registry takes six seconds to start on a quiet machine.
const LIMIT: Duration = Duration::from_secs(180);
/// May pass by itself.
const TRY_LATER: Option<i32> = Some(75);

#[test]
fn a_registry_that_is_away_holds_everything_and_one_that_answers_decides() {
    let Some(registry) = Registry::start() else { return };
    let Some(broker) = Broker::shared() else { return };
    // So that no id of the registry is by chance a fixed one.
    let others =
        (1..=40).map(|size| registry.register("other-value", &json!({"type": "fixed", "name": "o", "size": size})));
    assert!(others.max() >= Some(40));
    let mut deployment = Deployment::new(broker, "registry");
    deployment.set("registry.url", &format!("http://127.0.0.1:{}{API}", registry.port));
    deployment.set("registry.patience", "3s");
    let words = deployment.run(&["check"]);
    assert!(words.contains("will be registered"), "{words}");
    let mut service = deployment.start("0");
    assert!(!deployment.run(&["check"]).contains("will be registered"));

    // The writer's own schema, under an id of the registry; then an id that nobody knows.
    let (brokers, topic) = (&deployment.brokers, deployment.topic("impressions").to_owned());
    let mut schema: Value = serde_json::from_str(include_str!("../../schemas/impression.avsc")).unwrap();
    let first = registry.register(&format!("{topic}-value"), &schema);
    send(brokers, &topic, &[(first, "a"), (999_999, "b"), (first, "c")], &[]);
    folded(&deployment, &topic, 3);
    assert_eq!(dead_letters(&deployment), ["unknown_schema"]);
    let ids: Vec<u32> = logs::read(brokers, &[deployment.topic("epochs")]).iter().map(|e| id_of(e.bytes())).collect();
    assert!(ids.iter().all(|id| *id > 40), "our own records carry the registry's ids: {ids:?}");
    assert!(deployment.run(&["tap", deployment.topic("epochs"), "--max", "1"]).contains("watermark"));

    // Away: a schema that was never asked for holds everything, then the process ends and judges nothing.
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.push(json!({"name": "their_own", "type": ["null", "string"], "default": null}));
    let second = registry.register(&format!("{topic}-value"), &schema);
    assert_ne!(first, second);
    registry.signal("-STOP");
    send(brokers, &topic, &[(second, "d")], &[0]);
    assert_eq!(service.wait_for_end(LIMIT).code(), TRY_LATER, "{}", service.last_words());
    assert!(service.last_words().contains("registry"), "{}", service.last_words());
    // A start goes on with what it knows, reads what it has read before, and holds at the schema that nobody knows yet.
    service.start_again(&[], &[]);
    assert_eq!(service.wait_for_end(LIMIT).code(), TRY_LATER, "{}", service.last_words());
    assert!(service.last_words().contains(&format!("cannot be asked for id {second}")), "{}", service.last_words());
    assert_eq!(dead_letters(&deployment), ["unknown_schema"]);
    // A halt needs no registry.
    assert!(deployment.run(&["halt", "--scope", "account=a", "--reason", "try"]).contains("feedback topic"));

    registry.signal("-CONT");
    service.start_again(&[], &[]);
    service.wait_until_ready();
    folded(&deployment, &topic, 4);
    assert_eq!(dead_letters(&deployment), ["unknown_schema"]);
    service.stop();
    assert!(deployment.run(&["verify"]).contains("records replayed"));
    deployment.clean();
}

/// `rest` is what the writer has behind our fields.
fn send(brokers: &str, topic: &str, records: &[(u32, &str)], rest: &[u8]) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let writer = logs::Writer::open(brokers);
    for (id, event) in records {
        let fields = json!({"event_id": event, "event_time": now, "account_id": "a", "campaign_id": "c", "channel": "search",
            "device": "mobile", "geo": "", "cost_micros": 7, "currency": "EUR"});
        let mut bytes = schemas().encode("Impression", fields);
        bytes[1..5].copy_from_slice(&id.to_be_bytes());
        bytes.extend(rest);
        writer.send(topic, Some(0), None, Some(&bytes));
    }
    writer.flush();
}

fn folded(deployment: &Deployment, topic: &str, end: i64) {
    wait::until("the records are in a cut", LIMIT, || {
        let group = deployment.group("aggregator");
        let committed = logs::committed(&deployment.brokers, &group, topic, EVENT_PARTITIONS);
        (committed.get(&0) == Some(&end)).then_some(())
    });
}

fn dead_letters(deployment: &Deployment) -> Vec<String> {
    let letters = logs::read(&deployment.brokers, &[deployment.topic("dead_letters")]);
    letters.iter().map(|letter| letter.headers["reason"].clone()).collect()
}

fn id_of(payload: &[u8]) -> u32 {
    u32::from_be_bytes(payload[1..5].try_into().unwrap())
}

/// Apicurio Registry, in memory; it ends with the story.
struct Registry {
    child: Child,
    port: u16,
}

impl Registry {
    fn start() -> Option<Registry> {
        let Some(folder) = std::env::var_os("PACELINE_TEST_REGISTRY").map(PathBuf::from) else {
            eprintln!("SKIPPED: this story needs a schema registry: tests/registry");
            return None;
        };
        let java = std::env::var("REGISTRY_JAVA").unwrap_or_else(|_| "java".into());
        let (port, management) = free_ports();
        let child = Command::new(java)
            .current_dir(&folder)
            .args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dquarkus.http.host=127.0.0.1"])
            .arg(format!("-Dquarkus.http.port={port}"))
            .arg(format!("-Dquarkus.management.port={management}"))
            .args(["-jar", "quarkus-run.jar"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("java runs");
        let mut registry = Registry { child, port };
        wait::until("the registry answers", LIMIT, || {
            assert!(
                registry.child.try_wait().unwrap().is_none(),
                "the registry ended; it needs java 21 (REGISTRY_JAVA)"
            );
            http::get(port, &format!("{API}/subjects")).filter(|(status, _)| *status == 200)
        });
        Some(registry)
    }

    /// The id that the registry gives; the same schema gets the same, however often it is asked.
    fn register(&self, subject: &str, schema: &Value) -> u32 {
        let body = json!({ "schema": schema.to_string() }).to_string();
        let request = format!(
            "POST {API}/subjects/{subject}/versions HTTP/1.0\r\nHost: localhost\r\n\
             Content-Type: application/vnd.schemaregistry.v1+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // In its first seconds under load it closes connections that it has accepted.
        let answer = wait::until("the registry answers a registration", LIMIT, || self.ask(&request).ok());
        let id = answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str::<Value>(body).ok());
        let id = id.and_then(|body| body["id"].as_u64());
        id.unwrap_or_else(|| panic!("the registry does not take the schema: {answer}")) as u32
    }

    /// A whole answer.
    fn ask(&self, request: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.contains("\r\n\r\n") { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // SIGKILL ends a stopped process too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
