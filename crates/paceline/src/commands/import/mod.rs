//! `paceline import`: event files to topic records.
//!
//! All rows are read, mapped and checked before the first record is sent, so a mistake in line 10 million sends nothing.
//! Records go out in event-time order over all kinds, as a live source would have sent them.

pub mod map;
mod rows;
pub mod time;

use crate::cli::{Import, ImportKind};
use crate::clock::Clock;
use crate::commands::{connect, sender};
use crate::failure::{Failure, Outcome};
use crate::registry;
use crate::settings::{Settings, Topics};
use aggregator::MONEY_MICROS_MAX;
use avro_codec::{Codec, RecordName};
use map::{Kind, RecordMap, Row};
use model::event::{Click, Conversion, EventKind, Impression, partition_key};
use model::fact::StatsReport;
use model::time::{DAY_MS, MINUTE_MS, Millis};
use policy::settings::Stage1;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Mistakes shown; the count of the rest is told.
const MISTAKES_SHOWN: usize = 10;
const FLUSH_LIMIT: Duration = Duration::from_secs(120);
const WEEK_MS: Millis = 7 * DAY_MS;
/// About a century.
const WEEKS_MAX: i64 = 5_200;

/// A record ready to be encoded, once its times are shifted.
struct Prepared {
    /// The first of its instants.
    at: Millis,
    kind: Kind,
    fields: Map<String, Value>,
}

/// Runs the import.
pub fn run(arguments: &Import) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let maps = maps(arguments)?;
    let mut prepared = Vec::new();
    prepare(arguments, &maps, &mut |record| prepared.push(record))?;
    let weeks = shift_weeks(arguments.shift_weeks.as_deref(), &prepared)?;
    let now_ms = Clock::System.now_ms();
    for words in [nothing(&prepared, arguments), too_old(&prepared, weeks, now_ms), too_new(&prepared, weeks, now_ms)] {
        words.into_iter().for_each(|words| eprintln!("{words}"));
    }
    prepared.sort_by_key(|record| record.at);
    let kinds: BTreeSet<_> = prepared.iter().filter_map(|record| RecordName::from_name(record.kind.schema())).collect();
    let codec = registry::codec(&settings, &kinds.into_iter().collect::<Vec<_>>())?;
    let encoded = encode(&codec, prepared, weeks)?;
    send(&settings, encoded, weeks)
}

/// All records of the files, encoded as they would be sent, in the order of their times: for who replays them.
pub fn records(arguments: &Import) -> Outcome<Vec<Encoded>> {
    let maps = maps(arguments)?;
    let codec = Codec::fixed();
    let (mut encoded, mut wrong) = (Vec::new(), Vec::new());
    prepare(arguments, &maps, &mut |record| match encode_one(
        &codec,
        record.kind,
        record.at,
        Value::Object(record.fields),
    ) {
        Ok(record) => encoded.push(record),
        Err(reason) if wrong.len() < MISTAKES_SHOWN => wrong.push(format!("a record of {}: {reason}", record.at)),
        Err(_) => {}
    })?;
    if !wrong.is_empty() {
        return Err(Failure::failed("records would be refused", "correct the file or the map").listing(wrong));
    }
    encoded.sort_by_key(|record| record.at);
    Ok(encoded)
}

fn maps(arguments: &Import) -> Outcome<Vec<RecordMap>> {
    if let Some(path) = &arguments.map {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::failed(format!("cannot read the map {}: {error}", path.display()), "check the path")
        })?;
        return map::parse(&text, field_names).map_err(|mistakes| {
            Failure::failed(
                format!("the map {} has {} mistake(s), nothing was sent", path.display(), mistakes.len()),
                "correct each line above; deploy/import/columns.toml explains the form",
            )
            .listing(mistakes)
        });
    }
    let kind = arguments.kind.ok_or_else(|| {
        Failure::usage(
            "neither --map nor --kind says what the rows are",
            "give --kind where the columns bear the fields' names, else --map",
        )
    })?;
    let kind = match kind {
        ImportKind::Impressions => Kind::Event(EventKind::Impression),
        ImportKind::Clicks => Kind::Event(EventKind::Click),
        ImportKind::Conversions => Kind::Event(EventKind::Conversion),
        ImportKind::Stats => Kind::Stats,
    };
    let names = field_names(kind);
    Ok(vec![RecordMap::by_name(kind, &names.iter().map(String::as_str).collect::<Vec<_>>())])
}

