//! A table as a folder of Parquet files: `dt=YYYY-MM-DD/PART.parquet`, as DuckDB, Polars and pandas read it.
//!
//! Rows are kept by day and written as row groups when there are many: which rows share a group depends on the rows
//! alone, so one writer's bytes do not depend on what else runs.

use super::{Cell, Column, Kind, Row, day_name};
use model::time::DAY_MS;
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Row as ReadRow;
use parquet::schema::types::{Type, TypePtr};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows kept in memory by one writer: about 60 MB of the widest table.
const ROWS_KEPT_MAX: usize = 65_536;

/// Writes one part of a table.
pub struct Folder<R> {
    root: PathBuf,
    part: String,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    days: BTreeMap<i64, Day>,
    kept: usize,
    rows: PhantomData<fn(&R)>,
}

#[derive(Default)]
struct Day {
    columns: Vec<Buffer>,
    kept: usize,
    file: Option<SerializedFileWriter<File>>,
}

/// The values of one column, without its nulls, and for each row whether it has one.
struct Buffer {
    levels: Vec<i16>,
    values: Values,
}

enum Values {
    Text(Vec<ByteArray>),
    Long(Vec<i64>),
}

impl<R: Row> Folder<R> {
    /// A writer of the part `part` in the folder `root`, which is made with its first row.
    pub fn new(root: &Path, part: &str) -> Self {
        // No name of a program's version: the bytes are those of the rows.
        let properties =
            WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by("paceline".into()).build();
        Self {
            root: root.to_owned(),
            part: part.to_owned(),
            schema: schema(R::COLUMNS),
            properties: Arc::new(properties),
            days: BTreeMap::new(),
            kept: 0,
            rows: PhantomData,
        }
    }

    /// Takes a row.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn push(&mut self, row: &R) -> io::Result<()> {
        let day = self.days.entry(row.at().div_euclid(DAY_MS)).or_default();
        if day.columns.is_empty() {
            day.columns = R::COLUMNS.iter().map(Buffer::new).collect();
        }
        for (buffer, cell) in day.columns.iter_mut().zip(row.cells()) {
            buffer.push(cell);
        }
        day.kept += 1;
        self.kept += 1;
        if self.kept < ROWS_KEPT_MAX {
            return Ok(());
        }
        let fullest = self.days.iter().max_by_key(|(day, kept)| (kept.kept, std::cmp::Reverse(**day)));
        match fullest.map(|(day, _)| *day) {
            Some(day) => self.flush(day),
            None => Ok(()),
        }
    }

    /// Writes what is kept and closes all files.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        for day in self.days.keys().copied().collect::<Vec<_>>() {
            self.flush(day)?;
        }
        for day in self.days.into_values() {
            day.file.map(SerializedFileWriter::close).transpose().map_err(broken)?;
        }
        Ok(())
    }

    /// Leaves a file without rows, so that a table with none can be opened like any other.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn leave_empty(root: &Path) -> io::Result<()> {
        let empty = Self::new(root, "none");
        empty.open(0)?.close().map_err(broken)?;
        Ok(())
    }

    fn open(&self, day: i64) -> io::Result<SerializedFileWriter<File>> {
        let folder = self.root.join(format!("dt={}", day_name(day)));
        fs::create_dir_all(&folder)?;
        let file = File::create(folder.join(format!("{}.parquet", self.part)))?;
        SerializedFileWriter::new(file, self.schema.clone(), self.properties.clone()).map_err(broken)
    }

    fn flush(&mut self, day: i64) -> io::Result<()> {
        let opened = match self.days.get(&day) {
            Some(kept) if kept.kept > 0 && kept.file.is_none() => Some(self.open(day)?),
            _ => None,
        };
        let Some(kept) = self.days.get_mut(&day) else { return Ok(()) };
        kept.file = kept.file.take().or(opened);
        self.kept -= kept.kept;
        kept.flush().map_err(broken)
    }
}

impl Day {
    fn flush(&mut self) -> Result<(), ParquetError> {
        let Some(file) = self.file.as_mut().filter(|_| self.kept > 0) else { return Ok(()) };
        let mut group = file.next_row_group()?;
        for buffer in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            match &mut buffer.values {
                Values::Text(values) => {
                    column.typed::<ByteArrayType>().write_batch(values, Some(&buffer.levels), None)?;
                    values.clear();
                }
                Values::Long(values) => {
                    column.typed::<Int64Type>().write_batch(values, Some(&buffer.levels), None)?;
                    values.clear();
                }
            }
            buffer.levels.clear();
            column.close()?;
        }
        group.close()?;
        self.kept = 0;
        Ok(())
    }
}

