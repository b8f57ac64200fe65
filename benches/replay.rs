//! Replay without a broker: what decoding, deciding and writing cost a row of the journal, with one thread and with all.
//!
//! `cargo bench -p replay --bench replay -- [ROWS] [CAMPAIGNS] [CUT_MS] [FOLDER] [THREADS] [POLICY]`. Cuts are CUT_MS of virtual
//! time apart and hold a row for each campaign, so 10,000,000 rows of 10,000 campaigns at 86,400 ms are a day. With FOLDER
//! (`-` for none) the last run's report and tables stay there; with THREADS there is one run, with so many threads.
//! Budgets last as long as the rows do, so fewer rows than a day has are a day that runs away. No command is answered,
//! which keeps all campaigns busy; under the policy in the file POLICY (`/dev/null` for the built-in one) each command is
//! answered with the next cut. With PACELINE_BENCH_EXPORT naming a folder, the journal is written there as
//! `paceline export journal` does, for `paceline replay --journal --files`, and nothing is replayed. With
//! PACELINE_BENCH_VERIFY set, what each partition leads to is encoded once, then verified: decoded, decided, encoded and
//! compared, as `paceline verify` does, without a broker.

// A bench reads a clock.
#![allow(clippy::disallowed_methods)]

use avro_codec::{ArchiveWriter, Archived, Codec, RecordName};
use controller::{Authority, Controller, JournalPosition, Setup};
use model::fact::{CampaignSpec, Fact};
use model::journal::{CopiedFact, Delta, JournalRecord, NO_TOUCH, Range};
use model::time::{MINUTE_MS, Millis};
use replay::summary::About;
use replay::{Committed, Figures, Part, Verifier, report, summary, wire};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Instant;

const PARTITIONS: i32 = 4;
/// Midnight of a Monday, UTC.
const START_MS: Millis = 1_767_571_200_000;

struct Stored {
    at: JournalPosition,
    payload: Vec<u8>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number = |at: usize, default: i64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (rows, campaigns, cut_ms) = (number(0, 10_000_000), number(1, 10_000), number(2, 500));
    let cuts = rows / campaigns.max(1);
    let stored: Vec<Vec<Stored>> =
        (0..PARTITIONS).map(|partition| journal(partition, campaigns, cuts, cut_ms)).collect();
    let bytes: usize = stored.iter().flatten().map(|one| one.payload.len()).sum();
    println!("{cuts} cuts of {campaigns} campaigns, {} rows, {bytes} bytes", cuts * campaigns);
    if let Some(folder) = std::env::var_os("PACELINE_BENCH_EXPORT") {
        return export(Path::new(&folder), &stored);
    }
    let codec = Codec::fixed();
    let started = Instant::now();
    let decoded: usize =
        stored.iter().flatten().map(|one| codec.journal(&one.payload).expect("ours").deltas.len()).sum();
    println!("decoding alone: {:.2} s for {decoded} rows", started.elapsed().as_secs_f64());
    let policy = words.get(5).map(|file| std::fs::read_to_string(file).expect("POLICY can be read"));
    if std::env::var_os("PACELINE_BENCH_VERIFY").is_some() {
        return verified(&stored);
    }
    let asked = words.get(4).and_then(|word| word.parse().ok());
    for threads in asked.map_or_else(|| vec![1, 2, 4], |threads: usize| vec![threads]) {
        let folder = folder();
        let started = Instant::now();
        let (figures, cpu_s) = run(&stored, &folder, threads, policy.as_deref());
        let took = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let about = About { journal: "paceline.journal".into(), ..About::default() };
        let document = summary::document(&figures, &about, None).to_string();
        let page = report::html(&figures, &about, None);
        let commands: u64 = summary::words(&figures, |campaign| &campaign.kinds).values().sum();
        println!(
            "{threads} threads: {took:.2} s ({cpu_s:.2} s of CPU), {:.0} rows a second, {commands} commands; report {} bytes, summary {} bytes, in {:.2} s",
            decoded as f64 / took,
            page.len(),
            document.len(),
            started.elapsed().as_secs_f64()
        );
        match words.get(3).filter(|keep| *keep != "-") {
            Some(keep) => {
                std::fs::write(folder.join("report.html"), page).expect("a file can be written");
                std::fs::write(folder.join("summary.json"), document).expect("a file can be written");
                let _ = std::fs::remove_dir_all(keep);
                std::fs::rename(&folder, keep).expect("FOLDER is on the disk of temporary files");
            }
            None => std::fs::remove_dir_all(&folder).expect("ours"),
        }
    }
}

