//! One journal partition's share of a run: replayed, counted and written to its own files.
//!
//! What always holds: its files and figures depend on its journal alone, so a run's bytes do not depend on how many
//! partitions are replayed at once. It owns no producer: there is no way from here to a topic.

use crate::counter::Counter;
use crate::extent::Extent;
use crate::figures::{Begun, Figures};
use crate::replayer::Replayer;
use crate::tables::Folder;
use controller::{Controller, JournalPosition, LoggedDecision, Outputs, Setup};
use model::journal::JournalRecord;
use model::output::{Adjustment, Alert, KpiRow};
use model::time::Millis;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// The tables of a run, as their folders are named.
pub const TABLES: [&str; 3] = ["decisions.parquet", "kpis.parquet", "alerts.parquet"];

/// A partition on its way.
pub struct Part {
    replayer: Replayer,
    counter: Counter,
    decisions: Folder<Adjustment>,
    kpis: Folder<KpiRow>,
    alerts: Folder<Alert>,
}

impl Part {
    /// Before the partition's first record; what is decided before `from` is neither written nor counted.
    pub fn new(out: &Path, setup: Setup, policy: Option<&str>, from: Option<Millis>) -> Self {
        let partition = setup.partition;
        Self::going_on(out, (partition, Controller::new(setup), Begun::Whole), policy, Extent::since(from))
    }

    /// The same from a partition's state on; what lies outside of the extent is neither written nor counted.
    pub fn going_on(
        out: &Path,
        (partition, controller, begun): (i32, Controller, Begun),
        policy: Option<&str>,
        extent: Extent,
    ) -> Self {
        let part = format!("part-{partition:05}");
        let [decisions, kpis, alerts] = TABLES.map(|table| out.join(table));
        Self {
            counter: Counter::new(partition, extent, begun),
            replayer: Replayer::going_on(controller, policy),
            decisions: Folder::new(&decisions, &part),
            kpis: Folder::new(&kpis, &part),
            alerts: Folder::new(&alerts, &part),
        }
    }

    /// Replays the next record.
    ///
    /// # Errors
    /// Where a table cannot be written.
    pub fn apply(&mut self, at: JournalPosition, record: JournalRecord) -> io::Result<()> {
        self.counter.read(at.offset, at.timestamp_ms, record.deltas.len(), record.facts.len(), record.lag_records);
        let outputs = self.replayer.apply(at, record);
        let now = self.replayer.view().now();
        if !self.counter.counts(at.offset, now) {
            return Ok(());
        }
        self.counter.decided(now, &outputs, &self.replayer);
        outputs.adjustments.iter().chain(&outputs.proposals).try_for_each(|row| self.decisions.push(row))?;
        outputs.kpis.iter().try_for_each(|row| self.kpis.push(row))?;
        outputs.alerts.iter().try_for_each(|row| self.alerts.push(row))
    }

    /// Takes the record that closes the last windows, after which there is none: rows come out, and nothing is decided.
    ///
    /// # Errors
    /// Where a table cannot be written.
    pub fn close(&mut self, at: JournalPosition, record: &JournalRecord) -> io::Result<()> {
        self.counter.ends(&self.replayer);
        let outputs = self.replayer.close(at, record);
        self.counter.closed(&outputs);
        outputs.kpis.iter().try_for_each(|row| self.kpis.push(row))
    }

    /// Closes the files and gives the figures.
    ///
    /// # Errors
    /// Where a table cannot be written.
    pub fn finish(self) -> io::Result<Figures> {
        self.decisions.finish()?;
        self.kpis.finish()?;
        self.alerts.finish()?;
        Ok(self.counter.finish(&self.replayer))
    }
}

/// A partition of which figures alone are wanted, and those of an extent: for a page without tables beside it.
pub struct Telling {
    replayer: Replayer,
    counter: Counter,
    extent: Extent,
}

impl Telling {
    /// Before the partition's first record.
    pub fn new(setup: Setup, extent: &Extent) -> Self {
        let partition = setup.partition;
        Self::going_on(partition, Controller::new(setup), Begun::Whole, extent)
    }

    /// The same from a partition's state on.
    pub fn going_on(partition: i32, controller: Controller, begun: Begun, extent: &Extent) -> Self {
        let counter = Counter::new(partition, extent.clone(), begun);
        Self { counter, replayer: Replayer::going_on(controller, None), extent: extent.clone() }
    }

