//! Users' rules and goals at the desk: asked at their instants, answered through the guard.
//!
//! What always holds: safety comes first (it has acted already), people's values are left alone (the gates), then rules,
//! then the loops. A rule's command is the guard's like any other; only its mode may be stricter than the campaign's.

use super::{Case, Desk, Lever};
use crate::alerts::{Condition, subject};
use crate::goals::GoalNow;
use crate::ledger::CampaignLedger;
use crate::rule_memory::{LOST_TERM, RULE_TERM, UNTIL_TERM};
use crate::situation::{Asked, situation};
use model::output::{Adjustment, Term};
use policy::explain::{Reason, amount};
use policy::gates::{Permission, WhyNothing};
use policy::goal::is_told_at_risk;
use policy::guard::{Action, Mode, Proposal};
use policy::pause::Holder;
use policy::rule::{Judgement, Rule, Situation, Target, Then, settle};

/// The rule that speaks, while its command is made.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// The campaign's mode is not exceeded, whatever this says.
    pub mode: Mode,
    /// Terms that name the rule, those that lost, and until when the value is the rule's.
    pub terms: Vec<Term>,
    /// What the sentence of the command ends with.
    pub text: String,
}

/// What a rule said of a campaign at its last evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSaid {
    /// Its name.
    pub rule: String,
    /// A closed word: issued, proposed, observed, alerted, no_match, absent, too_little, cooling_down, lost, or why the
    /// guard or a gate let nothing out.
    pub word: &'static str,
    /// The figures, what was missing, or who won.
    pub detail: String,
    /// What it did or would have done.
    pub action: Option<String>,
}

/// Kind of the alert of a goal that is at risk.
const GOAL_AT_RISK: &str = "goal_at_risk";

