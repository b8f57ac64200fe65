//! `deploy/policy/default.toml` tells every number with the value that the build has.

use policy::settings::{Policy, Settings, Stage1, check};
use toml::{Table, Value};

const FILE: &str = include_str!("../../../deploy/policy/default.toml");

#[test]
fn the_default_file_changes_nothing() {
    assert_eq!(check(FILE).expect("the file has no mistakes"), Policy::default());
}

#[test]
fn the_default_file_names_every_number() {
    let file: Table = FILE.parse().expect("the file is TOML");
    let defaults = Table::try_from(Settings::default()).expect("settings are plain tables");
    let stage1 = Table::try_from(Stage1::default()).expect("settings are plain tables");
    let mut missing = Vec::new();
    for (name, known) in [("defaults", defaults), ("stage1", stage1)] {
        absent(name, &known, file.get(name), &mut missing);
    }
    assert!(missing.is_empty(), "deploy/policy/default.toml lacks {missing:?}");
}

fn absent(path: &str, known: &Table, told: Option<&Value>, missing: &mut Vec<String>) {
    for (name, value) in known {
        let path = format!("{path}.{name}");
        match (value, told.and_then(|told| told.get(name))) {
            (Value::Table(inner), told) => absent(&path, inner, told, missing),
            (_, None) => missing.push(path),
            _ => {}
        }
    }
}
