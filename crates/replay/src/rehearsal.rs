//! Alerts of a replay against what people know to have happened: how many were false, what was found, and how late.
//!
//! What always holds: an opening is true where a label of its campaign, or of its account, spans its instant and asks for
//! its kind; every other one is false, so labels must name all that should be told. A trouble is found once, by its first
//! true opening; more of them are neither found again nor false. Rates stand with 95 % intervals, because few labels
//! say little: Wilson's for the share that was found, Byar's for false alarms by campaign and day.

use crate::figures::Figures;
use model::time::{DAY_MS, Millis};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A trouble that people know of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Its account.
    pub account_id: String,
    /// Its campaign, empty where it concerned the whole account.
    pub campaign_id: String,
    /// Kind of alert that it asks for; empty where any will do.
    pub kind: String,
    /// When it began.
    pub from: Millis,
    /// Until when an alert counts as one of it.
    pub to: Millis,
}

/// How one kind of alert did, or all together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The kind; `all` for all.
    pub kind: String,
    /// Openings in the window of the labels.
    pub opened: u64,
    /// Of these, without a label.
    pub false_alarms: u64,
    /// Labels that ask for this kind (any, in the line of all).
    pub troubles: u64,
    /// Of these, with a true opening.
    pub found: u64,
    /// From a found trouble's beginning to its first true opening, in order.
    pub delays_ms: Vec<Millis>,
}

/// Everything that labels say of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// All, then by kind.
    pub lines: Vec<Line>,
    /// Days of campaigns in which something was delivered: what a rate of false alarms is over.
    pub campaign_days: u64,
    /// Labels of accounts or campaigns that the journal does not know: none of them can be found.
    pub unknown: u64,
}

struct Opening<'a> {
    at: Millis,
    account: &'a str,
    campaign: &'a str,
    kind: &'a str,
}

impl Label {
    fn covers(&self, opening: &Opening<'_>) -> bool {
        let here = self.account_id == opening.account || opening.account.is_empty();
        let in_campaign =
            self.campaign_id.is_empty() || opening.campaign.is_empty() || self.campaign_id == opening.campaign;
        let asked = self.kind.is_empty() || self.kind == opening.kind;
        here && in_campaign && asked && (self.from..=self.to).contains(&opening.at)
    }
}

impl Rehearsal {
    /// Lays the alerts that opened beside the labels.
    pub fn of(figures: &Figures, labels: &[Label]) -> Self {
        let openings = openings(figures);
        let kinds: BTreeSet<&str> =
            openings.iter().map(|opening| opening.kind).chain(labels.iter().map(|label| label.kind.as_str())).collect();
        let mut lines: BTreeMap<&str, Line> = kinds.into_iter().map(|kind| (kind, Line::default())).collect();
        let mut all = Line { kind: "all".into(), troubles: labels.len() as u64, ..Line::default() };
        for opening in &openings {
            let is_false = !labels.iter().any(|label| label.covers(opening));
            for line in lines.get_mut(opening.kind).into_iter().chain([&mut all]) {
                line.opened += 1;
                line.false_alarms += u64::from(is_false);
            }
        }
        for label in labels {
            let first = openings.iter().filter(|opening| label.covers(opening)).map(|opening| opening.at).min();
            for line in lines.get_mut(label.kind.as_str()).into_iter().chain([&mut all]) {
                line.found += u64::from(first.is_some());
                line.delays_ms.extend(first.map(|at| at.saturating_sub(label.from)));
            }
            if let Some(line) = lines.get_mut(label.kind.as_str()) {
                line.troubles += 1;
            }
        }
        let named = |(kind, line): (&str, Line)| (!kind.is_empty()).then(|| Line { kind: kind.to_owned(), ..line });
        let mut lines: Vec<Line> = [all].into_iter().chain(lines.into_iter().filter_map(named)).collect();
        lines.iter_mut().for_each(|line| line.delays_ms.sort_unstable());
        Self { lines, campaign_days: campaign_days(figures), unknown: unknown(figures, labels) }
    }

    /// As the summary holds it.
    pub fn document(&self) -> Value {
        let lines: Vec<Value> = self.lines.iter().map(|line| line.document(self.campaign_days)).collect();
        json!({
            "campaign_days": self.campaign_days,
            "labels_of_unknown_campaigns": self.unknown,
            "kinds": lines,
            "limits": LIMITS,
        })
    }
}

/// What the figures take for granted.
const LIMITS: &str = "A false alarm is an alert without a label: what the labels leave out counts against the alerts. Under \
                      another policy spend, clicks and conversions are the recorded ones, so a trouble that an alert would \
                      have ended goes on.";

impl Line {
    fn document(&self, campaign_days: u64) -> Value {
        let at = |share: f64| {
            let last = self.delays_ms.len().checked_sub(1)?;
            self.delays_ms.get(libm::round(last as f64 * share) as usize).copied()
        };
        let recall = (self.troubles > 0).then(|| self.found as f64 / self.troubles as f64);
        let days = campaign_days as f64;
        let rate = (campaign_days > 0).then(|| self.false_alarms as f64 / days);
        json!({
            "kind": self.kind, "opened": self.opened, "false_alarms": self.false_alarms,
            "false_alarms_a_campaign_day": rate,
            "false_alarms_a_campaign_day_95": (campaign_days > 0).then(|| byar(self.false_alarms).map(|count| count / days)),
            "precision": (self.opened > 0).then(|| (self.opened - self.false_alarms) as f64 / self.opened as f64),
            "troubles": self.troubles, "found": self.found, "recall": recall,
            "recall_95": (self.troubles > 0).then(|| wilson(self.found, self.troubles)),
            "delay_ms": { "p50": at(0.5), "p90": at(0.9), "worst": at(1.0) },
        })
    }
}

