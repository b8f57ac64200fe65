//! Experiments that run: which arm a campaign's day is in, and what its matured days have shown.
//!
//! What always holds: the arm of a day follows from the policy, the campaign and the local date alone; a day is judged once,
//! a fixed number of days after it ended, with the conversions that it had been credited with by then (so all arms have
//! matured alike), campaigns in the order of their instants. It is belief: a replay and a restart from the log judge alike.
//! After the verdict no day is added, and all campaigns go by the first arm's numbers, or the winner's where the block
//! says so.
//!
//! An arm steers the looks at its campaigns. Jumps of specifications, leases and the learning of shapes follow the numbers
//! that the campaigns have anyway. Missing on purpose: campaigns whose days have no budget (nothing to divide by).

use crate::campaign::Live;
use crate::desk::Desk;
use crate::measures::{CLICKS, CREDITS_TOUCH_TIME, NONE, net_spend};
use crate::picture::Picture;
use model::time::{MINUTE_MS, Millis};
use policy::settings::{Experiment, Metric, Settings};
use policy::switchback::{Baseline, Comparison, Evidence, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One experiment in one account: some 200 bytes, and 100 for each campaign.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Of the block that it runs by: another one begins anew.
    fingerprint: u64,
    /// What the arms' days have shown.
    evidence: Evidence,
    /// By campaign: the last local date judged, and what its days let expect.
    campaigns: BTreeMap<String, (i32, Baseline)>,
    /// How it stands.
    verdict: Verdict,
    /// Local date on which it was decided.
    decided_on: Option<i32>,
}

/// An experiment as people see it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // Names carry meaning and unit.
pub struct ExperimentNow {
    pub account_id: String,
    pub id: String,
    pub metric: &'static str,
    /// First local date, in days since 1970, and how many there are.
    pub start_day: i32,
    pub days: i32,
    pub mature_days: i32,
    pub alpha: f64,
    /// planned, running, decided, void, over.
    pub verdict: &'static str,
    pub winner: Option<String>,
    pub decided_day: Option<i32>,
    /// Name, planned share, days judged, mean outcome of a day.
    pub arms: Vec<(String, f64, i64, Option<f64>)>,
    /// Of each arm but the first against it.
    pub comparisons: Vec<Comparison>,
    /// Logarithm of the e-value of the split.
    pub sample_ratio_ln_e: f64,
}

/// The arm of a campaign's day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InArm<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Index of the arm.
    pub arm: usize,
}

/// Days before its start let an experiment know what to expect.
const LEARNED_BEFORE: i32 = 21;
/// Local time from which a day's predecessors are judged.
const JUDGED_AT_MS: Millis = 4 * model::time::HOUR_MS;

