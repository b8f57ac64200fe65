//! Tells people of alerts by a webhook, on a thread of its own; off unless an address is set.
//!
//! What always holds: handing an alert over never waits, and what finds no room is counted. One message is on its way at
//! a time; while it is tried again, news are gathered into the next, but critical news do not wait behind it: they go at
//! once, with what waits. A message keeps its id through all attempts. What was given up is told again later, unless the
//! receiver says that it is the message itself that it does not take.
//! Missing on purpose: memory over restarts. What waits is lost with the process; `ads.alerts` is the truth.

mod desk;
mod message;
mod post;

use crate::clock::Clock;
use crate::failure::{Failure, Outcome};
use crate::settings::Settings;
use crate::telemetry::Metrics;
use desk::{Desk, Taken, Told};
use model::output::Alert;
use model::time::Millis;
use post::{Answer, Message, Target};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Alerts that wait to be looked at, a kB each: more than all campaigns of an account open at once.
const WAITING_MAX: usize = 4_096;
/// First wait before another attempt; it doubles.
const BACK_OFF_MS: Millis = if cfg!(test) { 10 } else { 1_000 };
const BACK_OFF_MS_MAX: Millis = 300_000;
/// With the doubling, twenty minutes: longer than a receiver's restart.
const ATTEMPTS_MAX: u32 = 12;
/// A message with something critical in it is tried at least this often.
const BACK_OFF_URGENT_MS_MAX: Millis = 30_000;
/// What was given up is told again with the next news, or after this; a receiver whose address or token is wrong is asked
/// more rarely.
const AGAIN_MS: Millis = if cfg!(test) { 100 } else { BACK_OFF_MS_MAX };
const AGAIN_CLOSED_MS: Millis = if cfg!(test) { 100_000 } else { 3_600_000 };
/// Longest sleep without a look at the clock, which may be set.
const LOOK_EVERY_MS: Millis = 1_000;

/// Whether address, secret and certificates can be used; nothing is sent.
pub fn check(settings: &Settings) -> Outcome {
    Target::of(&settings.notifications).map(|_| ())
}

/// Takes alerts; cheap to clone.
#[derive(Clone, Default)]
pub struct Notifier(Option<(SyncSender<Alert>, Arc<Metrics>)>);

