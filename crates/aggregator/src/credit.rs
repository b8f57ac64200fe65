//! One conversion that has waited long enough: its journey, its credits, and where it is counted if it claims nothing.

use crate::names::Names;
use crate::pending::{PendingConversion, Ripe};
use crate::semantics::Semantics;
use crate::slots::ClickSlot;
use crate::sums::{EpochSums, Measures, Row};
use crate::table::Table;
use crate::touches::{RecalledTouches, Touches};
use attribution::{Journey, Last, Linear, Lookbacks, Model, Touch, TouchKind};
use model::CONVERSION_MICRO;
use model::journal::NO_TOUCH;
use model::time::minute_of;

/// What credits are made from.
pub(crate) struct Known<'a> {
    touches: &'a Touches,
    recalled: RecalledTouches,
    names: &'a Names,
    semantics: &'a Semantics,
}

impl<'a> Known<'a> {
    /// What is known for these conversions.
    pub fn of(
        ripe: &[(PendingConversion, Ripe)],
        touches: &'a Touches,
        names: &'a Names,
        semantics: &'a Semantics,
    ) -> Self {
        let mut known = Self { recalled: RecalledTouches::default(), touches, names, semantics };
        let mut users = Table::default();
        // Most users that are looked up are not among them: with room, one look says so.
        users.reserve(ripe.len() * 2);
        for (conversion, _) in ripe {
            let user = known.user(conversion, known.named(conversion));
            if user != 0 {
                users.entry(user);
            }
        }
        known.recalled = touches.recall(&users);
        known
    }

    /// Adds the conversion's credits; `false` where nothing was found to credit.
    pub fn credit(&self, conversion: &PendingConversion, sums: &mut EpochSums) -> bool {
        let journey = self.journey(conversion);
        let chosen = Last::chosen(journey.touches());
        if !conversion.claimed {
            let touch = chosen.and_then(|at| journey.touches().get(at));
            let campaign = touch.and_then(|touch| self.names.get(touch.tag)).map_or("", |named| named.campaign);
            count(conversion, campaign, sums);
        }
        self.add_credits(conversion, &journey, sums);
        chosen.is_some()
    }

    /// The newest touches of the user at or before it, and the click it names.
    fn journey(&self, conversion: &PendingConversion) -> Journey {
        let named = self.named(conversion);
        // User 0 is nobody: no table holds it.
        let (user, at) = (self.user(conversion, named), conversion.time);
        let impressions =
            self.touches.impressions_before(user, at, self.semantics.impressions_remembered(), &self.recalled);
        let impressions = impressions.into_iter().map(|touch| Touch {
            time: touch.time,
            id: u64::from(touch.id) << 48,
            kind: TouchKind::Impression,
            tag: touch.code,
        });
        let clicks = self.touches.clicks_before(user, at, self.semantics.clicks_remembered(), &self.recalled);
        let beside = named.map(|click| click.touch()).filter(|click| !clicks.contains(click));
        let clicks = clicks.iter().copied().chain(beside).map(|click| Touch {
            time: click.time,
            id: click.id,
            kind: TouchKind::Click,
            tag: click.code,
        });
        let lookbacks = Lookbacks {
            click_ms: self.semantics.click_lookback_ms,
            impression_ms: self.semantics.impression_lookback_ms,
        };
        let own = |touch: &Touch| self.is_of_account(touch.tag, &conversion.account);
        Journey::new(conversion.time, lookbacks, impressions.chain(clicks).filter(own))
    }

    /// The click that the conversion names. One from after it, or from before the lookback, is as good as none: whether
    /// it is in the tables at this moment depends on the cuts.
    fn named(&self, conversion: &PendingConversion) -> Option<&'a ClickSlot> {
        let lookback_ms = self.semantics.click_lookback_ms;
        (conversion.click != 0)
            .then(|| self.touches.click(conversion.click))
            .flatten()
            .filter(|click| self.is_of_account(click.code, &conversion.account))
            .filter(|click| click.time <= conversion.time)
            .filter(|click| conversion.time.saturating_sub(click.time) <= lookback_ms)
    }

    /// Its own, or that of the click it names.
    fn user(&self, conversion: &PendingConversion, named: Option<&ClickSlot>) -> u64 {
        match (conversion.user, named) {
            (0, Some(click)) => click.user,
            (user, _) => user,
        }
    }

    fn is_of_account(&self, code: u32, account: &str) -> bool {
        self.names.get(code).is_some_and(|named| named.account == account)
    }

    fn add_credits(&self, conversion: &PendingConversion, journey: &Journey, sums: &mut EpochSums) {
        let of = |model: &dyn Model, whole| model.credits(journey, whole);
        let last = of(&Last, CONVERSION_MICRO).into_iter().zip(of(&Last, conversion.value_micros));
        let linear = of(&Linear, CONVERSION_MICRO).into_iter().zip(of(&Linear, conversion.value_micros));
        for (touch, (last, linear)) in journey.touches().iter().zip(last.zip(linear)) {
            let Some(named) = self.names.get(touch.tag) else { continue };
            let row = Row {
                // A touch before 1970 must not look like a row without one.
                touch_minute: minute_of(touch.time).max(0),
                ..conversion_row(conversion, named.campaign, sums)
            };
            let measures = Measures {
                last_conversions_micro: last.0,
                last_value_micros: last.1,
                linear_conversions_micro: linear.0,
                linear_value_micros: linear.1,
                ..Measures::default()
            };
            sums.add(row, &measures);
        }
    }
}

/// Counts a conversion, once, under a campaign: claimed, found, or none.
pub(crate) fn count(conversion: &PendingConversion, campaign: &str, sums: &mut EpochSums) {
    let row = conversion_row(conversion, campaign, sums);
    sums.add(row, &Measures { conversions: 1, value_micros: conversion.value_micros, ..Measures::default() });
}

fn conversion_row(conversion: &PendingConversion, campaign: &str, sums: &mut EpochSums) -> Row {
    Row {
        account: sums.code(&conversion.account),
        campaign: sums.code(campaign),
        currency: sums.code(&conversion.currency),
        conversion_type: sums.code(&conversion.conversion_type),
        minute: minute_of(conversion.time),
        touch_minute: NO_TOUCH,
    }
}
