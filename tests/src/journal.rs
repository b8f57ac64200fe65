//! What must hold in the logs between the stages and behind them, checked record by record.
//!
//! In every journal partition the cuts of each source follow each other without a gap or an overlap, once exact
//! repetitions (a torn cut that was emitted again) are dropped. No command id and no sequence of a key comes twice on
//! `ads.adjustments`; no revision of a KPI row twice on `ads.kpis`.

use crate::avro::{Fields, schemas};
use crate::deployment::{Deployment, JOURNAL_PARTITIONS};
use crate::logs::{self, Entry, Tail};
use crate::truth::{self, Cells, MINUTE_MS};
use crate::wait;
use apache_avro::types::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

/// A cut of one source: from, to, count.
type Cut = (i64, i64, i64);

/// Reads records in the order of their partitions and remembers what is wrong.
#[derive(Debug, Default)]
pub struct Checker {
    /// What is wrong.
    pub violations: Vec<String>,
    /// Sums of the deltas by campaign and minute: touches and claimed conversions.
    pub minutes: Cells,
    /// Records of journal and cuts.
    pub journal_records: u64,
    /// Records whose ranges were all there before.
    pub repetitions: u64,
    /// Commands seen.
    pub commands: u64,
    /// KPI rows seen.
    pub rows: u64,
    /// Per log and partition and source the last cut.
    last: BTreeMap<(String, i32), BTreeMap<(String, i32), Cut>>,
    /// Parts that wait for the rest of their record, per partition and worker.
    parts: BTreeMap<(i32, String), Vec<Value>>,
    command_ids: HashSet<String>,
    sequences: HashSet<(String, i64)>,
    revisions: HashSet<(String, i64, String, String, i64)>,
}

impl Checker {
    /// Takes a record of the journal, the cuts, the commands or the KPI rows, by its schema.
    pub fn take(&mut self, entry: &Entry) {
        let Ok((name, value)) = schemas().decode(entry.bytes()) else {
            return self.complain(entry, "does not decode");
        };
        match name {
            "JournalRecord" => self.journal(entry, value),
            "Epoch" => {
                self.journal_records += 1;
                self.ranges(entry, &value);
            }
            "Adjustment" => self.command(entry, &value),
            "KpiRow" => self.row(entry, &value),
            other => self.complain(entry, &format!("is a {other}")),
        }
    }

    /// After the last record: every journal partition ends with the same cuts.
    pub fn finish(&mut self) {
        if let Some(((partition, worker), _)) = self.parts.iter().next() {
            self.violations.push(format!("partition {partition}: a record of worker {worker} lacks parts"));
        }
        let mut logs = self.last.iter().filter(|((topic, _), _)| topic.ends_with("journal"));
        if let Some(((topic, first), cuts)) = logs.next() {
            for ((_, other), others) in logs {
                if cuts != others {
                    self.violations.push(format!("{topic}/{first} and {topic}/{other} end with different cuts"));
                }
            }
        }
    }

    /// Asserts that nothing was wrong.
    ///
    /// # Panics
    /// Where something was.
    pub fn assert_clean(&self) {
        let shown: Vec<&str> = self.violations.iter().take(5).map(String::as_str).collect();
        assert!(self.violations.is_empty(), "{} violations: {}", self.violations.len(), shown.join("; "));
    }

    fn journal(&mut self, entry: &Entry, value: Value) {
        self.journal_records += 1;
        let (part, parts) = (value.long("part"), value.long("parts"));
        if parts == 1 {
            return self.whole(entry, &[value]);
        }
        let key = (entry.partition, value.text("worker").to_owned());
        let held = self.parts.entry(key.clone()).or_default();
        if held.len() as i64 != part || held.first().is_some_and(|first| first.long("clock") != value.long("clock")) {
            return self.complain(entry, &format!("part {part} of {parts} does not follow"));
        }
        held.push(value);
        if held.len() as i64 == parts {
            let whole = self.parts.remove(&key).unwrap_or_default();
            self.whole(entry, &whole);
        }
    }

    /// All parts of a record; what a repetition brings was counted before.
    fn whole(&mut self, entry: &Entry, parts: &[Value]) {
        if self.ranges(entry, &parts[0]) {
            parts.iter().for_each(|part| self.deltas(part));
        } else {
            self.repetitions += 1;
        }
    }

    /// Whether the ranges are news.
    fn ranges(&mut self, entry: &Entry, value: &Value) -> bool {
        let last = self.last.entry((entry.topic.clone(), entry.partition)).or_default();
        let (mut news, mut repeated, mut wrong) = (0, 0, Vec::new());
        for range in value.list("ranges") {
            let source = (range.text("topic").to_owned(), range.long("partition") as i32);
            let cut = (range.long("from"), range.long("to"), range.long("epoch"));
            match last.get(&source) {
                Some(before) if *before == cut => repeated += 1,
                Some(before) if cut.0 != before.1 || cut.2 != before.2 + 1 => {
                    wrong.push(format!("{source:?} goes on with {cut:?} after {before:?}"));
                }
                _ if cut.1 < cut.0 => wrong.push(format!("{source:?} runs backwards: {cut:?}")),
                _ => news += 1,
            }
            last.insert(source, cut);
        }
        if news > 0 && repeated > 0 {
            wrong.push(format!("{repeated} ranges are repeated and {news} are news"));
        }
        for words in wrong {
            self.complain(entry, &words);
        }
        repeated == 0
    }

