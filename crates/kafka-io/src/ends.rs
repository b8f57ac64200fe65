//! Where partitions end, asked aside: a broker answers one connection's questions in turn, so a question about an end
//! waits behind a fetch of an idle partition, and a dozen of them asked one by one held a reader's thread for most of a second.
//!
//! What always holds: at most one round of questions is out; the answers of a round that was asked before
//! [`Ends::forget`] are never told.

use crate::membership::GroupContext;
use crate::record::TopicPartition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A partition's end as a broker told it; `None` where none did.
pub(crate) type Told = (TopicPartition, Option<i64>);

/// Asks brokers on a thread of its own.
pub(crate) struct Ends {
    ask: mpsc::Sender<Vec<TopicPartition>>,
    told: mpsc::Receiver<Vec<Told>>,
    thread: JoinHandle<()>,
    /// What the next round asks for.
    wanted: Vec<TopicPartition>,
    /// When the round that is out was asked.
    asked_at: Option<Instant>,
    /// The round that is out is of no use any more.
    is_void: bool,
}

impl Ends {
    /// Starts the thread; one question waits at most `limit`.
    pub fn start(consumer: Arc<BaseConsumer<GroupContext>>, limit: Duration) -> Ends {
        let (ask, asked) = mpsc::channel::<Vec<TopicPartition>>();
        let (tell, told) = mpsc::channel();
        let answer = move || {
            for places in asked {
                if tell.send(ends_of(&consumer, places, limit)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("kafka-ends".into())
            .spawn(answer)
            .expect("a process that cannot start a thread cannot run");
        Ends { ask, told, thread, wanted: Vec::new(), asked_at: None, is_void: false }
    }

    /// The next round asks for this end.
    pub fn want(&mut self, place: &TopicPartition) {
        if !self.wanted.contains(place) {
            self.wanted.push(place.clone());
        }
    }

    /// Answers of the round that was out, with the time of the question; sends the next round where one is wanted.
    pub fn turn(&mut self) -> Option<(Instant, Vec<Told>)> {
        let answers = self.asked_at.and_then(|asked_at| Some((asked_at, self.told.try_recv().ok()?)));
        if answers.is_some() {
            self.asked_at = None;
        }
        let is_void = answers.is_some() && std::mem::take(&mut self.is_void);
        if self.asked_at.is_none() && !self.wanted.is_empty() {
            let round = std::mem::take(&mut self.wanted);
            self.asked_at = self.ask.send(round).is_ok().then(Instant::now);
        }
        answers.filter(|_| !is_void)
    }

    /// What was wanted and asked so far is of no use any more.
    pub fn forget(&mut self) {
        self.wanted.clear();
        self.is_void = self.asked_at.is_some();
    }

    /// Takes no more questions; the thread ends with the one that is out, and with it its hold on the consumer.
    pub fn end(self) -> JoinHandle<()> {
        self.thread
    }
}

/// All in one question to each broker; where that fails, one by one, so that a broker that is gone hides only its own.
fn ends_of(consumer: &BaseConsumer<GroupContext>, places: Vec<TopicPartition>, limit: Duration) -> Vec<Told> {
    match together(consumer, &places, limit) {
        Ok(ends) => {
            let end_of = |place: &TopicPartition| match ends.find_partition(&place.topic, place.partition)?.offset() {
                Offset::Offset(end) => Some(end),
                _ => None,
            };
            places.into_iter().map(|place| (place.clone(), end_of(&place))).collect()
        }
        Err(_) => places
            .into_iter()
            .map(|place| {
                let asked = consumer.fetch_watermarks(&place.topic, place.partition, limit);
                let end = asked.ok().map(|(_, end)| end);
                (place, end)
            })
            .collect(),
    }
}

fn together(
    consumer: &BaseConsumer<GroupContext>,
    places: &[TopicPartition],
    limit: Duration,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for place in places {
        list.add_partition_offset(&place.topic, place.partition, Offset::End)?;
    }
    consumer.offsets_for_times(list, limit)
}
