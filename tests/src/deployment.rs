//! What one story has to itself: topics, group, state folder. Created as a user would, by `paceline topics apply`.

use crate::broker::Broker;
use crate::service::{Service, binary};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Partitions of the journal and of the output topics in tests.
pub const JOURNAL_PARTITIONS: i32 = 4;
/// Partitions of each event topic in tests.
pub const EVENT_PARTITIONS: i32 = 4;

/// The words of the settings `topics.*`.
pub const TOPIC_WORDS: [&str; 18] = [
    "impressions",
    "clicks",
    "conversions",
    "stats",
    "corrections",
    "campaigns",
    "entities",
    "context",
    "feedback",
    "policy",
    "journal",
    "epochs",
    "adjustments",
    "proposals",
    "desired_state",
    "alerts",
    "kpis",
    "dead_letters",
];

/// A deployment on a broker.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Where the broker is.
    pub brokers: String,
    /// Settings by their names in the environment.
    pub environment: BTreeMap<String, String>,
    /// Logs and state of this story.
    pub folder: PathBuf,
    name: String,
    topics: BTreeMap<&'static str, String>,
}

impl Deployment {
    /// A deployment whose topics exist.
    pub fn new(broker: &Broker, name: &str) -> Deployment {
        let deployment = Deployment::without_topics(&broker.address(), name);
        deployment.create_topics();
        deployment
    }

    /// A deployment whose topics do not exist yet.
    pub fn without_topics(brokers: &str, name: &str) -> Deployment {
        static MADE: AtomicU32 = AtomicU32::new(0);
        static CLEARED: Once = Once::new();
        CLEARED.call_once(clear);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{number}");
        let folder = work().join(format!("story-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("tests/.work can be written");
        let topics = TOPIC_WORDS.into_iter().map(|word| (word, format!("{name}.{word}")));
        let mut deployment = Deployment {
            brokers: brokers.to_owned(),
            environment: BTreeMap::new(),
            folder: folder.clone(),
            name: name.clone(),
            topics: topics.collect(),
        };
        deployment.set("kafka.brokers", brokers);
        deployment.set("group", &name);
        deployment.set("state.dir", &folder.join("state").display().to_string());
        deployment.set("journal.partitions", &JOURNAL_PARTITIONS.to_string());
        deployment.set("kpis.minute_rows", "true");
        deployment.set("http.listen", "127.0.0.1:0");
        deployment.set("metrics.listen", "127.0.0.1:0");
        deployment.name_topics();
        deployment
    }

    /// Another deployment over the same inputs: own journal, outputs, group and folder, which exist.
    pub fn twin(&self, name: &str) -> Deployment {
        let mut twin = Deployment::without_topics(&self.brokers, name);
        for word in TOPIC_WORDS.into_iter().take(10) {
            twin.topics.insert(word, self.topics[word].clone());
        }
        twin.name_topics();
        twin.create_topics();
        twin
    }

    /// Creates what is missing.
    pub fn create_topics(&self) {
        self.run(&["topics", "apply", "--event-partitions", &EVENT_PARTITIONS.to_string()]);
    }

    /// The name of a topic by its word in the settings.
    pub fn topic(&self, word: &str) -> &str {
        &self.topics[word]
    }

    /// Takes another topic for a word of the settings.
    pub fn rename(&mut self, word: &'static str, topic: &str) {
        self.topics.insert(word, topic.to_owned());
        self.name_topics();
    }

    /// The consumer group of a stage.
    pub fn group(&self, stage: &str) -> String {
        format!("{}-{stage}", self.name)
    }

    /// Where snapshots are.
    pub fn state_folder(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Sets a setting by its name in the files.
    pub fn set(&mut self, setting: &str, value: &str) {
        let name = format!("PACELINE__{}", setting.replace('.', "__").to_uppercase());
        self.environment.insert(name, value.to_owned());
    }

    /// A command of the binary in this deployment's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PACELINE__")) {
            command.env_remove(name);
        }
        command.args(arguments).envs(&self.environment).current_dir(&self.folder);
        command
    }

    /// Runs a command to its end.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs a command that must succeed and returns what it printed.
    ///
    /// # Panics
    /// Where it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "paceline {} failed ({}): {words}", arguments.join(" "), output.status);
        String::from_utf8(output.stdout).expect("stdout is text")
    }

    /// Starts the service under a slot and waits until it is ready.
    pub fn start(&self, slot: &str) -> Service {
        let mut service = Service::spawn(self, slot, &[], &[]);
        service.wait_until_ready();
        service
    }

    /// Removes the folder of a story that went well.
    pub fn clean(self) {
        let _ = fs::remove_dir_all(&self.folder);
    }

    fn name_topics(&mut self) {
        for (word, topic) in self.topics.clone() {
            self.set(&format!("topics.{word}"), &topic);
        }
    }
}

/// Removes what failed stories of earlier runs left: folders are named after the process that made them.
fn clear() {
    for entry in fs::read_dir(work()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("story-").and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn work() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".work")
}
