//! What a run came to: spend against budget and what it bought, per campaign and over all.
//!
//! Realised sums are what happened; expected sums are what the opportunities met and the bids in force came to on
//! average, before the luck of each auction, click and conversion: two controllers are compared on these.

use crate::emit::Record;
use crate::lane::ExpectedSums;
use crate::shape::LocalShape;
use model::WHOLE_PPM;
use model::fact::CampaignSpec;
use model::time::Millis;
use serde::Serialize;
use std::collections::BTreeMap;

/// One campaign's sums, in its own currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CampaignTotals {
    /// The campaign.
    pub campaign_id: String,
    /// Its account.
    pub account_id: String,
    /// ISO 4217.
    pub currency: String,
    /// Whether it has a budget at all; without one nothing is over or under.
    pub is_budgeted: bool,
    /// The budget of the flight so far by the plan, the whole budget at the flight's end.
    pub budget_micros: i64,
    /// What was billed.
    pub spend_micros: i64,
    /// Spend above the budget.
    pub overspend_micros: i64,
    /// Budget above the spend.
    pub underspend_micros: i64,
    /// Impressions.
    pub impressions: i64,
    /// Clicks, own touches among them.
    pub clicks: i64,
    /// Conversions that have happened.
    pub conversions: i64,
    /// Their worth.
    pub value_micros: i64,
    /// Expected sums.
    pub expected: Expected,
}

/// Expected sums; conversions count when their click is expected, not after their delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Impressions.
    pub impressions: i64,
    /// Clicks.
    pub clicks: i64,
    /// Spend.
    pub spend_micros: i64,
    /// Conversions, in millionths.
    pub conversions_micro: i64,
    /// Their worth.
    pub value_micros: i64,
}

/// All campaigns' sums, and over campaigns in the totals' currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// In the scenario's order.
    pub campaigns: Vec<CampaignTotals>,
    /// Sum over campaigns.
    pub spend_micros: i64,
    /// Sum over campaigns.
    pub budget_micros: i64,
    /// Sum over campaigns of what each spent too much: one's excess is not another's shortfall.
    pub overspend_micros: i64,
    /// Sum over campaigns of what each spent too little.
    pub underspend_micros: i64,
    /// Sum over campaigns.
    pub conversions: i64,
    /// Sum over campaigns.
    pub value_micros: i64,
    /// Sums over campaigns.
    pub expected: Expected,
}

impl CampaignTotals {
    pub(crate) fn of(spec: &CampaignSpec) -> Self {
        Self {
            campaign_id: spec.campaign_id.clone(),
            account_id: spec.account_id.clone(),
            currency: spec.currency.clone(),
            is_budgeted: spec.daily_budget_micros.is_some() || spec.flight_budget_micros.is_some(),
            ..Self::default()
        }
    }

    pub(crate) fn count(&mut self, record: &Record<'_>) {
        match record {
            Record::Impression(event) => {
                self.impressions += 1;
                self.spend_micros = self.spend_micros.saturating_add(event.cost_micros);
            }
            Record::Click(event) => {
                self.clicks += 1;
                self.spend_micros = self.spend_micros.saturating_add(event.cost_micros);
            }
            Record::Conversion(event) => {
                self.conversions += 1;
                self.value_micros = self.value_micros.saturating_add(event.value_micros);
            }
        }
    }

    pub(crate) fn finished(mut self, budget_micros: i64, expected: &ExpectedSums) -> Self {
        self.budget_micros = budget_micros;
        if self.is_budgeted {
            self.overspend_micros = self.spend_micros.saturating_sub(budget_micros).max(0);
            self.underspend_micros = budget_micros.saturating_sub(self.spend_micros).max(0);
        }
        self.expected = Expected {
            impressions: expected.impressions as i64,
            clicks: expected.clicks as i64,
            spend_micros: expected.spend_micros as i64,
            conversions_micro: (expected.conversions * 1e6) as i64,
            value_micros: expected.value_micros as i64,
        };
        self
    }

    /// Spend over budget in parts per million; `None` without a budget.
    pub fn spend_ratio_ppm(&self) -> Option<i64> {
        (self.is_budgeted && self.budget_micros > 0).then(|| scaled(self.spend_micros, WHOLE_PPM, self.budget_micros))
    }
}

impl Totals {
    /// Sums campaigns; money is converted by `exchange_ppm`, one to one where a currency is absent.
    pub(crate) fn over(campaigns: Vec<CampaignTotals>, exchange_ppm: &BTreeMap<String, i64>) -> Self {
        let mut totals = Totals::default();
        for campaign in &campaigns {
            let rate = *exchange_ppm.get(&campaign.currency).unwrap_or(&WHOLE_PPM);
            let money = |sum: &mut i64, micros: i64| *sum = sum.saturating_add(scaled(micros, rate, WHOLE_PPM));
            money(&mut totals.spend_micros, campaign.spend_micros);
            money(&mut totals.budget_micros, campaign.budget_micros);
            money(&mut totals.overspend_micros, campaign.overspend_micros);
            money(&mut totals.underspend_micros, campaign.underspend_micros);
            money(&mut totals.value_micros, campaign.value_micros);
            money(&mut totals.expected.spend_micros, campaign.expected.spend_micros);
            money(&mut totals.expected.value_micros, campaign.expected.value_micros);
            totals.conversions += campaign.conversions;
            totals.expected.impressions += campaign.expected.impressions;
            totals.expected.clicks += campaign.expected.clicks;
            totals.expected.conversions_micro += campaign.expected.conversions_micro;
        }
        totals.campaigns = campaigns;
        totals
    }
}

/// What a campaign may spend in [from, to) if it follows the shape of supply: the smallest of its budgets' shares.
/// A daily budget is for what the flight covers of its day: who begins at noon may spend it until midnight.
pub(crate) fn planned_micros(spec: &CampaignSpec, shape: &mut LocalShape, from: Millis, to: Millis) -> i64 {
    let from = from.max(spec.flight_start);
    let to = to.min(spec.flight_end.unwrap_or(Millis::MAX));
    if from >= to {
        return 0;
    }
    let flight = spec.flight_budget_micros.map(|budget| {
        let end = spec.flight_end.unwrap_or(to);
        if to >= end && from <= spec.flight_start {
            return budget; // Exactly the budget, not the budget times a rounded one.
        }
        share_of_budget(budget, shape.weight(from, to), shape.weight(spec.flight_start, end))
    });
    let daily = spec.daily_budget_micros.map(|budget| {
        let (mut sum, mut at) = (0_i64, from);
        while at < to {
            let day = shape.zone().day_of(at);
            let end = day.end_ms.min(to);
            let first = day.start_ms.max(spec.flight_start);
            let last = day.end_ms.min(spec.flight_end.unwrap_or(Millis::MAX));
            let part = share_of_budget(budget, shape.weight(at, end), shape.weight(first, last));
            sum = sum.saturating_add(part);
            if end <= at {
                break; // Beyond the calendar's years.
            }
            at = end;
        }
        sum
    });
    [flight, daily].into_iter().flatten().min().unwrap_or(0)
}

fn share_of_budget(budget: i64, part: f64, whole: f64) -> i64 {
    if whole > 0.0 { (budget as f64 * (part / whole).min(1.0)) as i64 } else { 0 }
}

/// value x by / over, rounded down, in wide arithmetic.
fn scaled(value: i64, by: i64, over: i64) -> i64 {
    let wide = i128::from(value) * i128::from(by) / i128::from(over.max(1));
    wide.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
