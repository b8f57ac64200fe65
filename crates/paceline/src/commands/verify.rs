//! `paceline verify`: the journal through the controller again, compared with what was committed.
//!
//! It ends where the controller's committed position is, so it may run beside the service: journal records that nobody
//! has decided yet are neither equal nor different. Partitions are independent, so they are replayed side by side. Where
//! the journal has lost its beginning, or where it is asked to, it begins with a state that the service has kept, and says
//! so: what came before is then believed, not proved.

use super::history::History;
use super::import::time::instant;
use super::replay::progress::Progress;
use super::replay::{cores, side_by_side_over};
use super::run::stop_on_signal;
use super::{say, say_json};
use crate::cli::{Output, Verify};
use crate::failure::{Failure, Kind, Outcome};
use crate::service::context::Stop;
use crate::settings::Settings;
use controller::JournalPosition;
use kafka_io::From;
use model::time::{MINUTE_MS, Millis};
use replay::{Difference, OutputTopic, Tally, Verifier};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Compares every journal partition; a difference is shown from both sides.
pub fn run(arguments: &Verify) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let asked = Asked::read(arguments)?;
    let stop = Arc::new(Stop::default());
    stop_on_signal(stop.clone())?;
    let first = History::open(settings.clone(), "verify")?;
    let partitions: Vec<i32> = match &arguments.partition[..] {
        [] => (0..settings.journal_partitions).collect(),
        some => some.to_vec(),
    };
    if let Some(unknown) = partitions.iter().find(|one| !(0..settings.journal_partitions).contains(*one)) {
        return Err(Failure::usage(
            format!(
                "--partition {unknown}: {} has the partitions 0 to {}",
                settings.topics.journal,
                settings.journal_partitions - 1
            ),
            "",
        ));
    }
    let progress = Progress::new("journal records", records_of(&first, &partitions)?, None);
    let threads = arguments.threads.map_or_else(cores, usize::from);
    let open = || {
        let stop = stop.clone();
        Ok(History::open(settings.clone(), "verify")?.stop_when(move || stop.is_asked()))
    };
    let done = side_by_side_over(&partitions, threads, &stop, open, |history, partition| {
        verify(history, partition, &asked, &progress)
    });
    progress.end();
    let done = done.map_err(|failure| match failure.kind {
        Kind::Stopped => Failure::new(Kind::Stopped, "stopped before the end: nothing is proved", "start it again"),
        _ => failure,
    })?;
    report(&first, arguments.output, &partitions, done)
}

/// What is compared.
struct Asked {
    from: Option<Millis>,
    to: Option<Millis>,
    from_offset: Option<i64>,
    to_offset: Option<i64>,
    is_short: bool,
}

impl Asked {
    fn read(arguments: &Verify) -> Outcome<Self> {
        let parse = |name: &str, text: &Option<String>| {
            text.as_deref().map(instant).transpose().map_err(|reason| Failure::usage(format!("--{name} {reason}"), ""))
        };
        let (from, to) = (parse("from", &arguments.from)?, parse("to", &arguments.to)?);
        let (from_offset, to_offset) = (arguments.from_offset, arguments.to_offset);
        let is_empty = from.zip(to).is_some_and(|(from, to)| from > to)
            || from_offset.zip(to_offset).is_some_and(|(from, to)| from >= to);
        if is_empty {
            return Err(Failure::usage("nothing lies between the bounds that were given", "exchange them"));
        }
        Ok(Self { from, to, from_offset, to_offset, is_short: arguments.from_state })
    }

    fn holds(&self, at: JournalPosition) -> bool {
        self.from.is_none_or(|from| at.timestamp_ms >= from) && self.from_offset.is_none_or(|from| at.offset >= from)
    }
}

/// What came of one partition.
struct Compared {
    tally: BTreeMap<OutputTopic, Tally>,
    first: Option<Difference>,
    records: u64,
    /// Where it began, if not with the journal's first record, and the instant of the state that it began with.
    begun: Option<(i64, Millis)>,
}

