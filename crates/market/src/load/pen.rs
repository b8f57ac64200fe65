//! What event `n` of a load is, and its record; computed from the seed and `n`, remembered nowhere.

use super::LoadScenario;
use crate::emit::{Record, push_hex, set, some};
use crate::random::{Draws, mix, unit_of};
use model::event::{Click, Conversion, EventKind, Impression};
use model::time::Millis;

/// Writes events into records that are used over and over again.
#[derive(Clone, Debug)]
pub(super) struct Pen {
    seed: u64,
    tag: u32,
    campaign_ids: Vec<String>,
    account_ids: Vec<String>,
    impression: Impression,
    click: Click,
    conversion: Conversion,
}

/// What an event is, without its strings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: EventKind,
    pub(super) campaign: u32,
    user: u64,
    /// The event that it goes back to: an impression's own number, a click's impression, a conversion's click.
    origin: u64,
    pub(super) money_micros: i64,
}

impl Pen {
    pub(super) fn new(scenario: &LoadScenario, seed: u64) -> Self {
        Self {
            seed,
            tag: mix(seed ^ mix(scenario.start_ms as u64)) as u32,
            campaign_ids: (0..scenario.campaigns.max(1)).map(|campaign| scenario.campaign_id(campaign)).collect(),
            account_ids: (0..scenario.campaigns.max(1)).map(|campaign| scenario.account_id(campaign)).collect(),
            impression: Impression { currency: "EUR".into(), ..Impression::default() },
            click: Click { currency: "EUR".into(), ..Click::default() },
            conversion: Conversion {
                currency: "EUR".into(),
                conversion_type: "purchase".into(),
                ..Conversion::default()
            },
        }
    }

    fn kind(&self, scenario: &LoadScenario, number: u64) -> EventKind {
        let draw = Draws::keyed(self.seed, KIND, number, 0).below(1_000_000) as u32;
        if draw < scenario.conversion_ppm {
            EventKind::Conversion
        } else if draw < scenario.conversion_ppm.saturating_add(scenario.click_ppm) {
            EventKind::Click
        } else {
            EventKind::Impression
        }
    }

    pub(super) fn facts(&self, scenario: &LoadScenario, number: u64) -> Facts {
        let kind = self.kind(scenario, number);
        let origin = match kind {
            EventKind::Impression => number,
            EventKind::Click => self.look_back(scenario, number, CLICK_LOOK_BACK_S, EventKind::Impression),
            EventKind::Conversion => self.look_back(scenario, number, CONVERSION_LOOK_BACK_S, EventKind::Click),
        };
        // A conversion's person and campaign are those of its click, hence of that click's impression.
        let person = if kind == EventKind::Conversion && origin != number {
            self.look_back(scenario, origin, CLICK_LOOK_BACK_S, EventKind::Impression)
        } else {
            origin
        };
        let mut draws = Draws::keyed(self.seed, PERSON, person, 0);
        let (campaign, user) =
            (skewed(&mut draws, u64::from(scenario.campaigns.max(1))), skewed(&mut draws, scenario.users));
        let worth = Draws::keyed(self.seed, MONEY, number, 0).word();
        let money_micros = match kind {
            EventKind::Impression => 500 + (worth % 4_000) as i64,
            EventKind::Click => 0,
            EventKind::Conversion => 5_000_000 + (worth % 95_000_000) as i64,
        };
        // One campaign in four pays for its clicks as well.
        let money_micros = if kind == EventKind::Click && campaign % 4 == 0 {
            50_000 + (worth % 400_000) as i64
        } else {
            money_micros
        };
        Facts { kind, campaign: campaign as u32, user, origin, money_micros }
    }

    /// The nearest event of a kind at or before a random instant within the last `seconds`; itself where there is none.
    fn look_back(&self, scenario: &LoadScenario, number: u64, seconds: u64, kind: EventKind) -> u64 {
        let span = scenario.rate_per_second.saturating_mul(seconds).clamp(1, number.max(1));
        let from = number.saturating_sub(1 + Draws::keyed(self.seed, LOOK_BACK, number, 0).below(span));
        let candidates = (from.saturating_sub(LOOK_BACK_STEPS_MAX)..=from).rev();
        candidates.filter(|_| number > 0).find(|&candidate| self.kind(scenario, candidate) == kind).unwrap_or(number)
    }

