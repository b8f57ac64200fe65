//! Conversions still to come: what a fresh conversion rate will be once its clicks are old enough.
//!
//! Clicks and conversions are counted in whole days: a click of age a (days since it) has seen its delay days below a in
//! full. Chain ladder turns the counts into F(a), the share of final conversions seen by age a; clicks weighted by F of
//! their age are the effective clicks, the honest sample size. Final means within the horizon.
//!
//! [`estimates`] gives each campaign two rates: the plain chain ladder from its own counts alone, and the one to act on,
//! whose development is the account's until the campaign's own conversions outweigh it, and whose rate is shrunk towards
//! the account's (Bornhuetter and Ferguson; the pull is measured from how much the campaigns differ).
//!
//! What always holds: the state of a campaign is one count for each age and delay day within the horizon, and sums of
//! states are states; once every click is older than the horizon, effective clicks are the clicks. Missing on purpose: a
//! guess of what comes after the oldest click of the account (in a trial on simulated delays it was off in both
//! directions more often than it helped), and the part of the running day.

use std::collections::BTreeMap;

/// Counts of one campaign (or of an account, as their sum) at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DelayCounts {
    horizon_days: u32,
    clicks: u64,
    conversions: u64,
    /// Clicks by age; ages beyond the horizon are counted at it.
    by_age: BTreeMap<u32, u64>,
    /// Conversions by age of their click and delay day; only days that clicks of this age have seen in full.
    seen: BTreeMap<(u32, u32), u64>,
}

/// What one campaign's counts say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Clicks.
    pub clicks: u64,
    /// Conversions seen so far, of whatever delay.
    pub conversions: u64,
    /// Conversions over clicks; `None` without clicks.
    pub naive_rate: Option<f64>,
    /// The rate to act on; `None` where neither the campaign nor its account has seen a full day.
    pub corrected_rate: Option<f64>,
    /// Final rate by the campaign's own counts; `None` where its clicks have seen nothing.
    pub chain_ladder_rate: Option<f64>,
    /// Clicks as far as they have developed, by the campaign's own counts.
    pub effective_clicks: f64,
}

impl DelayCounts {
    /// Nothing seen yet; conversions count as final within `horizon_days`, at least one.
    pub fn new(horizon_days: u32) -> Self {
        Self { horizon_days: horizon_days.max(1), ..Self::default() }
    }

    /// A click that happened this many whole days ago.
    pub fn add_click(&mut self, age_days: u32) {
        self.clicks += 1;
        *self.by_age.entry(age_days.min(self.horizon_days)).or_default() += 1;
    }

    /// A conversion, this many whole days after its click, which is of this age.
    pub fn add_conversion(&mut self, age_days: u32, delay_days: u32) {
        self.conversions += 1;
        let age = age_days.min(self.horizon_days);
        if delay_days < age {
            *self.seen.entry((age, delay_days)).or_default() += 1;
        }
    }

    /// Adds the counts of another campaign of the same horizon.
    pub fn merge(&mut self, other: &Self) {
        self.clicks += other.clicks;
        self.conversions += other.conversions;
        other.by_age.iter().for_each(|(age, clicks)| *self.by_age.entry(*age).or_default() += clicks);
        other.seen.iter().for_each(|(cell, count)| *self.seen.entry(*cell).or_default() += count);
    }

    /// Conversions that the ladder stands on.
    fn developed(&self) -> f64 {
        self.seen.values().sum::<u64>() as f64
    }

    /// The greatest age, at most the horizon.
    fn oldest(&self) -> usize {
        self.by_age.last_key_value().map_or(0, |(age, _)| *age as usize)
    }

    /// Per age a: conversions of older clicks within delay days below a, and up to a.
    fn steps(&self) -> Vec<(u64, u64)> {
        let ages = self.oldest();
        // A cell (age, day) counts above from day + 1 and below from day on, both to age - 1: first and last as changes.
        let mut changes = vec![(0_i128, 0_i128); ages + 2];
        for ((age, day), count) in &self.seen {
            let (age, day, count) = (*age as usize, *day as usize, i128::from(*count));
            changes[day + 1].0 += count;
            changes[day].1 += count;
            changes[age].0 -= count;
            changes[age].1 -= count;
        }
        let mut running = (0, 0);
        let step = |change: &(i128, i128)| {
            running = (running.0 + change.0, running.1 + change.1);
            (running.0 as u64, running.1 as u64)
        };
        changes.iter().take(ages).map(step).collect()
    }

    /// Sum of clicks times the share of their conversions that has been seen.
    fn effective_clicks(&self, seen_share: &[f64]) -> f64 {
        let share = |age: u32| seen_share.get(age as usize).copied().unwrap_or(1.0);
        self.by_age.iter().map(|(age, clicks)| *clicks as f64 * share(*age)).sum()
    }
}

/// F(0) to F(A) from the development of each age: F(A) = 1, F(a) = F(a + 1) x ratio(a).
fn seen_shares(ratios: &[f64]) -> Vec<f64> {
    let mut shares = vec![1.0; ratios.len() + 1];
    for (age, ratio) in ratios.iter().enumerate().rev() {
        shares[age] = shares[age + 1] * ratio;
    }
    shares
}

