//! The same tables as CSV and as JSON lines.
//!
//! CSV writes decimals with six digits and instants as RFC 3339; absent values are empty. JSON lines write decimals as
//! numbers of exactly these digits, so a reader that knows decimals loses nothing.

use super::{Cell, Row};
use std::io::{self, Write};
use std::marker::PhantomData;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// With a line of names.
    Csv,
    /// One JSON object a line.
    Lines,
}

/// Writes a table as text.
pub struct TextTable<R, W: Write> {
    form: Form<W>,
    rows: PhantomData<fn(&R)>,
}

enum Form<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Lines(W),
}

impl<R: Row, W: Write> TextTable<R, W> {
    /// A writer; CSV has its line of names even where no row follows.
    ///
    /// # Errors
    /// Where the output refuses.
    pub fn new(form: TextForm, output: W) -> io::Result<Self> {
        let form = match form {
            TextForm::Lines => Form::Lines(output),
            TextForm::Csv => {
                let mut csv = csv::Writer::from_writer(output);
                csv.write_record(R::COLUMNS.iter().map(|column| column.name)).map_err(broken)?;
                Form::Csv(Box::new(csv))
            }
        };
        Ok(Self { form, rows: PhantomData })
    }

    /// Takes a row.
    ///
    /// # Errors
    /// Where the output refuses.
    pub fn push(&mut self, row: &R) -> io::Result<()> {
        match &mut self.form {
            Form::Csv(csv) => csv.write_record(row.cells().into_iter().map(csv_field)).map_err(broken)?,
            Form::Lines(output) => {
                let mut line = String::from("{");
                for (column, cell) in R::COLUMNS.iter().zip(row.cells()) {
                    if line.len() > 1 {
                        line.push(',');
                    }
                    line.push_str(&serde_json::Value::from(column.name).to_string());
                    line.push(':');
                    line.push_str(&json_value(cell));
                }
                line.push_str("}\n");
                output.write_all(line.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where the output refuses.
    pub fn finish(self) -> io::Result<()> {
        match self.form {
            Form::Csv(mut csv) => csv.flush(),
            Form::Lines(mut output) => output.flush(),
        }
    }
}

/// The cause itself, so that a pipe that has closed is known as one.
fn broken(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn csv_field(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => String::new(),
        Cell::Text(text) => text.into_owned(),
        Cell::Whole(value) => value.to_string(),
        Cell::Decimal(millionths) => decimal(millionths),
        Cell::Time(at) => instant(at),
    }
}

fn json_value(cell: Cell<'_>) -> String {
    match cell {
        Cell::Null => "null".into(),
        Cell::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
        Cell::Whole(value) => value.to_string(),
        Cell::Decimal(millionths) => decimal(millionths),
        Cell::Time(at) => format!("\"{}\"", instant(at)),
    }
}

/// Millionths with all six digits.
fn decimal(millionths: i64) -> String {
    let (sign, digits) = (if millionths < 0 { "-" } else { "" }, millionths.unsigned_abs());
    format!("{sign}{}.{:06}", digits / 1_000_000, digits % 1_000_000)
}

fn instant(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::Alert;

    fn written(form: TextForm) -> String {
        let mut bytes = Vec::new();
        let mut table = TextTable::<Alert, _>::new(form, &mut bytes).unwrap();
        let row = Alert {
            updated_at: 1_500,
            text: "a \"word\", and more".into(),
            money_at_stake_micros: -1_000_001,
            ..Alert::default()
        };
        table.push(&row).unwrap();
        table.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn csv_quotes_and_writes_decimals_and_instants() {
        let text = written(TextForm::Csv);
        assert!(text.starts_with("updated_at,alert_id,kind,"), "{text}");
        assert!(text.contains("\n1970-01-01T00:00:01.500Z,,"), "{text}");
        assert!(text.contains(",-1.000001,") && text.contains("\"a \"\"word\"\", and more\""), "{text}");
    }

    #[test]
    fn json_lines_are_objects_with_every_column() {
        let line: serde_json::Value = serde_json::from_str(&written(TextForm::Lines)).unwrap();
        assert_eq!(line.as_object().unwrap().len(), Alert::COLUMNS.len());
        assert_eq!(
            (&line["observed"], &line["explanation"]),
            (&serde_json::Value::Null, &"a \"word\", and more".into())
        );
    }
}
