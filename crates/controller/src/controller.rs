//! One journal record at a time: count it, look at whom it concerns, publish what closed, remember what was said.
//!
//! The order inside a record never changes: positions, facts and amounts; leases that ran out; looks at the campaigns
//! that the record touched, and once a minute at all; people's decisions; leases; rows. Belief is through before
//! anything is decided about the same campaign, so that a log can take the place of the decisions.

use crate::alerts::{Alerts, Condition, Origin, Subject, subject};
use crate::assembly::Assembly;
use crate::belief::{Belief, Moment, Specified, Stamp, Touched};
use crate::campaign::{Campaign, Live};
use crate::channel::Channel;
use crate::desired;
use crate::desk::{Desk, Due, RULE_ALERT, alert_kind, intervals, is_asked_at_evaluations, last_instant, risk};
use crate::frozen::MAGIC;
use crate::halts::Heard;
use crate::ledger::{CampaignLedger, Ledger};
use crate::loss::Loss;
use crate::picture::feed_period_ms;
use crate::positions::{Positions, Verdict};
use crate::quiet::Glance;
use crate::seen::fingerprint;
use crate::view::{AccountGoalNow, View};
use crate::{Authority, JournalPosition, LoggedDecision, Outputs, Setup, SnapshotError};
use model::fact::{CampaignSpec, Decision, Fact, Halt, PolicyVersion};
use model::journal::{CopiedFact, JournalRecord};
use model::time::{MINUTE_MS, Millis};
use policy::gates::{Freshness, freshness};
use policy::goal::is_told_at_risk;
use policy::pressure::{Block, Supply, raise_block};
use policy::rule::Then;
use policy::settings::{Policy, Pressure as PressureSettings};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The state machine of one journal partition.
#[derive(Clone, Debug)]
pub struct Controller {
    pub(crate) setup: Setup,
    pub(crate) state: State,
    /// Parsed from the state's body.
    pub(crate) policy: Policy,
}

/// Everything that a snapshot holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) next_offset: i64,
    pub(crate) now: Millis,
    pub(crate) positions: Positions,
    assembly: Assembly,
    pub(crate) belief: Belief,
    pub(crate) ledger: Ledger,
    pub(crate) alerts: Alerts,
    pub(crate) policy_version: i64,
    policy_versions: BTreeMap<String, i64>,
    policy_body: String,
    /// Increases are held until then: the clock jumped.
    jump_until: Millis,
    pub(crate) loss: Option<Loss>,
}

impl Controller {
    /// The state before the first record.
    pub fn new(setup: Setup) -> Self {
        let state = State {
            next_offset: 0,
            now: Millis::MIN,
            positions: Positions::default(),
            assembly: Assembly::default(),
            belief: Belief::default(),
            ledger: Ledger::default(),
            alerts: Alerts::default(),
            policy_version: 0,
            policy_versions: BTreeMap::new(),
            policy_body: String::new(),
            jump_until: Millis::MIN,
            loss: None,
        };
        Self { setup, state, policy: Policy::default() }
    }

    /// Applies one journal record. A record before [`Controller::next_offset`] changes nothing.
    pub fn apply(&mut self, at: JournalPosition, record: &JournalRecord, authority: Authority<'_>) -> Outputs {
        let mut round = Round { at, decide: matches!(authority, Authority::Decide), ..Round::default() };
        if at.offset < self.state.next_offset {
            return round.outputs;
        }
        self.state.next_offset = at.offset.saturating_add(1);
        let minute = self.advance_clock(at, &mut round);
        self.tell_loss(&mut round);
        let mut touched = Touched::new();
        let parts;
        if record.parts <= 1 {
            self.take(std::slice::from_ref(record), &mut touched, &mut round);
        } else if let Some(whole) = self.state.assembly.take(record) {
            parts = whole;
            self.take(&parts, &mut touched, &mut round);
        }
        round.changed.extend(self.state.ledger.lapse(self.state.now));
        if minute {
            // Before anything is decided: a rebuild has the same ledger here.
            let State { belief, ledger, positions, now, .. } = &mut self.state;
            belief.tend_context(*now);
            belief.tend_pools(ledger, &self.policy, *now, positions.watermark());
        }
        self.stir();
        self.look(&touched, minute, &mut round);
        self.publish_rows(&touched, minute, &mut round);
        self.publish_desired(&mut round);
        if let Authority::Log(decisions) = authority {
            self.apply_log(decisions);
        } else {
            self.stir();
        }
        round.outputs
    }

