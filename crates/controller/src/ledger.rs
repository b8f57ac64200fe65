//! The ledger: what we said, what was answered, what is still owed.
//!
//! What always holds: it changes only by applying facts: journal records (acknowledgements, read-backs, halts) and
//! committed decision records (commands, proposals, leases), whether just decided or read back from the log; so a
//! restart, another build and a replay keep the same ledger. Sequences of an account never fall and never repeat.

use crate::allowances::{Command, Commands};
use crate::factors::FactorSlot;
use crate::halts::{Heard, LastWord};
use crate::rule_memory::{RuleMemory, is_of_a_rule};
use crate::shared::{Shared, SharedMap, entry};
use crate::slot::{Answer, Issued, Slot};
use model::fact::{Ack, Halt, StateReport};
use model::output::{Adjustment, DesiredState};
use model::time::{HOUR_MS, MINUTE_MS, Millis};
use policy::explain::Reason;
use policy::gates::Scope;
use policy::pause::{Holder, Holders};
use policy::settings::Anomaly;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is owed in one journal partition.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// By account id.
    pub accounts: SharedMap<String, Shared<AccountLedger>>,
    /// The kill switch for everything; latched until released.
    pub halted: bool,
    /// Latched: why positions are not to be trusted.
    pub integrity: Option<String>,
    /// The last word on each scope that may be halted: copies of older words change nothing, nor do halts that come late.
    pub halt_words: SharedMap<(String, String, String), LastWord>,
}

/// What is owed in one account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AccountLedger {
    /// Last sequence given to a command of this account.
    pub sequence: i64,
    /// The kill switch of the account.
    pub halted: bool,
    /// Until when all values in force hold without another word.
    pub lease_until: Option<Millis>,
    /// The last sequence that the lease covers.
    pub lease_sequence: i64,
    /// By campaign id; shared with a frozen state until it changes.
    pub campaigns: SharedMap<Arc<str>, Arc<CampaignLedger>>,
    /// Commands of the last hour.
    pub commands: Commands,
    /// When the next raise may end. Not part of the state: it follows from the campaigns.
    #[serde(skip)]
    ends: Ends,
}

/// What is known of when an account's raises end, so that not every campaign is asked at every record.
///
/// Every write to a campaign goes through [`AccountLedger::campaign_mut`], which notes it in `fresh`; each lapse asks those
/// and, once `first` has passed, all. A restore begins with nothing known, so all are asked.
#[derive(Clone, Debug, Default)]
struct Ends {
    /// No raise ends before, but for those of `fresh`; `None` where nobody has looked yet. Leases only move ends later.
    first: Option<Millis>,
    /// Campaigns that were written to since.
    fresh: BTreeSet<Arc<str>>,
    /// Campaigns that were written to since [`Ledger::take_written`].
    written: BTreeSet<Arc<str>>,
}

/// What is owed in one campaign.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CampaignLedger {
    /// The kill switch of the campaign.
    pub halted: bool,
    /// The bid.
    pub bid: Slot,
    /// The daily budget.
    pub budget: Slot,
    /// [`RUNNING`] or paused (0).
    pub state: Slot,
    /// Factors on the bid by hour.
    pub hours: FactorSlot,
    /// Factors on the bid by dimension and value, where one is or was in force: [`FACTORS_MAX`], 500 bytes each.
    pub values: BTreeMap<(String, String), FactorSlot>,
    /// Who holds it still.
    pub holders: Holders,
    /// Proposals that wait for a person, by command id.
    pub proposals: BTreeMap<String, Adjustment>,
    /// Kinds of command that a person rejected: not proposed again before these instants. A no to a bid is none to a stop.
    pub quiet_until: BTreeMap<String, Millis>,
    /// The platform says that it is learning.
    pub learning: bool,
    /// Commands in a row that nobody answered.
    pub unanswered: i64,
    /// Milliseconds from command to effect of the last answered commands, oldest first.
    pub apply_ms: Vec<Millis>,
    /// Resumes after a runaway since a person last looked or a day went by in quiet.
    pub runaway_resumes: i64,
    /// The last of them.
    pub runaway_resumed_at: Millis,
    /// When a pause as an underperformer was last asked for.
    pub underperformer_told: Option<Millis>,
    /// When a person last said no to one, or let the campaign run again.
    pub underperformer_refused: Option<Millis>,
    /// Budgets sent within an hour, oldest first: what a platform counts.
    pub budget_changes: Vec<Millis>,
    /// Last sequence of the campaign's key.
    pub sequence: i64,
    /// What users' rules said and hold.
    pub rules: RuleMemory,
}

