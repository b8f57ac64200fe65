//! What a billable event is worth by device, place, placement and creative: counted by day from the sums by dimension,
//! evaluated once a day (section 7). A bid for clicks is worth what a click brings, one for impressions what an impression
//! brings, so there a value that is clicked more often counts for more.
//!
//! A day of which some part is declared not to be learned from is left out as a whole.
//!
//! What always holds: it is belief, and the same whether anything is decided or not; a day counts once it is over; a
//! conversion is counted once, when it is first seen, at the value of its click; an event counts by what of its conversions
//! became visible since the evaluation before. Adding up the values of a dimension gives the campaign, so what was put
//! together under [`OTHER`] is a cell of the mean and never one with a factor. Memory is bounded by that of the sums: 130
//! bytes a value, 3 kB for a campaign of 20 values, 17 kB at the bounds.
//!
//! Missing on purpose: credits of other models than the last touch, which the sums by dimension do not have; the channel,
//! which a campaign has one of; squares of single values (for goals of value, those of the hours stand for them); a value
//! that is put together with others forgets what it had proven.

use crate::breakdown::{Breakdown, DayOfDimension};
use crate::calendar::Calendar;
use crate::worth::{Fresh, Worth, kept_after};
use model::fact::CampaignSpec;
use model::marginal::{NOT_KEPT, OTHER, dimension_named};
use model::output::Term;
use model::time::{MINUTE_MS, Millis};
use policy::modifier::{self, Evidence, Measured, Proven};
use policy::settings::Modifiers as Settings;
use policy::target::SeenShare;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Dimensions that may get factors, in the order of their numbers here.
pub const STEERED: [&str; 4] = ["device", "geo", "placement", "creative"];
/// Clicks of older days have shown nearly all.
const DAYS_LOOKED_AT: i32 = 14;

/// Whether values of a dimension may get factors: the goal says what a click is worth, and the bid is ours.
pub fn may_steer(spec: &CampaignSpec, dimension: &str) -> bool {
    crate::hour_table::has_factors(spec) && !spec.forbidden_dimensions.iter().any(|name| name == dimension)
}

/// The memory of one campaign.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ByValue {
    dimensions: [Cells; STEERED.len()],
    /// First local date whose touches are counted.
    from: i32,
    /// Until when was seen what the last evaluation saw.
    seen_until: Option<Millis>,
    /// Local date of the last evaluation.
    evaluated: Option<i32>,
    /// What came since the last evaluation is not to be learned: other days are left out than were then.
    is_spoiled: bool,
}

/// By value.
type Cells = BTreeMap<Box<str>, Cell>;

/// What was seen of one value, and the factor that follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    /// Credits and their value, of touches from `from` on, that were counted.
    counted: [i64; 2],
    worth: Worth,
    wanted: f32,
}

/// What an evaluation looks at.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// Local date.
    pub date: i32,
    /// Until when everything was seen.
    pub seen_until: Millis,
    /// Share of a click's conversions that are seen by its age.
    pub seen: &'a SeenShare,
    /// Days of the campaign.
    pub calendar: &'a Calendar,
    /// Whether impressions are what costs money.
    pub by_impression: bool,
    /// For goals of value: the mean square of single values over their mean.
    pub unit: Option<f64>,
    /// Whether what came can be believed.
    pub is_believed: bool,
    /// Whether a stretch has times that must not be learned from.
    pub is_excluded: &'a dyn Fn(Millis, Millis) -> bool,
    /// Numbers of the policy.
    pub settings: &'a Settings,
}

/// One value of one evaluation.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// Credits and value of all touches that count now.
    touched: [i64; 2],
    /// The same of those that will count the next time.
    staying: [i64; 2],
    matured: f64,
    spend: f64,
    fresh: [f64; 2],
}

impl ByValue {
    /// Whether the day has been evaluated.
    pub fn is_evaluated(&self, date: i32) -> bool {
        self.evaluated == Some(date)
    }

    /// Until when conversions were counted; the beginning of time before the first evaluation.
    pub fn seen_until(&self) -> Millis {
        self.seen_until.unwrap_or(Millis::MIN)
    }

    /// Days that may be learned from have changed.
    pub fn spoil(&mut self) {
        self.is_spoiled = true;
    }

    /// The daily evaluation: what was newly seen is counted, tested and turned into factors.
    pub fn evaluate(&mut self, look: &Look<'_>, breakdown: &Breakdown, spec: &CampaignSpec) {
        if self.evaluated.is_none() {
            self.from = breakdown.dates().next().unwrap_or(look.date);
        }
        self.evaluated = Some(look.date);
        let before = self.seen_until();
        if look.seen_until <= before {
            return;
        }
        let is_believed = look.is_believed && !std::mem::take(&mut self.is_spoiled);
        let look = &Look { is_believed, ..*look };
        let next_from = self.from.max(look.date.saturating_sub(DAYS_LOOKED_AT));
        let kept = kept_after(look.seen_until.saturating_sub(before), look.settings.half_life_ms);
        for (name, cells) in STEERED.into_iter().zip(&mut self.dimensions) {
            let Some(number) = dimension_named(name).filter(|_| may_steer(spec, name)) else {
                cells.clear();
                continue;
            };
            let days = breakdown.days(number).filter(|day| day.date >= self.from);
            let news = news(days, look, before, next_from);
            take(cells, news, kept, look);
        }
        (self.from, self.seen_until) = (next_from, Some(look.seen_until));
    }

    /// Values of a dimension that want a factor, with it.
    pub fn wanted(&self, dimension: &str) -> impl Iterator<Item = (&str, f64)> {
        let at = STEERED.iter().position(|name| *name == dimension);
        let cells = at.map(|at| &self.dimensions[at]).into_iter().flatten();
        cells
            .filter(|(_, cell)| cell.wanted > 0.0 && cell.wanted != 1.0)
            .map(|(text, cell)| (&**text, f64::from(cell.wanted)))
    }

