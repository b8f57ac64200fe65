//! `paceline export`: committed rows, decisions, alerts and dead letters as tables, and the journal as files.

pub mod archive;
mod dead_letters;

use super::import::time::instant;
use super::replay::out::{Out, OutFile, tidy_on_signal};
use crate::cli::{Export, ExportFormat, ExportWhat};
use crate::commands::history::History;
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;
use avro_codec::{Codec, Rejected};
use kafka_io::{From, Record, Until};
use model::time::Millis;
use replay::OutputTopic;
use replay::tables::{Folder, Row, TextForm, TextTable};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

/// Exports.
pub fn run(arguments: &Export) -> Outcome {
    let bound = |name: &str, text: &Option<String>| {
        text.as_deref().map(instant).transpose().map_err(|reason| Failure::usage(format!("--{name} {reason}"), ""))
    };
    let span = Span { from: bound("from", &arguments.from)?, to: bound("to", &arguments.to)? };
    let (settings, _) = Settings::load(&arguments.config.files)?;
    tidy_on_signal()?;
    let history = History::open(settings, "export")?;
    match arguments.what {
        ExportWhat::Journal => archive::write(history, arguments, span),
        ExportWhat::Kpis => table(history, arguments, span, &[OutputTopic::Kpis], Codec::kpi_row),
        ExportWhat::Alerts => table(history, arguments, span, &[OutputTopic::Alerts], Codec::alert),
        ExportWhat::Decisions => {
            table(history, arguments, span, &[OutputTopic::Adjustments, OutputTopic::Proposals], Codec::adjustment)
        }
        ExportWhat::DeadLetters => dead_letters::write(history, arguments, span),
    }
}

/// Instants that are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// First.
    pub from: Option<Millis>,
    /// Last.
    pub to: Option<Millis>,
}

impl Span {
    /// Whether a row of this instant is asked for.
    pub fn has(&self, at: Millis) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at <= to)
    }

    /// Where reading begins: a record is never older than what it tells of.
    pub fn start(&self) -> From {
        self.from.map_or(From::Earliest, From::Time)
    }
}

/// Records of some output topics as one table.
fn table<R: Row>(
    mut history: History,
    arguments: &Export,
    span: Span,
    topics: &[OutputTopic],
    decode: impl Fn(&Codec, &[u8]) -> Result<R, Rejected>,
) -> Outcome {
    let mut sink = Sink::<R>::begin(arguments)?;
    let codec = history.codec.clone();
    for topic in topics {
        let name = history.topic(*topic).to_owned();
        for partition in 0..history.settings.journal_partitions {
            each(&mut history, &name, partition, span, |record| {
                let payload = record.payload.unwrap_or_default();
                let row = decode(&codec, payload).map_err(|rejected| {
                    Failure::failed(
                        format!("record {} of {name}/{partition} does not decode: {rejected}", record.offset),
                        "only Paceline may write this topic",
                    )
                })?;
                if span.has(row.at()) { sink.push(&row) } else { Ok(()) }
            })?;
        }
    }
    sink.finish()
}

/// Shows the committed records of a partition that may lie in the span.
pub fn each(
    history: &mut History,
    topic: &str,
    partition: i32,
    span: Span,
    mut show: impl FnMut(&Record<'_>) -> Outcome,
) -> Outcome {
    let mut result = Ok(());
    history.reader().read(topic, partition, span.start(), Until::StableEnd, |record| {
        result = show(&record);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result
}

/// Where rows go.
pub enum Sink<R: Row> {
    /// A folder by day.
    Folder(Out, Folder<R>, u64),
    /// A file or stdout.
    Text(TextTable<R, Box<dyn Write>>, Option<OutFile>, u64),
}

impl<R: Row> Sink<R> {
    /// Opens what the arguments ask for.
    pub fn begin(arguments: &Export) -> Outcome<Self> {
        let form = match arguments.format {
            ExportFormat::Parquet => {
                let target = needed(arguments.out.as_deref(), "a Parquet table is a folder")?;
                let out = Out::begin(target)?;
                let folder = Folder::new(out.folder(), "part-00000");
                return Ok(Sink::Folder(out, folder, 0));
            }
            ExportFormat::Csv => TextForm::Csv,
            ExportFormat::Ndjson => TextForm::Lines,
        };
        let (output, making): (Box<dyn Write>, _) = match arguments.out.as_deref() {
            None => (Box::new(BufWriter::new(io::stdout())), None),
            Some(path) => {
                let (making, file) = OutFile::begin(path)?;
                (Box::new(BufWriter::new(file)), Some(making))
            }
        };
        Ok(Sink::Text(TextTable::new(form, output).map_err(|error| broken(&error))?, making, 0))
    }

    /// Takes a row.
    pub fn push(&mut self, row: &R) -> Outcome {
        let (written, rows) = match self {
            Sink::Folder(_, folder, rows) => (folder.push(row), rows),
            Sink::Text(text, _, rows) => (text.push(row), rows),
        };
        *rows += 1;
        written.map_err(|error| broken(&error))
    }

    /// Ends it, and says on stderr how many rows there are.
    pub fn finish(self) -> Outcome {
        match self {
            Sink::Folder(out, folder, rows) => {
                folder.finish().map_err(|error| broken(&error))?;
                if rows == 0 {
                    Folder::<R>::leave_empty(out.folder()).map_err(|error| broken(&error))?;
                }
                out.finish()?;
                eprintln!("{rows} rows");
            }
            Sink::Text(text, making, rows) => {
                text.finish().map_err(|error| broken(&error))?;
                if let Some(making) = making {
                    making.finish()?;
                    eprintln!("{rows} rows");
                }
            }
        }
        Ok(())
    }
}

/// The place that a form needs.
pub fn needed<'a>(out: Option<&'a Path>, why: &str) -> Outcome<&'a Path> {
    out.ok_or_else(|| Failure::usage(format!("--out is missing: {why}"), "add --out PATH"))
}

/// A reader of stdout that has gone away ends the command in silence, as a pipe should.
fn broken(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    Failure::failed(format!("cannot write rows: {error}"), "check --out and the disk")
}
