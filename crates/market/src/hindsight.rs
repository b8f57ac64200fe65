//! The best that could have been done, known afterwards: what controllers are measured against.
//!
//! The class of actions: one bid a day, chosen with full knowledge of the day's opportunities and prices but not of
//! single auctions; under a target also one cap for the whole time. All figures are expected values.

use crate::auction::{Auction, Billing};
use crate::buyer::state::CampaignState;
use crate::lane::{Kind, Lane, Offered, Offers, kinds_of};
use crate::scenario::Scenario;
use model::time::Millis;

/// What a campaign's course offered, by local day.
#[derive(Clone, Debug)]
pub struct Hindsight {
    auction: Auction,
    click_rate: f64,
    conversion_rate: f64,
    kinds: Vec<Kind>,
    days: Vec<OfferedDay>,
}

#[derive(Clone, Debug)]
struct OfferedDay {
    start_ms: Millis,
    offers: Offers,
}

/// Expected sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Money.
    pub spend_micros: f64,
    /// Clicks.
    pub clicks: f64,
    /// Conversions of those clicks, whenever they come.
    pub conversions: f64,
}

impl Hindsight {
    /// Of one campaign of a scenario; `None` where it buys nothing.
    pub fn of(scenario: &Scenario, number: usize, seed: u64) -> Option<Self> {
        let world = scenario.campaigns.get(number)?;
        let auction = world.auction?;
        let days = Lane::new(scenario, number, seed).offered(scenario.end_ms);
        let days = days.into_iter().map(|(start_ms, offers)| OfferedDay { start_ms, offers }).collect();
        Some(Self {
            auction,
            click_rate: world.click_rate,
            conversion_rate: world.conversion_rate,
            kinds: kinds_of(world),
            days,
        })
    }

    /// First instants of the local days.
    pub fn day_starts(&self) -> Vec<Millis> {
        self.days.iter().map(|day| day.start_ms).collect()
    }

    /// The best with a budget for each day, a ceiling of the bid, and perhaps a target CPA over the whole time; by day.
    pub fn best(&self, budgets_micros: &[i64], bid_max_micros: i64, target_cpa_micros: Option<i64>) -> Vec<Outcome> {
        let ceiling = bid_max_micros as f64;
        let by_budget: Vec<f64> = self
            .days
            .iter()
            .zip(budgets_micros)
            .map(|(day, budget)| greatest(ceiling, |bid| self.of_day(day, bid).spend_micros <= *budget as f64))
            .collect();
        let under = |cap: f64| -> Vec<Outcome> {
            self.days.iter().zip(&by_budget).map(|(day, bid)| self.of_day(day, bid.min(cap))).collect()
        };
        match target_cpa_micros {
            None => under(ceiling),
            Some(target) => under(greatest(ceiling, |cap| {
                let outcome = Outcome::sum(&under(cap));
                outcome.spend_micros <= target as f64 * outcome.conversions
            })),
        }
    }

    /// `under_weather` is the factor that the ad buyer has in force while there is a weather.
    ///
    /// At a day's spend and always one bid: without factors, with the best fixed ones by hour and kind of opportunity, and
    /// with those that an ad buyer has in force (a table of 24, if any). Bids in proportion to some power of the rate hold the best: in a second-price auction
    /// the first power.
    pub fn at_spend(
        &self,
        day: usize,
        spend_micros: f64,
        bid_max_micros: i64,
        own: &CampaignState,
        under_weather: f64,
    ) -> Option<[Outcome; 3]> {
        let day = self.days.get(day)?;
        let at = |factor: &dyn Fn(&Offered, &Kind) -> f64| {
            let outcome = |bid: f64| self.of_day_by(day, bid, factor);
            outcome(greatest(bid_max_micros as f64, |bid| outcome(bid).spend_micros <= spend_micros))
        };
        let by_power = |step: u32| {
            let power = f64::from(step) * 2.0 / f64::from(POWERS);
            at(&|offered, kind| libm::pow(self.worth(offered, kind).max(1e-9), power))
        };
        let best = (0..=POWERS).map(by_power).max_by(|one, other| one.conversions.total_cmp(&other.conversions))?;
        let of_buyer = |offered: &Offered, kind: &Kind| {
            let of_weather = if offered.is_weather { under_weather } else { 1.0 };
            own.modifier_in_any_weather(&kind.ad(offered.hour)) * of_weather
        };
        Some([at(&|_, _| 1.0), best, at(&of_buyer)])
    }

