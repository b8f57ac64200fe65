//! `paceline analyze detect`: the service's anomaly detector on a file.
//!
//! What always holds: one pass, no look-ahead; one output row for each input row, in the same order, with timestamp and
//! value as they were given; each key has a detector of its own. A row without a number, or before the row before it of
//! its key, scores 0, teaches nothing, and is counted on stderr. Missing on purpose: false-discovery control over the
//! keys of a file, since an alert's threshold is a rate for each series (0.1 false ones a week).

use super::open;
use crate::commands::import::time::instant;
use crate::commands::say;
use crate::failure::{Failure, Outcome};
use policy::detect::{Direction, Row, SeriesDetector, Settings};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Finds anomalies in a series, or in one series for each key.
#[derive(Debug, Clone, clap::Args)]
pub struct Detect {
    /// CSV with a header; rows of a key in time order.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Column with epoch milliseconds or YYYY-MM-DD HH:MM:SS in UTC.
    #[arg(long, value_name = "COLUMN")]
    pub timestamp_column: String,
    /// Column with money, price or rate.
    #[arg(long, value_name = "COLUMN")]
    pub value_column: String,
    /// Column that says which series a row belongs to.
    #[arg(long, value_name = "COLUMN")]
    pub key_column: Option<String>,
    /// Column with the number of events behind the value.
    #[arg(long, value_name = "COLUMN")]
    pub count_column: Option<String>,
    /// Writes a score for each row: [key,]timestamp,value,anomaly_score.
    #[arg(long, value_name = "FILE")]
    pub scores: Option<PathBuf>,
    /// Writes the alerts: key,ts_ms,kind,score. Without it and --scores they go to stdout.
    #[arg(long, value_name = "FILE")]
    pub alerts: Option<PathBuf>,
}

/// Runs the detector over the file.
pub fn run(arguments: &Detect) -> Outcome {
    let input = open(&arguments.input)?;
    let mut scores = arguments.scores.as_deref().map(create).transpose()?;
    let mut alerts = arguments.alerts.as_deref().map(create).transpose()?;
    let mut shown = Vec::new();
    let to_stdout = scores.is_none() && alerts.is_none();
    let outputs = Outputs {
        scores: scores.as_mut().map(|file| file as &mut dyn Write),
        alerts: match &mut alerts {
            Some(file) => Some(file),
            None if to_stdout => Some(&mut shown),
            None => None,
        },
    };
    let unread = detect(BufReader::new(input), arguments, outputs)
        .map_err(|what| Failure::failed(format!("{}: {what}", arguments.input.display()), "correct the file"))?;
    for (file, path) in [(&mut scores, &arguments.scores), (&mut alerts, &arguments.alerts)] {
        if let (Some(file), Some(path)) = (file, path) {
            file.flush().map_err(|error| cannot_write(path, &error))?;
        }
    }
    String::from_utf8_lossy(&shown).lines().try_for_each(say)?;
    if unread > 0 {
        eprintln!("{unread} rows without a number or before the row before them scored 0");
    }
    Ok(())
}

fn create(path: &Path) -> Outcome<BufWriter<File>> {
    File::create(path).map(BufWriter::new).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()), "")
}

/// Where results go.
struct Outputs<'a> {
    scores: Option<&'a mut dyn Write>,
    alerts: Option<&'a mut dyn Write>,
}

/// One pass; returns how many rows could not be read as numbers in time order.
fn detect(input: impl Read, arguments: &Detect, outputs: Outputs<'_>) -> Result<u64, String> {
    let told = |error: csv::Error| error.to_string();
    let mut reader = csv::Reader::from_reader(input);
    let columns = Columns::find(reader.headers().map_err(told)?, arguments)?;
    let mut scores = outputs.scores.map(csv::Writer::from_writer);
    let mut alerts = outputs.alerts.map(csv::Writer::from_writer);
    if let Some(scores) = &mut scores {
        let key = arguments.key_column.is_some().then_some("key");
        scores.write_record(key.into_iter().chain(["timestamp", "value", "anomaly_score"])).map_err(told)?;
    }
    if let Some(alerts) = &mut alerts {
        alerts.write_record(["key", "ts_ms", "kind", "score"]).map_err(told)?;
    }
    let settings = Settings::default();
    let mut series: BTreeMap<String, Series> = BTreeMap::new();
    let (mut record, mut unread) = (csv::StringRecord::new(), 0);
    while reader.read_record(&mut record).map_err(told)? {
        let line = record.position().map_or(0, csv::Position::line);
        let given = columns.read(&record).map_err(|what| format!("line {line}: {what}"))?;
        if !series.contains_key(given.key) {
            series.insert(given.key.to_owned(), Series::new(&settings));
        }
        let own = series.get_mut(given.key).ok_or("a series was lost")?;
        unread += u64::from(!own.takes(&given.row));
        let reading = own.detector.observe(&given.row, &settings);
        let score = reading.score.to_string();
        if let Some(scores) = &mut scores {
            let key = columns.key.map(|_| given.key);
            scores.write_record(key.into_iter().chain([given.timestamp, given.value, &score])).map_err(told)?;
        }
        if let (Some(alerts), Some(alert)) = (&mut alerts, reading.alert) {
            let kind = match alert.direction {
                Direction::Above => "overspend",
                Direction::Below => "underspend",
            };
            alerts.write_record([given.key, &given.row.at_ms.to_string(), kind, &score]).map_err(told)?;
        }
    }
    for writer in [&mut scores, &mut alerts].into_iter().flatten() {
        writer.flush().map_err(|error| error.to_string())?;
    }
    Ok(unread)
}

