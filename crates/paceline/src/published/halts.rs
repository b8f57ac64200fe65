//! Halts in force, with who gave the word and why.
//!
//! Which scopes are stopped is the controller's word; actor and reason stand in the journal record alone, so they are
//! null for a halt that was given before this process read the journal.

use super::Published;
use controller::HaltInForce;
use model::fact::Fact;
use model::journal::JournalRecord;
use model::time::Millis;
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Words on halts remembered for the list of those in force.
const WORDS_MAX: usize = 1_000;

/// A halt in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct HaltView {
    /// As the command line and the API take it.
    pub scope: String,
    /// global, account, campaign, integrity.
    pub level: &'static str,
    pub account_id: Option<String>,
    pub campaign_id: Option<String>,
    pub since: Option<Millis>,
    pub since_reason: Option<&'static str>,
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub actor_reason: Option<&'static str>,
}

/// What is held of halts.
#[derive(Default)]
pub(super) struct Halts {
    in_force: Mutex<Vec<HaltView>>,
    words: Mutex<VecDeque<Word>>,
}

/// Who halted a scope and why.
struct Word {
    scope: String,
    actor: String,
    reason: String,
}

impl Published {
    /// Replaces the halts in force; a scope may be told by several partitions.
    pub fn put_halts(&self, halts: impl IntoIterator<Item = HaltView>) {
        let mut all: BTreeMap<String, HaltView> = BTreeMap::new();
        for halt in halts {
            let known = all.entry(halt.scope.clone()).or_insert_with(|| halt.clone());
            known.since = known.since.max(halt.since);
        }
        let mut all: Vec<HaltView> = all.into_values().collect();
        if let Ok(words) = self.halts.words.lock() {
            all.iter_mut().for_each(|halt| halt.name(&words));
        }
        all.sort_by_key(|halt| ["integrity", "global", "account"].iter().position(|l| halt.level == *l).unwrap_or(3));
        let Ok(mut held) = self.halts.in_force.lock() else { return };
        if *held != all {
            self.hub.tell("halt", &json!({ "halts": all }));
            *held = all;
        }
    }

    /// Remembers who halted what, of a record that is applied now.
    pub fn note_halts(&self, record: &JournalRecord) {
        for fact in &record.facts {
            let Fact::Halt(halt) = &fact.record else { continue };
            if halt.action != "set" {
                continue;
            }
            let scope = scope(&halt.scope, halt.account_id.as_deref(), halt.campaign_id.as_deref());
            let Ok(mut words) = self.halts.words.lock() else { return };
            words.retain(|word| word.scope != scope);
            if words.len() >= WORDS_MAX {
                words.pop_front();
            }
            words.push_back(Word { scope, actor: halt.actor.clone(), reason: halt.reason.clone() });
        }
    }

    /// Halts in force, the widest first.
    pub fn halts(&self) -> Vec<HaltView> {
        self.halts.in_force.lock().map(|halts| halts.clone()).unwrap_or_default()
    }
}

impl HaltView {
    /// The latch that a gap in the journal sets, with its reason.
    pub fn integrity(reason: &str) -> Self {
        Self {
            scope: "integrity".into(),
            level: "integrity",
            actor: Some("paceline".into()),
            reason: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    fn name(&mut self, words: &VecDeque<Word>) {
        if let Some(word) = words.iter().find(|word| word.scope == self.scope) {
            self.actor = Some(word.actor.clone());
            self.reason = Some(word.reason.clone());
        }
        self.since_reason = self.since.is_none().then_some("not_recorded");
        self.actor_reason = self.actor.is_none().then_some("given_before_this_process_started");
    }
}

impl From<HaltInForce> for HaltView {
    fn from(halt: HaltInForce) -> Self {
        Self {
            scope: scope(halt.scope, halt.account_id.as_deref(), halt.campaign_id.as_deref()),
            level: halt.scope,
            account_id: halt.account_id,
            campaign_id: halt.campaign_id,
            since: halt.since,
            ..Self::default()
        }
    }
}

/// A scope as the command line takes it.
fn scope(level: &str, account: Option<&str>, campaign: Option<&str>) -> String {
    match (level, account, campaign) {
        ("account", Some(account), _) => format!("account={account}"),
        ("campaign", Some(account), Some(campaign)) => format!("campaign={account}/{campaign}"),
        _ => level.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::fact::Halt;
    use model::journal::CopiedFact;

    #[test]
    fn a_scope_told_by_two_partitions_is_one_halt_with_who_gave_it() {
        let published = Published::default();
        let word = Halt {
            scope: "account".into(),
            account_id: Some("acme".into()),
            action: "set".into(),
            actor: "ann".into(),
            reason: "wrong prices".into(),
            ..Halt::default()
        };
        let fact = CopiedFact {
            topic: "ads.feedback".into(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            record: Fact::Halt(Box::new(word)),
        };
        published.note_halts(&JournalRecord { facts: vec![fact], ..JournalRecord::default() });
        let told = |since| {
            let account_id = Some("acme".into());
            HaltView::from(HaltInForce { scope: "account", account_id, campaign_id: None, since })
        };
        published.put_halts([told(None), told(Some(7))]);
        let halts = published.halts();
        assert_eq!(halts.len(), 1);
        assert_eq!((halts[0].scope.as_str(), halts[0].since, halts[0].since_reason), ("account=acme", Some(7), None));
        assert_eq!((halts[0].actor.as_deref(), halts[0].reason.as_deref()), (Some("ann"), Some("wrong prices")));
    }
}
