//! The words that stand as labels, so that their series exist before the first of them happens.
//!
//! Sets that may grow in another crate are held against its source by the tests below.

use aggregator::reason;
use avro_codec::RejectReason;

/// What a word becomes that is not known here.
pub const OTHER: &str = "other";

/// Kinds of alerts: those of the policy, then the controller's own.
/// Rules and goals of an account are counted under the word before their name.
pub const ALERT_KINDS: [&str; 30] = [
    "early_stop",
    "hard_stop",
    "runaway",
    "underspend_risk",
    "delivery_stopped",
    "tracking_break",
    "cost_spike",
    "invalid_traffic",
    "spec_jump",
    "data_gap",
    "ack_missing",
    "value_mismatch",
    "conversions_without_clicks",
    "cpa_break",
    "click_rate_spike",
    "feed_silent",
    "clock_jump",
    "policy_invalid",
    "integrity_hold",
    "quarantine_full",
    "unknown_campaign",
    "currency_mismatch",
    "halt_outdated",
    "history_lost",
    "breaker",
    "underperformer",
    "experiment_over",
    "first_touch_association",
    "rule",
    "goal_at_risk",
];

/// Kinds of commands.
pub const COMMAND_KINDS: [&str; 11] = [
    "set_bid",
    "set_modifier",
    "set_modifier_table",
    "set_daily_budget",
    "set_flight_budget",
    "set_target",
    "set_weight",
    "pause",
    "resume",
    "exclude",
    "cancel",
];

/// Modes in which commands are issued.
pub const COMMAND_MODES: [&str; 2] = ["approve", "auto"];

/// What an ad-buying system says of a command.
pub const ACK_RESULTS: [&str; 6] = ["applied", "rejected", "conflict", "expired", "superseded", "deferred"];

/// What stage 1 counts beside its records.
pub const STAGE1_EVENTS: [&str; 14] = [
    "touches_late",
    "touches_spilled_out",
    "values_merged",
    "clicks_without_values",
    "touches_unnamed",
    "users_evicted",
    "clicks_evicted",
    "clicks_of_user_evicted",
    "conversions_credited",
    "conversions_unmatched",
    "conversions_waited",
    "conversions_crowded",
    "misplaced",
    "dedupe_unknown",
];

/// Reasons of dead letters: the decoder's, then stage 1's.
pub const REJECT_REASONS: [&str; 15] = {
    let [a, b, c, d, e, f, g, h] = RejectReason::ALL;
    [
        a.as_str(),
        b.as_str(),
        c.as_str(),
        d.as_str(),
        e.as_str(),
        f.as_str(),
        g.as_str(),
        h.as_str(),
        reason::FUTURE,
        reason::TOO_OLD,
        reason::EMPTY_ID,
        reason::OVERSIZED_ID,
        reason::NEGATIVE_MONEY,
        reason::EXCESSIVE_MONEY,
        reason::WRONG_KIND,
    ]
};

/// The kind of an alert as a label.
pub fn alert_kind(kind: &str) -> &'static str {
    known(&ALERT_KINDS, kind.split(':').next().unwrap_or(kind))
}

/// The word, where it is one of these; labels are bounded also where somebody else chooses the words.
pub fn known<'a>(words: &[&'a str], word: &str) -> &'a str {
    words.iter().find(|known| **known == word).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words between `before` and the next quote.
    fn words(source: &str, before: &str) -> Vec<String> {
        source.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    }

    #[test]
    fn every_kind_of_alert_has_its_series() {
        let policy = include_str!("../../../policy/src/anomaly/mod.rs");
        let kinds = policy.split("impl Kind").nth(1).and_then(|rest| rest.split("impl Severity").next()).unwrap();
        let mut found = words(kinds, "=> \"");
        for source in [
            include_str!("../../../controller/src/controller.rs"),
            include_str!("../../../controller/src/desk.rs"),
            include_str!("../../../controller/src/loss.rs"),
        ] {
            found.extend(words(source, "subject(\""));
        }
        assert!(found.len() > 18, "the kinds are not found in their sources: {found:?}");
        let missing: Vec<_> = found.iter().filter(|word| !ALERT_KINDS.contains(&word.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Else a kind is counted as `other`, or a person who meets it finds no word of help.
    #[test]
    fn every_kind_that_is_explained_to_people_has_its_series_and_the_other_way_round() {
        let source = include_str!("../http/assets/alert-help.js");
        let table = source.split("const HELP = {").nth(1).and_then(|rest| rest.split("\n};").next()).unwrap();
        let mut explained: Vec<_> = table.lines().filter_map(|line| Some(line.trim().split_once(": [")?.0)).collect();
        let mut counted = ALERT_KINDS.to_vec();
        explained.sort_unstable();
        counted.sort_unstable();
        assert_eq!(explained, counted);
    }

    #[test]
    fn an_alert_of_a_rule_is_counted_without_its_name() {
        assert_eq!(alert_kind("rule:dear clicks"), "rule");
        assert_eq!(alert_kind("unknown_campaign"), "unknown_campaign");
        assert_eq!(alert_kind("somebody:else"), OTHER);
    }

    #[test]
    fn every_reason_of_stage_1_has_its_series() {
        let source = include_str!("../../../aggregator/src/fold.rs");
        let reasons = source.split("pub mod reason").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
        let found = words(reasons, "= \"");
        assert!(found.len() >= 6 && found.iter().all(|word| REJECT_REASONS.contains(&word.as_str())), "{found:?}");
    }

    #[test]
    fn a_word_that_nobody_knows_makes_no_series_of_its_own() {
        assert_eq!(known(&ACK_RESULTS, "conflict"), "conflict");
        assert_eq!(known(&ACK_RESULTS, "campaign-17"), OTHER);
    }
}
