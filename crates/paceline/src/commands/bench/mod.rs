//! `paceline bench`: the service's rate beside bare consumption in the same run, and the time from event to command.
//!
//! It writes its own input to topics of its own, runs the real binary as a child process, and removes the topics. The
//! rate is that from the broker's stamp of the first cut until stage 2 has committed all that the last one brought; the
//! rate of the cuts alone stands beside it.
//! Rates on one noisy machine are worth their ratios; the document names settings and versions.

mod cuts;
mod decided;
mod latency;
mod table;

use super::{ask, connect, say, say_json};
use crate::cli::{Bench, Output};
use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::service::topology::{ANSWER_LIMIT, needs};
use crate::settings::Settings;
use avro_codec::Codec;
use cuts::{CutLog, course, events_per_second};
use kafka_io::{Admin, From, LogReader, Sender, TopicPlan, Until, bare};
use market::{Emitted, Load, LoadScenario, Record};
use model::fact::{CampaignSpec, Fact};
use model::time::Millis;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const EVENT_PARTITIONS: i32 = 4;
const JOURNAL_PARTITIONS: i32 = 4;
const USERS: u64 = 1_000_000;
/// Event time of the bulk load advances at this rate, as in the comparison with other engines.
const BULK_EVENTS_PER_SECOND: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);
const RUN_LIMIT: Duration = Duration::from_secs(600);
/// Between two looks at the service's progress.
const LOOK: Duration = Duration::from_millis(200);
/// The same near the end, after which stage 2 is asked.
const LOOK_NEAR_END: Duration = Duration::from_millis(10);
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Tables of half a gigabyte in pages of 2 MB: fewer faults while they grow, fewer misses while they are read.
const HUGE_PAGES: &str = "glibc.malloc.hugetlb=1";
/// Why there is no rate.
const TOO_FEW: &str = "all events went into one cut, so there is no span to divide by; raise --events";

/// Measures.
pub fn run(arguments: &Bench) -> Outcome {
    let mut bench = Fixture::create(arguments)?;
    let measured = bench.measure(arguments);
    let removed = bench.remove();
    let document = measured?;
    removed?;
    match arguments.output {
        Output::Json => say_json(&document, arguments.output),
        Output::Text => table::table(&document).iter().try_for_each(|line| say(line)),
    }
}

struct Fixture {
    settings: Settings,
    environment: BTreeMap<String, String>,
    admin: Admin,
    codec: Codec,
    child: Option<Child>,
}

impl Fixture {
    fn create(arguments: &Bench) -> Outcome<Self> {
        let prefix = format!("bench-{}", std::process::id());
        let state_dir = std::env::temp_dir().join(&prefix);
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        let mut set = |name: &str, value: String| environment.insert(format!("PACELINE__{name}"), value);
        set("KAFKA__BROKERS", arguments.brokers.clone());
        set("GROUP", prefix.clone());
        set("STATE__DIR", state_dir.display().to_string());
        set("JOURNAL__PARTITIONS", JOURNAL_PARTITIONS.to_string());
        set("LOG__LEVEL", "error".into());
        set("USER_KEY__SECRET", prefix.clone());
        for (setting, port) in [("HTTP__LISTEN", free_port()?), ("METRICS__LISTEN", free_port()?)] {
            set(setting, format!("127.0.0.1:{port}"));
        }
        for topic in [
            "impressions",
            "clicks",
            "conversions",
            "stats",
            "corrections",
            "campaigns",
            "entities",
            "context",
            "feedback",
            "policy",
            "journal",
            "epochs",
            "adjustments",
            "proposals",
            "desired_state",
            "alerts",
            "kpis",
            "dead_letters",
        ] {
            set(&format!("TOPICS__{}", topic.to_uppercase()), format!("{prefix}.{topic}"));
        }
        let (settings, _) = Settings::load_with(&[], &environment)?;
        let admin = Admin::connect(&connect(&settings, "bench"), ANSWER_LIMIT)?;
        let plans: Vec<TopicPlan> = needs(&settings, EVENT_PARTITIONS)
            .into_iter()
            .map(|need| {
                let mut settings = BTreeMap::from([("cleanup.policy".to_owned(), need.cleanup.to_owned())]);
                if need.append_time {
                    settings.insert("message.timestamp.type".into(), "LogAppendTime".into());
                }
                TopicPlan { name: need.name, partitions: need.partitions, replication: 1, settings }
            })
            .collect();
        admin.create(&plans)?;
        Ok(Self { settings, environment, admin, codec: Codec::fixed(), child: None })
    }

