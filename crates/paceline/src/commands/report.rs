//! `paceline report`: one page about a stretch of the recorded journal, for people who were not there.
//!
//! What always holds: it reads, and writes the one file; the page is that of a replay under the recorded policy, told for
//! the stretch and the accounts that are asked for, and its bytes depend on the journal, the build and the arguments
//! alone. The journal is read to its end, so that windows of the stretch are as later corrections left them. Where its
//! beginning is gone, the page tells what was committed since and says from when on. Missing on purpose: tables
//! (`paceline export`, `paceline replay`).

use super::import::time::instant;
use super::replay::out::{OutFile, unwritable};
use super::replay::progress::Progress;
use super::replay::source::{Source, Stretch};
use super::replay::{by_partition, cores};
use super::run::{BUILD, stop_on_signal};
use super::{say, say_json};
use crate::cli::{Output, Report};
use crate::failure::{Failure, Outcome};
use crate::service::context::Stop;
use controller::LoggedDecision;
use model::time::Millis;
use replay::extent::Extent;
use replay::summary::{self, About};
use replay::{Figures, Telling, report};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads, counts and writes the page.
pub fn run(arguments: &Report) -> Outcome {
    let extent = extent(arguments)?;
    let target = target(&arguments.out)?;
    let (making, mut file) = OutFile::begin(&target)?;
    let source = Source::open_what_is_left(&arguments.config.files, arguments.files.as_deref())?;
    let stop = Arc::new(Stop::default());
    stop_on_signal(stop.clone())?;
    let seen = Seen::default();
    let threads = arguments.threads.map_or_else(cores, usize::from);
    let figures = by_partition(&source, threads, &stop, |partition, progress| {
        if let Some(low) = source.begins(partition) {
            return what_is_left((&source, partition, low), &extent, &stop, progress, &seen);
        }
        let mut telling = Telling::new(source.setup(partition), &extent);
        source.read(partition, Stretch::default(), stop.clone(), |at, record| {
            progress.tick(record.deltas.len());
            seen.note(at.timestamp_ms);
            telling.apply(at, record);
            Ok(())
        })?;
        seen.know(telling.accounts());
        Ok(telling.finish())
    })?;
    seen.check(&figures, &extent)?;
    let begins = seen.begins();
    let events = source.event_counts(extent.from, extent.to.map(|to| to - 1))?;
    // Nobody's events in particular: a page of some accounts is not told those of the others.
    let events = events.filter(|_| extent.accounts.is_empty());
    let about = About { begins, events, ..about(arguments, &extent, source.journal()) };
    let page = report::html(&figures, &about, None);
    file.write_all(page.as_bytes()).map_err(|error| unwritable(&target, &error))?;
    drop(file);
    making.finish()?;
    tell(arguments.output, &figures, &target, page.len(), begins)
}

/// A partition whose beginning is gone: nothing can be decided again, so what was committed is told.
fn what_is_left(
    (source, partition, low): (&Source, i32, i64),
    extent: &Extent,
    stop: &Arc<Stop>,
    progress: &Progress,
    seen: &Seen,
) -> Outcome<Figures> {
    let mut decided = source.decided(partition)?;
    let since = decided.split_off(&low);
    let before: Vec<LoggedDecision> = decided.into_values().flatten().collect();
    let mut telling = None::<Telling>;
    source.read(partition, Stretch::default(), stop.clone(), |at, record| {
        progress.tick(record.deltas.len());
        seen.note(at.timestamp_ms);
        let telling = telling.get_or_insert_with(|| {
            seen.note_beginning(at.timestamp_ms);
            Telling::from_what_is_left(source.setup(partition), extent, at.timestamp_ms, &before)
        });
        telling.follow(at, &record, since.get(&at.offset).map_or(&[][..], Vec::as_slice));
        Ok(())
    })?;
    Ok(telling.map_or_else(Figures::default, |telling| {
        seen.know(telling.accounts());
        telling.finish()
    }))
}

fn extent(arguments: &Report) -> Outcome<Extent> {
    let bound = |name: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(instant).transpose();
        parsed.map_err(|reason| Failure::usage(format!("--{name} {reason}"), ""))
    };
    let (from, to) = (bound("from", &arguments.from)?, bound("to", &arguments.to)?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(Failure::usage(
            "--to is not after --from: nothing lies between them",
            "--to is the instant before which the report ends; for a single day name the next one",
        ));
    }
    Ok(Extent { from, to, from_offset: None, accounts: arguments.account.iter().cloned().collect() })
}

