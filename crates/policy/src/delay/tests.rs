//! The ladder against its definition, and the correction on simulated campaigns.

use super::*;
use proptest::prelude::*;

#[test]
fn a_ladder_of_three_days_by_hand() {
    let mut counts = DelayCounts::new(30);
    for (age, clicks, by_day) in [(3, 100, vec![4, 2, 1]), (2, 100, vec![5, 2]), (1, 200, vec![9]), (0, 50, vec![])] {
        (0..clicks).for_each(|_| counts.add_click(age));
        for (day, conversions) in by_day.iter().enumerate() {
            (0..*conversions).for_each(|_| counts.add_conversion(age, day as u32));
        }
    }
    counts.add_conversion(0, 0);
    // F(3) = 1, F(2) = 6/7, F(1) = F(2) x 9/13, F(0) = F(1) x 0/18.
    let effective = 100.0 + 100.0 * 6.0 / 7.0 + 200.0 * 6.0 / 7.0 * 9.0 / 13.0;
    let estimate = estimates(&[counts])[0];
    assert!((estimate.effective_clicks - effective).abs() < 1e-12, "{estimate:?}");
    assert!((estimate.chain_ladder_rate.expect("seen") - 23.0 / effective).abs() < 1e-15);
    assert_eq!((estimate.clicks, estimate.conversions, estimate.naive_rate), (450, 24, Some(24.0 / 450.0)));
}

#[test]
fn nothing_seen_gives_nothing() {
    assert!(estimates(&[]).is_empty());
    let mut fresh = DelayCounts::new(30);
    fresh.add_click(0);
    let estimate = estimates(&[fresh.clone(), DelayCounts::new(30)]);
    assert_eq!((estimate[0].naive_rate, estimate[1].naive_rate), (Some(0.0), None));
    // Of no age but 0: F(0) = 1, by the rule for the greatest age.
    assert_eq!((estimate[0].effective_clicks, estimate[0].chain_ladder_rate), (1.0, Some(0.0)));
    assert_eq!((estimate[1].corrected_rate, estimate[1].chain_ladder_rate), (None, None));
}

#[test]
fn a_new_campaign_borrows_the_development_of_its_account() {
    let mut market = Market::new(5);
    let old = market.campaign(0.04, 400, 60, Delay::Exponential(4.0));
    let young = market.campaign(0.04, 400, 4, Delay::Exponential(4.0));
    let counts = [old.counts(60.0, 0.0), young.counts(60.0, 56.0)];
    let estimates = estimates(&counts);
    let (corrected, alone) =
        (estimates[1].corrected_rate.expect("seen"), estimates[1].chain_ladder_rate.expect("seen"));
    assert!((corrected - 0.04).abs() < (alone - 0.04).abs(), "{corrected} {alone}");
    assert!((corrected - 0.04).abs() < 0.008, "{corrected}");
}

/// Share of campaign-days on which the correction is nearer the truth than the naive rate, and the root mean squares of
/// the relative errors of both, over seeds and days 7 to 45.
fn score(campaigns: &[(f64, u32, Delay)], seeds: u64) -> (f64, f64, f64) {
    let (mut nearer, mut looks, mut ours, mut naive) = (0_u32, 0_u32, 0.0, 0.0);
    for seed in 0..seeds {
        let mut market = Market::new(seed);
        let clicks: Vec<Clicks> =
            campaigns.iter().map(|(rate, per_day, delay)| market.campaign(*rate, *per_day, 45, *delay)).collect();
        for day in (7..=45).step_by(3) {
            let counts: Vec<DelayCounts> = clicks.iter().map(|clicks| clicks.counts(f64::from(day), 0.0)).collect();
            for (estimate, (rate, _, delay)) in estimates(&counts).iter().zip(campaigns) {
                let truth = rate * delay.within(HORIZON);
                let error = estimate.corrected_rate.expect("seen") / truth - 1.0;
                let naive_error = estimate.naive_rate.expect("seen") / truth - 1.0;
                nearer += u32::from(error.abs() < naive_error.abs());
                looks += 1;
                ours += error * error;
                naive += naive_error * naive_error;
            }
        }
    }
    let looks = f64::from(looks);
    (f64::from(nearer) / looks, (ours / looks).sqrt(), (naive / looks).sqrt())
}

#[test]
fn from_day_seven_the_correction_is_nearer_the_truth_than_the_naive_rate() {
    let (nearer, ours, naive) = score(
        &[
            (0.04, 2_000, Delay::Exponential(3.0)),
            (0.02, 2_000, Delay::Exponential(3.0)),
            (0.06, 2_000, Delay::Weibull(0.6, 3.0)),
        ],
        3,
    );
    assert!(nearer > 0.97 && ours < 0.5 * naive, "nearer on {nearer}, error {ours} against {naive}");
}

#[test]
fn few_conversions_are_drawn_to_the_account_and_still_beat_the_naive_rate() {
    let few =
        [(0.03, 40, Delay::Exponential(3.0)), (0.02, 40, Delay::Exponential(3.0)), (0.04, 40, Delay::Exponential(5.0))];
    let (nearer, ours, naive) = score(&few, 10);
    assert!(nearer > 0.6 && ours < naive, "nearer on {nearer}, error {ours} against {naive}");
}

#[test]
fn without_delay_the_correction_does_no_harm() {
    let (_, ours, naive) = score(&[(0.04, 500, Delay::Exponential(0.02)), (0.03, 500, Delay::Exponential(0.02))], 4);
    assert!(ours < 1.1 * naive, "error {ours} against {naive}");
}

