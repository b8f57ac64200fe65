//! What the controller does about money: short days of a campaign, with the commands that must and must not follow.

use super::world::*;
use crate::{Authority, Controller, Holds, JournalPosition, Outputs, Setup};
use model::fact::{CampaignSpec, Decision, Fact, Halt, PolicyVersion, StateReport};
use model::journal::JournalRecord;
use model::output::Adjustment;
use model::time::{HOUR_MS, MINUTE_MS, Millis};

pub(super) const EUR: i64 = 1_000_000;

/// A bidder's campaign of 240 EUR a day at 1 EUR a click, bids between 0.20 and 5.
pub(super) fn paced(version: i64) -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: Some(240 * EUR),
        bid_micros: EUR,
        bid_min_micros: EUR / 5,
        bid_max_micros: 5 * EUR,
        bid_step_micros: 10_000,
        ..spec("c", version)
    }
}

/// A day of one campaign with a buyer that answers.
pub(super) struct Day {
    pub(super) world: World,
    pub(super) now: Millis,
    /// Answers commands; otherwise silent.
    pub(super) answers: bool,
    pub(super) issued: Vec<Adjustment>,
    pub(super) proposed: Vec<Adjustment>,
    pub(super) queue: Vec<Fact>,
    pub(super) records: Vec<(Millis, JournalRecord)>,
    /// Conversions that each minute brings, credited to clicks of the minute before.
    pub(super) conversions: i64,
}

impl Day {
    pub(super) fn of(spec: CampaignSpec) -> Self {
        let mut day = Day {
            world: World::new(),
            now: MONDAY,
            answers: true,
            issued: Vec::new(),
            proposed: Vec::new(),
            queue: vec![specified(spec)],
            records: Vec::new(),
            conversions: 0,
        };
        day.step(0, 0);
        day
    }

    /// A minute with that many clicks and that much spend in it.
    pub(super) fn step(&mut self, clicks: i64, spend_micros: i64) {
        let at = self.now - MINUTE_MS;
        let mut rows = if clicks == 0 { vec![] } else { vec![touches("c", at, 20 * clicks, clicks, spend_micros)] };
        if self.conversions > 0 {
            rows.push(credit("c", at, at - MINUTE_MS, self.conversions * 1_000_000, self.conversions * 20 * EUR));
        }
        self.feed(self.now - 5_000, &rows);
        self.now += MINUTE_MS;
    }

    /// A minute in which the sources say nothing new.
    pub(super) fn silence(&mut self, watermark: Millis) {
        self.feed(watermark, &[]);
        self.now += MINUTE_MS;
    }

    pub(super) fn feed(&mut self, watermark: Millis, rows: &[Row]) {
        let facts = std::mem::take(&mut self.queue);
        let record = self.world.journal.cut(self.now, watermark, rows, &facts);
        self.records.push((self.now, record.clone()));
        let outputs = self.world.apply(self.now, &record);
        for command in &outputs.adjustments {
            assert_eq!(command.state, "issued");
            if self.answers {
                self.queue.push(acked(command, "applied", None));
            }
        }
        self.issued.extend(outputs.adjustments);
        self.proposed.extend(outputs.proposals);
    }

    pub(super) fn minutes(&mut self, count: i64, clicks: i64, spend_micros: i64) {
        (0..count).for_each(|_| self.step(clicks, spend_micros));
    }

    pub(super) fn kinds(&self) -> Vec<&str> {
        self.issued.iter().map(|command| command.kind.as_str()).collect()
    }

    pub(super) fn spent(&self) -> i64 {
        self.world.controller.view().campaign("acme", "c").unwrap().spend_day_micros
    }

    pub(super) fn why(&self) -> Vec<String> {
        self.world.controller.view().why("acme", "c").into_iter().map(|why| why.reason).collect()
    }
}

fn halt(action: &str) -> Fact {
    Fact::Halt(Box::new(Halt {
        scope: "account".into(),
        account_id: Some("acme".into()),
        action: action.into(),
        ..Halt::default()
    }))
}

#[test]
fn why_the_bid_stays_is_known_between_its_evaluations() {
    let mut day = Day::of(CampaignSpec { daily_budget_micros: None, ..paced(1) });
    for minute in 0..60 {
        day.step(4, 4 * EUR);
        let bid = day.world.controller.view().why("acme", "c").into_iter().find(|why| why.lever == "bid");
        assert!(minute < 10 || bid.is_some(), "minute {minute}");
    }
}