/// The three things that a campaign's commands set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lever {
    /// set_bid.
    Bid,
    /// set_daily_budget.
    Budget,
    /// pause, resume.
    State,
}

/// The kind of a command that sets factors by hour.
pub const TABLE_KIND: &str = "set_modifier_table";
/// The kind of a command that sets the factor of one value of a dimension.
pub const VALUE_KIND: &str = "set_modifier";
/// Values of a campaign that may have a factor at once: 16 kB.
pub const FACTORS_MAX: usize = 32;
/// What a raise moves, and so what a lease keeps.
const LEASED: [Lever; 2] = [Lever::Bid, Lever::Budget];
/// A day without a runaway says that the last one was no habit.
const RUNAWAY_QUIET_MS: Millis = model::time::DAY_MS;
/// Term of a proposal that a person approved and the guard then refused.
pub const GUARD_REFUSED_TERM: &str = "guard_refused";
/// Enough for a median that one slow answer does not move.
const APPLY_TIMES_MAX: usize = 9;
/// Holds that a resume of ours ends.
const OURS: [Holder; 6] =
    [Holder::Flight, Holder::DailyCap, Holder::Runaway, Holder::Underperformer, Holder::Halt, Holder::Rule];
/// Value of the state lever while running; 0 is paused. Far from 0, since values found are compared with a tolerance.
pub const RUNNING: i64 = 1_000_000;

impl Ledger {
    /// The widest halt that covers a campaign.
    pub fn halt_of(&self, account: &str, campaign: &str) -> Option<Scope> {
        let of_account = self.accounts.get(account);
        if self.halted {
            Some(Scope::Global)
        } else if of_account.is_some_and(|account| account.halted) {
            Some(Scope::Account)
        } else {
            of_account?.campaigns.get(campaign).filter(|campaign| campaign.halted).map(|_| Scope::Campaign)
        }
    }

    /// One campaign's ledger, `None` before its first fact.
    pub fn campaign(&self, account: &str, campaign: &str) -> Option<&CampaignLedger> {
        self.accounts.get(account)?.campaigns.get(campaign).map(|campaign| &**campaign)
    }

    /// One campaign's ledger, begun if there is none.
    pub fn campaign_mut(&mut self, account: &str, campaign: &str) -> &mut CampaignLedger {
        entry(&mut self.accounts, account).campaign_mut(campaign)
    }

    /// Campaigns that have one.
    pub fn campaign_count(&self) -> usize {
        self.accounts.values().map(|account| account.campaigns.len()).sum()
    }

    /// Account and campaign of ledgers that were written to since the last time.
    pub fn take_written(&mut self) -> Vec<(String, Arc<str>)> {
        let written = self.accounts.iter().filter(|(_, account)| !account.ends.written.is_empty());
        let accounts: Vec<String> = written.map(|(account_id, _)| account_id.clone()).collect();
        let mut all = Vec::new();
        for account_id in accounts {
            let written = self.accounts.get_mut(&account_id).map(|account| std::mem::take(&mut account.ends.written));
            all.extend(written.into_iter().flatten().map(|campaign_id| (account_id.clone(), campaign_id)));
        }
        all
    }

    /// Takes an issued command.
    pub fn apply_command(&mut self, command: &Adjustment) {
        let account = entry(&mut self.accounts, &command.account_id);
        account.sequence = account.sequence.max(command.sequence);
        let campaign = account.campaign_mut(&command.campaign_id);
        let before = campaign.budget.assumed();
        campaign.apply_command(command);
        let increase = match (command.kind.as_str(), before, command.value_micros) {
            ("set_daily_budget", Some(before), Some(value)) => value.saturating_sub(before).max(0),
            _ => 0,
        };
        // Rounding to a unit is no limit that was hit.
        // A table of which one hour met a limit says nothing of a loop that runs away.
        // Nor does a rule: its step is a person's wish, which the limits are there to shorten.
        let clamped = !matches!(command.kind.as_str(), TABLE_KIND | VALUE_KIND)
            && !is_of_a_rule(command)
            && command.explanation.guard_edits.iter().any(|edit| edit != policy::guard::ROUNDED_DOWN);
        account.commands.push(Command { at: command.issued_at, clamped, budget_increase_micros: increase });
    }

