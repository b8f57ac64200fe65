//! What a recorded journal identifies of a sweep's candidates beside their counts: bounds of spend, and which parameters
//! changed a command at all.
//!
//! What always holds: bounds are those of a comparison with the recorded run (`replay::compare`); where there is none, and
//! for clicks, conversions and value, it says so for each candidate and each parameter. Missing on purpose: any estimate
//! of an effect. It needs an experiment, or a market that answers.

use super::plan::Plan;
use crate::commands::say;
use crate::failure::Outcome;
use replay::compare::Change;
use replay::report::{bounds, money};
use replay::sweep::Ranking;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Spend by currency.
pub type Spend = BTreeMap<String, Change>;

/// By candidate, in the plan's order.
#[derive(Clone, Debug, Default)]
pub struct Identified {
    /// Recorded spend, split by how the candidate's values stood beside those in force.
    pub spend: Vec<Spend>,
    /// What was commanded, partition by partition: equal ones have decided alike.
    pub commanded: Vec<Vec<u64>>,
}

/// What a parameter did on this journal.
struct Parameter<'a> {
    path: &'a str,
    values: BTreeSet<&'a str>,
    /// `None` where it was never varied alone.
    changes_commands: Option<bool>,
    spend: BTreeMap<&'a str, (i64, Option<i64>)>,
}

const OUTCOMES: &str = "not identified";

impl Identified {
    /// Adds to the journal's part of the sweep's document what it identifies, and says what it does not.
    pub fn put(&self, plan: &Plan, ranking: &Ranking, document: &mut Value) {
        for (at, place) in ranking.places.iter().enumerate() {
            let place_of = &mut document["places"][at];
            let spend = self.spend.get(place.candidate).into_iter().flatten();
            place_of["spend"] = spend.map(|(currency, change)| spend_document(currency, change)).collect();
            place_of["outcomes"] = json!(OUTCOMES);
        }
        document["parameters"] = self.parameters(plan).iter().map(Parameter::document).collect();
        document["not_identified"] = json!(["clicks", "conversions", "value", "cpa", "roas"]);
    }

    /// The same for people, for the candidates that are shown.
    pub fn tell(&self, plan: &Plan, shown: &[usize]) -> Outcome {
        say(
            "Spend under each candidate's commands, by what was recorded alone; clicks, conversions and value are not identified:",
        )?;
        for candidate in shown {
            for (currency, change) in self.spend.get(*candidate).into_iter().flatten() {
                let (name, recorded) = (&plan.candidates[*candidate].name, money(change.recorded_micros()));
                say(&format!("      {name:<12} {currency} {}, of {recorded} recorded", bounds(change)))?;
            }
        }
        self.parameters(plan).iter().try_for_each(|parameter| say(&parameter.words()))
    }

    fn parameters<'a>(&'a self, plan: &'a Plan) -> Vec<Parameter<'a>> {
        let paths: BTreeSet<&String> = plan.candidates.iter().flat_map(|candidate| candidate.set.keys()).collect();
        paths.into_iter().map(|path| self.parameter(plan, path)).collect()
    }

    fn parameter<'a>(&'a self, plan: &'a Plan, path: &'a str) -> Parameter<'a> {
        let (mut values, mut spend) = (BTreeSet::new(), BTreeMap::new());
        // Candidates that differ in this parameter alone; the base stands beside those that set nothing else.
        let mut alike: BTreeMap<Vec<(&str, &str)>, Vec<&[u64]>> = BTreeMap::new();
        for (at, candidate) in plan.candidates.iter().enumerate() {
            let others = candidate.set.iter().filter(|(other, _)| *other != path);
            let others = others.map(|(other, value)| (other.as_str(), value.as_str())).collect();
            alike.entry(others).or_default().extend(self.commanded.get(at).map(Vec::as_slice));
            let Some(value) = candidate.set.get(path) else { continue };
            values.insert(value.as_str());
            for (currency, change) in self.spend.get(at).into_iter().flatten() {
                let (least, most) = (change.least_micros(), change.most_micros());
                let range = spend.entry(currency.as_str()).or_insert((least, most));
                *range = (range.0.min(least), range.1.zip(most).map(|(a, b)| a.max(b)));
            }
        }
        let mut varied = alike.into_values().filter(|group| group.len() > 1).peekable();
        let is_varied = varied.peek().is_some();
        let has_effect = varied.any(|group| group.windows(2).any(|pair| pair[0] != pair[1]));
        Parameter { path, values, changes_commands: is_varied.then_some(has_effect), spend }
    }
}

impl Parameter<'_> {
    fn says(&self) -> &'static str {
        match self.changes_commands {
            Some(true) => "changes commands; what that does to clicks, conversions and value is not identified",
            Some(false) => "no value changed a command: this journal says nothing about it",
            None => "never varied alone: what it does by itself is not identified",
        }
    }

    fn document(&self) -> Value {
        let spend = |(currency, (least, most)): (&&str, &(i64, Option<i64>))| json!({ "currency": currency, "least_micros": least, "most_micros": most });
        json!({
            "path": self.path, "values": self.values, "changes_commands": self.changes_commands,
            "spend": self.spend.iter().map(spend).collect::<Value>(), "outcomes": OUTCOMES, "says": self.says(),
        })
    }

    fn words(&self) -> String {
        let spend: String = self
            .spend
            .iter()
            .map(|(currency, (least, most))| match most {
                Some(most) => format!("; {currency} {} to {}", money(*least), money(*most)),
                None => format!("; {currency} {} at least, the most is not identified", money(*least)),
            })
            .collect();
        format!("parameter {}: {}{spend}", self.path, self.says())
    }
}

fn spend_document(currency: &str, change: &Change) -> Value {
    json!({
        "currency": currency, "recorded_micros": change.recorded_micros(),
        "least_micros": change.least_micros(), "most_micros": change.most_micros(),
        "most_is": if change.has_above { OUTCOMES } else { "identified" },
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::Candidate;
    use super::*;

    fn plan(sets: &[&[(&str, &str)]]) -> Plan {
        let candidate = |(at, set): (usize, &&[(&str, &str)])| Candidate {
            name: format!("candidate-{at}"),
            set: set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect(),
            body: String::new(),
        };
        Plan { candidates: sets.iter().enumerate().map(candidate).collect(), simulate: None, journal: None }
    }

    #[test]
    fn a_parameter_that_moved_nothing_and_one_that_never_moved_alone_are_told() {
        let plan = plan(&[&[], &[("moves", "1")], &[("idle", "1")], &[("idle", "2")], &[("a", "1"), ("b", "1")]]);
        let commanded = [7, 8, 7, 7, 9].map(|commanded| vec![commanded]).to_vec();
        let spend = |below_micros, has_above| {
            let change = Change { same_micros: 50, below_micros, has_above, ..Change::default() };
            Spend::from([("EUR".to_owned(), change)])
        };
        let spend = vec![spend(0, false), spend(10, true), spend(20, false), spend(30, false), spend(0, false)];
        let identified = Identified { spend, commanded };
        let told: BTreeMap<&str, (Option<bool>, _)> = identified
            .parameters(&plan)
            .iter()
            .map(|parameter| (parameter.path, (parameter.changes_commands, parameter.spend["EUR"])))
            .collect();
        assert_eq!(told["moves"], (Some(true), (50, None)), "above the recorded values there is no upper bound");
        assert_eq!(told["idle"], (Some(false), (50, Some(80))), "the widest bounds of its values");
        assert_eq!((told["a"].0, told["b"].0), (None, None));
    }
}
