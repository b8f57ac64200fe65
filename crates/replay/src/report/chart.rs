//! Plots as inline SVG: drawn for paper and screen, in the page's own colours.

use super::words::{escape, formatted, money, spoken, whole};
use crate::figures::{Campaign, Lever, Sample, Step, Window};
use model::time::{DAY_MS, HOUR_MS, Millis};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Points that a line keeps: more are not seen.
const POINTS_MAX: usize = 720;
const WIDTH: i64 = 1080;
/// Left of it stand names and amounts.
const LEFT: i64 = 76;
const RIGHT: i64 = 10;

/// A range of time on the horizontal axis.
#[derive(Clone, Copy)]
pub struct Axis {
    from: Millis,
    to: Millis,
    left: i64,
    width: i64,
}

impl Axis {
    /// Over the page's width, with room for names.
    pub fn new(from: Millis, to: Millis, left: i64) -> Self {
        Self { from, to: to.max(from + 1), left, width: WIDTH - left - RIGHT }
    }

    fn x(&self, at: Millis) -> i64 {
        let share = i128::from(at.clamp(self.from, self.to) - self.from) * i128::from(self.width);
        self.left + (share / i128::from(self.to - self.from)) as i64
    }

    /// Instants that carry a word, and the words.
    fn ticks(&self) -> Vec<(Millis, String)> {
        const STEPS: [Millis; 12] = [
            HOUR_MS / 12,
            HOUR_MS / 4,
            HOUR_MS,
            2 * HOUR_MS,
            6 * HOUR_MS,
            12 * HOUR_MS,
            DAY_MS,
            2 * DAY_MS,
            7 * DAY_MS,
            14 * DAY_MS,
            28 * DAY_MS,
            91 * DAY_MS,
        ];
        let span = self.to - self.from;
        let step = STEPS.into_iter().find(|step| span / step <= 12).unwrap_or(364 * DAY_MS);
        let pattern = if step < DAY_MS { "%H:%M" } else { "%d %b" };
        let mut at = self.from.div_euclid(step) * step;
        let mut ticks = Vec::new();
        while at <= self.to {
            if at >= self.from {
                let is_midnight = at.rem_euclid(DAY_MS) == 0;
                ticks.push((at, formatted(at, if is_midnight { "%d %b" } else { pattern })));
            }
            at += step;
        }
        ticks
    }

    fn drawn(&self, top: i64, bottom: i64) -> String {
        let mut drawn = String::new();
        for (at, word) in self.ticks() {
            let x = self.x(at);
            let _ = write!(
                drawn,
                "<line class=\"g\" x1=\"{x}\" x2=\"{x}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{word}</text>",
                bottom + 15
            );
        }
        drawn
    }
}

/// A round number not below a value, for the top of an axis, in micros.
fn round_up(value: i64) -> i64 {
    let mut unit = 1_i64;
    while unit.saturating_mul(10) < value {
        unit = unit.saturating_mul(10);
    }
    [1, 2, 3, 4, 5, 6, 8, 10].into_iter().map(|n| unit.saturating_mul(n)).find(|top| *top >= value).unwrap_or(value)
}

fn y(value: i64, top_value: i64, top: i64, bottom: i64) -> i64 {
    let share = i128::from(value.max(0)) * i128::from(bottom - top) / i128::from(top_value.max(1));
    bottom - i64::try_from(share).unwrap_or(0)
}

fn scale(top_value: i64, top: i64, bottom: i64) -> String {
    let mut drawn = String::new();
    for part in 0..=4 {
        let value = top_value / 4 * part;
        let at = y(value, top_value, top, bottom);
        let _ = write!(
            drawn,
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8,
            at + 4,
            amount(value, top_value)
        );
    }
    drawn
}

/// An amount beside an axis: without cents where the axis is long, so that it fits.
fn amount(value: i64, top_value: i64) -> String {
    if top_value >= CENTS_BELOW_MICROS { whole(value / 1_000_000) } else { money(value) }
}

