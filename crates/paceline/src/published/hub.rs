//! Who listens to changes: one ring shared by all listeners, so that a slow one costs nobody else anything.
//!
//! What always holds: telling never waits and costs nothing while nobody listens; a listener that falls behind the ring
//! is told so instead of holding it.

use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::broadcast;

/// Changes kept for listeners that are behind; a few kB each at most.
const RING_MAX: usize = 2_048;

/// One change.
#[derive(Clone, Debug)]
pub struct Told {
    /// Rises by one with each change of this process.
    pub id: u64,
    /// overview, campaign, adjustment, alert, proposal, halt, health, resync.
    pub event: &'static str,
    /// One line of JSON.
    pub data: Arc<str>,
}

/// Where changes are told.
pub struct Hub {
    sender: broadcast::Sender<Told>,
    next_id: AtomicU64,
}

impl Default for Hub {
    fn default() -> Self {
        Self { sender: broadcast::channel(RING_MAX).0, next_id: AtomicU64::new(1) }
    }
}

impl Hub {
    /// Tells a change to whoever listens.
    pub fn tell(&self, event: &'static str, record: &impl Serialize) {
        if !self.is_heard() {
            return;
        }
        let Ok(data) = serde_json::to_string(record) else { return };
        let id = self.next_id();
        // Nobody listens any more: nothing is lost.
        let _ = self.sender.send(Told { id, event, data: data.into() });
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// The next number, also for what one listener alone is told.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Told> {
        self.sender.subscribe()
    }
}
