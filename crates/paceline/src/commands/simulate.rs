//! `paceline simulate`: the service in a simulated market, judged against the best in hindsight.
//!
//! One line a trial, over as many seeds as asked for: another seed is another market. Figures of one seed say nothing.

use super::{say, say_json};
use crate::cli::{Output, Simulate};
use crate::failure::{Failure, Outcome};
use ::policy::pressure::Method;
use market::Trial;
use model::fact::PolicyVersion;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use replay::trial::{DayScore, Score, policy_of, run as play};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Plays and prints.
pub fn run(arguments: &Simulate) -> Outcome {
    if let (Some(log), Some(goal)) = (&arguments.auction_log, &arguments.goal) {
        return super::auction_log::run(log, goal, arguments.rounds, arguments.output);
    }
    let method = Method::parse(&arguments.controller).ok_or_else(|| {
        let known: Vec<&str> = Method::ALL.iter().map(|method| method.as_str()).collect();
        Failure::failed(
            format!("no controller is called {}", arguments.controller),
            format!("one of {}", known.join(", ")),
        )
    })?;
    let trials: Vec<Trial> = arguments.scenario.iter().map(|path| read(path)).collect::<Outcome<_>>()?;
    let policy = arguments.policy.as_deref().map(policy).transpose()?;
    let mut documents = Vec::new();
    if arguments.output == Output::Text {
        say(HEADER)?;
    }
    for trial in &trials {
        let under = policy.clone().or_else(|| policy_of(trial, method));
        let seeds = arguments.seed..arguments.seed.saturating_add(arguments.seeds.max(1));
        let scores: Vec<Score> = seeds.into_par_iter().map(|seed| play(trial, seed, under.clone())).collect();
        let summary = Summary::of(&scores);
        if arguments.output == Output::Text {
            say(&summary.line(trial))?;
        }
        documents.push(json!({ "trial": trial.name, "what": trial.what, "summary": summary, "runs": scores }));
    }
    if arguments.output == Output::Json {
        let document = if documents.len() == 1 { documents.remove(0) } else { json!(documents) };
        say_json(&document, Output::Json)?;
    }
    Ok(())
}

/// A trial's file, checked.
pub fn read(path: &Path) -> Outcome<Trial> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::failed(
            format!("cannot read the scenario {}: {error}", path.display()),
            "give the path of a trial file",
        )
    })?;
    let trial: Trial = toml::from_str(&text).map_err(|error| {
        Failure::failed(format!("the scenario {} does not parse: {error}", path.display()), "see crates/market/trials")
    })?;
    let sane = (1..=400).contains(&trial.days) && (1.0..=1e6).contains(&trial.events_a_day);
    if !sane {
        let words = format!("the scenario {}: days must be 1 to 400, events_a_day 1 to 1,000,000", path.display());
        return Err(Failure::failed(words, "mend the file"));
    }
    Ok(trial)
}

/// The policy of a file, checked.
pub(super) fn policy(path: &Path) -> Outcome<PolicyVersion> {
    let body = fs::read_to_string(path).map_err(|error| {
        Failure::failed(format!("cannot read the policy {}: {error}", path.display()), "give the path of a policy file")
    })?;
    if let Err(mistakes) = ::policy::settings::check(&body) {
        let words: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        let what = format!("the policy {} has mistakes: {}", path.display(), words.join("; "));
        return Err(Failure::failed(what, "see them all with: paceline policy check"));
    }
    let name = crate::service::POLICY_NAME.into();
    Ok(PolicyVersion { name, version: 1, body, author: "simulate".into(), ..PolicyVersion::default() })
}

/// Middle and edges of one figure over runs or days.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Spread {
    p10: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    worst: f64,
}