    /// Campaigns whose ledgers were written to are looked at again.
    fn stir(&mut self) {
        let State { belief, ledger, .. } = &mut self.state;
        for (account_id, campaign_id) in ledger.take_written() {
            if belief.campaign(&account_id, &campaign_id).is_some_and(Campaign::has_quiet)
                && let Some(live) = belief.live_mut(&account_id, &campaign_id)
            {
                live.quiet = None;
            }
        }
    }

    /// Offset of the next journal record to apply.
    pub fn next_offset(&self) -> i64 {
        self.state.next_offset
    }

    /// The next policy counts, whatever its version: for a replay under another one than those that were published.
    pub fn forget_policy_versions(&mut self) {
        self.state.policy_versions.clear();
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Read-only answers.
    pub fn view(&self) -> View<'_> {
        View { controller: self }
    }

    /// The state from its bytes.
    pub fn restore(setup: Setup, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(SnapshotError::Format)?;
        let (partition, rest) = rest.split_first_chunk::<4>().ok_or(SnapshotError::Corrupt)?;
        let partition = i32::from_be_bytes(*partition);
        if partition != setup.partition {
            return Err(SnapshotError::Partition(partition));
        }
        let (mut state, left) = postcard::take_from_bytes::<State>(rest).map_err(|_| SnapshotError::Corrupt)?;
        if !left.is_empty() {
            return Err(SnapshotError::Corrupt);
        }
        state.belief.wake();
        let policy = policy::settings::check(&state.policy_body).map_err(|_| SnapshotError::Corrupt)?;
        Ok(Self { setup, state, policy })
    }

    /// Moves `now`; `true` where a minute has begun. After a gap that is one minute, the last.
    fn advance_clock(&mut self, at: JournalPosition, round: &mut Round) -> bool {
        let before = self.state.now;
        self.state.now = before.max(at.timestamp_ms);
        let clock = &self.policy.defaults.clock;
        let jumped = before != Millis::MIN && self.state.now.saturating_sub(before) > clock.jump_alert_ms;
        if jumped {
            self.state.jump_until = self.state.now.saturating_add(clock.jump_hold_ms);
        }
        let condition = Condition {
            severity: "warning",
            observed: Some(self.state.now.saturating_sub(before.max(0))),
            text: "The journal's clock jumped forward; increases are held for a while.".into(),
            ..Condition::default()
        };
        let holds = self.state.now < self.state.jump_until;
        self.settle(&subject("clock_jump", None, None), Some(&condition).filter(|_| holds), round);
        let every = self.policy.defaults.clock.rules_interval_ms.max(MINUTE_MS);
        round.goals = self.state.now.div_euclid(every) != before.div_euclid(every);
        self.state.now.div_euclid(MINUTE_MS) != before.div_euclid(MINUTE_MS)
    }

    /// Goals of accounts, at their instants.
    fn tell_goals(&mut self, round: &mut Round) {
        for goal in self.view().goals() {
            let about = subject(&goal.kind(), Some(&goal.account_id), None);
            let is_told = self.state.alerts.is_open(&about);
            let at_risk = is_told_at_risk(&goal.now.outlook, is_told);
            let condition = at_risk.then(|| risk(&goal.now, &format!("Account {}, {}", goal.account_id, goal.name)));
            self.settle(&about, condition.as_ref(), round);
        }
    }

    /// Alerts of rules and of accounts' goals that the policy knows no more are over.
    fn settle_removed(&mut self, round: &mut Round) {
        let policy = &self.policy;
        let rules = policy.rules.iter().filter(|rule| matches!(rule.then, Then::Alert(_)));
        let goals = policy.goals.iter().map(|goal| (AccountGoalNow::kind_of(&goal.name), goal.account_id.clone()));
        let rules: BTreeSet<String> = rules.map(|rule| alert_kind(&rule.name)).collect();
        let goals: BTreeSet<(String, String)> = goals.collect();
        let mut open = self.state.alerts.beginning(RULE_ALERT);
        open.extend(self.state.alerts.beginning(AccountGoalNow::KIND));
        for about in open {
            if !rules.contains(&about.0) && !goals.contains(&(about.0.clone(), about.1.clone())) {
                self.settle(&about, None, round);
            }
        }
    }