    fn deltas(&mut self, record: &Value) {
        let dictionary = record.list("dictionary");
        let word = |code: i64| match dictionary.get(code as usize) {
            Some(Value::String(word)) => word.clone(),
            other => panic!("code {code} stands for {other:?}"),
        };
        for delta in record.list("deltas") {
            let campaign = word(delta.long("campaign"));
            // Credits are other people's sums of the same conversions.
            if campaign.is_empty() || delta.long("touch_minute") != -1 {
                continue;
            }
            let cell = self.minutes.entry((campaign, delta.long("minute") * MINUTE_MS)).or_default();
            cell.impressions += delta.long("impressions");
            cell.clicks += delta.long("clicks");
            cell.spend_micros += delta.long("spend_micros");
            cell.conversions += delta.long("conversions");
            cell.value_micros += delta.long("value_micros");
        }
    }

    fn command(&mut self, entry: &Entry, value: &Value) {
        self.commands += 1;
        let id = value.text("command_id").to_owned();
        let key = String::from_utf8_lossy(entry.key.as_deref().unwrap_or_default()).into_owned();
        let sequence = value.long("sequence");
        if !self.sequences.insert((key.clone(), sequence)) {
            self.complain(entry, &format!("sequence {sequence} of {key} came before"));
        }
        if !self.command_ids.insert(id.clone()) {
            self.complain(entry, &format!("command {id} came before"));
        }
    }

    fn row(&mut self, entry: &Entry, value: &Value) {
        self.rows += 1;
        let text = |name: &str| value.text(name).to_owned();
        let (campaign, start) = (text("campaign_id"), value.long("window_start"));
        let key = (campaign, start, text("granularity"), text("basis"), value.long("revision"));
        if !self.revisions.insert(key.clone()) {
            self.complain(entry, &format!("row {key:?} came before"));
        }
    }

    fn complain(&mut self, entry: &Entry, words: &str) {
        self.violations.push(format!("{}/{} at {}: {words}", entry.topic, entry.partition, entry.offset));
    }
}

/// Topics that are checked.
pub fn checked_topics(deployment: &Deployment) -> [&str; 4] {
    ["journal", "epochs", "adjustments", "kpis"].map(|word| deployment.topic(word))
}

/// Checks all logs of a deployment that has come to rest.
pub fn check(deployment: &Deployment) -> Checker {
    let mut checker = Checker::default();
    Tail::open(&deployment.brokers, &checked_topics(deployment)).drain(|entry| checker.take(&entry));
    checker.finish();
    checker
}

/// Waits until the journal's sums say exactly this: sooner than any row, since no window has to close.
///
/// # Panics
/// After the limit, with the differences; at once where the logs are not whole.
pub fn wait_for_minutes(deployment: &Deployment, expected: &Cells, limit: Duration) {
    let mut checker = Checker::default();
    let mut tail = Tail::open(&deployment.brokers, &[deployment.topic("journal")]);
    let mut complaint = Err("nothing was read yet".to_owned());
    wait::until_ok("the journal's sums are exact", limit, || {
        if tail.poll(Duration::from_millis(200), |entry| checker.take(&entry)) > 0 {
            complaint = truth::compare(&checker.minutes, expected);
        }
        complaint.clone()
    });
    checker.assert_clean();
}

/// Waits until the controller has applied the whole journal, to which nothing may be added meanwhile.
///
/// # Panics
/// After the limit.
pub fn wait_for_rest(deployment: &Deployment, limit: Duration) {
    let (brokers, journal, group) = (&deployment.brokers, deployment.topic("journal"), deployment.group("controller"));
    wait::until("the controller rests at the journal's end", limit, || {
        let committed = logs::committed(brokers, &group, journal, JOURNAL_PARTITIONS);
        let rests = |partition| committed.get(&partition) == Some(&logs::ends(brokers, journal, partition).1);
        (0..JOURNAL_PARTITIONS).all(rests).then_some(())
    });
}

/// Checks records that are given.
pub fn check_entries<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Checker {
    let mut checker = Checker::default();
    entries.into_iter().for_each(|entry| checker.take(entry));
    checker.finish();
    checker
}

/// The clocks of the cuts in a journal partition, in order: one a cut, since two cuts of a worker never share one.
pub fn clocks(entries: &[Entry], partition: i32) -> Vec<i64> {
    let mine = entries.iter().filter(|entry| entry.partition == partition);
    let clocks: BTreeSet<i64> = mine.map(clock).collect();
    clocks.into_iter().collect()
}

/// The clock of the cut that a journal record or an epoch belongs to.
///
/// # Panics
/// Where the record does not decode.
pub fn clock(entry: &Entry) -> i64 {
    schemas().decode(entry.bytes()).expect("a record of ours decodes").1.long("clock")
}
