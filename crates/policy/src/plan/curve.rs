//! The shape of a day about which nothing is known.

use super::{HOURS_OF_WEEK, Weights};
use crate::settings::Plan;

/// Share of a day's consumer web traffic by local hour, in hundredths of the mean. A choice, rounded: least before dawn,
/// a plateau through office hours, most between eight and ten in the evening.
pub const DAILY_CURVE: [u16; 24] =
    [64, 40, 28, 22, 22, 30, 50, 74, 96, 112, 122, 126, 126, 124, 124, 124, 126, 130, 136, 146, 154, 152, 128, 104];

/// Half of the daily curve and half flat (as set), the same for all days of the week, mean 1.
pub fn without_history(settings: &Plan) -> Weights {
    let total: f64 = DAILY_CURVE.iter().map(|w| f64::from(*w)).sum();
    let share = settings.shape_curve_share;
    let mut weights = [1.0; HOURS_OF_WEEK];
    for (hour, weight) in weights.iter_mut().enumerate() {
        *weight = share * f64::from(DAILY_CURVE[hour % 24]) * 24.0 / total + (1.0 - share);
    }
    weights
}
