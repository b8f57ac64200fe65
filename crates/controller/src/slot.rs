//! One value of a campaign: what we asked for, what was confirmed, what somebody else set.
//!
//! What always holds: a value is confirmed only by an answer or a read-back; what was issued and not answered may or may
//! not be in force, and [`Slot::assumed`] says which of the two decisions must reckon with.

use model::fact::Ack;
use model::time::{DAY_MS, Millis};
use policy::anomaly::{FoundEvidence, ValueMismatch};
use policy::settings::Anomaly;
use serde::{Deserialize, Serialize};

/// The life of one value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// What the ad-buying system has said that it has.
    pub confirmed: Option<i64>,
    /// Sequence of the last confirmed command, 0 before the first.
    pub confirmed_sequence: i64,
    /// When it said so.
    pub confirmed_at: Option<Millis>,
    /// Issued and not answered.
    pub pending: Option<Issued>,
    /// The last issued command, answered or not.
    pub last: Option<Issued>,
    /// What was last observed or proposed, where nothing may be issued, and when.
    pub shown: Option<(i64, Millis)>,
    /// When somebody else's value was found.
    pub override_at: Option<Millis>,
    /// Issued changes of the last day: when, from, to.
    pub moves: Vec<Move>,
    /// Earlier commands that may still be answered.
    earlier: Vec<Issued>,
    /// Of those that found no room there: highest value, last sequence, last instant to apply one.
    crowded: Option<(i64, i64, Millis)>,
}

/// An issued value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Id of the command.
    pub command_id: String,
    /// Its sequence.
    pub sequence: i64,
    /// The value.
    pub value: i64,
    /// When.
    pub issued_at: Millis,
    /// Last instant to apply it.
    pub expires_at: Millis,
    /// What holds after the lease, and from when without one: raises only.
    pub fallback: Option<(i64, Millis)>,
}

/// An issued change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// When.
    pub at: Millis,
    /// Value before, as assumed then.
    pub from: i64,
    /// Value asked for.
    pub to: i64,
}

/// What an acknowledgement meant to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is about another value.
    NotMine,
    /// In force, so long after it was issued.
    Applied(Millis),
    /// Not applied: rejected, expired, superseded, deferred.
    Refused,
    /// Not applied, and the value found is somebody else's.
    Foreign,
}

/// Value of a state lever that is paused.
const PAUSED: i64 = 0;
/// Answers to older commands than these tell nothing any more.
const EARLIER_MAX: usize = 4;

impl Slot {
    /// The value to reckon with: the unanswered one, else the confirmed one.
    pub fn assumed(&self) -> Option<i64> {
        self.pending.as_ref().map(|pending| pending.value).or(self.confirmed)
    }

    /// The highest value that may be in force or may still come to be: what was confirmed, or `given` before that, and
    /// whatever was issued and neither overtaken by a later command that is in force nor found missing once its time was over.
    pub fn highest(&self, given: i64) -> i64 {
        let issued = self.pending.iter().chain(&self.earlier);
        let issued = issued.map(|issued| (issued.value, issued.sequence, issued.expires_at)).chain(self.crowded);
        let open = issued.filter(|issued| self.may_still_be(*issued)).map(|(value, ..)| value);
        open.fold(self.confirmed.unwrap_or(given), i64::max)
    }

    /// Whether what was issued may be in force, or may still be applied.
    fn may_still_be(&self, (_, sequence, expires_at): (i64, i64, Millis)) -> bool {
        sequence > self.confirmed_sequence && self.confirmed_at.is_none_or(|at| at <= expires_at)
    }

    /// Takes an issued value; `true` if it replaces one that nobody answered. `given` is what held before anything was
    /// ever asked for.
    pub fn issue(&mut self, issued: Issued, given: Option<i64>) -> bool {
        let from = self.assumed().or(given);
        self.moves.retain(|known| known.at > issued.issued_at.saturating_sub(DAY_MS + DAY_MS / 12));
        if let Some(from) = from.filter(|from| *from != issued.value) {
            self.moves.push(Move { at: issued.issued_at, from, to: issued.value });
        }
        self.last = Some(issued.clone());
        let before = self.pending.replace(issued);
        let unanswered = before.is_some();
        before.into_iter().for_each(|before| self.remember(before));
        unanswered
    }

