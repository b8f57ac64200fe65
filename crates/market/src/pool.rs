//! A family of pools as a file: several campaigns with one sum of daily budgets, and the best split known afterwards.
//!
//! Each campaign is the market of a [`Trial`] of its own, so its prices, their steepness and the first bid are the seed's.
//! What always holds: at its own budget and right bid a campaign's event returns e^x of its bid, x even between plus and
//! minus `return_spread`; so budgets start wrong by as much. In second-price auctions the best split bids in proportion to
//! what an event is worth, which [`PoolMarket::best`] does. Missing on purpose: the best in first-price auctions.

use crate::hindsight::{Hindsight, Outcome};
use crate::random::{Draws, mix, mix_text};
use crate::scenario::{BuyerManners, Scenario};
use crate::trial::Trial;
use model::fact::EntitySpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A trial of a pool as it stands in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolTrial {
    /// Short name.
    pub name: String,
    /// One sentence for people.
    pub what: String,
    /// How many campaigns.
    pub campaigns: usize,
    /// How many of them cannot spend their budget.
    pub saturated: usize,
    /// Length in days.
    pub days: i64,
    /// Geometric mean of the campaigns' events a day; each is half to twice as large.
    pub events_a_day: f64,
    /// Half the width of the logarithm of the returns at the start.
    pub return_spread: f64,
    /// `paceline`, or `platform`: then a platform finds the bid of each day that spends the budget.
    pub bid_control: String,
    /// observe, approve or auto.
    pub mode: String,
    /// Standard deviation of the logarithm of an hour's supply.
    pub hour_noise: f64,
    /// Share of commands that the ad buyer loses.
    pub buyer_ignores: f64,
    /// A person says yes to each proposal, decreases first.
    pub approves: bool,
}

impl Default for PoolTrial {
    fn default() -> Self {
        Self {
            name: String::new(),
            what: String::new(),
            campaigns: 3,
            saturated: 1,
            days: 35,
            events_a_day: 1_000.0,
            return_spread: 0.5,
            bid_control: "paceline".into(),
            mode: "auto".into(),
            hour_noise: 0.1,
            buyer_ignores: 0.0,
            approves: false,
        }
    }
}

/// One market of a trial.
#[derive(Clone, Debug)]
pub struct PoolMarket {
    /// The market.
    pub scenario: Scenario,
    /// The specification of the pool.
    pub pool: EntitySpec,
    /// What a click of each campaign is worth, in micros.
    pub click_worth_micros: Vec<f64>,
    hindsight: Vec<Hindsight>,
}

/// Mean worth of a conversion.
const WORTH_MICROS: f64 = 40_000_000.0;
/// The pool's id.
const POOL: &str = "pool";

impl PoolTrial {
    /// The market of a seed.
    pub fn market(&self, seed: u64) -> PoolMarket {
        let mut scenario: Option<Scenario> = None;
        let mut click_worth_micros = Vec::with_capacity(self.campaigns);
        for number in 0..self.campaigns {
            let mut draws = Draws::keyed(seed, mix_text("pool"), number as u64, 0);
            let is_saturated = number < self.saturated;
            let trial = Trial {
                name: self.name.clone(),
                days: self.days,
                events_a_day: self.events_a_day * libm::exp((draws.unit() * 2.0 - 1.0) * core::f64::consts::LN_2),
                hour_noise: self.hour_noise,
                bid_strategy: "max_conversions".into(),
                forbidden_dimensions: vec!["hour".into()],
                supply_over_budget: if is_saturated { SATURATED } else { 1.0 },
                ..Trial::default()
            };
            let market = trial.market(mix(seed ^ mix(number as u64 + 1)));
            let right_bid = market.right_bid_micros as f64;
            let worth = right_bid * libm::exp((draws.unit() * 2.0 - 1.0) * self.return_spread);
            let mut own = market.scenario;
            let Some(mut world) = own.campaigns.pop() else { continue };
            world.conversion_rate = worth / WORTH_MICROS;
            world.spec.campaign_id = format!("trial-{number:02}");
            world.spec.portfolio_id = Some(POOL.into());
            world.spec.budget_control = "paceline".into();
            world.spec.bid_control.clone_from(&self.bid_control);
            world.spec.mode.clone_from(&self.mode);
            if is_saturated {
                world.spec.bid_max_micros = (right_bid * SATURATED_BID) as i64 / 1_000 * 1_000;
                world.spec.bid_micros = world.spec.bid_micros.min(world.spec.bid_max_micros);
            }
            click_worth_micros.push(worth);
            let all = scenario.get_or_insert(own);
            all.buyer = BuyerManners { ignored_share: self.buyer_ignores, ..BuyerManners::default() };
            all.campaigns.push(world);
        }
        let scenario = scenario.unwrap_or_else(|| Scenario::new(0, 0));
        let pool = EntitySpec {
            entity_id: POOL.into(),
            account_id: "judge".into(),
            kind: "portfolio".into(),
            version: 1,
            name: self.name.clone(),
            status: "active".into(),
            currency: "EUR".into(),
            labels: BTreeMap::new(),
            ..EntitySpec::default()
        };
        let of = |number| Hindsight::of(&scenario, number, seed);
        let hindsight = (0..scenario.campaigns.len()).filter_map(of).collect();
        PoolMarket { hindsight, scenario, pool, click_worth_micros }
    }
}

