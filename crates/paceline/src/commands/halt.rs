//! `paceline halt` and `paceline release`: the kill switch from a shell.

use super::specified::{self, Known};
use super::{actor, connect, say, sender};
use crate::cli::HaltArgs;
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::service::halt_relay::{halt_file, put_away};
use crate::settings::Settings;
use avro_codec::Codec;
use avro_codec::limits::ID_BYTES_MAX;
use model::fact::{Fact, Halt};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// A reason is a sentence or two.
pub const REASON_CHARS_MAX: usize = 500;

/// Publishes the halt or its release. Where the broker is away a halt is written to a local file as well, which the
/// service on this machine reads by itself.
pub fn run(arguments: &HaltArgs, action: &str) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let (scope, account_id, campaign_id) = parse_scope(&arguments.scope)?;
    if scope == "integrity" && action == "set" {
        return Err(Failure::usage(
            "an integrity hold is set by the service alone",
            "to stop everything use --scope global",
        ));
    }
    if arguments.reason.trim().is_empty() {
        return Err(Failure::usage(
            "--reason is empty",
            "say why in a few words; who looks at the halt later reads it",
        ));
    }
    let halt = Halt {
        scope: scope.to_owned(),
        account_id,
        campaign_id,
        action: action.to_owned(),
        actor: actor(arguments.actor.as_deref()),
        reason: in_short(&arguments.reason),
        issued_at: Clock::System.now_ms(),
    };
    let word = if action == "set" { "halted" } else { "released" };
    match publish(&settings, &halt) {
        Ok(()) => {
            if action == "release" {
                put_away(&settings.state_dir, &halt);
            }
            say(&json!({ "scope": arguments.scope, "action": word, "sent": "feedback topic" }).to_string())?;
            // Sent first: a stop waits for nobody's spelling.
            if let Some(words) = specified::read(&settings, "halt").ok().and_then(|known| unknown(&halt, &known)) {
                eprintln!("warning: {words}");
            }
            Ok(())
        }
        // A release needs the broker; a halt must not.
        Err(failure) if action == "set" => {
            leave_file(&settings, &halt)?;
            eprintln!("paceline: {failure}");
            say(&json!({ "scope": arguments.scope, "action": word, "sent": "local file" }).to_string())
        }
        Err(failure) => Err(failure),
    }
}

/// Words for a scope that no specification knows: most likely a slip, which stops, or releases, nothing.
fn unknown(halt: &Halt, known: &BTreeMap<String, Known>) -> Option<String> {
    let account_id = halt.account_id.as_ref()?;
    let mut own = known.values().map(|known| &known.spec).filter(|spec| spec.account_id == *account_id);
    let effect = if halt.action == "set" { "it stops nothing that is specified now" } else { "it releases nothing" };
    match &halt.campaign_id {
        None if own.next().is_none() => {
            Some(format!("no campaign of account {account_id:?} is specified, so {effect}; check the spelling"))
        }
        Some(campaign_id) if !own.any(|spec| spec.campaign_id == *campaign_id) => Some(format!(
            "account {account_id:?} has no specified campaign {campaign_id:?}, so {effect}; check the spelling"
        )),
        _ => None,
    }
}

/// Leaves the halt where the service of this machine finds it; it sends it on as soon as it can.
pub fn leave_file(settings: &Settings, halt: &Halt) -> Outcome {
    let file = halt_file(&settings.state_dir, halt);
    let failed = |error: std::io::Error| {
        Failure::failed(
            format!("cannot write {}: {error}", file.display()),
            "stop the service, or the ad-buying systems, by hand",
        )
    };
    std::fs::create_dir_all(&settings.state_dir).map_err(failed)?;
    let unfinished = file.with_extension("unfinished");
    std::fs::write(&unfinished, json!(halt).to_string()).map_err(failed)?;
    std::fs::rename(&unfinished, &file).map_err(failed)
}

/// A reason as it is sent. A record of feedback with a longer text would be refused as a dead letter, and a stop waits for
/// nobody's style: what is too long is cut, and told.
pub fn in_short(reason: &str) -> String {
    let short: String = reason.chars().take(REASON_CHARS_MAX).collect();
    if short.len() < reason.len() {
        eprintln!("warning: --reason is cut to its first {REASON_CHARS_MAX} characters");
    }
    short
}

