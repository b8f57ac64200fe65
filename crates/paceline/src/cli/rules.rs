//! `paceline rules`.

use super::{ConfigFiles, Output};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `paceline rules`
#[derive(Subcommand, Debug)]
pub enum RulesCommand {
    /// Check the rules of a policy file and list them
    Check {
        /// The policy (TOML)
        file: PathBuf,
    },
    /// Run the rules' own tests, the [[rule.test]] blocks of a policy file
    Test {
        /// The policy (TOML)
        file: PathBuf,
        /// Form of the result
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
    /// What the rules would have done over a recorded journal, by day and campaign; sends nothing
    Preview(RulesPreview),
}

/// `paceline rules preview`
#[derive(Args, Debug, Clone)]
pub struct RulesPreview {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub config: ConfigFiles,
    /// The policy (TOML); its other tables hold, too, and its rules only observe
    pub file: PathBuf,
    /// Folder that `paceline export journal` wrote, the broker's topics where absent
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// First instant told (epoch ms or RFC 3339); what came before is replayed
    #[arg(long)]
    pub from: Option<String>,
    /// Last instant replayed
    #[arg(long)]
    pub to: Option<String>,
    /// Form of the result: CSV, or one JSON document
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}
