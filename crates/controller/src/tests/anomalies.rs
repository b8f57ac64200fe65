//! Troubles that no single event shows: what is told, as how many incidents, and what stands still meanwhile.

use super::world::*;
use crate::Controller;
use model::fact::{CampaignSpec, Fact};
use model::output::{Adjustment, Alert};
use model::time::{HOUR_MS, MINUTE_MS, Millis};

const EUR: i64 = 1_000_000;
const STEP: Millis = 5 * MINUTE_MS;

/// Clicks for 40 cents, 16 EUR a conversion, which is the promise; budget for twice as many.
fn promised(campaign: &str) -> CampaignSpec {
    CampaignSpec {
        daily_budget_micros: Some(2_400 * EUR),
        bid_strategy: "target_cpa".into(),
        target_cpa_micros: Some(16 * EUR),
        bid_micros: EUR,
        bid_min_micros: EUR / 20,
        bid_max_micros: 5 * EUR,
        bid_step_micros: 1_000,
        ..spec(campaign, 1)
    }
}

struct Days {
    world: World,
    now: Millis,
    queue: Vec<Fact>,
    commands: Vec<Adjustment>,
}

impl Days {
    fn of(campaigns: &[&str]) -> Self {
        let queue = campaigns.iter().map(|campaign| specified(promised(campaign))).collect();
        Days { world: World::new(), now: MONDAY, queue, commands: Vec::new() }
    }

    /// Every five minutes what `rows` says, by the step within the hour.
    fn hours(&mut self, hours: i64, rows: impl Fn(i64, Millis) -> Vec<Row>) -> &mut Self {
        for step in 0..hours * 12 {
            let facts = std::mem::take(&mut self.queue);
            let rows = rows(step % 12, self.now - MINUTE_MS);
            let record = self.world.journal.cut(self.now, self.now - 5_000, &rows, &facts);
            let outputs = self.world.apply(self.now, &record);
            self.queue = outputs.adjustments.iter().map(applied).collect();
            self.commands.extend(outputs.adjustments);
            self.now += STEP;
        }
        self
    }

    fn opened(&self, kind: &str) -> Vec<Alert> {
        let alerts = self.world.outputs.iter().flat_map(|outputs| &outputs.alerts);
        alerts.filter(|alert| alert.kind == kind && alert.state == "opened").cloned().collect()
    }

    fn cap(&self) -> i64 {
        let campaign = self.world.controller.state.belief.campaign("acme", "c").unwrap();
        campaign.live.as_ref().unwrap().pacing.target.unwrap().log_bid
    }
}

/// Ten clicks, and where `told` every twenty minutes a conversion of a click of ten hours before.
fn sold(campaign: &'static str, step: i64, at: Millis, told: bool) -> Vec<Row> {
    let mut rows = vec![touches(campaign, at, 200, 10, 4 * EUR)];
    rows.extend((told && step % 4 == 3).then(|| credit(campaign, at, at - 10 * HOUR_MS, 1_000_000, 40 * EUR)));
    rows
}

#[test]
fn conversions_that_stop_while_clicks_flow_are_one_break_that_freezes_the_target() {
    let mut days = Days::of(&["c"]);
    days.hours(7 * 24, |step, at| sold("c", step, at, true));
    assert_eq!(days.opened("tracking_break"), []);
    days.hours(6, |step, at| sold("c", step, at, false));
    let [told] = &days.opened("tracking_break")[..] else { panic!("{:?}", days.opened("tracking_break")) };
    assert!(told.severity == "critical" && told.text.contains("clicks flow"), "{}", told.text);
    let cap = days.cap();
    days.hours(20, |step, at| sold("c", step, at, false));
    assert_eq!(days.cap(), cap, "silence teaches nothing while it is known to be the tracking's");
    days.hours(12, |step, at| sold("c", step, at, true));
    assert_eq!(days.world.alerts("tracking_break"), ["opened", "resolved"]);
    assert_eq!(days.opened("cpa_break"), []);
    let live = days.world.controller.state.belief.campaign("acme", "c").unwrap().live.clone().unwrap();
    assert_eq!(live.pacing.hours.as_ref().unwrap().breaks().len(), 1, "its conversions are not waited for");
}