    /// What speaks for the factor of a value, for explanations.
    pub fn terms(&self, dimension: &str, value: &str) -> Vec<Term> {
        let Some(at) = STEERED.iter().position(|name| *name == dimension) else { return Vec::new() };
        let cells = &self.dimensions[at];
        let Some(nth) = cells.keys().position(|text| &**text == value) else { return Vec::new() };
        let measured: Vec<Measured> = cells.values().map(|cell| cell.worth.measured()).collect();
        let over_mean = modifier::shrunk_over_mean(&measured)[nth];
        let terms = cells.get(value).map(|cell| cell.worth.terms(dimension, "events", over_mean));
        let values = Term { name: format!("{dimension}_values"), value: cells.len() as i64 };
        terms.into_iter().flatten().chain([values]).collect()
    }

    /// Heap memory.
    pub fn held_bytes(&self) -> usize {
        let texts = self.dimensions.iter().flat_map(BTreeMap::keys).map(|text| text.len());
        size_of::<Self>() + texts.map(|length| length + size_of::<(Box<str>, Cell)>()).sum::<usize>()
    }
}

/// Sums of the days that are over, by value.
fn news(
    days: impl Iterator<Item = DayOfDimension>,
    look: &Look<'_>,
    before: Millis,
    next_from: i32,
) -> BTreeMap<String, News> {
    let mut by_value: BTreeMap<String, News> = BTreeMap::new();
    for day in days {
        let start = Millis::from(day.start) * MINUTE_MS;
        let end = look.calendar.day_of(start).end;
        if end > look.seen_until || (look.is_excluded)(start, end) {
            continue;
        }
        let share = |until: Millis| {
            let age = |since: Millis| until.saturating_sub(since);
            if age(end) >= 0 { look.seen.between(age(end), age(start)) } else { 0.0 }
        };
        let matured = (share(look.seen_until) - share(before)).max(0.0);
        for (text, sums) in day.values.into_iter().filter(|(text, _)| text != NOT_KEPT) {
            let news = by_value.entry(text).or_default();
            let credits = [sums.touched_micro, sums.touched_value_micros];
            let add =
                |to: &mut [i64; 2]| to.iter_mut().zip(credits).for_each(|(sum, more)| *sum = sum.saturating_add(more));
            add(&mut news.touched);
            if day.date >= next_from {
                add(&mut news.staying);
            }
            let events = if look.by_impression { sums.impressions } else { sums.clicks };
            news.matured += events.max(0) as f64 * matured;
            if end > before {
                news.spend += sums.spend_micros.max(0) as f64 / 1e6;
            }
        }
    }
    by_value
}

fn take(cells: &mut Cells, mut by_value: BTreeMap<String, News>, kept: f64, look: &Look<'_>) {
    // Values that were put together meanwhile took with them what had been counted of them: what is new of those together
    // is what is left of all that is new.
    let mut rest = [0, 1].map(|at| {
        let now = by_value.values().map(|news| news.touched[at]).fold(0, i64::saturating_add);
        now.saturating_sub(cells.values().map(|cell| cell.counted[at]).fold(0, i64::saturating_add))
    });
    for (text, news) in by_value.iter_mut().filter(|(text, _)| *text != OTHER) {
        let counted = cells.get(text.as_str()).map_or([0, 0], |cell| cell.counted);
        for at in [0, 1] {
            let fresh = news.touched[at].saturating_sub(counted[at]);
            rest[at] = rest[at].saturating_sub(fresh);
            news.fresh[at] = fresh.max(0) as f64 / 1e6;
        }
    }
    if let Some(other) = by_value.get_mut(OTHER) {
        other.fresh = rest.map(|rest| rest.max(0) as f64 / 1e6);
    }
    cells.retain(|text, _| by_value.contains_key(&**text));
    let all_seen: f64 = by_value.values().map(|news| news.fresh[0]).sum();
    let all_matured: f64 = by_value.values().map(|news| news.matured).sum();
    for (text, news) in by_value {
        let is_other = text == OTHER;
        let cell = cells.entry(text.into()).or_default();
        cell.counted = news.staying;
        if !look.is_believed {
            continue;
        }
        if !is_other {
            cell.worth.evidence.take(news.fresh[0], all_seen, news.matured / all_matured, look.settings);
        }
        cell.worth.add(&news.fresh_worth(look.unit), kept);
    }
    want(cells, look.settings);
}

fn want(cells: &mut Cells, settings: &Settings) {
    let told: Vec<Evidence> =
        cells.iter().filter(|(text, _)| &***text != OTHER).map(|(_, cell)| cell.worth.evidence).collect();
    let mut proven = modifier::proven(&told, settings).into_iter();
    let proven: Vec<Proven> = cells
        .keys()
        .map(|text| if &**text == OTHER { Proven::No } else { proven.next().unwrap_or_default() })
        .collect();
    let measured: Vec<Measured> = cells.values().map(|cell| cell.worth.measured()).collect();
    let factors = modifier::value_factors(&measured, &proven, settings);
    for (cell, factor) in cells.values_mut().zip(factors) {
        cell.wanted = factor as f32;
    }
}

impl News {
    fn fresh_worth(&self, unit: Option<f64>) -> Fresh {
        let [conversions, value] = self.fresh;
        let (worth, squares) = unit.map_or((conversions, conversions), |unit| (value, value * unit));
        Fresh { matured: self.matured, worth: worth.max(0.0), squares: squares.max(0.0), spend: self.spend }
    }
}
