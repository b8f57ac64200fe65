//! What a billable event of a campaign is worth under each weather, and the factor on the bid that follows while it holds.
//!
//! What always holds: hours under a weather are compared with the other hours of the same day, each weighed by what its hour
//! of the day usually brings, so an evening on which it often rains is no rain, and a day that is unlike others proves
//! nothing; a conversion is counted once, when it is first seen, under the weather of its click; an event counts by what of its
//! conversions became visible since the evaluation before. Where no weather is told there is no factor. It is belief, the
//! same whether anything is decided or not. Memory is bounded: [`WORDS_MAX`] weathers and two weeks of hours, 6 kB where it
//! rains a third of the time, 15 kB at the bounds, nothing for campaigns at whose places no weather was told.
//!
//! Missing on purpose: degrees of a weather (its word says it: "rain", "heavy_rain"), weathers that come together, and what
//! was counted before a weather was told.

use crate::calendar::{Calendar, Day};
use crate::hour_table::{HOURS, local_hour};
use crate::worth::{Fresh, Worth, kept_after};
use model::output::Term;
use model::time::{HOUR_MS, Millis};
use policy::modifier::{self, Evidence, Measured, Proven};
use policy::settings::Modifiers as Settings;
use policy::target::SeenShare;
use serde::{Deserialize, Serialize};

/// The dimension's name, as a specification may forbid it.
pub const DIMENSION: &str = "weather";
/// Weathers that are told apart; the ledger has room for as many factors.
pub const WORDS_MAX: usize = 6;
/// Clicks of older days have shown nearly all.
const DAYS_KEPT: usize = 14;
/// Half of what was seen of a weather's spend is forgotten in so many of its hours.
const RESPONSE_HALF_LIFE_HOURS: f64 = 72.0;
/// Events that a weather's spend is shrunk by.
const RESPONSE_PRIOR_EVENTS: f64 = 30.0;
/// No weather's plan is changed by more.
const RESPONSE_MOST: f64 = 4.0;

/// The memory of one campaign.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ByWeather {
    /// Events before are not known, so neither are their conversions counted.
    begun: Millis,
    days: Vec<EventDay>,
    /// Without a weather.
    usual: Cell,
    /// By word.
    told: Vec<(Box<str>, Cell)>,
    /// All weathers together, by local hour of the day.
    hours: [HourSums; HOURS],
    seen_until: Option<Millis>,
    evaluated: Option<i32>,
    /// What came since the last evaluation is not to be learned.
    is_spoiled: bool,
}

/// One weather.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cell {
    fresh: Seen,
    worth: Worth,
    wanted: f32,
    response: Response,
}

/// What was seen since the last evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    conversions_micro: i64,
    value_micros: i64,
    /// Sum of value x value / conversions, in whole units of the currency.
    squares: f32,
    spend_micros: i64,
}

/// What an hour of the day brought, decayed, and what came since the last evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct HourSums {
    exposure: f32,
    conversions: f32,
    fresh_micro: i64,
}

/// Spend of the hours under one weather beside what the plan thought, decayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Response {
    expected: f32,
    spent: f32,
    events: f32,
}

/// Events of one local day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EventDay {
    date: i32,
    start: Millis,
    /// Sorted by hour and weather.
    events: Vec<Events>,
}

/// Events of one hour under one weather.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Events {
    hour: u8,
    /// 0 for none, else the place in `told` and one.
    weather: u8,
    clicks: u32,
    impressions: u32,
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
    /// Whether impressions are what costs money.
    pub by_impression: bool,
    /// Whether the goal is the value of conversions.
    pub by_value: bool,
    /// Whether what came can be believed.
    pub is_believed: bool,
    /// Numbers of the policy.
    pub settings: &'a Settings,
}

impl ByWeather {
    /// Begun with the first event after a weather was told.
    pub fn new(begun: Millis) -> Self {
        Self { begun, ..Self::default() }
    }