impl<'a> Desk<'a> {
    /// The numbers that a campaign goes by now: those of its arm while an experiment runs.
    pub fn settings_of(&self, account_id: &str, campaign_id: &str, live: &Live) -> &'a Settings {
        let policy: &'a policy::settings::Policy = self.policy;
        let base = policy.for_campaign(account_id, campaign_id);
        let Some(experiment) = policy.experiment_of(account_id, campaign_id) else { return base };
        let arm = match self.arm_of(account_id, campaign_id, live) {
            Some(in_arm) => in_arm.arm,
            None => match self.verdict_of(account_id, experiment) {
                Verdict::Decided(winner) if experiment.then_winner => winner as usize,
                Verdict::Running => return base,
                // Without a winner that counts, the first arm's numbers hold.
                _ => 0,
            },
        };
        experiment.settings(arm, campaign_id).unwrap_or(base)
    }

    /// The arm that a campaign's day is in; `None` outside of an experiment's days and after its verdict.
    pub fn arm_of(&self, account_id: &str, campaign_id: &str, live: &Live) -> Option<InArm<'a>> {
        let policy: &'a policy::settings::Policy = self.policy;
        let experiment = policy.experiment_of(account_id, campaign_id)?;
        let date = live.calendar.day_of(self.now).date;
        let runs = experiment.covers(date) && self.verdict_of(account_id, experiment) == Verdict::Running;
        runs.then(|| InArm { experiment, arm: experiment.arm_of(campaign_id, date) })
    }

    fn verdict_of(&self, account_id: &str, experiment: &Experiment) -> Verdict {
        let account = self.belief.accounts.get(account_id);
        let running = account.and_then(|account| account.experiments.get(&experiment.id));
        let running = running.filter(|running| running.fingerprint == experiment.fingerprint());
        running.map_or(Verdict::Running, |running| running.verdict)
    }

    /// Judges the days of a campaign that have matured since the last look, at the first evaluation after four in the
    /// morning; `true` if the experiment has come to its verdict with them.
    pub fn judge_experiment(&mut self, account_id: &str, campaign_id: &str, live: &Live, picture: &Picture) -> bool {
        self.forget_experiments(account_id);
        let Some(experiment) = self.policy.experiment_of(account_id, campaign_id) else { return false };
        if self.now.saturating_sub(picture.day.start) < JUDGED_AT_MS {
            return false;
        }
        let Some(account) = self.belief.accounts.get_mut(account_id) else { return false };
        let fingerprint = experiment.fingerprint();
        let known = account.experiments.get(&experiment.id).is_some_and(|running| running.fingerprint == fingerprint);
        if !known {
            let evidence = Evidence::new(experiment.arms.len());
            let running = Running { fingerprint, evidence, ..Running::default() };
            account.experiments.insert(experiment.id.clone(), running);
        }
        let Some(running) = account.experiments.get_mut(&experiment.id) else { return false };
        let before = running.verdict;
        running.judge(experiment, campaign_id, live, picture.day.date);
        before == Verdict::Running && running.verdict != Verdict::Running
    }

    /// What a policy no longer names is over for good.
    fn forget_experiments(&mut self, account_id: &str) {
        let Some(account) = self.belief.accounts.get(account_id) else { return };
        let named =
            |id: &String| self.policy.experiments.iter().any(|block| block.account_id == account_id && block.id == *id);
        if account.experiments.keys().all(named) {
            return;
        }
        if let Some(account) = self.belief.accounts.get_mut(account_id) {
            account.experiments.retain(|id, _| named(id));
        }
    }

    /// What is to be told of an account's experiments that came to a verdict.
    pub fn tell_experiments(&mut self, account_id: &str) {
        let found = self.belief.accounts.get(account_id);
        let over: Vec<String> = found
            .into_iter()
            .flat_map(|account| &account.experiments)
            .filter_map(|(id, running)| {
                let blocks = self.policy.experiments.iter();
                let mut blocks = blocks.filter(|block| block.account_id == account_id && block.id == *id);
                let block = blocks.find(|block| block.fingerprint() == running.fingerprint)?;
                (running.verdict != Verdict::Running).then(|| said(block, running))
            })
            .collect();
        let condition = (!over.is_empty()).then(|| crate::alerts::Condition {
            severity: "info",
            observed: Some(over.len() as i64),
            text: over.join(" "),
            ..crate::alerts::Condition::default()
        });
        self.settle_experiments(account_id, condition.as_ref());
    }
}

impl Running {
    fn judge(&mut self, experiment: &Experiment, campaign_id: &str, live: &Live, today: i32) {
        let from = experiment.start.saturating_sub(LEARNED_BEFORE);
        let entry = self.campaigns.entry(campaign_id.to_owned()).or_insert((from - 1, Baseline::default()));
        let matured = today.saturating_sub(1).saturating_sub(experiment.mature_days);
        let last = matured.min(experiment.start.saturating_add(experiment.days).saturating_sub(1));
        let shares = experiment.shares();
        for (index, budget) in &live.plans {
            let date = live.calendar.day_of(Millis::from(*index) * MINUTE_MS).date;
            if date <= entry.0 || date > last {
                continue;
            }
            entry.0 = date;
            let Some(outcome) = outcome(experiment.metric, live, *index, *budget) else { continue };
            if experiment.covers(date) && self.verdict == Verdict::Running {
                self.evidence.add(experiment.arm_of(campaign_id, date), outcome, &entry.1, &shares);
                self.verdict = self.evidence.verdict(experiment.alpha, &shares);
            }
            entry.1.learn(outcome);
        }
        let ends = experiment.start.saturating_add(experiment.days);
        if self.verdict == Verdict::Running && matured >= ends {
            self.verdict = Verdict::Over;
        }
        if self.verdict != Verdict::Running {
            self.decided_on = self.decided_on.or(Some(today));
        }
    }
}

/// How a day of a campaign came out; `None` where there was nothing to spend, or nothing spent that it is divided by.
fn outcome(metric: Metric, live: &Live, index: i32, budget: i64) -> Option<f64> {
    let sums = live.days.get(index).unwrap_or(NONE);
    let (conversions, value) = crate::rows::outcome(live, &sums, CREDITS_TOUCH_TIME);
    let (got, of) = match metric {
        Metric::ConversionsPerBudget => (conversions, budget),
        Metric::ValuePerBudget => (value, budget),
        Metric::ClicksPerBudget => (sums[CLICKS].saturating_mul(model::WHOLE_PPM), budget),
        Metric::ConversionsPerSpend => (conversions, net_spend(&sums)),
        Metric::ValuePerSpend => (value, net_spend(&sums)),
    };
    (budget > 0 && of > 0).then(|| got as f64 / of as f64)
}