/// An empty record as JSON: its field names and the form of each field.
fn template(kind: Kind) -> Map<String, Value> {
    let value = match kind {
        Kind::Event(EventKind::Impression) => json!(Impression::default()),
        Kind::Event(EventKind::Click) => json!(Click::default()),
        Kind::Event(EventKind::Conversion) => json!(Conversion::default()),
        Kind::Stats => json!(StatsReport::default()),
    };
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn field_names(kind: Kind) -> Vec<String> {
    template(kind).keys().cloned().collect()
}

/// Fields that a file may leave out, and what holds then.
fn default_of(name: &str) -> Option<Value> {
    Some(match name {
        "cost_micros" | "value_micros" | "impressions" | "clicks" | "conversions" => json!(0),
        "channel" | "device" => json!("other"),
        "geo" => json!(""),
        "conversion_type" => json!("purchase"),
        "revision" => json!(1),
        "basis" => json!("impression_time"),
        "semantics" => json!("snapshot"),
        "is_final" => json!(false),
        "dimensions" => json!({}),
        _ => return None,
    })
}

fn prepare(arguments: &Import, maps: &[RecordMap], give: &mut dyn FnMut(Prepared)) -> Outcome {
    let templates: Vec<Map<String, Value>> = maps.iter().map(|map| template(map.kind)).collect();
    let mut mistakes = Vec::new();
    let mut wrong_rows = 0_u64;
    for path in &arguments.inputs {
        let mut take = |row: &Row<'_>| {
            for (map, template) in maps.iter().zip(&templates) {
                if !map.holds(row) {
                    continue;
                }
                match build(map, template, row) {
                    Ok(record) => give(record),
                    Err(reason) => {
                        wrong_rows += 1;
                        if mistakes.len() < MISTAKES_SHOWN {
                            mistakes.push(format!("{} row {}: {reason}", path.display(), row.number));
                        }
                    }
                }
            }
        };
        let columns = rows::read(path, &mut take)?;
        if let Some(columns) = columns.filter(|_| arguments.map.is_some()) {
            let absent: BTreeSet<&str> = maps
                .iter()
                .flat_map(|map| map.fields.values())
                .flat_map(|field| field.columns())
                .filter(|name| !columns.iter().any(|c| c == name))
                .collect();
            if !absent.is_empty() {
                let absent: Vec<&str> = absent.into_iter().collect();
                return Err(Failure::failed(
                    format!("{} has no column {}", path.display(), absent.join(", ")),
                    format!("its columns are {}; correct the map", columns.join(", ")),
                ));
            }
        }
    }
    if mistakes.is_empty() {
        return Ok(());
    }
    let more = wrong_rows - mistakes.len() as u64;
    if more > 0 {
        mistakes.push(format!("and {more} more"));
    }
    Err(Failure::failed(
        format!("{wrong_rows} row(s) do not give a record, nothing was sent"),
        "correct the file or the map",
    )
    .listing(mistakes))
}

fn build(map: &RecordMap, template: &Map<String, Value>, row: &Row<'_>) -> Result<Prepared, String> {
    let mut fields = Map::new();
    for (name, form) in template {
        let value = match map.fields.get(name) {
            Some(field) => value(map.kind, name, form, field, row).map_err(|reason| format!("{name}: {reason}"))?,
            None => None,
        };
        let value = value.or_else(|| default_of(name)).unwrap_or(Value::Null);
        if value.is_null() && !form.is_null() {
            return Err(format!("{name} has no value"));
        }
        fields.insert(name.clone(), value);
    }
    let at = fields[map.kind.instants()[0]].as_i64().unwrap_or_default();
    Ok(Prepared { at, kind: map.kind, fields })
}

fn value(kind: Kind, name: &str, form: &Value, field: &map::FieldMap, row: &Row<'_>) -> Result<Option<Value>, String> {
    if kind.instants().contains(&name) {
        return Ok(field.instant(row)?.map(Value::from));
    }
    if name.ends_with("_micros") {
        let micros = field.micros(row)?;
        return match micros.filter(|micros| matches!(kind, Kind::Event(_)) && !(0..=MONEY_MICROS_MAX).contains(micros))
        {
            None => Ok(micros.map(Value::from)),
            // The service would put each of them on the dead letters.
            Some(refused) => {
                Err(format!("{refused} micros is below nothing or above {MONEY_MICROS_MAX}, the most of one event"))
            }
        };
    }
    let Some(text) = field.text(row) else { return Ok(None) };
    let wrong = |wanted: &str| format!("{text:?} is not {wanted}");
    Ok(match form {
        Value::Number(_) if !text.is_empty() => Some(json!(text.parse::<i64>().map_err(|_| wrong("a whole number"))?)),
        Value::Bool(_) if !text.is_empty() => Some(json!(parse_flag(&text).ok_or_else(|| wrong("true or false"))?)),
        Value::Object(_) if !text.is_empty() => Some(serde_json::from_str(&text).map_err(|_| wrong("a JSON object"))?),
        Value::Null if name == "new_customer" && !text.is_empty() => {
            Some(json!(parse_flag(&text).ok_or_else(|| wrong("true or false"))?))
        }
        Value::String(_) => Some(json!(text)),
        Value::Null if !text.is_empty() => Some(json!(text)),
        _ => None,
    })
}

