//! Campaigns: the list that is filtered, sorted and paged here, one campaign with all that is known, and its series.

use super::Shared;
use super::paging::{Page, page};
use super::problem::{Asked, Problem};
use crate::published::{CampaignEntry, CampaignView, Forecast, KpiQuery, LastCommand, Published, RuleView, TracePoint};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use controller::{Hold, Undo};
use model::output::{Adjustment, KpiRow};
use model::time::Millis;
use policy::rule::Law;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Commands, alerts and proposals shown with a campaign.
const RECENT_MAX: usize = 50;
/// Less than this share of the credits in: what would be inferred is mostly guess.
const MATURED_MIN_PPM: i64 = 100_000;

/// What is asked of the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    account: Option<String>,
    q: Option<String>,
    status: Option<String>,
    pace: Option<String>,
    mode: Option<String>,
    #[serde(default)]
    sort: Sort,
    #[serde(default)]
    order: Order,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Campaign,
    Account,
    Name,
    Spend,
    Budget,
    Share,
    Pace,
    Mode,
    Status,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Asc,
    Desc,
}

/// A row of the list.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    view: &'a CampaignView,
    forecast_flight: Option<Forecast>,
    forecast_flight_reason: Option<&'static str>,
    last_command: Option<LastCommand>,
    last_command_reason: Option<&'static str>,
    sparkline: Vec<TracePoint>,
    sparkline_reason: Option<&'static str>,
}

/// `GET /campaigns`
pub async fn list(State(shared): State<Shared>, Asked(query): Asked<ListQuery>) -> Result<Response, Problem> {
    let mut found = shared.published.entries();
    let needle = query.q.as_deref().unwrap_or_default().to_lowercase();
    found.retain(|entry| query.matches(&entry.view, &needle));
    sort(&mut found, query.sort, query.order);
    let Page { items, total, next } = page(found, query.limit, query.cursor.as_deref())?;
    let rows: Vec<Row<'_>> = items.iter().map(|entry| row(&shared.published, entry)).collect();
    Ok(axum::Json(json!({ "campaigns": rows, "total": total, "next": next })).into_response())
}

impl ListQuery {
    fn matches(&self, view: &CampaignView, needle: &str) -> bool {
        let same = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        let has = |text: &str| text.to_lowercase().contains(needle);
        same(&self.account, &view.account_id)
            && same(&self.status, &view.status)
            && same(&self.pace, &view.pace)
            && same(&self.mode, &view.mode)
            && (needle.is_empty() || has(&view.name) || has(&view.campaign_id) || has(&view.account_id))
    }
}

/// Equal ones stay in the order of their ids, whatever the direction, so that pages do not overlap.
fn sort(found: &mut [Arc<CampaignEntry>], by: Sort, order: Order) {
    let compare = |a: &CampaignView, b: &CampaignView| match by {
        Sort::Campaign => a.campaign_id.cmp(&b.campaign_id),
        Sort::Account => a.account_id.cmp(&b.account_id),
        Sort::Name => a.name.cmp(&b.name),
        Sort::Spend => a.spend_day_micros.cmp(&b.spend_day_micros),
        Sort::Budget => a.budget_day_micros.cmp(&b.budget_day_micros),
        Sort::Share => share(a).cmp(&share(b)),
        Sort::Pace => a.pace.cmp(&b.pace),
        Sort::Mode => a.mode.cmp(&b.mode),
        Sort::Status => a.status.cmp(&b.status),
    };
    let turned = |ordering: Ordering| if order == Order::Desc { ordering.reverse() } else { ordering };
    found.sort_by(|a, b| turned(compare(&a.view, &b.view)));
}

/// Spend over budget of the day in ppm; `None`, which comes first, without a budget.
fn share(view: &CampaignView) -> Option<i128> {
    let budget = view.budget_day_micros.filter(|budget| *budget > 0)?;
    Some(i128::from(view.spend_day_micros) * 1_000_000 / i128::from(budget))
}

