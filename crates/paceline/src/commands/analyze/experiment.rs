//! `paceline analyze experiment`: one look at the counts of an experiment.

use super::{open, print, table::Table};
use crate::cli::Experiment;
use crate::failure::{Failure, Outcome};
use policy::experiment::{Arm, Bounds, Settings, look};
use serde::Serialize;
use std::io::Read;

/// Reads the arms, judges, prints.
pub fn run(arguments: &Experiment) -> Outcome {
    let settings = Settings { alpha: arguments.alpha, kappa: arguments.kappa };
    print(&answer(arguments.input.display(), open(&arguments.input)?, settings)?, arguments.output)
}

#[derive(Serialize)]
struct Answer {
    ln_e: f64,
    p_value: f64,
    alpha: f64,
    kappa: f64,
    theta: Option<Interval>,
    log_rate_ratio: Option<Interval>,
    sample_ratio_ln_e: f64,
    verdict: &'static str,
    winner: Option<String>,
}

#[derive(Serialize)]
struct Interval {
    lower: Option<f64>,
    upper: Option<f64>,
}

impl From<Bounds> for Interval {
    fn from(bounds: Bounds) -> Self {
        Self { lower: bounds.lower, upper: bounds.upper }
    }
}

fn answer(name: impl std::fmt::Display, source: impl Read, settings: Settings) -> Outcome<Answer> {
    let (names, arms) = read(name.to_string(), source)?;
    let look = look(&arms, settings)
        .map_err(|fault| Failure::failed(format!("cannot judge {name}: {}", fault.words()), "correct it"))?;
    Ok(Answer {
        ln_e: look.ln_e,
        p_value: look.p_value,
        alpha: settings.alpha,
        kappa: settings.kappa,
        theta: look.theta.map(Interval::from),
        log_rate_ratio: look.log_rate_ratio.map(Interval::from),
        sample_ratio_ln_e: look.sample_ratio_ln_e,
        verdict: look.verdict.word(),
        winner: look.winner.map(|at| names[at].clone()),
    })
}

fn read(name: String, source: impl Read) -> Outcome<(Vec<String>, Vec<Arm>)> {
    let [arm, share, exposures, successes] = [0, 1, 2, 3];
    let mut table = Table::open(name, source, b',', &["arm", "share", "exposures", "successes"], &[])?;
    let (mut names, mut arms) = (Vec::new(), Vec::new());
    while table.advance()? {
        let name = table.word(arm)?.to_owned();
        if names.contains(&name) {
            return Err(table.mistake(arm, "stands twice"));
        }
        names.push(name);
        arms.push(Arm {
            share: table.number(share)?,
            exposures: table.count(exposures)?,
            successes: table.count(successes)?,
        });
    }
    Ok((names, arms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARMS: &str = "arm,share,exposures,successes\nnew,0.5,10000,260\nold,0.5,10000,160\n";

    fn of(text: &str) -> Outcome<serde_json::Value> {
        let answer = answer("arms.csv", text.as_bytes(), Settings::default())?;
        Ok(serde_json::to_value(answer).expect("serializable"))
    }

    #[test]
    fn the_winner_is_named_and_all_fields_are_there() {
        let document = of(ARMS).expect("judged");
        assert_eq!((document["verdict"].as_str(), document["winner"].as_str()), (Some("decided"), Some("new")));
        let keys: Vec<&String> = document.as_object().expect("an object").keys().collect();
        assert_eq!(keys.len(), 9);
        assert!(document["log_rate_ratio"]["lower"].as_f64().expect("finite") > 0.0);
    }

    #[test]
    fn infinite_bounds_and_missing_values_are_null() {
        let document = of("arm,share,exposures,successes\na,.5,10,0\nb,.5,10,4\n").expect("judged");
        assert!(document["log_rate_ratio"]["lower"].is_null() && document["winner"].is_null());
        assert_eq!(document["theta"]["lower"], 0.0);
        let three = "arm,share,exposures,successes\na,.2,1,0\nb,.3,1,4\nc,.5,1,4\n";
        assert!(of(three).expect("judged")["theta"].is_null());
    }

    #[test]
    fn mistakes_are_told() {
        assert!(
            of("arm,share,exposures,successes\na,.5,1,0\na,.5,1,4\n")
                .expect_err("twice")
                .to_string()
                .contains("line 3")
        );
        assert!(
            of("arm,share,exposures,successes\na,.5,1,0\nb,.2,1,4\n")
                .expect_err("shares")
                .to_string()
                .contains("sum to 1")
        );
    }
}
