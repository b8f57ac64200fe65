//! What is believed of one campaign: its specification, its panes, its long totals, its unpublished rows.
//!
//! What always holds: an amount is in exactly one pane of each granularity that still lives and in the totals of
//! exactly one month and week; a pane that has been forgotten is never begun again, so a published row is never a part
//! of the truth. Panes die by the campaign's watermark, and sparse ones stay while there is room: a campaign with few
//! hours keeps them longer than the lateness that is promised.

use crate::breakdown::Breakdown;
use crate::by_value::{ByValue, may_steer};
use crate::by_weather::{self, ByWeather};
use crate::calendar::{Calendar, Day, minute_index};
use crate::ceilings::Promise;
use crate::desk::RuleSaid;
use crate::hour_table::{ByHour, are_followed, has_factors};
use crate::measures::*;
use crate::pacing::Pacing;
use crate::picture::Outlook;
use crate::quiet::Quiet;
use crate::seen::Seen;
use crate::stats::{Hearing, Outcome, Stats, Told};
use crate::surroundings::Surroundings;
use crate::target::{Cells, goal};
use model::fact::{CampaignSpec, Correction, StatsReport};
use model::journal::{Delta, NO_TOUCH};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use window::panes::Panes;

/// A campaign: 300 bytes until something happens in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Campaign {
    /// The specification as bytes; decoded once the campaign lives.
    packed_spec: Arc<[u8]>,
    /// Version of the specification.
    pub version: i64,
    /// All that an event or a command brings; shared with a frozen state until it changes.
    pub live: Option<Arc<Live>>,
    /// A version whose numbers jumped, waiting for a person.
    pub jumped: Option<Box<Jumped>>,
}

/// A specification as it came, while the old numbers stay in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Jumped {
    /// As it came.
    pub spec: CampaignSpec,
    /// The fields that changed too far.
    pub fields: Vec<String>,
}

/// The state of a campaign in which something has happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Live {
    /// The specification in force; unpacked again after a restore.
    #[serde(skip)]
    pub spec: CampaignSpec,
    /// Days of the campaign.
    pub calendar: Calendar,
    /// By epoch minute: touches and claimed conversions, credits at conversion time.
    pub minutes: Panes<MEASURES>,
    /// By the minute at which a UTC hour starts.
    pub hours: Panes<MEASURES>,
    /// By the minute at which a local day starts.
    pub days: Panes<MEASURES>,
    /// By local Monday.
    pub weeks: Panes<MEASURES>,
    /// By local month.
    pub months: Panes<MEASURES>,
    /// [`LIFETIME`] and [`FLIGHT`].
    pub totals: Panes<MEASURES>,
    /// Platform reports, where there are any.
    pub stats: Option<Box<Stats>>,
    /// Rows that wait for their window to close, sorted.
    pub open: Vec<RowKey>,
    /// Rows that changed after they were published, sorted.
    pub revised: Vec<RowKey>,
    /// Added to the revisions of panes: rises when windows restart in another currency.
    pub revision_base: i64,
    /// Event time of the newest event.
    pub newest_event: Millis,
    /// Budgets planned for the days that still live, as they stood last, by the minute at which the day starts.
    pub plans: Vec<(i32, i64)>,
    /// Since when the daily budget stands, where it was changed.
    pub promise: Option<Promise>,
    /// What the loops remember.
    pub pacing: Pacing,
    /// Clicks with what they cost and brought, for campaigns with a target of their own.
    pub cells: Option<Box<Cells>>,
    /// What clicks were worth by hour, for campaigns with a goal.
    pub by_hour: Option<Box<ByHour>>,
    /// What clicks were worth by the values of dimensions, for campaigns with a goal; shared with a frozen state.
    pub by_value: Option<Arc<ByValue>>,
    /// What billable events were worth by weather, for campaigns with a goal at whose places one was told; shared likewise.
    pub by_weather: Option<Arc<ByWeather>>,
    /// Where clicks are made, with their parts, the greatest first; as of the last daily evaluation.
    pub places: Vec<(Box<str>, f32)>,
    /// Local date of that.
    pub places_asked: Option<i32>,
    /// What is said around the campaign; made anew where something was said.
    #[serde(skip)]
    pub surroundings: Option<Arc<Surroundings>>,
    /// Four weeks by dimension, and credits by model; shared with a frozen state until they change.
    pub breakdown: Option<Arc<Breakdown>>,
    /// Local date on which what goes together with first touches was looked at last.
    pub associated: Option<i32>,
    /// The instant at which users' rules were asked last.
    pub rules_at: Option<Millis>,
    /// What they said; a restart begins with nothing.
    #[serde(skip)]
    pub said: Vec<RuleSaid>,
    /// The plan of the day, kept.
    #[serde(skip)]
    pub outlook: Option<Outlook>,
    /// Why the last look led to nothing, by lever; a restart begins with none.
    #[serde(skip)]
    pub whys: Vec<(&'static str, &'static str)>,
    /// Until when looks would find nothing new.
    pub quiet: Option<Quiet>,
    forgotten: Forgotten,
}

