//! A subscriber that keeps the rule passes; for each rule there is one that breaks it, and its case fails.

use super::cases::CASES;
use super::child::Child;
use super::session::Link;
use super::try_case;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// What survives a crash.
#[derive(Clone, Default)]
struct Memory {
    last: BTreeMap<String, i64>,
    answered: BTreeMap<String, Value>,
    doing: Option<String>,
    waiting: Vec<Value>,
    leases: BTreeMap<String, (Value, Value, i64)>,
    highest: i64,
}

/// The reference, and with `defect` the one that breaks the rule of that case.
struct Reference {
    defect: &'static str,
    memory: Arc<Mutex<Memory>>,
    wires: Option<(Sender<Value>, Receiver<Value>)>,
}

impl Reference {
    fn new(defect: &'static str) -> Self {
        Self { defect, memory: Arc::default(), wires: None }
    }
}

impl Link for Reference {
    fn start(&mut self) -> Result<(), String> {
        let (to_it, from_us) = channel();
        let (to_us, from_it) = channel();
        if self.defect == "crash_after_ack" {
            self.memory = Arc::default();
        }
        let mut subscriber = Subscriber {
            defect: self.defect,
            durable: Arc::clone(&self.memory),
            memory: self.memory.lock().unwrap().clone(),
            input: from_us,
            output: to_us,
        };
        thread::spawn(move || while subscriber.turn().is_some() {});
        self.wires = Some((to_it, from_it));
        Ok(())
    }

    fn send(&mut self, message: &Value) -> Result<(), String> {
        self.wires.as_ref().unwrap().0.send(message.clone()).map_err(|error| error.to_string())
    }

    fn receive(&mut self) -> Result<Value, String> {
        self.wires.as_ref().unwrap().1.recv().map_err(|error| error.to_string())
    }

    fn crash(&mut self) {
        self.wires = None;
    }

    fn end(&mut self) {
        self.wires = None;
    }
}

struct Subscriber {
    defect: &'static str,
    durable: Arc<Mutex<Memory>>,
    memory: Memory,
    input: Receiver<Value>,
    output: Sender<Value>,
}

impl Subscriber {
    /// One message; `None` once the wires are cut.
    fn turn(&mut self) -> Option<()> {
        let message = self.input.recv().ok()?;
        let now = message["now"].as_i64()?;
        if message["type"] == "command" {
            self.consider(&message["command"], now)?;
        }
        self.look_at_leases(now)?;
        for command in std::mem::take(&mut self.memory.waiting) {
            self.consider(&command, now)?;
        }
        self.say(json!({ "type": "done" }))
    }

    fn is(&self, defect: &str) -> bool {
        self.defect == defect
    }

    fn consider(&mut self, command: &Value, now: i64) -> Option<()> {
        let id = command["command_id"].as_str()?.to_owned();
        if let Some(ack) = self.memory.answered.get(&id).filter(|_| !self.is("duplicate")).cloned() {
            return self.say(ack);
        }
        if command["state"] != "issued" && !self.is("not_issued") {
            return self.answer(command, "rejected", None);
        }
        let kind = command["kind"].as_str()?;
        let what = match kind {
            "set_daily_budget" => "daily_budget",
            "pause" | "resume" => "status",
            "set_bid" => "bid",
            _ if self.is("unknown_kind") => "bid",
            _ => return self.answer(command, "rejected", None),
        };
        if command["target"]["level"] != "campaign" {
            return self.answer(command, "rejected", None);
        }
        let place = if self.is("older_pause") { kind } else { what };
        let sequence = command["sequence"].as_i64()?;
        if sequence <= self.memory.last.get(place).copied().unwrap_or(0) && !self.is("older_sequence") {
            return self.answer(command, "superseded", None);
        }
        let wanted = match kind {
            "pause" => json!("paused"),
            "resume" => json!("active"),
            _ => command["value_micros"].clone(),
        };
        let found = self.ask(json!({ "type": "read", "what": what }))?["value"].clone();
        let resumed = self.memory.doing.as_deref() == Some(&id);
        let resumed = resumed && (found == wanted || self.is("crash_then_person"));
        if !resumed || self.is("crash_before_ack") || (self.is("crash_then_late") && now >= expiry(command)) {
            if now >= expiry(command) && !self.is("expired") {
                let is_deaf = self.is("requires_in_vain") && !command["requires"].as_array()?.is_empty();
                return if is_deaf { Some(()) } else { self.answer(command, "expired", None) };
            }
            if !self.is_ready(command, now) {
                self.memory.waiting.push(command.clone());
                return self.answer(command, "deferred", None);
            }
            let expected = &command["expected_previous"];
            let other =
                !expected["value_micros"].is_null() && expected["value_micros"] != found && !self.is("conflict");
            let unseen = expected["sequence"].as_i64()? > self.memory.highest && !self.is("unseen_predecessor");
            if other || unseen {
                return self.answer(command, "conflict", Some(found));
            }
            self.memory.doing = Some(id.clone());
            self.keep();
        }
        if !resumed || self.is("crash_then_person") {
            self.ask(json!({ "type": "write", "what": what, "value": wanted }))?;
        }
        self.lease(command, what, &wanted);
        self.memory.last.insert(place.to_owned(), sequence);
        self.memory.highest = self.memory.highest.max(sequence);
        self.answer(command, if self.is("applied") { "rejected" } else { "applied" }, None)
    }

