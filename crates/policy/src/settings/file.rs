//! The policy file: TOML with `[stage1]`, `[defaults.<question>]`, `[account."<id>".<question>]`,
//! `[account."<id>".campaign."<id>".<question>]`, and blocks of `[[profile]]`, `[[rule]]`, `[[goal]]` and `[[experiment]]`.
//!
//! What always holds: nothing of a file with a mistake is used, and all its mistakes are told at once.

use super::experiments::{Block, date};
use super::overlay::{overlay, unknown};
use super::{AccountSettings, Arm, Experiment, Policy, Settings, Stage1};
use crate::profile::Profile;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use toml::{Table, Value};

/// One thing to mend in a policy file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where, as a path of names; empty for the file as a whole.
    pub at: String,
    /// What is wrong.
    pub what: String,
}

/// Parses and checks a policy file's text; an empty text is the default policy.
pub fn check(body: &str) -> Result<Policy, Vec<Mistake>> {
    let file: Table = match body.parse() {
        Ok(file) => file,
        Err(error) => return Err(vec![Mistake::new(String::new(), format!("is no TOML: {error}"))]),
    };
    let mut reader = Reader { mistakes: Vec::new() };
    let mut policy = reader.policy(&file);
    policy.rules = super::rules::rules(file.get("rule"), body, &mut reader.mistakes);
    policy.windows_read = crate::rule::windows_read(&policy.rules);
    policy.laws = policy.rules.iter().map(crate::rule::Law::from).collect();
    policy.goals = super::goals::goals(file.get("goal"), &mut reader.mistakes);
    reader.mistakes.sort();
    if reader.mistakes.is_empty() { Ok(policy) } else { Err(reader.mistakes) }
}

struct Reader {
    mistakes: Vec<Mistake>,
}

impl Reader {
    fn policy(&mut self, file: &Table) -> Policy {
        const NAMES: [&str; 7] = ["stage1", "defaults", "account", "profile", "rule", "goal", "experiment"];
        let known = NAMES.map(String::from);
        let empty = Table::new();
        for key in file.keys().filter(|key| !known.contains(key)) {
            self.mistake(key, unknown(key, known.iter()));
        }
        let stage1 = self.merged::<Stage1>(&Stage1::default(), self_table(file, "stage1").unwrap_or(&empty), "stage1");
        self.expect_tables(file);
        let defaults = self.settings(&Settings::default(), self_table(file, "defaults").unwrap_or(&empty), "defaults");
        let accounts = self.accounts(&defaults, self_table(file, "account").unwrap_or(&empty));
        let profiles = self.profiles(file.get("profile"));
        self.stage1_makes_sense(&stage1);
        let mut policy = Policy { stage1, defaults, accounts, profiles, ..Policy::default() };
        policy.experiments = self.experiments(file.get("experiment"), &policy);
        policy
    }

    fn expect_tables(&mut self, file: &Table) {
        for name in ["stage1", "defaults", "account"] {
            if file.get(name).is_some_and(|value| !value.is_table()) {
                self.mistake(name, "must be a table".into());
            }
        }
    }

    fn accounts(&mut self, defaults: &Settings, tables: &Table) -> BTreeMap<String, AccountSettings> {
        let mut accounts = BTreeMap::new();
        for (id, value) in tables {
            let path = format!("account.{id}");
            let Value::Table(table) = value else {
                self.mistake(&path, "must be a table".into());
                continue;
            };
            let mut own = table.clone();
            let campaigns = own.remove("campaign");
            self.no_clock(&own, &path);
            let settings = self.settings(defaults, &own, &path);
            let campaigns = self.campaigns(&settings, campaigns.as_ref(), &path);
            accounts.insert(id.clone(), AccountSettings { settings, campaigns });
        }
        accounts
    }

    fn campaigns(&mut self, account: &Settings, value: Option<&Value>, path: &str) -> BTreeMap<String, Settings> {
        let mut campaigns = BTreeMap::new();
        let tables = match value {
            None => return campaigns,
            Some(Value::Table(tables)) => tables,
            Some(_) => {
                self.mistake(&format!("{path}.campaign"), "must be a table".into());
                return campaigns;
            }
        };
        for (id, value) in tables {
            let path = format!("{path}.campaign.{id}");
            match value {
                Value::Table(table) => {
                    self.no_clock(table, &path);
                    campaigns.insert(id.clone(), self.settings(account, table, &path));
                }
                _ => self.mistake(&path, "must be a table".into()),
            }
        }
        campaigns
    }

