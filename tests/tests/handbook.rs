//! What the handbook in `deploy/docs` says of names, numbers and files is what the sources say.
//!
//! Words are taken from where the binary spells them, so a new alert or setting without a line for its reader fails
//! here. Missing on purpose: whether the sentences are true; people read them.

// The rim of the tests: they read files.
#![allow(clippy::disallowed_methods)]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn links_lead_to_files_and_headings() {
    let pages = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "deploy/README.md", "crates/policy/POLICY.md"];
    let pages = pages.map(root).into_iter().chain(files_in("deploy/docs")).chain(files_in("deploy/runbooks"));
    let (mut faults, mut seen) = (Vec::new(), 0);
    for page in pages {
        let text = read(&page);
        for target in links(&text).filter(|target| !target.contains("://")) {
            seen += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
            if !path.exists() {
                faults.push(format!("{}: there is no {file}", page.display()));
            } else if !anchor.is_empty() && !headings(&read(&path)).any(|heading| slug(heading) == anchor) {
                faults.push(format!("{}: {file} has no heading {anchor}", page.display()));
            }
        }
    }
    assert!(faults.is_empty() && seen > 80, "{seen} links\n{}", faults.join("\n"));
}

#[test]
fn the_index_leads_to_every_page() {
    let index = page("README.md");
    let listed: BTreeSet<&str> = links(&index).collect();
    for path in files_in("deploy/docs") {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(name == "README.md" || listed.contains(name.as_str()), "{name} is not in the index");
    }
}

#[test]
fn the_operators_page_leads_to_every_runbook() {
    let page = page("operating.md");
    let listed: BTreeSet<&str> = links(&page).collect();
    for path in files_in("deploy/runbooks") {
        let link = format!("../runbooks/{}", path.file_name().unwrap_or_default().to_string_lossy());
        assert!(listed.contains(link.as_str()), "{link} is in no row of operating.md");
    }
}

