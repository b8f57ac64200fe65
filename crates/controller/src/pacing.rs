//! What the loops of one campaign remember: the bid that the budget asks for, and the troubles that stand.
//!
//! What always holds: it is belief, moved at fixed instants by what is seen and by the ledger, never by what is about to
//! be decided; so it is the same whether a decision is made here or read from the log.

use crate::at_bid::spend_at_bid;
use crate::calendar::minute_index;
use crate::campaign::Live;
use crate::channel::Channel;
use crate::hours::Hours;
use crate::ledger::{CampaignLedger, ack_limit_ms};
use crate::measures::*;
use crate::picture::{Picture, Window};
use crate::target::{Development, TargetLoop, Told, goal};
use crate::underperformer::Watched;
use model::fact::CampaignSpec;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::anomaly::*;
use policy::arithmetic::{LogBid, log_bid};
use policy::composition::{Binding, Composed, Composition, MinPacing, Parts, bid_ceiling_micros};
use policy::gates::{Freshness, Gate, Permission};
use policy::hold::Hold;
use policy::pressure::{self, Block, Input, Memory, Step, Supply, raise_block, window_start_ms, without_wind_up};
use policy::settings::Settings;
use policy::target;
use serde::{Deserialize, Serialize};

/// The memory of one campaign's loops.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pacing {
    /// u_B.
    pub log_bid: Option<LogBid>,
    /// What a method other than the default remembers.
    pub memory: Memory,
    /// When it was evaluated last.
    pub evaluated_at: Option<Millis>,
    /// The loop of the campaign's target, where it has one.
    pub target: Option<TargetLoop>,
    /// What binds the bid.
    pub binding: Binding,
    /// R and S_w of the last evaluation.
    pub need: Option<(i64, i64)>,
    /// Start of a day and the budget planned for it.
    pub planned: Option<(Millis, i64)>,
    /// E stands so far from the plan: the word of the KPI rows.
    pub pace: Pace,
    /// Event time of the first event ever.
    pub first_event: Option<Millis>,
    /// Troubles.
    pub hard_stop: HardStop,
    /// Far too much within minutes.
    pub runaway: RunawayDetector,
    /// Nothing is delivered any more.
    pub delivery: DeliveryStopped,
    /// When silence was last wanted: paused or closed.
    silent_until: Option<Millis>,
    /// Nobody answers.
    pub ack_missing: AckMissing,
    /// Factors on the bid by hour that are in force, by the ledger; empty for none.
    pub hour_factors: Vec<i64>,
    /// Factors that were last in force under each weather, by the ledger; empty for none.
    pub weather_factors: Vec<(Box<str>, i64)>,
    /// What costs money is not reported any more.
    feed: FeedSilent,
    /// Rows that are judged by closed hours, from the first hour with events.
    pub hours: Option<Box<Hours>>,
    /// Start of a day, its budget, and whether it buys too few events to be paced.
    pub tiny: Option<(Millis, i64, bool)>,
    /// Whether the money brings too little, for campaigns with a target cost.
    pub underperformer: Option<Watched>,
    early_stop: EarlyStop,
    underspend: UnderspendRisk,
    data_gap: DataGap,
}

/// How spend stands to the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Pace {
    #[default]
    Unknown,
    Ahead,
    OnPlan,
    Behind,
    Paused,
    Exhausted,
}

/// What surrounds a look at a campaign.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The campaign's ledger.
    pub ledger: &'a CampaignLedger,
    /// Signs of life of account and channel.
    pub channel: Option<&'a Channel>,
    /// What the account knows of conversions.
    pub development: Option<&'a Development>,
    /// The instant of the target has come.
    pub target_due: bool,
    /// Numbers of the policy.
    pub settings: &'a Settings,
    /// How old the data are.
    pub freshness: Freshness,
    /// Campaigns that spend from the same budget.
    pub siblings: &'a [&'a Live],
    /// Journal positions do not join.
    pub integrity_gap: bool,
    /// Increases are held: a gap, a jump of the clock, missing answers.
    pub increases_held: bool,
}