fn parse_flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn shift_weeks(wanted: Option<&str>, prepared: &[Prepared]) -> Outcome<i64> {
    match wanted {
        None => Ok(0),
        Some("auto") => {
            let newest = prepared.iter().map(|record| record.at).max().unwrap_or_default();
            Ok(Clock::System.now_ms().saturating_sub(newest).div_euclid(WEEK_MS))
        }
        Some(number) => number.parse().ok().filter(|weeks| (-WEEKS_MAX..=WEEKS_MAX).contains(weeks)).ok_or_else(|| {
            Failure::usage(
                format!("--shift-weeks {number:?} is neither auto nor a whole number from -{WEEKS_MAX} to {WEEKS_MAX}"),
                "auto moves the newest event into the last week",
            )
        }),
    }
}

/// Words for files that give no record at all: empty ones, or ones that no `when` of the map holds for.
fn nothing(prepared: &[Prepared], arguments: &Import) -> Option<String> {
    let files: Vec<String> = arguments.inputs.iter().map(|path| path.display().to_string()).collect();
    let words = "gives no record; a file without rows, or a map whose `when` no row has?";
    prepared.is_empty().then(|| format!("warning: {} {words}", files.join(", ")))
}

/// Words for events that the service will refuse for their age; the policy in force may allow more or less than the default.
fn too_old(prepared: &[Prepared], weeks: i64, now_ms: Millis) -> Option<String> {
    let age_max_ms = Stage1::default().age_max_ms;
    let old = events_that(prepared, |at| shifted(at, weeks) < now_ms - age_max_ms);
    (old > 0).then(|| {
        format!(
            "warning: {old} of {} records are older than {} days, which the service refuses as too_old unless \
             stage1.age_max_ms of the policy allows it; --shift-weeks auto moves them into the last week",
            prepared.len(),
            age_max_ms / DAY_MS
        )
    })
}

/// The same for events ahead of the clock.
fn too_new(prepared: &[Prepared], weeks: i64, now_ms: Millis) -> Option<String> {
    let future_max_ms = Stage1::default().future_max_ms;
    let new = events_that(prepared, |at| shifted(at, weeks) > now_ms + future_max_ms);
    (new > 0).then(|| {
        format!(
            "warning: {new} of {} records lie more than {} minutes ahead of the clock, which the service refuses as future \
             unless stage1.future_max_ms of the policy allows it; --shift-weeks auto moves them into the last week",
            prepared.len(),
            future_max_ms / MINUTE_MS
        )
    })
}

fn events_that(prepared: &[Prepared], holds: impl Fn(Millis) -> bool) -> usize {
    prepared.iter().filter(|record| matches!(record.kind, Kind::Event(_)) && holds(record.at)).count()
}

/// An instant moved by whole weeks; what no calendar has stays at its end, and is refused as too old or too new.
fn shifted(at: Millis, weeks: i64) -> Millis {
    at.saturating_add(weeks.saturating_mul(WEEK_MS))
}

/// A record as it is sent.
pub struct Encoded {
    /// The first of its instants.
    pub at: Millis,
    /// What it is.
    pub kind: Kind,
    key: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Encoded {
    /// A record as it lay in a topic.
    pub fn recorded(at: Millis, kind: Kind, payload: Vec<u8>) -> Self {
        Self { at, kind, key: String::new(), payload }
    }
}

fn encode(codec: &Codec, prepared: Vec<Prepared>, weeks: i64) -> Outcome<Vec<Encoded>> {
    let mut encoded = Vec::with_capacity(prepared.len());
    for (at, mut record) in prepared.into_iter().enumerate() {
        for name in record.kind.instants() {
            let moved = shifted(record.fields[*name].as_i64().unwrap_or_default(), weeks);
            record.fields.insert((*name).into(), json!(moved));
        }
        let made = encode_one(codec, record.kind, record.at, Value::Object(record.fields));
        encoded.push(made.map_err(|reason| {
            Failure::failed(
                format!("record {} in event-time order would be refused: {reason}; nothing was sent", at + 1),
                "correct the file or the map",
            )
        })?);
    }
    Ok(encoded)
}

fn encode_one(codec: &Codec, kind: Kind, at: Millis, value: Value) -> Result<Encoded, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let name = RecordName::from_name(kind.schema()).ok_or("its schema is unknown")?;
    let (key, payload) = match kind {
        Kind::Event(EventKind::Impression) => {
            let record: Impression = serde_json::from_value(value).map_err(|e| words(&e))?;
            let key = partition_key(record.user_key.as_deref(), None, &record.event_id).to_owned();
            (key, codec.encode(name, &record).map_err(|e| words(&e))?)
        }
        Kind::Event(EventKind::Click) => {
            let record: Click = serde_json::from_value(value).map_err(|e| words(&e))?;
            let key = partition_key(record.user_key.as_deref(), None, &record.event_id).to_owned();
            (key, codec.encode(name, &record).map_err(|e| words(&e))?)
        }
        Kind::Event(EventKind::Conversion) => {
            let record: Conversion = serde_json::from_value(value).map_err(|e| words(&e))?;
            let key =
                partition_key(record.user_key.as_deref(), record.click_id.as_deref(), &record.event_id).to_owned();
            (key, codec.encode(name, &record).map_err(|e| words(&e))?)
        }
        Kind::Stats => {
            let record: StatsReport = serde_json::from_value(value).map_err(|e| words(&e))?;
            (record.campaign_id.clone(), codec.encode(name, &record).map_err(|e| words(&e))?)
        }
    };
    if let Kind::Event(kind) = kind {
        codec.event(kind, &payload, &mut Default::default()).map_err(|rejected| words(&rejected))?;
    }
    Ok(Encoded { at, kind, key, payload })
}