    fn profiles(&mut self, value: Option<&Value>) -> BTreeMap<String, Profile> {
        let mut profiles = BTreeMap::new();
        let blocks = match value {
            None => return profiles,
            Some(Value::Array(blocks)) => blocks,
            Some(_) => {
                self.mistake("profile", "must be written as [[profile]] blocks".into());
                return profiles;
            }
        };
        for (index, block) in blocks.iter().enumerate() {
            let path = format!("profile[{index}]");
            let Value::Table(block) = block else {
                self.mistake(&path, "must be a table".into());
                continue;
            };
            if let Some(profile) = self.profile(block, &path)
                && profiles.insert(profile.name.clone(), profile).is_some()
            {
                self.mistake(&path, "a profile of this name stands above".into());
            }
        }
        profiles
    }

    /// A block changes the built-in profile of its name, or starts a new one from the one named by `like`.
    fn profile(&mut self, block: &Table, path: &str) -> Option<Profile> {
        let mut block = block.clone();
        let like = block.remove("like");
        let Some(name) = block.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            self.mistake(path, "needs a name".into());
            return None;
        };
        let base = match &like {
            Some(like) => like.as_str().and_then(Profile::built_in),
            None => Profile::built_in(name),
        };
        let Some(base) = base else {
            self.mistake(path, format!("needs like = one of {}", Profile::NAMES.join(", ")));
            return None;
        };
        let profile = self.merged::<Profile>(&base, &block, path);
        self.require(path, "bid_cadence_ms must be above 0", profile.bid_cadence_ms > 0);
        let periods = [profile.week_ceiling_ppm, profile.month_ceiling_ppm];
        let at_least_a_day = periods.iter().all(|ppm| *ppm == 0 || *ppm >= 1_000_000);
        self.require(path, "week_ceiling_ppm and month_ceiling_ppm must be 0 or at least 1000000", at_least_a_day);
        self.require(path, "day_ceiling_ppm must be at least 1000000", profile.day_ceiling_ppm >= 1_000_000);
        let modifiers = 0 < profile.modifier_min_ppm && profile.modifier_min_ppm <= profile.modifier_max_ppm;
        self.require(path, "modifier_min_ppm must be above 0 and at most modifier_max_ppm", modifiers);
        Some(profile)
    }

    /// All campaigns of a service share one clock.
    fn no_clock(&mut self, over: &Table, path: &str) {
        if over.contains_key("clock") {
            let what = "is the same for all accounts and campaigns; write it as [defaults.clock]";
            self.mistake(&format!("{path}.clock"), what.into());
        }
    }

    fn experiments(&mut self, value: Option<&Value>, policy: &Policy) -> Vec<Experiment> {
        let blocks = match value {
            None => return Vec::new(),
            Some(Value::Array(blocks)) => blocks,
            Some(_) => {
                self.mistake("experiment", "must be written as [[experiment]] blocks".into());
                return Vec::new();
            }
        };
        let mut experiments: Vec<Experiment> = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            let path = format!("experiment[{index}]");
            let Some(experiment) = self.experiment(block, &path, policy) else { continue };
            let meets = |other: &Experiment| {
                let apart = !other.campaigns.is_empty()
                    && !experiment.campaigns.is_empty()
                    && other.campaigns.is_disjoint(&experiment.campaigns);
                other.id == experiment.id || other.account_id == experiment.account_id && !apart
            };
            if experiments.iter().any(meets) {
                self.mistake(&path, "has the name or a campaign of another experiment".into());
            }
            experiments.push(experiment);
        }
        experiments
    }

    fn experiment(&mut self, block: &Value, path: &str, policy: &Policy) -> Option<Experiment> {
        let block: Block = match block.clone().try_into() {
            Ok(block) => block,
            Err(error) => {
                self.mistake(path, format!("cannot be read: {}", error.message()));
                return None;
            }
        };
        let mistakes = block.mistakes();
        if !mistakes.is_empty() {
            mistakes.into_iter().for_each(|what| self.mistake(path, what));
            return None;
        }
        let base = policy.for_account(&block.account);
        let overridden = policy.accounts.get(&block.account).map(|account| &account.campaigns);
        let mut arms = Vec::with_capacity(block.arm.len());
        for arm in &block.arm {
            let path = format!("{path}.arm.{}.policy", arm.name);
            self.no_clock(&arm.policy, &path);
            if arm.policy.contains_key("portfolio") {
                let what = "cannot differ between arms: a pool moves the money of all its campaigns at once";
                self.mistake(&format!("{path}.portfolio"), what.into());
            }
            let account = self.settings(base, &arm.policy, &path);
            // Mistakes were told above: the same overlay makes the same ones.
            let told = self.mistakes.len();
            let own = overridden.into_iter().flatten();
            let own: Vec<_> = own.map(|(id, base)| (id.clone(), self.settings(base, &arm.policy, &path))).collect();
            self.mistakes.truncate(told);
            arms.push(Arm { name: arm.name.clone(), share: arm.share, account, overridden: own.into_iter().collect() });
        }
        Some(Experiment {
            id: block.id,
            account_id: block.account,
            campaigns: block.campaigns.into_iter().collect(),
            salt: block.salt,
            metric: block.metric,
            start: date(&block.start)?,
            days: block.stop.days,
            mature_days: block.mature_days,
            alpha: block.stop.alpha,
            then_winner: block.stop.then == "winner",
            arms,
        })
    }

    fn settings(&mut self, base: &Settings, over: &Table, path: &str) -> Settings {
        let settings = self.merged(base, over, path);
        for (rule, holds) in relations(&settings) {
            self.require(path, rule, holds);
        }
        settings
    }

    fn merged<T: Serialize + DeserializeOwned + Clone>(&mut self, base: &T, over: &Table, path: &str) -> T {
        let before = self.mistakes.len();
        let table = Table::try_from(base).unwrap_or_default();
        let merged = overlay(&table, over, path, &mut self.mistakes);
        match Value::Table(merged).try_into() {
            Ok(value) => value,
            Err(error) => {
                if self.mistakes.len() == before {
                    self.mistake(path, format!("cannot be read: {error}"));
                }
                base.clone()
            }
        }
    }

    fn stage1_makes_sense(&mut self, stage1: &Stage1) {
        self.require("stage1", "age_max_ms must be above 0", stage1.age_max_ms > 0);
        let short = stage1.lookback_impressions_ms <= stage1.lookback_clicks_ms;
        self.require("stage1", "lookback_impressions_ms must be at most lookback_clicks_ms", short);
    }

    fn require(&mut self, path: &str, rule: &str, holds: bool) {
        if !holds {
            self.mistake(path, rule.to_owned());
        }
    }

    fn mistake(&mut self, at: &str, what: String) {
        self.mistakes.push(Mistake::new(at.to_owned(), what));
    }
}

