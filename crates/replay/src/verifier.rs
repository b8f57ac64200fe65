//! One journal partition against its decision log.
//!
//! What always holds: a record is equal byte for byte or it is told. The topic of desired states is compacted: of a key
//! the newest record is there for certain, and of older ones whatever the broker has left. One that is not there any
//! more, while a newer one of its key is, was superseded and is counted as that. Where another build decided, nothing is
//! decided again: the ledger follows the log, as the service's own does after an upgrade, so that what this build decided
//! later is compared from the state that it had. An offset is another build's where all of its records are, or where
//! there are none and one of its neighbours is.

use crate::wire::{OutputTopic, Wire, wire};
use avro_codec::{Codec, EncodeError};
use controller::{Authority, Controller, JournalPosition, LoggedDecision};
use model::journal::JournalRecord;
use std::collections::BTreeMap;

/// One committed record of an output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Journal offset at which it was decided.
    pub journal_offset: i64,
    /// Build that decided it.
    pub build: String,
    /// Record key.
    pub key: Vec<u8>,
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
    /// Desired states that the broker has compacted away: a newer one of the same key is there.
    pub superseded: u64,
    /// Records that differ, are missing or were never decided.
    pub different: u64,
}

impl Tally {
    /// Adds another partition's or topic's counts.
    pub fn take(&mut self, other: &Tally) {
        self.equal += other.equal;
        self.not_comparable += other.not_comparable;
        self.superseded += other.superseded;
        self.different += other.different;
    }
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
    /// Journal offsets with decisions, and whether this build made one of them; those from the last passed one on.
    marks: BTreeMap<i64, bool>,
    /// Journal offset of the newest desired state of each key.
    newest: BTreeMap<Vec<u8>, i64>,
    tally: BTreeMap<OutputTopic, Tally>,
    first: Option<Difference>,
}

impl Verifier {
    /// Begins with a state that stands before the first record to come.
    pub fn new(codec: &Codec, build: &str, controller: Controller) -> Self {
        Self {
            codec: codec.clone(),
            build: build.to_owned(),
            controller,
            log: BTreeMap::new(),
            marks: BTreeMap::new(),
            newest: BTreeMap::new(),
            tally: BTreeMap::new(),
            first: None,
        }
    }

    /// Takes a committed record; all of a topic must come in its log's order, and before the journal.
    pub fn committed(&mut self, topic: OutputTopic, record: Committed) {
        if topic == OutputTopic::DesiredState {
            self.newest.insert(record.key.clone(), record.journal_offset);
        }
        *self.marks.entry(record.journal_offset).or_default() |= record.build == self.build;
        self.log.entry((topic, record.journal_offset)).or_default().push(record);
    }

    /// Replays one journal record; compares only where `compare`, so that a state can be brought to its start first.
    ///
    /// # Errors
    /// Where an output cannot be encoded, which is a defect.
    pub fn journal(&mut self, at: JournalPosition, record: &JournalRecord, compare: bool) -> Result<(), EncodeError> {
        if !self.is_own(at.offset) {
            self.follow(at, record, compare);
            return Ok(());
        }
        let outputs = self.controller.apply(at, record, Authority::Decide);
        let mut decided: BTreeMap<OutputTopic, Vec<Wire>> = BTreeMap::new();
        if compare {
            for one in wire(&self.codec, &outputs)? {
                decided.entry(one.topic).or_default().push(one);
            }
        }
        for topic in OutputTopic::ALL {
            let committed = self.log.remove(&(topic, at.offset)).unwrap_or_default();
            if compare {
                self.compare(topic, at.offset, decided.remove(&topic).unwrap_or_default(), committed);
            }
        }
        Ok(())
    }

    /// Whether this build decided at an offset.
    fn is_own(&mut self, offset: i64) -> bool {
        while self.marks.range(..=offset).nth(1).is_some() {
            self.marks.pop_first();
        }
        let before = self.marks.range(..=offset).next_back();
        if let Some((_, is_own)) = before.filter(|(at, _)| **at == offset) {
            return *is_own;
        }
        let after = self.marks.range(offset..).next();
        before.is_none_or(|(_, is_own)| *is_own) && after.is_none_or(|(_, is_own)| *is_own)
    }