/// Indices before which panes were forgotten.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Forgotten {
    minutes: i32,
    hours: i32,
    days: i32,
}

impl Default for Forgotten {
    fn default() -> Self {
        Self { minutes: i32::MIN, hours: i32::MIN, days: i32::MIN }
    }
}

/// A window whose rows are to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// Minute at which the window ends.
    pub end: i32,
    /// Minute at which it starts.
    pub start: i32,
    /// What kind of window it is.
    pub granularity: Granularity,
}

/// Kinds of windows that rows are published for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Granularity {
    Minute,
    Hour,
    Day,
}

/// Amounts that came too late for a pane; they are in the long totals all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Late {
    pub minutes: i64,
    pub hours: i64,
    pub days: i64,
}

/// How far an amount reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// An instant is known: minute, hour, day and totals.
    Minute,
    /// Only the hour is known, or matters: no minute pane.
    Hour,
}

/// Totals of everything ever counted in the campaign's currency.
pub const LIFETIME: i32 = 0;
/// Totals since the flight's start.
pub const FLIGHT: i32 = 1;

/// 60 minutes are the widest minute window, 15 more are the lateness.
const MINUTES_KEPT: i32 = 75;
/// Panes of hours live 48 hours.
const HOURS_KEPT: i32 = 48;
/// Panes of days live 35 days.
const DAYS_KEPT: i32 = 35;
/// Where no watermark ends their life (a dead source), this number of panes does.
const MINUTES_MAX: usize = 400;
const HOURS_MAX: usize = 240;
const DAYS_MAX: usize = 100;
/// The current week or month, the one before, and one that begins early by an event ahead of the clock.
const PERIODS_MAX: usize = 3;

impl Campaign {
    /// Takes a specification.
    pub fn specify(&mut self, spec: &CampaignSpec, now: Millis) {
        self.version = spec.version;
        // A specification is plain data: serialization has no way to fail, and an empty one reads as the default.
        self.packed_spec = postcard::to_stdvec(spec).unwrap_or_default().into();
        if let Some(live) = self.live.as_mut().map(Arc::make_mut) {
            live.respecify(spec.clone(), now);
        }
    }

    /// The specification, `None` before the first.
    pub fn spec(&self) -> Option<CampaignSpec> {
        match &self.live {
            Some(live) => Some(live.spec.clone()),
            None => postcard::from_bytes(&self.packed_spec).ok(),
        }
    }

    /// The daily budget of the specification.
    pub fn daily_budget_micros(&self) -> Option<i64> {
        match &self.live {
            Some(live) => live.spec.daily_budget_micros,
            None => self.spec()?.daily_budget_micros,
        }
    }