impl Buffer {
    fn new(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Whole | Kind::Decimal | Kind::Time => Values::Long(Vec::new()),
        };
        Self { levels: Vec::new(), values }
    }

    fn push(&mut self, cell: Cell<'_>) {
        let is_there = match (&mut self.values, cell) {
            (Values::Text(values), Cell::Text(text)) => {
                values.push(ByteArray::from(text.into_owned().into_bytes()));
                true
            }
            (Values::Long(values), Cell::Whole(value) | Cell::Decimal(value)) => {
                values.push(value);
                true
            }
            (Values::Long(values), Cell::Time(at)) => {
                values.push(at.saturating_mul(MICROS_PER_MS));
                true
            }
            _ => false,
        };
        self.levels.push(i16::from(is_there));
    }
}

const MICROS_PER_MS: i64 = 1_000;
/// Digits of a decimal in 64 bits.
const DECIMAL_DIGITS: i32 = 18;
/// Digits after the point: micros, and parts per million.
const DECIMAL_SCALE: i32 = 6;

fn schema(columns: &[Column]) -> TypePtr {
    let fields = columns.iter().map(|column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Whole => (Physical::INT64, None),
            Kind::Decimal => (Physical::INT64, Some(LogicalType::decimal(DECIMAL_SCALE, DECIMAL_DIGITS))),
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
        };
        let mut field = Type::primitive_type_builder(column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        if column.kind == Kind::Decimal {
            field = field.with_precision(DECIMAL_DIGITS).with_scale(DECIMAL_SCALE);
        }
        Arc::new(field.build().expect("a column's type is one that Parquet has"))
    });
    let fields = fields.collect();
    Arc::new(Type::group_type_builder("row").with_fields(fields).build().expect("a group of columns is a schema"))
}

/// Shows every row of a table's folder, by day and part.
///
/// # Errors
/// Where a file cannot be read or is no Parquet file.
pub fn scan(root: &Path, show: &mut dyn FnMut(&ReadRow)) -> io::Result<()> {
    let mut files: Vec<PathBuf> = Vec::new();
    for day in fs::read_dir(root)? {
        let day = day?.path();
        if day.is_dir() {
            for part in fs::read_dir(day)? {
                files.push(part?.path());
            }
        }
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    for file in files {
        let reader = SerializedFileReader::new(File::open(&file)?).map_err(broken)?;
        for row in reader.get_row_iter(None).map_err(broken)? {
            show(&row.map_err(broken)?);
        }
    }
    Ok(())
}

fn broken(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => io::Error::other(cause),
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::Alert;
    use parquet::record::RowAccessor;

    fn alert(at: i64, kind: &str) -> Alert {
        Alert {
            updated_at: at,
            kind: kind.into(),
            money_at_stake_micros: 1_500_000,
            observed: (kind == "seen").then_some(7),
            opened_at: i64::MIN,
            ..Alert::default()
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("paceline-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn rows_lie_in_their_days_and_are_read_back_with_their_types() {
        let root = folder("tables");
        let mut table = Folder::<Alert>::new(&root, "part-00003");
        for row in [alert(DAY_MS + 5, "seen"), alert(3, "other"), alert(DAY_MS + 6, "other")] {
            table.push(&row).unwrap();
        }
        table.finish().unwrap();
        assert!(root.join("dt=1970-01-02/part-00003.parquet").is_file());
        let mut rows = Vec::new();
        scan(&root, &mut |row| {
            rows.push((
                row.get_timestamp_micros(0).unwrap(),
                row.get_string(2).unwrap().clone(),
                row.get_long(10).ok(),
            ));
            let stake = row.get_decimal(12).unwrap();
            assert_eq!((stake.precision(), stake.scale()), (DECIMAL_DIGITS, DECIMAL_SCALE));
            assert!(row.get_timestamp_micros(8).is_err(), "an instant outside of all calendars is absent");
        })
        .unwrap();
        let expected = [(3_000, "other", None), (86_400_005_000, "seen", Some(7)), (86_400_006_000, "other", None)];
        assert_eq!(rows, expected.map(|(at, kind, seen)| (at, kind.to_owned(), seen)));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_table_without_rows_can_be_opened() {
        let root = folder("empty-table");
        Folder::<Alert>::leave_empty(&root).unwrap();
        let mut rows = 0;
        scan(&root, &mut |_| rows += 1).unwrap();
        assert_eq!(rows, 0);
        fs::remove_dir_all(&root).unwrap();
    }
}