const CENTS_BELOW_MICROS: i64 = 1_000_000_000;

fn svg(height: i64, label: &str, inner: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\"><title>{}</title>{inner}</svg>",
        escape(label),
        escape(label)
    )
}

/// Spend of the day so far beside its plan, over the whole run.
pub fn spend_of_days(series: &BTreeMap<Millis, Sample>, currency: &str) -> String {
    let (Some((from, _)), Some((to, _))) = (series.first_key_value(), series.last_key_value()) else {
        return String::new();
    };
    let axis = Axis::new(*from, *to, LEFT);
    let every = series.len().div_ceil(POINTS_MAX).max(1);
    let last = series.len() - 1;
    let points: Vec<(Millis, Sample)> = series
        .iter()
        .enumerate()
        .filter(|(at, _)| at % every == 0 || *at == last)
        .map(|(_, (when, sample))| (*when, *sample))
        .collect();
    let highest = points.iter().map(|(_, sample)| sample.spend_micros.max(sample.planned_micros)).max().unwrap_or(0);
    let (top, bottom, top_value) = (12, 240, round_up(highest.max(1)));
    let path = |value: fn(&Sample) -> i64| {
        let mut path = String::new();
        let mut before = i64::MAX;
        for (when, sample) in &points {
            // Where a day ends both begin again: a new line, not a cliff.
            let letter = if sample.planned_micros < before / 2 { 'M' } else { 'L' };
            before = sample.planned_micros;
            let _ = write!(path, "{letter}{} {}", axis.x(*when), y(value(sample), top_value, top, bottom));
        }
        path
    };
    let spend = path(|sample| sample.spend_micros);
    let plan = path(|sample| sample.planned_micros);
    let area = spend.get(1..).unwrap_or_default().replace('M', "L");
    let inner = format!(
        "{}{}<path class=\"sf\" d=\"M{area}L{} {bottom}L{} {bottom}Z\"/><path class=\"s\" d=\"{spend}\"/>\
         <path class=\"p\" d=\"{plan}\"/>",
        scale(top_value, top, bottom),
        axis.drawn(top, bottom),
        axis.x(*to),
        axis.x(*from),
    );
    svg(262, &format!("Spend of the day so far and its plan, {currency}"), &inner)
}

/// Spend of each day as a column, its plan as a mark.
pub fn days(days: &BTreeMap<Millis, (i64, Option<i64>, bool)>, currency: &str) -> String {
    let highest = days.values().map(|(spend, plan, _)| (*spend).max(plan.unwrap_or(0))).max().unwrap_or(0);
    let (top, bottom, top_value) = (12, 170, round_up(highest.max(1)));
    let count = days.len().max(1) as i64;
    let step = ((WIDTH - LEFT - RIGHT) / count).max(1);
    let wide = (step * 7 / 10).clamp(1, 56);
    let word_every = (count * 58 / (WIDTH - LEFT)).max(0) + 1;
    let mut inner = scale(top_value, top, bottom);
    for (at, (day, (spend, plan, is_open))) in days.iter().enumerate() {
        let at = at as i64;
        let x = LEFT + step * at + (step - wide) / 2;
        let (name, height) = (formatted(*day, "%d %b"), bottom - y(*spend, top_value, top, bottom));
        let plan_words = plan.map_or("no plan".into(), |plan| format!("plan {}", money(plan)));
        let _ = write!(
            inner,
            "<rect class=\"bar{}\" x=\"{x}\" y=\"{}\" width=\"{wide}\" height=\"{height}\" rx=\"1\"><title>{name}: \
             {} {currency}, {plan_words}</title></rect>",
            if *is_open { " open" } else { "" },
            bottom - height,
            money(*spend)
        );
        if let Some(plan) = plan {
            let line = y(*plan, top_value, top, bottom);
            let _ = write!(
                inner,
                "<line class=\"pm\" x1=\"{}\" x2=\"{}\" y1=\"{line}\" y2=\"{line}\"/>",
                x - 2,
                x + wide + 2
            );
        }
        if at % word_every == 0 {
            let _ = write!(
                inner,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
                x + wide / 2,
                bottom + 15
            );
        }
    }
    svg(192, &format!("Spend of each local day against its plan, {currency}"), &inner)
}

