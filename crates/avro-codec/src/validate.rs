//! What the contract asks of values beyond their types. Times are the aggregator's to judge.

use crate::limits::{EVENT_ID_BYTES_MAX, ID_BYTES_MAX};
use crate::project::Slots;
use crate::reject::Rejected;
use model::event::{Event, EventKind, Goal, Touch};
use model::fact::Fact;

/// Slots of a projection as the event of its kind, checked.
#[inline]
pub(crate) fn event<'a>(kind: EventKind, slots: &Slots<'a>) -> Result<Event<'a>, Rejected> {
    Ok(match kind {
        EventKind::Impression => Event::Impression(touch(slots)?),
        EventKind::Click => Event::Click(touch(slots)?),
        EventKind::Conversion => Event::Conversion(goal(slots)?),
    })
}

#[inline]
fn touch<'a>(slots: &Slots<'a>) -> Result<Touch<'a>, Rejected> {
    let [event_id, account_id, campaign_id, creative_id, channel, device, geo, user_key, currency, placement] =
        slots.texts;
    let [event_time, cost_micros] = slots.longs;
    Ok(Touch {
        event_id: id("event_id", event_id, EVENT_ID_BYTES_MAX)?,
        event_time,
        account_id: id("account_id", account_id, ID_BYTES_MAX)?,
        campaign_id: id("campaign_id", campaign_id, ID_BYTES_MAX)?,
        creative_id,
        channel: channel.unwrap_or_default(),
        device: device.unwrap_or_default(),
        geo: geo.unwrap_or_default(),
        user_key,
        cost_micros: money("cost_micros", cost_micros)?,
        currency: currency.unwrap_or_default(),
        placement,
    })
}

#[inline]
fn goal<'a>(slots: &Slots<'a>) -> Result<Goal<'a>, Rejected> {
    let [event_id, account_id, user_key, click_id, conversion_type, currency, campaign_id, ..] = slots.texts;
    let [event_time, value_micros] = slots.longs;
    Ok(Goal {
        event_id: id("event_id", event_id, EVENT_ID_BYTES_MAX)?,
        event_time,
        account_id: id("account_id", account_id, ID_BYTES_MAX)?,
        user_key,
        click_id,
        conversion_type: conversion_type.unwrap_or_default(),
        value_micros: money("value_micros", value_micros)?,
        currency: currency.unwrap_or_default(),
        campaign_id: campaign_id.map(|claimed| id("campaign_id", Some(claimed), ID_BYTES_MAX)).transpose()?,
    })
}

/// Ids of a fact: what the journal is keyed by must be there and bounded.
pub(crate) fn fact(fact: &Fact) -> Result<(), Rejected> {
    let (account_id, campaign_id) = match fact {
        Fact::CampaignSpec(fact) => (Some(&fact.account_id), Some(&fact.campaign_id)),
        Fact::EntitySpec(fact) => {
            id("entity_id", Some(&fact.entity_id), ID_BYTES_MAX)?;
            (Some(&fact.account_id), fact.campaign_id.as_ref())
        }
        Fact::StatsReport(fact) => (Some(&fact.account_id), Some(&fact.campaign_id)),
        Fact::Correction(fact) => (Some(&fact.account_id), Some(&fact.campaign_id)),
        Fact::ContextSignal(fact) => (fact.scope.get("account"), fact.scope.get("campaign")),
        Fact::Ack(fact) => (Some(&fact.account_id), Some(&fact.campaign_id)),
        Fact::StateReport(fact) => {
            if let Some(status) = &fact.status {
                word("status", status, &["active", "paused", "ended"])?;
            }
            (Some(&fact.account_id), Some(&fact.campaign_id))
        }
        Fact::Decision(fact) => (Some(&fact.account_id), fact.campaign_id.as_ref()),
        Fact::Halt(fact) => {
            word("action", &fact.action, &["set", "release"])?;
            word("scope", &fact.scope, &["global", "account", "campaign", "integrity"])?;
            if fact.account_id.is_none() && !["global", "integrity"].contains(&fact.scope.as_str()) {
                return Err(Rejected::invalid("account_id is null on a halt of an account or campaign"));
            }
            if fact.campaign_id.is_none() && fact.scope == "campaign" {
                return Err(Rejected::invalid("campaign_id is null on a halt of a campaign"));
            }
            (fact.account_id.as_ref(), fact.campaign_id.as_ref())
        }
        Fact::PolicyVersion(fact) => {
            id("name", Some(&fact.name), ID_BYTES_MAX)?;
            (None, None)
        }
    };
    for (name, value) in [("account_id", account_id), ("campaign_id", campaign_id)] {
        if let Some(value) = value {
            id(name, Some(value), ID_BYTES_MAX)?;
        }
    }
    Ok(())
}

#[inline(always)]
fn id<'a>(name: &'static str, value: Option<&'a str>, bytes_max: usize) -> Result<&'a str, Rejected> {
    let value = value.unwrap_or_default();
    // One comparison for empty and for too long: zero wraps to the greatest number.
    if value.len().wrapping_sub(1) < bytes_max { Ok(value) } else { Err(bad_id(name, value.len(), bytes_max)) }
}

/// A word that decides what is stopped must be one that is known: another is neither a yes nor a no.
fn word(name: &'static str, found: &str, known: &[&str]) -> Result<(), Rejected> {
    if known.contains(&found) {
        return Ok(());
    }
    Err(Rejected::invalid(format!("{name} is none of {}", known.join(", "))))
}

#[cold]
fn bad_id(name: &str, bytes: usize, bytes_max: usize) -> Rejected {
    Rejected::invalid(match bytes {
        0 => format!("{name} is empty"),
        _ => format!("{name} has {bytes} bytes, limit {bytes_max}"),
    })
}

#[inline(always)]
fn money(name: &'static str, micros: i64) -> Result<i64, Rejected> {
    if micros >= 0 { Ok(micros) } else { Err(negative(name)) }
}

#[cold]
fn negative(name: &str) -> Rejected {
    Rejected::invalid(format!("{name} is negative"))
}
