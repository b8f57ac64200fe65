//! How long the loop stands still for a snapshot of one journal partition: `snapshot_pause [CAMPAIGNS]`.
//!
//! Half a month of hours and an hour of minutes in every campaign, with commands and alerts. Printed: the time to freeze
//! (in the loop), to encode (on the writer's thread), and what the first look at all campaigns costs while a frozen copy
//! is alive.

// A measurement reads a clock.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use controller::{Authority, Controller, JournalPosition, Setup};
use model::fact::{CampaignSpec, Fact};
use model::journal::{CopiedFact, Delta, JournalRecord, NO_TOUCH, Range};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use std::time::Instant;

const MONDAY: Millis = 20_514 * DAY_MS;
const ACCOUNTS: usize = 20;

fn main() {
    let campaigns: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(10_000);
    let mut journal = Journal { campaigns, epoch: 0, offset: 0, clicks: 0 };
    let mut controller = Controller::new(Setup { build: "example".into(), ..Setup::default() });
    journal.apply(&mut controller, MONDAY, |_| None);
    for hour in (0..15 * 24).step_by(3) {
        journal.apply(&mut controller, MONDAY + hour * HOUR_MS + MINUTE_MS, |at| Some(40_000 + at as i64));
    }
    for minute in 0..60 {
        let now = MONDAY + 15 * DAY_MS + minute * MINUTE_MS;
        journal.apply(&mut controller, now, |at| Some(20_000 + at as i64));
    }
    let commands: usize = controller.view().campaigns().count();
    let mut freezes = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let frozen = controller.freeze();
        freezes.push(started.elapsed());
        drop(frozen);
    }
    freezes.sort();
    let frozen = controller.freeze();
    let started = Instant::now();
    let bytes = frozen.encode();
    let encoded = started.elapsed();
    let now = MONDAY + 15 * DAY_MS + HOUR_MS;
    let look = |journal: &mut Journal, controller: &mut Controller, now| {
        let started = Instant::now();
        journal.apply(controller, now, |_| None);
        started.elapsed()
    };
    let shared = look(&mut journal, &mut controller, now);
    drop(frozen);
    let alone = look(&mut journal, &mut controller, now + MINUTE_MS);
    println!(
        "{commands} campaigns: freeze median {:.2?}, worst {:.2?}; encode {encoded:.1?} to {} kB; a minute's look at all \
         {alone:.1?}, while a copy lives {shared:.1?}",
        freezes[freezes.len() / 2],
        freezes[freezes.len() - 1],
        bytes.len() / 1_000,
    );
}

struct Journal {
    campaigns: usize,
    epoch: i64,
    offset: i64,
    clicks: i64,
}

impl Journal {
    /// One cut with a row for each campaign that spends something; the first brings the specifications.
    fn apply(&mut self, controller: &mut Controller, now: Millis, spend: impl Fn(usize) -> Option<i64>) {
        let mut dictionary = vec![String::new(), "EUR".to_owned()];
        dictionary.extend((0..ACCOUNTS).map(|account| format!("account-{account}")));
        dictionary.extend((0..self.campaigns).map(campaign_id));
        let deltas = (0..self.campaigns).filter_map(|at| {
            let spend_micros = spend(at)?;
            Some(Delta {
                account: 2 + (at % ACCOUNTS) as i32,
                campaign: (2 + ACCOUNTS + at) as i32,
                currency: 1,
                minute: now / MINUTE_MS - 1,
                touch_minute: NO_TOUCH,
                impressions: 40,
                clicks: 2,
                billable: 2,
                spend_micros,
                ..Delta::default()
            })
        });
        let deltas: Vec<Delta> = deltas.collect();
        let first = self.epoch == 0;
        let specs = (0..self.campaigns).filter(|_| first).map(|at| CopiedFact {
            topic: "ads.campaigns".into(),
            partition: 0,
            offset: at as i64,
            timestamp: now,
            record: Fact::CampaignSpec(Box::new(spec(at))),
        });
        self.epoch += 1;
        let from = self.clicks;
        self.clicks += deltas.len() as i64;
        let range = |topic: &str| Range {
            topic: topic.into(),
            from,
            to: self.clicks,
            watermark: now - 5_000,
            epoch: self.epoch,
            ..Range::default()
        };
        let record = JournalRecord {
            parts: 1,
            clock: now,
            ranges: ["ads.clicks", "ads.conversions", "ads.impressions"].map(range).to_vec(),
            facts: specs.collect(),
            dictionary,
            deltas,
            ..JournalRecord::default()
        };
        controller.apply(JournalPosition { offset: self.offset, timestamp_ms: now }, &record, Authority::Decide);
        self.offset += 1;
    }
}

fn campaign_id(at: usize) -> String {
    format!("campaign-{at:05}")
}

fn spec(at: usize) -> CampaignSpec {
    CampaignSpec {
        campaign_id: campaign_id(at),
        account_id: format!("account-{}", at % ACCOUNTS),
        version: 1,
        name: campaign_id(at),
        channel: "search".into(),
        status: "active".into(),
        time_zone: "Europe/Berlin".into(),
        currency: "EUR".into(),
        daily_budget_micros: Some(1_000_000 * (1 + at as i64 % 40)),
        daily_cap: "hard".into(),
        bid_control: "paceline".into(),
        budget_control: "none".into(),
        bid_strategy: "max_clicks".into(),
        bid_micros: 20_000,
        bid_min_micros: 2_000,
        bid_max_micros: 200_000,
        bid_step_micros: 100,
        attribution_model: "last".into(),
        spend_source: "events".into(),
        mode: "auto".into(),
        ..CampaignSpec::default()
    }
}