    /// The record of an event.
    pub(super) fn write(&mut self, scenario: &LoadScenario, number: u64, facts: &Facts) -> Record<'_> {
        match facts.kind {
            EventKind::Impression => Record::Impression(self.write_impression(scenario, number, facts)),
            EventKind::Click => Record::Click(self.write_click(scenario, number, facts)),
            EventKind::Conversion => Record::Conversion(self.write_conversion(scenario, number, facts)),
        }
    }

    fn write_impression(&mut self, scenario: &LoadScenario, number: u64, facts: &Facts) -> &Impression {
        let event = &mut self.impression;
        push_id(&mut event.event_id, 'i', self.tag, number);
        event.event_time = time_of(scenario, number);
        let campaign = facts.campaign as usize;
        set(&mut event.account_id, &self.account_ids[campaign]);
        set(&mut event.campaign_id, &self.campaign_ids[campaign]);
        set(some(&mut event.creative_id), CREATIVES[number as usize % CREATIVES.len()]);
        set(&mut event.channel, CHANNELS[campaign % CHANNELS.len()]);
        set(&mut event.device, DEVICES[facts.user as usize % DEVICES.len()]);
        set(&mut event.geo, GEOS[facts.user as usize % GEOS.len()]);
        push_user(&mut event.user_key, self.seed, scenario, facts.user);
        event.cost_micros = facts.money_micros;
        set(some(&mut event.placement), PLACEMENTS[number as usize % PLACEMENTS.len()]);
        event
    }

    fn write_click(&mut self, scenario: &LoadScenario, number: u64, facts: &Facts) -> &Click {
        let event = &mut self.click;
        push_id(&mut event.event_id, 'c', self.tag, number);
        event.event_time = time_of(scenario, number);
        let campaign = facts.campaign as usize;
        set(&mut event.account_id, &self.account_ids[campaign]);
        set(&mut event.campaign_id, &self.campaign_ids[campaign]);
        set(some(&mut event.creative_id), CREATIVES[facts.origin as usize % CREATIVES.len()]);
        set(&mut event.channel, CHANNELS[campaign % CHANNELS.len()]);
        set(&mut event.device, DEVICES[facts.user as usize % DEVICES.len()]);
        set(&mut event.geo, GEOS[facts.user as usize % GEOS.len()]);
        push_user(&mut event.user_key, self.seed, scenario, facts.user);
        event.cost_micros = facts.money_micros;
        set(some(&mut event.placement), PLACEMENTS[facts.origin as usize % PLACEMENTS.len()]);
        if facts.origin == number {
            event.impression_id = None;
        } else {
            push_id(some(&mut event.impression_id), 'i', self.tag, facts.origin);
        }
        event
    }

    fn write_conversion(&mut self, scenario: &LoadScenario, number: u64, facts: &Facts) -> &Conversion {
        let event = &mut self.conversion;
        push_id(&mut event.event_id, 'v', self.tag, number);
        event.event_time = time_of(scenario, number);
        let campaign = facts.campaign as usize;
        set(&mut event.account_id, &self.account_ids[campaign]);
        push_user(&mut event.user_key, self.seed, scenario, facts.user);
        if facts.origin == number {
            event.click_id = None;
        } else {
            push_id(some(&mut event.click_id), 'c', self.tag, facts.origin);
        }
        event.value_micros = facts.money_micros;
        set(some(&mut event.campaign_id), &self.campaign_ids[campaign]);
        event
    }
}

/// Event time of an event: evenly spread, whole milliseconds.
pub(super) fn time_of(scenario: &LoadScenario, number: u64) -> Millis {
    let ms = u128::from(number) * 1_000 / u128::from(scenario.rate_per_second.max(1));
    scenario.start_ms.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// A number below `bound`, small ones far more often (density of rank r about r^-2/3).
fn skewed(draws: &mut Draws, bound: u64) -> u64 {
    let unit = unit_of(draws.word());
    ((bound as f64 * unit * unit * unit) as u64).min(bound.saturating_sub(1))
}

/// Letter, run, number.
fn push_id(text: &mut String, letter: char, tag: u32, number: u64) {
    text.clear();
    text.push(letter);
    push_hex(text, u64::from(tag));
    text.push('-');
    push_hex(text, number);
}

fn push_user(key: &mut Option<String>, seed: u64, scenario: &LoadScenario, user: u64) {
    if Draws::keyed(seed, CONSENT, user, 0).below(1_000_000) as u32 >= scenario.consent_ppm {
        *key = None;
        return;
    }
    let text = some(key);
    text.push('u');
    push_hex(text, mix(user) >> 16);
}

pub(super) const CHANNELS: [&str; 6] = ["search", "social", "display", "video", "native", "shopping"];
const DEVICES: [&str; 4] = ["mobile", "desktop", "mobile", "tablet"];
const GEOS: [&str; 5] = ["DE", "FR", "GB", "US-CA", "NL"];
const CREATIVES: [&str; 4] = ["cr-0", "cr-1", "cr-2", "cr-3"];
const PLACEMENTS: [&str; 8] = ["pl-0", "pl-1", "pl-2", "pl-3", "pl-4", "pl-5", "pl-6", "pl-7"];
/// Most clicks come within a minute of the impression.
const CLICK_LOOK_BACK_S: u64 = 60;
/// Conversions look back two hours.
const CONVERSION_LOOK_BACK_S: u64 = 7_200;
/// At 2 % clicks the chance of none among so many events is below 1e-17.
const LOOK_BACK_STEPS_MAX: u64 = 2_000;
/// Tell the draws apart; 11 is the fate of an event.
const KIND: u64 = 12;
const PERSON: u64 = 13;
const MONEY: u64 = 14;
const LOOK_BACK: u64 = 15;
const CONSENT: u64 = 16;
