//! The share of the day's budget that is planned to be spent by each instant.

use super::{OpenHours, Weights};
use crate::hold::Hold;
use crate::settings::{Millis, Plan};
use window::calendar::{LocalDay, LocalHour};

/// F(t) of one local day: 0 before its start, 1 from the end less the tail.
#[derive(Clone, Debug, PartialEq)]
pub struct DayPlan {
    /// Cut at the hours; each with the weight of all before it.
    parts: Vec<Part>,
    start_ms: Millis,
    end_ms: Millis,
    /// Weight before the start, made once: a plan never changes, and each share is measured from there.
    before_start: f64,
    /// Weight between start and end.
    whole: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    start_ms: Millis,
    end_ms: Millis,
    weight_per_ms: f64,
    before: f64,
}

impl DayPlan {
    /// The plan of a day, given its local hours, by their weights alone.
    ///
    /// # Errors
    /// Those of [`DayPlan::lifted`].
    pub fn new(
        day: &LocalDay,
        hours: &[LocalHour],
        weights: &Weights,
        open: &OpenHours,
        span: (Millis, Option<Millis>),
        settings: &Plan,
    ) -> Result<DayPlan, Hold> {
        Self::lifted(day, hours, weights, open, span, &[], settings)
    }

    /// The plan of a day, given its local hours. `from_ms` is the start of the campaign where that is in the day;
    /// `until_ms` the end of its flight. A day without an open hour is held. Times in `lifts` weigh so many times as
    /// much as their hours do, whatever of an hour they cover.
    ///
    /// # Errors
    /// The hold of a day in which nothing may be spent.
    pub fn lifted(
        day: &LocalDay,
        hours: &[LocalHour],
        weights: &Weights,
        open: &OpenHours,
        (from_ms, until_ms): (Millis, Option<Millis>),
        lifts: &[Lift],
        settings: &Plan,
    ) -> Result<DayPlan, Hold> {
        let start_ms = day.start_ms.max(from_ms);
        let last_ms = day.end_ms.min(until_ms.unwrap_or(Millis::MAX));
        // A flight shorter than the tail still has a plan.
        let tail_ms = settings.tail_ms.min(last_ms.saturating_sub(start_ms) / 2).max(0);
        let end_ms = last_ms.saturating_sub(tail_ms);
        let mut plan =
            DayPlan { parts: parts(hours, weights, open, lifts), start_ms, end_ms, before_start: 0.0, whole: 0.0 };
        plan.before_start = plan.weight_until(start_ms);
        plan.whole = plan.weight_until(end_ms) - plan.before_start;
        if plan.whole > 0.0 && plan.whole.is_finite() && start_ms < end_ms { Ok(plan) } else { Err(Hold::DayClosed) }
    }

    /// F(t), 0 to 1.
    pub fn share_by(&self, at_ms: Millis) -> f64 {
        if at_ms <= self.start_ms {
            return 0.0;
        }
        if at_ms >= self.end_ms {
            return 1.0;
        }
        ((self.weight_until(at_ms) - self.before_start) / self.whole).clamp(0.0, 1.0)
    }

    /// F(to) - F(from), 0 to 1.
    pub fn share_between(&self, from_ms: Millis, to_ms: Millis) -> f64 {
        (self.share_by(to_ms) - self.share_by(from_ms)).max(0.0)
    }

    /// Whether the instant lies in an open hour.
    pub fn is_open(&self, at_ms: Millis) -> bool {
        let part = self.parts.iter().find(|part| (part.start_ms..part.end_ms).contains(&at_ms));
        part.is_some_and(|part| part.weight_per_ms > 0.0)
    }

    /// When spending may begin.
    pub fn start_ms(&self) -> Millis {
        self.start_ms
    }

    /// When the plan is through.
    pub fn end_ms(&self) -> Millis {
        self.end_ms
    }

    /// Share of a daily budget that a campaign gets which starts now: all of it, or 1 - F(start) of the whole day's plan.
    pub fn first_day_share(whole_day: &DayPlan, start_ms: Millis, settings: &Plan) -> f64 {
        if settings.full_budget_on_first_day { 1.0 } else { 1.0 - whole_day.share_by(start_ms) }
    }

    fn weight_until(&self, at_ms: Millis) -> f64 {
        let after = self.parts.partition_point(|part| part.start_ms < at_ms);
        let Some(part) = after.checked_sub(1).and_then(|index| self.parts.get(index)) else { return 0.0 };
        part.before + part.weight_per_ms * at_ms.min(part.end_ms).saturating_sub(part.start_ms) as f64
    }
}

