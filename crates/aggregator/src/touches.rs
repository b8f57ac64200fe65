//! What users did, for conversions to come: last impressions, clicks, and clicks by id.
//!
//! What always holds: users and clicks are keyed hashes; which touches of a user remain does not depend on the
//! order in which they came (the newest by time, then id), and what they push out stays in a [`Spill`] as long as a
//! conversion that is on time may need it. Tables are capped a shard: at the cap what has expired goes, then the oldest
//! quarter. Expired touches are swept one shard an epoch; until then they are outside every lookback anyway.

use crate::names::Names;
use crate::semantics::Semantics;
use crate::slots::{ClickSlot, ClickTouch, ClickerSlot, ImpressionTouch, NO_VALUES, ViewerSlot};
use crate::spill::{Recalled, Spill, Spillable};
use crate::table::{Sharded, Slot, Table};
use model::time::{HOUR_MS, Millis};

/// What the caps have thrown out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evicted {
    pub users: i64,
    pub clicks: i64,
    pub clicks_of_user: i64,
    pub spilled: i64,
}

/// The three tables, and what users had no more room for.
#[derive(Clone)]
pub(crate) struct Touches {
    pub viewers: Sharded<ViewerSlot>,
    pub clickers: Sharded<ClickerSlot>,
    pub clicks: Sharded<ClickSlot>,
    pub spilled_impressions: Spill<ImpressionTouch>,
    pub spilled_clicks: Spill<ClickTouch>,
    evicted: Evicted,
}

/// What was spilled of the users whose conversions are credited.
#[derive(Default)]
pub(crate) struct RecalledTouches {
    impressions: Recalled<ImpressionTouch>,
    clicks: Recalled<ClickTouch>,
}

impl Touches {
    pub fn new() -> Self {
        let bits = SHARD_BITS;
        Self {
            viewers: Sharded::new(bits),
            clickers: Sharded::new(bits),
            clicks: Sharded::new(bits),
            spilled_impressions: Spill::new(SPILLED_IMPRESSIONS_MAX),
            spilled_clicks: Spill::new(SPILLED_CLICKS_MAX),
            evicted: Evicted::default(),
        }
    }

    pub fn add_impression(&mut self, user: u64, touch: ImpressionTouch, epoch: &Verdicts<'_>) {
        let table = self.viewers.write(user, epoch.version);
        let (slot, created) = table.entry(user);
        let until = slot.newest().max(touch.time);
        slot.add(touch, epoch.semantics.impressions_remembered(), |gone| {
            self.spilled_impressions.add(user, until, gone, epoch);
        });
        if created && table.len() > per_shard(epoch.semantics.users_max) {
            let keep = epoch.impressions_kept_from();
            self.evicted.users += trim(table, |slot| slot.newest(), keep, user);
        }
    }

    pub fn add_click(&mut self, click: ClickSlot, epoch: &Verdicts<'_>) {
        let clicks_max = per_shard(epoch.semantics.clicks_max);
        let keep = epoch.clicks_kept_from();
        if click.user != 0 {
            let table = self.clickers.write(click.user, epoch.version);
            let (slot, created) = table.entry(click.user);
            let at = slot.clicks.partition_point(|other| *other < click.touch());
            slot.clicks.insert(at, click.touch());
            if slot.clicks.len() > epoch.semantics.clicks_remembered() {
                let gone = slot.clicks.remove(0);
                self.spilled_clicks.add(click.user, slot.newest(), gone, epoch);
                self.evicted.clicks_of_user += 1;
            }
            if created && table.len() > clicks_max {
                self.evicted.users += trim(table, |slot| slot.newest(), keep, click.user);
            }
        }
        let id = click.id;
        let table = self.clicks.write(id, epoch.version);
        let (slot, created) = table.entry(id);
        // A second click of one id is a copy from beyond the dedupe horizon: the first stands.
        if created {
            *slot = click;
            if table.len() > clicks_max {
                self.evicted.clicks += trim(table, |slot| slot.time, keep, id);
            }
        }
    }

    /// What these users had no more room for.
    pub fn recall(&self, users: &Table<u64>) -> RecalledTouches {
        RecalledTouches {
            impressions: self.spilled_impressions.of_users(users),
            clicks: self.spilled_clicks.of_users(users),
        }
    }

    /// The newest of a user at or before `at`, in order.
    pub fn impressions_before(
        &self,
        user: u64,
        at: Millis,
        count_max: usize,
        recalled: &RecalledTouches,
    ) -> Vec<ImpressionTouch> {
        let kept = self.viewers.get(user).into_iter().flat_map(ViewerSlot::touches);
        newest_before(at, count_max, kept, recalled.impressions.newest(user, at, count_max))
    }

