//! The detector of one series: takes off what is usual, judges what is left, then learns.

use super::incident::{End, Incident, OddRow, Told};
use super::memory::Memory;
use super::noise::Noise;
use super::running::Mean;
use super::season::{Season, hour_of_day};
use super::settings::Settings;
use super::sums::Sums;
use super::tail::Tail;
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

/// One row of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// Epoch milliseconds; not before the row before.
    pub at_ms: Millis,
    /// Money, price, rate.
    pub value: f64,
    /// Billable events behind the value, where known: a value that few events make up is no surprise beyond their chance.
    pub count: Option<f64>,
}

/// What a row says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// From 0 to below 1; 0.5 is where the detector itself alerts. A row that does not top the last half day has half.
    pub score: f64,
    /// How many times a calm day gets this high, at most 1.
    pub calm_days_share: f64,
    /// The first alarm of an incident.
    pub alert: Option<Alert>,
}

/// An incident's first alarm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alert {
    /// Which way.
    pub direction: Direction,
    /// The value that was to be expected.
    pub expected: f64,
}

/// Above or below what is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Direction {
    Above,
    Below,
}

/// The state of one series: some 300 numbers, about 2.3 kB, whatever its length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesDetector {
    seen: Option<Seen>,
    step_ms: Mean,
    size: Mean,
    level: Mean,
    season: Season,
    memory: Memory,
    noise: Noise,
    lumps: Lumps,
    sums: Sums,
    spikes: Tail,
    drifts: Tail,
    incident: Option<Incident>,
    told: Told,
    /// A level that was adopted is taken as it comes for a day.
    settles_until_ms: Millis,
}

/// Which rows were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    first_ms: Millis,
    last_ms: Millis,
    rows: u32,
}

/// What a row is against what was usual.
struct Look {
    at_ms: Millis,
    step_ms: Millis,
    value: f64,
    /// Value above the floor, as a logarithm.
    x: f64,
    usual: f64,
    floor: f64,
    residual: f64,
    surprise: f64,
    /// The residual in standard deviations; both, as far as chance of whole events allows.
    plain_z: f64,
    z: (f64, f64),
    /// The row alone: odd against the season and against the rows before it.
    spike: f64,
}

impl SeriesDetector {
    /// A detector that has seen nothing.
    pub fn new(settings: &Settings) -> SeriesDetector {
        SeriesDetector {
            seen: None,
            step_ms: Mean::default(),
            size: Mean::default(),
            level: Mean::default(),
            season: Season::default(),
            memory: Memory::default(),
            noise: Noise::default(),
            lumps: Lumps::default(),
            sums: Sums::default(),
            spikes: Tail::prior(SPIKES_OF_A_DAY.0, SPIKES_OF_A_DAY.1, settings),
            drifts: Tail::prior(SUMS_OF_A_DAY.0, SUMS_OF_A_DAY.1, settings),
            incident: None,
            told: Told::default(),
            settles_until_ms: Millis::MIN,
        }
    }

    /// Reads one row.
    pub fn observe(&mut self, row: &Row, settings: &Settings) -> Reading {
        let Some(seen) = self.step_to(row) else { return Reading::default() };
        let settling = row.at_ms < self.settles_until_ms;
        let young = seen.rows <= YOUNG_ROWS || seen.age_ms() < YOUNG_MS || settling;
        let look = self.look(row, seen, settings);
        let calm = self.incident.is_none();
        if calm && !settling {
            self.sums.add(look.z.1, settings);
        }
        let told = i64::from(seen.rows) > settings.warm_up_rows && seen.age_ms() >= settings.warm_up_ms;
        let reading = if told && !settling { self.judge(&look, settings) } else { Reading::default() };
        let still_calm = self.incident.is_none() && !young;
        self.spikes.note(look.at_ms, libm::fabs(look.spike), still_calm, settings);
        self.drifts.note(look.at_ms, self.sums.greatest(), still_calm, settings);
        if self.incident.is_some() {
            self.live_through(&look, settings);
        } else {
            self.learn(&look, seen, young, settings);
        }
        reading
    }

    /// Whether an incident stands.
    pub fn is_in_incident(&self) -> bool {
        self.incident.is_some()
    }

