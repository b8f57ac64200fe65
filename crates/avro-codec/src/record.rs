//! The records of the contract by name: their schemas, embedded when the crate is built, and their limits.

use crate::limits::Limits;
use apache_avro::Schema;
use std::fmt;
use std::sync::OnceLock;

macro_rules! records {
    ($($name:ident $file:literal,)*) => {
        /// A record of the contract; the order is that of the fixed ids.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs)] // Named as their schemas.
        pub enum RecordName {
            $($name,)*
        }

        impl RecordName {
            /// All records.
            pub const ALL: &[RecordName] = &[$(RecordName::$name,)*];

            /// The name in its schema.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(RecordName::$name => stringify!($name),)*
                }
            }

            /// The name of its file, without the ending.
            pub fn file_stem(self) -> &'static str {
                match self {
                    $(RecordName::$name => $file,)*
                }
            }

            /// The text of its schema of today.
            pub fn schema_json(self) -> &'static str {
                match self {
                    $(RecordName::$name => include_str!(concat!("../../../schemas/", $file, ".avsc")),)*
                }
            }
        }

        /// Every form that was ever released, by record and release, the newest last.
        pub(crate) const RELEASES: &[(RecordName, u32, &str)] = &[
            $((RecordName::$name, 1, include_str!(concat!("../../../schemas/history/", $file, "/1.avsc"))),)*
            (RecordName::JournalRecord, 2, include_str!("../../../schemas/history/journal_record/2.avsc")),
            (RecordName::DesiredState, 2, include_str!("../../../schemas/history/desired_state/2.avsc")),
        ];
    };
}

records! {
    Impression "impression",
    Click "click",
    Conversion "conversion",
    CampaignSpec "campaign_spec",
    EntitySpec "entity_spec",
    StatsReport "stats_report",
    Correction "correction",
    ContextSignal "context_signal",
    Ack "ack",
    StateReport "state_report",
    Decision "decision",
    Halt "halt",
    PolicyVersion "policy_version",
    Epoch "epoch",
    JournalRecord "journal_record",
    Adjustment "adjustment",
    DesiredState "desired_state",
    Alert "alert",
    KpiRow "kpi_row",
}

impl RecordName {
    /// The record of a schema name without its namespace.
    pub fn from_name(name: &str) -> Option<RecordName> {
        RecordName::ALL.iter().copied().find(|record| record.as_str() == name)
    }

    /// Its schema of today, parsed once.
    pub fn schema(self) -> &'static Schema {
        static SCHEMAS: OnceLock<Vec<Schema>> = OnceLock::new();
        let schemas = SCHEMAS.get_or_init(|| {
            // The text is embedded, and a test parses each.
            let parse = |record: &RecordName| Schema::parse_str(record.schema_json()).expect("embedded schema parses");
            RecordName::ALL.iter().map(parse).collect()
        });
        &schemas[self as usize]
    }

    pub(crate) fn limits(self) -> Limits {
        match self {
            RecordName::PolicyVersion => Limits::POLICY,
            RecordName::JournalRecord
            | RecordName::Epoch
            | RecordName::Adjustment
            | RecordName::DesiredState
            | RecordName::Alert
            | RecordName::KpiRow => Limits::OWN,
            _ => Limits::INPUT,
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
