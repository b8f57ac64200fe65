//! What each ad-buying platform allows and how fast it acts (section 13).
//!
//! What always holds: a profile is data; choosing one never fails (an unknown platform gets the most careful). Facts about
//! platforms age: every field can be overridden by a `[[profile]]` block of the policy file.

use crate::arithmetic::{of_ppm, unit_of_currency};
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

/// Cadences, ceilings and units of one platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// bidder, dsp, google_ads, meta, linkedin_ads, stats_only, or a name of the policy file's own.
    pub name: String,
    /// Least time between two published bids for one target.
    pub bid_cadence_ms: Millis,
    /// The same for budgets.
    pub budget_cadence_ms: Millis,
    /// The same for targets; 0 where there are none.
    pub target_cadence_ms: Millis,
    /// Most that one local day may cost, as a share of the budget of the day, where the cap is an average.
    pub day_ceiling_ppm: i64,
    /// The same for a week, as a share of the budget of the day; 0 where the platform has no such bound.
    pub week_ceiling_ppm: i64,
    /// The same for a month; 0 where the platform has no such bound.
    pub month_ceiling_ppm: i64,
    /// The ceiling follows the highest budget of the day: lowering a budget does not bound today.
    pub ceiling_by_highest_budget: bool,
    /// `daily_cap = profile` means hard here.
    pub hard_cap: bool,
    /// How long a raised value lives without being affirmed again; 0: three bid cadences.
    pub raise_life_ms: Millis,
    /// Expected time from a command to its effect until it has been measured.
    pub apply_ms: Millis,
    /// Billable unit of bids and budgets; 0: the currency's.
    pub unit_micros: i64,
    /// Least daily budget that the platform accepts, in billable units of the currency; 0: one unit.
    pub budget_min_units: i64,
    /// Budget changes that the platform accepts in an hour; 0: no such bound.
    pub budget_changes_per_hour: i64,
    /// Least modifier.
    pub modifier_min_ppm: i64,
    /// Greatest modifier.
    pub modifier_max_ppm: i64,
    /// Dimensions whose values may have a modifier of their own: of device, geo, placement, creative, and weather for the
    /// campaign's bid while it holds.
    pub modifier_dimensions: Vec<String>,
    /// The platform caps a day's spend by itself at the campaign's budget.
    pub caps_day_itself: bool,
}

/// What a kind of value is changed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Actuator {
    /// Bids and their modifiers.
    Bid,
    /// Daily and flight budgets.
    Budget,
    /// Targets that the platform bids to.
    Target,
    /// Pause and resume.
    State,
}

impl Actuator {
    /// The word for labels and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Actuator::Bid => "bid",
            Actuator::Budget => "budget",
            Actuator::Target => "target",
            Actuator::State => "state",
        }
    }
}

impl Profile {
    /// The built-in profile of that name.
    pub fn built_in(name: &str) -> Option<Profile> {
        match name {
            "bidder" | "dsp" => Some(Profile { name: name.into(), ..bidder() }),
            "google_ads" => Some(google_ads()),
            "meta" => Some(meta()),
            "linkedin_ads" => Some(linkedin_ads()),
            "stats_only" => Some(stats_only()),
            _ => None,
        }
    }