    /// Memory, with what lies on the heap.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.season.held_bytes() + self.noise.held_bytes()
    }

    /// Where this row stands in the series; none if it cannot be read.
    fn step_to(&mut self, row: &Row) -> Option<SeenNow> {
        if libm::fabs(row.value) > VALUE_MAX || row.value.is_nan() {
            return None;
        }
        let before = self.seen;
        if before.is_some_and(|seen| row.at_ms < seen.last_ms) {
            return None;
        }
        let first_ms = before.map_or(row.at_ms, |seen| seen.first_ms);
        let rows = before.map_or(0, |seen| seen.rows).saturating_add(1);
        let gap_ms = before.map_or(0, |seen| row.at_ms.saturating_sub(seen.last_ms));
        self.seen = Some(Seen { first_ms, last_ms: row.at_ms, rows });
        Some(SeenNow { first_ms, at_ms: row.at_ms, rows, gap_ms })
    }

    fn look(&mut self, row: &Row, seen: SeenNow, settings: &Settings) -> Look {
        // After a long silence the rows before say nothing about now; and it is forgotten as one day, not as many.
        let step_ms = seen.gap_ms.min(DAY_MS);
        if seen.rows > 2 && seen.gap_ms as f64 > GAP_STEPS * self.step_ms.value().max(1.0) {
            self.memory.cut();
        }
        self.step_ms.feed(step_ms as f64, step_ms, settings.level_half_life_ms);
        let size = libm::fabs(row.value);
        let counted = if seen.rows > 1 { size.min(SIZE_CLIP * self.size.value()) } else { size };
        let counted = if self.size.value() > 0.0 { counted } else { size };
        if self.incident.is_none() {
            self.size.feed(counted, step_ms, SIZE_HALF_LIVES * settings.level_half_life_ms);
        }
        let floor = (settings.floor_share * self.size.value()).max(f64::MIN_POSITIVE);
        let x = libm::copysign(libm::log1p((size / floor).min(RATIO_MAX)), row.value);
        self.season.turn_to(row.at_ms, settings);
        let usual = self.level.value() + self.season.at(row.at_ms);
        let residual = if seen.rows == 1 { 0.0 } else { x - usual };
        let surprise = residual - self.memory.expects();
        let mut z = self.noise.standardised(residual, surprise, hour_of_day(row.at_ms), settings);
        let plain_z = z.0;
        if let Some(count) = row.count {
            let expected = libm::expm1(usual.max(0.0)) * floor;
            let limit = self.lumps.chance(counted, size, expected, count, step_ms, settings);
            z = (z.0.clamp(-limit, limit), z.1.clamp(-limit, limit));
        }
        // A return to the usual after an excursion is a surprise, and no spike; so is an odd row among odd rows.
        let both = libm::fabs(z.0).min(libm::fabs(z.1));
        let spike = if z.0 * z.1 > 0.0 { libm::copysign(both, z.0) } else { 0.0 };
        Look { at_ms: row.at_ms, step_ms, value: row.value, x, usual, floor, residual, surprise, plain_z, z, spike }
    }

    fn judge(&mut self, look: &Look, settings: &Settings) -> Reading {
        let by_spike = self.spikes.surprise(libm::fabs(look.spike));
        // The sums rest while an incident stands.
        let by_sum = if self.incident.is_none() { self.drifts.surprise(self.sums.greatest()) } else { 0.0 };
        let odds = by_spike.max(by_sum).clamp(0.0, ODDS_MAX);
        let needed = libm::log(settings.alert_days.max(2.0));
        let score = self.told.news(look.at_ms, odds / (odds + needed), settings);
        let mut reading = Reading { score, calm_days_share: libm::exp(-odds), alert: None };
        if self.incident.is_none() && odds >= needed {
            let above = if by_spike >= by_sum { look.spike > 0.0 } else { self.sums.is_up() };
            let direction = if above { Direction::Above } else { Direction::Below };
            reading.alert = Some(Alert { direction, expected: look.expected() });
            self.incident = Some(Incident::begin(look.at_ms));
            self.sums = Sums::default();
        }
        reading
    }

    /// An incident teaches nothing, so that the way back is no second one; unless it stays.
    fn live_through(&mut self, look: &Look, settings: &Settings) {
        let Some(incident) = &mut self.incident else { return };
        let (came, due) = (look.value, look.expected());
        let row = OddRow { at_ms: look.at_ms, step_ms: look.step_ms, came, due, z: look.plain_z };
        match incident.note(&row, settings) {
            Some(End::Calm) => self.incident = None,
            Some(End::Adopted(factor)) => self.adopt(factor, look),
            None => {
                let clip = settings.learn_clip * self.noise.residual_size(settings);
                self.memory.follow(look.residual.clamp(-clip, clip));
            }
        }
    }

    /// Another size leaves level, season and noise as they are, since all are in its terms. What became nothing, or came
    /// from nothing, has no such factor: there the level moves, and the hours of the day are learned again.
    fn adopt(&mut self, factor: f64, look: &Look) {
        self.incident = None;
        self.memory.cut();
        self.settles_until_ms = look.at_ms.saturating_add(YOUNG_MS);
        if (1.0 / FACTOR_MAX..=FACTOR_MAX).contains(&factor) {
            self.size.restart(self.size.value() * factor, f64::MAX);
            self.level.restart(self.level.value(), ADOPTED_ROWS);
        } else {
            self.level.restart(self.level.value() + look.residual, ADOPTED_ROWS);
            self.season.doubt();
        }
    }

    fn learn(&mut self, look: &Look, seen: SeenNow, young: bool, settings: &Settings) {
        if seen.rows == 1 {
            self.level.feed(look.x, look.step_ms, settings.level_half_life_ms);
            return;
        }
        let clip = settings.learn_clip * self.noise.residual_size(settings);
        let learned = if young { look.residual } else { look.residual.clamp(-clip, clip) };
        self.level.feed(self.level.value() + learned, look.step_ms, settings.level_half_life_ms);
        self.season.note(learned);
        let row = (look.residual, look.surprise);
        self.noise.learn(row, hour_of_day(look.at_ms), look.step_ms, young, settings);
        self.memory.learn(learned, look.step_ms, settings.scale_half_life_ms);
    }
}

