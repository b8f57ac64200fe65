//! One trial of the whole service in a simulated market, and its score.
//!
//! Money and value are judged on the market's expected figures where luck would decide otherwise, and on the realised
//! ones where a person would look at the bill. The optimum is [`market::Hindsight`].

use crate::closed_loop::{ClosedLoop, Delays, Watch};
use controller::Outputs;
use market::{Hindsight, Outcome, Totals, Trial};
use model::WHOLE_PPM;
use model::fact::{Fact, PolicyVersion};
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::pressure::Method;
use serde::Serialize;
use std::collections::BTreeMap;

/// What one run of a trial came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Score {
    /// The trial.
    pub trial: String,
    /// The market's seed.
    pub seed: u64,
    /// By campaign-local day.
    pub days: Vec<DayScore>,
    /// Expected clicks (conversions, under a target) over those of the best in hindsight.
    pub value_ratio: f64,
    /// The target, where there is one.
    pub target_cpa_micros: Option<i64>,
    /// Expected CPA over the target, where there is one.
    pub cpa_over_target: Option<f64>,
    /// Value ratio x min(1, (target / CPA)^2), where there is a target.
    pub score: Option<f64>,
    /// Openings by kind.
    pub alerts: BTreeMap<String, u64>,
    /// The same one by one, in order.
    pub openings: Vec<Opening>,
    /// Bids as they were commanded, with the time since the market's first instant.
    #[serde(skip)]
    pub bids: Vec<(Millis, i64)>,
    /// When pauses were commanded, since the market's first instant.
    #[serde(skip)]
    pub pauses: Vec<Millis>,
    /// Expected spend beside what the rest of the day's budget needed, ten minutes by ten minutes.
    #[serde(skip)]
    pub paces: Vec<Pace>,
    /// Commands whose printed worst case was laid beside what was spent after them.
    pub bounds_checked: u64,
    /// Of these, those after which more was spent than printed.
    pub bounds_broken: u64,
}

/// A tenth of an hour or so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Its beginning, since the market's first instant.
    pub after_ms: Millis,
    /// Expected spend over the spend that would use up the rest of the budget by the supply's shape.
    pub over_need: f64,
}

/// One alert that opened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Opening {
    /// Its kind.
    pub kind: String,
    /// Since the market's first instant.
    pub after_ms: Millis,
    /// What it says.
    pub text: String,
}

/// One day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DayScore {
    /// Budget in force at its end.
    pub budget_micros: i64,
    /// What was billed.
    pub spend_micros: i64,
    /// What was billed before the middle of the day.
    pub spend_first_half_micros: i64,
    /// The part of the supply's shape that lies there.
    pub first_half_share: f64,
    /// Bid commands issued.
    pub bid_commands: u64,
    /// All commands issued.
    pub commands: u64,
    /// Expected clicks.
    pub clicks: f64,
    /// Expected conversions of those clicks.
    pub conversions: f64,
    /// Last bid commanded, 0 before the first.
    pub bid_micros: i64,
    /// Those of the best in hindsight.
    pub best_clicks: f64,
    /// Spend that was to be expected.
    pub expected_spend_micros: f64,
    /// Conversions that this spend could have bought with one bid, where the trial's hours differ.
    pub flat_conversions: f64,
    /// The same with the best fixed factors by hour.
    pub table_conversions: f64,
    /// The same with the factors in force at the day's end.
    pub own_table_conversions: f64,
    /// Tables of factors commanded.
    pub tables: u64,
    /// Hours whose factor is not 1 at the day's end.
    pub hours_off: u64,
    /// Factors of single values commanded.
    pub modifiers: u64,
    /// Factors of a weather commanded, and taken back.
    pub weather: u64,
    /// The factor that was last commanded under a weather.
    pub under_weather: f64,
    /// Values of dimensions whose factor is not 1 at the day's end.
    pub values_off: u64,
    /// Sum of the absolute changes of the logarithm of the bid.
    pub bid_travel: f64,
    /// Root mean square of an hour's spend less its part of the budget by the supply's shape, in mean hours' budgets.
    pub plan_error: f64,
}

impl DayScore {
    /// Share of the budget that was spent too much, 0 where none was.
    pub fn overspend(&self) -> f64 {
        (self.share() - 1.0).max(0.0)
    }

    /// Nine tenths of the budget were gone in the first half of the day.
    pub fn is_depleted_early(&self) -> bool {
        self.spend_first_half_micros as f64 > EARLY_SHARE * self.budget_micros as f64
    }

    /// Conversions beyond those of one bid at this spend, over what the best factors by hour would have brought beyond.
    pub fn share_of_hour_gain(&self) -> f64 {
        (self.conversions - self.flat_conversions) / (self.table_conversions - self.flat_conversions).max(1e-9)
    }

