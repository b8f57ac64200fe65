//! What a campaign's ledger remembers of users' rules: when each spoke last, and which values they hold.
//!
//! What always holds: it changes by commands and proposals alone, which name their rule in a term (`rule/NAME`), so a
//! restart, another build and a replay remember the same. At most [`RULES_MAX`] rules of 16 bytes each, 1.1 kB a campaign.

use crate::seen::fingerprint;
use model::output::{Adjustment, Term};
use model::time::{DAY_MS, Millis};
use policy::rule::RULES_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rules of one campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMemory {
    /// When a rule spoke last, by its name's fingerprint. By name and not by time: the log tells commands and proposals of
    /// one record in another order than they were made.
    spoke: BTreeMap<u64, Millis>,
    /// The loops leave the bid alone until then.
    pub bid_until: Millis,
    /// The loops leave the daily budget alone until then.
    pub budget_until: Millis,
    /// A rule's pause lasts until then.
    pub pause_until: Millis,
}

/// Term that names the rule of a command; its value is the rule's priority.
pub const RULE_TERM: &str = "rule/";
/// Term that names a rule that wanted the same target and lost.
pub const LOST_TERM: &str = "rule_lost/";
/// Term of the instant until which the value, or the pause, is the rule's.
pub const UNTIL_TERM: &str = "rule_until_ms";
/// The longest cool-down: what is older tells nothing.
const KEPT_MS: Millis = 35 * DAY_MS;

impl RuleMemory {
    /// When a rule spoke last.
    pub fn spoke_at(&self, rule: &str) -> Option<Millis> {
        self.spoke.get(&fingerprint(rule)).copied()
    }

    /// Takes a command or proposal of any kind.
    pub fn note(&mut self, record: &Adjustment) {
        let terms = &record.explanation.terms;
        let Some(rule) = terms.iter().find_map(|term| term.name.strip_prefix(RULE_TERM)) else { return };
        let rule = fingerprint(rule);
        let at = record.issued_at;
        self.spoke.retain(|_, spoke| *spoke > at.saturating_sub(KEPT_MS));
        let spoke = self.spoke.entry(rule).or_insert(at);
        *spoke = at.max(*spoke);
        while self.spoke.len() > RULES_MAX {
            let oldest = self.spoke.iter().min_by_key(|(name, at)| (**at, **name)).map(|(name, _)| *name);
            oldest.and_then(|oldest| self.spoke.remove(&oldest));
        }
        let until = terms.iter().find(|term| term.name == UNTIL_TERM).map(|term| term.value);
        let Some(until) = until.filter(|_| record.state == "issued") else { return };
        match record.kind.as_str() {
            "set_bid" => self.bid_until = until,
            "set_daily_budget" => self.budget_until = until,
            "pause" => self.pause_until = until,
            _ => {}
        }
    }
}

/// Whether a rule made the record.
pub fn is_of_a_rule(record: &Adjustment) -> bool {
    record.explanation.terms.iter().any(|term| term.name.starts_with(RULE_TERM))
}

/// The terms of a proposal that name its rule: what an approval of it says again. What the rule holds for a while it holds
/// from the approval on; what it holds to the end of the day, until then.
pub fn terms_of_rule(proposal: &Adjustment, approved_at: Millis, day_end: Millis) -> Vec<Term> {
    let is_rule = |term: &&Term| {
        term.name == UNTIL_TERM || [RULE_TERM, LOST_TERM].iter().any(|start| term.name.starts_with(start))
    };
    let waited = approved_at.saturating_sub(proposal.issued_at).max(0);
    let said_again = |term: &Term| match term.name == UNTIL_TERM && term.value != day_end {
        true => Term { value: term.value.saturating_add(waited), ..term.clone() },
        false => term.clone(),
    };
    proposal.explanation.terms.iter().filter(is_rule).map(said_again).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::Explanation;

    #[test]
    fn a_rule_is_remembered_by_its_records_and_holds_what_was_issued() {
        let record = |rule: &str, at: Millis, state: &str| Adjustment {
            kind: "set_bid".into(),
            state: state.into(),
            issued_at: at,
            explanation: Explanation {
                terms: vec![
                    Term { name: format!("{RULE_TERM}{rule}"), value: 1 },
                    Term { name: UNTIL_TERM.into(), value: at + 10 },
                ],
                ..Explanation::default()
            },
            ..Adjustment::default()
        };
        let mut memory = RuleMemory::default();
        memory.note(&Adjustment::default());
        assert_eq!(memory, RuleMemory::default(), "commands of the loops are none of its business");
        memory.note(&record("a", 5, "observed"));
        assert_eq!((memory.spoke_at("a"), memory.spoke_at("b"), memory.bid_until), (Some(5), None, 0));
        memory.note(&record("a", 7, "issued"));
        assert_eq!((memory.spoke_at("a"), memory.bid_until, memory.spoke.len()), (Some(7), 17, 1));
        for rule in 0..2 * RULES_MAX {
            memory.note(&record(&rule.to_string(), 8, "observed"));
        }
        assert_eq!((memory.spoke.len(), memory.spoke_at("a")), (RULES_MAX, None), "bounded");
        memory.note(&record("a", 20, "issued"));
        memory.note(&record("a", 9, "approved"));
        assert_eq!(memory.spoke_at("a"), Some(20), "a proposal's end tells of its beginning");
    }

    #[test]
    fn an_approved_rule_holds_from_the_approval_on_or_to_the_end_of_the_day() {
        let proposal = Adjustment {
            issued_at: 100,
            explanation: Explanation {
                terms: vec![
                    Term { name: format!("{RULE_TERM}a"), value: 1 },
                    Term { name: UNTIL_TERM.into(), value: 160 },
                    Term { name: "plan_share_ppm".into(), value: 3 },
                ],
                ..Explanation::default()
            },
            ..Adjustment::default()
        };
        let until =
            |approved_at, day_end| terms_of_rule(&proposal, approved_at, day_end).iter().map(|t| t.value).sum::<i64>();
        assert_eq!(until(150, 1_000), 1 + 210);
        assert_eq!(until(150, 160), 1 + 160);
        assert!(is_of_a_rule(&proposal) && !is_of_a_rule(&Adjustment::default()));
    }
}