impl Look {
    /// The value that season and level let expect.
    fn expected(&self) -> f64 {
        libm::copysign(libm::expm1(libm::fabs(self.usual)) * self.floor, self.usual)
    }
}

/// Where the row stands that is being read.
#[derive(Clone, Copy)]
struct SeenNow {
    first_ms: Millis,
    at_ms: Millis,
    rows: u32,
    gap_ms: Millis,
}

impl SeenNow {
    fn age_ms(&self) -> Millis {
        self.at_ms.saturating_sub(self.first_ms)
    }
}

/// The usual event: a value of few events is a sum of lumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Lumps {
    value: Mean,
    count: Mean,
}

impl Lumps {
    /// The most standard deviations that chance of whole events allows between what came and what was due: the signed
    /// root of Poisson's deviance, both counted in usual events. (For a price the usual event comes out so that the usual
    /// price is the usual number of events, and the limit is that of a mean of so many.)
    fn chance(
        &mut self,
        counted: f64,
        size: f64,
        expected: f64,
        count: f64,
        step_ms: Millis,
        settings: &Settings,
    ) -> f64 {
        if !(0.0..=VALUE_MAX).contains(&count) {
            return f64::MAX;
        }
        self.value.feed(counted, step_ms, settings.scale_half_life_ms);
        self.count.feed(count, step_ms, settings.scale_half_life_ms);
        let event = self.value.value() / self.count.value();
        if !(event.is_finite() && event > 0.0) {
            return f64::MAX;
        }
        let (came, due) = (size / event, (expected / event).max(DUE_MIN));
        let deviance = if came > 0.0 { came * libm::log(came / due) - (came - due) } else { due };
        let limit = libm::sqrt((2.0 / settings.dispersion.max(1.0) * deviance).max(0.0));
        if limit.is_nan() { f64::MAX } else { limit }
    }
}

/// Greatest of 24 standard normal sizes: mean and mean deviation over days.
const SPIKES_OF_A_DAY: (f64, f64) = (2.3, 0.45);
/// The same of the greater running sum at slack 0.5; a little above the 2.4 to 2.8 and 0.9 to 1.3 that campaigns 0 to 399
/// of the bench show, so that a young series rather keeps quiet.
const SUMS_OF_A_DAY: (f64, f64) = (3.2, 1.1);
/// Until then a series takes its rows as they are: there is no size to clip them by.
const YOUNG_ROWS: u32 = 24;
const YOUNG_MS: Millis = DAY_MS;
const DAY_MS: Millis = 86_400_000;
/// A gap of more usual steps is a silence.
const GAP_STEPS: f64 = 6.0;
/// The usual size takes a row as at most this many times itself.
const SIZE_CLIP: f64 = 3.0;
/// The usual size forgets this many times slower than the level: it only places the floor.
const SIZE_HALF_LIVES: Millis = 4;
/// A size that changed by more than this factor is another series.
const FACTOR_MAX: f64 = 20.0;
/// How sure a level is that was adopted, in rows.
const ADOPTED_ROWS: f64 = 24.0;
/// Fewer events than this in an hour are not told apart.
const DUE_MIN: f64 = 0.01;
/// A value beyond this many floors is as far off as one can be.
const RATIO_MAX: f64 = 1e12;
/// Beyond this, scores no longer differ.
const ODDS_MAX: f64 = 1e6;
/// Values beyond this are not money; sums of them stay finite.
const VALUE_MAX: f64 = 1e100;

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