impl RuleSaid {
    /// Words of a condition that did not hold, or could not be told.
    pub const NO_MATCH: [&'static str; 3] = ["no_match", "absent", "too_little"];

    /// Whether the condition held.
    pub fn is_match(&self) -> bool {
        !Self::NO_MATCH.contains(&self.word)
    }
}

impl Desk<'_> {
    /// Asks every rule about the campaign; what each said.
    pub(super) fn ask_rules(&mut self, case: &Case<'_>, goal_chance: Option<f64>) -> Vec<RuleSaid> {
        let policy = self.policy;
        if policy.rules.is_empty() {
            return Vec::new();
        }
        let nothing = CampaignLedger::default();
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id).unwrap_or(&nothing).clone();
        let asked = Asked {
            account_id: case.account_id,
            campaign_id: case.campaign_id,
            live: case.live,
            pacing: case.pacing,
            picture: case.picture,
            ledger: &ledger,
            freshness: case.freshness,
            windows: &policy.windows_read,
            goal_chance,
        };
        let situation = situation(&asked);
        let (mut said, mut asking) = (Vec::new(), Vec::new());
        for rule in &policy.rules {
            let judgement = rule.judge(&situation);
            if let Then::Alert(severity) = rule.then {
                said.extend(self.ring(case, rule, severity, &judgement, &situation));
                continue;
            }
            let (word, detail) = match judgement {
                Judgement::Elsewhere => continue,
                Judgement::TooLittle(figure) => ("too_little", figure.to_owned()),
                Judgement::Absent(absent) => ("absent", absent.to_string()),
                Judgement::No => ("no_match", rule.told(&situation)),
                Judgement::Yes => {
                    asking.push(rule);
                    continue;
                }
            };
            said.push(RuleSaid { rule: rule.name.clone(), word, detail, action: None });
        }
        for (rule, lost) in settle(asking) {
            let winner = &rule.name;
            said.extend(lost.iter().map(|loser| RuleSaid {
                rule: loser.name.clone(),
                word: "lost",
                detail: format!("to {winner}"),
                action: None,
            }));
            // A rule that holds keeps its target while it cools down: else the one below would undo it.
            said.push(if self.cools_down(rule, &ledger) {
                let (rule, detail) = (rule.name.clone(), rule.told(&situation));
                RuleSaid { rule, word: "cooling_down", detail, action: None }
            } else {
                self.speak(case, rule, &lost, &situation)
            });
        }
        said.sort_by(|one, other| one.rule.cmp(&other.rule));
        said
    }

    /// Opens and resolves the alert of a rule; once open it stays at least for the rule's cool-down.
    fn ring(
        &mut self,
        case: &Case<'_>,
        rule: &Rule,
        severity: &'static str,
        judgement: &Judgement,
        situation: &Situation<'_>,
    ) -> Option<RuleSaid> {
        let kind = alert_kind(&rule.name);
        let about = subject(&kind, Some(case.account_id), Some(case.campaign_id));
        let told = rule.told(situation);
        if *judgement == Judgement::Yes {
            let condition = Condition {
                severity,
                text: format!("Campaign {}: rule {}.", case.campaign_id, holds(rule, &told)),
                ..Condition::default()
            };
            self.settle(&kind, case.account_id, case.campaign_id, Some(&condition));
        } else if self.alerts.opened_at(&about).is_some_and(|at| self.now.saturating_sub(at) >= rule.cool_down_ms) {
            self.settle(&kind, case.account_id, case.campaign_id, None);
        }
        let (word, detail) = match judgement {
            Judgement::Elsewhere => return None,
            Judgement::Yes => ("alerted", told),
            Judgement::No => ("no_match", told),
            Judgement::TooLittle(figure) => ("too_little", (*figure).to_owned()),
            Judgement::Absent(absent) => ("absent", absent.to_string()),
        };
        Some(RuleSaid { rule: rule.name.clone(), word, detail, action: None })
    }

    fn cools_down(&self, rule: &Rule, ledger: &CampaignLedger) -> bool {
        ledger.rules.spoke_at(&rule.name).is_some_and(|at| self.now.saturating_sub(at) < rule.cool_down_ms)
    }

    /// A winner's proposal, through gates and guard.
    fn speak(&mut self, case: &Case<'_>, rule: &Rule, lost: &[&Rule], situation: &Situation<'_>) -> RuleSaid {
        let told = rule.told(situation);
        let said = |word: &'static str, action: Option<String>| RuleSaid {
            rule: rule.name.clone(),
            word,
            detail: told.clone(),
            action,
        };
        let lever = match rule.then.target() {
            Target::Bid => Lever::Bid,
            Target::Budget => Lever::Budget,
            Target::State | Target::Alert => Lever::State,
        };
        let in_force = self.ledger_view(case, lever).in_force;
        let day_end = case.picture.day.end;
        let Some(action) = rule.then.action(in_force, self.now, day_end) else { return said("nothing_in_force", None) };
        if let Some(word) = self.bars(case, lever, &action, in_force) {
            return said(word, None);
        }
        let until = match rule.then {
            Then::Pause(until) => until.at(self.now, day_end),
            _ => self.now.saturating_add(rule.cool_down_ms),
        };
        let term = |start: &str, rule: &Rule| Term { name: format!("{start}{}", rule.name), value: rule.priority };
        let mut terms = vec![term(RULE_TERM, rule)];
        terms.extend(lost.iter().map(|loser| term(LOST_TERM, loser)));
        terms.push(Term { name: UNTIL_TERM.to_owned(), value: until });
        let mode = if self.setup.rules_dry_run { Mode::Observe } else { rule.mode };
        self.ruling = Some(Ruling { mode, terms, text: format!(" Rule {}.", holds(rule, &told)) });
        let noted = self.noted.len();
        let (commands, proposals) = (self.outputs.adjustments.len(), self.outputs.proposals.len());
        let proposal = Proposal { action, reason: Reason::Rule, group_sum_micros: None, approved: false };
        let left = self.submit_proposal(case, lever, &proposal);
        self.ruling = None;
        let words = self.noted.split_off(noted);
        let made = self.outputs.adjustments.get(commands).or(self.outputs.proposals.get(proposals));
        match made.filter(|_| left) {
            Some(made) => said(word_of(made), Some(described(made))),
            None => said(words.last().map_or("held", |(_, word)| *word), None),
        }
    }

    /// What stands before a rule's command, apart from the guard.
    fn bars(&self, case: &Case<'_>, lever: Lever, action: &Action, in_force: Option<i64>) -> Option<&'static str> {
        let gate = self.gate(case.account_id, case.campaign_id, case.live, case.picture, lever);
        let raises = action.value().is_some_and(|value| in_force.is_none_or(|in_force| value > in_force as f64));
        let most = if raises { Permission::All } else { Permission::DecreasesOnly };
        if gate.permission > most {
            return Some(gate.why.map_or("held", WhyNothing::as_str));
        }
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        (lever != Lever::Budget && ledger.is_some_and(CampaignLedger::is_paused)).then_some("paused")
    }

    /// Until when a rule's pause lasts, if one is in force.
    pub(super) fn rule_pause(&self, case: &Case<'_>) -> Option<i64> {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id)?;
        ledger.holders.since(Holder::Rule)?;
        Some(ledger.rules.pause_until).filter(|until| self.now < *until)
    }

    /// Whether a value of this lever is a rule's, which the loops leave alone.
    pub(super) fn is_ruled(&self, case: &Case<'_>, lever: Lever) -> bool {
        self.ledger.campaign(case.account_id, case.campaign_id).is_some_and(|ledger| {
            let until = match lever {
                Lever::Bid => ledger.rules.bid_until,
                Lever::Budget => ledger.rules.budget_until,
                Lever::State => return false,
            };
            self.now < until
        })
    }

    /// Tells of a goal that is at risk, and when it is well again; missed ones stay told.
    pub(super) fn tell_goal(&mut self, account_id: &str, campaign_id: &str, goal: Option<&GoalNow>) {
        let about = subject(GOAL_AT_RISK, Some(account_id), Some(campaign_id));
        let is_told = self.alerts.is_open(&about);
        let at_risk = goal.filter(|goal| is_told_at_risk(&goal.outlook, is_told));
        let condition = at_risk.map(|goal| risk(goal, &format!("Campaign {campaign_id}")));
        self.settle(GOAL_AT_RISK, account_id, campaign_id, condition.as_ref());
    }
}

