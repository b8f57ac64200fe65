//! KPI rows: the sums of a closed window with their ratios, and a full replacement when one changes.
//!
//! What always holds: a row states its window's whole truth at its revision; revisions of a window rise. Ratios use the
//! row's credits by the campaign's own model, or what events or reports claim where it has none.

use crate::breakdown::ModelCredits;
use crate::campaign::{Granularity, Live, RowKey};
use crate::maturity::Delays;
use crate::measures::*;
use model::marginal::MINUTE_MODELS;
use model::output::{KpiRow, ModelCredit};
use model::time::{MINUTE_MS, Millis};
use model::{CONVERSION_MICRO, WHOLE_PPM};
use policy::kpi::{Kpis, Sums};

/// What stands in every row of one record.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The account.
    pub account_id: &'a str,
    /// The campaign.
    pub campaign_id: &'a str,
    /// Watermark of the campaign.
    pub watermark: Millis,
    /// Where the row was decided.
    pub journal_partition: i32,
    /// Where the row was decided.
    pub journal_offset: i64,
    /// The policy in force.
    pub policy_version: i64,
    /// This build.
    pub build: &'a str,
    /// How long the account's conversions take.
    pub delays: &'a Delays,
    /// What money would and would not change.
    pub binding: &'a str,
    /// How spend stands to the plan.
    pub pace: &'a str,
    /// Planned spend of the window, where there is a plan.
    pub plan_micros: Option<i64>,
}

/// The rows of one window: at conversion time, and for hours and days with credits also at touch time.
pub fn publish(live: &mut Live, key: &RowKey, context: &Context<'_>) -> Vec<KpiRow> {
    let Some(sums) = live.panes(key.granularity).get(key.start) else { return Vec::new() };
    let mut rows = Vec::with_capacity(2);
    let revision = live.next_revision(key, REVISION);
    rows.push(row(live, key, &sums, Basis::ConversionTime, revision, context));
    let credits = &sums[CREDITS_CONVERSION_TIME..CREDITS_TOUCH_TIME + 4];
    let credited = credits.iter().any(|credit| *credit != 0) || sums[REVISION_TOUCH] > 0;
    if credited && key.granularity != Granularity::Minute {
        let revision = live.next_revision(key, REVISION_TOUCH);
        rows.push(row(live, key, &sums, Basis::TouchTime, revision, context));
    }
    rows
}

