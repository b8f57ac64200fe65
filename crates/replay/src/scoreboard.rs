//! All measures of decisions in one table: what is asked for, what was measured over seeds, whether it is reached.
//!
//! What always holds: one default configuration for all; a row says its own limit, and is shown whether it is reached or not;
//! equal seeds give the same bytes, so a table that was kept can be compared. A new trial is a file in
//! `crates/market/trials` and a line in [`measures`]. Missing on purpose: what is measured elsewhere (detectors, factors,
//! pools, the comparison of methods).

use crate::trial::{DayScore, Score, run};
use market::Trial;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use std::collections::BTreeMap;
use std::fmt::Write;

/// One row: a figure of a trial, and what is asked of it.
pub struct Measure {
    /// What is measured.
    pub name: &'static str,
    /// File name of the trial, without its ending.
    pub trial: &'static str,
    /// How the trial is changed for this row.
    change: Change,
    /// One figure a run, a day or a week.
    figures: fn(&Score, &Trial) -> Vec<f64>,
    /// What of them is judged.
    judged: Judged,
    /// What is asked for.
    asked: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    None,
    /// The same supply in each hour of the shape, without noise.
    Quiet,
    /// The same, with ten times the events.
    QuietBusy,
    /// Three tenths of noise in each hour.
    Noisy,
}

#[derive(Clone, Copy)]
enum Judged {
    Mean,
    Median,
    NineTenths,
    P99,
    Greatest,
}

#[derive(Clone, Copy)]
enum Asked {
    AtLeast(f64),
    AtMost(f64),
}

use Asked::{AtLeast, AtMost};
use Judged::{Greatest, Mean, Median, NineTenths, P99};

type Figures = fn(&Score, &Trial) -> Vec<f64>;

