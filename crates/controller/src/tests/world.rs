//! A journal written by hand: cuts in, outputs kept as a subscriber would keep them.

use crate::{Authority, Controller, JournalPosition, Outputs, Setup};
use model::fact::{Ack, CampaignSpec, Fact};
use model::journal::{CopiedFact, Delta, JournalRecord, NO_TOUCH, NO_WATERMARK, Range};
use model::output::{Adjustment, KpiRow};
use model::time::{DAY_MS, MINUTE_MS, Millis};
use std::collections::BTreeMap;

/// Monday 2026-03-02, 00:00 UTC.
pub const MONDAY: Millis = 20_514 * DAY_MS;

/// Writes records whose ranges follow each other.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    next: BTreeMap<&'static str, i64>,
    epoch: i64,
}

/// One delta with its words.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub campaign: &'static str,
    pub currency: Option<&'static str>,
    pub conversion_type: &'static str,
    pub delta: Delta,
}

/// A controller with a subscriber.
pub struct World {
    pub controller: Controller,
    pub journal: Journal,
    pub offset: i64,
    pub rows: BTreeMap<(String, String, Millis, String), KpiRow>,
    pub outputs: Vec<Outputs>,
}

pub fn setup() -> Setup {
    Setup { build: "test".into(), tzdb: "test".into(), minute_rows: true, ..Setup::default() }
}

pub fn spec(campaign: &str, version: i64) -> CampaignSpec {
    CampaignSpec {
        campaign_id: campaign.into(),
        account_id: "acme".into(),
        version,
        name: campaign.into(),
        channel: "search".into(),
        status: "active".into(),
        time_zone: "UTC".into(),
        currency: "EUR".into(),
        daily_cap: "hard".into(),
        bid_control: "paceline".into(),
        budget_control: "none".into(),
        bid_strategy: "max_clicks".into(),
        attribution_model: "last".into(),
        spend_source: "events".into(),
        mode: "auto".into(),
        ..CampaignSpec::default()
    }
}

pub fn specified(spec: CampaignSpec) -> Fact {
    Fact::CampaignSpec(Box::new(spec))
}

/// An answer of the ad-buying system, with the value that it found where it tells one.
pub fn acked(command: &Adjustment, result: &str, found: Option<i64>) -> Fact {
    Fact::Ack(Box::new(Ack {
        command_id: command.command_id.clone(),
        account_id: command.account_id.clone(),
        campaign_id: command.campaign_id.clone(),
        sequence: command.sequence,
        result: result.into(),
        found_value_micros: found,
        actor: "paceline".into(),
        ..Ack::default()
    }))
}

pub fn applied(command: &Adjustment) -> Fact {
    acked(command, "applied", None)
}

pub fn touches(campaign: &'static str, at: Millis, impressions: i64, clicks: i64, spend_micros: i64) -> Row {
    let delta = Delta {
        minute: at / MINUTE_MS,
        touch_minute: NO_TOUCH,
        impressions,
        clicks,
        billable: clicks,
        spend_micros,
        ..Delta::default()
    };
    Row { campaign, delta, ..Row::default() }
}

pub fn claimed(campaign: &'static str, at: Millis, conversion_type: &'static str, value_micros: i64) -> Row {
    let delta =
        Delta { minute: at / MINUTE_MS, touch_minute: NO_TOUCH, conversions: 1, value_micros, ..Delta::default() };
    Row { campaign, conversion_type, delta, ..Row::default() }
}

pub fn credit(campaign: &'static str, at: Millis, touched: Millis, conversions_micro: i64, value_micros: i64) -> Row {
    let delta = Delta {
        minute: at / MINUTE_MS,
        touch_minute: touched / MINUTE_MS,
        last_conversions_micro: conversions_micro,
        last_value_micros: value_micros,
        linear_conversions_micro: conversions_micro / 2,
        linear_value_micros: value_micros / 2,
        ..Delta::default()
    };
    Row { campaign, conversion_type: "purchase", delta, ..Row::default() }
}

