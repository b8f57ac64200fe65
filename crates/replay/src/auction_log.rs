//! A recorded auction log played again under control: rounds of auctions, one multiplier a round, a goal for the cost of a
//! click or for the spend.
//!
//! The log tells what a competitor paid; a bid above it wins, pays it, and gets the click that was recorded. What always
//! holds: a round's multiplier depends on auctions that were won in earlier rounds and on predicted click rates, never on
//! what was lost or is still to come. The constants are those of the service's policy or follow from the goal; none was
//! fitted to a log.
//!
//! The method is the policy's: small counts are shrunk (10 pseudo-clicks towards the predicted rates), what a higher bid
//! would cost is assumed with the elasticity of 2, and what a lower one costs is known, since each auction that was won
//! tells the least multiplier that had won it.

use libm::{exp, floor, log, sqrt};
use serde::Serialize;
use std::collections::BTreeMap;

/// One auction of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The ad was clicked when it was shown.
    pub clicked: bool,
    /// The highest competing bid, money per 1000 impressions.
    pub price: i64,
    /// Predicted click rate.
    pub rate: f64,
}

/// What is controlled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Cost of a click, in the unit of the prices' sum.
    Ecpc(f64),
    /// Spend over the whole log, in the same unit, evenly over the rounds.
    Spend(f64),
}

/// One round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Round {
    /// From 0.
    pub round: usize,
    /// bid = multiplier x bid_per_ctr x predicted click rate.
    pub multiplier: f64,
    /// Auctions won in it.
    pub wins: u64,
    /// Their clicks.
    pub clicks: u64,
    /// Sum of the prices paid.
    pub cost: i64,
    /// Cost over clicks from round 0 to the end of this one; none before the first click.
    pub ecpc: Option<f64>,
}

/// The run and how it is judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// As it was asked for.
    pub goal: String,
    /// One constant of the run.
    pub bid_per_ctr: f64,
    /// In order.
    pub rounds: Vec<Round>,
    /// First round from which the controlled figure stays within a tenth of the goal; their number where it never does.
    pub settling_round: usize,
    /// Greatest excess past the goal on the far side of the start, as a share of it.
    pub overshoot: f64,
    /// Root mean square of figure / goal - 1 from the settling round on; none where it never settles.
    pub steady_state_rmse: Option<f64>,
}

/// Plays the log in `rounds` rounds; at least one.
pub fn play(rows: &[Row], goal: Goal, rounds: usize) -> Report {
    let rounds = rounds.max(1);
    let bid_per_ctr = bid_per_ctr(rows, goal);
    let mut market = SeenMarket::default();
    let mut played: Vec<Round> = Vec::with_capacity(rounds);
    let mut sums = Sums::default();
    let mut multiplier = 1.0;
    let width = rows.len() / rounds;
    for round in 0..rounds {
        let end = if round + 1 == rounds { rows.len() } else { (round + 1) * width };
        let mut now = Round { round, multiplier, ..Round::default() };
        for row in &rows[round * width..end] {
            let bid = multiplier * bid_per_ctr * row.rate;
            if bid > row.price as f64 {
                now.wins += 1;
                now.clicks += u64::from(row.clicked);
                now.cost += row.price;
                sums.rate += row.rate;
                market.won(row.price as f64 / (bid_per_ctr * row.rate), row);
            }
        }
        market.close(multiplier);
        sums.clicks += now.clicks as f64;
        sums.cost += now.cost as f64;
        now.ecpc = (sums.clicks > 0.0).then(|| sums.cost / sums.clicks);
        played.push(now);
        multiplier = next(&market, &sums, goal, multiplier, rounds - round - 1, rounds);
    }
    judged(goal, bid_per_ctr, played)
}

/// So far.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    clicks: f64,
    cost: f64,
    /// Of the predicted rates of what was won.
    rate: f64,
}

/// A bid of the goal's own price for each predicted click breaks even at the margin; for a spend, twice what each auction
/// may cost.
fn bid_per_ctr(rows: &[Row], goal: Goal) -> f64 {
    match goal {
        Goal::Ecpc(cost) => cost,
        Goal::Spend(budget) => {
            let rates: f64 = rows.iter().map(|row| row.rate).sum();
            if rates > 0.0 { 2.0 * budget / rates } else { 0.0 }
        }
    }
}

