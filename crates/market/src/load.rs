//! Events at a given rate, as many as a broker takes: many campaigns, many users, disorder, duplicates, lateness.
//!
//! No auctions here, and no state: event `n` follows from the seed and `n` alone. A click looks back at an earlier
//! event's person and campaign, a conversion at an earlier click, by computing that event again; so a million users cost
//! no memory, and clicks and conversions still belong together.
//!
//! What always holds: events leave in the order of their arrival; the truth counts each once at its own event time;
//! `truth_late` counts those of the late share alone, so that a reader with less patience can take them off. A late event
//! is never sent twice: past the horizon of deduplication nobody could tell.
//! Missing on purpose: poison records (bytes are the caller's), the shape of the week, commands.

mod pen;

use crate::emit::{Emitted, Sink};
use crate::random::Draws;
use crate::truth::Truth;
use model::fact::CampaignSpec;
use model::time::{MINUTE_MS, Millis, SECOND_MS};
use pen::{CHANNELS, Facts, Pen, time_of};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a load consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadScenario {
    /// Event time of the first event.
    pub start_ms: Millis,
    /// Events in a second of event time.
    pub rate_per_second: u64,
    /// Campaigns; the first have most of the events.
    pub campaigns: u32,
    /// Accounts that share the campaigns evenly.
    pub accounts: u32,
    /// People; a few have most of the events.
    pub users: u64,
    /// Share of people with a user key.
    pub consent_ppm: u32,
    /// Share of events that are clicks.
    pub click_ppm: u32,
    /// Share of events that are conversions.
    pub conversion_ppm: u32,
    /// Share of events that arrive a second time.
    pub duplicate_ppm: u32,
    /// Longest time from an event's first arrival to its second.
    pub duplicate_span_ms: Millis,
    /// Share of events that arrive out of order, a little late.
    pub disorder_ppm: u32,
    /// Longest delay of those.
    pub disorder_span_ms: Millis,
    /// Share of events that arrive late.
    pub late_ppm: u32,
    /// Shortest delay of those.
    pub late_min_ms: Millis,
    /// Longest delay of those.
    pub late_max_ms: Millis,
}

/// A running load.
#[derive(Clone, Debug)]
pub struct Load {
    scenario: LoadScenario,
    seed: u64,
    next: u64,
    delayed: BinaryHeap<Reverse<Delayed>>,
    pen: Pen,
    truth: Truth,
    truth_late: Truth,
    emitted: u64,
    duplicates: u64,
}

/// An event on its way: when it arrives, which one it is, and whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Delayed {
    arrives_at: Millis,
    number: u64,
    arrival: Arrival,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    First,
    Late,
    Again,
}

impl LoadScenario {
    /// A plain load from `start_ms` on: 2 % clicks, 0.1 % conversions, 90 % consent, in order, each event once.
    pub fn new(campaigns: u32, users: u64, rate_per_second: u64, start_ms: Millis) -> Self {
        Self {
            start_ms,
            rate_per_second: rate_per_second.max(1),
            campaigns: campaigns.max(1),
            accounts: (campaigns / 20).clamp(1, 500),
            users: users.max(1),
            consent_ppm: 900_000,
            click_ppm: 20_000,
            conversion_ppm: 1_000,
            duplicate_ppm: 0,
            duplicate_span_ms: 20 * SECOND_MS,
            disorder_ppm: 0,
            disorder_span_ms: 3 * SECOND_MS,
            late_ppm: 0,
            late_min_ms: MINUTE_MS,
            late_max_ms: 10 * MINUTE_MS,
        }
    }

    /// The load of the proof of truth: 5 % twice, 5 % out of order, 0.2 % late by 1 to 10 minutes.
    pub fn disturbed(self) -> Self {
        Self { duplicate_ppm: 50_000, disorder_ppm: 50_000, late_ppm: 2_000, ..self }
    }

    /// The id of a campaign.
    pub fn campaign_id(&self, campaign: u32) -> String {
        format!("campaign-{campaign:05}")
    }

    /// The account of a campaign.
    pub fn account_id(&self, campaign: u32) -> String {
        format!("account-{:04}", campaign % self.accounts.max(1))
    }

    /// Specifications of all campaigns, in mode `observe` with a daily budget.
    pub fn specs(&self) -> Vec<CampaignSpec> {
        (0..self.campaigns).map(|campaign| self.spec(campaign)).collect()
    }

    fn spec(&self, campaign: u32) -> CampaignSpec {
        CampaignSpec {
            campaign_id: self.campaign_id(campaign),
            account_id: self.account_id(campaign),
            version: 1,
            name: format!("Load {campaign}"),
            channel: CHANNELS[campaign as usize % CHANNELS.len()].into(),
            status: "active".into(),
            time_zone: "UTC".into(),
            currency: "EUR".into(),
            flight_start: self.start_ms.saturating_sub(24 * 60 * MINUTE_MS),
            daily_budget_micros: Some(1_000_000_000),
            daily_cap: "hard".into(),
            bid_control: "paceline".into(),
            budget_control: "paceline".into(),
            bid_strategy: "max_clicks".into(),
            bid_micros: 2_000,
            bid_min_micros: 200,
            bid_max_micros: 20_000,
            bid_step_micros: 10,
            attribution_model: "last".into(),
            spend_source: "events".into(),
            mode: "observe".into(),
            ..CampaignSpec::default()
        }
    }
}

