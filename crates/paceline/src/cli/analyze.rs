//! Options of `paceline analyze`, as the help text reads.

use super::Output;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `paceline analyze …`
#[derive(Subcommand, Debug)]
pub enum AnalyzeCommand {
    /// Spread a file's conversions over its channels (CSV on stdout)
    Attribute(Attribute),
    /// Find anomalies in a series, or in one for each key
    Detect(crate::commands::analyze::detect::Detect),
    /// Look at an experiment: which arm is better, and may one say so yet
    Experiment(Experiment),
    /// Correct conversion rates for conversions that are still to come
    Delay(Delay),
    /// Split a budget over response curves
    Allocate(Allocate),
    /// Fit how often customers buy again, and for how much
    Ltv(Ltv),
}

/// `paceline analyze attribute`
#[derive(Args, Debug, Clone)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["input", "paths"])))]
pub struct Attribute {
    /// Journeys (CSV): journey_id,ts_ms,channel,cost_micros,conversion_ts_ms,value_micros; one row a touch
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Counted paths: path;total_conversions;total_conversion_value;total_null; ` > ` between channels
    #[arg(long, value_name = "FILE")]
    pub paths: Option<PathBuf>,
    /// How credit is spread
    #[arg(long, value_enum)]
    pub model: AttributionModel,
    /// In which time before the conversion a touch loses half its weight; only time_decay reads it [default: 7d]
    #[arg(long, value_name = "DURATION")]
    pub half_life: Option<String>,
}

/// Models of `paceline analyze attribute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum AttributionModel {
    /// All to the first touch.
    First,
    /// All to the last.
    Last,
    /// The same to each.
    Linear,
    /// 40 % to the first, 40 % to the last, 20 % between.
    Position,
    /// By age, with a half-life.
    TimeDecay,
    /// By what would be lost without the channel.
    Markov,
    /// Equal shares of each journey's distinct channels.
    Shapley,
}

impl AttributionModel {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Linear => "linear",
            Self::Position => "position",
            Self::TimeDecay => "time_decay",
            Self::Markov => "markov",
            Self::Shapley => "shapley",
        }
    }
}

/// `paceline analyze experiment`
#[derive(Args, Debug, Clone)]
pub struct Experiment {
    /// Arms (CSV): arm,share,exposures,successes
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Weight of the mixture: a smaller one waits for larger effects
    #[arg(long, default_value_t = 100.0)]
    pub kappa: f64,
    /// Chance of ever deciding where there is no effect
    #[arg(long, default_value_t = 0.05)]
    pub alpha: f64,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline analyze delay`
#[derive(Args, Debug, Clone)]
pub struct Delay {
    /// Clicks (CSV): click_id,campaign,click_ts_ms,conversion_ts_ms
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// The instant of the look (a date, RFC 3339 or epoch ms): nothing later exists
    #[arg(long, value_name = "INSTANT", allow_negative_numbers = true)]
    pub as_of: String,
    /// Within which time a conversion counts, in whole days
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    pub horizon: String,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline analyze allocate`
#[derive(Args, Debug, Clone)]
pub struct Allocate {
    /// Budget and curves (JSON): {"budget", "curves": [{"id", "a", "b", "min", "max"}]}
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// `paceline analyze ltv`
#[derive(Args, Debug, Clone)]
pub struct Ltv {
    /// Customers (CSV): ID,x,t_x,T and, with money, zbar; times in weeks
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Forecast each customer for this many weeks
    #[arg(long, value_name = "WEEKS")]
    pub predict: Option<f64>,
    /// Form of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}
