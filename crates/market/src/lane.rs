//! One campaign's course: opportunities minute by minute, auctions, clicks and conversions that wait for their time.
//!
//! What always holds: opportunities are keyed by (seed, campaign, minute, index) and come whether the campaign bids or
//! not; a lane's course depends on the instants alone, not on how a run is cut into steps.

use crate::auction::{Auction, Billing, Odds};
use crate::buyer::state::{Ad, CampaignState};
use crate::random::{Draws, mix, mix_text};
use crate::scenario::{CampaignWorld, Delay, Scenario, Shock, Weather};
use crate::shape::{LocalShape, share_of};
use model::event::EventKind;
use model::time::{HOUR_MS, MINUTE_MS, Millis, minute_of};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use window::calendar::{LocalDay, LocalHour};

/// Words of the contract, and how a device's clicks compare with the mean; shares are [`DEVICE_UP_TO`].
pub(crate) const DEVICES: [&str; 4] = ["mobile", "desktop", "tablet", "tv"];
/// Cumulated shares of the devices among opportunities.
const DEVICE_UP_TO: [f64; 4] = [0.55, 0.93, 0.98, 1.0];
/// Click rate of a device over the campaign's; the mean over the shares is 1.
const DEVICE_CLICK_FACTOR: [f64; 4] = [0.9, 1.2, 0.98, 0.0];
/// Creatives, as events name them.
pub(crate) const CREATIVES: [&str; 3] = ["cr-0", "cr-1", "cr-2"];
/// Placements, as events name them.
pub(crate) const PLACEMENTS: [&str; 8] = ["pl-0", "pl-1", "pl-2", "pl-3", "pl-4", "pl-5", "pl-6", "pl-7"];
/// Click rate of a creative over the campaign's; shown equally often, so the mean is 1.
const CREATIVE_CLICK_FACTOR: [f64; 3] = [0.7, 1.0, 1.3];
/// Mean time from impression to click.
const CLICK_DELAY_MEAN_MS: f64 = 8_000.0;
/// Nobody converts later than the usual horizon for conversions.
const CONVERSION_DELAY_MAX_MS: f64 = (30 * 24 * HOUR_MS) as f64;
/// A single conversion is worth at most this many times the mean: a log-normal's tail has no end.
const VALUE_MAX_OVER_MEAN: f64 = 1_000.0;

/// The opportunity that an event goes back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) lane: u32,
    pub(crate) minute: i64,
    pub(crate) index: u32,
}

/// An event without its strings; ordered as it is emitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) at: Millis,
    pub(crate) kind: EventKind,
    /// The campaign that the event names.
    pub(crate) lane: u32,
    pub(crate) origin: Origin,
    /// Cost, of a conversion worth.
    pub(crate) money_micros: i64,
    pub(crate) user: u64,
    pub(crate) device: u8,
    pub(crate) creative: u8,
    pub(crate) placement: u8,
}

/// Opportunities by what they have in common.
pub(crate) type Offers = BTreeMap<Offered, f64>;

/// Price, conversion and click factor as bits, so that they can be keys, local hour of the day where hours differ, and the
/// place of the weather in the scenario's words and one, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offered {
    pub(crate) price: u64,
    pub(crate) conversion: u64,
    pub(crate) clicks: u64,
    pub(crate) hour: usize,
    pub(crate) is_weather: bool,
}

/// Expected values given the market's opportunities and the bids in force, before the luck of each auction and click.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExpectedSums {
    pub(crate) impressions: f64,
    pub(crate) clicks: f64,
    pub(crate) spend_micros: f64,
    pub(crate) conversions: f64,
    pub(crate) value_micros: f64,
}

