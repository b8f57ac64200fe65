//! What is seen of one campaign at one instant: the day, its plan, its budget, what is spent and on its way.
//!
//! What always holds: a picture is computed from belief and ledger and changes neither, so explanations and the API see
//! what the decision saw. Windows end at the watermark, on whole minutes (whole hours for reported statistics).

use crate::calendar::{Day, minute_index};
use crate::campaign::Live;
use crate::channel::Channel;
use crate::ledger::CampaignLedger;
use crate::measures::*;
use model::output::WindowSums;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::hold::Hold;
use policy::plan::{DayBudgets, DayPlan, OpenHours, Period, Shape, budget_of_day, tiny};
use policy::pressure::{self, Exposure, ExposureInput, Rate, rate_window_ms};
use policy::profile::{DayBudget, Profile};
use policy::settings::Settings;
use window::calendar::{Date, LocalDay};

/// One campaign at one instant.
#[derive(Clone, Debug)]
pub struct Picture {
    /// T.
    pub now: Millis,
    /// The local day of T.
    pub day: Day,
    /// Event time below which everything is known.
    pub watermark: Option<Millis>,
    /// End of the windows: the watermark, on a whole minute, not after T.
    pub seen_until: Millis,
    /// F of the day.
    pub plan: Result<DayPlan, Hold>,
    /// B.
    pub budget: Result<i64, Hold>,
    /// What week, month and flight leave for today and later.
    pub period_left: Option<i64>,
    /// Most that the day may cost.
    pub ceiling: i64,
    /// E, its parts and rates.
    pub exposure: Exposure,
    /// c.
    pub cost: Result<i64, Hold>,
    /// Spend after corrections of the day.
    pub spent_day: i64,
    /// Billable events of the day.
    pub events_day: i64,
    /// What the campaign's platform allows.
    pub profile: Profile,
    /// Usual time from a command to its effect.
    pub apply_ms: Millis,
    /// Declared or reported period of the feed.
    pub period_ms: Millis,
}

/// A window that ends at the watermark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// First instant.
    pub start: Millis,
    /// First instant after it.
    pub end: Millis,
    /// Its sums.
    pub sums: Measures,
}

/// Minute panes reach this far back for certain.
const MINUTES_BACK_MS: Millis = 74 * MINUTE_MS;

impl Picture {
    /// Looks at a campaign.
    pub fn of(
        live: &Live,
        ledger: Option<&CampaignLedger>,
        channel: Option<&Channel>,
        events_watermark: Option<Millis>,
        now: Millis,
        settings: &Settings,
        profile: Profile,
    ) -> Picture {
        let spec = &live.spec;
        let day = live.calendar.day_of(now);
        let watermark = live.watermark(events_watermark);
        let seen_until = watermark.unwrap_or(now).min(now).div_euclid(MINUTE_MS) * MINUTE_MS;
        let weights = channel.map_or_else(|| Channel::default().shape.weights(&settings.plan), |c| c.shape.weights(&settings.plan));
        let open = spec.open_hours.as_deref().and_then(|marks| OpenHours::parse(marks).ok()).unwrap_or(OpenHours::ALWAYS);
        let today = live.days.get(day.index()).unwrap_or(NONE);
        let (spent_day, events_day) = (net_spend(&today), today[BILLABLE]);
        let net = |sums: Option<Measures>| net_spend(&sums.unwrap_or(NONE));
        let spent_month = net(live.months.get(day.month));
        let spent_flight = net(live.totals.get(crate::campaign::FLIGHT));
        let spent_week = net(live.weeks.get(day.week));
        let budgets = budgets(live, &day, [spent_week, spent_month, spent_flight].map(|spent| spent.saturating_sub(spent_day)));
        let plan = day_plan(live, &day, &weights, &open, settings);
        let whole_day = budget_of_day(&budgets, &weights, &open, &settings.plan);
        let budget = whole_day.map(|budget| first_day(budget, live, &day, &weights, &open, settings));
        let periods = [budgets.weekly, budgets.monthly, budgets.flight].into_iter().flatten();
        let left = periods.map(|period| period.budget_micros.saturating_sub(period.spent_before_today_micros));
        let flight_left = spec.flight_budget_micros.map(|all| all.saturating_sub(spent_flight.saturating_sub(spent_day)));
        let period_left = left.chain(flight_left).min();
        let apply_ms = ledger.and_then(CampaignLedger::apply_median_ms).unwrap_or(profile.apply_ms);
        let period_ms = if live.counts_reports() { live.stats.as_ref().map_or(HOUR_MS, |stats| stats.period) } else { 0 };
        let mut picture = Picture {
            now,
            day,
            watermark,
            seen_until,
            plan,
            budget,
            period_left,
            ceiling: i64::MAX,
            exposure: Exposure::default(),
            cost: Err(Hold::NoCost),
            spent_day,
            events_day,
            profile,
            apply_ms,
            period_ms,
        };
        picture.exposure = picture.exposed(live, settings);
        let neighbours = channel.and_then(Channel::mean_cost_micros).unwrap_or(spec.bid_micros);
        picture.cost = pressure::mean_cost_micros(spent_day, events_day, neighbours, &settings.pressure);
        picture.ceiling = picture.day_ceiling(live, ledger, settings);
        picture
    }