    /// Counts the parts of one cut.
    fn take<'a>(&mut self, parts: &'a [JournalRecord], touched: &mut Touched<'a>, round: &mut Round) {
        let Some(first) = parts.first() else { return };
        match self.state.positions.verdict(first) {
            Verdict::Apply => {}
            Verdict::Duplicate => {
                self.state.belief.counters.duplicate_records += 1;
                return;
            }
            // What it brings is news, and counting it keeps budgets safe; what lies before it is lost or still to come.
            Verdict::Gap(words) => self.hold(words, round),
            // A part of it is counted already, and nothing tells which: counting money twice helps nobody.
            Verdict::Overlap(words) => return self.hold(words, round),
        }
        self.state.belief.counters.records += 1;
        for part in parts {
            self.fold(part, touched, round);
        }
        self.state.positions.advance(first, self.setup.input_partitions);
        self.settle_quarantine(touched, round);
    }

    fn fold<'a>(&mut self, record: &'a JournalRecord, touched: &mut Touched<'a>, round: &mut Round) {
        let moment = Moment { now: self.state.now, minute_rows: self.setup.minute_rows };
        // Policies, then specifications: amounts of the same cut then need no quarantine.
        for fact in &record.facts {
            match &fact.record {
                Fact::PolicyVersion(version) => self.adopt(version, round),
                Fact::CampaignSpec(spec) => {
                    touched.insert((&spec.account_id, &spec.campaign_id));
                    self.specify(spec, moment, round);
                }
                _ => {}
            }
        }
        self.state.belief.fold_deltas(record, moment, touched);
        self.state.belief.fold_minute(record, moment.now);
        for fact in &record.facts {
            if let Fact::Halt(halt) = &fact.record {
                let heard = self.state.ledger.hear_halt(halt, fact.timestamp, is_copied_again(record, fact));
                self.tell_outdated(halt, heard, round);
                if heard != Heard::News {
                    continue;
                }
            }
            self.fold_fact(&fact.record, moment, touched, round);
        }
    }

    fn fold_fact<'a>(&mut self, fact: &'a Fact, moment: Moment, touched: &mut Touched<'a>, round: &mut Round) {
        let State { belief, ledger, .. } = &mut self.state;
        match fact {
            Fact::EntitySpec(entity) => belief.specify_entity(entity, moment.now),
            Fact::StatsReport(report) => {
                touched.insert((&report.account_id, &report.campaign_id));
                belief.fold_report(report, moment);
            }
            Fact::Correction(correction) => {
                touched.insert((&correction.account_id, &correction.campaign_id));
                belief.fold_correction(correction, moment);
            }
            Fact::Ack(ack) => {
                let settings = &self.policy.for_campaign(&ack.account_id, &ack.campaign_id).anomaly;
                let Some(foreign) = ledger.apply_ack(ack, moment.now, settings) else { return };
                touched.insert((&ack.account_id, &ack.campaign_id));
                self.answered(&ack.account_id, &ack.campaign_id, foreign, round);
            }
            Fact::StateReport(report) => {
                if ledger.campaign(&report.account_id, &report.campaign_id).is_none()
                    && ledger.campaign_count() >= belief.campaign_count() + UNEXPLAINED_LEDGERS_MAX
                {
                    belief.counters.unexplained_read_backs += 1;
                    return;
                }
                touched.insert((&report.account_id, &report.campaign_id));
                let settings = &self.policy.for_campaign(&report.account_id, &report.campaign_id).anomaly;
                let ours = belief.controls(&report.account_id, &report.campaign_id);
                let foreign = ledger.apply_report(report, ours, moment.now, settings);
                self.answered(&report.account_id, &report.campaign_id, foreign, round);
            }
            Fact::Halt(halt) => self.halt(halt, round),
            Fact::Decision(decision) => self.hear_or_confirm(decision, round),
            Fact::ContextSignal(signal) => belief.hear_context(signal, moment.now),
            Fact::CampaignSpec(_) | Fact::PolicyVersion(_) => {}
        }
    }

    fn specify(&mut self, spec: &CampaignSpec, moment: Moment, round: &mut Round) {
        let settings = &self.policy.for_campaign(&spec.account_id, &spec.campaign_id).anomaly;
        let about = subject("spec_jump", Some(&spec.account_id), Some(&spec.campaign_id));
        match self.state.belief.specify(spec, moment, settings) {
            Specified::Stale => {}
            Specified::Taken => self.settle(&about, None, round),
            Specified::Jumped { old, new } => {
                let id = jump_id(&spec.campaign_id, spec.version);
                let condition = Condition {
                    severity: "warning",
                    observed: Some(new),
                    expected: Some(old),
                    money_at_stake_micros: new.saturating_sub(old).max(0),
                    text: format!(
                        "Version {} of campaign {} changes a number from {old} to {new}; the old one stays until a person \
                         confirms {id}.",
                        spec.version, spec.campaign_id
                    ),
                    suggested_command: Some(format!("paceline proposals approve {id}")),
                    incident_id: None,
                };
                self.settle(&about, Some(&condition), round);
            }
        }
    }

    /// Takes the policy in force, which is the one of a fixed name. One that does not parse changes nothing but is told.
    fn adopt(&mut self, version: &PolicyVersion, round: &mut Round) {
        let known = self.state.policy_versions.get(&version.name).copied().unwrap_or(i64::MIN);
        if version.name != POLICY_NAME || version.version <= known {
            return;
        }
        self.state.policy_versions.insert(version.name.clone(), version.version);
        let about = subject("policy_invalid", None, None);
        match policy::settings::check(&version.body) {
            Ok(policy) => {
                self.policy = policy;
                self.state.policy_body = version.body.clone();
                self.state.policy_version = version.version;
                self.settle(&about, None, round);
                self.settle_removed(round);
            }
            Err(mistakes) => {
                let text = format!(
                    "Version {} of policy {} has {} mistakes; the one before stays.",
                    version.version,
                    version.name,
                    mistakes.len()
                );
                self.settle(&about, Some(&Condition { severity: "critical", text, ..Condition::default() }), round);
            }
        }
    }

    /// A halt that came after its release stops nothing, and whoever gave it must hear of that; the scope's next word
    /// ends it.
    fn tell_outdated(&mut self, halt: &Halt, heard: Heard, round: &mut Round) {
        let about = subject("halt_outdated", halt.account_id.as_deref(), halt.campaign_id.as_deref());
        let condition = Condition {
            severity: "warning",
            text: format!(
                "A halt by {} ({}) was on its way while a later release of the same scope was given: it stops nothing. \
                 Halt again if it is meant.",
                halt.actor, halt.reason
            ),
            ..Condition::default()
        };
        match heard {
            Heard::Copy => {}
            Heard::News => self.settle(&about, None, round),
            Heard::Outdated => self.settle(&about, Some(&condition), round),
        }
    }

    /// A halt reaches campaigns in which nothing has happened yet, too.
    fn halt(&mut self, halt: &Halt, round: &mut Round) {
        self.state.ledger.apply_halt(halt);
        round.everyone = true;
        if halt.scope == "integrity" && self.state.ledger.integrity.is_none() {
            self.settle(&subject("integrity_hold", None, None), None, round);
        }
        for (account_id, account) in self.state.belief.accounts.iter_mut() {
            let in_account = halt.account_id.as_ref().is_none_or(|halted| halted == account_id);
            for (campaign_id, campaign) in account.campaigns.iter_mut().filter(|_| in_account) {
                if halt.campaign_id.as_ref().is_none_or(|halted| **halted == **campaign_id) {
                    Campaign::live_mut(campaign);
                }
            }
        }
    }

    fn hear_or_confirm(&mut self, decision: &Decision, round: &mut Round) {
        let campaign = decision.campaign_id.as_deref().unwrap_or_default();
        let version = decision.command_id.rsplit('/').next().and_then(|version| version.parse().ok()).unwrap_or(0);
        if decision.command_id != jump_id(campaign, version) {
            round.decisions.push(decision.clone());
            return;
        }
        let approved = decision.decision == "approve";
        if approved && self.state.belief.confirm_jump(&decision.account_id, campaign, version, self.state.now) {
            self.settle(&subject("spec_jump", Some(&decision.account_id), Some(campaign)), None, round);
        }
    }

    /// An answer or read-back changed the ledger.
    fn answered(&mut self, account_id: &str, campaign_id: &str, foreign: bool, round: &mut Round) {
        round.changed.insert((account_id.to_owned(), campaign_id.to_owned()));
        if foreign {
            let condition = Condition {
                severity: "warning",
                text: format!("Somebody else set a value of campaign {campaign_id}; it is left alone for a day."),
                ..Condition::default()
            };
            self.settle(&subject("value_mismatch", Some(account_id), Some(campaign_id)), Some(&condition), round);
        }
    }

    /// Looks at the campaigns that the record touched, and once a minute at all that live.
    fn look(&mut self, touched: &Touched<'_>, minute: bool, round: &mut Round) {
        let everyone = minute || round.everyone;
        let [restless, hushed] = self.restless(touched, everyone);
        #[cfg(any(test, debug_assertions))]
        self.make_looks_left_out(&restless, touched, (everyone, minute), round);
        // Words that a look would have taken back.
        for (account_id, campaign_id) in each(&hushed).filter(|_| round.decide) {
            let live = self.state.belief.live_mut(account_id, campaign_id);
            live.into_iter().for_each(|live| live.whys.retain(|(lever, _)| is_asked_at_evaluations(lever)));
        }
        let decisions = std::mem::take(&mut round.decisions);
        let intervals = intervals(&self.policy);
        let now = self.state.now;
        let mut desk = self.desk(round);
        let mut stopped = Vec::new();
        for (account_id, campaign_id) in each(&restless) {
            let due = if minute {
                desk.due(account_id, campaign_id, |name| {
                    let spread = fingerprint(name);
                    intervals.map(|every| last_instant(spread, now, every))
                })
            } else {
                Due::default()
            };
            if desk.attend(account_id, campaign_id, due) {
                stopped.push((account_id, campaign_id));
            }
        }
        // Everybody once: who was looked at saw the same shared budget, and a second look would see, beyond what was seen,
        // what the first one decided, which a reader of the log does not know yet.
        if !stopped.is_empty() {
            let mut looked_at: BTreeSet<(&str, String)> = each(&restless).map(|(a, c)| (a, c.to_owned())).collect();
            for (account_id, campaign_id) in stopped {
                for member in desk.members_of(account_id, campaign_id) {
                    if looked_at.insert((account_id, member.clone())) {
                        desk.attend(account_id, &member, Due::default());
                    }
                }
            }
        }
        if desk.decide {
            decisions.iter().for_each(|decision| desk.hear(decision));
            if minute {
                desk.expire_proposals();
                desk.move_pools();
            }
        }
        if minute && round.decide {
            self.renew_leases(round);
        }
        if round.goals {
            self.tell_goals(round);
        }
    }

    /// Campaigns that a look may find something new of, and those of the others that words stand about, by account.
    fn restless(&self, touched: &Touched<'_>, everyone: bool) -> [ByAccount; 2] {
        let State { belief, ledger, positions, alerts, now, policy_version, jump_until, .. } = &self.state;
        // What concerns everybody is looked at by everybody.
        let is_calm = !ledger.halted && ledger.integrity.is_none() && now >= jump_until && !alerts.any_open("breaker");
        let [mut restless, mut hushed] = [ByAccount::new(), ByAccount::new()];
        let mut sort = |account_id: &str, asked: &mut dyn Iterator<Item = (&Arc<str>, &Campaign)>, learned: i64| {
            let is_calm = is_calm && ledger.accounts.get(account_id).is_none_or(|account| !account.halted);
            let (now, watermark, policy_version) = (*now, positions.watermark(), *policy_version);
            let glance = Glance { now, watermark, policy_version, learned };
            let [mut loud, mut still] = [Vec::new(), Vec::new()];
            for (campaign_id, live) in asked.filter_map(|(id, campaign)| Some((id, campaign.live.as_deref()?))) {
                if !is_calm || !live.is_quiet(&glance) {
                    loud.push(campaign_id.clone());
                } else if live.whys.iter().any(|(lever, _)| !is_asked_at_evaluations(lever)) {
                    still.push(campaign_id.clone());
                }
            }
            for (all, own) in [(&mut restless, loud), (&mut hushed, still)] {
                if !own.is_empty() {
                    all.push((account_id.to_owned(), own));
                }
            }
        };
        if everyone {
            for (account_id, account) in belief.accounts.iter() {
                sort(account_id, &mut account.campaigns.iter(), account.hours_learned());
            }
            return [restless, hushed];
        }
        let mut touched = touched.iter().peekable();
        while let Some((account_id, _)) = touched.peek().copied().copied() {
            let own = std::iter::from_fn(|| touched.next_if(|(other, _)| *other == account_id));
            let Some(account) = belief.accounts.get(account_id) else {
                own.for_each(drop);
                continue;
            };
            let mut own = own.filter_map(|(_, campaign_id)| account.campaigns.get_entry(*campaign_id));
            sort(account_id, &mut own, account.hours_learned());
        }
        [restless, hushed]
    }

    pub(crate) fn desk<'d>(&'d mut self, round: &'d mut Round) -> Desk<'d> {
        let overridden = self.state.alerts.any_open("value_mismatch");
        Desk {
            setup: &self.setup,
            at: round.at,
            now: self.state.now,
            policy: &self.policy,
            policy_version: self.state.policy_version,
            watermark: self.state.positions.watermark(),
            jump_until: self.state.jump_until,
            belief: &mut self.state.belief,
            ledger: &mut self.state.ledger,
            alerts: &mut self.state.alerts,
            decide: round.decide,
            outputs: &mut round.outputs,
            overridden,
            noted: Vec::new(),
            ruling: None,
            changed: &mut round.changed,
        }
    }

    /// Keeps raises alive while the account's data are: at a third of their life.
    fn renew_leases(&mut self, round: &mut Round) {
        let stamp = stamp(&self.setup, &self.state, round.at);
        let State { belief, ledger, now, positions, .. } = &mut self.state;
        let now = *now;
        if ledger.halted || ledger.integrity.is_some() {
            return;
        }
        let mut leases = Vec::new();
        for (account_id, account) in ledger.accounts.iter().filter(|(_, account)| !account.halted) {
            let mut life = None::<Millis>;
            let mut silent = false;
            for (campaign_id, campaign) in &account.campaigns {
                let leased = campaign.is_leased();
                let known = belief.campaign(account_id, campaign_id).filter(|_| leased);
                let Some(live) = known.and_then(|known| known.live.as_ref()) else { continue };
                let watermark = live.watermark(positions.watermark());
                let period = feed_period_ms(live, self.policy.stage1.idle_period.touches_ms());
                let settings = self.policy.for_campaign(account_id, campaign_id);
                let age = watermark.map(|mark| now.saturating_sub(mark));
                let dead = freshness(age, period, &settings.gates) == Freshness::Dead;
                let channel =
                    belief.accounts.get(account_id).and_then(|account| account.channels.get(&live.spec.channel));
                // A paused campaign spends nothing, whatever its bid; its silence says nothing about the feed.
                let running = !campaign.holders.is_paused();
                let blind = dead || !shows_life(live, channel, watermark, &settings.pressure);
                silent |= campaign.halted || (running && blind);
                let profile = self.policy.profile_for(live.spec.platform.as_deref(), &live.spec.spend_source);
                let own = profile.life_of_raise_ms();
                // A renewal on its way when a raise ends would keep here what the ad-buying system has let go.
                let arrives = now.saturating_add(profile.apply_ms.min(own / 3));
                let lease = (account.lease_until, account.lease_sequence);
                silent |= campaign.ends_at(lease).is_some_and(|end| end < arrives);
                life = Some(life.map_or(own, |life| life.min(own)));
            }
            // One lease covers all of the account's values: where one of them may not be kept alive, none is, and
            // raises fall back to what they were.
            if silent {
                continue;
            }
            let due = |life: Millis| account.lease_until.is_none_or(|until| now >= until.saturating_sub(life / 3 * 2));
            if let Some(life) = life.filter(|life| due(*life)) {
                let record = desired::lease(account_id, account, now.saturating_add(life), stamp);
                leases.push((desired::lease_key(account_id), record));
            }
        }
        for (key, lease) in leases {
            ledger.apply_desired(&key, &lease);
            round.outputs.desired.push((key, lease));
        }
    }

    fn publish_rows(&mut self, touched: &Touched<'_>, minute: bool, round: &mut Round) {
        let stamp = stamp(&self.setup, &self.state, round.at);
        let State { belief, ledger, positions, now, .. } = &mut self.state;
        let rows = belief.close(positions.watermark(), touched, stamp);
        let policy = &self.policy;
        let bid_at = |account: &str, campaign: &str, at| ledger.campaign(account, campaign)?.bid.value_at(at);
        belief.learn_shapes(&rows, policy, *now, bid_at);
        round.outputs.kpis.extend(rows);
        if minute {
            round.outputs.kpis.extend(belief.revise(positions.watermark(), stamp));
        }
    }

    /// Copies of the ledger for those who join late.
    pub(crate) fn publish_desired(&self, round: &mut Round) {
        if !round.decide {
            return;
        }
        let stamp = stamp(&self.setup, &self.state, round.at);
        let State { belief, ledger, now, .. } = &self.state;
        for (account_id, campaign_id) in &round.changed {
            let live = belief.campaign(account_id, campaign_id).and_then(|campaign| campaign.live.as_ref());
            let Some((live, account)) = live.zip(ledger.accounts.get(account_id)) else { continue };
            let nothing = CampaignLedger::default();
            let own = account.campaigns.get(campaign_id.as_str()).map_or(&nothing, |campaign| &**campaign);
            let record = desired::of_campaign((account_id, campaign_id), live, account, own, *now, stamp);
            round.outputs.desired.push((campaign_id.clone(), record));
        }
    }

    /// Latches the integrity hold.
    fn hold(&mut self, words: String, round: &mut Round) {
        self.state.belief.counters.misfit_records += 1;
        let text = format!("Journal positions do not fit: {words}. Increases are held until a person releases.");
        self.state.ledger.integrity.get_or_insert(words);
        let condition = Condition { severity: "critical", text, ..Condition::default() };
        self.settle(&subject("integrity_hold", None, None), Some(&condition), round);
    }

    /// Opens and resolves the alerts of what waits for a specification.
    fn settle_quarantine(&mut self, touched: &Touched<'_>, round: &mut Round) {
        self.settle_refusals(round);
        let alerts = &self.state.alerts;
        let open = QUARANTINE_ALERTS.iter().any(|kind| alerts.any_open(kind));
        if self.state.belief.quarantine.is_empty() && !open {
            return;
        }
        for (account, campaign) in touched {
            let waiting = self.state.belief.quarantine.of_campaign(account, campaign);
            let known = self.state.belief.campaign(account, campaign).is_some();
            let kinds = QUARANTINE_ALERTS.into_iter().zip([!known, known]);
            for (kind, holds) in kinds {
                let condition = waiting.filter(|_| holds).map(|(_, spend)| Condition {
                    severity: "warning",
                    money_at_stake_micros: spend,
                    text: format!("Amounts of campaign {campaign} wait: {}.", explain(kind)),
                    ..Condition::default()
                });
                self.settle(&subject(kind, Some(account), Some(campaign)), condition.as_ref(), round);
            }
        }
    }

    /// Accounts that have no room for what waits: their amounts are lost, which nobody may find out from a total.
    fn settle_refusals(&mut self, round: &mut Round) {
        let State { belief, alerts, now, .. } = &self.state;
        let lost = belief.quarantine.refusals(*now).map(|(account, lost)| {
            let whose = if account.is_empty() { "accounts that hold none yet".into() } else { format!("account {account}") };
            let words = format!(
                "No room for amounts of {whose} that no specification explains: {} rows, the last of campaign \
                 {}, are counted nowhere. Specify its campaigns, or stop the strays; send what is missing as corrections.",
                lost.rows, lost.campaign
            );
            let condition = Condition {
                severity: "critical",
                observed: Some(lost.rows),
                money_at_stake_micros: lost.spend_micros,
                text: words,
                ..Condition::default()
            };
            (subject("quarantine_full", Some(account), None), condition)
        });
        let lost: Vec<_> = lost.collect();
        let over =
            alerts.beginning(QUARANTINE_FULL).into_iter().filter(|about| !lost.iter().any(|(full, _)| full == about));
        let over: Vec<_> = over.collect();
        over.iter().for_each(|about| self.settle(about, None, round));
        lost.iter().for_each(|(about, condition)| self.settle(about, Some(condition), round));
    }

    pub(crate) fn settle(&mut self, about: &Subject, condition: Option<&Condition>, round: &mut Round) {
        if !round.decide {
            return;
        }
        let origin = Origin {
            now: self.state.now,
            journal_partition: self.setup.partition,
            journal_offset: round.at.offset,
            policy_version: self.state.policy_version,
            build: &self.setup.build,
        };
        if let Some(alert) = self.state.alerts.settle(about, condition, &origin) {
            self.state.alerts.apply(&alert);
            round.outputs.alerts.push(alert);
        }
    }

    pub(crate) fn apply_log(&mut self, decisions: &[LoggedDecision]) {
        let State { ledger, alerts, .. } = &mut self.state;
        for decision in decisions {
            match decision {
                LoggedDecision::Adjustment(command) => ledger.apply_command(command),
                LoggedDecision::Proposal(proposal) => ledger.apply_proposal(proposal),
                LoggedDecision::Desired(key, desired) => ledger.apply_desired(key, desired),
                LoggedDecision::Alert(alert) => alerts.apply(alert),
            }
        }
        self.stir();
    }
}

