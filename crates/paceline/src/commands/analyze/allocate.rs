//! `paceline analyze allocate`: the best split of a budget over given response curves.

use super::{open, print};
use crate::cli::Allocate;
use crate::failure::{Failure, Outcome};
use policy::allocation::{Curve, Fault, split};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::Value;
use std::io::{BufReader, Read};

/// Reads the curves, splits, prints.
pub fn run(arguments: &Allocate) -> Outcome {
    print(&answer(arguments.input.display(), open(&arguments.input)?)?, arguments.output)
}

#[derive(Deserialize)]
struct Question {
    #[serde(deserialize_with = "whole")]
    budget: i64,
    curves: Vec<QuestionCurve>,
}

#[derive(Deserialize)]
struct QuestionCurve {
    id: Value,
    a: f64,
    b: f64,
    #[serde(default, deserialize_with = "whole")]
    min: i64,
    #[serde(default, deserialize_with = "whole_or_none")]
    max: Option<i64>,
}

#[derive(Serialize)]
struct Answer {
    budget: i64,
    value: f64,
    marginal_return: Option<f64>,
    allocations: Vec<Allocation>,
}

#[derive(Serialize)]
struct Allocation {
    id: Value,
    spend_micros: i64,
}

fn answer(name: impl std::fmt::Display, source: impl Read) -> Outcome<Answer> {
    let question: Question = serde_json::from_reader(BufReader::new(source))
        .map_err(|error| Failure::failed(format!("cannot read {name}: {error}"), "correct the file"))?;
    let curve = |curve: &QuestionCurve| Curve {
        a: curve.a,
        b: curve.b,
        min_micros: curve.min,
        // More than the budget can never be spent.
        max_micros: curve.max.unwrap_or(question.budget.max(curve.min)),
    };
    let curves: Vec<Curve> = question.curves.iter().map(curve).collect();
    let split = split(question.budget, &curves).map_err(|fault| explained(&name, &question, fault))?;
    let allocation = |(curve, spend_micros): (QuestionCurve, i64)| Allocation { id: curve.id, spend_micros };
    Ok(Answer {
        budget: question.budget,
        value: split.value,
        marginal_return: split.marginal_return,
        allocations: question.curves.into_iter().zip(split.spends_micros).map(allocation).collect(),
    })
}

fn explained(name: &impl std::fmt::Display, question: &Question, fault: Fault) -> Failure {
    let id = |at: usize| question.curves[at].id.to_string();
    let budget = question.budget;
    let (what, advice) = match fault {
        Fault::Curve(at) => (format!("curve {} is not a(1-exp(-s/b)) with a >= 0 and b > 0", id(at)), "correct a or b"),
        Fault::Bounds(at) => (format!("curve {} has no spend between its min and max", id(at)), "correct min or max"),
        Fault::BudgetBelowMinima => {
            (format!("the minima sum to more than the budget {budget}"), "lower a min or raise the budget")
        }
        Fault::BudgetAboveMaxima => {
            (format!("the maxima sum to less than the budget {budget}"), "raise a max or lower the budget")
        }
    };
    Failure::failed(format!("cannot split the budget of {name}: {what}"), advice)
}

/// Micros, also where a program wrote them as `1e6` or `1000000.0`.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let exact = |number: &f64| number.fract() == 0.0 && number.abs() < EXACT_MAX;
    number
        .as_i64()
        .or_else(|| number.as_f64().filter(exact).map(|number| number as i64))
        .ok_or_else(|| D::Error::custom(format!("{number} is not a whole number of micros")))
}

fn whole_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] i64);
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|Whole(number)| number))
}

/// Integers up to here are exact in an `f64`.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    const CURVES: &str = r#"{"budget": 100000000, "curves": [
        {"id": "search", "a": 20, "b": 50000000, "min": 0, "max": 100000000},
        {"id": "social", "a": 10.0, "b": 5e7, "min": 0.0, "max": 1e8}
    ]}"#;

    #[test]
    fn the_integers_sum_to_the_budget_and_the_value_is_theirs() {
        let answer = answer("curves.json", CURVES.as_bytes()).expect("split");
        let spends: Vec<i64> = answer.allocations.iter().map(|allocation| allocation.spend_micros).collect();
        assert_eq!(spends.iter().sum::<i64>(), 100_000_000);
        assert!((spends[0] - spends[1] - 34_657_359).abs() <= 1);
        let document = serde_json::to_string(&answer).expect("serializable");
        assert!(document.starts_with(r#"{"budget":100000000,"value":"#), "{document}");
        assert!(document.contains(r#""allocations":[{"id":"search","spend_micros":67328"#), "{document}");
    }

    #[test]
    fn what_cannot_be_split_says_why() {
        let told = |text: &str| answer("c.json", text.as_bytes()).map(|_| ()).expect_err("a fault").to_string();
        assert!(told(&CURVES.replace("100000000,", "300000000,")).contains("maxima sum to less"));
        assert!(told(&CURVES.replace("\"b\": 5e7", "\"b\": 0")).contains("curve \"social\" is not"));
        assert!(told("{\"budget\": 1.5, \"curves\": []}").contains("1.5 is not a whole number of micros at line 1"));
    }

    #[test]
    fn bounds_may_be_left_out() {
        let text = r#"{"budget": 7, "curves": [{"id": 1, "a": 1, "b": 3}, {"id": 2, "a": 1, "b": 3, "max": null}]}"#;
        assert_eq!(answer("c.json", text.as_bytes()).expect("split").allocations.len(), 2);
    }
}
