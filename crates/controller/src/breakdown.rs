//! What a campaign did by local day and by the value of each dimension, and what each attribution model credits it with
//! by day: four weeks of it.
//!
//! **Interface for modifiers**: [`Breakdown::days`] gives each kept local day (its start as epoch minute, its local date)
//! with [`Sums`] by value of one dimension. `credited_*` are last-touch credits of goal conversions at the conversion's
//! own day, `touched_*` the same credits at the day of the credited click: over clicks of that day they are a rate that
//! ripens. What was newly seen between two looks is the difference of two sums of `touched_*`. [`OTHER`] and
//! [`NOT_KEPT`] are no cells to steer by: the first is many values, the second no click.
//!
//! What always holds: it is belief, a fold of the journal's rows, which come once a minute of the cuts' clock and may lag
//! the campaign's other sums by that. Adding up the values of a dimension gives the campaign's events, whatever was put
//! together. Memory is bounded: [`DAYS_KEPT`] days, [`VALUES_MAX`] values and the two words for others a dimension. Days
//! are kept packed, about 20 B a value that did something: 12 kB for a campaign of 20 values, 100 kB at the bounds.
//!
//! At a new day the values of a full dimension that had the fewest clicks (then impressions) are put together, so that
//! newcomers find room; until then newcomers count as [`OTHER`].
//!
//! Missing on purpose: corrections and platform reports, which name no value (so neither clicks called invalid); rows on
//! a topic (a reader who knows no dimensions would add them to the campaign's); amounts of a campaign without a
//! specification (they are counted and dropped: money is held in the quarantine, and this is no money's truth).

use model::marginal::{DIMENSIONS, MINUTE_MODELS, Marginal, NOT_KEPT, OTHER};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Four weeks before today, and today.
pub const DAYS_KEPT: i32 = 29;
/// Values of a dimension that are told apart.
pub const VALUES_MAX: usize = 32;
/// How many of them stay when a day begins and there is no room.
const VALUES_STAY: usize = 24;

/// What one value of a dimension adds up to in a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Ads shown.
    pub impressions: i64,
    /// Clicks.
    pub clicks: i64,
    /// Cost, micros.
    pub spend_micros: i64,
    /// Goal conversions that claim the campaign, or were found to be its own.
    pub conversions: i64,
    /// Their value, micros.
    pub value_micros: i64,
    /// Last-touch credits at the conversion's day, micro-conversions.
    pub credited_micro: i64,
    /// Their value, micros.
    pub credited_value_micros: i64,
    /// The same credits at the credited touch's day, micro-conversions.
    pub touched_micro: i64,
    /// Their value, micros.
    pub touched_value_micros: i64,
}

/// Credits of the models of [`MINUTE_MODELS`]: micro-conversions and micros.
pub type ModelCredits = [[i64; 2]; MINUTE_MODELS.len()];

/// The memory of one campaign.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Breakdown {
    /// By dimension: texts by number less [`FIRST`], `None` where one left.
    values: [Vec<Option<Box<str>>>; DIMENSIONS.len()],
    /// Oldest first.
    days: Vec<Day>,
    /// Rows that came for days that are gone.
    late: i64,
    /// Rows of values that found no room.
    merged: i64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Day {
    /// Epoch minute at which it starts.
    start: i32,
    /// Local date, in days since 1970.
    date: i32,
    /// [`Cells`] as bytes.
    packed: Arc<[u8]>,
    credits: ModelCredits,
}

/// By dimension and number of the value.
type Cells = BTreeMap<(u8, u8), Sums>;

/// Numbers of [`OTHER`], [`NOT_KEPT`], and the first of the others.
const OTHER_NUMBER: u8 = 0;
const NOT_KEPT_NUMBER: u8 = 1;
const FIRST: u8 = 2;

/// One kept day of a dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayOfDimension {
    /// Epoch minute at which it starts.
    pub start: i32,
    /// Local date, in days since 1970.
    pub date: i32,
    /// By text, sorted; with [`OTHER`] and [`NOT_KEPT`] where they have something.
    pub values: Vec<(String, Sums)>,
}

/// What a row brings to one day.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Number of the dimension.
    pub dimension: usize,
    /// The value.
    pub value: &'a str,
    /// What is added.
    pub sums: Sums,
}

