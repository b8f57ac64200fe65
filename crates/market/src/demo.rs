//! The demonstration's market: three accounts, ten campaigns that buy, one of which does nothing without a
//! person's yes, two sources of own touches.
//!
//! Each campaign is made from what it should do when left alone: supply and budget are derived from the bid, the share
//! of auctions it wins and the wanted ratio of spend to budget, so that the stories hold at whatever hour of the week
//! and for whatever length the demonstration runs.

use crate::auction::{Auction, Billing, Pricing};
use crate::scenario::{CampaignWorld, Delay, Scenario, Shock};
use crate::shape::LocalShape;
use model::fact::{CampaignSpec, SmartGoal};
use model::time::{HOUR_MS, MINUTE_MS, Millis};

/// What a campaign of the demonstration is made from.
struct Recipe {
    id: &'static str,
    name: &'static str,
    shop: &'static Shop,
    channel: &'static str,
    strategy: &'static str,
    pricing: Pricing,
    billing: Billing,
    /// Money for one billable event.
    bid_micros: i64,
    /// The share of auctions won at that bid, as a standard normal's z, and the spread of competing bids.
    z: f64,
    sigma: f64,
    impressions_per_hour: f64,
    click_rate: f64,
    conversion_rate: f64,
    value_mean_micros: i64,
    conversion_type: &'static str,
    delay: Delay,
    /// Spend over budget when left alone without shocks.
    spend_over_budget: f64,
    enforces_budget: bool,
    is_daily: bool,
    /// A person decides: commands are proposals.
    asks_first: bool,
    target_cpa_micros: Option<i64>,
}

struct Shop {
    account_id: &'static str,
    time_zone: &'static str,
    currency: &'static str,
    geos: &'static [&'static str],
}

const ACME: Shop =
    Shop { account_id: "acme-shop", time_zone: "Europe/Berlin", currency: "EUR", geos: &["DE", "AT", "CH", "NL"] };
const NORTH: Shop = Shop {
    account_id: "north-outdoor",
    time_zone: "America/New_York",
    currency: "USD",
    geos: &["US-NY", "US-MA", "CA"],
};
const TEA: Shop = Shop { account_id: "tea-house", time_zone: "Europe/London", currency: "GBP", geos: &["GB", "IE"] };

/// Two in three buy within the hour, the others think about it for hours.
const SHOPPERS: Delay = Delay::Mixture { fast_mean_ms: 20 * MINUTE_MS, slow_mean_ms: 5 * HOUR_MS, slow_share: 0.35 };
/// Leads and subscriptions: half within an hour and a half, a long tail.
const LEADS: Delay = Delay::LogNormal { median_ms: 90 * MINUTE_MS, sigma: 1.0 };

const fn campaign(id: &'static str, name: &'static str, shop: &'static Shop, channel: &'static str) -> Recipe {
    Recipe {
        id,
        name,
        shop,
        channel,
        strategy: "max_clicks",
        pricing: Pricing::SecondPrice,
        billing: Billing::Cpc,
        bid_micros: 600_000,
        z: -0.3,
        sigma: 0.6,
        impressions_per_hour: 2_500.0,
        click_rate: 0.04,
        conversion_rate: 0.05,
        value_mean_micros: 40_000_000,
        conversion_type: "purchase",
        delay: SHOPPERS,
        spend_over_budget: 1.0,
        enforces_budget: false,
        is_daily: false,
        asks_first: false,
        target_cpa_micros: None,
    }
}

