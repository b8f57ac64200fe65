//! One record: refused for its own sake, or taken.
//!
//! What depends on nothing but the record and the epoch's clock is decided here, at once. Impressions are staged in
//! small batches: their table lines are fetched together, so that the waits for memory overlap; then they are applied
//! in order. Clicks and conversions wait for the epoch's end.

use crate::marginals::packed;
use crate::names::{Named, Print};
use crate::set::SiblingSet;
use crate::slots::ImpressionTouch;
use crate::tally::Counts;
use crate::touches::Verdicts;
use crate::values::{Codes, values_of};
use crate::waiting::{Text, Texts, WaitingClick, WaitingConversion};
use model::event::{Event, EventKind, Goal, Touch};
use model::partition::partition_of;
use model::time::{Millis, minute_of};

/// What a record says of itself beside its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta<'a> {
    /// Its position.
    pub offset: i64,
    /// The record's timestamp; negative where it has none.
    pub timestamp_ms: Millis,
    /// The record's key.
    pub key: Option<&'a [u8]>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the epoch. Whether it is a copy is decided in canonical order and told by the epoch's counts.
    Taken,
    /// It is in the epoch as a dead letter: the caller writes its bytes with this reason.
    Rejected(&'static str),
    /// No room: cut the epoch before this record, then fold it again.
    Full,
    /// Not expected: before the position folded to, or no epoch is open. It is not in the epoch.
    Stray,
}

/// Most that one event may cost or bring: ten thousand million units, which no currency in use needs. What a broken sender
/// writes above it (the greatest number there is, or a sum of nanos) would fill sums that later events need.
pub const MONEY_MICROS_MAX: i64 = 10_000_000_000_000_000;

/// Reasons of dead letters that are given here; the decoder has its own.
pub mod reason {
    /// Further ahead of min(record timestamp, clock) than allowed.
    pub const FUTURE: &str = "future";
    /// Further behind it than allowed.
    pub const TOO_OLD: &str = "too_old";
    /// An id that must be there is empty.
    pub const EMPTY_ID: &str = "empty_id";
    /// An id or name is longer than allowed.
    pub const OVERSIZED_ID: &str = "oversized_id";
    /// Cost or value is below zero.
    pub const NEGATIVE_MONEY: &str = "negative_money";
    /// Cost or value is above [`super::MONEY_MICROS_MAX`].
    pub const EXCESSIVE_MONEY: &str = "excessive_money";
    /// The record of another topic.
    pub const WRONG_KIND: &str = "wrong_kind";
}

/// An impression on its way into the tables.
#[derive(Clone, Copy)]
pub(crate) struct Staged {
    time: Millis,
    id: u64,
    /// 0 without one.
    user: u64,
    print: Print,
    account: Text,
    campaign: Text,
    currency: Text,
    cost_micros: i64,
    values: Codes,
}

/// A batch of them.
#[derive(Default)]
pub(crate) struct Stage {
    events: Vec<Staged>,
    texts: Texts,
}

impl SiblingSet {
    /// Takes one record of one sibling; each sibling's records come by offset, the siblings interleaved at will.
    /// `decoded` is the decoder's event, or its word for why there is none.
    pub fn fold(&mut self, kind: EventKind, meta: RecordMeta<'_>, decoded: Result<Event<'_>, &'static str>) -> Verdict {
        if !self.is_open || meta.offset < self.open.folded_to[kind.index()] {
            return Verdict::Stray;
        }
        if self.open.is_gathered {
            return Verdict::Full;
        }
        let outcome = match (kind, decoded) {
            (_, Err(reason)) => Err(Refused::DeadLetter(reason)),
            (EventKind::Impression, Ok(Event::Impression(touch))) => self.take_impression(&meta, &touch),
            (EventKind::Click, Ok(Event::Click(touch))) => self.take_click(&meta, &touch),
            (EventKind::Conversion, Ok(Event::Conversion(goal))) => self.take_conversion(&meta, &goal),
            _ => Err(Refused::DeadLetter(reason::WRONG_KIND)),
        };
        let verdict = match outcome {
            Ok(()) => Verdict::Taken,
            Err(Refused::Full) => return Verdict::Full,
            Err(Refused::DeadLetter(reason)) => {
                self.open.counts[kind.index()].rejected += 1;
                Verdict::Rejected(reason)
            }
        };
        self.open.folded_to[kind.index()] = meta.offset.saturating_add(1);
        if let Some(key) = meta.key
            && (kind != EventKind::Impression || meta.offset & PLACE_CHECK_MASK == 0)
            && partition_of(key, self.identity.partitions.max(1)) != self.identity.partition
        {
            self.open.counters.misplaced[kind.index()] += 1;
        }
        if self.stage.events.len() >= STAGED_MAX {
            self.apply_staged();
        }
        verdict
    }

