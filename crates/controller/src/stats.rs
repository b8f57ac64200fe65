//! What platforms report per window: revisions replaced, repetitions dropped, sums spread over hours and days.
//!
//! What always holds: over all revisions, whatever their order, the panes hold what the last ones say, in each hour and to
//! the micro: a window's earlier shares are taken out as they were put in. Money is never put into the future: a window
//! that is still open is spread over the part that has passed. Reports of one level are counted: the first level that a
//! campaign's reports have (campaign, ad group, creative); reports of another level, with dimensions, of a window that
//! overlaps a known one, or of the same window on another basis are break-downs of the same money and are not added.
//!
//! Missing here: restatements of windows older than what is kept (corrections do that). At most [`KEPT_MAX`] windows and as
//! many deltas are remembered, a window for about 190 bytes and a delta for about 110: 32 kB for a week of hours, 3 MB at the
//! very most.

use crate::seen::{Seen, fingerprint};
use model::fact::StatsReport;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Impressions, clicks, cost, conversions, value.
pub type Reported = [i64; 5];

/// The reports of one campaign.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// End of the last window reported, or when it was reported if the window was still open: the watermark of a campaign
    /// whose spend comes from reports.
    pub reported_until: Option<Millis>,
    /// Length of the last window reported.
    pub period: Millis,
    level: Option<Level>,
    /// By start, end and source (platform, ad group, creative). Snapshots of one source never overlap.
    windows: BTreeMap<Key, Window>,
    /// By start, end and report id.
    deltas: BTreeMap<Key, Revision>,
    /// End of the newest window that was dropped for want of room.
    dropped_until: Option<Millis>,
}

type Key = (Millis, Millis, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Level {
    Campaign,
    AdGroup,
    Creative,
}

/// What a window holds: its last snapshot and the deltas since.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Window {
    told: Told,
    /// `None` while there were deltas only.
    snapshot: Option<Snapshot>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Snapshot {
    report: u64,
    revision: i64,
    basis: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Revision {
    revision: i64,
    values: Reported,
}

/// Sums of a window, and the instant up to which they are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The window's start.
    pub start: Millis,
    /// Its end, or the time of the report where that came earlier.
    pub until: Millis,
    /// The sums.
    pub values: Reported,
    /// Whether they are in the campaign's spend: as it was when the window was told first.
    pub counted: bool,
}

/// When a report is heard, and whether reports are the authority of the campaign's spend.
#[derive(Clone, Copy, Debug)]
pub struct Hearing {
    /// Time of the controller.
    pub now: Millis,
    /// Otherwise they are compared.
    pub counted: bool,
}

/// What becomes of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The window now holds other sums than before.
    Change {
        /// To be taken out of the panes.
        before: Option<Told>,
        /// To be put into them.
        after: Told,
    },
    /// Sent before, or an older revision.
    Repeated,
    /// The same money in more detail or in other windows.
    Breakdown,
    /// No window, one ahead of the clock, or one so old that its earlier revisions are forgotten.
    Refused,
}

/// Windows shorter than a day can be restated for a week: most of what platforms restate, they restate within three days.
const SHORT_WINDOWS_KEPT_MS: Millis = 7 * DAY_MS;
/// Days and longer ones as long as the day panes live.
const LONG_WINDOWS_KEPT_MS: Millis = 35 * DAY_MS;
/// A window longer than a month is a typing mistake.
const WINDOW_MS_MAX: Millis = 32 * DAY_MS;
/// A window that begins later than this after now is a mistake of the time zone.
const AHEAD_MS_MAX: Millis = HOUR_MS;
/// Hours of a week for sixty ad groups.
pub const KEPT_MAX: usize = 10_000;

impl Stats {
    /// Takes a snapshot of a window: it replaces all that was told of the window before.
    pub fn snapshot(&mut self, report: &StatsReport, hearing: Hearing) -> Outcome {
        let now = hearing.now;
        if let Some(outcome) = self.refuse(report, now) {
            return outcome;
        }
        let key = window_key(report);
        let snapshot = Snapshot {
            report: fingerprint(&report.report_id),
            revision: report.revision,
            basis: fingerprint(&report.basis),
        };
        match self.windows.get(&key).map(|window| window.snapshot.as_ref()) {
            Some(Some(known)) if known.revision > snapshot.revision => return Outcome::Repeated,
            Some(Some(known)) if known.revision == snapshot.revision => match known {
                known if known.report == snapshot.report => return Outcome::Repeated,
                known if known.basis != snapshot.basis => return Outcome::Breakdown,
                _ => {}
            },
            Some(_) => {}
            None if self.is_forgotten(report) => return Outcome::Refused,
            None if self.overlaps(&key) => return Outcome::Breakdown,
            None => {}
        }
        self.note_window(report, now);
        let before = self.windows.get(&key).map(|window| window.told);
        let after = told(report, hearing, reported(report), before);
        self.windows.insert(key, Window { told: after, snapshot: Some(snapshot) });
        self.bound();
        Outcome::Change { before, after }
    }

