//! Under which subjects our schemas stand: by topic name, `<topic>-value`; on the feedback topic, which carries four
//! records, by topic and record name, `<topic>-<full name>`.

use crate::settings::Topics;
use avro_codec::RecordName;

/// What a running service writes, the words of people that come in over its API included. Input schemas are their writers' to register: ours may not stand in their way.
pub const SERVICE_WRITES: &[RecordName] = &[
    RecordName::Epoch,
    RecordName::JournalRecord,
    RecordName::Adjustment,
    RecordName::DesiredState,
    RecordName::Alert,
    RecordName::KpiRow,
    RecordName::Decision,
    RecordName::Halt,
];

/// Each of `records` with its subjects, in order.
pub fn subjects_of(topics: &Topics, records: &[RecordName]) -> Vec<(RecordName, String)> {
    let of = |record: &RecordName| {
        let names = topics_of(topics, *record);
        let subject = |topic: &str| match record {
            RecordName::Ack | RecordName::StateReport | RecordName::Decision | RecordName::Halt => {
                format!("{topic}-paceline.v1.{record}")
            }
            _ => format!("{topic}-value"),
        };
        names.into_iter().map(|topic| (*record, subject(topic))).collect::<Vec<_>>()
    };
    records.iter().flat_map(of).collect()
}

/// The topics that carry a record.
pub fn topics_of(topics: &Topics, record: RecordName) -> Vec<&str> {
    match record {
        RecordName::Impression => vec![&topics.impressions],
        RecordName::Click => vec![&topics.clicks],
        RecordName::Conversion => vec![&topics.conversions],
        RecordName::CampaignSpec => vec![&topics.campaigns],
        RecordName::EntitySpec => vec![&topics.entities],
        RecordName::StatsReport => vec![&topics.stats],
        RecordName::Correction => vec![&topics.corrections],
        RecordName::ContextSignal => vec![&topics.context],
        RecordName::Ack | RecordName::StateReport | RecordName::Decision | RecordName::Halt => vec![&topics.feedback],
        RecordName::PolicyVersion => vec![&topics.policy],
        RecordName::Epoch => vec![&topics.epochs],
        RecordName::JournalRecord => vec![&topics.journal],
        RecordName::Adjustment => vec![&topics.adjustments, &topics.proposals],
        RecordName::DesiredState => vec![&topics.desired_state],
        RecordName::Alert => vec![&topics.alerts],
        RecordName::KpiRow => vec![&topics.kpis],
    }
}
