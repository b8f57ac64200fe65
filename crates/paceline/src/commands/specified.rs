//! What the campaigns topic holds: for who writes to it, or names a campaign.

use super::connect;
use crate::failure::Outcome;
use crate::registry;
use crate::service::topology::ANSWER_LIMIT;
use crate::settings::Settings;
use kafka_io::{Admin, From, LogReader, Until};
use model::fact::{CampaignSpec, ControlTopic, Fact};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What is known of one campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// The specification in force: of the highest version, and of equal ones the first.
    pub spec: CampaignSpec,
    /// Version of the topic's last record, which is all that compaction leaves.
    pub last_version: i64,
}

/// What to do with a specification that somebody wants to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new.
    Send,
    /// It stands there already, as the last word.
    Unchanged,
    /// The service would ignore it, and compaction would then forget the one in force: why, and what to do.
    Refused(String),
}

/// By campaign id; nothing where the topic does not exist.
pub fn read(settings: &Settings, part: &str) -> Outcome<BTreeMap<String, Known>> {
    let connection = connect(settings, part);
    let topic = &settings.topics.campaigns;
    let admin = Admin::connect(&connection, ANSWER_LIMIT)?;
    let partitions = admin.partitions(&[topic])?.remove(topic).flatten().unwrap_or(0);
    let codec = registry::codec(settings, &[])?;
    let mut reader = LogReader::open(&connection, ANSWER_LIMIT)?;
    let mut known = BTreeMap::new();
    for partition in 0..partitions {
        reader.read(topic, partition, From::Earliest, Until::StableEnd, |record| {
            if let Some(Ok(Fact::CampaignSpec(spec))) =
                record.payload.map(|payload| codec.fact(ControlTopic::Campaigns, payload))
            {
                note(&mut known, *spec);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(known)
}

fn note(known: &mut BTreeMap<String, Known>, spec: CampaignSpec) {
    let last_version = spec.version;
    let Some(before) = known.get_mut(&spec.campaign_id) else {
        known.insert(spec.campaign_id.clone(), Known { spec, last_version });
        return;
    };
    before.last_version = last_version;
    if before.spec.account_id != spec.account_id || before.spec.version < spec.version {
        before.spec = spec;
    }
}

/// What becomes of a specification beside the one that is known.
pub fn verdict(spec: &CampaignSpec, known: Option<&Known>) -> Verdict {
    let Some(known) = known.filter(|known| known.spec.account_id == spec.account_id) else { return Verdict::Send };
    let (version, in_force) = (spec.version, known.spec.version);
    if version > in_force {
        Verdict::Send
    } else if *spec != known.spec {
        Verdict::Refused(format!(
            "version {version} is not above version {in_force} in force, and would be ignored; write version = {}",
            in_force.saturating_add(1)
        ))
    } else if known.last_version == version {
        Verdict::Unchanged
    } else {
        // A lower version was written after it: this makes it the last word again.
        Verdict::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(version: i64, name: &str) -> CampaignSpec {
        CampaignSpec { campaign_id: "c".into(), account_id: "a".into(), version, name: name.into(), ..<_>::default() }
    }

    #[test]
    fn what_the_service_would_ignore_is_refused_before_compaction_forgets_what_is_in_force() {
        let mut topic = BTreeMap::new();
        assert_eq!(verdict(&spec(1, "new"), topic.get("c")), Verdict::Send);
        note(&mut topic, spec(1, "old"));
        note(&mut topic, spec(2, "in force"));
        let said = |spec: &CampaignSpec, topic: &BTreeMap<String, Known>| verdict(spec, topic.get("c"));
        assert_eq!(said(&spec(2, "in force"), &topic), Verdict::Unchanged);
        assert_eq!(said(&spec(3, "next"), &topic), Verdict::Send);
        for wrong in [spec(1, "old"), spec(2, "other")] {
            let Verdict::Refused(words) = said(&wrong, &topic) else { panic!("{wrong:?} is sent") };
            assert!(words.contains("version = 3"), "{words}");
        }
        // Who wrote the old one after it may mend that with the one in force.
        note(&mut topic, spec(1, "old"));
        assert_eq!(said(&spec(2, "in force"), &topic), Verdict::Send);
        let elsewhere = CampaignSpec { account_id: "b".into(), ..spec(1, "old") };
        assert_eq!(said(&elsewhere, &topic), Verdict::Send);
    }
}
