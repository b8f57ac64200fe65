//! The state of one sibling set, and the two ends of an epoch.

use crate::counters::{Counters, Sizes};
use crate::credit::{self, Known};
use crate::cut::{Closed, CutEnd, CutError};
use crate::dedupe::{Dedupe, Limits, Seen};
use crate::fold::Stage;
use crate::marginals::unpacked;
use crate::minute::Minute;
use crate::names::{Named, Names};
use crate::pending::{Block, Pending, PendingConversion, Ripe};
use crate::semantics::Semantics;
use crate::slots::{ClickSlot, NO_VALUES};
use crate::sums::{EpochSums, TouchCodes};
use crate::tally::{Counts, Tally};
use crate::touches::{Evicted, Touches, Verdicts};
use crate::waiting::{Waiting, WaitingClick, WaitingConversion};
use model::event::EventKind;
use model::journal::{Epoch, EpochCounts, Range};
use model::keyed::KeyedHasher;
use model::time::{Millis, minute_of};
use window::watermark::{SourceWatermark, least};

/// Who folds, and what: goes into Epoch records, decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Number of the three partitions.
    pub partition: i32,
    /// How many each topic has.
    pub partitions: i32,
    /// The worker's name.
    pub worker: String,
    /// The program's build.
    pub build: String,
    /// Names of the topics: impressions, clicks, conversions.
    pub topics: [String; 3],
}

/// The same-numbered partitions of impressions, clicks and conversions.
pub struct SiblingSet {
    pub(crate) identity: Identity,
    pub(crate) hasher: KeyedHasher,
    // What a snapshot holds.
    pub(crate) semantics: Semantics,
    pub(crate) epoch: i64,
    pub(crate) positions: [i64; 3],
    pub(crate) sources: [SourceWatermark; 3],
    pub(crate) dedupe: Dedupe,
    pub(crate) touches: Touches,
    pub(crate) names: Names,
    /// Values of clicks' dimensions, as one name each.
    pub(crate) values: Names,
    pub(crate) pending: Pending,
    pub(crate) minute: Minute,
    // What lives inside an epoch only.
    pub(crate) is_open: bool,
    pub(crate) open: OpenEpoch,
    pub(crate) stage: Stage,
    pub(crate) waiting: Waiting,
    pub(crate) tally: Tally,
    /// Counts of touches whose name found no code.
    pub(crate) unnamed: EpochSums,
}

/// The epoch that is being folded, with what its verdicts use.
#[derive(Clone, Copy, Default)]
pub(crate) struct OpenEpoch {
    pub clock: Millis,
    pub watermark: Millis,
    pub touch_watermark: Millis,
    pub needed_from: Millis,
    pub folded_to: [i64; 3],
    pub counts: [EpochCounts; 3],
    pub counters: Counters,
    /// All that was folded is in the tables: nothing more is taken.
    pub is_gathered: bool,
}

impl SiblingSet {
    /// A set that has seen nothing and starts at position 0 of each sibling.
    pub fn new(identity: Identity, hasher: KeyedHasher, semantics: Semantics) -> Self {
        let seed = hasher.id(NAMES_SEED);
        let names = Names::new(seed);
        Self {
            identity,
            hasher,
            semantics,
            epoch: 0,
            positions: [0; 3],
            sources: [SourceWatermark::new(); 3],
            dedupe: Dedupe::new(),
            touches: Touches::new(),
            names,
            values: Names::new(seed),
            pending: Pending::default(),
            minute: Minute::new(seed),
            is_open: false,
            open: OpenEpoch::default(),
            stage: Stage::default(),
            waiting: Waiting::default(),
            tally: Tally::default(),
            unnamed: EpochSums::new(),
        }
    }

    /// Starts elsewhere: where the journal says that the sources stand, or at the first record kept. Only between epochs.
    pub fn start_at(&mut self, epoch: i64, positions: [i64; 3]) {
        if !self.is_open {
            (self.epoch, self.positions) = (epoch, positions);
        }
    }

