//! What gates and guard are told about a campaign: copies of specification, ledger and picture, no opinion of their own.

use super::{Case, Desk};
use crate::alerts::{Condition, subject};
use crate::allowances::Recent;
use crate::campaign::{Campaign, Live};
use crate::ledger::{AccountLedger, CampaignLedger, Lever};
use crate::pacing::bid_ceiling;
use crate::picture::Picture;
use model::time::{HOUR_MS, Millis};
use policy::arithmetic::bid_micros;
use policy::explain::Reason;
use policy::gates::{Gate, GateInput, SpecView, pass};
use policy::guard::{BreakerCause, BreakerCounts, LedgerView, Limits, Mode, breaker};
use policy::profile::Actuator;
use policy::settings::Settings;

impl Desk<'_> {
    pub(super) fn gate(
        &self,
        account_id: &str,
        campaign_id: &str,
        live: &Live,
        picture: &Picture,
        lever: Lever,
    ) -> Gate {
        let settings = self.settings_of(account_id, campaign_id, live);
        let spec = &live.spec;
        let ledger = self.ledger.campaign(account_id, campaign_id);
        let slot = ledger.map(|ledger| ledger.slot(lever));
        let own = |control: &str| control == "paceline";
        let control = match lever {
            Lever::Bid => spec.bid_control.as_str(),
            Lever::Budget => spec.budget_control.as_str(),
            Lever::State if own(&spec.bid_control) || own(&spec.budget_control) => "paceline",
            Lever::State => "none",
        };
        let budgets = [
            spec.daily_budget_micros,
            spec.weekly_budget_micros,
            spec.monthly_budget_micros,
            spec.flight_budget_micros,
        ];
        let input = GateInput {
            now_ms: self.now,
            halted: self.ledger.halt_of(account_id, campaign_id),
            spec: Some(SpecView {
                status: &spec.status,
                protected: spec.protected,
                flight_start_ms: spec.flight_start,
                flight_end_ms: spec.flight_end,
                control,
                bid_min_micros: spec.bid_min_micros,
                bid_max_micros: bid_ceiling(spec),
                has_budget: budgets.iter().any(Option::is_some) || picture.budget.is_ok(),
            }),
            override_at_ms: slot.and_then(|slot| slot.override_at),
            unanswered_since_ms: slot.and_then(|slot| slot.pending.as_ref()).map(|pending| pending.issued_at),
            apply_ms: picture.apply_ms,
            learning: ledger.is_some_and(|ledger| ledger.learning),
            change_freeze: live.around().frozen_until(self.now).is_some(),
            integrity_gap: self.ledger.integrity.is_some(),
            data_age_ms: picture.data_age(),
            feed_period_ms: picture.period_ms,
        };
        let actuator = match lever {
            Lever::Bid => Actuator::Bid,
            Lever::Budget => Actuator::Budget,
            Lever::State => Actuator::State,
        };
        pass(&input, actuator, &settings.gates)
    }

    pub(super) fn limits<'l>(&self, case: &Case<'l>, lever: Lever, reason: Reason) -> Limits<'l> {
        let spec = &case.live.spec;
        let profile = &case.picture.profile;
        let positive = |value: i64| Some(value).filter(|value| *value > 0);
        let nothing = CampaignLedger::default();
        let (floor, ceiling, step, actuator) = match lever {
            Lever::Bid => {
                let ledger = self.ledger.campaign(case.account_id, case.campaign_id).unwrap_or(&nothing);
                let most = crate::pacing::ceiling(spec, ledger);
                (positive(spec.bid_min_micros), positive(most), spec.bid_step_micros, Actuator::Bid)
            }
            Lever::Budget => {
                let least = profile.budget_min_micros(&spec.currency);
                let floor = spec.budget_min_micros.unwrap_or(least).max(least);
                let most = spec.budget_max_micros.or_else(|| self.pool_sum(case)).or(spec.daily_budget_micros);
                (Some(floor), most, spec.budget_step_micros, Actuator::Budget)
            }
            Lever::State => (None, None, 0, Actuator::State),
        };
        // A halt is a person's own word: it needs no second approval.
        let mode = match Mode::parse(&spec.mode) {
            Mode::Approve if reason == Reason::Halt => Mode::Auto,
            mode => self.ruling.as_ref().map_or(mode, |ruling| mode.min(ruling.mode)),
        };
        Limits {
            mode,
            protected: spec.protected,
            floor,
            ceiling,
            unit: profile.unit_micros(step, &spec.currency),
            cool_down_ms: self.cool_down(case, lever, profile.cadence_ms(actuator)),
            raise_life_ms: profile.life_of_raise_ms(),
            apply_ms: case.picture.apply_ms,
            settings: &case.settings.guard,
        }
    }

    /// None for a command that was lost: it never cooled anything down; none for a rule's value that a person approved:
    /// what the loops sent meanwhile is no reason to refuse it.
    fn cool_down(&self, case: &Case<'_>, lever: Lever, cadence: Millis) -> Millis {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let lost = ledger.is_some_and(|ledger| self.is_lost(case, ledger.slot(lever)));
        if lost || case.approved && self.ruling.is_some() { 0 } else { cadence }
    }

    pub(super) fn ledger_view(&self, case: &Case<'_>, lever: Lever) -> LedgerView {
        let nothing = (AccountLedger::default(), CampaignLedger::default());
        let account = self.ledger.accounts.get(case.account_id).map_or(&nothing.0, |account| &**account);
        let ledger = account.campaigns.get(case.campaign_id).map_or(&nothing.1, |campaign| &**campaign);
        let slot = ledger.slot(lever);
        let spec = &case.live.spec;
        let given = match lever {
            Lever::Bid => Some(spec.bid_micros).filter(|bid| *bid > 0),
            Lever::Budget => spec.daily_budget_micros,
            Lever::State => None,
        };
        let recent = account.commands.recent(self.now);
        let at = |instant: Millis| slot.value_at(instant).or(given);
        let shown = slot.shown.filter(|_| Mode::parse(&spec.mode) != Mode::Auto && !case.approved);
        let exposed = case.picture.exposure.exposed_micros();
        LedgerView {
            halted: self.ledger.halt_of(case.account_id, case.campaign_id).is_some(),
            in_force: slot.confirmed.or(given),
            hour_ago: at(self.now.saturating_sub(HOUR_MS)),
            at_day_start: at(case.picture.day.start),
            day_before: case.pacing.memory.home.filter(|_| lever == Lever::Bid).and_then(|bid| bid_micros(bid).ok()),
            // The controller sets no return targets.
            mildest_of_rate: slot.lowest_since(case.picture.rate_began()).or(given),
            baseline: given,
            last_command_ms: shown.map(|(_, at)| at).or(slot.last.as_ref().map(|last| last.issued_at)),
            freshness: case.freshness,
            increases_held: case.increases_held,
            day_end_ms: case.picture.day.end,
            exposure: case.picture.exposure,
            traffic_of_lease: case
                .picture
                .traffic_until(self.now.saturating_add(case.picture.profile.life_of_raise_ms())),
            traffic_of_day: case.picture.traffic_until(case.picture.day.end),
            event_micros: case.picture.cost.unwrap_or(spec.bid_micros),
            day_ceiling_micros: case.picture.ceiling,
            allowance_micros: case.picture.ceiling.saturating_sub(exposed).max(0),
            period_left_micros: case.picture.period_left,
            account_increases_hour_micros: recent.budget_increases_micros,
            account_budgets_micros: if lever == Lever::Budget { self.account_budgets(case) } else { 0 },
            pool_left_micros: match lever {
                Lever::Budget => self.pool_left(case.account_id, case.campaign_id, case.live),
                _ => None,
            },
            changes_hour: match lever {
                Lever::Budget => (ledger.budget_changes_within(self.now), case.picture.profile.budget_changes_per_hour),
                Lever::Bid | Lever::State => (0, 0),
            },
            runaway_latched: ledger.runaway_resumes_at(self.now) >= case.settings.pause.runaway_resumes_max,
            breaker: self.breaker_counts(case.account_id, &recent),
        }
    }

    fn breaker_counts(&self, account_id: &str, recent: &Recent) -> BreakerCounts {
        let campaigns = self.belief.accounts.get(account_id).map_or(1, |account| account.campaigns.len());
        BreakerCounts {
            proposals: recent.quarter,
            clamped: recent.quarter_clamped,
            commands_hour: recent.hour,
            campaigns: campaigns as i64,
        }
    }

    /// Says that the breaker holds the account, once.
    pub(super) fn tell_breaker(&mut self, case: &Case<'_>, view: &LedgerView) {
        let counts = &view.breaker;
        let (observed, why) = match breaker(counts, &case.settings.guard) {
            Some(BreakerCause::Clamped) => {
                let why = format!(
                    "{} of {} commands within 15 min had to be changed by the guard",
                    counts.clamped, counts.proposals
                );
                (counts.clamped, why)
            }
            _ => (counts.commands_hour, format!("{} commands within an hour", counts.commands_hour)),
        };
        let condition = Condition {
            severity: "critical",
            observed: Some(observed),
            text: format!(
                "Account {}: {why}; nothing but stops leaves until that is over. Look at what its campaigns were sent.",
                case.account_id
            ),
            ..Condition::default()
        };
        self.settle_account("breaker", case.account_id, Some(&condition));
    }

    /// Says that the breaker holds the account no longer.
    pub(super) fn end_breaker(&mut self, account_id: &str, settings: &Settings) {
        if !self.alerts.any_open("breaker") || !self.alerts.is_open(&subject("breaker", Some(account_id), None)) {
            return;
        }
        let Some(account) = self.ledger.accounts.get(account_id) else { return };
        if breaker(&self.breaker_counts(account_id, &account.commands.recent(self.now)), &settings.guard).is_none() {
            self.settle_account("breaker", account_id, None);
        }
    }

    fn account_budgets(&self, case: &Case<'_>) -> i64 {
        let Some(account) = self.belief.accounts.get(case.account_id) else { return 0 };
        let budgets = account.campaigns.values().filter_map(Campaign::daily_budget_micros);
        budgets.fold(0, i64::saturating_add)
    }
}
