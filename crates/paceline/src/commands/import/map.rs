//! The column map: which records a row of a file becomes.
//!
//! A field is a constant or a text with `{column}` and `{row}` in it, or a table that adds a time's `format` or a
//! money's `unit`. Everything is checked against the record's fields before the first row is read.

use super::time::TimeFormat;
use model::event::EventKind;
use model::time::Millis;
use std::collections::BTreeMap;

/// What a record of the map becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of the three event topics.
    Event(EventKind),
    /// A platform report.
    Stats,
}

impl Kind {
    /// The word in the map and of `--kind`.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "impressions" | "impression" => Kind::Event(EventKind::Impression),
            "clicks" | "click" => Kind::Event(EventKind::Click),
            "conversions" | "conversion" => Kind::Event(EventKind::Conversion),
            "stats" => Kind::Stats,
            _ => return None,
        })
    }

    /// Name of the record's schema.
    pub fn schema(self) -> &'static str {
        match self {
            Kind::Event(EventKind::Impression) => "Impression",
            Kind::Event(EventKind::Click) => "Click",
            Kind::Event(EventKind::Conversion) => "Conversion",
            Kind::Stats => "StatsReport",
        }
    }

    /// The instants of the record that `--shift-weeks` moves; the first orders the run.
    pub fn instants(self) -> &'static [&'static str] {
        match self {
            Kind::Event(_) => &["event_time"],
            Kind::Stats => &["window_start", "window_end"],
        }
    }
}

/// One `[[record]]` block.
#[derive(Clone, Debug)]
pub struct RecordMap {
    /// What it becomes.
    pub kind: Kind,
    /// The row must have this value in this column.
    pub when: Option<(String, String)>,
    /// Field name to its text.
    pub fields: BTreeMap<String, FieldMap>,
}

/// How one field is made from a row.
#[derive(Clone, Debug)]
pub struct FieldMap {
    pieces: Vec<Piece>,
    format: TimeFormat,
    unit_micros: i64,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Column(String),
    Row,
}

/// A row of an input file.
pub struct Row<'a> {
    /// Line number, from 1 for the first row of data.
    pub number: u64,
    /// Value of a column, `None` where the file has no such column or the value is null.
    pub column: &'a dyn Fn(&str) -> Option<String>,
}

impl RecordMap {
    /// A map for files whose columns are the record's own field names.
    pub fn by_name(kind: Kind, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|name| ((*name).to_owned(), FieldMap::column(name))).collect();
        Self { kind, when: None, fields }
    }

    /// Whether the row gives a record by this block.
    pub fn holds(&self, row: &Row<'_>) -> bool {
        self.when.as_ref().is_none_or(|(column, wanted)| (row.column)(column).as_deref() == Some(wanted))
    }
}

impl FieldMap {
    fn column(name: &str) -> Self {
        Self { pieces: vec![Piece::Column(name.to_owned())], format: TimeFormat::Any, unit_micros: 1 }
    }

    /// The text for a row; `None` where it is one column and the row has none, or it is empty.
    pub fn text(&self, row: &Row<'_>) -> Option<String> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(constant) => text.push_str(constant),
                Piece::Row => text.push_str(&row.number.to_string()),
                Piece::Column(name) => text.push_str(&(row.column)(name)?),
            }
        }
        Some(text)
    }

    /// The instant for a row.
    pub fn instant(&self, row: &Row<'_>) -> Result<Option<Millis>, String> {
        self.text(row).filter(|text| !text.is_empty()).map(|text| self.format.parse(&text)).transpose()
    }

    /// The amount of money in micros for a row.
    pub fn micros(&self, row: &Row<'_>) -> Result<Option<i64>, String> {
        self.text(row).filter(|text| !text.is_empty()).map(|text| decimal_micros(&text, self.unit_micros)).transpose()
    }

    /// Columns that must exist.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Column(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Parses a map file; every mistake at once. `known_fields` gives a record's field names by kind.
