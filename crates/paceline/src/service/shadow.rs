//! The shadow verifier: decides a second time what the controller decided, from the broker's own copy of the journal,
//! and compares with what was committed, byte for byte, for as long as the service runs.
//!
//! What always holds: it reads and counts, and nothing waits for it; a trouble of its own ends or delays it alone. It
//! starts, for each journal partition, from the state in which the controller itself begins to decide, and compares
//! records behind the committed position only. It takes at most a fifth of a core ([`SHARE`]), and memory for a second
//! state: campaigns are shared until one of the two changes them. After a difference a partition is left alone, because
//! its state is no longer the controller's, and the difference stays counted until the next take-over.
//!
//! What is missing on purpose: what was decided before the take-over (`paceline verify` reads the journal from its
//! beginning), and any influence on what is published: a person looks.

use super::context::Context;
use crate::commands::history::stamp;
use crate::failure::{Failure, Outcome};
use crate::telemetry::Metrics;
use avro_codec::Codec;
use controller::{Controller, JournalPosition};
use kafka_io::{From, LogReader, TopicPartition, Until};
use model::journal::JournalRecord;
use model::time::Millis;
use replay::{Committed, OutputTopic, Tally, Verifier};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Between two turns; where a turn is long, [`SHARE`] says it.
const EVERY: Duration = Duration::from_secs(2);
/// A turn is followed by a rest of so many times its length: at most a fifth of a core.
const SHARE: u32 = 4;
/// Decisions of one topic taken in one turn: bounds memory, where the shadow is far behind.
const DECISIONS_MAX: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);
/// Orders that may wait: a take-over gives one for each partition.
const ORDERS_MAX: usize = 2_048;

/// The controller's way to its shadow.
#[derive(Default)]
pub struct Shadow {
    orders: Option<SyncSender<Order>>,
    /// Partitions taken over whose first decision is still to come, with the ends of the output topics.
    waiting: BTreeMap<i32, Positions>,
}

/// Next offsets of the output topics.
type Positions = BTreeMap<OutputTopic, i64>;

enum Order {
    Follow(Box<Follower>),
    LeaveAll,
}

impl Shadow {
    /// Starts the thread where the settings ask for it.
    pub fn start(context: &Context) -> Outcome<Self> {
        if !context.settings.verify_shadow {
            return Ok(Self::default());
        }
        let (sender, receiver) = sync_channel(ORDERS_MAX);
        let context = context.clone();
        let started = std::thread::Builder::new().name("shadow".into()).spawn(move || work(&context, &receiver));
        started.map_err(|error| Failure::failed(format!("cannot start the shadow verifier: {error}"), ""))?;
        Ok(Self { orders: Some(sender), waiting: BTreeMap::new() })
    }

    /// Partitions were taken over: whatever is decided from now on lies behind these ends of the output topics.
    pub fn taken_over(&mut self, context: &Context, places: &[TopicPartition]) -> Outcome {
        if self.orders.is_none() {
            return Ok(());
        }
        self.leave();
        let reader = context.reader("shadow-ends", PATIENCE)?;
        for place in places {
            let ends = OutputTopic::ALL.map(|topic| {
                let end = reader.watermarks(context.settings.topics.output(topic), place.partition);
                end.map(|(_, high)| (topic, high))
            });
            self.waiting.insert(place.partition, ends.into_iter().collect::<Result<_, _>>()?);
        }
        Ok(())
    }

    /// The controller is about to decide in this partition, and stands at this state.
    pub fn decides(&mut self, context: &Context, partition: i32, controller: &Controller) {
        let Some(positions) = self.waiting.remove(&partition) else { return };
        let follower = Follower::new(&context.codec, &context.build, partition, controller.clone(), positions);
        self.order(Order::Follow(Box::new(follower)));
    }

    /// Partitions were given away.
    pub fn leave(&mut self) {
        self.waiting.clear();
        self.order(Order::LeaveAll);
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders
            && orders.try_send(order).is_err()
        {
            tracing::warn!("the shadow verifier has ended or is too far behind: it does not follow");
        }
    }
}

