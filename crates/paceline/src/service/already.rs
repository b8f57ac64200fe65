//! What an earlier life has committed on the output topics, by the journal offset that each record names.
//!
//! What always holds: where a topic holds an offset's outputs they are facts, and nothing is published there again;
//! where the last transaction was torn, its [`Span`] tells which topics lack what, and only those get it.

use super::context::Context;
use super::span::{SPAN_HEADER, Span};
use crate::failure::Outcome;
use controller::{Holds, LoggedDecision};
use kafka_io::{From, LogReader, Record, Until};
use model::time::{DAY_MS, MINUTE_MS, Millis};
use replay::OutputTopic;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Where no snapshot says since when, rows are read for so long: they are by far the most, and decide nothing.
const ROWS_WITHOUT_SNAPSHOT_MS: Millis = 8 * DAY_MS;
/// Broker clocks may differ by minutes.
const CLOCK_SLACK_MS: Millis = 5 * MINUTE_MS;

/// The decision log of one partition.
#[derive(Default)]
pub struct Already {
    /// Where reading starts at least.
    pub starts_at: i64,
    decisions: BTreeMap<i64, Vec<LoggedDecision>>,
    /// Decisions on a journal that is no more: its offsets say nothing of this one's.
    anchors: Vec<LoggedDecision>,
    /// The last offset that each topic names.
    last: BTreeMap<OutputTopic, i64>,
    /// Of the newest transaction.
    span: Option<Span>,
    /// The log speaks up to here.
    reach: Option<i64>,
    torn: Option<Torn>,
}

/// What one topic holds.
#[derive(Default)]
struct Found {
    anchors: Vec<LoggedDecision>,
    decisions: Vec<(i64, LoggedDecision)>,
    last: Option<i64>,
    span: Option<Span>,
}

impl Found {
    fn note(&mut self, offset: i64, span: impl FnOnce() -> Option<Span>, decision: Option<LoggedDecision>) {
        if self.last.is_some_and(|last| offset < last) {
            // Offsets begin again: the journal was replaced.
            self.disown();
        }
        if self.last.is_none_or(|last| last < offset) {
            // All records of a transaction carry the same.
            self.span = span();
        }
        self.last = Some(offset);
        self.decisions.extend(decision.map(|decision| (offset, decision)));
    }

    /// What was noted so far speaks of another journal.
    fn disown(&mut self) {
        self.anchors.extend(std::mem::take(&mut self.decisions).into_iter().map(|(_, decision)| decision));
        (self.last, self.span) = (None, None);
    }
}

/// The last transaction reached some topics only.
struct Torn {
    from: i64,
    /// Up to where a topic that lacks something is complete.
    complete_to: BTreeMap<OutputTopic, i64>,
}

