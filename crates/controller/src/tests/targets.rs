//! Campaigns that promise a cost of a conversion: what their clicks bring moves the bid, and only that.

use super::world::*;
use crate::Controller;
use crate::target::Cells;
use model::fact::{CampaignSpec, Fact};
use model::journal::JournalRecord;
use model::output::Adjustment;
use model::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use policy::settings::Settings;
use policy::target::SeenShare;

const EUR: i64 = 1_000_000;
const STEP: Millis = 5 * MINUTE_MS;

/// Clicks for 40 cents, budget for twice as many.
fn promised(target_cpa_micros: i64) -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: Some(2_400 * EUR),
        bid_strategy: "target_cpa".into(),
        target_cpa_micros: Some(target_cpa_micros),
        bid_micros: EUR,
        bid_min_micros: EUR / 20,
        bid_max_micros: 5 * EUR,
        bid_step_micros: 1_000,
        ..spec("c", 1)
    }
}

/// Some days: every five minutes ten clicks for 4 EUR, every twenty a conversion of a click of ten hours before.
struct Days {
    world: World,
    now: Millis,
    queue: Vec<Fact>,
    records: Vec<(Millis, JournalRecord)>,
    commands: Vec<Adjustment>,
    shown: Vec<Adjustment>,
}

impl Days {
    fn of(spec: CampaignSpec) -> Self {
        let queue = vec![specified(spec)];
        let (records, commands, shown) = (Vec::new(), Vec::new(), Vec::new());
        Days { world: World::new(), now: MONDAY, queue, records, commands, shown }
    }

    /// A cut without events half a step later: leases are renewed before they end.
    fn beat(&mut self) {
        let at = self.now + STEP / 2;
        let record = self.world.journal.cut(at, at - 5_000, &[], &[]);
        self.records.push((at, record.clone()));
        let outputs = self.world.apply(at, &record);
        self.queue.extend(outputs.adjustments.iter().map(applied));
        self.commands.extend(outputs.adjustments);
        self.shown.extend(outputs.proposals);
    }

    fn hours(mut self, hours: i64, conversion: impl Fn(Millis) -> Row) -> Self {
        for step in 0..hours * 12 {
            let mut rows = vec![touches("c", self.now - MINUTE_MS, 20, 10, 4 * EUR)];
            rows.extend((step % 4 == 3).then(|| conversion(self.now - MINUTE_MS)));
            let facts = std::mem::take(&mut self.queue);
            let record = self.world.journal.cut(self.now, self.now - 5_000, &rows, &facts);
            self.records.push((self.now, record.clone()));
            let outputs = self.world.apply(self.now, &record);
            self.queue = outputs.adjustments.iter().map(applied).collect();
            self.commands.extend(outputs.adjustments);
            self.shown.extend(outputs.proposals);
            self.beat();
            self.now += STEP;
        }
        self
    }

    fn last_binding(&self) -> String {
        let hours = self.world.rows.iter().filter(|((_, granularity, _, _), _)| granularity == "hour");
        hours.max_by_key(|((_, _, start, _), _)| *start).map(|(_, row)| row.binding.clone()).unwrap()
    }
}

fn credited(at: Millis) -> Row {
    credit("c", at, at - 10 * HOUR_MS, EUR, 30 * EUR)
}

fn term(command: &Adjustment, name: &str) -> Option<i64> {
    command.explanation.terms.iter().find(|term| term.name == name).map(|term| term.value)
}

#[test]
fn conversions_that_cost_twice_the_target_lower_the_bid_and_say_so() {
    let days = Days::of(promised(8 * EUR)).hours(40, credited);
    let last = days.commands.iter().rfind(|command| command.kind == "set_bid").unwrap();
    assert_eq!((last.reason.as_str(), days.last_binding().as_str()), ("target", "target"));
    assert!(last.value_micros.unwrap() < EUR / 2, "{last:?}");
    let (due, seen) = (term(last, "target_due_micro").unwrap(), term(last, "target_seen_micro").unwrap());
    assert!(due > seen && term(last, "target_error_ppm").unwrap() < 0);
    assert!(term(last, "target_mean_cap_micro_nats") > term(last, "target_log_bid_micro_nats"));
    assert!(last.explanation.text.contains("conversions were due by now"), "{}", last.explanation.text);
}

