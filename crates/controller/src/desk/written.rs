//! The record of a decision: everything needed to apply it, to say it to a person and to reproduce it.

use super::{Case, Desk};
use crate::experiments::InArm;
use crate::ledger::Lever;
use crate::seen::fingerprint;
use model::WHOLE_PPM;
use model::fact::CampaignSpec;
use model::output::*;
use model::time::{MINUTE_MS, Millis};
use policy::explain::{Reason, Story, ceiling_sentence, sentence, without};
use policy::guard::{Checked, Mode};
use policy::plan::Lift;

impl Desk<'_> {
    /// The full record of a decision.
    pub(super) fn written(
        &self,
        case: &Case<'_>,
        lever: Lever,
        checked: &Checked,
        state: &str,
        decide_by: Option<Millis>,
    ) -> Adjustment {
        let spec = &case.live.spec;
        let account = self.ledger.accounts.get(case.account_id);
        let sequence = account.map_or(0, |account| account.sequence).saturating_add(1);
        let slot = account.and_then(|account| account.campaigns.get(case.campaign_id)).map(|ledger| ledger.slot(lever));
        let given = match lever {
            Lever::Bid => Some(spec.bid_micros),
            Lever::Budget => spec.daily_budget_micros,
            Lever::State => None,
        };
        let confirmed = slot.and_then(|slot| slot.confirmed).filter(|_| lever != Lever::State).or(given);
        Adjustment {
            command_id: self.command_id(case, checked.kind(), sequence),
            account_id: case.account_id.to_owned(),
            campaign_id: case.campaign_id.to_owned(),
            target: target(case.campaign_id, spec),
            kind: checked.kind().to_owned(),
            value_micros: checked.value_micros(),
            value_ppm: checked.value_ppm(),
            expected_previous: ExpectedPrevious {
                value_micros: confirmed,
                value_ppm: None,
                sequence: slot.map_or(0, |slot| slot.confirmed_sequence),
            },
            currency: spec.currency.clone(),
            sequence,
            mode: self.mode_of(case).as_str().to_owned(),
            state: state.to_owned(),
            issued_at: self.now,
            decided_at_event_time: case.picture.watermark.unwrap_or(self.now),
            effective_from: self.now,
            expires_at: checked.expires_at_ms(),
            fallback: checked
                .fallback()
                .map(|fallback| Fallback { value_micros: Some(fallback.value), when: fallback.when_ms }),
            holder: checked.holder().map(|holder| holder.as_str().to_owned()),
            reason: checked.reason().as_str().to_owned(),
            risk: Risk {
                worst_case_micros: checked.worst_case_micros(),
                at_stake_micros: at_stake(case, checked, confirmed),
            },
            expected_effect: effect(case, checked),
            explanation: self.explanation(case, checked, confirmed),
            decide_by,
            ..Adjustment::default()
        }
    }

    /// The campaign's mode, or a stricter one of the rule that speaks.
    pub(super) fn mode_of(&self, case: &Case<'_>) -> Mode {
        let mode = Mode::parse(&case.live.spec.mode);
        self.ruling.as_ref().map_or(mode, |ruling| mode.min(ruling.mode))
    }

    /// A sentence, and which rule it is of.
    fn said(&self, sentence: String) -> String {
        self.ruling.iter().fold(sentence, |sentence, ruling| sentence + &ruling.text)
    }

    fn explanation(&self, case: &Case<'_>, checked: &Checked, before: Option<i64>) -> Explanation {
        let picture = case.picture;
        let window = case.evaluation.map(|evaluation| evaluation.window);
        let step = case.evaluation.and_then(|evaluation| evaluation.step.as_ref().ok());
        let story = Story {
            kind: checked.kind(),
            currency: &case.live.spec.currency,
            from_micros: before,
            to_micros: checked.value_micros(),
            exposed_micros: picture.budget.ok().map(|_| picture.exposure.exposed_micros()),
            budget_micros: picture.budget.ok(),
            plan_share: picture.plan.as_ref().ok().map(|plan| plan.share_by(picture.seen_until)),
            window_spend_micros: step.map(|step| step.window_spend_micros),
            is_at_bid: step.is_some_and(|step| step.is_at_bid),
            need_micros: step.map(|step| step.need_micros),
            conversions_due_and_seen: case
                .pacing
                .target
                .and_then(|target| target.told)
                .filter(|_| checked.reason() == Reason::Target && case.live.spec.bid_strategy == "target_cpa")
                .map(|told| (told.due_micro, told.seen_micro)),
            window_minutes: window.map_or(0, |window| (window.end - window.start) / MINUTE_MS),
        };
        let day = picture.window(case.live, picture.seen_until.saturating_sub(picture.day.start), picture.day.start);
        let mut windows = vec![day.described(case.live, "day")];
        windows.extend(window.map(|window| window.described(case.live, "pacing")));
        let in_arm = self.arm_of(case.account_id, case.campaign_id, case.live);
        let mut terms = terms(case);
        let lease = checked.lease_spend_micros();
        terms.extend(lease.map(|value| Term { name: "lease_spend_micros".to_owned(), value }));
        let share = in_arm.map(|InArm { experiment, arm }| {
            let share = policy::arithmetic::ppm(experiment.arms[arm].share);
            let name = format!("experiment/{}/{}", experiment.id, experiment.arms[arm].name);
            terms.push(Term { name, value: share });
            share
        });
        let bound = picture.bound_by.map(|(period, left)| ceiling_sentence(period, left, &case.live.spec.currency));
        Explanation {
            text: self.said(sentence(checked.reason(), &story)) + bound.as_deref().unwrap_or_default(),
            windows,
            watermark: picture.watermark.unwrap_or(0),
            journal_partition: self.setup.partition,
            journal_offset: self.at.offset,
            terms: self.ruling.iter().flat_map(|ruling| ruling.terms.clone()).chain(terms).collect(),
            guard_edits: checked.edit_words(),
            without: without(checked.reason(), &story),
            policy_version: self.policy_version,
            build: self.setup.build.clone(),
            tzdb: self.setup.tzdb.clone(),
            propensity_ppm: share,
        }
    }

    /// The same for the same campaign, kind, sequence and journal position, on every machine.
    pub(super) fn command_id(&self, case: &Case<'_>, kind: &str, sequence: i64) -> String {
        let seed = [
            case.account_id,
            case.campaign_id,
            kind,
            &sequence.to_string(),
            &self.setup.partition.to_string(),
            &self.at.offset.to_string(),
        ]
        .join("\u{1f}");
        format!("{:016x}{:016x}", fingerprint(&seed), fingerprint(&format!("{seed}\u{1f}2")))
    }
}

