//! How near a pool's budgets come to the best split, and whether its money stays the same.
//!
//! `cargo run --release -p replay --example portfolio -- [SEEDS] [FIRST_SEED] [FILE...]`; trials are in
//! `crates/market/trials/pools`, figures stand in `benches/scores/portfolio.md`.

use controller::Outputs;
use market::{PoolMarket, PoolTrial};
use model::fact::{Decision, Fact};
use model::time::{HOUR_MS, Millis};
use replay::{ClosedLoop, Delays, Watch};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Budgets begin to move on the fifteenth night: the judged week begins after fourteen days of moves.
const JUDGED_FROM: usize = 28;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (seeds, first) = (number(0, 20_u64), number(1, 1_u64));
    for path in arguments.iter().skip(2) {
        let text = std::fs::read_to_string(path).expect("the trial's file can be read");
        let trial: PoolTrial = toml::from_str(&text).expect("the file is a trial of a pool");
        let runs = play(&trial, first, seeds);
        println!("{}", row(&trial, &runs));
        if let Some(worst) = runs.iter().min_by(|one, other| last_week(one).total_cmp(&last_week(other))) {
            eprintln!("{}: seed {} brought least, {:.3} of the best", trial.name, worst.seed, last_week(worst));
        }
    }
}

fn last_week(run: &Run) -> f64 {
    let week = run.brought.get(JUDGED_FROM..(JUDGED_FROM + 7).min(run.brought.len())).unwrap_or_default();
    week.iter().sum::<f64>() / week.len().max(1) as f64
}

/// What one seed came to.
#[derive(Default)]
struct Run {
    seed: u64,
    /// By day: the split in force over the best split, each with one perfect bid a day.
    split: Vec<f64>,
    /// The same of the split at the start, as if nothing had moved.
    kept: Vec<f64>,
    /// By day: what the service brought over the best.
    brought: Vec<f64>,
    /// Greatest sum in force at any hour over the pool's sum, and the least.
    sum_over: (f64, f64),
    /// Groups whose commands did not sum to 0: some part was dropped.
    uneven: usize,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    commands: usize,
    explored: usize,
    proposals: usize,
    /// By group and campaign: the last value asked for, less the one before the group.
    groups: BTreeMap<String, BTreeMap<String, i64>>,
    returned: usize,
    /// For a person to decide: increases or not, and the word.
    asked: Vec<(bool, Decision)>,
}

impl Watch for Seen {
    fn outputs(&mut self, _now: Millis, outputs: &Outputs) {
        let budgets = outputs.adjustments.iter().filter(|command| command.kind == "set_daily_budget");
        for command in budgets {
            self.commands += 1;
            self.returned += usize::from(command.reason == "pool_return");
            self.explored += usize::from(command.reason == "exploration");
            let before = command.explanation.terms.iter().find(|term| term.name == "budget_before_micros");
            if let (Some(group), Some(before), Some(value)) = (&command.group_id, before, command.value_micros) {
                let parts = self.groups.entry(group.clone()).or_default();
                parts.insert(command.campaign_id.clone(), value - before.value);
            }
        }
        for proposal in outputs.proposals.iter().filter(|proposal| proposal.state == "proposed") {
            self.proposals += 1;
            let raises = proposal.value_micros > proposal.expected_previous.value_micros;
            let decision = Decision {
                command_id: proposal.command_id.clone(),
                account_id: proposal.account_id.clone(),
                campaign_id: Some(proposal.campaign_id.clone()),
                decision: "approve".into(),
                ..Decision::default()
            };
            self.asked.push((raises, decision));
        }
    }
}

impl Seen {
    /// A person's hour: yes to all decreases, or, where there are none, to all increases.
    fn decide(&mut self) -> Vec<Decision> {
        let any_cut = self.asked.iter().any(|(raises, _)| !raises);
        let now = self.asked.extract_if(.., |(raises, _)| !any_cut || !*raises);
        now.map(|(_, decision)| decision).collect()
    }
}

fn play(trial: &PoolTrial, first: u64, seeds: u64) -> Vec<Run> {
    let next = AtomicU64::new(first);
    let mut runs = std::thread::scope(|scope| {
        let worker = || {
            let mut runs = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds {
                    return runs;
                }
                runs.push(run(trial, seed));
            }
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.into_iter().flat_map(|worker| worker.join().expect("a run ends")).collect::<Vec<Run>>()
    });
    runs.sort_by_key(|run| run.seed);
    runs
}