/// One campaign's course.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    number: u32,
    world: CampaignWorld,
    /// The account's source of own touches.
    owned_lane: Option<u32>,
    seed: u64,
    key: u64,
    users: u64,
    noise_sd: f64,
    start_ms: Millis,
    shocks: Vec<Shock>,
    weather: Vec<Weather>,
    in_weather: bool,
    shape: LocalShape,
    now_hour: LocalHour,
    minute: i64,
    price_factor: f64,
    conversion_factor: f64,
    click_factor: f64,
    opportunities: Vec<(Millis, u32, Draws)>,
    cursor: usize,
    pending: BinaryHeap<Reverse<Due>>,
    odds: Option<(i64, f64, Odds)>,
    day: LocalDay,
    day_spend_micros: i64,
    flight_spend_micros: i64,
    pub(crate) expected: ExpectedSums,
}

impl Lane {
    pub(crate) fn new(scenario: &Scenario, number: usize, seed: u64) -> Self {
        let world = scenario.campaigns[number].clone();
        let mut shape = LocalShape::new(&world.spec.time_zone);
        let owned_lane = scenario
            .campaigns
            .iter()
            .position(|other| other.auction.is_none() && other.spec.account_id == world.spec.account_id)
            .filter(|&owned| owned != number);
        let shocks = scenario.shocks.iter().filter(|shock| shock.meets(shock.from_ms, &world.spec.campaign_id));
        Self {
            number: number as u32,
            owned_lane: owned_lane.map(|owned| owned as u32),
            seed,
            key: mix_text(&world.spec.campaign_id),
            users: scenario.people.count.max(1),
            noise_sd: scenario.supply_noise_sd,
            start_ms: scenario.start_ms,
            shocks: shocks.cloned().collect(),
            weather: scenario.weather.clone(),
            in_weather: false,
            now_hour: shape.hour_at(scenario.start_ms),
            minute: minute_of(scenario.start_ms) - 1,
            price_factor: 1.0,
            conversion_factor: 1.0,
            click_factor: 1.0,
            opportunities: Vec::new(),
            cursor: 0,
            pending: BinaryHeap::new(),
            odds: None,
            day: shape.zone().day_of(scenario.start_ms),
            day_spend_micros: 0,
            flight_spend_micros: 0,
            expected: ExpectedSums::default(),
            shape,
            world,
        }
    }

    /// Goes on to `end`, under one state of the ad buyer, and adds what happened before it to `out`.
    pub(crate) fn run(&mut self, end: Millis, state: &CampaignState, out: &mut Vec<Due>) {
        loop {
            let waiting = self.pending.peek().map(|due| due.0.at).filter(|&at| at < end);
            let opportunity = self.next_opportunity(end);
            match (waiting, opportunity) {
                (Some(at), next) if next.is_none_or(|next| at <= next) => {
                    if let Some(Reverse(due)) = self.pending.pop() {
                        self.happen(due, out);
                    }
                }
                (_, Some(_)) => {
                    let (at, index, draws) = self.opportunities[self.cursor];
                    self.cursor += 1;
                    self.meet(at, index, draws, state, out);
                }
                _ => return,
            }
        }
    }

    /// Instant of the next opportunity before `end`; opens minutes as it comes to them.
    fn next_opportunity(&mut self, end: Millis) -> Option<Millis> {
        while self.cursor >= self.opportunities.len() {
            let start = (self.minute + 1).saturating_mul(MINUTE_MS);
            if start >= end || start >= self.world.spec.flight_end.unwrap_or(Millis::MAX) {
                return None;
            }
            self.open_minute(start);
        }
        Some(self.opportunities[self.cursor].0).filter(|&at| at < end)
    }

