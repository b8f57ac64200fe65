//! A closed cut as one Kafka transaction: journal records, epochs, dead letters, positions.

use super::context::Context;
use super::letters::Origin;
use super::position_note::PositionNote;
use crate::commands::mask;
use crate::failure::{Failure, Outcome};
use crate::published::LetterView;
use aggregator::{PartitionSums, RECORD_BYTES_MAX, split};
use avro_codec::RecordName;
use kafka_io::{OffsetOut, OutRecord, TopicPartition, Transaction};
use model::journal::{CopiedFact, Epoch, JournalRecord, Range};
use model::partition::{murmur2, partition_of};
use model::time::Millis;
use std::borrow::Cow;
use std::sync::Arc;

/// Original bytes kept of a dead letter: enough to mend and retry nearly all; a broker's limit for a record is 1 MiB.
const DEAD_LETTER_BYTES_MAX: usize = 900_000;
/// Headers of a dead letter, in order; the last one only where the value was cut.
pub const DEAD_LETTER_HEADERS: [&str; 7] =
    ["topic", "partition", "offset", "timestamp", "reason", "detail", "cut_from_bytes"];
const DEAD_LETTER_KEY_BYTES_MAX: usize = 1_024;

/// A record that was refused, with where it came from.
pub struct DeadLetter {
    /// Topic, partition and offset it came from.
    pub origin: Origin,
    /// Closed word.
    pub reason: &'static str,
    record: OutRecord,
}

/// Turns cuts into transactions.
pub struct CutWriter {
    journal: Arc<str>,
    epochs: Arc<str>,
    dead_letters: Arc<str>,
    dead_letter_partitions: i32,
    worker: String,
    build: Arc<str>,
}

impl CutWriter {
    /// Looks up what it must know of the topics.
    pub fn new(context: &Context) -> Outcome<Self> {
        let topics = &context.settings.topics;
        Ok(Self {
            journal: Arc::from(topics.journal.as_str()),
            epochs: Arc::from(topics.epochs.as_str()),
            dead_letters: Arc::from(topics.dead_letters.as_str()),
            dead_letter_partitions: context.topology.dead_letter_partitions,
            worker: context.settings.slot.clone(),
            build: context.build.clone(),
        })
    }

    /// A dead letter with its reason and coordinates; the value is capped, and says so.
    #[allow(clippy::too_many_arguments)] // The parts of one record, each with its own name.
    pub fn dead_letter(
        &self,
        place: &TopicPartition,
        offset: i64,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        reason: &'static str,
        detail: String,
    ) -> DeadLetter {
        let [topic, partition, at, timestamp, why, words, cut_from] = DEAD_LETTER_HEADERS.map(Cow::Borrowed);
        let mut headers: Vec<(Cow<'static, str>, Vec<u8>)> = vec![
            (topic, place.topic.as_bytes().to_vec()),
            (partition, place.partition.to_string().into_bytes()),
            (at, offset.to_string().into_bytes()),
            (timestamp, timestamp_ms.to_string().into_bytes()),
            (why, reason.as_bytes().to_vec()),
            (words, detail.into_bytes()),
        ];
        let payload = payload.map(|bytes| {
            if bytes.len() > DEAD_LETTER_BYTES_MAX {
                headers.push((cut_from, bytes.len().to_string().into_bytes()));
            }
            bytes[..bytes.len().min(DEAD_LETTER_BYTES_MAX)].to_vec()
        });
        let spread = murmur2(key.unwrap_or(&offset.to_be_bytes())) & 0x7fff_ffff;
        let record = OutRecord {
            topic: self.dead_letters.clone(),
            partition: spread as i32 % self.dead_letter_partitions.max(1),
            key: key.map(|key| key[..key.len().min(DEAD_LETTER_KEY_BYTES_MAX)].to_vec()),
            payload,
            headers,
            timestamp_ms: None,
        };
        DeadLetter { origin: (place.topic.to_string(), place.partition, offset), reason, record }
    }

