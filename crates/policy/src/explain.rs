//! Says a decision: closed words for programs, one plain sentence for people.
//!
//! What always holds: the sentence is made from the terms of the decision alone, so that a replay says the same; amounts
//! have the digits of their currency. Missing on purpose: other languages, and markup.

use crate::arithmetic::{half_to_even, unit_of_currency};
use crate::gates::WhyNothing;
use serde::{Deserialize, Serialize};

/// Why a command is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// Spend is behind what the rest of the plan needs.
    PacingBehind,
    /// Spend is ahead of it.
    PacingAhead,
    /// The bid in force is outside the campaign's bounds.
    OutsideBounds,
    /// The cost of matured conversions is above or below the target.
    Target,
    /// The day's ceiling is reached.
    DailyCap,
    /// A new local day lifts the daily cap.
    DayStarted,
    /// Far more than planned was spent within minutes.
    Runaway,
    /// The pause after a runaway is over.
    RunawayOver,
    /// The flight has ended.
    FlightEnd,
    /// The kill switch.
    Halt,
    /// It is not this hour's turn of a tiny budget, or it is again.
    TinyBudgetTurn,
    /// Matured money brings clearly less than half of what the target promises.
    Underperformer,
    /// Conversions that came late say otherwise.
    UnderperformerOver,
    /// Budgets of the next day.
    BudgetPlan,
    /// A click of some hours is worth more or less than the mean.
    Modifiers,
    /// Money moves between campaigns.
    Reallocation,
    /// A small shift of budgets shows what money brings.
    Exploration,
    /// The budget in force is not what the campaign's pool gives it.
    PoolReturn,
    /// A value in force is said again before its life ends.
    Affirm,
    /// A person asked for it.
    Person,
    /// A person takes a command back.
    Undo,
    /// A user's rule asks for it.
    Rule,
}

impl Reason {
    /// The closed word of the command.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::PacingBehind => "pacing_behind",
            Reason::PacingAhead => "pacing_ahead",
            Reason::OutsideBounds => "outside_bounds",
            Reason::Target => "target",
            Reason::DailyCap => "daily_cap",
            Reason::DayStarted => "day_started",
            Reason::Runaway => "runaway",
            Reason::RunawayOver => "runaway_over",
            Reason::FlightEnd => "flight_end",
            Reason::Halt => "halt",
            Reason::TinyBudgetTurn => "tiny_budget_turn",
            Reason::Underperformer => "underperformer",
            Reason::UnderperformerOver => "underperformer_over",
            Reason::BudgetPlan => "budget_plan",
            Reason::Modifiers => "modifiers",
            Reason::Reallocation => "reallocation",
            Reason::Exploration => "exploration",
            Reason::PoolReturn => "pool_return",
            Reason::Affirm => "affirm",
            Reason::Person => "person",
            Reason::Undo => "undo",
            Reason::Rule => "rule",
        }
    }

    /// Hard stop, runaway and halt do not wait: their decreases skip cool-down, dead band and limits on cuts.
    pub fn is_emergency(self) -> bool {
        matches!(self, Reason::DailyCap | Reason::Runaway | Reason::Halt)
    }

    fn says(self) -> &'static str {
        match self {
            Reason::PacingBehind => "spend is behind what the rest of the plan needs",
            Reason::PacingAhead => "spend is ahead of what the rest of the plan needs",
            Reason::OutsideBounds => "the value in force is outside the campaign's bounds",
            Reason::Target => "the cost of conversions is off the target",
            Reason::DailyCap => "the day's ceiling is reached before a later pause could act",
            Reason::DayStarted => "a new day has started",
            Reason::Runaway => "far more than planned was spent within minutes",
            Reason::RunawayOver => "the pause after a runaway is over",
            Reason::FlightEnd => "the flight has ended",
            Reason::Halt => "a halt is set",
            Reason::TinyBudgetTurn => "the budget buys too few events to be paced, so hours take turns",
            Reason::Underperformer => {
                "matured spend brings clearly less than half of what the target promises, at the lowest bid, too"
            }
            Reason::UnderperformerOver => "conversions that came late say that it is worth its money",
            Reason::BudgetPlan => "the plan of the next day asks for it",
            Reason::Modifiers => "some clicks are worth clearly more than others",
            Reason::Reallocation => "money moves to where it returns more",
            Reason::Exploration => "a small shift shows what money brings",
            Reason::PoolReturn => "the campaign's pool gives it another budget than the one in force",
            Reason::Affirm => "the value is right and its life would end",
            Reason::Person => "a person asked for it",
            Reason::Undo => "a person takes the last command back",
            Reason::Rule => "a rule asks for it",
        }
    }
}