    /// Opportunities of a fresh lane by local day, then by price and conversion factor (as bits), up to `end`.
    pub(crate) fn offered(mut self, end: Millis) -> Vec<(Millis, Offers)> {
        let mut days: Vec<(Millis, Offers)> = Vec::new();
        while (self.minute + 1).saturating_mul(MINUTE_MS) < end.min(self.world.spec.flight_end.unwrap_or(Millis::MAX)) {
            let start = (self.minute + 1).saturating_mul(MINUTE_MS);
            self.open_minute(start);
            if days.is_empty() || !self.day.contains(start) {
                self.enter_day(start);
                days.push((self.day.start_ms, BTreeMap::new()));
            }
            let hour = if self.world.conversion_by_hour.is_empty() { 0 } else { self.now_hour.hour_of_week() % 24 };
            let factors = Offered {
                price: self.price_factor.to_bits(),
                conversion: self.conversion_factor.to_bits(),
                clicks: self.click_factor.to_bits(),
                hour,
                is_weather: self.in_weather,
            };
            if let Some((_, offers)) = days.last_mut() {
                *offers.entry(factors).or_default() += self.opportunities.len() as f64;
            }
        }
        days
    }

    /// Draws the opportunities of the minute after the last one.
    fn open_minute(&mut self, start: Millis) {
        self.minute += 1;
        self.cursor = 0;
        self.opportunities.clear();
        let mut rate = self.world.opportunities_per_week / 60.0;
        if start < self.now_hour.start_ms || start >= self.now_hour.end_ms {
            self.now_hour = self.shape.hour_at(start);
        }
        rate *= share_of(&self.now_hour);
        rate *= Draws::keyed(self.seed, self.key, HOUR_NOISE, start.div_euclid(HOUR_MS) as u64).noise(self.noise_sd);
        let by_hour = self.world.conversion_by_hour.get(self.now_hour.hour_of_week() % 24);
        self.conversion_factor = by_hour.copied().unwrap_or(1.0);
        (self.price_factor, self.click_factor) = (1.0, 1.0);
        for shock in self.shocks.iter().filter(|shock| (shock.from_ms..shock.to_ms).contains(&start)) {
            rate *= shock.supply_factor;
            self.price_factor *= shock.price_factor;
            self.conversion_factor *= shock.conversion_factor;
            self.click_factor *= shock.click_factor;
        }
        let after = self.weather.partition_point(|weather| weather.from_ms <= start);
        let weather = after.checked_sub(1).map(|at| &self.weather[at]).filter(|weather| start < weather.to_ms);
        self.in_weather = weather.is_some();
        if let Some(weather) = weather {
            self.click_factor *= weather.click_factor;
            self.conversion_factor *= weather.conversion_factor;
        }
        let count = Draws::keyed(self.seed, self.key, COUNT, self.minute as u64).poisson(rate);
        for index in 0..count {
            let mut draws = Draws::keyed(self.seed ^ OPPORTUNITY, self.key, self.minute as u64, u64::from(index));
            let at = start.saturating_add(draws.below(MINUTE_MS as u64) as Millis);
            if at >= self.start_ms {
                self.opportunities.push((at, index, draws));
            }
        }
        self.opportunities.sort_unstable_by_key(|&(at, index, _)| (at, index));
    }

    /// One opportunity: bid, perhaps win, perhaps be clicked, perhaps convert.
    fn meet(&mut self, at: Millis, index: u32, mut draws: Draws, state: &CampaignState, out: &mut Vec<Due>) {
        let price_unit = draws.unit();
        let user = self.person(&mut draws);
        let device = device_of(draws.unit());
        let origin = Origin { lane: self.number, minute: self.minute, index };
        let placement = self.placement_of(&origin);
        let kind = EventKind::Click;
        let due = Due { at, kind, lane: self.number, origin, money_micros: 0, user, device, creative: 0, placement };
        let Some(auction) = self.world.auction else {
            out.push(due); // An own touch: nothing is bought.
            return;
        };
        if !self.bids(at, state) {
            return;
        }
        // The creative is chosen before the bid, by the draw that follows.
        let creative = draws.clone().below(CREATIVE_CLICK_FACTOR.len() as u64) as u8;
        let due = Due { creative, ..due };
        let odds = self.odds(&auction, state, &due);
        self.expect(&auction, &odds, &due);
        if price_unit >= odds.win_share {
            return;
        }
        let price = auction.price_micros(&odds, price_unit, self.price_factor);
        let (shown, clicked) = match auction.billing {
            Billing::Cpm => (price, 0),
            Billing::Cpc => (0, price),
        };
        let _ = draws.below(CREATIVE_CLICK_FACTOR.len() as u64);
        self.happen(Due { kind: EventKind::Impression, money_micros: shown, ..due }, out);
        let click_rate = self.world.click_rate
            * self.click_factor
            * DEVICE_CLICK_FACTOR[usize::from(device)]
            * CREATIVE_CLICK_FACTOR[usize::from(creative)];
        if draws.unit() < click_rate {
            let at = at.saturating_add(500 + (draws.exponential() * CLICK_DELAY_MEAN_MS) as Millis);
            let click = Due { at, money_micros: clicked, ..due };
            self.pending.push(Reverse(click));
            self.perhaps_convert(click, draws);
        }
    }