/// What must hold between the numbers of one campaign.
fn relations(s: &Settings) -> Vec<(&'static str, bool)> {
    let below_one = |x: f64| x < 1.0;
    let (plan, pressure, guard) = (&s.plan, &s.pressure, &s.guard);
    vec![
        ("clock.pacing_interval_ms must be above 0", s.clock.pacing_interval_ms > 0),
        ("clock.watch_interval_ms must be above 0", s.clock.watch_interval_ms > 0),
        ("clock.target_interval_ms must be above 0", s.clock.target_interval_ms > 0),
        ("clock.rules_interval_ms must be above 0", s.clock.rules_interval_ms > 0),
        ("gates.dead_min_ms must be at least stale_min_ms", s.gates.dead_min_ms >= s.gates.stale_min_ms),
        ("gates.dead_periods must be at least stale_periods", s.gates.dead_periods >= s.gates.stale_periods),
        ("plan.day_share_min must be at most day_share_max", plan.day_share_min <= plan.day_share_max),
        ("plan.shape_floor must be at most 1", plan.shape_floor <= 1.0),
        ("plan.shape_curve_share must be at most 1", plan.shape_curve_share <= 1.0),
        ("plan.shape_prior_weeks must be above 0", plan.shape_prior_weeks > 0.0),
        ("plan.shape_half_life_ms must be above 0", plan.shape_half_life_ms > 0),
        ("pressure.window_short_ms must be above 0", pressure.window_short_ms > 0),
        (
            "pressure.window_short_ms must be at most window_long_ms",
            pressure.window_short_ms <= pressure.window_long_ms,
        ),
        ("pressure.rate_window_min_ms must be above 0", pressure.rate_window_min_ms > 0),
        ("pressure.elasticity must be above 0", pressure.elasticity > 0.0),
        ("pressure.cost_prior_events must be above 0", pressure.cost_prior_events > 0),
        ("pressure.gain_max must be at most 1", pressure.gain_max <= 1.0),
        ("pressure.gain_doubts must be above 0", pressure.gain_doubts > 0.0),
        ("pressure.gain_growth_max must be at least 1", pressure.gain_growth_max >= 1.0),
        ("target.elasticity must be above 0", s.target.elasticity > 0.0),
        ("target.prior_conversions must be above 0", s.target.prior_conversions > 0.0),
        ("target.optimism must not be below 0", s.target.optimism >= 0.0),
        ("target.development_prior must be above 0", s.target.development_prior > 0.0),
        ("target.delay_median_ms must be above 0", s.target.delay_median_ms > 0),
        ("target.delay_sigma must be above 0", s.target.delay_sigma > 0.0),
        ("composition.publish_step must be at most 1", s.composition.publish_step <= 1.0),
        ("portfolio.days must be above 0", s.portfolio.days > 0),
        ("portfolio.bid_days must be 1 to 7", (1..=7).contains(&s.portfolio.bid_days)),
        ("portfolio.move_share_max must be at most 0.2", s.portfolio.move_share_max <= 0.2),
        ("portfolio.pool_share_max must be at most 1", s.portfolio.pool_share_max <= 1.0),
        ("portfolio.floor_share must be at most 1", s.portfolio.floor_share <= 1.0),
        ("portfolio.trial_share must be at most 1", s.portfolio.trial_share <= 1.0),
        (
            "portfolio.raise_after_ms must be below drop_after_ms",
            s.portfolio.raise_after_ms < s.portfolio.drop_after_ms,
        ),
        ("portfolio.lower_before_ms must be above 0", s.portfolio.lower_before_ms > 0),
        ("portfolio.curve_prior_sd must be above 0", s.portfolio.curve_prior_sd > 0.0),
        ("portfolio.curve_dispersion must be above 0", s.portfolio.curve_dispersion > 0.0),
        ("portfolio.idle_days must be 1 to 28", (1..=28).contains(&s.portfolio.idle_days)),
        (
            "portfolio.explore_share must be at most move_share_max",
            s.portfolio.explore_share <= s.portfolio.move_share_max,
        ),
        ("anomaly.runaway.window_ms must be above 0", s.anomaly.runaway.window_ms > 0),
        ("anomaly.runaway.resume_bid_share must be at most 1", s.anomaly.runaway.resume_bid_share <= 1.0),
        ("anomaly.spec_jump.factor must be above 1", s.anomaly.spec_jump.factor > 1.0),
        ("pause.underperformer.rate_share must be at most 1", s.pause.underperformer.rate_share <= 1.0),
        ("pause.underperformer.evidence_min must be at least 1", s.pause.underperformer.evidence_min >= 1.0),
        ("pause.underperformer.cut_share must be at most 1", s.pause.underperformer.cut_share <= 1.0),
        ("guard.bid_step_down must be below 1", below_one(guard.bid_step_down)),
        ("guard.bid_hour_down must be below 1", below_one(guard.bid_hour_down)),
        ("guard.bid_day_down must be below 1", below_one(guard.bid_day_down)),
        ("guard.budget_step_down must be below 1", below_one(guard.budget_step_down)),
        ("guard.budget_day_down must be below 1", below_one(guard.budget_day_down)),
        ("guard.target_step must be below 1", below_one(guard.target_step)),
        ("guard.worst_case_traffic must be at least 1", guard.worst_case_traffic >= 1.0),
        (
            "guard.worst_case_chance must be above 0 and at most 1",
            guard.worst_case_chance > 0.0 && guard.worst_case_chance <= 1.0,
        ),
        ("guard.worst_case_elasticity must be at most 8", guard.worst_case_elasticity <= 8.0),
    ]
}

