//! What was published before this process started, for the charts: closed hours and days of the last week from the KPI
//! topic, read once on a thread of its own after the take-over.
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
use std::time::Duration;

const SPAN_MS: Millis = 8 * DAY_MS;
/// Some 20 s of reading at the very most; a thousand campaigns write half of it in a week.
const RECORDS_MAX: u64 = 1_000_000;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the thread.
pub fn start(context: &Context) -> Outcome {
    let context = context.clone();
    let read = move || {
        while context.published.health.ready().is_err() {
            if context.stop.is_asked() {
                return;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
        match read(&context) {
            Ok(rows) => tracing::info!(rows, "rows of the last week were read for the charts"),
            Err(failure) => tracing::warn!(%failure, "rows from before the start could not be read: charts begin now"),
        }
    };
    let started = std::thread::Builder::new().name("history".into()).spawn(read);
    started.map(|_| ()).map_err(|error| Failure::failed(format!("cannot start the reader of history: {error}"), ""))
}

fn read(context: &Context) -> Outcome<u64> {
    let (settings, published) = (&context.settings, &context.published);
    let stop = context.stop.clone();
    let mut reader = LogReader::open(&connect(settings, "history"), PATIENCE)?.stop_when(move || stop.is_asked());
    let from = From::Time(context.clock.now_ms().saturating_sub(SPAN_MS));
    let (mut rows, mut left) = (0, RECORDS_MAX);
    for partition in 0..settings.journal_partitions {
        reader.read(&settings.topics.kpis, partition, from, Until::StableEnd, |record| {
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
