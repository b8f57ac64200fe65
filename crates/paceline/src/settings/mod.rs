//! Plumbing only: where things are and how the process behaves. What can change a decision is a policy record.
//!
//! Parsed once into plain types; unknown keys are refused, relations between settings are checked, and all mistakes are
//! told at once. Order: built-in defaults, files in the order given, environment.

mod http;
mod notifications;
mod reader;
mod registry;

pub use http::{HttpSettings, TlsFiles, TokenRole, TokenSetting};
pub use notifications::{NotificationSettings, Snooze};
pub use reader::{Effective, parse_duration_ms};
pub use registry::RegistrySettings;

use crate::failure::{Failure, Outcome};
use kafka_io::Connection;
use model::event::EventKind;
use model::fact::ControlTopic;
use reader::Reader;
use replay::OutputTopic;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a source begins that has no position at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFrom {
    /// At the oldest record kept.
    Earliest,
    /// After the newest.
    Latest,
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Addresses of the cluster, `host:port` separated by commas.
    pub brokers: String,
    /// The client library's own settings, passed through.
    pub kafka_properties: BTreeMap<String, String>,
    /// The schema registry; where absent, the ids of `schemas/index.toml` hold.
    pub registry: Option<RegistrySettings>,
    /// Stable name of this process.
    pub slot: String,
    /// Consumer groups and transactional ids begin with it.
    pub group: String,
    /// Snapshots and the local halt file.
    pub state_dir: PathBuf,
    /// Only where a source has no position at all.
    pub start_from: StartFrom,
    /// Topic names.
    pub topics: Topics,
    /// Publish a KPI row for each closed minute too.
    pub minute_rows: bool,
    /// Dashboard and API.
    pub http_listen: SocketAddr,
    /// Who may use the API, and over what.
    pub http: HttpSettings,
    /// Prometheus.
    pub metrics_listen: SocketAddr,
    /// Where alerts are told.
    pub notifications: NotificationSettings,
    /// Secret of the keyed hashes; a built-in one where absent.
    pub user_key_secret: Option<String>,
    /// Stage 1.
    pub epoch: EpochSettings,
    /// Partitions of the journal and of every output topic, fixed for a journal's life.
    pub journal_partitions: i32,
    /// Time between two snapshots.
    pub snapshot_interval_ms: i64,
    /// Bytes of log after which a snapshot is due earlier.
    pub snapshot_log_bytes: i64,
    /// The controller's decisions are decided a second time and compared with what was committed.
    pub verify_shadow: bool,
    /// `text` or `json`.
    pub log_format: String,
    /// A filter as `tracing` reads it.
    pub log_level: String,
}

/// How stage 1 cuts.
#[derive(Clone, Copy, Debug)]
pub struct EpochSettings {
    /// A cut is due after this long.
    pub interval_ms: i64,
    /// And at the latest after this long, where the one before is still being committed.
    pub interval_max_ms: i64,
    /// A cut is due after this many records.
    pub records_max: usize,
    /// How far siblings may run apart in record time.
    pub sibling_skew_ms: i64,
    /// A source read to its end with nothing for this long is idle.
    pub idle_after_ms: i64,
}

/// Names of all topics.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // Named as in the contract.
pub struct Topics {
    pub impressions: String,
    pub clicks: String,
    pub conversions: String,
    pub stats: String,
    pub corrections: String,
    pub campaigns: String,
    pub entities: String,
    pub context: String,
    pub feedback: String,
    pub policy: String,
    pub journal: String,
    pub epochs: String,
    pub adjustments: String,
    pub proposals: String,
    pub desired_state: String,
    pub alerts: String,
    pub kpis: String,
    pub dead_letters: String,
}

impl Topics {
    /// The topic of an event kind.
    pub fn event(&self, kind: EventKind) -> &str {
        match kind {
            EventKind::Impression => &self.impressions,
            EventKind::Click => &self.clicks,
            EventKind::Conversion => &self.conversions,
        }
    }