    /// An epoch begins. Its clock is in the Epoch record, so that a replay opens with the same. Without effect while one
    /// is open.
    pub fn open(&mut self, clock_ms: Millis) {
        if std::mem::replace(&mut self.is_open, true) {
            return;
        }
        self.minute.open(clock_ms);
        self.open = OpenEpoch {
            clock: clock_ms,
            watermark: least(&self.sources),
            touch_watermark: least(&self.sources[..2]),
            needed_from: self.needed_from(),
            folded_to: self.positions,
            counts: Default::default(),
            counters: Counters::default(),
            is_gathered: false,
        };
    }

    /// The part of an epoch's end that concerns this set alone, which several sets may do side by side: what is staged and
    /// what waited goes into the tables in canonical order. Nothing more is taken then until the epoch is closed, which
    /// does this itself where it was not done. Without effect while no epoch is open.
    pub fn gather(&mut self) {
        if !self.is_open || std::mem::replace(&mut self.open.is_gathered, true) {
            return;
        }
        self.apply_staged();
        self.fold_clicks();
        self.minute.marginals.settle();
    }

    /// The epoch ends: what waited is folded in canonical order, ripe conversions are credited, the watermark moves.
    pub fn close(&mut self, cut: CutEnd, sums: &mut EpochSums) -> Result<Closed, CutError> {
        if !self.is_open {
            return Err(CutError::NotOpen);
        }
        for kind in EventKind::ALL {
            let (to, folded_to) = (cut.to[kind.index()], self.open.folded_to[kind.index()]);
            if to < folded_to {
                return Err(CutError::Behind { kind, to, folded_to });
            }
        }
        self.gather();
        self.fold_conversions(sums);
        self.credit_ripe(sums);
        self.tally.drain(&mut self.names, sums);
        sums.absorb(&mut self.unnamed);
        self.open.counters.values_merged = self.minute.close(self.open.clock, &mut self.names, sums);
        for (source, idle) in self.sources.iter_mut().zip(cut.idle) {
            source.advance(self.open.clock, self.semantics.allowed_delay_ms, idle);
        }
        self.tidy();
        self.epoch += 1;
        let from = std::mem::replace(&mut self.positions, cut.to);
        if let Some(next) = cut.next_semantics.filter(|next| next.version > self.semantics.version) {
            self.semantics = next;
        }
        self.is_open = false;
        Ok(Closed { epoch: self.record(from, &cut), counters: self.open.counters })
    }

    /// Next position to read of each sibling, as of the last closed epoch.
    pub fn positions(&self) -> [i64; 3] {
        self.positions
    }

    /// Number of the last closed epoch, 0 before the first.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Next position to fold of each sibling, within the open epoch.
    pub fn folded_to(&self) -> [i64; 3] {
        if self.is_open { self.open.folded_to } else { self.positions }
    }

    /// The least watermark of the siblings, as of the last closed epoch.
    pub fn watermark(&self) -> Millis {
        least(&self.sources)
    }

    /// What the next epoch's verdicts use.
    pub fn semantics(&self) -> &Semantics {
        &self.semantics
    }

