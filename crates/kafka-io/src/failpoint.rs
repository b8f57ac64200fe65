//! Exact spots at which a test lets the process die; always compiled, inert unless named.
//!
//! `after_send_offsets:17` dies at the 17th pass of that spot, as a kill -9 would: no destructor runs, nothing is
//! flushed. The names below are passed by the committer; the service may pass names of its own.

use crate::fault::{Error, Fault};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All records of the transaction are delivered.
pub const AFTER_PRODUCE: &str = "after_produce";
/// The positions belong to the transaction.
pub const AFTER_SEND_OFFSETS: &str = "after_send_offsets";
/// The commit is on its way.
pub const DURING_COMMIT: &str = "during_commit";
/// The commit is acknowledged, and nobody knows yet.
pub const AFTER_COMMIT: &str = "after_commit";

/// A torn cut is found and not emitted again: shows that a checker would see it if that defence were missing.
pub const WITHOUT_REPAIR: &str = "without_repair";

/// The environment variable that names a spot and a pass.
pub const VARIABLE: &str = "PACELINE_FAILPOINT";

/// Which spot ends the process, and at which pass.
#[derive(Clone, Debug, Default)]
pub struct Failpoints(Option<Arc<Armed>>);

#[derive(Debug)]
struct Armed {
    name: String,
    passes_left: AtomicU64,
}

impl Failpoints {
    /// None: every pass is free.
    pub fn none() -> Failpoints {
        Failpoints(None)
    }

    /// As the environment says; a text that cannot be read is an error, so that no test passes by a slip of the pen.
    pub fn from_environment() -> Result<Failpoints, Error> {
        std::env::var(VARIABLE).map_or(Ok(Failpoints::none()), |text| Failpoints::read(&text))
    }

    /// `name` or `name:pass`, counted from 1.
    pub fn read(text: &str) -> Result<Failpoints, Error> {
        let (name, pass) = text.split_once(':').unwrap_or((text, "1"));
        let passes = pass.parse::<u64>().ok().filter(|pass| *pass > 0 && !name.is_empty());
        let passes_left = passes.ok_or_else(|| {
            Error::new(Fault::Settings, "reading the failpoint", format!("{text:?} is not of the form name:pass"))
        })?;
        Ok(Failpoints(Some(Arc::new(Armed { name: name.to_owned(), passes_left: passes_left.into() }))))
    }

    /// Passes a spot; does not return at the armed one's turn.
    pub fn pass(&self, name: &str) {
        if self.is_due(name) {
            eprintln!("failpoint {name}: the process ends here");
            std::process::abort();
        }
    }

    /// Counts a pass and says whether its turn has come: for spots that leave something out instead of ending.
    pub fn is_due(&self, name: &str) -> bool {
        self.0
            .as_ref()
            .is_some_and(|armed| armed.name == name && armed.passes_left.fetch_sub(1, Ordering::Relaxed) == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spot_is_due_at_its_pass_and_never_again() {
        let points = Failpoints::read("after_commit:3").unwrap();
        let due: Vec<bool> = (0..5).map(|_| points.is_due(AFTER_COMMIT)).collect();
        assert_eq!(due, [false, false, true, false, false]);
        assert!(!points.is_due(AFTER_PRODUCE));
    }

    #[test]
    fn nothing_is_due_unless_armed_and_a_slip_is_an_error() {
        assert!(!Failpoints::none().is_due(AFTER_COMMIT));
        for text in ["", ":3", "after_commit:", "after_commit:0", "after_commit:x"] {
            assert!(Failpoints::read(text).is_err(), "{text}");
        }
    }
}
