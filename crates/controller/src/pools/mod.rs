//! Pools: what their campaigns were given, what a unit of money brought lately, and the move that is under way.
//!
//! A pool is an EntitySpec of kind `portfolio`. A campaign is in it where its specification names it (`portfolio_id`), or,
//! without a name, where the pool's label `members` is `account` (all campaigns of the account) or `label:KEY=VALUE`
//! (those with that label). It must have a daily budget that we control, in the pool's currency, and share no budget.
//!
//! What always holds: belief, the same live, on restart and in a replay; what the campaigns of a pool are given sums to
//! what their specifications say, to the micro, whatever is answered, lost or changed. A move counts as far as its commands
//! were confirmed: decreases that nobody confirmed leave it with their share of the increases, and what a lost increase would
//! have taken goes back to those that gave. Commands chase what is given. About 1.4 kB a campaign in a pool, none for others;
//! a pool takes 2,000 campaigns at most, by id.
//!
//! Missing on purpose: budgets of weeks, months and flights, shared budgets, one pool over accounts or currencies.

mod evidence;
mod night;

pub use night::{Group, Leg, is_confirmed};

use crate::calendar::Day;
use crate::campaign::{Campaign, Live};
use crate::ledger::{AccountLedger, CampaignLedger};
use crate::pacing::Pace;
use crate::shared::SharedMap;
use crate::target::Development;
use model::fact::{CampaignSpec, EntitySpec};
use model::time::{HOUR_MS, Millis};
use policy::composition::Binding;
use policy::pause::Holder;
use policy::plan::OpenHours;
use policy::portfolio::Stays;
use policy::settings::{Policy, Portfolio as PoolSettings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The pools of one account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pools {
    declared: BTreeMap<String, Declared>,
    /// By the pool's id.
    pub by_id: BTreeMap<String, Pool>,
}

/// What a specification says of a pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Declared {
    currency: String,
    is_active: bool,
    members: Members,
}

/// Which campaigns belong to a pool besides those that name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Members {
    Named,
    Account,
    Labelled(String, String),
}

/// One pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pool {
    /// By campaign id.
    pub members: BTreeMap<Arc<str>, Member>,
    /// The move of last night, until it is confirmed or dropped.
    pub group: Option<Group>,
    /// Why the last evaluation moved nothing.
    pub stays: Option<Stays>,
    /// Local date of the last evaluation.
    evaluated: Option<i32>,
}

/// One campaign of a pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    /// Daily budget that the pool gives it.
    pub given_micros: i64,
    /// The same without exploration.
    pub center_micros: i64,
    /// Daily budget of its specification.
    pub own_micros: i64,
    /// Why the last evaluation left it alone.
    pub kept: Option<Kept>,
    /// Local date on which the specification's budget changed.
    changed: Option<i32>,
    days: Vec<MemberDay>,
    /// Start of the day, and its spend that was counted.
    counted: (Millis, i64),
}

/// One local day of a campaign.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct MemberDay {
    date: i32,
    /// Minutes in which it could run, and of these those in which its budget held it.
    open: u32,
    bound: u32,
    spend_micros: i64,
    /// Budget in force, as last known of the day.
    budget_micros: i64,
    /// Sum of spend x ln(bid).
    ln_bid: f64,
}

/// Why a campaign's budget is not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // Each word says it.
pub enum Kept {
    Young,
    FewConversions,
    OtherZone,
    Override,
    Unanswered,
    Stopped,
    UnevenBudget,
    BidsNotOurs,
    NothingKnown,
}

impl Kept {
    /// The closed word of "why nothing".
    pub fn as_str(self) -> &'static str {
        match self {
            Kept::Young => "pool_young",
            Kept::FewConversions => "pool_few_conversions",
            Kept::OtherZone => "pool_other_zone",
            Kept::Override => "human_override",
            Kept::Unanswered => "awaiting_ack",
            Kept::Stopped => "pool_stopped",
            Kept::UnevenBudget => "pool_uneven_budget",
            Kept::BidsNotOurs => "pool_bids_not_ours",
            Kept::NothingKnown => "pool_nothing_known",
        }
    }
}

