//! What stage 1 needs of the policy, read from `paceline.policy` by every worker itself, without a group.
//!
//! A worker adopts a newer version at an epoch's end and the Epoch record names it; a replay needs the very versions
//! that its epochs name, so all that were seen are kept.

use super::context::Context;
use crate::failure::{Failure, Outcome};
use aggregator::Semantics;
use kafka_io::{From, LogReader, Until};
use model::fact::{ControlTopic, Fact, PolicyVersion};
use model::time::Millis;
use policy::settings::Stage1;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The policy whose `[stage1]` table counts.
pub const POLICY_NAME: &str = "default";
/// A new version is adopted within this time; changes of horizons are rare and never urgent.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The journal keeps copies, so these are enough for any replay inside a snapshot's age.
const VERSIONS_KEPT: usize = 256;
const PATIENCE: Duration = Duration::from_secs(10);

/// Versions of the semantics, oldest first.
#[derive(Clone)]
pub struct PolicyFeed {
    versions: Arc<Mutex<BTreeMap<i64, Version>>>,
}

#[derive(Clone, Copy)]
struct Version {
    semantics: Semantics,
    waits: Waits,
}

/// How the worker reads: how far siblings may run apart, and when each is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Greatest difference of record time.
    pub sibling_skew_ms: Millis,
    /// Silence after the end that makes a source idle: impressions, clicks, conversions.
    pub idle_after_ms: [Millis; 3],
}

impl PolicyFeed {
    /// Reads the topic to its end, then follows it on a thread of its own.
    pub fn start(context: &Context) -> Outcome<Self> {
        let epoch = &context.settings.epoch;
        // Until a policy is applied the settings hold.
        let waits = Waits { sibling_skew_ms: epoch.sibling_skew_ms, idle_after_ms: [epoch.idle_after_ms; 3] };
        let built_in = Version { semantics: Semantics::default(), waits };
        let versions = Arc::new(Mutex::new(BTreeMap::from([(0, built_in)])));
        let feed = Self { versions };
        let mut positions = BTreeMap::new();
        let mut reader = LogReader::open(&context.connection("policy"), PATIENCE)?;
        feed.look(context, &mut reader, &mut positions)?;
        let (follower, context) = (feed.clone(), context.clone());
        let follow = move || {
            while !context.stop.is_asked() {
                std::thread::park_timeout(LOOK_EVERY);
                if let Err(failure) = follower.look(&context, &mut reader, &mut positions) {
                    tracing::warn!(%failure, "the policy topic cannot be read; the last version stays");
                }
            }
        };
        std::thread::Builder::new()
            .name("policy".into())
            .spawn(follow)
            .map_err(|error| Failure::failed(format!("cannot start the policy thread: {error}"), ""))?;
        Ok(feed)
    }

    /// The newest version.
    pub fn semantics(&self) -> Option<Semantics> {
        self.newest().map(|version| version.semantics)
    }

    /// How the worker reads now.
    pub fn waits(&self) -> Option<Waits> {
        self.newest().map(|version| version.waits)
    }

    fn newest(&self) -> Option<Version> {
        self.versions.lock().ok()?.last_key_value().map(|(_, version)| *version)
    }

    /// One version, where it was seen.
    pub fn version(&self, version: i64) -> Option<Semantics> {
        self.versions.lock().ok()?.get(&version).map(|version| version.semantics)
    }

    /// Takes a version found elsewhere: in the journal, whose copies outlive compaction.
    pub fn learn(&self, policy: &PolicyVersion) {
        if policy.name != POLICY_NAME {
            return;
        }
        match parse(policy) {
            Ok(version) => {
                if let Ok(mut versions) = self.versions.lock() {
                    // The first body of a version is the one that was lived by.
                    versions.entry(policy.version).or_insert(version);
                    while versions.len() > VERSIONS_KEPT {
                        versions.pop_first();
                    }
                }
            }
            Err(mistakes) => tracing::error!(version = policy.version, %mistakes, "policy version ignored by stage 1"),
        }
    }

    fn look(&self, context: &Context, reader: &mut LogReader, positions: &mut BTreeMap<i32, i64>) -> Outcome {
        let topic = &context.settings.topics.policy;
        for partition in 0..context.topology.policy_partitions {
            let from = positions.get(&partition).map_or(From::Earliest, |next| From::Offset(*next));
            let report = reader.read(topic, partition, from, Until::StableEnd, |record| {
                if let Some(Ok(Fact::PolicyVersion(policy))) =
                    record.payload.map(|payload| context.codec.fact(ControlTopic::Policy, payload))
                {
                    self.learn(&policy);
                }
                ControlFlow::Continue(())
            })?;
            positions.insert(partition, report.next_offset);
        }
        Ok(())
    }
}

fn parse(policy: &PolicyVersion) -> Result<Version, String> {
    let parsed = policy::settings::check(&policy.body)
        .map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let stage1 = parsed.stage1;
    let waits = Waits { sibling_skew_ms: stage1.sibling_skew_ms, idle_after_ms: idle_after_ms(&stage1) };
    let semantics = semantics(policy.version, &stage1);
    Ok(Version { semantics, waits })
}

/// A topic without events for so long is idle: impressions, clicks, conversions.
pub fn idle_after_ms(stage1: &Stage1) -> [Millis; 3] {
    let period = &stage1.idle_period;
    let periods = [period.impressions_ms, period.clicks_ms, period.conversions_ms];
    periods.map(|period_ms| stage1.idle_after_ms.saturating_add(period_ms))
}

/// What stage 1 does under a version of the policy.
pub fn semantics(version: i64, stage1: &Stage1) -> Semantics {
    Semantics {
        version,
        allowed_delay_ms: stage1.allowed_delay_ms,
        conversion_wait_ms: stage1.conversion_wait_ms,
        impressions_per_user: stage1.impressions_per_user_max,
        click_lookback_ms: stage1.lookback_clicks_ms,
        impression_lookback_ms: stage1.lookback_impressions_ms,
        dedupe_horizons_ms: [stage1.dedupe_impressions_ms, stage1.dedupe_clicks_ms, stage1.dedupe_conversions_ms],
        future_max_ms: stage1.future_max_ms,
        age_max_ms: stage1.age_max_ms,
        ..Semantics::default()
    }
}