#[test]
fn a_yes_to_what_a_campaign_only_observes_by_now_is_told_as_refused() {
    let mut day = Day::of(CampaignSpec { mode: "approve".into(), ..paced(1) });
    while day.proposed.is_empty() {
        day.step(1, EUR / 100);
    }
    let asked = day.proposed[0].clone();
    day.queue.push(specified(CampaignSpec { mode: "observe".into(), ..paced(2) }));
    day.step(1, EUR / 100);
    day.queue.push(Fact::Decision(Box::new(Decision {
        command_id: asked.command_id.clone(),
        account_id: asked.account_id.clone(),
        decision: "approve".into(),
        ..Decision::default()
    })));
    day.proposed.clear();
    day.step(1, EUR / 100);
    let told = day.proposed.iter().filter(|proposal| proposal.command_id == asked.command_id);
    assert_eq!(told.map(|proposal| proposal.state.as_str()).collect::<Vec<_>>(), ["rejected"]);
    assert!(day.issued.is_empty(), "{:?}", day.kinds());
}

#[test]
fn overspend_is_stopped_before_the_budget_is_passed_and_resumes_the_next_day() {
    let mut day = Day::of(paced(1));
    day.minutes(60, 0, 0);
    while !day.kinds().contains(&"pause") {
        assert!(day.spent() < 240 * EUR, "the hard stop comes before the ceiling");
        day.step(2, 2 * EUR);
    }
    let pause = day.issued.iter().find(|command| command.kind == "pause").unwrap().clone();
    assert_eq!((pause.reason.as_str(), pause.holder.as_deref()), ("daily_cap", Some("daily_cap")));
    assert!(day.spent() >= 230 * EUR, "and not long before: {}", day.spent());
    assert!(pause.fallback.is_none() && pause.explanation.text.contains("ceiling"), "{}", pause.explanation.text);
    assert_eq!(pause.explanation.journal_offset, day.world.offset - 1);
    let before = day.issued.len();
    while day.now < MONDAY + 24 * HOUR_MS {
        day.step(0, 0);
    }
    assert_eq!(day.issued.len(), before, "silence until the day is over");
    assert_eq!(day.world.controller.view().campaign("acme", "c").unwrap().pace, "exhausted");
    day.minutes(30, 0, 0);
    let resume = day.issued.iter().find(|command| command.kind == "resume").expect("a new day");
    assert_eq!(resume.reason, "day_started");
    assert!(day.world.controller.view().campaign("acme", "c").unwrap().holders.is_empty());
}

#[test]
fn a_campaign_that_spends_too_fast_is_cut_step_by_step() {
    let mut day = Day::of(paced(1));
    day.minutes(180, 1, EUR / 2);
    assert!(day.kinds().iter().all(|kind| *kind == "set_bid"), "{:?}", day.kinds());
    assert!(!day.issued.is_empty());
    let mut before = EUR;
    for command in &day.issued {
        let value = command.value_micros.unwrap();
        assert!(value < before && value >= before * 6 / 10, "{value} after {before}");
        assert_eq!(value % 10_000, 0, "whole cents");
        assert_eq!(command.fallback, None, "cuts stay");
        assert_eq!(command.expected_previous.value_micros, Some(before));
        before = value;
    }
    let gaps = day.issued.windows(2).map(|pair| pair[1].issued_at - pair[0].issued_at);
    assert!(gaps.into_iter().all(|gap| gap >= 5 * MINUTE_MS), "the bidder's cadence");
}

#[test]
fn a_campaign_that_falls_behind_is_raised_within_its_limits_and_the_raise_is_leased() {
    let mut day = Day::of(paced(1));
    day.minutes(240, 1, EUR / 100);
    let raises: Vec<_> = day.issued.iter().filter(|command| command.reason == "pacing_behind").collect();
    assert!(!raises.is_empty(), "why: {:?}", day.why());
    for raise in &raises {
        let value = raise.value_micros.unwrap();
        assert!(value <= EUR * 3 / 2, "at most half above the value at the day's start, found {value}");
        let fallback = raise.fallback.as_ref().unwrap();
        assert!(fallback.value_micros.unwrap() <= EUR, "never above previous or baseline");
        assert_eq!(fallback.when, raise.issued_at + 5 * MINUTE_MS);
        let lease = raise.explanation.terms.iter().find(|term| term.name == "lease_spend_micros").unwrap();
        assert!(lease.value <= 240 * EUR && lease.value <= raise.risk.worst_case_micros);
        assert!(raise.risk.worst_case_micros <= 245 * EUR, "the day's budget, and what is in flight there");
    }
    let leases = day.world.outputs.iter().flat_map(|outputs| &outputs.desired).filter(|(key, _)| key == "lease/acme");
    let until: Vec<Millis> = leases.map(|(_, lease)| lease.lease_until.unwrap()).collect();
    assert!(until.windows(2).all(|pair| pair[0] < pair[1]) && until.len() > 20, "kept alive: {}", until.len());
    assert_eq!(
        day.world.controller.view().campaign("acme", "c").unwrap().bid_confirmed_micros,
        raises.last().unwrap().value_micros,
        "a raise that is kept alive stays"
    );
}