/// One evaluation of the bid.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The step of the budget's loop, or why there is none.
    pub step: Result<Step, Hold>,
    /// The composed bid, or why there is none.
    pub composed: Result<Composed, Hold>,
    /// The window that was read.
    pub window: Window,
    /// Why the bid may not rise now, whatever the loop stands at.
    pub block: Option<Block>,
}

/// Spend within a twentieth of the budget around the plan is on plan.
const ON_PLAN_SHARE: f64 = 0.05;

impl Pacing {
    /// Looks at exposure, runaway, feeds and answers: at each record that touches the campaign and once a minute.
    pub fn watch(&mut self, live: &Live, picture: &Picture, around: &Around<'_>) -> Vec<Change> {
        let (settings, now) = (&around.settings.anomaly, picture.now);
        let budget = picture.budget.unwrap_or(0);
        let cost = picture.cost.unwrap_or(0);
        // Nearly every look finds nothing new: no room is taken for that.
        let mut changes = Vec::new();
        let mut note = |change: Change| changes.extend(Some(change).filter(|change| *change != Change::None));
        if picture.budget.is_ok() {
            let (exposure, ceiling_micros) = picture.tightest();
            let stop = HardStopEvidence {
                exposure,
                ceiling_micros,
                apply_ms: picture.apply_ms,
                day_start_ms: picture.day.start,
            };
            note(self.hard_stop.observe(&stop, settings, now));
            let minutes = picture.window(live, settings.runaway.window_ms, picture.day.start);
            let share = picture.share_between(minutes.start, minutes.end);
            let runaway = RunawayEvidence {
                spend_micros: net_spend(&minutes.sums),
                seen_until_ms: minutes.end,
                plan_micros: (budget as f64 * share) as i64,
                budget_micros: budget,
                cost_micros: cost,
            };
            note(self.runaway.observe(&runaway, settings, now));
        }
        if let (Ok(budget), Ok(_)) = (picture.budget, picture.cost) {
            self.tiny = Some((picture.day.start, budget, picture.is_tiny));
        }
        let gap = GapEvidence {
            positions_broken: around.integrity_gap,
            freshness: around.freshness,
            data_age_ms: picture.data_age().unwrap_or(Millis::MAX),
            allowed_age_ms: {
                let gates = &around.settings.gates;
                gates.stale_min_ms.max(picture.period_ms.max(0).saturating_mul(gates.stale_periods))
            },
            unseen_micros: picture.exposure.unseen_micros,
        };
        note(self.data_gap.observe(&gap, settings, now));
        let limit = ack_limit_ms(picture.apply_ms, around.settings.gates.ack_limit_applies);
        let pause_ignored = around.ledger.state.is_pause_ignored(now, limit);
        let left_ms = picture.day.end.saturating_sub(now);
        let acks = AckEvidence {
            unanswered: around.ledger.unanswered,
            pause_ignored,
            at_stake_micros: if pause_ignored { picture.exposure.rate.over(left_ms) } else { 0 },
        };
        note(self.ack_missing.observe(&acks, settings, now));
        self.pace = self.pace_word(live, picture, around.ledger);
        if picture.watermark.is_some() && !live.hours.is_empty() {
            let hours = self.hours.get_or_insert_with(|| Box::new(Hours::begun(picture.seen_until)));
            changes.extend(hours.judge(live, picture, around));
        }
        changes
    }

    /// The factor that holds, or last held, under a weather; 1 for one that had none.
    pub fn weather_factor(&self, word: Option<&str>) -> f64 {
        let known = self.weather_factors.iter().find(|(known, _)| word == Some(&**known));
        known.map_or(1.0, |(_, ppm)| (*ppm).max(0) as f64 / model::WHOLE_PPM as f64)
    }

