//! A campaign as people see it: plain fields of what the controller believes, forecast and goal beside them.
//!
//! What always holds: a number that is not known is null, and a word beside it says why.

use controller::{AccountGoalNow, ByDimension, CampaignSummary, GoalNow, Hold, RuleSaid, Undo, Why};
use model::fact::CampaignSpec;
use model::output::KpiRow;
use model::time::Millis;
use policy::goal::Standing;
use policy::rule::Law;
use serde::Serialize;
use std::sync::Arc;

/// Nineteen in twenty of a normal variable lie within this many standard deviations.
const DEVIATIONS: f64 = 1.96;
/// Fewer billable events than this say nothing about how sure a pace is.
const EVENTS_MIN: f64 = 4.0;

/// A campaign as lists show it; a missing number is null with the word that says why beside it, in `pace` or in
/// `why_nothing`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)] // Names carry meaning and unit.
pub struct CampaignView {
    pub account_id: String,
    pub campaign_id: String,
    pub name: String,
    pub currency: String,
    pub time_zone: String,
    pub status: String,
    pub mode: String,
    pub bid_strategy: String,
    pub platform: Option<String>,
    pub channel: String,
    pub flight_start: Millis,
    pub flight_end: Option<Millis>,
    pub watermark: Option<Millis>,
    pub watermark_reason: Option<&'static str>,
    pub spend_day_micros: i64,
    pub spend_month_micros: i64,
    pub spend_flight_micros: i64,
    pub budget_day_micros: Option<i64>,
    pub budget_day_reason: Option<&'static str>,
    pub flight_budget_micros: Option<i64>,
    pub flight_budget_reason: Option<&'static str>,
    pub plan_micros: Option<i64>,
    pub plan_reason: Option<&'static str>,
    pub pace: String,
    pub binding: String,
    pub bid_micros: Option<i64>,
    pub bid_reason: Option<&'static str>,
    pub bid_confirmed_micros: Option<i64>,
    pub bid_confirmed_reason: Option<&'static str>,
    pub pause_holders: Vec<String>,
    pub halted: bool,
    pub why_nothing: Vec<String>,
    /// What users' rules said at their last instant.
    pub rules: Vec<RuleView>,
    pub impressions_day: i64,
    pub clicks_day: i64,
    pub conversions_day: i64,
    pub value_day_micros: i64,
    pub forecast_day: Option<Forecast>,
    pub forecast_day_reason: Option<&'static str>,
    pub goal: Option<Goal>,
    pub goal_reason: Option<&'static str>,
    pub spec_waits_version: Option<i64>,
}

/// What one rule said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct RuleView {
    pub rule: String,
    /// issued, proposed, observed, alerted, no_match, absent, too_little, cooling_down, lost, or why nothing left.
    pub word: &'static str,
    /// The figures, what was missing, or who won.
    pub detail: String,
    pub action: Option<String>,
}

impl RuleView {
    /// Whether the condition held, whatever came of it.
    pub fn is_match(&self) -> bool {
        !RuleSaid::NO_MATCH.contains(&self.word)
    }
}

impl From<&RuleSaid> for RuleView {
    fn from(said: &RuleSaid) -> Self {
        let RuleSaid { rule, word, detail, action } = said.clone();
        Self { rule, word, detail, action }
    }
}

/// Where spend will end if the pace of the last window goes on unsteered; nineteen in twenty end inside, as far as the
/// number of billable events tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Forecast {
    pub low_micros: i64,
    pub mid_micros: i64,
    pub high_micros: i64,
}

/// What the campaign is to reach, and where it stands today.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Goal {
    pub metric: String,
    /// micros, ppm, count.
    pub unit: &'static str,
    pub target: Option<i64>,
    pub actual: Option<i64>,
    pub actual_reason: Option<&'static str>,
    /// at_least, at_most.
    pub direction: &'static str,
    pub on_track: Option<bool>,
    pub window: &'static str,
    pub deadline: Option<Millis>,
    /// on_track, at_risk, met, missed, unknown; not_followed where no deadline is stated.
    pub standing: &'static str,
    /// Chance that it is met by the deadline.
    pub chance_ppm: Option<i64>,
    /// Where a total will end: one in ten ends below, one in ten above.
    pub ends_low: Option<i64>,
    pub ends_mid: Option<i64>,
    pub ends_high: Option<i64>,
    pub needs: Option<GoalNeeds>,
}

