//! What is decided and seen, as tables of plain columns: the same for replays and exports, in every format.
//!
//! What always holds: money and ratios are decimals of six digits, never floats; instants are UTC; a row's folder is
//! the UTC day of its own instant; equal rows in equal order give equal bytes. Missing on purpose: nested columns (what
//! a decision has computed stands as JSON text), and anything about who runs where.

mod alerts;
mod decisions;
mod folder;
mod kpis;
mod text;

pub use folder::{Folder, scan};
pub use text::{TextForm, TextTable};

use model::time::Millis;
use std::borrow::Cow;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A whole number.
    Whole,
    /// A decimal of six digits: money from micros, ratios from parts per million.
    Decimal,
    /// An instant of UTC.
    Time,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, the same in every format.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// One value; its variant is that of its column, or [`Cell::Null`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Not known, or not applicable.
    Null,
    /// Of a text column.
    Text(Cow<'a, str>),
    /// Of a whole column.
    Whole(i64),
    /// Of a decimal column, in millionths.
    Decimal(i64),
    /// Of a time column, epoch milliseconds.
    Time(Millis),
}

/// A record that is a row.
pub trait Row {
    /// Of its table.
    const COLUMNS: &'static [Column];

    /// The instant whose UTC day is the row's folder.
    fn at(&self) -> Millis;

    /// One cell for each column, in their order.
    fn cells(&self) -> Vec<Cell<'_>>;
}

impl<'a> Cell<'a> {
    /// A text that is there.
    pub fn text(text: &'a str) -> Self {
        Cell::Text(Cow::Borrowed(text))
    }

    /// A text that may be absent.
    pub fn maybe(text: Option<&'a str>) -> Self {
        text.map_or(Cell::Null, Cell::text)
    }

    /// A text made for the row.
    pub fn made(text: String) -> Self {
        Cell::Text(Cow::Owned(text))
    }

    /// A whole number that may be absent.
    pub fn whole(value: impl Into<Option<i64>>) -> Self {
        value.into().map_or(Cell::Null, Cell::Whole)
    }

    /// Millionths that may be absent; what a decimal of 18 digits cannot hold stands at its end.
    pub fn decimal(millionths: impl Into<Option<i64>>) -> Self {
        millionths.into().map_or(Cell::Null, |value| Cell::Decimal(value.clamp(-DECIMAL_MAX, DECIMAL_MAX)))
    }

    /// An instant that may be absent; one outside of all calendars is absent.
    pub fn time(at: impl Into<Option<Millis>>) -> Self {
        at.into().filter(|at| at.unsigned_abs() <= TIME_MAX_MS).map_or(Cell::Null, Cell::Time)
    }
}

/// The greatest decimal(18, 6), in millionths: far above any budget.
const DECIMAL_MAX: i64 = 999_999_999_999_999_999;
/// The year 9999: later instants are marks such as "never".
const TIME_MAX_MS: u64 = 253_402_300_799_999;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn whole(name: &'static str) -> Column {
    Column { name, kind: Kind::Whole }
}

const fn decimal(name: &'static str) -> Column {
    Column { name, kind: Kind::Decimal }
}

const fn time(name: &'static str) -> Column {
    Column { name, kind: Kind::Time }
}

/// The UTC day as a folder and a person write it.
pub fn day_name(day: i64) -> String {
    let at = jiff::Timestamp::from_second(day.saturating_mul(86_400)).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}