    /// Takes a record of `ads.proposals`.
    pub fn apply_proposal(&mut self, proposal: &Adjustment) {
        let account = entry(&mut self.accounts, &proposal.account_id);
        account.sequence = account.sequence.max(proposal.sequence);
        let campaign = account.campaign_mut(&proposal.campaign_id);
        campaign.sequence = campaign.sequence.max(proposal.sequence);
        campaign.rules.note(proposal);
        if proposal.state == "proposed" {
            campaign.proposals.insert(proposal.command_id.clone(), proposal.clone());
        } else {
            campaign.proposals.remove(&proposal.command_id);
        }
        let refused_by_guard = proposal.explanation.terms.iter().any(|term| term.name == GUARD_REFUSED_TERM);
        if proposal.holder.as_deref() == Some(Holder::Underperformer.as_str()) && proposal.kind == "pause" {
            match proposal.state.as_str() {
                "rejected" if !refused_by_guard => campaign.underperformer_refused = Some(proposal.issued_at),
                _ => campaign.underperformer_told = Some(proposal.issued_at),
            }
        }
        if proposal.state == "rejected" && !refused_by_guard {
            let until = campaign.quiet_until.entry(proposal.kind.clone()).or_default();
            *until = (*until).max(proposal.decide_by.unwrap_or(proposal.issued_at));
        }
        if let (TABLE_KIND, Some(table), "observed" | "proposed") =
            (proposal.kind.as_str(), &proposal.table, proposal.state.as_str())
        {
            campaign.hours.shown = Some((table.clone(), proposal.issued_at));
        }
        if let (Some(key), Some(ppm), "observed" | "proposed") =
            (value_key(proposal), proposal.value_ppm, proposal.state.as_str())
            && campaign.has_room_for(&key)
        {
            campaign.values.entry(key).or_default().shown = Some((vec![ppm], proposal.issued_at));
        }
        // What a rule only observes is no word of the loops: they go on from what they showed themselves.
        let is_rule_s = proposal.reason == Reason::Rule.as_str() && proposal.state == "observed";
        if let (Some(slot), Some(value)) = (campaign.slot_of(&proposal.kind), value_of(proposal))
            && !is_rule_s
            && matches!(proposal.state.as_str(), "observed" | "proposed")
        {
            slot.shown = Some((value, proposal.issued_at));
        }
    }

    /// Takes a record of `ads.desired-state`. Leases tell something that no command told; of the rest only the sequences
    /// count: they are the last anchor where the commands themselves are gone, and no news otherwise.
    pub fn apply_desired(&mut self, key: &str, desired: &DesiredState) {
        if desired.sequence > 0 {
            let account = entry(&mut self.accounts, &desired.account_id);
            account.sequence = account.sequence.max(desired.sequence);
            if let Some(campaign_id) = &desired.campaign_id {
                let campaign = account.sequence_of(campaign_id);
                campaign.sequence = campaign.sequence.max(desired.sequence);
            }
        }
        if key.starts_with("lease/") {
            let account = entry(&mut self.accounts, &desired.account_id);
            account.lease_until = account.lease_until.max(desired.lease_until);
            account.lease_sequence = account.lease_sequence.max(desired.sequence);
        }
    }

    /// Lets raises end whose lease has run out: who subscribes has gone back to the fallback.
    pub fn lapse(&mut self, now: Millis) -> Vec<(String, String)> {
        let mut lapsed = Vec::new();
        let asked = self.accounts.iter().filter(|(_, account)| account.may_end(now));
        let asked: Vec<String> = asked.map(|(account_id, _)| account_id.clone()).collect();
        for account_id in asked {
            let Some(account) = self.accounts.get_mut(&account_id) else { continue };
            let lease = (account.lease_until, account.lease_sequence);
            let over = account.raises_over(now);
            lapsed.extend(over.into_iter().map(|campaign_id| (account_id.clone(), campaign_id.to_string(), lease)));
        }
        // Only what changes is written to: nearly all stays shared with a frozen state.
        lapsed.retain(|(account_id, campaign_id, lease)| {
            let campaign = self.campaign_mut(account_id, campaign_id);
            let tables = std::iter::once(&mut campaign.hours).chain(campaign.values.values_mut());
            // Each is asked, whatever the others say.
            let hours = tables.filter_map(|slot| slot.lapse(*lease, now).then_some(())).count() > 0;
            campaign.values.retain(|_, slot| !slot.is_idle(now));
            LEASED.iter().fold(hours, |any, lever| campaign.slot_mut(*lever).lapse(*lease, now) || any)
        });
        lapsed.into_iter().map(|(account_id, campaign_id, _)| (account_id, campaign_id)).collect()
    }

