//! One campaign's auctions: the distribution of the highest competing bid, and what follows from it.
//!
//! Bids and prices are money for one billable event: an impression under [`Billing::Cpm`] (a thousandth of what media
//! buyers call the CPM), a click under [`Billing::Cpc`]. What always holds: a bid wins where it is above the highest
//! competing bid, which is log-normal; so the same draw gives the same competitor whatever was bid.

use crate::random::{normal_cdf, normal_density, normal_quantile};
use serde::{Deserialize, Serialize};

/// How a winner pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pricing {
    /// Its own bid.
    FirstPrice,
    /// The highest competing bid.
    SecondPrice,
}

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Billing {
    /// Impressions.
    Cpm,
    /// Clicks, at the price of the auction that showed the ad.
    Cpc,
}

/// The auctions that one campaign takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auction {
    /// How a winner pays.
    pub pricing: Pricing,
    /// What is paid for.
    pub billing: Billing,
    /// Half of the highest competing bids are lower.
    pub median_price_micros: f64,
    /// Standard deviation of the logarithm of the highest competing bid.
    pub price_sigma: f64,
}

/// What one bid meets: constant while the bid and the prices are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Odds {
    bid_micros: f64,
    /// Share of auctions won.
    pub(crate) win_share: f64,
    /// Mean of price x won over all auctions, in micros.
    pub(crate) mean_cost_micros: f64,
}

impl Auction {
    /// Auctions in which a bid of `bid_micros` wins the share of a standard normal below `z`.
    pub fn calibrated(pricing: Pricing, billing: Billing, bid_micros: i64, z: f64, price_sigma: f64) -> Self {
        let median_price_micros = bid_micros.max(1) as f64 * libm::exp(-z * price_sigma);
        Self { pricing, billing, median_price_micros, price_sigma }
    }

    /// The odds of `bid_micros` while prices are `price_factor` times as high.
    pub(crate) fn odds(&self, bid_micros: f64, price_factor: f64) -> Odds {
        let median = self.median_price_micros * price_factor;
        if !(bid_micros > 0.0 && median > 0.0) {
            return Odds { bid_micros: 0.0, win_share: 0.0, mean_cost_micros: 0.0 };
        }
        let sigma = self.sigma();
        let z = libm::log(bid_micros / median) / sigma;
        let win_share = normal_cdf(z);
        let mean_cost_micros = match self.pricing {
            Pricing::FirstPrice => bid_micros * win_share,
            Pricing::SecondPrice => median * libm::exp(sigma * sigma / 2.0) * normal_cdf(z - sigma),
        };
        Odds { bid_micros, win_share, mean_cost_micros }
    }

    /// What the winner of the auction with draw `unit` pays, whole micros, at least one and never above the bid.
    pub(crate) fn price_micros(&self, odds: &Odds, unit: f64, price_factor: f64) -> i64 {
        let price = match self.pricing {
            Pricing::FirstPrice => odds.bid_micros,
            Pricing::SecondPrice => {
                self.median_price_micros * price_factor * libm::exp(self.sigma() * normal_quantile(unit))
            }
        };
        (price.min(odds.bid_micros) as i64).max(1)
    }

    /// d ln(spend) / d ln(bid) at a bid.
    pub fn spend_elasticity(&self, bid_micros: i64) -> f64 {
        let sigma = self.sigma();
        let z = libm::log(bid_micros.max(1) as f64 / self.median_price_micros) / sigma;
        match self.pricing {
            Pricing::FirstPrice => 1.0 + normal_density(z) / (sigma * normal_cdf(z)),
            Pricing::SecondPrice => normal_density(z - sigma) / (sigma * normal_cdf(z - sigma)),
        }
    }

    /// Mean spend of one auction at a bid, clicks at `click_rate` where they are what is paid for, in micros.
    pub(crate) fn mean_spend_micros(&self, odds: &Odds, click_rate: f64) -> f64 {
        match self.billing {
            Billing::Cpm => odds.mean_cost_micros,
            Billing::Cpc => odds.mean_cost_micros * click_rate,
        }
    }

    /// A spread of zero would divide by it.
    fn sigma(&self) -> f64 {
        self.price_sigma.max(1e-3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;

    fn auction(pricing: Pricing) -> Auction {
        Auction::calibrated(pricing, Billing::Cpm, 2_000, -0.4, 0.7)
    }

    #[test]
    fn the_mean_cost_is_the_mean_of_the_prices_paid() {
        for pricing in [Pricing::FirstPrice, Pricing::SecondPrice] {
            let auction = auction(pricing);
            let odds = auction.odds(2_000_000.0, 1_000.0);
            let n = 200_000;
            let (mut wins, mut paid) = (0_u32, 0.0);
            for i in 0..n {
                let unit = Draws::keyed(3, 0, 0, i).unit();
                if unit < odds.win_share {
                    wins += 1;
                    paid += auction.price_micros(&odds, unit, 1_000.0) as f64;
                }
            }
            assert!((f64::from(wins) / n as f64 / odds.win_share - 1.0).abs() < 0.02);
            assert!((paid / n as f64 / odds.mean_cost_micros - 1.0).abs() < 0.02);
        }
    }

    #[test]
    fn the_elasticity_is_the_slope_of_the_spend() {
        for pricing in [Pricing::FirstPrice, Pricing::SecondPrice] {
            let auction = auction(pricing);
            let (low, high) = (auction.odds(1_990.0, 1.0), auction.odds(2_010.0, 1.0));
            let slope = libm::log(high.mean_cost_micros / low.mean_cost_micros) / libm::log(2_010.0 / 1_990.0);
            assert!((slope - auction.spend_elasticity(2_000)).abs() < 0.01, "{slope}");
        }
    }

    #[test]
    fn a_bid_of_nothing_wins_nothing() {
        assert_eq!(auction(Pricing::SecondPrice).odds(0.0, 1.0).win_share, 0.0);
        assert_eq!(auction(Pricing::SecondPrice).odds(f64::NAN, 1.0).win_share, 0.0);
    }
}