    /// The newest of a user at or before `at`, in order.
    pub fn clicks_before(
        &self,
        user: u64,
        at: Millis,
        count_max: usize,
        recalled: &RecalledTouches,
    ) -> Vec<ClickTouch> {
        let kept = self.clickers.get(user).into_iter().flat_map(|slot| slot.clicks.iter().copied());
        newest_before(at, count_max, kept, recalled.clicks.newest(user, at, count_max))
    }

    pub fn click(&self, id: u64) -> Option<&ClickSlot> {
        self.clicks.get(id)
    }

    /// Drops the expired of one shard and marks the names of what stays; after [`Self::sweeps_per_round`] of them every
    /// touch was met.
    pub fn sweep(&mut self, names: &mut Names, values: &mut Names, epoch: &Verdicts<'_>) {
        let shard = epoch.version as usize % self.viewers.shard_count();
        let (views_from, clicks_from) = (epoch.impressions_kept_from(), epoch.clicks_kept_from());
        sweep_shard(&mut self.viewers, shard, epoch.version, |slot| slot.newest() >= views_from);
        sweep_shard(&mut self.clickers, shard, epoch.version, |slot| slot.newest() >= clicks_from);
        sweep_shard(&mut self.clicks, shard, epoch.version, |slot| slot.time >= clicks_from);
        for slot in self.viewers.shard(shard).table.iter() {
            slot.touches().for_each(|touch| names.mark(touch.code));
        }
        for slot in self.clickers.shard(shard).table.iter() {
            slot.clicks.iter().for_each(|touch| {
                names.mark(touch.code);
                values.mark(touch.values);
            });
        }
        for slot in self.clicks.shard(shard).table.iter() {
            names.mark(slot.code);
            values.mark(slot.values);
        }
    }

    /// The epoch ends for what was spilled; `needed_from` is that of the next.
    pub fn close_spills(&mut self, needed_from: Millis, version: u64) {
        self.spilled_impressions.close(needed_from, version);
        self.spilled_clicks.close(needed_from, version);
    }

    /// Marks the names of what was spilled: asked at the end of a round, because nothing is freed before.
    pub fn mark_spilled(&self, names: &mut Names) {
        self.spilled_impressions.codes().chain(self.spilled_clicks.codes()).for_each(|code| names.mark(code));
    }

    /// The same for values of dimensions.
    pub fn mark_spilled_values(&self, values: &mut Names) {
        self.spilled_clicks.touches().for_each(|touch| values.mark(touch.values));
    }

    /// What the caps have thrown out since this was last asked.
    pub fn take_evicted(&mut self) -> Evicted {
        let spilled = self.spilled_impressions.take_evicted() + self.spilled_clicks.take_evicted();
        Evicted { spilled, ..std::mem::take(&mut self.evicted) }
    }

    pub fn sweeps_per_round(&self) -> u64 {
        self.viewers.shard_count() as u64
    }

    /// Every code that a touch points to is a name: asked after a restore.
    pub fn codes_are_known(&self, names: &Names, values: &Names) -> bool {
        let known = |code: u32| code == NO_VALUES || values.contains(code);
        let clickers = self.clickers.filled().flat_map(|(_, shard)| shard.table.iter().flat_map(|slot| &slot.clicks));
        let clicks = self.clicks.filled().flat_map(|(_, shard)| shard.table.iter());
        if !(clickers.map(|touch| touch.values).all(known)
            && clicks.map(|slot| slot.values).all(known)
            && self.spilled_clicks.touches().map(|touch| touch.values).all(known))
        {
            return false;
        }
        let viewers = self.viewers.filled().flat_map(|(_, shard)| shard.table.iter().flat_map(ViewerSlot::touches));
        let clickers = self.clickers.filled().flat_map(|(_, shard)| shard.table.iter().flat_map(|slot| &slot.clicks));
        let clicks = self.clicks.filled().flat_map(|(_, shard)| shard.table.iter());
        viewers.map(|touch| touch.code).all(|code| names.contains(code))
            && clickers.map(|touch| touch.code).all(|code| names.contains(code))
            && clicks.map(|slot| slot.code).all(|code| names.contains(code))
            && self.spilled_impressions.codes().chain(self.spilled_clicks.codes()).all(|code| names.contains(code))
    }
}

/// What an epoch judges by: all of it from the epoch before, but the epoch's own number.
#[derive(Clone, Copy)]
pub(crate) struct Verdicts<'a> {
    pub semantics: &'a Semantics,
    pub touch_watermark: Millis,
    /// No conversion that is on time is older, whether it waits or is to come.
    pub needed_from: Millis,
    pub version: u64,
}

