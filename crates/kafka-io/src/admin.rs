//! Are the topics there, and are they what we need? And making them so, on request.
//!
//! What always holds: an answer or an error within the limit given, and an error says whether a person must change
//! something. A setting that the principal may not read is unknown, which is not the same as wrong.
//!
//! What is missing on purpose: changing settings of a topic that exists, adding partitions (keys would move), access
//! lists.

use crate::block_on::block_on;
use crate::connection::{Connection, Isolation};
use crate::fault::{Error, Fault, classify};
use crate::topic_id::topic_ids;
use crate::witness::Witness;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas; -1 is the cluster's default.
    pub replication: i32,
    /// The broker's own names: `retention.ms`, `cleanup.policy`, `message.timestamp.type`, ...
    pub settings: BTreeMap<String, String>,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// Replicas of the partition that has least.
    pub replication: i32,
    /// Changes when a topic is deleted and made anew; `None` where the cluster does not tell.
    pub id: Option<String>,
    /// All its settings; `None` where they may not be read, or the broker cannot say.
    pub settings: Option<BTreeMap<String, String>>,
}

impl TopicFacts {
    /// A setting's value, where it is known.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.as_ref()?.get(name).map(String::as_str)
    }

    /// How long records are kept; -1 is for ever.
    pub fn retention_ms(&self) -> Option<i64> {
        self.setting("retention.ms")?.parse().ok()
    }

    /// The largest batch that is taken, in bytes as they are sent.
    pub fn max_message_bytes(&self) -> Option<u64> {
        self.setting("max.message.bytes")?.parse().ok()
    }

    /// Whether old records give way to newer ones of their key.
    pub fn is_compacted(&self) -> Option<bool> {
        Some(self.setting("cleanup.policy")?.split(',').any(|policy| policy.trim() == "compact"))
    }

    /// Whether the broker stamps records at append.
    pub fn is_append_time(&self) -> Option<bool> {
        Some(self.setting("message.timestamp.type")? == "LogAppendTime")
    }
}

/// Asks and changes the cluster's topics.
pub struct Admin {
    probe: BaseConsumer<Witness>,
    admin: AdminClient<Witness>,
    limit: Duration,
}

impl Admin {
    /// Reaches a broker within `limit`, or says why not; `limit` also bounds every later question.
    pub fn connect(connection: &Connection, limit: Duration) -> Result<Admin, Error> {
        let doing = || format!("connecting to {}", connection.brokers);
        let explain = |error: KafkaError| Error::kafka(doing(), &error);
        let probe: BaseConsumer<Witness> = connection
            .checked()?
            .reader(Isolation::Uncommitted)
            .create_with_context(Witness::default())
            .map_err(explain)?;
        reach(&probe, &doing(), limit).map_err(|error| with_protocol(error, connection))?;
        let admin = connection.administrator().create_with_context(Witness::default()).map_err(explain)?;
        Ok(Admin { probe, admin, limit })
    }

    /// The number of partitions of each topic; `None` for one that does not exist. Every broker can answer this.
    pub fn partitions(&self, topics: &[&str]) -> Result<BTreeMap<String, Option<i32>>, Error> {
        let counted = |topic: &&str| Ok(((*topic).to_owned(), self.shape(topic)?.map(|facts| facts.partitions)));
        topics.iter().map(counted).collect()
    }

    /// What is known of each topic; `None` for one that does not exist.
    pub fn describe(&self, topics: &[&str]) -> Result<BTreeMap<String, Option<TopicFacts>>, Error> {
        let mut facts = BTreeMap::new();
        for topic in topics {
            facts.insert((*topic).to_owned(), self.shape(topic)?);
        }
        let present: Vec<&str> = topics.iter().copied().filter(|topic| facts[*topic].is_some()).collect();
        let settings = self.settings(&present);
        let ids = topic_ids(&self.admin, &present, self.limit);
        for (name, fact) in &mut facts {
            if let Some(fact) = fact {
                fact.settings = settings.get(name).cloned();
                fact.id = ids.get(name).cloned();
            }
        }
        Ok(facts)
    }

    /// Creates the topics that do not exist; the names of those that were created. A broker confirms a topic before it tells
    /// others of it: they are waited for, within the limit, so that who asks next finds them.
    pub fn create(&self, plans: &[TopicPlan]) -> Result<Vec<String>, Error> {
        let topics: Vec<NewTopic<'_>> = plans.iter().map(new_topic).collect();
        let answer = block_on(self.admin.create_topics(&topics, &self.options()), self.limit);
        let made = self.made("creating topics", answer, RDKafkaErrorCode::TopicAlreadyExists)?;
        let deadline = Instant::now() + self.limit;
        for topic in &made {
            while self.shape(topic)?.is_none() && Instant::now() < deadline {
                std::thread::sleep(ASK_AGAIN);
            }
        }
        Ok(made)
    }

    /// Deletes topics; the names of those that existed.
    pub fn delete(&self, topics: &[&str]) -> Result<Vec<String>, Error> {
        let answer = block_on(self.admin.delete_topics(topics, &self.options()), self.limit);
        self.made("deleting topics", answer, RDKafkaErrorCode::UnknownTopicOrPartition)
    }