    /// Whether raises are held for an hour: prices or clicks are not what they were.
    pub fn holds_raises(&self, settings: &Settings, now: Millis) -> bool {
        self.hours.as_ref().is_some_and(|hours| hours.holds_raises(&settings.anomaly, now))
    }

    /// ln of the chance that a row's trouble has no cause.
    pub fn ln_chance(&self, kind: Kind, finding: &Finding) -> f64 {
        match kind {
            Kind::FeedSilent => self.feed.ln_chance(),
            Kind::DeliveryStopped => -(finding.expected as f64),
            _ => self.hours.as_ref().map_or(0.0, |hours| hours.ln_chance(kind)),
        }
    }

    /// Evaluates the bid that spends the rest of the budget over the rest of the plan: every five minutes.
    pub fn evaluate(
        &mut self,
        live: &Live,
        picture: &Picture,
        around: &Around<'_>,
        gate: &Gate,
    ) -> (Evaluation, Vec<Change>) {
        let settings = around.settings;
        let delivery = delivery(live, picture, around, self.silent_until);
        if delivery.silence_wanted {
            self.silent_until = Some(picture.now);
        }
        let mut changes = vec![self.delivery.observe(&delivery, &settings.anomaly, picture.now)];
        let silence = silence(live, picture, delivery.silence_wanted);
        changes.push(self.feed.observe(&silence, &settings.anomaly, picture.now));
        let window = self.pacing_window(live, picture, around);
        let input = self.input(live, picture, around, gate, &window);
        let step = settings.pressure.method.pressure().evaluate(&input, &mut self.memory, &settings.pressure);
        self.evaluated_at = Some(picture.now);
        if let Ok(step) = &step {
            self.log_bid = Some(step.log_bid);
            self.need = Some((step.need_micros, step.window_spend_micros));
        }
        // A tiny budget asks for no bid: its target, if it has one, decides alone.
        let budget_log_bid = self.log_bid.filter(|_| picture.budget.is_ok() && !picture.is_tiny);
        // Conversions that do not come, or that no click explains, teach the target nothing.
        let frozen = input.frozen || self.hours.as_ref().is_some_and(|hours| hours.freezes_loops());
        let target_log_bid = self.follow_target(live, picture, around, budget_log_bid, frozen);
        let blocked = step.as_ref().ok().and_then(|step| step.blocked).is_some();
        let parts = Parts {
            budget_log_bid,
            target_log_bid,
            bid_min_micros: live.spec.bid_min_micros,
            bid_max_micros: ceiling(&live.spec, around.ledger),
            supply_bound: blocked,
        };
        let composed = MinPacing.compose(&parts);
        self.binding = composed.as_ref().map_or(Binding::None, |composed| composed.binding);
        if let (Some(own), Some(in_force)) = (self.log_bid, assumed_bid(live, around.ledger)) {
            let unit = picture.profile.unit_micros(live.spec.bid_step_micros, &live.spec.currency);
            self.log_bid = Some(without_wind_up(own, in_force, unit, &settings.pressure));
        }
        self.underperformer = Watched::look(self.underperformer, self, live, picture, around);
        self.planned = picture.budget.ok().map(|budget| (picture.day.start, budget));
        changes.extend(self.judge(live, picture, around, &window));
        (Evaluation { step, composed, window, block: input.block }, changes)
    }

