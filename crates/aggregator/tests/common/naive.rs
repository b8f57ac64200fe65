//! The naive engine: everything is known, nothing is forgotten, each conversion looks at all there is.

use super::{Place, Record, Totals};
use aggregator::Semantics;
use model::event::EventKind;
use model::journal::NO_TOUCH;
use model::time::{DAY_MS, minute_of};
use std::collections::BTreeMap;

/// All deltas added up.
pub fn recount(records: &[Record], semantics: &Semantics) -> Totals {
    let mut unique: BTreeMap<(EventKind, &str), &Record> = BTreeMap::new();
    for record in records {
        unique.entry((record.kind, &record.id)).or_insert(record);
    }
    let mut totals = Totals::new();
    let mut add = |place: Place, at: usize, amount: i64| totals.entry(place).or_default()[at] += amount;
    for record in unique.values() {
        let (campaign, minute) = (record.campaign.clone().unwrap_or_default(), minute_of(record.time));
        if record.kind != EventKind::Conversion {
            let place: Place = (record.account.clone(), campaign, String::new(), minute, NO_TOUCH);
            add(place.clone(), record.kind.index(), 1);
            add(place.clone(), 2, i64::from(record.money > 0));
            add(place, 3, record.money);
            continue;
        }
        let journey = journey(record, unique.values().copied(), semantics);
        let last = journey.iter().rev().find(|t| t.kind == EventKind::Click).or(journey.last()).copied();
        let found = last.and_then(|touch| touch.campaign.clone()).unwrap_or_default();
        let counted = record.campaign.clone().unwrap_or(found);
        let place = (record.account.clone(), counted, "purchase".to_owned(), minute, NO_TOUCH);
        add(place.clone(), 4, 1);
        add(place, 5, record.money);
        let count = journey.len() as i64;
        for (at, touch) in (0..).zip(&journey) {
            let campaign = touch.campaign.clone().unwrap_or_default();
            let place = (record.account.clone(), campaign, "purchase".to_owned(), minute, minute_of(touch.time));
            let share = |whole: i64| whole / count + i64::from(at < whole % count);
            if last.is_some_and(|last| std::ptr::eq(last, *touch)) {
                add(place.clone(), 6, 1_000_000);
                add(place.clone(), 7, record.money);
            }
            add(place.clone(), 8, share(1_000_000));
            add(place, 9, share(record.money));
        }
    }
    totals
}

/// The newest touches of the user at or before the conversion, as many as may be remembered, and the click it names.
fn journey<'a>(
    conversion: &Record,
    unique: impl Iterator<Item = &'a Record> + Clone,
    semantics: &Semantics,
) -> Vec<&'a Record> {
    let mine = |touch: &&Record| {
        touch.account == conversion.account && touch.kind != EventKind::Conversion && touch.time <= conversion.time
    };
    let named = unique
        .clone()
        .filter(mine)
        .find(|touch| touch.kind == EventKind::Click && conversion.click.as_deref() == Some(touch.id.as_str()));
    let user = conversion.user.as_deref().or(named.and_then(|click| click.user.as_deref()));
    let newest = |kind: EventKind, count: i64| {
        let of_user = |touch: &&Record| user.is_some() && touch.user.as_deref() == user && touch.kind == kind;
        let mut touches: Vec<&Record> = unique.clone().filter(mine).filter(of_user).collect();
        touches.sort_by_key(|touch| touch.time);
        touches.split_off(touches.len().saturating_sub(count as usize))
    };
    let mut touches = newest(EventKind::Impression, semantics.impressions_per_user);
    touches.retain(|touch| conversion.time - touch.time <= DAY_MS);
    touches.extend(newest(EventKind::Click, semantics.clicks_per_user_max));
    touches.extend(named.filter(|named| !touches.iter().any(|touch| std::ptr::eq(*touch, *named))));
    touches.sort_by_key(|touch| touch.time);
    touches
}

/// The naive engine breaks ties of time otherwise than by hashes of ids: such streams are left to the other tests.
pub fn has_ties(records: &[Record]) -> bool {
    let mut times: Vec<_> = records.iter().map(|record| (record.time, &record.id)).collect();
    times.sort_unstable();
    times.dedup();
    times.windows(2).any(|pair| pair[0].0 == pair[1].0)
}
