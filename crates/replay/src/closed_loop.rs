//! The service without its cluster: a simulated market, both stages, and an ad buyer that obeys, in virtual time.
//!
//! What always holds: the state machines are those of the service; one cut every [`CUT_MS`]; equal scenario, seed and
//! facts give equal commands, byte for byte. Missing on purpose: Kafka's delays but for [`Delays`], kills, rebalances
//! (the stories over a real broker have them), more than one worker and one journal partition.

use aggregator::{CutEnd, EpochSums, Identity, RecordMeta, Semantics, SiblingSet};
use controller::{Authority, Controller, JournalPosition, Outputs, Setup};
use market::{Emitted, Market, Record, Scenario};
use model::event::{Event, EventKind, Goal, Touch};
use model::fact::{Fact, PolicyVersion};
use model::journal::{CopiedFact, JournalRecord, NO_WATERMARK, Range};
use model::keyed::KeyedHasher;
use model::time::{Millis, SECOND_MS};
use std::collections::{BTreeMap, VecDeque};

/// Time between two cuts: short beside the market's own delays, long enough that a month takes seconds.
pub const CUT_MS: Millis = 10 * SECOND_MS;

/// Sees what the loop does, as it does it.
pub trait Watch {
    /// A journal record, before anything is decided of it.
    fn journal(&mut self, _at: JournalPosition, _record: &JournalRecord) {}

    /// What the market has billed by `now`, before anything is decided then.
    fn billed(&mut self, _now: Millis, _spend_micros: i64) {}

    /// What one journal record led to, at `now`.
    fn outputs(&mut self, now: Millis, outputs: &Outputs);
}

/// Looks at nothing.
impl Watch for () {
    fn outputs(&mut self, _now: Millis, _outputs: &Outputs) {}
}

/// How late the service sees what happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// Events reach the topics so long after they happened.
    pub feed_ms: Millis,
    /// Spans, in order, in which none does; what happens in one is told at its end.
    pub dead: Vec<(Millis, Millis)>,
}

impl Delays {
    /// When an event of `at` reaches its topic.
    fn told_at(&self, at: Millis) -> Millis {
        let dead = self.dead.iter().find(|(from, to)| (*from..*to).contains(&at));
        dead.map_or(at, |(_, to)| *to).saturating_add(self.feed_ms)
    }
}

/// A running loop.
pub struct ClosedLoop {
    market: Market,
    delays: Delays,
    set: SiblingSet,
    sums: EpochSums,
    next_offset: [i64; 3],
    /// When each topic last brought something.
    newest_ms: [Millis; 3],
    late: VecDeque<Kept>,
    controller: Controller,
    journal_offset: i64,
    cuts: i64,
    controls: BTreeMap<&'static str, i64>,
    waiting: Vec<(&'static str, Fact)>,
}

/// An event on its way to the topic.
struct Kept {
    due_ms: Millis,
    record: market::OwnedRecord,
}

/// As the service says it by default.
const IDLE_AFTER_MS: Millis = 5 * SECOND_MS;
const TOPICS: [&str; 3] = ["ads.impressions", "ads.clicks", "ads.conversions"];

impl ClosedLoop {
    /// A loop at the market's first instant: its specifications and `policy` are the first facts.
    pub fn new(scenario: Scenario, seed: u64, policy: Option<PolicyVersion>, delays: Delays) -> Self {
        let specs = scenario.specs().into_iter().map(|spec| ("ads.campaigns", Fact::CampaignSpec(Box::new(spec))));
        let policy = policy.map(|version| ("paceline.policy", Fact::PolicyVersion(Box::new(version))));
        let waiting = policy.into_iter().chain(specs).collect();
        let identity = Identity {
            partitions: 1,
            worker: "simulation".into(),
            build: "simulation".into(),
            topics: TOPICS.map(str::to_owned),
            ..Identity::default()
        };
        let setup = Setup { build: "simulation".into(), input_partitions: 1, ..Setup::default() };
        Self {
            market: Market::new(scenario, seed),
            delays,
            set: SiblingSet::new(identity, KeyedHasher::new(b"simulation"), Semantics::default()),
            sums: EpochSums::new(),
            next_offset: [0; 3],
            newest_ms: [0; 3],
            late: VecDeque::new(),
            controller: Controller::new(setup),
            journal_offset: 0,
            cuts: 0,
            controls: BTreeMap::new(),
            waiting,
        }
    }

    /// The market as it stands.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// The market, to act as a person in the buyer's own tool.
    pub fn market_mut(&mut self) -> &mut Market {
        &mut self.market
    }

    /// The controller as it stands.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// A fact for the next cut, as if it were read from `topic`.
    pub fn tell(&mut self, topic: &'static str, fact: Fact) {
        self.waiting.push((topic, fact));
    }

    /// Goes on until `until`, in whole cuts.
    pub fn run(&mut self, until: Millis, watch: &mut impl Watch) {
        while self.market.now() < until {
            self.cut(watch);
        }
    }

