//! What happens to our membership of a group: written down when the client tells it, answered when the caller is ready.

use crate::fault::Error;
use crate::members::named;
use crate::record::TopicPartition;
use crate::witness::Witness;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// What happened to our membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// These partitions are offered; answer with [`crate::SourceConsumer::begin`] or [`crate::SourceConsumer::release`].
    Assigned(Vec<TopicPartition>),
    /// These partitions are wanted back; what was read may still be committed. Answer with `release`.
    Revoked(Vec<TopicPartition>),
    /// These partitions are gone, others may own them: commit nothing. Answer with `release`.
    Lost(Vec<TopicPartition>),
    /// Something does not work and will not mend by itself. Broken connections are not told here but in
    /// [`crate::SourceConsumer::trouble`]: the client reconnects.
    Failed(Failure),
}

/// A failure of the consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub error: Error,
    /// Where, if at one partition only.
    pub place: Option<TopicPartition>,
    /// Whether this consumer is of no use any more.
    pub is_fatal: bool,
}

/// Who we are in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// A name that survives restarts: a member that is back within the session keeps its partitions. Two processes
    /// with one name fence each other.
    pub instance: Option<String>,
}

/// The group's identity, always as of now: a stale one is refused by the brokers.
#[derive(Clone)]
pub struct GroupHandle(Weak<BaseConsumer<GroupContext>>);

impl GroupHandle {
    pub(crate) fn of(consumer: &Arc<BaseConsumer<GroupContext>>) -> GroupHandle {
        GroupHandle(Arc::downgrade(consumer))
    }

    /// `None` while we are no member: then nothing may be committed.
    pub(crate) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.0.upgrade()?.group_metadata()
    }
}

/// A rebalance that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
    Lose(Vec<TopicPartition>),
}

/// Answers an offer with nothing. An assignment is refused by an empty one: an unassignment would not be an answer.
pub(crate) fn settle(consumer: &BaseConsumer<GroupContext>, offer: &Offer) -> Result<(), KafkaError> {
    match offer {
        Offer::Assign(_) => consumer.assign(&TopicPartitionList::new()),
        Offer::Revoke(_) | Offer::Lose(_) => consumer.unassign(),
    }
}

/// Writes rebalances down instead of acting on them.
#[derive(Default)]
pub(crate) struct GroupContext {
    pub witness: Witness,
    offers: Mutex<VecDeque<Offer>>,
    closing: AtomicBool,
}

impl GroupContext {
    /// From now on every offer is answered with nothing.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub fn next_offer(&self) -> Option<Offer> {
        self.offers.lock().expect("no code panics while it holds this lock").pop_front()
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.witness.log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.witness.stats_raw(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.witness.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.witness.count_served();
        let places = named(list);
        let offer = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Offer::Assign(places),
            _ if consumer.assignment_lost() => Offer::Lose(places),
            _ => Offer::Revoke(places),
        };
        if self.closing.load(Ordering::SeqCst) {
            let _ = settle(consumer, &offer);
        } else {
            self.offers.lock().expect("no code panics while it holds this lock").push_back(offer);
        }
    }
}
