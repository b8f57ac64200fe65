//! underperformer: money that brings clearly less than half of what its target promises (section 10).
//!
//! Conversions of matured spend are counted against a rate of half of 1/target. For any true rate that is not below it,
//! theta^k e^((1 - theta) mu), mixed over theta below 1, is on average at most 1 at every look (mu: conversions that would
//! have been seen by now at that rate, k: those that were), so it ever passes 20 for one such campaign in twenty at most,
//! however often one looks; at the target itself far more rarely. The bid must have been cut before: the loop tries first.
//!
//! What always holds: k and mu are the whole evidence. One in twenty, by hash of campaign and month, is kept alive on a
//! small budget as a control: else nobody would ever learn whether the pauses were right. Missing on purpose: targets of
//! return, whose values have no such bound.

use crate::settings::{Millis, Underperformer as Settings};

/// What is judged: one epoch of one campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// S_eff: spend, each part times the share of its conversions that can have been seen.
    pub matured_micros: i64,
    /// tCPA.
    pub target_micros: i64,
    /// Conversions seen.
    pub seen: f64,
    /// For how long the bid has been at its lowest, or cut as far as the settings say.
    pub cut_ms: Millis,
}

/// The outcome of one look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judgement {
    /// mu: conversions that would have been seen by now at the share of the target's rate.
    pub due: f64,
    /// Logarithm of the e-value.
    pub ln_e: f64,
    /// All conditions hold.
    pub holds: bool,
}

/// Looks once; may be asked at any time.
pub fn judge(evidence: &Evidence, settings: &Settings) -> Judgement {
    let target = evidence.target_micros.max(1) as f64;
    let targets = evidence.matured_micros.max(0) as f64 / target;
    let due = targets * settings.rate_share;
    let ln_e = ln_e(evidence.seen.max(0.0), due);
    let passed = ln_e >= libm::log(settings.evidence_min.max(1.0));
    let holds = passed && targets >= settings.targets_spent_min && evidence.cut_ms >= settings.cut_ms;
    Judgement { due, ln_e, holds }
}

/// Whether a campaign is one of those that are kept running in a month.
pub fn is_control(campaign_id: &str, month: i32, settings: &Settings) -> bool {
    let one_in = settings.control_one_in;
    let toss = crate::arithmetic::stable_hash(&[campaign_id, &month.to_string()]);
    one_in > 0 && toss.is_multiple_of(one_in.unsigned_abs())
}

/// ln of the mean over the grid of theta^k e^((1 - theta) mu).
fn ln_e(seen: f64, due: f64) -> f64 {
    let terms = THETAS.map(|theta| seen * libm::log(theta) + (1.0 - theta) * due);
    let most = terms.into_iter().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms.into_iter().map(|term| libm::exp(term - most)).sum();
    most + libm::log(sum / THETAS.len() as f64)
}

/// Rates that are looked for, as shares of the one that is just tolerable: from next to nothing to three quarters.
const THETAS: [f64; 6] = [0.05, 0.15, 0.3, 0.45, 0.6, 0.75];

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;
    const EUR: i64 = 1_000_000;

    fn evidence(targets: i64, seen: f64) -> Evidence {
        Evidence { matured_micros: targets * 20 * EUR, target_micros: 20 * EUR, seen, cut_ms: 72 * HOUR }
    }

    fn holds(evidence: Evidence) -> bool {
        judge(&evidence, &Settings::default()).holds
    }

    #[test]
    fn nine_targets_spent_for_nothing_are_enough_and_eight_are_not() {
        assert_eq!([holds(evidence(8, 0.0)), holds(evidence(9, 0.0))], [false, true]);
        assert!(!holds(evidence(60, 30.0)), "half of the target's rate is just tolerable");
        assert!(holds(evidence(60, 10.0)));
        assert!(!holds(Evidence { cut_ms: 71 * HOUR, ..evidence(60, 10.0) }), "the bid is cut first");
        assert!(!holds(Evidence { target_micros: 0, ..Evidence::default() }));
    }

    #[test]
    fn one_campaign_in_twenty_is_a_control_and_another_one_each_month() {
        let settings = Settings::default();
        let controls =
            |month| (0..10_000).filter(|n| is_control(&format!("c{n}"), month, &settings)).collect::<Vec<_>>();
        let (march, april) = (controls(24_314), controls(24_315));
        assert!((400..600).contains(&march.len()), "{}", march.len());
        let both = march.iter().filter(|n| april.contains(n)).count();
        assert!(both < 60, "{both}");
        assert!(!is_control("c1", 1, &Settings { control_one_in: 0, ..Settings::default() }));
    }

    /// Counter-based generator (splitmix64): the tests' dice.
    struct Dice(u64);

    impl Dice {
        fn unit(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn poisson(&mut self, mean: f64) -> f64 {
            let (limit, mut product, mut count) = (libm::exp(-mean), self.unit(), 0.0);
            while product > limit {
                product *= self.unit();
                count += 1.0;
            }
            count
        }
    }

    /// Campaigns that ever pass in 28 daily looks, each day two targets of spend; `rate` is of the target's.
    fn ever(rate: f64, runs: u64) -> usize {
        let passes = |run: &u64| {
            let mut dice = Dice(*run);
            let mut seen = 0.0;
            (1..=28).any(|day| {
                seen += dice.poisson(2.0 * rate);
                holds(evidence(2 * day, seen))
            })
        };
        (0..runs).filter(passes).count()
    }

    #[test]
    fn looking_each_day_passes_few_tolerable_campaigns_no_good_ones_and_the_bad_ones() {
        let [tolerable, good, bad] = [0.5, 1.0, 0.1].map(|rate| ever(rate, 2_000));
        assert!(tolerable <= 100, "one in twenty at most, at the edge itself: {tolerable} of 2000");
        assert!(good <= 2, "{good} of 2000");
        assert!(bad >= 1_980, "{bad} of 2000");
    }
}
