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
use std::collections::BTreeMap;

/// Compares every journal partition; a difference is shown from both sides.
pub fn run(arguments: &Verify) -> Outcome {
    let (settings, _) = Settings::load(&arguments.config.files)?;
    let parse = |name: &str, text: &Option<String>| {
        text.as_deref().map(instant).transpose().map_err(|reason| Failure::failed(format!("--{name} {reason}"), ""))
    };
    let (from, to) = (parse("from", &arguments.from)?, parse("to", &arguments.to)?);
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
        json!({
            "topic": history.topic(difference.topic),
            "journal_partition": partition,
            "journal_offset": difference.journal_offset,
            "replayed": show(&difference.replayed),
            "committed": show(&difference.committed),
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
                say(&serde_json::to_string_pretty(difference).unwrap_or_default())?;
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
