//! The daily copies: specifications, entities, policies and halts go into the journal again, so that a journal whose
//! beginning retention has taken still tells them.
//!
//! Once a UTC day a thread reads the topics from their beginning; the worker takes what was read, some at a time, into
//! its next cuts. What always holds: a copy carries its own coordinates and moves no position (no range says anything of
//! it); versions make copies of what is known void, and of halts only the last word on each scope is copied.

use super::context::Context;
use crate::failure::Outcome;
use kafka_io::{From, TopicPartition, Until};
use model::fact::{ControlTopic, Fact};
use model::journal::CopiedFact;
use model::time::{DAY_MS, Millis};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(25);
/// Copies that go into one cut: a few hundred kilobytes of specifications.
const COPIES_PER_CUT: usize = 256;
/// Bytes that a cut takes before its last copy: a policy is written to all journal partitions.
const BYTES_PER_CUT: usize = 2_000_000;
/// Copies that wait for the worker; the reading thread waits behind them.
const COPIES_WAITING: usize = 1_024;
/// Topics whose facts are copied again; of feedback only the halts.
pub const COPIED: [ControlTopic; 4] =
    [ControlTopic::Campaigns, ControlTopic::Entities, ControlTopic::Policy, ControlTopic::Feedback];

/// Reads control partitions from their beginning, on a thread of its own.
pub type Reading = Box<dyn FnOnce(Vec<(ControlTopic, TopicPartition)>, SyncSender<Weighed>) + Send>;

/// A copy and the bytes that it adds to the journal.
pub type Weighed = (usize, CopiedFact);

/// When copies are due, and those that wait.
pub struct Recopy {
    day: i64,
    /// Begins a reading.
    read: Box<dyn Fn() -> Reading + Send>,
    waiting: Option<Receiver<Weighed>>,
}

impl Recopy {
    /// Nothing is due before the next UTC day begins.
    pub fn start(context: &Context) -> Self {
        let (context, now_ms) = (context.clone(), context.clock.now_ms());
        Self::with(now_ms, move || {
            let context = context.clone();
            Box::new(move |places, into| {
                if let Err(failure) = read_all(&context, &places, &into) {
                    tracing::warn!(%failure, "the daily copies of specifications are incomplete; the next day's follow");
                }
            })
        })
    }

    fn with(now_ms: Millis, read: impl Fn() -> Reading + Send + 'static) -> Self {
        Self { day: now_ms.div_euclid(DAY_MS), read: Box::new(read), waiting: None }
    }

