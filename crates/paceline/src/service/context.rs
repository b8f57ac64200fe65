//! What every worker of a process shares.

use super::progress::Progress;
use super::topology::Topology;
use crate::clock::Clock;
use crate::failure::{Failure, Kind, Outcome};
use crate::notify::Notifier;
use crate::published::Published;
use crate::settings::Settings;
use crate::telemetry::Metrics;
use avro_codec::Codec;
use kafka_io::{Connection, Fault, LogReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Shared by all workers; cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Parsed once.
    pub settings: Arc<Settings>,
    /// The only clock.
    pub clock: Clock,
    /// Bytes to model and back.
    pub codec: Codec,
    /// Handles of all metrics.
    pub metrics: Arc<Metrics>,
    /// How far a take-over of this worker is.
    pub progress: Progress,
    /// Tells people of alerts.
    pub notifier: Notifier,
    /// Read views.
    pub published: Arc<Published>,
    /// Partition counts, as of the start.
    pub topology: Topology,
    /// Set once: drain, commit, snapshot, leave.
    pub stop: Arc<Stop>,
    /// `version+revision` of this build; outputs name it.
    pub build: Arc<str>,
    /// Go on although retention has taken records that a rebuild needs.
    pub accept_loss: bool,
}

impl Context {
    /// A connection under a client id that names the part of the process.
    pub fn connection(&self, part: &str) -> Connection {
        crate::commands::connect(&self.settings, part)
    }

    /// The same for a worker of this name.
    pub fn of_worker(&self, name: &'static str) -> Self {
        let progress = Progress::of(name, self.metrics.clone(), self.published.clone());
        Self { progress, ..self.clone() }
    }

    /// The worker enters a state of its life.
    pub fn enter(&self, state: &'static str) {
        self.metrics.enter(self.progress.worker(), state);
    }

    /// A reader of logs for the time before a worker runs; it gives up when the process is asked to stop, and a
    /// take-over says how far it is.
    pub fn reader(&self, part: &str, patience: Duration) -> Outcome<LogReader> {
        let (stop, progress) = (self.stop.clone(), self.progress.clone());
        let reader = LogReader::open(&self.connection(part), patience)?;
        Ok(reader.stop_when(move || stop.is_asked()).watched_by(move |sign| progress.see(sign)))
    }

    /// The timestamp that a produced record must carry, where the broker cannot stamp it.
    pub fn record_timestamp(&self) -> Option<i64> {
        self.clock.stamps_records().then(|| self.clock.now_ms())
    }
}

/// A request to end, seen by every loop.
#[derive(Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Asks all loops to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl From<kafka_io::Error> for Failure {
    fn from(error: kafka_io::Error) -> Self {
        let (kind, advice) = match error.fault {
            Fault::Unreachable => (Kind::TryLater, "check kafka.brokers and that the cluster is up"),
            Fault::Unsettled => (Kind::TryLater, "try again"),
            Fault::Credentials => (Kind::Setup, "check kafka.properties: security.protocol, sasl.* and ssl.*"),
            Fault::TopicMissing => (Kind::Setup, "create the topics with `paceline topics apply`"),
            Fault::NotAuthorised => (Kind::Setup, "grant the permissions that `paceline topics plan` lists"),
            Fault::TooLarge => (
                Kind::Setup,
                "raise max.message.bytes of that topic, to 1000000 at least where Paceline writes, and message.max.bytes in \
                 kafka.properties where it is set",
            ),
            Fault::Settings => (Kind::Setup, "correct the configuration"),
            Fault::OffsetGone => (Kind::Setup, "retention has passed the position; see `paceline run --accept-loss`"),
            Fault::Stopped => (Kind::Stopped, "start it again; it takes up from the journal"),
            Fault::Fenced => (
                Kind::TryLater,
                "either a second process runs under this slot: give each its own; or the cluster gave this one up while it or a \
                 broker stood still: start it again, it takes up from the journal",
            ),
            Fault::Replaced => (Kind::TryLater, "stop one of the two, or give each its own slot"),
            Fault::Other => (Kind::Failed, ""),
        };
        Failure::new(kind, error, advice)
    }
}
