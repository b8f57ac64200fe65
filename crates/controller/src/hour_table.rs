//! What a campaign's clicks were worth by local hour of the day, and the factors on the bid that follow.
//!
//! What always holds: memory is fixed (about 4.5 kB a campaign that has a goal to judge by, none for others); a conversion is
//! counted once, when it is first seen, in the hour of its click; a click counts by what of its conversions became
//! visible since the evaluation before, so young clicks do not look worse than old ones. Evaluations come once a local
//! day, at a fixed hour, and are belief: they are the same whether anything is decided or not.
//!
//! Missing on purpose: hours of the week (they need eight weeks of what the memory here does not keep), clicks taken back
//! by corrections, a cap on single values; other dimensions are [`crate::by_value`]'s.

use crate::calendar::{Calendar, Day};
use crate::campaign::Live;
use crate::picture::local_day;
use crate::worth::{self, Worth, kept_after};
use model::fact::CampaignSpec;
use model::output::Term;
use model::time::{DAY_MS, HOUR_MS, Millis};
use policy::modifier::{self, Measured, Proven};
use policy::settings::Modifiers as Settings;
use policy::target::SeenShare;
use serde::{Deserialize, Serialize};

/// Whether hours of this campaign can be told apart, and may be.
pub fn are_followed(spec: &CampaignSpec) -> bool {
    has_factors(spec) && !spec.forbidden_dimensions.iter().any(|name| name == DIMENSION)
}

/// Whether the campaign's goal says what a click is worth, and its bid is ours, by events that we see.
pub fn has_factors(spec: &CampaignSpec) -> bool {
    let has_goal = matches!(spec.bid_strategy.as_str(), "max_conversions" | "max_value" | "target_cpa" | "target_roas");
    has_goal && spec.bid_control == "paceline" && spec.spend_source != "stats"
}

/// The dimension's name, as a specification may forbid it.
pub const DIMENSION: &str = "hour";
/// Hours of a day.
pub const HOURS: usize = 24;
/// Clicks of older days have shown nearly all.
const DAYS_KEPT: usize = 14;

/// The memory of one campaign.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ByHour {
    /// Clicks before are not known, so neither are their conversions counted.
    begun: Millis,
    days: Vec<ClickDay>,
    fresh: [Fresh; HOURS],
    cells: [Worth; HOURS],
    /// Until when was seen what the last evaluation saw.
    seen_until: Option<Millis>,
    /// Local date of the last evaluation.
    evaluated: Option<i32>,
    /// What came since the last evaluation is not to be learned.
    is_spoiled: bool,
    /// Factors that are wanted; empty where all are 1.
    wanted: Vec<f64>,
    /// What hours spent under the factors in force, beside what the plan thought.
    response: [Response; HOURS],
}

/// Spend of one hour of the day while factors were in force, decayed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Response {
    /// The plan's weight of the hour, as if spend moved with the assumed power of the factor.
    expected: f32,
    /// Spend as it would have been at one bid, in millions.
    spent: f32,
    /// Clicks.
    events: f32,
}

/// Half of what was seen of the hours' response is forgotten in so many days: tables move daily, by little.
const RESPONSE_HALF_LIFE_DAYS: f64 = 3.0;
/// Clicks that an hour's response is shrunk by.
const RESPONSE_PRIOR_EVENTS: f64 = 30.0;
/// No hour's plan is changed by more.
const RESPONSE_MOST: f64 = 4.0;

/// Clicks of one local day by hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ClickDay {
    date: i32,
    start: Millis,
    clicks: [u32; HOURS],
}

/// What was seen since the last evaluation.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Fresh {
    conversions_micro: i64,
    value_micros: i64,
    /// Sum of value x value / conversions, in whole units of the currency.
    squares: f32,
    spend_micros: i64,
}