fn row<'a>(published: &Published, entry: &'a CampaignEntry) -> Row<'a> {
    let view = &entry.view;
    let (account, campaign) = (&view.account_id, &view.campaign_id);
    let forecast = forecast_of_flight(published, view);
    let last_command = published.last_command(account, campaign);
    let sparkline = published.trace_of(account, campaign);
    Row {
        view,
        forecast_flight: forecast.ok(),
        forecast_flight_reason: forecast.err(),
        last_command_reason: last_command.is_none().then_some("none_since_this_process_started"),
        last_command,
        sparkline_reason: sparkline.is_empty().then_some("nothing_yet"),
        sparkline,
    }
}

/// Where the flight ends: in its last day as the day does, else closed days' mean for each day that is left.
fn forecast_of_flight(published: &Published, view: &CampaignView) -> Result<Forecast, &'static str> {
    const DAY_MS: Millis = 86_400_000;
    let end = view.flight_end.ok_or("no_flight_end")?;
    let today = view.forecast_day.ok_or("no_forecast_of_the_day")?;
    // The day's sum may be a moment ahead of the flight's.
    let before = view.spend_flight_micros.saturating_sub(view.spend_day_micros).max(0);
    let days_left = end.saturating_sub(published.event_time()).max(0) / DAY_MS;
    let sum = |today: i64, rest: f64| before.saturating_add(today).saturating_add(rest as i64);
    if days_left == 0 {
        let Forecast { low_micros, mid_micros, high_micros } = today;
        return Ok(Forecast {
            low_micros: sum(low_micros, 0.0),
            mid_micros: sum(mid_micros, 0.0),
            high_micros: sum(high_micros, 0.0),
        });
    }
    let days: Vec<f64> = rows(published, &view.account_id, &view.campaign_id, "day", None, None)
        .iter()
        .filter(|row| row.basis == "conversion_time")
        .map(|row| row.spend_micros as f64)
        .collect();
    if days.len() < 2 {
        return Err("fewer_than_two_closed_days");
    }
    let count = days.len() as f64;
    let mean = days.iter().sum::<f64>() / count;
    let variance = days.iter().map(|day| (day - mean) * (day - mean)).sum::<f64>() / (count - 1.0);
    let left = days_left as f64;
    // Of the days to come, and of the mean itself.
    let spread = 1.96 * (variance * (left + left * left / count)).sqrt();
    Ok(Forecast {
        low_micros: sum(today.low_micros, (mean * left - spread).max(0.0)),
        mid_micros: sum(today.mid_micros, mean * left),
        high_micros: sum(today.high_micros, mean * left + spread),
    })
}

/// `GET /campaigns/{account}/{campaign}`
pub async fn one(
    State(shared): State<Shared>,
    Path((account, campaign)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let published = &shared.published;
    let entry = published.entry(&account, &campaign).ok_or_else(|| unknown(&account, &campaign))?;
    let of_it = |command: &Arc<Adjustment>| command.account_id == account && command.campaign_id == campaign;
    let commands: Vec<_> = published.adjustments().into_iter().filter(of_it).take(RECENT_MAX).collect();
    let proposals: Vec<_> = published.proposals().into_iter().filter(of_it).take(RECENT_MAX).collect();
    let concerns = |of: &Option<String>, id: &str| of.as_deref().is_none_or(|of| of == id);
    let alerts: Vec<_> = published
        .alerts()
        .into_iter()
        .filter(|alert| concerns(&alert.account_id, &account) && concerns(&alert.campaign_id, &campaign))
        .take(RECENT_MAX)
        .collect();
    let halts = published.halts();
    let covers: Vec<_> = halts
        .into_iter()
        .filter(|halt| concerns(&halt.account_id, &account) && concerns(&halt.campaign_id, &campaign))
        .collect();
    let mut document = json!(row(published, &entry));
    document["spec"] = json!(entry.spec);
    document["windows"] = json!(entry.open);
    document["holders"] = json!(holders(&entry.view, &commands));
    let hold =
        |hold: &Hold| json!({ "lever": hold.lever, "holder": hold.holder, "since": hold.since, "until": hold.until });
    document["holds"] = entry.holds.iter().map(hold).collect();
    let undo = |undo: &Undo| {
        json!({ "command_id": undo.command_id, "kind": undo.kind, "issued_at": undo.issued_at,
            "from_micros": undo.from_micros, "to_micros": undo.to_micros,
            "from_table_ppm": table_of(undo, &undo.tables.0), "to_table_ppm": table_of(undo, &undo.tables.1),
            "dimension": undo.dimension, "from_ppm": factor_of(undo, &undo.tables.0),
            "to_ppm": factor_of(undo, &undo.tables.1) })
    };
    document["undos"] = entry.undos.iter().map(undo).collect();
    document["rules"] = entry.view.rules.iter().map(|said| in_full(said, &entry.laws)).collect();
    document["halts"] = json!(covers);
    document["commands"] = json!(commands);
    document["proposals"] = json!(proposals);
    document["alerts"] = json!(alerts);
    Ok(axum::Json(document).into_response())
}

/// Factors by hour, or nothing where a command has none.
pub(super) fn table_of<'f>(undo: &Undo, factors: &'f [i64]) -> Option<&'f [i64]> {
    (!factors.is_empty() && undo.dimension.is_none()).then_some(factors)
}

