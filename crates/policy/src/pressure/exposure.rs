//! Money that is spent or on its way: E = S + I (section 4).
//!
//! What always holds: the estimate of the unseen is never negative and covers at most two hours, and never time before the
//! local day's start (that money is yesterday's). Open panes may already show part of it, so E errs upwards.

use crate::arithmetic::saturate;
use crate::settings::{Millis, Pressure as Settings};
use serde::{Deserialize, Serialize};

/// Spend of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Spent in it.
    pub spend_micros: i64,
    /// Its length.
    pub span_ms: Millis,
}

/// What the exposure is computed from; rates end at the watermark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExposureInput {
    /// T.
    pub now_ms: Millis,
    /// W; none while a source has not reported.
    pub watermark_ms: Option<Millis>,
    /// D0.
    pub day_start_ms: Millis,
    /// S: spend of the local day, late and clawed-back money included.
    pub spend_day_micros: i64,
    /// Over [`rate_window_ms`].
    pub rate: Rate,
    /// Over the last 5 minutes.
    pub rate_5_min: Rate,
    /// Over the last 15 minutes.
    pub rate_15_min: Rate,
}

/// Money that is spent or on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// S.
    pub seen_micros: i64,
    /// I.
    pub unseen_micros: i64,
    /// r.
    pub rate: Rate,
    /// r_max: for the hard stop, the runaway and the worst case only.
    pub rate_max: Rate,
}

/// Span over which the rate of spend is taken: the older the data, the longer.
pub fn rate_window_ms(age_ms: Millis, settings: &Settings) -> Millis {
    age_ms.max(0).saturating_mul(settings.rate_window_ages).max(settings.rate_window_min_ms)
}

impl Exposure {
    /// S, I and the rates.
    pub fn of(input: &ExposureInput, settings: &Settings) -> Exposure {
        let age_ms = input.watermark_ms.map_or(Millis::MAX, |mark| input.now_ms.saturating_sub(mark)).max(0);
        let today_ms = input.now_ms.saturating_sub(input.day_start_ms).max(0);
        let unseen_ms = age_ms.min(settings.unseen_max_ms).min(today_ms);
        let rate_max = if age_ms <= settings.fast_rate_age_max_ms {
            input.rate.faster(input.rate_5_min).faster(input.rate_15_min)
        } else {
            input.rate
        };
        let unseen_micros = input.rate.over(unseen_ms);
        Exposure { seen_micros: input.spend_day_micros, unseen_micros, rate: input.rate, rate_max }
    }

    /// E.
    pub fn exposed_micros(&self) -> i64 {
        self.seen_micros.saturating_add(self.unseen_micros)
    }
}

impl Rate {
    /// Spend of a time at this rate, rounded up; never negative.
    pub fn over(&self, time_ms: Millis) -> i64 {
        let span = i128::from(self.span_ms.max(1));
        let product = i128::from(self.spend_micros.max(0)) * i128::from(time_ms.max(0));
        saturate(product / span + i128::from(product % span != 0))
    }

    /// The faster of two; a rate over nothing is none.
    pub fn faster(self, other: Rate) -> Rate {
        let size = |rate: Rate, by: Rate| i128::from(rate.spend_micros) * i128::from(by.span_ms);
        match (self.span_ms > 0, other.span_ms > 0) {
            (_, false) => self,
            (false, true) => other,
            _ if size(other, self) > size(self, other) => other,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Millis = 60_000;
    const EUR: i64 = 1_000_000;

    fn rate(eur: i64, minutes: i64) -> Rate {
        Rate { spend_micros: eur * EUR, span_ms: minutes * MINUTE }
    }

    #[test]
    fn money_of_the_last_minutes_is_estimated() {
        // 15 EUR in a quarter of an hour, data three minutes old: three more are on their way.
        let input = ExposureInput {
            now_ms: 600 * MINUTE,
            watermark_ms: Some(597 * MINUTE),
            spend_day_micros: 100 * EUR,
            rate: rate(15, 15),
            rate_5_min: rate(10, 5),
            rate_15_min: rate(15, 15),
            day_start_ms: 0,
        };
        let exposure = Exposure::of(&input, &Settings::default());
        assert_eq!((exposure.unseen_micros, exposure.exposed_micros()), (3 * EUR, 103 * EUR));
        assert_eq!(exposure.rate_max, rate(10, 5));
        // At ten minutes of age a burst of five minutes says nothing about now.
        let old = ExposureInput { watermark_ms: Some(590 * MINUTE), ..input };
        assert_eq!(Exposure::of(&old, &Settings::default()).rate_max, rate(15, 15));
        // Without any watermark two hours are assumed, but not more than the day is old.
        let blind = ExposureInput { watermark_ms: None, ..input };
        assert_eq!(Exposure::of(&blind, &Settings::default()).unseen_micros, 120 * EUR);
        let early = ExposureInput { day_start_ms: 590 * MINUTE, ..blind };
        assert_eq!(Exposure::of(&early, &Settings::default()).unseen_micros, 10 * EUR);
    }

    #[test]
    fn rates_are_taken_over_longer_spans_when_data_are_old() {
        let settings = Settings::default();
        assert_eq!([0, 60, 20].map(|m| rate_window_ms(m * MINUTE, &settings) / MINUTE), [15, 120, 40]);
    }

    #[test]
    fn clawed_back_money_is_no_negative_rate() {
        assert_eq!(rate(-5, 15).over(MINUTE), 0);
        assert_eq!(Rate { spend_micros: 1, span_ms: 3 }.over(1), 1);
    }

    proptest! {
        #[test]
        fn any_input_has_an_exposure(n in any::<[i64; 9]>(), mark in any::<Option<i64>>()) {
            let pair = |i: usize| Rate { spend_micros: n[i], span_ms: n[i + 1] };
            let input = ExposureInput {
                now_ms: n[0], watermark_ms: mark, day_start_ms: n[1], spend_day_micros: n[2],
                rate: pair(3), rate_5_min: pair(5), rate_15_min: pair(7),
            };
            let exposure = Exposure::of(&input, &Settings::default());
            prop_assert!(exposure.unseen_micros >= 0);
            prop_assert!(exposure.exposed_micros() >= n[2]);
        }
    }
}
