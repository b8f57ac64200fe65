//! Ratios of a window with the counts they rest on.
//!
//! What always holds: numerators and denominators are integers, products are taken in `i128`, a ratio is rounded half to
//! even once, and it is `None` where its denominator is zero (or the result does not fit), never 0 and never infinite.
//! Missing on purpose: delay correction and intervals.

use crate::arithmetic::ratio;
use serde::{Deserialize, Serialize};

/// Sums of one window. Signed, because corrections subtract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Ads shown.
    pub impressions: i64,
    /// Ads clicked.
    pub clicks: i64,
    /// Events that cost something.
    pub billable: i64,
    /// Money spent.
    pub spend_micros: i64,
    /// Conversions in millionths, so that credits of several touches add up.
    pub conversions_micro: i64,
    /// What the conversions were worth.
    pub value_micros: i64,
}

/// The ratios; shares in parts per million, money in micros of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kpis {
    /// Clicks per impression.
    pub ctr_ppm: Option<i64>,
    /// Conversions per click.
    pub cvr_ppm: Option<i64>,
    /// Money per click.
    pub cpc_micros: Option<i64>,
    /// Money per thousand impressions.
    pub cpm_micros: Option<i64>,
    /// Money per conversion.
    pub cpa_micros: Option<i64>,
    /// Value per money.
    pub roas_ppm: Option<i64>,
    /// Gain per money: (value x margin - spend) / spend.
    pub roi_ppm: Option<i64>,
    /// What they rest on.
    pub evidence: Evidence,
}

/// How many events stand behind the ratios: a ratio of three events is no news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Behind the click rate and the cost per thousand.
    pub impressions: i64,
    /// Behind the conversion rate and the cost per click.
    pub clicks: i64,
    /// Whole conversions, rounded down, behind the cost per conversion and the returns.
    pub conversions: i64,
}

impl Kpis {
    /// Ratios of the sums; `margin_ppm` is the share of the value that is gain before advertising, all of it if absent.
    pub fn of(sums: &Sums, margin_ppm: Option<i64>) -> Kpis {
        let [impressions, clicks, spend, conversions_micro, value] =
            [sums.impressions, sums.clicks, sums.spend_micros, sums.conversions_micro, sums.value_micros]
                .map(i128::from);
        let margin_ppm = i128::from(margin_ppm.unwrap_or(PPM as i64));
        Kpis {
            ctr_ppm: ratio(clicks * PPM, impressions),
            // Millionths of a conversion per click are parts per million already.
            cvr_ppm: ratio(conversions_micro, clicks),
            cpc_micros: ratio(spend, clicks),
            cpm_micros: ratio(spend * 1_000, impressions),
            cpa_micros: ratio(spend * PPM, conversions_micro),
            roas_ppm: ratio(value * PPM, spend),
            roi_ppm: ratio(value * margin_ppm - spend * PPM, spend),
            evidence: Evidence {
                impressions: sums.impressions,
                clicks: sums.clicks,
                conversions: sums.conversions_micro.div_euclid(PPM as i64),
            },
        }
    }
}

impl Sums {
    /// Adds another window, at the ends of `i64` where the sum does not fit.
    pub fn add(&mut self, other: &Sums) {
        self.impressions = self.impressions.saturating_add(other.impressions);
        self.clicks = self.clicks.saturating_add(other.clicks);
        self.billable = self.billable.saturating_add(other.billable);
        self.spend_micros = self.spend_micros.saturating_add(other.spend_micros);
        self.conversions_micro = self.conversions_micro.saturating_add(other.conversions_micro);
        self.value_micros = self.value_micros.saturating_add(other.value_micros);
    }
}

const PPM: i128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_good_hour_has_the_ratios_worked_by_hand() {
        // 40,000 impressions, 800 clicks at 0.50, 20 conversions of 60 each.
        let sums = Sums {
            impressions: 40_000,
            clicks: 800,
            billable: 800,
            spend_micros: 400_000_000,
            conversions_micro: 20_000_000,
            value_micros: 1_200_000_000,
        };
        let kpis = Kpis::of(&sums, None);
        assert_eq!((kpis.ctr_ppm, kpis.cvr_ppm), (Some(20_000), Some(25_000)));
        assert_eq!((kpis.cpc_micros, kpis.cpm_micros), (Some(500_000), Some(10_000_000)));
        assert_eq!((kpis.cpa_micros, kpis.roas_ppm), (Some(20_000_000), Some(3_000_000)));
        assert_eq!((kpis.roi_ppm, Kpis::of(&sums, Some(300_000)).roi_ppm), (Some(2_000_000), Some(-100_000)));
        assert_eq!(kpis.evidence, Evidence { impressions: 40_000, clicks: 800, conversions: 20 });
    }

    #[test]
    fn nothing_happened_means_nothing_is_known() {
        let kpis = Kpis::of(&Sums::default(), None);
        assert_eq!(kpis, Kpis::default());
    }

    #[test]
    fn a_third_of_a_conversion_counts_as_a_third() {
        let sums = Sums { clicks: 3, spend_micros: 900_000, conversions_micro: 333_333, ..Sums::default() };
        let kpis = Kpis::of(&sums, None);
        assert_eq!((kpis.cvr_ppm, kpis.cpa_micros), (Some(111_111), Some(2_700_003)));
        assert_eq!(kpis.evidence.conversions, 0);
    }

    proptest! {
        #[test]
        fn any_sums_have_ratios(a in any::<[i64; 6]>(), margin in any::<Option<i64>>()) {
            let [impressions, clicks, billable, spend_micros, conversions_micro, value_micros] = a;
            let sums = Sums { impressions, clicks, billable, spend_micros, conversions_micro, value_micros };
            let kpis = Kpis::of(&sums, margin);
            prop_assert_eq!(kpis.ctr_ppm.is_none() || impressions != 0, true);
            let mut twice = sums;
            twice.add(&sums);
        }
    }
}