/// What the log says of a journal offset.
pub enum Word<'a> {
    /// Nothing yet: it is to be decided.
    Silent,
    /// All of it.
    Whole(&'a [LoggedDecision]),
    /// Some topics hold it and others do not.
    Torn(&'a [LoggedDecision], Holds),
}

impl Already {
    /// What the log says of a journal offset.
    pub fn word(&self, offset: i64) -> Word<'_> {
        if self.reach.is_none_or(|reach| offset > reach) {
            return Word::Silent;
        }
        let decisions = self.at(offset);
        let Some(torn) = self.torn.as_ref().filter(|torn| offset >= torn.from) else { return Word::Whole(decisions) };
        let holds = |topic| torn.complete_to.get(&topic).is_none_or(|to| offset <= *to);
        if OutputTopic::ALL.into_iter().all(holds) {
            return Word::Whole(decisions);
        }
        let holds = Holds {
            adjustments: holds(OutputTopic::Adjustments),
            proposals: holds(OutputTopic::Proposals),
            desired: holds(OutputTopic::DesiredState),
            alerts: holds(OutputTopic::Alerts),
            kpis: holds(OutputTopic::Kpis),
        };
        Word::Torn(decisions, holds)
    }

    /// What was decided at an offset.
    pub fn at(&self, offset: i64) -> &[LoggedDecision] {
        self.decisions.get(&offset).map_or(&[][..], Vec::as_slice)
    }

    /// What was decided on journals before this one, and before an offset of this one, whose records are gone.
    pub fn anchors(&self, offset: i64) -> Vec<LoggedDecision> {
        let before = self.decisions.range(..offset).flat_map(|(_, decisions)| decisions.clone());
        self.anchors.iter().cloned().chain(before).collect()
    }

    /// Whether some topic speaks of a journal that is no more.
    pub fn is_of_another_journal(&self) -> bool {
        !self.anchors.is_empty()
    }

    /// First offset of a transaction that did not reach all its topics.
    pub fn torn_from(&self) -> Option<i64> {
        self.torn.as_ref().map(|torn| torn.from)
    }

    /// Topics that lack something.
    pub fn lacking(&self) -> Vec<OutputTopic> {
        self.torn.iter().flat_map(|torn| torn.complete_to.keys().copied()).collect()
    }

    /// Takes the log as it stands.
    pub fn leave_torn(&mut self) {
        self.torn = None;
    }

    /// Goes on from an offset: what lies before it was only needed for the replay.
    pub fn go_on_from(&mut self, offset: i64) {
        self.starts_at = offset;
        self.decisions = self.decisions.split_off(&offset);
    }

    /// Takes what one topic holds.
    fn take(&mut self, topic: OutputTopic, found: Found) {
        self.anchors.extend(found.anchors);
        let Some(last) = found.last else { return };
        self.last.insert(topic, last);
        self.learn(found.span);
        for (offset, decision) in found.decisions {
            self.decisions.entry(offset).or_default().push(decision);
        }
    }

    /// The newest span counts.
    fn learn(&mut self, found: Option<Span>) {
        let order = |span: &Span| (span.to, span.from);
        if found.as_ref().is_some_and(|found| self.span.as_ref().is_none_or(|known| order(known) < order(found))) {
            self.span = found;
        }
    }

    /// Decides, once all is read, how far the log speaks and which topics lack something.
    fn conclude(&mut self) {
        let last = self.last.values().copied().max();
        self.reach = last.max(self.span.as_ref().map(|span| span.to));
        let Some(span) = &self.span else { return };
        let known = |topic: OutputTopic| self.last.get(&topic).copied().unwrap_or(i64::MIN);
        let lacking = span.last.iter().filter(|(topic, last)| known(**topic) < **last);
        // What an earlier transaction brought stays, also where this one repeats its offsets.
        let complete_to: BTreeMap<OutputTopic, i64> =
            lacking.map(|(topic, _)| (*topic, known(*topic).max(span.from.saturating_sub(1)))).collect();
        self.torn = (!complete_to.is_empty()).then_some(Torn { from: span.from, complete_to });
    }
}

/// Reads the decision log of one partition, from a snapshot's time on. `committed` is the span that stands with the
/// committed position; nothing can have been decided at or after the journal's end.
pub fn read(
    context: &Context,
    reader: &mut LogReader,
    partition: i32,
    journal_end: i64,
    since: Option<Millis>,
    committed: Option<&Span>,
) -> Outcome<Already> {
    let mut already = Already::default();
    already.learn(committed.cloned());
    let by_time = |at: Millis| if context.clock.stamps_records() { From::Earliest } else { From::Time(at.max(0)) };
    let start = since.map_or(From::Earliest, |at| by_time(at - CLOCK_SLACK_MS));
    for topic in OutputTopic::ALL {
        let from = match (topic, since) {
            // Of rows only the last one's offset is asked.
            (OutputTopic::Kpis, None) => by_time(context.clock.now_ms() - ROWS_WITHOUT_SNAPSHOT_MS),
            _ => start,
        };
        already.take(topic, read_topic(context, reader, partition, journal_end, topic, from)?);
    }
    for topic in OutputTopic::ALL {
        let named = already.span.as_ref().and_then(|span| span.last.get(&topic)).copied();
        if let Some(named) = named.filter(|_| !already.last.contains_key(&topic)) {
            // It may be older than what was read; where retention has taken all, nothing tells that it was not there.
            already.take(topic, read_topic(context, reader, partition, journal_end, topic, From::Earliest)?);
            let (low, _) = reader.watermarks(context.settings.topics.output(topic), partition)?;
            if low > 0 {
                already.last.entry(topic).or_insert(named);
            }
        }
    }
    already.conclude();
    Ok(already)
}

fn read_topic(
    context: &Context,
    reader: &mut LogReader,
    partition: i32,
    journal_end: i64,
    topic: OutputTopic,
    from: From,
) -> Outcome<Found> {
    let mut found = Found::default();
    reader.read(context.settings.topics.output(topic), partition, from, Until::StableEnd, |record| {
        if let Some((offset, decision)) = logged(context, topic, &record) {
            found.note(offset, || span_of(&record), decision);
        }
        ControlFlow::Continue(())
    })?;
    if found.last.is_some_and(|last| last >= journal_end) {
        found.disown();
    }
    Ok(found)
}

