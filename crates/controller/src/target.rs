//! What a campaign with a target of its own remembers: cells of clicks, the cap that was in force, the loop's bid; and
//! what its account knows of delays.
//!
//! What always holds: nothing is kept for campaigns without a target; memory is bounded (hours of about two days, days of
//! five weeks); a conversion is counted in the cell of its click, and only where that cell's spend is known. Hours begin
//! with the local day, so hours and days never share a click.
//!
//! Missing on purpose: spend by platform reports (a report does not say when the click was; such campaigns follow their
//! budget alone); conversions taken back by corrections; the cap at the event's own time (it is the one in force when the
//! event is counted: a feed that is an hour late shifts it by an hour); single values where one minute brings several
//! conversions of one minute of clicks (they count as equal).

use crate::by_value::may_steer;
use crate::by_weather::{self, ByWeather};
use crate::calendar::{Calendar, minute_index};
use crate::campaign::Live;
use crate::hour_table::{ByHour, are_followed};
use crate::measures::{CONVERSIONS, CREDITS_CONVERSION_TIME};
use crate::surroundings::Surroundings;
use crate::value_cap::Values;
use model::WHOLE_PPM;
use model::fact::CampaignSpec;
use model::journal::Delta;
use model::output::Term;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::arithmetic::{LogBid, NAT, ratio};
use policy::hold::Hold;
use policy::plan::Lift;
use policy::settings::Target as Settings;
use policy::target::{BUCKETS, Cell, Cpa, Roas, SeenShare, Step, Target, bucket_of};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use window::panes::Panes;

/// The target that a campaign's bid follows, `None` for the strategies without one.
pub fn goal(spec: &CampaignSpec) -> Option<Box<dyn Target>> {
    if spec.spend_source == "stats" {
        return None;
    }
    match spec.bid_strategy.as_str() {
        "target_cpa" => {
            let target_micros = spec.target_cpa_micros.filter(|target| *target > 0)?;
            Some(Box::new(Cpa { target_micros }))
        }
        "target_roas" => {
            let target_ppm = spec.target_roas_ppm.filter(|target| *target > 0)?;
            Some(Box::new(Roas { target_ppm }))
        }
        _ => None,
    }
}

/// The loop of one campaign.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TargetLoop {
    /// u_T.
    pub log_bid: LogBid,
    /// When it was evaluated last.
    pub evaluated_at: Option<Millis>,
    /// The cap that spend of now is remembered with: u_T, or the bid in force where that is clearly above it.
    pub cap: LogBid,
    /// The last evaluation, as it is told.
    pub told: Option<Told>,
}

/// The terms of the last evaluation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Told {
    pub mean_cap: LogBid,
    pub error_ppm: i64,
    pub due_micro: i64,
    pub seen_micro: i64,
    pub window_ms: Millis,
}

impl TargetLoop {
    /// The terms of the last evaluation and the bid that it led to, for explanations.
    pub fn terms(&self) -> Vec<Term> {
        let term = |name: &str, value| Term { name: name.to_owned(), value };
        let told = self.told.map(|told| {
            [
                term("target_window_ms", told.window_ms),
                term("target_due_micro", told.due_micro),
                term("target_seen_micro", told.seen_micro),
                term("target_error_ppm", told.error_ppm),
                term("target_mean_cap_micro_nats", told.mean_cap),
            ]
        });
        told.into_iter().flatten().chain([term("target_log_bid_micro_nats", self.log_bid)]).collect()
    }
}

impl Told {
    /// Of an evaluation.
    pub fn of(step: &Step) -> Self {
        let micro = |x: f64| policy::arithmetic::half_to_even(x * 1e6).unwrap_or(i64::MAX);
        Self {
            mean_cap: step.mean_cap,
            error_ppm: policy::arithmetic::ppm(step.error),
            due_micro: micro(step.due),
            seen_micro: micro(step.seen),
            window_ms: step.window_ms,
        }
    }
}

/// Where the bid in force is further above u_T than the dead band and one cut explain, it is the cap: nobody obeys.
const OBEYED: LogBid = 160_000;

impl TargetLoop {
    /// At the first bid.
    pub fn new(log_bid: LogBid) -> Self {
        Self { log_bid, evaluated_at: None, cap: log_bid, told: None }
    }

    /// Notes the bid in force, what a declared season adds to it left out.
    pub fn note_in_force(&mut self, in_force: LogBid) {
        self.cap = if in_force > self.log_bid.saturating_add(OBEYED) { in_force } else { self.log_bid };
    }
}

