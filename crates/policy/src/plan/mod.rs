//! What should have been spent by now: the budget of the local day and its share at every instant (section 3).
//!
//! What always holds: the share F rises from 0 at the start to 1 at the end less a tail, whatever the length of the day;
//! closed hours add nothing; a budget of the day is never negative and never above what its period has left. Missing on
//! purpose: forecasts of supply; a wrong shape costs little, because the rest is planned anew each time.

mod budget;
mod curve;
mod day;
mod open_hours;
mod shape;
pub mod tiny;

pub use budget::{DayBudgets, Period, budget_of_day};
pub use curve::{DAILY_CURVE, without_history};
pub use day::{DayPlan, Lift};
pub use open_hours::{BadOpenHours, OpenHours};
pub use shape::{Shape, ShapeState, at_equal_bid};

/// Hours of a week, from Monday 00:00.
pub const HOURS_OF_WEEK: usize = 168;

/// Relative weight of each local hour of the week; only ratios matter.
pub type Weights = [f64; HOURS_OF_WEEK];