impl Notifier {
    /// Starts the thread, where an address is set.
    pub fn start(settings: &Settings, clock: Clock, build: Arc<str>, metrics: Arc<Metrics>) -> Outcome<Self> {
        let wanted = &settings.notifications;
        let Some(target) = Target::of(wanted)? else { return Ok(Self::default()) };
        let (sender, alerts) = sync_channel(WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start the runtime of notifications: {error}"), ""))?;
        let teller = Teller {
            target,
            desk: Desk::new(wanted),
            is_slack: wanted.is_slack,
            slot: settings.slot.clone(),
            build,
            clock,
            metrics: metrics.clone(),
            pending: None,
            count: 0,
        };
        std::thread::Builder::new()
            .name("notify".into())
            .spawn(move || teller.run(&alerts, &runtime))
            .map_err(|error| Failure::failed(format!("cannot start the thread of notifications: {error}"), ""))?;
        Ok(Self(Some((sender, metrics))))
    }

    /// Hands a published alert over; never waits.
    pub fn take(&self, alert: &Alert) {
        if let Some((sender, metrics)) = &self.0
            && sender.try_send(alert.clone()).is_err()
        {
            metrics.notifications.with_label_values(&["dropped"]).inc();
        }
    }
}

/// The thread.
struct Teller {
    target: Target,
    desk: Desk,
    is_slack: bool,
    slot: String,
    build: Arc<str>,
    clock: Clock,
    metrics: Arc<Metrics>,
    pending: Option<Pending>,
    count: u64,
}

/// A message that is tried until it is taken or given up.
struct Pending {
    message: Message,
    told: Vec<Told>,
    is_urgent: bool,
    attempts: u32,
    due_at: Millis,
}

impl Teller {
    fn run(mut self, alerts: &Receiver<Alert>, runtime: &tokio::runtime::Runtime) {
        loop {
            let now = self.clock.now_ms();
            let wait_ms = self.due_at().map_or(LOOK_EVERY_MS, |due_at| (due_at - now).clamp(0, LOOK_EVERY_MS));
            match alerts.recv_timeout(Duration::from_millis(wait_ms as u64)) {
                Ok(alert) => self.hear(&alert),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.compose();
            self.attempt(runtime);
        }
    }

    fn due_at(&self) -> Option<Millis> {
        self.pending.as_ref().map_or_else(|| self.desk.poll_timeout(), |pending| Some(pending.due_at))
    }

    fn hear(&mut self, alert: &Alert) {
        if self.desk.take(alert, self.clock.now_ms()) == Taken::Snoozed {
            self.count("snoozed");
        }
    }

    fn compose(&mut self) {
        let now = self.clock.now_ms();
        let passes = |pending: &mut Pending| pending.attempts > 0 && pending.due_at > now && !pending.is_urgent;
        if self.desk.has_urgent(now)
            && let Some(pending) = self.pending.take_if(passes)
        {
            self.desk.give_back(pending.told, now, 0);
        }
        if self.pending.is_some() {
            return;
        }
        let told = self.desk.handle_timeout(now);
        if told.is_empty() {
            return;
        }
        let body = if self.is_slack { message::slack(&told) } else { message::generic(&told, &self.build, now) };
        self.count += 1;
        let seed = format!("{} {} {now} {body}", self.slot, self.count);
        let digits: String = Sha256::digest(seed).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let message = Message { id: format!("msg_{digits}"), body };
        let is_urgent = told.iter().any(|told| told.severity == "critical");
        self.pending = Some(Pending { message, told, is_urgent, attempts: 0, due_at: now });
    }

    fn attempt(&mut self, runtime: &tokio::runtime::Runtime) {
        let now = self.clock.now_ms();
        let Some(mut pending) = self.pending.take_if(|pending| pending.due_at <= now) else { return };
        match runtime.block_on(self.target.post(&pending.message, now)) {
            Answer::Taken => self.count("sent"),
            Answer::Later(why) if pending.attempts + 1 < ATTEMPTS_MAX => {
                self.count("retried");
                tracing::warn!(id = pending.message.id, why, "a notification was not taken, it is tried again");
                let most = if pending.is_urgent { BACK_OFF_URGENT_MS_MAX } else { BACK_OFF_MS_MAX };
                let wait_ms = (BACK_OFF_MS << pending.attempts).min(most);
                pending.attempts += 1;
                pending.due_at = self.clock.now_ms() + wait_ms;
                self.pending = Some(pending);
            }
            Answer::Later(why) => self.give_up(pending, &why, Some(AGAIN_MS)),
            Answer::Closed(why) => self.give_up(pending, &why, Some(AGAIN_CLOSED_MS)),
            Answer::Never(why) => self.give_up(pending, &why, None),
        }
    }

    fn give_up(&mut self, pending: Pending, why: &str, again_ms: Option<Millis>) {
        self.count("failed");
        let id = pending.message.id;
        match again_ms {
            Some(again_ms) => {
                tracing::error!(id, why, "a notification was given up, it is told again later");
                self.desk.give_back(pending.told, self.clock.now_ms(), again_ms);
            }
            None => tracing::error!(id, why, "a notification is not taken; the alerts are on their topic"),
        }
    }

    fn count(&self, result: &str) {
        self.metrics.notifications.with_label_values(&[result]).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::desk::tests::alert;
    use super::*;
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);

    /// A request as a receiver sees it.
    struct Seen {
        headers: BTreeMap<String, String>,
        body: String,
    }

    /// A receiver that answers with these statuses, one a request, and then always 204.
    fn receiver(statuses: &'static [u16]) -> (String, Receiver<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let (tell, told) = channel();
        let mut statuses = statuses.iter();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut headers = BTreeMap::new();
                for line in reader.by_ref().lines() {
                    let line = line.unwrap();
                    match line.split_once(": ") {
                        Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
                        None if line.is_empty() => break,
                        None => assert_eq!(line, "POST /hook?a=b HTTP/1.1"),
                    }
                }
                let mut body = vec![0; headers["content-length"].parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                let status = statuses.next().copied().unwrap_or(204);
                write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").unwrap();
                let _ = tell.send(Seen { headers, body: String::from_utf8(body).unwrap() });
            }
        });
        (url, told)
    }