    /// A day with the one bid that spends its budget, or the highest.
    pub fn at_budget(&self, day: usize, budget_micros: i64, bid_max_micros: i64) -> (i64, Outcome) {
        let Some(day) = self.days.get(day) else { return (0, Outcome::default()) };
        let fits = |bid: f64| self.of_day(day, bid).spend_micros <= budget_micros as f64;
        let bid = greatest(bid_max_micros as f64, fits);
        (bid as i64, self.of_day(day, bid))
    }

    /// A day at a bid.
    pub fn at_bid(&self, day: usize, bid: f64) -> Outcome {
        self.days.get(day).map_or_else(Outcome::default, |day| self.of_day(day, bid))
    }

    fn of_day(&self, day: &OfferedDay, bid: f64) -> Outcome {
        self.of_day_by(day, bid, &|_, _| 1.0)
    }

    /// What a billable event is worth against the others: a click that converts oftener, an impression that is clicked oftener.
    fn worth(&self, offered: &Offered, kind: &Kind) -> f64 {
        let of_click = f64::from_bits(offered.conversion) * kind.conversion;
        match self.auction.billing {
            Billing::Cpc => of_click,
            Billing::Cpm => of_click * f64::from_bits(offered.clicks) * kind.clicks,
        }
    }

    fn of_day_by(&self, day: &OfferedDay, bid: f64, factor: &dyn Fn(&Offered, &Kind) -> f64) -> Outcome {
        let offers = day.offers.iter().flat_map(|offer| self.kinds.iter().map(move |kind| (offer, kind)));
        offers.fold(Outcome::default(), |sum, ((offered, count), kind)| {
            let (count, conversion) = (count * kind.share, f64::from_bits(offered.conversion) * kind.conversion);
            let click_rate = (self.click_rate * kind.clicks * f64::from_bits(offered.clicks)).min(1.0);
            let odds = self.auction.odds(bid * factor(offered, kind), f64::from_bits(offered.price));
            let clicks = count * odds.win_share * click_rate;
            let rate = (self.conversion_rate * conversion).min(1.0);
            let spend_micros = count * self.auction.mean_spend_micros(&odds, click_rate);
            sum.plus(Outcome { spend_micros, clicks, conversions: clicks * rate })
        })
    }
}

impl Outcome {
    /// Of several days.
    pub fn sum(days: &[Self]) -> Self {
        days.iter().fold(Self::default(), |sum, day| sum.plus(*day))
    }

    fn plus(self, other: Self) -> Self {
        Self {
            spend_micros: self.spend_micros + other.spend_micros,
            clicks: self.clicks + other.clicks,
            conversions: self.conversions + other.conversions,
        }
    }
}

/// The greatest bid up to `ceiling` that `fits`, where fitting ends at most once; a hundredth of a percent exact.
fn greatest(ceiling: f64, fits: impl Fn(f64) -> bool) -> f64 {
    if fits(ceiling) {
        return ceiling;
    }
    let (mut low, mut high) = (ceiling * 1e-4, ceiling);
    for _ in 0..STEPS {
        let middle = libm::sqrt(low * high);
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

/// Powers from 0 to 2 that are tried.
const POWERS: u32 = 40;
/// Halvings of the logarithm of 10,000: far below a hundredth of a percent.
const STEPS: usize = 40;
