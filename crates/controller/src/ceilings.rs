//! What a platform lets a week and a month cost, from the daily budget that was promised (section 13).
//!
//! A platform that may overspend a day promises the sum: seven budgets a week, 30.4 a month. What always holds: a day that
//! the flight leaves out, or that came before the budget was changed, promises nothing of today's budget, so halving a
//! budget in the middle of a month stops nobody who kept to the old one; the ceiling bounds and never hands out more than
//! the budget of the day. Who joins or leaves a shared budget changes nothing of what it still allows.

use crate::calendar::Day;
use crate::campaign::Live;
use crate::measures::net_spend;
use model::time::Millis;
use policy::arithmetic::ratio;
use policy::profile::Profile;
use serde::{Deserialize, Serialize};

/// Since when the daily budget stands, where it was changed: 24 bytes a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Local date of the change, in days since 1970.
    since: i32,
    /// Spent before that date in its week.
    week_spent: i64,
    /// The same of its month.
    month_spent: i64,
}

/// What a period still allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// week or month.
    pub period: &'static str,
    /// For today and later.
    pub left_micros: i64,
    /// Today and those to come.
    pub days_left: i64,
}

/// A week or a month around a day.
#[derive(Clone, Copy, Debug)]
struct Span {
    period: &'static str,
    first: i32,
    last: i32,
    share_ppm: i64,
}

impl Promise {
    /// A change of the daily budget on a day: what was spent before stays under the old one.
    pub fn changed(live: &Live, day: &Day) -> Promise {
        let [week_spent, month_spent] = spent_before(live, day);
        Promise { since: day.date, week_spent, month_spent }
    }
}

/// The same of a budget that several campaigns share: 24 bytes a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedPromise {
    /// Local date since which the daily budget stands.
    since: i32,
    /// Local date of the sums below, which are those of its week and month.
    noted: i32,
    /// What its members spent in that week outside of today's promise: before the change, and before they joined.
    week_spent: i64,
    /// The same of the month.
    month_spent: i64,
}

impl SharedPromise {
    /// The daily budget is new or another one from `date` on; the members spent so much before it in its week and month.
    pub fn changed(date: i32, spent: [i64; 2]) -> Self {
        Self { since: date, noted: date, week_spent: spent[0], month_spent: spent[1] }
    }

    /// Members came or went, and with them so much more (or less) spend of the week and month of `day`.
    pub fn regrouped(&mut self, day: &Day, more: [i64; 2]) {
        let [week, month] = self.spent_outside(day);
        (self.noted, self.week_spent) = (day.date, week.saturating_add(more[0]));
        self.month_spent = month.saturating_add(more[1]);
    }

    /// Spend of the day's week and month that is not set against the promise.
    fn spent_outside(&self, day: &Day) -> [i64; 2] {
        let (first, last) = day.month_dates();
        let of = |span: std::ops::RangeInclusive<i32>, spent| if span.contains(&self.noted) { spent } else { 0 };
        [of(day.week..=day.week.saturating_add(6), self.week_spent), of(first..=last, self.month_spent)]
    }
}

impl Ceiling {
    /// The ceilings of a campaign with a daily budget.
    pub fn of(live: &Live, day: &Day, daily_micros: i64, profile: &Profile) -> impl Iterator<Item = Ceiling> {
        let date_of = |at: Millis| live.calendar.day_of(at).date;
        let flight = (date_of(live.spec.flight_start), live.spec.flight_end.map(|end| date_of(end.saturating_sub(1))));
        let spent = spent_before(live, day);
        let promise = live.promise;
        let spans = spans(day, profile).into_iter().zip(spent).enumerate();
        spans.filter_map(move |(at, (span, spent))| {
            let promise = promise.filter(|promise| (span.first..=span.last).contains(&promise.since));
            let before = promise.map_or(0, |promise| [promise.week_spent, promise.month_spent][at]);
            let first = promise.map_or(span.first, |promise| promise.since).max(flight.0);
            span.ceiling(daily_micros, (first, flight.1), before, spent, day)
        })
    }

    /// The ceilings of a budget that several campaigns share, from what they spent in the week and the month before today.
    pub fn of_group(
        day: &Day,
        daily_micros: i64,
        spent: [i64; 2],
        promise: Option<SharedPromise>,
        profile: &Profile,
    ) -> impl Iterator<Item = Ceiling> {
        let before = promise.map_or([0; 2], |promise| promise.spent_outside(day));
        let spans = spans(day, profile).into_iter().zip(spent).zip(before);
        spans.filter_map(move |((span, spent), before)| {
            let since = promise.map(|promise| promise.since).filter(|since| (span.first..=span.last).contains(since));
            span.ceiling(daily_micros, (since.unwrap_or(span.first), None), before, spent, day)
        })
    }