/// The terms of a decision that the sentence uses; what is absent is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Story<'a> {
    /// The command's kind: set_bid, pause, ...
    pub kind: &'a str,
    /// ISO 4217.
    pub currency: &'a str,
    /// Value in force.
    pub from_micros: Option<i64>,
    /// Value commanded.
    pub to_micros: Option<i64>,
    /// E.
    pub exposed_micros: Option<i64>,
    /// B.
    pub budget_micros: Option<i64>,
    /// F(W).
    pub plan_share: Option<f64>,
    /// S_w.
    pub window_spend_micros: Option<i64>,
    /// S_w is what the window would have cost at the bid that the loop stood at.
    pub is_at_bid: bool,
    /// R.
    pub need_micros: Option<i64>,
    /// w.
    pub window_minutes: i64,
    /// mu and k of a target CPA, in micro-conversions.
    pub conversions_due_and_seen: Option<(i64, i64)>,
}

/// One plain sentence: what, why, with which numbers.
pub fn sentence(reason: Reason, story: &Story<'_>) -> String {
    let mut text = format!("{}: {}", action(story), reason.says());
    if let (Some(exposed), Some(budget)) = (story.exposed_micros, story.budget_micros) {
        text += &format!("; {} of {} spent or on its way", plain(exposed, story), money(budget, story));
        let planned = story.plan_share.and_then(|share| half_to_even(budget as f64 * share).ok());
        if let Some(planned) = planned {
            text += &format!(", planned by now {}", plain(planned, story));
        }
    }
    if let (Some(spend), Some(need)) = (story.window_spend_micros, story.need_micros) {
        let minutes = story.window_minutes;
        let (spend, need) = (plain(spend, story), plain(need, story));
        text += &if story.is_at_bid {
            format!("; at the bid so far the last {minutes} min would have cost {spend} and need {need}")
        } else {
            format!("; the last {minutes} min cost {spend} and need {need}")
        };
    }
    if let Some((due, seen)) = story.conversions_due_and_seen {
        let tenths = |micro: i64| half_to_even(micro as f64 / 1e5).unwrap_or(0) as f64 / 10.0;
        text += &format!("; {:.1} conversions were due by now and {:.1} were seen", tenths(due), tenths(seen));
    }
    text + "."
}

/// What a platform's week or month leaves, where that is less than the budgets of the days: after the sentence.
pub fn ceiling_sentence(period: &str, left_micros: i64, currency: &str) -> String {
    format!(" The platform's {period} leaves {} for today and the days to come.", amount(left_micros, currency))
}

/// What a move within a pool rests on: the return of the last unit of money over the pool's mean, and how many campaigns the
/// move is about; of a proposal by curves the gain with its interval.
pub fn pool_sentence(return_ppm: i64, parts: usize, drawn: Option<bool>, gain_ppm: Option<[i64; 3]>) -> String {
    let hundredths = |ppm: i64| (i128::from(ppm) + 5_000).div_euclid(10_000);
    let share = |ppm: i64| {
        let tenths = (i128::from(ppm) + 500).div_euclid(1_000);
        let sign = if tenths < 0 { "-" } else { "" };
        format!("{sign}{}.{} %", tenths.abs() / 10, tenths.abs() % 10)
    };
    let returns = hundredths(return_ppm);
    let part = format!("{parts} budgets change by 0 in sum");
    match (drawn, gain_ppm) {
        (Some(false), _) => format!("Back to the budget before the shifts that were drawn; {part}."),
        (Some(true), _) => format!("Up or down was drawn, one half each; {part}."),
        (None, Some([low, mid, high])) => format!(
            "By what was learned the pool gains {} ({} to {}, at all looks together); {part}.",
            share(mid),
            share(low),
            share(high)
        ),
        (None, None) => format!(
            "The last unit of money returns {}.{:02} times the pool's mean here; {part}.",
            returns / 100,
            returns.rem_euclid(100)
        ),
    }
}

