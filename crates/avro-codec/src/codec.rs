//! The one door: payloads in, values of the model out, and back.

use crate::cursor::{Cursor, Fault};
use crate::encode::{self, EncodeError};
use crate::frame::{self, Frame, Writer};
use crate::ids::{FixedIds, SchemaIds, SchemaLookup};
use crate::limits::{CONTROL_BYTES_MAX, Limits};
use crate::plan::Program;
use crate::project::{Projection, ReadFault, shape_of};
use crate::read::Reader;
use crate::record::RecordName;
use crate::reject::{RejectReason, Rejected};
use crate::{json, validate};
use apache_avro::Schema;
use model::event::{Event, EventKind};
use model::fact::{ControlTopic, Fact};
use model::journal::{Epoch, JournalRecord};
use model::output::{Adjustment, Alert, DesiredState, KpiRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Reads and writes every record of the contract. Clones share what was compiled.
#[derive(Clone)]
pub struct Codec {
    shared: Arc<Shared>,
}

struct Shared {
    ids: Arc<dyn SchemaIds>,
    /// Tells this codec's programs from another's in a scratch that both use.
    instance: u64,
    compiled: RwLock<HashMap<(Writer, Purpose), Arc<Compiled>>>,
}

/// What one thread keeps between events: the programs it used last, and room for unescaped JSON strings.
#[derive(Debug, Default)]
pub struct Scratch {
    recent: [Option<Recent>; EventKind::ALL.len()],
    text: String,
}

#[derive(Debug)]
struct Recent {
    instance: u64,
    writer: Writer,
    compiled: Arc<Compiled>,
}

/// Compiled forms that are kept: a bound for registries with endless versions; past it all are compiled anew.
const COMPILED_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    Event(EventKind),
    Fact(ControlTopic),
    Record(RecordName),
    Show,
}

#[derive(Debug)]
enum Compiled {
    Event(Projection),
    Record(RecordName, Program),
    Show(Program),
    /// This writer's schema does not resolve to what is wanted, now and always.
    Failed(String),
}