/// Days of one campaign, small enough for a line of a table.
pub fn spark(windows: &BTreeMap<Millis, Window>) -> String {
    let shown: Vec<i64> = windows.values().map(|window| window.spend_micros).collect();
    let shown = &shown[shown.len().saturating_sub(SPARK_MAX)..];
    let highest = shown.iter().copied().max().unwrap_or(0);
    if highest <= 0 || shown.len() < 2 {
        return String::new();
    }
    let mut path = String::new();
    for (at, spend) in shown.iter().enumerate() {
        let letter = if at == 0 { 'M' } else { 'L' };
        let x = 1 + at as i64 * 98 / (shown.len() as i64 - 1);
        let _ = write!(path, "{letter}{x} {}", y(*spend, highest, 2, 20));
    }
    format!("<svg width=\"100\" height=\"22\" aria-hidden=\"true\"><path class=\"s\" d=\"{path}\"/></svg>")
}

/// Windows in a small line.
const SPARK_MAX: usize = 48;

/// A share of its whole as a small bar; the mark is the whole.
pub fn meter(share_ppm: i64) -> String {
    let (whole, share) = (75, share_ppm.clamp(0, 1_330_000) * 75 / 1_000_000);
    format!(
        "<svg class=\"meter\" viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect width=\"100\" \
         height=\"8\"/><rect class=\"sb\" width=\"{share}\" height=\"8\"/><line class=\"pm\" x1=\"{whole}\" \
         x2=\"{whole}\" y1=\"0\" y2=\"8\"/></svg>"
    )
}

/// A lane of the time line.
pub struct Lane<'a> {
    /// What stands before it.
    pub name: String,
    /// Whose commands and alerts it shows.
    pub campaign: &'a Campaign,
}

const LANE_LEFT: i64 = 190;
const LANE_HEIGHT: i64 = 34;
/// Marks of one kind in one lane: more would lie upon each other.
const BINS: i64 = 180;

/// What a mark means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Up,
    Down,
    Budget,
    Pause,
    Resume,
    Alert,
}