#[test]
fn answers_whose_time_is_in_another_unit_pause_nothing() {
    let mut day = Day::of(paced(1));
    day.answers = false;
    let mut answered = 0;
    for _ in 0..180 {
        day.minutes(1, 1, EUR / 100);
        for command in &day.issued[answered..] {
            let Fact::Ack(mut ack) = acked(command, "applied", None) else { continue };
            ack.applied_at = Some(day.now * 1_000);
            day.queue.push(Fact::Ack(ack));
        }
        answered = day.issued.len();
    }
    assert!(answered > 3, "there was something to answer");
    assert!(!day.kinds().contains(&"pause"), "a hundredth of the budget is spent: {:?}", day.kinds());
}

#[test]
fn a_feed_that_dies_upstream_and_looks_idle_raises_nothing() {
    let mut day = Day::of(paced(1));
    day.minutes(60, 1, EUR / 100);
    let before = day.issued.len();
    let raised = |day: &Day| day.issued[before..].iter().filter(|command| command.reason == "pacing_behind").count();
    day.minutes(20, 0, 0);
    let at_most = raised(&day);
    day.minutes(180, 0, 0);
    assert_eq!(raised(&day), at_most, "no sign of life, no raise");
}

#[test]
fn stale_data_hold_raises_and_let_the_hard_stop_work() {
    let mut day = Day::of(paced(1));
    day.minutes(60, 1, EUR / 100);
    let before = day.issued.len();
    let watermark = day.now - 5_000;
    for _ in 0..60 {
        day.silence(watermark);
    }
    assert!(day.issued[before..].iter().all(|command| command.reason != "pacing_behind"));
    assert_eq!(day.world.alerts("data_gap"), ["opened"]);
    let view = day.world.controller.view().campaign("acme", "c").unwrap();
    assert!(view.bid_confirmed_micros.unwrap() <= EUR, "raises ended at their fallback: nobody renewed the lease");
}

#[test]
fn the_estimate_of_unseen_money_stops_a_campaign_whose_feed_died() {
    let mut day = Day::of(paced(1));
    day.minutes(110, 2, 2 * EUR);
    assert!(!day.kinds().contains(&"pause"), "{:?} at {}", day.kinds(), day.spent());
    let watermark = day.now - 5_000;
    for _ in 0..30 {
        day.silence(watermark);
    }
    assert!(day.kinds().contains(&"pause"), "why: {:?}", day.why());
}

#[test]
fn a_person_s_value_is_left_alone_for_a_day() {
    let mut day = Day::of(paced(1));
    day.minutes(60, 1, EUR / 2);
    let confirmed = day.world.controller.view().campaign("acme", "c").unwrap().bid_confirmed_micros;
    assert!(confirmed.is_some());
    let report = StateReport {
        account_id: "acme".into(),
        campaign_id: "c".into(),
        reported_at: day.now,
        bid_micros: Some(3 * EUR),
        actor: Some("person".into()),
        ..StateReport::default()
    };
    day.queue.push(Fact::StateReport(Box::new(report)));
    day.step(1, EUR / 2);
    let before = day.issued.len();
    day.minutes(120, 1, EUR / 2);
    assert!(day.issued[before..].iter().all(|command| command.kind != "set_bid"), "no fight");
    assert_eq!(day.world.alerts("value_mismatch"), ["opened"]);
    assert!(day.spent() < 240 * EUR);
}

#[test]
fn bids_that_a_platform_sets_are_nobody_s_override() {
    let by_platform = CampaignSpec {
        bid_control: "platform".into(),
        budget_control: "paceline".into(),
        platform: Some("google_ads".into()),
        ..paced(1)
    };
    let mut day = Day::of(by_platform);
    for hour in 1..6 {
        day.minutes(60, 1, EUR / 4);
        let report = StateReport {
            account_id: "acme".into(),
            campaign_id: "c".into(),
            reported_at: day.now,
            bid_micros: Some(hour * EUR / 2),
            daily_budget_micros: (hour > 3).then_some(hour * 100 * EUR),
            actor: Some("platform".into()),
            ..StateReport::default()
        };
        day.queue.push(Fact::StateReport(Box::new(report)));
        day.step(1, EUR / 4);
        let view = day.world.controller.view().campaign("acme", "c").unwrap();
        assert_eq!(view.bid_confirmed_micros, Some(hour * EUR / 2), "followed");
        let told = day.world.alerts("value_mismatch").len();
        assert_eq!(told, usize::from(hour == 5), "a budget of ours that another one sets is told, once");
    }
}

