//! The topics that a deployment needs, and what is wrong with those it has.

use super::position_note::PositionNote;
use crate::failure::{Failure, Outcome};
use crate::settings::{Settings, Topics};
use kafka_io::{Admin, BATCH_BYTES, LogReader, TopicFacts, TopicPartition};
use model::event::EventKind;
use model::fact::ControlTopic;
use model::time::DAY_MS;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one topic must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNeed {
    /// Name.
    pub name: String,
    /// Partitions; event topics may have any number as long as it is the same for all three.
    pub partitions: i32,
    /// Whether another number of partitions is a fault.
    pub partitions_fixed: bool,
    /// `delete` or `compact`.
    pub cleanup: &'static str,
    /// Least retention; `None` for compacted topics.
    pub retention_ms: Option<i64>,
    /// Whether the broker must stamp records at append.
    pub append_time: bool,
    /// Whether a wrong timestamp type refuses the start or is a warning.
    pub append_time_required: bool,
    /// Least size of a batch that the topic must take; `None` where Paceline does not write.
    pub batch_bytes: Option<u64>,
    /// Who writes it, for the permissions list.
    pub writer: &'static str,
    /// Who reads it.
    pub reader: &'static str,
}

/// Event logs must reach back as far as the widest join, or a rebuild without snapshots would miss touches.
const EVENT_RETENTION_MS: i64 = 31 * DAY_MS;
const JOURNAL_RETENTION_MS: i64 = 35 * DAY_MS;
const EPOCHS_RETENTION_MS: i64 = 31 * DAY_MS;
/// Dead letters hold original bytes, which may be personal: long enough to mend, no longer.
const DEAD_LETTER_RETENTION_MS: i64 = 7 * DAY_MS;

/// All topics, in the order an event flows.
pub fn needs(settings: &Settings, event_partitions: i32) -> Vec<TopicNeed> {
    let topics = &settings.topics;
    let mut needs = Vec::new();
    for kind in EventKind::ALL {
        needs.push(need(topics.event(kind), event_partitions, Some(EVENT_RETENTION_MS), "your systems", "aggregator"));
    }
    for control in ControlTopic::ALL {
        let retention = match control {
            ControlTopic::Campaigns | ControlTopic::Entities | ControlTopic::Policy => None,
            _ => Some(JOURNAL_RETENTION_MS),
        };
        needs.push(TopicNeed {
            partitions_fixed: false,
            ..need(topics.control(control), 1, retention, "your systems, the command line", "aggregator")
        });
    }
    let fixed = |name: &str, partitions: i32, retention: Option<i64>, writer, reader| TopicNeed {
        partitions_fixed: true,
        batch_bytes: Some(BATCH_BYTES),
        ..need(name, partitions, retention, writer, reader)
    };
    let journal = settings.journal_partitions;
    needs.push(TopicNeed {
        append_time_required: true,
        ..fixed(&topics.journal, journal, Some(JOURNAL_RETENTION_MS), "aggregator", "controller, replay")
    });
    needs.push(fixed(&topics.epochs, event_partitions, Some(EPOCHS_RETENTION_MS), "aggregator", "aggregator, replay"));
    for (name, retention) in decision_topics(topics) {
        needs.push(fixed(name, journal, retention, "controller", "ad-buying systems, people, data teams"));
    }
    needs.push(TopicNeed {
        append_time: false,
        batch_bytes: Some(BATCH_BYTES),
        ..need(&topics.dead_letters, 1, Some(DEAD_LETTER_RETENTION_MS), "aggregator", "operators")
    });
    needs
}

fn decision_topics(topics: &Topics) -> [(&str, Option<i64>); 5] {
    [
        (&topics.adjustments, Some(JOURNAL_RETENTION_MS)),
        (&topics.proposals, Some(JOURNAL_RETENTION_MS)),
        (&topics.desired_state, None),
        (&topics.alerts, Some(JOURNAL_RETENTION_MS)),
        (&topics.kpis, Some(JOURNAL_RETENTION_MS)),
    ]
}

