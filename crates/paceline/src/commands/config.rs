//! `paceline config show`.

use super::{say, say_json};
use crate::cli::{ConfigCommand, Output};
use crate::failure::Outcome;
use crate::settings::Settings;
use serde_json::json;

/// Prints the effective settings.
pub fn run(command: &ConfigCommand) -> Outcome {
    let ConfigCommand::Show { config, origin, output } = command;
    let (_, effective) = Settings::load(&config.files)?;
    if *output == Output::Json {
        let rows: Vec<_> = effective
            .iter()
            .map(|row| json!({ "setting": row.path, "value": row.value, "origin": row.origin, "about": row.about }))
            .collect();
        return say_json(&json!({ "settings": rows }), *output);
    }
    for row in effective {
        match origin {
            true => say(&format!("{} = {:?}  # {}; {}", row.path, row.value, row.origin, row.about))?,
            false => say(&format!("{} = {:?}", row.path, row.value))?,
        }
    }
    Ok(())
}