/// What it takes from now on to meet a goal, at the policy's elasticities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct GoalNeeds {
    /// A total: what each day has to bring; a ratio: what the rest has to come to. In the goal's unit.
    pub rate: i64,
    pub rate_now: i64,
    pub bid_micros: Option<i64>,
    pub spend_day_micros: Option<i64>,
    /// What stands against it: bid_max, bid_min, budget.
    pub limit: Option<&'static str>,
}

/// A goal of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct AccountGoal {
    pub account_id: String,
    pub name: String,
    pub currency: String,
    pub from: Millis,
    pub goal: Goal,
}

impl From<AccountGoalNow> for AccountGoal {
    fn from(now: AccountGoalNow) -> Self {
        let goal = followed(&now.now);
        Self { account_id: now.account_id, name: now.name, currency: now.currency, from: now.from, goal }
    }
}

/// A goal whose forecast is known, in the units of the API: counts are whole.
fn followed(now: &GoalNow) -> Goal {
    let metric = now.aim.metric.as_str();
    let (unit, _) = unit_of(metric);
    let plain = |millionths: i64| if unit == "count" { millionths.div_euclid(1_000_000) } else { millionths };
    let outlook = &now.outlook;
    Goal {
        metric: metric.to_owned(),
        unit,
        target: Some(plain(now.aim.target)),
        actual: outlook.actual.map(plain),
        actual_reason: outlook.actual.is_none().then_some("nothing_to_divide_by"),
        direction: now.aim.direction.as_str(),
        on_track: match outlook.standing {
            Standing::OnTrack | Standing::Met => Some(true),
            Standing::AtRisk | Standing::Missed => Some(false),
            Standing::Unknown => None,
        },
        window: "goal",
        deadline: Some(now.deadline),
        standing: outlook.standing.as_str(),
        chance_ppm: outlook.chance_ppm,
        ends_low: outlook.low.map(plain),
        ends_mid: outlook.mid.map(plain),
        ends_high: outlook.high.map(plain),
        needs: outlook.needs.map(|needs| GoalNeeds {
            rate: plain(needs.rate),
            rate_now: plain(needs.rate_now),
            bid_micros: now.bid_needed_micros,
            spend_day_micros: now.spend_day_needed_micros,
            limit: now.limit,
        }),
    }
}

/// A campaign's view with what only its own page needs.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct CampaignEntry {
    pub view: CampaignView,
    pub spec: CampaignSpec,
    /// The UTC hour and the local day that are still open.
    pub open: Vec<KpiRow>,
    /// Who keeps which value as it is.
    pub holds: Vec<Hold>,
    /// What can be taken back now.
    pub undos: Vec<Undo>,
    /// By dimension and by attribution model.
    pub by_dimension: ByDimension,
    /// What the rules of the policy say, shared by all campaigns.
    pub laws: Arc<[Law]>,
}

impl CampaignEntry {
    /// What the controller says of a campaign; `whys` are its reasons for doing nothing now.
    pub fn of(summary: CampaignSummary, whys: &[Why], by_dimension: ByDimension) -> Self {
        let view = CampaignView::of(&summary, whys);
        let open = [summary.hour, summary.day].into_iter().flatten().collect();
        let CampaignSummary { spec, holds, undos, laws, .. } = summary;
        Self { view, spec, open, holds, undos, by_dimension, laws }
    }
}