fn need(
    name: &str,
    partitions: i32,
    retention_ms: Option<i64>,
    writer: &'static str,
    reader: &'static str,
) -> TopicNeed {
    TopicNeed {
        name: name.to_owned(),
        partitions,
        partitions_fixed: false,
        cleanup: if retention_ms.is_some() { "delete" } else { "compact" },
        retention_ms,
        append_time: true,
        append_time_required: false,
        batch_bytes: None,
        writer,
        reader,
    }
}

/// Partition counts that the workers need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Of each event topic.
    pub event_partitions: i32,
    /// Of the policy topic.
    pub policy_partitions: i32,
    /// Of the dead-letter topic.
    pub dead_letter_partitions: i32,
}

/// How long the cluster has for an answer: all set-up faults are told within 10 s.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// Asks for partition counts and refuses what cannot work: missing topics, unequal counts. All faults are told at once.
pub fn inspect(settings: &Settings, admin: &Admin) -> Outcome<Topology> {
    let needs = needs(settings, 0);
    let names: Vec<&str> = needs.iter().map(|need| need.name.as_str()).collect();
    let found = admin.partitions(&names)?;
    let missing: Vec<&str> = names.iter().copied().filter(|name| !matches!(found.get(*name), Some(Some(_)))).collect();
    let absent = (!missing.is_empty())
        .then(|| format!("{} topic(s) do not exist on {}: {}", missing.len(), settings.brokers, missing.join(", ")));
    let wrong = wrong_counts(settings, |name| found.get(name).copied().flatten());
    let advice = match (&absent, wrong.is_empty()) {
        (Some(_), true) => "create them with `paceline topics apply`",
        (None, _) => "correct the topics or journal.partitions; see `paceline topics plan`",
        (Some(_), false) => {
            "correct the topics that exist, or journal.partitions, then create the others with `paceline topics apply`"
        }
    };
    let faults: Vec<String> = absent.into_iter().chain(wrong).collect();
    if !faults.is_empty() {
        return Err(Failure::setup(faults.join("; "), advice));
    }
    let count = |name: &str| found.get(name).copied().flatten().unwrap_or(0);
    Ok(Topology {
        event_partitions: count(settings.topics.event(EventKind::Impression)),
        policy_partitions: count(&settings.topics.policy),
        dead_letter_partitions: count(&settings.topics.dead_letters),
    })
}

/// What the numbers of partitions of those topics that exist get wrong.
fn wrong_counts(settings: &Settings, count: impl Fn(&str) -> Option<i32>) -> Vec<String> {
    let topics = &settings.topics;
    let events: Vec<(&str, i32)> =
        EventKind::ALL.iter().filter_map(|kind| Some((topics.event(*kind), count(topics.event(*kind))?))).collect();
    let mut wrong = Vec::new();
    if events.iter().any(|(_, partitions)| *partitions != events[0].1) {
        let list: Vec<String> = events.iter().map(|(name, partitions)| format!("{name} has {partitions}")).collect();
        wrong.push(format!("the event topics must have equal partition counts, but {}", list.join(", ")));
    }
    if let (Some(epochs), Some((_, most))) = (count(&topics.epochs), events.first())
        && epochs < *most
    {
        wrong.push(format!(
            "{} needs {most} partitions, as many as the event topics, and has {epochs} (had the event topics fewer before? \
             partitions cannot be added to them later: who counted a user's events would change)",
            topics.epochs,
        ));
    }
    for name in std::iter::once(topics.journal.as_str()).chain(topics.decision_log()) {
        if let Some(partitions) = count(name).filter(|partitions| *partitions != settings.journal_partitions) {
            wrong.push(format!(
                "{name} needs {} partitions (journal.partitions) and has {partitions}",
                settings.journal_partitions,
            ));
        }
    }
    wrong
}