    /// Puts the staged impressions into the tables.
    pub(crate) fn apply_staged(&mut self) {
        let mut stage = std::mem::take(&mut self.stage);
        let semantics = self.semantics;
        let epoch = self.verdicts(&semantics);
        let mut fetched = 0;
        for event in &stage.events {
            fetched ^= self.dedupe.touch(EventKind::Impression, event.id, event.time);
            fetched ^= self.touches.viewers.touch(event.user);
            fetched ^= self.names.touch(event.print);
        }
        std::hint::black_box(fetched);
        // The cell to count in is found by way of the name, whose line has come by now.
        let mut fetched = 0;
        for event in &stage.events {
            fetched ^= self.names.find(event.print).map_or(0, |code| self.tally.touch(code));
        }
        std::hint::black_box(fetched);
        for event in &stage.events {
            if self.accepts(EventKind::Impression, event.id, event.time) {
                self.apply_impression(event, &stage.texts, &epoch);
            }
        }
        stage.events.clear();
        stage.texts.clear();
        self.stage = stage;
    }

    fn apply_impression(&mut self, event: &Staged, texts: &Texts, epoch: &Verdicts<'_>) {
        let named = || Named {
            account: texts.get(event.account),
            campaign: texts.get(event.campaign),
            currency: texts.get(event.currency),
        };
        let counts = Counts::impression(event.cost_micros);
        let Some(code) = self.names.code_of(event.print, named, epoch.semantics.names_max.max(1) as usize) else {
            self.count_unnamed(named(), event.time, counts);
            return;
        };
        self.tally.add(code, minute_of(event.time), counts);
        self.minute.marginals.log(code, event.time, &event.values, false, event.cost_micros);
        if event.user != 0 {
            self.open.counters.touches_late += i64::from(event.time < epoch.touch_watermark);
            let touch = ImpressionTouch { time: event.time, id: (event.id >> 48) as u16, code };
            self.touches.add_impression(event.user, touch, epoch);
        }
    }

    fn take_impression(&mut self, meta: &RecordMeta<'_>, touch: &Touch<'_>) -> Taken {
        if self.tally.others() as i64 >= self.semantics.epoch_rows_max.max(1) {
            return Err(Refused::Full);
        }
        check_touch(touch)?;
        let time = self.check_time(meta, touch.event_time)?;
        self.sources[EventKind::Impression.index()].observe(touch.event_time, time, self.open.clock);
        let named = Named { account: touch.account_id, campaign: touch.campaign_id, currency: touch.currency };
        let event = Staged {
            time: touch.event_time,
            id: key_of(self.hasher.id(touch.event_id)),
            user: self.user_of(touch.account_id, touch.user_key),
            print: self.names.print(named),
            account: self.stage.texts.keep(named.account),
            campaign: self.stage.texts.keep(named.campaign),
            currency: self.stage.texts.keep(named.currency),
            cost_micros: touch.cost_micros,
            values: self.minute.marginals.values.codes(&values_of(touch)),
        };
        self.stage.events.push(event);
        Ok(())
    }

    fn take_click(&mut self, meta: &RecordMeta<'_>, touch: &Touch<'_>) -> Taken {
        check_touch(touch)?;
        let time = self.check_time(meta, touch.event_time)?;
        if !self.waiting.has_room(&[touch.account_id, touch.campaign_id, touch.currency], &self.semantics) {
            return Err(Refused::Full);
        }
        self.sources[EventKind::Click.index()].observe(touch.event_time, time, self.open.clock);
        let click = WaitingClick {
            offset: meta.offset,
            time: touch.event_time,
            id: key_of(self.hasher.id(touch.event_id)),
            user: self.user_of(touch.account_id, touch.user_key),
            cost_micros: touch.cost_micros,
            account: self.waiting.texts.keep(touch.account_id),
            campaign: self.waiting.texts.keep(touch.campaign_id),
            currency: self.waiting.texts.keep(touch.currency),
            values: self.waiting.values.keep(&packed(&values_of(touch))),
        };
        self.waiting.clicks.push(click);
        Ok(())
    }

