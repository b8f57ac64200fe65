//! Another run, read from its folder to be compared with.

use crate::figures::{Figures, Lever, Name, Step};
use crate::part::TABLES;
use crate::summary::About;
use crate::tables::scan;
use parquet::record::{Row, RowAccessor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Another run as it lies in its folder.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    /// Its summary.
    pub(crate) summary: Value,
    /// Issued commands by campaign.
    pub(crate) steps: BTreeMap<Name, Vec<Step>>,
}

impl Baseline {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// Where a file is missing or is not of a run.
    pub fn read(folder: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(folder.join("summary.json"))?;
        let summary: Value = serde_json::from_slice(&bytes)?;
        if summary["format"] != crate::summary::FORMAT {
            return Err(io::Error::other("summary.json is not of this format version"));
        }
        let mut steps: BTreeMap<Name, Vec<Step>> = BTreeMap::new();
        scan(&folder.join(TABLES[0]), &mut |row| {
            if let Some((name, step)) = issued(row) {
                steps.entry(name).or_default().push(step);
            }
        })?;
        Ok(Self { summary, steps })
    }

    /// Why this run cannot be compared with it, where it cannot.
    pub fn mismatch(&self, figures: &Figures, about: &About) -> Option<String> {
        let own = crate::summary::document(figures, about, None);
        for (what, pointer) in [("journal", "/journal"), ("window", "/window")] {
            if self.summary.pointer(pointer) != own.pointer(pointer) {
                return Some(format!("the {what} of the two runs differs"));
            }
        }
        None
    }

    pub(crate) fn policy(&self) -> String {
        match self.summary["policy"]["is_recorded"].as_bool() {
            Some(true) => "the recorded policy".into(),
            _ => self.summary["policy"]["file"].as_str().unwrap_or("another policy").to_owned(),
        }
    }

    /// Sums of one object of counts of a campaign.
    pub(crate) fn count(&self, name: &Name, field: &str) -> u64 {
        let campaigns = self.summary["campaigns"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Both lists have the order of names.
        let found = campaigns.binary_search_by(|known| {
            let of = |field: &str| known[field].as_str().unwrap_or_default();
            (of("account_id"), of("campaign_id")).cmp(&(&name.0, &name.1))
        });
        let words = found.ok().and_then(|at| campaigns[at][field].as_object());
        words.map_or(0, |words| words.values().filter_map(Value::as_u64).sum())
    }
}

fn issued(row: &Row) -> Option<(Name, Step)> {
    if row.get_string(STATE).ok()? != "issued" {
        return None;
    }
    let value = row.get_decimal(VALUE).ok().and_then(|value| <[u8; 8]>::try_from(value.data()).ok());
    let step = Step {
        at: row.get_timestamp_micros(AT).ok()? / 1_000,
        lever: Lever::of(row.get_string(KIND).ok()?),
        value_micros: value.map(i64::from_be_bytes),
        reason: row.get_string(REASON).ok()?.clone(),
    };
    Some(((row.get_string(ACCOUNT).ok()?.clone(), row.get_string(CAMPAIGN).ok()?.clone()), step))
}

/// Places of columns in the table of decisions.
const AT: usize = 0;
const ACCOUNT: usize = 1;
const CAMPAIGN: usize = 2;
const STATE: usize = 4;
const KIND: usize = 5;
const REASON: usize = 6;
const VALUE: usize = 8;
