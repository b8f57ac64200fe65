//! Every number of the policy, with its default, and the policy file that changes it.
//!
//! What always holds: a [`Policy`] that exists is whole and checked; [`check`] tells all mistakes of a file at once. A
//! change of a default here is a new policy version. All numbers are magnitudes (a limit on cuts is 0.40, not -0.40),
//! finite and not negative. Overrides go from the general to the special: defaults, account, campaign of an account.

mod experiments;
mod file;
mod goals;
mod overlay;
mod rules;

pub use experiments::{Arm, Experiment, Metric};
pub use file::{Mistake, check};

use crate::goal::AccountGoal;
use crate::profile::Profile;
use crate::rule::{Law, Rule, WINDOWS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Milliseconds, as everywhere.
pub type Millis = model::time::Millis;

/// One version of the policy, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// What the aggregator needs; the same for all accounts.
    pub stage1: Stage1,
    /// Numbers of every campaign without an override.
    pub defaults: Settings,
    /// Overrides by account id.
    pub accounts: BTreeMap<String, AccountSettings>,
    /// Profiles that the file changes or adds, by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Experiments, in the order of the file.
    pub experiments: Vec<Experiment>,
    /// Users' rules, by name.
    pub rules: Vec<Rule>,
    /// The same as people read them, in the same order.
    pub laws: Arc<[Law]>,
    /// Windows that some rule reads.
    pub windows_read: [bool; WINDOWS.len()],
    /// Goals of accounts, by name.
    pub goals: Vec<AccountGoal>,
}

/// An account's numbers, already merged with the defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountSettings {
    /// Numbers of its campaigns without an override of their own.
    pub settings: Settings,
    /// Merged numbers by campaign id.
    pub campaigns: BTreeMap<String, Settings>,
}

impl Policy {
    /// The numbers of one campaign.
    pub fn for_campaign(&self, account_id: &str, campaign_id: &str) -> &Settings {
        match self.accounts.get(account_id) {
            Some(account) => account.campaigns.get(campaign_id).unwrap_or(&account.settings),
            None => &self.defaults,
        }
    }

    /// The numbers of an account as a whole.
    pub fn for_account(&self, account_id: &str) -> &Settings {
        self.accounts.get(account_id).map_or(&self.defaults, |account| &account.settings)
    }

    /// The profile of a campaign (section 13): its platform's, a bidder's without one; an unknown platform gets the most
    /// careful; spend that is known from reported statistics makes it at least as slow as `stats_only`.
    pub fn profile_for(&self, platform: Option<&str>, spend_source: &str) -> Profile {
        let by_name = |name: &str| self.profiles.get(name).cloned().or_else(|| Profile::built_in(name));
        let name = platform.filter(|name| !name.is_empty()).unwrap_or("bidder");
        let careful = || by_name("stats_only").unwrap_or_default();
        let profile = by_name(name).unwrap_or_else(careful);
        if spend_source == "stats" { profile.slowed_to(&careful()) } else { profile }
    }
}

/// Declares a struct of settings whose every field has a documented default.
macro_rules! settings {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }
    };
}

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

settings! {
    /// What stage 1 needs of the policy. Every aggregator adopts it at an epoch's end.
    Stage1 {
        /// How long an impression's id is remembered.
        dedupe_impressions_ms: Millis = 10 * MINUTE,
        /// How long a click's id is remembered.
        dedupe_clicks_ms: Millis = DAY,
        /// How long a conversion's id is remembered.
        dedupe_conversions_ms: Millis = 30 * DAY,
        /// How far back a conversion looks for clicks.
        lookback_clicks_ms: Millis = 30 * DAY,
        /// How far back a conversion looks for impressions.
        lookback_impressions_ms: Millis = DAY,
        /// Impressions of a user that are kept.
        impressions_per_user_max: i64 = 4,
        /// How late an event may be and still be before the watermark.
        allowed_delay_ms: Millis = 5 * SECOND,
        /// How long a conversion waits for touches before it is credited.
        conversion_wait_ms: Millis = 10 * SECOND,
        /// How far one of the three topics may run ahead of the slowest, in record time.
        sibling_skew_ms: Millis = 5 * SECOND,
        /// Silence after which a source that was read to its end counts as idle, on top of its period.
        idle_after_ms: Millis = 5 * SECOND,
        /// An event further ahead of the record's timestamp and the clock is a dead letter.
        future_max_ms: Millis = 5 * MINUTE,
        /// An event older than this is a dead letter.
        age_max_ms: Millis = 90 * DAY,
        /// How often each feed brings data, where it comes in batches.
        idle_period: IdlePeriod = IdlePeriod::default(),
    }
}