impl Load {
    /// The load of a scenario before its first event.
    pub fn new(scenario: LoadScenario, seed: u64) -> Self {
        let ids: Vec<String> = (0..scenario.campaigns.max(1)).map(|campaign| scenario.campaign_id(campaign)).collect();
        Self {
            seed,
            next: 0,
            delayed: BinaryHeap::new(),
            pen: Pen::new(&scenario, seed),
            truth: Truth::new(ids.clone()),
            truth_late: Truth::new(ids),
            emitted: 0,
            duplicates: 0,
            scenario,
        }
    }

    /// Makes all events before `until` and hands out what arrives before it.
    pub fn advance(&mut self, until: Millis, sink: &mut impl Sink) {
        while self.time_of(self.next) < until {
            self.make(sink);
        }
        self.hand_out_delayed(until, sink);
    }

    /// Makes the next `count` events and hands out what arrives before the last of them; returns its event time.
    pub fn advance_events(&mut self, count: u64, sink: &mut impl Sink) -> Millis {
        for _ in 0..count {
            self.make(sink);
        }
        self.time_of(self.next.saturating_sub(1))
    }

    /// Hands out everything that is still on its way.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        self.hand_out_delayed(Millis::MAX, sink);
    }

    /// Hands out what arrives before `until` of what was made, and makes nothing; `true` once nothing is on its way.
    pub fn settle(&mut self, until: Millis, sink: &mut impl Sink) -> bool {
        self.hand_out_delayed(until, sink);
        self.delayed.is_empty()
    }

    /// Each event that was made, once, whether it has arrived or not.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// The late ones among them.
    pub fn truth_late(&self) -> &Truth {
        &self.truth_late
    }

    /// Events made, duplicates not counted.
    pub fn events(&self) -> u64 {
        self.next
    }

    /// Records handed out, duplicates counted.
    pub fn emitted(&self) -> u64 {
        self.emitted
    }

    /// Second arrivals handed out.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn time_of(&self, number: u64) -> Millis {
        time_of(&self.scenario, number)
    }

    fn make(&mut self, sink: &mut impl Sink) {
        let number = self.next;
        self.next += 1;
        let at = self.time_of(number);
        self.hand_out_delayed(at, sink);
        let (arrival, delay, again) = self.fate(number);
        let arrives_at = at.saturating_add(delay);
        if let Some(span) = again {
            let arrives_at = arrives_at.saturating_add(span);
            self.delayed.push(Reverse(Delayed { arrives_at, number, arrival: Arrival::Again }));
        }
        let facts = self.pen.facts(&self.scenario, number);
        self.count(at, arrival, &facts);
        let delayed = Delayed { arrives_at, number, arrival };
        if delay == 0 {
            self.hand_out(delayed, &facts, sink);
        } else {
            self.delayed.push(Reverse(delayed));
        }
    }

    /// How an event arrives: in order, a little or very late; once or twice.
    fn fate(&self, number: u64) -> (Arrival, Millis, Option<Millis>) {
        let scenario = &self.scenario;
        if scenario.late_ppm == 0 && scenario.disorder_ppm == 0 && scenario.duplicate_ppm == 0 {
            return (Arrival::First, 0, None);
        }
        let mut draws = Draws::keyed(self.seed, FATE, number, 0);
        let (kind, twice) = (draws.below(1_000_000) as u32, draws.below(1_000_000) as u32);
        if kind < scenario.late_ppm {
            let span = scenario.late_max_ms.saturating_sub(scenario.late_min_ms);
            return (Arrival::Late, scenario.late_min_ms.max(1).saturating_add(up_to(&mut draws, span)), None);
        }
        let disordered = kind < scenario.late_ppm.saturating_add(scenario.disorder_ppm);
        let delay = if disordered { 1 + up_to(&mut draws, scenario.disorder_span_ms.saturating_sub(1)) } else { 0 };
        let again = (twice < scenario.duplicate_ppm).then(|| up_to(&mut draws, scenario.duplicate_span_ms));
        (Arrival::First, delay, again)
    }

    fn hand_out_delayed(&mut self, until: Millis, sink: &mut impl Sink) {
        while self.delayed.peek().is_some_and(|next| next.0.arrives_at < until) {
            if let Some(Reverse(delayed)) = self.delayed.pop() {
                let facts = self.pen.facts(&self.scenario, delayed.number);
                self.hand_out(delayed, &facts, sink);
            }
        }
    }

    fn hand_out(&mut self, delayed: Delayed, facts: &Facts, sink: &mut impl Sink) {
        let record = self.pen.write(&self.scenario, delayed.number, facts);
        self.emitted += 1;
        self.duplicates += u64::from(delayed.arrival == Arrival::Again);
        sink.take(Emitted { arrived_at: delayed.arrives_at, record });
    }

    /// The truth is counted when an event is made, from what it is, not from what is handed out.
    fn count(&mut self, at: Millis, arrival: Arrival, facts: &Facts) {
        self.truth.add(facts.campaign as usize, at, facts.kind, facts.money_micros);
        if arrival == Arrival::Late {
            self.truth_late.add(facts.campaign as usize, at, facts.kind, facts.money_micros);
        }
    }
}

fn up_to(draws: &mut Draws, span_ms: Millis) -> Millis {
    draws.below(span_ms.max(0) as u64 + 1) as Millis
}

/// Tells the draws of arrivals from those of the events themselves.
const FATE: u64 = 11;
