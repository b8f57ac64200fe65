//! Where decisions are made: looks at one campaign, asks the policy, passes the guard, writes the command.
//!
//! What always holds: belief moves first and alike in every mode; only under [`Authority::Decide`] is anything decided;
//! whatever leaves went through the guard and was applied to the ledger in the same breath; a command names everything
//! needed to reproduce it. Nothing here has a state of its own.

mod first_touch;
mod follow;
mod hours;
mod incidents;
mod limits;
mod persons;
mod pools;
mod rules;
mod state;
mod told;
mod underperformer;
mod undo;
mod values;
mod written;

pub use rules::{RULE_ALERT, RuleSaid, alert_kind, risk};
pub use undo::Undo;
pub use written::target;

use follow::{follow_hours, follow_places, follow_values, follow_weather, weather_factors};
use told::{condition, told};

use crate::alerts::{Alerts, Condition, Origin, Subject, subject};
use crate::belief::Belief;
use crate::campaign::Live;
use crate::channel::Channel;
use crate::goals;
use crate::group::Group;
use crate::ledger::{CampaignLedger, Ledger, Lever, ack_limit_ms};
use crate::pacing::{Around, Evaluation, Pacing, assumed_bid};
use crate::picture::{Outlook, Picture, Scene};
use crate::quiet::{Glance, Quiet};
use crate::seen::fingerprint;
use crate::slot::Slot;
use crate::{JournalPosition, Outputs, Setup};
use model::fact::Decision;
use model::output::*;
use model::time::{MINUTE_MS, Millis};
use policy::anomaly::Detector;
use policy::arithmetic::bid_micros;
use policy::composition::{Binding, is_worth_a_command};
use policy::explain::Reason;
use policy::gates::{Freshness, Gate, Permission, WhyNothing, freshness};
use policy::guard::{Action, GuardHold, Mode, Proposal, Verdict, check};
use policy::hold::Hold;
use policy::settings::{Policy, Settings};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Everything that a decision may look at and write to.
pub struct Desk<'a> {
    pub setup: &'a Setup,
    pub at: JournalPosition,
    /// T.
    pub now: Millis,
    pub policy: &'a Policy,
    pub policy_version: i64,
    pub watermark: Option<Millis>,
    /// Increases are held after a jump of the clock until then.
    pub jump_until: Millis,
    pub belief: &'a mut Belief,
    pub ledger: &'a mut Ledger,
    pub alerts: &'a mut Alerts,
    /// Whether anything is decided, or only belief moves.
    pub decide: bool,
    pub outputs: &'a mut Outputs,
    /// Whether any campaign has a value that somebody else set.
    pub overridden: bool,
    /// Why the look that is under way led to nothing, by lever.
    pub noted: Vec<(&'static str, &'static str)>,
    /// The rule that speaks, while its command is made.
    pub ruling: Option<rules::Ruling>,
    /// Campaigns whose desired state is to be published.
    pub changed: &'a mut BTreeSet<(String, String)>,
}

/// The instants that have come at a look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due {
    /// Of the bid.
    pub pacing: bool,
    /// Of the target, which is asked at the bid's instants only.
    pub target: bool,
    /// Of users' rules and goals.
    pub rules: bool,
}

/// One campaign on the desk, taken out of belief for the time of the look.
struct Case<'a> {
    account_id: &'a str,
    campaign_id: &'a str,
    live: &'a Live,
    pacing: &'a Pacing,
    picture: &'a Picture,
    settings: &'a Settings,
    freshness: Freshness,
    increases_held: bool,
    evaluation: Option<&'a Evaluation>,
    /// A person has approved what is submitted: what was shown before does not cool it down.
    approved: bool,
}