/// What a command is about.
pub fn target(campaign_id: &str, spec: &CampaignSpec) -> Target {
    let external = spec.platform.as_ref().and_then(|platform| spec.external_ids.get(platform)).cloned();
    Target { level: "campaign".into(), id: campaign_id.to_owned(), external_id: external }
}

/// The money that the command is about: of a budget what is added to it or taken from it; another raise may win what the
/// day still has; another cut or a pause saves what would go beyond the ceiling.
fn at_stake(case: &Case<'_>, checked: &Checked, before: Option<i64>) -> i64 {
    if let (Some(before), Some(after), "set_daily_budget") = (before, checked.value_micros(), checked.kind()) {
        return after.saturating_sub(before).saturating_abs();
    }
    let (budget, exposed) = (case.picture.budget.unwrap_or(0), case.picture.exposure.exposed_micros());
    if checked.raises_spend() {
        return budget.saturating_sub(exposed).max(0);
    }
    let left_ms = case.picture.day.end.saturating_sub(case.picture.now);
    exposed.saturating_add(case.picture.exposure.rate_max.over(left_ms)).saturating_sub(case.picture.ceiling).max(0)
}

/// What the day will have cost: after a pause what is spent or on its way; else no less than that, about the budget, and at
/// most the ceiling.
fn effect(case: &Case<'_>, checked: &Checked) -> Option<ExpectedEffect> {
    let (budget, low) = (case.picture.budget.ok()?, case.picture.exposure.exposed_micros());
    let (mid, high) = match checked.kind() {
        "pause" => (low, low),
        _ => (budget.max(low), case.picture.ceiling.max(budget).max(low)),
    };
    Some(ExpectedEffect { metric: "spend_day_micros".into(), low, mid, high })
}

/// What people declared that holds now, and the weather that has a factor.
fn said_around(case: &Case<'_>) -> Vec<Term> {
    let (around, now) = (case.live.around(), case.picture.now);
    let term = |name: &str, value: i64| Term { name: name.to_owned(), value };
    let factor = |lifts: &[Lift]| policy::arithmetic::ppm(Lift::at(lifts, now));
    let lifts = [("event_expected_ppm", &around.events), ("seasonality_expected_ppm", &around.seasons)];
    let lifts = lifts.into_iter().map(|(name, lifts)| (name, factor(lifts))).filter(|(_, ppm)| *ppm != WHOLE_PPM);
    let factor = around.weather_at(now).map(|word| (word, case.pacing.weather_factor(Some(word))));
    let factor = factor.filter(|(_, factor)| *factor != 1.0);
    let weather =
        factor.map(|(word, factor)| term(&format!("weather_{word}_factor_ppm"), policy::arithmetic::ppm(factor)));
    let is_excluded = around.is_excluded(now, now.saturating_add(1));
    let excluded = is_excluded.then(|| term("data_excluded", 1));
    lifts.map(|(name, ppm)| term(name, ppm)).chain(weather).chain(excluded).collect()
}

fn terms(case: &Case<'_>) -> Vec<Term> {
    let picture = case.picture;
    let term = |name: &str, value: i64| Term { name: name.to_owned(), value };
    let mut terms = vec![
        term("spend_day_micros", picture.spent_day),
        term("unseen_micros", picture.exposure.unseen_micros),
        term("ceiling_micros", picture.ceiling),
        term("plan_share_ppm", policy::arithmetic::ppm(picture.plan_share())),
        term("data_age_ms", picture.data_age().unwrap_or(-1)),
        term("apply_ms", picture.apply_ms),
    ];
    terms.extend(picture.budget.ok().map(|budget| term("budget_day_micros", budget)));
    if let Some((period, left)) = picture.bound_by {
        terms.push(term(&format!("{period}_ceiling_left_micros"), left));
    }
    if let Some((exposure, ceiling)) = picture.own {
        terms.push(term("own_exposed_micros", exposure.exposed_micros()));
        terms.push(term("own_ceiling_micros", ceiling));
    }
    terms.extend(picture.is_shared.then(|| term("exposed_of_shared_budget_micros", picture.exposure.exposed_micros())));
    terms.extend(picture.cost.ok().map(|cost| term("cost_per_event_micros", cost)));
    if let Some(Ok(step)) = case.evaluation.map(|evaluation| &evaluation.step) {
        terms.extend(step.terms());
    }
    if let Some(target) = &case.pacing.target {
        terms.extend(target.terms());
    }
    terms.extend(said_around(case));
    terms
}
