//! What a policy would have commanded on a recorded journal, counted by campaign in two stretches of time.
//!
//! What always holds: only what a recorded journal identifies is counted: commands, commands that the guard changed,
//! alerts, and hours paused by commands. Spend under a candidate's commands is bounded by what was recorded, as a
//! comparison of two runs bounds it. Missing on purpose: clicks, conversions and value under another policy, which one
//! journal cannot tell.

use crate::compare::{Change, change};
use crate::figures::{Figures, Lever, Name, Step};
use crate::replayer::Replayer;
use controller::{JournalPosition, Outputs, Setup};
use model::journal::JournalRecord;
use model::time::{HOUR_MS, Millis};
use std::collections::BTreeMap;

/// Names of what is counted, all of them better where there is less.
pub const METRICS: [&str; 4] = ["commands", "clamps", "alerts", "paused_hours"];

/// Counts of one campaign, before and from the split on, in the order of [`METRICS`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// In time, out of time.
    pub parts: [[f64; 4]; 2],
    paused_since: Option<Millis>,
}

/// What one partition of a journal says of one candidate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By campaign.
    pub campaigns: BTreeMap<Name, Counted>,
    /// By currency: recorded spend, split by how the candidate's values stood beside those in force.
    pub spend: BTreeMap<String, Change>,
    /// Of the issued commands: candidates that are alike here have decided alike.
    pub commanded: u64,
}

/// Replays one partition under a policy's text and counts by campaign, beside the figures of the same partition under the
/// recorded policy; `read` gives every record to what it is handed.
///
/// # Errors
/// Those of `read`.
pub fn count<E>(
    setup: Setup,
    policy: &str,
    recorded: &Figures,
    split: Millis,
    read: impl FnOnce(&mut dyn FnMut(JournalPosition, JournalRecord)) -> Result<(), E>,
) -> Result<Counts, E> {
    let mut counting = Counting::new(Replayer::new(setup, Some(policy)), split);
    read(&mut |at, record| counting.apply(at, record))?;
    Ok(counting.finish(recorded))
}

struct Counting {
    replayer: Replayer,
    split: Millis,
    campaigns: BTreeMap<Name, Counted>,
    steps: BTreeMap<Name, Vec<Step>>,
}

impl Counting {
    fn new(replayer: Replayer, split: Millis) -> Self {
        Self { replayer, split, campaigns: BTreeMap::new(), steps: BTreeMap::new() }
    }

    fn apply(&mut self, at: JournalPosition, record: JournalRecord) {
        let outputs = self.replayer.apply(at, record);
        let now = self.replayer.view().now();
        self.take(now, &outputs);
    }

    fn take(&mut self, now: Millis, outputs: &Outputs) {
        let (part, split) = (usize::from(now >= self.split), self.split);
        for command in &outputs.adjustments {
            let name = (command.account_id.clone(), command.campaign_id.clone());
            self.steps.entry(name).or_default().push(Step::of(command));
            let counted = self.of(&command.account_id, &command.campaign_id);
            counted.parts[part][0] += 1.0;
            counted.parts[part][1] += f64::from(u8::from(!command.explanation.guard_edits.is_empty()));
            match Lever::of(&command.kind) {
                Lever::Pause => counted.paused_since = counted.paused_since.or(Some(now)),
                Lever::Resume => counted.resumed(now, split),
                _ => {}
            }
        }
        for alert in outputs.alerts.iter().filter(|alert| alert.state == "opened") {
            let (account, campaign) = (alert.account_id.as_deref(), alert.campaign_id.as_deref());
            self.of(account.unwrap_or_default(), campaign.unwrap_or_default()).parts[part][2] += 1.0;
        }
    }

    fn of(&mut self, account: &str, campaign: &str) -> &mut Counted {
        self.campaigns.entry((account.to_owned(), campaign.to_owned())).or_default()
    }

    /// An incident of an account counts once, with the account's first campaign: which units there are must not depend on
    /// what a candidate tells.
    fn units_are_campaigns(&mut self) {
        let of_accounts: Vec<Name> =
            self.campaigns.keys().filter(|(_, campaign)| campaign.is_empty()).cloned().collect();
        for name in of_accounts {
            let Some(told) = self.campaigns.remove(&name) else { continue };
            let first = self.campaigns.range_mut((name.0.clone(), String::new())..).next();
            if let Some((_, counted)) = first.filter(|((account, _), _)| *account == name.0) {
                for (sums, more) in counted.parts.iter_mut().zip(told.parts) {
                    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                }
            }
        }
    }

