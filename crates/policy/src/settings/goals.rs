//! The `[[goal]]` blocks of a policy file: goals of accounts. A campaign's own goal stands in its specification.

use super::file::Mistake;
use super::overlay::unknown;
use super::rules::is_name;
use crate::goal::{AccountGoal, Aim, Direction, Metric};
use crate::rule::NAME_BYTES_MAX;
use crate::settings::Millis;
use model::time::DAY_MS;
use toml::value::{Date, Datetime};
use toml::{Table, Value};

/// Days are kept for 35 days, so a goal of an account can reach back no further.
const SPAN_MAX_MS: Millis = 35 * DAY_MS;
/// Goals of one policy: each is summed over its account's campaigns every few minutes.
const GOALS_MAX: usize = 64;
/// Longest id of an account, by the contract.
pub(super) const ACCOUNT_BYTES_MAX: usize = 256;
const KEYS: [&str; 8] = ["name", "account", "currency", "metric", "direction", "target", "from", "deadline"];

/// Reads the blocks; mistakes go to the list.
pub(super) fn goals(value: Option<&Value>, mistakes: &mut Vec<Mistake>) -> Vec<AccountGoal> {
    let blocks = match value {
        None => return Vec::new(),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => {
            mistakes.push(Mistake::new("goal".into(), "must be written as [[goal]] blocks".into()));
            return Vec::new();
        }
    };
    if blocks.len() > GOALS_MAX {
        mistakes.push(Mistake::new("goal".into(), format!("{} goals, at most {GOALS_MAX} are followed", blocks.len())));
    }
    let mut goals: Vec<AccountGoal> = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let mut tell = |what: String| mistakes.push(Mistake::new(format!("goal[{index}]"), what));
        let Some(goal) = block.as_table().and_then(|block| goal(block, &mut tell)) else { continue };
        if goals.iter().any(|known| known.name == goal.name) {
            tell("a goal of this name stands above".into());
        }
        goals.push(goal);
    }
    goals.sort_by(|one, other| one.name.cmp(&other.name));
    goals
}

fn goal(block: &Table, tell: &mut dyn FnMut(String)) -> Option<AccountGoal> {
    let known = KEYS.map(String::from);
    for key in block.keys().filter(|key| !known.contains(key)) {
        tell(format!("{key}: {}", unknown(key, known.iter())));
    }
    let text = |key: &str| block.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let metric = text("metric").and_then(|word| Metric::parse(&word));
    let direction = match text("direction").as_deref() {
        Some("at_least") => Some(Direction::AtLeast),
        Some("at_most") => Some(Direction::AtMost),
        _ => None,
    };
    let number =
        block.get("target").and_then(|value| value.as_float().or(value.as_integer().map(|whole| whole as f64)));
    let target = number.filter(|target| *target > 0.0 && *target <= 1e12);
    let target = target.and_then(|target| crate::arithmetic::half_to_even(target * 1e6).ok());
    let [from, deadline] =
        ["from", "deadline"].map(|key| block.get(key).and_then(Value::as_datetime).and_then(instant));
    let metrics = Metric::ALL.map(Metric::as_str).join(", ");
    for (missing, what) in [
        (text("name").is_none(), "name: is needed"),
        (text("account").is_none(), "account: the account's id is needed"),
        (text("currency").is_none(), "currency: is needed, as in \"EUR\"; campaigns of others do not count"),
        (metric.is_none(), &*format!("metric: must be one of {metrics}")),
        (direction.is_none(), "direction: must be at_least or at_most"),
        (target.is_none(), "target: a number above 0 is needed: units of currency, counts, or 4 for a return of 400 %"),
        (from.is_none(), "from: a date is needed, as in 2026-03-01 (UTC) or 2026-03-01T00:00:00+01:00"),
        (
            deadline.is_none(),
            "deadline: a date is needed, as in 2026-04-01 (UTC): the first instant that does not count",
        ),
    ] {
        if missing {
            tell(what.to_owned());
        }
    }
    // Both stand in each alert of the goal, which must fit into a record.
    if text("name").is_some_and(|name| !is_name(&name)) {
        tell(format!("name: may have at most {NAME_BYTES_MAX} bytes, without line breaks"));
    }
    if text("account").is_some_and(|id| id.len() > ACCOUNT_BYTES_MAX) {
        tell(format!("account: no account's id has more than {ACCOUNT_BYTES_MAX} bytes"));
    }
    let (from_ms, deadline_ms) = (from?, deadline?);
    if deadline_ms <= from_ms || deadline_ms.saturating_sub(from_ms) > SPAN_MAX_MS {
        tell("deadline: must lie after from, by at most 35 days: closed days are kept so long".into());
    }
    Some(AccountGoal {
        name: text("name")?,
        account_id: text("account")?,
        currency: text("currency")?,
        aim: Aim { metric: metric?, direction: direction?, target: target? },
        from_ms,
        deadline_ms,
    })
}

/// A date of TOML as an instant; without an offset it is UTC.
fn instant(datetime: &Datetime) -> Option<Millis> {
    let date = datetime.date?;
    let days = days_since_epoch(&date);
    let time = datetime.time.map_or(0, |time| {
        (Millis::from(time.hour) * 60 + Millis::from(time.minute)) * 60_000 + Millis::from(time.second) * 1_000
    });
    let offset = match datetime.offset {
        Some(toml::value::Offset::Custom { minutes }) => Millis::from(minutes),
        _ => 0,
    };
    Some(days * DAY_MS + time - offset * 60_000)
}

/// Days of the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days_since_epoch(date: &Date) -> Millis {
    let (month, day) = (Millis::from(date.month), Millis::from(date.day));
    let year = Millis::from(date.year) - Millis::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::check;

    #[test]
    fn names_are_bounded_since_each_alert_repeats_them() {
        let file = |name: &str, account: &str| {
            format!(
                "[[goal]]\nname = '{name}'\naccount = '{account}'\ncurrency = 'EUR'\nmetric = 'conversions'\ndirection = \
                 'at_least'\ntarget = 800\nfrom = 2026-03-01\ndeadline = 2026-03-20\n"
            )
        };
        let told = |file: &str| check(file).err().map(|mistakes| mistakes[0].to_string()).unwrap_or_default();
        assert_eq!(told(&file(&"n".repeat(64), &"a".repeat(256))), "");
        assert!(told(&file(&"n".repeat(65), "acme")).contains("at most 64 bytes"));
        assert!(told(&file("g", &"a".repeat(257))).contains("more than 256 bytes"));
    }
}