    /// Names of the built-in profiles.
    pub const NAMES: [&'static str; 6] = ["bidder", "dsp", "google_ads", "meta", "linkedin_ads", "stats_only"];

    /// The profile as it holds for a campaign whose spend is known from reported statistics: no faster than `stats_only`.
    pub fn slowed_to(mut self, slow: &Profile) -> Profile {
        self.bid_cadence_ms = self.bid_cadence_ms.max(slow.bid_cadence_ms);
        self.budget_cadence_ms = self.budget_cadence_ms.max(slow.budget_cadence_ms);
        self.target_cadence_ms = self.target_cadence_ms.max(slow.target_cadence_ms);
        // A raise that ends before the next value can be computed would flap.
        self.raise_life_ms = self.life_of_raise_ms().max(slow.life_of_raise_ms());
        self
    }

    /// Least time between two published commands of a kind; pauses and resumes have none.
    pub fn cadence_ms(&self, actuator: Actuator) -> Millis {
        match actuator {
            Actuator::Bid => self.bid_cadence_ms,
            Actuator::Budget => self.budget_cadence_ms,
            Actuator::Target => self.target_cadence_ms,
            Actuator::State => 0,
        }
    }

    /// How long a raise lives; it is affirmed again at a third of that.
    pub fn life_of_raise_ms(&self) -> Millis {
        if self.raise_life_ms > 0 { self.raise_life_ms } else { self.bid_cadence_ms.saturating_mul(3) }
    }

    /// When a living value is affirmed again without a new one.
    pub fn affirm_after_ms(&self) -> Millis {
        self.life_of_raise_ms() / 3
    }

    /// Billable unit: the campaign's own step if it gives one, else the profile's, else the currency's.
    pub fn unit_micros(&self, step_micros: i64, currency: &str) -> i64 {
        [step_micros, self.unit_micros].into_iter().find(|unit| *unit > 0).unwrap_or_else(|| unit_of_currency(currency))
    }

    /// Whether values of a dimension may have a modifier of their own.
    pub fn takes_modifiers_of(&self, dimension: &str) -> bool {
        self.modifier_dimensions.iter().any(|name| name == dimension)
    }

    /// Least daily budget.
    pub fn budget_min_micros(&self, currency: &str) -> i64 {
        unit_of_currency(currency).saturating_mul(self.budget_min_units.max(1))
    }

    /// Whether the budget of the day is the most that the day may cost.
    pub fn is_hard_cap(&self, daily_cap: &str) -> bool {
        match daily_cap {
            "hard" => true,
            "average" => false,
            _ => self.hard_cap,
        }
    }

    /// Most that the local day may cost: the hard stop's ceiling. `overdelivery_ppm` is the campaign's own allowance
    /// above its budget, which replaces the platform's; never more than `period_left_micros`, what month or flight leave.
    pub fn day_ceiling_micros(&self, day: &DayBudget<'_>) -> i64 {
        let budget = day.budget_micros.max(0);
        let by_day = if self.is_hard_cap(day.daily_cap) {
            budget
        } else {
            let base = if self.ceiling_by_highest_budget { budget.max(day.highest_today_micros) } else { budget };
            let over = day.overdelivery_ppm.map(|ppm| ppm.max(0).saturating_add(1_000_000));
            of_ppm(base, over.unwrap_or(self.day_ceiling_ppm)).max(budget)
        };
        by_day.min(day.period_left_micros.unwrap_or(i64::MAX).max(0))
    }
}

/// What the day's ceiling is computed from.
#[derive(Clone, Copy, Debug, Default)]
pub struct DayBudget<'a> {
    /// Budget of the day.
    pub budget_micros: i64,
    /// Highest budget that was in force today.
    pub highest_today_micros: i64,
    /// hard, average, profile.
    pub daily_cap: &'a str,
    /// Allowed above the budget, as a share of it.
    pub overdelivery_ppm: Option<i64>,
    /// What week, month or flight leave at the day's start.
    pub period_left_micros: Option<i64>,
}

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// An own bidder: acts in seconds, knows no platform's rules, is bounded by us alone.
fn bidder() -> Profile {
    Profile {
        name: "bidder".into(),
        bid_cadence_ms: 5 * MINUTE,
        budget_cadence_ms: HOUR,
        target_cadence_ms: 0,
        day_ceiling_ppm: 1_000_000,
        week_ceiling_ppm: 0,
        month_ceiling_ppm: 0,
        ceiling_by_highest_budget: false,
        hard_cap: true,
        raise_life_ms: 5 * MINUTE,
        apply_ms: MINUTE,
        unit_micros: 0,
        budget_min_units: 1,
        budget_changes_per_hour: 0,
        modifier_min_ppm: 300_000,
        modifier_max_ppm: 3_000_000,
        modifier_dimensions: words(&["device", "geo", "placement", "creative", "weather"]),
        caps_day_itself: false,
    }
}

