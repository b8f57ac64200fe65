//! What is counted of the registry's client, for the metrics of the process.
//!
//! One for the process: a codec is made before its metrics are, and there is one registry. Tests count for themselves.

use avro_codec::SchemaLookup;
use avro_codec::registry::IdAnswer;
use prometheus::{Gauge, IntCounterVec, Opts};
use std::sync::LazyLock;

/// Results of requests.
const RESULTS: [&str; 4] = ["answered", "not_there", "refused", "away"];
/// Where schemas come from. `memory` counts first uses by another reader of the process, not records.
const SOURCES: [&str; 4] = ["registry", "memory", "disk", "none"];

/// The counts of one client.
#[derive(Clone)]
pub struct Counts {
    /// Requests by result.
    pub requests: IntCounterVec,
    /// Schemas looked up by where they were found.
    pub lookups: IntCounterVec,
    /// Seconds between the registry's word and its use, of the oldest that is in use from disk.
    pub disk_age_seconds: Gauge,
}

impl Counts {
    /// At zero, every series there.
    pub fn new() -> Self {
        let counters = |name: &str, help: &str, labels: &[&str], words: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, help), labels).expect("constants follow the naming rules");
            words.iter().for_each(|word| drop(vec.with_label_values(&[word])));
            vec
        };
        Self {
            requests: counters(
                "paceline_registry_requests_total",
                "Requests to the schema registry; away: not answered, or by a server in trouble.",
                &["result"],
                &RESULTS,
            ),
            lookups: counters(
                "paceline_registry_lookups_total",
                "Schemas looked up by id, by where they were found; disk: the registry could not be asked; none: unknown, or not to be had.",
                &["source"],
                &SOURCES,
            ),
            disk_age_seconds: Gauge::new(
                "paceline_registry_disk_age_seconds",
                "Age of the registry's word when it was taken from disk, of the oldest in use; 0 where none is.",
            )
            .expect("constants follow the naming rules"),
        }
    }

    /// Those of this process.
    pub fn of_the_process() -> Self {
        static COUNTS: LazyLock<Counts> = LazyLock::new(Counts::new);
        COUNTS.clone()
    }

    /// A request had this result.
    pub fn requested(&self, result: &str) {
        self.requests.with_label_values(&[result]).inc();
    }

    /// A schema was looked up and found there.
    pub fn looked_up(&self, source: &str) {
        self.lookups.with_label_values(&[source]).inc();
    }

    /// Something was taken from disk that the registry had said so long before.
    pub fn taken_from_disk(&self, age_ms: i64) {
        let age = age_ms.max(0) as f64 / 1e3;
        if age > self.disk_age_seconds.get() {
            self.disk_age_seconds.set(age);
        }
    }
}

/// The result of a question for an id.
pub fn of_id(answer: &IdAnswer) -> &'static str {
    match answer {
        IdAnswer::Id(_) => "answered",
        IdAnswer::NotThere => "not_there",
        IdAnswer::Refused(_) | IdAnswer::Credentials(_) | IdAnswer::NoRegistry(_) => "refused",
        IdAnswer::Away(_) => "away",
    }
}

/// The result of a question for a schema.
pub fn of_schema(lookup: &SchemaLookup) -> &'static str {
    match lookup {
        SchemaLookup::Found(_) => "answered",
        SchemaLookup::Unknown => "not_there",
        SchemaLookup::Unavailable(_) => "away",
    }
}
