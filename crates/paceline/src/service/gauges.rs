//! What one committed cut means for the metrics, and what is left of partitions that were given away: nothing.

use crate::telemetry::{Metrics, event_word};
use aggregator::Counters;
use kafka_io::TopicPartition;
use model::event::EventKind;
use model::journal::{Epoch, EpochCounts, NO_WATERMARK};
use std::collections::BTreeMap;

/// Adds a cut to the metrics, once it is committed.
pub fn cut(
    metrics: &Metrics,
    epochs: &[Epoch],
    counters: &Counters,
    records_of: [u64; 3],
    dead: &BTreeMap<(String, &'static str), u64>,
    facts: &BTreeMap<String, u64>,
) {
    for kind in EventKind::ALL {
        let word = event_word(kind);
        metrics.events_consumed.with_label_values(&[word]).inc_by(records_of[kind.index()]);
        let sum = |of: fn(&EpochCounts) -> i64| epochs.iter().map(|epoch| of(counts(epoch, kind)).max(0) as u64).sum();
        metrics.duplicates.with_label_values(&[word]).inc_by(sum(|counts| counts.duplicate));
        metrics.late.with_label_values(&[word]).inc_by(sum(|counts| counts.late));
        metrics.evicted.with_label_values(&[word]).inc_by(sum(|counts| counts.evicted));
    }
    for ((topic, reason), count) in dead {
        metrics.rejected.with_label_values(&[topic.as_str(), reason]).inc_by(*count);
        metrics.dead_letters.with_label_values(&[topic.as_str()]).inc_by(*count);
    }
    for (topic, count) in facts {
        metrics.facts.with_label_values(&[topic.as_str()]).inc_by(*count);
    }
    for range in epochs.iter().flat_map(|epoch| &epoch.ranges) {
        let labels = [range.topic.as_str(), &range.partition.to_string()];
        metrics.idle.with_label_values(&labels).set(i64::from(range.idle));
        if range.watermark != NO_WATERMARK {
            metrics.watermark.with_label_values(&labels).set(range.watermark as f64 / 1e3);
        }
    }
    if let Some(least) = epochs.iter().map(|epoch| epoch.watermark).filter(|w| *w != NO_WATERMARK).min() {
        let clock = epochs.iter().map(|epoch| epoch.clock).max().unwrap_or(least);
        metrics.watermark_delay.set((clock - least).max(0) as f64 / 1e3);
    }
    for (what, count) in [
        ("touches_late", counters.touches_late),
        ("touches_spilled_out", counters.touches_spilled_out),
        ("values_merged", counters.values_merged),
        ("clicks_without_values", counters.clicks_without_values),
        ("touches_unnamed", counters.touches_unnamed),
        ("users_evicted", counters.users_evicted),
        ("clicks_evicted", counters.clicks_evicted),
        ("clicks_of_user_evicted", counters.clicks_of_user_evicted),
        ("conversions_credited", counters.conversions_credited),
        ("conversions_unmatched", counters.conversions_unmatched),
        ("conversions_waited", counters.conversions_waited),
        ("conversions_crowded", counters.conversions_crowded),
        ("misplaced", counters.misplaced.iter().sum()),
        ("dedupe_unknown", counters.dedupe_unknown.iter().sum()),
    ] {
        metrics.stage1_events.with_label_values(&[what]).inc_by(count.max(0) as u64);
    }
}

/// Removes what was told of partitions that are no longer ours: their new owner tells it now.
pub fn forget(metrics: &Metrics, places: &[TopicPartition]) {
    for place in places {
        let partition = place.partition.to_string();
        let labels = [&*place.topic, partition.as_str()];
        // Where a partition has told nothing yet there is nothing to remove.
        let _ = metrics.idle.remove_label_values(&labels);
        let _ = metrics.watermark.remove_label_values(&labels);
        let _ = metrics.lag_records.remove_label_values(&labels);
        let _ = metrics.journal_applied.remove_label_values(&labels[1..]);
    }
}

fn counts(epoch: &Epoch, kind: EventKind) -> &EpochCounts {
    match kind {
        EventKind::Impression => &epoch.impressions,
        EventKind::Click => &epoch.clicks,
        EventKind::Conversion => &epoch.conversions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::journal::Range;

    #[test]
    fn a_partition_that_was_given_away_leaves_no_series() {
        let metrics = Metrics::new();
        let range = |partition| Range {
            topic: "ads.clicks".into(),
            partition,
            from: 0,
            to: 5,
            watermark: 1_000,
            idle: true,
            epoch: 1,
        };
        let epoch = Epoch { ranges: vec![range(0), range(1)], ..Epoch::default() };
        cut(&metrics, &[epoch], &Counters::default(), [0; 3], &BTreeMap::new(), &BTreeMap::new());
        metrics.lag_records.with_label_values(&["ads.clicks", "0"]).set(7);
        metrics.journal_applied.with_label_values(&["0"]).set(7.0);
        let of = |partition: i32| {
            metrics.text().lines().filter(|line| line.contains(&format!("partition=\"{partition}\""))).count()
        };
        assert_eq!((of(0), of(1)), (4, 2));
        forget(&metrics, &[TopicPartition::new("ads.clicks", 0)]);
        assert_eq!((of(0), of(1)), (0, 2));
    }
}
