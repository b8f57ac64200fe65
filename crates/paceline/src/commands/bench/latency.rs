//! The time from event to command, under a steady load of campaigns with small budgets.
//!
//! From the opening of the cut that held the deciding events, which is when its first record was read, to the broker's
//! stamp on the command.

use super::cuts::CutLog;
use super::{Fixture, JOURNAL_PARTITIONS, PATIENCE, send};
use crate::clock::Clock;
use crate::commands::connect;
use crate::failure::Outcome;
use kafka_io::{From, LogReader, Sender, Until};
use market::{Emitted, Load, LoadScenario};
use model::fact::CampaignSpec;
use model::time::Millis;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const LATENCY_SECONDS: i64 = 15;
/// Small budgets, so that each campaign reaches its ceiling.
const LATENCY_CAMPAIGNS: u32 = 300;
/// How long the service has for the last commands once all events are sent; some 2 s do on an idle machine.
const COMMANDS_WAIT_MAX: Duration = Duration::from_secs(30);
/// Between two looks at the service's progress.
const LOOK: Duration = Duration::from_millis(200);

impl Fixture {
    /// Sends the load at its rate, waits for the last commands, and reads the times from the logs.
    pub fn latency(&mut self, rate: u64, reader: &mut LogReader, cuts: &mut CutLog) -> Outcome<Value> {
        let start_ms = Clock::System.now_ms();
        let mut scenario = LoadScenario::new(LATENCY_CAMPAIGNS, 100_000, rate, start_ms);
        scenario.accounts = LATENCY_CAMPAIGNS / 10;
        cuts.read(reader, &self.codec)?;
        let before = cuts.events();
        let sent = self.steady_load(scenario, start_ms)?;
        let is_complete = self.wait_for_commands(before + sent, reader, cuts)?;
        let latencies = self.command_latencies(start_ms, reader)?;
        Ok(document(latencies, rate, is_complete))
    }

    /// Returns how many events were sent.
    fn steady_load(&self, scenario: LoadScenario, start_ms: Millis) -> Outcome<u64> {
        let mut sender = Sender::start(&connect(&self.settings, "bench"))?;
        let specs = scenario.specs().into_iter().enumerate().map(|(at, spec)| with_small_budget(spec, at));
        self.specifications(&mut sender, specs.collect())?;
        let mut load = Load::new(scenario, 2);
        let mut payload = Vec::new();
        let started = Instant::now();
        let (mut at_ms, mut sent) = (0, 0);
        while at_ms < LATENCY_SECONDS * 1_000 {
            at_ms += 20;
            let mut failed = Ok(());
            load.advance(start_ms + at_ms, &mut |emitted: Emitted<'_>| {
                if failed.is_ok() {
                    failed = send(&self.codec, &self.settings, &mut sender, &mut payload, &emitted.record);
                    sent += 1;
                }
            });
            failed?;
            std::thread::sleep(Duration::from_millis(at_ms as u64).saturating_sub(started.elapsed()));
        }
        sender.flush(PATIENCE)?;
        Ok(sent)
    }

    /// Until every event is in a cut and the second stage has committed past these cuts; `false` where that did not
    /// happen in time.
    fn wait_for_commands(&mut self, events: u64, reader: &mut LogReader, cuts: &mut CutLog) -> Outcome<bool> {
        let deadline = Instant::now() + COMMANDS_WAIT_MAX;
        loop {
            self.still_runs()?;
            cuts.read(reader, &self.codec)?;
            if cuts.events() >= events {
                break;
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(LOOK);
        }
        self.wait_for_decisions(reader, deadline)
    }

    fn command_latencies(&self, since_ms: Millis, reader: &mut LogReader) -> Outcome<Vec<i64>> {
        let topics = &self.settings.topics;
        let mut latencies = Vec::new();
        for partition in 0..JOURNAL_PARTITIONS {
            let mut clocks = BTreeMap::new();
            reader.read(&topics.journal, partition, From::Earliest, Until::StableEnd, |record| {
                if let Ok(journal) = self.codec.journal(record.payload.unwrap_or_default()) {
                    clocks.insert(record.offset, journal.clock);
                }
                ControlFlow::Continue(())
            })?;
            reader.read(&topics.adjustments, partition, From::Earliest, Until::StableEnd, |record| {
                if let Ok(command) = self.codec.adjustment(record.payload.unwrap_or_default())
                    && command.kind == "pause"
                    && command.issued_at >= since_ms
                    && let Some(clock) = clocks.get(&command.explanation.journal_offset)
                {
                    latencies.push((record.timestamp_ms - clock).max(0));
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(latencies)
    }
}

fn with_small_budget(spec: CampaignSpec, at: usize) -> CampaignSpec {
    CampaignSpec {
        mode: "auto".into(),
        bid_control: "paceline".into(),
        budget_control: "paceline".into(),
        version: 2,
        platform: None,
        bid_micros: 1_000_000,
        bid_min_micros: 10_000,
        bid_max_micros: 2_000_000,
        daily_cap: "hard".into(),
        daily_budget_micros: Some(3_000_000 + 40_000 * at as i64),
        ..spec
    }
}

/// Quantiles by rank. Where something is missing, `note` says what and why.
fn document(mut latencies: Vec<i64>, rate: u64, is_complete: bool) -> Value {
    latencies.sort_unstable();
    let quantile = |share: f64| {
        latencies.get(((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1))).copied()
    };
    let note = match (latencies.is_empty(), is_complete) {
        (true, true) => Some(format!(
            "no campaign reached its budget in {LATENCY_SECONDS} s at {rate} events/s, so no pause was issued and there is nothing to time; raise --latency-rate"
        )),
        (true, false) => Some(format!(
            "the service had not handled the load of {rate} events/s within {} s of its end, and no pause was issued by then; lower --latency-rate",
            COMMANDS_WAIT_MAX.as_secs()
        )),
        (false, false) => Some(format!(
            "the service had not handled the load of {rate} events/s within {} s of its end: commands that came later are not counted; lower --latency-rate",
            COMMANDS_WAIT_MAX.as_secs()
        )),
        (false, true) => None,
    };
    json!({
        "p50": quantile(0.5), "p99": quantile(0.99), "max": latencies.last(), "commands": latencies.len(), "note": note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_that_is_missing_comes_with_its_reason() {
        let none = document(Vec::new(), 50, true);
        assert_eq!((&none["p50"], &none["commands"]), (&Value::Null, &json!(0)));
        assert!(none["note"].as_str().unwrap().contains("raise --latency-rate"));
        assert!(document(Vec::new(), 50, false)["note"].as_str().unwrap().contains("lower --latency-rate"));
        assert!(document(vec![1], 50, false)["note"].as_str().unwrap().contains("not counted"));
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let some = document((1..=100).rev().collect(), 50, true);
        assert_eq!((&some["p50"], &some["p99"], &some["max"]), (&json!(51), &json!(100), &json!(100)));
        assert_eq!(some["note"], Value::Null);
    }
}