/// What a view shows of a window that may still be open.
pub fn preview(live: &Live, key: &RowKey, context: &Context<'_>) -> Option<KpiRow> {
    let sums = live.panes(key.granularity).get(key.start)?;
    let revision = live.revision_base.saturating_add(sums[REVISION]);
    Some(row(live, key, &sums, Basis::ConversionTime, revision, context))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Basis {
    ConversionTime,
    TouchTime,
}

fn row(live: &Live, key: &RowKey, sums: &Measures, basis: Basis, revision: i64, context: &Context<'_>) -> KpiRow {
    let (start, end) = (Millis::from(key.start) * MINUTE_MS, Millis::from(key.end) * MINUTE_MS);
    let at = match basis {
        Basis::ConversionTime => CREDITS_CONVERSION_TIME,
        Basis::TouchTime => CREDITS_TOUCH_TIME,
    };
    let zone = live.calendar.zone_at(start);
    let local = |at: Millis| zone.map_or_else(String::new, |zone| zone.rfc3339_local(at));
    let spend = net_spend(sums);
    let kpis = Kpis::of(&window_sums(live, sums, at), live.spec.margin_ppm);
    KpiRow {
        account_id: context.account_id.to_owned(),
        campaign_id: context.campaign_id.to_owned(),
        currency: live.spec.currency.clone(),
        granularity: key.granularity.word().to_owned(),
        window_start: start,
        window_end: end,
        window_start_local: local(start),
        window_end_local: local(end),
        time_zone: zone.map_or_else(String::new, |zone| zone.name().to_owned()),
        revision,
        watermark: context.watermark,
        basis: basis.word().to_owned(),
        impressions: sums[IMPRESSIONS],
        clicks: sums[CLICKS],
        invalid_clicks: sums[INVALID_CLICKS],
        billable: sums[BILLABLE],
        gross_spend_micros: sums[GROSS_SPEND],
        spend_micros: spend,
        conversions: sums[CONVERSIONS],
        value_micros: sums[VALUE],
        attributed: credits(sums, at, minute_credits(live, key, basis)),
        matured_ppm: match basis {
            Basis::ConversionTime => None,
            Basis::TouchTime => context.delays.matured_ppm(context.watermark.saturating_sub(end)),
        },
        ctr_ppm: kpis.ctr_ppm,
        cvr_ppm: kpis.cvr_ppm,
        cpc_micros: kpis.cpc_micros,
        cpm_micros: kpis.cpm_micros,
        cpa_micros: kpis.cpa_micros,
        roas_ppm: kpis.roas_ppm,
        roi_ppm: kpis.roi_ppm,
        plan_micros: context.plan_micros,
        pace: context.pace.to_owned(),
        binding: context.binding.to_owned(),
        spend_source: if live.counts_reports() { "stats" } else { "events" }.to_owned(),
        reconciliation_ratio_ppm: (sums[OTHER_SPEND] != 0)
            .then(|| ratio(sums[OTHER_SPEND], WHOLE_PPM, sums[GROSS_SPEND]))
            .flatten(),
        journal_partition: context.journal_partition,
        journal_offset: context.journal_offset,
        policy_version: context.policy_version,
        build: context.build.to_owned(),
    }
}

/// Sums of a pane as ratios are made of them.
pub fn window_sums(live: &Live, sums: &Measures, credits_at: usize) -> Sums {
    let (conversions_micro, value_micros) = outcome(live, sums, credits_at);
    Sums {
        impressions: sums[IMPRESSIONS],
        clicks: sums[CLICKS],
        billable: sums[BILLABLE],
        spend_micros: net_spend(sums),
        conversions_micro,
        value_micros,
    }
}

/// Conversions (in micro-conversions) and value that ratios are made of: the row's own credits by the campaign's model, or
/// what is claimed where it has none. By the row alone, so that it says the same whenever it is written.
pub fn outcome(live: &Live, sums: &Measures, credits_at: usize) -> (i64, i64) {
    let model = if live.spec.attribution_model == "linear" { credits_at + 2 } else { credits_at };
    let credits = (sums[model], sums[model + 1]);
    if live.counts_reports() || credits == (0, 0) {
        return (sums[CONVERSIONS].saturating_mul(CONVERSION_MICRO), sums[VALUE]);
    }
    credits
}

/// Days tell the credits of the other models, too, at the time of the conversion.
fn minute_credits(live: &Live, key: &RowKey, basis: Basis) -> ModelCredits {
    let is_told = key.granularity == Granularity::Day && basis == Basis::ConversionTime;
    let breakdown = live.breakdown.as_ref().filter(|_| is_told);
    breakdown.and_then(|breakdown| breakdown.credits_of(key.start)).unwrap_or_default()
}

fn credits(sums: &Measures, at: usize, others: ModelCredits) -> Vec<ModelCredit> {
    let credit = |model: &str, at: usize| ModelCredit {
        model: model.to_owned(),
        conversions_micro: sums[at],
        value_micros: sums[at + 1],
    };
    let mut credits = vec![credit("last", at), credit("linear", at + 2)];
    let is_told = |model: &str| credits.iter().all(|known| known.model != model);
    let others: Vec<_> =
        MINUTE_MODELS.into_iter().zip(others).filter(|(model, of)| *of != [0, 0] && is_told(model)).collect();
    credits.extend(others.into_iter().map(|(model, [conversions_micro, value_micros])| ModelCredit {
        model: model.to_owned(),
        conversions_micro,
        value_micros,
    }));
    credits
}

impl Granularity {
    /// As it is written in a row.
    pub fn word(self) -> &'static str {
        match self {
            Granularity::Minute => "minute",
            Granularity::Hour => "hour",
            Granularity::Day => "day",
        }
    }
}

impl Basis {
    fn word(self) -> &'static str {
        match self {
            Basis::ConversionTime => "conversion_time",
            Basis::TouchTime => "touch_time",
        }
    }
}
