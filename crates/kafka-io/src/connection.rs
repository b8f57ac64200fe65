//! How to reach the cluster: the user's properties over our baselines, and what a user may not set.
//!
//! What always holds: nothing is committed or created behind our back, aborted records are never read, a position that
//! is gone is an error and never a silent reset, and the timeouts are ordered so that a member that was thrown out of
//! its group cannot commit any more.

use crate::fault::{Error, Fault};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;

/// Where the cluster is and how to talk to it. `Debug` shows no secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// librdkafka's own names (TLS, SASL, sizes), passed through unless they would break a promise.
    pub properties: BTreeMap<String, String>,
    /// Shown in the brokers' logs and quotas.
    pub client_id: String,
}

impl Connection {
    /// A connection without further properties.
    pub fn new(brokers: impl Into<String>, client_id: impl Into<String>) -> Connection {
        Connection { brokers: brokers.into(), properties: BTreeMap::new(), client_id: client_id.into() }
    }

    /// Whether every property is known, allowed and in order; all that is wrong, each as one sentence.
    pub fn check(&self) -> Result<(), Vec<Error>> {
        let doing = "checking the connection's properties";
        let mut wrong = Vec::new();
        if self.brokers.trim().is_empty() {
            wrong.push(Error::new(Fault::Settings, doing, "no broker is named"));
        }
        for (name, value) in &self.properties {
            if let Some(reason) = refusal(name) {
                wrong.push(Error::new(Fault::Settings, doing, format!("property {name} may not be set: {reason}")));
            } else if let Err(error) = ClientConfig::new().set(name, value).create_native_config() {
                wrong.push(Error::kafka(doing, &error));
            }
            let first = first_name(name);
            if first != name && self.properties.contains_key(first) {
                wrong.push(Error::new(Fault::Settings, doing, format!("{name} and {first} are one property: set one")));
            }
        }
        let largest = self.properties.get("message.max.bytes").and_then(|text| text.trim().parse::<u64>().ok());
        if largest.is_some_and(|bytes| bytes < BATCH_BYTES) {
            let detail =
                format!("message.max.bytes must be at least {BATCH_BYTES}: what a cut writes may be that large");
            wrong.push(Error::new(Fault::Settings, doing, detail));
        }
        wrong.extend(self.timeouts().and_then(|timeouts| timeouts.check()).err());
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// Whether the user's properties ask for encryption or authentication.
    pub fn is_secured(&self) -> bool {
        self.properties.get("security.protocol").is_some_and(|protocol| !protocol.eq_ignore_ascii_case("plaintext"))
    }

    /// The first thing that [`Connection::check`] finds wrong.
    pub(crate) fn checked(&self) -> Result<&Connection, Error> {
        self.check().map(|()| self).map_err(|mut wrong| wrong.swap_remove(0))
    }

    /// The timeouts in force.
    pub(crate) fn timeouts(&self) -> Result<Timeouts, Error> {
        let read = |name: &str, default: u64| match self.properties.get(name) {
            None => Ok(default),
            Some(text) => text.trim().parse::<u64>().map_err(|_| {
                Error::new(Fault::Settings, "checking the timeouts", format!("{name} is not a number of milliseconds"))
            }),
        };
        Ok(Timeouts {
            socket_ms: read("socket.timeout.ms", SOCKET_TIMEOUT_MS)?,
            transaction_ms: read("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)?,
            heartbeat_ms: read("heartbeat.interval.ms", HEARTBEAT_INTERVAL_MS)?,
            session_ms: read("session.timeout.ms", SESSION_TIMEOUT_MS)?,
            poll_ms: read("max.poll.interval.ms", POLL_INTERVAL_MS)?,
        })
    }

    /// A reader without a group.
    pub(crate) fn reader(&self, isolation: Isolation) -> ClientConfig {
        let mut config = self.base(&[CONSUMER]);
        config.set("isolation.level", isolation.word());
        config
    }

    /// A member of a group, or with no instance name just one that asks for a group's positions.
    pub(crate) fn member(&self, group: &str, instance: Option<&str>) -> ClientConfig {
        let mut config = self.base(&[CONSUMER, MEMBER]);
        config.set("isolation.level", Isolation::Committed.word()).set("group.id", group);
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// A plain idempotent producer.
    pub(crate) fn producer(&self) -> ClientConfig {
        self.base(&[PRODUCER, SENDER])
    }

    /// A transactional producer.
    pub(crate) fn transactional(&self, id: &str) -> ClientConfig {
        let mut config = self.base(&[PRODUCER, TRANSACTIONAL]);
        config.set("transactional.id", id);
        config
    }

    /// A client that only asks.
    pub(crate) fn administrator(&self) -> ClientConfig {
        self.base(&[])
    }

    fn base(&self, roles: &[&[(&str, &str)]]) -> ClientConfig {
        let mut config = ClientConfig::new();
        let baselines = COMMON.iter().chain(roles.iter().copied().flatten());
        for (name, value) in baselines {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(first_name(name), value);
        }
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        config
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), if is_secret(name) { "***" } else { value.as_str() }))
            .collect();
        f.debug_struct("Connection")
            .field("brokers", &self.brokers)
            .field("client_id", &self.client_id)
            .field("properties", &shown)
            .finish()
    }
}

