//! KPI rows on `ads.kpis`, as a subscriber keeps them: the last revision of each window.

use crate::avro::{Fields, schemas};
use crate::deployment::Deployment;
use crate::logs::{Entry, Tail};
use crate::truth::{self, Cell, Cells};
use crate::wait;
use apache_avro::types::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Campaign, start of the window, granularity, basis.
pub type RowKey = (String, i64, String, String);

/// What a row says, as far as sums go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named as in the schema.
pub struct Row {
    pub revision: i64,
    pub cell: Cell,
    pub gross_spend_micros: i64,
    pub billable: i64,
    /// Model, micro-conversions, value.
    pub attributed: Vec<(String, i64, i64)>,
}

/// The last revisions.
#[derive(Clone, Debug, Default)]
pub struct Kpis {
    /// By window.
    pub rows: BTreeMap<RowKey, Row>,
    /// Records read.
    pub records: u64,
    /// Rows that were replaced.
    pub replaced: u64,
    /// What a subscriber would complain about: a revision that was there before.
    pub complaints: Vec<String>,
}

impl Kpis {
    /// Takes a record of the topic.
    pub fn take(&mut self, entry: &Entry) {
        let (_, value) = schemas().decode(entry.bytes()).expect("a KPI row decodes");
        let key = (
            value.text("campaign_id").to_owned(),
            value.long("window_start"),
            value.text("granularity").to_owned(),
            value.text("basis").to_owned(),
        );
        let row = Row::of(&value);
        self.records += 1;
        match self.rows.get(&key) {
            Some(before) if before.revision >= row.revision => {
                self.complaints.push(format!(
                    "row {key:?}: revision {} at {}/{} after {}",
                    row.revision, entry.partition, entry.offset, before.revision
                ));
            }
            before => {
                self.replaced += u64::from(before.is_some());
                self.rows.insert(key, row);
            }
        }
    }

    /// Sums of a granularity at the events' own time.
    pub fn cells(&self, granularity: &str) -> Cells {
        let own = self.rows.iter().filter(|((.., kind, basis), _)| kind == granularity && basis == "conversion_time");
        own.map(|((campaign, start, ..), row)| ((campaign.clone(), *start), row.cell)).collect()
    }
}

impl Row {
    fn of(value: &Value) -> Row {
        let credit = |credit: &Value| {
            (credit.text("model").to_owned(), credit.long("conversions_micro"), credit.long("value_micros"))
        };
        Row {
            revision: value.long("revision"),
            cell: Cell {
                impressions: value.long("impressions"),
                clicks: value.long("clicks"),
                spend_micros: value.long("spend_micros"),
                conversions: value.long("conversions"),
                value_micros: value.long("value_micros"),
            },
            gross_spend_micros: value.long("gross_spend_micros"),
            billable: value.long("billable"),
            attributed: value.list("attributed").iter().map(credit).collect(),
        }
    }
}

/// All rows of a deployment as of now.
pub fn read(deployment: &Deployment) -> Kpis {
    let mut kpis = Kpis::default();
    Tail::open(&deployment.brokers, &[deployment.topic("kpis")]).drain(|entry| kpis.take(&entry));
    kpis
}

/// Waits until rows fulfil a condition, which says what is still wrong.
///
/// # Panics
/// After the limit, with the last complaint; at once where a subscriber would complain.
pub fn wait_for(
    deployment: &Deployment,
    what: &str,
    limit: Duration,
    mut condition: impl FnMut(&Kpis) -> Result<(), String>,
) -> Kpis {
    let mut kpis = Kpis::default();
    let mut tail = Tail::open(&deployment.brokers, &[deployment.topic("kpis")]);
    let mut complaint = Err("nothing was read yet".to_owned());
    wait::until_ok(what, limit, || {
        if tail.poll(Duration::from_millis(200), |entry| kpis.take(&entry)) > 0 || kpis.records == 0 {
            complaint = condition(&kpis);
        }
        complaint.clone()
    });
    assert!(kpis.complaints.is_empty(), "{} complaints, first: {}", kpis.complaints.len(), kpis.complaints[0]);
    kpis
}

/// Waits until the minutes say exactly this.
///
/// # Panics
/// After the limit, with the differences.
pub fn wait_for_minutes(deployment: &Deployment, expected: &Cells, limit: Duration) -> Kpis {
    wait_for(deployment, "minute rows are exact", limit, |kpis| truth::compare(&kpis.cells("minute"), expected))
}