fn self_table<'a>(file: &'a Table, name: &str) -> Option<&'a Table> {
    file.get(name).and_then(Value::as_table)
}

impl Mistake {
    pub(super) fn new(at: String, what: String) -> Mistake {
        Mistake { at, what }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() { write!(f, "the file {}", self.what) } else { write!(f, "{}: {}", self.at, self.what) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mistakes(body: &str) -> Vec<String> {
        check(body).unwrap_err().iter().map(Mistake::to_string).collect()
    }

    #[test]
    fn an_empty_file_is_the_default_policy() {
        assert_eq!(check("").unwrap(), Policy::default());
        assert_eq!(Policy::default().for_campaign("a", "c").pressure.gain_max, 0.5);
    }

    #[test]
    fn overrides_go_from_the_general_to_the_special() {
        let policy = check(
            "[defaults.pressure]\ngain_max = 0.4\n[account.acme.pressure]\nstep_up_max = 0.05\n\
             [account.acme.campaign.'c 1'.pressure]\ngain_max = 1\n[stage1.idle_period]\nclicks_ms = 3600000\n",
        )
        .unwrap();
        let of = |account, campaign| {
            let s = policy.for_campaign(account, campaign);
            (s.pressure.gain_max, s.pressure.step_up_max)
        };
        assert_eq!([of("other", "x"), of("acme", "x"), of("acme", "c 1")], [(0.4, 0.1), (0.4, 0.05), (1.0, 0.05)]);
        assert_eq!(policy.stage1.idle_period.clicks_ms, 3_600_000);
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_the_nearest_name() {
        let told = mistakes(
            "[default.pressure]\n[defaults.presure]\ngain_max = 1\n[defaults.guard]\nbid_step_up = -1\n\
             bid_step_down = 'a'\nbudget_step_down = 1.5\n[stage1]\nallowed_delay_ms = 0.5\n[[goals]]\nname = 'x'\n",
        );
        assert_eq!(
            told,
            [
                "default: unknown name; did you mean \"defaults\"?",
                "defaults: guard.budget_step_down must be below 1",
                "defaults.guard.bid_step_down: is of type string, but must be of type float",
                "defaults.guard.bid_step_up: is -1, but must be 0 to 1e12",
                "defaults.presure: unknown name; did you mean \"pressure\"?",
                "goals: unknown name; did you mean \"goal\"?",
                "stage1.allowed_delay_ms: is of type float, but must be of type integer",
            ]
        );
        assert!(mistakes("x = = 1")[0].starts_with("the file is no TOML"));
        assert_eq!(mistakes("[defaults.guard]\nbid_step_up = nan").len(), 1);
        assert_eq!(mistakes("defaults = 1\nprofile = 2\n[account]\na = 3").len(), 3);
    }

    #[test]
    fn a_clock_of_one_account_is_refused_with_the_place_where_it_counts() {
        let told = mistakes(
            "[account.acme.clock]\npacing_interval_ms = 60000\n[account.acme.campaign.c.clock]\nwatch_interval_ms = 1\n",
        );
        let what = "is the same for all accounts and campaigns; write it as [defaults.clock]";
        assert_eq!(told, [format!("account.acme.campaign.c.clock: {what}"), format!("account.acme.clock: {what}")]);
        assert!(check("[defaults.clock]\npacing_interval_ms = 60000\n").is_ok());
    }

    #[test]
    fn profiles_can_be_changed_and_added() {
        let policy = check(
            "[[profile]]\nname = 'meta'\nbid_cadence_ms = 1800000\n[[profile]]\nname = 'ours'\nlike = 'dsp'\nunit_micros = 1\n",
        )
        .unwrap();
        assert_eq!(policy.profile_for(Some("meta"), "events").bid_cadence_ms, 1_800_000);
        assert_eq!(policy.profile_for(Some("meta"), "stats").bid_cadence_ms, 3_600_000);
        let ours = policy.profile_for(Some("ours"), "events");
        assert_eq!((ours.unit_micros(0, "EUR"), ours.hard_cap), (1, true));
        assert_eq!(policy.profile_for(None, "events").name, "bidder");
        assert_eq!(policy.profile_for(Some("myspace"), "events").name, "stats_only");
        assert_eq!(mistakes("[[profile]]\nname = 'ours'").len(), 1);
        assert_eq!(mistakes("[[profile]]\nname = 'meta'\nweek_ceiling_ppm = 7").len(), 1);
    }

    proptest! {
        #[test]
        fn any_text_is_a_policy_or_a_list_of_mistakes(body in "(?s).{0,80}") {
            if let Err(mistakes) = check(&body) {
                prop_assert!(!mistakes.is_empty());
            }
        }
    }
}
