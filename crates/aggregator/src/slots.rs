//! Touches, and what is remembered of one user or one click: the slots of the tables.
//!
//! What always holds: a slot's touches are in order (by time, then id), and which remain does not depend on the order in
//! which they came.

use crate::bytes::{Corrupt, Reader, Writer};
use crate::semantics::IMPRESSIONS_PER_USER_MAX;
use crate::spill::Spillable;
use crate::table::Slot;
use model::time::Millis;

/// One click of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClickTouch {
    pub time: Millis,
    pub id: u64,
    pub code: u32,
    /// Code of the values of its dimensions, [`NO_VALUES`] where they found no room.
    pub values: u32,
}

/// A click whose dimensions are not known.
pub(crate) const NO_VALUES: u32 = u32::MAX;

/// One impression of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImpressionTouch {
    pub time: Millis,
    /// The top of the event id's hash: enough to order impressions of one millisecond.
    pub id: u16,
    pub code: u32,
}

/// A click as a conversion's `click_id` finds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClickSlot {
    pub id: u64,
    pub time: Millis,
    /// 0 without a user.
    pub user: u64,
    pub code: u32,
    /// As [`ClickTouch::values`].
    pub values: u32,
}

/// Last impressions of a user, oldest first: one cache line, because this is the hot path's one miss.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub(crate) struct ViewerSlot {
    pub user: u64,
    times: [Millis; IMPRESSIONS_PER_USER_MAX],
    /// Code + 1, 0 where free; the free ones stand last.
    codes: [u32; IMPRESSIONS_PER_USER_MAX],
    ids: [u16; IMPRESSIONS_PER_USER_MAX],
}

/// Clicks of a user, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClickerSlot {
    user: u64,
    pub clicks: Vec<ClickTouch>,
}

impl ViewerSlot {
    fn count(&self) -> usize {
        self.codes.iter().take_while(|code| **code != 0).count()
    }

    fn touch(&self, at: usize) -> ImpressionTouch {
        ImpressionTouch { time: self.times[at], id: self.ids[at], code: self.codes[at] - 1 }
    }

    fn set(&mut self, at: usize, touch: ImpressionTouch) {
        (self.times[at], self.ids[at], self.codes[at]) = (touch.time, touch.id, touch.code + 1);
    }

    pub fn touches(&self) -> impl Iterator<Item = ImpressionTouch> {
        (0..self.count()).map(|at| self.touch(at))
    }

    pub fn newest(&self) -> Millis {
        self.count().checked_sub(1).map_or(Millis::MIN, |at| self.times[at])
    }

    /// Keeps the greatest `count_max`, in order; for the others there is `gone`.
    pub fn add(&mut self, touch: ImpressionTouch, count_max: usize, mut gone: impl FnMut(ImpressionTouch)) {
        let mut count = self.count();
        while count >= count_max {
            if touch <= self.touch(0) && count == count_max {
                gone(touch);
                return;
            }
            gone(self.touch(0));
            for at in 1..count {
                self.set(at - 1, self.touch(at));
            }
            count -= 1;
            (self.times[count], self.ids[count], self.codes[count]) = (0, 0, 0);
        }
        let mut at = count;
        while at > 0 && self.touch(at - 1) > touch {
            self.set(at, self.touch(at - 1));
            at -= 1;
        }
        self.set(at, touch);
    }
}

impl ClickSlot {
    pub fn touch(&self) -> ClickTouch {
        ClickTouch { time: self.time, id: self.id, code: self.code, values: self.values }
    }
}

impl ClickerSlot {
    pub fn newest(&self) -> Millis {
        self.clicks.last().map_or(Millis::MIN, |click| click.time)
    }
}

impl Spillable for ImpressionTouch {
    const BYTES: usize = 14;

    fn time(&self) -> Millis {
        self.time
    }

    fn code(&self) -> u32 {
        self.code
    }

