//! `paceline replay --sweep`: many policies on the same simulated markets, or on a recorded journal, ranked.
//!
//! What always holds: simulated markets answer to what is commanded, so value is compared there; a recorded journal does
//! not, so only what it identifies is counted on it. Candidates are ranked by the first part of each unit's time and
//! checked on the rest. Equal files give equal bytes, whatever the number of threads.

mod identified;
pub mod plan;

use super::out::Out;
use super::source::{Source, Stretch};
use super::{cores, stopped};
use crate::cli::{Output, Replay};
use crate::commands::run::{BUILD, stop_on_signal};
use crate::commands::{say, say_json, simulate};
use crate::failure::{Failure, Outcome};
use crate::service::context::Stop;
use controller::JournalPosition;
use identified::Identified;
use market::Trial;
use model::fact::PolicyVersion;
use model::journal::JournalRecord;
use plan::{Candidate, Markets, Plan, Recorded};
use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use replay::extent::Extent;
use replay::figures::Name;
use replay::sweep::{Counted, Counts, JOURNAL_METRICS, Place, Ranking, Scores, count, rank};
use replay::trial::{DayScore, policy_of, run as play};
use replay::{Figures, Telling};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A figure of simulated days.
pub struct Metric {
    /// As the file names it.
    pub name: &'static str,
    more_is_better: bool,
    of: fn(&[DayScore]) -> f64,
}

/// What simulated markets can be ranked by.
pub const METRICS: [Metric; 6] = [
    // Expected clicks over those of the best in hindsight.
    Metric {
        name: "value",
        more_is_better: true,
        of: |days| {
            let best: f64 = days.iter().map(|day| day.best_clicks).sum();
            days.iter().map(|day| day.clicks).sum::<f64>() / best.max(1e-9)
        },
    },
    // Share of the budget by which a day was missed, to either side.
    Metric { name: "budget_error", more_is_better: false, of: |days| by_day(days, |day| (day.share() - 1.0).abs()) },
    Metric { name: "overspend", more_is_better: false, of: |days| by_day(days, DayScore::overspend) },
    Metric { name: "plan_error", more_is_better: false, of: |days| by_day(days, |day| day.plan_error) },
    Metric { name: "bid_travel", more_is_better: false, of: |days| by_day(days, |day| day.bid_travel) },
    Metric { name: "commands", more_is_better: false, of: |days| by_day(days, |day| day.commands as f64) },
];

fn by_day(days: &[DayScore], of: impl Fn(&DayScore) -> f64) -> f64 {
    days.iter().map(of).sum::<f64>() / days.len().max(1) as f64
}