impl Codec {
    /// A codec that asks `ids` for writers' schemas.
    pub fn new(ids: Arc<dyn SchemaIds>) -> Self {
        static INSTANCES: AtomicU64 = AtomicU64::new(0);
        let instance = INSTANCES.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::new(Shared { ids, instance, compiled: RwLock::default() }) }
    }

    /// A codec with the fixed ids of `schemas/index.toml`.
    pub fn fixed() -> Self {
        Self::new(Arc::new(FixedIds::new()))
    }

    /// An event of one of the three topics. `scratch` belongs to the calling thread.
    #[inline]
    pub fn event<'a>(
        &self,
        kind: EventKind,
        payload: &'a [u8],
        scratch: &'a mut Scratch,
    ) -> Result<Event<'a>, Rejected> {
        match frame::parse(payload)? {
            Frame::Avro(writer, body) => {
                let projection = self.projection(kind, writer, &mut scratch.recent[kind.index()])?;
                let slots = projection.read(body).map_err(rejected)?;
                validate::event(kind, &slots)
            }
            Frame::Json(text) => validate::event(kind, &json::event(kind, text, &mut scratch.text)?),
        }
    }

    /// A record of a control topic.
    pub fn fact(&self, topic: ControlTopic, payload: &[u8]) -> Result<Fact, Rejected> {
        if topic != ControlTopic::Policy && payload.len() > CONTROL_BYTES_MAX {
            let words = format!("{} bytes, limit {CONTROL_BYTES_MAX} of a control topic", payload.len());
            return Err(Rejected::new(RejectReason::TooLarge, words));
        }
        let fact = match frame::parse(payload)? {
            Frame::Avro(writer, body) => match &*self.compiled(writer, Purpose::Fact(topic))? {
                Compiled::Record(record, program) => fact_from(*record, Source::Avro(program, body))?,
                other => return Err(failed(other)),
            },
            Frame::Json(text) => {
                let record = match records_of(topic) {
                    [single] => *single,
                    several => named_record(&json::type_of(text)?, several)?,
                };
                fact_from(record, Source::Json(text))?
            }
        };
        validate::fact(&fact)?;
        Ok(fact)
    }

    /// A record of the journal.
    pub fn journal(&self, payload: &[u8]) -> Result<JournalRecord, Rejected> {
        self.record(RecordName::JournalRecord, payload)
    }

    /// A cut.
    pub fn epoch(&self, payload: &[u8]) -> Result<Epoch, Rejected> {
        self.record(RecordName::Epoch, payload)
    }

    /// A command, issued or proposed.
    pub fn adjustment(&self, payload: &[u8]) -> Result<Adjustment, Rejected> {
        self.record(RecordName::Adjustment, payload)
    }

    /// The values in force for a key.
    pub fn desired_state(&self, payload: &[u8]) -> Result<DesiredState, Rejected> {
        self.record(RecordName::DesiredState, payload)
    }

    /// An alert.
    pub fn alert(&self, payload: &[u8]) -> Result<Alert, Rejected> {
        self.record(RecordName::Alert, payload)
    }

    /// A row of KPIs.
    pub fn kpi_row(&self, payload: &[u8]) -> Result<KpiRow, Rejected> {
        self.record(RecordName::KpiRow, payload)
    }

    /// Any record into its whole type of the model, events as well.
    pub fn record<T: DeserializeOwned>(&self, record: RecordName, payload: &[u8]) -> Result<T, Rejected> {
        match frame::parse(payload)? {
            Frame::Avro(writer, body) => match &*self.compiled(writer, Purpose::Record(record))? {
                Compiled::Record(_, program) => Source::Avro(program, body).read(record),
                other => Err(failed(other)),
            },
            Frame::Json(text) => Source::Json(text).read(record),
        }
    }

    /// Any record as JSON, by its writer's schema alone: `null` and names as written, bytes as Avro's JSON shows them,
    /// a record inside a union of several as `{"Name": {...}}`.
    pub fn to_json(&self, payload: &[u8]) -> Result<serde_json::Value, Rejected> {
        match frame::parse(payload)? {
            Frame::Avro(writer, body) => match &*self.compiled(writer, Purpose::Show)? {
                Compiled::Show(program) => read_avro(program, body, Limits::OWN),
                other => Err(failed(other)),
            },
            Frame::Json(text) => json::tree(text, Limits::OWN),
        }
    }

    /// A record in Confluent framing under our schema of today.
    pub fn encode<T: Serialize + ?Sized>(&self, record: RecordName, value: &T) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(ENCODED_BYTES_USUAL);
        self.encode_into(record, value, &mut bytes)?;
        Ok(bytes)
    }

    /// The same, appended to a buffer that is used again; on an error the buffer is as before.
    pub fn encode_into<T: Serialize + ?Sized>(
        &self,
        record: RecordName,
        value: &T,
        into: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let id = self.shared.ids.id_of(record).ok_or(EncodeError::NoSchemaId(record))?;
        encode::append(record, id, value, into)
    }

    /// A fact as the record that it is. What [`Codec::fact`] would refuse is an error: nobody hears of a dead letter at once.
    pub fn encode_fact(&self, fact: &Fact) -> Result<Vec<u8>, EncodeError> {
        let payload = self.encode_any(fact)?;
        match self.fact(fact.topic(), &payload) {
            Err(refused) if matches!(refused.reason, RejectReason::TooLarge | RejectReason::InvalidValue) => {
                Err(EncodeError::Refused(refused))
            }
            // Whether the registry knows our own schema is not asked here.
            _ => Ok(payload),
        }
    }

    fn encode_any(&self, fact: &Fact) -> Result<Vec<u8>, EncodeError> {
        match fact {
            Fact::CampaignSpec(fact) => self.encode(RecordName::CampaignSpec, fact),
            Fact::EntitySpec(fact) => self.encode(RecordName::EntitySpec, fact),
            Fact::StatsReport(fact) => self.encode(RecordName::StatsReport, fact),
            Fact::Correction(fact) => self.encode(RecordName::Correction, fact),
            Fact::ContextSignal(fact) => self.encode(RecordName::ContextSignal, fact),
            Fact::Ack(fact) => self.encode(RecordName::Ack, fact),
            Fact::StateReport(fact) => self.encode(RecordName::StateReport, fact),
            Fact::Decision(fact) => self.encode(RecordName::Decision, fact),
            Fact::Halt(fact) => self.encode(RecordName::Halt, fact),
            Fact::PolicyVersion(fact) => self.encode(RecordName::PolicyVersion, fact),
        }
    }

    /// The program for an event, without a lock where the thread saw its writer last.
    #[inline]
    fn projection<'a>(
        &self,
        kind: EventKind,
        writer: Writer,
        recent: &'a mut Option<Recent>,
    ) -> Result<&'a Projection, Rejected> {
        let instance = self.shared.instance;
        if !matches!(recent, Some(last) if last.writer == writer && last.instance == instance) {
            let compiled = self.compiled(writer, Purpose::Event(kind))?;
            *recent = Some(Recent { instance, writer, compiled });
        }
        match recent.as_ref().map(|last| &*last.compiled) {
            Some(Compiled::Event(projection)) => Ok(projection),
            Some(other) => Err(failed(other)),
            None => Err(Rejected::decode("no program")),
        }
    }

    #[cold]
    fn compiled(&self, writer: Writer, purpose: Purpose) -> Result<Arc<Compiled>, Rejected> {
        let key = (writer, purpose);
        // A panic while holding the lock leaves at worst a map without one entry.
        if let Some(known) = self.shared.compiled.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let text = self.writer_schema(writer)?;
        let compiled = Arc::new(match Schema::parse_str(&text) {
            Ok(schema) => compile(&schema, purpose).unwrap_or_else(Compiled::Failed),
            Err(error) => Compiled::Failed(format!("the writer's schema does not parse: {error}")),
        });
        let mut known = self.shared.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= COMPILED_MAX {
            known.clear();
        }
        known.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn writer_schema(&self, writer: Writer) -> Result<Arc<str>, Rejected> {
        let (lookup, name) = match writer {
            Writer::Id(id) => (self.shared.ids.by_id(id), format!("schema id {id}")),
            Writer::Fingerprint(crc) => (self.shared.ids.by_fingerprint(crc), format!("schema fingerprint {crc:016x}")),
        };
        match lookup {
            SchemaLookup::Found(text) => Ok(text),
            SchemaLookup::Unknown => Err(Rejected::new(RejectReason::UnknownSchema, format!("{name} is not known"))),
            SchemaLookup::Unavailable(why) => {
                Err(Rejected::new(RejectReason::SchemaUnavailable, format!("{name} cannot be asked for: {why}")))
            }
        }
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("instance", &self.shared.instance).finish_non_exhaustive()
    }
}