/// Commands and alerts of some campaigns over time: each mark is one or more of its kind.
pub fn lanes(lanes: &[Lane<'_>], from: Millis, to: Millis) -> String {
    let axis = Axis::new(from, to, LANE_LEFT);
    let bottom = 8 + LANE_HEIGHT * lanes.len() as i64;
    let mut inner = axis.drawn(4, bottom);
    for (at, lane) in lanes.iter().enumerate() {
        let middle = 8 + LANE_HEIGHT * at as i64 + LANE_HEIGHT / 2;
        let name: String = lane.name.chars().take(26).collect();
        let _ = write!(
            inner,
            "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <line class=\"g\" x1=\"{LANE_LEFT}\" x2=\"{}\" y1=\"{middle}\" y2=\"{middle}\"/>",
            LANE_LEFT - 10,
            middle + 4,
            escape(&name),
            WIDTH - RIGHT
        );
        for ((bin, mark), (count, when, words)) in binned(lane.campaign, from, to) {
            let x = axis.left + (2 * bin + 1) * axis.width / (2 * BINS);
            let many = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            let title = format!("{} UTC: {words}{many}", formatted(when, "%d %b %H:%M"));
            let _ = write!(inner, "{}", drawn(mark, x, middle, Some(&title)));
        }
    }
    svg(bottom + 22, "Commands and alerts over time", &inner)
}

/// Marks by place and kind: how many, the first's instant and words.
fn binned(campaign: &Campaign, from: Millis, to: Millis) -> BTreeMap<(i64, Mark), (u64, Millis, String)> {
    let bin = |at: Millis| (i128::from(at - from) * i128::from(BINS) / i128::from((to - from).max(1))) as i64;
    let mut bins: BTreeMap<(i64, Mark), (u64, Millis, String)> = BTreeMap::new();
    let mut bid = Some(campaign.spec.bid_micros);
    let mut put = |at: Millis, mark: Mark, words: &dyn Fn() -> String| {
        let entry = bins.entry((bin(at).clamp(0, BINS - 1), mark)).or_insert_with(|| (0, at, words()));
        entry.0 += 1;
    };
    for step in &campaign.steps {
        let Some(mark) = mark_of(step, bid) else { continue };
        let words = || match step.value_micros {
            Some(value) => format!("{} {}: {}", name_of(mark), money(value), spoken(&step.reason)),
            None => format!("{}: {}", name_of(mark), spoken(&step.reason)),
        };
        put(step.at, mark, &words);
        if step.lever == Lever::Bid {
            bid = step.value_micros;
        }
    }
    for (at, kind) in &campaign.alert_marks {
        put(*at, Mark::Alert, &|| format!("alert: {}", spoken(kind)));
    }
    bins
}

fn mark_of(step: &Step, bid: Option<i64>) -> Option<Mark> {
    Some(match step.lever {
        Lever::Bid if step.value_micros < bid => Mark::Down,
        Lever::Bid => Mark::Up,
        Lever::Budget => Mark::Budget,
        Lever::Pause => Mark::Pause,
        Lever::Resume => Mark::Resume,
        Lever::Other => return None,
    })
}

fn name_of(mark: Mark) -> &'static str {
    match mark {
        Mark::Up => "bid raised or affirmed",
        Mark::Down => "bid lowered",
        Mark::Budget => "budget",
        Mark::Pause => "pause",
        Mark::Resume => "resume",
        Mark::Alert => "alert",
    }
}

fn drawn(mark: Mark, x: i64, y: i64, title: Option<&str>) -> String {
    let title = title.map_or(String::new(), |title| format!("<title>{}</title>", escape(title)));
    match mark {
        Mark::Up => format!("<path class=\"up\" d=\"M{x} {}l4 7h-8z\">{title}</path>", y - 9),
        Mark::Down => format!("<path class=\"down\" d=\"M{x} {}l4-7h-8z\">{title}</path>", y + 9),
        Mark::Budget => {
            format!("<rect class=\"money\" x=\"{}\" y=\"{}\" width=\"6\" height=\"6\">{title}</rect>", x - 3, y - 3)
        }
        Mark::Pause => {
            format!("<path class=\"stop\" d=\"M{} {}h2.5v10h-2.5zm4 0h2.5v10h-2.5z\">{title}</path>", x - 3, y - 5)
        }
        Mark::Resume => format!("<path class=\"go\" d=\"M{} {}l6 4l-6 4z\">{title}</path>", x - 3, y - 4),
        Mark::Alert => format!("<circle class=\"bell\" cx=\"{x}\" cy=\"{}\" r=\"3.5\">{title}</circle>", y - 12),
    }
}

/// What each mark means.
pub fn key() -> String {
    let marks = [Mark::Up, Mark::Down, Mark::Budget, Mark::Pause, Mark::Resume, Mark::Alert];
    let items: String = marks
        .into_iter()
        .map(|mark| {
            let shift = match mark {
                Mark::Up => 3,
                Mark::Down => -3,
                Mark::Alert => 12,
                _ => 0,
            };
            format!(
                "<span><svg width=\"12\" height=\"14\" aria-hidden=\"true\">{}</svg>{}</span>",
                drawn(mark, 6, 7 + shift, None),
                name_of(mark)
            )
        })
        .collect();
    format!("<div class=\"key\">{items}</div>")
}
