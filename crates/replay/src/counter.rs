//! Counts what one partition's replay leads to, record by record, into figures.
//!
//! What always holds: the state is looked at at fixed instants of virtual time; nothing here moves it.

use crate::extent::Extent;
use crate::figures::{Begun, Experiment, Figures, Name, SAMPLE_MS, Span};
use crate::replayer::Replayer;
use controller::{ExperimentNow, Granularity, Outputs};
use model::output::{Alert, KpiRow};
use model::time::{HOUR_MS, Millis};

/// Counts one partition.
#[derive(Debug, Default)]
pub struct Counter {
    figures: Figures,
    span: Span,
    extent: Extent,
    sampled: Millis,
    hour: Millis,
    /// The last sample is taken.
    has_ended: bool,
}

impl Counter {
    /// Counts what is decided within `extent`.
    pub fn new(partition: i32, extent: Extent, begun: Begun) -> Self {
        let span = Span { partition, from_offset: i64::MAX, begun, ..Span::default() };
        Self { span, extent, sampled: Millis::MIN, hour: Millis::MIN, has_ended: false, figures: Figures::default() }
    }

    /// Whether what is decided at this record is reported on.
    pub fn counts(&self, offset: i64, now: Millis) -> bool {
        self.extent.holds(now) && self.extent.from_offset.is_none_or(|from| offset >= from)
    }

    /// A record that was read.
    pub fn read(&mut self, offset: i64, now: Millis, deltas: usize, facts: usize, lag_records: i64) {
        let counts = self.counts(offset, now);
        let span = &mut self.span;
        span.from_offset = span.from_offset.min(offset);
        span.next_offset = offset.saturating_add(1);
        span.records += 1;
        span.deltas += deltas as u64;
        span.facts += facts as u64;
        if counts {
            span.first_ms = span.first_ms.or(Some(now));
            span.last_ms = Some(span.last_ms.map_or(now, |last| last.max(now)));
            self.figures.quality.lag_records_max = self.figures.quality.lag_records_max.max(lag_records);
        }
    }

    /// What the record led to.
    pub fn decided(&mut self, now: Millis, outputs: &Outputs, replayer: &Replayer) {
        let figures = &mut self.figures;
        *figures.policy_versions.entry(replayer.view().policy_version()).or_default() += 1;
        let extent = &self.extent;
        let commands = outputs.adjustments.iter().filter(|command| extent.tells(&command.account_id));
        commands.for_each(|command| figures.command(command));
        for proposal in outputs.proposals.iter().filter(|proposal| extent.tells(&proposal.account_id)) {
            let campaign = figures.campaign(&proposal.account_id, &proposal.campaign_id);
            *campaign.proposals.entry(proposal.state.clone()).or_default() += 1;
        }
        let alerts = outputs.alerts.iter().filter(|alert| tells_alert(extent, alert));
        alerts.for_each(|alert| figures.alert(alert));
        self.closed(outputs);
        self.sample(now, replayer);
    }

    /// Looks at the state at fixed instants of virtual time.
    fn sample(&mut self, now: Millis, replayer: &Replayer) {
        let slot = now.div_euclid(SAMPLE_MS) * SAMPLE_MS;
        if slot != self.sampled {
            self.sampled = slot;
            self.plan(slot, replayer);
        }
        let hour = now.div_euclid(HOUR_MS) * HOUR_MS;
        if hour != self.hour {
            self.hour = hour;
            let names: Vec<Name> = self.figures.campaigns.keys().cloned().collect();
            for (account, campaign) in names {
                for why in replayer.view().why(&account, &campaign) {
                    let word = format!("{}: {}", why.lever, why.reason);
                    *self.figures.campaign(&account, &campaign).nothing.entry(word).or_default() += 1;
                }
            }
        }
    }