#[test]
fn a_rate_that_halves_is_a_dearer_conversion_and_the_target_goes_on() {
    let mut days = Days::of(&["c"]);
    days.hours(10 * 24, |step, at| sold("c", step, at, true));
    let cap = days.cap();
    days.hours(60, |step, at| sold("c", step, at, true).into_iter().take(if step > 3 { 1 } else { 2 }).collect());
    assert_eq!(days.opened("tracking_break"), []);
    assert_eq!(days.opened("cpa_break").len(), 1);
    assert!(days.cap() < cap);
}

#[test]
fn campaigns_that_break_together_are_one_incident_of_the_account() {
    let mut days = Days::of(&["c", "d", "e"]);
    let all = |told: bool| move |step: i64, at: Millis| ["c", "d", "e"].map(|c| sold(c, step, at, told)).concat();
    days.hours(7 * 24, all(true)).hours(12, all(false));
    let opened = days.opened("tracking_break");
    let [first, together] = &opened[..] else { panic!("{opened:?}") };
    assert!(first.campaign_id.is_some() && together.scope == "account" && together.campaign_id.is_none());
    assert_eq!(first.incident_id, together.incident_id);
    days.hours(12, all(true));
    assert_eq!(days.world.alerts("tracking_break"), ["opened", "opened", "resolved", "resolved"]);
}

#[test]
fn clicks_that_nobody_reports_any_more_are_not_answered_with_a_raise() {
    let mut days = Days::of(&["c"]);
    days.hours(3 * 24, |step, at| sold("c", step, at, true));
    days.hours(1, |_, at| vec![touches("c", at, 200, 0, 0)]);
    assert_eq!(days.opened("feed_silent").len(), 1);
    // The target may cut, since conversions stay away, too; nothing may rise.
    let last = days.commands.iter().rposition(|command| command.kind == "set_bid").expect("the bid was steered");
    days.hours(5, |_, at| vec![touches("c", at, 200, 0, 0)]);
    let bids: Vec<_> = days.commands[last..].iter().filter_map(|command| command.value_micros).collect();
    assert!(bids.windows(2).all(|pair| pair[1] <= pair[0]), "{bids:?}");
    days.hours(1, |step, at| sold("c", step, at, true));
    assert_eq!(days.world.alerts("feed_silent"), ["opened", "resolved"]);
}

#[test]
fn ten_clicks_of_each_impression_are_suspect_and_no_break_of_the_tracking() {
    let mut days = Days::of(&["c"]);
    days.hours(7 * 24, |step, at| sold("c", step, at, true));
    days.hours(6, |step, at| [sold("c", step, at, true), vec![touches("c", at, 0, 90, 36 * EUR)]].concat());
    assert_eq!(days.opened("click_rate_spike").len(), 1);
    days.hours(20, |step, at| sold("c", step, at, true));
    assert_eq!((days.opened("tracking_break"), days.opened("cpa_break")), (vec![], vec![]));
}

#[test]
fn a_snapshot_within_a_break_goes_on_as_if_nothing_had_been() {
    let mut days = Days::of(&["c"]);
    days.hours(7 * 24, |step, at| sold("c", step, at, true)).hours(8, |step, at| sold("c", step, at, false));
    let restored = Controller::restore(setup(), &days.world.controller.snapshot()).expect("its own bytes");
    assert_eq!(restored.snapshot(), days.world.controller.snapshot());
    let mut again = Days {
        world: World { controller: restored, journal: days.world.journal.clone(), ..World::new() },
        queue: days.queue.clone(),
        now: days.now,
        commands: Vec::new(),
    };
    again.world.offset = days.world.offset;
    again.hours(12, |step, at| sold("c", step, at, true));
    days.hours(12, |step, at| sold("c", step, at, true));
    assert_eq!(again.world.controller.snapshot(), days.world.controller.snapshot());
    assert_eq!(again.world.alerts("tracking_break"), ["resolved"]);
}
