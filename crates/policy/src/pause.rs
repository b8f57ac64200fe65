//! Who holds a campaign still, and when it may run again (section 10).
//!
//! What always holds: each pause has a holder; several may hold at once; only a holder's own cause lifts its hold, and a
//! campaign runs only when none is left. A pause by a person or a platform is never lifted here.

use crate::settings::{Millis, Pause as Settings, Runaway};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // Named as the words of the contract.
pub enum Holder {
    Person,
    Platform,
    Flight,
    DailyCap,
    Runaway,
    Underperformer,
    Halt,
    Rule,
}

impl Holder {
    /// The word of the command.
    pub fn as_str(self) -> &'static str {
        match self {
            Holder::Person => "person",
            Holder::Platform => "platform",
            Holder::Flight => "flight",
            Holder::DailyCap => "daily_cap",
            Holder::Runaway => "runaway",
            Holder::Underperformer => "underperformer",
            Holder::Halt => "halt",
            Holder::Rule => "rule",
        }
    }

    /// The holder of a word.
    pub fn parse(word: &str) -> Option<Holder> {
        const ALL: [Holder; 8] = [
            Holder::Person,
            Holder::Platform,
            Holder::Flight,
            Holder::DailyCap,
            Holder::Runaway,
            Holder::Underperformer,
            Holder::Halt,
            Holder::Rule,
        ];
        ALL.into_iter().find(|holder| holder.as_str() == word)
    }

    /// Whether this program may ever lift such a hold by itself.
    pub fn is_ours(self) -> bool {
        !matches!(self, Holder::Person | Holder::Platform)
    }
}

/// The holds on one campaign: since when, by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders(BTreeMap<Holder, Millis>);

impl Holders {
    /// Adds a hold; true if the campaign ran before and has to be paused. A hold that stands keeps its first instant.
    pub fn hold(&mut self, holder: Holder, now_ms: Millis) -> bool {
        let ran = self.0.is_empty();
        self.0.entry(holder).or_insert(now_ms);
        ran
    }

    /// Lifts the holder's own hold; true if it was the last and the campaign may run.
    pub fn lift(&mut self, holder: Holder) -> bool {
        self.0.remove(&holder).is_some() && self.0.is_empty()
    }

    /// Whether anybody holds.
    pub fn is_paused(&self) -> bool {
        !self.0.is_empty()
    }

    /// Since when this holder holds.
    pub fn since(&self, holder: Holder) -> Option<Millis> {
        self.0.get(&holder).copied()
    }

    /// All holders and since when, sorted as the enum.
    pub fn iter(&self) -> impl Iterator<Item = (Holder, Millis)> {
        self.0.iter().map(|(holder, since)| (*holder, *since))
    }

    /// All holders' words, sorted as the enum.
    pub fn words(&self) -> Vec<String> {
        self.0.keys().map(|holder| holder.as_str().to_owned()).collect()
    }
}

/// What a resume is decided from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeInput {
    /// T.
    pub now_ms: Millis,
    /// When this hold began.
    pub paused_at_ms: Millis,
    /// For a daily cap: the D1 at which its cause ends.
    pub day_end_ms: Millis,
    /// End of the flight.
    pub flight_end_ms: Option<Millis>,
    /// Published bid, if bids are ours.
    pub bid_in_force_micros: Option<i64>,
    /// Bid in force at the same hour yesterday.
    pub bid_yesterday_micros: Option<i64>,
    /// For a runaway: times that it was resumed since a person last looked.
    pub runaway_resumes: i64,
    /// For a runaway: E, and with it what the last one cost in its fastest minutes.
    pub runaway_again_micros: i64,
    /// Most that the day may cost.
    pub ceiling_micros: i64,
}

/// Whether and how to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// The cause still holds, or the dwell time does.
    NotYet,
    /// The flight ends too soon to start again.
    FlightEnds,
    /// A person has to look first.
    Latched,
    /// What is left of the day's money would be gone before another runaway could be stopped.
    NoRoom,
    /// Resume, with this bid if bids are ours.
    With(Option<i64>),
}

/// A daily cap ends with the local day: the lower of yesterday's bid at this hour and the bid in force.
pub fn resume_daily_cap(input: &ResumeInput, settings: &Settings) -> Resume {
    let lower = match (input.bid_yesterday_micros.filter(|bid| *bid > 0), input.bid_in_force_micros) {
        (Some(yesterday), Some(in_force)) => Some(yesterday.min(in_force)),
        (_, in_force) => in_force,
    };
    when_due(input, input.day_end_ms, lower, settings)
}