    fn made(
        &self,
        doing: &str,
        answer: Option<Result<Vec<TopicResult>, KafkaError>>,
        harmless: RDKafkaErrorCode,
    ) -> Result<Vec<String>, Error> {
        let silence = || Error::new(Fault::Unreachable, doing, "no answer in time");
        let results = answer.ok_or_else(silence)?.map_err(|error| Error::kafka(doing, &error))?;
        let mut made = Vec::new();
        for result in results {
            match result {
                Ok(name) => made.push(name),
                Err((_, code)) if code == harmless => {}
                Err((name, code)) => return Err(Error::code(format!("{doing}: {name}"), code)),
            }
        }
        Ok(made)
    }

    fn shape(&self, topic: &str) -> Result<Option<TopicFacts>, Error> {
        let doing = || format!("looking at topic {topic}");
        let metadata = match self.probe.fetch_metadata(Some(topic), self.limit) {
            Ok(metadata) => metadata,
            Err(error) => {
                let told = Error::kafka(doing(), &error);
                return if told.fault == Fault::TopicMissing { Ok(None) } else { Err(told) };
            }
        };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
        if let Some(code) = found.error() {
            let code = RDKafkaErrorCode::from(code);
            return if classify(code) == Fault::TopicMissing { Ok(None) } else { Err(Error::code(doing(), code)) };
        }
        let partitions = found.partitions();
        Ok((!partitions.is_empty()).then(|| TopicFacts {
            name: topic.to_owned(),
            partitions: partitions.len() as i32,
            replication: partitions.iter().map(|partition| partition.replicas().len() as i32).min().unwrap_or(0),
            id: None,
            settings: None,
        }))
    }

    /// By topic; a topic whose settings may not be read is absent.
    fn settings(&self, topics: &[&str]) -> BTreeMap<String, BTreeMap<String, String>> {
        if topics.is_empty() {
            return BTreeMap::new();
        }
        let asked: Vec<ResourceSpecifier<'_>> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let answer = block_on(self.admin.describe_configs(&asked, &self.options()), self.limit);
        let Some(Ok(results)) = answer else { return BTreeMap::new() };
        let told = results.into_iter().filter_map(|result| {
            let resource = result.ok()?;
            let OwnedResourceSpecifier::Topic(name) = resource.specifier else { return None };
            let entries = resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
            Some((name, entries.collect()))
        });
        told.collect()
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.limit)).operation_timeout(Some(self.limit))
    }
}

fn new_topic(plan: &TopicPlan) -> NewTopic<'_> {
    let topic = NewTopic::new(&plan.name, plan.partitions, TopicReplication::Fixed(plan.replication));
    plan.settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
}

/// Another server's first words read as a length that no broker answers with; the client then advises to allow it.
fn unless_foreign(fault: Fault, words: String) -> (Fault, String) {
    if words.contains("Invalid response size") {
        let place = words.split('/').next().unwrap_or_default();
        return (Fault::Settings, format!("what answers at {place} is no Kafka broker; check kafka.brokers"));
    }
    (fault, words)
}

/// A listener that does not speak the protocol asked for is as silent as one that is down: say which was asked for.
fn with_protocol(error: Error, connection: &Connection) -> Error {
    let protocol = connection.properties.get("security.protocol").filter(|_| error.fault == Fault::Unreachable);
    let Some(protocol) = protocol else { return error };
    let words = format!("security.protocol is {protocol}: does that listener speak it?");
    let detail = if error.detail.is_empty() { words } else { format!("{}; {words}", error.detail) };
    Error { detail, ..error }
}

/// Waits for the first answer of any broker; a refusal that a person must mend ends the wait at once.
fn reach(probe: &BaseConsumer<Witness>, doing: &str, limit: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    loop {
        if probe.client().fetch_cluster_id(LOOK).is_some() {
            return Ok(());
        }
        while probe.poll(Duration::ZERO).is_some() {}
        let trouble = probe.context().trouble().map(|(fault, words)| unless_foreign(fault, words));
        if let Some((fault, words)) = trouble.clone().filter(|(fault, _)| !fault.may_pass()) {
            return Err(Error::new(fault, doing, words));
        }
        if Instant::now() >= deadline {
            let (fault, words) = trouble.unwrap_or((Fault::Unreachable, String::new()));
            return Err(Error::new(fault, doing, words));
        }
    }
}

/// How long one look takes before the client's events are served.
const LOOK: Duration = Duration::from_millis(200);

/// Between two looks for a topic that was just created.
const ASK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_another_kind_is_told_as_what_it_is() {
        let words = "web:8080/bootstrap: Receive failed: Invalid response size 1213486160 (0..100000000): increase \
                     receive.message.max.bytes";
        let told = unless_foreign(Fault::Other, words.into());
        assert_eq!(told, (Fault::Settings, "what answers at web:8080 is no Kafka broker; check kafka.brokers".into()));
        let refused = (Fault::Unreachable, "web:8080/bootstrap: Connection refused".to_owned());
        assert_eq!(unless_foreign(refused.0, refused.1.clone()), refused);
    }

    #[test]
    fn who_asks_for_encryption_and_hears_nothing_is_told_what_was_asked_for() {
        let silent = |protocol: Option<&str>| {
            let mut connection = Connection::new("localhost:9092", "test");
            let set = protocol.map(|protocol| ("security.protocol".to_owned(), protocol.to_owned()));
            connection.properties.extend(set);
            with_protocol(Error::new(Fault::Unreachable, "connecting", ""), &connection).to_string()
        };
        assert_eq!(silent(None), "connecting: no broker answers");
        assert!(silent(Some("ssl")).contains("security.protocol is ssl: does that listener speak it?"));
    }
}
