//! What operators install fits the binary: files parse, and rules and dashboards speak of metrics that exist.
//!
//! Names, labels and their values are held against the source that registers them, so a renamed metric fails here and
//! not in somebody's night. Unit tests of the rules run where `promtool` is installed; where it is not, the test says
//! that it skipped them. Missing on purpose: containers and clusters, which need a daemon.

// The rim of the tests: they start a tool and read files.
#![allow(clippy::disallowed_methods)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const METRICS: &str = include_str!("../../crates/paceline/src/telemetry/metrics.rs");
const METRICS_OF_THE_REGISTRY: &str = include_str!("../../crates/paceline/src/registry/count.rs");
/// What Prometheus and its process collector add, and the labels of a scrape.
const NOT_OURS: [&str; 2] = ["up", "ALERTS"];
const PROCESS: [&str; 3] = ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"];
const SCRAPE_LABELS: [&str; 4] = ["namespace", "job", "instance", "le"];
/// Where label values are spelled.
const SPELLED_IN: [&str; 3] = ["crates/paceline/src", "crates/avro-codec/src", "crates/controller/src"];

#[test]
fn every_file_parses() {
    let mut seen = 0;
    for path in files_under(&deploy("")) {
        match path.extension().and_then(|end| end.to_str()) {
            Some("yml" | "yaml") => drop(yaml_documents(&path)),
            Some("json") => {
                drop(serde_json::from_str::<Value>(&read(&path)).unwrap_or_else(|e| panic!("{path:?}: {e}")))
            }
            Some("toml") => {
                drop(toml::from_str::<toml::Value>(&read(&path)).unwrap_or_else(|e| panic!("{path:?}: {e}")))
            }
            _ => continue,
        }
        seen += 1;
    }
    assert!(seen > 20, "only {seen} files were looked at");
}