    /// Whether the specification explains amounts in this currency.
    pub fn explains(&self, currency: &str) -> bool {
        match &self.live {
            Some(live) => live.spec.currency == currency,
            None => self.spec().is_some_and(|spec| spec.currency == currency),
        }
    }

    /// Wakes the campaign; `None` without a specification.
    pub fn live_mut(&mut self) -> Option<&mut Live> {
        if self.live.is_none() {
            let spec: CampaignSpec = postcard::from_bytes(&self.packed_spec).ok()?;
            let mut live = Live { newest_event: Millis::MIN, ..Live::default() };
            live.calendar.set_zone(&spec.time_zone, 0);
            live.spec = spec;
            self.live = Some(Arc::new(live));
        }
        self.live.as_mut().map(Arc::make_mut)
    }

    /// Whether looks at it may be left out for a while.
    pub fn has_quiet(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.quiet.is_some())
    }

    /// Unpacks after a restore what a snapshot does not hold twice.
    pub fn wake(&mut self) {
        if let Some(live) = self.live.as_mut().map(Arc::make_mut) {
            live.spec = postcard::from_bytes(&self.packed_spec).unwrap_or_default();
            live.calendar.wake();
        }
    }
}

impl Live {
    /// Event time below which the campaign's authority has shown everything.
    pub fn watermark(&self, events: Option<Millis>) -> Option<Millis> {
        if self.counts_reports() { self.stats.as_ref()?.reported_until } else { events }
    }

    /// Whether the platform's reports are the authority of the spend.
    pub fn counts_reports(&self) -> bool {
        self.spec.spend_source == "stats"
    }

    /// Adds a row of a journal record; the currency is the campaign's.
    pub fn fold(&mut self, delta: &Delta, conversion_type: &str, minute_rows: bool) -> Late {
        let at = delta.minute * MINUTE_MS;
        if conversion_type.is_empty() {
            self.newest_event = self.newest_event.max(at);
            self.pacing.first_event = Some(self.pacing.first_event.map_or(at, |first| first.min(at)));
        }
        if conversion_type.is_empty() {
            return self.fold_touches(delta, at, minute_rows);
        }
        if !self.is_goal(conversion_type) {
            return Late::default();
        }
        if delta.touch_minute == NO_TOUCH {
            let mut claimed = NONE;
            (claimed[CONVERSIONS], claimed[VALUE]) = (delta.conversions, delta.value_micros);
            return if self.counts_reports() {
                Late::default()
            } else {
                self.add(at, &claimed, Reach::Minute, minute_rows)
            };
        }
        let credits = [
            delta.last_conversions_micro,
            delta.last_value_micros,
            delta.linear_conversions_micro,
            delta.linear_value_micros,
        ];
        let (mut by_conversion, mut by_touch) = (NONE, NONE);
        by_conversion[CREDITS_CONVERSION_TIME..CREDITS_CONVERSION_TIME + 4].copy_from_slice(&credits);
        by_touch[CREDITS_TOUCH_TIME..CREDITS_TOUCH_TIME + 4].copy_from_slice(&credits);
        let late = self.add(at, &by_conversion, Reach::Minute, minute_rows);
        late.and(self.add(delta.touch_minute * MINUTE_MS, &by_touch, Reach::Hour, false))
    }

    /// Adds a platform's report: to the measures where it is the authority, else to what is compared.
    pub fn fold_report(&mut self, report: &StatsReport, now: Millis, seen: &mut Seen) -> (Outcome, Late) {
        let hearing = Hearing { now, counted: self.counts_reports() };
        self.quiet = None;
        let stats = self.stats.get_or_insert_default();
        let outcome = match report.semantics.as_str() {
            "delta" => stats.delta(report, hearing, seen),
            _ => stats.snapshot(report, hearing),
        };
        let Outcome::Change { before, after } = &outcome else { return (outcome, Late::default()) };
        let mut late = Late::default();
        for (at, change) in self.change_by_reports(before.as_ref(), after) {
            late = late.and(self.add(at, &change, Reach::Hour, false));
        }
        if self.counts_reports() {
            let first = self.pacing.first_event.unwrap_or(report.window_start);
            self.pacing.first_event = Some(first.min(report.window_start));
        }
        (outcome, late)
    }

