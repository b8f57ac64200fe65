//! Streams of events, cut into epochs and folded.
#![allow(dead_code)] // Each test file uses its part.

pub mod naive;

use aggregator::{Closed, CutEnd, EpochSums, Identity, RecordMeta, Semantics, SiblingSet, StoredChunk, Verdict};
use model::event::{Event, EventKind, Goal, Touch};
use model::keyed::KeyedHasher;
use model::time::Millis;
use std::collections::BTreeMap;

/// Some afternoon; a whole minute.
pub const START: Millis = 1_760_000_040_000;
pub const JOURNAL_PARTITIONS: i32 = 4;

#[derive(Clone, Debug)]
pub struct Record {
    pub kind: EventKind,
    pub offset: i64,
    pub timestamp: Millis,
    pub id: String,
    pub time: Millis,
    pub account: String,
    /// Of a conversion: the claim.
    pub campaign: Option<String>,
    pub user: Option<String>,
    pub click: Option<String>,
    pub money: i64,
}

impl Record {
    pub fn new(kind: EventKind, offset: i64, time: Millis, campaign: &str, user: &str) -> Self {
        Self {
            kind,
            offset,
            timestamp: time,
            id: format!("{kind:?}-{offset}"),
            time,
            account: "acme".to_owned(),
            campaign: (!campaign.is_empty()).then(|| campaign.to_owned()),
            user: (!user.is_empty()).then(|| user.to_owned()),
            click: None,
            money: 1_000,
        }
    }

    pub fn event(&self) -> Event<'_> {
        if self.kind == EventKind::Conversion {
            return Event::Conversion(Goal {
                event_id: &self.id,
                event_time: self.time,
                account_id: &self.account,
                user_key: self.user.as_deref(),
                click_id: self.click.as_deref(),
                conversion_type: "purchase",
                value_micros: self.money,
                currency: "EUR",
                campaign_id: self.campaign.as_deref(),
            });
        }
        let touch = Touch {
            event_id: &self.id,
            event_time: self.time,
            account_id: &self.account,
            campaign_id: self.campaign.as_deref().unwrap_or_default(),
            creative_id: None,
            channel: "search",
            device: "mobile",
            geo: "DE",
            user_key: self.user.as_deref(),
            cost_micros: self.money,
            currency: "EUR",
            placement: None,
        };
        if self.kind == EventKind::Click { Event::Click(touch) } else { Event::Impression(touch) }
    }

    pub fn fold(&self, set: &mut SiblingSet) -> Verdict {
        let meta = RecordMeta { offset: self.offset, timestamp_ms: self.timestamp, key: None };
        set.fold(self.kind, meta, Ok(self.event()))
    }
}

/// One epoch's worth.
#[derive(Clone, Debug)]
pub struct Cut {
    pub clock: Millis,
    /// In the order of arrival.
    pub records: Vec<Record>,
    pub to: [i64; 3],
    pub idle: [bool; 3],
}

impl Cut {
    pub fn end(&self) -> CutEnd {
        CutEnd { to: self.to, idle: self.idle, next_semantics: None, lag_records: 7 }
    }
}

pub fn identity() -> Identity {
    Identity {
        partition: 0,
        partitions: 1,
        worker: "w0".to_owned(),
        build: "test".to_owned(),
        topics: ["ads.impressions", "ads.clicks", "ads.conversions"].map(str::to_owned),
    }
}

pub fn hasher() -> KeyedHasher {
    KeyedHasher::new(b"test")
}

pub fn set(semantics: Semantics) -> SiblingSet {
    SiblingSet::new(identity(), hasher(), semantics)
}

/// Cuts records, ordered by arrival, at the given arrival times; then empty cuts until everything has ripened.
pub fn cuts(records: &[Record], at: &[Millis]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut rest = records;
    let (mut clock, mut to) = (START, [0; 3]);
    let last = records.last().map_or(START, |record| record.timestamp);
    for end in at.iter().copied().filter(|end| *end <= last).chain([Millis::MAX]) {
        let count = rest.partition_point(|record| record.timestamp < end);
        let (now, later) = rest.split_at(count);
        rest = later;
        for record in now {
            to[record.kind.index()] = record.offset + 1;
        }
        cuts.push(Cut { clock, records: now.to_vec(), to, idle: [false; 3] });
        clock = end;
    }
    for step in 1..=5 {
        let clock = last + step * 5_000;
        cuts.push(Cut { clock, records: Vec::new(), to, idle: [true; 3] });
    }
    cuts
}

/// What one epoch left.
pub type Outcome = (Closed, Vec<aggregator::PartitionSums>);

pub fn run_cut(set: &mut SiblingSet, cut: &Cut) -> Outcome {
    set.open(cut.clock);
    for record in &cut.records {
        assert_eq!(record.fold(set), Verdict::Taken, "{record:?}");
    }
    let mut sums = EpochSums::new();
    let closed = set.close(cut.end(), &mut sums).expect("the cut holds what was folded");
    (closed, sums.drain(JOURNAL_PARTITIONS))
}

pub fn run(set: &mut SiblingSet, cuts: &[Cut]) -> Vec<Outcome> {
    cuts.iter().map(|cut| run_cut(set, cut)).collect()
}

pub fn stored(set: &SiblingSet) -> Vec<StoredChunk<'static>> {
    let snapshot = set.snapshot().expect("no epoch is open");
    snapshot.chunks().iter().map(|chunk| chunk.stored()).collect()
}

/// Account, campaign, conversion type, minute, touch minute.
pub type Place = (String, String, String, i64, i64);
/// Impressions, clicks, billable, spend, conversions, value, last conversions and value, linear conversions and value.
pub type Totals = BTreeMap<Place, [i64; 10]>;

/// All deltas of all epochs added up.
pub fn totals(outcomes: &[Outcome]) -> Totals {
    let mut totals = Totals::new();
    for part in outcomes.iter().flat_map(|(_, parts)| parts) {
        for delta in &part.deltas {
            let name = |code: i32| part.dictionary[code as usize].clone();
            let place = (
                name(delta.account),
                name(delta.campaign),
                name(delta.conversion_type),
                delta.minute,
                delta.touch_minute,
            );
            let sums = totals.entry(place).or_default();
            let parts = [
                delta.impressions,
                delta.clicks,
                delta.billable,
                delta.spend_micros,
                delta.conversions,
                delta.value_micros,
                delta.last_conversions_micro,
                delta.last_value_micros,
                delta.linear_conversions_micro,
                delta.linear_value_micros,
            ];
            sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        }
    }
    totals
}
