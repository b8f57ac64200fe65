//! Read-only answers for people and programs: what is believed, without changing it.

use crate::belief::{Belief, Counters};
use crate::breakdown::Breakdown;
use crate::campaign::{FLIGHT, Granularity, Live, RowKey};
use crate::controller::{Controller, State};
use crate::desk::{RuleSaid, Undo, is_asked_at_evaluations};
use crate::experiments::ExperimentNow;
use crate::goals::{self, GoalNow};
use crate::ledger::{CampaignLedger, Lever};
use crate::measures::{NONE, net_spend};
use crate::paths::Paths;
use crate::pools;
use crate::rows;
use crate::surroundings::Spoken;
use model::fact::CampaignSpec;
use model::output::{Adjustment, Alert, KpiRow};
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use policy::pause::Holder;
use policy::rule::Law;
use std::sync::Arc;

/// A look at one journal partition's state.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) controller: &'a Controller,
}

/// What a list of campaigns shows.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct CampaignSummary {
    pub account_id: String,
    pub campaign_id: String,
    pub spec: CampaignSpec,
    /// Spend of the local day, month and flight after corrections.
    pub spend_day_micros: i64,
    pub spend_month_micros: i64,
    pub spend_flight_micros: i64,
    /// Budget of the day in the specification.
    pub daily_budget_micros: Option<i64>,
    /// Event time below which everything is known.
    pub watermark: Option<Millis>,
    /// The current UTC hour and local day, still open.
    pub hour: Option<KpiRow>,
    pub day: Option<KpiRow>,
    /// Budget planned for the local day, where there is one.
    pub planned_day_micros: Option<i64>,
    /// What the plan has spent by now.
    pub planned_by_now_micros: Option<i64>,
    /// ahead, on_plan, behind, unknown, paused, exhausted.
    pub pace: String,
    /// budget, target, bid_max, bid_min, supply, none.
    pub binding: String,
    /// Bid asked for last, and the one confirmed.
    pub bid_wanted_micros: Option<i64>,
    pub bid_confirmed_micros: Option<i64>,
    /// Of the last evaluation of the pacing: what its window had to spend, and its spend, at the bid of
    /// its loop where that can be told.
    pub window_need_micros: Option<i64>,
    pub window_spend_micros: Option<i64>,
    /// Who holds it still.
    pub holders: Vec<String>,
    /// Who holds what, since when, until when.
    pub holds: Vec<Hold>,
    /// What a person can take back now.
    pub undos: Vec<Undo>,
    /// Any halt covers it.
    pub halted: bool,
    /// Version of a specification whose numbers jumped and wait for a person.
    pub jumped_version: Option<i64>,
    /// How its goal stands, where it has one that can be followed.
    pub goal: Option<GoalNow>,
    /// What users' rules said of it at their last instant.
    pub rules: Vec<RuleSaid>,
    /// What all rules of the policy in force say: shared, not copied.
    pub laws: Arc<[Law]>,
}

/// Somebody keeps a value as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Hold {
    /// bid, hours, modifiers, budget, state.
    pub lever: &'static str,
    /// A pause's holder, or `person` for a value that somebody else set.
    pub holder: &'static str,
    pub since: Millis,
    /// `None`: until its cause ends or a person lets go.
    pub until: Option<Millis>,
}

/// Why the last look at a campaign led to no command, by lever.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Why {
    /// bid, budget, state.
    pub lever: &'static str,
    /// A closed word.
    pub reason: String,
    /// It is of the lever's last evaluation (`clock.pacing_interval_ms`) and stays until the next one.
    pub is_of_evaluation: bool,
}

/// A scope that is stopped now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct HaltInForce {
    /// global, account, campaign.
    pub scope: &'static str,
    pub account_id: Option<String>,
    pub campaign_id: Option<String>,
    /// Timestamp of the last word on this scope.
    pub since: Option<Millis>,
}

/// How a goal of an account stands.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct AccountGoalNow {
    pub account_id: String,
    pub name: String,
    pub currency: String,
    pub from: Millis,
    pub now: GoalNow,
}

impl AccountGoalNow {
    /// Alerts of accounts' goals begin with this; the goal's name follows.
    pub(crate) const KIND: &'static str = "goal_at_risk:";

    pub(crate) fn kind(&self) -> String {
        Self::kind_of(&self.name)
    }

    pub(crate) fn kind_of(name: &str) -> String {
        format!("{}{name}", Self::KIND)
    }
}