/// Most events and small records fit; longer ones grow it.
const ENCODED_BYTES_USUAL: usize = 256;

fn compile(writer: &Schema, purpose: Purpose) -> Result<Compiled, String> {
    match purpose {
        Purpose::Show => Program::plain(writer).map(Compiled::Show),
        Purpose::Event(kind) => {
            Projection::new(writer, event_record(kind).schema(), shape_of(kind)).map(Compiled::Event)
        }
        Purpose::Record(record) => resolve(writer, record),
        Purpose::Fact(topic) => match records_of(topic) {
            [single] => resolve(writer, *single),
            several => {
                let name = writer.name().map(|name| name.name()).unwrap_or_default();
                resolve(writer, named_record(name, several).map_err(|rejected| rejected.detail)?)
            }
        },
    }
}

fn resolve(writer: &Schema, record: RecordName) -> Result<Compiled, String> {
    Program::resolving(writer, record.schema()).map(|program| Compiled::Record(record, program))
}

fn event_record(kind: EventKind) -> RecordName {
    match kind {
        EventKind::Impression => RecordName::Impression,
        EventKind::Click => RecordName::Click,
        EventKind::Conversion => RecordName::Conversion,
    }
}

fn records_of(topic: ControlTopic) -> &'static [RecordName] {
    match topic {
        ControlTopic::Stats => &[RecordName::StatsReport],
        ControlTopic::Corrections => &[RecordName::Correction],
        ControlTopic::Campaigns => &[RecordName::CampaignSpec],
        ControlTopic::Entities => &[RecordName::EntitySpec],
        ControlTopic::Context => &[RecordName::ContextSignal],
        ControlTopic::Feedback => &[RecordName::Ack, RecordName::StateReport, RecordName::Decision, RecordName::Halt],
        ControlTopic::Policy => &[RecordName::PolicyVersion],
    }
}

