//! KPI rows, every revision; the last one of a window is its truth.

use super::{Cell, Column, Row, decimal, text, time, whole};
use model::output::{KpiRow, ModelCredit};
use model::time::Millis;

impl Row for KpiRow {
    const COLUMNS: &'static [Column] = &[
        time("window_start"),
        time("window_end"),
        text("granularity"),
        text("basis"),
        text("account_id"),
        text("campaign_id"),
        text("currency"),
        whole("revision"),
        time("watermark"),
        text("window_start_local"),
        text("window_end_local"),
        text("time_zone"),
        whole("impressions"),
        whole("clicks"),
        whole("invalid_clicks"),
        whole("billable"),
        decimal("gross_spend"),
        decimal("spend"),
        decimal("plan"),
        whole("conversions"),
        decimal("value"),
        decimal("conversions_last"),
        decimal("value_last"),
        decimal("conversions_linear"),
        decimal("value_linear"),
        decimal("matured_ratio"),
        decimal("ctr"),
        decimal("cvr"),
        decimal("cpc"),
        decimal("cpm"),
        decimal("cpa"),
        decimal("roas"),
        decimal("roi"),
        text("pace"),
        text("binding"),
        text("spend_source"),
        decimal("reconciliation_ratio"),
        whole("journal_partition"),
        whole("journal_offset"),
        whole("policy_version"),
        text("build"),
    ];

    fn at(&self) -> Millis {
        self.window_start
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        let (last, linear) = (credit(self, "last"), credit(self, "linear"));
        vec![
            Cell::time(self.window_start),
            Cell::time(self.window_end),
            Cell::text(&self.granularity),
            Cell::text(&self.basis),
            Cell::text(&self.account_id),
            Cell::text(&self.campaign_id),
            Cell::text(&self.currency),
            Cell::whole(self.revision),
            Cell::time(self.watermark),
            Cell::text(&self.window_start_local),
            Cell::text(&self.window_end_local),
            Cell::text(&self.time_zone),
            Cell::whole(self.impressions),
            Cell::whole(self.clicks),
            Cell::whole(self.invalid_clicks),
            Cell::whole(self.billable),
            Cell::decimal(self.gross_spend_micros),
            Cell::decimal(self.spend_micros),
            Cell::decimal(self.plan_micros),
            Cell::whole(self.conversions),
            Cell::decimal(self.value_micros),
            Cell::decimal(last.map(|credit| credit.conversions_micro)),
            Cell::decimal(last.map(|credit| credit.value_micros)),
            Cell::decimal(linear.map(|credit| credit.conversions_micro)),
            Cell::decimal(linear.map(|credit| credit.value_micros)),
            Cell::decimal(self.matured_ppm),
            Cell::decimal(self.ctr_ppm),
            Cell::decimal(self.cvr_ppm),
            Cell::decimal(self.cpc_micros),
            Cell::decimal(self.cpm_micros),
            Cell::decimal(self.cpa_micros),
            Cell::decimal(self.roas_ppm),
            Cell::decimal(self.roi_ppm),
            Cell::text(&self.pace),
            Cell::text(&self.binding),
            Cell::text(&self.spend_source),
            Cell::decimal(self.reconciliation_ratio_ppm),
            Cell::whole(i64::from(self.journal_partition)),
            Cell::whole(self.journal_offset),
            Cell::whole(self.policy_version),
            Cell::text(&self.build),
        ]
    }
}

fn credit<'a>(row: &'a KpiRow, model: &str) -> Option<&'a ModelCredit> {
    row.attributed.iter().find(|credit| credit.model == model)
}