/// Clicks of a campaign, by hour and local day, with what they cost and brought.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cells {
    /// Nothing before is known.
    begun: Millis,
    hours: Panes<MEASURES>,
    days: Panes<MEASURES>,
}

const SPEND: usize = 0;
const CLICKS: usize = 1;
const CREDITS: usize = 2;
const VALUE: usize = 3;
const VALUE_SQUARES: usize = 4;
const CAPPED: usize = 5;
const CAPPED_TIMES_CAP: usize = 6;
const MEASURES: usize = 7;

/// Hours of today and of the two days before: at least 48, and what a day with a shifted clock adds.
const HOURS_KEPT: usize = 76;
/// Four weeks, and what is late.
const DAYS_KEPT: usize = 32;

impl Cells {
    /// Begun with the first event that is counted.
    pub fn new(begun: Millis) -> Self {
        Self { begun, hours: Panes::new(), days: Panes::new() }
    }

    /// Adds spend and clicks, bought under the cap.
    pub fn touch(&mut self, calendar: &Calendar, at: Millis, spend_micros: i64, clicks: i64, cap: Option<LogBid>) {
        let mut sums = [0; MEASURES];
        (sums[SPEND], sums[CLICKS]) = (spend_micros, clicks);
        let times_cap = |cap| ratio(i128::from(spend_micros) * i128::from(cap), NAT as i128);
        if let Some(times_cap) = cap.filter(|_| spend_micros > 0).and_then(times_cap) {
            (sums[CAPPED], sums[CAPPED_TIMES_CAP]) = (spend_micros, times_cap);
        }
        self.add(calendar, at, &sums);
    }

    /// Adds conversions to the clicks that they are credited to.
    pub fn credit(&mut self, calendar: &Calendar, touched: Millis, credits_micro: i64, value_micros: i64) {
        let mut sums = [0; MEASURES];
        (sums[CREDITS], sums[VALUE]) = (credits_micro, value_micros);
        // V^2 / k: k equal values. In thousands of micros, so that a month of squares fits.
        let thousands = i128::from(value_micros / 1_000);
        let squares = ratio(thousands * thousands * i128::from(WHOLE_PPM), i128::from(credits_micro.max(1)));
        sums[VALUE_SQUARES] = squares.filter(|_| credits_micro > 0).unwrap_or(0);
        self.add(calendar, touched, &sums);
    }

    fn add(&mut self, calendar: &Calendar, at: Millis, sums: &[i64; MEASURES]) {
        if at < self.begun.div_euclid(MINUTE_MS) * MINUTE_MS {
            return;
        }
        let day = calendar.day_of(at).start;
        let hour = day.saturating_add(at.saturating_sub(day).div_euclid(HOUR_MS) * HOUR_MS);
        put(&mut self.hours, minute_index(hour), sums, HOURS_KEPT);
        put(&mut self.days, minute_index(day), sums, DAYS_KEPT);
    }

    /// Heap memory.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.hours.held_bytes() + self.days.held_bytes()
    }

    /// What had happened by `seen_until`, newest first: hours of today and yesterday, whole days before.
    /// What should have arrived in one of the `breaks` of the tracking is not waited for; what people declared of the times
    /// of the clicks, is in it.
    pub fn by_age(
        &self,
        calendar: &Calendar,
        seen_until: Millis,
        seen: &SeenShare,
        breaks: &[(Millis, Millis)],
        around: &Surroundings,
    ) -> Vec<Cell> {
        let today = calendar.day_of(seen_until).start;
        let yesterday = calendar.day_of(today.saturating_sub(1)).start;
        let cut = minute_index(yesterday);
        let start = |index: i32| Millis::from(index) * MINUTE_MS;
        let hours = self.hours.range(cut..i32::MAX).map(|(index, sums)| (start(index), HOUR_MS, sums));
        let days = self.days.range(i32::MIN..cut).map(|(index, sums)| {
            let from = start(index);
            (from, calendar.day_of(from).end.saturating_sub(from).clamp(HOUR_MS, 2 * DAY_MS), sums)
        });
        let mut cells: Vec<Cell> = days
            .chain(hours)
            .filter(|(from, _, _)| *from < seen_until)
            .map(|(from, length, sums)| {
                let (oldest, youngest) = (seen_until - from, (seen_until - from - length).max(0));
                let lost: f64 = breaks.iter().map(|span| lost_share(from, length, *span, seen)).sum();
                let to = from.saturating_add(length);
                let share = (seen.between(youngest, oldest) - lost).max(0.0);
                let share = if around.is_excluded(from, to) { 0.0 } else { share };
                let season = if around.seasons.is_empty() { 1.0 } else { Lift::mean(&around.seasons, from, to) };
                Cell { log_season: libm::log(season), ..cell(oldest, &sums, share) }
            })
            .collect();
        cells.reverse();
        cells
    }
}