/// What a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    Committed,
    Uncommitted,
}

impl Isolation {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        }
    }
}

/// The timeouts whose order is a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub socket_ms: u64,
    pub transaction_ms: u64,
    pub heartbeat_ms: u64,
    pub session_ms: u64,
    pub poll_ms: u64,
}

impl Timeouts {
    fn check(self) -> Result<(), Error> {
        let complaint = if self.socket_ms.saturating_mul(2) >= self.transaction_ms {
            "socket.timeout.ms must be less than half of transaction.timeout.ms, or the coordinator aborts live work"
        } else if self.transaction_ms >= self.session_ms {
            "transaction.timeout.ms must be less than session.timeout.ms, or a member that was thrown out could commit"
        } else if self.heartbeat_ms.saturating_mul(3) > self.session_ms {
            "heartbeat.interval.ms must be at most a third of session.timeout.ms"
        } else if self.session_ms >= self.poll_ms {
            "session.timeout.ms must be less than max.poll.interval.ms"
        } else {
            return Ok(());
        };
        Err(Error::new(Fault::Settings, "checking the timeouts", complaint))
    }
}

/// Whether a property's value must never be shown.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "pem", "token", "oauthbearer.config", "credential", "assertion"]
        .iter()
        .any(|part| name.contains(part))
}

/// Why a property may not be set by a user.
fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason)
}

/// The client takes a property of two names in whatever order its map has: one name each decides who wins.
fn first_name(name: &str) -> &str {
    ALIASES.iter().find(|(other, _)| *other == name).map_or(name, |(_, first)| first)
}

/// The client's largest batch as it comes, of one record or of many: a topic or a client that takes less refuses what we
/// write again and again.
pub const BATCH_BYTES: u64 = 1_000_000;

/// The client's second names, and the first ones.
const ALIASES: &[(&str, &str)] = &[
    ("compression.type", "compression.codec"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("retries", "message.send.max.retries"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
];

/// Restart of one process plus margin: a static member that is back within it keeps its partitions.
const SESSION_TIMEOUT_MS: u64 = 10_000;
/// Below the session, so that the transactions of a member that was thrown out are aborted before others go on.
const TRANSACTION_TIMEOUT_MS: u64 = 8_000;
/// Below half of the transaction's, so that one lost request leaves time for a second.
const SOCKET_TIMEOUT_MS: u64 = 3_000;
/// Four heartbeats fit into a session.
const HEARTBEAT_INTERVAL_MS: u64 = 2_000;
/// A take-over without snapshots replays for as long as the logs are; heartbeats go on meanwhile, and a worker that hangs
/// shows in its health instead.
const POLL_INTERVAL_MS: u64 = 6 * 3_600_000;

const COMMON: &[(&str, &str)] = &[
    ("socket.timeout.ms", "3000"),
    ("socket.keepalive.enable", "true"),
    // Small requests that wait for each other's acknowledgement cost a commit 40 ms.
    ("socket.nagle.disable", "true"),
    ("socket.connection.setup.timeout.ms", "5000"),
    ("allow.auto.create.topics", "false"),
    // A broker that restarts is back within seconds; the default waits up to 10 s between attempts.
    ("reconnect.backoff.max.ms", "2000"),
    ("topic.metadata.propagation.max.ms", "5000"),
];

const CONSUMER: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    // After an end-of-partition event the batch calls move the position one too far (librdkafka before 2.13.2), and a
    // pause would then skip a record: the ends come from watermarks instead.
    ("enable.partition.eof", "false"),
    // Counts once for all that is read and once for each partition that is held back. The client's own bookkeeping makes
    // three of each byte of short records; this much is 50 ms of folding at full speed.
    ("queued.max.messages.kbytes", "16384"),
    // The default of 1 s stalls the fetcher whenever the queue was full for a moment.
    ("fetch.queue.backoff.ms", "10"),
    // Idle partitions report their watermark this often.
    ("fetch.wait.max.ms", "200"),
];

const MEMBER: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "range"),
    ("session.timeout.ms", "10000"),
    ("heartbeat.interval.ms", "2000"),
    ("max.poll.interval.ms", "21600000"),
];

const PRODUCER: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("partitioner", "murmur2_random"),
    ("compression.codec", "lz4"),
    ("linger.ms", "5"),
    ("queue.buffering.max.messages", "500000"),
    ("queue.buffering.max.kbytes", "262144"),
];

/// Message timeouts only where there is no transaction: there the client fits them to the transaction's.
const SENDER: &[(&str, &str)] = &[("message.timeout.ms", "30000")];

const TRANSACTIONAL: &[(&str, &str)] = &[("transaction.timeout.ms", "8000")];

