//! Rows of the anomalies that are judged by closed hours: arrivals of conversions, prices, shares of clicks, invalid
//! traffic.
//!
//! What always holds: it is belief, moved once for each hour that the watermark has closed and never by what is about to
//! be decided; memory is fixed (a day of hours, a handful of sums, one detector). Arrivals are those that were seen when
//! their hour closed: conversions that are always told a day late are so never expected earlier.
//!
//! Expected arrivals are the campaign's clicks of four weeks, each times the share of the delay curve that fell into the
//! hour, times a rate that is learned from hours older than a day, outside of breaks. A wrong curve scales both sides.
//!
//! Missing on purpose: campaigns with reported statistics have no arrivals (a report does not say when the click was);
//! invalid traffic by placement (the journal has no marginals of placements: [`placements`] gives the campaign as one, and
//! theirs belong there); seasons of the conversion rate within a day (the rows ask for factors that no usual day has); a
//! detector on spend against plan (tried: it told nothing before pacing, runaway and stopped delivery did, and cried once
//! in eight weeks).

use crate::calendar::minute_index;
use crate::campaign::{LIFETIME, Live};
use crate::measures::*;
use crate::pacing::{Around, assumed_bid};
use crate::picture::Picture;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::anomaly::*;
use policy::plan::Lift;
use policy::settings::{Anomaly, Tracking};
use policy::target::SeenShare;
use serde::{Deserialize, Serialize};

/// What is remembered of a campaign's hours.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Hours {
    judged_until: Millis,
    /// The last closed hours, oldest first, a day at most.
    day: Vec<Hour>,
    usual: Usual,
    tracking: TrackingBreak,
    unexplained: UnexplainedConversions,
    cpa: CpaBreak,
    cost: CostSpike,
    clicks: ClickRateSpike,
    invalid: InvalidTraffic,
    /// Tracking breaks that are over, while conversions of their clicks may still be waited for.
    breaks: Vec<(Millis, Millis)>,
    /// What stands, as it was found.
    standing: Vec<Finding>,
    /// What stood when all began anew: over, and not yet told so.
    ended: Vec<Finding>,
}

/// One closed hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hour {
    arrived_micro: i64,
    /// Clicks times the share of the delay curve that fell into the hour.
    exposed: f32,
    clicks: u32,
    /// Clicks by rate and shape.
    due_clicks: f32,
    /// Not all of its clicks were people's, or not all of its conversions were told.
    is_doubted: bool,
}

/// What a day ago was usual, forgotten slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    conversions: f64,
    exposed: f64,
    clicks: f64,
    hours: f64,
}

/// The longest window, and the age at which an hour is learned.
const HOURS_OF_DAY: usize = 24;
/// Windows of arrivals.
const WINDOWS: [usize; 4] = [1, 3, 6, HOURS_OF_DAY];
/// Conversions are waited for so long.
const LOOKBACK_MS: Millis = 28 * DAY_MS;
/// More breaks than these within four weeks are one that does not end.
const BREAKS_MAX: usize = 8;

impl Hours {
    /// Judges the hours that have closed since the last look.
    pub fn judge(&mut self, live: &Live, picture: &Picture, around: &Around<'_>) -> Vec<Change> {
        let end = hour_of(picture.seen_until);
        if self.judged_until >= end {
            return Vec::new();
        }
        let oldest = end.saturating_sub(DAY_MS);
        if self.judged_until < oldest {
            self.day.clear();
        }
        let newest = live.hours.last().map_or(Millis::MIN, |index| Millis::from(index) * MINUTE_MS);
        if end.saturating_sub(newest) > FORGOTTEN_MS && !self.standing.is_empty() {
            self.restart();
        }
        let ended = std::mem::take(&mut self.ended);
        let mut changes: Vec<Change> = ended.into_iter().map(Change::Resolved).collect();
        let mut start = self.judged_until.max(oldest);
        while start < end {
            let sums = live.hours.get(minute_index(start)).unwrap_or(NONE);
            self.judge_prices(start, &sums, raised_ppm(live, around, start), around, picture.now, &mut changes);
            self.judge_arrivals(start, &sums, live, picture, around, &mut changes);
            start = start.saturating_add(HOUR_MS);
        }
        self.judged_until = end;
        let counts = placements(live, end);
        let invalid = self.invalid.look(&counts, 0.0, &around.settings.anomaly);
        changes.extend(invalid.into_iter().map(|(_, change)| change));
        self.with_news(changes)
    }

    /// Forgets all: the campaign is another, or has long been silent. What stands is over.
    pub fn restart(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        ended.append(&mut self.standing);
        *self = Self { judged_until: self.judged_until, ended, ..Self::default() };
    }

