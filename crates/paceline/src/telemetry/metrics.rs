//! All metrics, their names, units and labels.
//!
//! What always holds: a series whose labels are known beforehand exists from the start with 0, because an increase from
//! nothing to one cannot be seen; a word that is not known becomes `other`, so the number of series is bounded.

use super::words::{ACK_RESULTS, ALERT_KINDS, COMMAND_KINDS, COMMAND_MODES, OTHER, REJECT_REASONS, STAGE1_EVENTS};
use crate::registry::Counts;
use crate::settings::Topics;
use model::event::EventKind;
use model::fact::ControlTopic;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Latency buckets in seconds: 1 ms to a minute, doubling.
const LATENCY_BUCKETS: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0];

/// States of the service's life, a one-hot gauge. Of the workers of a process the one whose state stands last counts.
pub const LIFECYCLE_STATES: [&str; 6] = ["running", "starting", "restoring", "draining", "stalled_retrying", "failed"];

/// Handles of every metric.
#[allow(missing_docs)] // Each is described by its help text below.
pub struct Metrics {
    registry: Registry,
    pub ready: IntGauge,
    pub lifecycle_state: IntGaugeVec,
    lives: Mutex<BTreeMap<&'static str, usize>>,
    pub takeover_records: IntCounterVec,
    pub takeover_parts_left: IntGaugeVec,
    pub events_consumed: IntCounterVec,
    pub consumed_bytes: IntCounterVec,
    pub lag_records: IntGaugeVec,
    pub assigned_partitions: IntGauge,
    pub rebalances: IntCounterVec,
    pub paused_partitions: IntGauge,
    pub rejected: IntCounterVec,
    pub dead_letters: IntCounterVec,
    pub duplicates: IntCounterVec,
    pub late: IntCounterVec,
    pub evicted: IntCounterVec,
    pub watermark: GaugeVec,
    pub watermark_delay: Gauge,
    pub idle: IntGaugeVec,
    pub epochs: IntCounter,
    pub epoch_seconds: Histogram,
    pub repaired_epochs: IntCounter,
    pub repaired_decisions: IntCounter,
    pub facts: IntCounterVec,
    pub transactions: IntCounterVec,
    pub transaction_seconds: HistogramVec,
    pub journal_records: IntGaugeVec,
    pub journal_set_aside: IntGaugeVec,
    pub quarantine_refused: IntGauge,
    pub journal_applied: GaugeVec,
    pub stage1_events: IntCounterVec,
    pub snapshot_seconds: Histogram,
    pub snapshot_pause_seconds: Histogram,
    pub snapshot_bytes: IntGauge,
    pub snapshot_last_success: Gauge,
    pub snapshot_failures: IntCounter,
    pub restore_seconds: Gauge,
    pub state_keys: IntGaugeVec,
    pub shadow_records: IntCounterVec,
    pub shadow_partitions: IntGaugeVec,
    pub shadow_verified: Gauge,
    pub adjustments: IntCounterVec,
    pub kpi_rows: IntCounterVec,
    pub alerts: IntCounterVec,
    pub alerts_open: IntGaugeVec,
    pub acks: IntCounterVec,
    pub notifications: IntCounterVec,
    pub proposals_pending: IntGauge,
    pub proposal_oldest: Gauge,
    pub spend_day: IntGaugeVec,
    pub overspend: IntGaugeVec,
    pub campaigns: IntGaugeVec,
    pub halted_campaigns: IntGauge,
    pub latency: HistogramVec,
    pub http_refused: IntCounterVec,
    pub http_resyncs: IntCounter,
}

