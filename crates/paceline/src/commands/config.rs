//! `paceline config show`.

use super::{say, say_json};
use crate::cli::{ConfigCommand, Output};
use crate::failure::Outcome;
use crate::settings::{Effective, Settings};
use serde_json::{Value, json};

/// Prints the effective settings.
pub fn run(command: &ConfigCommand) -> Outcome {
    let ConfigCommand::Show { config, origin, output } = command;
    let (_, effective) = Settings::load(&config.files)?;
    if *output == Output::Json {
        let rows: Vec<_> = effective
            .iter()
            .map(|row| json!({ "setting": row.path, "value": json_value(row), "origin": row.origin, "about": row.about }))
            .collect();
        return say_json(&json!({ "settings": rows }), *output);
    }
    for row in effective {
        let value = if row.is_bare { row.value.clone() } else { format!("{:?}", row.value) };
        match origin {
            true => say(&format!("{} = {value}  # {}; {}", row.path, row.origin, row.about))?,
            false => say(&format!("{} = {value}", row.path))?,
        }
    }
    Ok(())
}

/// Numbers and flags as such, all else as a text.
fn json_value(row: &Effective) -> Value {
    let bare = row.is_bare.then(|| row.value.parse().ok()).flatten();
    bare.unwrap_or_else(|| json!(row.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn numbers_and_flags_are_no_texts_and_a_slot_of_digits_is_one() {
        let (_, effective) = Settings::load_with(&[], &BTreeMap::new()).unwrap();
        let shown = |path: &str| json_value(effective.iter().find(|row| row.path == path).unwrap());
        assert_eq!(shown("journal.partitions"), json!(16));
        assert_eq!(shown("kpis.minute_rows"), json!(false));
        assert_eq!((shown("slot"), shown("epoch.interval")), (json!("0"), json!("500ms")));
    }
}