/// `global`, `account=ID`, `campaign=ACCOUNT/ID`, or `integrity`, the latch that a gap in the journal sets.
pub fn parse_scope(text: &str) -> Outcome<(&'static str, Option<String>, Option<String>)> {
    let wrong = || {
        Failure::usage(
            format!("--scope {text:?} is not a scope"),
            "use global, account=ID, campaign=ACCOUNT/ID (ids of 1 to 256 bytes), or with release integrity",
        )
    };
    // Longer ones are nobody's, and the service takes no record with them.
    let is_id = |id: &str| (1..=ID_BYTES_MAX).contains(&id.len());
    match text.split_once('=') {
        None if text == "global" => Ok(("global", None, None)),
        None if text == "integrity" => Ok(("integrity", None, None)),
        Some(("account", id)) if is_id(id) => Ok(("account", Some(id.to_owned()), None)),
        Some(("campaign", path)) => {
            let (account, campaign) = path.split_once('/').ok_or_else(wrong)?;
            if !is_id(account) || !is_id(campaign) {
                return Err(wrong());
            }
            Ok(("campaign", Some(account.to_owned()), Some(campaign.to_owned())))
        }
        _ => Err(wrong()),
    }
}

/// With a registry the halt goes as JSON: a stop must not wait for an id.
fn payload(settings: &Settings, halt: &Halt) -> Outcome<Vec<u8>> {
    if settings.registry.is_some() {
        let mut record = json!(halt);
        record["type"] = "Halt".into();
        return Ok(record.to_string().into_bytes());
    }
    Codec::fixed()
        .encode_fact(&Fact::Halt(Box::new(halt.clone())))
        .map_err(|error| Failure::failed(format!("encoding the halt: {error}"), "this is a defect; please report it"))
}

fn publish(settings: &Settings, halt: &Halt) -> Outcome {
    let key = halt.campaign_id.clone().or_else(|| halt.account_id.clone()).unwrap_or_else(|| "global".into());
    let payload = payload(settings, halt)?;
    let mut sender = sender(&connect(settings, "halt"))?;
    sender.send(&settings.topics.feedback, None, Some(key.as_bytes()), Some(&payload), None)?;
    sender.flush(ANSWER_LIMIT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::fact::{CampaignSpec, ControlTopic};

    #[test]
    fn a_scope_that_no_specification_knows_is_warned_of() {
        let spec = CampaignSpec { campaign_id: "c".into(), account_id: "acme".into(), ..CampaignSpec::default() };
        let known = BTreeMap::from([("c".to_owned(), Known { spec, last_version: 1 })]);
        let said = |scope: &str, action: &str| {
            let (scope, account_id, campaign_id) = parse_scope(scope).unwrap();
            let (scope, action) = (scope.to_owned(), action.to_owned());
            unknown(&Halt { scope, account_id, campaign_id, action, ..Halt::default() }, &known)
        };
        for known in ["global", "account=acme", "campaign=acme/c"] {
            assert_eq!(said(known, "set"), None, "{known}");
        }
        assert!(said("account=acne", "set").unwrap().contains("\"acne\" is specified, so it stops nothing"));
        assert!(said("campaign=acme/x", "release").unwrap().contains("\"x\", so it releases nothing"));
        assert!(said("campaign=acne/c", "set").is_some());
    }

    #[test]
    fn what_is_sent_is_what_the_service_takes_however_long_the_words_are() {
        let halt = Halt {
            scope: "global".into(),
            action: "set".into(),
            actor: actor(Some(&"a".repeat(9_000))),
            reason: in_short(&"\u{e9}".repeat(9_000)),
            issued_at: 1,
            ..Halt::default()
        };
        assert_eq!(halt.reason.chars().count(), REASON_CHARS_MAX);
        let sent = Codec::fixed().encode_fact(&Fact::Halt(Box::new(halt.clone()))).unwrap();
        assert_eq!(Codec::fixed().fact(ControlTopic::Feedback, &sent), Ok(Fact::Halt(Box::new(halt))));
        assert!(parse_scope(&format!("account={}", "a".repeat(257))).is_err());
        assert!(parse_scope(&format!("campaign=a/{}", "c".repeat(257))).is_err());
    }
}
