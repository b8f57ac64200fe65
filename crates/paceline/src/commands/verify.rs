//! `paceline verify`: the journal through the controller again, compared with what was committed.
//!
//! It ends where the controller's committed position is, so it may run beside the service: journal records that nobody
//! has decided yet are neither equal nor different.

use super::history::History;
use super::import::time::instant;
use super::{say, say_json};
use crate::cli::{Output, Verify};
use crate::failure::{Failure, Kind, Outcome};
use crate::settings::Settings;
use replay::{Difference, OutputTopic, Tally, Verifier};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Compares every journal partition; a difference is shown from both sides.
pub fn run(arguments: &Verify) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let parse = |name: &str, text: &Option<String>| {
        text.as_deref().map(instant).transpose().map_err(|reason| Failure::usage(format!("--{name} {reason}"), ""))
    };
    let (from, to) = (parse("from", &arguments.from)?, parse("to", &arguments.to)?);
    in_order(from, to)?;
    let mut history = History::open(settings, "verify")?;
    let mut total: BTreeMap<OutputTopic, Tally> = BTreeMap::new();
    let mut records = 0_u64;
    let mut first: Option<(i32, Difference)> = None;
    for partition in 0..history.settings.journal_partitions {
        let (tally, difference) = verify(&mut history, partition, from, to, &mut records)?;
        for (topic, tally) in tally {
            let sum = total.entry(topic).or_default();
            sum.equal += tally.equal;
            sum.not_comparable += tally.not_comparable;
            sum.different += tally.different;
        }
        first = first.or(difference.map(|difference| (partition, difference)));
    }
    report(&history, arguments.output, records, &total, first.as_ref())
}

/// Nothing lies between a later beginning and an earlier end, and nothing compared is no proof.
fn in_order(from: Option<i64>, to: Option<i64>) -> Outcome {
    match (from, to) {
        (Some(from), Some(to)) if from > to => {
            Err(Failure::usage(format!("--from {from} is later than --to {to}"), "give the earlier instant as --from"))
        }
        _ => Ok(()),
    }
}

fn verify(
    history: &mut History,
    partition: i32,
    from: Option<i64>,
    to: Option<i64>,
    records: &mut u64,
) -> Outcome<(BTreeMap<OutputTopic, Tally>, Option<Difference>)> {
    let controller = history.controller(partition)?;
    // Asked before the decisions are read: what a running service decides meanwhile is not held against it.
    let decided_to = history.decided_to(partition)?;
    let codec = history.codec.clone();
    let mut verifier = Verifier::new(&codec, super::run::BUILD, controller);
    for topic in OutputTopic::ALL {
        history.decisions(topic, partition, |record| verifier.committed(topic, record))?;
    }
    let mut from_offset = i64::MAX;
    let until = history.journal(partition, decided_to, to, |at, record| {
        *records += 1;
        let compare = from.is_none_or(|from| at.timestamp_ms >= from);
        if compare {
            from_offset = from_offset.min(at.offset);
        }
        verifier.journal(at, record, compare).map_err(|error| {
            Failure::failed(format!("encoding a replayed decision: {error}"), "this is a defect; please report it")
        })
    })?;
    Ok(verifier.finish(until, from_offset))
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

fn report(
    history: &History,
    output: Output,
    records: u64,
    total: &BTreeMap<OutputTopic, Tally>,
    first: Option<&(i32, Difference)>,
) -> Outcome {
    let different: u64 = total.values().map(|tally| tally.different).sum();
    let show = |bytes: &Option<Vec<u8>>| {
        bytes.as_deref().map_or(Value::Null, |bytes| {
            history.codec.to_json(bytes).unwrap_or_else(|rejected| json!(rejected.to_string()))
        })
    };
    let topics: serde_json::Map<String, Value> = total
        .iter()
        .map(|(topic, tally)| {
            let counts =
                json!({ "equal": tally.equal, "different": tally.different, "not_comparable": tally.not_comparable });
            (history.topic(*topic).to_owned(), counts)
        })
        .collect();
    let difference = first.map(|(partition, difference)| {
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
    });
    let document = json!({ "journal_records": records, "topics": topics, "first_difference": difference });
    match output {
        Output::Json => say_json(&document, output)?,
        Output::Text => {
            say(&format!("{records} journal records replayed"))?;
            for (topic, tally) in total {
                say(&format!(
                    "{:<18} {:>8} equal {:>8} different {:>8} of other builds, not comparable",
                    history.topic(*topic),
                    tally.equal,
                    tally.different,
                    tally.not_comparable
                ))?;
            }
            if let Some(difference) = &difference {
                side_by_side(difference)?;
            }
        }
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