/// The factor of one value of a dimension, or nothing where a command is of none.
pub(super) fn factor_of(undo: &Undo, factors: &[i64]) -> Option<i64> {
    factors.first().copied().filter(|_| undo.dimension.is_some())
}

/// What a rule said, beside what it says in the policy; nothing where another version of the policy has it no more.
fn in_full(said: &RuleView, laws: &[Law]) -> Value {
    let law = laws.iter().find(|law| law.rule == said.rule);
    json!({
        "rule": said.rule, "word": said.word, "detail": said.detail, "action": said.action, "matched": said.is_match(),
        "when": law.map(|law| &law.when), "then": law.map(|law| &law.then), "mode": law.map(|law| law.mode),
        "cool_down_ms": law.map(|law| law.cool_down_ms),
    })
}

pub(super) fn unknown(account: &str, campaign: &str) -> Problem {
    Problem::unknown(format!("no campaign {account}/{campaign} is known to this process"))
}

/// Who has held the campaign still, as the commands say: from the pause until the word that ended it.
fn holders(view: &CampaignView, commands: &[Arc<Adjustment>]) -> Vec<Value> {
    let mut spells: Vec<Value> = Vec::new();
    let mut open: BTreeMap<String, &Adjustment> = BTreeMap::new();
    let spell = |pause: &Adjustment, until: Option<Millis>, holds: bool| {
        json!({
            "holder": pause.holder, "since": pause.issued_at, "until": until, "holds": holds,
            "command_id": pause.command_id, "reason": pause.reason,
        })
    };
    for command in commands.iter().rev() {
        match (command.kind.as_str(), command.holder.clone()) {
            ("pause", Some(holder)) => {
                open.entry(holder).or_insert(command);
            }
            ("resume", _) => {
                for pause in std::mem::take(&mut open).into_values() {
                    spells.push(spell(pause, Some(command.issued_at), false));
                }
            }
            _ => {}
        }
    }
    for holder in &view.pause_holders {
        spells.push(match open.get(holder) {
            Some(pause) => spell(pause, Some(pause.expires_at), true),
            None => json!({
                "holder": holder, "since": null, "since_reason": "no_command_in_memory", "until": null, "holds": true,
                "command_id": null, "reason": null,
            }),
        });
    }
    spells.reverse();
    spells
}

/// Which windows of a campaign are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesQuery {
    #[serde(default)]
    window: Granularity,
    from: Option<Millis>,
    to: Option<Millis>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Granularity {
    Minute,
    #[default]
    Hour,
    Day,
}