/// Amounts that wait for a specification.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Waiting {
    pub account_id: String,
    pub campaign_id: String,
    pub currency: String,
    pub since: Millis,
    pub spend_micros: i64,
}

/// How a campaign's local day stands: what a chart of spend against plan samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DayNow<'a> {
    pub account_id: &'a str,
    pub campaign_id: &'a str,
    pub currency: &'a str,
    /// Start of the local day.
    pub start: Millis,
    /// Spent in it after corrections.
    pub spend_micros: i64,
    /// Budget planned for it, and what the plan has spent by now, where there is one.
    pub planned_micros: Option<i64>,
    pub planned_by_now_micros: Option<i64>,
}

/// What a campaign did by the values of dimensions, and the paths of its account's conversions.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct ByDimension {
    /// Local date of the campaign, in days since 1970.
    pub today: i32,
    pub breakdown: Option<Arc<Breakdown>>,
    pub paths: Option<Arc<Paths>>,
}

impl<'a> View<'a> {
    /// The local day of every campaign in which something has happened, by account and id; cheap enough to be asked
    /// every few minutes of a replay.
    pub fn days_now(self) -> impl Iterator<Item = DayNow<'a>> {
        let accounts = self.belief().accounts.iter();
        accounts.flat_map(move |(account_id, account)| {
            account.campaigns.iter().filter_map(move |(campaign_id, campaign)| {
                let live = campaign.live.as_ref()?;
                let day = live.calendar.day_of(self.now());
                let planned = live.pacing.planned.filter(|(start, _)| *start == day.start).map(|(_, budget)| budget);
                let outlook = live.outlook.as_ref().and_then(|outlook| outlook.plan.as_ref().ok());
                let share = outlook.map(|plan| policy::arithmetic::ppm(plan.share_by(self.now())));
                Some(DayNow {
                    account_id,
                    campaign_id,
                    currency: &live.spec.currency,
                    start: day.start,
                    spend_micros: live.net_spend_of_day(&day),
                    planned_micros: planned,
                    planned_by_now_micros: planned
                        .zip(share)
                        .map(|(budget, share)| policy::arithmetic::of_ppm(budget, share)),
                })
            })
        })
    }

    fn holds(self, account_id: &str, campaign_id: &str, ledger: &CampaignLedger) -> Vec<Hold> {
        let pauses = ledger.holders.iter().map(|(holder, since)| {
            let live = self.belief().campaign(account_id, campaign_id).and_then(|campaign| campaign.live.as_ref());
            let until = live.filter(|_| holder == Holder::DailyCap).map(|live| live.calendar.day_of(since).end);
            Hold { lever: Lever::State.word(), holder: holder.as_str(), since, until }
        });
        let gates = &self.controller.policy().for_campaign(account_id, campaign_id).gates;
        let values = [Lever::Bid, Lever::Budget].into_iter().filter_map(|lever| {
            let since = ledger.slot(lever).override_at?;
            let until = since.saturating_add(gates.override_hold_ms);
            (self.now() < until).then(|| Hold {
                lever: lever.word(),
                holder: Holder::Person.as_str(),
                since,
                until: Some(until),
            })
        });
        let table = ledger.hours.taken_back_at.map(|since| (since, since.saturating_add(gates.override_hold_ms)));
        let table = table.filter(|(_, until)| self.now() < *until).map(|(since, until)| Hold {
            lever: "hours",
            holder: Holder::Person.as_str(),
            since,
            until: Some(until),
        });
        let factors = ledger.values.values().filter_map(|slot| slot.taken_back_at).max();
        let factors = factors.map(|since| (since, since.saturating_add(gates.override_hold_ms)));
        let factors = factors.filter(|(_, until)| self.now() < *until).map(|(since, until)| Hold {
            lever: "modifiers",
            holder: Holder::Person.as_str(),
            since,
            until: Some(until),
        });
        pauses.chain(values).chain(table).chain(factors).collect()
    }

    /// Campaigns that are held, with and without a specification.
    pub fn campaign_count(self) -> usize {
        self.belief().campaign_count()
    }

    /// All campaigns that have a specification, by account and id.
    pub fn campaigns(self) -> impl Iterator<Item = CampaignSummary> + 'a {
        let accounts = self.belief().accounts.iter();
        accounts.flat_map(move |(account_id, account)| {
            account.campaigns.keys().filter_map(move |campaign_id| self.campaign(account_id, campaign_id))
        })
    }

    /// One campaign.
    pub fn campaign(self, account_id: &str, campaign_id: &str) -> Option<CampaignSummary> {
        let campaign = self.belief().campaign(account_id, campaign_id)?;
        let spec = campaign.spec()?;
        let mut summary = CampaignSummary {
            account_id: account_id.to_owned(),
            campaign_id: campaign_id.to_owned(),
            daily_budget_micros: spec.daily_budget_micros,
            spec,
            spend_day_micros: 0,
            spend_month_micros: 0,
            spend_flight_micros: 0,
            watermark: self.watermark(),
            hour: None,
            day: None,
            planned_day_micros: None,
            planned_by_now_micros: None,
            pace: "unknown".into(),
            binding: "none".into(),
            bid_wanted_micros: None,
            bid_confirmed_micros: None,
            window_need_micros: None,
            window_spend_micros: None,
            holders: Vec::new(),
            holds: Vec::new(),
            undos: Vec::new(),
            halted: self.state().ledger.halt_of(account_id, campaign_id).is_some(),
            jumped_version: campaign.jumped.as_ref().map(|jumped| jumped.spec.version),
            goal: None,
            rules: Vec::new(),
            laws: self.controller.policy().laws.clone(),
        };
        if let Some(ledger) = self.state().ledger.campaign(account_id, campaign_id) {
            summary.bid_wanted_micros = ledger.bid.last.as_ref().map(|last| last.value);
            summary.bid_confirmed_micros = ledger.bid.confirmed;
            summary.holders = ledger.holders.words();
            summary.holds = self.holds(account_id, campaign_id, ledger);
            summary.undos = ledger.undos(self.now());
        }
        if let Some(live) = &campaign.live {
            let day = live.calendar.day_of(self.now());
            let planned = live.pacing.planned.filter(|(start, _)| *start == day.start);
            summary.planned_day_micros = planned.map(|(_, budget)| budget);
            let share =
                live.outlook.as_ref().and_then(|outlook| Some(outlook.plan.as_ref().ok()?.share_by(self.now())));
            let by_now = |budget, share| policy::arithmetic::of_ppm(budget, policy::arithmetic::ppm(share));
            summary.planned_by_now_micros = planned.zip(share).map(|((_, budget), share)| by_now(budget, share));
            summary.window_need_micros = live.pacing.need.map(|(need, _)| need);
            summary.window_spend_micros = live.pacing.need.map(|(_, spend)| spend);
            summary.pace = live.pacing.pace.as_str().into();
            summary.binding = live.pacing.binding.as_str().into();
            let spend = |sums: Option<_>| net_spend(&sums.unwrap_or(NONE));
            summary.spend_day_micros = live.net_spend_of_day(&day);
            summary.spend_month_micros = spend(live.months.get(day.month));
            summary.spend_flight_micros = spend(live.totals.get(FLIGHT));
            summary.watermark = live.watermark(self.watermark());
            summary.rules = live.said.clone();
            summary.goal = self.goal_of(account_id, campaign_id, live, summary.planned_day_micros);
            let hour = crate::calendar::minute_index(self.now().div_euclid(HOUR_MS) * HOUR_MS);
            let hour = RowKey { start: hour, end: hour.saturating_add(60), granularity: Granularity::Hour };
            let end = crate::calendar::minute_index(day.end);
            let day = RowKey { start: day.index(), end, granularity: Granularity::Day };
            summary.hour = self.row(live, account_id, campaign_id, &hour);
            summary.day = self.row(live, account_id, campaign_id, &day);
        }
        Some(summary)
    }

    /// The campaign's hours or days that are still in memory, oldest first; the newest may be open.
    pub fn kpis(self, account_id: &str, campaign_id: &str, granularity: Granularity) -> Vec<KpiRow> {
        let Some(live) = self.belief().campaign(account_id, campaign_id).and_then(|campaign| campaign.live.as_ref())
        else {
            return Vec::new();
        };
        let keys = live.panes(granularity).iter().map(|(start, _)| {
            let day_end = || live.calendar.day_of(Millis::from(start) * MINUTE_MS).end;
            let end = match granularity {
                Granularity::Minute => start.saturating_add(1),
                Granularity::Hour => start.saturating_add(60),
                Granularity::Day => crate::calendar::minute_index(day_end()),
            };
            RowKey { start, end, granularity }
        });
        keys.filter_map(|key| self.row(live, account_id, campaign_id, &key)).collect()
    }

    /// What is kept of a campaign by dimension and by model, and of its account's paths: shared, not copied.
    pub fn by_dimension(self, account_id: &str, campaign_id: &str) -> ByDimension {
        let Some(account) = self.belief().accounts.get(account_id) else { return ByDimension::default() };
        let live = account.campaigns.get(campaign_id).and_then(|campaign| campaign.live.as_ref());
        ByDimension {
            today: live.map_or(0, |live| live.calendar.day_of(self.now()).date),
            breakdown: live.and_then(|live| live.breakdown.clone()),
            paths: account.paths.clone(),
        }
    }

    /// What people and feeds say of the world around a campaign now, in sentences.
    pub fn said_around(self, account_id: &str, campaign_id: &str) -> Vec<String> {
        let live = self.belief().campaign(account_id, campaign_id).and_then(|campaign| campaign.live.as_ref());
        let Some(live) = live else { return Vec::new() };
        let of = Spoken { account_id, campaign_id, channel: &live.spec.channel };
        let around = self.belief().context.around(of, &live.places);
        let factor = live.pacing.weather_factor(around.weather_at(self.now()));
        around.said_at(self.now(), factor)
    }

    /// Halts in force, the widest first.
    pub fn halts(self) -> Vec<HaltInForce> {
        let ledger = &self.state().ledger;
        let halt = |scope: &'static str, account: &str, campaign: &str| HaltInForce {
            scope,
            account_id: (!account.is_empty()).then(|| account.to_owned()),
            campaign_id: (!campaign.is_empty()).then(|| campaign.to_owned()),
            since: ledger
                .halt_words
                .get(&(scope.to_owned(), account.to_owned(), campaign.to_owned()))
                .map(|word| word.written_at),
        };
        let mut halts: Vec<HaltInForce> = ledger.halted.then(|| halt("global", "", "")).into_iter().collect();
        for (account_id, account) in &ledger.accounts {
            halts.extend(account.halted.then(|| halt("account", account_id, "")));
            let campaigns = account.campaigns.iter().filter(|(_, campaign)| campaign.halted);
            halts.extend(campaigns.map(|(campaign_id, _)| halt("campaign", account_id, campaign_id)));
        }
        halts
    }

    /// Experiments of the policy on accounts that are known here, in the order of the file.
    pub fn experiments(self) -> impl Iterator<Item = ExperimentNow> + 'a {
        let blocks = self.controller.policy().experiments.iter();
        blocks.filter_map(move |block| {
            let account = self.belief().accounts.get(&block.account_id)?;
            Some(ExperimentNow::of(block, account.experiments.get(&block.id)))
        })
    }

    /// Amounts in quarantine.
    pub fn quarantine(self) -> impl Iterator<Item = Waiting> + 'a {
        self.belief().quarantine.iter().map(|([account_id, campaign_id, currency], held)| Waiting {
            account_id: account_id.to_owned(),
            campaign_id: campaign_id.to_owned(),
            currency: currency.to_owned(),
            since: held.since,
            spend_micros: held.spend_micros,
        })
    }

    /// Open alerts.
    pub fn alerts(self) -> impl Iterator<Item = &'a Alert> {
        self.state().alerts.iter()
    }

    /// Why the last look at a campaign led to no command; empty after a restart until the next look.
    pub fn why(self, account_id: &str, campaign_id: &str) -> Vec<Why> {
        let live = self.belief().campaign(account_id, campaign_id).and_then(|campaign| campaign.live.as_ref());
        let whys = live.into_iter().flat_map(|live| &live.whys);
        let why = |lever, reason: &str| {
            let is_of_evaluation = is_asked_at_evaluations(lever);
            Why { lever, reason: reason.to_owned(), is_of_evaluation }
        };
        let whys = whys.map(|(lever, reason)| why(lever, reason));
        let pool = self.pool_word(account_id, campaign_id).map(|word| why("pool", word));
        whys.chain(pool).collect()
    }

    /// Why the last evaluation of the campaign's pool left its budget where it was.
    fn pool_word(self, account_id: &str, campaign_id: &str) -> Option<&'static str> {
        let account = self.belief().accounts.get(account_id)?;
        let live = account.campaigns.get(campaign_id)?.live.as_ref()?;
        let (pool, member) = account.pools.member(&live.spec, campaign_id)?;
        if pool.group.as_ref().is_some_and(|group| group.leg(campaign_id).is_some()) {
            return Some("pool_move_under_way");
        }
        member.kept.map(pools::Kept::as_str).or(pool.stays.map(|stays| stays.as_str()))
    }

    /// What users' rules said of each campaign at their last instant, with that instant.
    pub fn rulings(self) -> impl Iterator<Item = (&'a str, &'a str, Millis, &'a [RuleSaid])> {
        self.belief().accounts.iter().flat_map(|(account_id, account)| {
            account.campaigns.iter().filter_map(move |(campaign_id, campaign)| {
                let live = campaign.live.as_ref()?;
                Some((account_id.as_str(), &**campaign_id, live.rules_at?, live.said.as_slice()))
            })
        })
    }

    /// Goals of accounts that campaigns of this partition belong to.
    pub fn goals(self) -> Vec<AccountGoalNow> {
        let policy = &self.controller.policy;
        let known = policy.goals.iter().filter_map(|goal| Some((goal, self.belief().accounts.get(&goal.account_id)?)));
        let stand = known.map(|(goal, account)| AccountGoalNow {
            account_id: goal.account_id.clone(),
            name: goal.name.clone(),
            currency: goal.currency.clone(),
            from: goal.from_ms,
            now: goals::of_account(goal, account, self.watermark(), self.now(), policy.for_account(&goal.account_id)),
        });
        stand.collect()
    }

    fn goal_of(self, account_id: &str, campaign_id: &str, live: &Live, planned: Option<i64>) -> Option<GoalNow> {
        let seen = live.watermark(self.watermark()).unwrap_or(self.now()).min(self.now());
        let seen = seen.div_euclid(MINUTE_MS) * MINUTE_MS;
        let ledger = self.state().ledger.campaign(account_id, campaign_id);
        let settings = self.controller.policy.for_campaign(account_id, campaign_id);
        goals::of_campaign(live, live.pacing.first_event, ledger, seen, planned, settings)
    }

    /// Proposals that wait for a person.
    pub fn proposals(self) -> impl Iterator<Item = &'a Adjustment> {
        let campaigns = self.state().ledger.accounts.values().flat_map(|account| account.campaigns.values());
        campaigns.flat_map(|campaign| campaign.proposals.values())
    }

    /// Campaigns in which something has happened, and the memory that they hold, in bytes.
    pub fn memory(self) -> (usize, usize) {
        let accounts = self.belief().accounts.values().flat_map(|account| account.campaigns.values());
        let live = accounts.filter_map(|campaign| campaign.live.as_ref());
        live.fold((0, 0), |(count, bytes), live| (count + 1, bytes + live.held_bytes()))
    }

    /// Version of the policy in force.
    pub fn policy_version(self) -> i64 {
        self.state().policy_version
    }

    /// Running maximum of the journal's timestamps.
    pub fn now(self) -> Millis {
        self.state().now
    }

    /// Watermark of the events, `None` until all sources have reported.
    pub fn watermark(self) -> Option<Millis> {
        self.state().positions.watermark()
    }

    /// Counts since the beginning of the journal.
    pub fn counters(self) -> Counters {
        self.belief().counters
    }

    /// Rows and facts in quarantine, and those that found no room.
    pub fn quarantine_counts(self) -> (usize, i64) {
        (self.belief().quarantine.rows(), self.belief().quarantine.refused)
    }

    /// Why increases are held for the whole partition: positions did not fit.
    pub fn integrity_hold(self) -> Option<&'a str> {
        self.state().ledger.integrity.as_deref()
    }

    /// How far each source topic-partition is applied.
    pub fn positions(self) -> impl Iterator<Item = (&'a str, i32, i64)> {
        self.state().positions.iter().map(|(topic, partition, source)| (topic, partition, source.applied))
    }

    fn row(self, live: &Live, account_id: &str, campaign_id: &str, key: &RowKey) -> Option<KpiRow> {
        let account = self.belief().accounts.get(account_id)?;
        let context = rows::Context {
            account_id,
            campaign_id,
            watermark: live.watermark(self.watermark()).unwrap_or(Millis::MIN),
            journal_partition: self.controller.setup.partition,
            journal_offset: self.state().next_offset.saturating_sub(1),
            policy_version: self.state().policy_version,
            build: &self.controller.setup.build,
            delays: &account.delays,
            binding: live.pacing.binding.as_str(),
            pace: live.pacing.pace.as_str(),
            plan_micros: None,
        };
        rows::preview(live, key, &context)
    }

    fn belief(self) -> &'a Belief {
        &self.state().belief
    }

    fn state(self) -> &'a State {
        &self.controller.state
    }
}