settings! {
    /// Declared period of each feed; 0 for a stream. A feed that comes in batches must declare it.
    IdlePeriod {
        /// Of the impressions.
        impressions_ms: Millis = 0,
        /// Of the clicks.
        clicks_ms: Millis = 0,
        /// Of the conversions.
        conversions_ms: Millis = 0,
    }
}

impl IdlePeriod {
    /// Of the slower of the two feeds that bring spend.
    pub fn touches_ms(&self) -> Millis {
        self.impressions_ms.max(self.clicks_ms)
    }
}

settings! {
    /// All numbers of stage 2 for one campaign, by the question that asks for them.
    Settings {
        /// Section 1.
        clock: Clock = Clock::default(),
        /// Section 2.
        gates: Gates = Gates::default(),
        /// Section 3.
        plan: Plan = Plan::default(),
        /// Section 4.
        pressure: Pressure = Pressure::default(),
        /// Section 5.
        target: Target = Target::default(),
        /// Section 6.
        composition: Composition = Composition::default(),
        /// Section 7.
        modifiers: Modifiers = Modifiers::default(),
        /// Sections 8 and 11.
        portfolio: Portfolio = Portfolio::default(),
        /// Section 9.
        anomaly: Anomaly = Anomaly::default(),
        /// Section 10.
        pause: Pause = Pause::default(),
        /// Section 12.
        guard: Guard = Guard::default(),
    }
}

settings! {
    /// Clock and cadence.
    Clock {
        /// Exposure, hard stop, runaway, staleness are looked at this often, besides at each record.
        watch_interval_ms: Millis = MINUTE,
        /// The bid that spends the budget is computed this often.
        pacing_interval_ms: Millis = 5 * MINUTE,
        /// The bid that meets the target is computed this often.
        target_interval_ms: Millis = HOUR,
        /// Users' rules and goals are asked this often.
        rules_interval_ms: Millis = 5 * MINUTE,
        /// A jump of the clock beyond this is an alert.
        jump_alert_ms: Millis = 10 * MINUTE,
        /// Increases are held this long after such a jump.
        jump_hold_ms: Millis = 15 * MINUTE,
    }
}

settings! {
    /// Eligibility and evidence.
    Gates {
        /// A value set by somebody else is left alone this long.
        override_hold_ms: Millis = DAY,
        /// A command without an answer blocks the next for this many times the usual time to its effect.
        ack_limit_applies: i64 = 3,
        /// Data older than this, and than `stale_periods`, is stale: only decreases and pauses.
        stale_min_ms: Millis = 3 * MINUTE,
        /// In declared periods of the feed.
        stale_periods: i64 = 3,
        /// Data older than this, and than `dead_periods`, stops every decision but the hard stop.
        dead_min_ms: Millis = 12 * MINUTE,
        /// In declared periods of the feed.
        dead_periods: i64 = 12,
    }
}