/// What is wrong with a goal.
pub fn risk(goal: &GoalNow, whose: &str) -> Condition {
    Condition {
        severity: "info",
        observed: goal.outlook.actual,
        expected: Some(goal.aim.target),
        text: format!("{whose}: {}.", goal.told()),
        ..Condition::default()
    }
}

/// Kind of the alert of a rule.
pub fn alert_kind(rule: &str) -> String {
    format!("{RULE_ALERT}{rule}")
}

/// Alerts of rules begin with this.
pub const RULE_ALERT: &str = "rule:";

/// The rule's own words, then the figures in them; a condition may name none.
fn holds(rule: &Rule, told: &str) -> String {
    let line = rule.when.text().split_whitespace().collect::<Vec<_>>().join(" ");
    let figures = if told.is_empty() { String::new() } else { format!("; {told}") };
    format!("{} holds: {line}{figures}", rule.name)
}

fn word_of(made: &Adjustment) -> &'static str {
    match made.state.as_str() {
        "issued" => "issued",
        "observed" => "observed",
        _ => "proposed",
    }
}

fn described(made: &Adjustment) -> String {
    let mut text = made.kind.clone();
    if let Some(value) = made.value_micros {
        text += &format!(" {}", amount(value, &made.currency));
    }
    for edit in &made.explanation.guard_edits {
        text += &format!(" ({edit})");
    }
    text
}
