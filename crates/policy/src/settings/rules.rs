//! The `[[rule]]` blocks of a policy file.
//!
//! What always holds: every mistake is told with the rule's name and, where the text shows it, its line.

use super::file::Mistake;
use super::overlay::unknown;
use crate::guard::Mode;
use crate::rule::{
    Case, Expected, Given, MinData, NAME_BYTES_MAX, RULES_MAX, Rule, Scope, Then, Until, Vocabulary, Window,
};
use crate::settings::Millis;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use rules::{Expression, Kind};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Reads the blocks; mistakes go to the list.
pub(super) fn rules(value: Option<&Value>, body: &str, mistakes: &mut Vec<Mistake>) -> Vec<Rule> {
    let mut reader = Reader { mistakes, at: String::new() };
    let blocks = match value {
        None => return Vec::new(),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => {
            reader.at = "rule".into();
            reader.mistake("must be written as [[rule]] blocks");
            return Vec::new();
        }
    };
    if blocks.len() > RULES_MAX {
        reader.at = "rule".into();
        reader.mistake(format!("{} rules, at most {RULES_MAX} are asked", blocks.len()));
    }
    let places = places(body);
    let mut rules: Vec<Rule> = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let place = places.get(index).copied().filter(|_| places.len() == blocks.len());
        reader.at = format!("rule[{index}]");
        let Some(block) = block.as_table() else {
            reader.mistake("must be a table");
            continue;
        };
        let Some(rule) = reader.rule(block, place) else { continue };
        if rules.iter().any(|known| known.name == rule.name) {
            reader.mistake("a rule of this name stands above");
        }
        rules.push(rule);
    }
    rules.sort_by(|one, other| one.name.cmp(&other.name));
    rules
}

struct Reader<'m> {
    mistakes: &'m mut Vec<Mistake>,
    /// Path of what is read.
    at: String,
}

/// Where a block's header and its condition stand, in lines from 1.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    header: usize,
    when: usize,
}

const KEYS: [&str; 9] = ["name", "priority", "match", "when", "then", "min_data", "cool_down", "mode", "test"];
const ACTIONS: [&str; 6] = ["scale_bid", "set_bid", "scale_budget", "set_budget", "pause", "alert"];

