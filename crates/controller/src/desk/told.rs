//! A finding in a person's words.

use crate::alerts::Condition;
use model::time::MINUTE_MS;
use policy::anomaly::{Finding, Kind, Severity};
use policy::composition::Binding;
use policy::explain::amount;

pub(super) fn condition(finding: &Finding, campaign_id: &str, currency: &str, binding: Binding) -> Condition {
    Condition {
        severity: finding.severity.as_str(),
        observed: Some(finding.observed),
        expected: Some(finding.expected),
        money_at_stake_micros: finding.at_stake_micros,
        text: format!("Campaign {campaign_id}: {}.", told(finding, currency, binding)),
        suggested_command: None,
        incident_id: None,
    }
}

/// What was seen and what was expected, as a person says it.
pub(super) fn told(finding: &Finding, currency: &str, binding: Binding) -> String {
    let (seen, wanted) = (finding.observed, finding.expected);
    let money = |micros: i64| amount(micros, currency);
    let minutes = |span_ms: i64| span_ms / MINUTE_MS;
    match finding.kind {
        Kind::HardStop => {
            format!("spend will reach {} before a later pause could act, the ceiling is {}", money(seen), money(wanted))
        }
        Kind::EarlyStop => format!(
            "the day's budget was used up early: {} spent or on its way, {} was planned by now",
            money(seen),
            money(wanted)
        ),
        Kind::Runaway => {
            format!("{} were spent in five minutes, {} was the most to be expected", money(seen), money(wanted))
        }
        Kind::UnderspendRisk => {
            format!("the period will end at {} of {}: {}", money(seen), money(wanted), what_binds(binding))
        }
        Kind::DeliveryStopped => format!("no event, though about {wanted} were due"),
        Kind::TrackingBreak => format!("{seen} conversions arrived where about {wanted} were due, and clicks flow"),
        Kind::CostSpike => format!("an event costs {}, usual is {}", money(seen), money(wanted)),
        Kind::InvalidTraffic => format!("{seen} invalid clicks within a day, about {wanted} are usual"),
        Kind::UnexplainedConversions => format!(
            "{seen} conversions arrived within a day where the clicks explain about {wanted}: a pixel that fires twice, an \
             import, or a fraud; the target rests"
        ),
        Kind::CpaBreak => format!(
            "{seen} conversions arrived within a day where about {wanted} were due: each costs more than it did, and the \
             tracking lives"
        ),
        Kind::ClickRateSpike => {
            format!("{seen} clicks within an hour where the impressions explain about {wanted}: suspect traffic")
        }
        Kind::FeedSilent => format!(
            "none of the events that cost money came, though about {wanted} were due by the others: their feed may be dead, \
             and spend is not seen"
        ),
        Kind::SpecJump => {
            format!("a number of the new specification jumped from {wanted} to {seen} and waits for a person")
        }
        Kind::DataGap => format!(
            "the newest data are {} min old, more than {} min, so increases are held",
            minutes(seen),
            minutes(wanted)
        ),
        Kind::AckMissing if finding.severity == Severity::Critical => {
            "a pause was not answered in time or was refused, so spend may go on: pause it by hand and look at the ad-buying system"
                .to_owned()
        }
        Kind::AckMissing => format!("{seen} command(s) were not answered in time"),
        Kind::ValueMismatch => format!("{} is in force where {} was set", money(seen), money(wanted)),
    }
}

/// Why the money stays, and what would move it.
fn what_binds(binding: Binding) -> &'static str {
    match binding {
        Binding::Budget => "the bid follows the budget and is catching up",
        Binding::Target => "the target holds the bid, more budget changes nothing",
        Binding::BidMax => "the highest bid holds it",
        Binding::BidMin => "the bid is at its lowest",
        Binding::Supply => "there is too little traffic, or too few events to raise the bid on",
        Binding::None => "no bid of ours is in force",
    }
}