#[test]
fn a_pause_by_a_person_is_never_lifted() {
    let mut day = Day::of(paced(1));
    day.minutes(30, 1, EUR / 5);
    let report = |status: &str, at: Millis| {
        Fact::StateReport(Box::new(StateReport {
            account_id: "acme".into(),
            campaign_id: "c".into(),
            reported_at: at,
            status: Some(status.into()),
            actor: Some("person".into()),
            ..StateReport::default()
        }))
    };
    day.queue.push(report("paused", day.now));
    day.step(0, 0);
    let before = day.issued.len();
    day.minutes(26 * 60, 0, 0);
    assert_eq!(day.issued.len(), before);
    day.queue.push(report("active", day.now));
    day.minutes(2, 1, EUR / 5);
    assert!(day.world.controller.view().campaign("acme", "c").unwrap().holders.is_empty());
}

#[test]
fn a_halt_stops_at_once_and_only_its_release_lets_run_again() {
    let mut day = Day::of(paced(1));
    day.minutes(30, 1, EUR / 5);
    day.queue.push(halt("set"));
    day.step(1, EUR / 5);
    let pause = day.issued.last().unwrap().clone();
    assert_eq!((pause.kind.as_str(), pause.holder.as_deref()), ("pause", Some("halt")));
    let before = day.issued.len();
    day.minutes(60, 0, 0);
    assert_eq!(day.issued.len(), before, "nothing while halted");
    day.queue.push(halt("release"));
    day.minutes(5, 0, 0);
    assert_eq!(day.issued[before..].iter().map(|command| command.kind.as_str()).collect::<Vec<_>>(), ["resume"]);
}

#[test]
fn a_no_to_a_bid_is_none_to_a_stop() {
    let mut day = Day::of(CampaignSpec { mode: "approve".into(), ..paced(1) });
    while day.proposed.is_empty() {
        day.step(2, 2 * EUR);
    }
    let asked = day.proposed[0].clone();
    assert_eq!(asked.kind, "set_bid");
    let word = |decision: &str, until: Option<Millis>| {
        Fact::Decision(Box::new(Decision {
            command_id: asked.command_id.clone(),
            account_id: "acme".into(),
            decision: decision.into(),
            until,
            actor: "ann".into(),
            ..Decision::default()
        }))
    };
    // An instant in nanoseconds puts nothing off for ever.
    day.queue.push(word("snooze", Some(Millis::MAX)));
    day.step(2, 2 * EUR);
    let put_off = day.proposed.last().unwrap().decide_by.unwrap();
    assert!(put_off <= day.now + 35 * 24 * HOUR_MS, "{put_off}");
    day.queue.push(word("reject", None));
    while day.spent() < 236 * EUR {
        day.step(2, 2 * EUR);
    }
    let stop = day.proposed.iter().find(|proposal| proposal.kind == "pause").expect("the stop is asked for");
    assert_eq!((stop.reason.as_str(), stop.state.as_str()), ("daily_cap", "proposed"));
    let bids = day.proposed.iter().filter(|proposal| proposal.kind == "set_bid" && proposal.state == "proposed");
    assert!(bids.clone().all(|proposal| proposal.command_id == asked.command_id), "no other bid: {}", bids.count());
}

#[test]
fn words_that_nobody_knows_lift_no_halt_and_disarm_no_stop() {
    let mut day = Day::of(paced(1));
    let report = StateReport {
        account_id: "acme".into(),
        campaign_id: "c".into(),
        reported_at: day.now,
        status: Some("ENABLED".into()),
        ..StateReport::default()
    };
    day.queue.push(Fact::StateReport(Box::new(report)));
    day.minutes(30, 1, EUR / 5);
    assert!(day.world.controller.view().campaign("acme", "c").unwrap().holders.is_empty());
    day.queue.push(halt("set"));
    day.step(1, EUR / 5);
    assert_eq!(day.issued.last().unwrap().holder.as_deref(), Some("halt"));
    let before = day.issued.len();
    day.queue.push(halt("halt"));
    day.minutes(60, 0, 0);
    assert_eq!(day.issued.len(), before, "still halted");
}

