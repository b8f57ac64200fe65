//! How far a replay is, on stderr, where that is a terminal.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

/// Counts and tells.
pub struct Progress {
    total: u64,
    /// Rows that are to come, where the source knows.
    rows_total: Option<u64>,
    records: AtomicU64,
    rows: AtomicU64,
    started: Instant,
    told: Option<Mutex<Instant>>,
}

/// Often enough to look alive.
const EVERY: Duration = Duration::from_millis(200);

impl Progress {
    /// At the beginning of `total` records.
    pub fn new(total: u64, rows_total: Option<u64>) -> Self {
        let started = Instant::now();
        let told = std::io::stderr().is_terminal().then(|| Mutex::new(started));
        Self { total, rows_total, records: AtomicU64::new(0), rows: AtomicU64::new(0), started, told }
    }

    /// One more record.
    pub fn tick(&self, rows: usize) {
        let records = self.records.fetch_add(1, Ordering::Relaxed) + 1;
        let rows = self.rows.fetch_add(rows as u64, Ordering::Relaxed) + rows as u64;
        let Some(told) = &self.told else { return };
        let mut told = match told.try_lock() {
            Ok(told) => told,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if told.elapsed() >= EVERY {
            *told = Instant::now();
            let share = match self.rows_total.filter(|total| *total > 0) {
                Some(total) => rows as f64 / total as f64,
                None => records as f64 / self.total.max(1) as f64,
            };
            eprint!("\r\x1b[K{}", line(records, rows, share, self.started.elapsed()));
            let _ = std::io::stderr().flush();
        }
    }

    /// Clears the line and leaves the rate.
    pub fn end(&self) {
        let (records, rows) = (self.records.load(Ordering::Relaxed), self.rows.load(Ordering::Relaxed));
        let elapsed = self.started.elapsed();
        let clear = if self.told.is_some() { "\r\x1b[K" } else { "" };
        eprintln!(
            "{clear}{records} journal records, {rows} rows in {:.1} s, {:.0} rows a second",
            elapsed.as_secs_f64(),
            rows as f64 / elapsed.as_secs_f64().max(1e-9)
        );
    }
}

fn line(records: u64, rows: u64, share: f64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let share = share.clamp(0.0, 1.0);
    let filled = (share * 24.0) as usize;
    let left = if share > 0.0 { seconds / share - seconds } else { 0.0 };
    format!(
        "[{}{}] {:3.0} %  {records} records, {:.0} rows a second, {} left",
        "#".repeat(filled),
        ".".repeat(24 - filled),
        share * 100.0,
        rows as f64 / seconds.max(1e-9),
        span(left)
    )
}

fn span(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_share_rate_and_time_left() {
        let text = line(50, 5_000, 0.25, Duration::from_secs(10));
        assert_eq!(text, "[######..................]  25 %  50 records, 500 rows a second, 30 s left");
        assert!(line(0, 0, 0.0, Duration::ZERO).contains("0 s left"));
    }
}
