//! Which troubles are told, and as whose: rows with a certain cause at once, statistical ones as far as chance and
//! neighbours allow, many campaigns of one account as one incident.
//!
//! What always holds: who stands together is belief and moves alike in every mode; alerts open only where something is
//! decided. Responses (holds, frozen loops) do not wait for this: they are the row's own and cost little.

use super::{Condition, Desk, condition};
use crate::alerts::subject;
use crate::pacing::Pacing;
use model::time::Millis;
use policy::anomaly::{Change, Finding};
use policy::composition::Binding;
use policy::detect::discovery::{Alarm, Telling};
use policy::settings::Incidents as Settings;

/// What follows from the statistical alarms of one look.
pub struct Tellings {
    told: Vec<(Finding, Telling<Finding>)>,
    /// Incidents of the account whose last campaign is well again.
    over: Vec<Finding>,
}

impl Desk<'_> {
    /// Takes the statistical alarms of a look into the account's incidents.
    pub(super) fn gather(
        &mut self,
        account_id: &str,
        campaign_id: &str,
        changes: &[Change],
        pacing: &Pacing,
        settings: &Settings,
    ) -> Tellings {
        let mut tellings = Tellings { told: Vec::new(), over: Vec::new() };
        let now: Millis = self.now;
        let Some(account) = self.belief.accounts.get_mut(account_id) else { return tellings };
        for change in changes {
            match change {
                Change::Opened(finding) if finding.kind.is_statistical() => {
                    let ln_chance = pacing.ln_chance(finding.kind, finding);
                    let kind = finding.kind.as_str();
                    let alarm = Alarm { kind, member: campaign_id, at_ms: now, ln_chance, what: *finding };
                    // The one that is looked at is out of its place.
                    let live = account.campaigns.values().filter(|campaign| campaign.live.is_some()).count();
                    let news = account.incidents.offer(&alarm, live.saturating_add(1), settings);
                    tellings.told.extend(news.into_iter().map(|telling| (*finding, telling)));
                }
                Change::Resolved(finding) if finding.kind.is_statistical() => {
                    let told = account.incidents.end(finding.kind.as_str(), campaign_id);
                    tellings.over.extend(told.then_some(*finding));
                }
                _ => {}
            }
        }
        tellings
    }

    /// Opens and resolves the alerts that follow from a look.
    pub(super) fn tell(
        &mut self,
        account_id: &str,
        campaign_id: &str,
        changes: &[Change],
        tellings: Tellings,
        binding: Binding,
    ) {
        for change in changes {
            match change {
                Change::Resolved(finding) => self.settle(finding.kind.as_str(), account_id, campaign_id, None),
                Change::Opened(finding) if !finding.kind.is_statistical() => {
                    self.tell_alone(account_id, campaign_id, finding, binding);
                }
                _ => {}
            }
        }
        for (_, telling) in tellings.told {
            match telling {
                Telling::Alone(member, finding) => self.tell_alone(account_id, &member, &finding, binding),
                Telling::Together(members, finding) => self.tell_together(account_id, &members, &finding, binding),
            }
        }
        for finding in tellings.over {
            self.settle_account(finding.kind.as_str(), account_id, None);
        }
    }

    fn tell_alone(&mut self, account_id: &str, campaign_id: &str, finding: &Finding, binding: Binding) {
        let condition = condition(finding, campaign_id, &self.currency(account_id, campaign_id), binding);
        self.settle(finding.kind.as_str(), account_id, campaign_id, Some(&condition));
    }

    /// One alert for the account; the incident is that of the campaign that was told first.
    fn tell_together(&mut self, account_id: &str, members: &[String], finding: &Finding, binding: Binding) {
        let kind = finding.kind.as_str();
        let newest = members.last().map_or("", String::as_str);
        let words = super::told(finding, &self.currency(account_id, newest), binding);
        let named: Vec<&str> = members.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = members.len().saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let begun = members.iter().find_map(|member| {
            self.alerts.incident_of(&subject(kind, Some(account_id), Some(member))).map(str::to_owned)
        });
        let condition = Condition {
            severity: finding.severity.as_str(),
            observed: Some(members.len() as i64),
            expected: Some(0),
            money_at_stake_micros: finding.at_stake_micros,
            text: format!(
                "Account {account_id}: {} campaigns at about the same time ({}{more}), so one cause is likely; the newest: \
                 {words}.",
                members.len(),
                named.join(", ")
            ),
            incident_id: begun,
            ..Condition::default()
        };
        self.settle_account(kind, account_id, Some(&condition));
    }

    fn currency(&self, account_id: &str, campaign_id: &str) -> String {
        let campaign = self.belief.campaign(account_id, campaign_id);
        campaign.and_then(|campaign| campaign.spec()).map(|spec| spec.currency).unwrap_or_default()
    }
}

/// An alert names at most so many campaigns.
const NAMED_MAX: usize = 10;