    /// u_T: evaluated at its own instants, `None` where the campaign has no target or nothing that would tell of it.
    fn follow_target(
        &mut self,
        live: &Live,
        picture: &Picture,
        around: &Around<'_>,
        budget_log_bid: Option<LogBid>,
        frozen: bool,
    ) -> Option<LogBid> {
        let goal = goal(&live.spec)?;
        let in_force_micros = assumed_bid(live, around.ledger)?;
        let in_force = log_bid(in_force_micros).ok()?;
        let target = self.target.get_or_insert_with(|| TargetLoop::new(in_force));
        if around.target_due {
            target.evaluated_at = Some(picture.now);
            let settings = &around.settings.target;
            let seen = around.development?.seen_share(picture.seen_until, settings);
            let breaks = self.hours.as_ref().map_or(&[][..], |hours| hours.breaks());
            let cells = live.cells.as_ref();
            let cells =
                cells.map(|cells| cells.by_age(&live.calendar, picture.seen_until, &seen, breaks, live.around()));
            let input = target::Input {
                cells: cells.unwrap_or_default(),
                log_bid: target.log_bid,
                budget_log_bid,
                in_force_micros,
                bid_min_micros: live.spec.bid_min_micros,
                bid_max_micros: ceiling(&live.spec, around.ledger),
                account_rate: around.development?.rate(picture.seen_until, &seen, settings),
                frozen,
            };
            if let Ok(step) = target::evaluate(goal.as_ref(), &input, settings) {
                target.log_bid = step.log_bid;
                target.told = Some(Told::of(&step));
            }
        }
        let (season, bounds) =
            (live.log_season(picture.now), (live.spec.bid_min_micros, ceiling(&live.spec, around.ledger)));
        let in_season = target::in_season(target.log_bid, season, bounds);
        target.note_in_force(in_force.saturating_sub(in_season.saturating_sub(target.log_bid)));
        live.lacks_credits().ok().map(|()| in_season)
    }

    /// The rows that say how the day will end.
    fn judge(&mut self, live: &Live, picture: &Picture, around: &Around<'_>, window: &Window) -> [Change; 2] {
        let (settings, now) = (&around.settings.anomaly, picture.now);
        let (Ok(budget), Ok(cost)) = (picture.budget, picture.cost) else { return [Change::None, Change::None] };
        let (need, window_spend) = self.need.unwrap_or_default();
        let bid_in_force = assumed_bid(live, around.ledger);
        let early = EarlyStopEvidence {
            hard_stopped: self.hard_stop.is_open(),
            plan_share: picture.plan_share(),
            budget_micros: budget,
            cost_micros: cost,
            need_micros: need,
            window_spend_micros: window_spend,
            at_bid_min: bid_in_force.is_some_and(|bid| bid <= live.spec.bid_min_micros),
            exposed_micros: picture.exposure.exposed_micros(),
        };
        let forecast = |window: &Window| WindowForecast {
            spend_micros: group_spend(picture, around, window),
            share: picture.share_between(window.start, window.end),
        };
        let under = UnderspendEvidence {
            budget_micros: budget,
            exposed_micros: picture.exposure.exposed_micros(),
            cost_micros: cost,
            plan_share: picture.plan_share(),
            window: forecast(window),
            long_window: forecast(&picture.window(live, settings.underspend.window_ms, picture.day.start)),
            binding: self.binding,
        };
        [self.early_stop.observe(&early, settings, now), self.underspend.observe(&under, settings, now)]
    }

