//! One journal partition against its decision log.

use crate::wire::{OutputTopic, wire};
use avro_codec::{Codec, EncodeError};
use controller::{Authority, Controller, JournalPosition};
use model::journal::JournalRecord;
use std::collections::BTreeMap;

/// One committed record of an output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Journal offset at which it was decided.
    pub journal_offset: i64,
    /// Build that decided it.
    pub build: String,
    /// Framed bytes.
    pub payload: Vec<u8>,
}

/// Counts of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that are equal, byte for byte.
    pub equal: u64,
    /// Records of other builds.
    pub not_comparable: u64,
    /// Records that differ, are missing or were never decided.
    pub different: u64,
}

/// The first place where replay and log part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of which topic.
    pub topic: OutputTopic,
    /// At which journal offset.
    pub journal_offset: i64,
    /// What the replay decides, framed; `None` where it decides nothing.
    pub replayed: Option<Vec<u8>>,
    /// What was committed; `None` where nothing was.
    pub committed: Option<Vec<u8>>,
}

/// Replays a partition and compares.
pub struct Verifier {
    codec: Codec,
    build: String,
    controller: Controller,
    log: BTreeMap<(OutputTopic, i64), Vec<Committed>>,
    tally: BTreeMap<OutputTopic, Tally>,
    first: Option<Difference>,
}

impl Verifier {
    /// Begins with a state that stands before the first record to come.
    pub fn new(codec: &Codec, build: &str, controller: Controller) -> Self {
        let codec = codec.clone();
        Self { codec, build: build.to_owned(), controller, log: BTreeMap::new(), tally: BTreeMap::new(), first: None }
    }

    /// Takes a committed record; all of a topic must come in its log's order, and before the journal.
    pub fn committed(&mut self, topic: OutputTopic, record: Committed) {
        self.log.entry((topic, record.journal_offset)).or_default().push(record);
    }

    /// Replays one journal record; compares only where `compare`, so that a state can be brought to its start first.
    ///
    /// # Errors
    /// Where an output cannot be encoded, which is a defect.
    pub fn journal(&mut self, at: JournalPosition, record: &JournalRecord, compare: bool) -> Result<(), EncodeError> {
        let outputs = self.controller.apply(at, record, Authority::Decide);
        let mut decided: BTreeMap<OutputTopic, Vec<Vec<u8>>> = BTreeMap::new();
        for one in wire(&self.codec, &outputs)? {
            decided.entry(one.topic).or_default().push(one.payload);
        }
        for topic in OutputTopic::ALL {
            let committed = self.log.remove(&(topic, at.offset)).unwrap_or_default();
            if compare {
                self.compare(topic, at.offset, decided.remove(&topic).unwrap_or_default(), committed);
            }
        }
        Ok(())
    }

    /// Ends the comparison at a journal offset: what was committed before it at an offset that held no journal record
    /// was never decided.
    pub fn finish(mut self, until_offset: i64, from_offset: i64) -> (BTreeMap<OutputTopic, Tally>, Option<Difference>) {
        self.settle(until_offset, from_offset);
        (self.tally, self.first)
    }

    /// The same where more is to come: what was committed before `until_offset` is compared, or forgotten where it lies
    /// before `from_offset`.
    pub fn settle(&mut self, until_offset: i64, from_offset: i64) {
        let log = std::mem::take(&mut self.log);
        for ((topic, offset), committed) in log {
            if offset >= until_offset {
                self.log.insert((topic, offset), committed);
            } else if offset >= from_offset {
                self.compare(topic, offset, Vec::new(), committed);
            }
        }
    }

    /// Offset of the next journal record to replay.
    pub fn next_offset(&self) -> i64 {
        self.controller.next_offset()
    }

    /// What was compared so far, over all topics.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for tally in self.tally.values() {
            sum.equal += tally.equal;
            sum.not_comparable += tally.not_comparable;
            sum.different += tally.different;
        }
        sum
    }

    /// The first difference so far.
    pub fn first(&self) -> Option<&Difference> {
        self.first.as_ref()
    }

    fn compare(&mut self, topic: OutputTopic, offset: i64, decided: Vec<Vec<u8>>, committed: Vec<Committed>) {
        let tally = self.tally.entry(topic).or_default();
        if committed.iter().any(|record| record.build != self.build) {
            tally.not_comparable += committed.len() as u64;
            return;
        }
        let both = decided.len().max(committed.len());
        let (mut decided, mut committed) = (decided.into_iter(), committed.into_iter());
        for _ in 0..both {
            let (replayed, committed) = (decided.next(), committed.next().map(|record| record.payload));
            if replayed == committed {
                tally.equal += 1;
                continue;
            }
            tally.different += 1;
            let earlier = self.first.as_ref().is_none_or(|first| offset < first.journal_offset);
            if earlier {
                self.first = Some(Difference { topic, journal_offset: offset, replayed, committed });
            }
        }
    }
}
