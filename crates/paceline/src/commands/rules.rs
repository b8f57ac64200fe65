//! `paceline rules check|test|preview`: users' rules before they act.
//!
//! What always holds: nothing here can send anything; a preview replays the journal with rules that only observe, under
//! the file's policy, so it says what the service would have said.

use super::import::time::instant;
use super::replay::source::{Source, Stretch};
use super::run::stop_on_signal;
use super::{policy, say, say_json};
use crate::cli::{Output, RulesCommand, RulesPreview};
use crate::failure::{Failure, Kind, Outcome};
use crate::service::context::Stop;
use ::policy::rule::{Rule, Then};
use ::policy::settings::Policy;
use model::time::{DAY_MS, MINUTE_MS, Millis};
use replay::Replayer;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Checks, tests or previews.
pub fn run(command: &RulesCommand) -> Outcome {
    match command {
        RulesCommand::Check { file } => check(file),
        RulesCommand::Test { file, output } => test(file, *output),
        RulesCommand::Preview(arguments) => preview(arguments),
    }
}

fn read(file: &Path) -> Outcome<(String, Policy)> {
    let body = policy::checked(file)?;
    let policy = ::policy::settings::check(&body)
        .map_err(|_| Failure::failed(format!("cannot read {} twice alike", file.display()), ""))?;
    if policy.rules.is_empty() {
        return Err(Failure::failed(
            format!("{} has no rules", file.display()),
            "write [[rule]] blocks; deploy/docs/rules.md has examples",
        ));
    }
    Ok((body, policy))
}

fn check(file: &Path) -> Outcome {
    let (_, policy) = read(file)?;
    for rule in &policy.rules {
        let tests = match rule.tests.len() {
            0 => "no tests".to_owned(),
            1 => "1 test".to_owned(),
            tests => format!("{tests} tests"),
        };
        let mode = if matches!(rule.then, Then::Alert(_)) { "" } else { rule.mode.as_str() };
        say(&format!("{:<24} {:<8} priority {:<4} {} ({tests})", rule.name, mode, rule.priority, does(rule)))?;
    }
    say(&format!("{} rules, no mistakes", policy.rules.len()))
}

fn does(rule: &Rule) -> String {
    let amount = |micros: i64| micros as f64 / 1e6;
    match rule.then {
        Then::ScaleBid(factor) => format!("bid x {factor}"),
        Then::SetBid(micros) => format!("bid {}", amount(micros)),
        Then::ScaleBudget(factor) => format!("daily budget x {factor}"),
        Then::SetBudget(micros) => format!("daily budget {}", amount(micros)),
        Then::Pause(_) => "pause".to_owned(),
        Then::Alert(severity) => format!("alert {severity}"),
    }
}

fn test(file: &Path, output: Output) -> Outcome {
    let (_, policy) = read(file)?;
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for rule in &policy.rules {
        for case in &rule.tests {
            let (found, absent) = rule.try_case(case);
            let passed = found == case.expect;
            if !passed {
                let why = absent.map(|absent| format!(" ({absent})")).unwrap_or_default();
                failed.push(format!(
                    "rule {}, {}: expected {}, found {}{why}",
                    rule.name,
                    case.name,
                    case.expect.as_str(),
                    found.as_str()
                ));
            }
            rows.push(json!({
                "rule": rule.name, "test": case.name, "expected": case.expect.as_str(), "found": found.as_str(),
                "passed": passed,
            }));
        }
    }
    if output == Output::Json {
        say_json(&json!({ "tests": rows, "failed": failed.len() }), output)?;
    }
    if rows.is_empty() {
        return Err(Failure::failed(
            format!("the rules of {} have no tests", file.display()),
            "write [[rule.test]] blocks below each rule: given = { last_7d.cpa = 30 }, expect = \"match\"",
        ));
    }
    if failed.is_empty() {
        return if output == Output::Json { Ok(()) } else { say(&format!("{} tests passed", rows.len())) };
    }
    let words = format!("{} of {} tests found something else than expected", failed.len(), rows.len());
    Err(Failure::new(Kind::Difference, words, "correct the rule or its test").listing(failed))
}

/// Day, account, campaign, rule.
type Key = (Millis, String, String, String);

/// What a rule said of a campaign within a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Tally {
    /// Instants at which it was asked.
    asked: u64,
    /// At which its condition held.
    matched: u64,
    /// At which a figure was not known, or too little was seen.
    unknown: u64,
    /// At which it would have acted, or alerted.
    acted: u64,
    /// The first thing that it would have done.
    first_action: Option<String>,
    /// Why it would not have acted, the word of its last match.
    last_word: Option<&'static str>,
}