    /// Takes a record with what another build decided at it.
    fn follow(&mut self, at: JournalPosition, record: &JournalRecord, compare: bool) {
        let mut decisions = Vec::new();
        for topic in OutputTopic::ALL {
            let committed = self.log.remove(&(topic, at.offset)).unwrap_or_default();
            let logged = committed.iter().filter_map(|one| logged(&self.codec, topic, &one.key, &one.payload));
            decisions.extend(logged.map(|(_, decision)| decision));
            if compare {
                self.tally.entry(topic).or_default().not_comparable += committed.len() as u64;
            }
        }
        self.controller.apply(at, record, Authority::Log(&decisions));
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
            sum.take(tally);
        }
        sum
    }

    /// The first difference so far.
    pub fn first(&self) -> Option<&Difference> {
        self.first.as_ref()
    }

    fn compare(&mut self, topic: OutputTopic, offset: i64, mut decided: Vec<Wire>, committed: Vec<Committed>) {
        let tally = self.tally.entry(topic).or_default();
        if topic == OutputTopic::DesiredState {
            let before = decided.len();
            let is_there = |key: &[u8]| committed.iter().any(|one| one.key == key);
            decided.retain(|one| {
                let key = one.key.as_bytes();
                is_there(key) || self.newest.get(key).is_none_or(|newest| *newest <= offset)
            });
            tally.superseded += (before - decided.len()) as u64;
        }
        let both = decided.len().max(committed.len());
        let (mut decided, mut committed) = (decided.into_iter(), committed.into_iter());
        for _ in 0..both {
            let replayed = decided.next().map(|one| one.payload);
            let committed = committed.next().map(|record| record.payload);
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

/// The decision that a committed record is, and the journal offset that it names; `None` for KPI rows, which are no facts of
/// the ledger, and for what does not decode.
pub fn logged(codec: &Codec, topic: OutputTopic, key: &[u8], payload: &[u8]) -> Option<(i64, LoggedDecision)> {
    Some(match topic {
        OutputTopic::Adjustments => {
            let command = codec.adjustment(payload).ok()?;
            (command.explanation.journal_offset, LoggedDecision::Adjustment(Box::new(command)))
        }
        OutputTopic::Proposals => {
            let proposal = codec.adjustment(payload).ok()?;
            (proposal.explanation.journal_offset, LoggedDecision::Proposal(Box::new(proposal)))
        }
        OutputTopic::DesiredState => {
            let state = codec.desired_state(payload).ok()?;
            let key = String::from_utf8_lossy(key).into_owned();
            (state.journal_offset, LoggedDecision::Desired(key, Box::new(state)))
        }
        OutputTopic::Alerts => {
            let alert = codec.alert(payload).ok()?;
            (alert.journal_offset, LoggedDecision::Alert(Box::new(alert)))
        }
        OutputTopic::Kpis => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use controller::{Outputs, Setup};
    use model::fact::{CampaignSpec, Fact};
    use model::journal::{CopiedFact, Delta, NO_TOUCH, Range};
    use model::time::{MINUTE_MS, Millis};

    const START: Millis = 1_767_571_200_000;
    const MINUTES: i64 = 300;
    /// Since then the other build is this one.
    const UPGRADE: i64 = 150;

    fn setup(build: &str) -> Setup {
        Setup { build: build.into(), input_partitions: 1, ..Setup::default() }
    }

    /// A minute of a campaign that spends far too fast.
    fn cut(minute: i64) -> (JournalPosition, JournalRecord) {
        let now = START + minute * MINUTE_MS + 30_000;
        let spec = CampaignSpec {
            campaign_id: "one".into(),
            account_id: "acme".into(),
            version: 1,
            channel: "search".into(),
            status: "active".into(),
            time_zone: "UTC".into(),
            currency: "EUR".into(),
            daily_budget_micros: Some(30_000_000),
            daily_cap: "hard".into(),
            bid_control: "paceline".into(),
            bid_strategy: "max_clicks".into(),
            spend_source: "events".into(),
            bid_micros: 100_000,
            bid_min_micros: 10_000,
            bid_max_micros: 1_000_000,
            mode: "auto".into(),
            ..CampaignSpec::default()
        };
        let record = Fact::CampaignSpec(Box::new(spec));
        let told = CopiedFact { topic: "ads.campaigns".into(), partition: 0, offset: 0, timestamp: now, record };
        let range = Range { topic: "ads.clicks".into(), from: minute, to: minute + 1, ..Range::default() };
        let delta = Delta {
            account: 1,
            campaign: 3,
            currency: 2,
            minute: now.div_euclid(MINUTE_MS),
            touch_minute: NO_TOUCH,
            impressions: 50,
            clicks: 2,
            billable: 2,
            spend_micros: 60_000,
            ..Delta::default()
        };
        let record = JournalRecord {
            epoch: minute,
            parts: 1,
            clock: now,
            ranges: vec![Range { watermark: now, epoch: minute, ..range }],
            dictionary: ["", "acme", "EUR", "one"].map(str::to_owned).to_vec(),
            deltas: vec![delta],
            facts: if minute == 0 { vec![told] } else { Vec::new() },
            ..JournalRecord::default()
        };
        (JournalPosition { offset: minute, timestamp_ms: now }, record)
    }

    type Log = Vec<(OutputTopic, Committed)>;

    fn written(log: &mut Log, build: &str, at: i64, outputs: &Outputs) {
        for one in wire(&Codec::fixed(), outputs).unwrap() {
            let (build, key) = (build.to_owned(), one.key.into_bytes());
            log.push((one.topic, Committed { journal_offset: at, build, key, payload: one.payload }));
        }
    }

    /// What a service commits that is upgraded in between: the older build holds every second command back.
    fn upgraded() -> Log {
        let (mut log, mut old) = (Log::new(), Controller::new(setup("old")));
        for (at, record) in (0..UPGRADE).map(cut) {
            let mut outputs = old.apply(at, &record, Authority::Decide);
            if at.offset % 2 == 1 {
                outputs = Outputs { kpis: outputs.kpis, ..Outputs::default() };
            }
            written(&mut log, "old", at.offset, &outputs);
        }
        // The next build takes the log for what was decided, as a start does.
        let mut new = Controller::new(setup("new"));
        for (at, record) in (0..MINUTES).map(cut) {
            if at.offset < UPGRADE {
                let own = log.iter().filter(|(_, one)| one.journal_offset == at.offset);
                let decisions: Vec<LoggedDecision> = own
                    .filter_map(|(topic, one)| Some(logged(&Codec::fixed(), *topic, &one.key, &one.payload)?.1))
                    .collect();
                new.apply(at, &record, Authority::Log(&decisions));
            } else {
                let outputs = new.apply(at, &record, Authority::Decide);
                written(&mut log, "new", at.offset, &outputs);
            }
        }
        log
    }

    fn verified(log: &Log) -> Tally {
        let mut verifier = Verifier::new(&Codec::fixed(), "new", Controller::new(setup("new")));
        log.iter().for_each(|(topic, one)| verifier.committed(*topic, one.clone()));
        (0..MINUTES).map(cut).for_each(|(at, record)| verifier.journal(at, &record, true).unwrap());
        verifier.settle(MINUTES, 0);
        verifier.tally()
    }

    #[test]
    fn after_an_upgrade_the_new_build_is_compared_from_what_the_old_one_left() {
        let log = upgraded();
        let of = |build: &str| log.iter().filter(|(_, one)| one.build == build).count() as u64;
        assert!(log.iter().any(|(topic, one)| *topic == OutputTopic::Adjustments && one.build == "new"));
        let tally = verified(&log);
        assert_eq!((tally.different, tally.not_comparable), (0, of("old")), "{tally:?}");
        assert_eq!(tally.equal, of("new"));
    }

    #[test]
    fn a_command_whose_build_was_altered_is_a_difference() {
        let mut log = upgraded();
        let is_command =
            |(topic, one): &(OutputTopic, Committed)| *topic == OutputTopic::Adjustments && one.build == "new";
        let at = log.iter().position(is_command).unwrap();
        let codec = Codec::fixed();
        let mut command = codec.adjustment(&log[at].1.payload).unwrap();
        command.explanation.build = "mew".into();
        log[at].1.payload = codec.encode(OutputTopic::Adjustments.record_name(), &command).unwrap();
        log[at].1.build = "mew".into();
        assert_eq!(verified(&log).different, 1);
    }

    #[test]
    fn desired_states_that_compaction_took_are_superseded_and_the_newest_is_missed() {
        let log = upgraded();
        let is_state = |one: &(OutputTopic, Committed)| one.0 == OutputTopic::DesiredState && one.1.build == "new";
        let states: Vec<usize> = (0..log.len()).filter(|at| is_state(&log[*at])).collect();
        let newest = |at: &&usize| !log[**at + 1..].iter().any(|one| is_state(one) && one.1.key == log[**at].1.key);
        let last: Vec<usize> = states.iter().filter(newest).copied().collect();
        let without = |gone: &dyn Fn(usize) -> bool| -> Log {
            (0..log.len()).filter(|at| !gone(*at)).map(|at| log[at].clone()).collect()
        };
        let compacted = verified(&without(&|at| states.contains(&at) && !last.contains(&at)));
        assert_eq!((compacted.different, compacted.superseded), (0, (states.len() - last.len()) as u64));
        assert!(compacted.superseded > 0);
        assert_eq!(verified(&without(&|at| at == last[0])).different, 1, "the newest of a key stays for ever");
    }
}
