//! A family of markets as a file: what a controller is tried in, one market for each seed.
//!
//! A trial says what is fixed (events a day, goal, shocks); the seed draws the rest: prices, how steep they are, how
//! often a click converts and after how long, and how wrong the first bid is. So nothing can be tuned to one market.
//! What always holds: at the *right bid* the mean day spends the daily budget and brings `events_a_day` billable events.

use crate::auction::{Auction, Billing, Pricing};
use crate::lane::{CREATIVES, DEVICES, PLACEMENTS};
use crate::random::{Draws, mix_text};
use crate::scenario::{BuyerManners, CampaignWorld, Delay, People, Scenario, Shock, Weather};
use crate::shape::LocalShape;
use model::fact::CampaignSpec;
use model::time::{DAY_MS, HOUR_MS, Millis};
use serde::{Deserialize, Serialize};

/// A trial as it stands in its file. Durations are in the units of their names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trial {
    /// Short name.
    pub name: String,
    /// One sentence for people.
    pub what: String,
    /// Date of the first day, in days after 1970-01-01; a Monday by default.
    pub first_day: i64,
    /// Length.
    pub days: i64,
    /// IANA zone of the campaign.
    pub time_zone: String,
    /// Mean billable events (clicks) of a day at the right bid.
    pub events_a_day: f64,
    /// Clicks per shown ad: high by default, so that a campaign of clicks is cheap to simulate.
    pub click_rate: f64,
    /// How a winner pays.
    pub pricing: Pricing,
    /// What is paid for; of impressions, `events_a_day` are those.
    pub billing: Billing,
    /// Standard deviation of the logarithm of an hour's supply around the shape.
    pub hour_noise: f64,
    /// `max_clicks`, `target_cpa`, ...
    pub bid_strategy: String,
    /// Target CPA over the CPA at the right bid; below 1 the target binds before the budget does.
    pub target_over_cpa: Option<f64>,
    /// Spend of the mean day at the right bid over the daily budget.
    pub supply_over_budget: f64,
    /// Conversions per click, where the seed is not to draw them.
    pub conversion_rate: Option<f64>,
    /// Local hours at which clicks convert otherwise.
    pub hours: Vec<TrialHours>,
    /// Devices on which clicks convert otherwise.
    pub devices: Vec<TrialValue>,
    /// Places at which the campaign is shown, equally often; one where none is given.
    pub geos: Vec<TrialValue>,
    /// Placements (pl-0 to pl-7) whose clicks convert otherwise; they come equally often where some are given.
    pub placements: Vec<TrialValue>,
    /// Creatives (cr-0 to cr-2) whose clicks convert otherwise.
    pub creatives: Vec<TrialValue>,
    /// A weather that comes and goes, and is told.
    pub weather: Option<TrialWeather>,
    /// Dimensions that the campaign forbids factors for.
    pub forbidden_dimensions: Vec<String>,
    /// Events reach the topics so late.
    pub feed_lag_minutes: f64,
    /// Share of commands that the ad buyer loses.
    pub buyer_ignores: f64,
    /// Changes of the market.
    pub shocks: Vec<TrialShock>,
    /// Changes of the specification.
    pub changes: Vec<TrialChange>,
    /// What a person does in the buyer's own tool.
    pub person: Vec<TrialPerson>,
}

/// A person sets another bid in the buyer's own tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrialPerson {
    /// Day, the first is 0.
    pub day: i64,
    /// Hour of that day.
    pub hour: f64,
    /// Times the bid in force.
    pub bid: f64,
}

impl Default for TrialPerson {
    fn default() -> Self {
        Self { day: 0, hour: 0.0, bid: 1.0 }
    }
}

/// A change of the market for some hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrialShock {
    /// Day of its beginning, the first is 0.
    pub day: i64,
    /// Hour of that day.
    pub hour: f64,
    /// How long it lasts.
    pub hours: f64,
    /// Times as many opportunities.
    pub supply: f64,
    /// Times as high competing bids.
    pub price: f64,
    /// Times as many conversions per click.
    pub conversion: f64,
    /// Times as many clicks per impression.
    pub clicks: f64,
    /// Share of the conversions that happen in these hours and are told.
    pub tracked: f64,
    /// All that happens in these hours reaches the topics when they are over.
    pub feed_dead: bool,
}

/// Hours of every local day whose clicks convert otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrialHours {
    /// The first of them, 0 to 23.
    pub from: usize,
    /// The first after them.
    pub to: usize,
    /// Times as many conversions per click.
    pub conversion: f64,
}

/// A device or place whose clicks convert otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrialValue {
    /// mobile, desktop, tablet, tv; or the place.
    pub name: String,
    /// Times as many conversions per click.
    pub conversion: f64,
}