fn verified(stored: &[Vec<Stored>]) {
    let (codec, mut took, mut equal, mut different) = (Codec::fixed(), 0.0, 0, 0);
    for (partition, records) in stored.iter().enumerate() {
        let setup =
            Setup { partition: partition as i32, build: "bench".into(), input_partitions: 1, ..Setup::default() };
        let (mut decider, mut verifier) =
            (Controller::new(setup.clone()), Verifier::new(&codec, "bench", Controller::new(setup)));
        for one in records {
            let record = codec.journal(&one.payload).expect("ours");
            let outputs = decider.apply(one.at, &record, Authority::Decide);
            for wire in wire(&codec, &outputs).expect("ours") {
                let (journal_offset, key) = (one.at.offset, wire.key.into_bytes());
                let committed = Committed { journal_offset, build: "bench".into(), key, payload: wire.payload };
                verifier.committed(wire.topic, committed);
            }
        }
        let before = cpu_s();
        for one in records {
            let record = codec.journal(&one.payload).expect("ours");
            verifier.journal(one.at, &record, true).expect("ours");
        }
        took += cpu_s() - before;
        equal += verifier.tally().equal;
        different += verifier.tally().different;
    }
    println!("verified with one thread in {took:.2} s of CPU: {equal} equal, {different} different");
}

fn export(folder: &Path, stored: &[Vec<Stored>]) {
    std::fs::create_dir_all(folder).expect("a folder can be made");
    let partitions = stored.iter().enumerate().map(|(partition, records)| {
        let name = format!("journal-{partition:05}.avro");
        let mut writer = ArchiveWriter::new(Vec::new()).expect("a container");
        for Stored { at, payload } in records {
            let payload = Some(payload.clone());
            let archived = Archived { offset: at.offset, timestamp_ms: at.timestamp_ms, payload };
            writer.push(archived).expect("memory has room");
        }
        let bytes = writer.finish().expect("memory has room");
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(folder.join(&name), bytes).expect("a file can be written");
        let count = records.len();
        json!({ "partition": partition, "file": name, "records": count, "next_offset": count, "sha256": sha256 })
    });
    let manifest = json!({
        "format": 1, "build": "bench", "topic": "paceline.journal", "event_partitions": 1, "minute_rows": false,
        "partitions": partitions.collect::<Vec<_>>(),
    });
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).expect("a file can be written");
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("paceline-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// The figures, and the CPU time of the threads: the wall's says little where others are at work.
fn run(stored: &[Vec<Stored>], folder: &Path, threads: usize, policy: Option<&str>) -> (Figures, f64) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done: Vec<(Vec<(usize, Figures)>, f64)> = std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(records) = stored.get(at) else { return (done, cpu_s()) };
                done.push((at, partition(at as i32, records, folder, policy)));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let cpu_s = done.iter().map(|(_, cpu_s)| cpu_s).sum();
    let mut done: Vec<(usize, Figures)> = done.into_iter().flat_map(|(done, _)| done).collect();
    done.sort_by_key(|(at, _)| *at);
    let mut figures = Figures::default();
    done.into_iter().for_each(|(_, one)| figures.take(one));
    (figures, cpu_s)
}

/// CPU time of this thread so far; 0 where the system does not say it this way.
fn cpu_s() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or_default() / 1e9
}

