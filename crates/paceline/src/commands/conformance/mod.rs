//! `paceline conformance`: tries whether a subscriber keeps the rule of `ads.adjustments`.
//!
//! The subscriber runs as a child process and speaks JSON lines (`deploy/clients/README.md`). The kit plays both of its
//! neighbours: Paceline, which sends commands, and the ad platform, whose values are read and written. So the kit sees
//! what was done and not only what was answered, and can crash the subscriber between the two.
//!
//! What always holds: each case has a subscriber of its own with an empty folder for what it must remember; nothing
//! waits for a fixed time, since the subscriber says when it has dealt with a message; a subscriber that hangs, ends or
//! talks nonsense fails the case and not the kit.
//! Missing on purpose: Kafka itself (isolation, offsets), which the subscriber's own test must show.

mod cases;
mod child;
mod session;
#[cfg(test)]
mod tests;

use super::{say, say_json};
use crate::cli::{Conformance, Output};
use crate::failure::{Failure, Outcome};
use cases::{CASES, Case};
use child::Child;
use serde_json::json;
use session::{Link, Session};

/// Tries each case, or those that were named.
pub fn run(arguments: &Conformance) -> Outcome {
    let chosen = choose(&arguments.case)?;
    let mut verdicts = Vec::new();
    for case in chosen {
        let folder = std::env::temp_dir().join(format!("paceline-conformance-{}-{}", std::process::id(), case.name));
        let verdict = try_case(case, &mut Child::new(&arguments.adapter, &folder));
        let _ = std::fs::remove_dir_all(&folder);
        if arguments.output == Output::Text {
            say(&line(case, &verdict))?;
        }
        verdicts.push((case, verdict));
    }
    let failed = verdicts.iter().filter(|(_, verdict)| verdict.is_err()).count();
    if arguments.output == Output::Json {
        let rows: Vec<_> = verdicts
            .iter()
            .map(|(case, verdict)| {
                json!({ "case": case.name, "rule": case.rule, "pass": verdict.is_ok(), "seen": verdict.as_ref().err() })
            })
            .collect();
        say_json(&json!({ "cases": rows, "failed": failed }), arguments.output)?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::failed(
            format!("the subscriber breaks {failed} of {} rules", verdicts.len()),
            "deploy/clients/README.md tells each rule; try one again with --case NAME",
        )),
    }
}

fn try_case(case: &Case, link: &mut dyn Link) -> Result<(), String> {
    link.start()?;
    let verdict = (case.play)(&mut Session::new(link));
    link.end();
    verdict
}

fn choose(names: &[String]) -> Outcome<Vec<&'static Case>> {
    if names.is_empty() {
        return Ok(CASES.iter().collect());
    }
    let find = |name: &String| {
        CASES.iter().find(|case| case.name == name).ok_or_else(|| {
            let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
            Failure::failed(format!("there is no case {name:?}"), format!("the cases are {}", known.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

fn line(case: &Case, verdict: &Result<(), String>) -> String {
    match verdict {
        Ok(()) => format!("pass  {:<20} {}", case.name, case.rule),
        Err(seen) => format!("FAIL  {:<20} {}\n      {:<20} seen: {seen}", case.name, case.rule, ""),
    }
}