    /// Spend over budget.
    pub fn share(&self) -> f64 {
        self.spend_micros as f64 / self.budget_micros.max(1) as f64
    }
}

/// As BAT counts it (Avito, WWW 2025).
const EARLY_SHARE: f64 = 0.9;

/// The policy under which a method plays a trial, `None` where that is the built-in one.
///
/// The default plays as it stands. The published methods play as they were published: their own cadence, no dead band, no
/// limits on steps, and so a guard that is wide open; the hard stop, the plan's shape, and the
/// target's loop with min-pacing are the same for all. Nor are raises held for want of events, nor fast spend answered
/// with a pause: methods that start a day low would never get off the ground, and the quick ones would wait for a person.
pub fn policy_of(trial: &Trial, method: Method) -> Option<PolicyVersion> {
    let period_ms = trial.feed_lag_ms();
    let lag = format!(
        "[stage1.idle_period]\nimpressions_ms = {period_ms}\nclicks_ms = {period_ms}\nconversions_ms = {period_ms}\n"
    );
    let body = match (method, period_ms > 0) {
        (Method::Linear, false) => return None,
        (Method::Linear, true) => lag,
        (other, late) => format!("{}{}", if late { &lag } else { "" }, WIDE_OPEN.replace("METHOD", other.as_str())),
    };
    Some(PolicyVersion { name: "default".into(), version: 1, body, ..PolicyVersion::default() })
}

/// Nothing stands between a published method and the buyer.
const WIDE_OPEN: &str = "
[defaults.clock]
pacing_interval_ms = 60000
[defaults.pressure]
method = 'METHOD'
wind_up_max = 20.0
due_events_min = 1e9
neighbour_window_min_ms = 864000000
first_day_events_min = 0
[defaults.anomaly.delivery]
silence_min_ms = 864000000
[defaults.anomaly.runaway]
plan_factor = 1e9
[defaults.anomaly.cost_spike]
hold_raises_ms = 0
[defaults.anomaly.click_rate]
hold_raises_ms = 0
[defaults.composition]
publish_step = 0.000001
[defaults.guard]
bid_step_up = 1e6
bid_step_down = 0.9999
bid_hour_up = 1e6
bid_hour_down = 0.9999
bid_day_up = 1e6
bid_day_down = 0.9999
breaker_clamped_share = 1.0
breaker_commands_per_campaign_hour = 1e6
worst_case_elasticity = 0.0
worst_case_traffic = 1.0
[[profile]]
name = 'bidder'
bid_cadence_ms = 1
";