    /// What people may see of a dead letter.
    pub fn sample(&self, context: &Context, letter: &DeadLetter, refused_at: Millis) -> LetterView {
        let header = |name: &str| {
            let value =
                letter.record.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let payload = letter.record.payload.as_deref().unwrap_or_default();
        LetterView {
            refused_at,
            topic: letter.origin.0.clone(),
            partition: letter.origin.1,
            offset: letter.origin.2,
            timestamp: header("timestamp").parse().unwrap_or(-1),
            reason: letter.reason.to_owned(),
            detail: mask::unquoted(&header("detail")),
            bytes: header("cut_from_bytes").parse().unwrap_or(payload.len() as i64),
            sample: mask::sample(&context.codec, payload),
        }
    }

    /// One transaction for one cut. `sums` has one entry for each journal partition.
    #[allow(clippy::too_many_arguments)] // The parts of one cut, each with its own name.
    pub fn write(
        &self,
        context: &Context,
        worker_epoch: i64,
        clock: Millis,
        epochs: &[Epoch],
        controls: Vec<Range>,
        sums: Vec<PartitionSums>,
        facts: Vec<CopiedFact>,
        dead: Vec<DeadLetter>,
    ) -> Outcome<Transaction> {
        let mut ranges: Vec<Range> = epochs.iter().flat_map(|epoch| epoch.ranges.iter().cloned()).collect();
        ranges.extend(controls);
        let timestamp_ms = context.record_timestamp();
        let mut transaction = Transaction::default();
        let mut facts_of: Vec<Vec<CopiedFact>> = sums.iter().map(|_| Vec::new()).collect();
        for fact in facts {
            match fact.record.account_id() {
                Some(account) => facts_of[partition_of(account.as_bytes(), sums.len() as i32) as usize].push(fact),
                None => facts_of.iter_mut().for_each(|facts| facts.push(fact.clone())),
            }
        }
        for ((partition, sums), facts) in (0..).zip(sums).zip(facts_of) {
            let record = JournalRecord {
                worker: self.worker.clone(),
                epoch: worker_epoch,
                part: 0,
                parts: 1,
                clock,
                ranges: ranges.clone(),
                lag_records: epochs.iter().map(|epoch| epoch.lag_records).sum(),
                policy_version: epochs.iter().map(|epoch| epoch.policy_version).max().unwrap_or(0),
                build: self.build.to_string(),
                dictionary: sums.dictionary,
                deltas: sums.deltas,
                marginals: sums.marginals,
                credits: sums.credits,
                paths: sums.paths,
                facts,
            };
            for part in split(record, RECORD_BYTES_MAX) {
                let payload = encode(context, RecordName::JournalRecord, &part)?;
                transaction.records.push(self.out(&self.journal, partition, payload, timestamp_ms));
            }
        }
        for epoch in epochs {
            let payload = encode(context, RecordName::Epoch, epoch)?;
            transaction.records.push(self.out(&self.epochs, epoch.partition, payload, timestamp_ms));
        }
        transaction.records.extend(self.letters(context, dead).records);
        let note = PositionNote { clock, event_partitions: Some(context.topology.event_partitions) }.text();
        transaction.offsets = ranges
            .iter()
            .map(|range| OffsetOut {
                place: TopicPartition::new(range.topic.as_str(), range.partition),
                next_offset: range.to,
                metadata: note.clone(),
            })
            .collect();
        Ok(transaction)
    }

    /// Dead letters alone, of a cut whose positions have moved.
    pub fn letters(&self, context: &Context, dead: Vec<DeadLetter>) -> Transaction {
        let timestamp_ms = context.record_timestamp();
        let records = dead.into_iter().map(|letter| OutRecord { timestamp_ms, ..letter.record }).collect();
        Transaction { records, ..Transaction::default() }
    }

    fn out(&self, topic: &Arc<str>, partition: i32, payload: Vec<u8>, timestamp_ms: Option<i64>) -> OutRecord {
        OutRecord { topic: topic.clone(), partition, payload: Some(payload), timestamp_ms, ..OutRecord::default() }
    }
}

/// Encodes one of our records.
pub fn encode<T: serde::Serialize>(context: &Context, name: RecordName, value: &T) -> Outcome<Vec<u8>> {
    context.codec.encode(name, value).map_err(|error| {
        Failure::failed(format!("encoding a {}: {error}", name.as_str()), "this is a defect; please report it")
    })
}