    /// Whether conversions cannot be believed: target, modifiers and portfolio stand still.
    pub fn freezes_loops(&self) -> bool {
        self.tracking.freezes_loops() || self.unexplained.is_open()
    }

    /// Whether raises are held.
    pub fn holds_raises(&self, settings: &Anomaly, now: Millis) -> bool {
        self.cost.holds_raises(settings, now) || self.clicks.holds_raises(settings, now)
    }

    /// Tracking breaks that are over: conversions that should have arrived in them never will.
    pub fn breaks(&self) -> &[(Millis, Millis)] {
        &self.breaks
    }

    /// Whether what conversions came since `from` may be wrong: they stopped, or came without clicks.
    pub fn doubts(&self, from: Millis) -> bool {
        self.freezes_loops() || self.breaks.iter().any(|(_, to)| *to > from)
    }

    /// ln of the chance of a row's trouble without a cause.
    pub fn ln_chance(&self, kind: Kind) -> f64 {
        match kind {
            Kind::TrackingBreak => self.tracking.ln_chance(),
            Kind::UnexplainedConversions => self.unexplained.ln_chance(),
            Kind::CpaBreak => self.cpa.ln_chance(),
            Kind::CostSpike => self.cost.ln_chance(),
            Kind::ClickRateSpike => self.clicks.ln_chance(),
            _ => 0.0,
        }
    }

