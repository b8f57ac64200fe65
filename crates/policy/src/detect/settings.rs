//! The numbers of the detector: one default for prices and money, small and large campaigns.
//!
//! How they were chosen: round numbers, tried on made-up campaigns (seeds 0 to 399 of the bench in this crate's tests), on
//! made-up sensors (seeds 0 to 199) and on exchange-2 of the Numenta benchmark. Those that made a difference there say so;
//! on either side of the others results stayed within noise. `benches/scores/detect.md` reports other seeds and exchange-3
//! apart.

use crate::settings::Millis;
use serde::{Deserialize, Serialize};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// Every number of the detector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The floor under a value's logarithm, as a share of the series' usual size: what is far below it is as good as 0.
    pub floor_share: f64,
    /// Half of what the slow level knows is forgotten in this time.
    pub level_half_life_ms: Millis,
    /// Half of what the usual sizes and the memory know.
    pub scale_half_life_ms: Millis,
    /// Visits that not knowing an hour of the day counts for.
    pub day_prior_visits: f64,
    /// Least share of a visit's residual that an hour of the day learns.
    pub day_gain_min: f64,
    /// Visits that not knowing an hour of the week counts for.
    pub week_prior_visits: f64,
    /// Least share of a visit's residual that an hour of the week learns.
    pub week_gain_min: f64,
    /// A row teaches level, season and memory at most this many usual sizes.
    pub learn_clip: f64,
    /// Sizes below this are taken as this: a change of a percent is no news even in a series that never moved.
    pub scale_floor: f64,
    /// Variance of a sum of events in squares of the usual event: numbers vary as Poisson's do, and costs vary too.
    pub dispersion: f64,
    /// Slack of the running sums, in standard deviations.
    pub sum_slack: f64,
    /// A row adds at most this to a running sum.
    pub sum_clip: f64,
    /// Days of belief in the tails of calm noise.
    pub tail_prior_days: f64,
    /// Half of what the tails know is forgotten after this many days.
    pub tail_half_life_days: f64,
    /// An alert is raised, and the score is 0.5, where one of the two statistics gets as high as on one calm day in this
    /// many.
    pub alert_days: f64,
    /// Nothing is told before this much of a series is seen.
    pub warm_up_ms: Millis,
    /// And this many rows.
    pub warm_up_rows: i64,
    /// An incident is over after this much calm.
    pub calm_ms: Millis,
    /// An incident that lasts this long is the new normal.
    pub adopt_ms: Millis,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            // Chosen on the bench and exchange-2 among 0.1, 0.25, 0.5, 1.
            floor_share: 0.5,
            level_half_life_ms: 7 * DAY,
            scale_half_life_ms: 28 * DAY,
            day_prior_visits: 1.0,
            day_gain_min: 0.05,
            week_prior_visits: 3.0,
            week_gain_min: 0.10,
            // Chosen on the bench and exchange-2 among 1, 1.5, 2, 3.
            learn_clip: 2.0,
            scale_floor: 0.01,
            dispersion: 1.5,
            sum_slack: 0.5,
            sum_clip: 4.0,
            tail_prior_days: 7.0,
            tail_half_life_days: 28.0,
            // Two statistics, one false alarm in 70 days together: 0.1 a week.
            alert_days: 140.0,
            warm_up_ms: DAY,
            warm_up_rows: 48,
            calm_ms: 12 * HOUR,
            adopt_ms: 48 * HOUR,
        }
    }
}
