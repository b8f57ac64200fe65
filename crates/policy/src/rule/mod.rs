//! Rules that users write: whom they concern, when they hold, what they ask for, and who wins where they clash.
//!
//! What always holds: a rule asks and never sends; what it asks for passes the guard like everything else, and its mode
//! can only make the campaign's stricter. A figure that is not known makes no rule match. At one evaluation at most one
//! rule speaks for a target, the one of the highest priority, then the first by name; which others wanted it is kept.
//! Above all rules stand safety (hard stop, runaway, halt, flight) and people; below them the loops, which leave a value
//! alone that a rule has set for the rule's cool-down.
//!
//! Missing on purpose: rules about an account's sums; actions on keywords and creatives; an action that resumes (a
//! rule's pause ends by itself, and a person may end it at any time).

mod law;
mod names;
mod scope;
mod situation;
mod test;

pub use law::Law;
pub use names::{Vocabulary, WINDOWS, Window, all as all_names, kind_of};
pub use scope::Scope;
pub use situation::{Figures, Situation};
pub use test::{Case, Expected, Given};

use crate::guard::{Action, Mode};
use crate::pause::Holder;
use crate::settings::Millis;
use rules::{Absent, Expression};

/// Rules of one policy; each is asked about each campaign it concerns.
pub const RULES_MAX: usize = 64;
/// Bytes of a rule's name: it stands in commands, alerts and lists.
pub const NAME_BYTES_MAX: usize = 64;

/// One `[[rule]]` block.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique in the policy.
    pub name: String,
    /// The highest wins.
    pub priority: i64,
    /// Whom it concerns.
    pub scope: Scope,
    /// When it holds.
    pub when: Expression,
    /// What it asks for.
    pub then: Then,
    /// Before this much was seen it says nothing.
    pub min_data: MinData,
    /// Least time between two times that it speaks about one campaign.
    pub cool_down_ms: Millis,
    /// How far it may go; the campaign's own mode may be stricter.
    pub mode: Mode,
    /// What its author expects of it.
    pub tests: Vec<Case>,
}

/// What a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// The bid in force times this.
    ScaleBid(f64),
    /// This bid, in micros.
    SetBid(i64),
    /// The daily budget in force times this.
    ScaleBudget(f64),
    /// This daily budget, in micros.
    SetBudget(i64),
    /// Stop.
    Pause(Until),
    /// Tell people, with this severity.
    Alert(&'static str),
}

/// How long a rule's pause lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// To the end of the local day.
    DayEnd,
    /// So long.
    For(Millis),
}

/// Evidence that a rule waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinData {
    /// Where the counts are taken.
    pub window: Window,
    /// At least so many.
    pub impressions: i64,
    /// At least so many.
    pub clicks: i64,
    /// At least so many, in millionths.
    pub conversions_micro: i64,
    /// At least so much, in micros.
    pub spend_micros: i64,
    /// At least so many days since the campaign's first event.
    pub days: i64,
}

/// What a rule sets or says; one rule at most speaks for each at one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Running or paused: first, because a paused campaign's bid can wait.
    State,
    /// The bid.
    Bid,
    /// The daily budget.
    Budget,
    /// An alert of its own: rules do not clash there.
    Alert,
}

/// What a rule says of a campaign.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// It does not concern it.
    Elsewhere,
    /// Too little was seen: which figure, and what is wanted.
    TooLittle(&'static str),
    /// A figure is not known.
    Absent(Absent),
    /// It does not hold.
    No,
    /// It holds.
    Yes,
}

impl Rule {
    /// Asks the rule about a campaign.
    pub fn judge(&self, situation: &Situation<'_>) -> Judgement {
        if !self.scope.covers(situation) {
            return Judgement::Elsewhere;
        }
        if let Some(lacking) = self.min_data.lacking(situation) {
            return Judgement::TooLittle(lacking);
        }
        match self.when.holds(situation) {
            Ok(true) => Judgement::Yes,
            Ok(false) => Judgement::No,
            Err(absent) => Judgement::Absent(absent),
        }
    }

