//! The file of a sweep: which policies, on which markets, by which figure, split where.

use crate::commands::import::time::instant;
use crate::failure::{Failure, Outcome};
use ::policy::settings;
use model::time::Millis;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A sweep, read and checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The base first.
    pub candidates: Vec<Candidate>,
    /// Markets to play.
    pub simulate: Option<Markets>,
    /// The journal to count on.
    pub journal: Option<Recorded>,
}

/// A policy to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Unique, and fit for a file's name.
    pub name: String,
    /// What differs from the base, as it was written.
    pub set: BTreeMap<String, String>,
    /// The policy's text.
    pub body: String,
}

/// Markets that every candidate plays.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Markets {
    /// Files of trials, relative to the sweep's.
    pub scenarios: Vec<PathBuf>,
    /// The figure that ranks.
    pub metric: String,
    /// Markets of each trial.
    #[serde(default = "seeds")]
    pub seeds: u64,
    /// The first of them.
    #[serde(default = "first_seed")]
    pub first_seed: u64,
    /// Share of each market's days by which candidates are ranked; the rest is out of time.
    #[serde(default = "in_time_share")]
    pub in_time_share: f64,
}

/// How a journal is counted on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// The figure that ranks.
    pub metric: String,
    /// First instant that is out of time.
    pub split: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    base: Option<PathBuf>,
    #[serde(default)]
    parameter: Vec<Parameter>,
    #[serde(default)]
    candidate: Vec<Listed>,
    simulate: Option<Markets>,
    journal: Option<JournalTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    path: String,
    values: Option<Vec<Value>>,
    range: Option<Range>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    from: f64,
    to: f64,
    steps: u32,
    #[serde(default)]
    log: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    set: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalTable {
    metric: String,
    split: String,
}

fn seeds() -> u64 {
    20
}

fn first_seed() -> u64 {
    1
}

fn in_time_share() -> f64 {
    0.6
}

/// More candidates are a search, and the best of them is mostly luck.
const CANDIDATES_MAX: usize = 256;
/// The policy that all are compared with.
pub const BASE: &str = "base";

/// Reads a sweep; all mistakes are told at once.
pub fn read(path: &Path) -> Outcome<Plan> {
    const ADVICE: &str = "deploy/docs/replay.md shows a sweep's file";
    let failed = |words: String| Failure::failed(format!("the sweep {}: {words}", path.display()), ADVICE);
    let text = std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let file: File = toml::from_str(&text).map_err(|error| failed(format!("does not parse: {error}")))?;
    let beside = |file: &Path| path.parent().unwrap_or(Path::new("")).join(file);
    let base = match &file.base {
        Some(base) => crate::commands::policy::checked(&beside(base))?,
        None => String::new(),
    };
    let mut mistakes = Vec::new();
    let candidates = candidates(&file, &base, &mut mistakes);
    let mut simulate = file.simulate;
    if let Some(markets) = &mut simulate {
        markets.scenarios.iter_mut().for_each(|scenario| *scenario = beside(scenario));
        check_markets(markets, &mut mistakes);
    }
    let journal = file.journal.and_then(|table| recorded(table, &mut mistakes));
    if simulate.is_none() && journal.is_none() && mistakes.is_empty() {
        mistakes.push("neither [simulate] nor [journal] says what to try the policies on".into());
    }
    if !mistakes.is_empty() {
        return Err(failed(format!("has {} mistake(s)", mistakes.len())).listing(mistakes));
    }
    Ok(Plan { candidates, simulate, journal })
}

fn check_markets(markets: &Markets, mistakes: &mut Vec<String>) {
    let known: Vec<&str> = super::METRICS.iter().map(|metric| metric.name).collect();
    if !known.contains(&markets.metric.as_str()) {
        mistakes.push(format!("simulate.metric: {:?} is none of {}", markets.metric, known.join(", ")));
    }
    if markets.scenarios.is_empty() || !(1..=1_000).contains(&markets.seeds) {
        mistakes.push("simulate: at least one of scenarios, and 1 to 1000 seeds".into());
    }
    if !(0.1..=0.9).contains(&markets.in_time_share) {
        mistakes.push("simulate.in_time_share: must be 0.1 to 0.9".into());
    }
}