impl Desk<'_> {
    /// Looks at a campaign: exposure and troubles always, the bid when its instant has come.
    /// `true` if the hard stop of a shared budget opened: all who spend from it must be looked at now.
    pub fn attend(&mut self, account_id: &str, campaign_id: &str, due: Due) -> bool {
        let Some(account) = self.belief.accounts.get_mut(account_id) else { return false };
        let Some(mut live) = account.campaigns.get_mut(campaign_id).and_then(|campaign| campaign.live.take()) else {
            return false;
        };
        let stopped = live.pacing.hard_stop.is_open();
        self.look(account_id, campaign_id, Arc::make_mut(&mut live), due);
        let stops = live.spec.budget_id.is_some() && live.pacing.hard_stop.is_open() && !stopped;
        let account = self.belief.accounts.get_mut(account_id);
        if let Some(campaign) = account.and_then(|account| account.campaigns.get_mut(campaign_id)) {
            campaign.live = Some(live);
        }
        stops
    }

    /// Which instants have come since each was evaluated last. They are spread by the name of the campaign's shared budget,
    /// so that all members move at once, or by its own.
    pub fn due(&self, account_id: &str, campaign_id: &str, instants: impl FnOnce(&str) -> [Millis; 3]) -> Due {
        let live = self.belief.campaign(account_id, campaign_id).and_then(|campaign| campaign.live.as_ref());
        let Some(live) = live else { return Due::default() };
        let [pacing, target, rules] = instants(live.spec.budget_id.as_deref().unwrap_or(campaign_id));
        let followed = live.pacing.target.as_ref().and_then(|target| target.evaluated_at);
        Due {
            pacing: live.pacing.evaluated_at.is_none_or(|at| at < pacing),
            target: followed.is_none_or(|at| at < target),
            rules: live.rules_at.is_none_or(|at| at < rules),
        }
    }

    /// When the next of the campaign's instants comes; `None` where one has come and was not used.
    fn next_instant(&self, campaign_id: &str, live: &Live, pacing: &Pacing, due: Due) -> Option<Millis> {
        let [pacing_ms, _, rules_ms] = intervals(self.policy);
        let asked_at = if due.rules { Some(self.now) } else { live.rules_at };
        let spread = fingerprint(campaign_id);
        let after = |evaluated_at: Option<Millis>, every: Millis| {
            let last = last_instant(spread, self.now, every);
            evaluated_at.filter(|at| *at >= last).map(|_| last.saturating_add(every))
        };
        Some(after(pacing.evaluated_at, pacing_ms)?.min(after(asked_at, rules_ms)?))
    }

    /// What is the same for all campaigns of an account.
    fn glance(&self, learned: i64) -> Glance {
        Glance { now: self.now, watermark: self.watermark, policy_version: self.policy_version, learned }
    }

    fn look(&mut self, account_id: &str, campaign_id: &str, live: &mut Live, due: Due) {
        live.renew_surroundings(&self.belief.context, account_id, campaign_id);
        let settings = self.settings_of(account_id, campaign_id, live);
        let account = self.belief.accounts.get(account_id);
        let channel = account.and_then(|account| account.channels.get(&live.spec.channel));
        let nothing = CampaignLedger::default();
        let ledger = self.ledger.campaign(account_id, campaign_id).unwrap_or(&nothing);
        let profile = self.policy.profile_for(live.spec.platform.as_deref(), &live.spec.spend_source);
        let shared = self.belief.shared_budget(account_id, campaign_id, live);
        let given = account.and_then(|account| account.pools.budget_now(&live.spec, campaign_id, ledger, self.now));
        let scene = Scene { given_micros: given, ..self.scene(channel, settings, shared.as_ref()) };
        if live.pacing.hour_factors != ledger.hours.assumed() {
            live.pacing.hour_factors = ledger.hours.assumed().to_vec();
        }
        let weather_factors = weather_factors(live, ledger, self.now);
        if live.pacing.weather_factors != weather_factors {
            live.pacing.weather_factors = weather_factors;
        }
        Outlook::renew(live, &scene);
        let picture = Picture::of(live, Some(ledger), &scene, profile);
        let freshness = freshness(picture.data_age(), picture.period_ms, &settings.gates);
        let mut pacing = std::mem::take(&mut live.pacing);
        // Missing answers hold raises, but not for ever: where all that was sent is lost, only a new try can be answered. A
        // pause that is not obeyed is no such case.
        let retry_ms = settings.anomaly.feedback.ack_retry_ms;
        let is_recent = ledger.newest_issue().is_some_and(|at| self.now.saturating_sub(at) < retry_ms);
        let waits = is_recent || ledger.state.is_pause_ignored(self.now, 0);
        let unanswered = pacing.ack_missing.is_open() && waits;
        let unusual = pacing.holds_raises(settings, self.now);
        let held = self.ledger.integrity.is_some() || self.now < self.jump_until || unanswered || unusual;
        let around = Around {
            ledger,
            channel,
            development: account.map(|account| &account.development),
            target_due: due.target,
            settings,
            freshness,
            siblings: shared.as_ref().map_or(&[][..], |group| group.siblings.as_slice()),
            integrity_gap: self.ledger.integrity.is_some(),
            increases_held: held,
        };
        let mut changes = pacing.watch(live, &picture, &around);
        let gate = self.gate(account_id, campaign_id, live, &picture, Lever::Bid);
        if due.pacing {
            let account = account.map(|account| &**account);
            follow_values(live, &pacing, account, &picture, settings);
            follow_hours(live, &pacing, account, &picture, settings);
            follow_weather(live, &pacing, account, &picture, settings);
            follow_places(live, &picture);
        }
        let evaluation = due.pacing.then(|| {
            let (evaluation, more) = pacing.evaluate(live, &picture, &around, &gate);
            changes.extend(more);
            evaluation
        });
        let glance = self.glance(account.map_or(0, |account| account.hours_learned()));
        let has_pools = account.is_none_or(|account| !account.pools.is_empty());
        let next =
            if has_pools || self.has_experiments() { None } else { self.next_instant(campaign_id, live, &pacing, due) };
        live.quiet = next.and_then(|next| Quiet::after(live, &pacing, &picture, &around, &glance, next));
        let tellings = self.gather(account_id, campaign_id, &changes, &pacing, &settings.anomaly.incidents);
        if self.decide {
            self.tell(account_id, campaign_id, &changes, tellings, pacing.binding);
            self.end_override(account_id, campaign_id, settings);
            self.end_breaker(account_id, settings);
            let case = Case {
                account_id,
                campaign_id,
                live,
                pacing: &pacing,
                picture: &picture,
                settings,
                freshness,
                increases_held: held,
                evaluation: evaluation.as_ref(),
                approved: false,
            };
            self.noted.clear();
            self.stop_or_start(&case);
            let said = due.rules.then(|| self.ask(&case));
            self.move_bid(&case, &gate);
            self.move_hours(&case, &gate);
            self.move_values(&case, &gate);
            self.move_budget(&case);
            // Levers that are asked only at an evaluation keep their words until the next one.
            let noted = &self.noted;
            let is_kept = |lever: &str| !due.pacing && noted.iter().all(|(known, _)| *known != lever);
            live.whys.retain(|(lever, _)| is_asked_at_evaluations(lever) && is_kept(lever));
            live.whys.extend_from_slice(noted);
            live.said = said.unwrap_or_else(|| std::mem::take(&mut live.said));
            if due.pacing {
                self.tell_first_touches(account_id, campaign_id, live, &picture);
            }
        }
        if due.rules {
            live.rules_at = Some(self.now);
        }
        live.pacing = pacing;
        if due.pacing {
            live.note_plan();
            self.judge_experiment(account_id, campaign_id, live, &picture);
            if self.decide && (self.has_experiments() || self.alerts.any_open("experiment_over")) {
                self.tell_experiments(account_id);
            }
        }
    }

    /// Goals, then rules, which may look at them.
    fn ask(&mut self, case: &Case<'_>) -> Vec<RuleSaid> {
        let goal = goals::of_campaign(
            case.live,
            case.pacing.first_event,
            self.ledger.campaign(case.account_id, case.campaign_id),
            case.picture.seen_until,
            case.picture.budget.ok(),
            case.settings,
        );
        self.tell_goal(case.account_id, case.campaign_id, goal.as_ref());
        let chance = goal.and_then(|goal| goal.outlook.chance_ppm).map(|ppm| ppm as f64 / 1e6);
        self.ask_rules(case, chance)
    }

    /// Opens or resolves an alert about a campaign.
    pub fn settle(&mut self, kind: &str, account_id: &str, campaign_id: &str, condition: Option<&Condition>) {
        self.settle_subject(&subject(kind, Some(account_id), Some(campaign_id)), condition);
    }

    /// Opens or resolves an alert about an account.
    fn settle_account(&mut self, kind: &str, account_id: &str, condition: Option<&Condition>) {
        self.settle_subject(&subject(kind, Some(account_id), None), condition);
    }

    /// Opens or resolves the notice of an account's experiments.
    pub fn settle_experiments(&mut self, account_id: &str, condition: Option<&Condition>) {
        self.settle_account("experiment_over", account_id, condition);
    }

    fn has_experiments(&self) -> bool {
        !self.policy.experiments.is_empty()
    }

    fn settle_subject(&mut self, about: &Subject, condition: Option<&Condition>) {
        let origin = Origin {
            now: self.now,
            journal_partition: self.setup.partition,
            journal_offset: self.at.offset,
            policy_version: self.policy_version,
            build: &self.setup.build,
        };
        if let Some(alert) = self.alerts.settle(about, condition, &origin) {
            self.alerts.apply(&alert);
            self.outputs.alerts.push(alert);
        }
    }

    /// Somebody else's value has been left alone for long enough.
    fn end_override(&mut self, account_id: &str, campaign_id: &str, settings: &Settings) {
        if !self.overridden || !self.alerts.is_open(&subject("value_mismatch", Some(account_id), Some(campaign_id))) {
            return;
        }
        let Some(ledger) = self.ledger.campaign(account_id, campaign_id) else { return };
        let found = [&ledger.bid, &ledger.budget].into_iter().filter_map(|slot| slot.override_at).max();
        if found.is_none_or(|at| self.now.saturating_sub(at) >= settings.gates.override_hold_ms) {
            self.settle("value_mismatch", account_id, campaign_id, None);
        }
    }

    fn move_bid(&mut self, case: &Case<'_>, gate: &Gate) {
        let Some(evaluation) = case.evaluation else { return self.reissue_bid(case, gate) };
        let paused = self.ledger.campaign(case.account_id, case.campaign_id).is_some_and(CampaignLedger::is_paused);
        if paused {
            return self.note("bid", "paused");
        }
        if self.is_ruled(case, Lever::Bid) {
            return self.note("bid", "rule_holds");
        }
        if gate.permission > Permission::DecreasesOnly {
            return self.note("bid", gate.why.map_or("held", WhyNothing::as_str));
        }
        let composed = match (&evaluation.step, &evaluation.composed) {
            (Ok(_), Ok(composed)) => *composed,
            (Err(Hold::TinyBudget), Ok(composed)) => *composed,
            (Err(hold), _) | (_, Err(hold)) => return self.note("bid", hold.as_str()),
        };
        let published = self.published_bid(case);
        let log = published.and_then(|bid| policy::arithmetic::log_bid(bid).ok());
        if !is_worth_a_command(&composed, log, false, &case.settings.composition) {
            return self.note("bid", "dead_band");
        }
        let Ok(bid) = bid_micros(composed.log_bid) else { return self.note("bid", "not_finite") };
        let raises = published.is_some_and(|published| bid > published);
        if raises && gate.permission != Permission::All {
            return self.note("bid", gate.why.map_or("held", WhyNothing::as_str));
        }
        // The loop may have risen further than was published before the block began.
        if let Some(block) = evaluation.block.filter(|_| raises) {
            return self.note("bid", block.as_str());
        }
        let returns = evaluation.step.as_ref().is_ok_and(|step| step.returns);
        let reason = match (composed.binding, raises) {
            (Binding::Target, _) => Reason::Target,
            _ if returns => Reason::DayStarted,
            (_, true) => Reason::PacingBehind,
            (_, false) => Reason::PacingAhead,
        };
        self.submit(case, Lever::Bid, Action::SetBid(bid as f64), reason);
    }

    /// A command that nobody answered within its limit is issued again: the value is still wanted.
    fn reissue_bid(&mut self, case: &Case<'_>, gate: &Gate) {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return };
        if Mode::parse(&case.live.spec.mode) != Mode::Auto || !self.is_lost(case, &ledger.bid) {
            return;
        }
        let Some(pending) = ledger.bid.pending.clone() else { return };
        let before = self.bid_in_force(case, &ledger.bid);
        // A raise waits for its instant, where the signs of life are asked again.
        if before.is_none_or(|before| pending.value > before) {
            return;
        }
        if ledger.is_paused() || gate.permission > Permission::DecreasesOnly {
            return;
        }
        self.submit(case, Lever::Bid, Action::SetBid(pending.value as f64), Reason::PacingAhead);
    }

    /// The platform's daily budget follows the plan of the day: when the day has begun, in steps of a twentieth, never for
    /// a budget that is shared. It is lowered after midnight, too, so a platform whose ceiling is the day's highest budget
    /// keeps yesterday's as today's ceiling.
    fn move_budget(&mut self, case: &Case<'_>) {
        let spec = &case.live.spec;
        if self.is_ruled(case, Lever::Budget) {
            return self.note("budget", "rule_holds");
        }
        if self.follow_pool(case) {
            return;
        }
        if case.evaluation.is_none() || spec.budget_control != "paceline" || case.picture.is_shared {
            return;
        }
        let gate = self.gate(case.account_id, case.campaign_id, case.live, case.picture, Lever::Budget);
        let Ok(planned) = case.picture.budget else { return };
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let in_force = ledger.and_then(|ledger| ledger.budget.assumed()).or(spec.daily_budget_micros);
        let shown = ledger.and_then(|ledger| ledger.budget.shown).filter(|_| Mode::parse(&spec.mode) != Mode::Auto);
        let Some(in_force) = shown.map(|(value, _)| value).or(in_force) else { return };
        let far = in_force.abs_diff(planned) >= (in_force.unsigned_abs() / BUDGET_STEP_SHARE).max(1);
        // Not in the first minutes: read-backs and late money of the day before still move the plan.
        let raises = planned > in_force;
        let early = self.now.saturating_sub(case.picture.day.start) < 2 * MINUTE_MS;
        let needed = if raises { Permission::All } else { Permission::DecreasesOnly };
        if !far || raises && early || gate.permission > needed {
            return;
        }
        self.submit(case, Lever::Budget, Action::SetDailyBudget(planned as f64), Reason::BudgetPlan);
    }

    /// Through the guard, and out by the door that it shows.
    fn submit(&mut self, case: &Case<'_>, lever: Lever, action: Action, reason: Reason) {
        let approved = false;
        let proposal = Proposal { action, reason, group_sum_micros: None, approved };
        self.submit_proposal(case, lever, &proposal);
    }

    fn submit_proposal(&mut self, case: &Case<'_>, lever: Lever, proposal: &Proposal) -> bool {
        let view = self.ledger_view(case, lever);
        let limits = self.limits(case, lever, proposal.reason);
        match check(proposal, &limits, &view, self.now) {
            Verdict::Hold(why) => {
                if why == GuardHold::Breaker {
                    self.tell_breaker(case, &view);
                }
                self.note(lever.word(), why.as_str());
                false
            }
            Verdict::Emit(command) => {
                let adjustment = self.written(case, lever, command.checked(), "issued", None);
                self.issue(adjustment);
                true
            }
            Verdict::Propose(guarded) => {
                let observed = limits.mode == Mode::Observe;
                let (state, by) =
                    if observed { ("observed", None) } else { ("proposed", Some(guarded.decide_by_ms())) };
                let adjustment = self.written(case, lever, guarded.checked(), state, by);
                if !observed && self.is_waiting(case, lever, &adjustment.kind) {
                    self.note(lever.word(), "awaiting_approval");
                    return false;
                }
                self.propose(adjustment);
                true
            }
        }
    }

    /// A look at one campaign outside of its turn; `None` where it does not live.
    fn at_case<R>(
        &mut self,
        account_id: &str,
        campaign_id: &str,
        approved: bool,
        act: impl FnOnce(&mut Self, &Case<'_>) -> R,
    ) -> Option<R> {
        let mut live = self.take_live(account_id, campaign_id)?;
        if live.surroundings.is_none() && !self.belief.context.is_empty() {
            Arc::make_mut(&mut live).renew_surroundings(&self.belief.context, account_id, campaign_id);
        }
        self.noted.clear();
        let settings = self.settings_of(account_id, campaign_id, &live);
        let profile = self.policy.profile_for(live.spec.platform.as_deref(), &live.spec.spend_source);
        let account = self.belief.accounts.get(account_id);
        let channel = account.and_then(|account| account.channels.get(&live.spec.channel));
        let nothing = CampaignLedger::default();
        let ledger = self.ledger.campaign(account_id, campaign_id).unwrap_or(&nothing);
        let shared = self.belief.shared_budget(account_id, campaign_id, &live);
        let given = account.and_then(|account| account.pools.budget_now(&live.spec, campaign_id, ledger, self.now));
        let scene = Scene { given_micros: given, ..self.scene(channel, settings, shared.as_ref()) };
        let picture = Picture::of(&live, Some(ledger), &scene, profile);
        let case = Case {
            account_id,
            campaign_id,
            live: &live,
            pacing: &live.pacing,
            picture: &picture,
            settings,
            freshness: freshness(picture.data_age(), picture.period_ms, &settings.gates),
            increases_held: self.ledger.integrity.is_some()
                || self.now < self.jump_until
                || live.pacing.holds_raises(settings, self.now),
            evaluation: None,
            approved,
        };
        let result = act(self, &case);
        Arc::make_mut(&mut live).whys.append(&mut self.noted);
        self.put_live(account_id, campaign_id, live);
        Some(result)
    }

    fn issue(&mut self, adjustment: Adjustment) {
        self.ledger.apply_command(&adjustment);
        self.changed.insert((adjustment.account_id.clone(), adjustment.campaign_id.clone()));
        self.outputs.adjustments.push(adjustment);
    }

    fn propose(&mut self, mut adjustment: Adjustment) {
        adjustment.explanation.journal_offset = self.at.offset;
        self.ledger.apply_proposal(&adjustment);
        self.outputs.proposals.push(adjustment);
    }

    /// An unanswered command whose limit has passed.
    fn is_lost(&self, case: &Case<'_>, slot: &Slot) -> bool {
        let limit = self.ack_limit(case);
        slot.pending.as_ref().is_some_and(|pending| self.now.saturating_sub(pending.issued_at) >= limit)
    }

    fn ack_limit(&self, case: &Case<'_>) -> Millis {
        ack_limit_ms(case.picture.apply_ms, case.settings.gates.ack_limit_applies)
    }

    fn observes(&self, case: &Case<'_>) -> bool {
        Mode::parse(&case.live.spec.mode) == Mode::Observe
    }

    fn is_waiting(&self, case: &Case<'_>, lever: Lever, kind: &str) -> bool {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return false };
        ledger.is_quiet(kind, self.now)
            || ledger.proposals.values().any(|proposal| Lever::of(&proposal.kind) == Some(lever))
    }

    /// The bid that the world was last told, as far as it can have heard it.
    fn published_bid(&self, case: &Case<'_>) -> Option<i64> {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else {
            return assumed_bid(case.live, &CampaignLedger::default());
        };
        if Mode::parse(&case.live.spec.mode) != Mode::Auto
            && let Some((value, _)) = ledger.bid.shown
        {
            return Some(value);
        }
        if self.is_lost(case, &ledger.bid) {
            return self.bid_in_force(case, &ledger.bid);
        }
        assumed_bid(case.live, ledger)
    }

    fn bid_in_force(&self, case: &Case<'_>, slot: &Slot) -> Option<i64> {
        slot.confirmed.or(Some(case.live.spec.bid_micros)).filter(|bid| *bid > 0)
    }

    fn scene<'s>(
        &self,
        channel: Option<&'s Channel>,
        settings: &'s Settings,
        shared: Option<&'s Group<'s>>,
    ) -> Scene<'s> {
        let (now, watermark, policy_version) = (self.now, self.watermark, self.policy_version);
        let feed_period_ms = self.policy.stage1.idle_period.touches_ms();
        Scene { now, watermark, channel, settings, policy_version, shared, feed_period_ms, given_micros: None }
    }

    fn campaign_of(&self, decision: &Decision) -> Option<String> {
        let account = self.ledger.accounts.get(&decision.account_id)?;
        let holds = |ledger: &CampaignLedger| ledger.proposals.contains_key(&decision.command_id);
        account.campaigns.iter().find(|(_, ledger)| holds(ledger)).map(|(campaign_id, _)| campaign_id.to_string())
    }

    fn take_live(&mut self, account_id: &str, campaign_id: &str) -> Option<Arc<Live>> {
        self.belief.accounts.get_mut(account_id)?.campaigns.get_mut(campaign_id)?.live.take()
    }

    fn put_live(&mut self, account_id: &str, campaign_id: &str, live: Arc<Live>) {
        let account = self.belief.accounts.get_mut(account_id);
        if let Some(campaign) = account.and_then(|account| account.campaigns.get_mut(campaign_id)) {
            campaign.live = Some(live);
        }
    }

    fn note(&mut self, lever: &'static str, why: &'static str) {
        self.noted.push((lever, why));
    }
}

