//! The only place where time is read. Everything below takes time as an argument.

use model::time::Millis;
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time, or the demo's accelerated time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A faster one; broker timeouts stay on the machine's clock. There is one in a process, so it is never freed.
    Accelerated(&'static Accelerated),
}

/// A clock that runs faster than the machine's, by a factor that may change.
#[derive(Debug)]
pub struct Accelerated(Mutex<Pace>);

/// The time is `then_ms` + `speed` x what the machine's clock has gone on since.
#[derive(Clone, Copy, Debug)]
struct Pace {
    then_ms: Millis,
    since: Instant,
    speed: u32,
}

impl Clock {
    /// A clock that starts now at `start_ms` and runs `speed` times faster.
    pub fn accelerated(start_ms: Millis, speed: u32) -> Self {
        let pace = Pace { then_ms: start_ms, since: Instant::now(), speed };
        Clock::Accelerated(Box::leak(Box::new(Accelerated(Mutex::new(pace)))))
    }

    /// UTC epoch milliseconds.
    pub fn now_ms(&self) -> Millis {
        match self {
            Clock::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as Millis)
            }
            Clock::Accelerated(clock) => clock.pace().at(Instant::now()),
        }
    }

    /// From now on an accelerated clock runs this many times faster than the machine's.
    pub fn set_speed(&self, speed: u32) {
        let Clock::Accelerated(clock) = self else { return };
        let mut pace = clock.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.speed != speed {
            let now = Instant::now();
            *pace = Pace { then_ms: pace.at(now), since: now, speed };
        }
    }

    /// Whether record timestamps must be given by the producer, since the broker would stamp the machine's time.
    pub fn stamps_records(&self) -> bool {
        matches!(self, Clock::Accelerated(_))
    }
}

impl Accelerated {
    fn pace(&self) -> Pace {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn at(&self, now: Instant) -> Millis {
        let gone_us = now.saturating_duration_since(self.since).as_micros() as i64;
        self.then_ms + gone_us.saturating_mul(i64::from(self.speed)) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_speed_goes_on_from_where_the_clock_stood() {
        let clock = Clock::accelerated(1_000_000, 1_000_000);
        clock.set_speed(0);
        let stood_ms = clock.now_ms();
        assert!(stood_ms >= 1_000_000);
        assert_eq!(clock.now_ms(), stood_ms, "it stands still");
        clock.set_speed(1);
        assert!(clock.now_ms() >= stood_ms);
    }
}