    /// The topic of a kind of output.
    pub fn output(&self, topic: OutputTopic) -> &str {
        match topic {
            OutputTopic::Adjustments => &self.adjustments,
            OutputTopic::Proposals => &self.proposals,
            OutputTopic::DesiredState => &self.desired_state,
            OutputTopic::Alerts => &self.alerts,
            OutputTopic::Kpis => &self.kpis,
        }
    }

    /// The topic of a control kind.
    pub fn control(&self, topic: ControlTopic) -> &str {
        match topic {
            ControlTopic::Stats => &self.stats,
            ControlTopic::Corrections => &self.corrections,
            ControlTopic::Campaigns => &self.campaigns,
            ControlTopic::Entities => &self.entities,
            ControlTopic::Context => &self.context,
            ControlTopic::Feedback => &self.feedback,
            ControlTopic::Policy => &self.policy,
        }
    }

    /// The five topics that the controller writes: adjustments, proposals, desired state, alerts, KPIs.
    pub fn decision_log(&self) -> [&str; 5] {
        [&self.adjustments, &self.proposals, &self.desired_state, &self.alerts, &self.kpis]
    }

    fn read(reader: &mut Reader) -> Self {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        // Two roles in one topic would count each record twice.
        let mut name = |key: &str, default: &str| {
            let path = format!("topics.{key}");
            let name = reader.text(&path, default, "name of the topic");
            match names.get(&name) {
                Some(other) => {
                    let words = format!("{name:?} is {other} already; each role needs a topic of its own");
                    reader.mistake_of(&path, &words);
                }
                None => _ = names.insert(name.clone(), path),
            }
            name
        };
        Self {
            impressions: name("impressions", "ads.impressions"),
            clicks: name("clicks", "ads.clicks"),
            conversions: name("conversions", "ads.conversions"),
            stats: name("stats", "ads.stats"),
            corrections: name("corrections", "ads.corrections"),
            campaigns: name("campaigns", "ads.campaigns"),
            entities: name("entities", "ads.entities"),
            context: name("context", "ads.context"),
            feedback: name("feedback", "ads.feedback"),
            policy: name("policy", "paceline.policy"),
            journal: name("journal", "paceline.journal"),
            epochs: name("epochs", "paceline.epochs"),
            adjustments: name("adjustments", "ads.adjustments"),
            proposals: name("proposals", "ads.proposals"),
            desired_state: name("desired_state", "ads.desired-state"),
            alerts: name("alerts", "ads.alerts"),
            kpis: name("kpis", "ads.kpis"),
            dead_letters: name("dead_letters", "ads.dead-letters"),
        }
    }
}