    /// Takes an acknowledgement. `true` if the value found is somebody else's; `None` where nothing was ever issued, so that
    /// nothing is answered: a ledger for every name in an answer would have no bound.
    pub fn apply_ack(&mut self, ack: &Ack, now: Millis, settings: &Anomaly) -> Option<bool> {
        self.campaign(&ack.account_id, &ack.campaign_id)?;
        let campaign = self.campaign_mut(&ack.account_id, &ack.campaign_id);
        let mut foreign = false;
        let levers = [Lever::Bid, Lever::Budget, Lever::State];
        let answers = levers.map(|lever| campaign.slot_mut(lever).answer(ack, now, settings));
        let tables = std::iter::once(&mut campaign.hours).chain(campaign.values.values_mut());
        let answers: Vec<Answer> = answers.into_iter().chain(tables.map(|slot| slot.answer(ack, now))).collect();
        campaign.values.retain(|_, slot| !slot.is_idle(now));
        // Who answers what nobody asked, or asked long ago, has not answered what waits.
        if answers.iter().any(|answer| *answer != Answer::NotMine) {
            campaign.unanswered = 0;
        }
        for answer in answers {
            match answer {
                Answer::NotMine => continue,
                Answer::Applied(after) => {
                    campaign.apply_ms.push(after);
                    let excess = campaign.apply_ms.len().saturating_sub(APPLY_TIMES_MAX);
                    campaign.apply_ms.drain(..excess);
                }
                Answer::Foreign => foreign = true,
                Answer::Refused => {}
            }
        }
        Some(foreign)
    }

    /// Takes a read-back. `true` if some value found is somebody else's. Bid and budget that the specification leaves to the
    /// platform (`ours` says no) are what they are: nobody's override.
    pub fn apply_report(&mut self, report: &StateReport, ours: [bool; 2], now: Millis, settings: &Anomaly) -> bool {
        // Found is nothing that is yet to come: what was asked for since would seem overtaken.
        let at = report.reported_at.min(now);
        let by_us = report.actor.as_deref().map(|actor| actor == "paceline");
        let campaign = self.campaign_mut(&report.account_id, &report.campaign_id);
        if let Some(state) = &report.platform_state {
            campaign.learning = state == "learning";
        }
        let holder = if report.actor.as_deref() == Some("platform") { Holder::Platform } else { Holder::Person };
        match report.status.as_deref() {
            Some("active") => {
                campaign.holders.lift(Holder::Person);
                campaign.holders.lift(Holder::Platform);
                // Our judgement is advice: who lets the campaign run knows better.
                if report.actor.as_deref() == Some("person") && campaign.holders.since(Holder::Underperformer).is_some()
                {
                    campaign.holders.lift(Holder::Underperformer);
                    campaign.underperformer_refused = Some(now);
                }
                // It was paused, and somebody let it run: a person's word is above a rule's.
                if campaign.state.confirmed == Some(0) && by_us != Some(true) {
                    campaign.holders.lift(Holder::Rule);
                }
                campaign.state.found(RUNNING, at, now, Some(true), settings);
            }
            Some("paused" | "ended") if campaign.state.assumed() != Some(0) && by_us != Some(true) => {
                campaign.holders.hold(holder, now);
            }
            Some("paused" | "ended") => _ = campaign.state.found(0, at, now, Some(true), settings),
            // A word that nobody knows says nothing: taken for a pause it would disarm every stop.
            Some(_) | None => {}
        }
        let found = |(slot, value, ours): (&mut Slot, Option<i64>, bool)| {
            let Some(value) = value else { return false };
            if ours {
                return slot.found(value, at, now, by_us, settings);
            }
            slot.follow(value, at);
            false
        };
        let bid = found((&mut campaign.bid, report.bid_micros, ours[0]));
        let budget = found((&mut campaign.budget, report.daily_budget_micros, ours[1]));
        bid || budget
    }

    /// Whether a word on a halt counts; remembers it if so.
    pub fn hear_halt(&mut self, halt: &Halt, written_at: Millis, is_copy: bool) -> Heard {
        let text = |id: &Option<String>| id.clone().unwrap_or_default();
        let scope = (halt.scope.clone(), text(&halt.account_id), text(&halt.campaign_id));
        let mut known = self.halt_words.get(&scope).copied();
        let heard = LastWord::hear(&mut known, halt, written_at, is_copy);
        if let (Heard::News, Some(word)) = (heard, known) {
            self.halt_words.insert(scope, word);
        }
        heard
    }

