//! Labels of known troubles, and what they say of a run's alerts.

use crate::commands::import::time::instant;
use crate::commands::say;
use crate::failure::{Failure, Outcome};
use crate::telemetry::ALERT_KINDS;
use replay::rehearsal::{LABEL_SPAN_MS, Label, Rehearsal};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    account_id: String,
    #[serde(default)]
    campaign_id: String,
    #[serde(default)]
    kind: String,
    from: String,
    #[serde(default)]
    to: String,
}

/// Reads a file of labels; all mistakes are told at once.
pub fn read(path: &Path) -> Outcome<Vec<Label>> {
    const ADVICE: &str = "columns: account_id, campaign_id (empty: the account), kind (empty: any), from, to (empty: a day later); \
                          times as epoch ms or RFC 3339";
    let unreadable =
        |words: String| Failure::failed(format!("cannot read the labels {}: {words}", path.display()), ADVICE);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| unreadable(error.to_string()))?;
    let (mut labels, mut mistakes) = (Vec::new(), Vec::new());
    for (row, line) in reader.deserialize::<Row>().zip(2..) {
        match row.map_err(|error| error.to_string()).and_then(label) {
            Ok(label) => labels.push(label),
            Err(words) => mistakes.push(format!("{} line {line}: {words}", path.display())),
        }
    }
    match (mistakes.len(), labels.is_empty()) {
        (0, false) => Ok(labels),
        (0, true) => Err(unreadable("it holds no label".into())),
        (count, _) => Err(Failure::failed(format!("the labels have {count} mistake(s)"), ADVICE).listing(mistakes)),
    }
}

fn label(row: Row) -> Result<Label, String> {
    let from = instant(&row.from).map_err(|words| format!("from {words}"))?;
    let to = match row.to.as_str() {
        "" => from.saturating_add(LABEL_SPAN_MS),
        text => instant(text).map_err(|words| format!("to {words}"))?,
    };
    if row.account_id.is_empty() {
        return Err("account_id is empty".into());
    }
    if !row.kind.is_empty() && !ALERT_KINDS.contains(&row.kind.as_str()) {
        return Err(format!("no alert is of kind {:?}; known: {}", row.kind, ALERT_KINDS.join(", ")));
    }
    if to < from {
        return Err("to lies before from".into());
    }
    let Row { account_id, campaign_id, kind, .. } = row;
    Ok(Label { account_id, campaign_id, kind, from, to })
}

/// One line a kind, as CSV.
pub fn print(rehearsal: &Rehearsal) -> Outcome {
    const COLUMNS: [&str; 8] =
        ["kind", "opened", "false_alarms", "false_alarms_a_campaign_day", "precision", "troubles", "found", "recall"];
    say(&format!("{},delay_p50_s,delay_p90_s", COLUMNS.join(",")))?;
    let document = rehearsal.document();
    for line in document["kinds"].as_array().into_iter().flatten() {
        let word = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        let seconds = |at: &str| line["delay_ms"][at].as_i64().map_or(String::new(), |ms| (ms / 1_000).to_string());
        let fields: Vec<String> = COLUMNS.iter().map(|column| word(&line[*column])).collect();
        say(&format!("{},{},{}", fields.join(","), seconds("p50"), seconds("p90")))?;
    }
    if rehearsal.unknown > 0 {
        eprintln!("warning: {} label(s) name a campaign that the journal does not know", rehearsal.unknown);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_with_their_defaults_and_all_mistakes_are_told() {
        let path = std::env::temp_dir().join(format!("paceline-labels-{}.csv", std::process::id()));
        std::fs::write(&path, "account_id,campaign_id,kind,from,to\nacme,one,runaway,1000,2000\nacme,,,1000,\n")
            .unwrap();
        let labels = read(&path).unwrap();
        assert_eq!((labels[0].to, labels[1].to), (2_000, 1_000 + LABEL_SPAN_MS));
        assert_eq!(labels[1].campaign_id, "");
        std::fs::write(&path, "account_id,campaign_id,kind,from,to\n,one,,1,2\nacme,one,runawy,1,2\nacme,,,9,2\n")
            .unwrap();
        let failure = read(&path).unwrap_err();
        assert_eq!(failure.mistakes.len(), 3, "{failure:?}");
        std::fs::remove_file(&path).unwrap();
    }
}
