//! Alarms close to each other are one incident; and a row is news only if it tops what was just said.

use super::running::Mean;
use super::settings::Settings;
use crate::settings::Millis;
use serde::{Deserialize, Serialize};

/// An alert was raised, and calm has not come back for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Incident {
    since_ms: Millis,
    last_odd_ms: Millis,
    /// What comes and what was due, of late.
    came: Mean,
    due: Mean,
    /// Mean of the last rows in standard deviations.
    recent: f64,
}

/// A row of a standing incident.
pub(super) struct OddRow {
    pub(super) at_ms: Millis,
    pub(super) step_ms: Millis,
    pub(super) came: f64,
    pub(super) due: f64,
    /// Off season and level, in standard deviations.
    pub(super) z: f64,
}

/// How an incident ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// The series is as before.
    Calm,
    /// The series stays at so many times what was due: that is how it is now.
    Adopted(f64),
}

/// A row this many standard deviations off is not calm yet; one in two is by chance within a week, not within half a day.
const ODD_ROW: f64 = 3.0;
/// Nor are rows whose mean of late is this far off; in a series that drifts it is so one hour in twenty without reason.
const ODD_MEAN: f64 = 2.0;
/// The mean is over about seven rows.
const RECENT_GAIN: f64 = 0.25;
/// How fast an incident forgets its own beginning.
const NOW_HALF_LIFE_MS: Millis = 12 * 3_600_000;

impl Incident {
    pub(super) fn begin(at_ms: Millis) -> Incident {
        Incident { since_ms: at_ms, last_odd_ms: at_ms, came: Mean::default(), due: Mean::default(), recent: 0.0 }
    }

    /// Notes a row; tells the end, if this is it.
    pub(super) fn note(&mut self, row: &OddRow, settings: &Settings) -> Option<End> {
        let at_ms = row.at_ms;
        self.came.feed(row.came, row.step_ms, NOW_HALF_LIFE_MS);
        self.due.feed(row.due, row.step_ms, NOW_HALF_LIFE_MS);
        self.recent += RECENT_GAIN * (row.z.clamp(-ODD_ROW, ODD_ROW) - self.recent);
        if libm::fabs(self.recent) > ODD_MEAN || libm::fabs(row.z) >= ODD_ROW {
            self.last_odd_ms = at_ms;
        }
        if at_ms.saturating_sub(self.last_odd_ms) >= settings.calm_ms {
            Some(End::Calm)
        } else if at_ms.saturating_sub(self.since_ms) >= settings.adopt_ms {
            Some(End::Adopted(self.came.value() / self.due.value()))
        } else {
            None
        }
    }
}

/// The highest score of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    at_ms: Option<Millis>,
    score: f64,
}

impl Told {
    /// The score as news: whole where it tops the last half day, else half, so that a reader with any threshold up to
    /// twice lower sees the begin of an excursion and not each of its rows.
    pub(super) fn news(&mut self, at_ms: Millis, score: f64, settings: &Settings) -> f64 {
        let recent = self.at_ms.is_some_and(|told| at_ms.saturating_sub(told) < settings.calm_ms);
        if recent && score <= self.score {
            return 0.5 * score;
        }
        *self = Told { at_ms: Some(at_ms), score };
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    #[test]
    fn an_incident_ends_after_half_a_day_of_calm_or_becomes_the_new_normal() {
        let settings = Settings::default();
        let run = |odd: fn(i64) -> bool| {
            let mut incident = Incident::begin(0);
            (1..200).find_map(|h| {
                let off = f64::from(u8::from(odd(h)));
                let row = OddRow { at_ms: h * HOUR, step_ms: HOUR, came: 2.0 + off, due: 2.0, z: 2.5 * off };
                incident.note(&row, &settings).map(|end| (h, end))
            })
        };
        // The mean of late is off from the sixth row on.
        assert_eq!(run(|h| h < 9), Some((8 + 12, End::Calm)));
        assert_eq!(run(|_| true), Some((48, End::Adopted(1.5))));
    }

    #[test]
    fn the_same_again_is_half_the_news_until_half_a_day_has_passed() {
        let (mut told, settings) = (Told::default(), Settings::default());
        let mut say = |hour: i64, score: f64| told.news(hour * HOUR, score, &settings);
        assert_eq!([say(0, 0.6), say(1, 0.6), say(2, 0.7), say(3, 0.4)], [0.6, 0.3, 0.7, 0.2]);
        assert_eq!(say(14, 0.4), 0.4);
    }
}