impl Sums {
    /// What a row adds at the day of its events, and at the day of its credited touch.
    pub fn of(row: &Marginal) -> (Self, Self) {
        let at_event = Self {
            impressions: row.impressions,
            clicks: row.clicks,
            spend_micros: row.spend_micros,
            conversions: row.conversions,
            value_micros: row.value_micros,
            credited_micro: row.last_conversions_micro,
            credited_value_micros: row.last_value_micros,
            ..Self::default()
        };
        let at_touch = Self {
            touched_micro: row.last_conversions_micro,
            touched_value_micros: row.last_value_micros,
            ..Self::default()
        };
        (at_event, at_touch)
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Self) {
        for (sum, part) in [
            (&mut self.impressions, other.impressions),
            (&mut self.clicks, other.clicks),
            (&mut self.spend_micros, other.spend_micros),
            (&mut self.conversions, other.conversions),
            (&mut self.value_micros, other.value_micros),
            (&mut self.credited_micro, other.credited_micro),
            (&mut self.credited_value_micros, other.credited_value_micros),
            (&mut self.touched_micro, other.touched_micro),
            (&mut self.touched_value_micros, other.touched_value_micros),
        ] {
            *sum = sum.saturating_add(part);
        }
    }
}

impl Breakdown {
    /// Adds what some rows bring to one local day; `false` where the day is gone.
    pub fn add(&mut self, start: i32, date: i32, parts: &[Part<'_>]) -> bool {
        let Some(at) = self.day(start, date) else {
            self.late = self.late.saturating_add(parts.len() as i64);
            return false;
        };
        let mut cells = unpack(&self.days[at].packed);
        for part in parts {
            let Some(number) = self.number(part.dimension, part.value) else { continue };
            cells.entry((part.dimension as u8, number)).or_default().add(&part.sums);
        }
        self.days[at].packed = pack(&cells);
        true
    }

    /// Adds credits of one model to a local day; `false` where the day is gone.
    pub fn add_credit(&mut self, start: i32, date: i32, model: usize, credits: [i64; 2]) -> bool {
        let Some(at) = self.day(start, date) else { return false };
        let Some(sums) = self.days[at].credits.get_mut(model) else { return false };
        *sums = [sums[0].saturating_add(credits[0]), sums[1].saturating_add(credits[1])];
        true
    }

    /// The kept days of a dimension, oldest first.
    pub fn days(&self, dimension: usize) -> impl Iterator<Item = DayOfDimension> {
        self.days.iter().map(move |day| {
            let cells = unpack(&day.packed);
            let cells = cells.into_iter().filter(|((of, _), _)| usize::from(*of) == dimension);
            let mut values: Vec<(String, Sums)> =
                cells.map(|((_, number), sums)| (self.text(dimension, number).to_owned(), sums)).collect();
            values.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            DayOfDimension { start: day.start, date: day.date, values }
        })
    }

    /// Credits of the models of [`MINUTE_MODELS`] on the day that starts at an epoch minute.
    pub fn credits_of(&self, start: i32) -> Option<ModelCredits> {
        let at = self.days.binary_search_by_key(&start, |day| day.start).ok()?;
        Some(self.days[at].credits)
    }

    /// The same summed over the days whose local date is at or after `from`.
    pub fn credits_since(&self, from: i32) -> ModelCredits {
        let mut sums = ModelCredits::default();
        for day in self.days.iter().filter(|day| day.date >= from) {
            for (sum, more) in sums.iter_mut().flatten().zip(day.credits.iter().flatten()) {
                *sum = sum.saturating_add(*more);
            }
        }
        sums
    }

    /// Sums by value of a dimension over the days whose local date is at or after `from`.
    pub fn sums_since(&self, dimension: usize, from: i32) -> BTreeMap<String, Sums> {
        let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
        for day in self.days(dimension).filter(|day| day.date >= from) {
            for (value, more) in day.values {
                sums.entry(value).or_default().add(&more);
            }
        }
        sums
    }

    /// Local dates of the kept days, oldest first.
    pub fn dates(&self) -> impl Iterator<Item = i32> {
        self.days.iter().map(|day| day.date)
    }

    /// Rows that came for days that are gone, and rows whose value found no room.
    pub fn set_aside(&self) -> (i64, i64) {
        (self.late, self.merged)
    }

    /// Heap memory.
    pub fn held_bytes(&self) -> usize {
        let texts = self.values.iter().flatten().flatten().map(|text| text.len() + size_of::<Box<str>>());
        let days = self.days.iter().map(|day| day.packed.len() + size_of::<Day>());
        size_of::<Self>() + texts.sum::<usize>() + days.sum::<usize>()
    }

    /// Where the day is, begun if it is not there; `None` where it is gone.
    fn day(&mut self, start: i32, date: i32) -> Option<usize> {
        match self.days.binary_search_by_key(&start, |day| day.start) {
            Ok(at) => Some(at),
            Err(at) => {
                let newest = self.days.last().map_or(date, |day| day.date.max(date));
                let oldest = newest.saturating_sub(DAYS_KEPT - 1);
                if date < oldest || (at == 0 && self.days.len() >= DAYS_MAX) {
                    return None;
                }
                if at == self.days.len() {
                    self.make_room();
                }
                self.days.insert(at, Day { start, date, ..Day::default() });
                let gone = self.days.partition_point(|day| day.date < oldest);
                let gone = gone.max(self.days.len().saturating_sub(DAYS_MAX)).min(at);
                self.days.drain(..gone);
                Some(at - gone)
            }
        }
    }

    /// The number of a value, a new one where there is room.
    fn number(&mut self, dimension: usize, text: &str) -> Option<u8> {
        match text {
            OTHER => return Some(OTHER_NUMBER),
            NOT_KEPT => return Some(NOT_KEPT_NUMBER),
            _ => {}
        }
        let known = self.values.get_mut(dimension)?;
        if let Some(at) = known.iter().position(|known| known.as_deref() == Some(text)) {
            return Some(at as u8 + FIRST);
        }
        let at = match known.iter().position(Option::is_none) {
            Some(at) => at,
            None if known.len() < VALUES_MAX => {
                known.push(None);
                known.len() - 1
            }
            None => {
                self.merged = self.merged.saturating_add(1);
                return Some(OTHER_NUMBER);
            }
        };
        known[at] = Some(text.into());
        Some(at as u8 + FIRST)
    }

    fn text(&self, dimension: usize, number: u8) -> &str {
        match number {
            OTHER_NUMBER => OTHER,
            NOT_KEPT_NUMBER => NOT_KEPT,
            _ => {
                let known = self.values.get(dimension).and_then(|known| known.get(usize::from(number - FIRST)));
                known.and_then(Option::as_deref).unwrap_or(OTHER)
            }
        }
    }

    /// A day begins: where a dimension is full, its least values go together.
    fn make_room(&mut self) {
        let full: Vec<u8> = (0..)
            .zip(&self.values)
            .filter(|(_, known)| known.iter().flatten().count() >= VALUES_MAX)
            .map(|(at, _)| at)
            .collect();
        if full.is_empty() {
            return;
        }
        let mut days: Vec<Cells> = self.days.iter().map(|day| unpack(&day.packed)).collect();
        for dimension in full {
            let known = &mut self.values[usize::from(dimension)];
            let weight = |number: u8| {
                let of_days = days.iter().filter_map(|cells| cells.get(&(dimension, number)));
                of_days.fold((0_i64, 0_i64), |(clicks, shown), sums| {
                    (clicks.saturating_add(sums.clicks), shown.saturating_add(sums.impressions))
                })
            };
            let mut order: Vec<((i64, i64), u8)> = (FIRST..)
                .zip(known.iter())
                .filter(|(_, text)| text.is_some())
                .map(|(number, _)| (weight(number), number))
                .collect();
            order.sort_unstable_by_key(|(weight, number)| (std::cmp::Reverse(*weight), *number));
            for (_, number) in order.split_off(VALUES_STAY.min(order.len())) {
                known[usize::from(number - FIRST)] = None;
                for cells in &mut days {
                    if let Some(sums) = cells.remove(&(dimension, number)) {
                        cells.entry((dimension, OTHER_NUMBER)).or_default().add(&sums);
                    }
                }
            }
        }
        for (day, cells) in self.days.iter_mut().zip(&days) {
            day.packed = pack(cells);
        }
    }
}

/// A zone that changed may have cut a day in two.
const DAYS_MAX: usize = DAYS_KEPT as usize + 3;

fn unpack(bytes: &[u8]) -> Cells {
    // What was packed here reads back; nothing is what an empty day holds.
    postcard::from_bytes(bytes).unwrap_or_default()
}

fn pack(cells: &Cells) -> Arc<[u8]> {
    // Plain data: serialization into memory has no way to fail.
    postcard::to_stdvec(cells).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(value: &str, clicks: i64) -> Part<'_> {
        Part { dimension: 2, value, sums: Sums { clicks, touched_micro: -clicks, ..Sums::default() } }
    }

