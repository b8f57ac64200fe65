//! What is known of one campaign at one instant, by the names of rules.

use super::names::{LABELS, WINDOWS, Window};
use crate::arithmetic::finite;
use crate::kpi::{Kpis, Sums};
use crate::settings::Millis;
use model::time::DAY_MS;
use rules::{Facts, Value};
use std::collections::BTreeMap;

/// Sums of a window with their ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// The sums.
    pub sums: Sums,
    /// The ratios, absent where nothing stands behind them.
    pub kpis: Kpis,
}

/// One campaign at one instant. Money in micros here, in whole units in a rule.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // Each is a name of a rule, explained there.
pub struct Situation<'a> {
    pub now_ms: Millis,
    pub account_id: &'a str,
    pub campaign_id: &'a str,
    pub name: &'a str,
    pub channel: &'a str,
    pub platform: Option<&'a str>,
    pub currency: &'a str,
    pub status: &'a str,
    pub mode: &'a str,
    pub strategy: &'a str,
    pub labels: &'a BTreeMap<String, String>,
    pub paused: bool,
    pub target_cpa_micros: Option<i64>,
    pub target_roas_ppm: Option<i64>,
    pub bid_micros: Option<i64>,
    pub bid_min_micros: Option<i64>,
    pub bid_max_micros: Option<i64>,
    pub budget_day_micros: Option<i64>,
    pub exposed_micros: i64,
    pub plan_share: Option<f64>,
    pub pace: &'a str,
    pub goal_chance: Option<f64>,
    pub local_hour: Option<i64>,
    /// 0 is Monday.
    pub weekday: u8,
    pub days_running: i64,
    pub flight_end_ms: Option<Millis>,
    /// By [`Window`]; `None` where the data are too old, or no rule reads it.
    pub windows: [Option<Figures>; WINDOWS.len()],
}

/// Days of the week as rules write them.
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Situation<'_> {
    /// Figures of a window.
    pub fn window(&self, window: Window) -> Option<&Figures> {
        self.windows[window as usize].as_ref()
    }

    fn planned_by_now(&self) -> Option<f64> {
        Some(units(self.budget_day_micros?) * self.plan_share?)
    }
}

impl Facts for Situation<'_> {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        let number = |value: Option<f64>| value.and_then(|value| finite(value).ok()).map(Value::Number);
        let money = |micros: Option<i64>| micros.map(|micros| Value::Number(units(micros)));
        if let Some(label) = name.strip_prefix(LABELS) {
            return self.labels.get(label).map(|value| Value::Text(value));
        }
        if let Some((window, figure)) = name.split_once('.')
            && let Some(window) = Window::parse(window)
        {
            return number(self.window(window)?.value(figure));
        }
        match name {
            "account.id" => Some(Value::Text(self.account_id)),
            "campaign.id" => Some(Value::Text(self.campaign_id)),
            "campaign.name" => Some(Value::Text(self.name)),
            "campaign.channel" => Some(Value::Text(self.channel)),
            "campaign.platform" => self.platform.map(Value::Text),
            "campaign.currency" => Some(Value::Text(self.currency)),
            "campaign.status" => Some(Value::Text(self.status)),
            "campaign.mode" => Some(Value::Text(self.mode)),
            "campaign.strategy" => Some(Value::Text(self.strategy)),
            "campaign.paused" => Some(Value::Bool(self.paused)),
            "target.cpa" => money(self.target_cpa_micros),
            "target.roas" => money(self.target_roas_ppm),
            "bid.now" => money(self.bid_micros),
            "bid.min" => money(self.bid_min_micros),
            "bid.max" => money(self.bid_max_micros),
            "budget.day" => money(self.budget_day_micros),
            "budget.left" => money(self.budget_day_micros.map(|budget| budget.saturating_sub(self.exposed_micros))),
            "plan.by_now" => number(self.planned_by_now()),
            "plan.share" => number(self.plan_share),
            "pace.word" => Some(Value::Text(self.pace)),
            "pace.ratio" => {
                let planned = self.planned_by_now().filter(|planned| *planned > 0.0);
                number(planned.map(|planned| units(self.exposed_micros) / planned))
            }
            "goal.chance" => number(self.goal_chance),
            "hour" => self.local_hour.map(Value::Whole),
            "weekday" => WEEKDAYS.get(usize::from(self.weekday)).map(|day| Value::Text(day)),
            "days.running" => Some(Value::Whole(self.days_running)),
            "days.left" => number(self.flight_end_ms.map(|end| end.saturating_sub(self.now_ms) as f64 / DAY_MS as f64)),
            _ => None,
        }
    }
}

impl Figures {
    /// Sums with their ratios.
    pub fn of(sums: Sums, margin_ppm: Option<i64>) -> Figures {
        Figures { sums, kpis: Kpis::of(&sums, margin_ppm) }
    }

    fn value(&self, figure: &str) -> Option<f64> {
        let (sums, kpis) = (&self.sums, &self.kpis);
        match figure {
            "impressions" => Some(sums.impressions as f64),
            "clicks" => Some(sums.clicks as f64),
            "spend" => Some(units(sums.spend_micros)),
            "conversions" => Some(units(sums.conversions_micro)),
            "value" => Some(units(sums.value_micros)),
            "ctr" => kpis.ctr_ppm.map(units),
            "cvr" => kpis.cvr_ppm.map(units),
            "cpc" => kpis.cpc_micros.map(units),
            "cpm" => kpis.cpm_micros.map(units),
            "cpa" => kpis.cpa_micros.map(units),
            "roas" => kpis.roas_ppm.map(units),
            "roi" => kpis.roi_ppm.map(units),
            _ => None,
        }
    }
}

/// Millionths as whole units: correctly rounded, so the same everywhere.
fn units(millionths: i64) -> f64 {
    millionths as f64 / 1e6
}

/// A number without the noise of its last digits.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
