//! `[[experiment]]` blocks: arms, each with a part of the policy of its own, between which a campaign's days alternate.
//!
//! What always holds: which arm a day falls into follows from the block's salt, the campaign and the local date alone, so
//! a replay tosses alike; no campaign is in two experiments; an arm changes numbers of the policy and nothing else, and
//! every number passes the checks of the file.

use super::goals::ACCOUNT_BYTES_MAX;
use super::{Policy, Settings};
use crate::arithmetic::stable_hash;
use crate::rule::NAME_BYTES_MAX;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::{Table, Value};

/// One experiment on the campaigns of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name, for people and the API.
    pub id: String,
    /// Whose campaigns.
    pub account_id: String,
    /// Which of them; empty for all.
    pub campaigns: BTreeSet<String>,
    /// Makes its tosses its own.
    pub salt: String,
    /// What is better.
    pub metric: Metric,
    /// First local date, in days since 1970.
    pub start: i32,
    /// Days until it is over.
    pub days: i32,
    /// A day is judged after so many more, as its conversions stand then.
    pub mature_days: i32,
    /// Chance of ever deciding where there is no effect.
    pub alpha: f64,
    /// Once decided, the winner's numbers hold instead of the first arm's.
    pub then_winner: bool,
    /// The first one is what the others are compared with.
    pub arms: Vec<Arm>,
}

/// One arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Part of the days.
    pub share: f64,
    /// Numbers of the account's campaigns in it.
    pub account: Settings,
    /// Numbers of campaigns with an override of their own.
    pub overridden: BTreeMap<String, Settings>,
}

/// Outcome of a campaign's day; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Metric {
    ConversionsPerBudget,
    ValuePerBudget,
    ClicksPerBudget,
    ConversionsPerSpend,
    ValuePerSpend,
}

impl Metric {
    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::ConversionsPerBudget => "conversions_per_budget",
            Metric::ValuePerBudget => "value_per_budget",
            Metric::ClicksPerBudget => "clicks_per_budget",
            Metric::ConversionsPerSpend => "conversions_per_spend",
            Metric::ValuePerSpend => "value_per_spend",
        }
    }
}

impl Policy {
    /// The experiment that a campaign is in, whether it has begun, runs or is over.
    pub fn experiment_of(&self, account_id: &str, campaign_id: &str) -> Option<&Experiment> {
        let covers = |experiment: &&Experiment| {
            experiment.account_id == account_id
                && (experiment.campaigns.is_empty() || experiment.campaigns.contains(campaign_id))
        };
        self.experiments.iter().find(covers)
    }
}

impl Experiment {
    /// Whether a local date is one of its days.
    pub fn covers(&self, date: i32) -> bool {
        (self.start..self.start.saturating_add(self.days)).contains(&date)
    }

    /// The arm that a campaign's day is tossed into.
    pub fn arm_of(&self, campaign_id: &str, date: i32) -> usize {
        let hash = stable_hash(&[&self.salt, &self.id, campaign_id, &date.to_string()]);
        let toss = (hash >> 11) as f64 / (1_u64 << 53) as f64;
        let mut before = 0.0;
        let arm = self.arms.iter().position(|arm| {
            before += arm.share;
            toss < before
        });
        arm.unwrap_or(self.arms.len().saturating_sub(1))
    }

    /// The numbers of a campaign in an arm.
    pub fn settings(&self, arm: usize, campaign_id: &str) -> Option<&Settings> {
        let arm = self.arms.get(arm)?;
        Some(arm.overridden.get(campaign_id).unwrap_or(&arm.account))
    }

    /// Planned parts of the arms.
    pub fn shares(&self) -> Vec<f64> {
        self.arms.iter().map(|arm| arm.share).collect()
    }

    /// Changes with whatever makes earlier days of another experiment.
    pub fn fingerprint(&self) -> u64 {
        let arms: Vec<String> = self.arms.iter().map(|arm| format!("{}={:?}", arm.name, arm.share)).collect();
        let numbers = format!("{} {} {:?}", self.start, self.mature_days, self.metric);
        stable_hash(&[&self.id, &self.salt, &numbers, &arms.join(",")])
    }
}

/// A block as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block {
    pub(super) id: String,
    pub(super) account: String,
    #[serde(default)]
    pub(super) campaigns: Vec<String>,
    #[serde(default = "campaign_day")]
    pub(super) unit: String,
    pub(super) salt: String,
    pub(super) metric: Metric,
    pub(super) start: Value,
    #[serde(default = "three")]
    pub(super) mature_days: i32,
    pub(super) stop: Stop,
    pub(super) arm: Vec<BlockArm>,
}

/// When to stop, and what then.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    #[serde(default = "one_in_twenty")]
    pub(super) alpha: f64,
    pub(super) days: i32,
    #[serde(default = "first")]
    pub(super) then: String,
}

/// One arm as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockArm {
    pub(super) name: String,
    pub(super) share: f64,
    #[serde(default)]
    pub(super) policy: Table,
}

fn campaign_day() -> String {
    "campaign_day".into()
}

fn three() -> i32 {
    3
}

fn one_in_twenty() -> f64 {
    0.05
}

fn first() -> String {
    "first".into()
}

/// Longest experiment: a quarter.
const DAYS_MAX: i32 = 92;
/// Days are remembered for five weeks.
const MATURE_DAYS_MAX: i32 = 28;