    fn plan(&mut self, slot: Millis, replayer: &Replayer) {
        for day in replayer.view().days_now() {
            let Some((planned, whole)) = day.planned_by_now_micros.zip(day.planned_micros) else { continue };
            if !self.extent.tells(day.account_id) {
                continue;
            }
            self.figures.campaign(day.account_id, day.campaign_id).plans.insert(day.start, whole);
            let samples = match self.figures.samples.get_mut(day.currency) {
                Some(samples) => samples,
                None => self.figures.samples.entry(day.currency.to_owned()).or_default(),
            };
            let sample = samples.entry(slot).or_default();
            sample.spend_micros = sample.spend_micros.saturating_add(day.spend_micros);
            sample.planned_micros = sample.planned_micros.saturating_add(planned);
            sample.whole_micros = sample.whole_micros.saturating_add(whole);
        }
    }

    /// The last instant that was decided at: spend beside its plan, once more.
    pub fn ends(&mut self, replayer: &Replayer) {
        if self.span.last_ms.is_some() && !self.has_ended {
            self.has_ended = true;
            self.plan(replayer.view().now(), replayer);
        }
    }

    /// Rows alone: of windows that are told, whenever they are closed or restated.
    pub fn closed(&mut self, outputs: &Outputs) {
        let told = outputs.kpis.iter().filter(|row| tells_row(&self.extent, row));
        told.for_each(|row| self.figures.row(row, false));
    }

    /// The end of the partition: open windows are taken as they stand.
    pub fn finish(mut self, replayer: &Replayer) -> Figures {
        let view = replayer.view();
        self.ends(replayer);
        for summary in view.campaigns().filter(|summary| self.extent.tells(&summary.account_id)) {
            let (account, campaign) = (&summary.account_id, &summary.campaign_id);
            for granularity in [Granularity::Hour, Granularity::Day] {
                for row in view.kpis(account, campaign, granularity) {
                    if tells_row(&self.extent, &row) && self.figures.misses(&row) {
                        self.figures.row(&row, true);
                    }
                }
            }
            let campaign = self.figures.campaign(account, campaign);
            for (start, plan) in &campaign.plans {
                // A row of a day that closed after the next one was planned does not say its plan.
                if let Some(day) = campaign.days.get_mut(start) {
                    day.plan_micros = day.plan_micros.or(Some(*plan));
                }
            }
            campaign.spec = summary.spec;
        }
        let (rows, refused) = view.quarantine_counts();
        let quality = &mut self.figures.quality;
        quality.counters = view.counters();
        quality.quarantined_rows = rows as u64;
        quality.refused_by_quarantine = refused;
        quality.integrity_holds = u64::from(view.integrity_hold().is_some());
        quality.answers_set_aside = replayer.answers_set_aside();
        // Under another policy days would have been tossed otherwise than those that were recorded.
        if replayer.is_recorded() {
            let told = view.experiments().filter(|experiment| self.extent.tells(&experiment.account_id));
            self.figures.experiments = told.map(experiment).collect();
        }
        let open = view.alerts().filter(|alert| tells_alert(&self.extent, alert));
        self.figures.still_open =
            open.filter(|alert| self.extent.to.is_none_or(|to| alert.opened_at < to)).count() as u64;
        if self.span.records == 0 {
            self.span.from_offset = 0;
        }
        self.figures.spans.push(self.span);
        self.figures.keep_few();
        self.figures
    }
}

fn experiment(now: ExperimentNow) -> Experiment {
    Experiment {
        account_id: now.account_id,
        id: now.id,
        metric: now.metric.to_owned(),
        verdict: now.verdict.to_owned(),
        winner: now.winner,
        arms: now.arms,
        effects: now.comparisons.iter().map(|comparison| comparison.effect).collect(),
    }
}

fn tells_row(extent: &Extent, row: &KpiRow) -> bool {
    extent.touches(row.window_start, row.window_end) && extent.tells(&row.account_id)
}

/// What is about everything is told to every account.
fn tells_alert(extent: &Extent, alert: &Alert) -> bool {
    alert.account_id.as_deref().is_none_or(|account| extent.tells(account))
}
