//! Set-ups that cannot work: each is told in one clear sentence with what to do, with the right exit code, in time.

// Stories wait for a broker; their deadlines come from a clock.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};
use system_tests::deployment::JOURNAL_PARTITIONS;
use system_tests::service::free_ports;
use system_tests::{Broker, Deployment, logs, wait};

/// Everything is told within this; a test machine is busy, so the process has a little more than a user would see.
const LIMIT: Duration = Duration::from_secs(10);
/// May pass by itself.
const TRY_LATER: i32 = 75;
/// A person must change something.
const SETUP: i32 = 78;

#[test]
fn a_broker_that_is_not_there_may_come_later() {
    let (port, _) = free_ports();
    let deployment = Deployment::without_topics(&format!("127.0.0.1:{port}"), "absent");
    for command in [&["run"][..], &["check"], &["topics", "plan"]] {
        let words = refused(&deployment, command, TRY_LATER);
        says(&words, &[&format!("127.0.0.1:{port}"), "kafka.brokers"]);
    }
    deployment.clean();
}

#[test]
fn missing_topics_are_named_with_the_command_that_creates_them() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::without_topics(&broker.address(), "missing");
    for command in ["run", "check"] {
        let words = refused(&deployment, &[command], SETUP);
        says(&words, &[deployment.topic("clicks"), deployment.topic("journal"), "paceline topics apply"]);
    }
    deployment.create_topics();
    let words = deployment.run(&["check"]);
    assert!(words.contains("complete"), "{words}");
    deployment.clean();
}

#[test]
fn unequal_partition_counts_are_told_with_the_numbers() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::without_topics(&broker.address(), "unequal");
    let stamped = [("message.timestamp.type", "LogAppendTime")];
    broker.create_topic(deployment.topic("clicks"), 3, &stamped);
    broker.create_topic(deployment.topic("kpis"), JOURNAL_PARTITIONS + 1, &stamped);
    deployment.create_topics();
    for command in ["run", "check"] {
        let words = refused(&deployment, &[command], SETUP);
        let (clicks, views) = (deployment.topic("clicks"), deployment.topic("impressions"));
        says(&words, &[&format!("{clicks} has 3"), &format!("{views} has 4"), "equal", deployment.topic("kpis")]);
    }
    deployment.clean();
}

#[test]
fn what_is_missing_and_what_is_wrong_are_told_together() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::without_topics(&broker.address(), "both");
    broker.create_topic(deployment.topic("kpis"), JOURNAL_PARTITIONS + 1, &[]);
    let words = refused(&deployment, &["check"], SETUP);
    let found = format!("{} needs {JOURNAL_PARTITIONS} partitions", deployment.topic("kpis"));
    says(&words, &["do not exist", deployment.topic("clicks"), &found, "then create the others"]);
    deployment.clean();
}

#[test]
fn event_topics_that_grew_are_refused_while_in_use_and_later_and_the_past_is_still_reproduced() {
    let Some(broker) = Broker::shared() else { return };
    let mut deployment = Deployment::new(broker, "grown");
    deployment.set("user_key.secret", "a secret of this story");
    deployment.set("kafka.properties.topic_metadata_refresh_interval_ms", "500");
    let mut service = deployment.start("0");
    deployment.run(&["generate", "--campaigns", "2", "--users", "20", "--for", "1s", "--rate", "100"]);
    wait::until("the first cut is committed", LIMIT, || {
        let positions =
            logs::committed(&deployment.brokers, &deployment.group("aggregator"), deployment.topic("clicks"), 1);
        (!positions.is_empty()).then_some(())
    });
    let grown = ["impressions", "clicks", "conversions", "epochs"].map(|word| deployment.topic(word));
    logs::grow(&deployment.brokers, &grown, 6);
    assert_eq!(service.wait_for_end(LIMIT).code(), Some(SETUP), "{}", service.log());
    says(&service.log(), &["had 4 partitions", "now have 6", "under new names"]);
    for command in ["run", "check"] {
        says(&refused(&deployment, &[command], SETUP), &["had 4 partitions", "now have 6"]);
    }
    let report: serde_json::Value = serde_json::from_str(&deployment.run(&["verify", "--output", "json"])).unwrap();
    assert!(report["journal_records"].as_u64() > Some(0), "{report}");
    deployment.clean();
}