impl Settings {
    /// Reads files and the environment of this process.
    pub fn load(files: &[PathBuf]) -> Outcome<(Self, Vec<Effective>)> {
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("PACELINE__")).collect();
        Self::load_with(files, &environment)
    }

    /// The same with what the Kafka client finds wrong with its own properties, so that all is told at once.
    pub fn load_checked(files: &[PathBuf]) -> Outcome<(Self, Vec<Effective>)> {
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("PACELINE__")).collect();
        Self::load_checked_with(files, &environment)
    }

    fn load_checked_with(files: &[PathBuf], environment: &BTreeMap<String, String>) -> Outcome<(Self, Vec<Effective>)> {
        let mut reader = Reader::load(files, environment);
        let settings = Self::read(&mut reader);
        let properties = settings.kafka_properties.clone();
        // Of the addresses all is said already.
        let connection = Connection { properties, ..Connection::new("127.0.0.1:9092", "check") };
        for mistake in connection.check().err().into_iter().flatten() {
            reader.mistake(format!("kafka.properties: {}", mistake.detail));
        }
        Self::finished(settings, reader)
    }

    /// Reads files and the given environment.
    pub fn load_with(files: &[PathBuf], environment: &BTreeMap<String, String>) -> Outcome<(Self, Vec<Effective>)> {
        let mut reader = Reader::load(files, environment);
        let settings = Self::read(&mut reader);
        Self::finished(settings, reader)
    }

    fn finished(settings: Self, reader: Reader) -> Outcome<(Self, Vec<Effective>)> {
        match reader.finish() {
            Ok(effective) => Ok((settings, effective)),
            Err(mistakes) => Err(Failure::setup(
                format!("the configuration has {} mistake(s)", mistakes.len()),
                "correct each line above, then run `paceline check`; `paceline config show --origin` says where values come from",
            )
            .listing(mistakes)),
        }
    }

    fn read(reader: &mut Reader) -> Self {
        let brokers =
            reader.text("kafka.brokers", "127.0.0.1:9092", "cluster addresses, host:port separated by commas");
        if !brokers.split(',').all(is_host_port) {
            reader.mistake(format!("kafka.brokers: {brokers:?} is not a list of host:port"));
        }
        let kafka_properties = reader.open_table("kafka.properties", "setting of the Kafka client, passed through");
        let registry = registry::read(reader);
        let slot =
            reader.text("slot", "0", "stable name of this process; two processes with one slot fence each other");
        let group = reader.text("group", "paceline", "consumer groups and transactional ids begin with it");
        for (path, value) in [("slot", &slot), ("group", &group)] {
            if value.is_empty() || !value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
                reader.mistake(format!(
                    "{path}: {value:?} may hold letters, digits, '.', '_' and '-' only, and at least one"
                ));
            }
        }
        let epoch = EpochSettings {
            interval_ms: reader.duration_ms("epoch.interval", "500ms", "time between two cuts of stage 1"),
            interval_max_ms: reader.duration_ms(
                "epoch.interval_max",
                "2s",
                "longest cut, while the one before is being committed",
            ),
            records_max: reader.number(
                "epoch.records_max",
                2_000_000,
                1..=100_000_000,
                "records after which a cut is due earlier",
            ) as usize,
            sibling_skew_ms: reader.duration_ms(
                "epoch.sibling_skew",
                "5s",
                "how far impressions, clicks and conversions may run apart in record time",
            ),
            idle_after_ms: reader.duration_ms(
                "epoch.idle_after",
                "5s",
                "a source read to its end with nothing for this long is idle",
            ),
        };
        if epoch.interval_ms < 50 || epoch.interval_max_ms < epoch.interval_ms {
            reader.mistake("epoch.interval: must be at least 50ms and not above epoch.interval_max".into());
        }
        let http_listen = address(reader, "http.listen", "127.0.0.1:8080", "dashboard and API");
        let http = HttpSettings::read(reader, http_listen);
        let metrics_listen = address(reader, "metrics.listen", "127.0.0.1:9464", "Prometheus metrics");
        if metrics_listen == http_listen && metrics_listen.port() != 0 {
            reader.mistake_of(
                "metrics.listen",
                &format!("{metrics_listen} is http.listen already; each needs its own port"),
            );
        }
        Self {
            brokers,
            kafka_properties,
            registry,
            slot,
            group,
            state_dir: PathBuf::from(reader.text(
                "state.dir",
                "paceline-state",
                "folder of snapshots and of the local halt file",
            )),
            start_from: match reader
                .word("start_from", &["earliest", "latest"], "where a source begins that has no position at all")
                .as_str()
            {
                "latest" => StartFrom::Latest,
                _ => StartFrom::Earliest,
            },
            topics: Topics::read(reader),
            minute_rows: reader.flag("kpis.minute_rows", false, "publish a KPI row for each closed minute too"),
            http_listen,
            http,
            metrics_listen,
            notifications: NotificationSettings::read(reader),
            user_key_secret: reader.secret(
                "user_key.secret",
                "secret of the keyed hashes of user keys, shared by all workers; @file:PATH reads a file",
            ),
            epoch,
            journal_partitions: reader.number(
                "journal.partitions",
                16,
                1..=1024,
                "partitions of the journal and of each output topic; fixed for a journal's life",
            ) as i32,
            snapshot_interval_ms: reader.duration_ms("snapshots.interval", "10m", "time between two snapshots"),
            snapshot_log_bytes: reader.number(
                "snapshots.log_bytes",
                120_000_000,
                1_000_000..=1_000_000_000_000,
                "bytes of log after which a snapshot is due earlier: a restart reads at most about that again, a second or two",
            ),
            verify_shadow: reader.flag(
                "verify.shadow",
                false,
                "decide everything a second time in the background and compare with what was committed, byte for byte",
            ),
            log_format: reader.word("log.format", &["text", "json"], "form of the log on stderr"),
            log_level: reader.text("log.level", "info", "log filter, for example info or paceline=debug,warn"),
        }
    }

    /// Whether the cluster asks for credentials or encryption: then the built-in hash secret is refused.
    pub fn is_secured(&self) -> bool {
        self.kafka_properties
            .get("security.protocol")
            .is_some_and(|protocol| !protocol.eq_ignore_ascii_case("plaintext"))
    }
}