fn recorded(table: JournalTable, mistakes: &mut Vec<String>) -> Option<Recorded> {
    let known = replay::sweep::JOURNAL_METRICS;
    if !known.contains(&table.metric.as_str()) {
        mistakes.push(format!(
            "journal.metric: {:?} is none of {}: a recorded journal tells nothing else of other policies",
            table.metric,
            known.join(", ")
        ));
    }
    match instant(&table.split) {
        Ok(split) => Some(Recorded { metric: table.metric, split }),
        Err(words) => {
            mistakes.push(format!("journal.split {words}"));
            None
        }
    }
}

fn candidates(file: &File, base: &str, mistakes: &mut Vec<String>) -> Vec<Candidate> {
    let mut sets: Vec<(String, BTreeMap<String, Value>)> = vec![(BASE.into(), BTreeMap::new())];
    let mut grid: Vec<BTreeMap<String, Value>> = vec![BTreeMap::new()];
    for parameter in &file.parameter {
        let values = parameter.values(mistakes);
        if grid.len().saturating_mul(values.len()) > CANDIDATES_MAX {
            mistakes.push(format!("the grid has more than {CANDIDATES_MAX} candidates: give fewer values"));
            return Vec::new();
        }
        let with = |set: &BTreeMap<String, Value>, value: &Value| {
            let mut set = set.clone();
            set.insert(parameter.path.clone(), value.clone());
            set
        };
        grid = grid.iter().flat_map(|set| values.iter().map(|value| with(set, value))).collect();
    }
    if !file.parameter.is_empty() {
        sets.extend(grid.into_iter().zip(1..).map(|(set, number)| (format!("grid-{number:03}"), set)));
    }
    sets.extend(file.candidate.iter().map(|listed| (listed.name.clone(), listed.set.clone())));
    if sets.len() < 2 {
        mistakes.push("no [[parameter]] and no [[candidate]]: there is nothing to compare".into());
    }
    let mut names = BTreeSet::new();
    for (name, _) in &sets {
        let is_fit = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        if !is_fit || !names.insert(name.clone()) {
            mistakes.push(format!("candidate {name:?}: names are unique, of letters, digits, - and _; base is taken"));
        }
    }
    sets.into_iter().filter_map(|(name, set)| candidate(name, set, base, mistakes)).collect()
}

fn candidate(name: String, set: BTreeMap<String, Value>, base: &str, mistakes: &mut Vec<String>) -> Option<Candidate> {
    let mut table: Table = toml::from_str(base).unwrap_or_default();
    for (path, value) in &set {
        if let Err(words) = put(&mut table, path, value) {
            mistakes.push(format!("{name}: {path}: {words}"));
            return None;
        }
    }
    // The base stays as its author wrote it.
    let body = if set.is_empty() { base.to_owned() } else { toml::to_string_pretty(&table).unwrap_or_default() };
    if let Err(wrong) = settings::check(&body) {
        mistakes.extend(wrong.iter().map(|wrong| format!("{name}: {wrong}")));
        return None;
    }
    let set = set.into_iter().map(|(path, value)| (path, value.to_string())).collect();
    Some(Candidate { name, set, body })
}

/// Puts a value at a path of names; blocks in `[[…]]` have no path.
pub fn put(table: &mut Table, path: &str, value: &Value) -> Result<(), String> {
    let (parents, name) = path.rsplit_once('.').ok_or("must be a path such as defaults.guard.bid_step_down")?;
    let mut table = table;
    for parent in parents.split('.') {
        let inner = table.entry(parent).or_insert_with(|| Value::Table(Table::new()));
        table = inner.as_table_mut().ok_or_else(|| format!("{parent} is no table"))?;
    }
    table.insert(name.to_owned(), value.clone());
    Ok(())
}