pub fn parse(text: &str, known_fields: impl Fn(Kind) -> Vec<String>) -> Result<Vec<RecordMap>, Vec<String>> {
    let table: toml::Table = text.parse().map_err(|error| vec![format!("not TOML: {error}")])?;
    let mut mistakes = Vec::new();
    for key in table.keys().filter(|key| *key != "record") {
        mistakes.push(format!("{key}: unknown; the map has [[record]] blocks only"));
    }
    let blocks = match table.get("record") {
        Some(toml::Value::Array(blocks)) if !blocks.is_empty() => blocks.clone(),
        _ => return Err(vec!["there is no [[record]] block".into()]),
    };
    let mut records = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let place = format!("[[record]] {}", at + 1);
        match block.as_table() {
            Some(block) => records.extend(parse_block(block, &place, &known_fields, &mut mistakes)),
            None => mistakes.push(format!("{place}: is not a table")),
        }
    }
    if mistakes.is_empty() { Ok(records) } else { Err(mistakes) }
}

fn parse_block(
    block: &toml::Table,
    place: &str,
    known_fields: &impl Fn(Kind) -> Vec<String>,
    mistakes: &mut Vec<String>,
) -> Option<RecordMap> {
    for key in block.keys().filter(|key| !["kind", "when", "fields"].contains(&key.as_str())) {
        mistakes.push(format!("{place}: {key} is unknown; there are kind, when and fields"));
    }
    let Some(kind) = block.get("kind").and_then(toml::Value::as_str).and_then(Kind::parse) else {
        mistakes.push(format!("{place}: kind must be impressions, clicks, conversions or stats"));
        return None;
    };
    let when = match block.get("when").map(parse_when) {
        Some(Err(reason)) => {
            mistakes.push(format!("{place}: {reason}"));
            None
        }
        Some(Ok(when)) => Some(when),
        None => None,
    };
    let known = known_fields(kind);
    let mut fields = BTreeMap::new();
    for (name, value) in block.get("fields").and_then(toml::Value::as_table).into_iter().flatten() {
        if !known.contains(name) {
            mistakes.push(format!("{place}: {} has no field {name}; it has {}", kind.schema(), known.join(", ")));
            continue;
        }
        match parse_field(value) {
            Ok(field) => {
                fields.insert(name.clone(), field);
            }
            Err(reason) => mistakes.push(format!("{place}: {name}: {reason}")),
        }
    }
    Some(RecordMap { kind, when, fields })
}

/// `when = { column = "value" }`, or the same as a text.
fn parse_when(value: &toml::Value) -> Result<(String, String), String> {
    const SHAPE: &str = "when must be { column = \"value\" } with one column";
    let parsed;
    let table = match value {
        toml::Value::Table(table) => table,
        toml::Value::String(text) => {
            parsed = text.parse::<toml::Table>().map_err(|_| SHAPE.to_owned())?;
            &parsed
        }
        _ => return Err(SHAPE.into()),
    };
    match table.iter().next() {
        Some((column, value)) if table.len() == 1 => Ok((column.clone(), scalar(value).ok_or(SHAPE)?)),
        _ => Err(SHAPE.into()),
    }
}

fn parse_field(value: &toml::Value) -> Result<FieldMap, String> {
    let Some(table) = value.as_table() else {
        let text = scalar(value).ok_or("must be a constant, a text or a table")?;
        return Ok(FieldMap { pieces: pieces(&text)?, format: TimeFormat::Any, unit_micros: 1 });
    };
    let mut field = FieldMap { pieces: Vec::new(), format: TimeFormat::Any, unit_micros: 1 };
    for (key, value) in table {
        let text = scalar(value).ok_or_else(|| format!("{key} must be a constant"))?;
        match key.as_str() {
            "value" | "text" | "from" => field.pieces = pieces(&text)?,
            "column" => field.pieces = vec![Piece::Column(text)],
            "format" => field.format = TimeFormat::parse_name(&text)?,
            "unit" => field.unit_micros = unit(&text)?,
            _ => return Err(format!("{key} is unknown; there are value, column, format and unit")),
        }
    }
    if field.pieces.is_empty() {
        return Err("value or column is missing".into());
    }
    Ok(field)
}

