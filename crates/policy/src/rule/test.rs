//! A rule's own tests: figures that are given, and what is expected of its condition.

use super::Rule;
use rules::{Absent, Facts, Value};
use std::collections::BTreeMap;

/// One `[[rule.test]]` block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// What it shows; its number where it has no name.
    pub name: String,
    /// What is known; every other figure is absent.
    pub given: BTreeMap<String, Given>,
    /// What follows.
    pub expect: Expected,
}

/// A given value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // As the kinds of the language.
pub enum Given {
    Bool(bool),
    Number(f64),
    Whole(i64),
    Text(String),
}

/// What a condition says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// It holds.
    #[default]
    Match,
    /// It does not.
    NoMatch,
    /// A figure that it needs is not known.
    Absent,
}

impl Rule {
    /// What the condition says of a case, and the figure that was missing.
    pub fn try_case(&self, case: &Case) -> (Expected, Option<Absent>) {
        match self.when.holds(case) {
            Ok(true) => (Expected::Match, None),
            Ok(false) => (Expected::NoMatch, None),
            Err(absent) => (Expected::Absent, Some(absent)),
        }
    }
}

impl Facts for Case {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        self.given.get(name).map(|given| match given {
            Given::Bool(value) => Value::Bool(*value),
            Given::Number(value) => Value::Number(*value),
            Given::Whole(value) => Value::Whole(*value),
            Given::Text(value) => Value::Text(value),
        })
    }
}

impl Expected {
    /// All words.
    pub const ALL: [Expected; 3] = [Expected::Match, Expected::NoMatch, Expected::Absent];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Expected::Match => "match",
            Expected::NoMatch => "no_match",
            Expected::Absent => "absent",
        }
    }
}
