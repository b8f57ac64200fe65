//! The most that one conversion may count for: what all but one in a hundred of the account's were worth a week before.
//!
//! One order of a thousand times the usual value would teach a target of return, or an hour, what no click deserves. What
//! always holds: a cap stands for a whole week and rests on the week before alone, so it does not move with what it caps;
//! no cap before a hundred conversions were seen in that week; fixed memory (sixteenths of octaves: the cap is at most a
//! sixteenth above the true quantile). KPI rows show values as they came. Missing on purpose: a number in the policy (the
//! fold of events knows none); caps of single values where one minute brings several of one minute of clicks.

use model::WHOLE_PPM;
use model::time::{DAY_MS, Millis};
use policy::arithmetic::ratio;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Values of an account's conversions, by currency: this week's and the last one's, some 2 kB each.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Values {
    currencies: BTreeMap<String, [Week; 2]>,
}

/// Micro-conversions by bucket of their value.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Week {
    index: i64,
    buckets: BTreeMap<u16, i64>,
    all: i64,
}

/// Conversions without which a week says nothing about its rarest hundredth.
const CONVERSIONS_MIN: i64 = 100 * WHOLE_PPM;
/// One in a hundred.
const RARE: i64 = 100;
/// Sixteenths of an octave.
const FINE_BITS: u32 = 4;

impl Values {
    /// Notes conversions of equal value and gives what they count for together.
    pub fn capped(&mut self, currency: &str, at: Millis, value_micros: i64, credits_micro: i64) -> i64 {
        if value_micros <= 0 || credits_micro <= 0 {
            return value_micros;
        }
        let Some(single) = ratio(i128::from(value_micros) * i128::from(WHOLE_PPM), i128::from(credits_micro)) else {
            return value_micros;
        };
        if !self.currencies.contains_key(currency) {
            self.currencies.insert(currency.to_owned(), Default::default());
        }
        let Some(weeks) = self.currencies.get_mut(currency) else { return value_micros };
        let index = week_of(at);
        if index > weeks[0].index {
            let before = std::mem::replace(&mut weeks[0], Week { index, ..Week::default() });
            weeks[1] = before;
        }
        if let Some(week) = weeks.iter_mut().find(|week| week.index == index) {
            week.add(single, credits_micro);
        }
        let before = weeks.iter().find(|week| week.index == index - 1);
        match before.and_then(Week::cap).filter(|cap| single > *cap) {
            Some(cap) => {
                ratio(i128::from(cap) * i128::from(credits_micro), i128::from(WHOLE_PPM)).unwrap_or(value_micros)
            }
            None => value_micros,
        }
    }
}

impl Week {
    fn add(&mut self, single: i64, credits_micro: i64) {
        let count = self.buckets.entry(bucket_of(single)).or_default();
        *count = count.saturating_add(credits_micro);
        self.all = self.all.saturating_add(credits_micro);
    }

    /// Upper edge of the bucket below which all but one in a hundred lie.
    fn cap(&self) -> Option<i64> {
        if self.all < CONVERSIONS_MIN {
            return None;
        }
        let mut above = 0_i64;
        for (bucket, count) in self.buckets.iter().rev() {
            above = above.saturating_add(*count);
            if above > self.all / RARE {
                return Some(upper_edge(*bucket));
            }
        }
        None
    }
}

/// Weeks since 1970 that begin on a Monday, UTC.
fn week_of(at: Millis) -> i64 {
    (at.div_euclid(DAY_MS) + 3).div_euclid(7)
}

fn bucket_of(value: i64) -> u16 {
    let value = value.max(1).unsigned_abs();
    let octave = value.ilog2();
    let fine = if octave >= FINE_BITS { value >> (octave - FINE_BITS) } else { value << (FINE_BITS - octave) };
    ((octave << FINE_BITS) as u64 + (fine & ((1 << FINE_BITS) - 1))) as u16
}

fn upper_edge(bucket: u16) -> i64 {
    let (octave, fine) = (u32::from(bucket) >> FINE_BITS, i128::from(bucket) & ((1 << FINE_BITS) - 1));
    let edge = (((1 << FINE_BITS) + fine + 1) << octave) >> FINE_BITS;
    i64::try_from(edge).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EUR: i64 = 1_000_000;
    /// Monday 2026-03-02.
    const MONDAY: Millis = 20_514 * DAY_MS;

    #[test]
    fn a_value_of_the_rarest_hundredth_counts_as_the_quantile_of_the_week_before() {
        let mut values = Values::default();
        let mut count = |at, eur: i64| values.capped("EUR", at, eur * EUR, WHOLE_PPM) / EUR;
        for n in 0..1_000 {
            assert_eq!(count(MONDAY, 1 + n % 100), 1 + n % 100, "nothing is known yet");
        }
        assert_eq!(count(MONDAY, 5_000), 5_000, "this week's own values cap nothing");
        let next = MONDAY + 7 * DAY_MS;
        assert_eq!([count(next, 40), count(next, 100)], [40, 100]);
        assert!((99..=107).contains(&count(next, 5_000)));
        assert_eq!(count(next + 7 * DAY_MS, 5_000), 5_000, "three conversions say nothing");
    }

    #[test]
    fn parts_of_a_conversion_are_capped_by_their_part() {
        let mut values = Values::default();
        (0..200).for_each(|_| _ = values.capped("EUR", MONDAY, 10 * EUR, WHOLE_PPM));
        let half = values.capped("EUR", MONDAY + 7 * DAY_MS, 50 * EUR, WHOLE_PPM / 2);
        assert!((5 * EUR..6 * EUR).contains(&half), "{half}");
        assert_eq!(values.capped("USD", MONDAY + 7 * DAY_MS, 50 * EUR, WHOLE_PPM), 50 * EUR, "another currency");
        assert_eq!(values.capped("EUR", MONDAY, -EUR, WHOLE_PPM), -EUR);
    }

    proptest! {
        #[test]
        fn an_edge_is_above_its_values_by_a_sixteenth_at_most(value in 1..i64::MAX) {
            let edge = upper_edge(bucket_of(value));
            prop_assert!(edge >= value && edge - value <= value / 16 + 1, "{value} {edge}");
        }
    }
}