fn recipes() -> [Recipe; 10] {
    [
        Recipe {
            bid_micros: 450_000,
            z: 0.1,
            click_rate: 0.06,
            conversion_rate: 0.08,
            spend_over_budget: 1.02,
            ..campaign("acme-brand", "Brand search", &ACME, "search")
        },
        // The overspender: a bid more than twice too high and nobody who stops it.
        Recipe {
            strategy: "max_conversions",
            bid_micros: 1_900_000,
            z: 0.6,
            sigma: 0.8,
            impressions_per_hour: 3_500.0,
            click_rate: 0.05,
            spend_over_budget: 2.4,
            ..campaign("acme-generic", "Generic search, bid far too high", &ACME, "search")
        },
        Recipe {
            strategy: "target_cpa",
            bid_micros: 380_000,
            impressions_per_hour: 3_800.0,
            click_rate: 0.025,
            spend_over_budget: 1.15,
            target_cpa_micros: Some(9_000_000),
            ..campaign("acme-shopping", "Product ads", &ACME, "shopping")
        },
        // The underspender: a bid too low for its budget.
        Recipe {
            strategy: "max_conversions",
            pricing: Pricing::FirstPrice,
            billing: Billing::Cpm,
            bid_micros: 4_200,
            z: -0.9,
            sigma: 0.6,
            click_rate: 0.012,
            conversion_rate: 0.04,
            spend_over_budget: 0.45,
            ..campaign("acme-social", "Prospecting, bid too low", &ACME, "social")
        },
        Recipe {
            pricing: Pricing::FirstPrice,
            billing: Billing::Cpm,
            bid_micros: 2_600,
            z: 0.0,
            sigma: 0.7,
            impressions_per_hour: 3_500.0,
            click_rate: 0.006,
            conversion_rate: 0.09,
            spend_over_budget: 1.35,
            ..campaign("north-display", "Retargeting", &NORTH, "display")
        },
        Recipe {
            billing: Billing::Cpm,
            bid_micros: 9_500,
            z: 0.2,
            sigma: 0.5,
            click_rate: 0.005,
            conversion_rate: 0.05,
            conversion_type: "signup",
            value_mean_micros: 25_000_000,
            delay: LEADS,
            ..campaign("north-video", "Video, prices jump in mid-run", &NORTH, "video")
        },
        Recipe {
            bid_micros: 320_000,
            z: -0.5,
            impressions_per_hour: 4_000.0,
            click_rate: 0.02,
            conversion_rate: 0.03,
            conversion_type: "lead",
            value_mean_micros: 18_000_000,
            delay: LEADS,
            ..campaign("north-native", "Native, traffic jumps in mid-run", &NORTH, "native")
        },
        // Its platform stops at the budget: it does not overspend, it is gone by noon.
        Recipe {
            bid_micros: 700_000,
            z: 0.3,
            impressions_per_hour: 2_200.0,
            click_rate: 0.05,
            spend_over_budget: 1.7,
            enforces_budget: true,
            ..campaign("tea-search", "Search, budget gone early", &TEA, "search")
        },
        Recipe {
            strategy: "target_cpa",
            pricing: Pricing::FirstPrice,
            billing: Billing::Cpm,
            bid_micros: 3_600,
            z: -0.5,
            impressions_per_hour: 2_200.0,
            click_rate: 0.015,
            conversion_type: "lead",
            value_mean_micros: 22_000_000,
            delay: LEADS,
            spend_over_budget: 0.8,
            is_daily: true,
            target_cpa_micros: Some(8_000_000),
            ..campaign("tea-social", "Lead ads", &TEA, "social")
        },
        // A bid a little too low for a small budget: what nobody decides does little harm.
        Recipe {
            pricing: Pricing::FirstPrice,
            billing: Billing::Cpm,
            bid_micros: 1_800,
            z: 0.0,
            sigma: 0.7,
            impressions_per_hour: 2_000.0,
            click_rate: 0.008,
            spend_over_budget: 0.85,
            asks_first: true,
            ..campaign("tea-display", "Display, waits for your yes", &TEA, "display")
        },
    ]
}

impl Scenario {
    /// The demonstration: campaigns with flights of the run's length and budgets for it, a jump of prices and one of
    /// traffic in mid-run. Names and figures are the same for every seed; the seed varies a campaign's supply.
    pub fn demo(seed: u64, start_ms: Millis, flight_ms: Millis) -> Self {
        let mut scenario = Scenario::new(start_ms, flight_ms);
        for recipe in &recipes() {
            scenario.campaigns.push(recipe.world(seed, scenario.start_ms, scenario.end_ms));
        }
        scenario.campaigns.push(owned(
            &ACME,
            "acme-webinar",
            "Webinars and newsletters",
            60.0,
            start_ms,
            scenario.end_ms,
        ));
        scenario.campaigns.push(owned(&NORTH, "north-email", "E-mails", 40.0, start_ms, scenario.end_ms));
        let part =
            |ppm: i64| start_ms.saturating_add((i128::from(flight_ms.max(0)) * i128::from(ppm) / 1_000_000) as i64);
        let calm = Shock { from_ms: part(450_000), to_ms: part(1_000_000), ..Shock::default() };
        scenario.shocks = vec![
            Shock { campaign_ids: vec!["north-video".into()], price_factor: 1.5, ..calm.clone() },
            Shock { to_ms: part(700_000), campaign_ids: vec!["north-native".into()], supply_factor: 2.6, ..calm },
        ];
        scenario.exchange_ppm = [("USD", 920_000), ("GBP", 1_170_000)].map(|(c, ppm)| (c.to_owned(), ppm)).into();
        scenario
    }
}

