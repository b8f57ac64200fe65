//! `paceline replay` as a user starts it, over an exported journal: the same bytes whatever the threads, gone on with after
//! a kill, laid beside labels, and swept.

// The rim of the tests: they start the binary and wait for what it does.
#![allow(clippy::disallowed_methods)]

use avro_codec::{ArchiveWriter, Archived, Codec, RecordName};
use model::fact::{CampaignSpec, Fact};
use model::journal::{CopiedFact, Delta, JournalRecord, NO_TOUCH, Range};
use model::time::{MINUTE_MS, Millis};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Midnight of a Monday, UTC.
const START: Millis = 1_767_571_200_000;
const PARTITIONS: i32 = 4;
const CAMPAIGNS: usize = 40;

#[test]
fn one_thread_and_four_write_the_same_bytes() {
    let work = Work::new("threads", 26 * 60);
    work.replayed("one", &["--threads", "1"]);
    work.replayed("four", &["--threads", "4"]);
    let (one, four) = (files(&work.path("one")), files(&work.path("four")));
    assert!(one.len() > 8 && one.contains_key("report.html"), "{:?}", one.keys());
    assert_eq!(one, four);
    work.replayed("policy-one", &["--threads", "1", "--policy", &work.policy(), "--compare", &work.text("one")]);
    work.replayed("policy-four", &["--threads", "4", "--policy", &work.policy(), "--compare", &work.text("four")]);
    assert_eq!(files(&work.path("policy-one")), files(&work.path("policy-four")));
}

#[test]
fn a_run_that_is_killed_goes_on_and_ends_in_the_bytes_of_one_that_was_not() {
    let work = Work::new("resume", 26 * 60);
    work.replayed("whole", &["--threads", "1"]);
    let kept = work.path(".cut.partial").join(".kept");
    let mut child = work.start("cut", &["--threads", "1", "--resume"]);
    wait_for(&kept.join("partition-00000.figures"), &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!kept.join("partition-00003.figures").exists(), "it was killed in the middle");
    assert!(!work.path("cut").exists(), "a folder appears whole or not at all");
    let other = work.run("cut", &["--resume", "--policy", &work.policy()]);
    assert_eq!(other.code, 1, "a part of another run is refused: {}", other.said);
    assert!(other.said.contains("holds a part of another run"), "{}", other.said);
    work.replayed("cut", &["--threads", "2", "--resume"]);
    assert_eq!(files(&work.path("cut")), files(&work.path("whole")));
    assert!(!work.path(".cut.partial").exists());
}