/// Whether a fact lies outside of what the record's ranges bring: specifications, policies and halts are copied again
/// daily, so that a journal that retention has cut still tells them. Versions make copies of the others void.
fn is_copied_again(record: &JournalRecord, fact: &CopiedFact) -> bool {
    !record.ranges.iter().any(|range| {
        range.topic == fact.topic && range.partition == fact.partition && (range.from..range.to).contains(&fact.offset)
    })
}

/// What belongs to one record only.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) at: JournalPosition,
    pub(crate) decide: bool,
    pub(crate) outputs: Outputs,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) changed: BTreeSet<(String, String)>,
    pub(crate) everyone: bool,
    /// The instant of accounts' goals has come.
    pub(crate) goals: bool,
}

/// Campaigns by account.
pub(crate) type ByAccount = Vec<(String, Vec<Arc<str>>)>;

fn each(all: &ByAccount) -> impl Iterator<Item = (&str, &str)> {
    all.iter().flat_map(|(account_id, own)| own.iter().map(|campaign_id| (account_id.as_str(), &**campaign_id)))
}

/// What a person approves to confirm a specification's jump.
fn jump_id(campaign_id: &str, version: i64) -> String {
    format!("spec/{campaign_id}/{version}")
}

fn stamp<'a>(setup: &'a Setup, state: &State, at: JournalPosition) -> Stamp<'a> {
    Stamp {
        journal_partition: setup.partition,
        journal_offset: at.offset,
        policy_version: state.policy_version,
        build: &setup.build,
    }
}