#[test]
fn a_command_that_nobody_answers_is_issued_again_with_a_new_sequence() {
    let mut day = Day::of(paced(1));
    day.answers = false;
    while day.issued.is_empty() {
        day.step(1, EUR / 2);
    }
    day.minutes(30, 1, EUR / 2);
    let again: Vec<_> = day.issued.iter().filter(|command| command.kind == "set_bid").collect();
    assert!(again.len() >= 3, "{}", again.len());
    assert!(
        again.windows(2).all(|pair| pair[0].sequence < pair[1].sequence && pair[0].command_id != pair[1].command_id)
    );
    assert!(
        again.windows(2).all(|pair| pair[1].issued_at - pair[0].issued_at >= 3 * MINUTE_MS),
        "not before its limit"
    );
    assert!(again.iter().all(|command| command.expected_previous.sequence == 0));
    assert_eq!(day.world.alerts("ack_missing"), ["opened"]);
    day.queue.push(acked(again.last().unwrap(), "applied", None));
    day.answers = true;
    day.minutes(2, 1, EUR / 2);
    assert_eq!(day.world.alerts("ack_missing"), ["opened", "resolved"]);
}

#[test]
fn an_observed_campaign_gets_no_command_and_repeats_nothing() {
    let mut day = Day::of(CampaignSpec { mode: "observe".into(), ..paced(1) });
    day.minutes(60, 0, 0);
    day.minutes(180, 2, 2 * EUR);
    assert!(day.issued.is_empty());
    assert!(day.proposed.iter().all(|proposal| proposal.state == "observed"));
    assert_eq!(day.proposed.iter().filter(|proposal| proposal.kind == "pause").count(), 1);
}

#[test]
fn an_approved_proposal_is_issued_and_an_unanswered_one_expires() {
    let mut day = Day::of(CampaignSpec { mode: "approve".into(), ..paced(1) });
    while day.proposed.is_empty() {
        day.step(1, EUR / 2);
    }
    assert!(day.issued.is_empty());
    let proposal = day.proposed[0].clone();
    assert_eq!(proposal.state, "proposed");
    let word = |decision: &str, proposal: &Adjustment| {
        Fact::Decision(Box::new(Decision {
            command_id: proposal.command_id.clone(),
            account_id: "acme".into(),
            decision: decision.into(),
            actor: "ann".into(),
            ..Decision::default()
        }))
    };
    day.queue.push(word("approve", &proposal));
    day.step(1, EUR / 2);
    assert_eq!(day.issued.len(), 1);
    assert_eq!((day.issued[0].value_micros, day.issued[0].reason.as_str()), (proposal.value_micros, "person"));
    assert_eq!(day.proposed.last().unwrap().state, "approved");
    while day.proposed.last().unwrap().state != "proposed" {
        day.step(1, EUR / 2);
    }
    let waiting = day.proposed.last().unwrap().clone();
    day.minutes(4 * 60 + 1, 0, 0);
    let expired = day.proposed.iter().find(|proposal| proposal.state == "expired").expect("nobody answered");
    assert_eq!(expired.command_id, waiting.command_id);
    assert_eq!(day.issued.len(), 1);
}

#[test]
fn numbers_that_jump_wait_for_a_person() {
    let mut day = Day::of(paced(1));
    day.step(1, EUR / 5);
    day.queue.push(specified(CampaignSpec { daily_budget_micros: Some(24_000 * EUR), ..paced(2) }));
    day.step(1, EUR / 5);
    let budget = |day: &Day| day.world.controller.view().campaign("acme", "c").unwrap().daily_budget_micros;
    assert_eq!(budget(&day), Some(240 * EUR));
    assert_eq!(day.world.alerts("spec_jump"), ["opened"]);
    day.queue.push(Fact::Decision(Box::new(Decision {
        command_id: "spec/c/2".into(),
        account_id: "acme".into(),
        campaign_id: Some("c".into()),
        decision: "approve".into(),
        ..Decision::default()
    })));
    day.step(1, EUR / 5);
    assert_eq!(budget(&day), Some(24_000 * EUR));
    assert_eq!(day.world.alerts("spec_jump"), ["opened", "resolved"]);
}

#[test]
fn a_budget_cut_below_what_is_spent_pauses_at_once() {
    let mut day = Day::of(paced(1));
    day.minutes(120, 1, EUR / 2);
    day.queue.push(specified(CampaignSpec { daily_budget_micros: Some(50 * EUR), ..paced(2) }));
    day.step(0, 0);
    assert_eq!(day.issued.last().unwrap().kind, "pause");
}

