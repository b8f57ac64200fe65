//! How a command ends: one sentence for a person and an exit code for a script.
//!
//! Exit codes are part of the contract: 1 failed, 2 wrong arguments, 3 a difference found, 75 may pass by itself (try again later),
//! 78 a person must change something.

use std::fmt;

/// Why a command did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// The arguments cannot be understood together, or one of them cannot.
    Usage,
    /// A comparison found a difference.
    Difference,
    /// Broker or registry away, port in use: the same call may succeed later.
    TryLater,
    /// Asked to stop before it was done; the service ends as after any other stop.
    Stopped,
    /// Configuration, missing topic, unequal partition counts, refused credentials.
    Setup,
}

impl Kind {
    /// The process exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Difference => 3,
            Kind::TryLater | Kind::Stopped => 75,
            Kind::Setup => 78,
        }
    }
}

/// What failed, why, and what to do about it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What was being done, where, and why it failed; lowercase, no full stop.
    pub what: String,
    /// Where there are several things to mend: each by itself, with its place.
    pub mistakes: Vec<String>,
    /// The next step for the person who reads it.
    pub advice: String,
}

impl Failure {
    /// A failure with its advice.
    pub fn new(kind: Kind, what: impl fmt::Display, advice: impl fmt::Display) -> Self {
        Self { kind, what: what.to_string(), mistakes: Vec::new(), advice: advice.to_string() }
    }

    /// A failure that a person must mend.
    pub fn setup(what: impl fmt::Display, advice: impl fmt::Display) -> Self {
        Self::new(Kind::Setup, what, advice)
    }

    /// The same with a list of what is to mend.
    pub fn listing(self, mistakes: Vec<String>) -> Self {
        Self { mistakes, ..self }
    }

    /// Arguments that make no sense.
    pub fn usage(what: impl fmt::Display, advice: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, what, advice)
    }

    /// A failure of the attempt itself.
    pub fn failed(what: impl fmt::Display, advice: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, what, advice)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        for (at, mistake) in self.mistakes.iter().enumerate() {
            write!(f, "{}\n  - {}", if at == 0 { ":" } else { "" }, mistake.trim_end().replace('\n', "\n    "))?;
        }
        match (self.advice.is_empty(), self.mistakes.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => write!(f, "; {}", self.advice),
            (false, false) => write!(f, "\nwhat to do: {}", self.advice),
        }
    }
}

impl std::error::Error for Failure {}

/// The result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_one_sentence_with_its_advice() {
        let failure = Failure::setup("the topic x does not exist", "create it");
        assert_eq!(failure.to_string(), "the topic x does not exist; create it");
    }

    #[test]
    fn several_things_have_a_line_each_and_the_advice_its_own() {
        let failure =
            Failure::setup("two mistakes", "correct them").listing(vec!["a: 1\n  ^ here\n".into(), "b".into()]);
        assert_eq!(failure.to_string(), "two mistakes:\n  - a: 1\n      ^ here\n  - b\nwhat to do: correct them");
    }
}
