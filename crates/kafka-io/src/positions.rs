//! Where a group stands: its committed positions, without being a member.
//!
//! What always holds: asking changes nothing and joins nobody. A question goes in short turns, so that whoever waits for
//! somebody else's transaction hears that it is to stop.

use crate::connection::{Connection, Isolation};
use crate::fault::{Error, Fault};
use crate::members::listed;
use crate::record::TopicPartition;
use crate::witness::Witness;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

/// Positions by partition, each with the metadata of its commit. A partition without a position is absent.
pub type Positions = BTreeMap<TopicPartition, (i64, String)>;

/// Which positions count while a transaction that moves them is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Those after it: the answer waits for its end.
    Settled,
    /// Those before it.
    SoFar,
}

/// Asks for one group's positions, any number of times over one connection.
pub struct GroupPositions {
    asker: BaseConsumer<Witness>,
    doing: String,
}

impl GroupPositions {
    /// Connects.
    pub fn open(connection: &Connection, group: &str, stands: Stands) -> Result<GroupPositions, Error> {
        let isolation = match stands {
            Stands::Settled => Isolation::Committed,
            Stands::SoFar => Isolation::Uncommitted,
        };
        let doing = format!("asking for the positions of group {group}");
        let asker = connection
            .member(group, None)
            .set("isolation.level", isolation.word())
            .create_with_context(Witness::default())
            .map_err(|error| Error::kafka(&doing, &error))?;
        Ok(GroupPositions { asker, doing })
    }

    /// The positions; an error after `patience`, or [`Fault::Stopped`] soon after `stop` says so.
    pub fn ask(
        &self,
        places: &[TopicPartition],
        patience: Duration,
        stop: Option<&(dyn Fn() -> bool + Send)>,
    ) -> Result<Positions, Error> {
        let started = Instant::now();
        let answer = loop {
            let left = patience.saturating_sub(started.elapsed());
            match self.asker.committed_offsets(listed(places), left.min(TURN)) {
                Ok(answer) => break answer,
                Err(_) if stop.is_some_and(|asked| asked()) => {
                    return Err(Error::new(Fault::Stopped, &self.doing, ""));
                }
                // A cluster that has just come up, or whose broker went, chooses a coordinator first.
                Err(error) if changes_coordinator(&error) && left > TURN => thread::sleep(COORDINATOR_WAIT),
                Err(error) if left <= TURN || !timed_out(&error) => return Err(Error::kafka(&self.doing, &error)),
                Err(_) => {}
            }
        };
        let mut positions = BTreeMap::new();
        for element in answer.elements() {
            element.error().map_err(|error| Error::kafka(&self.doing, &error))?;
            if let Offset::Offset(offset) = element.offset() {
                let place = TopicPartition::new(element.topic(), element.partition());
                positions.insert(place, (offset, element.metadata().to_owned()));
            }
        }
        Ok(positions)
    }
}

/// One question of several, so that a stop is heard.
const TURN: Duration = Duration::from_secs(1);
/// Between two questions for a coordinator that is being chosen.
const COORDINATOR_WAIT: Duration = Duration::from_millis(100);

fn timed_out(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut))
}

fn changes_coordinator(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}