/// A weather in spells of whole hours, whose lengths the seed draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrialWeather {
    /// Its word.
    pub word: String,
    /// Share of the hours under it.
    pub share: f64,
    /// Mean length of a spell in hours.
    pub spell_hours: f64,
    /// Times as many clicks per impression.
    pub clicks: f64,
    /// Times as many conversions per click.
    pub conversion: f64,
    /// Each of its hours is told so long before it begins.
    pub told_minutes_before: f64,
}

/// A change of the specification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrialChange {
    /// Day, the first is 0.
    pub day: i64,
    /// Hour of that day.
    pub hour: f64,
    /// Times as much a day.
    pub daily_budget: f64,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            name: String::new(),
            what: String::new(),
            first_day: 20_514,
            days: 7,
            time_zone: "UTC".into(),
            events_a_day: 3_000.0,
            click_rate: CLICK_RATE,
            pricing: Pricing::SecondPrice,
            billing: Billing::Cpc,
            hour_noise: 0.1,
            bid_strategy: "max_clicks".into(),
            target_over_cpa: None,
            supply_over_budget: 1.0,
            conversion_rate: None,
            hours: Vec::new(),
            devices: Vec::new(),
            geos: Vec::new(),
            placements: Vec::new(),
            creatives: Vec::new(),
            weather: None,
            forbidden_dimensions: Vec::new(),
            feed_lag_minutes: 0.0,
            buyer_ignores: 0.0,
            shocks: Vec::new(),
            changes: Vec::new(),
            person: Vec::new(),
        }
    }
}

impl Default for TrialShock {
    fn default() -> Self {
        Self {
            day: 0,
            hour: 0.0,
            hours: 1e6,
            supply: 1.0,
            price: 1.0,
            conversion: 1.0,
            clicks: 1.0,
            tracked: 1.0,
            feed_dead: false,
        }
    }
}

impl Default for TrialWeather {
    fn default() -> Self {
        let word = "rain".into();
        Self { word, share: 0.3, spell_hours: 4.0, clicks: 1.0, conversion: 1.0, told_minutes_before: 10.0 }
    }
}

impl Default for TrialValue {
    fn default() -> Self {
        Self { name: String::new(), conversion: 1.0 }
    }
}

impl Default for TrialHours {
    fn default() -> Self {
        Self { from: 0, to: 24, conversion: 1.0 }
    }
}

impl Default for TrialChange {
    fn default() -> Self {
        Self { day: 0, hour: 0.0, daily_budget: 1.0 }
    }
}

/// One market of a trial, with what the judge knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialMarket {
    /// The market.
    pub scenario: Scenario,
    /// At this bid the mean day spends the budget.
    pub right_bid_micros: i64,
    /// Instants at which the specification changes, in order.
    pub changes: Vec<(Millis, CampaignSpec)>,
}

/// Prices: the share of auctions won at the right bid, and the spend's elasticity there, stay inside these.
const WIN_SHARE: (f64, f64) = (0.05, 0.65);
const ELASTICITY: (f64, f64) = (1.0, 4.0);
/// One impression in two is clicked; no decision but the suspicion of clicks looks at it.
const CLICK_RATE: f64 = 0.5;

impl Trial {
    /// The market of a seed.
    pub fn market(&self, seed: u64) -> TrialMarket {
        let mut draws = Draws::keyed(seed, mix_text("trial"), 0, 0);
        let right_bid = log_uniform(&mut draws, 200_000.0, 2_000_000.0);
        let auction = self.auction(&mut draws, right_bid);
        let odds = auction.odds(right_bid, 1.0);
        let (start_ms, end_ms) = self.span();
        let mut scenario = Scenario::new(start_ms, end_ms - start_ms);
        scenario.people = People { count: 1_000_000, consent_share: 0.8 };
        scenario.supply_noise_sd = self.hour_noise;
        scenario.buyer = BuyerManners { ignored_share: self.buyer_ignores, ..BuyerManners::default() };
        scenario.weather = self.weather.iter().flat_map(|weather| weather.spells(seed, start_ms, end_ms)).collect();
        scenario.shocks = self.shocks.iter().map(|shock| shock.at(start_ms)).collect();
        let drawn_rate = log_uniform(&mut draws, 0.01, 0.1);
        let conversion_rate = self.conversion_rate.unwrap_or(drawn_rate);
        let billable = match self.billing {
            Billing::Cpc => odds.win_share * self.click_rate,
            Billing::Cpm => odds.win_share,
        };
        let mean_cost = auction.mean_spend_micros(&odds, self.click_rate) / billable;
        let spec = self.spec(&mut draws, right_bid, mean_cost, conversion_rate, &scenario);
        let weight = LocalShape::new(&self.time_zone).weight(start_ms, scenario.end_ms).max(1e-9);
        let opportunities = self.events_a_day * self.days as f64 / billable;
        let changes = self.changes(&spec, start_ms);
        scenario.campaigns.push(CampaignWorld {
            spec,
            auction: Some(auction),
            opportunities_per_week: opportunities / weight,
            click_rate: self.click_rate,
            conversion_rate,
            delay: Delay::LogNormal {
                median_ms: log_uniform(&mut draws, 2.0 * HOUR_MS as f64, 2.0 * DAY_MS as f64) as Millis,
                sigma: 1.0,
            },
            conversion_type: "purchase".into(),
            value_mean_micros: 40_000_000,
            value_sigma: 0.8,
            geos: if self.geos.is_empty() { vec!["DE".into()] } else { names(&self.geos) },
            enforces_budget: false,
            conversion_by_hour: self.conversion_by_hour(),
            conversion_by_device: by_name(&self.devices, &DEVICES),
            conversion_by_placement: by_name(&self.placements, &PLACEMENTS),
            conversion_by_creative: by_name(&self.creatives, &CREATIVES),
            conversion_by_geo: self.geos.iter().map(|geo| geo.conversion).collect(),
            nurtured_share: 0.0,
        });
        TrialMarket { scenario, right_bid_micros: right_bid as i64, changes }
    }