settings! {
    /// Budget of the day and its plan.
    Plan {
        /// The day of a month or flight gets at least this share of the flat average.
        day_share_min: f64 = 0.5,
        /// And at most this.
        day_share_max: f64 = 1.5,
        /// The last day may take this many averages.
        last_day_share_max: f64 = 2.0,
        /// A shape forgets half of what it saw in this time.
        shape_half_life_ms: Millis = 28 * DAY,
        /// Weeks of the mean that a shape starts from.
        shape_prior_weeks: f64 = 1.0,
        /// No open hour has less than this share of the mean.
        shape_floor: f64 = 0.25,
        /// Share of the built-in daily curve in a shape without history; the rest is flat.
        shape_curve_share: f64 = 0.5,
        /// The plan is through this long before the day or the flight ends.
        tail_ms: Millis = 15 * MINUTE,
        /// A campaign that starts in the middle of a day spends its daily budget in full on that day.
        full_budget_on_first_day: bool = false,
    }
}

settings! {
    /// Budget pressure.
    Pressure {
        /// The method: linear is the default; the others are published ones to compare with (`pressure/`).
        method: crate::pressure::Method = crate::pressure::Method::Linear,
        /// Spend that is not yet seen is estimated for at most this long.
        unseen_max_ms: Millis = 2 * HOUR,
        /// The spend rate is taken over at least this long.
        rate_window_min_ms: Millis = 15 * MINUTE,
        /// The rate is taken over this many times the data's age.
        rate_window_ages: i64 = 2,
        /// Up to this age the hard stop takes the faster of the 5- and 15-minute rates.
        fast_rate_age_max_ms: Millis = 5 * MINUTE,
        /// The short window, if it holds enough events.
        window_short_ms: Millis = 15 * MINUTE,
        /// Events that are enough.
        window_short_events_min: i64 = 30,
        /// The window otherwise.
        window_long_ms: Millis = HOUR,
        /// With reported statistics the window is at least this many periods.
        window_periods: i64 = 2,
        /// Events at the neighbours' mean cost that the own mean starts from.
        cost_prior_events: i64 = 5,
        /// The error is damped by this many events' cost.
        damping_events: f64 = 2.0,
        /// Least error.
        error_down_max: f64 = 2.0,
        /// Greatest error.
        error_up_max: f64 = 1.0,
        /// Greatest gain.
        gain_max: f64 = 0.5,
        /// Gain for each turn-around of the loop.
        gain_per_turn: f64 = 0.25,
        /// Standard errors of the window's count beyond which the gain grows in proportion to the error.
        gain_doubts: f64 = 1.5,
        /// It grows to at most this many times itself.
        gain_growth_max: f64 = 4.0,
        /// Assumed d ln(spend) / d ln(bid); it is not learned.
        elasticity: f64 = 2.0,
        /// Greatest fall of the log-bid at one evaluation.
        step_down_max: f64 = 0.20,
        /// Greatest rise of the log-bid at one evaluation.
        step_up_max: f64 = 0.10,
        /// The controller's bid stays within this of the bid in force.
        wind_up_max: f64 = 0.20,
        /// No raise while this many events were due in the last quarter of an hour and none came.
        due_events_min: f64 = 3.0,
        /// No raise without an event of the account and channel inside this, and inside `neighbour_gaps`.
        neighbour_window_min_ms: Millis = 15 * MINUTE,
        /// In usual gaps between such events.
        neighbour_gaps: i64 = 8,
        /// On the first day no raise before this many events.
        first_day_events_min: i64 = 5,
        /// Unless this much open time has passed without them.
        first_day_patience_ms: Millis = HOUR,
        /// A budget of fewer events than this is not paced by bid.
        tiny_budget_events: i64 = 20,
    }
}