/// Runs the market of one seed to its end under `policy`, the built-in one where there is none.
pub fn run(trial: &Trial, seed: u64, policy: Option<PolicyVersion>) -> Score {
    let market = trial.market(seed);
    let scenario = market.scenario;
    let (start_ms, end_ms) = (scenario.start_ms, scenario.end_ms);
    let spec = scenario.campaigns[0].spec.clone();
    let hindsight = Hindsight::of(&scenario, 0, seed);
    let delays = Delays { feed_ms: trial.feed_lag_ms(), dead: trial.dead_feeds() };
    let mut world = ClosedLoop::new(scenario, seed, policy.or_else(|| policy_of(trial, Method::Linear)), delays);
    let mut changes = market.changes.into_iter().peekable();
    let mut acts = trial.person_bids().into_iter().peekable();
    let budget_micros = spec.daily_budget_micros.unwrap_or_default();
    let mut seen = Seen { start_ms, budget_micros, under_weather: 1.0, ..Seen::default() };
    let (mut days, mut spent, mut clicks, mut conversions, mut expected_spend) = (Vec::new(), 0, 0, 0, 0);
    let starts = hindsight.as_ref().map(Hindsight::day_starts).unwrap_or_default();
    for (at, from_ms) in starts.iter().enumerate() {
        let to_ms = starts.get(at + 1).copied().unwrap_or(end_ms).min(end_ms);
        let mut until = |world: &mut ClosedLoop, to: Millis, seen: &mut Seen| {
            while let Some((when, changed)) = changes.next_if(|(when, _)| *when < to) {
                world.run(when, seen);
                seen.budget_micros = changed.daily_budget_micros.unwrap_or_default();
                world.tell("ads.campaigns", Fact::CampaignSpec(Box::new(changed)));
            }
            while let Some((when, times)) = acts.next_if(|(when, _)| *when < to) {
                world.run(when, seen);
                let bid = world.market().buyer().state(&spec.campaign_id).map_or(0, |state| state.bid_micros);
                world.market_mut().buyer_mut().person_sets_bid(&spec.campaign_id, (bid as f64 * times) as i64, when);
            }
            world.run(to, seen);
        };
        seen.day = DayScore::default();
        seen.begin_day();
        let (half_ms, mut half) = ((*from_ms).max(start_ms) + DAY_MS / 2, 0);
        let first_half = trial.shape_weight((*from_ms).max(start_ms), half_ms);
        let whole = trial.shape_weight((*from_ms).max(start_ms), to_ms);
        let mut hours = Vec::with_capacity(25);
        let mut at_ms = (*from_ms).max(start_ms);
        while at_ms < to_ms {
            let (hour_ms, before) = (at_ms, world.market().totals().spend_micros);
            let next_ms = (at_ms + HOUR_MS).min(to_ms);
            let mut rest = trial.shape_weight(at_ms, to_ms);
            while at_ms < next_ms {
                let step_ms = (at_ms + STEP_MS).min(next_ms);
                let Totals { spend_micros, expected, .. } = world.market().totals();
                until(&mut world, step_ms, &mut seen);
                let part = trial.shape_weight(at_ms, step_ms);
                let left = (seen.budget_micros - (spend_micros - spent)).max(0) as f64;
                let came = (world.market().totals().expected.spend_micros - expected.spend_micros) as f64;
                let over_need = came / (left * part / rest.max(1e-12)).max(1.0);
                seen.paces.push(Pace { after_ms: at_ms - start_ms, over_need });
                rest -= part;
                at_ms = step_ms;
            }
            let after = world.market().totals().spend_micros;
            hours.push((trial.shape_weight(hour_ms, next_ms), after - before));
            if next_ms <= half_ms {
                half = after - spent;
            }
        }
        let spend_micros = world.market().totals().spend_micros - spent;
        spent += spend_micros;
        let clicks_now = world.market().totals().expected.clicks;
        let day_clicks = (clicks_now - clicks) as f64;
        clicks = clicks_now;
        let conversions_now = world.market().totals().expected.conversions_micro;
        let day_conversions = (conversions_now - conversions) as f64 / 1e6;
        conversions = conversions_now;
        let spend_now = world.market().totals().expected.spend_micros;
        let day_spend = (spend_now - expected_spend) as f64;
        expected_spend = spend_now;
        let compared = hindsight.as_ref().filter(|_| trial.has_differences());
        let own = world.market().buyer().state(&spec.campaign_id).cloned().unwrap_or_default();
        let compared = compared
            .and_then(|h| h.at_spend(at, day_spend, spec.bid_max_micros, &own, seen.under_weather))
            .unwrap_or_default();
        days.push(DayScore {
            expected_spend_micros: day_spend,
            flat_conversions: compared[0].conversions,
            table_conversions: compared[1].conversions,
            own_table_conversions: compared[2].conversions,
            hours_off: own.hour_table.iter().filter(|ppm| **ppm != WHOLE_PPM).count() as u64,
            values_off: own.modifiers.values().filter(|ppm| **ppm != WHOLE_PPM).count() as u64
                + u64::from(seen.under_weather != 1.0),
            budget_micros: seen.budget_micros,
            spend_micros,
            spend_first_half_micros: half,
            first_half_share: first_half / whole.max(1e-12),
            clicks: day_clicks,
            conversions: day_conversions,
            under_weather: seen.under_weather,
            bid_micros: seen.bid_micros,
            plan_error: plan_error(&hours, seen.budget_micros),
            ..seen.day
        });
    }
    let budgets: Vec<i64> = days.iter().map(|day| day.budget_micros).collect();
    let best = hindsight.map(|h| h.best(&budgets, spec.bid_max_micros, spec.target_cpa_micros)).unwrap_or_default();
    for (day, best) in days.iter_mut().zip(&best) {
        day.best_clicks = best.clicks;
    }
    let best = Outcome::sum(&best);
    let expected = world.market().totals().expected;
    let got = Outcome {
        spend_micros: expected.spend_micros as f64,
        clicks: expected.clicks as f64,
        conversions: expected.conversions_micro as f64 / 1e6,
    };
    let value_ratio = match spec.target_cpa_micros {
        Some(_) => got.conversions / best.conversions.max(1e-9),
        None => got.clicks / best.clicks.max(1e-9),
    };
    let cpa_over_target =
        spec.target_cpa_micros.map(|target| got.spend_micros / got.conversions.max(1e-9) / target as f64);
    Score {
        trial: trial.name.clone(),
        seed,
        days,
        value_ratio,
        target_cpa_micros: spec.target_cpa_micros,
        cpa_over_target,
        score: cpa_over_target.map(|cpa| value_ratio * (1.0 / (cpa * cpa)).min(1.0)),
        alerts: seen.alerts,
        openings: seen.openings,
        bids: seen.bids,
        pauses: seen.pauses,
        paces: seen.paces,
        bounds_checked: seen.bounds.checked,
        bounds_broken: seen.bounds.broken,
    }
}

