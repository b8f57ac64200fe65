//! What a simulated market consists of: campaigns with their auctions, people, shocks, and the manners of the ad buyer.
//!
//! A scenario is plain data, so that it can be written to a file and compared. What always holds: two markets of equal
//! scenario and seed meet the same opportunities. Missing on purpose: competition between the scenario's own campaigns
//! for one opportunity, day-parting (`open_hours`), frequency caps.

use crate::auction::Auction;
use model::fact::CampaignSpec;
use model::time::{MINUTE_MS, Millis, SECOND_MS};
use serde::{Deserialize, Serialize};

/// A whole simulated market.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// First instant of the market.
    pub start_ms: Millis,
    /// From here on no campaign of the scenario has a flight; conversions still come.
    pub end_ms: Millis,
    /// The campaigns, in the order of the totals.
    pub campaigns: Vec<CampaignWorld>,
    /// The people who see ads.
    pub people: People,
    /// What changes in mid-run.
    pub shocks: Vec<Shock>,
    /// How the ad buyer behaves.
    pub buyer: BuyerManners,
    /// Standard deviation of the logarithm of an hour's supply around the shape.
    pub supply_noise_sd: f64,
    /// Weather at the campaigns' places.
    #[serde(default)]
    pub weather: Vec<Weather>,
    /// Worth of one unit of a currency in units of the totals' currency, in parts per million; 1,000,000 where absent.
    pub exchange_ppm: std::collections::BTreeMap<String, i64>,
}

/// One campaign: its specification and the world that it meets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignWorld {
    /// What the campaign's owner wrote; the bid and the budgets in it are what the ad buyer starts with.
    pub spec: CampaignSpec,
    /// Where impressions are bought; `None` for a source of own touches (webinars, e-mails).
    pub auction: Option<Auction>,
    /// Auctions (or own touches) in a mean week, before noise and shocks.
    pub opportunities_per_week: f64,
    /// Mean share of won impressions that are clicked.
    pub click_rate: f64,
    /// Mean share of clicks that convert.
    pub conversion_rate: f64,
    /// Times as many conversions per click by hour of the click on the local clock (24); empty where hours are alike.
    #[serde(default)]
    pub conversion_by_hour: Vec<f64>,
    /// The same by device (mobile, desktop, tablet, tv) and by place of `geos`; empty for none.
    pub conversion_by_device: Vec<f64>,
    /// By place of `geos`; empty for none.
    pub conversion_by_geo: Vec<f64>,
    /// By placement (pl-0 to pl-7), which come equally often where this is given; empty for none.
    #[serde(default)]
    pub conversion_by_placement: Vec<f64>,
    /// By creative (cr-0 to cr-2); empty for none.
    #[serde(default)]
    pub conversion_by_creative: Vec<f64>,
    /// From click to conversion.
    pub delay: Delay,
    /// purchase, lead, signup, ...
    pub conversion_type: String,
    /// Mean worth of a conversion, in micros.
    pub value_mean_micros: i64,
    /// Standard deviation of the logarithm of the worth.
    pub value_sigma: f64,
    /// ISO 3166 codes; a person's home is one of them.
    pub geos: Vec<String>,
    /// The ad buyer stops by itself at the daily and the flight budget in force.
    pub enforces_budget: bool,
    /// Share of conversions that an own touch precedes, where the account has a source of them.
    pub nurtured_share: f64,
}

/// From click to conversion.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Delay {
    /// Log-normal.
    LogNormal {
        /// Half of the conversions come sooner.
        median_ms: Millis,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// Two exponentials: those who buy at once and those who think about it.
    Mixture {
        /// Mean of the quick ones.
        fast_mean_ms: Millis,
        /// Mean of the slow ones.
        slow_mean_ms: Millis,
        /// Share of the slow ones.
        slow_share: f64,
    },
}

/// The people who see ads; a few see many, most see few (density of rank r about r^-2/3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct People {
    /// How many there are.
    pub count: u64,
    /// Share of them who let themselves be recognised; the others' events have no user key.
    pub consent_share: f64,
}

