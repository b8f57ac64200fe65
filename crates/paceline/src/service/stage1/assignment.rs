//! A rebalance: taking partitions over, keeping those that stay, parting from the rest.

use super::{OpenEpoch, OwnedControl, Source, Stage1, no_committer, start_committer};
use crate::failure::{Failure, Kind, Outcome};
use crate::service::context::Context;
use crate::service::gauges;
use crate::service::sibling::{OwnedSet, Sibling};
use crate::service::takeover::{self, Owned};
use crate::service::topology;
use kafka_io::{Life, TopicPartition};
use model::event::EventKind;
use std::collections::BTreeMap;
use std::time::Instant;

/// What health hears of a take-over.
const DOING: &str = "taking over partitions";

impl Stage1 {
    pub(super) fn live(&mut self, life: Life) -> Outcome {
        match life {
            Life::Assigned(places) => {
                self.context.metrics.rebalances.with_label_values(&["assigned"]).inc();
                self.take_over(places)
            }
            Life::Revoked(places) => {
                self.context.metrics.rebalances.with_label_values(&["revoked"]).inc();
                tracing::info!(partitions = places.len(), "assignment revoked: draining");
                self.drain()?;
                self.recopy.forget();
                let metrics = &self.context.metrics;
                gauges::forget(metrics, &places);
                metrics.assigned_partitions.set(0);
                metrics.paused_partitions.set(0);
                metrics.watermark_delay.set(0.0);
                // Controls hold nothing that is worth keeping: they are taken over anew from their committed positions.
                self.parked = std::mem::take(&mut self.sets);
                self.controls.clear();
                Ok(self.consumer.release()?)
            }
            Life::Lost(_) => Err(Failure::new(
                Kind::TryLater,
                "the group gave this worker's partitions away: for longer than the session it was not heard, because no broker \
                 answered or because it hung",
                "start it again; it takes up from the journal",
            )),
            Life::Failed(failure) if failure.is_fatal || !failure.error.fault.may_pass() => Err(failure.error.into()),
            Life::Failed(failure) => {
                tracing::warn!(error = %failure.error, "consumer trouble");
                Ok(())
            }
        }
    }

    fn take_over(&mut self, places: Vec<TopicPartition>) -> Outcome {
        let started = Instant::now();
        self.refuse_growth(&places)?;
        // Two epochs of one source never share a clock, also where the predecessor's machine was ahead of ours.
        let mut last_clock_ms = self.epoch.clock_ms;
        self.context.enter("restoring");
        self.context.progress.begin(DOING, places.len());
        if self.committer.is_none() {
            self.committer = Some(start_committer(&self.context, "aggregator", &self.consumer)?);
        }
        let (partitions, controls, incomplete) = self.sort_places(&places);
        self.waits_for_siblings = incomplete;
        let mut kept_sets = std::mem::take(&mut self.parked);
        let mut controls_of = BTreeMap::new();
        kept_sets.retain(|partition, _| partitions.contains(partition));
        // A generation can pass without a word to us, and others may have cut these sources since.
        for (partition, epoch) in kept_sets.iter().map(|(p, owned)| (*p, owned.set.epoch())).collect::<Vec<_>>() {
            if !takeover::is_untouched(&self.context, partition, epoch)? {
                kept_sets.remove(&partition);
            }
        }
        let new_sets: Vec<i32> = partitions.iter().copied().filter(|p| !kept_sets.contains_key(p)).collect();
        if !new_sets.is_empty() || !controls.is_empty() {
            self.context.progress.begin(DOING, new_sets.len() + controls.len());
            let committer = self.committer.as_mut().ok_or_else(no_committer)?;
            let found: Owned = takeover::take_over(
                &self.context,
                &self.threads,
                committer,
                &self.writer,
                &self.policy,
                &new_sets,
                &controls,
            )?;
            last_clock_ms = last_clock_ms.max(found.last_clock_ms);
            self.adopt(found, &mut kept_sets, &mut controls_of);
        }
        (self.sets, self.controls) = (kept_sets, controls_of);
        let now_ms = self.context.clock.now_ms();
        let mut starts = Vec::new();
        for owned in self.sets.values_mut() {
            for sibling in &mut owned.siblings {
                *sibling = Sibling::new(sibling.place.clone(), sibling.next, now_ms);
                starts.push((sibling.place.clone(), sibling.next));
            }
        }
        starts.extend(self.controls.values().map(|control| (control.place.clone(), control.next)));
        self.context.metrics.assigned_partitions.set(starts.len() as i64);
        if self.context.accept_loss {
            takeover::skip_lost(&self.context, &mut self.sets, &mut self.controls, &mut starts)?;
        }
        self.consumer.begin(starts)?;
        self.epoch = OpenEpoch::new(now_ms.max(last_clock_ms));
        let took = started.elapsed();
        self.context.metrics.restore_seconds.set(took.as_secs_f64());
        if self.sets.values().any(|owned| owned.set.epoch() == 0) {
            // The first cut has no records: it adopts the policy in force before anything is judged by it.
            self.cut(true)?;
        }
        tracing::info!(
            sets = self.sets.len(),
            controls = self.controls.len(),
            took_ms = took.as_millis() as u64,
            "partitions taken over"
        );
        self.context.progress.end();
        self.context.enter("running");
        Ok(())
    }