/// Pseudo-clicks that pull towards the predicted rates, as the target's prior in the policy.
const PRIOR_CLICKS: f64 = 10.0;
/// Greatest raise of a round: what lies above the highest multiplier tried is a guess.
const RAISE_MAX: f64 = 1.5;
/// A surplus or a lack is worked off over this share of the run: small beside the run, and several rounds.
const HORIZON_SHARE: f64 = 0.1;
/// Halvings of an interval: far below a hundredth of a percent.
const STEPS: usize = 40;

fn next(market: &SeenMarket, sums: &Sums, goal: Goal, last: f64, rounds_left: usize, rounds: usize) -> f64 {
    match goal {
        Goal::Ecpc(cost) => {
            // Clicks for each predicted one. At this multiplier the dearest auction bought just pays for itself, so below it
            // a lack is made good more slowly, and fewer clicks are bought.
            let calibration = (sums.clicks + PRIOR_CLICKS) / (sums.rate + PRIOR_CLICKS);
            let horizon = (rounds as f64 * HORIZON_SHARE).max(1.0).min(rounds_left.max(1) as f64);
            let surplus = cost * sums.clicks - sums.cost;
            greatest(calibration, last * RAISE_MAX, |multiplier| {
                let offered = market.at(multiplier);
                horizon * (offered.cost - cost * calibration * offered.rate) <= surplus
            })
        }
        Goal::Spend(budget) => {
            let need = (budget - sums.cost) / rounds_left.max(1) as f64;
            greatest(0.0, last * RAISE_MAX, |multiplier| market.at(multiplier).cost <= need)
        }
    }
}

/// The greatest multiplier in a range that `fits`, where fitting ends at most once; the least where none does.
fn greatest(least: f64, most: f64, fits: impl Fn(f64) -> bool) -> f64 {
    if least >= most || !fits(least) {
        return least.min(most);
    }
    if fits(most) {
        return most;
    }
    let (mut low, mut high) = (least, most);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

/// What a round brings by multiplier, from the auctions that were won.
#[derive(Clone, Debug, Default)]
struct SeenMarket {
    /// By hundredths of the logarithm of the multiplier that would just have won.
    bins: BTreeMap<i32, Offer>,
    /// ln of the multipliers of past rounds.
    tried: Vec<f64>,
}

/// Sums of a round.
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    cost: f64,
    rate: f64,
}

const BINS_A_NAT: f64 = 100.0;
/// As the pressure assumes it.
const SPEND_ELASTICITY: f64 = 2.0;

impl SeenMarket {
    fn won(&mut self, least_multiplier: f64, row: &Row) {
        let bin = if least_multiplier > 0.0 { floor(log(least_multiplier) * BINS_A_NAT) as i32 } else { i32::MIN };
        let offer = self.bins.entry(bin).or_default();
        offer.cost += row.price as f64;
        offer.rate += row.rate;
    }

    fn close(&mut self, multiplier: f64) {
        self.tried.push(log(multiplier.max(f64::MIN_POSITIVE)));
    }

    /// Mean of a round at a multiplier: each bin by the rounds that could have seen it.
    fn at(&self, multiplier: f64) -> Offer {
        let highest = self.tried.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let wanted = log(multiplier.max(f64::MIN_POSITIVE));
        let seen = wanted.min(highest);
        let last = floor(seen * BINS_A_NAT) as i32;
        let mut sum = Offer::default();
        for (bin, offer) in self.bins.range(..=last) {
            let edge = f64::from(*bin) / BINS_A_NAT;
            let rounds = self.tried.iter().filter(|tried| **tried >= edge).count().max(1) as f64;
            sum.cost += offer.cost / rounds;
            sum.rate += offer.rate / rounds;
        }
        let above = (wanted - seen).max(0.0);
        sum.cost *= exp(SPEND_ELASTICITY * above);
        sum.rate *= exp((SPEND_ELASTICITY - 1.0) * above);
        sum
    }
}

/// Settled is what stays this near to the goal.
const BAND: f64 = 0.1;

