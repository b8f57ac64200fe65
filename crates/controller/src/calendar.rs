//! A campaign's days, weeks and months: its time zones over time, and the counters' keys that follow from them.
//!
//! What always holds: every instant belongs to exactly one day, one week and one month of a campaign, also when its
//! zone changes: a new zone takes effect where the old zone's next day begins, and that instant starts a day.

use model::time::{DAY_MS, MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};
use window::calendar::Zone;

/// The zones of a campaign, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Calendar {
    spans: Vec<Span>,
    /// The last day that was asked for: nearly all events fall into it.
    #[serde(skip)]
    latest: Option<Day>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Span {
    from: Millis,
    name: String,
    #[serde(skip)]
    zone: Option<Zone>,
}

/// A campaign's day with the keys of its week and month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// First instant.
    pub start: Millis,
    /// First instant after it.
    pub end: Millis,
    /// Local date of its Monday, in days since 1970.
    pub week: i32,
    /// Local year x 12 + month from 0.
    pub month: i32,
    /// Local date, in days since 1970.
    pub date: i32,
    /// 0 is Monday.
    pub weekday: u8,
}

/// Zone changes that are remembered; older ones can concern no pane that is still alive.
const SPANS_MAX: usize = 8;
/// Used where a specification names a zone that does not exist.
const FALLBACK_ZONE: &str = "UTC";

impl Calendar {
    /// Sets the zone: at once where there was none, else from the next midnight of the old zone after `now`.
    /// `false` where the name is unknown; UTC stands in for it.
    pub fn set_zone(&mut self, name: &str, now: Millis) -> bool {
        let known = Zone::parse(name).is_ok();
        let name = if known { name } else { FALLBACK_ZONE };
        let from = if self.spans.is_empty() { Millis::MIN } else { self.day_of(now).end };
        self.spans.retain(|span| span.from < from);
        if self.spans.last().is_none_or(|span| span.name != name) {
            self.spans.push(Span { from, name: name.to_owned(), zone: Zone::parse(name).ok() });
        }
        if self.spans.len() > SPANS_MAX {
            self.spans.remove(0);
        }
        self.latest = None;
        known
    }

    /// Looks the zones up again after a restore.
    pub fn wake(&mut self) {
        for span in &mut self.spans {
            span.zone = Zone::parse(&span.name).ok();
        }
    }

    /// The day that holds an instant.
    pub fn day_of(&self, at: Millis) -> Day {
        match self.latest {
            Some(day) if (day.start..day.end).contains(&at) => day,
            _ => self.find_day(at),
        }
    }

    /// The same, remembered for the next question.
    pub fn day_of_event(&mut self, at: Millis) -> Day {
        let day = self.day_of(at);
        self.latest = Some(day);
        day
    }

    /// The zone that is in force at an instant.
    pub fn zone_at(&self, at: Millis) -> Option<&Zone> {
        self.spans[..self.span_at(at).map_or(0, |index| index + 1)].last()?.zone.as_ref()
    }

    fn span_at(&self, at: Millis) -> Option<usize> {
        if self.spans.is_empty() {
            return None;
        }
        Some(self.spans.partition_point(|span| span.from <= at).saturating_sub(1))
    }

    fn find_day(&self, at: Millis) -> Day {
        let Some((index, zone)) = self.span_at(at).and_then(|index| Some((index, self.spans[index].zone.as_ref()?)))
        else {
            return utc_day(at);
        };
        let local = zone.day_of(at);
        let next = self.spans.get(index + 1).map_or(Millis::MAX, |span| span.from);
        let from = if index == 0 { Millis::MIN } else { self.spans[index].from };
        let date = days_since_epoch(i32::from(local.date.year), i32::from(local.date.month), i32::from(local.date.day));
        Day {
            start: local.start_ms.max(from),
            end: local.end_ms.min(next),
            week: date - i32::from(local.weekday),
            month: i32::from(local.date.year) * 12 + i32::from(local.date.month) - 1,
            date,
            weekday: local.weekday,
        }
    }
}

