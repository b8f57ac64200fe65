//! What is seen of one campaign at one instant: the day, its plan, its budget, what is spent and on its way.
//!
//! What always holds: a picture is computed from belief and ledger and changes neither, so explanations and the API see
//! what the decision saw. Windows end at the watermark, on whole minutes (whole hours for reported statistics).

use crate::calendar::{Day, minute_index};
use crate::campaign::{FLIGHT, Live};
use crate::ceilings::Ceiling;
use crate::channel::Channel;
use crate::group::Group;
use crate::ledger::CampaignLedger;
use crate::measures::*;
use crate::underperformer::explored_micros;
use model::WHOLE_PPM;
use model::output::WindowSums;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::hold::Hold;
use policy::plan::{DayBudgets, DayPlan, HOURS_OF_WEEK, Lift, OpenHours, Period, Shape, Weights};
use policy::plan::{budget_of_day, tiny, without_history};
use policy::pressure::{self, Exposure, ExposureInput, Rate, rate_window_ms};
use policy::profile::{DayBudget, Profile};
use policy::settings::Settings;
use std::sync::Arc;
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
    pub plan: Result<Arc<DayPlan>, Hold>,
    /// B.
    pub budget: Result<i64, Hold>,
    /// What week, month and flight leave for today and later.
    pub period_left: Option<i64>,
    /// The week's or the month's ceiling of the platform, where that is what leaves least: its word and what it leaves.
    pub bound_by: Option<(&'static str, i64)>,
    /// Most that the day may cost.
    pub ceiling: i64,
    /// Of a campaign with a shared budget: E and ceiling of its own budget, if it has one.
    pub own: Option<(Exposure, i64)>,
    /// The budget is shared with other campaigns; budget, ceiling and exposure are of all of them.
    pub is_shared: bool,
    /// The budget of the day buys too few events to be paced by bid.
    pub is_tiny: bool,
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

/// The plan of a day, kept because it changes rarely and is asked at every record. Not part of the state: its key names
/// everything that it is made of.
#[derive(Clone, Debug)]
pub struct Outlook {
    key: OutlookKey,
    /// The numbers of the policy that it is made with: an experiment's arm or verdict changes them in mid-day.
    numbers: (policy::settings::Plan, f64),
    hour_factors: Vec<i64>,
    weather_factors: Vec<(Box<str>, i64)>,
    /// The plan, or why there is none.
    pub plan: Result<Arc<DayPlan>, Hold>,
}

/// Start of the day, version of the specification, version of the policy, hours that the shape has learned.
type OutlookKey = (Millis, i64, i64, i64);

/// What surrounds a campaign when it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// T.
    pub now: Millis,
    /// Watermark of the events.
    pub watermark: Option<Millis>,
    /// Signs of life of account and channel.
    pub channel: Option<&'a Channel>,
    /// Numbers of the policy.
    pub settings: &'a Settings,
    /// Version of the policy.
    pub policy_version: i64,
    /// The budget that the campaign shares with others.
    pub shared: Option<&'a Group<'a>>,
    /// Declared period of the feeds of events.
    pub feed_period_ms: Millis,
    /// The daily budget that the campaign's pool gives it, where it is in one.
    pub given_micros: Option<i64>,
}