    fn input(&self, live: &Live, picture: &Picture, around: &Around<'_>, gate: &Gate, window: &Window) -> Input {
        let settings = around.settings;
        let interval = settings.clock.pacing_interval_ms;
        let since = self.evaluated_at.map_or(interval, |at| picture.now.saturating_sub(at).min(2 * interval));
        let start_bid = assumed_bid(live, around.ledger).and_then(|bid| log_bid(bid).ok()).unwrap_or(0);
        let log_bid = self.log_bid.unwrap_or(start_bid);
        let at_bid = spend_at_bid(live, picture, around.ledger, window, (log_bid, settings.pressure.elasticity));
        let supply = supply(live, picture, around, self);
        Input {
            since_last_ms: since,
            lag_ms: picture.data_age().unwrap_or(DAY_MS),
            apply_ms: picture.apply_ms,
            day_start_ms: picture.day.start,
            elapsed_ms: picture.seen_until.saturating_sub(picture.day.start).max(0),
            day_ms: picture.day.end.saturating_sub(picture.day.start),
            budget_micros: picture.budget.unwrap_or(0),
            spent_micros: picture.exposure.seen_micros,
            exposed_micros: picture.exposure.exposed_micros(),
            window_ms: window.end.saturating_sub(window.start),
            window_spend_micros: group_spend(picture, around, window)
                .saturating_add(at_bid.map_or(0, |at_bid| at_bid.saturating_sub(net_spend(&window.sums)))),
            is_at_bid: at_bid.is_some(),
            window_share: picture.share_between(window.start, window.end),
            share_left: 1.0 - picture.plan_share(),
            cost_micros: picture.cost.unwrap_or(0),
            log_bid,
            bid_min_micros: live.spec.bid_min_micros,
            bid_max_micros: ceiling(&live.spec, around.ledger),
            block: raise_block(&supply, &settings.pressure),
            step_up_limit: self.delivery.step_up_limit(&settings.anomaly, picture.now),
            frozen: around.ledger.is_paused() || gate.permission > Permission::HardStopOnly,
        }
    }

    fn pacing_window(&self, live: &Live, picture: &Picture, around: &Around<'_>) -> Window {
        let s = &around.settings.pressure;
        let short = picture.window(live, s.window_short_ms, picture.day.start);
        let period = live.counts_reports().then_some(picture.period_ms);
        let siblings = around.siblings.iter();
        let others = siblings.map(|sibling| picture.window(sibling, s.window_short_ms, Millis::MIN / 2).sums[BILLABLE]);
        let events = others.fold(short.sums[BILLABLE], i64::saturating_add);
        let length = pressure::window_ms(events, period, s);
        let plan_start = picture.plan.as_ref().map_or(picture.day.start, |plan| plan.start_ms());
        let start = window_start_ms(picture.seen_until, length, plan_start);
        picture.window(live, picture.seen_until.saturating_sub(start), picture.day.start)
    }

    fn pace_word(&self, live: &Live, picture: &Picture, ledger: &CampaignLedger) -> Pace {
        if self.hard_stop.is_open() {
            return Pace::Exhausted;
        }
        if ledger.is_paused() {
            return Pace::Paused;
        }
        let Ok(budget) = picture.budget else { return Pace::Unknown };
        if picture.watermark.is_none() || budget <= 0 {
            return Pace::Unknown;
        }
        let ahead = match picture.is_tiny {
            true => week_ahead(live, picture, budget),
            false => picture.exposure.exposed_micros() as f64 / budget as f64 - picture.plan_share(),
        };
        match ahead {
            ahead if ahead > ON_PLAN_SHARE => Pace::Ahead,
            ahead if ahead < -ON_PLAN_SHARE => Pace::Behind,
            _ => Pace::OnPlan,
        }
    }
}

impl Pace {
    /// The word of the KPI row.
    pub fn as_str(self) -> &'static str {
        match self {
            Pace::Unknown => "unknown",
            Pace::Ahead => "ahead",
            Pace::OnPlan => "on_plan",
            Pace::Behind => "behind",
            Pace::Paused => "paused",
            Pace::Exhausted => "exhausted",
        }
    }
}

/// A day of a few events is ahead or behind by chance: what seven of them spent beyond their budgets, in their mean day's.
fn week_ahead(live: &Live, picture: &Picture, budget: i64) -> f64 {
    let since = minute_index(picture.day.start.saturating_sub(6 * DAY_MS + DAY_MS / 2));
    let before = live.plans.iter().filter(|(day, _)| (since..picture.day.index()).contains(day));
    let (planned, spent) = before.fold((0_i64, 0_i64), |(planned, spent), (day, budget)| {
        let sums = live.days.get(*day).unwrap_or(NONE);
        (planned.saturating_add(*budget), spent.saturating_add(net_spend(&sums)))
    });
    let due = planned as f64 + budget as f64 * picture.plan_share();
    let all = planned.saturating_add(budget).max(1) as f64;
    (spent.saturating_add(picture.exposure.exposed_micros()) as f64 - due) / all
}