    fn clicks(breakdown: &Breakdown) -> BTreeMap<String, i64> {
        let mut sums = BTreeMap::new();
        for day in breakdown.days(2) {
            day.values.into_iter().for_each(|(text, of)| *sums.entry(text).or_default() += of.clicks);
        }
        sums
    }

    #[test]
    fn the_least_values_make_room_when_a_day_begins_and_nothing_is_lost() {
        let mut breakdown = Breakdown::default();
        let texts: Vec<String> = (0..40).map(|at| format!("site-{at:02}")).collect();
        for (at, text) in (1..).zip(&texts) {
            breakdown.add(0, 0, &[part(text, at)]);
        }
        let first = clicks(&breakdown);
        assert_eq!((first.len(), first[OTHER]), (VALUES_MAX + 1, (33..=40).sum::<i64>()));
        breakdown.add(1_440, 1, &[part("site-39", 100), part(NOT_KEPT, 7)]);
        let second = clicks(&breakdown);
        assert_eq!((second["site-39"], second[NOT_KEPT], second.len()), (100, 7, VALUES_STAY + 3));
        assert!(!second.contains_key("site-00") && second.contains_key("site-31"));
        assert_eq!(second.values().sum::<i64>(), (1..=40).sum::<i64>() + 107);
    }

    #[test]
    fn days_older_than_four_weeks_go_and_stay_away() {
        let mut breakdown = Breakdown::default();
        for date in 0..40 {
            assert!(breakdown.add(date * 1_440, date, &[part("a", 1)]));
            assert!(breakdown.add_credit(date * 1_440, date, 1, [5, 6]));
        }
        assert_eq!(breakdown.days(2).map(|day| day.date).collect::<Vec<_>>(), (11..40).collect::<Vec<_>>());
        assert!(!breakdown.add(10 * 1_440, 10, &[part("a", 1)]));
        assert_eq!(breakdown.set_aside(), (1, 0));
        assert_eq!(breakdown.credits_of(39 * 1_440).map(|credits| credits[..2].to_vec()), Some(vec![[0, 0], [5, 6]]));
    }