    /// Before the first record that is left of a partition whose beginning is gone, `since` its timestamp: windows that
    /// began earlier are not told, since a part of them is all that is known. `before` was decided at records that are gone.
    pub fn from_what_is_left(setup: Setup, extent: &Extent, since: Millis, before: &[LoggedDecision]) -> Self {
        let extent = Extent { from: Some(extent.from.map_or(since, |from| from.max(since))), ..extent.clone() };
        let counter = Counter::new(setup.partition, extent.clone(), Begun::Cold);
        Self { counter, replayer: Replayer::from_what_is_left(setup, before), extent }
    }

    /// Takes the next record with what was committed at it, where nothing can be decided again.
    pub fn follow(&mut self, at: JournalPosition, record: &JournalRecord, decided: &[LoggedDecision]) {
        self.counter.read(at.offset, at.timestamp_ms, record.deltas.len(), record.facts.len(), record.lag_records);
        let outputs = self.replayer.follow(at, record, decided);
        self.count(at, &outputs);
    }

    /// Replays the next record; those after the extent count for what they restate.
    pub fn apply(&mut self, at: JournalPosition, record: JournalRecord) {
        self.counter.read(at.offset, at.timestamp_ms, record.deltas.len(), record.facts.len(), record.lag_records);
        let outputs = self.replayer.apply(at, record);
        self.count(at, &outputs);
    }

    fn count(&mut self, at: JournalPosition, outputs: &Outputs) {
        let now = self.replayer.view().now();
        if self.counter.counts(at.offset, now) {
            self.counter.decided(now, outputs, &self.replayer);
        } else {
            self.counter.closed(outputs);
        }
    }

    /// Accounts that are known by now, told of or not.
    pub fn accounts(&self) -> BTreeSet<String> {
        self.replayer.view().campaigns().map(|campaign| campaign.account_id).collect()
    }

    /// The figures of the extent.
    pub fn finish(self) -> Figures {
        let mut figures = self.counter.finish(&self.replayer);
        self.extent.cut(&mut figures);
        figures
    }
}

