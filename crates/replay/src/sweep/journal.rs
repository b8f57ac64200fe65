//! What a policy would have commanded on a recorded journal, counted by campaign in two stretches of time.
//!
//! What always holds: only what a recorded journal identifies is counted: commands, commands that the guard changed,
//! alerts, and hours paused by commands. Missing on purpose: clicks,
//! conversions and value under another policy, which one journal cannot tell.

use crate::figures::{Lever, Name};
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

/// Replays one partition under `policy`, the recorded ones where there is none, and counts by campaign; `read` gives every
/// record to what it is handed.
///
/// # Errors
/// Those of `read`.
pub fn count<E>(
    setup: Setup,
    policy: Option<&str>,
    split: Millis,
    read: impl FnOnce(&mut dyn FnMut(JournalPosition, JournalRecord)) -> Result<(), E>,
) -> Result<BTreeMap<Name, Counted>, E> {
    let mut counting = Counting { replayer: Replayer::new(setup, policy), split, campaigns: BTreeMap::new() };
    read(&mut |at, record| counting.apply(at, record))?;
    Ok(counting.finish())
}

struct Counting {
    replayer: Replayer,
    split: Millis,
    campaigns: BTreeMap<Name, Counted>,
}

impl Counting {
    fn apply(&mut self, at: JournalPosition, record: JournalRecord) {
        let outputs = self.replayer.apply(at, record);
        let now = self.replayer.view().now();
        self.take(now, &outputs);
    }

    fn take(&mut self, now: Millis, outputs: &Outputs) {
        let (part, split) = (usize::from(now >= self.split), self.split);
        for command in &outputs.adjustments {
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

    /// Campaigns in which nothing was decided count, too: with nothing.
    fn finish(mut self) -> BTreeMap<Name, Counted> {
        let view = self.replayer.view();
        let end = view.now();
        let names: Vec<Name> =
            view.days_now().map(|day| (day.account_id.to_owned(), day.campaign_id.to_owned())).collect();
        for name in names {
            self.campaigns.entry(name).or_default();
        }
        self.campaigns.values_mut().for_each(|counted| counted.resumed(end, self.split));
        self.campaigns
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::output::{Adjustment, Alert};

    #[test]
    fn commands_clamps_alerts_and_pauses_are_counted_on_their_side_of_the_split() {
        let replayer = Replayer::new(Setup::default(), None);
        let mut counting = Counting { replayer, split: 2 * HOUR_MS, campaigns: BTreeMap::new() };
        let command = |kind: &str, edits: &[&str]| {
            let mut command = Adjustment { campaign_id: "one".into(), kind: kind.into(), ..Adjustment::default() };
            command.explanation.guard_edits = edits.iter().map(|edit| (*edit).to_owned()).collect();
            command
        };
        let opened = Alert { state: "opened".into(), campaign_id: Some("one".into()), ..Alert::default() };
        let pause = Outputs { adjustments: vec![command("pause", &[])], ..Outputs::default() };
        let resume = Outputs { adjustments: vec![command("resume", &[])], alerts: vec![opened], ..Outputs::default() };
        let clamped = Outputs { adjustments: vec![command("set_bid", &["step_up"])], ..Outputs::default() };
        counting.take(HOUR_MS, &pause);
        counting.take(HOUR_MS + 1, &clamped);
        counting.take(4 * HOUR_MS, &resume);
        let counted = counting.finish();
        let one = counted[&(String::new(), "one".to_owned())];
        assert_eq!(one.parts, [[2.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 2.0]]);
    }
}
