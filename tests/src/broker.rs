//! A real Kafka on a free loopback port: one node, KRaft, its data below `tests/.work`.
//!
//! What always holds: every broker has a folder and ports of its own, so brokers do not meet; a broker ends with the
//! process that started it, however that ends, because a small shell waits at the other end of a pipe.
//!
//! `tests/run` fetches the jars. With `PACELINE_TEST_NO_BROKER` set, [`Broker::shared`] is `None` and the stories that
//! need it return at once.

use kafka_io::{Admin, Connection, TopicPlan};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// A broker and its data.
pub struct Broker {
    folder: PathBuf,
    port: u16,
    properties: BTreeMap<String, String>,
    running: Mutex<Option<Running>>,
    topics_made: AtomicU32,
}

/// The shell that guards the broker's process; closing its input ends both.
struct Running {
    guard: Child,
    lifeline: Option<ChildStdin>,
    pid: u32,
}

impl Broker {
    /// The broker of this test binary, started by whoever asks first; `None` where tests run without brokers.
    pub fn shared() -> Option<&'static Broker> {
        static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
        SHARED.get_or_init(|| wanted().then(|| Broker::start(&[], &[]))).as_ref()
    }

    /// A broker of one's own, to be stopped and killed; `None` where tests run without brokers. `settings` are the
    /// broker's own names and override the harness's; `{port}` and `{controller_port}` in a value are filled in.
    pub fn own(settings: &[(&str, &str)]) -> Option<Broker> {
        Broker::guarded(settings, &[])
    }

    /// As [`Broker::own`], for brokers that ask their clients for credentials: `properties` are a good client's.
    fn guarded(settings: &[(&str, &str)], properties: &[(&str, &str)]) -> Option<Broker> {
        wanted().then(|| Broker::start(settings, properties))
    }

    /// One that asks for a password (SASL PLAIN): its good client is `paceline` with `right-hunter2`.
    pub fn with_passwords() -> Option<Broker> {
        let listeners = "SASL_PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}";
        let users = "org.apache.kafka.common.security.plain.PlainLoginModule required \
            username=\"broker\" password=\"b\" user_broker=\"b\" user_paceline=\"right-hunter2\";";
        Broker::guarded(
            &[
                ("listeners", listeners),
                ("advertised.listeners", "SASL_PLAINTEXT://127.0.0.1:{port}"),
                ("listener.security.protocol.map", "SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
                ("inter.broker.listener.name", "SASL_PLAINTEXT"),
                ("sasl.enabled.mechanisms", "PLAIN"),
                ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
                ("listener.name.sasl_plaintext.plain.sasl.jaas.config", users),
            ],
            &[
                ("security.protocol", "sasl_plaintext"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "paceline"),
                ("sasl.password", "right-hunter2"),
            ],
        )
    }

    fn start(settings: &[(&str, &str)], properties: &[(&str, &str)]) -> Broker {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = work().join(format!("broker-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("tests/.work can be written");
        let (port, controller_port) = free_ports();
        write_settings(&folder, port, controller_port, settings);
        format_storage(&folder);
        let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let broker = Broker { folder, port, properties, running: Mutex::new(None), topics_made: AtomicU32::new(0) };
        broker.restart();
        broker
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How a client reaches it.
    pub fn connection(&self, client_id: &str) -> Connection {
        Connection { properties: self.properties.clone(), ..Connection::new(self.address(), client_id) }
    }

    /// A topic that no other story uses: `name` with a number.
    pub fn fresh_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let number = self.topics_made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{number}");
        self.create_topic(&name, partitions, settings);
        name
    }

    /// A topic that must not exist yet. `("message.timestamp.type", "LogAppendTime")` lets the broker stamp.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let settings =
            settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect::<BTreeMap<_, _>>();
        let plan = TopicPlan { name: name.into(), partitions, replication: 1, settings };
        let made = self.admin().create(&[plan]).expect("the broker creates topics");
        assert_eq!(made, [name], "the topic existed already");
    }

    /// For questions about topics.
    pub fn admin(&self) -> Admin {
        Admin::connect(&self.connection("harness"), ANSWER_LIMIT).expect("the broker runs")
    }

    /// Ends it in good order (SIGTERM) and waits.
    pub fn stop(&self) {
        self.end("-TERM");
    }

    /// Ends it at once (kill -9) and waits.
    pub fn kill(&self) {
        self.end("-KILL");
    }

    /// Starts it again over the same data and port, after `stop` or `kill`, and waits until it answers.
    pub fn restart(&self) {
        let mut running = self.running();
        assert!(running.is_none(), "the broker runs already");
        *running = Some(launch(&self.folder));
        drop(running);
        self.wait_until_up();
    }

    /// The broker's own log, for a failed run.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn end(&self, signal: &str) {
        let mut running = self.running().take().expect("the broker runs");
        signal_process(signal, running.pid);
        // The shell ends when its input does, once the broker is gone.
        running.wait();
    }

    fn wait_until_up(&self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let answer = Admin::connect(&self.connection("harness"), Duration::from_secs(1));
            match answer {
                Ok(_) => return,
                Err(error) if Instant::now() >= deadline => {
                    panic!("the broker did not start: {error}; see {}", self.log_file().display())
                }
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut running) = self.running().take() {
            signal_process("-KILL", running.pid);
            running.wait();
        }
        // A failed story leaves the data for a look; a good one cleans up.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl Running {
    fn wait(&mut self) {
        // The shell waits for the end of its input, kills what is left and ends.
        wait_for_end(self.pid);
        self.lifeline = None;
        let _ = self.guard.wait();
    }
}

/// Whether stories that need a broker shall run.
fn wanted() -> bool {
    if std::env::var_os("PACELINE_TEST_NO_BROKER").is_some() {
        eprintln!("SKIPPED: this story needs a broker, and PACELINE_TEST_NO_BROKER is set");
        return false;
    }
    assert!(libs().is_dir(), "Kafka is not there: run tests/run once, or set PACELINE_TEST_NO_BROKER=1");
    true
}

fn work() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".work")
}