impl Recipe {
    fn world(&self, seed: u64, start_ms: Millis, end_ms: Millis) -> CampaignWorld {
        let auction = Auction::calibrated(self.pricing, self.billing, self.bid_micros, self.z, self.sigma);
        let odds = auction.odds(self.bid_micros as f64, 1.0);
        let mut shape = LocalShape::new(self.shop.time_zone);
        let weight = shape.weight(start_ms, end_ms).max(1e-9);
        let hours = (end_ms - start_ms) as f64 / HOUR_MS as f64;
        // A tenth up or down by seed: another seed is another world, not only other luck.
        let mut draws = crate::random::Draws::keyed(seed, crate::random::mix_text(self.id), 0x6465_6d6f, 0);
        let opportunities = self.impressions_per_hour * hours * (0.9 + 0.2 * draws.unit()) / odds.win_share;
        let spend = opportunities * auction.mean_spend_micros(&odds, self.click_rate);
        CampaignWorld {
            spec: self.spec(&mut shape, spend / self.spend_over_budget, start_ms, end_ms),
            auction: Some(auction),
            opportunities_per_week: opportunities / weight,
            click_rate: self.click_rate,
            conversion_rate: self.conversion_rate,
            delay: self.delay,
            conversion_type: self.conversion_type.into(),
            value_mean_micros: self.value_mean_micros,
            value_sigma: 0.8,
            geos: self.shop.geos.iter().map(|&geo| geo.into()).collect(),
            enforces_budget: self.enforces_budget,
            conversion_by_hour: Vec::new(),
            conversion_by_device: Vec::new(),
            conversion_by_geo: Vec::new(),
            conversion_by_placement: Vec::new(),
            conversion_by_creative: Vec::new(),
            nurtured_share: 0.3,
        }
    }

    fn spec(&self, shape: &mut LocalShape, budget: f64, start_ms: Millis, end_ms: Millis) -> CampaignSpec {
        let daily = self.is_daily.then(|| {
            let day_end_ms = shape.zone().day_of(start_ms).end_ms.min(end_ms);
            let days = shape.weight(start_ms, end_ms) / shape.weight(start_ms, day_end_ms).max(1e-9);
            cents(budget / days.max(1e-9))
        });
        // A bid for one impression is less than a cent, a bid for a click some dozens.
        let bid_step_micros = if self.billing == Billing::Cpm { 10 } else { 10_000 };
        CampaignSpec {
            name: self.name.into(),
            channel: self.channel.into(),
            daily_budget_micros: daily,
            flight_budget_micros: (!self.is_daily).then(|| cents(budget)),
            daily_cap: "hard".into(),
            bid_control: "paceline".into(),
            budget_control: "paceline".into(),
            bid_strategy: self.strategy.into(),
            target_cpa_micros: self.target_cpa_micros,
            bid_micros: self.bid_micros,
            bid_min_micros: self.bid_micros / 10 / bid_step_micros * bid_step_micros + bid_step_micros,
            bid_max_micros: self.bid_micros * 3,
            bid_step_micros,
            budget_step_micros: 10_000,
            goal_conversion_types: vec![self.conversion_type.into()],
            mode: if self.asks_first { "approve" } else { "auto" }.into(),
            goal: self.target_cpa_micros.map(|target| SmartGoal {
                metric: "cpa".into(),
                direction: "down".into(),
                target_micros: Some(target),
                deadline: Some(end_ms),
                ..SmartGoal::default()
            }),
            ..bare_spec(self.id, self.shop, start_ms, end_ms)
        }
    }
}

/// A source of own touches: costs nothing, is never touched by a command.
fn owned(shop: &Shop, id: &str, name: &str, per_hour: f64, start_ms: Millis, end_ms: Millis) -> CampaignWorld {
    let hours = (end_ms - start_ms) as f64 / HOUR_MS as f64;
    let weight = LocalShape::new(shop.time_zone).weight(start_ms, end_ms).max(1e-9);
    CampaignWorld {
        spec: CampaignSpec {
            name: name.into(),
            channel: "owned".into(),
            protected: true,
            ..bare_spec(id, shop, start_ms, end_ms)
        },
        auction: None,
        opportunities_per_week: per_hour * hours / weight,
        click_rate: 0.0,
        conversion_rate: 0.0,
        delay: LEADS,
        conversion_type: String::new(),
        value_mean_micros: 0,
        value_sigma: 0.0,
        geos: shop.geos.iter().map(|&geo| geo.into()).collect(),
        enforces_budget: false,
        conversion_by_hour: Vec::new(),
        conversion_by_device: Vec::new(),
        conversion_by_geo: Vec::new(),
        conversion_by_placement: Vec::new(),
        conversion_by_creative: Vec::new(),
        nurtured_share: 0.0,
    }
}

fn bare_spec(id: &str, shop: &Shop, start_ms: Millis, end_ms: Millis) -> CampaignSpec {
    CampaignSpec {
        campaign_id: id.into(),
        account_id: shop.account_id.into(),
        version: 1,
        status: "active".into(),
        time_zone: shop.time_zone.into(),
        currency: shop.currency.into(),
        flight_start: start_ms,
        flight_end: Some(end_ms),
        daily_cap: "profile".into(),
        bid_control: "none".into(),
        budget_control: "none".into(),
        bid_strategy: "manual".into(),
        attribution_model: "last".into(),
        spend_source: "events".into(),
        mode: "observe".into(),
        ..CampaignSpec::default()
    }
}

/// Whole cents, at least one.
fn cents(micros: f64) -> i64 {
    ((micros / 10_000.0) as i64).max(1).saturating_mul(10_000)
}