    /// What comes into each hour and what goes out of it, where a window holds other sums than before.
    fn change_by_reports(&self, before: Option<&Told>, after: &Told) -> BTreeMap<Millis, Measures> {
        let mut changes = BTreeMap::<Millis, Measures>::new();
        for (told, sign) in before.map(|told| (told, -1)).into_iter().chain([(after, 1)]) {
            for (at, [impressions, clicks, cost, conversions, value, billable]) in
                told.spread(|at| next_cut(at, &self.calendar))
            {
                let change = changes.entry(at).or_insert(NONE);
                let mut put = |measure: usize, amount: i64| {
                    change[measure] = change[measure].saturating_add(amount.saturating_mul(sign));
                };
                if !told.counted {
                    put(OTHER_SPEND, cost);
                    continue;
                }
                put(IMPRESSIONS, impressions);
                put(CLICKS, clicks);
                put(GROSS_SPEND, cost);
                put(CONVERSIONS, conversions);
                put(VALUE, value);
                put(BILLABLE, billable);
            }
        }
        changes
    }

    /// Adds a correction to the pane of the time it applies to.
    pub fn fold_correction(&mut self, correction: &Correction, minute_rows: bool) -> Late {
        let mut measures = NONE;
        measures[SPEND_CORRECTION] = correction.cost_micros;
        measures[CLICKS] = correction.clicks;
        (measures[CONVERSIONS], measures[VALUE]) = (correction.conversions, correction.value_micros);
        if correction.reason == "invalid_traffic" {
            measures[INVALID_CLICKS] = correction.clicks.saturating_neg();
        }
        self.quiet = None;
        if let Some(cells) = &mut self.cells {
            cells.touch(&self.calendar, correction.applies_at, correction.cost_micros, correction.clicks, None);
        }
        self.add(correction.applies_at, &measures, Reach::Minute, minute_rows)
    }

    /// Whether a window that was never published has closed.
    pub fn closes(&self, watermark: Millis) -> bool {
        self.open.first().is_some_and(|row| Millis::from(row.end) * MINUTE_MS <= watermark)
    }

    /// Rows of windows that the watermark has closed and that were never published.
    pub fn take_closed(&mut self, watermark: Millis) -> Vec<RowKey> {
        if !self.closes(watermark) {
            return Vec::new();
        }
        let closed = self.open.partition_point(|row| Millis::from(row.end) * MINUTE_MS <= watermark);
        self.open.drain(..closed).collect()
    }

    /// Whether impressions are what costs money, not clicks.
    pub fn pays_for_impressions(&self) -> bool {
        let all = self.totals.get(LIFETIME).unwrap_or(NONE);
        all[BILLABLE].saturating_sub(all[CLICKS]) > all[IMPRESSIONS].saturating_sub(all[BILLABLE]).saturating_abs()
    }

    /// Spend after corrections in the day, week, month or flight.
    pub fn net_spend_of_day(&self, day: &Day) -> i64 {
        self.days.get(day.index()).map_or(0, |sums| net_spend(&sums))
    }

    /// Remembers the plan of the day: its row closes when the next day is planned already.
    pub fn note_plan(&mut self) {
        let Some((start, budget)) = self.pacing.planned else { return };
        let day = minute_index(start);
        match self.plans.binary_search_by_key(&day, |(known, _)| *known) {
            Ok(at) => self.plans[at].1 = budget,
            Err(at) => self.plans.insert(at, (day, budget)),
        }
    }