/// A term of a decision for people: `spend_day_micros 20377727` reads as `spend day 20.37 EUR`. The name's last word is its unit;
/// what has no known unit stays a number.
pub fn term_in_words(name: &str, value: i64, currency: &str) -> String {
    let (name, said) = match name.rsplit_once('_') {
        Some((name, "micros")) => (name, amount(value, currency)),
        Some((name, "ppm")) => (name, format!("{} %", fixed(value, 10_000, 1))),
        Some((name, "ms")) => (name, span_in_words(value)),
        Some((name, "milli")) => (name, fixed(value, 1_000, 1)),
        Some((name, "micro")) => (name, fixed(value, 1_000_000, 1)),
        Some((rest, "nats")) if rest.ends_with("_micro") => {
            (rest.trim_end_matches("_micro"), fixed(value, 1_000_000, 3))
        }
        _ => (name, value.to_string()),
    };
    format!("{} {said}", name.replace('_', " "))
}

/// Seconds, minutes, hours or days, whichever is short to say.
fn span_in_words(ms: i64) -> String {
    match ms.unsigned_abs() {
        0..120_000 => format!("{} s", fixed(ms, 1_000, 0)),
        120_000..7_200_000 => format!("{} min", fixed(ms, 60_000, 0)),
        7_200_000..172_800_000 => format!("{} h", fixed(ms, 3_600_000, 0)),
        _ => format!("{} d", fixed(ms, 86_400_000, 1)),
    }
}

/// A whole number of parts as a decimal of so many digits, rounded down in size.
fn fixed(value: i64, parts: u64, digits: usize) -> String {
    let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let scale = 10_u128.pow(digits as u32);
    let scaled = u128::from(size) * scale / u128::from(parts.max(1));
    let fraction = if digits == 0 { String::new() } else { format!(".{:0digits$}", scaled % scale) };
    format!("{sign}{}{fraction}", scaled / scale)
}

/// What happens without the command: for the explanation's last line.
pub fn without(reason: Reason, story: &Story<'_>) -> String {
    let left = match (story.budget_micros, story.exposed_micros) {
        (Some(budget), Some(exposed)) => budget.saturating_sub(exposed),
        _ => return "The value in force stays.".into(),
    };
    match reason {
        Reason::DailyCap | Reason::Runaway => "Spend goes on above what the day may cost.".into(),
        Reason::PacingAhead => "The budget is gone before the day is.".into(),
        Reason::PacingBehind => format!("A part of the {} left stays unspent.", money(left.max(0), story)),
        _ => "The value in force stays.".into(),
    }
}

/// Why nothing was decided, in a sentence.
pub fn why_nothing(why: WhyNothing) -> &'static str {
    match why {
        WhyNothing::HaltedGlobal => "Everything is halted.",
        WhyNothing::HaltedAccount => "The account is halted.",
        WhyNothing::HaltedCampaign => "The campaign is halted.",
        WhyNothing::NoSpec => "No specification has arrived.",
        WhyNothing::Ended => "The campaign has ended.",
        WhyNothing::BeforeFlight => "The flight has not begun.",
        WhyNothing::AfterFlight => "The flight is over.",
        WhyNothing::PausedByPerson => "A person has paused the campaign.",
        WhyNothing::Protected => "The campaign is protected and never touched.",
        WhyNothing::NotOurs => "Somebody else controls this value.",
        WhyNothing::NoBidBounds => {
            "The specification gives no lowest and highest bid, so the campaign is only observed."
        }
        WhyNothing::NoBudget => "The specification gives no budget, so the campaign is only observed.",
        WhyNothing::HumanOverride => "Somebody set another value less than a day ago; it is left alone.",
        WhyNothing::AwaitingAck => "The last command has not been answered yet.",
        WhyNothing::ChangeFreeze => "People have asked for no changes now; only the hard stop is sent.",
        WhyNothing::Learning => "The platform is learning; only decreases are sent.",
        WhyNothing::IntegrityGap => "Journal and log do not agree; only decreases are sent.",
        WhyNothing::StaleData => "The data are old; only decreases are sent.",
        WhyNothing::DeadData => "The data are too old for anything but the hard stop.",
    }
}

/// An amount with its currency: `12.34 EUR`, `1200 JPY`.
pub fn amount(micros: i64, currency: &str) -> String {
    let digits = match unit_of_currency(currency) {
        1_000_000 => 0,
        1_000 => 3,
        _ => 2,
    };
    // A bid of a thousandth would read as nothing: show what is there.
    let digits = if micros != 0 && micros.unsigned_abs() < 100_000 { 6 } else { digits };
    let (sign, size) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (whole, fraction) = (size / 1_000_000, size % 1_000_000);
    match digits {
        0 => format!("{sign}{whole} {currency}"),
        digits => format!("{sign}{whole}.{:0digits$} {currency}", fraction / 10_u64.pow(6 - digits as u32)),
    }
}

