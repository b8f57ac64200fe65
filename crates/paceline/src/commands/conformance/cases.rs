//! The cases: each is one sentence of the subscriber's rule, and a short story that breaks who does not keep it.

use super::session::{CrashAt, Session, Step};
use model::output::{Adjustment, ExpectedPrevious, Fallback, Target};
use serde_json::{Value, json};

/// One rule under trial.
pub struct Case {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it demands.
    pub rule: &'static str,
    /// The story; the error says what was seen.
    pub play: fn(&mut Session<'_>) -> Result<(), String>,
}

/// All cases.
pub const CASES: &[Case] = &[
    Case { name: "applied", rule: "an issued command is applied once and answered", play: applied },
    Case { name: "duplicate", rule: "a copy changes nothing; if answered, as the first", play: duplicate },
    Case { name: "older_sequence", rule: "an older command that comes late is superseded", play: older_sequence },
    Case { name: "older_pause", rule: "a pause does not overtake a newer resume", play: older_pause },
    Case { name: "expired", rule: "from expires_at on nothing is applied", play: expired },
    Case { name: "conflict", rule: "another value is left alone and reported", play: conflict },
    Case { name: "unseen_predecessor", rule: "a command on top of one never seen is a conflict", play: unseen },
    Case {
        name: "unknown_kind",
        rule: "an unknown kind or level is rejected, the next command works",
        play: unknown_kind,
    },
    Case { name: "not_issued", rule: "only state issued is applied", play: not_issued },
    Case { name: "requires", rule: "a command waits for those that it requires", play: requires },
    Case { name: "requires_in_vain", rule: "who waits in vain expires", play: requires_in_vain },
    Case { name: "effective_from", rule: "a command waits for the first instant it holds", play: effective_from },
    Case { name: "lease", rule: "at the end of a lease the fallback holds", play: lease },
    Case { name: "lease_renewed", rule: "a newer command ends the older one's lease", play: lease_renewed },
    Case { name: "lease_of_a_person", rule: "a fallback never overwrites a person's value", play: lease_of_a_person },
    Case { name: "crash_before_ack", rule: "applied, crashed, sent again: answered applied", play: crash_before_ack },
    Case { name: "crash_then_late", rule: "the same, sent again after its expiry", play: crash_then_late },
    Case {
        name: "crash_then_person",
        rule: "the same, a person changed it meanwhile: left alone",
        play: crash_then_person,
    },
    Case { name: "crash_after_ack", rule: "what was answered is remembered across a crash", play: crash_after_ack },
];

/// An hour of 2026; any instant serves.
const NOW: i64 = 1_795_300_000_000;
const MINUTE: i64 = 60_000;

fn command(id: &str, sequence: i64, kind: &str, value_micros: Option<i64>) -> Adjustment {
    Adjustment {
        command_id: id.into(),
        account_id: "acme".into(),
        campaign_id: "spring".into(),
        target: Target { level: "campaign".into(), id: "spring".into(), external_id: None },
        kind: kind.into(),
        value_micros,
        currency: "EUR".into(),
        sequence,
        mode: "auto".into(),
        state: "issued".into(),
        issued_at: NOW,
        decided_at_event_time: NOW,
        effective_from: NOW,
        expires_at: NOW + 10 * MINUTE,
        reason: "pacing_behind".into(),
        ..Adjustment::default()
    }
}

/// A bid from the first value to the second, in hundredths of the currency's unit.
fn bid(id: &str, sequence: i64, from: i64, to: i64) -> Adjustment {
    let expected_previous = ExpectedPrevious { value_micros: Some(from * 10_000), ..ExpectedPrevious::default() };
    Adjustment { expected_previous, ..command(id, sequence, "set_bid", Some(to * 10_000)) }
}

fn applied(session: &mut Session<'_>) -> Result<(), String> {
    for command in [bid("a", 1, 100, 120), command("b", 2, "pause", None), command("c", 3, "resume", None)] {
        let step = session.deliver(&command, NOW)?;
        wants(step.writes.len() == 1, "one write", &step)?;
        answered(&step, &command, "applied")?;
        wants(step.acks[0]["applied_at"].is_i64(), "applied_at in the answer", &step)?;
    }
    is_in_force(session, "bid", json!(1_200_000))?;
    is_in_force(session, "status", json!("active"))
}

fn duplicate(session: &mut Session<'_>) -> Result<(), String> {
    let (first, second) = (bid("a", 1, 100, 120), bid("b", 2, 120, 130));
    session.deliver(&first, NOW)?;
    let copy = session.deliver(&first, NOW + 1)?;
    nothing_new(&copy)?;
    session.deliver(&second, NOW + 2)?;
    nothing_new(&session.deliver(&second, NOW + 3)?)?;
    nothing_new(&session.deliver(&first, NOW + 4)?)?;
    is_in_force(session, "bid", json!(1_300_000))
}

fn older_sequence(session: &mut Session<'_>) -> Result<(), String> {
    let (older, newer) = (bid("a", 3, 100, 110), bid("b", 5, 100, 120));
    session.deliver(&newer, NOW)?;
    refused(&session.deliver(&older, NOW + 1)?, &older, "superseded")?;
    is_in_force(session, "bid", json!(1_200_000))?;
    // Another place of the same campaign has a sequence of its own.
    let budget = command("c", 4, "set_daily_budget", Some(40_000_000));
    answered(&session.deliver(&budget, NOW + 2)?, &budget, "applied")
}

fn older_pause(session: &mut Session<'_>) -> Result<(), String> {
    let (pause, resume) = (command("a", 4, "pause", None), command("b", 6, "resume", None));
    answered(&session.deliver(&resume, NOW)?, &resume, "applied")?;
    refused(&session.deliver(&pause, NOW + 1)?, &pause, "superseded")?;
    is_in_force(session, "status", json!("active"))
}

fn expired(session: &mut Session<'_>) -> Result<(), String> {
    let late = bid("a", 1, 100, 120);
    refused(&session.deliver(&late, late.expires_at)?, &late, "expired")?;
    let just = bid("b", 2, 100, 110);
    answered(&session.deliver(&just, just.expires_at - 1)?, &just, "applied")
}

fn conflict(session: &mut Session<'_>) -> Result<(), String> {
    session.set_by_person("bid", json!(770_000));
    let command = bid("a", 1, 100, 120);
    let step = session.deliver(&command, NOW)?;
    refused(&step, &command, "conflict")?;
    wants(step.acks[0]["found_value_micros"] == json!(770_000), "the value found, 770000, in the answer", &step)?;
    is_in_force(session, "bid", json!(770_000))
}

fn unseen(session: &mut Session<'_>) -> Result<(), String> {
    let mut command = bid("b", 9, 100, 120);
    command.expected_previous.sequence = 8;
    refused(&session.deliver(&command, NOW)?, &command, "conflict")
}

fn unknown_kind(session: &mut Session<'_>) -> Result<(), String> {
    let kind = command("a", 1, "set_moon_phase", Some(1));
    refused(&session.deliver(&kind, NOW)?, &kind, "rejected")?;
    let mut level = bid("b", 2, 100, 120);
    level.target.level = "galaxy".into();
    refused(&session.deliver(&level, NOW)?, &level, "rejected")?;
    let good = bid("c", 3, 100, 120);
    answered(&session.deliver(&good, NOW)?, &good, "applied")
}

fn not_issued(session: &mut Session<'_>) -> Result<(), String> {
    for state in ["proposed", "observed", "cancelled_tomorrow"] {
        let command = Adjustment { state: state.into(), ..bid(state, 1, 100, 120) };
        let step = session.deliver(&command, NOW)?;
        wants(step.writes.is_empty(), "no write", &step)?;
        wants(step.acks.iter().all(|ack| ack["result"] != "applied"), "no answer applied", &step)?;
    }
    let good = bid("a", 1, 100, 120);
    answered(&session.deliver(&good, NOW)?, &good, "applied")
}

fn requires(session: &mut Session<'_>) -> Result<(), String> {
    let cut = command("cut", 1, "set_daily_budget", Some(40_000_000));
    let raise = Adjustment { requires: vec!["cut".into()], ..bid("raise", 2, 100, 120) };
    refused(&session.deliver(&raise, NOW)?, &raise, "deferred")?;
    let step = session.deliver(&cut, NOW + 1)?;
    wants(step.writes.first().is_some_and(|(what, _)| what == "daily_budget"), "the budget first", &step)?;
    answered(&step, &cut, "applied")?;
    let mut acks = step.acks;
    acks.extend(session.tick(NOW + 2)?.acks);
    let step = Step { acks, writes: Vec::new() };
    answered(&step, &raise, "applied")?;
    is_in_force(session, "bid", json!(1_200_000))
}

fn requires_in_vain(session: &mut Session<'_>) -> Result<(), String> {
    let raise = Adjustment { requires: vec!["cut".into()], ..bid("raise", 2, 100, 120) };
    refused(&session.deliver(&raise, NOW)?, &raise, "deferred")?;
    refused(&session.tick(raise.expires_at)?, &raise, "expired")?;
    let cut = command("cut", 1, "set_daily_budget", Some(40_000_000));
    session.deliver(&cut, cut.expires_at - 1)?;
    is_in_force(session, "bid", json!(1_000_000))
}

fn effective_from(session: &mut Session<'_>) -> Result<(), String> {
    let command = Adjustment { effective_from: NOW + MINUTE, ..bid("a", 1, 100, 120) };
    let step = session.deliver(&command, NOW)?;
    wants(step.writes.is_empty(), "no write before effective_from", &step)?;
    let step = session.tick(NOW + MINUTE)?;
    answered(&step, &command, "applied")?;
    is_in_force(session, "bid", json!(1_200_000))
}

fn leased(id: &str, sequence: i64, from: i64, to: i64, when: i64) -> Adjustment {
    Adjustment { fallback: Some(Fallback { value_micros: Some(1_000_000), when }), ..bid(id, sequence, from, to) }
}

fn lease(session: &mut Session<'_>) -> Result<(), String> {
    session.deliver(&leased("a", 1, 100, 120, NOW + 5 * MINUTE), NOW)?;
    session.tick(NOW + 4 * MINUTE)?;
    is_in_force(session, "bid", json!(1_200_000))?;
    session.tick(NOW + 5 * MINUTE)?;
    is_in_force(session, "bid", json!(1_000_000))
}

fn lease_renewed(session: &mut Session<'_>) -> Result<(), String> {
    session.deliver(&leased("a", 1, 100, 120, NOW + 5 * MINUTE), NOW)?;
    session.deliver(&leased("b", 2, 120, 130, NOW + 9 * MINUTE), NOW + 4 * MINUTE)?;
    session.tick(NOW + 6 * MINUTE)?;
    is_in_force(session, "bid", json!(1_300_000))?;
    // A cut has no lease: it stays.
    session.deliver(&bid("c", 3, 130, 90), NOW + 7 * MINUTE)?;
    session.tick(NOW + 60 * MINUTE)?;
    is_in_force(session, "bid", json!(900_000))
}

fn lease_of_a_person(session: &mut Session<'_>) -> Result<(), String> {
    session.deliver(&leased("a", 1, 100, 120, NOW + 5 * MINUTE), NOW)?;
    session.set_by_person("bid", json!(550_000));
    session.tick(NOW + 5 * MINUTE)?;
    is_in_force(session, "bid", json!(550_000))
}

fn crash_before_ack(session: &mut Session<'_>) -> Result<(), String> {
    let command = bid("a", 1, 100, 120);
    session.deliver_and_crash(&command, NOW, CrashAt::Write)?;
    answered(&session.deliver(&command, NOW + 1)?, &command, "applied")?;
    is_in_force(session, "bid", json!(1_200_000))?;
    let next = bid("b", 2, 120, 130);
    answered(&session.deliver(&next, NOW + 2)?, &next, "applied")
}

fn crash_then_late(session: &mut Session<'_>) -> Result<(), String> {
    let command = bid("a", 1, 100, 120);
    session.deliver_and_crash(&command, NOW, CrashAt::Write)?;
    answered(&session.deliver(&command, command.expires_at + MINUTE)?, &command, "applied")
}

fn crash_then_person(session: &mut Session<'_>) -> Result<(), String> {
    let command = bid("a", 1, 100, 120);
    session.deliver_and_crash(&command, NOW, CrashAt::Write)?;
    session.set_by_person("bid", json!(550_000));
    let step = session.deliver(&command, NOW + 1)?;
    wants(step.writes.is_empty(), "no write over a person's value", &step)?;
    answered(&step, &command, "conflict")
}

fn crash_after_ack(session: &mut Session<'_>) -> Result<(), String> {
    let (first, older) = (bid("b", 2, 100, 120), bid("a", 1, 120, 110));
    session.deliver_and_crash(&first, NOW, CrashAt::Ack)?;
    nothing_new(&session.deliver(&first, NOW + 1)?)?;
    refused(&session.deliver(&older, NOW + 2)?, &older, "superseded")?;
    is_in_force(session, "bid", json!(1_200_000))
}

/// One answer to this command, complete, with this result.
fn answered(step: &Step, command: &Adjustment, result: &str) -> Result<(), String> {
    let mine: Vec<&Value> = step.acks.iter().filter(|ack| ack["command_id"] == command.command_id.as_str()).collect();
    let whole = |ack: &Value| {
        ack["account_id"] == command.account_id.as_str()
            && ack["campaign_id"] == command.campaign_id.as_str()
            && ack["sequence"] == command.sequence
            && ["paceline", "person", "platform"].iter().any(|actor| ack["actor"] == *actor)
    };
    let last = mine.last().is_some_and(|ack| ack["result"] == result && whole(ack));
    wants(last, &format!("the answer {result} to {} with its ids, sequence and actor", command.command_id), step)
}

fn refused(step: &Step, command: &Adjustment, result: &str) -> Result<(), String> {
    wants(step.writes.is_empty(), "no write", step)?;
    answered(step, command, result)
}

fn nothing_new(step: &Step) -> Result<(), String> {
    wants(step.writes.is_empty(), "no second write", step)?;
    wants(step.acks.iter().all(|ack| ack["result"] == "applied"), "the same answer as before, or none", step)
}

fn is_in_force(session: &Session<'_>, what: &str, value: Value) -> Result<(), String> {
    let found = session.in_force(what);
    if found == value { Ok(()) } else { Err(format!("{what} {found} in force where {value} was wanted")) }
}

fn wants(holds: bool, wanted: &str, step: &Step) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    let told = |ack: &Value| format!("{} {}", ack["command_id"], ack["result"]);
    let acks: Vec<String> = step.acks.iter().map(told).collect();
    let writes: Vec<String> = step.writes.iter().map(|(what, value)| format!("{what} {value}")).collect();
    Err(format!("wanted {wanted}; writes [{}], answers [{}]", writes.join(", "), acks.join(", ")))
}