#[test]
fn events_that_are_gone_on_with_end_in_the_bytes_of_a_run_that_was_not_interrupted() {
    let work = Work::new("events", 1);
    let rows = (0..6 * 3_600).map(|second| {
        let at = START + second * 1_000;
        let click = if second % 7 == 0 { 1 } else { 0 };
        format!("{second},{at},campaign-{:02},{},{click}\n", second % 40, second % 500)
    });
    let rows: String = rows.collect();
    fs::write(work.path("events.csv"), format!("id,at,campaign,user,clicked\n{rows}")).unwrap();
    let record = |kind: &str, when: &str| {
        format!(
            "[[record]]\nkind = '{kind}'\n{when}[record.fields]\nevent_id = '{kind}-{{id}}'\n\
             event_time = {{ value = '{{at}}', format = 'epoch_ms' }}\naccount_id = 'acme'\ncampaign_id = '{{campaign}}'\n\
             channel = 'search'\nuser_key = '{{user}}'\ncost_micros = {{ value = '900', unit = 'micros' }}\ncurrency = 'EUR'\n"
        )
    };
    let map = record("impressions", "") + &record("clicks", "when = { clicked = '1' }\n");
    fs::write(work.path("map.toml"), map).unwrap();
    let specs = (0..40).map(|campaign| {
        let budget = 50_000 + campaign * 10_000;
        format!("campaign-{campaign:02},acme,1,search,UTC,EUR,{budget},paceline,max_clicks,2000,200,20000,auto\n")
    });
    let head = "campaign_id,account_id,version,channel,time_zone,currency,daily_budget_micros,bid_control,bid_strategy,\
                bid_micros,bid_min_micros,bid_max_micros,mode\n";
    fs::write(work.path("campaigns.csv"), head.to_owned() + &specs.collect::<String>()).unwrap();
    let (map, events, specs) = (work.text("map.toml"), work.text("events.csv"), work.text("campaigns.csv"));
    let run = |out: &str, more: &[&str]| {
        let out = work.text(out);
        let words = ["replay", "--events", "--files", &events, "--map", &map, "--campaigns", &specs, "--out", &out];
        work.of(&words, more)
    };
    let whole = run("whole", &["--threads", "1"]);
    assert_eq!(whole.code, 0, "{}", whole.said);
    let summary: Value = serde_json::from_slice(&fs::read(work.path("whole/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["events"]["impressions"]["accepted"], 6 * 3_600, "{}", summary["events"]);
    assert!(summary["commands"]["issued"]["pause"].as_u64() > Some(0), "{}", summary["commands"]);
    // What an interruption leaves: the journal of stage 1 and some partitions. A part of the first run is made to fail.
    let broken = work.path(".cut.partial").join("decisions.parquet");
    fs::create_dir_all(broken.parent().unwrap()).unwrap();
    fs::write(&broken, "in the way").unwrap();
    let cut = run("cut", &["--threads", "1", "--resume"]);
    assert_eq!(cut.code, 1, "{}", cut.said);
    assert!(work.path(".cut.partial/.kept/journal.json").exists(), "stage 1 is kept: {}", cut.said);
    fs::remove_file(&broken).unwrap();
    let other = run("cut", &["--resume", "--policy", &work.policy()]);
    assert!(other.code == 1 && other.said.contains("holds a part of another run"), "{}", other.said);
    let gone_on = run("cut", &["--threads", "2", "--resume"]);
    assert_eq!(gone_on.code, 0, "{}", gone_on.said);
    assert_eq!(files(&work.path("cut")), files(&work.path("whole")));
}

#[test]
fn offsets_bound_a_run_as_instants_do() {
    let work = Work::new("offsets", 10 * 60);
    work.replayed("by-offset", &["--from-offset", "120", "--to-offset", "300"]);
    let at = |minute: i64| (START + minute * MINUTE_MS).to_string();
    work.replayed("by-time", &["--from", &at(120), "--to", &at(300)]);
    let (by_offset, by_time) = (files(&work.path("by-offset")), files(&work.path("by-time")));
    let tables = |files: &BTreeMap<String, Vec<u8>>| -> BTreeMap<String, Vec<u8>> {
        files
            .iter()
            .filter(|(name, _)| name.contains(".parquet"))
            .map(|(name, bytes)| (name.clone(), bytes.clone()))
            .collect()
    };
    assert!(tables(&by_time).len() >= 3 && tables(&by_offset) == tables(&by_time));
    let summary: Value = serde_json::from_slice(&by_offset["summary.json"]).unwrap();
    assert_eq!((&summary["window"]["from_offset"], &summary["window"]["to_offset"]), (&json!(120), &json!(300)));
    let nothing = work.run("none", &["--from", &at(300), "--to", &at(120)]);
    assert_eq!(nothing.code, 2, "{}", nothing.said);
}

#[test]
fn alerts_are_laid_beside_known_troubles() {
    let work = Work::new("labels", 20 * 60);
    let labels = work.path("labels.csv");
    let rows = [("campaign-000-0", "hard_stop"), ("campaign-001-0", "runaway"), ("nowhere", "")];
    let rows: Vec<String> =
        rows.iter().map(|(campaign, kind)| format!("account-0,{campaign},{kind},{START},")).collect();
    fs::write(&labels, format!("account_id,campaign_id,kind,from,to\n{}\n", rows.join("\n"))).unwrap();
    let run = work.run("rehearsed", &["--rehearse", "--labels", labels.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.said);
    assert!(run.told.starts_with("kind,opened,false_alarms,"), "{}", run.told);
    let summary: Value = serde_json::from_slice(&fs::read(work.path("rehearsed/summary.json")).unwrap()).unwrap();
    let all = &summary["rehearsal"]["kinds"][0];
    assert_eq!((&all["kind"], &all["troubles"]), (&json!("all"), &json!(3)));
    assert!(all["found"].as_u64().unwrap() >= 1, "the campaign that spends too fast is stopped: {summary:#}");
    assert_eq!(summary["rehearsal"]["labels_of_unknown_campaigns"], 1);
    assert!(all["false_alarms"].as_u64() > Some(0), "the other partitions have no label");
}

#[test]
fn a_sweep_ranks_the_same_whatever_the_threads_and_says_what_a_journal_cannot_tell() {
    let work = Work::new("sweep", 8 * 60);
    let trial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../market/trials/s1-steady.toml");
    let split = START + 4 * 60 * MINUTE_MS;
    let text = format!(
        "[[parameter]]\npath = 'defaults.guard.bid_step_down'\nvalues = [0.05, 0.3]\n\
         [simulate]\nscenarios = [{:?}]\nseeds = 2\nmetric = 'value'\n\
         [journal]\nmetric = 'commands'\nsplit = '{split}'\n",
        trial.display().to_string()
    );
    fs::write(work.path("sweep.toml"), text).unwrap();
    let file = work.text("sweep.toml");
    let one = work.run("one", &["--sweep", &file, "--threads", "1"]);
    assert_eq!(one.code, 0, "{}", one.said);
    assert!(one.told.contains("not identified") && one.told.contains("warning: 2 units are few"), "{}", one.told);
    assert_eq!(work.run("four", &["--sweep", &file, "--threads", "4"]).code, 0);
    assert_eq!(files(&work.path("one")), files(&work.path("four")));
    let sweep: Value = serde_json::from_slice(&fs::read(work.path("one/sweep.json")).unwrap()).unwrap();
    for part in ["simulate", "journal"] {
        assert_eq!(sweep[part]["places"].as_array().map(Vec::len), Some(3), "{part}: {sweep:#}");
        assert!(sweep[part]["overfitting"]["rank_correlation"].is_number());
    }
    assert!(one.told.contains("at least; the most is not identified") || one.told.contains(" to "), "{}", one.told);
    for place in sweep["journal"]["places"].as_array().unwrap() {
        assert_eq!(place["outcomes"], "not identified");
        let spend = &place["spend"][0];
        let micros = |of: &str| spend[of].as_i64();
        assert!(micros("recorded_micros") > Some(0) && micros("least_micros") <= micros("recorded_micros"), "{place}");
        assert_eq!(micros("most_micros").is_none(), spend["most_is"] == "not identified", "{place}");
    }
    let parameter = &sweep["journal"]["parameters"][0];
    assert_eq!(
        (&parameter["path"], &parameter["outcomes"]),
        (&json!("defaults.guard.bid_step_down"), &json!("not identified"))
    );
    assert_eq!(parameter["changes_commands"], true, "{parameter}");
    assert_eq!(sweep["journal"]["units"], PARTITIONS as usize * CAMPAIGNS);
    assert!(work.path("one/policy-grid-002.toml").is_file());
}

#[test]
fn a_report_is_one_page_of_a_stretch_for_the_account_that_is_asked_for() {
    let work = Work::new("report", 4 * 60);
    let report = |more: &[&str]| work.of(&["report", "--files", &work.text("journal"), "--output", "json"], more);
    let (from, to) = ((START + 60 * MINUTE_MS).to_string(), (START + 180 * MINUTE_MS).to_string());
    let page = |threads: &str, name: &str| {
        let out = work.text(name);
        let run =
            report(&["--from", &from, "--to", &to, "--account", "account-2", "--threads", threads, "--out", &out]);
        assert_eq!(run.code, 0, "{}", run.said);
        serde_json::from_str::<Value>(&run.told).unwrap()
    };
    let told = page("1", "one.html");
    assert_eq!((&told["campaigns"], &told["file"]), (&json!(CAMPAIGNS), &json!(work.text("one.html"))));
    assert!(told["first_ms"].as_i64() >= Some(START + 60 * MINUTE_MS) && told["last_ms"].as_i64() < to.parse().ok());
    // A folder that is not there yet gets the file.
    assert_eq!(page("4", "new/folder")["file"], json!(work.text("new/folder/report.html")));
    let html = fs::read_to_string(work.path("one.html")).unwrap();
    assert_eq!(html, fs::read_to_string(work.path("new/folder/report.html")).unwrap(), "threads change nothing");
    assert!(html.contains("account-2") && !html.contains("account-0") && html.len() < 2_000_000);
    assert!(["<script", "src=", "://"].iter().all(|outside| !html.contains(outside)), "nothing is loaded");
    let titled = report(&["--title", "Acme <November>", "--out", &work.text("titled")]);
    assert_eq!(titled.code, 0, "{}", titled.said);
    let html = fs::read_to_string(work.path("titled/report.html")).unwrap();
    assert!(html.contains("<h1>Acme &lt;November&gt;</h1>") && html.contains("account-0"));
}

#[test]
fn a_report_that_cannot_be_made_says_why_and_leaves_nothing() {
    let work = Work::new("no-report", 30);
    let out = work.text("page.html");
    let refused = |code: i32, words: &[&str], more: &[&str]| {
        let run = work.of(&["report", "--files", &work.text("journal"), "--out", &out], more);
        assert_eq!(run.code, code, "{more:?}: {}", run.said);
        assert!(words.iter().all(|words| run.said.contains(words)), "{more:?}: {}", run.said);
        assert_eq!(fs::read_dir(&work.0).unwrap().count(), 2, "{more:?}: the journal and a policy are all there is");
    };
    refused(2, &["--from", "is no instant"], &["--from", "noon"]);
    refused(2, &["--to is not after --from"], &["--from", "2026-01-05", "--to", "2026-01-05"]);
    refused(1, &["no record of that stretch", "it reaches from 2026-01-05T00:00:30Z"], &["--from", "2027-01-01"]);
    refused(1, &["knows no account \"acme\"", "it knows account-0, account-1"], &["--account", "acme"]);
    fs::write(&out, "kept").unwrap();
    let taken = work.of(&["report", "--files", &work.text("journal"), "--out", &out], &[]);
    assert_eq!((taken.code, fs::read_to_string(&out).unwrap().as_str()), (1, "kept"), "{}", taken.said);
}

/// A folder with an exported journal.
struct Work(PathBuf);

struct Run {
    code: i32,
    /// stdout, stderr.
    told: String,
    said: String,
}

impl Work {
    fn new(name: &str, minutes: i64) -> Self {
        let folder = std::env::temp_dir().join(format!("paceline-replay-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("journal")).unwrap();
        export(&folder.join("journal"), minutes);
        fs::write(folder.join("careful.toml"), "[defaults.guard]\nbid_step_down = 0.05\n").unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn policy(&self) -> String {
        self.text("careful.toml")
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paceline"));
        command.args(["replay", "--journal", "--files"]).arg(self.path("journal"));
        command.arg("--out").arg(self.path(out)).args(more);
        command
    }

    fn run(&self, out: &str, more: &[&str]) -> Run {
        Self::ended(&mut self.command(out, more))
    }

    /// Another command over the same journal.
    fn of(&self, words: &[&str], more: &[&str]) -> Run {
        Self::ended(Command::new(env!("CARGO_BIN_EXE_paceline")).args(words).args(more))
    }

    fn ended(command: &mut Command) -> Run {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code().unwrap_or(-1), told: text(&output.stdout), said: text(&output.stderr) }
    }

    fn replayed(&self, out: &str, more: &[&str]) {
        let run = self.run(out, more);
        assert_eq!(run.code, 0, "{out}: {}", run.said);
    }

    fn start(&self, out: &str, more: &[&str]) -> Child {
        self.command(out, more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn wait_for(file: &Path, child: &mut Child) {
    let started = Instant::now();
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the first partition was kept");
        assert!(started.elapsed() < Duration::from_secs(60), "{} did not appear", file.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// All files below a folder, by their names.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{next:?}: {error}")) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// As `paceline export journal` writes it.
fn export(folder: &Path, minutes: i64) {
    let codec = Codec::fixed();
    let entries: Vec<Value> = (0..PARTITIONS)
        .map(|partition| {
            let name = format!("journal-{partition:05}.avro");
            let mut writer = ArchiveWriter::new(Vec::new()).unwrap();
            for minute in 0..minutes {
                let (timestamp_ms, record) = cut(partition, minute);
                let payload = Some(codec.encode(RecordName::JournalRecord, &record).unwrap());
                writer.push(Archived { offset: minute, timestamp_ms, payload }).unwrap();
            }
            let bytes = writer.finish().unwrap();
            let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            fs::write(folder.join(&name), bytes).unwrap();
            json!({ "partition": partition, "file": name, "records": minutes, "next_offset": minutes, "sha256": sha256 })
        })
        .collect();
    let manifest = json!({
        "format": 1, "build": "test", "topic": "paceline.journal", "event_partitions": 1, "minute_rows": false,
        "partitions": entries,
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

/// A minute: the first campaign of each partition spends far too fast, the others about as planned.
fn cut(partition: i32, minute: i64) -> (Millis, JournalRecord) {
    let now = START + minute * MINUTE_MS + 30_000;
    let name = |campaign: usize| format!("campaign-{campaign:03}-{partition}");
    let deltas = (0..CAMPAIGNS).map(|campaign| Delta {
        account: 1,
        campaign: campaign as i32 + 3,
        currency: 2,
        minute: now.div_euclid(MINUTE_MS),
        touch_minute: NO_TOUCH,
        impressions: 50,
        clicks: 2,
        billable: 2,
        spend_micros: if campaign == 0 { 60_000 } else { 4_000 + 100 * (campaign as i64) + minute * 37 % 900 },
        ..Delta::default()
    });
    let specified = |campaign: usize| CopiedFact {
        topic: "ads.campaigns".into(),
        partition: 0,
        offset: campaign as i64,
        timestamp: now,
        record: Fact::CampaignSpec(Box::new(specification(name(campaign), partition))),
    };
    let range = |topic: &str| Range {
        topic: topic.into(),
        from: minute,
        to: minute + 1,
        watermark: now,
        epoch: minute,
        ..Range::default()
    };
    let dictionary = ["".to_owned(), format!("account-{partition}"), "EUR".into()];
    let record = JournalRecord {
        epoch: minute,
        parts: 1,
        clock: now,
        ranges: ["ads.impressions", "ads.clicks", "ads.conversions"].map(range).into(),
        dictionary: dictionary.into_iter().chain((0..CAMPAIGNS).map(name)).collect(),
        deltas: deltas.collect(),
        facts: if minute == 0 { (0..CAMPAIGNS).map(specified).collect() } else { Vec::new() },
        ..JournalRecord::default()
    };
    (now, record)
}

fn specification(campaign_id: String, partition: i32) -> CampaignSpec {
    CampaignSpec {
        campaign_id,
        account_id: format!("account-{partition}"),
        version: 1,
        channel: "search".into(),
        status: "active".into(),
        time_zone: "UTC".into(),
        currency: "EUR".into(),
        daily_budget_micros: Some(10_000_000),
        daily_cap: "hard".into(),
        bid_control: "paceline".into(),
        budget_control: "paceline".into(),
        bid_strategy: "max_clicks".into(),
        attribution_model: "last".into(),
        spend_source: "events".into(),
        bid_micros: 100_000,
        bid_min_micros: 10_000,
        bid_max_micros: 1_000_000,
        mode: "auto".into(),
        ..CampaignSpec::default()
    }
}