fn work(context: &Context, orders: &Receiver<Order>) {
    let mut followers: BTreeMap<i32, Follower> = BTreeMap::new();
    let mut logs: Option<Broker<'_>> = None;
    let mut rest = EVERY;
    loop {
        match orders.recv_timeout(rest) {
            Ok(Order::Follow(follower)) => {
                followers.insert(follower.partition, *follower);
                rest = Duration::ZERO;
                continue;
            }
            Ok(Order::LeaveAll) => {
                followers.clear();
                tell(&context.metrics, &followers, None);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if context.stop.is_asked() {
            return;
        }
        let started = Instant::now();
        let turned = match logs.take().map_or_else(|| Broker::open(context), Ok) {
            Ok(mut open) => {
                let turned = turn(&mut followers, &mut open, &context.metrics);
                logs = turned.is_ok().then_some(open);
                turned
            }
            Err(failure) => Err(failure),
        };
        match turned {
            Ok(true) if !followers.is_empty() => {
                tell(&context.metrics, &followers, Some(context.clock.now_ms()));
            }
            Ok(_) => tell(&context.metrics, &followers, None),
            Err(failure) => tracing::warn!(%failure, "the shadow verifier cannot read; it tries again"),
        }
        rest = EVERY.max(started.elapsed() * SHARE);
    }
}

/// One look at every partition; `true` where nothing that was committed is left to compare.
fn turn(followers: &mut BTreeMap<i32, Follower>, logs: &mut impl Logs, metrics: &Metrics) -> Outcome<bool> {
    let partitions: Vec<i32> = followers.keys().copied().collect();
    // Asked before the decisions are read: what is committed meanwhile belongs to the next turn.
    let decided = logs.decided_to(&partitions)?;
    let mut is_level = true;
    for follower in followers.values_mut().filter(|follower| !follower.has_parted) {
        if let Some(until) = decided.get(&follower.partition) {
            is_level &= follower.follow(*until, logs, metrics)?;
        }
    }
    Ok(is_level)
}

fn tell(metrics: &Metrics, followers: &BTreeMap<i32, Follower>, level_at_ms: Option<Millis>) {
    let parted = followers.values().filter(|follower| follower.has_parted).count() as i64;
    metrics.shadow_partitions.with_label_values(&["different"]).set(parted);
    metrics.shadow_partitions.with_label_values(&["followed"]).set(followers.len() as i64 - parted);
    match level_at_ms {
        Some(at) => metrics.shadow_verified.set(at as f64 / 1e3),
        None if followers.is_empty() => metrics.shadow_verified.set(0.0),
        None => {}
    }
}

/// What a shadow reads.
trait Logs {
    /// The committed position of each partition: records before it are decided, and their decisions are committed.
    fn decided_to(&mut self, partitions: &[i32]) -> Outcome<BTreeMap<i32, i64>>;

    /// Committed decisions from an offset of their topic on, at most so many; the next offset, and whether the end was
    /// reached.
    fn decisions(
        &mut self,
        topic: OutputTopic,
        partition: i32,
        from: i64,
        most: usize,
        show: &mut dyn FnMut(Committed),
    ) -> Outcome<(i64, bool)>;

    /// The journal between two offsets.
    fn journal(&mut self, partition: i32, from: i64, until: i64, show: &mut Show<'_>) -> Outcome;
}

type Show<'a> = dyn FnMut(JournalPosition, &JournalRecord) -> Outcome + 'a;

/// One journal partition that is followed.
struct Follower {
    partition: i32,
    verifier: Verifier,
    begun_at: i64,
    positions: Positions,
    counted: Tally,
    has_parted: bool,
}

impl Follower {
    fn new(codec: &Codec, build: &str, partition: i32, controller: Controller, positions: Positions) -> Self {
        let begun_at = controller.next_offset();
        let verifier = Verifier::new(codec, build, controller);
        Self { partition, verifier, begun_at, positions, counted: Tally::default(), has_parted: false }
    }

    /// Decides again up to an offset and compares; `false` where something is left for the next turn.
    fn follow(&mut self, decided_to: i64, logs: &mut impl Logs, metrics: &Metrics) -> Outcome<bool> {
        let until = self.read_decisions(decided_to, logs)?;
        let from = self.verifier.next_offset();
        let mut parted = false;
        if from < until {
            let verifier = &mut self.verifier;
            logs.journal(self.partition, from, until, &mut |at, record| {
                // What follows a difference differs for its sake.
                if parted {
                    return Ok(());
                }
                verifier.journal(at, record, true).map_err(|error| {
                    Failure::failed(
                        format!("encoding a replayed decision: {error}"),
                        "this is a defect; please report it",
                    )
                })?;
                parted = verifier.tally().different > 0;
                Ok(())
            })?;
        }
        // Where the journal is quiet, too: another program may have added a decision to what was compared already.
        if !parted {
            self.verifier.settle(until, self.begun_at);
        }
        count(metrics, &mut self.counted, self.verifier.tally());
        self.part();
        Ok(until >= decided_to)
    }

    /// Takes decisions in; gives the journal offset before which all of them are in.
    fn read_decisions(&mut self, decided_to: i64, logs: &mut impl Logs) -> Outcome<i64> {
        let mut until = decided_to;
        for (topic, position) in &mut self.positions {
            let mut last = None;
            let verifier = &mut self.verifier;
            let (next, is_end) =
                logs.decisions(*topic, self.partition, *position, DECISIONS_MAX, &mut |committed| {
                    last = Some(committed.journal_offset);
                    verifier.committed(*topic, committed);
                })?;
            *position = next;
            // Decisions lie in the order of their journal offsets; of the last one there may be more.
            until = if is_end { until } else { until.min(last.unwrap_or(i64::MIN)) };
        }
        Ok(until)
    }

    fn part(&mut self) {
        let Some(first) = self.verifier.first().filter(|_| !self.has_parted) else { return };
        self.has_parted = true;
        tracing::error!(
            partition = self.partition,
            journal_offset = first.journal_offset,
            topic = ?first.topic,
            "a committed decision is not what the journal leads to; `paceline verify` shows both sides"
        );
    }
}

fn count(metrics: &Metrics, counted: &mut Tally, now: Tally) {
    let results = [
        ("equal", now.equal, counted.equal),
        ("different", now.different, counted.different),
        ("not_comparable", now.not_comparable, counted.not_comparable),
    ];
    for (result, now, before) in results {
        metrics.shadow_records.with_label_values(&[result]).inc_by(now.saturating_sub(before));
    }
    *counted = now;
}

/// The broker's logs.
struct Broker<'a> {
    context: &'a Context,
    reader: LogReader,
}

impl<'a> Broker<'a> {
    fn open(context: &'a Context) -> Outcome<Self> {
        let stop = context.stop.clone();
        let reader = LogReader::open(&context.connection("shadow"), PATIENCE)?.stop_when(move || stop.is_asked());
        Ok(Self { context, reader })
    }
}

impl Logs for Broker<'_> {
    fn decided_to(&mut self, partitions: &[i32]) -> Outcome<BTreeMap<i32, i64>> {
        let settings = &self.context.settings;
        let places: Vec<TopicPartition> = partitions
            .iter()
            .map(|partition| TopicPartition::new(settings.topics.journal.as_str(), *partition))
            .collect();
        if places.is_empty() {
            return Ok(BTreeMap::new());
        }
        let committed = self.reader.committed(&format!("{}-controller", settings.group), &places)?;
        Ok(committed.into_iter().map(|(place, (offset, _))| (place.partition, offset)).collect())
    }

    fn decisions(
        &mut self,
        topic: OutputTopic,
        partition: i32,
        from: i64,
        most: usize,
        show: &mut dyn FnMut(Committed),
    ) -> Outcome<(i64, bool)> {
        let (mut next, mut left) = (from, most);
        let name = self.context.settings.topics.output(topic);
        let report = self.reader.read(name, partition, From::Offset(from), Until::StableEnd, |record| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            next = record.offset + 1;
            let payload = record.payload.unwrap_or_default();
            if let Some((journal_offset, build)) = stamp(&self.context.codec, topic, payload) {
                let key = record.key.unwrap_or_default().to_vec();
                show(Committed { journal_offset, build, key, payload: payload.to_vec() });
            }
            ControlFlow::Continue(())
        })?;
        Ok(if report.is_stopped { (next, false) } else { (report.next_offset.max(next), true) })
    }

    fn journal(&mut self, partition: i32, from: i64, until: i64, show: &mut Show<'_>) -> Outcome {
        let topic = &self.context.settings.topics.journal;
        let mut result = Ok(());
        self.reader.read(topic, partition, From::Offset(from), Until::Offset(until), |record| {
            let at = JournalPosition { offset: record.offset, timestamp_ms: record.timestamp_ms };
            result = match self.context.codec.journal(record.payload.unwrap_or_default()) {
                Ok(journal) => show(at, &journal),
                Err(rejected) => Err(Failure::failed(
                    format!("record {} of {topic}/{partition} does not decode: {}", record.offset, rejected.detail),
                    "only Paceline may write this topic",
                )),
            };
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use controller::{Authority, Setup};
    use model::fact::{CampaignSpec, Fact};
    use model::journal::{CopiedFact, Delta, NO_TOUCH, Range};
    use model::time::MINUTE_MS;
    use replay::wire;

    const START: Millis = 1_767_571_200_000;

    /// What a service would have left on the broker.
    #[derive(Default)]
    struct Recorded {
        journal: Vec<(JournalPosition, JournalRecord)>,
        decisions: BTreeMap<OutputTopic, Vec<Committed>>,
        decided_to: i64,
    }

    impl Logs for Recorded {
        fn decided_to(&mut self, partitions: &[i32]) -> Outcome<BTreeMap<i32, i64>> {
            Ok(partitions.iter().map(|partition| (*partition, self.decided_to)).collect())
        }

        fn decisions(
            &mut self,
            topic: OutputTopic,
            _: i32,
            from: i64,
            most: usize,
            show: &mut dyn FnMut(Committed),
        ) -> Outcome<(i64, bool)> {
            let all = self.decisions.get(&topic).map_or(&[][..], Vec::as_slice);
            let new = &all[(from as usize).min(all.len())..];
            let shown = new.len().min(most);
            new[..shown].iter().cloned().for_each(show);
            Ok((from + shown as i64, shown == new.len()))
        }

        fn journal(&mut self, _: i32, from: i64, until: i64, show: &mut Show<'_>) -> Outcome {
            let wanted = self.journal.iter().filter(|(at, _)| (from..until).contains(&at.offset));
            wanted.clone().try_for_each(|(at, record)| show(*at, record))
        }
    }

    fn setup() -> Setup {
        Setup { build: "test".into(), input_partitions: 1, ..Setup::default() }
    }

    /// Some hours of a campaign that spends far too fast, and what a controller decides of them.
    fn recorded(minutes: i64) -> Recorded {
        let (codec, mut controller, mut recorded) = (Codec::fixed(), Controller::new(setup()), Recorded::default());
        for minute in 0..minutes {
            let (at, record) = cut(minute);
            for one in wire(&codec, &controller.apply(at, &record, Authority::Decide)).unwrap() {
                let (journal_offset, key) = (at.offset, one.key.into_bytes());
                let committed = Committed { journal_offset, build: "test".into(), key, payload: one.payload };
                recorded.decisions.entry(one.topic).or_default().push(committed);
            }
            recorded.journal.push((at, record));
        }
        recorded.decided_to = minutes;
        recorded
    }

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
            daily_budget_micros: Some(10_000_000),
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
        let range = Range {
            topic: "ads.clicks".into(),
            from: minute,
            to: minute + 1,
            watermark: now,
            epoch: minute,
            ..Range::default()
        };
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
            ranges: vec![range],
            dictionary: ["", "acme", "EUR", "one"].map(str::to_owned).to_vec(),
            deltas: vec![delta],
            facts: if minute == 0 { vec![told] } else { Vec::new() },
            ..JournalRecord::default()
        };
        (JournalPosition { offset: minute, timestamp_ms: now }, record)
    }

    fn followers(logs: &Recorded, from: i64) -> BTreeMap<i32, Follower> {
        let mut controller = Controller::new(setup());
        for (at, record) in logs.journal.iter().filter(|(at, _)| at.offset < from) {
            controller.apply(*at, record, Authority::Decide);
        }
        let positions = OutputTopic::ALL.map(|topic| (topic, 0)).into();
        BTreeMap::from([(0, Follower::new(&Codec::fixed(), "test", 0, controller, positions))])
    }

    fn counted(metrics: &Metrics, result: &str) -> u64 {
        metrics.shadow_records.with_label_values(&[result]).get()
    }

    #[test]
    fn what_a_service_commits_is_equal_turn_by_turn_from_where_it_was_taken_over() {
        let (mut logs, metrics) = (recorded(600), Metrics::new());
        let mut followers = followers(&logs, 100);
        let commands = logs.decisions[&OutputTopic::Adjustments].len();
        assert!(commands > 3, "{commands} commands");
        for until in [100, 250, 600] {
            logs.decided_to = until;
            assert!(turn(&mut followers, &mut logs, &metrics).unwrap());
        }
        let expected = logs.decisions.values().flatten().filter(|one| one.journal_offset >= 100).count() as u64;
        assert_eq!(counted(&metrics, "equal"), expected);
        assert_eq!(counted(&metrics, "different"), 0);
        tell(&metrics, &followers, Some(7_000));
        let text = metrics.text();
        assert!(text.contains("paceline_shadow_partitions{state=\"followed\"} 1"), "{text}");
        assert!(text.contains("paceline_shadow_verified_timestamp_seconds 7"), "{text}");
    }

    #[test]
    fn one_altered_byte_of_one_command_is_counted_and_the_partition_is_left() {
        let (mut logs, metrics) = (recorded(600), Metrics::new());
        let mut followers = followers(&logs, 0);
        let command = &mut logs.decisions.get_mut(&OutputTopic::Adjustments).unwrap()[1];
        let (at, last) = (command.journal_offset, command.payload.len() - 1);
        command.payload[last] ^= 1;
        turn(&mut followers, &mut logs, &metrics).unwrap();
        assert_eq!(counted(&metrics, "different"), 1);
        assert_eq!(followers[&0].verifier.first().unwrap().journal_offset, at);
        tell(&metrics, &followers, None);
        assert!(metrics.text().contains("paceline_shadow_partitions{state=\"different\"} 1"));
        turn(&mut followers, &mut logs, &metrics).unwrap();
        assert_eq!(counted(&metrics, "different"), 1, "it is told once");
    }

    #[test]
    fn a_command_that_another_program_adds_to_a_quiet_partition_is_a_difference() {
        let (mut logs, metrics) = (recorded(600), Metrics::new());
        let mut followers = followers(&logs, 0);
        assert!(turn(&mut followers, &mut logs, &metrics).unwrap());
        assert_eq!(counted(&metrics, "different"), 0);
        let commands = logs.decisions.get_mut(&OutputTopic::Adjustments).unwrap();
        commands.push(commands[0].clone());
        turn(&mut followers, &mut logs, &metrics).unwrap();
        assert_eq!(counted(&metrics, "different"), 1);
        assert_eq!(followers[&0].verifier.first().unwrap().replayed, None, "nothing led to it");
    }

    #[test]
    fn a_command_that_nothing_led_to_and_one_that_is_missing_are_differences() {
        for is_missing in [true, false] {
            let (mut logs, metrics) = (recorded(600), Metrics::new());
            let mut followers = followers(&logs, 0);
            let commands = logs.decisions.get_mut(&OutputTopic::Adjustments).unwrap();
            if is_missing {
                commands.remove(1);
            } else {
                let forged = Committed { journal_offset: commands[1].journal_offset - 1, ..commands[1].clone() };
                commands.insert(1, forged);
            }
            turn(&mut followers, &mut logs, &metrics).unwrap();
            assert!(counted(&metrics, "different") > 0, "missing: {is_missing}");
        }
    }
}