impl ByHour {
    /// Begun with the first event that is counted.
    pub fn new(begun: Millis) -> Self {
        Self {
            begun,
            days: Vec::new(),
            fresh: [Fresh::default(); HOURS],
            cells: [Worth::default(); HOURS],
            seen_until: None,
            evaluated: None,
            is_spoiled: false,
            wanted: Vec::new(),
            response: [Response::default(); HOURS],
        }
    }

    /// Takes a closed hour under factors: the weight that the plan gave it, what it spent (as at one bid), its clicks.
    pub fn note_spend(&mut self, hour: usize, expected: f64, spent_micros: i64, events: i64) {
        let Some(response) = self.response.get_mut(hour) else { return };
        let kept = libm::exp2(-1.0 / RESPONSE_HALF_LIFE_DAYS);
        let add = |sum: &mut f32, new: f64| *sum = (f64::from(*sum) * kept + new.max(0.0)) as f32;
        add(&mut response.expected, expected);
        add(&mut response.spent, spent_micros as f64 / 1e6);
        add(&mut response.events, events as f64);
    }

    /// How many times as much as the plan thought each hour spends under the factors in force, against the others: the
    /// power of the factor that spend moves with is another in each market, and another for high bids than for low ones.
    pub fn response(&self) -> [f64; HOURS] {
        let sum = |of: fn(&Response) -> f32| self.response.iter().map(|one| f64::from(of(one))).sum::<f64>();
        let (expected, spent, events) = (sum(|one| one.expected), sum(|one| one.spent), sum(|one| one.events));
        let prior = RESPONSE_PRIOR_EVENTS * expected / events;
        std::array::from_fn(|hour| {
            let one = &self.response[hour];
            let own = f64::from(one.spent) * expected / spent;
            let ratio = (own + prior) / (f64::from(one.expected) + prior);
            if ratio.is_finite() { ratio.clamp(1.0 / RESPONSE_MOST, RESPONSE_MOST) } else { 1.0 }
        })
    }

    /// Adds clicks and what they cost.
    pub fn touch(&mut self, calendar: &Calendar, at: Millis, clicks: i64, spend_micros: i64) {
        let day = calendar.day_of(at);
        let hour = local_hour(calendar, &day, at);
        let spend = &mut self.fresh[hour].spend_micros;
        *spend = spend.saturating_add(spend_micros.max(0));
        let clicks = u32::try_from(clicks.max(0)).unwrap_or(u32::MAX);
        match self.days.binary_search_by_key(&day.date, |known| known.date) {
            Ok(at) => self.days[at].clicks[hour] = self.days[at].clicks[hour].saturating_add(clicks),
            // A click that is older than all that is kept has shown all that it will.
            Err(0) if self.days.len() >= DAYS_KEPT => {}
            Err(at) => {
                let mut new = ClickDay { date: day.date, start: day.start, clicks: [0; HOURS] };
                new.clicks[hour] = clicks;
                self.days.insert(at, new);
                self.forget_oldest();
            }
        }
    }

    /// Adds conversions to the hour of the click that they are credited to.
    pub fn credit(&mut self, calendar: &Calendar, touched: Millis, credits_micro: i64, value_micros: i64) {
        if touched < self.begun {
            return;
        }
        let hour = local_hour(calendar, &calendar.day_of(touched), touched);
        let fresh = &mut self.fresh[hour];
        fresh.conversions_micro = fresh.conversions_micro.saturating_add(credits_micro);
        fresh.value_micros = fresh.value_micros.saturating_add(value_micros);
        if credits_micro > 0 {
            let value = value_micros as f64 / 1e6;
            fresh.squares += (value * value / (credits_micro as f64 / 1e6)) as f32;
        }
    }

    /// Nothing that was clicked in a stretch is to be learned, nor what came since the last evaluation: it may be of that
    /// stretch. What was evaluated before it was told stays, and is forgotten as all is.
    pub fn exclude(&mut self, from: Millis, to: Millis) {
        self.is_spoiled = true;
        for day in &mut self.days {
            for (hour, clicks) in day.clicks.iter_mut().enumerate() {
                let start = day.start.saturating_add(hour as Millis * HOUR_MS);
                if start < to && from < start.saturating_add(HOUR_MS) {
                    *clicks = 0;
                }
            }
        }
    }