    /// Today's part: what is left, evenly over the days left.
    pub fn today_micros(&self) -> i64 {
        self.left_micros.max(0) / self.days_left.max(1)
    }
}

impl Span {
    /// `None` where the platform knows no such bound.
    fn ceiling(
        &self,
        daily_micros: i64,
        (first, end): (i32, Option<i32>),
        before: i64,
        spent: i64,
        day: &Day,
    ) -> Option<Ceiling> {
        let last = end.map_or(self.last, |end| end.min(self.last));
        let days = i64::from(last.saturating_sub(first).saturating_add(1).max(1));
        let whole = i64::from(self.last.saturating_sub(self.first).saturating_add(1).max(1));
        let product = i128::from(daily_micros.max(0)) * i128::from(self.share_ppm) * i128::from(days);
        let promised = ratio(product, i128::from(whole) * i128::from(model::WHOLE_PPM))?;
        (self.share_ppm > 0).then(|| Ceiling {
            period: self.period,
            left_micros: before.saturating_add(promised).saturating_sub(spent).max(0),
            days_left: i64::from(last.saturating_sub(day.date).saturating_add(1).max(1)),
        })
    }
}

fn spans(day: &Day, profile: &Profile) -> [Span; 2] {
    let (first, last) = day.month_dates();
    [
        Span { period: "week", first: day.week, last: day.week + 6, share_ppm: profile.week_ceiling_ppm },
        Span { period: "month", first, last, share_ppm: profile.month_ceiling_ppm },
    ]
}

/// Net spend of the day's week and month, the day included.
pub fn spent_through(live: &Live, day: &Day) -> [i64; 2] {
    let sums = [live.weeks.get(day.week), live.months.get(day.month)];
    sums.map(|sums| sums.map_or(0, |sums| net_spend(&sums)))
}

/// Net spend of the day's week and month before the day.
pub fn spent_before(live: &Live, day: &Day) -> [i64; 2] {
    let today = live.net_spend_of_day(day);
    spent_through(live, day).map(|spent| spent.saturating_sub(today))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::{GROSS_SPEND, NONE};
    use model::time::DAY_MS;

    const EUR: i64 = 1_000_000;
    /// Thursday 2026-01-15; January has 31 days.
    const TODAY: Millis = 20_468 * DAY_MS;

    fn live(spent: i64) -> Live {
        let mut live = Live::default();
        live.calendar.set_zone("UTC", 0);
        let day = live.calendar.day_of(TODAY);
        let mut sums = NONE;
        sums[GROSS_SPEND] = spent * EUR;
        live.weeks.add(day.week, &sums);
        live.months.add(day.month, &sums);
        live
    }

    fn left(live: &Live, profile: &str, daily: i64) -> Vec<(&'static str, i64, i64)> {
        let day = live.calendar.day_of(TODAY);
        let profile = Profile::built_in(profile).unwrap();
        let ceilings = Ceiling::of(live, &day, daily * EUR, &profile);
        ceilings.map(|c| (c.period, c.left_micros / EUR, c.days_left)).collect()
    }

    #[test]
    fn each_platform_promises_its_own_sum() {
        assert_eq!(left(&live(100), "meta", 100), [("week", 600, 4)]);
        assert_eq!(left(&live(100), "google_ads", 100), [("month", 2_940, 17)]);
        assert_eq!(left(&live(100), "bidder", 100), []);
        assert_eq!(left(&live(4_000), "google_ads", 100), [("month", 0, 17)], "never below nothing");
    }

    #[test]
    fn a_budget_that_is_halved_leaves_what_was_spent_under_the_old_one() {
        let mut live = live(1_400);
        live.promise = Some(Promise::changed(&live, &live.calendar.day_of(TODAY)));
        // 30.4 / 31 budgets of 50 for each of 17 days.
        assert_eq!(left(&live, "google_ads", 50), [("month", 833, 17)]);
        live.promise = Some(Promise { since: 20_400, ..Promise::default() });
        assert_eq!(left(&live, "google_ads", 100), [("month", 1_640, 17)], "a change of another month is over");
    }

    #[test]
    fn a_flight_of_three_days_is_promised_three_budgets() {
        let mut live = live(0);
        (live.spec.flight_start, live.spec.flight_end) = (TODAY, Some(TODAY + 3 * DAY_MS));
        assert_eq!(left(&live, "meta", 100), [("week", 300, 3)]);
        let today = Ceiling { period: "week", left_micros: 100, days_left: 3 };
        assert_eq!(today.today_micros(), 33);
    }
}
