//! The breaker: a controller that is clamped all the time, or talks all the time, is wrong; hold its account and page.

use crate::settings::Guard as Settings;
use serde::{Deserialize, Serialize};

/// Counts of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerCounts {
    /// Proposals of the last 15 minutes.
    pub proposals: i64,
    /// Of these, clamped or refused as nonsense.
    pub clamped: i64,
    /// Commands of the last hour.
    pub commands_hour: i64,
    /// Campaigns under control.
    pub campaigns: i64,
}

/// What tripped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BreakerCause {
    /// Too many proposals were clamped.
    Clamped,
    /// Too many commands were sent.
    Commands,
}

/// Whether the account is to be held: as long as the counts of its last quarter of an hour and hour are beyond the limits,
/// so it releases itself when they are not.
pub fn breaker(counts: &BreakerCounts, settings: &Settings) -> Option<BreakerCause> {
    let enough = counts.proposals >= settings.breaker_proposals_min;
    let clamped_max = settings.breaker_clamped_share * counts.proposals.max(0) as f64;
    // One campaign alone may well need four commands in an hour; the mean is meant over an account.
    let commands_max = settings.breaker_commands_per_campaign_hour * counts.campaigns.max(1) as f64;
    let spoken = counts.commands_hour >= settings.breaker_proposals_min;
    if enough && counts.clamped as f64 > clamped_max {
        Some(BreakerCause::Clamped)
    } else if spoken && counts.commands_hour as f64 > commands_max {
        Some(BreakerCause::Commands)
    } else {
        None
    }
}