/// Curves look at so many days, and returns at the newest of them.
const DAYS_KEPT: usize = 29;
/// Beyond this a pool takes no more campaigns: each is looked at once a minute.
const MEMBERS_MAX: usize = 2_000;
/// The kind of an entity that is a pool.
const KIND: &str = "portfolio";

/// What surrounds the pools of an account.
pub struct Around<'a> {
    pub account_id: &'a str,
    pub campaigns: &'a SharedMap<Arc<str>, Campaign>,
    pub development: &'a Development,
    pub ledger: &'a AccountLedger,
    /// Everything is stopped.
    pub is_halted: bool,
    pub policy: &'a Policy,
    pub now: Millis,
    pub watermark: Option<Millis>,
}

impl Pools {
    /// Takes a specification of an entity, if it is a pool.
    pub fn specify(&mut self, entity: &EntitySpec) {
        if entity.kind != KIND {
            self.declared.remove(&entity.entity_id);
            return;
        }
        let members = match entity.labels.get("members").map(String::as_str) {
            Some("account") => Members::Account,
            Some(word) => match word.strip_prefix("label:").and_then(|label| label.split_once('=')) {
                Some((key, value)) => Members::Labelled(key.to_owned(), value.to_owned()),
                None => Members::Named,
            },
            None => Members::Named,
        };
        let is_active = entity.status == "active" && !entity.protected;
        let declared = Declared { currency: entity.currency.clone(), is_active, members };
        self.declared.insert(entity.entity_id.clone(), declared);
    }

    /// Whether there is nothing to tend.
    pub fn is_empty(&self) -> bool {
        self.declared.is_empty() && self.by_id.is_empty()
    }

    /// The pool of a campaign.
    pub fn pool_of(&self, spec: &CampaignSpec) -> Option<&str> {
        if spec.budget_control != "paceline" || spec.budget_id.is_some() || spec.daily_budget_micros.is_none() {
            return None;
        }
        let fits = |declared: &Declared| declared.is_active && declared.currency == spec.currency;
        let found = match &spec.portfolio_id {
            Some(id) => self.declared.get_key_value(id).filter(|(_, declared)| fits(declared)),
            None => self.declared.iter().find(|(_, declared)| fits(declared) && declared.members.select(spec)),
        };
        found.map(|(id, _)| id.as_str())
    }

    /// The pool that a campaign is in, and its place there.
    pub fn member(&self, spec: &CampaignSpec, campaign_id: &str) -> Option<(&Pool, &Member)> {
        let pool = self.by_id.get(self.pool_of(spec)?)?;
        Some((pool, pool.members.get(campaign_id)?))
    }

    /// The daily budget that counts now for a campaign in a pool.
    pub fn budget_now(
        &self,
        spec: &CampaignSpec,
        campaign_id: &str,
        ledger: &CampaignLedger,
        now: Millis,
    ) -> Option<i64> {
        let (pool, member) = self.member(spec, campaign_id)?;
        let leg = pool.group.as_ref().and_then(|group| Some((group.day_end, group.leg(campaign_id)?)));
        // What is lowered before midnight is lowered for the day that comes.
        let moved = leg.filter(|(day_end, leg)| now >= *day_end && ledger.budget.assumed() == Some(leg.to));
        Some(moved.map_or(member.given_micros, |(_, leg)| leg.to))
    }

    /// Once a minute: who is in, what the minute showed, what became of the last move, and at its instant the next one.
    pub fn tend(&mut self, around: &Around<'_>) {
        let mut members: BTreeMap<String, Vec<(Arc<str>, &Live)>> = BTreeMap::new();
        let live = around.campaigns.iter().filter_map(|(id, campaign)| Some((id, campaign.live.as_deref()?)));
        for (campaign_id, live) in live {
            let Some(pool) = self.pool_of(&live.spec) else { continue };
            let known = members.entry(pool.to_owned()).or_default();
            if known.len() < MEMBERS_MAX {
                known.push((campaign_id.clone(), live));
            }
        }
        self.by_id.retain(|id, _| members.contains_key(id));
        for (id, members) in &members {
            let pool = self.by_id.entry(id.clone()).or_default();
            pool.admit(members, around);
            pool.note(members, around);
            pool.settle(around);
            pool.evaluate(id, members, around);
        }
    }
}