/// `GET /campaigns/{account}/{campaign}/series`
pub async fn series(
    State(shared): State<Shared>,
    Path((account, campaign)): Path<(String, String)>,
    Asked(query): Asked<SeriesQuery>,
) -> Result<Response, Problem> {
    let published = &shared.published;
    let entry = published.entry(&account, &campaign).ok_or_else(|| unknown(&account, &campaign))?;
    let word = match query.window {
        Granularity::Minute => "minute",
        Granularity::Hour => "hour",
        Granularity::Day => "day",
    };
    let mut rows = rows(published, &account, &campaign, word, query.from, query.to);
    let later = |start: Millis| query.from.is_none_or(|from| start >= from) && query.to.is_none_or(|to| start < to);
    let open = entry.open.iter().filter(|row| row.granularity == word && later(row.window_start));
    let closed_to = rows.iter().map(|row| row.window_start).max();
    let open: Vec<&KpiRow> = open.filter(|row| closed_to.is_none_or(|closed| row.window_start > closed)).collect();
    rows.extend(open.iter().map(|row| (*row).clone()));
    let points = points(&rows, &entry, open.first().map(|row| row.window_start));
    let reason = match (points.is_empty(), word) {
        (false, _) => None,
        (true, "minute") => Some("minute_rows_are_off_or_none_has_closed"),
        (true, _) => Some("no_window_has_closed_since_this_process_started"),
    };
    Ok(axum::Json(json!({
        "account_id": account, "campaign_id": campaign, "currency": entry.view.currency,
        "time_zone": entry.view.time_zone, "window": word, "points": points, "points_reason": reason,
        "trace": published.trace_of(&account, &campaign),
    }))
    .into_response())
}

fn rows(
    published: &Published,
    account: &str,
    campaign: &str,
    granularity: &str,
    from: Option<Millis>,
    to: Option<Millis>,
) -> Vec<KpiRow> {
    let query = KpiQuery {
        account_id: Some(account.to_owned()),
        campaign_id: Some(campaign.to_owned()),
        granularity: Some(granularity.to_owned()),
        basis: None,
        from,
        to,
    };
    published.kpis(&query).0
}

/// One point a window: what was counted in it, and beside it the conversions that its touches will have brought once all
/// have come, as far as the delays of the account tell.
fn points(rows: &[KpiRow], entry: &CampaignEntry, open: Option<Millis>) -> Vec<Value> {
    let touch: BTreeMap<Millis, &KpiRow> =
        rows.iter().filter(|row| row.basis == "touch_time").map(|row| (row.window_start, row)).collect();
    let counted = rows.iter().filter(|row| row.basis != "touch_time");
    let point = |row: &KpiRow| {
        let touch = touch.get(&row.window_start);
        let matured = touch.and_then(|touch| touch.matured_ppm);
        let credited = touch.and_then(|touch| credited(touch, &entry.spec.attribution_model));
        let corrected = credited.zip(matured.filter(|matured| *matured >= MATURED_MIN_PPM)).map(corrected);
        json!({
            "start": row.window_start, "end": row.window_end, "start_local": row.window_start_local,
            "open": open == Some(row.window_start), "revision": row.revision,
            "spend_micros": row.spend_micros, "gross_spend_micros": row.gross_spend_micros,
            "plan_micros": row.plan_micros, "impressions": row.impressions, "clicks": row.clicks,
            "conversions": row.conversions, "value_micros": row.value_micros,
            "conversions_touched_micro": credited, "conversions_corrected_micro": corrected, "matured_ppm": matured,
            "conversions_corrected_reason": corrected.is_none().then_some(match (credited, matured) {
                (None, _) => "no_credits",
                (_, None) => "delays_not_known_yet",
                _ => "too_little_has_arrived",
            }),
            "ctr_ppm": row.ctr_ppm, "cvr_ppm": row.cvr_ppm, "cpc_micros": row.cpc_micros,
            "cpm_micros": row.cpm_micros, "cpa_micros": row.cpa_micros, "roas_ppm": row.roas_ppm,
            "roi_ppm": row.roi_ppm, "attributed": row.attributed, "pace": row.pace, "binding": row.binding,
        })
    };
    counted.map(point).collect()
}

fn credited(row: &KpiRow, model: &str) -> Option<i64> {
    row.attributed.iter().find(|credit| credit.model == model).map(|credit| credit.conversions_micro)
}

fn corrected((credited, matured_ppm): (i64, i64)) -> i64 {
    (i128::from(credited) * 1_000_000 / i128::from(matured_ppm)).try_into().unwrap_or(i64::MAX)
}