#[test]
fn every_number_of_the_default_policy_stands_in_its_table_with_its_default() {
    let page = page("policies.md");
    let (mut table, mut faults, mut seen) = (String::new(), Vec::new(), 0);
    for line in read(&root("deploy/policy/default.toml")).lines() {
        if line.starts_with('[') {
            table = line.to_owned();
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            seen += 1;
            let row =
                section(&page, &format!("`{table}`")).lines().find(|row| row.starts_with(&format!("| `{key}` |")));
            match row {
                None => faults.push(format!("{table} has no row for {key}")),
                Some(row) if !row.contains(&format!("`{value}`")) => {
                    faults.push(format!("{table}: {key} is {value}, not as in {row}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(faults.is_empty() && seen > 120, "{seen} settings\n{}", faults.join("\n"));
}

#[test]
fn every_kind_and_field_of_an_adjustment_is_explained() {
    let schema: Value = serde_json::from_str(&read(&root("schemas/adjustment.avsc"))).expect("a schema is JSON");
    let fields = schema["fields"].as_array().cloned().unwrap_or_default();
    let kind = fields.iter().find(|field| field["name"] == "kind").map(|field| field["doc"].to_string());
    let kinds = kind.unwrap_or_default();
    let kinds = kinds.split_once("open set:").map_or("", |(_, words)| words);
    let kinds: Vec<&str> = kinds.split([',', ' ', '.', '"']).filter(|word| !word.is_empty()).collect();
    assert!(kinds.len() > 8, "the kinds are not found in their schema: {kinds:?}");
    let page = page("commands.md");
    expect_rows(section(&page, "Kinds"), kinds);
    let names = fields.iter().filter_map(|field| field["name"].as_str());
    let told = words_in_code(section(&page, "Fields"));
    let missing: Vec<&str> = names.filter(|name| !told.contains(name)).collect();
    assert!(missing.is_empty(), "fields of an adjustment that are not explained: {missing:?}");
}

#[test]
fn every_alert_is_explained() {
    let kinds = returned_words("crates/policy/src/anomaly/mod.rs", "Kind::");
    assert!(kinds.len() > 12, "the kinds of alerts are not found in their source: {kinds:?}");
    let controller: String = ["controller.rs", "loss.rs", "desk.rs"]
        .iter()
        .map(|file| source(&format!("crates/controller/src/{file}")))
        .collect();
    let direct = controller.split("subject(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let waiting = controller.split_once("QUARANTINE_ALERTS: [&str; 2] = [").map_or("", |(_, rest)| rest);
    let waiting = waiting.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2);
    let direct: Vec<&str> = direct.chain(waiting).collect();
    assert!(direct.contains(&"integrity_hold") && direct.contains(&"unknown_campaign"), "{direct:?}");
    let page = page("commands.md");
    let alerts = section(&page, "Alerts");
    expect_rows(alerts, kinds.iter().map(String::as_str).chain(direct));
}

#[test]
fn the_dashboard_says_of_alerts_what_the_handbook_says() {
    let help = source("crates/paceline/src/http/assets/alert-help.js");
    let page = page("commands.md");
    let rows = section(&page, "Alerts").lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
    assert!(rows.len() > 20, "the table of alerts was not found");
    for row in rows {
        let kind = row[0].trim_matches('`').split([':', '`']).next().unwrap();
        let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{kind}: [")));
        let line = line.unwrap_or_else(|| panic!("alert-help.js does not know {kind}"));
        let plain = plain(row[4]).replace('"', "\\\"");
        assert!(line.contains(&plain), "alert-help.js on {kind} does not say: {plain}");
    }
}

/// Text without links and marks.
fn plain(text: &str) -> String {
    let mut left = text.replace(['`', '*'], "");
    while let Some(at) = left.find("](") {
        let end = left[at..].find(')').map_or(left.len(), |end| at + end + 1);
        let open = left[..at].rfind('[').unwrap_or(at);
        left = format!("{}{}{}", &left[..open], &left[open + 1..at], &left[end..]);
    }
    left
}

#[test]
fn every_word_of_reason_edit_and_why_nothing_is_explained() {
    let page = page("commands.md");
    let told = words_in_code(&page);
    let mut missing = Vec::new();
    for (file, of) in [
        ("crates/policy/src/explain.rs", "Reason::"),
        ("crates/policy/src/guard/command.rs", "Edit::"),
        ("crates/policy/src/gates.rs", "WhyNothing::"),
        ("crates/policy/src/hold.rs", "Hold::"),
        ("crates/policy/src/pressure/supply.rs", "Block::"),
        ("crates/policy/src/guard/mod.rs", "GuardHold::"),
        ("crates/policy/src/pause.rs", "Holder::"),
    ] {
        let words = returned_words(file, of);
        assert!(words.len() > 4, "{file}: the words of {of} are not found");
        missing.extend(words.into_iter().filter(|word| !told.contains(&word.as_str())));
    }
    let desk = source("crates/controller/src/desk.rs") + &source("crates/controller/src/desk/hours.rs");
    let noted =
        desk.split(".note(").skip(1).filter_map(|call| call.split(");").next()?.split(", ").nth(1)?.split('"').nth(1));
    let noted: Vec<&str> = noted.collect();
    assert!(noted.contains(&"dead_band") && noted.contains(&"waits_for_the_instant"), "{noted:?}");
    missing.extend(noted.into_iter().filter(|word| !told.contains(word)).map(str::to_owned));
    assert!(missing.is_empty(), "words that are not explained: {missing:?}");
}

#[test]
fn every_figure_of_a_kpi_row_has_a_line() {
    let schema: Value = serde_json::from_str(&read(&root("schemas/kpi_row.avsc"))).expect("a schema is JSON");
    let plumbing = ["revision", "journal_offset", "policy_version"];
    let page = page("kpis.md");
    for field in schema["fields"].as_array().into_iter().flatten() {
        let name = field["name"].as_str().unwrap_or_default();
        let is_figure = field["type"] == "long" || field["type"][1] == "long" || ["pace", "binding"].contains(&name);
        if is_figure && !plumbing.contains(&name) {
            assert!(page.lines().any(|row| row.starts_with('|') && row.contains(&format!("`{name}`"))), "{name}");
        }
    }
}

#[test]
fn reasons_of_dead_letters_and_metrics_are_those_of_the_binary() {
    let limits = page("limits.md");
    let told = words_in_code(&limits);
    let fold = source("crates/aggregator/src/fold.rs");
    let stage1 = fold.split(": &str = \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    let codec = returned_words("crates/avro-codec/src/reject.rs", "RejectReason::");
    assert!(codec.len() > 5, "{codec:?}");
    for reason in stage1.chain(codec) {
        assert!(told.contains(&reason.as_str()), "the reason {reason} is not told");
    }
    let metrics = source("crates/paceline/src/telemetry/metrics.rs");
    let mut seen = 0;
    for path in files_in("deploy/docs") {
        for word in words_in_code(&read(&path)) {
            let name = word.split('{').next().unwrap_or_default();
            if name.starts_with("paceline_") {
                seen += 1;
                assert!(metrics.contains(&format!("\"{name}\"")), "{}: the binary has no {name}", path.display());
            }
        }
    }
    assert!(seen > 8, "only {seen} metrics were looked at");
}

#[test]
fn commands_in_the_pages_exist() {
    let cli = source("crates/paceline/src/cli.rs");
    let commands = cli.split_once("pub enum Command {").map_or("", |(_, rest)| rest);
    let commands = commands.split("\n}\n").next().unwrap_or_default();
    let known: BTreeSet<String> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| kebab(line.split(['(', ' ', ',']).next().unwrap_or_default()))
        .collect();
    assert!(known.contains("replay") && known.contains("verify"), "{known:?}");
    let mut seen = 0;
    for path in files_in("deploy/docs") {
        let text = read(&path);
        let lines = text.lines().map(|line| line.trim_start().trim_start_matches("$ "));
        for line in lines.chain(words_in_code(&text)) {
            let word = line.strip_prefix("paceline ").and_then(|rest| rest.split([' ', '\\']).next());
            if let Some(word) = word {
                seen += 1;
                assert!(known.contains(word), "{}: there is no `paceline {word}`", path.display());
            }
        }
    }
    assert!(seen > 40, "only {seen} command lines were looked at");
}

#[test]
fn tests_that_the_architecture_names_exist() {
    let sources: String =
        ["crates", "tests/tests", "tests/src"].iter().map(|folder| rust_under(&root(folder))).collect();
    let architecture = read(&root("ARCHITECTURE.md"));
    let named: Vec<&str> = words_in_code(&architecture).into_iter().filter(|word| is_sentence(word)).collect();
    let missing: Vec<&&str> = named.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty() && named.len() > 30, "{} names, not found: {missing:?}", named.len());
}

/// Words of five parts and more name tests, which are sentences.
/// `DeadLetters` as it is called on the command line: `dead-letters`.
fn kebab(variant: &str) -> String {
    let dashed = variant.chars().enumerate().map(|(at, c)| match c.is_ascii_uppercase() {
        true if at > 0 => format!("-{}", c.to_ascii_lowercase()),
        _ => c.to_ascii_lowercase().to_string(),
    });
    dashed.collect()
}

fn is_sentence(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && word.split('_').count() > 4
}

fn rust_under(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let paths = entries.map(|entry| entry.expect("a folder can be listed").path());
    let texts = paths.map(|path| match path.extension().and_then(|end| end.to_str()) {
        Some("rs") => read(&path),
        None if path.is_dir() => rust_under(&path),
        _ => String::new(),
    });
    texts.collect()
}

/// Each word begins a row of a table.
fn expect_rows<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) {
    for word in words {
        assert!(text.lines().any(|row| row.starts_with(&format!("| `{word}` |"))), "{word} has no row");
    }
}

/// The words that an `as_str` gives for an enum's values, as its source spells them.
fn returned_words(file: &str, of: &str) -> Vec<String> {
    let source = source(file);
    let arms = source.lines().filter_map(|line| line.trim_start().strip_prefix(of)?.split_once(" => \""));
    let words = arms.filter_map(|(_, rest)| rest.split('"').next()).filter(|word| !word.contains(' '));
    words.map(str::to_owned).collect()
}

/// Targets of Markdown links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// The text under the heading that contains `title`, with the headings below it.
fn section<'t>(text: &'t str, title: &str) -> &'t str {
    let level = |line: &str| line.chars().take_while(|c| *c == '#').count();
    let mut at = 0;
    let mut found: Option<(usize, usize)> = None;
    for line in text.split_inclusive('\n') {
        let depth = level(line);
        match found {
            None if depth > 0 && line.trim_start_matches('#').trim().contains(title) => {
                found = Some((at + line.len(), depth));
            }
            Some((start, own)) if depth > 0 && depth <= own => return &text[start..at],
            _ => {}
        }
        at += line.len();
    }
    found.map_or("", |(start, _)| &text[start..])
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

/// As renderers make anchors of headings.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// What stands between backticks in a line.
fn words_in_code(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn page(name: &str) -> String {
    read(&root("deploy/docs").join(name))
}

/// A source without its tests.
fn source(file: &str) -> String {
    let text = read(&root(file));
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

fn files_in(folder: &str) -> Vec<PathBuf> {
    let folder = root(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder:?}: {e}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "md"));
    paths.sort();
    paths
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

fn root(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(inside)
}