    #[test]
    fn a_full_memory_is_as_large_as_is_said() {
        let mut breakdown = Breakdown::default();
        for date in 0..DAYS_KEPT {
            for at in 0..60_i64 {
                let text = format!("placement-{at:04}.example.com");
                let sums = Sums {
                    impressions: 90_000 + at,
                    clicks: 1_200,
                    spend_micros: 60_123_456,
                    conversions: 12,
                    value_micros: 900_000_000,
                    credited_micro: 12_000_000,
                    credited_value_micros: 900_000_000,
                    touched_micro: 12_000_000,
                    touched_value_micros: 900_000_000,
                };
                let parts: Vec<Part<'_>> = (0..5).map(|dimension| Part { dimension, value: &text, sums }).collect();
                breakdown.add(date * 1_440, date, &parts);
            }
        }
        assert!(breakdown.held_bytes() < 180_000, "{}", breakdown.held_bytes());
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_of_a_kept_day_is_lost_and_memory_is_bounded(
            rows in prop::collection::vec((0..45_i32, 0..60_u8, any::<i64>()), 0..300),
        ) {
            let mut breakdown = Breakdown::default();
            let mut expected: BTreeMap<i32, i64> = BTreeMap::new();
            for (date, value, clicks) in rows {
                let clicks = clicks % 1_000;
                if breakdown.add(date * 1_440, date, &[part(&format!("v{value}"), clicks)]) {
                    *expected.entry(date).or_default() += clicks;
                }
            }
            prop_assert!(breakdown.dates().count() <= DAYS_MAX);
            for day in breakdown.days(2) {
                prop_assert!(day.values.len() <= VALUES_MAX + 2);
                prop_assert_eq!(day.values.iter().map(|(_, sums)| sums.clicks).sum::<i64>(), expected[&day.date]);
            }
        }
    }
}