    /// The budget planned for the day that starts at a minute, as it stood last.
    pub fn plan_of(&self, day: i32) -> Option<i64> {
        let at = self.plans.binary_search_by_key(&day, |(known, _)| *known).ok()?;
        Some(self.plans[at].1)
    }

    /// Whether there is something to forget.
    pub fn forgets(&self, watermark: Option<Millis>) -> bool {
        let floor = watermark.map_or(i32::MIN, minute_index);
        let before = |span: i32| floor.saturating_sub(span);
        dies(&self.minutes, before(MINUTES_KEPT), MINUTES_KEPT as usize, MINUTES_MAX)
            || dies(&self.hours, before((HOURS_KEPT + 1) * 60), HOURS_KEPT as usize, HOURS_MAX)
            || dies(&self.days, before((DAYS_KEPT + 1) * 1_440), DAYS_KEPT as usize, DAYS_MAX)
            || self.weeks.len().max(self.months.len()) > PERIODS_MAX
            || self.plans.len() > DAYS_MAX
            || self.plans.first().is_some_and(|(day, _)| *day < self.forgotten.days)
    }

    /// Forgets panes that the watermark has left behind. Only with no revised rows waiting, since they need the panes.
    pub fn forget(&mut self, watermark: Option<Millis>) {
        let floor = watermark.map_or(i32::MIN, minute_index);
        let before = |span: i32| floor.saturating_sub(span);
        let forgotten = &mut self.forgotten;
        forget(&mut self.minutes, &mut forgotten.minutes, before(MINUTES_KEPT), MINUTES_KEPT as usize, MINUTES_MAX);
        forget(&mut self.hours, &mut forgotten.hours, before((HOURS_KEPT + 1) * 60), HOURS_KEPT as usize, HOURS_MAX);
        forget(&mut self.days, &mut forgotten.days, before((DAYS_KEPT + 1) * 1_440), DAYS_KEPT as usize, DAYS_MAX);
        self.weeks.keep_newest(PERIODS_MAX);
        self.months.keep_newest(PERIODS_MAX);
        let dead = self.plans.partition_point(|(day, _)| *day < self.forgotten.days);
        let excess = self.plans.len().saturating_sub(DAYS_MAX);
        self.plans.drain(..dead.max(excess));
    }

    /// Heap memory of the panes.
    pub fn held_bytes(&self) -> usize {
        let panes = [&self.minutes, &self.hours, &self.days, &self.weeks, &self.months, &self.totals];
        panes.iter().map(|panes| panes.held_bytes()).sum::<usize>()
            + self.cells.as_ref().map_or(0, |cells| cells.held_bytes())
            + self.by_hour.as_ref().map_or(0, |by_hour| by_hour.held_bytes())
            + self.by_value.as_ref().map_or(0, |by_value| by_value.held_bytes())
            + self.by_weather.as_ref().map_or(0, |by_weather| by_weather.held_bytes())
            + self.places.iter().map(|(place, _)| place.len() + size_of::<(Box<str>, f32)>()).sum::<usize>()
            + self.stats.as_ref().map_or(0, |stats| stats.held_bytes())
            + self.breakdown.as_ref().map_or(0, |breakdown| breakdown.held_bytes())
            + self.plans.capacity() * size_of::<(i32, i64)>()
            + self.pacing.hours.as_ref().map_or(0, |hours| hours.held_bytes())
            + size_of::<Self>()
    }

    fn respecify(&mut self, spec: CampaignSpec, now: Millis) {
        if spec.time_zone != self.spec.time_zone {
            self.calendar.set_zone(&spec.time_zone, now);
        }
        if spec.currency != self.spec.currency {
            self.restart_windows();
        } else if spec.flight_start != self.spec.flight_start {
            self.recount_flight(spec.flight_start);
        }
        if spec.daily_budget_micros != self.spec.daily_budget_micros {
            self.promise = Some(Promise::changed(self, &self.calendar.day_of(now)));
        }
        self.spec = spec;
        if goal(&self.spec).is_none() {
            (self.cells, self.pacing.target) = (None, None);
        }
        if !are_followed(&self.spec) {
            self.by_hour = None;
        }
        if !has_factors(&self.spec) {
            (self.by_value, self.by_weather) = (None, None);
        }
        if !may_steer(&self.spec, by_weather::DIMENSION) {
            self.by_weather = None;
        }
        self.forget_surroundings();
    }