/// How often a campaign's spend is told: its reports' period, or the declared one of the feeds of events.
pub fn feed_period_ms(live: &Live, events_ms: Millis) -> Millis {
    if live.counts_reports() { live.stats.as_ref().map_or(HOUR_MS, |stats| stats.period) } else { events_ms }
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
pub const MINUTES_BACK_MS: Millis = 74 * MINUTE_MS;

impl Picture {
    /// Looks at a campaign.
    pub fn of(live: &Live, ledger: Option<&CampaignLedger>, scene: &Scene<'_>, profile: Profile) -> Picture {
        let (spec, settings, now) = (&live.spec, scene.settings, scene.now);
        let day = live.calendar.day_of(now);
        let watermark = live.watermark(scene.watermark);
        let seen_until = watermark.unwrap_or(now).min(now).div_euclid(MINUTE_MS) * MINUTE_MS;
        let today = live.days.get(day.index()).unwrap_or(NONE);
        let (spent_day, events_day) = (net_spend(&today), today[BILLABLE]);
        let declared = declared_days(live, &day);
        let budgets = DayBudgets { lifts_ppm: &declared, ..budgets(live, &day, spent_day, scene) };
        let periods = [budgets.weekly, budgets.monthly, budgets.flight].into_iter().flatten();
        let left = periods.map(|period| period.budget_micros.saturating_sub(period.spent_before_today_micros));
        let flight_left = spec.flight_budget_micros.map(|all| {
            let spent = net_spend(&live.totals.get(FLIGHT).unwrap_or(NONE));
            all.saturating_sub(spent.saturating_sub(spent_day))
        });
        let own_left = left.chain(flight_left).min();
        let own_budget = day_budget(live, &day, &budgets, scene);
        let group = scene.shared.map(|group| DayBudgets { lifts_ppm: &declared, ..group_budgets(group, live, &day) });
        let (asked, period_left) = match &group {
            Some(group) => group_budget(group, scene),
            None => (own_budget, own_left),
        };
        let ceilings = ceilings(live, &day, &profile, scene);
        let (budget, period_left, bound_by) = bounded(asked, period_left, &ceilings);
        let least = spec.budget_min_micros.unwrap_or_default();
        let watched = &settings.pause.underperformer;
        // A control's share is of its own budget; one that is shared has the plan of all its members.
        let budget = match scene.shared {
            Some(_) => budget,
            None => budget.map(|budget| explored_micros(budget, least, live, day.month, watched)),
        };
        let mut picture = Picture {
            now,
            day,
            watermark,
            seen_until,
            plan: Outlook::plan_of(live, scene),
            budget,
            period_left,
            bound_by,
            ceiling: i64::MAX,
            own: None,
            is_shared: scene.shared.is_some(),
            is_tiny: false,
            exposure: Exposure::default(),
            cost: Err(Hold::NoCost),
            spent_day,
            events_day,
            apply_ms: ledger.and_then(CampaignLedger::apply_median_ms).unwrap_or(profile.apply_ms),
            period_ms: feed_period_ms(live, scene.feed_period_ms),
            profile,
        };
        picture.exposure = picture.exposed(live, settings);
        let own = picture.exposure;
        for sibling in scene.shared.iter().flat_map(|group| &group.siblings) {
            picture.add_sibling(sibling, settings);
        }
        // What the neighbours pay cannot make an event dearer than the highest bid that we may set.
        let highest = Some(spec.bid_max_micros).filter(|bid| *bid > 0 && spec.bid_control == "paceline");
        let neighbours = scene.channel.and_then(Channel::mean_cost_micros).unwrap_or(spec.bid_micros);
        let neighbours = neighbours.min(highest.unwrap_or(i64::MAX));
        let (spent, events) = scene.shared.map_or((spent_day, events_day), |group| group.today(&today, now));
        picture.cost = pressure::mean_cost_micros(spent, events, neighbours, &settings.pressure);
        picture.is_tiny = picture.decide_tiny(live, settings);
        picture.ceiling = picture.day_ceiling(live, ledger);
        if let (Some(_), Ok(budget)) = (scene.shared, own_budget) {
            let alone = Picture { budget: Ok(budget), period_left: own_left, is_tiny: false, ..picture.clone() };
            picture.own = Some((own, alone.day_ceiling(live, ledger)));
        }
        picture
    }

    /// Whether the day is one of a tiny budget: decided once a day and budget, or campaigns on the edge would flap.
    fn decide_tiny(&self, live: &Live, settings: &Settings) -> bool {
        let (Ok(budget), Ok(cost)) = (self.budget, self.cost) else { return false };
        match live.pacing.tiny {
            Some((day, decided, is_tiny)) if day == self.day.start && decided == budget => is_tiny,
            _ => tiny::is_tiny(budget, cost, &settings.pressure),
        }
    }

    /// Whether the turns of a tiny budget let the campaign run now; any other budget always does.
    pub fn has_its_turn(&self) -> bool {
        let may = |plan: &Arc<DayPlan>| tiny::may_spend(plan, i64::from(self.day.date), self.now);
        !self.is_tiny || self.plan.as_ref().is_ok_and(may)
    }

    /// What the hard stop looks at: exposure and ceiling of the budget that leaves less.
    pub fn tightest(&self) -> (Exposure, i64) {
        let room = |(exposure, ceiling): &(Exposure, i64)| ceiling.saturating_sub(exposure.exposed_micros());
        let all = (self.exposure, self.ceiling);
        self.own.filter(|own| room(own) < room(&all)).unwrap_or(all)
    }

    /// A campaign of the same budget spends from it, too.
    fn add_sibling(&mut self, sibling: &Live, settings: &Settings) {
        let spent = net_spend(&sibling.days.get(sibling.calendar.day_of(self.now).index()).unwrap_or(NONE));
        let own = Picture { spent_day: spent, ..self.clone() }.exposed(sibling, settings);
        let sum = &mut self.exposure;
        sum.seen_micros = sum.seen_micros.saturating_add(own.seen_micros);
        sum.unseen_micros = sum.unseen_micros.saturating_add(own.unseen_micros);
        sum.rate = add_rates(sum.rate, own.rate);
        sum.rate_max = add_rates(sum.rate_max, own.rate_max);
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

    /// Begin of the span that r_max was taken over.
    pub fn rate_began(&self) -> Millis {
        self.seen_until.saturating_sub(self.exposure.rate_max.span_ms)
    }

    /// The plan's pace from now until an instant of this day over that of r_max's span; 1 where either is nothing, as in the
    /// first minutes of a day, whose plan says nothing of the day before.
    pub fn traffic_until(&self, until: Millis) -> f64 {
        let pace = |from: Millis, to: Millis| self.share_between(from, to) / to.saturating_sub(from).max(1) as f64;
        let (then, next) = (pace(self.rate_began(), self.seen_until), pace(self.now, until.min(self.day.end)));
        if then > 0.0 && next > 0.0 { next / then } else { 1.0 }
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
        let lengths = [rate_window_ms(age, &settings.pressure), 5 * MINUTE_MS, 15 * MINUTE_MS];
        let [rate, rate_5_min, rate_15_min] = self.rates(live, lengths);
        let input = ExposureInput {
            now_ms: self.now,
            watermark_ms: self.watermark,
            day_start_ms: self.day.start,
            spend_day_micros: self.spent_day,
            rate,
            rate_5_min,
            rate_15_min,
        };
        Exposure::of(&input, &settings.pressure)
    }

    /// Spend after corrections of the last so many milliseconds, over windows as [`Self::window`] cuts them; nearly always
    /// all of them lie in minute panes, which are then read once.
    fn rates<const K: usize>(&self, live: &Live, lengths: [Millis; K]) -> [Rate; K] {
        let span = |start: Millis| self.seen_until.saturating_sub(start).max(MINUTE_MS);
        if live.counts_reports() || lengths.iter().any(|length| *length > MINUTES_BACK_MS) {
            return lengths.map(|length| {
                let window = self.window(live, length, Millis::MIN / 2);
                Rate { spend_micros: net_spend(&window.sums), span_ms: span(window.start) }
            });
        }
        let starts = lengths.map(|length| self.seen_until.saturating_sub(length).div_euclid(MINUTE_MS) * MINUTE_MS);
        let sums = live.minutes.sums_until(
            starts.map(minute_index),
            minute_index(self.seen_until),
            [GROSS_SPEND, SPEND_CORRECTION],
        );
        std::array::from_fn(|at| Rate {
            spend_micros: sums[at][0].saturating_add(sums[at][1]),
            span_ms: span(starts[at]),
        })
    }

    fn day_ceiling(&self, live: &Live, ledger: Option<&CampaignLedger>) -> i64 {
        let Ok(budget) = self.budget else { return i64::MAX };
        let since = |ledger: &CampaignLedger| {
            let moved = ledger.budget.moves.iter().filter(|moved| moved.at >= self.day.start);
            moved.map(|moved| moved.from.max(moved.to)).max()
        };
        let day = DayBudget {
            budget_micros: budget,
            highest_today_micros: ledger.filter(|_| !self.is_shared).and_then(since).unwrap_or(budget).max(budget),
            daily_cap: &live.spec.daily_cap,
            overdelivery_ppm: live.spec.overdelivery_ppm,
            period_left_micros: self.period_left,
        };
        let ceiling = self.profile.day_ceiling_micros(&day);
        match self.cost {
            Ok(cost) if self.is_tiny => tiny::ceiling_micros(ceiling, cost),
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

impl Outlook {
    /// Makes sure that the plan kept is that of the day of `now`, made of what holds now.
    pub fn renew(live: &mut Live, scene: &Scene<'_>) {
        if Self::kept(live, scene).is_none() {
            live.outlook = Some(Self::made(live, scene));
        }
    }

    /// The plan of the day of `now`: the one kept, if it is made of the same.
    pub fn plan_of(live: &Live, scene: &Scene<'_>) -> Result<Arc<DayPlan>, Hold> {
        Self::kept(live, scene).map_or_else(|| Self::made(live, scene).plan, |kept| kept.plan.clone())
    }

    fn kept<'a>(live: &'a Live, scene: &Scene<'_>) -> Option<&'a Outlook> {
        let kept = live.outlook.as_ref()?;
        let (plan, elasticity) = &kept.numbers;
        let numbers = (&scene.settings.plan, &scene.settings.pressure.elasticity);
        let is_same = kept.key == Self::key(live, scene) && (plan, elasticity) == numbers;
        let is_same = is_same && kept.hour_factors == live.pacing.hour_factors;
        (is_same && kept.weather_factors == live.pacing.weather_factors).then_some(kept)
    }

    fn made(live: &Live, scene: &Scene<'_>) -> Outlook {
        let day = live.calendar.day_of(scene.now);
        Outlook {
            key: Self::key(live, scene),
            numbers: (scene.settings.plan.clone(), scene.settings.pressure.elasticity),
            hour_factors: live.pacing.hour_factors.clone(),
            weather_factors: live.pacing.weather_factors.clone(),
            plan: day_plan(live, &day, scene).map(Arc::new),
        }
    }

    fn key(live: &Live, scene: &Scene<'_>) -> OutlookKey {
        let learned = scene.channel.map_or(0, |channel| channel.hours_learned);
        let (versions, learned_by_all) = scene.shared.map_or((0, 0), Group::fingerprint);
        let version = live.spec.version.wrapping_add(versions);
        let day = live.calendar.day_of(scene.now).start;
        (day, version, scene.policy_version, learned.wrapping_add(learned_by_all))
    }
}

fn day_plan(live: &Live, day: &Day, scene: &Scene<'_>) -> Result<DayPlan, Hold> {
    let zone = live.calendar.zone_at(day.start).ok_or(Hold::DayClosed)?;
    let local = local_day(day);
    if let Some(group) = scene.shared {
        let span = (Millis::MIN, None);
        let weights = group_weights(group, live, day, scene);
        return DayPlan::lifted(
            &local,
            &zone.local_hours(&local),
            &weights,
            &OpenHours::ALWAYS,
            span,
            &live.around().events,
            &scene.settings.plan,
        );
    }
    let span = (live.spec.flight_start, live.spec.flight_end);
    let weights = with_factors(weights(scene, day), live, scene.settings.pressure.elasticity);
    let (hours, lifts) = (zone.local_hours(&local), lifts(live, scene.settings.pressure.elasticity));
    DayPlan::lifted(&local, &hours, &weights, &open_hours(live), span, &lifts, &scene.settings.plan)
}

/// Times in which more, or less, is planned to be spent than the hours of the day say: events that people declared, and
/// weathers, by the factor that holds in them and what they were seen to do.
fn lifts(live: &Live, elasticity: f64) -> Vec<Lift> {
    let around = live.around();
    let mut lifts = around.events.clone();
    let Some(by_weather) = &live.by_weather else { return lifts };
    lifts.extend(around.weather.iter().map(|span| {
        let of_factor = libm::pow(live.pacing.weather_factor(Some(&span.word)), elasticity);
        Lift { from_ms: span.from, to_ms: span.to, factor: of_factor * by_weather.response(&span.word) }
    }));
    lifts
}

/// How much of each day's traffic people expect, from today on; nothing where no event lies ahead.
fn declared_days(live: &Live, day: &Day) -> Vec<i64> {
    let events = &live.around().events;
    let Some(last) = events.iter().map(|event| event.to_ms).max().filter(|end| *end > day.start) else {
        return Vec::new();
    };
    let mut declared = Vec::new();
    let mut of = live.calendar.day_of(day.start);
    while of.start < last && declared.len() < DECLARED_DAYS_MAX && of.end > of.start {
        declared.push(policy::arithmetic::ppm(Lift::mean(events, of.start, of.end)));
        of = live.calendar.day_of(of.end);
    }
    declared
}

/// Two months: the longest of the periods that budgets are shared out in, and more.
const DECLARED_DAYS_MAX: usize = 62;

/// Weights of all members' open hours: where one of them may spend, the shared budget may.
fn group_weights(group: &Group<'_>, live: &Live, day: &Day, scene: &Scene<'_>) -> Weights {
    let members = group.siblings.iter().copied().zip(group.channels.iter().copied());
    let mut all = [0.0; HOURS_OF_WEEK];
    for (member, channel) in members.chain([(live, scene.channel)]) {
        let (weights, open) = (weights(&Scene { channel, ..*scene }, day), open_hours(member));
        for (hour, weight) in all.iter_mut().enumerate().filter(|(hour, _)| open.is_open(*hour)) {
            *weight += weights[hour];
        }
    }
    all
}

/// The budgets that all members share, as of today.
fn group_budgets(group: &Group<'_>, live: &Live, day: &Day) -> DayBudgets<'static> {
    let (first, last) = day.month_dates();
    let monthly = group.monthly_micros.map(|budget_micros| Period {
        budget_micros,
        spent_before_today_micros: group.spent_before(live, day)[1],
        days: i64::from(last.saturating_sub(first).saturating_add(1).max(1)),
        days_left: i64::from(last.saturating_sub(day.date).saturating_add(1).max(0)),
        today_inside_ppm: WHOLE_PPM,
        last_inside_ppm: WHOLE_PPM,
    });
    DayBudgets { daily_micros: group.daily_micros, monthly, weekday: day.weekday, ..DayBudgets::default() }
}

/// B of the shared budget, and what its month leaves.
fn group_budget(budgets: &DayBudgets<'_>, scene: &Scene<'_>) -> (Result<i64, Hold>, Option<i64>) {
    let left = |period: Period| period.budget_micros.saturating_sub(period.spent_before_today_micros);
    let today = budget_of_day(budgets, FLAT, &OpenHours::ALWAYS, &scene.settings.plan);
    (today, budgets.monthly.map(left))
}

/// What the platform's week and month still allow.
fn ceilings(live: &Live, day: &Day, profile: &Profile, scene: &Scene<'_>) -> Vec<Ceiling> {
    if profile.week_ceiling_ppm <= 0 && profile.month_ceiling_ppm <= 0 {
        return Vec::new();
    }
    match (scene.shared, live.spec.daily_budget_micros) {
        (Some(group), _) => match group.daily_micros {
            Some(daily) => {
                Ceiling::of_group(day, daily, group.spent_before(live, day), group.promise, profile).collect()
            }
            None => Vec::new(),
        },
        // A pool that gives more than the specification may spend it; where it gives less, the plan says so already.
        (None, Some(daily)) => {
            let daily = scene.given_micros.map_or(daily, |given| given.max(daily));
            Ceiling::of(live, day, daily, profile).collect()
        }
        (None, None) => Vec::new(),
    }
}

/// Word of the period that binds, and what it leaves.
type Bound = Option<(&'static str, i64)>;

/// Bounded by the platform's week and month: the plan gets an even part of what they leave, the hard stop all of it.
fn bounded(
    budget: Result<i64, Hold>,
    period_left: Option<i64>,
    ceilings: &[Ceiling],
) -> (Result<i64, Hold>, Option<i64>, Bound) {
    let today = ceilings.iter().map(Ceiling::today_micros).min().unwrap_or(i64::MAX);
    let least = ceilings.iter().min_by_key(|ceiling| ceiling.today_micros());
    let binds = least.filter(|_| budget.as_ref().is_ok_and(|budget| today < *budget));
    let left = ceilings.iter().map(|ceiling| ceiling.left_micros).chain(period_left).min();
    (budget.map(|budget| budget.min(today)), left, binds.map(|ceiling| (ceiling.period, ceiling.left_micros)))
}

/// B of the campaign's own budgets: the smallest.
fn day_budget(live: &Live, day: &Day, budgets: &DayBudgets<'_>, scene: &Scene<'_>) -> Result<i64, Hold> {
    let by_day_only = budgets.weekly.is_none() && budgets.monthly.is_none() && budgets.flight.is_none();
    // Weights share out periods; a daily budget needs none.
    let weights = if by_day_only { FLAT } else { &weights(scene, day) };
    let open = if by_day_only { &OpenHours::ALWAYS } else { &open_hours(live) };
    // A daily budget is for a day: a campaign that starts within one gets its part. Periods know their short days.
    let budgets =
        DayBudgets { daily_micros: budgets.daily_micros.map(|daily| first_day(daily, live, day, scene)), ..*budgets };
    budget_of_day(&budgets, weights, open, &scene.settings.plan)
}

const FLAT: &Weights = &[1.0; HOURS_OF_WEEK];

/// By what was seen before the day began.
fn weights(scene: &Scene<'_>, day: &Day) -> Weights {
    let plan = &scene.settings.plan;
    scene.channel.map_or_else(|| without_history(plan), |channel| channel.shape.weights(day.start, plan))
}

/// Hours whose bid is raised are planned to spend more, or the loop would take back what the factor gives: by the assumed
/// elasticity, corrected by what these factors were seen to do.
fn with_factors(mut weights: Weights, live: &Live, elasticity: f64) -> Weights {
    let factors = &live.pacing.hour_factors;
    if !factors.is_empty() {
        let response = live.by_hour.as_ref().map(|by_hour| by_hour.response());
        for (hour, weight) in weights.iter_mut().enumerate() {
            let seen = response.as_ref().map_or(1.0, |response| response[hour % response.len()]);
            *weight *= libm::pow(crate::factors::of_hour(factors, hour), elasticity) * seen;
        }
    }
    weights
}

fn open_hours(live: &Live) -> OpenHours {
    live.spec.open_hours.as_deref().and_then(|marks| OpenHours::parse(marks).ok()).unwrap_or(OpenHours::ALWAYS)
}

/// Share of a day's plan that lies inside the flight.
fn inside_ppm(live: &Live, day: &Day, scene: &Scene<'_>) -> i64 {
    let (start, end) = (live.spec.flight_start, live.spec.flight_end.unwrap_or(Millis::MAX));
    if start <= day.start && end >= day.end {
        return WHOLE_PPM;
    }
    let Some(zone) = live.calendar.zone_at(day.start) else { return WHOLE_PPM };
    let local = local_day(day);
    let whole = (Millis::MIN, None);
    let plan = DayPlan::new(
        &local,
        &zone.local_hours(&local),
        &weights(scene, day),
        &open_hours(live),
        whole,
        &scene.settings.plan,
    );
    plan.map_or(WHOLE_PPM, |plan| policy::arithmetic::ppm(plan.share_between(start.max(day.start), end.min(day.end))))
}

/// A campaign that starts within the day gets its part of a daily budget, unless the settings say all of it.
fn first_day(budget: i64, live: &Live, day: &Day, scene: &Scene<'_>) -> i64 {
    let (start, settings) = (live.spec.flight_start, &scene.settings.plan);
    if !(day.start + 1..day.end).contains(&start) || settings.full_budget_on_first_day {
        return budget;
    }
    let Some(zone) = live.calendar.zone_at(day.start) else { return budget };
    let local = local_day(day);
    let hours = zone.local_hours(&local);
    let whole = DayPlan::new(&local, &hours, &weights(scene, day), &open_hours(live), (Millis::MIN, None), settings);
    let share = whole.map_or(1.0, |whole| DayPlan::first_day_share(&whole, start, settings));
    policy::arithmetic::of_ppm(budget, policy::arithmetic::ppm(share))
}

/// Both rates together; spans of siblings are equal but for the hourly panes of old data.
fn add_rates(one: Rate, other: Rate) -> Rate {
    if one.span_ms == other.span_ms {
        return Rate { spend_micros: one.spend_micros.saturating_add(other.spend_micros), span_ms: one.span_ms };
    }
    Rate { spend_micros: one.over(HOUR_MS).saturating_add(other.over(HOUR_MS)), span_ms: HOUR_MS }
}

pub fn local_day(day: &Day) -> LocalDay {
    // The date serves only to name the day; hours are cut between its ends.
    let date = Date { year: 1970, month: 1, day: 1 };
    LocalDay { start_ms: day.start, end_ms: day.end, date, weekday: day.weekday }
}

/// The budgets as of today.
fn budgets(live: &Live, day: &Day, spent_day: i64, scene: &Scene<'_>) -> DayBudgets<'static> {
    let spec = &live.spec;
    let budgets = DayBudgets {
        daily_micros: scene.given_micros.or(spec.daily_budget_micros),
        weekday: day.weekday,
        ..DayBudgets::default()
    };
    let given = [spec.weekly_budget_micros, spec.monthly_budget_micros, spec.flight_budget_micros];
    if given.iter().all(Option::is_none) {
        return budgets;
    }
    let date_of = |at: Millis| live.calendar.day_of(at).date;
    let flight_first = date_of(spec.flight_start);
    let flight_last = spec.flight_end.map(|end| date_of(end.saturating_sub(1)));
    let flight_end_day = spec.flight_end.map(|end| live.calendar.day_of(end.saturating_sub(1)));
    let today_inside_ppm = inside_ppm(live, day, scene);
    let end_inside_ppm = flight_end_day.map_or(WHOLE_PPM, |last| inside_ppm(live, &last, scene));
    let period = |budget: Option<i64>, first: i32, last: i32, sums: Option<Measures>| {
        let (first, last) = (first.max(flight_first), flight_last.map_or(last, |end| end.min(last)));
        Some(Period {
            budget_micros: budget?,
            spent_before_today_micros: net_spend(&sums.unwrap_or(NONE)).saturating_sub(spent_day),
            days: i64::from(last.saturating_sub(first).saturating_add(1).max(1)),
            days_left: i64::from(last.saturating_sub(day.date).saturating_add(1).max(0)),
            today_inside_ppm,
            last_inside_ppm: if flight_last == Some(last) { end_inside_ppm } else { WHOLE_PPM },
        })
    };
    let (month_first, month_last) = day.month_dates();
    let flight = live.totals.get(FLIGHT);
    DayBudgets {
        weekly: period(spec.weekly_budget_micros, day.week, day.week + 6, live.weeks.get(day.week)),
        monthly: period(spec.monthly_budget_micros, month_first, month_last, live.months.get(day.month)),
        // Without an end there are no days to share the budget out to; it bounds the ceiling all the same.
        flight: flight_last.and_then(|last| period(spec.flight_budget_micros, flight_first, last, flight)),
        ..budgets
    }
}
