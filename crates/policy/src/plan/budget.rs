//! Budget of the local day from daily, weekly, monthly and flight budgets; of several the smallest.

use super::{HOURS_OF_WEEK, OpenHours, Weights};
use crate::arithmetic::half_to_even;
use crate::hold::Hold;
use crate::settings::Plan;
use model::WHOLE_PPM;

/// A budget for more than one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The whole budget.
    pub budget_micros: i64,
    /// Spent in the period before today.
    pub spent_before_today_micros: i64,
    /// Local days of the period inside the flight, today and those before it included.
    pub days: i64,
    /// Of these, today and those to come.
    pub days_left: i64,
    /// Share of today's plan that lies inside the flight: a flight that begins at 20:00 has an evening, no day.
    pub today_inside_ppm: i64,
    /// The same of the period's last day.
    pub last_inside_ppm: i64,
}

/// The budgets of a campaign as they stand today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayBudgets<'a> {
    /// For each day.
    pub daily_micros: Option<i64>,
    /// Monday to Sunday.
    pub weekly: Option<Period>,
    /// Calendar month.
    pub monthly: Option<Period>,
    /// The whole flight.
    pub flight: Option<Period>,
    /// 0 is Monday.
    pub weekday: u8,
    /// Times as much traffic as usual, as people expect it, today and on the days that follow; parts per million, none
    /// where nothing is declared.
    pub lifts_ppm: &'a [i64],
}

/// The budget of today, from the whole day; `Hold::NoBudget` where none is given.
pub fn budget_of_day(
    budgets: &DayBudgets<'_>,
    weights: &Weights,
    open: &OpenHours,
    settings: &Plan,
) -> Result<i64, Hold> {
    let mut least = budgets.daily_micros.map(|daily| daily.max(0));
    let periods = [budgets.weekly, budgets.monthly, budgets.flight];
    // Weights share out periods only, and most campaigns have a daily budget alone.
    if periods.iter().all(Option::is_none) {
        return least.ok_or(Hold::NoBudget);
    }
    let by_day = weekday_shares(weights, open);
    for period in periods.into_iter().flatten() {
        let share = share_of_period(&period, budgets, &by_day, settings)?;
        least = Some(least.map_or(share, |least| least.min(share)));
    }
    least.ok_or(Hold::NoBudget)
}

/// remaining x g(today) / sum of g over the days left, between half and one and a half flat averages; the last day takes
/// what is left, up to two averages.
fn share_of_period(period: &Period, budgets: &DayBudgets<'_>, by_day: &[f64; 7], settings: &Plan) -> Result<i64, Hold> {
    let weekday = budgets.weekday;
    let lift = |day: usize| budgets.lifts_ppm.get(day).map_or(1.0, |ppm| (*ppm).max(0) as f64 / WHOLE_PPM as f64);
    let left = period.budget_micros.saturating_sub(period.spent_before_today_micros).max(0);
    let average = period.budget_micros.max(0) as f64 / period.days.max(1) as f64;
    let inside = |ppm: i64| ppm.clamp(0, WHOLE_PPM) as f64 / WHOLE_PPM as f64;
    let (today_inside, last_inside) = (inside(period.today_inside_ppm), inside(period.last_inside_ppm));
    let is_whole = today_inside >= 1.0 && last_inside >= 1.0;
    let share = if period.days_left <= 1 {
        (left as f64).min(settings.last_day_share_max * average)
    } else {
        let whole_today = by_day[usize::from(weekday % 7)];
        let last = by_day[(usize::from(weekday % 7) + ((period.days_left - 1) % 7) as usize) % 7];
        let today = whole_today * today_inside * lift(0);
        let of_last = usize::try_from(period.days_left - 1).map_or(1.0, lift);
        let coming = sum_of_days(weekday, period.days_left, by_day) + declared(budgets, period.days_left, by_day)
            - whole_today * (1.0 - today_inside) * lift(0)
            - last * (1.0 - last_inside) * of_last;
        if coming <= 0.0 {
            return Err(Hold::DayClosed);
        }
        // The bounds hold for whole days; a short first or last day shifts the average of all.
        let (low, high) = match is_whole {
            // What people expect of a day may go beyond what is usual for days.
            true => (
                settings.day_share_min * average * lift(0).min(1.0),
                settings.day_share_max * average * lift(0).max(1.0),
            ),
            false => (0.0, f64::MAX),
        };
        // A day on which the campaign is closed gets nothing, whatever the lower bound says.
        if today <= 0.0 { 0.0 } else { (left as f64 * today / coming).max(low).min(high) }
    };
    Ok(half_to_even(share)?.min(left))
}