    fn is_ready(&self, command: &Value, now: i64) -> bool {
        let applied = |id: &Value| {
            self.memory.answered.get(id.as_str().unwrap_or_default()).is_some_and(|ack| ack["result"] == "applied")
        };
        let required = command["requires"].as_array().is_none_or(|ids| ids.iter().all(applied));
        let begun = now >= command["effective_from"].as_i64().unwrap_or(0);
        (required || self.is("requires")) && (begun || self.is("effective_from"))
    }

    fn lease(&mut self, command: &Value, what: &str, wanted: &Value) {
        let fallback = &command["fallback"];
        match fallback["when"].as_i64() {
            Some(when) if !self.is("lease") => {
                let lease = (fallback["value_micros"].clone(), wanted.clone(), when);
                if self.is("lease_renewed") {
                    self.memory.leases.entry(what.to_owned()).or_insert(lease);
                } else {
                    self.memory.leases.insert(what.to_owned(), lease);
                }
            }
            _ => drop(self.memory.leases.remove(what)),
        }
    }

    fn look_at_leases(&mut self, now: i64) -> Option<()> {
        for (what, (value, ours, _)) in
            self.memory.leases.extract_if(.., |_, (.., when)| *when <= now).collect::<Vec<_>>()
        {
            let found = self.ask(json!({ "type": "read", "what": what }))?["value"].clone();
            if found == ours || self.is("lease_of_a_person") || self.is("lease_renewed") {
                self.ask(json!({ "type": "write", "what": what, "value": value }))?;
            }
        }
        Some(())
    }

    fn answer(&mut self, command: &Value, result: &str, found: Option<Value>) -> Option<()> {
        let ack = json!({
            "type": "ack", "command_id": command["command_id"], "account_id": command["account_id"],
            "campaign_id": command["campaign_id"], "sequence": command["sequence"], "result": result,
            "found_value_micros": found, "applied_at": command["issued_at"], "actor": "paceline",
        });
        if result != "deferred" {
            self.memory.answered.insert(command["command_id"].as_str()?.to_owned(), ack.clone());
            self.keep();
        }
        self.say(ack)
    }

    fn keep(&self) {
        *self.durable.lock().unwrap() = self.memory.clone();
    }

    fn ask(&self, question: Value) -> Option<Value> {
        self.say(question)?;
        self.input.recv().ok()
    }

    fn say(&self, message: Value) -> Option<()> {
        self.output.send(message).ok()
    }
}

fn expiry(command: &Value) -> i64 {
    command["expires_at"].as_i64().unwrap_or(0)
}

#[test]
fn who_keeps_the_rule_passes_every_case() {
    for case in CASES {
        assert_eq!(try_case(case, &mut Reference::new("none")), Ok(()), "{}", case.name);
    }
}

#[test]
fn who_breaks_a_rule_fails_its_case() {
    for case in CASES {
        let seen = try_case(case, &mut Reference::new(case.name));
        assert!(seen.is_err(), "{} does not see who breaks it", case.name);
    }
}

#[test]
fn a_child_that_talks_nonsense_ends_or_is_not_there_fails_and_says_so() {
    let folder = std::env::temp_dir().join(format!("paceline-conformance-test-{}", std::process::id()));
    for (command, words) in [
        ("read line; echo hello", "no JSON"),
        ("read line", "ended"),
        ("read line; echo '{\"type\":\"song\"}'", "none of read, write"),
        ("while :; do echo '{\"type\":\"ack\"}'; done", "more than"),
        ("exec /nowhere/adapter 2>/dev/null", ""),
    ] {
        let seen = try_case(&CASES[0], &mut Child::new(command, &folder)).unwrap_err();
        assert!(seen.contains(words), "{command}: {seen}");
    }
    let _ = std::fs::remove_dir_all(&folder);
}

/// What a person copies is one file a language; the rule comes as a library and is not copied.
#[test]
fn the_examples_consumers_stay_under_sixty_lines_and_need_no_file_beside_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/clients");
    for (file, library, beside) in [
        ("python/consumer/consumer.py", "from paceline_subscriber import", "from ."),
        ("java/consumer/src/main/java/Consumer.java", "import paceline.client.Subscriber;", "new Adapter"),
        ("go/consumer/main.go", "\"paceline.example/subscriber\"", "adapter"),
        ("node/consumer/consumer.mjs", "from 'paceline-subscriber'", "from './"),
    ] {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        assert!(text.lines().count() < 60, "{file} has {} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 170), "{file} hides lines in long ones");
        assert!(text.to_lowercase().contains("committed"), "{file} does not say how it reads");
        assert!(
            text.contains(library) && !text.contains(beside),
            "{file} takes the rule from elsewhere than the library"
        );
    }
}