impl Parameter {
    fn values(&self, mistakes: &mut Vec<String>) -> Vec<Value> {
        match (&self.values, &self.range) {
            (Some(values), None) if !values.is_empty() => values.clone(),
            (None, Some(range)) => range.values().unwrap_or_else(|words| {
                mistakes.push(format!("{}: {words}", self.path));
                Vec::new()
            }),
            _ => {
                mistakes.push(format!("{}: either values = [...] or range = {{ from, to, steps }}", self.path));
                Vec::new()
            }
        }
    }
}

impl Range {
    fn values(&self) -> Result<Vec<Value>, &'static str> {
        let is_sound =
            self.from.is_finite() && self.to > self.from && (2..=CANDIDATES_MAX as u32).contains(&self.steps);
        if !is_sound || self.log && self.from <= 0.0 {
            return Err("a range goes up from `from` to `to` in at least two steps, with log from above 0");
        }
        let at = |step: u32| {
            let share = f64::from(step) / f64::from(self.steps - 1);
            let value = if self.log {
                self.from * libm_pow(self.to / self.from, share)
            } else {
                self.from + (self.to - self.from) * share
            };
            // Ends are exact, and six digits are enough for a person to read.
            let rounded = format!("{value:.6}").parse().unwrap_or(value);
            Value::Float(if step == 0 {
                self.from
            } else if step + 1 == self.steps {
                self.to
            } else {
                rounded
            })
        };
        Ok((0..self.steps).map(at).collect())
    }
}

#[allow(clippy::disallowed_methods)] // Rounded to six digits, and written into the candidate's policy.
fn libm_pow(base: f64, exponent: f64) -> f64 {
    base.powf(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Outcome<Plan> {
        let folder = std::env::temp_dir().join(format!("paceline-sweep-{}-{}", std::process::id(), text.len()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("base.toml"), "[defaults.guard]\nbid_step_up = 0.2\n").unwrap();
        std::fs::write(folder.join("sweep.toml"), text).unwrap();
        let plan = read(&folder.join("sweep.toml"));
        std::fs::remove_dir_all(&folder).unwrap();
        plan
    }

    const JOURNAL: &str = "[journal]\nmetric = 'clamps'\nsplit = '2026-11-20T00:00:00Z'\n";

    #[test]
    fn a_grid_is_every_combination_over_the_base_and_a_list_is_itself() {
        let text = "base = 'base.toml'\n\
            [[parameter]]\npath = 'defaults.guard.bid_step_down'\nvalues = [0.1, 0.2]\n\
            [[parameter]]\npath = 'defaults.pressure.elasticity'\nrange = { from = 0.5, to = 2.0, steps = 3, log = true }\n\
            [[candidate]]\nname = 'slow'\nset = { 'defaults.clock.pacing_interval_ms' = 600000 }\n";
        let plan = plan(&format!("{text}{JOURNAL}")).unwrap();
        let names: Vec<&str> = plan.candidates.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["base", "grid-001", "grid-002", "grid-003", "grid-004", "grid-005", "grid-006", "slow"]);
        assert_eq!(plan.candidates[2].set["defaults.pressure.elasticity"], "1.0");
        for candidate in &plan.candidates {
            assert_eq!(settings::check(&candidate.body).unwrap().defaults.guard.bid_step_up, 0.2, "{}", candidate.name);
        }
        assert_eq!(settings::check(&plan.candidates[7].body).unwrap().defaults.clock.pacing_interval_ms, 600_000);
    }

    #[test]
    fn all_mistakes_of_a_sweep_are_told_at_once() {
        let text = "[[parameter]]\npath = 'defaults.guard.bid_step_dwn'\nvalues = [0.1]\n\
            [[parameter]]\npath = 'bid'\nvalues = [0.1]\n\
            [[candidate]]\nname = 'base'\nset = {}\n\
            [journal]\nmetric = 'value'\nsplit = 'noon'\n";
        let failure = plan(text).unwrap_err();
        let words = failure.mistakes.join("\n");
        assert!(failure.mistakes.len() >= 4, "{words}");
        assert!(words.contains("a recorded journal tells nothing else") && words.contains("base is taken"), "{words}");
    }
}