impl Day {
    /// Index of the day's pane: the minute at which it starts.
    pub fn index(&self) -> i32 {
        minute_index(self.start)
    }

    /// Local dates of the first and the last day of the month, in days since 1970.
    pub fn month_dates(&self) -> (i32, i32) {
        let first = |month: i32| days_since_epoch(month.div_euclid(12), month.rem_euclid(12) + 1, 1);
        (first(self.month), first(self.month.saturating_add(1)) - 1)
    }
}

/// Pane index of an instant's minute; instants beyond the years of `i32` minutes stand at the ends.
pub fn minute_index(at: Millis) -> i32 {
    let minute = at.div_euclid(MINUTE_MS);
    i32::try_from(minute).unwrap_or(if minute < 0 { i32::MIN } else { i32::MAX })
}

fn utc_day(at: Millis) -> Day {
    let date = at.div_euclid(DAY_MS);
    let start = date.saturating_mul(DAY_MS);
    let date = date as i32;
    let weekday = (date + 3).rem_euclid(7) as u8;
    Day { start, end: start.saturating_add(DAY_MS), week: date - i32::from(weekday), month: 0, date, weekday }
}

/// Days from 1970-01-01 to a Gregorian date (Howard Hinnant's `days_from_civil`).
fn days_since_epoch(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::time::HOUR_MS;
    use proptest::prelude::*;

    fn calendar(zone: &str) -> Calendar {
        let mut calendar = Calendar::default();
        assert!(calendar.set_zone(zone, 0));
        calendar
    }

    /// 2026-03-29 00:00 UTC, the day on which Berlin's clocks go forward.
    const SPRING: Millis = 20_541 * DAY_MS;

    #[test]
    fn the_day_of_the_clock_change_has_23_hours() {
        let day = calendar("Europe/Berlin").day_of(SPRING + 5 * HOUR_MS);
        assert_eq!((day.start, day.end), (SPRING - HOUR_MS, SPRING + 22 * HOUR_MS));
        assert_eq!((day.date, day.weekday, day.week, day.month), (20_541, 6, 20_535, 2026 * 12 + 2));
        assert_eq!(day.month_dates(), (20_513, 20_543));
    }

    #[test]
    fn a_new_zone_takes_effect_at_the_old_zone_s_midnight_and_no_instant_is_in_two_days() {
        let mut calendar = calendar("Europe/Berlin");
        let noon = SPRING + DAY_MS + 12 * HOUR_MS;
        let old = calendar.day_of(noon);
        calendar.set_zone("America/New_York", noon);
        assert_eq!(calendar.day_of(noon), old, "today is untouched");
        let first = calendar.day_of(old.end);
        assert_eq!(first.start, old.end);
        assert_eq!(first.end, SPRING + 2 * DAY_MS + 4 * HOUR_MS, "midnight in New York");
        assert_ne!(first.index(), old.index());
        assert_eq!(calendar.day_of(first.end).end - first.end, DAY_MS);
    }

    #[test]
    fn an_unknown_zone_is_said_and_stands_for_utc() {
        let mut calendar = Calendar::default();
        assert!(!calendar.set_zone("Mars/Olympus", 0));
        assert_eq!(calendar.day_of(SPRING + 1).start, SPRING);
    }

    proptest! {
        #[test]
        fn days_lie_end_to_end_over_any_zone_changes(
            changes in prop::collection::vec((0..4_usize, 0..200_i64), 0..6),
            hour in 0..4_800_i64,
        ) {
            let names = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"];
            let mut calendar = calendar("UTC");
            let mut changes = changes;
            changes.sort_by_key(|(_, day)| *day);
            for (name, day) in changes {
                calendar.set_zone(names[name], SPRING + day * DAY_MS);
            }
            let day = calendar.day_of(SPRING + hour * HOUR_MS);
            prop_assert!((day.start..day.end).contains(&(SPRING + hour * HOUR_MS)));
            prop_assert_eq!(calendar.day_of(day.end).start, day.end);
            prop_assert_eq!(calendar.day_of(day.start), day);
            prop_assert_eq!(calendar.day_of(day.end - 1), day);
        }
    }
}