    fn write(&self, out: &mut Writer) {
        out.i64(self.time);
        out.u32(self.code);
        out.u16(self.id);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Corrupt> {
        Ok(Self { time: input.i64()?, code: input.u32()?, id: input.u16()? })
    }
}

impl Spillable for ClickTouch {
    const BYTES: usize = 24;

    fn time(&self) -> Millis {
        self.time
    }

    fn code(&self) -> u32 {
        self.code
    }

    fn write(&self, out: &mut Writer) {
        out.i64(self.time);
        out.u64(self.id);
        out.u32(self.code);
        out.u32(self.values);
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, Corrupt> {
        Ok(Self { time: input.i64()?, id: input.u64()?, code: input.u32()?, values: input.u32()? })
    }
}

impl Slot for ViewerSlot {
    const BYTES_MIN: usize = 10;

    fn key(&self) -> u64 {
        self.user
    }

    fn with_key(user: u64) -> Self {
        Self { user, ..Self::default() }
    }

    fn write(&self, out: &mut Writer) {
        out.u16(self.count() as u16);
        self.touches().for_each(|touch| touch.write(out));
    }

    fn read(user: u64, input: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let mut slot = Self::with_key(user);
        let count = usize::from(input.u16()?);
        if count > IMPRESSIONS_PER_USER_MAX {
            return Err(Corrupt("a user has too many impressions"));
        }
        for at in 0..count {
            let touch = ImpressionTouch::read(input)?;
            if touch.code == u32::MAX || (at > 0 && touch < slot.touch(at - 1)) {
                return Err(Corrupt("impressions of a user are out of order"));
            }
            slot.set(at, touch);
        }
        Ok(slot)
    }
}

impl Slot for ClickerSlot {
    const BYTES_MIN: usize = 16;

    fn key(&self) -> u64 {
        self.user
    }

    fn with_key(user: u64) -> Self {
        Self { user, clicks: Vec::new() }
    }

    fn write(&self, out: &mut Writer) {
        out.count(self.clicks.len());
        self.clicks.iter().for_each(|click| click.write(out));
    }

    fn read(user: u64, input: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let mut slot = Self::with_key(user);
        for _ in 0..input.count(ClickTouch::BYTES)? {
            let click = ClickTouch::read(input)?;
            if slot.clicks.last().is_some_and(|last| click < *last) {
                return Err(Corrupt("clicks of a user are out of order"));
            }
            slot.clicks.push(click);
        }
        Ok(slot)
    }
}

impl Slot for ClickSlot {
    const BYTES_MIN: usize = 32;

    fn key(&self) -> u64 {
        self.id
    }

    fn with_key(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    fn write(&self, out: &mut Writer) {
        out.i64(self.time);
        out.u64(self.user);
        out.u32(self.code);
        out.u32(self.values);
    }

    fn read(id: u64, input: &mut Reader<'_>) -> Result<Self, Corrupt> {
        Ok(Self { id, time: input.i64()?, user: input.u64()?, code: input.u32()?, values: input.u32()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_viewer_is_one_cache_line() {
        assert_eq!(size_of::<ViewerSlot>(), 64);
        assert_eq!(size_of::<ClickSlot>(), 32);
    }

    proptest! {
        #[test]
        fn a_user_keeps_the_newest_in_whatever_order_they_came(
            times in prop::collection::vec((-20..20_i64, 0..3_u16, 0..3_u32), 0..12), count_max in 1..=4_usize,
        ) {
            let mut slot = ViewerSlot::with_key(1);
            let (mut expected, mut spilled): (Vec<ImpressionTouch>, _) = (Vec::new(), Vec::new());
            for (time, id, code) in times {
                let touch = ImpressionTouch { time, id, code };
                slot.add(touch, count_max, |gone| spilled.push(gone));
                expected.push(touch);
            }
            expected.sort_unstable();
            let kept = expected.split_off(expected.len().saturating_sub(count_max));
            prop_assert_eq!(slot.touches().collect::<Vec<_>>(), kept);
            spilled.sort_unstable();
            prop_assert_eq!(spilled, expected);
        }
    }
}