/// Levers whose reasons arise only where the loop is evaluated.
const ASKED_AT_EVALUATIONS: [&str; 3] = ["bid", "hours", "modifiers"];

/// Whether a lever's word stays until its next evaluation.
pub fn is_asked_at_evaluations(lever: &str) -> bool {
    ASKED_AT_EVALUATIONS.contains(&lever)
}

/// How often the bid, its target and rules are asked.
pub fn intervals(policy: &Policy) -> [Millis; 3] {
    let clock = &policy.defaults.clock;
    let pacing = clock.pacing_interval_ms.max(MINUTE_MS);
    [pacing, clock.target_interval_ms.max(pacing), clock.rules_interval_ms.max(MINUTE_MS)]
}

/// The last instant of a campaign's cadence: multiples of the interval, moved by whole minutes so that campaigns spread
/// by their fingerprints.
pub fn last_instant(spread: u64, now: Millis, interval: Millis) -> Millis {
    let slots = (interval / MINUTE_MS).max(1) as u64;
    let shift = (spread % slots) as Millis * MINUTE_MS;
    now.saturating_sub(shift).div_euclid(interval).saturating_mul(interval).saturating_add(shift)
}

/// A daily budget of the platform follows the plan in steps of at least a twentieth.
const BUDGET_STEP_SHARE: u64 = 20;

impl Lever {
    /// As "why nothing" names it.
    pub fn word(self) -> &'static str {
        match self {
            Lever::Bid => "bid",
            Lever::Budget => "budget",
            Lever::State => "state",
        }
    }
}
