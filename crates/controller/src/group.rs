//! One budget of several campaigns: who spends from it, and what it allows.
//!
//! What always holds: all members see the same sums, the same plan and the same cost of an event, and are evaluated at the
//! same instant, so their bids take the same steps: one controller, with a bid for each. Members that have no budget of
//! their own are bound by the shared one alone; a member's own budget bounds that member besides.
//!
//! Missing on purpose: factors by hour in the shared plan; weights of members (their habits count alike); members with
//! other time zones, which have days of their own; setting the shared budget on the platform.

use crate::belief::Account;
use crate::calendar::Day;
use crate::campaign::Live;
use crate::ceilings::{SharedPromise, spent_before, spent_through};
use crate::channel::Channel;
use crate::desk::Desk;
use crate::measures::*;
use model::fact::EntitySpec;
use model::time::{DAY_MS, Millis};

/// A shared budget, as one of its campaigns sees it.
#[derive(Clone, Debug, Default)]
pub struct Group<'a> {
    /// For each day.
    pub daily_micros: Option<i64>,
    /// Calendar month.
    pub monthly_micros: Option<i64>,
    /// Since when the daily budget stands, and what was spent outside of it.
    pub promise: Option<SharedPromise>,
    /// The other living campaigns that spend from it, by id.
    pub siblings: Vec<&'a Live>,
    /// The habits of each sibling's channel.
    pub channels: Vec<Option<&'a Channel>>,
}

impl Group<'_> {
    /// Spend of all members in the week and the month before the day, `live` being the one that looks.
    pub fn spent_before(&self, live: &Live, day: &Day) -> [i64; 2] {
        self.siblings.iter().fold(spent_before(live, day), |[week, month], sibling| {
            let own = spent_before(sibling, &sibling.calendar.day_of(day.start));
            [week.saturating_add(own[0]), month.saturating_add(own[1])]
        })
    }

    /// Sums of today over all members.
    pub fn today(&self, own: &Measures, now: Millis) -> (i64, i64) {
        self.siblings.iter().fold((net_spend(own), own[BILLABLE]), |(spent, events), sibling| {
            let day = sibling.calendar.day_of(now).index();
            let today = sibling.days.get(day).unwrap_or(NONE);
            (spent.saturating_add(net_spend(&today)), events.saturating_add(today[BILLABLE]))
        })
    }

    /// What the members' plans are made of: changes with any version and any hour learned.
    pub fn fingerprint(&self) -> (i64, i64) {
        let mix = |hash: i64, part: i64| hash.wrapping_mul(1_000_003).wrapping_add(part);
        let versions = self.siblings.iter().fold(1, |hash, sibling| mix(hash, sibling.spec.version));
        let learned = self.channels.iter().flatten().fold(0, |hash, channel| mix(hash, channel.hours_learned));
        (versions, learned)
    }
}

impl Account {
    /// The living campaigns that spend from a budget.
    fn members<'a>(&'a self, budget: &'a EntitySpec) -> impl Iterator<Item = &'a Live> {
        let living = self.campaigns.values().filter_map(|campaign| campaign.live.as_deref());
        living.filter(|live| {
            live.spec.budget_id.as_ref() == Some(&budget.entity_id) && live.spec.currency == budget.currency
        })
    }

    /// Sums of the living campaigns of a budget, each in its own week and month.
    fn sum_of_members(&self, budget: &EntitySpec, now: Millis, of: fn(&Live, &Day) -> [i64; 2]) -> [i64; 2] {
        self.members(budget).fold([0; 2], |[week, month], live| {
            let own = of(live, &live.calendar.day_of(now));
            [week.saturating_add(own[0]), month.saturating_add(own[1])]
        })
    }

    /// A shared daily budget is new or changed: what was spent before today stays under the old one.
    pub fn promise_anew(&mut self, budget: &EntitySpec, now: Millis) {
        let spent = self.sum_of_members(budget, now, spent_before);
        // Where nobody lives yet nothing was spent, and the date of UTC is a day off at most.
        let of_member = self.members(budget).next().map(|live| live.calendar.day_of(now).date);
        let date = of_member.unwrap_or(i32::try_from(now.div_euclid(DAY_MS)).unwrap_or(i32::MAX));
        self.promises.insert(budget.entity_id.clone(), SharedPromise::changed(date, spent));
    }

    /// What the members of these budgets have spent until now.
    pub fn spent_of_budgets(&self, ids: &[String], now: Millis) -> Vec<[i64; 2]> {
        let of = |id: &String| self.entities.get(id).map(|budget| self.sum_of_members(budget, now, spent_through));
        ids.iter().map(|id| of(id).unwrap_or_default()).collect()
    }

    /// Members of these budgets may have come or gone since `before` was counted: what the budgets allow stays.
    pub fn regroup(&mut self, ids: &[String], before: &[[i64; 2]], now: Millis) {
        let after = self.spent_of_budgets(ids, now);
        for (id, (before, after)) in ids.iter().zip(before.iter().zip(after)) {
            let more = [after[0].saturating_sub(before[0]), after[1].saturating_sub(before[1])];
            if more == [0; 2] {
                continue;
            }
            let Some(budget) = self.entities.get(id) else { continue };
            let day = self
                .members(budget)
                .next()
                .map_or_else(|| crate::calendar::Calendar::default().day_of(now), |live| live.calendar.day_of(now));
            if let Some(promise) = self.promises.get_mut(id) {
                promise.regrouped(&day, more);
            }
        }
    }
}

impl Desk<'_> {
    /// The living campaigns that spend from the same budget, sorted.
    pub fn members_of(&self, account_id: &str, campaign_id: &str) -> Vec<String> {
        let Some(account) = self.belief.accounts.get(account_id) else { return Vec::new() };
        let budget_of = |id: &str| account.campaigns.get(id)?.live.as_ref()?.spec.budget_id.as_deref();
        let Some(budget) = budget_of(campaign_id) else { return Vec::new() };
        let others = account.campaigns.iter().map(|(id, _)| &**id).filter(|id| *id != campaign_id);
        others.filter(|id| budget_of(id) == Some(budget)).map(str::to_owned).collect()
    }
}