impl Metrics {
    /// Registers all metrics; series of bounded sets exist from the start.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("a new registry takes the process collector");
        let Counts { requests, lookups, disk_age_seconds } = Counts::of_the_process();
        let (requests, lookups) = (Box::new(requests) as Box<dyn Collector>, Box::new(lookups) as Box<dyn Collector>);
        for collector in [requests, lookups, Box::new(disk_age_seconds)] {
            registry.register(collector).expect("each name stands once");
        }
        let build = gauges(r, "paceline_build_info", "Facts of this build, always 1.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            ready: gauge(r, "paceline_ready", "1 while the service takes part in the work and can commit."),
            lifecycle_state: gauges(r, "paceline_lifecycle_state", "1 for the state the service is in.", &["state"]),
            lives: Mutex::default(),
            takeover_records: counters(
                r,
                "paceline_takeover_records_total",
                "Log positions passed while taking partitions over.",
                &["stage"],
            ),
            takeover_parts_left: gauges(
                r,
                "paceline_takeover_parts_left",
                "Partitions that the take-over which goes on has still to bring up, 0 without one.",
                &["stage"],
            ),
            events_consumed: counters(
                r,
                "paceline_events_consumed_total",
                "Records read from event topics.",
                &["event_type"],
            ),
            consumed_bytes: counters(
                r,
                "paceline_consumed_bytes_total",
                "Payload bytes read from event topics.",
                &["topic"],
            ),
            lag_records: gauges(
                r,
                "paceline_consumer_lag_records",
                "Records behind the end of a partition; absent while unknown.",
                &["topic", "partition"],
            ),
            assigned_partitions: gauge(
                r,
                "paceline_consumer_assigned_partitions",
                "Source partitions that this process owns.",
            ),
            rebalances: counters(r, "paceline_consumer_rebalances_total", "Changes of assignment.", &["kind"]),
            paused_partitions: gauge(
                r,
                "paceline_consumer_paused_partitions",
                "Partitions that wait for their siblings or for room.",
            ),
            rejected: counters(
                r,
                "paceline_events_rejected_total",
                "Records that were not taken, by reason.",
                &["topic", "reason"],
            ),
            dead_letters: counters(
                r,
                "paceline_dead_letters_total",
                "Records sent to the dead-letter topic.",
                &["topic"],
            ),
            duplicates: counters(r, "paceline_events_duplicate_total", "Copies dropped by event id.", &["event_type"]),
            late: counters(
                r,
                "paceline_events_late_total",
                "Events behind the watermark, still counted in the widest panes they fit.",
                &["event_type"],
            ),
            evicted: counters(
                r,
                "paceline_dedupe_evictions_total",
                "Remembered ids given up to stay inside the cap.",
                &["event_type"],
            ),
            watermark: floats(
                r,
                "paceline_watermark_timestamp_seconds",
                "Event time below which a source has shown everything.",
                &["topic", "partition"],
            ),
            watermark_delay: float(r, "paceline_watermark_delay_seconds", "Now less the least watermark."),
            idle: gauges(
                r,
                "paceline_partition_idle",
                "1 where a source was read to its end and is silent.",
                &["topic", "partition"],
            ),
            epochs: counter(r, "paceline_epochs_total", "Cuts committed."),
            epoch_seconds: histogram(r, "paceline_epoch_seconds", "Time from opening a cut to its commit."),
            repaired_epochs: counter(r, "paceline_epochs_repaired_total", "Torn cuts emitted again at a take-over."),
            repaired_decisions: counter(
                r,
                "paceline_decisions_repaired_total",
                "Torn transactions of decisions whose missing outputs were published at a take-over.",
            ),
            facts: counters(
                r,
                "paceline_facts_copied_total",
                "Records of control topics brought into the journal.",
                &["topic"],
            ),
            transactions: counters(
                r,
                "paceline_transactions_total",
                "Kafka transactions by result.",
                &["stage", "result"],
            ),
            transaction_seconds: histograms(
                r,
                "paceline_transaction_seconds",
                "Time from begin to committed.",
                &["stage"],
            ),
            journal_records: gauges(
                r,
                "paceline_journal_records",
                "Journal records in the states held, by what became of them.",
                &["outcome"],
            ),
            journal_set_aside: gauges(
                r,
                "paceline_journal_set_aside",
                "Rows and facts of the journal that were set aside, in the states held, by reason.",
                &["reason"],
            ),
            quarantine_refused: gauge(
                r,
                "paceline_quarantine_refused_rows",
                "Rows and facts without specification that found no room and are counted nowhere, in the states held.",
            ),
            journal_applied: floats(
                r,
                "paceline_journal_applied_timestamp_seconds",
                "Everything that stood in a journal partition until then was applied.",
                &["partition"],
            ),
            stage1_events: counters(
                r,
                "paceline_stage1_events_total",
                "What stage 1 met at its limits and joins.",
                &["what"],
            ),
            snapshot_seconds: histogram(r, "paceline_snapshot_duration_seconds", "Time to write a snapshot."),
            snapshot_pause_seconds: histogram(
                r,
                "paceline_snapshot_pause_seconds",
                "Time that folding stood still for a snapshot.",
            ),
            snapshot_bytes: gauge(r, "paceline_snapshot_bytes", "Bytes written by the last snapshot."),
            snapshot_last_success: float(
                r,
                "paceline_snapshot_last_success_timestamp_seconds",
                "When the last snapshot was complete.",
            ),
            snapshot_failures: counter(
                r,
                "paceline_snapshot_failures_total",
                "Snapshots that could not be written; processing goes on.",
            ),
            restore_seconds: float(r, "paceline_restore_duration_seconds", "Time that the last take-over needed."),
            state_keys: gauges(r, "paceline_state_keys", "Entries held in memory.", &["store"]),
            shadow_records: counters(
                r,
                "paceline_shadow_records_total",
                "Committed decisions that were decided a second time, by how they compare.",
                &["result"],
            ),
            shadow_partitions: gauges(
                r,
                "paceline_shadow_partitions",
                "Journal partitions that the shadow verifier follows, or has left after a difference.",
                &["state"],
            ),
            shadow_verified: float(
                r,
                "paceline_shadow_verified_timestamp_seconds",
                "When the shadow verifier had last caught up with all that was committed; 0 without one.",
            ),
            adjustments: counters(r, "paceline_adjustments_published_total", "Commands published.", &["kind", "mode"]),
            kpi_rows: counters(r, "paceline_kpi_rows_total", "KPI rows published.", &["granularity"]),
            alerts: counters(r, "paceline_alerts_total", "Alert records published.", &["kind", "severity", "state"]),
            alerts_open: gauges(r, "paceline_alerts_open", "Alerts that are open now.", &["kind", "severity"]),
            acks: counters(
                r,
                "paceline_acks_total",
                "Answers of the ad-buying systems to commands, by what became of the command.",
                &["result"],
            ),
            notifications: counters(
                r,
                "paceline_notifications_total",
                "Messages of the webhook, by what became of them; dropped and snoozed count alerts.",
                &["result"],
            ),
            proposals_pending: gauge(r, "paceline_proposals_pending", "Proposals that wait for a person."),
            proposal_oldest: float(
                r,
                "paceline_proposal_oldest_timestamp_seconds",
                "When the proposal was made that waits longest for a person, 0 where none waits.",
            ),
            spend_day: gauges(
                r,
                "paceline_spend_day_micros",
                "Spend of the campaigns' local days, micros of the currency.",
                &["currency"],
            ),
            overspend: gauges(
                r,
                "paceline_overspend_micros",
                "Spend above the budgets of the campaigns' local days or flights, micros of the currency.",
                &["currency", "budget"],
            ),
            campaigns: gauges(r, "paceline_campaigns", "Campaigns by pace.", &["pacing"]),
            halted_campaigns: gauge(
                r,
                "paceline_halted_campaigns",
                "Campaigns that a halt covers, whatever its scope.",
            ),
            latency: histograms(
                r,
                "paceline_end_to_end_latency_seconds",
                "From an event's broker timestamp to its published command or committed cut.",
                &["stage"],
            ),
            http_refused: counters(
                r,
                "paceline_http_refused_total",
                "HTTP requests that were refused before they were looked at.",
                &["reason"],
            ),
            http_resyncs: counter(
                r,
                "paceline_http_stream_resyncs_total",
                "Times that a stream's listener was too slow and was told to read the lists again.",
            ),
            registry,
        };
        metrics.prepare();
        metrics
    }

    fn prepare(&self) {
        self.show_state("starting");
        for kind in EventKind::ALL {
            let word = event_word(kind);
            for family in [&self.events_consumed, &self.duplicates, &self.late, &self.evicted] {
                family.with_label_values(&[word]);
            }
        }
        for stage in ["aggregator", "controller"] {
            self.transaction_seconds.with_label_values(&[stage]);
            for result in ["committed", "aborted", "fatal"] {
                self.transactions.with_label_values(&[stage, result]);
            }
        }
        for stage in ["broker_to_journal", "broker_to_published"] {
            self.latency.with_label_values(&[stage]);
        }
        for stage in ["aggregator", "controller"] {
            self.takeover_records.with_label_values(&[stage]);
            self.takeover_parts_left.with_label_values(&[stage]);
        }
        self.prepare_words();
        for pace in ["ahead", "on_plan", "behind", "unknown", "paused", "exhausted"] {
            self.campaigns.with_label_values(&[pace]);
        }
        for granularity in ["minute", "hour", "day"] {
            self.kpi_rows.with_label_values(&[granularity]);
        }
        for reason in ["host", "origin", "token", "role", "streams", "busy", "too_slow"] {
            self.http_refused.with_label_values(&[reason]);
        }
        for result in ["equal", "different", "not_comparable"] {
            self.shadow_records.with_label_values(&[result]);
        }
        for state in ["followed", "different"] {
            self.shadow_partitions.with_label_values(&[state]);
        }
        for kind in ["assigned", "revoked"] {
            self.rebalances.with_label_values(&[kind]);
        }
    }

    fn prepare_words(&self) {
        for kind in ALERT_KINDS.into_iter().chain([OTHER]) {
            for severity in ["info", "warning", "critical"] {
                self.alerts_open.with_label_values(&[kind, severity]);
                for state in ["opened", "updated", "resolved"] {
                    self.alerts.with_label_values(&[kind, severity, state]);
                }
            }
        }
        for kind in COMMAND_KINDS {
            for mode in COMMAND_MODES {
                self.adjustments.with_label_values(&[kind, mode]);
            }
        }
        for result in ACK_RESULTS.into_iter().chain([OTHER]) {
            self.acks.with_label_values(&[result]);
        }
        for result in ["sent", "retried", "failed", "dropped", "snoozed"] {
            self.notifications.with_label_values(&[result]);
        }
        for what in STAGE1_EVENTS {
            self.stage1_events.with_label_values(&[what]);
        }
    }

    /// The series of topics, whose names are settings.
    pub fn prepare_topics(&self, topics: &Topics) {
        let events = EventKind::ALL.map(|kind| topics.event(kind));
        let controls = ControlTopic::ALL.map(|topic| topics.control(topic));
        for topic in events {
            self.consumed_bytes.with_label_values(&[topic]);
        }
        for topic in controls {
            self.facts.with_label_values(&[topic]);
        }
        for topic in events.into_iter().chain(controls) {
            self.dead_letters.with_label_values(&[topic]);
            for reason in REJECT_REASONS {
                self.rejected.with_label_values(&[topic, reason]);
            }
        }
    }

    /// A worker enters a state of its life.
    pub fn enter(&self, worker: &'static str, state: &str) {
        let Some(rank) = LIFECYCLE_STATES.iter().position(|known| *known == state) else { return };
        let Ok(mut lives) = self.lives.lock() else { return };
        lives.insert(worker, rank);
        let last = lives.values().copied().max().unwrap_or(rank);
        self.show_state(LIFECYCLE_STATES[last]);
    }

    fn show_state(&self, state: &str) {
        for known in LIFECYCLE_STATES {
            self.lifecycle_state.with_label_values(&[known]).set(i64::from(known == state));
        }
    }

    /// Every family with its series, for who reads numbers and not text.
    pub fn families(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }

    /// The exposition text.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory cannot fail, and the encoder's own errors mean an empty family, which is skipped.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The label of an event kind.
