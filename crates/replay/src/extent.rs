//! What of a journal is told: a stretch of time and some accounts; all of it where nothing is said.
//!
//! What always holds: the whole journal is replayed, so the state is the one that decided; only the telling is bounded.
//! An instant belongs to the stretch from `from` on and before `to`. A window belongs to it with its start, a day that
//! one of the bounds cuts with those of its hours that do, and then without its plan, which is one of a whole day. Rows
//! are taken after `to`, too, where they restate a window of the stretch.

use crate::figures::{Campaign, Figures, Window};
use model::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// A stretch of time and some accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// First instant.
    pub from: Option<Millis>,
    /// First instant that is not told any more.
    pub to: Option<Millis>,
    /// First journal offset, of each partition.
    pub from_offset: Option<i64>,
    /// Accounts that are told of; all where there is none.
    pub accounts: BTreeSet<String>,
}

impl Extent {
    /// From an instant on, everything.
    pub fn since(from: Option<Millis>) -> Self {
        Self { from, ..Self::default() }
    }

    /// Whether what is decided at this instant is told.
    pub fn holds(&self, at: Millis) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// Whether some of a window lies in it.
    pub fn touches(&self, start: Millis, end: Millis) -> bool {
        self.from.is_none_or(|from| end > from) && self.to.is_none_or(|to| start < to)
    }

    /// Whether it tells of this account.
    pub fn tells(&self, account: &str) -> bool {
        self.accounts.is_empty() || self.accounts.contains(account)
    }

    /// Takes from the figures what lies outside: hours, days, and campaigns in which nothing happened.
    pub fn cut(&self, figures: &mut Figures) {
        for campaign in figures.campaigns.values_mut() {
            let all = std::mem::take(&mut campaign.hours);
            campaign.hours = all.into_iter().filter(|(start, _)| self.holds(*start)).collect();
            for (start, day) in &mut campaign.days {
                if !self.holds(*start) || !self.holds(day.end.saturating_sub(1)) {
                    *day = sum_of(day, campaign.hours.range(*start..day.end));
                }
            }
            campaign.days.retain(|_, day| !is_empty(day));
        }
        figures.campaigns.retain(|_, campaign| has_something(campaign));
    }
}

/// A day's hours instead of the day: what a bound has left of it.
fn sum_of<'a>(day: &Window, hours: impl Iterator<Item = (&'a Millis, &'a Window)>) -> Window {
    let none = Window { revision: day.revision, end: day.end, local: day.local.clone(), ..Window::default() };
    let none = Window { is_open: day.is_open, is_reported: day.is_reported, ..none };
    hours.fold(none, |mut sum, (_, hour)| {
        for (sum, more) in [
            (&mut sum.spend_micros, hour.spend_micros),
            (&mut sum.impressions, hour.impressions),
            (&mut sum.clicks, hour.clicks),
            (&mut sum.invalid_clicks, hour.invalid_clicks),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in
            [(&mut sum.claimed, hour.claimed), (&mut sum.last, hour.last), (&mut sum.linear, hour.linear)]
        {
            *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
        }
        sum
    })
}

fn is_empty(day: &Window) -> bool {
    let credits = [day.claimed, day.last, day.linear];
    let sums = [day.spend_micros, day.impressions, day.clicks, day.invalid_clicks];
    day.plan_micros.is_none() && sums == [0; 4] && credits == [(0, 0); 3]
}

fn has_something(campaign: &Campaign) -> bool {
    let words: [&BTreeMap<String, u64>; 3] = [&campaign.kinds, &campaign.proposals, &campaign.alerts];
    !campaign.days.is_empty() || words.iter().any(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::time::{DAY_MS, HOUR_MS};

    fn campaign(days: Millis) -> Campaign {
        let window = |start: Millis, length: Millis, spend_micros: i64| {
            let plan_micros = (length == DAY_MS).then_some(5_000);
            let window = Window { end: start + length, spend_micros, plan_micros, ..Window::default() };
            (start, Window { clicks: spend_micros / 10, claimed: (spend_micros, 2 * spend_micros), ..window })
        };
        Campaign {
            days: (0..days).map(|day| window(day * DAY_MS, DAY_MS, 2_400)).collect(),
            hours: (0..days * 24).map(|hour| window(hour * HOUR_MS, HOUR_MS, 100)).collect(),
            ..Campaign::default()
        }
    }

    fn told(extent: &Extent) -> Figures {
        let name = |campaign: &str| ("acme".to_owned(), campaign.to_owned());
        let campaigns = [(name("one"), campaign(4)), (name("idle"), Campaign::default())];
        let mut figures = Figures::default();
        figures.campaigns.extend(campaigns);
        extent.cut(&mut figures);
        figures
    }

    #[test]
    fn whole_days_stay_as_they_are_and_the_others_go() {
        let extent = Extent { from: Some(DAY_MS), to: Some(3 * DAY_MS), ..Extent::default() };
        let figures = told(&extent);
        assert_eq!(figures.campaigns.len(), 1, "a campaign in which nothing happened is not told");
        let one = &figures.campaigns[&("acme".to_owned(), "one".to_owned())];
        assert_eq!(one.days.keys().collect::<Vec<_>>(), [&DAY_MS, &(2 * DAY_MS)]);
        assert_eq!((one.days[&DAY_MS].plan_micros, one.hours.len()), (Some(5_000), 48));
    }

    #[test]
    fn a_day_that_a_bound_cuts_counts_with_its_hours_and_without_its_plan() {
        let extent = Extent { from: Some(6 * HOUR_MS), to: Some(DAY_MS + 2 * HOUR_MS), ..Extent::default() };
        let figures = told(&extent);
        let one = &figures.campaigns[&("acme".to_owned(), "one".to_owned())];
        let sums =
            |start: Millis| (one.days[&start].spend_micros, one.days[&start].plan_micros, one.days[&start].clicks);
        assert_eq!((sums(0), sums(DAY_MS), one.days.len()), ((1_800, None, 180), (200, None, 20), 2));
        assert_eq!(one.days[&0].claimed, (1_800, 3_600));
    }
}