fn ratio((above, below): &(u64, u64)) -> f64 {
    if *below == 0 { 1.0 } else { *above as f64 / *below as f64 }
}

/// One estimate a campaign; all are of one account and one horizon.
pub fn estimates(campaigns: &[DelayCounts]) -> Vec<Estimate> {
    let mut account = DelayCounts::new(campaigns.first().map_or(1, |campaign| campaign.horizon_days));
    campaigns.iter().for_each(|campaign| account.merge(campaign));
    let account_ratios: Vec<f64> = account.steps().iter().map(ratio).collect();
    let sizes: Vec<f64> = campaigns
        .iter()
        .map(|campaign| campaign.effective_clicks(&seen_shares(&blended(&campaign.steps(), &account_ratios))))
        .collect();
    let found: Vec<f64> = campaigns.iter().map(DelayCounts::developed).collect();
    let pull = Pull::measured(&found, &sizes);
    let own = |campaign: &DelayCounts| {
        let ratios: Vec<f64> = campaign.steps().iter().map(ratio).collect();
        campaign.effective_clicks(&seen_shares(&ratios))
    };
    campaigns
        .iter()
        .enumerate()
        .map(|(at, campaign)| {
            let effective_clicks = own(campaign);
            Estimate {
                clicks: campaign.clicks,
                conversions: campaign.conversions,
                naive_rate: quotient(campaign.conversions as f64, campaign.clicks as f64),
                corrected_rate: pull.rate(found[at], sizes[at]),
                chain_ladder_rate: quotient(campaign.developed(), effective_clicks),
                effective_clicks,
            }
        })
        .collect()
}

/// A campaign's development, as far as its conversions outweigh the account's.
fn blended(own: &[(u64, u64)], account: &[f64]) -> Vec<f64> {
    let blend = |(age, prior): (usize, &f64)| {
        let (above, below) = own.get(age).copied().unwrap_or_default();
        (above as f64 + DEVELOPMENT_PRIOR * prior) / (below as f64 + DEVELOPMENT_PRIOR)
    };
    account.iter().enumerate().map(blend).collect()
}

/// How strongly, and to which rate, campaigns are drawn.
#[derive(Clone, Copy, Debug)]
struct Pull {
    rate: f64,
    clicks: f64,
}

impl Pull {
    /// By moments: the less the campaigns' rates differ beyond what counts of their size would, the stronger.
    fn measured(found: &[f64], sizes: &[f64]) -> Self {
        let total: f64 = sizes.iter().sum();
        let rate = quotient(found.iter().sum(), total).unwrap_or(0.0);
        let noise = rate * (1.0 - rate);
        if found.len() < 2 || noise <= 0.0 {
            return Self { rate, clicks: if rate > 0.0 { RATE_PRIOR / rate } else { 0.0 } };
        }
        let differ = |(k, n): (&f64, &f64)| if *n > 0.0 { n * (k / n - rate) * (k / n - rate) } else { 0.0 };
        let spread: f64 = found.iter().zip(sizes).map(differ).sum();
        let independent = total - sizes.iter().map(|size| size * size).sum::<f64>() / total;
        let true_variance = (spread - (found.len() - 1) as f64 * noise) / independent;
        let measured = if true_variance > 0.0 { (noise / true_variance - 1.0).max(0.0) } else { f64::INFINITY };
        Self { rate, clicks: measured.min(RATE_PRIOR / rate) }
    }

    fn rate(&self, found: f64, size: f64) -> Option<f64> {
        quotient(found + self.clicks * self.rate, size + self.clicks)
    }
}

fn quotient(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

/// The account's development counts as this many conversions: a campaign's own curve is noise before it has as many.
/// With 0 the error of the rate at day 7 was a seventh larger on simulated campaigns of 8 conversions a day.
const DEVELOPMENT_PRIOR: f64 = 20.0;
/// The account's rate counts as at most this many conversions, however alike the campaigns look.
const RATE_PRIOR: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ladder_of_three_days_by_hand() {
        let mut counts = DelayCounts::new(30);
        for (age, clicks, by_day) in [(3, 100, vec![4, 2, 1]), (2, 100, vec![5, 2]), (1, 200, vec![9]), (0, 50, vec![])]
        {
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
            for day in 7..=45 {
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
        let few = [
            (0.03, 40, Delay::Exponential(3.0)),
            (0.02, 40, Delay::Exponential(3.0)),
            (0.04, 40, Delay::Exponential(5.0)),
        ];
        let (nearer, ours, naive) = score(&few, 10);
        assert!(nearer > 0.6 && ours < naive, "nearer on {nearer}, error {ours} against {naive}");
    }

    #[test]
    fn without_delay_the_correction_does_no_harm() {
        let (_, ours, naive) =
            score(&[(0.04, 500, Delay::Exponential(0.02)), (0.03, 500, Delay::Exponential(0.02))], 4);
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
            let inside =
                |click: &&(u32, Option<u32>)| click.0 >= above && click.1.is_some_and(|d| i64::from(d) <= below);
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
        let click =
            (0_u32..20, prop::option::of(0_u32..20)).prop_map(|(age, day)| (age, day.filter(|day| *day <= age)));
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
}
