//! One subscriber under trial: what it is sent, what it does to the platform, what it answers.

use model::output::Adjustment;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A way to a subscriber that can be started, crashed and started again with its memory kept.
pub trait Link {
    /// Starts it; after a crash its memory is as it left it.
    fn start(&mut self) -> Result<(), String>;
    /// Hands it a message.
    fn send(&mut self, message: &Value) -> Result<(), String>;
    /// Its next message.
    fn receive(&mut self) -> Result<Value, String>;
    /// Ends it at once, with no time to tidy up.
    fn crash(&mut self);
    /// Closes its input and lets it end.
    fn end(&mut self);
}

/// Where the subscriber is crashed, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashAt {
    /// The platform has taken the value; the subscriber does not know.
    Write,
    /// The answer is out; what follows it is not done.
    Ack,
}

/// What came of one message.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Values written to the platform, as `(what, value)`.
    pub writes: Vec<(String, Value)>,
    /// Answers.
    pub acks: Vec<Value>,
}

/// A running trial.
pub struct Session<'a> {
    link: &'a mut dyn Link,
    platform: BTreeMap<String, Value>,
}

/// Messages of one step; a subscriber that says more talks for ever.
const MESSAGES_MAX: usize = 200;

impl<'a> Session<'a> {
    /// The campaign of all cases has a bid of 1.00, a daily budget of 50.00, and is active.
    pub fn new(link: &'a mut dyn Link) -> Self {
        let values = [("bid", json!(1_000_000)), ("daily_budget", json!(50_000_000)), ("status", json!("active"))];
        Self { link, platform: values.map(|(what, value)| (what.to_owned(), value)).into() }
    }

    /// Delivers a command and waits until it is dealt with.
    pub fn deliver(&mut self, command: &Adjustment, now: i64) -> Result<Step, String> {
        self.step(&message_of(command, now), None)
    }

    /// Delivers a command, and crashes the subscriber on the way; it is running again afterwards.
    pub fn deliver_and_crash(&mut self, command: &Adjustment, now: i64, crash: CrashAt) -> Result<Step, String> {
        self.step(&message_of(command, now), Some(crash))
    }

    /// Lets time pass with no command.
    pub fn tick(&mut self, now: i64) -> Result<Step, String> {
        self.step(&json!({ "type": "tick", "now": now }), None)
    }

    /// Somebody sets a value in the platform's own tool.
    pub fn set_by_person(&mut self, what: &str, value: Value) {
        self.platform.insert(what.to_owned(), value);
    }

    /// What is in force.
    pub fn in_force(&self, what: &str) -> Value {
        self.platform.get(what).cloned().unwrap_or(Value::Null)
    }

    fn step(&mut self, message: &Value, crash: Option<CrashAt>) -> Result<Step, String> {
        self.link.send(message)?;
        let mut step = Step::default();
        for _ in 0..MESSAGES_MAX {
            let said = self.link.receive()?;
            let kind = said["type"].as_str().unwrap_or_default();
            match kind {
                "read" => {
                    let value = self.in_force(what_of(&said)?);
                    self.link.send(&json!({ "type": "value", "value": value }))?;
                }
                "write" => {
                    let what = what_of(&said)?.to_owned();
                    self.platform.insert(what.clone(), said["value"].clone());
                    step.writes.push((what, said["value"].clone()));
                    if crash == Some(CrashAt::Write) {
                        return self.crashed(step);
                    }
                    self.link.send(&json!({ "type": "written" }))?;
                }
                "ack" => {
                    step.acks.push(said);
                    if crash == Some(CrashAt::Ack) {
                        return self.crashed(step);
                    }
                }
                "done" if crash.is_none() => return Ok(step),
                "done" => return Err("it dealt with the command and never came to where it should crash".into()),
                _ => return Err(format!("a message that is none of read, write, ack and done: {said}")),
            }
        }
        Err(format!("more than {MESSAGES_MAX} messages for one command"))
    }

    fn crashed(&mut self, step: Step) -> Result<Step, String> {
        self.link.crash();
        self.link.start()?;
        Ok(step)
    }
}

fn message_of(command: &Adjustment, now: i64) -> Value {
    json!({ "type": "command", "now": now, "command": command })
}

fn what_of(said: &Value) -> Result<&str, String> {
    let what = said["what"].as_str().filter(|what| ["bid", "daily_budget", "status"].contains(what));
    what.ok_or_else(|| format!("\"what\" is none of bid, daily_budget and status: {said}"))
}
