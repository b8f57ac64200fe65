//! What is known of a pool's campaigns at an evaluation: who may give, who may take, what a unit of money returns.

use super::{Around, Kept, Member};
use crate::calendar::Day;
use crate::campaign::Live;
use crate::ledger::CampaignLedger;
use crate::measures::*;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::guard::Mode;
use policy::pause::Holder;
use policy::portfolio::response;
use policy::settings::Settings;
use policy::target::SeenShare;

/// One campaign at an evaluation.
pub struct Candidate<'a> {
    pub id: &'a str,
    pub live: &'a Live,
    pub mode: Mode,
    pub kept: Option<Kept>,
    /// The smallest step of its budget.
    pub unit_micros: i64,
    /// Bounds of its budget; the pool's share of the floor comes later.
    pub floor_micros: i64,
    pub ceiling_micros: Option<i64>,
    /// Its budget held it yesterday.
    pub is_bound: bool,
    /// What it never spends.
    pub idle_micros: i64,
    pub ln_bid: f64,
    pub matured_events: f64,
    pub conversions: f64,
    pub value: f64,
    /// Visible conversions of a mean day.
    pub daily: f64,
    pub days: Vec<response::Day>,
    /// What of the days' worth is value, and not conversions.
    pub day_values: Vec<f64>,
}

/// Sums of days that have shown something.
struct Sums {
    matured_events: f64,
    conversions: f64,
    value: f64,
    spend_micros: i64,
    with_spend: i64,
}

impl<'a> Candidate<'a> {
    /// Looks at one campaign.
    pub fn of(
        (id, live): (&'a str, &'a Live),
        member: &Member,
        day: &Day,
        zone: &str,
        seen: &SeenShare,
        around: &Around<'_>,
    ) -> Self {
        let settings = around.policy.for_campaign(around.account_id, id);
        let nothing = CampaignLedger::default();
        let ledger = around.ledger.campaigns.get(id).map_or(&nothing, |ledger| &**ledger);
        let profile = around.policy.profile_for(live.spec.platform.as_deref(), &live.spec.spend_source);
        let unit_micros = profile.unit_micros(live.spec.budget_step_micros, &live.spec.currency).max(1);
        let mut candidate = Candidate {
            id,
            live,
            mode: Mode::parse(&live.spec.mode),
            kept: None,
            unit_micros,
            floor_micros: profile.budget_min_micros(&live.spec.currency),
            ceiling_micros: live.spec.budget_max_micros,
            is_bound: member.bound_share(day.date) >= settings.portfolio.bound_share_min,
            idle_micros: member.idle(day.date, &settings.portfolio),
            ln_bid: member.ln_bid(day.date, settings.portfolio.bid_days),
            matured_events: 0.0,
            conversions: 0.0,
            value: 0.0,
            daily: 0.0,
            days: Vec::new(),
            day_values: Vec::new(),
        };
        let sums = candidate.add_days(member, day, seen, around, settings);
        (candidate.matured_events, candidate.conversions, candidate.value) =
            (sums.matured_events, sums.conversions, sums.value);
        candidate.daily = sums.conversions / sums.with_spend.max(1) as f64;
        let mean = sums.spend_micros / sums.with_spend.max(1);
        let least = mean as f64 * settings.portfolio.floor_share;
        candidate.floor_micros = candidate.floor_micros.max(live.spec.budget_min_micros.unwrap_or(0)).max(least as i64);
        candidate.kept = kept(&candidate, member, ledger, zone, around, settings);
        candidate
    }

    fn add_days(
        &mut self,
        member: &Member,
        today: &Day,
        seen: &SeenShare,
        around: &Around<'_>,
        settings: &Settings,
    ) -> Sums {
        let live = self.live;
        let until = live.watermark(around.watermark).unwrap_or(around.now).min(around.now);
        let credits = if live.spec.attribution_model == "linear" { 2 } else { 0 };
        let (conversions, value) = match live.counts_reports() {
            true => (CONVERSIONS, VALUE),
            false => (CREDITS_TOUCH_TIME + credits, CREDITS_TOUCH_TIME + credits + 1),
        };
        let unit = if live.counts_reports() { 1.0 } else { 1e6 };
        let mut sums = Sums { matured_events: 0.0, conversions: 0.0, value: 0.0, spend_micros: 0, with_spend: 0 };
        let oldest = today.start.saturating_sub(settings.portfolio.days.clamp(1, 35) * DAY_MS);
        let first = crate::calendar::minute_index(oldest);
        for (index, measures) in live.days.range(first..i32::MAX) {
            let start = Millis::from(index) * MINUTE_MS;
            let end = start.saturating_add(DAY_MS).min(until);
            if end <= start {
                continue;
            }
            let share = if live.counts_reports() {
                1.0
            } else {
                seen.between(until.saturating_sub(end), until.saturating_sub(start))
            };
            let spend = net_spend(&measures);
            let brought = measures[conversions].max(0) as f64 / unit;
            sums.matured_events += measures[BILLABLE].max(0) as f64 * share;
            sums.conversions += brought;
            sums.value += measures[value].max(0) as f64;
            if start < today.start && spend > 0 {
                sums.spend_micros = sums.spend_micros.saturating_add(spend);
                sums.with_spend += 1;
            }
            let date = live.calendar.day_of(start).date;
            // A day that its budget did not hold spent by its demand, and would show what demand brings.
            if spend > 0 && member.bound_share(date) >= settings.portfolio.bound_share_min {
                let budget_micros = member.budget_of(date);
                self.days.push(response::Day { budget_micros, worth: brought, seen_share: share });
                self.day_values.push(measures[value].max(0) as f64);
            }
        }
        sums
    }
}

/// What stands in the way of moving this campaign's budget; the first that holds.
fn kept(
    of: &Candidate<'_>,
    member: &Member,
    ledger: &CampaignLedger,
    zone: &str,
    around: &Around<'_>,
    settings: &Settings,
) -> Option<Kept> {
    let (spec, now) = (&of.live.spec, around.now);
    let ours = [
        Holder::Runaway,
        Holder::Underperformer,
        Holder::Halt,
        Holder::Flight,
        Holder::Person,
        Holder::Platform,
        Holder::Rule,
    ];
    let is_stopped = ours.iter().any(|holder| ledger.holders.since(*holder).is_some());
    let is_over = spec.flight_end.is_some_and(|end| end.saturating_sub(now) < DAY_MS);
    let stopped =
        is_stopped || is_over || ledger.halted || around.is_halted || spec.protected || spec.status != "active";
    let age = of.live.pacing.first_event.map_or(0, |first| now.saturating_sub(first));
    let is_foreign = |at: Millis| now.saturating_sub(at) < settings.gates.override_hold_ms;
    let pool = &settings.portfolio;
    if spec.time_zone != zone {
        Some(Kept::OtherZone)
    } else if stopped {
        Some(Kept::Stopped)
    } else if ledger.budget.override_at.is_some_and(is_foreign) {
        Some(Kept::Override)
    } else if ledger.budget.pending.as_ref().is_some_and(|pending| now.saturating_sub(pending.issued_at) < HOUR_MS) {
        Some(Kept::Unanswered)
    } else if member.given_micros % of.unit_micros != 0 {
        Some(Kept::UnevenBudget)
    } else if age < pool.age_min_ms {
        Some(Kept::Young)
    } else if of.conversions < pool.conversions_min as f64 {
        Some(Kept::FewConversions)
    } else {
        None
    }
}