impl Journal {
    /// The record of one cut; the clock is the time of the record.
    pub fn cut(&mut self, clock: Millis, watermark: Millis, rows: &[Row], facts: &[Fact]) -> JournalRecord {
        self.epoch += 1;
        let mut ranges = Vec::new();
        for topic in ["ads.clicks", "ads.conversions", "ads.impressions"] {
            ranges.push(self.range(topic, rows.len() as i64, watermark));
        }
        if !facts.is_empty() {
            ranges.push(self.range("ads.campaigns", facts.len() as i64, NO_WATERMARK));
        }
        let mut dictionary: Vec<String> = vec![String::new(), "acme".into()];
        let mut code = |word: &str| {
            let at = dictionary.iter().position(|known| known == word).unwrap_or(dictionary.len());
            if at == dictionary.len() {
                dictionary.push(word.into());
            }
            at as i32
        };
        let deltas = rows.iter().map(|row| Delta {
            account: 1,
            campaign: code(row.campaign),
            currency: code(row.currency.unwrap_or("EUR")),
            conversion_type: code(row.conversion_type),
            ..row.delta.clone()
        });
        let deltas = deltas.collect();
        let first = self.next.get("ads.campaigns").map_or(0, |next| next - facts.len() as i64);
        let facts = facts.iter().enumerate().map(|(at, fact)| CopiedFact {
            topic: "ads.campaigns".into(),
            partition: 0,
            offset: first + at as i64,
            timestamp: clock,
            record: fact.clone(),
        });
        JournalRecord {
            worker: "w0".into(),
            epoch: self.epoch,
            parts: 1,
            clock,
            ranges,
            dictionary,
            deltas,
            facts: facts.collect(),
            ..JournalRecord::default()
        }
    }

    fn range(&mut self, topic: &'static str, count: i64, watermark: Millis) -> Range {
        let next = self.next.entry(topic).or_insert(100);
        let from = *next;
        *next += count;
        Range { topic: topic.into(), partition: 0, from, to: *next, watermark, idle: false, epoch: self.epoch }
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Controller::new(setup()))
    }

    pub fn with(controller: Controller) -> Self {
        let offset = controller.next_offset();
        Self { controller, journal: Journal::default(), offset, rows: BTreeMap::new(), outputs: Vec::new() }
    }

    /// Feeds a cut; the watermark stands five seconds behind the clock.
    pub fn feed(&mut self, clock: Millis, rows: &[Row], facts: &[Fact]) -> Outputs {
        self.feed_behind(clock, clock - 5_000, rows, facts)
    }

    pub fn feed_behind(&mut self, clock: Millis, watermark: Millis, rows: &[Row], facts: &[Fact]) -> Outputs {
        let record = self.journal.cut(clock, watermark, rows, facts);
        self.apply(clock, &record)
    }

    pub fn apply(&mut self, timestamp_ms: Millis, record: &JournalRecord) -> Outputs {
        let at = JournalPosition { offset: self.offset, timestamp_ms };
        self.offset += 1;
        let outputs = self.controller.apply(at, record, Authority::Decide);
        for row in &outputs.kpis {
            let key = (row.campaign_id.clone(), row.granularity.clone(), row.window_start, row.basis.clone());
            if let Some(before) = self.rows.insert(key, row.clone()) {
                assert!(before.revision < row.revision, "a replacement has a higher revision");
            }
        }
        self.outputs.push(outputs.clone());
        outputs
    }

    /// The last revision of a row.
    pub fn row(&self, campaign: &str, granularity: &str, start: Millis, basis: &str) -> Option<&KpiRow> {
        self.rows.get(&(campaign.into(), granularity.into(), start, basis.into()))
    }

    /// Rows without what depends on when they were written.
    pub fn final_rows(&self) -> Vec<KpiRow> {
        let plain = |row: &KpiRow| KpiRow {
            revision: 0,
            watermark: 0,
            journal_offset: 0,
            matured_ppm: None,
            plan_micros: None,
            pace: String::new(),
            binding: String::new(),
            ..row.clone()
        };
        self.rows.values().map(plain).collect()
    }

    pub fn alerts(&self, kind: &str) -> Vec<String> {
        let alerts = self.outputs.iter().flat_map(|outputs| &outputs.alerts);
        alerts.filter(|alert| alert.kind == kind).map(|alert| alert.state.clone()).collect()
    }
}