fn libs() -> PathBuf {
    work().join("kafka").join("libs")
}

/// Two ports that are free now; another process could take them in between, which the start would show.
fn free_ports() -> (u16, u16) {
    let bind = || TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
    let (first, second) = (bind(), bind());
    let port = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address").port();
    (port(&first), port(&second))
}

fn write_settings(folder: &Path, port: u16, controller_port: u16, overrides: &[(&str, &str)]) {
    let data = folder.join("data");
    let own = [
        ("process.roles", "broker,controller".into()),
        ("node.id", "1".into()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller_port}")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("controller.listener.names", "CONTROLLER".into()),
        ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".into()),
        ("log.dirs", data.display().to_string()),
        ("offsets.topic.replication.factor", "1".into()),
        ("offsets.topic.num.partitions", "4".into()),
        ("transaction.state.log.replication.factor", "1".into()),
        ("transaction.state.log.min.isr", "1".into()),
        ("transaction.state.log.num.partitions", "4".into()),
        ("group.initial.rebalance.delay.ms", "0".into()),
        ("auto.create.topics.enable", "false".into()),
        // A transaction that its owner left is found within a second, so that stories of other slots stay short.
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000".into()),
        ("num.network.threads", "2".into()),
        ("num.io.threads", "4".into()),
    ];
    let mut settings: BTreeMap<&str, String> = own.into_iter().collect();
    let filled = |value: &str| {
        value.replace("{port}", &port.to_string()).replace("{controller_port}", &controller_port.to_string())
    };
    settings.extend(overrides.iter().map(|(name, value)| (*name, filled(value))));
    let text: String = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    fs::write(folder.join("server.properties"), text).expect("the broker's folder can be written");
    fs::write(folder.join("log4j2.yaml"), LOGGING).expect("the broker's folder can be written");
}

/// Any 16 bytes that are not all zero serve as a cluster's id; brokers of one test run never meet.
const CLUSTER_ID: &str = "cGFjZWxpbmUtdGVzdHMtMQ";

fn format_storage(folder: &Path) {
    let settings = folder.join("server.properties");
    let output = java(folder)
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
        .arg(settings)
        .output()
        .expect("java runs");
    assert!(
        output.status.success(),
        "the broker's storage was not formatted: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A broker lives for seconds: a third less of its start's time goes into compiling what runs once.
const BRIEF: [&str; 2] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

fn java_arguments(folder: &Path) -> [String; 3] {
    let logging = format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.yaml").display());
    ["-cp".into(), format!("{}/*", libs().display()), logging]
}

fn java(folder: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(BRIEF).args(java_arguments(folder));
    command
}

/// Starts the broker behind a shell that prints its number and kills it when our end of the pipe closes.
fn launch(folder: &Path) -> Running {
    let log = folder.join("broker.log");
    let script = r#"log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & pid=$!; echo "$pid"; cat >/dev/null; kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null"#;
    let mut guard = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&log)
        .args(["java", "-Xms256m", "-Xmx768m"])
        .args(BRIEF)
        .args(java_arguments(folder))
        .arg("kafka.Kafka")
        .arg(folder.join("server.properties"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell runs");
    let mut line = String::new();
    let output = guard.stdout.take().expect("the output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("the shell prints a number");
    let pid = line.trim().parse().expect("the shell prints the number of the broker's process");
    Running { lifeline: guard.stdin.take(), guard, pid }
}

fn signal_process(signal: &str, pid: u32) {
    let _ = Command::new("kill").arg(signal).arg(pid.to_string()).stderr(Stdio::null()).status();
}

/// Waits until a process is gone or a zombie of its shell.
fn wait_for_end(pid: u32) {
    let deadline = Instant::now() + STOP_LIMIT;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "the broker does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

fn is_alive(pid: u32) -> bool {
    // The state follows the command's name, which stands in brackets.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with('Z')))
        .unwrap_or(false)
}

const LOGGING: &str = "Configuration:
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: '%d{ISO8601} %p %c{1} %m%n'
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        - ref: out
";

/// A cold start on two busy cores takes about 20 s.
const START_LIMIT: Duration = Duration::from_secs(90);
/// A clean stop writes a snapshot and closes its logs.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// One question to a broker that runs.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