#[test]
fn a_journal_that_the_broker_does_not_stamp_is_refused() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::without_topics(&broker.address(), "unstamped");
    broker.create_topic(deployment.topic("journal"), JOURNAL_PARTITIONS, &[("message.timestamp.type", "CreateTime")]);
    deployment.output(&["topics", "apply"]);
    let words = refused(&deployment, &["run"], SETUP);
    says(&words, &[deployment.topic("journal"), "LogAppendTime"]);
    deployment.clean();
}

#[test]
fn a_topic_that_takes_no_batch_of_ours_is_refused() {
    let Some(broker) = Broker::shared() else { return };
    let deployment = Deployment::without_topics(&broker.address(), "narrow");
    let small = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "2000")];
    broker.create_topic(deployment.topic("journal"), JOURNAL_PARTITIONS, &small);
    deployment.output(&["topics", "apply"]);
    for command in ["run", "check"] {
        says(&refused(&deployment, &[command], SETUP), &[deployment.topic("journal"), "max.message.bytes is 2000"]);
    }
    deployment.clean();
}

#[test]
fn a_wrong_password_is_a_matter_for_a_person_and_is_not_shown() {
    let Some(broker) = Broker::with_passwords() else {
        return;
    };
    let mut deployment = Deployment::without_topics(&broker.address(), "password");
    let mut property = |name: &str, value: &str| deployment.set(&format!("kafka.properties.{name}"), value);
    property("security_protocol", "sasl_plaintext");
    property("sasl_mechanism", "PLAIN");
    property("sasl_username", "paceline");
    property("sasl_password", "wrong-hunter2");
    deployment.set("user_key.secret", "not-the-built-in-one");
    for command in ["run", "check"] {
        let words = refused(&deployment, &[command], SETUP);
        says(&words, &["sasl"]);
        assert!(!words.contains("hunter2"), "a secret is shown: {words}");
    }
    deployment.set("kafka.properties.sasl_password", "right-hunter2");
    deployment.create_topics();
    deployment.run(&["check"]);
    let shown = deployment.run(&["config", "show"]);
    assert!(!shown.contains("hunter2") && !shown.contains("not-the-built-in-one") && shown.contains("***"), "{shown}");
    // A secured cluster holds real users: the key that everybody knows is refused there.
    deployment.environment.remove("PACELINE__USER_KEY__SECRET");
    says(&refused(&deployment, &["run"], SETUP), &["user_key.secret"]);
    deployment.clean();
}

#[test]
fn every_mistake_in_the_configuration_is_told_at_once_with_the_nearest_name() {
    let deployment = Deployment::without_topics("127.0.0.1:1", "mistakes");
    let file = deployment.folder.join("paceline.toml");
    fs::write(&file, "[kafka]\nbrokrs = \"x:1\"\n[epoch]\ninterval = \"fast\"\n").expect("a file can be written");
    let path = file.display().to_string();
    for command in [&["run", "--config", &path][..], &["check", "--no-environment", "--config", &path]] {
        let words = refused(&deployment, command, SETUP);
        says(&words, &["kafka.brokrs", "kafka.brokers", "epoch.interval"]);
    }
    let mut deployment = deployment;
    deployment.set("snapshot.interval", "5m");
    says(&refused(&deployment, &["check", "--no-environment"], SETUP), &["snapshots.interval"]);
    deployment.clean();
}

