//! The command line, as the help text reads. Data go to stdout, words to stderr.

mod analyze;
pub mod handbook;
mod letters;
mod replay;
mod rules;

use crate::settings::TokenRole;
pub use analyze::*;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use letters::*;
pub use replay::*;
pub use rules::*;
use std::path::PathBuf;

/// Watches ad spend and KPIs as they happen and publishes bid and budget adjustments.
#[derive(Parser, Debug)]
#[command(name = "paceline", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where settings come from; built-in defaults and PACELINE__… variables are enough for a plain broker.
#[derive(Args, Debug, Clone, Default)]
pub struct ConfigFiles {
    /// Configuration file (TOML); may be given more than once, later ones win
    #[arg(id = "config_file", long = "config", short = 'c', value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Form of a result on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Which stages a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub enum Role {
    /// Both stages.
    #[default]
    All,
    /// Stage 1: events and facts to the journal.
    Aggregator,
    /// Stage 2: the journal to KPIs, commands and alerts.
    Controller,
}

/// All commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Show the whole loop with no Kafka: in-process broker, simulated market, the real service, an obedient ad buyer
    Demo(Demo),
    /// Run the service
    Run(Run),
    /// Check the configuration, the cluster, the topics and the ports, and say all that is wrong
    Check(Check),
    /// Show settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Plan or create the topics that Paceline needs
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Publish campaign specifications
    #[command(subcommand)]
    Campaigns(CampaignsCommand),
    /// Publish, show or check a policy
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Check, test or preview users' rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Send events of the simulated market to the topics, for load and trials
    Generate(Generate),
    /// Send files of events or reports (CSV with a column map, JSON lines, Avro, Parquet) to the topics
    Import(Import),
    /// Print records of a topic as JSON lines
    Tap(Tap),
    /// Explain a command, or why a campaign got none
    Why(Why),
    /// Replay the journal and compare with the committed commands, byte for byte
    Verify(Verify),
    /// Replay the journal into a folder: summary, tables, report; also under another policy, compared with another run
    Replay(Replay),
    /// Write one page about a stretch of time, to read, print or send: spend against plan, KPIs, commands with reasons, alerts
    Report(Report),
    /// Write KPI rows, decisions, alerts, dead letters or the whole journal to files
    Export(Export),
    /// Stop all commands of a scope at once; stays until released
    Halt(HaltArgs),
    /// Release a halt
    Release(HaltArgs),
    /// List refused records, or send them back once their cause is mended
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// List, approve or reject proposals, or take a command back
    #[command(subcommand)]
    Proposals(ProposalsCommand),
    /// Make a token for the HTTP API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Ask the service's own estimators about a file
    #[command(subcommand)]
    Analyze(AnalyzeCommand),
    /// Play the service in simulated markets and compare with the best in hindsight
    Simulate(Simulate),
    /// Try whether a subscriber of the commands keeps the rule: copies, disorder, expiry, conflict, leases, crashes
    Conformance(Conformance),
    /// Measure the service against a broker, beside bare consumption in the same run
    Bench(Bench),
    /// Print completions for a shell
    Completions {
        /// Shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write the pages for `man` into a folder
    Man {
        /// Folder, created where it is missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// `paceline demo`
#[derive(Args, Debug, Clone)]
pub struct Demo {
    /// How long to run, on the machine's clock: 30s, 5m, 2h
    #[arg(long = "for", value_name = "DURATION", default_value = "120s")]
    pub span: String,
    /// How much faster the market's clock runs
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub speed: u32,
    /// Seed of the market
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Port of the page, on 127.0.0.1
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Policy file laid over the demo's own: your rules, goals and experiments in its market (accounts acme-shop, north-outdoor, tea-house)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// End with one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// `paceline run`
#[derive(Args, Debug, Clone)]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Which stages this process runs
    #[arg(long, value_enum, default_value_t)]
    pub role: Role,
    /// Go on although records were lost to retention; the loss is recorded
    #[arg(long)]
    pub accept_loss: bool,
}

/// `paceline check`
#[derive(Args, Debug, Clone)]
pub struct Check {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Only the settings, from files and PACELINE__ variables; leave out what surrounds them: broker, topics, ports
    #[arg(long)]
    pub no_environment: bool,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline config …`
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the effective settings, secrets as ***
    Show {
        #[command(flatten)]
        #[allow(missing_docs)]
        config: ConfigFiles,
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// Form of the result
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

/// `paceline topics …`
#[derive(Subcommand, Debug)]
pub enum TopicsCommand {
    /// Print the topics, retentions and permissions that are needed, and what is missing
    Plan(TopicsArgs),
    /// Create the topics that are missing
    Apply(TopicsArgs),
}

/// Options of `paceline topics`.
#[derive(Args, Debug, Clone)]
pub struct TopicsArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Partitions of each event topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=10000))]
    pub event_partitions: i32,
    /// Replicas of each topic; 1 is for trials, 3 for what must not be lost
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10))]
    pub replication: i32,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline campaigns …`
#[derive(Subcommand, Debug)]
pub enum CampaignsCommand {
    /// Validate specifications (TOML, JSON, CSV) and publish them
    Apply {
        #[command(flatten)]
        #[allow(missing_docs)]
        config: ConfigFiles,
        /// Files of specifications: .toml, .json, .jsonl or .csv; deploy/campaigns/example.toml names every field
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// `paceline policy …`
#[derive(Subcommand, Debug)]
pub enum PolicyCommand {
    /// Validate a policy file and publish it as the next version
    Apply {
        #[command(flatten)]
        #[allow(missing_docs)]
        config: ConfigFiles,
        /// Name of the policy; only `default` is read so far
        #[arg(long, default_value = "default", value_parser = ["default"])]
        name: String,
        /// The policy (TOML)
        file: PathBuf,
    },
    /// Print the policy in force
    Show {
        #[command(flatten)]
        #[allow(missing_docs)]
        config: ConfigFiles,
        /// Name of the policy
        #[arg(long, default_value = "default")]
        name: String,
    },
    /// Validate a policy file
    Check {
        /// The policy (TOML)
        file: PathBuf,
    },
}

/// `paceline generate`
#[derive(Args, Debug, Clone)]
pub struct Generate {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Events a second, 1 to 10,000,000
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: u64,
    /// For how long: 30s, 5m, 2h
    #[arg(long = "for", value_name = "DURATION")]
    pub span: String,
    /// Users
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// Campaigns
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub campaigns: u32,
    /// Seed
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Share of copies, parts per million
    #[arg(long, default_value_t = 0)]
    pub duplicates_ppm: u32,
    /// Share of events sent out of order, parts per million
    #[arg(long, default_value_t = 0)]
    pub disorder_ppm: u32,
    /// Share of events sent 1 to 10 minutes late, parts per million; those that are due after --for are sent at its
    /// end, all at once, unless --wait-for-late is given
    #[arg(long, default_value_t = 0)]
    pub late_ppm: u32,
    /// After --for, send what is still on its way (late events, second copies) at its own time: up to 10 minutes more
    #[arg(long)]
    pub wait_for_late: bool,
    /// Share of records that must end on the dead-letter topic, parts per million
    #[arg(long, default_value_t = 0)]
    pub poison_ppm: u32,
    /// Write the exact truth (per campaign and minute) to this file as CSV
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

/// `paceline import`
#[derive(Args, Debug, Clone)]
pub struct Import {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Kind of the records where no map says it
    #[arg(long, value_enum)]
    pub kind: Option<ImportKind>,
    /// Column map (TOML)
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Move event times by whole weeks, -5200 to 5200; `auto`: newest event within the last week
    #[arg(long, value_name = "N|auto", allow_hyphen_values = true)]
    pub shift_weeks: Option<String>,
    /// Files: .csv, .jsonl or .ndjson, .avro, .parquet. Nothing is sent before all rows are checked and in the order of
    /// their times, so all are held in memory, at one to two kilobytes a record: give millions in several calls, the oldest
    /// first
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
}

/// Kinds of imported records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum ImportKind {
    Impressions,
    Clicks,
    Conversions,
    Stats,
}

/// `paceline tap`
#[derive(Args, Debug, Clone)]
pub struct Tap {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Topic, by its name: ads.adjustments, ads.proposals, ads.alerts, ads.kpis, ads.feedback, paceline.journal …
    pub topic: String,
    /// Only records with this key; of commands and KPI rows it is the campaign's id
    #[arg(long)]
    pub key: Option<String>,
    /// From this instant (epoch ms or RFC 3339); the beginning where absent
    #[arg(long)]
    pub from: Option<String>,
    /// At most this many records
    #[arg(long)]
    pub max: Option<u64>,
    /// Print personal fields (user keys, IP keys) too
    #[arg(long)]
    pub unmask: bool,
}

/// `paceline why`
#[derive(Args, Debug, Clone)]
pub struct Why {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Command to explain
    #[arg(conflicts_with = "campaign")]
    pub command_id: Option<String>,
    /// Campaign to explain, also why nothing was done; ACCOUNT/ID where several accounts have one of that id
    #[arg(long)]
    pub campaign: Option<String>,
    /// Instant (epoch ms or RFC 3339); now where absent
    #[arg(long)]
    pub at: Option<String>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline verify`
#[derive(Args, Debug, Clone)]
pub struct Verify {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// First instant compared (epoch ms or RFC 3339)
    #[arg(long)]
    pub from: Option<String>,
    /// Last instant compared
    #[arg(long)]
    pub to: Option<String>,
    /// Compare this journal partition alone; may be given more than once
    #[arg(long, value_name = "P")]
    pub partition: Vec<i32>,
    /// First journal offset compared, in each partition that is
    #[arg(long, value_name = "N")]
    pub from_offset: Option<i64>,
    /// Journal offset before which the comparison ends
    #[arg(long, value_name = "N")]
    pub to_offset: Option<i64>,
    /// Begin with the newest state before --from that the service has kept in state.dir, instead of the journal's first
    /// record: a day then takes the time of a day. What was decided before it is not proved. Where the journal has lost
    /// its beginning this is done without asking
    #[arg(long, requires = "from")]
    pub from_state: bool,
    /// Journal partitions replayed at once; as many as cores where absent. The result does not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline halt` and `paceline release`
#[derive(Args, Debug, Clone)]
pub struct HaltArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// `global`, `account=ID` or `campaign=ACCOUNT/ID`; with release also `integrity`, after a gap in the journal was looked at
    #[arg(long)]
    pub scope: String,
    /// Why; kept with the record
    #[arg(long)]
    pub reason: String,
    /// Who; the login name where absent
    #[arg(long)]
    pub actor: Option<String>,
}

/// `paceline proposals …`
#[derive(Subcommand, Debug)]
pub enum ProposalsCommand {
    /// Print proposals that wait for a person
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        config: ConfigFiles,
        /// Form of the result
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// Approve a proposal: it passes the guard once more and is then issued
    Approve(ProposalArgs),
    /// Reject a proposal: the values in force stay
    Reject(ProposalArgs),
    /// Take back the last command of a lever: the value before it is asked for again, through the guard
    Undo(ProposalArgs),
}

/// Options of `paceline proposals approve`, `reject` and `undo`.
#[derive(Args, Debug, Clone)]
pub struct ProposalArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Its command id, as `paceline proposals list` shows it; with undo the command's, as `paceline tap ads.adjustments` does,
    /// or that of the proposal it was approved from
    pub command_id: String,
    /// Whose, where accounts have campaigns of one name and a specification's jump (spec/CAMPAIGN/VERSION) is decided
    #[arg(long)]
    pub account: Option<String>,
    /// Why; kept with the record
    #[arg(long)]
    pub reason: Option<String>,
    /// Who; the login name where absent
    #[arg(long)]
    pub actor: Option<String>,
}

/// `paceline token …`
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make a token, show it once, and print the setting that knows it by its hash
    New(NewToken),
}

/// `paceline token new`
#[derive(Args, Debug, Clone)]
pub struct NewToken {
    /// viewer (reads), operator (halts and releases), approver (decides proposals), admin (all)
    #[arg(long, value_parser = token_role)]
    pub role: TokenRole,
    /// Who will hold it: letters, digits, `.` and `-`; stands in the audit
    #[arg(long, value_parser = token_name)]
    pub name: String,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

fn token_role(word: &str) -> Result<TokenRole, String> {
    TokenRole::parse(word).ok_or_else(|| "use viewer, operator, approver or admin".into())
}

fn token_name(name: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let is_name = !name.is_empty() && name.chars().all(is_plain);
    is_name.then(|| name.to_owned()).ok_or_else(|| "use small letters, digits, '.' and '-'".into())
}

/// `paceline simulate`
#[derive(Args, Debug, Clone)]
pub struct Simulate {
    /// Trial file (TOML), as in crates/market/trials; may be given several times
    #[arg(long, required_unless_present = "auction_log", num_args = 1..)]
    pub scenario: Vec<PathBuf>,
    /// Policy file to play under instead of the built-in one
    #[arg(long)]
    pub policy: Option<PathBuf>,
    /// Method of the budget's bid: linear (the default), or one to compare with: fixed, threshold, throttle, pid,
    /// mystique, mirror_descent
    #[arg(long, default_value = "linear", conflicts_with = "policy")]
    pub controller: String,
    /// Recorded auctions instead of scenarios: clicked, market price, predicted click rate, segment; tab-separated
    #[arg(long, requires = "goal", conflicts_with_all = ["scenario", "policy", "controller", "seed", "seeds"])]
    pub auction_log: Option<PathBuf>,
    /// What the auction log is played for: ecpc=X or spend=B, in the unit of the prices' sum
    #[arg(long, requires = "auction_log")]
    pub goal: Option<String>,
    /// Rounds of the auction log
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: u32,
    /// First seed; each seed is another market
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many seeds, one after the other from the first
    #[arg(long, default_value_t = 1)]
    pub seeds: u64,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline conformance`
#[derive(Args, Debug, Clone)]
pub struct Conformance {
    /// Command line that starts the subscriber's adapter; it speaks JSON lines, see deploy/clients/README.md
    #[arg(long, value_name = "CMD")]
    pub adapter: String,
    /// Only this case; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub case: Vec<String>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline bench`
#[derive(Args, Debug, Clone)]
pub struct Bench {
    /// Cluster addresses
    #[arg(long)]
    pub brokers: String,
    /// Events to write and read; below some millions what is done once at a start weighs most
    #[arg(long, default_value_t = 8_000_000)]
    pub events: u64,
    /// Campaigns
    #[arg(long, default_value_t = 10_000)]
    pub campaigns: u32,
    /// Events a second of the latency measurement
    #[arg(long, default_value_t = 50_000)]
    pub latency_rate: u64,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}