fn run(trial: &PoolTrial, seed: u64) -> Run {
    let pool = trial.market(seed);
    let own = |world: &market::CampaignWorld| world.spec.daily_budget_micros.unwrap_or_default();
    let first: Vec<i64> = pool.scenario.campaigns.iter().map(own).collect();
    let sum: i64 = first.iter().sum();
    let mut world = ClosedLoop::new(pool.scenario.clone(), seed, None, Delays::default());
    world.tell("ads.entities", Fact::EntitySpec(Box::new(pool.pool.clone())));
    let starts = pool.day_starts();
    let mut run = Run { seed, sum_over: (0.0, f64::INFINITY), ..Run::default() };
    let mut before = 0.0;
    for (day, start) in starts.iter().enumerate() {
        let end = starts.get(day + 1).copied().unwrap_or(pool.scenario.end_ms);
        let mut at = *start;
        while at < end {
            at = (at + HOUR_MS).min(end);
            if trial.bid_control != "paceline" {
                let budgets = in_force(&world, &pool);
                bid_as_platform(&mut world, &pool, day, &budgets);
            }
            world.run(at, &mut run.seen);
            let decided = if trial.approves { run.seen.decide() } else { Vec::new() };
            decided.into_iter().for_each(|word| world.tell("ads.feedback", Fact::Decision(Box::new(word))));
            let over = in_force(&world, &pool).iter().sum::<i64>() as f64 / sum as f64;
            run.sum_over = (run.sum_over.0.max(over), run.sum_over.1.min(over));
            // The middle of the day is past all moves of the night.
            if at - start == 12 * HOUR_MS {
                let best = pool.best(day, sum);
                run.split.push(pool.of_split(day, &in_force(&world, &pool)) / best);
                run.kept.push(pool.of_split(day, &first) / best);
            }
        }
        let worth = brought(&world, &pool);
        run.brought.push((worth - before) / pool.best(day, sum));
        before = worth;
    }
    run.uneven = run.seen.groups.values().filter(|parts| parts.values().sum::<i64>() != 0).count();
    run
}

fn in_force(world: &ClosedLoop, pool: &PoolMarket) -> Vec<i64> {
    let of = |id: &str| world.market().buyer().state(id).and_then(|state| state.daily_budget_micros);
    pool.scenario.campaigns.iter().map(|world| of(&world.spec.campaign_id).unwrap_or_default()).collect()
}

/// A platform that knows its market spends each budget with one bid a day.
fn bid_as_platform(world: &mut ClosedLoop, pool: &PoolMarket, day: usize, budgets: &[i64]) {
    let now = world.market().now();
    for (number, budget) in budgets.iter().enumerate() {
        let id = pool.scenario.campaigns[number].spec.campaign_id.clone();
        let bid = pool.bid_for(day, number, *budget);
        world.market_mut().buyer_mut().person_sets_bid(&id, bid, now);
    }
}

fn brought(world: &ClosedLoop, pool: &PoolMarket) -> f64 {
    let totals = world.market().totals();
    let clicks = totals.campaigns.iter().map(|campaign| campaign.expected.clicks as f64);
    clicks.zip(&pool.click_worth_micros).map(|(clicks, worth)| clicks * worth).sum()
}

fn row(trial: &PoolTrial, runs: &[Run]) -> String {
    let mean = |figures: &[f64], from: usize, to: usize| {
        let part = figures.get(from..to.min(figures.len())).unwrap_or_default();
        part.iter().sum::<f64>() / part.len().max(1) as f64
    };
    let show = |of: &dyn Fn(&Run) -> f64| {
        let [p10, p50, p90] = middle(runs.iter().map(of));
        let least = runs.iter().map(of).fold(f64::INFINITY, f64::min);
        format!("{p50:.3} ({p10:.3} to {p90:.3}, worst {least:.3})")
    };
    let count = |of: &dyn Fn(&Run) -> usize| runs.iter().map(of).sum::<usize>();
    let greatest = runs.iter().map(|run| run.sum_over.0).fold(0.0, f64::max);
    let least = runs.iter().map(|run| run.sum_over.1).fold(f64::INFINITY, f64::min);
    let week = |run: &Run, of: fn(&Run) -> &Vec<f64>, from: usize| mean(of(run), from, from + 7);
    let after = |run: &Run| week(run, |run| &run.split, JUDGED_FROM);
    let kept = |run: &Run| week(run, |run| &run.kept, JUDGED_FROM);
    let below = runs.iter().filter(|run| after(run) < kept(run) - 0.005);
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {:.4} to {:.4} | {} of {} | {} | {} | {} | {} |",
        trial.name,
        runs.len(),
        show(&|run| week(run, |run| &run.split, 7)),
        show(&kept),
        show(&after),
        show(&|run| week(run, |run| &run.brought, 7)),
        show(&|run| week(run, |run| &run.brought, JUDGED_FROM)),
        below.count(),
        least,
        greatest,
        count(&|run| run.uneven),
        count(&|run| run.seen.groups.len()),
        count(&|run| run.seen.commands),
        count(&|run| run.seen.explored),
        count(&|run| run.seen.returned),
        count(&|run| run.seen.proposals),
    )
}

/// A tenth, half and nine tenths.
fn middle(figures: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1) as f64;
    [0.1, 0.5, 0.9].map(|share| figures.get((last * share).round() as usize).copied().unwrap_or(0.0))
}
