//! delivery_stopped: no event where many were due, while the sources are alive.
//!
//! Both must hold: twenty minutes of silence, and 18.4 events due in it, counted from the lower of the day's and the last
//! hour's rate by shape. Due is what chance makes of it: minus the logarithm of the chance of silence, given that the rate
//! is known from so many events only ([`due_given`]), so 18.4 is one in a hundred million whatever the size. While it is open no bid rises and the loops freeze; after recovery bids rise slowly for half an
//! hour.

use super::{Change, Detector, Finding, Kind, Latch, Severity};
use crate::arithmetic::half_to_even;
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What the row reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeliveryEvidence {
    /// Time between the last event and W.
    pub silence_ms: Millis,
    /// Events due since then by [`due_given`], from the lower of the 24-hour rate and the rate of the hour before the
    /// silence, by shape; impressions or clicks, since a click comes out of an impression and is no chance of its own.
    pub due_events: f64,
    /// Watermarks move and the feeds bring other campaigns' events.
    pub sources_alive: bool,
    /// The campaign is paused, exhausted or closed: silence is wanted.
    pub silence_wanted: bool,
    /// c: what the missing events would have cost.
    pub cost_micros: i64,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryStopped {
    latch: Latch,
    recovered_at_ms: Option<Millis>,
}

impl DeliveryStopped {
    /// Most that a log-bid may rise at one evaluation: nothing while it is open, little after it, else no own limit.
    pub fn step_up_limit(&self, settings: &Settings, now_ms: Millis) -> Option<f64> {
        let recovering = |at: Millis| now_ms.saturating_sub(at) < settings.delivery.recovery_ms;
        if self.latch.open {
            Some(0.0)
        } else {
            self.recovered_at_ms.is_some_and(recovering).then_some(settings.delivery.recovery_step_max)
        }
    }
}

/// Minus the logarithm of the chance that no event comes in a span, where `before` came in a span that is 1/`spans` as
/// long: (n + 1/2) ln(1 + spans), the events due for a rate that is known (`before` large) and fewer for one that a
/// handful of events tell. Poisson counts, Jeffreys' prior of the rate.
pub fn due_given(before: f64, spans: f64) -> f64 {
    (before.max(0.0) + 0.5) * libm::log1p(spans.max(0.0))
}

impl Detector for DeliveryStopped {
    type Evidence = DeliveryEvidence;

    fn observe(&mut self, evidence: &DeliveryEvidence, settings: &Settings, now_ms: Millis) -> Change {
        let s = &settings.delivery;
        let silent = evidence.silence_ms >= s.silence_min_ms && evidence.due_events >= s.due_events_min;
        let stopped = silent && evidence.sources_alive && !evidence.silence_wanted;
        // Once open it ends by an event or by a wish for silence; dead sources tell nothing either way.
        let stays = self.latch.open && evidence.silence_ms >= s.silence_min_ms && !evidence.silence_wanted;
        let due = half_to_even(evidence.due_events).unwrap_or(0);
        let finding = Finding {
            kind: Kind::DeliveryStopped,
            severity: Severity::Warning,
            observed: 0,
            expected: due,
            at_stake_micros: due.saturating_mul(evidence.cost_micros.max(0)),
        };
        let change = self.latch.set(stopped || stays, finding);
        if matches!(change, Change::Resolved(_)) {
            self.recovered_at_ms = Some(now_ms);
        }
        change
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    fn silent(minutes: i64, due_events: f64) -> DeliveryEvidence {
        DeliveryEvidence { silence_ms: minutes * MINUTE, due_events, sources_alive: true, ..Default::default() }
    }

    #[test]
    fn silence_counts_only_where_events_were_due() {
        let opens = |evidence| {
            matches!(DeliveryStopped::default().observe(&evidence, &Settings::default(), 0), Change::Opened(_))
        };
        assert!(opens(silent(20, 18.4)));
        assert!(!opens(silent(19, 100.0)) && !opens(silent(600, 18.3)) && !opens(silent(600, f64::NAN)));
        assert!(!opens(DeliveryEvidence { sources_alive: false, ..silent(60, 60.0) }));
        assert!(!opens(DeliveryEvidence { silence_wanted: true, ..silent(60, 60.0) }));
    }

    #[test]
    fn a_rate_of_many_events_is_taken_at_its_word_and_one_of_few_is_not() {
        // 600 in a day, half an hour: 12.5 due. 25 in an hour, an hour: e^-17.7 and not e^-25.
        assert!((due_given(600.0, 0.5 / 24.0) - 12.4).abs() < 0.1);
        assert!((due_given(25.0, 1.0) - 25.5 * libm::log(2.0)).abs() < 1e-12);
        assert_eq!([due_given(0.0, 0.0), due_given(-5.0, -1.0)], [0.0; 2]);
    }

    #[test]
    fn bids_are_frozen_while_it_lasts_and_rise_slowly_after_it() {
        let (mut row, settings) = (DeliveryStopped::default(), Settings::default());
        assert_eq!(row.step_up_limit(&settings, 0), None);
        row.observe(&silent(30, 40.0), &settings, 0);
        assert_eq!(row.step_up_limit(&settings, 0), Some(0.0));
        row.observe(&silent(0, 0.0), &settings, 5 * MINUTE);
        assert_eq!(row.step_up_limit(&settings, 34 * MINUTE), Some(0.05));
        assert_eq!(row.step_up_limit(&settings, 35 * MINUTE), None);
    }
}