    /// Takes a report that adds to its window; a higher revision of it replaces what it added before.
    pub fn delta(&mut self, report: &StatsReport, hearing: Hearing, seen: &mut Seen) -> Outcome {
        let now = hearing.now;
        if let Some(outcome) = self.refuse(report, now) {
            return outcome;
        }
        let key = (report.window_start, report.window_end, fingerprint(&report.report_id));
        let values = reported(report);
        let earlier = match self.deltas.get(&key) {
            Some(known) if known.revision >= report.revision => return Outcome::Repeated,
            Some(known) => known.values,
            None if !seen.insert(&report.report_id, now) => return Outcome::Refused,
            None => Reported::default(),
        };
        let window = window_key(report);
        if !self.windows.contains_key(&window) && self.is_forgotten(report) {
            // Only this part of the window is known: a later snapshot of it could not tell what to replace.
            return Outcome::Change { before: None, after: told(report, hearing, values, None) };
        }
        self.note_window(report, now);
        self.deltas.insert(key, Revision { revision: report.revision, values });
        let before = self.windows.get(&window).map(|window| window.told);
        let held = before.map_or(Reported::default(), |told| told.values);
        let sum = |at: usize| held[at].saturating_add(values[at].saturating_sub(earlier[at]));
        let after = told(report, hearing, std::array::from_fn(sum), before);
        self.windows.entry(window).or_insert(Window { told: after, snapshot: None }).told = after;
        self.bound();
        Outcome::Change { before, after }
    }

    /// Heap memory of what is remembered; a tree's nodes are two thirds full.
    pub fn held_bytes(&self) -> usize {
        let windows = self.windows.len() * size_of::<(Key, Window)>();
        (windows + self.deltas.len() * size_of::<(Key, Revision)>()) * 3 / 2
    }