    fn take_conversion(&mut self, meta: &RecordMeta<'_>, goal: &Goal<'_>) -> Taken {
        let claimed = goal.campaign_id.unwrap_or_default();
        check_id(goal.event_id)?;
        check_names(&[goal.account_id, goal.conversion_type], &[claimed, goal.currency])?;
        check_money(goal.value_micros)?;
        let time = self.check_time(meta, goal.event_time)?;
        let texts = [goal.account_id, goal.currency, goal.conversion_type, claimed];
        if !self.waiting.has_room(&texts, &self.semantics) {
            return Err(Refused::Full);
        }
        self.sources[EventKind::Conversion.index()].observe(goal.event_time, time, self.open.clock);
        let click = goal.click_id.filter(|id| !id.is_empty());
        let conversion = WaitingConversion {
            offset: meta.offset,
            time: goal.event_time,
            id: key_of(self.hasher.id(goal.event_id)),
            user: self.user_of(goal.account_id, goal.user_key),
            click: click.map_or(0, |id| key_of(self.hasher.id(id))),
            value_micros: goal.value_micros,
            account: self.waiting.texts.keep(goal.account_id),
            currency: self.waiting.texts.keep(goal.currency),
            conversion_type: self.waiting.texts.keep(goal.conversion_type),
            claimed: self.waiting.texts.keep(claimed),
        };
        self.waiting.conversions.push(conversion);
        Ok(())
    }

    /// The record's own time, where the event's is neither too far ahead of it and the clock nor too far behind.
    fn check_time(&self, meta: &RecordMeta<'_>, event_time: Millis) -> Result<Millis, Refused> {
        let record_time = if meta.timestamp_ms < 0 { self.open.clock } else { meta.timestamp_ms };
        let ahead_ms = event_time.saturating_sub(record_time.min(self.open.clock));
        if ahead_ms > self.semantics.future_max_ms {
            return Err(Refused::DeadLetter(reason::FUTURE));
        }
        if ahead_ms < self.semantics.age_max_ms.saturating_neg() {
            return Err(Refused::DeadLetter(reason::TOO_OLD));
        }
        Ok(record_time)
    }

    /// 0 without a user; an empty key is none, or all who have it would be one person.
    fn user_of(&self, account_id: &str, user_key: Option<&str>) -> u64 {
        user_key.filter(|key| !key.is_empty()).map_or(0, |key| key_of(self.hasher.user(account_id, key)))
    }
}

type Taken = Result<(), Refused>;

/// Why a record is not taken.
enum Refused {
    Full,
    DeadLetter(&'static str),
}

fn check_touch(touch: &Touch<'_>) -> Taken {
    check_id(touch.event_id)?;
    check_names(&[touch.account_id, touch.campaign_id], &[touch.currency])?;
    check_money(touch.cost_micros)
}

fn check_id(id: &str) -> Taken {
    match id.len() {
        0 => Err(Refused::DeadLetter(reason::EMPTY_ID)),
        1..=ID_BYTES_MAX => Ok(()),
        _ => Err(Refused::DeadLetter(reason::OVERSIZED_ID)),
    }
}

fn check_names(needed: &[&str], others: &[&str]) -> Taken {
    if needed.iter().any(|name| name.is_empty()) {
        return Err(Refused::DeadLetter(reason::EMPTY_ID));
    }
    if needed.iter().chain(others).any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(Refused::DeadLetter(reason::OVERSIZED_ID));
    }
    Ok(())
}

fn check_money(micros: i64) -> Taken {
    match micros {
        ..0 => Err(Refused::DeadLetter(reason::NEGATIVE_MONEY)),
        0..=MONEY_MICROS_MAX => Ok(()),
        _ => Err(Refused::DeadLetter(reason::EXCESSIVE_MONEY)),
    }
}

/// A hash as a table's key, which is never 0.
fn key_of(hash: u64) -> u64 {
    hash.max(1)
}

/// Longest event id of the contract.
const ID_BYTES_MAX: usize = 64;
/// Longest account, campaign, conversion type or currency: ample for platforms' ids, and bounds what one event may keep.
const NAME_BYTES_MAX: usize = 256;
/// Impressions staged before they are applied: as many memory waits overlap; more gained nothing.
const STAGED_MAX: usize = 32;
/// One impression in sixteen is hashed to see whether it is in its place: a wrong partitioner shows at once all the
/// same, and the check costs as much as the dedupe hash.
const PLACE_CHECK_MASK: i64 = 15;