/// Leaves a file without rows for each table that got none.
///
/// # Errors
/// Where it cannot be written.
pub fn complete(out: &Path) -> io::Result<()> {
    let [decisions, kpis, alerts] = TABLES.map(|table| out.join(table));
    if !decisions.exists() {
        Folder::<Adjustment>::leave_empty(&decisions)?;
    }
    if !kpis.exists() {
        Folder::<KpiRow>::leave_empty(&kpis)?;
    }
    if !alerts.exists() {
        Folder::<Alert>::leave_empty(&alerts)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Baseline, compare};
    use crate::figures::Figures;
    use crate::summary::{self, About};
    use crate::tables::scan;
    use crate::{GIVEN_VERSION, report};
    use model::fact::{CampaignSpec, Fact, PolicyVersion};
    use model::journal::{CopiedFact, Delta, NO_TOUCH, Range};
    use model::time::{HOUR_MS, MINUTE_MS};
    use parquet::record::RowAccessor;
    use std::fs;
    use std::path::PathBuf;

    const START: Millis = 1_767_571_200_000;
    const MINUTES: i64 = 20 * 60;

    /// A day of three campaigns in one partition, a record a minute; the first spends far too fast.
    fn journal(partition: i32) -> Vec<(JournalPosition, JournalRecord)> {
        let name = |campaign: usize| format!("campaign-{campaign}");
        let fact = |record: Fact| CopiedFact {
            topic: "ads.campaigns".into(),
            partition: 0,
            offset: 0,
            timestamp: START,
            record,
        };
        let spec = |campaign: usize| CampaignSpec {
            campaign_id: name(campaign),
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
        };
        let record = |minute: i64| {
            let now = START + minute * MINUTE_MS + 30_000;
            let deltas = (0..3).map(|campaign| Delta {
                account: 1,
                campaign: campaign + 3,
                currency: 2,
                minute: now.div_euclid(MINUTE_MS),
                touch_minute: NO_TOUCH,
                impressions: 50,
                clicks: 2,
                billable: 2,
                spend_micros: [60_000, 7_000, 5_000][campaign as usize],
                ..Delta::default()
            });
            let range = Range {
                topic: "ads.clicks".into(),
                from: minute,
                to: minute + 1,
                watermark: now,
                epoch: minute,
                ..Range::default()
            };
            let mut facts: Vec<CopiedFact> = Vec::new();
            if minute == 0 {
                facts.extend((0..3).map(|campaign| fact(Fact::CampaignSpec(Box::new(spec(campaign))))));
                let policy = PolicyVersion { name: "default".into(), version: 3, ..PolicyVersion::default() };
                facts.push(fact(Fact::PolicyVersion(Box::new(policy))));
            }
            let dictionary = ["".to_owned(), format!("account-{partition}"), "EUR".into()];
            let record = JournalRecord {
                epoch: minute,
                parts: 1,
                clock: now,
                ranges: vec![range],
                dictionary: dictionary.into_iter().chain((0..3).map(name)).collect(),
                deltas: deltas.collect(),
                facts,
                ..JournalRecord::default()
            };
            (JournalPosition { offset: minute, timestamp_ms: now }, record)
        };
        (0..MINUTES).map(record).collect()
    }

    fn run(name: &str, policy: Option<&str>, from: Option<Millis>) -> (PathBuf, Figures) {
        let folder = std::env::temp_dir().join(format!("paceline-part-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let mut figures = Figures::default();
        for partition in 0..2 {
            let setup = Setup { partition, build: "test".into(), input_partitions: 1, ..Setup::default() };
            let mut part = Part::new(&folder, setup, policy, from);
            journal(partition).into_iter().try_for_each(|(at, record)| part.apply(at, record)).unwrap();
            figures.take(part.finish().unwrap());
        }
        complete(&folder).unwrap();
        (folder, figures)
    }

    fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn a_run_tells_what_was_spent_and_commanded_and_twice_gives_the_same_bytes() {
        let (first, figures) = run("first", None, None);
        let (second, again) = run("second", None, None);
        assert_eq!(files(&first), files(&second));
        let about = About::default();
        let document = summary::document(&figures, &about, None);
        assert_eq!(document, summary::document(&again, &about, None));
        assert_eq!(report::html(&figures, &about, None), report::html(&again, &about, None));
        assert_eq!(document["totals"][0]["spend_micros"], 2 * MINUTES * 72_000, "{document:#}");
        assert_eq!(document["policy"]["records_by_version"]["3"], 2 * MINUTES);
        let issued: u64 = summary::words(&figures, |campaign| &campaign.kinds).values().sum();
        assert!(issued > 0, "the campaign that spends too fast is cut");
        let mut rows = 0;
        scan(&first.join(TABLES[0]), &mut |row| rows += u64::from(row.get_string(4).unwrap() == "issued")).unwrap();
        assert_eq!(rows, issued);
        let mut hours = 0;
        scan(&first.join(TABLES[1]), &mut |row| hours += u32::from(row.get_string(2).unwrap() == "hour")).unwrap();
        assert!(hours >= 3 * 2 * 19, "{hours} rows of hours");
        [first, second].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }

    #[test]
    fn another_policy_is_compared_with_honest_bounds() {
        let (folder, recorded) = run("recorded", None, None);
        let about = About::default();
        let text = summary::document(&recorded, &about, None).to_string();
        fs::write(folder.join("summary.json"), text).unwrap();
        let baseline = Baseline::read(&folder).unwrap();
        assert_eq!(baseline.mismatch(&recorded, &about), None);
        let same = compare(&recorded, &baseline);
        assert!(same.is_identified && same.campaigns.values().all(|change| change.is_same()), "{same:?}");

        let policy = "[defaults.guard]\nbid_step_down = 0.05\n";
        let (other_folder, other) = run("other", Some(policy), None);
        assert!(other.policy_versions.keys().eq([GIVEN_VERSION].iter()));
        let other_about = About { policy_sha256: Some("x".into()), ..About::default() };
        let comparison = compare(&other, &baseline);
        let total = &comparison.totals()["EUR"];
        assert_eq!(total.recorded_micros(), 2 * MINUTES * 72_000, "what was spent stays what was recorded");
        assert!(total.least_micros() <= total.recorded_micros());
        assert!(total.most_micros().is_none_or(|most| most <= total.recorded_micros()));
        let page = report::html(&other, &other_about, Some(&comparison));
        assert!(page.contains("not identified") && !page.contains("<script") && !page.contains("src="));
        let wrong = About { from: Some(1), ..other_about };
        assert!(baseline.mismatch(&other, &wrong).is_some(), "another window is another run");
        [folder, other_folder].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }

    #[test]
    fn what_came_before_the_window_is_replayed_but_not_told() {
        let (folder, all) = run("all", None, None);
        let from = START + 10 * HOUR_MS;
        let (late_folder, late) = run("late", None, Some(from));
        let commands = |figures: &Figures, from: Millis| {
            let steps = figures.campaigns.values().flat_map(|campaign| &campaign.steps);
            steps.filter(|step| step.at >= from).cloned().collect::<Vec<_>>()
        };
        assert_eq!(commands(&late, 0), commands(&all, from), "the state is that of the whole journal");
        assert_eq!(late.range().unwrap().0, from + 30_000);
        [folder, late_folder].iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    }
    #[test]
    fn a_page_tells_of_its_stretch_and_its_account_to_the_hour() {
        let told = |extent: &Extent| {
            let mut figures = Figures::default();
            for partition in 0..2 {
                let setup = Setup { partition, build: "test".into(), input_partitions: 1, ..Setup::default() };
                let mut telling = Telling::new(setup, extent);
                journal(partition).into_iter().for_each(|(at, record)| telling.apply(at, record));
                figures.take(telling.finish());
            }
            figures
        };
        let spent = |figures: &Figures| summary::totals(figures).get("EUR").map_or(0, |sums| sums.spend_micros);
        let all = told(&Extent::default());
        assert_eq!(spent(&all), 2 * MINUTES * 72_000);
        let (from, to) = (START + 3 * HOUR_MS, START + 7 * HOUR_MS);
        let extent = Extent { from: Some(from), to: Some(to), ..Extent::default() };
        let part = told(&extent);
        assert_eq!(spent(&part), 2 * 4 * 60 * 72_000, "four hours of it");
        let steps = |figures: &Figures| -> Vec<Millis> {
            figures.campaigns.values().flat_map(|campaign| &campaign.steps).map(|step| step.at).collect()
        };
        let expected: Vec<Millis> = steps(&all).into_iter().filter(|at| (from..to).contains(at)).collect();
        assert!(expected.len() < steps(&all).len(), "some commands lie outside");
        assert_eq!(steps(&part), expected);
        let accounts = ["account-1".to_owned()].into();
        let one = told(&Extent { accounts, ..Extent::default() });
        assert_eq!(spent(&one), MINUTES * 72_000, "half of it");
        let about = About { is_report: true, accounts: vec!["account-1".into()], ..About::default() };
        let page = report::html(&one, &about, None);
        assert!(page.contains("account-1") && !page.contains("account-0"), "nothing of another client is on the page");
    }

    #[test]
    fn a_journal_without_its_beginning_is_told_by_what_was_committed_since() {
        let setup = || Setup { partition: 0, build: "test".into(), input_partitions: 1, ..Setup::default() };
        let (records, first) = (journal(0), 7 * 60 + 20);
        let mut whole = Telling::new(setup(), &Extent { from: Some(START + 8 * HOUR_MS), ..Extent::default() });
        let (mut replayer, mut log) = (Replayer::new(setup(), None), Vec::new());
        for (at, record) in &records {
            log.push(replayer.apply(*at, record.clone()).decisions());
            whole.apply(*at, record.clone());
        }
        let before = log[..first].concat();
        assert!(!before.is_empty() && !log[first..].concat().is_empty());
        let since = records[first].0.timestamp_ms;
        let mut left = Telling::from_what_is_left(setup(), &Extent::default(), since, &before);
        for (at, record) in &records[first..] {
            let mut record = record.clone();
            if at.offset as usize == first + 30 {
                // Specifications are copied into the journal daily.
                record.facts.clone_from(&records[0].1.facts);
            }
            left.follow(*at, &record, &log[at.offset as usize]);
        }
        let (whole, left) = (whole.finish(), left.finish());
        let hours = |figures: &Figures| -> Vec<i64> {
            let hours = figures.campaigns.values().flat_map(|campaign| campaign.hours.values());
            hours.map(|hour| hour.spend_micros).collect()
        };
        assert_eq!(hours(&left), hours(&whole), "each hour that is whole");
        let steps = |figures: &Figures, from: Millis| {
            let steps = figures.campaigns.values().flat_map(|campaign| &campaign.steps);
            steps.filter(|step| step.at >= from).cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            steps(&left, START + 8 * HOUR_MS),
            steps(&whole, 0),
            "what was committed, not what would be decided now"
        );
    }

    #[test]
    fn a_page_of_a_month_and_more_campaigns_than_it_lists_stays_below_two_megabytes() {
        let (folder, figures) = run("page", None, None);
        let one = figures.campaigns.values().next().cloned().unwrap();
        let mut many = figures;
        for number in 0..1_500_i64 {
            let mut campaign = one.clone();
            campaign.spec.name = format!("{number:04} {}", "a long name of a campaign ".repeat(3));
            let (day, hour) = (one.days.values().next().unwrap(), one.hours.values().next().unwrap());
            campaign.days = (0..31).map(|at| (START + at * 24 * HOUR_MS, day.clone())).collect();
            campaign.hours = (0..31 * 24).map(|at| (START + at * HOUR_MS, hour.clone())).collect();
            many.campaigns.insert(("account-of-many".into(), format!("campaign-{number}")), campaign);
        }
        let page = report::html(&many, &About { is_report: true, ..About::default() }, None);
        assert!((500_000..2_000_000).contains(&page.len()), "{} bytes", page.len());
        fs::remove_dir_all(&folder).unwrap();
    }
}