#[test]
fn a_port_in_use_is_named_with_its_setting() {
    let Some(broker) = Broker::shared() else { return };
    let mut deployment = Deployment::new(broker, "port");
    let taken = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let port = taken.local_addr().expect("a bound socket has an address").port();
    let (free, other) = free_ports();
    for (setting, http, metrics) in [("http.listen", port, free), ("metrics.listen", other, port)] {
        deployment.set("http.listen", &format!("127.0.0.1:{http}"));
        deployment.set("metrics.listen", &format!("127.0.0.1:{metrics}"));
        for command in ["run", "check"] {
            let words = refused(&deployment, &[command], TRY_LATER);
            says(&words, &[&format!("127.0.0.1:{port}"), setting]);
        }
    }
    deployment.clean();
}

#[test]
fn a_check_beside_the_running_service_passes_and_says_who_holds_the_port() {
    let Some(broker) = Broker::shared() else { return };
    let mut deployment = Deployment::new(broker, "beside");
    let mut service = deployment.start("0");
    deployment.set("http.listen", &format!("127.0.0.1:{}", service.http_port()));
    let words = deployment.run(&["check"]);
    says(&words, &["complete", &service.http_port().to_string(), "http.listen", "Paceline service that runs already"]);
    service.stop();
    deployment.clean();
}

#[test]
fn snapshots_of_another_secret_are_passed_over_with_that_reason() {
    let Some(broker) = Broker::shared() else { return };
    let mut deployment = Deployment::new(broker, "secret");
    deployment.set("user_key.secret", "the first");
    let mut first = deployment.start("0");
    deployment.run(&["generate", "--campaigns", "5", "--rate", "500", "--for", "1s"]);
    wait::until("events are in a cut", LIMIT + LIMIT, || {
        (!logs::read(&deployment.brokers, &[deployment.topic("epochs")]).is_empty()).then_some(())
    });
    first.stop();
    let before = first.log().len();
    deployment.set("user_key.secret", "the second");
    let mut second = deployment.start("0");
    let log = second.log().split_off(before);
    assert!(log.contains("user_key.secret was changed since this snapshot was taken"), "{log}");
    assert!(!log.contains("passed over"), "nothing else is the reason: {log}");
    second.stop();
    deployment.clean();
}

#[test]
fn each_mistake_has_a_line_of_its_own_and_the_advice_too() {
    let deployment = Deployment::without_topics("127.0.0.1:1", "lines");
    let file = deployment.folder.join("paceline.toml");
    fs::write(&file, "[kafka]\nbrokrs = \"x:1\"\n[epoch]\ninterval = \"fast\"\n").expect("a file can be written");
    let path = file.display().to_string();
    let absent = deployment.folder.join("absent.toml").display().to_string();
    let words = refused(&deployment, &["check", "--no-environment", "--config", &path, "--config", &absent], SETUP);
    let lines: Vec<&str> = words.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("  - ")).count(), 3, "{words}");
    assert_eq!(words.matches(&absent).count(), 1, "a path is told once: {words}");
    assert!(lines.last().is_some_and(|last| last.starts_with("what to do: ")), "{words}");
    deployment.clean();
}

/// Runs a command that must be refused with this exit code in time; returns what it told people.
fn refused(deployment: &Deployment, arguments: &[&str], code: i32) -> String {
    let started = Instant::now();
    let mut child = deployment
        .command(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    while child.try_wait().expect("a child can be asked").is_none() {
        if started.elapsed() > LIMIT + LIMIT {
            let _ = child.kill();
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let took = started.elapsed();
    let output = child.wait_with_output().expect("a child can be waited for");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("setup: {} after {took:.1?}: {}", arguments.join(" "), words.lines().last().unwrap_or_default());
    assert_eq!(output.status.code(), Some(code), "{}: {words}", arguments.join(" "));
    assert!(took < LIMIT, "{}: told after {took:?}", arguments.join(" "));
    // One sentence: no backtrace, no list of the client's own lines.
    assert!(words.contains("paceline: ") && !words.contains("panicked"), "{words}");
    words
}

fn says(words: &str, all: &[&str]) {
    for one in all {
        assert!(words.contains(one), "{one:?} is not in: {words}");
    }
}
