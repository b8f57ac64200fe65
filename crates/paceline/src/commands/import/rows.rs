//! Rows of input files: CSV with a header, JSON lines, Avro object container files, Parquet.
//!
//! A Parquet column is text to a map as any other: instants are epoch milliseconds, dates `YYYY-MM-DD`, decimals in whole
//! units. Missing on purpose: nested Parquet columns, which read as absent.

use super::map::Row;
use crate::failure::{Failure, Outcome};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
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
        "parquet" => read_parquet(path, take),
        _ => Err(Failure::failed(
            format!("cannot tell the format of {}", path.display()),
            "name it .csv, .jsonl, .ndjson, .avro or .parquet",
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
    if headers.is_empty() {
        return Err(Failure::failed(
            format!("{} is empty, without even a line of column names", path.display()),
            "check that the file was written to its end",
        ));
    }
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

fn read_parquet(path: &Path, take: &mut dyn FnMut(&Row<'_>)) -> Outcome<Columns> {
    let wrong = |error: ParquetError| {
        Failure::failed(
            format!("{}: {error}", path.display()),
            "correct the file; write it with SNAPPY compression, or with none: others are not read",
        )
    };
    let file = File::open(path)
        .map_err(|error| Failure::failed(format!("cannot open {}: {error}", path.display()), "check the path"))?;
    let reader = SerializedFileReader::new(file).map_err(wrong)?;
    let columns = reader.metadata().file_metadata().schema().get_fields().iter();
    let columns: Vec<String> = columns.map(|field| field.name().to_owned()).collect();
    for (number, row) in (1..).zip(reader.get_row_iter(None).map_err(wrong)?) {
        let row = row.map_err(wrong)?;
        let cells: BTreeMap<&str, String> =
            row.get_column_iter().filter_map(|(name, field)| Some((name.as_str(), text_of(field)?))).collect();
        let column = |name: &str| cells.get(name).cloned();
        take(&Row { number, column: &column });
    }
    Ok(Some(columns))
}

/// A value as a CSV would hold it; `None` where it is null or nested.
fn text_of(field: &Field) -> Option<String> {
    Some(match field {
        Field::Null | Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => return None,
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned(),
        Field::TimestampMillis(at) => at.to_string(),
        Field::TimestampMicros(at) => at.div_euclid(1_000).to_string(),
        Field::Date(day) => {
            jiff::civil::Date::constant(1970, 1, 1).saturating_add(jiff::Span::new().days(*day)).to_string()
        }
        Field::Bool(value) => value.to_string(),
        Field::Byte(value) => value.to_string(),
        Field::Short(value) => value.to_string(),
        Field::Int(value) => value.to_string(),
        Field::Long(value) => value.to_string(),
        Field::UByte(value) => value.to_string(),
        Field::UShort(value) => value.to_string(),
        Field::UInt(value) => value.to_string(),
        Field::ULong(value) => value.to_string(),
        Field::Float(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        other => other.to_string(),
    })
}

fn take_object(number: u64, object: &Value, take: &mut dyn FnMut(&Row<'_>)) {
    let column = |name: &str| match object.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    take(&Row { number, column: &column });
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use std::sync::Arc;

    #[test]
    fn parquet_columns_read_as_a_csv_would_hold_them() {
        let path = std::env::temp_dir().join(format!("paceline-rows-{}.parquet", std::process::id()));
        let schema = "message events { REQUIRED BYTE_ARRAY id (UTF8); OPTIONAL INT64 at (TIMESTAMP_MICROS);
            REQUIRED INT64 cost (DECIMAL(18, 6)); }";
        let (schema, file) = (Arc::new(parse_message_type(schema).unwrap()), File::create(&path).unwrap());
        let mut writer =
            SerializedFileWriter::new(file, schema, Arc::new(WriterProperties::builder().build())).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("a"), ByteArray::from("b")], None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[1_767_571_200_123_456], Some(&[1, 0]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[5_300_297, -250_000], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        let mut rows = Vec::new();
        let columns =
            read(&path, &mut |row| rows.push(["id", "at", "cost", "none"].map(|name| (row.column)(name)))).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(columns.unwrap(), ["id", "at", "cost"]);
        let texts = |row: [Option<&str>; 4]| row.map(|text| text.map(str::to_owned));
        assert_eq!(rows[0], texts([Some("a"), Some("1767571200123"), Some("5.300297"), None]));
        assert_eq!(rows[1], texts([Some("b"), None, Some("-0.250000"), None]));
    }
}