/// Runs the records again: decided to the cut, from a snapshot or from the log, then decided on.
pub(super) fn again(
    records: &[(Millis, JournalRecord)],
    logs: &[Vec<crate::LoggedDecision>],
    cut: usize,
    from_log: bool,
) -> Vec<u8> {
    let mut controller = Controller::new(setup());
    for (offset, (timestamp_ms, record)) in records.iter().enumerate() {
        let at = JournalPosition { offset: offset as i64, timestamp_ms: *timestamp_ms };
        let authority = if from_log && offset < cut { Authority::Log(&logs[offset]) } else { Authority::Decide };
        let outputs = controller.apply(at, record, authority);
        if offset < cut && from_log {
            assert!(outputs.adjustments.is_empty() && outputs.proposals.is_empty() && outputs.alerts.is_empty());
        } else {
            assert_eq!(outputs.decisions(), logs[offset], "the same commands byte for byte, offset {offset}");
        }
        if offset == cut && !from_log {
            controller = Controller::restore(setup(), &controller.snapshot()).unwrap();
        }
    }
    controller.snapshot()
}

/// A day with commands, alerts and halts in it.
fn eventful(mode: &str) -> Day {
    let mut day = Day::of(CampaignSpec { mode: mode.into(), time_zone: "Europe/Berlin".into(), ..paced(1) });
    day.minutes(90, 1, EUR / 100);
    day.answers = false;
    day.minutes(20, 1, EUR / 2);
    day.answers = true;
    day.minutes(60, 2, EUR);
    day.queue.push(halt("set"));
    day.minutes(20, 0, 0);
    day.queue.push(halt("release"));
    day.minutes(240, 1, EUR);
    day.minutes(60, 0, 0);
    day
}

/// The part of a record's outputs that topics hold, or that they lack.
fn on_topics(outputs: &Outputs, holds: Holds, held: bool) -> Outputs {
    let mut part = outputs.clone();
    for (holds, clear) in [
        (holds.adjustments, (|part| part.adjustments.clear()) as fn(&mut Outputs)),
        (holds.proposals, |part| part.proposals.clear()),
        (holds.desired, |part| part.desired.clear()),
        (holds.alerts, |part| part.alerts.clear()),
        (holds.kpis, |part| part.kpis.clear()),
    ] {
        if holds != held {
            clear(&mut part);
        }
    }
    part
}

#[test]
fn topics_that_lack_a_record_s_outputs_get_them_and_no_command_comes_twice() {
    for mode in ["auto", "approve", "observe"] {
        let day = eventful(mode);
        let whole = day.world.controller.snapshot();
        for subset in 0..32_u8 {
            let bit = |at: u8| subset & (1 << at) != 0;
            let holds = Holds { adjustments: bit(0), proposals: bit(1), desired: bit(2), alerts: bit(3), kpis: bit(4) };
            let mut controller = Controller::new(setup());
            for (offset, (timestamp_ms, record)) in day.records.iter().enumerate() {
                let at = JournalPosition { offset: offset as i64, timestamp_ms: *timestamp_ms };
                let outputs = &day.world.outputs[offset];
                // Every record torn in turn is far worse than the one transaction that can be.
                let found = controller.mend(at, record, &on_topics(outputs, holds, true).decisions(), holds);
                assert_eq!(found, on_topics(outputs, holds, false), "{mode}: {holds:?} at {offset}");
            }
            assert_eq!(controller.snapshot(), whole, "{mode}: {holds:?}");
        }
    }
}

#[test]
fn another_build_mends_a_torn_record_without_a_command_of_its_own() {
    let day = eventful("auto");
    let other = || Controller::new(Setup { build: "another".into(), ..setup() });
    let holds = Holds { adjustments: true, ..Holds::default() };
    let (mut controller, mut mended) = (other(), 0);
    for (offset, (timestamp_ms, record)) in day.records.iter().enumerate() {
        let at = JournalPosition { offset: offset as i64, timestamp_ms: *timestamp_ms };
        let outputs = &day.world.outputs[offset];
        let log = outputs.decisions();
        if outputs.adjustments.is_empty() {
            controller.apply(at, record, Authority::Log(&log));
            continue;
        }
        let found = controller.mend(at, record, &on_topics(outputs, holds, true).decisions(), holds);
        assert!(found.adjustments.is_empty() && found.proposals.is_empty());
        let states = |outputs: &Outputs| {
            let states = outputs.desired.iter().filter(|(key, _)| !key.starts_with("lease/"));
            states.map(|(key, state)| (key.clone(), state.sequence, state.values.clone())).collect::<Vec<_>>()
        };
        assert_eq!(states(&found), states(outputs), "the desired state tells the ledger of the log");
        assert_eq!(found.kpis.len(), outputs.kpis.len());
        mended += 1;
    }
    assert!(mended > 3, "{mended}");
}