/// One trial over its seeds.
#[derive(Clone, Debug, Default, Serialize)]
struct Summary {
    seeds: usize,
    overspend: Spread,
    spend_over_budget: Spread,
    value_ratio: Spread,
    score: Option<Spread>,
    cpa_over_target: Option<Spread>,
    bid_commands_a_day: Spread,
    bid_travel_a_day: Spread,
    /// RMSE_T: an hour's spend less its part of the budget, in mean hours' budgets.
    plan_error: Spread,
    /// Share of days with nine tenths of the budget gone in their first half.
    early_depletion: f64,
    /// Openings a campaign-week.
    alerts_a_week: BTreeMap<String, f64>,
}

impl Summary {
    fn of(scores: &[Score]) -> Self {
        let by_day = |figure: fn(&DayScore) -> f64| spread(scores.iter().flat_map(|s| &s.days).map(figure).collect());
        let some = |figures: Vec<f64>| (!figures.is_empty()).then(|| spread(figures));
        let mut openings: BTreeMap<String, f64> = BTreeMap::new();
        for (kind, count) in scores.iter().flat_map(|score| &score.alerts) {
            *openings.entry(kind.clone()).or_default() += *count as f64;
        }
        let weeks = scores.iter().map(|score| score.days.len()).sum::<usize>() as f64 / 7.0;
        openings.values_mut().for_each(|count| *count /= weeks.max(1e-9));
        Self {
            seeds: scores.len(),
            overspend: by_day(DayScore::overspend),
            spend_over_budget: by_day(DayScore::share),
            value_ratio: spread(scores.iter().map(|score| score.value_ratio).collect()),
            score: some(scores.iter().filter_map(|score| score.score).collect()),
            cpa_over_target: some(scores.iter().filter_map(|score| score.cpa_over_target).collect()),
            bid_commands_a_day: by_day(|day| day.bid_commands as f64),
            bid_travel_a_day: by_day(|day| day.bid_travel),
            plan_error: by_day(|day| day.plan_error),
            early_depletion: scores.iter().flat_map(|score| &score.days).filter(|day| day.is_depleted_early()).count()
                as f64
                / (weeks * 7.0).max(1.0),
            alerts_a_week: openings,
        }
    }

    fn line(&self, trial: &Trial) -> String {
        let Self { overspend, spend_over_budget, value_ratio, bid_commands_a_day, bid_travel_a_day, .. } = self;
        let alerts: Vec<String> = self.alerts_a_week.iter().map(|(kind, count)| format!("{kind} {count:.2}")).collect();
        format!(
            "{:<12} {:>8.4} {:>8.4}  {:>7.3} {:>7.3}  {:>7.3} {:>7.3}  {:>7} {:>7}  {:>6.0} {:>6.2}  {}",
            trial.name,
            overspend.p99,
            overspend.worst,
            spend_over_budget.p10,
            spend_over_budget.p50,
            value_ratio.p10,
            value_ratio.p50,
            self.score.map_or("-".into(), |score| format!("{:.3}", score.p50)),
            self.cpa_over_target.map_or("-".into(), |cpa| format!("{:.2}", cpa.p50)),
            bid_commands_a_day.p50,
            bid_travel_a_day.p50,
            alerts.join(", ")
        )
    }
}

const HEADER: &str = "\
             overspend by day   spend/budget     value/best       score  CPA/tgt  bids/d travel  alerts a week
trial             p99    worst      p10     p50      p10     p50      p50     p50     p50    p50";

fn spread(mut figures: Vec<f64>) -> Spread {
    figures.sort_by(f64::total_cmp);
    let Some(last) = figures.len().checked_sub(1) else { return Spread::default() };
    let at = |share: f64| figures[(last as f64 * share).round() as usize];
    Spread { p10: at(0.1), p50: at(0.5), p90: at(0.9), p99: at(0.99), worst: at(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_one_figure_is_that_figure_and_of_none_is_zero() {
        let one = spread(vec![2.0]);
        assert_eq!((one.p10, one.p50, one.worst), (2.0, 2.0, 2.0));
        assert_eq!(spread(Vec::new()).p50, 0.0);
        assert_eq!(spread(vec![3.0, 1.0, 2.0]).p50, 2.0);
    }
}
