//! Outputs of the controller as records: topic, key, event id, bytes.

use avro_codec::{Codec, EncodeError, RecordName};
use controller::Outputs;
use serde::Serialize;

/// The topics that the controller writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // Named as their topics.
pub enum OutputTopic {
    Adjustments,
    Proposals,
    DesiredState,
    Alerts,
    Kpis,
}

impl OutputTopic {
    /// All, in the order in which outputs are written.
    pub const ALL: [OutputTopic; 5] = [
        OutputTopic::Adjustments,
        OutputTopic::Proposals,
        OutputTopic::DesiredState,
        OutputTopic::Alerts,
        OutputTopic::Kpis,
    ];

    /// The schema of its records.
    pub fn record_name(self) -> RecordName {
        match self {
            OutputTopic::Adjustments | OutputTopic::Proposals => RecordName::Adjustment,
            OutputTopic::DesiredState => RecordName::DesiredState,
            OutputTopic::Alerts => RecordName::Alert,
            OutputTopic::Kpis => RecordName::KpiRow,
        }
    }
}

/// One record to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Where to.
    pub topic: OutputTopic,
    /// Record key.
    pub key: String,
    /// Identity for the event headers.
    pub id: String,
    /// Framed bytes.
    pub payload: Vec<u8>,
}

/// All records of one journal record's outputs, in order.
///
/// # Errors
/// Where a record cannot be encoded, which is a defect.
pub fn wire(codec: &Codec, outputs: &Outputs) -> Result<Vec<Wire>, EncodeError> {
    let mut wires = Vec::new();
    let mut put = |topic: OutputTopic, key: &str, id: &str, payload: Result<Vec<u8>, EncodeError>| {
        wires.push(Wire { topic, key: key.to_owned(), id: id.to_owned(), payload: payload? });
        Ok(())
    };
    for command in &outputs.adjustments {
        put(
            OutputTopic::Adjustments,
            &command.campaign_id,
            &command.command_id,
            encode(codec, OutputTopic::Adjustments, command),
        )?;
    }
    for proposal in &outputs.proposals {
        let id = format!("{}/{}", proposal.command_id, proposal.state);
        put(OutputTopic::Proposals, &proposal.campaign_id, &id, encode(codec, OutputTopic::Proposals, proposal))?;
    }
    for (key, state) in &outputs.desired {
        let id = format!("{key}/{}/{}", state.journal_partition, state.journal_offset);
        put(OutputTopic::DesiredState, key, &id, encode(codec, OutputTopic::DesiredState, state))?;
    }
    for alert in &outputs.alerts {
        let id = format!("{}/{}/{}", alert.alert_id, alert.state, alert.updated_at);
        put(OutputTopic::Alerts, &alert.alert_id, &id, encode(codec, OutputTopic::Alerts, alert))?;
    }
    for row in &outputs.kpis {
        let id = format!("{}/{}/{}/{}/{}", row.campaign_id, row.granularity, row.basis, row.window_start, row.revision);
        put(OutputTopic::Kpis, &row.campaign_id, &id, encode(codec, OutputTopic::Kpis, row))?;
    }
    Ok(wires)
}

fn encode<T: Serialize>(codec: &Codec, topic: OutputTopic, value: &T) -> Result<Vec<u8>, EncodeError> {
    codec.encode(topic.record_name(), value)
}