fn judged(goal: Goal, bid_per_ctr: f64, rounds: Vec<Round>) -> Report {
    let count = rounds.len();
    let mut spent = 0.0;
    let off: Vec<Option<f64>> = rounds
        .iter()
        .map(|round| match goal {
            Goal::Ecpc(cost) => round.ecpc.map(|ecpc| ecpc / cost - 1.0),
            Goal::Spend(budget) => {
                spent += round.cost as f64;
                Some(spent / (budget * (round.round + 1) as f64 / count as f64) - 1.0)
            }
        })
        .collect();
    let inside = |off: &Option<f64>| off.is_some_and(|off| off.abs() <= BAND);
    let settling_round = off.iter().rposition(|off| !inside(off)).map_or(0, |last_out| last_out + 1);
    let started_above = off.iter().flatten().next().is_some_and(|first| *first > 0.0);
    let past = off.iter().flatten().map(|off| if started_above { -off } else { *off });
    let overshoot = past.fold(0.0, f64::max);
    let steady: Vec<f64> = off[settling_round..].iter().flatten().map(|off| off * off).collect();
    let steady_state_rmse = (!steady.is_empty()).then(|| sqrt(steady.iter().sum::<f64>() / steady.len() as f64));
    let goal = match goal {
        Goal::Ecpc(cost) => format!("ecpc={cost}"),
        Goal::Spend(budget) => format!("spend={budget}"),
    };
    Report { goal, bid_per_ctr, rounds, settling_round, overshoot, steady_state_rmse }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 64-bit mixer of SplitMix, and what a test draws from it.
    struct Draws(u64);

    impl Draws {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((word ^ (word >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// Twelve draws less six.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
        }
    }

    /// Log-normal prices and predicted rates; clicks at `calibration` times the predicted rate.
    fn log_of(seed: u64, count: u64, rate: f64, calibration: f64) -> Vec<Row> {
        let mut draws = Draws(seed << 32);
        (0..count)
            .map(|_| {
                let rate = rate * exp(0.8 * draws.normal());
                let price = (60.0 * exp(0.6 * draws.normal())) as i64;
                Row { clicked: draws.unit() < rate * calibration, price, rate }
            })
            .collect()
    }

    #[test]
    fn the_cost_of_a_click_settles_and_clicks_are_bought() {
        let mut settled = Vec::new();
        for seed in 0..20 {
            let report = play(&log_of(seed, 200_000, 1e-3, 0.8), Goal::Ecpc(45_000.0), 40);
            let clicks: u64 = report.rounds.iter().map(|round| round.clicks).sum();
            assert!(clicks > 100, "{seed}: {clicks}");
            settled.push(report.settling_round);
        }
        settled.sort_unstable();
        assert!(settled[10] < 10 && settled[18] < 25, "{settled:?}");
    }

    #[test]
    fn spend_follows_its_plan() {
        let report = play(&log_of(3, 100_000, 1e-3, 1.0), Goal::Spend(2_000_000.0), 40);
        assert!(report.settling_round <= 12, "{}", report.settling_round);
        let spent: i64 = report.rounds.iter().map(|round| round.cost).sum();
        assert!((spent as f64 / 2e6 - 1.0).abs() < 0.02, "{spent}");
    }

    #[test]
    fn what_was_lost_or_comes_later_changes_nothing_before() {
        let rows = log_of(1, 40_000, 1e-3, 1.0);
        let before = play(&rows, Goal::Ecpc(70_000.0), 40);
        let mut other = rows.clone();
        for (at, row) in other.iter_mut().enumerate() {
            let bid = before.rounds[(at / 1_000).min(39)].multiplier * before.bid_per_ctr * row.rate;
            if at >= 20_000 {
                row.price *= 2;
                row.clicked = !row.clicked;
            } else if bid <= row.price as f64 {
                row.price += 1_000;
                row.clicked = !row.clicked;
            }
        }
        let after = play(&other, Goal::Ecpc(70_000.0), 40);
        assert_eq!(before.rounds[..20], after.rounds[..20]);
        assert_ne!(before.rounds[20..], after.rounds[20..]);
    }

    #[test]
    fn a_log_of_nothing_never_settles() {
        let report = play(&[], Goal::Ecpc(1.0), 40);
        assert_eq!((report.rounds.len(), report.settling_round, report.steady_state_rmse), (40, 40, None));
        assert_eq!(play(&log_of(1, 10, 0.0, 0.0), Goal::Spend(5.0), 3).settling_round, 3);
    }
}
