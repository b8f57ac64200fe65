//! The score table of all pacing methods in all trials, as Markdown:
//! `cargo run --release -p replay --example controllers -- SEEDS TRIAL.toml ... > benches/scores/controllers.md`.

use market::Trial;
use policy::pressure::Method;
use replay::trial::{DayScore, Score, policy_of, run};
use std::sync::atomic::{AtomicU64, Ordering};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds =
        arguments.next().and_then(|seeds| seeds.parse().ok()).expect("first the number of seeds, then trial files");
    print!("{}", HEADER.replace("SEEDS", &format!("{seeds}")));
    for path in arguments {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let trial: Trial = toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let rows: Vec<Row> =
            Method::ALL.into_iter().map(|method| Row::of(method, &play(&trial, method, seeds))).collect();
        println!("\n### {}\n\n{}\n\n{COLUMNS}", trial.name, trial.what);
        rows.iter().for_each(|row| println!("{}", row.line(&rows)));
    }
}

/// Two seeds at a time.
fn play(trial: &Trial, method: Method, seeds: u64) -> Vec<Score> {
    let next = AtomicU64::new(1);
    let work = || {
        let seeds = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed <= seeds));
        seeds.map(|seed| run(trial, seed, policy_of(trial, method))).collect::<Vec<Score>>()
    };
    std::thread::scope(|scope| {
        let two = [scope.spawn(work), scope.spawn(work)];
        two.into_iter().flat_map(|thread| thread.join().expect("a trial ends")).collect()
    })
}

/// Mean and standard deviation of a figure, and whether more of it is better.
struct Figure {
    mean: f64,
    spread: f64,
    more: bool,
    digits: usize,
}

struct Row {
    method: Method,
    figures: Vec<Option<Figure>>,
}

impl Row {
    fn of(method: Method, scores: &[Score]) -> Self {
        let days = |figure: fn(&DayScore) -> f64| -> Vec<f64> {
            let of = |score: &Score| score.days.iter().map(figure).sum::<f64>() / score.days.len().max(1) as f64;
            scores.iter().map(of).collect()
        };
        let values = scores.iter().map(|score| score.value_ratio).collect();
        let with_target: Vec<f64> = scores.iter().filter_map(|score| score.score).collect();
        let mut over: Vec<f64> = scores.iter().flat_map(|score| &score.days).map(DayScore::overspend).collect();
        over.sort_by(f64::total_cmp);
        let p99 = over.get(((over.len().max(1) - 1) as f64 * 0.99).round() as usize).copied().unwrap_or_default();
        let figures = vec![
            figure(values, true, 3),
            figure(with_target, true, 3),
            Some(Figure { mean: p99, spread: 0.0, more: false, digits: 4 }),
            figure(days(DayScore::share), true, 3),
            figure(days(|day| day.plan_error), false, 2),
            figure(days(|day| f64::from(day.is_depleted_early())), false, 2),
            figure(days(|day| day.bid_commands as f64), false, 0),
            figure(days(|day| day.bid_travel), false, 2),
        ];
        Self { method, figures }
    }

    /// The best of a column in bold; a fixed bid needs no commands, so it does not count there.
    fn line(&self, rows: &[Row]) -> String {
        let cells = self.figures.iter().enumerate().map(|(column, figure)| {
            let Some(figure) = figure else { return "-".into() };
            let shown = |figure: &Figure| format!("{:.*}", figure.digits, figure.mean);
            let rivals = rows.iter().filter(|row| row.method != Method::Fixed || column < FIRST_OF_COMMANDS);
            let best = rivals.filter_map(|row| row.figures[column].as_ref()).max_by(|one, other| {
                let order = one.mean.total_cmp(&other.mean);
                if figure.more { order } else { order.reverse() }
            });
            let text = if column == 2 {
                shown(figure)
            } else {
                format!("{} ±{:.*}", shown(figure), figure.digits, figure.spread)
            };
            if best.is_some_and(|best| shown(best) == shown(figure)) { format!("**{text}**") } else { text }
        });
        format!("| {} | {} |", self.method.as_str(), cells.collect::<Vec<String>>().join(" | "))
    }
}

const FIRST_OF_COMMANDS: usize = 6;

fn figure(values: Vec<f64>, more: bool, digits: usize) -> Option<Figure> {
    let count = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let spread = (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt();
    Some(Figure { mean, spread, more, digits })
}

const COLUMNS: &str = "\
| method | value / best | score with target | overspend p99 | spend / budget | RMSE_T | early depletion | commands a day | travel a day |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |";

const HEADER: &str = "\
# Pacing methods compared

`cargo run --release -p replay --example controllers -- SEEDS crates/market/trials/*.toml`: SEEDS markets a trial, mean and
standard deviation over the markets, the best of a column in bold wherever it stands. `linear` is Paceline's default as it
runs in the service, with its guard, dead band and five-minute cadence. The others are published methods with their
published numbers, in the same service without guard and dead band, at their own cadence; hard stop, plan, and the target's
loop with min-pacing are the same for all. What each of them is, and how it was translated, stands in
`crates/policy/src/pressure/`.

- value / best: expected clicks (conversions, under a target) over those of the best in hindsight.
- score: value x min(1, (target / CPA)^2), as AuctionNet has it, where there is a target.
- overspend p99: of a day, share of the budget. RMSE_T: root mean square of an hour's spend less its part of the budget by
  the supply's shape, in mean hours' budgets. Early depletion: share of days with nine tenths of the budget gone by noon.
- travel: sum of the absolute changes of the logarithm of the bid.
";