fn named_record(name: &str, among: &[RecordName]) -> Result<RecordName, Rejected> {
    let named = among.iter().copied().find(|record| record.as_str() == name);
    named.ok_or_else(|| {
        let words: Vec<&str> = among.iter().map(|record| record.as_str()).collect();
        Rejected::decode(format!("the record is none of {}", words.join(", ")))
    })
}

/// Where a cold record's values come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Avro(&'a Program, &'a [u8]),
    Json(&'a [u8]),
}

impl Source<'_> {
    fn read<T: DeserializeOwned>(self, record: RecordName) -> Result<T, Rejected> {
        match self {
            Source::Avro(program, body) => read_avro(program, body, record.limits()),
            Source::Json(text) => json::record(text, record.limits()),
        }
    }
}

fn fact_from(record: RecordName, source: Source<'_>) -> Result<Fact, Rejected> {
    Ok(match record {
        RecordName::CampaignSpec => Fact::CampaignSpec(source.read(record)?),
        RecordName::EntitySpec => Fact::EntitySpec(source.read(record)?),
        RecordName::StatsReport => Fact::StatsReport(source.read(record)?),
        RecordName::Correction => Fact::Correction(source.read(record)?),
        RecordName::ContextSignal => Fact::ContextSignal(source.read(record)?),
        RecordName::Ack => Fact::Ack(source.read(record)?),
        RecordName::StateReport => Fact::StateReport(source.read(record)?),
        RecordName::Decision => Fact::Decision(source.read(record)?),
        RecordName::Halt => Fact::Halt(source.read(record)?),
        RecordName::PolicyVersion => Fact::PolicyVersion(source.read(record)?),
        other => return Err(Rejected::decode(format!("{other} is no fact"))),
    })
}

fn read_avro<T: DeserializeOwned>(program: &Program, body: &[u8], limits: Limits) -> Result<T, Rejected> {
    let mut cursor = Cursor::new(body, limits);
    let value = T::deserialize(Reader::new(program, &mut cursor)).map_err(|fault| rejected(fault.into()))?;
    if !cursor.is_at_end() {
        return Err(rejected(ReadFault::Trailing(body.len() - cursor.at())));
    }
    Ok(value)
}

#[cold]
fn rejected(fault: ReadFault) -> Rejected {
    match fault {
        ReadFault::Trailing(bytes) => {
            Rejected::new(RejectReason::TrailingBytes, format!("{bytes} bytes follow the record"))
        }
        ReadFault::In(fault @ Fault::TooLarge(_)) => Rejected::new(RejectReason::TooLarge, fault.to_string()),
        ReadFault::In(fault) => Rejected::decode(fault.to_string()),
    }
}

#[cold]
fn failed(compiled: &Compiled) -> Rejected {
    Rejected::decode(match compiled {
        Compiled::Failed(why) => why.clone(),
        _ => "the schema was compiled for something else".into(),
    })
}