/// The file that `--out` asks for; the folder it lies in is made where it is missing.
fn target(out: &Path) -> Outcome<PathBuf> {
    let is_file = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("html")) && !out.is_dir();
    let target = if is_file { out.to_owned() } else { out.join("report.html") };
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    Ok(target)
}

fn about(arguments: &Report, extent: &Extent, journal: &str) -> About {
    About {
        build: BUILD.to_owned(),
        tzdb: window::calendar::tzdb_version().to_owned(),
        journal: journal.to_owned(),
        from: extent.from,
        to: extent.to,
        is_report: true,
        title: arguments.title.clone(),
        accounts: extent.accounts.iter().cloned().collect(),
        ..About::default()
    }
}

/// What the journal holds, told or not: for words about what was asked for and is not there.
struct Seen {
    first_ms: AtomicI64,
    last_ms: AtomicI64,
    /// The last of the partitions' first instants, where their beginnings are gone.
    begins_ms: AtomicI64,
    accounts: Mutex<BTreeSet<String>>,
}

impl Default for Seen {
    fn default() -> Self {
        let accounts = Mutex::new(BTreeSet::new());
        let [last_ms, begins_ms] = [i64::MIN; 2].map(AtomicI64::new);
        Self { first_ms: AtomicI64::new(i64::MAX), last_ms, begins_ms, accounts }
    }
}

impl Seen {
    fn note(&self, at: Millis) {
        self.first_ms.fetch_min(at, Ordering::Relaxed);
        self.last_ms.fetch_max(at, Ordering::Relaxed);
    }

    fn note_beginning(&self, at: Millis) {
        self.begins_ms.fetch_max(at, Ordering::Relaxed);
    }

    fn begins(&self) -> Option<Millis> {
        Some(self.begins_ms.load(Ordering::Relaxed)).filter(|at| *at != i64::MIN)
    }

    fn know(&self, accounts: BTreeSet<String>) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).extend(accounts);
    }

    /// A page about nothing is refused, and what there is is named.
    fn check(&self, figures: &Figures, extent: &Extent) -> Outcome {
        let known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unknown) = extent.accounts.iter().find(|account| !known.contains(*account)) {
            let some: Vec<&str> = known.iter().take(NAMED_MAX).map(String::as_str).collect();
            let more =
                if known.len() > NAMED_MAX { format!(" and {} more", known.len() - NAMED_MAX) } else { String::new() };
            let advice = match some[..] {
                [] => "it knows no account yet".to_owned(),
                _ => format!("it knows {}{more}", some.join(", ")),
            };
            return Err(Failure::failed(format!("the journal knows no account {unknown:?}"), advice));
        }
        let (first, last) = (self.first_ms.load(Ordering::Relaxed), self.last_ms.load(Ordering::Relaxed));
        match figures.range() {
            Some(_) => Ok(()),
            None if first > last => Err(Failure::failed(
                "the journal is empty: there is nothing to tell of",
                "start the service (`paceline run`), or name an export with --files",
            )),
            None => Err(Failure::failed(
                "the journal holds no record of that stretch",
                format!("it reaches from {} to {}: change --from or --to", utc(first), utc(last)),
            )),
        }
    }
}

/// Accounts that an error names.
const NAMED_MAX: usize = 10;

fn utc(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

fn tell(output: Output, figures: &Figures, target: &Path, bytes: usize, begins: Option<Millis>) -> Outcome {
    let commands: u64 = summary::words(figures, |campaign| &campaign.kinds).values().sum();
    let alerts: u64 = figures.opened.values().sum();
    let range = figures.range();
    if output == Output::Json {
        let document = json!({
            "file": target, "bytes": bytes, "first_ms": range.map(|range| range.0), "last_ms": range.map(|range| range.1),
            "campaigns": figures.campaigns.len(), "commands": commands, "alerts": alerts, "journal_begins_ms": begins,
        });
        return say_json(&document, output);
    }
    if let Some(begins) = begins {
        say(&format!("the journal's beginning is gone: told since {}, by what was committed", utc(begins)))?;
    }
    for (currency, sums) in summary::totals(figures) {
        let plan = sums.plan_ratio_ppm().map_or(String::new(), |ppm| format!(", {} of plan", report::percent(ppm)));
        say(&format!("{} {currency} spent{plan}", report::money(sums.spend_micros)))?;
    }
    say(&format!("{} campaigns, {commands} commands, {alerts} alerts", figures.campaigns.len()))?;
    say(&format!("written to {}", target.display()))
}