#[test]
fn a_day_of_commands_is_rebuilt_from_a_snapshot_and_from_the_log() {
    for mode in ["auto", "approve", "observe"] {
        let day = eventful(mode);
        let logs: Vec<_> = day.world.outputs.iter().map(Outputs::decisions).collect();
        assert!(logs.iter().flatten().count() > 4, "{mode}");
        let whole = day.world.controller.snapshot();
        for cut in [1, 60, 95, 130, 171, 200, 400] {
            assert_eq!(again(&day.records, &logs, cut, false), whole, "{mode}: snapshot at {cut}");
            assert_eq!(again(&day.records, &logs, cut, true), whole, "{mode}: log to {cut}");
        }
    }
}

#[test]
fn campaigns_of_a_shared_budget_stop_together() {
    let mut world = World::new();
    let shared = |name: &str| CampaignSpec {
        campaign_id: name.into(),
        daily_budget_micros: None,
        budget_id: Some("pool".into()),
        ..paced(1)
    };
    let pool = Fact::EntitySpec(Box::new(model::fact::EntitySpec {
        entity_id: "pool".into(),
        account_id: "acme".into(),
        kind: "budget".into(),
        version: 1,
        currency: "EUR".into(),
        daily_budget_micros: Some(100 * EUR),
        ..Default::default()
    }));
    world.feed(MONDAY, &[], &[specified(shared("a")), specified(shared("b")), pool]);
    let mut stopped = Vec::new();
    for minute in 1..60 {
        let now = MONDAY + minute * MINUTE_MS;
        let rows = [touches("a", now - MINUTE_MS, 20, 1, EUR), touches("b", now - MINUTE_MS, 20, 1, EUR)];
        let outputs = world.feed(now, &rows, &[]);
        let pauses = outputs.adjustments.iter().filter(|command| command.kind == "pause");
        stopped.extend(pauses.map(|command| (minute, command.campaign_id.clone())));
        if stopped.len() >= 2 {
            break;
        }
    }
    assert_eq!(stopped.iter().map(|(_, campaign)| campaign.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!((44..=50).contains(&stopped[0].0), "half of the hundred each: {stopped:?}");
}

#[test]
fn a_read_back_that_says_active_does_not_confirm_a_pause() {
    let mut day = Day::of(paced(1));
    day.minutes(10, 1, EUR / 5);
    day.answers = false;
    day.queue.push(halt("set"));
    day.step(1, EUR / 5);
    assert_eq!(day.issued.last().unwrap().kind, "pause");
    let before = day.issued.len();
    let report = StateReport {
        account_id: "acme".into(),
        campaign_id: "c".into(),
        reported_at: day.now,
        status: Some("active".into()),
        actor: Some("paceline".into()),
        ..StateReport::default()
    };
    day.queue.push(Fact::StateReport(Box::new(report)));
    day.minutes(5, 1, EUR / 5);
    assert!(day.issued.len() > before, "the pause is still wanted, so it is said again");
}

#[test]
fn a_manual_bid_is_lowered_and_comes_back_but_never_above_what_a_person_set() {
    let bids = |strategy: &str| {
        let manual = CampaignSpec { bid_strategy: strategy.into(), bid_max_micros: 0, ..paced(1) };
        let mut day = Day::of(manual);
        // Far ahead of the plan for an hour, then far behind it for three.
        day.minutes(60, 2, 2 * EUR / 5);
        day.minutes(180, 1, EUR / 100);
        let bids = day.issued.iter().filter(|command| command.kind == "set_bid");
        bids.filter_map(|command| command.value_micros).collect::<Vec<_>>()
    };
    let manual = bids("manual");
    let lowest = manual.iter().min().copied().unwrap_or(EUR);
    assert!(lowest < EUR * 95 / 100, "a bid that spends too fast is lowered: {manual:?}");
    assert!(manual.iter().all(|bid| *bid <= EUR), "never above the specification's: {manual:?}");
    assert!(manual.last() > Some(&lowest), "it comes back: {manual:?}");
    assert_eq!(bids("max_clicks"), [0_i64; 0], "any other strategy needs a bid_max");
}

#[test]
fn a_pause_that_nobody_answers_pages_at_once_and_a_late_answer_ends_it() {
    let mut day = Day::of(CampaignSpec { bid_control: "none".into(), budget_control: "paceline".into(), ..paced(1) });
    day.minutes(10, 1, EUR / 5);
    day.answers = false;
    day.queue.push(halt("set"));
    day.minutes(2, 1, EUR / 5);
    assert_eq!(day.kinds().last(), Some(&"pause"));
    assert!(day.world.alerts("ack_missing").is_empty(), "there is still time to answer");
    day.minutes(5, 1, EUR / 5);
    let outputs = &day.world.outputs;
    let alerts: Vec<_> = outputs.iter().flat_map(|o| &o.alerts).filter(|alert| alert.kind == "ack_missing").collect();
    assert_eq!((alerts[0].state.as_str(), alerts[0].severity.as_str()), ("opened", "critical"));
    assert!(alerts[0].text.contains("a pause") && alerts[0].money_at_stake_micros > 0);
    let pause = day.issued.iter().rev().find(|command| command.kind == "pause").unwrap().clone();
    day.queue.push(acked(&pause, "applied", None));
    day.answers = true;
    day.minutes(3, 0, 0);
    assert_eq!(day.world.alerts("ack_missing").last().map(String::as_str), Some("resolved"));
}

#[test]
fn a_pause_that_is_refused_pages_too() {
    let mut day = Day::of(CampaignSpec { bid_control: "none".into(), budget_control: "paceline".into(), ..paced(1) });
    day.minutes(10, 1, EUR / 5);
    day.answers = false;
    day.queue.push(halt("set"));
    day.step(1, EUR / 5);
    let pause = day.issued.last().unwrap().clone();
    day.queue.push(acked(&pause, "rejected", None));
    day.minutes(2, 1, EUR / 5);
    let alerts = day.world.outputs.iter().flat_map(|o| &o.alerts);
    assert!(alerts.filter(|alert| alert.kind == "ack_missing").any(|alert| alert.severity == "critical"));
}

#[test]
fn at_stake_of_a_budget_command_is_what_it_adds_or_takes() {
    for mode in ["auto", "approve"] {
        let spec = CampaignSpec {
            budget_control: "paceline".into(),
            bid_control: "none".into(),
            monthly_budget_micros: Some(6_000 * EUR),
            mode: mode.into(),
            ..paced(1)
        };
        let mut day = Day::of(spec);
        day.minutes(60, 1, EUR / 10);
        if mode == "approve" {
            let proposal = day.proposed.iter().find(|proposal| proposal.kind == "set_daily_budget").unwrap().clone();
            day.queue.push(Fact::Decision(Box::new(Decision {
                command_id: proposal.command_id.clone(),
                account_id: "acme".into(),
                decision: "approve".into(),
                actor: "ann".into(),
                ..Decision::default()
            })));
            day.step(1, EUR);
        }
        let found = day.issued.iter().find(|command| command.kind == "set_daily_budget");
        let command = found.unwrap_or_else(|| panic!("{mode}: {:?} {:?}", day.kinds(), day.why()));
        let before = command.expected_previous.value_micros.unwrap();
        let after = command.value_micros.unwrap();
        assert_ne!(before, after);
        assert_eq!(command.risk.at_stake_micros, (after - before).abs(), "{mode}");
    }
}

#[test]
fn a_campaign_whose_raises_were_all_lost_tries_one_an_hour_and_is_not_stuck_for_ever() {
    let mut day = Day::of(paced(1));
    // The day's limit must not be met before the end.
    let body = "[defaults.guard]\nbid_day_up = 20\n".into();
    let wide = PolicyVersion { name: "default".into(), version: 1, body, ..PolicyVersion::default() };
    day.queue.push(Fact::PolicyVersion(Box::new(wide)));
    day.minutes(20, 1, EUR / 50);
    day.answers = false;
    for _ in 0..300 {
        day.step(1, EUR / 50);
    }
    assert_eq!(day.world.alerts("ack_missing"), ["opened"]);
    let sent = day.issued.len();
    for _ in 0..240 {
        day.step(1, EUR / 50);
    }
    let before = day.issued.len() - sent;
    assert!((2..=5).contains(&before), "{before}");
    day.answers = true;
    for _ in 0..120 {
        day.step(1, EUR / 50);
    }
    assert_eq!(day.world.alerts("ack_missing"), ["opened", "resolved"]);
    assert!(day.issued.len() > sent + before + 1, "it goes on from there");
}