impl Members {
    fn select(&self, spec: &CampaignSpec) -> bool {
        match self {
            Members::Named => false,
            Members::Account => true,
            Members::Labelled(key, value) => spec.labels.get(key) == Some(value),
        }
    }
}

impl Pool {
    /// What the campaigns are given together, which is what their specifications say together.
    pub fn sum_micros(&self) -> i64 {
        self.members.values().fold(0, |sum, member| sum.saturating_add(member.given_micros))
    }

    /// Newcomers bring their own budget, a changed specification moves what is given by as much. Where that cannot be, or
    /// somebody leaves with another budget than his own, all begin anew from their specifications.
    fn admit(&mut self, members: &[(Arc<str>, &Live)], around: &Around<'_>) {
        let mut anew = false;
        self.members.retain(|id, member| {
            let stays = members.binary_search_by(|(known, _)| known.cmp(id)).is_ok();
            anew |= !stays && member.given_micros != member.own_micros;
            stays
        });
        let before = self.members.len();
        for (id, live) in members {
            let own = live.spec.daily_budget_micros.unwrap_or(0).max(0);
            let member = self.members.entry(id.clone()).or_insert_with(|| Member {
                given_micros: own,
                center_micros: own,
                own_micros: own,
                ..Member::default()
            });
            let change = own.saturating_sub(member.own_micros);
            if change == 0 {
                continue;
            }
            member.own_micros = own;
            member.given_micros = member.given_micros.saturating_add(change);
            member.center_micros = member.center_micros.saturating_add(change);
            member.changed = Some(live.calendar.day_of(around.now).date);
            anew |= member.given_micros <= 0 || member.center_micros <= 0;
            self.group = None;
        }
        anew |= before > members.len();
        if anew {
            self.group = None;
            for member in self.members.values_mut() {
                (member.given_micros, member.center_micros) = (member.own_micros, member.own_micros);
            }
        }
    }

    /// What this minute showed of each campaign.
    fn note(&mut self, members: &[(Arc<str>, &Live)], around: &Around<'_>) {
        let nothing = CampaignLedger::default();
        for (id, live) in members {
            let ledger = around.ledger.campaigns.get(id).map_or(&nothing, |ledger| &**ledger);
            if let Some(member) = self.members.get_mut(id) {
                member.note(live, ledger, around.now);
            }
        }
    }
}

impl Member {
    fn note(&mut self, live: &Live, ledger: &CampaignLedger, now: Millis) {
        let day = live.calendar.day_of(now);
        let spend = live.net_spend_of_day(&day);
        let fresh = if self.counted.0 == day.start { spend.saturating_sub(self.counted.1) } else { spend };
        self.counted = (day.start, spend);
        let hour = hour_of_week(&day, now);
        let is_open = could_run(live, ledger, hour, now);
        let is_bound = is_open && is_bound(live, ledger);
        let today = self.today(day.date);
        today.open = today.open.saturating_add(u32::from(is_open));
        today.bound = today.bound.saturating_add(u32::from(is_bound));
        today.budget_micros = ledger.budget.confirmed.or(live.spec.daily_budget_micros).unwrap_or(0);
        let bid = ledger.bid.assumed().unwrap_or(live.spec.bid_micros);
        if fresh > 0 && bid > 0 {
            let factor = crate::factors::of_hour(&live.pacing.hour_factors, hour);
            today.ln_bid += fresh as f64 * libm::log(bid as f64 * factor.max(f64::MIN_POSITIVE));
            today.spend_micros = today.spend_micros.saturating_add(fresh);
        }
    }

