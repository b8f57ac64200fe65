//! One budget of several campaigns: who spends from it, and what it allows.
//!
//! What always holds: all members see the same sums, the same plan and the same cost of an event, and are evaluated at the
//! same instant, so their bids take the same steps: one controller, with a bid for each. Members that have no budget of
//! their own are bound by the shared one alone; a member's own budget bounds that member besides.
//!
//! Missing on purpose: factors by hour in the shared plan; weights of members (their habits count alike); members with
//! other time zones, which have days of their own; setting the shared budget on the platform.

use crate::calendar::Day;
use crate::campaign::Live;
use crate::ceilings::spent_before;
use crate::channel::Channel;
use crate::desk::Desk;
use crate::measures::*;
use model::time::Millis;

/// A shared budget, as one of its campaigns sees it.
#[derive(Clone, Debug, Default)]
pub struct Group<'a> {
    /// For each day.
    pub daily_micros: Option<i64>,
    /// Calendar month.
    pub monthly_micros: Option<i64>,
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
