//! Decisions on their way out: records for the output topics, and, once committed, read views and counters.

use super::context::Context;
use super::span::Span;
use crate::failure::{Failure, Outcome};
use crate::settings::Topics;
use crate::telemetry::{ACK_RESULTS, Metrics, alert_kind, known};
use avro_codec::RecordName;
use controller::Outputs;
use kafka_io::OutRecord;
use model::fact::Fact;
use model::journal::JournalRecord;
use replay::{OutputTopic, wire};
use std::borrow::Cow;
use std::sync::Arc;

/// Names of the output topics, shared by the records.
pub struct OutTopics {
    adjustments: Arc<str>,
    proposals: Arc<str>,
    desired_state: Arc<str>,
    alerts: Arc<str>,
    kpis: Arc<str>,
}

impl OutTopics {
    /// As the settings name them.
    pub fn of(topics: &Topics) -> Self {
        Self {
            adjustments: Arc::from(topics.adjustments.as_str()),
            proposals: Arc::from(topics.proposals.as_str()),
            desired_state: Arc::from(topics.desired_state.as_str()),
            alerts: Arc::from(topics.alerts.as_str()),
            kpis: Arc::from(topics.kpis.as_str()),
        }
    }

    /// Adds what was decided at a journal offset to the records of a transaction, and to its span.
    pub fn add(
        &self,
        context: &Context,
        (partition, offset): (i32, i64),
        outputs: &Outputs,
        span: &mut Span,
        records: &mut Vec<OutRecord>,
    ) -> Outcome {
        let wires = wire(&context.codec, outputs).map_err(|error| {
            Failure::failed(format!("encoding a decision: {error}"), "this is a defect; please report it")
        })?;
        for one in wires {
            span.note(one.topic, offset);
            records.push(OutRecord {
                topic: self.name(one.topic).clone(),
                partition,
                key: Some(one.key.into_bytes()),
                payload: Some(one.payload),
                headers: cloud_event(one.topic.record_name(), &one.id),
                timestamp_ms: context.record_timestamp(),
            });
        }
        Ok(())
    }

    fn name(&self, topic: OutputTopic) -> &Arc<str> {
        match topic {
            OutputTopic::Adjustments => &self.adjustments,
            OutputTopic::Proposals => &self.proposals,
            OutputTopic::DesiredState => &self.desired_state,
            OutputTopic::Alerts => &self.alerts,
            OutputTopic::Kpis => &self.kpis,
        }
    }
}

/// Tells read views and counters of what stands on the output topics.
pub fn tell(context: &Context, outputs: &Outputs) {
    let (metrics, published) = (&context.metrics, &context.published);
    for command in &outputs.adjustments {
        metrics.adjustments.with_label_values(&[&command.kind, &command.mode]).inc();
        published.put_adjustment(command);
    }
    outputs.proposals.iter().for_each(|proposal| published.put_proposal(proposal));
    for alert in &outputs.alerts {
        let kind = alert_kind(&alert.kind);
        metrics.alerts.with_label_values(&[kind, &alert.severity, &alert.state]).inc();
        published.put_alert(alert);
    }
    for row in &outputs.kpis {
        metrics.kpi_rows.with_label_values(&[&row.granularity]).inc();
        published.put_row(row);
    }
}

/// Counts the platforms' answers in a journal record.
pub fn count_acks(metrics: &Metrics, journal: &JournalRecord) {
    for fact in &journal.facts {
        if let Fact::Ack(ack) = &fact.record {
            metrics.acks.with_label_values(&[known(&ACK_RESULTS, &ack.result)]).inc();
        }
    }
}

/// CloudEvents 1.0 in Kafka's binary mode.
pub fn cloud_event(name: RecordName, id: &str) -> Vec<(Cow<'static, str>, Vec<u8>)> {
    let header = |name: &'static str, value: &str| (Cow::Borrowed(name), value.as_bytes().to_vec());
    vec![
        header("ce_specversion", "1.0"),
        header("ce_id", id),
        header("ce_source", "paceline"),
        header("ce_type", &format!("paceline.v1.{}", name.as_str())),
        header("content-type", "application/avro"),
    ]
}