settings! {
    /// The bid that meets a target.
    Target {
        /// The window goes back until this many conversions were due,
        conversions_min: f64 = 50.0,
        /// and at least this long: shorter ones chase the hour of the day,
        window_min_ms: Millis = 72 * HOUR,
        /// but no further than this.
        window_max_ms: Millis = 28 * DAY,
        /// Hours and days of which less than this share of the conversions can have been seen are left out.
        seen_share_min: f64 = 0.05,
        /// Conversions that pull towards "the present bid is right".
        prior_conversions: f64 = 10.0,
        /// While little is known the bid is this many standard errors above what is known: a bid that is too low hides that
        /// it is. It fades until enough conversions were due.
        optimism: f64 = 0.4,
        /// The target's value counts as at most this many times less evidence where single values differ.
        dispersion_max: f64 = 4.0,
        /// Assumed d ln(cost of a conversion) / d ln(bid).
        elasticity: f64 = 1.0,
        /// Greatest fall of the log-bid at one evaluation.
        step_down_max: f64 = 0.10,
        /// Greatest rise of the log-bid at one evaluation.
        step_up_max: f64 = 0.05,
        /// With a budget the target's bid is at most this far above the budget's and the one in force.
        above_budget_max: f64 = 0.5,
        /// The most that is bid, in worths of a click at the target.
        click_worths_max: f64 = 5.0,
        /// The built-in delays count as this many conversions in each step of the delay curve.
        development_prior: f64 = 20.0,
        /// Half of the conversions come sooner, by the built-in delays: the middle of what accounts show.
        delay_median_ms: Millis = 12 * HOUR,
        /// Standard deviation of their logarithm.
        delay_sigma: f64 = 1.5,
    }
}

settings! {
    /// Composition of the bids.
    Composition {
        /// A bid is published when its log has moved by this.
        publish_step: f64 = 0.06,
    }
}

settings! {
    /// Modifiers: factors on the bid by hour and other dimensions.
    Modifiers {
        /// Local hour of the daily evaluation, when little is bought.
        local_hour: i64 = 4,
        /// Least worth of a click over the mean that is believed, before it is set against what is usual.
        least: f64 = 0.5,
        /// Greatest factor of one dimension.
        most: f64 = 2.0,
        /// Least product over dimensions.
        product_least: f64 = 0.3,
        /// Greatest product over dimensions.
        product_most: f64 = 3.0,
        /// Share of false ones among the cells that get a factor.
        false_discovery_rate: f64 = 0.1,
        /// Share of campaigns without any difference that may ever get a factor, of all dimensions together, however often
        /// one looks.
        any_false_share: f64 = 0.05,
        /// Standard deviation of the logarithm of the differences that are looked for.
        log_ratio_sd: f64 = 0.4,
        /// A day's evidence multiplies what the days before have shown by at most this: no single day proves anything.
        day_evidence_most: f64 = 20.0,
        /// A table is published when the log of some factor has moved by this.
        publish_step: f64 = 0.10,
        /// Rates forget half of what they saw in this time.
        half_life_ms: Millis = 28 * DAY,
    }
}

settings! {
    /// Budgets within pools, and small shifts that tell what money brings. Those of the account count.
    Portfolio {
        /// A campaign keeps its budget until its first event is so old.
        age_min_ms: Millis = 14 * DAY,
        /// And until it has brought so many conversions within the days that are looked at.
        conversions_min: i64 = 30,
        /// Days that are looked at.
        days: i64 = 28,
        /// Days whose bids are looked at.
        bid_days: i64 = 7,
        /// Only campaigns that their budget has bound for this share of yesterday's open minutes get more.
        bound_share_min: f64 = 0.20,
        /// Nothing moves while the logarithms of the returns lie closer together.
        hold_ln_return: f64 = 0.15,
        /// Greatest move of a campaign in a day, as a share of its budget.
        move_share_max: f64 = 0.20,
        /// Greatest sum of the increases of a day, as a share of the pool.
        pool_share_max: f64 = 0.10,
        /// No budget falls below this share of the campaign's mean spend of the days that are looked at.
        floor_share: f64 = 0.50,
        /// Nor below this share of an equal part of the pool.
        trial_share: f64 = 0.05,
        /// Decreases are sent this long before local midnight.
        lower_before_ms: Millis = 10 * MINUTE,
        /// Increases are sent this long after it.
        raise_after_ms: Millis = 2 * MINUTE,
        /// Increases that could not be sent this long after midnight are dropped.
        drop_after_ms: Millis = HOUR,
        /// Standard deviation of the logarithm of a curve's bend, before anything was seen.
        curve_prior_sd: f64 = 1.0,
        /// Days differ at least by this times the variance of chance.
        curve_dispersion: f64 = 2.0,
        /// A gain below this share of the pool's value is not proposed.
        gain_min: f64 = 0.02,
        /// Exploring shifts, as a share of a campaign's budget; 0: none.
        explore_share: f64 = 0.10,
        /// Their sum, as a share of the pool.
        explore_pool_share: f64 = 0.02,
        /// No exploring shift in this last share of a flight.
        explore_not_last: f64 = 0.10,
        /// None of a campaign either that has less than this chance to prove a gain within the days that are looked at.
        explore_chance_min: f64 = 0.20,
        /// Money is idle that a campaign under a platform's bids left unspent on each of these days.
        idle_days: i64 = 14,
        /// It keeps its highest spend of these days and this share of it.
        idle_headroom: f64 = 0.25,
    }
}