pub fn event_word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Impression => "impression",
        EventKind::Click => "click",
        EventKind::Conversion => "conversion",
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, built: prometheus::Result<C>) -> C {
    let collector = built.expect("names and labels are constants that follow the naming rules");
    registry.register(Box::new(collector.clone())).expect("each name stands once in this file");
    collector
}

fn counter(r: &Registry, name: &str, help: &str) -> IntCounter {
    register(r, IntCounter::new(name, help))
}

fn counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(r, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauge(r: &Registry, name: &str, help: &str) -> IntGauge {
    register(r, IntGauge::new(name, help))
}

fn gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(r, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn float(r: &Registry, name: &str, help: &str) -> Gauge {
    register(r, Gauge::new(name, help))
}

fn floats(r: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    register(r, GaugeVec::new(Opts::new(name, help), labels))
}

fn histogram(r: &Registry, name: &str, help: &str) -> Histogram {
    register(r, Histogram::with_opts(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec())))
}

fn histograms(r: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    register(r, HistogramVec::new(HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec()), labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounded_series_exist_before_the_first_event() {
        let text = Metrics::new().text();
        for series in [
            "paceline_ready 0",
            "paceline_lifecycle_state{state=\"starting\"} 1",
            "paceline_events_consumed_total{event_type=\"click\"} 0",
            "paceline_transactions_total{result=\"fatal\",stage=\"controller\"} 0",
            "paceline_alerts_total{kind=\"ack_missing\",severity=\"critical\",state=\"opened\"} 0",
            "paceline_alerts_open{kind=\"hard_stop\",severity=\"warning\"} 0",
            "paceline_adjustments_published_total{kind=\"pause\",mode=\"auto\"} 0",
            "paceline_acks_total{result=\"conflict\"} 0",
            "paceline_shadow_records_total{result=\"different\"} 0",
            "paceline_registry_requests_total{result=\"away\"}",
        ] {
            assert!(text.contains(series), "{series} in\n{text}");
        }
    }

    #[test]
    fn series_of_topics_exist_before_the_first_event() {
        let metrics = Metrics::new();
        let (settings, _) = crate::settings::Settings::load_with(&[], &BTreeMap::new()).unwrap();
        metrics.prepare_topics(&settings.topics);
        let text = metrics.text();
        for series in [
            "paceline_events_rejected_total{reason=\"unknown_schema\",topic=\"ads.clicks\"} 0",
            "paceline_events_rejected_total{reason=\"negative_money\",topic=\"ads.impressions\"} 0",
            "paceline_dead_letters_total{topic=\"ads.campaigns\"} 0",
            "paceline_facts_copied_total{topic=\"ads.feedback\"} 0",
            "paceline_consumed_bytes_total{topic=\"ads.conversions\"} 0",
        ] {
            assert!(text.contains(series), "{series} in\n{text}");
        }
    }

    #[test]
    fn the_process_is_in_the_state_of_the_worker_that_needs_the_most_care() {
        let metrics = Metrics::new();
        let is = |state: &str| metrics.text().contains(&format!("paceline_lifecycle_state{{state=\"{state}\"}} 1"));
        metrics.enter("controller", "starting");
        metrics.enter("controller", "restoring");
        assert!(is("restoring"));
        metrics.enter("controller", "running");
        assert!(is("running") && !is("starting"));
        metrics.enter("aggregator", "restoring");
        assert!(is("restoring") && !is("running"));
        metrics.enter("aggregator", "running");
        assert!(is("running"));
    }
}
