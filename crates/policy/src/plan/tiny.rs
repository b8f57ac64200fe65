//! Budgets of a few events a day (section 14): no bid pacing, hours in turn.
//!
//! A day that can buy fewer than 20 events cannot be paced by bid. Its eligible hours are cut into three turns; day after
//! day delivery starts with another turn and goes on to the end of the day, so that over three days each part of the day
//! gets its money. The hard stop falls one event's cost before the budget. Such days are judged over a week.

use super::DayPlan;
use crate::settings::{Millis, Pressure};

/// Whether a budget buys too few events to be paced; unknown cost means no.
pub fn is_tiny(budget_micros: i64, cost_per_event_micros: i64, settings: &Pressure) -> bool {
    cost_per_event_micros > 0
        && i128::from(budget_micros) < i128::from(settings.tiny_budget_events) * i128::from(cost_per_event_micros)
}

/// Whether a tiny budget may be spent now; `day_number` is any count that rises by one a day.
pub fn may_spend(plan: &DayPlan, day_number: i64, now_ms: Millis) -> bool {
    let first_turn = day_number.rem_euclid(TURNS) as f64 / TURNS as f64;
    plan.is_open(now_ms) && plan.share_by(now_ms) >= first_turn
}

/// Ceiling of a tiny budget: one event less, since the last one in flight still comes.
pub fn ceiling_micros(budget_micros: i64, cost_per_event_micros: i64) -> i64 {
    budget_micros.saturating_sub(cost_per_event_micros.max(0)).max(0)
}

/// Morning, midday, evening: more turns would leave the late ones too short to spend anything.
const TURNS: i64 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::OpenHours;
    use crate::settings::Plan;
    use window::calendar::Zone;

    #[test]
    fn each_third_of_the_day_comes_first_in_turn() {
        let zone = Zone::parse("UTC").unwrap();
        let day = zone.day_of(0);
        let hours = zone.local_hours(&day);
        let plan = DayPlan::new(&day, &hours, &[1.0; 168], &OpenHours::ALWAYS, (0, None), &Plan::default()).unwrap();
        let open_hours = |number| (0..24).filter(|h| may_spend(&plan, number, h * 3_600_000)).count();
        assert_eq!([open_hours(0), open_hours(1), open_hours(2), open_hours(3)], [24, 16, 8, 24]);
    }

    #[test]
    fn nineteen_events_are_tiny_and_twenty_are_not() {
        let settings = Pressure::default();
        assert!(is_tiny(19_000_000, 1_000_000, &settings));
        assert!(!is_tiny(20_000_000, 1_000_000, &settings));
        assert!(!is_tiny(1, 0, &settings));
        assert_eq!(ceiling_micros(5_000_000, 1_000_000), 4_000_000);
    }
}