/// Share of the delay curve of a cell's clicks that fell into a span in which nothing was tracked.
fn lost_share(from: Millis, length: Millis, (began, ended): (Millis, Millis), seen: &SeenShare) -> f64 {
    let by = |at: Millis| {
        let oldest = at.saturating_sub(from);
        if oldest <= 0 { 0.0 } else { seen.between(oldest.saturating_sub(length).max(0), oldest) }
    };
    (by(ended) - by(began)).max(0.0)
}

fn cell(begun_ago_ms: Millis, sums: &[i64; MEASURES], seen_share: f64) -> Cell {
    Cell {
        begun_ago_ms,
        spend_micros: sums[SPEND],
        clicks: sums[CLICKS],
        conversions_micro: sums[CREDITS],
        value_micros: sums[VALUE],
        value_squares: sums[VALUE_SQUARES],
        capped_micros: sums[CAPPED],
        capped_times_cap: sums[CAPPED_TIMES_CAP],
        seen_share,
        log_season: 0.0,
    }
}

/// Adds unless the pane is older than all that are kept; the oldest make room.
fn put<const N: usize>(panes: &mut Panes<N>, index: i32, sums: &[i64; N], kept: usize) {
    if panes.len() >= kept && panes.first().is_some_and(|first| index < first) {
        return;
    }
    panes.add(index, sums);
    if panes.len() > kept {
        panes.keep_newest(kept);
    }
}

/// What an account's campaigns know together: how long conversions take (all campaigns that are credited with some), and
/// how many clicks bring one (campaigns with targets).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Development {
    /// Micro-conversions by UTC hour of the click and bucket of the delay; behind the last clicks and micro-conversions of
    /// the campaigns with targets.
    hours: Panes<COUNTS>,
    /// The same by UTC day.
    days: Panes<COUNTS>,
    /// What single conversions were worth.
    pub values: Values,
}

const COUNTS: usize = BUCKETS + 2;
/// Clicks, and micro-conversions, of campaigns with targets.
const TARGET_CLICKS: usize = BUCKETS;
const TARGET_CREDITS: usize = BUCKETS + 1;

impl Development {
    /// Adds clicks.
    pub fn note_clicks(&mut self, at: Millis, clicks: i64) {
        self.add(at, TARGET_CLICKS, clicks);
    }

    /// Adds conversions.
    pub fn note_credits(&mut self, touched: Millis, delay: Millis, credits_micro: i64, has_target: bool) {
        self.add(touched, bucket_of(delay), credits_micro);
        if has_target {
            self.add(touched, TARGET_CREDITS, credits_micro);
        }
    }

    fn add(&mut self, at: Millis, measure: usize, amount: i64) {
        if amount == 0 {
            return;
        }
        let mut counts = [0; COUNTS];
        counts[measure] = amount;
        put(&mut self.hours, minute_index(at.div_euclid(HOUR_MS) * HOUR_MS), &counts, HOURS_KEPT);
        put(&mut self.days, minute_index(at.div_euclid(DAY_MS) * DAY_MS), &counts, DAYS_KEPT);
    }

    /// F, as far as the clicks until `seen_until` show it.
    ///
    /// Clicks of a campaign's data exclusion are not in it if the exclusion was told before they came.
    pub fn seen_share(&self, seen_until: Millis, settings: &Settings) -> SeenShare {
        let buckets = |counts: [i64; COUNTS]| std::array::from_fn(|bucket| counts[bucket]);
        let cells: Vec<_> = self
            .cells(seen_until)
            .map(|(from, length, counts)| (seen_until.saturating_sub(from + length), buckets(counts)))
            .collect();
        SeenShare::of(&cells, settings)
    }

    /// Conversions of a click, delays accounted for; `None` before there are enough to say.
    pub fn rate(&self, seen_until: Millis, seen: &SeenShare, settings: &Settings) -> Option<f64> {
        let (mut clicks, mut conversions) = (0.0, 0.0);
        for (from, length, counts) in self.cells(seen_until) {
            let oldest = seen_until.saturating_sub(from).max(0);
            clicks += counts[TARGET_CLICKS].max(0) as f64 * seen.between((oldest - length).max(0), oldest);
            conversions += counts[TARGET_CREDITS] as f64 / 1e6;
        }
        (conversions >= settings.prior_conversions && clicks > 0.0).then(|| conversions / clicks)
    }

