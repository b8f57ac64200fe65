//! `paceline replay`, `paceline report` and `paceline export`.

use super::{ConfigFiles, ImportKind, Output};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `paceline replay`
#[derive(Args, Debug, Clone)]
pub struct Replay {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// Replay the journal, from the broker or from --files
    #[arg(long, required_unless_present_any = ["events", "sweep"])]
    pub journal: bool,
    /// Replay events through both stages: of files, as `paceline import` takes, or without --files those of the broker's
    /// topics, with the newest specifications and policy beside them
    #[arg(long, conflicts_with = "journal")]
    pub events: bool,
    /// With --journal the folder that `paceline export journal` wrote, the broker's topics where absent; with --events files
    /// (.csv, .jsonl or .ndjson, .avro, .parquet) or folders of them
    #[arg(long, value_name = "DIR|FILE", num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// With --events: column map (TOML) of the files
    #[arg(long, value_name = "FILE", requires = "events")]
    pub map: Option<PathBuf>,
    /// With --events: kind of the records where no map says it
    #[arg(long, value_enum, requires = "events")]
    pub kind: Option<ImportKind>,
    /// With --events: specifications, as `paceline campaigns apply` takes
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "events")]
    pub campaigns: Vec<PathBuf>,
    /// First instant reported on (epoch ms or RFC 3339); what came before is replayed, but not told
    #[arg(long)]
    pub from: Option<String>,
    /// Last instant replayed
    #[arg(long)]
    pub to: Option<String>,
    /// First journal offset reported on, in each partition; what came before is replayed, but not told
    #[arg(long, value_name = "N", conflicts_with = "events")]
    pub from_offset: Option<i64>,
    /// Journal offset before which each partition's replay ends
    #[arg(long, value_name = "N", conflicts_with = "events")]
    pub to_offset: Option<i64>,
    /// Begin with the newest state before --from that the service has kept in state.dir, instead of the journal's first
    /// record. Where the journal on the broker has lost its beginning this is done without asking
    #[arg(long, requires = "from", conflicts_with_all = ["events", "files", "sweep", "cold"])]
    pub from_state: bool,
    /// Where the journal on the broker has lost its beginning: begin with nothing at the first record that is left
    #[arg(long, conflicts_with_all = ["events", "files", "sweep"])]
    pub cold: bool,
    /// Policy (TOML) to replay under instead of the recorded ones
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Folder of another run over the same journal, to lay beside this one
    #[arg(long, value_name = "DIR")]
    pub compare: Option<PathBuf>,
    /// Try many policies (TOML) on simulated markets, and with --journal on the recorded one; ranks them into sweep.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "policy", "compare", "resume", "rehearse"])]
    pub sweep: Option<PathBuf>,
    /// Folder to make: summary.json, decisions.parquet, kpis.parquet, alerts.parquet, report.html
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Journal partitions replayed at once; as many as cores where absent. The result does not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Keep finished journal partitions where the run is interrupted, and go on from those that an interrupted run with
    /// the same arguments has kept; with --events the journal that stage 1 made is kept too
    #[arg(long)]
    pub resume: bool,
    /// Print how many alerts each day and campaign would have had, as CSV
    #[arg(long)]
    pub rehearse: bool,
    /// Troubles that are known (CSV: account_id, campaign_id, kind, from, to): print false alarms, what was found and how
    /// late, by kind of alert
    #[arg(long, value_name = "FILE", requires = "rehearse")]
    pub labels: Option<PathBuf>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline report`
#[derive(Args, Debug, Clone)]
pub struct Report {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// First instant told of (a date, RFC 3339, or epoch ms; UTC where no offset stands); the journal's beginning where
    /// absent
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Instant before which the report ends: with 2026-12-01 the last day told of is November 30; the journal's end where
    /// absent
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Tell of this account alone; may be given more than once
    #[arg(long, value_name = "ID")]
    pub account: Vec<String>,
    /// Heading of the page
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Folder that `paceline export journal` wrote; the broker's topics where absent
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// File to make, where it ends in .html; else a folder, made where missing, for report.html. Nothing is overwritten
    #[arg(long, value_name = "PATH", default_value = "report.html")]
    pub out: PathBuf,
    /// Journal partitions read at once; as many as cores where absent. The page does not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Form of what is said on stdout
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// What `paceline export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportWhat {
    /// KPI rows, every revision.
    Kpis,
    /// Commands and proposals.
    Decisions,
    /// Alerts, each change of their lives.
    Alerts,
    /// Refused records: where they came from and why.
    DeadLetters,
    /// The whole journal, for `paceline replay --files`.
    Journal,
}

/// Form of exported tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Default)]
pub enum ExportFormat {
    /// A folder of files by day, which DuckDB, Polars and pandas read.
    #[default]
    Parquet,
    /// One file, or stdout.
    Csv,
    /// One JSON object a line: one file, or stdout.
    Ndjson,
}

/// `paceline export`
#[derive(Args, Debug, Clone)]
pub struct Export {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// What to write
    #[arg(value_enum)]
    pub what: ExportWhat,
    /// First instant (epoch ms or RFC 3339); the beginning where absent
    #[arg(long)]
    pub from: Option<String>,
    /// Last instant; the end where absent
    #[arg(long)]
    pub to: Option<String>,
    /// Form of tables; the journal has one of its own
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
    /// Folder (Parquet, journal) or file (CSV, JSON lines) to make
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Write keys and bytes of dead letters too; they hold personal data
    #[arg(long)]
    pub unmask: bool,
}