fn topic(topics: &Topics, kind: Kind) -> &str {
    match kind {
        Kind::Event(kind) => topics.event(kind),
        Kind::Stats => &topics.stats,
    }
}

fn send(settings: &Settings, encoded: Vec<Encoded>, weeks: i64) -> Outcome {
    let connection = connect(settings, "import");
    let mut sender = sender(&connection)?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &encoded {
        let topic = topic(&settings.topics, record.kind);
        sender.send(topic, None, Some(record.key.as_bytes()), Some(&record.payload), None)?;
        *counts.entry(topic).or_default() += 1;
    }
    sender.flush(FLUSH_LIMIT)?;
    println!("{}", json!({ "sent": counts, "shift_weeks": weeks }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_would_be_refused_for_their_age_are_told_and_shifted_ones_are_not() {
        let event = |at| Prepared { at, kind: Kind::Event(EventKind::Click), fields: Map::new() };
        let now_ms = 1_000 * DAY_MS;
        let prepared = [event(900 * DAY_MS), event(950 * DAY_MS)];
        let words = too_old(&prepared, 0, now_ms).unwrap();
        assert!(words.starts_with("warning: 1 of 2 records are older than 90 days"), "{words}");
        assert_eq!(too_old(&prepared, 7, now_ms), None);
        let stats = [Prepared { kind: Kind::Stats, ..event(0) }];
        assert_eq!(too_old(&stats, 0, now_ms), None, "platforms' reports have no such limit");
        assert_eq!(too_new(&prepared, 7, now_ms), None);
        let words = too_new(&prepared, 8, now_ms).unwrap();
        assert!(words.starts_with("warning: 1 of 2 records lie more than 5 minutes ahead"), "{words}");
    }

    #[test]
    fn money_that_no_event_may_carry_is_told_with_its_field_and_a_report_may_carry_it() {
        let of = |kind, money: &'static str| {
            let template = template(kind);
            let names: Vec<&str> = template.keys().map(String::as_str).collect();
            let column = |name: &str| {
                Some(match name {
                    name if name.ends_with("_micros") => money.to_owned(),
                    name if kind.instants().contains(&name) => "1700000000000".to_owned(),
                    _ if template[name].is_number() => "1".to_owned(),
                    _ if template[name].is_string() => "a".to_owned(),
                    _ => String::new(),
                })
            };
            build(&RecordMap::by_name(kind, &names), &template, &Row { number: 7, column: &column }).map(|_| ())
        };
        for kind in EventKind::ALL {
            assert_eq!(of(Kind::Event(kind), "10000000000000000"), Ok(()), "{kind:?}");
            for money in ["10000000000000001", "-1"] {
                let refused = of(Kind::Event(kind), money).unwrap_err();
                assert!(refused.contains("_micros: ") && refused.contains(money), "{refused}");
            }
        }
        assert_eq!(of(Kind::Stats, "10000000000000001"), Ok(()));
    }

    #[test]
    fn a_shift_that_no_calendar_has_is_refused_and_none_overflows() {
        for wrong in ["9223372036854775807", "-9223372036854775808", "5201", "soon"] {
            let refused = shift_weeks(Some(wrong), &[]).unwrap_err();
            assert_eq!(refused.kind.exit_code(), 2, "{wrong}");
        }
        assert_eq!(shift_weeks(Some("-5200"), &[]).unwrap(), -5_200);
        assert_eq!(shifted(i64::MAX, WEEKS_MAX), i64::MAX);
    }
}
