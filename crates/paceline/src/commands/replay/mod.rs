//! `paceline replay`: the recorded journal through the controller again, or events through both stages, into a folder of
//! tables and a report.
//!
//! What always holds: it reads; no producer is made and no topic is written. The folder appears whole or not at all, and
//! its bytes depend on the journal, the build and the policy, not on threads or clocks. A Ctrl-C leaves nothing behind,
//! but for what `--resume` asks to be kept.

mod events;
mod labels;
pub mod out;
pub mod progress;
mod resume;
pub mod source;
mod sweep;
mod topics;

use super::import::time::instant;
use super::run::{BUILD, stop_on_signal};
use super::{say, say_json};
use crate::cli::{Output, Replay};
use crate::failure::{Failure, Kind, Outcome};
use crate::service::context::Stop;
use events::{Events, Place};
use model::time::Millis;
use out::Out;
use progress::Progress;
use replay::compare::{Baseline, Comparison, compare};
use replay::extent::Extent;
use replay::figures::Words;
use replay::rehearsal::Rehearsal;
use replay::summary::{self, About};
use replay::{Begun, EventCounts, Figures, Part, report, tables};
use resume::Kept;
use sha2::{Digest, Sha256};
use source::{Source, Stretch, Way};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Replays, writes and tells.
pub fn run(arguments: &Replay) -> Outcome {
    if let Some(file) = &arguments.sweep {
        return sweep::run(arguments, file);
    }
    let bound = |name: &str, text: &Option<String>| {
        text.as_deref().map(instant).transpose().map_err(|reason| Failure::usage(format!("--{name} {reason}"), ""))
    };
    let (from, to) = (bound("from", &arguments.from)?, bound("to", &arguments.to)?);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(Failure::usage("--to is before --from: nothing lies between them", "exchange them"));
    }
    let policy = arguments.policy.as_deref().map(super::policy::checked).transpose()?;
    let baseline = arguments.compare.as_deref().map(read_baseline).transpose()?;
    let labels = arguments.labels.as_deref().map(labels::read).transpose()?;
    let mut input = Input::open(arguments, policy.as_deref(), to)?;
    let out = if arguments.resume { Out::begin_or_go_on(&arguments.out) } else { Out::begin(&arguments.out) }?;
    let stop = Arc::new(Stop::default());
    stop_on_signal(stop.clone())?;
    let about = about(arguments, policy.as_deref(), input.name(arguments.files.is_empty()), (from, to));
    let kept = if arguments.resume { Some(input.keep(out.folder(), &about, way(arguments))?) } else { None };
    let figures = match &input {
        Input::Journal(source) => {
            let threads = arguments.threads.map_or_else(cores, usize::from);
            let (out, kept) = (out.folder(), kept.as_ref());
            let work = Work { source, out, policy: policy.as_deref(), from, to, stop: &stop, kept, arguments };
            work.run(threads)?
        }
        Input::Events(events) => {
            let place = Place { out: out.folder(), from, to, stop: &stop };
            match &kept {
                Some(kept) => events.run_and_keep(&place, kept, arguments.threads)?,
                None => events.run(&place, arguments.threads)?,
            }
        }
    };
    // Counted after the rest: what an interrupted run has kept is known by the arguments alone.
    let about = About { events: input.event_counts(from, to)?, ..about };
    let comparison = baseline.map(|baseline| compared(&figures, &about, &baseline, arguments)).transpose()?;
    replay::complete(out.folder()).map_err(|error| out::unwritable(out.folder(), &error))?;
    let rehearsal = labels.map(|labels| Rehearsal::of(&figures, &labels));
    let mut document = summary::document(&figures, &about, comparison.as_ref());
    document["rehearsal"] = rehearsal.as_ref().map(Rehearsal::document).unwrap_or_default();
    let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
    out.write("summary.json", &text)?;
    out.write("report.html", &report::html(&figures, &about, comparison.as_ref()))?;
    if stop.is_asked() {
        return Err(stopped());
    }
    kept.map_or(Ok(()), Kept::remove)?;
    out.finish()?;
    match arguments.output {
        Output::Json => say_json(&document, Output::Json),
        Output::Text if arguments.rehearse => match &rehearsal {
            Some(rehearsal) => labels::print(rehearsal),
            None => opened(&figures),
        },
        Output::Text => words(&figures, comparison.as_ref(), &arguments.out),
    }
}

/// What is replayed.
enum Input {
    Journal(Source),
    Events(Box<Events>),
}

impl Input {
    fn open(arguments: &Replay, policy: Option<&str>, to: Option<Millis>) -> Outcome<Self> {
        if arguments.events {
            return Ok(Self::Events(Box::new(Events::read(arguments, policy, to)?)));
        }
        let [folder] = &arguments.files[..] else {
            if arguments.files.is_empty() {
                return Source::open_what_is_left(&arguments.config.files, None).map(Self::Journal);
            }
            return Err(Failure::usage("--journal takes one folder with --files", "--events takes several files"));
        };
        Source::open(&arguments.config.files, Some(folder)).map(Self::Journal)
    }

