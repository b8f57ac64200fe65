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
//! states are states; once every click is older than the horizon, effective clicks are the clicks. Missing on purpose: the
//! part of the running day, and a guess of what comes after the account's oldest click: while the whole account is younger
//! than its delays, rates stay too low (a fitted tail lowered the mean error at day 7 in half of the simulated accounts,
//! raised it in others, and beat the naive rate on fewer campaign-days).

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
/// On simulated accounts, against 0: the error at day 7 a seventh smaller at 8 conversions a day and one odd campaign, a
/// tenth larger at 20 a day where delays differ throughout, no different at 80.
const DEVELOPMENT_PRIOR: f64 = 20.0;
/// The account's rate counts as at most this many conversions, however alike the campaigns look.
const RATE_PRIOR: f64 = 10.0;

#[cfg(test)]
mod tests;