#[test]
fn rules_and_dashboards_speak_of_metrics_labels_and_values_that_exist() {
    let registered = registered();
    assert!(registered.len() > 35, "the metrics are not found in their source: {registered:?}");
    let recorded: BTreeSet<String> = rules().iter().filter_map(|rule| word(rule, "record")).collect();
    let spelled: String = SPELLED_IN.iter().flat_map(|folder| files_under(&root(folder))).map(|p| read(&p)).collect();
    let mut faults = Vec::new();
    let rules = rules().into_iter().filter_map(|rule| Some((name_of(&rule), word(&rule, "expr")?)));
    for (place, expression) in rules.chain(dashboard_expressions()) {
        for (metric, matchers) in selectors(&expression) {
            if metric.starts_with("paceline:") && !recorded.contains(&metric) {
                faults.push(format!("{place}: {metric} is recorded by no rule"));
            }
            if !metric.starts_with("paceline_") {
                continue;
            }
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end)).unwrap_or(&metric);
            let Some(labels) = registered.get(&metric).or_else(|| registered.get(bare)) else {
                faults.push(format!("{place}: the binary has no {metric}"));
                continue;
            };
            for (label, value) in matchers {
                if SCRAPE_LABELS.contains(&label.as_str()) {
                    continue;
                }
                if !labels.contains(&label) {
                    faults.push(format!("{place}: {metric} has no label {label}, it has {labels:?}"));
                }
                for one in value.split('|').filter(|one| one.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
                    if !spelled.contains(&format!("\"{one}\"")) {
                        faults.push(format!("{place}: no source spells {label}=\"{one}\""));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_alert_tells_what_and_what_to_do_and_is_tested_both_ways() {
    let tests: Vec<String> = files_under(&deploy("prometheus/tests"))
        .iter()
        .flat_map(|path| yaml_documents(path))
        .flat_map(|document| list(&document["tests"]).into_iter().filter_map(|test| word(&test, "name")))
        .collect();
    let mut faults = Vec::new();
    let mut runbooks = BTreeSet::new();
    for alert in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let name = name_of(alert);
        let (labels, notes) = (&alert["labels"], &alert["annotations"]);
        for (fields, key) in [(notes, "summary"), (notes, "description"), (notes, "dashboard_url"), (labels, "team")] {
            if word(fields, key).is_none_or(|text| text.is_empty()) {
                faults.push(format!("{name}: no {key}"));
            }
        }
        if !word(labels, "severity").is_some_and(|word| ["critical", "warning", "info"].contains(&word.as_str())) {
            faults.push(format!("{name}: severity is none of critical, warning, info"));
        }
        let runbook = word(notes, "runbook_url").unwrap_or_default();
        let file = runbook.rsplit('/').next().unwrap_or_default().to_owned();
        if file != format!("{name}.md") || !deploy("runbooks").join(&file).is_file() {
            faults.push(format!("{name}: {runbook} is not its runbook in deploy/runbooks"));
        }
        runbooks.insert(file);
        for way in ["fires", "silent"] {
            if !tests.iter().any(|test| test.starts_with(&format!("{name} {way}"))) {
                faults.push(format!("{name}: no rule test \"{name} {way} …\""));
            }
        }
    }
    for path in files_under(&deploy("runbooks")) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if file != "README.md" && !runbooks.contains(&file) {
            faults.push(format!("{file} belongs to no alert"));
        }
        for heading in ["## Meaning", "## Impact", "## Look at", "## Do"] {
            if file != "README.md" && !read(&path).contains(heading) {
                faults.push(format!("{file}: no {heading}"));
            }
        }
    }
    assert!(faults.is_empty() && !runbooks.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn dashboards_name_no_data_source_of_their_own() {
    for path in dashboards() {
        let text = read(&path);
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let variables = list(&document["templating"]["list"]);
        assert!(variables.iter().any(|v| v["name"] == "datasource" && v["type"] == "datasource"), "{path:?}");
        let mut sources = Vec::new();
        visit(&document, &mut |key, value| {
            if key == "datasource" {
                sources.push(value.clone());
            }
        });
        assert!(sources.len() > 10, "{path:?}: only {} panels and targets were looked at", sources.len());
        let fixed = sources.iter().find(|source| source["uid"] != "${datasource}");
        assert!(fixed.is_none(), "{path:?}: {fixed:?} is no variable");
        let ids: Vec<i64> = list(&document["panels"]).iter().filter_map(|panel| panel["id"].as_i64()).collect();
        assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "{path:?}: panel ids repeat");
    }
}

/// Kustomize puts labels only where a selector stands; an empty one means every pod of the namespace, or none.
#[test]
fn policies_and_budgets_say_which_pods_they_mean() {
    let objects: Vec<Value> = files_under(&deploy("kubernetes/base"))
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .flat_map(|path| yaml_documents(path))
        .collect();
    let mut seen = 0;
    for (kind, selector) in [("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")] {
        for object in objects.iter().filter(|object| object["kind"] == kind) {
            assert_eq!(object["spec"][selector]["matchLabels"]["app.kubernetes.io/name"], "paceline", "{kind}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn promtool_accepts_the_rules_their_tests_and_the_dashboards() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("SKIPPED: promtool is not installed, so the rules' unit tests did not run (Debian: prometheus)");
        return;
    }
    // Grafana's variables are not PromQL; each gets a value that it could have.
    let expressions: Vec<Value> = dashboard_expressions()
        .into_iter()
        .map(|(_, text)| {
            let text = text.replace("$__rate_interval", "5m").replace("$", "");
            serde_json::json!({ "record": "dashboard:expression", "expr": text })
        })
        .collect();
    // Expressions that differ in nothing are one rule; promtool refuses copies, which a label tells apart.
    let numbered: Vec<Value> = expressions
        .into_iter()
        .enumerate()
        .map(|(index, mut rule)| {
            rule["labels"] = serde_json::json!({ "number": index.to_string() });
            rule
        })
        .collect();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let written = folder.join("dashboards.rules.yml");
    let group = serde_json::json!({ "groups": [{ "name": "dashboards", "rules": numbered }] });
    std::fs::write(&written, group.to_string()).expect("the folder for tests can be written");

    promtool(&["check", "config"], &[deploy("prometheus/prometheus.yml")]);
    promtool(&["check", "rules"], &[written]);
    promtool(&["test", "rules"], &files_under(&deploy("prometheus/tests")));
}

fn promtool(verb: &[&str], files: &[PathBuf]) {
    let output = Command::new("promtool").args(verb).args(files).output().expect("promtool was there a moment ago");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {}:\n{out}\n{err}", verb.join(" "));
}

/// Metrics by name, with their labels, as the source registers them.
fn registered() -> BTreeMap<String, BTreeSet<String>> {
    let sources = [METRICS, METRICS_OF_THE_REGISTRY].map(|text| text.split("#[cfg(test)]").next().unwrap_or_default());
    sources
        .into_iter()
        .flat_map(|source| source.split("\"paceline_").skip(1))
        .filter_map(|chunk| {
            let (name, rest) = chunk.split_once('"')?;
            let labels =
                rest.split_once("&[").and_then(|(_, rest)| rest.split_once(']')).map_or("", |(inside, _)| inside);
            let labels = labels.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            Some((format!("paceline_{name}"), labels))
        })
        .collect()
}

/// Metric names of an expression, each with its label matchers. Enough for what the rules use; promtool parses fully.
fn selectors(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let tail = &rest[start..];
        let end = tail.find(|c| !is_name(c)).unwrap_or(tail.len());
        let name = &tail[..end];
        rest = &tail[end..];
        let mut matchers = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            let (inside, after) = inside.split_once('}').unwrap_or((inside, ""));
            matchers.extend(inside.split("\",").filter_map(|one| {
                let (label, value) = one.split_once('=')?;
                let label = label.trim_end_matches('!').trim().to_owned();
                Some((label, value.trim_start_matches('~').trim_matches('"').to_owned()))
            }));
            rest = after;
        }
        let known = NOT_OURS.contains(&name) || PROCESS.contains(&name);
        assert!(known || !name.starts_with("process_"), "{name} is no metric of a process that is known here");
        if known || name.starts_with("paceline") {
            found.push((name.to_owned(), matchers));
        }
    }
    found
}

fn rules() -> Vec<Value> {
    ["prometheus/recording.rules.yml", "prometheus/alerts.rules.yml"]
        .iter()
        .flat_map(|file| yaml_documents(&deploy(file)))
        .flat_map(|document| list(&document["groups"]))
        .flat_map(|group| list(&group["rules"]))
        .collect()
}

fn name_of(rule: &Value) -> String {
    word(rule, "alert").or_else(|| word(rule, "record")).expect("a rule records or alerts")
}

fn dashboards() -> Vec<PathBuf> {
    files_under(&deploy("grafana/dashboards"))
}

/// Each expression of each panel, annotation and variable.
fn dashboard_expressions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in dashboards() {
        let document: Value = serde_json::from_str(&read(&path)).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        visit(&document, &mut |key, value| {
            let text = value.as_str().unwrap_or_default();
            let selector = text.strip_prefix("label_values(").and_then(|inside| inside.rsplit_once(','));
            match (key, selector) {
                ("expr", _) => found.push((place.clone(), text.to_owned())),
                ("definition", Some((selector, _))) => found.push((place.clone(), selector.to_owned())),
                _ => {}
            }
        });
    }
    found
}

fn visit(value: &Value, see: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, inner)| {
            see(key, inner);
            visit(inner, see);
        }),
        Value::Array(items) => items.iter().for_each(|inner| visit(inner, see)),
        _ => {}
    }
}

fn yaml_documents(path: &Path) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn word(value: &Value, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] }).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

fn root(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(inside)
}

fn deploy(inside: &str) -> PathBuf {
    root("deploy").join(inside)
}
