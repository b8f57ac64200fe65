//! Made-up road sensors: a row every 5 to 15 minutes with gaps, two rush hours, noise with heavy tails, two troubles.
//!
//! They stand for what the detector was not made for: no ad, no money, irregular rows, two weeks only. The author's
//! imagination of traffic, no measurement of it.

use super::injection::Chance;
use super::nab::Labelled;

const MINUTE_MS: i64 = 60_000;
/// Wednesday 2024-05-01 00:00 UTC.
const START_MS: i64 = 1_714_521_600_000;

/// A sensor of a seed: occupancy, speed or travel time.
pub fn sensor(seed: u64) -> Labelled {
    let mut chance = Chance::new(seed ^ 0x7AFF_1C00);
    let rows = 1_200 + (chance.unit() * 1_300.0) as usize;
    let (rush, noise, memory) = (chance.between(0.2, 1.0), chance.between(0.05, 0.25), chance.between(0.0, 0.9));
    let spikes = chance.between(0.0, 0.004);
    let is_speed = chance.unit() < 0.4;
    let mut troubles: Vec<(usize, usize, f64)> = Vec::new();
    for third in [0.3, 0.65] {
        let from = (rows as f64 * (third + chance.between(0.0, 0.25))) as usize;
        let length = 6 + (chance.unit() * 40.0) as usize;
        let strength = chance.between(0.5, 1.4) * if chance.unit() < 0.3 { -1.0 } else { 1.0 };
        troubles.push((from, (from + length).min(rows - 1), strength));
    }
    let (mut at_ms, mut drift, mut list) = (START_MS, 0.0, Vec::with_capacity(rows));
    for row in 0..rows {
        at_ms += MINUTE_MS
            * if chance.unit() < 0.01 { 60.0 + 240.0 * chance.unit() } else { 5.0 + 10.0 * chance.unit() } as i64;
        drift = memory * drift + libm::sqrt(1.0 - memory * memory) * chance.normal();
        let hour = (at_ms / MINUTE_MS % 1_440) as f64 / 60.0;
        let weekday = (at_ms / 86_400_000 + 3) % 7 < 5;
        let bump = |peak: f64| libm::exp(-(hour - peak) * (hour - peak) / 4.0);
        let busy = rush * (bump(8.0) + bump(17.5)) * if weekday { 1.0 } else { 0.3 };
        let spike = if chance.unit() < spikes { chance.between(0.5, 1.5) } else { 0.0 };
        let trouble = troubles.iter().find(|(from, to, _)| (*from..=*to).contains(&row)).map_or(0.0, |t| t.2);
        let load = busy + noise * drift + spike + trouble;
        let value = if is_speed { 65.0 / (1.0 + libm::exp(1.5 * (load - 1.5))) } else { 12.0 * libm::exp(load) };
        list.push((at_ms, libm::round(value * 100.0) / 100.0));
    }
    // As in the benchmark: windows of a tenth of the rows in all, around the troubles.
    let half = rows / 40;
    let windows = troubles.iter().map(|(from, ..)| (from.saturating_sub(half), (from + half).min(rows - 1))).collect();
    Labelled { name: "made-up traffic", rows: list, windows }
}