    /// Whether something that came since the last evaluation is not to be learned.
    pub fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }

    /// Whether the day's instant has come.
    pub fn is_due(&self, day: &Day, now: Millis, settings: &Settings) -> bool {
        let instant = day.start.saturating_add(settings.local_hour.clamp(0, 23) * HOUR_MS);
        now >= instant && self.evaluated != Some(day.date)
    }

    /// Mean square of single worths over their mean, over all hours.
    pub fn unit(&self) -> Option<f64> {
        let sum = |of: fn(&Measured) -> f64| self.cells.iter().map(|cell| of(&cell.measured())).sum::<f64>();
        let unit = sum(|cell| cell.squares) / sum(|cell| cell.worth);
        (unit > 0.0 && unit.is_finite()).then_some(unit)
    }

    /// Until when conversions were counted; the beginning of time before the first evaluation.
    pub fn seen_until(&self) -> Millis {
        self.seen_until.unwrap_or(Millis::MIN)
    }

    /// A daily evaluation in which nothing is learned, since what came may be wrong: the wanted factors stay.
    pub fn pass_over(&mut self, date: i32, seen_until: Millis) {
        self.evaluated = Some(date);
        self.seen_until = Some(seen_until.max(self.seen_until()));
        self.fresh = [Fresh::default(); HOURS];
        self.is_spoiled = false;
    }

    /// The daily evaluation: what was newly seen is counted, tested and turned into factors.
    pub fn evaluate(&mut self, date: i32, seen_until: Millis, seen: &SeenShare, by_value: bool, settings: &Settings) {
        self.evaluated = Some(date);
        let before = self.seen_until();
        if seen_until <= before {
            return;
        }
        let matured = self.matured(before, seen_until, seen);
        self.seen_until = Some(seen_until);
        self.test(&matured, settings);
        self.count(&matured, seen_until.saturating_sub(before), by_value, settings);
        let evidence = self.cells.map(|cell| cell.evidence);
        let on = modifier::proven(&evidence, settings);
        let factors = modifier::hour_factors(&self.cells.map(|cell| cell.measured()), &on, settings);
        self.wanted = if on.iter().any(|on| *on != Proven::No) { factors } else { Vec::new() };
    }

    /// The wanted factors, one for each hour.
    pub fn wanted(&self) -> [f64; HOURS] {
        std::array::from_fn(|hour| *self.wanted.get(hour).unwrap_or(&1.0))
    }

    /// What speaks for the factors, for explanations: the hours whose factor is not that of the others.
    pub fn terms(&self, settings: &Settings) -> Vec<Term> {
        let evidence = self.cells.map(|cell| cell.evidence);
        let on = modifier::proven(&evidence, settings);
        let rates = modifier::rates_over_mean(&self.cells.map(|cell| cell.measured()));
        let told = (0..HOURS).filter(|hour| on[*hour] != Proven::No);
        told.flat_map(|hour| self.cells[hour].terms(&format!("hour_{hour:02}"), "clicks", rates[hour])).collect()
    }

    /// Heap memory.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.days.capacity() * size_of::<ClickDay>() + self.wanted.capacity() * size_of::<f64>()
    }

    /// Clicks by hour, each by the share of its conversions that became visible in between.
    fn matured(&self, before: Millis, seen_until: Millis, seen: &SeenShare) -> [f64; HOURS] {
        let mut matured = [0.0; HOURS];
        for day in &self.days {
            for (hour, clicks) in day.clicks.iter().enumerate().filter(|(_, clicks)| **clicks > 0) {
                let middle = day.start.saturating_add(hour as Millis * HOUR_MS + HOUR_MS / 2);
                let share = |until: Millis| {
                    let age = until.saturating_sub(middle);
                    if age > 0 { seen.at(age) } else { 0.0 }
                };
                matured[hour] += f64::from(*clicks) * (share(seen_until) - share(before)).max(0.0);
            }
        }
        matured
    }

    /// The tested cell of an hour is the hour with both neighbours.
    fn test(&mut self, matured: &[f64; HOURS], settings: &Settings) {
        let seen = self.fresh.map(|fresh| fresh.conversions_micro.max(0) as f64 / 1e6);
        let (all_seen, all_matured): (f64, f64) = (seen.iter().sum(), matured.iter().sum());
        for hour in 0..HOURS {
            let around = [(hour + HOURS - 1) % HOURS, hour, (hour + 1) % HOURS];
            let sum = |of: &[f64; HOURS]| around.iter().map(|at| of[*at]).sum::<f64>();
            self.cells[hour].evidence.take(sum(&seen), all_seen, sum(matured) / all_matured, settings);
        }
    }

    fn count(&mut self, matured: &[f64; HOURS], passed: Millis, by_value: bool, settings: &Settings) {
        let kept = kept_after(passed, settings.half_life_ms);
        for ((cell, fresh), matured) in self.cells.iter_mut().zip(&mut self.fresh).zip(matured) {
            let fresh = std::mem::take(fresh);
            let conversions = fresh.conversions_micro as f64 / 1e6;
            let (worth, squares) = if by_value {
                (fresh.value_micros as f64 / 1e6, f64::from(fresh.squares))
            } else {
                (conversions, conversions)
            };
            let spend = fresh.spend_micros as f64 / 1e6;
            cell.add(&worth::Fresh { matured: *matured, worth, squares, spend }, kept);
        }
    }

    /// What the oldest clicks have still to show is little, and no hour is favoured by forgetting it.
    fn forget_oldest(&mut self) {
        if self.days.len() > DAYS_KEPT {
            self.days.remove(0);
        }
    }
}