    fn cut(&mut self, watch: &mut impl Watch) {
        let now = self.market.now().saturating_add(CUT_MS);
        self.set.open(now);
        self.read(now);
        let feedback = self.market.take_feedback(now);
        self.waiting.extend(feedback.into_iter().map(|fact| ("ads.feedback", fact)));
        let context = self.market.take_context(now);
        self.waiting.extend(context.into_iter().map(|fact| ("ads.context", fact)));
        let record = self.close(now);
        let at = JournalPosition { offset: self.journal_offset, timestamp_ms: now };
        self.journal_offset += 1;
        watch.journal(at, &record);
        watch.billed(now, self.market.spend_micros());
        let outputs = self.controller.apply(at, &record, Authority::Decide);
        let buyer = self.market.buyer_mut();
        outputs.adjustments.iter().for_each(|command| buyer.receive(command, now));
        outputs.desired.iter().for_each(|(_, state)| buyer.receive_desired(state, now));
        watch.outputs(now, &outputs);
    }

    /// Lets the market go on and folds what has reached the topics.
    fn read(&mut self, now: Millis) {
        let before = self.next_offset;
        self.read_up_to(now);
        for (newest, (next, before)) in self.newest_ms.iter_mut().zip(self.next_offset.iter().zip(before)) {
            if *next > before {
                *newest = now;
            }
        }
    }

    fn read_up_to(&mut self, now: Millis) {
        let Self { market, delays, set, next_offset, late, .. } = self;
        if delays.feed_ms == 0 && delays.dead.is_empty() {
            market.advance(now, &mut |emitted: Emitted<'_>| {
                fold(set, next_offset, event_of(&emitted.record), emitted.arrived_at);
            });
            return;
        }
        market.advance(now, &mut |emitted: Emitted<'_>| {
            late.push_back(Kept { due_ms: delays.told_at(emitted.arrived_at), record: emitted.record.to_owned() });
        });
        let due = late.partition_point(|kept| kept.due_ms <= now);
        for kept in late.drain(..due) {
            fold(set, next_offset, event_of(&kept.record.as_record()), kept.due_ms);
        }
    }

    fn close(&mut self, now: Millis) -> JournalRecord {
        // A feed that is late has declared its period, and is idle after it only.
        let idle = self.newest_ms.map(|newest| now.saturating_sub(newest) >= IDLE_AFTER_MS + self.delays.feed_ms);
        let end = CutEnd { to: self.next_offset, idle, next_semantics: None, lag_records: 0 };
        let closed = self.set.close(end, &mut self.sums).expect("an open epoch whose positions only rise closes");
        let sums = self.sums.drain(1).into_iter().next().unwrap_or_default();
        let mut ranges = closed.epoch.ranges;
        let mut counts: BTreeMap<&'static str, i64> = self.controls.keys().map(|topic| (*topic, 0)).collect();
        let facts: Vec<CopiedFact> = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(topic, record)| {
                let count = counts.entry(topic).or_default();
                let offset = self.controls.get(topic).copied().unwrap_or_default() + *count;
                *count += 1;
                CopiedFact { topic: topic.into(), partition: 0, offset, timestamp: now, record }
            })
            .collect();
        for (topic, count) in counts {
            let from = *self.controls.entry(topic).or_default();
            self.controls.insert(topic, from + count);
            let (to, watermark) = (from + count, NO_WATERMARK);
            ranges.push(Range {
                topic: topic.into(),
                partition: 0,
                from,
                to,
                watermark,
                idle: false,
                epoch: self.cuts,
            });
        }
        self.cuts += 1;
        JournalRecord {
            worker: "simulation".into(),
            epoch: self.cuts,
            parts: 1,
            clock: now,
            ranges,
            build: "simulation".into(),
            dictionary: sums.dictionary,
            deltas: sums.deltas,
            marginals: sums.marginals,
            credits: sums.credits,
            paths: sums.paths,
            facts,
            ..JournalRecord::default()
        }
    }
}

fn fold(set: &mut SiblingSet, next_offset: &mut [i64; 3], event: Event<'_>, timestamp_ms: Millis) {
    let kind = match event {
        Event::Impression(_) => EventKind::Impression,
        Event::Click(_) => EventKind::Click,
        Event::Conversion(_) => EventKind::Conversion,
    };
    let offset = &mut next_offset[kind.index()];
    set.fold(kind, RecordMeta { offset: *offset, timestamp_ms, key: None }, Ok(event));
    *offset += 1;
}

macro_rules! touch {
    ($event:expr) => {
        Touch {
            event_id: &$event.event_id,
            event_time: $event.event_time,
            account_id: &$event.account_id,
            campaign_id: &$event.campaign_id,
            creative_id: $event.creative_id.as_deref(),
            channel: &$event.channel,
            device: &$event.device,
            geo: &$event.geo,
            user_key: $event.user_key.as_deref(),
            cost_micros: $event.cost_micros,
            currency: &$event.currency,
            placement: $event.placement.as_deref(),
        }
    };
}

/// The projection that the fold reads of a full record.
fn event_of<'a>(record: &Record<'a>) -> Event<'a> {
    match *record {
        Record::Impression(event) => Event::Impression(touch!(event)),
        Record::Click(event) => Event::Click(touch!(event)),
        Record::Conversion(event) => Event::Conversion(Goal {
            event_id: &event.event_id,
            event_time: event.event_time,
            account_id: &event.account_id,
            user_key: event.user_key.as_deref(),
            click_id: event.click_id.as_deref(),
            conversion_type: &event.conversion_type,
            value_micros: event.value_micros,
            currency: &event.currency,
            campaign_id: event.campaign_id.as_deref(),
        }),
    }
}