    fn event_counts(&self, from: Option<Millis>, to: Option<Millis>) -> Outcome<Option<EventCounts>> {
        match self {
            Self::Journal(source) => source.event_counts(from, to),
            Self::Events(events) => Ok(events.counts()),
        }
    }

    /// What an interrupted run with the same arguments has kept; the journal then ends where it did.
    fn keep(&mut self, making: &Path, about: &About, way: Way) -> Outcome<Kept> {
        match self {
            Self::Journal(source) => {
                let (kept, ends) = Kept::open(making, about, (source.identity(), way), source.ends())?;
                source.end_at(&ends);
                Ok(kept)
            }
            Self::Events(events) => {
                Kept::open(making, about, (events.identity(), way), Vec::new()).map(|(kept, _)| kept)
            }
        }
    }

    fn name(&self, is_of_topics: bool) -> &str {
        match self {
            Self::Journal(source) => source.journal(),
            Self::Events(_) if is_of_topics => "topics of events",
            Self::Events(_) => "files of events",
        }
    }
}

/// All that the threads share.
struct Work<'a> {
    source: &'a Source,
    out: &'a Path,
    policy: Option<&'a str>,
    from: Option<Millis>,
    to: Option<Millis>,
    stop: &'a Arc<Stop>,
    kept: Option<&'a Kept>,
    arguments: &'a Replay,
}

fn way(arguments: &Replay) -> Way {
    match (arguments.from_state, arguments.cold) {
        (true, _) => Way::Short,
        (_, true) => Way::Cold,
        _ => Way::Whole,
    }
}

impl Work<'_> {
    fn run(&self, threads: usize) -> Outcome<Figures> {
        let done =
            by_partition(self.source, threads, self.stop, |partition, progress| self.partition(partition, progress));
        done.map_err(|failure| match self.kept {
            Some(kept) if failure.kind == Kind::Stopped => interrupted(kept.count(), self.source.partitions().len()),
            _ => failure,
        })
    }

    fn partition(&self, partition: i32, progress: &Progress) -> Outcome<Figures> {
        if let Some(figures) = self.kept.and_then(|kept| kept.figures(partition)) {
            let (records, rows) = figures.spans.iter().fold((0, 0), |(a, b), span| (a + span.records, b + span.deltas));
            progress.pass(records, rows);
            return Ok(figures);
        }
        let (controller, begin, begun) = self.source.begin(partition, self.from, way(self.arguments))?;
        let Replay { from_offset, to_offset, .. } = *self.arguments;
        let extent = Extent { from_offset, ..Extent::since(self.from) };
        let mut part = Part::going_on(self.out, (partition, controller, begun), self.policy, extent);
        let stretch = Stretch { from_offset: begin, to_offset, to: self.to };
        let stop = self.stop.clone();
        self.source.read(partition, stretch, stop, |at, record| {
            progress.tick(record.deltas.len());
            part.apply(at, record).map_err(|error| out::unwritable(self.out, &error))
        })?;
        let figures = part.finish().map_err(|error| out::unwritable(self.out, &error))?;
        self.kept.map_or(Ok(()), |kept| kept.keep(partition, &figures))?;
        Ok(figures)
    }
}

/// Each thread takes the next partition; figures are put together in the partitions' order.
pub fn by_partition(
    source: &Source,
    threads: usize,
    stop: &Stop,
    of: impl Fn(i32, &Progress) -> Outcome<Figures> + Sync,
) -> Outcome<Figures> {
    let progress = Progress::new("journal records", source.records(), source.deltas());
    let done =
        side_by_side_over(&source.partitions(), threads, stop, || Ok(()), |(), partition| of(partition, &progress));
    progress.end();
    let mut figures = Figures::default();
    done?.into_iter().for_each(|one| figures.take(one));
    Ok(figures)
}