/// The bid to reckon with: unanswered, confirmed, or the specification's.
pub fn assumed_bid(live: &Live, ledger: &CampaignLedger) -> Option<i64> {
    ledger.bid.assumed().or(Some(live.spec.bid_micros)).filter(|bid| *bid > 0)
}

/// The most that may be bid while factors may be in force; never so low that the bid could not be cut.
pub fn ceiling(spec: &CampaignSpec, ledger: &CampaignLedger) -> i64 {
    let most = bid_ceiling(spec);
    crate::factors::below(most, &[ledger.factor_most()]).max(spec.bid_min_micros.min(most))
}

/// The most that the campaign may bid, by its strategy.
pub fn bid_ceiling(spec: &CampaignSpec) -> i64 {
    bid_ceiling_micros(&spec.bid_strategy, spec.bid_micros, spec.bid_max_micros)
}

/// Spend of a window, by all campaigns of the budget.
fn group_spend(picture: &Picture, around: &Around<'_>, window: &Window) -> i64 {
    let length = window.end.saturating_sub(window.start);
    let others =
        around.siblings.iter().map(|sibling| net_spend(&picture.window(sibling, length, Millis::MIN / 2).sums));
    others.fold(net_spend(&window.sums), i64::saturating_add)
}

/// Events due in the part of the plan between two instants, by the campaign's last 24 hours.
fn due(live: &Live, picture: &Picture, from: Millis, to: Millis) -> f64 {
    let day = picture.window(live, DAY_MS, Millis::MIN / 2);
    day.sums[BILLABLE].max(day.sums[CLICKS]) as f64 * picture.share_between(from, to)
}

/// When the campaign's feed was last alive, and its usual gap. Reports are the sign of life of a campaign without events;
/// their period is the gap.
pub fn sign_of_life(live: &Live, channel: Option<&Channel>) -> (Option<Millis>, Millis) {
    match (live.counts_reports(), &live.stats, channel) {
        (true, Some(stats), _) => (stats.reported_until, stats.period),
        (_, _, Some(channel)) => (channel.alive_until(), channel.gap_ms),
        _ => (None, 0),
    }
}

fn supply(live: &Live, picture: &Picture, around: &Around<'_>, pacing: &Pacing) -> Supply {
    let recent_ms = if live.counts_reports() { picture.period_ms.max(HOUR_MS) } else { 15 * MINUTE_MS };
    let recent = picture.window(live, recent_ms, Millis::MIN / 2);
    let first_day = pacing.first_event.is_none_or(|first| first >= picture.day.start);
    let (newest, gap) = sign_of_life(live, around.channel);
    let plan_start = picture.plan.as_ref().map_or(picture.day.start, |plan| plan.start_ms());
    Supply {
        watermark_ms: picture.seen_until,
        events_recent: recent.sums[IMPRESSIONS].saturating_add(recent.sums[CLICKS]),
        due_recent: due(live, picture, recent.start, recent.end),
        neighbour_event_ms: newest,
        neighbour_gap_ms: gap,
        first_day,
        events_today: picture.events_day,
        open_today_ms: picture.seen_until.saturating_sub(plan_start).max(0),
        delivery_stopped: pacing.delivery.is_open() || pacing.feed.is_open(),
        increases_held: around.increases_held || around.freshness != Freshness::Fresh,
    }
}

