//! Layers of configuration to one value per setting, with where it came from and every mistake at once.
//!
//! The `config` crate reads and merges the layers (files in order, then the environment). Asking for a setting declares
//! it: what is left over at the end is unknown and is reported with the nearest declared name.

use config::{Environment, File, FileFormat, Source, Value, ValueKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Prefix of environment variables; `__` stands for each dot.
const ENVIRONMENT_PREFIX: &str = "PACELINE";

/// One setting as it will be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Dotted path.
    pub path: String,
    /// Shown value, secrets as `***`.
    pub value: String,
    /// A number or a flag, which stands in a file without quotes.
    pub is_bare: bool,
    /// `default`, a file, or an environment variable.
    pub origin: String,
    /// Meaning with unit and example.
    pub about: &'static str,
}

/// Reads settings and collects mistakes.
#[derive(Default)]
pub struct Reader {
    leaves: BTreeMap<String, Leaf>,
    declared: BTreeSet<String>,
    open_tables: Vec<String>,
    effective: Vec<Effective>,
    mistakes: Vec<String>,
}

#[derive(Clone)]
struct Leaf {
    text: String,
    origin: String,
}

impl Reader {
    /// Loads the layers. A file that cannot be read or parsed is a mistake like any other.
    pub fn load(files: &[PathBuf], environment: &BTreeMap<String, String>) -> Self {
        let mut reader = Self::default();
        for file in files {
            let text = match std::fs::read_to_string(file) {
                Ok(text) => text,
                Err(error) => {
                    let place = file.display();
                    reader.mistakes.push(format!("{place}: cannot be read: {error}; check the path given to --config"));
                    continue;
                }
            };
            match File::from_str(&text, FileFormat::Toml).collect() {
                Ok(map) => {
                    for (key, value) in map {
                        reader.take(key, &value, &file.display().to_string());
                    }
                }
                Err(error) => reader.mistakes.push(format!("{}: {error}", file.display())),
            }
        }
        let variables = environment.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let source = Environment::with_prefix(ENVIRONMENT_PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(false)
            .source(Some(variables));
        match source.collect() {
            Ok(map) => {
                for (key, value) in map {
                    reader.take(key, &value, "");
                }
            }
            Err(error) => reader.mistakes.push(format!("environment: {error}")),
        }
        reader
    }

    fn take(&mut self, path: String, value: &Value, file: &str) {
        match &value.kind {
            ValueKind::Table(table) => {
                for (key, inner) in table {
                    self.take(format!("{path}.{key}"), inner, file);
                }
            }
            ValueKind::Array(_) => self.mistakes.push(format!(
                "{path} ({file}): a list is not expected here; write one text, for example \"a:9092,b:9092\""
            )),
            _ => {
                let origin = if file.is_empty() {
                    format!("{ENVIRONMENT_PREFIX}__{}", path.to_uppercase().replace('.', "__"))
                } else {
                    file.to_owned()
                };
                let text = value.clone().into_string().unwrap_or_default();
                self.leaves.insert(path, Leaf { text, origin });
            }
        }
    }

    /// A text.
    pub fn text(&mut self, path: &str, default: &str, about: &'static str) -> String {
        self.declare(path, default, about, false)
    }

    /// A text that is never shown; `@file:PATH` reads it from a file.
    pub fn secret(&mut self, path: &str, about: &'static str) -> Option<String> {
        let value = self.declare(path, "", about, true);
        let resolved = self.resolve_file(path, value);
        (!resolved.is_empty()).then_some(resolved)
    }

    /// true or false.
    pub fn flag(&mut self, path: &str, default: bool, about: &'static str) -> bool {
        let flag = self.parsed(path, &default.to_string(), about, "true or false", |text| text.parse().ok());
        self.bare();
        flag.unwrap_or(default)
    }

    /// A whole number inside a range.
    pub fn number(
        &mut self,
        path: &str,
        default: i64,
        range: std::ops::RangeInclusive<i64>,
        about: &'static str,
    ) -> i64 {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.parsed(path, &default.to_string(), about, &wanted, |text| {
            text.parse().ok().filter(|number| range.contains(number))
        });
        self.bare();
        number.unwrap_or(default)
    }

    /// A duration such as `500ms`, `5s`, `10m`, `2h`, `30d`; in milliseconds.
    pub fn duration_ms(&mut self, path: &str, default: &str, about: &'static str) -> i64 {
        self.parsed(path, default, about, "a duration such as 500ms, 5s, 10m, 2h or 30d", parse_duration_ms)
            .or_else(|| parse_duration_ms(default))
            .unwrap_or(0)
    }

    /// One of a few words.
    pub fn word(&mut self, path: &str, words: &[&str], about: &'static str) -> String {
        let wanted = format!("one of {}", words.join(", "));
        self.parsed(path, words[0], about, &wanted, |text| words.contains(&text).then(|| text.to_owned()))
            .unwrap_or_else(|| words[0].to_owned())
    }

    /// All settings under a table whose keys are not ours; nested keys are joined with dots, and in the environment
    /// `_` stands for a dot. Values whose name speaks of a password, secret or key are not shown.
    pub fn open_table(&mut self, path: &str, about: &'static str) -> BTreeMap<String, String> {
        self.open_tables.push(format!("{path}."));
        let prefix = format!("{path}.");
        let found: Vec<(String, Leaf)> = self
            .leaves
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(key, leaf)| (key[prefix.len()..].to_owned(), leaf.clone()))
            .collect();
        let mut table = BTreeMap::new();
        for (key, leaf) in found {
            let name = if leaf.origin.starts_with(ENVIRONMENT_PREFIX) { key.replace('_', ".") } else { key };
            let value = self.resolve_file(&format!("{path}.{name}"), leaf.text);
            let hidden = ["password", "secret", "key", "token", "jaas"].iter().any(|word| name.contains(word));
            let shown = if hidden { "***".to_owned() } else { value.clone() };
            let path = format!("{path}.{name}");
            self.effective.push(Effective { path, value: shown, is_bare: false, origin: leaf.origin, about });
            table.insert(name, value);
        }
        table
    }