    /// From local midnight to local midnight.
    fn span(&self) -> (Millis, Millis) {
        let shape = LocalShape::new(&self.time_zone);
        // Noon of a day in UTC is on the same date in nearly all zones, and near it in the others.
        let start_of = |day: i64| shape.zone().day_of(day * DAY_MS + DAY_MS / 2).start_ms;
        (start_of(self.first_day), start_of(self.first_day + self.days.max(1)))
    }

    /// Share of a mean week's supply between two instants, by the shape alone: the plan that spend is compared with.
    pub fn shape_weight(&self, from_ms: Millis, to_ms: Millis) -> f64 {
        LocalShape::new(&self.time_zone).weight(from_ms, to_ms)
    }

    /// Spans in which no event reaches the topics.
    pub fn dead_feeds(&self) -> Vec<(Millis, Millis)> {
        let (start_ms, _) = self.span();
        let spans = self.shocks.iter().filter(|shock| shock.feed_dead).map(|shock| shock.at(start_ms));
        spans.map(|shock| (shock.from_ms, shock.to_ms)).collect()
    }

    /// What a person does, and when: times the bid in force, in order.
    pub fn person_bids(&self) -> Vec<(Millis, f64)> {
        let (start_ms, _) = self.span();
        let at = |act: &TrialPerson| start_ms + act.day * DAY_MS + (act.hour * HOUR_MS as f64) as Millis;
        self.person.iter().map(|act| (at(act), act.bid)).collect()
    }

    /// How late the service sees what happens.
    pub fn feed_lag_ms(&self) -> Millis {
        (self.feed_lag_minutes * 60_000.0) as Millis
    }

    /// Draws prices until their steepness is one that real markets have.
    fn auction(&self, draws: &mut Draws, right_bid: f64) -> Auction {
        for _ in 0..TRIES {
            let z = -1.65 + 2.05 * draws.unit();
            let sigma = 0.3 + 1.2 * draws.unit();
            let auction = Auction::calibrated(self.pricing, self.billing, right_bid as i64, z, sigma);
            let share = auction.odds(right_bid, 1.0).win_share;
            let elasticity = auction.spend_elasticity(right_bid as i64);
            if (WIN_SHARE.0..=WIN_SHARE.1).contains(&share) && (ELASTICITY.0..=ELASTICITY.1).contains(&elasticity) {
                return auction;
            }
        }
        Auction::calibrated(self.pricing, self.billing, right_bid as i64, -0.3, 0.6)
    }

    fn spec(
        &self,
        draws: &mut Draws,
        right_bid: f64,
        mean_cost: f64,
        conversion_rate: f64,
        scenario: &Scenario,
    ) -> CampaignSpec {
        let wrong_by = libm::exp((draws.unit() - 0.5) * 1.6);
        let budget = mean_cost * self.events_a_day / self.supply_over_budget;
        let target_cpa = self.target_over_cpa.map(|ratio| (ratio * mean_cost / conversion_rate) as i64);
        CampaignSpec {
            campaign_id: "trial".into(),
            account_id: "judge".into(),
            version: 1,
            name: self.name.clone(),
            channel: "search".into(),
            status: "active".into(),
            time_zone: self.time_zone.clone(),
            currency: "EUR".into(),
            flight_start: scenario.start_ms,
            flight_end: Some(scenario.end_ms),
            daily_budget_micros: Some((budget as i64).max(1) / 10_000 * 10_000),
            daily_cap: "hard".into(),
            bid_control: "paceline".into(),
            budget_control: "none".into(),
            bid_strategy: self.bid_strategy.clone(),
            target_cpa_micros: target_cpa,
            bid_micros: steps(right_bid * wrong_by),
            bid_min_micros: steps(right_bid / 20.0),
            bid_max_micros: steps(right_bid * 5.0),
            bid_step_micros: BID_STEP_MICROS,
            budget_step_micros: 10_000,
            goal_conversion_types: vec!["purchase".into()],
            attribution_model: "last".into(),
            spend_source: "events".into(),
            mode: "auto".into(),
            forbidden_dimensions: self.forbidden_dimensions.clone(),
            ..CampaignSpec::default()
        }
    }

