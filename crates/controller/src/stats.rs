//! What platforms report per window: revisions replaced, repetitions dropped, sums spread over hours and days.
//!
//! What always holds: what is added to the panes over all revisions of a window equals its last revision; the parts of
//! a window that spans several hours sum to the whole. Reports of one level are counted: the first level that a
//! campaign's reports have (campaign, ad group, creative); reports of another level or with dimensions are break-downs
//! of the same money and are not added. Missing here: restatements of windows that are older than what is kept.

use crate::seen::fingerprint;
use model::fact::StatsReport;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Impressions, clicks, cost, conversions, value.
pub type Reported = [i64; 5];

/// The reports of one campaign.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// End of the last window reported: the watermark of a campaign whose spend comes from reports.
    pub reported_until: Option<Millis>,
    /// Length of the last window reported.
    pub period: Millis,
    level: Option<Level>,
    windows: BTreeMap<(Millis, Millis, u64), Revision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Level {
    Campaign,
    AdGroup,
    Creative,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Revision {
    report: u64,
    revision: i64,
    values: Reported,
}

/// What becomes of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To be added over the window.
    Add(Reported),
    /// Sent before, or an older revision.
    Repeated,
    /// The same money in more detail.
    Breakdown,
    /// No window, or one so old that its earlier revisions are forgotten.
    Refused,
}

/// Windows shorter than a day are replaced within the hour panes' lateness and a little more.
const SHORT_WINDOWS_KEPT_MS: Millis = 72 * HOUR_MS;
/// Days and longer ones within the day panes'.
const LONG_WINDOWS_KEPT_MS: Millis = 35 * DAY_MS;
/// A window longer than a month is a typing mistake.
const WINDOW_MS_MAX: Millis = 32 * DAY_MS;

impl Stats {
    /// Takes a snapshot of a window: what it adds to the earlier revision.
    pub fn snapshot(&mut self, report: &StatsReport) -> Outcome {
        if let Some(outcome) = self.refuse(report) {
            return outcome;
        }
        let kept =
            if report.window_end - report.window_start < DAY_MS { SHORT_WINDOWS_KEPT_MS } else { LONG_WINDOWS_KEPT_MS };
        let forgotten = self.reported_until.is_some_and(|until| report.window_end <= until.saturating_sub(kept));
        let detail =
            [Some(&report.platform), report.ad_group_id.as_ref(), report.creative_id.as_ref(), Some(&report.basis)];
        let detail: Vec<&str> = detail.into_iter().map(|part| part.map_or("", String::as_str)).collect();
        let key = (report.window_start, report.window_end, fingerprint(&detail.join("\u{1f}")));
        let id = fingerprint(&report.report_id);
        let values = reported(report);
        let before = match self.windows.get(&key) {
            Some(known) if known.revision > report.revision => return Outcome::Repeated,
            Some(known) if known.revision == report.revision && known.report == id => return Outcome::Repeated,
            Some(known) => known.values,
            None if forgotten => return Outcome::Refused,
            None => Reported::default(),
        };
        self.windows.insert(key, Revision { report: id, revision: report.revision, values });
        self.note_window(report);
        Outcome::Add(std::array::from_fn(|measure| values[measure].saturating_sub(before[measure])))
    }

    /// Takes a report that adds; the caller has seen to it that it comes for the first time.
    pub fn delta(&mut self, report: &StatsReport) -> Outcome {
        if let Some(outcome) = self.refuse(report) {
            return outcome;
        }
        self.note_window(report);
        Outcome::Add(reported(report))
    }

    fn refuse(&mut self, report: &StatsReport) -> Option<Outcome> {
        let length = report.window_end.checked_sub(report.window_start).unwrap_or(-1);
        let start_max = crate::belief::MINUTE_MAX * MINUTE_MS;
        if !(MINUTE_MS..=WINDOW_MS_MAX).contains(&length) || !(0..=start_max).contains(&report.window_start) {
            return Some(Outcome::Refused);
        }
        let level = match (&report.creative_id, &report.ad_group_id) {
            (Some(_), _) => Level::Creative,
            (None, Some(_)) => Level::AdGroup,
            (None, None) => Level::Campaign,
        };
        let counted = report.dimensions.is_empty() && *self.level.get_or_insert(level) == level;
        (!counted).then_some(Outcome::Breakdown)
    }

