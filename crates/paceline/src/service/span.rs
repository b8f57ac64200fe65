//! What one transaction of decisions covers, said in the transaction itself.
//!
//! A journal record without outputs leaves no trace on the output topics, so their last records alone cannot tell a
//! topic that lacks something from one that had nothing to say. Each transaction therefore names, for each journal
//! partition, the offsets that it covers and, for each topic that it writes, the last offset with an output there: in a
//! header of every record, and in the metadata of the committed position. Whichever part of a torn transaction is left,
//! it tells what the whole was.

use replay::OutputTopic;
use std::collections::BTreeMap;

/// The header that carries it.
pub const SPAN_HEADER: &str = "paceline-span";

/// The journal offsets of one partition that a transaction covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first applied.
    pub from: i64,
    /// The last applied.
    pub to: i64,
    /// The last one with an output, by topic.
    pub last: BTreeMap<OutputTopic, i64>,
}

impl Span {
    /// Covers one offset.
    pub fn of(offset: i64) -> Self {
        Self { from: offset, to: offset, last: BTreeMap::new() }
    }

    /// Covers nothing, before an offset.
    pub fn at_rest(next: i64) -> Self {
        Self { from: next, to: next.saturating_sub(1), last: BTreeMap::new() }
    }

    /// Takes an output that was decided at an offset.
    pub fn note(&mut self, topic: OutputTopic, offset: i64) {
        let last = self.last.entry(topic).or_insert(offset);
        *last = (*last).max(offset);
    }

    /// As header and metadata have it.
    pub fn text(&self) -> String {
        let mut text = format!("from={};to={}", self.from, self.to);
        for (topic, last) in &self.last {
            text.push_str(&format!(";{}={last}", word(*topic)));
        }
        text
    }

    /// Reads it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut from, mut to, mut last) = (None, None, BTreeMap::new());
        for part in text.split(';') {
            let (name, offset) = part.split_once('=')?;
            let offset: i64 = offset.parse().ok()?;
            match name {
                "from" => from = Some(offset),
                "to" => to = Some(offset),
                // A topic that a later release adds is none of ours.
                _ => last.extend(OutputTopic::ALL.into_iter().find(|topic| word(*topic) == name).map(|t| (t, offset))),
            }
        }
        Some(Self { from: from?, to: to?, last })
    }
}

fn word(topic: OutputTopic) -> &'static str {
    match topic {
        OutputTopic::Adjustments => "adjustments",
        OutputTopic::Proposals => "proposals",
        OutputTopic::DesiredState => "desired_state",
        OutputTopic::Alerts => "alerts",
        OutputTopic::Kpis => "kpis",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_as_it_was_written_and_nothing_else_is() {
        let mut span = Span::of(7);
        span.to = 19;
        assert_eq!(Span::parse(&span.text()), Some(span.clone()));
        span.note(OutputTopic::Kpis, 12);
        span.note(OutputTopic::Kpis, 9);
        span.note(OutputTopic::DesiredState, 19);
        assert_eq!(span.text(), "from=7;to=19;desired_state=19;kpis=12");
        assert_eq!(Span::parse(&span.text()), Some(span.clone()));
        assert_eq!(Span::parse(&format!("{};weather=3", span.text())), Some(span), "a topic of a later release");
        for text in ["", "clock=5", "from=1", "from=1;to=x", "from=1;to"] {
            assert_eq!(Span::parse(text), None, "{text:?}");
        }
    }
}
