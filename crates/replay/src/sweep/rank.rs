//! The ranking: means with intervals, the out-of-time check, and the warnings.

use serde_json::{Value, json};

/// What each candidate scored on each unit, in time and out of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Whether more is better.
    pub more_is_better: bool,
    /// Names, the one that all are compared with first.
    pub candidates: Vec<String>,
    /// By candidate, then unit: the part that candidates are ranked by, and the part after it.
    pub in_time: Vec<Vec<f64>>,
    /// The same units in the same order.
    pub out_of_time: Vec<Vec<f64>>,
}

/// A mean with its 95 % interval; the interval is absent where there is but one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Its 95 % interval by Student's t.
    pub bounds: Option<[f64; 2]>,
}

/// One candidate's place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Its place in the list of candidates.
    pub candidate: usize,
    /// Its scores.
    pub in_time: Interval,
    /// The same out of time.
    pub out_of_time: Interval,
    /// Less the first candidate's, unit by unit.
    pub lead_in_time: Interval,
    /// The same out of time.
    pub lead_out_of_time: Interval,
    /// Place by the second part alone, from 1.
    pub rank_out_of_time: usize,
}

/// What a sweep says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// The best first.
    pub places: Vec<Place>,
    /// Units that are compared.
    pub units: usize,
    /// Spearman's correlation of the two rankings; absent below three candidates.
    pub rank_correlation: Option<f64>,
    /// How far the best of so many equal candidates would lie above their mean by luck alone.
    pub optimism: Option<f64>,
    /// The winner's distance from the mean of all: in time, and out of time.
    pub distance: [f64; 2],
    /// Share of the splits of the units in which the best of one half is below the middle of the other half.
    pub overfitting: Option<f64>,
    /// What to be careful about.
    pub warnings: Vec<String>,
}

/// Ranks.
pub fn rank(scores: &Scores) -> Ranking {
    let units = scores.in_time.iter().chain(&scores.out_of_time).map(Vec::len).min().unwrap_or(0);
    let order = order(scores, &scores.in_time);
    let after = self::order(scores, &scores.out_of_time);
    let places: Vec<Place> = order
        .iter()
        .map(|candidate| Place {
            candidate: *candidate,
            in_time: interval(&scores.in_time[*candidate]),
            out_of_time: interval(&scores.out_of_time[*candidate]),
            lead_in_time: interval(&lead(&scores.in_time, *candidate)),
            lead_out_of_time: interval(&lead(&scores.out_of_time, *candidate)),
            rank_out_of_time: 1 + after.iter().position(|other| other == candidate).unwrap_or(0),
        })
        .collect();
    let best = order.first().copied().unwrap_or(0);
    let mut ranking = Ranking {
        units,
        rank_correlation: (places.len() > 2).then(|| spearman(&places)),
        optimism: optimism(&scores.in_time),
        distance: [distance(&scores.in_time, best), distance(&scores.out_of_time, best)],
        overfitting: overfitting(scores, units),
        places,
        warnings: Vec::new(),
    };
    ranking.warnings = warnings(scores, &ranking);
    ranking
}

impl Ranking {
    /// As the sweep's document holds it.
    pub fn document(&self, candidates: &[String]) -> Value {
        let interval = |interval: &Interval| json!({ "mean": interval.mean, "low": interval.bounds.map(|b| b[0]), "high": interval.bounds.map(|b| b[1]) });
        let places: Vec<Value> = (1..)
            .zip(&self.places)
            .map(|(rank, place)| {
                json!({
                    "rank": rank, "candidate": candidates.get(place.candidate),
                    "in_time": interval(&place.in_time), "out_of_time": interval(&place.out_of_time),
                    "lead_in_time": interval(&place.lead_in_time), "lead_out_of_time": interval(&place.lead_out_of_time),
                    "rank_out_of_time": place.rank_out_of_time,
                })
            })
            .collect();
        json!({
            "units": self.units, "places": places, "warnings": self.warnings,
            "overfitting": {
                "rank_correlation": self.rank_correlation,
                "best_of_n_optimism": self.optimism,
                "winner_above_mean_in_time": self.distance[0],
                "winner_above_mean_out_of_time": self.distance[1],
                "share_of_splits_below_the_middle": self.overfitting,
            },
        })
    }
}

/// Fewer units tell hardly anything.
const UNITS_MIN: usize = 8;
/// Below this the order in time says little about the order out of time.
const CORRELATION_MIN: f64 = 0.3;
/// Above this the winner is more luck than merit (Bailey, Borwein, López de Prado and Zhu, 2017).
const OVERFITTING_MAX: f64 = 0.3;

