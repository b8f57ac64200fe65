//! Turns events without strings into full records, in place.

use crate::emit::{push_hex, set, some};
use crate::lane::{CREATIVES, DEVICES, Due, Origin, PLACEMENTS, geo_of};
use crate::random::{Draws, mix};
use crate::scenario::Scenario;
use model::event::{Click, Conversion, Impression};
use model::fact::CampaignSpec;

/// Records that are written over and over again.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    lanes: Vec<Names>,
    /// Of the seed and the start: ids of two runs do not meet by accident.
    tag: u32,
    consent_share: f64,
    seed: u64,
    impression: Impression,
    click: Click,
    conversion: Conversion,
}

/// What all records of a campaign have in common.
#[derive(Clone, Debug)]
struct Names {
    spec: CampaignSpec,
    conversion_type: String,
    geos: Vec<String>,
}

impl Scratch {
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let lanes = scenario.campaigns.iter().map(|world| Names {
            spec: world.spec.clone(),
            conversion_type: world.conversion_type.clone(),
            geos: world.geos.clone(),
        });
        Self {
            lanes: lanes.collect(),
            tag: mix(seed ^ mix(scenario.start_ms as u64)) as u32,
            consent_share: scenario.people.consent_share,
            seed,
            impression: Impression::default(),
            click: Click::default(),
            conversion: Conversion::default(),
        }
    }

    pub(crate) fn impression(&mut self, due: &Due) -> &Impression {
        let names = &self.lanes[due.lane as usize];
        let event = &mut self.impression;
        push_id(&mut event.event_id, 'i', self.tag, due.lane, &due.origin);
        event.event_time = due.at;
        set(&mut event.account_id, &names.spec.account_id);
        set(&mut event.campaign_id, &names.spec.campaign_id);
        set(some(&mut event.creative_id), CREATIVES[usize::from(due.creative)]);
        set(&mut event.channel, &names.spec.channel);
        event.platform.clone_from(&names.spec.platform);
        set(&mut event.device, DEVICES[usize::from(due.device)]);
        set(&mut event.geo, geo_of(due.user, &names.geos));
        push_user(&mut event.user_key, due.user, self.seed, self.consent_share);
        event.cost_micros = due.money_micros;
        set(&mut event.currency, &names.spec.currency);
        set(some(&mut event.placement), PLACEMENTS[usize::from(due.placement)]);
        event
    }

    pub(crate) fn click(&mut self, due: &Due) -> &Click {
        let names = &self.lanes[due.lane as usize];
        let event = &mut self.click;
        push_id(&mut event.event_id, 'c', self.tag, due.lane, &due.origin);
        event.event_time = due.at;
        set(&mut event.account_id, &names.spec.account_id);
        set(&mut event.campaign_id, &names.spec.campaign_id);
        set(&mut event.channel, &names.spec.channel);
        event.platform.clone_from(&names.spec.platform);
        set(&mut event.device, DEVICES[usize::from(due.device)]);
        set(&mut event.geo, geo_of(due.user, &names.geos));
        push_user(&mut event.user_key, due.user, self.seed, self.consent_share);
        event.cost_micros = due.money_micros;
        set(&mut event.currency, &names.spec.currency);
        if names.spec.channel == "owned" {
            (event.creative_id, event.placement, event.impression_id) = (None, None, None);
            set(some(&mut event.landing), "webinar");
        } else {
            set(some(&mut event.creative_id), CREATIVES[usize::from(due.creative)]);
            set(some(&mut event.placement), PLACEMENTS[usize::from(due.placement)]);
            push_id(some(&mut event.impression_id), 'i', self.tag, due.lane, &due.origin);
            set(some(&mut event.landing), "shop");
        }
        event
    }

    pub(crate) fn conversion(&mut self, due: &Due) -> &Conversion {
        let names = &self.lanes[due.lane as usize];
        let event = &mut self.conversion;
        push_id(&mut event.event_id, 'v', self.tag, due.lane, &due.origin);
        event.event_time = due.at;
        set(&mut event.account_id, &names.spec.account_id);
        push_user(&mut event.user_key, due.user, self.seed, self.consent_share);
        push_id(some(&mut event.click_id), 'c', self.tag, due.lane, &due.origin);
        push_id(some(&mut event.order_id), 'o', self.tag, due.lane, &due.origin);
        set(&mut event.conversion_type, &names.conversion_type);
        event.value_micros = due.money_micros;
        set(&mut event.currency, &names.spec.currency);
        set(some(&mut event.campaign_id), &names.spec.campaign_id);
        event
    }
}

/// Letter, run, campaign, opportunity: unique in a run and at most 41 bytes.
fn push_id(text: &mut String, letter: char, tag: u32, lane: u32, origin: &Origin) {
    text.clear();
    text.push(letter);
    push_hex(text, u64::from(tag));
    for part in [u64::from(lane), u64::from(origin.lane), origin.minute as u64, u64::from(origin.index)] {
        text.push('-');
        push_hex(text, part);
    }
}

/// A person's key, the same in all accounts; none where the person did not consent.
fn push_user(key: &mut Option<String>, user: u64, seed: u64, consent_share: f64) {
    if Draws::keyed(seed, CONSENT, user, 0).unit() >= consent_share {
        *key = None;
        return;
    }
    let text = some(key);
    text.push('u');
    push_hex(text, mix(user) >> 16);
}

/// Tells the draws of consent apart.
const CONSENT: u64 = 0x636f_6e73_656e_7421;
