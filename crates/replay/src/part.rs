//! One journal partition's share of a run: replayed, counted and written to its own files.
//!
//! What always holds: its files and figures depend on its journal alone, so a run's bytes do not depend on how many
//! partitions are replayed at once. It owns no producer: there is no way from here to a topic.

use crate::figures::{Counter, Figures};
use crate::replayer::Replayer;
use crate::tables::Folder;
use controller::{JournalPosition, Setup};
use model::journal::JournalRecord;
use model::output::{Adjustment, Alert, KpiRow};
use model::time::Millis;
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
        let part = format!("part-{:05}", setup.partition);
        let [decisions, kpis, alerts] = TABLES.map(|table| out.join(table));
        Self {
            counter: Counter::new(setup.partition, from),
            replayer: Replayer::new(setup, policy),
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
        if !self.counter.counts(now) {
            return Ok(());
        }
        self.counter.decided(now, &outputs, &self.replayer);
        outputs.adjustments.iter().chain(&outputs.proposals).try_for_each(|row| self.decisions.push(row))?;
        outputs.kpis.iter().try_for_each(|row| self.kpis.push(row))?;
        outputs.alerts.iter().try_for_each(|row| self.alerts.push(row))
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