impl Reader<'_> {
    fn rule(&mut self, block: &Table, place: Option<Place>) -> Option<Rule> {
        let before = self.mistakes.len();
        let Some(name) = block.get("name").and_then(Value::as_str).filter(|name| is_name(name)) else {
            self.mistake(format!("needs a name of at most {NAME_BYTES_MAX} bytes, without line breaks"));
            return None;
        };
        let index = std::mem::replace(&mut self.at, format!("rule.{name}"));
        if let Some(place) = place {
            self.at = format!("rule.{name} (line {})", place.header);
        }
        self.keys(block, &KEYS);
        let when = self.condition(block.get("when"), place.map(|place| place.when));
        let then = self.action(block.get("then"));
        let alerts = matches!(then, Some(Then::Alert(_)));
        let mode = match block.get("mode").map(Value::as_str) {
            None if alerts => Mode::Auto,
            Some(_) if alerts => {
                self.mistake("mode: an alert changes nothing and needs none; remove it");
                Mode::Auto
            }
            None => Mode::Observe,
            Some(Some(word)) if ["observe", "approve", "auto"].contains(&word) => Mode::parse(word),
            Some(_) => {
                self.mistake("mode: must be observe, approve or auto");
                Mode::Observe
            }
        };
        let rule = Rule {
            name: name.to_owned(),
            priority: self.whole(block, "priority", -1_000_000..=1_000_000).unwrap_or(0),
            scope: self.scope(block.get("match")),
            min_data: self.min_data(block.get("min_data")),
            cool_down_ms: self.duration(block, "cool_down", 5 * MINUTE_MS..=35 * DAY_MS).unwrap_or(HOUR_MS),
            mode,
            tests: self.tests(block.get("test")),
            when: when?,
            then: then?,
        };
        self.at = index;
        (self.mistakes.len() == before).then_some(rule)
    }

    fn condition(&mut self, value: Option<&Value>, line: Option<usize>) -> Option<Expression> {
        let Some(text) = value.and_then(Value::as_str) else {
            self.mistake("when: needs a condition, as in when = \"last_7d.cpa > 25 && last_7d.conversions >= 10\"");
            return None;
        };
        match Expression::condition(text, &Vocabulary) {
            Ok(read) => Some(read),
            Err(mistake) => {
                let place = match line {
                    Some(line) => format!("line {}, ", line + mistake.line - 1),
                    None => String::new(),
                };
                self.mistake(format!("when: {place}character {}: {}", mistake.column, mistake.what));
                None
            }
        }
    }

    fn action(&mut self, value: Option<&Value>) -> Option<Then> {
        let table = value.and_then(Value::as_table);
        let Some((word, value)) = table.filter(|table| table.len() == 1).and_then(|table| table.iter().next()) else {
            self.mistake(format!(
                "then: needs exactly one of {}, as in then = {{ scale_bid = 0.9 }}",
                ACTIONS.join(", ")
            ));
            return None;
        };
        let number = value.as_float().or(value.as_integer().map(|whole| whole as f64));
        let factor = number.filter(|factor| (0.1..=10.0).contains(factor) && *factor != 1.0);
        let micros = number.filter(|units| *units > 0.0 && *units <= 1e9);
        let micros = micros.and_then(|units| crate::arithmetic::half_to_even(units * 1e6).ok());
        let (then, wanted) = match word.as_str() {
            "scale_bid" => (factor.map(Then::ScaleBid), "a factor from 0.1 to 10, other than 1"),
            "scale_budget" => (factor.map(Then::ScaleBudget), "a factor from 0.1 to 10, other than 1"),
            "set_bid" => (micros.map(Then::SetBid), "an amount above 0 in the campaign's currency"),
            "set_budget" => (micros.map(Then::SetBudget), "an amount above 0 in the campaign's currency"),
            "pause" => (value.as_str().and_then(until).map(Then::Pause), "\"day\", or a time from \"15m\" to \"7d\""),
            "alert" => (value.as_str().and_then(severity).map(Then::Alert), "info, warning or critical"),
            _ => {
                let known = ACTIONS.map(String::from);
                let what = unknown(word, known.iter());
                self.mistake(format!("then.{word}: {what}; known are {}", ACTIONS.join(", ")));
                return None;
            }
        };
        if then.is_none() {
            self.mistake(format!("then.{word}: must be {wanted}"));
        }
        then
    }

    fn scope(&mut self, value: Option<&Value>) -> Scope {
        let Some(table) = self.table("match", value) else { return Scope::default() };
        self.keys_below("match", table, &["account", "campaign", "channel", "platform", "labels"]);
        let mut words = |name: &str| self.words(&format!("match.{name}"), table.get(name));
        let [accounts, campaigns, channels, platforms] = ["account", "campaign", "channel", "platform"].map(&mut words);
        let labels = self.table("match.labels", table.get("labels")).cloned().unwrap_or_default();
        let labels: BTreeMap<String, Vec<String>> =
            labels.iter().map(|(name, value)| (name.clone(), self.words("match.labels", Some(value)))).collect();
        Scope { accounts, campaigns, channels, platforms, labels }
    }

    fn min_data(&mut self, value: Option<&Value>) -> MinData {
        let Some(table) = self.table("min_data", value) else { return MinData::default() };
        self.keys_below("min_data", table, &["window", "impressions", "clicks", "conversions", "spend", "days"]);
        let window = match table.get("window").map(|value| value.as_str().and_then(Window::parse)) {
            None => Window::default(),
            Some(Some(window)) => window,
            Some(None) => {
                let names = crate::rule::WINDOWS.map(Window::name).join(", ");
                self.mistake(format!("min_data.window: must be one of {names}"));
                Window::default()
            }
        };
        let mut count = |name: &str, scale: i64| {
            let whole =
                table.get(name).map(|value| value.as_integer().filter(|count| (0..=1_000_000_000).contains(count)));
            match whole {
                None => 0,
                Some(Some(count)) => count.saturating_mul(scale),
                Some(None) => {
                    self.mistake(format!("min_data.{name}: must be a whole number from 0 to 1000000000"));
                    0
                }
            }
        };
        MinData {
            window,
            impressions: count("impressions", 1),
            clicks: count("clicks", 1),
            conversions_micro: count("conversions", 1_000_000),
            spend_micros: count("spend", 1_000_000),
            days: count("days", 1),
        }
    }

    fn tests(&mut self, value: Option<&Value>) -> Vec<Case> {
        let blocks = match value {
            None => return Vec::new(),
            Some(Value::Array(blocks)) => blocks,
            Some(_) => {
                self.mistake("test: must be written as [[rule.test]] blocks");
                return Vec::new();
            }
        };
        blocks.iter().enumerate().filter_map(|(index, block)| self.test(index, block)).collect()
    }

    fn test(&mut self, index: usize, block: &Value) -> Option<Case> {
        let path = format!("test[{index}]");
        let table = self.table(&path, Some(block))?;
        self.keys_below(&path, table, &["name", "given", "expect"]);
        let expect = table.get("expect").and_then(Value::as_str);
        let expect = expect.and_then(|word| Expected::ALL.into_iter().find(|known| known.as_str() == word));
        if expect.is_none() {
            self.mistake(format!("{path}.expect: must be match, no_match or absent"));
        }
        let mut given = BTreeMap::new();
        if let Some(table) = self.table(&format!("{path}.given"), table.get("given")) {
            self.given("", table, &path, &mut given);
        }
        let name =
            table.get("name").and_then(Value::as_str).map_or_else(|| format!("test {}", index + 1), str::to_owned);
        Some(Case { name, given, expect: expect? })
    }

    /// `last_7d.cpa = 3` and `"last_7d.cpa" = 3` are the same.
    fn given(&mut self, path: &str, table: &Table, of: &str, given: &mut BTreeMap<String, Given>) {
        for (key, value) in table {
            let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let kind = crate::rule::kind_of(&name);
            let fitting = match (kind, value) {
                (_, Value::Table(inner)) => {
                    self.given(&name, inner, of, given);
                    continue;
                }
                (Some(Kind::Bool), Value::Boolean(value)) => Some(Given::Bool(*value)),
                (Some(Kind::Number), Value::Float(value)) => Some(Given::Number(*value)),
                (Some(Kind::Number), Value::Integer(value)) => Some(Given::Number(*value as f64)),
                (Some(Kind::Whole), Value::Integer(value)) => Some(Given::Whole(*value)),
                (Some(Kind::Text), Value::String(value)) => Some(Given::Text(value.clone())),
                _ => None,
            };
            match (fitting, kind) {
                (Some(value), _) => _ = given.insert(name, value),
                (None, Some(kind)) => self.mistake(format!("{of}.given.{name}: must be {}", kind.words())),
                (None, None) => {
                    let what = unknown(&name, crate::rule::all_names().iter());
                    self.mistake(format!("{of}.given.{name}: {what}"));
                }
            }
        }
    }

    fn words(&mut self, path: &str, value: Option<&Value>) -> Vec<String> {
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let words = match value {
            None => return Vec::new(),
            Some(Value::Array(words)) => words.iter().map(word).collect(),
            Some(value) => word(value).map(|word| vec![word]),
        };
        if words.is_none() {
            self.mistake(format!("{path}: must be text or a list of texts"));
        }
        words.unwrap_or_default()
    }

    fn whole(&mut self, table: &Table, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let whole = table.get(key)?.as_integer().filter(|value| range.contains(value));
        if whole.is_none() {
            self.mistake(format!("{key}: must be a whole number from {} to {}", range.start(), range.end()));
        }
        whole
    }

    fn duration(&mut self, table: &Table, key: &str, range: std::ops::RangeInclusive<Millis>) -> Option<Millis> {
        let span = table.get(key)?.as_str().and_then(duration).filter(|span| range.contains(span));
        if span.is_none() {
            self.mistake(format!("{key}: must be a time from \"5m\" to \"35d\", as in \"6h\""));
        }
        span
    }

    fn table<'t>(&mut self, path: &str, value: Option<&'t Value>) -> Option<&'t Table> {
        let table = value?.as_table();
        if table.is_none() {
            self.mistake(format!("{path}: must be a table"));
        }
        table
    }

    fn keys(&mut self, table: &Table, known: &[&str]) {
        self.keys_below("", table, known);
    }

    fn keys_below(&mut self, path: &str, table: &Table, known: &[&str]) {
        let known: Vec<String> = known.iter().map(|key| (*key).to_owned()).collect();
        for key in table.keys().filter(|key| !known.contains(key)) {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.mistake(format!("{at}: {}", unknown(key, known.iter())));
        }
    }

    fn mistake(&mut self, what: impl Into<String>) {
        self.mistakes.push(Mistake::new(self.at.clone(), what.into()));
    }
}

/// A name that people read in one line.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

fn severity(word: &str) -> Option<&'static str> {
    ["info", "warning", "critical"].into_iter().find(|known| *known == word)
}

fn until(text: &str) -> Option<Until> {
    if text == "day" {
        return Some(Until::DayEnd);
    }
    duration(text).filter(|span| (15 * MINUTE_MS..=7 * DAY_MS).contains(span)).map(Until::For)
}

/// `90s`, `30m`, `6h`, `7d`.
fn duration(text: &str) -> Option<Millis> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

/// Lines of the blocks' headers and of their conditions' first lines, as far as a look at the text tells.
fn places(body: &str) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (index, line) in body.lines().enumerate() {
        let text = line.trim();
        if text.starts_with("[[rule]]") {
            places.push(Place { header: index + 1, when: index + 1 });
        } else if let Some(place) = places.last_mut().filter(|_| text.starts_with("when") && text.contains('=')) {
            // The text of a condition of several lines begins on the next one.
            let below = text.ends_with("\"\"\"") || text.ends_with("'''");
            place.when = index + 1 + usize::from(below);
        }
    }
    places
}
