//! tracking_break: clicks flow, and conversions that should have arrived did not.
//!
//! Expected arrivals are the delay curve laid over the clicks that were counted, so late conversions are not missed before
//! they are due. Over 1, 3, 6 or 24 hours so few must have a chance of at most one in ten thousand, and be at most a fifth
//! of the expected: a halved conversion rate is a fact for the target loop, not a break. While it is open, target, modifiers
//! and portfolio are frozen; a data exclusion is proposed; bids are never cut for it.
//!
//! It is over when a window no longer shows it, or a shorter one shows conversions again; what came before that instant is
//! not held against the series a second time.

use super::{Change, Detector, Finding, Kind, Latch, Severity};
use crate::arithmetic::half_to_even;
use crate::detect::poisson;
use crate::settings::{Anomaly as Settings, Millis, Tracking};
use serde::{Deserialize, Serialize};

/// Conversions and clicks of one window that ends at W.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArrivalWindow {
    /// Its length: 1, 3, 6 and 24 hours.
    pub length_ms: Millis,
    /// Conversions that arrived in it, whatever their click.
    pub arrived: i64,
    /// Conversions that should have: over all clicks of the lookback, rate x share of the delay curve that fell into it.
    pub expected: f64,
    /// The most that should have, where the rate is known from few conversions only.
    pub expected_most: f64,
    /// Clicks in it.
    pub clicks: i64,
    /// Clicks that should have been, by the campaign's own rate and shape.
    pub expected_clicks: f64,
}

/// What the row reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrackingEvidence {
    /// Shortest first; windows of length 0 are not there.
    pub windows: [ArrivalWindow; 4],
    /// The campaign's rate of conversions is known: `expected` means something.
    pub is_known: bool,
    /// W: where the windows end.
    pub seen_until_ms: Millis,
    /// What a conversion is worth, for the money at stake.
    pub conversion_micros: i64,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingBreak {
    latch: Latch,
    began_ms: Option<Millis>,
    ended_ms: Option<Millis>,
    /// ln of the chance of the window that shows it, in millionths.
    ln_chance_ppm: i64,
}

/// The longest window.
pub(super) fn window_of_a_day(evidence: &TrackingEvidence) -> ArrivalWindow {
    evidence.windows[evidence.windows.len() - 1]
}

impl TrackingBreak {
    /// ln of the chance of the arrivals that showed it last.
    pub fn ln_chance(&self) -> f64 {
        self.ln_chance_ppm as f64 / 1e6
    }

    /// Whether target, modifiers and portfolio stand still.
    pub fn freezes_loops(&self) -> bool {
        self.latch.open
    }

    /// The data that should not count: from the beginning of the window that first showed the break, to its end if over.
    pub fn exclusion(&self) -> Option<(Millis, Option<Millis>)> {
        let from = self.began_ms?;
        Some((from, if self.latch.open { None } else { self.ended_ms }))
    }
}

impl Detector for TrackingBreak {
    type Evidence = TrackingEvidence;