/// The detector of a key and the last instant it was given.
struct Series {
    detector: SeriesDetector,
    last_ms: Option<i64>,
}

impl Series {
    fn new(settings: &Settings) -> Series {
        Series { detector: SeriesDetector::new(settings), last_ms: None }
    }

    /// Whether the row is a number in time order.
    fn takes(&mut self, row: &Row) -> bool {
        let takes = row.value.is_finite() && self.last_ms.is_none_or(|last| row.at_ms >= last);
        if takes {
            self.last_ms = Some(row.at_ms);
        }
        takes
    }
}

/// Where the columns are.
struct Columns {
    timestamp: usize,
    value: usize,
    key: Option<usize>,
    count: Option<usize>,
}

/// One row as it was given and as it is read.
struct Given<'a> {
    key: &'a str,
    timestamp: &'a str,
    value: &'a str,
    row: Row,
}

impl Columns {
    fn find(header: &csv::StringRecord, arguments: &Detect) -> Result<Columns, String> {
        let at = |name: &str| {
            let there = || header.iter().collect::<Vec<_>>().join(", ");
            header
                .iter()
                .position(|column| column == name)
                .ok_or_else(|| format!("no column {name:?} among {}", there()))
        };
        Ok(Columns {
            timestamp: at(&arguments.timestamp_column)?,
            value: at(&arguments.value_column)?,
            key: arguments.key_column.as_deref().map(at).transpose()?,
            count: arguments.count_column.as_deref().map(at).transpose()?,
        })
    }

    fn read<'a>(&self, record: &'a csv::StringRecord) -> Result<Given<'a>, String> {
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let (timestamp, value) = (cell(self.timestamp), cell(self.value));
        let count = self.count.map(|at| number(cell(at))).transpose()?.filter(|count| count.is_finite());
        let row = Row { at_ms: instant(timestamp)?, value: number(value)?, count };
        Ok(Given { key: self.key.map_or("", cell), timestamp, value, row })
    }
}

/// A number; an empty cell is none, and so scores 0.
fn number(text: &str) -> Result<f64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(f64::NAN);
    }
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(key: bool, count: bool) -> Detect {
        Detect {
            input: PathBuf::new(),
            timestamp_column: "at".into(),
            value_column: "spend".into(),
            key_column: key.then(|| "campaign".into()),
            count_column: count.then(|| "events".into()),
            scores: None,
            alerts: None,
        }
    }

    fn run(text: &str, arguments: &Detect) -> Result<(String, String, u64), String> {
        let (mut scores, mut alerts) = (Vec::new(), Vec::new());
        let outputs = Outputs { scores: Some(&mut scores), alerts: Some(&mut alerts) };
        let unread = detect(text.as_bytes(), arguments, outputs)?;
        Ok((String::from_utf8(scores).unwrap(), String::from_utf8(alerts).unwrap(), unread))
    }

    /// Two campaigns; the second stops at hour 600.
    fn two_campaigns(hours: i64) -> String {
        let mut text = String::from("at,campaign,spend,events\n");
        for hour in 0..hours {
            let noise = (hour * 7919 % 13) as f64 / 100.0;
            let stopped = if hour >= 600 { 0.0 } else { 1.0 };
            let at = hour * 3_600_000;
            text +=
                &format!("{at},a,{},200\n{at},\"b,c\",{},{}\n", 10.0 + noise, stopped * (5.0 + noise), 100.0 * stopped);
        }
        text
    }

    #[test]
    fn each_campaign_has_its_own_usual_and_an_incident_alerts_once() {
        let (scores, alerts, unread) = run(&two_campaigns(640), &arguments(true, true)).unwrap();
        assert_eq!(scores.lines().next(), Some("key,timestamp,value,anomaly_score"));
        assert_eq!((scores.lines().count(), unread), (1 + 2 * 640, 0));
        let told: Vec<&str> = alerts.lines().collect();
        assert_eq!(told.len(), 2, "{alerts}");
        assert!(
            told[0] == "key,ts_ms,kind,score" && told[1].starts_with("\"b,c\",2160000000,underspend,0."),
            "{alerts}"
        );
    }

    #[test]
    fn cutting_the_end_changes_no_row_before_it() {
        let whole = run(&two_campaigns(640), &arguments(true, false)).unwrap().0;
        let cut = run(&two_campaigns(620), &arguments(true, false)).unwrap().0;
        assert!(whole.starts_with(&cut));
    }

    #[test]
    fn without_a_key_the_columns_are_three_and_times_stay_as_given() {
        let text = "at,spend\n2011-07-01 00:00:01,0.0819647355164\n2011-07-01 01:00:01,0.10\n";
        let (scores, alerts, _) = run(text, &arguments(false, false)).unwrap();
        let expected =
            "timestamp,value,anomaly_score\n2011-07-01 00:00:01,0.0819647355164,0\n2011-07-01 01:00:01,0.10,0\n";
        assert_eq!((scores.as_str(), alerts.as_str()), (expected, "key,ts_ms,kind,score\n"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let wrong = |text: &str| run(text, &arguments(false, false)).unwrap_err();
        assert_eq!(wrong("at,spend\n1,2\n2,many\n"), "line 3: \"many\" is no number");
        assert_eq!(wrong("at,cost\n1,2\n"), "no column \"spend\" among at, cost");
        assert!(wrong("at,spend\nyesterday,2\n").starts_with("line 2: \"yesterday\""));
        let (scores, _, unread) = run("at,spend\n5,1\n4,1\n6,\n", &arguments(false, false)).unwrap();
        assert_eq!((scores.lines().count(), unread), (4, 2));
    }
}