    /// Takes a halt or its release.
    pub fn apply_halt(&mut self, halt: &Halt) {
        let set = match halt.action.as_str() {
            "set" => true,
            "release" => false,
            // Refused where it came from; whatever it means, it lifts nothing.
            _ => return,
        };
        match (halt.scope.as_str(), halt.account_id.as_deref(), halt.campaign_id.as_deref()) {
            ("global", ..) => self.halted = set,
            ("integrity", ..) if !set => self.integrity = None,
            ("account", Some(account), _) => entry(&mut self.accounts, account).halted = set,
            ("campaign", Some(account), Some(campaign)) => {
                let campaign = self.campaign_mut(account, campaign);
                campaign.halted = set;
                // A person has looked.
                campaign.runaway_resumes = 0;
            }
            _ => {}
        }
    }
}

impl AccountLedger {
    /// Until when a raise lives: by its own word, or by the account's lease that covers it.
    pub fn lease_end(&self, issued: &Issued) -> Option<Millis> {
        crate::slot::lease_end(issued, (self.lease_until, self.lease_sequence))
    }

    /// One campaign's ledger, begun if there is none: the only way to write to one, since its raises are asked again.
    fn campaign_mut(&mut self, campaign: &str) -> &mut CampaignLedger {
        if !self.ends.fresh.contains(campaign) {
            self.ends.fresh.insert(Arc::from(campaign));
        }
        if !self.ends.written.contains(campaign) {
            self.ends.written.insert(Arc::from(campaign));
        }
        self.sequence_of(campaign)
    }

    /// The same for a sequence, which no look reads.
    fn sequence_of(&mut self, campaign: &str) -> &mut CampaignLedger {
        Arc::make_mut(entry(&mut self.campaigns, campaign))
    }

    /// Whether any raise may have ended.
    fn may_end(&self, now: Millis) -> bool {
        !self.ends.fresh.is_empty() || self.ends.first.is_none_or(|first| now > first)
    }

    /// Campaigns with raises that have ended, by name. Asks those that were written to since the last time, and all only
    /// when the first of the others may have ended.
    fn raises_over(&mut self, now: Millis) -> Vec<Arc<str>> {
        let lease = (self.lease_until, self.lease_sequence);
        let fresh = std::mem::take(&mut self.ends.fresh);
        let ends = |name: &Arc<str>, campaign: &CampaignLedger| Some((name.clone(), campaign.ends_at(lease)?));
        let ending: Vec<(Arc<str>, Millis)> = match self.ends.first.filter(|first| now <= *first) {
            Some(_) => fresh.iter().filter_map(|name| ends(name, self.campaigns.get(name)?)).collect(),
            None => self.campaigns.iter().filter_map(|(name, campaign)| ends(name, campaign)).collect(),
        };
        let known = self.ends.first.filter(|first| now <= *first).unwrap_or(Millis::MAX);
        let alive = ending.iter().map(|(_, end)| *end).filter(|end| now <= *end);
        self.ends.first = Some(alive.fold(known, Millis::min));
        ending.into_iter().filter(|(_, end)| now > *end).map(|(name, _)| name).collect()
    }
}

impl CampaignLedger {
    /// When the first of its raises ends, where nothing keeps it longer.
    pub fn ends_at(&self, lease: (Option<Millis>, i64)) -> Option<Millis> {
        let values = LEASED.iter().filter_map(|lever| self.slot(*lever).ends_at(lease));
        values.chain(self.tables().filter_map(|slot| slot.ends_at(lease))).min()
    }

    /// When the last command of any lever was issued.
    pub fn newest_issue(&self) -> Option<Millis> {
        let values = [&self.bid, &self.budget, &self.state].into_iter().filter_map(Slot::issued_at).max();
        values.max(self.tables().filter_map(FactorSlot::issued_at).max())
    }

    /// Factors by hour, and of single values.
    fn tables(&self) -> impl Iterator<Item = &FactorSlot> {
        std::iter::once(&self.hours).chain(self.values.values())
    }

    /// Whether a raise lives here that ends without a lease.
    pub fn is_leased(&self) -> bool {
        self.bid.is_leased() || self.budget.is_leased() || self.tables().any(FactorSlot::is_leased)
    }