    /// T - W.
    pub fn data_age(&self) -> Option<Millis> {
        self.watermark.map(|watermark| self.now.saturating_sub(watermark).max(0))
    }

    /// F at the end of the windows, 0 without a plan.
    pub fn plan_share(&self) -> f64 {
        self.plan.as_ref().map_or(0.0, |plan| plan.share_by(self.seen_until))
    }

    /// Share of the plan between two instants.
    pub fn share_between(&self, from: Millis, to: Millis) -> f64 {
        self.plan.as_ref().map_or(0.0, |plan| plan.share_between(from, to))
    }

    /// Sums of about the last `length` before the watermark, not before `floor`.
    pub fn window(&self, live: &Live, length: Millis, floor: Millis) -> Window {
        let end = self.seen_until;
        let start = end.saturating_sub(length).max(floor).min(end);
        let hourly = live.counts_reports() || end.saturating_sub(start) > MINUTES_BACK_MS;
        let (start, panes) = if hourly {
            (start.div_euclid(HOUR_MS) * HOUR_MS, &live.hours)
        } else {
            (start.div_euclid(MINUTE_MS) * MINUTE_MS, &live.minutes)
        };
        let start = start.max(if hourly { floor.div_euclid(HOUR_MS) * HOUR_MS } else { floor });
        Window { start, end, sums: panes.sum(minute_index(start)..minute_index(end)) }
    }

    fn exposed(&self, live: &Live, settings: &Settings) -> Exposure {
        let age = self.data_age().unwrap_or(DAY_MS);
        let rate = |length: Millis| {
            let window = self.window(live, length, Millis::MIN / 2);
            Rate { spend_micros: net_spend(&window.sums), span_ms: window.end.saturating_sub(window.start).max(MINUTE_MS) }
        };
        let input = ExposureInput {
            now_ms: self.now,
            watermark_ms: self.watermark,
            day_start_ms: self.day.start,
            spend_day_micros: self.spent_day,
            rate: rate(rate_window_ms(age, &settings.pressure)),
            rate_5_min: rate(5 * MINUTE_MS),
            rate_15_min: rate(15 * MINUTE_MS),
        };
        Exposure::of(&input, &settings.pressure)
    }

    fn day_ceiling(&self, live: &Live, ledger: Option<&CampaignLedger>, settings: &Settings) -> i64 {
        let Ok(budget) = self.budget else { return i64::MAX };
        let since = |ledger: &CampaignLedger| {
            let moved = ledger.budget.moves.iter().filter(|moved| moved.at >= self.day.start);
            moved.map(|moved| moved.from.max(moved.to)).max()
        };
        let day = DayBudget {
            budget_micros: budget,
            highest_today_micros: ledger.and_then(since).unwrap_or(budget).max(budget),
            daily_cap: &live.spec.daily_cap,
            overdelivery_ppm: live.spec.overdelivery_ppm,
            period_left_micros: self.period_left,
        };
        let ceiling = self.profile.day_ceiling_micros(&day);
        match self.cost {
            Ok(cost) if tiny::is_tiny(budget, cost, &settings.pressure) => tiny::ceiling_micros(ceiling, cost),
            _ => ceiling,
        }
    }
}