/// Weight of each day of the week, closed hours left out.
fn weekday_shares(weights: &Weights, open: &OpenHours) -> [f64; 7] {
    let mut days = [0.0; 7];
    for hour in (0..HOURS_OF_WEEK).filter(|hour| open.is_open(*hour)) {
        days[hour / 24] += weights[hour];
    }
    days
}

/// What the days left weigh more, or less, than their days of the week do.
fn declared(budgets: &DayBudgets<'_>, days_left: i64, by_day: &[f64; 7]) -> f64 {
    let left = usize::try_from(days_left).unwrap_or(0);
    let days = budgets.lifts_ppm.iter().take(left).enumerate();
    let more = days.map(|(day, ppm)| {
        by_day[(usize::from(budgets.weekday) + day) % 7] * ((*ppm).max(0) - WHOLE_PPM) as f64 / WHOLE_PPM as f64
    });
    more.sum()
}

fn sum_of_days(first: u8, count: i64, by_day: &[f64; 7]) -> f64 {
    let week: f64 = by_day.iter().sum();
    let rest: f64 = (0..(count % 7) as usize).map(|day| by_day[(usize::from(first) + day) % 7]).sum();
    week * (count / 7) as f64 + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EUR: i64 = 1_000_000;

    fn flat(budgets: DayBudgets<'_>) -> Result<i64, Hold> {
        budget_of_day(&budgets, &[1.0; 168], &OpenHours::ALWAYS, &Plan::default())
    }

    fn month(budget: i64, spent: i64, days: i64, days_left: i64) -> Option<Period> {
        let (today_inside_ppm, last_inside_ppm) = (WHOLE_PPM, WHOLE_PPM);
        let (budget_micros, spent_before_today_micros) = (budget * EUR, spent * EUR);
        Some(Period { budget_micros, spent_before_today_micros, days, days_left, today_inside_ppm, last_inside_ppm })
    }

    #[test]
    fn the_smallest_budget_counts() {
        let budgets =
            DayBudgets { daily_micros: Some(40 * EUR), monthly: month(900, 300, 30, 20), ..Default::default() };
        assert_eq!(flat(budgets), Ok(30 * EUR));
        assert_eq!(flat(DayBudgets { daily_micros: Some(20 * EUR), ..budgets }), Ok(20 * EUR));
        assert_eq!(flat(DayBudgets::default()), Err(Hold::NoBudget));
    }

    #[test]
    fn a_declared_day_gets_what_is_expected_of_it_from_the_others() {
        let plain = DayBudgets { monthly: month(300, 0, 30, 30), ..Default::default() };
        let usual = flat(plain).unwrap();
        // Today is expected to bring three times as much: 3 of 32 parts, beyond what the bounds leave a usual day.
        assert_eq!(flat(DayBudgets { lifts_ppm: &[3_000_000], ..plain }), Ok(28_125_000));
        let tomorrow = flat(DayBudgets { lifts_ppm: &[1_000_000, 3_000_000], ..plain }).unwrap();
        assert_eq!((usual, tomorrow), (10 * EUR, 9_375_000), "today gives its part");
        assert_eq!(flat(DayBudgets { lifts_ppm: &[0], ..plain }), Ok(0), "nothing is expected");
        assert!(flat(DayBudgets { lifts_ppm: &[i64::MIN, i64::MAX, 7], ..plain }).is_ok());
    }

    #[test]
    fn a_period_that_runs_behind_catches_up_within_bounds() {
        // Nothing spent with ten days left: 90 a day would be needed, one and a half averages of 30 are allowed.
        assert_eq!(flat(DayBudgets { monthly: month(900, 0, 30, 10), ..Default::default() }), Ok(45 * EUR));
        // Almost all spent with ten days left: half an average, as long as there is money.
        assert_eq!(flat(DayBudgets { monthly: month(900, 880, 30, 10), ..Default::default() }), Ok(15 * EUR));
        assert_eq!(flat(DayBudgets { monthly: month(900, 895, 30, 10), ..Default::default() }), Ok(5 * EUR));
        assert_eq!(flat(DayBudgets { monthly: month(900, 950, 30, 10), ..Default::default() }), Ok(0));
    }

    #[test]
    fn the_last_day_takes_the_rest_up_to_two_averages() {
        assert_eq!(flat(DayBudgets { flight: month(90, 65, 3, 1), ..Default::default() }), Ok(25 * EUR));
        assert_eq!(flat(DayBudgets { flight: month(90, 10, 3, 1), ..Default::default() }), Ok(60 * EUR));
    }

    #[test]
    fn a_short_first_day_gets_its_evening_and_no_more() {
        // A tenth of today lies inside, all of tomorrow: one part of eleven.
        let short = Period { today_inside_ppm: 100_000, ..month(110, 0, 2, 2).unwrap() };
        assert_eq!(flat(DayBudgets { flight: Some(short), ..Default::default() }), Ok(10 * EUR));
        // The flight ends within its only day: all of the money is for what is left of it.
        let only = Period { today_inside_ppm: 100_000, last_inside_ppm: 100_000, ..month(110, 0, 1, 1).unwrap() };
        assert_eq!(flat(DayBudgets { flight: Some(only), ..Default::default() }), Ok(110 * EUR));
    }

    #[test]
    fn strong_days_get_more_and_closed_days_nothing() {
        let mut weights = [1.0; 168];
        weights[..24].fill(1.3); // Monday
        let budgets = DayBudgets { weekly: month(73, 0, 7, 7), weekday: 0, ..Default::default() };
        let by = |weekday, days_left| {
            let weekly = month(73, 0, 7, days_left);
            budget_of_day(&DayBudgets { weekday, weekly, ..budgets }, &weights, &OpenHours::ALWAYS, &Plan::default())
        };
        assert_eq!((by(0, 7), by(1, 7)), (Ok(13 * EUR), Ok(10 * EUR)));
        let weekdays = OpenHours::parse(&format!("{}{}", "1".repeat(120), "0".repeat(48))).unwrap();
        let sunday = DayBudgets { weekday: 6, weekly: month(73, 0, 9, 8), ..budgets };
        assert_eq!(budget_of_day(&sunday, &weights, &weekdays, &Plan::default()), Ok(0));
    }

    proptest! {
        #[test]
        fn a_day_never_gets_more_than_is_left(n in any::<[i64; 5]>(), weekday in any::<u8>()) {
            let period = Period {
                today_inside_ppm: WHOLE_PPM,
                last_inside_ppm: WHOLE_PPM,
                budget_micros: n[0], spent_before_today_micros: n[1], days: n[2], days_left: n[3],
            };
            let budgets = DayBudgets { flight: Some(period), daily_micros: Some(n[4]), weekday, ..Default::default() };
            if let Ok(today) = flat(budgets) {
                prop_assert!(today >= 0 && today <= n[0].saturating_sub(n[1]).max(0) && today <= n[4].max(0));
            }
        }
    }
}
