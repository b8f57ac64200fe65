//! The events of the topics, counted once more by other means: each event id once, at its own event time.

use crate::avro::{Fields, schemas};
use crate::deployment::Deployment;
use crate::logs::{self, Entry};
use crate::truth::{Cells, DAY_MS, MINUTE_MS};
use apache_avro::types::Value;
use std::collections::{BTreeMap, HashSet};

/// Where a record lies: topic, partition, offset.
pub type Place = (String, i32, i64);

/// What was found in the topics.
#[derive(Clone, Debug, Default)]
pub struct Recount {
    /// Sums by campaign and minute.
    pub minutes: Cells,
    /// Unique events.
    pub events: u64,
    /// Records of events that were there before.
    pub duplicates: u64,
    /// Records that are no events, with the word for why.
    pub rejected: BTreeMap<Place, &'static str>,
}

/// Counts the three event topics of a deployment.
pub fn events(deployment: &Deployment) -> Recount {
    let mut recount = Recount::default();
    for (word, schema) in [("impressions", "Impression"), ("clicks", "Click"), ("conversions", "Conversion")] {
        let mut seen = HashSet::new();
        logs::read_each(&deployment.brokers, &[deployment.topic(word)], |entry| match event(&entry, schema) {
            Ok(event) => recount.count(&event, schema, &mut seen),
            Err(reason) => {
                recount.rejected.insert((entry.topic, entry.partition, entry.offset), reason);
            }
        });
    }
    recount
}

impl Recount {
    fn count(&mut self, event: &Value, schema: &str, seen: &mut HashSet<String>) {
        if !seen.insert(event.text("event_id").to_owned()) {
            self.duplicates += 1;
            return;
        }
        self.events += 1;
        let minute = event.long("event_time").div_euclid(MINUTE_MS) * MINUTE_MS;
        let Some(campaign) = event.optional_text("campaign_id") else { return };
        let cell = self.minutes.entry((campaign.to_owned(), minute)).or_default();
        match schema {
            "Conversion" => {
                cell.conversions += 1;
                cell.value_micros += event.long("value_micros");
            }
            _ => {
                *(if schema == "Click" { &mut cell.clicks } else { &mut cell.impressions }) += 1;
                cell.spend_micros += event.long("cost_micros");
            }
        }
    }
}

/// The event in a record, or why the contract refuses it.
fn event(entry: &Entry, schema: &str) -> Result<Value, &'static str> {
    let (name, event) = schemas().decode(entry.bytes())?;
    if name != schema {
        return Err("wrong_kind");
    }
    let campaign = event.optional_text("campaign_id");
    let ids = [("event_id", 64), ("account_id", 256)].map(|(id, most)| (event.text(id), most));
    let sized = |text: &str, most: usize| !text.is_empty() && text.len() <= most;
    let money = event.long(if schema == "Conversion" { "value_micros" } else { "cost_micros" });
    if !ids.iter().all(|(id, most)| sized(id, *most)) || !campaign.is_none_or(|id| sized(id, 256)) || money < 0 {
        return Err("invalid_value");
    }
    let ahead_ms = event.long("event_time") - entry.timestamp_ms;
    match ahead_ms {
        ahead if ahead > 5 * MINUTE_MS => Err("future"),
        ahead if ahead < -90 * DAY_MS => Err("too_old"),
        _ => Ok(event),
    }
}

/// What is on the dead-letter topic: the record's place, and reason with the bytes kept.
///
/// # Panics
/// Where a dead letter has no coordinates, or a place has two.
pub fn dead_letters(deployment: &Deployment) -> BTreeMap<Place, (String, Vec<u8>)> {
    let mut letters = BTreeMap::new();
    for entry in logs::read(&deployment.brokers, &[deployment.topic("dead_letters")]) {
        let header = |name: &str| entry.headers.get(name).unwrap_or_else(|| panic!("a dead letter without {name}"));
        let number = |name: &str| header(name).parse::<i64>().expect("a coordinate is a number");
        let place = (header("topic").clone(), number("partition") as i32, number("offset"));
        assert!(!header("detail").is_empty() || header("reason") != "decode_error", "a dead letter without detail");
        let before = letters.insert(place.clone(), (header("reason").clone(), entry.bytes().to_vec()));
        assert!(before.is_none(), "two dead letters for {place:?}");
    }
    letters
}
