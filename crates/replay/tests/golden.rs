//! Determinism across builds: simulated markets through both stages, the journal that this made replayed, its tables and
//! its page, all as digests that lie in `golden.txt`. Debug and release builds are held against the same file, so equal
//! to it means equal to each other:
//!
//!     cargo test -p replay --test golden              # debug: no TLS library in it
//!     cargo test --release -p replay --test golden
//!
//! What always holds: the replay's decisions are those of the run, whatever the file says. A change of what is decided, or
//! of a form, changes the file: `PACELINE_GOLDEN=write` before either of the two writes it, the other one then checks it.
//! The difference belongs into the commit that made it. Missing on purpose: threads (`paceline/tests/replay.rs`).

// The rim of the tests: files are read, and written where that is asked for.
#![allow(clippy::disallowed_methods)]

use avro_codec::{Codec, RecordName};
use controller::{JournalPosition, Outputs, Setup};
use market::Trial;
use model::journal::JournalRecord;
use model::time::{HOUR_MS, Millis};
use replay::summary::{self, About};
use replay::{ClosedLoop, Delays, Figures, Part, Replayer, Watch, complete, report, wire};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// One of each kind of day: a budget alone, a budget and a target at once, hours with factors.
const TRIALS: [&str; 3] = ["s1-steady", "s1-both-bind", "s12-evening-converts"];
/// Long enough for first bids, steps, rows of hours and of a day, and the next day's plan; short enough for a debug build.
const HOURS: Millis = 26;
const SEED: u64 = 5;

#[test]
fn debug_and_release_builds_write_the_same_bytes() {
    let told: String = TRIALS.map(golden).concat();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    if std::env::var("PACELINE_GOLDEN").is_ok_and(|word| word == "write") {
        fs::write(&file, &told).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    assert_eq!(
        told, kept,
        "this {build} build decides otherwise than golden.txt says. Where a change of decisions or forms is meant, write \
         it again (see this test's header) and let the other build check it; where only one of the builds differs, a \
         decision depends on the build"
    );
}

/// A line for each thing that must not differ.
fn golden(name: &str) -> String {
    let codec = Codec::fixed();
    let run = Run::of(name, &codec);
    assert!(run.commands > 3, "{name}: {} commands", run.commands);
    let mut replayer = Replayer::new(setup(), None);
    let mut decisions = Sha256::new();
    for (at, record) in &run.journal {
        digest(&mut decisions, &codec, &replayer.apply(*at, record.clone()));
    }
    assert_eq!(hex(decisions), run.decisions, "{name}: a replay decides as the run did");
    let [journal, tables, page] = told(&run, &codec);
    let records = run.journal.len();
    format!(
        "{name}: {records} records, {} commands\n  journal   {journal}\n  decisions {}\n  tables    {tables}\n  page      {page}\n",
        run.commands, run.decisions
    )
}

/// What happened in one market.
#[derive(Default)]
struct Run {
    journal: Vec<(JournalPosition, JournalRecord)>,
    commands: usize,
    decisions: String,
}

struct Watcher<'a> {
    codec: &'a Codec,
    run: Run,
    decisions: Sha256,
}

impl Watch for Watcher<'_> {
    fn journal(&mut self, at: JournalPosition, record: &JournalRecord) {
        self.run.journal.push((at, record.clone()));
    }

    fn outputs(&mut self, _now: Millis, outputs: &Outputs) {
        self.run.commands += outputs.adjustments.len();
        digest(&mut self.decisions, self.codec, outputs);
    }
}

impl Run {
    fn of(name: &str, codec: &Codec) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../market/trials/{name}.toml"));
        let trial: Trial = toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let scenario = trial.market(SEED).scenario;
        let until = scenario.start_ms + HOURS * HOUR_MS;
        let delays = Delays { feed_ms: trial.feed_lag_ms(), dead: trial.dead_feeds() };
        let mut watcher = Watcher { codec, run: Run::default(), decisions: Sha256::new() };
        ClosedLoop::new(scenario, SEED, None, delays).run(until, &mut watcher);
        let Watcher { run, decisions, .. } = watcher;
        Self { decisions: hex(decisions), ..run }
    }
}

/// Digests of the journal's records, of the tables of its replay, and of the page and the summary.
fn told(run: &Run, codec: &Codec) -> [String; 3] {
    let folder = std::env::temp_dir().join(format!("paceline-golden-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let (mut journal, mut part) = (Sha256::new(), Part::new(&folder, setup(), None, None));
    for (at, record) in &run.journal {
        journal.update(codec.encode(RecordName::JournalRecord, record).unwrap());
        part.apply(*at, record.clone()).unwrap();
    }
    let figures: Figures = part.finish().unwrap();
    complete(&folder).unwrap();
    let about = About { build: BUILD.into(), journal: "golden".into(), ..About::default() };
    let mut page = Sha256::new();
    page.update(report::html(&figures, &about, None));
    page.update(summary::document(&figures, &about, None).to_string());
    let mut tables = Sha256::new();
    files(&folder).into_iter().for_each(|file| tables.update(fs::read(file).unwrap()));
    fs::remove_dir_all(&folder).unwrap();
    [journal, tables, page].map(hex)
}

/// As the loop names itself: the build stands in every record.
const BUILD: &str = "simulation";

fn setup() -> Setup {
    Setup { build: BUILD.into(), input_partitions: 1, ..Setup::default() }
}

fn digest(sum: &mut Sha256, codec: &Codec, outputs: &Outputs) {
    for one in wire(codec, outputs).unwrap() {
        sum.update(format!("{:?} {} {}", one.topic, one.key, one.id));
        sum.update(one.payload);
    }
}

/// All files below a folder, by their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
