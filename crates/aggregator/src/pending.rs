//! Conversions that wait until the touches before them have surely arrived.
//!
//! What always holds: each is handed out once. They stand in blocks of the epoch they arrived in, so that a snapshot
//! shares what does not change and a block's clock says how long its conversions have waited.

use crate::bytes::{Corrupt, Reader, Writer};
use model::time::Millis;
use std::collections::VecDeque;
use std::sync::Arc;

/// A conversion to credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingConversion {
    pub time: Millis,
    /// 0 without one.
    pub user: u64,
    /// 0 without one.
    pub click: u64,
    pub value_micros: i64,
    /// The campaign that was claimed, where it was counted when it arrived; empty where none was.
    pub claimed: Box<str>,
    pub account: Box<str>,
    pub currency: Box<str>,
    pub conversion_type: Box<str>,
}

/// Conversions of one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub epoch: i64,
    /// Clock of that epoch.
    pub clock: Millis,
    /// Epoch that last took from it.
    pub version: u64,
    pub items: Vec<PendingConversion>,
}

/// Why a conversion is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ripe {
    /// The touch watermark has passed it.
    Watermark,
    /// It has waited long enough.
    Waited,
    /// There are too many.
    Crowded,
}

/// All that wait, oldest block first.
#[derive(Clone, Default)]
pub(crate) struct Pending {
    pub blocks: VecDeque<Arc<Block>>,
    count: usize,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn add(&mut self, block: Block) {
        if !block.items.is_empty() {
            self.count += block.items.len();
            self.blocks.push_back(Arc::new(block));
        }
    }

    /// Time of the oldest conversion, [`Millis::MAX`] without any.
    pub fn oldest(&self) -> Millis {
        self.blocks.iter().flat_map(|block| &block.items).map(|item| item.time).min().unwrap_or(Millis::MAX)
    }

    /// Hands out what is ripe, and above `count_max` the oldest blocks whole.
    pub fn take_ripe(
        &mut self,
        touch_watermark: Millis,
        waited_since: Millis,
        count_max: usize,
        version: u64,
    ) -> Vec<(PendingConversion, Ripe)> {
        let mut taken = Vec::new();
        for block in &mut self.blocks {
            let waited = block.clock <= waited_since;
            let ripe = |item: &PendingConversion| waited || item.time < touch_watermark;
            if block.items.iter().any(ripe) {
                let block = Arc::make_mut(block);
                block.version = version;
                taken.extend(block.items.extract_if(.., |item| ripe(item)).map(|item| {
                    let why = if item.time < touch_watermark { Ripe::Watermark } else { Ripe::Waited };
                    (item, why)
                }));
            }
        }
        self.blocks.retain(|block| !block.items.is_empty());
        self.count = self.blocks.iter().map(|block| block.items.len()).sum();
        while self.count > count_max
            && let Some(block) = self.blocks.pop_front()
        {
            self.count -= block.items.len();
            let items = Arc::unwrap_or_clone(block).items;
            taken.extend(items.into_iter().map(|item| (item, Ripe::Crowded)));
        }
        taken
    }

    /// Puts a block back; blocks may come in any order.
    pub fn restore(&mut self, version: u64, bytes: &[u8]) -> Result<(), Corrupt> {
        let block = Block::decode(version, bytes)?;
        let at = self.blocks.partition_point(|other| other.epoch < block.epoch);
        self.count += block.items.len();
        self.blocks.insert(at, Arc::new(block));
        Ok(())
    }
}

impl Block {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.i64(self.epoch);
        out.i64(self.clock);
        out.count(self.items.len());
        for item in &self.items {
            out.i64(item.time);
            out.u64(item.user);
            out.u64(item.click);
            out.i64(item.value_micros);
            out.text(&item.claimed);
            out.text(&item.account);
            out.text(&item.currency);
            out.text(&item.conversion_type);
        }
        out.0
    }

    fn decode(version: u64, bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut input = Reader::new(bytes);
        let (epoch, clock) = (input.i64()?, input.i64()?);
        let mut items = Vec::new();
        for _ in 0..input.count(ITEM_BYTES_MIN)? {
            items.push(PendingConversion {
                time: input.i64()?,
                user: input.u64()?,
                click: input.u64()?,
                value_micros: input.i64()?,
                claimed: input.text()?.into(),
                account: input.text()?.into(),
                currency: input.text()?.into(),
                conversion_type: input.text()?.into(),
            });
        }
        input.end()?;
        if items.is_empty() {
            return Err(Corrupt("a block of conversions is empty"));
        }
        Ok(Self { epoch, clock, version, items })
    }
}

/// Four numbers, four lengths.
const ITEM_BYTES_MIN: usize = 48;
