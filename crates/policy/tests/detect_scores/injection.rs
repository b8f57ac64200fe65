//! Made-up campaigns with known troubles: hourly spend with an hour-of-week shape, hour noise, drift, and counted events.
//!
//! What the judge must not be asked: whether real campaigns are like these. The shape of the noise (log-normal, first-order
//! drift) is the author's choice; the figures say how detectors compare, not what they will do elsewhere.

use policy::detect::Direction;

/// Weeks of a campaign; troubles begin after the warm-up.
pub const WEEKS: i64 = 8;
const WARM_UP_WEEKS: i64 = 3;
const HOUR_MS: i64 = 3_600_000;
/// Monday 2024-01-01 00:00 UTC.
const START_MS: i64 = 1_704_067_200_000;
pub const FACTORS: [f64; 6] = [1.25, 1.5, 2.0, 0.7, 0.5, 0.0];

/// Hours [from, to) whose spend was multiplied.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub from: usize,
    pub to: usize,
    pub factor: f64,
}

pub struct Campaign {
    pub events_a_day: f64,
    /// Start of the hour, money, billable events.
    pub rows: Vec<(i64, f64, f64)>,
    pub troubles: Vec<Trouble>,
}

/// Noise of the campaigns, as ranges of standard deviations of the logarithm.
pub struct Market {
    pub hour_noise: (f64, f64),
    pub drift: (f64, f64),
}

pub const CALM: Market = Market { hour_noise: (0.03, 0.12), drift: (0.02, 0.08) };
pub const RESTLESS: Market = Market { hour_noise: (0.05, 0.2), drift: (0.05, 0.2) };

/// A keyed generator: the same seed gives the same campaign on every machine.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(2.0 * core::f64::consts::PI * self.unit())
    }

    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return libm::round((mean + libm::sqrt(mean) * self.normal()).max(0.0));
        }
        let (floor, mut product, mut count) = (libm::exp(-mean), self.unit(), 0.0);
        while product > floor {
            product *= self.unit();
            count += 1.0;
        }
        count
    }
}

/// One campaign of a seed; with or without troubles it has the same noise.
pub fn campaign(seed: u64, troubled: bool, market: &Market) -> Campaign {
    let mut chance = Chance::new(seed);
    let events_a_day = libm::exp(chance.between(libm::log(60.0), libm::log(100_000.0)));
    let (swing, second, peak) = (chance.between(0.3, 1.2), chance.between(0.0, 0.4), chance.between(0.0, 24.0));
    let weekend = chance.between(0.6, 1.2);
    let hour_noise = chance.between(market.hour_noise.0, market.hour_noise.1);
    let drift_sd = chance.between(market.drift.0, market.drift.1);
    let memory = libm::exp2(-1.0 / libm::exp(chance.between(libm::log(6.0), libm::log(48.0))));
    let cost = chance.between(0.05, 2.0);
    let mut dice = Chance::new(seed ^ 0xABCD_EF01);
    let hours = (WEEKS * 168) as usize;
    let troubles = if troubled { troubles(&mut dice, hours) } else { Vec::new() };
    let (mut drift, mut rows) = (drift_sd * chance.normal(), Vec::with_capacity(hours));
    let turn = 2.0 * core::f64::consts::PI / 24.0;
    let shape = |hour: usize| {
        let (of_day, day) = ((hour % 24) as f64, (hour / 24) % 7);
        let wave = swing * libm::cos(turn * (of_day - peak)) + second * libm::cos(2.0 * turn * (of_day - peak + 3.0));
        libm::exp(wave) * if day >= 5 { weekend } else { 1.0 }
    };
    let mean_shape = (0..168).map(shape).sum::<f64>() / 168.0;
    for hour in 0..hours {
        drift = memory * drift + libm::sqrt(1.0 - memory * memory) * drift_sd * chance.normal();
        let noise = libm::exp(drift + hour_noise * chance.normal());
        let factor = troubles.iter().find(|t| (t.from..t.to).contains(&hour)).map_or(1.0, |t| t.factor);
        let mean = events_a_day / 24.0 * shape(hour) / mean_shape * noise * factor;
        let count = if mean > 0.0 { chance.poisson(mean) } else { 0.0 };
        // Costs of single events vary by half of their mean; their sum by that over the root of their number.
        let spend = (count * cost * (1.0 + 0.5 / libm::sqrt(count.max(1.0)) * chance.normal())).max(0.0);
        rows.push((START_MS + hour as i64 * HOUR_MS, if count > 0.0 { spend.max(0.01) } else { 0.0 }, count));
    }
    Campaign { events_a_day, rows, troubles }
}

/// About one a week, 3 to 24 hours long, at least three days apart.
fn troubles(dice: &mut Chance, hours: usize) -> Vec<Trouble> {
    let (mut list, mut at) = (Vec::new(), (WARM_UP_WEEKS * 168) as usize);
    loop {
        let from = at + dice.between(0.0, 96.0) as usize;
        let length = dice.between(3.0, 25.0) as usize;
        if from + length + 24 > hours {
            return list;
        }
        let factor = FACTORS[(dice.unit() * 6.0) as usize % 6];
        list.push(Trouble { from, to: from + length, factor });
        at = from + length + 72;
    }
}

/// What a detector did on many campaigns.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub troubles: usize,
    pub found: usize,
    /// By factor: troubles and found.
    pub by_factor: [(usize, usize); 6],
    pub delays: Vec<f64>,
    /// Alerts outside all troubles.
    pub false_alarms: usize,
    pub weeks: f64,
    /// Found with the right direction.
    pub right: usize,
}

impl Outcome {
    pub fn note(&mut self, campaign: &Campaign, alerts: &[(usize, Direction)]) {
        let mut hit = vec![false; campaign.troubles.len()];
        for (row, direction) in alerts {
            let Some(i) = campaign.troubles.iter().position(|t| (t.from..t.to).contains(row)) else {
                self.false_alarms += usize::from(*row >= (WARM_UP_WEEKS * 168) as usize);
                continue;
            };
            if !std::mem::replace(&mut hit[i], true) {
                let trouble = campaign.troubles[i];
                // The hour is over when its row is read.
                self.delays.push((row - trouble.from) as f64 + 1.0);
                self.right += usize::from((*direction == Direction::Above) == (trouble.factor > 1.0));
            }
        }
        for (trouble, hit) in campaign.troubles.iter().zip(hit) {
            let i = FACTORS.iter().position(|f| *f == trouble.factor).expect("one of the factors");
            self.by_factor[i].0 += 1;
            self.by_factor[i].1 += usize::from(hit);
            self.troubles += 1;
            self.found += usize::from(hit);
        }
        self.weeks += (WEEKS - WARM_UP_WEEKS) as f64;
    }

    pub fn recall(&self) -> f64 {
        self.found as f64 / (self.troubles as f64).max(1.0)
    }

    pub fn false_a_week(&self) -> f64 {
        self.false_alarms as f64 / self.weeks.max(1.0)
    }

    pub fn median_delay(&self) -> f64 {
        let mut sorted = self.delays.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}
