//! Calls into the client that must come back: where one does not, the process ends rather than the promise.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Told the name of the call that did not come back; it should end the process.
pub type OnExpiry = Arc<dyn Fn(&str) + Send + Sync>;

/// Watches one call at a time, from a thread of its own.
pub(crate) struct Watchdog {
    watch: Arc<(Mutex<Watch>, Condvar)>,
    limit: Duration,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Watch {
    call: Option<(&'static str, Instant)>,
    stop: bool,
}

impl Watchdog {
    pub fn start(limit: Duration, on_expiry: OnExpiry) -> Watchdog {
        let watch = Arc::new((Mutex::new(Watch::default()), Condvar::new()));
        let seen = Arc::clone(&watch);
        let thread = thread::Builder::new()
            .name("kafka-watchdog".into())
            .spawn(move || stand_guard(&seen, &on_expiry))
            .expect("a process that cannot start a thread cannot run");
        Watchdog { watch, limit, thread: Some(thread) }
    }

    /// Runs a call under guard.
    pub fn guard<T>(&self, name: &'static str, call: impl FnOnce() -> T) -> T {
        self.set(Some((name, Instant::now() + self.limit)));
        let answer = call();
        self.set(None);
        answer
    }

    fn set(&self, call: Option<(&'static str, Instant)>) {
        self.watch.0.lock().expect("no code panics while it holds this lock").call = call;
        self.watch.1.notify_one();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.watch.0.lock().expect("no code panics while it holds this lock").stop = true;
        self.watch.1.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn stand_guard(watch: &(Mutex<Watch>, Condvar), on_expiry: &OnExpiry) {
    let mut state = watch.0.lock().expect("no code panics while it holds this lock");
    while !state.stop {
        state = match state.call {
            None => watch.1.wait(state).expect("no code panics while it holds this lock"),
            Some((name, due)) => {
                let left = due.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    state.call = None;
                    on_expiry(name);
                    state
                } else {
                    watch.1.wait_timeout(state, left).expect("no code panics while it holds this lock").0
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_call_that_does_not_come_back_is_reported_by_name_and_a_quick_one_is_not() {
        let (tell, told) = mpsc::channel();
        let hook: OnExpiry = Arc::new(move |name: &str| tell.send(name.to_owned()).unwrap());
        let watchdog = Watchdog::start(Duration::from_millis(20), hook);
        watchdog.guard("quick", || ());
        // The slow call ends only when the report is there.
        let name = watchdog.guard("commit_transaction", || told.recv().unwrap());
        assert_eq!(name, "commit_transaction");
        drop(watchdog);
        assert!(told.try_recv().is_err());
    }
}