/// Each thread opens something of its own and takes the next partition with it; results stand in the partitions' order.
/// The first failure ends all.
pub fn side_by_side_over<C, T: Send>(
    partitions: &[i32],
    threads: usize,
    stop: &Stop,
    open: impl Fn() -> Outcome<C> + Sync,
    of: impl Fn(&mut C, i32) -> Outcome<T> + Sync,
) -> Outcome<Vec<T>> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None::<Failure>));
    let done: Vec<Mutex<Option<T>>> = partitions.iter().map(|_| Mutex::new(None)).collect();
    let work = || -> Outcome {
        let mut opened = open()?;
        while let Some((at, partition)) = take(&next, partitions) {
            *locked(&done[at]) = Some(of(&mut opened, partition)?);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.min(partitions.len()).max(1) {
            scope.spawn(|| {
                let Err(failure) = work() else { return };
                // The others hear of it with their next record.
                stop.ask();
                let mut first = locked(&failed);
                if first.as_ref().is_none_or(|first| first.kind == Kind::Stopped) {
                    *first = Some(failure);
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => {
            Ok(done.into_iter().filter_map(|one| one.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
        }
    }
}

fn take(next: &AtomicUsize, partitions: &[i32]) -> Option<(usize, i32)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    partitions.get(at).map(|partition| (at, *partition))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many threads as cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn stopped() -> Failure {
    Failure::new(Kind::Stopped, "stopped before the end, nothing was written", "start it again")
}

fn interrupted(kept: usize, of: usize) -> Failure {
    let what = format!("stopped before the end; {kept} of {of} journal partitions are kept");
    Failure::new(
        Kind::Stopped,
        what,
        "start it again with the same arguments, --resume among them: it goes on from there",
    )
}

fn about(
    arguments: &Replay,
    policy: Option<&str>,
    journal: &str,
    (from, to): (Option<Millis>, Option<Millis>),
) -> About {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    About {
        build: BUILD.to_owned(),
        tzdb: window::calendar::tzdb_version().to_owned(),
        journal: journal.to_owned(),
        from,
        to,
        from_offset: arguments.from_offset,
        to_offset: arguments.to_offset,
        policy_sha256: policy.map(|body| hex(&Sha256::digest(body.as_bytes()))),
        policy_file: arguments.policy.as_deref().and_then(name),
        is_events: arguments.events,
        is_of_topics: arguments.events && arguments.files.is_empty(),
        ..About::default()
    }
}

/// A digest as it is written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_baseline(folder: &Path) -> Outcome<Baseline> {
    Baseline::read(folder).map_err(|error| {
        Failure::failed(
            format!("cannot read the run in {}: {error}", folder.display()),
            "--compare takes a folder that `paceline replay --out` wrote",
        )
    })
}

fn compared(figures: &Figures, about: &About, baseline: &Baseline, arguments: &Replay) -> Outcome<Comparison> {
    match baseline.mismatch(figures, about) {
        None => Ok(compare(figures, baseline)),
        Some(mismatch) => Err(Failure::failed(
            format!(
                "{} cannot be compared with: {mismatch}",
                arguments.compare.as_deref().unwrap_or(Path::new("")).display()
            ),
            "replay both from the same export (`paceline export journal`), with the same --from and --to",
        )),
    }
}

/// Alerts that would have opened, as CSV.
fn opened(figures: &Figures) -> Outcome {
    say("day,account_id,campaign_id,kind,opened")?;
    for ((day, account, campaign, kind), count) in &figures.opened {
        say(&format!("{},{},{},{kind},{count}", tables::day_name(*day), quoted(account), quoted(campaign)))?;
    }
    Ok(())
}

/// A CSV field.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.into() }
}

/// What was not replayed from the journal's first record: that is said.
fn beginnings(figures: &Figures) -> Option<String> {
    let count = |of: fn(&Begun) -> bool| figures.spans.iter().filter(|span| of(&span.begun)).count();
    let states = count(|begun| matches!(begun, Begun::State(_)));
    let cold = count(|begun| *begun == Begun::Cold);
    let all = figures.spans.len();
    let words = match (states, cold) {
        (0, 0) => return None,
        (states, 0) => format!("{states} of {all} journal partitions begin with a state that the service kept"),
        (_, cold) => format!("{cold} of {all} journal partitions have lost their beginnings and begin with nothing"),
    };
    Some(format!("{words}: see the limits in the report"))
}

fn words(figures: &Figures, comparison: Option<&Comparison>, out: &Path) -> Outcome {
    let sum = |words: &Words| words.values().sum::<u64>();
    let commands = summary::words(figures, |campaign| &campaign.kinds);
    let proposals = summary::words(figures, |campaign| &campaign.proposals);
    let (records, deltas) = figures.spans.iter().fold((0, 0), |(a, b), span| (a + span.records, b + span.deltas));
    if let Some(words) = beginnings(figures) {
        say(&words)?;
    }
    say(&format!("{records} journal records with {deltas} rows, {} campaigns", figures.campaigns.len()))?;
    let waiting = figures.quality.quarantined_rows;
    if waiting > 0 {
        say(&format!("{waiting} rows count for nothing: no specification is of their account, campaign and currency"))?;
    }
    for (currency, sums) in summary::totals(figures) {
        let plan = sums.plan_ratio_ppm().map_or(String::new(), |ppm| format!(", {} of plan", report::percent(ppm)));
        say(&format!("{} {currency} spent{plan}", report::money(sums.spend_micros)))?;
    }
    let opened: u64 = figures.opened.values().sum();
    say(&format!("{} commands, {} states of proposals, {opened} alerts", sum(&commands), sum(&proposals)))?;
    for change in comparison.iter().flat_map(|comparison| comparison.totals().into_values()) {
        say(&report::change_words(&change, comparison.is_some_and(|comparison| comparison.is_identified)))?;
    }
    say(&format!("written to {}: open report.html", out.display()))
}
