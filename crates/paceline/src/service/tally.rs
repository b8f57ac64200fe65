//! What the controller's states add up to, for the metrics: paces, money, open alerts, proposals that wait.
//!
//! What always holds: no identifier is a label; currencies are, and at most [`CURRENCIES_MAX`] of them. Sums of money
//! saturate.

use crate::telemetry::{ALERT_KINDS, Metrics, alert_kind};
use controller::{CampaignSummary, View};
use model::time::Millis;
use std::collections::{BTreeMap, BTreeSet};

/// Words of the pace, in the order of the dashboard.
const PACES: [&str; 6] = ["ahead", "on_plan", "behind", "unknown", "paused", "exhausted"];
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];
/// More than one platform trades in; the gauge of entries held tells where there are more.
const CURRENCIES_MAX: usize = 64;

/// One pass over all states of a process.
#[derive(Default)]
pub struct Tally {
    paces: BTreeMap<String, i64>,
    halted: i64,
    money: BTreeMap<String, Money>,
    alerts: BTreeMap<(&'static str, String), i64>,
    oldest_proposal: Option<Millis>,
}

/// Of one currency, micros.
#[derive(Clone, Copy, Default)]
struct Money {
    spend_day: i64,
    over_day: i64,
    over_flight: i64,
}

impl Tally {
    /// Counts a campaign.
    pub fn campaign(&mut self, summary: &CampaignSummary) {
        *self.paces.entry(summary.pace.clone()).or_default() += 1;
        self.halted += i64::from(summary.halted);
        let over = |spend: i64, budget: Option<i64>| budget.map_or(0, |budget| spend.saturating_sub(budget).max(0));
        let spec = &summary.spec;
        let money = self.money.entry(spec.currency.clone()).or_default();
        let add = |sum: &mut i64, micros: i64| *sum = sum.saturating_add(micros);
        add(&mut money.spend_day, summary.spend_day_micros);
        add(&mut money.over_day, over(summary.spend_day_micros, summary.daily_budget_micros));
        add(&mut money.over_flight, over(summary.spend_flight_micros, spec.flight_budget_micros));
    }

    /// Counts what else a state holds.
    pub fn state(&mut self, state: View<'_>) {
        for alert in state.alerts() {
            *self.alerts.entry((alert_kind(&alert.kind), alert.severity.clone())).or_default() += 1;
        }
        let waiting = state.proposals().map(|proposal| proposal.issued_at).min();
        self.oldest_proposal = self.oldest_proposal.into_iter().chain(waiting).min();
    }

    /// Sets the metrics; `shown` are the currencies that have series.
    pub fn publish(&self, metrics: &Metrics, shown: &mut BTreeSet<String>) {
        for pace in PACES {
            metrics.campaigns.with_label_values(&[pace]).set(self.paces.get(pace).copied().unwrap_or(0));
        }
        metrics.halted_campaigns.set(self.halted);
        for kind in ALERT_KINDS.into_iter().chain([crate::telemetry::OTHER]) {
            for severity in SEVERITIES {
                let open = self.alerts.get(&(kind, severity.to_owned())).copied().unwrap_or(0);
                metrics.alerts_open.with_label_values(&[kind, severity]).set(open);
            }
        }
        metrics.proposal_oldest.set(self.oldest_proposal.map_or(0.0, |at| at as f64 / 1e3));
        self.publish_money(metrics, shown);
    }

    fn publish_money(&self, metrics: &Metrics, shown: &mut BTreeSet<String>) {
        let now: BTreeSet<String> = self.money.keys().take(CURRENCIES_MAX).cloned().collect();
        for gone in shown.difference(&now) {
            let _ = metrics.spend_day.remove_label_values(&[gone]);
            for budget in ["day", "flight"] {
                let _ = metrics.overspend.remove_label_values(&[gone.as_str(), budget]);
            }
        }
        for (currency, money) in self.money.iter().filter(|(currency, _)| now.contains(*currency)) {
            metrics.spend_day.with_label_values(&[currency]).set(money.spend_day);
            metrics.overspend.with_label_values(&[currency.as_str(), "day"]).set(money.over_day);
            metrics.overspend.with_label_values(&[currency.as_str(), "flight"]).set(money.over_flight);
        }
        metrics.state_keys.with_label_values(&["currencies"]).set(self.money.len() as i64);
        *shown = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::fact::CampaignSpec;

    fn summary(currency: &str, spend_day: i64, daily: Option<i64>) -> CampaignSummary {
        CampaignSummary {
            account_id: "a".into(),
            campaign_id: "c".into(),
            spec: CampaignSpec {
                currency: currency.into(),
                flight_budget_micros: Some(1_000),
                ..CampaignSpec::default()
            },
            spend_day_micros: spend_day,
            spend_month_micros: spend_day,
            spend_flight_micros: spend_day.saturating_add(900),
            daily_budget_micros: daily,
            watermark: None,
            hour: None,
            day: None,
            planned_day_micros: None,
            planned_by_now_micros: None,
            pace: "ahead".into(),
            binding: "budget".into(),
            bid_wanted_micros: None,
            bid_confirmed_micros: None,
            window_need_micros: None,
            window_spend_micros: None,
            holders: Vec::new(),
            holds: Vec::new(),
            undos: Vec::new(),
            halted: true,
            jumped_version: None,
            laws: Default::default(),
            goal: None,
            rules: Vec::new(),
        }
    }

    #[test]
    fn what_one_campaign_saves_does_not_hide_what_another_overspends() {
        let metrics = Metrics::new();
        let mut shown = BTreeSet::new();
        let mut tally = Tally::default();
        for (spend, budget) in [(150, Some(100)), (50, Some(100)), (70, None)] {
            tally.campaign(&summary("EUR", spend, budget));
        }
        tally.publish(&metrics, &mut shown);
        let text = metrics.text();
        for series in [
            "paceline_spend_day_micros{currency=\"EUR\"} 270",
            "paceline_overspend_micros{budget=\"day\",currency=\"EUR\"} 50",
            "paceline_overspend_micros{budget=\"flight\",currency=\"EUR\"} 50",
            "paceline_campaigns{pacing=\"ahead\"} 3",
            "paceline_halted_campaigns 3",
        ] {
            assert!(text.contains(series), "{series} in\n{text}");
        }
    }

    #[test]
    fn a_currency_that_is_gone_has_no_series_and_their_number_is_bounded() {
        let metrics = Metrics::new();
        let mut shown = BTreeSet::new();
        let mut tally = Tally::default();
        tally.campaign(&summary("EUR", i64::MAX, None));
        tally.campaign(&summary("EUR", 1, None));
        tally.publish(&metrics, &mut shown);
        assert_eq!(metrics.spend_day.with_label_values(&["EUR"]).get(), i64::MAX);
        let mut tally = Tally::default();
        for number in 0..200 {
            tally.campaign(&summary(&format!("X{number:03}"), 1, None));
        }
        tally.publish(&metrics, &mut shown);
        let text = metrics.text();
        assert!(!text.contains("currency=\"EUR\""));
        assert_eq!(text.matches("paceline_spend_day_micros{").count(), CURRENCIES_MAX);
        assert!(text.contains("paceline_state_keys{store=\"currencies\"} 200"));
    }
}