    fn measure(&mut self, arguments: &Bench) -> Outcome<serde_json::Value> {
        let start_ms = Clock::System.now_ms() - (arguments.events / BULK_EVENTS_PER_SECOND * 1_000) as Millis;
        let scenario = LoadScenario::new(arguments.campaigns, USERS, BULK_EVENTS_PER_SECOND, start_ms);
        let impressions = self.write_bulk(&scenario, arguments.events)?;
        let topic = self.settings.topics.impressions.clone();
        let connection = connect(&self.settings, "bench");
        let mut poll = Vec::new();
        let mut batch = Vec::new();
        batch.push(bare::batch_per_second(&connection, &topic, EVENT_PARTITIONS, impressions)?);
        poll.push(bare::poll_per_second(&connection, &topic, EVENT_PARTITIONS, impressions)?);
        let mut reader = LogReader::open(&connection, PATIENCE)?;
        let mut cuts = CutLog::new(&self.settings.topics.epochs, EVENT_PARTITIONS);
        self.start_service()?;
        self.wait_for_cuts(arguments.events, &mut reader, &mut cuts)?;
        if !self.wait_for_decisions(&mut reader, Instant::now() + RUN_LIMIT)? {
            return Err(Failure::failed("stage 2 did not apply the journal in time", "see the service's log above"));
        }
        let decided_ms = Clock::System.now_ms();
        let service = events_per_second(cuts.cuts(), Some(decided_ms));
        let until_cuts = events_per_second(cuts.cuts(), None);
        let course = course(cuts.cuts());
        let rss_bytes = self.metric("process_resident_memory_bytes").map(|bytes| bytes as i64);
        let latency = self.latency(arguments.latency_rate, &mut reader, &mut cuts)?;
        self.stop_service();
        batch.push(bare::batch_per_second(&connection, &topic, EVENT_PARTITIONS, impressions)?);
        let bare_batch = mean(&batch);
        Ok(json!({
            "events": arguments.events,
            "bare_poll_per_second": mean(&poll),
            "bare_batch_per_second": bare_batch,
            "service_per_second": service,
            "cuts_per_second": until_cuts,
            "course_ms_events": course,
            "service_note": service.is_none().then_some(TOO_FEW),
            "ratio_to_bare_batch": service.map(|service| service / bare_batch),
            "latency_ms": latency,
            "rss_bytes": rss_bytes,
            "journal_bytes": self.journal_bytes()?,
            "settings": {
                "campaigns": arguments.campaigns, "users": USERS, "event_partitions": EVENT_PARTITIONS,
                "journal_partitions": JOURNAL_PARTITIONS, "latency_events_per_second": arguments.latency_rate,
                "glibc_tunables": tunables(),
            },
            "versions": { "paceline": super::run::BUILD },
        }))
    }

