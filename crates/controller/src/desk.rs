//! Where decisions are made: looks at one campaign, asks the policy, passes the guard, writes the command.
//!
//! What always holds: belief moves first and alike in every mode; only under [`Authority::Decide`] is anything decided;
//! whatever leaves went through the guard and was applied to the ledger in the same breath; a command names everything
//! needed to reproduce it. Nothing here has a state of its own.

mod first_touch;
mod hours;
mod incidents;
mod limits;
mod pools;
mod rules;
mod underperformer;
mod undo;
mod values;
mod written;

pub use rules::{RULE_ALERT, RuleSaid, alert_kind, risk};
pub use undo::Undo;
pub use written::target;

use crate::alerts::{Alerts, Condition, Origin, Subject, subject};
use crate::belief::{Account, Belief};
use crate::breakdown::{Breakdown, Sums as DimensionSums};
use crate::by_value::Look;
use crate::by_weather;
use crate::campaign::Live;
use crate::channel::Channel;
use crate::goals;
use crate::group::Group;
use crate::hour_table::has_factors;
use crate::ledger::{
    CampaignLedger, GUARD_REFUSED_TERM, Ledger, Lever, RUNNING, TABLE_KIND, VALUE_KIND, ack_limit_ms, value_of,
};
use crate::pacing::{Around, Evaluation, Pacing, assumed_bid};
use crate::picture::{Outlook, Picture, Scene};
use crate::quiet::{Glance, Quiet};
use crate::rule_memory::terms_of_rule;
use crate::seen::fingerprint;
use crate::slot::Slot;
use crate::surroundings::PLACES_MAX;
use crate::{JournalPosition, Outputs, Setup};
use model::WHOLE_PPM;
use model::fact::Decision;
use model::marginal::{NOT_KEPT, OTHER, dimension_named};
use model::output::*;
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use policy::anomaly::{Detector, Finding, Kind, Severity};
use policy::arithmetic::bid_micros;
use policy::composition::{Binding, is_worth_a_command};
use policy::explain::{Reason, amount};
use policy::gates::{Freshness, Gate, Permission, WhyNothing, freshness};
use policy::guard::{Action, GuardHold, Mode, Proposal, Verdict, check};
use policy::hold::Hold;
use policy::pause::{Holder, Resume, ResumeInput, resume_daily_cap, resume_runaway};
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

    /// Takes a person's word on a proposal.
    pub fn hear(&mut self, decision: &Decision) {
        let Some(campaign_id) = decision.campaign_id.clone().or_else(|| self.campaign_of(decision)) else { return };
        if decision.decision == "undo" {
            return self.undo(decision, &campaign_id);
        }
        let found = self.ledger.campaign(&decision.account_id, &campaign_id);
        let Some(proposal) = found.and_then(|campaign| campaign.proposals.get(&decision.command_id)).cloned() else {
            return;
        };
        match decision.decision.as_str() {
            "approve" => self.approve(proposal, None),
            "edit" => self.approve(proposal, decision.value_micros),
            "snooze" => {
                let until = decision.until.unwrap_or(self.now).max(self.now);
                self.propose(Adjustment { decide_by: Some(until), ..proposal });
            }
            _ => self.propose(Adjustment { state: "rejected".into(), ..proposal }),
        }
    }

    /// Proposals that nobody decided in time.
    pub fn expire_proposals(&mut self) {
        let now = self.now;
        let late = |proposal: &Adjustment| proposal.decide_by.is_some_and(|by| by <= now);
        let campaigns = self.ledger.accounts.values().flat_map(|account| account.campaigns.values());
        let expired: Vec<Adjustment> = campaigns
            .flat_map(|campaign| campaign.proposals.values())
            .filter(|proposal| late(proposal))
            .cloned()
            .collect();
        for proposal in expired {
            self.propose(Adjustment { state: "expired".into(), ..proposal });
        }
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

    /// Pauses of the hard stop, the runaway, the flight's end and the halt, and the resumes when their causes are over.
    fn stop_or_start(&mut self, case: &Case<'_>) {
        let gate = self.gate(case.account_id, case.campaign_id, case.live, case.picture, Lever::State);
        let spec = &case.live.spec;
        let controlled = [&spec.bid_control, &spec.budget_control].iter().any(|control| *control == "paceline");
        match self.must_stand(case, &gate) {
            Some((holder, reason, until)) if controlled && spec.status == "active" => {
                if self.needs_pause(case, holder) {
                    self.submit(case, Lever::State, Action::Pause(holder, until), reason);
                }
            }
            Some(_) => {}
            None if self.keeps_underperformer(case) => {}
            None => {
                self.resume(case, &gate);
                self.stop_underperformer(case, &gate);
            }
        }
    }

    /// Who holds the campaign still now, why, and until when if that ends by itself.
    fn must_stand(&self, case: &Case<'_>, gate: &Gate) -> Option<(Holder, Reason, Option<Millis>)> {
        let halted = self.ledger.halt_of(case.account_id, case.campaign_id).is_some();
        let over = case.live.spec.flight_end.is_some_and(|end| self.now >= end);
        let stopped = case.pacing.hard_stop.is_open();
        let may_stop = gate.permission <= Permission::HardStopOnly;
        if halted {
            Some((Holder::Halt, Reason::Halt, None))
        } else if over {
            Some((Holder::Flight, Reason::FlightEnd, None))
        } else if may_stop && case.pacing.runaway.is_open() {
            Some((Holder::Runaway, Reason::Runaway, None))
        } else if may_stop && stopped {
            Some((Holder::DailyCap, Reason::DailyCap, Some(case.picture.day.end)))
        } else if gate.permission <= Permission::DecreasesOnly && !case.picture.has_its_turn() {
            Some((Holder::DailyCap, Reason::TinyBudgetTurn, None))
        } else {
            self.rule_pause(case).map(|until| (Holder::Rule, Reason::Rule, Some(until)))
        }
    }

    /// Whether a pause is still to be sent: nobody of ours holds yet, or the pause was lost.
    fn needs_pause(&self, case: &Case<'_>, holder: Holder) -> bool {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return true };
        if Mode::parse(&case.live.spec.mode) != Mode::Auto && holder != Holder::Halt || self.observes(case) {
            let shown = ledger.state.shown.filter(|(_, at)| *at >= case.picture.day.start);
            return shown.is_none_or(|(value, _)| value != 0) && ledger.state.assumed() != Some(0);
        }
        if ledger.holders.since(Holder::Person).or(ledger.holders.since(Holder::Platform)).is_some() {
            return false;
        }
        match &ledger.state.pending {
            Some(pending) if pending.value == 0 => self.is_lost(case, &ledger.state, ledger),
            Some(_) => true,
            None => ledger.state.confirmed != Some(0) || ledger.holders.since(holder).is_none() && !ledger.is_paused(),
        }
    }

    fn resume(&mut self, case: &Case<'_>, gate: &Gate) {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return };
        let foreign = ledger.holders.since(Holder::Person).or(ledger.holders.since(Holder::Platform)).is_some();
        let resume_lost = ledger.state.pending.as_ref().is_some_and(|pending| pending.value == RUNNING)
            && self.is_lost(case, &ledger.state, ledger);
        let held =
            [Holder::Runaway, Holder::DailyCap, Holder::Halt, Holder::Flight, Holder::Underperformer, Holder::Rule];
        let held = held.into_iter().find_map(|holder| Some((holder, ledger.holders.since(holder)?)));
        let held = held.or(resume_lost.then_some((Holder::DailyCap, Millis::MIN)));
        let (Some((holder, since)), false) = (held, foreign) else { return };
        if gate.permission != Permission::All {
            return self.note("state", gate.why.map_or("held", WhyNothing::as_str));
        }
        if let Some((value, at)) = ledger.state.shown.filter(|_| Mode::parse(&case.live.spec.mode) != Mode::Auto)
            && value == RUNNING
            && at >= since
        {
            return;
        }
        let day = case.live.calendar.day_of(since.max(0));
        let input = ResumeInput {
            now_ms: self.now,
            paused_at_ms: since,
            day_end_ms: if case.pacing.hard_stop.is_open() { case.picture.day.end } else { day.end.min(self.now) },
            flight_end_ms: case.live.spec.flight_end,
            bid_in_force_micros: assumed_bid(case.live, ledger),
            bid_yesterday_micros: ledger.bid.value_at(self.now.saturating_sub(24 * HOUR_MS)),
            runaway_resumes: ledger.runaway_resumes_at(self.now),
        };
        let (resume, reason) = match holder {
            Holder::Runaway => {
                (resume_runaway(&input, &case.settings.anomaly.runaway, &case.settings.pause), Reason::RunawayOver)
            }
            Holder::Halt => (resume_daily_cap(&input, &case.settings.pause), Reason::Person),
            Holder::Underperformer => (resume_daily_cap(&input, &case.settings.pause), Reason::UnderperformerOver),
            Holder::Rule => {
                let input = ResumeInput { day_end_ms: ledger.rules.pause_until, ..input };
                (resume_daily_cap(&input, &case.settings.pause), Reason::Rule)
            }
            _ if case.picture.is_tiny => (resume_daily_cap(&input, &case.settings.pause), Reason::TinyBudgetTurn),
            _ => (resume_daily_cap(&input, &case.settings.pause), Reason::DayStarted),
        };
        match resume {
            Resume::With(bid) => {
                let lower = bid.filter(|bid| assumed_bid(case.live, ledger).is_some_and(|in_force| *bid < in_force));
                if let Some(bid) = lower.filter(|_| case.live.spec.bid_control == "paceline") {
                    self.submit(case, Lever::Bid, Action::SetBid(bid as f64), reason);
                }
                self.submit(case, Lever::State, Action::Resume(holder), reason);
            }
            Resume::Latched => {
                self.note("state", "runaway_latched");
                if self.needs_resume_proposal(case) {
                    self.submit(case, Lever::State, Action::Resume(holder), reason);
                }
            }
            Resume::NotYet => self.note("state", "pause_dwells"),
            Resume::FlightEnds => self.note("state", "flight_ends"),
        }
    }

    fn needs_resume_proposal(&self, case: &Case<'_>) -> bool {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        ledger.is_some_and(|ledger| !ledger.proposals.values().any(|proposal| proposal.kind == "resume"))
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
        let reason = match (composed.binding, raises) {
            (Binding::Target, _) => Reason::Target,
            (_, true) => Reason::PacingBehind,
            (_, false) => Reason::PacingAhead,
        };
        self.submit(case, Lever::Bid, Action::SetBid(bid as f64), reason);
    }

    /// A command that nobody answered within its limit is issued again: the value is still wanted.
    fn reissue_bid(&mut self, case: &Case<'_>, gate: &Gate) {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return };
        if Mode::parse(&case.live.spec.mode) != Mode::Auto || !self.is_lost(case, &ledger.bid, ledger) {
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
                if !observed && self.is_waiting(case, lever) {
                    self.note(lever.word(), "awaiting_approval");
                    return false;
                }
                let adjustment = self.written(case, lever, guarded.checked(), state, by);
                self.propose(adjustment);
                true
            }
        }
    }

    fn approve(&mut self, proposal: Adjustment, edited: Option<i64>) {
        let late = proposal.decide_by.is_some_and(|by| by <= self.now);
        let smaller = match (edited, proposal.value_micros) {
            (Some(value), Some(proposed)) => value > 0 && value <= proposed,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if late || !smaller {
            return self.propose(Adjustment { state: if late { "expired" } else { "rejected" }.into(), ..proposal });
        }
        let (account_id, campaign_id) = (proposal.account_id.clone(), proposal.campaign_id.clone());
        let Some(action) = action_of(&proposal, edited) else { return };
        let lever = Lever::of(&proposal.kind).unwrap_or(Lever::State);
        let reason = if proposal.reason == Reason::Undo.as_str() { Reason::Undo } else { Reason::Person };
        let approved = Proposal { action, reason, group_sum_micros: None, approved: true };
        let issued = self.at_case(&account_id, &campaign_id, true, |desk, case| {
            // Which rule it was, and how long the value is the rule's, the command says again; the person decides the mode.
            let terms = terms_of_rule(&proposal, desk.now, case.picture.day.end);
            desk.ruling = (!terms.is_empty()).then(|| rules::Ruling { mode: Mode::Auto, terms, text: String::new() });
            let before = desk.outputs.adjustments.len();
            match (&approved.action, &proposal.table) {
                (Action::SetModifierTable, Some(table)) => desk.submit_persons_hours(case, table, reason, true),
                (Action::SetModifier, _) => match (&proposal.dimension, proposal.value_ppm) {
                    (Some(of), Some(ppm)) => desk.submit_persons_value(case, of, ppm, reason, true),
                    _ => false,
                },
                _ => desk.submit_proposal(case, lever, &approved),
            };
            // By what went out: a campaign that only observes by now writes down what it would have done.
            let issued = desk.outputs.adjustments.len() > before;
            if let Some(command) = desk.outputs.adjustments.last_mut().filter(|_| issued) {
                command.group_id.clone_from(&proposal.group_id);
            }
            issued
        });
        self.ruling = None;
        let Some(issued) = issued else { return };
        let state = if issued { "approved" } else { "rejected" };
        let mut proposal = Adjustment { state: state.into(), ..proposal };
        if !issued {
            // A person said yes: what the guard refuses now is no word against the campaign's next proposal.
            proposal.explanation.terms.push(Term { name: GUARD_REFUSED_TERM.into(), value: 1 });
        }
        self.propose(proposal);
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
    fn is_lost(&self, case: &Case<'_>, slot: &Slot, _ledger: &CampaignLedger) -> bool {
        let limit = ack_limit_ms(case.picture.apply_ms, case.settings.gates.ack_limit_applies);
        slot.pending.as_ref().is_some_and(|pending| self.now.saturating_sub(pending.issued_at) >= limit)
    }

    fn observes(&self, case: &Case<'_>) -> bool {
        Mode::parse(&case.live.spec.mode) == Mode::Observe
    }

    fn is_waiting(&self, case: &Case<'_>, lever: Lever) -> bool {
        let Some(ledger) = self.ledger.campaign(case.account_id, case.campaign_id) else { return false };
        self.now < ledger.quiet_until
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
        if self.is_lost(case, &ledger.bid, ledger) {
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

/// Once a local day: what the hours have shown since; nothing, where tracking was broken meanwhile.
fn follow_hours(live: &mut Live, pacing: &Pacing, account: Option<&Account>, picture: &Picture, settings: &Settings) {
    let by_value = live.goes_for_value();
    let Some(account) = account else { return };
    let Some(by_hour) = live.by_hour.as_mut() else { return };
    if by_hour.is_due(&picture.day, picture.now, &settings.modifiers) {
        let is_doubted = pacing.hours.as_ref().is_some_and(|hours| hours.doubts(by_hour.seen_until()));
        if is_doubted || by_hour.is_spoiled() {
            return by_hour.pass_over(picture.day.date, picture.seen_until);
        }
        let seen = account.development.seen_share(picture.seen_until, &settings.target);
        by_hour.evaluate(picture.day.date, picture.seen_until, &seen, by_value, &settings.modifiers);
    }
}

/// The same by the values of dimensions, at the same instant.
fn follow_values(live: &mut Live, pacing: &Pacing, account: Option<&Account>, picture: &Picture, settings: &Settings) {
    let instant = picture.day.start.saturating_add(settings.modifiers.local_hour.clamp(0, 23) * HOUR_MS);
    let (date, breakdown) = (picture.day.date, live.breakdown.clone());
    let (Some(account), Some(breakdown)) = (account, breakdown.filter(|_| has_factors(&live.spec))) else { return };
    if picture.now < instant || live.by_value.as_ref().is_some_and(|by_value| by_value.is_evaluated(date)) {
        return;
    }
    let around = live.surroundings.clone().unwrap_or_default();
    let mut by_value = live.by_value.take().unwrap_or_default();
    let before = by_value.seen_until();
    let look = Look {
        date,
        seen_until: picture.seen_until,
        seen: &account.development.seen_share(picture.seen_until, &settings.target),
        calendar: &live.calendar,
        by_impression: live.pays_for_impressions(),
        unit: live.by_hour.as_ref().filter(|_| live.goes_for_value()).and_then(|by_hour| by_hour.unit()),
        is_believed: !pacing.hours.as_ref().is_some_and(|hours| hours.doubts(before)),
        is_excluded: &|from, to| around.is_excluded(from, to),
        settings: &settings.modifiers,
    };
    Arc::make_mut(&mut by_value).evaluate(&look, &breakdown, &live.spec);
    live.by_value = Some(by_value);
}

/// The same by weather.
fn follow_weather(live: &mut Live, pacing: &Pacing, account: Option<&Account>, picture: &Picture, settings: &Settings) {
    let (by_impression, by_value) = (live.pays_for_impressions(), live.goes_for_value());
    let Some(account) = account else { return };
    let Some(by_weather) = live.by_weather.as_mut() else { return };
    if !by_weather.is_due(&picture.day, picture.now, &settings.modifiers) {
        return;
    }
    let before = by_weather.seen_until();
    Arc::make_mut(by_weather).evaluate(&by_weather::Look {
        date: picture.day.date,
        seen_until: picture.seen_until,
        seen: &account.development.seen_share(picture.seen_until, &settings.target),
        by_impression,
        by_value,
        is_believed: !pacing.hours.as_ref().is_some_and(|hours| hours.doubts(before)),
        settings: &settings.modifiers,
    });
}

/// Where clicks are made: asked once a local day, and until something is known.
fn follow_places(live: &mut Live, picture: &Picture) {
    let is_due = live.places.is_empty() || live.places_asked != Some(picture.day.date);
    let Some(breakdown) = live.breakdown.clone().filter(|_| is_due) else { return };
    live.places_asked = Some(picture.day.date);
    let places = places_of(&breakdown, picture.day.date);
    if places != live.places {
        live.places = places;
        live.forget_surroundings();
    }
}

/// The places of most clicks of two weeks, with their parts; impressions where nothing is clicked.
fn places_of(breakdown: &Breakdown, today: i32) -> Vec<(Box<str>, f32)> {
    let Some(geo) = dimension_named("geo") else { return Vec::new() };
    let sums = breakdown.sums_since(geo, today.saturating_sub(14));
    let clicks: i64 = sums.values().map(|sums| sums.clicks.max(0)).fold(0, i64::saturating_add);
    let count = |sums: &DimensionSums| if clicks > 0 { sums.clicks.max(0) } else { sums.impressions.max(0) };
    let all = sums.values().map(count).fold(0, i64::saturating_add).max(1) as f64;
    let told = sums.iter().filter(|(place, sums)| is_told(place) && count(sums) > 0);
    // In hundredths: shares that move a little move nothing.
    let share = |sums: &DimensionSums| (libm::round(count(sums) as f64 / all * 100.0) / 100.0) as f32;
    let mut places: Vec<(Box<str>, f32)> = told.map(|(place, sums)| (place.as_str().into(), share(sums))).collect();
    places.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    places.truncate(PLACES_MAX);
    places
}

fn is_told(place: &str) -> bool {
    !place.is_empty() && place != OTHER && place != NOT_KEPT
}

/// The factor that holds under each weather, or last did, where it is still wanted.
fn weather_factors(live: &Live, ledger: &CampaignLedger, now: Millis) -> Vec<(Box<str>, i64)> {
    let Some(by_weather) = &live.by_weather else { return Vec::new() };
    let holding = live.around().weather_at(now);
    let own = ledger.values.iter().filter(|((name, _), _)| name == by_weather::DIMENSION);
    let factor = own.filter_map(|((_, word), slot)| {
        let in_force = slot.assumed().first().copied().unwrap_or(WHOLE_PPM);
        let is_wanted = by_weather.wanted(word) != 1.0 && slot.reached > 0;
        let ppm = match holding == Some(word.as_str()) {
            true => in_force,
            false if is_wanted => slot.reached,
            false => WHOLE_PPM,
        };
        (ppm != WHOLE_PPM).then(|| (word.as_str().into(), ppm))
    });
    factor.collect()
}

pub fn condition(finding: &Finding, campaign_id: &str, currency: &str, binding: Binding) -> Condition {
    Condition {
        severity: finding.severity.as_str(),
        observed: Some(finding.observed),
        expected: Some(finding.expected),
        money_at_stake_micros: finding.at_stake_micros,
        text: format!("Campaign {campaign_id}: {}.", told(finding, currency, binding)),
        suggested_command: None,
        incident_id: None,
    }
}

/// What was seen and what was expected, as a person says it.
pub fn told(finding: &Finding, currency: &str, binding: Binding) -> String {
    let (seen, wanted) = (finding.observed, finding.expected);
    let money = |micros: i64| amount(micros, currency);
    let minutes = |span_ms: i64| span_ms / MINUTE_MS;
    match finding.kind {
        Kind::HardStop => {
            format!("spend will reach {} before a later pause could act, the ceiling is {}", money(seen), money(wanted))
        }
        Kind::EarlyStop => format!(
            "the day's budget was used up early: {} spent or on its way, {} was planned by now",
            money(seen),
            money(wanted)
        ),
        Kind::Runaway => {
            format!("{} were spent in five minutes, {} was the most to be expected", money(seen), money(wanted))
        }
        Kind::UnderspendRisk => {
            format!("the period will end at {} of {}: {}", money(seen), money(wanted), what_binds(binding))
        }
        Kind::DeliveryStopped => format!("no event, though about {wanted} were due"),
        Kind::TrackingBreak => format!("{seen} conversions arrived where about {wanted} were due, and clicks flow"),
        Kind::CostSpike => format!("an event costs {}, usual is {}", money(seen), money(wanted)),
        Kind::InvalidTraffic => format!("{seen} invalid clicks within a day, about {wanted} are usual"),
        Kind::UnexplainedConversions => format!(
            "{seen} conversions arrived within a day where the clicks explain about {wanted}: a pixel that fires twice, an \
             import, or a fraud; the target rests"
        ),
        Kind::CpaBreak => format!(
            "{seen} conversions arrived within a day where about {wanted} were due: each costs more than it did, and the \
             tracking lives"
        ),
        Kind::ClickRateSpike => {
            format!("{seen} clicks within an hour where the impressions explain about {wanted}: suspect traffic")
        }
        Kind::FeedSilent => format!(
            "none of the events that cost money came, though about {wanted} were due by the others: their feed may be dead, \
             and spend is not seen"
        ),
        Kind::SpecJump => {
            format!("a number of the new specification jumped from {wanted} to {seen} and waits for a person")
        }
        Kind::DataGap => format!(
            "the newest data are {} min old, more than {} min, so increases are held",
            minutes(seen),
            minutes(wanted)
        ),
        Kind::AckMissing if finding.severity == Severity::Critical => {
            "a pause was not answered in time or was refused, so spend may go on: pause it by hand and look at the ad-buying system"
                .to_owned()
        }
        Kind::AckMissing => format!("{seen} command(s) were not answered in time"),
        Kind::ValueMismatch => format!("{} is in force where {} was set", money(seen), money(wanted)),
    }
}

/// Why the money stays, and what would move it.
fn what_binds(binding: Binding) -> &'static str {
    match binding {
        Binding::Budget => "the bid follows the budget and is catching up",
        Binding::Target => "the target holds the bid, more budget changes nothing",
        Binding::BidMax => "the highest bid holds it",
        Binding::BidMin => "the bid is at its lowest",
        Binding::Supply => "there is too little traffic, or too few events to raise the bid on",
        Binding::None => "no bid of ours is in force",
    }
}

fn action_of(proposal: &Adjustment, edited: Option<i64>) -> Option<Action> {
    if proposal.kind == TABLE_KIND {
        return Some(Action::SetModifierTable);
    }
    if proposal.kind == VALUE_KIND {
        return Some(Action::SetModifier);
    }
    let value = edited.or(value_of(proposal))?;
    let holder = || proposal.holder.as_deref().and_then(Holder::parse).unwrap_or(Holder::Person);
    match proposal.kind.as_str() {
        "set_bid" => Some(Action::SetBid(value as f64)),
        "set_daily_budget" => Some(Action::SetDailyBudget(value as f64)),
        "pause" => Some(Action::Pause(holder(), None)),
        "resume" => Some(Action::Resume(holder())),
        _ => None,
    }
}

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