fn verify(history: &mut History, partition: i32, asked: &Asked, progress: &Progress) -> Outcome<Compared> {
    let begin = history.begin(partition, asked.from, asked.is_short)?;
    let (place, next_offset) = (begin.place(), begin.next_offset);
    let begun = begin.state_ms.map(|at| (next_offset, at));
    // Asked before the decisions are read: what a running service decides meanwhile is not held against it.
    let decided_to = history.decided_to(partition)?;
    let end = decided_to.into_iter().chain(asked.to_offset).min();
    let codec = history.codec.clone();
    let mut verifier = Verifier::new(&codec, super::run::BUILD, begin.controller);
    let since = begin.state_ms.map_or(From::Earliest, |at| From::Time(at.saturating_sub(CLOCKS_APART_MS)));
    for topic in OutputTopic::ALL {
        history.decisions(topic, partition, since, |record| {
            if record.journal_offset >= next_offset {
                verifier.committed(topic, record);
            }
        })?;
    }
    let (mut from_offset, mut records) = (i64::MAX, 0);
    let until = history.records(partition, place, end, asked.to, |at, record| {
        records += 1;
        progress.tick(record.deltas.len());
        let compare = asked.holds(at);
        if compare {
            from_offset = from_offset.min(at.offset);
        }
        verifier.journal(at, &record, compare).map_err(|error| {
            Failure::failed(format!("encoding a replayed decision: {error}"), "this is a defect; please report it")
        })
    })?;
    let (tally, first) = verifier.finish(until, from_offset);
    Ok(Compared { tally, first, records, begun })
}

/// A decision is written after its journal record; the clocks of two brokers may differ by less than this.
const CLOCKS_APART_MS: Millis = 10 * MINUTE_MS;

/// Records that will be read at most.
fn records_of(history: &History, partitions: &[i32]) -> Outcome<u64> {
    let journal = &history.settings.topics.journal;
    partitions.iter().try_fold(0, |sum, partition| {
        let (low, high) = history.watermarks(journal, *partition)?;
        Ok(sum + (high - low).max(0) as u64)
    })
}

/// Fields in which two records differ, each with both values.
fn differing(path: &str, replayed: &Value, committed: &Value, fields: &mut Vec<Value>) {
    match (replayed, committed) {
        (a, b) if a == b => {}
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of = |record: &serde_json::Map<String, Value>| record.get(name).cloned().unwrap_or_default();
                differing(&path, &of(a), &of(b), fields);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differing(&format!("{path}[{at}]"), a, b, fields);
            }
        }
        (a, b) => fields.push(json!({ "field": path, "replayed": a, "committed": b })),
    }
}

/// The first difference for a person: where it is, both explanations, and the fields that differ.
fn side_by_side(difference: &Value) -> Outcome {
    let words = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".into(),
        other => other.to_string(),
    };
    say(&format!(
        "first difference: {}, decided at journal {}/{}",
        words(&difference["topic"]),
        difference["journal_partition"],
        difference["journal_offset"]
    ))?;
    for side in ["replayed", "committed"] {
        let record = &difference[side];
        let about = ["command_id", "alert_id", "campaign_id", "kind", "state", "reason", "granularity"];
        let about: Vec<String> = about.iter().map(|name| &record[name]).filter(|v| !v.is_null()).map(words).collect();
        let text = record.pointer("/explanation/text").or_else(|| record.get("text")).map_or(String::new(), words);
        let what = if record.is_null() { "no such record".into() } else { about.join(" ") };
        say(&format!("  {side:<9} {what}"))?;
        if !text.is_empty() {
            say(&format!("            {text}"))?;
        }
    }
    for field in difference["fields"].as_array().into_iter().flatten().filter(|field| field["field"] != "") {
        say(&format!(
            "  {}: {} replayed, {} committed",
            words(&field["field"]),
            words(&field["replayed"]),
            words(&field["committed"])
        ))?;
    }
    Ok(())
}