/// Minutes are linear inside an hour; an hour that the clock cut short has its share of the weight, one that it repeats
/// has it twice.
fn parts(hours: &[LocalHour], weights: &Weights, open: &OpenHours, lifts: &[Lift]) -> Vec<Part> {
    const HOUR_MS: f64 = 3_600_000.0;
    let mut before = 0.0;
    let mut parts = Vec::with_capacity(hours.len());
    for hour in hours.iter().filter(|hour| hour.start_ms < hour.end_ms) {
        let of_week = hour.hour_of_week();
        let weight = weights.get(of_week).copied().filter(|w| open.is_open(of_week) && w.is_finite() && *w > 0.0);
        let of_hour = weight.unwrap_or(0.0) / HOUR_MS;
        for (start_ms, end_ms, lift) in lifted(hour.start_ms, hour.end_ms, lifts) {
            let weight_per_ms = of_hour * lift;
            parts.push(Part { start_ms, end_ms, weight_per_ms, before });
            before += weight_per_ms * end_ms.saturating_sub(start_ms) as f64;
        }
    }
    parts
}

/// A stretch of time in which the plan weighs otherwise: an event that was declared, a weather with a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// First instant.
    pub from_ms: Millis,
    /// First instant after it.
    pub to_ms: Millis,
    /// Times as much.
    pub factor: f64,
}

/// The least and the most that all lifts together make of a stretch.
const LIFT_BOUNDS: (f64, f64) = (0.01, 100.0);

impl Lift {
    /// What lifts make of an instant together.
    pub fn at(lifts: &[Lift], at_ms: Millis) -> f64 {
        let holding = lifts.iter().filter(|lift| (lift.from_ms..lift.to_ms).contains(&at_ms));
        let factor: f64 =
            holding.map(|lift| lift.factor).filter(|factor| factor.is_finite() && *factor > 0.0).product();
        factor.clamp(LIFT_BOUNDS.0, LIFT_BOUNDS.1)
    }

    /// The mean of that over a stretch, by the clock; 1 where the stretch is empty.
    pub fn mean(lifts: &[Lift], from_ms: Millis, to_ms: Millis) -> f64 {
        let length = to_ms.saturating_sub(from_ms);
        if length <= 0 {
            return 1.0;
        }
        let parts = lifted(from_ms, to_ms, lifts);
        let sum: f64 = parts.iter().map(|(from, to, lift)| to.saturating_sub(*from) as f64 * lift).sum();
        sum / length as f64
    }
}