/// 0 to 23, as the wall clock has it; a day on which the clock was set is looked at hour by hour.
pub fn local_hour(calendar: &Calendar, day: &Day, at: Millis) -> usize {
    let by_length = || (at.saturating_sub(day.start).div_euclid(HOUR_MS)).clamp(0, HOURS as i64 - 1) as usize;
    if day.end.saturating_sub(day.start) == DAY_MS {
        return by_length();
    }
    let Some(zone) = calendar.zone_at(at) else { return by_length() };
    let hours = zone.local_hours(&local_day(day));
    let found = hours.iter().find(|hour| (hour.start_ms..hour.end_ms).contains(&at));
    found.map_or_else(by_length, |hour| usize::from(hour.hour).min(HOURS - 1))
}

impl Live {
    /// Whether the campaign's goal is the value of conversions, not their number.
    pub fn goes_for_value(&self) -> bool {
        matches!(self.spec.bid_strategy.as_str(), "max_value" | "target_roas")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(days: usize, clicks: i64, strong: i64) -> [f64; HOURS] {
        let mut by_hour = ByHour::new(0);
        for hour in (0..days).flat_map(|_| 0..HOURS) {
            by_hour.note_spend(hour, 1.0, if hour == 18 { strong } else { 1_000_000 }, clicks);
        }
        by_hour.response()
    }

    #[test]
    fn an_hour_that_spends_twice_what_the_plan_thought_is_planned_so_within_days() {
        assert_eq!(noted(0, 0, 0), [1.0; HOURS], "nothing is known");
        let known = noted(10, 100, 2_000_000);
        assert!((1.7..2.0).contains(&(known[18] / known[3])), "{known:?}");
        let few = noted(10, 1, 2_000_000);
        assert!(few[18] / few[3] < 1.2, "a click an hour says little: {few:?}");
        assert_eq!(noted(10, 100, i64::MAX)[18], RESPONSE_MOST);
        assert!(noted(3, i64::MIN, i64::MIN).iter().all(|ratio| ratio.is_finite()));
    }
}
