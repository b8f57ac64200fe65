//! Day-parting: the hours of the week in which a campaign may run.
//!
//! A text of 168 marks from Monday 00:00: `1`, `x`, `X` or `#` is open; `0`, `.`, `-` or `_` is closed; blanks and line
//! ends between marks are allowed, so that a week can be written as seven lines.

use super::HOURS_OF_WEEK;
use std::fmt;

/// One mark for each hour of the week.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OpenHours([bool; HOURS_OF_WEEK]);

/// What is wrong with a text of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOpenHours {
    /// Not 168 marks.
    Length(usize),
    /// A sign that is no mark.
    Sign(char),
}

impl OpenHours {
    /// Open all week.
    pub const ALWAYS: OpenHours = OpenHours([true; HOURS_OF_WEEK]);

    /// Reads the marks.
    pub fn parse(marks: &str) -> Result<OpenHours, BadOpenHours> {
        let mut open = [false; HOURS_OF_WEEK];
        let mut count = 0;
        for sign in marks.chars().filter(|sign| !sign.is_whitespace()) {
            let is_open = match sign {
                '1' | 'x' | 'X' | '#' => true,
                '0' | '.' | '-' | '_' => false,
                other => return Err(BadOpenHours::Sign(other)),
            };
            if let Some(mark) = open.get_mut(count) {
                *mark = is_open;
            }
            count += 1;
        }
        if count == HOURS_OF_WEEK { Ok(OpenHours(open)) } else { Err(BadOpenHours::Length(count)) }
    }

    /// Whether the hour of the week is open.
    pub fn is_open(&self, hour_of_week: usize) -> bool {
        self.0.get(hour_of_week).copied().unwrap_or(false)
    }
}

impl fmt::Debug for OpenHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenHours({} of 168)", self.0.iter().filter(|open| **open).count())
    }
}

impl fmt::Display for BadOpenHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadOpenHours::Length(n) => write!(f, "open_hours has {n} marks, but a week has 168 hours"),
            BadOpenHours::Sign(sign) => write!(f, "open_hours has the sign {sign:?}; use 1 for open and 0 for closed"),
        }
    }
}

impl std::error::Error for BadOpenHours {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn office_hours_are_open_and_nights_are_closed() {
        let day = format!("{}{}{}\n", ".".repeat(8), "x".repeat(10), ".".repeat(6));
        let hours = OpenHours::parse(&day.repeat(7)).unwrap();
        assert_eq!(
            [7, 8, 17, 18, 24 + 8, 167, 999].map(|h| hours.is_open(h)),
            [false, true, true, false, true, false, false]
        );
        assert_eq!(OpenHours::parse("1"), Err(BadOpenHours::Length(1)));
        assert_eq!(OpenHours::parse("1?"), Err(BadOpenHours::Sign('?')));
    }
}
