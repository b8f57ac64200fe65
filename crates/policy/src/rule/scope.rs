//! Whom a rule concerns.

use super::Situation;
use std::collections::BTreeMap;

/// Of each list any; of the lists all that are not empty. A word may end in `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Account ids.
    pub accounts: Vec<String>,
    /// Campaign ids.
    pub campaigns: Vec<String>,
    /// Channels.
    pub channels: Vec<String>,
    /// Platforms.
    pub platforms: Vec<String>,
    /// Values of labels, by name.
    pub labels: BTreeMap<String, Vec<String>>,
}

impl Scope {
    /// Whether the rule concerns the campaign.
    pub fn covers(&self, situation: &Situation<'_>) -> bool {
        let label = |(name, wanted): (&String, &Vec<String>)| {
            situation.labels.get(name).is_some_and(|value| any(wanted, value))
        };
        any(&self.accounts, situation.account_id)
            && any(&self.campaigns, situation.campaign_id)
            && any(&self.channels, situation.channel)
            && any(&self.platforms, situation.platform.unwrap_or_default())
            && self.labels.iter().all(label)
    }
}

fn any(wanted: &[String], value: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| fits(wanted, value))
}

fn fits(wanted: &str, value: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => value.starts_with(start),
        None => wanted == value,
    }
}