    /// Adds events and what they cost, under a weather or none.
    pub fn touch(&mut self, calendar: &Calendar, at: Millis, word: Option<&str>, counts: [i64; 2], spend_micros: i64) {
        let Some(weather) = self.number(word) else { return };
        let day = calendar.day_of(at);
        let hour = local_hour(calendar, &day, at) as u8;
        let spend = &mut self.cell_mut(weather).fresh.spend_micros;
        *spend = spend.saturating_add(spend_micros.max(0));
        let found = match self.days.binary_search_by_key(&day.date, |known| known.date) {
            Ok(found) => found,
            // What is older than all that is kept has shown all that it will.
            Err(0) if self.days.len() >= DAYS_KEPT => return,
            Err(found) => {
                self.days.insert(found, EventDay { date: day.date, start: day.start, events: Vec::new() });
                let excess = self.days.len().saturating_sub(DAYS_KEPT);
                self.days.drain(..excess);
                found - excess
            }
        };
        let events = &mut self.days[found].events;
        let slot = match events.binary_search_by_key(&(hour, weather), |events| (events.hour, events.weather)) {
            Ok(slot) => slot,
            Err(slot) => {
                events.insert(slot, Events { hour, weather, clicks: 0, impressions: 0 });
                slot
            }
        };
        let add = |sum: &mut u32, more: i64| *sum = sum.saturating_add(u32::try_from(more.max(0)).unwrap_or(u32::MAX));
        add(&mut events[slot].clicks, counts[0]);
        add(&mut events[slot].impressions, counts[1]);
    }

    /// Adds conversions under the weather of the click that they are credited to.
    pub fn credit(
        &mut self,
        calendar: &Calendar,
        touched: Millis,
        word: Option<&str>,
        credits_micro: i64,
        value_micros: i64,
    ) {
        let day = calendar.day_of(touched);
        let is_kept = self.days.iter().any(|known| known.date == day.date);
        if touched < self.begun || !is_kept {
            return;
        }
        let Some(weather) = self.number(word) else { return };
        let hour = &mut self.hours[local_hour(calendar, &day, touched)];
        hour.fresh_micro = hour.fresh_micro.saturating_add(credits_micro);
        let fresh = &mut self.cell_mut(weather).fresh;
        fresh.conversions_micro = fresh.conversions_micro.saturating_add(credits_micro);
        fresh.value_micros = fresh.value_micros.saturating_add(value_micros);
        if credits_micro > 0 {
            let value = value_micros as f64 / 1e6;
            fresh.squares += (value * value / (credits_micro as f64 / 1e6)) as f32;
        }
    }

    /// Nothing that happened in a stretch is to be learned, nor what came since the last evaluation: it may be of that stretch.
    pub fn exclude(&mut self, from: Millis, to: Millis) {
        self.is_spoiled = true;
        for day in &mut self.days {
            let start = day.start;
            let begins = |events: &Events| start.saturating_add(Millis::from(events.hour) * HOUR_MS);
            day.events.retain(|events| begins(events) >= to || begins(events).saturating_add(HOUR_MS) <= from);
        }
    }

    /// Whether the day's instant has come.
    pub fn is_due(&self, day: &Day, now: Millis, settings: &Settings) -> bool {
        let instant = day.start.saturating_add(settings.local_hour.clamp(0, 23) * HOUR_MS);
        now >= instant && self.evaluated != Some(day.date)
    }

    /// Until when conversions were counted; the beginning of time before the first evaluation.
    pub fn seen_until(&self) -> Millis {
        self.seen_until.unwrap_or(Millis::MIN)
    }

    /// The daily evaluation: what was newly seen is counted, tested and turned into factors.
    pub fn evaluate(&mut self, look: &Look<'_>) {
        self.evaluated = Some(look.date);
        let before = self.seen_until();
        if look.seen_until <= before {
            return;
        }
        self.seen_until = Some(look.seen_until);
        let is_believed = look.is_believed && !std::mem::take(&mut self.is_spoiled);
        let (plain, by_hour) = self.matured(before, look);
        let kept = kept_after(look.seen_until.saturating_sub(before), look.settings.half_life_ms);
        let fresh: Vec<Seen> = self.cells_mut().map(|cell| std::mem::take(&mut cell.fresh)).collect();
        let fresh_by_hour = self.hours.each_mut().map(|hour| std::mem::take(&mut hour.fresh_micro));
        if !is_believed {
            return;
        }
        self.test(&fresh, &plain, look.settings);
        for ((cell, fresh), matured) in self.cells_mut().zip(&fresh).zip(&plain) {
            cell.worth.add(&fresh.worth(*matured, look.by_value), kept);
        }
        for ((hour, micro), matured) in self.hours.iter_mut().zip(fresh_by_hour).zip(by_hour) {
            hour.exposure = (f64::from(hour.exposure) * kept + matured) as f32;
            hour.conversions = (f64::from(hour.conversions) * kept + micro.max(0) as f64 / 1e6) as f32;
        }
        self.want(look.settings);
    }