    /// The figures that it looked at, as a person reads them.
    pub fn told(&self, situation: &Situation<'_>) -> String {
        let told = self.when.names().into_iter().map(|name| match rules::Facts::value(situation, name) {
            Some(rules::Value::Number(value)) => format!("{name} {}", situation::plain(value)),
            Some(rules::Value::Whole(value)) => format!("{name} {value}"),
            Some(rules::Value::Bool(value)) => format!("{name} {value}"),
            Some(rules::Value::Text(value)) => format!("{name} {value}"),
            None => format!("{name} not known"),
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

impl Then {
    /// What it is about.
    pub fn target(self) -> Target {
        match self {
            Then::ScaleBid(_) | Then::SetBid(_) => Target::Bid,
            Then::ScaleBudget(_) | Then::SetBudget(_) => Target::Budget,
            Then::Pause(_) => Target::State,
            Then::Alert(_) => Target::Alert,
        }
    }

    /// The proposal's action; `in_force` is the value that a factor is of, `None` for an alert and for a factor of
    /// nothing.
    pub fn action(self, in_force: Option<i64>, now_ms: Millis, day_end_ms: Millis) -> Option<Action> {
        let scaled = |factor: f64| Some(in_force? as f64 * factor);
        match self {
            Then::ScaleBid(factor) => Some(Action::SetBid(scaled(factor)?)),
            Then::SetBid(micros) => Some(Action::SetBid(micros as f64)),
            Then::ScaleBudget(factor) => Some(Action::SetDailyBudget(scaled(factor)?)),
            Then::SetBudget(micros) => Some(Action::SetDailyBudget(micros as f64)),
            Then::Pause(until) => Some(Action::Pause(Holder::Rule, Some(until.at(now_ms, day_end_ms)))),
            Then::Alert(_) => None,
        }
    }
}

impl Until {
    /// The instant at which the pause ends.
    pub fn at(self, now_ms: Millis, day_end_ms: Millis) -> Millis {
        match self {
            Until::DayEnd => day_end_ms,
            Until::For(span) => now_ms.saturating_add(span),
        }
    }
}

impl MinData {
    /// What is missing first.
    fn lacking(&self, situation: &Situation<'_>) -> Option<&'static str> {
        if situation.days_running < self.days {
            return Some("days");
        }
        let least = [self.impressions, self.clicks, self.conversions_micro, self.spend_micros];
        if least.iter().all(|least| *least == 0) {
            return None;
        }
        let Some(figures) = situation.window(self.window) else { return Some(self.window.name()) };
        let sums = &figures.sums;
        let seen = [sums.impressions, sums.clicks, sums.conversions_micro, sums.spend_micros];
        let words = ["impressions", "clicks", "conversions", "spend"];
        words.into_iter().zip(seen.into_iter().zip(least)).find(|(_, (seen, least))| seen < least).map(|(word, _)| word)
    }
}

/// Who speaks for each target: the winner with those that lost to it, in the order of the targets. Alerts never clash.
pub fn settle(mut asking: Vec<&Rule>) -> Vec<(&Rule, Vec<&Rule>)> {
    asking.sort_by(|one, other| {
        let order = other.priority.cmp(&one.priority).then_with(|| one.name.cmp(&other.name));
        one.then.target().cmp(&other.then.target()).then(order)
    });
    let mut settled: Vec<(&Rule, Vec<&Rule>)> = Vec::new();
    for rule in asking {
        match settled.last_mut() {
            Some((winner, losers))
                if winner.then.target() == rule.then.target() && rule.then.target() != Target::Alert =>
            {
                losers.push(rule);
            }
            _ => settled.push((rule, Vec::new())),
        }
    }
    settled
}

/// The windows that some rule reads.
pub fn windows_read(rules: &[Rule]) -> [bool; WINDOWS.len()] {
    let mut read = [false; WINDOWS.len()];
    for rule in rules {
        read[rule.min_data.window as usize] = true;
        for window in rule.when.names().into_iter().filter_map(Window::of_name) {
            read[window as usize] = true;
        }
    }
    read
}

#[cfg(test)]
mod tests;