    /// How much is held.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            viewers: self.touches.viewers.len(),
            clickers: self.touches.clickers.len(),
            clicks: self.touches.clicks.len(),
            touches_spilled: self.touches.spilled_impressions.len() + self.touches.spilled_clicks.len(),
            dedupe_entries: self.dedupe.len(),
            pending: self.pending.len(),
            names: self.names.len(),
        }
    }

    /// The number of the epoch that is open, as chunks are versioned.
    pub(crate) fn version(&self) -> u64 {
        (self.epoch + 1).max(0) as u64
    }

    /// What the open epoch judges touches by; the semantics are a copy, so that the tables can be written meanwhile.
    pub(crate) fn verdicts<'a>(&self, semantics: &'a Semantics) -> Verdicts<'a> {
        let OpenEpoch { touch_watermark, needed_from, .. } = self.open;
        Verdicts { semantics, touch_watermark, needed_from, version: self.version() }
    }

    fn limits(&self) -> Limits {
        Limits {
            watermark: self.open.watermark,
            horizons_ms: self.semantics.dedupe_horizons_ms,
            entries_max: self.semantics.dedupe_entries_max.max(1) as usize,
        }
    }

    /// Dedupe's word on an event, in the counts.
    pub(crate) fn accepts(&mut self, kind: EventKind, id: u64, time: Millis) -> bool {
        let limits = self.limits();
        let seen = self.dedupe.check(kind, id, time, &limits, self.version());
        let open = &mut self.open;
        let counts = &mut open.counts[kind.index()];
        if seen == Seen::Duplicate {
            counts.duplicate += 1;
            return false;
        }
        counts.accepted += 1;
        counts.late += i64::from(time < open.watermark);
        open.counters.dedupe_unknown[kind.index()] += i64::from(seen == Seen::Unknown);
        true
    }

    fn fold_clicks(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort();
        for click in &waiting.clicks {
            if self.accepts(EventKind::Click, click.id, click.time) {
                self.fold_click(click, &waiting);
            }
        }
        self.waiting = waiting;
    }

    fn fold_conversions(&mut self, sums: &mut EpochSums) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut block =
            Block { epoch: self.epoch + 1, clock: self.open.clock, version: self.version(), items: Vec::new() };
        for conversion in &waiting.conversions {
            if self.accepts(EventKind::Conversion, conversion.id, conversion.time) {
                block.items.push(pending(conversion, &waiting, sums));
            }
        }
        self.pending.add(block);
        waiting.clear();
        self.waiting = waiting;
    }

    fn fold_click(&mut self, click: &WaitingClick, waiting: &Waiting) {
        let named = Named {
            account: waiting.texts.get(click.account),
            campaign: waiting.texts.get(click.campaign),
            currency: waiting.texts.get(click.currency),
        };
        let counts = Counts::click(click.cost_micros);
        let Some(code) = self.names.code(named, self.semantics.names_max.max(1) as usize) else {
            self.count_unnamed(named, click.time, counts);
            return;
        };
        self.tally.add(code, minute_of(click.time), counts);
        let packed = waiting.values.get(click.values);
        let marginals = &mut self.minute.marginals;
        let codes = marginals.values.codes(&unpacked(packed));
        marginals.log(code, click.time, &codes, true, click.cost_micros);
        let name = Named { account: packed, campaign: "", currency: "" };
        let values = self.values.code(name, CLICK_VALUES_MAX).unwrap_or(NO_VALUES);
        self.open.counters.clicks_without_values += i64::from(values == NO_VALUES);
        self.open.counters.touches_late += i64::from(click.time < self.open.touch_watermark);
        let semantics = self.semantics;
        let epoch = self.verdicts(&semantics);
        let click = ClickSlot { id: click.id, time: click.time, user: click.user, code, values };
        self.touches.add_click(click, &epoch);
    }

    /// Counts a touch that gets no code: nothing is lost but its place in journeys.
    pub(crate) fn count_unnamed(&mut self, named: Named<'_>, time: Millis, counts: Counts) {
        self.open.counters.touches_unnamed += 1;
        let row = self.unnamed.touch_row(named, minute_of(time), &mut TouchCodes::default());
        self.unnamed.add(row, &counts.measures());
    }

    fn credit_ripe(&mut self, sums: &mut EpochSums) {
        let (version, semantics) = (self.version(), self.semantics);
        let open = &mut self.open;
        let waited_since = open.clock.saturating_sub(semantics.conversion_wait_ms);
        let count_max = semantics.pending_max.max(0) as usize;
        let ripe = self.pending.take_ripe(open.touch_watermark, waited_since, count_max, version);
        if ripe.is_empty() {
            return;
        }
        let known = Known::of(&ripe, &self.touches, &self.names, &self.values, &semantics);
        let counters = &mut open.counters;
        for (conversion, why) in &ripe {
            let credited = known.credit(conversion, sums, &mut self.minute.rows);
            counters.conversions_credited += i64::from(credited);
            counters.conversions_unmatched += i64::from(!credited);
            counters.conversions_waited += i64::from(*why == Ripe::Waited);
            counters.conversions_crowded += i64::from(*why == Ripe::Crowded);
        }
    }

    /// No conversion that is on time, neither one that waits nor one to come, is older.
    fn needed_from(&self) -> Millis {
        least(&self.sources).min(self.pending.oldest())
    }

    /// Drops what no later verdict can need, and says what the caps threw out.
    fn tidy(&mut self) {
        let (semantics, version) = (self.semantics, self.version());
        let epoch = self.verdicts(&semantics);
        self.dedupe.expire(least(&self.sources), &semantics.dedupe_horizons_ms);
        self.touches.sweep(&mut self.names, &mut self.values, &epoch);
        self.touches.close_spills(self.needed_from(), version);
        let round = self.touches.sweeps_per_round();
        if version % round == round - 1 {
            self.touches.mark_spilled(&mut self.names);
            self.minute.marginals.codes().for_each(|code| self.names.mark(code));
            self.names.end_round();
            self.touches.mark_spilled_values(&mut self.values);
            self.values.end_round();
        }
        let open = &mut self.open;
        for (counts, evicted) in open.counts.iter_mut().zip(self.dedupe.take_evicted()) {
            counts.evicted = evicted;
        }
        let Evicted { users, clicks, clicks_of_user, spilled } = self.touches.take_evicted();
        open.counters.users_evicted = users;
        open.counters.clicks_evicted = clicks;
        open.counters.clicks_of_user_evicted = clicks_of_user;
        open.counters.touches_spilled_out = spilled;
    }

    fn record(&self, from: [i64; 3], cut: &CutEnd) -> Epoch {
        let range = |at: usize| Range {
            topic: self.identity.topics[at].clone(),
            partition: self.identity.partition,
            from: from[at],
            to: cut.to[at],
            watermark: self.sources[at].at(),
            idle: cut.idle[at],
            epoch: self.epoch,
        };
        let [impressions, clicks, conversions] = self.open.counts;
        Epoch {
            worker: self.identity.worker.clone(),
            partition: self.identity.partition,
            epoch: self.epoch,
            ranges: (0..3).map(range).collect(),
            watermark: least(&self.sources),
            clock: self.open.clock,
            policy_version: self.semantics.version,
            impressions,
            clicks,
            conversions,
            lag_records: cut.lag_records,
            build: self.identity.build.clone(),
        }
    }
}

/// A conversion on its way to credit; what it claims is counted now, at its own minute.
fn pending(conversion: &WaitingConversion, waiting: &Waiting, sums: &mut EpochSums) -> PendingConversion {
    let claimed = waiting.texts.get(conversion.claimed);
    let pending = PendingConversion {
        time: conversion.time,
        user: conversion.user,
        click: conversion.click,
        value_micros: conversion.value_micros,
        claimed: claimed.into(),
        account: waiting.texts.get(conversion.account).into(),
        currency: waiting.texts.get(conversion.currency).into(),
        conversion_type: waiting.texts.get(conversion.conversion_type).into(),
    };
    if !pending.claimed.is_empty() {
        credit::count(&pending, claimed, sums);
    }
    pending
}

/// Distinct values of all dimensions together that clicks may point to, at about 100 B: clicks are few, and most of a
/// campaign come from the same devices and places.
const CLICK_VALUES_MAX: usize = 1 << 18;

/// What the interner's seed is the fingerprint of: no event id has this length.
pub(crate) const NAMES_SEED: &str =
    "the seed of the table of names: not an event id, because those have at most 64 bytes";
