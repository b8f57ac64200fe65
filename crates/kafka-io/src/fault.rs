//! What went wrong, in a closed word that decides what a person or a supervisor does next.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::fmt;

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// No broker answers, or not in time; may pass by itself.
    Unreachable,
    /// The cluster answers, but something does not become stable in time (an open transaction, a rebalance).
    Unsettled,
    /// Password, token, certificate or trust is refused.
    Credentials,
    /// A topic or partition does not exist.
    TopicMissing,
    /// The principal lacks a right.
    NotAuthorised,
    /// Another process took our place: the same slot twice, or we were away for too long.
    Fenced,
    /// A newer process runs under our slot. Trying again would throw it out in turn.
    Replaced,
    /// The position asked for is no longer, or not yet, in the log.
    OffsetGone,
    /// A record or batch is larger than the topic takes.
    TooLarge,
    /// A property is unknown, refused, or contradicts another.
    Settings,
    /// The caller asked to stop while it was waiting.
    Stopped,
    /// Everything else.
    Other,
}

impl Fault {
    /// A bounded word, for labels.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Unreachable => "unreachable",
            Fault::Unsettled => "unsettled",
            Fault::Credentials => "credentials",
            Fault::TopicMissing => "topic_missing",
            Fault::NotAuthorised => "not_authorised",
            Fault::Fenced => "fenced",
            Fault::Replaced => "replaced",
            Fault::OffsetGone => "offset_gone",
            Fault::TooLarge => "too_large",
            Fault::Settings => "settings",
            Fault::Stopped => "stopped",
            Fault::Other => "other",
        }
    }

    /// Whether waiting may help; otherwise a person must change something.
    pub fn may_pass(self) -> bool {
        matches!(self, Fault::Unreachable | Fault::Unsettled | Fault::Fenced | Fault::Replaced | Fault::Other)
    }

    /// The half sentence that a person reads.
    pub fn words(self) -> &'static str {
        match self {
            Fault::Unreachable => "no broker answers",
            Fault::Unsettled => "the cluster answers but did not settle in time",
            Fault::Credentials => "the cluster refuses the credentials or the certificate",
            Fault::TopicMissing => "the topic does not exist",
            Fault::NotAuthorised => "the principal is not authorised",
            Fault::Fenced => "the cluster gave this place to another process, or took it back",
            Fault::Replaced => "a newer process runs under this slot",
            Fault::OffsetGone => "the position is not in the log",
            Fault::TooLarge => "the topic takes no record or batch of this size",
            Fault::Settings => "the settings do not fit",
            Fault::Stopped => "asked to stop",
            Fault::Other => "the cluster reports an error",
        }
    }
}

/// A failure with what was being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The class.
    pub fault: Fault,
    /// What was being done, as in "reading the end of ads.clicks/3".
    pub doing: String,
    /// The client's own words; empty where the class says it all.
    pub detail: String,
}

impl Error {
    pub(crate) fn new(fault: Fault, doing: impl Into<String>, detail: impl Into<String>) -> Error {
        Error { fault, doing: doing.into(), detail: detail.into() }
    }

    pub(crate) fn kafka(doing: impl Into<String>, error: &KafkaError) -> Error {
        Error::new(classify_error(error), doing, describe(error))
    }

    pub(crate) fn code(doing: impl Into<String>, code: Code) -> Error {
        Error::new(classify(code), doing, code.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.fault.words())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

impl std::error::Error for Error {}

/// The class of a client error; configuration errors keep their value to themselves.
pub(crate) fn classify_error(error: &KafkaError) -> Fault {
    match error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => Fault::Settings,
        KafkaError::Transaction(inner) => classify(inner.code()),
        KafkaError::Canceled => Fault::Unreachable,
        other => other.rdkafka_error_code().map_or(Fault::Other, classify),
    }
}

fn describe(error: &KafkaError) -> String {
    match error {
        // The value may be a password: the name and the reason are enough, and the reason of a secret may quote it.
        KafkaError::ClientConfig(_, reason, name, _) if !crate::connection::is_secret(name) => {
            format!("property {name}: {reason}")
        }
        KafkaError::ClientConfig(_, _, name, _) => format!("property {name}: its value is refused"),
        KafkaError::Transaction(inner) => inner.string(),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |code| code.to_string()),
    }
}

/// The one table from client codes to classes. What Kafka's own clients try again by themselves may pass here too: a broker
/// that restarts answers with old leader epochs for a moment.
pub(crate) fn classify(code: Code) -> Fault {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::MessageTimedOut
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NotCoordinator
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::ReplicaNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::ListenerNotFound
        | Code::NotController
        | Code::KafkaStorageError
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::BrokerDestroy
        | Code::WaitingForCoordinator
        | Code::NetworkException => Fault::Unreachable,
        Code::UnstableOffsetCommit
        | Code::ConcurrentTransactions
        | Code::RebalanceInProgress
        | Code::OffsetNotAvailable
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::ThrottlingQuotaExceeded
        | Code::Retry
        | Code::QueueFull => Fault::Unsettled,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SSL => Fault::Credentials,
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::InvalidTopic => {
            Fault::TopicMissing
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Fault::NotAuthorised,
        Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::IllegalGeneration
        | Code::UnknownMemberId => Fault::Fenced,
        Code::FencedInstanceId => Fault::Replaced,
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Fault::OffsetGone,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Fault::TooLarge,
        Code::InvalidArgument | Code::PolicyViolation | Code::InvalidPartitions | Code::InvalidReplicationFactor => {
            Fault::Settings
        }
        _ => Fault::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::types::RDKafkaConfRes;

    #[test]
    fn a_secret_never_reaches_an_error_text() {
        let refused = KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "bad value hunter2".into(),
            "sasl.password".into(),
            "hunter2".into(),
        );
        let error = Error::kafka("connecting", &refused);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(error.to_string().contains("sasl.password"));
        assert_eq!(error.fault, Fault::Settings);
    }

    #[test]
    fn what_a_person_must_change_does_not_pass_by_itself() {
        for code in [Code::SaslAuthenticationFailed, Code::UnknownTopicOrPartition, Code::TopicAuthorizationFailed] {
            assert!(!classify(code).may_pass(), "{code:?}");
        }
    }

    #[test]
    fn what_a_restarting_broker_answers_passes_by_itself() {
        let codes = [
            Code::AllBrokersDown,
            Code::NotLeaderForPartition,
            Code::FencedLeaderEpoch,
            Code::UnknownLeaderEpoch,
            Code::KafkaStorageError,
            Code::ReplicaNotAvailable,
        ];
        for code in codes {
            assert!(classify(code).may_pass(), "{code:?}");
        }
    }
}