    /// Campaigns in which nothing was decided count, too: with nothing.
    fn finish(mut self, recorded: &Figures) -> Counts {
        let view = self.replayer.view();
        let end = view.now();
        let names: Vec<Name> =
            view.days_now().map(|day| (day.account_id.to_owned(), day.campaign_id.to_owned())).collect();
        for name in names {
            self.campaigns.entry(name).or_default();
        }
        self.units_are_campaigns();
        self.campaigns.values_mut().for_each(|counted| counted.resumed(end, self.split));
        let mut spend: BTreeMap<String, Change> = BTreeMap::new();
        for (name, campaign) in &recorded.campaigns {
            let own = self.steps.get(name).map_or(&[][..], Vec::as_slice);
            let change = change(campaign, own, &campaign.steps, end);
            spend.entry(change.currency.clone()).or_default().add(&change);
        }
        let commanded = fingerprint(&self.steps);
        Counts { campaigns: self.campaigns, spend, commanded }
    }
}

impl Counted {
    fn resumed(&mut self, now: Millis, split: Millis) {
        let Some(since) = self.paused_since.take() else { return };
        let hours = |from: Millis, to: Millis| to.saturating_sub(from).max(0) as f64 / HOUR_MS as f64;
        self.parts[0][3] += hours(since, now.min(split));
        self.parts[1][3] += hours(since.max(split), now);
    }
}

/// FNV-1a over every command: what, where, when, how much. No protection against anybody: equal ones are the same.
fn fingerprint(steps: &BTreeMap<Name, Vec<Step>>) -> u64 {
    let add = |sum: u64, bytes: &[u8]| {
        bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3))
    };
    let mut sum = 0xCBF2_9CE4_8422_2325;
    for ((account, campaign), steps) in steps {
        sum = add(add(add(add(sum, account.as_bytes()), &[0]), campaign.as_bytes()), &[0]);
        for step in steps {
            sum = add(sum, &step.at.to_le_bytes());
            sum = add(sum, &[step.lever as u8]);
            sum = add(sum, &step.value_micros.unwrap_or(i64::MIN).to_le_bytes());
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Window;
    use model::output::{Adjustment, Alert};

    #[test]
    fn commands_clamps_alerts_and_pauses_are_counted_on_their_side_of_the_split() {
        let replayer = Replayer::new(Setup::default(), None);
        let mut counting = Counting::new(replayer, 2 * HOUR_MS);
        let command = |issued_at: Millis, kind: &str, edits: &[&str]| {
            let mut command =
                Adjustment { campaign_id: "one".into(), kind: kind.into(), issued_at, ..Adjustment::default() };
            command.explanation.guard_edits = edits.iter().map(|edit| (*edit).to_owned()).collect();
            command
        };
        let opened = Alert { state: "opened".into(), campaign_id: Some("one".into()), ..Alert::default() };
        let pause = Outputs { adjustments: vec![command(HOUR_MS, "pause", &[])], ..Outputs::default() };
        let resume = Outputs {
            adjustments: vec![command(4 * HOUR_MS, "resume", &[])],
            alerts: vec![opened],
            ..Outputs::default()
        };
        let clamped =
            Outputs { adjustments: vec![command(HOUR_MS + 1, "set_bid", &["step_up"])], ..Outputs::default() };
        counting.take(HOUR_MS, &pause);
        counting.take(HOUR_MS + 1, &clamped);
        counting.take(4 * HOUR_MS, &resume);
        let name = (String::new(), "one".to_owned());
        let mut recorded = Figures::default();
        let campaign = recorded.campaign("", "one");
        campaign.spec.currency = "EUR".into();
        campaign.hours =
            (0..5).map(|hour| (hour * HOUR_MS, Window { spend_micros: 10, ..Window::default() })).collect();
        let steps = counting.steps.clone();
        let counts = counting.finish(&recorded);
        assert_eq!(counts.campaigns[&name].parts, [[2.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 2.0]]);
        let spend = &counts.spend["EUR"];
        assert_eq!(
            (spend.least_micros(), spend.most_micros()),
            (20, Some(50)),
            "paused in three hours of five: {spend:?}"
        );
        let mut other = steps.clone();
        other.get_mut(&name).unwrap()[0].at += 1;
        assert!(fingerprint(&steps) == counts.commanded && fingerprint(&other) != counts.commanded);
    }
}