    fn today(&mut self, date: i32) -> &mut MemberDay {
        let new = MemberDay { date, open: 0, bound: 0, spend_micros: 0, budget_micros: 0, ln_bid: 0.0 };
        if self.days.last().is_none_or(|day| day.date != date) {
            self.days.push(new);
            let excess = self.days.len().saturating_sub(DAYS_KEPT);
            self.days.drain(..excess);
        }
        let last = self.days.len() - 1;
        &mut self.days[last]
    }

    /// Share of the open minutes of a day in which the budget held the campaign.
    fn bound_share(&self, date: i32) -> f64 {
        let day = self.days.iter().rev().find(|day| day.date == date);
        day.map_or(0.0, |day| f64::from(day.bound) / f64::from(day.open.max(1)))
    }

    /// Budget in force on a day, 0 where it is not known.
    fn budget_of(&self, date: i32) -> i64 {
        self.days.iter().rev().find(|day| day.date == date).map_or(0, |day| day.budget_micros)
    }

    /// Money that it was given and never spent on any of the `days` before a date, in none of which its budget held it: all
    /// above the highest spend and a share of that. 0 where fewer days are known.
    fn idle(&self, date: i32, settings: &PoolSettings) -> i64 {
        let before = |day: &&MemberDay| (1..=settings.idle_days).contains(&(i64::from(date) - i64::from(day.date)));
        let days = || self.days.iter().filter(before);
        let held = |day: &MemberDay| self.bound_share(day.date) >= settings.bound_share_min || day.open == 0;
        if (days().count() as i64) < settings.idle_days || days().any(held) {
            return 0;
        }
        let most = days().map(|day| day.spend_micros).max().unwrap_or(0);
        let keeps = most as f64 * (1.0 + settings.idle_headroom.max(0.0));
        self.given_micros.saturating_sub(keeps as i64).max(0)
    }

    /// Mean logarithm of the bid of the last `days`, weighted by spend; not finite without any.
    fn ln_bid(&self, date: i32, days: i64) -> f64 {
        let recent = self.days.iter().filter(|day| i64::from(date) - i64::from(day.date) < days);
        let (logs, spend) = recent.fold((0.0, 0.0), |sum, day| (sum.0 + day.ln_bid, sum.1 + day.spend_micros as f64));
        logs / spend
    }
}

/// Local hours are counted from midnight: on the two days a year whose clock changes they are one off.
fn hour_of_week(day: &Day, now: Millis) -> usize {
    let hour = (now.saturating_sub(day.start).div_euclid(HOUR_MS)).clamp(0, 23) as usize;
    usize::from(day.weekday) * 24 + hour
}

/// Nothing but its own budget keeps it from running.
fn could_run(live: &Live, ledger: &CampaignLedger, hour_of_week: usize, now: Millis) -> bool {
    let spec = &live.spec;
    let marks = spec.open_hours.as_deref().and_then(|marks| OpenHours::parse(marks).ok());
    let others = [
        Holder::Person,
        Holder::Platform,
        Holder::Flight,
        Holder::Runaway,
        Holder::Underperformer,
        Holder::Halt,
        Holder::Rule,
    ];
    spec.status == "active"
        && now >= spec.flight_start
        && spec.flight_end.is_none_or(|end| now < end)
        && marks.is_none_or(|marks| marks.is_open(hour_of_week))
        && others.iter().all(|holder| ledger.holders.since(*holder).is_none())
}

/// The budget holds it: by a pause, or by the bid.
fn is_bound(live: &Live, ledger: &CampaignLedger) -> bool {
    if ledger.holders.since(Holder::DailyCap).is_some() {
        return true;
    }
    if live.spec.bid_control == "paceline" {
        return live.pacing.binding == Binding::Budget;
    }
    // A platform's bids hide what binds: who keeps up with the plan would spend more, who does not would not.
    matches!(live.pacing.pace, Pace::OnPlan | Pace::Ahead | Pace::Exhausted)
}