    fn write_bulk(&mut self, scenario: &LoadScenario, events: u64) -> Outcome<u64> {
        let mut sender = Sender::start(&connect(&self.settings, "bench"))?;
        self.specifications(&mut sender, scenario.specs())?;
        let mut impressions = 0;
        let mut load = Load::new(scenario.clone(), 1);
        let mut failed = Ok(());
        let (codec, settings) = (&self.codec, &self.settings);
        let mut payload = Vec::new();
        load.advance_events(events, &mut |emitted: Emitted<'_>| {
            impressions += u64::from(matches!(emitted.record, Record::Impression(_)));
            if failed.is_ok() {
                failed = send(codec, settings, &mut sender, &mut payload, &emitted.record);
            }
        });
        failed?;
        sender.flush(RUN_LIMIT)?;
        Ok(impressions)
    }

    fn specifications(&self, sender: &mut Sender, specs: Vec<CampaignSpec>) -> Outcome {
        for spec in specs {
            let id = spec.campaign_id.clone();
            let payload = self.codec.encode_fact(&Fact::CampaignSpec(Box::new(spec))).map_err(encoding)?;
            sender.send(&self.settings.topics.campaigns, None, Some(id.as_bytes()), Some(&payload), None)?;
        }
        sender.flush(PATIENCE)?;
        Ok(())
    }

    fn start_service(&mut self) -> Outcome {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot start the service: {error}"), "");
        let program = std::env::current_exe().map_err(failed)?;
        let mut service = Command::new(program);
        service.arg("run").envs(&self.environment).env(TUNABLES, tunables()).stdout(Stdio::null());
        self.child = Some(service.spawn().map_err(failed)?);
        Ok(())
    }

    fn stop_service(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits until every event is in a committed cut.
    fn wait_for_cuts(&mut self, events: u64, reader: &mut LogReader, cuts: &mut CutLog) -> Outcome {
        let began = Instant::now();
        while began.elapsed() < RUN_LIMIT {
            self.still_runs()?;
            cuts.read(reader, &self.codec)?;
            if cuts.events() >= events {
                return Ok(());
            }
            let is_near = cuts.events() >= events / 8 * 7;
            std::thread::sleep(if is_near { LOOK_NEAR_END } else { LOOK });
        }
        Err(Failure::failed("the service did not read all events in time", "see its log above"))
    }

    fn still_runs(&mut self) -> Outcome {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => Err(Failure::failed(format!("the service ended: {status}"), "see its log above")),
            _ => Ok(()),
        }
    }

    /// The sum of a metric's series, `None` where the service does not answer.
    fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = ask::get(self.settings.metrics_listen, "/metrics")?;
        let values = text
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Some(values.sum())
    }

    fn journal_bytes(&self) -> Outcome<u64> {
        let mut reader = LogReader::open(&connect(&self.settings, "bench"), PATIENCE)?;
        let mut bytes = 0;
        for partition in 0..JOURNAL_PARTITIONS {
            reader.read(&self.settings.topics.journal, partition, From::Earliest, Until::StableEnd, |record| {
                bytes += record.payload.map_or(0, |payload| payload.len() as u64);
                ControlFlow::Continue(())
            })?;
        }
        Ok(bytes)
    }

    fn remove(&mut self) -> Outcome {
        self.stop_service();
        let needs = needs(&self.settings, EVENT_PARTITIONS);
        let names: Vec<&str> = needs.iter().map(|need| need.name.as_str()).collect();
        self.admin.delete(&names)?;
        let _ = std::fs::remove_dir_all(&self.settings.state_dir);
        Ok(())
    }
}

fn send(
    codec: &Codec,
    settings: &Settings,
    sender: &mut Sender,
    payload: &mut Vec<u8>,
    record: &Record<'_>,
) -> Outcome {
    super::wire::encode_event(codec, record, payload)?;
    Ok(sender.send(settings.topics.event(record.kind()), None, Some(record.key().as_bytes()), Some(payload), None)?)
}

fn encoding(error: avro_codec::EncodeError) -> Failure {
    Failure::failed(format!("encoding: {error}"), "this is a defect; please report it")
}

/// What the service is started with: what the bench was, else as `deploy/` starts it.
fn tunables() -> String {
    std::env::var(TUNABLES).unwrap_or_else(|_| HUGE_PAGES.to_owned())
}

fn free_port() -> Outcome<u16> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| Failure::failed(format!("no free port: {error}"), ""))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