    /// Greatest and least product of the factors that may be in force for one ad, those of one dimension left out: the
    /// greatest, and the least, of each other.
    pub fn factor_span_without(&self, dimension: &str) -> (i64, i64) {
        let mut spans: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        let hours = std::iter::once((crate::hour_table::DIMENSION, &self.hours));
        for (name, slot) in hours.chain(self.values.iter().map(|((name, _), slot)| (name.as_str(), slot))) {
            let (most, least) = slot.span();
            let span = spans.entry(name).or_insert((most, least));
            *span = (span.0.max(most), span.1.min(least));
        }
        spans.remove(dimension);
        let product = |of: fn(&(i64, i64)) -> i64| crate::factors::product(spans.values().map(of));
        (product(|span| span.0), product(|span| span.1))
    }

    /// Greatest product of all factors that may be in force for one ad.
    pub fn factor_most(&self) -> i64 {
        self.factor_span_without("").0
    }

    fn has_room_for(&self, key: &(String, String)) -> bool {
        self.values.len() < FACTORS_MAX || self.values.contains_key(key)
    }

    /// The slot of a lever.
    pub fn slot(&self, lever: Lever) -> &Slot {
        match lever {
            Lever::Bid => &self.bid,
            Lever::Budget => &self.budget,
            Lever::State => &self.state,
        }
    }

    /// The slot of a lever.
    pub fn slot_mut(&mut self, lever: Lever) -> &mut Slot {
        match lever {
            Lever::Bid => &mut self.bid,
            Lever::Budget => &mut self.budget,
            Lever::State => &mut self.state,
        }
    }