    fn start(url: &str, more: &[(&str, &str)]) -> (Notifier, Arc<Metrics>) {
        let pairs = [("URL", url), ("DIGEST", "50ms")];
        let environment = pairs.iter().chain(more);
        let environment: BTreeMap<String, String> = environment
            .map(|(name, value)| (format!("PACELINE__NOTIFICATIONS__{name}"), (*value).to_owned()))
            .collect();
        let (settings, _) = Settings::load_with(&[], &environment).unwrap();
        let metrics = Arc::new(Metrics::new());
        let notifier = Notifier::start(&settings, Clock::System, Arc::from("test"), metrics.clone()).unwrap();
        (notifier, metrics)
    }

    fn count(metrics: &Metrics, result: &str) -> u64 {
        metrics.notifications.with_label_values(&[result]).get()
    }

    fn wait_for(metrics: &Metrics, result: &str, wanted: u64) {
        let started = Instant::now();
        while count(metrics, result) < wanted {
            assert!(started.elapsed() < LONG, "{wanted} {result}: {}", metrics.text());
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_message_is_tried_again_with_the_same_id_and_a_signature_that_its_receiver_can_check() {
        let (url, seen) = receiver(&[503, 429]);
        let (notifier, metrics) = start(&url, &[("SECRET", "hush")]);
        notifier.take(&alert("i", "c1", "warning", "opened"));
        let attempts: Vec<Seen> = (0..3).map(|_| seen.recv_timeout(LONG).unwrap()).collect();
        wait_for(&metrics, "sent", 1);
        assert_eq!((count(&metrics, "retried"), count(&metrics, "failed")), (2, 0));
        for attempt in &attempts {
            assert_eq!(attempt.headers["webhook-id"], attempts[0].headers["webhook-id"]);
            assert_eq!(attempt.body, attempts[0].body);
            let at = attempt.headers["webhook-timestamp"].parse().unwrap();
            let signed = message::signature("hush", &attempt.headers["webhook-id"], at, &attempt.body).unwrap();
            assert_eq!(attempt.headers["webhook-signature"], signed);
            assert!(!attempt.headers["host"].is_empty());
        }
    }

    #[test]
    fn one_incident_of_many_campaigns_is_one_message() {
        let (url, seen) = receiver(&[]);
        let (notifier, metrics) = start(&url, &[]);
        for number in 0..100 {
            notifier.take(&alert("i", &format!("c{number}"), "warning", "opened"));
        }
        let message = seen.recv_timeout(LONG).unwrap();
        assert!(message.body.contains("\"incident_id\":\"i\"") && !message.headers.contains_key("webhook-signature"));
        notifier.take(&alert("i", "c7", "warning", "updated"));
        notifier.take(&alert("j", "c7", "warning", "opened"));
        let next = seen.recv_timeout(LONG).unwrap();
        assert!(next.body.contains("\"j\"") && !next.body.contains("\"i\""), "{}", next.body);
        wait_for(&metrics, "sent", 2);
    }

    #[test]
    fn what_the_receiver_refuses_for_good_is_given_up_and_the_next_is_told() {
        let (url, seen) = receiver(&[410]);
        let (notifier, metrics) = start(&url, &[("FORMAT", "slack"), ("SNOOZE", "data_gap")]);
        notifier.take(&alert("i", "c1", "warning", "opened"));
        wait_for(&metrics, "failed", 1);
        notifier.take(&Alert { kind: "data_gap".into(), ..alert("k", "c1", "critical", "opened") });
        notifier.take(&alert("j", "c2", "warning", "opened"));
        wait_for(&metrics, "sent", 1);
        assert_eq!((count(&metrics, "retried"), count(&metrics, "snoozed")), (0, 1));
        assert!(seen.try_iter().last().unwrap().body.starts_with("{\"text\":\"*opened* warning"));
    }

    #[test]
    fn a_receiver_that_is_down_blocks_nobody_and_the_queue_is_bounded() {
        // A port that was free a moment ago: nobody listens there.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (notifier, metrics) = start(&format!("http://{address}/"), &[]);
        notifier.take(&alert("i", "c1", "warning", "opened"));
        wait_for(&metrics, "retried", 3);
        // Nobody takes from this queue.
        let (sender, _alerts) = sync_channel(10);
        let stuck = Notifier(Some((sender, metrics.clone())));
        (0..15).for_each(|_| stuck.take(&alert("i", "c1", "warning", "opened")));
        assert_eq!((count(&metrics, "dropped"), count(&metrics, "sent")), (5, 0));
    }

    #[test]
    fn critical_news_do_not_wait_behind_a_message_that_is_tried_again() {
        let (url, seen) = receiver(&[503, 503, 503, 503, 503, 503, 503, 503]);
        let (notifier, metrics) = start(&url, &[]);
        notifier.take(&alert("i", "c1", "warning", "opened"));
        // By now the next attempt is more than a second away.
        (0..8).for_each(|_| drop(seen.recv_timeout(LONG).unwrap()));
        wait_for(&metrics, "retried", 8);
        notifier.take(&alert("j", "c2", "critical", "opened"));
        let next = seen.recv_timeout(LONG).unwrap();
        assert!(next.body.contains("\"j\"") && next.body.contains("\"i\""), "both, at once: {}", next.body);
        wait_for(&metrics, "sent", 1);
    }

    #[test]
    fn what_was_given_up_is_told_again() {
        let (url, seen) = receiver(&[503; 12]);
        let (notifier, metrics) = start(&url, &[]);
        notifier.take(&alert("i", "c1", "critical", "opened"));
        wait_for(&metrics, "failed", 1);
        wait_for(&metrics, "sent", 1);
        let ids: Vec<String> = seen.try_iter().map(|one| one.headers["webhook-id"].clone()).collect();
        assert_eq!((ids.len(), ids[0] == ids[11], ids[11] == ids[12]), (13, true, false), "another message");
    }

    #[test]
    fn over_https_the_receiver_s_certificate_is_checked() {
        use crate::http::test_certificate;
        let folder = std::env::temp_dir().join(format!("paceline-notify-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = test_certificate(&folder);
        let acceptor = crate::http::acceptor(&files).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(mut stream) = acceptor.accept(stream) else { continue };
                let (mut read, mut buffer) = (Vec::new(), [0; 4_096]);
                while !read.ends_with(b"}") {
                    let count = stream.read(&mut buffer).unwrap_or(0);
                    if count == 0 {
                        break;
                    }
                    read.extend_from_slice(&buffer[..count]);
                }
                let _ = stream.write_all(b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let trusted = files.certificate.display().to_string();
        let (notifier, metrics) = start(&url, &[("CA", &trusted)]);
        notifier.take(&alert("i", "c1", "warning", "opened"));
        wait_for(&metrics, "sent", 1);
        let other = folder.join("other");
        std::fs::create_dir_all(&other).unwrap();
        let stranger = test_certificate(&other).certificate.display().to_string();
        let (notifier, metrics) = start(&url, &[("CA", &stranger)]);
        notifier.take(&alert("i", "c1", "warning", "opened"));
        wait_for(&metrics, "retried", 1);
        assert_eq!(count(&metrics, "sent"), 0, "nothing is told to a stranger");
        let _ = std::fs::remove_dir_all(folder);
    }

    #[test]
    fn without_an_address_nothing_is_started_and_a_wrong_one_is_told() {
        let (settings, _) = Settings::load_with(&[], &BTreeMap::new()).unwrap();
        let metrics = Arc::new(Metrics::new());
        let notifier = Notifier::start(&settings, Clock::System, Arc::from("test"), metrics).unwrap();
        assert!(notifier.0.is_none());
        let environment = BTreeMap::from([("PACELINE__NOTIFICATIONS__URL".to_owned(), "ftp://x".to_owned())]);
        let failure = Settings::load_with(&[], &environment).unwrap_err();
        assert!(failure.mistakes[0].contains("notifications.url"), "{:?}", failure.mistakes);
    }
}
