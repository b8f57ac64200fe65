//! Factors on the bid by device, place, placement and creative: from what is wanted, through the guard, to commands, one for
//! each value whose factor moves (section 7).
//!
//! What always holds: the product over dimensions, with that of the hours, stays within the policy's bounds and the highest
//! bid for every ad, whatever its values; a factor is sent only to a platform whose profile takes the dimension; a value of
//! which nothing is proven any more goes back to 1; that of a weather goes back as soon as the weather is over, and comes at any
//! time of the day. A factor is sent again within the day only where the last was lost or
//! its lease ran out.

use super::hours::{COOL_DOWN_MS, RETRY_MS, WINDOW_MS};
use super::{Case, Desk};
use crate::by_value::{STEERED, may_steer};
use crate::factors::FactorSlot;
use crate::ledger::{CampaignLedger, FACTORS_MAX, Lever, VALUE_KIND};
use crate::pacing::bid_ceiling;
use model::WHOLE_PPM;
use model::output::{Adjustment, Dimension, ExpectedPrevious, Fallback};
use model::time::{HOUR_MS, Millis};
use policy::explain::Reason;
use policy::gates::{Gate, Permission, WhyNothing};
use policy::guard::{Action, Checked, FactorView, LedgerView, Limits, Mode, Proposal, Verdict, check_factors};
use policy::modifier::{is_worth_a_command, to_ppm};
use policy::profile::Actuator;
use policy::settings::Modifiers;
use std::collections::BTreeMap;

/// What "why nothing" calls it.
const WORD: &str = "modifiers";

/// The dimension whose factors hold for all of the campaign, while a weather does.
const WEATHER: &str = crate::by_weather::DIMENSION;

/// Dimension and value.
type Key = (String, String);