/// The rows, by what they are about.
pub fn measures() -> Vec<Measure> {
    let mut all = Vec::new();
    let mut add = |name, trials: &[(&'static str, Change, f64)], figures: Figures, judged, asked: fn(f64) -> Asked| {
        all.extend(trials.iter().map(|(trial, change, limit)| Measure {
            name,
            trial,
            change: *change,
            figures,
            judged,
            asked: asked(*limit),
        }));
    };
    const N: Change = Change::None;
    let shocks = ["s2-traffic-doubles", "s3-budget-halved", "s4-prices-rise"];
    add(
        "overspend of a day, 99th of a hundred",
        &[
            ("s1-steady", N, 0.005),
            (shocks[0], N, 0.005),
            (shocks[1], N, 0.005),
            (shocks[2], N, 0.005),
            ("s7-feed-lags-15", N, 0.01),
            ("s7-feed-lags-60", N, 0.01),
            ("s8-few-300", N, 0.006),
            ("s8-few-60", N, 0.025),
            ("s9-short-and-long-day", N, 0.005),
            ("s11-prices-collapse", N, 0.005),
            ("s14-buyer-ignores", N, 0.005),
            ("s18-short-flight", N, 0.005),
        ],
        |score, _| by_day(score, DayScore::overspend),
        P99,
        AtMost,
    );
    add(
        "spend over budget of a run",
        &[
            ("s1-steady", N, 0.98),
            (shocks[0], N, 0.98),
            (shocks[1], N, 0.98),
            (shocks[2], N, 0.98),
            ("s7-feed-lags-15", N, 0.94),
            ("s7-feed-lags-60", N, 0.86),
            ("s8-few-300", N, 0.98),
            ("s8-few-60", N, 0.95),
            ("s9-short-and-long-day", N, 0.98),
            ("s18-short-flight", N, 0.98),
        ],
        |score, _| vec![share(&score.days)],
        Median,
        AtLeast,
    );
    add(
        "spend over budget after its first day",
        &[("s1-steady", N, 0.98), ("s8-few-300", N, 0.98), ("s8-few-60", N, 0.95)],
        |score, _| vec![share(score.days.get(1..).unwrap_or_default())],
        Median,
        AtLeast,
    );
    let at_3000 = shocks.map(|shock| (shock, Change::Quiet, 80.0));
    let at_30000 = shocks.map(|shock| (shock, Change::QuietBusy, 45.0));
    let late = |of: [(&'static str, Change, f64); 3], limit| of.map(|(trial, change, _)| (trial, change, limit));
    add("minutes to settle after the change", &at_3000, settling, Median, AtMost);
    add("minutes to settle after the change, nine of ten", &late(at_3000, 270.0), settling, NineTenths, AtMost);
    add("minutes to settle after the change", &at_30000, settling, Median, AtMost);
    add("minutes to settle after the change, nine of ten", &late(at_30000, 150.0), settling, NineTenths, AtMost);
    let everywhere = TRIALS.map(|trial| (trial, N, 0.0));
    add(
        "commands after which more was spent than printed",
        &everywhere,
        |s, _| vec![s.bounds_broken as f64],
        Greatest,
        AtMost,
    );
    add(
        "value over the best in hindsight",
        &[
            ("s1-steady", N, 0.98),
            ("s8-few-300", N, 0.965),
            ("s8-few-60", N, 0.935),
            ("s1-both-bind", N, 0.95),
            ("s8-both-bind-300", N, 0.90),
            ("s8-both-bind-60", N, 0.86),
        ],
        |score, _| vec![score.value_ratio],
        Median,
        AtLeast,
    );
    let both = |limits: [f64; 3]| {
        [("s1-both-bind", N, limits[0]), ("s8-both-bind-300", N, limits[1]), ("s8-both-bind-60", N, limits[2])]
    };
    add(
        "value x min(1, (target / CPA)^2)",
        &both([0.95, 0.89, 0.83]),
        |s, _| s.score.into_iter().collect(),
        Median,
        AtLeast,
    );
    add("expected CPA over target", &both([1.0; 3]), |s, _| s.cpa_over_target.into_iter().collect(), Mean, AtMost);
    add("share of weeks with an expected CPA above 1.2 x target", &both([0.02; 3]), dear_weeks, Mean, AtMost);
    add(
        "plan error of an hour (RMSE_T)",
        &[("s1-steady", N, 0.25), ("s8-few-300", N, 0.6)],
        |score, _| by_day(score, |day| day.plan_error),
        Median,
        AtMost,
    );
    add(
        "days with nine tenths gone by noon",
        &[("s1-steady", N, 0.0), ("s8-few-300", N, 0.0), ("s8-few-60", N, 0.0)],
        |score, _| by_day(score, |day| f64::from(day.is_depleted_early())),
        Mean,
        AtMost,
    );
    add(
        "spend of the first half of a day off the plan's share",
        &[("s1-steady", N, 0.05), ("s8-few-300", N, 0.05)],
        |score, _| by_day(score, first_half_off),
        Median,
        AtMost,
    );
    let noises = [("s1-steady", Change::Quiet, 30.0), ("s1-steady", N, 30.0), ("s1-steady", Change::Noisy, 40.0)];
    add("bid commands of a day", &noises, |score, _| by_day(score, |day| day.bid_commands as f64), Median, AtMost);
    let travel = noises.map(|(trial, change, _)| (trial, change, 2.5));
    add("travel of the logarithm of the bid in a day", &travel, |s, _| by_day(s, |day| day.bid_travel), Median, AtMost);
    add("days until CPA is within 12 % for three days", &[("s5-rate-halves", N, 7.0)], days_to_target, Median, AtMost);
    add(
        "days until CPA is within 12 %, nine of ten",
        &[("s5-rate-halves", N, 14.0)],
        days_to_target,
        NineTenths,
        AtMost,
    );
    add("travel of the bid from its value, two days", &[("s6-tracking-dies", N, 0.15)], bid_moved, NineTenths, AtMost);
    add("highest raise while nothing is sold, logarithm", &[("s10-delivery-stops", N, 0.12)], raised, Greatest, AtMost);
    add(
        "minutes from the runaway's beginning to its pause",
        &[("s11-prices-collapse", N, 8.0)],
        to_pause,
        Greatest,
        AtMost,
    );
    add(
        "bid commands in the day after a person's value",
        &[("s15-person-overrides", N, 0.0)],
        fights,
        Greatest,
        AtMost,
    );
    add("raises while no event came", &[("s21-feed-dies", N, 0.0)], blind_raises, Greatest, AtMost);
    let calm = |limit: [f64; 3]| [("s1-steady", N, limit[0]), ("s8-few-300", N, limit[1]), ("s8-few-60", N, limit[2])];
    add("false alarms a week: runaway", &calm([0.0; 3]), |s, _| alarms(s, "runaway"), Mean, AtMost);
    add("false alarms a week: delivery_stopped", &calm([0.05; 3]), |s, _| alarms(s, "delivery_stopped"), Mean, AtMost);
    add("false alarms a week: tracking_break", &calm([0.05; 3]), |s, _| alarms(s, "tracking_break"), Mean, AtMost);
    add("false alarms a week: early_stop", &calm([0.05; 3]), |s, _| alarms(s, "early_stop"), Mean, AtMost);
    add("alarms a week: underspend_risk", &calm([0.2, 0.6, 0.6]), |s, _| alarms(s, "underspend_risk"), Mean, AtMost);
    all
}

/// Where worst cases are laid beside what was spent.
const TRIALS: [&str; 14] = [
    "s1-steady",
    "s2-traffic-doubles",
    "s3-budget-halved",
    "s4-prices-rise",
    "s7-feed-lags-15",
    "s7-feed-lags-60",
    "s8-few-300",
    "s8-few-60",
    "s8-both-bind-300",
    "s10-delivery-stops",
    "s11-prices-collapse",
    "s14-buyer-ignores",
    "s18-short-flight",
    "s21-feed-dies",
];

fn by_day(score: &Score, of: impl Fn(&DayScore) -> f64) -> Vec<f64> {
    score.days.iter().map(of).collect()
}

fn share(days: &[DayScore]) -> f64 {
    let (spent, budget) = days
        .iter()
        .fold((0.0, 0.0), |(spent, budget), day| (spent + day.spend_micros as f64, budget + day.budget_micros as f64));
    spent / f64::max(budget, 1.0)
}

fn first_half_off(day: &DayScore) -> f64 {
    (day.spend_first_half_micros as f64 / day.spend_micros.max(1) as f64 - day.first_half_share).abs()
}

/// Instant of the trial's change, since its beginning.
fn changed_at(trial: &Trial) -> Millis {
    let shock = trial.shocks.first().map(|shock| (shock.day, shock.hour));
    let change = trial.changes.first().map(|change| (change.day, change.hour));
    let person = trial.person.first().map(|act| (act.day, act.hour));
    let (day, hour) = shock.or(change).or(person).unwrap_or_default();
    day * DAY_MS + (hour * HOUR_MS as f64) as Millis
}

/// Until spend stays within a fifth of its need for two hours; all that is left of the run where it never does.
fn settling(score: &Score, trial: &Trial) -> Vec<f64> {
    let from = changed_at(trial);
    let after: Vec<_> = score.paces.iter().filter(|pace| pace.after_ms >= from).collect();
    let settled = after.windows(SETTLED_STEPS).find(|all| all.iter().all(|pace| (0.8..=1.2).contains(&pace.over_need)));
    let at = settled.map_or(trial.days * DAY_MS, |all| all[0].after_ms);
    vec![(at - from) as f64 / MINUTE_MS as f64]
}

/// Two hours in steps of ten minutes.
const SETTLED_STEPS: usize = 12;

fn dear_weeks(score: &Score, _: &Trial) -> Vec<f64> {
    let Some(target) = score.target_cpa_micros else { return Vec::new() };
    let dear = |week: &[DayScore]| {
        let spend: f64 = week.iter().map(|day| day.expected_spend_micros).sum();
        let conversions: f64 = week.iter().map(|day| day.conversions).sum();
        f64::from(spend > 1.2 * target as f64 * conversions)
    };
    score.days.chunks_exact(7).map(dear).collect()
}

fn days_to_target(score: &Score, trial: &Trial) -> Vec<f64> {
    let first = (changed_at(trial) / DAY_MS) as usize;
    let Some(target) = score.target_cpa_micros else { return Vec::new() };
    let near = |day: &DayScore| {
        let cpa = day.expected_spend_micros / day.conversions.max(1e-9) / target as f64;
        (0.88..=1.12).contains(&cpa)
    };
    let after = score.days.get(first..).unwrap_or_default();
    let settled = after.windows(3).position(|days| days.iter().all(near));
    vec![settled.unwrap_or(after.len()) as f64]
}

/// Greatest distance of the bid from what it was at the change, in two days.
fn bid_moved(score: &Score, trial: &Trial) -> Vec<f64> {
    vec![distance(score, changed_at(trial), 2 * DAY_MS, f64::abs)]
}

/// The same upwards, while the shock lasts.
fn raised(score: &Score, trial: &Trial) -> Vec<f64> {
    let lasts = trial.shocks.first().map_or(0.0, |shock| shock.hours) * HOUR_MS as f64;
    vec![distance(score, changed_at(trial), lasts as Millis, |log| log.max(0.0))]
}

fn distance(score: &Score, from: Millis, lasts: Millis, of: fn(f64) -> f64) -> f64 {
    let Some((_, start)) = score.bids.iter().rev().find(|(at, _)| *at < from) else { return 0.0 };
    let within = score.bids.iter().filter(|(at, _)| (from..from + lasts).contains(at));
    within.map(|(_, bid)| of(libm::log(*bid as f64 / *start as f64))).fold(0.0, f64::max)
}

fn to_pause(score: &Score, trial: &Trial) -> Vec<f64> {
    let from = changed_at(trial);
    let pause = score.pauses.iter().find(|at| **at >= from);
    vec![pause.map_or(f64::INFINITY, |at| (at - from) as f64 / MINUTE_MS as f64)]
}

/// From the buyer's next read-back on: until then nobody can know of the person's value, and what is sent is refused, for it
/// expects another value than it finds.
fn fights(score: &Score, trial: &Trial) -> Vec<f64> {
    let from = changed_at(trial) + READ_BACK_MS;
    let until = changed_at(trial) + DAY_MS;
    vec![score.bids.iter().filter(|(at, _)| (from..until).contains(at)).count() as f64]
}

/// The simulated buyer reads its values back every quarter of an hour.
const READ_BACK_MS: Millis = 15 * MINUTE_MS;

fn blind_raises(score: &Score, trial: &Trial) -> Vec<f64> {
    let lasts = trial.shocks.first().map_or(0.0, |shock| shock.hours) * HOUR_MS as f64;
    // A quarter of an hour is the span in which one sign of life still counts.
    let span = changed_at(trial) + 15 * MINUTE_MS..changed_at(trial) + lasts as Millis;
    let raises = score.bids.windows(2).filter(|pair| span.contains(&pair[1].0) && pair[1].1 > pair[0].1);
    vec![raises.count() as f64]
}

fn alarms(score: &Score, kind: &str) -> Vec<f64> {
    let weeks = score.days.len() as f64 / 7.0;
    vec![score.alerts.get(kind).copied().unwrap_or(0) as f64 / weeks]
}

/// Plays what the measures need and writes the table. `read` gives a trial by its file's name; `play` runs many.
pub struct Board {
    seeds: std::ops::Range<u64>,
    /// Trials of at most so many events are played; none is left out where it is infinite.
    events_max: f64,
}

impl Board {
    /// For some seeds.
    pub fn new(seeds: std::ops::Range<u64>, events_max: f64) -> Self {
        Self { seeds, events_max }
    }

    /// One line a measure; trials are read by `read`, lines told to `tell` as they are known.
    pub fn table(&self, read: impl Fn(&str) -> Trial, mut tell: impl FnMut(&str)) -> String {
        let mut table = format!("{COLUMNS}\n");
        let mut played: BTreeMap<(&str, Change), (Trial, Vec<Score>)> = BTreeMap::new();
        for measure in measures() {
            let trial = measure.change.of(read(measure.trial));
            if trial.events_a_day * trial.days as f64 > self.events_max {
                continue;
            }
            let (trial, scores) = played
                .entry((measure.trial, measure.change))
                .or_insert_with(|| (trial.clone(), play(&trial, self.seeds.clone())));
            let line = measure.line(trial, scores);
            tell(&line);
            let _ = writeln!(table, "{line}");
        }
        table
    }
}

/// The head of the table.
const COLUMNS: &str = "\
| measure | trial | seeds | asked | measured | reached | a tenth, half, nine tenths, worst |
| --- | --- | --- | --- | --- | --- | --- |";

impl Change {
    fn of(self, trial: Trial) -> Trial {
        match self {
            Change::None => trial,
            Change::Quiet => Trial { hour_noise: 0.0, ..trial },
            // A change on the fourth day is settled or not within the two days after it.
            Change::QuietBusy => {
                Trial { hour_noise: 0.0, events_a_day: trial.events_a_day * 10.0, days: trial.days.min(5), ..trial }
            }
            Change::Noisy => Trial { hour_noise: 0.3, ..trial },
        }
    }

    fn says(self) -> &'static str {
        match self {
            Change::None => "",
            Change::Quiet => ", no noise of hours",
            Change::QuietBusy => ", 30,000 a day, no noise of hours",
            Change::Noisy => ", noise of hours 0.3",
        }
    }
}

impl Measure {
    fn line(&self, trial: &Trial, scores: &[Score]) -> String {
        let mut figures: Vec<f64> = scores.iter().flat_map(|score| (self.figures)(score, trial)).collect();
        figures.sort_by(f64::total_cmp);
        let at = |part: f64| figures.get((figures.len().saturating_sub(1) as f64 * part).round() as usize).copied();
        let mean = figures.iter().sum::<f64>() / figures.len().max(1) as f64;
        let judged = match self.judged {
            Mean => Some(mean).filter(|_| !figures.is_empty()),
            Median => at(0.5),
            NineTenths => at(0.9),
            P99 => at(0.99),
            Greatest => at(1.0),
        };
        let (asked, reached, worst) = match self.asked {
            AtLeast(limit) => (format!("at least {limit}"), judged.is_some_and(|is| is >= limit), at(0.0)),
            AtMost(limit) => (format!("at most {limit}"), judged.is_some_and(|is| is <= limit), at(1.0)),
        };
        let said = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |of| format!("{of:.4}"));
        let spread = [at(0.1), at(0.5), at(0.9), worst].map(said).join(", ");
        format!(
            "| {} | {}{} | {} | {asked} | {} | {} | {spread} |",
            self.name,
            trial.name,
            self.change.says(),
            scores.len(),
            said(judged),
            if reached { "yes" } else { "**no**" },
        )
    }
}

/// Two seeds at a time.
fn play(trial: &Trial, seeds: std::ops::Range<u64>) -> Vec<Score> {
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let work = || {
        let mine = std::iter::from_fn(|| {
            let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            (seed < seeds.end).then_some(seed)
        });
        mine.map(|seed| run(trial, seed, None)).collect::<Vec<Score>>()
    };
    let mut scores = std::thread::scope(|scope| {
        let two = [scope.spawn(work), scope.spawn(work)];
        two.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<Score>>()
    });
    scores.sort_by_key(|score| score.seed);
    scores
}
