//! Is this row of a series unlike the rows before it? One small state a series, one pass, in time order.
//!
//! A row's value becomes a logarithm above a floor; the slow level and the learned hour of the week are taken off; what the
//! rows just before it let expect is taken off too. What is left is judged alone (a spike) and added up (two running sums,
//! one for each direction). Each of the two statistics is compared with the greatest that it reached on each of the series'
//! own days, so noise with heavy tails raises its own bar. Alarms close to each other are one incident, which alerts once.
//!
//! What always holds: a reading uses rows up to its own only; memory is one [`SeriesDetector`] whatever the length of the
//! series; arithmetic is `libm`'s in a fixed order; no input panics, and a row that is not finite or lies before the row
//! before it scores 0 and teaches nothing. Over many series [`discovery`] keeps the share of false alarms, and one cause
//! one incident; [`poisson`] has the tails of counts.
//!
//! Missing on purpose: holidays, seasons of months, time zones (hours are UTC; a clock that is set moves the season by an
//! hour, which it learns within days). A change that grows over weeks is learned as the new level: pacing sees it, not this.

pub mod discovery;
mod incident;
mod memory;
mod noise;
pub mod poisson;
mod running;
mod season;
mod series;
mod settings;
mod sums;
mod tail;

pub use series::{Alert, Direction, Reading, Row, SeriesDetector};
pub use settings::Settings;