fn platform(name: &str) -> Profile {
    Profile {
        name: name.into(),
        bid_cadence_ms: HOUR,
        budget_cadence_ms: DAY,
        target_cadence_ms: 7 * DAY,
        hard_cap: false,
        raise_life_ms: 0,
        apply_ms: 15 * MINUTE,
        modifier_dimensions: Vec::new(),
        caps_day_itself: true,
        ..bidder()
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Up to twice the day's highest budget a day, 30.4 budgets a month; only a pause bounds today.
fn google_ads() -> Profile {
    Profile {
        day_ceiling_ppm: 2_000_000,
        month_ceiling_ppm: 30_400_000,
        ceiling_by_highest_budget: true,
        modifier_min_ppm: 100_000,
        modifier_max_ppm: 10_000_000,
        // An ad has no bid adjustment there.
        modifier_dimensions: words(&["device", "geo", "placement"]),
        ..platform("google_ads")
    }
}

/// Up to 1.75 budgets a day, seven a week; four budget changes an hour, then it blocks for one.
fn meta() -> Profile {
    Profile {
        budget_cadence_ms: 6 * HOUR,
        day_ceiling_ppm: 1_750_000,
        week_ceiling_ppm: 7_000_000,
        budget_changes_per_hour: 4,
        ..platform("meta")
    }
}

/// Up to one and a half budgets a day (third party).
fn linkedin_ads() -> Profile {
    Profile { day_ceiling_ppm: 1_500_000, target_cadence_ms: 0, ..platform("linkedin_ads") }
}

/// Spend known from hourly statistics alone; also what an unknown platform gets, so the budget is its ceiling.
fn stats_only() -> Profile {
    platform("stats_only")
}

impl Default for Profile {
    /// The most careful one.
    fn default() -> Profile {
        stats_only()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceiling(name: &str, daily_cap: &str) -> i64 {
        Profile::built_in(name).unwrap().day_ceiling_micros(&DayBudget {
            budget_micros: 100,
            highest_today_micros: 150,
            daily_cap,
            ..DayBudget::default()
        })
    }

    #[test]
    fn ceilings_follow_the_platform_unless_the_campaign_says_hard() {
        let all = |cap| Profile::NAMES.map(|name| ceiling(name, cap));
        assert_eq!(all("profile"), [100, 100, 300, 175, 150, 100]);
        assert_eq!(all("hard"), [100; 6]);
        assert_eq!(all("average"), [100, 100, 300, 175, 150, 100]);
    }

    #[test]
    fn the_period_bounds_the_day_and_the_campaign_may_allow_more() {
        let day = DayBudget { budget_micros: 100, daily_cap: "average", ..DayBudget::default() };
        let bidder = Profile::built_in("bidder").unwrap();
        assert_eq!(bidder.day_ceiling_micros(&DayBudget { overdelivery_ppm: Some(200_000), ..day }), 120);
        assert_eq!(bidder.day_ceiling_micros(&DayBudget { period_left_micros: Some(60), ..day }), 60);
        assert_eq!(bidder.day_ceiling_micros(&DayBudget { period_left_micros: Some(-1), ..day }), 0);
    }

    #[test]
    fn raises_live_minutes_at_a_bidder_and_hours_on_a_platform() {
        let life = |name| Profile::built_in(name).unwrap().life_of_raise_ms();
        assert_eq!((life("bidder"), life("meta")), (5 * MINUTE, 3 * HOUR));
        let slow = Profile::built_in("bidder").unwrap().slowed_to(&stats_only());
        assert_eq!((slow.bid_cadence_ms, slow.life_of_raise_ms(), slow.affirm_after_ms()), (HOUR, 3 * HOUR, HOUR));
    }

    #[test]
    fn units_come_from_the_campaign_the_profile_or_the_currency() {
        let mut profile = bidder();
        assert_eq!([profile.unit_micros(0, "JPY"), profile.unit_micros(500, "JPY")], [1_000_000, 500]);
        profile.unit_micros = 50_000;
        assert_eq!(profile.unit_micros(0, "JPY"), 50_000);
    }
}