    /// Copies for the next cut, of the control partitions that this worker owns; none most of the time.
    pub fn due(&mut self, now_ms: Millis, owned: impl Fn() -> Vec<(ControlTopic, TopicPartition)>) -> Vec<CopiedFact> {
        let day = now_ms.div_euclid(DAY_MS);
        if day > self.day {
            self.day = day;
            self.begin(owned());
        }
        let (mut copies, mut taken) = (Vec::new(), 0);
        while let Some(waiting) =
            self.waiting.as_ref().filter(|_| copies.len() < COPIES_PER_CUT && taken < BYTES_PER_CUT)
        {
            match waiting.try_recv() {
                Ok((bytes, copy)) => {
                    taken += bytes;
                    copies.push(copy);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.waiting = None,
            }
        }
        copies
    }

    /// Forgets what waits: its partitions went to others.
    pub fn forget(&mut self) {
        self.waiting = None;
    }

    fn begin(&mut self, owned: Vec<(ControlTopic, TopicPartition)>) {
        let places: Vec<_> = owned.into_iter().filter(|(topic, _)| COPIED.contains(topic)).collect();
        if places.is_empty() {
            return;
        }
        let (into, waiting) = sync_channel(COPIES_WAITING);
        let read = (self.read)();
        match std::thread::Builder::new().name("recopy".into()).spawn(move || read(places, into)) {
            Ok(_) => self.waiting = Some(waiting),
            Err(error) => tracing::warn!(%error, "cannot start the thread of the daily copies"),
        }
    }
}

fn read_all(context: &Context, places: &[(ControlTopic, TopicPartition)], into: &SyncSender<Weighed>) -> Outcome {
    let journal_partitions = usize::try_from(context.settings.journal_partitions).unwrap_or(1);
    // Not the worker's thread: its reading says nothing of a take-over that goes on meanwhile.
    let mut reader = context.reader("recopy", PATIENCE)?.watched_by(|_| {});
    for (topic, place) in places {
        let mut last_words = LastWords::default();
        reader.read(&place.topic, place.partition, From::Earliest, Until::StableEnd, |record| {
            let Some(Ok(fact)) = record.payload.map(|payload| context.codec.fact(*topic, payload)) else {
                return ControlFlow::Continue(());
            };
            let copy = CopiedFact {
                topic: place.topic.to_string(),
                partition: place.partition,
                offset: record.offset,
                timestamp: record.timestamp_ms,
                record: fact,
            };
            let partitions = if copy.record.account_id().is_some() { 1 } else { journal_partitions };
            let weighed = (record.payload.map_or(0, <[u8]>::len) * partitions, copy);
            match last_words.take(weighed).map(|weighed| into.send(weighed)) {
                Some(Err(_)) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })?;
        for halt in last_words.halts.into_values() {
            if into.send(halt).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Halts are kept back until the last word on each scope is known.
#[derive(Default)]
struct LastWords {
    halts: BTreeMap<(String, Option<String>, Option<String>), Weighed>,
}

impl LastWords {
    /// Gives back what goes on at once; answers, reports and decisions are news once only.
    fn take(&mut self, (bytes, copy): Weighed) -> Option<Weighed> {
        match &copy.record {
            Fact::Halt(halt) => {
                let scope = (halt.scope.clone(), halt.account_id.clone(), halt.campaign_id.clone());
                // A halt that came after its own release is no word.
                let is_outdated = self.halts.get(&scope).is_some_and(|(_, last)| match &last.record {
                    Fact::Halt(last) if last.action == "release" => {
                        controller::is_outdated(halt, copy.timestamp, last.issued_at)
                    }
                    _ => false,
                });
                if !is_outdated {
                    self.halts.insert(scope, (bytes, copy));
                }
                None
            }
            Fact::CampaignSpec(_) | Fact::EntitySpec(_) | Fact::PolicyVersion(_) => Some((bytes, copy)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::fact::{Ack, CampaignSpec, Halt};

    fn copy(offset: i64, record: Fact) -> CopiedFact {
        CopiedFact { topic: "t".into(), partition: 0, offset, timestamp: offset, record }
    }

    fn halt(action: &str, campaign: &str) -> Fact {
        let campaign_id = Some(campaign.to_owned());
        Fact::Halt(Box::new(Halt { scope: "campaign".into(), campaign_id, action: action.into(), ..Halt::default() }))
    }

    #[test]
    fn copies_come_once_a_day_and_some_at_a_time() {
        let mut recopy = Recopy::with(5 * DAY_MS + 7, || {
            Box::new(|places, into| {
                assert_eq!(places, [(ControlTopic::Campaigns, TopicPartition::new("c", 0))], "stats are not copied");
                for offset in 0..300 {
                    into.send((100, copy(offset, Fact::CampaignSpec(Box::default())))).unwrap();
                }
            })
        });
        let owned = || {
            vec![
                (ControlTopic::Stats, TopicPartition::new("s", 0)),
                (ControlTopic::Campaigns, TopicPartition::new("c", 0)),
            ]
        };
        assert!(recopy.due(6 * DAY_MS - 1, || unreachable!("nothing is due")).is_empty());
        let mut taken = Vec::new();
        while taken.len() < 300 {
            let copies = recopy.due(6 * DAY_MS, owned);
            assert!(copies.len() <= COPIES_PER_CUT);
            taken.extend(copies);
            std::thread::yield_now();
        }
        assert!(taken.iter().map(|copy| copy.offset).eq(0..300));
        assert!(recopy.due(7 * DAY_MS - 1, || unreachable!("the day is not over")).is_empty());
    }

    #[test]
    fn a_cut_takes_no_more_large_copies_than_it_can_carry() {
        let mut recopy = Recopy::with(0, || {
            Box::new(|_, into| {
                (0..10).for_each(|offset| {
                    into.send((BYTES_PER_CUT / 2, copy(offset, Fact::PolicyVersion(Box::default())))).unwrap();
                });
            })
        });
        let owned = || vec![(ControlTopic::Policy, TopicPartition::new("p", 0))];
        let mut taken = 0;
        while taken < 10 {
            let copies = recopy.due(DAY_MS, owned).len();
            assert!(copies <= 2, "{copies}");
            taken += copies;
            std::thread::yield_now();
        }
    }

    #[test]
    fn of_halts_the_last_word_on_each_scope_is_copied_and_answers_never_are() {
        let mut words = LastWords::default();
        assert!(words.take((1, copy(0, Fact::CampaignSpec(Box::<CampaignSpec>::default())))).is_some());
        assert!(words.take((1, copy(1, Fact::Ack(Box::<Ack>::default())))).is_none());
        for (offset, action, campaign) in [(2, "set", "a"), (3, "set", "b"), (4, "release", "a")] {
            assert!(words.take((1, copy(offset, halt(action, campaign)))).is_none());
        }
        assert_eq!(words.halts.values().map(|(_, copy)| copy.offset).collect::<Vec<_>>(), [4, 3]);
    }
}