/// A change of the market in the minutes that begin in [from_ms, to_ms).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shock {
    /// First instant.
    pub from_ms: Millis,
    /// First instant after it.
    pub to_ms: Millis,
    /// Campaigns that it meets; all where empty.
    pub campaign_ids: Vec<String>,
    /// Times as many opportunities.
    pub supply_factor: f64,
    /// Times as high competing bids.
    pub price_factor: f64,
    /// Times as many conversions per click.
    pub conversion_factor: f64,
    /// Times as many clicks per impression.
    pub click_factor: f64,
    /// Share of the conversions that happen in the span and are told.
    pub tracked_share: f64,
}

impl Default for Shock {
    /// No change, at no time.
    fn default() -> Self {
        Self {
            from_ms: 0,
            to_ms: 0,
            campaign_ids: Vec::new(),
            supply_factor: 1.0,
            price_factor: 1.0,
            conversion_factor: 1.0,
            click_factor: 1.0,
            tracked_share: 1.0,
        }
    }
}

/// A weather over all places of all campaigns, told hour by hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weather {
    /// First instant.
    pub from_ms: Millis,
    /// First instant after it.
    pub to_ms: Millis,
    /// Its word.
    pub word: String,
    /// Times as many clicks per impression.
    pub click_factor: f64,
    /// Times as many conversions per click.
    pub conversion_factor: f64,
    /// So long before each of its hours it is told; negative for later.
    pub told_before_ms: Millis,
}

/// How the ad buyer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuyerManners {
    /// Shortest time from receipt to application.
    pub lag_min_ms: Millis,
    /// Longest time from receipt to application.
    pub lag_max_ms: Millis,
    /// Share of commands that it loses without an answer.
    pub ignored_share: f64,
    /// Time between two read-backs of a campaign; 0 for none.
    pub report_every_ms: Millis,
}

impl Default for BuyerManners {
    fn default() -> Self {
        Self {
            lag_min_ms: 5 * SECOND_MS,
            lag_max_ms: 45 * SECOND_MS,
            ignored_share: 0.0,
            report_every_ms: 15 * MINUTE_MS,
        }
    }
}

impl Scenario {
    /// A market without campaigns from `start_ms` for `flight_ms`.
    pub fn new(start_ms: Millis, flight_ms: Millis) -> Self {
        Self {
            start_ms,
            end_ms: start_ms.saturating_add(flight_ms.max(0)),
            campaigns: Vec::new(),
            people: People { count: 200_000, consent_share: 0.8 },
            shocks: Vec::new(),
            buyer: BuyerManners::default(),
            supply_noise_sd: 0.1,
            weather: Vec::new(),
            exchange_ppm: std::collections::BTreeMap::new(),
        }
    }

    /// Adds a campaign.
    pub fn campaign(mut self, world: CampaignWorld) -> Self {
        self.campaigns.push(world);
        self
    }

    /// Adds a change in mid-run.
    pub fn shock(mut self, shock: Shock) -> Self {
        self.shocks.push(shock);
        self
    }

    /// Sets how the ad buyer behaves.
    pub fn buyer(mut self, manners: BuyerManners) -> Self {
        self.buyer = manners;
        self
    }

    /// Sets the people.
    pub fn people(mut self, people: People) -> Self {
        self.people = people;
        self
    }

    /// The specifications to publish before the market opens.
    pub fn specs(&self) -> Vec<CampaignSpec> {
        self.campaigns.iter().map(|world| world.spec.clone()).collect()
    }
}

impl Shock {
    /// Whether the minute that begins at `minute_start` of the campaign is met.
    pub(crate) fn meets(&self, minute_start: Millis, campaign_id: &str) -> bool {
        (self.from_ms..self.to_ms).contains(&minute_start)
            && (self.campaign_ids.is_empty() || self.campaign_ids.iter().any(|id| id == campaign_id))
    }
}