fn delivery(live: &Live, picture: &Picture, around: &Around<'_>, wanted_until: Option<Millis>) -> DeliveryEvidence {
    // A campaign that never delivered has not stopped; a pause that was lifted starts the waiting anew.
    let last = live.newest_event.max(first_instant(live, picture)).saturating_add(MINUTE_MS);
    let last = wanted_until.map_or(last, |until| until.max(last));
    let seen_until = picture.seen_until;
    let silence = seen_until.saturating_sub(last).max(0);
    let share = picture.share_between(last, seen_until);
    let of_day = chances(&picture.window(live, DAY_MS, Millis::MIN / 2).sums);
    let hour_start = live.newest_event.saturating_sub(HOUR_MS - MINUTE_MS);
    let hour_end = live.newest_event.saturating_add(MINUTE_MS);
    let of_hour = chances(&live.minutes.sum(minute_index(hour_start)..minute_index(hour_end)));
    // By shape where the plan knows both times, by the clock where it does not: an hour before midnight.
    let share_of_hour = picture.share_between(hour_start, hour_end);
    let known = share_of_hour > 0.0 && hour_start >= picture.day.start;
    let hours = if known { share / share_of_hour } else { silence as f64 / HOUR_MS as f64 };
    let open = picture.plan.as_ref().is_ok_and(|plan| plan.is_open(picture.now));
    // What we cut ourselves since the middle of that hour is missing for no other reason.
    let cut = bid_cut(live, around.ledger, hour_start.saturating_add(HOUR_MS / 2));
    DeliveryEvidence {
        silence_ms: silence,
        due_events: due_given(of_day, cut * share).min(due_given(of_hour, cut * hours)),
        sources_alive: around.freshness == Freshness::Fresh,
        silence_wanted: around.ledger.is_paused() || !open || live.spec.status != "active",
        cost_micros: picture.cost.unwrap_or(0),
    }
}

/// Events that cost money, due by the others that came since the last of them: clicks by impressions, or the reverse.
fn silence(live: &Live, picture: &Picture, silence_wanted: bool) -> SilenceEvidence {
    let recent = picture.window(live, 15 * MINUTE_MS, Millis::MIN / 2).sums;
    let nothing = SilenceEvidence { silence_wanted, ..SilenceEvidence::default() };
    if live.counts_reports() || recent[BILLABLE] > 0 || chances(&recent) == 0.0 {
        return nothing;
    }
    let seen = minute_index(picture.seen_until);
    let usual = live.hours.sum(minute_index(picture.seen_until.saturating_sub(2 * DAY_MS))..seen);
    let other = if usual[BILLABLE] <= usual[CLICKS] { IMPRESSIONS } else { CLICKS };
    let panes = live.minutes.range(i32::MIN..seen);
    let since = panes.fold(
        0_i64,
        |since, (_, sums)| {
            if sums[BILLABLE] > 0 { 0 } else { since.saturating_add(sums[other].max(0)) }
        },
    );
    let before = usual[other].saturating_sub(since);
    if before <= 0 {
        return nothing;
    }
    SilenceEvidence {
        due_events: due_given(usual[BILLABLE] as f64, since as f64 / before as f64),
        silence_wanted,
        cost_micros: picture.cost.unwrap_or(0),
    }
}

/// What a lower bid than at `then` leaves of the events, at an elasticity that hardly any market exceeds; 1 after a raise.
fn bid_cut(live: &Live, ledger: &CampaignLedger, then: Millis) -> f64 {
    let (Some(before), Some(now)) = (ledger.bid.value_at(then), assumed_bid(live, ledger)) else { return 1.0 };
    let left = now as f64 / before.max(1) as f64;
    if left < 1.0 { libm::pow(left, ELASTICITY_MAX) } else { 1.0 }
}

/// As the worst cases reckon it.
const ELASTICITY_MAX: f64 = 4.0;

/// Independent chances for an event: a click comes out of an impression, so the two are one.
fn chances(sums: &Measures) -> f64 {
    sums[IMPRESSIONS].max(sums[CLICKS]).max(0) as f64
}

fn first_instant(live: &Live, picture: &Picture) -> Millis {
    if live.newest_event == Millis::MIN { picture.seen_until } else { live.newest_event }
}
