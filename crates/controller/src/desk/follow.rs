//! What a campaign's days have shown of its hours, values, weather and places, taken up once a local day.
//!
//! What always holds: days on which tracking was broken teach nothing; nothing is asked twice in a day, but for places of
//! which nothing is known yet.

use crate::belief::Account;
use crate::breakdown::{Breakdown, Sums as DimensionSums};
use crate::by_value::Look;
use crate::by_weather;
use crate::campaign::Live;
use crate::hour_table::has_factors;
use crate::ledger::CampaignLedger;
use crate::pacing::Pacing;
use crate::picture::Picture;
use crate::surroundings::PLACES_MAX;
use model::WHOLE_PPM;
use model::marginal::{NOT_KEPT, OTHER, dimension_named};
use model::time::{HOUR_MS, Millis};
use policy::settings::Settings;
use std::sync::Arc;
/// Once a local day: what the hours have shown since; nothing, where tracking was broken meanwhile.
pub(super) fn follow_hours(
    live: &mut Live,
    pacing: &Pacing,
    account: Option<&Account>,
    picture: &Picture,
    settings: &Settings,
) {
    let by_value = live.goes_for_value();
    let Some(account) = account else { return };
    let Some(by_hour) = live.by_hour.as_mut() else { return };
    if by_hour.is_due(&picture.day, picture.now, &settings.modifiers) {
        let is_doubted = pacing.hours.as_ref().is_some_and(|hours| hours.doubts(by_hour.seen_until()));
        if is_doubted || by_hour.is_spoiled() {
            return by_hour.pass_over(picture.day.date, picture.seen_until);
        }
        let seen = account.development.seen_share(picture.seen_until, &settings.target);
        by_hour.evaluate(picture.day.date, picture.seen_until, &seen, by_value, &settings.modifiers);
    }
}

/// The same by the values of dimensions, at the same instant.
pub(super) fn follow_values(
    live: &mut Live,
    pacing: &Pacing,
    account: Option<&Account>,
    picture: &Picture,
    settings: &Settings,
) {
    let instant = picture.day.start.saturating_add(settings.modifiers.local_hour.clamp(0, 23) * HOUR_MS);
    let (date, breakdown) = (picture.day.date, live.breakdown.clone());
    let (Some(account), Some(breakdown)) = (account, breakdown.filter(|_| has_factors(&live.spec))) else { return };
    if picture.now < instant || live.by_value.as_ref().is_some_and(|by_value| by_value.is_evaluated(date)) {
        return;
    }
    let around = live.surroundings.clone().unwrap_or_default();
    let mut by_value = live.by_value.take().unwrap_or_default();
    let before = by_value.seen_until();
    let look = Look {
        date,
        seen_until: picture.seen_until,
        seen: &account.development.seen_share(picture.seen_until, &settings.target),
        calendar: &live.calendar,
        by_impression: live.pays_for_impressions(),
        unit: live.by_hour.as_ref().filter(|_| live.goes_for_value()).and_then(|by_hour| by_hour.unit()),
        is_believed: !pacing.hours.as_ref().is_some_and(|hours| hours.doubts(before)),
        is_excluded: &|from, to| around.is_excluded(from, to),
        settings: &settings.modifiers,
    };
    Arc::make_mut(&mut by_value).evaluate(&look, &breakdown, &live.spec);
    live.by_value = Some(by_value);
}

/// The same by weather.
pub(super) fn follow_weather(
    live: &mut Live,
    pacing: &Pacing,
    account: Option<&Account>,
    picture: &Picture,
    settings: &Settings,
) {
    let (by_impression, by_value) = (live.pays_for_impressions(), live.goes_for_value());
    let Some(account) = account else { return };
    let Some(by_weather) = live.by_weather.as_mut() else { return };
    if !by_weather.is_due(&picture.day, picture.now, &settings.modifiers) {
        return;
    }
    let before = by_weather.seen_until();
    Arc::make_mut(by_weather).evaluate(&by_weather::Look {
        date: picture.day.date,
        seen_until: picture.seen_until,
        seen: &account.development.seen_share(picture.seen_until, &settings.target),
        by_impression,
        by_value,
        is_believed: !pacing.hours.as_ref().is_some_and(|hours| hours.doubts(before)),
        settings: &settings.modifiers,
    });
}

/// Where clicks are made: asked once a local day, and until something is known.
pub(super) fn follow_places(live: &mut Live, picture: &Picture) {
    let is_due = live.places.is_empty() || live.places_asked != Some(picture.day.date);
    let Some(breakdown) = live.breakdown.clone().filter(|_| is_due) else { return };
    live.places_asked = Some(picture.day.date);
    let places = places_of(&breakdown, picture.day.date);
    if places != live.places {
        live.places = places;
        live.forget_surroundings();
    }
}

/// The places of most clicks of two weeks, with their parts; impressions where nothing is clicked.
fn places_of(breakdown: &Breakdown, today: i32) -> Vec<(Box<str>, f32)> {
    let Some(geo) = dimension_named("geo") else { return Vec::new() };
    let sums = breakdown.sums_since(geo, today.saturating_sub(14));
    let clicks: i64 = sums.values().map(|sums| sums.clicks.max(0)).fold(0, i64::saturating_add);
    let count = |sums: &DimensionSums| if clicks > 0 { sums.clicks.max(0) } else { sums.impressions.max(0) };
    let all = sums.values().map(count).fold(0, i64::saturating_add).max(1) as f64;
    let told = sums.iter().filter(|(place, sums)| is_told(place) && count(sums) > 0);
    // In hundredths: shares that move a little move nothing.
    let share = |sums: &DimensionSums| (libm::round(count(sums) as f64 / all * 100.0) / 100.0) as f32;
    let mut places: Vec<(Box<str>, f32)> = told.map(|(place, sums)| (place.as_str().into(), share(sums))).collect();
    places.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    places.truncate(PLACES_MAX);
    places
}

fn is_told(place: &str) -> bool {
    !place.is_empty() && place != OTHER && place != NOT_KEPT
}

/// The factor that holds under each weather, or last did, where it is still wanted.
pub(super) fn weather_factors(live: &Live, ledger: &CampaignLedger, now: Millis) -> Vec<(Box<str>, i64)> {
    let Some(by_weather) = &live.by_weather else { return Vec::new() };
    let holding = live.around().weather_at(now);
    let own = ledger.values.iter().filter(|((name, _), _)| name == by_weather::DIMENSION);
    let factor = own.filter_map(|((_, word), slot)| {
        let in_force = slot.assumed().first().copied().unwrap_or(WHOLE_PPM);
        let is_wanted = by_weather.wanted(word) != 1.0 && slot.reached > 0;
        let ppm = match holding == Some(word.as_str()) {
            true => in_force,
            false if is_wanted => slot.reached,
            false => WHOLE_PPM,
        };
        (ppm != WHOLE_PPM).then(|| (word.as_str().into(), ppm))
    });
    factor.collect()
}