    /// The factor that a weather wants; 1 for one of which nothing is proven.
    pub fn wanted(&self, word: &str) -> f64 {
        self.cell(word).map(|cell| f64::from(cell.wanted)).filter(|factor| *factor > 0.0).unwrap_or(1.0)
    }

    /// What speaks for the factor of a weather, for explanations.
    pub fn terms(&self, word: &str) -> Vec<Term> {
        let Some(nth) = self.told.iter().position(|(known, _)| **known == *word) else { return Vec::new() };
        let rates = modifier::shrunk_over_mean(&self.measured());
        let terms = self.told[nth].1.worth.terms(DIMENSION, "events", rates[nth + 1]);
        let usual = self.usual.worth.measured().exposure;
        let usual = Term { name: "weather_none_matured_milli".into(), value: (usual * 1e3) as i64 };
        terms.into_iter().chain([usual]).collect()
    }

    /// Takes a closed hour: the weight that the plan gave it, what it spent (as at one bid), its billable events.
    pub fn note_spend(&mut self, word: Option<&str>, expected: f64, spent_micros: i64, events: i64) {
        let Some(weather) = self.number(word) else { return };
        let response = &mut self.cell_mut(weather).response;
        let kept = libm::exp2(-1.0 / RESPONSE_HALF_LIFE_HOURS);
        let add = |sum: &mut f32, new: f64| {
            let new = f64::from(*sum) * kept + new.max(0.0);
            *sum = if new.is_finite() { new as f32 } else { 0.0 };
        };
        add(&mut response.expected, expected);
        add(&mut response.spent, spent_micros as f64 / 1e6);
        add(&mut response.events, events as f64);
    }

    /// How many times as much as the plan thought a weather's hours spend, against hours without one: more is clicked, or the
    /// factor moves spend by another power than was assumed.
    pub fn response(&self, word: &str) -> f64 {
        let Some(of_word) = self.cell(word).map(|cell| cell.response) else { return 1.0 };
        let of_usual = self.usual.response;
        let rate = |of: &Response| f64::from(of.spent) / f64::from(of.expected);
        let usual = rate(&of_usual);
        let prior = RESPONSE_PRIOR_EVENTS * f64::from(of_word.expected) / f64::from(of_word.events);
        let own = f64::from(of_word.spent) / usual;
        let ratio = (own + prior) / (f64::from(of_word.expected) + prior);
        if ratio.is_finite() && usual > 0.0 { ratio.clamp(1.0 / RESPONSE_MOST, RESPONSE_MOST) } else { 1.0 }
    }

    /// Heap memory.
    pub fn held_bytes(&self) -> usize {
        let days = self.days.iter().map(|day| day.events.capacity() * size_of::<Events>() + size_of::<EventDay>());
        let words = self.told.iter().map(|(word, _)| word.len() + size_of::<(Box<str>, Cell)>());
        size_of::<Self>() + days.sum::<usize>() + words.sum::<usize>()
    }

    /// Events by weather, each by the share of its conversions that became visible in between and by what its hour of the day
    /// usually brings; the same by hour, without that.
    fn matured(&self, before: Millis, look: &Look<'_>) -> (Vec<f64>, [f64; HOURS]) {
        let sums = |hour: &HourSums| Measured {
            exposure: f64::from(hour.exposure),
            worth: f64::from(hour.conversions),
            squares: f64::from(hour.conversions),
            spend: 0.0,
        };
        let usual = modifier::rates_over_mean(&self.hours.each_ref().map(sums));
        let mut matured = vec![0.0; self.told.len() + 1];
        let mut by_hour = [0.0; HOURS];
        for day in &self.days {
            for events in &day.events {
                let hour = usize::from(events.hour).min(HOURS - 1);
                let middle = day.start.saturating_add(hour as Millis * HOUR_MS + HOUR_MS / 2);
                let share = |until: Millis| {
                    let age = until.saturating_sub(middle);
                    if age > 0 { look.seen.at(age) } else { 0.0 }
                };
                let count = if look.by_impression { events.impressions } else { events.clicks };
                let part = f64::from(count) * (share(look.seen_until) - share(before)).max(0.0);
                by_hour[hour] += part;
                if let Some(sum) = matured.get_mut(usize::from(events.weather)) {
                    *sum += part * usual[hour];
                }
            }
        }
        (matured, by_hour)
    }