/// A stretch cut where a lift begins or ends, each part with what holds in it.
fn lifted(start_ms: Millis, end_ms: Millis, lifts: &[Lift]) -> Vec<(Millis, Millis, f64)> {
    let meets = |lift: &&Lift| lift.from_ms < end_ms && lift.to_ms > start_ms && lift.from_ms < lift.to_ms;
    let here: Vec<Lift> = lifts.iter().filter(meets).copied().collect();
    if here.is_empty() {
        return vec![(start_ms, end_ms, 1.0)];
    }
    let inside = |at: &Millis| (start_ms..end_ms).contains(at);
    let mut cuts: Vec<Millis> = here.iter().flat_map(|lift| [lift.from_ms, lift.to_ms]).filter(inside).collect();
    cuts.extend([start_ms, end_ms]);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.windows(2).map(|pair| (pair[0], pair[1], Lift::at(&here, pair[0]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use window::calendar::Zone;

    const MINUTE: Millis = 60_000;
    const HOUR: Millis = 60 * MINUTE;
    /// 2026-11-22 00:00 UTC, a Sunday.
    const SUNDAY: Millis = 1_795_305_600_000;

    fn plan(zone: &str, at_ms: Millis, open: &OpenHours, span: (Millis, Option<Millis>)) -> Result<DayPlan, Hold> {
        let zone = Zone::parse(zone).unwrap();
        let day = zone.day_of(at_ms);
        DayPlan::new(&day, &zone.local_hours(&day), &[1.0; 168], open, span, &Plan::default())
    }

    fn utc(span: (Millis, Option<Millis>)) -> DayPlan {
        plan("UTC", SUNDAY, &OpenHours::ALWAYS, span).unwrap()
    }

    #[test]
    fn a_flat_day_is_through_a_quarter_of_an_hour_before_midnight() {
        let plan = utc((0, None));
        assert_eq!(plan.share_by(SUNDAY), 0.0);
        // 6 h of 23.75 h.
        assert!((plan.share_by(SUNDAY + 6 * HOUR) - 6.0 / 23.75).abs() < 1e-12);
        assert_eq!(plan.share_by(SUNDAY + 24 * HOUR - 15 * MINUTE), 1.0);
        assert!(plan.share_by(SUNDAY + 24 * HOUR - 16 * MINUTE) < 1.0);
    }

    #[test]
    fn days_of_23_and_25_hours_are_planned_by_their_real_hours() {
        // Berlin, 2026-03-29 and 2026-10-25; the day starts at 23:00 and 22:00 UTC.
        let (spring, autumn) = (1_774_738_800_000, 1_792_879_200_000);
        let spring_plan = plan("Europe/Berlin", spring, &OpenHours::ALWAYS, (0, None)).unwrap();
        assert_eq!(spring_plan.end_ms() - spring_plan.start_ms(), 23 * HOUR - 15 * MINUTE);
        assert!((spring_plan.share_by(spring + 12 * HOUR) - 12.0 / 22.75).abs() < 1e-12);
        let autumn_plan = plan("Europe/Berlin", autumn, &OpenHours::ALWAYS, (0, None)).unwrap();
        assert!((autumn_plan.share_by(autumn + 12 * HOUR) - 12.0 / 24.75).abs() < 1e-12);
    }

    #[test]
    fn a_start_in_the_middle_of_the_day_is_conditional() {
        let plan = utc((SUNDAY + 12 * HOUR, None));
        assert_eq!(plan.share_by(SUNDAY + 12 * HOUR), 0.0);
        assert!((plan.share_by(SUNDAY + 15 * HOUR) - 3.0 / 11.75).abs() < 1e-12);
        let share = DayPlan::first_day_share(&utc((0, None)), SUNDAY + 12 * HOUR, &Plan::default());
        assert!((share - 11.75 / 23.75).abs() < 1e-12);
    }

    #[test]
    fn the_last_day_of_a_flight_is_through_before_its_end() {
        let plan = utc((0, Some(SUNDAY + 10 * HOUR)));
        assert_eq!(plan.end_ms(), SUNDAY + 10 * HOUR - 15 * MINUTE);
        assert_eq!(plan.share_by(plan.end_ms()), 1.0);
        let minutes = utc((SUNDAY, Some(SUNDAY + 10 * MINUTE)));
        assert_eq!(minutes.end_ms(), SUNDAY + 5 * MINUTE);
    }

    #[test]
    fn closed_hours_plan_nothing() {
        let marks = format!("{}{}{}", "0".repeat(8), "1".repeat(10), "0".repeat(6)).repeat(7);
        let office = OpenHours::parse(&marks).unwrap();
        let plan_ = plan("UTC", SUNDAY, &office, (0, None)).unwrap();
        assert_eq!(plan_.share_by(SUNDAY + 8 * HOUR), 0.0);
        assert!((plan_.share_by(SUNDAY + 13 * HOUR) - 0.5).abs() < 1e-12);
        assert_eq!(plan_.share_by(SUNDAY + 18 * HOUR), 1.0);
        assert!(!plan_.is_open(SUNDAY + 19 * HOUR) && plan_.is_open(SUNDAY + 9 * HOUR));
        let closed = OpenHours::parse(&"0".repeat(168)).unwrap();
        assert_eq!(plan("UTC", SUNDAY, &closed, (0, None)), Err(Hold::DayClosed));
    }

    #[test]
    fn what_is_declared_weighs_as_much_as_was_said_and_no_minute_more() {
        let zone = Zone::parse("UTC").unwrap();
        let day = zone.day_of(SUNDAY);
        let lifts = [Lift { from_ms: SUNDAY + 6 * HOUR + HOUR / 2, to_ms: SUNDAY + 8 * HOUR, factor: 3.0 }];
        let hours = zone.local_hours(&day);
        let plan = DayPlan::lifted(&day, &hours, &[1.0; 168], &OpenHours::ALWAYS, (0, None), &lifts, &Plan::default())
            .unwrap();
        let whole = 23.75 + 2.0 * 1.5;
        assert!((plan.share_by(SUNDAY + 6 * HOUR + HOUR / 2) - 6.5 / whole).abs() < 1e-12);
        assert!((plan.share_by(SUNDAY + 7 * HOUR) - (6.5 + 1.5) / whole).abs() < 1e-12);
        assert!((plan.share_by(SUNDAY + 9 * HOUR) - (9.0 + 3.0) / whole).abs() < 1e-12);
        assert!((Lift::mean(&lifts, SUNDAY, SUNDAY + 24 * HOUR) - 27.0 / 24.0).abs() < 1e-12);
        let absurd = [Lift { from_ms: i64::MIN, to_ms: i64::MAX, factor: f64::NAN }, lifts[0], lifts[0], lifts[0]];
        assert!((Lift::at(&absurd, SUNDAY + 7 * HOUR) - 27.0).abs() < 1e-9, "what is no number says nothing");
        assert_eq!((Lift::mean(&absurd, 5, 5), Lift::at(&[], 0)), (1.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_share_never_falls_and_stays_between_zero_and_one(
            from in prop_oneof![any::<i64>(), SUNDAY..SUNDAY + 24 * HOUR],
            until in prop_oneof![any::<Option<i64>>(), (SUNDAY..SUNDAY + 48 * HOUR).prop_map(Some)],
            mut instants in prop::collection::vec(prop_oneof![any::<i64>(), SUNDAY..SUNDAY + 24 * HOUR], 2..9),
        ) {
            if let Ok(plan) = plan("Europe/Berlin", SUNDAY, &OpenHours::ALWAYS, (from, until)) {
                instants.sort();
                let shares: Vec<f64> = instants.iter().map(|at| plan.share_by(*at)).collect();
                prop_assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
                prop_assert!(shares.windows(2).all(|pair| pair[0] <= pair[1]));
                prop_assert_eq!((plan.share_by(plan.start_ms()), plan.share_by(plan.end_ms())), (0.0, 1.0));
            }
        }
    }
}
