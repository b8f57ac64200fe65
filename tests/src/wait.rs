//! Waiting for something to become true, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// Waits until `ready` gives a value.
///
/// # Panics
/// After `limit`, with what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "after {} s: not yet: {what}", limit.as_secs());
        thread::sleep(EVERY);
    }
}

/// Waits until `ready` succeeds; the last complaint is part of the panic.
///
/// # Panics
/// After `limit`, with the last complaint.
pub fn until_ok<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match ready() {
            Ok(value) => return value,
            Err(complaint) if Instant::now() >= deadline => {
                panic!("after {} s: not yet: {what}: {complaint}", limit.as_secs())
            }
            Err(_) => thread::sleep(EVERY),
        }
    }
}