    fn remember(&mut self, issued: Issued) {
        self.earlier.push(issued);
        let excess = self.earlier.len().saturating_sub(EARLIER_MAX);
        let old: Vec<Issued> = self.earlier.drain(..excess).collect();
        let old = old.iter().map(|old| (old.value, old.sequence, old.expires_at));
        let open = self.crowded.into_iter().chain(old).filter(|issued| self.may_still_be(*issued));
        self.crowded = open.reduce(|one, other| (one.0.max(other.0), one.1.max(other.1), one.2.max(other.2)));
    }

    /// Takes an acknowledgement.
    pub fn answer(&mut self, ack: &Ack, now: Millis, settings: &Anomaly) -> Answer {
        let pending = self.pending.clone().filter(|pending| pending.command_id == ack.command_id);
        let earlier = self.earlier.iter().find(|issued| issued.command_id == ack.command_id).cloned();
        let Some(issued) = pending.clone().or(earlier) else { return Answer::NotMine };
        match ack.result.as_str() {
            "applied" if issued.sequence >= self.confirmed_sequence => {
                self.confirm(issued.value, issued.sequence, now);
                if pending.is_some() {
                    self.pending = None;
                }
                Answer::Applied(applied_after(ack, issued.issued_at, now))
            }
            "conflict" => {
                let found = ack.found_value_micros;
                let by_us = Some(ack.actor == "paceline").filter(|ours| *ours);
                let foreign = found.is_some_and(|found| self.found(found, now, now, by_us, settings));
                self.forget_pending(&issued);
                if foreign { Answer::Foreign } else { Answer::Refused }
            }
            // It may yet come into force, and is answered again then.
            "deferred" => {
                if let Some(pending) = self.pending.take_if(|pending| pending.command_id == issued.command_id) {
                    self.remember(pending);
                }
                Answer::Refused
            }
            _ => {
                self.forget_pending(&issued);
                self.earlier.retain(|known| known.command_id != issued.command_id);
                Answer::Refused
            }
        }
    }

    /// Takes a value that was read back; `true` if it is somebody else's.
    pub fn found(&mut self, value: i64, at: Millis, now: Millis, by_us: Option<bool>, settings: &Anomaly) -> bool {
        let Some(confirmed) = self.confirmed else {
            // Before the first confirmation anything found is where we start from.
            let ours = self.pending.clone().filter(|pending| pending.value == value);
            self.confirm(value, ours.as_ref().map_or(0, |pending| pending.sequence), at);
            self.pending = self.pending.take().filter(|_| ours.is_none());
            return false;
        };
        let near = |issued: &Issued| !ValueMismatch::is_foreign(&evidence(value, issued.value, None, None), settings);
        if let Some(ours) = self.pending.iter().chain(self.earlier.iter().rev()).find(|issued| near(issued)).cloned() {
            if ours.sequence >= self.confirmed_sequence && value != confirmed {
                self.confirm(ours.value, ours.sequence, at);
                self.forget_pending(&ours);
            } else if value == confirmed {
                self.confirmed_at = Some(at);
            }
            return false;
        }
        let pending = self.pending.as_ref().map(|pending| pending.value);
        let foreign = ValueMismatch::is_foreign(&evidence(value, confirmed, pending, by_us), settings);
        if foreign {
            self.override_at = Some(now);
            self.pending = None;
            self.last = None;
        }
        if foreign || by_us == Some(true) {
            self.confirmed = Some(value);
        }
        self.confirmed_at = Some(at);
        foreign
    }

    /// Takes a value that was read back where somebody else sets it.
    pub fn follow(&mut self, value: i64, at: Millis) {
        self.confirm(value, 0, at);
        self.override_at = None;
    }

    /// Whether the lease of a raise has run out.
    pub fn is_over(&self, lease: (Option<Millis>, i64), now: Millis) -> bool {
        self.ends_at(lease).is_some_and(|end| now > end)
    }

    /// When a raise that lives here ends, where nothing keeps it longer.
    pub fn ends_at(&self, lease: (Option<Millis>, i64)) -> Option<Millis> {
        self.last.as_ref().and_then(|last| lease_end(last, lease))
    }

    /// Goes back to the fallback once the lease has run out; `true` if it did.
    pub fn lapse(&mut self, lease: (Option<Millis>, i64), now: Millis) -> bool {
        if !self.is_over(lease, now) {
            return false;
        }
        let Some((fallback, _)) = self.last.as_ref().and_then(|last| last.fallback) else { return false };
        let from = self.assumed();
        // A raise that never came into force leaves the confirmed value where it was.
        self.confirmed = Some(self.confirmed.map_or(fallback, |confirmed| confirmed.min(fallback)));
        self.pending = None;
        if let Some(from) = from.filter(|from| *from != fallback) {
            self.moves.push(Move { at: now, from, to: fallback });
        }
        if let Some(last) = &mut self.last {
            last.fallback = None;
            last.value = fallback;
        }
        true
    }