    /// Median time from command to effect, `None` before the first answer.
    pub fn apply_median_ms(&self) -> Option<Millis> {
        let mut times = self.apply_ms.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// Whether we or somebody else holds it still.
    pub fn is_paused(&self) -> bool {
        self.holders.is_paused()
    }

    /// Whether a person's no to a kind of command still stands.
    pub fn is_quiet(&self, kind: &str, now: Millis) -> bool {
        self.quiet_until.get(kind).is_some_and(|until| now < *until)
    }

    /// Resumes after a runaway that still count: none once a day has gone by without another.
    pub fn runaway_resumes_at(&self, now: Millis) -> i64 {
        let quiet_until = self.holders.since(Holder::Runaway).unwrap_or(now);
        let quiet = quiet_until.saturating_sub(self.runaway_resumed_at) >= RUNAWAY_QUIET_MS;
        if quiet { 0 } else { self.runaway_resumes }
    }

    /// Budgets sent within the last hour.
    pub fn budget_changes_within(&self, now: Millis) -> i64 {
        self.budget_changes.iter().filter(|at| **at > now.saturating_sub(HOUR_MS)).count() as i64
    }

    fn slot_of(&mut self, kind: &str) -> Option<&mut Slot> {
        Lever::of(kind).map(|lever| self.slot_mut(lever))
    }

    fn apply_command(&mut self, command: &Adjustment) {
        self.sequence = self.sequence.max(command.sequence);
        self.proposals.remove(&command.command_id);
        self.rules.note(command);
        if command.kind == TABLE_KIND {
            let superseded = self.hours.issue(command);
            self.unanswered = self.unanswered.saturating_add(i64::from(superseded));
            return;
        }
        if let Some(key) = value_key(command) {
            // More than there is room for is never issued; what an older build issued is read all the same.
            let superseded = self.values.entry(key).or_default().issue(command);
            self.unanswered = self.unanswered.saturating_add(i64::from(superseded));
            return;
        }
        let (Some(lever), Some(value)) = (Lever::of(&command.kind), value_of(command)) else { return };
        let issued = Issued {
            command_id: command.command_id.clone(),
            sequence: command.sequence,
            value,
            issued_at: command.issued_at,
            expires_at: command.expires_at,
            fallback: command.fallback.as_ref().and_then(|fallback| Some((fallback.value_micros?, fallback.when))),
        };
        if lever == Lever::Budget {
            self.budget_changes.retain(|at| *at > command.issued_at.saturating_sub(HOUR_MS));
            self.budget_changes.push(command.issued_at);
        }
        let superseded = self.slot_mut(lever).issue(issued, command.expected_previous.value_micros);
        self.unanswered = self.unanswered.saturating_add(i64::from(superseded));
        let is_undo = command.reason == Reason::Undo.as_str();
        if is_undo && lever != Lever::State {
            self.slot_mut(lever).override_at = Some(command.issued_at);
        }
        match (command.kind.as_str(), command.holder.as_deref().and_then(Holder::parse)) {
            ("pause", Some(holder)) => _ = self.holders.hold(holder, command.issued_at),
            ("resume", holder) => {
                if holder == Some(Holder::Runaway) {
                    self.runaway_resumes = self.runaway_resumes_at(command.issued_at).saturating_add(1);
                    self.runaway_resumed_at = command.issued_at;
                }
                if is_undo && self.holders.since(Holder::Underperformer).is_some() {
                    self.underperformer_refused = Some(command.issued_at);
                }
                for ours in OURS {
                    self.holders.lift(ours);
                }
                // Only who took a pause back lifts what a person said.
                if is_undo {
                    self.holders.lift(Holder::Person);
                }
            }
            _ => {}
        }
    }
}

impl Lever {
    /// The lever that a kind of command moves.
    pub fn of(kind: &str) -> Option<Lever> {
        match kind {
            "set_bid" => Some(Lever::Bid),
            "set_daily_budget" => Some(Lever::Budget),
            "pause" | "resume" => Some(Lever::State),
            _ => None,
        }
    }
}

/// The dimension and value that a factor is of.
fn value_key(command: &Adjustment) -> Option<(String, String)> {
    let of = command.dimension.as_ref().filter(|_| command.kind == VALUE_KIND)?;
    Some((of.name.clone(), of.value.clone()))
}

/// The value that a command sets on its lever.
pub fn value_of(command: &Adjustment) -> Option<i64> {
    match command.kind.as_str() {
        "pause" => Some(0),
        "resume" => Some(RUNNING),
        _ => command.value_micros,
    }
}

/// How long an unanswered command of a lever may stay without counting as lost.
pub fn ack_limit_ms(apply_ms: Millis, applies: i64) -> Millis {
    apply_ms.max(MINUTE_MS).saturating_mul(applies.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::{Explanation, Fallback, Term};
    use model::time::DAY_MS;
    use proptest::prelude::*;

    fn command(kind: &str, holder: Option<&str>, issued_at: Millis) -> Adjustment {
        Adjustment {
            kind: kind.into(),
            holder: holder.map(str::to_owned),
            value_micros: Some(1_000_000),
            issued_at,
            ..Adjustment::default()
        }
    }

    #[test]
    fn a_quiet_day_forgives_a_runaway() {
        let mut ledger = CampaignLedger::default();
        ledger.apply_command(&command("pause", Some("runaway"), DAY_MS));
        ledger.apply_command(&command("resume", Some("runaway"), DAY_MS + HOUR_MS));
        assert_eq!(ledger.runaway_resumes_at(2 * DAY_MS), 1);
        assert_eq!(ledger.runaway_resumes_at(2 * DAY_MS + HOUR_MS), 0, "a day later");
        ledger.apply_command(&command("pause", Some("runaway"), 2 * DAY_MS));
        assert_eq!(ledger.runaway_resumes_at(9 * DAY_MS), 1, "a pause that stands is no quiet");
    }

    #[test]
    fn budgets_of_the_last_hour_are_counted_whatever_they_changed() {
        let mut ledger = CampaignLedger::default();
        for minute in [0, 30, 61, 62] {
            ledger.apply_command(&command("set_daily_budget", None, minute * MINUTE_MS));
        }
        assert_eq!(ledger.budget_changes_within(63 * MINUTE_MS), 3);
        assert_eq!(ledger.budget_changes.len(), 3, "older ones are forgotten");
    }

    fn proposal(state: &str, terms: &[(&str, i64)]) -> Adjustment {
        let terms = terms.iter().map(|(name, value)| Term { name: (*name).into(), value: *value }).collect();
        Adjustment {
            account_id: "a".into(),
            campaign_id: "c".into(),
            state: state.into(),
            decide_by: Some(9 * HOUR_MS),
            explanation: Explanation { terms, ..Explanation::default() },
            ..command("pause", Some("underperformer"), DAY_MS)
        }
    }

    #[test]
    fn who_takes_the_pause_of_an_underperformer_back_has_said_no() {
        let mut ledger = CampaignLedger::default();
        ledger.apply_command(&command("pause", Some("underperformer"), DAY_MS));
        let undo = Adjustment { reason: Reason::Undo.as_str().into(), ..command("resume", Some("person"), 2 * DAY_MS) };
        ledger.apply_command(&undo);
        assert_eq!(ledger.underperformer_refused, Some(2 * DAY_MS));
        assert_eq!(ledger.holders.since(Holder::Underperformer), None);
    }

    #[test]
    fn what_the_guard_refuses_after_a_yes_is_no_person_s_no() {
        let of = |terms: &[(&str, i64)]| {
            let mut ledger = Ledger::default();
            ledger.apply_proposal(&proposal("rejected", terms));
            let campaign = ledger.campaign("a", "c").unwrap();
            (campaign.underperformer_refused, campaign.is_quiet("pause", 0))
        };
        assert_eq!(of(&[]), (Some(DAY_MS), true));
        assert_eq!(of(&[(GUARD_REFUSED_TERM, 1)]), (None, false));
    }

    #[test]
    fn a_step_of_a_rule_that_the_guard_shortens_is_no_sign_of_a_loop_that_runs_away() {
        let of = |terms: &[(&str, i64)]| {
            let mut ledger = Ledger::default();
            let mut command = proposal("issued", terms);
            command.explanation.guard_edits = vec!["step_down".into()];
            ledger.apply_command(&command);
            ledger.accounts.get("a").unwrap().commands.recent(DAY_MS).quarter_clamped == 1
        };
        assert!(of(&[]));
        assert!(!of(&[("rule/dear", 10)]));
    }

    #[test]
    fn a_value_read_back_by_a_clock_that_is_ahead_leaves_what_is_on_its_way() {
        let mut ledger = Ledger::default();
        ledger.apply_command(&Adjustment {
            account_id: "a".into(),
            campaign_id: "c".into(),
            sequence: 1,
            expires_at: 2 * DAY_MS,
            ..command("set_bid", None, DAY_MS)
        });
        let report = StateReport {
            account_id: "a".into(),
            campaign_id: "c".into(),
            reported_at: DAY_MS * 1_000,
            bid_micros: Some(500_000),
            ..StateReport::default()
        };
        ledger.apply_report(&report, [true; 2], DAY_MS + HOUR_MS, &Anomaly::default());
        assert_eq!(ledger.campaign("a", "c").unwrap().bid.highest(0), 1_000_000, "it may still be applied");
    }

    #[test]
    fn answers_to_what_nobody_asked_are_no_answers() {
        let mut ledger = Ledger::default();
        let ack = |campaign: &str, command: &str| Ack {
            account_id: "a".into(),
            campaign_id: campaign.into(),
            command_id: command.into(),
            result: "applied".into(),
            ..Ack::default()
        };
        for id in ["one", "two", "three"] {
            let command = Adjustment {
                account_id: "a".into(),
                campaign_id: "c".into(),
                command_id: id.into(),
                ..command("set_bid", None, DAY_MS)
            };
            ledger.apply_command(&command);
        }
        let mut unanswered = |ack: &Ack| {
            ledger.apply_ack(ack, DAY_MS, &Anomaly::default());
            ledger.campaign("a", "c").unwrap().unanswered
        };
        assert_eq!(unanswered(&ack("c", "of another system")), 2);
        assert_eq!(unanswered(&ack("stranger", "one")), 2);
        assert_eq!(unanswered(&ack("c", "two")), 0, "late, but an answer");
        assert!(ledger.campaign("a", "stranger").is_none(), "nothing is kept of strangers");
    }

    proptest! {
        #[test]
        fn raises_end_as_if_every_campaign_were_asked_at_every_record(
            steps in prop::collection::vec((0..6_u8, 0..5_u8, 0..3 * HOUR_MS, 0..10 * MINUTE_MS), 1..120)
        ) {
            let (mut ledger, mut now) = (Ledger::default(), DAY_MS);
            for (sequence, (what, campaign, life, after)) in steps.into_iter().enumerate() {
                now += after;
                let until = now + life;
                let raise = Adjustment {
                    account_id: "a".into(),
                    campaign_id: format!("c{campaign}"),
                    sequence: sequence as i64,
                    command_id: format!("{sequence}"),
                    fallback: Some(Fallback { value_micros: Some(1), when: until }),
                    ..command(if what == 0 { "set_daily_budget" } else { "set_bid" }, None, now)
                };
                match what {
                    0..=2 => ledger.apply_command(&raise),
                    3 => ledger.apply_command(&Adjustment { fallback: None, ..raise }),
                    4 => {
                        let (account_id, sequence, lease_until) = ("a".into(), sequence as i64, Some(until));
                        let lease = DesiredState { account_id, sequence, lease_until, ..DesiredState::default() };
                        ledger.apply_desired("lease/a", &lease);
                    }
                    _ => {}
                }
                // A restore knows nothing of ends, so it asks all.
                let mut all: Ledger = postcard::from_bytes(&postcard::to_stdvec(&ledger).unwrap()).unwrap();
                prop_assert_eq!(ledger.lapse(now), all.lapse(now));
                prop_assert_eq!(postcard::to_stdvec(&ledger).unwrap(), postcard::to_stdvec(&all).unwrap());
            }
        }
    }
}