    /// Start, length and counts: hours of about two days, days before.
    fn cells(&self, seen_until: Millis) -> impl Iterator<Item = (Millis, Millis, [i64; COUNTS])> + '_ {
        let cut = minute_index(seen_until.saturating_sub(DAY_MS).div_euclid(DAY_MS) * DAY_MS);
        let start = |index: i32| Millis::from(index) * MINUTE_MS;
        let days = self.days.range(i32::MIN..cut).map(move |(index, counts)| (start(index), DAY_MS, counts));
        days.chain(self.hours.range(cut..i32::MAX).map(move |(index, counts)| (start(index), HOUR_MS, counts)))
    }
}

impl Live {
    /// Counts a row for the target, where the campaign has one, for its hours, where they are followed, and its delay for
    /// the account.
    pub fn fold_for_target(&mut self, delta: &Delta, conversion_type: &str, development: &mut Development) {
        let (has_target, follows_hours) = (goal(&self.spec).is_some(), are_followed(&self.spec));
        let at = delta.minute * MINUTE_MS;
        if conversion_type.is_empty() {
            if has_target {
                let cap = self.pacing.target.as_ref().map(|target| target.cap).or_else(|| self.first_cap());
                let cells = self.cells.get_or_insert_with(|| Box::new(Cells::new(at)));
                cells.touch(&self.calendar, at, delta.spend_micros, delta.clicks, cap);
            }
            if self.around().is_excluded(at, at.saturating_add(MINUTE_MS)) {
                return;
            }
            if has_target {
                development.note_clicks(at, delta.clicks);
            }
            self.touch_weather(delta, at);
            if follows_hours {
                let by_hour = self.by_hour.get_or_insert_with(|| Box::new(ByHour::new(at)));
                by_hour.touch(&self.calendar, at, delta.clicks, delta.spend_micros);
            }
            return;
        }
        if delta.touch_minute == model::journal::NO_TOUCH || !self.is_goal(conversion_type) || self.counts_reports() {
            return;
        }
        let (credits, value) = match self.spec.attribution_model.as_str() {
            "linear" => (delta.linear_conversions_micro, delta.linear_value_micros),
            _ => (delta.last_conversions_micro, delta.last_value_micros),
        };
        let value = development.values.capped(&self.spec.currency, at, value, credits);
        let touched = delta.touch_minute * MINUTE_MS;
        if let Some(cells) = self.cells.as_mut().filter(|_| has_target) {
            cells.credit(&self.calendar, touched, credits, value);
        }
        if self.around().is_excluded(touched, touched.saturating_add(MINUTE_MS)) {
            return;
        }
        if let Some(by_weather) = self.by_weather.as_mut() {
            let word = self.surroundings.as_ref().and_then(|around| around.weather_at(touched));
            Arc::make_mut(by_weather).credit(&self.calendar, touched, word, credits, value);
        }
        if let Some(by_hour) = self.by_hour.as_mut().filter(|_| follows_hours) {
            by_hour.credit(&self.calendar, touched, credits, value);
        }
        development.note_credits(touched, at.saturating_sub(touched), credits, has_target);
    }

    /// Counts events by weather, from the first that was told at the campaign's places on.
    fn touch_weather(&mut self, delta: &Delta, at: Millis) {
        let Some(around) = self.surroundings.as_ref().filter(|around| !around.weather.is_empty()) else { return };
        if !may_steer(&self.spec, by_weather::DIMENSION) {
            return;
        }
        let by_weather = Arc::make_mut(self.by_weather.get_or_insert_with(|| Arc::new(ByWeather::new(at))));
        let counts = [delta.clicks, delta.impressions];
        by_weather.touch(&self.calendar, at, around.weather_at(at), counts, delta.spend_micros);
    }

    /// The bid of the specification: what the loop begins with.
    pub fn first_cap(&self) -> Option<LogBid> {
        policy::arithmetic::log_bid(self.spec.bid_micros).ok()
    }

    /// Conversions are claimed, but none is ever credited to a click: then silence says nothing about the clicks.
    pub fn lacks_credits(&self) -> Result<(), Hold> {
        let totals = self.totals.get(crate::campaign::LIFETIME).unwrap_or(crate::measures::NONE);
        let claimed = totals[CONVERSIONS] >= CLAIMS_TELLING;
        let credited = totals[CREDITS_CONVERSION_TIME] > 0 || totals[CREDITS_CONVERSION_TIME + 2] > 0;
        if claimed && !credited { Err(Hold::NoCredits) } else { Ok(()) }
    }
}

/// So many claims without one credit are no chance.
const CLAIMS_TELLING: i64 = 5;