    fn refuse(&mut self, report: &StatsReport, now: Millis) -> Option<Outcome> {
        let length = report.window_end.checked_sub(report.window_start).unwrap_or(-1);
        let start_max = (crate::belief::MINUTE_MAX * MINUTE_MS).min(now.saturating_add(AHEAD_MS_MAX));
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

    fn is_forgotten(&self, report: &StatsReport) -> bool {
        let until = self.reported_until.unwrap_or(Millis::MIN);
        let old = report.window_end <= until.saturating_sub(kept_ms(report.window_start, report.window_end));
        old || self.dropped_until.is_some_and(|dropped| report.window_end <= dropped)
    }

    /// Whether a snapshot of the same source, with other bounds, tells of a part of this window. Since those known do not
    /// overlap each other, the neighbours on either side are enough.
    fn overlaps(&self, (start, end, source): &Key) -> bool {
        let is_told = |(key, window): &(&Key, &Window)| key.2 == *source && window.snapshot.is_some();
        let before = self.windows.range((start - WINDOW_MS_MAX, Millis::MIN, 0)..(*start, Millis::MIN, 0));
        let after = self.windows.range((*start, Millis::MIN, 0)..(*end, Millis::MIN, 0));
        before.rev().find(is_told).is_some_and(|(key, _)| key.1 > *start)
            || after.into_iter().any(|entry| is_told(&entry))
    }

    fn note_window(&mut self, report: &StatsReport, now: Millis) {
        self.period = report.window_end - report.window_start;
        let until = report.window_end.min(now.max(report.window_start));
        if self.reported_until.is_some_and(|known| known >= until) {
            return;
        }
        self.reported_until = Some(until);
        let lives = |(start, end, _): &Key| *end > until.saturating_sub(kept_ms(*start, *end));
        self.windows.retain(|key, _| lives(key));
        self.deltas.retain(|key, _| lives(key));
    }

    /// The oldest go where there are too many.
    fn bound(&mut self) {
        if self.windows.len() > KEPT_MAX {
            let dropped = self.windows.pop_first().map(|((_, end, _), _)| end);
            self.dropped_until = self.dropped_until.max(dropped);
        }
        if self.deltas.len() > KEPT_MAX {
            self.deltas.pop_first();
        }
    }
}

impl Told {
    /// Spreads the sums evenly over the pieces into which hours and days cut the window; the pieces sum to the whole.
    ///
    /// `cut` gives the end of the piece that begins at an instant. A sixth sum follows the five: what cost money.
    pub fn spread(&self, mut cut: impl FnMut(Millis) -> Millis) -> Vec<(Millis, [i64; 6])> {
        let [impressions, clicks, cost, conversions, value] = self.values;
        let billable = if cost == 0 { 0 } else { clicks.max(i64::from(cost > 0)) };
        let values = [impressions, clicks, cost, conversions, value, billable];
        let length = i128::from(self.until) - i128::from(self.start);
        let (mut pieces, mut at, mut given) = (Vec::new(), self.start, [0; 6]);
        while at < self.until {
            let next = cut(at).clamp(at + 1, self.until);
            let due = values.map(|value| (i128::from(value) * i128::from(next - self.start) / length) as i64);
            pieces.push((at, std::array::from_fn(|measure| due[measure] - given[measure])));
            (at, given) = (next, due);
        }
        pieces
    }
}

/// A window that is still open was told up to now.
fn told(report: &StatsReport, hearing: Hearing, values: Reported, before: Option<Told>) -> Told {
    let until = hearing.now.clamp(report.window_start + MINUTE_MS, report.window_end);
    let counted = before.map_or(hearing.counted, |before| before.counted);
    Told { start: report.window_start, until, values, counted }
}

fn kept_ms(start: Millis, end: Millis) -> Millis {
    if end - start < DAY_MS { SHORT_WINDOWS_KEPT_MS } else { LONG_WINDOWS_KEPT_MS }
}

/// The basis is no part of it: clicks and conversions counted at another time are still the same money.
fn window_key(report: &StatsReport) -> Key {
    let source = [Some(&report.platform), report.ad_group_id.as_ref(), report.creative_id.as_ref()];
    let source: Vec<&str> = source.into_iter().map(|part| part.map_or("", String::as_str)).collect();
    (report.window_start, report.window_end, fingerprint(&source.join("\u{1f}")))
}

fn reported(report: &StatsReport) -> Reported {
    [report.impressions, report.clicks, report.cost_micros, report.conversions, report.value_micros]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Long after the windows of these stories.
    const LATER: Hearing = Hearing { now: 100 * HOUR_MS, counted: true };
    const TEN_DAYS: Hearing = Hearing { now: 10 * DAY_MS, counted: true };

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

    /// What a report changes the cost by.
    fn cost(outcome: &Outcome) -> i64 {
        let Outcome::Change { before, after } = outcome else { panic!("no change: {outcome:?}") };
        after.values[2] - before.map_or(0, |told| told.values[2])
    }

    #[test]
    fn a_snapshot_replaces_the_earlier_revision_and_a_repetition_adds_nothing() {
        let mut stats = Stats::default();
        assert_eq!(cost(&stats.snapshot(&report("a", 1, 5, 100), LATER)), 100);
        assert_eq!(stats.snapshot(&report("a", 1, 5, 100), LATER), Outcome::Repeated);
        assert_eq!(cost(&stats.snapshot(&report("a", 2, 5, 130), LATER)), 30);
        assert_eq!(stats.snapshot(&report("a", 1, 5, 100), LATER), Outcome::Repeated, "an older revision");
        assert_eq!(cost(&stats.snapshot(&report("b", 2, 5, 110), LATER)), -20, "restated downwards");
        assert_eq!(stats.reported_until, Some(6 * HOUR_MS));
    }

    #[test]
    fn a_delta_adds_once_and_its_later_revision_replaces_what_it_added() {
        let (mut stats, mut seen) = (Stats::default(), Seen::default());
        assert_eq!(cost(&stats.delta(&report("a", 1, 5, 100), LATER, &mut seen)), 100);
        assert_eq!(cost(&stats.delta(&report("b", 1, 5, 40), LATER, &mut seen)), 40);
        assert_eq!(cost(&stats.delta(&report("a", 3, 5, 70), LATER, &mut seen)), -30, "restated");
        assert_eq!(stats.delta(&report("a", 2, 5, 90), LATER, &mut seen), Outcome::Repeated, "an older revision");
        assert_eq!(stats.delta(&report("a", 3, 5, 70), LATER, &mut seen), Outcome::Repeated);
        assert_eq!(cost(&stats.delta(&report("c", 1, 5, -10), LATER, &mut seen)), -10, "clicks called invalid");
        assert_eq!(cost(&stats.snapshot(&report("s", 1, 5, 90), LATER)), -10, "a snapshot says it all: 90, not 100");
        assert_eq!(cost(&stats.delta(&report("d", 1, 5, 5), LATER, &mut seen)), 5, "and deltas add to it");
    }

    #[test]
    fn a_delta_whose_earlier_revision_is_forgotten_is_refused_and_not_added_twice() {
        let (mut stats, mut seen) = (Stats::default(), Seen::default());
        stats.delta(&report("a", 1, 5, 100), LATER, &mut seen);
        stats.delta(&report("z", 1, 5 + 8 * 24, 1), TEN_DAYS, &mut seen);
        assert_eq!((stats.windows.len(), stats.deltas.len()), (1, 1), "of the last week");
        assert_eq!(stats.delta(&report("a", 2, 5, 110), TEN_DAYS, &mut seen), Outcome::Refused);
        assert_eq!(cost(&stats.delta(&report("late", 1, 5, 7), TEN_DAYS, &mut seen)), 7, "the first of its kind");
        assert_eq!(stats.snapshot(&report("s", 9, 5, 110), TEN_DAYS), Outcome::Refused);
    }

    #[test]
    fn break_downs_of_the_same_money_are_not_added() {
        let mut stats = Stats::default();
        stats.snapshot(&report("a", 1, 5, 100), LATER);
        let group = StatsReport { ad_group_id: Some("g".into()), ..report("b", 1, 5, 60) };
        assert_eq!(stats.snapshot(&group, LATER), Outcome::Breakdown);
        let device = StatsReport { dimensions: [("device".into(), "tv".into())].into(), ..report("c", 1, 5, 60) };
        assert_eq!(stats.snapshot(&device, LATER), Outcome::Breakdown);
        let day = StatsReport { window_start: 0, window_end: DAY_MS, ..report("d", 1, 5, 100) };
        assert_eq!(stats.snapshot(&day, LATER), Outcome::Breakdown, "the hours of this day were told");
        let quarter = StatsReport { window_start: 5 * HOUR_MS + 15 * MINUTE_MS, ..report("e", 1, 5, 25) };
        assert_eq!(stats.snapshot(&quarter, LATER), Outcome::Breakdown);
        let basis = StatsReport { basis: "conversion_time".into(), ..report("f", 1, 5, 100) };
        assert_eq!(stats.snapshot(&basis, LATER), Outcome::Breakdown);
        assert_eq!(cost(&stats.snapshot(&report("g", 1, 6, 100), LATER)), 100, "the next hour is news");
    }

    #[test]
    fn windows_of_nonsense_are_refused() {
        let mut stats = Stats::default();
        let backwards = StatsReport { window_end: 0, ..report("a", 1, 5, 100) };
        assert_eq!(stats.snapshot(&backwards, LATER), Outcome::Refused);
        let endless = StatsReport { window_start: i64::MIN, window_end: i64::MAX, ..report("a", 1, 5, 100) };
        assert_eq!(stats.delta(&endless, LATER, &mut Seen::default()), Outcome::Refused);
        assert_eq!(stats.snapshot(&report("a", 1, 102, 100), LATER), Outcome::Refused, "ahead of the clock");
    }

    #[test]
    fn an_open_window_tells_of_the_time_that_has_passed() {
        let mut stats = Stats::default();
        let noon = 12 * HOUR_MS;
        let day = StatsReport { window_start: 0, window_end: DAY_MS, ..report("a", 1, 0, 1_200) };
        let Outcome::Change { after, .. } = stats.snapshot(&day, Hearing { now: noon, counted: true }) else {
            panic!("refused")
        };
        let pieces = after.spread(|at| at + HOUR_MS);
        assert_eq!((pieces.len(), pieces[11].1[2]), (12, 100), "nothing after noon");
        assert_eq!(stats.reported_until, Some(noon));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut stats, mut seen) = (Stats::default(), Seen::default());
        for number in 0..KEPT_MAX as i64 + 50 {
            let group = Some(format!("group-{number}"));
            let report = StatsReport { ad_group_id: group, ..report(&number.to_string(), 1, 5, 1) };
            stats.delta(&report, LATER, &mut seen);
        }
        assert!(stats.held_bytes() <= 3_000_000, "{}", stats.held_bytes());
        assert_eq!(stats.windows.len(), KEPT_MAX);
        let unknown = StatsReport { ad_group_id: Some("other".into()), ..report("x", 1, 5, 1) };
        assert_eq!(stats.snapshot(&unknown, LATER), Outcome::Refused, "it may be one that was dropped");
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_window_sum_to_the_whole(
            start in 0..100_000_i64, length in 1..10_000_i64, values in prop::array::uniform5(any::<i64>()),
        ) {
            let pieces = Told { start, until: start + length, values, counted: true }.spread(|at| at + 977);
            for measure in 0..5 {
                let sum: i128 = pieces.iter().map(|(_, piece)| i128::from(piece[measure])).sum();
                prop_assert_eq!(sum, i128::from(values[measure]));
            }
        }
    }
}