impl Desk<'_> {
    /// Sends the factors that the last evaluation wants, where they differ from those in force.
    pub(super) fn move_values(&mut self, case: &Case<'_>, gate: &Gate) {
        if case.evaluation.is_none() {
            return;
        }
        for (key, wanted) in self.wanted_values(case) {
            self.move_value(case, gate, &key, wanted);
        }
    }

    /// Every value that wants a factor or has one.
    fn wanted_values(&self, case: &Case<'_>) -> BTreeMap<Key, f64> {
        let known = self.ledger.campaign(case.account_id, case.campaign_id).map(|ledger| &ledger.values);
        let mut wanted: BTreeMap<Key, f64> = known.into_iter().flatten().map(|(key, _)| (key.clone(), 1.0)).collect();
        self.add_weather(case, &mut wanted);
        self.add_values(case, &mut wanted);
        wanted
    }

    /// The weather that holds now, if it has a factor.
    fn add_weather(&self, case: &Case<'_>, wanted: &mut BTreeMap<Key, f64>) {
        let Some(by_weather) = &case.live.by_weather else { return };
        let Some(word) = case.live.around().weather_at(self.now).filter(|_| self.may_send(case, WEATHER)) else {
            return;
        };
        let (key, factor) = ((WEATHER.to_owned(), word.to_owned()), by_weather.wanted(word));
        if factor != 1.0 && factor > 0.0 && (wanted.len() < FACTORS_MAX || wanted.contains_key(&key)) {
            wanted.insert(key, factor);
        }
    }

    fn add_values(&self, case: &Case<'_>, wanted: &mut BTreeMap<Key, f64>) {
        let Some(by_value) = &case.live.by_value else { return };
        for dimension in STEERED.into_iter().filter(|name| self.may_send(case, name)) {
            for (value, factor) in by_value.wanted(dimension) {
                let key = (dimension.to_owned(), value.to_owned());
                if wanted.len() < FACTORS_MAX || wanted.contains_key(&key) {
                    wanted.insert(key, factor);
                }
            }
        }
    }

    fn may_send(&self, case: &Case<'_>, dimension: &str) -> bool {
        may_steer(&case.live.spec, dimension) && case.picture.profile.takes_modifiers_of(dimension)
    }

    fn move_value(&mut self, case: &Case<'_>, gate: &Gate, key: &Key, wanted: f64) {
        let slot = self.value_slot(case, key);
        let (told, before) = (self.told_of(case, &slot), self.value_in_force(case, &slot));
        if !is_worth_a_command(&to_ppm(&[wanted]), &[told], &case.settings.modifiers) {
            return;
        }
        let is_over = key.0 == WEATHER && wanted == 1.0;
        let hold_ms = case.settings.gates.override_hold_ms;
        let is_taken_back = slot.taken_back_at.is_some_and(|at| self.now.saturating_sub(at) < hold_ms);
        if is_taken_back && !is_over {
            return self.note(WORD, WhyNothing::HumanOverride.as_str());
        }
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        if ledger.is_some_and(CampaignLedger::is_paused) {
            return self.note(WORD, "paused");
        }
        let raises = wanted > before as f64 / WHOLE_PPM as f64;
        let needed = if raises { Permission::All } else { Permission::DecreasesOnly };
        if gate.permission > needed {
            return self.note(WORD, gate.why.map_or("held", WhyNothing::as_str));
        }
        if key.0 != WEATHER && !self.is_time_for(case, &slot) {
            return self.note(WORD, "waits_for_the_instant");
        }
        self.submit_value(case, key, wanted, (Reason::Modifiers, false));
    }

    /// At the instant of the day; one that was lost, or whose lease ran out, at any time.
    fn is_time_for(&self, case: &Case<'_>, slot: &FactorSlot) -> bool {
        let has_lapsed = slot.last.as_ref().is_some_and(|last| last.has_lapsed);
        let instant = case.settings.modifiers.local_hour.clamp(0, 23) * HOUR_MS;
        let since = self.now.saturating_sub(case.picture.day.start);
        has_lapsed || self.is_value_lost(case, slot) || (instant..instant.saturating_add(WINDOW_MS)).contains(&since)
    }

    /// A factor that a person asks for, by an approval or by taking the last one back, passes the guard like any other.
    pub(super) fn submit_persons_value(
        &mut self,
        case: &Case<'_>,
        of: &Dimension,
        ppm: i64,
        reason: Reason,
        approved: bool,
    ) -> bool {
        let key = (of.name.clone(), of.value.clone());
        self.submit_value(case, &key, ppm as f64 / WHOLE_PPM as f64, (reason, approved))
    }

    fn submit_value(&mut self, case: &Case<'_>, key: &Key, wanted: f64, (reason, approved): (Reason, bool)) -> bool {
        let slot = self.value_slot(case, key);
        let settings = self.bounds_of(case, &key.0);
        // A bound that another dimension has moved is no reason to go past what nothing is proven of.
        let wanted = [wanted.clamp(settings.product_least.min(1.0), settings.product_most.max(1.0))];
        let before = [self.value_in_force(case, &slot)];
        let proposal = Proposal { action: Action::SetModifier, reason, group_sum_micros: None, approved };
        // A weather that comes back finds the factor that it had.
        let reached = [slot.reached];
        let known = if slot.reached > 0 && slot.lapsed.is_empty() { &reached[..] } else { &slot.lapsed };
        let is_over = key.0 == WEATHER && wanted == [1.0];
        let view = FactorView { wanted: &wanted, in_force: &before, known, is_over, settings: &settings };
        let limits = self.limits_of_value(case, (&key.0, wanted[0]), &slot, reason);
        let ledger_view = self.view_of_value(case, &slot);
        match check_factors(&proposal, &view, &limits, &ledger_view, self.now) {
            Verdict::Hold(why) => self.note(WORD, why.as_str()),
            Verdict::Emit(command) if self.is_far_from(case, command.checked(), &slot) => {
                let adjustment = self.written_value(case, command.checked(), (key, &slot), "issued", None);
                self.issue(adjustment);
                return true;
            }
            Verdict::Propose(guarded) if self.is_far_from(case, guarded.checked(), &slot) => {
                return self.propose_value(case, guarded.checked(), (key, &slot), guarded.decide_by_ms());
            }
            Verdict::Emit(_) | Verdict::Propose(_) => self.note(WORD, "dead_band"),
        }
        false
    }

    fn propose_value(
        &mut self,
        case: &Case<'_>,
        checked: &Checked,
        (key, slot): (&Key, &FactorSlot),
        decide_by: Millis,
    ) -> bool {
        let observed = Mode::parse(&case.live.spec.mode) == Mode::Observe;
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let is_same = |known: &Adjustment| {
            let of = known.dimension.as_ref();
            known.kind == VALUE_KIND && of.is_some_and(|of| of.name == key.0 && of.value == key.1)
        };
        let waits = ledger
            .is_some_and(|ledger| ledger.is_quiet(VALUE_KIND, self.now) || ledger.proposals.values().any(is_same));
        if !observed && waits {
            self.note(WORD, "awaiting_approval");
            return false;
        }
        let (state, by) = if observed { ("observed", None) } else { ("proposed", Some(decide_by)) };
        let adjustment = self.written_value(case, checked, (key, slot), state, by);
        self.propose(adjustment);
        true
    }

    fn value_slot(&self, case: &Case<'_>, key: &Key) -> FactorSlot {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        ledger.and_then(|ledger| ledger.values.get(key)).cloned().unwrap_or_default()
    }

    /// What the guard has left of the change is still worth a command.
    fn is_far_from(&self, case: &Case<'_>, checked: &Checked, slot: &FactorSlot) -> bool {
        is_worth_a_command(checked.factors(), &[self.told_of(case, slot)], &case.settings.modifiers)
    }

    /// What the world was last told, as far as it can have heard it.
    fn told_of(&self, case: &Case<'_>, slot: &FactorSlot) -> i64 {
        match &slot.shown {
            Some((shown, _)) if Mode::parse(&case.live.spec.mode) != Mode::Auto && !case.approved => {
                shown.first().copied().unwrap_or(WHOLE_PPM)
            }
            _ => self.value_in_force(case, slot),
        }
    }

    fn value_in_force(&self, case: &Case<'_>, slot: &FactorSlot) -> i64 {
        slot.known(self.is_value_lost(case, slot)).first().copied().unwrap_or(WHOLE_PPM)
    }

    fn is_value_lost(&self, case: &Case<'_>, slot: &FactorSlot) -> bool {
        let limit = self.ack_limit(case);
        slot.is_lost(self.now, limit)
    }

    /// What the other dimensions and the platform leave of the product's bounds.
    pub(super) fn bounds_of(&self, case: &Case<'_>, dimension: &str) -> Modifiers {
        let nothing = CampaignLedger::default();
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id).unwrap_or(&nothing);
        let (most, least) = ledger.factor_span_without(dimension);
        let (settings, profile) = (&case.settings.modifiers, &case.picture.profile);
        let share = |ppm: i64| ppm.max(1) as f64 / WHOLE_PPM as f64;
        Modifiers {
            product_most: (settings.product_most / share(most)).min(share(profile.modifier_max_ppm)),
            product_least: (settings.product_least / share(least)).max(share(profile.modifier_min_ppm)),
            ..settings.clone()
        }
    }

    fn limits_of_value<'l>(
        &self,
        case: &Case<'l>,
        (dimension, wanted): (&str, f64),
        slot: &FactorSlot,
        reason: Reason,
    ) -> Limits<'l> {
        let has_lapsed = slot.last.as_ref().is_some_and(|last| last.has_lapsed);
        let by_person = case.approved || reason == Reason::Undo;
        let is_urgent = self.is_value_lost(case, slot) || by_person;
        // Weather keeps no hours: it begins at the pace of bids, and its end waits for nothing.
        let cool_down_ms = match (dimension == WEATHER, has_lapsed) {
            _ if is_urgent => 0,
            (true, _) if wanted == 1.0 => 0,
            (true, true) => HOUR_MS,
            (true, false) => case.picture.profile.cadence_ms(Actuator::Bid),
            (false, true) => RETRY_MS,
            (false, false) => COOL_DOWN_MS,
        };
        let ceiling = Some(self.ceiling_beside(case, dimension)).filter(|ceiling| *ceiling > 0);
        Limits { ceiling, cool_down_ms, ..self.limits(case, Lever::Bid, reason) }
    }

    /// The highest bid that one dimension's factors may lead to, the others being as high as they may be.
    pub(super) fn ceiling_beside(&self, case: &Case<'_>, dimension: &str) -> i64 {
        let ledger = self.ledger.campaign(case.account_id, case.campaign_id);
        let most = ledger.map_or(WHOLE_PPM, |ledger| ledger.factor_span_without(dimension).0);
        crate::factors::below(bid_ceiling(&case.live.spec), &[most])
    }

    fn view_of_value(&self, case: &Case<'_>, slot: &FactorSlot) -> LedgerView {
        let shown = slot.shown.as_ref().filter(|_| Mode::parse(&case.live.spec.mode) != Mode::Auto && !case.approved);
        let last_command_ms = shown.map(|(_, at)| *at).or(slot.issued_at());
        let view = self.ledger_view(case, Lever::Bid);
        let assumed = self.ledger.campaign(case.account_id, case.campaign_id).and_then(|ledger| ledger.bid.assumed());
        LedgerView { in_force: view.in_force.max(assumed), last_command_ms, ..view }
    }

    fn written_value(
        &self,
        case: &Case<'_>,
        checked: &Checked,
        ((dimension, value), slot): (&Key, &FactorSlot),
        state: &str,
        decide_by: Option<Millis>,
    ) -> Adjustment {
        let mut written = self.written(case, Lever::Bid, checked, state, decide_by);
        let factor = checked.factors().first().copied();
        (written.value_micros, written.value_ppm) = (None, factor);
        written.dimension = Some(Dimension { name: dimension.clone(), value: value.clone() });
        let confirmed = slot.confirmed.first().copied().unwrap_or(WHOLE_PPM);
        written.expected_previous =
            ExpectedPrevious { value_micros: None, value_ppm: Some(confirmed), sequence: slot.confirmed_sequence };
        // The lease's end leaves the least of the factor before, the new one and 1: no one value of micros says it.
        written.fallback = checked.lease_until_ms().map(|when| Fallback { value_micros: None, when });
        written.explanation.text = told(dimension, value, factor, &written.explanation.text);
        if let Some(by_weather) = case.live.by_weather.as_ref().filter(|_| dimension == WEATHER) {
            written.explanation.terms.extend(by_weather.terms(value));
        } else if let Some(by_value) = &case.live.by_value {
            written.explanation.terms.extend(by_value.terms(dimension, value));
        }
        written
    }
}

/// Names the value in the sentence.
fn told(dimension: &str, value: &str, factor: Option<i64>, sentence: &str) -> String {
    let hundredths = factor.unwrap_or(WHOLE_PPM) / 10_000;
    let (whole, part) = (hundredths / 100, hundredths % 100);
    let says = sentence.split_once(": ").map_or(sentence, |(_, says)| says);
    let when = if dimension == WEATHER { "while the" } else { "where" };
    format!("Factor {whole}.{part:02} on the bid {when} {dimension} is {value}: {says}")
}