    /// Records a mistake that concerns the relation of settings.
    pub fn mistake(&mut self, text: String) {
        self.mistakes.push(text);
    }

    /// The same of one setting, with where its value comes from.
    pub fn mistake_of(&mut self, path: &str, text: &str) {
        let origin = self.leaves.get(path).map_or("default", |leaf| leaf.origin.as_str());
        self.mistakes.push(format!("{path} ({origin}): {text}"));
    }

    /// The effective settings in the order they were asked for, or every mistake.
    pub fn finish(mut self) -> Result<Vec<Effective>, Vec<String>> {
        let unknown: Vec<(String, String)> = self
            .leaves
            .iter()
            .filter(|(path, _)| !self.declared.contains(*path))
            .filter(|(path, _)| !self.open_tables.iter().any(|table| path.starts_with(table.as_str())))
            .map(|(path, leaf)| (path.clone(), leaf.origin.clone()))
            .collect();
        for (path, origin) in unknown {
            let nearest = self.declared.iter().map(|known| (distance(known, &path), known)).min();
            let hint = match nearest {
                Some((edits, name)) if edits * 2 <= path.len() => format!("; did you mean {name}?"),
                _ => "; remove it, `paceline config show` lists all settings".to_owned(),
            };
            self.mistakes.push(format!("{path} ({origin}): unknown setting{hint}"));
        }
        if self.mistakes.is_empty() { Ok(self.effective) } else { Err(self.mistakes) }
    }

    fn declare(&mut self, path: &str, default: &str, about: &'static str, hidden: bool) -> String {
        self.declared.insert(path.to_owned());
        let (value, origin) = match self.leaves.get(path) {
            Some(leaf) => (leaf.text.clone(), leaf.origin.clone()),
            None => (default.to_owned(), "default".to_owned()),
        };
        let shown = if hidden && !value.is_empty() { "***".to_owned() } else { value.clone() };
        self.effective.push(Effective { path: path.to_owned(), value: shown, is_bare: false, origin, about });
        value
    }

    /// The last setting asked for is shown without quotes.
    fn bare(&mut self) {
        if let Some(last) = self.effective.last_mut() {
            last.is_bare = true;
        }
    }

    fn parsed<T>(
        &mut self,
        path: &str,
        default: &str,
        about: &'static str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.declare(path, default, about, false);
        let parsed = parse(&value);
        if parsed.is_none() {
            self.mistake_of(path, &format!("{value:?} is not {wanted}"));
        }
        parsed
    }

    fn resolve_file(&mut self, path: &str, value: String) -> String {
        let Some(file) = value.strip_prefix("@file:") else { return value };
        match std::fs::read_to_string(file) {
            Ok(text) => text.trim_end_matches(['\n', '\r']).to_owned(),
            Err(error) => {
                self.mistakes.push(format!(
                    "{path}: the file {file} cannot be read: {error}; create it or correct the path after @file:"
                ));
                String::new()
            }
        }
    }
}

/// `500ms`, `5s`, `10m`, `2h`, `30d`, `1w`; a bare number is milliseconds.
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let count: i64 = text[..split].parse().ok()?;
    let unit = match text[split..].trim() {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    };
    count.checked_mul(unit)
}

/// Edit distance of two names, for "did you mean".
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_the_nearest_name() {
        let mut reader = Reader::load(
            &[],
            &environment(&[("PACELINE__KAFKA__BROKER", "x:1"), ("PACELINE__EPOCH__INTERVAL", "soon"), ("OTHER", "1")]),
        );
        reader.text("kafka.brokers", "127.0.0.1:9092", "");
        reader.duration_ms("epoch.interval", "500ms", "");
        let mistakes = reader.finish().unwrap_err();
        assert_eq!(mistakes.len(), 2);
        assert!(mistakes[0].contains("epoch.interval") && mistakes[0].contains("\"soon\""));
        assert!(mistakes[1].contains("kafka.broker ") && mistakes[1].contains("did you mean kafka.brokers?"));
    }

    #[test]
    fn underscores_of_the_environment_are_dots_of_the_client_properties_and_passwords_stay_hidden() {
        let mut reader = Reader::load(&[], &environment(&[("PACELINE__KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2")]));
        let table = reader.open_table("kafka.properties", "");
        assert_eq!(table["sasl.password"], "hunter2");
        assert_eq!(reader.finish().unwrap()[0].value, "***");
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration_ms("500ms"), Some(500));
        assert_eq!(parse_duration_ms("30d"), Some(2_592_000_000));
        assert_eq!(parse_duration_ms("9223372036854775807d"), None);
        assert_eq!(parse_duration_ms("x"), None);
    }
}
