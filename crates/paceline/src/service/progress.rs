//! A take-over that says it lives: how far it is, in words for health and in numbers for metrics.
//!
//! What always holds: only progress speaks, so a take-over that hangs falls silent and stops being live; a reading that
//! waits for somebody else's transaction gives up by itself long before that. Missing on purpose: an estimate of the
//! time left, which the metrics give (records by rate, parts left).

use crate::published::Published;
use crate::telemetry::Metrics;
use kafka_io::Sign;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Health hears of progress at most this often.
const SAY_EVERY: Duration = Duration::from_millis(250);

/// Of one worker; cheap to clone.
#[derive(Clone)]
pub struct Progress(Arc<Inner>);

struct Inner {
    worker: &'static str,
    metrics: Arc<Metrics>,
    published: Arc<Published>,
    now: Mutex<Option<Takeover>>,
}

/// The take-over that goes on.
struct Takeover {
    doing: &'static str,
    parts: usize,
    parts_done: usize,
    /// What is read, how much of it there is, and how much was read.
    reading: Option<(String, u64, u64)>,
    said: Instant,
}

impl Progress {
    /// For a worker that health and metrics know under this name.
    pub fn of(worker: &'static str, metrics: Arc<Metrics>, published: Arc<Published>) -> Self {
        Self(Arc::new(Inner { worker, metrics, published, now: Mutex::new(None) }))
    }

    /// Name of the worker.
    pub fn worker(&self) -> &'static str {
        self.0.worker
    }

    /// A take-over of so many parts begins.
    pub fn begin(&self, doing: &'static str, parts: usize) {
        let takeover = Takeover { doing, parts, parts_done: 0, reading: None, said: Instant::now() };
        self.0.say(&takeover);
        if let Ok(mut now) = self.0.now.lock() {
            *now = Some(takeover);
        }
    }

    /// One part more is done.
    pub fn part_done(&self) {
        self.0.change(true, |takeover| {
            takeover.parts_done += 1;
            takeover.reading = None;
        });
    }

    /// It is over: what the worker says of itself counts again.
    pub fn end(&self) {
        if let Ok(mut now) = self.0.now.lock() {
            *now = None;
        }
        self.0.metrics.takeover_parts_left.with_label_values(&[self.0.worker]).set(0);
    }

    /// So many records of something are going to be read; where others are being read too, they count together.
    pub fn reading(&self, what: impl Into<String>, records: u64) {
        let what = what.into();
        self.0.change(true, |takeover| {
            let unfinished = takeover.reading.take().filter(|(_, of, read)| read < of);
            takeover.reading = Some(match unfinished {
                Some((_, of, read)) => (format!("{what} and others"), of.saturating_add(records), read),
                None => (what, records, 0),
            });
        });
    }

    /// So many of them were.
    pub fn further(&self, records: u64) {
        let is_counted = self.0.change(false, |takeover| {
            if let Some((_, of, read)) = &mut takeover.reading {
                *read = read.saturating_add(records).min(*of);
            }
        });
        if is_counted {
            self.0.metrics.takeover_records.with_label_values(&[self.0.worker]).inc_by(records);
        }
    }

    /// Something that took its time has come to a good end.
    pub fn alive(&self) {
        self.0.change(false, |_| {});
    }

    /// A sign of a log reader.
    pub fn see(&self, sign: Sign<'_>) {
        match sign {
            Sign::Answer => self.alive(),
            Sign::Begin(place, offsets) => self.reading(place.to_string(), offsets),
            Sign::Further(offsets) => self.further(offsets),
        }
    }
}

impl Inner {
    /// Whether there is a take-over to change.
    fn change(&self, say_now: bool, change: impl FnOnce(&mut Takeover)) -> bool {
        let Ok(mut now) = self.now.lock() else { return false };
        let Some(takeover) = now.as_mut() else { return false };
        change(takeover);
        if say_now || takeover.said.elapsed() >= SAY_EVERY {
            takeover.said = Instant::now();
            self.say(takeover);
        }
        true
    }

    fn say(&self, takeover: &Takeover) {
        let left = takeover.parts.saturating_sub(takeover.parts_done);
        self.metrics.takeover_parts_left.with_label_values(&[self.worker]).set(left as i64);
        self.published.health.say(self.worker, Some(takeover.words()));
    }
}

impl Takeover {
    fn words(&self) -> String {
        let Self { doing, parts, parts_done, .. } = self;
        match &self.reading {
            None => format!("{doing}, {parts_done} of {parts} done"),
            Some((what, of, read)) => {
                format!("{doing}, {parts_done} of {parts} done, now {} records of {what}", amount(*read, *of))
            }
        }
    }
}

/// `12 of 340`, and in millions where nobody would read the digits.
fn amount(read: u64, of: u64) -> String {
    const MILLION: u64 = 1_000_000;
    let tenths = |count: u64| format!("{}.{}", count / MILLION, count % MILLION / (MILLION / 10));
    if of < 10 * MILLION { format!("{read} of {of}") } else { format!("{} of {} M", tenths(read), tenths(of)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_io::TopicPartition;

    fn progress() -> Progress {
        Progress::of("controller", Arc::new(Metrics::new()), Arc::new(Published::default()))
    }

    fn said(progress: &Progress) -> String {
        progress.0.published.health.ready().expect_err("nobody is ready in a take-over").join(", ")
    }

    #[test]
    fn a_take_over_says_how_far_it_is_and_stays_not_ready() {
        let progress = progress();
        progress.begin("recovering journal partitions", 16);
        progress.part_done();
        progress.see(Sign::Begin(&TopicPartition::new("paceline.journal", 4), 40_000_000));
        progress.see(Sign::Further(12_340_000));
        // Said again without the wait between two words.
        progress.0.change(true, |_| {});
        let words = "recovering journal partitions, 1 of 16 done, now 12.3 of 40.0 M records of paceline.journal/4";
        assert_eq!(said(&progress), format!("controller: {words}"));
        let text = progress.0.metrics.text();
        assert!(text.contains("paceline_takeover_records_total{stage=\"controller\"} 12340000"), "{text}");
        assert!(text.contains("paceline_takeover_parts_left{stage=\"controller\"} 15"), "{text}");
    }

    #[test]
    fn progress_keeps_a_worker_live_that_would_be_silent_for_too_long() {
        let progress = progress();
        let health = &progress.0.published.health;
        progress.begin("taking over partitions", 1);
        health.age(Duration::from_secs(61));
        assert!(health.live().is_err());
        progress.reading("ads.clicks/0", 1_000);
        assert_eq!(health.live(), Ok(()));
        health.age(Duration::from_secs(61));
        progress.0.now.lock().unwrap().as_mut().unwrap().said -= SAY_EVERY;
        progress.further(1);
        assert_eq!(health.live(), Ok(()));
    }

    #[test]
    fn outside_a_take_over_readings_say_nothing() {
        let progress = progress();
        progress.begin("taking over partitions", 1);
        progress.end();
        progress.0.published.health.say("controller", None);
        progress.see(Sign::Begin(&TopicPartition::new("paceline.policy", 0), 3));
        progress.see(Sign::Further(3));
        assert_eq!(progress.0.published.health.ready(), Ok(()));
        assert!(progress.0.metrics.text().contains("paceline_takeover_records_total{stage=\"controller\"} 0"));
    }
}