    fn test(&mut self, fresh: &[Seen], matured: &[f64], settings: &Settings) {
        let seen = |seen: &Seen| seen.conversions_micro.max(0) as f64 / 1e6;
        let (all_seen, all_matured): (f64, f64) = (fresh.iter().map(seen).sum(), matured.iter().sum());
        for ((cell, fresh), matured) in self.cells_mut().zip(fresh).zip(matured).skip(1) {
            cell.worth.evidence.take(seen(fresh), all_seen, matured / all_matured, settings);
        }
    }

    /// Hours without a weather are what is usual: nothing is asked of them.
    fn want(&mut self, settings: &Settings) {
        let evidence: Vec<Evidence> = self.told.iter().map(|(_, cell)| cell.worth.evidence).collect();
        let proven: Vec<Proven> = [Proven::No].into_iter().chain(modifier::proven(&evidence, settings)).collect();
        let factors = modifier::value_factors(&self.measured(), &proven, settings);
        for (cell, factor) in self.cells_mut().zip(factors) {
            cell.wanted = factor as f32;
        }
    }

    fn measured(&self) -> Vec<Measured> {
        let told = self.told.iter().map(|(_, cell)| cell);
        [&self.usual].into_iter().chain(told).map(|cell| cell.worth.measured()).collect()
    }

    fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        [&mut self.usual].into_iter().chain(self.told.iter_mut().map(|(_, cell)| cell))
    }

    fn cell(&self, word: &str) -> Option<&Cell> {
        self.told.iter().find(|(known, _)| **known == *word).map(|(_, cell)| cell)
    }

    fn cell_mut(&mut self, weather: u8) -> &mut Cell {
        match usize::from(weather).checked_sub(1).and_then(|at| self.told.get_mut(at)) {
            Some((_, cell)) => cell,
            None => &mut self.usual,
        }
    }

    /// The number of a weather, a new one where there is room; one that has not come for two weeks makes some.
    fn number(&mut self, word: Option<&str>) -> Option<u8> {
        let Some(word) = word else { return Some(0) };
        if let Some(at) = self.told.iter().position(|(known, _)| **known == *word) {
            return Some(at as u8 + 1);
        }
        if self.told.len() < WORDS_MAX {
            self.told.push((word.into(), Cell::default()));
            return Some(self.told.len() as u8);
        }
        let is_gone =
            |weather: u8| self.days.iter().flat_map(|day| &day.events).all(|events| events.weather != weather);
        let gone = (1..=WORDS_MAX as u8).find(|weather| is_gone(*weather))?;
        self.told[usize::from(gone) - 1] = (word.into(), Cell::default());
        Some(gone)
    }
}

