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
pub struct Verifier<'a> {
    codec: &'a Codec,
    build: String,
    controller: Controller,
    log: BTreeMap<(OutputTopic, i64), Vec<Committed>>,
    tally: BTreeMap<OutputTopic, Tally>,
    first: Option<Difference>,
}

impl<'a> Verifier<'a> {
    /// Begins with a state that stands before the first record to come.
    pub fn new(codec: &'a Codec, build: &str, controller: Controller) -> Self {
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
        for one in wire(self.codec, &outputs)? {
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
        let left: Vec<((OutputTopic, i64), Vec<Committed>)> = std::mem::take(&mut self.log).into_iter().collect();
        for ((topic, offset), committed) in left {
            if (from_offset..until_offset).contains(&offset) {
                self.compare(topic, offset, Vec::new(), committed);
            }
        }
        (self.tally, self.first)
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
