//! The broker's topics as they were written: events, specifications, reports, policies.
//!
//! What always holds: it reads committed records up to the stable ends; what does not decode is passed on as it is where it
//! is an event, so that stage 1 refuses it, and left out with a warning elsewhere.

use crate::commands::connect;
use crate::commands::import::Encoded;
use crate::commands::import::map::Kind;
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::service::topology::ANSWER_LIMIT;
use crate::settings::Settings;
use avro_codec::Codec;
use kafka_io::{Admin, From, LogReader, Until};
use model::event::EventKind;
use model::fact::{CampaignSpec, ControlTopic, Fact};
use model::time::Millis;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
/// The name of the policy that counts.
const POLICY_NAME: &str = "default";

/// Open topics.
pub struct Topics {
    settings: Settings,
    codec: Codec,
    reader: LogReader,
    partitions: BTreeMap<String, Option<i32>>,
}

impl Topics {
    /// Connects and asks how many partitions there are.
    pub fn open(settings: &Settings) -> Outcome<Self> {
        let connection = connect(settings, "replay");
        let names = &settings.topics;
        let wanted =
            [&names.impressions, &names.clicks, &names.conversions, &names.campaigns, &names.stats, &names.policy];
        let wanted = wanted.map(String::as_str);
        let partitions = Admin::connect(&connection, ANSWER_LIMIT)?.partitions(&wanted)?;
        let codec = registry::codec_of_the_logs(settings)?;
        let reader = LogReader::open(&connection, PATIENCE)?;
        Ok(Self { settings: settings.clone(), codec, reader, partitions })
    }

    /// Bytes to model, with the ids that these topics use.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Adds all events of a kind that came up to `to`.
    pub fn events(&mut self, kind: EventKind, to: Option<Millis>, records: &mut Vec<Encoded>) -> Outcome {
        let names = &self.settings.topics;
        let topic = match kind {
            EventKind::Impression => names.impressions.clone(),
            EventKind::Click => names.clicks.clone(),
            EventKind::Conversion => names.conversions.clone(),
        };
        self.each(&topic, to, &mut |at, payload, _| {
            records.push(Encoded::recorded(at, Kind::Event(kind), payload.to_vec()));
        })
    }

    /// The same for the platforms' reports.
    pub fn reports(&mut self, to: Option<Millis>, records: &mut Vec<Encoded>) -> Outcome {
        let mut unreadable = 0_u64;
        self.each(&self.settings.topics.stats.clone(), to, &mut |at, payload, codec| match codec
            .fact(ControlTopic::Stats, payload)
        {
            Ok(_) => records.push(Encoded::recorded(at, Kind::Stats, payload.to_vec())),
            Err(_) => unreadable += 1,
        })?;
        warn(unreadable, &self.settings.topics.stats);
        Ok(())
    }

    /// The newest specification of each campaign.
    pub fn specs(&mut self) -> Outcome<Vec<CampaignSpec>> {
        let (mut specs, mut unreadable) = (BTreeMap::<(String, String), CampaignSpec>::new(), 0);
        self.each(&self.settings.topics.campaigns.clone(), None, &mut |_, payload, codec| {
            let Ok(Fact::CampaignSpec(spec)) = codec.fact(ControlTopic::Campaigns, payload) else {
                unreadable += u64::from(!payload.is_empty());
                return;
            };
            let known = specs.entry((spec.account_id.clone(), spec.campaign_id.clone())).or_default();
            if spec.version >= known.version {
                *known = *spec;
            }
        })?;
        warn(unreadable, &self.settings.topics.campaigns);
        Ok(specs.into_values().collect())
    }

    /// The newest policy; nothing where none was published.
    pub fn policy(&mut self) -> Outcome<String> {
        let (mut newest, mut body) = (i64::MIN, String::new());
        self.each(&self.settings.topics.policy.clone(), None, &mut |_, payload, codec| {
            if let Ok(Fact::PolicyVersion(version)) = codec.fact(ControlTopic::Policy, payload)
                && version.name == POLICY_NAME
                && version.version >= newest
            {
                newest = version.version;
                body.clone_from(&version.body);
            }
        })?;
        Ok(body)
    }

    fn each(&mut self, topic: &str, to: Option<Millis>, show: &mut dyn FnMut(Millis, &[u8], &Codec)) -> Outcome {
        let partitions = self.partitions.get(topic).copied().flatten().ok_or_else(|| {
            Failure::setup(
                format!("the topic {topic} is missing"),
                "see `paceline topics plan`, and topics.* of the settings",
            )
        })?;
        let Self { codec, reader, .. } = self;
        for partition in 0..partitions {
            reader.read(topic, partition, From::Earliest, Until::StableEnd, |record| {
                if to.is_some_and(|to| record.timestamp_ms > to) {
                    return ControlFlow::Break(());
                }
                show(record.timestamp_ms, record.payload.unwrap_or_default(), codec);
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }
}

fn warn(unreadable: u64, topic: &str) {
    if unreadable > 0 {
        eprintln!("warning: {unreadable} records of {topic} do not decode and are left out");
    }
}
