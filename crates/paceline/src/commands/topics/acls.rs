//! The permissions as commands of Kafka's own tool, for a person to read, change and run: Paceline grants nothing.
//!
//! Three principals: the two stages, which are one where a process runs both, and an ad-buying system. All of Paceline
//! asks for the partition counts and settings of all topics, so that a wrong set-up is refused at the start.

use crate::settings::Settings;
use model::event::EventKind;
use model::fact::ControlTopic;

/// One principal and what it may do.
struct Grant<'s> {
    principal: &'static str,
    operations: &'static [&'static str],
    topics: Vec<&'s str>,
}

/// Comment lines; all else is for the shell once the `# ` is taken off.
pub fn lines(settings: &Settings) -> Vec<String> {
    let mut lines = vec![
        "# Permissions, as commands for who administers the cluster; put your own names for the principals. Where one process"
            .to_owned(),
        "# runs both stages, give both names the same value.".to_owned(),
    ];
    let tool = format!("# kafka-acls --bootstrap-server {} --command-config admin.properties --add", settings.brokers);
    for grant in grants(settings) {
        let operations: String = grant.operations.iter().map(|word| format!(" --operation {word}")).collect();
        let topics: String = grant.topics.iter().map(|topic| format!(" --topic {topic}")).collect();
        lines.push(format!("{tool} --allow-principal User:{}{operations}{topics}", grant.principal));
    }
    let group = &settings.group;
    for (principal, stage) in [(AGGREGATOR, "aggregator"), (CONTROLLER, "controller")] {
        lines.push(format!("{tool} --allow-principal User:{principal} --operation Read --group {group}-{stage}"));
        lines.push(format!(
            "{tool} --allow-principal User:{principal} --operation Write --operation Describe --transactional-id {group} --resource-pattern-type prefixed"
        ));
    }
    lines.push(format!("{tool} --allow-principal User:{BUYER} --operation Read --group {BUYER}"));
    lines
}

const AGGREGATOR: &str = "paceline-aggregator";
const CONTROLLER: &str = "paceline-controller";
const BUYER: &str = "ad-buying-system";

fn grants(settings: &Settings) -> Vec<Grant<'_>> {
    let topics = &settings.topics;
    let events: Vec<&str> = EventKind::ALL.iter().map(|kind| topics.event(*kind)).collect();
    let controls: Vec<&str> = ControlTopic::ALL.iter().map(|topic| topics.control(*topic)).collect();
    let own: Vec<&str> = vec![&topics.journal, &topics.epochs];
    let decisions = topics.decision_log().to_vec();
    let all = [&events[..], &controls, &own, &decisions, &[topics.dead_letters.as_str()]].concat();
    let grant = |principal, operations, topics| Grant { principal, operations, topics };
    vec![
        grant(AGGREGATOR, &["Describe", "DescribeConfigs"], all.clone()),
        grant(AGGREGATOR, &["Read"], [&events[..], &controls, &own].concat()),
        // Halts that were given while the broker was away go to the feedback topic.
        grant(AGGREGATOR, &["Write"], [&own[..], &[&topics.dead_letters, &topics.feedback]].concat()),
        grant(CONTROLLER, &["Describe", "DescribeConfigs"], all),
        grant(CONTROLLER, &["Read"], [&[topics.journal.as_str()][..], &decisions].concat()),
        grant(CONTROLLER, &["Write"], [&decisions[..], &[&topics.feedback]].concat()),
        // Nothing of the proposals may be applied, so who applies commands does not see them.
        grant(BUYER, &["Read", "Describe"], vec![&topics.adjustments, &topics.desired_state]),
        grant(BUYER, &["Write", "Describe"], vec![&topics.feedback]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_stage_may_do_its_part_and_the_buyer_never_sees_a_proposal() {
        let environment = BTreeMap::from([("PACELINE__GROUP".to_owned(), "mine".to_owned())]);
        let (settings, _) = Settings::load_with(&[], &environment).unwrap();
        let lines = lines(&settings);
        assert!(lines.iter().all(|line| line.starts_with("# ")));
        let has = |principal: &str, operation: &str, resource: &str| {
            lines.iter().any(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                let pair = |name: &str, value: &str| words.windows(2).any(|two| two == [name, value]);
                pair("--allow-principal", &format!("User:{principal}"))
                    && pair("--operation", operation)
                    && words.contains(&resource)
            })
        };
        for (principal, operation, resource) in [
            (AGGREGATOR, "Read", "ads.clicks"),
            (AGGREGATOR, "Read", "paceline.policy"),
            (AGGREGATOR, "Write", "paceline.journal"),
            (AGGREGATOR, "Write", "ads.dead-letters"),
            (AGGREGATOR, "Read", "mine-aggregator"),
            (CONTROLLER, "Read", "paceline.journal"),
            (CONTROLLER, "Write", "ads.kpis"),
            (CONTROLLER, "Describe", "mine"),
            (BUYER, "Read", "ads.adjustments"),
            (BUYER, "Write", "ads.feedback"),
        ] {
            assert!(has(principal, operation, resource), "{principal} {operation} {resource}");
        }
        assert!(!has(BUYER, "Read", "ads.proposals") && !has(BUYER, "Write", "ads.adjustments"));
        assert!(!has(CONTROLLER, "Read", "ads.clicks"));
    }
}
