//! Which word on a halt counts, where words come late.
//!
//! A halt that was given while the broker was away waits in a file of its machine, and may reach the journal after a
//! release that a person gave later. What always holds: the last word in the journal counts, except a halt that is
//! older than the release before it by more than [`SKEW_MS`] and was that long on its way: that one is told and changes
//! nothing. So no halt is lost to a clock that is wrong by less, and one that is in doubt stops.

use model::fact::Halt;
use model::time::{MINUTE_MS, Millis};
use serde::{Deserialize, Serialize};

/// How far the clocks of machines may be apart. Halts that waited for less come back after a release: better than the
/// other way about.
pub const SKEW_MS: Millis = 10 * MINUTE_MS;

/// The last word on a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWord {
    /// Timestamp of its record.
    pub written_at: Millis,
    /// When it was said, where it is a release.
    pub released_at: Option<Millis>,
}

/// What a word on a halt is to who knows the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It counts.
    News,
    /// A copy of one that is known or superseded.
    Copy,
    /// A halt that came after its own release.
    Outdated,
}

impl LastWord {
    /// Takes the next word of the journal.
    pub fn hear(known: &mut Option<LastWord>, halt: &Halt, written_at: Millis, is_copy: bool) -> Heard {
        if is_copy && known.is_some_and(|known| known.written_at >= written_at) {
            return Heard::Copy;
        }
        if known.is_some_and(|known| known.released_at.is_some_and(|at| is_outdated(halt, written_at, at))) {
            return Heard::Outdated;
        }
        let released_at = (halt.action == "release").then_some(halt.issued_at);
        let written_at = known.map_or(written_at, |known| known.written_at.max(written_at));
        *known = Some(LastWord { written_at, released_at });
        Heard::News
    }
}

/// Whether a word on a halt, written at `written_at`, is older than the release of `released_at` that stands before it.
pub fn is_outdated(halt: &Halt, written_at: Millis, released_at: Millis) -> bool {
    // Who does not say when it was said is heard.
    let is_dated = halt.issued_at > 0;
    let before = |later: Millis| later.saturating_sub(halt.issued_at) > SKEW_MS;
    halt.action == "set" && is_dated && before(released_at) && before(written_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Millis = 1_795_348_800_000;

    fn word(action: &str, issued_at: Millis) -> Halt {
        Halt { action: action.into(), issued_at, ..Halt::default() }
    }

    #[test]
    fn a_halt_that_waited_longer_than_its_release_changes_nothing_and_a_newer_one_counts() {
        let mut known = None;
        let mut hear = |halt: &Halt, at| LastWord::hear(&mut known, halt, at, false);
        assert_eq!(hear(&word("release", NOON), NOON), Heard::News);
        assert_eq!(hear(&word("set", NOON - SKEW_MS - 1), NOON + 5), Heard::Outdated);
        // A clock that goes wrong by ten minutes loses nobody's halt, nor does one that says no time.
        assert_eq!(hear(&word("set", NOON - SKEW_MS), NOON + 6), Heard::News);
        assert_eq!(hear(&word("release", NOON + 9), NOON + 9), Heard::News);
        assert_eq!(hear(&word("set", 0), NOON + 10), Heard::News);
        // After a halt an older one says the same.
        assert_eq!(hear(&word("set", NOON - 2 * SKEW_MS), NOON + 11), Heard::News);
    }

    #[test]
    fn a_halt_that_was_written_as_it_was_said_counts_whatever_the_clock_of_the_release_said() {
        let mut known = None;
        assert_eq!(LastWord::hear(&mut known, &word("release", NOON + 3 * SKEW_MS), NOON, false), Heard::News);
        assert_eq!(LastWord::hear(&mut known, &word("set", NOON + 1), NOON + 2, false), Heard::News);
    }

    #[test]
    fn copies_of_known_words_are_void() {
        let mut known = None;
        let mut hear = |action, at| LastWord::hear(&mut known, &word(action, at), at, true);
        assert_eq!(hear("set", 7), Heard::News);
        assert_eq!(hear("set", 7), Heard::Copy);
        assert_eq!(hear("release", 8), Heard::News);
        assert_eq!(hear("set", 7), Heard::Copy);
    }
}