    fn perhaps_convert(&mut self, click: Due, mut draws: Draws) {
        let rate = self.world.conversion_rate * self.conversion_factor;
        if draws.unit() >= rate * self.conversion_of(&click) {
            return;
        }
        let delay = delay_ms(&self.world.delay, &mut draws);
        let at = click.at.saturating_add(delay);
        let sigma = self.world.value_sigma;
        let worth = self.world.value_mean_micros as f64 * draws.noise(sigma).min(VALUE_MAX_OVER_MEAN);
        self.pending.push(Reverse(Due { at, kind: EventKind::Conversion, money_micros: worth as i64, ..click }));
        if let Some(owned) = self.owned_lane
            && draws.unit() < self.world.nurtured_share
        {
            let at = click.at.saturating_add(delay / 2);
            self.pending.push(Reverse(Due { at, lane: owned, money_micros: 0, creative: 0, ..click }));
        }
    }

    /// An event takes place: what it costs counts from now on.
    fn happen(&mut self, due: Due, out: &mut Vec<Due>) {
        if due.kind != EventKind::Conversion {
            self.enter_day(due.at);
            self.day_spend_micros = self.day_spend_micros.saturating_add(due.money_micros);
            self.flight_spend_micros = self.flight_spend_micros.saturating_add(due.money_micros);
        } else if !self.is_tracked(&due) {
            return;
        }
        out.push(due);
    }

    /// Whether a conversion is told; each by its own draw.
    fn is_tracked(&self, due: &Due) -> bool {
        let spans = self.shocks.iter().filter(|shock| (shock.from_ms..shock.to_ms).contains(&due.at));
        let share: f64 = spans.map(|shock| shock.tracked_share).product();
        share >= 1.0 || Draws::keyed(self.seed, self.key ^ TRACKED, due.at as u64, due.user).unit() < share
    }

    fn enter_day(&mut self, at: Millis) {
        if !self.day.contains(at) {
            self.day = self.shape.zone().day_of(at);
            self.day_spend_micros = 0;
        }
    }

    /// Whether the ad buyer bids now.
    fn bids(&mut self, at: Millis, state: &CampaignState) -> bool {
        let spec = &self.world.spec;
        if state.paused || at < spec.flight_start || at >= spec.flight_end.unwrap_or(Millis::MAX) {
            return false;
        }
        if !self.world.enforces_budget {
            return true;
        }
        self.enter_day(at);
        state.daily_budget_micros.is_none_or(|budget| self.day_spend_micros < budget)
            && state.flight_budget_micros.is_none_or(|budget| self.flight_spend_micros < budget)
    }

