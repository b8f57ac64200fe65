//! How goals stand: a campaign's own, by its specification, and an account's, by the policy.
//!
//! What always holds: reading alone; a goal's forecast is a function of belief, so the API, the alert and a rule see the
//! same. Days are the campaigns' own local days; of an account's campaigns those in the goal's currency count.

use crate::belief::Account;
use crate::campaign::{FLIGHT, Live};
use crate::ledger::CampaignLedger;
use crate::measures::*;
use crate::pacing::{assumed_bid, bid_ceiling};
use crate::rows::window_sums;
use crate::situation::closed_days;
use model::time::{DAY_MS, Millis};
use policy::goal::{AccountGoal, Aim, DAYS_MAX, Elasticities, Outlook, Seen, outlook};
use policy::kpi::Sums;
use policy::settings::Settings;

/// A goal with its forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalNow {
    /// Name of an account's goal, `None` for a campaign's own.
    pub name: Option<String>,
    /// What is aimed at.
    pub aim: Aim,
    /// First instant that does not count.
    pub deadline: Millis,
    /// The forecast.
    pub outlook: Outlook,
    /// The bid that it takes, where bids move the figure and one is in force.
    pub bid_needed_micros: Option<i64>,
    /// What a day then costs.
    pub spend_day_needed_micros: Option<i64>,
    /// What stands against it: bid_max, bid_min, budget. `None` where nothing does, or nothing is known.
    pub limit: Option<&'static str>,
}

/// A campaign's own goal; `None` where it has none that can be followed. Its deadline is the flight's end, where it names
/// none.
pub fn of_campaign(
    live: &Live,
    first_event: Option<Millis>,
    ledger: Option<&CampaignLedger>,
    seen_until: Millis,
    planned_day_micros: Option<i64>,
    settings: &Settings,
) -> Option<GoalNow> {
    let spec = &live.spec;
    let goal = spec.goal.as_ref()?;
    let aim = Aim::parse(&goal.metric, &goal.direction, goal.target_micros.or(goal.target_ppm))?;
    let deadline = goal.deadline.or(spec.flight_end)?;
    let days: Vec<Sums> =
        closed_days(live, first_event, seen_until, DAYS_MAX).iter().map(|day| plain(live, day)).collect();
    let so_far = plain(live, &live.totals.get(FLIGHT).unwrap_or(NONE));
    let seen = Seen { so_far, days: &days, days_left: days_left(deadline, seen_until) };
    let outlook = outlook(&aim, &seen, &elasticities(settings));
    let mut now = GoalNow {
        name: None,
        aim,
        deadline,
        outlook,
        bid_needed_micros: None,
        spend_day_needed_micros: None,
        limit: None,
    };
    let nothing = CampaignLedger::default();
    let bid = assumed_bid(live, ledger.unwrap_or(&nothing));
    now.reach(bid, mean_spend(&days), (spec.bid_min_micros, bid_ceiling(spec)), planned_day_micros);
    Some(now)
}

/// An account's goal.
pub fn of_account(
    goal: &AccountGoal,
    account: &Account,
    events: Option<Millis>,
    now: Millis,
    settings: &Settings,
) -> GoalNow {
    let (mut so_far, mut days) = (Sums::default(), Vec::<Sums>::new());
    let mut seen_until = now;
    let lives = account.campaigns.values().filter_map(|campaign| campaign.live.as_ref());
    for live in lives.filter(|live| live.spec.currency == goal.currency) {
        let until = live.watermark(events).unwrap_or(now).min(now);
        seen_until = seen_until.min(until);
        let own = closed_days(live, live.pacing.first_event, until, DAYS_MAX);
        if days.len() < own.len() {
            days.splice(0..0, std::iter::repeat_n(Sums::default(), own.len() - days.len()));
        }
        let newest = days.len() - own.len();
        for (sum, day) in days[newest..].iter_mut().zip(&own) {
            *sum = add(*sum, plain(live, day));
        }
        let first = live.calendar.day_of(goal.from_ms).index();
        let end = live.calendar.day_of(goal.deadline_ms.saturating_sub(1)).index();
        so_far = add(so_far, plain(live, &live.days.sum(first..end.saturating_add(1))));
    }
    let seen = Seen { so_far, days: &days, days_left: days_left(goal.deadline_ms, seen_until) };
    let outlook = outlook(&goal.aim, &seen, &elasticities(settings));
    GoalNow {
        name: Some(goal.name.clone()),
        aim: goal.aim,
        deadline: goal.deadline_ms,
        outlook,
        bid_needed_micros: None,
        spend_day_needed_micros: outlook.needs.and_then(|needs| scaled(mean_spend(&days)?, needs.spend_ppm?)),
        limit: None,
    }
}