fn action(story: &Story<'_>) -> String {
    let what = match story.kind {
        "set_bid" => "Bid",
        "set_daily_budget" => "Daily budget",
        "set_target" => "Target",
        "set_modifier_table" => return "Factors on the bid by hour".into(),
        "set_modifier" => return "A factor on the bid".into(),
        "pause" => return "Pause".into(),
        "resume" => return "Resume".into(),
        other => other,
    };
    match (story.from_micros, story.to_micros) {
        (Some(from), Some(to)) if to > from => format!("{what} up from {} to {}", plain(from, story), money(to, story)),
        (Some(from), Some(to)) if to < from => {
            format!("{what} down from {} to {}", plain(from, story), money(to, story))
        }
        (_, Some(to)) => format!("{what} {}", money(to, story)),
        _ => what.to_owned(),
    }
}

fn money(micros: i64, story: &Story<'_>) -> String {
    amount(micros, story.currency)
}

fn plain(micros: i64, story: &Story<'_>) -> String {
    money(micros, story).trim_end_matches(story.currency).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raise_is_told_with_its_numbers() {
        let story = Story {
            kind: "set_bid",
            currency: "EUR",
            from_micros: Some(500_000),
            to_micros: Some(550_000),
            exposed_micros: Some(60_000_000),
            budget_micros: Some(240_000_000),
            plan_share: Some(0.5),
            window_spend_micros: Some(4_000_000),
            is_at_bid: false,
            need_micros: Some(10_000_000),
            window_minutes: 60,
            conversions_due_and_seen: None,
        };
        assert_eq!(
            sentence(Reason::PacingBehind, &story),
            "Bid up from 0.50 to 0.55 EUR: spend is behind what the rest of the plan needs; 60.00 of 240.00 EUR spent or \
             on its way, planned by now 120.00; the last 60 min cost 4.00 and need 10.00."
        );
        let judged = sentence(Reason::PacingBehind, &Story { is_at_bid: true, ..story });
        assert!(
            judged.ends_with("120.00; at the bid so far the last 60 min would have cost 4.00 and need 10.00."),
            "{judged}"
        );
        assert_eq!(without(Reason::PacingBehind, &story), "A part of the 180.00 EUR left stays unspent.");
        let off = Story { conversions_due_and_seen: Some((52_340_000, 41_000_000)), ..Story::default() };
        assert_eq!(
            sentence(Reason::Target, &Story { kind: "set_bid", currency: "EUR", to_micros: Some(550_000), ..off }),
            "Bid 0.55 EUR: the cost of conversions is off the target; 52.3 conversions were due by now and 41.0 were seen."
        );
        let pause = Story { kind: "pause", currency: "EUR", ..Story::default() };
        assert_eq!(
            sentence(Reason::DailyCap, &pause),
            "Pause: the day's ceiling is reached before a later pause could act."
        );
    }

    #[test]
    fn terms_are_said_in_their_units() {
        let said = |name, value| term_in_words(name, value, "EUR");
        assert_eq!(said("spend_day_micros", 20_377_727), "spend day 20.37 EUR");
        assert_eq!(said("plan_share_ppm", 66_194), "plan share 6.6 %");
        assert_eq!(said("data_age_ms", 7_365), "data age 7 s");
        assert_eq!(said("target_window_ms", 259_200_000), "target window 3.0 d");
        assert_eq!(said("target_due_micro", 52_340_000), "target due 52.3");
        assert_eq!(said("target_log_bid_micro_nats", -4_060), "target log bid -0.004");
        assert_eq!(said("group_parts", 3), "group parts 3");
        assert_eq!(said("data_age_ms", i64::MIN), "data age -106751991167.3 d");
    }

    #[test]
    fn amounts_have_the_digits_of_their_currency() {
        let all = [(1_239_999, "EUR"), (1_200_000_000, "JPY"), (-1_500_000, "KWD"), (2_150, "EUR"), (i64::MIN, "EUR")];
        assert_eq!(
            all.map(|(micros, currency)| amount(micros, currency)),
            ["1.23 EUR", "1200 JPY", "-1.500 KWD", "0.002150 EUR", "-9223372036854.77 EUR"]
        );
    }
}