    /// The odds of the bid in force, modifiers applied; computed anew only where something changed.
    fn odds(&mut self, auction: &Auction, state: &CampaignState, due: &Due) -> Odds {
        if !state.is_modified() {
            return match self.odds {
                Some((bid, factor, odds)) if bid == state.bid_micros && factor == self.price_factor => odds,
                _ => {
                    let odds = auction.odds(state.bid_micros as f64, self.price_factor);
                    self.odds = Some((state.bid_micros, self.price_factor, odds));
                    odds
                }
            };
        }
        let factor = state.modifier(&Ad {
            device: DEVICES[usize::from(due.device)],
            geo: geo_of(due.user, &self.world.geos),
            placement: PLACEMENTS[usize::from(due.placement)],
            creative: CREATIVES[usize::from(due.creative)],
            hour_of_week: self.now_hour.hour_of_week(),
        });
        auction.odds(state.bid_micros as f64 * factor, self.price_factor)
    }

    /// Times as many conversions of a click by where it was made, on what, and which ad it was.
    fn conversion_of(&self, due: &Due) -> f64 {
        let world = &self.world;
        if is_alike(world) {
            return 1.0;
        }
        let of = |factors: &[f64], at: usize| factors.get(at).copied().unwrap_or(1.0);
        of(&world.conversion_by_device, usize::from(due.device))
            * of(&world.conversion_by_geo, geo_index(due.user, world.geos.len()))
            * of(&world.conversion_by_placement, usize::from(due.placement))
            * of(&world.conversion_by_creative, usize::from(due.creative))
    }

    /// Eight placements for each campaign, by opportunity; equally often where they differ.
    fn placement_of(&self, origin: &Origin) -> u8 {
        let by_order = u64::from(origin.index);
        let word = if self.world.conversion_by_placement.is_empty() {
            by_order
        } else {
            mix(self.seed ^ mix(origin.minute as u64) ^ by_order)
        };
        (word % PLACEMENTS.len() as u64) as u8
    }

    fn expect(&mut self, auction: &Auction, odds: &Odds, due: &Due) {
        let world = &self.world;
        let conversion = self.conversion_of(due);
        // The mean over devices where they are alike; each its own where factors may tell them apart.
        let of_device = if is_alike(world) { 1.0 } else { DEVICE_CLICK_FACTOR[usize::from(due.device)] };
        let by_creative = !world.conversion_by_creative.is_empty();
        let of_creative = if by_creative { CREATIVE_CLICK_FACTOR[usize::from(due.creative)] } else { 1.0 };
        let click_rate = (world.click_rate * self.click_factor * of_device * of_creative).min(1.0);
        let clicks = odds.win_share * click_rate;
        let conversions = clicks * (world.conversion_rate * self.conversion_factor * conversion).min(1.0);
        self.expected.impressions += odds.win_share;
        self.expected.clicks += clicks;
        self.expected.spend_micros += auction.mean_spend_micros(odds, click_rate);
        self.expected.conversions += conversions;
        self.expected.value_micros += conversions * world.value_mean_micros as f64;
    }

    /// A few people see many ads: the cube of a uniform draw has density r^-2/3 over the ranks.
    fn person(&self, draws: &mut Draws) -> u64 {
        let unit = draws.unit();
        ((self.users as f64 * unit * unit * unit) as u64).min(self.users - 1)
    }
}

/// Tells the draws of hours' noise, minutes' counts and opportunities apart.
const HOUR_NOISE: u64 = 1 << 62;
const COUNT: u64 = 2 << 62;
const TRACKED: u64 = 0x7472_6163_6b65_6421;
const OPPORTUNITY: u64 = 0x6f70_706f_7274_756e;

fn device_of(unit: f64) -> u8 {
    DEVICE_UP_TO.iter().position(|&up_to| unit < up_to).unwrap_or(0) as u8
}

/// A person's home, the same in every campaign with the same geos; empty where the campaign names none.
pub(crate) fn geo_of(user: u64, geos: &[String]) -> &str {
    geos.get(geo_index(user, geos.len())).map_or("", String::as_str)
}

fn geo_index(user: u64, geos: usize) -> usize {
    mix(user ^ 0x67_656f) as usize % geos.max(1)
}

