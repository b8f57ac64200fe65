//! One conversion that has waited long enough: its journey, its credits, and where it is counted if it claims nothing.

use crate::marginals::unpacked;
use crate::names::Names;
use crate::pending::{PendingConversion, Ripe};
use crate::semantics::Semantics;
use crate::slots::ClickSlot;
use crate::slots::{ClickTouch, NO_VALUES};
use crate::sums::{EpochSums, Measures, Row};
use crate::table::Table;
use crate::touches::{RecalledTouches, Touches};
use crate::values::Texts;
use attribution::{First, Journey, Last, Linear, Lookbacks, Model, Position, TimeDecay, Touch, TouchKind};
use model::CONVERSION_MICRO;
use model::journal::NO_TOUCH;
use model::marginal::{DIMENSIONS, MINUTE_MODELS, NOT_KEPT, PATH_LENGTH_MAX, grain_of};
use model::time::minute_of;

/// What credits are made from.
pub(crate) struct Known<'a> {
    touches: &'a Touches,
    recalled: RecalledTouches,
    names: &'a Names,
    values: &'a Names,
    semantics: &'a Semantics,
}

impl<'a> Known<'a> {
    /// What is known for these conversions.
    pub fn of(
        ripe: &[(PendingConversion, Ripe)],
        touches: &'a Touches,
        names: &'a Names,
        values: &'a Names,
        semantics: &'a Semantics,
    ) -> Self {
        let mut known = Self { recalled: RecalledTouches::default(), touches, names, values, semantics };
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

    /// Adds the conversion's credits, to `minute` what goes out once a minute; `false` where nothing was found to credit.
    pub fn credit(&self, conversion: &PendingConversion, sums: &mut EpochSums, minute: &mut EpochSums) -> bool {
        let (journey, clicks) = self.journey(conversion);
        let chosen = Last::chosen(journey.touches());
        if conversion.claimed.is_empty() {
            let touch = chosen.and_then(|at| journey.touches().get(at));
            let campaign = touch.and_then(|touch| self.names.get(touch.tag)).map_or("", |named| named.campaign);
            count(conversion, campaign, sums);
        }
        self.add_credits(conversion, &journey, sums);
        self.add_by_dimension(conversion, &journey, &clicks, minute);
        self.add_models(conversion, &journey, minute);
        self.add_path(conversion, &journey, minute);
        chosen.is_some()
    }

    /// The newest touches of the user at or before it, and the click it names; and the clicks as they are remembered.
    fn journey(&self, conversion: &PendingConversion) -> (Journey, Vec<ClickTouch>) {
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
        let mut clicks = self.touches.clicks_before(user, at, self.semantics.clicks_remembered(), &self.recalled);
        let beside = named.map(|click| click.touch()).filter(|click| !clicks.contains(click));
        clicks.extend(beside);
        let touches = clicks.iter().map(|click| Touch {
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
        (Journey::new(conversion.time, lookbacks, impressions.chain(touches).filter(own)), clicks)
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

    /// The conversion by the values of its last touch: as claimed, and as credited.
    fn add_by_dimension(
        &self,
        conversion: &PendingConversion,
        journey: &Journey,
        clicks: &[ClickTouch],
        sums: &mut EpochSums,
    ) {
        let chosen = Last::chosen(journey.touches()).and_then(|at| journey.touches().get(at));
        let credited = chosen.and_then(|touch| self.names.get(touch.tag)).map_or("", |named| named.campaign);
        let values = chosen
            .filter(|touch| touch.kind == TouchKind::Click)
            .and_then(|touch| clicks.iter().find(|click| (click.time, click.id) == (touch.time, touch.id)))
            .filter(|click| click.values != NO_VALUES)
            .and_then(|click| self.values.get(click.values))
            .map(|named| unpacked(named.account));
        let claimed = if conversion.claimed.is_empty() { credited } else { &conversion.claimed };
        let counted = Measures { conversions: 1, value_micros: conversion.value_micros, ..Measures::default() };
        add_values(conversion, (claimed, NO_TOUCH), values.filter(|_| claimed == credited), &counted, sums);
        if let Some(touch) = chosen {
            let measures = Measures {
                last_conversions_micro: CONVERSION_MICRO,
                last_value_micros: conversion.value_micros,
                ..Measures::default()
            };
            let touched = grain_of(minute_of(touch.time).max(0));
            add_values(conversion, (credited, touched), values, &measures, sums);
        }
    }

    /// Credits of the models that go out once a minute.
    fn add_models(&self, conversion: &PendingConversion, journey: &Journey, sums: &mut EpochSums) {
        let models: [&dyn Model; MINUTE_MODELS.len()] = [&Last, &First, &Linear, &Position, &TimeDecay::default()];
        for model in models {
            let conversions = model.credits(journey, CONVERSION_MICRO);
            let values = model.credits(journey, conversion.value_micros);
            for (touch, credits) in journey.touches().iter().zip(conversions.into_iter().zip(values)) {
                let Some(named) = self.names.get(touch.tag).filter(|_| credits != (0, 0)) else { continue };
                let row = conversion_row(conversion, named.campaign, sums);
                let key = (Row { minute: grain_of(row.minute), ..row }, sums.code(model.name()));
                sums.minute.add_credit(key, [credits.0, credits.1]);
            }
        }
    }

    /// The steps from campaign to campaign, repeats in a row left out, and the length.
    fn add_path(&self, conversion: &PendingConversion, journey: &Journey, sums: &mut EpochSums) {
        if journey.touches().is_empty() {
            return;
        }
        let account = sums.code(&conversion.account);
        let kind = sums.code(&conversion.conversion_type);
        let nowhere = sums.code("");
        let mut from = nowhere;
        for touch in journey.touches() {
            let Some(named) = self.names.get(touch.tag) else { continue };
            let to = sums.code(named.campaign);
            if to != from {
                sums.minute.add_path((account, kind, from, to, 0), 1);
            }
            from = to;
        }
        sums.minute.add_path((account, kind, from, nowhere, 0), 1);
        let length = (journey.touches().len() as i64).min(PATH_LENGTH_MAX);
        sums.minute.add_path((account, kind, nowhere, nowhere, length), 1);
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

/// Adds a conversion's measures under a campaign (with the minute of the credited touch), once for each dimension.
fn add_values(
    conversion: &PendingConversion,
    (campaign, touch_minute): (&str, i64),
    values: Option<Texts<'_>>,
    measures: &Measures,
    sums: &mut EpochSums,
) {
    // Who claims nothing and was touched by nothing belongs to no campaign.
    if campaign.is_empty() {
        return;
    }
    let row = conversion_row(conversion, campaign, sums);
    let row = Row { minute: grain_of(row.minute), touch_minute, ..row };
    let values = values.unwrap_or([NOT_KEPT; DIMENSIONS.len()]);
    for (dimension, value) in DIMENSIONS.into_iter().zip(values) {
        let key = (row, sums.code(dimension), sums.code(value));
        sums.minute.add_marginal(key, measures);
    }
}