fn report(history: &History, output: Output, partitions: &[i32], done: Vec<Compared>) -> Outcome {
    let mut total: BTreeMap<OutputTopic, Tally> = BTreeMap::new();
    for (topic, tally) in done.iter().flat_map(|one| &one.tally) {
        total.entry(*topic).or_default().take(tally);
    }
    let records: u64 = done.iter().map(|one| one.records).sum();
    let different: u64 = total.values().map(|tally| tally.different).sum();
    let both = partitions.iter().zip(&done);
    let begun = both.clone().filter_map(|(partition, one)| Some((*partition, one.begun?)));
    let begun: Vec<(i32, (i64, Millis))> = begun.collect();
    let first = both.filter_map(|(partition, one)| Some((*partition, one.first.as_ref()?))).next();
    let difference = first.map(|(partition, difference)| described(history, partition, difference));
    let topics: serde_json::Map<String, Value> = total
        .iter()
        .map(|(topic, tally)| {
            let Tally { equal, not_comparable, superseded, different } = tally;
            let counts = json!({
                "equal": equal, "different": different, "not_comparable": not_comparable, "superseded": superseded,
            });
            (history.topic(*topic).to_owned(), counts)
        })
        .collect();
    let states = begun.iter().map(
        |(partition, (offset, at))| json!({ "journal_partition": partition, "from_offset": offset, "state_of_ms": at }),
    );
    let document = json!({
        "journal_records": records,
        "topics": topics,
        "begun_with_states": states.collect::<Vec<_>>(),
        "first_difference": difference,
    });
    match output {
        Output::Json => say_json(&document, output)?,
        Output::Text => {
            say(&format!("{records} journal records replayed"))?;
            if let Some(words) = of_states(&begun, partitions.len()) {
                say(&words)?;
            }
            total.iter().try_for_each(|(topic, tally)| counted(history.topic(*topic), tally))?;
            if let Some(difference) = &difference {
                side_by_side(difference)?;
            }
        }
    }
    if total.values().all(|tally| *tally == Tally::default()) {
        eprintln!("warning: nothing was compared: no decision of what was asked for is committed");
    }
    match different {
        0 => Ok(()),
        count => Err(Failure::new(
            Kind::Difference,
            format!("{count} committed record(s) differ from the replay"),
            "the first is shown on stdout, from both sides",
        )),
    }
}

fn counted(topic: &str, tally: &Tally) -> Outcome {
    let Tally { equal, not_comparable, superseded, different } = tally;
    let compacted =
        if *superseded > 0 { format!(", {superseded} superseded and compacted away") } else { String::new() };
    say(&format!(
        "{topic:<18} {equal:>8} equal {different:>8} different {not_comparable:>8} of other builds, not comparable{compacted}"
    ))
}

/// What lies before a kept state is not proved: that is said.
fn of_states(begun: &[(i32, (i64, Millis))], partitions: usize) -> Option<String> {
    let oldest = begun.iter().map(|(_, (_, at))| *at).min()?;
    let newest = begun.iter().map(|(_, (_, at))| *at).max()?;
    Some(format!(
        "{} of {partitions} journal partitions begin with a state that the service kept, of {} to {}: what was decided before \
         is not compared",
        begun.len(),
        utc(oldest),
        utc(newest)
    ))
}

fn utc(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

fn described(history: &History, partition: i32, difference: &Difference) -> Value {
    let show = |bytes: &Option<Vec<u8>>| {
        bytes.as_deref().map_or(Value::Null, |bytes| {
            history.codec.to_json(bytes).unwrap_or_else(|rejected| json!(rejected.to_string()))
        })
    };
    let (replayed, committed) = (show(&difference.replayed), show(&difference.committed));
    let mut fields = Vec::new();
    differing("", &replayed, &committed, &mut fields);
    json!({
        "topic": history.topic(difference.topic),
        "journal_partition": partition,
        "journal_offset": difference.journal_offset,
        "fields": fields,
        "replayed": replayed,
        "committed": committed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_that_differ_are_named_with_both_values() {
        let record = |reason: &str, bid: i64| json!({ "id": "a", "reason": reason, "explanation": { "terms": [{ "value": 1 }, { "value": bid }] } });
        let mut fields = Vec::new();
        differing("", &record("daily_cap", 5), &record("forged", 7), &mut fields);
        let expected = [
            json!({ "field": "explanation.terms[1].value", "replayed": 5, "committed": 7 }),
            json!({ "field": "reason", "replayed": "daily_cap", "committed": "forged" }),
        ];
        assert_eq!(fields, expected);
        fields.clear();
        differing("", &Value::Null, &record("x", 1), &mut fields);
        assert_eq!(fields.len(), 1, "a record that is on one side only differs as a whole");
    }
}