/// A runaway's pause ends after a quarter of an hour with half the bid, once the day has room for another of its kind, which
/// is seen and stopped no sooner than this one was; the second time a person has to look.
pub fn resume_runaway(input: &ResumeInput, runaway: &Runaway, settings: &Settings) -> Resume {
    if input.runaway_resumes >= settings.runaway_resumes_max {
        return Resume::Latched;
    }
    let share_ppm = crate::arithmetic::ppm(runaway.resume_bid_share);
    let bid = input.bid_in_force_micros.map(|bid| crate::arithmetic::of_ppm(bid, share_ppm));
    match when_due(input, input.paused_at_ms.saturating_add(runaway.pause_ms), bid, settings) {
        Resume::With(_) if input.runaway_again_micros >= input.ceiling_micros => Resume::NoRoom,
        resume => resume,
    }
}

fn when_due(input: &ResumeInput, due_ms: Millis, bid: Option<i64>, settings: &Settings) -> Resume {
    let due_ms = due_ms.max(input.paused_at_ms.saturating_add(settings.dwell_ms));
    let too_late = |end: Millis| input.now_ms > end.saturating_sub(settings.flight_end_ms);
    if input.now_ms < due_ms {
        Resume::NotYet
    } else if input.flight_end_ms.is_some_and(too_late) {
        Resume::FlightEnds
    } else {
        Resume::With(bid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Millis = 60_000;

    #[test]
    fn only_the_last_holder_lets_go() {
        let mut holders = Holders::default();
        assert!(holders.hold(Holder::DailyCap, 1));
        assert!(!holders.hold(Holder::Person, 2) && !holders.hold(Holder::DailyCap, 3));
        assert_eq!(holders.since(Holder::DailyCap), Some(1));
        assert_eq!(holders.words(), ["person", "daily_cap"]);
        assert!(!holders.lift(Holder::DailyCap) && !holders.lift(Holder::Runaway));
        assert!(holders.is_paused() && holders.lift(Holder::Person) && !holders.is_paused());
        assert!(!Holder::Person.is_ours() && Holder::parse("daily_cap") == Some(Holder::DailyCap));
    }

    #[test]
    fn a_capped_day_resumes_with_the_lower_bid_when_the_next_begins() {
        let input = ResumeInput {
            now_ms: 1_000 * MINUTE,
            paused_at_ms: 900 * MINUTE,
            day_end_ms: 1_000 * MINUTE,
            bid_in_force_micros: Some(500),
            bid_yesterday_micros: Some(400),
            ..ResumeInput::default()
        };
        let resume = |input| resume_daily_cap(&input, &Settings::default());
        assert_eq!(resume(input), Resume::With(Some(400)));
        assert_eq!(resume(ResumeInput { bid_yesterday_micros: None, ..input }), Resume::With(Some(500)));
        assert_eq!(resume(ResumeInput { now_ms: 1_000 * MINUTE - 1, ..input }), Resume::NotYet);
        assert_eq!(resume(ResumeInput { paused_at_ms: 990 * MINUTE, ..input }), Resume::NotYet);
        assert_eq!(resume(ResumeInput { flight_end_ms: Some(1_029 * MINUTE), ..input }), Resume::FlightEnds);
        assert_eq!(resume(ResumeInput { flight_end_ms: Some(1_030 * MINUTE), ..input }), Resume::With(Some(400)));
    }

    #[test]
    fn a_runaway_resumes_once_at_half_the_bid() {
        let input = ResumeInput {
            now_ms: 15 * MINUTE,
            bid_in_force_micros: Some(501),
            runaway_again_micros: 99,
            ceiling_micros: 100,
            ..ResumeInput::default()
        };
        let resume = |input| resume_runaway(&input, &Runaway::default(), &Settings::default());
        assert_eq!(resume(input), Resume::With(Some(250)));
        assert_eq!(resume(ResumeInput { now_ms: 14 * MINUTE, ..input }), Resume::NotYet);
        assert_eq!(resume(ResumeInput { runaway_resumes: 1, ..input }), Resume::Latched);
        assert_eq!(resume(ResumeInput { runaway_again_micros: 100, ..input }), Resume::NoRoom);
    }
}