impl Verdicts<'_> {
    fn impressions_kept_from(&self) -> Millis {
        self.touch_watermark.saturating_sub(self.semantics.impression_lookback_ms).saturating_sub(KEPT_BEYOND_MS)
    }

    fn clicks_kept_from(&self) -> Millis {
        self.touch_watermark.saturating_sub(self.semantics.click_lookback_ms).saturating_sub(KEPT_BEYOND_MS)
    }
}

/// The newest `count_max` of both at or before `at`, in order.
fn newest_before<T: Spillable>(
    at: Millis,
    count_max: usize,
    kept: impl Iterator<Item = T>,
    recalled: impl Iterator<Item = T>,
) -> Vec<T> {
    let mut touches: Vec<T> = kept.filter(|touch| touch.time() <= at).chain(recalled).collect();
    touches.sort_unstable();
    touches.drain(..touches.len().saturating_sub(count_max));
    touches
}

fn per_shard(entries_max: i64) -> usize {
    (entries_max.max(1) as usize).div_ceil(1 << SHARD_BITS)
}

/// Brings a full shard down: the expired, then the oldest quarter; `spared` was just made. Returns how many went that
/// had not expired.
fn trim<S: Slot>(table: &mut Table<S>, newest: impl Fn(&S) -> Millis, keep_from: Millis, spared: u64) -> i64 {
    let limit = table.len() - 1;
    table.retain(|slot| newest(slot) >= keep_from || slot.key() == spared);
    if table.len() <= limit {
        return 0;
    }
    let mut ages: Vec<(Millis, u64)> =
        table.iter().filter(|slot| slot.key() != spared).map(|slot| (newest(slot), slot.key())).collect();
    ages.sort_unstable();
    let going = ages.len().div_ceil(4);
    let Some(last) = going.checked_sub(1).map(|at| ages[at]) else { return 0 };
    table.retain(|slot| slot.key() == spared || (newest(slot), slot.key()) > last);
    going as i64
}

fn sweep_shard<S: Slot>(tables: &mut Sharded<S>, shard: usize, version: u64, keep: impl Fn(&S) -> bool) {
    if tables.shard(shard).table.iter().any(|slot| !keep(slot)) {
        tables.write_shard(shard, version).retain(|slot| keep(slot));
    }
}

/// 256 shards: with a million users a shard is 256 to 512 kB, copied in well under a millisecond after a snapshot, and
/// with epochs of half a second each is swept every two minutes.
const SHARD_BITS: u32 = 8;
/// Touches stay this much longer than their lookback, so that a conversion up to this late finds all of its journey.
const KEPT_BEYOND_MS: Millis = HOUR_MS;

/// Impressions spilled, at 32 B: fifty seconds of 20,000 a second, all of users who are at their cap. A tenth of that is
/// needed live (the allowed delay, and a cut); the rest is for long cuts of a backlog.
const SPILLED_IMPRESSIONS_MAX: usize = 1 << 20;
/// Clicks spilled, at 40 B: only robots click so often.
const SPILLED_CLICKS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shard_loses_the_oldest_quarter_and_spares_the_new() {
        let semantics = Semantics { users_max: 8 << SHARD_BITS, ..Semantics::default() };
        let epoch =
            Verdicts { semantics: &semantics, touch_watermark: Millis::MIN, needed_from: Millis::MIN, version: 1 };
        let mut touches = Touches::new();
        for user in 1..=9 {
            let time = if user == 9 { 0 } else { user as Millis };
            touches.add_impression(user, ImpressionTouch { time, id: 0, code: 0 }, &epoch);
        }
        assert_eq!(touches.evicted.users, 2);
        assert_eq!(
            touches.viewers.shard(0).table.sorted().iter().map(|slot| slot.user).collect::<Vec<_>>(),
            [3, 4, 5, 6, 7, 8, 9]
        );
    }

    #[test]
    fn a_robot_keeps_its_newest_clicks_only() {
        let semantics = Semantics { clicks_per_user_max: 2, ..Semantics::default() };
        let epoch =
            Verdicts { semantics: &semantics, touch_watermark: Millis::MIN, needed_from: Millis::MIN, version: 1 };
        let mut touches = Touches::new();
        for time in [5, 9, 7] {
            touches.add_click(ClickSlot { id: time as u64, time, user: 1, code: 0, values: NO_VALUES }, &epoch);
        }
        assert_eq!(
            touches.clickers.get(1).expect("just made").clicks.iter().map(|click| click.time).collect::<Vec<_>>(),
            [7, 9]
        );
        assert_eq!(touches.evicted.clicks_of_user, 1);
        assert!(touches.click(5).is_some());
    }
}