    /// Value at an instant of the last day, by the issued changes.
    pub fn value_at(&self, at: Millis) -> Option<i64> {
        self.moves.iter().find(|known| known.at >= at).map(|known| known.from).or(self.assumed())
    }

    /// Lowest value since an instant of the last day, by the issued changes.
    pub fn lowest_since(&self, since: Millis) -> Option<i64> {
        let before = self.moves.iter().filter(|known| known.at >= since).map(|known| known.from);
        before.chain(self.assumed()).min()
    }

    /// Whether the last command of a state lever is a pause that nobody answered within `limit_ms`, or that was answered
    /// and is not in force. One that has run out is asked for no more: a day's pause that came too late for its day is
    /// rightly refused, and must not hold back the next day's resume. Where it is still wanted another one follows.
    pub fn is_pause_ignored(&self, now: Millis, limit_ms: Millis) -> bool {
        self.last.as_ref().is_some_and(|last| now < last.expires_at) && self.is_pause_unheard(now, limit_ms)
    }

    /// The same, whether or not that command may still be applied.
    pub fn is_pause_unheard(&self, now: Millis, limit_ms: Millis) -> bool {
        let asked = self.last.as_ref().is_some_and(|last| last.value == PAUSED);
        let waited = self.pending.as_ref().is_none_or(|pending| now.saturating_sub(pending.issued_at) >= limit_ms);
        asked && self.confirmed != Some(PAUSED) && waited
    }

    /// When the last command was issued.
    pub fn issued_at(&self) -> Option<Millis> {
        self.last.as_ref().map(|last| last.issued_at)
    }

    /// Whether a raise lives here that ends without a lease.
    pub fn is_leased(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.fallback.is_some())
    }

    fn confirm(&mut self, value: i64, sequence: i64, at: Millis) {
        self.confirmed = Some(value);
        self.confirmed_sequence = self.confirmed_sequence.max(sequence);
        self.confirmed_at = Some(at);
    }

    fn forget_pending(&mut self, issued: &Issued) {
        if self.pending.as_ref().is_some_and(|pending| pending.sequence <= issued.sequence) {
            self.pending = None;
        }
    }
}

/// How long after a command it was applied, by what its answer says where that can be: neither before the command nor after
/// the answer was heard. Another clock, or another unit, would make the hard stop wait for millennia.
pub fn applied_after(ack: &Ack, issued_at: Millis, now: Millis) -> Millis {
    let said = ack.applied_at.filter(|at| (issued_at..=now).contains(at));
    said.unwrap_or(now).saturating_sub(issued_at).max(0)
}

/// Until when a raise lives: by its own word, or by a lease (until when, up to which sequence) that covers it.
pub fn lease_end(issued: &Issued, (until, sequence): (Option<Millis>, i64)) -> Option<Millis> {
    let (_, own) = issued.fallback?;
    let covered = until.filter(|_| issued.sequence <= sequence);
    Some(covered.map_or(own, |until| until.max(own)))
}

