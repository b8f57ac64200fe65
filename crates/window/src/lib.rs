//! Panes, rings, watermarks, calendars and their limits; knows no ads.
//!
//! What always holds: no clock; time is an argument. Sums are integers. Reading does not change state.

pub mod calendar;
pub mod panes;
pub mod watermark;