    /// The client hears of new partitions while it runs; what a start refuses is refused then too.
    fn refuse_growth(&self, places: &[TopicPartition]) -> Outcome {
        let is_event = |place: &&TopicPartition| {
            let source = self.consumer.source_of(place);
            source.is_some_and(|source| matches!(self.sources[source], Source::Event(_)))
        };
        let Context { settings, topology, .. } = &self.context;
        let found = places.iter().filter(is_event).map(|place| place.partition + 1).max().unwrap_or(0);
        if found > topology.event_partitions {
            return Err(topology::grown(settings, topology.event_partitions, found));
        }
        Ok(())
    }

    /// Splits an assignment into complete sibling sets and control partitions, and says which sets are incomplete.
    fn sort_places(&self, places: &[TopicPartition]) -> (Vec<i32>, Vec<(usize, TopicPartition)>, Option<String>) {
        let mut siblings: BTreeMap<i32, usize> = BTreeMap::new();
        let mut controls = Vec::new();
        for place in places {
            match self.consumer.source_of(place).map(|source| (source, self.sources[source])) {
                Some((_, Source::Event(_))) => *siblings.entry(place.partition).or_default() += 1,
                Some((source, Source::Control(_))) => controls.push((source, place.clone())),
                None => {}
            }
        }
        let torn: Vec<String> = siblings.iter().filter(|(_, count)| **count < 3).map(|(p, _)| p.to_string()).collect();
        let incomplete = (!torn.is_empty()).then(|| {
            format!(
                "partitions {} of impressions, clicks and conversions are not all assigned here: they are not read",
                torn.join(", ")
            )
        });
        if let Some(words) = &incomplete {
            tracing::error!("{words}");
        }
        (siblings.into_iter().filter(|(_, count)| *count == 3).map(|(p, _)| p).collect(), controls, incomplete)
    }

    fn adopt(
        &self,
        found: Owned,
        sets: &mut BTreeMap<i32, OwnedSet>,
        controls: &mut BTreeMap<(usize, i32), OwnedControl>,
    ) {
        let now_ms = self.context.clock.now_ms();
        for set in found.sets {
            let partition = set.0;
            let places =
                EventKind::ALL.map(|kind| TopicPartition::new(self.context.settings.topics.event(kind), partition));
            sets.insert(partition, OwnedSet::new(set.1, places, now_ms));
        }
        for (source, control) in found.controls {
            controls.insert((source, control.place.partition), control);
        }
    }
}