impl CampaignView {
    /// What the controller says of a campaign; `whys` are its reasons for doing nothing now.
    pub fn of(summary: &CampaignSummary, whys: &[Why]) -> Self {
        let spec = &summary.spec;
        let day = summary.day.as_ref();
        let forecast = forecast_of_day(summary);
        let goal = goal(summary);
        let budget_day_micros = summary.planned_day_micros.or(summary.daily_budget_micros);
        let stated = (spec.bid_micros > 0).then_some(spec.bid_micros);
        let bid_micros = summary.bid_wanted_micros.or(summary.bid_confirmed_micros).or(stated);
        Self {
            account_id: summary.account_id.clone(),
            campaign_id: summary.campaign_id.clone(),
            name: spec.name.clone(),
            currency: spec.currency.clone(),
            time_zone: spec.time_zone.clone(),
            status: spec.status.clone(),
            mode: spec.mode.clone(),
            bid_strategy: spec.bid_strategy.clone(),
            platform: spec.platform.clone(),
            channel: spec.channel.clone(),
            flight_start: spec.flight_start,
            flight_end: spec.flight_end,
            watermark: summary.watermark,
            watermark_reason: summary.watermark.is_none().then_some("no_data_yet"),
            spend_day_micros: summary.spend_day_micros,
            spend_month_micros: summary.spend_month_micros,
            spend_flight_micros: summary.spend_flight_micros,
            budget_day_micros,
            budget_day_reason: budget_day_micros.is_none().then_some("no_budget"),
            flight_budget_micros: spec.flight_budget_micros,
            flight_budget_reason: spec.flight_budget_micros.is_none().then_some("no_flight_budget"),
            plan_micros: summary.planned_by_now_micros,
            plan_reason: summary.planned_by_now_micros.is_none().then_some("no_plan"),
            pace: summary.pace.clone(),
            binding: summary.binding.clone(),
            bid_micros,
            bid_reason: bid_micros.is_none().then_some("no_bid_stated_or_told"),
            bid_confirmed_micros: summary.bid_confirmed_micros,
            bid_confirmed_reason: summary.bid_confirmed_micros.is_none().then_some("no_platform_has_told_it"),
            pause_holders: summary.holders.clone(),
            halted: summary.halted,
            why_nothing: whys.iter().map(|why| format!("{}: {}", why.lever, why.reason)).collect(),
            rules: summary.rules.iter().map(RuleView::from).collect(),
            impressions_day: day.map_or(0, |row| row.impressions),
            clicks_day: day.map_or(0, |row| row.clicks),
            conversions_day: day.map_or(0, |row| row.conversions),
            value_day_micros: day.map_or(0, |row| row.value_micros),
            forecast_day: forecast.ok(),
            forecast_day_reason: forecast.err(),
            goal_reason: goal.is_none().then_some("no_goal"),
            goal,
            spec_waits_version: summary.jumped_version,
        }
    }
}

/// E + (B - E) S_w / R: the rest of the budget, stretched as the last window's spend was over what it needed.
fn forecast_of_day(summary: &CampaignSummary) -> Result<Forecast, &'static str> {
    let spent = summary.spend_day_micros;
    if summary.halted || summary.pace == "paused" || summary.pace == "exhausted" {
        return Ok(Forecast { low_micros: spent, mid_micros: spent, high_micros: spent });
    }
    let budget = summary.planned_day_micros.ok_or("no_plan")?;
    let need = summary.window_need_micros.filter(|need| *need > 0).ok_or("nothing_left_to_spend")?;
    let window_spend = summary.window_spend_micros.ok_or("no_window")?;
    let to_come = budget.saturating_sub(spent).max(0) as f64 * window_spend as f64 / need as f64;
    let day = summary.day.as_ref().filter(|day| day.billable > 0).ok_or("no_events_today")?;
    let cost = day.spend_micros as f64 / day.billable as f64;
    let events = if cost > 0.0 { window_spend as f64 / cost } else { 0.0 };
    let spread = DEVIATIONS / events.max(EVENTS_MIN).sqrt();
    let end = |factor: f64| spent.saturating_add((to_come * factor.max(0.0)) as i64);
    Ok(Forecast { low_micros: end(1.0 - spread), mid_micros: end(1.0), high_micros: end(1.0 + spread) })
}

