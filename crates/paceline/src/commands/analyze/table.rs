//! Rows of a CSV file with a header, by the names of their columns.

use crate::commands::import::time::instant;
use crate::failure::{Failure, Outcome};
use model::time::Millis;
use std::fmt::Display;
use std::io::Read;

/// A file that is read row by row.
pub struct Table<R> {
    name: String,
    reader: csv::Reader<R>,
    columns: Vec<Column>,
    record: csv::StringRecord,
}

/// Where a column stands; `None` where an optional one is absent.
struct Column {
    name: &'static str,
    at: Option<usize>,
}

impl<R: Read> Table<R> {
    /// Reads the header; the columns `required` and then `optional` are known by their place in these lists.
    pub fn open(
        name: impl Display,
        source: R,
        delimiter: u8,
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Outcome<Self> {
        let name = name.to_string();
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(source);
        let headers = reader.headers().map_err(|error| unreadable(&name, &error))?.clone();
        let header = |wanted: &str| headers.iter().position(|header| header.trim_start_matches('\u{feff}') == wanted);
        let column = |name: &&'static str| Column { name, at: header(name) };
        let columns: Vec<Column> = required.iter().chain(optional).map(column).collect();
        let absent: Vec<&str> = columns
            .iter()
            .take(required.len())
            .filter(|column| column.at.is_none())
            .map(|column| column.name)
            .collect();
        if !absent.is_empty() {
            let separator = char::from(delimiter);
            return Err(Failure::failed(
                format!("{name} line 1: no column {}", absent.join(", ")),
                format!("the header must name {}, separated by {separator:?}", required.join(", ")),
            ));
        }
        Ok(Self { name, reader, columns, record: csv::StringRecord::new() })
    }

    /// Whether the file has this column.
    pub fn has(&self, column: usize) -> bool {
        self.columns[column].at.is_some()
    }

    /// Goes to the next row; false after the last.
    pub fn advance(&mut self) -> Outcome<bool> {
        self.reader.read_record(&mut self.record).map_err(|error| unreadable(&self.name, &error))
    }

    /// The text of a column; empty where the column is absent.
    pub fn text(&self, column: usize) -> &str {
        self.columns[column].at.and_then(|at| self.record.get(at)).unwrap_or_default()
    }

    /// A text that must not be empty.
    pub fn word(&self, column: usize) -> Outcome<&str> {
        match self.text(column) {
            "" => Err(self.mistake(column, "is empty")),
            text => Ok(text),
        }
    }

    /// A finite number.
    pub fn number(&self, column: usize) -> Outcome<f64> {
        let number = self.text(column).parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| self.mistake(column, "is not a number"))
    }

    /// A finite number of at least 0.
    pub fn amount(&self, column: usize) -> Outcome<f64> {
        let number = self.number(column)?;
        if number < 0.0 { Err(self.mistake(column, "is below 0")) } else { Ok(number) }
    }

    /// A whole number of at least 0, also where it is written as `3.0`.
    pub fn count(&self, column: usize) -> Outcome<u64> {
        let text = self.text(column);
        let whole = |number: &f64| number.fract() == 0.0 && (0.0..EXACT_MAX).contains(number);
        let count = text.parse().ok().or_else(|| text.parse().ok().filter(whole).map(|number: f64| number as u64));
        count.ok_or_else(|| self.mistake(column, "is not a whole number of at least 0"))
    }

    /// An instant: epoch milliseconds or `YYYY-MM-DD HH:MM:SS` in UTC.
    pub fn instant(&self, column: usize) -> Outcome<Millis> {
        instant(self.text(column)).map_err(|_| self.mistake(column, "is neither epoch ms nor YYYY-MM-DD HH:MM:SS"))
    }

    /// An instant, or nothing where the column is empty.
    pub fn instant_or_none(&self, column: usize) -> Outcome<Option<Millis>> {
        if self.text(column).is_empty() { Ok(None) } else { self.instant(column).map(Some) }
    }

    /// A failure that names the file, the line, the column and its text.
    pub fn mistake(&self, column: usize, fault: impl Display) -> Failure {
        let line = self.record.position().map_or(0, csv::Position::line);
        let Column { name, .. } = self.columns[column];
        let what = format!("{} line {line}: {name} {:?} {fault}", self.name, self.text(column));
        Failure::failed(what, "correct the file")
    }
}

fn unreadable(name: &str, error: &csv::Error) -> Failure {
    Failure::failed(format!("cannot read {name}: {error}"), "correct the file")
}

/// Integers up to here are exact in an `f64`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_names_file_line_column_and_text() {
        let text = "b,a\n1,2\n\"x\ny\",-3\n";
        let mut table = Table::open("some.csv", text.as_bytes(), b',', &["a"], &["b", "c"]).expect("a header");
        assert!(table.has(1) && !table.has(2));
        assert!(table.advance().expect("a row"));
        assert_eq!((table.count(0).expect("2"), table.text(1), table.text(2)), (2, "1", ""));
        assert!(table.advance().expect("a row"));
        let failure = table.count(0).expect_err("negative").to_string();
        assert_eq!(failure, "some.csv line 3: a \"-3\" is not a whole number of at least 0; correct the file");
        assert!(!table.advance().expect("the end"));
    }

    #[test]
    fn an_absent_column_is_told_with_what_the_header_must_name() {
        let failure =
            Table::open("some.csv", "a;b\n".as_bytes(), b',', &["a", "b"], &[]).map(|_| ()).expect_err("absent");
        assert_eq!(failure.to_string(), "some.csv line 1: no column a, b; the header must name a, b, separated by ','");
    }

    #[test]
    fn rows_of_other_length_are_mistakes_and_a_byte_order_mark_is_none() {
        let mut table = Table::open("x", "\u{feff}a,b\n1\n".as_bytes(), b',', &["a"], &[]).expect("a header");
        assert!(table.advance().expect_err("too short").to_string().contains("line"));
    }
}