const HORIZON: f64 = 30.0;

#[derive(Clone, Copy)]
enum Delay {
    Exponential(f64),
    Weibull(f64, f64),
}

impl Delay {
    fn days(self, unit: f64) -> f64 {
        let rest = -libm::log1p(-unit);
        match self {
            Delay::Exponential(mean) => mean * rest,
            Delay::Weibull(shape, scale) => scale * libm::pow(rest, 1.0 / shape),
        }
    }

    fn within(self, days: f64) -> f64 {
        match self {
            Delay::Exponential(mean) => -libm::expm1(-days / mean),
            Delay::Weibull(shape, scale) => -libm::expm1(-libm::pow(days / scale, shape)),
        }
    }
}

/// Clicks of one campaign: day of the click, day of the conversion (never, if infinite).
struct Clicks(Vec<(f64, f64)>);

impl Clicks {
    /// As seen on a day; the campaign began on `begun`.
    fn counts(&self, as_of: f64, begun: f64) -> DelayCounts {
        let mut counts = DelayCounts::new(HORIZON as u32);
        for (clicked, converted) in self.0.iter().map(|(clicked, converted)| (clicked + begun, converted + begun)) {
            if clicked < as_of {
                let age = (as_of - clicked) as u32;
                counts.add_click(age);
                if converted < as_of && converted - clicked < HORIZON {
                    counts.add_conversion(age, (converted - clicked) as u32);
                }
            }
        }
        counts
    }
}

/// Splitmix64: the market's dice.
struct Market(u64);

impl Market {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn campaign(&mut self, rate: f64, per_day: u32, days: u32, delay: Delay) -> Clicks {
        let click = |_| {
            let clicked = self.unit() * f64::from(days);
            let (converts, unit) = (self.unit() < rate, self.unit());
            (clicked, if converts { clicked + delay.days(unit) } else { f64::INFINITY })
        };
        Clicks((0..per_day * days).map(click).collect())
    }
}

/// The contract's words, literally.
fn by_definition(horizon: u32, clicks: &[(u32, Option<u32>)]) -> (f64, f64) {
    let oldest = clicks.iter().map(|click| click.0).max().unwrap_or_default().min(horizon);
    let sum = |above: u32, below: i64| {
        let inside = |click: &&(u32, Option<u32>)| click.0 >= above && click.1.is_some_and(|d| i64::from(d) <= below);
        clicks.iter().filter(inside).count() as f64
    };
    let mut shares = vec![1.0; oldest as usize + 1];
    for age in (0..oldest).rev() {
        let (top, bottom) = (sum(age + 1, i64::from(age) - 1), sum(age + 1, i64::from(age)));
        shares[age as usize] = shares[age as usize + 1] * if bottom == 0.0 { 1.0 } else { top / bottom };
    }
    let effective = clicks.iter().map(|click| shares[click.0.min(oldest) as usize]).sum();
    let developed = clicks.iter().filter(|click| click.1.is_some_and(|day| day < click.0.min(oldest))).count();
    (effective, developed as f64)
}

fn counts(horizon: u32, clicks: &[(u32, Option<u32>)]) -> DelayCounts {
    let mut counts = DelayCounts::new(horizon);
    for (age, delay) in clicks {
        counts.add_click(*age);
        delay.iter().for_each(|delay| counts.add_conversion(*age, *delay));
    }
    counts
}

fn clicks() -> impl Strategy<Value = Vec<(u32, Option<u32>)>> {
    let click = (0_u32..20, prop::option::of(0_u32..20)).prop_map(|(age, day)| (age, day.filter(|day| *day <= age)));
    prop::collection::vec(click, 0..80)
}

proptest! {
    #[test]
    fn it_is_the_ladder_of_the_contract(clicks in clicks(), horizon in 1_u32..25) {
        let estimate = estimates(&[counts(horizon, &clicks)])[0];
        let (effective, developed) = by_definition(horizon, &clicks);
        prop_assert!((estimate.effective_clicks - effective).abs() < 1e-9, "{} {}", estimate.effective_clicks, effective);
        if effective > 0.0 {
            prop_assert!((estimate.chain_ladder_rate.expect("seen") - developed / effective).abs() < 1e-9);
        }
        prop_assert!(estimate.effective_clicks <= clicks.len() as f64);
    }

    #[test]
    fn once_all_clicks_are_old_nothing_is_corrected(clicks in clicks(), horizon in 1_u32..25) {
        let old: Vec<_> = clicks.iter().map(|(age, day)| (age + horizon, day.filter(|day| *day < horizon))).collect();
        let estimate = estimates(&[counts(horizon, &old)])[0];
        prop_assert_eq!(estimate.effective_clicks, old.len() as f64);
        prop_assert_eq!(estimate.chain_ladder_rate, estimate.naive_rate);
    }

    #[test]
    fn rates_stay_inside_and_the_other_campaigns_never_change_the_plain_ladder(one in clicks(), other in clicks()) {
        let (one, other) = (counts(9, &one), counts(9, &other));
        let together = estimates(&[one.clone(), other]);
        prop_assert_eq!(together[0].effective_clicks, estimates(&[one])[0].effective_clicks);
        for estimate in together {
            prop_assert!(estimate.corrected_rate.is_none_or(|rate| rate >= 0.0 && rate.is_finite()));
        }
    }
}