impl Seen {
    fn worth(&self, matured: f64, by_value: bool) -> Fresh {
        let conversions = self.conversions_micro as f64 / 1e6;
        let (worth, squares) = match by_value {
            true => (self.value_micros as f64 / 1e6, f64::from(self.squares)),
            false => (conversions, conversions),
        };
        Fresh { matured, worth, squares, spend: self.spend_micros as f64 / 1e6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::MONDAY;
    use model::time::DAY_MS;
    use policy::settings::Target;

    /// Days of 24 hours with so many clicks each; `rains` says when, `rate` what a click brings, told a minute later.
    fn lived(days: i64, rains: impl Fn(i64, i64) -> bool, rate: impl Fn(i64, bool) -> i64) -> ByWeather {
        let mut calendar = Calendar::default();
        calendar.set_zone("UTC", 0);
        let mut weather = ByWeather::new(MONDAY);
        let settings = Settings::default();
        let seen = SeenShare::of(&[], &Target::default());
        for day in 0..days {
            for hour in 0..24 {
                let at = MONDAY + day * DAY_MS + hour * HOUR_MS;
                let rain = rains(day, hour);
                let word = rain.then_some("rain");
                weather.touch(&calendar, at, word, [80, 800], 80_000_000);
                weather.credit(&calendar, at, word, 80 * rate(hour, rain) * 1_000, 1_000_000);
            }
            weather.evaluate(&Look {
                date: weather.days.last().unwrap().date,
                seen_until: MONDAY + (day + 1) * DAY_MS,
                seen: &seen,
                by_impression: false,
                by_value: false,
                is_believed: true,
                settings: &settings,
            });
        }
        weather
    }

    fn showers(day: i64, hour: i64) -> bool {
        (day * 7 + hour) % 9 < 3
    }

    #[test]
    fn clicks_that_are_worth_twice_as_much_in_the_rain_get_their_factor_within_a_fortnight() {
        let weather = lived(14, showers, |_, rain| if rain { 100 } else { 50 });
        assert!((1.7..=2.0).contains(&weather.wanted("rain")), "{}", weather.wanted("rain"));
        assert_eq!(weather.wanted("snow"), 1.0);
        assert!(
            weather.terms("rain").iter().any(|term| term.name == "weather_e_value_milli" && term.value > 1_000_000)
        );
    }

    #[test]
    fn rain_that_changes_nothing_gets_none_though_it_falls_in_the_best_hours() {
        assert_eq!(lived(28, showers, |_, _| 50).wanted("rain"), 1.0);
        let evenings = |day: i64, hour: i64| (17..20).contains(&hour) && day % 2 == 0;
        let in_the_evening = lived(28, evenings, |hour, _| if (17..20).contains(&hour) { 150 } else { 50 });
        assert_eq!(in_the_evening.wanted("rain"), 1.0, "{:?}", in_the_evening.terms("rain"));
        let wet_days = lived(28, |day, _| day % 3 == 0, |_, rain| if rain { 100 } else { 50 });
        assert_eq!(wet_days.wanted("rain"), 1.0, "a day that is unlike others proves nothing");
    }

    #[test]
    fn what_is_excluded_is_not_learned() {
        let mut weather = lived(2, showers, |_, rain| if rain { 100 } else { 50 });
        let known = weather.told[0].1.worth.measured();
        weather.exclude(MONDAY + DAY_MS, MONDAY + 2 * DAY_MS + HOUR_MS);
        assert!(weather.days[1].events.is_empty() && !weather.days[0].events.is_empty() && weather.is_spoiled);
        weather.told[0].1.fresh.conversions_micro = i64::MAX;
        let seen = SeenShare::of(&[], &Target::default());
        let look = Look {
            date: 1,
            seen_until: MONDAY + 3 * DAY_MS,
            seen: &seen,
            by_impression: true,
            by_value: true,
            is_believed: true,
            settings: &Settings::default(),
        };
        weather.evaluate(&look);
        assert_eq!(weather.told[0].1.worth.measured(), known);
        assert!(!weather.is_spoiled);
    }

    #[test]
    fn a_weather_in_which_twice_as_much_is_spent_is_planned_so() {
        let mut weather = ByWeather::default();
        assert_eq!(weather.response("rain"), 1.0);
        for _ in 0..40 {
            weather.note_spend(None, 1.0, 1_000_000, 50);
            weather.note_spend(Some("rain"), 1.0, 2_000_000, 100);
        }
        assert!((1.8..=2.0).contains(&weather.response("rain")), "{}", weather.response("rain"));
        weather.note_spend(Some("rain"), f64::NAN, i64::MIN, i64::MIN);
        assert!(weather.response("rain").is_finite());
    }

    #[test]
    fn room_is_bounded_and_as_large_as_is_said() {
        let mut calendar = Calendar::default();
        calendar.set_zone("UTC", 0);
        let mut weather = ByWeather::new(0);
        for at in 0..60 * 24 * 7 {
            let word = format!("w{}", at % 9);
            weather.touch(&calendar, MONDAY + at * HOUR_MS / 7, Some(&word), [i64::MAX, -1], i64::MAX);
        }
        assert_eq!((weather.told.len(), weather.days.len()), (WORDS_MAX, DAYS_KEPT));
        assert!(weather.held_bytes() < 40_000, "{}", weather.held_bytes());
    }
}
