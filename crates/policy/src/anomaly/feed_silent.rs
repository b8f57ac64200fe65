//! feed_silent: what costs money is not reported any more, while the rest of the campaign's events flow.
//!
//! A feed of clicks that died while impressions come looks like a campaign that nobody clicks; the budget loop would answer
//! with money that nobody counts. Due are the events that the other ones usually bring, counted as in
//! [`super::due_given`]. While it is open no bid rises; what is spent meanwhile is not seen, which is worth waking somebody.

use super::{Change, Detector, Finding, Kind, Latch, Severity};
use crate::arithmetic::half_to_even;
use crate::settings::{Anomaly as Settings, Millis};
use serde::{Deserialize, Serialize};

/// What the row reads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SilenceEvidence {
    /// Events that cost money, due by those that came since the last of them.
    pub due_events: f64,
    /// The campaign is paused or closed: what still comes is late.
    pub silence_wanted: bool,
    /// c: what the missing events would have cost.
    pub cost_micros: i64,
}

/// The state of the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedSilent {
    latch: Latch,
    ln_chance: f64,
}

impl FeedSilent {
    /// ln of the chance of the silence.
    pub fn ln_chance(&self) -> f64 {
        self.ln_chance
    }
}

impl Detector for FeedSilent {
    type Evidence = SilenceEvidence;

    fn observe(&mut self, evidence: &SilenceEvidence, settings: &Settings, _now_ms: Millis) -> Change {
        let silent = evidence.due_events >= settings.delivery.due_events_min && !evidence.silence_wanted;
        let due = half_to_even(evidence.due_events).unwrap_or(0);
        self.ln_chance = if evidence.due_events > 0.0 { -evidence.due_events } else { 0.0 };
        let finding = Finding {
            kind: Kind::FeedSilent,
            severity: Severity::Critical,
            observed: 0,
            expected: due,
            at_stake_micros: due.saturating_mul(evidence.cost_micros.max(0)),
        };
        // Nothing comes at all: that is another row's, and says nothing about this one.
        let stays = self.latch.open && evidence.due_events >= settings.delivery.due_events_min / 2.0;
        self.latch.set(silent || stays && !evidence.silence_wanted, finding)
    }

    fn is_open(&self) -> bool {
        self.latch.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_where_many_were_due_and_ends_with_the_first_event() {
        let mut row = FeedSilent::default();
        let mut look = |due_events, silence_wanted| {
            row.observe(&SilenceEvidence { due_events, silence_wanted, cost_micros: 5 }, &Settings::default(), 0)
        };
        assert_eq!([look(18.3, false), look(40.0, true), look(f64::NAN, false)], [Change::None; 3]);
        assert!(matches!(look(20.0, false), Change::Opened(f) if f.at_stake_micros == 100));
        assert!(matches!(look(0.0, false), Change::Resolved(_)));
    }
}
