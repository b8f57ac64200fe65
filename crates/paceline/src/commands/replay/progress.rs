//! How far a replay is, on stderr, where that is a terminal.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

/// Counts and tells.
pub struct Progress {
    /// What is counted, as the last line says it.
    what: &'static str,
    total: u64,
    /// Rows that are to come, where the source knows.
    rows_total: Option<u64>,
    records: AtomicU64,
    rows: AtomicU64,
    /// Of these, what was done before.
    passed_records: AtomicU64,
    passed_rows: AtomicU64,
    started: Instant,
    told: Option<Mutex<Instant>>,
}

/// Often enough to look alive.
const EVERY: Duration = Duration::from_millis(200);

impl Progress {
    /// At the beginning of `total` of `what`.
    pub fn new(what: &'static str, total: u64, rows_total: Option<u64>) -> Self {
        let started = Instant::now();
        let told = std::io::stderr().is_terminal().then(|| Mutex::new(started));
        let none = || AtomicU64::new(0);
        Self {
            what,
            total,
            rows_total,
            records: none(),
            rows: none(),
            passed_records: none(),
            passed_rows: none(),
            started,
            told,
        }
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
            eprint!("\r\x1b[K{}", self.line(records, rows, self.started.elapsed()));
            let _ = std::io::stderr().flush();
        }
    }

    /// Records that an earlier run has done: they are in the share, and not in the rate.
    pub fn pass(&self, records: u64, rows: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.passed_records.fetch_add(records, Ordering::Relaxed);
        self.passed_rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// Clears the line and leaves the rate.
    pub fn end(&self) {
        let (records, rows) = (self.records.load(Ordering::Relaxed), self.rows.load(Ordering::Relaxed));
        let elapsed = self.started.elapsed();
        let clear = if self.told.is_some() { "\r\x1b[K" } else { "" };
        let with_rows = if rows > 0 { format!(", {rows} rows") } else { String::new() };
        let rate = self.rate(records, rows, elapsed);
        eprintln!("{clear}{records} {}{with_rows} in {:.1} s, {rate}", self.what, elapsed.as_secs_f64());
    }

    fn line(&self, records: u64, rows: u64, elapsed: Duration) -> String {
        let share = match self.rows_total.filter(|total| *total > 0) {
            Some(total) => rows as f64 / total as f64,
            None => records as f64 / self.total.max(1) as f64,
        };
        let share = share.clamp(0.0, 1.0);
        let passed = self.passed_records.load(Ordering::Relaxed) as f64 / self.total.max(1) as f64;
        let own = (share - passed).max(0.0);
        let left = if own > 0.0 { elapsed.as_secs_f64() * (1.0 - share) / own } else { 0.0 };
        let filled = (share * BAR as f64) as usize;
        format!(
            "[{}{}] {:3.0} %  {records} {}, {}, {} left",
            "#".repeat(filled),
            ".".repeat(BAR - filled),
            share * 100.0,
            self.what,
            self.rate(records, rows, elapsed),
            span(left)
        )
    }

    /// Of rows, where there are any: a journal record holds from none to thousands.
    fn rate(&self, records: u64, rows: u64, elapsed: Duration) -> String {
        let (passed_records, passed_rows) = (&self.passed_records, &self.passed_rows);
        let (count, passed, what) =
            if rows > 0 { (rows, passed_rows, "rows") } else { (records, passed_records, self.what) };
        let own = count.saturating_sub(passed.load(Ordering::Relaxed));
        format!("{:.0} {what} a second", own as f64 / elapsed.as_secs_f64().max(1e-9))
    }
}

/// Places of the bar.
const BAR: usize = 24;

fn span(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_share_rate_and_time_left() {
        let progress = Progress::new("journal records", 200, None);
        let text = progress.line(50, 5_000, Duration::from_secs(10));
        assert_eq!(text, "[######..................]  25 %  50 journal records, 500 rows a second, 30 s left");
        let events = Progress::new("events", 200, None);
        let text = events.line(50, 0, Duration::from_secs(10));
        assert_eq!(text, "[######..................]  25 %  50 events, 5 events a second, 30 s left");
        assert!(Progress::new("events", 0, None).line(0, 0, Duration::ZERO).contains("0 s left"));
    }

    #[test]
    fn what_was_done_before_is_no_work_of_this_run() {
        let progress = Progress::new("journal records", 100, None);
        progress.pass(50, 0);
        let text = progress.line(75, 0, Duration::from_secs(10));
        assert!(text.contains("75 %") && text.contains("10 s left"), "{text}");
        assert!(text.contains("2 journal records a second"), "{text}");
    }
}