    fn observe(&mut self, evidence: &TrackingEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let (s, until) = (&settings.tracking, evidence.seen_until_ms);
        let after_the_last = |w: &&ArrivalWindow| {
            w.length_ms > 0 && self.ended_ms.is_none_or(|ended| until.saturating_sub(w.length_ms) >= ended)
        };
        let broken = evidence.windows.iter().filter(after_the_last).find(|window| is_broken(window, s)).copied();
        let recovered = evidence.windows.iter().find(|window| can_show(window, s)).is_some_and(|w| !is_few(w, s));
        let open = broken.is_some() && !(self.latch.open && recovered);
        let shown = broken.unwrap_or_default();
        let ln_chance = broken.and_then(|window| poisson::ln_at_most(window.arrived, window.expected));
        self.ln_chance_ppm = ln_chance.and_then(|ln| half_to_even(ln * 1e6).ok()).unwrap_or(0);
        if open && !self.latch.open {
            (self.began_ms, self.ended_ms) = (Some(until.saturating_sub(shown.length_ms)), None);
        } else if self.latch.open && !open {
            self.ended_ms = Some(until);
        }
        let expected = half_to_even(shown.expected).unwrap_or(0);
        let missing = expected.saturating_sub(shown.arrived).max(0);
        let finding = Finding {
            kind: Kind::TrackingBreak,
            severity: Severity::Critical,
            observed: shown.arrived,
            expected,
            at_stake_micros: missing.saturating_mul(evidence.conversion_micros.max(0)),
        };
        self.latch.set(open, finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

fn is_broken(window: &ArrivalWindow, s: &Tracking) -> bool {
    let unlikely = poisson::ln_at_most(window.arrived, window.expected).is_some_and(|ln| ln <= libm::log(s.chance_max));
    let clicked = window.clicks as f64 >= s.clicks_share_min * window.expected_clicks;
    unlikely && is_few(window, s) && clicked && window.clicks > 0
}

fn is_few(window: &ArrivalWindow, s: &Tracking) -> bool {
    window.arrived as f64 <= s.share_max * window.expected
}

/// Enough was expected that none at all would show a break.
fn can_show(window: &ArrivalWindow, s: &Tracking) -> bool {
    window.length_ms > 0 && poisson::ln_at_most(0, window.expected).is_some_and(|ln| ln <= libm::log(s.chance_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;
    const LENGTHS: [i64; 4] = [1, 3, 6, 24];

    /// Four conversions an hour are due, 200 clicks come; arrivals of the last hours, newest first.
    fn evidence(until_hour: i64, arrived: impl Fn(i64) -> i64) -> TrackingEvidence {
        let window = |hours: i64| ArrivalWindow {
            length_ms: hours * HOUR,
            arrived: (0..hours).map(|ago| arrived(until_hour - 1 - ago)).sum(),
            expected: 4.0 * hours as f64,
            expected_most: 4.0 * hours as f64,
            clicks: 200 * hours,
            expected_clicks: 200.0 * hours as f64,
        };
        TrackingEvidence {
            windows: LENGTHS.map(window),
            seen_until_ms: until_hour * HOUR,
            is_known: true,
            conversion_micros: 10_000_000,
        }
    }

    fn run(arrived: impl Fn(i64) -> i64, hours: i64) -> Vec<(i64, Change)> {
        let mut row = TrackingBreak::default();
        let look = |hour: i64| (hour, row.observe(&evidence(hour, &arrived), &Settings::default(), hour * HOUR));
        (24..hours).map(look).filter(|(_, change)| *change != Change::None).collect()
    }

    #[test]
    fn six_hours_without_conversions_are_one_break_of_six_hours() {
        // From 30 to 36 nothing arrives: after three hours twelve were due and e^-12 is below 1e-4.
        let told = run(|hour| if (30..36).contains(&hour) { 0 } else { 4 }, 80);
        let [(33, Change::Opened(opened)), (over, Change::Resolved(_))] = told[..] else { panic!("{told:?}") };
        assert_eq!((opened.observed, opened.expected, opened.at_stake_micros), (0, 12, 120_000_000));
        // Three hours can show it; the first of them with a conversion and a fifth of twelve is the end.
        assert_eq!(over, 37);
    }

    #[test]
    fn two_days_without_conversions_are_one_break_not_two() {
        let told = run(|hour| if (30..78).contains(&hour) { 0 } else { 4 }, 140);
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn the_exclusion_covers_the_break() {
        let mut row = TrackingBreak::default();
        let arrived = |hour| if (30..36).contains(&hour) { 0 } else { 4 };
        assert_eq!(row.exclusion(), None);
        for hour in 24..35 {
            row.observe(&evidence(hour, arrived), &Settings::default(), hour * HOUR);
        }
        assert!(row.freezes_loops() && row.exclusion() == Some((30 * HOUR, None)));
        for hour in 35..40 {
            row.observe(&evidence(hour, arrived), &Settings::default(), hour * HOUR);
        }
        assert_eq!(row.exclusion(), Some((30 * HOUR, Some(37 * HOUR))));
    }

    #[test]
    fn a_halved_rate_and_missing_clicks_are_no_break() {
        assert_eq!(run(|_| 2, 100), []);
        let opens = |evidence: TrackingEvidence| {
            matches!(TrackingBreak::default().observe(&evidence, &Settings::default(), 0), Change::Opened(_))
        };
        let gone = evidence(40, |_| 0);
        assert!(opens(gone));
        let mut few_clicks = gone;
        few_clicks.windows.iter_mut().for_each(|window| window.clicks /= 3);
        assert!(!opens(few_clicks));
        let mut few_due = gone;
        few_due.windows.iter_mut().for_each(|window| window.expected = 9.2);
        assert!(!opens(few_due));
        few_due.windows.iter_mut().for_each(|window| window.expected = f64::NAN);
        assert!(!opens(few_due) && !opens(TrackingEvidence::default()));
    }

    #[test]
    fn chance_alone_opens_it_less_than_once_in_twenty_weeks() {
        // 100 campaign-weeks of Poisson arrivals, looked at each hour, at 0.5 to 20 an hour.
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let mut opened = 0;
        for campaign in 0..100 {
            let rate = 0.5 * libm::pow(40.0, f64::from(campaign) / 99.0);
            let counts: Vec<i64> = (0..192)
                .map(|_| {
                    let (floor, mut product, mut count) = (libm::exp(-rate), uniform(), 0);
                    while product > floor {
                        product *= uniform();
                        count += 1;
                    }
                    count
                })
                .collect();
            let mut row = TrackingBreak::default();
            for hour in 24..192_i64 {
                let mut seen = evidence(hour, |h| counts[h as usize]);
                seen.windows.iter_mut().for_each(|w| w.expected = rate * (w.length_ms / HOUR) as f64);
                opened += u32::from(matches!(row.observe(&seen, &Settings::default(), 0), Change::Opened(_)));
            }
        }
        assert!(opened <= 5, "{opened} in 100 campaign-weeks");
    }
}