    /// Sums of another currency must not meet: panes and totals begin anew, revisions go on.
    fn restart_windows(&mut self) {
        let highest = [&self.minutes, &self.hours, &self.days].into_iter().flat_map(|panes| panes.iter());
        let highest = highest.map(|(_, sums)| sums[REVISION].max(sums[REVISION_TOUCH])).max().unwrap_or(0);
        self.revision_base = self.revision_base.saturating_add(highest);
        for panes in [&mut self.minutes, &mut self.hours, &mut self.days] {
            *panes = Panes::new();
        }
        for panes in [&mut self.weeks, &mut self.months, &mut self.totals] {
            *panes = Panes::new();
        }
        self.stats = None;
        self.promise = None;
        self.plans.clear();
        (self.cells, self.pacing.target, self.by_hour) = (None, None, None);
        (self.breakdown, self.by_value, self.by_weather) = (None, None, None);
        if let Some(hours) = &mut self.pacing.hours {
            hours.restart();
        }
        self.open.clear();
        self.revised.clear();
    }

    /// A new start: what the day panes still show from it on, or all, where it is older than they are.
    fn recount_flight(&mut self, start: Millis) {
        let first = self.calendar.day_of(start).index();
        let lifetime = self.totals.get(LIFETIME).unwrap_or(NONE);
        let sums = if first >= self.forgotten.days { self.days.sum(first..i32::MAX) } else { lifetime };
        let mut totals = Panes::new();
        totals.add(LIFETIME, &lifetime);
        totals.add(FLIGHT, &sums);
        self.totals = totals;
    }

    fn fold_touches(&mut self, delta: &Delta, at: Millis, minute_rows: bool) -> Late {
        let mut measures = NONE;
        if self.counts_reports() {
            measures[OTHER_SPEND] = delta.spend_micros;
            return self.add(at, &measures, Reach::Hour, false);
        }
        (measures[IMPRESSIONS], measures[CLICKS]) = (delta.impressions, delta.clicks);
        (measures[BILLABLE], measures[GROSS_SPEND]) = (delta.billable, delta.spend_micros);
        self.stir(at, delta.spend_micros);
        self.add(at, &measures, Reach::Minute, minute_rows)
    }

    /// Whether conversions of this type count for the campaign's goals.
    pub fn is_goal(&self, conversion_type: &str) -> bool {
        is_goal(&self.spec, conversion_type)
    }

    fn add(&mut self, at: Millis, measures: &Measures, reach: Reach, minute_rows: bool) -> Late {
        if *measures == NONE {
            return Late::default();
        }
        let mut late = Late::default();
        let day = self.calendar.day_of_event(at);
        let (minute, hour) = (minute_index(at), minute_index(at.div_euclid(HOUR_MS) * HOUR_MS));
        if reach == Reach::Minute {
            late.minutes = put(&mut self.minutes, self.forgotten.minutes, minute, measures);
            if minute_rows && late.minutes == 0 {
                self.note(RowKey { start: minute, end: minute.saturating_add(1), granularity: Granularity::Minute });
            }
        }
        late.hours = put(&mut self.hours, self.forgotten.hours, hour, measures);
        if late.hours == 0 {
            self.note(RowKey { start: hour, end: hour.saturating_add(60), granularity: Granularity::Hour });
        }
        late.days = put(&mut self.days, self.forgotten.days, day.index(), measures);
        if late.days == 0 {
            self.note(RowKey { start: day.index(), end: minute_index(day.end), granularity: Granularity::Day });
        }
        self.add_to_totals(at, &day, measures);
        late
    }