impl Block {
    /// What is wrong with the block itself.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut require = |holds: bool, what: &str| {
            if !holds {
                wrong.push(what.to_owned());
            }
        };
        require(!self.id.is_empty() && !self.account.is_empty(), "id and account must not be empty");
        let names = self.arm.iter().map(|arm| &arm.name).chain([&self.id, &self.salt]);
        require(
            names.into_iter().all(|name| name.len() <= NAME_BYTES_MAX) && self.account.len() <= ACCOUNT_BYTES_MAX,
            "id, salt and names of arms may have at most 64 bytes, account at most 256",
        );
        match self.unit.as_str() {
            "campaign_day" => {}
            "user" => require(
                false,
                "unit \"user\" is not possible: bids and budgets belong to a campaign, and events carry no arm that the \
                 service could decide by; compare arms of an ad server with paceline analyze experiment",
            ),
            _ => require(false, "unit must be \"campaign_day\": the days of a campaign alternate between the arms"),
        }
        require(date(&self.start).is_some(), "start must be a date, as in start = 2026-03-02");
        require((0..=MATURE_DAYS_MAX).contains(&self.mature_days), "mature_days must be 0 to 28");
        require((1..=DAYS_MAX).contains(&self.stop.days), "stop.days must be 1 to 92");
        require((1e-6..=0.5).contains(&self.stop.alpha), "stop.alpha must be 0.000001 to 0.5");
        require(matches!(self.stop.then.as_str(), "first" | "winner"), "stop.then must be \"first\" or \"winner\"");
        require((2..=8).contains(&self.arm.len()), "needs two to eight [[experiment.arm]] blocks");
        let names: BTreeSet<&str> = self.arm.iter().map(|arm| arm.name.as_str()).collect();
        require(names.len() == self.arm.len() && !names.contains(""), "arms must have names of their own");
        let shares = self.arm.iter().map(|arm| arm.share);
        let sum: f64 = shares.clone().sum();
        let fair = shares.clone().all(|share| (0.01..1.0).contains(&share)) && (sum - 1.0).abs() < 1e-6;
        require(fair, "shares of the arms must be at least 0.01 and sum to 1");
        wrong
    }
}

/// A date, given as one or as text, in days since 1970.
pub(super) fn date(value: &Value) -> Option<i32> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Datetime(date) => date.to_string(),
        _ => return None,
    };
    let parts: Vec<i32> = text.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [year, month, day] = parts[..] else { return None };
    let fits = (1970..=2200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    fits.then(|| days_from_civil(year, month, day))
}

/// Days from 1970-01-01 to a Gregorian date (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    const FILE: &str = "
[account.acme.pressure]
gain_max = 0.3
[account.acme.campaign.c2.pressure]
gain_max = 0.2
[[experiment]]
id = 'quick'
account = 'acme'
salt = 's1'
metric = 'conversions_per_budget'
start = 2026-03-02
stop = { days = 28 }
[[experiment.arm]]
name = 'as it is'
share = 0.5
[[experiment.arm]]
name = 'quick'
share = 0.5
policy.pressure.step_up_max = 0.2
";

    #[test]
    fn arms_stand_on_the_numbers_that_the_campaign_has_anyway() {
        let policy = check(FILE).unwrap();
        let experiment = policy.experiment_of("acme", "c1").unwrap();
        assert_eq!((experiment.start, experiment.days, experiment.mature_days), (20_514, 28, 3));
        let of = |arm, campaign| {
            let s = &experiment.settings(arm, campaign).unwrap().pressure;
            (s.gain_max, s.step_up_max)
        };
        assert_eq!([of(0, "c1"), of(1, "c1"), of(1, "c2")], [(0.3, 0.1), (0.3, 0.2), (0.2, 0.2)]);
        assert_eq!(
            (policy.experiment_of("other", "c1"), experiment.covers(20_541), experiment.covers(20_542)),
            (None, true, false)
        );
    }

    #[test]
    fn days_fall_into_arms_by_their_shares_and_another_salt_tosses_anew() {
        let uneven = FILE.replacen("0.5", "0.8", 1).replacen("0.5", "0.2", 1);
        let (policy, salted) = (check(&uneven).unwrap(), check(&uneven.replace("'s1'", "'s2'")).unwrap());
        let arm = |policy: &Policy, date| policy.experiment_of("acme", "c").unwrap().arm_of("c", date);
        let second = (0..10_000).filter(|date| arm(&policy, *date) == 1).count();
        assert!((1_850..2_150).contains(&second), "{second}");
        let alike = (0..10_000).filter(|date| arm(&policy, *date) == arm(&salted, *date)).count();
        assert!((6_600..7_000).contains(&alike), "as by chance: {alike}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        let told = |from: &str, to: &str| {
            let file = FILE.replacen(from, to, 1);
            check(&file).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(told("salt = 's1'", "salt = 's1'\nunit = 'user'").contains("events carry no arm"));
        assert!(told("salt = 's1'", "salt = 's1'\nunit = 'week'").contains("campaign_day"));
        assert!(told("2026-03-02", "'soon'").contains("start must be a date"));
        assert!(told("0.5", "0.6").contains("sum to 1"));
        assert!(told("'quick'", &format!("'{}'", "q".repeat(65))).contains("at most 64 bytes"));
        assert!(told("'acme'", &format!("'{}'", "a".repeat(257))).contains("account at most 256"));
        assert!(told("step_up_max", "step_upp").contains("did you mean \"step_up_max\"?"));
        assert!(told("policy.pressure.step_up_max = 0.2", "policy.clock.watch_interval_ms = 1").contains("clock"));
        assert!(told("metric = 'conversions_per_budget'", "metric = 'fun'").contains("conversions_per_budget"));
        let twice =
            format!("{FILE}{}", FILE.split("[[experiment]]").nth(1).map(|b| format!("[[experiment]]{b}")).unwrap());
        assert!(check(&twice).unwrap_err()[0].to_string().contains("another experiment"));
    }
}