#[test]
fn conversions_far_below_the_target_raise_the_bid_up_to_what_the_budget_bears() {
    let days = Days::of(promised(40 * EUR)).hours(40, credited);
    let last = days.commands.iter().rfind(|command| command.kind == "set_bid").unwrap();
    assert!(last.value_micros.unwrap() > 3 * EUR / 2, "{last:?}");
    assert!(term(last, "target_error_ppm").unwrap() > 0);
}

#[test]
fn an_observed_campaign_shows_what_the_target_would_do_and_does_not_run_away() {
    let observed = CampaignSpec { mode: "observe".into(), ..promised(8 * EUR) };
    let days = Days::of(observed).hours(80, credited);
    assert!(days.commands.is_empty());
    let last = days.shown.iter().rfind(|shown| shown.kind == "set_bid").unwrap();
    assert_eq!((last.state.as_str(), last.reason.as_str()), ("observed", "target"));
    // The bid of 1 EUR stays in force, so the answer is about half of it, however long nobody follows.
    assert!((4 * EUR / 10..7 * EUR / 10).contains(&last.value_micros.unwrap()), "{:?}", last.value_micros);
}

#[test]
fn claims_that_are_credited_to_no_click_say_nothing_about_clicks() {
    let days = Days::of(promised(8 * EUR)).hours(40, |at| claimed("c", at, "purchase", 30 * EUR));
    let late = days.commands.iter().filter(|command| command.issued_at > MONDAY + 10 * HOUR_MS);
    assert!(late.clone().count() > 0 && late.clone().all(|command| command.reason != "target"));
    assert_ne!(days.last_binding(), "target");
}

#[test]
fn a_snapshot_in_mid_run_changes_nothing() {
    let days = Days::of(promised(8 * EUR)).hours(30, credited);
    let mut restored = World::new();
    for (at, (now, record)) in days.records.iter().enumerate() {
        if at % 100 == 99 {
            restored.controller = Controller::restore(setup(), &restored.controller.snapshot()).unwrap();
        }
        restored.apply(*now, record);
    }
    assert_eq!(restored.controller.snapshot(), days.world.controller.snapshot());
    assert_eq!(restored.outputs, days.world.outputs);
}

#[test]
fn nothing_is_kept_for_campaigns_without_a_target() {
    let cells = |spec: CampaignSpec| {
        let days = Days::of(spec).hours(1, credited);
        days.world.controller.state.belief.campaign("acme", "c").unwrap().live.as_ref().unwrap().cells.is_some()
    };
    assert!(cells(promised(EUR)));
    assert!(!cells(CampaignSpec { bid_strategy: "max_conversions".into(), ..promised(EUR) }));
    assert!(!cells(CampaignSpec { spend_source: "stats".into(), ..promised(EUR) }));
}

#[test]
fn hours_and_days_hold_each_click_once_in_any_zone() {
    for zone in ["UTC", "Asia/Kolkata", "Europe/Berlin", "America/New_York"] {
        let mut calendar = crate::calendar::Calendar::default();
        calendar.set_zone(zone, 0);
        // Over the end of March: days of 23 hours are among them.
        let (begun, until) = (MONDAY + 14 * DAY_MS, MONDAY + 30 * DAY_MS);
        let mut cells = Cells::new(begun);
        cells.touch(&calendar, begun - 2 * MINUTE_MS, 1_000, 1, None);
        for at in (begun..until).step_by(10 * MINUTE_MS as usize) {
            cells.touch(&calendar, at, 1_000, 1, Some(7));
            cells.credit(&calendar, at, 500_000, 9);
        }
        let seen = SeenShare::of(&[], &Settings::default().target);
        let found = cells.by_age(&calendar, until, &seen, &[], &Default::default());
        assert_eq!(found.iter().map(|cell| cell.clicks).sum::<i64>(), 16 * 144, "{zone}");
        assert_eq!(found.iter().map(|cell| cell.conversions_micro).sum::<i64>(), 16 * 144 * 500_000);
        assert!(found.windows(2).all(|pair| pair[0].begun_ago_ms < pair[1].begun_ago_ms));
        assert!(found.windows(2).all(|pair| pair[0].seen_share <= pair[1].seen_share));
    }
}