    /// Whether clicks differ by anything that factors can follow.
    pub fn has_differences(&self) -> bool {
        let differs = |values: &[TrialValue]| values.iter().any(|value| value.conversion != 1.0);
        let by_value =
            [&self.devices, &self.geos, &self.placements, &self.creatives].into_iter().any(|values| differs(values));
        let by_weather = self.weather.as_ref().is_some_and(|weather| weather.clicks * weather.conversion != 1.0);
        !self.hours.is_empty() || by_value || by_weather
    }

    fn conversion_by_hour(&self) -> Vec<f64> {
        if self.hours.is_empty() {
            return Vec::new();
        }
        let factor = |hour: usize| {
            let holds = self.hours.iter().filter(|hours| (hours.from..hours.to).contains(&hour));
            holds.map(|hours| hours.conversion).product::<f64>()
        };
        (0..24).map(factor).collect()
    }

    fn changes(&self, spec: &CampaignSpec, start_ms: Millis) -> Vec<(Millis, CampaignSpec)> {
        let mut spec = spec.clone();
        let mut changes = Vec::with_capacity(self.changes.len());
        for change in &self.changes {
            spec.version += 1;
            let budget = spec.daily_budget_micros.unwrap_or_default() as f64 * change.daily_budget;
            spec.daily_budget_micros = Some(budget as i64 / 10_000 * 10_000);
            changes.push((start_ms + change.day * DAY_MS + (change.hour * HOUR_MS as f64) as Millis, spec.clone()));
        }
        changes
    }
}

impl TrialWeather {
    /// Spells of a seed: whole hours, lengths geometric about their means.
    fn spells(&self, seed: u64, start_ms: Millis, end_ms: Millis) -> Vec<Weather> {
        let mut draws = Draws::keyed(seed, mix_text("weather"), 0, 0);
        let share = self.share.clamp(0.01, 0.99);
        let dry_hours = self.spell_hours * (1.0 - share) / share;
        let mut length = |mean: f64| (1.0 + draws.exponential() * (mean - 1.0).max(0.0)) as Millis * HOUR_MS;
        let mut spells = Vec::new();
        let mut from_ms = start_ms + length(dry_hours);
        while from_ms < end_ms {
            let to_ms = (from_ms + length(self.spell_hours)).min(end_ms);
            spells.push(Weather {
                from_ms,
                to_ms,
                word: self.word.clone(),
                click_factor: self.clicks,
                conversion_factor: self.conversion,
                told_before_ms: (self.told_minutes_before * 60_000.0) as Millis,
            });
            from_ms = to_ms + length(dry_hours);
        }
        spells
    }
}

/// A factor for each name, 1 where none is given; none at all where no value is.
fn by_name(values: &[TrialValue], names: &[&str]) -> Vec<f64> {
    if values.is_empty() {
        return Vec::new();
    }
    let factor = |name: &&str| values.iter().find(|value| value.name == **name).map_or(1.0, |value| value.conversion);
    names.iter().map(factor).collect()
}

fn names(values: &[TrialValue]) -> Vec<String> {
    values.iter().map(|value| value.name.clone()).collect()
}

impl TrialShock {
    fn at(&self, start_ms: Millis) -> Shock {
        let from_ms = start_ms + self.day * DAY_MS + (self.hour * HOUR_MS as f64) as Millis;
        Shock {
            from_ms,
            to_ms: from_ms + (self.hours * HOUR_MS as f64) as Millis,
            campaign_ids: Vec::new(),
            supply_factor: self.supply,
            price_factor: self.price,
            conversion_factor: self.conversion,
            click_factor: self.clicks,
            tracked_share: self.tracked,
        }
    }
}

/// A tenth of a cent.
const BID_STEP_MICROS: i64 = 1_000;
/// More than enough for the ranges above.
const TRIES: usize = 1_000;

fn steps(micros: f64) -> i64 {
    (micros as i64 / BID_STEP_MICROS).max(1) * BID_STEP_MICROS
}

fn log_uniform(draws: &mut Draws, from: f64, to: f64) -> f64 {
    from * libm::exp(draws.unit() * libm::log(to / from))
}