/// Whether clicks of all kinds convert alike.
fn is_alike(world: &CampaignWorld) -> bool {
    let by = [&world.conversion_by_device, &world.conversion_by_geo];
    let more = [&world.conversion_by_placement, &world.conversion_by_creative];
    by.into_iter().chain(more).all(|factors| factors.is_empty())
}

/// A kind of opportunity by device, place, placement and creative: its share, its click and conversion factors; each as the
/// buyer names it.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) share: f64,
    pub(crate) clicks: f64,
    pub(crate) conversion: f64,
    pub(crate) device: &'static str,
    pub(crate) geo: String,
    pub(crate) placement: &'static str,
    pub(crate) creative: &'static str,
}

impl Kind {
    /// An ad of the kind, as the buyer's factors see it.
    pub(crate) fn ad(&self, hour_of_week: usize) -> Ad<'_> {
        let Self { device, geo, placement, creative, .. } = self;
        Ad { device, geo, placement, creative, hour_of_week }
    }
}

/// The kinds that a campaign's world tells apart; one where it tells none.
pub(crate) fn kinds_of(world: &CampaignWorld) -> Vec<Kind> {
    let one =
        Kind { share: 1.0, clicks: 1.0, conversion: 1.0, device: "", geo: String::new(), placement: "", creative: "" };
    if is_alike(world) {
        return vec![one];
    }
    let of = |factors: &[f64], at: usize| factors.get(at).copied().unwrap_or(1.0);
    let mut kinds = Vec::new();
    for (device, name) in DEVICES.into_iter().enumerate() {
        let share = DEVICE_UP_TO[device] - device.checked_sub(1).map_or(0.0, |before| DEVICE_UP_TO[before]);
        for (at, geo) in world.geos.iter().enumerate() {
            kinds.push(Kind {
                share: share / world.geos.len() as f64,
                clicks: DEVICE_CLICK_FACTOR[device],
                conversion: of(&world.conversion_by_device, device) * of(&world.conversion_by_geo, at),
                device: name,
                geo: geo.clone(),
                ..one.clone()
            });
        }
    }
    if !world.conversion_by_placement.is_empty() {
        kinds = split(&kinds, &PLACEMENTS, |kind, at, name| Kind {
            conversion: kind.conversion * of(&world.conversion_by_placement, at),
            placement: name,
            ..kind
        });
    }
    if !world.conversion_by_creative.is_empty() {
        kinds = split(&kinds, &CREATIVES, |kind, at, name| Kind {
            clicks: kind.clicks * CREATIVE_CLICK_FACTOR[at],
            conversion: kind.conversion * of(&world.conversion_by_creative, at),
            creative: name,
            ..kind
        });
    }
    kinds
}

/// Each kind in as many equal parts as there are names.
fn split(kinds: &[Kind], names: &[&'static str], part: impl Fn(Kind, usize, &'static str) -> Kind) -> Vec<Kind> {
    let mut parts = Vec::new();
    for kind in kinds {
        for (at, name) in names.iter().enumerate() {
            let share = kind.share / names.len() as f64;
            parts.push(part(Kind { share, ..kind.clone() }, at, name));
        }
    }
    parts
}

fn delay_ms(delay: &Delay, draws: &mut Draws) -> Millis {
    let (shape, choice) = (draws.word(), draws.unit());
    let unit = crate::random::unit_of(shape);
    let ms = match *delay {
        Delay::LogNormal { median_ms, sigma } => {
            median_ms as f64 * libm::exp(sigma * crate::random::normal_quantile(unit))
        }
        Delay::Mixture { fast_mean_ms, slow_mean_ms, slow_share } => {
            let mean = if choice < slow_share { slow_mean_ms } else { fast_mean_ms };
            -libm::log(unit) * mean as f64
        }
    };
    ms.clamp(1.0, CONVERSION_DELAY_MAX_MS) as Millis
}