/// A campaign that cannot spend its budget: the mean day at the right bid, and its highest bid over the right one.
const SATURATED: f64 = 0.4;
const SATURATED_BID: f64 = 1.3;

impl PoolMarket {
    /// Number of days.
    pub fn days(&self) -> usize {
        self.hindsight.first().map_or(0, |campaign| campaign.day_starts().len())
    }

    /// First instants of the days.
    pub fn day_starts(&self) -> Vec<model::time::Millis> {
        self.hindsight.first().map(Hindsight::day_starts).unwrap_or_default()
    }

    /// What the budgets in force bring with one bid a day each.
    pub fn of_split(&self, day: usize, budgets_micros: &[i64]) -> f64 {
        let each = self.hindsight.iter().enumerate().zip(budgets_micros);
        each.map(|((number, campaign), budget)| {
            self.worth(number, &campaign.at_budget(day, *budget, self.bid_max(number)).1)
        })
        .sum()
    }

    /// The bid of a day that spends a budget, as a platform that knows its market finds it.
    pub fn bid_for(&self, day: usize, number: usize, budget_micros: i64) -> i64 {
        self.hindsight.get(number).map_or(0, |campaign| campaign.at_budget(day, budget_micros, self.bid_max(number)).0)
    }

    /// The most that a sum can bring in a day: bids in proportion to worth.
    pub fn best(&self, day: usize, sum_micros: i64) -> f64 {
        let at = |scale: f64| -> (f64, f64) {
            self.hindsight.iter().enumerate().fold((0.0, 0.0), |(spend, worth), (number, campaign)| {
                let bid = (scale * self.click_worth_micros[number]).min(self.bid_max(number) as f64);
                let outcome = campaign.at_bid(day, bid);
                (spend + outcome.spend_micros, worth + self.worth(number, &outcome))
            })
        };
        let (mut low, mut high) = (1e-3, 1e3);
        for _ in 0..HALVINGS {
            let middle = libm::sqrt(low * high);
            if at(middle).0 <= sum_micros as f64 { low = middle } else { high = middle }
        }
        at(low).1
    }

    fn worth(&self, number: usize, outcome: &Outcome) -> f64 {
        outcome.clicks * self.click_worth_micros[number]
    }

    fn bid_max(&self, number: usize) -> i64 {
        self.scenario.campaigns[number].spec.bid_max_micros
    }
}

/// Of the logarithm of a million: far below a hundredth of a percent.
const HALVINGS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_split_beats_the_first_one_and_the_saturated_campaign_leaves_money() {
        let market = PoolTrial { days: 2, ..PoolTrial::default() }.market(3);
        let budgets: Vec<i64> =
            market.scenario.campaigns.iter().map(|world| world.spec.daily_budget_micros.unwrap()).collect();
        let sum = budgets.iter().sum();
        let (first, best) = (market.of_split(0, &budgets), market.best(0, sum));
        assert!(first < best && first > best / 2.0, "{first} {best}");
        let full = market.hindsight[0].at_budget(0, budgets[0], market.bid_max(0)).1;
        assert!(full.spend_micros < budgets[0] as f64 * 0.9);
    }

    #[test]
    fn a_seed_is_a_market_and_another_one_is_another() {
        let trial = PoolTrial { days: 1, ..PoolTrial::default() };
        assert_eq!(trial.market(1).scenario, trial.market(1).scenario);
        assert_ne!(trial.market(1).scenario, trial.market(2).scenario);
    }
}
