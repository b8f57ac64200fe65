//! The market itself: runs the lanes and the ad buyer side by side and hands out what happens.
//!
//! What always holds: events come in event-time order (then impressions, clicks, conversions, then by campaign), each
//! once; equal scenario, seed and commands at equal instants give equal events, however the run is cut into steps.

use crate::buyer::AdBuyer;
use crate::emit::{Emitted, Record, Sink};
use crate::lane::{Due, Lane};
use crate::scenario::Scenario;
use crate::scratch::Scratch;
use crate::shape::LocalShape;
use crate::totals::{CampaignTotals, Totals, planned_micros};
use crate::truth::Truth;
use model::event::EventKind;
use model::fact::{ContextSignal, Fact};
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A running market.
#[derive(Clone, Debug)]
pub struct Market {
    scenario: Scenario,
    now: Millis,
    lanes: Vec<Lane>,
    buyer: AdBuyer,
    scratch: Scratch,
    step: Vec<Due>,
    truth: Truth,
    sums: Vec<CampaignTotals>,
    events: u64,
    /// By the time of issue.
    context: VecDeque<ContextSignal>,
}

/// Steps are cut here, so that a long run holds a few minutes of events in memory.
const STEP_MAX_MS: Millis = 10 * MINUTE_MS;

impl Market {
    /// The market of a scenario at its first instant.
    pub fn new(scenario: Scenario, seed: u64) -> Self {
        let ids = scenario.campaigns.iter().map(|world| world.spec.campaign_id.clone()).collect();
        Self {
            now: scenario.start_ms,
            lanes: (0..scenario.campaigns.len()).map(|number| Lane::new(&scenario, number, seed)).collect(),
            buyer: AdBuyer::new(&scenario, seed),
            scratch: Scratch::new(&scenario, seed),
            step: Vec::new(),
            truth: Truth::new(ids),
            sums: scenario.campaigns.iter().map(|world| CampaignTotals::of(&world.spec)).collect(),
            events: 0,
            context: told_weather(&scenario),
            scenario,
        }
    }

    /// Goes on to `until` and hands out every event before it.
    pub fn advance(&mut self, until: Millis, sink: &mut impl Sink) {
        while self.now < until {
            self.buyer.settle(self.now);
            let due = self.buyer.next_due().unwrap_or(Millis::MAX).max(self.now.saturating_add(1));
            let end = until.min(due).min(self.now.saturating_add(STEP_MAX_MS));
            for (lane, state) in self.lanes.iter_mut().zip(self.buyer.states()) {
                lane.run(end, state, &mut self.step);
            }
            self.now = end;
            self.hand_out(sink);
        }
        self.buyer.settle(self.now);
    }

    /// The instant that was reached; everything before it has been handed out.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// What the market consists of.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The ad buyer.
    pub fn buyer(&self) -> &AdBuyer {
        &self.buyer
    }

    /// The ad buyer, to give it commands.
    pub fn buyer_mut(&mut self) -> &mut AdBuyer {
        &mut self.buyer
    }

    /// Answers and reports of the ad buyer up to `until`, each once.
    pub fn take_feedback(&mut self, until: Millis) -> Vec<Fact> {
        self.buyer.take_feedback(until)
    }

    /// What is said of the weather up to `until`, for `ads.context`, each once: hour by hour, for each place of the campaigns.
    pub fn take_context(&mut self, until: Millis) -> Vec<Fact> {
        let count = self.context.partition_point(|signal| signal.issued_at <= until);
        self.context.drain(..count).map(|signal| Fact::ContextSignal(Box::new(signal))).collect()
    }

    /// Sums per campaign and minute of everything handed out.
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Events handed out.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What was billed so far, over all campaigns, each in its own currency.
    pub fn spend_micros(&self) -> i64 {
        self.sums.iter().map(|sums| sums.spend_micros).sum()
    }

    /// Spend, budget and results so far; before the scenario's end the budget is its planned share.
    pub fn totals(&self) -> Totals {
        let campaigns = self.lanes.iter().zip(&self.sums).zip(&self.scenario.campaigns).map(|((lane, sums), world)| {
            let mut shape = LocalShape::new(&world.spec.time_zone);
            let until = self.now.min(self.scenario.end_ms);
            let budget = planned_micros(&world.spec, &mut shape, self.scenario.start_ms, until);
            sums.clone().finished(budget, &lane.expected)
        });
        Totals::over(campaigns.collect(), &self.scenario.exchange_ppm)
    }

    fn hand_out(&mut self, sink: &mut impl Sink) {
        self.step.sort_unstable();
        for due in self.step.drain(..) {
            let number = due.lane as usize;
            let record = match due.kind {
                EventKind::Impression => Record::Impression(self.scratch.impression(&due)),
                EventKind::Click => Record::Click(self.scratch.click(&due)),
                EventKind::Conversion => Record::Conversion(self.scratch.conversion(&due)),
            };
            self.truth.add(number, due.at, due.kind, due.money_micros);
            if let Some(sums) = self.sums.get_mut(number) {
                sums.count(&record);
            }
            self.events += 1;
            sink.take(Emitted { arrived_at: due.at, record });
        }
    }
}

/// What a weather service says: each hour of each weather, at each place.
fn told_weather(scenario: &Scenario) -> VecDeque<ContextSignal> {
    let places: BTreeSet<&String> = scenario.campaigns.iter().flat_map(|world| &world.geos).collect();
    let mut told = Vec::new();
    for weather in &scenario.weather {
        let mut from = weather.from_ms;
        while from < weather.to_ms {
            let to = (from.div_euclid(HOUR_MS) + 1).saturating_mul(HOUR_MS).min(weather.to_ms);
            told.extend(places.iter().map(|place| ContextSignal {
                signal_id: format!("{place}/{from}"),
                kind: "weather".into(),
                scope: BTreeMap::from([("geo".to_owned(), (*place).clone())]),
                valid_from: from,
                valid_to: to,
                value_ppm: None,
                text: Some(weather.word.clone()),
                source: "market".into(),
                issued_at: from.saturating_sub(weather.told_before_ms),
            }));
            from = to;
        }
    }
    told.sort_by_key(|signal| signal.issued_at);
    told.into()
}