const REFUSED: &[(&str, &str)] = &[
    ("acks", "every record is acknowledged by all replicas in sync"),
    ("allow.auto.create.topics", "topics are created on purpose only"),
    ("auto.commit.enable", "positions are committed inside transactions only"),
    ("auto.offset.reset", "a position that is gone is an error, never a silent jump; see start_from"),
    ("bootstrap.servers", "it is the setting kafka.brokers"),
    ("builtin.features", "it is read-only"),
    ("check.crcs", "checksums are always checked"),
    ("client.id", "it is made from the slot"),
    ("debug", "the client's debug output can show secrets"),
    ("delivery.report.only.error", "every delivery is counted before a commit"),
    ("delivery.timeout.ms", "it follows the transaction's timeout"),
    ("enable.auto.commit", "positions are committed inside transactions only"),
    ("enable.auto.offset.store", "positions are committed inside transactions only"),
    ("enable.gapless.guarantee", "it changes what a failed delivery means"),
    ("enable.idempotence", "producers are always idempotent"),
    ("enable.partition.eof", "ends are read from watermarks"),
    ("group.id", "it is made from the settings' names"),
    ("group.instance.id", "it is made from the slot"),
    ("group.protocol", "siblings stay together under the classic protocol only"),
    ("isolation.level", "aborted records are never read"),
    ("log.queue", "it belongs to the client's wiring"),
    ("max.in.flight", "order depends on it"),
    ("max.in.flight.requests.per.connection", "order depends on it"),
    ("message.timeout.ms", "it follows the transaction's timeout"),
    ("metadata.broker.list", "it is the setting kafka.brokers"),
    ("partition.assignment.strategy", "siblings stay together under `range` only"),
    ("partitioner", "writers agree on murmur2"),
    ("plugin.library.paths", "no foreign code is loaded"),
    ("request.required.acks", "every record is acknowledged by all replicas in sync"),
    ("test.mock.num.brokers", "it is for tests"),
    ("transactional.id", "it is made from the slot"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Connection {
        let mut connection = Connection::new("localhost:9092", "test");
        connection.properties.insert(name.into(), value.into());
        connection
    }

    #[test]
    fn baselines_are_accepted_by_the_client_and_in_order() {
        let connection = Connection::new("localhost:9092", "test");
        connection.check().unwrap();
        for config in [
            connection.reader(Isolation::Uncommitted),
            connection.member("group", Some("slot")),
            connection.producer(),
            connection.transactional("id"),
            connection.administrator(),
        ] {
            config.create_native_config().unwrap();
        }
        let timeouts = connection.timeouts().unwrap();
        let member = connection.member("group", None);
        for (name, expected) in [
            ("socket.timeout.ms", timeouts.socket_ms),
            ("session.timeout.ms", timeouts.session_ms),
            ("heartbeat.interval.ms", timeouts.heartbeat_ms),
            ("max.poll.interval.ms", timeouts.poll_ms),
        ] {
            assert_eq!(member.get(name), Some(expected.to_string().as_str()), "{name}");
        }
    }

    #[test]
    fn a_second_name_wins_over_our_own_value_like_the_first_and_both_are_refused() {
        for (other, first) in ALIASES {
            let connection = with(other, "7");
            let config = connection.producer();
            assert_eq!((config.get(first), config.get(other)), (Some("7"), None), "{other}");
        }
        with("compression.type", "zstd").check().unwrap();
        let mut both = with("compression.type", "zstd");
        both.properties.insert("compression.codec".into(), "gzip".into());
        assert!(both.check().unwrap_err()[0].detail.contains("one property"));
    }

    #[test]
    fn a_batch_of_ours_must_fit() {
        with("message.max.bytes", "1000000").check().unwrap();
        let wrong = with("message.max.bytes", "999999").check().unwrap_err();
        assert!(wrong[0].detail.contains("at least 1000000"), "{}", wrong[0]);
    }

    #[test]
    fn properties_that_would_break_a_promise_are_refused_by_name() {
        for (name, _) in REFUSED {
            let wrong = with(name, "x").check().unwrap_err();
            assert!(wrong[0].detail.contains(name), "{name}: {}", wrong[0]);
            assert_eq!(wrong[0].fault, Fault::Settings);
        }
    }

    #[test]
    fn tls_and_sasl_pass_through_and_unknown_names_do_not() {
        let secured = with("security.protocol", "sasl_ssl");
        secured.check().unwrap();
        assert!(secured.is_secured());
        assert_eq!(secured.transactional("id").get("security.protocol"), Some("sasl_ssl"));
        let wrong = with("security.protokol", "ssl").check().unwrap_err();
        assert!(wrong[0].to_string().contains("security.protokol"), "{}", wrong[0]);
    }

    #[test]
    fn timeouts_out_of_order_are_refused() {
        for (name, value) in [
            ("socket.timeout.ms", "5000"),
            ("transaction.timeout.ms", "20000"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "9000"),
            ("max.poll.interval.ms", "9000"),
        ] {
            let wrong = with(name, value).check().unwrap_err();
            assert!(wrong.iter().any(|error| error.detail.contains(name)), "{name}: {wrong:?}");
        }
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let mut connection = with("sasl.password", "hunter2");
        connection.properties.insert("ssl.key.pem".into(), "hunter2".into());
        connection.properties.insert("sasl.username".into(), "worker".into());
        let shown = format!("{connection:?}");
        assert!(!shown.contains("hunter2") && shown.contains("worker"), "{shown}");
    }
}