fn evidence(found: i64, confirmed: i64, pending: Option<i64>, by_us: Option<bool>) -> FoundEvidence {
    FoundEvidence { found_micros: found, confirmed_micros: confirmed, pending_micros: pending, by_us }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(sequence: i64, value: i64) -> Issued {
        Issued { command_id: format!("c{sequence}"), sequence, value, issued_at: sequence * 1_000, ..Issued::default() }
    }

    fn ack(sequence: i64, result: &str, found: Option<i64>) -> Ack {
        Ack { command_id: format!("c{sequence}"), result: result.into(), found_value_micros: found, ..Ack::default() }
    }

    fn answered(slot: &mut Slot, ack: &Ack) -> Answer {
        slot.answer(ack, 9_000, &Anomaly::default())
    }

    #[test]
    fn a_value_is_confirmed_by_its_answer_and_not_before() {
        let mut slot = Slot::default();
        assert!(!slot.issue(issued(1, 100), None));
        assert_eq!((slot.confirmed, slot.assumed()), (None, Some(100)));
        assert_eq!(answered(&mut slot, &ack(1, "applied", None)), Answer::Applied(8_000));
        assert_eq!((slot.confirmed, slot.confirmed_sequence, slot.pending.is_none()), (Some(100), 1, true));
        assert_eq!(answered(&mut slot, &ack(7, "applied", None)), Answer::NotMine);
    }

    #[test]
    fn an_instant_that_cannot_be_is_not_believed() {
        let after = |applied_at| applied_after(&Ack { applied_at, ..ack(1, "applied", None) }, 1_000, 9_000);
        assert_eq!([None, Some(1_500), Some(9_000)].map(after), [8_000, 500, 8_000]);
        let microseconds_and_seconds = [Some(1_500_000), Some(i64::MAX), Some(1), Some(i64::MIN)];
        assert_eq!(microseconds_and_seconds.map(after), [8_000; 4]);
    }

    #[test]
    fn a_pause_that_nobody_obeys_is_told_until_it_runs_out() {
        let mut slot = Slot::default();
        slot.issue(issued(1, 1_000_000), None);
        answered(&mut slot, &ack(1, "applied", None));
        slot.issue(Issued { expires_at: 50_000, ..issued(2, PAUSED) }, None);
        answered(&mut slot, &ack(2, "rejected", None));
        assert!(slot.is_pause_ignored(49_999, 0));
        assert!(!slot.is_pause_ignored(50_000, 0), "its day is over");
    }

    #[test]
    fn a_late_answer_to_an_earlier_command_leaves_the_newer_one_pending() {
        let mut slot = Slot::default();
        slot.issue(issued(1, 100), None);
        assert!(slot.issue(issued(2, 200), None), "nobody answered the first");
        answered(&mut slot, &ack(1, "applied", None));
        assert_eq!((slot.confirmed, slot.assumed()), (Some(100), Some(200)));
        answered(&mut slot, &ack(2, "applied", None));
        answered(&mut slot, &ack(1, "applied", None));
        assert_eq!((slot.confirmed, slot.confirmed_sequence), (Some(200), 2), "an old answer comes again");
    }

    #[test]
    fn what_may_be_in_force_counts_until_it_is_overtaken_or_found_missing_after_its_time() {
        let settings = Anomaly::default();
        let mut slot = Slot::default();
        slot.issue(issued(1, 100), None);
        answered(&mut slot, &ack(1, "applied", None));
        let raise = |sequence: i64, value: i64| Issued { expires_at: 50_000, ..issued(sequence, value) };
        slot.issue(raise(2, 130), None);
        slot.issue(raise(3, 90), None);
        assert_eq!((slot.highest(0), slot.assumed()), (130, Some(90)), "the first may have been applied");
        assert!(!slot.found(100, 49_000, 49_000, None, &settings));
        assert_eq!(slot.highest(0), 130, "it may still be applied");
        assert!(!slot.found(100, 51_000, 51_000, None, &settings));
        assert_eq!(slot.highest(0), 100);
        slot.issue(Issued { expires_at: 90_000, ..issued(60, 150) }, None);
        slot.issue(Issued { expires_at: 90_000, ..issued(61, 110) }, None);
        answered(&mut slot, &ack(61, "applied", None));
        assert_eq!(slot.highest(0), 110, "a later one is in force: an older one is not applied any more");
        for sequence in 62..70 {
            slot.issue(Issued { expires_at: 200_000, ..issued(sequence, 200 - sequence) }, None);
        }
        assert_eq!(slot.highest(0), 138, "whatever finds no room still counts");
    }

    #[test]
    fn what_is_put_off_may_still_come_and_is_told_then() {
        let mut slot = Slot::default();
        slot.issue(Issued { expires_at: 90_000, ..issued(1, 100) }, None);
        assert_eq!(answered(&mut slot, &ack(1, "deferred", None)), Answer::Refused);
        assert_eq!((slot.pending.is_none(), slot.highest(80)), (true, 100));
        assert_eq!(answered(&mut slot, &ack(1, "applied", None)), Answer::Applied(8_000));
        assert_eq!(slot.confirmed, Some(100));
    }

    #[test]
    fn a_conflict_with_our_own_lost_command_is_no_override() {
        let mut slot = Slot::default();
        slot.issue(issued(1, 100), None);
        answered(&mut slot, &ack(1, "applied", None));
        slot.issue(issued(2, 120), None);
        slot.issue(issued(3, 125), None);
        assert_eq!(answered(&mut slot, &ack(3, "conflict", Some(120))), Answer::Refused);
        assert_eq!((slot.confirmed, slot.confirmed_sequence, slot.override_at), (Some(120), 2, None));
        slot.issue(issued(4, 130), None);
        assert_eq!(answered(&mut slot, &ack(4, "conflict", Some(77))), Answer::Foreign);
        assert_eq!((slot.confirmed, slot.override_at, slot.pending.is_none()), (Some(77), Some(9_000), true));
    }
}