impl GoalNow {
    /// What the campaign's limits say of what it takes.
    fn reach(&mut self, bid: Option<i64>, spend_day: Option<i64>, (least, most): (i64, i64), budget: Option<i64>) {
        let Some(needs) = self.outlook.needs else { return };
        self.bid_needed_micros = bid.zip(needs.bid_ppm).and_then(|(bid, ppm)| scaled(bid, ppm));
        self.spend_day_needed_micros = spend_day.zip(needs.spend_ppm).and_then(|(spend, ppm)| scaled(spend, ppm));
        let bid = self.bid_needed_micros;
        self.limit = if bid.is_some_and(|bid| most > 0 && bid > most) {
            Some("bid_max")
        } else if bid.is_some_and(|bid| bid < least) {
            Some("bid_min")
        } else if self.spend_day_needed_micros.zip(budget).is_some_and(|(spend, budget)| spend > budget) {
            Some("budget")
        } else {
            None
        };
    }

    /// One plain sentence for an alert.
    pub fn told(&self) -> String {
        let share = self.outlook.chance_ppm.unwrap_or(0) / 10_000;
        let figure = |value: i64| value as f64 / 1e6;
        let actual = self.outlook.actual.map_or("nothing yet".to_owned(), |actual| figure(actual).to_string());
        let mut text = format!(
            "the goal of {} {} {} has a chance of {share} in 100, {actual} by now",
            self.aim.metric.as_str(),
            self.aim.direction.as_str().replace('_', " "),
            figure(self.aim.target)
        );
        if let Some(limit) = self.limit {
            text += &format!("; what it takes is beyond the campaign's {limit}");
        }
        text
    }
}

fn elasticities(settings: &Settings) -> Elasticities {
    Elasticities { spend: settings.pressure.elasticity, cost: settings.target.elasticity }
}

fn days_left(deadline: Millis, seen_until: Millis) -> f64 {
    deadline.saturating_sub(seen_until) as f64 / DAY_MS as f64
}

fn plain(live: &Live, sums: &Measures) -> Sums {
    window_sums(live, sums, CREDITS_CONVERSION_TIME)
}

fn mean_spend(days: &[Sums]) -> Option<i64> {
    let sum = days.iter().fold(0_i64, |sum, day| sum.saturating_add(day.spend_micros));
    (!days.is_empty()).then(|| sum / days.len() as i64)
}

fn scaled(value: i64, ppm: i64) -> Option<i64> {
    i64::try_from(i128::from(value) * i128::from(ppm) / 1_000_000).ok()
}

fn add(one: Sums, other: Sums) -> Sums {
    Sums {
        impressions: one.impressions.saturating_add(other.impressions),
        clicks: one.clicks.saturating_add(other.clicks),
        billable: one.billable.saturating_add(other.billable),
        spend_micros: one.spend_micros.saturating_add(other.spend_micros),
        conversions_micro: one.conversions_micro.saturating_add(other.conversions_micro),
        value_micros: one.value_micros.saturating_add(other.value_micros),
    }
}
