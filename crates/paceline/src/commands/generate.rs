//! `paceline generate`: a steady load of simulated events, with an exact truth beside it.

use super::specified::{self, Known, Verdict, verdict};
use super::wire::encode_event;
use super::{connect, say, sender};
use crate::cli::Generate;
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::settings::{Settings, Topics, parse_duration_ms};
use avro_codec::{Codec, RecordName};
use kafka_io::Sender;
use market::{Emitted, Load, LoadScenario, Record};
use model::fact::{CampaignSpec, Fact};
use model::time::Millis;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// Events are made in steps of this length, so the rate is even.
const STEP_MS: Millis = 20;
const FLUSH_LIMIT: Duration = Duration::from_secs(60);

/// Bytes that no decoder accepts, each with another fault: garbage, a cut record, bytes left over, an unknown schema,
/// nothing at all.
const POISON_KINDS: u64 = 5;

/// Sends the campaigns' specifications, then the load.
pub fn run(arguments: &Generate) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let span_ms = parse_duration_ms(&arguments.span).ok_or_else(|| {
        Failure::usage(format!("--for {:?} is not a duration", arguments.span), "use for example 60s")
    })?;
    let start_ms = Clock::System.now_ms();
    let scenario = LoadScenario {
        duplicate_ppm: arguments.duplicates_ppm,
        disorder_ppm: arguments.disorder_ppm,
        late_ppm: arguments.late_ppm,
        ..LoadScenario::new(arguments.campaigns, arguments.users, arguments.rate, start_ms).disturbed()
    };
    let mut wire = Wire::new(&settings, arguments.poison_ppm)?;
    wire.specifications(&scenario, &specified::read(&settings, "generate")?)?;
    let mut load = Load::new(scenario, arguments.seed);
    let started = Instant::now();
    let mut at_ms = 0;
    while at_ms < span_ms {
        at_ms = (at_ms + STEP_MS).min(span_ms);
        load.advance(start_ms + at_ms, &mut |emitted: Emitted<'_>| wire.event(&emitted.record));
        wire.check()?;
        sleep_until(started, at_ms);
    }
    // What is still on its way: at its time where that is wanted, else at once.
    let mut settled = !arguments.wait_for_late;
    while !settled {
        at_ms += STEP_MS;
        settled = load.settle(start_ms + at_ms, &mut |emitted: Emitted<'_>| wire.event(&emitted.record));
        wire.check()?;
        sleep_until(started, at_ms);
    }
    load.finish(&mut |emitted: Emitted<'_>| wire.event(&emitted.record));
    wire.check()?;
    wire.sender.flush(FLUSH_LIMIT)?;
    if let Some(path) = &arguments.truth {
        write_truth(path, &load)?;
    }
    say(&json!({
        "events": load.events(),
        "sent": load.emitted(),
        "duplicates": load.duplicates(),
        "late": load.truth_late().total().impressions + load.truth_late().total().clicks + load.truth_late().total().conversions,
        "poison": wire.poison,
        "start_ms": start_ms,
        "seconds": started.elapsed().as_secs_f64(),
    }).to_string())
}

fn sleep_until(started: Instant, at_ms: Millis) {
    std::thread::sleep(Duration::from_millis(at_ms as u64).saturating_sub(started.elapsed()));
}

/// What is sent: events and the specifications that they belong to.
const WRITTEN: &[RecordName] =
    &[RecordName::Impression, RecordName::Click, RecordName::Conversion, RecordName::CampaignSpec];

struct Wire {
    codec: Codec,
    sender: Sender,
    topics: Topics,
    payload: Vec<u8>,
    sent: u64,
    poison: u64,
    poison_every: u64,
    failed: Outcome,
}

impl Wire {
    fn new(settings: &Settings, poison_ppm: u32) -> Outcome<Self> {
        Ok(Self {
            codec: registry::codec(settings, WRITTEN)?,
            sender: sender(&connect(settings, "generate"))?,
            topics: settings.topics.clone(),
            payload: Vec::new(),
            sent: 0,
            poison: 0,
            poison_every: if poison_ppm == 0 { u64::MAX } else { u64::from(1_000_000 / poison_ppm.max(1)).max(1) },
            failed: Ok(()),
        })
    }

    /// Only what is new: a specification of a person's, of a higher version, stays the topic's last word.
    fn specifications(&mut self, scenario: &LoadScenario, known: &BTreeMap<String, Known>) -> Outcome {
        let is_new = |spec: &CampaignSpec| verdict(spec, known.get(&spec.campaign_id)) == Verdict::Send;
        for spec in scenario.specs().into_iter().filter(is_new) {
            let id = spec.campaign_id.clone();
            let payload = self
                .codec
                .encode_fact(&Fact::CampaignSpec(Box::new(spec)))
                .map_err(|error| Failure::failed(format!("encoding campaign {id}: {error}"), ""))?;
            self.sender.send(&self.topics.campaigns, None, Some(id.as_bytes()), Some(&payload), None)?;
        }
        Ok(self.sender.flush(FLUSH_LIMIT).map(|_| ())?)
    }

    fn event(&mut self, record: &Record<'_>) {
        if self.failed.is_err() {
            return;
        }
        self.failed = self.send(record);
    }

    fn send(&mut self, record: &Record<'_>) -> Outcome {
        encode_event(&self.codec, record, &mut self.payload)?;
        let topic = self.topics.event(record.kind());
        self.sender.send(topic, None, Some(record.key().as_bytes()), Some(&self.payload), None)?;
        self.sent += 1;
        if self.sent.is_multiple_of(self.poison_every) {
            self.spoil(record)?;
        }
        Ok(())
    }

    /// Sends a record beside the good one that must end on the dead-letter topic.
    fn spoil(&mut self, record: &Record<'_>) -> Outcome {
        let mut bytes = self.payload.clone();
        match self.poison % POISON_KINDS {
            0 => bytes = b"\x07 this is no record".to_vec(),
            1 => bytes.truncate(bytes.len() / 2),
            2 => bytes.push(0),
            3 => bytes[1..5].copy_from_slice(&999_999_u32.to_be_bytes()),
            _ => bytes.clear(),
        }
        self.poison += 1;
        let topic = self.topics.event(record.kind());
        Ok(self.sender.send(topic, None, Some(record.key().as_bytes()), Some(&bytes), None)?)
    }

    fn check(&mut self) -> Outcome {
        std::mem::replace(&mut self.failed, Ok(()))
    }
}

/// One row a campaign and minute; `late` rows count the late share alone, which is contained in the others.
fn write_truth(path: &std::path::Path, load: &Load) -> Outcome {
    let write = || -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        writeln!(file, "share,campaign_id,minute,impressions,clicks,spend_micros,conversions,value_micros")?;
        for (share, truth) in [("all", load.truth()), ("late", load.truth_late())] {
            for row in truth.rows() {
                let cell = row.cell;
                writeln!(
                    file,
                    "{share},{},{},{},{},{},{},{}",
                    row.campaign_id,
                    row.minute,
                    cell.impressions,
                    cell.clicks,
                    cell.spend_micros,
                    cell.conversions,
                    cell.value_micros
                )?;
            }
        }
        file.flush()
    };
    write().map_err(|error| Failure::failed(format!("cannot write the truth to {}: {error}", path.display()), ""))
}