    fn add_to_totals(&mut self, at: Millis, day: &Day, measures: &Measures) {
        self.weeks.add(day.week, measures);
        self.months.add(day.month, measures);
        self.totals.add(LIFETIME, measures);
        if at >= self.spec.flight_start {
            self.totals.add(FLIGHT, measures);
        }
    }

    /// A day's credits changed: its row is written again, where its pane still lives.
    pub fn note_day(&mut self, row: RowKey) {
        if self.days.get(row.start).is_some() {
            self.note(row);
        }
    }

    /// Remembers that a row is to be published, for the first time or again.
    fn note(&mut self, row: RowKey) {
        // What waits already was never published: nearly every amount ends here, without a look at the pane.
        if self.open.binary_search(&row).is_ok() {
            return;
        }
        let panes = self.panes(row.granularity);
        let published = panes.get(row.start).is_some_and(|sums| sums[REVISION] > 0);
        let rows = if published { &mut self.revised } else { &mut self.open };
        if let Err(at) = rows.binary_search(&row) {
            rows.insert(at, row);
        }
    }

    /// The panes of a granularity.
    pub fn panes(&self, granularity: Granularity) -> &Panes<MEASURES> {
        match granularity {
            Granularity::Minute => &self.minutes,
            Granularity::Hour => &self.hours,
            Granularity::Day => &self.days,
        }
    }

    /// Counts a publication of a row and gives its revision.
    pub fn next_revision(&mut self, row: &RowKey, measure: usize) -> i64 {
        let base = self.revision_base;
        let panes = match row.granularity {
            Granularity::Minute => &mut self.minutes,
            Granularity::Hour => &mut self.hours,
            Granularity::Day => &mut self.days,
        };
        panes.add(row.start, &only(measure, 1));
        base.saturating_add(panes.get(row.start).map_or(1, |sums| sums[measure]))
    }
}

/// Whether conversions of a type count for the goals of a specification.
pub fn is_goal(spec: &CampaignSpec, conversion_type: &str) -> bool {
    let named = |types: &[String]| types.iter().any(|named| named == conversion_type);
    match spec.goal_conversion_types.as_slice() {
        [] => !named(&spec.micro_conversion_types),
        goals => named(goals),
    }
}

impl Late {
    /// Both.
    pub fn and(self, other: Late) -> Late {
        Late {
            minutes: self.minutes.saturating_add(other.minutes),
            hours: self.hours.saturating_add(other.hours),
            days: self.days.saturating_add(other.days),
        }
    }
}

/// Adds unless the pane was forgotten; 1 if it was.
fn put(panes: &mut Panes<MEASURES>, forgotten: i32, index: i32, measures: &Measures) -> i64 {
    if index < forgotten {
        return 1;
    }
    panes.add(index, measures);
    0
}

/// Whether the oldest pane goes.
fn dies(panes: &Panes<MEASURES>, floor: i32, kept: usize, most: usize) -> bool {
    panes.first().is_some_and(|first| first < floor && panes.len() > kept) || panes.len() > most
}

/// Panes before `floor` go where there are more than `kept`; any go where there are more than `most`.
fn forget(panes: &mut Panes<MEASURES>, forgotten: &mut i32, floor: i32, kept: usize, most: usize) {
    while let Some(first) = panes.first().filter(|_| dies(panes, floor, kept, most)) {
        *forgotten = first.saturating_add(1);
        panes.forget_before(first.saturating_add(1));
    }
}

/// Where an hour or a day ends next.
fn next_cut(at: Millis, calendar: &Calendar) -> Millis {
    let hour = at.div_euclid(HOUR_MS).saturating_add(1).saturating_mul(HOUR_MS);
    hour.min(calendar.day_of(at).end).min(at.saturating_add(DAY_MS))
}
