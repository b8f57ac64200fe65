//! The binary as a child: started, asked whether it is ready, killed, stopped in good order, started again.
//!
//! What always holds: a child ends with the process that started it, however that ends.

use crate::deployment::Deployment;
use crate::{http, wait};
use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running `paceline run`.
pub struct Service {
    deployment: Deployment,
    slot: String,
    running: Option<Running>,
    http_port: u16,
    metrics_port: u16,
    log: PathBuf,
}

struct Running {
    child: Child,
    guard: Child,
}

/// The binary beside the tests that run, of the same profile.
///
/// # Panics
/// Where it was not built.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/<profile>/deps");
    let binary = folder.join("paceline");
    assert!(binary.is_file(), "{} is missing: cargo build --release -p paceline", binary.display());
    binary
}

impl Service {
    /// Starts the service with more arguments and variables; does not wait.
    pub fn spawn(deployment: &Deployment, slot: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Service {
        let log = deployment.folder.join(format!("service-{slot}.log"));
        let mut service = Service {
            deployment: deployment.clone(),
            slot: slot.to_owned(),
            running: None,
            http_port: 0,
            metrics_port: 0,
            log,
        };
        service.start_again(arguments, variables);
        service
    }

    /// Starts it again after it ended; does not wait.
    ///
    /// # Panics
    /// Where it still runs.
    pub fn start_again(&mut self, arguments: &[&str], variables: &[(&str, &str)]) {
        assert!(self.running.is_none(), "slot {} runs already", self.slot);
        let (http_port, metrics_port) = free_ports();
        self.http_port = http_port;
        self.metrics_port = metrics_port;
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("the story's folder is there");
        let arguments: Vec<&str> = ["run"].into_iter().chain(arguments.iter().copied()).collect();
        let child = self
            .deployment
            .command(&arguments)
            .env("PACELINE__SLOT", &self.slot)
            .env("PACELINE__HTTP__LISTEN", format!("127.0.0.1:{http_port}"))
            .env("PACELINE__METRICS__LISTEN", format!("127.0.0.1:{metrics_port}"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle"))
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let guard = guard(child.id());
        self.running = Some(Running { child, guard });
    }

    /// Port of the API.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// A metric as the service shows it now, by its name with labels; `None` where it shows none of that name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = http::get(self.metrics_port, "/metrics")?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Its name among the workers.
    pub fn slot(&self) -> &str {
        &self.slot
    }

    /// Everything it logged so far, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        http::get(self.http_port, "/health/ready").is_some_and(|(status, _)| status == 200)
    }

    /// Waits for that and tells how long it took.
    ///
    /// # Panics
    /// Where it ends instead, or does not get there.
    pub fn wait_until_ready(&mut self) -> Duration {
        let started = Instant::now();
        wait::until_ok(&format!("slot {} is ready", self.slot), READY_LIMIT, || {
            if let Some(status) = self.ended() {
                panic!("slot {} ended ({status}) before it was ready: {}", self.slot, self.last_words());
            }
            if self.is_ready() { Ok(()) } else { Err(self.last_words()) }
        });
        started.elapsed()
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.running.as_mut()?.child.try_wait().expect("a child can be asked")?;
        self.reap();
        Some(status)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("slot {} has ended", self.slot);
        wait::until(&what, limit, || self.ended())
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.wait_for_end(STOP_LIMIT);
    }

    /// Ends it in good order.
    ///
    /// # Panics
    /// Where it does not end with exit code 0.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        let status = self.wait_for_end(STOP_LIMIT);
        assert_eq!(status.code(), Some(0), "a clean stop ends with 0: {}", self.last_words());
    }

    /// The last lines of the log.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("{}\n{}", self.log.display(), lines[lines.len().saturating_sub(12)..].join("\n"))
    }

    /// Sends a signal where it runs.
    pub fn signal(&self, signal: &str) {
        if let Some(running) = &self.running {
            let _ = Command::new("kill").arg(signal).arg(running.child.id().to_string()).stderr(Stdio::null()).status();
        }
    }

    /// The number of its process.
    pub fn process(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    fn reap(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.guard.kill();
            let _ = running.guard.wait();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        self.reap();
    }
}

/// A shell that kills the process when our end of its pipe closes.
fn guard(process: u32) -> Child {
    Command::new("sh")
        .args(["-c", "read -r line; kill -9 \"$1\" 2>/dev/null", "sh", &process.to_string()])
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell runs")
}

/// Two ports that are free now.
pub fn free_ports() -> (u16, u16) {
    let bind = || TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let (first, second) = (bind(), bind());
    let port = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address").port();
    (port(&first), port(&second))
}

/// A take-over may wait for a dead predecessor's session and transaction.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// Draining is bounded by 25 s inside the service.
const STOP_LIMIT: Duration = Duration::from_secs(60);