settings! {
    /// Anomalies, one table a row.
    Anomaly {
        /// The budget will be gone early.
        early_stop: EarlyStop = EarlyStop::default(),
        /// The ceiling of the day is reached.
        hard_stop: HardStop = HardStop::default(),
        /// Spend far above plan within minutes.
        runaway: Runaway = Runaway::default(),
        /// The budget will not be spent.
        underspend: Underspend = Underspend::default(),
        /// Nothing is delivered any more.
        delivery: Delivery = Delivery::default(),
        /// Clicks flow and conversions do not.
        tracking: Tracking = Tracking::default(),
        /// Events cost far more than usual.
        cost_spike: CostSpike = CostSpike::default(),
        /// Conversions that the clicks do not explain.
        surplus: Surplus = Surplus::default(),
        /// A conversion costs far more than usual.
        cpa_break: CpaBreak = CpaBreak::default(),
        /// Far more clicks of the impressions than usual.
        click_rate: ClickRate = ClickRate::default(),
        /// Which alarms are told, and which are one incident.
        incidents: Incidents = Incidents::default(),
        /// A placement brings far more invalid events than usual.
        invalid_traffic: InvalidTraffic = InvalidTraffic::default(),
        /// A specification changed by a factor that looks like a slip.
        spec_jump: SpecJump = SpecJump::default(),
        /// Feeds, acknowledgements, found values.
        feedback: Feedback = Feedback::default(),
    }
}

settings! {
    /// early_stop.
    EarlyStop {
        /// A hard stop before this share of the plan is early.
        plan_share_max: f64 = 0.9,
        /// Budgets of fewer events end early by chance.
        budget_events_min: i64 = 200,
        /// Or: too much is spent at the lowest bid for this long.
        floor_bid_ms: Millis = 15 * MINUTE,
    }
}

settings! {
    /// hard_stop.
    HardStop {
        /// Reserve on top of the time that a pause takes to act.
        reserve_ms: Millis = MINUTE,
        /// A stop is over before the day's end only when the exposure is below this share of the ceiling: a larger
        /// budget, clawed-back money, or an estimate of the unseen that proved too high.
        release_share: f64 = 0.95,
    }
}

settings! {
    /// runaway.
    Runaway {
        /// Spend of this long is looked at.
        window_ms: Millis = 5 * MINUTE,
        /// Times the plan.
        plan_factor: f64 = 10.0,
        /// Share of the budget of the day.
        budget_share: f64 = 0.05,
        /// Events' cost.
        events: f64 = 20.0,
        /// Looks in a row.
        ticks: i64 = 2,
        /// Length of the pause.
        pause_ms: Millis = 15 * MINUTE,
        /// The bid after it, as a share of the bid before.
        resume_bid_share: f64 = 0.5,
    }
}

settings! {
    /// underspend_risk.
    Underspend {
        /// Forecasts below this share of the budget.
        forecast_share_max: f64 = 0.85,
        /// Standard deviations that need and spend are apart.
        deviations_min: f64 = 4.0,
        /// Length of the long window.
        window_ms: Millis = 240 * MINUTE,
        /// Not before this share of the plan.
        plan_share_min: f64 = 0.25,
        /// All of it for this long.
        hold_ms: Millis = HOUR,
    }
}

