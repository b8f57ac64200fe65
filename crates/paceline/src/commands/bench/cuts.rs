//! What the service says of its own progress: one Epoch record a cut and partition, stamped by the broker.
//!
//! The rate is taken from these stamps, so that measuring it costs the service nothing and does not depend on how
//! often somebody looks.

use crate::failure::Outcome;
use avro_codec::Codec;
use kafka_io::{From, LogReader, Until};
use model::journal::Epoch;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A cut that brought events, as its record lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The worker's clock when the cut was opened; the same for all partitions of a cut.
    pub clock: i64,
    /// The broker's stamp of the record.
    pub stamp_ms: i64,
    /// Records read for it.
    pub events: u64,
}

impl Cut {
    fn of(epoch: &Epoch, stamp_ms: i64) -> Self {
        let events = epoch.ranges.iter().map(|range| range.to.saturating_sub(range.from).max(0) as u64).sum();
        Cut { clock: epoch.clock, stamp_ms, events }
    }
}

/// All cuts so far; goes on where it stopped.
pub struct CutLog {
    topic: String,
    next_offsets: Vec<i64>,
    cuts: Vec<Cut>,
}

impl CutLog {
    /// Begins at the oldest record of a topic that was made for this run.
    pub fn new(topic: &str, partitions: i32) -> Self {
        Self { topic: topic.to_owned(), next_offsets: vec![0; partitions.max(0) as usize], cuts: Vec::new() }
    }

    /// Reads what was committed since.
    pub fn read(&mut self, reader: &mut LogReader, codec: &Codec) -> Outcome {
        for (partition, next_offset) in self.next_offsets.iter_mut().enumerate() {
            let cuts = &mut self.cuts;
            let from = From::Offset(*next_offset);
            let report = reader.read(&self.topic, partition as i32, from, Until::StableEnd, |record| {
                if let Ok(epoch) = codec.epoch(record.payload.unwrap_or_default()) {
                    cuts.push(Cut::of(&epoch, record.timestamp_ms));
                }
                ControlFlow::Continue(())
            })?;
            *next_offset = report.next_offset;
        }
        Ok(())
    }

    /// Records that all cuts so far have read.
    pub fn events(&self) -> u64 {
        self.cuts.iter().map(|cut| cut.events).sum()
    }

    /// The cuts themselves.
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }
}

/// Events per second from the stamp of the first cut with events to the stamp of the last, or to `decided_ms` where stage 2
/// had everything later; what the first cut held was read before its stamp and does not count. `None` where there are
/// not two cuts at different times.
pub fn events_per_second(cuts: &[Cut], decided_ms: Option<i64>) -> Option<f64> {
    let with_events = || cuts.iter().filter(|cut| cut.events > 0);
    let first_clock = with_events().map(|cut| cut.clock).min()?;
    let (first, rest): (Vec<&Cut>, Vec<&Cut>) = with_events().partition(|cut| cut.clock == first_clock);
    let began = first.iter().map(|cut| cut.stamp_ms).max()?;
    let ended = rest.iter().map(|cut| cut.stamp_ms).chain(decided_ms).max().filter(|_| !rest.is_empty())?;
    let events: u64 = rest.iter().map(|cut| cut.events).sum();
    (ended > began).then(|| events as f64 * 1_000.0 / (ended - began) as f64)
}

/// Milliseconds since the first cut with events and the events of each cut, in order: where in a run the time goes.
pub fn course(cuts: &[Cut]) -> Vec<(i64, u64)> {
    let mut course: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
    for cut in cuts.iter().filter(|cut| cut.events > 0) {
        let row = course.entry(cut.clock).or_default();
        *row = (row.0.max(cut.stamp_ms), row.1 + cut.events);
    }
    let began = course.values().map(|(stamp_ms, _)| *stamp_ms).min().unwrap_or(0);
    course.into_values().map(|(stamp_ms, events)| (stamp_ms - began, events)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(clock: i64, stamp_ms: i64, events: u64) -> Cut {
        Cut { clock, stamp_ms, events }
    }

    #[test]
    fn the_rate_begins_after_the_first_cut_that_held_events() {
        let cuts = [cut(1, 1_000, 0), cut(2, 2_000, 900), cut(2, 2_010, 900), cut(3, 2_510, 500), cut(4, 3_010, 500)];
        assert_eq!(events_per_second(&cuts, None), Some(1_000.0));
        assert_eq!(events_per_second(&cuts, Some(2_900)), Some(1_000.0), "stage 2 kept up");
        assert_eq!(events_per_second(&cuts, Some(4_010)), Some(500.0), "stage 2 came later");
    }

    #[test]
    fn the_course_has_a_row_for_each_cut_of_all_partitions() {
        let cuts = [cut(1, 1_000, 0), cut(2, 2_000, 900), cut(3, 2_510, 500), cut(2, 2_010, 900), cut(3, 2_500, 1)];
        assert_eq!(course(&cuts), [(0, 1_800), (500, 501)]);
    }

    #[test]
    fn empty_cuts_at_the_end_do_not_slow_the_rate() {
        let cuts = [cut(1, 1_000, 10), cut(2, 1_500, 50), cut(3, 9_000, 0)];
        assert_eq!(events_per_second(&cuts, None), Some(100.0));
    }

    #[test]
    fn one_cut_alone_has_no_rate() {
        assert_eq!(events_per_second(&[cut(1, 1_000, 10), cut(1, 1_005, 10)], Some(2_000)), None);
        assert_eq!(events_per_second(&[], Some(2_000)), None);
    }
}