fn openings(figures: &Figures) -> Vec<Opening<'_>> {
    let own = figures.campaigns.iter().flat_map(|((account, campaign), found)| {
        found.alert_marks.iter().map(move |(at, kind)| Opening { at: *at, account, campaign, kind })
    });
    let wide = figures.wide_marks.iter().map(|(at, account, kind)| Opening { at: *at, account, campaign: "", kind });
    own.chain(wide).collect()
}

fn campaign_days(figures: &Figures) -> u64 {
    let delivered = |day: &&crate::figures::Window| day.impressions > 0 || day.clicks > 0 || day.spend_micros > 0;
    figures.campaigns.values().map(|campaign| campaign.days.values().filter(delivered).count() as u64).sum()
}

fn unknown(figures: &Figures, labels: &[Label]) -> u64 {
    let is_known = |label: &&Label| {
        figures.campaigns.keys().any(|(account, campaign)| {
            *account == label.account_id && (label.campaign_id.is_empty() || *campaign == label.campaign_id)
        })
    };
    labels.len() as u64 - labels.iter().filter(is_known).count() as u64
}

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's interval of a share (1927).
fn wilson(hits: u64, of: u64) -> [f64; 2] {
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    [((middle - half) / whole).max(0.0), ((middle + half) / whole).min(1.0)]
}

/// Byar's interval of a Poisson count (Breslow and Day, 1987).
fn byar(count: u64) -> [f64; 2] {
    let bound = |count: f64, z: f64| {
        let root = 1.0 - 1.0 / (9.0 * count) + z / (3.0 * count.sqrt());
        count * root * root * root
    };
    let low = if count == 0 { 0.0 } else { bound(count as f64, -Z) };
    [low, bound(count as f64 + 1.0, Z)]
}

/// The last instant of a label that does not say one: troubles are told within a day or not at all.
pub const LABEL_SPAN_MS: Millis = DAY_MS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Campaign, Window};

    fn figures(marks: &[(&str, Millis, &str)]) -> Figures {
        let mut figures = Figures::default();
        for name in ["one", "two"] {
            let own = marks.iter().filter(|(campaign, ..)| *campaign == name);
            let days = (0..5).map(|day| (day * DAY_MS, Window { clicks: 1, ..Window::default() }));
            let campaign = Campaign {
                alert_marks: own.map(|(_, at, kind)| (*at, (*kind).to_owned())).collect(),
                days: days.collect(),
                ..Campaign::default()
            };
            figures.campaigns.insert(("acme".into(), name.into()), campaign);
        }
        figures
    }

    fn label(campaign: &str, kind: &str, from: Millis, to: Millis) -> Label {
        Label { account_id: "acme".into(), campaign_id: campaign.into(), kind: kind.into(), from, to }
    }

    fn line<'a>(rehearsal: &'a Rehearsal, kind: &str) -> &'a Line {
        rehearsal.lines.iter().find(|line| line.kind == kind).unwrap()
    }

    #[test]
    fn what_no_label_spans_is_false_and_a_trouble_is_found_once_by_its_first_alert() {
        let marks = [("one", 50, "runaway"), ("one", 70, "runaway"), ("two", 60, "runaway"), ("two", 900, "spend")];
        let labels = [label("one", "runaway", 40, 100), label("two", "spend", 10, 100)];
        let rehearsal = Rehearsal::of(&figures(&marks), &labels);
        let runaway = line(&rehearsal, "runaway");
        assert_eq!((runaway.opened, runaway.false_alarms, runaway.troubles, runaway.found), (3, 1, 1, 1));
        assert_eq!(runaway.delays_ms, [10]);
        let spend = line(&rehearsal, "spend");
        assert_eq!((spend.opened, spend.false_alarms, spend.troubles, spend.found), (1, 1, 1, 0), "an hour too late");
        let all = line(&rehearsal, "all");
        assert_eq!((all.opened, all.false_alarms, all.troubles, all.found), (4, 2, 2, 1));
        assert_eq!(rehearsal.campaign_days, 10);
        let document = rehearsal.document();
        assert_eq!(document["kinds"][0]["false_alarms_a_campaign_day"], 0.2);
        assert_eq!(document["kinds"][0]["recall"], 0.5);
    }

    #[test]
    fn a_label_of_an_account_spans_its_campaigns_and_an_account_s_alert_finds_a_campaign_s_trouble() {
        let mut figures = figures(&[("two", 50, "cpa_break")]);
        figures.wide_marks.push((60, "acme".into(), "cpa_break".into()));
        let rehearsal = Rehearsal::of(&figures, &[label("", "", 40, 100), label("one", "cpa_break", 55, 100)]);
        assert_eq!(line(&rehearsal, "all").found, 2);
        assert_eq!(line(&rehearsal, "all").false_alarms, 0);
        assert_eq!(line(&rehearsal, "cpa_break").troubles, 1);
        assert_eq!(Rehearsal::of(&figures, &[label("three", "", 0, 1)]).unknown, 1);
    }

    #[test]
    fn intervals_are_those_of_the_books() {
        // Wilson: 8 of 10 (Agresti and Coull, 1998); Byar: 10 counted (exact: 4.80 to 18.39), none counted: 3.7.
        let [low, high] = wilson(8, 10);
        assert!((low - 0.4902).abs() < 5e-4 && (high - 0.9433).abs() < 5e-4, "{low} {high}");
        let [low, high] = byar(10);
        assert!((low - 4.79).abs() < 0.02 && (high - 18.39).abs() < 0.02, "{low} {high}");
        let [low, high] = byar(0);
        assert!(low == 0.0 && (3.4..3.9).contains(&high), "{high}");
    }
}
