//! The simulated world: auctions, users, an ad buyer that obeys commands.
//!
//! For the demonstration, for load, and for closed-loop scores. Two generators stand side by side: [`Market`], where bids
//! meet competitors and commands change what happens, and [`Load`], which makes events at a given rate as fast as a
//! broker takes them. Both know the exact truth of what they emitted.
//!
//! What always holds: no I/O, no clock, no async. Equal scenario, seed and commands at equal instants give equal events,
//! byte for byte, however a run is cut into steps. Random numbers are keyed by (seed, campaign, opportunity), so a run
//! with commands and one left alone meet the same opportunities, competitors and people, and differ only by what was
//! bought. Money is an integer in micros; a bid and a price are money for one billable event (an impression or a click).
//!
//! Missing on purpose: frequency caps, day-parting (`open_hours`), fraud, refunds, conversions without a click, weather,
//! learning phases of platforms, and the reaction of competitors to our bids.

mod auction;
mod buyer;
mod demo;
mod emit;
mod hindsight;
mod lane;
mod load;
mod market;
mod pool;
mod random;
mod scenario;
mod scratch;
mod shape;
#[cfg(test)]
mod tests;
mod totals;
mod trial;
mod truth;

pub use auction::{Auction, Billing, Pricing};
pub use buyer::state::CampaignState;
pub use buyer::{AdBuyer, BuyerCounts};
pub use emit::{Emitted, OwnedRecord, Record, Recorder, Sink};
pub use hindsight::{Hindsight, Outcome};
pub use load::{Load, LoadScenario};
pub use market::Market;
pub use pool::{PoolMarket, PoolTrial};
pub use scenario::{BuyerManners, CampaignWorld, Delay, People, Scenario, Shock, Weather};
pub use shape::HOUR_OF_WEEK_PPM;
pub use totals::{CampaignTotals, Expected, Totals};
pub use trial::{Trial, TrialChange, TrialHours, TrialMarket, TrialPerson, TrialShock, TrialValue, TrialWeather};
pub use truth::{Cell, Row, Truth};