fn warnings(scores: &Scores, ranking: &Ranking) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(winner) = ranking.places.first() else { return warnings };
    let name = scores.candidates.get(winner.candidate).map_or("", String::as_str);
    if ranking.units < UNITS_MIN {
        warnings.push(format!(
            "{} units are few: add seeds, markets or campaigns before anything is decided",
            ranking.units
        ));
    }
    if ranking.places.len() < 2 {
        return warnings;
    }
    if winner.candidate != 0 {
        let sign = if scores.more_is_better { 1.0 } else { -1.0 };
        let bounds = winner.lead_out_of_time.bounds.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let least = if sign > 0.0 { bounds[0] } else { -bounds[1] };
        if winner.lead_out_of_time.mean * sign <= 0.0 {
            warnings.push(format!("overfitting: {name} leads in time and not out of time"));
        } else if least <= 0.0 {
            warnings.push(format!(
                "{name} is not shown to be better than {} out of time: its interval holds 0",
                scores.candidates[0]
            ));
        }
    }
    if ranking.rank_correlation.is_some_and(|correlation| correlation < CORRELATION_MIN) {
        warnings.push(format!(
            "overfitting: the order in time hardly holds out of time (rank correlation {:.2})",
            ranking.rank_correlation.unwrap_or_default()
        ));
    }
    if ranking.optimism.is_some_and(|optimism| ranking.distance[0] <= optimism) {
        warnings
            .push(format!("the best of {} equal candidates would lead this far by luck alone", ranking.places.len()));
    }
    if ranking.overfitting.is_some_and(|share| share > OVERFITTING_MAX) {
        warnings.push(format!(
            "overfitting: in {:.0} % of the splits of the units the best of one half is below the middle of the other",
            100.0 * ranking.overfitting.unwrap_or_default()
        ));
    }
    warnings
}

/// The best first; equal ones in their own order.
fn order(scores: &Scores, of: &[Vec<f64>]) -> Vec<usize> {
    ordered(&of.iter().map(|units| mean(units)).collect::<Vec<_>>(), scores.more_is_better)
}

fn ordered(means: &[f64], more_is_better: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..means.len()).collect();
    order.sort_by(|a, b| {
        let ascending = means[*a].total_cmp(&means[*b]);
        if more_is_better { ascending.reverse() } else { ascending }
    });
    order
}

fn lead(of: &[Vec<f64>], candidate: usize) -> Vec<f64> {
    of[candidate].iter().zip(&of[0]).map(|(own, first)| own - first).collect()
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len().max(1) as f64
}

/// Standard error of the mean.
fn error(of: &[f64]) -> Option<f64> {
    let (count, mean) = (of.len() as f64, mean(of));
    let squares: f64 = of.iter().map(|one| (one - mean) * (one - mean)).sum();
    (of.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt())
}

fn interval(of: &[f64]) -> Interval {
    let mean = mean(of);
    let half = error(of).map(|error| error * student(of.len() - 1));
    Interval { mean, bounds: half.map(|half| [mean - half, mean + half]) }
}

/// The 97.5 % point of Student's t, by Cornish and Fisher's expansion; exact to a hundredth from four degrees of freedom.
fn student(freedom: usize) -> f64 {
    const EXACT: [f64; 3] = [12.706, 4.303, 3.182];
    if let Some(exact) = EXACT.get(freedom.saturating_sub(1)) {
        return *exact;
    }
    let (z, n) = (1.959_963_984_540_054_f64, freedom as f64);
    let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z);
    z + (z3 + z) / (4.0 * n)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * n * n * n)
}

fn spearman(places: &[Place]) -> f64 {
    let count = places.len() as f64;
    let off = (1..).zip(places).map(|(rank, place): (usize, &Place)| rank.abs_diff(place.rank_out_of_time));
    let squares: usize = off.map(|off| off * off).sum();
    1.0 - 6.0 * squares as f64 / (count * (count * count - 1.0))
}

/// Distance of a candidate from the mean of all, whichever direction is good.
fn distance(of: &[Vec<f64>], candidate: usize) -> f64 {
    let means: Vec<f64> = of.iter().map(|units| mean(units)).collect();
    means.get(candidate).map_or(0.0, |own| (own - mean(&means)).abs())
}

/// Expected greatest of so many normal errors (Blom, 1958), each as large as the candidates' own distances from their
/// mean are uncertain.
fn optimism(of: &[Vec<f64>]) -> Option<f64> {
    let units = of.first()?.len();
    if of.len() < 2 || units < 2 {
        return None;
    }
    let middle: Vec<f64> = (0..units).map(|unit| mean(&of.iter().map(|one| one[unit]).collect::<Vec<_>>())).collect();
    let errors: Option<Vec<f64>> = of
        .iter()
        .map(|one| error(&one.iter().zip(&middle).map(|(own, middle)| own - middle).collect::<Vec<_>>()))
        .collect();
    let count = of.len() as f64;
    Some(mean(&errors?) * normal_quantile((count - 0.375) / (count + 0.25)))
}

