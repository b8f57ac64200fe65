//! Rows of input files: CSV with a header, JSON lines, Avro object container files.

use super::map::Row;
use crate::failure::{Failure, Outcome};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Reads a file row by row; `take` may refuse a row with a reason, which is collected by the caller.
pub fn read(path: &Path, take: &mut dyn FnMut(&Row<'_>)) -> Outcome<Columns> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "csv" => read_csv(path, take),
        "jsonl" | "ndjson" => read_json_lines(path, take),
        "avro" => read_avro(path, take),
        _ => Err(Failure::failed(
            format!("cannot tell the format of {}", path.display()),
            "name it .csv, .jsonl, .ndjson or .avro",
        )),
    }
}

/// Column names, where the format has them in one place.
pub type Columns = Option<Vec<String>>;

fn open(path: &Path) -> Outcome<BufReader<File>> {
    let file = File::open(path)
        .map_err(|error| Failure::failed(format!("cannot open {}: {error}", path.display()), "check the path"))?;
    Ok(BufReader::new(file))
}

fn read_csv(path: &Path, take: &mut dyn FnMut(&Row<'_>)) -> Outcome<Columns> {
    let wrong = |error: csv::Error| Failure::failed(format!("{}: {error}", path.display()), "correct the file");
    let mut reader = csv::Reader::from_reader(open(path)?);
    let headers = reader.headers().map_err(wrong)?.clone();
    let index: BTreeMap<&str, usize> = headers.iter().enumerate().map(|(at, name)| (name, at)).collect();
    let mut record = csv::StringRecord::new();
    let mut number = 0;
    while reader.read_record(&mut record).map_err(wrong)? {
        number += 1;
        let column = |name: &str| index.get(name).and_then(|at| record.get(*at)).map(str::to_owned);
        take(&Row { number, column: &column });
    }
    Ok(Some(headers.iter().map(str::to_owned).collect()))
}

fn read_json_lines(path: &Path, take: &mut dyn FnMut(&Row<'_>)) -> Outcome<Columns> {
    let mut number = 0;
    for (line, text) in open(path)?.lines().enumerate() {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::failed(format!("{} line {}: {error}", path.display(), line + 1), "correct the file")
        };
        let text = text.map_err(|error| wrong(&error))?;
        if text.trim().is_empty() {
            continue;
        }
        let object: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        number += 1;
        take_object(number, &object, take);
    }
    Ok(None)
}

fn read_avro(path: &Path, take: &mut dyn FnMut(&Row<'_>)) -> Outcome<Columns> {
    let mut number = 0;
    avro_codec::read_object_container(open(path)?, &mut |object| {
        number += 1;
        take_object(number, &object, take);
    })
    .map_err(|error| Failure::failed(format!("{}: {error}", path.display()), "correct the file"))?;
    Ok(None)
}

fn take_object(number: u64, object: &Value, take: &mut dyn FnMut(&Row<'_>)) {
    let column = |name: &str| match object.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    take(&Row { number, column: &column });
}