fn address(reader: &mut Reader, path: &str, default: &str, about: &'static str) -> SocketAddr {
    let text = reader.text(path, default, about);
    text.parse().unwrap_or_else(|_| {
        reader.mistake_of(path, &format!("{text:?} is not an address such as {default}"));
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

fn is_host_port(text: &str) -> bool {
    text.trim().rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_defaults_are_enough() {
        let (settings, effective) = Settings::load_with(&[], &BTreeMap::new()).unwrap();
        assert_eq!(settings.brokers, "127.0.0.1:9092");
        assert_eq!(settings.journal_partitions, 16);
        assert!(effective.iter().all(|setting| setting.origin == "default"));
    }

    #[test]
    fn one_topic_for_two_roles_is_refused_by_name() {
        let environment = BTreeMap::from([("PACELINE__TOPICS__IMPRESSIONS".to_owned(), "ads.clicks".to_owned())]);
        let refused = Settings::load_with(&[], &environment).unwrap_err();
        assert_eq!(refused.kind.exit_code(), 78);
        let words = refused.to_string();
        assert!(words.contains("topics.clicks (default): \"ads.clicks\" is topics.impressions already"), "{words}");
    }

    #[test]
    fn one_port_for_both_faces_is_a_mistake_and_not_a_port_that_somebody_holds() {
        let pairs = ["HTTP__LISTEN", "METRICS__LISTEN"];
        let of = |port: u16| {
            let pairs = pairs.map(|name| (format!("PACELINE__{name}"), format!("127.0.0.1:{port}")));
            Settings::load_with(&[], &BTreeMap::from(pairs))
        };
        let refused = of(9_000).unwrap_err();
        assert_eq!(refused.kind.exit_code(), 78);
        assert!(refused.to_string().contains("127.0.0.1:9000 is http.listen already"), "{refused}");
        assert!(of(0).is_ok(), "any free port is another one");
    }

    #[test]
    fn mistakes_of_the_client_s_properties_come_with_all_others_and_each_names_its_place() {
        let pairs = [("KAFKA__PROPERTIES__SESSION_TIMOUT_MS", "9"), ("HTTP__LISTEN", "here")];
        let pairs = pairs.map(|(name, value)| (format!("PACELINE__{name}"), value.to_owned()));
        let refused = Settings::load_checked_with(&[], &BTreeMap::from(pairs)).unwrap_err();
        assert_eq!(refused.mistakes.len(), 2, "{refused}");
        let words = refused.to_string();
        assert!(
            words.contains("session.timout.ms") && words.contains("http.listen (PACELINE__HTTP__LISTEN)"),
            "{words}"
        );
    }

    #[test]
    fn the_environment_wins_and_says_so() {
        let environment = BTreeMap::from([("PACELINE__KPIS__MINUTE_ROWS".to_owned(), "true".to_owned())]);
        let (settings, effective) = Settings::load_with(&[], &environment).unwrap();
        assert!(settings.minute_rows);
        let row = effective.iter().find(|setting| setting.path == "kpis.minute_rows").unwrap();
        assert_eq!(row.origin, "PACELINE__KPIS__MINUTE_ROWS");
    }
}