impl Window {
    /// As an explanation shows it.
    pub fn described(&self, live: &Live, name: &str) -> WindowSums {
        let (conversions_micro, value_micros) = crate::rows::outcome(live, &self.sums, CREDITS_CONVERSION_TIME);
        WindowSums {
            name: name.to_owned(),
            start: self.start,
            end: self.end,
            impressions: self.sums[IMPRESSIONS],
            clicks: self.sums[CLICKS],
            spend_micros: net_spend(&self.sums),
            conversions_micro,
            value_micros,
        }
    }
}

fn day_plan(
    live: &Live,
    day: &Day,
    weights: &policy::plan::Weights,
    open: &OpenHours,
    settings: &Settings,
) -> Result<DayPlan, Hold> {
    let zone = live.calendar.zone_at(day.start).ok_or(Hold::DayClosed)?;
    let local = local_day(day);
    let span = (live.spec.flight_start, live.spec.flight_end);
    DayPlan::new(&local, &zone.local_hours(&local), weights, open, span, &settings.plan)
}

/// A campaign that starts within the day gets its part of a daily budget, unless the settings say all of it.
fn first_day(
    budget: i64,
    live: &Live,
    day: &Day,
    weights: &policy::plan::Weights,
    open: &OpenHours,
    settings: &Settings,
) -> i64 {
    let start = live.spec.flight_start;
    if !(day.start + 1..day.end).contains(&start) || settings.plan.full_budget_on_first_day {
        return budget;
    }
    let Some(zone) = live.calendar.zone_at(day.start) else { return budget };
    let local = local_day(day);
    let whole = DayPlan::new(&local, &zone.local_hours(&local), weights, open, (Millis::MIN, None), &settings.plan);
    let share = whole.map_or(1.0, |whole| DayPlan::first_day_share(&whole, start, &settings.plan));
    policy::arithmetic::of_ppm(budget, policy::arithmetic::ppm(share))
}

fn local_day(day: &Day) -> LocalDay {
    // The date serves only to name the day; hours are cut between its ends.
    let date = Date { year: 1970, month: 1, day: 1 };
    LocalDay { start_ms: day.start, end_ms: day.end, date, weekday: day.weekday }
}

/// The budgets as of today; what was spent before today comes for week, month and flight.
fn budgets(live: &Live, day: &Day, before: [i64; 3]) -> DayBudgets {
    let spec = &live.spec;
    let date_of = |at: Millis| live.calendar.day_of(at).date;
    let flight_first = date_of(spec.flight_start);
    let flight_last = spec.flight_end.map(|end| date_of(end.saturating_sub(1)));
    let period = |budget: Option<i64>, first: i32, last: i32, spent: i64| {
        let (first, last) = (first.max(flight_first), flight_last.map_or(last, |end| end.min(last)));
        Some(Period {
            budget_micros: budget?,
            spent_before_today_micros: spent,
            days: i64::from(last.saturating_sub(first).saturating_add(1).max(1)),
            days_left: i64::from(last.saturating_sub(day.date).saturating_add(1).max(0)),
        })
    };
    let (month_first, month_last) = day.month_dates();
    DayBudgets {
        daily_micros: spec.daily_budget_micros,
        weekly: period(spec.weekly_budget_micros, day.week, day.week + 6, before[0]),
        monthly: period(spec.monthly_budget_micros, month_first, month_last, before[1]),
        flight: flight_last.and_then(|last| period(spec.flight_budget_micros, flight_first, last, before[2])),
        weekday: day.weekday,
    }
}