settings! {
    /// delivery_stopped.
    Delivery {
        /// Silence of this length.
        silence_min_ms: Millis = 20 * MINUTE,
        /// In which this many events were due (exp(-18.4) is one in a hundred million).
        due_events_min: f64 = 18.4,
        /// After recovery bids rise slowly for this long.
        recovery_ms: Millis = 30 * MINUTE,
        /// By at most this at one evaluation.
        recovery_step_max: f64 = 0.05,
    }
}

settings! {
    /// tracking_break.
    Tracking {
        /// Greatest probability of so few arrivals.
        chance_max: f64 = 1e-4,
        /// And so few as a share of what was expected: without it a halved conversion rate reads as a break.
        share_max: f64 = 0.2,
        /// Clicks below this share of their own expectation are no break of the tracking: delivery itself is ill.
        clicks_share_min: f64 = 0.5,
        /// Before so many conversions have arrived, nothing is expected.
        conversions_min: f64 = 10.0,
        /// Half of what is known of the campaign's rate is forgotten in this time.
        rate_half_life_ms: Millis = 14 * DAY,
    }
}

settings! {
    /// conversions_without_clicks.
    Surplus {
        /// Greatest probability of so many arrivals.
        chance_max: f64 = 1e-6,
        /// And so many times what was expected: the counterpart of a tracking break's fifth.
        factor: f64 = 5.0,
    }
}

settings! {
    /// cpa_break.
    CpaBreak {
        /// Greatest probability of so few arrivals in a day.
        chance_max: f64 = 1e-6,
        /// And a conversion costs at least so many times what it did.
        factor: f64 = 1.5,
        /// Not before so many hours have taught the rate: a young campaign's delays are guessed.
        hours_min: f64 = 120.0,
    }
}

settings! {
    /// click_rate_spike.
    ClickRate {
        /// Times the campaign's own usual share of clicks among impressions.
        factor: f64 = 3.0,
        /// Greatest probability of so many clicks.
        chance_max: f64 = 1e-4,
        /// Clicks before a share is usual.
        clicks_min: f64 = 30.0,
        /// Half of what is usual is forgotten in this time.
        half_life_ms: Millis = 7 * DAY,
        /// Raises are held this long after it began.
        hold_raises_ms: Millis = HOUR,
        /// What lasts this long is usual.
        adopt_ms: Millis = 2 * DAY,
    }
}

settings! {
    /// Which statistical alarms of an account are told.
    Incidents {
        /// Share of false ones among those that are told.
        false_discovery_rate: f64 = 0.1,
        /// Alarms of one kind within this time have one cause, where there are so many of them:
        together_ms: Millis = 2 * HOUR,
        /// at least this many campaigns,
        members_min: i64 = 2,
        /// and at least this share of the account's active campaigns.
        members_share: f64 = 0.1,
    }
}

settings! {
    /// cost_spike.
    CostSpike {
        /// Raises are held this long after it began.
        hold_raises_ms: Millis = HOUR,
        /// The price detector.
        detector: crate::detect::Settings = crate::detect::Settings::default(),
    }
}

settings! {
    /// invalid_traffic.
    InvalidTraffic {
        /// Times the placement's own usual share of invalid events.
        share_factor: f64 = 3.0,
        /// Share of false ones among the placements that are told.
        false_discovery_rate: f64 = 0.1,
        /// Events at the account's share that a placement's own usual share starts from.
        prior_events: f64 = 1_000.0,
        /// The modifier that is proposed.
        modifier: f64 = 0.5,
    }
}

settings! {
    /// spec_jump.
    SpecJump {
        /// A budget, highest bid or target that changes by more than this factor waits for a person.
        factor: f64 = 5.0,
    }
}

