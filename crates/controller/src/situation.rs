//! A campaign as users' rules see it: what belief, ledger and picture say, by the rules' names.

use crate::calendar::minute_index;
use crate::campaign::{FLIGHT, Live};
use crate::ledger::CampaignLedger;
use crate::measures::*;
use crate::pacing::{Pacing, assumed_bid, bid_ceiling};
use crate::picture::{Picture, local_day};
use crate::rows::window_sums;
use model::time::{DAY_MS, HOUR_MS, Millis};
use policy::gates::Freshness;
use policy::rule::{Figures, Situation, WINDOWS, Window};

/// What surrounds a campaign that rules are asked about.
pub struct Asked<'a> {
    pub account_id: &'a str,
    pub campaign_id: &'a str,
    pub live: &'a Live,
    pub pacing: &'a Pacing,
    pub picture: &'a Picture,
    pub ledger: &'a CampaignLedger,
    pub freshness: Freshness,
    /// Windows that some rule reads.
    pub windows: &'a [bool; WINDOWS.len()],
    /// Chance of the campaign's goal.
    pub goal_chance: Option<f64>,
}

/// What rules are told. Figures of windows are absent while the data are too old to decide on, and before the first ones.
pub fn situation<'a>(asked: &Asked<'a>) -> Situation<'a> {
    let Asked { live, pacing, picture, ledger, .. } = asked;
    let spec = &live.spec;
    let positive = |value: i64| Some(value).filter(|value| *value > 0);
    let is_seen = picture.watermark.is_some() && asked.freshness != Freshness::Dead;
    let figures = |window: Window| {
        let wanted = is_seen && asked.windows[window as usize];
        wanted.then(|| {
            Figures::of(window_sums(live, &sums(window, live, picture), CREDITS_CONVERSION_TIME), spec.margin_ppm)
        })
    };
    Situation {
        now_ms: picture.now,
        account_id: asked.account_id,
        campaign_id: asked.campaign_id,
        name: &spec.name,
        channel: &spec.channel,
        platform: spec.platform.as_deref(),
        currency: &spec.currency,
        status: &spec.status,
        mode: &spec.mode,
        strategy: &spec.bid_strategy,
        labels: &spec.labels,
        paused: ledger.is_paused(),
        target_cpa_micros: spec.target_cpa_micros,
        target_roas_ppm: spec.target_roas_ppm,
        bid_micros: assumed_bid(live, ledger),
        bid_min_micros: positive(spec.bid_min_micros),
        bid_max_micros: positive(bid_ceiling(spec)),
        budget_day_micros: picture.budget.ok(),
        exposed_micros: picture.exposure.exposed_micros(),
        plan_share: picture.plan.as_ref().ok().map(|plan| plan.share_by(picture.seen_until)),
        pace: pacing.pace.as_str(),
        goal_chance: asked.goal_chance,
        local_hour: local_hour(live, picture),
        weekday: picture.day.weekday,
        days_running: pacing.first_event.map_or(0, |first| picture.now.saturating_sub(first).max(0) / DAY_MS),
        flight_end_ms: spec.flight_end,
        windows: WINDOWS.map(figures),
    }
}

fn sums(window: Window, live: &Live, picture: &Picture) -> Measures {
    let today = &picture.day;
    // Noon of the day so many days before is on that day whatever the clocks do in between.
    let day_before = |days: Millis| {
        live.calendar.day_of(today.start.saturating_sub(days * DAY_MS).saturating_add(DAY_MS / 2)).index()
    };
    let days = |days: Millis| live.days.sum(day_before(days)..today.index());
    match window {
        Window::Hour => picture.window(live, HOUR_MS, Millis::MIN / 2).sums,
        Window::Hours24 => picture.window(live, DAY_MS, Millis::MIN / 2).sums,
        Window::Today => live.days.get(today.index()).unwrap_or(NONE),
        Window::Yesterday => days(1),
        Window::Days7 => days(7),
        Window::Days28 => days(28),
        Window::Flight => live.totals.get(FLIGHT).unwrap_or(NONE),
    }
}

fn local_hour(live: &Live, picture: &Picture) -> Option<i64> {
    let zone = live.calendar.zone_at(picture.now)?;
    let hours = zone.local_hours(&local_day(&picture.day));
    let hour = hours.iter().rev().find(|hour| hour.start_ms <= picture.now)?;
    Some(i64::try_from(hour.hour_of_week()).unwrap_or(0) % 24)
}

/// Closed local days up to a watermark, oldest first, without the first, of which only a part was seen.
pub fn closed_days(live: &Live, first_event: Option<Millis>, seen_until: Millis, most: usize) -> Vec<Measures> {
    let today = live.calendar.day_of(seen_until);
    let Some(first_event) = first_event else { return Vec::new() };
    let mut days = Vec::new();
    for back in 1..=most {
        let noon = today.start.saturating_sub(back as Millis * DAY_MS).saturating_add(DAY_MS / 2);
        let day = live.calendar.day_of(noon);
        if day.start < first_event {
            break;
        }
        days.push(live.days.get(minute_index(day.start)).unwrap_or(NONE));
    }
    days.reverse();
    days
}