    fn note_window(&mut self, report: &StatsReport) {
        self.period = report.window_end - report.window_start;
        let until = self.reported_until.map_or(report.window_end, |until| until.max(report.window_end));
        self.reported_until = Some(until);
        self.windows.retain(|(start, end, _), _| {
            let kept = if end - start < DAY_MS { SHORT_WINDOWS_KEPT_MS } else { LONG_WINDOWS_KEPT_MS };
            *end > until.saturating_sub(kept)
        });
    }
}

/// Spreads a window's sums evenly over the pieces into which hours and days cut it; the pieces sum to the whole.
///
/// `cut` gives the end of the piece that begins at an instant.
pub fn spread(
    report: &StatsReport,
    values: &Reported,
    mut cut: impl FnMut(Millis) -> Millis,
) -> Vec<(Millis, Reported)> {
    let (start, end) = (report.window_start, report.window_end);
    let length = i128::from(end - start);
    let (mut pieces, mut at, mut given) = (Vec::new(), start, Reported::default());
    while at < end {
        let next = cut(at).clamp(at + 1, end);
        let due = values.map(|value| (i128::from(value) * i128::from(next - start) / length) as i64);
        pieces.push((at, std::array::from_fn(|measure| due[measure] - given[measure])));
        (at, given) = (next, due);
    }
    pieces
}

fn reported(report: &StatsReport) -> Reported {
    [report.impressions, report.clicks, report.cost_micros, report.conversions, report.value_micros]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(id: &str, revision: i64, hour: i64, cost_micros: i64) -> StatsReport {
        StatsReport {
            report_id: id.into(),
            revision,
            window_start: hour * HOUR_MS,
            window_end: (hour + 1) * HOUR_MS,
            cost_micros,
            semantics: "snapshot".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_snapshot_replaces_the_earlier_revision_and_a_repetition_adds_nothing() {
        let mut stats = Stats::default();
        assert_eq!(stats.snapshot(&report("a", 1, 5, 100)), Outcome::Add([0, 0, 100, 0, 0]));
        assert_eq!(stats.snapshot(&report("a", 1, 5, 100)), Outcome::Repeated);
        assert_eq!(stats.snapshot(&report("a", 2, 5, 130)), Outcome::Add([0, 0, 30, 0, 0]));
        assert_eq!(stats.snapshot(&report("a", 1, 5, 100)), Outcome::Repeated, "an older revision");
        assert_eq!(stats.snapshot(&report("b", 2, 5, 110)), Outcome::Add([0, 0, -20, 0, 0]), "restated downwards");
        assert_eq!(stats.reported_until, Some(6 * HOUR_MS));
    }

    #[test]
    fn break_downs_of_the_same_money_are_not_added() {
        let mut stats = Stats::default();
        stats.snapshot(&report("a", 1, 5, 100));
        let group = StatsReport { ad_group_id: Some("g".into()), ..report("b", 1, 5, 60) };
        assert_eq!(stats.snapshot(&group), Outcome::Breakdown);
        let device = StatsReport { dimensions: [("device".into(), "tv".into())].into(), ..report("c", 1, 5, 60) };
        assert_eq!(stats.snapshot(&device), Outcome::Breakdown);
    }

    #[test]
    fn windows_of_nonsense_are_refused() {
        let mut stats = Stats::default();
        let backwards = StatsReport { window_end: 0, ..report("a", 1, 5, 100) };
        assert_eq!(stats.snapshot(&backwards), Outcome::Refused);
        let endless = StatsReport { window_start: i64::MIN, window_end: i64::MAX, ..report("a", 1, 5, 100) };
        assert_eq!(stats.delta(&endless), Outcome::Refused);
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_window_sum_to_the_whole(
            start in 0..100_000_i64, length in 1..10_000_i64, values in prop::array::uniform5(any::<i64>()),
        ) {
            let report = StatsReport { window_start: start, window_end: start + length, ..Default::default() };
            let pieces = spread(&report, &values, |at| at + 977);
            for measure in 0..5 {
                let sum: i128 = pieces.iter().map(|(_, piece)| i128::from(piece[measure])).sum();
                prop_assert_eq!(sum, i128::from(values[measure]));
            }
        }
    }
}