fn said(block: &Experiment, running: &Running) -> String {
    let name = |arm: u32| block.arms.get(arm as usize).map_or("?", |arm| arm.name.as_str());
    let days: i64 = running.evidence.arms.iter().map(|(days, _)| days).sum();
    match running.verdict {
        Verdict::Decided(winner) => {
            let then = if block.then_winner {
                "its numbers hold now"
            } else {
                "the first arm's numbers hold until the policy is changed"
            };
            format!(
                "Experiment {}: arm \"{}\" is better ({}) after {days} days of campaigns; {then}.",
                block.id,
                name(winner),
                block.metric.as_str()
            )
        }
        Verdict::Void => format!(
            "Experiment {}: days did not fall into the arms as planned after {days} of them; nothing may be concluded.",
            block.id
        ),
        _ => format!("Experiment {}: its days are over, and {days} days of campaigns tell no arm apart.", block.id),
    }
}

impl ExperimentNow {
    /// A block with what is known of it in the account.
    pub fn of(block: &Experiment, running: Option<&Running>) -> ExperimentNow {
        let fresh = Running { evidence: Evidence::new(block.arms.len()), ..Running::default() };
        let known = running.filter(|running| running.fingerprint == block.fingerprint());
        let state = known.unwrap_or(&fresh);
        let verdict = match (state.verdict, known.is_some()) {
            (Verdict::Running, false) => "planned",
            (Verdict::Running, true) => "running",
            (Verdict::Decided(_), _) => "decided",
            (Verdict::Void, _) => "void",
            (Verdict::Over, _) => "over",
        };
        let winner = match state.verdict {
            Verdict::Decided(arm) => block.arms.get(arm as usize).map(|arm| arm.name.clone()),
            _ => None,
        };
        let arms = block.arms.iter().zip(&state.evidence.arms);
        let mean = |(days, sum): &(i64, f64)| (*days > 0).then(|| sum / *days as f64);
        ExperimentNow {
            account_id: block.account_id.clone(),
            id: block.id.clone(),
            metric: block.metric.as_str(),
            start_day: block.start,
            days: block.days,
            mature_days: block.mature_days,
            alpha: block.alpha,
            verdict,
            winner,
            decided_day: state.decided_on,
            arms: arms.map(|(arm, sums)| (arm.name.clone(), arm.share, sums.0, mean(sums))).collect(),
            comparisons: state.evidence.comparisons(block.alpha),
            sample_ratio_ln_e: state.evidence.sample_ratio_ln_e(&block.shares()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::minute_index;
    use crate::measures::BILLABLE;
    use model::time::DAY_MS;

    fn experiment() -> Experiment {
        let file = "[[experiment]]\nid = 'x'\naccount = 'acme'\nsalt = 's'\nmetric = 'clicks_per_budget'\nstart = 2026-03-02\n\
                    stop = { days = 60 }\n[[experiment.arm]]\nname = 'a'\nshare = 0.5\n[[experiment.arm]]\nname = 'b'\nshare = 0.5\n";
        policy::settings::check(file).unwrap().experiments.remove(0)
    }

    /// A campaign whose days bring about a hundred clicks, more where `better` says so.
    fn live(until: i32, noise: u64, better: impl Fn(i32) -> bool) -> Live {
        let mut live = Live::default();
        live.calendar.set_zone("UTC", 0);
        for date in 20_495..until {
            let index = minute_index(Millis::from(date) * DAY_MS);
            let mut sums = NONE;
            let stray = (policy::arithmetic::stable_hash(&[&date.to_string(), &noise.to_string()]) % 21) as i64;
            sums[CLICKS] = 90 + stray + if better(date) { 20 } else { 0 };
            sums[BILLABLE] = sums[CLICKS];
            live.days.add(index, &sums);
            live.plans.push((index, 1_000_000));
        }
        live
    }

    fn run(better: bool) -> (Running, i32) {
        let experiment = experiment();
        let mut running =
            Running { fingerprint: experiment.fingerprint(), evidence: Evidence::new(2), ..Running::default() };
        let names = ["c1", "c2", "c3", "c4"];
        for today in experiment.start..experiment.start + 70 {
            for (noise, name) in names.iter().enumerate() {
                let live = live(today, noise as u64, |date| {
                    better && experiment.covers(date) && experiment.arm_of(name, date) == 1
                });
                running.judge(&experiment, name, &live, today);
            }
        }
        (running, experiment.start)
    }

    #[test]
    fn an_arm_with_a_fifth_more_clicks_wins_within_weeks_and_equal_ones_are_over_undecided() {
        let (running, start) = run(true);
        assert_eq!(running.verdict, Verdict::Decided(1));
        assert!(running.decided_on.unwrap() - start < 45, "{:?}", running.decided_on);
        let (running, start) = run(false);
        assert_eq!((running.verdict, running.decided_on), (Verdict::Over, Some(start + 64)));
        let days: i64 = running.evidence.arms.iter().map(|(days, _)| days).sum();
        assert_eq!(days, 240, "each day of each campaign once");
        let now = ExperimentNow::of(&experiment(), Some(&running));
        assert_eq!((now.verdict, now.winner, now.arms.len()), ("over", None, 2));
        assert_eq!(ExperimentNow::of(&experiment(), None).verdict, "planned");
    }
}