    /// Memory.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + self.day.capacity() * size_of::<Hour>()
            + self.breaks.capacity() * size_of::<(Millis, Millis)>()
            + self.standing.capacity() * size_of::<Finding>()
            + self.cost.held_bytes()
    }

    fn judge_prices(
        &mut self,
        start: Millis,
        sums: &Measures,
        raised_ppm: i64,
        around: &Around<'_>,
        now: Millis,
        changes: &mut Vec<Change>,
    ) {
        let settings = &around.settings.anomaly;
        let (spend_micros, billable) = (sums[GROSS_SPEND], sums[BILLABLE]);
        let price = PriceHour { start_ms: start, spend_micros, billable, raised_ppm };
        changes.push(self.cost.take(&price, settings, now));
        let clicks = ClickHour {
            start_ms: start,
            impressions: sums[IMPRESSIONS],
            clicks: sums[CLICKS].saturating_add(sums[INVALID_CLICKS].max(0)),
            spend_micros,
        };
        changes.push(self.clicks.take(&clicks, settings, now));
    }

    fn judge_arrivals(
        &mut self,
        start: Millis,
        sums: &Measures,
        live: &Live,
        picture: &Picture,
        around: &Around<'_>,
        changes: &mut Vec<Change>,
    ) {
        if live.counts_reports() {
            return;
        }
        let (settings, end) = (around.settings, start.saturating_add(HOUR_MS));
        let Some(development) = around.development else { return };
        let exposed = exposure(live, &development.seen_share(end, &settings.target), end);
        let due_clicks = self.usual.clicks_an_hour() * HOURS_OF_DAY as f64 * picture.share_between(start, end);
        let hour = Hour {
            arrived_micro: arrivals(sums, &live.spec.attribution_model),
            exposed: exposed as f32,
            clicks: u32::try_from(sums[CLICKS].max(0)).unwrap_or(u32::MAX),
            due_clicks: due_clicks as f32,
            is_doubted: self.clicks.is_open() || live.around().is_excluded(start, end),
        };
        if self.day.len() >= HOURS_OF_DAY {
            let learned = self.day.remove(0);
            let began = end.saturating_sub(DAY_MS + HOUR_MS);
            if !live.around().is_excluded(began, began.saturating_add(HOUR_MS)) {
                self.learn(&learned, began, &settings.anomaly.tracking);
            }
        }
        self.day.reserve_exact(HOURS_OF_DAY - self.day.len());
        self.day.push(hour);
        self.judge_evidence(live, end, picture.now, &settings.anomaly, changes);
    }

    fn judge_evidence(&mut self, live: &Live, end: Millis, now: Millis, settings: &Anomaly, changes: &mut Vec<Change>) {
        let evidence = self.evidence(live, end, &settings.tracking);
        // Clicks that are not people's bring nothing, and that is no fault of the tracking.
        // Nor is what people say is not to be believed.
        let is_doubted =
            self.day.iter().any(|hour| hour.is_doubted) || live.around().is_excluded(end.saturating_sub(DAY_MS), end);
        // Whoever began days ago is compared with delays that are guessed: what is late would be taken for lost.
        let is_young = self.usual.hours < settings.cpa_break.hours_min;
        let silent = TrackingEvidence::default();
        if !is_doubted || self.tracking.is_open() {
            let due = if is_young { &silent } else { &evidence };
            let tracked = self.tracking.observe(due, settings, now);
            if let (Change::Resolved(_), Some((from, Some(to)))) = (tracked, self.tracking.exclusion()) {
                self.breaks.retain(|(_, ended)| end.saturating_sub(*ended) < LOOKBACK_MS);
                self.breaks.push((from, to));
                let excess = self.breaks.len().saturating_sub(BREAKS_MAX);
                self.breaks.drain(..excess);
            }
            changes.push(tracked);
        }
        changes.push(self.unexplained.observe(&evidence, settings, now));
        // What a break has swallowed is missing from the day after it, too.
        let yesterday = end.saturating_sub(DAY_MS);
        let is_broken = self.tracking.is_open() || self.breaks.iter().any(|(_, to)| *to > yesterday);
        let shown = if is_doubted || is_broken || is_young { &silent } else { &evidence };
        changes.push(self.cpa.observe(shown, settings, now));
    }

    /// A day later an hour is usual, unless its arrivals could not be believed.
    fn learn(&mut self, hour: &Hour, start: Millis, settings: &Tracking) {
        let broken = |from: Millis, to: Option<Millis>| start >= from && to.is_none_or(|to| start < to);
        let doubted = self.tracking.exclusion().is_some_and(|(from, to)| broken(from, to))
            || self.breaks.iter().any(|(from, to)| broken(*from, Some(*to)))
            || self.unexplained.is_open()
            || hour.is_doubted;
        if !doubted {
            self.usual.add(hour, settings);
        }
    }

    fn evidence(&self, live: &Live, end: Millis, settings: &Tracking) -> TrackingEvidence {
        let (known, low, high) = self.usual.rate(settings);
        let window = |hours: usize| {
            let Some(first) = self.day.len().checked_sub(hours) else { return ArrivalWindow::default() };
            let cells = &self.day[first..];
            let sum = |of: fn(&Hour) -> i64| cells.iter().map(of).fold(0, i64::saturating_add);
            let total = |of: fn(&Hour) -> f32| cells.iter().map(|hour| f64::from(of(hour))).sum::<f64>();
            let exposed = total(|hour| hour.exposed);
            ArrivalWindow {
                length_ms: hours as Millis * HOUR_MS,
                arrived: sum(|hour| hour.arrived_micro).saturating_add(HALF_MICRO).div_euclid(2 * HALF_MICRO),
                expected: low * exposed,
                expected_most: high * exposed,
                clicks: sum(|hour| i64::from(hour.clicks)),
                expected_clicks: total(|hour| hour.due_clicks),
            }
        };
        TrackingEvidence {
            windows: WINDOWS.map(window),
            is_known: known && self.day.len() >= HOURS_OF_DAY,
            seen_until_ms: end,
            conversion_micros: worth(live),
        }
    }

    /// What stands is news each hour: its chance may have become smaller.
    fn with_news(&mut self, changes: Vec<Change>) -> Vec<Change> {
        let mut news: Vec<Change> = changes.into_iter().filter(|change| *change != Change::None).collect();
        let mut same = std::mem::take(&mut self.standing);
        same.retain(|known| news.iter().all(|change| kind_of(change) != Some(known.kind)));
        // Hours that are judged together may open a row and close it again: the last word counts.
        let mut opened: Vec<Finding> = Vec::new();
        for change in &news {
            opened.retain(|known| kind_of(change) != Some(known.kind));
            if let Change::Opened(finding) = change {
                opened.push(*finding);
            }
        }
        news.extend(same.iter().copied().map(Change::Opened));
        self.standing = same.into_iter().chain(opened).collect();
        news
    }
}

fn kind_of(change: &Change) -> Option<Kind> {
    match change {
        Change::Opened(finding) | Change::Resolved(finding) => Some(finding.kind),
        Change::None => None,
    }
}

/// After so long without any event nothing stands any more.
const FORGOTTEN_MS: Millis = 2 * DAY_MS;
/// Half a conversion in micro-conversions: credits of several campaigns are rounded to whole ones.
const HALF_MICRO: i64 = 500_000;

impl Usual {
    fn add(&mut self, hour: &Hour, settings: &Tracking) {
        let keep = libm::exp2(-(HOUR_MS as f64) / settings.rate_half_life_ms.max(1) as f64);
        self.conversions = self.conversions * keep + hour.arrived_micro.max(0) as f64 / 1e6;
        self.exposed = self.exposed * keep + f64::from(hour.exposed.max(0.0));
        self.clicks = self.clicks * keep + f64::from(hour.clicks);
        self.hours = self.hours * keep + 1.0;
    }

    fn clicks_an_hour(&self) -> f64 {
        self.clicks / self.hours.max(1.0)
    }

