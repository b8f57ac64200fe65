//! What a client says about itself between the answers: errors, log lines, statistics.

use crate::fault::{Fault, classify_error};
use crate::statistics::ClientStatistics;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Remembers the last trouble of a client and counts what it served.
#[derive(Default)]
pub(crate) struct Witness {
    trouble: Mutex<Option<(Fault, String)>>,
    statistics: Mutex<Option<ClientStatistics>>,
    served: AtomicU64,
    transport_errors: AtomicU64,
}

impl Witness {
    /// The last trouble, the kind that a person must mend before the kind that may pass.
    pub fn trouble(&self) -> Option<(Fault, String)> {
        self.trouble.lock().expect("no code panics while it holds this lock").clone()
    }

    /// Forgets the trouble: the client works.
    pub fn clear(&self) {
        *self.trouble.lock().expect("no code panics while it holds this lock") = None;
    }

    /// The last statistics that could be read.
    pub fn statistics(&self) -> Option<ClientStatistics> {
        self.statistics.lock().expect("no code panics while it holds this lock").clone()
    }

    /// How many events were served: tells a poll that did something from one that found nothing.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Counts an event that another callback served.
    pub fn count_served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// How many times a connection was lost.
    pub fn transport_errors(&self) -> u64 {
        self.transport_errors.load(Ordering::Relaxed)
    }

    fn note(&self, fault: Fault, words: &str) {
        let mut held = self.trouble.lock().expect("no code panics while it holds this lock");
        let keeps = held.as_ref().is_some_and(|(known, _)| fault.may_pass() && (!known.may_pass() || words.is_empty()));
        if !keeps {
            *held = Some((fault, words.to_owned()));
        }
    }
}

impl ClientContext for Witness {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_served();
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "kafka", facility, "{message}");
            }
            // A lost connection is an error to the client and an everyday event to us.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(target: "kafka", facility, "{message}"),
            _ => tracing::debug!(target: "kafka", facility, "{message}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.count_served();
        if let Some(read) = ClientStatistics::read(statistics) {
            *self.statistics.lock().expect("no code panics while it holds this lock") = Some(read);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_served();
        let fault = classify_error(&error);
        if fault == Fault::Unreachable {
            self.transport_errors.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(target: "kafka", fault = fault.word(), "{reason}");
        // That all are down says less than why one is, and its count, "0/1 brokers are down", contradicts itself.
        let says_nothing = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        self.note(fault, if says_nothing { "" } else { reason });
    }
}

impl ConsumerContext for Witness {}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::RDKafkaErrorCode as Code;

    #[test]
    fn a_refused_password_is_not_hidden_by_the_broken_connection_that_follows_it() {
        let witness = Witness::default();
        witness.error(KafkaError::Global(Code::Authentication), "wrong password");
        witness.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(witness.trouble(), Some((Fault::Credentials, "wrong password".into())));
        assert_eq!(witness.transport_errors(), 1);
        witness.clear();
        assert_eq!(witness.trouble(), None);
    }

    #[test]
    fn why_a_broker_does_not_answer_is_not_hidden_by_the_count_of_those_that_do_not() {
        let witness = Witness::default();
        witness.error(KafkaError::Global(Code::AllBrokersDown), "0/1 brokers are down");
        assert_eq!(witness.trouble(), Some((Fault::Unreachable, String::new())));
        witness.error(KafkaError::Global(Code::BrokerTransportFailure), "SSL handshake failed");
        witness.error(KafkaError::Global(Code::AllBrokersDown), "0/1 brokers are down");
        assert_eq!(witness.trouble(), Some((Fault::Unreachable, "SSL handshake failed".into())));
    }
}