fn span_of(record: &Record<'_>) -> Option<Span> {
    let headers = record.headers();
    let value = headers.iter().find(|(name, _)| *name == SPAN_HEADER).and_then(|(_, value)| *value)?;
    Span::parse(std::str::from_utf8(value).ok()?)
}

/// The journal offset that a record names, and the decision that it is; people see it in the read views.
fn logged(context: &Context, topic: OutputTopic, record: &Record<'_>) -> Option<(i64, Option<LoggedDecision>)> {
    let (codec, published) = (&context.codec, &context.published);
    let payload = record.payload.unwrap_or_default();
    if topic == OutputTopic::Kpis {
        let row = codec.kpi_row(payload).ok()?;
        published.put_row(&row);
        return Some((row.journal_offset, None));
    }
    let (offset, decision) = replay::logged(codec, topic, record.key.unwrap_or_default(), payload)?;
    match &decision {
        LoggedDecision::Alert(alert) => published.put_alert(alert),
        LoggedDecision::Adjustment(command) => published.put_adjustment(command),
        LoggedDecision::Proposal(command) => published.put_proposal(command),
        LoggedDecision::Desired(..) => {}
    }
    Some((offset, Some(decision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log whose topics end at these offsets, with the span of its newest transaction.
    fn log(last: &[(OutputTopic, i64)], span: Option<&str>) -> Already {
        let mut already = Already::default();
        for (topic, offset) in last {
            already.take(*topic, Found { last: Some(*offset), ..Found::default() });
        }
        already.learn(span.and_then(Span::parse));
        already.conclude();
        already
    }

    fn word(already: &Already, offset: i64) -> String {
        match already.word(offset) {
            Word::Silent => "silent".into(),
            Word::Whole(_) => "whole".into(),
            Word::Torn(_, holds) => format!("{}{}", u8::from(holds.adjustments), u8::from(holds.kpis)),
        }
    }

    #[test]
    fn a_topic_with_nothing_to_say_lacks_nothing() {
        let log = log(&[(OutputTopic::Kpis, 57), (OutputTopic::Adjustments, 3)], Some("from=50;to=60;kpis=57"));
        assert_eq!(log.torn_from(), None);
        assert_eq!([49, 57, 60, 61].map(|offset| word(&log, offset)), ["whole", "whole", "whole", "silent"]);
    }

    #[test]
    fn a_torn_transaction_is_mended_from_its_beginning_and_only_where_it_lacks() {
        let span = "from=50;to=60;adjustments=55;kpis=57";
        let commands_lack = log(&[(OutputTopic::Kpis, 57), (OutputTopic::Adjustments, 3)], Some(span));
        assert_eq!(commands_lack.torn_from(), Some(50));
        assert_eq!([49, 50, 60, 61].map(|at| word(&commands_lack, at)), ["whole", "01", "01", "silent"]);
        let rows_lack = log(&[(OutputTopic::Kpis, 44), (OutputTopic::Adjustments, 55)], Some(span));
        assert_eq!([49, 50, 60, 61].map(|at| word(&rows_lack, at)), ["whole", "10", "10", "silent"]);
    }

    #[test]
    fn a_repair_that_was_torn_repeats_nothing_of_what_was_there() {
        // The first attempt brought commands up to 55, the second rows, and more commands that did not arrive.
        let span = "from=50;to=70;adjustments=66;kpis=69";
        let log = log(&[(OutputTopic::Kpis, 69), (OutputTopic::Adjustments, 55)], Some(span));
        assert_eq!([50, 55, 56, 70, 71].map(|at| word(&log, at)), ["whole", "whole", "01", "01", "silent"]);
    }

    #[test]
    fn decisions_on_a_journal_that_was_replaced_are_anchors_and_say_nothing_of_this_one() {
        let decision = |key: &str| Some(LoggedDecision::Desired(key.into(), Box::default()));
        let mut found = Found::default();
        for (offset, key) in [(900, "a"), (950, "b"), (3, "c"), (5, "a")] {
            found.note(offset, || None, decision(key));
        }
        let mut already = Already::default();
        already.take(OutputTopic::DesiredState, found);
        already.conclude();
        assert!(already.is_of_another_journal());
        assert_eq!((already.anchors(4).len(), already.at(5).len()), (3, 1));
        assert_eq!([5, 6, 900].map(|offset| word(&already, offset)), ["whole", "silent", "silent"]);
    }

    #[test]
    fn a_log_without_spans_speaks_as_far_as_any_topic_does() {
        let log = log(&[(OutputTopic::Kpis, 57), (OutputTopic::Adjustments, 3)], None);
        assert_eq!([57, 58].map(|offset| word(&log, offset)), ["whole", "silent"]);
    }
}