settings! {
    /// data_gap, ack_missing, value_mismatch.
    Feedback {
        /// Answers missing in a row before it is an alert.
        acks_missing_min: i64 = 3,
        /// While answers are missing, a raise is tried this often: if all that was sent is lost, nothing else would ever be
        /// answered.
        ack_retry_ms: Millis = HOUR,
        /// A value found is ours if it is within this share of it (platforms round).
        mismatch_tolerance_ppm: i64 = 1_000,
    }
}

settings! {
    /// Pause and resume.
    Pause {
        /// A pause lasts at least this long.
        dwell_ms: Millis = 15 * MINUTE,
        /// No resume this close to the end of the flight.
        flight_end_ms: Millis = 30 * MINUTE,
        /// Resumes after a runaway before a person has to look; a day without one forgives them.
        runaway_resumes_max: i64 = 1,
        /// Money that brings too little.
        underperformer: Underperformer = Underperformer::default(),
    }
}

settings! {
    /// underperformer.
    Underperformer {
        /// Conversions below this share of the target's rate are not worth the money.
        rate_share: f64 = 0.5,
        /// Evidence (e-value) that they are.
        evidence_min: f64 = 20.0,
        /// Not before the matured spend is worth so many target costs.
        targets_spent_min: f64 = 3.0,
        /// The bid has been cut by this share of the specification's, or to its lowest,
        cut_share: f64 = 0.5,
        /// for this long.
        cut_ms: Millis = 72 * HOUR,
        /// One campaign in so many is not paused but runs on as a control; 0 for none.
        control_one_in: i64 = 20,
        /// With this share of its budget.
        control_budget_share: f64 = 0.05,
        /// Pauses without asking a person, where the campaign's mode is auto.
        automatic: bool = false,
    }
}

settings! {
    /// The guard.
    Guard {
        /// A bid's greatest rise at one command.
        bid_step_up: f64 = 0.20,
        /// Its greatest fall.
        bid_step_down: f64 = 0.40,
        /// Its greatest rise within an hour.
        bid_hour_up: f64 = 0.25,
        /// Its greatest fall within an hour.
        bid_hour_down: f64 = 0.60,
        /// Its greatest rise against the value at the day's start.
        bid_day_up: f64 = 0.50,
        /// Its greatest fall.
        bid_day_down: f64 = 0.80,
        /// A budget's greatest rise at one command.
        budget_step_up: f64 = 0.20,
        /// Its greatest fall.
        budget_step_down: f64 = 0.30,
        /// Its greatest rise against the value at the day's start.
        budget_day_up: f64 = 0.30,
        /// Its greatest fall.
        budget_day_down: f64 = 0.50,
        /// Sum of an account's increases within an hour, as a share of its daily budgets.
        account_increase_share: f64 = 0.10,
        /// More than this share of clamped proposals trips the breaker.
        breaker_clamped_share: f64 = 0.20,
        /// Not before this many proposals.
        breaker_proposals_min: i64 = 20,
        /// More than this many commands for each campaign and hour trips the breaker.
        breaker_commands_per_campaign_hour: f64 = 3.0,
        /// A budget move above this share needs a person.
        approval_budget_share: f64 = 0.20,
        /// And one above this many whole units of currency (euros, not cents).
        approval_budget_units: i64 = 200,
        /// A target's greatest step.
        target_step: f64 = 0.15,
        /// A modifier's greatest rise at one command; there is one a day.
        modifier_step_up: f64 = 0.50,
        /// Its greatest fall.
        modifier_step_down: f64 = 0.40,
        /// Rate assumed to rise with this power of a raised bid in the worst case.
        worst_case_elasticity: f64 = 4.0,
        /// Traffic may grow by this while nobody looks, in the worst case.
        worst_case_traffic: f64 = 2.0,
        /// Chance that counts of events alone may pass the worst case.
        worst_case_chance: f64 = 0.000001,
        /// A cut or pause may be applied this long after it was issued.
        cut_expires_ms: Millis = DAY,
        /// A proposal waits this long for a person.
        decide_within_ms: Millis = 4 * HOUR,
    }
}
