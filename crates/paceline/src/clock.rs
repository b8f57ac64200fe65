//! The only place where time is read. Everything below takes time as an argument.

use model::time::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time, or the demo's accelerated time: start + speed x elapsed.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A faster one; broker timeouts stay on the machine's clock.
    Accelerated {
        /// Time at the start.
        start_ms: Millis,
        /// How many times faster than the machine's clock.
        speed: u32,
        /// The machine's clock at the start.
        started: Instant,
    },
}

impl Clock {
    /// A clock that starts now at `start_ms` and runs `speed` times faster.
    pub fn accelerated(start_ms: Millis, speed: u32) -> Self {
        Clock::Accelerated { start_ms, speed, started: Instant::now() }
    }

    /// UTC epoch milliseconds.
    pub fn now_ms(&self) -> Millis {
        match self {
            Clock::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as Millis)
            }
            Clock::Accelerated { start_ms, speed, started } => {
                start_ms + (started.elapsed().as_micros() as i64).saturating_mul(i64::from(*speed)) / 1_000
            }
        }
    }

    /// Whether record timestamps must be given by the producer, since the broker would stamp the machine's time.
    pub fn stamps_records(&self) -> bool {
        matches!(self, Clock::Accelerated { .. })
    }
}