/// Partitions that each event topic had when this deployment last committed; `None` before it did, and where a build that
/// did not say it committed.
pub fn recorded_event_partitions(settings: &Settings, topology: Topology, reader: &LogReader) -> Outcome<Option<i32>> {
    let topic = settings.topics.event(EventKind::Impression);
    let places: Vec<TopicPartition> = (0..topology.event_partitions).map(|at| TopicPartition::new(topic, at)).collect();
    // Not the settled ones: a predecessor that was killed leaves a transaction open until it is fenced.
    let positions = reader.committed_so_far(&format!("{}-aggregator", settings.group), &places)?;
    let notes = positions.values().filter_map(|(_, metadata)| PositionNote::parse(metadata)?.event_partitions);
    Ok(notes.min())
}

/// Refuses event topics that have another number of partitions than the one this deployment began with.
pub fn refuse_growth(settings: &Settings, topology: Topology, reader: &LogReader) -> Outcome {
    match recorded_event_partitions(settings, topology, reader)? {
        Some(recorded) if recorded != topology.event_partitions => {
            Err(grown(settings, recorded, topology.event_partitions))
        }
        _ => Ok(()),
    }
}

/// What is told of event topics whose number of partitions has changed.
pub fn grown(settings: &Settings, recorded: i32, found: i32) -> Failure {
    let names = EventKind::ALL.map(|kind| settings.topics.event(kind)).join(", ");
    Failure::setup(
        format!(
            "{names} had {recorded} partitions when group {} last committed and now have {found}: a user's events would be \
             counted by another partition than before, so that copies, clicks and conversions would not be matched",
            settings.group
        ),
        "a broker cannot take partitions away; create event topics with the number you want under new names, and a deployment \
         of its own for them (group, state.dir and the topics that Paceline writes), then move the producers",
    )
}

/// What the settings of existing topics get wrong: refusals and warnings. A setting that may not be read is a warning.
pub fn judge(settings: &Settings, found: &BTreeMap<String, Option<TopicFacts>>) -> (Vec<String>, Vec<String>) {
    let (mut refusals, mut warnings) = (Vec::new(), Vec::new());
    for need in needs(settings, 0) {
        let Some(Some(facts)) = found.get(&need.name) else { continue };
        if facts.settings.is_none() {
            warnings.push(format!("{}: its settings cannot be read, so they were not checked", need.name));
            continue;
        }
        if need.append_time && facts.is_append_time() == Some(false) {
            let words = format!("{}: message.timestamp.type is not LogAppendTime", need.name);
            if need.append_time_required { refusals.push(words) } else { warnings.push(words) }
        }
        if facts.is_compacted() == Some(need.cleanup == "delete") {
            refusals.push(format!("{}: cleanup.policy must be {}", need.name, need.cleanup));
        }
        if let (Some(least), Some(taken)) = (need.batch_bytes, facts.max_message_bytes())
            && taken < least
        {
            let words =
                format!("{}: max.message.bytes is {taken}, less than the {least} of a batch of ours", need.name);
            refusals.push(words);
        }
        if let (Some(least), Some(kept)) = (need.retention_ms, facts.retention_ms())
            && kept >= 0
            && kept < least
        {
            let words = format!("{}: retention.ms is {kept}, less than the {least} that a rebuild needs", need.name);
            warnings.push(words);
        }
    }
    (refusals, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_the_contract_is_needed_once() {
        let (settings, _) = Settings::load_with(&[], &BTreeMap::new()).unwrap();
        let needs = needs(&settings, 6);
        let mut names: Vec<&str> = needs.iter().map(|need| need.name.as_str()).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!((before, names.len()), (18, 18));
        let of = |name: &str| needs.iter().find(|need| need.name == name).unwrap();
        assert_eq!((of("ads.clicks").partitions, of("paceline.epochs").partitions), (6, 6));
        assert_eq!((of("ads.adjustments").partitions, of("paceline.journal").partitions), (16, 16));
        assert_eq!(of("ads.desired-state").cleanup, "compact");
    }
}