fn scalar(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Datetime(at) => at.to_string(),
        _ => return None,
    })
}

fn unit(word: &str) -> Result<i64, String> {
    match word {
        "micros" => Ok(1),
        "cents" => Ok(10_000),
        "units" => Ok(1_000_000),
        _ => Err(format!("unit {word:?} is not micros, cents or units")),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').ok_or_else(|| format!("{text:?} has a {{ without a }}"))? + open;
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        pieces.push(match &rest[open + 1..close] {
            "row" => Piece::Row,
            "" => return Err(format!("{text:?} has {{}} without a column name")),
            name => Piece::Column(name.to_owned()),
        });
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// A decimal number in a unit of `unit_micros`, exactly; digits below a micro are refused.
pub fn decimal_micros(text: &str, unit_micros: i64) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not an amount of money in whole micros");
    let trimmed = text.trim();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit()) {
        return Err(wrong());
    }
    let fraction = fraction.trim_end_matches('0');
    let scale = 10_i128.checked_pow(fraction.len() as u32).ok_or_else(wrong)?;
    let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let scaled = digits.checked_mul(i128::from(unit_micros)).ok_or_else(wrong)?;
    if scaled % scale != 0 {
        return Err(wrong());
    }
    let micros = i64::try_from(scaled / scale).map_err(|_| wrong())?;
    Ok(if negative { -micros } else { micros })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(_: Kind) -> Vec<String> {
        ["event_id", "event_time", "campaign_id", "cost_micros"].map(str::to_owned).to_vec()
    }

    const MAP: &str = r#"
        [[record]]
        kind = "impressions"
        [record.fields]
        event_id = "men-{row}"
        event_time = { value = "{timestamp}", format = "rfc3339" }
        campaign_id = "{policy}-{item}-{position}"
        cost_micros = { value = "0.25", unit = "cents" }
        [[record]]
        kind = "clicks"
        when = { click = "1" }
        fields = { event_id = "click-{row}" }
    "#;

    #[test]
    fn a_row_gives_a_record_for_each_block_that_holds() {
        let records = parse(MAP, fields).unwrap();
        let column = |name: &str| match name {
            "policy" => Some("bts".to_owned()),
            "item" | "position" => Some("3".to_owned()),
            "timestamp" => Some("2019-11-24 00:01:03.979311+00:00".to_owned()),
            "click" => Some("0".to_owned()),
            _ => None,
        };
        let row = Row { number: 7, column: &column };
        assert!(records[0].holds(&row) && !records[1].holds(&row));
        let field = |name: &str| &records[0].fields[name];
        assert_eq!(field("event_id").text(&row).unwrap(), "men-7");
        assert_eq!(field("campaign_id").text(&row).unwrap(), "bts-3-3");
        assert_eq!(field("cost_micros").micros(&row), Ok(Some(2_500)));
        assert_eq!(field("event_time").instant(&row), Ok(Some(1_574_553_663_979)));
    }

    #[test]
    fn every_mistake_is_told() {
        let wrong = "[[record]]\nkind = \"impressions\"\nwhat = 1\n[record.fields]\nevent = \"x\"\nevent_id = \"{row\"\n[[record]]\nkind = \"sales\"";
        let mistakes = parse(wrong, fields).unwrap_err();
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
    }

    #[test]
    fn money_is_exact_or_refused() {
        assert_eq!(decimal_micros("12.345678", 1_000_000), Ok(12_345_678));
        assert_eq!(decimal_micros("-0.10", 1_000_000), Ok(-100_000));
        assert_eq!(decimal_micros("7", 10_000), Ok(70_000));
        for wrong in ["", "1e3", "0.0000001", "9999999999999999999", "1.2.3", "NaN"] {
            assert!(decimal_micros(wrong, 1_000_000).is_err(), "{wrong}");
        }
    }
}