/// Steps in which spend is laid beside its need.
const STEP_MS: Millis = 10 * MINUTE_MS;

/// RMSE_T of a day, from each hour's weight and spend.
fn plan_error(hours: &[(f64, i64)], budget_micros: i64) -> f64 {
    let weight: f64 = hours.iter().map(|(weight, _)| weight).sum();
    let count = hours.len().max(1) as f64;
    let budget = budget_micros.max(1) as f64;
    let squares = hours.iter().map(|(part, spend)| {
        let off = part / weight.max(1e-12) - *spend as f64 / budget;
        off * off
    });
    libm::sqrt(squares.sum::<f64>() / count) * count
}

#[derive(Default)]
struct Seen {
    day: DayScore,
    bid_micros: i64,
    start_ms: Millis,
    alerts: BTreeMap<String, u64>,
    openings: Vec<Opening>,
    bids: Vec<(Millis, i64)>,
    /// The factor that was last commanded while there was a weather.
    under_weather: f64,
    pauses: Vec<Millis>,
    paces: Vec<Pace>,
    budget_micros: i64,
    spend_micros: i64,
    bounds: Bounds,
}

/// The last command's printed worst case, laid beside what is spent until the next one or the day's end.
#[derive(Default)]
struct Bounds {
    checked: u64,
    broken: u64,
    open: Option<Bound>,
}

struct Bound {
    spent_before_micros: i64,
    worst_micros: i64,
}

impl Bounds {
    fn billed(&mut self, spend_micros: i64) {
        let passed = |bound: &mut Bound| spend_micros - bound.spent_before_micros > bound.worst_micros;
        // Once is enough: what follows is the same excess.
        self.broken += u64::from(self.open.take_if(passed).is_some());
    }

    fn command(&mut self, bound: Bound) {
        self.checked += 1;
        self.open = Some(bound);
    }
}

impl Seen {
    /// Worst cases are of a day.
    fn begin_day(&mut self) {
        self.bounds.open = None;
    }
}

impl Watch for Seen {
    fn billed(&mut self, _now: Millis, spend_micros: i64) {
        self.spend_micros = spend_micros;
        self.bounds.billed(spend_micros);
    }

    fn outputs(&mut self, now: Millis, outputs: &Outputs) {
        for command in &outputs.adjustments {
            self.day.commands += 1;
            self.bounds.command(Bound {
                spent_before_micros: self.spend_micros,
                worst_micros: command.risk.worst_case_micros,
            });
            if command.kind == "pause" {
                self.pauses.push(now - self.start_ms);
            }
            self.day.tables += u64::from(command.kind == "set_modifier_table");
            let dimension = command.dimension.as_ref().map(|of| of.name.as_str());
            let of_weather = dimension == Some("weather");
            self.day.modifiers += u64::from(command.kind == "set_modifier" && !of_weather);
            self.day.weather += u64::from(of_weather);
            if let Some(ppm) = command.value_ppm.filter(|ppm| of_weather && *ppm != WHOLE_PPM) {
                self.under_weather = ppm as f64 / WHOLE_PPM as f64;
            }
            let Some(value) = command.value_micros.filter(|_| command.kind == "set_bid") else { continue };
            self.day.bid_commands += 1;
            if self.bid_micros > 0 && value > 0 {
                self.day.bid_travel += libm::log(value as f64 / self.bid_micros as f64).abs();
            }
            self.bid_micros = value;
            self.bids.push((now - self.start_ms, value));
        }
        for alert in outputs.alerts.iter().filter(|alert| alert.state == "opened") {
            *self.alerts.entry(alert.kind.clone()).or_default() += 1;
            let (kind, text) = (alert.kind.clone(), alert.text.clone());
            self.openings.push(Opening { kind, after_ms: now - self.start_ms, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_by_its_shape_has_no_plan_error_and_a_flat_one_on_a_curve_has() {
        assert_eq!(plan_error(&[(1.0, 25), (3.0, 75)], 100), 0.0);
        // Each hour a quarter of the budget off, in mean hours' budgets: a half.
        assert!((plan_error(&[(1.0, 50), (3.0, 50)], 100) - 0.5).abs() < 1e-12);
        assert_eq!(plan_error(&[], 0), 0.0);
    }

    #[test]
    fn the_policies_of_all_methods_pass_their_check() {
        for method in Method::ALL {
            let trial = Trial { feed_lag_minutes: 15.0, ..Trial::default() };
            let checked = policy::settings::check(&policy_of(&trial, method).unwrap().body).unwrap();
            assert_eq!(checked.defaults.pressure.method, method);
        }
        assert_eq!(policy_of(&Trial::default(), Method::Linear), None);
    }
}
