//! Conditions that users write, in a part of the Common Expression Language (CEL): read, checked, evaluated.
//!
//! What always holds: no text panics, none takes long (at most [`TEXT_BYTES_MAX`] bytes, [`NESTING_MAX`] brackets and
//! [`NODES_MAX`] nodes; nothing repeats, so the time is that of the nodes); unknown names and wrong types are found when
//! it is read, with line, column and the nearest name. A value that is not known is *absent*, with its name, and never
//! NaN: it makes the whole absent, unless `&&`, `||` or `?:` do not need it (CEL's rule for errors). Evaluation allocates
//! nothing, has no clock and no randomness, and iterates nothing unsorted.
//!
//! The language: `&&`, `||`, `!`, `?:`, comparisons, `+ - * / %`, `in` a list, `has(name)`, and on text `startsWith`,
//! `endsWith`, `contains`. Two differences from CEL: a whole number beside one with a fraction is taken as such
//! (`spend > 50` reads as `spend > 50.0`), and a result that is not finite is absent.
//!
//! The parser is the crate `cel`'s; nothing else knows it. Its interpreter is used by tests alone, as the judge of this
//! one: it works on maps of unsorted order and panics where it meets what it does not know. Missing on purpose: regular
//! expressions, comprehensions (`all`, `exists`, `map`, `filter`), maps and lists as values, times, calls of anything.

mod nearest;
mod read;
mod tree;

pub use nearest::nearest;
pub use tree::{Absent, Value};

use std::fmt;
use tree::Node;

/// A text is at most this long: a condition that a person can still read.
pub const TEXT_BYTES_MAX: usize = 2_000;
/// Brackets, braces and parentheses inside each other: the parser goes down a level for each.
pub const NESTING_MAX: usize = 16;
/// Operators, names and constants of one text.
pub const NODES_MAX: usize = 256;

/// What kind of value a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `true`, `false`.
    Bool,
    /// A number that may have a fraction.
    Number,
    /// A whole number.
    Whole,
    /// Text.
    Text,
}

/// The names that a text may use.
pub trait Names {
    /// The kind of a name, `None` where there is no such name.
    fn kind(&self, name: &str) -> Option<Kind>;
    /// All names, to tell the nearest one.
    fn all(&self) -> Vec<String>;
}

/// What names are worth now.
pub trait Facts {
    /// `None` where it is not known. A value of another kind than the name's counts as not known.
    fn value(&self, name: &str) -> Option<Value<'_>>;
}

/// A text that was read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    kind: Kind,
    root: Node,
}

/// Why a text is no expression, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line within the text, from 1.
    pub line: usize,
    /// Column within the line, in bytes, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl Expression {
    /// Reads a text.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(text: &str, names: &dyn Names) -> Result<Self, Mistake> {
        let (root, kind) = read::read(text, names)?;
        Ok(Self { text: text.to_owned(), kind, root })
    }

    /// Reads a text that says yes or no.
    ///
    /// # Errors
    /// The first thing that is wrong with it; any other kind of result is.
    pub fn condition(text: &str, names: &dyn Names) -> Result<Self, Mistake> {
        let read = Self::read(text, names)?;
        if read.kind == Kind::Bool {
            return Ok(read);
        }
        let what = format!("is {}, but a condition is true or false: compare it with something", read.kind.words());
        Err(Mistake { line: 1, column: 1, what })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it gives.
    ///
    /// # Errors
    /// What was not known.
    pub fn evaluate<'a>(&'a self, facts: &'a dyn Facts) -> Result<Value<'a>, Absent> {
        self.root.evaluate(facts)
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// What was not known.
    pub fn holds(&self, facts: &dyn Facts) -> Result<bool, Absent> {
        Ok(matches!(self.evaluate(facts)?, Value::Bool(true)))
    }

    /// The names in it, in the order of their first use.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.names(&mut names);
        names
    }
}

impl Kind {
    /// As a person says it.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Number => "a number",
            Kind::Whole => "a whole number",
            Kind::Text => "text",
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

#[cfg(test)]
mod tests;
