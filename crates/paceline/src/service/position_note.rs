//! What stage 1 writes beside each position that it commits.

use model::time::Millis;

/// Words beside a committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionNote {
    /// Clock of the cut that committed it: where in the journal to look.
    pub clock: Millis,
    /// Partitions that each event topic had; `None` in notes of builds that did not say it.
    pub event_partitions: Option<i32>,
}

impl PositionNote {
    /// As it stands in the group's metadata.
    pub fn text(&self) -> String {
        let partitions = self.event_partitions.map(|partitions| format!(" {PARTITIONS}{partitions}"));
        format!("{CLOCK}{}{}", self.clock, partitions.unwrap_or_default())
    }

    /// `None` where these are not our words.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let clock = words.next()?.strip_prefix(CLOCK)?.parse().ok()?;
        let event_partitions = words.find_map(|word| word.strip_prefix(PARTITIONS)?.parse().ok());
        Some(Self { clock, event_partitions })
    }
}

const CLOCK: &str = "clock=";
const PARTITIONS: &str = "event_partitions=";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_one_of_an_older_build_as_far_as_it_goes() {
        let note = PositionNote { clock: 1_700, event_partitions: Some(4) };
        assert_eq!(PositionNote::parse(&note.text()), Some(note));
        assert_eq!(PositionNote::parse("clock=5"), Some(PositionNote { clock: 5, event_partitions: None }));
        assert_eq!(PositionNote::parse("clock=x event_partitions=4"), None);
        assert_eq!(PositionNote::parse(""), None);
    }
}
