//! What was published before a take-over, for the charts: closed hours and days of the last week from the KPI topic, read
//! once for each partition on a thread of its own, after the take-over, which does not wait for it.
//!
//! What always holds: a row that is held already in a later revision stays; rows of campaigns that this process does not
//! hold are left out; what is read is bounded in records and what is kept by the views' own room. Whatever goes wrong is
//! logged and costs nothing but history.

use super::context::Context;
use crate::commands::connect;
use crate::failure::{Failure, Outcome};
use kafka_io::{From, LogReader, Until};
use model::time::{DAY_MS, Millis};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const SPAN_MS: Millis = 8 * DAY_MS;
/// Of one take-over: some 20 s of reading at the very most; a thousand campaigns write half of it in a week.
const RECORDS_MAX: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks the thread; it ends with this.
pub struct History(Sender<Vec<i32>>);

impl History {
    /// Starts the thread.
    pub fn start(context: &Context) -> Outcome<Self> {
        let (context, (ask, asked)) = (context.clone(), channel());
        let started = std::thread::Builder::new().name("history".into()).spawn(move || answer(&context, &asked));
        started.map_err(|error| Failure::failed(format!("cannot start the reader of history: {error}"), ""))?;
        Ok(Self(ask))
    }

    /// Reads these partitions, whose campaigns the views hold by now.
    pub fn want(&self, partitions: Vec<i32>) {
        if !partitions.is_empty() {
            // The thread outlives this unless it panicked, which costs nothing but history.
            let _ = self.0.send(partitions);
        }
    }
}

fn answer(context: &Context, asked: &Receiver<Vec<i32>>) {
    for partitions in asked {
        match read(context, &partitions) {
            Ok(rows) => tracing::info!(rows, ?partitions, "rows of the last week were read for the charts"),
            Err(_) if context.stop.is_asked() => {}
            Err(failure) => {
                tracing::warn!(%failure, ?partitions, "rows from before the take-over could not be read: charts begin now");
            }
        }
    }
}

fn read(context: &Context, partitions: &[i32]) -> Outcome<u64> {
    let (settings, published) = (&context.settings, &context.published);
    let stop = context.stop.clone();
    let mut reader = LogReader::open(&connect(settings, "history"), PATIENCE)?.stop_when(move || stop.is_asked());
    let from = match context.clock.stamps_records() {
        true => From::Earliest,
        false => From::Time(context.clock.now_ms().saturating_sub(SPAN_MS)),
    };
    let (mut rows, mut left) = (0, RECORDS_MAX);
    for partition in partitions {
        reader.read(&settings.topics.kpis, *partition, from, Until::StableEnd, |record| {
            left -= 1;
            let row = record.payload.and_then(|payload| context.codec.kpi_row(payload).ok());
            let row = row.filter(|row| row.granularity != "minute");
            if let Some(row) = row.filter(|row| published.entry(&row.account_id, &row.campaign_id).is_some()) {
                published.put_row(&row);
                rows += 1;
            }
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if left == 0 {
            tracing::warn!(RECORDS_MAX, "history is longer than what is read of it");
            break;
        }
    }
    Ok(rows)
}
