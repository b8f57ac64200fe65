//! Dead letters of the last cut: what their topic lacks comes, what it has does not come again.
//!
//! They are part of the cut's transaction, and a torn one may have left them out where journal and cuts are whole. What
//! was refused follows from the record and the cut's clock alone, so no state is needed to find it again.

use super::context::Context;
use super::cut::{CutWriter, DeadLetter};
use super::evidence::Cut;
use super::policy_feed::PolicyFeed;
use super::rebuild;
use crate::commands::dead_letters::origin;
use crate::failure::Outcome;
use kafka_io::{From, LogReader, TopicPartition, Until};
use model::fact::ControlTopic;
use model::journal::{CopiedFact, Epoch, Range};
use model::time::{MINUTE_MS, Millis};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(25);
/// Offsets of a dead-letter partition that are looked at first: the last cut's letters are nearly always among them.
const TAIL: i64 = 1_000;
/// Clocks of workers and brokers may differ by minutes.
const CLOCK_SLACK_MS: Millis = 5 * MINUTE_MS;

/// Topic, partition and offset of a refused record.
pub type Origin = (String, i32, i64);

/// What the last cut of a sibling set refused and the dead-letter topic lacks.
pub fn lacking_of_siblings(
    context: &Context,
    writer: &CutWriter,
    policy: &PolicyFeed,
    epoch: &Epoch,
) -> Outcome<Vec<DeadLetter>> {
    let counts = [&epoch.impressions, &epoch.clicks, &epoch.conversions];
    let refused = counts.iter().map(|counts| counts.rejected.max(0) as usize).sum();
    let cut = Cut::of_epoch(epoch);
    if refused == 0 || told(context, &cut, refused)?.len() >= refused {
        return Ok(Vec::new());
    }
    let mut reader = context.reader("takeover", PATIENCE)?;
    for range in &cut.ranges {
        let (low, _) = reader.watermarks(&range.topic, range.partition)?;
        if low > range.from {
            tracing::warn!(
                topic = range.topic,
                partition = range.partition,
                "dead letters of the last cut are missing, and so are the events that they came from: nothing to write again"
            );
            return Ok(Vec::new());
        }
    }
    let mut dead = rebuild::refused_by(context, writer, policy, &mut reader, epoch.partition, &cut)?;
    keep_lacking(context, &cut, &mut dead)?;
    Ok(dead)
}

/// What a cut took from a control partition: facts, and what does not decode and the dead-letter topic lacks.
pub fn copied(
    context: &Context,
    writer: &CutWriter,
    reader: &mut LogReader,
    cut: &Cut,
) -> Outcome<(Vec<CopiedFact>, Vec<DeadLetter>)> {
    let (mut facts, mut dead) = (Vec::new(), Vec::new());
    for range in &cut.ranges {
        let topics = &context.settings.topics;
        let Some(topic) = ControlTopic::ALL.into_iter().find(|topic| topics.control(*topic) == range.topic) else {
            continue;
        };
        let place = TopicPartition::new(range.topic.as_str(), range.partition);
        let (low, _) = reader.watermarks(&range.topic, range.partition)?;
        if range.from.max(low) >= range.to {
            continue;
        }
        let (from, until) = (From::Offset(range.from.max(low)), Until::Offset(range.to));
        reader.read(&range.topic, range.partition, from, until, |record| {
            let Some(payload) = record.payload else { return ControlFlow::Continue(()) };
            let (offset, at) = (record.offset, record.timestamp_ms);
            match context.codec.fact(topic, payload) {
                Ok(fact) => facts.push(CopiedFact {
                    topic: range.topic.clone(),
                    partition: range.partition,
                    offset,
                    timestamp: at,
                    record: fact,
                }),
                Err(rejected) => {
                    let (reason, detail) = (rejected.reason.as_str(), rejected.detail);
                    dead.push(writer.dead_letter(&place, offset, at, record.key, Some(payload), reason, detail));
                }
            }
            ControlFlow::Continue(())
        })?;
    }
    keep_lacking(context, cut, &mut dead)?;
    Ok((facts, dead))
}

/// Leaves those that the dead-letter topic does not tell of.
pub fn keep_lacking(context: &Context, cut: &Cut, dead: &mut Vec<DeadLetter>) -> Outcome {
    if !dead.is_empty() {
        let told = told(context, cut, dead.len())?;
        dead.retain(|letter| !told.contains(&letter.origin));
    }
    Ok(())
}

/// Records of a cut that the dead-letter topic tells of: read from its end, and, where fewer than `wanted` are there, from
/// the time when the cut was opened. What retention took since comes again, which harms nobody.
fn told(context: &Context, cut: &Cut, wanted: usize) -> Outcome<BTreeSet<Origin>> {
    let topic = &context.settings.topics.dead_letters;
    let mut reader = context.reader("takeover", PATIENCE)?;
    let mut found = BTreeSet::new();
    // The demo's broker cannot look up offsets by time.
    let all = if context.clock.stamps_records() { From::Earliest } else { From::Time(cut.clock - CLOCK_SLACK_MS) };
    for is_tail in [true, false] {
        for partition in 0..context.topology.dead_letter_partitions {
            let (low, high) = reader.watermarks(topic, partition)?;
            let from = if is_tail { From::Offset((high - TAIL).max(low)) } else { all };
            reader.read(topic, partition, from, Until::StableEnd, |record| {
                found.extend(origin(&record).filter(|origin| holds(&cut.ranges, origin)));
                ControlFlow::Continue(())
            })?;
        }
        if found.len() >= wanted {
            break;
        }
    }
    Ok(found)
}

fn holds(ranges: &[Range], (topic, partition, offset): &Origin) -> bool {
    let is_in = |range: &Range| range.topic == *topic && range.partition == *partition;
    ranges.iter().any(|range| is_in(range) && (range.from..range.to).contains(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_belongs_to_the_cut_that_covers_its_origin() {
        let ranges = [Range { topic: "clicks".into(), partition: 2, from: 5, to: 9, ..Range::default() }];
        let of = |topic: &str, partition, offset| holds(&ranges, &(topic.to_owned(), partition, offset));
        assert!(of("clicks", 2, 5) && of("clicks", 2, 8));
        assert!(!of("clicks", 2, 9) && !of("clicks", 2, 4) && !of("clicks", 1, 5) && !of("impressions", 2, 5));
    }
}