fn partition(partition: i32, records: &[Stored], folder: &Path, policy: Option<&str>) -> Figures {
    let codec = Codec::fixed();
    let setup = Setup { partition, build: "bench".into(), input_partitions: 1, ..Setup::default() };
    let mut part = Part::new(folder, setup, policy, None);
    for one in records {
        part.apply(one.at, codec.journal(&one.payload).expect("ours")).expect("the disk has room");
    }
    part.finish().expect("the disk has room")
}

fn journal(partition: i32, campaigns: i64, cuts: i64, cut_ms: Millis) -> Vec<Stored> {
    let codec = Codec::fixed();
    let own: Vec<i64> =
        (0..campaigns).filter(|campaign| campaign % i64::from(PARTITIONS) == i64::from(partition)).collect();
    let dictionary: Vec<String> = ["".to_owned(), format!("account-{partition}"), "EUR".to_owned()]
        .into_iter()
        .chain(own.iter().map(|campaign| format!("campaign-{campaign:05}")))
        .collect();
    (0..cuts)
        .map(|cut| {
            let now = START_MS + cut * cut_ms;
            let facts = if cut == 0 {
                own.iter().map(|campaign| specification(*campaign, partition, now)).collect()
            } else {
                Vec::new()
            };
            let ranges = ["ads.impressions", "ads.clicks", "ads.conversions"].map(|topic| Range {
                topic: topic.into(),
                partition: 0,
                from: cut * 100,
                to: (cut + 1) * 100,
                watermark: now - 5_000,
                idle: false,
                epoch: cut,
            });
            let deltas = own.iter().enumerate().map(|(at, campaign)| row(at, *campaign, cut, cuts, now)).collect();
            let record = JournalRecord {
                worker: "bench".into(),
                epoch: cut,
                parts: 1,
                clock: now,
                ranges: ranges.into(),
                build: "bench".into(),
                dictionary: dictionary.clone(),
                deltas,
                facts,
                ..JournalRecord::default()
            };
            let at = JournalPosition { offset: cut, timestamp_ms: now };
            Stored { at, payload: codec.encode(RecordName::JournalRecord, &record).expect("ours") }
        })
        .collect()
}

/// Touches of one campaign in one cut: budgets last about a day, with some noise.
fn row(at: usize, campaign: i64, cut: i64, cuts: i64, now: Millis) -> Delta {
    let noise = (campaign * 7_919 + cut * 104_729).rem_euclid(1_000);
    let spend_micros = budget(campaign) / cuts.max(1) * (500 + noise) / 1_000 * (80 + campaign % 50) / 100;
    Delta {
        account: 1,
        campaign: at as i32 + 3,
        currency: 2,
        conversion_type: 0,
        minute: (now - 2_000).div_euclid(MINUTE_MS),
        touch_minute: NO_TOUCH,
        impressions: 40 + noise / 20,
        clicks: 1 + noise / 400,
        billable: 1,
        spend_micros,
        ..Delta::default()
    }
}

fn budget(campaign: i64) -> i64 {
    50_000_000 + campaign % 17 * 10_000_000
}

fn specification(campaign: i64, partition: i32, now: Millis) -> CopiedFact {
    let spec = CampaignSpec {
        campaign_id: format!("campaign-{campaign:05}"),
        account_id: format!("account-{partition}"),
        version: 1,
        name: format!("Campaign {campaign}"),
        channel: "search".into(),
        status: "active".into(),
        time_zone: "UTC".into(),
        currency: "EUR".into(),
        daily_budget_micros: Some(budget(campaign)),
        daily_cap: "hard".into(),
        bid_control: "paceline".into(),
        budget_control: "none".into(),
        bid_strategy: "max_clicks".into(),
        attribution_model: "last".into(),
        spend_source: "events".into(),
        bid_micros: 500_000,
        bid_min_micros: 50_000,
        bid_max_micros: 5_000_000,
        mode: "auto".into(),
        ..CampaignSpec::default()
    };
    let record = Fact::CampaignSpec(Box::new(spec));
    CopiedFact { topic: "ads.campaigns".into(), partition: 0, offset: campaign, timestamp: now, record }
}