/// Reads, plays, counts, ranks and writes.
pub fn run(arguments: &Replay, file: &std::path::Path) -> Outcome {
    let plan = plan::read(file)?;
    let wants_journal = arguments.journal.then_some(()).and(plan.journal.as_ref());
    if arguments.journal && plan.journal.is_none() {
        return Err(Failure::failed(
            "--journal was given, but the sweep has no [journal]",
            "add metric and split to it",
        ));
    }
    if !arguments.journal && plan.simulate.is_none() {
        return Err(Failure::failed(
            "the sweep has a [journal] only",
            "give --journal, with --files or over the broker",
        ));
    }
    let out = Out::begin(&arguments.out)?;
    let stop = Arc::new(Stop::default());
    stop_on_signal(stop.clone())?;
    let threads = arguments.threads.map_or_else(cores, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Failure::failed(format!("cannot start threads: {error}"), ""))?;
    let simulated = plan.simulate.as_ref().map(|markets| pool.install(|| played(&plan, markets, &stop))).transpose()?;
    let recorded =
        wants_journal.map(|recorded| pool.install(|| counted(arguments, &plan, recorded, &stop))).transpose()?;
    let document = document(&plan, simulated.as_ref(), recorded.as_ref());
    out.write("sweep.json", &(serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"))?;
    for candidate in &plan.candidates {
        out.write(&format!("policy-{}.toml", candidate.name), &candidate.body)?;
    }
    out.finish()?;
    if arguments.output == Output::Json {
        return say_json(&document, Output::Json);
    }
    if let (Some(ranking), Some(markets)) = (&simulated, &plan.simulate) {
        let title = format!("{} in {} simulated markets", markets.metric, ranking.units);
        table(&plan, ranking, &title)?;
    }
    if let (Some((ranking, identified)), Some(recorded)) = (&recorded, wants_journal) {
        let title = format!("{} a campaign on the recorded journal, {} campaigns", recorded.metric, ranking.units);
        table(&plan, ranking, &title)?;
        identified.tell(&plan, &shown(ranking).map(|(_, place)| place.candidate).collect::<Vec<_>>())?;
        say(JOURNAL_LIMIT)?;
    }
    say(&format!("written to {}: sweep.json, and each candidate's policy", arguments.out.display()))
}

const JOURNAL_LIMIT: &str = "On a journal only what would have been commanded is counted: clicks, conversions and value under \
                             another policy are not identified by it. Bounds of spend assume that a lower bid or budget \
                             spends no more, and a pause nothing. Fewer commands are quieter, not better.";
const MARKET_LIMIT: &str = "Simulated markets are drawn from the trials' ranges: what ranks first there is worth an experiment, \
                            and no proof for your own traffic.";

/// Every candidate on every market.
fn played(plan: &Plan, markets: &Markets, stop: &Stop) -> Outcome<Ranking> {
    let trials: Vec<Trial> = markets.scenarios.iter().map(|path| simulate::read(path)).collect::<Outcome<_>>()?;
    if let Some(short) = trials.iter().find(|trial| trial.days < 2) {
        let words = format!("the trial {} has one day: nothing is left out of time", short.name);
        return Err(Failure::failed(words, "name trials of at least two days"));
    }
    let metric = METRICS.iter().find(|metric| metric.name == markets.metric).unwrap_or(&METRICS[0]);
    let seeds = markets.first_seed..markets.first_seed.saturating_add(markets.seeds);
    let units: Vec<(&Trial, u64)> =
        trials.iter().flat_map(|trial| seeds.clone().map(move |seed| (trial, seed))).collect();
    let jobs: Vec<(&Candidate, &Trial, u64)> = plan
        .candidates
        .iter()
        .flat_map(|candidate| units.iter().map(move |(trial, seed)| (candidate, *trial, *seed)))
        .collect();
    let scored: Vec<Option<[f64; 2]>> = jobs
        .into_par_iter()
        .map(|(candidate, trial, seed)| {
            if stop.is_asked() {
                return None;
            }
            let score = play(trial, seed, Some(policy(candidate, trial)));
            let split = (score.days.len() as f64 * markets.in_time_share).round() as usize;
            let split = split.clamp(1, score.days.len().saturating_sub(1).max(1));
            Some([(metric.of)(&score.days[..split]), (metric.of)(&score.days[split..])])
        })
        .collect();
    let scored: Vec<[f64; 2]> = scored.into_iter().collect::<Option<_>>().ok_or_else(stopped)?;
    let part = |at: usize| {
        scored
            .chunks(units.len().max(1))
            .map(|of| of.iter().map(|parts| parts[at]).collect())
            .collect::<Vec<Vec<f64>>>()
    };
    Ok(rank(&Scores {
        more_is_better: metric.more_is_better,
        candidates: names(plan),
        in_time: part(0),
        out_of_time: part(1),
    }))
}

/// A candidate's policy in one trial: what is known of the trial's feeds is added, where the candidate says nothing.
fn policy(candidate: &Candidate, trial: &Trial) -> PolicyVersion {
    let feeds = policy_of(trial, ::policy::pressure::Method::Linear).map(|policy| policy.body);
    let mut body = candidate.body.clone();
    let says_feeds = candidate.body.parse::<toml::Table>().is_ok_and(|table| table.contains_key("stage1"));
    if let Some(feeds) = feeds.filter(|_| !says_feeds) {
        body = format!("{body}\n{feeds}");
    }
    let name = crate::service::POLICY_NAME.into();
    PolicyVersion { name, version: 1, body, author: "sweep".into(), ..PolicyVersion::default() }
}

/// Every candidate on every partition of the journal, beside what was recorded there.
fn counted(arguments: &Replay, plan: &Plan, recorded: &Recorded, stop: &Arc<Stop>) -> Outcome<(Ranking, Identified)> {
    let files = match &arguments.files[..] {
        [] => None,
        [folder] => Some(folder.as_path()),
        _ => return Err(Failure::failed("--journal takes one folder with --files", "")),
    };
    let to = arguments.to.as_deref().map(crate::commands::import::time::instant).transpose();
    let to = to.map_err(|reason| Failure::failed(format!("--to {reason}"), ""))?;
    let mut source = Source::open(&arguments.config.files, files)?;
    // All candidates see the same journal, whatever comes meanwhile.
    source.end_at(&source.ends());
    let read = |partition: i32, take: &mut dyn FnMut(JournalPosition, JournalRecord)| {
        source.read(partition, Stretch { to, ..Stretch::default() }, stop.clone(), |at, record| {
            take(at, record);
            Ok(())
        })
    };
    let partitions = source.partitions();
    let as_recorded = |partition: &i32| {
        let mut telling = Telling::new(source.setup(*partition), &Extent::default());
        read(*partition, &mut |at, record| telling.apply(at, record)).map(|()| telling.finish())
    };
    let figures: Vec<Figures> = partitions.par_iter().map(as_recorded).collect::<Outcome<_>>()?;
    let jobs: Vec<(&Candidate, i32, &Figures)> = plan
        .candidates
        .iter()
        .flat_map(|candidate| partitions.iter().zip(&figures).map(move |(at, figures)| (candidate, *at, figures)))
        .collect();
    let done: Vec<Outcome<Counts>> = jobs
        .into_par_iter()
        .map(|(candidate, at, figures)| {
            count(source.setup(at), &candidate.body, figures, recorded.split, |take| read(at, take))
        })
        .collect();
    let done = done.into_iter().collect::<Outcome<Vec<_>>>()?;
    Ok(together(plan, recorded, done.chunks(partitions.len().max(1))))
}

/// The partitions of each candidate put together, and ranked.
fn together<'a>(
    plan: &Plan,
    recorded: &Recorded,
    done: impl Iterator<Item = &'a [Counts]> + Clone,
) -> (Ranking, Identified) {
    let metric = JOURNAL_METRICS.iter().position(|name| *name == recorded.metric).unwrap_or(0);
    let by_candidate: Vec<BTreeMap<&Name, &Counted>> =
        done.clone().map(|parts| parts.iter().flat_map(|counts| &counts.campaigns).collect()).collect();
    // A campaign in which one candidate did nothing counts with nothing.
    let campaigns: BTreeSet<&Name> = by_candidate.iter().flat_map(BTreeMap::keys).copied().collect();
    let part = |at: usize| {
        let of = |counted: &BTreeMap<&Name, &Counted>| {
            campaigns.iter().map(|name| counted.get(name).map_or(0.0, |counted| counted.parts[at][metric])).collect()
        };
        by_candidate.iter().map(of).collect::<Vec<Vec<f64>>>()
    };
    let (in_time, out_of_time) = (part(0), part(1));
    let ranking = rank(&Scores { more_is_better: false, candidates: names(plan), in_time, out_of_time });
    let mut identified = Identified::default();
    for parts in done {
        identified.commanded.push(parts.iter().map(|counts| counts.commanded).collect());
        let mut sum = identified::Spend::new();
        for (currency, change) in parts.iter().flat_map(|counts| &counts.spend) {
            sum.entry(currency.clone()).or_default().add(change);
        }
        identified.spend.push(sum);
    }
    (ranking, identified)
}

fn names(plan: &Plan) -> Vec<String> {
    plan.candidates.iter().map(|candidate| candidate.name.clone()).collect()
}

fn document(plan: &Plan, simulated: Option<&Ranking>, recorded: Option<&(Ranking, Identified)>) -> Value {
    let names = names(plan);
    let candidates: Vec<Value> =
        plan.candidates.iter().map(|candidate| json!({ "name": candidate.name, "set": candidate.set })).collect();
    let part = |ranking: &Ranking, metric: &str, limit: &str, more: Value| {
        let mut document = ranking.document(&names);
        document["metric"] = json!(metric);
        document["limit"] = json!(limit);
        document["how"] = more;
        document
    };
    let simulated = simulated.zip(plan.simulate.as_ref()).map(|(ranking, markets)| {
        let scenarios: Vec<_> = markets.scenarios.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        let how = json!({ "scenarios": scenarios, "seeds": markets.seeds, "first_seed": markets.first_seed, "in_time_share": markets.in_time_share });
        part(ranking, &markets.metric, MARKET_LIMIT, how)
    });
    let recorded = recorded.zip(plan.journal.as_ref()).map(|((ranking, identified), recorded)| {
        let mut document = part(ranking, &recorded.metric, JOURNAL_LIMIT, json!({ "split_ms": recorded.split }));
        identified.put(plan, ranking, &mut document);
        document
    });
    json!({ "format": 1, "build": BUILD, "candidates": candidates, "simulate": simulated, "journal": recorded })
}

/// The ranking for people: ten places, and the base wherever it stands.
fn table(plan: &Plan, ranking: &Ranking, title: &str) -> Outcome {
    say(&format!(
        "{title}; intervals of 95 %, differences to {} market by market or campaign by campaign",
        plan::BASE
    ))?;
    say(
        "rank  candidate      in time                      less base    out of time                  less base  rank  set",
    )?;
    for (rank, place) in shown(ranking) {
        let candidate = &plan.candidates[place.candidate];
        let set: Vec<String> = candidate.set.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        say(&format!(
            "{rank:>4}  {:<12} {:<28} {:>+10.5}    {:<28} {:>+9.5}  {:>4}  {}",
            candidate.name,
            interval(&place.in_time),
            place.lead_in_time.mean,
            interval(&place.out_of_time),
            place.lead_out_of_time.mean,
            place.rank_out_of_time,
            set.join(", ")
        ))?;
    }
    ranking.warnings.iter().try_for_each(|warning| say(&format!("warning: {warning}")))
}

/// Ten places, and the base.
fn shown(ranking: &Ranking) -> impl Iterator<Item = (usize, &Place)> {
    (1..).zip(&ranking.places).filter(|(rank, place)| *rank <= SHOWN || place.candidate == 0)
}

const SHOWN: usize = 10;

fn interval(interval: &replay::sweep::Interval) -> String {
    match interval.bounds {
        Some([low, high]) => format!("{:.5} ({low:.5} to {high:.5})", interval.mean),
        None => format!("{:.5}", interval.mean),
    }
}
