//! A person takes a command back: what goes out, what does not, and what is said.

use super::stories::{Day, EUR, paced};
use model::fact::{CampaignSpec, Decision, Fact};
use model::output::Adjustment;

fn undo(command: &Adjustment, value_micros: Option<i64>) -> Fact {
    said(command, "undo", value_micros)
}

fn said(command: &Adjustment, decision: &str, value_micros: Option<i64>) -> Fact {
    Fact::Decision(Box::new(Decision {
        command_id: command.command_id.clone(),
        account_id: command.account_id.clone(),
        campaign_id: Some(command.campaign_id.clone()),
        decision: decision.into(),
        value_micros,
        actor: "ann".into(),
        ..Decision::default()
    }))
}

/// A day behind its plan, up to its first raise, answered.
fn raised() -> (Day, Adjustment) {
    let mut day = Day::of(paced(1));
    while !day.issued.iter().any(|command| command.reason == "pacing_behind") {
        day.step(1, EUR / 100);
    }
    day.step(1, EUR / 100);
    let raise = day.issued.last().unwrap().clone();
    (day, raise)
}

#[test]
fn a_raise_is_taken_back_at_once_and_the_bid_is_left_alone_for_a_day() {
    let (mut day, raise) = raised();
    let shown = day.world.controller.view().campaign("acme", "c").unwrap().undos;
    assert_eq!((shown.len(), shown[0].kind, shown[0].to_micros), (1, "set_bid", Some(EUR)));
    assert_eq!(shown[0].command_id, raise.command_id);
    day.queue.push(undo(&raise, shown[0].to_micros));
    day.step(1, EUR / 100);
    let back = day.issued.last().unwrap().clone();
    assert_eq!((back.reason.as_str(), back.value_micros), ("undo", Some(EUR)));
    assert_eq!(back.group_id.as_deref(), Some(format!("undo/{}/ann", raise.command_id).as_str()));
    let count = day.issued.len();
    day.minutes(120, 1, EUR / 100);
    assert_eq!(day.issued.len(), count, "it is a person's value now: {:?}", day.why());
    let holds = day.world.controller.view().campaign("acme", "c").unwrap().holds;
    assert_eq!((holds[0].lever, holds[0].holder, holds[0].until.is_some()), ("bid", "person", true));
}

#[test]
fn a_word_about_another_state_is_void() {
    let (mut day, raise) = raised();
    day.queue.push(undo(&raise, Some(EUR / 2)));
    day.step(1, EUR / 100);
    let unknown = Adjustment { command_id: "other".into(), ..raise.clone() };
    day.queue.push(undo(&unknown, None));
    day.step(1, EUR / 100);
    assert!(day.issued.iter().all(|command| command.reason != "undo"));
    assert!(day.proposed.is_empty());
}

#[test]
fn a_pause_whose_cause_stands_is_not_taken_back_and_the_record_says_why() {
    let mut day = Day::of(paced(1));
    day.minutes(120, 4, 4 * EUR);
    let pause = day.issued.iter().find(|command| command.kind == "pause").expect("the day's cap").clone();
    day.queue.push(undo(&pause, None));
    day.step(0, 0);
    let refused = day.proposed.last().expect("a record");
    assert_eq!((refused.state.as_str(), refused.reason.as_str()), ("rejected", "undo"));
    let holder = pause.holder.as_deref().unwrap();
    assert!(
        refused.explanation.text.ends_with(&format!("is not taken back: {holder}.")),
        "{}",
        refused.explanation.text
    );
    assert!(day.issued.iter().all(|command| command.kind != "resume"));
}

#[test]
fn where_people_decide_an_undo_waits_for_another_person() {
    let (mut day, raise) = raised();
    let approve = CampaignSpec { mode: "approve".into(), ..paced(2) };
    day.queue.push(super::world::specified(approve));
    day.step(1, EUR / 100);
    let waiting: Vec<_> = day.proposed.drain(..).collect();
    waiting.iter().for_each(|proposal| day.queue.push(said(proposal, "reject", None)));
    day.queue.push(undo(&raise, None));
    day.step(1, EUR / 100);
    let proposal = day.proposed.iter().find(|one| one.state == "proposed" && one.reason == "undo");
    let proposal = proposal.unwrap_or_else(|| panic!("{:?} {:?}", day.proposed, day.why())).clone();
    assert_eq!(proposal.value_micros, Some(EUR));
    assert!(proposal.group_id.as_deref().is_some_and(|group| group.ends_with("/ann")));
    day.queue.push(said(&proposal, "approve", None));
    day.step(1, EUR / 100);
    let back = day.issued.last().unwrap();
    assert_eq!((back.reason.as_str(), back.value_micros), ("undo", Some(EUR)));
}

/// A campaign that a person has paused again by taking its morning's resume back; nobody answers to that.
fn unheard() -> (Day, Adjustment) {
    let mut day = Day::of(paced(1));
    day.minutes(120, 4, 4 * EUR);
    while day.issued.iter().all(|command| command.kind != "resume") {
        day.minutes(10, 0, 0);
    }
    let resume = day.issued.iter().find(|command| command.kind == "resume").unwrap().clone();
    day.minutes(5, 1, EUR / 5);
    day.answers = false;
    day.queue.push(undo(&resume, None));
    day.step(1, EUR / 5);
    let pause = day.issued.last().unwrap().clone();
    assert_eq!((pause.kind.as_str(), pause.holder.as_deref()), ("pause", Some("person")));
    (day, pause)
}

#[test]
fn a_person_s_pause_that_nobody_answers_is_asked_for_again_and_then_left_alone() {
    let (mut day, pause) = unheard();
    day.minutes(10, 1, EUR / 5);
    let again = day.issued.last().unwrap().clone();
    assert_eq!(
        (again.kind.as_str(), again.holder.as_deref(), again.reason.as_str()),
        ("pause", Some("person"), "person")
    );
    assert!(again.sequence > pause.sequence);
    day.answers = true;
    day.queue.push(super::world::acked(&again, "applied", None));
    day.minutes(2, 0, 0);
    let count = day.issued.len();
    day.minutes(26 * 60, 0, 0);
    assert_eq!(day.issued.len(), count, "a person's pause is not lifted here");
}

#[test]
fn a_person_s_pause_that_is_refused_is_not_asked_for_again_and_can_be_taken_back() {
    let (mut day, pause) = unheard();
    day.queue.push(super::world::acked(&pause, "rejected", None));
    day.minutes(10, 1, EUR / 50);
    assert_eq!(day.issued.last().unwrap().sequence, pause.sequence);
    day.queue.push(undo(&pause, None));
    day.step(1, EUR / 50);
    let last = day.issued.last().unwrap();
    assert_eq!((last.kind.as_str(), last.reason.as_str()), ("resume", "undo"), "{:?}", day.proposed.last());
}

#[test]
fn a_person_s_pause_that_nobody_obeys_keeps_no_stop_away() {
    let (mut day, pause) = unheard();
    let refused = super::world::acked(&pause, "rejected", None);
    day.queue.push(refused);
    let count = day.issued.len();
    day.minutes(60, 1, 5 * EUR);
    let after: Vec<_> = day.issued[count..].iter().filter(|command| command.kind == "pause").collect();
    assert!(after.iter().any(|command| command.reason == "daily_cap" || command.reason == "runaway"), "{after:?}");
    assert!(after.len() <= 60 / 3 + 1, "not at every pass: {}", after.len());
}
