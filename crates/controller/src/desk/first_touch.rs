//! Once a day: do people whose first touch was one of ours that is no ad (a webinar, a blog, an e-mail) convert more often
//! than those who began with an ad?
//!
//! What always holds: it is told as an alert of severity info, as what goes together and not as a cause, and nothing follows
//! from it: no bid, no budget, no factor. Missing on purpose: people (a touch is what can be counted; who has several counts
//! several times), ads as first touches (their bids follow their own credits).

use super::Desk;
use crate::alerts::Condition;
use crate::campaign::Live;
use crate::measures::CLICKS;
use crate::picture::Picture;
use model::marginal::MINUTE_MODELS;
use model::time::{DAY_MS, HOUR_MS, Millis};
use policy::association::{Association, Begun, of};

/// The alert.
const KIND: &str = "first_touch_association";
/// Channel of touches that are no ads.
const OWNED: &str = "owned";
/// Days that are looked at.
const DAYS: i64 = 28;
/// Local hour, when little else is done.
const HOUR: i64 = 4;

impl Desk<'_> {
    /// Tells, or takes back, what goes together with the campaign's touches.
    pub(super) fn tell_first_touches(
        &mut self,
        account_id: &str,
        campaign_id: &str,
        live: &mut Live,
        picture: &Picture,
    ) {
        let instant = picture.day.start.saturating_add(HOUR * HOUR_MS);
        if live.spec.channel != OWNED || self.now < instant || live.associated == Some(picture.day.date) {
            return;
        }
        live.associated = Some(picture.day.date);
        let since = self.now.saturating_sub(DAYS * DAY_MS);
        let own = begun(live, since);
        let account = self.belief.accounts.get(account_id);
        let others = account.into_iter().flat_map(|account| account.campaigns.iter());
        let others = others.filter(|(id, _)| ***id != *campaign_id).filter_map(|(_, other)| other.live.as_ref());
        let others = others.filter(|other| other.spec.channel != OWNED).map(|other| begun(other, since));
        let sum = |sum: Begun, more: Begun| Begun {
            touches: sum.touches.saturating_add(more.touches),
            first_micro: sum.first_micro.saturating_add(more.first_micro),
        };
        let found = of(own, others.fold(Begun::default(), sum));
        let condition = found.map(|found| condition(campaign_id, own, &found));
        self.settle(KIND, account_id, campaign_id, condition.as_ref());
    }
}

fn begun(live: &Live, since: Millis) -> Begun {
    let first = MINUTE_MODELS.iter().position(|model| *model == "first");
    let day = live.calendar.day_of(since);
    let credits = live.breakdown.as_ref().map(|breakdown| breakdown.credits_since(day.date));
    Begun {
        touches: live.days.sum(day.index()..i32::MAX)[CLICKS],
        first_micro: credits.zip(first).map_or(0, |(credits, first)| credits[first][0]),
    }
}

fn condition(campaign_id: &str, own: Begun, found: &Association) -> Condition {
    let times = |ppm: i64| format!("{}.{}", ppm / 1_000_000, ppm / 100_000 % 10);
    let seen = own.first_micro / 1_000_000;
    Condition {
        severity: "info",
        observed: Some(seen),
        expected: Some(found.expected),
        text: format!(
            "Campaign {campaign_id}: who began here converts {} times as often as who began with an ad (at least {} times): \
             {seen} conversions of {} touches in {DAYS} days, {} would have been like the others. An association, not a \
             cause: who comes here may be who would have bought anyway. No bid follows from it; an experiment would tell.",
            times(found.ratio_ppm),
            times(found.least_ppm),
            own.touches,
            found.expected,
        ),
        ..Condition::default()
    }
}
