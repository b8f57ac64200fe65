//! The whole on one page: how many campaigns stand how, what was spent, and what waits for a person.

use super::Shared;
use crate::published::CampaignEntry;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const PACES: [&str; 6] = ["ahead", "on_plan", "behind", "unknown", "paused", "exhausted"];
const MODES: [&str; 3] = ["auto", "approve", "observe"];

/// `GET /overview`
pub async fn get(State(shared): State<Shared>) -> Response {
    let mut overview = overview(&shared);
    overview["server_time"] = json!(shared.clock.now_ms());
    axum::Json(overview).into_response()
}

/// The overview but for the time, which changes when nothing else does.
pub fn overview(shared: &Shared) -> Value {
    let published = &shared.published;
    let entries = published.entries();
    let watermark = entries.iter().filter_map(|entry| entry.view.watermark).min();
    let pending = published.proposals().iter().filter(|proposal| proposal.state == "proposed").count();
    json!({
        "build": &*shared.build,
        "policy_version": published.policy_version(),
        "event_time": published.event_time(),
        "watermark": watermark,
        "watermark_reason": watermark.is_none().then_some("a_source_has_not_reported"),
        "health": health(shared),
        "accounts": accounts(&entries),
        "campaigns": entries.len(),
        "campaigns_by_pace": count(&PACES, entries.iter().map(|entry| entry.view.pace.as_str())),
        "campaigns_by_mode": count(&MODES, entries.iter().map(|entry| entry.view.mode.as_str())),
        "currencies": currencies(&entries),
        "alerts_open": count(
            &["info", "warning", "critical"],
            published.alerts().iter().filter(|alert| alert.state != "resolved").map(|alert| alert.severity.as_str()),
        ),
        "goals": published.goals(),
        "proposals_pending": pending,
        "halts": published.halts(),
        "streams": shared.streams.held(),
    })
}

/// What the health checks say.
pub fn health(shared: &Shared) -> Value {
    match shared.published.health.ready() {
        Ok(()) => json!({ "ok": true, "reasons": [] }),
        Err(reasons) => json!({ "ok": false, "reasons": reasons }),
    }
}

fn count<'a>(words: &[&str], found: impl Iterator<Item = &'a str>) -> BTreeMap<String, i64> {
    let mut counts: BTreeMap<String, i64> = words.iter().map(|word| ((*word).to_owned(), 0)).collect();
    for word in found {
        match counts.get_mut(word) {
            Some(held) => *held += 1,
            None => {
                counts.insert(word.to_owned(), 1);
            }
        }
    }
    counts
}

fn accounts(entries: &[Arc<CampaignEntry>]) -> Vec<Value> {
    let mut accounts: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
    for entry in entries {
        let counts = accounts.entry((&entry.view.account_id, &entry.view.currency)).or_default();
        counts.0 += 1;
        counts.1 += i64::from(entry.view.halted);
    }
    let row = |((account_id, currency), (campaigns, halted)): (&(&str, &str), &(i64, i64))| {
        json!({
            "account_id": account_id, "currency": currency, "campaigns": campaigns, "campaigns_halted": halted,
            "halted": campaigns == halted,
        })
    };
    accounts.iter().map(row).collect()
}

/// Sums of money are made within a currency only.
fn currencies(entries: &[Arc<CampaignEntry>]) -> Vec<Value> {
    #[derive(Default)]
    struct Sums {
        campaigns: i64,
        without_budget: i64,
        spend: i64,
        budget: Option<i64>,
        plan: Option<i64>,
    }
    let mut currencies: BTreeMap<&str, Sums> = BTreeMap::new();
    let add = |sum: &mut Option<i64>, more: Option<i64>| {
        *sum = more.map(|more| sum.unwrap_or(0).saturating_add(more)).or(*sum);
    };
    for entry in entries {
        let sums = currencies.entry(&entry.view.currency).or_default();
        sums.campaigns += 1;
        sums.without_budget += i64::from(entry.view.budget_day_micros.is_none());
        sums.spend = sums.spend.saturating_add(entry.view.spend_day_micros);
        add(&mut sums.budget, entry.view.budget_day_micros);
        add(&mut sums.plan, entry.view.plan_micros);
    }
    let row = |(currency, sums): (&&str, &Sums)| {
        json!({
            "currency": currency, "campaigns": sums.campaigns, "without_budget": sums.without_budget,
            "spend_day_micros": sums.spend,
            "budget_day_micros": sums.budget,
            "budget_day_reason": sums.budget.is_none().then_some("no_budget"),
            "plan_micros": sums.plan,
            "plan_reason": sums.plan.is_none().then_some("no_plan"),
        })
    };
    currencies.iter().map(row).collect()
}