/// Acklam's approximation of the normal quantile for the upper half, good to 1e-9 there.
fn normal_quantile(share: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] =
        [0.007_784_695_709_041_462, 0.322_467_129_070_039_8, 2.445_134_137_142_996, 3.754_408_661_907_416];
    let in_order = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, one| sum * x + one);
    if share <= 0.975_75 {
        let q = share - 0.5;
        return in_order(&A, q * q) * q / (in_order(&B, q * q) * q * q + 1.0);
    }
    let q = (-2.0 * libm::log(1.0 - share)).sqrt();
    -in_order(&C, q) / (in_order(&D, q) * q + 1.0)
}

/// Half of the units choose a best one, the others judge it: all splits into halves by blocks (combinatorially symmetric
/// cross-validation). Both times of a unit count together.
fn overfitting(scores: &Scores, units: usize) -> Option<f64> {
    if scores.candidates.len() < 3 || units < 2 * BLOCKS {
        return None;
    }
    let both = |candidate: usize, unit: usize| scores.in_time[candidate][unit] + scores.out_of_time[candidate][unit];
    let sum = |candidate: usize, chosen: u32, wanted: u32| {
        let of = (0..units).filter(|unit| (chosen >> (unit % BLOCKS)) & 1 == wanted);
        of.map(|unit| both(candidate, unit)).sum::<f64>()
    };
    let candidates = scores.candidates.len();
    let (mut below, mut splits) = (0.0, 0.0);
    for chosen in (0..1_u32 << BLOCKS).filter(|chosen| chosen.count_ones() as usize == BLOCKS / 2) {
        let choosing: Vec<f64> = (0..candidates).map(|candidate| sum(candidate, chosen, 1)).collect();
        let judging: Vec<f64> = (0..candidates).map(|candidate| sum(candidate, chosen, 0)).collect();
        let best = ordered(&choosing, scores.more_is_better)[0];
        let place = ordered(&judging, scores.more_is_better).iter().position(|one| *one == best).unwrap_or(0);
        splits += 1.0;
        below += f64::from(2 * place + 1 > candidates);
    }
    Some(below / splits)
}

/// 70 splits.
const BLOCKS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed wiggle between -1 and 1.
    fn noise(seed: usize) -> f64 {
        let mixed = (seed as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    fn scores(candidates: usize, units: usize, merit: impl Fn(usize) -> f64) -> Scores {
        let part = |offset: usize| {
            (0..candidates)
                .map(|one| (0..units).map(|unit| merit(one) + noise(offset + one * units + unit)).collect())
                .collect()
        };
        Scores {
            more_is_better: true,
            candidates: (0..candidates).map(|one| format!("candidate-{one}")).collect(),
            in_time: part(0),
            out_of_time: part(100_000),
        }
    }

    #[test]
    fn the_better_of_many_wins_in_both_times_and_nobody_is_warned() {
        let ranking = rank(&scores(8, 40, |one| one as f64));
        assert_eq!(ranking.places[0].candidate, 7);
        assert!(ranking.rank_correlation.unwrap() > 0.95);
        assert_eq!(ranking.overfitting, Some(0.0));
        assert!(ranking.warnings.is_empty(), "{:?}", ranking.warnings);
        assert!(ranking.places[0].lead_out_of_time.bounds.unwrap()[0] > 6.0);
    }

    #[test]
    fn the_best_of_equal_candidates_is_told_to_be_luck() {
        let ranking = rank(&scores(30, 24, |_| 0.0));
        let words = ranking.warnings.join("; ");
        assert!(words.contains("overfitting") && words.contains("luck alone"), "{words}");
        assert!(ranking.places[0].in_time.mean > 0.1, "it looks good: {:?}", ranking.places[0]);
        let (expected, seen) = (ranking.optimism.unwrap(), ranking.distance[0]);
        assert!((0.6..1.6).contains(&(seen / expected)), "{seen} beside {expected}");
    }

    #[test]
    fn less_is_better_where_it_is_said() {
        let costs = Scores { more_is_better: false, ..scores(3, 20, |one| 10.0 - 3.0 * one as f64) };
        let ranking = rank(&costs);
        assert_eq!(ranking.places.iter().map(|place| place.candidate).collect::<Vec<_>>(), [2, 1, 0]);
        assert!(ranking.warnings.is_empty(), "{:?}", ranking.warnings);
        let reversed = Scores { out_of_time: costs.out_of_time.iter().rev().cloned().collect(), ..costs };
        assert!(rank(&reversed).warnings[0].contains("leads in time and not out of time"));
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, t) in [(1, 12.706), (4, 2.776), (10, 2.228), (30, 2.042), (1_000, 1.962)] {
            assert!((student(freedom) - t).abs() < 0.01, "{freedom}: {}", student(freedom));
        }
        for (share, z) in [(0.5, 0.0), (0.9, 1.281_551_6), (0.975, 1.959_964), (0.999, 3.090_232_3)] {
            assert!((normal_quantile(share) - z).abs() < 1e-6, "{share}: {}", normal_quantile(share));
        }
    }
}