/// Read-backs of campaigns without specification are kept for those that come before it; a platform account's worth, some
/// 5 MB. What is set aside comes again: platforms are read back all the time.
pub(crate) const UNEXPLAINED_LEDGERS_MAX: usize = 10_000;

/// The alert of an account that has no room for what waits.
const QUARANTINE_FULL: &str = "quarantine_full";
/// What amounts wait for: a specification, or one in their currency.
const QUARANTINE_ALERTS: [&str; 2] = ["unknown_campaign", "currency_mismatch"];

fn explain(kind: &str) -> &'static str {
    match kind {
        "unknown_campaign" => "no specification has arrived for it",
        _ => "their currency is not the campaign's",
    }
}

/// The name of the policy that counts; others are kept for what may read them later.
const POLICY_NAME: &str = "default";

/// A sign of life of the campaign's feed that is recent enough, by the rule that also allows raises.
fn shows_life(live: &Live, channel: Option<&Channel>, watermark: Option<Millis>, settings: &PressureSettings) -> bool {
    let (newest, gap) = crate::pacing::sign_of_life(live, channel);
    let supply = Supply {
        watermark_ms: watermark.unwrap_or(Millis::MIN),
        neighbour_event_ms: newest,
        neighbour_gap_ms: gap,
        ..Supply::default()
    };
    raise_block(&supply, settings) != Some(Block::NoSignOfLife)
}