fn goal(summary: &CampaignSummary) -> Option<Goal> {
    if let Some(now) = &summary.goal {
        return Some(followed(now));
    }
    let spec = &summary.spec;
    let (metric, target, direction, deadline) = match &spec.goal {
        Some(goal) => {
            let target = goal.target_micros.or(goal.target_ppm);
            (goal.metric.clone(), target, Some(goal.direction.as_str()), goal.deadline)
        }
        None => match (spec.target_cpa_micros, spec.target_roas_ppm) {
            (Some(target), _) => ("cpa".to_owned(), Some(target), None, None),
            (None, Some(target)) => ("roas".to_owned(), Some(target), None, None),
            (None, None) => return None,
        },
    };
    let (unit, is_cost) = unit_of(&metric);
    let direction = match direction {
        Some("at_most") => "at_most",
        Some("at_least") => "at_least",
        _ if is_cost => "at_most",
        _ => "at_least",
    };
    let actual = summary.day.as_ref().and_then(|day| actual(&metric, day));
    let on_track = actual.zip(target).map(
        |(actual, target)| {
            if direction == "at_most" { actual <= target } else { actual >= target }
        },
    );
    // A sum of the day is not measured against what it is to reach by a later deadline.
    let on_track = on_track.filter(|_| unit != "count" && metric != "value" && metric != "spend");
    let actual_reason = actual.is_none().then_some("nothing_to_divide_by_today");
    let standing = "not_followed";
    // The specification counts in millionths.
    let target = if unit == "count" { target.map(|target| target.div_euclid(1_000_000)) } else { target };
    let window = "day";
    Some(Goal {
        metric,
        unit,
        target,
        actual,
        actual_reason,
        direction,
        on_track,
        window,
        deadline,
        standing,
        ..Goal::default()
    })
}

/// Unit of a metric, and whether less is better.
fn unit_of(metric: &str) -> (&'static str, bool) {
    match metric {
        "cpa" | "cpc" | "cpm" => ("micros", true),
        "spend" | "value" => ("micros", false),
        "impressions" | "clicks" | "conversions" => ("count", false),
        _ => ("ppm", false),
    }
}

fn actual(metric: &str, day: &KpiRow) -> Option<i64> {
    match metric {
        "cpa" => day.cpa_micros,
        "cpc" => day.cpc_micros,
        "cpm" => day.cpm_micros,
        "roas" => day.roas_ppm,
        "roi" => day.roi_ppm,
        "ctr" => day.ctr_ppm,
        "cvr" => day.cvr_ppm,
        "spend" => Some(day.spend_micros),
        "value" => Some(day.value_micros),
        "impressions" => Some(day.impressions),
        "clicks" => Some(day.clicks),
        "conversions" => Some(day.conversions),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(need: i64, spend: i64) -> CampaignSummary {
        CampaignSummary {
            account_id: "a".into(),
            campaign_id: "c".into(),
            spec: CampaignSpec { target_cpa_micros: Some(5_000_000), ..CampaignSpec::default() },
            spend_day_micros: 40_000_000,
            spend_month_micros: 0,
            spend_flight_micros: 0,
            daily_budget_micros: None,
            watermark: None,
            hour: None,
            day: Some(KpiRow {
                spend_micros: 40_000_000,
                billable: 40,
                cpa_micros: Some(6_000_000),
                ..KpiRow::default()
            }),
            planned_day_micros: Some(100_000_000),
            planned_by_now_micros: Some(50_000_000),
            pace: "behind".into(),
            binding: "none".into(),
            bid_wanted_micros: None,
            bid_confirmed_micros: None,
            window_need_micros: Some(need),
            window_spend_micros: Some(spend),
            holders: Vec::new(),
            holds: Vec::new(),
            undos: Vec::new(),
            halted: false,
            jumped_version: None,
            laws: Default::default(),
            goal: None,
            rules: Vec::new(),
        }
    }

    #[test]
    fn half_the_needed_pace_spends_half_of_the_rest_and_few_events_leave_a_wide_interval() {
        let forecast = CampaignView::of(&summary(20_000_000, 10_000_000), &[]).forecast_day.unwrap();
        assert_eq!(forecast.mid_micros, 70_000_000);
        assert!(forecast.low_micros < 53_000_000 && forecast.high_micros > 87_000_000, "{forecast:?}");
        let halted = CampaignSummary { halted: true, ..summary(20_000_000, 10_000_000) };
        assert_eq!(CampaignView::of(&halted, &[]).forecast_day.unwrap().high_micros, 40_000_000);
    }

    #[test]
    fn what_cannot_be_forecast_says_why() {
        let view = CampaignView::of(&CampaignSummary { planned_day_micros: None, ..summary(1, 1) }, &[]);
        assert_eq!((view.forecast_day, view.forecast_day_reason), (None, Some("no_plan")));
    }

    #[test]
    fn a_cost_above_its_target_is_not_on_track() {
        let goal = CampaignView::of(&summary(1, 1), &[]).goal.unwrap();
        assert_eq!((goal.metric.as_str(), goal.direction, goal.on_track), ("cpa", "at_most", Some(false)));
    }
}
