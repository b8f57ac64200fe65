//! A subscriber that reads committed records while faults happen, and sees none twice and none missing.

use crate::deployment::Deployment;
use crate::journal::{Checker, checked_topics};
use crate::logs::Tail;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A thread that reads until it is asked to finish.
pub struct Watcher {
    finish: Arc<AtomicBool>,
    thread: Option<JoinHandle<Checker>>,
}

impl Watcher {
    /// Begins to read.
    pub fn start(deployment: &Deployment) -> Watcher {
        let finish = Arc::new(AtomicBool::new(false));
        let (asked, deployment) = (finish.clone(), deployment.clone());
        let thread = thread::spawn(move || {
            let mut checker = Checker::default();
            let mut tail = Tail::open(&deployment.brokers, &checked_topics(&deployment));
            while !asked.load(Ordering::SeqCst) {
                tail.poll(Duration::from_millis(20), |entry| checker.take(&entry));
            }
            tail.drain(|entry| checker.take(&entry));
            checker
        });
        Watcher { finish, thread: Some(thread) }
    }

    /// Reads to the ends and tells what it saw; the logs have come to rest.
    ///
    /// # Panics
    /// Where the reader panicked.
    pub fn finish(mut self) -> Checker {
        self.finish.store(true, Ordering::SeqCst);
        let thread = self.thread.take().expect("it is finished once");
        let mut checker = thread.join().expect("the reader does not panic");
        checker.finish();
        checker
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.finish.store(true, Ordering::SeqCst);
    }
}
