//! A rule as a person reads it beside what it said: one shared list a policy, so that showing it costs campaigns nothing.

use super::{Rule, Then, Until};
use crate::settings::Millis;

/// What stands in the policy file, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Law {
    /// The rule's name.
    pub rule: String,
    /// Its condition, on one line.
    pub when: String,
    /// Its action as it is spelt there: `scale_bid 0.9`, `pause day`, `alert warning`; amounts in units of the
    /// campaign's currency.
    pub then: String,
    /// observe, approve, auto; the campaign's own mode may be stricter.
    pub mode: &'static str,
    /// Least time between two times that it speaks about one campaign.
    pub cool_down_ms: Millis,
}

impl From<&Rule> for Law {
    fn from(rule: &Rule) -> Self {
        Self {
            rule: rule.name.clone(),
            when: rule.when.text().split_whitespace().collect::<Vec<_>>().join(" "),
            then: spelt(rule.then),
            mode: rule.mode.as_str(),
            cool_down_ms: rule.cool_down_ms,
        }
    }
}

fn spelt(then: Then) -> String {
    let units = |micros: i64| super::situation::plain(micros as f64 / 1e6);
    match then {
        Then::ScaleBid(factor) => format!("scale_bid {}", super::situation::plain(factor)),
        Then::SetBid(micros) => format!("set_bid {}", units(micros)),
        Then::ScaleBudget(factor) => format!("scale_budget {}", super::situation::plain(factor)),
        Then::SetBudget(micros) => format!("set_budget {}", units(micros)),
        Then::Pause(Until::DayEnd) => "pause day".to_owned(),
        Then::Pause(Until::For(span)) => format!("pause {}", span_of(span)),
        Then::Alert(severity) => format!("alert {severity}"),
    }
}

/// A span as the policy file spells it, in the greatest unit that divides it.
fn span_of(span: Millis) -> String {
    const UNITS: [(Millis, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = UNITS.into_iter().find(|(unit, _)| span > 0 && span % unit == 0);
    unit.map_or_else(|| format!("{span}ms"), |(unit, word)| format!("{}{word}", span / unit))
}