fn preview(arguments: &RulesPreview) -> Outcome {
    let bound = |name: &str, text: &Option<String>| {
        text.as_deref().map(instant).transpose().map_err(|reason| Failure::failed(format!("--{name} {reason}"), ""))
    };
    let (from, to) = (bound("from", &arguments.from)?, bound("to", &arguments.to)?);
    let (body, _) = read(&arguments.file)?;
    let source = Source::open(&arguments.config.files, arguments.files.as_deref())?;
    let stop = Arc::new(Stop::default());
    stop_on_signal(stop.clone())?;
    let mut tallies: BTreeMap<Key, Tally> = BTreeMap::new();
    for partition in source.partitions() {
        let setup = controller::Setup { rules_dry_run: true, ..source.setup(partition) };
        let mut replayer = Replayer::new(setup, Some(&body));
        let mut known: BTreeMap<(String, String), Millis> = BTreeMap::new();
        let mut minute = Millis::MIN;
        source.read(partition, Stretch { to, ..Stretch::default() }, stop.clone(), |at, record| {
            replayer.apply(at, record);
            let now = replayer.view().now();
            // Rules are asked on whole minutes.
            if now.div_euclid(MINUTE_MS) != minute {
                minute = now.div_euclid(MINUTE_MS);
                count(&replayer, from, &mut known, &mut tallies);
            }
            Ok(())
        })?;
    }
    eprintln!("what the market would have answered is not known: spend and conversions stay as recorded");
    told(&tallies, arguments.output)
}

fn count(
    replayer: &Replayer,
    from: Option<Millis>,
    known: &mut BTreeMap<(String, String), Millis>,
    tallies: &mut BTreeMap<Key, Tally>,
) {
    for (account, campaign, at, said) in replayer.view().rulings() {
        let whose = (account.to_owned(), campaign.to_owned());
        if known.insert(whose, at) == Some(at) || from.is_some_and(|from| at < from) {
            continue;
        }
        for said in said {
            let day = at.div_euclid(DAY_MS) * DAY_MS;
            let tally = tallies.entry((day, account.to_owned(), campaign.to_owned(), said.rule.clone())).or_default();
            let is_act = ["observed", "alerted"].contains(&said.word);
            tally.asked += 1;
            tally.matched += u64::from(said.is_match());
            tally.unknown += u64::from(["absent", "too_little"].contains(&said.word));
            tally.acted += u64::from(is_act);
            if is_act && tally.first_action.is_none() {
                tally.first_action = said.action.clone().or_else(|| Some("alert".to_owned()));
            }
            if said.is_match() {
                tally.last_word = Some(said.word);
            }
        }
    }
}

fn told(tallies: &BTreeMap<Key, Tally>, output: Output) -> Outcome {
    let date = |day: Millis| {
        jiff::Timestamp::from_millisecond(day)
            .map_or_else(|_| day.to_string(), |at| at.strftime("%Y-%m-%d").to_string())
    };
    if output == Output::Json {
        let rows = tallies.iter().map(|((day, account, campaign, rule), tally)| {
            let mut row = json!(tally);
            row["day"] = json!(date(*day));
            row["account_id"] = json!(account);
            row["campaign_id"] = json!(campaign);
            row["rule"] = json!(rule);
            row
        });
        return say_json(&json!({ "rows": rows.collect::<Vec<_>>() }), output);
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let unwritable = |error: csv::Error| Failure::failed(format!("cannot write CSV: {error}"), "");
    let header =
        ["day", "account", "campaign", "rule", "asked", "matched", "unknown", "acted", "first_action", "last_word"];
    writer.write_record(header).map_err(unwritable)?;
    for ((day, account, campaign, rule), tally) in tallies {
        let counts = [tally.asked, tally.matched, tally.unknown, tally.acted].map(|count| count.to_string());
        let words = [tally.first_action.clone().unwrap_or_default(), tally.last_word.unwrap_or_default().to_owned()];
        let ids = [date(*day), account.clone(), campaign.clone(), rule.clone()];
        writer.write_record(ids.into_iter().chain(counts).chain(words)).map_err(unwritable)?;
    }
    let bytes = writer.into_inner().map_err(|error| Failure::failed(format!("cannot write CSV: {error}"), ""))?;
    say(String::from_utf8_lossy(&bytes).trim_end())
}