    /// Whether the rate is known, and its lower and upper end: one standard deviation of what it was learned from.
    fn rate(&self, settings: &Tracking) -> (bool, f64, f64) {
        let known = self.conversions >= settings.conversions_min && self.exposed > 0.0;
        if !known {
            return (false, 0.0, 0.0);
        }
        let (count, off) = (self.conversions + 0.5, libm::sqrt(self.conversions + 0.5));
        (true, (count - off).max(0.0) / self.exposed, (count + off) / self.exposed)
    }
}

/// The bid in force over the one of a day before the hour.
fn raised_ppm(live: &Live, around: &Around<'_>, start: Millis) -> i64 {
    let before = around.ledger.bid.value_at(start.saturating_sub(DAY_MS)).or(Some(live.spec.bid_micros));
    let (Some(before), Some(now)) = (before, assumed_bid(live, around.ledger)) else { return 0 };
    ratio(now, model::WHOLE_PPM, before).unwrap_or(0)
}

/// Conversions that were told in the hour, claimed or credited.
fn arrivals(sums: &Measures, model: &str) -> i64 {
    let at = if model == "linear" { CREDITS_CONVERSION_TIME + 2 } else { CREDITS_CONVERSION_TIME };
    sums[at].max(sums[CONVERSIONS].saturating_mul(2 * HALF_MICRO)).max(0)
}

/// Clicks times the share of the delay curve that falls into the hour before `end`: hours of today and yesterday, days
/// before.
fn exposure(live: &Live, seen: &SeenShare, end: Millis) -> f64 {
    let today = live.calendar.day_of(end.saturating_sub(1)).start;
    let yesterday = live.calendar.day_of(today.saturating_sub(1)).start;
    let (cut, oldest) = (minute_index(yesterday), minute_index(end.saturating_sub(LOOKBACK_MS)));
    let hours = live.hours.range(cut..minute_index(end)).map(|(index, sums)| (index, HOUR_MS, sums[CLICKS]));
    let days = live.days.range(oldest..cut).map(|(index, sums)| (index, DAY_MS, sums[CLICKS]));
    let mut sum = 0.0;
    for (index, length, clicks) in days.chain(hours).filter(|(_, _, clicks)| *clicks > 0) {
        let from = Millis::from(index) * MINUTE_MS;
        let by = |at: Millis| {
            let oldest = at.saturating_sub(from);
            if oldest <= 0 { 0.0 } else { seen.between(oldest.saturating_sub(length).max(0), oldest) }
        };
        // A declared season makes more conversions due of the same clicks.
        let seasons = &live.around().seasons;
        let season = if seasons.is_empty() { 1.0 } else { Lift::mean(seasons, from, from.saturating_add(length)) };
        sum += clicks as f64 * season * (by(end) - by(end.saturating_sub(HOUR_MS))).max(0.0);
    }
    sum
}

/// What a conversion is worth: the target, or what one has cost so far.
fn worth(live: &Live) -> i64 {
    let totals = live.totals.get(LIFETIME).unwrap_or(NONE);
    let conversions = arrivals(&totals, &live.spec.attribution_model) / (2 * HALF_MICRO);
    let mean = net_spend(&totals).checked_div(conversions).unwrap_or(0);
    live.spec.target_cpa_micros.filter(|target| *target > 0).unwrap_or(mean).max(0)
}

/// Invalid and all clicks of the last day and of the time before it, by placement: the campaign as one, from corrections
/// whose reason is invalid traffic.
fn placements(live: &Live, end: Millis) -> Vec<PlacementCounts> {
    let day = live.hours.sum(minute_index(end.saturating_sub(DAY_MS))..minute_index(end));
    if day[INVALID_CLICKS] == 0 && day[CLICKS] == 0 {
        return Vec::new();
    }
    let before = live.days.sum(i32::MIN..minute_index(end.saturating_sub(DAY_MS)));
    let all = |sums: &Measures| sums[CLICKS].saturating_add(sums[INVALID_CLICKS]);
    vec![PlacementCounts {
        placement: String::new(),
        events: all(&day),
        invalid: day[INVALID_CLICKS],
        usual_events: all(&before),
        usual_invalid: before[INVALID_CLICKS],
        invalid_micros: day[SPEND_CORRECTION].saturating_neg().max(0),
    }]
}

fn hour_of(at: Millis) -> Millis {
    at.div_euclid(HOUR_MS).saturating_mul(HOUR_MS)
}

impl Hours {
    /// Begins with the first hour that is seen whole.
    pub fn begun(seen_until: Millis) -> Self {
        Self { judged_until: hour_of(seen_until), ..Self::default() }
    }
}
